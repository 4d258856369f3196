"""A run as HTML: names are text in every piece of it."""

from __future__ import annotations

from dataclasses import replace

from bsig.training.runs.folder import RunFolder
from bsig.training.runs.run import RunRequest
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.run import runs_html, settings_html, status_html
from bsig.ui.workbench import Workbench


def test_names_are_text_in_every_piece_of_html(runs: RunFolder) -> None:
    config = Form().config(Workbench())
    folder = runs.create("html", RunRequest("folder", "<script>alert(1)</script>", config))
    run = replace(runs.read(folder.name), events=({"kind": "note", "at": 0, "text": "<img src=x>"},))
    for piece in (status_html(run, None), settings_html(run), runs_html([run])):
        assert "<script>" not in piece
        assert "<img" not in piece
