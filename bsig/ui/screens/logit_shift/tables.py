"""The tables of the Logit shift screen as HTML."""

from __future__ import annotations

import torch

from bsig.explain.cams import TrainedBranch
from bsig.explain.diagnostics.logit_shift import map_movement
from bsig.explain.diagnostics.shift_request import ShiftedPicture
from bsig.explain.diagnostics.shift_survey import zero_survey
from bsig.explain.diagnostics.shifted_model import shifted_image
from bsig.explain.explainer import EncodedImage
from bsig.explain.wording import MINUS, percent, tiny_percent, whole_percent
from bsig.inputs.counts import counted_classes
from bsig.ui.components.examples import bundled_examples
from bsig.ui.components.html import Cell, Html, cell, element, finding, joined, note, number, row_title, table
from bsig.ui.screens.logit_shift.words import proof_words
from bsig.ui.workbench import Workbench

CLASSES_SHOWN = 5
NOT_EXACT = (
    "This table and the curves below follow from the head's weights alone, which takes a head of average pool and one "
    "linear layer. For this model the same question is answered, by running its head, in the table of numbers on the "
    "Sign collapse screen."
)
OWN_AREA_NOTE = (
    "The last column cannot be bought with a threshold: each head is given the level at which its own class covers the "
    "same area. Lower is better in the last two columns."
)


def probability_table(picture: ShiftedPicture, class_names: tuple[str, ...], branch: TrainedBranch) -> Html:
    """The likeliest classes before and after, and the largest change of any class."""
    before, after = picture.probabilities("softmax") if branch == "softmax" else picture.presence()
    change = float((after - before).abs().max())
    is_calibrated = branch == "sigmoid" and picture.encoded.model.presence is not None
    title = "Probability that it is there (sigmoid)" if is_calibrated else f"{branch.title()} probability"
    top = before.topk(min(CLASSES_SHOWN, len(before))).indices.tolist()
    rows = [
        (class_names[index], *(number(f"{100 * float(values[index]):.3f} %") for values in (before, after)))
        for index in dict.fromkeys([*top, picture.before.class_index])
    ]
    largest = element("b", _change(change), id=f"largest-change-{branch}", data_value=f"{change:.3e}")
    return joined(
        table([title, number("before"), number("after")], rows),
        note(joined(f"Largest change of any of {len(before)} classes: ", largest)),
    )


def proof_table(bench: Workbench, checkpoint: str | None, vector: torch.Tensor, method: str) -> Html:
    """The same shift on all bundled pictures: what changed of the probabilities, and how far each map moved."""
    rows, changes, unchanged = [], [], 0
    for path in dict.fromkeys(example.path for example in bundled_examples()):
        encoded = bench.encode(path, checkpoint)
        encoded_after = shifted_image(encoded, vector)
        change = float((encoded_after.probabilities()[0] - encoded.probabilities()[0]).abs().max())
        index = encoded.predicted_index
        maps = (torch.from_numpy(picture.explain(index, method).softmax.map) for picture in (encoded, encoded_after))
        movement = map_movement(*maps)
        is_same = encoded_after.predicted_index == index
        changes.append(change)
        unchanged += is_same
        rows.append(
            (
                path.stem,
                encoded.model.class_names[index],
                "same" if is_same else "changed",
                number(_change(change)),
                number(_or_flat(movement.correlation, 2)),
                number(_or_flat(movement.peak_move, 1)),
            )
        )
    columns: list[str | Cell] = [
        "Picture", "Prediction", "After", number("Largest probability change"), number("Map correlation"),
        number("Maximum moved (cells)"),
    ]  # fmt: skip
    return joined(finding(proof_words(len(rows), unchanged, max(changes))), table(columns, rows, scrolls=True))


def zero_table(encoded: EncodedImage, class_index: int, vector: torch.Tensor, fitted_title: str) -> Html:
    """The absent-class test on this picture: positive area by head and kind of class.

    Args:
        encoded: the picture.
        class_index: the class that is explained.
        vector: the shift that labels chose.
        fitted_title: what that shift is.
    """
    if not encoded.model.softmax_head.cam_is_exact:
        return note(NOT_EXACT)
    survey = zero_survey(encoded, class_index, vector, fitted_title)
    name = encoded.model.class_names[class_index]
    columns = [
        "Head",
        f"'{name}'",
        f"other classes seen ({', '.join(survey.other_names) or 'none'})",
        f"{counted_classes(survey.absent_count)} not in the picture (mean)",
        f"the same, where '{name}' covers 70 % in each head",
    ]
    rows = [
        (row_title(head), *map(_share, (area.own, area.present, area.absent, area.absent_at_own_area)))
        for head, area in survey.areas.items()
    ]
    return joined(table(columns, rows, scrolls=True), note(OWN_AREA_NOTE))


def _change(share: float) -> str:
    return tiny_percent(share) if share < 0.001 else percent(share)


def _or_flat(value: float | None, decimals: int) -> str:
    return "flat" if value is None else f"{value:.{decimals}f}".replace("-", MINUS)


def _share(share: float | None) -> Cell:
    """A share of the picture with a bar below it."""
    if share is None:
        return cell("none")
    bar = element("i", style=f"width: {100 * share:.0f}%")
    return cell(joined(whole_percent(share), bar), class_="bsig-share")
