"""Numbers as a person reads them: the same number has the same words on a screen, a picture, a report and a console."""

from __future__ import annotations

import math

from bsig.explain.cams import Branch
from bsig.explain.explanation import Evidence, Explanation
from bsig.explain.readings import READINGS

MINUS = "−"
"""The typographic minus: as wide as a plus, and no line break behind it."""
VISIBLE_CHANGE = 0.05
"""Of a probability, from which a shift is said to show."""


def percent(share: float) -> str:
    """A probability, from a share of 0 to 1: '49 %', '0.4 %', 'under 0.1 %', 'over 99.9 %'.

    It never reads as certain: no probability is exactly 0 or 100 %.
    """
    if share < 0.001:
        return "under 0.1 %"
    if share > 0.999:
        return "over 99.9 %"
    return whole_percent(share) if 0.1 <= share <= 0.9 else f"{100 * share:.1f} %"


def whole_percent(share: float) -> str:
    """A share that can be 0 or 1, of cells for example: '0 %', '49 %', '100 %'."""
    return f"{100 * share:.0f} %"


def share_percent(share: float) -> str:
    """A share that can be 0 or 1, as exact as a probability: '0 %', 'under 0.1 %', '49 %', 'over 99.9 %', '100 %'."""
    return whole_percent(share) if share in (0, 1) else percent(share)


def small_percent(share: float) -> str:
    """A share that is usually far below one per cent, with two digits and without an exponent: '0.0034 %', '100 %'."""
    decimals = 0 if share == 0 else max(0, 1 - math.floor(math.log10(100 * share)))
    text = f"{100 * share:.{decimals}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def as_long_as(ratio: float) -> str:
    """A length beside another one: '0.4 % as long as', '56 % as long as', 'as long as', '2.1 times as long as'."""
    if 0.995 <= ratio < 1.05:
        return "as long as"
    if ratio < 1:
        return f"{share_percent(ratio)} as long as"
    return f"{ratio:.1f} times as long as" if ratio < 9.95 else f"{ratio:,.0f} times as long as"


def change_text(before: str, after: str, moves: str = "goes", stays: str = "stays") -> str:
    """What becomes of a number, from its words before and after; two that read the same are one number.

    'goes from 49 % to 12 %', 'stays at 49 %', 'stays under 0.1 %'.
    """
    if before != after:
        return f"{moves} from {before} to {after}"
    return f"{stays} {before}" if before.startswith(("under ", "over ")) else f"{stays} at {before}"


def area_text(evidence: Evidence) -> str:
    """Share of the picture with positive evidence, from whole grid cells: '49 %'."""
    return whole_percent(evidence.positive_area)


def probability_text(explanation: Explanation, branch: Branch) -> str:
    """How likely a branch calls the class: softmax's share among the classes, else how likely it is in the picture.

    'probability 4.1 %', 'in the picture: under 0.1 %', or 'rank 12 of 1,000' where that is not calibrated. The sigmoid
    branch's class-balanced probability is no answer to that question (method.md, section 9), and is not among them.
    """
    evidence = explanation.evidence(branch)
    if branch != "sigmoid":
        return f"probability {percent(evidence.probability)}"
    if evidence.calibrated_probability is None:
        return f"rank {evidence.rank:,} of {explanation.num_classes:,}"
    return f"in the picture: {percent(evidence.calibrated_probability)}"


def map_reading(explanation: Explanation, branch: Branch) -> str:
    """What a branch's map was turned into, within a sentence: 'levelled by presence'; empty for the plain map."""
    reading = READINGS[explanation.evidence(branch).reading]
    return "" if reading.kind == "plain" else reading.title[:1].lower() + reading.title[1:]


def sigmoid_branch(reading: str) -> str:
    """The sigmoid branch within a sentence, with the reading of its map as of `map_reading`."""
    return f"the sigmoid branch, {reading}," if reading else "the sigmoid branch"


def grid_text(explanation: Explanation) -> str:
    """The grid of the maps, and where logits come from another one that too: '7 x 7 cells'."""
    maps = "{} x {} cells".format(*explanation.grid_hw)
    if explanation.logits_grid_hw == explanation.grid_hw:
        return maps
    return maps + " (logits and probabilities: {} x {})".format(*explanation.logits_grid_hw)


def reading_text(explanation: Explanation) -> str:
    """The reading, and the maps that it was applied to: 'Sigmoid map, levelled by presence: The same places …'."""
    reading = READINGS[explanation.reading]
    subject = "Both maps" if explanation.softmax.reading == explanation.reading else "Sigmoid map"
    settings = ", ".join(f"{key} = {value:g}" for key, value in explanation.reading_settings.items())
    title = f"{reading.title} ({settings})" if settings else reading.title
    if explanation.other_name is not None:
        title = f"Why {explanation.class_name} and not {explanation.other_name}"
    return f"{subject}: {title}. {reading.sentence} {explanation.reading_note}".rstrip()


def tiny_percent(share: float) -> str:
    """A change so small that it is rounding, to its first digit and without an exponent: '0.00001 %'."""
    decimals = max(0, math.ceil(-math.log10(100 * share))) if share > 0 else 0
    return f"{100 * share:.{decimals}f} %"


def number_text(value: float, *, signed: bool = True, digits: int = 3) -> str:
    """A number with so many significant digits and a typographic minus; a plus where `signed`; zero is "0"."""
    if value == 0:
        return "0"
    text = f"{value:+.{digits}g}" if signed else f"{value:.{digits}g}"
    return text.replace("-", MINUS)


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign and so many decimals, for columns and differences: '+0.310', '−1.200'."""
    return f"{value:+.{decimals}f}".replace("-", MINUS)


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit: shares in per cent, measures of likeness with two decimals, else three digits.

    Args:
        value: None where the number does not exist on this picture, which is said in words.
        unit: as in `DIAGNOSTICS`; 'share of cells' turns 0.5 into '50 % of cells'.
    """
    if value is None:
        return "none here"
    if unit.startswith("share of "):
        return f"{share_percent(value)} of {unit.removeprefix('share of ')}"
    if unit in ("correlation", "IoU"):
        return f"{value:.2f} {unit}".replace("-", MINUS)
    return f"{number_text(value, signed=False)} {unit}"


def duration(seconds: float) -> str:
    """A time span: 'under 1 s', '48 s', '12 min', '3.4 h'."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def ordinal(number: int) -> str:
    """A place in an order, from 1: '1st', '2nd', '3rd', '11th', '1,002nd'."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
