"""Every wrapping of people's files gives the network's own logits, and what was done is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from own_weights import (
    AVERAGES,
    CLASSES,
    NETWORK,
    PRECISIONS,
    WRAPPINGS,
    average,
    average_of_parameters,
    cast,
    network,
    saved,
    tensors,
)

from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.model.model_settings import ModelSettings
from bsig.model.new_model import new_model

INPUTS = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(3))


def logits(model: DualBranch) -> torch.Tensor:
    with torch.no_grad():
        return model.softmax_logits(model.features(INPUTS))


def own_logits() -> torch.Tensor:
    with torch.no_grad():
        return network()(INPUTS)


@pytest.mark.parametrize("name", WRAPPINGS)
def test_a_wrapped_file_gives_the_networks_own_logits_and_says_what_was_done(name: str, tmp_path: Path) -> None:
    content, note = WRAPPINGS[name]
    model = new_model(NETWORK, saved(content(), tmp_path, name))
    assert torch.allclose(logits(model), own_logits(), atol=1e-5)
    assert model.num_classes == CLASSES
    assert note in " ".join(model.notes)
    assert not model.is_trained


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_file_of_less_precision_gives_the_logits_of_its_rounded_weights(name: str, tmp_path: Path) -> None:
    model = new_model(NETWORK, saved(cast(PRECISIONS[name]), tmp_path, name))
    rounded = network().state_dict() | {key: value.float() for key, value in cast(PRECISIONS[name]).items()}
    for key, value in model.softmax_head.linear.state_dict().items():
        assert torch.equal(value, rounded[f"fc.{key}"])
    assert torch.allclose(logits(model), own_logits(), atol=0.05)


@pytest.mark.parametrize("name", AVERAGES)
def test_the_moving_average_is_taken_and_said(name: str, tmp_path: Path) -> None:
    model = new_model(NETWORK, saved(AVERAGES[name](), tmp_path, name))
    assert torch.allclose(logits(model), own_logits() + 0.5, atol=1e-5)
    assert "moving average" in " ".join(model.notes)


@pytest.mark.parametrize(("name", "key"), [("timm.pth.tar", "state_dict"), ("lightning with an average.ckpt", "model")])
def test_a_weights_key_takes_the_other_set(name: str, key: str, tmp_path: Path) -> None:
    model = new_model(NETWORK, saved(AVERAGES[name](), tmp_path, name), settings=ModelSettings(weights_key=key))
    assert torch.allclose(logits(model), own_logits(), atol=1e-5)


def test_a_weights_key_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    file = saved(AVERAGES["timm.pth.tar"](), tmp_path, "timm.pth.tar")
    with pytest.raises(InputError, match="it has state_dict, state_dict_ema"):
        new_model(NETWORK, file, settings=ModelSettings(weights_key="ema"))


def test_an_average_of_parameters_has_the_statistics_of_the_weights_beside_it(tmp_path: Path) -> None:
    file = saved(AVERAGES["average of parameters.pth"](), tmp_path, "average.pth")
    notes = " ".join(new_model(NETWORK, file).notes)
    assert "the moving average 'model_ema' is used: --weights-key model takes the other" in notes
    assert "'model_ema' is an average of parameters alone: the BatchNorm statistics are those of 'model'" in notes
    model = new_model(NETWORK, file, settings=ModelSettings(weights_key="model"))
    assert torch.allclose(logits(model), own_logits(), atol=1e-5)
    alone = saved({"model_ema": average_of_parameters()}, tmp_path, "alone.pth")
    with pytest.raises(InputError, match=r"missing: .*running_mean"):
        new_model(NETWORK, alone)


def test_a_list_of_tensors_without_names_is_said_and_not_used(tmp_path: Path) -> None:
    content = {"state_dict": tensors(), "ema": {"decay": 0.99, "shadow_params": list(average().values())}}
    model = new_model(NETWORK, saved(content, tmp_path, "shadow.pth"))
    assert torch.allclose(logits(model), own_logits(), atol=1e-5)
    assert f"Not used: 'ema.shadow_params', which holds {len(average())} tensors without names." in model.notes


@pytest.mark.parametrize(("mean", "std"), [(104.0, 1.0), (0.0, 255.0), (127.5, 51.0)])
def test_a_normalisation_of_pixels_up_to_255_is_brought_to_1(mean: float, std: float, tmp_path: Path) -> None:
    content = tensors() | {"norm.mean": torch.full((3,), mean), "norm.std": torch.full((3,), std)}
    model = new_model(NETWORK, saved(content, tmp_path, "normalised.pth"))
    assert model.preprocessing.mean == pytest.approx((mean / 255,) * 3, abs=1e-6)
    assert model.preprocessing.std == pytest.approx((std / 255,) * 3, abs=1e-6)


def test_two_networks_without_an_average_are_a_question(tmp_path: Path) -> None:
    file = saved({"student": tensors(), "teacher": average()}, tmp_path, "distilled.pth")
    with pytest.raises(InputError, match=r"several sets of weights \(student, teacher\); choose with --weights-key"):
        new_model(NETWORK, file)
    model = new_model(NETWORK, file, settings=ModelSettings(weights_key="teacher"))
    assert torch.allclose(logits(model), own_logits() + 0.5, atol=1e-5)


def test_tensors_that_may_change_the_logits_are_not_left_out(tmp_path: Path) -> None:
    file = saved(tensors() | {"gate.weight": torch.ones(4, 4)}, tmp_path, "gated.pth")
    with pytest.raises(InputError, match=r"unexpected: gate\.weight"):
        new_model(NETWORK, file)


def test_a_normalisation_within_the_network_is_its_mean_and_std(tmp_path: Path) -> None:
    model = new_model(NETWORK, saved(WRAPPINGS["attacked.pth"][0](), tmp_path, "attacked.pth"))
    assert model.preprocessing.mean == pytest.approx((0.4, 0.5, 0.6))
    assert model.preprocessing.std == pytest.approx((0.2, 0.2, 0.2))


def test_nothing_of_a_pickle_is_run_for_its_settings(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    file = saved({"state_dict": tensors(), "args": Harmful()}, tmp_path, "harmful.pth")
    with pytest.raises(InputError, match="tensors alone"):
        new_model(NETWORK, file)
    assert not (tmp_path / "ran").exists()
