"""A labelled picture, and the pictures of one split: what every layout is read into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image

Box = tuple[float, float, float, float]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        key: its name within the data set (a relative path), unique.
        class_name: the data set's name of its class.
        path: the file, or None where `opener` gives the picture.
        boxes_xyxy: ground-truth boxes in pixels of the stored picture; empty if there are none.
        mask: path of a PNG mask (1 object, 0 background), or None.
        ignore_mask: path of a PNG mask of what does not count, or None; what is object stays object.
        opener: opens the picture where there is no file.
        more_masks: further masks of the same picture (OpenImages has one an instance); their union counts.
        listed_size_wh: the picture's size in the index, in which its boxes count; None where the index has none.
    """

    key: str
    class_name: str
    path: Path | None
    boxes_xyxy: tuple[Box, ...] = ()
    mask: Path | None = None
    ignore_mask: Path | None = None
    opener: Callable[[], Image.Image] | None = None
    more_masks: tuple[Path, ...] = ()
    listed_size_wh: tuple[int, int] | None = None

    @property
    def masks(self) -> tuple[Path, ...]:
        """All masks of the picture's objects."""
        return (self.mask, *self.more_masks) if self.mask else ()

    def open(self) -> Image.Image:
        """The picture as upright RGB.

        Raises:
            InputError: it cannot be read.
        """
        if self.opener:
            return read_image(self.opener(), name=f"'{self.key}'")
        if self.path is None:
            raise InputError(f"'{self.key}' has neither a file nor an opener; give one.")
        return read_image(self.path, name=f"'{self.key}'")

    def stamp(self) -> str:
        """Name, size and time of change of the file: a text that changes when the file does."""
        if self.path is None:
            return self.key
        try:
            status = self.path.stat()
        except OSError:
            return f"{self.key} missing"
        return f"{self.key} {status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class LabelledImages:
    """The samples of one split.

    `split` is `train`, `val` or `test`, or `held out` for a part that was drawn from one of them.
    """

    name: str
    split: str
    samples: tuple[Sample, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that occur, sorted by name."""
        return tuple(sorted({sample.class_name for sample in self.samples}))

    def counts(self) -> dict[str, int]:
        """The number of pictures of each class, sorted by its name."""
        return dict(sorted(Counter(sample.class_name for sample in self.samples).items()))
