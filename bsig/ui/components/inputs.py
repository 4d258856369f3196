"""Components that Gradio has not: pictures that come and go as files, choices checked in our words, page questions."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from bsig.explain.drawing.png import png_bytes
from bsig.explain.timing import part
from bsig.inputs.errors import InputError
from bsig.inputs.files import write_whole
from bsig.ui.server.gradio_internals import ShownAsParent, cache_folder, stored_picture, uploaded_path

ANSWERED_JS = "(...inputs) => bsig.answered(inputs)"
"""Script of an event that has a `page_question` among its inputs."""
OPEN_COMPARE_JS = "() => bsig.openCompare()"
SHOW_MAPS_JS = "() => bsig.showMaps()"


def press_js(element_id: str) -> str:
    """Script of an event that presses a button of the page."""
    return f"() => bsig.press('{element_id}')"


def page_question(question: str, *subjects: str) -> gr.Textbox:
    """A hidden input whose value the browser replaces by its answer, in an event with `ANSWERED_JS`.

    Which screen is open is known to the browser alone. The input is known by its value, not by its place among others.

    Args:
        question: "is shown" (answered yes or no), "open tab", "open step".
        subjects: what it is about: an element's id, or the keys among which the open one is.
    """
    return gr.Textbox(f"page: {question}? {','.join(subjects)}", visible=False)


class PictureInput(gr.Image, ShownAsParent):
    """A picture upload that hands on the file as it came, so that `images.py` alone opens it and says what is wrong.

    Gradio's own preprocessing decodes the file first and turns its errors into "Error".
    """

    def preprocess(self, payload: Any) -> str | None:
        """The path of the uploaded file."""
        path = None if payload is None else uploaded_path(payload)
        if path is None:
            picture_path = super().preprocess(payload)
            return picture_path if isinstance(picture_path, str) else None
        return path


class Choice(gr.Dropdown, ShownAsParent):
    """A dropdown whose value the handlers check, in our words.

    Gradio checks it against the choices of another moment: who changes checkpoint and class in quick succession would
    be told that the class is not in the list.
    """

    def preprocess(self, payload: Any) -> Any:
        """The value as the browser sent it."""
        return payload


class LaterCheckbox(gr.Checkbox, ShownAsParent):
    """A parameter that an endpoint of the web API got later: a request without it gets its own value."""

    may_be_left_out = True


class LaterTextbox(gr.Textbox, ShownAsParent):
    """The same for a text."""

    may_be_left_out = True


class ReadingSlider(gr.Slider, ShownAsParent):
    """A slider whose range an answer changes, and whose value its rule checks.

    The range of a reading is there for the server a moment before the page holds the value that goes with it. An event
    in between sends the value from before, which Gradio would refuse with an error of its own.
    """

    def preprocess(self, payload: Any) -> int | float:
        """The value as it came; `readings.py` refuses one that its setting does not allow.

        Raises:
            InputError: it is no number.
        """
        if isinstance(payload, bool) or not isinstance(payload, (int, float)):
            raise InputError(f"the setting of a reading (={payload!r:.40}) must be a number; move its slider.")
        return payload


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
        return stored_picture(str(png_file(value)))


def png_file(picture: Image.Image) -> Path:
    """The picture as a file in Gradio's cache, named by its content."""
    content = png_bytes(picture)
    path = Path(cache_folder()) / hashlib.sha256(content).hexdigest() / "image.png"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return path
