"""An address that holds no labelled pictures is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from indexes import refusal


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_folder_is_refused_with_what_to_do(tmp_path: Path, split: str) -> None:
    (tmp_path / "bare").mkdir()
    text = refusal(tmp_path / "bare", split)
    assert "'bare' holds no labelled pictures" in text
    assert "class folders" in text


@pytest.mark.parametrize("address", ["nowhere", "", "~nobody-of-that-name/x", "x" * 5000, "a\0b"])
def test_a_place_that_is_no_folder_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert address.replace("\0", " ") in refusal(address)
