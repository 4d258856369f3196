"""What each number of an evaluation is called, which way is better, and what it can and cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """One number of a table.

    Attributes:
        key: in JSON.
        family: which test it belongs to.
        better: which direction is better; `neither` for a number that only says where a head stands.
        note: how to read it, one line.
    """

    key: str
    title: str
    family: str
    better: Better
    note: str


def _zero_tests() -> Iterator[Metric]:
    family = "absent class"
    yield Metric("own_area", "positive area, own class", family, "neither", "Share of cells above zero.")
    yield Metric("absent_area", "positive area, absent class", family, "lower", "Bought by any negative delta.")
    yield Metric("own_mass", "evidence mass, own class", family, "neither", "Mean of relu(map), in the map's unit.")
    yield Metric("absent_mass", "evidence mass, absent class", family, "lower", "In the map's unit: one head alone.")
    yield Metric("mass_ratio", "evidence mass, absent / own", family, "lower", "Free of the map's unit.")
    for share in (70, 50):
        yield Metric(
            f"absent_area_at_own_{share}", f"absent area at own {share} %", family, "lower",
            f"At the level that {share} % of all own-class cells reach: no constant added to the maps buys it.",
        )  # fmt: skip
    yield Metric("cell_auc", "AUC own against absent cells", family, "higher", "All levels at once; chance 0.5.")
    yield Metric("picture_auc_area", "AUC over pictures, area", family, "higher", "By positive area; chance 0.5.")
    yield Metric("picture_auc_mass", "AUC over pictures, mass", family, "higher", "By evidence mass; chance 0.5.")
    family = "sign against boxes or mask"
    yield Metric("box_iou", "IoU of map > 0", family, "higher", "With the boxes or mask.")
    yield Metric("box_precision", "precision of map > 0", family, "higher", "Empty maps left out.")
    yield Metric("box_recall", "recall of map > 0", family, "higher", "Full for an all-positive map.")
    for share in (70, 50):
        yield Metric(
            f"box_iou_at_own_{share}", f"IoU at own {share} %", family, "higher", "At equal own-class area.",
        )  # fmt: skip
    yield Metric(
        "inside_auc", "AUC inside against outside", "order of places", "higher",
        "No threshold and no zero; the mean over pictures.",
    )  # fmt: skip


def _pointing() -> Iterator[Metric]:
    family = "grid pointing game"
    yield Metric("mosaic", "mosaic, at zero", family, "higher", "Chance 0.25; bought by any negative delta.")
    yield Metric("mosaic_area", "mosaic, positive area", family, "neither", "Share of cells above zero.")
    yield Metric("mosaic_at_30", "mosaic, at 30 % of maximum", family, "higher", "Chance 0.25; zero does not count.")
    yield Metric("mosaic_quarter", "mosaic, at equal area", family, "higher", "The strongest quarter of the cells.")
    yield Metric("mosaic_maximum", "mosaic, maximum", family, "higher", "Maximum in the right quarter; chance 0.25.")


def _localization() -> Iterator[Metric]:
    family = "localization against boxes"
    yield Metric(
        "max_box_acc_v2", "MaxBoxAccV2", family, "higher",
        "All contours, the best threshold for each IoU level, mean of 0.3, 0.5, 0.7.",
    )  # fmt: skip
    for level in (30, 50, 70):
        yield Metric(
            f"max_box_acc_{level}", f"MaxBoxAcc, IoU 0.{level // 10}", family, "higher", "All contours.",
        )  # fmt: skip
    for key, title in (("gt_known", "GT-known Loc"), ("top1_loc", "Top-1 Loc")):
        yield Metric(key, f"{title}, best threshold", family, "higher", "Largest contour, IoU 0.5.")
        yield Metric(f"{key}_at_20", f"{title}, threshold 0.2", family, "higher", "Fixed in advance.")
    yield Metric(
        "pxap", "PxAP", "localization against masks", "higher",
        "Area under the precision-recall curve of all pixels.",
    )  # fmt: skip


def _faithfulness() -> Iterator[Metric]:
    family = "faithfulness, judged by softmax"
    yield Metric("insertion_auc", "insertion AUC", family, "higher", "From the blurred picture, strongest first.")
    yield Metric("deletion_auc", "deletion AUC", family, "lower", "To the mean colour, strongest first.")
    yield Metric("road", "ROAD", family, "higher", "Weakest less strongest pixels guessed from neighbours; half of it.")
    yield Metric("average_drop", "average drop", family, "lower", "Picture times relu(map); favours large maps.")
    yield Metric("increase_in_confidence", "increase in confidence", family, "higher", "Picture times relu(map).")


METRICS: dict[str, Metric] = {
    metric.key: metric for family in (_zero_tests, _pointing, _localization, _faithfulness) for metric in family()
}
