"""What the Logit shift screen answers: every output by component, from a shift that was solved and run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch

from bsig.explain.diagnostics.logit_shift import common_shift
from bsig.explain.diagnostics.map_drag import map_drag
from bsig.explain.diagnostics.shift_request import (
    ShiftedPicture,
    ShiftRequest,
    possible_request,
    shift_json,
    shift_method,
    shifted_picture,
    strongest_channels_of,
)
from bsig.explain.diagnostics.shift_survey import delta_curves, delta_of_shift, shared_share
from bsig.explain.diagnostics.shifted_model import doctored_model
from bsig.explain.drawing.comparison import Drawing, map_picture
from bsig.explain.drawing.drag_animation import drag_gif
from bsig.explain.drawing.heatmaps import overlay, shared_limit
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import default_method
from bsig.inputs.files import temporary_place
from bsig.model.checkpoints.save import save_checkpoint
from bsig.ui.components.downloads import new_download_folder
from bsig.ui.components.drag import drag_html, painted_html
from bsig.ui.components.fields import Answers
from bsig.ui.components.html import Html, note, scale_bar
from bsig.ui.links.view import SUBJECTS
from bsig.ui.plots.shift import movement_figures, shared_figure
from bsig.ui.screens.logit_shift.layout import ShiftLayout
from bsig.ui.screens.logit_shift.tables import probability_table, zero_table
from bsig.ui.screens.logit_shift.words import map_description, possible_and_actual, shift_finding_html
from bsig.ui.workbench import Workbench

THUMBNAIL_SIZE = (224, 224)
NO_DRAG = "This head is not average pool and one linear layer, so its heatmap cannot be dragged; shift its channels."
STILL = ("Sigmoid heatmap", "as trained: it stays")


def shift_answers(
    layout: ShiftLayout, encoded: EncodedImage, class_index: int, method: str, request: ShiftRequest
) -> Answers:
    """The maps and probabilities before and after the shift.

    The scale is that of the maps as trained, so that no shift stretches it; what lies beyond takes its last colour.

    Args:
        layout: the screen's components.
        encoded: the picture.
        class_index: the class that is explained.
        method: the CAM variant of Compare.
        request: the shift that is asked for; painting gives way where the head does not allow it.
    """
    head = encoded.model.softmax_head
    request = possible_request(request, head)
    method, why = shift_method(method, head)
    picture = shifted_picture(encoded, class_index, method, request)
    maps = _maps(picture)
    limit, drawing = shared_limit(picture.before.softmax.map, picture.before.sigmoid.map), Drawing()
    names = encoded.model.class_names
    answers: Answers = {
        layout.finding: shift_finding_html(picture, why),
        layout.painted_map: _painted(picture, request) if head.cam_is_exact else "",
        layout.scale: scale_bar(limit, drawing, method),
        layout.softmax_table: probability_table(picture, names, "softmax"),
        layout.sigmoid_table: probability_table(picture, names, "sigmoid"),
        layout.thumbnail: gr.update(visible=False),
    }
    for pane, values in maps.items():
        answers[layout.pictures[pane]] = gr.update(
            value=map_picture(picture.before, values, limit, drawing),
            alt_text=map_description(pane, values, picture.before.class_name),
        )
    if request.kind == "channel" and head.cam_is_exact:
        channel = strongest_channels_of(encoded, class_index)[0] if request.channel is None else request.channel
        answers[layout.thumbnail] = _thumbnail(encoded, channel)
    return answers


def drag_answers(layout: ShiftLayout, encoded: EncodedImage, class_index: int, text: str | None) -> Answers:
    """The heatmap that follows the pointer, and whose it can be.

    Args:
        layout: the screen's components.
        encoded: the picture.
        class_index: the class whose heatmap it is.
        text: the class that Compare asks for.
    """
    names = encoded.model.class_names
    predicted, other = names[encoded.predicted_index], names[encoded.class_or_predicted(text)]
    choices = [(f"{SUBJECTS[key]}: {name}", key) for key, name in (("predicted", predicted), ("asked", other))]
    answers: Answers = {layout.fields.subject: gr.update(choices=choices, visible=predicted != other)}
    if not encoded.model.softmax_head.cam_is_exact:
        return {**answers, layout.drag: note(NO_DRAG)}
    own = encoded.explain(class_index, "cam")
    block = drag_html(
        map_drag(encoded, class_index), own.crop, shared_limit(own.softmax.map, own.sigmoid.map),
        elem_id="shift-drag", text=f"'{own.class_name}': drag it anywhere", still=(*STILL, own.sigmoid.map),
        press="shift-dragged",
    )  # fmt: skip
    return {**answers, layout.drag: block}


def _painted(picture: ShiftedPicture, request: ShiftRequest) -> Html:
    """CAM of the shifted head, whatever the method of Compare: it is what a drag draws."""
    if picture.after.method != "cam":
        picture = shifted_picture(picture.encoded, picture.before.class_index, "cam", request)
    return painted_html(picture.after.softmax.map, "shift-drag")


def _maps(picture: ShiftedPicture) -> dict[str, np.ndarray]:
    """The map of each pane."""
    return {
        "before": picture.before.softmax.map,
        "after": picture.after.softmax.map,
        "sigmoid": picture.after.sigmoid.map,
        "centred": picture.after.centred.map,
    }


def _thumbnail(encoded: EncodedImage, channel: int) -> Any:
    values = encoded.features[0, channel].cpu().numpy().astype(np.float32)
    text = f"Where channel {channel} is active, strongest {values.max():.2f}"
    picture = overlay(encoded.crop.resize(THUMBNAIL_SIZE), values, shared_limit(values))
    return gr.update(value=picture, visible=True, alt_text=text, label=text)


def survey_answers(layout: ShiftLayout, bench: Workbench, encoded: EncodedImage, class_index: int) -> Answers:
    """The answers that hold for every shift of this picture: the sentence, the table of zeros, the plots."""
    vector, title = fitted_shift_of(bench, encoded)
    model = encoded.model
    shares = {
        key: shared_share(encoded, class_index, head)
        for key, head in (("softmax", model.softmax_head), ("sigmoid", model.sigmoid_head))
    }
    movement = overlap = area = None
    if model.softmax_head.cam_is_exact:
        curves = delta_curves(encoded, class_index)
        movement, overlap, area = movement_figures(curves, delta_of_shift(encoded, vector))
    return {
        layout.actual: note(possible_and_actual(encoded, class_index)),
        layout.zero_table: zero_table(encoded, class_index, vector, title),
        layout.plots["movement"]: movement,
        layout.plots["overlap"]: overlap,
        layout.plots["area"]: area,
        layout.plots["shared"]: shared_figure(shares),
    }


def fitted_shift_of(bench: Workbench, encoded: EncodedImage) -> tuple[torch.Tensor, str]:
    """The shift that labels chose and what it is.

    It is the checkpoint's own, its '-shift' sister's, or what all rows of its sigmoid branch share.
    """
    model = encoded.model
    if model.shift is not None:
        return model.shift.vector, "fitted shift of this checkpoint"
    sister = f"{model.name}-shift"
    if sister in bench.checkpoint_names():
        other = bench.model(sister)
        if other.shift is not None and other.class_ids == model.class_ids:
            return other.shift.vector, f"fitted shift ({sister})"
    heads = (model.softmax_head.last_linear.weight.detach(), model.sigmoid_head.last_linear.weight.detach())
    return common_shift(*heads)[0], "shift that all rows of the sigmoid branch share"


def doctored_zip(encoded: EncodedImage, vector: torch.Tensor, description: str) -> Path:
    """The shifted head as a checkpoint folder in a zip; its JSON says that it is doctored."""
    model, doctored = doctored_model(encoded.model, vector, description)
    name = f"{encoded.model.name}-doctored"
    with tempfile.TemporaryDirectory(prefix="bsig-", dir=temporary_place()) as folder:
        save_checkpoint(model, Path(folder) / name, doctored=doctored)
        return Path(shutil.make_archive(str(new_download_folder() / name), "zip", folder, name))


def drag_file(encoded: EncodedImage, class_index: int) -> Path:
    """The drag as an animation for a slide."""
    file = new_download_folder() / "drag.gif"
    file.write_bytes(drag_gif(map_drag(encoded, class_index), encoded.explain(class_index, "cam")))
    return file


def shift_answer(
    bench: Workbench, image: str, checkpoint: str | None, class_name: str | None, delta: float, target: str | None
) -> dict[str, Any]:
    """What the `/logit_shift` endpoint answers: maps and probabilities before and after, as JSON."""
    encoded = bench.encode(image, checkpoint)
    index = encoded.model.class_index(class_name) if class_name else encoded.predicted_index
    request = ShiftRequest("paint", target) if target else ShiftRequest("uniform", delta=float(delta))
    return shift_json(shifted_picture(encoded, index, default_method(encoded.model.softmax_head), request))
