"""The picture of the cat as the perturbed model sees it, encoded once for all tests of a process."""

from __future__ import annotations

import pytest

from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch


@pytest.fixture(scope="session")
def encoded(perturbed_model: DualBranch) -> EncodedImage:
    return Explainer(perturbed_model).encode(EXAMPLES / "cat.jpg")
