"""A labelled picture, and the pictures of one split: what every layout is read into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image

Box = tuple[float, float, float, float]
SPLITS = ("train", "val", "test")
WITHOUT_REGIONS: dict[str, Any] = {"boxes_xyxy": (), "mask": None, "ignore_mask": None, "more_masks": ()}


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        key: its name within the data set (a relative path), unique.
        class_name: the data set's name of its class; of several classes the first.
        path: the file, or None where `opener` gives the picture.
        boxes_xyxy: ground-truth boxes in pixels, upright or as stored (`listed_size_wh` says it); empty if there are
            none. Boxes and masks are of `class_name`.
        mask: path of a mask of the object, in any encoding that `masks.py` reads, or None.
        ignore_mask: path of a mask of what does not count, or None; what is object stays object.
        opener: opens the picture where there is no file.
        more_masks: further masks of the same picture (OpenImages has one an instance); their union counts.
        listed_size_wh: the picture's size in the index, in which its boxes count; None where the index has none.
        further_classes: the other classes that are in the picture.
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
    further_classes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """All classes that are in the picture."""
        return (self.class_name, *self.further_classes)

    @property
    def masks(self) -> tuple[Path, ...]:
        """All masks of the picture's objects."""
        return (self.mask, *self.more_masks) if self.mask else ()

    def of_classes(self, names: Collection[str]) -> Sample | None:
        """The sample without its classes that are not among the names; None where none is left.

        Boxes and masks are of the first class and go with it.
        """
        known = [name for name in self.class_names if name in names]
        if not known or len(known) == len(self.class_names):
            return self if known else None
        regions = {} if known[0] == self.class_name else WITHOUT_REGIONS
        return replace(self, class_name=known[0], further_classes=tuple(known[1:]), **regions)

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

    `split` is `train`, `val` or `test`, or `held out` for a part that was drawn from one of them. `left_out` says in
    sentences what else the data set holds, if anything.
    """

    name: str
    split: str
    samples: tuple[Sample, ...]
    left_out: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that occur, sorted by name."""
        return tuple(sorted({name for sample in self.samples for name in sample.class_names}))

    def counts(self) -> dict[str, int]:
        """The number of pictures of each class, sorted by its name; one of several classes counts for each."""
        return dict(sorted(Counter(name for sample in self.samples for name in sample.class_names).items()))

    def renamed(self, class_map: Mapping[str, str]) -> LabelledImages:
        """The same with the classes that the map names under other names; several may become one."""
        samples = []
        for sample in self.samples:
            first, *further = dict.fromkeys(class_map.get(name, name) for name in sample.class_names)
            samples.append(replace(sample, class_name=first, further_classes=tuple(further)))
        return replace(self, samples=tuple(samples))
