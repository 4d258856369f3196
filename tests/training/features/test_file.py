"""The file of features: whole or not there, found while it is used, and gone when it is the oldest."""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bsig.inputs.errors import InputError
from bsig.inputs.paths import ROOT
from bsig.training.features import file as feature_file
from bsig.training.features.file import (
    FeatureFile,
    cache_limit,
    make_room,
    read_features,
    remove_left_behind,
)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 2, 5), dtype=np.float32)


@contextmanager
def feature_file_at(path: Path, count: int) -> Iterator[FeatureFile]:
    """Leaves nothing behind when the block ends badly."""
    file = FeatureFile(path, count, (2, 5))
    try:
        yield file
    finally:
        file.discard()


def stored(path: Path, count: int = 7, seed: int = 0) -> Path:
    with feature_file_at(path, count) as file:
        file.append(rows(count, seed))
        file.publish({})
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The operating system refuses to let any file of this process grow further: a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rows_written_in_parts_are_numpys_file_bit_for_bit(tmp_path: Path) -> None:
    with feature_file_at(tmp_path / "x.npy", 1000) as file:
        for part in np.array_split(rows(996), 13):
            file.append(part)
        assert read_features(tmp_path / "x.npy", 1000, 2) is None  # not there before it is whole
        file.publish({3: "broken", 9: "gone", 11: "cut", 12: "cut"})
    assert np.array_equal(np.load(tmp_path / "x.npy"), rows(996))
    content, unreadable = read_features(tmp_path / "x.npy", 1000, 2)
    assert np.array_equal(content, rows(996))
    assert unreadable == {3: "broken", 9: "gone", 11: "cut", 12: "cut"}
    assert names_in(tmp_path) == ["x.json", "x.npy"]


def test_the_space_is_taken_before_the_work(tmp_path: Path) -> None:
    file = FeatureFile(tmp_path / "x.npy", 1000, (2, 5))
    assert file.temporary.stat().st_size >= 40_000
    file.discard()
    with no_file_above(20_000), pytest.raises(OSError, match="File too large"):
        FeatureFile(tmp_path / "x.npy", 1000, (2, 5))
    assert names_in(tmp_path) == []


def test_a_large_file_is_mapped_and_never_changed_through_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path / "x.npy")
    monkeypatch.setattr(feature_file, "IN_MEMORY_BYTES", 10)
    content, _ = read_features(path, 7, 2)
    assert not content.flags.owndata
    before = path.read_bytes()
    content[0] = 9
    assert path.read_bytes() == before


def test_the_file_that_was_not_used_for_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = stored(tmp_path / "a.npy").stat().st_size
    for age, name in ((300, "a"), (200, "b"), (100, "c")):
        stored(tmp_path / f"{name}.npy")
        os.utime(tmp_path / f"{name}.npy", (time.time() - age,) * 2)
    assert read_features(tmp_path / "a.npy", 7, 2)  # used now
    monkeypatch.setenv("BSIG_CACHE_GB", str(3.5 * size / 1e9))
    make_room(tmp_path, size)
    assert names_in(tmp_path) == ["a.json", "a.npy", "c.json", "c.npy"]
    make_room(tmp_path, size)  # there is room already
    assert names_in(tmp_path) == ["a.json", "a.npy", "c.json", "c.npy"]


def test_a_file_in_use_stays_until_it_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path / "a.npy")
    size = path.stat().st_size
    monkeypatch.setattr(feature_file, "IN_MEMORY_BYTES", 10)
    monkeypatch.setenv("BSIG_CACHE_GB", str(1.5 * size / 1e9))
    content, _ = read_features(path, 7, 2)
    view = content[2:4]
    del content
    make_room(tmp_path, size)
    assert path.exists()
    assert np.array_equal(view, rows(7)[2:4])
    del view
    gc.collect()
    make_room(tmp_path, size)
    assert names_in(tmp_path) == []


def test_more_than_the_limit_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BSIG_CACHE_GB", "0.001")
    with pytest.raises(OSError, match=r"0\.002 GB are over the limit of 0\.001 GB that BSIG_CACHE_GB sets"):
        make_room(tmp_path, 2_000_000)
    for text in ("many", "-1", "nan", ""):
        monkeypatch.setenv("BSIG_CACHE_GB", text)
        with pytest.raises(InputError, match="`BSIG_CACHE_GB`"):
            cache_limit()
    monkeypatch.delenv("BSIG_CACHE_GB")
    assert cache_limit() == 20_000_000_000


WRITER = """
import sys, numpy as np, os
from pathlib import Path
from bsig.training.features.file import FeatureFile
file = FeatureFile(Path(sys.argv[1]), 1000, (2, 5))
file.append(np.ones((500, 2, 5), np.float32))
print("half", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_writer_left_is_never_used_and_is_taken_away_and_a_living_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as writer:
        assert writer.stdout.readline() == b"half\n"
        (left,) = tmp_path.iterdir()
        os.utime(left, (1, 1))  # old
        remove_left_behind(tmp_path)
        assert left.exists()  # its writer lives
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdin.close()
    assert left.exists()
    assert read_features(path, 1000, 2) is None
    os.utime(left)
    remove_left_behind(tmp_path)
    assert left.exists()  # just now: it may not have its lock yet
    os.utime(left, (1, 1))
    remove_left_behind(tmp_path)
    assert names_in(tmp_path) == []
