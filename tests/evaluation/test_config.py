"""The settings of an evaluation: one declaration for library, command line and results; wrong ones refused by name."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields

import pytest

from bsig.evaluation.config import EvaluationConfig
from bsig.inputs.errors import InputError

OTHER = EvaluationConfig(
    methods=("cam", "grad-cam"), weights=("signed", "paper"), readings=("finer", "cell-log-odds"),
    class_map={"airplane": "404", "my car": "817"}, limit=7,
    absent_from="data", absent_per_image=3, siblings_per_image=4, faithfulness=2, faithfulness_methods=("cam",),
    drop_pictures=6, mosaics=0, resamples=20,
    seed=5, batch_size=4,
)  # fmt: skip


def parsed(arguments: list[str]) -> EvaluationConfig:
    parser = argparse.ArgumentParser()
    EvaluationConfig.add_arguments(parser)
    return EvaluationConfig.from_arguments(parser.parse_args(arguments))


def test_no_option_is_the_default() -> None:
    assert parsed([]) == EvaluationConfig()
    assert EvaluationConfig().to_arguments() == []


def test_every_setting_survives_the_command_line() -> None:
    default = EvaluationConfig()
    assert all(getattr(OTHER, setting.name) != getattr(default, setting.name) for setting in fields(OTHER))
    assert parsed(OTHER.to_arguments()) == OTHER
    assert len(OTHER.to_arguments()) == len(fields(OTHER))


def test_blanks_around_commas_do_not_count() -> None:
    config = parsed(["--methods", " cam , eigen-cam,", "--class-map", "a b = 404 ,c=817"])
    assert config.methods == ("cam", "eigen-cam")
    assert config.class_map == {"a b": "404", "c": "817"}


def test_all_settings_are_ready_for_json() -> None:
    entries = OTHER.to_json()
    assert json.loads(json.dumps(entries)) == entries
    assert set(entries) == {setting.name for setting in fields(OTHER)}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"limit": 0}, "`limit` (=0) must be at least 1 picture."),
        ({"readings": ("finer", "pairwise")}, "`readings` (='pairwise') compares two classes, and labels name no"),
        ({"readings": ("sideways",)}, "`readings` (='sideways') must be among competition, cell-log-odds"),
        ({"readings": ("levelled",)}, "`readings` (='levelled') is a column of every table already, and must be among"),
        (
            {"readings": ("finer",), "methods": ("grad-cam",)},
            "`readings` (='finer') are of signed CAM, and `methods` (='grad-cam') lacks 'cam'; add it there.",
        ),
        (
            {"readings": ("finer",), "weights": ("paper",)},
            "`readings` (='finer') are of signed CAM, and `weights` (='paper') lacks 'signed'",
        ),
        ({"resamples": 0}, "`resamples` (=0) must be at least 1."),
        ({"batch_size": -2}, "`batch_size` (=-2) must be at least 1."),
        ({"absent_per_image": 0}, "`absent_per_image` (=0) must be at least 1."),
        ({"mosaics": -1}, "`mosaics` (=-1) must be at least 0."),
        ({"faithfulness": -1}, "`faithfulness` (=-1) must be at least 0."),
        ({"seed": -1}, "`seed` (=-1) must be at least 0."),
        ({"weights": ()}, "`methods` and `weights` must each name at least one"),
        ({"faithfulness_methods": ("eigen-cam",)}, "`faithfulness_methods` (='eigen-cam') must be among `methods`"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_refused_by_name(settings: dict, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        EvaluationConfig(**settings)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("text", ["airplane", "airplane=", "=404", "a=1,b"])
def test_a_class_map_that_is_no_pairs_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="must be pairs like airplane=404"):
        parsed(["--class-map", text])


def test_an_unknown_place_of_absent_classes_is_refused() -> None:
    with pytest.raises(InputError, match=r"`absent_from` \(='nowhere'\) must be one of model, data"):
        parsed(["--absent-from", "nowhere"])


@pytest.mark.parametrize("class_map", [{"a,b": "1"}, {"a=b": "1"}, {"a": "1,c=2"}])
def test_what_a_command_line_cannot_carry_is_refused_and_not_dropped(class_map: dict[str, str]) -> None:
    with pytest.raises(InputError, match="`class_map`"):
        EvaluationConfig(class_map=class_map).to_arguments()
