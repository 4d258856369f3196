"""The words of the Logit shift screen: titles, sentences and descriptions of pictures."""

from __future__ import annotations

import numpy as np

from bsig.explain.diagnostics.shift_request import ShiftedPicture, shift_sentences
from bsig.explain.diagnostics.shift_survey import shared_share
from bsig.explain.drawing.comparison import BRANCHES
from bsig.explain.explainer import EncodedImage
from bsig.explain.wording import small_percent, tiny_percent
from bsig.inputs.counts import counted
from bsig.ui.components.html import Html, finding

PANES = {
    "before": ("Softmax, as published", "before the shift"),
    "after": ("Softmax, shifted", "the same classifier: every probability as before"),
    "sigmoid": ("Sigmoid, same shift", "its probabilities move: the shift is visible"),
    "centred": ("Class-centred, same shift", "does not move under any shift"),
}
DESCRIPTIONS = {
    "before": "Softmax map before the shift",
    "after": "Softmax map after the shift",
    "sigmoid": f"{BRANCHES['sigmoid']} map under the same shift",
    "centred": f"{BRANCHES['centred']} map under the same shift",
}
VISIBLY_DISTORTED = 0.05
"""Share of a map from which the shared component is said to distort it."""


def shift_finding_html(picture: ShiftedPicture, why: str) -> Html:
    """What the shift did, and below it which shift it was and why the map is drawn as it is."""
    description = f"{picture.description[0].upper()}{picture.description[1:]}."
    probabilities, movement = shift_sentences(picture)
    return finding(probabilities, f"{movement} {description} {why}".strip())


def map_description(pane: str, values: np.ndarray, class_name: str) -> str:
    """A pane in words, with its strongest cell, for those who do not see it."""
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return (
        f"{DESCRIPTIONS[pane]} for {class_name}: maximum {values.max():.2f} in row {row + 1}, column {column + 1} of "
        f"{len(values)}."
    )


def possible_and_actual(encoded: EncodedImage, class_index: int) -> str:
    """Whether this head's own shared component distorts its published map; and that nothing would have told."""
    softmax = shared_share(encoded, class_index, encoded.model.softmax_head)
    if not encoded.model.softmax_head.cam_is_exact:
        return (
            f"This softmax head's last layer has a shared component of {small_percent(softmax.energy)} of its energy; "
            "how much of this map that is cannot be read from its weights, because other layers lie between them and "
            "the map."
        )
    sigmoid = shared_share(encoded, class_index, encoded.model.sigmoid_head)
    share = softmax.map or 0.0
    distorts = "is distorted by it" if share > VISIBLY_DISTORTED else "is not visibly distorted by it"
    return (
        f"Possible: any heatmap. Actual: this softmax head's own shared component is {small_percent(softmax.energy)} "
        f"of its energy and {small_percent(share)} of this map, so the published map {distorts}. But nothing in its "
        "training or accuracy would have told you. The sigmoid branch's shared component is "
        f"{small_percent(sigmoid.energy)} of its energy: there it is fitted to labels, and it sets the zero of the "
        "maps."
    )


def proof_words(pictures: int, unchanged: int, largest: float) -> str:
    """What the proof shows, in one sentence; a prediction can change only where two classes tie up to rounding."""
    same = counted(unchanged, "prediction is", "predictions are")
    predictions = "every prediction is the same" if unchanged == pictures else f"{same} the same"
    proof = f"On {counted(pictures, 'picture')} {predictions}"
    return f"{proof}: the largest change of any probability is {tiny_percent(largest)}."
