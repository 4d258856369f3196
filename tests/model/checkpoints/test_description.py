"""What checkpoint.json may say: whatever breaks a rule is refused in a sentence that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from checkpoint_folders import change_entries, entries_of, refusal

from bsig.inputs.errors import InputError
from bsig.inputs.images import RESAMPLING
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.description import (
    DEEPEST,
    LONGEST_NAME,
    CheckpointDescription,
    PreprocessingDescription,
    read_description,
)
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION


@pytest.mark.parametrize("version", [2, 10**9])
def test_a_newer_format_is_refused_with_the_remedy(checkpoint_folder: Path, version: int) -> None:
    change_entries(checkpoint_folder, format_version=version)
    assert f"(={version}) is newer than 1; update bsig" in refusal(checkpoint_folder)


@pytest.mark.parametrize("version", [None, "1", 0, -1, [1], 1.0])
def test_a_format_that_is_none_is_refused(checkpoint_folder: Path, version: object) -> None:
    change_entries(checkpoint_folder, format_version=version)
    assert "no `format_version`" in refusal(checkpoint_folder)


@pytest.mark.parametrize("text", ["", "{", "not JSON", "[" * 100_000, "\udcff", '{"format_version": 1e999}'])
def test_a_description_that_is_not_json_is_refused(checkpoint_folder: Path, text: str) -> None:
    (checkpoint_folder / DESCRIPTION).write_text(text, encoding="utf-8", errors="surrogateescape")
    refusal(checkpoint_folder)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"checkpoint"', "{}"])
def test_json_that_is_no_description_is_refused(checkpoint_folder: Path, text: str) -> None:
    (checkpoint_folder / DESCRIPTION).write_text(text)
    assert "no bsig checkpoint" in refusal(checkpoint_folder)


@pytest.mark.parametrize("key", ["class_names", "branch", "backbone", "tensors_sha256", "preprocessing"])
def test_a_missing_entry_is_refused_by_name(checkpoint_folder: Path, key: str) -> None:
    change_entries(checkpoint_folder, **{key: None})
    assert key in refusal(checkpoint_folder)


PRESENCE = {"temperature": 1.5, "offset": 4.0, "pictures": 60}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", 0), ("temperature", -1.5), ("temperature", "1.5"), ("temperature", None), ("offset", "4"),
        ("offset", None), ("pictures", 0), ("pictures", 1.5), ("expected_calibration_error", 1.5),
        ("absent_above_half", -0.1), ("source", 3), ("reliability", [{"probability": 2, "share": 0, "count": 1}]),
        ("reliability", [{"probability": 0.1, "share": 0, "count": 1}] * 11),
    ],
)  # fmt: skip
def test_a_calibration_that_breaks_a_rule_is_refused_by_name(checkpoint_folder: Path, key: str, value: object) -> None:
    change_entries(checkpoint_folder, presence={**PRESENCE, key: value})
    assert f"`{key}`" in refusal(checkpoint_folder)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_calibration_that_is_not_finite_is_refused(checkpoint_folder: Path, number: str) -> None:
    change_entries(checkpoint_folder, presence={**PRESENCE, "offset": 123.456})
    text = (checkpoint_folder / DESCRIPTION).read_text(encoding="utf-8")
    (checkpoint_folder / DESCRIPTION).write_text(text.replace("123.456", number), encoding="utf-8")
    assert "`offset`" in refusal(checkpoint_folder)


def test_a_checkpoint_without_a_calibration_opens(checkpoint_folder: Path) -> None:
    assert entries_of(checkpoint_folder)["presence"] is None
    assert load_checkpoint(checkpoint_folder).presence is None
    change_entries(checkpoint_folder, presence=None)
    assert "presence" not in entries_of(checkpoint_folder)
    assert load_checkpoint(checkpoint_folder).presence is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_names", [1, 2, 3]), ("class_names", {"0": "ant"}), ("branch", ["full"]), ("backbone", {"name": 3}),
        ("tensors_sha256", "0" * 64), ("readings", {"levelled": 1.0}), ("readings", {"levelled": {"lambda": "1"}}),
    ],
)  # fmt: skip
def test_an_entry_of_another_kind_is_refused(checkpoint_folder: Path, key: str, value: object) -> None:
    change_entries(checkpoint_folder, **{key: value})
    refusal(checkpoint_folder)


def test_a_million_class_names_are_refused_before_a_tensor_is_read(checkpoint_folder: Path) -> None:
    change_entries(checkpoint_folder, class_names=["a"] * 1_000_000, class_ids=["a"] * 1_000_000)
    assert "holds 1000000 names" in refusal(checkpoint_folder)
    change_entries(checkpoint_folder, class_names=["a" * 16] * 1_000_000, class_ids=None)
    assert "is over 16 MB" in refusal(checkpoint_folder)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_size_hw": [100_000, 100_000]}, {"input_size_hw": [224]}, {"input_size_hw": [224.5, 224]},
        {"input_size_hw": "224"}, {"input_size_hw": [True, 224]}, {"input_size_hw": [0, 224]}, {"input_size_hw": 224},
        {"resize_to": 10**9}, {"resize_to": 100}, {"resize_to": "256"}, {"resize_to": None},
        {"std": [-0.5, 0.5, 0.5]}, {"std": [0.5, 0, 0.5]}, {"std": [0.5] * 4}, {"std": 0.5},
        {"std": [float("nan")] * 3}, {"mean": [float("nan"), 0.5, 0.5]}, {"mean": [float("inf")] * 3},
        {"mean": [0.5] * 2}, {"mean": ["red", "green", "blue"]}, {"mean": None},
        {"interpolation": "magic"}, {"interpolation": []}, {"crop_mode": "stretch"}, {"crop_mode": {}},
    ],
)  # fmt: skip
def test_preprocessing_that_no_picture_can_go_through_is_refused(
    checkpoint_folder: Path, wrong: dict[str, object]
) -> None:
    change_entries(checkpoint_folder, preprocessing={**entries_of(checkpoint_folder)["preprocessing"], **wrong})
    assert "`preprocessing`" in refusal(checkpoint_folder)


@pytest.mark.parametrize("value", [[], "center", 3])
def test_preprocessing_of_another_kind_is_refused(checkpoint_folder: Path, value: object) -> None:
    change_entries(checkpoint_folder, preprocessing=value)
    assert "`preprocessing`" in refusal(checkpoint_folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"branch": "both"}, "`branch` (='both') in checkpoint.json must be 'full' or 'shift'"),
        ({"branch": None}, "`branch` (=None) in checkpoint.json must be 'full' or 'shift'"),
        ({"class_names": "ant"}, "`class_names` (='ant') in checkpoint.json must be a list of names"),
        ({"class_names": []}, "`class_names` holds 0 names, from 1 to 100000 are allowed"),
        ({"class_ids": ["n1"]}, "`class_ids` (=['n1']) in checkpoint.json must be a list of ids, one for each of"),
        ({"class_ids": [1, 2, 3]}, "`class_ids` (=[1, 2, 3]) in checkpoint.json must be a list of ids"),
        ({"trained": 1}, "`trained` (=1) in checkpoint.json must be true or false"),
        ({"training": [3]}, "`training` (=[3]) in checkpoint.json must be an object"),
        (
            {"backbone": "resnet"},
            "`backbone` (='resnet') in checkpoint.json must be an object that names the timm model",
        ),
        ({"backbone": {}}, "`name` (=None) of `backbone` in checkpoint.json must be timm's name of the network"),
        (
            {"backbone": {"name": "x", "grid_hw": [7, True]}},
            "`grid_hw` (=[7, True]) of `backbone` in checkpoint.json must be two whole numbers",
        ),
        (
            {"backbone": {"name": "x", "feature_stage": 3}},
            "`feature_stage` (=3) of `backbone` in checkpoint.json must be text",
        ),
        ({"tensors_sha256": 7}, "`tensors_sha256` (=7) in checkpoint.json must be the SHA-256 of checkpoint.safeten"),
    ],
)
def test_a_refusal_names_the_entry_its_value_its_rule_and_the_remedy(
    checkpoint_folder: Path, change: dict[str, Any], sentence: str
) -> None:
    change_entries(checkpoint_folder, **change)
    text = refusal(checkpoint_folder)
    assert text.startswith(f"checkpoint 'small': {sentence}")
    assert text.endswith("; copy the checkpoint again or train it again.")


def test_a_refusal_of_preprocessing_names_the_setting(checkpoint_folder: Path) -> None:
    settings = entries_of(checkpoint_folder)["preprocessing"]
    change_entries(checkpoint_folder, preprocessing={**settings, "std": [0.5, 0, 0.5]})
    assert (
        "`std` (=[0.5, 0, 0.5]) of `preprocessing` in checkpoint.json must be three finite numbers above 0"
        in refusal(checkpoint_folder)
    )
    change_entries(checkpoint_folder, preprocessing={**settings, "crop_mode": "squash", "resize_to": 1})
    assert CheckpointDescription.read(checkpoint_folder).preprocessing.preprocessing.crop_mode == "squash"


@pytest.mark.parametrize("key", ["branch", "class_names", "backbone", "preprocessing", "training", "class_ids"])
def test_a_value_of_deep_nesting_or_great_length_is_refused_in_one_short_sentence(
    checkpoint_folder: Path, key: str
) -> None:
    text = (checkpoint_folder / DESCRIPTION).read_text(encoding="utf-8")
    entries = json.loads(text)
    for value in ("[" * 500 + "]" * 500, json.dumps(["x" * 10_000, 1] * 100), "NaN", "1e400", f'"{"x" * 10_000}"'):
        entries[key] = "PLACE"
        (checkpoint_folder / DESCRIPTION).write_text(json.dumps(entries).replace('"PLACE"', value), encoding="utf-8")
        assert len(refusal(checkpoint_folder)) < 400


@pytest.mark.parametrize("place", ["training", "results", "of no field"])
def test_what_is_nested_too_deep_to_be_worked_with_is_refused(checkpoint_folder: Path, place: str) -> None:
    entries = json.loads((checkpoint_folder / DESCRIPTION).read_text())
    for depth, is_taken in ((DEEPEST, True), (DEEPEST + 1, False), (900, False)):
        (checkpoint_folder / DESCRIPTION).write_text(json.dumps({**entries, place: {"more": _chain(depth - 2)}}))
        if is_taken:
            read_description(checkpoint_folder)
        else:
            with pytest.raises(InputError, match="nested more than"):
                read_description(checkpoint_folder)


def _chain(depth: int) -> Any:
    """Lists in each other, so many."""
    return [_chain(depth - 1)] if depth > 0 else 1


def test_a_number_that_is_none_becomes_null_and_is_refused_where_a_number_is_needed(checkpoint_folder: Path) -> None:
    entries = json.loads((checkpoint_folder / DESCRIPTION).read_text())
    entries["results"] = {"loss": float("nan"), "gain": float("-inf")}
    (checkpoint_folder / DESCRIPTION).write_text(json.dumps(entries))
    assert read_description(checkpoint_folder)["results"] == {"loss": None, "gain": None}
    entries["preprocessing"]["mean"] = [float("nan"), 0.5, 0.5]
    (checkpoint_folder / DESCRIPTION).write_text(json.dumps(entries))
    with pytest.raises(InputError, match=r"`mean`.*three finite numbers"):
        read_description(checkpoint_folder)


def test_class_names_longer_than_any_are_refused(checkpoint_folder: Path) -> None:
    entries = json.loads((checkpoint_folder / DESCRIPTION).read_text())
    for key in ("class_names", "class_ids"):
        names = entries["class_names"]
        for length, is_taken in ((LONGEST_NAME, True), (LONGEST_NAME + 1, False)):
            changes = {**entries, key: ["x" * length, *names[1:]]}
            (checkpoint_folder / DESCRIPTION).write_text(json.dumps(changes))
            if is_taken:
                assert len(read_description(checkpoint_folder)[key][0]) == length
            else:
                with pytest.raises(InputError, match=f"`{key}`"):
                    read_description(checkpoint_folder)


def test_entries_of_no_field_are_kept_with_their_values_and_their_order(checkpoint_folder: Path) -> None:
    change_entries(checkpoint_folder, history=[{"epoch": 1, "loss": 0.5}], read="a name of the class's own", _entries=3)
    assert list(read_description(checkpoint_folder).items()) == list(entries_of(checkpoint_folder).items())


@pytest.mark.parametrize("folder", sorted(CHECKPOINTS_FOLDER.iterdir()), ids=lambda folder: folder.name)
def test_a_shipped_description_is_read_as_it_is_written(folder: Path) -> None:
    assert list(read_description(folder).items()) == list(entries_of(folder).items())


def test_ids_are_the_names_where_a_description_has_none(checkpoint_folder: Path) -> None:
    change_entries(checkpoint_folder, class_ids=None)
    assert CheckpointDescription.read(checkpoint_folder).class_ids == ["ant", "bee", "cow"]
    assert load_checkpoint(checkpoint_folder).class_ids == ("ant", "bee", "cow")


def test_every_way_to_resize_a_picture_can_be_described() -> None:
    annotation = PreprocessingDescription.model_fields["interpolation"].annotation
    assert get_args(annotation) == tuple(RESAMPLING)
