"""The state of a training after each epoch, on disk, so that an interrupted run goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from bsig.backbones import state_sha256
from bsig.errors import InputError
from bsig.heads import ClassificationHead
from bsig.trainable_branch import TrainableBranch
from bsig.training_config import TrainingConfig
from bsig.training_features import TrainingFeatures
from bsig.training_figures import Epoch


def keep_state(
    file: Path, settings: str, branch: TrainableBranch, optimizer: torch.optim.Optimizer, history: list[Epoch]
) -> None:
    """Writes branch, momentum and history whole and renames, so that a crash leaves the last finished epoch.

    Raises:
        InputError: the disk refuses.
    """
    tensors = {f"branch.{key}": value.contiguous() for key, value in branch.state_dict().items()}
    for index, parameter in enumerate(branch.parameters()):
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{index}"] = momentum.contiguous()
    told = {"settings": settings, "history": json.dumps([asdict(epoch) for epoch in history])}
    temporary = file.with_name(f".{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata=told)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the state cannot be kept in '{file.parent}' ({error}); free space or choose another place."
        ) from error


def restore_state(file: Path, settings: str, branch: TrainableBranch, optimizer: torch.optim.Optimizer) -> list[Epoch]:
    """Puts the kept state into branch and optimizer; returns the finished epochs.

    Raises:
        InputError: the file is damaged, or of a run with other settings, head or pictures.
    """
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
        tensors = load_file(file)
        kept = json.loads(metadata["settings"])
        history = [Epoch(**figures) for figures in json.loads(metadata["history"])]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"the state '{file.name}' is damaged ({error}); start anew without --resume.") from error
    wanted = json.loads(settings)
    other = [f"`{name}` (={kept.get(name)})" for name in {**wanted, **kept} if kept.get(name) != wanted.get(name)]
    if other:
        raise InputError(
            f"the interrupted run in '{file.parent.name}' has another {', '.join(other)}; resume it with that, or "
            "start anew without --resume."
        )
    branch.load_state_dict({key[7:]: value for key, value in tensors.items() if key.startswith("branch.")})
    for index, parameter in enumerate(branch.parameters()):
        if f"momentum.{index}" in tensors:
            optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{index}"].to(parameter.device)
    return history


def resume_settings(config: TrainingConfig, softmax_head: ClassificationHead, features: TrainingFeatures) -> str:
    """Everything that must be the same for a run to be resumed: settings, softmax head, features and labels."""
    seen = {"softmax_head": state_sha256(softmax_head)[:12], **features.identity()}
    return json.dumps({**asdict(config), **seen}, sort_keys=True)
