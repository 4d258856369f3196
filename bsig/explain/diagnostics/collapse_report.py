"""Sign collapse on one picture and class: all numbers, one finding in words, JSON.

    report = collapse_report(encoded, "golf ball", "cam")
    report.quadrants, report.flipped, report.margins, report.curves, report.splits
    finding(report)                                     # one or two plain sentences, from the numbers alone
    report_json(report)                                 # what the web API answers

Signs are read before any treatment of negative weights: a weight that was set to zero has no sign that could turn.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.explain.cams import TRAINED, TrainedBranch
from bsig.explain.diagnostics.catalogue import diagnose
from bsig.explain.diagnostics.sign_collapse import (
    FLIPPED,
    QUADRANTS,
    READINGS,
    CollapseCurve,
    CollapseMargin,
    EvidenceSplit,
    FlippedChannel,
    Quadrant,
    Reading,
    branch_probability_curve,
    collapse_curve,
    collapse_margin,
    evidence_by_channels,
    evidence_share,
    sign_quadrants,
    strongest_flipped_channels,
)
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS, cam_method, default_method
from bsig.explain.wording import change_text, number_text, percent, share_percent
from bsig.inputs.errors import InputError

CURVE_STEPS = 61
SHOWN_MARGINS = 2.2
"""How many collapse margins the curve shows."""

# Method -> why its channels have no weights with a sign that could turn.
WITHOUT_SIGNS: dict[str, str] = {
    "grad-cam++": "keeps positive gradients only, so none of its weights can change sign",
    "layer-cam": "weighs every cell by itself and never negatively, so a channel has no weight of its own",
    "hires-cam": "weighs every cell by itself, so a channel has no weight of its own",
    "score-cam": "makes weights that are never negative, so none can change sign",
    "eigen-cam": "knows no class, so its channels have no weights for one",
}


def method_with_signs(method: str, *, cam_is_exact: bool = True) -> tuple[str, str]:
    """The nearest method that has signed channel weights, and a sentence that says why where it is another.

    Raises:
        InputError: no such method.
    """
    reason = WITHOUT_SIGNS.get(cam_method(method).key)
    if method == "cam" and not cam_is_exact:
        reason = "needs a head of average pool and one linear layer, which this checkpoint has not"
    if reason is None:
        return method, ""
    nearest = "cam" if cam_is_exact else "grad-cam"
    title = CAM_METHODS[nearest].title
    return nearest, f"{CAM_METHODS[method].title} {reason}; shown for {title}, the nearest method that has."


@dataclass(frozen=True)
class CollapseReport:
    """Sign collapse on one picture and class.

    Attributes:
        explanation: with signed weights, of a method that has one a channel.
        note: why another method is shown than the chosen one; empty where it is the same.
        weights: in the method's unit.
        curves: branch -> curve over `deltas`.
        head_scale: what a delta of one in the method's weights is in the head's; None where it is no shift of the head.
        probabilities: branch -> probability of the class over the same deltas; None where `head_scale` is.
        presence: the sigmoid branch's calibrated probability over them; None where that is not known.
        splits: branch -> what speaks for and against.
    """

    encoded: EncodedImage
    explanation: Explanation
    note: str
    weights: dict[TrainedBranch, Float[Tensor, " k"]]
    quadrants: dict[str, Quadrant]
    flipped: list[FlippedChannel]
    margins: dict[TrainedBranch, dict[Reading, CollapseMargin]]
    curves: dict[TrainedBranch, CollapseCurve]
    head_scale: float | None
    probabilities: dict[TrainedBranch, list[float]] | None
    presence: list[float] | None
    splits: dict[TrainedBranch, EvidenceSplit]

    @property
    def features(self) -> Float[Tensor, "k h w"]:
        """The picture's features."""
        return self.encoded.features[0]

    @cached_property
    def shares(self) -> Float[Tensor, " k"] | None:
        """Each channel's share of the evidence of both branches; None where a branch has none on this picture."""
        try:
            return evidence_share(self.features, self.weights["softmax"], self.weights["sigmoid"])
        except InputError:
            return None

    def probability(self, branch: TrainedBranch) -> list[float] | None:
        """The probability that is shown along the curve: the sigmoid branch's calibrated one where it is known."""
        if branch == "sigmoid" and self.presence is not None:
            return self.presence
        return None if self.probabilities is None else self.probabilities[branch]

    @property
    def deltas(self) -> list[float]:
        """The numbers that are taken from every channel weight along the curves, in the method's unit."""
        return self.curves["softmax"].deltas


def collapse_report(encoded: EncodedImage, class_name: int | str | None, method: str | None = None) -> CollapseReport:
    """All numbers of the Sign collapse screen, from stored features.

    Args:
        encoded: the picture.
        class_name: as for `EncodedImage.explain`.
        method: a key of `CAM_METHODS`, None for the model's own; `method_with_signs` says what is shown in place of one
            that has no signed channel weights.

    Raises:
        InputError: unknown class or method.
    """
    method, note = method_with_signs(
        method or default_method(encoded.model.softmax_head), cam_is_exact=encoded.model.softmax_head.cam_is_exact
    )
    explanation = encoded.explain(class_name, method, "signed")
    features = encoded.features[0]
    weights = {branch: torch.as_tensor(explanation.evidence(branch).channel_weights).to(features) for branch in TRAINED}
    margins = {
        branch: {reading: collapse_margin(features, weights[branch], reading) for reading in READINGS}
        for branch in TRAINED
    }
    scale = head_scale_of(encoded, method)
    deltas = torch.linspace(0, _last_delta(margins, weights), CURVE_STEPS, dtype=torch.float64)
    return CollapseReport(
        encoded=encoded,
        explanation=explanation,
        note=note,
        weights=weights,
        quadrants=sign_quadrants(features, weights["softmax"], weights["sigmoid"]),
        flipped=strongest_flipped_channels(features, weights["softmax"], weights["sigmoid"]),
        margins=margins,
        curves={branch: collapse_curve(features, weights[branch], deltas) for branch in TRAINED},
        head_scale=scale,
        probabilities=None if scale is None else _probabilities(encoded, explanation.class_index, scale * deltas),
        presence=None if scale is None else _presence(encoded, explanation.class_index, scale * deltas),
        splits={branch: evidence_by_channels(features, weights[branch]) for branch in TRAINED},
    )


def head_scale_of(encoded: EncodedImage, method: str) -> float | None:
    """The change of the head's weights that changes a method's channel weights by one; None where it is not fixed.

    Grad-CAM's and XGrad-CAM's weights are the head's divided by the number of cells (pool + linear). Ablation-CAM's are
    relative to the logit itself, which a shift changes too.
    """
    if not encoded.model.softmax_head.cam_is_exact:
        return None
    cells = float(encoded.features[0, 0].numel())
    return {"cam": 1.0, "grad-cam": cells, "xgrad-cam": cells}.get(method)


def finding(report: CollapseReport) -> str:
    """One or two sentences: how many channels change sign between the branches, and how much that matters here."""
    counts = [quadrant.count for quadrant in report.quadrants.values()]
    losses, gains = (counts[index] for index in FLIPPED)
    name, total = report.explanation.class_name, sum(counts)
    if losses + gains == 0:
        return f"No channel changes sign between the branches: all {total:,} say the same of '{name}' in both."
    verb = "changes" if losses + gains == 1 else "change"
    flips = f"{losses + gains:,} of {total:,} channels ({share_percent((losses + gains) / total)}) {verb} sign"
    share = flipped_share(report)
    subject = "It holds" if losses + gains == 1 else "They hold"
    weight = (
        ""
        if share is None
        else f" {subject} {share_percent(share)} of the evidence on this picture: {_verdict(share)}."
    )
    return f"{flips}: {_sides(losses, gains, name)}.{weight}"


def flipped_share(report: CollapseReport) -> float | None:
    """Share of the evidence on this picture in channels of opposite sign; None where a branch has no evidence."""
    shares = [quadrant.evidence_share for quadrant in report.quadrants.values()]
    loss, gain = (shares[index] for index in FLIPPED)
    return None if loss is None or gain is None else loss + gain


def fragility(report: CollapseReport) -> str:
    """Sentences on the collapse margin: what removes half of the softmax heatmap, and which probability shows it."""
    margin = report.margins["softmax"]["cells"]
    if margin.delta is None:
        return f"The softmax heatmap cannot collapse here. {margin.reason}"
    title = CAM_METHODS[report.explanation.method].title
    if report.head_scale is None:
        return (
            f"Take {number_text(margin.delta, signed=False)} from every weight that {title} gives a channel and half "
            f"of the heatmap's positive evidence is gone. {title}'s weights follow from the logit, so this is no shift "
            "of the head; choose CAM to see what the probabilities do."
        )
    head_delta = margin.delta * report.head_scale
    place, steps = report.explanation.class_index, torch.tensor([0.0, head_delta])
    softmax, presence = report.explanation.softmax.probability, _presence(report.encoded, place, steps)
    before, after = presence or _probabilities(report.encoded, place, steps)["sigmoid"]
    kind = "class-balanced probability" if presence is None else "probability that the class is there"
    change = change_text(percent(before), percent(after), f"takes its {kind}", f"leaves its {kind}")
    own_unit = "" if report.head_scale == 1 else f" ({number_text(margin.delta, signed=False)} in {title}'s unit)"
    return (
        f"Take {number_text(head_delta, signed=False)} from every softmax weight{own_unit} and half of the heatmap's "
        f"positive evidence is gone, while softmax still gives the class {percent(softmax)}: no accuracy figure would "
        f"tell. Taken from the sigmoid branch's weights, the same step {change}."
    )


def report_json(report: CollapseReport) -> dict[str, Any]:
    """The report as JSON, with all `DIAGNOSTICS`."""
    explanation = report.explanation
    return {
        "checkpoint": explanation.checkpoint,
        "class_index": explanation.class_index,
        "class_name": explanation.class_name,
        "method": explanation.method,
        "note": report.note,
        "finding": finding(report),
        "fragility": fragility(report),
        "map_unit": cam_method(explanation.method).unit,
        "grid_hw": list(report.features.shape[1:]),
        "quadrants": {key: {**asdict(each), "meaning": QUADRANTS[key]} for key, each in report.quadrants.items()},
        "flipped_channels": [asdict(channel) for channel in report.flipped],
        "margins": {
            branch: {reading: asdict(margin) for reading, margin in margins.items()}
            for branch, margins in report.margins.items()
        },
        "curve": {"deltas": report.deltas, **{branch: _curve_json(report, branch) for branch in TRAINED}},
        "budget": {branch: _budget_json(report, branch) for branch in TRAINED},
        "diagnostics": diagnose(report.encoded, explanation),
    }


def _curve_json(report: CollapseReport, branch: TrainedBranch) -> dict[str, Any]:
    curve = {key: value for key, value in asdict(report.curves[branch]).items() if key != "deltas"}
    calibrated = {"calibrated_probability": report.presence} if branch == "sigmoid" else {}
    return {**curve, "probability": report.probabilities[branch] if report.probabilities else None, **calibrated}


def _budget_json(report: CollapseReport, branch: TrainedBranch) -> dict[str, Any]:
    split = report.splits[branch]
    speaks_for, speaks_against = split.budget
    return {
        "for": speaks_for,
        "against": speaks_against,
        "map_for": split.positive.tolist(),
        "map_against": split.negative.tolist(),
    }


def _sides(losses: int, gains: int, name: str) -> str:
    if not losses:
        return f"{_all(gains)} against '{name}' in softmax and for it in the sigmoid branch"
    if not gains:
        return f"{_all(losses)} for '{name}' in softmax and against it in the sigmoid branch"
    verb = "speaks" if losses == 1 else "speak"
    return (
        f"{losses:,} {verb} for '{name}' in softmax and against it in the sigmoid branch, {gains:,} the other way round"
    )


def _all(count: int) -> str:
    return "it speaks" if count == 1 else "both speak" if count == 2 else "all speak"


def _verdict(share: float) -> str:
    if share < 0.01:
        return "where it matters here, the branches agree on the signs, if not on how strongly each channel speaks"
    if share < 0.1:
        return "a small part of the heatmap rests on signs that softmax leaves open"
    return "a good part of the heatmap rests on signs that softmax leaves open"


def _last_delta(
    margins: dict[TrainedBranch, dict[Reading, CollapseMargin]], weights: dict[TrainedBranch, Tensor]
) -> float:
    """The delta at which the curves end: `SHOWN_MARGINS` of the larger margin, or the largest weight without one."""
    for reading in READINGS:
        largest = max(margins[branch][reading].delta or 0.0 for branch in TRAINED)
        if largest > 0:
            return SHOWN_MARGINS * largest
    return max(float(branch_weights.abs().max()) for branch_weights in weights.values()) or 1.0


def _probabilities(encoded: EncodedImage, class_index: int, head_deltas: Tensor) -> dict[TrainedBranch, list[float]]:
    logits = {"softmax": encoded.softmax_logits, "sigmoid": encoded.sigmoid_logits}
    return {
        branch: branch_probability_curve(encoded.features[0], logits[branch], class_index, head_deltas, branch)
        for branch in TRAINED
    }


def _presence(encoded: EncodedImage, class_index: int, head_deltas: Tensor) -> list[float] | None:
    """The calibrated probabilities of the sigmoid branch under these shifts; None where it is not calibrated."""
    presence = encoded.model.presence
    if presence is None:
        return None
    return branch_probability_curve(
        encoded.features[0], encoded.sigmoid_logits, class_index, head_deltas, "sigmoid", presence
    )
