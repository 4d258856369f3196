"""An uploaded zip is unpacked once, and goes when another one comes or its visitor leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsig.inputs.errors import InputError
from bsig.inputs.zips import ZipLimits
from bsig.ui.screens.finetune.uploads import Uploads

LIMITS = ZipLimits()


def test_one_upload_is_kept_and_another_takes_its_place(pictures_zip: str, tmp_path: Path) -> None:
    uploads = Uploads()
    with uploads.unpacked(pictures_zip, LIMITS) as first, uploads.unpacked(pictures_zip, LIMITS) as same:
        assert same is first
        assert first.splits(0) is first.splits(0)
    other = tmp_path / "other.zip"
    other.write_bytes(Path(pictures_zip).read_bytes())
    with uploads.unpacked(str(other), LIMITS) as second:
        assert not first.root.exists()
        assert second.root.is_dir()
    uploads.clear()
    assert not second.root.exists()


def test_what_a_run_takes_over_lies_there_whole_and_is_unpacked_anew_for_the_next(
    pictures_zip: str, tmp_path: Path
) -> None:
    uploads = Uploads()
    with uploads.unpacked(pictures_zip, LIMITS) as upload:
        root = upload.move_to(tmp_path / "run")
    assert sorted(path.name for path in root.iterdir()) == ["green", "red"]
    uploads.clear()
    assert root.is_dir()
    with uploads.unpacked(pictures_zip, LIMITS) as second:
        assert second.root != root
    uploads.clear()


def test_a_zip_that_is_refused_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "bad.zip").write_text("no zip")
    with pytest.raises(InputError, match="not a whole zip"), Uploads().unpacked(str(tmp_path / "bad.zip"), LIMITS):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zip"]
