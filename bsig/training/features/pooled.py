"""Pooled features and labels, by the batch: all that a training sees of the pictures.

Training asks for pictures by number and never for files, so features may lie in memory, in a mapped file, or be made
anew at every step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.training.processes import ALONE, Processes

MEASURED_BATCH = 2048
KEPT_ON_DEVICE_BYTES = 4 * 2**30


@runtime_checkable
class TrainingFeatures(Protocol):
    """Pictures that a head can be trained on."""

    @property
    def count(self) -> int:
        """How many pictures there are, in all processes."""

    @property
    def unreadable(self) -> tuple[str, ...]:
        """One sentence for each file that was left out."""

    @property
    def processes(self) -> Processes:
        """The processes that share the pictures."""

    def batch(self, numbers: Int[Tensor, " b"], epoch: int) -> tuple[Float[Tensor, "own ..."], Int[Tensor, "own ..."]]:
        """Returns pooled features, as that epoch sees them, and labels of this process's part of these pictures."""

    def first_views(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields pooled features of the evaluation crop and labels of this process's pictures, in batches."""

    def identity(self) -> dict[str, str]:
        """Returns hashes that tell these pictures from others: a run that is resumed must see the same."""


@dataclass(frozen=True)
class PooledFeatures:
    """Pooled features of every readable sample.

    Attributes:
        pooled: (n, v, ...) float32, n samples in v views, as `head.pooled` gives them.
        labels: (n,) class indices, or (n, m) where pictures have several (`labels.py`).
        unreadable: one sentence for each file that was left out.
    """

    pooled: Float[Tensor, "n v ..."]
    labels: Int[Tensor, "n ..."]
    unreadable: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.labels)

    @property
    def processes(self) -> Processes:
        """This one has all of them."""
        return ALONE

    def batch(self, numbers: Int[Tensor, " b"], epoch: int) -> tuple[Float[Tensor, "b ..."], Int[Tensor, "b ..."]]:
        """Returns these pictures in the epoch's view: each epoch takes the next one, in turn."""
        return self.pooled[numbers, epoch % self.pooled.shape[1]], self.labels[numbers]

    def first_views(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the first view of all pictures, in order."""
        for start in range(0, len(self.labels), MEASURED_BATCH):
            yield self.pooled[start : start + MEASURED_BATCH, 0], self.labels[start : start + MEASURED_BATCH]

    def identity(self) -> dict[str, str]:
        """Returns hashes of features and labels."""
        return {"pictures": _sha256(self.pooled)[:12], "labels": _sha256(self.labels)[:12]}

    def on(self, device: torch.device) -> PooledFeatures:
        """Returns the same on a device, where they are small enough to stay there beside a training."""
        if self.pooled.nbytes > KEPT_ON_DEVICE_BYTES:
            return self
        return replace(self, pooled=self.pooled.to(device), labels=self.labels.to(device))


def _sha256(tensor: Tensor) -> str:
    digest = hashlib.sha256(str(tuple(tensor.shape)).encode())
    for rows in tensor.detach().split(MEASURED_BATCH):  # never all in memory, where they are a mapped file
        digest.update(rows.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class SplitFeatures:
    """Pooled features of which each process of a run holds its `own` part, from picture number `first` on."""

    own: PooledFeatures
    first: int
    count: int
    processes: Processes

    @property
    def unreadable(self) -> tuple[str, ...]:
        """One sentence for each file that was left out, in all processes."""
        return self.own.unreadable

    def batch(self, numbers: Int[Tensor, " b"], epoch: int) -> tuple[Float[Tensor, "own ..."], Int[Tensor, "own ..."]]:
        """Returns those of these pictures that this process holds."""
        own = numbers[(numbers >= self.first) & (numbers < self.first + self.own.count)]
        return self.own.batch(own - self.first, epoch)

    def first_views(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the first view of this process's pictures, in order."""
        return self.own.first_views()

    def identity(self) -> dict[str, str]:
        """Returns hashes of all parts: another number of processes sums in another order and makes another run."""
        parts = self.processes.gathered(self.own.identity())
        joined = {name: "".join(part[name] for part in parts) for name in parts[0]}
        hashes = {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in joined.items()}
        return {**hashes, "processes": str(self.processes.count)}
