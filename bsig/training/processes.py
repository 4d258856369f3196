"""The processes of one run, one or several (`torchrun --nproc_per_node N -m bsig finetune ...`, or `evaluate`).

    with joined_processes(device) as processes:     alone, where torchrun did not start this process
        processes.sum_up(tensors)                   in place: the same bits in all processes
        processes.gathered(value)                   the value of each process, in all of them
        processes.gathered_by_first(value)          the same for the first process, None for the others
        processes.from_first(value)                 the first process's value, in all of them

In a training each process holds the features of its own share of the pictures. A step asks for the same pictures in all
of them; each answers for those it holds, and what they computed is summed, so that N processes take the very steps that
one would take, to rounding. An evaluation deals its parts out in turn. The first process alone writes and prints.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import Tensor

from bsig.inputs.errors import InputError, StoppedEarly

Value = TypeVar("Value")
FAILURE, EXPLAINED = "bsig/failure", "bsig/explained"
# A process may wait for the slowest one to encode its share, or for the first one to form tables.
PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Processes:
    """This process's rank among all; an exchange with another process that has ended is an `InputError`.

    Attributes:
        rank: from 0.
        store: where a process that fails leaves its reason for the first one; None for a process alone.
    """

    rank: int = 0
    count: int = 1
    store: Any = None

    @property
    def is_first(self) -> bool:
        """Returns whether this process writes and prints."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """Returns this process's part of `total` things in order."""
        return range(self.rank * total // self.count, (self.rank + 1) * total // self.count)

    def sum_up(self, tensors: list[Tensor]) -> None:
        """Puts into each tensor its sum over all processes: the same bits in all of them."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with self._peer_errors():
            torch.distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(total.view_as(tensor))

    def gathered(self, value: Value) -> list[Value]:
        """Returns the value of each process, by rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with self._peer_errors():
            torch.distributed.all_gather_object(values, value)
        return values

    def gathered_by_first(self, value: Value) -> list[Value] | None:
        """Returns the value of each process, by rank, in the first one; None in the others, to hold nothing twice."""
        if self.count == 1:
            return [value]
        values: list[Any] | None = [None] * self.count if self.is_first else None
        with self._peer_errors():
            torch.distributed.gather_object(value, values, dst=0)
        return values

    def from_first(self, value: Value) -> Value:
        """Returns the first process's value, in all of them."""
        if self.count == 1:
            return value
        values = [value if self.is_first else None]
        with self._peer_errors():
            torch.distributed.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value]

    def together(self, action: Callable[[], Value]) -> Value:
        """Returns what the action gives here, once it has ended well in every process.

        Raises:
            InputError: it failed somewhere, with the reason of the first process that it failed in.
        """
        if self.count == 1:
            return action()
        outcome: Value | None = None
        failure: InputError | None = None
        try:
            outcome = action()
        except InputError as error:
            failure = error
        reasons = self.gathered((type(failure) is StoppedEarly, str(failure)) if failure else None)
        for reason in reasons:
            if reason:
                raise (StoppedEarly if reason[0] else InputError)(reason[1])
        return outcome  # type: ignore[return-value]

    @contextlib.contextmanager
    def _peer_errors(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch raises it where a peer has closed its connection
            has_reason = self.store.check([FAILURE]) if self.store else False
            reason = self.store.get(FAILURE).decode() if has_reason else "another process of this run has ended"
            raise InputError(f"{reason.rstrip('.')}; start it again with --resume to go on.") from error


ALONE = Processes()


@contextlib.contextmanager
def joined_processes(device: str = "cpu") -> Iterator[Processes]:
    """Yields the processes that torchrun started beside this one, or this one alone.

    `device` is where the summed tensors are: `nccl` between GPUs, `gloo` for everything else.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    store, rank, count = next(torch.distributed.rendezvous("env://", timeout=timedelta(minutes=5)))
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    processes = Processes(rank, count, store)
    failed = True
    try:
        yield processes
        failed = False
    except InputError as error:
        if not processes.is_first and not store.check([FAILURE]):
            store.set(FAILURE, str(error))
        raise
    finally:
        torch.distributed.destroy_process_group()
        if failed:
            _let_first_speak(processes)


def _let_first_speak(processes: Processes) -> None:
    """A process that ends badly makes torchrun end all: the first one must have had the time to say why."""
    if processes.is_first:
        processes.store.set(EXPLAINED, "about to")
        return
    until = time.monotonic() + 5
    with contextlib.suppress(torch.distributed.DistError):  # the first one held the store, and has spoken and ended
        while time.monotonic() < until and not processes.store.check([EXPLAINED]):
            time.sleep(0.05)
    time.sleep(1)
