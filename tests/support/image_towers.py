"""Small image towers of CLIP and SigLIP: timm's own classes with random weights, as files of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from bsig.model.model_settings import ModelSettings

SIDE = 64
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": SIDE}
CLIP = "vit_base_patch16_clip_224.laion2b"  # class token, then a projection to 512
SIGLIP = "vit_base_patch16_siglip_224"  # attention pooling, no projection
SIGLIP_GAP = "vit_base_patch16_siglip_gap_224"  # average of tokens, no projection
EVA = "eva02_base_patch16_clip_224.merged2b"  # class token, rotary positions, projection to 512
TOWERS = {CLIP: 512, SIGLIP: 32, SIGLIP_GAP: 32, EVA: 512}
SETTINGS = ModelSettings(model_kwargs=tuple(sorted(SMALL.items())))


def randomised(network: Any) -> Any:
    """The network with random numbers in every tensor: timm starts some projections at zero."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return network.eval()


def tower(name: str) -> Any:
    """A small tower of timm's."""
    return randomised(timm.create_model(name, **SMALL))


def weights_file(network: Any, folder: Path) -> Path:
    """The tower's state dict on disk."""
    path = folder / "tower.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path
