"""A data set's classes match the model's by name, WordNet id, number or index, and by nothing else."""

from __future__ import annotations

import pytest

from bsig.inputs.datasets.classes import match_classes, plain_name
from bsig.model.dual_branch import DualBranch


def test_classes_match_by_name_wordnet_id_number_and_index(default_model: DualBranch) -> None:
    names = [
        "tench",
        "TENCH",
        "n01440764",
        "n01440764_tench",
        "n01440764 something else",
        "000_Tench",
        "0",
        "golf_ball",
    ]
    match = match_classes(names, default_model.class_names, default_model.class_ids)
    assert match.unmatched == ()
    assert [match.index_of[name] for name in names] == [0] * 7 + [574]


def test_a_class_that_is_none_of_the_models_is_listed_and_no_other_is_taken_for_it(default_model: DualBranch) -> None:
    match = match_classes(["tench", "unicorn", "1000", "n99999999"], default_model.class_names, default_model.class_ids)
    assert match.index_of == {"tench": 0}
    assert match.unmatched == ("unicorn", "1000", "n99999999")


def test_every_class_name_and_id_of_the_model_matches_itself(default_model: DualBranch) -> None:
    for own in (default_model.class_names, default_model.class_ids):
        match = match_classes(own, default_model.class_names, default_model.class_ids)
        assert [match.index_of[name] for name in own] == list(range(1000))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"), ("n02058221_albatross", "albatross"),
        ("7-up", "7-up"), ("3-door car", "3-door car"), ("2 door", "2 door"), ("3.5 inch disk", "3.5 inch disk"),
        ("000-tench", "tench"), ("7_tench", "tench"), ("12. tench", "tench"), ("golf ball", "golf ball"),
        ("12", "12"), ("a_b", "a b"),
    ],
)  # fmt: skip
def test_a_folders_name_is_said_as_a_person_would(name: str, plain: str) -> None:
    assert plain_name(name) == plain
