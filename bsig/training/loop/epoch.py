"""The measures after an epoch: what the curves of a run are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bsig.model.heads import ClassificationHead
from bsig.training.features.labels import is_present, is_right
from bsig.training.features.pooled import TrainingFeatures
from bsig.training.loop.branch import TrainableBranch


@dataclass(frozen=True)
class Epoch:
    """The measures after one epoch. Accuracies are top-1 over the first view, 0 to 1.

    Attributes:
        loss: mean over the epoch's steps of the class-balanced loss, each before its step.
        own_probability, absent_probability: mean sigmoid of the classes that are there, and of all others.
        sign_disagreement: share of weights of the last layer whose sign is not the softmax head's.
        shared_energy_share: of the last layer's energy, that of its mean row (`c |w_bar|^2 / |W|_F^2`).
        held_out_loss, held_out_sigmoid_accuracy, held_out_softmax_accuracy: over the first view of pictures that are
            not trained on, after the epoch; None where there are none.
    """

    number: int
    loss: float
    sigmoid_accuracy: float
    softmax_accuracy: float
    own_probability: float
    absent_probability: float
    sign_disagreement: float
    shared_energy_share: float
    held_out_loss: float | None = None
    held_out_sigmoid_accuracy: float | None = None
    held_out_softmax_accuracy: float | None = None


@dataclass(frozen=True)
class BranchMeasures:
    """Means of a branch over the first views of some pictures."""

    loss: float
    accuracy: float
    own_probability: float
    absent_probability: float


def class_balanced_loss(
    logits: Float[Tensor, "b c"], labels: Int[Tensor, "b ..."], positive_weight: float | None = None
) -> Float[Tensor, ""]:
    """Returns the mean over images and classes of `-(p t log s + (1 - t) log(1 - s))`.

    s is the sigmoid of a logit, t is 1 for the classes that are in the picture and 0 for the others, p is the
    `positive_weight` or C - 1, which balances the classes where each picture has one.
    """
    classes = logits.shape[1]
    targets = is_present(labels, classes).to(logits.dtype)
    weight = logits.new_tensor(classes - 1 if positive_weight is None else positive_weight)
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)


@torch.no_grad()
def branch_measures(branch: TrainableBranch, features: TrainingFeatures) -> BranchMeasures:
    """Returns means of the branch, summed in float64 so that the size of batches plays no part."""
    device, classes = branch.start.device, branch.start.shape[0]
    sums = torch.zeros(6, dtype=torch.float64)
    for pooled, labels in features.first_views():
        labels = labels.to(device)
        logits = branch(pooled.to(device))
        probabilities = logits.sigmoid()
        loss = len(labels) * float(class_balanced_loss(logits, labels, branch.config.positive_weight))
        hits = float(is_right(logits.argmax(dim=1), labels).sum())
        present = is_present(labels, classes)
        own, every = float(probabilities[present].double().sum()), float(probabilities.double().sum())
        sums += torch.tensor([loss, hits, own, every, int(present.sum()), len(labels)], dtype=torch.float64)
    features.processes.sum_up([sums])
    loss, hits, own, every, positives, count = sums.tolist()
    negatives = count * classes - positives
    return BranchMeasures(loss / count, hits / count, own / positives, (every - own) / negatives if negatives else 0.0)


@torch.no_grad()
def softmax_accuracy(softmax_head: ClassificationHead, features: TrainingFeatures) -> float:
    """Returns top-1 of the frozen head over the first views: the same in every epoch."""
    device, sums = softmax_head.last_linear.weight.device, torch.zeros(2, dtype=torch.float64)
    for pooled, labels in features.first_views():
        hits = is_right(softmax_head.logits(pooled.to(device)).argmax(dim=1), labels.to(device)).sum()
        sums += torch.tensor([float(hits), len(labels)], dtype=torch.float64)
    features.processes.sum_up([sums])
    hits_in_all, count = sums.tolist()
    return hits_in_all / count


def epoch_measures(
    number: int, loss: float, branch: TrainableBranch, features: TrainingFeatures, softmax: float
) -> Epoch:
    """Returns all measures of an epoch (from 1) but those of held-out pictures; `softmax` is that head's accuracy."""
    measures = branch_measures(branch, features)
    weight = branch.head().last_linear.weight.detach().double()
    energy = weight.square().sum()
    return Epoch(
        number=number,
        loss=loss,
        sigmoid_accuracy=measures.accuracy,
        softmax_accuracy=softmax,
        own_probability=measures.own_probability,
        absent_probability=measures.absent_probability,
        sign_disagreement=float((weight.sign() != branch.start.sign()).float().mean()),
        shared_energy_share=float(len(weight) * weight.mean(dim=0).square().sum() / energy) if energy else 0.0,
    )
