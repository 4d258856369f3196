"""Fine-tuning and evaluation: extraction against the bare encoder, epochs, localization against the plain loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bsig.cli.bench.rounds import alternating
from bsig.evaluation.metrics.localization import THRESHOLDS, best_ious, box_ious, score_map
from bsig.inputs.datasets.datasets import LabelledImages, read_dataset
from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image
from bsig.model.dual_branch import DualBranch
from bsig.training.config import EncodingConfig, TrainingConfig
from bsig.training.features.cache import pooled_features
from bsig.training.features.fresh import FreshFeatures
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.train import train_sigmoid_branch

TRAINED_PICTURES = 2000
Tell = Callable[[str], None]


def labelled_pictures(examples: Sequence[Path], count: int, folder: Path, size_wh: tuple[int, int]) -> LabelledImages:
    """So many JPEG files in ten class folders: the examples, each time cut differently, at one size."""
    generator = np.random.default_rng(0)
    pictures = [read_image(path) for path in examples]
    for number in range(count):
        picture = pictures[number % len(pictures)]
        left, top = (int(generator.integers(0, side // 4)) for side in picture.size)
        target = folder / f"class{number % 10}"
        target.mkdir(exist_ok=True)
        picture.crop((left, top, left + 3 * picture.width // 4, top + 3 * picture.height // 4)).resize(size_wh).save(
            target / f"{number}.jpg", "JPEG", quality=90
        )
    return read_dataset(str(folder), "train")


def given_pictures(data: str, count: int) -> LabelledImages:
    """So many pictures of a data set, spread over it."""
    images = read_dataset(data, "train")
    step = max(1, len(images.samples) // count)
    return replace(images, samples=images.samples[::step][:count])


def finetune_results(model: DualBranch, images: LabelledImages, rounds: int, tell: Tell) -> dict[str, Any]:
    """Pictures a second of extraction, decoding included, beside the bare encoder; epochs cached and as published."""
    index_of = {name: index for index, name in enumerate(images.class_names)}
    count, size = len(images.samples), EncodingConfig().batch_size_on(model.device)
    rows, columns = model.preprocessing.input_size_hw
    ready = torch.rand(count, 3, rows, columns, device=model.device)
    last = ready.contiguous(memory_format=torch.channels_last)

    def bare(inputs: torch.Tensor, batch_size: int) -> None:
        for batch in inputs.split(batch_size):
            model.softmax_head.pooled(model.features(batch)).cpu()

    encoded = alternating(
        {
            "bare encoder, batches of 32": lambda: bare(ready, 32),
            f"bare encoder, batches of {size}, channels last": lambda: bare(last, size),
            "extraction": lambda: pooled_features(model, images, index_of, cache_folder=None),
        },
        rounds,
        warm_up=1,
        tell=tell,
    )
    rates = {name: round(count / found.median, 1) for name, found in encoded.items()}
    best = max(rate for name, rate in rates.items() if name.startswith("bare"))
    features = _random_features(model)
    fresh = FreshFeatures(model, images, index_of)
    epochs = alternating({"cached": lambda: _train(model, features, 3)}, rounds, warm_up=1, tell=tell)
    published = alternating({"published way": lambda: _train(model, fresh, 1)}, 1, warm_up=0, tell=tell)
    cached_rate = 3 * TRAINED_PICTURES / epochs["cached"].median
    published_rate = count / published["published way"].median
    whole = TRAINED_PICTURES / rates["extraction"] + epochs["cached"].median
    return {
        "pictures": count,
        "pictures_per_second": rates,
        "extraction_against_best_bare_encoder": round(rates["extraction"] / best, 3),
        "three_epochs_on_2000_cached_pictures_s": round(epochs["cached"].median, 2),
        "epochs_per_second_on_2000_cached_pictures": round(3 / epochs["cached"].median, 2),
        "cached_epoch_against_published_way": round(cached_rate / published_rate, 1),
        "whole_run_of_3_epochs_on_2000_pictures_s": {
            "bsig, extraction included": round(whole, 1),
            "published way, from its rate": round(3 * TRAINED_PICTURES / published_rate, 1),
        },
        "whole_run_against_published_way": round(3 * TRAINED_PICTURES / published_rate / whole, 2),
    }


def _random_features(model: DualBranch) -> PooledFeatures:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(TRAINED_PICTURES) % model.num_classes
    width = model.softmax_head.last_linear.in_features
    return PooledFeatures(torch.rand(TRAINED_PICTURES, 1, width, generator=generator), labels, ())


def _train(model: DualBranch, features: PooledFeatures | FreshFeatures, epochs: int) -> None:
    train_sigmoid_branch(model.softmax_head, features, TrainingConfig(epochs=epochs))


def evaluate_results(rounds: int, tell: Tell, maps: int = 40) -> dict[str, Any]:
    """Maps a second and core with boxes at all 1,001 thresholds, beside the loop over a thousand thresholds.

    Processor seconds of one thread. Both find the same IoUs, which is checked before anything is timed.

    Raises:
        InputError: the two disagree.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        grids = np.random.default_rng(0).normal(size=(maps, 7, 7)).astype(np.float32)
        truths = [np.array([[20, 30, 150, 180]])] * maps
        few = maps // 4
        same = np.array_equal(
            best_ious(grids[:few], truths[:few]).all_contours, thousand_thresholds(grids[:few], truths[:few])
        )
        if not same:
            raise InputError("`best_ious` and the loop over all thresholds must agree; this is a defect of bsig.")
        tell("localization")
        ours = maps / min(_processor_seconds(lambda: best_ious(grids, truths)) for _ in range(rounds))
        loop = few / min(
            _processor_seconds(lambda: thousand_thresholds(grids[:few], truths[:few])) for _ in range(rounds)
        )
    finally:
        cv2.setNumThreads(threads)
    return {
        "maps_per_second": round(ours, 1),
        "loop_maps_per_second": round(loop, 1),
        "ratio": round(ours / loop, 2),
        "thresholds": len(THRESHOLDS),
    }


def thousand_thresholds(maps: np.ndarray, truths: list[np.ndarray]) -> np.ndarray:
    """The best IoU of each map at each threshold, (n, 1001), as the public evaluation code finds it: one by one."""
    found = np.zeros((len(maps), len(THRESHOLDS)))
    for i, (one, truth) in enumerate(zip(maps, truths, strict=True)):
        grey = (score_map(one) * 255).astype(np.uint8)
        for at, threshold in enumerate(THRESHOLDS):
            _, above = cv2.threshold(grey, int(threshold * grey.max()), 255, cv2.THRESH_BINARY)
            contours, _ = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            rectangles = [cv2.boundingRect(contour) for contour in contours]
            boxes = [(x, y, min(x + w, 223), min(y + h, 223)) for x, y, w, h in rectangles] or [(0, 0, 0, 0)]
            found[i, at] = box_ious(np.array(boxes), truth).max()
    return found


def _processor_seconds(act: Callable[[], Any]) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started
