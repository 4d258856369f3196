"""The callbacks that a training takes: all are called in the caller's thread.

on_encoded(done, total)     Progress       after each batch of pictures
on_start(model)             OnStart        before the first epoch: the model with its own softmax head
on_epoch(epoch, head)       OnEpoch        after each epoch: its measures, and a frozen copy of the head
on_note(sentence)           OnNote         where something did not go as planned and did not end the run
should_stop()               ShouldStop     before each batch of pictures and each step; True ends the run
"""

from __future__ import annotations

from collections.abc import Callable

from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead
from bsig.training.loop.epoch import Epoch

Progress = Callable[[int, int], None]
OnEpoch = Callable[[Epoch, ClassificationHead], None]
OnStart = Callable[[DualBranch], None]
OnNote = Callable[[str], None]
ShouldStop = Callable[[], bool]


def never() -> bool:
    """Returns False: a `should_stop` that lets a run go to its end."""
    return False


def unheard(_sentence: str) -> None:
    """Takes a note where nobody asked for any."""
