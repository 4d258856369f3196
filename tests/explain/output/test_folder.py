"""An explanation's folder holds its maps to the bit, its numbers, and what the model saw of the picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.output.folder import crop_words, explanation_numbers, write_explanation
from bsig.inputs.errors import InputError

MAPS = ("softmax", "sigmoid", "centred")


@pytest.fixture(scope="module")
def explanation(encoded: EncodedImage) -> Explanation:
    return encoded.explain(285)


def test_a_folder_holds_maps_numbers_and_pictures_and_its_files_are_named(
    explanation: Explanation, tmp_path: Path
) -> None:
    files = write_explanation(explanation, tmp_path / "a" / "b", report=False, whole_picture=True)
    assert sorted(files) == sorted((tmp_path / "a" / "b").iterdir())
    for branch in MAPS:
        np.testing.assert_array_equal(np.load(tmp_path / "a" / "b" / f"{branch}.npy"), explanation.evidence(branch).map)
        whole = np.load(tmp_path / "a" / "b" / f"picture-{branch}.npy")
        with Image.open(tmp_path / "a" / "b" / f"picture-{branch}.png") as picture:
            assert picture.size == explanation.encoded.picture_size_wh == whole.shape[::-1]
    assert json.loads((tmp_path / "a" / "b" / "explanation.json").read_text(encoding="utf-8"))["class_index"] == 285


def test_the_numbers_say_where_the_crop_lies(explanation: Explanation) -> None:
    numbers = explanation_numbers(explanation, seconds=1.5)
    assert json.loads(json.dumps(numbers))["crop_box_xyxy"] == [18.75, 18.75, 281.25, 281.25]  # 300 * 224 / 256 = 262.5
    assert numbers["picture_size_wh"] == (300, 300)
    assert numbers["seconds"] == 1.5
    assert crop_words(explanation) == (
        "The model saw the middle of the picture: 77 % of it, from (19, 19) to (281, 281) of 300 x 300 pixels."
    )


def test_an_explanation_put_together_by_hand_cannot_be_saved(explanation: Explanation, tmp_path: Path) -> None:
    by_hand = Explanation(
        0, "a", "cam", "signed", explanation.softmax, explanation.sigmoid, explanation.centred, 0, "a",
        explanation.crop, "mine",
    )  # fmt: skip
    with pytest.raises(InputError, match="does not know its picture"):
        by_hand.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(explanation: Explanation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="`out`"):
        explanation.save(tmp_path / "file")
