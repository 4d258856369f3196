"""The words of the Compare screen: titles, facts, notes and choices, from an explanation to HTML and labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bsig.explain.cams import TRAINED, Branch
from bsig.explain.cells import CellEvidence, cell_evidence
from bsig.explain.drawing.comparison import Drawing
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS, TREATMENTS, methods_of, why_not_cam
from bsig.explain.readings import READINGS, readings_of
from bsig.explain.wording import area_text, map_reading, percent, reading_text, signed, small_percent
from bsig.model.dual_branch import DualBranch
from bsig.model.new_model import not_trained
from bsig.ui.components.examples import Example
from bsig.ui.components.html import Cell, Html, bold, element, explained, folded, joined, note, number, table
from bsig.ui.server.opening import LOADING as LOADING_WORDS

TITLES: dict[Branch, tuple[str, str]] = {
    "softmax": ("Softmax", "the classifier as published: it decides the class"),
    "sigmoid": ("Sigmoid", "fine-tuned to say yes or no for each class"),
    "centred": ("Class-centred", "softmax less the mean of all classes: no shift moves it"),
}
RANGE = {"class_": "number bsig-range"}
"""Attributes of the columns that a phone has no room for."""
TREATMENT_CHOICES = [("Signed", "signed"), ("Non-negative", "nonnegative"), ("As in the paper's code", "paper")]
DIFFERENCE = "Sigmoid less softmax: red where the sigmoid branch claims more, blue where softmax does"
LOADING = note(LOADING_WORDS, role="status")
NO_PICTURE = "Choose a picture: upload, paste, use the camera, or click an example."


def prediction(encoded: EncodedImage, explanation: Explanation) -> str:
    """The predicted class, and how often "is here" is wrong."""
    softmax = float(encoded.probabilities()[0][explanation.predicted_index])
    predicted = f"Softmax predicts {explanation.predicted_name} ({percent(softmax)})."
    presence = encoded.model.presence
    if presence is None:
        return f"{predicted} How likely a class is in the picture is not calibrated here, so its rank is shown."
    if presence.present_above_half is None or presence.absent_above_half is None:
        return predicted
    return (
        f"{predicted} In brackets above: how likely the class is in the picture. From 50\u00a0% on it counts as here; "
        f"{percent(presence.present_above_half)} of the classes that are there reach that, and "
        f"{small_percent(presence.absent_above_half)} of those that are not."
    )


def sigmoid_title(explanation: Explanation) -> tuple[str, str]:
    """The title of the sigmoid branch's map, and the line below it with the reading that it is drawn in."""
    title, text = TITLES["sigmoid"]
    reading = map_reading(explanation, "sigmoid")
    return title, text if not reading else f"yes or no for each class, {reading}"


def number_table(explanations: Sequence[Explanation]) -> Html:
    """The numbers of both branches, a block a class: fixed decimals, so that they stand below each other."""
    of_picture, of_maps = _grids(explanations)
    columns: list[str | Cell] = [
        "", *(number(_on_grid(title, of_picture)) for title in ("Probability", "Logit")),
        number(_on_grid("Area above zero", of_maps)),
        *(Cell(_on_grid(end, of_maps), RANGE) for end in ("Lowest", "Highest")),
    ]  # fmt: skip
    rows: list[list[str | Cell]] = []
    for place, explanation in enumerate(explanations):
        rows.append([Cell(explanation.class_name, {"colspan": len(columns), "scope": "rowgroup"}, is_title=True)])
        rows += [_number_row(explanation, branch, explains=place == 0) for branch in TRAINED]
    reading = map_reading(explanations[0], "sigmoid")
    numbers = table(columns, rows, kind="bsig-numbers", scrolls=True)
    if not reading:
        return numbers
    return joined(numbers, note(f"In the sigmoid rows area, lowest and highest are those of the map, {reading}."))


def _grids(explanations: Sequence[Explanation]) -> tuple[str, str]:
    """The grid of logits and that of maps, where they are not the same one."""
    first = explanations[0]
    if first.grid_hw == first.logits_grid_hw:
        return "", ""
    return "{} x {}".format(*first.logits_grid_hw), "{} x {}".format(*first.grid_hw)


def _on_grid(title: str, grid: str) -> str:
    """A column's title, with the grid that its numbers are of."""
    return joined(explained(title), element("small", grid), between=Html(" ")) if grid else title


def _number_row(explanation: Explanation, branch: Branch, *, explains: bool) -> list[str | Cell]:
    """Softmax's probability is a share among the classes, the sigmoid branch's that the class is in the picture."""
    evidence = explanation.evidence(branch)
    presence = evidence.calibrated_probability
    scope = "among the classes" if branch == "softmax" else "in the picture"
    probability = f"rank {evidence.rank:,}" if presence is None else percent(presence)
    return [
        joined(
            explained(TITLES[branch][0]) if explains else TITLES[branch][0],
            element("small", scope),
            between=Html(" "),
        ),
        number(percent(evidence.probability) if branch == "softmax" else probability),
        number(signed(evidence.logit, 2)),
        number(area_text(evidence)),
        Cell(signed(float(evidence.map.min()), 2), RANGE),
        Cell(signed(float(evidence.map.max()), 2), RANGE),
    ]


def reading_note(
    encoded: EncodedImage, explanation: Explanation, drawing: Drawing, *, finer_follows: bool = False
) -> Html:
    """What is special about this picture of the maps or this model; how maps are made and read is folded away.

    Args:
        encoded, explanation, drawing: the maps.
        finer_follows: whether these maps are soon replaced by those of the finer grid.
    """
    method, model = CAM_METHODS[explanation.method], encoded.model
    of_maps = [
        f"{method.title}: {method.note}",
        TREATMENTS[explanation.weights],
        "" if READINGS[explanation.reading].kind == "plain" else reading_text(explanation),
        _bias_words(explanation),
        *_grid_sentences(encoded, explanation.class_index),
        "Positive area counts cells above zero.",
    ]
    of_model = [
        "Each map has its own scale: brightness cannot be compared." if drawing.own_scale else "",
        "The finer maps follow." if finer_follows else "",
        _finer_prediction(encoded),
        "" if model.features_at == "last" else f"Features are taken at layer '{model.features_at}'.",
        why_not_cam(model.softmax_head),
        not_trained(model),
    ]
    special, common = (note(" ".join(filter(None, sentences))) for sentences in (of_model, of_maps))
    return joined(special, folded("How these maps are made", common, class_="bsig-more"))


def _bias_words(explanation: Explanation) -> str:
    if not explanation.with_bias:
        return "Drawn without the bias, as everywhere in the literature."
    mean = "their mean is the branch's logit"
    if explanation.grid_hw != explanation.logits_grid_hw:
        mean += " on these cells"
    return f"Drawn with each branch's bias of the class: the logit that every cell would have alone; {mean}."


def _grid_sentences(encoded: EncodedImage, class_index: int) -> tuple[str, ...]:
    """How fine the maps are; of finer ones also what is not taken from them, and by how much that would differ."""
    cells = "{} x {} cells".format(*encoded.grid_hw)
    if encoded.coarse is None:
        return (f"The maps have {cells}; finer detail is interpolation.",)
    own = "{} x {}".format(*encoded.coarse.grid_hw)
    finer, coarse = (
        " and ".join(signed(float(each.grid_logits(branch)[class_index]), 2) for branch in TRAINED)
        for each in (encoded, encoded.coarse)
    )
    return (
        f"The maps have {cells} in place of the model's own {own}, from the same weights; finer detail is "
        "interpolation.",
        f"Prediction, probabilities and logits are those of {own} cells, on which the model was trained: there the "
        f"logits of the two branches are {coarse}, on {cells} {finer}.",
    )


def _finer_prediction(encoded: EncodedImage) -> str:
    """A remark where softmax would predict another class from the finer cells."""
    if encoded.coarse is None:
        return ""
    predicted = int(encoded.grid_logits("softmax").argmax())
    if predicted == encoded.predicted_index:
        return ""
    cells = "{} x {} cells".format(*encoded.grid_hw)
    return f"From {cells} softmax would predict {encoded.model.class_names[predicted]}."


def cells_html(encoded: EncodedImage, in_rows: Sequence[Explanation | None]) -> Html:
    """What the page's script says of a cell under the pointer: a script element of JSON, sent once with the maps.

    For each row of maps both branches' values by cell, and the reading of the sigmoid map; where the head has them, the
    cell's own logits, its softmax probability of the class, and the classes that are loudest in the cell. None stands
    for a row that is hidden.
    """
    explanations = [explanation for explanation in in_rows if explanation is not None]
    cells = cell_evidence(encoded, [explanation.class_index for explanation in explanations])
    places = iter(range(len(explanations)))
    rows = [None if each is None else _cells_of_row(each, cells, next(places)) for each in in_rows]
    content: dict[str, Any] = {"rows": rows}
    if cells is not None:
        names = encoded.model.class_names
        indices = sorted({*cells.softmax_classes.flatten().tolist(), *cells.sigmoid_classes.flatten().tolist()})
        content["names"] = {index: names[index] for index in indices}
        content["softmax"], content["sigmoid"] = cells.softmax_classes.tolist(), cells.sigmoid_classes.tolist()
    return Html(f'<script type="application/json">{_json_in_html(content)}</script>')


def _cells_of_row(explanation: Explanation, cells: CellEvidence | None, place: int) -> dict[str, Any]:
    """What the script needs of one row of maps; `place` is that of its class among the `cells`."""
    row = {
        "name": explanation.class_name,
        "reading": map_reading(explanation, "sigmoid"),
        "softmax": _rounded(explanation.softmax.map),
        "sigmoid": _rounded(explanation.sigmoid.map),
        "logits": None,
        "alone": None,
    }
    if cells is None:
        return row
    logits = {branch: _rounded(cells.logits(branch)[place].numpy()) for branch in TRAINED}
    return {**row, "logits": logits, "alone": _rounded(cells.alone[place].numpy(), 4)}


def _rounded(values: np.ndarray, decimals: int = 2) -> list[list[float]]:
    return [[round(value, decimals) for value in row] for row in values.tolist()]


def _json_in_html(content: dict[str, Any]) -> str:
    """JSON that no class name can end early."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def wipe_label(explanation: Explanation) -> str:
    """The maps on either side of the wipe's line, in words."""
    softmax, sigmoid = area_text(explanation.softmax), area_text(explanation.sigmoid)
    return f"Left: softmax branch, evidence on {softmax} of the picture. Right: sigmoid branch, on {sigmoid}."


def example_reason(example: Example) -> Html:
    """Why this picture is among the examples, and who made it."""
    text = f" {example.reason} Picture: {example.credit}."
    end = "" if example.title.endswith("?") else "."
    return note(joined(bold(f"{example.title}{end}"), text))


def class_choices(encoded: EncodedImage) -> list[tuple[str, str]]:
    """(label, name) of all classes: the top five of either branch first, with both probabilities.

    The sigmoid branch's is the calibrated one; where that is not known, softmax's stands alone.
    """
    names = encoded.model.class_names
    softmax, presence = encoded.probabilities()[0], encoded.calibrated_probabilities()
    top = list(dict.fromkeys([*encoded.top_classes("softmax"), *encoded.top_classes("sigmoid")]))
    rest = sorted(set(range(len(names))) - set(top), key=lambda index: names[index].casefold())
    first = []
    for index in top:
        of_sigmoid = "" if presence is None else f", sigmoid {percent(float(presence[index]))}"
        first.append((f"{names[index]} (softmax {percent(float(softmax[index]))}{of_sigmoid})", names[index]))
    return first + [(names[index], names[index]) for index in rest]


def method_choices(model: DualBranch) -> list[tuple[str, str]]:
    """(label, key) of the methods that this model's head allows, in the order of `CAM_METHODS`."""
    methods = methods_of(model.softmax_head)
    return [(method_label(key), key) for key in CAM_METHODS if key in methods]


def reading_choices(model: DualBranch, explanation: Explanation) -> list[tuple[str, str]]:
    """(title, key) of the readings that are exact here; "why A and not B" has a place of its own."""
    readings = readings_of(model, explanation.method, explanation.weights)
    return [(READINGS[key].title, key) for key in readings if not READINGS[key].needs_other_class]


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
