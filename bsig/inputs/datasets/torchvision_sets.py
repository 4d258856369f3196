"""`torchvision:NAME` -> samples; torchvision downloads the data set into this project's cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from PIL import Image

from bsig.inputs.datasets.samples import Sample
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CACHE_FOLDER

PREFIX = "torchvision:"


def torchvision_samples(name: str, split: str) -> list[Sample]:
    """The pictures that torchvision has for the split, or in its place: some of its sets have other splits, or none.

    Raises:
        InputError: torchvision has no such data set of labelled pictures, or cannot download it.
    """
    images = _downloaded(torchvision_set(name), name, split)
    class_names = getattr(images, "classes", None) or getattr(images, "categories", None)
    return [
        Sample(
            f"{name}/{split}/{index}", _class_name(class_names, label), None, opener=partial(_picture, images, index)
        )
        for index, label in enumerate(_labels(images))
    ]


def torchvision_set(name: str) -> type:
    """The class of torchvision that has the data set; nothing is downloaded.

    Raises:
        InputError: torchvision has no such data set.
    """
    import torchvision.datasets  # here, because importing it takes a second that only this layout needs

    kind = getattr(torchvision.datasets, name, None)
    if not isinstance(kind, type) or not issubclass(kind, torchvision.datasets.VisionDataset):
        raise InputError(f"`DATA` (='torchvision:{name}') must name a data set of torchvision, e.g. Imagenette.")
    return kind


def _downloaded(kind: type, name: str, split: str) -> Any:
    """The data set, (picture, label) by index, opened with the first of the arguments that it takes."""
    root = str(CACHE_FOLDER / "torchvision")
    attempts: tuple[dict[str, str | bool], ...] = (
        {"split": split},
        {"split": "trainval" if split == "train" else "test"},
        {"train": split == "train"},
        {},
    )
    for arguments in attempts:
        try:
            return kind(root, download=True, **arguments)
        except (TypeError, ValueError):
            continue  # this data set names its splits otherwise
        except Exception as error:
            raise InputError(
                f"torchvision cannot download '{name}' ({type(error).__name__}); connect to the network or give a "
                "folder."
            ) from error
    raise InputError(f"torchvision's '{name}' cannot be opened as pictures with one label each.")


def _picture(images: Any, index: int) -> Image.Image:
    return images[index][0]


def _labels(images: Any) -> list[int]:
    # Most of torchvision's sets keep their labels in one of these; else every picture must be opened.
    for attribute in ("_labels", "targets", "_samples", "y"):
        labels = getattr(images, attribute, None)
        if labels is not None and len(labels) == len(images):
            return [entry[1] if isinstance(entry, tuple) else int(entry) for entry in labels]
    return [images[index][1] for index in range(len(images))]


def _class_name(class_names: Sequence | None, label: int) -> str:
    if class_names is None:
        return str(label)
    name = class_names[label]
    return name[0] if isinstance(name, tuple) else str(name)
