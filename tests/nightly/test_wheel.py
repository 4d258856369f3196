"""The wheel, installed: a `bsig` command that explains a picture with the shipped checkpoints, from any folder."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from bsig.inputs.paths import EXAMPLES, ROOT

pytestmark = pytest.mark.nightly
SOURCES = (".ci", "bsig", "checkpoints", "assets", "app.py", "pyproject.toml", "requirements.txt")


def pip(*arguments: object, **options: object) -> None:
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True, capture_output=True, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, which sees this environment's packages but not this clone."""
    folder = tmp_path_factory.mktemp("wheel with a space")
    source, environment = folder / "source", folder / "environment"
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    pip("wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, cwd=source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "shared.pth").write_text("\n".join(site.getsitepackages()))
    pip("--python", environment / "bin" / "python", "install", "--no-deps", "--no-index", *folder.glob("*.whl"))
    shutil.rmtree(source)
    return environment / "bin"


def test_the_command_explains_with_the_shipped_checkpoint(installed: Path, tmp_path: Path) -> None:
    shutil.copyfile(EXAMPLES / "cat.jpg", tmp_path / "cat.jpg")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def output(program: str, *arguments: str) -> str:
        command = [str(installed / program), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    assert output("bsig", "--version").startswith("bsig ")
    assert "imagenet1k-efficientnet_lite0: 1000 classes" in output("bsig", "checkpoints")
    explained = output("bsig", "explain", "cat.jpg", "--out", "out")
    assert explained.startswith("Egyptian cat is here")
    assert json.loads((tmp_path / "out" / "explanation.json").read_text(encoding="utf-8"))["class_index"] == 285
    paths = "from bsig.inputs import paths; print(paths.ROOT, paths.APP.is_file(), paths.EXAMPLES.is_dir())"
    text = output("python", "-c", paths)
    assert str(installed.parent) in text
    assert text.endswith("shipped True True\n")
