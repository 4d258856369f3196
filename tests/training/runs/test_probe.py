"""What is looked at after every epoch equals what the explainer and plain loops say of the same head."""

from __future__ import annotations

import copy

import pytest
import torch
from PIL import Image
from tolerances import FLOAT32, assert_close

from bsig.explain.explainer import Explainer
from bsig.inputs.errors import InputError
from bsig.model.backbones import Classifier
from bsig.model.dual_branch import DualBranch
from bsig.training.runs.probe import ABSENT_PER_PICTURE, Probe
from bsig.ui.components.examples import bundled_examples


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [Image.open(example.path).convert("RGB") for example in bundled_examples()[:3]]


@pytest.mark.parametrize("method", ["cam", "grad-cam"])
def test_the_probes_map_is_the_explainers(
    perturbed_model: DualBranch, pictures: list[Image.Image], method: str
) -> None:
    probe = Probe.of(perturbed_model, pictures[0], "golf ball", pictures, method)
    encoded = Explainer(perturbed_model).encode(pictures[0])
    explanation = encoded.explain("golf ball", method)
    for head, evidence in (
        (perturbed_model.sigmoid_head, explanation.sigmoid),
        (perturbed_model.softmax_head, explanation.softmax),
    ):
        probe_map = probe.picture_map(head)
        assert probe_map is not None
        assert_close(probe_map, evidence.map, FLOAT32)


def test_areas_are_the_mean_over_pictures_and_classes_of_cells_above_zero(
    perturbed_model: DualBranch, pictures: list[Image.Image]
) -> None:
    probe = Probe.of(perturbed_model, None, None, pictures)
    assert probe.class_index.shape == (3, 1 + ABSENT_PER_PICTURE)
    own, absent = [], []
    for picture, classes in zip(pictures, probe.class_index.tolist(), strict=True):
        encoded = Explainer(perturbed_model).encode(picture)
        assert classes[0] == encoded.predicted_index
        likeliest = {*encoded.top_classes("softmax", 10), *encoded.top_classes("sigmoid", 10)}
        assert not likeliest & set(classes[1:])
        areas = [encoded.explain(index).sigmoid.positive_area for index in classes]
        own.append(areas[0])
        absent.append(sum(areas[1:]) / ABSENT_PER_PICTURE)
    result = probe.areas(perturbed_model.sigmoid_head)
    assert_close(torch.tensor([result.own, result.absent]), torch.tensor([sum(own) / 3, sum(absent) / 3]), FLOAT32)


def test_few_classes_a_class_that_is_not_there_and_no_picture_at_all(
    default_classifier: Classifier, pictures: list[Image.Image]
) -> None:
    head = copy.deepcopy(default_classifier.head)
    head.linear = torch.nn.Linear(1280, 2)
    small = DualBranch(
        Classifier("two", default_classifier.encoder, head.requires_grad_(False), default_classifier.preprocessing,
                   ("a", "b"), ("a", "b"), {})
    )  # fmt: skip
    probe = Probe.of(small, pictures[0], "golf ball", [])
    assert probe.class_index.shape == (1, 2)  # the predicted class, and the one that is left
    assert probe.picture_class == probe.class_index[0, 0]
    with pytest.raises(InputError, match="at least one"):
        Probe.of(small, None, None, [])
