"""Seeds, the real default model, and the folder of pictures that may not be there."""

from __future__ import annotations

import copy
import gc
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_files import hostile_checkpoints, loadable_checkpoints
from http_visitor import AttackedApp, Visitor, attacked_app_in
from hypothesis import settings
from tolerances import FLOAT32, assert_close
from xdist.scheduler import LoadFileScheduling

from bsig import Explainer, load_checkpoint
from bsig.explain.drawing.comparison import BRANCHES
from bsig.explain.readings import comparison_readings
from bsig.model.backbones import Classifier, load_classifier
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import bundled_examples

CAT = next(example.path for example in bundled_examples() if example.key == "cat")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

ONE_APP = ("tests/app/test_attacks", "tests/browser/")
"""The beginnings of the names of files whose tests ask the same app."""

gc.disable()  # what imports and collection make stays; the search goes on when the tests begin
torch.set_num_threads(1)  # the cores are shared by the workers of pytest-xdist
settings.register_profile("bsig", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("bsig")


class _FilesWithOneApp(LoadFileScheduling):
    """A worker a file, as `--dist loadfile`, and one for all files that ask the same app: it is started once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((group for group in ONE_APP if file.startswith(group)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """The nightly lane has most of the browser's tests, too many for one worker."""
    is_nightly = "nightly" in (config.getoption("-m") or "")
    return None if is_nightly else _FilesWithOneApp(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves nightly tests out unless `-m` names them."""
    if "nightly" in (config.getoption("-m") or ""):
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("nightly")])
    items[:] = [item for item in items if not item.get_closest_marker("nightly")]


def pytest_collection_finish() -> None:
    """What importing and collecting made stays to the end, so the collector need not look through it for garbage."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  third-party code draws from the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def default_classifier() -> Classifier:
    return load_classifier()


@pytest.fixture(scope="session")
def default_model(default_classifier: Classifier) -> DualBranch:
    """Both branches equal, as at the start of a fine-tune. Shared by all tests: never train it."""
    return DualBranch(default_classifier)


@pytest.fixture(scope="session")
def perturbed_model(default_classifier: Classifier) -> DualBranch:
    """A sigmoid head that has moved by a tenth of its weights' spread, with a part shared by all classes."""
    head = copy.deepcopy(default_classifier.head)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        weight, bias = head.last_linear.weight, head.last_linear.bias
        spread = 0.1 * weight.std()
        weight += spread * torch.randn(weight.shape, generator=generator)
        weight += spread * torch.randn(weight.shape[1], generator=generator)
        bias -= 0.5
    return DualBranch(default_classifier, head, name="perturbed")


@pytest.fixture(scope="session")
def shipped_model() -> DualBranch:
    """The default checkpoint: its sigmoid branch is trained, and presence calibrated."""
    return load_checkpoint()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the project's pictures (../shared/data, not redistributable) are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def attacked_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedApp]:
    """The app as strangers meet it, a process of its own, with hostile checkpoints beside those that ship."""
    folder = tmp_path_factory.mktemp("attacked")
    with attacked_app_in(folder, loadable_checkpoints, hostile_checkpoints) as app:
        yield app


@pytest.fixture(scope="session")
def right_maps() -> dict[str, np.ndarray]:
    """What `/compare` must answer for the cat and the golf ball."""
    model = load_checkpoint()
    explanation = Explainer(model).encode(CAT).explain("golf ball", **comparison_readings(model, None, "signed"))
    return {branch: getattr(explanation, branch).map for branch in BRANCHES}


@pytest.fixture
def attacker(attacked_app: AttackedApp, right_maps: dict[str, np.ndarray]) -> Iterator[Visitor]:
    """A visitor; afterwards another one must get the right answer, and the log must hold no defect."""
    before = len(attacked_app.log())
    attacker = Visitor(attacked_app.url)
    yield attacker
    attacker.close()
    other = Visitor(attacked_app.url)
    *_, answer = other.compare(CAT.read_bytes(), "golf ball")
    other.close()
    for branch, values in right_maps.items():
        assert_close(np.array(answer[branch]["map"], dtype=np.float32), values, FLOAT32)
    assert '"outcome": "defect"' not in attacked_app.log()[before:]
