"""What a command takes from its start on, in fresh interpreters, and which packages its imports spend that time in."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from bsig.cli.bench.rounds import PICTURE, Acts, Bench, alternating
from bsig.inputs.errors import InputError
from bsig.inputs.paths import IMPORT_FOLDER
from bsig.model.backbones import DEFAULT_BACKBONE

BASELINE = "import torch, timm and a forward pass"
HELP, MISSING, EXPLAIN = "--help", "explain, a picture that is missing", "explain, a bundled example"
FORWARD = (
    f"import torch, timm; network = timm.create_model('{DEFAULT_BACKBONE}').eval()\n"
    "with torch.no_grad(): network(torch.rand(1, 3, 224, 224))"
)
IMPORTED = "timm, bsig.cli.explain_pictures"
SHOWN_PACKAGES = 12
# Parts of torch that have a row of their own.
OWN_ROWS = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch.fx")
IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


def start_results(bench: Bench) -> dict[str, Any]:
    """Seconds of commands beside a program that imports torch and timm and runs the network; imports by package."""
    rounds = max(1, min(3, bench.rounds // 5))
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        explain = ("-m", "bsig", "explain", str(PICTURE), "--out", folder)
        acts: Acts = {
            "import torch, timm": partial(_run, "-c", "import torch, timm"),
            BASELINE: partial(_run, "-c", FORWARD),
            HELP: partial(_run, "-m", "bsig", "--help"),
            MISSING: partial(_run, "-m", "bsig", "explain", "no-such-picture.jpg", code=2),
            EXPLAIN: partial(_run, *explain),
        }
        times = alternating(acts, rounds, bench.tell, warm_up=int(rounds > 1))
    bench.tell("imports")
    return {
        "seconds": {name: round(seconds.median, 2) for name, seconds in times.items()},
        "explain_against_baseline": times[EXPLAIN].ratio_to(times[BASELINE], 2),
        "imports": package_times(_run("-X", "importtime", "-c", f"import {IMPORTED}")),
    }


def package_times(report: str) -> list[dict[str, Any]]:
    """Milliseconds and modules of each package in what `python -X importtime` prints, the slowest first.

    A module's time is its own, without what it imports. The last row is of all packages that are not listed.
    """
    time_us: dict[str, int] = defaultdict(int)
    modules: dict[str, int] = defaultdict(int)
    for microseconds, module in IMPORT_LINE.findall(report):
        package = next((name for name in OWN_ROWS if f"{module}.".startswith(f"{name}.")), module.split(".")[0])
        time_us[package] += int(microseconds)
        modules[package] += 1
    slowest = sorted(time_us, key=lambda package: -time_us[package])
    rows = [(package, [package]) for package in slowest[:SHOWN_PACKAGES]]
    if len(slowest) > SHOWN_PACKAGES:
        rows.append((f"{len(slowest) - SHOWN_PACKAGES} others", slowest[SHOWN_PACKAGES:]))
    return [
        {
            "package": title,
            "ms": round(sum(time_us[package] for package in packages) / 1000, 1),
            "modules": sum(modules[package] for package in packages),
        }
        for title, packages in rows
    ]


def _run(*arguments: str, code: int = 0) -> str:
    """The stderr of a fresh interpreter.

    Raises:
        InputError: it ended with another code.
    """
    process = subprocess.run(
        [sys.executable, *arguments], cwd=Path(IMPORT_FOLDER), capture_output=True, text=True, check=False
    )
    if process.returncode != code:
        command = " ".join(arguments)
        raise InputError(f"`python {command}` must end with code {code}, but ended with {process.returncode}.")
    return process.stderr
