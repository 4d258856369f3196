"""A shift with a flat map moves the zero and nothing else; the flattest one is a minimum; its level is the smallest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from feature_maps import read_directly, shown
from generated import class_folders
from tolerances import IDENTITY, PROBABILITY, assert_close
from torch import Tensor

from bsig.evaluation.metrics.localization import score_map
from bsig.evaluation.metrics.regions import inside_auc
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import with_classes
from bsig.training.closed_form.flat_shift import (
    CellMoments,
    FlatShiftCells,
    fit_flat_shift,
    flatness,
    flattest_vector,
    level_for_absent_area,
)
from bsig.training.config import FinetuneConfig, FlatShiftConfig, TrainingConfig
from bsig.training.finetune import finetune

CHANNELS, ROWS, COLUMNS = 7, 3, 5


def toy_features(pictures: int = 11, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(pictures, CHANNELS, ROWS, COLUMNS, generator=generator, dtype=torch.float64)


def moments_of(features: Tensor) -> CellMoments:
    moments = CellMoments.empty(features.shape[1])
    for batch in features.split(4):
        moments.add(batch)
    return moments


def test_moments_added_in_batches_are_the_loops_over_all_cells() -> None:
    features = toy_features()
    mean, covariance = reference.cell_moments(features.numpy())
    moments = moments_of(features)
    assert moments.cells == 11 * ROWS * COLUMNS
    assert_close(moments.mean, mean, IDENTITY)
    assert_close(moments.covariance, covariance, IDENTITY)


def test_the_level_is_one_and_every_step_that_keeps_it_makes_the_penalized_variance_larger() -> None:
    moments, ridge = moments_of(toy_features()), 0.3
    vector = flattest_vector(moments, ridge)
    assert_close(moments.mean @ vector, torch.tensor(1.0, dtype=torch.float64), IDENTITY)
    size = moments.covariance.diagonal().mean()
    penalized = moments.covariance + ridge * size * torch.eye(CHANNELS, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        step = torch.randn(CHANNELS, generator=generator, dtype=torch.float64)
        step -= (step @ moments.mean) / (moments.mean @ moments.mean) * moments.mean  # keeps m . u = 1
        other = vector + 0.1 * step
        assert other @ penalized @ other > vector @ penalized @ vector


def test_where_one_channel_is_constant_the_map_is_too_and_only_the_zero_moves() -> None:
    features = toy_features()
    features[:, 3] = 2.0
    moments = moments_of(features)
    vector = flattest_vector(moments, 1e-9)
    assert flatness(vector, moments) < 1e-6
    weight = torch.randn(CHANNELS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    before = torch.einsum("k,bkhw->bhw", weight, features).numpy()
    after = torch.einsum("k,bkhw->bhw", weight - 1.5 * vector, features).numpy()
    np.testing.assert_allclose(before - after, 1.5, rtol=1e-6)
    coverage = np.zeros((len(features), ROWS, COLUMNS))
    coverage[:, :2, :2] = 1
    assert_close(inside_auc(after, coverage), inside_auc(before, coverage), IDENTITY)
    np.testing.assert_allclose(score_map(after[0]), score_map(before[0]), atol=1e-5)


def test_flatness_is_the_deviation_within_pictures_over_the_mean() -> None:
    features = torch.zeros(2, 2, 1, 2, dtype=torch.float64)
    features[0, 0, 0] = torch.tensor([1.0, 3.0])  # mean 2, deviation 1
    features[1, 0, 0] = torch.tensor([5.0, 5.0])  # another level between pictures does not count
    moments = moments_of(features)
    # Variance within: (1 + 1 + 0 + 0) / 4; mean: 14 / 4.
    assert flatness(torch.tensor([1.0, 0.0]), moments) == pytest.approx(0.5**0.5 / 3.5)
    assert flatness(torch.tensor([-2.0, 0.0]), moments) == pytest.approx(0.5**0.5 / 3.5)


@pytest.mark.parametrize("area", [0.0, 0.1, 0.25, 0.6])
def test_the_level_is_the_smallest_that_keeps_the_area(area: float) -> None:
    generator = torch.Generator().manual_seed(4)
    absent = torch.randn(97, generator=generator, dtype=torch.float64)
    flat = 1 + 0.3 * torch.randn(97, generator=generator, dtype=torch.float64)
    assert (flat > 0).all()
    level = level_for_absent_area(absent, flat, area)
    assert reference.positive_share(absent.numpy(), flat.numpy(), level * (1 + 1e-12)) <= area
    if level > 0:
        assert reference.positive_share(absent.numpy(), flat.numpy(), level * (1 - 1e-9)) > area


def test_the_level_by_hand_and_cells_that_no_level_reaches() -> None:
    absent, flat = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([1.0, 1.0, 2.0, 1.0])
    assert level_for_absent_area(absent, flat, 0.25) == 3.0
    assert level_for_absent_area(absent, flat, 0.5) == 1.0
    assert level_for_absent_area(-absent, flat, 0.1) == 0.0
    beyond = torch.tensor([1.0, -1.0, 2.0, 1.0])  # the second cell counts as positive whatever the level
    assert level_for_absent_area(absent, beyond, 0.5) == 1.0
    with pytest.raises(InputError, match="cannot be had: 1 of 4 cells"):
        level_for_absent_area(absent, beyond, 0.2)


def test_no_cells_and_no_variance_are_refused() -> None:
    with pytest.raises(InputError, match=r"variance within pictures \(=nan\)"):
        flattest_vector(CellMoments.empty(3))
    with pytest.raises(InputError, match="variance"):
        flattest_vector(moments_of(torch.ones(2, 3, 2, 2)))


def test_on_the_default_model_it_is_the_same_classifier_with_a_flat_map(
    tmp_path: Path, default_model: DualBranch
) -> None:
    names = {"n01440764": "red", "n03445777_golf_ball": "green"}
    images = read_dataset(class_folders(tmp_path / "pictures", names))
    index_of = {"n01440764": 0, "n03445777_golf_ball": 574}
    config, head = FlatShiftConfig(absent_area=0.2), default_model.softmax_head

    def cells() -> FlatShiftCells:
        return FlatShiftCells(head.last_linear.in_features, config)

    fit = fit_flat_shift(shown(cells(), default_model, images, index_of), head, config)
    second = fit_flat_shift(shown(cells(), default_model, images, index_of, size=6), head, config)
    direct = fit_flat_shift(read_directly(cells(), default_model, images, index_of), head, config)
    assert (fit.pictures, float(fit.shift.bias)) == (8, 0)
    assert fit.level > 0
    for other in (second, direct):
        assert_close(other.shift.vector, fit.shift.vector, PROBABILITY._replace(absolute=1e-4))
        assert (other.level, other.flatness) == pytest.approx((fit.level, fit.flatness), rel=1e-4)
    features = torch.rand(2, 1280, 7, 7, generator=torch.Generator().manual_seed(0))
    shifted_head = default_model.softmax_head.shifted(fit.shift.vector, fit.shift.bias)
    assert_close(shifted_head(features).softmax(1), default_model.softmax_logits(features).softmax(1), PROBABILITY)


def test_fewer_than_two_pictures_or_classes_are_refused(default_model: DualBranch) -> None:
    head, config = default_model.softmax_head, FlatShiftConfig()
    cells = FlatShiftCells(head.last_linear.in_features, config)
    cells.read(0, (3,), torch.rand(2, head.last_linear.in_features, 7, 7))
    with pytest.raises(InputError, match="fewer than 2 pictures"):
        fit_flat_shift(cells, head, config)
    with pytest.raises(InputError, match="holds 1 class"):
        fit_flat_shift(cells, with_classes(head, 1), config)


@pytest.mark.parametrize("branch", ["shift", "full"])
def test_finetune_writes_it_as_a_shift_branch_or_trains_a_full_one_from_it(branch: str, tmp_path: Path) -> None:
    images = read_dataset(class_folders(tmp_path / "pictures", {"n01440764": "red", "n03445777_golf_ball": "green"}))
    training = TrainingConfig(branch=branch, epochs=1, learning_rate=1e-6)
    config = FinetuneConfig(training=training, flat_shift=FlatShiftConfig(absent_area=0.2))
    finetune(images, tmp_path / "flat", config, cache_folder=None)
    model = load_checkpoint(tmp_path / "flat")
    assert model.branch_kind == branch
    description = model.metadata["training"]["flat_shift"]
    assert description["absent_area"] == 0.2
    assert min(description["level"], description["held_out_flatness"]) > 0
    change = (model.sigmoid_head.last_linear.weight - model.softmax_head.last_linear.weight).detach()
    assert change.abs().max() > 1e-3
    torch.testing.assert_close(change, change.mean(dim=0).expand_as(change), rtol=0, atol=1e-5)  # one vector for all
