"""Stochastic gradient descent over pictures that several processes may hold: the same steps as one process takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bsig.inputs.errors import InputError, StoppedEarly
from bsig.training.callbacks import ShouldStop
from bsig.training.config import TrainingConfig
from bsig.training.features.pooled import TrainingFeatures

LossOf = Callable[[Tensor, Tensor], Tensor]


class CutShort(Exception):  # noqa: N818  not an error: it never leaves training
    """Ends an epoch in its middle; `error` says why."""

    def __init__(self, error: InputError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class DescentStep:
    """One step of a training: its number, its learning rate, and the numbers of its pictures."""

    epoch: int
    number: int
    steps: int
    rate: float
    pictures: Tensor

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.number + 1} of {self.steps}"


def steps_of(count: int, config: TrainingConfig, epoch: int) -> Iterator[DescentStep]:
    """The steps of one epoch over `count` pictures, in an order drawn from seed and epoch."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(config.seed * 1_000_003 + epoch))
    steps = math.ceil(count / config.batch_size)
    for number, pictures in enumerate(order.split(config.batch_size)):
        share = (epoch * steps + number) / (config.epochs * steps)
        factor = 0.5 * (1 + math.cos(math.pi * share)) if config.schedule == "cosine" else 1.0
        yield DescentStep(epoch, number, steps, config.learning_rate * factor, pictures)


class Descent:
    """Minimises `loss_of(pooled, labels) + penalty()` over `parameters`, in place, with SGD and Nesterov momentum.

    `should_stop` is called before each step.
    """

    def __init__(
        self,
        parameters: Iterator[nn.Parameter],
        features: TrainingFeatures,
        config: TrainingConfig,
        loss_of: LossOf,
        penalty: Callable[[], Tensor | float],
        should_stop: ShouldStop,
    ) -> None:
        self.parameters = list(parameters)
        self.features, self.config = features, config
        self.loss_of, self.penalty, self.should_stop = loss_of, penalty, should_stop
        self.optimizer = torch.optim.SGD(
            self.parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay,
        )

    def run_epoch(self, number: int) -> float:
        """Takes the steps of one epoch (from 0); returns the mean of the losses before each step, without the penalty.

        Raises:
            CutShort: `should_stop` said so, or a loss or the weights after the epoch are not finite.
        """
        total = 0.0
        for step in steps_of(self.features.count, self.config, number):
            total += self._take(step) * len(step.pictures)
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            sentence = (
                f"the weights are not finite after {step} at `learning_rate` {step.rate:.3g}; choose a smaller one."
            )
            raise CutShort(InputError(sentence))
        return total / self.features.count

    def _take(self, step: DescentStep) -> float:
        """Takes one step on the sum over all processes, each with the pictures that it holds; returns the loss."""
        stop = float(self.should_stop())
        if not stop or self.features.processes.count > 1:  # the others have to know first
            loss, penalty, stop = self._summed(*self._own_losses(step), stop)
        if stop:
            raise CutShort(StoppedEarly(f"stopped on request before {step}."))
        if not math.isfinite(loss + penalty):
            sentence = (
                f"the loss is {loss + penalty} in {step}, at `learning_rate` {step.rate:.3g}; choose a smaller one."
            )
            raise CutShort(InputError(sentence))
        for group in self.optimizer.param_groups:
            group["lr"] = step.rate
        self.optimizer.step()
        return loss

    def _own_losses(self, step: DescentStep) -> tuple[float, float]:
        """Returns this process's part of loss and penalty of a step; their gradients lie with the parameters."""
        device = self.parameters[0].device
        pooled, labels = (tensor.to(device) for tensor in self.features.batch(step.pictures, step.epoch))
        penalty = self.penalty() / self.features.processes.count
        # Weighed so that the sum over processes is the mean over all pictures of the step.
        loss = self.loss_of(pooled, labels) * (len(labels) / len(step.pictures)) if len(labels) else penalty * 0.0
        self.optimizer.zero_grad(set_to_none=True)
        total = loss + penalty
        if isinstance(total, Tensor):
            total.backward()
        return float(torch.as_tensor(loss).detach()), float(torch.as_tensor(penalty).detach())

    def _summed(self, loss: float, penalty: float, stop: float) -> tuple[float, float, float]:
        """Returns loss, penalty and the wish to stop, summed over the processes; sums up all gradients."""
        processes = self.features.processes
        if processes.count == 1:
            return loss, penalty, stop
        for parameter in self.parameters:
            if parameter.grad is None:  # no picture of this step lies here
                parameter.grad = torch.zeros_like(parameter)
        sums = torch.tensor([loss, penalty, stop], device=self.parameters[0].device)
        processes.sum_up([*(parameter.grad for parameter in self.parameters if parameter.grad is not None), sums])
        loss, penalty, stop = sums.tolist()
        return loss, penalty, stop
