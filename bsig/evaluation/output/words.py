"""An evaluation for someone who does not read tables: which rows come first, who is better, one honest sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bsig.evaluation.metrics.catalogue import ARROWS, BLIND_TITLES, METRICS
from bsig.evaluation.metrics.intervals import excludes_zero
from bsig.explain.wording import signed, whole_percent
from bsig.inputs.counts import counted

BEYOND_WORDS = {
    "absent_area_at_own_70": "telling absent classes apart",
    "inside_auc": "places within one object (AUC)",
    "cell_precision_own": "cells of one object over all pictures (cell precision)",
    "mosaic_quarter": "several objects in one picture, at equal area",
    "mosaic_precision": "several objects in one picture, all levels",
    "cell_precision": "both questions at once (class-aware precision)",
}
FIRST_ROWS: dict[str, str] = {
    "cell_precision": "Is it there, and where, in one number: cells of the object rank above all cells of absent "
    "classes",
    "absent_area": "Share of the picture that the map claims for a class that is not there",
    "absent_area_at_own_70": "The same where both maps cover 70 % for the class that is there: no threshold buys it",
    "inside_auc": "Places on the object rank above places beside it (0.5 is chance)",
    "pxap": "Pixels of the object's mask rank first (average precision)",
    "gt_known": "Best box around the largest blob fits the object (IoU 0.5)",
    "top1_loc": "The same, and the predicted class is right",
    "max_box_acc_v2": "Best of all boxes, mean over three demands on the fit",
    "mosaic_quarter": "Four pictures in one: strongest cells lie in the right quarter (0.25 is chance)",
}


NO_REGIONS = "No picture has a box or a mask: localization is not measured."


class Verdict(NamedTuple):
    """A word for the sigmoid branch against softmax, such as `better`; the difference with its interval as text."""

    word: str
    text: str


class Row(NamedTuple):
    """One line of the table: texts, ready to show."""

    key: str
    title: str
    arrow: str
    meaning: str
    values: dict[str, str]
    verdict: Verdict


def verdict(key: str, difference: Mapping[str, Any] | None) -> Verdict:
    """The verdict of a difference (sigmoid less softmax), given which way is better."""
    if not difference or difference["value"] is None:
        return Verdict("not measured", "")
    value = difference["value"]
    text = signed(value)
    if difference["low"] is not None:
        text += f" [{signed(difference['low'])}, {signed(difference['high'])}]"
    better = METRICS[key].better
    if not excludes_zero(difference):
        return Verdict("no clear difference", text)
    if better == "neither":
        return Verdict("differs", text)
    return Verdict("better" if (value > 0) == (better == "higher") else "worse", text)


def first_rows(table: Mapping[str, Any]) -> list[Row]:
    """The rows that answer the question, in order; those that were not measured are left out."""
    return [row for row in rows_of(table, list(FIRST_ROWS)) if row.values.get("softmax", "-") != "-"]


def rows_of(table: Mapping[str, Any], keys: Sequence[str]) -> list[Row]:
    """Rows with every column's value as text, an asterisk where its difference to softmax excludes zero."""
    rows = []
    for key in keys:
        estimates = {name: column["metrics"].get(key) for name, column in table["columns"].items()}
        if any(estimates.values()):
            metric, values = METRICS[key], {name: value_text(estimate) for name, estimate in estimates.items()}
            difference = (estimates.get("sigmoid") or {}).get("difference")
            meaning = FIRST_ROWS.get(key, metric.note)
            rows.append(Row(key, metric.title, ARROWS[metric.better], meaning, values, verdict(key, difference)))
    return rows


def value_text(estimate: Mapping[str, Any] | None) -> str:
    """A value with three digits, an asterisk where its difference excludes zero; a dash where there is none."""
    if not estimate or estimate["value"] is None:
        return "-"
    return f"{estimate['value']:.3f}" + ("*" if excludes_zero(estimate.get("difference")) else "")


def best_blind(table: Mapping[str, Any], key: str) -> tuple[str, str] | None:
    """Value and name of the strongest baseline that looks at no picture; None where no baseline has such a number."""
    columns = {name: table["columns"][name]["metrics"] for name in BLIND_TITLES if name in table["columns"]}
    values = {name: value for name in columns if (value := (columns[name].get(key) or {}).get("value")) is not None}
    if not values:
        return None
    name = (min if METRICS[key].better == "lower" else max)(values, key=values.__getitem__)
    return f"{values[name]:.3f}", table["columns"][name]["title"].removeprefix("baseline: ")


def finding(table: Mapping[str, Any]) -> str:
    """Some sentences from the numbers alone: what is gained, what is lost, what is unclear."""
    return " ".join(filter(None, claim_and_rest(table)))


def claim_and_rest(table: Mapping[str, Any]) -> tuple[str, str]:
    """The first sentence of the finding, which needs no word of the field, and the others."""
    softmax, sigmoid = table["columns"]["softmax"]["metrics"], table["columns"]["sigmoid"]["metrics"]
    claims = _claim(softmax, sigmoid)
    if table["method"] == "eigen-cam":
        return claims, "Eigen-CAM knows neither class nor branch: both maps are the same map."
    openings = {"better": "clearly better", "worse": "clearly worse", "no clear difference": "no clear difference"}
    titles: dict[str, list[str]] = {word: [] for word in openings}
    for key in FIRST_ROWS:
        word = verdict(key, (sigmoid.get(key) or {}).get("difference")).word
        if word in titles and key != "absent_area":
            before, after = f"{softmax[key]['value']:.3f}", f"{sigmoid[key]['value']:.3f}"
            values = f"both {after}" if before == after else f"{before} to {after}"
            titles[word].append(f"{METRICS[key].title.split(',')[0]} ({values})")
    parts = [f"{opening}: {', '.join(titles[word])}" for word, opening in openings.items() if titles[word]]
    sentence = f"Sigmoid branch against softmax, {'; '.join(parts)}." if parts else ""
    return claims, " ".join(filter(None, [f"{sentence}{_without_looking(table)}".strip(), beyond_untrained(table)]))


def beyond_untrained(table: Mapping[str, Any]) -> str:
    """What the trained branch adds beyond the best reading without it, by each question; "nothing" where it is nothing.

    Empty for results that were measured before this was.
    """
    entries = table.get("beyond_untrained") or {}
    gains: list[str] = []
    rest: list[str] = []
    for key, entry in entries.items():
        difference, untrained = entry["difference"], table["columns"][entry["untrained"]]["title"]
        is_gain = excludes_zero(difference) and difference["value"] > 0
        text = f"{signed(difference['value'])} in {BEYOND_WORDS[key]} (against {untrained})"
        (gains if is_gain else rest).append(text if is_gain else BEYOND_WORDS[key])
    if not entries:
        return ""
    opening = "Beyond the best untrained reading the trained branch adds"
    if not gains:
        return f"{opening} nothing in {_listed(rest)}."
    return f"{opening} {_listed(gains)}{f'; nothing in {_listed(rest)}' if rest else ''}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def drop_warning(table: Mapping[str, Any]) -> str:
    """What average drop is worth: the rank that a map of the whole picture gets among the columns; empty without it."""
    drops = {
        key: estimate["value"]
        for key, column in table["columns"].items()
        if (estimate := column["metrics"].get("average_drop")) and estimate["value"] is not None
    }
    if "full-box" not in drops:
        return ""
    rank = 1 + sum(value < drops["full-box"] for value in drops.values())
    return (
        f"Average drop favours large maps: a map of the whole picture, which says nothing, has rank {rank} of "
        f"{len(drops)}."
    )


def _without_looking(table: Mapping[str, Any]) -> str:
    """A warning where boxes are found better by not looking at all: then they hardly measure the map; else nothing."""
    blind = best_blind(table, "gt_known")
    branches = [table["columns"][key]["metrics"].get("gt_known") for key in ("softmax", "sigmoid")]
    values = [branch["value"] for branch in branches if branch and branch["value"] is not None]
    if not blind or not values or float(blind[0]) <= max(values):
        return ""
    name = blind[1].split(",")[0]
    return f" Mind that {name} finds {whole_percent(float(blind[0]))} of these objects without looking at any picture."


def _claim(softmax: Mapping[str, Any], sigmoid: Mapping[str, Any]) -> str:
    before, after = softmax["absent_area"]["value"], sigmoid["absent_area"]["value"]
    word = verdict("absent_area", sigmoid["absent_area"].get("difference")).word
    claims, sigmoid_claims = whole_percent(before), whole_percent(after)
    if claims == sigmoid_claims:
        return f"For a class that is not there both maps claim {claims} of the picture."
    adverb = {"better": "only ", "worse": "even "}.get(word, "")
    doubt = f", {word}" if word == "no clear difference" else ""
    return (
        f"For a class that is not there the softmax map claims {claims} of the picture, the sigmoid map "
        f"{adverb}{sigmoid_claims}{doubt}."
    )


def class_title(name: str) -> str:
    """A class of a data set as people call it: 'golf ball' for the folder 'n03445777_golf_ball' of ImageNet."""
    return re.sub(r"^n\d{8}[_-]", "", name).replace("_", " ")


def result_title(results: Mapping[str, Any]) -> str:
    """The name of a set of results in a list."""
    counts = results["counts"]
    kind = "masks" if counts["with_mask"] else "boxes" if counts["with_boxes"] else "class labels only"
    return f"{results['data']} ({results['split']}): {counts_text(counts)}, {kind}"


def counts_text(counts: Mapping[str, Any]) -> str:
    """How many pictures were measured, and how many present classes where some pictures hold several."""
    pictures, classes = counted(counts["used"], "picture"), counts.get("present_classes")
    return f"{pictures}, {counted(classes, 'present class', 'present classes')}" if classes else pictures


def left_out(results: Mapping[str, Any]) -> list[str]:
    """Sentences about what was not measured and why."""
    counts = results["counts"]
    unreadable, unmatched = counts["unreadable"], counts["of_unmatched_classes"]
    regions, names = counts["boxes_or_masks_cut_or_left_out"], ", ".join(counts["unmatched_classes"][:5])
    sentences = (
        (unreadable, f"{counted(unreadable, 'picture')} could not be used."),
        (
            unmatched,
            f"{counted(unmatched, 'picture is', 'pictures are')} of classes that the checkpoint lacks: {names}.",
        ),
        (regions, f"{counted(regions, 'box or mask was', 'boxes or masks were')} cut off, scaled or left out."),
        (not counts["with_boxes"] + counts["with_mask"], NO_REGIONS),
        (not counts["mosaics"], "No mosaics: fewer than four classes have a picture that softmax is sure of."),
    )
    return [*(sentence for is_true, sentence in sentences if is_true), *counts["sentences"][:5]]
