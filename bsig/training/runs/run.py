"""A run of the Fine-tune screen: what it is asked to do, where it stands, and what it has measured.

`RunRequest` and `RunState` are read from JSON and written to it; where the files lie is `folder.py`'s to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from bsig.inputs.errors import InputError
from bsig.training.config import (
    FinetuneConfig,
    from_json,
)

DataKind = Literal["bundled", "folder", "zip", "torchvision"]
Standing = Literal["queued", "running", "finished", "stopped", "failed", "interrupted"]
ENDED: tuple[Standing, ...] = ("finished", "stopped", "failed", "interrupted")


@dataclass(frozen=True)
class RunRequest:
    """What a run is asked to do.

    Attributes:
        data: where the pictures come from: the shipped features, a folder, an unpacked zip (then the run's own
            `data/`), or a torchvision data set.
        address: of the folder or the data set; for people only where the data is shipped or unpacked.
        config: settings, with the device.
        probe_class: the class whose sigmoid map is redrawn every epoch, by name; None for the predicted one.
        seconds: after which the run is stopped and keeps its finished epochs; None for no limit.
        estimated_seconds: how long it was thought to take when it was asked for; None where nobody asked.
        keeps_features: the features of its pictures are kept for other runs; else they go with the run's own data.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    data: DataKind
    address: str
    config: FinetuneConfig
    probe_class: str | None = None
    seconds: float | None = None
    estimated_seconds: float | None = None
    keeps_features: bool = True


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    Attributes:
        sentence: what a person should know: why it failed, what was kept.
        epochs_done: finished and kept.
        checkpoint: the folder that was written, or None.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    standing: Standing = "queued"
    sentence: str = ""
    phase: str = ""
    epochs_done: int = 0
    checkpoint: str | None = None
    created: float = 0.0
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class Run:
    """One run as it stands on disk, with its events in order."""

    name: str
    folder: Path
    request: RunRequest
    state: RunState
    events: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    def epochs(self) -> list[dict[str, Any]]:
        """The measures of each epoch, from the start (number 0); an epoch repeated after a crash counts once."""
        by_number = {event["number"]: event for event in self.events if event["kind"] == "epoch"}
        return [by_number[number] for number in sorted(by_number)]

    def notes(self) -> list[str]:
        """The sentences on what was left out or changed on the way, each once."""
        return list(dict.fromkeys(event["text"] for event in self.events if event["kind"] == "note"))

    def last(self, kind: str) -> dict[str, Any] | None:
        """The newest event of a kind; None where there is none."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), None)


def request_from_json(entries: Any) -> RunRequest:
    """The request that `asdict` gave these entries of; every rule of the settings is checked again.

    Raises:
        InputError: no request; the sentence names what is wrong.
    """
    try:
        config = dict(entries["config"])
    except (TypeError, KeyError, ValueError):
        raise InputError("`config` (none) must hold the settings.") from None
    if "workers" in config:  # as runs were written before the encoding had settings of its own
        config["encoding"] = {"workers": config.pop("workers")}
    return from_json(RunRequest, {**entries, "config": config})
