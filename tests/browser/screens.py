"""What a visitor does and sees, in the words of the tests."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import expect

# Whatever can be seen right of the window's edge, unless it lies in a box of its own that scrolls.
BEYOND_THE_EDGE = """() => [...document.querySelectorAll("body *")].filter((element) => {
  const box = element.getBoundingClientRect();
  if (!box.width || box.right <= innerWidth + 1) return false;
  if (element.ownerSVGElement) return false;  // an svg clips what it draws, and is asked itself
  if (element.closest('[aria-hidden="true"]')) return false;  // Gradio's copy of the tabs, for measuring
  if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
  for (let outer = element.parentElement; outer; outer = outer.parentElement) {
    const scrolls = ["auto", "scroll"].includes(getComputedStyle(outer).overflowX);
    if (scrolls && outer !== document.body && outer.getBoundingClientRect().right <= innerWidth + 1) return false;
  }
  return true;
}).map((element) => `${element.tagName}#${element.id}.${element.className}`)"""
# The folded parts of Compare, and what lies in each.
FOLDED = {
    "settings": ("checkpoint", "method", "reading", "finer-grid", "strength", "weights"),
    "view-settings": ("show", "view", "bias", "grid", "contour", "threshold", "opacity", "colormap", "own-scale"),
    "why": ("other-class", "why-words"),
    "unmoved": ("crop", "map-centred"),
}
MAPS = ("softmax", "sigmoid")


def finding(page: Any) -> str:
    """The sentence above the maps."""
    return page.locator("#finding .bsig-finding").inner_text()


def sources(page: Any, *elem_ids: str) -> list[str]:
    """Addresses of pictures; they hold a hash of the content, so another picture has another address."""
    return [page.locator(f"#{elem_id} img").get_attribute("src") for elem_id in elem_ids]


def map_sources(page: Any) -> list[str]:
    return sources(page, *(f"map-{branch}" for branch in MAPS))


def alt_texts(page: Any) -> list[str]:
    return [page.locator(f"#map-{branch} img").get_attribute("alt") for branch in MAPS]


def pixels(page: Any, elem_id: str) -> np.ndarray:
    """The picture as it was sent, (H, W, 3)."""
    content = page.request.get(page.locator(f"#{elem_id} img").get_attribute("src")).body()
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def unfold(page: Any, elem_id: str) -> None:
    """Opens the folded part that holds a component, where it is folded."""
    if page.locator(f"#{elem_id}").is_visible():
        return
    for part, inside in FOLDED.items():
        if elem_id in inside:
            page.locator(f"#{part} > button").click()
    expect(page.locator(f"#{elem_id}")).to_be_visible()


def choose(page: Any, elem_id: str, option: str) -> None:
    """Types into a dropdown and takes the option of that name (what follows a parenthesis does not matter)."""
    unfold(page, elem_id)
    box = page.locator(f"#{elem_id} input")
    box.evaluate("box => box.scrollIntoView({ block: 'center' })")  # the list of options opens below it
    box.click()
    box.clear()
    box.press_sequentially(option)  # the list is filtered by keys, not by a value that appears at once
    options = page.locator("ul[role=listbox] li")
    # The name itself may also be a part of longer names.
    options.filter(has_text=re.compile(rf"^[\s✓]*{re.escape(option)}\s*(\(|$)")).first.click()


def drag_to(page: Any, elem_id: str, row: float, column: float, cells: int = 7) -> None:
    """Takes the heatmap of a block by its middle to a place, counted from 1, and holds it there."""
    canvas = page.locator(f"#{elem_id} .bsig-drag[data-drawn] .bsig-drag-map canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(
        box["x"] + (column - 0.5) * box["width"] / cells, box["y"] + (row - 0.5) * box["height"] / cells, steps=6
    )


def canvas_pixels(page: Any, selector: str) -> np.ndarray:
    """What a canvas shows, (H, W, 3)."""
    address = page.locator(selector).evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB"))


def tick(page: Any, elem_id: str, label: str) -> None:
    """Chooses one of a row of radio buttons."""
    unfold(page, elem_id)
    page.locator(f"#{elem_id} label", has_text=label).first.click()


def toggle(page: Any, elem_id: str) -> None:
    unfold(page, elem_id)
    page.locator(f"#{elem_id} input[type=checkbox]").click()


def click_example(page: Any, number: int) -> None:
    page.locator("#examples button.thumbnail-item").nth(number).click()


def upload(page: Any, name: str, content: bytes, kind: str = "image/png") -> None:
    page.locator("#picture input[type=file]").set_input_files({"name": name, "mimeType": kind, "buffer": content})


def open_tab(page: Any, name: str) -> None:
    """On a narrow page the last tabs lie in a menu."""
    tab = page.get_by_role("tab", name=name, exact=True).first
    if not tab.is_visible():
        page.locator("#tabs .overflow-menu > button").click()
        tab = page.locator("#tabs .overflow-dropdown button", has_text=name)
    tab.click()


def beyond_the_edge(page: Any) -> list[str]:
    """What does not fit the window; clipping it away does not help."""
    return page.evaluate(BEYOND_THE_EDGE)


def until_changed(page: Any, elem_id: str, before: str) -> None:
    """Waits until the picture is another one."""
    expect(page.locator(f"#{elem_id} img")).not_to_have_attribute("src", before)
