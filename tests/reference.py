"""Every formula again, slower and less complicated: plain loops over float64 numbers, one picture at a time.

Written from the equations, not from the code under test: no einsum, no broadcasting, no torch. Index letters as in the
project: `c` class, `k` channel, `h w` grid cell. `features` is (k, h, w), `gradient` is dy/dF of the same shape,
`weight` is (c, k), `bias` is (c,).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray

# --- Heads and their gradients ---


def pooled(features: Array) -> Array:
    """The mean of each channel over the cells."""
    channels, rows, columns = features.shape
    means = np.zeros(channels)
    for k in range(channels):
        for h in range(rows):
            for w in range(columns):
                means[k] += features[k, h, w] / (rows * columns)
    return means


def pooled_linear_logits(features: Array, weight: Array, bias: Array) -> Array:
    """`logit_c = sum_k W[c,k] mean_hw F[k] + b_c`."""
    means = pooled(features)
    logits = np.zeros(len(weight))
    for c in range(len(weight)):
        logits[c] = bias[c]
        for k in range(len(means)):
            logits[c] += weight[c, k] * means[k]
    return logits


def numeric_gradient(score: Callable[[Array], float], features: Array, step: float = 1e-5) -> Array:
    """`dy/dF[k,h,w]` by central differences, for a head of any kind."""
    gradient = np.zeros(features.shape)
    for index in np.ndindex(features.shape):
        up, down = features.copy(), features.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (score(up) - score(down)) / (2 * step)
    return gradient


# --- CAM variants ---


def channel_weighted_map(weights: Array, features: Array) -> Array:
    """`M[h,w] = sum_k a_k F[k,h,w]`."""
    channels, rows, columns = features.shape
    total = np.zeros((rows, columns))
    for k in range(channels):
        for h in range(rows):
            for w in range(columns):
                total[h, w] += weights[k] * features[k, h, w]
    return total


def cam_map(features: Array, weight: Array, class_index: int) -> Array:
    """Zhou et al. 2016, eq. 2: `M_c[h,w] = sum_k W[c,k] F[k,h,w]`."""
    return channel_weighted_map(weight[class_index], features)


def grad_cam_weights(gradient: Array) -> Array:
    """Selvaraju et al. 2017, eq. 1: the gradient, averaged over the cells."""
    return pooled(gradient)


def grad_cam_plus_plus_weights(features: Array, gradient: Array, epsilon: float = 1e-6) -> Array:
    """Chattopadhay et al. 2018, eqs. 7 and 19 with the exponential's derivatives as powers of the first gradient."""
    channels, rows, columns = features.shape
    weights = np.zeros(channels)
    for k in range(channels):
        activation = 0.0
        for h in range(rows):
            for w in range(columns):
                activation += features[k, h, w]
        for h in range(rows):
            for w in range(columns):
                g = gradient[k, h, w]
                denominator = 2 * g**2 + activation * g**3 + epsilon
                alpha = g**2 / denominator if denominator != 0 else 0.0
                weights[k] += alpha * max(g, 0.0)
    return weights


def xgrad_cam_weights(features: Array, gradient: Array, epsilon: float = 1e-7) -> Array:
    """Fu et al. 2020, eq. 11: the gradient averaged with each cell's share of the channel's activation."""
    channels, rows, columns = features.shape
    weights = np.zeros(channels)
    for k in range(channels):
        activation = epsilon
        for h in range(rows):
            for w in range(columns):
                activation += features[k, h, w]
        for h in range(rows):
            for w in range(columns):
                weights[k] += gradient[k, h, w] * features[k, h, w] / activation if activation != 0 else 0.0
    return weights


def hires_cam_map(features: Array, gradient: Array) -> Array:
    """Draelos and Carin 2020, eq. 4: gradient times feature in each cell, summed over channels."""
    channels, rows, columns = features.shape
    total = np.zeros((rows, columns))
    for k in range(channels):
        for h in range(rows):
            for w in range(columns):
                total[h, w] += gradient[k, h, w] * features[k, h, w]
    return total


def layer_cam_map(features: Array, gradient: Array) -> Array:
    """Jiang et al. 2021, eqs. 5 and 6: as HiResCAM, with only the cells whose gradient is positive."""
    channels, rows, columns = features.shape
    total = np.zeros((rows, columns))
    for k in range(channels):
        for h in range(rows):
            for w in range(columns):
                if gradient[k, h, w] > 0:
                    total[h, w] += gradient[k, h, w] * features[k, h, w]
    return total


def ablation_cam_weights(features: Array, score: Callable[[Array], float]) -> Array:
    """Desai and Ramaswamy 2020, eq. 2, over `|y|`: run the head once more for each channel, with it set to zero."""
    whole = score(features)
    weights = np.zeros(len(features))
    for k in range(len(features)):
        without = features.copy()
        without[k] = 0.0
        weights[k] = whole - score(without)
        if whole != 0:
            weights[k] /= abs(whole)
    return weights


def score_cam_masks(features: Array, size_hw: tuple[int, int]) -> Array:
    """Wang et al. 2020, eqs. 5 and 6: each channel enlarged (bilinear, corners aligned) and scaled to [0, 1]."""
    masks = np.zeros((len(features), *size_hw))
    for k in range(len(features)):
        enlarged = bilinear_aligned_corners(features[k], size_hw)
        low, high = enlarged.min(), enlarged.max()
        for y in range(size_hw[0]):
            for x in range(size_hw[1]):
                masks[k, y, x] = (enlarged[y, x] - low) / (high - low + 1e-8)
    return masks


def bilinear_aligned_corners(cells: Array, size_hw: tuple[int, int]) -> Array:
    """The corner cells lie on the corner pixels; in between, linear along rows and along columns."""
    (rows, columns), (height, width) = cells.shape, size_hw
    pixels = np.zeros(size_hw)
    for y in range(height):
        for x in range(width):
            v = y * (rows - 1) / (height - 1)
            u = x * (columns - 1) / (width - 1)
            top, left = min(int(v), rows - 1), min(int(u), columns - 1)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            down, across = v - top, u - left
            pixels[y, x] = (
                (1 - down) * (1 - across) * cells[top, left]
                + (1 - down) * across * cells[top, right]
                + down * (1 - across) * cells[bottom, left]
                + down * across * cells[bottom, right]
            )
    return pixels


def score_cam_weights(masked_scores: Array) -> Array:
    """`a_k = exp(y_k) / sum_j exp(y_j)` over the scores of the masked inputs."""
    total = 0.0
    for score in masked_scores:
        total += math.exp(score)
    weights = np.zeros(len(masked_scores))
    for k, score in enumerate(masked_scores):
        weights[k] = math.exp(score) / total
    return weights


def eigen_cam_map(features: Array) -> Array:
    """Muhammad and Yeasin 2020, eq. 3, centred: the cells projected on the first right singular vector, sign open."""
    channels, rows, columns = features.shape
    cells = np.zeros((rows * columns, channels))
    means = pooled(features)
    for k in range(channels):
        for h in range(rows):
            for w in range(columns):
                cells[h * columns + w, k] = features[k, h, w] - means[k]
    direction = np.linalg.svd(cells, full_matrices=False)[2][0]
    total = np.zeros((rows, columns))
    for h in range(rows):
        for w in range(columns):
            for k in range(channels):
                total[h, w] += cells[h * columns + w, k] * direction[k]
    return total
