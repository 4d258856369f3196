"""torchvision's data sets become samples; without a network they are refused at once."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from generated import picture
from indexes import keys, refusal
from PIL import Image

from bsig.inputs.datasets import torchvision_sets
from bsig.inputs.datasets.read import read_dataset


def test_a_torchvision_set_without_network_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def no_network(*arguments: object, **options: object) -> None:
        tries.append(arguments)
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torchvision_sets, "CACHE_FOLDER", tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"waits {seconds} s to try again"))
    text = refusal("torchvision:Imagenette")
    assert "cannot download 'Imagenette'" in text
    assert "network" in text
    assert len(tries) <= 2


@pytest.mark.parametrize(
    "name", ["", "NoSuchSet", "utils", "__name__", "__class__", "os", "VisionDataset", "ImageFolder"]
)
def test_a_name_that_is_no_torchvision_set_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_sets, "CACHE_FOLDER", tmp_path)
    assert f"'{name}'" in refusal(f"torchvision:{name}").replace("torchvision:", "")


def test_a_torchvision_set_gives_pictures_with_their_class_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Colours(torchvision.datasets.VisionDataset):
        classes = (("red", "crimson"), ("blue",))
        targets = (1, 0, 1)

        def __init__(self, root: str, split: str = "train", download: bool = False) -> None:
            super().__init__(root)
            assert download
            assert split == "val"

        def __len__(self) -> int:
            return len(self.targets)

        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            label = self.targets[index]
            return picture(("red", "blue")[label], index), label

    monkeypatch.setattr(torchvision.datasets, "Colours", Colours, raising=False)
    monkeypatch.setattr(torchvision_sets, "CACHE_FOLDER", tmp_path)
    images = read_dataset("torchvision:Colours", "val")
    assert [sample.class_name for sample in images.samples] == ["blue", "red", "blue"]
    assert keys(images) == ["Colours/val/0", "Colours/val/1", "Colours/val/2"]
    np.testing.assert_array_equal(np.asarray(images.samples[1].open()), np.asarray(picture("red", 1)))
