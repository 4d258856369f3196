"""Which CAM variant a head is explained with unless another is asked for, and why.

CAM, wherever it is exact: its map's mean plus the bias is the logit. Where it is not:

- a head that sees only the mean over the grid (ConvNeXt, MobileNetV3): Grad-CAM. The gradient is then the same on every
  cell, so HiResCAM draws the very same map, and Grad-CAM has a weight for each channel beside it, whose sign can be
  read (`bsig.explain.diagnostics.sign_collapse`).
- any other (VGG, a transformer's last block, max pooling): HiResCAM. The gradient differs from cell to cell; averaging
  it, as Grad-CAM does, can give a cell evidence that it did not bring (Draelos and Carin 2020, arXiv 2011.08891).
  Behind a pooling that only chooses and averages (max, avgmax, catavgmax) HiResCAM's sum plus the bias is the logit.
"""

from __future__ import annotations

from bsig.explain.cams import CAM_METHODS
from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead


def default_method(head: ClassificationHead) -> str:
    """The key of `CAM_METHODS` that a head is explained with."""
    if head.cam_is_exact:
        return "cam"
    return "grad-cam" if head.pools_first else "hires-cam"


def methods_of(head: ClassificationHead) -> list[str]:
    """The keys of `CAM_METHODS` that a head allows, its default first."""
    first = default_method(head)
    rest = [key for key in CAM_METHODS if key != first and (key != "cam" or head.cam_is_exact)]
    return [first, *rest]


def why_not_cam(head: ClassificationHead) -> str:
    """One or two sentences: why CAM is not offered for this head and what is shown in its place; empty where it is."""
    if head.cam_is_exact:
        return ""
    if head.pools_first:
        zero = (
            " A norm behind the pool makes every map's mean zero: read where the evidence is, not how much."
            if head.maps_balance
            else ""
        )
        return (
            "CAM needs average pooling and one linear layer; this head has more layers behind the pool, so Grad-CAM, "
            f"whose gradient is here the same on every cell, is the default.{zero}"
        )
    return (
        "CAM needs average pooling and one linear layer; this head looks at the cells in another way, so HiResCAM, "
        "which takes the gradient of each cell for itself, is the default."
    )


def require_exact(head: ClassificationHead, what: str) -> None:
    """Refuses what only a head of average pool and one linear layer allows.

    Raises:
        InputError: the head is another.
    """
    if not head.cam_is_exact:
        raise InputError(
            f"{what} needs a head of average pool and one linear layer, where maps and logits are the same weights; "
            "this model's head is not: choose another checkpoint."
        )
