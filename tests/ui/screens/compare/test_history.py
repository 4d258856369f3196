"""The views of a visit: each once in a row, the newest last, no more than can be listed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from bsig.ui.components.examples import example_by_key
from bsig.ui.links.view import View, view_of
from bsig.ui.screens.compare.history import MOST_VIEWS, SLIDERS, CompareView, earlier_titles, with_view
from bsig.ui.screens.compare.inputs import CompareInputs

CAT = example_by_key("cat")
INPUTS = replace(CompareInputs.of_view(View(method="cam"), CAT.path), class_name="golf ball")


def view(**changes: object) -> CompareView:
    result = CompareView.of("cat", replace(INPUTS, **changes))
    assert result is not None
    return result


def test_the_same_view_is_not_remembered_twice_in_a_row(tmp_path: Path) -> None:
    """Gradio keeps a copy of a picture at another address: it is the same picture."""
    copy = shutil.copy(CAT.path, tmp_path / "cat.jpg")
    views = with_view([], view())
    assert with_view(views, view()) == views
    assert with_view(views, view(image=str(copy))) == views
    assert len(with_view(views, view(class_name="zebra"))) == 2
    assert len(with_view(views, replace(view(), example="cat-golf-ball"))) == 2


def test_without_a_picture_there_is_no_view() -> None:
    assert CompareView.of("", replace(INPUTS, image=None)) is None
    assert CompareView.of("", replace(INPUTS, image="/not/there.jpg")) is None
    assert with_view([view()], None) == [view()]


def test_the_oldest_views_go_and_the_newest_is_first_in_the_list() -> None:
    views: list[CompareView] = []
    for number in range(MOST_VIEWS + 5):
        views = with_view(views, view(class_name=str(number)))
    assert [each.inputs.class_name for each in views] == [str(number) for number in range(5, MOST_VIEWS + 5)]
    titles = earlier_titles(views)
    assert [place for _, place in titles] == list(range(MOST_VIEWS - 2, -1, -1))


@pytest.mark.parametrize("slider", SLIDERS)
def test_a_moved_slider_changes_the_last_view_and_adds_none(slider: str) -> None:
    views = with_view([view(class_name="zebra")], view())
    last = view(**{slider: 11})
    assert with_view(views, last) == [views[0], last]
    assert last.key != view().key
    assert last.key_without_sliders == view().key_without_sliders


@pytest.mark.parametrize("change", [{"class_name": "zebra"}, {"method": "grad-cam"}, {"finer_grid": True},
                                    {"grid": True}, {"reading": "plain", "strength": 2.0}])  # fmt: skip
def test_any_other_choice_is_a_view_of_its_own_with_a_key_and_a_link(change: dict[str, object]) -> None:
    other = view(**change)
    assert with_view([view()], other) == [view(), other]
    assert other.key_without_sliders != view().key_without_sliders
    target, notes = view_of(parse_qsl(other.query))
    assert notes == []
    assert CompareInputs.of_view(target, CAT.path) == other.inputs


def test_a_picture_of_ones_own_is_in_no_link(tmp_path: Path) -> None:
    own = tmp_path / "own.jpg"
    own.write_bytes(CAT.path.read_bytes() + b"\0")
    entry = CompareView.of("", replace(INPUTS, image=str(own)))
    assert entry is not None
    assert entry.query == ""


def test_a_view_is_listed_by_its_class_picture_and_method() -> None:
    assert view().title == "golf ball · Cat · CAM"
    own = CompareView.of("", INPUTS)
    assert own is not None
    assert own.title == "golf ball · cat.jpg · CAM"
