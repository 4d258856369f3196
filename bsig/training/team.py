"""Several processes that share one evaluation: started by torchrun, each takes every n-th part, the first one writes.

    team = Team.from_environment()          # alone, where torchrun did not start this process
    team.gather(value)                      # the first process gets every process's value, the others None
    team.broadcast(value)                   # everyone gets the first process's value

Values travel over gloo, so it works between machines and without a GPU. Only the first process touches the disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch.distributed as dist

PATIENCE = timedelta(hours=6)  # the first process forms tables while the others wait


@dataclass(frozen=True)
class Team:
    """This process's place among `size`; rank 0 is the first."""

    rank: int = 0
    size: int = 1

    @classmethod
    def from_environment(cls) -> Team:
        """Joins the processes that torchrun started; alone without it."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size < 2 or "RANK" not in os.environ:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any] | None:
        """Every process's value in the order of ranks, for the first process; None for the others."""
        if self.size == 1:
            return [value]
        found: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(value, found, dst=0)
        return found

    def broadcast(self, value: Any) -> Any:
        """The first process's value, for everyone."""
        if self.size == 1:
            return value
        box = [value if self.is_first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def leave(self) -> None:
        """Lets the connection go, so that no process waits for one that has ended."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()
