"""One run, the list of runs, and a data set that is to be trained on, as HTML."""

from __future__ import annotations

from bsig.explain.wording import duration
from bsig.training.data_check import DataCheck
from bsig.training.runs.run import Run
from bsig.training.runs.words import check_words, held_out_rise, progress, settings_rows, status
from bsig.ui.components import html

CLASSES_SHOWN = 12
SENTENCES_SHOWN = 5


def status_html(run: Run, position: int | None) -> html.Html:
    """The sentence on where the run stands, a bar while it runs, and what was left out."""
    bar = ""
    if run.state.standing == "running":
        at = progress(run)
        bar = html.progress_bar(at.share, at.words)
    sentence = html.finding(
        html.joined(status(run, position), bar), held_out_rise(run),
        data_standing=run.state.standing, data_epochs=str(run.state.epochs_done),
    )  # fmt: skip
    return html.joined(sentence, html.bullets(run.notes(), SENTENCES_SHOWN))


def settings_html(run: Run) -> html.Html:
    """All settings of the run as a table."""
    return html.table([], settings_rows(run))


def check_html(check: DataCheck, class_names: tuple[str, ...], *, new_head: bool) -> html.Html:
    """The data in a sentence and a table: each class, its pictures, and which class of the model it is."""
    names = sorted(check.counts, key=lambda name: (name in check.match.index_of, name))  # what did not match first
    rows: list[list[str | html.Cell]] = [
        [name[:60], html.number(str(check.counts[name])), _class_of(name, check, class_names, new_head=new_head)]
        for name in names[:CLASSES_SHOWN]
    ]
    if len(names) > CLASSES_SHOWN:
        rows.append([f"and {len(names) - CLASSES_SHOWN} more", "", ""])
    return html.joined(
        html.note(check_words(check, new_head=new_head), role="status"),
        html.table(["Folder", html.number("pictures"), "class"], rows),
        html.bullets(check.unreadable[:SENTENCES_SHOWN]),
    )


def _class_of(name: str, check: DataCheck, class_names: tuple[str, ...], *, new_head: bool) -> str:
    if new_head:
        return "new"
    index = check.match.index_of.get(name)
    return html.bold("no such class: left out") if index is None else class_names[index]


def menu_rows(runs: list[Run]) -> list[tuple[str, str]]:
    """Each run for the menu, as label and name, newest first."""
    return [(f"{run.name} ({run.state.standing})", run.name) for run in runs]


def runs_html(runs: list[Run]) -> html.Html:
    """All runs with where they stand and their main settings."""
    if not runs:
        return html.note("No runs yet.")
    rows: list[list[str | html.Cell]] = []
    for run in runs:
        training = run.request.config.training
        rows.append([
            run.name, run.state.standing, html.number(f"{run.state.epochs_done} of {training.epochs}"), training.branch,
            html.number(f"{training.learning_rate:g}"), html.number(_duration(run)),
        ])  # fmt: skip
    columns: list[str | html.Cell] = [
        "Run",
        "stands",
        html.number("epochs"),
        "branch",
        html.number("learning rate"),
        html.number("took"),
    ]
    return html.table(columns, rows, scrolls=True)


def _duration(run: Run) -> str:
    if run.state.started is None or run.state.ended is None:
        return ""
    return duration(run.state.ended - run.state.started)
