"""The border between a screen and its handlers: errors become sentences, pictures become files, inputs get names."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from bsig.explain.timing import part
from bsig.inputs.errors import InputError, StoppedEarly, disk_sentence
from bsig.ui.components.inputs import png_file
from bsig.ui.server.gradio_internals import cache_folder, is_update
from bsig.ui.server.log import VisitorLeftError, defect, refusal

logger = logging.getLogger(__name__)

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "concurrency_limit": 4}
"""Arguments of an event that belongs to a screen alone and is not in the web API."""


def in_words(handler: Callable) -> Callable:
    """The handler, with `InputError` as the app's message; anything else is logged as a defect.

    The browser shows the message below the input that was used last, and hides the answers that no longer belong to the
    inputs ("errors" in `static/page.js` and `static/style.css`). A stop that the visitor asked for is no error: it is a
    passing remark, and the page stays as it is.
    """

    @functools.wraps(handler)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        try:
            return encoded_updates(handler(*arguments, **keywords))
        except StoppedEarly as stopped:
            gr.Info(str(stopped))
            return gr.skip()
        except InputError as error:
            raise refusal(str(error)) from error
        except (gr.Error, VisitorLeftError):
            raise
        except Exception as error:
            if disk_sentence(error):
                raise
            logger.exception("defect in %s", handler.__name__)
            raise defect() from error

    return wrapped


def encoded_updates(answer: Any) -> Any:
    """A handler's answer with the pictures of its updates as files.

    Gradio makes the values of updates ready on the event loop, where encoding a picture keeps every visitor waiting;
    handlers have a thread of their own.
    """
    if type(answer) in (list, tuple):
        return type(answer)(encoded_updates(update) for update in answer)
    if is_update(answer):
        if not isinstance(answer.get("value"), Image.Image):
            return answer
        with part("png"):
            return {**answer, "value": str(png_file(answer["value"]))}
    if isinstance(answer, dict) and all(isinstance(key, gr.blocks.Block) for key in answer):
        return {component: encoded_updates(update) for component, update in answer.items()}
    return answer


def picture_files(updates: Iterable[Any]) -> list[Path]:
    """The files among the values of updates whose pictures `encoded_updates` has written."""
    values = [update["value"] for update in updates if is_update(update) and "value" in update]
    return [Path(value) for value in values if isinstance(value, str) and value.startswith(cache_folder())]
