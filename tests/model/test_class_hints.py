"""Who types a class that is not there is offered the nearest in meaning, before the nearest in letters."""

from __future__ import annotations

from bsig.model.class_hints import near_class_names

NAMES = ("oystercatcher", "tiger cat", "tabby", "catamaran", "golden retriever", "golf ball", "golfcart")
IDS = ("n02033041", "n02123159", "n02123045", "n02981792", "n02099601", "n03445777", "golfcart")


def near(text: str) -> list[str]:
    return near_class_names(text, NAMES, IDS)


def test_a_word_in_the_name_or_its_synonyms_comes_before_the_same_letters() -> None:
    assert near("cat") == ["tiger cat", "tabby", "oystercatcher", "catamaran"]  # WordNet: 'tabby, tabby cat'
    assert near("Cats") == ["tiger cat", "tabby"]  # no name holds the letters 'cats'


def test_a_description_is_read_where_no_name_has_the_word() -> None:
    assert near("sailboat") == ["catamaran"]  # 'a sailboat with two parallel hulls ...'


def test_a_misspelled_name_is_known() -> None:
    assert near("golden retreiver")[0] == "golden retriever"


def test_all_words_come_before_any_of_them() -> None:
    assert near("cat ball")[:3] == ["tiger cat", "tabby", "golf ball"]
    assert near("golf ball") == ["golf ball"]


def test_what_is_near_to_nothing_gives_nothing() -> None:
    assert near("zzzz") == near("") == near("²!") == []
