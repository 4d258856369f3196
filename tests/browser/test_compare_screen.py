"""The Compare screen in a real browser, against the shipped checkpoints (house style, tests number 10)."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bsig import Explainer, load_checkpoint
from bsig.inputs.images import Preprocessing, crop_image, read_image
from bsig.ui.components.examples import bundled_examples

pytest.importorskip("playwright", reason="playwright is not installed (pip install -r .ci/requirements.txt)")
from playwright.sync_api import expect

from browser.screens import (
    alt_texts,
    beyond_the_edge,
    choose,
    click_example,
    finding,
    map_sources,
    open_tab,
    pixels,
    sources,
    tick,
    toggle,
    unfold,
    until_changed,
    upload,
)

ALT_TEXT = re.compile(
    r"positive evidence on \d+ % of the picture, strongest \(-?\d+\.\d\d\) in the .+, "
    r"(probability|in the picture:) .+ %"
)

LAST_PART = {
    "Compare": "#contrast-sigmoid img",
    "Logit shift": "#plot-shared .js-plotly-plot",
    "Sign collapse": ".bsig-plot .js-plotly-plot",
    "Guided tour": "#tour-picture-0 img",
}


def _number_of(key: str) -> int:
    return [example.key for example in bundled_examples()].index(key)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def page(visit: Callable[..., Any]) -> Any:
    """Two things in one picture, asked for the cat: whichever example the page opens with."""
    return visit("?example=coffee-and-cat")


def test_the_page_opens_with_a_compared_example(visit: Callable[..., Any]) -> None:
    page, example = visit(), bundled_examples()[0]
    name = example.class_name
    assert finding(page).startswith(f"No {name} here (under 0.1 %).")
    texts = alt_texts(page)
    assert [text.split(",")[0] for text in texts] == ["Softmax branch", "Sigmoid branch · Levelled by presence"]
    assert all(ALT_TEXT.search(text) and f"for {name}:" in text for text in texts)
    assert len(set(map_sources(page))) == 2
    expect(page.locator("#reason")).to_contain_text(example.reason)
    expect(page.locator("#class input")).to_have_value(re.compile(rf"^{name}( \(softmax .+ %, sigmoid .+ %\))?$"))


def test_another_example_changes_finding_maps_and_reason(page: Any) -> None:
    before, maps = finding(page), map_sources(page)
    click_example(page, _number_of("cat-golf-ball"))
    expect(page.locator("#finding")).to_contain_text("golf ball")
    assert finding(page) != before
    assert not set(maps) & set(map_sources(page))
    expect(page.locator("#reason")).to_contain_text(bundled_examples()[_number_of("cat-golf-ball")].reason)
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"cat\.jpg$"))


def test_a_typed_class_changes_maps_and_finding(page: Any) -> None:
    maps = map_sources(page)
    choose(page, "class", "zebra")
    expect(page.locator("#finding")).to_contain_text("zebra")
    assert not set(maps) & set(map_sources(page))
    assert all("for zebra" in text for text in alt_texts(page))


def test_link_parameters_choose_example_and_class(visit: Callable[..., Any]) -> None:
    page = visit("?example=rocket&class=space%20shuttle")
    assert finding(page).startswith("Space shuttle ")
    expect(page.locator("#picture img")).to_have_attribute("src", re.compile(r"rocket\.jpg$"))


def test_heatmap_alone_and_grid_show_the_cells(page: Any) -> None:
    before = map_sources(page)
    tick(page, "view", "For the class")  # the other view has signs drawn on it
    until_changed(page, "map-sigmoid", before[1])
    before = map_sources(page)
    tick(page, "show", "Heatmap alone")
    until_changed(page, "map-sigmoid", before[1])
    smooth = pixels(page, "map-sigmoid")
    before = map_sources(page)
    toggle(page, "grid")
    until_changed(page, "map-sigmoid", before[1])
    cells = pixels(page, "map-sigmoid")
    assert len(np.unique(smooth.reshape(-1, 3), axis=0)) > 49
    assert len(np.unique(cells.reshape(-1, 3), axis=0)) <= 49
    assert (cells[:64, :64] == cells[0, 0]).all()


def test_wipe_lays_both_branches_over_each_other(page: Any) -> None:
    expect(page.locator("#wipe")).not_to_be_visible()
    softmax, sigmoid = (pixels(page, f"map-{branch}") for branch in ("softmax", "sigmoid"))
    tick(page, "show", "Wipe between the two")
    pictures = page.locator("#wipe img")
    expect(pictures).to_have_count(2)
    expect(pictures.first).to_be_visible()
    expect(page.locator("#map-softmax")).not_to_be_visible()
    panes = [
        np.asarray(
            Image.open(io.BytesIO(page.request.get(pictures.nth(side).get_attribute("src")).body())).convert("RGB")
        )
        for side in range(2)
    ]
    assert {pane.tobytes() for pane in panes} == {softmax.tobytes(), sigmoid.tobytes()}


def test_difference_is_one_signed_picture_with_its_own_bar(page: Any) -> None:
    tick(page, "show", "Difference")
    picture = page.locator('img[alt^="Sigmoid less softmax: red where the sigmoid branch claims more"]')
    expect(picture).to_be_visible()
    expect(page.locator("#scale")).to_contain_text("softmax claims more")
    expect(page.locator("#scale .ticks span")).to_have_count(5)
    expect(page.locator("#map-softmax")).not_to_be_visible()
    tick(page, "show", "Overlay")
    expect(page.locator("#map-softmax img")).to_be_visible()
    expect(picture).to_have_count(0)


def test_zero_is_in_the_middle_of_the_bar_and_at_its_beginning_where_only_the_evidence_for_is_drawn(page: Any) -> None:
    ticks = page.locator("#scale .ticks span")
    expect(ticks).to_have_count(5)
    expect(ticks.nth(2)).to_have_text("0")
    expect(ticks.first).to_have_text(re.compile(r"^−"))
    expect(page.locator("#scale")).to_contain_text("against the class")
    before = map_sources(page)
    tick(page, "view", "For the class")
    until_changed(page, "map-softmax", before[0])
    expect(ticks.first).to_have_text("0")


def test_contour_own_scale_opacity_and_colours_redraw_the_maps(page: Any) -> None:
    before = map_sources(page)
    toggle(page, "contour")
    until_changed(page, "map-sigmoid", before[1])
    before = map_sources(page)
    toggle(page, "own-scale")
    expect(page.locator("#note")).to_contain_text("brightness cannot be compared")
    expect(page.locator("#scale .ramp")).to_have_count(0)
    until_changed(page, "map-sigmoid", before[1])
    before = map_sources(page)
    opacity = page.locator("#opacity input[type=range]")
    opacity.focus()
    opacity.press("Home")
    until_changed(page, "map-sigmoid", before[1])
    before = map_sources(page)
    choose(page, "colormap", "Orange for, purple against")  # a diverging one, for this view
    until_changed(page, "map-sigmoid", before[1])


def test_treatment_and_method_change_the_maps_and_what_is_said_of_them(page: Any) -> None:
    before = map_sources(page)
    choose(page, "method", "LayerCAM")
    until_changed(page, "map-softmax", before[0])
    assert all("LayerCAM for" in text for text in alt_texts(page))
    choose(page, "method", "CAM")
    expect(page.locator("#map-softmax img")).to_have_attribute("src", before[0])
    # Behind an average pool this is LayerCAM up to its scale, and the same picture.
    tick(page, "weights", "Non-negative")
    until_changed(page, "map-softmax", before[0])
    expect(_numbers(page, 1)).to_contain_text("100 %")


def test_score_cam_offers_a_budget_and_answers_within_it(page: Any) -> None:
    expect(page.locator("#budget")).not_to_be_visible()
    before = map_sources(page)
    choose(page, "method", "Score-CAM")
    expect(page.locator("#budget")).to_be_visible()
    until_changed(page, "map-softmax", before[0])
    assert all("Score-CAM for" in text for text in alt_texts(page))
    choose(page, "method", "CAM")
    expect(page.locator("#budget")).not_to_be_visible()


def test_another_checkpoint_brings_its_own_classes(page: Any) -> None:
    birds = load_checkpoint("birds10-efficientnet_lite0").class_names
    choose(page, "checkpoint", "birds10-efficientnet_lite0")
    expect(page.locator("#class input")).to_have_value(re.compile("^(" + "|".join(map(re.escape, birds)) + r") \("))
    page.locator("#class input").click()
    expect(page.locator("ul[role=listbox] li")).to_have_count(len(birds))
    page.keyboard.press("Escape")


def test_a_text_file_named_jpg_is_refused_in_one_sentence_and_the_app_goes_on(page: Any) -> None:
    upload(page, "notes.jpg", b"these are words, not a picture\n" * 20, "image/jpeg")
    problem = page.locator(".bsig-problem")
    expect(problem).to_have_count(1)
    expect(problem).to_contain_text("is not a picture that can be opened")
    assert "Traceback" not in problem.inner_text()
    # It stands below the picture, with no pill over an output and no answer to the picture before.
    picture, words = page.locator("#picture").bounding_box(), problem.bounding_box()
    assert 0 <= words["y"] - picture["y"] - picture["height"] < 60
    expect(page.locator("[data-testid=toast-body]")).to_have_count(0)
    expect(page.locator("span.error:visible")).to_have_count(0)
    expect(page.locator("#map-sigmoid img")).to_be_hidden()
    click_example(page, _number_of("cat-golf-ball"))
    expect(page.locator("#finding")).to_contain_text("golf ball")
    expect(problem).to_have_count(0)
    expect(page.locator("#map-sigmoid img")).to_be_visible()


def test_an_upload_with_transparency_is_laid_on_white(page: Any) -> None:
    picture = Image.open(bundled_examples()[_number_of("cat")].path).convert("RGBA")
    picture.putalpha(
        Image.fromarray(
            np.where(np.arange(picture.height)[:, None] < picture.height // 2, 0, 255)
            .astype(np.uint8)
            .repeat(picture.width, 1)
        )
    )
    unfold(page, "crop")
    before = sources(page, "crop")[0]
    upload(page, "cat.png", _png(picture))
    until_changed(page, "crop", before)
    crop = pixels(page, "crop")
    assert (crop[:150] == 255).all()
    assert crop[300:].std() > 10
    expect(page.locator("#reason")).to_have_text("")


def test_an_upload_turned_by_exif_is_shown_upright(page: Any) -> None:
    picture = Image.open(bundled_examples()[_number_of("cat")].path)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=95, exif=exif)
    unfold(page, "crop")
    before = sources(page, "crop")[0]
    upload(page, "phone.jpg", buffer.getvalue(), "image/jpeg")
    until_changed(page, "crop", before)
    upright = crop_image(picture.convert("RGB"), Preprocessing()).resize((448, 448))
    assert np.abs(pixels(page, "crop").astype(int) - np.asarray(upright, dtype=int)).mean() < 3
    expected = crop_image(read_image(buffer.getvalue()), Preprocessing()).resize((448, 448))
    np.testing.assert_array_equal(pixels(page, "crop"), np.asarray(expected))


def test_no_positive_evidence_is_said_in_words(page: Any) -> None:
    model = load_checkpoint("imagenet1k-efficientnet_lite0")
    encoded = Explainer(model).encode(bundled_examples()[_number_of("coffee-and-cat")].path)
    maps = torch.einsum("ck,khw->chw", model.sigmoid_head.last_linear.weight.detach(), encoded.features[0])
    index = int(maps.flatten(1).amax(dim=1).argmin())
    assert maps[index].max() < 0
    before = map_sources(page)
    choose(page, "class", model.class_names[index])
    until_changed(page, "map-sigmoid", before[1])
    expect(page.locator("#finding")).to_contain_text(f"No {model.class_names[index]} here")
    expect(_numbers(page, 2).locator("td").nth(3)).to_have_text("0 %")
    assert "positive evidence" in alt_texts(page)[1]


def test_download_holds_pictures_maps_and_numbers(page: Any) -> None:
    with page.expect_download() as waiting:
        page.locator("#prepare-download").click()
    assert waiting.value.suggested_filename == "bsig-Egyptian-cat-cam.zip"
    with zipfile.ZipFile(waiting.value.path()) as archive:
        branches = [f"{branch}.{kind}" for branch in ("softmax", "sigmoid", "centred") for kind in ("npy", "png")]
        assert sorted(archive.namelist()) == sorted([*branches, "comparison.png", "crop.png", "explanation.json"])
        numbers = json.loads(archive.read("explanation.json"))
        array = np.load(io.BytesIO(archive.read("sigmoid.npy")))
    assert numbers["class_name"] == "Egyptian cat"
    assert numbers["finding"] in finding(page)
    assert array.shape == (7, 7)
    assert array.dtype == np.float32


@pytest.mark.parametrize("tab", list(LAST_PART))
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_overflows_on_a_phone(visit: Callable[..., Any], theme: str, tab: str) -> None:
    page = visit(f"?__theme={theme}", viewport={"width": 400, "height": 800})
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    open_tab(page, tab)
    page.locator(LAST_PART[tab]).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert beyond_the_edge(page) == []


def test_the_keyboard_reaches_every_choice(page: Any) -> None:
    for part in ("settings", "view-settings"):
        page.locator(f"#{part} > button").click()
    expect(page.locator("#own-scale")).to_be_visible()
    controls = {"class", "checkpoint", "method", "weights", "show", "view", "grid", "contour", "opacity", "own-scale"}
    ids = set()
    page.locator("body").press("Tab")
    for _ in range(120):
        ids |= set(page.evaluate(
            "() => { const ids = []; for (let e = document.activeElement; e; e = e.parentElement) ids.push(e.id);"
            " return ids }"
        ))  # fmt: skip
        page.keyboard.press("Tab")
    assert controls <= ids, controls - ids


def test_two_visitors_do_not_disturb_each_other(visit: Callable[..., Any]) -> None:
    first, second = visit("?example=cat"), visit("?example=coffee")
    maps = map_sources(first)
    before = finding(first)
    choose(second, "class", "zebra")
    expect(second.locator("#finding")).to_contain_text("zebra")
    assert (finding(first), map_sources(first)) == (before, maps)
    tick(first, "weights", "Non-negative")
    until_changed(first, "map-softmax", maps[0])
    assert "zebra" not in finding(first)
    expect(first.locator("#finding")).to_contain_text("Softmax predicts " + _predicted(before))
    expect(second.locator("#finding")).to_contain_text("zebra")


def _predicted(words: str) -> str:
    return re.search(r"Softmax predicts (.+?) \(", words).group(1)


def _numbers(page: Any, row: int) -> Any:
    """A row of the number table: the first class, below it softmax and sigmoid, then the next class."""
    return page.locator("#numbers tbody tr").nth(row)
