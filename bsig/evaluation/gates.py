"""One number a picture and class, put on a whole map: it answers *whether* and leaves the order of places alone.

Probabilities multiply a map. Numbers in logits are added to it, or its mean is moved to them; those are the level
readings of `bsig.explain.readings` and the baseline `softmax + 2 log p`. No map is computed or localized again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from bsig.explain.readings import log_odds, log_presence, settings_of, why_not_reading
from bsig.model.dual_branch import DualBranch

Array = np.ndarray
LOG_PROBABILITY_WEIGHT = 2.0


class Answers(NamedTuple):
    """Both branches' logits of some pictures and the classes that are asked of each."""

    model: DualBranch
    softmax_logits: Float[Tensor, "b c"]
    sigmoid_logits: Float[Tensor, "b c"]
    classes: Int[Tensor, "b m"]


def _one(_model: DualBranch) -> float:
    return 1.0


@dataclass(frozen=True)
class Gate:
    """One number and how it is put on a map.

    Attributes:
        numbers: of the asked classes, (b, m).
        put_on: the maps (n, m, h, w) with the numbers (n, m, 1, 1) on them.
        is_in_logits: the number is in logits, as the map must be.
        factor: what the map is multiplied by before.
        needs: the reading without which there is no such number; empty for none.
    """

    key: str
    numbers: Callable[[Answers], Tensor]
    put_on: Callable[[Array, Array], Array]
    is_in_logits: bool = True
    needs: str = ""
    factor: Callable[[DualBranch], float] = _one


def times(maps: Float[Array, "n m h w"], numbers: Float[Array, "n m 1 1"]) -> Float[Array, "n m h w"]:
    """The maps times their numbers."""
    return maps * numbers


def plus(maps: Float[Array, "n m h w"], numbers: Float[Array, "n m 1 1"]) -> Float[Array, "n m h w"]:
    """The maps plus their numbers."""
    return maps + numbers


def moved_to(maps: Float[Array, "n m h w"], numbers: Float[Array, "n m 1 1"]) -> Float[Array, "n m h w"]:
    """The maps with their means at the numbers."""
    return maps - maps.mean(axis=(2, 3), keepdims=True) + numbers


def _softmax(answers: Answers) -> Tensor:
    return answers.softmax_logits.softmax(dim=1).gather(1, answers.classes)


def _sigmoid(answers: Answers) -> Tensor:
    return _sigmoid_logit(answers).sigmoid()


def _log_presence(answers: Answers) -> Tensor:
    return log_presence(answers.model, answers.sigmoid_logits).gather(1, answers.classes)


def _presence(answers: Answers) -> Tensor:
    return _log_presence(answers).exp()


def _levelled(answers: Answers) -> Tensor:
    return settings_of(answers.model, "levelled")["lambda"] * _log_presence(answers)


def _log_probability(answers: Answers) -> Tensor:
    return LOG_PROBABILITY_WEIGHT * answers.softmax_logits.log_softmax(dim=1).gather(1, answers.classes)


def _log_odds(answers: Answers) -> Tensor:
    return log_odds(answers.softmax_logits, answers.classes)


def _spread(model: DualBranch) -> float:
    return settings_of(model, "sigmoid-logit")["a"]


def _sigmoid_logit(answers: Answers) -> Tensor:
    return answers.sigmoid_logits.gather(1, answers.classes)


GATES: dict[str, Gate] = {
    gate.key: gate
    for gate in (
        Gate("softmax", _softmax, times, is_in_logits=False),
        Gate("sigmoid", _sigmoid, times, is_in_logits=False),
        Gate("presence", _presence, times, is_in_logits=False, needs="levelled"),
        Gate("levelled", _levelled, plus, needs="levelled"),
        Gate("sigmoid-logit", _sigmoid_logit, moved_to, factor=_spread),
        Gate("log-odds", _log_odds, moved_to, needs="log-odds"),
        Gate("log-p", _log_probability, plus),
    )
}


def gates_of(model: DualBranch) -> list[Gate]:
    """The gates that a model has the numbers for."""
    return [gate for gate in GATES.values() if not gate.needs or _is_known(model, gate.needs)]


def _is_known(model: DualBranch, reading: str) -> bool:
    return not why_not_reading(model, reading, "grad-cam", "signed")
