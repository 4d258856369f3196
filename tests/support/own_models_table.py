"""The tables of `assets/docs/own-models.md`, measured: `python tests/support/own_models_table.py` prints them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "assets" / "docs" / "own-models.md"
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from own_weights import AVERAGES, BLOCKED, NETWORK, PRECISIONS, WRAPPINGS, cast, saved  # noqa: E402

from bsig.cli.arguments.models import add_new_model_arguments  # noqa: E402
from bsig.inputs.errors import InputError  # noqa: E402
from bsig.model.new_model import new_model  # noqa: E402

USUAL = "Not in the file"


def files_table() -> str:
    """What becomes of each kind of file."""
    contents = {name: content for name, (content, _) in WRAPPINGS.items()}
    contents |= {name: (lambda kind=kind: cast(kind)) for name, kind in PRECISIONS.items()} | dict(AVERAGES)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            notes = new_model(NETWORK, saved(content(), Path(folder), name)).notes
            text = " ".join(note for note in notes if not note.startswith(USUAL))
            rows.append(f"| {name} | loaded | {text} |")
        for name, (write, _, _) in BLOCKED.items():
            path = Path(folder) / "weights.pth"
            write(path)
            try:
                new_model(NETWORK, path)
                rows.append(f"| {name} | loaded | |")
            except InputError as error:
                rows.append(f"| {name} | refused | {error} |")
    return "\n".join(["| file | outcome | what is said |", "| --- | --- | --- |", *rows])


def options_table() -> str:
    """The options of `new-model`."""
    parser = argparse.ArgumentParser(add_help=False)
    add_new_model_arguments(parser)
    rows = []
    for action in parser._actions:
        if action.option_strings:
            values = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
            rows.append(f"| `{action.option_strings[0]}` | {action.help or ''}{values} |")
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows])


if __name__ == "__main__":
    print(options_table(), files_table(), sep="\n\n")  # noqa: T201
