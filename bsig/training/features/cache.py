"""Pictures -> pooled features on disk, so that an epoch of a head's training costs no run of the encoder.

The encoder is frozen, so its features are the same in every epoch. They are stored once as one `.npy` of shape
(samples, views, ...) under a name that is the hash of everything that changes them: encoder weights, precision,
preprocessing, augmentation, files (`file.py`). A disk that refuses does not end a run: its features then stay
in memory, where there is enough of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bsig.inputs.datasets.datasets import LabelledImages, Sample
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.images import Preprocessing
from bsig.inputs.paths import CACHE_FOLDER
from bsig.model.backbones import state_sha256
from bsig.model.dual_branch import DualBranch
from bsig.training.config import DEFAULT_ENCODING, ONE_VIEW, EncodingConfig, Views
from bsig.training.features.augmentation import view_of
from bsig.training.features.encoding import Encoder, decoded_batches, precision_on
from bsig.training.features.file import FeatureFile, make_room, read_features
from bsig.training.features.pooled import PooledFeatures, SplitFeatures, TrainingFeatures
from bsig.training.processes import Processes

Progress = Callable[[int, int], None]
CACHE_VERSION = 3
FEATURES_FOLDER = CACHE_FOLDER / "features"


def never() -> bool:
    """A `should_stop` that lets a run go to its end."""
    return False


def pooled_features(
    model: DualBranch,
    images: LabelledImages,
    index_of: dict[str, int],
    views: Views = ONE_VIEW,
    *,
    encoding: EncodingConfig = DEFAULT_ENCODING,
    cache_folder: Path | None = FEATURES_FOLDER,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
    on_note: Callable[[str], None] | None = None,
) -> PooledFeatures:
    """What the heads see of the samples, from the cache or from the encoder.

    Pictures are decoded in threads; the callbacks are called in the caller's.

    Args:
        model: whose encoder and pooling are used.
        images: samples; those whose class `index_of` does not hold are left out.
        index_of: the model's class index of each class name.
        views: how many versions of each picture.
        encoding: how they are fed to the encoder.
        cache_folder: where features are kept; None keeps nothing.
        progress: called with (done, total) pictures.
        should_stop: asked before each batch; True ends the run.
        on_note: told, in one sentence, what did not go as planned and was got around.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: no sample is left, or neither disk nor memory holds the features.
    """
    run = _Extraction(model, views, encoding, cache_folder, progress, should_stop, on_note)
    samples = known_samples(images, index_of)
    pooled, unreadable = run.features_of(samples, range(len(samples)))
    labels = [index_of[sample.class_name] for index, sample in enumerate(samples) if index not in unreadable]
    refuse_nothing(len(labels), len(samples), images.name)
    return PooledFeatures(pooled, torch.tensor(labels), tuple(unreadable.values()))


def split_features(
    processes: Processes,
    model: DualBranch,
    images: LabelledImages,
    index_of: dict[str, int],
    views: Views = ONE_VIEW,
    **options: Any,
) -> TrainingFeatures:
    """As `pooled_features`, each process encoding and holding its own share of the samples.

    Raises:
        StoppedEarly, InputError: as there, in all processes, where one of them has cause.
    """
    if processes.count == 1:
        return pooled_features(model, images, index_of, views, **options)
    run = _Extraction(model, views, **options)
    samples = known_samples(images, index_of)
    own = processes.share(len(samples))
    pooled, unreadable = processes.together(lambda: run.features_of(samples, own))
    every = [entry for part in processes.gathered(unreadable) for entry in part.items()]
    labels = [index_of[samples[index].class_name] for index in own if index not in unreadable]
    refuse_nothing(len(samples) - len(every), len(samples), images.name)
    counts = processes.gathered(len(labels))
    shapes = processes.gathered(tuple(pooled.shape[2:]) if labels else None)
    if not labels:  # a share that is empty has the shape of the others' rows
        pooled = torch.zeros((0, views.count, *next(shape for shape in shapes if shape is not None)))
    told = tuple(sentence for _, sentence in every)
    features = PooledFeatures(pooled, torch.tensor(labels, dtype=torch.long), told)
    return SplitFeatures(features, sum(counts[: processes.rank]), sum(counts), processes)


def known_samples(images: LabelledImages, index_of: dict[str, int]) -> list[Sample]:
    """Those of a class that the model has."""
    return [sample for sample in images.samples if sample.class_name in index_of]


def refuse_nothing(left: int, samples: int, name: str) -> None:
    """Refuses to train on no picture.

    Raises:
        InputError: none is left.
    """
    if not left:
        raise InputError(f"none of the {samples} pictures of '{name}' can be used for these classes.")


def cache_key(model: DualBranch, samples: Sequence[Sample], views: Views, first: int = 0) -> str:
    """A hash of everything that changes the pooled features: encoder, pooling, precision, preprocessing, views, files.

    Args:
        model: whose encoder and pooling are used.
        samples: in their order.
        views: how many versions of each.
        first: number of the first sample in its data set: random views are drawn by it.
    """
    said = {
        "version": CACHE_VERSION,
        "encoder": state_sha256(model.encoder),
        # The same weights at another stride or under another pooling are another network.
        "network": [model.backbone_name, asdict(model.options), model.features_at, model.grid_hw],
        "pooling": [type(model.softmax_head).__name__, model.softmax_head.pools_first],
        "precision": precision_on(model.device),
        "preprocessing": asdict(model.preprocessing),
        "views": {**asdict(views), "first": first} if views.count > 1 else {"count": 1},
        "files": [(str(sample.path), sample.stamp()) for sample in samples],
    }
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def available_memory() -> int:
    """Bytes of memory that are free or can be freed; a very large number where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return 2**62


def view_crops(sample: Sample, index: int, preprocessing: Preprocessing, views: Views) -> np.ndarray | str:
    """Pixels (v, H, W, 3) of the sample's views, or one sentence why it cannot be read."""
    try:
        picture = sample.open()
    except InputError as error:
        return str(error)
    return np.stack([np.asarray(view_of(picture, preprocessing, views, index, view)) for view in range(views.count)])


def _unheard(_sentence: str) -> None:
    """Where nobody asked for notes."""


class _Extraction:
    """One run of the encoder over samples: what stays the same for all of them."""

    def __init__(
        self,
        model: DualBranch,
        views: Views,
        encoding: EncodingConfig = DEFAULT_ENCODING,
        cache_folder: Path | None = FEATURES_FOLDER,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = never,
        on_note: Callable[[str], None] | None = None,
    ) -> None:
        self.model, self.views, self.encoding = model, views, encoding
        self.cache_folder = cache_folder
        self.progress, self.should_stop, self.on_note = progress, should_stop, on_note or _unheard

    def features_of(self, samples: list[Sample], own: range) -> tuple[Tensor, dict[int, str]]:
        """Features (n, v, ...) of the readable samples in `own`, and why others cannot be read, by number."""
        if self.should_stop():
            raise StoppedEarly(f"stopped on request after 0 of {len(own)} pictures were encoded.")
        path = self._path(samples, own)
        found = self._found(samples, own, path)
        if found:
            return found
        sink = _Rows(path, len(own), self.on_note)
        unreadable: dict[int, str] = {}
        try:
            self._encode(samples, own, sink, unreadable)
            pooled = sink.finished(unreadable, own.start)
        finally:
            sink.discard()
        return torch.from_numpy(pooled), unreadable

    def _path(self, samples: list[Sample], own: range) -> Path | None:
        if not self.cache_folder:
            return None
        return self.cache_folder / f"{cache_key(self.model, samples[own.start : own.stop], self.views, own.start)}.npy"

    def _found(self, samples: list[Sample], own: range, path: Path | None) -> tuple[Tensor, dict[int, str]] | None:
        """From the file of this share or, in one of several processes, from that of all samples."""
        stored = read_features(path, len(own), self.views.count) if path else None
        if stored:
            rows, unreadable = stored
            return torch.from_numpy(rows), {own.start + index: text for index, text in unreadable.items()}
        whole = range(len(samples))
        path = self._path(samples, whole) if own != whole else None
        stored = read_features(path, len(samples), self.views.count) if path else None
        if not stored:
            return None
        rows, unreadable = stored
        before = sum(index not in unreadable for index in range(own.start))
        mine = {index: text for index, text in unreadable.items() if index in own}
        return torch.from_numpy(rows[before : before + len(own) - len(mine)]), mine

    def _encode(self, samples: list[Sample], own: range, sink: _Rows, unreadable: dict[int, str]) -> None:
        encoder = Encoder(self.model, self.on_note)
        preprocessing, views = self.model.preprocessing, self.views
        batch_size = max(1, self.encoding.batch_size_on(self.model.device) // views.count)

        def decode(index: int) -> np.ndarray | str:
            return view_crops(samples[index], index, preprocessing, views)

        done = 0
        for kept, crops, failed in decoded_batches(own, decode, batch_size, self.encoding.threads()):
            if self.should_stop():
                raise StoppedEarly(f"stopped on request after {done} of {len(own)} pictures were encoded.")
            unreadable.update(failed)
            if crops is not None:
                pooled = encoder.pooled(crops).cpu().numpy()
                sink.append(pooled.reshape(len(kept), views.count, *pooled.shape[1:]))
            done += len(kept) + len(failed)
            if self.progress:
                self.progress(done, len(own))


class _Rows:
    """Takes rows in order, into a file of the cache or, where that cannot be, into memory."""

    def __init__(self, path: Path | None, rows: int, on_note: Callable[[str], None]) -> None:
        self.path, self.rows, self.on_note = path, rows, on_note
        self.file: FeatureFile | None = None
        self.memory: np.ndarray | None = None
        self.filled = 0

    def append(self, rows: np.ndarray) -> None:
        if self.file is None and self.memory is None:
            self._begin(rows.shape[1:])
        if self.file is not None:
            try:
                self.file.append(rows)
            except OSError as error:
                self._go_on_in_memory(error)
        if self.memory is not None:
            self.memory[self.filled : self.filled + len(rows)] = rows
        self.filled += len(rows)

    def finished(self, unreadable: dict[int, str], first: int) -> np.ndarray:
        """All rows; published, where they are in a file."""
        if self.file is not None:
            try:
                return self.file.publish({index - first: text for index, text in unreadable.items()})
            except OSError as error:
                self._go_on_in_memory(error)
        return self.memory[: self.filled] if self.memory is not None else np.zeros((0, 1), np.float32)

    def discard(self) -> None:
        if self.file is not None:
            self.file.discard()

    def _begin(self, row_shape: tuple[int, ...]) -> None:
        if self.path is not None:
            try:
                make_room(self.path.parent, 4 * self.rows * int(np.prod(row_shape)))
                self.file = FeatureFile(self.path, self.rows, row_shape)
            except OSError as error:
                self._tell(error)
        if self.file is None:
            self.memory = self._allocated(row_shape)

    def _go_on_in_memory(self, error: OSError) -> None:
        file, self.file = self.file, None
        if file is None:
            return
        try:
            self._tell(error)
            self.memory = self._allocated(file.row_shape)
            self.memory[: self.filled] = file.written()[: self.filled]
        finally:
            file.discard()

    def _tell(self, error: OSError) -> None:
        where = self.path.parent if self.path else ""
        self.on_note(
            f"features cannot be kept in '{where}' ({error}), so they stay in memory for this run alone; free space, "
            "or set BSIG_CACHE to another folder."
        )

    def _allocated(self, row_shape: tuple[int, ...]) -> np.ndarray:
        size = 4 * self.rows * int(np.prod(row_shape))
        if size > 0.8 * available_memory():
            raise InputError(
                f"the features of {self.rows} pictures take {size / 1e9:.3g} GB, which neither the cache nor memory "
                "holds; free space, set BSIG_CACHE to a larger disk (and BSIG_CACHE_GB), or use --no-cache."
            )
        return np.empty((self.rows, *row_shape), np.float32)
