"""Resident memory of the app: at start, after answers, and with each further model."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from bsig.cli.bench.served import resident_mb, served
from bsig.cli.bench.visitor import Visitor
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import classifier_from_timm
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch

OTHER = "resnet50"
"""A model with an encoder of its own; of random weights, which weigh the same and need no network."""
ANSWERS = 40
Tell = Callable[[str], None]


def memory_results(picture: Path, tell: Tell) -> dict[str, Any]:
    """MB resident: with the default model, after answers, with checkpoints that share its encoder, with another."""
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as name:
        folder = Path(name)
        shipped = [path for path in CHECKPOINTS_FOLDER.iterdir() if (path / "checkpoint.json").is_file()]
        for path in shipped:
            (folder / path.name).symlink_to(path)
        tell(f"a {OTHER} of random weights")
        save_checkpoint(DualBranch(classifier_from_timm(OTHER, pretrained=False)), folder / OTHER)
        sharing = sorted(path.name for path in shipped if path.name != DEFAULT_CHECKPOINT)
        steps = [("default model", [DEFAULT_CHECKPOINT]), (f"{ANSWERS} answers later", [DEFAULT_CHECKPOINT] * ANSWERS)]
        steps += [(f"and {one}, same encoder", [one]) for one in sharing] + [(f"and {OTHER}", [OTHER])]
        found: dict[str, Any] = {"torch alone, imported": _of_torch_alone()}
        arguments = ("--checkpoints", str(folder), "--models", str(len(shipped) + 1))
        with served(*arguments) as app, closing(Visitor(app.url)) as visitor:
            app.wait_until_ready()
            found["page answers, default model loaded"] = resident_mb(app.process_id)
            for title, checkpoints in steps:
                tell(f"memory: {title}")
                for checkpoint in checkpoints:
                    visitor.compare(picture, checkpoint, "", "")
                found[title] = resident_mb(app.process_id)
            found["peak"] = resident_mb(app.process_id, peak=True)
    return {"resident_mb": found}


def _of_torch_alone() -> float | None:
    """MB resident of a process that has done nothing but import torch."""
    code = (
        "import torch; print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return round(int(done.stdout) * 1024 / 1e6, 1) if done.stdout.strip().isdigit() else None
