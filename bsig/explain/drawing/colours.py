"""The colours of the drawings: the scales of maps, the paper and ink of panels.

A map's scale has two views. `positive`: from zero up to the limit; everything below zero looks like zero. `signed`:
from `-limit` to `limit` with a diverging map, neutral at exactly zero (Moreland 2009). Jet is not offered: its bands
are not in the data (Crameri et al. 2020, "The misuse of colour in science communication").
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from bsig.inputs.errors import InputError

View = Literal["positive", "signed"]

SEQUENTIAL_COLORMAPS: dict[str, str] = {
    "inferno": "Inferno",
    "viridis": "Viridis",
    "cividis": "Cividis (made for colour-blind viewers)",
    "magma": "Magma",
    "turbo": "Turbo (the look of the literature; not perceptually uniform)",
}
DIVERGING_COLORMAPS: dict[str, str] = {
    "RdBu_r": "Red for, blue against",
    "PuOr_r": "Orange for, purple against",
}
COLORMAPS: dict[str, str] = {**SEQUENTIAL_COLORMAPS, **DIVERGING_COLORMAPS}
VIEWS: dict[View, str] = {
    "positive": "Evidence for the class, from zero up",
    "signed": "Evidence for and against, zero is neutral",
}

INK, PAPER, QUIET, RULE, TINT = "#1b1f24", "#ffffff", "#57606a", "#d0d7de", "#eef2f7"
NOTICE_INK, NOTICE_PAPER = "#f2f4f7", "#16191d"


def colormap_of(view: View, colormap: str | None = None) -> str:
    """The key of `COLORMAPS` that a view is drawn with: `colormap` where it suits the view, else the view's default.

    The signed view takes a diverging map, the positive one a sequential map; so one choice on a screen can stay while
    the view changes.

    Raises:
        InputError: no such colour map or view.
    """
    if colormap is not None and colormap not in COLORMAPS:
        raise InputError(f"`colormap` (='{colormap}') must be one of {', '.join(COLORMAPS)}.")
    if view not in VIEWS:
        raise InputError(f"`view` (='{view}') must be one of {', '.join(VIEWS)}.")
    suitable = SEQUENTIAL_COLORMAPS if view == "positive" else DIVERGING_COLORMAPS
    return colormap if colormap in suitable else next(iter(suitable))


@lru_cache(maxsize=16)
def colour_table(view: View, colormap: str) -> UInt8[np.ndarray, "n 3"]:
    """RGB from one end of the scale to the other; an odd number for `signed`, so that zero has a colour of its own."""
    from matplotlib import colormaps

    count = 256 if view == "positive" else 255
    table = colormaps[colormap].resampled(count)(np.arange(count), bytes=True)
    return np.ascontiguousarray(table[:, :3])
