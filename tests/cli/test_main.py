"""All commands: help, wrong usage, and a reader that goes away."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import refusal

from bsig.cli.main import COMMANDS, main
from bsig.cli.streams import write_any_letter
from bsig.inputs.paths import ROOT


@pytest.mark.parametrize("command", [[], *([command.name] for command in COMMANDS)])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
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


LIGHT = """
import sys
from bsig.cli.main import main
HEAVY = ("torch", "timm", "numpy", "plotly", "matplotlib", "cv2", "scipy", "pytorch_grad_cam", "jinja2", "gradio")
def loaded(*arguments):
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    print("LOADED", code, *(name for name in HEAVY if name in sys.modules))
for arguments in ({arguments}):
    loaded(*arguments)
"""


def loaded_by(*commands: tuple[object, ...]) -> list[str]:
    """After each command, run in turn in one fresh interpreter: its exit code and the heavy packages that are there."""
    script = LIGHT.format(arguments="".join(f"{tuple(map(str, command))!r}," for command in commands))
    process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return [line.removeprefix("LOADED ") for line in process.stdout.splitlines() if line.startswith("LOADED ")]


def test_help_version_and_wrong_usage_need_nothing_heavy_and_bad_input_no_torch(tmp_path: Path) -> None:
    cat, broken = ROOT / "assets" / "examples" / "cat.jpg", tmp_path / "broken"
    broken.mkdir()
    (broken / "checkpoint.json").write_text("{")
    (tmp_path / "cut.jpg").write_bytes(cat.read_bytes()[:2000])
    (tmp_path / "more.zip").write_bytes(b"no zip")
    names = [command.name for command in COMMANDS]
    good = [("--help",), ("--version",), *((name, "--help") for name in names)]
    wrong = [("explode",), *((name, "--no-such-option") for name in names), ("finetune", "x", "--seed", "y")]
    bad = [
        ("explain", tmp_path / "nowhere.jpg"),
        ("explain", tmp_path / "cut.jpg"),
        ("explain", ROOT / "README.md"),
        ("explain", broken),
        ("explain", tmp_path / "more.zip"),
        ("explain", cat, "--out", cat),
        ("explain", cat, "--method", "smooth-cam"),
        ("explain", cat, "--checkpoint", "nowhere"),
        ("explain", cat, "--checkpoint", broken),
    ]
    answers = loaded_by(*good, *wrong, *bad)
    assert answers == ["0"] * len(good) + ["2"] * len(wrong) + ["2 numpy"] * len(bad)


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
