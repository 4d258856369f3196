"""Features made anew at every step, as the published code does: each epoch sees another crop of each picture.

Nothing is kept, so memory does not grow with the number of pictures; each epoch costs a run of the encoder over all of
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bsig.inputs.datasets.datasets import LabelledImages
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.training.config import DEFAULT_ENCODING, ONE_VIEW, EncodingConfig
from bsig.training.features.augmentation import fresh_view
from bsig.training.features.cache import cache_key, known_samples, refuse_nothing, view_crops
from bsig.training.features.encoding import Encoder
from bsig.training.features.pooled import PooledFeatures
from bsig.training.processes import ALONE, Processes

MEASURED = 512


class FreshFeatures:
    """Pictures that are opened, augmented and encoded whenever a step asks for them (BatchNorm in eval mode).

    Pictures are decoded in threads. The figures of an epoch are taken over the evaluation crops of at most 512 pictures
    spread over the data.

    Args:
        model: whose encoder and pooling are used.
        images: samples; those whose class `index_of` does not hold are left out.
        index_of: the model's class index of each class name.
        seed: of the crops.
        encoding: how they are fed to the encoder.
        on_note: told what had to be got around, in the caller's thread.
        processes: each one encodes its share of every step.

    Raises:
        InputError: no sample is left, or no picture can be read.
    """

    def __init__(
        self,
        model: DualBranch,
        images: LabelledImages,
        index_of: dict[str, int],
        *,
        seed: int = 0,
        encoding: EncodingConfig = DEFAULT_ENCODING,
        on_note: Callable[[str], None] | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.samples = known_samples(images, index_of)
        refuse_nothing(len(self.samples), len(self.samples), images.name)
        self.labels = torch.tensor([index_of[sample.class_name] for sample in self.samples])
        self.model, self.seed, self.processes = model, seed, processes
        self.encoder = Encoder(model, on_note)
        self.threads = encoding.threads()
        self.failed: dict[int, str] = {}
        self.count = len(self.samples)
        self.measured = processes.together(lambda: self._encoded_first_views(images.name))

    @property
    def unreadable(self) -> tuple[str, ...]:
        """One sentence for each file that could not be read so far, in all processes."""
        every = self.processes.gathered(self.failed)
        return tuple(
            text for _, text in sorted({index: text for part in every for index, text in part.items()}.items())
        )

    def batch(self, chosen: Int[Tensor, " b"], epoch: int) -> tuple[Float[Tensor, "own ..."], Int[Tensor, " own"]]:
        """Freshly cropped and encoded: this process's share of the chosen pictures, without those not readable."""
        mine = chosen[self.processes.rank :: self.processes.count].tolist()
        kept, crops = self._decoded(mine, lambda index: self._fresh(index, epoch))
        if crops is None:
            return self.measured.pooled[:0, 0], self.labels[:0]
        return self.encoder.pooled(crops), self.labels[kept]

    def first_views(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Of this process's share of the pictures that figures are taken over."""
        return self.measured.first_views()

    def identity(self) -> dict[str, str]:
        """Hashes of encoder, files and labels."""
        key = cache_key(self.model, self.samples, ONE_VIEW)
        labels = hashlib.sha256(self.labels.numpy().tobytes()).hexdigest()
        split = {} if self.processes.count == 1 else {"processes": str(self.processes.count)}
        return {"pictures": f"fresh {key[:12]}", "labels": labels[:12], **split}

    def _encoded_first_views(self, name: str) -> PooledFeatures:
        spread = np.linspace(0, self.count - 1, min(MEASURED, self.count)).round().astype(int).tolist()
        mine = spread[self.processes.rank :: self.processes.count]
        parts, labels = [], []
        for start in range(0, len(mine), 32):
            kept, crops = self._decoded(mine[start : start + 32], self._evaluation_crop)
            if crops is not None:
                parts.append(self.encoder.pooled(crops).cpu()[:, None])
                labels += self.labels[kept].tolist()
        refuse_nothing(len(labels), len(mine), name)
        pooled = torch.cat(parts)
        return PooledFeatures(pooled, torch.tensor(labels), ())

    def _decoded(
        self, indices: list[int], decode: Callable[[int], np.ndarray | str]
    ) -> tuple[list[int], np.ndarray | None]:
        with ThreadPoolExecutor(self.threads, thread_name_prefix="decode") as pool:
            outcomes = dict(zip(indices, pool.map(decode, indices), strict=True))
        self.failed.update({index: outcome for index, outcome in outcomes.items() if isinstance(outcome, str)})
        crops = {index: outcome for index, outcome in outcomes.items() if not isinstance(outcome, str)}
        return list(crops), np.concatenate(list(crops.values())) if crops else None

    def _evaluation_crop(self, index: int) -> np.ndarray | str:
        return view_crops(self.samples[index], index, self.model.preprocessing, ONE_VIEW)

    def _fresh(self, index: int, epoch: int) -> np.ndarray | str:
        try:
            picture = self.samples[index].open()
        except InputError as error:
            return str(error)
        return np.asarray(fresh_view(picture, self.model.preprocessing, self.seed, epoch, index))[None]
