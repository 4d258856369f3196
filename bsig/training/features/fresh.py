"""Features made anew at every step, as the published code does: each epoch sees another crop of each picture.

Nothing is kept, so memory does not grow with the number of pictures; each epoch costs a run of the encoder over all of
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.training.callbacks import OnNote, unheard
from bsig.training.config import DEFAULT_ENCODING, ONE_VIEW, EncodingConfig
from bsig.training.features.augmentation import fresh_view
from bsig.training.features.cache import cache_key, known_samples, refuse_nothing, view_crops
from bsig.training.features.encoding import Encoder, decoded_batches
from bsig.training.features.labels import label_tensor, present_classes
from bsig.training.features.pooled import PooledFeatures
from bsig.training.processes import ALONE, Processes

MEASURED = 512


class FreshFeatures:
    """Pictures that are opened, augmented and encoded whenever a step asks for them (BatchNorm in eval mode).

    Pictures are decoded in threads. An epoch is measured on the evaluation crops of at most 512 pictures spread over
    the data. Of several processes each one encodes its share of every step.

    Raises:
        InputError: no sample is of a class in `index_of`, or no picture can be read.
    """

    def __init__(
        self,
        model: DualBranch,
        images: LabelledImages,
        index_of: dict[str, int],
        *,
        seed: int = 0,
        encoding: EncodingConfig = DEFAULT_ENCODING,
        on_note: OnNote = unheard,
        processes: Processes = ALONE,
    ) -> None:
        self.samples = known_samples(images, index_of)
        self.count = len(self.samples)
        refuse_nothing(self.count, self.count, images.name)
        self.labels = label_tensor([present_classes(sample, index_of) for sample in self.samples])
        self.model, self.seed, self.processes = model, seed, processes
        self.encoder = Encoder(model, on_note)
        self.threads = encoding.threads()
        self.failed: dict[int, str] = {}
        self.evaluation_features = processes.together(lambda: self._encoded_first_views(images.name))

    @property
    def unreadable(self) -> tuple[str, ...]:
        """One sentence for each file that could not be read so far, in all processes."""
        failed = {index: text for part in self.processes.gathered(self.failed) for index, text in part.items()}
        return tuple(failed[index] for index in sorted(failed))

    def batch(self, numbers: Int[Tensor, " b"], epoch: int) -> tuple[Float[Tensor, "own ..."], Int[Tensor, "own ..."]]:
        """Returns this process's share of these pictures, freshly cropped and encoded, without those not readable."""
        own = numbers[self.processes.rank :: self.processes.count].tolist()
        batches = self._encoded(own, lambda index: self._fresh(index, epoch), len(numbers))
        return next(batches, (self.evaluation_features.pooled[:0, 0], self.labels[:0]))

    def first_views(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields pooled features and labels of this process's share of the pictures that measures are taken over."""
        return self.evaluation_features.first_views()

    def identity(self) -> dict[str, str]:
        """Returns hashes of encoder, files and labels."""
        key = cache_key(self.model, self.samples, ONE_VIEW)
        labels = hashlib.sha256(self.labels.numpy().tobytes()).hexdigest()
        split = {} if self.processes.count == 1 else {"processes": str(self.processes.count)}
        return {"pictures": f"fresh {key[:12]}", "labels": labels[:12], **split}

    def _encoded_first_views(self, name: str) -> PooledFeatures:
        spread = np.linspace(0, self.count - 1, min(MEASURED, self.count)).round().astype(int).tolist()
        own = spread[self.processes.rank :: self.processes.count]
        parts = [(pooled.cpu(), labels) for pooled, labels in self._encoded(own, self._evaluation_crop, 32)]
        refuse_nothing(len(parts), len(own), name)
        pooled, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        return PooledFeatures(pooled[:, None], labels, ())

    def _encoded(
        self, indices: list[int], decode: Callable[[int], np.ndarray | str], batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields pooled features and labels of the readable pictures, a batch at a time."""
        for readable, crops, failed in decoded_batches(indices, decode, batch_size, self.threads):
            self.failed.update(failed)
            if crops is not None:
                yield self.encoder.pooled(crops), self.labels[readable]

    def _evaluation_crop(self, index: int) -> np.ndarray | str:
        return view_crops(self.samples[index], index, self.model.preprocessing, ONE_VIEW)

    def _fresh(self, index: int, epoch: int) -> np.ndarray | str:
        try:
            picture = self.samples[index].open()
        except InputError as error:
            return str(error)
        return np.asarray(fresh_view(picture, self.model.preprocessing, self.seed, epoch, index))[None]
