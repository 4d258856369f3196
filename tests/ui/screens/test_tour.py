"""The tour's steps as functions: each shows maps and says their numbers; what is dragged starts where it should."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from bsig.explain.explainer import EncodedImage, Explainer
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import example_by_key
from bsig.ui.links.view import TOUR_STEPS
from bsig.ui.screens.tour import AS_IT_IS, PICTURE, STEPS, TourStep, absence_sentences, trust_sentences

# What links of before this tour say of step and choice.
OLD_CHOICES = [
    {"likeliest class", "second class", "third class"},
    {"golf ball", "parachute", "gas pump", "French horn"},
    {"top left", "bottom right", "hide it", "background"},
    {"what is there", "golf ball", "parachute", "gas pump", "French horn"},
]


@pytest.fixture(scope="module")
def encoded(perturbed_model: DualBranch) -> EncodedImage:
    return Explainer(perturbed_model).encode(example_by_key(PICTURE).path)


def test_links_of_before_still_open() -> None:
    assert len(STEPS) == len(OLD_CHOICES) == TOUR_STEPS
    assert [old - set(step.choices) for step, old in zip(STEPS, OLD_CHOICES, strict=True)] == [set()] * TOUR_STEPS


@pytest.mark.parametrize("step", STEPS, ids=[step.label for step in STEPS])
def test_each_choice_of_a_step_has_a_map_and_a_number_in_words(encoded: EncodedImage, step: TourStep) -> None:
    for choice in (step.choices[0], step.choices[-1]):
        answer = step.answer(encoded, choice)
        assert answer.explanation.softmax.map.shape == encoded.model.grid_hw
        assert re.search(r"\d", " ".join(answer.sentences))
        assert (answer.drag is not None) == step.is_dragged


def test_the_softmax_drag_starts_where_the_choice_says(encoded: EncodedImage) -> None:
    step = STEPS[2]
    own, hidden = (step.answer(encoded, choice) for choice in (AS_IT_IS, "hide it"))
    assert own.drag
    assert hidden.drag
    assert (own.drag[1] == own.drag[0].own_map).all()
    assert np.abs(hidden.drag[1]).max() < 1e-3 * np.abs(own.drag[1]).max()
    assert own.drag[0].branch == hidden.drag[0].branch == "softmax"


def test_the_sigmoid_drag_is_of_the_class_that_is_asked_for(encoded: EncodedImage) -> None:
    for choice, name in (("what is there", encoded.model.class_names[encoded.predicted_index]), ("parachute",) * 2):
        drag = STEPS[3].answer(encoded, choice).drag
        assert drag
        assert (drag[0].branch, drag[0].class_name) == ("sigmoid", name)
        assert name in drag[0].class_names


PROBABILITIES = (0.0, 0.008, 0.0999, 0.1, 0.499, 0.5, 0.953, 1.0)
AREAS = (0.0, 0.02, 0.163, 0.161, 0.5, 0.89, 0.9, 1.0)


def test_trust_follows_probability_area_and_bright_cells() -> None:
    for probability, area, bright in itertools.product(PROBABILITIES, AREAS, AREAS):
        if bright > area or bool(area) != bool(bright):
            continue
        text = " ".join(trust_sentences("cup", probability, area, bright))
        is_sure = probability >= 0.5
        assert ("so one trusts it" in text) == (is_sure and 0 < bright <= 0.5)
        assert ("oftmax is not sure" in text) == (not is_sure and bool(area))
        assert ("lights up nowhere" in text) == ("is blank" in text) == (area == 0)
        assert ("hardly says where" in text) == (bright > 0.5)
        pair = re.search(r"lights up on (.+) of the picture, brightest on (.+?)\. [A-Z]", text)
        assert pair is None or pair[1] != pair[2]
    first, second = trust_sentences("consomme", 0.008, 1.0, 0.2)
    assert first.endswith("'consomme' 0.8 %, and its heatmap (CAM) lights up on all of the picture, brightest on 20 %.")
    assert "trusts it" not in second


def test_what_is_claimed_for_an_absent_class_follows_both_areas() -> None:
    for probability, softmax, sigmoid, reading in itertools.product(PROBABILITIES, AREAS, AREAS, ("", "levelled")):
        known, claim = absence_sentences("cup", probability, (softmax, sigmoid), reading)
        assert ("the model knows it" in known) == (probability < 0.1)
        assert ("still claims" in claim) <= (softmax > sigmoid)
        assert ("more than softmax" in claim) <= (sigmoid > softmax)
        assert ("Neither" in claim) == (softmax == sigmoid == 0)
        areas = re.findall(r"on (.+?) of the picture|claims (?!evidence|any)(.+?)\.|softmax \((.+?)\)", claim)
        texts = [next(filter(None, groups)) for groups in areas]
        assert len(texts) == len(set(texts))
