"""The bundled examples are what they say: opened, credited, and shown by the default model to do what they are for."""

import json
from functools import lru_cache

import pytest
import torch

from bsig import Explainer, load_checkpoint
from bsig.explain.cams import class_scores_of, head_score
from bsig.explain.diagnostics.absent_classes import area_at_own_area
from bsig.explain.methods import cam_method, signed_map
from bsig.explain.readings import comparison_readings
from bsig.explain.verdict import IS_HERE, UNSURE, Claims
from bsig.inputs.images import crop_image, read_image
from bsig.inputs.paths import EXAMPLES as FOLDER
from bsig.inputs.tensors import input_tensor
from bsig.model.backbones import load_classifier
from bsig.model.dual_branch import DualBranch

EXAMPLES = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
FIELDS = {
    "key", "file", "title", "class_name", "class_index", "second_class_name", "kind", "presence", "truth", "reason",
    "source",
    "licence", "credit",
}  # fmt: skip
WRONG_PREDICTIONS = {"astronaut": "football helmet", "clock": "bubble", "flower": "daisy"}
LICENCES = {"CC0 1.0", "public domain", "CC BY 2.0"}


def of_kind(kind):
    return [pytest.param(example, id=example["key"]) for example in EXAMPLES if example["kind"] == kind]


@lru_cache(maxsize=1)
def model():
    return DualBranch(load_classifier())


@lru_cache(maxsize=32)
def features_of(file):
    crop = crop_image(read_image(FOLDER / file), model().preprocessing)
    return model().features(input_tensor(crop, model().preprocessing))


def softmax_map(file, class_name):
    """The signed softmax CAM of a class, (h, w), in logits."""
    index = torch.tensor([model().class_names.index(class_name)])
    score = head_score(model().softmax_head, features_of(file), class_scores_of(index, model().num_classes))
    return signed_map(cam_method("cam"), score)[0][0]


def probabilities(file):
    return model().softmax_logits(features_of(file)).softmax(dim=1)[0]


def column_of_maximum(map):
    return int(map.argmax()) % map.shape[1]


def test_every_file_is_listed_credited_and_the_folder_is_small():
    files = {path.name for path in FOLDER.glob("*.jpg")}
    credits = (FOLDER / "CREDITS.md").read_text(encoding="utf-8")
    assert files == {example["file"] for example in EXAMPLES}
    assert all(f"`{file}`" in credits for file in files)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["key"])
def test_each_example_opens_and_says_what_it_is(example):
    picture = read_image(FOLDER / example["file"])
    assert max(picture.size) <= 640
    assert set(example) == FIELDS
    assert all(example[field] for field in FIELDS - {"class_name", "class_index", "second_class_name"})
    assert set(example["licence"].split("; ")) <= LICENCES
    for part in example["credit"].split("; "):
        assert part.split(",")[0] in (FOLDER / "CREDITS.md").read_text(encoding="utf-8")
    assert not features_of(example["file"]).isnan().any()


def test_keys_are_unique_and_there_are_enough():
    keys = [example["key"] for example in EXAMPLES]
    assert len(set(keys)) == len(keys) >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["key"])
def test_class_names_and_indices_are_the_default_models(example):
    if example["class_name"] is None:
        assert example["class_index"] is None
    else:
        assert model().class_names[example["class_index"]] == example["class_name"]
    assert example["second_class_name"] in (None, *model().class_names)


@pytest.mark.parametrize("example", of_kind("two classes"))
def test_choosing_the_other_class_moves_the_map_to_the_other_half(example):
    right_map, left_map = (
        softmax_map(example["file"], example[field]) for field in ("class_name", "second_class_name")
    )
    middle = right_map.shape[1] // 2
    assert column_of_maximum(left_map) < middle < column_of_maximum(right_map)
    assert right_map[:, middle + 1 :].mean() > 2 * right_map[:, :middle].mean().clamp(min=0) + 5
    assert left_map[:, :middle].mean() > 2 * left_map[:, middle + 1 :].mean().clamp(min=0) + 5


@pytest.mark.parametrize("example", of_kind("two classes"))
def test_both_classes_are_among_the_ten_likeliest(example):
    likeliest = [model().class_names[i] for i in probabilities(example["file"]).topk(10).indices.tolist()]
    assert {example["class_name"], example["second_class_name"]} <= set(likeliest)


@pytest.mark.parametrize("example", of_kind("wrong prediction"))
def test_wrong_predictions_are_really_predicted(example):
    predicted = model().class_names[int(probabilities(example["file"]).argmax())]
    assert predicted == WRONG_PREDICTIONS[example["key"]]
    assert predicted in example["reason"]


@pytest.mark.parametrize("example", of_kind("absent class"))
def test_softmax_paints_an_absent_class_that_it_does_not_predict(example):
    map = softmax_map(example["file"], example["class_name"])
    assert probabilities(example["file"])[example["class_index"]] < 5e-4
    assert (map > 0).float().mean() >= 0.45


def test_every_kind_is_there():
    assert {example["kind"] for example in EXAMPLES} == {
        "one class", "two classes", "wrong prediction", "absent class"
    }  # fmt: skip


# --- what the shipped checkpoint says of them -------------------------------------------------------------------------


@lru_cache(maxsize=1)
def shipped():
    return load_checkpoint("imagenet1k-efficientnet_lite0")


@lru_cache(maxsize=32)
def encoded(file):
    return Explainer(shipped()).encode(FOLDER / file)


def on_screen(example):
    return encoded(example["file"]).explain(example["class_name"], **comparison_readings(shipped(), "cam", "signed"))


def presence_of(claims):
    if claims.is_absent:
        return "absent"
    return "here" if claims.likelihood >= IS_HERE else "unlikely" if claims.likelihood < UNSURE else "unsure"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["key"])
def test_each_caption_fits_its_verdict(example):
    claims = Claims.of(on_screen(example))
    assert presence_of(claims) == example["presence"]
    assert ("unlikely" in example["reason"]) == (example["presence"] == "unlikely")
    assert len(example["title"]) <= 12, "the strip of examples shows one line"


@pytest.mark.parametrize("example", of_kind("absent class"))
def test_of_an_absent_class_softmax_marks_much_and_the_sigmoid_branch_nothing(example):
    claims = Claims.of(on_screen(example))
    assert claims.softmax >= 0.5
    assert claims.sigmoid == 0


def test_the_opening_example_wins_by_every_score_of_the_tool():
    """Absent area at zero, levelled and not; and at equal own area, where no threshold helps."""
    first = EXAMPLES[0]
    assert first["kind"] == "absent class"
    picture, index = encoded(first["file"]), first["class_index"]
    plain = picture.explain(index)
    assert plain.sigmoid.positive_area < plain.softmax.positive_area - 0.2
    own = picture.explain(None)
    at_own = {
        branch: area_at_own_area(
            torch.from_numpy(own.evidence(branch).map), torch.from_numpy(plain.evidence(branch).map)[None]
        )
        for branch in ("softmax", "sigmoid")
    }
    assert at_own["sigmoid"] < at_own["softmax"] - 0.1
    assert Claims.of(on_screen(first)).sigmoid == 0
