"""What is said of a data set before training is true of it: counts, matches, held-out pictures, unreadable files."""

from __future__ import annotations

from pathlib import Path

import pytest
from generated import class_folders

from bsig.inputs.datasets.splits import train_and_held_out
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.training.data_check import DataCheck, check_splits, encoding_rate
from bsig.training.runs.words import check_words
from bsig.ui.screens.finetune.run import check_html

NAMES = {"n01440764_tench": "red", "golf ball": "green", "unicorn": "blue"}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "data", NAMES, count=10)


def checked(address: Path, model: DualBranch, *, new_head: bool = False) -> DataCheck:
    return check_splits(
        train_and_held_out(str(address), seed=0), model, new_head=new_head, views=1, epochs=3, batch_size=32
    )


def test_counts_matches_and_unreadable_files(folders: Path, default_model: DualBranch) -> None:
    (folders / "golf ball" / "broken.png").write_text("no picture")
    check = checked(folders, default_model)
    assert check.match.index_of == {"n01440764_tench": 0, "golf ball": 574}
    assert check.match.unmatched == ("unicorn",)
    assert sum(check.counts.values()) + 3 == 31  # one of each class is held out, two of them can be used
    assert check.held_out == 2
    assert check.usable == sum(check.counts.values()) - check.counts["unicorn"]
    assert [text.split("'")[1] for text in check.unreadable] == ["golf ball/broken.png"]
    words = check_words(check, new_head=False)
    assert f"{check.usable} pictures to train on, 2 held out" in words  # the unicorn's are not counted
    assert "2 of 3 classes are the model's" in words
    assert "1 file cannot be read" in words
    table = check_html(check, default_model.class_names, new_head=False)
    assert table.index("unicorn") < table.index("golf ball")  # what did not match comes first
    assert "no such class: left out" in table


def test_names_of_folders_are_shown_as_text(tmp_path: Path, default_model: DualBranch) -> None:
    names = {"<img src=x onerror=alert(1)>": "red", "b": "green"}
    check = checked(class_folders(tmp_path / "data", names), default_model, new_head=True)
    assert "<img" not in check_html(check, default_model.class_names, new_head=True)


def test_one_class_too_little_that_matches_and_nothing_readable_are_refused(
    tmp_path: Path, default_model: DualBranch
) -> None:
    folder = class_folders(tmp_path / "one", {"golf ball": "red"})
    with pytest.raises(InputError, match=r"holds one class \('golf ball'\).* at least 2"):
        checked(folder, default_model, new_head=True)
    strange = class_folders(tmp_path / "strange", {"golf ball": "red", "unicorn": "blue"})
    with pytest.raises(InputError, match=r"1 of the 2 classes .* choose 'a new label set'"):
        checked(strange, default_model)
    assert checked(strange, default_model, new_head=True).match.unmatched == ()
    for name in ("a", "b"):
        (tmp_path / "text" / name).mkdir(parents=True)
        (tmp_path / "text" / name / "x.png").write_text("text")
    with pytest.raises(InputError, match=r"none of the pictures .* can be read"):
        checked(tmp_path / "text", default_model, new_head=True)


def test_the_estimate_grows_with_pictures_views_and_epochs(folders: Path, default_model: DualBranch) -> None:
    splits = train_and_held_out(str(folders), seed=0)
    small = check_splits(splits, default_model, new_head=True, views=1, epochs=1, batch_size=8)
    large = check_splits(splits, default_model, new_head=True, views=4, epochs=10, batch_size=8)
    assert 0 < small.seconds_encoding < large.seconds_encoding
    assert 0 < small.seconds_training < large.seconds_training
    assert encoding_rate(default_model) == encoding_rate(default_model)  # measured once
