"""Which networks a public app loads for a stranger: timm's own names, up to a size. No paths, no hub addresses.

A name decides what is downloaded and how much memory is taken, so both are known before anything is loaded.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import timm
import torch

from bsig.inputs.errors import InputError
from bsig.model.backbones import DEFAULT_BACKBONE
from bsig.ui.server.limits import ELSEWHERE, Limits


@cache
def pretrained_names() -> list[str]:
    """Timm's names with published weights, the installed one first."""
    return [DEFAULT_BACKBONE, *timm.list_pretrained()]


def check_backbone(limits: Limits, name: str) -> None:
    """Refuses what a stranger may not have loaded; everything is allowed where there are no strangers.

    Raises:
        InputError: not one of timm's names, or a network that is too large.
    """
    if not limits.is_public or name == DEFAULT_BACKBONE:
        return
    if name not in _known():
        raise InputError(
            f"`backbone` (='{name}') must be one of timm's own names with published weights in this public app, no "
            f"path and no hub address; choose one from the list, {ELSEWHERE}."
        )
    if limits.model_weights is not None:
        limits.check("weights", weights_of(name), limits.model_weights, f"choose a smaller backbone than '{name}'")


def check_description(limits: Limits, said: dict[str, Any]) -> None:
    """The same of a checkpoint's description.

    Raises:
        InputError: as `check_backbone`.
    """
    backbone = said.get("backbone")
    name = backbone.get("name") if isinstance(backbone, dict) else backbone
    check_backbone(limits, str(name))


@lru_cache(maxsize=256)
def weights_of(name: str) -> int:
    """How many parameters a network of timm's has, without making any of them.

    Raises:
        InputError: it cannot be said.
    """
    try:
        with torch.device("meta"):
            network = timm.create_model(name, pretrained=False)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            f"`backbone` (='{name}') cannot be measured before it is loaded; choose another, {ELSEWHERE}."
        ) from error
    return sum(parameter.numel() for parameter in network.parameters())


@cache
def _known() -> frozenset[str]:
    names = pretrained_names()
    return frozenset([*names, *(name.split(".")[0] for name in names)])
