"""Pictures -> pooled features: decode in threads while the encoder runs, in float32 or, on CUDA, mixed precision.

The encoder is only read. Pixels travel to the device as bytes, channels last, and are normalised there; on CUDA from
pinned memory, while the batch before is computed. What does not fit into memory is tried again in halves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bsig.inputs.counts import counted
from bsig.inputs.decoding import decoded_ahead
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.model.dual_branch import DualBranch
from bsig.training.callbacks import OnNote, unheard

Crops = UInt8[np.ndarray, "v H W 3"]
Batch = UInt8[np.ndarray, "b H W 3"]


def precision_on(device: torch.device) -> str:
    """Returns how the encoder computes there; part of the key of cached features."""
    return "float16 autocast" if device.type == "cuda" else "float32"


class Encoder:
    """A model's encoder and pooling, over batches of crops; says so where it has to halve a batch."""

    def __init__(self, model: DualBranch, on_note: OnNote = unheard) -> None:
        self.model, self.device, self.on_note = model, model.device, on_note
        self.largest: int | None = None

    def pooled(self, crops: UInt8[np.ndarray, "b H W 3"]) -> Float[Tensor, "b ..."]:
        """Returns pooled features of the crops on the encoder's device, float32, in pieces where memory is short.

        Raises:
            InputError: the memory does not hold one picture.
        """
        return self._in_pieces(crops, self.model.softmax_head.pooled)

    def grids(self, crops: UInt8[np.ndarray, "b H W 3"]) -> Float[Tensor, "b k h w"]:
        """Returns feature maps of the crops on the encoder's device, float32.

        Raises:
            InputError: the memory does not hold one picture.
        """
        return self._in_pieces(crops, lambda features: features)

    @torch.no_grad()
    def _in_pieces(self, crops: np.ndarray, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns `reduce` of the features, a piece at a time; pieces halve where the memory does not hold them."""
        size = min(self.largest or len(crops), len(crops))
        parts: list[Tensor] = []
        start = 0
        while start < len(crops):
            try:
                parts.append(reduce(self._forward(crops[start : start + size])))
                start += size
            except (torch.OutOfMemoryError, MemoryError) as error:
                size = self._halved(min(size, len(crops) - start), error)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _forward(self, crops: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(crops)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        inputs = normalised(pixels.to(self.device, non_blocking=True), self.model.preprocessing)
        with torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            features = self.model.features(inputs)
        return features.float()

    def _halved(self, size: int, error: BaseException) -> int:
        if size <= 1:
            raise InputError(
                f"the memory of `device` (='{self.device}') does not hold one picture's features of "
                f"'{self.model.backbone_name}'; choose another device or a smaller backbone."
            ) from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.largest = size // 2
        self.on_note(f"out of memory with {counted(size, 'picture')} at a time: going on with {self.largest}.")
        return self.largest


def normalised(pixels: UInt8[Tensor, "b H W 3"], preprocessing: Preprocessing) -> Float[Tensor, "b 3 H W"]:
    """`(value / 255 - mean) / std` per channel, channels last in memory; bit for bit `images.input_batch`."""
    mean = torch.tensor(preprocessing.mean, device=pixels.device)
    std = torch.tensor(preprocessing.std, device=pixels.device)
    return pixels.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)


def decoded_batches(
    indices: Sequence[int], decode: Callable[[int], Crops | str], batch_size: int, threads: int
) -> Iterator[tuple[list[int], Batch | None, dict[int, str]]]:
    """Yields batches in order, each decoded in threads while the ones before are used.

    `decode` is called in the threads; it returns the crops of a picture, or one sentence why it has none.

    Yields:
        Indices of the readable pictures, their crops (n * v, H, W, 3) or None, and a sentence for each other picture.
    """
    for batch in decoded_ahead(indices, decode, batch_size, threads):
        failed = {index: outcome for index, outcome in batch if isinstance(outcome, str)}
        crops = {index: outcome for index, outcome in batch if not isinstance(outcome, str)}
        yield list(crops), np.concatenate(list(crops.values())) if crops else None, failed
