"""All numbers about logit shift and sign collapse on one picture, in one dict.

`DIAGNOSTICS` is read by screen, command line (`python -m bsig explain` writes it to `explanation.json`) and README: one
key, title, unit, direction of "better" and sentence of meaning a number. `diagnose` computes all of them; where a
number does not exist on this picture (a flat map, a method without channel weights) its value is None and `reason` says
why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.explain.cams import TRAINED, Branch
from bsig.explain.diagnostics.absent_classes import absent_classes, area_at_own_area, positive_area
from bsig.explain.diagnostics.logit_shift import (
    common_shift,
    map_movement,
    probability_change,
    shared_energy_share,
    shared_map_share,
    uniform_shift,
)
from bsig.explain.diagnostics.sign_collapse import (
    Reading,
    collapse_margin,
    evidence_by_channels,
    evidence_disagreement,
    sign_disagreement,
)
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import cam_method, require_exact, signed_map
from bsig.inputs.counts import counted_classes
from bsig.inputs.errors import InputError

RUN_CLASSES = 20
"""Absent classes where each costs a run of the head."""
TITLES: dict[Branch, str] = {"softmax": "softmax", "sigmoid": "sigmoid branch", "centred": "class-centred"}


@dataclass(frozen=True)
class DiagnosticInput:
    """A picture and one of its explanations, as the numbers read them."""

    encoded: EncodedImage
    explanation: Explanation

    @property
    def features(self) -> Float[Tensor, "k h w"]:
        """The channels that maps are sums over."""
        return self.encoded.features[0]

    @property
    def softmax_weight(self) -> Float[Tensor, "c n"]:
        """The weights of the softmax head's last linear layer; n = k where CAM is exact."""
        return self.encoded.model.softmax_head.last_linear.weight.detach()

    @property
    def sigmoid_weight(self) -> Float[Tensor, "c n"]:
        """The weights of the sigmoid head's last linear layer."""
        return self.encoded.model.sigmoid_head.last_linear.weight.detach()

    @property
    def cam_is_exact(self) -> bool:
        """Whether `W[c] . F` is a map."""
        return self.encoded.model.softmax_head.cam_is_exact

    def map(self, branch: Branch) -> Float[Tensor, "h w"]:
        """The explanation's signed map of a branch."""
        return torch.from_numpy(self.explanation.evidence(branch).map).to(self.features.device)

    def weights(self, branch: Branch) -> Float[Tensor, " k"]:
        """The explanation's channel weights of a branch.

        Raises:
            InputError: its method has none.
        """
        weights, method = self.explanation.evidence(branch).channel_weights, self.explanation.method
        if weights is None:
            other = "cam" if self.cam_is_exact else "grad-cam"
            raise InputError(f"`method` (='{method}') has no channel weights; choose '{other}', which has.")
        return torch.from_numpy(weights).to(self.features.device)

    def maps_of(self, branch: Branch, classes: list[int]) -> Float[Tensor, "n h w"]:
        """The maps of some classes: CAM's whatever the method, or the method's own where the head has no CAM.

        Raises:
            InputError: the head has no CAM, and the method is slow or knows no class.
        """
        if self.cam_is_exact:
            rows = (self.sigmoid_weight if branch == "sigmoid" else self.softmax_weight)[classes]
            if branch == "centred":
                rows = rows - self.encoded.model.mean_softmax_row()
            return torch.einsum("nk,khw->nhw", rows, self.features)
        method = cam_method(self.explanation.method)
        if method.is_slow or method.weights is None:
            raise InputError(f"`method` (='{method.key}') is not asked for a hundred classes; choose 'grad-cam'.")
        return torch.stack([signed_map(method, self.encoded.score(branch, index))[0][0] for index in classes])


@dataclass(frozen=True)
class Diagnostic:
    """One number about a picture.

    Attributes:
        unit: "share of ..." for shares, which are shown in per cent; "as the map" stands for the method's unit.
        better: "higher", "lower", or None where neither is.
        meaning: one sentence.
        value: raises `InputError` with a sentence where the number does not exist.
    """

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    meaning: str
    value: Callable[[DiagnosticInput], float]


def diagnose(encoded: EncodedImage, explanation: Explanation) -> dict[str, dict[str, Any]]:
    """All of `DIAGNOSTICS` on one picture, ready for JSON: key -> title, unit, better, meaning, value, reason."""
    inputs = DiagnosticInput(encoded, explanation)
    return {key: _row(diagnostic, inputs) for key, diagnostic in DIAGNOSTICS.items()}


def _row(diagnostic: Diagnostic, inputs: DiagnosticInput) -> dict[str, Any]:
    try:
        value, reason = diagnostic.value(inputs), None
    except InputError as error:
        value, reason = None, str(error)
    description = {name: text for name, text in asdict(diagnostic).items() if name not in ("key", "value")}
    return {**description, "value": value, "reason": reason}


def _shared_component() -> Iterator[Diagnostic]:
    yield Diagnostic("softmax_shared_energy", "Shared component of the softmax head", "share of energy", None,
        "How much of the head's weights is one vector common to all classes, which softmax cannot see; "
        "its value is an accident of training, and any other would predict the same.",
        lambda x: shared_energy_share(x.softmax_weight))  # fmt: skip
    yield Diagnostic("sigmoid_shared_energy", "Shared component of the sigmoid head", "share of energy", None,
        "The same for the sigmoid branch, where it is no accident: labels fitted it, and it sets the zero of the maps.",
        lambda x: shared_energy_share(x.sigmoid_weight))  # fmt: skip
    yield Diagnostic("softmax_shared_map", "Shared map beside this class's map, softmax", "ratio of norms", None,
        "How large the map common to all classes is on this picture, beside this class's own map (CAM weights).",
        lambda x: _shared_map(x, x.softmax_weight))  # fmt: skip
    yield Diagnostic("sigmoid_shared_map", "Shared map beside this class's map, sigmoid", "ratio of norms", None,
        "The same for the sigmoid branch (CAM weights).",
        lambda x: _shared_map(x, x.sigmoid_weight))  # fmt: skip
    yield Diagnostic("learnt_shift_share", "Shift's share of what the sigmoid branch learnt", "share of energy", None,
        "How much of the difference between the two heads is one vector added to all classes, which softmax could not "
        "have learnt; 1 for a fitted shift.",
        _learnt_shift_share)  # fmt: skip


def _movement() -> Iterator[Diagnostic]:
    yield Diagnostic("softmax_centred_correlation", "Softmax map against class-centred map", "correlation", "higher",
        "1 where this head's published map is the one that no shift can move; lower where it is distorted by a shift.",
        lambda x: _movement_number(x, "centred", "correlation"))  # fmt: skip
    yield Diagnostic("softmax_sigmoid_correlation", "Softmax map against sigmoid map", "correlation", None,
        "1 where both branches order the places of the picture alike, whatever their zeros.",
        lambda x: _movement_number(x, "sigmoid", "correlation"))  # fmt: skip
    yield Diagnostic("softmax_sigmoid_top_iou", "Top 20 % of cells, softmax against sigmoid", "IoU", None,
        "1 where both branches point at the same fifth of the picture, 0 where they share no cell of it.",
        lambda x: _movement_number(x, "sigmoid", "top_iou"))  # fmt: skip
    yield Diagnostic("softmax_sigmoid_peak_move", "Maximum, softmax against sigmoid", "cells", None,
        "How far apart the two maps have their maxima.",
        lambda x: _movement_number(x, "sigmoid", "peak_move"))  # fmt: skip


def _zero() -> Iterator[Diagnostic]:
    for branch, title in TITLES.items():
        yield Diagnostic(f"{branch}_positive_area", f"Positive area, {title}", "share of cells", None,
            "Share of the picture that speaks for the class.",
            partial(_positive_area, branch=branch))  # fmt: skip
        yield Diagnostic(
            f"{branch}_absent_area", f"Positive area of absent classes, {title}", "share of cells", "lower",
            "Share of the picture that speaks for a class that is not there, mean over a random hundred (CAM weights); "
            "any shift downwards lowers it, so read it with the next number.",
            partial(_absent_area, branch=branch))  # fmt: skip
        yield Diagnostic(f"{branch}_absent_area_at_own_70", f"Absent classes where the own map covers 70 %, {title}",
            "share of cells", "lower",
            "The same at the level at which this class's own map covers 70 % of the picture: cannot be bought with a "
            "threshold.",
            partial(_absent_area_at_own, branch=branch))  # fmt: skip


def _signs() -> Iterator[Diagnostic]:
    yield Diagnostic("sign_disagreement", "Channels of opposite sign", "share of channels", None,
        "Channels that speak for the class in one branch and against it in the other.",
        lambda x: sign_disagreement(x.weights("softmax"), x.weights("sigmoid")))  # fmt: skip
    yield Diagnostic("evidence_disagreement", "Evidence of opposite sign", "share of evidence", None,
        "The same with each channel counted by how much it says on this picture.",
        lambda x: evidence_disagreement(x.features, x.weights("softmax"), x.weights("sigmoid")))  # fmt: skip
    for branch in TRAINED:
        for side in ("for", "against"):
            yield Diagnostic(
                f"{branch}_evidence_{side}", f"Evidence {side} the class, {TITLES[branch]}", "as the map, mean", None,
                f"Mean over the picture of what the channels say {side} the class; for and against add up to the logit "
                "less the bias (CAM).",
                partial(_budget, branch=branch, side=side))  # fmt: skip


def _collapse() -> Iterator[Diagnostic]:
    readings: tuple[tuple[Reading, str, str], ...] = (
        ("cells", "", "the heatmap's positive evidence"),
        ("channels", "_channels", "the positive channels' evidence"),
    )
    for branch in TRAINED:
        for reading, suffix, mass in readings:
            yield Diagnostic(
                f"{branch}_collapse_margin{suffix}", f"Collapse margin of {mass}, {TITLES[branch]}", "weight", "higher",
                f"The number that, taken from every weight, removes half of {mass}: "
                + ("no softmax probability changes." if branch == "softmax" else "the sigmoid probability falls."),
                partial(_margin, branch=branch, reading=reading))  # fmt: skip
    yield Diagnostic(
        "probability_change_at_margin", "Softmax probabilities at the collapse margin", "probability", "lower",
        "Largest change of any class's softmax probability when the collapse margin is taken from every weight of the "
        "softmax head: half of the heatmap is gone and this is rounding, about 1e-7.",
        _probability_change_at_margin)  # fmt: skip


def _learnt_shift_share(inputs: DiagnosticInput) -> float:
    share = common_shift(inputs.softmax_weight, inputs.sigmoid_weight)[1]
    if share is None:
        raise InputError("the two heads have the same weights: the sigmoid branch has learnt nothing yet.")
    return share


def _shared_map(inputs: DiagnosticInput, weight: Tensor) -> float:
    require_exact(inputs.cam_is_exact, "the shared map")
    return shared_map_share(inputs.features, weight, inputs.explanation.class_index)


def _movement_number(inputs: DiagnosticInput, branch: Branch, name: str) -> float:
    movement = map_movement(inputs.map("softmax"), inputs.map(branch))
    if movement.reason is not None:
        raise InputError(f"the softmax map or the {TITLES[branch]} map is flat: there are no places to compare.")
    return getattr(movement, name)


def _positive_area(inputs: DiagnosticInput, branch: Branch) -> float:
    return positive_area(inputs.map(branch))


def _absent_maps(inputs: DiagnosticInput, branch: Branch) -> Float[Tensor, "n h w"]:
    """The maps of the explained class, first, and of the absent ones: fewer where each takes a run of the head."""
    count, index = inputs.encoded.model.num_classes, inputs.explanation.class_index
    present = [index, *inputs.encoded.top_classes()]
    absent = absent_classes(range(count), present, 100 if inputs.cam_is_exact else RUN_CLASSES)
    if not absent:
        raise InputError(
            f"the head's {counted_classes(count)} leave none that can be taken to be absent (top five aside)."
        )
    return inputs.maps_of(branch, [index, *absent])


def _absent_area(inputs: DiagnosticInput, branch: Branch) -> float:
    return positive_area(_absent_maps(inputs, branch)[1:])


def _absent_area_at_own(inputs: DiagnosticInput, branch: Branch) -> float:
    maps = _absent_maps(inputs, branch)
    return area_at_own_area(maps[0], maps[1:])


def _budget(inputs: DiagnosticInput, branch: Branch, side: str) -> float:
    speaks_for, speaks_against = evidence_by_channels(inputs.features, inputs.weights(branch)).budget
    return speaks_for if side == "for" else speaks_against


def _margin(inputs: DiagnosticInput, branch: Branch, reading: Reading) -> float:
    margin = collapse_margin(inputs.features, inputs.weights(branch), reading)
    if margin.delta is None:
        raise InputError(margin.reason or "")
    return margin.delta


def _probability_change_at_margin(inputs: DiagnosticInput) -> float:
    """The largest change of any softmax probability at the collapse margin of the head's own row, in its own unit."""
    require_exact(inputs.cam_is_exact, "a collapse margin that is a shift of the head")
    margin = collapse_margin(inputs.features, inputs.softmax_weight[inputs.explanation.class_index])
    if margin.delta is None:
        raise InputError(margin.reason or "")
    pooled = inputs.features.mean(dim=(1, 2))[None]
    vector = uniform_shift(len(inputs.features), -margin.delta)
    bias = inputs.encoded.model.softmax_head.last_linear.bias.detach()
    return probability_change(pooled, inputs.softmax_weight, bias, vector)


DIAGNOSTICS: dict[str, Diagnostic] = {
    diagnostic.key: diagnostic for diagnostic in chain(_shared_component(), _movement(), _zero(), _signs(), _collapse())
}
