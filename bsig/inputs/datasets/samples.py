"""A labelled picture, and the pictures of one split: what every layout is read into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image

Box = tuple[float, float, float, float]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ClassRegions:
    """Boxes and masks of one class of a picture, as in `Sample`."""

    class_name: str
    boxes_xyxy: tuple[Box, ...] = ()
    masks: tuple[Path, ...] = ()
    ignore_mask: Path | None = None


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
        further_regions: boxes and masks of further classes; a class without any is left out.
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
    further_regions: tuple[ClassRegions, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """All classes that are in the picture."""
        return (self.class_name, *self.further_classes)

    @property
    def masks(self) -> tuple[Path, ...]:
        """All masks of the picture's objects."""
        return (self.mask, *self.more_masks) if self.mask else ()

    @property
    def regions(self) -> tuple[ClassRegions, ...]:
        """Boxes and masks by class, those of `class_name` first."""
        return (ClassRegions(self.class_name, self.boxes_xyxy, self.masks, self.ignore_mask), *self.further_regions)

    def of_class(self, name: str) -> Sample:
        """The same picture with one of its classes as `class_name`, and with that class's boxes and masks."""
        others = (other for other in self.class_names if other != name)
        return self if name == self.class_name else self._with((name, *others), self.regions)

    def of_classes(self, names: Collection[str]) -> Sample | None:
        """The sample without its classes that are not among the names; None where none is left."""
        common = [name for name in self.class_names if name in names]
        if not common or len(common) == len(self.class_names):
            return self if common else None
        return self._with(common, self.regions)

    def renamed(self, class_map: Mapping[str, str]) -> Sample:
        """The sample with the classes that the map names under other names; classes that become one share regions."""
        if not class_map.keys() & set(self.class_names):
            return self
        regions = [replace(each, class_name=class_map.get(each.class_name, each.class_name)) for each in self.regions]
        return self._with([class_map.get(name, name) for name in self.class_names], regions)

    def and_classes_of(self, others: Sequence[Sample]) -> Sample:
        """The picture with the classes and regions of other samples of the same picture as well."""
        every = (self, *others)
        names = [name for sample in every for name in sample.class_names]
        sizes = (sample.listed_size_wh for sample in every)
        together = self._with(names, [regions for sample in every for regions in sample.regions])
        return replace(together, listed_size_wh=next(filter(None, sizes), None))

    def _with(self, names: Sequence[str], regions: Sequence[ClassRegions]) -> Sample:
        """The sample with these classes, each once, and their regions; regions of other classes are left out."""
        first, *further = dict.fromkeys(names)
        parts: dict[str, list[ClassRegions]] = {}
        for each in regions:
            parts.setdefault(each.class_name, []).append(each)
        own, *others = (_united(name, parts.get(name, ())) for name in (first, *further))
        mask, *more_masks = own.masks or (None,)
        return replace(
            self, class_name=first, further_classes=tuple(further), boxes_xyxy=own.boxes_xyxy, mask=mask,
            more_masks=tuple(more for more in more_masks if more), ignore_mask=own.ignore_mask,
            further_regions=tuple(each for each in others if each != ClassRegions(each.class_name)),
        )  # fmt: skip

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


def _united(name: str, parts: Sequence[ClassRegions]) -> ClassRegions:
    """All regions of a class, each box and mask once; of several regions to ignore the first counts."""
    return ClassRegions(
        name,
        tuple(dict.fromkeys(box for part in parts for box in part.boxes_xyxy)),
        tuple(dict.fromkeys(mask for part in parts for mask in part.masks)),
        next((part.ignore_mask for part in parts if part.ignore_mask), None),
    )


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
        return replace(self, samples=tuple(sample.renamed(class_map) for sample in self.samples))
