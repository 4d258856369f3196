"""The columns of an evaluation's table: every way to get a class's map out of one picture's features.

softmax, centred, sigmoid       the three evidences of `bsig.explain.explainer`
delta-0.01, ...                 the softmax head with one number added to every weight: no training, the baseline
                                that any gain at zero has to beat
softmax*sigmoid, ...            a map with one number a picture and class put on it (`gates.py`): keeps the order of
                                places; the baseline that any better-trained branch has to beat
competition                     softmax's cells less a quarter of what all other classes say there: no training, the
                                baseline that any gain in mosaics has to beat
window-log-p                    softmax's map + log of softmax's probability in a window around each cell: no training,
                                the baseline that any answer about a window has to beat
softmax-window, sigmoid-window  either map + log q of the sigmoid branch in that window
softmax-finer, ...              either map in another of `READINGS`, where that is asked for
features                        the sum of all features: what a picture stands out by, for every class the same
random-head                     a head of random weights: the sanity check (Adebayo et al., NeurIPS 2018)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bsig.evaluation.config import FURTHER_READINGS
from bsig.evaluation.gates import GATES, gates_of
from bsig.explain.cams import Branch
from bsig.explain.pooled_reading import PooledReading
from bsig.explain.readings import (
    LINEAR_METHODS,
    READINGS,
    settings_of,
    why_not_reading,
)
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead

DELTAS = (-0.01, -0.02, -0.04)
CURVE_DELTAS = (0.01, 0.005, 0.0, -0.0025, -0.005, -0.01, -0.015, -0.02, -0.03, -0.04, -0.06)
RANDOM_HEAD_SEED = 0
UNTRAINED_COMPETITION = 0.25
TRAINED_COLUMNS = (
    "sigmoid", "sigmoid*sigmoid", "softmax*sigmoid", "softmax*presence", "softmax*levelled", "sigmoid*levelled",
    "centred*sigmoid-logit", "softmax-window", "sigmoid-window", "sigmoid+bias",
    *(f"sigmoid-{key}" for key in FURTHER_READINGS),
    *(f"softmax-{key}" for key in FURTHER_READINGS if READINGS[key].needs_presence),
)  # fmt: skip
UNTRAINED_COLUMNS = (
    "softmax", "centred", *(f"delta{delta:+g}" for delta in DELTAS), "softmax*softmax", "centred*log-odds",
    "softmax*log-p", "competition", "window-log-p", "softmax+bias", "softmax+fitted", "features",
    *(f"softmax-{key}" for key in FURTHER_READINGS if not READINGS[key].needs_presence),
)  # fmt: skip
"""The columns that need the trained branch, and those without it that it has to beat."""


@dataclass(frozen=True)
class Column:
    """One way to get a map.

    Attributes:
        key: with a gate `MAP*GATE`, the key of the column without it and the gate.
        head, branch: whose map, and which treatment of negative weights applies to it.
        gate: the key in `GATES` of the number that is put on the map, or None.
        delta: added to every weight of the softmax head, or None.
        with_bias: the head's bias of the class is added to every cell: another zero, the same order of places.
        reading: what is made of the maps, or None.
    """

    key: str
    title: str
    head: ClassificationHead
    branch: Branch
    gate: str | None = None
    delta: float | None = None
    with_bias: bool = False
    reading: PooledReading | None = None

    def fits(self, method: str, treatment: str) -> bool:
        """Whether the column stands in the table of a method and a treatment.

        A delta, a bias or a reading changes CAM's signed map; a gate in logits needs a map in logits.
        """
        if self.gate and GATES[self.gate].is_in_logits:
            return treatment == "signed" and method in LINEAR_METHODS
        is_of_cam = self.with_bias or self.delta is not None or self.reading is not None
        return not is_of_cam or (method == "cam" and treatment == "signed")


def columns_of(model: DualBranch, deltas: Sequence[float] = DELTAS, readings: Sequence[str] = ()) -> dict[str, Column]:
    """All columns by key, in the order of the table; columns without a gate come before those that gate them.

    Raises:
        InputError: one of `readings` is not exact for the model.
    """
    softmax, sigmoid = model.softmax_head, model.sigmoid_head
    learned = "fitted shift" if model.branch_kind == "shift" else "sigmoid"
    columns = [
        Column("softmax", "softmax", softmax, "softmax"),
        Column("centred", "softmax, class-centred", softmax, "centred"),
        Column("sigmoid", learned, sigmoid, "sigmoid"),
        *(
            Column(delta_key(delta), f"softmax, delta {delta:g}", softmax.shifted(delta), "softmax", delta=delta)
            for delta in deltas
        ),
        *_gated(model, learned),
        *_competing(model),
        *_windowed(model, learned),
        *_further(model, learned, readings),
        *_with_bias(model, learned),
        Column("features", "sum of all features, no class", _head_of(softmax, torch.ones_like), "softmax"),
        Column("random-head", "a head of random weights", _head_of(softmax, _random_like), "softmax"),
    ]
    return {column.key: column for column in columns}


def _gated(model: DualBranch, learned: str) -> list[Column]:
    """Maps with a number on them, as far as the model knows the number."""
    softmax, sigmoid, gates = model.softmax_head, model.sigmoid_head, {gate.key for gate in gates_of(model)}
    columns = [
        Column("softmax*sigmoid", f"softmax map x {learned} probability", softmax, "softmax", "sigmoid"),
        Column("sigmoid*sigmoid", f"{learned} map x its probability", sigmoid, "sigmoid", "sigmoid"),
        Column("softmax*softmax", "softmax map x softmax probability", softmax, "softmax", "softmax"),
        Column("softmax*presence", "softmax map x presence q", softmax, "softmax", "presence"),
        Column("softmax*levelled", "softmax, levelled by presence", softmax, "softmax", "levelled"),
        Column("sigmoid*levelled", f"{learned}, levelled by presence", sigmoid, "sigmoid", "levelled"),
        Column("centred*sigmoid-logit", f"class-centred, moved to the {learned} logit", softmax, "centred",
               "sigmoid-logit"),
        Column("centred*log-odds", "class-centred, moved to softmax's log-odds", softmax, "centred", "log-odds"),
        Column("softmax*log-p", "softmax + 2 log p", softmax, "softmax", "log-p"),
    ]  # fmt: skip
    return [column for column in columns if column.gate in gates]


def _competing(model: DualBranch) -> list[Column]:
    """Softmax with a fixed share of competition, where a cell has logits."""
    if not model.softmax_head.cam_is_exact or model.num_classes < 2:
        return []
    title = f"softmax, competition {UNTRAINED_COMPETITION:g} between all classes"
    reading = PooledReading(model, "competition", {"mu": UNTRAINED_COMPETITION, "presence": 0.0, "cosine": 1.0})
    return [Column("competition", title, model.softmax_head, "softmax", reading=reading)]


def _windowed(model: DualBranch, learned: str) -> list[Column]:
    """Maps levelled in a window, by softmax alone and by the sigmoid branch, where a window has logits."""
    columns, softmax, sigmoid = [], model.softmax_head, model.sigmoid_head
    if not why_not_reading(model, "window-log-p", "cam", "signed"):
        reading = _reading(model, "window-log-p")
        columns = [Column("window-log-p", "softmax + log p in a window", softmax, "softmax", reading=reading)]
    if not why_not_reading(model, "window", "cam", "signed"):
        reading = _reading(model, "window")
        columns += [
            Column("softmax-window", "softmax, levelled in a window", softmax, "softmax", reading=reading),
            Column("sigmoid-window", f"{learned}, levelled in a window", sigmoid, "sigmoid", reading=reading),
        ]
    return columns


def _further(model: DualBranch, learned: str, readings: Sequence[str]) -> list[Column]:
    """Both branches in those of `FURTHER_READINGS` that are asked for.

    Raises:
        InputError: a reading that is asked for is not exact for the model.
    """
    branches: tuple[tuple[Branch, str, ClassificationHead], ...] = (
        ("softmax", "softmax", model.softmax_head), ("sigmoid", learned, model.sigmoid_head),
    )  # fmt: skip
    for key in readings:
        reason = why_not_reading(model, key, "cam", "signed")
        if not reason and not model.softmax_head.cam_is_exact:
            reason = "it needs a head of average pool and one linear layer."
        if reason:
            raise InputError(f"`readings` (='{key}') cannot be measured with checkpoint '{model.name}': {reason}")
    return [
        Column(f"{branch}-{key}", f"{name}, {READINGS[key].title}", head, branch, reading=_reading(model, key))
        for key in FURTHER_READINGS
        if key in readings
        for branch, name, head in branches
    ]


def _reading(model: DualBranch, key: str) -> PooledReading:
    """A reading with the model's own settings."""
    return PooledReading(model, key, settings_of(model, key))


def _with_bias(model: DualBranch, learned: str) -> list[Column]:
    """Both branches drawn with their bias, and softmax with one number fitted from labels (`balanced_bias.py`)."""
    softmax = model.softmax_head
    if not softmax.cam_is_exact:
        return []
    plain = Column("softmax+bias", "softmax, drawn with its bias", softmax, "softmax", with_bias=True)
    sigmoid = Column("sigmoid+bias", f"{learned}, drawn with its bias", model.sigmoid_head, "sigmoid", with_bias=True)
    number = model.metadata.get("training", {}).get("balanced_bias")
    if not isinstance(number, float):
        return [plain, sigmoid]
    head = copy.deepcopy(softmax)
    with torch.no_grad():
        head.last_linear.bias.add_(number)
    title = "softmax, drawn with its bias and one fitted number"
    return [plain, Column("softmax+fitted", title, head, "softmax", with_bias=True), sigmoid]


def delta_key(delta: float) -> str:
    """The key of the column whose head is softmax's with `delta` on every weight."""
    return f"delta{delta:+g}"


def _head_of(head: ClassificationHead, weights: Callable[[Tensor], Tensor]) -> ClassificationHead:
    """A copy of the head with other weights in its last linear layer, without bias."""
    result = copy.deepcopy(head)
    with torch.no_grad():
        result.last_linear.weight.copy_(weights(head.last_linear.weight.detach()))
        result.last_linear.bias.zero_()
    return result


def _random_like(weight: Tensor) -> Tensor:
    """Normal noise of the weights' spread, the same for the same shape."""
    generator = torch.Generator().manual_seed(RANDOM_HEAD_SEED)
    return (torch.randn(weight.shape, generator=generator) * weight.std().cpu()).to(weight)
