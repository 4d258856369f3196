"""Progress on stderr: the remaining time, what an interrupted run had done, and lines for logs and programs."""

from __future__ import annotations

import sys
import time

import pytest

from bsig.cli.progress import ProgressLine, progress_lines


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)


def test_the_remaining_time_goes_by_what_this_run_has_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch, is_terminal=True)
    show = ProgressLine("pictures")
    show(50, 100)  # at once: an interrupted run had done them
    clock.now += 10
    show(60, 100)  # ten in ten seconds, forty to go
    lines = capsys.readouterr().err.split("\r")
    assert lines[1].strip() == "50/100 pictures"
    assert "60/100 pictures, 40" in lines[2]


def test_a_log_gets_a_line_every_half_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch, is_terminal=False)
    show = ProgressLine("pictures")
    for count in range(1, 71):
        clock.now += 1
        show(count, 70)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_programs_get_two_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    progress_lines(3, 8)
    assert capsys.readouterr().err == "progress 3 8\n"
