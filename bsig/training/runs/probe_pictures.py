"""The maps of a run's probe picture as pictures: evidence that forms epoch by epoch, from the run's folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from bsig.explain.drawing.colours import View
from bsig.explain.drawing.comparison import PICTURE_SIZE
from bsig.explain.drawing.heatmaps import overlay, shared_limit
from bsig.explain.wording import number_text, whole_percent
from bsig.training.runs.folder import MAPS
from bsig.training.runs.run import Run


@dataclass(frozen=True)
class ProbePictures:
    """Both branches' maps of the probe after an epoch (0 is before training), each with its description.

    Attributes:
        limit: the end of one scale for all epochs, so that a growing map is seen to grow.
        method: the CAM variant of the maps.
    """

    epoch: int
    softmax: Image.Image
    sigmoid: Image.Image
    softmax_text: str
    sigmoid_text: str
    limit: float
    method: str


def probe_epochs(run: Run) -> list[int]:
    """Returns the epochs with a map of the probe, ascending; empty without a probe."""
    numbers = [path.stem.removeprefix("sigmoid-") for path in (run.folder / MAPS).glob("sigmoid-*.npy")]
    return sorted(int(number) for number in numbers if number.isdigit())


def probe_pictures(
    run: Run, epoch: int, view: View = "positive", *, last_epoch: int | None = None
) -> ProbePictures | None:
    """Returns the probe's pictures after an epoch, or after the nearest one that is kept; None without a probe.

    Args:
        run: what the maps belong to.
        epoch: whose sigmoid map is drawn.
        view: how the maps are drawn.
        last_epoch: the scale holds the maps of all epochs up to this one; of all where it is None.
    """
    epochs, maps = probe_epochs(run), run.folder / MAPS
    if not epochs or not (maps / "softmax.npy").is_file():
        return None
    epoch = min(max(epoch, epochs[0]), epochs[-1])
    softmax, sigmoid = np.load(maps / "softmax.npy"), np.load(_file(maps, epoch))
    scaled = [number for number in epochs if last_epoch is None or number <= max(last_epoch, epochs[0])]
    files = (maps / "softmax.npy", *(_file(maps, number) for number in scaled))
    limit = max(_limit(file, file.stat().st_mtime_ns, view) for file in files)  # as `shared_limit` of all of them
    with Image.open(maps / "crop.png") as image:
        crop = image.convert("RGB").resize(PICTURE_SIZE, Image.Resampling.BICUBIC)
    start = run.last("start") or {}
    name = start.get("probe_class", "the predicted class")
    return ProbePictures(
        epoch,
        overlay(crop, softmax, limit, view=view),
        overlay(crop, sigmoid, limit, view=view),
        f"Softmax map of '{name}', the same in every epoch: positive evidence on {_area(softmax)}",
        f"Sigmoid map of '{name}' after epoch {epoch}: positive evidence on {_area(sigmoid)}, strongest "
        f"{number_text(float(sigmoid.max()))}",
        limit,
        str(start.get("method", "cam")),
    )


def _area(values: np.ndarray) -> str:
    return f"{whole_percent(float((values > 0).mean()))} of the picture"


@lru_cache(maxsize=20_000)
def _limit(file: Path, change_time: int, view: View) -> float:  # noqa: ARG001  of the file as it is now
    """`shared_limit` of one map: a page that is drawn anew every second reads only the newest."""
    return shared_limit(np.load(file), view=view)


def _file(maps: Path, epoch: int) -> Path:
    return maps / f"sigmoid-{epoch:05d}.npy"
