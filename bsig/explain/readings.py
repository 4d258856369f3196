"""What else a branch's stored features say: readings of a map that answer *whether* and *where* apart.

A map mixes two statements: whether the class is in the picture (one number a picture and class) and where (the order
of places). A reading takes a branch's map and moves its level, or compares classes cell by cell. No training, no run
of the network. `READINGS` is read by screen, command line, report, evaluation and README, like `CAM_METHODS` and
`TREATMENTS`.

    y_c(x)    the branch's cell logit `W_c . F(x) + b_c`; its mean over the grid is the branch's logit
    M_c(x)    the branch's map by the chosen method, without bias; for CAM `M_c = y_c - b_c`
    z, s      softmax's and the sigmoid branch's logits;   p = softmax(z)
    q         calibrated presence of a class, from `s`

Three kinds. A `level` adds one number to a map and keeps the order of places, so boxes and AUC stay. A `score` explains
another combination of logits by the same method. A `cells` reading asks for the logits of single cells: it compares
classes in each cell, or asks of the cells around each one which class is there.
On the class-centred map no additive logit shift moves a reading, a painted one neither; where `moves_with_shift` is
false, softmax's own map has that too (tests/explain/test_readings.py). Each equation stands again as loops in
tests/reference.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bsig.explain.cams import Branch
from bsig.explain.methods import cam_method, clamps_weights, default_method
from bsig.inputs.errors import InputError
from bsig.inputs.numbers import plain
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead

Kind = Literal["plain", "level", "score", "cells"]
SIGMOIDS_OWN = ("levelled", "window", "sigmoid-logit")
"""Readings that put what the sigmoid branch says on a map. Softmax has no such answer: beside them it stays plain."""
LINEAR_METHODS = ("cam", "grad-cam", "xgrad-cam", "hires-cam")
"""Methods whose map of a sum of scores is the sum of their maps, in logits or logits per cell."""


@dataclass(frozen=True)
class Setting:
    """One number of a reading: its letter in the equation, its default and its range, ends included.

    Attributes:
        is_window: the side of a window in cells, an odd number; its default is `window_of_grid`.
    """

    key: str
    title: str
    default: float
    low: float
    high: float
    is_whole: bool = False
    is_window: bool = False

    def default_for(self, model: DualBranch) -> float:
        """The default; of a window the odd number of cells next to the grid of one of the model's pictures."""
        return window_of_grid(model) if self.is_window else self.default

    def holds(self, value: object) -> bool:
        """Whether a value is a number of this setting's kind in its range."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        is_of_kind = value % 2 == 1 if self.is_window else value % 1 == 0 or not self.is_whole
        return self.low <= value <= self.high and is_of_kind

    @property
    def step(self) -> float:
        """From one value of a slider to the next."""
        return 2.0 if self.is_window else 1.0 if self.is_whole else 0.05

    @property
    def kind_of_number(self) -> str:
        """`a number`, with what else it has to be."""
        return "an odd number" if self.is_window else "a whole number" if self.is_whole else "a number"


@dataclass(frozen=True)
class ReadingInputs:
    """What a reading may ask of one branch, for `m` classes of each of `b` pictures.

    Attributes:
        maps: the branch's maps without bias, by the chosen method.
        classes: the classes of `maps`.
        softmax_logits, sigmoid_logits: of all classes.
        cells: 1 where maps are in logits, the number of cells where they are in logits per cell.
        cell_logits: a branch's logit of each class in each cell alone, with bias, (b, c, h, w).
        score_maps: maps of any combinations of the branch's logits; with the head's bias where the flag says so.
        log_presence: `log q` of logits of the sigmoid branch, in their shape.
        rivals: which classes' centred softmax rows have at most this cosine with the row of each class.
        settings: a value for each of the reading's settings.
        other: the class each is compared with, for `pairwise`.
    """

    branch: Branch
    maps: Float[Tensor, "b m h w"]
    classes: Int[Tensor, "b m"]
    softmax_logits: Float[Tensor, "b c"]
    sigmoid_logits: Float[Tensor, "b c"]
    cells: int
    cell_logits: Callable[[Branch], Tensor]
    score_maps: Callable[[Tensor, bool], Tensor]
    log_presence: Callable[[Tensor], Tensor]
    rivals: Callable[[float], Tensor]
    settings: Mapping[str, float]
    other: Int[Tensor, "b m"] | None = None


@dataclass(frozen=True)
class Reading:
    """One reading: what it says, its settings, and what it needs.

    Attributes:
        sentence: what the map then means.
        question: whether it changes what the map says of `whether`, of `where`, or of both.
        read: the maps, (b, m, h, w), from the inputs.
        keeps_order: the order of places is the map's own, exactly.
        moves_with_shift: an additive logit shift moves the reading of softmax's own map.
        needs_presence: it asks for `q`, which only a trained sigmoid branch gives.
        needs_other_class: a second class has to be named.
        takes_bias: it adds to the method's map, which keeps its channel weights and may have the head's bias added.
    """

    key: str
    title: str
    sentence: str
    kind: Kind
    question: Literal["", "whether", "where", "whether and where"]
    read: Callable[[ReadingInputs], Tensor]
    settings: tuple[Setting, ...] = ()
    moves_with_shift: bool = True
    needs_presence: bool = False
    needs_other_class: bool = False
    takes_bias: bool = False

    @property
    def keeps_order(self) -> bool:
        """Whether the order of places is the map's own, so that boxes and AUC are too."""
        return self.kind in ("plain", "level")

    @property
    def keeps_weights(self) -> bool:
        """Whether the map is the method's own, but for what is added to it, so that its channel weights say how."""
        return self.keeps_order or self.takes_bias


# The equations.


def levelled(maps: Float[Tensor, "*n h w"], log_q: Float[Tensor, "*n"], weight: float = 1.0) -> Float[Tensor, "*n h w"]:
    """`M_c(x) + lambda log q_c`: a present class (q near 1) keeps its map, a denied one sinks below zero.

    bsig. In the maps' unit; `weight` is lambda.
    """
    return maps + weight * log_q[..., None, None]


def cell_logits_of(head: ClassificationHead, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
    """The logit of each class in each cell alone, with bias; average pool + linear heads alone."""
    linear = head.last_linear
    logits = torch.einsum("ck,bkhw->bchw", linear.weight.detach(), features)
    return logits + linear.bias.detach()[None, :, None, None]


def window_means(cell_logits: Float[Tensor, "b c h w"], cells: int) -> Float[Tensor, "b c h w"]:
    """The logit that the `cells` x `cells` cells around each cell have together; cells beyond the edge are left out.

    bsig. For average pool + linear the mean of the cells' logits is what the branch answers to them alone. `cells` is
    odd. Rows first, then columns: the number of cells in the grid is the product of both.
    """
    edge = cells // 2
    rows = F.avg_pool2d(cell_logits, (cells, 1), stride=1, padding=(edge, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, cells), stride=1, padding=(0, edge), count_include_pad=False)


def moved_to(maps: Float[Tensor, "*n h w"], logit: Float[Tensor, "*n"], scale: float = 1.0) -> Float[Tensor, "*n h w"]:
    """`a (M_c(x) - mean M_c) + l_c`: the mean over the grid is the logit `l_c`, so that zero is its even odds.

    bsig. In the maps' unit; `scale` is `a`. What a softmax shift adds to the level drops out.
    """
    return scale * (maps - maps.mean(dim=(-2, -1), keepdim=True)) + logit[..., None, None]


def log_odds(logits: Float[Tensor, "b c"], classes: Int[Tensor, "b m"]) -> Float[Tensor, "b m"]:
    """`log(p_c / (1 - p_c)) = z_c - log sum_{j != c} exp z_j` of a softmax; finite where `p` rounds to 1."""
    return competition(logits[:, :, None, None], classes, 1.0)[:, :, 0, 0]


def competition(
    cell_logits: Float[Tensor, "b c h w"],
    classes: Int[Tensor, "b m"],
    strength: float,
    log_weights: Float[Tensor, "b c"] | None = None,
    rivals: Bool[Tensor, "b m c"] | None = None,
) -> Float[Tensor, "b m h w"]:
    """`y_c(x) - mu log sum_{j != c} w_j exp y_j(x)`: less evidence where another class speaks.

    bsig, after the normalisation over classes of CALM (Kim et al., ICCV 2021). With `mu = 1` and `w = 1` it is the
    log-odds of a softmax over the cell alone.

    Args:
        strength: mu.
        log_weights: `log w_j`; None for ones.
        rivals: the classes that the sum is over; None for all. Where there are none, nothing is subtracted.
    """
    weighted = cell_logits if log_weights is None else cell_logits + log_weights[:, :, None, None]
    rows = torch.arange(len(classes), device=classes.device)
    maps = []
    for m in range(classes.shape[1]):
        own = F.one_hot(classes[:, m], cell_logits.shape[1]).bool()
        is_out = own if rivals is None else own | ~rivals[:, m]
        speaks = weighted.masked_fill(is_out[:, :, None, None], -torch.inf).logsumexp(dim=1)
        maps.append(cell_logits[rows, classes[:, m]] - strength * speaks.masked_fill(speaks == -torch.inf, 0.0))
    return torch.stack(maps, dim=1)


def pairwise_scores(
    classes: Int[Tensor, "b m"], other: Int[Tensor, "b m"], num_classes: int, dtype: torch.dtype
) -> Float[Tensor, "b m c"]:
    """`logit_a - logit_b`: why a and not b. The sum of the coefficients is zero, so no shift moves the map.

    Karimzadeh et al., "DiffGradCAM", 2025, arXiv 2506.08514.
    """
    return (F.one_hot(classes, num_classes) - F.one_hot(other, num_classes)).to(dtype)


def finer_scores(
    classes: Int[Tensor, "b m"], logits: Float[Tensor, "b c"], gamma: float, count: int
) -> Float[Tensor, "b m c"]:
    """`logit_c - gamma mean_d logit_d` over the `count` classes d whose logits lie nearest to c's.

    Zhang et al., "Finer-CAM", CVPR 2025, arXiv 2501.11309, with its code's choice of classes; its code weighs them by
    their probabilities, here they count alike. All others where there are fewer.
    """
    distance = (logits[:, None] - logits.gather(1, classes)[:, :, None]).abs()
    distance = distance.scatter(2, classes[:, :, None], torch.inf)
    count = min(count, logits.shape[1] - 1)
    nearest = F.one_hot(distance.topk(count, dim=2, largest=False).indices, logits.shape[1]).sum(dim=2)
    return F.one_hot(classes, logits.shape[1]).to(logits) - gamma / count * nearest


def gradient_scores(
    classes: Int[Tensor, "b m"], logits: Float[Tensor, "b c"], branch: Branch
) -> Float[Tensor, "b m c"]:
    """The gradient of the class's log-probability by the logits: `1[j = c] - p_j`; of a sigmoid `1[j = c] (1 - q_c)`.

    Wang and Wang, "Why Not Other Classes?", NeurIPS 2022, without the factor `p_c`, which changes no sign and no place.
    The coefficients of the softmax sum to zero, so no shift moves the map.
    """
    own = F.one_hot(classes, logits.shape[1]).to(logits)
    if branch == "sigmoid":
        return own * (-logits).sigmoid().gather(1, classes)[:, :, None]
    return own - logits.softmax(dim=1)[:, None]


# Each reading, from the inputs and its settings.


def _plain(inputs: ReadingInputs) -> Tensor:
    return inputs.maps


def _levelled(inputs: ReadingInputs) -> Tensor:
    log_q = inputs.log_presence(inputs.sigmoid_logits).gather(1, inputs.classes)
    return levelled(inputs.maps, log_q, inputs.settings["lambda"] / inputs.cells)


def _windowed(inputs: ReadingInputs) -> Tensor:
    """`M_c(x) + lambda log q_c(window around x)`. Only the classes that are asked for have to be pooled."""
    logits = _of_classes(inputs.cell_logits("sigmoid"), inputs.classes)
    log_q = inputs.log_presence(window_means(logits, int(inputs.settings["cells"])))
    return inputs.maps + inputs.settings["lambda"] * log_q


def _windowed_by_softmax(inputs: ReadingInputs) -> Tensor:
    """`M_c(x) + lambda log p_c(window around x)`, of softmax alone."""
    logits = window_means(inputs.cell_logits("softmax"), int(inputs.settings["cells"]))
    return inputs.maps + inputs.settings["lambda"] * _of_classes(logits.log_softmax(dim=1), inputs.classes)


def _of_classes(cell_logits: Float[Tensor, "b c h w"], classes: Int[Tensor, "b m"]) -> Float[Tensor, "b m h w"]:
    return cell_logits[torch.arange(len(classes), device=classes.device)[:, None], classes]


def _moved_to_sigmoid(inputs: ReadingInputs) -> Tensor:
    logit = inputs.sigmoid_logits.gather(1, inputs.classes)
    return moved_to(inputs.maps, logit / inputs.cells, inputs.settings["a"])


def _moved_to_log_odds(inputs: ReadingInputs) -> Tensor:
    return moved_to(inputs.maps, log_odds(inputs.softmax_logits, inputs.classes) / inputs.cells)


def _competition(inputs: ReadingInputs) -> Tensor:
    exponent, cosine = inputs.settings["presence"], inputs.settings["cosine"]
    weights = exponent * inputs.log_presence(inputs.sigmoid_logits) if exponent else None
    rivals = inputs.rivals(cosine) if cosine < 1 else None
    return competition(inputs.cell_logits(inputs.branch), inputs.classes, inputs.settings["mu"], weights, rivals)


def _cell_log_odds(inputs: ReadingInputs) -> Tensor:
    """The log-odds of the branch's own answer to each cell; a sigmoid's log-odds are its logit."""
    logits = inputs.cell_logits(inputs.branch)
    if inputs.branch == "sigmoid":
        return _of_classes(logits, inputs.classes)
    return competition(logits, inputs.classes, 1.0)


def _pairwise(inputs: ReadingInputs) -> Tensor:
    if inputs.other is None:
        raise InputError("`other_class` (=None) must name the class B of 'why A and not B'; give one.")
    logits = inputs.softmax_logits
    return inputs.score_maps(pairwise_scores(inputs.classes, inputs.other, logits.shape[1], logits.dtype), True)


def _finer(inputs: ReadingInputs) -> Tensor:
    """Both branches are compared with the same classes: those near by softmax's logits."""
    scores = finer_scores(
        inputs.classes, inputs.softmax_logits, inputs.settings["gamma"], int(inputs.settings["classes"])
    )
    return inputs.score_maps(scores, True)


def _probability_gradient(inputs: ReadingInputs) -> Tensor:
    logits = inputs.sigmoid_logits if inputs.branch == "sigmoid" else inputs.softmax_logits
    return inputs.score_maps(gradient_scores(inputs.classes, logits, inputs.branch), False)


_WINDOW = Setting("cells", "side of the window in cells, odd", 7.0, 1.0, 63.0, is_window=True)

READINGS: dict[str, Reading] = {
    reading.key: reading
    for reading in (
        Reading("plain", "Plain", "The map as the method gives it: evidence in logits, with the zero that the head's "
                "training left.", "plain", "", _plain, takes_bias=True),
        Reading("levelled", "Levelled by presence", "The same places in the same order; a class that the sigmoid "
                "branch denies sinks below zero.", "level", "whether", _levelled,
                (Setting("lambda", "weight of log q", 1.0, 0.0, 16.0),), needs_presence=True, takes_bias=True),
        Reading("window", "Levelled in a window", "Where the sigmoid branch denies the class in the cells around a "
                "place, the map sinks below zero. It tells parts of a picture apart.", "cells", "whether and where",
                _windowed, (Setting("lambda", "weight of log q", 1.0, 0.0, 16.0), _WINDOW), needs_presence=True,
                takes_bias=True),
        Reading("window-log-p", "Levelled in a window by softmax", "Where softmax denies the class in the cells around "
                "a place, the map sinks below zero; it needs no second branch.", "cells", "whether and where",
                _windowed_by_softmax, (Setting("lambda", "weight of log p", 1.0, 0.0, 16.0), _WINDOW),
                takes_bias=True),
        Reading("sigmoid-logit", "Moved to the sigmoid's logit", "The same places in the same order; the map's mean is "
                "the sigmoid branch's logit, and zero its even odds.", "level", "whether", _moved_to_sigmoid,
                (Setting("a", "spread of the places", 1.0, 0.0, 4.0),)),
        Reading("log-odds", "Moved to softmax's log-odds", "The same places in the same order; the sigmoid of the "
                "map's mean is the softmax probability. It fails where several classes share a picture.", "level",
                "whether", _moved_to_log_odds),
        Reading("competition", "Cell competition", "Less evidence where another present class speaks.", "cells",
                "whether and where", _competition,
                (Setting("mu", "strength", 0.25, 0.0, 2.0),
                 Setting("presence", "exponent of the other classes' presence, 0 for all classes alike", 1.0, 0.0, 1.0),
                 Setting("cosine", "only classes whose rows have at most this cosine", 1.0, -1.0, 1.0)),
                needs_presence=True),
        Reading("cell-log-odds", "Cell log-odds", "What the branch would answer if it saw this cell alone: above zero "
                "is above 50 %.", "cells", "whether and where", _cell_log_odds, moves_with_shift=False),
        Reading("pairwise", "Why A and not B", "Positive where the picture speaks for the class rather than for the "
                "other one.", "score", "where", _pairwise, moves_with_shift=False, needs_other_class=True),
        Reading("finer", "Finer-CAM", "What sets the class apart from the classes nearest to it.", "score", "where",
                _finer, (Setting("gamma", "weight of the similar classes", 0.6, 0.0, 1.0),
                         Setting("classes", "similar classes", 3.0, 1.0, 10.0, is_whole=True))),
        Reading("probability-gradient", "Gradient of the probability", "Where more evidence would raise the class's "
                "probability, all other classes counted.", "score", "where", _probability_gradient,
                moves_with_shift=False),
    )
}  # fmt: skip


# Which readings there are for a model, and with which settings.


def reading_of(key: str) -> Reading:
    """The entry of `READINGS`; raises `InputError` where there is none."""
    if key not in READINGS:
        raise InputError(f"`reading` (='{key}') must be one of {', '.join(READINGS)}.")
    return READINGS[key]


def readings_of(model: DualBranch, method: str, weights: str) -> list[str]:
    """The keys of `READINGS` that are exact for a model, a method and a treatment; `plain` is the first."""
    return [key for key in READINGS if not why_not_reading(model, key, method, weights)]


def default_reading(model: DualBranch, method: str, weights: str) -> str:
    """The reading that a screen opens with: levelled where presence is calibrated and the reading exact, else plain.

    Not `window`: on imagenet20's mosaics 0.91 instead of 0.68 of a class's strongest quarter lies in its own picture,
    but in pictures of one object the sigmoid map loses class-aware precision (0.757 to 0.751) and IoU at zero (0.534 to
    0.527), and its AUC stays below softmax's either way (LOG.md).
    """
    is_levelled = model.presence is not None and not why_not_reading(model, "levelled", method, weights)
    return "levelled" if is_levelled else "plain"


class ComparisonReadings(TypedDict):
    """The readings of both branches, as keyword arguments of `EncodedImage.explain`."""

    reading: str
    softmax_reading: str | None


def comparison_readings(
    model: DualBranch, method: str | None, weights: str, reading: str | None = None
) -> ComparisonReadings:
    """The readings of both branches where they stand side by side.

    Screens, files, command line and web API ask here, so that they show the same maps.

    Args:
        model, method, weights: as for `EncodedImage.explain`.
        reading: a key of `READINGS`; None or empty for the checkpoint's own.
    """
    method = method or default_method(model.softmax_head)
    key = reading or default_reading(model, method, weights)
    return {"reading": key, "softmax_reading": "plain" if key in SIGMOIDS_OWN else None}


def window_of_grid(model: DualBranch) -> float:
    """The side of the window that a picture of the model's own size fills: the largest odd number in its grid.

    7 at 7 x 7 cells, 13 at 14 x 14. A larger picture has more cells and keeps it.
    """
    side = min(model.grid_hw or (7, 7))
    return float(side - (side + 1) % 2)


def why_not_reading(model: DualBranch, reading: str, method: str, weights: str) -> str:
    """Why a reading is not offered for a model, a method and a treatment, in one sentence; empty where it is.

    Raises:
        InputError: no such reading, method or treatment.
    """
    entry, variant = reading_of(reading), cam_method(method)
    clamps_weights(weights, "softmax")
    if entry.kind == "plain":
        return ""
    if weights != "signed":
        return f"it needs signed weights (=`{weights}`): clamped ones have given up the zero that it moves."
    if method not in LINEAR_METHODS:
        return (
            f"it needs one of {', '.join(LINEAR_METHODS)} (=`{method}`): {variant.title} is not linear in the logits."
        )
    if entry.kind == "cells" and method != "cam":
        return f"it asks for the logits of single cells, which only 'cam' gives (=`{method}`)."
    if entry.kind == "cells" and not model.softmax_head.cam_is_exact:
        return "it needs a head of average pool and one linear layer: only there a cell has a logit of its own."
    if model.num_classes < 2:
        return "it compares classes, and this model has one."
    if entry.needs_presence and not _knows_presence(model):
        return "the sigmoid branch is not trained, so nothing says whether a class is there; fine-tune it first."
    return ""


def settings_of(model: DualBranch, reading: str, settings: Mapping[str, Any] | None = None) -> dict[str, float]:
    """The value of each of a reading's settings: from `settings`, else as fitted for the checkpoint, else the default.

    Raises:
        InputError: a setting that the reading lacks, or a value that is no number in its range.
    """
    entry, settings = reading_of(reading), dict(settings or {})
    keys = [setting.key for setting in entry.settings]
    for stranger in settings.keys() - set(keys):
        offer = f"it has {', '.join(keys)}" if keys else "it has none"
        raise InputError(f"`reading_settings` (='{stranger}') is no setting of the reading '{reading}'; {offer}.")
    fit = model.metadata.get("readings", {}).get(reading, {})
    values = {}
    for setting in entry.settings:
        value = plain(settings.get(setting.key, fit.get(setting.key, setting.default_for(model))))
        if not setting.holds(value):
            raise InputError(
                f"`{setting.key}` (={value}) of the reading '{reading}' must be {setting.kind_of_number} from "
                f"{setting.low:g} to {setting.high:g}."
            )
        values[setting.key] = float(value)
    return values


def log_presence(model: DualBranch, sigmoid_logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`log q` of the sigmoid branch's logits, in their shape.

    Calibrated where the checkpoint knows how, else corrected for the training prior alone.

    The branch is trained with `pos_weight = C - 1`, so that its zero is even odds under balanced classes; under one
    present class of C they lie at `log(C - 1)`. A zero-shot branch was trained on pairs without such a weight: its own
    probability is taken.
    """
    presence = model.presence
    if presence is not None:
        return presence.log_probability(sigmoid_logits)
    if model.is_zero_shot:
        return F.logsigmoid(sigmoid_logits)
    return F.logsigmoid(sigmoid_logits - math.log(model.num_classes - 1))


def presence_note(model: DualBranch) -> str:
    """How a reading got `q`, where that is not the checkpoint's own calibration; else empty."""
    if model.presence is not None:
        return ""
    if model.is_zero_shot:
        return (
            "The checkpoint holds no calibrated presence; q is the sigmoid branch's own probability, as it was trained."
        )
    return (
        "The checkpoint holds no calibrated presence; q is the sigmoid branch's probability corrected for the training "
        f"prior of one class in {model.num_classes}."
    )


def dissimilar(rows: Float[Tensor, "c k"], classes: Int[Tensor, "b m"], cosine: float) -> Bool[Tensor, "b m c"]:
    """Which classes' rows, less the mean row, have at most this cosine with the row of each of `classes`."""
    centred = F.normalize(rows - rows.mean(dim=0), dim=1)
    return centred[classes] @ centred.T <= cosine


def _knows_presence(model: DualBranch) -> bool:
    return model.presence is not None or model.is_trained
