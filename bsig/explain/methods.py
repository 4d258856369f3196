"""The choice between the CAM variants: what each one shows, which ones a head allows, how negative weights are treated.

`CAM_METHODS` and `TREATMENTS` are read by screen, command line, evaluation and README. The equations are in `cams.py`.

A head is explained with CAM wherever CAM is exact: its map's mean plus the bias is the logit. Where it is not:

- a head that sees only the mean over the grid (ConvNeXt, MobileNetV3): Grad-CAM. The gradient is then the same on every
  cell, so HiResCAM draws the very same map; Grad-CAM also has a weight for each channel, and the sign of that weight
  can be read (`bsig.explain.diagnostics.sign_collapse`).
- any other (VGG, a transformer's last block, max pooling): HiResCAM. The gradient differs from cell to cell; averaging
  it, as Grad-CAM does, can give a cell evidence that it did not bring (Draelos and Carin 2020, arXiv 2011.08891).
  Behind a pooling that only chooses and averages (max, avgmax, catavgmax) HiResCAM's sum plus the bias is the logit.

The treatment `nonnegative` is the negative weight clamping of Bae, Noh and Kim, "Rethinking Class Activation Mapping
for Weakly Supervised Object Localization", ECCV 2020; `paper` gives it to the sigmoid branch alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from bsig.explain.cams import (
    Branch,
    Score,
    ablation_cam_weights,
    cam_weights,
    eigen_cam_map,
    grad_cam_plus_plus_weights,
    grad_cam_weights,
    hires_cam_weights,
    layer_cam_weights,
    score_cam_weights,
    weighted_map,
    xgrad_cam_weights,
)
from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead

TREATMENTS: dict[str, str] = {
    "signed": "Both branches keep the sign of their weights: evidence for and against.",
    "nonnegative": "Both branches set negative weights to zero before the map is summed: only what speaks for the "
    "class is left.",
    "paper": "As the published code draws it: the sigmoid branch sets negative weights to zero, softmax keeps its "
    "sign; the two maps then differ by treatment as well as by branch.",
}


@dataclass(frozen=True)
class CamMethod:
    """One CAM variant: how its weights come about and what its map can and cannot show.

    Attributes:
        weights: None for Eigen-CAM, which has none.
        unit: of the map's values.
        shows_negative: whether a map can hold evidence against a class.
        note: one line for the screen.
        is_slow: the network is run again for each channel.
    """

    key: str
    title: str
    weights: Callable[[Score], Tensor] | None
    unit: str
    shows_negative: bool
    note: str
    is_slow: bool = False


CAM_METHODS: dict[str, CamMethod] = {
    method.key: method
    for method in (
        CamMethod("cam", "CAM", cam_weights, "logits", True,
                  "The linear layer's own weights; the map's mean plus the bias is the logit."),
        CamMethod("grad-cam", "Grad-CAM", grad_cam_weights, "logits per cell", True,
                  "Gradient averaged over the grid; for this kind of head CAM divided by the number of cells."),
        CamMethod("grad-cam++", "Grad-CAM++", grad_cam_plus_plus_weights, "logits per cell", False,
                  "Positive gradients only: cannot show evidence against the class."),
        CamMethod("xgrad-cam", "XGrad-CAM", xgrad_cam_weights, "logits per cell", True,
                  "Gradient averaged where the channel is active."),
        CamMethod("layer-cam", "LayerCAM", layer_cam_weights, "logits per cell", False,
                  "Positive gradients cell by cell: cannot show evidence against the class."),
        CamMethod("hires-cam", "HiResCAM", hires_cam_weights, "logits per cell", True,
                  "Gradient times feature, cell by cell."),
        CamMethod("ablation-cam", "Ablation-CAM", ablation_cam_weights, "feature units, weighted by relative drop",
                  True, "How much of the branch's own logit is lost without each channel; each branch is relative to "
                  "itself."),
        CamMethod("score-cam", "Score-CAM", score_cam_weights, "feature units, weights sum to one", False,
                  "Slow: runs the whole network once a channel. Cannot show evidence against the class.", is_slow=True),
        CamMethod("eigen-cam", "Eigen-CAM", None, "feature units", True,
                  "First principal component of the features: no class, no branch, sign by convention. Both maps are "
                  "equal."),
    )
}  # fmt: skip


def signed_map(
    method: CamMethod, score: Score, *, clamp_weights: bool = False
) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b k"] | None]:
    """The map of one method and the channel weights that made it (None where the method has none).

    `clamp_weights` sets negative weights to zero before the sum: `relu(w) . F`, which is not `relu(w . F)`.
    """
    if method.weights is None:
        return eigen_cam_map(score.features), None
    weights = method.weights(score)
    if clamp_weights:
        weights = weights.clamp(min=0)
    return weighted_map(weights, score.features), weights if weights.ndim == 2 else None


def clamps_weights(treatment: str, branch: Branch) -> bool:
    """Whether a treatment sets a branch's negative weights to zero; `TREATMENTS` says it in words.

    Raises:
        InputError: no such treatment.
    """
    if treatment not in TREATMENTS:
        raise InputError(f"`weights` (='{treatment}') must be one of {', '.join(TREATMENTS)}.")
    return treatment == "nonnegative" or (treatment == "paper" and branch == "sigmoid")


def cam_method(key: str) -> CamMethod:
    """The entry of `CAM_METHODS`; raises `InputError` where there is none."""
    if key not in CAM_METHODS:
        raise InputError(f"`method` (='{key}') must be one of {', '.join(CAM_METHODS)}.")
    return CAM_METHODS[key]


def default_method(head: ClassificationHead) -> str:
    """The key of `CAM_METHODS` that a head is explained with unless a visitor chooses another."""
    if head.cam_is_exact:
        return "cam"
    return "grad-cam" if head.pools_first else "hires-cam"


def methods_of(head: ClassificationHead) -> list[str]:
    """The keys of `CAM_METHODS` that a head allows; the first is its default."""
    first = default_method(head)
    rest = [key for key in CAM_METHODS if key != first and (key != "cam" or head.cam_is_exact)]
    return [first, *rest]


def why_not_cam(head: ClassificationHead) -> str:
    """One or two sentences that say why a head has no CAM and what is shown instead; empty where CAM is exact."""
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


def require_exact(cam_is_exact: bool, subject: str) -> None:
    """Refuses a head that is not an average pool and one linear layer; `subject` begins the sentence: "Painting a map".

    Raises:
        InputError: the head is another.
    """
    if not cam_is_exact:
        raise InputError(
            f"{subject} needs a head of average pool and one linear layer, where maps and logits are the same weights; "
            "this model's head is not: choose another checkpoint."
        )
