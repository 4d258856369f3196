"""A form becomes a run: its folder is whole, its zip was unpacked once, and a refused run leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image
from bsig.training.runs.folder import DATA, PROBE, RunFolder
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune import uploads
from bsig.ui.screens.finetune.fields import checked_data
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.new_run import create_run, form_check
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path


def test_the_forms_values_arrive_in_the_request(bench: Workbench, runs: RunFolder, pictures_zip: str) -> None:
    form = Form(
        "zip", pictures_zip, labels="new", start="timm: tf_efficientnet_lite0", branch="shift", epochs=4, seed=5,
        learning_rate=0.5, positive_weight=3, views=2, device="cpu",
    )  # fmt: skip
    name = create_run(form, bench, runs, "my colours", str(PICTURE), "golf ball")
    run = runs.read(name)
    training = run.request.config.training
    assert (name, training.branch, training.epochs, training.seed) == ("my-colours", "shift", 4, 5)
    assert (training.learning_rate, training.positive_weight, run.request.config.views.count) == (0.5, 3, 2)
    assert run.request.config.softmax_head is not None
    assert run.request.config.backbone == "tf_efficientnet_lite0"
    assert run.request.probe_class == "golf ball"
    assert sorted(path.name for path in Path(run.request.address).iterdir()) == ["green", "red"]
    assert (run.folder / "probe.png").is_file()
    check = form_check(form, bench)
    assert check is not None
    assert check.counts == {"green": 3, "red": 3}


def test_a_zip_or_a_probe_that_is_refused_leaves_no_run(bench: Workbench, runs: RunFolder, tmp_path: Path) -> None:
    before = runs.names()
    bad = tmp_path / "bad.zip"
    bad.write_text("no zip")
    with pytest.raises(InputError, match="not a whole zip"):
        create_run(Form("zip", str(bad)), bench, runs, "bad")
    with pytest.raises(InputError, match="probe picture"):
        create_run(Form(), bench, runs, "bad", probe=str(bad))
    assert runs.names() == before


def test_a_zip_is_unpacked_and_listed_once_for_check_counts_and_run(
    bench: Workbench, runs: RunFolder, pictures_zip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str) -> Any:
        real = getattr(uploads, name)

        def call(*arguments: Any) -> Any:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("extract_zip", "train_and_held_out"):
        monkeypatch.setattr(uploads, name, counted(name))
    form = Form("zip", pictures_zip, epochs=1)
    with pytest.raises(InputError, match="at least 2 are needed"):  # these are no classes of ImageNet
        form_check(form, bench)
    form = Form("zip", pictures_zip, labels="new", epochs=1)
    check = form_check(form, bench)
    assert check is not None
    run = runs.read(create_run(form, bench, runs, "once"))
    assert calls == ["extract_zip", "train_and_held_out"]
    assert sorted(path.name for path in (run.folder / DATA).iterdir()) == ["green", "red"]
    second = runs.read(create_run(form, bench, runs, "again"))  # the first run has taken the pictures over
    assert calls == ["extract_zip", "train_and_held_out"] * 2
    assert sorted(path.name for path in Path(second.request.address).iterdir()) == ["green", "red"]


def test_own_pictures_are_watched_on_one_of_their_own_with_its_class_named(
    bench: Workbench, runs: RunFolder, pictures_zip: str
) -> None:
    run = runs.read(create_run(Form("zip", pictures_zip, labels="new", epochs=1), bench, runs, "own probe"))
    assert run.request.probe_class in ("red", "green")
    red, green, blue = read_image(run.folder / PROBE).resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert {"red": red, "green": green}[run.request.probe_class] > max(blue, 60)
    shipped = runs.read(create_run(Form(epochs=1), bench, runs, "no pictures here"))
    assert not (shipped.folder / PROBE).exists()
    assert shipped.request.probe_class is None


def test_data_without_the_models_classes_is_offered_a_new_label_set(bench: Workbench, pictures_zip: str) -> None:
    plain = checked_data(Form("zip", pictures_zip), bench)
    assert plain.offers_new_labels
    assert plain.classes is None
    assert 'role="alert"' in plain.words
    with_new_labels = checked_data(Form("zip", pictures_zip, labels="new"), bench)
    assert (with_new_labels.classes, with_new_labels.offers_new_labels) == (2, False)
    wrong = checked_data(Form("zip", pictures_zip, labels="new", learning_rate=-1), bench)
    assert (wrong.classes, wrong.offers_new_labels) == (None, False)
