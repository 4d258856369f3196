"""Files that hold no weights that can be used: each is refused in one sentence with what blocks it and the remedy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from own_weights import network, saved, tensors

from bsig.inputs.errors import UNPRINTABLE, InputError
from bsig.model.backbones import OWN_OPTIONS
from bsig.model.model_settings import NO_SETTINGS
from bsig.model.network_fit import fitted_network
from bsig.model.weight_files import read_weights


def _scripted(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), str(path))


def _with_nan(path: Path) -> None:
    state = tensors()
    state["fc.weight"][0, 0] = float("nan")
    torch.save(state, path)


def _quantized(path: Path) -> None:
    torch.save(tensors() | {"fc._packed_params._packed_params": (torch.ones(3), None)}, path)


BLOCKED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a NumPy number": (
        lambda path: torch.save({"state_dict": tensors(), "best": np.float64(0.9)}, path),
        "multiarray.scalar", "torch.save(torch.load(",
    ),
    "a whole network": (lambda path: torch.save(network(), path), "(timm.models.resnet)", "model.state_dict()"),
    "a script": (_scripted, "TorchScript", "model.state_dict()"),
    "quantized": (_quantized, "quantized weights", "before it was quantized"),
    "NaN": (_with_nan, "NaN or infinite numbers in 'fc.weight'", "take an earlier one"),
    "cut short": (lambda path: (torch.save(tensors(), path), path.write_bytes(path.read_bytes()[:5000])),
                  "cannot be read", "again"),
    "empty": (lambda path: path.write_bytes(b""), "empty (0 bytes)", "copy it again"),
    "a web page": (lambda path: path.write_text("<!DOCTYPE html><html>404"), "web page", "download the file itself"),
    "Git LFS": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
                "pointer of Git LFS", "git lfs pull"),
    "JSON": (lambda path: path.write_text('{"weight_map": {}}'), "JSON file", "file of weights itself"),
    "no tensors": (lambda path: torch.save({"epoch": 3}, path), "holds no tensors by name", "state_dict"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BLOCKED)
def test_it_is_said_what_blocks_a_file_and_what_to_do(kind: str, tmp_path: Path) -> None:
    write, reason, remedy = BLOCKED[kind]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(InputError) as caught:
        fitted_network("test_resnet", read_weights(path), OWN_OPTIONS, NO_SETTINGS)
    sentence = str(caught.value)
    assert reason in sentence
    assert remedy in sentence
    assert not UNPRINTABLE.search(sentence)
    assert "[1m" not in sentence
    assert str(tmp_path) not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("suffix", [".onnx", ".h5", ".npz", ".tflite"])
def test_weights_of_another_framework_are_refused_by_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(InputError, match="give PyTorch's weights"):
        read_weights(path)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = saved(tensors(), tmp_path, "net.safetensors")
    renamed = path.rename(tmp_path / "net.bin")
    assert read_weights(renamed).groups[""].keys() == tensors().keys()
