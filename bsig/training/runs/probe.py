"""A probe picture's map and the positive area of absent classes, after every epoch.

    probe = Probe.of(model, picture, class_name, pictures)     encodes a few pictures once
    probe.areas(head), probe.picture_map(head)                 any sigmoid head, from the stored features

Loss and accuracy say that a branch learns; these say what that does to the maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor

from bsig.explain.cams import class_scores_of, head_score
from bsig.explain.diagnostics.absent_classes import absent_classes
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.methods import cam_method, default_method, signed_map
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead

ABSENT_PER_PICTURE = 12
LIKELIEST_LEFT_OUT = 10
PICTURES = 11


@dataclass(frozen=True)
class Areas:
    """Mean share of cells above zero, 0 to 1: of the classes that the softmax branch sees, and of absent ones."""

    own: float
    absent: float


@dataclass(frozen=True)
class Probe:
    """Encoded pictures, and the classes of the maps that are drawn after every epoch.

    Attributes:
        picture: its map is shown; None where there is none.
        features: (n, k, h, w) of the pictures that areas are taken over.
        class_index: (n, 1 + a): the predicted class, then absent ones.
        method: key of the CAM variant.
    """

    picture: EncodedImage | None
    picture_class: int
    features: Tensor
    class_index: Tensor
    method: str

    @classmethod
    def of(
        cls,
        model: DualBranch,
        picture: Image.Image | None,
        class_name: str | None,
        pictures: Sequence[Image.Image],
        method: str | None = None,
    ) -> Probe:
        """Encodes the picture and the first `PICTURES` others; needs one of the two.

        "Absent" are random classes without the ten that either branch finds likeliest in that picture; nobody has
        looked for them. A class that the model does not have leaves the picture at its prediction.

        Raises:
            InputError: neither a picture nor others.
        """
        explainer = Explainer(model)
        encoded = [explainer.encode(other) for other in pictures[:PICTURES]]
        encoded_picture = explainer.encode(picture) if picture else None
        picture_class = encoded_picture.class_or_predicted(class_name) if encoded_picture else 0
        encoded = encoded or ([encoded_picture] if encoded_picture else [])
        if not encoded:
            raise InputError("`pictures` (none) must hold at least one, or a probe picture must be given.")
        rows = [_predicted_and_absent(each, position) for position, each in enumerate(encoded)]
        fewest = min(map(len, rows))
        return cls(
            encoded_picture,
            picture_class,
            torch.cat([each.head_features for each in encoded]),
            torch.tensor([row[:fewest] for row in rows], device=model.device),
            method or default_method(model.softmax_head),
        )

    def areas(self, head: ClassificationHead) -> Areas:
        """Returns positive areas of one head over the pictures."""
        count, classes = self.class_index.shape
        features = self.features.repeat_interleave(classes, dim=0)
        positive = (_maps(head, features, self.class_index.flatten(), self.method) > 0).float().mean(dim=(1, 2))
        shares = positive.view(count, classes)
        return Areas(float(shares[:, 0].mean()), float(shares[:, 1:].mean()) if classes > 1 else 0.0)

    def picture_map(self, head: ClassificationHead) -> Float32[np.ndarray, "h w"] | None:
        """Returns the picture's signed map of its class under this head, in logits; None without a picture."""
        if self.picture is None:
            return None
        index = torch.tensor([self.picture_class], device=self.picture.features.device)
        return _maps(head, self.picture.head_features, index, self.method)[0].detach().float().cpu().numpy()


def _predicted_and_absent(encoded: EncodedImage, position: int) -> list[int]:
    present = {*encoded.top_classes("softmax", LIKELIEST_LEFT_OUT), *encoded.top_classes("sigmoid", LIKELIEST_LEFT_OUT)}
    classes = range(encoded.model.num_classes)
    others = absent_classes(classes, present, ABSENT_PER_PICTURE, position=position)
    if not others:  # fewer classes than are left out: all that is not predicted
        others = absent_classes(classes, [encoded.predicted_index], ABSENT_PER_PICTURE, position=position)
    return [encoded.predicted_index, *others]


def _maps(
    head: ClassificationHead, features: Float[Tensor, "b k h w"], class_index: Tensor, method: str
) -> Float[Tensor, "b h w"]:
    scores = class_scores_of(class_index, head.last_linear.out_features, centred=False, dtype=features.dtype)
    return signed_map(cam_method(method), head_score(head, features, scores), clamp_weights=False)[0]
