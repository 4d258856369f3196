"""`DIAGNOSTICS`: every number has words, is finite or explained, and equals the function it names."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import reference
import torch
from tolerances import FLOAT32, PROBABILITY, assert_close
from torch import Tensor, nn

from bsig.cli.tables import diagnostics_table
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS, diagnose
from bsig.explain.explainer import EncodedImage
from bsig.inputs.paths import ASSETS
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead


def seen_by(encoded: EncodedImage, features: Tensor, softmax: Tensor, sigmoid: Tensor) -> EncodedImage:
    """A picture with these features, seen by two heads with these weights and no bias."""
    heads = [PooledLinearHead(nn.Linear(len(features), len(softmax))) for _ in range(2)]
    with torch.no_grad():
        for head, weight in zip(heads, (softmax, sigmoid), strict=True):
            head.linear.weight.copy_(weight)
            head.linear.bias.zero_()
        softmax_logits, sigmoid_logits = (head(features[None])[0] for head in heads)
    names = tuple(f"class {number}" for number in range(len(softmax)))
    model = DualBranch(encoded.model.classifier(head=heads[0], class_names=names, class_ids=names), heads[1])
    return replace(
        encoded, model=model, features=features[None], softmax_logits=softmax_logits, sigmoid_logits=sigmoid_logits
    )


@pytest.fixture(scope="module")
def ordinary(encoded: EncodedImage) -> EncodedImage:
    torch.manual_seed(1)
    return seen_by(encoded, torch.rand(11, 3, 5), torch.randn(13, 11) + 0.3, torch.randn(13, 11) + 0.3)


def test_every_number_is_described() -> None:
    for key, diagnostic in DIAGNOSTICS.items():
        assert diagnostic.key == key
        assert diagnostic.title
        assert diagnostic.unit
        assert diagnostic.better in ("higher", "lower", None)
        assert diagnostic.meaning.endswith(".")


def test_ordinary_picture_has_every_number(ordinary: EncodedImage) -> None:
    for key, row in diagnose(ordinary, ordinary.explain(0)).items():
        assert row["reason"] is None, key
        assert math.isfinite(row["value"]), key


def test_numbers_are_those_of_the_loops(ordinary: EncodedImage) -> None:
    explanation = ordinary.explain(0)
    values = {key: row["value"] for key, row in diagnose(ordinary, explanation).items()}
    heads = (ordinary.model.softmax_head, ordinary.model.sigmoid_head)
    f, w, s = (
        x.detach().double().numpy() for x in (ordinary.features[0], *(head.last_linear.weight for head in heads))
    )
    maps = {name: evidence.map for name, evidence in explanation.evidences.items()}
    speaks_for, speaks_against = reference.evidence_by_channels(f, w[0])
    expected = {
        "softmax_shared_energy": reference.shared_energy_share(w),
        "sigmoid_shared_energy": reference.shared_energy_share(s),
        "softmax_shared_map": reference.shared_map_share(f, w, 0),
        "learnt_shift_share": reference.common_shift(w, s)[1],
        "softmax_centred_correlation": reference.pearson_correlation(maps["softmax"], maps["centred"]),
        "softmax_sigmoid_top_iou": reference.top_iou(maps["softmax"], maps["sigmoid"]),
        "softmax_sigmoid_peak_move": reference.peak_move(maps["softmax"], maps["sigmoid"]),
        "sigmoid_positive_area": reference.positive_area(maps["sigmoid"]),
        "softmax_evidence_for": speaks_for.mean(),
        "softmax_evidence_against": speaks_against.mean(),
    }
    for key, value in expected.items():
        assert_close(values[key], value, FLOAT32)
    margin = reference.collapse_margin(lambda delta: reference.positive_evidence_by_cells(f, w[0], delta))
    assert values["softmax_collapse_margin"] == pytest.approx(margin, rel=1e-5)


@pytest.mark.parametrize(
    ("case", "explained"),
    {
        "all-zero features": {
            "softmax_shared_map",
            "evidence_disagreement",
            "softmax_collapse_margin",
            "probability_change_at_margin",
        },
        "one class": {"softmax_centred_correlation", "softmax_absent_area"},
        "constant weights": {"softmax_centred_correlation", "learnt_shift_share"},
        "no positive weight": {"softmax_collapse_margin", "softmax_collapse_margin_channels"},
        "all-zero weights": {"softmax_shared_energy", "softmax_shared_map", "evidence_disagreement"},
        "one cell": {"softmax_sigmoid_correlation"},
        "no channel weights": {"sign_disagreement", "softmax_evidence_for", "sigmoid_collapse_margin"},
    }.items(),
)
def test_degenerate_cases_have_a_sentence_and_no_nan(encoded: EncodedImage, case: str, explained: set[str]) -> None:
    features, weight, other = torch.rand(5, 2, 3), torch.randn(7, 5), torch.randn(7, 5)
    constant = torch.full((7, 5), 0.1)
    parts = {
        "all-zero features": (torch.zeros(5, 2, 3), weight, other),
        "one class": (features, weight[:1], other[:1]),
        "constant weights": (features, constant, constant),
        "no positive weight": (features, -weight.abs(), -other.abs()),
        "all-zero weights": (features, torch.zeros(7, 5), torch.zeros(7, 5)),
        "one cell": (torch.rand(5, 1, 1), weight, other),
        "no channel weights": (features, weight, other),
    }[case]
    picture = seen_by(encoded, *parts)
    rows = diagnose(picture, picture.explain(0, "eigen-cam" if case == "no channel weights" else "cam"))
    json.dumps(rows, allow_nan=False)
    for row in rows.values():
        assert (row["value"] is None) == (row["reason"] is not None)
        assert row["reason"] is None or row["reason"].endswith(".")
    assert {key for key in explained if rows[key]["value"] is not None} == set()


@pytest.mark.parametrize("method", ["cam", "grad-cam", "ablation-cam", "hires-cam", "eigen-cam"])
def test_every_method_on_the_default_backbone(encoded: EncodedImage, method: str) -> None:
    rows = diagnose(encoded, encoded.explain(method=method))
    json.dumps(rows, allow_nan=False)
    has_weights = method not in ("hires-cam", "eigen-cam")
    assert (rows["sign_disagreement"]["value"] is not None) == has_weights
    if not has_weights:
        assert f"`method` (='{method}') has no channel weights" in rows["sign_disagreement"]["reason"]
    assert rows["probability_change_at_margin"]["value"] <= PROBABILITY.absolute


def test_evidence_for_and_against_is_the_logit_less_the_bias(encoded: EncodedImage) -> None:
    explanation = encoded.explain()
    rows = diagnose(encoded, explanation)
    bias = float(encoded.model.softmax_head.last_linear.bias[explanation.class_index])
    total = rows["softmax_evidence_for"]["value"] + rows["softmax_evidence_against"]["value"]
    assert_close(total, explanation.softmax.logit - bias, FLOAT32)


def test_grad_cam_has_the_shares_of_cam(encoded: EncodedImage) -> None:
    cam, grad_cam = (diagnose(encoded, encoded.explain(method=key)) for key in ("cam", "grad-cam"))
    cells = encoded.features.shape[2] * encoded.features.shape[3]
    for key in ("sign_disagreement", "evidence_disagreement", "softmax_sigmoid_correlation", "softmax_positive_area"):
        assert_close(grad_cam[key]["value"], cam[key]["value"], FLOAT32)
    assert_close(cells * grad_cam["softmax_collapse_margin"]["value"], cam["softmax_collapse_margin"]["value"], FLOAT32)


def test_the_page_holds_the_table_that_the_command_prints() -> None:
    page = ASSETS / "docs" / "diagnostics.md"
    assert diagnostics_table() in page.read_text(encoding="utf-8")
