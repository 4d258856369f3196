"""Pictures with words and numbers: the colour bar, the notice, and the comparison panel, which is worth a slide.

Nothing here knows models or maps; what is written on a panel is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from bsig.explain.drawing.colours import INK, NOTICE_INK, NOTICE_PAPER, PAPER, QUIET, RULE, TINT, View, colormap_of
from bsig.explain.drawing.heatmaps import greyed, heatmap
from bsig.explain.drawing.text import draw_lines, font, line_height, wrapped_lines
from bsig.explain.wording import number_text

PANEL_WIDTH = 1600
MARGIN = 56
BAR_PAD = 10
LARGEST_SIDE = 416
NOTICE_SHARE = 0.35
"""How far the photo under a notice is taken towards the notice's paper."""


@dataclass(frozen=True)
class PanelColumn:
    """One picture of a panel, fitted into its column, with a title above and wrapped lines below.

    `is_map` says whether the colour bar speaks for the picture.
    """

    title: str
    caption_lines: tuple[str, ...]
    picture: Image.Image
    is_map: bool = True


def color_bar(
    limit: float,
    *,
    view: View = "positive",
    colormap: str | None = None,
    unit: str = "logits",
    width: int = 448,
) -> Image.Image:
    """A horizontal scale with numbered ticks and the words for its ends, RGB on its own background.

    The signed view is numbered `-limit ... 0 ... +limit`, the positive one `0 ... +limit`; halves are numbered where
    they fit. The letters do not shrink below 13 pixels.

    Args:
        limit: where the scale ends, in `unit`; zero gives a bar with one tick.
        view, colormap: as for `heatmap`.
        unit: written in the middle below the numbers.
        width: of the picture, in pixels; the numbers fit from 160.

    Raises:
        InputError: an unknown view or colour map.
    """
    typeface = font(min(20, max(13, width // 30)))
    line, pad = line_height(typeface), BAR_PAD
    thickness, length = round(typeface.size * 1.1), int(width - 2 * pad)
    words = _words_below(view, unit, typeface, length)
    number_top = pad + thickness + 6
    picture = Image.new("RGB", (width, number_top + line * (1 + len(words)) + pad // 2), PAPER)
    ramp = np.linspace(-1 if view == "signed" else 0, 1, 1024, dtype=np.float32)[None]
    colours = heatmap(ramp, 1.0, view=view, colormap=colormap_of(view, colormap), size_wh=(length, thickness))
    picture.paste(colours, (pad, pad))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((pad, pad, pad + length - 1, pad + thickness - 1), outline=QUIET)
    for share, text in _ticks(limit, view, typeface, length):
        x = pad + round(share * (length - 1))
        draw.line((x, pad + thickness, x, pad + thickness + 4), fill=INK)
        draw.text((x, number_top), text, font=typeface, fill=INK, anchor=_anchor(share))
    for row, texts in enumerate(words, start=1):
        for share, text in texts:
            x = pad + round(share * (length - 1))
            draw.text((x, number_top + row * line), text, font=typeface, fill=QUIET, anchor=_anchor(share))
    return picture


def no_evidence_notice(picture: Image.Image, text: str, *, is_greyed: bool = False) -> Image.Image:
    """The photo, greyed and dimmed, with a sentence on it: what is shown where a map has no positive evidence.

    `is_greyed` says that the picture is `greyed` already.
    """
    photo = picture if is_greyed else greyed(picture)
    notice = photo.point(_dimming_table())
    size = max(11, min(photo.size) // 20)
    typeface = font(size)
    pad = 4 * size // 5
    lines = wrapped_lines(text, typeface, max(1, photo.width - 4 * pad))
    height = len(lines) * line_height(typeface) + 2 * pad
    width = round(max(typeface.getlength(line) for line in lines)) + 2 * pad
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    draw = ImageDraw.Draw(notice)
    draw.rounded_rectangle((left, top, left + width, top + height), pad // 2, fill=NOTICE_PAPER)
    draw_lines(draw, (photo.width // 2, top + pad), lines, typeface, NOTICE_INK, anchor="ma")
    return notice


@lru_cache(maxsize=1)
def _dimming_table() -> list[int]:
    """Each channel's 256 values with `NOTICE_SHARE` of the notice's paper mixed in."""
    paper = ImageColor.getrgb(NOTICE_PAPER)
    return [round((1 - NOTICE_SHARE) * value + NOTICE_SHARE * dark) for dark in paper for value in range(256)]


def comparison_panel(
    columns: Sequence[PanelColumn],
    *,
    title: str,
    subtitle: str,
    finding: str,
    footer: str,
    limit: float,
    view: View = "positive",
    colormap: str | None = None,
    unit: str = "logits",
) -> Image.Image:
    """Pictures side by side with title, captions, one numbered colour bar, one sentence, and the settings: RGB.

    1600 pixels wide; as high as its words need, about 900. All text is wrapped, none is cut off.

    Args:
        columns: two to four, from left to right; the colour bar stands below those with `is_map`.
        title, subtitle: above the pictures.
        finding: one plain sentence, in a tinted box.
        footer: the settings that reproduce the panel.
        limit, view, colormap, unit: of the one scale that all maps share.

    Raises:
        InputError: as `color_bar`.
    """
    inner = PANEL_WIDTH - 2 * MARGIN
    # Drawn on a sheet that is certainly high enough, then cut: how many lines the words need is known after wrapping.
    sheet = Image.new("RGB", (PANEL_WIDTH, 12_000), PAPER)
    y = _draw_text(sheet, (MARGIN, 30), title, font(42, bold=True), inner, INK)
    y = _draw_text(sheet, (MARGIN, y + 4), subtitle, font(21), inner, QUIET) + 18
    places, side = _column_places(len(columns))
    y = _draw_columns(sheet, columns, places, side, y)
    with_bar = [place for place, column in zip(places, columns, strict=True) if column.is_map]
    if with_bar:
        width = with_bar[-1] + side - with_bar[0] + 2 * BAR_PAD
        bar = color_bar(limit, view=view, colormap=colormap, unit=unit, width=width)
        sheet.paste(bar, (with_bar[0] - BAR_PAD, y))
        y += bar.height
    y = _draw_finding(sheet, finding, y + 8)
    y = _draw_text(sheet, (MARGIN, y + 14), footer, font(16), inner, QUIET)
    return sheet.crop((0, 0, PANEL_WIDTH, y + 20))


def _column_places(count: int) -> tuple[list[int], int]:
    """Left edges of the columns, and the side of the square that a picture is fitted into; in pixels."""
    inner = PANEL_WIDTH - 2 * MARGIN
    side = min(LARGEST_SIDE, (inner - 32 * (count - 1)) // count)
    gap = (inner - count * side) // (count - 1)
    return [MARGIN + i * (side + gap) for i in range(count)], side


def _draw_columns(sheet: Image.Image, columns: Sequence[PanelColumn], places: list[int], side: int, top: int) -> int:
    """Draws titles, pictures and captions, each row level; returns the y below the longest caption."""
    titles = [wrapped_lines(column.title, font(24, bold=True), side) for column in columns]
    picture_top = top + max(map(len, titles)) * line_height(font(24)) + 6
    draw, bottoms = ImageDraw.Draw(sheet), []
    for column, title, left in zip(columns, titles, places, strict=True):
        draw_lines(draw, (left, top), title, font(24, bold=True), INK)
        picture = ImageOps.contain(column.picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (side - picture.width) // 2, picture_top + (side - picture.height) // 2))
        draw.rectangle((left - 1, picture_top - 1, left + side, picture_top + side), outline=RULE)
        y = picture_top + side + 14
        for caption in column.caption_lines:
            y = _draw_text(sheet, (left, y), caption, font(19), side, INK)
        bottoms.append(y)
    return max(bottoms)


def _draw_finding(sheet: Image.Image, finding: str, top: int) -> int:
    typeface = font(25)
    lines = wrapped_lines(finding, typeface, PANEL_WIDTH - 2 * MARGIN - 56)
    bottom = top + 32 + len(lines) * line_height(typeface)
    draw = ImageDraw.Draw(sheet)
    draw.rounded_rectangle((MARGIN, top, PANEL_WIDTH - MARGIN, bottom), 10, fill=TINT)
    draw_lines(draw, (MARGIN + 28, top + 18), lines, typeface, INK)
    return bottom


def _draw_text(
    sheet: Image.Image,
    position_xy: tuple[int, int],
    text: str,
    typeface: ImageFont.FreeTypeFont,
    width: int,
    colour: str,
) -> int:
    return draw_lines(ImageDraw.Draw(sheet), position_xy, wrapped_lines(text, typeface, width), typeface, colour)


def _ticks(limit: float, view: View, typeface: ImageFont.FreeTypeFont, length: int) -> list[tuple[float, str]]:
    """Place on the bar as a share of its length, and number, from left to right; halves only where they fit."""
    if limit == 0:
        return [(0.5 if view == "signed" else 0.0, "0")]
    low = -limit if view == "signed" else 0.0
    ticks = [(place, number_text(low + place * (limit - low))) for place in (0.0, 0.25, 0.5, 0.75, 1.0)]
    roomy = sum(typeface.getlength(text) + typeface.size for _, text in ticks) <= length
    return ticks if roomy else ticks[::2]


def _words_below(view: View, unit: str, typeface: ImageFont.FreeTypeFont, length: int) -> list[list[tuple[float, str]]]:
    """Rows of words below the numbers: the meaning of both ends, and the unit between them or on a row of its own."""
    wordings = [("zero or below", "for the class →"), ("0 or below", "for →")]
    if view == "signed":
        wordings = [("← against the class", "for the class →"), ("← against", "for →")]
    for left, right in wordings:
        if sum(typeface.getlength(text) + typeface.size for text in (left, unit, right)) <= length:
            return [[(0.0, left), (0.5, unit), (1.0, right)]]
    return [[(0.0, left), (1.0, right)], *([(0.5, line)] for line in wrapped_lines(unit, typeface, length))]


def _anchor(share: float) -> str:
    return {0.0: "la", 1.0: "ra"}.get(share, "ma")
