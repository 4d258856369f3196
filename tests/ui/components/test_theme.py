"""The look of the screens is a small written system: colours that can be read, and no size or colour beside it."""

from __future__ import annotations

import re

import pytest

from bsig.explain.drawing.colours import MARKS, NOTICE_INK, NOTICE_PAPER, PAGE, PAPER
from bsig.inputs.paths import ASSETS, ROOT
from bsig.ui.components.theme import STATIC, TEXT, style_sheet

WORDS = sorted(PAGE.keys() - {"paper", "tint", "rule", "edge"})
STARTING = "starting.html"
COLOUR = re.compile(r"#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})\b(?![\w-])")
SIZE = re.compile(r"(?<![\w.-])-?\d*\.?\d+(?:px|rem|pt)\b")
LARGE_ENOUGH_WCAG, LINES_WCAG = 4.5, 3.0


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_black_on_white_has_the_largest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just fails


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("ground", ["paper", "tint"])
@pytest.mark.parametrize("name", WORDS)
def test_words_can_be_read_on_both_grounds_of_both_papers(name: str, ground: str, dark: bool) -> None:
    assert contrast(PAGE[name][dark], PAGE[ground][dark]) >= LARGE_ENOUGH_WCAG


@pytest.mark.parametrize("dark", [False, True])
def test_fields_and_marks_stand_out_from_both_papers(dark: bool) -> None:
    paper = PAGE["paper"][dark]
    for colour in (PAGE["edge"][dark], *MARKS.values()):
        assert contrast(colour, paper) >= LINES_WCAG, colour


def test_notices_and_numbers_in_bars_can_be_read() -> None:
    for ink, paper in ((NOTICE_INK, NOTICE_PAPER), (NOTICE_PAPER, MARKS["for"]), (NOTICE_PAPER, MARKS["against"]),
                       (PAPER, PAGE["accent"][0])):  # fmt: skip
        assert contrast(ink, paper) >= LARGE_ENOUGH_WCAG


def _declarations(css: str) -> str:
    """The style sheet without comments, windows' widths and the block that declares the sizes."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    css = re.sub(r"@media[^{]*", "", css)
    return re.sub(r":root \{[^}]*\}", "", css, count=1)


def test_the_style_sheet_has_no_colour_and_no_size_beside_the_system() -> None:
    css = _declarations((STATIC / "style.css").read_text(encoding="utf-8"))
    strays = {*COLOUR.findall(css), *SIZE.findall(css), *re.findall(r":\s*(?:white|black|grey|gray)\b", css)}
    assert not strays


@pytest.mark.parametrize("kind", ["py", "js", "html", "css"])
def test_no_other_file_of_the_package_has_a_colour_of_its_own(kind: str) -> None:
    strays = {
        str(file.relative_to(ROOT)): colours
        for file in sorted((ROOT / "bsig").rglob(f"*.{kind}"))
        if file.name not in ("colours.py", STARTING) and (colours := COLOUR.findall(file.read_text(encoding="utf-8")))
    }
    assert not strays


def test_the_page_before_the_app_has_the_systems_colours() -> None:
    """It is sent before anything of the package is imported, so it writes them out."""
    text = (ROOT / "bsig" / "ui" / "server" / STARTING).read_text(encoding="utf-8")
    names = {"paper": "paper", "ink": "ink", "quiet": "quiet", "box": "tint", "bar": "accent"}
    for dark, (theme, declarations) in enumerate(re.findall(r":root(\.dark)? \{([^}]*)\}", text)):
        assert bool(theme) == bool(dark)
        assert dict(re.findall(r"--(\w+): (#\w+);", declarations)) == {
            name: PAGE[key][dark] for name, key in names.items()
        }


def test_every_variable_that_is_used_is_declared() -> None:
    css = style_sheet()
    declared = set(re.findall(r"(--[\w-]+):", css)) | {f"--text-{size}" for size in vars(TEXT)}
    assert set(re.findall(r"var\((--[\w-]+)", css)) <= declared


def test_the_page_on_the_looks_states_every_colour_and_size() -> None:
    text = (ASSETS / "docs" / "looks.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    for name, (light, dark) in PAGE.items():
        assert f"| `--{name}` | `{light}` | `{dark}` |" in text
    for name, colour in MARKS.items():
        assert f"`--mark-{name}` `{colour}`" in text
    for size in ("xxs", "xs", "sm", "md", "lg", "xl", "xxl"):
        assert f"| `--text-{size}` | {getattr(TEXT, size)} |" in text
    sizes = re.search(r":root \{(.*?)\}", (STATIC / "style.css").read_text(encoding="utf-8"), re.DOTALL)
    assert sizes
    for name, value in re.findall(r"(--[\w-]+): ([^;]+);", sizes[1]):
        assert f"`{name}` {value}" in text
