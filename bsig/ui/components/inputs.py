"""The look of every screen: one theme, one style sheet, no font or script from elsewhere."""

from __future__ import annotations

import functools
import hashlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from bsig.explain.drawing.png import png_bytes
from bsig.explain.timing import part
from bsig.inputs.errors import InputError
from bsig.ui.server.gradio_internals import ShownAsParent, cache_folder, is_update, stored_picture, uploaded_path
from bsig.ui.server.log import VisitorLeftError, defect, refusal

logger = logging.getLogger(__name__)

THEME = gr.themes.Base(
    primary_hue="indigo",
    secondary_hue="slate",
    neutral_hue="slate",
    font=["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"],
    font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
).set(
    block_label_text_size="*text_sm",
    block_title_text_weight="600",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_label_text_color_dark="*neutral_200",
    block_title_text_color="*neutral_700",
    block_title_text_color_dark="*neutral_200",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    checkbox_border_color="*neutral_500",
    checkbox_border_color_dark="*neutral_400",
    checkbox_border_color_hover_dark="*neutral_300",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)

CSS = """
.gradio-container { max-width: 1640px !important; margin: 0 auto !important; }
#bsig-title h1 { font-size: 1.35rem; margin: 0; font-weight: 700; }
#bsig-title p { margin: .1rem 0 0; color: var(--body-text-color-subdued); }
.bsig-finding { border-left: 4px solid var(--primary-600); background: var(--block-background-fill);
  border-radius: 6px; padding: .7rem 1rem; font-size: 1.12rem; line-height: 1.45; color: var(--body-text-color); }
.bsig-finding small { display: block; margin-top: .25rem; font-size: .9rem; color: var(--body-text-color-subdued); }
.bsig-facts { display: grid; grid-template-columns: 1fr auto; gap: 0 .6rem; font-size: .92rem; line-height: 1.5;
  padding: .1rem .2rem .4rem; margin: 0; color: var(--body-text-color); }
.bsig-grid .bsig-facts { font-size: .8rem; white-space: nowrap; gap: 0 .3rem; }
.bsig-grid .html-container { padding: 0 !important; }
.bsig-facts dt { color: var(--body-text-color-subdued); }
.bsig-facts dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; font-weight: 600; }
.bsig-head { font-weight: 650; font-size: 1rem; color: var(--body-text-color); padding: 0 .2rem; }
.bsig-head small { display: block; font-weight: 400; font-size: .82rem; color: var(--body-text-color-subdued);
  line-height: 1.2; }
.bsig-grid .bsig-head { min-height: 5.4em; }
.bsig-note { font-size: .88rem; color: var(--body-text-color-subdued); padding: 0 .2rem; }
.bsig-table { width: 100%; border-collapse: collapse; font-size: .92rem; color: var(--body-text-color); }
.bsig-table th { text-align: left; color: var(--body-text-color-subdued); font-weight: 600; }
.bsig-table th, .bsig-table td { padding: .25rem .5rem; border-bottom: 1px solid var(--border-color-primary); }
.bsig-table td.number, .bsig-table th.number { text-align: right; font-variant-numeric: tabular-nums; }
@media (max-width: 1000px) { .bsig-pair { flex-direction: column !important; }
  .bsig-pair > * { width: 100% !important; } }
.tabitem, .tabitem > .column, .tabitem .column, .tabitem .block, .tabitem .html-container { min-width: 0 !important;
  max-width: 100%; }
#zero-table, #shift-proof, .bsig-scroll { overflow-x: auto; max-width: calc(100vw - 4rem); }
#tour .step-label { color: var(--body-text-color) !important; }
.bsig-scroll { overflow-x: auto; }
.bsig-map img, .bsig-map button img { object-fit: contain; }
.gallery-container .grid-wrap { min-height: 0 !important; }
.bsig-share { position: relative; min-width: 4.2rem; }
.bsig-share i { position: absolute; left: 0; bottom: 2px; height: 4px; border-radius: 2px;
  background: var(--primary-500); }
.bsig-grid { display: grid !important; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .8rem !important; }
.bsig-grid > * { min-width: 0 !important; }
.bsig-bar { margin: .2rem .2rem 0; }
.bsig-bar .ramp { height: 16px; border: 1px solid var(--border-color-primary); border-radius: 3px; }
.bsig-bar .ticks { display: flex; justify-content: space-between; font-size: .92rem; font-weight: 600;
  font-variant-numeric: tabular-nums; color: var(--body-text-color); }
.bsig-bar .words { display: flex; justify-content: space-between; font-size: .85rem;
  color: var(--body-text-color-subdued); }
.bsig-offscreen { position: absolute !important; left: -9999px !important; width: 1px !important;
  height: 1px !important; overflow: hidden !important; }
:focus-visible { outline: 3px solid var(--primary-500) !important; outline-offset: 2px; }
@media (max-width: 1000px) { .bsig-main { flex-direction: column !important; }
  .bsig-main > * { width: 100% !important; min-width: 0 !important; flex: none !important; }
  .bsig-grid { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (max-width: 720px) {
  /* Else the strip of tabs is as wide as all of them, and the page with it; the rest goes into its menu. */
  .tab-wrapper, .tab-container { max-width: calc(100vw - 2.5rem); min-width: 0; }
  .bsig-facts { grid-template-columns: 1fr; }
  .bsig-facts dd { text-align: left; margin-bottom: .2rem; }
  .gradio-container { padding: .5rem !important; }
  #tabs .tab-wrapper { max-width: calc(100vw - 4rem); }
  #examples .grid-container { grid-template-columns: repeat(auto-fill, minmax(80px, 1fr)) !important; }
  .bsig-grid .bsig-head { min-height: 5.6em; }
}
"""


class PictureInput(gr.Image, ShownAsParent):
    """A picture upload that hands on the file as it came, so that `images.py` alone opens it, and says what is wrong.

    Gradio's own preprocessing decodes the file first and turns its errors into "Error".
    """

    def preprocess(self, payload: Any) -> str | None:
        """The path of the uploaded file."""
        path = None if payload is None else uploaded_path(payload)
        if path is None:
            decoded = super().preprocess(payload)
            return decoded if isinstance(decoded, str) else None
        return path


class Choice(gr.Dropdown, ShownAsParent):
    """A dropdown whose value the handlers check, in our words.

    Gradio checks it against the choices of another moment: who changes checkpoint and class in quick succession would
    be told that the class is not in the list.
    """

    def preprocess(self, payload: Any) -> Any:
        """What the browser sent."""
        return payload


def shown_js(element_id: str) -> str:
    """Javascript that puts "is this element on the screen?" in place of the first input of an event.

    Compare's answers come while another tab is open; a tab that asks this first draws them only when it is shown.
    """
    return f"""(...inputs) => {{
      const screen = document.querySelector('#{element_id}');
      return [Boolean(screen && screen.offsetParent), ...inputs.slice(1)];
    }}"""


class MapImage(gr.Image, ShownAsParent):
    """A picture that is shown, encoded once, as PNG, because people download and measure it.

    By `png.py`, because with Pillow four maps take longer to encode than the model to run. Handlers return
    `gr.update(value=picture)`: a component would encode it a second time.
    """

    @part("png")
    def postprocess(self, value: Any) -> Any:
        """The picture as a file in Gradio's cache, named by its content."""
        if not isinstance(value, Image.Image):
            return super().postprocess(value)
        return stored_picture(str(png_file(value, cache_folder())))


def png_file(picture: Image.Image, cache: str) -> Path:
    """The picture as a file in Gradio's cache, named by its content."""
    content = png_bytes(picture)
    path = Path(cache) / hashlib.sha256(content).hexdigest() / "image.png"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{secrets.token_hex(8)}.partial")
        partial.write_bytes(content)
        partial.replace(path)
    return path


def encoded_updates(answer: Any) -> Any:
    """A handler's answer with the pictures of its updates as files.

    Gradio makes the values of updates ready on the event loop, where encoding a picture keeps every visitor waiting;
    handlers have a thread of their own.
    """
    if type(answer) in (list, tuple):
        return type(answer)(encoded_updates(one) for one in answer)
    if is_update(answer) and isinstance(answer.get("value"), Image.Image):
        with part("png"):
            return {**answer, "value": str(png_file(answer["value"], cache_folder()))}
    return answer


def in_words(handler: Callable) -> Callable:
    """Turns an `InputError` into the app's message, once, at the border; anything else is logged as a defect."""

    @functools.wraps(handler)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return encoded_updates(handler(*arguments, **named))
        except InputError as error:
            raise refusal(str(error)) from error
        except (gr.Error, VisitorLeftError):
            raise
        except Exception as error:
            logger.exception("defect in %s", handler.__name__)
            raise defect() from error

    return wrapped
