"""What a heatmap that is dragged in the browser is made of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bsig.explain.diagnostics.map_drag import MapDrag
from bsig.explain.drawing.heatmaps import greyed, overlay, overlay_table
from bsig.ui.components.drag import drag_html, painted_html
from bsig.ui.screens.logit_shift.inputs import dragged_cell

OWN = np.array([[1.0, 3.0], [0.5, -2.0], [0.0, 1.5]], np.float32)
DRAG = MapDrag("tabby", "softmax", OWN, None, ("tabby", "golf ball"), np.array([2.0, 0.0]), 1.0)
CROP = Image.new("RGB", (8, 8), (200, 120, 40))


def _content(text: str) -> Any:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL).group(1))


def test_the_browser_gets_the_numbers_of_the_drag() -> None:
    content = _content(drag_html(DRAG, CROP, 3.0, elem_id="shift-drag", text="", still=("Still", "", -OWN)))
    assert (content["grid"], content["own"]) == ([3, 2], [1.0, 3.0, 0.5, -2.0, 0.0, 1.5])
    assert content["still"] == [-value for value in content["own"]]
    assert (content["basis"], content["limit"], content["others"], content["logits"]) == (None, 3.0, 1.0, [2.0, 0.0])
    assert _content(painted_html(OWN, "shift-drag")) == content["own"]


def test_the_tables_of_colours_draw_the_overlay() -> None:
    """What the page does with each pixel, by hand: index of the share, then photo * keep + paint in 256ths."""
    paint, keep = overlay_table("positive", "inferno", 0.8)
    photo = np.asarray(greyed(CROP), dtype=np.int64)
    index = round(255 * 0.5 / 2)
    expected = (photo * keep[index] + paint[index]) >> 8
    assert (np.asarray(overlay(CROP, np.full((2, 2), 0.5, np.float32), 2.0)) == expected).all()


def test_before_and_now_are_the_models_probabilities_until_it_is_dragged() -> None:
    text = drag_html(DRAG, CROP, 3.0, elem_id="shift-drag", text="")
    total = np.exp([2.0, 0.0, 1.0]).sum()
    for logit in (2.0, 0.0):
        assert text.count(f"{100 * np.exp(logit) / total:.2f} %") == 2


def test_no_class_name_ends_the_script_or_becomes_html() -> None:
    name = "</script><img src=x onerror=alert(1)>"
    text = drag_html(replace(DRAG, class_name=name, class_names=(name, "b")), CROP, 3.0, elem_id="d", text=name)
    assert "<img" not in text
    assert text.count("</script>") == 1


@pytest.mark.parametrize(
    ("answer", "cell"),
    [("", None), ("1", None), ("1,2,3", None), ("a,b", None), ("0.00,6.00", (0, 6)), ("2.35,0.10", (2.35, 0.1))],
)
def test_where_the_heatmap_came_to_rest(answer: str, cell: tuple[float, float] | None) -> None:
    assert dragged_cell(answer) == cell
