"""All commands: help, wrong usage, and a reader that goes away."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from commands import refusal

from bsig.cli.main import COMMANDS, main


@pytest.mark.parametrize("command", [[], *([command.name] for command in COMMANDS)])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: python -m bsig" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["explode"], ["explain"], ["finetune", "x"], ["checkpoints", "x"]])
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--help" in refusal(capsys, *arguments)


def test_a_reader_that_stops_listening_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with (tmp_path / "stdout").open("w") as file:
        closed = Closed()
        closed.fileno = file.fileno
        monkeypatch.setattr(sys, "stdout", closed)
        code = main(["checkpoints"])
        monkeypatch.undo()
    assert code == 0
