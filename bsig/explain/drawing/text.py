"""Text on pictures: a scalable font and lines that are broken so that nothing is cut off.

The font is DejaVu Sans, which comes inside matplotlib, so the same letters are drawn on every machine. Sizes and
widths are in pixels.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

LINE_HEIGHT = 1.32
"""Distance between two lines' tops, in font sizes."""


@lru_cache(maxsize=64)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at `size` pixels."""
    import matplotlib  # only here: it takes longer to import than everything else in this file together

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def wrapped_lines(text: str, typeface: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines of at most `width` pixels: broken between words, inside a word only where it alone is wider.

    Line breaks in the text are kept. An empty text is one empty line.
    """
    lines = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if typeface.getlength(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *whole, line = _pieces(word, typeface, width)
            lines += whole
        lines.append(line)
    return lines


def fitted_lines(
    text: str, width: int, most_lines: int, sizes: tuple[int, int], *, bold: bool = False
) -> tuple[ImageFont.FreeTypeFont, list[str]]:
    """The largest typeface of a range with which the text takes at most so many lines, and these lines.

    What does not fit even at the smallest size ends in an ellipsis. `sizes` are the largest and the smallest.
    """
    largest, smallest = sizes
    for size in range(largest, smallest - 1, -1):
        typeface = font(size, bold=bold)
        lines = wrapped_lines(text, typeface, width)
        if len(lines) <= most_lines:
            return typeface, lines
    complete, rest = lines[: most_lines - 1], " ".join(lines[most_lines - 1 :])
    # From all that is left, not from the next line alone: before one very long word that line may hold two letters.
    last = _pieces(rest, typeface, width)[0]
    while last and typeface.getlength(last + "…") > width:
        last = last[:-1]
    return typeface, [*complete, last.rstrip() + "…"]


def line_height(typeface: ImageFont.FreeTypeFont) -> int:
    """Pixels from one line's top to the next one's."""
    return round(typeface.size * LINE_HEIGHT)


def draw_lines(
    draw: ImageDraw.ImageDraw,
    position_xy: tuple[int, int],
    lines: list[str],
    typeface: ImageFont.FreeTypeFont,
    colour: str,
    *,
    anchor: str = "la",
) -> int:
    """Draws lines downwards, the first line's anchor (in Pillow's letters) at a place; returns the y below the last."""
    x, y = position_xy
    for line in lines:
        draw.text((x, y), line, font=typeface, fill=colour, anchor=anchor)
        y += line_height(typeface)
    return y


def _pieces(word: str, typeface: ImageFont.FreeTypeFont, width: int) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and typeface.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
