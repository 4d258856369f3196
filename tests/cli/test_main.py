"""All commands: help, wrong usage, and a reader that goes away."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from commands import refusal

from bsig.cli.main import COMMANDS, main
from bsig.cli.streams import write_any_letter


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


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_letter_that_the_terminal_lacks_is_written_by_its_number(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON stays JSON of the same text, in a pipe of whatever encoding; so do names with broken bytes."""
    text = "\u2191 caf\u00e9 \U0001f426 \udce9"
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding=encoding))
    write_any_letter(sys.stdout)
    sys.stdout.write(json.dumps(text, ensure_ascii=False))
    sys.stdout.flush()
    assert json.loads(buffer.getvalue().decode(encoding)) == text


def test_the_shipped_results_are_printed_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    assert main(["results"]) == 0
    assert b"\\u2191" in buffer.getvalue()  # the arrow of what is better


def test_an_argument_that_is_not_utf8_is_refused_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "explain", "caf\udce9.jpg")
    assert "the command line holds the name 'caf?.jpg', which is not UTF-8; rename it" in line
