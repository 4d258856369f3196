"""Identities of the CAM variants in float64 on prime-sized axes, and each against its loop in reference.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FINITE_DIFFERENCE, IDENTITY, SUBSPACE, assert_close
from torch import Tensor, nn

from bsig.explain.cams import (
    Score,
    channel_masks,
    class_scores_of,
    eigen_cam_map,
    grad_cam_plus_plus_weights,
    head_score,
    strongest_channels,
)
from bsig.explain.methods import CAM_METHODS, signed_map
from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead, PooledLinearHead

IMAGES, CLASSES, CHANNELS, ROWS, COLUMNS = 2, 5, 11, 3, 7
CELLS = ROWS * COLUMNS
DOUBLE = torch.float64
GRADIENT_METHODS = ("grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "hires-cam")
ALL_METHODS = tuple(CAM_METHODS)


class MultilayerHead(ClassificationHead):
    """Flatten, linear, tanh, linear: no exact CAM and no shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(CHANNELS * CELLS, 13)
        self.linear = nn.Linear(13, CLASSES)

    def pooled(self, features: Tensor) -> Tensor:
        return features.flatten(1)

    def last_inputs(self, pooled: Tensor) -> Tensor:
        return torch.tanh(self.hidden(pooled))

    def ablated_logits(self, features: Tensor, class_scores: Tensor) -> Tensor:
        columns = []
        for k in range(features.shape[1]):
            without = features.clone()
            without[:, k] = 0
            columns.append((self(without) * class_scores).sum(dim=1))
        return torch.stack(columns, dim=1)


def pooled_linear_head(seed: int = 0) -> PooledLinearHead:
    torch.manual_seed(seed)
    return PooledLinearHead(nn.Linear(CHANNELS, CLASSES)).double()


def multilayer_head(seed: int = 0) -> MultilayerHead:
    torch.manual_seed(seed)
    return MultilayerHead().double()


def active_features(seed: int = 1) -> Tensor:
    """Non-negative, as after a ReLU, about half of the cells zero, no channel silent."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(IMAGES, CHANNELS, ROWS, COLUMNS, generator=generator, dtype=DOUBLE).clamp(min=0)
    features[:, :, 0, 0] += 0.1
    return features


def scores_of(classes: tuple[int, ...] = (3, 1), *, centred: bool = False) -> Tensor:
    return class_scores_of(torch.tensor(classes), CLASSES, centred=centred, dtype=DOUBLE)


def score_of(head: nn.Module, features: Tensor, classes: tuple[int, ...] = (3, 1), *, centred: bool = False) -> Score:
    masked = torch.randn(IMAGES, CHANNELS, CLASSES, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    return head_score(head, features, scores_of(classes, centred=centred), masked)


def map_of(key: str, score: Score, *, clamp_weights: bool = False) -> Tensor:
    return signed_map(CAM_METHODS[key], score, clamp_weights=clamp_weights)[0]


HEADS = {"pool-linear": pooled_linear_head, "multilayer": multilayer_head}
# CAM is defined for pool + linear heads alone; its refusal has a test of its own.
DEFINED = [(key, head_kind) for key in ALL_METHODS for head_kind in HEADS if (key, head_kind) != ("cam", "multilayer")]
WEIGHTED = [(key, head_kind) for key, head_kind in DEFINED if key != "eigen-cam"]


# Each variant is its equation.


def reference_map(key: str, head: nn.Module, features: np.ndarray, class_index: int, masked: np.ndarray) -> np.ndarray:
    def head_logit(values: np.ndarray) -> float:
        with torch.no_grad():
            return float(head(torch.from_numpy(values)[None])[0, class_index])

    if isinstance(head, PooledLinearHead):
        weight, bias = (tensor.detach().numpy() for tensor in (head.linear.weight, head.linear.bias))

        def score(values: np.ndarray) -> float:
            return reference.pooled_linear_logits(values, weight, bias)[class_index]
    else:
        score = head_logit
    if key == "cam":
        return reference.cam_map(features, head.last_linear.weight.detach().numpy(), class_index)
    if key == "ablation-cam":
        return reference.channel_weighted_map(reference.ablation_cam_weights(features, score), features)
    if key == "score-cam":
        return reference.channel_weighted_map(reference.score_cam_weights(masked[:, class_index]), features)
    gradient = reference.numeric_gradient(score, features)
    if key == "hires-cam":
        return reference.hires_cam_map(features, gradient)
    if key == "layer-cam":
        return reference.layer_cam_map(features, gradient)
    weights = {
        "grad-cam": lambda: reference.grad_cam_weights(gradient),
        "grad-cam++": lambda: reference.grad_cam_plus_plus_weights(features, gradient),
        "xgrad-cam": lambda: reference.xgrad_cam_weights(features, gradient),
    }[key]()
    return reference.channel_weighted_map(weights, features)


@pytest.mark.parametrize(("key", "head_kind"), WEIGHTED)
def test_each_map_is_its_equation_worked_out_by_loops(key: str, head_kind: str) -> None:
    head, features, classes = HEADS[head_kind](), active_features(), (3, 1)
    score = score_of(head, features, classes)
    masked = torch.randn(IMAGES, CHANNELS, CLASSES, generator=torch.Generator().manual_seed(2), dtype=DOUBLE).numpy()
    expected = [
        reference_map(key, head, features[b].numpy(), class_index, masked[b]) for b, class_index in enumerate(classes)
    ]
    tolerance = FINITE_DIFFERENCE if key in GRADIENT_METHODS else IDENTITY
    assert_close(map_of(key, score), np.stack(expected), tolerance)


def test_eigen_cam_is_the_first_singular_vector_up_to_its_sign() -> None:
    features = active_features()
    for image, values in zip(features, map_of("eigen-cam", score_of(pooled_linear_head(), features)), strict=True):
        expected = reference.eigen_cam_map(image.numpy())
        sign = np.sign((expected * values.numpy()).sum())
        assert_close(values, sign * expected, SUBSPACE)


def test_eigen_cam_of_a_fine_grid_is_that_of_its_whole_gram_matrix() -> None:
    features = torch.rand(2, 37, 23, 29, dtype=torch.float64)
    cells = features.flatten(2) - features.flatten(2).mean(dim=2, keepdim=True)
    left, sizes, _ = torch.linalg.svd(cells.mT, full_matrices=False)
    expected = (left[:, :, 0] * sizes[:, :1]).unflatten(1, (23, 29)).abs()
    assert_close(eigen_cam_map(features).abs(), expected, SUBSPACE)


@pytest.mark.parametrize("size_hw", [(ROWS, COLUMNS), (23, 29)])
def test_eigen_cam_of_features_without_spread_is_zero(size_hw: tuple[int, int]) -> None:
    assert_close(eigen_cam_map(torch.full((1, 3, *size_hw), 0.7, dtype=DOUBLE)), torch.zeros(1, *size_hw), IDENTITY)


def test_eigen_cam_grows_with_the_summed_features() -> None:
    features = active_features()
    summed = features.sum(dim=1)
    summed = summed - summed.mean(dim=(1, 2), keepdim=True)
    assert ((map_of("eigen-cam", score_of(pooled_linear_head(), features)) * summed).sum(dim=(1, 2)) > 0).all()


def test_score_cam_masks_are_bilinear_with_aligned_corners() -> None:
    features = active_features()[0]
    masks = channel_masks(features, (13, 17))
    assert_close(masks, reference.score_cam_masks(features.numpy(), (13, 17)), IDENTITY)
    assert 0 <= masks.min() < masks.max() <= 1


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 3.3, 6.0])
def test_a_constant_channel_is_a_mask_of_zeros_and_not_of_blown_up_rounding_noise(value: float) -> None:
    masks = channel_masks(torch.full((1, 7, 7), value), (224, 224))
    assert torch.equal(masks, torch.zeros(1, 224, 224))


def test_grad_cam_plus_plus_without_epsilon_is_the_papers_equation() -> None:
    head, features = pooled_linear_head(), active_features()
    score = score_of(head, features)
    for b in range(IMAGES):
        expected = reference.grad_cam_plus_plus_weights(features[b].numpy(), score.gradient[b].numpy(), epsilon=0.0)
        assert_close(grad_cam_plus_plus_weights(score, epsilon=0.0)[b], expected, IDENTITY)


# What the maps mean.


@given(st.integers(0, 2**31), st.integers(0, CLASSES - 1), st.floats(0.01, 100))
def test_mean_of_cam_plus_bias_is_the_logit_for_any_head(seed: int, class_index: int, scale: float) -> None:
    head, features = pooled_linear_head(seed), scale * active_features(seed + 1)
    score = score_of(head, features, (class_index, class_index))
    assert_close(map_of("cam", score).mean(dim=(1, 2)) + head.linear.bias[class_index], score.value, IDENTITY)
    assert_close(score.value, head(features)[:, class_index], IDENTITY)


@given(st.integers(0, 2**31), st.floats(0.01, 100))
@pytest.mark.parametrize("key", ["cam", "grad-cam", "hires-cam"])
def test_a_map_scales_with_the_features_of_a_pool_linear_head(key: str, seed: int, scale: float) -> None:
    head, features = pooled_linear_head(seed), active_features(seed + 1)
    assert_close(map_of(key, score_of(head, scale * features)), scale * map_of(key, score_of(head, features)), IDENTITY)


@pytest.mark.parametrize("key", ["cam", "grad-cam", "hires-cam", "xgrad-cam"])
def test_maps_of_a_sum_of_classes_add_up(key: str) -> None:
    head, features = pooled_linear_head(), active_features()
    both = head_score(head, features, scores_of((3, 1)) + scores_of((0, 2)))
    expected = map_of(key, score_of(head, features, (3, 1))) + map_of(key, score_of(head, features, (0, 2)))
    assert_close(map_of(key, both), expected, IDENTITY)


@pytest.mark.parametrize("key", ["cam", "grad-cam", "xgrad-cam", "ablation-cam"])
def test_positive_plus_negative_evidence_is_the_map(key: str) -> None:
    score = score_of(pooled_linear_head(), active_features())
    mirrored = head_score(pooled_linear_head(), score.features, -scores_of((3, 1)))
    positive = map_of(key, score, clamp_weights=True)
    # Zeroing positive weights is zeroing the negative weights of the mirrored score.
    negative = -map_of(key, mirrored, clamp_weights=True)
    assert (positive >= 0).all()
    assert (negative <= 0).all()
    assert_close(positive + negative, map_of(key, score), IDENTITY)


def test_clamped_weights_are_not_a_clamped_map() -> None:
    score = score_of(pooled_linear_head(), active_features())
    clamped_weights = map_of("cam", score, clamp_weights=True)
    clamped_map = map_of("cam", score).clamp(min=0)
    assert (clamped_weights >= clamped_map - 1e-12).all()
    assert (clamped_weights - clamped_map).max() > 0.1


@pytest.mark.parametrize(("key", "head_kind"), WEIGHTED)
def test_the_returned_channel_weights_made_the_map(key: str, head_kind: str) -> None:
    score = score_of(HEADS[head_kind](), active_features())
    values, weights = signed_map(CAM_METHODS[key], score)
    if weights is None:
        assert key in ("hires-cam", "layer-cam")
        return
    for b in range(IMAGES):
        expected = reference.channel_weighted_map(weights[b].numpy(), score.features[b].numpy())
        assert_close(values[b], expected, IDENTITY)


@pytest.mark.parametrize(("key", "head_kind"), DEFINED)
def test_a_method_that_shows_no_negative_evidence_has_none_on_active_features(key: str, head_kind: str) -> None:
    score = score_of(HEADS[head_kind](), active_features())
    if not CAM_METHODS[key].shows_negative:
        assert (map_of(key, score) >= 0).all()
    elif score.linear_weights is not None:
        assert (map_of(key, score) < 0).any()


# For a pool + linear head, several variants are one.


def test_grad_cam_is_cam_divided_by_the_number_of_cells() -> None:
    score = score_of(pooled_linear_head(), active_features())
    assert_close(map_of("grad-cam", score), map_of("cam", score) / CELLS, IDENTITY)


def test_hires_cam_is_grad_cam() -> None:
    score = score_of(pooled_linear_head(), active_features())
    assert_close(map_of("hires-cam", score), map_of("grad-cam", score), IDENTITY)


def test_hires_cam_is_not_grad_cam_for_a_head_that_sees_places() -> None:
    score = score_of(multilayer_head(), active_features())
    assert (map_of("hires-cam", score) - map_of("grad-cam", score)).abs().max() > 1e-3


def test_xgrad_cam_is_grad_cam_where_every_channel_is_active() -> None:
    score = score_of(pooled_linear_head(), active_features())
    # XGrad-CAM's denominator carries 1e-7 on channel sums of about 8.
    assert_close(map_of("xgrad-cam", score), map_of("grad-cam", score), FINITE_DIFFERENCE)


def test_layer_cam_is_cam_with_clamped_weights_divided_by_the_number_of_cells() -> None:
    score = score_of(pooled_linear_head(), active_features())
    assert_close(map_of("layer-cam", score), map_of("cam", score, clamp_weights=True) / CELLS, IDENTITY)


def test_ablation_weights_are_each_channels_part_of_the_logit() -> None:
    head, features = pooled_linear_head(), active_features()
    score = score_of(head, features)
    _, weights = signed_map(CAM_METHODS["ablation-cam"], score)
    parts = head.linear.weight.detach()[[3, 1]] * features.mean(dim=(2, 3))
    assert_close(weights * score.value.abs()[:, None], parts, IDENTITY)
    bias = head.linear.bias.detach()[[3, 1]]
    assert_close((weights.sum(dim=1) * score.value.abs()) + bias, score.value, IDENTITY)


def test_a_pool_linear_heads_score_in_closed_form_is_the_one_that_a_graph_gives() -> None:
    head, leaf = pooled_linear_head(), torch.rand(2, CHANNELS, 3, 5, dtype=torch.float64, requires_grad=True)
    class_scores = torch.randn(2, CLASSES, dtype=torch.float64)
    value = (head(leaf) * class_scores).sum(dim=1)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    score = head_score(head, leaf, class_scores)
    assert_close(score.value, value, IDENTITY)
    assert_close(score.gradient, gradient, IDENTITY)
    assert_close(score.ablated(), head.ablated_logits(leaf.detach(), class_scores), IDENTITY)


def test_a_pool_linear_heads_shortcut_is_the_same_as_running_it_without_each_channel() -> None:
    head, features = pooled_linear_head(), active_features()
    by_running = MultilayerHead.ablated_logits(head, features, scores_of())
    assert_close(head.ablated_logits(features, scores_of()), by_running, IDENTITY)


def test_a_negative_score_keeps_positive_for_in_ablation_cam() -> None:
    head, features = pooled_linear_head(), active_features()
    with torch.no_grad():
        head.linear.bias -= 100
    score = score_of(head, features)
    _, weights = signed_map(CAM_METHODS["ablation-cam"], score)
    assert (score.value < 0).all()
    assert torch.equal(weights.sign(), head.linear.weight.detach()[[3, 1]].sign())


def test_ablation_cam_of_a_score_of_zero_is_the_drop_itself() -> None:
    head, features = pooled_linear_head(), active_features()[:1]
    with torch.no_grad():
        head.linear.bias[:] = 0
        head.linear.weight[:] = 0
        head.linear.weight[3, :2] = torch.tensor([1.0, -1.0])
        features[:, 1] = features[:, 0]
    score = head_score(head, features, scores_of((3,)))
    _, weights = signed_map(CAM_METHODS["ablation-cam"], score)
    mean = features[0, 0].mean()
    assert score.value.item() == 0
    assert_close(weights[0, :2], torch.stack([mean, -mean]), IDENTITY)


def test_score_cam_weights_sum_to_one_and_left_out_channels_weigh_zero() -> None:
    features = active_features()
    masked = torch.randn(IMAGES, CHANNELS, CLASSES, dtype=DOUBLE)
    masked[:, 6:] = -math.inf
    score = head_score(pooled_linear_head(), features, scores_of(), masked)
    _, weights = signed_map(CAM_METHODS["score-cam"], score)
    assert_close(weights.sum(dim=1), np.ones(IMAGES), IDENTITY)
    assert (weights[:, 6:] == 0).all()
    assert_close(weights[0, :6], reference.score_cam_weights(masked[0, :6, 3].numpy()), IDENTITY)


def test_strongest_channels_have_the_largest_mean_square_and_keep_their_order() -> None:
    features = torch.ones(5, ROWS, COLUMNS) * torch.tensor([1.0, -7.0, 2.0, 5.0, 3.0])[:, None, None]
    assert strongest_channels(features, 3).tolist() == [1, 3, 4]
    assert strongest_channels(features, None).tolist() == [0, 1, 2, 3, 4]
    assert strongest_channels(features, 99).tolist() == [0, 1, 2, 3, 4]


# What softmax cannot see.


@given(st.integers(0, 2**31), st.floats(0.01, 10))
def test_a_vector_added_to_every_class_row_moves_maps_and_sigmoids_but_neither_softmax_nor_centred_maps(
    seed: int, size: float
) -> None:
    head, shifted_head, features = pooled_linear_head(seed), pooled_linear_head(seed), active_features(seed + 1)
    vector = size * torch.randn(CHANNELS, generator=torch.Generator().manual_seed(seed + 2), dtype=DOUBLE)
    with torch.no_grad():
        shifted_head.linear.weight += vector
        logits, shifted_logits = head(features), shifted_head(features)
    assert_close(shifted_logits.softmax(dim=1), logits.softmax(dim=1), IDENTITY)
    same_move = torch.einsum("k,bkhw->bhw", vector, features)
    for classes in ((0, 0), (4, 2)):
        before, after = score_of(head, features, classes), score_of(shifted_head, features, classes)
        assert_close(map_of("cam", after) - map_of("cam", before), same_move, IDENTITY)
        before, after = (score_of(h, features, classes, centred=True) for h in (head, shifted_head))
        assert_close(map_of("cam", after), map_of("cam", before), IDENTITY)
        assert_close(map_of("grad-cam", after), map_of("grad-cam", before), IDENTITY)
    move = same_move.mean(dim=(1, 2)).abs()
    change = (shifted_logits.sigmoid() - logits.sigmoid()).abs().amax(dim=1)
    assert (change[move > 1e-3] > 1e-5).all()


def test_centred_maps_of_all_classes_sum_to_zero() -> None:
    head, features = pooled_linear_head(), active_features()
    total = sum(map_of("cam", score_of(head, features, (c, c), centred=True)) for c in range(CLASSES))
    assert_close(total, torch.zeros_like(total), IDENTITY)


# Treatments.


@pytest.mark.parametrize("key", [key for key in ALL_METHODS if key != "eigen-cam"])
def test_clamping_leaves_no_negative_weight_and_keeps_the_positive_ones(key: str) -> None:
    score = score_of(pooled_linear_head(), active_features())
    _, signed = signed_map(CAM_METHODS[key], score)
    _, clamped = signed_map(CAM_METHODS[key], score, clamp_weights=True)
    if signed is None or clamped is None:
        assert key in ("hires-cam", "layer-cam")
        assert (map_of(key, score, clamp_weights=True) >= 0).all()
        return
    assert torch.equal(clamped, torch.where(signed > 0, signed, torch.zeros_like(signed)))


def test_cam_of_a_head_without_linear_weights_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="grad-cam"):
        map_of("cam", score_of(multilayer_head(), active_features()))


def test_score_cam_without_masked_scores_is_refused_with_the_remedy() -> None:
    score = head_score(pooled_linear_head(), active_features(), scores_of())
    with pytest.raises(InputError, match="Explainer"):
        map_of("score-cam", score)


# Explaining changes nothing.


@pytest.mark.parametrize("grad_mode", [True, False])
@pytest.mark.parametrize("head_kind", HEADS)
def test_explaining_changes_neither_inputs_nor_head_nor_flags_nor_gradients(head_kind: str, grad_mode: bool) -> None:
    head, features = HEADS[head_kind](), active_features()
    head.train()
    head.last_linear.weight.requires_grad_(False)
    state = {key: value.clone() for key, value in head.state_dict().items()}
    flags = {name: parameter.requires_grad for name, parameter in head.named_parameters()}
    kept_features, class_scores = features.clone(), scores_of()
    kept_scores = class_scores.clone()
    with torch.set_grad_enabled(grad_mode):
        score = head_score(head, features, class_scores, torch.randn(IMAGES, CHANNELS, CLASSES, dtype=DOUBLE))
        for key in ALL_METHODS:
            if key != "cam" or head.cam_is_exact:
                assert not map_of(key, score).requires_grad
        assert torch.is_grad_enabled() is grad_mode
    assert torch.equal(features, kept_features)
    assert not features.requires_grad
    assert features.grad is None
    assert torch.equal(class_scores, kept_scores)
    assert all(module.training for module in head.modules())
    assert {name: parameter.requires_grad for name, parameter in head.named_parameters()} == flags
    assert all(parameter.grad is None for parameter in head.parameters())
    assert all(torch.equal(value, state[key]) for key, value in head.state_dict().items())


# Degenerate features.


@pytest.mark.parametrize(("key", "head_kind"), DEFINED)
def test_features_that_are_zero_everywhere_give_a_map_of_zeros(key: str, head_kind: str) -> None:
    score = score_of(HEADS[head_kind](), torch.zeros(IMAGES, CHANNELS, ROWS, COLUMNS, dtype=DOUBLE))
    assert_close(map_of(key, score), torch.zeros(IMAGES, ROWS, COLUMNS), IDENTITY)


@pytest.mark.parametrize(("key", "head_kind"), DEFINED)
def test_silent_constant_and_cancelling_channels_give_finite_maps(key: str, head_kind: str) -> None:
    features = active_features()
    features[:, 2] = 0
    features[:, 3] = 0.7
    features[:, 4] = 0
    features[:, 4, 0, 0], features[:, 4, 0, 1] = 2.0, -2.0
    score = score_of(HEADS[head_kind](), features)
    assert map_of(key, score).isfinite().all()


@pytest.mark.parametrize("key", ALL_METHODS)
def test_a_head_of_zeros_gives_finite_maps(key: str) -> None:
    head = pooled_linear_head()
    with torch.no_grad():
        head.linear.weight[:] = 0
        head.linear.bias[:] = 0
    assert map_of(key, score_of(head, active_features())).isfinite().all()


@pytest.mark.parametrize("key", ALL_METHODS)
def test_each_image_of_a_batch_is_explained_as_if_it_were_alone(key: str) -> None:
    head, features = pooled_linear_head(), active_features()
    masked = torch.randn(IMAGES, CHANNELS, CLASSES, dtype=DOUBLE)
    together = map_of(key, head_score(head, features, scores_of(), masked))
    for b in range(IMAGES):
        row = slice(b, b + 1)
        alone = map_of(key, head_score(head, features[row], scores_of()[row], masked[row]))
        assert_close(alone, together[row], SUBSPACE if key == "eigen-cam" else IDENTITY)
