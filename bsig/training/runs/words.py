"""The progress of a run, in words and as a share of the whole, from its state and events alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsig.explain.wording import change_text, duration, share_percent
from bsig.inputs.counts import counted, counted_classes
from bsig.training.data_check import DataCheck
from bsig.training.runs.run import ENDED, Run

DATA_WORDS = {
    "bundled": "the shipped features",
    "folder": "a folder",
    "zip": "an uploaded zip",
    "torchvision": "a torchvision data set",
}

CLEAR_RISE = 0.02


@dataclass(frozen=True)
class PhaseProgress:
    """The share of a run's present phase that is done, 0 to 1, and the seconds that are left; None where unknown."""

    share: float | None
    seconds_left: float | None
    words: str


def progress(run: Run, now: float | None = None) -> PhaseProgress:
    """Returns how far the run's present phase is."""
    now = time.time() if now is None else now
    if run.state.standing != "running":
        return PhaseProgress(1.0 if run.state.standing == "finished" else None, None, run.state.standing)
    start = next((event["at"] for event in reversed(run.events) if event["kind"] == "phase"), now)
    if run.state.phase == "encoding pictures":
        return _encoding_progress(run.last("encoded"), start, "pictures encoded")
    if run.state.phase == "training":
        events = [event for event in run.events if event["kind"] == "epoch" and event["at"] >= start]
        epochs = run.request.config.training.epochs
        number = max([run.state.epochs_done, *(event["number"] for event in events)])
        # Every turn begins with the measures of epoch 0; after a resume the epochs that it makes come later.
        count = sum(event["number"] > 0 for event in events)
        seconds_left = (events[-1]["at"] - events[0]["at"]) / count * (epochs - number) if count else None
        return PhaseProgress(number / epochs, seconds_left, f"epoch {number} of {epochs}")
    return PhaseProgress(None, None, run.state.phase)


def _encoding_progress(event: dict[str, Any] | None, start: float, unit: str) -> PhaseProgress:
    if not event or not event["done"]:
        return PhaseProgress(0.0, None, unit)
    seconds_left = (event["at"] - start) / event["done"] * (event["total"] - event["done"])
    return PhaseProgress(event["done"] / event["total"], seconds_left, f"{event['done']} of {event['total']} {unit}")


def status(run: Run, position: int | None) -> str:
    """One sentence: waiting and where in line, running and what is left, or how it ended."""
    standing, epochs = run.state.standing, run.request.config.training.epochs
    if standing == "queued":
        if not position:
            return "Starting: the worker gets ready."
        before = "this one is next" if position == 1 else f"place {position} in line"
        return f"Waiting: another run is being made on this device; {before}."
    if standing == "running":
        at = progress(run)
        time_left = "" if at.seconds_left is None else f", {duration(at.seconds_left)} left"
        return f"Running: {at.words}{time_left}."
    if standing == "finished":
        both = run.state.started is not None and run.state.ended is not None
        seconds = f" in {duration((run.state.ended or 0) - (run.state.started or 0))}" if both else ""
        config = run.request.config
        is_solved = config.flat_shift is not None and config.training.branch == "shift"
        work = "the flat shift, which takes no epochs," if is_solved else counted(epochs, "epoch")
        return f"Finished: {work}{seconds}. {effect(run)}".rstrip()
    words = {"stopped": "Stopped", "failed": "Failed", "interrupted": "Interrupted"}[standing]
    sentence = run.state.sentence or "nothing more is known."
    is_said = sentence.casefold().startswith(words.casefold())
    text = sentence[:1].upper() + sentence[1:] if is_said else f"{words}: {sentence}"
    return f"{text} {effect(run)}".rstrip() if run.state.checkpoint else text


def time_is_up(seconds: float | None, epochs_done: int, run: Run) -> str:
    """Returns why a run that took longer than it may was stopped, what is kept, and what to do."""
    epochs = run.request.config.training.epochs
    state = f"epoch {epochs_done} of {epochs} is kept" if epochs_done else "before the first epoch was finished"
    return f"Stopped after {duration(seconds or 0)}, the limit of a run here: {state}; choose fewer pictures or epochs."


def interrupted(run: Run) -> str:
    """Returns what is kept of a run that was cut off, and what to do."""
    if run.state.standing == "queued":
        return "The app ended while this run was waiting; resume it."
    epochs_done, epochs = run.state.epochs_done, run.request.config.training.epochs
    return f"Interrupted after epoch {epochs_done} of {epochs}, which is kept; resume it to go on from there."


def effect(run: Run) -> str:
    """Returns what training did to the maps of absent classes; empty before there are two epochs."""
    epochs = [epoch for epoch in run.epochs() if "absent_area" in epoch]
    if len(epochs) < 2:
        return ""
    first, last = epochs[0]["absent_area"], epochs[-1]["absent_area"]
    change = change_text(share_percent(first), share_percent(last), "fell" if last < first else "rose", "stayed")
    return (
        f"Positive area for classes that are not there {change} of the watched pictures; the softmax branch is as it "
        "was."
    )


def held_out_rise(run: Run) -> str:
    """Returns a remark where the held-out loss has risen since its lowest epoch; empty where it has not, or by little.

    One epoch of a higher loss is chance, so at least two have passed since the lowest.
    """
    losses = [(epoch["held_out_loss"], epoch["number"]) for epoch in run.epochs()
              if epoch.get("held_out_loss") is not None]  # fmt: skip
    if not losses:
        return ""
    (lowest, best), (last, number) = min(losses), losses[-1]
    low, high = f"{lowest:.3f}", f"{last:.3f}"
    if number - best < 2 or last < lowest * (1 + CLEAR_RISE) or low == high:
        return ""
    return (
        f"The held-out loss was lowest after epoch {best} ({low}) and has risen to {high}: the branch "
        "learns its training pictures by heart; fewer epochs or a lower learning rate may do better."
    )


def can(run: Run) -> dict[str, bool]:
    """Returns what may be done with the run as it stands."""
    has_ended = run.state.standing in ENDED
    return {
        "stop": not has_ended,
        "resume": has_ended and run.state.standing != "finished",
        "download": run.state.checkpoint is not None,
        "delete": has_ended,
    }


def settings_rows(run: Run) -> list[tuple[str, str]]:
    """Returns every setting of a run, for a table."""
    request, config = run.request, run.request.config
    training, start = config.training, run.last("start") or {}
    weight = training.positive_weight
    balanced = f"{start['classes'] - 1} (class-balanced)" if "classes" in start else "class-balanced"
    rows = [
        ("Data", DATA_WORDS[request.data] + ("" if request.data == "zip" else f": {request.address}")),
        ("Start from", Path(config.start_from).name if config.start_from else config.backbone),
        ("Labels", "a new label set" if config.softmax_head else "the classes of the start"),
        ("Branch", "fitted shift" if training.branch == "shift" else "full clone"),
        ("Initialisation", training.initialisation),
        ("Epochs", str(training.epochs)),
        ("Learning rate", f"{training.learning_rate:g}, {training.schedule}"),
        ("Batch size", str(training.batch_size)),
        ("Weight decay", f"{training.weight_decay:g}"),
        ("Positive weight", balanced if weight is None else f"{weight:g}"),
        ("Views of each picture", str(config.views.count)),
        ("Device", config.device),
        ("Seed", str(training.seed)),
    ]
    if config.similar_classes:
        share, count = config.similar_classes.share, config.similar_classes.count
        rows.append(("Similar classes", f"{count} a class, mixed in with a share of {share:g}"))
    if config.flat_shift:
        rows.append(
            ("Flat shift", f"absent classes positive on {share_percent(config.flat_shift.absent_area)} of the cells")
        )
    if config.damping:
        rows.append(("Damping", f"strength {config.damping.strength:g}"))
    if config.encode_every_step:
        rows.append(("Encoding", "a fresh crop at every step"))
    return rows


def check_words(check: DataCheck, *, new_head: bool) -> str:
    """Returns the check of the data in a sentence or two."""
    classes = len(check.counts)
    text = f"{counted(check.usable, 'picture')} to train on"
    if check.held_out:
        text += f", {check.held_out} held out"
    known_classes, class_text = len(check.match.index_of), counted_classes(classes)
    verb = "is" if known_classes == 1 else "are"
    text += f"; {class_text}" if new_head else f"; {known_classes} of {class_text} {verb} the model's"
    if check.unreadable:
        text += f"; {counted(len(check.unreadable), 'file')} cannot be read and will be skipped"
    seconds = check.seconds_encoding + check.seconds_training
    time = f"About {duration(seconds)} ({duration(check.seconds_encoding)} to encode, once)."
    return f"{text}. {check.held_out_sentence} {time}"
