"""Seconds as a person would say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """'under 1 s', '48 s', '12 min', '3.4 h'."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
