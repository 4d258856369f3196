"""A requested shift, solved and applied: the same classifier, the same probabilities, another heatmap.

    request = ShiftRequest(kind="paint", target="top left")
    shifted = shifted_picture(encoded, class_index, "cam", request)
    shifted.before.softmax.map, shifted.after.softmax.map, shifted.largest_change("softmax")

In: an encoded picture and a `ShiftRequest`. Out: the picture under both shifted heads, which are really formed and
really run, so that every number is measured (`shifted_model.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.explain.cams import TRAINED, Branch, TrainedBranch
from bsig.explain.diagnostics.logit_shift import MapMovement, channel_shift, map_movement, uniform_shift
from bsig.explain.diagnostics.painted_shift import painted_shift, target_at_cell, target_map
from bsig.explain.diagnostics.shifted_model import shifted_image
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS, default_method, require_exact
from bsig.explain.wording import VISIBLE_CHANGE, as_long_as, change_text, percent, signed, tiny_percent, whole_percent
from bsig.model.heads import ClassificationHead

SHIFTS = {"paint": "Paint the map", "uniform": "All channels", "channel": "One channel"}
LARGEST_DELTA = 0.05
LARGEST_CHANNEL_DELTA = 1.0
UNPAINTED_DELTA = -0.02
"""What is added to every weight of a head that cannot be painted."""


@dataclass(frozen=True)
class ShiftRequest:
    """The shift that a visitor chooses.

    Attributes:
        kind: one of `SHIFTS`.
        target: for painting, one of `TARGETS`.
        cell: for painting, row and column from 0, fractions between two cells; stands above the target.
        delta: for all channels, added to every weight.
        channel: for one channel; None is the strongest one of the class on the picture.
        channel_delta: for one channel, added to its weight.
    """

    kind: str = "paint"
    target: str = "top left"
    cell: tuple[float | int, float | int] | None = None
    delta: float = 0.0
    channel: int | None = None
    channel_delta: float = 0.3


@dataclass(frozen=True)
class ShiftedPicture:
    """A picture before and after one shift.

    Attributes:
        encoded, shifted: the picture as the model and as the shifted model see it.
        before, after: the same class and method, explained by both.
        vector: what was added to every class row, in the unit of the head's weights.
        description: the shift in words.
    """

    encoded: EncodedImage
    shifted: EncodedImage
    before: Explanation
    after: Explanation
    vector: Float[Tensor, " k"]
    description: str

    def probabilities(self, branch: TrainedBranch) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """The branch's probabilities of all classes before and after."""
        before, after = (picture.probabilities()[TRAINED.index(branch)] for picture in (self.encoded, self.shifted))
        return before, after

    def largest_change(self, branch: TrainedBranch) -> float:
        """The largest change of any of the branch's probabilities."""
        before, after = self.probabilities(branch)
        return float((after - before).abs().max())

    def presence(self) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """The sigmoid branch's probabilities before and after: calibrated where the model is, else plain.

        Both by the calibration of the model as trained, which is how the shifted branch would be read.
        """
        calibration = self.encoded.model.presence
        if calibration is None:
            return self.probabilities("sigmoid")
        before, after = (calibration.probability(each.sigmoid_logits) for each in (self.encoded, self.shifted))
        return before, after

    def sigmoid_probability(self) -> tuple[float, float]:
        """`presence` of the class that is explained."""
        before, after = (float(each[self.before.class_index]) for each in self.presence())
        return before, after

    def movement(self, branch: Branch) -> MapMovement:
        """How far one branch's map moved, in cells and in correlation."""
        before, after = (torch.from_numpy(each.evidence(branch).map) for each in (self.before, self.after))
        return map_movement(before, after)


def shifted_picture(encoded: EncodedImage, class_index: int, method: str, request: ShiftRequest) -> ShiftedPicture:
    """The picture before and after the shift.

    Raises:
        InputError: no such target, cell or channel, or a head that cannot be painted.
    """
    vector, description = shift_vector(encoded, class_index, request)
    encoded_after = shifted_image(encoded, vector)
    before, after = (picture.explain(class_index, method) for picture in (encoded, encoded_after))
    return ShiftedPicture(encoded, encoded_after, before, after, vector, description)


def possible_request(request: ShiftRequest, head: ClassificationHead) -> ShiftRequest:
    """The request itself, or a uniform shift in place of painting where the head's map cannot be painted."""
    if request.kind != "paint" or head.cam_is_exact:
        return request
    return replace(request, kind="uniform", delta=request.delta or UNPAINTED_DELTA)


def shift_vector(encoded: EncodedImage, class_index: int, request: ShiftRequest) -> tuple[Float[Tensor, " k"], str]:
    """The vector to add to every class row, in the unit of the head's weights, and the shift in words."""
    head = encoded.model.softmax_head
    row = head.last_linear.weight[class_index].detach()
    if request.kind == "uniform":
        description = f"{request.delta:+.3f} added to every weight of every class"
        return uniform_shift(len(row), request.delta).to(row), description
    if request.kind == "channel":
        channel = strongest_channels_of(encoded, class_index)[0] if request.channel is None else request.channel
        description = f"{request.channel_delta:+.2f} added to channel {channel} of every class"
        return channel_shift(len(row), channel, request.channel_delta).to(row), description
    require_exact(head.cam_is_exact, "Painting a map")
    features = encoded.features[0]
    current = torch.einsum("k,khw->hw", row, features)
    target = target_at_cell(current, *request.cell) if request.cell else target_map(current, request.target)
    shift = painted_shift(features, row, target)
    place = f"row {request.cell[0] + 1:.3g}, column {request.cell[1] + 1:.3g}" if request.cell else request.target
    length = float(shift.vector.norm() / head.last_linear.weight.norm(dim=1).mean())
    description = f"painted: {place}; the shift is {as_long_as(length)} an average class's weights"
    return shift.vector.to(row), f"{description}. {shift.reason}" if shift.reason else description


def strongest_channels_of(encoded: EncodedImage, class_index: int, count: int = 12) -> list[int]:
    """The channels with most evidence `|w[k]| * mean |F[k]|` for the class on this picture, strongest first.

    For a head that pools or mixes before its last layer the inputs of that layer stand for the channels.
    """
    head = encoded.model.softmax_head
    row = head.last_linear.weight[class_index].detach()
    if head.cam_is_exact:
        activity = encoded.features[0].abs().mean(dim=(1, 2))
    else:
        with torch.no_grad():
            activity = head.last_inputs(head.pooled(encoded.head_features))[0].abs()
    evidence = row.abs() * activity
    return evidence.topk(min(count, len(evidence))).indices.tolist()


def shift_method(method: str, head: ClassificationHead) -> tuple[str, str]:
    """The CAM variant that shows a shift in place of `method`, and a sentence that says why where the two differ."""
    if not head.cam_is_exact:
        default = default_method(head)
        return default, (
            "A map is painted by solving for the head's weights, which takes average pool and one linear layer; this "
            f"head is another, so it is shifted in its last layer and run, and {CAM_METHODS[default].title} shows what "
            "moves."
        )
    if method == "eigen-cam":
        return "cam", "Eigen-CAM looks at no class, so no shift moves it; CAM is shown instead."
    if CAM_METHODS[method].is_slow:
        return "cam", "Score-CAM would run the network again for every shift; CAM is shown instead."
    if method in ("grad-cam++", "layer-cam", "ablation-cam"):
        title = CAM_METHODS[method].title
        why = f"The shift is solved for CAM; {title} weighs channels otherwise and lands near the target, not on it."
        return method, why
    return method, ""


def shift_finding(picture: ShiftedPicture) -> str:
    """What the shift did, in some sentences from the numbers."""
    return " ".join(filter(None, shift_sentences(picture)))


def shift_sentences(picture: ShiftedPicture) -> tuple[str, str]:
    """What the shift did to the probabilities of both branches, and how far the softmax map moved."""
    name = picture.before.class_name
    if float(picture.vector.abs().max()) == 0:
        return f"No shift yet: the softmax heatmap of '{name}' is as the model has it.", ""
    movement = picture.movement("softmax")
    areas = picture.before.softmax.positive_area, picture.after.softmax.positive_area
    return (
        probability_sentence(
            name, picture.largest_change("softmax"), picture.sigmoid_probability(), looks_moved(movement, areas)
        ),
        movement_sentence(name, movement, areas),
    )


def probability_sentence(name: str, largest_softmax_change: float, sigmoid: tuple[float, float], is_moved: bool) -> str:
    """What a shift did to the probabilities of both branches.

    Args:
        name: of the class.
        largest_softmax_change: of any class.
        sigmoid: the class's probability in the sigmoid branch before and after.
        is_moved: whether the class's softmax map looks moved.
    """
    heatmap = "another heatmap" if is_moved else "nearly the same heatmap"
    change = f"by more than {tiny_percent(largest_softmax_change)}" if largest_softmax_change else "at all"
    before, after = sigmoid
    effect = "shows it" if abs(after - before) >= VISIBLE_CHANGE else "hardly shows it on this picture"
    return (
        f"Same classifier, {heatmap}: no softmax probability changed {change}. The same vector in the sigmoid branch "
        f"{effect}: '{name}' {change_text(percent(before), percent(after))}."
    )


def movement_sentence(name: str, movement: MapMovement, positive_areas: tuple[float, float]) -> str:
    """How far the softmax map of a class moved: its order of places, its maximum, and its share of cells above zero."""
    subject = f"The softmax map of '{name}'"
    area = f"Its positive area {change_text(*map(whole_percent, positive_areas))}."
    if movement.correlation is None or movement.peak_move is None:
        return subject + (movement.reason or "").removeprefix("The map")  # what is above zero is rounding
    correlation = f"correlation with the original {signed(movement.correlation, 2)}"
    if _keeps_places(movement):
        return f"{subject} hardly changed its order of places: {correlation}, its maximum in the same cell. {area}"
    if movement.peak_move == 0:
        return f"{subject} changed: {correlation}, its maximum in the same cell. {area}"
    cells = f"{movement.peak_move:.2g}"
    return f"{subject} moved: {correlation}, its maximum by {cells} {'cell' if cells == '1' else 'cells'}. {area}"


def looks_moved(movement: MapMovement, positive_areas: tuple[float, float]) -> bool:
    """Whether anything that `movement_sentence` prints of the two maps differs."""
    before, after = positive_areas
    return not _keeps_places(movement) or whole_percent(before) != whole_percent(after)


def _keeps_places(movement: MapMovement) -> bool:
    """Whether the two maps read as one order of places: a correlation printed as +1.00, and the same maximum."""
    return movement.peak_move == 0 and movement.correlation is not None and signed(movement.correlation, 2) == "+1.00"


def shift_json(picture: ShiftedPicture) -> dict[str, Any]:
    """Maps and probabilities before and after, for JSON."""
    sides = {"before": picture.before, "after": picture.after}
    return {
        "class_index": picture.before.class_index,
        "class_name": picture.before.class_name,
        "shift": picture.description,
        "finding": shift_finding(picture),
        "largest_softmax_probability_change": picture.largest_change("softmax"),
        "largest_sigmoid_probability_change": picture.largest_change("sigmoid"),
        "softmax_movement": asdict(picture.movement("softmax")),
        "centred_movement": asdict(picture.movement("centred")),
        "sigmoid_probability": {side: each.sigmoid.probability for side, each in sides.items()},
        **{
            f"{branch}_map": {side: each.evidence(branch).map.tolist() for side, each in sides.items()}
            for branch in picture.before.evidences
        },
    }
