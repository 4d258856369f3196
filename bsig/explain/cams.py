"""Class activation maps as pure functions of the features and of the gradient through the head.

Every variant is a sum over channels of `weights * features`. The weights are one number a channel (`b k`) or one a
channel and cell (`b k h w`); they need the features `F[b,k,h,w]`, the score `y[b]` being explained and at most its
gradient `G = dy/dF` *through the head alone*. The backbone is never run backwards, nothing is hooked or changed.

A score is a linear combination of a head's logits, `y = sum_c class_scores[c] * logit_c`:

    one class:              class_scores = onehot(c)
    class-centred:          class_scores = onehot(c) - 1/C      (what softmax cannot shift; logit_shift.py)

Maps keep their sign and their unit until they are drawn: positive speaks for the class, negative against it. They are
at the resolution of the feature grid. No ReLU, no rescaling; `grad-cam` and others apply both, and agree up to them
(tests/explain/test_cams_against_grad_cam.py). Each equation stands again as plain loops in tests/reference.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead

LARGEST_GRAM = 400
"""Cells up to which Eigen-CAM works the whole Gram matrix out: 20 x 20."""
Branch = Literal["softmax", "sigmoid", "centred"]
"""Whose evidence a map shows: a head's, or the softmax head's less the mean of all classes."""
TrainedBranch = Literal["softmax", "sigmoid"]
TRAINED: tuple[TrainedBranch, ...] = ("softmax", "sigmoid")
"""The branches that have a head of their own."""


@dataclass(frozen=True)
class Score:
    """One score of one head for each image of a batch, with all that the methods need to draw its map.

    Attributes:
        value: the score `y`, in logits.
        gradient: `dy/dF` through the head.
        linear_weights: the head's own weights for the score where the head is pool + linear, else None.
        ablated: the score with channel k zeroed, for each k: a function, because only Ablation-CAM asks.
        masked: the score of the input seen through channel k alone; -inf where it was not computed. Only Score-CAM
            asks for it; it needs the whole network.
    """

    features: Float[Tensor, "b k h w"]
    value: Float[Tensor, " b"]
    gradient: Float[Tensor, "b k h w"]
    linear_weights: Float[Tensor, "b k"] | None
    ablated: Callable[[], Float[Tensor, "b k"]]
    masked: Float[Tensor, "b k"] | None = None


def head_score(
    head: ClassificationHead,
    features: Float[Tensor, "b kk h w"],
    class_scores: Float[Tensor, "b c"],
    masked_logits: Float[Tensor, "b k c"] | None = None,
    rows: Float[Tensor, "b k"] | None = None,
) -> Score:
    """The score `sum_c class_scores[b,c] * logit_c` of a head on given features, with its gradient.

    Args:
        head: features -> logits.
        features: without graph; channels that a head carries beside the map's (a transformer's class token) are read by
            the head and left out of the map.
        class_scores: which combination of logits, see `class_scores_of`.
        masked_logits: for Score-CAM: the head's logits for the input masked by each channel, -inf where left out.
        rows: `class_scores @ W` of an average pool + linear head, where the caller has it without reading all of `W`.
    """
    features = features.detach()
    masked = _masked_scores(masked_logits, class_scores)
    if head.cam_is_exact:
        return _linear_score(head, features, class_scores, rows, masked)
    leaf = features.requires_grad_(True)
    with torch.enable_grad():
        value = (head.map_logits(leaf) * class_scores).sum(dim=1)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
    features = features.detach()

    def ablated() -> Tensor:
        with torch.no_grad():
            return head.ablated_logits(features, class_scores)

    return Score(head.map_features(features), value.detach(), head.map_features(gradient), None, ablated, masked)


def _linear_score(
    head: ClassificationHead, features: Tensor, class_scores: Tensor, rows: Tensor | None, masked: Tensor | None
) -> Score:
    """`y = w . mean_hw F + s . b` with `w = s W`: its gradient is `w / (h w)` in every cell, no graph is needed."""
    weight, bias = head.last_linear.weight.detach(), head.last_linear.bias.detach()
    if rows is None:
        rows = class_scores @ weight
    parts = rows * features.mean(dim=(2, 3))
    value = parts.sum(dim=1) + class_scores @ bias
    gradient = (rows / (features.shape[2] * features.shape[3]))[:, :, None, None].expand_as(features)
    return Score(features, value, gradient, rows, lambda: value[:, None] - parts, masked)


def class_scores_of(
    class_index: Int[Tensor, " b"], num_classes: int, *, centred: bool = False, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "b c"]:
    """One-hot rows; with `centred` less 1/C everywhere, so that a number added to all logits drops out."""
    scores = F.one_hot(class_index, num_classes).to(dtype)
    return scores - 1 / num_classes if centred else scores


# The weights of each variant. First the equation, then the source.


def cam_weights(score: Score) -> Float[Tensor, "b k"]:
    """`w[c,k]`, the linear layer's own weights, so that `mean_hw(map) + bias = logit` exactly.

    Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, eq. 2, arXiv 1512.04150.

    Raises:
        InputError: the head is not an average pool and one linear layer.
    """
    if score.linear_weights is None:
        raise InputError(
            "`method` (='cam') needs a head of average pool and one linear layer, which this model has not: use "
            "'grad-cam' or 'hires-cam'."
        )
    return score.linear_weights


def grad_cam_weights(score: Score) -> Float[Tensor, "b k"]:
    """`a_k = mean_hw G[k]`.

    Selvaraju et al., "Grad-CAM", ICCV 2017, eq. 1, arXiv 1610.02391. Without its ReLU (eq. 2).
    """
    return score.gradient.mean(dim=(2, 3))


def grad_cam_plus_plus_weights(score: Score, epsilon: float = 1e-6) -> Float[Tensor, "b k"]:
    """`a_k = sum_hw alpha * relu(G)`, `alpha` from `grad_cam_plus_plus_alpha`; never negative.

    Chattopadhay et al., "Grad-CAM++", WACV 2018, eqs. 7 and 19, arXiv 1710.11063.
    """
    total = score.features.sum(dim=(2, 3), keepdim=True)
    alpha = grad_cam_plus_plus_alpha(score.gradient, total, epsilon)
    return (alpha * score.gradient.clamp(min=0)).sum(dim=(2, 3))


def grad_cam_plus_plus_alpha(
    gradient: Float[Tensor, ...], total: Float[Tensor, ...], epsilon: float = 1e-6
) -> Float[Tensor, ...]:
    """`alpha = G^2 / (2 G^2 + (sum_hw F) G^3 + epsilon)`, cell by cell; zero where the denominator is.

    The paper has no `epsilon`; the grad-cam package adds 1e-6, which is of the size of `G^2` and damps channels of
    small gradient. It is kept so that both draw the same map; `epsilon=0` is the paper's equation.
    `total` is `sum_hw F`, of a shape that spreads over the gradient's.
    """
    square = gradient.square()
    denominator = 2 * square + total * square * gradient + epsilon
    return torch.where(denominator == 0, 0.0, square / torch.where(denominator == 0, 1.0, denominator))


def xgrad_cam_weights(score: Score, epsilon: float = 1e-7) -> Float[Tensor, "b k"]:
    """`a_k = sum_hw G[k] F[k] / sum_hw F[k]`: the gradient averaged where the channel is active.

    Fu et al., "Axiom-based Grad-CAM", BMVC 2020, eq. 11, arXiv 2008.02312. Assumes `F >= 0`; a channel that is zero
    everywhere weighs nothing. Channels that cancel to a sum near zero (no ReLU before the head) make it large.
    """
    active = (score.gradient * score.features).sum(dim=(2, 3))
    total = score.features.sum(dim=(2, 3)) + epsilon
    return torch.where(total == 0, 0.0, active / torch.where(total == 0, 1.0, total))


def hires_cam_weights(score: Score) -> Float[Tensor, "b k h w"]:
    """`G[k,h,w]`, cell by cell.

    Draelos and Carin, "Use HiResCAM instead of Grad-CAM", 2020, eq. 4, arXiv 2011.08891.
    """
    return score.gradient


def layer_cam_weights(score: Score) -> Float[Tensor, "b k h w"]:
    """`relu(G[k,h,w])`, cell by cell: never negative on features that are not.

    Jiang et al., "LayerCAM", IEEE TIP 2021, eqs. 5 and 6. Without its ReLU on the sum (eq. 7).
    """
    return score.gradient.clamp(min=0)


def ablation_cam_weights(score: Score) -> Float[Tensor, "b k"]:
    """`a_k = (y - y_without_k) / |y|`: the share of the score that is lost with channel k.

    Desai and Ramaswamy, "Ablation-CAM", WACV 2020, eq. 2.
    """
    return relative_drop(score.value[:, None] - score.ablated(), score.value[:, None])


def relative_drop(drop: Float[Tensor, ...], value: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """`drop / |y|`; where the score `y` is exactly zero, the drop itself.

    Ablation-CAM's paper divides by `y`. A negative score (the usual case for an absent class in a sigmoid branch) would
    turn every sign round; `|y|` keeps "positive speaks for". `value`, `y`, has a shape that spreads over the drop's.
    """
    size = value.abs()
    return drop / torch.where(size == 0, 1.0, size)


def score_cam_weights(score: Score) -> Float[Tensor, "b k"]:
    """`a = softmax_k(y of the input seen through channel k)`: positive, sums to one; left-out channels weigh zero.

    Wang et al., "Score-CAM", CVPRW 2020, eqs. 6 to 8, arXiv 1910.01279 (softmax over the scores as in its code).

    Raises:
        InputError: the masked scores were not computed; `Encoded.explain` computes them.
    """
    if score.masked is None:
        raise InputError(
            "`method` (='score-cam') needs `masked_logits`; ask through `bsig.Explainer`, which runs them."
        )
    return score.masked.softmax(dim=1)


def eigen_cam_map(features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b h w"]:
    """`(F - mean_hw F) . v1`, v1 the first right singular vector over the cells: the same for every class and branch.

    Muhammad and Yeasin, "Eigen-CAM", IJCNN 2020, eq. 3, arXiv 2008.00299, centred as in the grad-cam package. The sign
    of a singular vector is arbitrary; here it is the one in which the map grows with the summed features.
    """
    cells = features.flatten(2)
    centred = (cells - cells.mean(dim=2, keepdim=True)).double()
    project = _projection if centred.shape[2] <= LARGEST_GRAM else _projection_by_lanczos
    projection = project(centred)
    along = (projection * centred.sum(dim=1)).sum(dim=1, keepdim=True)
    return (projection * torch.where(along < 0, -1.0, 1.0)).to(features.dtype).unflatten(1, features.shape[2:])


def _projection(centred: Float[Tensor, "b k n"]) -> Float[Tensor, "b n"]:
    """The cells' coordinates along `v1`: `centred^T v1 = s1 u1`, in the features' unit.

    From the (n, n) Gram matrix over the cells, because the channels are many more than the cells.
    """
    values, vectors = torch.linalg.eigh(centred.mT @ centred)
    return vectors[:, :, -1] * values[:, -1:].clamp(min=0).sqrt()


def _projection_by_lanczos(centred: Float[Tensor, "b k n"]) -> Float[Tensor, "b n"]:
    """The cells' coordinates along `v1`, for a grid so fine that its whole Gram matrix would take seconds.

    Lanczos' method needs products with the Gram matrix alone, and they are two products with the features.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    projections = []
    for matrix in centred.cpu().numpy():
        cells = matrix.shape[1]
        gram = LinearOperator((cells, cells), matvec=lambda v, m=matrix: m.T @ (m @ v), dtype=matrix.dtype)
        if not matrix.any():  # nothing to start from; every vector would be an eigenvector
            projections.append(torch.zeros(cells, dtype=torch.float64))
            continue
        start = matrix[np.square(matrix).sum(axis=1).argmax()]  # fixed, so that the same features give the same map
        values, vectors = eigsh(gram, k=1, which="LA", v0=start)
        projections.append(torch.from_numpy(vectors[:, 0] * np.sqrt(max(values[0], 0.0))))
    return torch.stack(projections).to(centred.device)


def weighted_map(
    weights: Float[Tensor, "b k"] | Float[Tensor, "b k h w"], features: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b h w"]:
    """`sum_k weights * F`, signed, at grid resolution."""
    if weights.ndim == 2:
        return torch.einsum("bk,bkhw->bhw", weights, features)
    return (weights * features).sum(dim=1)


def channel_masks(features: Float[Tensor, "k h w"], size_hw: tuple[int, int]) -> Float[Tensor, "k H W"]:
    """Each channel resized to the input and scaled to [0, 1] by its own minimum and maximum: Score-CAM's masks.

    Bilinear with aligned corners and 1e-8 in the denominator, as in the grad-cam package. A constant channel is zero.
    """
    resized = F.interpolate(features[None], size=size_hw, mode="bilinear", align_corners=True)[0]
    low = resized.amin(dim=(1, 2), keepdim=True)
    high = resized.amax(dim=(1, 2), keepdim=True)
    # Interpolating a constant leaves rounding noise, which float32 would blow up to a mask of speckles.
    is_constant = features.amin(dim=(1, 2), keepdim=True) == features.amax(dim=(1, 2), keepdim=True)
    return ((resized - low) / (high - low + 1e-8)).masked_fill(is_constant, 0.0)


def strongest_channels(features: Float[Tensor, "k h w"], budget: int | None) -> Int[Tensor, " n"]:
    """The `budget` channels with the largest mean square; all of them for None."""
    if budget is None or budget >= len(features):
        return torch.arange(len(features), device=features.device)
    return features.square().mean(dim=(1, 2)).topk(budget).indices.sort().values


def _masked_scores(masked_logits: Tensor | None, class_scores: Tensor) -> Tensor | None:
    if masked_logits is None:
        return None
    left_out = masked_logits.isinf().all(dim=2)
    scores = torch.einsum("bkc,bc->bk", masked_logits.masked_fill(left_out[:, :, None], 0.0), class_scores)
    return scores.masked_fill(left_out, -torch.inf)
