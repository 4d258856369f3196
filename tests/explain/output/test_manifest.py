"""A bundle is checked against its hashes and against maps that are computed again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bsig.explain.explainer import Explainer
from bsig.explain.output.manifest import (
    MANIFEST,
    TOLERANCE,
    BundleEntry,
    CheckRow,
    check_bundle,
    read_manifest,
    write_manifest,
)
from bsig.inputs.errors import InputError
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch
from bsig.model.weights import file_sha256

SETTINGS = {"method": "cam", "weights": "signed", "with_bias": False, "score_cam_channels": None}


@pytest.fixture(scope="module")
def written(perturbed_model: DualBranch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one explanation, its maps and numbers alone."""
    from bsig.explain.output.folder import write_explanation

    folder = tmp_path_factory.mktemp("bundle")
    explanation = Explainer(perturbed_model).encode(EXAMPLES / "cat.jpg", "squash").explain(574, **SETTINGS)
    write_explanation(explanation, folder / "cat", report=False)
    shutil.copyfile(EXAMPLES / "cat.jpg", folder / "cat" / "picture.jpg")
    write_manifest(folder, perturbed_model, SETTINGS, [BundleEntry("cat", "cat/picture.jpg", 574, "squash")])
    return folder


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def check(bundle: Path, model: DualBranch) -> list[CheckRow]:
    return list(check_bundle(bundle, lambda _name: model))


def relisted(bundle: Path, **changes: object) -> None:
    """Writes the manifest anew: with entries changed, and every hash as the file now is."""
    manifest = {**json.loads((bundle / MANIFEST).read_text(encoding="utf-8")), **changes}
    for name, entry in manifest["files"].items() if isinstance(manifest["files"], dict) else ():
        if (bundle / name).is_file():
            entry["sha256"] = file_sha256(bundle / name)
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_what_was_expected_is_predicted_again(bundle: Path, perturbed_model: DualBranch) -> None:
    (row,) = check(bundle, perturbed_model)
    assert row.agrees
    assert row.folder == "cat"
    assert row.expected_class == row.predicted_class == "Egyptian cat"
    names = set(json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))["files"])
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert names == there - {MANIFEST}


@pytest.mark.parametrize(("shift", "agrees"), [(0.5 * TOLERANCE, True), (2 * TOLERANCE, False)])
def test_a_map_may_differ_by_rounding_and_no_more(
    shift: float, agrees: bool, bundle: Path, perturbed_model: DualBranch
) -> None:
    values = np.load(bundle / "cat" / "sigmoid.npy")
    values[np.unravel_index(np.abs(values).argmin(), values.shape)] += shift * np.abs(values).max()
    np.save(bundle / "cat" / "sigmoid.npy", values)
    relisted(bundle)
    (row,) = check(bundle, perturbed_model)
    assert row.agrees == agrees
    assert row.difference == pytest.approx(shift, rel=0.05)


def test_another_model_or_a_map_of_another_shape_does_not_agree(
    bundle: Path, default_model: DualBranch, perturbed_model: DualBranch
) -> None:
    (row,) = check(bundle, default_model)  # not from files: neither has a hash, and the sigmoid heads differ
    assert not row.agrees
    np.save(bundle / "cat" / "softmax.npy", np.zeros((3, 3), np.float32))
    relisted(bundle)
    assert not check(bundle, perturbed_model)[0].agrees


@pytest.mark.parametrize("name", ["cat/picture.jpg", "cat/softmax.npy", "cat/explanation.json", "cat/comparison.png"])
def test_a_file_that_has_changed_or_is_missing_is_named(name: str, bundle: Path) -> None:
    with (bundle / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match=f"'{name}' has changed"):
        read_manifest(bundle)
    (bundle / name).unlink()
    with pytest.raises(InputError, match=f"has no file '{name}'"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": "other"}, "no manifest that this version"),
        ({"format_version": 2}, "no manifest that this version"),
        ({"explanations": [{"folder": "cat"}]}, "lacks or misspells"),
        (
            {"explanations": [{"folder": "../x", "picture": "p", "class_index": 0, "crop_mode": "center"}]},
            "lists no hash",
        ),
        ({"files": {}}, "lists no hash"),
        ({"files": []}, "lacks or misspells"),
        ({"settings": {**SETTINGS, "method": "smooth-cam"}}, "smooth-cam"),
        ({"settings": {"future": 1}}, "update bsig"),
        ({"checkpoint": {"name": "x", "tensors_sha256": "0" * 64}}, "another than the bundle's"),
    ],
)
def test_a_manifest_that_cannot_be_honoured_is_refused(
    changes: dict, sentence: str, bundle: Path, perturbed_model: DualBranch
) -> None:
    relisted(bundle, **changes)
    with pytest.raises(InputError, match=sentence) as caught:
        check(bundle, perturbed_model)
    assert "\n" not in str(caught.value)


def test_a_file_outside_the_bundle_is_never_read(bundle: Path, perturbed_model: DualBranch) -> None:
    outside = bundle.parent / "outside.jpg"
    shutil.copyfile(EXAMPLES / "cat.jpg", outside)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    for name in ("../outside.jpg", str(outside)):
        entry = {**manifest["explanations"][0], "picture": name}
        relisted(bundle, explanations=[entry], files={**manifest["files"], name: {"sha256": "", "bytes": 0}})
        with pytest.raises(InputError, match="has no file"):
            check(bundle, perturbed_model)


@pytest.mark.parametrize("content", [None, "", "[]", "{" * 100_000])
def test_a_folder_without_a_readable_manifest_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError, match="give the folder of a bundle"):
        read_manifest(tmp_path)
