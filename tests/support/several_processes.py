"""Runs under torchrun: `several_processes.py WHAT FOLDER`. One part of tests/training/test_processes.py."""

from __future__ import annotations

import copy
import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from bsig.cli.finetune import asked_to_stop
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead
from bsig.training.closed_form.damping import DampingGrids, damped_head
from bsig.training.closed_form.flat_shift import FlatShiftCells, fit_flat_shift
from bsig.training.config import DampingConfig, FlatShiftConfig, TrainingConfig
from bsig.training.features.cache import show_grids, split_features
from bsig.training.features.fresh import FreshFeatures
from bsig.training.features.pooled import PooledFeatures, SplitFeatures, TrainingFeatures
from bsig.training.loop.train import fit_softmax_head, train_sigmoid_branch
from bsig.training.processes import Processes, joined_processes

CLASSES, CHANNELS, IMAGES = 5, 7, 23
CONFIGS = {
    "full": TrainingConfig(epochs=3, learning_rate=0.1, batch_size=4),
    "shift": TrainingConfig(epochs=3, learning_rate=0.1, batch_size=4, branch="shift"),
    "held": TrainingConfig(epochs=3, learning_rate=0.05, batch_size=23, stay_near_softmax=0.3),
    "single": TrainingConfig(epochs=2, learning_rate=0.05, batch_size=1),  # one process has no picture at every step
}
INDEX_OF = {"a": 0, "b": 1}


def toy() -> tuple[PooledLinearHead, PooledFeatures]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(IMAGES) % CLASSES
    linear = nn.Linear(CHANNELS, CLASSES)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(CLASSES, CHANNELS, generator=generator))
        linear.bias.copy_(torch.randn(CLASSES, generator=generator))
    pooled = torch.rand(IMAGES, 2, CHANNELS, generator=generator) + 0.2 * labels[:, None, None]
    return PooledLinearHead(linear).requires_grad_(False), PooledFeatures(pooled, labels, ())


def split(features: PooledFeatures, processes: Processes) -> TrainingFeatures:
    if processes.count == 1:
        return features
    own = processes.share(features.count)
    rows = slice(own.start, own.stop)
    part = replace(features, pooled=features.pooled[rows], labels=features.labels[rows])
    return SplitFeatures(part, own.start, features.count, processes)


def small_model() -> DualBranch:
    torch.manual_seed(11)
    model = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    model.preprocessing = replace(model.preprocessing, input_size_hw=(64, 64), resize_to=72)
    return model


def trained(processes: Processes, folder: Path) -> dict:
    """Every kind of training on toy features, and one on pictures."""
    head, features = toy()
    part, held_out = split(features, processes), split(replace(features, pooled=features.pooled + 0.1), processes)
    results = {}
    for name, config in CONFIGS.items():
        run = train_sigmoid_branch(head, part, config, held_out=held_out)
        results[name] = (run.head.state_dict(), [asdict(epoch) for epoch in run.history])
    results["softmax"] = (fit_softmax_head(part, CLASSES, epochs=5, batch_size=4).state_dict(), [])
    images, model = read_dataset(folder / "images"), small_model()
    for cache in ("cache", None):
        cache_folder = folder / f"{cache}{processes.count}" if cache else None
        pictures = split_features(processes, model, images, INDEX_OF, cache_folder=cache_folder)
        run = train_sigmoid_branch(model.softmax_head, pictures, TrainingConfig(epochs=2, batch_size=3))
        results[f"pictures {cache}"] = (run.head.state_dict(), [asdict(epoch) for epoch in run.history])
        results[f"unreadable {cache}"] = pictures.unreadable
    shift, damped = closed_forms(processes, model, images)
    results["closed forms"] = ({"shift": shift, "damped": damped}, [])
    fresh = FreshFeatures(model, images, INDEX_OF, processes=processes)
    run = train_sigmoid_branch(model.softmax_head, fresh, TrainingConfig(epochs=2, batch_size=3))
    results["fresh"] = (run.head.state_dict(), [asdict(epoch) for epoch in run.history])
    results["unreadable fresh"] = fresh.unreadable
    return results


def closed_forms(processes: Processes, model: DualBranch, images: LabelledImages) -> tuple[torch.Tensor, torch.Tensor]:
    """A flat shift's vector, and a damped head's weights, of feature maps that the processes share."""
    head, flat, damping = model.softmax_head, FlatShiftConfig(absent_area=0.5), DampingConfig(most_pictures=5)
    cells, grids = FlatShiftCells(head.last_linear.in_features, flat), DampingGrids(head, 9, damping)
    show_grids(processes, model, images, INDEX_OF, [cells, grids])
    other = copy.deepcopy(head)
    with torch.no_grad():
        weight = other.last_linear.weight
        weight += 0.1 * torch.sin(torch.arange(weight.numel())).view_as(weight)
    vector = fit_flat_shift(cells, head, flat, processes).shift.vector
    return vector, damped_head(grids, head, other, damping, processes).last_linear.weight.detach()


def resumed(processes: Processes, folder: Path) -> dict:
    """A run stopped by the second process alone, then resumed; and the unbroken one."""
    head, features = toy()
    part, config, calls = split(features, processes), CONFIGS["full"], []

    def stop() -> bool:
        calls.append(1)
        return processes.rank == processes.count - 1 and len(calls) > 8  # in the middle of epoch 2

    state = folder / f"state{processes.count}.safetensors"
    broken = train_sigmoid_branch(head, part, config, should_stop=stop, state_file=state)
    whole = train_sigmoid_branch(head, part, config)
    second = train_sigmoid_branch(head, part, config, state_file=state, resume=True)
    return {
        "stopped": broken.stopped,
        "finished": len(broken.history),
        "same": all(
            torch.equal(second.head.state_dict()[key], value) for key, value in whole.head.state_dict().items()
        ),
    }


def failing(processes: Processes, how: str) -> None:
    head, features = toy()
    calls = []

    def stop() -> bool:
        calls.append(1)
        if len(calls) == 9 and processes.rank == 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError("the second one cannot go on.")
        return False

    if how == "together":
        processes.together(lambda: features if processes.is_first else toy_refused())
    train_sigmoid_branch(head, split(features, processes), CONFIGS["full"], should_stop=stop)


def toy_refused() -> None:
    raise InputError("the second one is refused.")


def main() -> int:
    case, folder = sys.argv[1], Path(sys.argv[2])
    rank = int(os.environ.get("RANK", "0"))
    try:
        with joined_processes("cpu") as processes, asked_to_stop():
            if case in ("killed", "raises", "together"):
                failing(processes, case)
            result = (trained if case == "trained" else resumed)(processes, folder)
            torch.save(result, folder / f"{case}-{processes.rank}-of-{processes.count}.pt")
    except InputError as error:
        if rank == 0:
            sys.stderr.write(f"bsig: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
