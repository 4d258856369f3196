"""A view is its link and the link is the view; what cannot be understood is one sentence, never an error."""

from __future__ import annotations

from dataclasses import fields
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsig.explain.diagnostics.painted_shift import TARGETS
from bsig.explain.diagnostics.shift_request import SHIFTS
from bsig.explain.drawing.colours import COLORMAPS, VIEWS
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.ui.links.view import (
    KEYS,
    LONGEST,
    SHOWS,
    SUBJECTS,
    TABS,
    ZOOMS,
    View,
    query_of,
    view_of,
)

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
percents = st.integers(10, 95)
places = st.floats(1, 14).map(lambda place: f"{place:.4g}")
cells = st.tuples(places, places).map(",".join)
views = st.builds(
    View,
    tab=st.sampled_from(TABS),
    example=words,
    checkpoint=words,
    class_name=words,
    method=st.sampled_from(["", *CAM_METHODS]),
    weights=st.sampled_from(list(TREATMENTS)),
    budget=st.integers(8, 1280),
    finer_grid=st.booleans(),
    bias=st.booleans(),
    show=st.sampled_from(list(SHOWS)),
    view=st.sampled_from(list(VIEWS)),
    grid=st.booleans(),
    contour=st.booleans(),
    threshold=percents,
    opacity=percents,
    colormap=st.sampled_from(list(COLORMAPS)),
    own_scale=st.booleans(),
    subject=st.sampled_from(["", *SUBJECTS]),
    shift=st.sampled_from(list(SHIFTS)),
    target=st.sampled_from(list(TARGETS)),
    cell=st.just("") | cells,
    delta=st.integers(-50, 50).map(lambda step: step / 1000),
    channel=st.integers(-1, 2000),
    channel_delta=st.integers(-20, 20).map(lambda step: step / 20),
    zoom=st.sampled_from(ZOOMS),
    step=st.integers(1, 4),
    choice=words,
    measured=words,
    measured_on=words,
    measured_method=st.sampled_from(list(CAM_METHODS)),
    measured_weights=st.sampled_from(list(TREATMENTS)),
    run=words,
)
NAMES = [KEYS.get(field.name, field.name.replace("_", "-")) for field in fields(View)]


def _read(query: str) -> tuple[View, list[str]]:
    return view_of(parse_qsl(query, keep_blank_values=True))


@given(views)
def test_a_link_restores_its_view(view: View) -> None:
    assert _read(query_of(view)) == (view, [])


def test_defaults_are_left_out() -> None:
    assert query_of(View()) == ""
    assert query_of(View(example="cat", class_name="golf ball")) == "example=cat&class=golf+ball"


@given(st.lists(st.tuples(st.sampled_from(NAMES) | words, words)))
def test_nothing_in_a_link_is_an_error(pairs: list[tuple[str, str]]) -> None:
    view, notes = view_of(pairs)
    assert _read(query_of(view)) == (view, [])  # what was understood can be linked to again
    assert all("\n" not in note or any("\n" in part for pair in pairs for part in pair) for note in notes)


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (("opacity", "300"), "opacity (='300') must be a whole number from 10 to 100; '80' is shown"),
        (("opacity", "nan"), "opacity (='nan')"),
        (("delta", "nan"), "delta (='nan') must be a number from -0.05 to 0.05; '0' is shown"),
        (("delta", "1e309"), "delta"),
        (("channel", "--3"), "channel"),
        (("channel", "³"), "channel"),
        (("opacity", "٤٠"), "opacity"),
        (("delta", "٠.٠١"), "delta"),
        (("delta", "1_0e-3"), "delta"),
        (("delta", "infinity"), "delta"),
        (("delta", "-inf"), "delta"),
        (("delta", " 0.01"), "delta"),
        (("delta", "0" * 150 + ".01"), "delta"),
        (("channel", "9" * 199), "channel"),
        (("cell", "²,３"), "cell"),
        (("method", "no-cam"), "method (='no-cam') must be one of cam"),
        (("cell", "0,3"), "cell (='0,3') must be a row and a column"),
        (("tab", "<script>"), "tab (='<script>')"),
        (("class", "x" * (LONGEST + 1)), "the app's own choice is shown"),
        (("colour", "red"), "'colour' is no part of a view"),
        (("finer-grid", "14"), "finer-grid (='14') must be yes or no; 'no' is shown"),
        (("bias", "1"), "bias (='1') must be yes or no; 'no' is shown"),
    ],
)
def test_a_wrong_part_falls_back_with_one_sentence(pair: tuple[str, str], sentence: str) -> None:
    view, notes = view_of([pair])
    assert view == View()
    (note,) = notes
    assert sentence in note


def test_the_pages_own_parts_pass_and_the_last_of_two_counts() -> None:
    assert view_of([("__theme", "dark"), ("view", "api"), ("example", "cat"), ("example", "dog")]) == (
        View(example="dog"),
        [],
    )


def test_a_link_of_a_thousand_parts_is_cut() -> None:
    _, notes = view_of([("nothing", "x")] * 1000)
    assert len(notes) == 2
