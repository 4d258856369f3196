"""The Blank map screen without a browser: its words are the diagnosis's, and its controls follow the checkpoint."""

from __future__ import annotations

from dataclasses import fields

import gradio as gr
import pytest
from in_process import built_demo

from bsig.explain.diagnostics.blank_map import blank_map_diagnosis
from bsig.explain.drawing.blank_map import asked_picture, mend_pictures
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.doctor import DoctorInputs, DoctorScreen, doctor_answers, doctor_methods, facts_html, finding_html
from bsig.ui.workbench import Workbench

PICTURE = str(bundled_examples()[0].path)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    bench = Workbench()
    bench.model(None)
    return bench


@pytest.fixture
def screen() -> DoctorScreen:
    """The screen's parts outside of any page."""
    kinds = {"method": gr.Dropdown, "question_map": gr.Image, "stretched_map": gr.Image, "mends": gr.Gallery}
    return DoctorScreen(**{part.name: kinds.get(part.name, gr.HTML)() for part in fields(DoctorScreen)})


@pytest.mark.parametrize("branch", ["softmax", "sigmoid"])
def test_the_screen_says_and_draws_the_diagnosis(bench: Workbench, screen: DoctorScreen, branch: str) -> None:
    answers = doctor_answers(screen, bench, DoctorInputs(PICTURE, None, "golf ball", None, "signed", branch))
    diagnosis = blank_map_diagnosis(bench.encode(PICTURE, None), "golf ball", "cam", branch=branch)
    assert set(answers) == set(screen.outputs())
    assert answers[screen.finding] == finding_html(diagnosis)
    assert answers[screen.question_map]["value"].tobytes() == asked_picture(diagnosis).tobytes()
    assert [text for _, text in answers[screen.mends]] == [text for _, text in mend_pictures(diagnosis)]
    assert answers[screen.facts] == facts_html(diagnosis.facts)


def test_a_method_that_the_next_model_lacks_gives_way_and_the_control_shows_it(
    bench: Workbench, screen: DoctorScreen
) -> None:
    small = DualBranch(classifier_from_timm("mobilenetv3_small_050", pretrained=False), name="small")
    bench.register("small", lambda: small)
    answers = doctor_answers(screen, bench, DoctorInputs(PICTURE, "small", None, "cam", "signed", "softmax"))
    update = answers[screen.method]
    assert update["value"] == "grad-cam"
    assert "cam" not in [key for _, key in update["choices"]]
    assert "score-cam" not in doctor_methods(bench.model("small"))


def test_without_a_picture_the_screen_says_where_to_choose_one(bench: Workbench, screen: DoctorScreen) -> None:
    answers = doctor_answers(screen, bench, DoctorInputs(None, None, None, None, "signed", "softmax"))
    assert "Choose a picture in Compare" in answers[screen.finding]
    assert answers[screen.question_map] is None


@pytest.mark.nightly  # building the page takes seconds
def test_the_tab_is_on_the_page() -> None:
    with built_demo(Workbench()) as demo:
        assert "bsig-tab-doctor" in {getattr(block, "elem_id", None) for block in demo.blocks.values()}
