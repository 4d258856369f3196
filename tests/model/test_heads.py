"""One small network of each head family: taken apart exactly, explained by every method, trained, stored.

No weights are fetched. Networks start with zeros or tiny numbers in some layers, under which any claim would hold, so
every parameter is drawn anew.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from markupsafe import escape
from PIL import Image
from tolerances import FLOAT32, IDENTITY, PROBABILITY, assert_close
from torch import Tensor, nn

from bsig.evaluation.columns import columns_of, delta_key
from bsig.explain.cams import class_scores_of, head_score
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS, diagnose
from bsig.explain.diagnostics.shifted_model import shifted_image, shifted_model
from bsig.explain.drawing.comparison import Drawing
from bsig.explain.drawing.slide import slide_card
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.methods import CAM_METHODS, default_method, methods_of, signed_map, why_not_cam
from bsig.explain.report.page import report_html
from bsig.inputs.errors import InputError
from bsig.model.backbones import BackboneOptions, Classifier, classifier_from_timm, take_apart
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.cutting.cut import cut_network
from bsig.model.cutting.layout import GridLayout
from bsig.model.dual_branch import DualBranch, FittedShift
from bsig.model.heads import PooledLinearHead, TailHead, shifted_rows, with_classes
from bsig.training.config import TrainingConfig
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.train import fit_softmax_head, train_sigmoid_branch

CLASSES = 7


@dataclass(frozen=True)
class Family:
    """A head family: a small network of it, and what must be found out about its head by itself."""

    name: str
    arguments: dict[str, Any]
    exact: bool
    pools_first: bool
    grid_hw: tuple[int, int]
    features_at: str = "last"
    carried: int = 0
    stage: str = "last"

    def network(self) -> Any:
        stride = {"stride16": 16, "stride8": 8}.get(self.stage)
        extra = {} if stride is None else {"output_stride": stride}
        return timm.create_model(self.name, num_classes=CLASSES, **self.arguments, **extra)


FAMILIES = {
    "pool + linear": Family("test_resnet", {}, True, True, (5, 5)),
    "pool + linear, stride 16": Family("resnet10t", {}, True, True, (11, 11), stage="stride16"),
    "pool + linear, earlier stage": Family(
        "test_resnet", {}, False, False, (10, 10), features_at="layer3", stage="layer3"
    ),
    "average and max pool": Family("test_resnet", {"global_pool": "avgmax"}, False, False, (5, 5)),
    "average beside max pool": Family("test_resnet", {"global_pool": "catavgmax"}, False, False, (5, 5)),
    "max pool": Family("test_resnet", {"global_pool": "max"}, False, False, (5, 5)),
    "convolution after the pool (MobileNetV3)": Family("mobilenetv3_small_050", {}, False, True, (7, 7)),
    "norm after the pool (ConvNeXt)": Family("test_convnext", {}, False, True, (5, 5)),
    "norm and MLP after the pool (ConvNeXt)": Family(
        "test_convnext", {"head_hidden_size": 24}, False, True, (5, 5)
    ),
    "NHWC features (Swin)": Family(
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2)},
        True, True, (7, 7),
    ),
    "class token (ViT)": Family("test_vit", {}, False, False, (10, 10), features_at="blocks.5.norm1", carried=1),
    "class token and registers (ViT)": Family(
        "test_vit", {"reg_tokens": 4}, False, False, (10, 10), features_at="blocks.5.norm1", carried=4
    ),
    "average of tokens (ViT)": Family("test_vit2", {}, False, True, (10, 10)),
    "attention pooling (ViT)": Family("test_vit3", {}, False, False, (10, 10), carried=1),
    "two heads (distilled DeiT)": Family(
        "deit_tiny_distilled_patch16_224",
        {"embed_dim": 32, "depth": 3, "num_heads": 2, "img_size": 64},
        False, False, (4, 4), features_at="blocks.2.norm1", carried=4,
    ),
    "rotary positions (EVA)": Family(
        "eva02_tiny_patch14_224",
        {"embed_dim": 48, "depth": 3, "num_heads": 4, "img_size": 56, "global_pool": "token"},
        False, False, (4, 4), features_at="blocks.2.norm1", carried=3,
    ),
}  # fmt: skip
VGG = Family("vgg11", {"feature_window_size": 1}, False, False, (7, 7))


def redrawn(network: nn.Module) -> nn.Module:
    """Every parameter drawn anew, BatchNorm statistics too."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise * (parameter[0].numel() ** -0.5))
            else:
                parameter.copy_(0.2 * noise + (1.0 if "weight" in name or "gamma" in name else 0.0))
    return network.eval()


def small_vgg() -> Any:
    """VGG11 with a three-layer classifier of 64 channels in place of 4096: the same code, few weights."""
    network = timm.create_model("vgg11", num_classes=CLASSES)
    from timm.layers import ClassifierHead
    from timm.models.vgg import ConvMlp

    network.pre_logits = ConvMlp(512, 64, 7)
    network.head = ClassifierHead(64, CLASSES)
    network.head_hidden_size = 64
    return network


@cache
def taken_apart(key: str) -> tuple[nn.Module, Classifier]:
    """The whole network, and its two parts. Shared by all tests: never changed."""
    torch.manual_seed(0)
    family = family_of(key)
    network = redrawn(small_vgg() if family is VGG else family.network())
    whole = copy.deepcopy(network).eval()
    if "img_size" in family.arguments:
        side = family.arguments["img_size"]
        network.pretrained_cfg = {**network.pretrained_cfg, "input_size": (3, side, side), "fixed_input_size": False}
        network.default_cfg = network.pretrained_cfg
    stage = family.stage
    classifier = take_apart(network, family.name, "drawn at random", BackboneOptions(stage))
    return whole, classifier


def family_of(key: str) -> Family:
    return VGG if key == "three layers (VGG)" else FAMILIES[key]


KEYS = [*FAMILIES, "three layers (VGG)"]


@cache
def dual_branch(key: str) -> DualBranch:
    """With a sigmoid branch that has moved in all its layers."""
    classifier = taken_apart(key)[1]
    head = copy.deepcopy(classifier.head)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in head.parameters():
            size = parameter.std() if parameter.numel() > 1 else parameter.abs().mean()
            parameter += 0.2 * size * torch.randn(parameter.shape, generator=generator)
    return DualBranch(classifier, head, name="small")


def inputs_for(key: str, count: int = 2) -> Tensor:
    rows, columns = taken_apart(key)[1].preprocessing.input_size_hw
    return torch.randn(count, 3, rows, columns, generator=torch.Generator().manual_seed(11))


@cache
def encoded_picture(key: str) -> EncodedImage:
    pixels = np.random.default_rng(4).integers(0, 256, (180, 200, 3), dtype=np.uint8)
    pixels[40:120, 60:150] = (220, 40, 30)
    return Explainer(dual_branch(key)).encode(Image.fromarray(pixels))


def double_head(key: str) -> tuple[Any, Tensor]:
    """The sigmoid head in float64 with features of two pictures."""
    model = dual_branch(key)
    return copy.deepcopy(model.sigmoid_head).double(), model.features(inputs_for(key)).double()


# Taken apart.


@pytest.mark.parametrize("key", KEYS)
def test_encoder_and_head_give_the_logits_of_the_whole_network(key: str) -> None:
    whole, classifier = taken_apart(key)
    inputs = inputs_for(key)
    with torch.no_grad():
        expected = whole(inputs)
        features = classifier.encoder(inputs)
        actual = classifier.head(features)
    size = expected.abs().max()
    assert float(expected.std()) > 0
    assert_close(actual / size, expected / size, FLOAT32)
    assert_close(classifier.head.logits(classifier.head.pooled(features)), actual, FLOAT32)


@pytest.mark.parametrize("key", KEYS)
def test_what_a_head_is_is_found_out_from_the_network_alone(key: str) -> None:
    family, classifier = family_of(key), taken_apart(key)[1]
    head = classifier.head
    assert head.cam_is_exact == family.exact
    assert head.pools_first == family.pools_first
    assert isinstance(head, PooledLinearHead) == family.exact
    assert classifier.grid_hw == family.grid_hw
    assert classifier.features_at == family.features_at
    with torch.no_grad():
        features = classifier.encoder(inputs_for(key, 1))
    assert tuple(features.shape[2:]) == family.grid_hw
    assert features.shape[1] - head.map_features(features).shape[1] == family.carried


@pytest.mark.parametrize("key", KEYS)
def test_no_layer_is_held_twice(key: str) -> None:
    whole, classifier = taken_apart(key)
    encoder, head = ({id(p) for p in part.parameters()} for part in (classifier.encoder, classifier.head))
    assert not encoder & head
    parts = sum(p.numel() for part in (classifier.encoder, classifier.head) for p in part.parameters())
    # A norm of two numbers a channel is in both parts where features are taken inside of a block.
    assert parts <= sum(p.numel() for p in whole.parameters()) + CLASSES + 2 * 64


@pytest.mark.parametrize("key", KEYS)
def test_every_place_of_the_features_has_an_influence(key: str) -> None:
    head, features = double_head(key)
    score = head_score(head, features[:1], class_scores_of(torch.tensor([2]), CLASSES, dtype=torch.float64))
    has_influence = score.gradient.abs().sum(dim=1) > 0
    if "max pool" in key:  # only the cells that are some channel's maximum
        assert bool(has_influence.any())
    else:
        assert bool(has_influence.all())


@pytest.mark.parametrize("key", KEYS)
def test_the_product_of_gradient_and_features_is_not_rounding(key: str) -> None:
    """Right before a layer norm it would be: the gradient is orthogonal to what a norm's scale is taken from."""
    head, features = double_head(key)
    score = head_score(head, features[:1], class_scores_of(torch.tensor([2]), CLASSES, dtype=torch.float64))
    product = score.gradient * score.features
    assert float(product.sum(dim=1).abs().max()) > 1e-3 * float(product.abs().sum(dim=1).max())


def test_tokens_without_a_place_travel_with_the_features_and_come_back_as_they_were() -> None:
    layout = GridLayout("NLC", channels=11, prefix=3, grid_hw=(2, 5), carries_prefix=True)
    tokens = torch.randn(2, 3 + 10, 11)
    features = layout.grid(tokens)
    assert layout.carried_channels == 4  # 33 numbers in cells of 10
    assert features.shape == (2, 15, 2, 5)
    assert torch.equal(layout.native(features), tokens)
    assert torch.equal(features[1, :11, 1, 3], tokens[1, 3 + 5 + 3])


def test_a_layer_that_is_not_there_is_refused_by_name() -> None:
    network = timm.create_model("test_resnet")
    with pytest.raises(InputError, match="`feature_stage` \\(='layer9'\\)"):
        cut_network(network, torch.randn(1, 3, 64, 64), "layer9")


def test_a_finer_stride_is_refused_where_the_network_has_none() -> None:
    with pytest.raises(InputError, match="output_stride"):
        classifier_from_timm("test_vit", pretrained=False, options=BackboneOptions("stride16"))


# Explained.


@pytest.mark.parametrize("key", KEYS)
def test_the_mean_of_the_map_and_the_bias_are_the_logit_exactly_where_cam_is_offered(key: str) -> None:
    encoded = encoded_picture(key)
    head = encoded.model.softmax_head
    if not head.cam_is_exact:
        with pytest.raises(InputError, match="average pool and one linear layer"):
            encoded.explain(1, "cam")
        assert why_not_cam(head)
        return
    assert why_not_cam(head) == ""
    explanation = encoded.explain(1)
    assert explanation.method == "cam"
    assert_close(explanation.softmax.map.mean() + float(head.last_linear.bias[1]), explanation.softmax.logit, FLOAT32)


@pytest.mark.parametrize("key", KEYS)
def test_every_offered_method_draws_a_finite_map_for_each_branch(key: str) -> None:
    encoded = encoded_picture(key)
    methods = methods_of(encoded.model.softmax_head)
    assert methods[0] == encoded.explain(3).method
    assert set(CAM_METHODS) - set(methods) == (set() if encoded.model.softmax_head.cam_is_exact else {"cam"})
    for method in methods:
        explanation = encoded.explain(3, method, score_cam_channels=3)
        for evidence in (explanation.softmax, explanation.sigmoid, explanation.centred):
            assert evidence.map.shape == family_of(key).grid_hw
            assert np.isfinite(evidence.map).all()
            if evidence.channel_weights is not None:
                assert evidence.channel_weights.shape == (encoded.features.shape[1],)


@pytest.mark.parametrize("key", KEYS)
def test_gradients_are_differences_of_the_logit_of_the_whole_head(key: str) -> None:
    head, features = double_head(key)
    scores = class_scores_of(torch.tensor([4]), CLASSES, dtype=torch.float64)
    gradient = head_score(head, features[:1], scores).gradient
    step = 1e-5
    # A channel that is zero on several cells has a kink there under a maximum.
    places = head.map_features(features[:1]).nonzero()
    for row in np.random.default_rng(1).integers(len(places), size=6):
        place = tuple(places[row].tolist())
        up, down = features[:1].clone(), features[:1].clone()
        up[place] += step
        down[place] -= step
        with torch.no_grad():
            slope = float((head(up) - head(down))[0, 4]) / (2 * step)
        scale = float(gradient.abs().max())
        assert abs(slope - float(gradient[place])) <= 1e-4 * scale + 1e-9


@pytest.mark.parametrize("key", KEYS)
def test_a_channels_ablation_is_the_head_run_without_it(key: str) -> None:
    head, features = double_head(key)
    features = features[:1]
    scores = class_scores_of(torch.tensor([4]), CLASSES, dtype=torch.float64)
    with torch.no_grad():
        actual = head.ablated_logits(features, scores)
        for channel in (0, actual.shape[1] // 2, actual.shape[1] - 1):
            without = features.clone()
            without[0, channel] = 0.0
            assert_close(actual[0, channel], head(without)[0, 4], IDENTITY)


@pytest.mark.parametrize("key", [key for key in KEYS if not family_of(key).exact])
def test_maps_of_gradient_methods_are_their_equations_as_loops(key: str) -> None:
    head, features = double_head(key)
    score = head_score(head, features[:1], class_scores_of(torch.tensor([2]), CLASSES, dtype=torch.float64))
    values, slopes = score.features[0].numpy(), score.gradient[0].numpy()
    expected = {
        "grad-cam": (slopes.mean(axis=(1, 2))[:, None, None] * values).sum(axis=0),
        "hires-cam": (slopes * values).sum(axis=0),
        "layer-cam": (np.maximum(slopes, 0) * values).sum(axis=0),
    }
    for method, grid in expected.items():
        assert_close(signed_map(CAM_METHODS[method], score)[0][0], grid, IDENTITY)


@pytest.mark.parametrize("key", [key for key in KEYS if family_of(key).pools_first and not family_of(key).exact])
def test_behind_a_pool_grad_cam_and_hires_cam_are_the_same_map(key: str) -> None:
    encoded = encoded_picture(key)
    assert default_method(encoded.model.softmax_head) == "grad-cam"
    first, second = encoded.explain(2, "grad-cam"), encoded.explain(2, "hires-cam")
    size = np.abs(first.sigmoid.map).max()
    assert_close(first.sigmoid.map / size, second.sigmoid.map / size, FLOAT32)


@pytest.mark.parametrize("key", KEYS)
def test_maps_sum_to_nothing_exactly_where_a_norm_follows_the_pool_and_the_screen_says_so(key: str) -> None:
    encoded = encoded_picture(key)
    head = encoded.model.softmax_head
    expected = "norm" in key or key == "average of tokens (ViT)"
    assert head.maps_balance == expected
    assert ("mean zero" in why_not_cam(head)) == expected
    if expected:
        grid = encoded.explain(2, "grad-cam").softmax.map
        assert abs(float(grid.mean())) < 1e-3 * float(np.abs(grid).mean())


@pytest.mark.parametrize("key", ["average and max pool", "average beside max pool", "max pool"])
def test_behind_max_pooling_the_sum_of_hires_cam_and_the_bias_are_the_logit(key: str) -> None:
    head, features = double_head(key)
    score = head_score(head, features, class_scores_of(torch.tensor([1, 5]), CLASSES, dtype=torch.float64))
    maps = signed_map(CAM_METHODS["hires-cam"], score)[0]
    assert_close(maps.sum(dim=(1, 2)) + head.last_linear.bias[[1, 5]], score.value, IDENTITY)


# Shifted.


@pytest.mark.parametrize("key", KEYS)
def test_a_vector_added_to_every_row_leaves_softmax_and_moves_sigmoid(key: str) -> None:
    encoded = encoded_picture(key)
    weight = encoded.model.softmax_head.last_linear.weight
    vector = torch.randn(weight.shape[1], generator=torch.Generator().manual_seed(2)) * weight.std()
    after_shift = shifted_image(encoded, vector)
    assert_close(after_shift.probabilities()[0], encoded.probabilities()[0], PROBABILITY._replace(absolute=1e-5))
    assert float((after_shift.probabilities()[1] - encoded.probabilities()[1]).abs().max()) > 1e-3
    before, after = encoded.explain(1), after_shift.explain(1)
    size = np.abs(before.centred.map).max()
    assert_close(after.centred.map / size, before.centred.map / size, FLOAT32._replace(absolute=1e-3))
    assert np.abs(after.softmax.map - before.softmax.map).max() > 1e-3 * np.abs(before.softmax.map).max()


@pytest.mark.parametrize("key", KEYS)
def test_a_shift_adds_its_vector_times_the_last_inputs_to_every_logit(key: str) -> None:
    head, features = double_head(key)
    vector = torch.randn(head.last_linear.in_features, dtype=torch.float64)
    bias = torch.tensor(0.3, dtype=torch.float64)
    with torch.no_grad():
        inputs = head.last_inputs(head.pooled(features))
        expected = head(features) + (inputs @ vector + bias)[:, None]
        assert_close(head.shifted(vector, bias)(features), expected, IDENTITY)


def test_a_shifted_head_is_a_copy_whose_rows_have_the_vector_added_and_the_head_stays_as_it_was() -> None:
    linear = nn.Linear(7, 5)
    head = PooledLinearHead(linear)
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    copy_ = head.shifted(torch.arange(7.0), torch.tensor(2.0))
    assert torch.equal(copy_.linear.weight, weight + torch.arange(7.0))
    assert torch.equal(copy_.linear.bias, bias + 2)
    assert torch.equal(linear.weight, weight)
    assert torch.equal(linear.bias, bias)
    assert copy_.linear.weight.data_ptr() != linear.weight.data_ptr()


def test_every_way_to_shift_a_head_gives_the_same_bits() -> None:
    """A fitted shift, a column of the evaluation, a shifted model and a shifted matrix of weights."""
    classifier = taken_apart("pool + linear")[1]
    head, delta = classifier.head, -0.02
    vector = torch.full((head.last_linear.in_features,), delta)
    expected = head.last_linear.weight + delta
    model = DualBranch(classifier, shift=FittedShift(vector, torch.tensor(0.0)))
    weights = {
        "head": head.shifted(vector).last_linear.weight,
        "one number": head.shifted(delta).last_linear.weight,
        "fitted shift": model.sigmoid_head.last_linear.weight,
        "column": columns_of(model, [delta])[delta_key(delta)].head.last_linear.weight,
        "shifted model": shifted_model(model, vector).softmax_head.last_linear.weight,
        "matrix": shifted_rows(head.last_linear.weight, vector),
    }
    for way, weight in weights.items():
        assert torch.equal(weight, expected), way
    double = PooledLinearHead(nn.Linear(7, 5).double())  # one number is added in the head's own precision
    assert torch.equal(double.shifted(delta).linear.weight, double.linear.weight + delta)


@pytest.mark.parametrize("key", KEYS)
def test_every_diagnostic_is_a_number_or_a_reason(key: str) -> None:
    encoded = encoded_picture(key)
    method = "cam" if encoded.model.softmax_head.cam_is_exact else "grad-cam"
    rows = diagnose(encoded, encoded.explain(2, method))
    assert set(rows) == set(DIAGNOSTICS)
    for row in rows.values():
        assert (row["value"] is None) == (row["reason"] is not None)
    absent = {name for name, row in rows.items() if row["value"] is None}
    needs_exact = {"softmax_shared_map", "sigmoid_shared_map"}
    assert needs_exact & absent == (set() if encoded.model.softmax_head.cam_is_exact else needs_exact)
    if not encoded.model.softmax_head.cam_is_exact:
        assert "probability_change_at_margin" in absent


@pytest.mark.parametrize("key", ["three layers (VGG)", "two heads (distilled DeiT)"])
def test_a_head_without_exact_cam_has_a_report_and_a_slide(key: str) -> None:
    encoded = encoded_picture(key)
    explanation = encoded.explain(2, "grad-cam")
    report = report_html(encoded, explanation, Drawing(), "picture.png")
    reason = why_not_cam(encoded.model.softmax_head)
    assert reason
    assert str(escape(reason)) in report
    assert "Logit shift: what softmax cannot see" not in report  # these curves need a head of pool + linear
    assert slide_card(explanation).size == (1920, 1080)


# Trained.


@pytest.mark.parametrize("branch", ["full", "shift"])
@pytest.mark.parametrize("key", KEYS)
def test_three_steps_move_the_sigmoid_branch_and_leave_softmax_and_encoder_bit_identical(key: str, branch: Any) -> None:
    model = dual_branch(key)
    before = {name: value.clone() for name, value in model.softmax_head.state_dict().items()}
    with torch.no_grad():
        pooled = model.softmax_head.pooled(model.features(inputs_for(key, 3)))
    features = PooledFeatures(pooled[:, None].contiguous(), torch.tensor([0, 3, 6]), ())
    config = TrainingConfig(branch=branch, epochs=3, learning_rate=1e-3, batch_size=3)
    trained = train_sigmoid_branch(model.softmax_head, features, config)
    assert trained.history[-1].loss < trained.history[0].loss
    after = model.softmax_head.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    names = {name for name, value in trained.head.named_parameters() if not torch.equal(value.cpu(), before[name])}
    expected = (
        {"linear.weight", "linear.bias"} if branch == "shift" else {n for n, _ in trained.head.named_parameters()}
    )
    assert names <= expected
    assert "linear.weight" in names
    if branch == "full" and isinstance(trained.head, TailHead) and not trained.head.body_is_fixed:
        assert any(name.startswith("body.") for name in names), "the whole head is trained, not its last layer"


@pytest.mark.parametrize("key", ["norm after the pool (ConvNeXt)", "class token (ViT)", "pool + linear"])
def test_a_softmax_head_for_new_labels_keeps_the_layers_before_its_last(key: str) -> None:
    model = dual_branch(key)
    with torch.no_grad():
        pooled = model.softmax_head.pooled(model.features(inputs_for(key, 4)))
    features = PooledFeatures(pooled[:, None].contiguous(), torch.tensor([0, 1, 2, 0]), ())
    head = fit_softmax_head(features, 3, epochs=2, batch_size=4, like=model.softmax_head)
    assert head.last_linear.weight.shape == (3, model.softmax_head.last_linear.in_features)
    original = model.softmax_head.state_dict()
    for name, value in head.state_dict().items():
        assert name.startswith("linear.") or torch.equal(value, original[name])
    assert float(head.last_linear.weight.mean(dim=0).abs().max()) < 1e-6


# Stored.


@pytest.mark.parametrize("key", ["norm after the pool (ConvNeXt)", "class token (ViT)", "pool + linear, earlier stage"])
def test_a_checkpoint_brings_back_both_heads_and_the_encoder(key: str, tmp_path: Path) -> None:
    family = family_of(key)
    network = redrawn(timm.create_model(family.name))
    classifier = take_apart(network, family.name, "drawn at random", BackboneOptions(family.stage))
    classifier = DualBranch(classifier).classifier(
        head=redrawn(with_classes(classifier.head, CLASSES)).requires_grad_(False),
        class_names=tuple("abcdefg"), class_ids=tuple("abcdefg"),
    )  # fmt: skip
    head = copy.deepcopy(classifier.head)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(1.25)
    model = DualBranch(classifier, head, name="first")
    save_checkpoint(model, tmp_path / "first")
    save_checkpoint(DualBranch(classifier, name="second"), tmp_path / "second")
    first, second = (load_checkpoint(tmp_path / name) for name in ("first", "second"))
    inputs = torch.randn(2, 3, *model.preprocessing.input_size_hw)
    features = model.features(inputs)
    assert torch.equal(first.features(inputs), features)
    assert torch.equal(first.softmax_logits(features), model.softmax_logits(features))
    assert torch.equal(first.sigmoid_logits(features), model.sigmoid_logits(features))
    assert (first.is_trained, second.is_trained) == (True, False)
    assert first.encoder is second.encoder, "two checkpoints that store the same encoder hold it once"
    assert first.grid_hw == family.grid_hw
    assert first.features_at == family.features_at


# The head whose map is exact.


def test_the_head_is_the_mean_over_the_grid_and_one_linear_layer(default_classifier: Classifier) -> None:
    head = PooledLinearHead(nn.Linear(11, 5)).double()
    features = torch.randn(2, 11, 3, 7, dtype=torch.float64)
    assert_close(head.pooled(features), features.flatten(2).mean(2), IDENTITY)
    assert_close(head(features), head.logits(head.pooled(features)), IDENTITY)
    assert head.last_linear is head.linear
