"""`python -m bsig check-bundle`: the explanations of a bundle computed again and compared."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bsig.cli.arguments.shared import add_checkpoints_folder_argument, add_device_argument
from bsig.inputs.errors import InputError


def add_check_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `check-bundle`."""
    parser.add_argument("bundle", metavar="DIR", type=Path, help="folder that `explain --bundle` has written")
    parser.add_argument("--checkpoint", default=None, help="name, folder or hf:owner/repo (default: the bundle's)")
    add_checkpoints_folder_argument(parser)
    add_device_argument(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_check_bundle(options: argparse.Namespace) -> None:
    """Prints a line an explanation: expected against predicted.

    Raises:
        InputError: the bundle cannot be read, or what is predicted now is not what was expected.
    """
    from dataclasses import asdict

    from bsig.explain.output.manifest import TOLERANCE, check_bundle
    from bsig.model.checkpoints.load import load_checkpoint
    from bsig.model.devices import chosen_device

    device = chosen_device(options.device)
    rows = []
    for row in check_bundle(
        options.bundle, lambda name: load_checkpoint(options.checkpoint or name, device, options.checkpoints)
    ):
        rows.append(row)
        if not options.json:
            verdict = "agrees" if row.agrees else "DIFFERS"
            print(
                f"{verdict}: {row.folder}, class {row.class_name}: maps within {row.difference:.1e} of their range, "
                f"expected {row.expected_class}, predicted {row.predicted_class}"
            )
    if options.json:
        print(json.dumps([{**asdict(row), "agrees": row.agrees} for row in rows], indent=1))
    wrong = [row for row in rows if not row.agrees]
    if wrong:
        raise InputError(
            f"{len(wrong)} of {len(rows)} explanations differ from the bundle's in the predicted class or by more than "
            f"{TOLERANCE:g} of a map's range, first '{wrong[0].folder}'; compare the versions in the manifest."
        )
