"""A setting is declared once: its rule holds wherever it comes from, and its sentence names it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import pytest

from bsig.inputs.errors import InputError
from bsig.training.config import (
    DampingConfig,
    EncodingConfig,
    FinetuneConfig,
    FlatShiftConfig,
    SimilarClassesConfig,
    SoftmaxHeadConfig,
    TrainingConfig,
    Views,
    from_json,
    settings_of,
)

KINDS = [
    TrainingConfig,
    SoftmaxHeadConfig,
    Views,
    SimilarClassesConfig,
    FlatShiftConfig,
    DampingConfig,
    EncodingConfig,
    FinetuneConfig,
]
WHOLE = FinetuneConfig(
    "resnet18",
    softmax_head=SoftmaxHeadConfig(7),
    training=TrainingConfig("full", 5, positive_weight=3.0, seed=3),
    views=Views(4, seed=3),
    device="cuda:1",
    half_precision=True,
    similar_classes=SimilarClassesConfig(0.5, 9),
    flat_shift=FlatShiftConfig(absent_area=0.2),
    damping=DampingConfig(strength=1.5),
    encoding=EncodingConfig(8, 2),
)


def refusal(kind: type, **values: Any) -> str:
    with pytest.raises(InputError) as caught:
        kind(**values)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_a_setting_with_words_or_a_part_of_its_own(kind: type) -> None:
    settings, default = settings_of(kind), kind()
    for each in fields(kind):
        part = getattr(default, each.name)
        assert each.name in settings or part is None or is_dataclass(part) or each.name == "class_map"  # the data's own
    for setting in settings.values():
        assert setting.label
        assert setting.help


def test_no_two_settings_share_a_name_or_an_option() -> None:
    settings = [setting for kind in KINDS for setting in settings_of(kind).values()]
    names = [setting.name for setting in settings]
    options = [setting.option for setting in settings if setting.option]
    assert len(names) == len(set(names))
    assert len(options) == len(set(options))


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_keep_their_own_rules(kind: type) -> None:
    for name, setting in settings_of(kind).items():
        setting.check(getattr(kind(), name))
        assert getattr(kind(), name) is not None or setting.empty


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (TrainingConfig, {"epochs": 0}, "`epochs` (=0) must be from 1 to 10000."),
        (TrainingConfig, {"epochs": 10_001}, "`epochs` (=10001) must be from 1 to 10000."),
        (TrainingConfig, {"learning_rate": 0.0}, "`learning_rate` (=0.0) must be above 0 and below 100."),
        (TrainingConfig, {"learning_rate": math.nan}, "`learning_rate` (=nan) must be above 0 and below 100."),
        (TrainingConfig, {"batch_size": 65_537}, "`batch_size` (=65537) must be from 1 to 65536."),
        (TrainingConfig, {"momentum": 1.0}, "`momentum` (=1.0) must be at least 0 and below 1."),
        (TrainingConfig, {"seed": 2**31}, "`seed` (=2147483648) must be from 0 to 2147483647."),
        (TrainingConfig, {"positive_weight": 0.0}, "`positive_weight` (=0.0) must be above 0"),
        (TrainingConfig, {"branch": "shift", "initialisation": "fresh"}, "or 'fresh' for a full branch."),
        (SoftmaxHeadConfig, {"epochs": 0}, "`softmax_epochs` (=0) must be from 1 to 10000."),
        (Views, {"count": 0}, "`views` (=0) must be at least 1."),
        (Views, {"smallest_area": 1.5}, "`smallest_area` (=1.5) must be above 0 and at most 1."),
        (FlatShiftConfig, {"ridge": 0.0}, "`ridge` (=0.0) must be above 0 and finite."),
        (FlatShiftConfig, {"absent_area": 1.0}, "`absent_area` (=1.0) must be at least 0 and below 1."),
        (DampingConfig, {"strength": math.inf}, "`strength` (=inf) must be at least 0 and finite."),
        (DampingConfig, {"strength": -1.0}, "`strength` (=-1.0) must be at least 0 and finite."),
        (SimilarClassesConfig, {"share": 1.5}, "`share` (=1.5) must be from 0 to 1."),
        (SimilarClassesConfig, {"count": 0}, "`similar_classes_count` (=0) must be at least 1."),
        (DampingConfig, {"pictures": 0}, "`damping_pictures` (=0) must be at least 1."),
        (DampingConfig, {"temper": math.nan}, "`temper` (=nan) must be at least 0 and finite."),
        (DampingConfig, {"most_pictures": 0}, "`most_pictures` (=0) must be at least 1."),
        (EncodingConfig, {"workers": 257}, "`workers` (=257) must be from 1 to 256."),
        (
            FinetuneConfig,
            {"training": TrainingConfig("shift"), "damping": DampingConfig()},
            "`damping` needs a full branch, not `branch` (=shift)",
        ),
        (
            FinetuneConfig,
            {"training": TrainingConfig("shift"), "similar_classes": SimilarClassesConfig()},
            "`similar_classes` needs a full branch that starts as a clone, not `branch` (=shift)",
        ),
        (
            FinetuneConfig,
            {"training": TrainingConfig(initialisation="fresh"), "similar_classes": SimilarClassesConfig()},
            "with `initialisation` (=fresh).",
        ),
        (FinetuneConfig, {"encode_every_step": True, "views": Views(2)}, "`views` (=2) have no effect with"),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused_by_name(kind: type, values: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(kind, **values)


def test_json_and_back_is_the_same() -> None:
    for config in (WHOLE, FinetuneConfig()):
        assert from_json(FinetuneConfig, json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("part", "name", "value", "sentence"),
    [
        ("training", "epochs", 0, "`epochs` (=0) must be from 1 to 10000"),
        ("training", "epochs", "3", "`training.epochs` (='3')"),
        ("training", "epochs", 2.5, "`training.epochs` (=2.5)"),
        ("training", "branch", "both", "`training.branch` (='both')"),
        ("training", "patience", 3, "`training.patience` (=3)"),
        ("views", "count", 0, "`views` (=0)"),
        ("damping", "strength", -1, "`strength` (=-1.0)"),
        ("flat_shift", "area", 0.1, "`flat_shift.area` (=0.1)"),
    ],
)
def test_json_that_breaks_a_rule_is_refused_by_name(part: str, name: str, value: Any, sentence: str) -> None:
    entries = json.loads(json.dumps(asdict(WHOLE)))
    entries[part][name] = value
    with pytest.raises(InputError) as caught:
        from_json(FinetuneConfig, entries)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [("epochs", 4.0, 4), ("learning_rate", 1, 1.0), ("branch", "shift", "shift"), ("positive_weight", None, None)],
)
def test_a_form_field_becomes_a_value_of_its_kind(name: str, raw: Any, value: Any) -> None:
    actual = settings_of(TrainingConfig)[name].read(raw)
    assert actual == value
    assert type(actual) is type(value)


@pytest.mark.parametrize(
    ("name", "raw", "sentence"),
    [
        ("epochs", 2.5, "`epochs` (=2.5) must be a whole number."),
        ("epochs", None, "`epochs` (=None) must be given; fill it in."),
        ("epochs", math.inf, "`epochs` (=inf) must be a number; fill it in."),
        ("learning_rate", "fast", "`learning_rate` (=fast) must be a number; fill it in."),
        ("branch", "both", "`branch` (=both) must be 'full' or 'shift'."),
        ("schedule", "steps", "`schedule` (=steps) must be 'cosine' or 'constant'."),
        ("seed", -1, "`seed` (=-1) must be from 0 to 2147483647."),
    ],
)
def test_a_form_field_that_cannot_be_read_is_refused_by_name(name: str, raw: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_of(TrainingConfig)[name].read(raw)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("settings", "name"), [((0,), "views"), ((2, 0.0), "smallest_area"), ((2, 1.1), "smallest_area")]
)
def test_views_out_of_range_are_refused_by_name(settings: tuple, name: str) -> None:
    with pytest.raises(InputError, match=rf"`{name}` \(={settings[-1]}\)"):
        Views(*settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("epochs", 10_001), ("learning_rate", 0.0), ("learning_rate", -1.0), ("learning_rate", 100.0),
        ("learning_rate", math.nan), ("learning_rate", math.inf), ("batch_size", 0), ("batch_size", 65_537),
        ("momentum", 1.0), ("momentum", -0.1), ("weight_decay", 1.0), ("weight_decay", math.nan),
        ("positive_weight", 0.0), ("positive_weight", math.inf), ("positive_weight", math.nan),
        ("stay_near_softmax", -1.0), ("stay_near_softmax", math.nan), ("seed", -1), ("seed", 2**31),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name_and_value(name: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        TrainingConfig(**{name: value})
    assert str(caught.value).startswith(f"`{name}` (={value}) must be ")


def test_a_fresh_shift_is_refused_because_a_shift_is_of_something() -> None:
    with pytest.raises(InputError, match="`initialisation`"):
        TrainingConfig(branch="shift", initialisation="fresh")


def test_the_defaults_are_those_of_the_published_code() -> None:
    settings = asdict(TrainingConfig())
    assert (settings["epochs"], settings["batch_size"], settings["learning_rate"]) == (3, 32, 0.03)
    assert (settings["momentum"], settings["weight_decay"], settings["positive_weight"]) == (0.9, 5e-4, None)
