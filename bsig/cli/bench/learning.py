"""Fine-tuning and evaluation: extraction against the bare encoder, epochs, localization against the plain loop."""

from __future__ import annotations

import tempfile
import time
import timeit
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bsig.cli.bench.rounds import Acts, Bench, alternating, examples
from bsig.evaluation.metrics.localization import THRESHOLDS, best_ious, box_ious, score_map
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image
from bsig.model.dual_branch import DualBranch
from bsig.training.config import EncodingConfig, TrainingConfig
from bsig.training.features.cache import pooled_features
from bsig.training.features.fresh import FreshFeatures
from bsig.training.features.pooled import PooledFeatures
from bsig.training.loop.train import train_sigmoid_branch

DATA_PICTURES = 256
DATA_SIZE = (224, 224)
TRAINED_PICTURES = 2000
MAPS = 40
LOOP_MAPS = 10


def labelled_pictures(count: int, folder: Path) -> LabelledImages:
    """Writes JPEG files in ten class folders: the examples, each time cut differently, at one size."""
    generator = np.random.default_rng(0)
    pictures = [read_image(path) for path in examples()]
    for number in range(count):
        picture = pictures[number % len(pictures)]
        left, top = (int(generator.integers(0, side // 4)) for side in picture.size)
        crop = picture.crop((left, top, left + 3 * picture.width // 4, top + 3 * picture.height // 4))
        target = folder / f"class{number % 10}"
        target.mkdir(exist_ok=True)
        crop.resize(DATA_SIZE).save(target / f"{number}.jpg", "JPEG", quality=90)
    return read_dataset(folder, "train")


def finetune_results(bench: Bench) -> dict[str, Any]:
    """Pictures a second of extraction, decoding included, beside the bare encoder; epochs cached and as published."""
    count, rounds = (32, 1) if bench.is_quick else (DATA_PICTURES, max(1, bench.rounds // 5))
    with tempfile.TemporaryDirectory(prefix="bsig-bench-") as folder:
        if bench.data:
            images = read_dataset(bench.data, "train")
            step = max(1, len(images.samples) // count)
            images = replace(images, samples=images.samples[::step][:count])
        else:
            images = labelled_pictures(count, Path(folder))
        results = _training_rates(bench, images, rounds)
    return {"data": bench.data or f"examples cut to {DATA_SIZE[0]} x {DATA_SIZE[1]} JPEG", **results}


def _training_rates(bench: Bench, images: LabelledImages, rounds: int) -> dict[str, Any]:
    model, count = bench.model, len(images.samples)
    index_of = {name: index for index, name in enumerate(images.class_names)}
    size = EncodingConfig().batch_size_on(model.device.type)
    ready = torch.rand(count, 3, *model.preprocessing.input_size_hw, device=model.device)
    last = ready.contiguous(memory_format=torch.channels_last)
    acts: Acts = {
        "bare encoder, batches of 32": partial(_encode, model, ready, 32),
        f"bare encoder, batches of {size}, channels last": partial(_encode, model, last, size),
        "extraction": partial(pooled_features, model, images, index_of, cache_folder=None),
    }
    times = alternating(acts, rounds, bench.tell, warm_up=1)
    rates = {name: round(count / seconds.median, 1) for name, seconds in times.items()}
    best = max(rate for name, rate in rates.items() if name.startswith("bare"))
    cached = partial(_train, model, _random_features(model), 3)
    published_loop = partial(_train, model, FreshFeatures(model, images, index_of), 1)
    cached_s = alternating({"cached": cached}, rounds, bench.tell, warm_up=1)["cached"].median
    published_s = alternating({"published way": published_loop}, 1, bench.tell, warm_up=0)["published way"].median
    published_run_s = 3 * TRAINED_PICTURES / count * published_s
    whole_run_s = TRAINED_PICTURES / rates["extraction"] + cached_s
    return {
        "pictures": count,
        "pictures_per_second": rates,
        "extraction_against_best_bare_encoder": round(rates["extraction"] / best, 3),
        "three_epochs_on_2000_cached_pictures_s": round(cached_s, 2),
        "epochs_per_second_on_2000_cached_pictures": round(3 / cached_s, 2),
        "cached_epoch_against_published_way": round(published_run_s / cached_s, 1),
        "whole_run_of_3_epochs_on_2000_pictures_s": {
            "bsig, extraction included": round(whole_run_s, 1),
            "published way, from its rate": round(published_run_s, 1),
        },
        "whole_run_against_published_way": round(published_run_s / whole_run_s, 2),
    }


def _encode(model: DualBranch, inputs: torch.Tensor, batch_size: int) -> None:
    for batch in inputs.split(batch_size):
        model.softmax_head.pooled(model.features(batch)).cpu()


def _random_features(model: DualBranch) -> PooledFeatures:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(TRAINED_PICTURES) % model.num_classes
    width = model.softmax_head.last_linear.in_features
    return PooledFeatures(torch.rand(TRAINED_PICTURES, 1, width, generator=generator), labels, ())


def _train(model: DualBranch, features: PooledFeatures | FreshFeatures, epochs: int) -> None:
    train_sigmoid_branch(model.softmax_head, features, TrainingConfig(epochs=epochs))


def evaluate_results(bench: Bench) -> dict[str, Any]:
    """Maps a second and core with boxes at all 1,001 thresholds, beside the loop over a thousand thresholds.

    Processor seconds of one thread. Both find the same IoUs, which is checked before anything is timed.

    Raises:
        InputError: the two disagree.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        maps = np.random.default_rng(0).normal(size=(MAPS, 7, 7)).astype(np.float32)
        truths = [np.array([[20, 30, 150, 180]])] * MAPS
        fast = partial(best_ious, maps, truths)
        loop = partial(thousand_thresholds, maps[:LOOP_MAPS], truths[:LOOP_MAPS])
        if not np.array_equal(fast().all_contours[:LOOP_MAPS], loop()):
            raise InputError("`best_ious` and the loop over all thresholds must agree; this is a defect of bsig.")
        bench.tell("localization")
        seconds = partial(timeit.repeat, timer=time.process_time, number=1, repeat=min(bench.rounds, 3))
        fast_rate, loop_rate = MAPS / min(seconds(fast)), LOOP_MAPS / min(seconds(loop))
    finally:
        cv2.setNumThreads(threads)
    return {
        "maps_per_second": round(fast_rate, 1),
        "loop_maps_per_second": round(loop_rate, 1),
        "ratio": round(fast_rate / loop_rate, 2),
        "thresholds": len(THRESHOLDS),
    }


def thousand_thresholds(maps: np.ndarray, truths: list[np.ndarray]) -> np.ndarray:
    """The best IoU of each map at each threshold, (n, 1001), as the public evaluation code finds it: one by one."""
    best = np.zeros((len(maps), len(THRESHOLDS)))
    for i, (grid, truth) in enumerate(zip(maps, truths, strict=True)):
        grey = (score_map(grid) * 255).astype(np.uint8)
        for at, threshold in enumerate(THRESHOLDS):
            _, above = cv2.threshold(grey, int(threshold * grey.max()), 255, cv2.THRESH_BINARY)
            contours, _ = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            rectangles = [cv2.boundingRect(contour) for contour in contours]
            boxes = [(x, y, min(x + w, 223), min(y + h, 223)) for x, y, w, h in rectangles] or [(0, 0, 0, 0)]
            best[i, at] = box_ious(np.array(boxes), truth).max()
    return best
