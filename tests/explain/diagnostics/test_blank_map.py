"""The blank-map doctor: a hand-made case for each cause, and shifts that do what the doctor says they do."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from bsig.explain.cams import TRAINED
from bsig.explain.diagnostics.blank_map import (
    CAUSES,
    blank_map_diagnosis,
    diagnosis_json,
    stretched_map,
    stretching,
)
from bsig.explain.diagnostics.painted_shift import painted_shift
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.model.backbones import Classifier
from bsig.model.cutting.layout import GridLayout
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead, PooledLinearHead, TailHead

EYE = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
POSITIVE = torch.tensor([[[1.0, 0.5, 0.0]], [[0.0, 0.5, 2.0]]])  # 2 channels on 1 x 3 cells, as after a ReLU


def linear(rows: Any) -> nn.Linear:
    weight = torch.tensor(rows)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.zero_()
    return layer


def picture(features: Tensor, head: ClassificationHead, sigmoid: ClassificationHead | None = None) -> EncodedImage:
    """A picture with these features, (k, h, w), before a head of classes 'a', 'b', ..."""
    names = tuple("abcdef"[: head.last_linear.out_features])
    preprocessing = Preprocessing((32, 32), 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", "center")
    model = DualBranch(Classifier("hand-made", nn.Identity(), head, preprocessing, names, names, {}), sigmoid)
    features = features[None]
    with torch.no_grad():
        logits = model.softmax_logits(features)[0], model.sigmoid_logits(features)[0]
    return EncodedImage(model, Image.new("RGB", (32, 32)), preprocessing, features, *logits)


def pooled(features: Tensor, rows: Any) -> EncodedImage:
    return picture(features, PooledLinearHead(linear(rows)))


class Centred(nn.Module):
    """The mean over the grid of the features' squares about their mean: its gradient averages to zero."""

    def forward(self, native: Tensor) -> Tensor:
        return (native - native.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(2, 3))


def tail(features: Tensor, body: nn.Module, rows: Any) -> EncodedImage:
    layout = GridLayout("NCHW", len(features))
    return picture(features, TailHead(body, linear(rows), layout, pools_first=False))


DEAD = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Threshold(100.0, 0.0))  # a ReLU that lets nothing pass
CASES: dict[str, tuple[EncodedImage, str, str]] = {
    "no places": (pooled(torch.tensor([[[1.0]], [[2.0]]]), [[1.0, 0.0], [0.0, 1.0]]), "cam", "signed"),
    "zero features": (pooled(torch.zeros(2, 1, 3), [[1.0, 0.0], [0.0, 1.0]]), "cam", "signed"),
    "zero gradient": (tail(POSITIVE, DEAD, [[1.0, 2.0], [0.0, 1.0]]), "hires-cam", "signed"),
    "no positive gradient": (pooled(POSITIVE, [[-1.0, -2.0], [0.0, 1.0]]), "grad-cam++", "signed"),
    "gradient averages out": (tail(POSITIVE, Centred(), [[1.0, 0.0], [0.0, 1.0]]), "grad-cam", "signed"),
    "weights clamped": (pooled(POSITIVE, [[-1.0, -2.0], [0.0, 1.0]]), "cam", "nonnegative"),
    "cancels": (pooled(torch.ones(2, 1, 3), [[1.0, -1.0], [0.0, 1.0]]), "cam", "signed"),
    "all negative": (pooled(POSITIVE, [[-1.0, -2.0], [0.0, 1.0]]), "cam", "signed"),
    "nearly flat": (pooled(POSITIVE * 0.01 + 1, [[1.0, 1.0], [0.0, 1.0]]), "cam", "signed"),
}


def test_every_cause_has_a_hand_made_case() -> None:
    assert list(CASES) == [rule.key for rule in CAUSES]


@pytest.mark.parametrize("key", CASES)
def test_the_first_cause_of_a_hand_made_case_is_its_own(key: str) -> None:
    encoded, method, weights = CASES[key]
    diagnosis = blank_map_diagnosis(encoded, "a", method, weights)
    assert diagnosis.causes[0].key == key
    assert diagnosis.causes[0].sentence in diagnosis.headline
    assert diagnosis.facts.is_blank == (key not in ("no places", "nearly flat"))
    assert diagnosis.headline.startswith(
        "This heatmap is blank." if diagnosis.facts.is_blank else "This heatmap is not"
    )


@pytest.mark.parametrize("method", ["layer-cam", "grad-cam++"])
def test_methods_of_positive_gradients_are_blank_where_cam_has_negative_evidence(method: str) -> None:
    encoded = CASES["no positive gradient"][0]
    diagnosis = blank_map_diagnosis(encoded, "a", method)
    assert [cause.key for cause in diagnosis.causes] == ["no positive gradient"]
    mend = {mend.key: mend for mend in diagnosis.mends}["method"]
    np.testing.assert_allclose(mend.map, [[-1.0, -1.5, -4.0]])  # CAM, by hand
    assert "all against" in mend.sentence


def test_hires_cam_mends_a_gradient_that_averages_out() -> None:
    diagnosis = blank_map_diagnosis(CASES["gradient averages out"][0], "a", "grad-cam")
    mend = {mend.key: mend for mend in diagnosis.mends}["method"]
    assert mend.method == "hires-cam"
    # Gradient 2 (F - mean) / 3 times feature, with F = 1, 1/2, 0 and mean 1/2.
    np.testing.assert_allclose(mend.map, [[1 / 3, 0.0, 0.0]], atol=1e-6)


def test_clamped_hires_cam_names_the_treatment() -> None:
    encoded = CASES["weights clamped"][0]
    for method in ("hires-cam", "ablation-cam", "xgrad-cam"):
        assert blank_map_diagnosis(encoded, "a", method, "nonnegative").causes[0].key == "weights clamped"


def test_a_map_with_evidence_for_and_against_has_no_cause() -> None:
    diagnosis = blank_map_diagnosis(pooled(POSITIVE, [[1.0, -1.0], [0.0, 1.0]]), "a")
    assert diagnosis.causes == ()
    assert diagnosis.headline == "This heatmap is not blank: a third of the picture speaks for a."


def test_stretching_a_map_of_negative_evidence_makes_a_hot_place_that_is_none() -> None:
    values = np.array([[-1.0, -1.5, -4.0]], dtype=np.float32)
    np.testing.assert_allclose(stretched_map(values), [[1.0, 2.5 / 3, 0.0]])
    stretch = stretching(values)
    assert stretch is not None
    assert (stretch.hot_area, stretch.hot_against) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert stretch.contrast == pytest.approx(4 / 3)
    sentence = blank_map_diagnosis(CASES["all negative"][0], "a").stretching_sentence
    assert sentence.endswith("two thirds of the picture, all of that without speaking for a.")
    assert stretching(np.ones((2, 2), dtype=np.float32)) is None


def test_the_blanking_shift_empties_the_map_and_no_smaller_one_does() -> None:
    encoded = pooled(POSITIVE, [[1.0, -1.0], [0.0, 1.0]])
    zero = blank_map_diagnosis(encoded, "a").zero
    # Two channels on three cells: only v = -w has v . F = -w . F.
    assert zero.blanking_shift == pytest.approx(1.0)
    assert (zero.is_arbitrary, zero.paintable_cells) == (True, 2)


@pytest.mark.parametrize("method", ["cam", "grad-cam", "hires-cam", "xgrad-cam", "grad-cam++", "layer-cam"])
def test_the_doctors_shift_empties_the_map_of_every_method_it_speaks_of(method: str) -> None:
    draw = torch.Generator().manual_seed(3)
    features, rows = torch.rand(7, 1, 3, generator=draw), torch.randn(3, 7, generator=draw)
    encoded = pooled(features, rows.tolist())
    diagnosis = blank_map_diagnosis(encoded, "b", method)
    is_linear = method not in ("grad-cam++", "layer-cam")
    vector = painted_shift(features, rows[1], torch.zeros(1, 3)).vector if is_linear else -rows[1].clamp(min=0)
    assert diagnosis.zero.blanking_shift == pytest.approx(float(vector.norm() / rows[1].norm()), rel=1e-5)
    after_shift = picture(features, encoded.model.softmax_head.shifted(vector))
    torch.testing.assert_close(after_shift.softmax_logits.softmax(0), encoded.softmax_logits.softmax(0))
    after = blank_map_diagnosis(after_shift, "b", method).facts
    assert after.map_max <= 1e-5 * diagnosis.facts.map_size


def test_labels_fix_the_zero_of_a_trained_sigmoid_branch_and_not_of_its_clone() -> None:
    head = PooledLinearHead(linear([[1.0, -1.0], [0.0, 1.0]]))
    clone = blank_map_diagnosis(picture(POSITIVE, head), "a", branch="sigmoid").zero
    assert (clone.is_arbitrary, "still the clone" in clone.sentence) == (True, True)
    trained = blank_map_diagnosis(picture(POSITIVE, head, head.shifted(0.5)), "a", branch="sigmoid")
    assert not trained.zero.is_arbitrary
    assert "sigmoid" not in {mend.key for mend in trained.mends}


@pytest.mark.parametrize("method", [key for key, entry in CAM_METHODS.items() if not entry.is_slow])
def test_every_method_has_a_diagnosis_and_eigen_cam_has_no_gradient(method: str) -> None:
    diagnosis = blank_map_diagnosis(pooled(POSITIVE, [[1.0, -1.0], [0.0, 1.0]]), "a", method)
    assert diagnosis.zero.is_arbitrary
    assert (diagnosis.facts.gradient_size is None) == (method in ("eigen-cam", "ablation-cam"))


QUICK = [key for key, entry in CAM_METHODS.items() if not entry.is_slow]


def leaves_something_out(encoded: EncodedImage, branch: str, method: str, weights: str) -> bool:
    """By hand, for a pooled linear head and features that are not negative: whether negative weights are dropped."""
    head = encoded.model.sigmoid_head if branch == "sigmoid" else encoded.model.softmax_head
    row, means = head.last_linear.weight[0].tolist(), encoded.features[0].mean(dim=(1, 2)).tolist()
    has_negative = any(w * (mean if method == "ablation-cam" else 1) < 0 for w, mean in zip(row, means, strict=True))
    is_clamped = weights == "nonnegative" or (weights == "paper" and branch == "sigmoid")
    return method != "eigen-cam" and has_negative and (is_clamped or method in ("grad-cam++", "layer-cam"))


@pytest.mark.parametrize("method", QUICK)
@pytest.mark.parametrize("state", ["clone", "trained", "without a negative weight"])
def test_every_sentence_is_true_of_its_method_treatment_and_branch(method: str, state: str) -> None:
    rows = [[1.0, 0.5], [0.0, 1.0]] if state == "without a negative weight" else [[1.0, -1.0], [0.0, 1.0]]
    head = PooledLinearHead(linear(rows))
    encoded = picture(POSITIVE, head, None if state == "clone" else head.shifted(torch.tensor([0.1, 0.2])))
    for weights, branch in itertools.product(TREATMENTS, TRAINED):
        diagnosis = blank_map_diagnosis(encoded, "a", method, weights, branch=branch)
        zero, headline, omits = diagnosis.zero, diagnosis.headline, diagnosis.facts.is_one_sided
        assert omits == leaves_something_out(encoded, branch, method, weights)
        speaks = not omits and method != "eigen-cam"
        assert ("of the picture speaks for a" in headline) == speaks
        assert ("knows no class" in headline) == (method == "eigen-cam")
        assert ("leaves out all negative" in headline) == omits == ("for and against meet" in zero.sentence)
        has_own_branch = branch == "sigmoid" and state != "clone"
        assert ("labels have fixed it" in zero.sentence) == (has_own_branch and speaks)
        assert zero.is_arbitrary == (not has_own_branch or method == "eigen-cam")
        assert (" a shift can put any value" in zero.sentence) <= speaks
        assert diagnosis.mends[0].title == ("For and against" if speaks else "Above and below zero")
        texts = [
            headline,
            zero.sentence,
            diagnosis.stretching_sentence,
            *(cause.sentence for cause in diagnosis.causes),
        ]
        assert method != "eigen-cam" or not any("speaking for" in text or "speak for" in text for text in texts)


def test_a_clamped_map_whose_kept_channels_are_silent_is_not_said_to_cancel() -> None:
    silent = torch.stack([torch.zeros(1, 3), POSITIVE[1]])
    for method, weights in (("cam", "nonnegative"), ("grad-cam++", "signed"), ("layer-cam", "signed")):
        diagnosis = blank_map_diagnosis(pooled(silent, [[1.0, -1.0], [0.0, 1.0]]), "a", method, weights)
        assert "leaves out all negative" in diagnosis.headline
        assert "cancels" not in diagnosis.headline


def test_a_map_at_zero_or_below_speaks_against_some_places_alone() -> None:
    diagnosis = blank_map_diagnosis(pooled(POSITIVE, [[0.0, -1.0], [0.0, 1.0]]), "a")
    assert "No cell speaks for a, and some speak against it" in diagnosis.headline


def test_a_shift_is_measured_in_lengths_of_the_weights_and_an_empty_one_is_not_spoken_of() -> None:
    whole = blank_map_diagnosis(pooled(POSITIVE, [[1.0, -1.0], [0.0, 1.0]]), "a").zero
    assert "A shift as long as a's weights sets this whole map to zero" in whole.sentence
    none = blank_map_diagnosis(pooled(POSITIVE, [[-1.0, -1.0], [0.0, 1.0]]), "a", "grad-cam++").zero
    assert none.blanking_shift == 0
    assert "A shift" not in none.sentence


def test_a_clone_under_the_papers_treatment_is_clamped_and_cannot_be_painted() -> None:
    encoded = pooled(POSITIVE, [[1.0, -1.0], [0.0, 1.0]])
    softmax, clone = (blank_map_diagnosis(encoded, "a", "cam", "paper", branch=branch).zero for branch in TRAINED)
    assert (softmax.paintable_cells, clone.paintable_cells) == (2, None)


def test_no_labels_fix_the_zero_of_a_zero_shot_model() -> None:
    head = PooledLinearHead(linear([[1.0, -1.0], [0.0, 1.0]]))
    encoded = picture(POSITIVE, head, head.shifted(0.5))
    encoded.model.metadata["zero_shot"] = {"scale": 1.0}
    zero = blank_map_diagnosis(encoded, "a", branch="sigmoid").zero
    assert "no labels have fixed its zero: the model is zero-shot" in zero.sentence


def test_hot_cells_that_do_not_speak_for_the_class_are_a_part_of_the_picture() -> None:
    diagnosis = blank_map_diagnosis(pooled(POSITIVE, [[1.0, -0.4], [0.0, 1.0]]), "a")  # 1, 0.3, -0.8
    assert diagnosis.stretching_sentence.endswith(
        "it would look hot on two thirds of the picture, and hide where zero is."
    )
    mixed = blank_map_diagnosis(pooled(POSITIVE, [[0.2, -0.6], [0.0, 1.0]]), "a")  # 0.2, -0.2, -1.2
    assert mixed.stretching_sentence.endswith("hot on two thirds of the picture, on a third without speaking for a.")


def test_the_real_model_agrees_with_its_explanation(encoded: EncodedImage) -> None:
    diagnosis = blank_map_diagnosis(encoded, "golf ball", branch="sigmoid")
    explanation = encoded.explain("golf ball")
    np.testing.assert_array_equal(diagnosis.evidence.map, explanation.sigmoid.map)
    answer = diagnosis_json(diagnosis)
    assert answer["is_blank"] == (explanation.sigmoid.map.max() <= 0)
    assert answer["class_name"] == "golf ball"


def test_an_unknown_branch_is_refused() -> None:
    with pytest.raises(InputError, match="`branch` \\(='centred'\\) must be softmax or sigmoid"):
        blank_map_diagnosis(CASES["all negative"][0], "a", branch="centred")


def test_facts_of_a_scaled_map_have_the_same_causes() -> None:
    """Logits have no unit of their own: a cause must not depend on their scale."""
    for key in ("all negative", "nearly flat", "no positive gradient"):
        encoded, method, _ = CASES[key]
        larger = replace(encoded, features=encoded.features * 1000)
        causes = [[cause.key for cause in blank_map_diagnosis(each, "a", method).causes] for each in (encoded, larger)]
        assert causes[0] == causes[1]
