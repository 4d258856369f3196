"""Files of weights as people really have them, all of one small network with three classes."""

from __future__ import annotations

import argparse
import copy
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

NETWORK = "test_resnet"
CLASSES = 3


@cache
def network() -> Any:
    """The network itself; never train it."""
    torch.manual_seed(0)
    net = timm.create_model(NETWORK, num_classes=CLASSES).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def tensors() -> dict[str, Tensor]:
    """The network's state dict."""
    return {key: value.clone() for key, value in network().state_dict().items()}


def average() -> dict[str, Tensor]:
    """The same with a last bias that is larger by a half: every logit is."""
    return tensors() | {"fc.bias": tensors()["fc.bias"] + 0.5}


def average_of_parameters() -> dict[str, Tensor]:
    """The same without what BatchNorm measures."""
    return {key: value for key, value in average().items() if ".running_" not in key and "num_batches" not in key}


def prefixed(prefix: str, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors with a prefix before each name."""
    return {prefix + key: value for key, value in (state or tensors()).items()}


def cast(kind: torch.dtype) -> dict[str, Tensor]:
    """The tensors in another precision."""
    return {key: value.to(kind) if value.is_floating_point() else value for key, value in tensors().items()}


def _timm_args() -> argparse.Namespace:
    return argparse.Namespace(
        model=NETWORK, num_classes=CLASSES, img_size=96, mean=[0.5, 0.5, 0.5], std=[0.4, 0.4, 0.4],
        class_map="names.txt", interpolation="bilinear", crop_pct=1.0, input_size=None, gp=None, bn_eps=None,
    )  # fmt: skip


def saved(content: Any, folder: Path, name: str) -> Path:
    """The file, written as its suffix says."""
    path = folder / name
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def told_apart_by_brightness(folder: Path) -> tuple[Path, Path]:
    """A file of weights, and pictures that the network tells apart around brightness 0.5 if mean and std are 0.5."""
    net = copy.deepcopy(network())  # its norms have biases, without which brightness would only scale the features
    pictures = folder / "pictures"
    levels = [60, 128, 200]
    with torch.no_grad():
        inputs = torch.stack([torch.full((3, 160, 160), (level / 255 - 0.5) / 0.5) for level in levels])
        features = net.forward_features(inputs).mean((2, 3))
        # The rows that give each level its own class: least squares on the three features.
        net.fc.weight.copy_(torch.linalg.lstsq(features, 10 * torch.eye(3), driver="gelsd").solution.T)
        net.fc.bias.zero_()
    for name, level in zip(("ant", "bee", "cat"), levels, strict=True):
        (pictures / name).mkdir(parents=True)
        for number in range(3):
            values = np.full((170 + number, 180, 3), level, dtype=np.uint8)
            Image.fromarray(values).save(pictures / name / f"{number}.png")
    return saved(net.state_dict(), folder, "own.pth"), pictures


# Name -> content, and what the notes must say of it. All give the network's own logits.
WRAPPINGS: dict[str, tuple[Callable[[], Any], str]] = {
    "plain.pth": (tensors, ""),
    "plain.safetensors": (tensors, ""),
    "no suffix": (tensors, ""),
    "data parallel.pth.tar": (lambda: {"state_dict": prefixed("module.")}, "'module.'"),
    "data parallel.safetensors": (lambda: prefixed("module."), "'module.'"),
    "compiled.pth": (lambda: prefixed("_orig_mod."), "'_orig_mod.'"),
    "parallel and compiled.pth": (lambda: {"state_dict": prefixed("module._orig_mod.")}, "'module._orig_mod.'"),
    "lightning.ckpt": (
        lambda: {"state_dict": prefixed("model."), "epoch": 3, "hyper_parameters": {"lr": 1e-3}, "callbacks": {}},
        "'model.'",
    ),
    "lightning, with a loss.ckpt": (
        lambda: {"state_dict": prefixed("net.model.") | {"criterion.weight": torch.ones(CLASSES)}},
        "Left out, because the logits do not depend on them: criterion.weight",
    ),
    "own container.pth": (lambda: {"epoch": 3, "model_state": {"net": tensors()}, "optimizer": {"state": {}}}, ""),
    "parameters.pth": (
        lambda: {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in tensors().items()}, "",
    ),
    "fp64.pth": (lambda: cast(torch.float64), ""),
    "weights averaged by torch.pth": (lambda: prefixed("module.") | {"n_averaged": torch.tensor(4)}, "n_averaged"),
    "backbone and head.pth": (
        lambda: {("head." + k[3:] if k.startswith("fc.") else "backbone." + k): v for k, v in tensors().items()},
        "'head' is taken as the classifier",
    ),
    "attacked.pth": (
        lambda: prefixed("model.") | prefixed("attacker.model.") | {
            "normalizer.mean": torch.tensor([[[0.4]], [[0.5]], [[0.6]]]), "normalizer.std": torch.full((3, 1, 1), 0.2)},
        "Mean and std are those of the normalisation in the file",
    ),
    "profiled.pth": (lambda: tensors() | {"total_ops": torch.zeros(1), "layer1.0.total_params": torch.zeros(1)}, ""),
    "batches not counted.pth": (
        lambda: {k: v for k, v in tensors().items() if not k.endswith("num_batches_tracked")}, "",
    ),
}  # fmt: skip
# The same with another precision: equal up to that.
PRECISIONS: dict[str, torch.dtype] = {"fp16.pth": torch.float16, "bf16.safetensors": torch.bfloat16}
# Files whose moving average is taken unless another set is asked for.
AVERAGES: dict[str, Callable[[], Any]] = {
    "timm.pth.tar": lambda: {"epoch": 1, "arch": NETWORK, "state_dict": tensors(), "state_dict_ema": average()},
    "timm with args.pth.tar": lambda: {
        "state_dict": tensors(), "state_dict_ema": average(), "args": _timm_args(), "optimizer": {}, "metric": 80.0,
    },
    "average of parameters.pth": lambda: {"model": tensors(), "model_ema": average_of_parameters()},
    "average of parameters beside.ckpt": lambda: {
        "state_dict": prefixed("net.") | prefixed("ema.", average_of_parameters())
    },
    "average alone.pth": lambda: {"model_ema": average()},
    "lightning with an average.ckpt": lambda: {"state_dict": prefixed("model.") | prefixed("ema_model.", average())},
}  # fmt: skip


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


# Files that hold no weights that can be used -> how they are written, the reason and the remedy of the refusal.
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
