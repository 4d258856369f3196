"""Temperature and offset of presence: the sigmoid branch's logits against the labels of pictures it did not see.

    q_ic = sigmoid((s_ic - t) / T)
    T, t = argmin - sum_i sum_c  w_ic (y_ic log q_ic + (1 - y_ic) log(1 - q_ic))     w = 5 at the picture's largest s

The branch is trained with a weight of C - 1 on each positive. Here present and absent pairs weigh the same, so the
prior is that of the data: one present class a picture and C - 1 absent ones. The picture's likeliest class alone counts
five times: its confidence is the one that Guo et al. (ICML 2017) calibrate, and of it alone the one label of a picture
is not silent. With equal weights the classes that nobody asks for outvote it, and its probability comes out a tenth too
low (LOG.md). The search starts at the prior's own correction, T = 1 and t = log(C - 1) (Elkan, IJCAI 2001). The line is
Platt's (1999), with his targets (n + 1) / (n + 2) and 1 / (m + 2) for n present and m absent pairs, which keep T above
0 where present and absent are apart. A loop of it stands in tests/reference.py.

What is reported of it is measured on pictures left out: each half by numbers fitted on the other.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bsig.inputs.counts import counted
from bsig.inputs.errors import InputError
from bsig.model.presence import (
    PresenceCalibration,
    bins_of,
    expected_calibration_error,
    reliability_bins,
    reliability_sums,
)

FEWEST_PICTURES = 20
LIKELIEST_WEIGHT = 5.0
STEPS = 60
ENOUGH = 1e-9


def fit_presence(
    logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"], source: str = "", fewest: int = FEWEST_PICTURES
) -> PresenceCalibration:
    """Returns the calibration of a branch from its logits on pictures that it did not see.

    Args:
        logits: of the sigmoid branch.
        labels: the one class of each picture that is known to be present.
        source: which pictures these are, in words.
        fewest: pictures that are needed.

    Raises:
        InputError: one class, too few pictures, or logits that are not finite, all equal, or no higher for present
            classes than for absent ones.
    """
    count, classes = logits.shape
    if classes < 2:
        raise InputError(
            f"`class_names` holds {classes} class; presence needs at least 2, a present and an absent one."
        )
    if count < fewest:
        raise InputError(
            f"{counted(count, 'picture is', 'pictures are')} too few to calibrate presence, which needs {fewest}; use "
            "more pictures."
        )
    logits, labels = logits.detach().double().cpu(), labels.cpu()
    temperature, offset = _temperature_and_offset(logits, labels)
    calibration = PresenceCalibration(temperature, offset, count, source=source)
    order = labels.argsort(stable=True)
    halves = [(order[0::2], order[1::2]), (order[1::2], order[0::2])]
    try:
        other = [_temperature_and_offset(logits[fit_numbers], labels[fit_numbers]) for fit_numbers, _ in halves]
    except InputError:
        return calibration  # a half alone says too little: nothing is claimed of the fit
    judged = torch.cat([numbers for _, numbers in halves])
    probabilities = torch.cat(
        [((logits[numbers] - t) / scale).sigmoid() for (_, numbers), (scale, t) in zip(halves, other, strict=True)]
    )
    return with_measures(calibration, probabilities, labels[judged])


def with_measures(
    calibration: PresenceCalibration, probabilities: Float[Tensor, "n c"], labels: Int[Tensor, " n"]
) -> PresenceCalibration:
    """Returns the calibration with how well its probabilities hold on pictures; it is in the docstring of its class."""
    is_present = present_pairs(labels, probabilities.shape[1])
    top = probabilities.max(dim=1)
    likeliest = reliability_bins(top.values, top.indices == labels)
    is_above_half = probabilities > 0.5
    return replace(
        calibration,
        expected_calibration_error=expected_calibration_error(likeliest),
        reliability=bins_of(reliability_sums(probabilities.flatten(), is_present.flatten())),
        present_above_half=float(is_above_half[is_present].double().mean()),
        absent_above_half=float(is_above_half[~is_present].double().mean()),
    )


def calibration_sentence(presence: PresenceCalibration) -> str:
    """Returns what was fitted on which pictures, and how well it holds, in a line."""
    words = [f"presence calibrated on {presence.source}: even odds at a logit of {presence.offset:.2f}, temperature "
             f"{presence.temperature:.2f}"]  # fmt: skip
    if presence.present_above_half is not None and presence.absent_above_half is not None:
        words.append(
            f"above 50 % are {100 * presence.present_above_half:.1f} % of present classes and "
            f"{100 * presence.absent_above_half:.3f} % of absent ones"
        )
    if presence.expected_calibration_error is not None:
        words.append(f"expected calibration error of the likeliest class {presence.expected_calibration_error:.3f}")
    return "; ".join(words) + "."


def present_pairs(labels: Int[Tensor, " n"], classes: int) -> Bool[Tensor, "n c"]:
    """Returns which class is the labelled one of each picture; all others count as absent."""
    return labels[:, None] == torch.arange(classes)


def _temperature_and_offset(logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> tuple[float, float]:
    """Returns the likeliest T and t by Newton's method on the line `x / T - t / T`, whose loss is convex.

    Logits are brought to mean 0 and deviation 1 first, so that the system is well conditioned; a step that does not
    lower the loss is halved.
    """
    mean, deviation = float(logits.mean()), float(logits.std())
    if not math.isfinite(deviation):
        raise InputError("the sigmoid branch's logits are not finite; train it again.")
    if deviation < ENOUGH:
        raise InputError("the sigmoid branch gives every class the same logit; train it first.")
    values, is_present = ((logits - mean) / deviation).flatten(), present_pairs(labels, logits.shape[1]).flatten()
    present = int(is_present.sum())
    targets = torch.where(is_present, (present + 1) / (present + 2), 1 / (len(values) - present + 2)).double()
    weights = torch.ones_like(logits)
    weights.scatter_(1, logits.argmax(dim=1, keepdim=True), LIKELIEST_WEIGHT)
    weights = weights.flatten()
    design = torch.stack([values, torch.ones_like(values)])
    line = torch.tensor([deviation, mean - math.log(logits.shape[1] - 1)], dtype=torch.float64)
    loss = _loss(line, design, targets, weights)
    for _ in range(STEPS):
        q = (line @ design).sigmoid()
        slope, curvature = design @ (weights * (q - targets)), (design * (weights * q * (1 - q))) @ design.T
        step = torch.linalg.lstsq(curvature, slope).solution
        while (lower := _loss(line - step, design, targets, weights)) > loss and float(step.abs().max()) > ENOUGH:
            step = step / 2
        if lower > loss:
            break
        line, loss = line - step, lower
        if float(step.abs().max()) < ENOUGH:
            break
    slope_of_line, height = line.tolist()
    if slope_of_line <= 0:
        raise InputError(
            "the sigmoid branch's logits are no higher for present classes than for absent ones; train it."
        )
    return deviation / slope_of_line, mean - height * deviation / slope_of_line


def _loss(
    line: Float[Tensor, 2], design: Float[Tensor, "2 m"], targets: Float[Tensor, " m"], weights: Float[Tensor, " m"]
) -> float:
    return float(binary_cross_entropy_with_logits(line @ design, targets, weights, reduction="sum"))
