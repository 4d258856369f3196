"""Commands as people type them, in a process of their own or in this one."""

from __future__ import annotations

import subprocess

import pytest
from forked import run_forked

from bsig.cli.main import main


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m bsig` as a process of its own, without the type checks of the tests."""
    return run_forked("-m", "bsig", *arguments)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse
        code = end.code
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    assert output.err.startswith("bsig: ")
    assert output.err.count("\n") == 1
    assert output.err.endswith(".\n")
    assert "Traceback" not in output.err
    return output.err
