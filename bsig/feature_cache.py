"""Pictures -> pooled features on disk, so that an epoch of a head's training costs no run of the encoder.

The encoder is frozen, so its features are the same in every epoch. They are stored once as one `.npy` of shape
(samples, views, ...) under a name that is the hash of everything that changes them: encoder weights, preprocessing,
augmentation, files. A file is written under a temporary name and renamed, so a half-written one is never used; two
runs that write the same features write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms import RandomResizedCrop

from bsig.backbones import state_sha256
from bsig.datasets import CACHE_FOLDER, LabelledImages, Sample
from bsig.dual_branch import DualBranch
from bsig.errors import InputError, StoppedEarly
from bsig.images import Preprocessing, crop_image, input_batch
from bsig.training_features import PooledFeatures

Progress = Callable[[int, int], None]
CACHE_VERSION = 1
_DRAWING = threading.Lock()


@dataclass(frozen=True)
class Views:
    """How many versions of each picture are encoded, and how they differ.

    The first view is the evaluation crop. Every further one is a random part of the picture (`smallest_area` to all of
    its area, sides 3:4 to 4:3) resized to the input, flipped every second time; drawn from `seed`, sample and view.
    """

    count: int = 1
    smallest_area: float = 0.35
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"`views` (={self.count}) must be at least 1.")
        if not 0 < self.smallest_area <= 1:
            raise InputError(f"`smallest_area` (={self.smallest_area}) must be above 0 and at most 1.")


def pooled_features(
    model: DualBranch,
    images: LabelledImages,
    index_of: dict[str, int],
    views: Views = Views(),
    *,
    batch_size: int = 32,
    cache_folder: Path | None = CACHE_FOLDER / "features",
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_note: Callable[[str], None] | None = None,  # noqa: ARG001
) -> PooledFeatures:
    """What the heads see of the samples, from the cache or from the encoder.

    The callbacks are called in the caller's thread.

    Args:
        model: whose encoder and pooling are used.
        images: samples; those whose class `index_of` does not hold are left out.
        index_of: the model's class index of each class name.
        views: how many versions of each picture.
        batch_size: pictures a forward pass.
        cache_folder: where features are kept; None keeps nothing.
        progress: called with (done, total) pictures.
        should_stop: asked before each batch; True ends the run.
        on_note: told, in one sentence, what did not go as planned and was got around.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: no sample is left, or the disk refuses.
    """
    samples = [sample for sample in images.samples if sample.class_name in index_of]
    path = cache_folder / f"{cache_key(model, samples, views)}.npy" if cache_folder else None
    unreadable: dict[int, str] = {}
    found = _found(path, (len(samples), views.count)) if path else None
    if found:
        stored, unreadable = found
    else:
        stored = _encoded(model, samples, views, batch_size, unreadable, progress, should_stop)
        if path:
            _store(path, stored, unreadable)
    kept = [index for index in range(len(samples)) if index not in unreadable]
    if not kept:
        raise InputError(f"none of the {len(samples)} pictures of '{images.name}' can be used for these classes.")
    labels = torch.tensor([index_of[samples[index].class_name] for index in kept])
    # A copy: training indexes it at random, which a memory map on a slow disk would make slow.
    return PooledFeatures(torch.from_numpy(np.array(stored[kept])), labels, tuple(unreadable.values()))


def cache_key(model: DualBranch, samples: list[Sample], views: Views) -> str:
    """A hash of everything that changes the pooled features: encoder, pooling, preprocessing, views, files."""
    said = {
        "version": CACHE_VERSION,
        "encoder": state_sha256(model.encoder),
        "pooling": type(model.softmax_head).__name__,
        "preprocessing": asdict(model.preprocessing),
        "views": asdict(views) if views.count > 1 else {"count": 1},
        "files": [(str(sample.path), sample.stamp()) for sample in samples],
    }
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def view_of(picture: Image.Image, preprocessing: Preprocessing, views: Views, sample: int, view: int) -> Image.Image:
    """One version of a picture as the model's crop; the same for the same seed, sample and view."""
    if view == 0:
        return crop_image(picture, preprocessing)
    # torchvision draws from torch's global generator: one thread at a time, or two would draw from each other's seed.
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence((views.seed, sample, view)).generate_state(1)[0]))
        scale, ratio = [views.smallest_area, 1.0], [3 / 4, 4 / 3]
        top, left, height, width = RandomResizedCrop.get_params(picture, scale, ratio)
        flipped = bool(torch.rand(()) < 0.5)
    part = picture.crop((left, top, left + width, top + height))
    crop = crop_image(part, replace(preprocessing, crop_mode="squash"))
    return ImageOps.mirror(crop) if flipped else crop


def _encoded(
    model: DualBranch,
    samples: list[Sample],
    views: Views,
    batch_size: int,
    unreadable: dict[int, str],
    progress: Progress | None,
    should_stop: Callable[[], bool],
) -> np.ndarray:
    rows: list[np.ndarray] = []
    for start in range(0, len(samples), batch_size):
        if should_stop():
            raise StoppedEarly(f"stopped on request after {start} of {len(samples)} pictures were encoded.")
        batch = range(start, min(start + batch_size, len(samples)))
        crops = [crop for index in batch for crop in _views(model, samples[index], index, views, unreadable)]
        inputs = input_batch(crops, model.preprocessing).to(model.device)
        with torch.no_grad():
            pooled = model.softmax_head.pooled(model.features(inputs)).float().cpu().numpy()
        rows.append(pooled.reshape(len(batch), views.count, *pooled.shape[1:]))
        if progress:
            progress(batch.stop, len(samples))
    return np.concatenate(rows) if rows else np.zeros((0, views.count, 0), np.float32)


def _views(
    model: DualBranch, sample: Sample, index: int, views: Views, unreadable: dict[int, str]
) -> list[Image.Image]:
    try:
        picture = sample.open()
    except InputError as error:
        unreadable[index] = str(error)
        rows, columns = model.preprocessing.input_size_hw
        return [Image.new("RGB", (columns, rows))] * views.count  # keeps the rows aligned; dropped by the caller
    return [view_of(picture, model.preprocessing, views, index, view) for view in range(views.count)]


def _found(path: Path, samples_and_views: tuple[int, int]) -> tuple[np.ndarray, dict[int, str]] | None:
    """Stored features and the unreadable samples; None where either is missing or damaged: they are made again."""
    try:
        said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        stored = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    if stored.shape[:2] != samples_and_views or stored.dtype != np.float32:
        return None
    return stored, {int(index): text for index, text in said.items()}


def _store(path: Path, pooled: np.ndarray, unreadable: dict[int, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The list of unreadable files first: features are only found once their own file is there.
        _write_whole(path.with_suffix(".json"), lambda file: file.write(json.dumps(unreadable).encode()))
        _write_whole(path, lambda file: np.save(file, pooled))
    except OSError as error:
        raise InputError(
            f"features cannot be kept in '{path.parent}' ({error}); free space or set BSIG_CACHE to another folder."
        ) from error


def _write_whole(path: Path, write: Callable) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
