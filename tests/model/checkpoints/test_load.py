"""The shipped checkpoints load; tensors that were changed, cut, swapped or invented are refused in one sentence."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_folders import change_entries, change_tensors, entries_of, refusal, rehash, same

from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.backbones import Classifier, classifier_from_timm
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION, RESULTS, TENSORS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch

SHIPPED = ["birds10-efficientnet_lite0", "imagenet1k-efficientnet_lite0", "imagenet1k-efficientnet_lite0-shift"]


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


def test_a_file_cut_short_is_refused_by_its_hash(checkpoint_folder: Path) -> None:
    content = (checkpoint_folder / TENSORS).read_bytes()
    (checkpoint_folder / TENSORS).write_bytes(content[: len(content) // 2])
    assert "cut short or changed; copy it again" in refusal(checkpoint_folder)


HUGE = json.dumps({"sigmoid_head.linear.weight": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}})


@pytest.mark.parametrize(
    "damaged",
    [
        lambda content: content[:0], lambda content: content[:4], lambda content: content[:100],
        lambda content: content[:-1],
        lambda _: (2**62).to_bytes(8, "little") + b"{}",  # a header longer than the file
        lambda _: len(HUGE).to_bytes(8, "little") + HUGE.encode() + b"\0\0\0\0",  # before memory is taken
    ],
)  # fmt: skip
def test_a_damaged_file_with_a_matching_hash_is_refused_by_its_header(
    checkpoint_folder: Path, damaged: Callable[[bytes], bytes]
) -> None:
    (checkpoint_folder / TENSORS).write_bytes(damaged((checkpoint_folder / TENSORS).read_bytes()))
    rehash(checkpoint_folder)
    assert "not a whole safetensors file" in refusal(checkpoint_folder)


def test_one_changed_byte_is_refused(checkpoint_folder: Path) -> None:
    content = bytearray((checkpoint_folder / TENSORS).read_bytes())
    content[-5] ^= 1
    (checkpoint_folder / TENSORS).write_bytes(content)
    assert "SHA-256" in refusal(checkpoint_folder)


def test_a_pickle_is_refused_unopened(checkpoint_folder: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return Path.write_text, (checkpoint_folder / "harm", "done")

    torch.save({"sigmoid_head.linear.weight": Harm()}, checkpoint_folder / TENSORS)
    rehash(checkpoint_folder)
    assert "not a whole safetensors file" in refusal(checkpoint_folder)
    assert not (checkpoint_folder / "harm").exists()


@pytest.mark.parametrize("shape", [(3, 1279), (4, 1280), (1280, 3), (3840,), (3, 1280, 1)])
def test_a_tensor_of_another_shape_is_refused_with_both_shapes(checkpoint_folder: Path, shape: tuple[int, ...]) -> None:
    change_tensors(checkpoint_folder, sigmoid_head__linear__weight=torch.zeros(shape))
    text = refusal(checkpoint_folder)
    assert f"has the shape {shape}" in text
    assert "(3, 1280)" in text


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("key", ["sigmoid_head__linear__bias", "softmax_head__linear__bias"])
def test_weights_that_are_not_finite_are_refused(checkpoint_folder: Path, key: str, value: float) -> None:
    change_tensors(checkpoint_folder, **{key: torch.tensor([0.0, value, 0.0])})
    assert "NaN or infinite" in refusal(checkpoint_folder)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_weights_that_are_whole_numbers_are_refused(checkpoint_folder: Path, dtype: torch.dtype) -> None:
    change_tensors(checkpoint_folder, sigmoid_head__linear__bias=torch.zeros(3, dtype=dtype))
    assert "not floating-point" in refusal(checkpoint_folder)


@pytest.mark.parametrize("key", ["sigmoid_head__linear__weight", "softmax_head__linear__bias"])
def test_a_missing_tensor_is_refused_by_name(checkpoint_folder: Path, key: str) -> None:
    change_tensors(checkpoint_folder, **{key: None})
    assert f"lacks the tensor '{key.replace('__', '.')}'" in refusal(checkpoint_folder)


def test_a_branch_of_the_other_kind_is_refused(checkpoint_folder: Path) -> None:
    change_entries(checkpoint_folder, branch="shift")
    assert "lacks the tensor 'sigmoid_shift.vector'" in refusal(checkpoint_folder)


def test_a_wrong_class_count_is_refused_with_both_counts(
    perturbed_model: DualBranch, checkpoint_folder: Path, tmp_path: Path
) -> None:
    change_entries(checkpoint_folder, class_names=["ant", "bee"], class_ids=["n1", "n2"])
    text = refusal(checkpoint_folder)
    assert "(3, 1280)" in text
    assert "(2, 1280)" in text
    path = save_checkpoint(perturbed_model, tmp_path / "thousand")
    change_entries(path, class_names=["ant", "bee"], class_ids=["n1", "n2"])
    text = refusal(path)
    assert "holds 2 names" in text
    assert "1000 classes" in text


def test_another_encoder_is_refused_with_both_hashes(checkpoint_folder: Path) -> None:
    backbone = entries_of(checkpoint_folder)["backbone"]
    change_entries(checkpoint_folder, backbone={**backbone, "encoder_sha256": "0" * 64})
    text = refusal(checkpoint_folder)
    assert "000000000000…" in text
    assert backbone["encoder_sha256"][:12] in text


def test_another_backbone_over_a_stored_encoder_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(DualBranch(classifier_from_timm("test_resnet", pretrained=False)), tmp_path / "own")
    backbone = entries_of(path)["backbone"]
    change_entries(path, backbone={**backbone, "name": "test_convnext"})
    refusal(path)
    change_entries(path, backbone={**backbone, "name": "test_efficientnet"})
    refusal(path)


@pytest.mark.parametrize(
    "name", ["no_such_model", "", "hf-hub:someone/something", "../../etc", "test_resnet.no_such_tag"]
)
def test_a_backbone_that_timm_does_not_know_is_refused(tmp_path: Path, name: str) -> None:
    path = save_checkpoint(DualBranch(classifier_from_timm("test_resnet", pretrained=False)), tmp_path / "own")
    change_entries(path, backbone={**entries_of(path)["backbone"], "name": name})
    assert "timm" in refusal(path)


@pytest.mark.parametrize("file", [DESCRIPTION, TENSORS])
def test_a_missing_file_is_refused_by_name(checkpoint_folder: Path, file: str) -> None:
    (checkpoint_folder / file).unlink()
    with pytest.raises(InputError) as caught:
        load_checkpoint(checkpoint_folder)
    assert "small" in str(caught.value)
    if file == TENSORS:
        assert str(caught.value) == "checkpoint 'small': has no checkpoint.safetensors; copy the whole folder."


def test_a_device_that_is_not_here_is_refused(checkpoint_folder: Path) -> None:
    with pytest.raises(InputError, match=r"`device` .* must be one that torch finds here: auto, cpu"):
        load_checkpoint(checkpoint_folder, device="tpu")


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
