"""The notebook page runs as it stands, and every value that it shows is the one that comes out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import bsig
from bsig.inputs.paths import ASSETS, ROOT

PAGE = ASSETS / "docs" / "notebook.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def run_block(block: str, names: dict[str, object]) -> list[tuple[str, str]]:
    """Runs a block; the shown and the actual repr of each expression with a value below it."""
    lines, values = block.splitlines(), []
    for statement in ast.parse(block).body:
        code = ast.get_source_segment(block, statement)
        following = lines[statement.end_lineno] if statement.end_lineno < len(lines) else ""
        if isinstance(statement, ast.Expr) and following.startswith("# "):
            values.append((following.removeprefix("# "), repr(eval(code, names))))
        else:
            exec(compile(code, str(PAGE), "exec"), names)
    return values


def test_every_block_runs_and_gives_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    values = [value for block in BLOCKS for value in run_block(block, names)]
    assert len(values) > 15
    assert [actual for _, actual in values] == [value for value, _ in values]


def test_the_page_shows_every_public_call() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown_by_their_repr = {"__version__"}
    assert {name for name in set(bsig.__all__) - shown_by_their_repr if name not in text} <= {"Evidence"}
