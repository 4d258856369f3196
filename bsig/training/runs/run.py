"""A run of the Fine-tune screen: its request, its state, and its measures; `folder.py` keeps them as files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from bsig.inputs.errors import InputError
from bsig.training.config import FinetuneConfig, from_json

DataKind = Literal["bundled", "folder", "zip", "torchvision"]
Standing = Literal["queued", "running", "finished", "stopped", "failed", "interrupted"]
ENDED: tuple[Standing, ...] = ("finished", "stopped", "failed", "interrupted")


@dataclass(frozen=True)
class RunRequest:
    """The request of a run.

    Attributes:
        data: where the pictures come from: the shipped features, a folder, an unpacked zip (then the run's own
            `data/`), or a torchvision data set.
        address: of the folder or the data set; for people only where the data is shipped or unpacked.
        config: settings, with the device.
        probe_class: the class whose sigmoid map is redrawn every epoch, by name; None for the predicted one.
        seconds: the run's limit, after which it is stopped and keeps its finished epochs; None for no limit.
        estimated_seconds: an estimate from before the start; None where there is none.
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
    """The state of a run.

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
        """Returns the measures of each epoch, from number 0, the start; one repeated after a crash counts once."""
        by_number = {event["number"]: event for event in self.events if event["kind"] == "epoch"}
        return [by_number[number] for number in sorted(by_number)]

    def notes(self) -> list[str]:
        """Returns the sentences on what was left out or changed on the way, each once."""
        return list(dict.fromkeys(event["text"] for event in self.events if event["kind"] == "note"))

    def last(self, kind: str) -> dict[str, Any] | None:
        """Returns the newest event of a kind; None where there is none."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), None)


def request_from_json(entries: Any) -> RunRequest:
    """Returns the request that `asdict` gave these entries of; every rule of the settings is checked again.

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
