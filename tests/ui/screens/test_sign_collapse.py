"""The Sign collapse screen without a browser: its words follow the numbers, its API says what the library says."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from bsig.explain.cams import class_scores_of, head_score
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS, diagnose, diagnostic_input
from bsig.explain.diagnostics.collapse_pictures import channel_thumbnails, split_limit, split_pictures
from bsig.explain.diagnostics.collapse_report import (
    TRAINED,
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
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.methods import CAM_METHODS, signed_map
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.sign_collapse import (
    finding_html,
    numbers_table,
    quadrant_labels,
    scatter_figure,
    sign_collapse_answer,
)
from bsig.ui.workbench import Workbench
from tests.tolerances import FLOAT32, PROBABILITY, assert_close

PICTURE = bundled_examples()[0].path
ANY_CLASS = 285


@pytest.fixture(scope="module")
def encoded(perturbed_model: DualBranch) -> EncodedImage:
    return Explainer(perturbed_model).encode(PICTURE)


@pytest.fixture(scope="module")
def report(encoded: EncodedImage) -> CollapseReport:
    return collapse_report(encoded, ANY_CLASS)


class OneModel(Workbench):
    """A workbench whose only checkpoint is the test's model."""

    def __init__(self, model: DualBranch) -> None:
        super().__init__()
        self.only = model

    def model(self, checkpoint: str | None) -> DualBranch:  # noqa: ARG002
        return self.only


def with_signs(report: CollapseReport, softmax: list[float], sigmoid: list[float]) -> CollapseReport:
    """The report of a picture with one cell, all features one, and these weights."""
    features = torch.ones(len(softmax), 1, 1)
    weights = {"softmax": torch.tensor(softmax), "sigmoid": torch.tensor(sigmoid)}
    quadrants = sign_quadrants(features, weights["softmax"], weights["sigmoid"])
    return replace(report, weights=weights, quadrants=quadrants)


# --- words ------------------------------------------------------------------------------------------------------------


def test_the_finding_counts_the_channels_that_change_sign_and_weighs_their_evidence(report: CollapseReport) -> None:
    text = finding(with_signs(report, [1.0, 1.0, 1.0, -1.0], [1.0, -1.0, -1.0, 1.0]))
    assert text.startswith("3 of 4 channels (75 %) change sign: 2 from for 'Egyptian cat' in softmax to against it")
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


def test_labels_of_the_corners_hold_count_and_share(report: CollapseReport) -> None:
    labels = quadrant_labels(with_signs(report, [1.0, 1.0], [1.0, -1.0]))
    assert labels[0] == "<b>for in both</b><br>1 channel<br>50 % of evidence"
    assert labels[3] == "<b>against → for</b><br>0 channels<br>none of evidence"


def test_a_class_name_cannot_bring_markup_into_the_page(report: CollapseReport) -> None:
    named = replace(report, explanation=replace(report.explanation, class_name="<img src=x>"))
    assert "<img" not in finding_html(named)


def test_a_treatment_that_clamps_weights_is_spoken_of(report: CollapseReport) -> None:
    assert "before the treatment" in finding_html(report, "paper")
    assert "before the treatment" not in finding_html(report, "signed")


# --- methods ----------------------------------------------------------------------------------------------------------


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
    shown, note = method_with_signs(method, cam_is_exact=cam_is_exact)
    assert shown == nearest
    assert note.startswith(CAM_METHODS[method].title)
    assert f"shown for {CAM_METHODS[nearest].title}" in note


def test_cam_is_replaced_where_the_head_does_not_allow_it() -> None:
    assert method_with_signs("cam", cam_is_exact=False)[0] == "grad-cam"
    assert method_with_signs("cam") == ("cam", "")


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="`method`"):
        method_with_signs("smooth-cam")


def test_the_note_about_the_method_is_on_the_screen(encoded: EncodedImage) -> None:
    assert "HiResCAM weighs every cell by itself" in finding_html(collapse_report(encoded, ANY_CLASS, "hires-cam"))


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


# --- numbers ----------------------------------------------------------------------------------------------------------


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
    assert len(split_pictures(report)) == 4
    scatter_figure(report)


# --- pictures and tables ----------------------------------------------------------------------------------------------


def test_for_and_against_add_up_to_the_branchs_map_and_share_one_scale(report: CollapseReport) -> None:
    for branch in TRAINED:
        split = report.splits[branch]
        evidence = getattr(report.explanation, branch)
        assert_close(split.positive + split.negative, evidence.map, FLOAT32)
        assert max(float(split.positive.abs().max()), float(split.negative.abs().max())) <= split_limit(report)


def test_every_picture_has_words_for_those_who_cannot_see_it(report: CollapseReport) -> None:
    texts = [text for _, text in split_pictures(report).values()]
    assert [text.split(",")[0] for text in texts] == [
        f"{branch} branch: what speaks {side} Egyptian cat"
        for branch in ("Softmax", "Sigmoid")
        for side in ("for", "against")
    ]


def test_thumbnails_are_the_strongest_flipped_channels_with_both_weights(report: CollapseReport) -> None:
    thumbnails = channel_thumbnails(report)
    assert 0 < len(thumbnails) == len(report.flipped) <= 12
    first, text = report.flipped[0], thumbnails[0][1]
    assert f"Channel {first.channel}\n" in text
    assert f"{first.softmax_weight:+.2g}".replace("-", "−") in text
    assert f"{first.sigmoid_weight:+.2g}".replace("-", "−") in text


def test_the_scatter_can_zoom_to_the_channels_that_change_sign(report: CollapseReport) -> None:
    whole, near = (scatter_figure(report, near_zero=near).layout.xaxis.range[1] for near in (False, True))
    turned = max(max(abs(one.softmax_weight), abs(one.sigmoid_weight)) for one in report.flipped)
    assert turned <= near < whole


def test_the_table_has_a_row_for_every_diagnostic_with_unit_and_direction(report: CollapseReport) -> None:
    table = numbers_table(diagnose(diagnostic_input(report.encoded, report.explanation)), "logits")
    assert table.count("<tr>") == len(DIAGNOSTICS) + 1
    assert "logits, mean" in table
    assert "<td data-better>lower</td>" in table
    assert "as the map" not in table


# --- the web API ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answer(perturbed_model: DualBranch) -> dict:
    return sign_collapse_answer(OneModel(perturbed_model), str(PICTURE), None, "Egyptian cat", "layer-cam")


def test_the_answer_is_plain_json(answer: dict) -> None:
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_the_answer_says_what_was_asked_and_what_was_shown(answer: dict) -> None:
    assert (answer["class_index"], answer["class_name"], answer["method"]) == (ANY_CLASS, "Egyptian cat", "cam")
    assert "LayerCAM" in answer["note"]


def test_the_answer_holds_the_librarys_numbers(answer: dict, report: CollapseReport) -> None:
    assert [quadrant["count"] for quadrant in answer["quadrants"].values()] == [
        quadrant.count for quadrant in report.quadrants.values()
    ]
    assert sum(quadrant["count"] for quadrant in answer["quadrants"].values()) == len(report.features)
    assert [channel["channel"] for channel in answer["flipped_channels"]] == [one.channel for one in report.flipped]
    for branch in TRAINED:
        margin = collapse_margin(report.features, report.weights[branch]).delta
        assert answer["margins"][branch]["cells"]["delta"] == pytest.approx(margin)
        assert len(answer["curve"][branch]["cells_left"]) == len(answer["curve"]["deltas"])
    assert answer["diagnostics"].keys() == DIAGNOSTICS.keys()


def test_the_budget_and_the_bias_add_up_to_the_logit(answer: dict, report: CollapseReport) -> None:
    model = report.encoded.model
    for branch, head in (("softmax", model.softmax_head), ("sigmoid", model.sigmoid_head)):
        bias = float(head.last_linear.bias.detach()[ANY_CLASS])
        budget = answer["budget"][branch]
        logit = getattr(report.explanation, branch).logit
        assert_close(budget["for"] + budget["against"] + bias, logit, FLOAT32)
        assert_close(np.mean(budget["map_for"]), budget["for"], FLOAT32)


def test_asking_changes_nothing(perturbed_model: DualBranch) -> None:
    before = copy.deepcopy(perturbed_model.state_dict())
    sign_collapse_answer(OneModel(perturbed_model), str(PICTURE), None, None, None)
    assert all(torch.equal(value, before[key]) for key, value in perturbed_model.state_dict().items())


@pytest.mark.parametrize(("class_name", "method"), [("unicorn", "cam"), (None, "smooth-cam")])
def test_what_cannot_be_asked_is_refused_in_words(
    perturbed_model: DualBranch, class_name: str | None, method: str
) -> None:
    with pytest.raises(InputError, match=r"unicorn|smooth-cam"):
        sign_collapse_answer(OneModel(perturbed_model), str(PICTURE), None, class_name, method)


def test_no_picture_is_refused_in_words(perturbed_model: DualBranch) -> None:
    with pytest.raises(InputError, match="no picture"):
        sign_collapse_answer(OneModel(perturbed_model), "", None, None, "cam")
