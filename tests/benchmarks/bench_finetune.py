"""How fast a fine-tune is on this machine: `python tests/benchmarks/bench_finetune.py [--data DIR] [--out FILE]`.

Three ratios, each of rates that were measured alternately in this one run:

- extraction (decoding included, nothing cached) against the bare encoder on tensors that lie ready, by the clock and,
  for a machine that is busy otherwise, by processor time;
- an epoch of training on cached features against one of the published way, which runs the encoder at every step;
- and the seconds of three epochs on 2,000 pictures with their features cached.

Not a test: it asserts nothing. Without `--data` it draws its pictures itself (500 x 375 JPEG, as ImageNet's are).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bsig.backbones import DEFAULT_BACKBONE, chosen_device, load_classifier
from bsig.checkpoints import library_versions
from bsig.datasets import LabelledImages, read_dataset
from bsig.dual_branch import DualBranch
from bsig.encoding import EncodingConfig
from bsig.feature_cache import pooled_features, view_crops
from bsig.fresh_features import FreshFeatures
from bsig.training import TrainingConfig, train_sigmoid_branch
from bsig.training_features import PooledFeatures
from bsig.views import ONE_VIEW

TRAINED_PICTURES = 2000


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    model = DualBranch(load_classifier(chosen.backbone, chosen_device(chosen.device)))
    with tempfile.TemporaryDirectory() as folder:
        images = pictures(chosen.data, chosen.pictures, Path(folder))
        index_of = {name: index for index, name in enumerate(images.class_names)}
        said = {
            "machine": machine(model),
            "pictures": f"{len(images.samples)} of {chosen.data or 'generated 500 x 375 JPEG'}",
            **extraction(model, images, index_of, chosen.repeats),
            **training(model, images, index_of, chosen.repeats),
        }
    said["cached_training_against_published_way"] = round(
        said["cached_training_pictures_per_second"] / said["published_way_pictures_per_second"], 1
    )
    show(said)
    if chosen.out:
        chosen.out.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=None, help="a data set; generated pictures without")
    parser.add_argument("--pictures", type=int, default=128, help="pictures encoded a measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    return parser.parse_args()


def machine(model: DualBranch) -> dict[str, Any]:
    return {
        **library_versions(),
        "pillow": PIL.__version__,
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average_at_start": os.getloadavg()[0],
        "backbone": model.backbone_name,
        "device": str(model.device),
    }


def pictures(data: str | None, count: int, folder: Path) -> LabelledImages:
    if data is None:
        generator = np.random.default_rng(0)
        for number in range(count):
            (folder / f"class{number % 10}").mkdir(exist_ok=True)
            coarse = Image.fromarray(generator.integers(0, 255, (25, 33, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"class{number % 10}/{number}.jpg")
        data = str(folder)
    images = read_dataset(data, "train")
    step = max(1, len(images.samples) // count)
    return replace(images, samples=images.samples[::step][:count])


def extraction(model: DualBranch, images: LabelledImages, index_of: dict[str, int], repeats: int) -> dict[str, Any]:
    count, size = len(images.samples), EncodingConfig().batch_size_on(model.device)
    rows, columns = model.preprocessing.input_size_hw
    ready = torch.rand(count, 3, rows, columns, device=model.device)
    last = ready.contiguous(memory_format=torch.channels_last)

    def bare(inputs: torch.Tensor, batch_size: int) -> None:
        for batch in inputs.split(batch_size):
            model.softmax_head.pooled(model.features(batch)).cpu()

    rates = alternating(
        {
            "bare encoder, batches of 32": lambda: bare(ready, 32),
            f"bare encoder, batches of {size}, channels last": lambda: bare(last, size),
            "extraction": lambda: pooled_features(model, images, index_of, cache_folder=None),
            "decoding alone, one thread": lambda: [
                view_crops(sample, 0, model.preprocessing, ONE_VIEW) for sample in images.samples
            ],
        },
        count,
        repeats,
    )
    processor = {
        "bare encoder": processor_seconds(lambda: bare(last, size)) / count,
        "extraction": processor_seconds(lambda: pooled_features(model, images, index_of, cache_folder=None)) / count,
    }
    bare_rate = max(rate for name, rate in rates.items() if name.startswith("bare"))
    return {
        "pictures_per_second": rates,
        "extraction_against_bare_encoder": round(rates["extraction"] / bare_rate, 3),
        "processor_seconds_per_picture": {name: round(seconds, 5) for name, seconds in processor.items()},
        "extraction_against_bare_encoder_by_processor_time": round(
            processor["bare encoder"] / processor["extraction"], 3
        ),
    }


def training(model: DualBranch, images: LabelledImages, index_of: dict[str, int], repeats: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(TRAINED_PICTURES) % model.num_classes
    width = model.softmax_head.last_linear.in_features
    features = PooledFeatures(torch.rand(TRAINED_PICTURES, 1, width, generator=generator), labels, ())
    fresh = FreshFeatures(model, images, index_of)
    rates = alternating({"cached": lambda: train(model, features, 3)}, 3 * TRAINED_PICTURES, repeats)
    published = alternating({"published way": lambda: train(model, fresh, 1)}, len(images.samples), 1)
    return {
        "three_epochs_on_2000_cached_pictures_seconds": round(3 * TRAINED_PICTURES / rates["cached"], 2),
        "cached_training_pictures_per_second": rates["cached"],
        "published_way_pictures_per_second": published["published way"],
    }


def train(model: DualBranch, features: PooledFeatures | FreshFeatures, epochs: int) -> None:
    train_sigmoid_branch(model.softmax_head, features, TrainingConfig(epochs=epochs))


def alternating(acts: dict[str, Callable[[], Any]], pictures_each: int, repeats: int) -> dict[str, float]:
    """Median pictures a second of each act, one after the other in every round, so that all see the same machine."""
    seconds: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(repeats):
        for name, act in acts.items():
            started = time.perf_counter()
            act()
            seconds[name].append(time.perf_counter() - started)
    return {name: round(pictures_each / statistics.median(taken), 1) for name, taken in seconds.items()}


def processor_seconds(act: Callable[[], Any]) -> float:
    """Of all threads of this process: hardly moved by what else the machine does."""
    started = time.process_time()
    act()
    return time.process_time() - started


def show(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
