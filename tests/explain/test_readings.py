"""Readings: equal to their loops, order and means kept as claimed, blind to softmax shifts, refused where not exact."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import reference
import torch
from PIL import Image
from random_heads import CHANNELS, CLASSES, COLUMNS, DOUBLE, ROWS
from tolerances import FLOAT32, IDENTITY, PROBABILITY, assert_close
from torch import nn

from bsig.evaluation.metrics.localization import boxes_at_thresholds, score_map
from bsig.explain.cams import Branch
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.explanation import Explanation, summary
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.readings import (
    LINEAR_METHODS,
    READINGS,
    comparison_readings,
    competition,
    default_reading,
    dissimilar,
    log_odds,
    readings_of,
    settings_of,
    why_not_reading,
    window_means,
)
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.inputs.paths import EXAMPLES
from bsig.model.backbones import Classifier, classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead
from bsig.model.presence import PresenceCalibration

BRANCHES: tuple[Branch, ...] = ("softmax", "sigmoid", "centred")
LEVELS = [key for key, reading in READINGS.items() if reading.kind == "level"]
OWN, OTHER = 1, 3


def small_model(classes: int = CLASSES, **metadata: object) -> DualBranch:
    """Two random heads on features that are given."""
    draw = torch.Generator().manual_seed(0)
    heads = []
    for _ in range(2):
        linear = nn.Linear(CHANNELS, classes).requires_grad_(False)
        linear.weight.copy_(0.3 * torch.randn(linear.weight.shape, generator=draw) + 0.1)
        linear.bias.copy_(torch.randn(linear.bias.shape, generator=draw))
        heads.append(PooledLinearHead(linear))
    names = tuple(f"class {index}" for index in range(classes))
    preprocessing = Preprocessing((32, 32), 32)
    return DualBranch(Classifier("small", nn.Identity(), heads[0], preprocessing, names, names, {}), heads[1],
                      metadata=dict(metadata))  # fmt: skip


def encoded_by(model: DualBranch, seed: int = 5) -> EncodedImage:
    features = torch.randn(1, CHANNELS, ROWS, COLUMNS, generator=torch.Generator().manual_seed(seed)).relu()
    with torch.no_grad():
        logits = model.softmax_logits(features)[0], model.sigmoid_logits(features)[0]
    return EncodedImage(model, Image.new("RGB", (32, 32)), model.preprocessing, features, *logits)


def shifted(encoded: EncodedImage, vector: torch.Tensor) -> EncodedImage:
    """The same picture seen by the same classifier with a vector on every row of its softmax head."""
    model = copy.deepcopy(encoded.model)
    model.softmax_head = model.softmax_head.shifted(vector)
    logits = model.softmax_logits(encoded.features)[0].detach()
    return replace(encoded, model=model, softmax_logits=logits, _cell_logits={})


@pytest.fixture(scope="module")
def small() -> EncodedImage:
    return encoded_by(small_model())


def read(encoded: EncodedImage, reading: str, method: str = "cam", **settings: float) -> Explanation:
    other = OTHER if reading == "pairwise" else None
    return encoded.explain(OWN, method, reading=reading, reading_settings=settings, other_class=other)


def numbers(encoded: EncodedImage, branch: Branch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, weight, bias and logits of a branch, float64."""
    linear = encoded._head(branch).last_linear
    features, weight, bias = (each.detach().double().numpy() for each in
                              (encoded.features[0], linear.weight, linear.bias))  # fmt: skip
    if branch == "centred":
        weight, bias = weight - weight.mean(axis=0), bias - bias.mean()
    return features, weight, bias, reference.pooled_linear_logits(features, weight, bias)


def corrected(sigmoid_logits: np.ndarray) -> np.ndarray:
    """Presence of a branch that was trained with a weight of C - 1 and never calibrated."""
    return reference.sigmoid(sigmoid_logits - math.log(CLASSES - 1))


# Equal to their loops.


@pytest.mark.parametrize("branch", BRANCHES)
def test_readings_are_their_equations(small: EncodedImage, branch: Branch) -> None:
    features, weight, bias, logits = numbers(small, branch)
    softmax_logits, sigmoid_logits = (numbers(small, name)[3] for name in ("softmax", "sigmoid"))
    own_map, cells = reference.cam_map(features, weight, OWN), reference.cell_logits(features, weight, bias)
    q = corrected(sigmoid_logits)
    p = reference.softmax(softmax_logits)
    likely = reference.sigmoid(logits)
    softmax_cells, sigmoid_cells = (reference.cell_logits(*numbers(small, name)[:3]) for name in ("softmax", "sigmoid"))
    expected = {
        "plain": own_map,
        "levelled": reference.levelled_map(own_map, q[OWN], 1.5),
        "window": reference.windowed_map(own_map, sigmoid_cells, OWN, 3, 1.5, corrected),
        "window-log-p": reference.windowed_map(own_map, softmax_cells, OWN, 3, 0.5, reference.softmax),
        "sigmoid-logit": reference.moved_map(own_map, sigmoid_logits[OWN], 0.8),
        "log-odds": reference.moved_map(own_map, reference.log_odds(p[OWN]), 1.0),
        "competition": reference.competition_map(cells, OWN, 0.25, list(q)),
        "cell-log-odds": cells[OWN] if branch == "sigmoid"
        else reference.competition_map(cells, OWN, 1.0, [1.0] * CLASSES),
        "pairwise": cells[OWN] - cells[OTHER],
        "finer": reference.finer_map(cells, OWN, softmax_logits, 0.6, 3),
        "probability-gradient": (1 - likely[OWN]) * own_map if branch == "sigmoid"
        else reference.probability_gradient_map(features, weight, OWN, p),
    }  # fmt: skip
    assert expected.keys() == READINGS.keys()
    settings = {"levelled": {"lambda": 1.5}, "sigmoid-logit": {"a": 0.8}, "window": {"lambda": 1.5, "cells": 3},
                "window-log-p": {"lambda": 0.5, "cells": 3}}  # fmt: skip
    for key, one_map in expected.items():
        assert_close(read(small, key, **settings.get(key, {})).evidence(branch).map, one_map, FLOAT32)


def test_competition_can_be_kept_to_classes_that_look_elsewhere(small: EncodedImage) -> None:
    features, weight, bias, _ = numbers(small, "softmax")
    rows = weight - weight.mean(axis=0)
    cosines = [float(row @ rows[OWN] / np.linalg.norm(row) / np.linalg.norm(rows[OWN])) for row in rows]
    level = sorted(cosines)[1] + 1e-6  # two classes stay
    weights = [float(cosine <= level) for cosine in cosines]
    assert sum(weights) == 2
    expected = reference.competition_map(reference.cell_logits(features, weight, bias), OWN, 0.5, weights)
    answer = read(small, "competition", mu=0.5, presence=0, cosine=level)
    assert_close(answer.softmax.map, expected, FLOAT32)
    nobody = read(small, "competition", mu=0.5, presence=0, cosine=-1)
    assert_close(nobody.softmax.map, reference.cell_logits(features, weight, bias)[OWN], FLOAT32)


def test_a_batch_of_classes_is_read_as_each_alone() -> None:
    draw = torch.Generator().manual_seed(3)
    cells = torch.randn(2, CLASSES, ROWS, COLUMNS, generator=draw, dtype=DOUBLE)
    classes = torch.tensor([[0, 4, 2], [1, 1, 3]])
    rows = torch.randn(CLASSES, CHANNELS, generator=draw, dtype=DOUBLE)
    whole = competition(cells, classes, 0.7, None, dissimilar(rows, classes, 0.1))
    for b in range(2):
        for m in range(3):
            alone = classes[b : b + 1, m : m + 1]
            assert_close(competition(cells[b : b + 1], alone, 0.7, None, dissimilar(rows, alone, 0.1))[0, 0],
                         whole[b, m], IDENTITY)  # fmt: skip


# Order, boxes, means.


@pytest.mark.parametrize("method", LINEAR_METHODS)
@pytest.mark.parametrize("reading", LEVELS)
def test_a_level_moves_no_place_and_no_box(encoded: EncodedImage, reading: str, method: str) -> None:
    plain, level = encoded.explain(574, method), encoded.explain(574, method, reading=reading)
    for branch in BRANCHES:
        before, after = plain.evidence(branch).map, level.evidence(branch).map
        change = after - before
        assert_close(change, np.full_like(change, change.mean()), FLOAT32)
        boxes = [boxes_at_thresholds(score_map(each)) for each in (before, after)]
        first, second = (each.largest[each.entry] for each in boxes)
        # In float32 one pixel of fifty thousand may cross one of the thousand thresholds.
        assert (first == second).all(axis=1).mean() > 0.99


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_mean_of_a_moved_map_is_the_logit_it_was_moved_to(encoded: EncodedImage, branch: Branch) -> None:
    index = encoded.predicted_index
    for spread in (0.5, 1.0):
        result = encoded.explain(index, reading="sigmoid-logit", reading_settings={"a": spread}).evidence(branch)
        assert_close(result.map.mean(), float(encoded.sigmoid_logits[index]), FLOAT32)
    result = encoded.explain(index, reading="log-odds").evidence(branch)
    probability = encoded.softmax_logits.double().softmax(0)[index]
    assert_close(torch.tensor(float(result.map.mean())).sigmoid().double(), probability, PROBABILITY)


def test_per_cell_methods_sum_to_the_logit_instead(encoded: EncodedImage) -> None:
    result = encoded.explain(7, "grad-cam", reading="sigmoid-logit")
    assert_close(result.softmax.map.sum(), float(encoded.sigmoid_logits[7]), FLOAT32)


@pytest.mark.parametrize("reading", [key for key in READINGS if READINGS[key].kind != "cells"])
def test_a_reading_of_grad_cam_is_that_of_cam_over_the_number_of_cells(small: EncodedImage, reading: str) -> None:
    for branch in BRANCHES:
        cam, grad_cam = (read(small, reading, method).evidence(branch).map for method in ("cam", "grad-cam"))
        assert_close(grad_cam * ROWS * COLUMNS, cam, FLOAT32)


def test_log_odds_are_finite_where_the_probability_rounds_to_one() -> None:
    logits = torch.tensor([[900.0, 0.0, 1.0]], dtype=DOUBLE)
    assert_close(log_odds(logits, torch.tensor([[0, 1]])), [[900 - math.log(1 + math.e), -900.0]], IDENTITY)


def test_a_cell_is_above_zero_exactly_where_its_own_softmax_is_above_a_half(encoded: EncodedImage) -> None:
    index = encoded.predicted_index
    likely = encoded.cell_logits("softmax").softmax(dim=1)[0, index].numpy() > 0.5
    assert 0 < likely.mean() < 1
    np.testing.assert_array_equal(encoded.explain(index, reading="cell-log-odds").softmax.map > 0, likely)


# Windows.


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_window_of_one_cell_adds_the_cells_own_log_probability(small: EncodedImage, branch: Branch) -> None:
    plain = small.explain(OWN).evidence(branch).map
    added = read(small, "window-log-p", cells=1).evidence(branch).map - plain
    assert_close(added, small.cell_logits("softmax").log_softmax(dim=1)[0, OWN].numpy(), FLOAT32)
    added = read(small, "window", cells=1).evidence(branch).map - plain
    presence = corrected(small.cell_logits("sigmoid")[0, OWN].flatten().numpy())
    assert_close(added, np.log(presence).reshape(ROWS, COLUMNS), FLOAT32)


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("cells", [2 * COLUMNS - 1, 31])
def test_a_window_that_covers_the_grid_from_every_cell_levels_the_map(
    small: EncodedImage, branch: Branch, cells: int
) -> None:
    """The whole grid's mean of the logits is the branch's logit, so the order of places is the map's own."""
    level = {"lambda": 1.5}
    windowed = small.explain(OWN, reading="window", reading_settings={**level, "cells": cells}).evidence(branch).map
    assert_close(windowed, small.explain(OWN, reading="levelled", reading_settings=level).evidence(branch).map, FLOAT32)
    plain = small.explain(OWN).evidence(branch).map
    log_p = float(small.softmax_logits.log_softmax(dim=0)[OWN])
    assert_close(read(small, "window-log-p", cells=cells).evidence(branch).map, plain + log_p, FLOAT32)
    np.testing.assert_array_equal(windowed.argsort(axis=None), plain.argsort(axis=None))


@pytest.mark.parametrize("reading", ["window", "window-log-p"])
def test_no_shift_moves_what_a_window_adds(small: EncodedImage, reading: str) -> None:
    """So that of softmax's own map alone the plain map moves."""
    after = shifted(small, 0.2 * torch.randn(CHANNELS, generator=torch.Generator().manual_seed(2)))
    for branch in BRANCHES:
        added, added_after = (
            read(each, reading, cells=3).evidence(branch).map - each.explain(OWN).evidence(branch).map
            for each in (small, after)
        )  # fmt: skip
        assert np.ptp(added) > 0.1
        assert_close(added_after, added, FLOAT32)


def test_a_window_apart_from_an_object_does_not_know_of_it() -> None:
    """Two halves far apart: what stands in one changes nothing of what a window says in the other."""
    draw = torch.Generator().manual_seed(1)
    cells = torch.randn(1, CLASSES, ROWS, 12, generator=draw, dtype=DOUBLE)
    other = cells.clone()
    other[..., 6:] += torch.randn(1, CLASSES, ROWS, 6, generator=draw, dtype=DOUBLE)
    before, after = window_means(cells, 5), window_means(other, 5)
    assert_close(after[..., :4], before[..., :4], IDENTITY)
    assert (after[..., 4:] != before[..., 4:]).all()


@pytest.mark.parametrize(("grid_hw", "cells"), [((7, 7), 7), ((14, 14), 13), ((8, 9), 7), ((2, 2), 1), (None, 7)])
def test_a_window_is_next_to_the_grid_of_one_picture(grid_hw: tuple[int, int] | None, cells: int) -> None:
    model = small_model()
    model.grid_hw = grid_hw
    assert settings_of(model, "window") == {"lambda": 1.0, "cells": cells}
    assert settings_of(model, "window-log-p", {"cells": 5}) == {"lambda": 1.0, "cells": 5}


def test_a_map_with_its_bias_is_windowed_too(small: EncodedImage) -> None:
    for branch, index in (("softmax", 0), ("sigmoid", 1)):
        whole = small.explain(OWN, reading="window", with_bias=True)
        change = (whole.softmax, whole.sigmoid)[index].map - read(small, "window").evidence(branch).map
        assert_close(change, np.full_like(change, small.bias(branch, OWN)), FLOAT32)


def test_a_screen_opens_with_the_levelled_reading_where_presence_is_calibrated() -> None:
    model = small_model()
    assert default_reading(model, "cam", "signed") == "plain"
    model.presence = PresenceCalibration(temperature=1.0, offset=2.0, pictures=10)
    assert default_reading(model, "cam", "signed") == default_reading(model, "grad-cam", "signed") == "levelled"
    assert default_reading(model, "cam", "paper") == "plain"


# Softmax shifts.


@pytest.mark.parametrize("reading", READINGS)
def test_no_shift_moves_a_reading_that_says_so(small: EncodedImage, reading: str) -> None:
    """One number on every weight, a random vector, and one that paints a target onto the map of the class."""
    target = np.zeros((ROWS, COLUMNS), np.float32)
    target[1, 2] = 5.0
    features = small.features[0]
    own_map = torch.from_numpy(small.explain(OWN).softmax.map)
    vectors = [
        torch.full((CHANNELS,), 0.2),
        0.2 * torch.randn(CHANNELS, generator=torch.Generator().manual_seed(2)),
        painted_vector(features, torch.from_numpy(target) - own_map),
    ]
    before = read(small, reading)
    for vector in vectors:
        after = read(shifted(small, vector), reading)
        assert_close(after.centred.map, before.centred.map, FLOAT32)
        assert_close(after.sigmoid.map, before.sigmoid.map, FLOAT32)
        change = np.abs(after.softmax.map - before.softmax.map).max()
        assert (change > 0.1) == READINGS[reading].moves_with_shift


def painted_vector(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The smallest `v` with `v . F = wanted`, by least squares."""
    return torch.linalg.lstsq(features.flatten(1).T, target.flatten()[:, None], driver="gelsd").solution[:, 0]


def test_not_even_a_shift_that_differs_by_cell_moves_cell_log_odds() -> None:
    draw = torch.Generator().manual_seed(4)
    cells = torch.randn(1, CLASSES, ROWS, COLUMNS, generator=draw, dtype=DOUBLE)
    field = torch.randn(1, 1, ROWS, COLUMNS, generator=draw, dtype=DOUBLE)
    classes = torch.tensor([[OWN]])
    assert_close(competition(cells + field, classes, 1.0), competition(cells, classes, 1.0), IDENTITY)


def test_why_b_and_not_a_is_the_opposite_answer(small: EncodedImage) -> None:
    forth = small.explain(OWN, reading="pairwise", other_class=OTHER)
    back = small.explain(OTHER, reading="pairwise", other_class=OWN)
    for branch in BRANCHES:
        assert_close(forth.evidence(branch).map, -back.evidence(branch).map, FLOAT32)


# What is offered, and what is refused.


def test_every_offered_reading_answers_and_every_other_is_refused_with_its_reason(small: EncodedImage) -> None:
    for method in (key for key, entry in CAM_METHODS.items() if not entry.is_slow):
        for weights in TREATMENTS:
            offered = readings_of(small.model, method, weights)
            assert offered[0] == "plain"
            for reading in READINGS:
                other = OTHER if reading == "pairwise" else None
                if reading in offered:
                    small.explain(OWN, method, weights, reading=reading, other_class=other)
                    continue
                reason = why_not_reading(small.model, reading, method, weights)
                with pytest.raises(InputError) as caught:
                    small.explain(OWN, method, weights, reading=reading, other_class=other)
                assert reason
                assert reason in str(caught.value)


def test_a_head_of_several_layers_has_no_logits_of_cells() -> None:
    model = DualBranch(classifier_from_timm("test_convnext", pretrained=False))
    assert set(readings_of(model, "grad-cam", "signed")) == {"plain", "sigmoid-logit", "log-odds", "pairwise",
                                                             "finer", "probability-gradient"}  # fmt: skip
    assert "not trained" in why_not_reading(model, "levelled", "grad-cam", "signed")
    features = model.features(torch.randn(1, 3, 64, 64))
    logits = model.softmax_logits(features)[0].detach()
    encoded = EncodedImage(model, Image.new("RGB", (64, 64)), model.preprocessing, features, logits, logits)
    answer = encoded.explain(3, reading="pairwise", other_class=5)
    expected = encoded.explain(3).softmax.map - encoded.explain(5).softmax.map
    assert_close(answer.softmax.map, expected, FLOAT32)


def test_one_class_is_compared_with_nothing_and_two_classes_with_each_other() -> None:
    assert readings_of(small_model(1), "cam", "signed") == ["plain"]
    two = encoded_by(small_model(2))
    assert readings_of(two.model, "cam", "signed") == list(READINGS)
    for reading in READINGS:
        other = 0 if reading == "pairwise" else None
        assert np.isfinite(two.explain(1, reading=reading, other_class=other).softmax.map).all()
    log_odds_map = two.explain(1, reading="cell-log-odds").softmax.map
    assert_close(log_odds_map, two.explain(1, reading="pairwise", other_class=0).softmax.map, FLOAT32)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reading": "best"}, "`reading` (='best') must be one of plain, levelled"),
        ({"reading": "levelled", "reading_settings": {"mu": 1}}, "`reading_settings` (='mu') is no setting of the "
         "reading 'levelled'; it has lambda."),
        ({"reading": "plain", "reading_settings": {"mu": 1}}, "it has none"),
        ({"reading": "levelled", "reading_settings": {"lambda": -1}}, "`lambda` (=-1) of the reading 'levelled' must "
         "be a number from 0 to 16."),
        ({"reading": "levelled", "reading_settings": {"lambda": math.nan}}, "`lambda` (=nan)"),
        ({"reading": "levelled", "reading_settings": {"lambda": "2"}}, "`lambda` (=2)"),
        ({"reading": "window", "reading_settings": {"cells": 4}}, "`cells` (=4) of the reading 'window' must be an odd "
         "number from 1 to 63."),
        ({"reading": "window", "method": "grad-cam"}, "it asks for the logits of single cells, which only 'cam' gives"),
        ({"reading": "finer", "reading_settings": {"classes": 11}}, "`classes` (=11)"),
        ({"reading": "pairwise"}, "`other_class` (='None') must name a class other than 'class 1'"),
        ({"reading": "pairwise", "other_class": "class 1"}, "must name a class other than 'class 1'"),
        ({"reading": "pairwise", "other_class": "class 9"}, "is not among the classes"),
        ({"reading": "levelled", "other_class": "class 2"}, "does not go with the reading 'levelled'; use 'pairwise'."),
        ({"reading": "log-odds", "with_bias": True}, "which sets its own zero; leave it out."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(
    small: EncodedImage, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        small.explain(OWN, **options)
    assert sentence in str(caught.value)


def test_a_whole_number_of_similar_classes_is_asked_for(small: EncodedImage) -> None:
    with pytest.raises(InputError, match="whole number"):
        read(small, "finer", classes=2.5)


# Settings and what is recorded.


def test_settings_are_the_given_ones_then_the_checkpoints_then_the_defaults() -> None:
    model = small_model(readings={"competition": {"mu": 0.4}})
    assert settings_of(model, "competition") == {"mu": 0.4, "presence": 1.0, "cosine": 1.0}
    assert settings_of(model, "competition", {"mu": 0.1, "cosine": 0.05}) == {"mu": 0.1, "presence": 1.0,
                                                                            "cosine": 0.05}  # fmt: skip
    assert settings_of(model, "levelled") == {"lambda": 1.0}


def test_an_explanation_records_its_reading(small: EncodedImage) -> None:
    answer = summary(small.explain(OWN, reading="pairwise", other_class="class 3"))
    assert (answer["reading"], answer["reading_settings"], answer["other_name"]) == ("pairwise", {}, "class 3")
    answer = summary(read(small, "levelled"))
    assert answer["reading_settings"] == {"lambda": 1.0}
    assert "training prior of one class in 5" in answer["reading_note"]
    assert summary(read(small, "competition", presence=0))["reading_note"] == ""
    assert summary(small.explain(OWN))["reading"] == "plain"


def test_a_denied_class_sinks_and_a_present_one_stays() -> None:
    """`log q` of a logit far above even odds is nothing, of one far below it the logit itself."""
    model = small_model()
    encoded = encoded_by(model)
    for logit, loss in ((40.0, 0.0), (-40.0, -40.0 - math.log(CLASSES - 1))):
        logits = encoded.sigmoid_logits.clone()
        logits[OWN] = logit
        picture = replace(encoded, sigmoid_logits=logits)
        change = picture.explain(OWN, reading="levelled").softmax.map - picture.explain(OWN).softmax.map
        assert_close(change, np.full_like(change, loss), FLOAT32)


# --- both branches side by side ---------------------------------------------------------------------------------------


def test_a_level_is_what_the_reading_added_to_every_cell(shipped_model: DualBranch) -> None:
    encoded = Explainer(shipped_model).encode(EXAMPLES / "cat.jpg")
    plain, levelled = encoded.explain("golf ball"), encoded.explain("golf ball", reading="levelled")
    for branch in ("softmax", "sigmoid"):
        change = levelled.evidence(branch).map - np.float32(levelled.evidence(branch).level)
        np.testing.assert_allclose(change, plain.evidence(branch).map, atol=1e-4)
    assert levelled.sigmoid.level == pytest.approx(math.log(levelled.sigmoid.calibrated_probability), rel=1e-3)
    assert plain.sigmoid.level == 0


def test_side_by_side_softmax_is_plain_and_the_sigmoid_branch_levelled_where_it_is_calibrated(
    shipped_model: DualBranch, perturbed_model: DualBranch
) -> None:
    levelled = {"reading": "levelled", "softmax_reading": "plain"}
    plain = {"reading": "plain", "softmax_reading": None}
    assert comparison_readings(shipped_model, None, "signed") == levelled
    assert comparison_readings(shipped_model, "cam", "nonnegative") == plain
    assert comparison_readings(shipped_model, "layer-cam", "signed") == plain
    assert comparison_readings(perturbed_model, "cam", "signed") == plain
    assert comparison_readings(shipped_model, "cam", "signed", "finer")["softmax_reading"] is None
