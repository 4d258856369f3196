"""New models from names, files and the hub; published and fetched again through a stand-in for the hub's client."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from folder_hub import FolderHub
from safetensors.torch import save_file

from bsig.cli.main import main
from bsig.inputs import hub
from bsig.inputs.errors import InputError
from bsig.model.backbones import DEFAULT_BACKBONE, BackboneOptions
from bsig.model.checkpoints.description import read_description
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.new_model import model_name, new_model, not_trained


@pytest.fixture
def weights(tmp_path: Path) -> tuple[Any, Path]:
    """A small network with seven classes and its state dict on disk."""
    network = timm.create_model("test_resnet", num_classes=7).eval()
    file = tmp_path / "birds.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, file)
    return network, file


@pytest.mark.parametrize("kind", ["safetensors", "pth", "pth with state_dict"])
def test_a_weights_file_gives_the_networks_own_logits_and_class_count(
    weights: tuple[Any, Path], kind: str, tmp_path: Path
) -> None:
    network, file = weights
    if kind != "safetensors":
        file = tmp_path / "birds.pth"
        state = network.state_dict()
        torch.save(state if kind == "pth" else {"epoch": 3, "state_dict": state}, file)
    model = new_model("test_resnet", file)
    inputs = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        features = model.features(inputs)
        assert torch.allclose(model.softmax_logits(features), network(inputs), atol=1e-5)
    assert model.num_classes == 7
    assert not model.is_trained
    assert "not been fine-tuned" in not_trained(model)


def test_a_file_of_another_network_is_refused_with_what_is_missing(weights: tuple[Any, Path]) -> None:
    with pytest.raises(InputError, match=r"missing: .*unexpected: "):
        new_model("test_efficientnet", weights[1])


def test_a_pickle_with_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "path": tmp_path}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="tensors alone"):
        new_model("test_resnet", tmp_path / "bad.pth")


def test_without_network_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="published weights of backbone") as caught:
        new_model("resnet18.a1_in1k")
    assert DEFAULT_BACKBONE in str(caught.value)


def test_a_finer_stage_of_the_default_is_a_model_of_its_own_and_is_stored_as_such(tmp_path: Path) -> None:
    model = new_model(DEFAULT_BACKBONE, options=BackboneOptions("stride16"))
    assert model.grid_hw == (14, 14)
    assert model.name == "tf_efficientnet_lite0-stride16"
    path = save_checkpoint(model, tmp_path / model.name)
    from_disk = load_checkpoint(path)
    assert from_disk.encoder is model.encoder
    assert from_disk.encoder is not load_checkpoint().encoder
    assert tuple(from_disk.features(torch.randn(1, 3, 224, 224)).shape[2:]) == (14, 14)
    (row,) = list_checkpoints(tmp_path)
    assert (row["trained"], row["feature_stage"], row["grid_hw"]) == (False, "stride16", [14, 14])
    assert path.joinpath(TENSORS).stat().st_size < 6e6, "published weights are not stored"


def test_a_timm_repository_on_the_hub_is_built_from_its_json_and_safetensors_alone(
    weights: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, file = weights
    repository = tmp_path / "hub" / "owner" / "birds" / "v2"
    repository.mkdir(parents=True)
    shutil.copy(file, repository / "model.safetensors")
    (repository / "pytorch_model.bin").write_bytes(b"a pickle that nobody asked for")
    names = [f"bird {number}" for number in range(7)]
    config = {"architecture": "test_resnet", "num_classes": 7, "label_names": names}
    (repository / "config.json").write_text(json.dumps(config))
    client = FolderHub(tmp_path / "hub")
    monkeypatch.setattr(hub, "HfApi", lambda: client)
    model = new_model("hf:owner/birds@v2")
    assert model.class_names == tuple(names)
    assert client.patterns == [["config.json", "model.safetensors"]]
    inputs = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        assert torch.allclose(model.softmax_logits(model.features(inputs)), network(inputs), atol=1e-5)


def test_a_checkpoint_is_published_and_loads_from_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: tuple[Any, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model = new_model("test_resnet", weights[1])
    save_checkpoint(model, tmp_path / "checkpoints" / "birds", data={"name": "<script>alert(1)</script> | birds"})
    client = FolderHub(tmp_path / "hub")
    monkeypatch.setattr(hub, "HfApi", lambda: client)
    folder = ["--checkpoints", str(tmp_path / "checkpoints")]
    assert main(["publish", "birds", "owner/birds", "--private", *folder]) == 0
    address = capsys.readouterr().out.strip()
    assert address == "hf:owner/birds@c0ffee"
    assert client.private == {"owner/birds": True}
    uploaded = {path.name for path in (tmp_path / "hub" / "owner" / "birds" / "main").iterdir()}
    assert uploaded == {TENSORS, DESCRIPTION, "README.md"}
    from_disk = load_checkpoint(address)
    inputs = torch.randn(1, 3, 160, 160)
    assert torch.equal(
        from_disk.softmax_logits(from_disk.features(inputs)), model.softmax_logits(model.features(inputs))
    )
    card = (tmp_path / "hub" / "owner" / "birds" / "main" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "library_name: bsig" in card
    assert "<script>" not in card
    assert "not fine-tuned yet" in card


def test_the_command_writes_a_checkpoint_that_says_it_is_not_fine_tuned(
    weights: tuple[Any, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "birds"
    assert main(["new-model", "test_resnet", "--weights", str(weights[1]), "--device", "cpu", "--out", str(out)]) == 0
    assert "not been fine-tuned" in capsys.readouterr().err
    assert read_description(out)["trained"] is False
    assert main(["checkpoints", "--checkpoints", str(tmp_path)]) == 0
    assert "not fine-tuned" in capsys.readouterr().out


def test_a_models_name_is_fit_for_a_folder() -> None:
    assert model_name("hf:owner/re po@v1", BackboneOptions("layer3", "max")) == "owner-re-po-v1-layer3-max"
