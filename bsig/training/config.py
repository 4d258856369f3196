"""The settings of one training of a sigmoid branch, checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bsig.inputs.errors import InputError
from bsig.model.dual_branch import BranchKind


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one training of a sigmoid branch; the defaults are the published code's where it has one.

    Attributes:
        branch: `full` (cloned head) or `shift` (one fitted vector and bias).
        epochs: passes over the pictures; each takes one view of each, in turn.
        learning_rate: of SGD with Nesterov momentum, at the start.
        schedule: `cosine` to zero over all steps, or `constant`.
        batch_size: pictures a step.
        weight_decay: L2 on what is trained (for `shift`: on the shift alone).
        positive_weight: of the one positive class; None for class-balanced, C - 1.
        stay_near_softmax: weight of `sum (W - W0 - 1 v^T)^2`, v the mean row of `W - W0`: the shared shift is free,
            the rest is held to the softmax head. 0 is the paper.
        initialisation: `clone` of the softmax head or `fresh` zeros (full branch only).
        seed: of the order of the pictures.
    """

    branch: BranchKind = "full"
    epochs: int = 3
    learning_rate: float = 0.03
    schedule: Literal["cosine", "constant"] = "cosine"
    batch_size: int = 32
    momentum: float = 0.9
    weight_decay: float = 5e-4
    positive_weight: float | None = None
    stay_near_softmax: float = 0.0
    initialisation: Literal["clone", "fresh"] = "clone"
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "branch": (self.branch in ("full", "shift"), "must be 'full' or 'shift'"),
            "epochs": (1 <= self.epochs <= 10_000, "must be from 1 to 10000"),
            "learning_rate": (0 < self.learning_rate < 100, "must be above 0 and below 100"),
            "schedule": (self.schedule in ("cosine", "constant"), "must be 'cosine' or 'constant'"),
            "batch_size": (1 <= self.batch_size <= 65_536, "must be from 1 to 65536"),
            "momentum": (0 <= self.momentum < 1, "must be at least 0 and below 1"),
            "weight_decay": (0 <= self.weight_decay < 1, "must be at least 0 and below 1"),
            "positive_weight": (self.positive_weight is None or 0 < self.positive_weight < 1e9, "must be above 0"),
            "stay_near_softmax": (0 <= self.stay_near_softmax < 1e6, "must be at least 0"),
            "initialisation": (
                self.initialisation == "clone" or (self.initialisation == "fresh" and self.branch == "full"),
                "must be 'clone', or 'fresh' for a full branch",
            ),
            "seed": (0 <= self.seed < 2**31, "must be from 0 to 2147483647"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise InputError(f"`{name}` (={getattr(self, name)}) {rule}.")
