"""The classes that are in each picture, as one tensor.

Where every picture has one class, labels are (n,) class indices. Where some have several, they are (n, m): each row
holds the indices of one picture and `NO_CLASS` behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bsig.inputs.datasets.samples import Sample

NO_CLASS = -1


def label_tensor(present: Sequence[Sequence[int]]) -> Int[Tensor, "n ..."]:
    """The labels of pictures, each with at least one class."""
    most = max((len(classes) for classes in present), default=1)
    if most == 1:
        return torch.tensor([classes[0] for classes in present], dtype=torch.long)
    rows = [[*classes, *[NO_CLASS] * (most - len(classes))] for classes in present]
    return torch.tensor(rows, dtype=torch.long)


def present_classes(sample: Sample, index_of: Mapping[str, int]) -> tuple[int, ...]:
    """The indices of the sample's classes that are known, each once, in their order."""
    return tuple(dict.fromkeys(index_of[name] for name in sample.class_names if name in index_of))


def is_present(labels: Int[Tensor, "n ..."], classes: int) -> Bool[Tensor, "n c"]:
    """Whether each of so many classes is in each picture."""
    rows = labels[:, None] if labels.ndim == 1 else labels
    present = torch.zeros(len(rows), classes + 1, dtype=torch.bool, device=rows.device)
    # Entries behind the last class of a row go to a column of their own, which is cut off.
    return present.scatter_(1, torch.where(rows == NO_CLASS, classes, rows), True)[:, :classes]


def is_right(answers: Int[Tensor, " n"], labels: Int[Tensor, "n ..."]) -> Bool[Tensor, " n"]:
    """Whether each picture's answer is one of its classes."""
    return answers == labels if labels.ndim == 1 else (answers[:, None] == labels).any(dim=1)


def shares(labels: Int[Tensor, "n ..."], classes: int) -> Float[Tensor, "n c"]:
    """The target of a softmax: 1 over the number of a picture's classes for each of them, 0 for the others."""
    present = is_present(labels, classes).float()
    return present / present.sum(dim=1, keepdim=True)
