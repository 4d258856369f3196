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
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bsig.backbones import state_sha256
from bsig.dual_branch import BranchKind, FittedShift
from bsig.errors import InputError
from bsig.feature_cache import PooledFeatures
from bsig.heads import ClassificationHead, PooledLinearHead


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


@dataclass(frozen=True)
class Epoch:
    """The figures after one epoch. Accuracies are top-1 over the first view, 0 to 1."""

    number: int
    loss: float
    sigmoid_accuracy: float
    softmax_accuracy: float
    own_probability: float
    absent_probability: float
    sign_disagreement: float
    shared_energy_share: float


@dataclass(frozen=True)
class TrainedBranch:
    """What training gives: the head, the fitted shift if that is its kind, and the figures of every epoch."""

    head: ClassificationHead
    shift: FittedShift | None
    history: tuple[Epoch, ...] = field(default_factory=tuple)


def train_sigmoid_branch(
    softmax_head: ClassificationHead,
    features: PooledFeatures,
    config: TrainingConfig,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
    state_file: Path | None = None,
    resume: bool = False,
) -> TrainedBranch:
    """The sigmoid branch after `config.epochs` epochs, in float32.

    Args:
        softmax_head: the frozen head; it is copied, never changed.
        features: pooled features (n, v, ...) and labels (n,).
        config: the settings.
        on_epoch: called with each epoch's figures.
        state_file: where the state is kept after each epoch, so that an interrupted run can go on.
        resume: go on from `state_file` if it is there; the result is that of an uninterrupted run.

    Raises:
        InputError: fewer than two classes; the loss is not finite; a state of other settings.
    """
    classes = softmax_head.last_linear.out_features
    if classes < 2:
        raise InputError(f"`class_names` holds {classes} class; a sigmoid branch needs at least 2 to tell apart.")
    features = _on(softmax_head.last_linear.weight.device, features)
    branch = _Branch(softmax_head, config)
    optimizer = torch.optim.SGD(
        branch.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
    )
    history: list[Epoch] = []
    settings = _settings(config, softmax_head, features) if state_file else ""
    if resume and state_file and state_file.is_file():
        history = _restore(state_file, settings, branch, optimizer)
    for number in range(len(history), config.epochs):
        loss = _run_epoch(branch, optimizer, features, config, number)
        history.append(_figures(number + 1, loss, branch, softmax_head, features))
        if state_file:
            _keep(state_file, settings, branch, optimizer, history)
        if on_epoch:
            on_epoch(history[-1])
    return TrainedBranch(branch.head(), branch.fitted_shift(), tuple(history))


def class_balanced_loss(
    logits: Float[Tensor, "b c"], labels: Int[Tensor, " b"], positive_weight: float | None = None
) -> Float[Tensor, ""]:
    """Mean over images and classes of `-(p t log s + (1 - t) log(1 - s))`, s the sigmoid, t one-hot, p = C - 1.

    Args:
        logits: of the sigmoid branch.
        labels: the one positive class of each image.
        positive_weight: p, if not the class-balanced C - 1.
    """
    classes = logits.shape[1]
    targets = F.one_hot(labels, classes).to(logits.dtype)
    weight = logits.new_tensor(classes - 1 if positive_weight is None else positive_weight)
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)


def fit_softmax_head(
    features: PooledFeatures,
    num_classes: int,
    *,
    epochs: int = 100,
    learning_rate: float = 0.03,
    batch_size: int = 32,
    weight_decay: float = 5e-4,
    seed: int = 0,
) -> PooledLinearHead:
    """A linear softmax head for a new label set (the "vanilla" model): cross-entropy from zero weights.

    From zero, each step of cross-entropy moves the class rows by amounts that sum to zero, and weight decay keeps that
    sum: the head has no shared component to begin with.

    Raises:
        InputError: fewer than two classes, or a loss that is not finite.
    """
    if num_classes < 2:
        raise InputError(f"`num_classes` (={num_classes}) must be at least 2: softmax over one class is always 1.")
    linear = nn.Linear(features.pooled.shape[-1], num_classes)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    config = TrainingConfig(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, seed=seed)
    optimizer = torch.optim.SGD(
        linear.parameters(), lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=weight_decay
    )
    for number in range(epochs):
        for rate, pooled, labels in _batches(features, config, number):
            _step(optimizer, F.cross_entropy(linear(pooled), labels), rate, number)
    return PooledLinearHead(linear).eval().requires_grad_(False)


class _Branch(nn.Module):
    """What is trained: a whole head, or the shift added to a frozen one."""

    def __init__(self, softmax_head: ClassificationHead, config: TrainingConfig) -> None:
        super().__init__()
        self.kind, self.config = config.branch, config
        self.base = copy.deepcopy(softmax_head).requires_grad_(config.branch == "full")
        linear = softmax_head.last_linear
        self.start = linear.weight.detach().clone()
        if config.branch == "shift":
            self.vector = nn.Parameter(linear.weight.new_zeros(linear.in_features))
            self.bias = nn.Parameter(linear.weight.new_zeros(()))
        elif config.initialisation == "fresh":
            nn.init.zeros_(self.base.last_linear.weight)
            nn.init.zeros_(self.base.last_linear.bias)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Only what is trained."""
        return (parameter for parameter in super().parameters(recurse) if parameter.requires_grad)

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits (b, c)."""
        inputs = self.base.last_inputs(pooled)
        logits = self.base.last_linear(inputs)
        if self.kind == "shift":
            # `(W[c] + v) . z + b_c + b`: the same number for every class, so it is added once.
            logits = logits + (inputs @ self.vector + self.bias)[:, None]
        return logits

    def distance_penalty(self) -> Tensor | float:
        """`stay_near_softmax * sum (W - W0 - 1 v^T)^2`, v the mean row of `W - W0`."""
        if not self.config.stay_near_softmax or self.kind == "shift":
            return 0.0
        moved = self.base.last_linear.weight - self.start
        return self.config.stay_near_softmax * (moved - moved.mean(dim=0)).square().sum()

    def fitted_shift(self) -> FittedShift | None:
        if self.kind == "full":
            return None
        return FittedShift(self.vector.detach().clone(), self.bias.detach().clone())

    def head(self) -> ClassificationHead:
        shift = self.fitted_shift()
        head = shift.applied_to(self.base) if shift else copy.deepcopy(self.base)
        return head.requires_grad_(True)


def _run_epoch(
    branch: _Branch, optimizer: torch.optim.Optimizer, features: PooledFeatures, config: TrainingConfig, number: int
) -> float:
    total, seen = 0.0, 0
    for rate, pooled, labels in _batches(features, config, number):
        loss = class_balanced_loss(branch(pooled), labels, config.positive_weight)
        _step(optimizer, loss + branch.distance_penalty(), rate, number)
        total, seen = total + float(loss.detach()) * len(labels), seen + len(labels)
    if not all(bool(parameter.isfinite().all()) for parameter in branch.parameters()):
        raise InputError(
            f"the weights are not finite after epoch {number + 1} at `learning_rate` {config.learning_rate:.3g}; "
            "choose a smaller one."
        )
    return total / seen


def _batches(features: PooledFeatures, config: TrainingConfig, epoch: int) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Learning rate, pooled features and labels of each step of one epoch, in an order drawn from seed and epoch."""
    images, views = features.pooled.shape[:2]
    order = torch.randperm(images, generator=torch.Generator().manual_seed(config.seed * 1_000_003 + epoch))
    steps = math.ceil(images / config.batch_size)
    for step, chosen in enumerate(order.split(config.batch_size)):
        done = (epoch * steps + step) / (config.epochs * steps)
        factor = 0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1.0
        yield config.learning_rate * factor, features.pooled[chosen, epoch % views], features.labels[chosen]


def _step(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, epoch: int) -> None:
    if not torch.isfinite(loss):
        raise InputError(
            f"the loss is {float(loss.detach())} in epoch {epoch + 1} at `learning_rate` {rate:.3g}; choose a smaller "
            "one."
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def _figures(
    number: int, loss: float, branch: _Branch, softmax_head: ClassificationHead, features: PooledFeatures
) -> Epoch:
    pooled, labels = features.pooled[:, 0], features.labels
    logits = branch(pooled)
    probabilities = logits.sigmoid()
    own = probabilities.gather(1, labels[:, None]).mean()
    absent = (probabilities.sum() - own * len(labels)) / (probabilities.numel() - len(labels))
    weight, start = branch.head().last_linear.weight, softmax_head.last_linear.weight
    energy = weight.square().sum()
    return Epoch(
        number=number,
        loss=loss,
        sigmoid_accuracy=float((logits.argmax(dim=1) == labels).float().mean()),
        softmax_accuracy=float((softmax_head.logits(pooled).argmax(dim=1) == labels).float().mean()),
        own_probability=float(own),
        absent_probability=float(absent),
        sign_disagreement=float((weight.sign() != start.sign()).float().mean()),
        shared_energy_share=float(len(weight) * weight.mean(dim=0).square().sum() / energy) if energy else 0.0,
    )


def _keep(file: Path, settings: str, branch: _Branch, optimizer: torch.optim.Optimizer, history: list[Epoch]) -> None:
    """The state after an epoch, written whole and renamed, so that a crash leaves the last finished epoch."""
    tensors = {f"branch.{key}": value.contiguous() for key, value in branch.state_dict().items()}
    for index, parameter in enumerate(branch.parameters()):
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{index}"] = momentum.contiguous()
    figures = {"settings": settings, "history": json.dumps([asdict(epoch) for epoch in history])}
    temporary = file.with_name(f".{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata=figures)
        temporary.replace(file)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the state cannot be kept in '{file.parent}' ({error}); free space or choose another place."
        ) from error


def _restore(file: Path, settings: str, branch: _Branch, optimizer: torch.optim.Optimizer) -> list[Epoch]:
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
        tensors = load_file(file)
        kept = json.loads(metadata["settings"])
        history = [Epoch(**figures) for figures in json.loads(metadata["history"])]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"the state '{file.name}' is damaged ({error}); start anew without --resume.") from error
    other = [f"`{name}` (={kept.get(name)})" for name, value in json.loads(settings).items() if kept.get(name) != value]
    if other:
        raise InputError(
            f"the interrupted run in '{file.parent.name}' has another {', '.join(other)}; resume it with that, or "
            "start anew without --resume."
        )
    branch.load_state_dict({key[7:]: value for key, value in tensors.items() if key.startswith("branch.")})
    for index, parameter in enumerate(branch.parameters()):
        if f"momentum.{index}" in tensors:
            optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{index}"].to(parameter.device)
    return history


def _settings(config: TrainingConfig, softmax_head: ClassificationHead, features: PooledFeatures) -> str:
    """Everything that must be the same for a run to be resumed: settings, softmax head, features and labels."""
    seen = {
        "softmax_head": state_sha256(softmax_head)[:12],
        "pictures": _sha256(features.pooled)[:12],
        "labels": _sha256(features.labels)[:12],
    }
    return json.dumps({**asdict(config), **seen}, sort_keys=True)


def _sha256(tensor: Tensor) -> str:
    digest = hashlib.sha256(str(tuple(tensor.shape)).encode())
    digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _on(device: torch.device, features: PooledFeatures) -> PooledFeatures:
    return replace(features, pooled=features.pooled.to(device), labels=features.labels.to(device))
