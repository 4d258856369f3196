"""What each number of an evaluation is called, which way is better, and what it can and cannot say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]
Question = Literal["whether", "where (one object)", "where (several)", "whether and where"]
"""What a row asks of a map: whether its class is in the picture, or where, with one object in it or several."""


@dataclass(frozen=True)
class Metric:
    """One number of a table.

    Attributes:
        family: which test it belongs to.
        question: what it asks of a map.
        better: which direction is better; `neither` for a number that only says where a head stands.
        note: how to read it, one line.
    """

    title: str
    family: str
    question: Question
    better: Better
    note: str


# Family -> key in JSON -> title, better direction, note.
FAMILIES: dict[str, dict[str, tuple[str, Better, str]]] = {
    "absent class": {
        "own_area": ("positive area, own class", "neither", "Share of cells above zero."),
        "absent_area": ("positive area, absent class", "lower", "Bought by any negative delta."),
        "own_mass": ("evidence mass, own class", "neither", "Mean of relu(map), in the map's unit."),
        "absent_mass": ("evidence mass, absent class", "lower", "In the map's unit: one head alone."),
        "mass_ratio": ("evidence mass, absent / own", "lower", "Free of the map's unit."),
        "absent_area_at_own_70": (
            "absent area at own 70 %", "lower",
            "At the level that 70 % of all own-class cells reach: no constant added to the maps buys it.",
        ),
        "absent_area_at_own_50": (
            "absent area at own 50 %", "lower",
            "At the level that 50 % of all own-class cells reach: no constant added to the maps buys it.",
        ),
        "cell_auc": ("AUC own against absent cells", "higher", "All levels at once; chance 0.5."),
        "picture_auc_area": ("AUC over pictures, area", "higher", "By positive area; chance 0.5."),
        "picture_auc_mass": ("AUC over pictures, mass", "higher", "By evidence mass; chance 0.5."),
    },
    "sign against boxes or mask": {
        "box_iou": ("IoU of map > 0", "higher", "With the boxes or mask."),
        "box_precision": ("precision of map > 0", "higher", "Empty maps left out."),
        "box_recall": ("recall of map > 0", "higher", "Full for an all-positive map."),
        "box_iou_at_own_70": ("IoU at own 70 %", "higher", "At equal own-class area."),
        "box_iou_at_own_50": ("IoU at own 50 %", "higher", "At equal own-class area."),
    },
    "order of places": {
        "inside_auc": ("AUC inside against outside", "higher", "No threshold and no zero; the mean over pictures."),
    },
    "class-aware precision": {
        "cell_precision": (
            "class-aware precision, absent", "higher",
            "Average precision over the cells of own and absent classes; right is the own class inside box or mask.",
        ),
        "cell_precision_siblings": (
            "class-aware precision, siblings", "higher", "The same with other classes of the data set as absent ones.",
        ),
        "cell_precision_own": (
            "cell precision, own class", "higher", "The same without absent classes: what it would be if all knew "
            "whether.",
        ),
    },
    "grid pointing game": {
        "mosaic": ("mosaic, at zero", "higher", "Chance 0.25; bought by any negative delta."),
        "mosaic_area": ("mosaic, positive area", "neither", "Share of cells above zero."),
        "mosaic_at_30": ("mosaic, at 30 % of maximum", "higher", "Chance 0.25; zero does not count."),
        "mosaic_quarter": ("mosaic, at equal area", "higher", "The strongest quarter of the cells."),
        "mosaic_precision": (
            "class-aware precision, mosaic", "higher", "Over the four maps of a mosaic; right is its own quarter.",
        ),
        "mosaic_maximum": ("mosaic, maximum", "higher", "Maximum in the right quarter; chance 0.25."),
    },
    "localization against boxes": {
        "max_box_acc_v2": (
            "MaxBoxAccV2", "higher", "All contours, the best threshold for each IoU level, mean of 0.3, 0.5, 0.7.",
        ),
        "max_box_acc_30": ("MaxBoxAcc, IoU 0.3", "higher", "All contours."),
        "max_box_acc_50": ("MaxBoxAcc, IoU 0.5", "higher", "All contours."),
        "max_box_acc_70": ("MaxBoxAcc, IoU 0.7", "higher", "All contours."),
        "gt_known": ("GT-known Loc, best threshold", "higher", "Largest contour, IoU 0.5."),
        "gt_known_at_20": ("GT-known Loc, threshold 0.2", "higher", "Fixed in advance."),
        "top1_loc": ("Top-1 Loc, best threshold", "higher", "Largest contour, IoU 0.5."),
        "top1_loc_at_20": ("Top-1 Loc, threshold 0.2", "higher", "Fixed in advance."),
    },
    "localization against masks": {
        "pxap": ("PxAP", "higher", "Area under the precision-recall curve of all pixels."),
    },
    "faithfulness, judged by softmax": {
        "insertion_auc": ("insertion AUC", "higher", "From the blurred picture, strongest first."),
        "deletion_auc": ("deletion AUC", "lower", "To the mean colour, strongest first."),
        "road": ("ROAD", "higher", "Weakest less strongest pixels guessed from neighbours; half of it."),
        "average_drop": ("average drop", "lower", "Picture times relu(map); favours large maps, the whole most."),
        "increase_in_confidence": ("increase in confidence", "higher", "Picture times relu(map)."),
    },
}  # fmt: skip
QUESTION_OF_FAMILY: dict[str, Question] = {
    "absent class": "whether",
    "sign against boxes or mask": "where (one object)",
    "order of places": "where (one object)",
    "class-aware precision": "whether and where",
    "grid pointing game": "where (several)",
    "localization against boxes": "where (one object)",
    "localization against masks": "where (one object)",
    "faithfulness, judged by softmax": "where (one object)",
}
METRICS: dict[str, Metric] = {
    key: Metric(title, family, QUESTION_OF_FAMILY[family], better, note)
    for family, metrics in FAMILIES.items()
    for key, (title, better, note) in metrics.items()
}
BEYOND = ("absent_area_at_own_70", "inside_auc", "cell_precision_own", "mosaic_quarter", "mosaic_precision",
          "cell_precision")  # fmt: skip
"""The metrics by which a trained branch is compared with the best reading without one: whether, where, both."""
IN_THE_MAPS_UNIT = ("own_mass", "absent_mass")
"""The metrics that are multiplied by a number when their map is."""
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}

# The baselines that look at no picture: columns of every table.
BLIND_TITLES = {
    "full-box": "baseline: the full-image box",
    "centred-box": "baseline: a centred box, 70 % of each side",
    "centred-gaussian": "baseline: a centred Gaussian",
    "random": "baseline: a random map",
}
