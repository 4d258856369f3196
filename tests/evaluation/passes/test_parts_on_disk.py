"""Parts on disk: kept for the same question, thrown away for another, never in the place of other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bsig.evaluation.passes.parts_on_disk import PartialResults
from bsig.inputs.errors import InputError


def test_parts_of_the_same_question_are_found_again_and_others_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    parts = PartialResults(folder, "one question")
    parts.write("a", {"x": np.arange(3)})
    parts.write("b", {"x": np.arange(3, 5)})
    second = PartialResults(folder, "one question")
    assert second.has("a")
    assert not second.has("c")
    assert second.rows(["a", "b"], "x").tolist() == [0, 1, 2, 3, 4]
    assert not PartialResults(folder, "another question").has("a")
    assert not (folder / "a.npz").exists()


def test_a_part_that_fails_half_way_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = PartialResults(tmp_path / "parts", "a question")

    def full_disk(file: object, **arrays: object) -> None:
        file.write(b"PK")  # type: ignore[attr-defined]
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(InputError, match=r"partial results cannot be written to .*no space left"):
        parts.write("a", {"x": np.arange(3)})
    assert not parts.has("a")
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["fingerprint.txt"]


def test_a_cut_file_does_not_count_as_a_part(tmp_path: Path) -> None:
    parts = PartialResults(tmp_path / "parts", "a question")
    parts.write("a", {"x": np.arange(300)})
    content = (tmp_path / "parts" / "a.npz").read_bytes()
    (tmp_path / "parts" / "a.npz").write_bytes(content[: len(content) // 2])
    assert not parts.has("a")


def test_other_files_stay_and_what_a_killed_writer_left_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        PartialResults(tmp_path / "mine", "a question")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / ".fingerprint.txt.00ff.partial").write_text("a que")
    PartialResults(tmp_path / "left", "a question").write("a", {"x": np.zeros(1)})
