"""The report on sign collapse: its sentences follow its numbers, its numbers those of the formulas."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, PROBABILITY, assert_close

from bsig.explain.cams import TRAINED, class_scores_of, head_score
from bsig.explain.diagnostics.collapse_report import (
    WITHOUT_SIGNS,
    CollapseReport,
    collapse_report,
    finding,
    flipped_share,
    fragility,
    head_scale_of,
    method_with_signs,
    report_json,
)
from bsig.explain.diagnostics.sign_collapse import collapse_margin, evidence_disagreement, sign_quadrants
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import CAM_METHODS, signed_map
from bsig.inputs.errors import InputError

ANY_CLASS = 285


@pytest.fixture(scope="module")
def report(encoded: EncodedImage) -> CollapseReport:
    return collapse_report(encoded, ANY_CLASS)


def with_signs(report: CollapseReport, softmax: list[float], sigmoid: list[float]) -> CollapseReport:
    """The report of a picture with one cell, all features one, and these weights."""
    features = torch.ones(len(softmax), 1, 1)
    weights = {"softmax": torch.tensor(softmax), "sigmoid": torch.tensor(sigmoid)}
    quadrants = sign_quadrants(features, weights["softmax"], weights["sigmoid"])
    return replace(report, weights=weights, quadrants=quadrants)


def test_the_finding_counts_the_channels_that_change_sign_and_weighs_their_evidence(report: CollapseReport) -> None:
    text = finding(with_signs(report, [1.0, 1.0, 1.0, -1.0], [1.0, -1.0, -1.0, 1.0]))
    assert text.startswith("3 of 4 channels (75 %) change sign: 2 speak for 'Egyptian cat' in softmax and against")
    assert "1 the other way round" in text
    assert "75 % of the evidence" in text
    assert "a good part" in text


def test_the_finding_says_so_where_no_sign_changes(report: CollapseReport) -> None:
    assert finding(with_signs(report, [1.0, -1.0], [2.0, -3.0])).startswith("No channel changes sign")


@pytest.mark.parametrize(
    ("flipped_weight", "verdict"),
    [(1e-3, "the branches agree on the signs"), (0.05, "a small part"), (1.0, "a good part")],
)
def test_the_verdict_follows_the_share_of_the_evidence(
    report: CollapseReport, flipped_weight: float, verdict: str
) -> None:
    assert verdict in finding(with_signs(report, [1.0, flipped_weight], [1.0, -flipped_weight]))


def test_one_flipped_channel_is_spoken_of_in_the_singular(report: CollapseReport) -> None:
    assert "1 of 2 channels (50 %) changes sign: it speaks for" in finding(with_signs(report, [1.0, 1.0], [1.0, -1.0]))
    assert "it speaks against" in finding(with_signs(report, [1.0, -1.0], [1.0, 1.0]))


def test_fragility_names_the_margin_and_what_each_probability_does(report: CollapseReport) -> None:
    margin = report.margins["softmax"]["cells"].delta
    assert margin is not None
    text = fragility(report)
    assert f"Take {margin:.3g} from every softmax weight" in text
    assert "no accuracy figure would tell" in text


def test_fragility_is_a_sentence_where_there_is_nothing_to_lose(report: CollapseReport) -> None:
    none = collapse_margin(torch.ones(2, 1, 1), torch.tensor([-1.0, -1.0]))
    margins = {**report.margins, "softmax": {"cells": none, "channels": none}}
    assert fragility(replace(report, margins=margins)).startswith("The softmax heatmap cannot collapse here. No cell")


@pytest.mark.parametrize("method", [method for method in CAM_METHODS if not CAM_METHODS[method].is_slow])
def test_methods_fall_back_exactly_where_they_have_no_signed_weight_a_channel(
    encoded: EncodedImage, method: str
) -> None:
    head = encoded.model.sigmoid_head
    score = head_score(head, encoded.features, class_scores_of(torch.tensor([ANY_CLASS]), encoded.model.num_classes))
    weights = signed_map(CAM_METHODS[method], score)[1]
    has_signs = weights is not None and bool((weights < 0).any())
    assert has_signs == (method not in WITHOUT_SIGNS)


@pytest.mark.parametrize("method", WITHOUT_SIGNS)
@pytest.mark.parametrize(("cam_is_exact", "nearest"), [(True, "cam"), (False, "grad-cam")])
def test_a_method_without_signs_is_replaced_and_a_sentence_says_why(
    method: str, cam_is_exact: bool, nearest: str
) -> None:
    key, note = method_with_signs(method, cam_is_exact=cam_is_exact)
    assert key == nearest
    assert note.startswith(CAM_METHODS[method].title)
    assert f"shown for {CAM_METHODS[nearest].title}" in note


def test_cam_is_replaced_where_the_head_does_not_allow_it() -> None:
    assert method_with_signs("cam", cam_is_exact=False)[0] == "grad-cam"
    assert method_with_signs("cam") == ("cam", "")


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="`method`"):
        method_with_signs("smooth-cam")


def test_grad_cam_tells_the_same_story_in_its_own_unit(encoded: EncodedImage, report: CollapseReport) -> None:
    other = collapse_report(encoded, ANY_CLASS, "grad-cam")
    cells = encoded.features[0, 0].numel()
    assert other.head_scale == cells
    assert finding(other) == finding(report)
    margins = [each.margins["softmax"]["cells"].delta for each in (other, report)]
    assert_close(np.array(margins[0]) * cells, np.array(margins[1]), FLOAT32)
    assert other.probabilities is not None
    assert report.probabilities is not None
    assert_close(other.probabilities["sigmoid"], report.probabilities["sigmoid"], FLOAT32)


def test_weights_that_are_no_shift_of_the_head_claim_nothing_of_probabilities(encoded: EncodedImage) -> None:
    ablation = collapse_report(encoded, ANY_CLASS, "ablation-cam")
    assert head_scale_of(encoded, "ablation-cam") is None
    assert ablation.probabilities is None
    assert "no shift of the head" in fragility(ablation)


def test_softmax_probability_is_flat_along_the_curve_and_the_sigmoids_falls(report: CollapseReport) -> None:
    assert report.probabilities is not None
    softmax = report.probabilities["softmax"]
    assert_close(softmax, [report.explanation.softmax.probability] * len(softmax), PROBABILITY)
    sigmoid = report.probabilities["sigmoid"]
    assert sigmoid[0] == pytest.approx(report.explanation.sigmoid.probability)
    assert all(left >= right for left, right in pairwise(sigmoid))


def test_the_curve_is_long_enough_to_show_both_margins(report: CollapseReport) -> None:
    assert all((report.margins[branch]["cells"].delta or 0) < report.deltas[-1] for branch in TRAINED)


def test_the_share_that_is_spoken_of_is_the_diagnostic(report: CollapseReport) -> None:
    expected = evidence_disagreement(report.features, report.weights["softmax"], report.weights["sigmoid"])
    share = flipped_share(report)
    assert share is not None
    assert_close(share, expected, FLOAT32)


def test_a_picture_of_zeros_gives_sentences_and_no_not_a_number(encoded: EncodedImage) -> None:
    empty = replace(encoded, features=torch.zeros_like(encoded.features))
    report = collapse_report(empty, ANY_CLASS)
    json.dumps(report_json(report), allow_nan=False)
    assert "cannot collapse" in fragility(report)
    assert report.flipped == []
