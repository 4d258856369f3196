"""What is trained: a whole cloned head, or one vector and one number added to a frozen one.

That a head decides its maps on the same frozen features, and that binary cross-entropy gives more local ones than
softmax cross-entropy, is also the finding of Gairola, Boehle, Locatello and Schiele, "How to Probe", ICLR 2025,
arXiv 2503.00641.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bsig.inputs.errors import InputError
from bsig.model.dual_branch import FittedShift
from bsig.model.heads import ClassificationHead
from bsig.training.config import TrainingConfig


class TrainableBranch(nn.Module):
    """A sigmoid branch in training; it starts from a copy of the softmax head, or of `start` if it is a full one.

    Raises:
        InputError: fewer than two classes, or a `start` of a branch that is not full.
    """

    def __init__(
        self, softmax_head: ClassificationHead, config: TrainingConfig, start: ClassificationHead | None = None
    ) -> None:
        super().__init__()
        classes = softmax_head.last_linear.out_features
        if classes < 2:
            raise InputError(f"`class_names` holds {classes} class; a sigmoid branch needs at least 2 to tell apart.")
        self.kind, self.config = config.branch, config
        if start and config.branch != "full":
            raise InputError(f"`start` needs a full branch, not `branch` (={config.branch}); leave it out.")
        start = start or softmax_head
        self.base = copy.deepcopy(start).requires_grad_(config.branch == "full")
        self.start = start.last_linear.weight.detach().clone()
        # In a list, so that its tensors are not this module's.
        self._softmax_head = [softmax_head]
        linear = self.base.last_linear
        if config.branch == "shift":
            self.vector = nn.Parameter(linear.weight.new_zeros(linear.in_features))
            self.bias = nn.Parameter(linear.weight.new_zeros(()))
            _replace_module(self.base, linear, _ShiftedLinear(linear, self.vector, self.bias))
        elif config.initialisation == "fresh":
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Yields only the trained parameters."""
        return (parameter for parameter in super().parameters(recurse) if parameter.requires_grad)

    def forward(self, pooled: Float[Tensor, "b ..."]) -> Float[Tensor, "b c"]:
        """Returns logits."""
        return self.base.logits(pooled)

    @property
    def softmax_head(self) -> ClassificationHead:
        """The frozen head that decides; a copy of it, or of `start`, is what is trained."""
        return self._softmax_head[0]

    def distance_penalty(self) -> Tensor | float:
        """Returns `stay_near_softmax * sum (W - W0 - 1 v^T)^2`, v the mean row of `W - W0`, W of the last layer."""
        if not self.config.stay_near_softmax or self.kind == "shift":
            return 0.0
        change = self.base.last_linear.weight - self.start
        return self.config.stay_near_softmax * (change - change.mean(dim=0)).square().sum()

    def fitted_shift(self) -> FittedShift | None:
        """Returns the vector and the number of a shift; None for a full branch."""
        if self.kind == "full":
            return None
        return FittedShift(self.vector.detach().clone(), self.bias.detach().clone())

    def head(self) -> ClassificationHead:
        """Returns a copy of the branch as a head of its own."""
        shift = self.fitted_shift()
        return self.softmax_head.shifted(shift.vector, shift.bias) if shift else copy.deepcopy(self.base)


class _ShiftedLinear(nn.Linear):
    """`(W[c] + v) . z + b_c + b`: the shift is the same number for every class, so it is added once."""

    def __init__(self, linear: nn.Linear, vector: Tensor, bias: Tensor) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.shift = (vector, bias)

    def forward(self, inputs: Float[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        vector, bias = self.shift
        return functional.linear(inputs, self.weight, self.bias) + (inputs @ vector + bias)[:, None]


def _replace_module(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in root.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
