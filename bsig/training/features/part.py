"""Some of the pictures of a training, as features of their own: what a branch of a cross-fit is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from bsig.training.features.pooled import SplitFeatures, TrainingFeatures
from bsig.training.processes import Processes


@dataclass(frozen=True)
class FeaturesPart:
    """The pictures of `whole` where `is_in` is true, numbered anew in their order; nothing is copied.

    Attributes:
        is_in: (n,) over the pictures of all processes.
    """

    whole: TrainingFeatures
    is_in: Bool[Tensor, " n"]

    @property
    def count(self) -> int:
        """How many pictures there are, in all processes."""
        return int(self.is_in.sum())

    @property
    def unreadable(self) -> tuple[str, ...]:
        """One sentence for each file that was left out of the whole."""
        return self.whole.unreadable

    @property
    def processes(self) -> Processes:
        """The processes that share the pictures."""
        return self.whole.processes

    def batch(self, numbers: Int[Tensor, " b"], epoch: int) -> tuple[Float[Tensor, "own ..."], Int[Tensor, " own"]]:
        """Returns pooled features and labels of this process's part of these pictures."""
        return self.whole.batch(self.is_in.nonzero()[:, 0][numbers], epoch)

    def first_views(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields pooled features of the evaluation crop and labels of this process's pictures, in batches."""
        start = self.whole.first if isinstance(self.whole, SplitFeatures) else 0
        for pooled, labels in self.whole.first_views():
            own = self.is_in[start : start + len(labels)]
            start += len(labels)
            if bool(own.any()):
                yield pooled[own], labels[own]

    def identity(self) -> dict[str, str]:
        """Returns hashes that tell these pictures from others."""
        return {**self.whole.identity(), "part": hashlib.sha256(self.is_in.numpy().tobytes()).hexdigest()[:12]}
