"""The tables of the documents are those that the commands print."""

from __future__ import annotations

import pytest
import timm

from bsig.cli.tables import FAMILIES, head_table
from bsig.inputs.paths import ASSETS


def test_every_family_of_the_table_names_a_network_that_timm_has() -> None:
    assert all(timm.is_model(name) for name, _, _ in FAMILIES.values())


@pytest.mark.nightly
def test_the_documents_table_of_heads_is_the_one_that_is_measured() -> None:
    assert head_table() in (ASSETS / "docs" / "heads.md").read_text(encoding="utf-8")
