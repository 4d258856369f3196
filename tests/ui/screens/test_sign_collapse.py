"""The Sign collapse screen without a browser: its words follow the numbers, its API says what the library says."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from bsig.explain.cams import TRAINED
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS, diagnose
from bsig.explain.diagnostics.collapse_report import (
    CollapseReport,
    collapse_report,
)
from bsig.explain.diagnostics.sign_collapse import collapse_margin, sign_quadrants
from bsig.explain.drawing.collapse import channel_thumbnails, split_limit, split_pictures
from bsig.explain.explainer import EncodedImage, Explainer
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
from tests.tolerances import FLOAT32, assert_close

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


# --- words ------------------------------------------------------------------------------------------------------------


def test_labels_of_the_corners_hold_count_and_share(report: CollapseReport) -> None:
    quadrants = sign_quadrants(torch.ones(2, 1, 1), torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0]))
    labels = quadrant_labels(replace(report, quadrants=quadrants))
    assert labels[0] == "<b>for in both</b><br>1 channel<br>50 % of evidence"
    assert labels[3] == "<b>against → for</b><br>0 channels<br>none of evidence"


def test_a_class_name_cannot_bring_markup_into_the_page(report: CollapseReport) -> None:
    hostile = replace(report, explanation=replace(report.explanation, class_name="<img src=x>"))
    assert "<img" not in finding_html(hostile)


def test_a_treatment_that_clamps_weights_is_spoken_of(report: CollapseReport) -> None:
    assert "before the treatment" in finding_html(report, "paper")
    assert "before the treatment" not in finding_html(report, "signed")


# --- methods ----------------------------------------------------------------------------------------------------------


def test_the_note_about_the_method_is_on_the_screen(encoded: EncodedImage) -> None:
    assert "HiResCAM weighs every cell by itself" in finding_html(collapse_report(encoded, ANY_CLASS, "hires-cam"))


# --- pictures and tables ----------------------------------------------------------------------------------------------


def test_for_and_against_add_up_to_the_branchs_map_and_share_one_scale(report: CollapseReport) -> None:
    for branch in TRAINED:
        split = report.splits[branch]
        evidence = getattr(report.explanation, branch)
        assert_close(split.positive + split.negative, evidence.map, FLOAT32)
        assert max(float(split.positive.abs().max()), float(split.negative.abs().max())) <= split_limit(report)


def test_a_picture_of_zeros_has_its_pictures_too(encoded: EncodedImage) -> None:
    report = collapse_report(replace(encoded, features=torch.zeros_like(encoded.features)), ANY_CLASS)
    assert len(split_pictures(report)) == 4
    scatter_figure(report)


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
    assert f"{first.softmax_weight:+.4f}".replace("-", "−") in text
    assert f"{first.sigmoid_weight:+.4f}".replace("-", "−") in text


def test_the_scatter_can_zoom_to_the_channels_that_change_sign(report: CollapseReport) -> None:
    whole, near = (scatter_figure(report, near_zero=near).layout.xaxis.range[1] for near in (False, True))
    turned = max(max(abs(channel.softmax_weight), abs(channel.sigmoid_weight)) for channel in report.flipped)
    assert turned <= near < whole


def test_the_table_has_a_row_for_every_diagnostic_with_unit_and_direction(report: CollapseReport) -> None:
    table = numbers_table(diagnose(report.encoded, report.explanation), "logits")
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
    assert [channel["channel"] for channel in answer["flipped_channels"]] == [flip.channel for flip in report.flipped]
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
