"""The words of the Compare screen: titles, facts, notes and choices, from an explanation to HTML and labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bsig.explain.cams import Branch
from bsig.explain.cells import cell_evidence
from bsig.explain.drawing.comparison import Drawing
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS, TREATMENTS, methods_of, why_not_cam
from bsig.explain.readings import READINGS, readings_of
from bsig.explain.wording import area_text, percent, signed, small_percent
from bsig.model.dual_branch import DualBranch
from bsig.model.new_model import not_trained
from bsig.ui.components.examples import Example
from bsig.ui.components.html import Cell, Html, bold, joined, note, number, row_title, table

TITLES: dict[Branch, tuple[str, str]] = {
    "softmax": ("Softmax", "the pretrained head: it decides the class"),
    "sigmoid": ("Sigmoid", "the fine-tuned branch: one yes or no a class"),
    "centred": ("Class-centred", "softmax less the mean of all classes: no shift moves it"),
}
TWO_BRANCHES: tuple[Branch, ...] = ("softmax", "sigmoid")
TREATMENT_CHOICES = [("Signed", "signed"), ("Non-negative", "nonnegative"), ("As in the paper's code", "paper")]
BIAS_WORDS = {
    True: "Drawn with each branch's bias of the class: the logit that every cell would have alone; their mean is the "
    "branch's logit.",
    False: "Drawn without the bias, as everywhere in the literature.",
}
DIFFERENCE = "Sigmoid less softmax: red where the sigmoid branch claims more, blue where softmax does"
NO_PICTURE = "Choose a picture: upload, paste, use the camera, or click an example."


def prediction(encoded: EncodedImage, explanation: Explanation) -> str:
    """The predicted class, and how often "is here" is wrong."""
    softmax = float(encoded.probabilities()[0][explanation.predicted_index])
    predicted = f"Softmax predicts {explanation.predicted_name} ({percent(softmax)})."
    presence = encoded.model.presence
    if presence is None:
        return f"{predicted} This checkpoint's presence is not calibrated, so the rank of the class is shown."
    if presence.present_above_half is None or presence.absent_above_half is None:
        return predicted
    return (
        f"{predicted} A class counts as here above 50 %: {percent(presence.present_above_half)} of present classes "
        f"reach that, and {small_percent(presence.absent_above_half)} of absent ones."
    )


def number_table(explanations: Sequence[Explanation]) -> Html:
    """The numbers of both branches for each class: fixed decimals, so that they stand below each other."""
    names = ("Probability", "In the picture", "Logit", "Area above zero", "Lowest", "Highest")
    columns: list[str | Cell] = ["", "", *map(number, names)]
    rows = (_number_row(explanation, branch) for explanation in explanations for branch in TWO_BRANCHES)
    return table(columns, rows, kind="bsig-numbers", scrolls=True)


def _number_row(explanation: Explanation, branch: Branch) -> list[str | Cell]:
    evidence = explanation.evidence(branch)
    presence = evidence.calibrated_probability
    return [
        row_title(explanation.class_name if branch == "softmax" else ""),
        TITLES[branch][0],
        number(percent(evidence.probability) if branch == "softmax" else ""),
        number("" if branch == "softmax" else f"rank {evidence.rank:,}" if presence is None else percent(presence)),
        number(signed(evidence.logit, 2)),
        number(area_text(evidence)),
        number(signed(float(evidence.map.min()), 2)),
        number(signed(float(evidence.map.max()), 2)),
    ]


def reading_note(explanation: Explanation, drawing: Drawing, model: DualBranch) -> Html:
    """How the maps are to be read, and below it what is special about this model."""
    method = CAM_METHODS[explanation.method]
    rows, columns = explanation.softmax.map.shape
    of_maps = [
        "Each map has its own scale: brightness cannot be compared." if drawing.own_scale else "",
        f"{method.title}: {method.note}",
        TREATMENTS[explanation.weights],
        reading_words(explanation),
        BIAS_WORDS[explanation.with_bias],
        f"The maps have {rows} x {columns} cells; finer detail is interpolation.",
        "Positive area counts cells above zero.",
    ]
    of_model = [
        "" if model.features_at == "last" else f"Features are taken at layer '{model.features_at}'.",
        why_not_cam(model.softmax_head),
        not_trained(model),
    ]
    return joined(*(note(" ".join(filter(None, sentences))) for sentences in (of_maps, of_model)))


def cells_html(encoded: EncodedImage, explanations: Sequence[Explanation]) -> Html:
    """What the page's script says of a cell under the pointer: a script element of JSON, sent once with the maps.

    For each row of maps both branches' values by cell; where the head has them, the cell's own softmax probability of
    the class and the classes that are loudest in the cell.
    """
    cells = cell_evidence(encoded, [explanation.class_index for explanation in explanations])
    names = encoded.model.class_names
    content: dict[str, Any] = {
        "rows": [
            {
                "name": explanation.class_name,
                "softmax": _rounded(explanation.softmax.map),
                "sigmoid": _rounded(explanation.sigmoid.map),
                "alone": None if cells is None else _rounded(cells.alone[row].numpy(), 4),
            }
            for row, explanation in enumerate(explanations)
        ]
    }
    if cells is not None:
        shown = sorted({*cells.softmax_classes.flatten().tolist(), *cells.sigmoid_classes.flatten().tolist()})
        content["names"] = {index: names[index] for index in shown}
        content["softmax"], content["sigmoid"] = cells.softmax_classes.tolist(), cells.sigmoid_classes.tolist()
    return Html(f'<script type="application/json">{_json_in_html(content)}</script>')


def _rounded(values: np.ndarray, decimals: int = 2) -> list[list[float]]:
    return [[round(value, decimals) for value in row] for row in values.tolist()]


def _json_in_html(content: dict[str, Any]) -> str:
    """JSON that no class name can end early."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def reading_words(explanation: Explanation) -> str:
    """What was made of the maps, and of which."""
    reading = READINGS[explanation.reading]
    if reading.kind == "plain":
        return ""
    whose = "Sigmoid map" if explanation.softmax.reading == "plain" else "Both maps"
    return f"{whose}, {reading.title.lower()}: {reading.sentence} {explanation.reading_note}".rstrip()


def wipe_label(explanation: Explanation) -> str:
    """What lies on either side of the wipe's line."""
    softmax, sigmoid = area_text(explanation.softmax), area_text(explanation.sigmoid)
    return f"Left: softmax branch, evidence on {softmax} of the picture. Right: sigmoid branch, on {sigmoid}."


def example_reason(example: Example) -> Html:
    """Why this picture is among the examples, what is really in it, and who made it."""
    text = f" {example.reason} Really there: {example.truth}. Picture: {example.credit}."
    return note(joined(bold(f"{example.title}."), text))


def class_choices(encoded: EncodedImage) -> list[tuple[str, str]]:
    """(label, name) of all classes: the top five of either branch first, with both probabilities."""
    names = encoded.model.class_names
    softmax, sigmoid = encoded.probabilities()
    top = list(dict.fromkeys([*encoded.top_classes("softmax"), *encoded.top_classes("sigmoid")]))
    rest = sorted(set(range(len(names))) - set(top), key=lambda index: names[index].casefold())
    first = [
        (
            f"{names[index]} (softmax {percent(float(softmax[index]))}, sigmoid {percent(float(sigmoid[index]))})",
            names[index],
        )
        for index in top
    ]
    return first + [(names[index], names[index]) for index in rest]


def method_choices(model: DualBranch) -> list[tuple[str, str]]:
    """(label, key) of the methods that this model's head allows, in the order of `CAM_METHODS`."""
    allowed = methods_of(model.softmax_head)
    return [(method_label(key), key) for key in CAM_METHODS if key in allowed]


def reading_choices(model: DualBranch, explanation: Explanation) -> list[tuple[str, str]]:
    """(title, key) of the readings that are exact here; "why A and not B" has a place of its own."""
    allowed = readings_of(model, explanation.method, explanation.weights)
    return [(READINGS[key].title, key) for key in allowed if not READINGS[key].needs_other_class]


def why_titles(explanation: Explanation, other: str) -> tuple[str, str, str]:
    """Titles of the three maps of "why A and not B"."""
    return f"For {explanation.class_name}", f"For {other}", f"{explanation.class_name} rather than {other}"


def why_words(pairwise: Explanation) -> Html:
    """What the pairwise map shows, and why it can be trusted more than two maps side by side."""
    first, second = pairwise.class_name, pairwise.other_name
    winner = first if pairwise.softmax.map.mean() > 0 else second
    return note(
        f"The third map is softmax's evidence for {first} less that for {second}: red speaks for {first}, blue for "
        f"{second}. In sum the picture speaks for {winner}. What is added to all classes drops out of the "
        "difference, so no logit shift moves this map."
    )


def method_label(key: str) -> str:
    """A method's title, with what a visitor should know before choosing it."""
    method = CAM_METHODS[key]
    marks = [
        mark for mark, holds in (("slow", method.is_slow), ("no evidence against", not method.shows_negative)) if holds
    ]
    return f"{method.title} ({', '.join(marks)})" if marks else method.title
