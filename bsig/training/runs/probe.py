"""What is looked at after every epoch: a probe picture's map as it forms, and how much of absent classes is left.

    watched = Watched.of(model, probe, class_name, pictures)     encodes a few pictures once
    watched.areas(head), watched.probe_map(head)                 any sigmoid head, from the stored features

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
from bsig.explain.explainer import EncodedImage, Explainer, find_class
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
class Watched:
    """Encoded pictures and the classes that are asked for.

    Attributes:
        probe: the probe picture, or None.
        probe_index: its class.
        features: (n, k, h, w) of the watched pictures.
        class_index: (n, 1 + a): the predicted class, then absent ones.
        method: key of the CAM variant.
    """

    probe: EncodedImage | None
    probe_index: int
    features: Tensor
    class_index: Tensor
    method: str

    @classmethod
    def of(
        cls,
        model: DualBranch,
        probe: Image.Image | None,
        probe_class: str | None,
        pictures: Sequence[Image.Image],
        method: str | None = None,
    ) -> Watched:
        """Encodes the probe and the first `PICTURES` pictures; needs one of the two.

        "Absent" are random classes without the ten that either branch finds likeliest in that picture; nobody has
        looked for them. A class that the model does not have leaves the probe at its prediction.
        """
        explainer = Explainer(model)
        encoded = [explainer.encode(picture) for picture in pictures[:PICTURES]]
        seen = explainer.encode(probe) if probe else None
        encoded = encoded or ([seen] if seen else [])
        if not encoded:
            raise InputError("`pictures` (none) must hold at least one, or a probe picture must be given.")
        rows = [_asked_classes(one, position) for position, one in enumerate(encoded)]
        fewest = min(map(len, rows))
        return cls(
            seen,
            _class_or_predicted(seen, probe_class) if seen else 0,
            torch.cat([one.head_features for one in encoded]),
            torch.tensor([row[:fewest] for row in rows], device=model.device),
            method or default_method(model.softmax_head),
        )

    def areas(self, head: ClassificationHead) -> Areas:
        """Positive areas of one head over the watched pictures."""
        count, asked = self.class_index.shape
        features = self.features.repeat_interleave(asked, dim=0)
        positive = (_maps(head, features, self.class_index.flatten(), self.method) > 0).float().mean(dim=(1, 2))
        shares = positive.view(count, asked)
        return Areas(float(shares[:, 0].mean()), float(shares[:, 1:].mean()) if asked > 1 else 0.0)

    def probe_map(self, head: ClassificationHead) -> Float32[np.ndarray, "h w"] | None:
        """The probe's signed map of its class under this head, in logits; None without a probe."""
        if self.probe is None:
            return None
        index = torch.tensor([self.probe_index], device=self.probe.features.device)
        return _maps(head, self.probe.head_features, index, self.method)[0].detach().float().cpu().numpy()


def _asked_classes(encoded: EncodedImage, position: int) -> list[int]:
    present = {*encoded.top_classes("softmax", LIKELIEST_LEFT_OUT), *encoded.top_classes("sigmoid", LIKELIEST_LEFT_OUT)}
    others = absent_classes(encoded.model.num_classes, sorted(present), ABSENT_PER_PICTURE, seed=position)
    if not others:  # fewer classes than are left out: all that is not predicted
        others = absent_classes(encoded.model.num_classes, [encoded.predicted_index], ABSENT_PER_PICTURE, seed=position)
    return [encoded.predicted_index, *others]


def _class_or_predicted(encoded: EncodedImage, wanted: str | None) -> int:
    try:
        return find_class(encoded.model, wanted) if wanted else encoded.predicted_index
    except InputError:
        return encoded.predicted_index


def _maps(
    head: ClassificationHead, features: Float[Tensor, "b k h w"], class_index: Tensor, method: str
) -> Float[Tensor, "b h w"]:
    scores = class_scores_of(class_index, head.last_linear.out_features, centred=False, dtype=features.dtype)
    return signed_map(cam_method(method), head_score(head, features, scores), clamp_weights=False)[0]
