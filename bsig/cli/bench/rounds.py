"""Measuring by turns: whatever else the machine does, it does to all that are compared.

times = alternating({"bare forward": forward, "both branches": explain}, rounds=15)
times["both branches"].ratio_to(times["bare forward"])
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch
from bsig.model.versions import library_versions

BESIDE = ("gradio", "grad-cam", "torchcam", "pillow", "isal", "opencv-python-headless")
PICTURE = EXAMPLES / "cat.jpg"
Acts = Mapping[str, Callable[[], Any]]


def examples() -> list[Path]:
    """The bundled pictures, by name."""
    return sorted(EXAMPLES.glob("*.jpg"))


@dataclass(frozen=True)
class Bench:
    """The model that every part measures, and how often.

    Attributes:
        model: the default checkpoint.
        rounds: how often everything is measured, in turns.
        is_quick: whether what takes minutes is left out.
        data: pictures for extraction (`DATA`); None for the examples.
        tell: shows what is going on.
    """

    model: DualBranch
    rounds: int
    is_quick: bool
    data: str | None
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Times:
    """Median and quartiles of the seconds of one act, and how many rounds were measured."""

    median: float
    low: float
    high: float
    rounds: int

    def median_ms(self, digits: int = 2) -> float:
        """The median in milliseconds."""
        return round(1000 * self.median, digits)

    def ratio_to(self, baseline: Times, digits: int = 3) -> float:
        """The median in medians of another act."""
        return round(self.median / baseline.median, digits)

    def milliseconds(self, digits: int = 2) -> dict[str, Any]:
        """Median and quartiles in milliseconds, for JSON."""
        quartiles = [round(1000 * seconds, digits) for seconds in (self.low, self.high)]
        return {"median_ms": self.median_ms(digits), "quartiles_ms": quartiles, "rounds": self.rounds}


def alternating(
    acts: Acts, rounds: int, tell: Callable[[str], None], *, title: str = "", warm_up: int = 2
) -> dict[str, Times]:
    """The times of each act, by name: every round runs all of them in the same order.

    `warm_up` rounds, at most as many as count, come before. `tell` is called with what is going on.
    """
    seconds: dict[str, list[float]] = {name: [] for name in acts}
    for number in range(1 - min(warm_up, rounds), rounds + 1):
        for name, act in acts.items():
            tell(f"{title}{name}, round {number} of {rounds}")
            start = time.perf_counter()
            act()
            if number > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: times_of(values) for name, values in seconds.items()}


def times_of(seconds: list[float]) -> Times:
    """Median and quartiles of measured seconds."""
    # `quantiles` wants two values at least.
    low, median, high = statistics.quantiles(seconds if len(seconds) > 1 else 2 * seconds, n=4, method="inclusive")
    return Times(median, low, high, len(seconds))


def resident_peak_mb() -> float | None:
    """The peak of this process's resident memory in MB (10^6 bytes); None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code: cores, threads, versions, and how busy it was before."""
    versions = library_versions()
    for package in BESIDE:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "processor": _processor(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load_before": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        if names:
            return names[0]
    return platform.processor() or platform.machine()
