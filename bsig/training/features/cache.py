"""Pictures -> pooled features on disk, so that an epoch of a head's training costs no run of the encoder.

The encoder is frozen, so its features are the same in every epoch. They are stored once as one `.npy` of shape
(samples, views, ...) under a name that is the hash of everything that changes them: encoder weights, precision,
preprocessing, augmentation, files (`file.py`). A disk that refuses does not end a run: its features then stay
in memory, where there is enough of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bsig.inputs.counts import counted, none_of
from bsig.inputs.datasets.samples import LabelledImages, Sample
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.images import Preprocessing, crop_image
from bsig.inputs.paths import CACHE_FOLDER
from bsig.model.dual_branch import DualBranch
from bsig.model.weights import state_sha256
from bsig.training.callbacks import OnNote, Progress, ShouldStop, never, unheard
from bsig.training.config import DEFAULT_ENCODING, ONE_VIEW, EncodingConfig, Views
from bsig.training.features.augmentation import view_of
from bsig.training.features.encoding import Encoder, decoded_batches, precision_on
from bsig.training.features.file import FeatureFile, make_room, read_features
from bsig.training.features.labels import label_tensor, present_classes
from bsig.training.features.pooled import PooledFeatures, SplitFeatures, TrainingFeatures
from bsig.training.processes import ALONE, Processes

CACHE_VERSION = 3
FEATURES_FOLDER = CACHE_FOLDER / "features"


@runtime_checkable
class GridReader(Protocol):
    """Takes what it needs of each picture's feature maps while the pictures are encoded."""

    def read(self, position: int, present: tuple[int, ...], grids: Float[Tensor, "2 k h w"]) -> None:
        """Reads one picture: its number among all of known classes, its classes and its feature maps.

        The maps are of the evaluation crop and of the whole picture, squashed to the input.
        """


def pooled_features(
    model: DualBranch,
    images: LabelledImages,
    index_of: dict[str, int],
    views: Views = ONE_VIEW,
    *,
    encoding: EncodingConfig = DEFAULT_ENCODING,
    cache_folder: Path | None = FEATURES_FOLDER,
    progress: Progress | None = None,
    should_stop: ShouldStop = never,
    on_note: OnNote = unheard,
    readers: Sequence[GridReader] = (),
) -> PooledFeatures:
    """Returns what the heads see of the samples, from the cache or from the encoder.

    Pictures are decoded in threads; the callbacks (`bsig.training.callbacks`) are called in the caller's.

    Args:
        index_of: the model's class index of each class name; pictures of other classes are left out.
        cache_folder: where features are kept; None keeps nothing.
        readers: shown the feature maps of every readable picture, on the way or, where its features are kept already,
            in a pass of their own.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: no sample is left, or neither disk nor memory holds the features.
    """
    run = _Extraction(model, index_of, views, encoding, cache_folder, progress, should_stop, on_note, readers)
    return run.features_of(images, ALONE)


def split_features(
    processes: Processes,
    model: DualBranch,
    images: LabelledImages,
    index_of: dict[str, int],
    views: Views = ONE_VIEW,
    **options: Any,
) -> TrainingFeatures:
    """Returns the same as `pooled_features`; each process encodes and holds its own share.

    Raises:
        StoppedEarly, InputError: in all processes, where one of them has cause.
    """
    features = _Extraction(model, index_of, views, **options).features_of(images, processes)
    if processes.count == 1:
        return features
    counts = processes.gathered(features.count)
    shapes = processes.gathered(tuple(features.pooled.shape[2:]) if features.count else None)
    if not features.count:  # a share that is empty has the shape of the others' rows
        row_shape = next(shape for shape in shapes if shape is not None)
        features = replace(features, pooled=torch.zeros((0, views.count, *row_shape)))
    return SplitFeatures(features, sum(counts[: processes.rank]), sum(counts), processes)


def show_grids(
    processes: Processes,
    model: DualBranch,
    images: LabelledImages,
    index_of: dict[str, int],
    readers: Sequence[GridReader],
    **options: Any,
) -> None:
    """Shows the readers the feature maps of every readable picture of known classes, each process its own share.

    Raises:
        StoppedEarly, InputError: in all processes, where one of them has cause.
    """
    run = _Extraction(model, index_of, ONE_VIEW, cache_folder=None, readers=readers, **options)
    samples = known_samples(images, index_of)
    processes.together(lambda: run.show(samples, processes.share(len(samples))))


def known_samples(images: LabelledImages, index_of: dict[str, int]) -> list[Sample]:
    """Returns the samples of which the model has a class, without the others of their classes."""
    return [known_sample for sample in images.samples if (known_sample := sample.of_classes(index_of))]


def refuse_nothing(readable: int, samples: int, name: str) -> None:
    """Refuses to train on no picture.

    Raises:
        InputError: none is left.
    """
    if not readable:
        raise InputError(f"{none_of(samples, 'picture')} of '{name}' can be used for these classes.")


def cache_key(model: DualBranch, samples: Sequence[Sample], views: Views, first: int = 0) -> str:
    """Returns a hash of everything that changes the pooled features.

    `first` is the number of the first sample in its data set: random views are drawn by it.
    """
    entries = {
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
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:32]


def available_memory() -> int:
    """Returns bytes of memory that are free or can be freed; a very large number where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return 2**62


def view_crops(
    sample: Sample, index: int, preprocessing: Preprocessing, views: Views, *, with_whole: bool = False
) -> np.ndarray | str:
    """Returns pixels (v, H, W, 3) of the sample's views, or one sentence why it cannot be read.

    `with_whole` puts the whole picture, squashed to the input, behind them.
    """
    try:
        picture = sample.open()
    except InputError as error:
        return str(error)
    crops = [view_of(picture, preprocessing, views, index, view) for view in range(views.count)]
    if with_whole:
        crops.append(crop_image(picture, replace(preprocessing, crop_mode="squash")))
    return np.stack([np.asarray(crop) for crop in crops])


@dataclass(frozen=True)
class _Extraction:
    """One run of the encoder over samples."""

    model: DualBranch
    index_of: dict[str, int]
    views: Views
    encoding: EncodingConfig = DEFAULT_ENCODING
    cache_folder: Path | None = FEATURES_FOLDER
    progress: Progress | None = None
    should_stop: ShouldStop = never
    on_note: OnNote = unheard
    readers: Sequence[GridReader] = ()

    def features_of(self, images: LabelledImages, processes: Processes) -> PooledFeatures:
        """Returns features and labels of this process's share; unreadable files are those of all processes."""
        samples = known_samples(images, self.index_of)
        own = processes.share(len(samples))
        pooled, unreadable = processes.together(lambda: self._share(samples, own))
        sentences = [sentence for part in processes.gathered(unreadable) for sentence in part.values()]
        refuse_nothing(len(samples) - len(sentences), len(samples), images.name)
        labels = label_tensor([present_classes(sample, self.index_of) for sample in samples])
        readable = [index for index in own if index not in unreadable]
        return PooledFeatures(pooled, labels[readable], tuple(sentences))

    def _share(self, samples: list[Sample], own: range) -> tuple[Tensor, dict[int, str]]:
        """Returns features (n, v, ...) of the readable samples in `own`, and why others cannot be read, by number."""
        if self.should_stop():
            raise StoppedEarly(f"stopped on request after 0 of {counted(len(own), 'picture')} were encoded.")
        path = self._path(samples, own)
        features = self._cached(samples, own, path) if path else None
        if features:
            if self.readers:
                self.show(samples, own)
            return features
        rows = _Rows(path, len(own), self.on_note)
        unreadable: dict[int, str] = {}
        try:
            self._encode(samples, own, self.views, rows, unreadable)
            pooled = rows.finished({index - own.start: text for index, text in unreadable.items()})
        finally:
            rows.discard()
        return torch.from_numpy(pooled), unreadable

    def _path(self, samples: list[Sample], part: range) -> Path | None:
        if not self.cache_folder:
            return None
        key = cache_key(self.model, samples[part.start : part.stop], self.views, part.start)
        return self.cache_folder / f"{key}.npy"

    def _cached(self, samples: list[Sample], own: range, own_path: Path) -> tuple[Tensor, dict[int, str]] | None:
        """Reads the file of this share or, in one of several processes, that of all samples."""
        for part in dict.fromkeys((own, range(len(samples)))):
            path = own_path if part == own else self._path(samples, part)
            features = read_features(path, len(part), self.views.count) if path else None
            if features:
                rows, unreadable = features[0], {part.start + index: text for index, text in features[1].items()}
                before = sum(index not in unreadable for index in range(part.start, own.start))
                own_unreadable = {index: text for index, text in unreadable.items() if index in own}
                return torch.from_numpy(rows[before : before + len(own) - len(own_unreadable)]), own_unreadable
        return None

    def show(self, samples: list[Sample], own: range) -> None:
        """Shows the readers the feature maps of the readable samples in `own`."""
        self._encode(samples, own, ONE_VIEW, None, {})

    def _encode(
        self, samples: list[Sample], own: range, views: Views, rows: _Rows | None, unreadable: dict[int, str]
    ) -> None:
        """Encodes the samples in `own` once: pooled views go to `rows`, feature maps to the readers."""
        encoder, with_whole = Encoder(self.model, self.on_note), bool(self.readers)
        batch_size = max(1, self.encoding.batch_size_on(self.model.device.type) // (views.count + with_whole))

        def decode(index: int) -> np.ndarray | str:
            return view_crops(samples[index], index, self.model.preprocessing, views, with_whole=with_whole)

        count = 0
        for readable, crops, failed in decoded_batches(own, decode, batch_size, self.encoding.threads()):
            if self.should_stop():
                raise StoppedEarly(f"stopped on request after {count} of {counted(len(own), 'picture')} were encoded.")
            unreadable.update(failed)
            if crops is not None:
                pooled = self._read(encoder, samples, readable, crops, views) if with_whole else encoder.pooled(crops)
                if rows:
                    rows.append(pooled.unflatten(0, (len(readable), views.count)).cpu().numpy())
            count += len(readable) + len(failed)
            if self.progress:
                self.progress(count, len(own))

    def _read(
        self, encoder: Encoder, samples: list[Sample], readable: list[int], crops: np.ndarray, views: Views
    ) -> Tensor:
        """Shows the readers a batch's feature maps; returns the pooled features of its views, (n * v, ...)."""
        features = encoder.grids(crops).unflatten(0, (len(readable), views.count + 1))
        for index, grids in zip(readable, features[:, [0, -1]], strict=True):
            for reader in self.readers:
                reader.read(index, present_classes(samples[index], self.index_of), grids)
        with torch.no_grad():
            return self.model.softmax_head.pooled(features[:, :-1].flatten(0, 1))


class _Rows:
    """Takes rows in order, into a file of the cache or, where that cannot be, into memory."""

    def __init__(self, path: Path | None, rows: int, on_note: OnNote) -> None:
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
                self._go_on_in_memory(self.file, error)
        if self.memory is not None:
            self.memory[self.filled : self.filled + len(rows)] = rows
        self.filled += len(rows)

    def finished(self, unreadable: dict[int, str]) -> np.ndarray:
        """Returns all rows; published, where they are in a file."""
        if self.file is not None:
            try:
                return self.file.publish(unreadable)
            except OSError as error:
                self._go_on_in_memory(self.file, error)
        return self.memory[: self.filled] if self.memory is not None else np.zeros((0, 1), np.float32)

    def discard(self) -> None:
        if self.file is not None:
            self.file.discard()

    def _begin(self, row_shape: tuple[int, ...]) -> None:
        if self.path is not None:
            try:
                make_room(self.path.parent, 4 * self.rows * int(np.prod(row_shape)))
                self.file = FeatureFile(self.path, self.rows, row_shape)
                return
            except OSError as error:
                self._tell(self.path, error)
        self.memory = self._allocated(row_shape)

    def _go_on_in_memory(self, file: FeatureFile, error: OSError) -> None:
        self.file = None
        try:
            self._tell(file.path, error)
            self.memory = self._allocated(file.row_shape)
            self.memory[: self.filled] = file.rows_so_far()[: self.filled]
        finally:
            file.discard()

    def _tell(self, path: Path, error: OSError) -> None:
        self.on_note(
            f"features cannot be kept in '{path.parent}' ({error}), so they stay in memory for this run alone; free "
            "space, or set BSIG_CACHE to another folder."
        )

    def _allocated(self, row_shape: tuple[int, ...]) -> np.ndarray:
        size = 4 * self.rows * int(np.prod(row_shape))
        if size > 0.8 * available_memory():
            raise InputError(
                f"the features of {self.rows} pictures take {size / 1e9:.3g} GB, which neither the cache nor memory "
                "holds; free space, set BSIG_CACHE to a larger disk (and BSIG_CACHE_GB), or use --no-cache."
            )
        return np.empty((self.rows, *row_shape), np.float32)
