"""Files that hold no weights that can be used: each is refused in one sentence with what blocks it and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_weights import BLOCKED, saved, tensors

from bsig.inputs.errors import UNPRINTABLE, InputError
from bsig.model.backbones import OWN_OPTIONS
from bsig.model.model_settings import NO_SETTINGS
from bsig.model.network_fit import fitted_network
from bsig.model.weight_files import read_weights


@pytest.mark.parametrize("kind", BLOCKED)
def test_it_is_said_what_blocks_a_file_and_what_to_do(kind: str, tmp_path: Path) -> None:
    write, reason, remedy = BLOCKED[kind]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(InputError) as caught:
        fitted_network("test_resnet", read_weights(path), OWN_OPTIONS, NO_SETTINGS)
    sentence = str(caught.value)
    assert reason in sentence
    assert remedy in sentence
    assert not UNPRINTABLE.search(sentence)
    assert "[1m" not in sentence
    assert str(tmp_path) not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("suffix", [".onnx", ".h5", ".npz", ".tflite"])
def test_weights_of_another_framework_are_refused_by_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(InputError, match="give PyTorch's weights"):
        read_weights(path)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = saved(tensors(), tmp_path, "net.safetensors")
    renamed = path.rename(tmp_path / "net.bin")
    assert read_weights(renamed).groups[""].keys() == tensors().keys()
