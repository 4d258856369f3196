"""A head with the row of each class moved towards the mean row of its most similar classes.

    N_c = the `count` classes j whose centred rows W_j - mean_i W_i have the largest cosine with that of c
    W'_c = (1 - share) W_c + share * mean of W_j over j in N_c,        b' alike

A row of a classifier is taught to tell its class from its siblings, so its map dwells on what sets a dog breed apart
and leaves out what all dogs have in common. The mean row of its siblings is evidence for the dog as a whole and none
for what stands beside it: the map covers more of its own object and no more of another. Finer-CAM (arXiv 2501.11309)
subtracts the same rows, for the opposite aim. What it costs: the map of a sibling that is not there grows alike.

No picture, label or step of a training is needed. It is where a `full` branch starts from.
The formula stands as plain loops in tests/reference.py.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead
from bsig.training.config import SimilarClassesConfig

DEFAULT = SimilarClassesConfig()
ROWS_AT_ONCE = 1024


@torch.no_grad()
def similar_classes(weight: Float[Tensor, "c k"], count: int = DEFAULT.count) -> Int[Tensor, "c n"]:
    """Returns the `count` classes most similar to each, the most similar first, by the cosine of centred rows.

    Rows are centred because softmax leaves one vector common to all of them open: it plays no part here.

    Raises:
        InputError: not so many other classes.
    """
    if count >= len(weight):
        raise InputError(
            f"`similar_classes_count` (={count}) must be below the number of classes (={len(weight)}); lower it."
        )
    rows = F.normalize(weight - weight.mean(dim=0))
    numbers = torch.arange(len(rows), device=rows.device)
    parts = []
    for block in numbers.split(ROWS_AT_ONCE):
        cosines = rows[block] @ rows.T
        cosines[torch.arange(len(block), device=rows.device), block] = -torch.inf  # no class is similar to itself
        parts.append(cosines.topk(count, dim=1).indices)
    return torch.cat(parts)


def mixed_with_similar(head: ClassificationHead, config: SimilarClassesConfig = DEFAULT) -> ClassificationHead:
    """Returns a copy of the head whose last layer is mixed, rows and biases.

    Raises:
        InputError: as `similar_classes`.
    """
    mixed = copy.deepcopy(head)
    linear = mixed.last_linear
    near = similar_classes(linear.weight, config.count)
    for parameter in (linear.weight, linear.bias):
        if parameter is not None:
            # A block of classes at a time: all the rows of all lists at once would be `count` heads.
            means = [parameter.detach()[block].mean(dim=1) for block in near.split(ROWS_AT_ONCE)]
            parameter.data.lerp_(torch.cat(means), config.share)
    return mixed
