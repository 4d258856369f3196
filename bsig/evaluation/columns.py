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
features                        the sum of all features: what a picture stands out by, for every class the same
random-head                     a head of random weights: the sanity check (Adebayo et al., NeurIPS 2018)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.evaluation.gates import GATES, gates_of
from bsig.explain.cams import Branch
from bsig.explain.readings import (
    LINEAR_METHODS,
    cell_logits_of,
    log_presence,
    settings_of,
    why_not_reading,
    window_means,
)
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead

DELTAS = (-0.01, -0.02, -0.04)
CURVE_DELTAS = (0.01, 0.005, 0.0, -0.0025, -0.005, -0.01, -0.015, -0.02, -0.03, -0.04, -0.06)
RANDOM_HEAD_SEED = 0
UNTRAINED_COMPETITION = 0.25
TRAINED_COLUMNS = (
    "sigmoid", "sigmoid*sigmoid", "softmax*sigmoid", "softmax*presence", "softmax*levelled", "sigmoid*levelled",
    "centred*sigmoid-logit", "softmax-window", "sigmoid-window", "sigmoid+bias",
)  # fmt: skip
UNTRAINED_COLUMNS = (
    "softmax", "centred", *(f"delta{delta:+g}" for delta in DELTAS), "softmax*softmax", "centred*log-odds",
    "softmax*log-p", "competition", "window-log-p", "softmax+bias", "softmax+fitted", "features",
)  # fmt: skip
"""The columns that need the trained branch, and those without it that it has to beat."""


@dataclass(frozen=True)
class Window:
    """What is added to each cell of a map: `lambda log` of the probability that a class is in the cells around it.

    Attributes:
        head: whose probability.
        log_probability: of its logits of all classes in each cell, (b, c, h, w).
        cells: the side of the window, odd.
        weight: lambda.
    """

    head: ClassificationHead = field(repr=False)
    log_probability: Callable[[Tensor], Tensor] = field(repr=False)
    cells: int
    weight: float

    def added(self, features: Float[Tensor, "b k h w"], classes: Int[Tensor, "b m"]) -> Float[Tensor, "b m h w"]:
        """The term of `m` classes of each picture, in logits."""
        logits = self.log_probability(window_means(cell_logits_of(self.head, features), self.cells))
        return self.weight * logits[torch.arange(len(classes), device=classes.device)[:, None], classes]


@dataclass(frozen=True)
class Column:
    """One way to get a map.

    Attributes:
        key: with a gate `MAP*GATE`, the key of the column without it and the gate.
        head, branch: whose map, and which treatment of negative weights applies to it.
        gate: the key in `GATES` of the number that is put on the map, or None.
        delta: added to every weight of the softmax head, or None.
        with_bias: the head's bias of the class is added to every cell: another zero, the same order of places.
        competition: `mu` of the competition between all classes in each cell (`bsig.explain.readings`), or None.
        window: what is added to each cell, or None.
    """

    key: str
    title: str
    head: ClassificationHead
    branch: Branch
    gate: str | None = None
    delta: float | None = None
    with_bias: bool = False
    competition: float | None = None
    window: Window | None = None

    def fits(self, method: str, treatment: str) -> bool:
        """Whether the column stands in the table of a method and a treatment.

        A delta, a bias, a competition or a window changes CAM's signed map; a gate in logits needs a map in logits.
        """
        if self.gate and GATES[self.gate].is_in_logits:
            return treatment == "signed" and method in LINEAR_METHODS
        is_of_cam = self.with_bias or any(part is not None for part in (self.delta, self.competition, self.window))
        return not is_of_cam or (method == "cam" and treatment == "signed")


def columns_of(model: DualBranch, deltas: Sequence[float] = DELTAS) -> dict[str, Column]:
    """All columns by key, in the order of the table; columns without a gate come before those that gate them."""
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
    return [Column("competition", title, model.softmax_head, "softmax", competition=UNTRAINED_COMPETITION)]


def _windowed(model: DualBranch, learned: str) -> list[Column]:
    """Maps levelled in a window, by softmax alone and by the sigmoid branch, where a window has logits."""
    columns, softmax, sigmoid = [], model.softmax_head, model.sigmoid_head
    if not why_not_reading(model, "window-log-p", "cam", "signed"):
        window = _window(model, "window-log-p", softmax, log_softmax)
        columns = [Column("window-log-p", "softmax + log p in a window", softmax, "softmax", window=window)]
    if not why_not_reading(model, "window", "cam", "signed"):
        window = _window(model, "window", sigmoid, partial(log_presence, model))
        columns += [
            Column("softmax-window", "softmax, levelled in a window", softmax, "softmax", window=window),
            Column("sigmoid-window", f"{learned}, levelled in a window", sigmoid, "sigmoid", window=window),
        ]
    return columns


def _window(
    model: DualBranch, reading: str, head: ClassificationHead, log_probability: Callable[[Tensor], Tensor]
) -> Window:
    """The window of a reading with the model's own settings."""
    settings = settings_of(model, reading)
    return Window(head, log_probability, int(settings["cells"]), settings["lambda"])


def log_softmax(logits: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The log of the softmax over the classes, in each cell."""
    return logits.log_softmax(dim=1)


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
