"""What one device does in a second: `python tests/benchmarks/bench_gpu.py OUT.json [DEVICE]`.

Rates of the parts that the times of an ImageNet run are worked out from: the bare encoder, extraction with decoding,
an epoch on stored features, an evaluation, one comparison. Networks other than the packaged one have random weights,
which changes no time. Each rate is the best of three.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bsig import Explainer, load_checkpoint
from bsig.cli.bench.learning import labelled_pictures
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.inputs.datasets.samples import LabelledImages
from bsig.model.backbones import classifier_from_timm
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.training.config import TrainingConfig
from bsig.training.features.cache import pooled_features
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.train import train_sigmoid_branch

NETWORKS = ("vgg16", "resnet50", "inception_v3", "vit_base_patch16_224")
BATCH, ROUNDS, PICTURES, STORED = 256, 3, 1024, 100_000


def seconds(act: Callable[[], Any], device: torch.device) -> float:
    """The shortest of three runs after one that warms up."""
    times = []
    for _ in range(ROUNDS + 1):
        _wait(device)
        start = time.perf_counter()
        act()
        _wait(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@torch.no_grad()
def _forward(model: DualBranch, inputs: torch.Tensor, half: bool) -> None:
    with torch.autocast(inputs.device.type, torch.float16, enabled=half):
        model.features(inputs)


def encoder_rates(model: DualBranch) -> dict[str, float]:
    """Pictures a second of the bare encoder, from a batch that lies on the device."""
    size = BATCH if model.device.type == "cuda" else 16
    inputs = torch.rand(size, 3, *model.preprocessing.input_size_hw, device=model.device)
    last = inputs.contiguous(memory_format=torch.channels_last)
    acts = {"float32": (inputs, False), "channels last": (last, False)}
    if model.device.type == "cuda":
        acts["channels last, float16 autocast"] = (last, True)
    return {
        name: round(size / seconds(partial(_forward, model, batch, half), model.device))
        for name, (batch, half) in acts.items()
    }


def pipeline_rates(model: DualBranch, images: LabelledImages) -> dict[str, float]:
    """Pictures a second from JPEG files: extraction, maps of many pictures, an evaluation; one comparison's ms."""
    paths = [sample.path for sample in images.samples]
    names = dict(zip(images.class_names, model.class_names, strict=False))
    index_of = {name: index for index, name in enumerate(images.class_names)}
    explainer, count = Explainer(model), len(paths)

    def maps() -> None:
        for encoded in explainer.encode_many(paths, batch_size=64):
            encoded.explain(None, "cam")

    def measured() -> None:
        evaluate(model, images, EvaluationConfig(class_map=names))

    return {
        "extraction, decoding included": round(
            count / seconds(partial(pooled_features, model, images, index_of, cache_folder=None), model.device)
        ),
        "maps of many pictures, decoding included": round(count / seconds(maps, model.device)),
        "evaluation of cam, signed": round(count / seconds(measured, model.device), 1),
        "one comparison, ms": round(
            1000 * seconds(lambda: explainer.encode(paths[0]).explain(None, "cam"), model.device), 2
        ),
    }


def epoch_rate(model: DualBranch) -> float:
    """Stored features a second of one epoch over a thousand classes, 1280 channels."""
    channels = model.softmax_head.pooled(model.features(_rate_of_one(model))).shape[-1]
    features = PooledFeatures(
        torch.rand(STORED, 1, channels).to(model.device), torch.randint(0, model.num_classes, (STORED,)), ()
    )
    config = TrainingConfig(epochs=1, batch_size=256)
    return round(STORED / seconds(partial(train_sigmoid_branch, model.softmax_head, features, config), model.device))


def _rate_of_one(model: DualBranch) -> torch.Tensor:
    return torch.rand(1, 3, *model.preprocessing.input_size_hw, device=model.device)


def main() -> None:
    """Measures and writes the file, and prints it."""
    device = torch.device(chosen_device(sys.argv[2] if len(sys.argv) > 2 else "auto"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    results: dict[str, Any] = {
        "device": name,
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "networks": {},
    }
    default = load_checkpoint(device=str(device))
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        images = labelled_pictures(PICTURES if device.type == "cuda" else 64, Path(folder))
        results["networks"]["efficientnet_lite0"] = {"encoder": encoder_rates(default)}
        results |= pipeline_rates(default, images)
    for network in NETWORKS if device.type == "cuda" else ():
        model = DualBranch(classifier_from_timm(network, pretrained=False)).to(device)
        results["networks"][network] = {"encoder": encoder_rates(model)}
    results["stored features a second in an epoch, 1000 classes"] = epoch_rate(default)
    text = json.dumps(results, indent=1)
    Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
