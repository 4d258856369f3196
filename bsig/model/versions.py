"""Versions of the libraries that maps and weights depend on; every record of results names them."""

from __future__ import annotations

import platform

import torch


def library_versions() -> dict[str, str]:
    """Version numbers by name: python, torch, timm."""
    import timm

    return {"python": platform.python_version(), "torch": torch.__version__, "timm": timm.__version__}
