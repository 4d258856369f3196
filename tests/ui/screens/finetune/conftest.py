"""A workbench with a folder for its runs, and a zip of coloured pictures."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from generated import class_folders

from bsig.training.runs.folder import RunFolder
from bsig.ui.workbench import Workbench


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def bench(runs: RunFolder) -> Workbench:
    return Workbench(more_folders=[runs.checkpoints])


@pytest.fixture
def pictures_zip(tmp_path: Path) -> str:
    """Three red and three green pictures in two class folders."""
    folder, file = class_folders(tmp_path / "data", {"red": "red", "green": "green"}, count=3), tmp_path / "colours.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return str(file)
