"""The same model on a grid of twice as many rows and columns: 14 x 14 in place of 7 x 7, from the same weights.

    finer = finer_grid(model)
    finer.encoder, finer.softmax_head, finer.sigmoid_head        the weights of `model`, shared

The last stage keeps its input's grid and spreads its kernels instead (`output_stride=16`, atrous convolution: Yu and
Koltun, ICLR 2016, arXiv 1511.07122). No tensor is loaded or copied. The network takes about 2.5 times as long, and it
is another function of the picture: logits move a little, so what was calibrated on the coarse grid, presence, is left
out, and the prediction is to be taken from the coarse one.
"""

from __future__ import annotations

from dataclasses import replace

from bsig.inputs.errors import InputError
from bsig.model.backbones import OWN_OPTIONS, BackboneOptions, classifier_from_timm
from bsig.model.dual_branch import DualBranch

FINER_STAGE = "stride16"


def why_not_finer(model: DualBranch) -> str:
    """Why a model has no finer grid, in one sentence; empty where `finer_grid` can be tried."""
    if model.options != OWN_OPTIONS:
        return "Its features are not taken at the backbone's own last feature map."
    if not model.softmax_head.cam_is_exact:
        return "Its head is not an average pool and one linear layer, which take a grid of any size."
    return ""


def finer_grid(model: DualBranch) -> DualBranch:
    """The model on the finer grid, with all its weights shared.

    Raises:
        InputError: the model's features are taken elsewhere, its head needs one size of grid, or its backbone is not
            timm's or has no such grid.
    """
    reason = why_not_finer(model)
    if reason:
        raise InputError(f"checkpoint '{model.name}' has no finer grid: {reason}")
    made = classifier_from_timm(model.backbone_name, pretrained=False, options=BackboneOptions(FINER_STAGE))
    tensors, own = made.encoder.state_dict(), model.encoder.state_dict()
    if {key: value.shape for key, value in tensors.items()} != {key: value.shape for key, value in own.items()}:
        raise InputError(f"checkpoint '{model.name}' has no finer grid: its backbone is not timm's own network.")
    made.encoder.load_state_dict(own, assign=True)
    classifier = replace(
        model.classifier(), encoder=made.encoder, options=made.options, features_at=made.features_at,
        grid_hw=made.grid_hw,
    )  # fmt: skip
    return DualBranch(classifier, model.sigmoid_head, shift=model.shift, name=model.name, metadata=model.metadata)
