"""What an installed bsig is made of."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from bsig.inputs.paths import ROOT


def test_every_file_that_is_no_python_is_package_data() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    patterns = [f"{package.replace('.', '/')}/{name}" for package, names in declared.items() for name in names]
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "bsig").rglob("*") if path.is_file()]
    data = [file for file in files if not file.endswith((".py", ".pyc", ".pyi"))]
    assert "bsig/ui/components/static/page.js" in data
    assert [file for file in data if not any(fnmatch(file, pattern) for pattern in patterns)] == []
