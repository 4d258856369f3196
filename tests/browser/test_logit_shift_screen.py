"""The Logit shift screen in a real browser: the same probabilities, another heatmap, by a drag of the heatmap."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bsig import load_checkpoint
from bsig.explain.diagnostics.map_drag import MapDrag
from bsig.ui.components.drag import drag_html
from bsig.ui.components.examples import bundled_examples

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import canvas_pixels, choose, drag_to, finding, open_tab, pixels, sources, tick, until_changed

UNCHANGED = 1e-5  # of any softmax probability; float32 logits of a thousand classes leave some 1e-7
CELLS = 7
JPEG = 12  # levels of a pixel: the page has the photo below the colours as a JPEG
HANDLE, STILL = "#shift-drag .bsig-drag-map", "#shift-drag .bsig-drag-still"
DRAGGED = "bsig.draggedMap('shift-drag')"


@pytest.fixture
def shift_page(visit: Callable[..., Any]) -> Any:
    page = visit("?example=cat")
    open_tab(page, "Logit shift")
    page.locator("#shift-after img").wait_for()
    page.locator("#shift-drag .bsig-drag[data-drawn]").wait_for()
    expect(page.locator("#shift-finding")).to_contain_text("Same classifier, another heatmap")
    return page


def _alt(page: Any, key: str) -> str:
    return page.locator(f"#shift-{key} img").get_attribute("alt")


def _place(alt_text: str) -> str:
    return re.search(r"row \d+, column \d+", alt_text).group()


def _change(page: Any, branch: str) -> float:
    return float(page.locator(f"#largest-change-{branch}").get_attribute("data-value"))


def _set(page: Any, elem_id: str, value: float) -> None:
    number = page.locator(f"#{elem_id} input[type=number]")
    number.fill(str(value))
    number.press("Tab")


def test_a_link_with_a_delta_opens_without_an_error(visit: Callable[..., Any]) -> None:
    page = visit("?tab=logit-shift&example=cat&shift=uniform&delta=-0.005")
    expect(page.locator("#shift-delta input[type=number]")).to_have_value("-0.005")
    page.locator("#plot-shared .js-plotly-plot").wait_for()
    expect(page.locator("#shift-finding .bsig-finding")).to_be_visible()
    page.wait_for_timeout(2000)  # what followed the link's own answer has been answered too
    expect(page.locator(".toast-body, .bsig-problem")).to_have_count(0)


@pytest.mark.parametrize(("row", "column"), [(7, 1), (2, 6)])
def test_the_softmax_map_goes_where_one_drags_it_and_no_probability_moves(
    shift_page: Any, row: int, column: int
) -> None:
    page = shift_page
    before = {key: _place(_alt(page, key)) for key in ("before", "centred")}
    still, numbers = canvas_pixels(page, STILL), page.locator("#shift-drag table").inner_text()
    assert "Egyptian cat" in page.locator(HANDLE).get_attribute("aria-label")  # it opens on the predicted class
    drag_to(page, "shift-drag", row, column)
    hand_map = np.reshape(page.evaluate(DRAGGED), (CELLS, CELLS))
    assert np.unravel_index(hand_map.argmax(), hand_map.shape) == (
        row - 1,
        column - 1,
    )  # in the hand, before any answer
    page.mouse.up()
    expect(page.locator("#shift-after img")).to_have_attribute(
        "alt",
        re.compile(rf"^Softmax map after the shift for Egyptian cat: .+ row {row}, column {column} of {CELLS}\.$"),
    )
    # The shifted head, formed and run by the server, has the map that the browser drew, in numbers and in pixels.
    answer_map = np.reshape(json.loads(page.locator("#shift-painted script").text_content()), hand_map.shape)
    np.testing.assert_allclose(page.evaluate(DRAGGED), answer_map.ravel(), atol=1e-3)
    difference = np.abs(canvas_pixels(page, f"{HANDLE} canvas").astype(int) - pixels(page, "shift-after"))
    assert (np.median(difference), np.percentile(difference, 99) <= JPEG) == (0, True)
    assert (canvas_pixels(page, STILL) == still).all()
    assert page.locator("#shift-drag table").inner_text() == numbers
    expect(page.locator("#shift-drag .bsig-drag-change")).to_contain_text("No probability moves")
    assert _change(page, "softmax") < UNCHANGED
    assert _change(page, "sigmoid") > UNCHANGED
    assert {key: _place(_alt(page, key)) for key in before} == before
    expect(page.locator("#shift-finding")).to_contain_text(f"row {row}, column {column}")
    expect(page.locator("#shift-target input:checked")).to_have_count(0)  # the form says what was done


def test_a_step_of_the_drag_takes_less_than_a_tenth_of_a_second(shift_page: Any) -> None:
    drag_to(shift_page, "shift-drag", 4, 4)
    seconds = shift_page.locator(HANDLE).evaluate("""(handle) => {
      const box = handle.getBoundingClientRect(), steps = 20, start = performance.now();
      for (let step = 0; step < steps; step++)
        handle.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, pointerId: 1,
          clientX: box.left + box.width * step / steps, clientY: box.top + box.height / 2 }));
      return (performance.now() - start) / steps / 1000;
    }""")
    shift_page.mouse.up()
    assert seconds < 0.1


@pytest.mark.parametrize("branch", ["softmax", "sigmoid"])
def test_the_page_has_the_formulas_of_the_library(page: Any, branch: str) -> None:
    """Also where the features cannot paint every map, and for the branch whose probabilities move."""
    random = np.random.default_rng(3)
    own, basis = random.normal(size=(3, 5)).astype(np.float32), np.linalg.qr(random.normal(size=(15, 4)))[0]
    drag = MapDrag("a", branch, own, basis, ("a", "b"), np.array([1.0, -0.5]), 0.3 if branch == "softmax" else None,
                   offset=0.4, temperature=0.8)  # fmt: skip
    block = drag_html(drag, Image.new("RGB", (8, 8), "grey"), 2.0, elem_id="by-hand", text="")
    page.evaluate("""(html) => {
      const box = document.createElement("div");
      box.id = "by-hand";
      box.innerHTML = html;
      document.querySelector("#tabs").prepend(box);
    }""", block)  # fmt: skip
    page.locator("#by-hand .bsig-drag[data-drawn]").wait_for()
    handle, (row, column) = page.locator("#by-hand .bsig-drag-map"), divmod(int(own.argmax()), 5)
    place = (row, column + 1 if column < 4 else column - 1)
    handle.press("ArrowRight" if column < 4 else "ArrowLeft")
    target = drag.painted_map(place)
    np.testing.assert_allclose(page.evaluate("bsig.draggedMap('by-hand')"), target.ravel(), atol=1e-5)
    percents = page.locator("#by-hand .bsig-now span").all_inner_texts()
    assert percents == [f"{100 * share:.2f} %" for share in drag.probabilities(target)]


def test_a_fresh_drag_has_the_numbers_that_other_targets_have(shift_page: Any) -> None:
    """The block draws what the server says, for shifts that are no drag too, and goes on from there with the keys."""
    tick(shift_page, "shift-target", "bottom right")
    expect(shift_page.locator("#shift-finding")).to_contain_text("Painted: bottom right")
    shift_page.wait_for_function(f"{DRAGGED}.indexOf(Math.max(...{DRAGGED})) === 5 * 7 + 5")
    shift_page.locator(HANDLE).press("ArrowUp")
    expect(shift_page.locator("#shift-finding")).to_contain_text("row 5, column 6")
    expect(shift_page.locator("#shift-drag [role=status]")).to_contain_text("row 5.0, column 6.0. No probability moves")


def test_the_animation_is_a_gif_for_a_slide(shift_page: Any) -> None:
    shift_page.locator("#shift-animate").click()
    link = shift_page.locator("#shift-animation a[download]").first
    link.wait_for()
    with shift_page.expect_download() as waiting:
        link.click()
    with Image.open(waiting.value.path()) as picture:
        assert (picture.format, picture.is_animated) == ("GIF", True)


def test_every_picture_says_what_it_shows(shift_page: Any) -> None:
    titles = ["Softmax map before the shift", "Softmax map after the shift"]
    titles += ["Sigmoid branch map under the same shift", "Softmax, class-centred map under the same shift"]
    alts = [_alt(shift_page, key) for key in ("before", "after", "sigmoid", "centred")]
    assert all(re.fullmatch(rf"{re.escape(title)} for .+: maximum -?\d+\.\d\d in row \d, column \d of 7\.", alt)
               for title, alt in zip(titles, alts, strict=True)), alts  # fmt: skip


def test_the_targets_move_the_map(shift_page: Any) -> None:
    before = sources(shift_page, "shift-after")[0]
    tick(shift_page, "shift-target", "bottom right")
    until_changed(shift_page, "shift-after", before)
    expect(shift_page.locator("#shift-finding")).to_contain_text("Painted: bottom right")
    row, column = (int(number) for number in re.findall(r"\d+", _place(_alt(shift_page, "after"))))
    assert row >= 5
    assert column >= 5
    assert _change(shift_page, "softmax") < UNCHANGED


def test_the_delta_slider_shifts_all_channels(shift_page: Any) -> None:
    tick(shift_page, "shift-kind", "All channels")
    expect(shift_page.locator("#shift-delta")).to_be_visible()
    expect(shift_page.locator("#shift-target")).not_to_be_visible()
    expect(shift_page.locator("#shift-finding")).to_contain_text("No shift yet")
    _set(shift_page, "shift-delta", -0.03)
    expect(shift_page.locator("#shift-finding")).to_contain_text("-0.030 added to every weight of every class")
    expect(shift_page.locator("#shift-finding")).to_contain_text("Same classifier, another heatmap")
    assert _change(shift_page, "softmax") < UNCHANGED
    assert _change(shift_page, "sigmoid") > UNCHANGED
    before = sources(shift_page, "shift-after")[0]
    handle = shift_page.locator("#shift-delta input[type=range]")
    handle.focus()
    handle.press("Home")
    until_changed(shift_page, "shift-after", before)
    assert _change(shift_page, "softmax") < UNCHANGED


def test_one_channel_comes_with_its_thumbnail(shift_page: Any) -> None:
    tick(shift_page, "shift-kind", "One channel")
    expect(shift_page.locator("#shift-channel")).to_be_visible()
    thumbnail = shift_page.locator('img[alt^="Where channel"]')
    expect(thumbnail).to_be_visible()
    before = sources(shift_page, "shift-after")[0]
    _set(shift_page, "shift-channel-delta", 0.8)
    until_changed(shift_page, "shift-after", before)
    expect(shift_page.locator("#shift-finding")).to_contain_text("+0.80 added to channel")
    assert _change(shift_page, "softmax") < UNCHANGED


def test_prove_it_keeps_every_prediction(shift_page: Any) -> None:
    drag_to(shift_page, "shift-drag", 7, 1)
    shift_page.mouse.up()
    expect(shift_page.locator("#shift-finding")).to_contain_text("row 7, column 1")
    shift_page.locator("#shift-prove").click()
    rows = shift_page.locator("#shift-proof tbody tr")
    expect(rows).to_have_count(len({example.path for example in bundled_examples()}))
    cells = [row.locator("td").all_inner_texts() for row in rows.all()]
    assert [row[2] for row in cells] == ["same"] * len(cells)
    assert max(float(row[3].removesuffix(" %")) / 100 for row in cells) < UNCHANGED
    assert (
        float(next(row for row in cells if row[0] == "cat")[4].replace("−", "-")) < 0.9
    )  # the picture that the shift was painted on


def test_the_export_is_a_checkpoint_that_says_it_is_doctored(shift_page: Any, tmp_path: Any) -> None:
    shift_page.locator("#shift-export").click()
    link = shift_page.locator("#shift-file a[download]").first
    link.wait_for()
    with shift_page.expect_download() as waiting:
        link.click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        archive.extractall(tmp_path)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert "doctored" in json.loads((folder / "checkpoint.json").read_text())
    model = load_checkpoint(str(folder))
    assert model.num_classes == 1000


def test_the_screen_follows_the_class_of_compare(shift_page: Any) -> None:
    open_tab(shift_page, "Compare")
    choose(shift_page, "class", "golf ball")
    expect(shift_page.locator("#finding")).to_contain_text("golf ball")
    assert "golf ball" in finding(shift_page)
    open_tab(shift_page, "Logit shift")
    expect(shift_page.locator("#shift-finding")).to_contain_text("'Egyptian cat'")
    tick(shift_page, "shift-subject", "Asked in Compare: golf ball")
    expect(shift_page.locator("#shift-finding")).to_contain_text("'golf ball'")
    assert "for golf ball" in _alt(shift_page, "after")


def test_plots_and_the_table_of_zeros_are_drawn(shift_page: Any) -> None:
    for elem_id in ("plot-movement", "plot-overlap", "plot-area"):
        expect(shift_page.locator(f"#{elem_id} .js-plotly-plot .scatterlayer .trace")).to_have_count(3)
    expect(shift_page.locator("#plot-shared .js-plotly-plot .barlayer .trace")).to_have_count(2)
    heads = shift_page.locator("#zero-table tbody tr")
    expect(heads).to_have_count(4)
    percents = re.findall(r"\d+ %", heads.nth(0).inner_text())
    assert len(percents) >= 3
