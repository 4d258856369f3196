"""An evaluation for someone who does not read tables: which rows come first, who is better, one honest sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.output.text import excludes_zero
from bsig.explain.wording import signed, whole_percent

FIRST_ROWS: dict[str, str] = {
    "absent_area": "Share of the picture that the map claims for a class that is not there",
    "absent_area_at_own_70": "The same where both maps cover 70 % for the class that is there: no threshold buys it",
    "inside_auc": "Places on the object rank above places beside it (0.5 is chance)",
    "pxap": "Pixels of the object's mask rank first (average precision)",
    "gt_known": "Best box around the largest blob fits the object (IoU 0.5)",
    "top1_loc": "The same, and the predicted class is right",
    "max_box_acc_v2": "Best of all boxes, mean over three demands on the fit",
    "mosaic_quarter": "Four pictures in one: strongest cells lie in the right quarter (0.25 is chance)",
}
BLIND = ("full-box", "centred-box", "centred-gaussian", "random")
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
Column = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Whether the sigmoid branch does better than softmax at one metric.

    Attributes:
        word: `better`, `worse`, `no clear difference` or `not measured`.
        text: the difference with its interval.
    """

    word: str
    text: str


@dataclass(frozen=True)
class Row:
    """One line of the table: texts, ready to show."""

    key: str
    title: str
    arrow: str
    meaning: str
    values: dict[str, str]
    verdict: Verdict


def verdict(key: str, difference: Mapping[str, Any] | None) -> Verdict:
    """What a difference (sigmoid less softmax) says, given which way is better."""
    if not difference or difference["value"] is None:
        return Verdict("not measured", "")
    value = difference["value"]
    text = signed(value)
    if difference["low"] is not None:
        text += f" [{signed(difference['low'])}, {signed(difference['high'])}]"
    better = METRICS[key].better
    if not excludes_zero(dict(difference)):
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
        found = {name: column["metrics"].get(key) for name, column in table["columns"].items()}
        if not any(found.values()):
            continue
        metric = METRICS[key]
        sigmoid = found.get("sigmoid") or {}
        rows.append(
            Row(
                key,
                metric.title,
                ARROWS[metric.better],
                FIRST_ROWS.get(key, metric.note),
                {name: value_text(one) for name, one in found.items()},
                verdict(key, sigmoid.get("difference")),
            )
        )
    return rows


def value_text(found: Mapping[str, Any] | None) -> str:
    """A value with three digits; a dash where there is none."""
    if not found or found["value"] is None:
        return "-"
    return f"{found['value']:.3f}" + ("*" if excludes_zero(found.get("difference")) else "")


def best_blind(table: Mapping[str, Any], key: str) -> tuple[str, str] | None:
    """The strongest of the baselines that look at no picture: its value and name; None where it has no such number."""
    found = {name: table["columns"].get(name, {}).get("metrics", {}).get(key) for name in BLIND}
    known = {name: one["value"] for name, one in found.items() if one and one["value"] is not None}
    if not known:
        return None
    choose = min if METRICS[key].better == "lower" else max
    name = choose(known, key=lambda one: known[one])
    return f"{known[name]:.3f}", table["columns"][name]["title"].removeprefix("baseline: ")


def finding(table: Mapping[str, Any]) -> str:
    """One or two sentences from the numbers alone: what is gained, what is lost, what is unclear."""
    softmax, sigmoid = table["columns"]["softmax"]["metrics"], table["columns"]["sigmoid"]["metrics"]
    words: dict[str, list[str]] = {"better": [], "worse": [], "no clear difference": []}
    for key in FIRST_ROWS:
        said = verdict(key, (sigmoid.get(key) or {}).get("difference"))
        if said.word in words and key != "absent_area":
            before, after = softmax[key]["value"], sigmoid[key]["value"]
            words[said.word].append(f"{METRICS[key].title.split(',')[0]} ({before:.3f} to {after:.3f})")
    claims = _claim(softmax, sigmoid)
    if table["method"] == "eigen-cam":
        return f"{claims} Eigen-CAM knows neither class nor branch: both maps are the same map."
    parts = []
    if words["better"]:
        parts.append(f"clearly better: {', '.join(words['better'])}")
    if words["worse"]:
        parts.append(f"clearly worse: {', '.join(words['worse'])}")
    if words["no clear difference"]:
        parts.append(f"no clear difference: {', '.join(words['no clear difference'])}")
    sentence = f"{claims} Sigmoid branch against softmax, {'; '.join(parts)}." if parts else claims
    return f"{sentence}{_without_looking(table)}"


def _without_looking(table: Mapping[str, Any]) -> str:
    """Says it where boxes are found better by not looking at all: then they hardly measure the map."""
    blind = best_blind(table, "gt_known")
    branches = [table["columns"][key]["metrics"].get("gt_known") for key in ("softmax", "sigmoid")]
    values = [one["value"] for one in branches if one and one["value"] is not None]
    if not blind or not values or float(blind[0]) <= max(values):
        return ""
    name = blind[1].split(",")[0]
    return f" Mind that {name} finds {whole_percent(float(blind[0]))} of these objects without looking at any picture."


def _claim(softmax: Column, sigmoid: Column) -> str:
    before, after = softmax["absent_area"]["value"], sigmoid["absent_area"]["value"]
    said = verdict("absent_area", sigmoid["absent_area"].get("difference")).word
    joint = {"better": "only", "worse": "even"}.get(said, "likewise")
    return (
        f"For a class that is not there the softmax map claims {whole_percent(before)} of the picture, the sigmoid map "
        f"{joint} {whole_percent(after)}."
    )


def result_title(results: Mapping[str, Any]) -> str:
    """What a set of results is called in a list."""
    counts = results["counts"]
    kind = "masks" if counts["with_mask"] else "boxes" if counts["with_boxes"] else "class labels only"
    return f"{results['data']} ({results['split']}): {counts['used']} pictures, {kind}"


def left_out(results: Mapping[str, Any]) -> list[str]:
    """What was not measured and why, a sentence each."""
    counts = results["counts"]
    said = []
    if counts["unreadable"]:
        said.append(f"{counts['unreadable']} pictures could not be used.")
    if counts["of_unmatched_classes"]:
        names = ", ".join(counts["unmatched_classes"][:5])
        said.append(f"{counts['of_unmatched_classes']} pictures are of classes that the checkpoint lacks: {names}.")
    if counts["boxes_or_masks_cut_or_left_out"]:
        said.append(f"{counts['boxes_or_masks_cut_or_left_out']} boxes or masks were cut off, scaled or left out.")
    if not counts["with_boxes"] and not counts["with_mask"]:
        said.append("No picture has a box or a mask: localization is not measured.")
    if not counts["mosaics"]:
        said.append("No mosaics: fewer than four classes have a picture that softmax is sure of.")
    return [*said, *counts["sentences"][:5]]
