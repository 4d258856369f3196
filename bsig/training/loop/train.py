"""Train the sigmoid branch (and, for a new label set, the softmax head before it) on pooled features.

    loss = BCE(sigmoid(head(z)), onehot(label)),  the one positive weighing as much as all negatives of an image:
           pos_weight = C - 1                                              (Oh and Noh, BMVC 2025, arXiv 2511.05590)

Two kinds of branch: `full` trains the whole cloned head; `shift` keeps the softmax head and trains one vector `v` and
one number `b` that all classes share (`logit_c = (W[c] + v) . z + b_c + b`). The encoder and the softmax head are
never touched: training sees features, not the encoder, and works on a copy of the head.

Seeded: the same features, settings and seed give the same weights, also when a run is interrupted and resumed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsig.inputs.errors import InputError
from bsig.model.dual_branch import FittedShift
from bsig.model.heads import ClassificationHead, PooledLinearHead, with_classes
from bsig.training.callbacks import OnEpoch, ShouldStop, never
from bsig.training.config import TrainingConfig
from bsig.training.features.labels import shares
from bsig.training.features.pooled import PooledFeatures, TrainingFeatures
from bsig.training.loop.branch import TrainableBranch
from bsig.training.loop.descent import CutShort, Descent
from bsig.training.loop.epoch import Epoch, branch_measures, class_balanced_loss, epoch_measures, softmax_accuracy
from bsig.training.loop.state import TrainingState


@dataclass(frozen=True)
class TrainedHead:
    """A trained head, its fitted shift if that is its kind, and the measures of every finished epoch.

    Attributes:
        stopped: why the run ended before its last epoch, in one sentence; None where it did not. The head is then that
            of the last finished epoch, the last one of `history`.
    """

    head: ClassificationHead
    shift: FittedShift | None
    history: tuple[Epoch, ...] = field(default_factory=tuple)
    stopped: str | None = None


def train_sigmoid_branch(
    softmax_head: ClassificationHead,
    features: TrainingFeatures,
    config: TrainingConfig,
    *,
    held_out: TrainingFeatures | None = None,
    on_epoch: OnEpoch | None = None,
    should_stop: ShouldStop = never,
    state_file: Path | None = None,
    resume: bool = False,
) -> TrainedHead:
    """Returns the sigmoid branch after `config.epochs` epochs, in float32.

    Where somebody asks to stop, or loss or weights are not finite, it is the branch of the last finished epoch, and
    `stopped` says why.

    Args:
        softmax_head: the frozen head; it is copied, never changed.
        held_out: pictures that are only measured, after each epoch.
        state_file: where the state is kept after each epoch, so that an interrupted run can go on.
        resume: go on from `state_file` if it is there; the result is that of an uninterrupted run.

    Raises:
        StoppedEarly: stopped before an epoch was finished.
        InputError: fewer than two classes; not finite before an epoch was finished; a state of other settings.
    """
    device = softmax_head.last_linear.weight.device
    features, held_out = _near(device, features), _near(device, held_out) if held_out else None
    branch = TrainableBranch(softmax_head, config)

    def loss_of(pooled: Tensor, labels: Tensor) -> Tensor:
        return class_balanced_loss(branch(pooled), labels, config.positive_weight)

    descent = Descent(branch.parameters(), features, config, loss_of, branch.distance_penalty, should_stop)
    state = TrainingState(state_file, branch, descent.optimizer, features) if state_file else None
    history = state.restored() if state and resume else []
    softmax = softmax_accuracy(softmax_head, features)
    held_out_softmax = softmax_accuracy(softmax_head, held_out) if held_out else 0.0
    finished, stopped = copy.deepcopy(branch.state_dict()), None
    for number in range(len(history), config.epochs):
        try:
            loss = descent.run_epoch(number)
        except CutShort as cut:
            if not history:
                raise cut.error from None
            branch.load_state_dict(finished)
            stopped = str(cut.error)
            break
        epoch = epoch_measures(number + 1, loss, branch, features, softmax)
        history.append(_with_held_out(epoch, branch, held_out, held_out_softmax) if held_out else epoch)
        finished = copy.deepcopy(branch.state_dict())
        if state:
            state.keep(history)
        if on_epoch:
            on_epoch(history[-1], branch.head().requires_grad_(False))
    return TrainedHead(branch.head().requires_grad_(True), branch.fitted_shift(), tuple(history), stopped)


def fit_softmax_head(
    features: TrainingFeatures,
    num_classes: int,
    *,
    epochs: int = 100,
    learning_rate: float = 0.03,
    batch_size: int = 32,
    weight_decay: float = 5e-4,
    seed: int = 0,
    should_stop: ShouldStop = never,
    like: ClassificationHead | None = None,
) -> ClassificationHead:
    """Returns a linear softmax head for a new label set (the "vanilla" model): cross-entropy from zero weights.

    From zero, each step of cross-entropy moves the class rows by amounts that sum to zero, and weight decay keeps that
    sum: the head has no shared component to begin with. `like` is the backbone's own head, on the device of the
    training: where it has more layers than one, they stay as they are and only a last linear layer is fitted.

    The classes of a picture that has several share its target alike.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: fewer than two classes, or a loss that is not finite.
    """
    if num_classes < 2:
        raise InputError(f"`num_classes` (={num_classes}) must be at least 2: softmax over one class is always 1.")
    if like is None:
        width = features.batch(torch.zeros(1, dtype=torch.long), 0)[0].shape[-1]
        like = PooledLinearHead(nn.Linear(width, num_classes))
    head = with_classes(like, num_classes).eval()
    linear = head.last_linear.requires_grad_(True)
    config = TrainingConfig(
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, weight_decay=weight_decay, seed=seed
    )

    def loss_of(pooled: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            inputs = head.last_inputs(pooled)
        return F.cross_entropy(linear(inputs), labels if labels.ndim == 1 else shares(labels, num_classes))

    features = _near(linear.weight.device, features)
    descent = Descent(linear.parameters(), features, config, loss_of, lambda: 0.0, should_stop)
    try:
        for number in range(epochs):
            descent.run_epoch(number)
    except CutShort as cut:
        raise type(cut.error)(f"softmax head: {cut.error}") from None
    return head.requires_grad_(False)


def _with_held_out(epoch: Epoch, branch: TrainableBranch, held_out: TrainingFeatures, softmax: float) -> Epoch:
    measures = branch_measures(branch, held_out)
    return replace(
        epoch,
        held_out_loss=measures.loss,
        held_out_sigmoid_accuracy=measures.accuracy,
        held_out_softmax_accuracy=softmax,
    )


def _near(device: torch.device, features: TrainingFeatures) -> TrainingFeatures:
    """Returns the features on the head's device, where they are in memory and fit there."""
    return features.on(device) if isinstance(features, PooledFeatures) else features
