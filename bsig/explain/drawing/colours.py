"""Every colour of bsig: the scales of maps, the paper and ink of pages and panels, the branches in words and in plots.

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

PAGE: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#14181d"),
    "tint": ("#eef2f7", "#1f262e"),
    "rule": ("#d0d7de", "#38414b"),
    "edge": ("#868f9a", "#76818d"),
    "ink": ("#1b1f24", "#e6edf3"),
    "quiet": ("#57606a", "#a3adb8"),
    "accent": ("#4f46e5", "#a5a8ff"),
    "softmax": ("#c2410c", "#ff9f5a"),
    "sigmoid": ("#3b5bdb", "#91a7ff"),
    "centred": ("#0b7a5e", "#3fd0a5"),
    "shift": ("#9c36b5", "#e599f7"),
    "better": ("#177245", "#69db9c"),
    "worse": ("#c92a2a", "#ff8787"),
}
"""The colours of words, lines and grounds, each on light and on dark paper. Words read on `paper` and on `tint`; an
`edge` is the line around a field, a `rule` one between parts."""
MARKS: dict[str, str] = {
    "softmax": "#e8590c",
    "sigmoid": "#4c6ef5",
    "centred": "#12a37f",
    "shift": "#ae3ec9",
    "for": "#d6604d",
    "against": "#4393c3",
    "lost": "#d6336c",
    "gained": "#12a37f",
    "grey": "#7d8794",
}
"""The colours of points, lines and bars in a plot that is seen on both papers. `for` and `against` are the maps' red
and blue; `lost` and `gained` are the channels whose sign changes."""
INK, PAPER, QUIET, RULE, TINT = (PAGE[name][0] for name in ("ink", "paper", "quiet", "rule", "tint"))
NOTICE_INK, NOTICE_PAPER = "#f2f4f7", "#16191d"


def css_variables(*, dark: bool) -> str:
    """`PAGE` for one of the two papers, `MARKS` and notices as declarations: '--paper: #ffffff; --tint: ...'."""
    declared = {name: pair[dark] for name, pair in PAGE.items()}
    declared |= {f"mark-{name}": colour for name, colour in MARKS.items()}
    declared |= {"notice": NOTICE_PAPER, "notice-ink": NOTICE_INK}
    return " ".join(f"--{name}: {colour};" for name, colour in declared.items())


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
