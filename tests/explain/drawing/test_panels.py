"""Words on pictures: the bounds are printed, all words lie inside, none on another."""

import numpy as np
import pytest
from drawing_inputs import grid, photo, recorded_texts

from bsig.explain.drawing import panels
from bsig.explain.drawing.heatmaps import overlay
from bsig.explain.drawing.panels import PanelColumn, color_bar, comparison_panel, no_evidence_notice


@pytest.mark.parametrize("width", [160, 211, 448, 1131])
@pytest.mark.parametrize("unit", ["logits", "feature units, weighted by relative drop"])
def test_the_bar_prints_its_bounds_inside_the_picture_without_overlap(monkeypatch, width, unit):
    texts = recorded_texts(monkeypatch)
    bar = color_bar(12.345, view="signed", unit=unit, width=width)
    words = [text[0] for text in texts]
    assert {"−12.3", "0", "+12.3"} <= set(words)
    assert unit in " ".join(words)
    assert bar.width == width
    for _, (left, top, right, bottom) in texts:
        assert (left >= 0, top >= 0, right <= bar.width, bottom <= bar.height) == (True,) * 4
    for place, (_, (left, top, right, bottom)) in enumerate(texts):
        for _, (other_left, other_top, other_right, other_bottom) in texts[place + 1 :]:
            assert right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top


def test_the_positive_bar_starts_at_zero(monkeypatch):
    texts = recorded_texts(monkeypatch)
    color_bar(8.0)
    assert [text[0] for text in texts][:5] == ["0", "+2", "+4", "+6", "+8"]


def test_the_bar_shows_the_colours_of_the_heatmaps():
    bar = np.asarray(color_bar(8.0, view="signed", width=448))
    row = bar[panels.BAR_PAD + 5, panels.BAR_PAD + 1 : -panels.BAR_PAD - 1]
    assert tuple(row[len(row) // 2]) == (247, 247, 247)
    assert row[2, 2] > row[2, 0]
    assert row[-3, 0] > row[-3, 2]


@pytest.mark.parametrize("size_wh", [(448, 448), (224, 224), (91, 67)])
def test_the_notice_is_words_inside_the_picture(monkeypatch, size_wh):
    crop = photo(size_wh)
    texts = recorded_texts(monkeypatch)
    notice = no_evidence_notice(crop, "No positive evidence for this class anywhere.")
    assert notice.size == size_wh
    assert " ".join(text[0] for text in texts) == "No positive evidence for this class anywhere."
    assert all(left >= 0 and right <= size_wh[0] for _, (left, _, right, _) in texts)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_panel_prints_all_words_inside_the_slide(monkeypatch, count):
    crop, map = photo((224, 224)), grid()
    columns = [PanelColumn("Input", ("224 x 224 crop",), crop, is_map=False)]
    columns += [
        PanelColumn(f"Branch {i}", ("probability 0.4 %, logit −5.5", "positive area 3 %"), overlay(crop, map, 2.0))
        for i in range(1, count)
    ]
    words = {
        "title": "golf ball " * 9,
        "subtitle": "checkpoint, method, treatment",
        "finding": "softmax claims evidence on 49 %, the sigmoid branch on 3 %. " * 4,
        "footer": "settings " * 40,
    }
    texts = recorded_texts(monkeypatch)
    panel = comparison_panel(columns, **words, limit=2.0, view="signed")
    assert panel.width == 1600
    text_on_panel = " ".join(text[0] for text in texts)
    for text in [*words.values(), "−2", "+2", *(column.title for column in columns)]:
        assert " ".join(text.split()) in " ".join(text_on_panel.split())
    for _, (left, top, right, bottom) in texts:
        assert (left >= 0, top >= 0, right <= panel.width, bottom <= panel.height) == (True,) * 4


def test_an_ordinary_panel_has_the_shape_of_a_slide():
    crop = photo((224, 224))
    columns = [PanelColumn(name, ("probability 0.4 %", "logit −5.5"), crop) for name in ("Input", "Softmax", "Sigmoid")]
    panel = comparison_panel(columns, title="golf ball", subtitle="s", finding="One line.", footer="f", limit=1.0)
    assert 780 <= panel.height <= 920
