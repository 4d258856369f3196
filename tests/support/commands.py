"""Commands as people type them, in a process of their own or in this one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bsig.cli.main import main
from bsig.inputs.paths import ROOT


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m bsig` as a process of its own, without the type checks of the tests."""
    command = [sys.executable, "-m", "bsig", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as ended:  # argparse
        code = ended.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.startswith("bsig: ")
    assert said.err.count("\n") == 1
    assert said.err.endswith(".\n")
    assert "Traceback" not in said.err
    return said.err
