"""On Hugging Face Spaces: the front matter, what pip may choose, a fine-tune on a GPU that is lent by the second."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio
import pytest
from gradio_client import Client, handle_file
from huggingface_hub import SpaceHardware
from packaging.requirements import Requirement
from packaging.version import Version

from bsig.inputs.paths import CHECKPOINTS_FOLDER, ROOT
from bsig.training.config import FinetuneConfig, TrainingConfig
from bsig.training.runs import zero_gpu
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.run import RunRequest
from bsig.ui.components.examples import bundled_examples
from bsig.ui.server.gradio_internals import TESTED_VERSION
from bsig.ui.server.visitors import COOKIE

STAND_INS = ROOT / "tests" / "stand_ins"
START = "imagenet1k-efficientnet_lite0"
CAT = next(example.path for example in bundled_examples() if example.key == "cat")
ZERO_GPU_TORCH = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def front_matter() -> dict[str, Any]:
    """The lines between the first two `---` of the README: `key: value`, and lists."""
    entries: dict[str, Any] = {}
    key = ""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    for line in text.split("---\n", 2)[1].splitlines():
        if line.startswith("  - "):
            entries[key].append(line.removeprefix("  - "))
        else:
            key, _, value = line.partition(":")
            entries[key] = value.strip().strip('"') or []
    return entries


def requirements(name: str, python: str) -> list[Requirement]:
    """The lines of requirements.txt for a package that count on a Python."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    matches = [requirement for line in lines if line and (requirement := Requirement(line)).name == name]
    environment = {"python_version": python, "python_full_version": f"{python}.12"}
    return [
        requirement for requirement in matches if requirement.marker is None or requirement.marker.evaluate(environment)
    ]


def allowed(name: str, version: str, python: str) -> bool:
    return all(requirement.specifier.contains(version) for requirement in requirements(name, python))


# --- what the Space is told -------------------------------------------------------------------------------------------


def test_the_front_matter_says_what_a_space_needs(front_matter: dict[str, Any]) -> None:
    assert (front_matter["sdk"], front_matter["app_file"], front_matter["license"]) == (
        "gradio",
        "app.py",
        "apache-2.0",
    )
    assert (ROOT / front_matter["app_file"]).is_file()
    assert len(front_matter["short_description"]) <= 60
    assert front_matter["suggested_hardware"] in {hardware.value for hardware in SpaceHardware}
    assert front_matter["pinned"] == "false"
    assert all(front_matter[key] for key in ("title", "emoji", "models", "tags"))
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= colours
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") < 200


def test_the_spaces_gradio_is_one_that_the_app_is_made_for(front_matter: dict[str, Any]) -> None:
    version = front_matter["sdk_version"]
    major, minor = Version(version).release[:2]
    (requirement,) = requirements("gradio", front_matter["python_version"])
    assert str(requirement.specifier) == f"<{major}.{minor + 1},>={major}.{minor}", "one minor version in both files"
    assert Version(gradio.__version__).release[:2] == (major, minor), "tested with the version that the Space installs"
    assert f"{major}.{minor}" == TESTED_VERSION, "gradio_internals.py was written for another one"


def test_on_the_spaces_python_pip_takes_a_torch_that_zero_gpu_knows(front_matter: dict[str, Any]) -> None:
    python = front_matter["python_version"]
    assert python in ("3.10", "3.12")
    assert all(allowed("torch", version, python) for version in ZERO_GPU_TORCH)
    newer = [f"2.{minor}.{patch}" for minor in range(12, 20) for patch in range(3)]
    assert not any(allowed("torch", version, python) for version in newer)
    # Elsewhere newer ones are taken, this project's own among them.
    assert allowed("torch", "2.14.1", "3.11")
    assert allowed("torchvision", "0.26.0", python)


# --- the seconds that are asked for -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimated", "limit", "seconds"),
    [(0.0, 120.0, 15), (20.0, 120.0, 40), (500.0, 120.0, 120), (500.0, 30.0, 40), (None, None, 15)],
)
def test_a_run_asks_for_the_seconds_it_was_estimated_to_take(
    estimated: float | None, limit: float | None, seconds: int, tmp_path: Path
) -> None:
    config = FinetuneConfig(start_from=str(CHECKPOINTS_FOLDER / START), training=TrainingConfig(epochs=1))
    request = replace(RunRequest("bundled", "x", config), estimated_seconds=estimated, seconds=limit)
    folder = RunFolder(tmp_path).create("x", request)
    assert zero_gpu.gpu_seconds(str(folder), str(CHECKPOINTS_FOLDER)) == seconds


@pytest.mark.nightly
def test_off_spaces_nothing_of_it_is_imported() -> None:
    code = (
        "import sys; from bsig.training.runs.zero_gpu import new_maker; "
        "sys.exit('spaces' in sys.modules or new_maker(None) is not None)"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SPACE")}
    environment["PYTHONPATH"] = str(STAND_INS)
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False).returncode == 0


# --- the app on a Space -----------------------------------------------------------------------------------------------


@dataclass
class Space:
    """The running app and what was asked of the stand-in."""

    url: str
    work: Path
    calls_file: Path

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """`python app.py` under the environment of a ZeroGPU Space, with a stand-in for its package."""
    folder = tmp_path_factory.mktemp("space")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "SPACE_ID": "someone/bsig", "SYSTEM": "spaces", "SPACES_ZERO_GPU": "true",
        "SPACE_HOST": "someone-bsig.hf.space", "SPACE_AUTHOR_NAME": "someone", "PYTHONPATH": str(STAND_INS),
        "BSIG_TEST_SPACES_CALLS": str(folder / "calls.jsonl"), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    app = Space(f"http://127.0.0.1:{port}/", folder / "work", folder / "calls.jsonl")
    log = folder / "app.log"
    with log.open("w") as output:
        command = [sys.executable, "app.py", "--port", str(port), "--work-folder", str(app.work)]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                with urllib.request.urlopen(app.url, timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        yield app
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_space_is_public_and_a_finetune_gets_the_gpu_and_gives_the_weights_back(space: Space) -> None:
    assert [call["decorated"] for call in space.calls()] == ["made_on_gpu"]  # before the first visitor
    visitor = Client(space.url, verbose=False)
    assert COOKIE in visitor.cookies
    *_, before = visitor.predict(handle_file(str(CAT)), START, "golf ball", "cam", "signed", api_name="/compare")
    assert len(space.calls()) == 1  # looking costs no GPU time
    answer = visitor.predict(
        data=None, name="mine", start=START, labels="own", branch="full", epochs=2, learning_rate=0.2, batch_size=128,
        seed=0, api_name="/finetune",
    )  # fmt: skip
    assert answer["standing"] == "finished", answer["status"]
    assert [epoch["number"] for epoch in answer["epochs"]] == [0, 1, 2]
    _, called = space.calls()
    assert called["called"] == "made_on_gpu"
    assert called["pid"] != called["parent"]
    assert 15 <= called["seconds"] <= 120
    assert called["answer_bytes"] > 1_000_000  # the trained head itself
    *_, after = visitor.predict(handle_file(str(CAT)), "mine", "golf ball", "cam", "signed", api_name="/compare")
    assert after["softmax"]["map"] == before["softmax"]["map"]
    assert after["sigmoid"]["map"] != before["sigmoid"]["map"]
    (checkpoint,) = space.work.glob("public/*/visitors/*/checkpoints/mine")
    assert {"checkpoint.safetensors", "checkpoint.json"} <= {file.name for file in checkpoint.iterdir()}
    assert Client(space.url, verbose=False).predict(api_name="/runs") == []
