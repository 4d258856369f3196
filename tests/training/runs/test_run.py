"""A request is read back as it was asked; what is no request is refused by name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from run_requests import REQUESTS, run

from bsig.inputs.errors import InputError
from bsig.training.config import FinetuneConfig
from bsig.training.runs.run import RunRequest, RunState, request_from_json


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_is_read_back_as_it_was_asked(request_: RunRequest) -> None:
    assert request_from_json(json.loads(json.dumps(asdict(request_)))) == request_


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": "tape"}, "`data` (='tape')"),
        ({"address": None}, "`address` (=None)"),
        ({"seconds": "60"}, "`seconds` (='60')"),
        ({"patience": 3}, "`patience` (=3)"),
        ({"config": 7}, "`config` (none)"),
        ({"config": {"views": {"count": 0}}}, "`views` (=0) must be at least 1."),
        ({"config": {"epochs": 3}}, "`config.epochs` (=3)"),
        ({"config": {"training": {"branch": "shift"}, "damping": {"strength": 2.0}}}, "`damping` needs a full branch"),
    ],
)
def test_what_is_no_request_is_refused_by_name(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        request_from_json({**asdict(REQUESTS[0]), **change})
    assert sentence in str(caught.value)


def test_a_request_without_later_entries_gets_their_defaults() -> None:
    entries = asdict(RunRequest("folder", "/data", FinetuneConfig()))
    for name in ("seconds", "estimated_seconds", "keeps_features"):
        del entries[name]
    for name in ("flat_shift", "damping", "encoding"):
        del entries["config"][name]
    assert request_from_json(entries) == RunRequest("folder", "/data", FinetuneConfig())


def test_epochs_are_in_order_and_notes_are_said_once() -> None:
    events = [{"kind": "epoch", "number": number} for number in (2, 0, 1)]
    notes = [{"kind": "note", "text": text} for text in ("one", "two", "one")]
    result = run(RunState(), *events, *notes)
    assert [epoch["number"] for epoch in result.epochs()] == [0, 1, 2]
    assert result.notes() == ["one", "two"]
    assert result.last("note") == {"kind": "note", "text": "one"}
    assert result.last("start") is None
