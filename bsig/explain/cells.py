"""What each cell of the grid says by itself: the logits it would have alone, and the classes that speak loudest there.

    cells = cell_evidence(encoded, [574, 285])
    cells.softmax_logits[0], cells.softmax_classes[3, 2], cells.alone[0, 3, 2]

For a head of average pool and one linear layer the logit is the mean over the grid of `W F(x) + b`. So `W F(x) + b` is
the logit that the branch would give if the whole picture looked like cell `x`, and its softmax is what softmax would
say of that cell alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from bsig.explain.cams import TrainedBranch
from bsig.explain.explainer import EncodedImage


@dataclass(frozen=True)
class CellEvidence:
    """Every cell's own logits.

    Attributes:
        softmax_logits, sigmoid_logits: (n, h, w), `W_c F(x) + b_c` of the classes that were asked for.
        alone: (n, h, w), the softmax probability of these classes if the whole picture looked like the cell.
        softmax_classes, sigmoid_classes: (h, w, m), the classes with the highest logits in each cell, highest first.
    """

    softmax_logits: Float[Tensor, "n h w"]
    sigmoid_logits: Float[Tensor, "n h w"]
    alone: Float[Tensor, "n h w"]
    softmax_classes: Int[Tensor, "h w m"]
    sigmoid_classes: Int[Tensor, "h w m"]

    def logits(self, branch: TrainedBranch) -> Float[Tensor, "n h w"]:
        """The branch's own logits of every cell."""
        return self.softmax_logits if branch == "softmax" else self.sigmoid_logits


def cell_evidence(encoded: EncodedImage, classes: Sequence[int], most: int = 3) -> CellEvidence | None:
    """The cells' own logits of some classes, and each cell's `most` loudest classes of all.

    None for a head whose logit is not a mean over cells: there a cell has no logit of its own.
    """
    model = encoded.model
    if not (model.softmax_head.cam_is_exact and model.sigmoid_head.cam_is_exact):
        return None
    softmax, sigmoid = encoded.cell_logits("softmax")[0], encoded.cell_logits("sigmoid")[0]
    rows, most = list(classes), min(most, model.num_classes)
    return CellEvidence(
        softmax_logits=softmax[rows],
        sigmoid_logits=sigmoid[rows],
        alone=softmax.softmax(dim=0)[rows],
        softmax_classes=softmax.topk(most, dim=0).indices.permute(1, 2, 0),
        sigmoid_classes=sigmoid.topk(most, dim=0).indices.permute(1, 2, 0),
    )
