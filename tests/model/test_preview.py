"""A wrong mean, crop or padding shows in top-1 on labelled pictures, with the right one named first."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
from own_weights import NETWORK, saved, told_apart_by_brightness

from bsig.cli.main import main
from bsig.inputs.errors import InputError
from bsig.model.backbones import OWN_OPTIONS
from bsig.model.checkpoints.description import read_description
from bsig.model.model_settings import ModelSettings
from bsig.model.new_model import new_model, same_padded
from bsig.model.preview import alternatives, labelled_pictures, top_classes


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    return told_apart_by_brightness(tmp_path)


def test_the_right_mean_is_named_before_the_others(trained: tuple[Path, Path]) -> None:
    file, folder = trained
    wrong = ModelSettings(mean=(0.1, 0.1, 0.1), std=(0.5, 0.5, 0.5))
    model = new_model(NETWORK, file, settings=wrong)
    pictures, note = labelled_pictures(model, folder)
    assert len(pictures) == 9
    assert "sorted class folders" in note
    own, best, *rest = alternatives(model, pictures)
    assert own.right < best.right == 9
    assert "--mean 0.5 --std 0.5" in best.arguments
    assert len(rest) == 4


def test_the_command_shows_top_classes_and_suggests_the_best_preprocessing(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = trained
    command = ["new-model", NETWORK, "--weights", str(file), "--class-names", str(folder), "--device", "cpu"]
    options = ["--mean", "0.1", "--std", "0.5", "--pictures", str(folder), "--out", str(tmp_path / "a")]
    assert main([*command, *options]) == 0
    text = capsys.readouterr().err
    assert "More are right with --mean 0.5 --std 0.5" in text
    assert main([*command, "--mean", "0.5", "--std", "0.5", "--out", str(tmp_path / "b")]) == 0
    text = capsys.readouterr().err
    assert "cat.jpg: " in text
    assert "coffee.jpg: " in text
    description = read_description(tmp_path / "b")
    assert description["class_names"] == ["ant", "bee", "cat"]
    assert description["preprocessing"]["mean"] == [0.5, 0.5, 0.5]


def test_a_picture_has_its_five_most_probable_classes(trained: tuple[Path, Path]) -> None:
    model = new_model(NETWORK, trained[0], settings=ModelSettings(mean=(0.5,) * 3, std=(0.5,) * 3))
    classes = top_classes(model, trained[1] / "bee" / "1.png")
    assert classes[0][0] == "1"
    assert sum(probability for _, probability in classes) == pytest.approx(1, abs=1e-5)


def test_same_padding_is_tried_where_the_network_has_it(tmp_path: Path) -> None:
    def padded(name: str, **kwargs: str) -> bool:
        file = saved(timm.create_model(name, num_classes=3).state_dict(), tmp_path, f"{name}.pth")
        settings = ModelSettings(model_kwargs=tuple(kwargs.items()))
        return same_padded(new_model(name, file, settings=settings), name, file, OWN_OPTIONS, settings) is not None

    assert padded("test_efficientnet")
    assert not padded("test_efficientnet", pad_type="same")
    assert not padded(NETWORK)


def test_pictures_of_other_classes_are_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    model = new_model(NETWORK, trained[0], settings=ModelSettings(class_names=("x", "y", "z")))
    with pytest.raises(InputError, match="holds no class of this model"):
        labelled_pictures(model, trained[1])
