"""The same model on a grid of twice as many rows and columns: 14 x 14 in place of 7 x 7, from the same weights.

    finer = finer_grid(model)
    finer.encoder, finer.softmax_head, finer.sigmoid_head        the weights of `model`, shared

The last stage keeps its input's grid and spreads its kernels instead (`output_stride=16`, atrous convolution: Yu and
Koltun, ICLR 2016, arXiv 1511.07122). No tensor is loaded or copied. The network takes about 2.5 times as long, and it
is another function of the picture: its logits differ a little from the model's own, on which the branch was trained
and calibrated. So `bsig.explain.explainer.EncodedImage.finer_grid` takes maps from it, and all that is said of the
whole picture from the model's own grid; `presence` belongs to the latter.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import lru_cache
from weakref import WeakKeyDictionary

from bsig.inputs.errors import InputError
from bsig.model.backbones import OWN_OPTIONS, STRIDES, BackboneOptions, can_be_built, classifier_from_timm
from bsig.model.dual_branch import DualBranch

FINER_STAGE = "stride16"
# A finer model goes with the model whose tensors it shares.
_FINER: WeakKeyDictionary[DualBranch, DualBranch] = WeakKeyDictionary()
_MAKING = threading.Lock()


def why_not_finer(model: DualBranch) -> str:
    """Why a model has no finer grid, in one sentence; empty where `finer_grid` can be tried. No network is made."""
    if model.options != OWN_OPTIONS:
        return "Its features are not taken at the backbone's own last feature map."
    if not model.softmax_head.cam_is_exact:
        return "Its head is not an average pool and one linear layer, which take a grid of any size."
    if model.grid_hw is None or finer_grid_hw(model) <= model.grid_hw:
        return "Its own grid is as fine already."
    if not _has_finer_stage(model.backbone_name.split(".")[0]):
        return "timm cannot build its backbone with a finer grid."
    return ""


def finer_grid_hw(model: DualBranch) -> tuple[int, int]:
    """Rows and columns of the finer grid."""
    height, width = model.preprocessing.input_size_hw
    stride = STRIDES[FINER_STAGE]
    return -(-height // stride), -(-width // stride)


def finer_grid(model: DualBranch) -> DualBranch:
    """The model on the finer grid, with all its weights shared; made once and kept as long as the model.

    Raises:
        InputError: the model's features are taken elsewhere, its head needs one size of grid, or its backbone is not
            timm's or has no such grid.
    """
    with _MAKING:
        finer = _FINER.get(model)
        if finer is None or not _is_current(finer, model):
            finer = _FINER[model] = _finer_model(model)
        return finer


def _finer_model(model: DualBranch) -> DualBranch:
    reason = why_not_finer(model)
    if reason:
        raise InputError(f"checkpoint '{model.name}' has no finer grid: {reason}")
    finer = classifier_from_timm(model.backbone_name, pretrained=False, options=BackboneOptions(FINER_STAGE))
    tensors, own = finer.encoder.state_dict(), model.encoder.state_dict()
    if {key: value.shape for key, value in tensors.items()} != {key: value.shape for key, value in own.items()}:
        raise InputError(f"checkpoint '{model.name}' has no finer grid: its backbone is not timm's own network.")
    finer.encoder.load_state_dict(own, assign=True)
    classifier = replace(
        model.classifier(), encoder=finer.encoder, options=finer.options, features_at=finer.features_at,
        grid_hw=finer_grid_hw(model),
    )  # fmt: skip
    readings = {key: _on_finer_cells(settings) for key, settings in model.metadata.get("readings", {}).items()}
    return DualBranch(
        classifier, model.sigmoid_head, shift=model.shift, presence=model.presence, name=model.name,
        metadata={**model.metadata, "readings": readings},
    )  # fmt: skip


def _on_finer_cells(settings: dict[str, float]) -> dict[str, float]:
    """A reading's fitted settings, with a window of as much of the picture: 7 cells become 13."""
    return {key: 2 * value - 1 if key == "cells" else value for key, value in settings.items()}


def _is_current(finer: DualBranch, model: DualBranch) -> bool:
    """Whether the model still has the tensors and the calibration of which the finer one was made."""
    pairs = zip(finer.encoder.parameters(), model.encoder.parameters(), strict=True)
    return (
        all(tensor.data_ptr() == own.data_ptr() for tensor, own in pairs)
        and finer.softmax_head is model.softmax_head
        and finer.sigmoid_head is model.sigmoid_head
        and finer.presence is model.presence
    )


@lru_cache(maxsize=64)
def _has_finer_stage(backbone: str) -> bool:
    return can_be_built(backbone, output_stride=STRIDES[FINER_STAGE])
