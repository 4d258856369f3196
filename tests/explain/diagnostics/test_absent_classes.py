"""Which classes are taken to be absent, and the area that maps claim for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import reference
import torch
from random_heads import CHANNELS, class_maps, random_head
from tolerances import IDENTITY, assert_close

from bsig.explain.diagnostics.absent_classes import (
    SURELY_ABSENT,
    absent_classes,
    area_at_own_area,
    class_areas,
    most_claimed_absent_class,
    positive_area,
)
from bsig.explain.diagnostics.logit_shift import uniform_shift
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import shifted_rows

HEAD = random_head(1)


def test_absent_classes_are_absent_seeded_and_distinct() -> None:
    absent = absent_classes(range(1000), [7, 3])
    assert len(absent) == len(set(absent)) == 100
    assert not {7, 3} & set(absent)
    assert absent == absent_classes(range(1000), [3, 7])
    assert absent != absent_classes(range(1000), [3, 7], seed=1)
    assert absent_classes(range(3), [0, 2]) == [1]
    assert absent_classes(range(1), [0]) == []


def test_each_picture_has_a_draw_of_its_own_whatever_other_pictures_are_asked_about() -> None:
    draws = [absent_classes(range(99), [3], 4, position=position) for position in (7, 8, 7)]
    assert draws[0] == draws[2] != draws[1]


def test_classes_are_drawn_from_the_pool_alone() -> None:
    assert sorted(absent_classes([40, 10, 30, 20], [30], 10)) == [10, 20, 40]


def test_the_draw_is_the_one_that_shipped_results_were_measured_with() -> None:
    """Another draw would give other figures than those in the checkpoints' results and in the flat shifts."""
    assert absent_classes(range(1000), [285], 10) == [843, 813, 632, 508, 267, 40, 16, 306, 174, 74]
    assert absent_classes(range(20), [3], 10, seed=1, position=5) == [5, 11, 2, 12, 7, 14, 13, 10, 9, 15]


def test_areas_by_hand() -> None:
    assert positive_area(torch.tensor([[1.0, 0.0, -1.0, 2.0]])) == 0.5
    own, others = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[[3.0, 2.0, 0.9, 0.0]]])
    assert area_at_own_area(own, others) == 0.5  # the level is 2.0, the third of four cells


def test_areas_are_those_of_the_loops() -> None:
    maps = class_maps(HEAD[0], HEAD[1])
    assert positive_area(maps[0]) == reference.positive_area(maps[0].numpy())
    expected = reference.area_at_own_area(maps[0].numpy(), maps[1:].numpy(), 0.7)
    assert_close(area_at_own_area(maps[0], maps[1:]), expected, IDENTITY)


def test_area_at_own_area_ignores_a_constant() -> None:
    features, weight, _, _ = random_head(4)
    maps = class_maps(features, weight)
    assert area_at_own_area(maps[0] - 3, maps[1:] - 3) == area_at_own_area(maps[0], maps[1:])


def test_areas_of_each_head() -> None:
    features, weight, _, _ = random_head(6)
    heads = {"softmax": weight, "lowered": shifted_rows(weight, uniform_shift(CHANNELS, -0.5))}
    areas = {name: class_areas(features, head, 0, present=[0, 1], absent=[2, 4]) for name, head in heads.items()}
    for name, head in heads.items():
        maps = class_maps(features, head).numpy()
        assert areas[name].own == reference.positive_area(maps[0])
        assert areas[name].present == reference.positive_area(maps[1])
        assert areas[name].absent == pytest.approx(reference.positive_area(maps[[2, 4]]))
        expected = reference.area_at_own_area(maps[0], maps[[2, 4]], 0.7)
        assert areas[name].absent_at_own_area == pytest.approx(expected)
    assert areas["lowered"].absent < areas["softmax"].absent  # type: ignore[operator]


def test_none_where_there_are_no_such_classes() -> None:
    features, weight, _, _ = random_head(6)
    areas = class_areas(features, weight, 0, present=[0])
    assert (areas.present, areas.absent, areas.absent_at_own_area) == (None, None, None)


def _claims(encoded: EncodedImage, index: int) -> tuple[int, float]:
    """Cells above zero of the class's softmax map, and the sum of its positive evidence."""
    values = encoded.explain(index).softmax.map
    return int((values > 0).sum()), float(values.clip(min=0).sum())


def test_no_absent_class_claims_more_of_the_picture_than_the_one_that_is_picked(shipped_model: DualBranch) -> None:
    encoded = Explainer(shipped_model).encode(EXAMPLES / "cat.jpg")
    picked, presence = most_claimed_absent_class(encoded), encoded.calibrated_probabilities()
    assert picked is not None
    assert presence is not None
    assert presence[picked] < SURELY_ABSENT
    absent = (presence < SURELY_ABSENT).nonzero()[:, 0].tolist()
    assert all(_claims(encoded, index) <= _claims(encoded, picked) for index in absent[::10])


def test_without_a_calibration_the_lower_half_of_the_sigmoid_branch_is_absent(encoded: EncodedImage) -> None:
    picked = most_claimed_absent_class(encoded)
    assert encoded.calibrated_probabilities() is None
    assert picked is not None
    assert encoded.sigmoid_logits[picked] < encoded.sigmoid_logits.median()


def test_a_predicted_class_is_never_picked_and_none_is_where_none_is_known_to_be_absent(encoded: EncodedImage) -> None:
    logits = torch.zeros_like(encoded.sigmoid_logits)
    assert most_claimed_absent_class(replace(encoded, sigmoid_logits=logits)) is None
    logits[encoded.predicted_index] = -1
    assert most_claimed_absent_class(replace(encoded, sigmoid_logits=logits)) is None
    logits[[3, 5]] = -1
    assert most_claimed_absent_class(replace(encoded, sigmoid_logits=logits)) in (3, 5)
