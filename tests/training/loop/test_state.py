"""A run that is broken off goes on as if nothing had happened, or is refused with the remedy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy_training import refusal, same, toy_features, toy_head, trained

from bsig.inputs.errors import InputError
from bsig.model.heads import PooledLinearHead
from bsig.training.callbacks import OnEpoch
from bsig.training.config import TrainingConfig
from bsig.training.loop import state as training_state
from bsig.training.loop.epoch import Epoch
from bsig.training.loop.train import train_sigmoid_branch


def numbers_into(numbers: list[int]) -> OnEpoch:
    return lambda epoch, _head: numbers.append(epoch.number)


class PowerCut(BaseException):
    """Ends a run from outside."""


def run_until(epoch: int, config: TrainingConfig, state_file: Path) -> None:
    def stop(end: Epoch, _head: PooledLinearHead) -> None:
        if end.number == epoch:
            raise PowerCut

    with pytest.raises(PowerCut):
        trained(config, state_file=state_file, on_epoch=stop)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("branch", ["full", "shift"])
def test_a_run_broken_off_and_resumed_is_the_unbroken_one_bit_for_bit(
    tmp_path: Path, branch: str, momentum: float
) -> None:
    config = TrainingConfig(branch=branch, epochs=5, learning_rate=0.1, batch_size=4, momentum=momentum)
    expected = trained(config)
    for epoch in (1, 3, 5):
        state_file = tmp_path / str(epoch) / "state.safetensors"
        run_until(epoch, config, state_file)
        numbers: list[int] = []
        result = trained(config, state_file=state_file, resume=True, on_epoch=numbers_into(numbers))
        assert same(result, expected)
        assert numbers == list(range(epoch + 1, 6))


def test_a_run_that_dies_while_keeping_its_state_goes_on_from_the_epoch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, state_file = TrainingConfig(epochs=4, learning_rate=0.1), tmp_path / "state.safetensors"
    run_until(2, config, state_file)
    before = state_file.read_bytes()

    def half(tensors: dict, file: Path, metadata: dict) -> None:
        save_file(tensors, file, metadata=metadata)
        file.write_bytes(file.read_bytes()[:99])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_state, "save_file", half)
    assert "No space left" in refusal(config, state_file=state_file, resume=True)
    monkeypatch.undo()
    assert state_file.read_bytes() == before
    assert same(trained(config, state_file=state_file, resume=True), trained(config))


def test_resuming_without_a_state_starts_from_the_beginning(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=2)
    assert same(trained(config, state_file=tmp_path / "none", resume=True), trained(config))


def test_without_resume_an_old_state_plays_no_part(tmp_path: Path) -> None:
    state_file = tmp_path / "state.safetensors"
    run_until(1, TrainingConfig(learning_rate=9.0), state_file)
    assert same(trained(TrainingConfig(), state_file=state_file), trained(TrainingConfig()))


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"learning_rate": 0.2}, r"`learning_rate` (=0.03)"), ({"epochs": 9}, "`epochs` (=3)"),
        ({"branch": "shift"}, "`branch` (=full)"), ({"seed": 1}, "`seed` (=0)"),
        ({"stay_near_softmax": 1.0}, "`stay_near_softmax` (=0.0)"),
        ({"positive_weight": 2.0}, "`positive_weight` (=None)"),
    ],
)  # fmt: skip
def test_resuming_with_another_setting_is_refused_with_the_one_it_had(tmp_path: Path, other: dict, name: str) -> None:
    state_file = tmp_path / "run" / "state.safetensors"
    run_until(1, TrainingConfig(), state_file)
    text = refusal(replace(TrainingConfig(), **other), state_file=state_file, resume=True)
    assert name in text
    assert "--resume" in text


@pytest.mark.parametrize("part", ["softmax_head", "start", "pictures", "labels"])
def test_resuming_on_another_head_or_other_pictures_is_refused(tmp_path: Path, part: str) -> None:
    state_file, config = tmp_path / "run" / "state.safetensors", TrainingConfig()
    run_until(1, config, state_file)
    head = toy_head(5) if part == "softmax_head" else toy_head()
    features = toy_features()
    if part == "pictures":
        features.pooled[3, 0, 2] += 1e-3
    if part == "labels":
        features.labels[[0, 1]] = features.labels[[1, 0]]  # the same number of each
    start = toy_head(5) if part == "start" else None
    with pytest.raises(InputError, match=f"`{part}`"):
        train_sigmoid_branch(head, features, config, start=start, state_file=state_file, resume=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "not told", "bad history"])
def test_a_damaged_state_is_refused_with_the_remedy(tmp_path: Path, damage: str) -> None:
    state_file, config = tmp_path / "state.safetensors", TrainingConfig()
    run_until(1, config, state_file)
    if damage == "cut":
        state_file.write_bytes(state_file.read_bytes()[:50])
    elif damage == "empty":
        state_file.write_bytes(b"")
    else:
        metadata = {"settings": "{}", "history": json.dumps([{"number": 1}])} if damage == "bad history" else None
        save_file(load_file(state_file), state_file, metadata=metadata)
    assert "is damaged" in refusal(config, state_file=state_file, resume=True)


def test_a_state_of_a_version_before_held_out_figures_is_still_read(tmp_path: Path) -> None:
    state_file, config = tmp_path / "state.safetensors", TrainingConfig(epochs=3, learning_rate=0.1)
    run_until(2, config, state_file)
    with safe_open(state_file, framework="pt") as file:
        metadata = file.metadata()
    old = [{key: value for key, value in epoch.items() if not key.startswith("held_out")} for epoch in
           json.loads(metadata["history"])]  # fmt: skip
    save_file(load_file(state_file), state_file, metadata={**metadata, "history": json.dumps(old)})
    assert same(trained(config, state_file=state_file, resume=True), trained(config))
