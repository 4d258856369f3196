"""Measuring by turns: whatever else the machine does, it does to all that are compared.

seconds = alternating({"bare forward": forward, "both branches": explain}, rounds=15)
seconds["both branches"].median / seconds["bare forward"].median
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from bsig.model.versions import library_versions

BESIDE = ("gradio", "grad-cam", "torchcam", "pillow", "isal", "opencv-python-headless")


@dataclass(frozen=True)
class Times:
    """Seconds of one act over the rounds."""

    median: float
    low: float
    high: float
    rounds: int

    def milliseconds(self, digits: int = 2) -> dict[str, float]:
        """Median and quartiles in milliseconds, for JSON."""
        return {
            "median_ms": round(1000 * self.median, digits),
            "quartiles_ms": [round(1000 * value, digits) for value in (self.low, self.high)],  # type: ignore[dict-item]
            "rounds": self.rounds,
        }


def alternating(
    acts: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    warm_up: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Times]:
    """Seconds of each act, all of them once in every round, in the same order; the first `warm_up` rounds do not count.

    Args:
        acts: name -> what is timed.
        rounds: how many count.
        warm_up: how many come before; None for two, or one before a single round.
        tell: called with what is going on.
    """
    if warm_up is None:
        warm_up = min(2, rounds)
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for number in range(warm_up + rounds):
        for name, act in acts.items():
            if tell:
                tell(f"{name}, round {number + 1 - warm_up} of {rounds}")
            started = time.perf_counter()
            act()
            if number >= warm_up:
                taken[name].append(time.perf_counter() - started)
    return {name: times_of(seconds) for name, seconds in taken.items()}


def times_of(seconds: list[float]) -> Times:
    """Median and quartiles of measured seconds."""
    if len(seconds) == 1:
        return Times(seconds[0], seconds[0], seconds[0], 1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Times(median, low, high, len(seconds))


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code: cores, threads, versions, and how busy it was before."""
    return {
        "processor": _processor(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load_before": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {**library_versions(), **{name: version for name in BESIDE if (version := _version(name))}},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
