"""The page on own models holds the tables as they are measured now."""

from __future__ import annotations

import pytest
from own_models_table import PAGE, files_table, options_table
from own_weights import AVERAGES, BLOCKED, PRECISIONS, WRAPPINGS

REMEDY = "run `python tests/support/own_models_table.py` and copy its tables"


def test_the_page_has_a_row_for_every_option_and_every_kind_of_file() -> None:
    page = PAGE.read_text(encoding="utf-8")
    good_rows = [f"| {name} | loaded |" for name in (*WRAPPINGS, *PRECISIONS, *AVERAGES)]
    bad_rows = [f"| {name} | refused |" for name in BLOCKED]
    absent = [row for row in (*options_table().splitlines(), *good_rows, *bad_rows) if row not in page]
    assert not absent, f"{REMEDY}: {absent[0]}"


@pytest.mark.nightly
def test_the_page_tells_what_is_said_of_each_file() -> None:
    page = PAGE.read_text(encoding="utf-8")
    # What torch and numpy call what blocks a file differs between their versions.
    rows = [row.partition(" refused |")[0] for row in files_table().splitlines()]
    absent = [row for row in rows if row not in page]
    assert not absent, f"{REMEDY}: {absent[0]}"
