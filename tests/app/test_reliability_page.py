"""The reliability page names every attack that is tested, and tests every one that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "assets" / "docs" / "reliability.md"
FILES = (
    "app/test_attacks.py",
    "app/test_attacks_on_requests.py",
    "app/test_server.py",
    "nightly/test_fuzz.py",
    "nightly/test_faults.py",
    "nightly/test_disk.py",
    "browser/test_hostile_names.py",
)


def _tests_of(file: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", (TESTS / file).read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("file", FILES)
def test_every_attack_stands_on_the_page(file: str) -> None:
    page = PAGE.read_text()
    assert file in page
    assert {name for name in _tests_of(file) if f"`{name}`" not in page} == set()


def test_every_test_that_the_page_names_is_there() -> None:
    there = set().union(*(_tests_of(file) for file in (*FILES, "cli/bench/test_load.py")))
    assert set(re.findall(r"`(test_\w+)`", PAGE.read_text())) - there == set()
