"""An address -> the samples of one split, in any of four layouts. No picture is opened here.

    address                      layout
    folder of class folders      CLASS/*.jpg, or train/CLASS/*.jpg val/CLASS/*.jpg ...   class_folders.py
    folder with index.csv        file,class,split,width,height,boxes_xyxy,mask           index_csv.py
    WSOL metadata folder         image_ids.txt, class_labels.txt, ...                    wsol.py
    torchvision:NAME             downloaded by torchvision                               torchvision_sets.py

A zip of one of these folders is unpacked into the cache and read from there. A data set without splits is all `train`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bsig.inputs.datasets.class_folders import folder_samples, folder_splits
from bsig.inputs.datasets.index_csv import INDEX, index_samples, index_splits, split_cells
from bsig.inputs.datasets.left_out import LeftOut
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.datasets.torchvision_sets import PREFIX, torchvision_samples
from bsig.inputs.datasets.wsol import wsol_samples, wsol_splits
from bsig.inputs.errors import InputError
from bsig.inputs.names import check_utf8
from bsig.inputs.zips import unpacked_zip


def available_splits(address: str | Path) -> tuple[str, ...]:
    """The splits that the data set has, whether or not they can be read; none where it holds no labelled pictures.

    Of torchvision's sets always `train`: which others they have is known only after the download.

    Raises:
        InputError: there is no such data set, or its index cannot be read at all.
    """
    if is_torchvision(address):
        return ("train",)
    folder = _folder(address)
    if (folder / INDEX).is_file():
        return index_splits(folder)
    return wsol_splits(folder) or folder_splits(folder)


def read_dataset(address: str | Path, split: str = "train", images_root: Path | str | None = None) -> LabelledImages:
    """The samples of one split.

    The pictures of a WSOL metadata folder lie in `images_root`, a folder or a zip of one.

    Raises:
        InputError: there is no such data set, the split is empty, or an index breaks its own rules.
    """
    left_out = LeftOut()
    if is_torchvision(address):
        name = str(address)
        samples = torchvision_samples(name.removeprefix(PREFIX), split)
    else:
        folder = _folder(address)
        name = Path(address).stem if is_zip(address) else folder.name
        if (folder / INDEX).is_file():
            samples = index_samples(folder, split, left_out)
        elif splits := wsol_splits(folder):
            root = _folder(images_root, "--images") if images_root else None
            samples = wsol_samples(folder, split, root) if split in splits else []
        else:
            samples = folder_samples(folder, split, left_out)
    if not samples:
        raise InputError(_no_samples(address, name, split, left_out))
    repeated = [key for key, times in Counter(sample.key for sample in samples).items() if times > 1]
    if repeated:
        raise InputError(
            f"'{name}' lists '{repeated[0][:100]}' more than once in its split '{split}'; keep one line, with several "
            "classes as 'cat;dog', or give each line boxes or a mask of its class."
        )
    return LabelledImages(name, split, tuple(samples), left_out.sentences())


def _no_samples(address: str | Path, name: str, split: str, left_out: LeftOut) -> str:
    """Why a split is empty: the splits that are there, and what was left out."""
    others = [other for other in available_splits(address) if other != split]
    remedy = f"choose its split '{others[0]}'" if others else "put pictures into class folders"
    if not is_torchvision(address) and (_folder(address) / INDEX).is_file():
        cells = ", ".join(f"'{cell[:40]}' ({count})" for cell, count in list(split_cells(_folder(address)).items())[:8])
        remedy += f"; the column `split` holds {cells or 'nothing'}"
    elif left_out.sentences():
        remedy += f" ({' '.join(left_out.sentences()).rstrip('.')})"
    place = f" in its split '{split}'" if others or split != "train" else ""
    return f"'{name}' holds no labelled pictures{place}; {remedy}."


def is_torchvision(address: str | Path) -> bool:
    """Whether the address names one of torchvision's data sets."""
    return str(address).startswith(PREFIX)


def is_zip(address: str | Path) -> bool:
    """Whether the address is a file that is called a zip."""
    try:
        file = Path(address).expanduser()
        return file.suffix.lower() == ".zip" and file.is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def _folder(address: str | Path, argument: str = "DATA") -> Path:
    """The data set's folder; that of a zip lies in the cache, unpacked."""
    if is_zip(address):
        return unpacked_zip(Path(address).expanduser())
    try:
        folder = Path(address).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError):  # too long for a path; '~' of a user who is not there; a NUL
        is_folder = False
    if not is_folder:
        others = ", or 'torchvision:NAME'" if argument == "DATA" else ""
        raise InputError(f"`{argument}` (='{address}') must be a folder of pictures, a zip of one{others}.")
    check_utf8([folder.name], f"`{argument}`")
    return folder
