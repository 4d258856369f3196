"""What the page opens with is computed once, and is what anybody else would be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import gradio as gr
import pytest
from in_process import loops_closed

from bsig.ui.components.fields import Answers
from bsig.ui.components.handlers import encoded_updates, picture_files
from bsig.ui.links.bar import opening_of
from bsig.ui.links.view import View
from bsig.ui.screens.compare.screen import CompareScreen, build_compare
from bsig.ui.server.gradio_internals import is_update
from bsig.ui.workbench import Workbench


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench()


@pytest.fixture(scope="module")
def compare(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompareScreen]:
    with pytest.MonkeyPatch.context() as patch, loops_closed(), gr.Blocks():
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("pictures")))
        yield build_compare(bench)


class Counted(CompareScreen):
    """The screen, and the views that it has computed."""

    views: ClassVar[list[View]] = []

    def restore(self, view: View) -> tuple[Answers, list[str]]:
        self.views.append(view)
        return super().restore(view)


def test_the_first_comparison_is_made_once_and_equals_one_that_is_computed(
    bench: Workbench, compare: CompareScreen
) -> None:
    computed, notes = compare.restore(View())
    counting_screen = Counted(compare.layout, compare.bench, compare.ready_event)
    for _ in range(3):
        answers, sentences = opening_of(bench, counting_screen, View())
        assert (answers, sentences) == (encoded_updates(computed), notes)
        for update in answers.values():
            if is_update(update):
                update.pop("value", None)  # as gradio does
    assert counting_screen.views == [View()]


def test_its_pictures_are_drawn_again_where_somebody_has_deleted_them(bench: Workbench, compare: CompareScreen) -> None:
    answers, _ = opening_of(bench, compare, View())
    files = picture_files(answers.values())
    assert len(files) >= 4
    files[0].unlink()
    second, _ = opening_of(bench, compare, View())
    assert second == answers
    assert all(file.is_file() for file in files)


def test_a_link_is_answered_for_itself(bench: Workbench, compare: CompareScreen) -> None:
    answers, _ = opening_of(bench, compare, View(show="heatmap"))
    first, _ = opening_of(bench, compare, View())
    assert picture_files(answers.values()) != picture_files(first.values())


def test_two_pages_have_their_own_components(bench: Workbench, compare: CompareScreen) -> None:
    with loops_closed(), gr.Blocks():
        other = build_compare(bench)
        answers, _ = opening_of(bench, other, View())
    assert other.layout.note in answers
    assert compare.layout.note not in answers
