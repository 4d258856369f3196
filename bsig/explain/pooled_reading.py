"""A reading of many pictures and classes at once, for average pool + linear heads: what fits and evaluations ask for.

    PooledReading(model, "finer", settings_of(model, "finer")).maps("sigmoid", maps, features, classes)

Equals `EncodedImage.explain` picture by picture (tests/evaluation/test_gates.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.explain.cams import Branch
from bsig.explain.readings import READINGS, ReadingInputs, cell_logits_of, dissimilar, log_presence
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead


@dataclass(frozen=True)
class PooledReading:
    """A reading with its settings.

    Attributes:
        model: average pool + linear heads.
        key: in `READINGS`; not one that needs a second class.
    """

    model: DualBranch = field(repr=False)
    key: str
    settings: Mapping[str, float]

    def maps(
        self,
        branch: Branch,
        maps: Float[Tensor, "b m h w"],
        features: Float[Tensor, "b k h w"],
        classes: Int[Tensor, "b m"],
    ) -> Float[Tensor, "b m h w"]:
        """CAM's signed maps (without bias) of `m` classes of each picture, as the reading has them, in logits.

        `branch` is softmax's or the sigmoid branch; `features` are of the pictures.
        """
        model = self.model
        inputs = ReadingInputs(
            branch, maps, classes, model.softmax_logits(features), model.sigmoid_logits(features), cells=1,
            cell_logits=partial(self._cell_logits, features), score_maps=partial(self._score_maps, branch, features),
            log_presence=partial(log_presence, model),
            rivals=partial(dissimilar, model.softmax_head.last_linear.weight.detach(), classes),
            settings=self.settings,
        )  # fmt: skip
        return READINGS[self.key].read(inputs)

    def _head(self, branch: Branch) -> ClassificationHead:
        return self.model.sigmoid_head if branch == "sigmoid" else self.model.softmax_head

    def _cell_logits(self, features: Float[Tensor, "b k h w"], branch: Branch) -> Float[Tensor, "b c h w"]:
        return cell_logits_of(self._head(branch), features)

    def _score_maps(
        self, branch: Branch, features: Float[Tensor, "b k h w"], scores: Float[Tensor, "b m c"], with_bias: bool
    ) -> Float[Tensor, "b m h w"]:
        linear = self._head(branch).last_linear
        maps = torch.einsum("bmk,bkhw->bmhw", scores @ linear.weight.detach(), features)
        return maps + (scores @ linear.bias.detach())[:, :, None, None] if with_bias else maps
