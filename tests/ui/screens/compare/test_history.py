"""The views of a visit: each once in a row, the newest last, no more than can be listed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from bsig.ui.components.examples import example_by_key
from bsig.ui.links.view import View
from bsig.ui.screens.compare.history import MOST_VIEWS, CompareView, earlier_titles, with_view
from bsig.ui.screens.compare.inputs import CompareInputs

CAT = example_by_key("cat")
INPUTS = replace(CompareInputs.of_view(View(method="cam"), CAT.path), class_name="golf ball")


def view(**changes: object) -> CompareView:
    made = CompareView.of("cat", replace(INPUTS, **changes))
    assert made is not None
    return made


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
    for opacity in range(MOST_VIEWS + 5):
        views = with_view(views, view(opacity=opacity))
    assert [each.inputs.opacity for each in views] == list(range(5, MOST_VIEWS + 5))
    titles = earlier_titles(views)
    assert [place for _, place in titles] == list(range(MOST_VIEWS - 2, -1, -1))


def test_a_view_is_listed_by_its_class_picture_and_method() -> None:
    assert view().title == "golf ball · Cat · CAM"
    own = CompareView.of("", INPUTS)
    assert own is not None
    assert own.title == "golf ball · cat.jpg · CAM"
