"""`python -m bsig doctor`: the library's diagnosis in words or JSON, and one line for what cannot be used."""

from __future__ import annotations

import json

import pytest
from commands import refusal

from bsig.cli.main import main
from bsig.explain.diagnostics.blank_map import blank_map_diagnosis, diagnosis_json
from bsig.explain.explainer import Explainer
from bsig.inputs.paths import EXAMPLES
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT

CAT = EXAMPLES / "cat.jpg"


def test_the_doctor_says_what_the_library_says(capsys: pytest.CaptureFixture[str]) -> None:
    encoded = Explainer(load_checkpoint()).encode(CAT)
    diagnosis = blank_map_diagnosis(encoded, "golf ball", branch="sigmoid")
    arguments = ["doctor", DEFAULT_CHECKPOINT, str(CAT), "--class", "golf ball", "--branch", "sigmoid"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert diagnosis.headline in text
    assert diagnosis.zero.sentence in text
    assert all(mend.title in text for mend in diagnosis.mends)
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(diagnosis_json(diagnosis)))


def test_a_timm_name_is_taken_as_it_is_and_at_another_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "tf_efficientnet_lite0", str(CAT), "--layer", "stride16", "--branch", "sigmoid"]) == 0
    text = capsys.readouterr().out
    assert "14 x 14 cells" in text
    assert "still the clone" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nobody", CAT), "`model` (='nobody') must be a timm name"),
        ((DEFAULT_CHECKPOINT, CAT, "--layer", "stride16"), "`--layer` (='stride16') must be left out for checkpoint"),
        ((DEFAULT_CHECKPOINT, CAT, "--branch", "centred"), "`branch` (='centred') must be softmax or sigmoid"),
        ((DEFAULT_CHECKPOINT, CAT, "--method", "guided"), "`method` (='guided') must be one of"),
        ((DEFAULT_CHECKPOINT, "nothing.jpg"), "nothing.jpg"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: tuple[object, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refusal(capsys, "doctor", *arguments)
