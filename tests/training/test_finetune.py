"""From a folder of pictures to a checkpoint that loads: on the default backbone, with its own head or a new one."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from generated import class_folders
from tolerances import FLOAT32, PROBABILITY, assert_close

from bsig.explain.diagnostics.shifted_model import doctored_model
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.model.backbones import Classifier
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import TENSORS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import PooledLinearHead
from bsig.model.weights import state_sha256
from bsig.training import finetune as finetuning
from bsig.training.config import (
    DampingConfig,
    FinetuneConfig,
    FlatShiftConfig,
    SoftmaxHeadConfig,
    TrainingConfig,
    Views,
)
from bsig.training.finetune import Finetuned, check_shipped_settings, encoded_data, finetune_on, start_model
from bsig.training.loop.epoch import Epoch

NEW_HEAD = FinetuneConfig(softmax_head=SoftmaxHeadConfig(epochs=12), training=TrainingConfig(epochs=2, batch_size=4))
OWN_HEAD = FinetuneConfig(training=TrainingConfig(epochs=2, batch_size=4, learning_rate=0.1))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    names = {"001.Red_Patch": "red", "002.green": "green", "blue": "blue"}
    return read_dataset(class_folders(tmp_path_factory.mktemp("colours") / "colours", names))


@pytest.fixture(scope="module")
def imagenet_images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    names = {"n01440764": "red", "n03445777_golf_ball": "green", "unicorn": "blue"}
    return read_dataset(class_folders(tmp_path_factory.mktemp("wordnet") / "wordnet", names))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests of this file: each picture is encoded once."""
    return tmp_path_factory.mktemp("features")


def finetune(images: LabelledImages, out: Path, config: FinetuneConfig, cache: Path, **options: Any) -> Finetuned:
    return finetuning.finetune(images, out, config, cache_folder=cache, **options)


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        finetune(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_label_set_gets_a_softmax_head_of_its_own_and_then_its_sigmoid_branch(
    images: LabelledImages, tmp_path: Path, cache: Path, default_classifier: Classifier
) -> None:
    before = state_sha256(default_classifier.encoder, default_classifier.head)
    epochs: list[Epoch] = []
    result = finetune(
        images, tmp_path / "colours3", NEW_HEAD, cache, on_epoch=lambda epoch, _head: epochs.append(epoch)
    )
    assert state_sha256(default_classifier.encoder, default_classifier.head) == before
    assert names_in(tmp_path) == ["colours3"]  # no state, no temporary folder
    model = load_checkpoint(tmp_path / "colours3")
    assert model.class_names == ("Red Patch", "green", "blue")
    assert model.class_ids == ("001.Red_Patch", "002.green", "blue")
    assert model.encoder is default_classifier.encoder
    assert torch.equal(model.softmax_head.linear.weight, result.model.softmax_head.linear.weight)
    assert torch.equal(model.sigmoid_head.linear.weight, result.model.sigmoid_head.linear.weight)
    assert not torch.equal(model.sigmoid_head.linear.weight, model.softmax_head.linear.weight)
    assert [epoch.number for epoch in epochs] == [1, 2] == [epoch.number for epoch in result.history]
    assert epochs[-1].softmax_accuracy == 1.0  # coloured patches can be told apart
    metadata = model.metadata
    assert metadata["training"]["positive_weight"] == 2
    assert metadata["training"]["softmax_head"]["epochs"] == 12
    assert metadata["data"] == {
        "name": "colours", "split": "train", "images": 12, "classes_seen": 3, "classes_unmatched": [], "unreadable": [],
    }  # fmt: skip
    assert len(metadata["history"]) == 2


def test_folders_named_by_wordnet_id_train_the_thousand_class_head_and_the_rest_is_listed(
    imagenet_images: LabelledImages, tmp_path: Path, cache: Path, default_classifier: Classifier
) -> None:
    result = finetune(imagenet_images, tmp_path / "two", replace(OWN_HEAD, half_precision=True), cache)
    assert result.match.index_of == {"n01440764": 0, "n03445777_golf_ball": 574}
    assert result.match.unmatched == ("unicorn",)
    model = load_checkpoint(tmp_path / "two")
    assert model.num_classes == 1000
    for name, value in default_classifier.head.state_dict().items():
        assert torch.equal(model.softmax_head.state_dict()[name], value)
    assert not torch.equal(model.sigmoid_head.linear.weight, default_classifier.head.linear.weight)
    assert model.metadata["data"]["images"] == 8
    assert model.metadata["data"]["classes_unmatched"] == ["unicorn"]
    assert model.metadata["training"]["softmax_head"] == "as published"


def test_a_shift_branch_stores_k_plus_one_numbers_and_moves_no_softmax_probability(
    imagenet_images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    config = replace(OWN_HEAD, training=replace(OWN_HEAD.training, branch="shift"))
    finetune(imagenet_images, tmp_path / "shift", config, cache)
    assert (tmp_path / "shift" / TENSORS).stat().st_size < 6000
    model = load_checkpoint(tmp_path / "shift")
    assert model.branch_kind == "shift"
    features = model.features(torch.randn(2, 3, 96, 96))
    with torch.no_grad():
        softmax, sigmoid = model.softmax_logits(features), model.sigmoid_logits(features)
    assert_close(sigmoid.softmax(dim=1), softmax.softmax(dim=1), PROBABILITY)
    assert (sigmoid - softmax).abs().min() > 1e-3


def test_the_same_command_gives_the_same_tensors_byte_for_byte(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    contents = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        softmax_head, training = SoftmaxHeadConfig(epochs=2), TrainingConfig(epochs=1, batch_size=4, seed=seed)
        config = FinetuneConfig(softmax_head=softmax_head, training=training)
        finetune(images, tmp_path / name, config, cache)
        contents.append((tmp_path / name / TENSORS).read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("config", [NEW_HEAD, replace(OWN_HEAD, training=replace(OWN_HEAD.training, branch="shift"))])
def test_a_run_broken_off_leaves_no_checkpoint_and_resumed_gives_the_unbroken_one(
    imagenet_images: LabelledImages, tmp_path: Path, cache: Path, config: FinetuneConfig
) -> None:
    def stop(epoch: Epoch, head: PooledLinearHead) -> None:
        raise KeyboardInterrupt

    finetune(imagenet_images, tmp_path / "whole", config, cache)
    with pytest.raises(KeyboardInterrupt):
        finetune(imagenet_images, tmp_path / "broken", config, cache, on_epoch=stop)
    assert names_in(tmp_path) == [".broken.training", "whole"]
    epochs: list[Epoch] = []
    finetune(
        imagenet_images,
        tmp_path / "broken",
        config,
        cache,
        resume=True,
        on_epoch=lambda epoch, _head: epochs.append(epoch),
    )
    assert [epoch.number for epoch in epochs] == [2]
    assert names_in(tmp_path) == ["broken", "whole"]
    assert (tmp_path / "broken" / TENSORS).read_bytes() == (tmp_path / "whole" / TENSORS).read_bytes()


def test_a_checkpoint_can_be_the_start_of_another_and_keeps_its_softmax_branch(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    first = finetune(images, tmp_path / "first", NEW_HEAD, cache).model
    config = replace(OWN_HEAD, start_from="first")
    second = finetune(images, tmp_path / "second", config, cache, checkpoints_folder=tmp_path).model
    assert torch.equal(second.softmax_head.linear.weight, first.softmax_head.linear.weight)
    assert second.class_names == first.class_names
    assert load_checkpoint(tmp_path / "second").metadata["training"]["start_from"] == "first"


def test_a_doctored_softmax_branch_stays_marked_under_a_new_sigmoid_branch_and_not_under_a_new_softmax_head(
    imagenet_images: LabelledImages, tmp_path: Path, cache: Path, default_model: DualBranch
) -> None:
    model, description = doctored_model(default_model, torch.full((1280,), 0.01), "delta 0.01")
    save_checkpoint(model, tmp_path / "doctored", doctored=description)
    for name, config in (("kept", OWN_HEAD), ("anew", NEW_HEAD)):
        config = replace(config, start_from=str(tmp_path / "doctored"))
        finetune(imagenet_images, tmp_path / name, config, cache)
    assert load_checkpoint(tmp_path / "kept").metadata["doctored"]["how"] == "delta 0.01"
    assert "doctored" not in load_checkpoint(tmp_path / "anew").metadata


def test_augmented_views_train_too_and_are_told_in_the_json(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    finetune(images, tmp_path / "views", replace(NEW_HEAD, views=Views(2, seed=4)), cache)
    views = load_checkpoint(tmp_path / "views").metadata["training"]["views"]
    assert views == {"count": 2, "smallest_area": 0.35, "seed": 4}


def test_a_picture_that_cannot_be_read_is_left_out_and_listed(tmp_path: Path, cache: Path) -> None:
    folder = class_folders(tmp_path / "images", {"a": "red", "b": "blue"}, count=2)
    (folder / "a" / "bad.jpg").write_bytes(b"not a picture")
    result = finetune(read_dataset(folder), tmp_path / "out", NEW_HEAD, cache)
    assert len(result.unreadable) == 1
    assert "a/bad.jpg" in result.unreadable[0]
    description = load_checkpoint(tmp_path / "out").metadata["data"]
    assert description["images"] == 4
    assert description["unreadable"] == list(result.unreadable)


# Parts of a run, and runs that end early.


def test_features_in_hand_give_the_checkpoint_that_the_pictures_give(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    finetune(images, tmp_path / "whole", NEW_HEAD, cache)
    start = start_model(NEW_HEAD)
    data = encoded_data(start, images, NEW_HEAD, cache_folder=cache)
    result = finetune_on(start, data, tmp_path / "parts", NEW_HEAD)
    assert data.class_names == images.class_names
    assert data.match.index_of == {"001.Red_Patch": 0, "002.green": 1, "blue": 2}
    assert result.stopped is None
    assert (tmp_path / "parts" / TENSORS).read_bytes() == (tmp_path / "whole" / TENSORS).read_bytes()


def test_held_out_pictures_are_measured_after_each_epoch_and_told(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    folder = class_folders(tmp_path / "held", {"001.Red_Patch": "red", "blue": "blue", "violet": "blue"}, count=2)
    held_out = replace(read_dataset(folder), split="val")
    result = finetune(images, tmp_path / "out", NEW_HEAD, cache, held_out=held_out)
    metadata = load_checkpoint(tmp_path / "out").metadata
    assert metadata["data"]["held_out"] == {"split": "val", "images": 4}
    assert [epoch["held_out_softmax_accuracy"] for epoch in metadata["history"]] == [1.0, 1.0]
    assert metadata["history"][1]["held_out_loss"] == result.history[1].held_out_loss > 0
    finetune(images, tmp_path / "without", NEW_HEAD, cache)
    assert (tmp_path / "out" / TENSORS).read_bytes() == (tmp_path / "without" / TENSORS).read_bytes()


def test_held_out_pictures_of_other_classes_are_told_and_left_out(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    other = read_dataset(class_folders(tmp_path / "held", {"violet": "blue"}, count=1))
    notes: list[str] = []
    result = finetune(images, tmp_path / "out", NEW_HEAD, cache, held_out=other, on_note=notes.append)
    assert notes[0] == "no picture of split 'train' has a class that is trained: nothing is held out."
    assert result.history[0].held_out_loss is None


def test_a_stopped_run_leaves_the_checkpoint_of_its_last_epoch_and_can_go_on(
    imagenet_images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    finetune(imagenet_images, tmp_path / "whole", OWN_HEAD, cache)
    heads: list[PooledLinearHead] = []
    result = finetune(
        imagenet_images, tmp_path / "run", OWN_HEAD, cache,
        on_epoch=lambda _epoch, head: heads.append(head), should_stop=lambda: bool(heads),
    )  # fmt: skip
    assert result.stopped == "stopped on request before epoch 2, step 1 of 2."
    model = load_checkpoint(tmp_path / "run")
    assert torch.equal(model.sigmoid_head.linear.weight, heads[0].linear.weight)
    description = model.metadata["training"]
    assert (description["finished_epochs"], description["epochs"], description["stopped"]) == (1, 2, result.stopped)
    assert len(model.metadata["history"]) == 1
    assert names_in(tmp_path) == [".run.training", "run", "whole"]
    assert finetune(imagenet_images, tmp_path / "run", OWN_HEAD, cache, resume=True).stopped is None
    assert names_in(tmp_path) == ["run", "whole"]
    assert (tmp_path / "run" / TENSORS).read_bytes() == (tmp_path / "whole" / TENSORS).read_bytes()
    assert "stopped" not in load_checkpoint(tmp_path / "run").metadata["training"]


@pytest.mark.parametrize("config", [NEW_HEAD, OWN_HEAD])
def test_a_run_stopped_before_its_first_epoch_leaves_nothing(
    imagenet_images: LabelledImages, tmp_path: Path, config: FinetuneConfig
) -> None:
    for cache in (None, tmp_path / "features"):
        with pytest.raises(StoppedEarly, match="stopped on request after 0 of"):
            finetune(imagenet_images, tmp_path / "out", config, cache, should_stop=lambda: True)
    assert names_in(tmp_path) == []


# What is refused, and when.


def test_classes_of_which_none_is_the_models_are_refused_with_what_to_do(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    text = refusal(images, tmp_path / "out", OWN_HEAD, cache)
    assert "none of the 3 classes of 'colours' (e.g. '001.Red_Patch')" in text
    assert "--fit-softmax-head" in text
    assert names_in(tmp_path) == []


def test_one_class_is_refused(tmp_path: Path, cache: Path) -> None:
    images = read_dataset(class_folders(tmp_path / "images", {"a": "red"}, count=1))
    assert "at least 2" in refusal(images, tmp_path / "out", NEW_HEAD, cache)
    assert names_in(tmp_path) == ["images"]


@pytest.mark.parametrize("name", ["colours", "-x", ""])
def test_a_place_that_must_not_be_written_is_refused_before_a_picture_is_encoded(
    tmp_path: Path, cache: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = class_folders(tmp_path / "colours", {"a": "red", "b": "blue"}, count=1)
    monkeypatch.setattr(finetuning, "split_features", lambda *_, **__: pytest.fail("encodes"))
    out = tmp_path / name if name else Path("/")
    assert "name" in refusal(read_dataset(folder), out, NEW_HEAD, cache)
    assert len(list(folder.rglob("*.png"))) == 2


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (FinetuneConfig(backbone="no_such_model"), "`backbone` (='no_such_model')"),
        (FinetuneConfig(start_from="no-such-checkpoint"), "`checkpoint` (='no-such-checkpoint')"),
        (FinetuneConfig(device="tpu"), "`device` (='tpu')"),
    ],
)
def test_an_unknown_start_or_device_is_refused_by_name(
    images: LabelledImages, tmp_path: Path, cache: Path, config: FinetuneConfig, sentence: str
) -> None:
    assert sentence in refusal(images, tmp_path / "out", config, cache)


# Closed forms.


def test_flat_shift_damping_and_branch_share_one_encoding(
    images: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    features = DualBranch.features

    def counted(self: DualBranch, inputs: torch.Tensor) -> torch.Tensor:
        rows.append(len(inputs))
        return features(self, inputs)

    monkeypatch.setattr(DualBranch, "features", counted)
    config = replace(NEW_HEAD, flat_shift=FlatShiftConfig(absent_area=0.3), damping=DampingConfig())
    finetune(images, tmp_path / "first", config, tmp_path / "cache")
    assert sum(rows) == 2 * 12  # the crop and the whole of each picture, once
    rows.clear()
    finetune(images, tmp_path / "again", config, tmp_path / "cache")
    assert sum(rows) == 2 * 12  # pooled features are kept, feature maps are not
    first, second = (load_checkpoint(tmp_path / name) for name in ("first", "again"))
    assert_close(second.sigmoid_head.linear.weight, first.sigmoid_head.linear.weight.detach().numpy(), FLOAT32)
    assert second.metadata["training"]["flat_shift"]["pictures"] == 12
    assert second.metadata["training"]["damping"] == asdict(DampingConfig())


def test_features_without_feature_maps_refuse_what_needs_them(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    start = start_model(OWN_HEAD)
    data = encoded_data(start, images, NEW_HEAD, cache_folder=cache)
    for name, part in (("flat_shift", FlatShiftConfig()), ("damping", DampingConfig())):
        with pytest.raises(InputError, match=rf"`{name}` needs feature maps"):
            finetune_on(start, data, tmp_path / "out", replace(NEW_HEAD, **{name: part}))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"flat_shift": FlatShiftConfig()}, "flat_shift"),
        ({"damping": DampingConfig()}, "damping"),
        ({"encode_every_step": True}, "encode_every_step"),
        ({"views": Views(3)}, "views"),
    ],
)
def test_the_shipped_features_refuse_by_name_what_needs_pictures(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=rf"`{name}` cannot be had of the shipped features"):
        check_shipped_settings(replace(OWN_HEAD, **settings))


# Presence at the end of a fine-tune.


@pytest.fixture(scope="module")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    names = {"001.Red_Patch": "red", "002.green": "green", "blue": "blue"}
    return read_dataset(class_folders(tmp_path_factory.mktemp("many") / "colours", names, count=8))


@pytest.mark.parametrize(
    ("training", "closed_forms"),
    [
        ({}, {}),
        pytest.param({"branch": "shift"}, {"flat_shift": FlatShiftConfig()}, marks=pytest.mark.nightly),
        pytest.param({}, {"flat_shift": FlatShiftConfig(), "damping": DampingConfig()}, marks=pytest.mark.nightly),
    ],
)
def test_a_fine_tune_ends_with_a_calibration_and_a_line_that_says_on_what(
    training: dict[str, Any], closed_forms: dict[str, Any], many_images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    notes: list[str] = []
    config = replace(NEW_HEAD, training=replace(NEW_HEAD.training, **training))
    config = replace(config, **closed_forms)
    result = finetune(many_images, tmp_path / "calibrated", config, cache, on_note=notes.append)
    presence = load_checkpoint(tmp_path / "calibrated").presence
    assert presence is not None
    assert presence == result.model.presence
    assert presence.source == "24 training pictures of 'colours', each read by a branch that was trained without it"
    assert [note for note in notes if note.startswith("presence calibrated on 24 training pictures")]
    # The kept branch is the one that is trained without a calibration.
    finetune(many_images, tmp_path / "plain", replace(config, calibrate=False), cache, on_note=notes.append)
    plain = load_checkpoint(tmp_path / "plain")
    assert plain.presence is None
    assert torch.equal(plain.sigmoid_head.linear.weight, result.model.sigmoid_head.linear.weight)
    assert sum(note.startswith("presence") for note in notes) == 1


def test_where_presence_cannot_be_calibrated_the_checkpoint_is_written_and_the_reason_said(
    images: LabelledImages, tmp_path: Path, cache: Path
) -> None:
    notes: list[str] = []
    finetune(images, tmp_path / "few", NEW_HEAD, cache, on_note=notes.append)
    assert load_checkpoint(tmp_path / "few").presence is None
    assert [note for note in notes if note.startswith("presence is not calibrated: 12 training pictures are too few")]
