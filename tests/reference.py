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


# --- logit shift ---


def shared_component(weight: Array) -> Array:
    """`w_bar[k] = (1/c) sum_c W[c,k]`."""
    classes, channels = weight.shape
    mean = np.zeros(channels)
    for k in range(channels):
        for c in range(classes):
            mean[k] += weight[c, k] / classes
    return mean


def shared_energy_share(weight: Array) -> float:
    """`c * sum_k w_bar[k]^2 / sum_ck W[c,k]^2`."""
    classes, channels = weight.shape
    shared, total = 0.0, 0.0
    for value in shared_component(weight):
        shared += classes * value**2
    for c in range(classes):
        for k in range(channels):
            total += weight[c, k] ** 2
    return shared / total


def grid_norm(cells: Array) -> float:
    """`sqrt(sum_hw M^2)`."""
    total = 0.0
    for value in cells.flat:
        total += value**2
    return math.sqrt(total)


def shared_map_share(features: Array, weight: Array, class_index: int) -> float:
    """`|w_bar . F| / |M_c|`."""
    shared = channel_weighted_map(shared_component(weight), features)
    return grid_norm(shared) / grid_norm(cam_map(features, weight, class_index))


def shifted_head(weight: Array, vector: Array) -> Array:
    """`W'[c,k] = W[c,k] + v[k]`."""
    result = np.zeros(weight.shape)
    for c in range(weight.shape[0]):
        for k in range(weight.shape[1]):
            result[c, k] = weight[c, k] + vector[k]
    return result


def class_centred_map(features: Array, weight: Array, class_index: int) -> Array:
    """`sum_k (W[c,k] - w_bar[k]) F[k,h,w]`."""
    shared = shared_component(weight)
    own = np.zeros(len(shared))
    for k in range(len(shared)):
        own[k] = weight[class_index, k] - shared[k]
    return channel_weighted_map(own, features)


def logit_shift(means: Array, vector: Array) -> float:
    """`sum_k v[k] mean_hw F[k]`."""
    total = 0.0
    for k in range(len(vector)):
        total += vector[k] * means[k]
    return total


def softmax(logits: Array) -> Array:
    """`exp(z_c) / sum_d exp(z_d)`."""
    total = 0.0
    for logit in logits:
        total += math.exp(logit)
    return np.array([math.exp(logit) / total for logit in logits])


def sigmoid(logits: Array) -> Array:
    """`1 / (1 + exp(-z_c))`."""
    return np.array([1 / (1 + math.exp(-logit)) for logit in logits])


def common_shift(weight: Array, other: Array) -> tuple[Array, float]:
    """`v[k] = mean_c (W_other - W)[c,k]` and `c |v|^2 / |W_other - W|^2`."""
    classes, channels = weight.shape
    difference = np.zeros(weight.shape)
    for c in range(classes):
        for k in range(channels):
            difference[c, k] = other[c, k] - weight[c, k]
    return shared_component(difference), shared_energy_share(difference)


def equivalent_delta(features: Array, vector: Array) -> float:
    """`sum_khw v[k] F[k,h,w] / sum_khw F[k,h,w]`."""
    change, total = 0.0, 0.0
    for k, h, w in np.ndindex(features.shape):
        change += vector[k] * features[k, h, w]
        total += features[k, h, w]
    return change / total


def pearson_correlation(first: Array, second: Array) -> float:
    """`sum (a - mean a)(b - mean b) / (|a - mean a| |b - mean b|)`."""
    a, b = list(first.flat), list(second.flat)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    both, of_a, of_b = 0.0, 0.0, 0.0
    for x, y in zip(a, b, strict=True):
        both += (x - mean_a) * (y - mean_b)
        of_a += (x - mean_a) ** 2
        of_b += (y - mean_b) ** 2
    return both / math.sqrt(of_a * of_b)


def top_cells(cells: Array, share: float = 0.2) -> list[tuple[int, int]]:
    """The `round(share * h * w)` largest cells (at least one), of equal ones the first in reading order."""
    rows, columns = cells.shape
    order = sorted(((h, w) for h in range(rows) for w in range(columns)), key=lambda cell: -cells[cell])
    return order[: max(1, round(share * rows * columns))]


def top_iou(first: Array, second: Array) -> float:
    """Intersection over union of the two sets of top cells."""
    a, b = set(top_cells(first)), set(top_cells(second))
    return len(a & b) / len(a | b)


def peak_move(first: Array, second: Array) -> float:
    """Distance of the two maxima, in cells."""
    (row_a, column_a), (row_b, column_b) = top_cells(first)[0], top_cells(second)[0]
    return math.hypot(row_a - row_b, column_a - column_b)


def painted_shift(features: Array, channel_weights: Array, target: Array) -> Array:
    """The smallest `v` with `v . F = target - M`: `v = F^T (F F^T)^-1 d`, for linearly independent cells (Lagrange)."""
    channels, rows, columns = features.shape
    now = channel_weighted_map(channel_weights, features)
    cells = rows * columns
    gram, change = np.zeros((cells, cells)), np.zeros(cells)
    for i in range(cells):
        change[i] = target.flat[i] - now.flat[i]
        for j in range(cells):
            for k in range(channels):
                gram[i, j] += features[k].flat[i] * features[k].flat[j]
    multipliers = np.linalg.solve(gram, change)
    vector = np.zeros(channels)
    for k in range(channels):
        for i in range(cells):
            vector[k] += multipliers[i] * features[k].flat[i]
    return vector


def bump(cells: Array, row: int, column: int, width: float) -> Array:
    """`min + (max - min) exp(-d^2 / (2 width^2))`."""
    low, high = min(cells.flat), max(cells.flat)
    target = np.zeros(cells.shape)
    for h, w in np.ndindex(cells.shape):
        distance = math.hypot(h - row, w - column)
        target[h, w] = low + (high - low) * math.exp(-(distance**2) / (2 * width**2))
    return target


def positive_area(cells: Array) -> float:
    """Number of cells above zero, over the number of cells."""
    count = 0
    for value in cells.flat:
        if value > 0:
            count += 1
    return count / cells.size


def area_at_own_area(own: Array, others: Array, own_area: float) -> float:
    """Go down the own map's values until enough cells are covered; there, the mean cover of the other maps."""
    level = math.inf
    for value in sorted(own.flat, reverse=True):
        level = value
        covered = 0
        for other in own.flat:
            if other >= level:
                covered += 1
        if covered >= own_area * own.size:
            break
    count = 0
    for value in others.flat:
        if value >= level:
            count += 1
    return count / others.size


# --- sign collapse ---


def sign_quadrant(softmax_weight: float, sigmoid_weight: float) -> str:
    """The name of the quadrant of one channel; an exact zero in either branch has no sign."""
    if softmax_weight == 0 or sigmoid_weight == 0:
        return "no sign"
    if softmax_weight > 0:
        return "kept positive" if sigmoid_weight > 0 else "excitatory to inhibitory"
    return "kept negative" if sigmoid_weight < 0 else "inhibitory to excitatory"


def evidence_mass(features: Array, weights: Array) -> Array:
    """`|w[k]| mean_hw |F[k]|`."""
    means = pooled(np.abs(features))
    mass = np.zeros(len(weights))
    for k in range(len(weights)):
        mass[k] = abs(weights[k]) * means[k]
    return mass


def evidence_share(features: Array, softmax_weights: Array, sigmoid_weights: Array) -> Array:
    """Mean over the two branches of `mass[k] / sum_k mass[k]`."""
    softmax_mass, sigmoid_mass = evidence_mass(features, softmax_weights), evidence_mass(features, sigmoid_weights)
    softmax_total, sigmoid_total = sum(softmax_mass), sum(sigmoid_mass)
    share = np.zeros(len(softmax_weights))
    for k in range(len(share)):
        share[k] = (softmax_mass[k] / softmax_total + sigmoid_mass[k] / sigmoid_total) / 2
    return share


def positive_evidence_by_cells(features: Array, weights: Array, delta: float) -> float:
    """`sum_hw relu(sum_k (w[k] - delta) F[k])`."""
    lowered = np.array([weight - delta for weight in weights])
    total = 0.0
    for value in channel_weighted_map(lowered, features).flat:
        total += max(value, 0.0)
    return total


def positive_evidence_by_channels(features: Array, weights: Array, delta: float) -> float:
    """`sum_k relu((w[k] - delta) mean_hw F[k])`."""
    means = pooled(features)
    total = 0.0
    for k in range(len(weights)):
        total += max((weights[k] - delta) * means[k], 0.0)
    return total


def collapse_margin(evidence: Callable[[float], float]) -> float:
    """The delta at which falling evidence has lost half, by doubling and bisection."""
    half = evidence(0.0) / 2
    low, high = 0.0, 1.0
    while evidence(high) > half:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if evidence(middle) > half:
            low = middle
        else:
            high = middle
    return high


def evidence_by_channels(features: Array, weights: Array) -> tuple[Array, Array]:
    """`relu(w) . F` and `-relu(-w) . F`."""
    above = np.array([max(weight, 0.0) for weight in weights])
    below = np.array([min(weight, 0.0) for weight in weights])
    return channel_weighted_map(above, features), channel_weighted_map(below, features)


def evidence_by_cells(class_map: Array) -> tuple[Array, Array]:
    """`relu(M)` and `-relu(-M)`: what is left for and against the class in each cell."""
    above, below = np.zeros(class_map.shape), np.zeros(class_map.shape)
    for cell in np.ndindex(*class_map.shape):
        above[cell] = max(class_map[cell], 0.0)
        below[cell] = min(class_map[cell], 0.0)
    return above, below


# --- specificity ---


def level_of_own_area(own: Array, own_area: float) -> float:
    """The largest level that at least `own_area` of all cells of all own-class maps reach."""
    best = -math.inf
    for level in own.ravel():
        count = 0
        for value in own.ravel():
            count += value >= level
        if count >= own_area * own.size * (1 - 1e-12):
            best = max(best, level)
    return best


def share_of_cells_reaching(maps: Array, level: float) -> float:
    """Cells at or above the level over all cells."""
    count = 0
    for value in maps.ravel():
        count += value >= level
    return count / maps.size


def chance_of_ranking_above(above: list[float], below: list[float]) -> float:
    """Over all pairs: 1 where the first is larger, a half where they are equal."""
    total = 0.0
    for high in above:
        for low in below:
            total += 1.0 if high > low else 0.5 if high == low else 0.0
    return total / (len(above) * len(below)) if above and below else math.nan


def coverage_by_points(boxes: list, picture_wh: tuple[int, int], grid_hw: tuple[int, int], points: int) -> Array:
    """Share of `points` x `points` probes of each cell that lie in at least one box."""
    (width, height), (rows, columns) = picture_wh, grid_hw
    coverage = np.zeros(grid_hw)
    for h in range(rows * points):
        for w in range(columns * points):
            y, x = (h + 0.5) / (rows * points) * height, (w + 0.5) / (columns * points) * width
            inside = False
            for x0, y0, x1, y1 in boxes:
                inside = inside or (x0 < x < x1 and y0 < y < y1)
            coverage[h // points, w // points] += inside / points**2
    return coverage


def region_iou_precision_recall(region: Array, coverage: Array) -> tuple[float, float, float]:
    """By area, cell by cell."""
    shared = area = covered = 0.0
    for h in range(region.shape[0]):
        for w in range(region.shape[1]):
            area += region[h, w]
            covered += coverage[h, w]
            shared += coverage[h, w] if region[h, w] else 0.0
    return (
        shared / (area + covered - shared),
        shared / area if area else math.nan,
        shared / covered if covered else math.nan,
    )


def evidence_share_in_quarter(class_map: Array, quarter: int, least: float = 0.0) -> float:
    """Positive evidence of cells at or above `least` in the quarter (0 1 above 2 3) over all of it; an even grid."""
    rows, columns = class_map.shape
    right = total = 0.0
    for h in range(rows):
        for w in range(columns):
            if class_map[h, w] > 0 and class_map[h, w] >= least:
                total += class_map[h, w]
                if 2 * (h >= rows // 2) + (w >= columns // 2) == quarter:
                    right += class_map[h, w]
    return right / total if total else math.nan


def mean_of_draws(scores: Array, weights: Array) -> Array:
    """For each draw: every picture's score as often as it was drawn; pictures without a score are left out."""
    means = []
    for row in weights:
        draw = [score for score, times in zip(scores, row, strict=True) for _ in range(int(times)) if score == score]
        means.append(sum(draw) / len(draw) if draw else math.nan)
    return np.array(means)


# --- localization ---


def box_iou(a: tuple, b: tuple) -> float:
    """Pixels in both over pixels in either, counted one by one; both ends belong to a box."""
    both = either = 0
    for y in range(int(min(a[1], b[1])), int(max(a[3], b[3])) + 1):
        for x in range(int(min(a[0], b[0])), int(max(a[2], b[2])) + 1):
            in_a = a[0] <= x <= a[2] and a[1] <= y <= a[3]
            in_b = b[0] <= x <= b[2] and b[1] <= y <= b[3]
            both += in_a and in_b
            either += in_a or in_b
    return both / either if either else 0.0


def connected(member: Array, with_corners: bool) -> list[set[tuple[int, int]]]:
    """Groups of true pixels that touch at their sides (and corners)."""
    rows, columns = member.shape
    rest = {(y, x) for y in range(rows) for x in range(columns) if member[y, x]}
    groups = []
    while rest:
        group, ahead = set(), [rest.pop()]
        while ahead:
            y, x = ahead.pop()
            group.add((y, x))
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if (with_corners or dy == 0 or dx == 0) and (y + dy, x + dx) in rest:
                        rest.remove((y + dy, x + dx))
                        ahead.append((y + dy, x + dx))
        groups.append(group)
    return groups


def contour_boxes(score: Array, threshold: float) -> set[tuple[int, int, int, int]]:
    """Boxes of all outlines, outer ones and those of holes, of what lies above the threshold of the 8-bit maximum.

    An outer outline runs through its region's own pixels, that of a hole through the pixels around it. The far end is
    one beyond, as the public code has it, but inside the picture.
    """
    rows, columns = score.shape
    grey = np.zeros((rows, columns), int)
    for y in range(rows):
        for x in range(columns):
            grey[y, x] = int(np.float32(score[y, x]) * np.float32(255))
    above = grey > int(threshold * grey.max())
    outlines = connected(above, with_corners=True)
    around = np.zeros((rows + 2, columns + 2), bool)
    around[1:-1, 1:-1] = above
    for hole in connected(~around, with_corners=False):
        if (0, 0) not in hole:
            grown = {(y - 1 + dy, x - 1 + dx) for y, x in hole for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
            outlines.append(grown)
    boxes = set()
    for outline in outlines:
        ys, xs = [y for y, _ in outline], [x for _, x in outline]
        boxes.add((min(xs), min(ys), min(max(xs) + 1, columns - 1), min(max(ys) + 1, rows - 1)))
    return boxes or {(0, 0, 0, 0)}


def pixel_average_precision(scores: list[Array], masks: list[Array]) -> float:
    """Choe et al. 2020: precision times the gain in recall, from the highest thousandth of the score to the lowest."""
    edges = [i / 1000 for i in range(1001)]
    objects = sum(int((mask == 1).sum()) for mask in masks)
    total = recall_before = 0.0
    for edge in reversed(edges):
        true = sum(int(((score >= edge) & (mask == 1)).sum()) for score, mask in zip(scores, masks, strict=True))
        false = sum(int(((score >= edge) & (mask == 0)).sum()) for score, mask in zip(scores, masks, strict=True))
        if true + false:
            total += true / (true + false) * (true / objects - recall_before)
            recall_before = true / objects
    return total


# --- faithfulness ---


def watched_probability(before: Array, after: Array, pixels: Array, steps: int, probability: Callable) -> list[float]:
    """Pixels of `before` (3, H, W) exchanged for those of `after`, largest value of `pixels` first, in equal parts."""
    rows, columns = pixels.shape
    order = sorted(((y, x) for y in range(rows) for x in range(columns)), key=lambda at: -pixels[at])
    picture, count, curve = before.copy(), 0, [probability(before)]
    for step in range(1, steps + 1):
        while count < step * len(order) // steps:
            y, x = order[count]
            picture[:, y, x] = after[:, y, x]
            count += 1
        curve.append(probability(picture))
    return curve


# --- training ---


def class_balanced_loss(logits: Array, labels: list[list[int]], positive_weight: float) -> float:
    """Mean over images and classes of `-(p t log s + (1 - t) log(1 - s))`, s the sigmoid of the logit.

    t is 1 for the classes that are in the image and 0 for the others.
    """
    images, classes = logits.shape
    total = 0.0
    for b in range(images):
        for c in range(classes):
            s = 1 / (1 + math.exp(-logits[b, c]))
            total -= positive_weight * math.log(s) if c in labels[b] else math.log(1 - s)
    return total / (images * classes)


def nesterov_step(
    value: float, gradient: float, velocity: float, rate: float, momentum: float, decay: float
) -> tuple[float, float]:
    """One number's next value and velocity: SGD with Nesterov momentum as torch has it, L2 decay in the gradient."""
    slope = gradient + decay * value
    velocity = momentum * velocity + slope
    return value - rate * (slope + momentum * velocity), velocity


# --- the flattest shift ---


def cell_moments(features: Array) -> tuple[Array, Array]:
    """Mean over all cells (k,) and covariance within pictures (k, k) of features (n, k, h, w)."""
    n, k, h, w = features.shape
    mean, covariance = np.zeros(k), np.zeros((k, k))
    for picture in features:
        own_mean = [sum(picture[i, y, x] for y in range(h) for x in range(w)) / (h * w) for i in range(k)]
        for y in range(h):
            for x in range(w):
                for i in range(k):
                    mean[i] += picture[i, y, x] / (n * h * w)
                    for j in range(k):
                        product = (picture[i, y, x] - own_mean[i]) * (picture[j, y, x] - own_mean[j])
                        covariance[i, j] += product / (n * h * w)
    return mean, covariance


def positive_share(absent: Array, flat: Array, level: float) -> float:
    """Share of cells with `absent - level * flat > 0`; a cell where `flat` is not above zero counts."""
    count = 0
    for value, level_of_own in zip(absent, flat, strict=True):
        count += value - level * level_of_own > 0 or level_of_own <= 0
    return count / len(absent)


# --- changes damped where a class is likely ---


def damped_change(change: Array, features: Array, likely: list[int], weights: list[float], strength: float) -> Array:
    """`(G + strength * S_c)^-1 G d` with `G` and `S_c` as loops; features (n, k, h, w), change (k,)."""
    n, k, h, w = features.shape
    moment, within = np.zeros((k, k)), np.zeros((k, k))
    for picture in features:
        for y in range(h):
            for x in range(w):
                moment += np.outer(picture[:, y, x], picture[:, y, x]) / (n * h * w)
    moment += 1e-3 * np.trace(moment) / k * np.eye(k)
    for position, weight in zip(likely, weights, strict=True):
        within += weight * cell_moments(features[position][None])[1]
    return np.linalg.solve(moment + strength * within, moment @ change)


# --- Readings: a map turned into other statements of the same features ---


def levelled_map(class_map: Array, q: float, weight: float) -> Array:
    """`M(x) + lambda log q`."""
    result = np.zeros(class_map.shape)
    for h, w in np.ndindex(class_map.shape):
        result[h, w] = class_map[h, w] + weight * math.log(q)
    return result


def windowed_map(
    class_map: Array,
    logits: Array,
    class_index: int,
    cells: int,
    weight: float,
    probabilities: Callable[[Array], Array],
) -> Array:
    """`M(x) + lambda log P_c(mean of the logits (c, h, w) in the cells around x)`, without cells beyond the edge."""
    classes, rows, columns = logits.shape
    result, reach = np.zeros(class_map.shape), cells // 2
    for h, w in np.ndindex(rows, columns):
        total, count = np.zeros(classes), 0
        for y in range(max(h - reach, 0), min(h + reach + 1, rows)):
            for x in range(max(w - reach, 0), min(w + reach + 1, columns)):
                total += logits[:, y, x]
                count += 1
        result[h, w] = class_map[h, w] + weight * math.log(probabilities(total / count)[class_index])
    return result


def moved_map(class_map: Array, logit: float, scale: float) -> Array:
    """`a (M(x) - mean M) + logit`."""
    rows, columns = class_map.shape
    mean = 0.0
    for h, w in np.ndindex(class_map.shape):
        mean += class_map[h, w] / (rows * columns)
    result = np.zeros(class_map.shape)
    for h, w in np.ndindex(class_map.shape):
        result[h, w] = scale * (class_map[h, w] - mean) + logit
    return result


def log_odds(probability: float) -> float:
    """`log(p / (1 - p))`."""
    return math.log(probability / (1 - probability))


def cell_logits(features: Array, weight: Array, bias: Array) -> Array:
    """`y_c(x) = sum_k W[c,k] F[k,x] + b_c`, (c, h, w)."""
    logits = np.zeros((len(weight), *features.shape[1:]))
    for c, k, h, w in np.ndindex(*weight.shape, *features.shape[1:]):
        logits[c, h, w] += weight[c, k] * features[k, h, w]
    return logits + np.reshape(bias, (-1, 1, 1))


def competition_map(logits: Array, class_index: int, strength: float, weights: list[float]) -> Array:
    """`y_c(x) - mu log sum_{j != c} w_j exp y_j(x)`; nothing is subtracted where no other class counts."""
    result = np.zeros(logits.shape[1:])
    for h, w in np.ndindex(result.shape):
        others = 0.0
        for j in range(len(logits)):
            if j != class_index:
                others += weights[j] * math.exp(logits[j, h, w])
        result[h, w] = logits[class_index, h, w] - (strength * math.log(others) if others > 0 else 0.0)
    return result


def finer_map(logits: Array, class_index: int, picture_logits: Array, gamma: float, count: int) -> Array:
    """`y_c(x) - gamma mean_d y_d(x)` over the `count` other classes whose logits of the picture lie nearest."""
    others = [j for j in range(len(logits)) if j != class_index]
    others.sort(key=lambda j: abs(picture_logits[j] - picture_logits[class_index]))
    result = logits[class_index].copy()
    for d in others[:count]:
        result -= gamma * logits[d] / min(count, len(others))
    return result


def probability_gradient_map(features: Array, weight: Array, class_index: int, probabilities: Array) -> Array:
    """`(w_c - sum_j p_j w_j) . F`."""
    direction = weight[class_index].astype(np.float64).copy()
    for j in range(len(weight)):
        direction -= probabilities[j] * weight[j]
    return channel_weighted_map(direction, features)


def cell_average_precision(maps: Array, is_right: Array) -> float:
    """The precision at each cell's level, weighed by how much of the cell is right; maps and shares (n, m, h, w)."""
    cells = sorted(zip(maps.ravel(), is_right.ravel(), strict=True), reverse=True)
    total = sum(share for _, share in cells)
    precision = 0.0
    for level, share in cells:
        reaching = [(value, right) for value, right in cells if value >= level]
        precision += share / total * sum(right for _, right in reaching) / len(reaching)
    return precision


def presence_loss(logits: np.ndarray, labels: np.ndarray, temperature: float, offset: float) -> float:
    """Minus the log-likelihood pair by pair, with Platt's (1999) targets; the likeliest class counts five times."""
    pictures, classes = logits.shape
    present, absent = pictures, pictures * (classes - 1)
    loss = 0.0
    for i in range(pictures):
        for c in range(classes):
            probability = 1 / (1 + math.exp(-(logits[i, c] - offset) / temperature))
            target = (present + 1) / (present + 2) if labels[i] == c else 1 / (absent + 2)
            weight = 5 if c == np.argmax(logits[i]) else 1
            loss -= weight * (target * math.log(probability) + (1 - target) * math.log1p(-probability))
    return loss


def mixed_with_similar(weight: Array, bias: Array, share: float, count: int) -> tuple[Array, Array]:
    """`(1 - share) W_c + share * mean W_j` over the `count` classes j of largest cosine of centred rows."""
    classes, channels = weight.shape
    centre = [sum(weight[c][k] for c in range(classes)) / classes for k in range(channels)]
    centred = [[weight[c][k] - centre[k] for k in range(channels)] for c in range(classes)]

    def cosine(a: list[float], b: list[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    rows, biases = np.zeros_like(weight), np.zeros_like(bias)
    for c in range(classes):
        others = sorted((j for j in range(classes) if j != c), key=lambda j: -cosine(centred[c], centred[j]))[:count]
        for k in range(channels):
            rows[c][k] = (1 - share) * weight[c][k] + share * sum(weight[j][k] for j in others) / count
        biases[c] = (1 - share) * bias[c] + share * sum(bias[j] for j in others) / count
    return rows, biases


def interval_over_pictures(scores: list[list[float]], draws: list[list[float]]) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of means over all classes of drawn pictures; `scores` holds each picture's."""
    means = []
    for draw in draws:
        total = count = 0.0
        for times, picture in zip(draw, scores, strict=True):
            for score in picture:
                total += times * score
                count += times
        means.append(total / count)
    means.sort()

    def percentile(share: float) -> float:
        place = share * (len(means) - 1)
        below = min(int(place), len(means) - 2)
        return means[below] + (place - below) * (means[below + 1] - means[below])

    return percentile(0.025), percentile(0.975)
