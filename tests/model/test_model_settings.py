"""What files state of class names and preprocessing is used, what is asked for goes before it, the rest is said."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from own_weights import AVERAGES, NETWORK, saved, tensors
from PIL import Image

from bsig.inputs.errors import InputError
from bsig.model.class_names import read_class_names
from bsig.model.model_settings import ModelSettings, parsed_kwargs, parsed_size, stated_settings
from bsig.model.new_model import new_model


def test_timms_own_arguments_are_used_and_class_names_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")
    model = new_model(NETWORK, saved(AVERAGES["timm with args.pth.tar"](), tmp_path, "best.pth.tar"))
    own = model.preprocessing
    assert model.class_names == ("ant", "bee", "cat")
    assert (own.input_size_hw, own.resize_to, own.interpolation) == ((96, 96), 96, "bilinear")
    assert (own.mean, own.std) == ((0.5,) * 3, (0.4,) * 3)
    notes = " ".join(model.notes)
    assert "From the file: input 96 x 96, mean 0.5, std 0.4, bilinear, classes 'ant', 'bee', 'cat'" in notes
    assert "Not in the file" not in notes


def test_what_is_asked_for_goes_before_what_the_file_says(tmp_path: Path) -> None:
    settings = ModelSettings(class_names=("x", "y", "z"), input_size_hw=(64, 64), mean=(0.1, 0.2, 0.3))
    file = saved(AVERAGES["timm with args.pth.tar"](), tmp_path, "best.pth.tar")
    model = new_model(NETWORK, file, settings=settings)
    assert model.class_names == ("x", "y", "z")
    assert model.preprocessing.input_size_hw == (64, 64)
    assert model.preprocessing.mean == (0.1, 0.2, 0.3)
    assert model.preprocessing.std == (0.4,) * 3
    assert model.grid_hw == (2, 2)


def test_a_config_beside_the_weights_is_read_if_it_names_an_architecture(tmp_path: Path) -> None:
    config = {
        "architecture": NETWORK, "num_classes": 3, "label_names": ["ant", "bee", "cat"],
        "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.1, 0.1, 0.1], "std": [0.3, 0.3, 0.3], "crop_pct": 1.0,
                           "interpolation": "bilinear", "crop_mode": "squash"},
    }  # fmt: skip
    file = saved(tensors(), tmp_path, "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = new_model(NETWORK, file)
    assert model.class_names == ("ant", "bee", "cat")
    assert model.preprocessing.input_size_hw == (64, 64)
    assert (model.preprocessing.mean, model.preprocessing.crop_mode) == ((0.1,) * 3, "squash")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "mean": 0.9}))
    assert new_model(NETWORK, file).class_names == ("0", "1", "2")


def test_without_a_word_in_the_file_the_usual_values_are_named_with_their_options(tmp_path: Path) -> None:
    (line,) = new_model(NETWORK, saved(tensors(), tmp_path, "plain.pth")).notes
    assert line.startswith("Not in the file, so the usual values are taken: input 160 x 160, mean ")
    for option in ("--input-size", "--mean", "--std", "--interpolation", "--crop-mode", "--class-names"):
        assert option in line


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ({"classes": ["a", "b"]}, ("a", "b")),
        ({"class_to_idx": {"b": 0, "a": 1}}, ("b", "a")),
        ({"idx_to_class": {0: "a", 1: "b"}}, ("a", "b")),
        ({"hyper_parameters": {"class_names": ("a", "b")}}, ("a", "b")),
        ({"config": {"id2label": {"0": "a", "1": "b"}}}, ("a", "b")),
        ({"classes": 2}, None), ({"class_to_idx": {"a": 1, "b": 2}}, None), ({"classes": ["a", "a"]}, None),
    ],
)  # fmt: skip
def test_class_names_are_found_under_the_names_that_people_give_them(
    entries: dict[str, Any], names: tuple[str, ...] | None
) -> None:
    assert stated_settings(entries, None)[0].class_names == names


@pytest.mark.parametrize(
    ("entries", "size_hw"),
    [
        ({"args": {"img_size": 96}}, (96, 96)), ({"args": {"img_size": None, "input_size": [3, 64, 96]}}, (64, 96)),
        ({"image_size": [64, 96]}, (64, 96)), ({"hparams": {"img_size": "64x96"}}, (64, 96)),
        ({"img_size": "large"}, None),
        ({"img_size": 7}, None),
    ],
)  # fmt: skip
def test_sizes_are_found_as_people_write_them(entries: dict[str, Any], size_hw: tuple[int, int] | None) -> None:
    assert stated_settings(entries, None)[0].input_size_hw == size_hw


def test_a_mean_of_pixels_up_to_255_is_brought_to_1() -> None:
    settings, _ = stated_settings({"mean": [127.5, 127.5, 127.5], "std": [51.0, 51.0, 51.0]}, None)
    assert (settings.mean, settings.std) == ((0.5,) * 3, (0.2,) * 3)


def test_a_std_of_pixels_up_to_255_is_said_or_refused() -> None:
    settings, notes = stated_settings({"mean": [0, 0, 0], "std": [255, 255, 255]}, None)
    assert (settings.mean, settings.std) == ((0.0,) * 3, (1.0,) * 3)
    assert notes == ("The file's mean and std are for pixels up to 255; here they are divided by 255.",)
    settings, notes = stated_settings({"mean": 0.5, "std": 127.5}, None)
    assert (settings.mean, settings.std, settings.unusable) == ((0.5,) * 3, None, ("std",))
    assert "`std` (=127.5) is for pixels from 0 to 1" in notes[0]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"class_to_idx": {"ant": 1, "bee": 2, "cat": 3}}, "has the numbers 1 to 3 for 3 classes, not 0 to 2"),
        ({"class_to_idx": {"ant": 0, "bee": 1, "cat": 1}}, "gives several classes the number 1"),
        ({"id2label": {"0": "ant", "1": "bee", "2": "ant"}}, "holds 'ant' more than once"),
        ({"class_names": ["ant", "bee", "bee"]}, "holds 'bee' more than once"),
    ],
)
def test_class_names_that_cannot_be_used_are_said_and_not_called_missing(
    entries: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    notes = " ".join(new_model(NETWORK, saved({"state_dict": tensors(), **entries}, tmp_path, "a.pth")).notes)
    assert f"`{next(iter(entries))}` {reason}, so it is not used; give the names with --class-names." in notes
    assert "What the file states cannot be used, so the usual values are taken: classes '0', '1', '2'" in notes
    assert "classes" not in notes[notes.index("Not in the file") :].split(".")[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "\ufeffant\nbee \n\n"), ("names.json", '["ant", "bee"]'),
        ("index.json", '{"1": "bee", "0": "ant"}'),
        ("idx.json", '{"bee": 1, "ant": 0}'), ("imagenet.json", '{"0": ["n1", "ant"], "1": ["n2", "bee"]}'),
    ],
)  # fmt: skip
def test_names_are_read_from_text_and_json_in_the_order_of_the_logits(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / name) == ["ant", "bee"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "ant\nant\n"), ("b.json", '{"1": "ant", "2": "bee"}'), ("c.json", "{"), ("d.json", "3"), ("e.txt", "")],
)
def test_names_that_are_no_list_of_classes_are_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        read_class_names(tmp_path / name)


def test_names_of_a_folder_are_its_sorted_class_folders(tmp_path: Path) -> None:
    for name in ("bee", "ant", "Cat"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / name / "a.png")
    assert read_class_names(tmp_path) == ["Cat", "ant", "bee"]


def test_names_of_a_zip_are_those_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsig.inputs.zips.CACHE_FOLDER", tmp_path / "cache")
    with zipfile.ZipFile(tmp_path / "breeds.zip", "w") as archive:
        for name in ("pug", "beagle"):
            archive.writestr(f"breeds/train/{name}/1.jpg", "a picture")
    assert read_class_names(tmp_path / "breeds.zip") == ["beagle", "pug"]


def test_names_are_kept_in_the_composed_form_and_twice_in_no_form(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cafe\u0301\nlait\n", encoding="utf-8")
    assert read_class_names(tmp_path / "names.txt") == ["caf\u00e9", "lait"]
    (tmp_path / "names.json").write_text('["cafe\u0301", "caf\u00e9"]', encoding="utf-8")
    with pytest.raises(InputError, match="each name once"):
        read_class_names(tmp_path / "names.json")


def test_a_wrong_number_of_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 2 names, the network has 3 classes"):
        new_model(NETWORK, saved(tensors(), tmp_path, "a.pth"), settings=ModelSettings(class_names=("a", "b")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_size_hw": (8, 8)}, {"std": (0.0, 1.0, 1.0)}, {"std": (255.0,) * 3}, {"mean": (123.0, 116.0, 103.0)},
        {"crop_pct": 2.0},
        {"interpolation": "sinc"}, {"crop_mode": "border"}, {"in_chans": 4}, {"mean": (float("nan"), 0.0, 0.0)},
    ],
)  # fmt: skip
def test_a_setting_that_breaks_its_rule_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"must be|divide"):
        ModelSettings(**wrong)


def test_options_are_written_as_people_type_them() -> None:
    assert parsed_kwargs(["pad_type=same", "bn_eps=1e-3", "act=True", "img_size=[64, 96]"]) == (
        ("act", True), ("bn_eps", 1e-3), ("img_size", [64, 96]), ("pad_type", "same"),
    )  # fmt: skip
    assert (parsed_size("160"), parsed_size("160x224")) == ((160, 160), (160, 224))
    with pytest.raises(InputError, match=r"KEY=VALUE"):
        parsed_kwargs(["same"])
    with pytest.raises(InputError, match="ROWSxCOLUMNS"):
        parsed_size("large")
