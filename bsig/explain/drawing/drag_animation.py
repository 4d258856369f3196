"""The drag as an animation for a slide: a GIF in which the softmax heatmap goes round and no probability moves.

    drag_gif(map_drag(encoded, index), encoded.explain(index)) -> bytes, below 2 MB

Left the softmax map under a growing, turning and vanishing shift, beside it the sigmoid branch's map, which nobody
shifts, and the likeliest classes with their probabilities in every frame. The same drag gives the same bytes.
"""

from __future__ import annotations

import io
import math

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from bsig.explain.diagnostics.map_drag import MapDrag, Place
from bsig.explain.drawing.colours import INK, PAGE, PAPER, QUIET, TINT
from bsig.explain.drawing.heatmaps import greyed, overlay, shared_limit
from bsig.explain.drawing.text import draw_lines, fitted_lines, font
from bsig.explain.explanation import Explanation

SIDE, MARGIN, TOP = 260, 16, 84
SIZE_WH = (3 * SIDE + 4 * MARGIN, TOP + SIDE + MARGIN)
TURN, FADE = 32, 6
"""Frames of the way round, and of leaving the model's own map and coming back to it."""
FRAME_MS, REST_MS = 80, 1200
COLOURS = 256


def drag_maps(drag: MapDrag) -> list[Float[np.ndarray, "h w"]]:
    """The maps of one round: the model's own, away from it, round the picture, back, each painted by one shift.

    Half-way to a painted map half of the shift is added, so the maps between are painted too.
    """
    own = drag.own_map.astype(np.float64)
    circle = [drag.painted_map(_place(drag, step / TURN)) for step in range(TURN + 1)]
    shares = [step / (FADE + 1) for step in range(FADE + 1)]
    away = [own + share * (circle[0] - own) for share in shares]
    return [*away, *circle, *reversed(away[1:])]


def drag_frames(drag: MapDrag, explanation: Explanation) -> list[Image.Image]:
    """One picture for each of `drag_maps`, RGB.

    Args:
        drag: of the softmax branch.
        explanation: CAM of the same class, for the crop and the sigmoid branch's map.
    """
    limit = shared_limit(drag.own_map, explanation.sigmoid.map)
    crop = greyed(explanation.crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    ground = _ground(drag, overlay(crop, explanation.sigmoid.map, limit, is_greyed=True))
    frames = []
    for frame_map in drag_maps(drag):
        frame = ground.copy()
        frame.paste(overlay(crop, frame_map, limit, is_greyed=True), (MARGIN, TOP))
        _probabilities(frame, drag, frame_map)
        frames.append(frame)
    return frames


def drag_gif(drag: MapDrag, explanation: Explanation) -> bytes:
    """The animation, without an end."""
    frames = drag_frames(drag, explanation)
    width, height = SIZE_WH
    sheet = Image.new("RGB", (width, 4 * height))
    for number in range(4):
        sheet.paste(frames[number * (len(frames) - 1) // 4], (0, number * height))
    # One palette for all frames and no dithering: what stands still is the same in each, and is stored once.
    palette = sheet.quantize(COLOURS, dither=Image.Dither.NONE)
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    file = io.BytesIO()
    durations = [REST_MS, *[FRAME_MS] * len(rest)]
    first.save(file, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False)
    return file.getvalue()


def _place(drag: MapDrag, turn: float) -> Place:
    """A place on the ellipse round the middle, starting towards the own map's maximum; `turn` from 0 to 1."""
    rows, columns = drag.own_map.shape
    row, column = divmod(int(drag.own_map.argmax()), columns)
    middle = ((rows - 1) / 2, (columns - 1) / 2)
    angle = math.atan2(row - middle[0], column - middle[1]) + 2 * math.pi * turn
    return middle[0] * (1 + 0.75 * math.sin(angle)), middle[1] * (1 + 0.75 * math.cos(angle))


def _ground(drag: MapDrag, sigmoid: Image.Image) -> Image.Image:
    """The part that no frame changes: titles and the sigmoid branch's map."""
    ground = Image.new("RGB", SIZE_WH, PAPER)
    draw = ImageDraw.Draw(ground)
    words = f"One classifier, any heatmap of '{drag.class_name}'"
    typeface, lines = fitted_lines(words, SIZE_WH[0] - 2 * MARGIN, 1, (26, 14), bold=True)
    draw_lines(draw, (MARGIN, 10), lines, typeface, INK)
    titles = ("Softmax, dragged by one vector", "Sigmoid branch, as trained", "Softmax probabilities")
    for number, title in enumerate(titles):
        draw.text((MARGIN + number * (SIDE + MARGIN), TOP - 30), title, font=font(16), fill=QUIET)
    ground.paste(sigmoid, (2 * MARGIN + SIDE, TOP))
    return ground


def _probabilities(frame: Image.Image, drag: MapDrag, frame_map: np.ndarray) -> None:
    """Draws each class with its probability under this shift and a bar."""
    draw, left = ImageDraw.Draw(frame), 3 * MARGIN + 2 * SIDE
    height = SIDE // max(5, len(drag.class_names))
    for row, (name, share) in enumerate(zip(drag.class_names, drag.probabilities(frame_map).tolist(), strict=True)):
        top = TOP + row * height
        typeface, lines = fitted_lines(name, SIDE - 90, 1, (17, 11))
        draw_lines(draw, (left, top), lines, typeface, INK)
        draw.text((left + SIDE, top), f"{100 * share:.2f} %", font=font(17, bold=True), fill=INK, anchor="ra")
        draw.rectangle((left, top + 24, left + SIDE, top + 34), fill=TINT)
        if round(share * SIDE):
            draw.rectangle((left, top + 24, left + round(share * SIDE), top + 34), fill=PAGE["accent"][0])
