"""One run as the page shows it: HTML and pictures from its folder, no components."""

from __future__ import annotations

import html
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from bsig.explain.drawing.comparison import PICTURE_SIZE
from bsig.explain.drawing.heatmaps import View, overlay, shared_limit
from bsig.explain.wording import duration, number_text, whole_percent
from bsig.training.data_check import DataCheck
from bsig.training.runs.run import MAPS, Run
from bsig.training.runs.words import check_words, progress, settings_rows, status
from bsig.ui.components.html import explained

CLASSES_SHOWN = 12
SENTENCES_SHOWN = 5


def status_html(run: Run, position: int | None) -> str:
    """The sentence, a bar, and what was left out."""
    at = progress(run)
    bar = ""
    if run.state.standing == "running":
        value = "" if at.share is None else f' value="{at.share:.4f}"'
        bar = f'<progress class="bsig-progress" max="1"{value} aria-label="{html.escape(at.words)}"></progress>'
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in run.notes()[:SENTENCES_SHOWN])
    more = len(run.notes()) - SENTENCES_SHOWN
    if more > 0:
        notes += f"<li>and {more} more</li>"
    listed = f"<ul class='bsig-notes'>{notes}</ul>" if notes else ""
    return (
        f'<div class="bsig-finding" role="status" data-standing="{run.state.standing}" '
        f'data-epochs="{run.state.epochs_done}">{html.escape(status(run, position))}{bar}</div>{listed}'
    )


def settings_html(run: Run) -> str:
    """All settings as a table."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in settings_rows(run)
    )
    return f"<table class='bsig-table'><tbody>{rows}</tbody></table>"


def check_html(check: DataCheck, class_names: tuple[str, ...], *, new_head: bool) -> str:
    """The data in a sentence and a table: each class, its pictures, and which class of the model it is."""
    names = sorted(check.counts, key=lambda name: (name in check.match.index_of, name))  # what did not match first
    rows = "".join(
        f"<tr><td>{html.escape(name[:60])}</td><td class='number'>{check.counts[name]}</td>"
        f"<td>{_matched(name, check, class_names, new_head=new_head)}</td></tr>"
        for name in names[:CLASSES_SHOWN]
    )
    if len(names) > CLASSES_SHOWN:
        rows += f"<tr><td>and {len(names) - CLASSES_SHOWN} more</td><td></td><td></td></tr>"
    problems = "".join(f"<li>{html.escape(text)}</li>" for text in check.unreadable[:SENTENCES_SHOWN])
    listed = f"<ul class='bsig-notes'>{problems}</ul>" if problems else ""
    return (
        f'<p class="bsig-note" role="status">{html.escape(check_words(check, new_head=new_head))}</p>'
        "<table class='bsig-table'><thead><tr><th>Folder</th><th class='number'>pictures</th><th>class</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>{listed}"
    )


def _matched(name: str, check: DataCheck, class_names: tuple[str, ...], *, new_head: bool) -> str:
    if new_head:
        return "new"
    index = check.match.index_of.get(name)
    return "<b>no such class: left out</b>" if index is None else html.escape(class_names[index])


def list_rows(runs: list[Run]) -> list[tuple[str, str]]:
    """(label, name) of each run for the menu, newest first."""
    return [(f"{run.name} ({run.state.standing})", run.name) for run in runs]


def runs_html(runs: list[Run]) -> str:
    """All runs with where they stand and their main settings."""
    if not runs:
        return '<p class="bsig-note">No runs yet.</p>'
    rows = "".join(
        f"<tr><td>{html.escape(run.name)}</td><td>{run.state.standing}</td>"
        f"<td class='number'>{run.state.epochs_done} of {run.request.config.training.epochs}</td>"
        f"<td>{html.escape(run.request.config.training.branch)}</td>"
        f"<td class='number'>{run.request.config.training.learning_rate:g}</td>"
        f"<td class='number'>{_took(run)}</td></tr>"
        for run in runs
    )
    return (
        "<div class='bsig-scroll'><table class='bsig-table'><thead><tr><th>Run</th><th>stands</th>"
        f"<th class='number'>{explained('epochs')}</th><th>branch</th>"
        f"<th class='number'>{explained('learning rate')}</th>"
        f"<th class='number'>took</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _took(run: Run) -> str:
    if run.state.started is None or run.state.ended is None:
        return ""
    return duration(run.state.ended - run.state.started)


# The probe picture.


def probe_epochs(run: Run) -> list[int]:
    """The epochs whose map of the probe is kept, ascending; empty without a probe."""
    found = [path.stem.removeprefix("sigmoid-") for path in (run.folder / MAPS).glob("sigmoid-*.npy")]
    return sorted(int(number) for number in found if number.isdigit())


def probe_pictures(run: Run, epoch: int, view: View = "positive") -> tuple[Image.Image, Image.Image, float] | None:
    """The unmoving softmax map, the sigmoid map after an epoch, and where their one scale ends; None without a probe.

    The scale is that of all epochs together, so that what grows is seen to grow.
    """
    epochs = probe_epochs(run)
    if not epochs or not (run.folder / MAPS / "softmax.npy").is_file():
        return None
    epoch = min(max(epoch, epochs[0]), epochs[-1])
    maps = run.folder / MAPS
    softmax, chosen = np.load(maps / "softmax.npy"), np.load(_file(maps, epoch))
    tops = [_limit_of(file, view) for file in (maps / "softmax.npy", *(_file(maps, one) for one in epochs))]
    limit = max(tops)  # as `shared_limit` of all of them
    with Image.open(maps / "crop.png") as opened:
        crop = opened.convert("RGB").resize(PICTURE_SIZE, Image.Resampling.BICUBIC)
    return overlay(crop, softmax, limit, view=view), overlay(crop, chosen, limit, view=view), limit


def probe_text(run: Run, epoch: int) -> tuple[str, str]:
    """Descriptions of the two pictures, with their numbers."""
    maps, start = run.folder / MAPS, run.last("start") or {}
    name = start.get("probe_class", "the predicted class")
    softmax, sigmoid = np.load(maps / "softmax.npy"), np.load(_file(maps, epoch))
    return (
        f"Softmax map of '{name}', the same in every epoch: positive evidence on {_area(softmax)}",
        f"Sigmoid map of '{name}' after epoch {epoch}: positive evidence on {_area(sigmoid)}, strongest "
        f"{number_text(float(sigmoid.max()))}",
    )


def _area(values: np.ndarray) -> str:
    return f"{whole_percent(float((values > 0).mean()))} of the picture"


def _limit_of(file: Path, view: View) -> float:
    return _kept_limit(file, file.stat().st_mtime_ns, view == "positive")


@lru_cache(maxsize=20_000)
def _kept_limit(file: Path, changed: int, positive_only: bool) -> float:  # noqa: ARG001  of the file as it is now
    """`shared_limit` of one map: a page that is redrawn twice a second reads only the newest."""
    return shared_limit(np.load(file), positive_only=positive_only)


def _file(maps: Path, epoch: int) -> Path:
    return maps / f"sigmoid-{epoch:05d}.npy"
