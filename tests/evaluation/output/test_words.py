"""The words of the Evaluate screen, from made-up numbers: who is better, what is said, what is never hidden."""

from __future__ import annotations

from typing import Any

import pytest

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.words import (
    FIRST_ROWS,
    best_blind,
    beyond_untrained,
    drop_warning,
    finding,
    first_rows,
    left_out,
    result_title,
    verdict,
)
from bsig.ui.plots.evaluation import classes_figure, delta_figure, localization_figure


def number(value: float | None, change: tuple[float, float, float] | None = None) -> dict[str, Any]:
    estimate: dict[str, Any] = {"value": value, "low": value, "high": value, "n": 9}
    if change:
        estimate["difference"] = dict(zip(("value", "low", "high"), change, strict=True)) | {"n": 9}
    return estimate


def table(**changes: tuple[float, float, float, float, float]) -> dict[str, Any]:
    """Columns softmax and sigmoid; a change is (softmax, sigmoid, difference, low, high) of a metric."""
    softmax = {key: number(change[0]) for key, change in changes.items()}
    sigmoid = {key: number(change[1], (change[2], change[3], change[4])) for key, change in changes.items()}
    blind = {"gt_known": number(0.9, (0.2, 0.1, 0.3))}
    return {
        "method": "cam",
        "weights": "signed",
        "columns": {
            "softmax": {"title": "softmax", "metrics": softmax},
            "sigmoid": {"title": "sigmoid", "metrics": sigmoid},
            "centred-box": {"title": "baseline: a centred box", "metrics": blind},
        },
    }


WORSE = table(absent_area=(0.4, 0.5, 0.1, 0.05, 0.15), inside_auc=(0.9, 0.8, -0.1, -0.2, -0.05),
              gt_known=(0.7, 0.71, 0.01, -0.05, 0.06))  # fmt: skip
BETTER = table(absent_area=(0.4, 0.1, -0.3, -0.31, -0.29), inside_auc=(0.8, 0.9, 0.1, 0.05, 0.2))


@pytest.mark.parametrize(
    ("key", "change", "word"),
    [
        ("absent_area", (-0.1, -0.2, -0.05), "better"),
        ("absent_area", (0.1, 0.05, 0.2), "worse"),
        ("inside_auc", (0.1, 0.05, 0.2), "better"),
        ("inside_auc", (-0.1, -0.2, -0.05), "worse"),
        ("inside_auc", (-0.1, -0.2, 0.05), "no clear difference"),
        ("inside_auc", (0.0, 0.0, 0.0), "no clear difference"),
        ("own_area", (0.1, 0.05, 0.2), "differs"),
    ],
)
def test_better_goes_by_the_metrics_direction_and_the_interval(
    key: str, change: tuple[float, float, float], word: str
) -> None:
    assert verdict(key, number(0.5, change)["difference"]).word == word


def test_no_difference_is_not_measured() -> None:
    assert verdict("pxap", None).word == "not measured"
    assert verdict("pxap", {"value": None, "low": None, "high": None, "n": 0}).word == "not measured"


def test_the_finding_says_where_the_sigmoid_branch_is_worse() -> None:
    sentence = finding(WORSE)
    assert "even 50 %" in sentence
    assert "clearly worse: AUC inside against outside (0.900 to 0.800)" in sentence
    assert "no clear difference: GT-known Loc" in sentence
    assert "better" not in sentence.split("Mind")[0]
    assert "a centred box finds 90 % of these objects without looking" in sentence


def test_the_finding_says_where_it_is_better() -> None:
    sentence = finding(BETTER)
    assert "40 % of the picture, the sigmoid map only 10 %" in sentence
    assert "clearly better: AUC inside against outside" in sentence
    assert "worse" not in sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((0.4, 0.1, -0.3, -0.31, -0.29), "the softmax map claims 40 % of the picture, the sigmoid map only 10 %."),
        ((0.4, 0.5, 0.1, 0.05, 0.15), "the softmax map claims 40 % of the picture, the sigmoid map even 50 %."),
        ((0.4, 0.38, -0.02, -0.1, 0.06), "claims 40 % of the picture, the sigmoid map 38 %, no clear difference."),
        ((0.163, 0.161, -0.002, -0.003, -0.001), "both maps claim 16 % of the picture."),
    ],
)  # fmt: skip
def test_a_claim_follows_the_numbers_as_they_are_printed(change: tuple[float, ...], words: str) -> None:
    claim = finding(table(absent_area=change, inside_auc=(0.9001, 0.9003, 0.0002, 0.0001, 0.0003)))  # type: ignore[arg-type]
    assert words in claim
    assert "clearly better: AUC inside against outside (both 0.900)" in claim


def test_rows_come_in_order_and_without_what_was_not_measured() -> None:
    rows = first_rows(WORSE)
    assert [row.key for row in rows] == ["absent_area", "inside_auc", "gt_known"]
    assert [row.arrow for row in rows] == ["↓", "↑", "↑"]
    assert rows[1].values["sigmoid"] == "0.800*"
    assert rows[2].values["sigmoid"] == "0.710"
    assert set(FIRST_ROWS) <= set(METRICS)


def test_the_best_baseline_without_looking_is_named() -> None:
    assert best_blind(WORSE, "gt_known") == ("0.900", "a centred box")
    assert best_blind(WORSE, "absent_area") is None


def test_what_was_left_out_is_said() -> None:
    counts = {
        "used": 3, "unreadable": 2, "of_unmatched_classes": 4, "unmatched_classes": ["unicorn"], "with_boxes": 0,
        "with_mask": 0, "boxes_or_masks_cut_or_left_out": 1, "mosaics": 0, "sentences": ["'a.png' is empty."],
    }  # fmt: skip
    text = " ".join(left_out({"counts": counts}))
    for part in (
        "2 pictures",
        "4 pictures",
        "unicorn",
        "1 box or mask was cut off",
        "localization is not measured",
        "No mosaics",
        "a.png",
    ):
        assert part in text
    assert result_title({"data": "d", "split": "val", "counts": counts}) == "d (val): 3 pictures, class labels only"


def test_figures_are_drawn_only_of_what_there_is() -> None:
    assert localization_figure({"localization_curves": {"softmax": []}}) is None
    assert delta_figure({**BETTER, "delta_curve": [{"delta": 0.0, "absent_area": 0.4}]}) is None
    assert classes_figure([{"class": "a", "softmax": {}, "sigmoid": {}}]) is None
    curve = [{"threshold": 0.0, "gt_known": 0.2}, {"threshold": 1.0, "gt_known": 0.0}]
    figure = localization_figure({"localization_curves": {"softmax": curve, "sigmoid": curve, "delta-0.01": curve}})
    assert [trace.name for trace in figure.data] == ["Softmax", "Sigmoid"]
    rows = [
        {"class": f"c{i}", "softmax": {"absent_area": 0.4, "inside_auc": 0.9},
         "sigmoid": {"absent_area": 0.1, "inside_auc": 0.9 - i / 100}}
        for i in range(40)
    ]  # fmt: skip
    assert len(classes_figure(rows).data[0].y) == 30


def beyond(**gains: tuple[float, float, float]) -> dict[str, Any]:
    """A table with gains beyond the best untrained column, each a value with its interval."""
    entries = {
        key: {"trained": "sigmoid", "untrained": "competition",
              "difference": dict(zip(("value", "low", "high"), gain, strict=True)) | {"n": 9}}
        for key, gain in gains.items()
    }  # fmt: skip
    columns = {"competition": {"title": "softmax, competition", "metrics": {}}}
    return {**BETTER, "columns": BETTER["columns"] | columns, "beyond_untrained": entries}


def test_what_the_branch_adds_is_named_with_its_rival_and_nothing_is_called_nothing() -> None:
    results = beyond(
        inside_auc=(-0.01, -0.02, -0.005), cell_precision_own=(0.005, 0.002, 0.009), mosaic_quarter=(0.02, 0.01, 0.03),
        cell_precision=(0.1, -0.1, 0.2),
    )  # fmt: skip
    assert beyond_untrained(results) == (
        "Beyond the best untrained reading the trained branch adds +0.005 in cells of one object over all pictures "
        "(cell precision) (against softmax, competition) and +0.020 in several objects in one picture, at equal area "
        "(against softmax, competition); nothing in places within one object (AUC) and both questions at once "
        "(class-aware precision)."
    )
    assert beyond_untrained(beyond(inside_auc=(0.01, -0.01, 0.02))) == (
        "Beyond the best untrained reading the trained branch adds nothing in places within one object (AUC)."
    )
    assert beyond_untrained(results) in finding(results)
    assert beyond_untrained(BETTER) == ""  # measured before there was such an entry


def test_average_drop_is_shown_with_the_rank_of_a_map_that_says_nothing() -> None:
    columns = {key: {"title": key, "metrics": {"average_drop": number(value)}}
               for key, value in {"softmax": 0.2, "sigmoid": 0.4, "full-box": 0.0}.items()}  # fmt: skip
    assert "has rank 1 of 3." in drop_warning({"columns": columns})
    assert drop_warning(BETTER) == ""
