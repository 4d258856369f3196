"""The hub's addresses, refusals and cache; loading without a network leaves the hub's client as it is."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from folder_hub import FolderHub
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from bsig.inputs import hub
from bsig.inputs.errors import InputError
from bsig.inputs.hub import cached_hub_file, hub_has_address
from bsig.model.backbones import timm_network
from bsig.model.checkpoints.names import DESCRIPTION, TENSORS

PATIENCE_S = 120


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host has an address."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror("Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr("bsig.inputs.hub.getproxies", dict)


@pytest.fixture
def cached_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """A small network with weights of its own, which the hub's cache holds as timm's `test_resnet`."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    network = timm.create_model("test_resnet").eval()
    repository = tmp_path / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    (repository / "snapshots" / "c0ffee").mkdir(parents=True)
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(tensors, repository / "snapshots" / "c0ffee" / "model.safetensors")
    return network


@pytest.mark.parametrize("address", ["hf:", "hf:owner", "hf:owner/a/b", "hf:../x", "hf:o/r@"])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FolderHub(tmp_path)
    monkeypatch.setattr(hub, "HfApi", lambda: client)
    with pytest.raises(InputError, match="hf:owner"):
        hub.hub_folder(address, [DESCRIPTION])
    assert client.patterns == []


def test_a_repository_that_is_not_there_and_a_refusing_hub_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = FolderHub(tmp_path)
    monkeypatch.setattr(hub, "HfApi", lambda: client)
    with pytest.raises(InputError, match="cannot be fetched"):
        hub.hub_folder("hf:owner/none", [DESCRIPTION])

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("401\nno token")

    client.create_repo = refuse
    with pytest.raises(InputError, match="401") as caught:
        hub.publish_folder(tmp_path, [TENSORS], "card", "owner/name")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="owner/name"):
        hub.publish_folder(tmp_path, [TENSORS], "card", "name")


@pytest.mark.usefixtures("no_network", "cached_network")
def test_the_cache_gives_the_first_file_that_it_holds_and_asks_nobody() -> None:
    repository = "timm/test_resnet.r160_in1k"
    assert cached_hub_file(repository, ["none.bin", "model.safetensors"]).name == "model.safetensors"
    assert cached_hub_file(f"{repository}@main", ["model.safetensors"]).is_file()
    for arguments in (
        (repository, ["none.bin"]),
        ("timm/none", ["model.safetensors"]),
        (f"{repository}@v2", ["a.bin"]),
    ):
        with pytest.raises(LocalEntryNotFoundError):
            cached_hub_file(*arguments)


@pytest.mark.usefixtures("no_network")
def test_a_proxy_resolves_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not hub_has_address()
    monkeypatch.setattr("bsig.inputs.hub.getproxies", lambda: {"https": "proxy.example:3128"})
    assert hub_has_address()


@pytest.mark.usefixtures("no_network")
def test_cached_weights_are_loaded_without_a_network(cached_network: torch.nn.Module) -> None:
    network = timm_network("test_resnet", pretrained=True)
    assert network.pretrained_cfg["hf_hub_id"] == "timm/test_resnet.r160_in1k"
    for key, value in cached_network.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key


@pytest.mark.usefixtures("no_network", "cached_network")
def test_two_threads_that_load_weights_without_a_network_leave_the_hub_client_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are loading at once, and the one that began first ends first: a switch set back by each would stay on."""
    create_model = timm.create_model
    switches: list[bool] = []
    failures: list[BaseException] = []
    starts, ends = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def create(*arguments: Any, **options: Any) -> Any:
        number = int(threading.current_thread().name)
        switches.append(huggingface_hub.constants.HF_HUB_OFFLINE)
        starts[number].set()
        assert (starts[1] if number == 0 else ends[0]).wait(PATIENCE_S)
        return create_model(*arguments, **options)

    def load(number: int) -> None:
        try:
            if number == 1:
                assert starts[0].wait(PATIENCE_S)
            timm_network("test_resnet", pretrained=True)
        except BaseException as error:  # noqa: BLE001  shown by the main thread
            failures.append(error)
        ends[number].set()

    monkeypatch.setattr(timm, "create_model", create)
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    threads = [threading.Thread(target=load, args=(number,), name=str(number)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert failures == []
    assert switches == [before, before]
    assert before == huggingface_hub.constants.HF_HUB_OFFLINE
