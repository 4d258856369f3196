"""Fast features are the encoder's own to a stated tolerance, never outdated, and refused where they cannot be had."""

from __future__ import annotations

import copy
import gc
import importlib.util
import weakref

import pytest
import torch
from norm_statistics import with_statistics
from tolerances import IDENTITY, assert_close
from torch import Tensor, nn

from bsig.cli.arguments.shared import ENGINES as OFFERED
from bsig.inputs.errors import InputError
from bsig.model import engines
from bsig.model.backbones import Classifier, classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.model.engines import ENGINES, ONNX_PACKAGES, TOLERANCE, check_engine, fast_encoder, fast_features

INPUTS = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))
HAS_ONNX = all(importlib.util.find_spec(package) for package in ONNX_PACKAGES)


@pytest.fixture
def encoder() -> nn.Module:
    return with_statistics(classifier_from_timm("test_efficientnet", pretrained=False).encoder)


def test_the_command_line_offers_these_engines() -> None:
    assert OFFERED == ENGINES


def test_the_default_models_fast_features_are_its_own_to_a_millionth(default_model: DualBranch) -> None:
    inputs = torch.randn(2, 3, 224, 224)
    own, fast = default_model.features(inputs), default_model.fast_features(inputs)
    assert (fast - own).abs().max() <= 2e-5 * own.max()
    assert 0 < fast_encoder(default_model.encoder, "torch", inputs).change <= 1e-5
    assert not torch.equal(fast, own), "training caches the encoder's own features, not these"


def test_models_of_one_encoder_share_what_runs_fast_and_it_goes_with_the_encoder() -> None:
    encoder = with_statistics(classifier_from_timm("test_resnet", pretrained=False).encoder)
    first = fast_encoder(encoder, "torch", INPUTS)
    assert first.run is not None
    assert fast_encoder(encoder, "torch", INPUTS[:1, :, :32, :32]) is first
    alive = weakref.ref(first.run)
    del encoder, first
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("how", ["written to", "loaded", "replaced"])
def test_a_changed_encoder_is_folded_again(encoder: nn.Module, how: str) -> None:
    encoder, inputs = encoder.double(), INPUTS.double()
    before = fast_features(encoder, "torch", inputs)
    state = {key: 1.1 * value for key, value in encoder.state_dict().items()}
    if how == "written to":
        for key, value in encoder.state_dict().items():
            value.copy_(state[key])
    else:
        encoder.load_state_dict(state, assign=how == "replaced")
    after = fast_features(encoder, "torch", inputs)
    assert not torch.allclose(before, after)
    assert_close(after, encoder(inputs).detach(), IDENTITY)


class Branching(nn.Module):
    """A convolution whose output goes into its BatchNorm and past it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.convolution(inputs)
        return outputs + self.norm(outputs)


class Peeking(nn.Sequential):
    """Reads a number of its input, which a run without numbers cannot give."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * (1.0 if float(inputs[0, 0, 0, 0]) > 0 else 1.5)


@pytest.mark.parametrize("kind", [Branching, lambda: Peeking(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))])
def test_a_network_that_cannot_be_folded_runs_as_it_is(kind: type[nn.Module]) -> None:
    network = with_statistics(kind())
    assert fast_encoder(network, "torch", INPUTS).run is None
    assert torch.equal(fast_features(network, "torch", INPUTS), network(INPUTS))
    alive = weakref.ref(network)
    del network
    gc.collect()
    assert alive() is None


def test_fast_features_carry_no_gradient_and_the_encoder_stays_as_it_is(encoder: nn.Module) -> None:
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    assert not fast_features(encoder, "torch", INPUTS.requires_grad_(False)).requires_grad
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert not any(layer.training for layer in encoder.modules())


def test_an_unknown_engine_and_one_that_is_not_installed_are_refused(
    default_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = DualBranch(default_classifier)
    with pytest.raises(InputError, match=r"`engine` \(='tensorrt'\) must be one of torch, onnxruntime"):
        model.engine = "tensorrt"
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else True)
    with pytest.raises(InputError, match=r"not installed: pip install onnxruntime, or use 'torch'"):
        model.engine = "onnxruntime"
    assert model.engine == "torch"
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: True)
    with pytest.raises(InputError, match="runs on CPUs, `device` is 'cuda'"):
        check_engine("onnxruntime", "cuda")


def test_a_model_made_of_a_model_keeps_the_engine(
    default_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: True)
    model = DualBranch(default_classifier)
    model.engine = "onnxruntime"
    assert DualBranch(model.classifier(name="other")).engine == "onnxruntime"


def test_an_engine_that_moves_features_too_far_is_refused(encoder: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "check_engine", lambda *_: None)
    rounded = copy.deepcopy(encoder).bfloat16()
    monkeypatch.setattr(engines, "_onnx_run", lambda *_: lambda inputs: rounded(inputs.bfloat16()).float())
    with pytest.raises(InputError, match=rf"moves this network's features by .* at most {TOLERANCE:g} is allowed"):
        fast_features(encoder, "onnxruntime", INPUTS)


@pytest.mark.skipif(not HAS_ONNX, reason="onnxruntime and onnx are not installed")
@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext"])
def test_onnx_runtime_gives_the_encoders_features_in_any_batch(name: str) -> None:
    encoder = with_statistics(classifier_from_timm(name, pretrained=False).encoder)
    for inputs in (INPUTS[:1], INPUTS.repeat(2, 1, 1, 1)[:3]):
        own = encoder(inputs).detach()
        assert (fast_features(encoder, "onnxruntime", inputs) - own).abs().max() <= TOLERANCE * own.abs().max()


@pytest.mark.skipif(not HAS_ONNX, reason="onnxruntime and onnx are not installed")
def test_a_network_that_cannot_be_exported_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    encoder = classifier_from_timm("test_vit", pretrained=False).encoder
    with pytest.raises(InputError, match=r"^`engine` \(='onnxruntime'\) cannot run this network \(.*\); use 'torch'.$"):
        fast_features(encoder, "onnxruntime", torch.zeros(1, 3, 160, 160))
    assert capsys.readouterr().out == ""
