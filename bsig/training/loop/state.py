"""The state of a training after each epoch, on disk, so that an interrupted run goes on as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bsig.inputs.errors import InputError
from bsig.inputs.files import whole_file
from bsig.model.weights import state_sha256
from bsig.training.features.pooled import TrainingFeatures
from bsig.training.loop.branch import TrainableBranch
from bsig.training.loop.epoch import Epoch


class TrainingState:
    """Branch, momentum and history of a training in one file. The first process writes and reads it."""

    def __init__(
        self, file: Path, branch: TrainableBranch, optimizer: torch.optim.Optimizer, features: TrainingFeatures
    ) -> None:
        self.file, self.branch, self.optimizer, self.processes = file, branch, optimizer, features.processes
        # Everything that must be the same for a run to be resumed: settings, softmax head, start, features and labels.
        heads = {"softmax_head": branch.softmax_head, "start": branch.base}
        identity = {name: state_sha256(head)[:12] for name, head in heads.items()} | features.identity()
        self.settings = {**asdict(branch.config), **identity}

    def keep(self, history: list[Epoch]) -> None:
        """Writes branch, momentum and history whole and renames, so that a crash leaves the last finished epoch.

        Raises:
            InputError: the disk refuses.
        """
        self.processes.together(lambda: self._write(history) if self.processes.is_first else None)

    def restored(self) -> list[Epoch]:
        """Puts the kept state into branch and optimizer; returns the finished epochs, none where nothing is kept.

        Raises:
            InputError: the file is damaged, or of a run with other settings, head or pictures.
        """
        content = self.processes.together(lambda: self._read() if self.processes.is_first else None)
        tensors, history = self.processes.from_first(content) or ({}, [])
        if tensors:
            branch = {key[7:]: value for key, value in tensors.items() if key.startswith("branch.")}
            self.branch.load_state_dict(branch)
        for index, parameter in enumerate(self.branch.parameters()):
            if f"momentum.{index}" in tensors:
                self.optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{index}"].to(parameter.device)
        return history

    def _write(self, history: list[Epoch]) -> None:
        tensors = {f"branch.{key}": value.contiguous() for key, value in self.branch.state_dict().items()}
        for index, parameter in enumerate(self.branch.parameters()):
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{index}"] = momentum.contiguous()
        metadata = {
            "settings": json.dumps(self.settings, sort_keys=True),
            "history": json.dumps([asdict(epoch) for epoch in history]),
        }
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.file, durable=True) as temporary:
                save_file(tensors, temporary, metadata=metadata)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"the state cannot be kept in '{self.file.parent}' ({error}); free space or choose another place."
            ) from error

    def _read(self) -> tuple[dict[str, Tensor], list[Epoch]] | None:
        if not self.file.is_file():
            return None
        try:
            with safe_open(self.file, framework="pt") as file:
                metadata = file.metadata() or {}
            tensors = load_file(self.file)
            settings = json.loads(metadata["settings"])
            history = [Epoch(**measures) for measures in json.loads(metadata["history"])]
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"the state '{self.file.name}' is damaged ({error}); start anew without --resume."
            ) from error
        names = {**self.settings, **settings}
        other = [f"`{name}` (={settings.get(name)})" for name in names if settings.get(name) != self.settings.get(name)]
        if other:
            raise InputError(
                f"the interrupted run in '{self.file.parent.name}' has another {', '.join(other)}; resume it with "
                "that, or start anew without --resume."
            )
        return tensors, history
