"""The tour's steps as functions: each shows a map and says its numbers."""

from __future__ import annotations

import re

import pytest

from bsig.explain.explainer import EncodedImage, Explainer
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import example_by_key
from bsig.ui.screens.tour import PICTURE, STEPS, TourStep


@pytest.fixture(scope="module")
def encoded(perturbed_model: DualBranch) -> EncodedImage:
    return Explainer(perturbed_model).encode(example_by_key(PICTURE).path)


@pytest.mark.parametrize("step", STEPS, ids=[step.label for step in STEPS])
def test_each_choice_of_a_step_has_a_map_and_a_number_in_words(encoded: EncodedImage, step: TourStep) -> None:
    for choice in (step.choices[0], step.choices[-1]):
        answer = step.answer(encoded, choice)
        assert answer.explanation.evidence(answer.branch).map.shape == encoded.model.grid_hw
        assert re.search(r"\d", " ".join(answer.sentences))


def test_the_painted_map_is_drawn_on_the_scale_of_the_honest_one(encoded: EncodedImage) -> None:
    step = next(step for step in STEPS if step.label == "Move")
    answer = step.answer(encoded, "hide it")
    assert answer.scale_of is not None
    assert answer.scale_of.class_index == answer.explanation.class_index
    assert answer.scale_of.softmax.probability == pytest.approx(answer.explanation.softmax.probability, abs=1e-5)
