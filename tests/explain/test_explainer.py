"""Encode once, ask many times: how often the network runs, that every answer is the direct one, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tolerances import FLOAT32, assert_close

import bsig
from bsig.explain.cams import Branch, class_scores_of, head_score
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS, TREATMENTS, clamps_weights, signed_map
from bsig.inputs.errors import InputError
from bsig.inputs.paths import EXAMPLES
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.model.engines import fast_encoder

CAT = EXAMPLES / "cat.jpg"
BRANCHES: tuple[Branch, ...] = ("softmax", "sigmoid", "centred")
FAST = [key for key, method in CAM_METHODS.items() if not method.is_slow]


@contextmanager
def counted_forwards(model: DualBranch) -> Iterator[list[int]]:
    """The batch size of every run of the encoder, once what runs fast has been made."""
    batches: list[int] = []
    network: Any = fast_encoder(model.encoder, "torch", torch.zeros(1, 3, 224, 224)).run
    handle = network.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    try:
        yield batches
    finally:
        handle.remove()


def refusal(encoded: EncodedImage, *arguments: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        encoded.explain(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# How often the network runs.


def test_a_picture_costs_one_forward_pass_and_another_class_method_or_treatment_costs_none(
    perturbed_model: DualBranch,
) -> None:
    with counted_forwards(perturbed_model) as batches:
        encoded = Explainer(perturbed_model).encode(CAT)
        assert batches == [1]
        for method in FAST:
            encoded.explain(7, method)
        for weights in TREATMENTS:
            encoded.explain("golf ball", "cam", weights)
        encoded.top_classes("sigmoid")
        encoded.probabilities()
        assert batches == [1]


def test_score_cam_alone_runs_the_network_again_once_a_channel_and_keeps_what_it_ran(
    perturbed_model: DualBranch,
) -> None:
    encoded, progress = Explainer(perturbed_model).encode(CAT), []
    with counted_forwards(perturbed_model) as batches:
        encoded.explain(None, "score-cam", score_cam_channels=5, progress=lambda *step: progress.append(step))
        assert sum(batches) == 5
        encoded.explain(3, "score-cam", "paper", score_cam_channels=5)  # another class: the same runs
        assert sum(batches) == 5
        encoded.explain(3, "score-cam", score_cam_channels=18)  # another budget: other channels
        assert sum(batches) == 5 + 18
    assert progress == [(5, 5)]


def test_score_cam_gives_weight_to_the_chosen_channels_alone(encoded: EncodedImage) -> None:
    explanation = encoded.explain(None, "score-cam", score_cam_channels=5)
    for evidence in (explanation.softmax, explanation.sigmoid, explanation.centred):
        assert np.count_nonzero(evidence.channel_weights) == 5
        assert_close(evidence.channel_weights.sum(), 1.0, FLOAT32)


# The answers are the direct ones.


@pytest.mark.parametrize("weights", TREATMENTS)
@pytest.mark.parametrize("method", FAST)
def test_each_explanation_is_the_direct_computation_from_features_and_head(
    encoded: EncodedImage, method: str, weights: str
) -> None:
    model, index = encoded.model, 285
    explanation = encoded.explain(index, method, weights)
    for branch in BRANCHES:
        head = model.sigmoid_head if branch == "sigmoid" else model.softmax_head
        scores = class_scores_of(torch.tensor([index]), model.num_classes, centred=branch == "centred")
        expected, channel_weights = signed_map(
            CAM_METHODS[method],
            head_score(head, encoded.features, scores),
            clamp_weights=clamps_weights(weights, branch),
        )
        evidence = explanation.evidence(branch)
        assert_close(evidence.map, expected[0], FLOAT32)  # the centred row is summed in another order
        if channel_weights is None:
            assert evidence.channel_weights is None
        else:
            assert_close(evidence.channel_weights, channel_weights[0], FLOAT32)


def test_the_mean_of_the_cam_plus_the_bias_is_the_branchs_logit(encoded: EncodedImage) -> None:
    model = encoded.model
    for index in (0, 285, 999):
        explanation = encoded.explain(index)
        for evidence, head, logits in (
            (explanation.softmax, model.softmax_head, encoded.softmax_logits),
            (explanation.sigmoid, model.sigmoid_head, encoded.sigmoid_logits),
        ):
            bias = float(head.last_linear.bias[index].detach())
            assert_close(evidence.map.mean() + bias, float(logits[index]), FLOAT32)
            assert_close(evidence.logit, float(logits[index]), FLOAT32)


def test_the_centred_logit_is_the_softmax_logit_less_the_mean_of_all_classes(encoded: EncodedImage) -> None:
    explanation = encoded.explain(285)
    expected = encoded.softmax_logits[285] - encoded.softmax_logits.mean()
    assert_close(explanation.centred.logit, float(expected), FLOAT32)


def test_probabilities_are_softmax_over_the_classes_and_a_sigmoid_of_each(encoded: EncodedImage) -> None:
    explanation = encoded.explain(285)
    exponentials = np.exp(encoded.softmax_logits.double().numpy())
    assert_close(explanation.softmax.probability, exponentials[285] / exponentials.sum(), FLOAT32)
    assert_close(explanation.sigmoid.probability, 1 / (1 + np.exp(-explanation.sigmoid.logit)), FLOAT32)
    assert explanation.centred.probability == explanation.softmax.probability


def test_without_a_class_the_softmax_prediction_is_explained(encoded: EncodedImage) -> None:
    explanation = encoded.explain()
    assert explanation.class_index == explanation.predicted_index == int(encoded.softmax_logits.argmax())
    assert explanation.class_name == explanation.predicted_name == encoded.model.class_names[explanation.class_index]
    assert "cat" in explanation.class_name.casefold()


def test_another_class_leaves_the_prediction_as_it_is(encoded: EncodedImage) -> None:
    explanation = encoded.explain("golf ball")
    assert explanation.class_name == "golf ball"
    assert "cat" in explanation.predicted_name.casefold()


def test_eigen_cam_is_the_same_for_every_branch_and_class(encoded: EncodedImage) -> None:
    first, second = encoded.explain(285, "eigen-cam"), encoded.explain(0, "eigen-cam", "paper")
    for evidence in (first.sigmoid, first.centred, second.softmax, second.sigmoid):
        np.testing.assert_array_equal(evidence.map, first.softmax.map)


def test_nonnegative_and_paper_differ_in_the_softmax_branch_alone(encoded: EncodedImage) -> None:
    signed, clamped, paper = (encoded.explain(285, "cam", weights) for weights in ("signed", "nonnegative", "paper"))
    np.testing.assert_array_equal(paper.softmax.map, signed.softmax.map)
    np.testing.assert_array_equal(paper.sigmoid.map, clamped.sigmoid.map)
    assert not np.array_equal(clamped.softmax.map, signed.softmax.map)
    assert not np.array_equal(clamped.sigmoid.map, signed.sigmoid.map)


def test_explaining_changes_neither_weights_nor_flags_nor_gradients_nor_the_picture(
    perturbed_model: DualBranch,
) -> None:
    picture = Image.open(CAT).convert("RGB")
    pixels = np.asarray(picture).copy()
    before = {key: value.clone() for key, value in perturbed_model.state_dict().items()}
    flags = [module.training for module in perturbed_model.modules()]
    trainable = [parameter.requires_grad for parameter in perturbed_model.parameters()]
    encoded = Explainer(perturbed_model).encode(picture)
    features = encoded.features.clone()
    for method in FAST:
        encoded.explain(3, method)
    assert torch.equal(encoded.features, features)
    assert all(torch.equal(value, before[key]) for key, value in perturbed_model.state_dict().items())
    assert [module.training for module in perturbed_model.modules()] == flags
    assert [parameter.requires_grad for parameter in perturbed_model.parameters()] == trainable
    assert all(parameter.grad is None for parameter in perturbed_model.parameters())
    np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_eight_threads_give_the_answers_of_one(perturbed_model: DualBranch, encoded: EncodedImage) -> None:
    questions = [
        (index, method) for index in (285, 574) for method in ("cam", "xgrad-cam", "ablation-cam", "eigen-cam")
    ]
    expected = [encoded.explain(*question) for question in questions]
    together = threading.Barrier(8)

    def ask(number: int) -> list[Explanation]:
        together.wait(timeout=60)
        # Half of them share one encoded picture, the others encode their own.
        own = encoded if number % 2 else Explainer(perturbed_model).encode(CAT)
        return [own.explain(*question) for question in questions]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    for answer in answers:
        for explanation, alone in zip(answer, expected, strict=True):
            for branch in BRANCHES:
                np.testing.assert_array_equal(explanation.evidence(branch).map, alone.evidence(branch).map)
            assert explanation.sigmoid.logit == alone.sigmoid.logit


def test_a_class_that_the_model_does_not_have_gives_way_to_the_prediction(encoded: EncodedImage) -> None:
    assert encoded.class_or_predicted("golf ball") == 574
    assert {encoded.class_or_predicted(name) for name in (None, "", "unicorn")} == {encoded.predicted_index}


# What is refused.


def test_an_unknown_method_or_treatment_is_refused_with_what_there_is(encoded: EncodedImage) -> None:
    text = refusal(encoded, None, "smooth-cam")
    assert "'smooth-cam'" in text
    assert all(key in text for key in CAM_METHODS)
    text = refusal(encoded, None, "cam", "absolute")
    assert "'absolute'" in text
    assert all(key in text for key in TREATMENTS)
    assert "at least 1" in refusal(encoded, None, "score-cam", score_cam_channels=0)


def test_a_refused_question_costs_no_forward_pass(perturbed_model: DualBranch, encoded: EncodedImage) -> None:
    with counted_forwards(perturbed_model) as batches:
        for arguments in (("no such class", "score-cam"), (0, "score-cam", "absolute")):
            refusal(encoded, *arguments)
    assert batches == []


def test_features_that_are_not_finite_are_refused(perturbed_model: DualBranch) -> None:
    class Broken(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.full((len(inputs), 1280, 7, 7), torch.nan)

    classifier = replace(classifier_from_timm("tf_efficientnet_lite0", pretrained=False), encoder=Broken())
    with pytest.raises(InputError, match="not finite"):
        Explainer(DualBranch(classifier)).encode(CAT)


def test_squash_shows_the_whole_picture_and_center_its_middle(perturbed_model: DualBranch) -> None:
    wide = Image.new("RGB", (60, 30), (255, 0, 0))
    wide.paste((0, 0, 255), (20, 0, 40, 30))
    squashed = np.asarray(Explainer(perturbed_model).encode(wide, crop_mode="squash").crop)
    middle = np.asarray(Explainer(perturbed_model).encode(wide).crop)
    assert tuple(squashed[0, 0]) == (255, 0, 0)
    share = (middle[:, :, 2] > 128).mean(), (squashed[:, :, 2] > 128).mean()
    assert share[0] > 0.7
    assert 0.3 < share[1] < 0.4


# Names that the outside world calls.


def test_the_names_of_interfaces_md_are_there_exactly() -> None:
    assert list(bsig.CAM_METHODS) == [
        "cam", "grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "hires-cam", "ablation-cam", "score-cam",
        "eigen-cam",
    ]  # fmt: skip
    assert list(TREATMENTS) == ["signed", "nonnegative", "paper"]
    model = bsig.load_checkpoint("imagenet1k-efficientnet_lite0", device="cpu")
    assert len(model.class_names) == model.num_classes == 1000
    features = model.features(torch.zeros(2, 3, 224, 224))
    assert features.shape == (2, 1280, 7, 7)
    assert model.softmax_logits(features).shape == model.sigmoid_logits(features).shape == (2, 1000)
    encoded = bsig.Explainer(model).encode(str(CAT))
    explanation = encoded.explain(class_index=None, method="cam", weights="signed")
    assert (explanation.method, explanation.weights) == ("cam", "signed")
    assert explanation.class_name == model.class_names[explanation.class_index]
    for evidence in (explanation.softmax, explanation.sigmoid, explanation.centred):
        assert evidence.map.shape == (7, 7)
        assert evidence.map.dtype == evidence.channel_weights.dtype == np.float32
        assert evidence.channel_weights.shape == (1280,)
        assert isinstance(evidence.logit, float)
        assert 0 <= evidence.probability <= 1
    assert encoded.explain(None, "hires-cam").softmax.channel_weights is None
    assert (explanation.crop.mode, explanation.crop.size) == ("RGB", (224, 224))


def test_a_picture_a_path_and_a_files_bytes_give_the_same_explanation(perturbed_model: DualBranch) -> None:
    explainer = Explainer(perturbed_model)
    maps = [
        explainer.encode(source).explain().softmax.map for source in (CAT, str(CAT), CAT.read_bytes(), Image.open(CAT))
    ]
    assert all(np.array_equal(values, maps[0]) for values in maps)


@pytest.mark.parametrize("branch", BRANCHES)
def test_drawn_with_its_bias_a_maps_mean_is_the_logit_and_no_place_has_moved(
    encoded: EncodedImage, branch: Branch
) -> None:
    without, with_bias = encoded.explain("golf ball"), encoded.explain("golf ball", with_bias=True)
    plain, lifted = without.evidence(branch), with_bias.evidence(branch)
    assert_close(lifted.map.mean(dtype=np.float64), np.float64(lifted.logit), FLOAT32)
    assert_close(lifted.map - plain.map, np.full_like(plain.map, encoded.bias(branch, 574)), FLOAT32)
    assert (without.with_bias, with_bias.with_bias) == (False, True)
    assert lifted.logit == plain.logit


@pytest.mark.parametrize(
    ("method", "weights"), [("grad-cam", "signed"), ("cam", "nonnegative"), ("layer-cam", "paper")]
)
def test_a_bias_is_only_added_where_map_and_bias_make_the_logit(
    encoded: EncodedImage, method: str, weights: str
) -> None:
    with pytest.raises(InputError, match="`with_bias` needs"):
        encoded.explain(None, method, weights, with_bias=True)


# Many pictures.


def test_encode_many_gives_what_encode_gives_in_the_same_order(perturbed_model: DualBranch) -> None:
    explainer = Explainer(perturbed_model)
    paths = [EXAMPLES / f"{name}.jpg" for name in ("cat", "coffee", "rocket", "clock", "flower")]
    with counted_forwards(perturbed_model) as batches:
        images = list(explainer.encode_many(paths, "squash", batch_size=2))
        assert batches == [2, 2, 1]
    assert [encoded.picture_name for encoded in images] == [path.name for path in paths]
    for path, encoded in zip(paths, images, strict=True):
        alone = explainer.encode(path, "squash")
        assert encoded.crop.tobytes() == alone.crop.tobytes()
        assert_close(encoded.features, alone.features, FLOAT32)
        assert_close(encoded.sigmoid_logits, alone.sigmoid_logits, FLOAT32)
        assert_close(encoded.explain(285).sigmoid.map, alone.explain(285).sigmoid.map, FLOAT32)
        assert encoded.features.untyped_storage().nbytes() == encoded.features.numel() * 4  # no view of its batch


def test_encode_many_reads_at_most_two_batches_ahead_of_what_was_asked_for(perturbed_model: DualBranch) -> None:
    asked_for: list[int] = []

    def pictures() -> Iterator[Image.Image]:
        for number in range(20):
            asked_for.append(number)
            yield Image.new("RGB", (32, 32), (number, 0, 0))

    encoded = Explainer(perturbed_model).encode_many(pictures(), batch_size=2)
    next(encoded)
    assert len(asked_for) <= 4
    encoded.close()
    assert len(asked_for) <= 6


def test_a_picture_that_cannot_be_used_ends_the_loop_or_is_handed_back(
    perturbed_model: DualBranch, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    pictures, refusals = [CAT, tmp_path / "bad.jpg", EXAMPLES / "clock.jpg"], []
    explainer = Explainer(perturbed_model)
    with pytest.raises(InputError, match=r"bad\.jpg"):
        list(explainer.encode_many(pictures))
    images = explainer.encode_many(pictures, on_refusal=lambda source, error: refusals.append((source, str(error))))
    assert [encoded.picture_name for encoded in images] == ["cat.jpg", "clock.jpg"]
    assert [source for source, _ in refusals] == [tmp_path / "bad.jpg"]
    assert "not a picture" in refusals[0][1]


def test_a_batch_of_no_picture_is_refused_and_no_pictures_give_nothing(perturbed_model: DualBranch) -> None:
    explainer = Explainer(perturbed_model)
    with pytest.raises(InputError, match=r"`batch_size` \(=0\)"):
        list(explainer.encode_many([CAT], batch_size=0))
    assert list(explainer.encode_many([])) == []


def test_an_open_file_an_array_and_a_tensor_are_the_same_picture(perturbed_model: DualBranch) -> None:
    explainer = Explainer(perturbed_model)
    expected = explainer.encode(CAT)
    pixels = np.asarray(expected.picture())
    with CAT.open("rb") as file:
        by_file = explainer.encode(file)
    others = [by_file, explainer.encode(pixels), explainer.encode(torch.from_numpy(pixels.copy()).permute(2, 0, 1))]
    for encoded in others:
        assert torch.equal(encoded.features, expected.features)
        assert encoded.picture_size_wh == (300, 300)
        assert encoded.picture().tobytes() == expected.picture().tobytes()  # also of a file that is closed by now
    assert by_file.picture_name == "cat.jpg"


def test_reprs_are_one_line_and_name_what_matters(perturbed_model: DualBranch) -> None:
    encoded = Explainer(perturbed_model).encode(CAT)
    explanation = encoded.explain("golf ball")
    for value, words in (
        (perturbed_model, "DualBranch('perturbed', 1000 classes"),
        (Explainer(perturbed_model), "Explainer(DualBranch("),
        (encoded, "EncodedImage('cat.jpg', 7 x 7 cells"),
        (explanation, "Explanation('golf ball', cam, signed"),
        (explanation.softmax, "Evidence(7 x 7 cells"),
    ):
        assert repr(value).startswith(words)
        assert "\n" not in repr(value)
        assert len(repr(value)) < 160
