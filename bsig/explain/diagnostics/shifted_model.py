"""A dual-branch model with one vector added to every class row of its heads, and an encoded picture seen through it.

The shifted softmax head is the same classifier on every picture: same probabilities, same predictions, other heatmaps
(Oh and Noh, BMVC 2025, arXiv 2511.05590, section 3). Nothing here uses that theorem: the shifted heads are really
formed and really run, so that what the screen prints is measured.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bsig.explain.explainer import EncodedImage
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch


def shifted_model(model: DualBranch, vector: Float[Tensor, " k"], *, shift_sigmoid: bool = True) -> DualBranch:
    """The model with `v` added to every class row of both heads; the encoder is shared, the model is not changed.

    `vector` is in the unit of the head's weights; without `shift_sigmoid` the sigmoid branch stays as it is.

    Raises:
        InputError: the vector does not fit the head or is not finite.
    """
    weight = model.softmax_head.last_linear.weight
    if vector.shape != weight.shape[1:] or not bool(vector.isfinite().all()):
        raise InputError(
            f"`vector` (={tuple(vector.shape)}) must hold {weight.shape[1]} finite numbers, one for each input of the "
            "head's last linear layer."
        )
    classifier = model.classifier(head=model.softmax_head.shifted(vector))
    sigmoid_head = model.sigmoid_head.shifted(vector) if shift_sigmoid else copy.deepcopy(model.sigmoid_head)
    # A shift of the sigmoid branch moves its logits, so that its calibration no longer holds.
    presence = None if shift_sigmoid else model.presence
    return DualBranch(classifier, sigmoid_head, presence=presence, name=model.name)


def shifted_image(encoded: EncodedImage, vector: Float[Tensor, " k"]) -> EncodedImage:
    """The same picture and features under both shifted heads; the backbone does not run."""
    model = shifted_model(encoded.model, vector)
    with torch.no_grad():
        features = encoded.head_features
        softmax, sigmoid = model.softmax_logits(features)[0], model.sigmoid_logits(features)[0]
    return replace(encoded, model=model, softmax_logits=softmax, sigmoid_logits=sigmoid, _masked={})


def doctored_model(model: DualBranch, vector: Float[Tensor, " k"], how: str) -> tuple[DualBranch, dict[str, Any]]:
    """The same classifier with a doctored explanation, and what its `checkpoint.json` says of that.

    Only the softmax head is shifted; every probability of every picture stays what it was up to rounding.
    """
    description = {
        "is_doctored": True,
        "what": "One vector was added to every class row of the softmax head. Its probabilities are unchanged on every "
        "picture; its softmax heatmaps are not the original model's. Made to show that they can be moved at will.",
        "how": how,
        "from_checkpoint": model.name,
        "from_sha256": model.metadata.get("tensors_sha256"),
        "shift_norm": float(vector.norm()),
    }
    return shifted_model(model, vector, shift_sigmoid=False), description
