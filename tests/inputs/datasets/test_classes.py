"""A data set's classes match the model's by name, WordNet id, number or index, and by nothing else."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from bsig.inputs.datasets.classes import class_map_from, match_classes, plain_name, plain_names
from bsig.inputs.errors import InputError
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
        ("7-up", "7-up"), ("3-door car", "3-door car"), ("3.5 inch disk", "3.5 inch disk"),
        ("03 - ash", "ash"), ("007-bond", "bond"), ("golf ball", "golf ball"), ("12", "12"), ("a_b", "a b"),
    ],
)  # fmt: skip
def test_a_folders_name_is_said_as_a_person_would(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_a_number_before_a_blank_is_taken_away_where_all_names_have_one() -> None:
    assert plain_names(["1 cat", "2-dog", "10 cow"]) == ("cat", "dog", "cow")
    assert plain_names(["3-door car", "lorry"]) == ("3-door car", "lorry")
    assert plain_names(["3-door car", "5-door car"]) == ("3-door car", "5-door car")


def test_names_match_in_any_unicode_form() -> None:
    name = "p\u00e2querette"
    for data, model in ((unicodedata.normalize("NFD", name), name), (name, unicodedata.normalize("NFD", name))):
        assert match_classes([data], [model, "b"], ["x", "y"]).index_of == {data: 0}


@pytest.mark.parametrize("own", [[str(index) for index in range(12)], [f"name {index}x" for index in range(12)]])
@pytest.mark.parametrize("last", [12, 7])
def test_numbers_that_count_from_1_are_refused_and_a_class_map_settles_them(own: list[str], last: int) -> None:
    data = [str(number) for number in range(1, last + 1)]
    with pytest.raises(InputError, match=rf"the numbers 1 to {last} for 12 classes .* --class-map 1=0"):
        match_classes(data, own, own)
    from_one = {name: str(int(name) - 1) for name in data}
    assert match_classes(data, own, own, from_one).index_of == {name: int(name) - 1 for name in data}
    assert match_classes(data[:-1], own, own, {name: name for name in data}).index_of["3"] == 3


def test_numbers_with_0_or_with_gaps_are_indices_and_names_are_names() -> None:
    own = [f"name {index}x" for index in range(12)]
    assert match_classes(["0", "1", "2"], own, own).index_of == {"0": 0, "1": 1, "2": 2}
    assert match_classes(["3", "7"], own, own).index_of == {"3": 3, "7": 7}
    names = [str(number) for number in range(1, 13)]  # the model itself counts from 1
    assert match_classes(names, names, names).index_of == {name: index for index, name in enumerate(names)}


def test_a_class_map_is_text_or_a_json_file(tmp_path: Path) -> None:
    assert class_map_from(" airplane = 404, a b=c ") == {"airplane": "404", "a b": "c"}
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"airplane": 404, "a": "b,c"}))
    assert class_map_from(str(file)) == {"airplane": "404", "a": "b,c"}
    for text in ("airplane", "=a", str(tmp_path / "none.json")):
        with pytest.raises(InputError, match="`--class-map`"):
            class_map_from(text)
    file.write_text("[1]")
    with pytest.raises(InputError, match="must hold pairs"):
        class_map_from(str(file))


def test_a_class_map_that_names_no_class_of_the_model_is_refused() -> None:
    """Left out without a word, its pictures would be missing from the numbers."""
    with pytest.raises(InputError, match=r"says that 'Boot' is 'ship', which is no class of the model \(boat, car\)"):
        match_classes(["Auto", "Boot"], ["boat", "car"], ["", ""], {"Boot": "ship", "Auto": "car"})
    match = match_classes(["Auto"], ["boat", "car"], ["", ""], {"Boot": "ship", "Auto": "car"})  # no Boot in this split
    assert match.index_of == {"Auto": 1}
