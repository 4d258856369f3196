"""What bsig is made of: files that are installed, and functions that a screen holds."""

from __future__ import annotations

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

from bsig.inputs.paths import ROOT

LONGEST_FUNCTION = 60
"""In lines, with its docstring."""


def test_every_file_that_is_no_python_is_package_data() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    patterns = [f"{package.replace('.', '/')}/{name}" for package, names in declared.items() for name in names]
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "bsig").rglob("*") if path.is_file()]
    data = [file for file in files if not file.endswith((".py", ".pyc", ".pyi"))]
    assert "bsig/ui/components/static/page.js" in data
    assert [file for file in data if not any(fnmatch(file, pattern) for pattern in patterns)] == []


def _long_functions(file: Path) -> list[str]:
    """The functions of a file that are too long, as file:line name."""
    return [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]


def test_no_function_is_longer_than_a_screen() -> None:
    files = [*(ROOT / "bsig").rglob("*.py")]
    assert len(files) > 100
    assert [function for file in files for function in _long_functions(file)] == []
