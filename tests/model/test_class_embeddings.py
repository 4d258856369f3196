"""Files of class embeddings: each format gives the same matrix, names and numbers, or one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bsig.inputs.errors import InputError
from bsig.model.class_embeddings import ClassEmbeddings, class_embeddings_of, read_class_embeddings
from bsig.model.text_tower import write_class_embeddings

MATRIX = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
NAMES = ("ant", "bee", "cañón")


def _npy(path: Path) -> None:
    np.save(path, MATRIX.numpy())


def _npz(path: Path) -> None:
    np.savez(path, class_embeddings=MATRIX.numpy(), class_names=np.array(NAMES), logit_scale=112.5, logit_bias=-12.75)


def _pt(path: Path) -> None:
    scale = torch.tensor(112.5)
    torch.save({"text_features": MATRIX, "class_names": list(NAMES), "logit_scale": scale, "logit_bias": -12.75}, path)


def _pth(path: Path) -> None:
    torch.save(MATRIX.double(), path)


def _safetensors(path: Path) -> None:
    numbers = {"logit_scale": torch.tensor([112.5]), "logit_bias": torch.tensor(-12.75)}
    save_file({"class_embeddings": MATRIX, **numbers}, path, metadata={"class_names": json.dumps(NAMES)})


def _safetensors_half(path: Path) -> None:
    save_file({"anything": MATRIX.half()}, path)


FORMATS: dict[str, tuple[Callable[[Path], None], bool]] = {
    "a.npy": (_npy, False), "a.npz": (_npz, True), "a.pt": (_pt, True), "a.pth": (_pth, False),
    "a.safetensors": (_safetensors, True), "half.safetensors": (_safetensors_half, False),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_matrix_and_what_stands_beside_it(name: str, tmp_path: Path) -> None:
    write, says_all = FORMATS[name]
    write(tmp_path / name)
    embeddings = read_class_embeddings(tmp_path / name)
    expected = MATRIX.half().float() if name.startswith("half") else MATRIX
    assert torch.equal(embeddings.vectors, expected)
    values = (embeddings.class_names, embeddings.logit_scale, embeddings.logit_bias)
    assert values == ((NAMES, 112.5, -12.75) if says_all else (None, None, None))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_written_is_read_again(suffix: str, tmp_path: Path) -> None:
    embeddings = ClassEmbeddings(
        MATRIX, NAMES, 117.25, -12.5, made_with={"model": "ViT webli", "templates": '["a {}"]'}
    )
    from_disk = read_class_embeddings(write_class_embeddings(embeddings, tmp_path / f"classes{suffix}"))
    assert torch.equal(from_disk.vectors, MATRIX)
    assert (from_disk.class_names, from_disk.logit_scale, from_disk.logit_bias) == (NAMES, 117.25, -12.5)
    assert from_disk.made_with == embeddings.made_with
    without = write_class_embeddings(ClassEmbeddings(MATRIX), tmp_path / f"bare{suffix}")
    assert read_class_embeddings(without).class_names is None


def test_a_matrix_in_memory_is_taken_as_array_tensor_or_list() -> None:
    for source in (MATRIX, MATRIX.numpy(), MATRIX.tolist(), MATRIX.double()):
        assert torch.equal(class_embeddings_of(source).vectors, MATRIX)


def _saved(values: object, folder: Path) -> Path:
    torch.save(values, folder / "broken.pt")
    return folder / "broken.pt"


def _row(value: float) -> torch.Tensor:
    matrix = MATRIX.clone()
    matrix[1] = value
    return matrix


REFUSED: dict[str, tuple[object, str]] = {
    "NaN": (_row(float("nan")), r"row 1 of `class_embeddings` \('broken.pt'\) holds NaN"),
    "infinite": ({"e": _row(float("inf")), "class_names": list(NAMES)}, r"row 1 \('bee'\) .* holds NaN or infinite"),
    "zero": (_row(0.0), "row 1 .* is zero and has no direction"),
    "a vector": (MATRIX[0], r"is \(5,\) of float32; it must be a matrix"),
    "three axes": (MATRIX[None], r"is \(1, 3, 5\) of float32"),
    "whole numbers": (torch.ones(3, 5, dtype=torch.int64), r"is \(3, 5\) of int64"),
    "one class": (MATRIX[:1], "is 1 x 5; it must have a row for each of 2 to"),
    "two matrices": ({"a": MATRIX, "b": MATRIX}, r"holds a \(3, 5\), b \(3, 5\); .* or name it 'class_embeddings'"),
    "no tensor": ({"class_names": ["ant"]}, "holds no tensor"),
    "a list": ([MATRIX], "holds a list, no matrix"),
    "two names": ({"e": MATRIX, "class_names": ["ant", "bee"]}, "holds 2 names, .* has 3 rows"),
    "a name twice": ({"e": MATRIX, "class_names": ["ant", "bee", "ant"]}, "each name once"),
    "names of another kind": ({"e": MATRIX, "class_names": 7}, "must be a list of names"),
    "the logarithm of the scale": ({"e": MATRIX, "logit_scale": 4.6052}, r"logarithm .* store its exponential \(100\)"),
    "a scale below zero": ({"e": MATRIX, "logit_scale": -1.0}, "must be above 0 and at most 1000"),
    "a scale that is none": ({"e": MATRIX, "logit_scale": float("nan")}, "must be above 0"),
    "a bias that is none": ({"e": MATRIX, "logit_bias": float("nan")}, "must be a finite number"),
    "a bias of several": ({"e": MATRIX, "logit_bias": torch.zeros(3)}, "must be one number"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    content, sentence = REFUSED[kind]
    path = _saved(content, tmp_path)
    with pytest.raises(InputError, match=sentence) as error:
        read_class_embeddings(path)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt", "a.safetensors"])
def test_a_damaged_file_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    FORMATS[name][0](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 3])
    with pytest.raises(InputError, match=f"'{name}'"):
        read_class_embeddings(tmp_path / name)


def test_a_pickle_of_objects_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="without objects"):
        read_class_embeddings(tmp_path / "objects.npy")


def test_a_missing_file_and_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        read_class_embeddings(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"must be a \.npy, \.npz"):
        read_class_embeddings(tmp_path / "classes.csv")


def test_what_is_asked_for_goes_before_the_file() -> None:
    own = ClassEmbeddings(MATRIX, NAMES, 100.0, -10.0).with_settings(("x", "y", "z"), None, -3.0)
    assert (own.class_names, own.logit_scale, own.logit_bias) == (("x", "y", "z"), 100.0, -3.0)
