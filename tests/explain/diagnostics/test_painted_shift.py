"""Painted maps: by hand, against the loop, and over random heads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_heads import COLUMNS, DOUBLE, FEATURES, ROWS, WEIGHT, random_head
from tolerances import FLOAT32, IDENTITY, assert_close

from bsig.explain.diagnostics.logit_shift import class_map
from bsig.explain.diagnostics.painted_shift import (
    TARGETS,
    painted_shift,
    painting_basis,
    target_at_cell,
    target_map,
)
from bsig.inputs.errors import InputError
from bsig.model.heads import shifted_rows

HEAD = random_head(1)


def test_smallest_painting() -> None:
    # F as cells x k: [1, 0, 1] and [0, 2, 1]; d = [-2, 0]; multipliers of the Gram matrix [[2, 1], [1, 5]].
    shift = painted_shift(FEATURES, WEIGHT[0], torch.tensor([[0.0, 2.0]], dtype=DOUBLE))
    assert_close(shift.vector, [-10 / 9, 4 / 9, -8 / 9], IDENTITY)
    assert shift.rank == 2
    assert shift.reason is None


def test_painted_shift() -> None:
    target = torch.randn(ROWS, COLUMNS, dtype=DOUBLE)
    shift = painted_shift(HEAD[0], HEAD[1][0], target)
    expected = reference.painted_shift(HEAD[0].numpy(), HEAD[1][0].numpy(), target.numpy())
    assert_close(shift.vector, expected, IDENTITY._replace(relative=1e-8, absolute=1e-8))  # a Gram matrix's


def test_target_at_cell() -> None:
    own = class_map(HEAD[0], HEAD[1], 0)
    assert_close(target_at_cell(own, 1, 5), reference.bump(own.numpy(), 1, 5, 0.15 * COLUMNS), IDENTITY)


@pytest.mark.parametrize("place", [(1.5, 2.25), (-0.5, COLUMNS - 0.5)], ids=str)
def test_target_between_cells(place: tuple[float, float]) -> None:
    own = class_map(HEAD[0], HEAD[1], 0)
    assert_close(target_at_cell(own, *place), reference.bump(own.numpy(), *place, 0.15 * COLUMNS), IDENTITY)


@pytest.mark.parametrize("channels", [1, 2, 5, 30])
def test_the_basis_says_what_a_shift_can_paint(channels: int) -> None:
    torch.manual_seed(channels)
    features, own = torch.randn(channels, 3, 5, dtype=DOUBLE), torch.randn(channels, dtype=DOUBLE)
    target = torch.randn(3, 5, dtype=DOUBLE)
    basis = painting_basis(features)
    assert basis.shape == (15, min(15, channels))
    assert_close(basis.T @ basis, torch.eye(min(15, channels), dtype=DOUBLE), IDENTITY)
    before = class_map(features, own[None], 0)
    result = class_map(features, (own + painted_shift(features, own, target).vector)[None], 0)
    expected = before.flatten() + basis @ (basis.T @ (target - before).flatten())
    assert_close(result.flatten(), expected, IDENTITY._replace(absolute=1e-9))


@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(TARGETS)))
def test_painted_map_is_the_target(seed: int, name: str) -> None:
    features, weight, _, _ = random_head(seed)
    target = target_map(class_map(features, weight, 0), name)
    shift = painted_shift(features, weight[0], target)
    result = class_map(features, shifted_rows(weight, shift.vector), 0)
    assert shift.reason is None
    assert_close(result, target, IDENTITY._replace(absolute=1e-8))
    assert shift.residual <= 1e-8


@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(TARGETS)))
def test_painting_fools_maps_of_logits_and_not_of_their_differences(seed: int, name: str) -> None:
    """Passive fooling (DiffGradCAM, arXiv 2506.08514): probabilities stay, maps move, maps of differences stay."""
    features, weight, bias, _ = random_head(seed)
    shift = painted_shift(features, weight[0], target_map(class_map(features, weight, 0), name))
    fooled = shifted_rows(weight, shift.vector)
    pooled = features.mean(dim=(1, 2))
    honest_logits, fooled_logits = (head @ pooled + bias for head in (weight, fooled))
    tolerance = IDENTITY._replace(absolute=1e-8)
    assert_close(fooled_logits.softmax(dim=0), honest_logits.softmax(dim=0), tolerance)
    assert not torch.allclose(class_map(features, fooled, 0), class_map(features, weight, 0), atol=1e-3)
    for other in range(1, len(weight)):
        honest, difference = (
            class_map(features, head, 0) - class_map(features, head, other) for head in (weight, fooled)
        )
        assert_close(difference, honest, tolerance)


@given(seed=st.integers(0, 10_000))
def test_no_smaller_shift_paints_it(seed: int) -> None:
    features, weight, _, other = random_head(seed)
    shift = painted_shift(features, weight[0], torch.zeros(ROWS, COLUMNS, dtype=DOUBLE))
    cells = features.flatten(1).T
    unseen = other - torch.linalg.lstsq(cells, (cells @ other)[:, None], driver="gelsd").solution[:, 0]
    assert float((shift.vector + unseen).norm()) >= float(shift.vector.norm())
    assert abs(float(shift.vector @ unseen)) <= 1e-8 * float(shift.vector.norm() * unseen.norm()) + 1e-8


@given(seed=st.integers(0, 10_000), row=st.integers(0, ROWS - 1), column=st.integers(0, COLUMNS - 1))
def test_maximum_moves_to_the_clicked_cell(seed: int, row: int, column: int) -> None:
    features, weight, _, _ = random_head(seed, torch.float32)
    own = class_map(features, weight, 0)
    shift = painted_shift(features, weight[0], target_at_cell(own, row, column))
    result = class_map(features, shifted_rows(weight, shift.vector), 0)
    assert divmod(int(result.argmax()), COLUMNS) == (row, column)
    assert_close(result.max(), own.max(), FLOAT32)
    assert float(result.min()) >= float(own.min()) - 1e-3


def test_features_of_zero_cannot_be_painted() -> None:
    shift = painted_shift(torch.zeros(3, 2, 2), torch.ones(3), torch.ones(2, 2))
    assert not shift.vector.any()
    assert (shift.rank, shift.residual) == (0, 1.0)
    assert "zero everywhere" in (shift.reason or "")


def test_zero_map_of_zero_features_is_reached_without_a_shift() -> None:
    shift = painted_shift(torch.zeros(3, 2, 2), torch.ones(3), torch.zeros(2, 2))
    assert shift.reason is None


def test_fewer_channels_than_cells_come_as_close_as_they_can() -> None:
    features = torch.rand(2, 3, 3, dtype=DOUBLE)
    shift = painted_shift(features, torch.zeros(2, dtype=DOUBLE), torch.eye(3, dtype=DOUBLE))
    best = torch.linalg.lstsq(features.flatten(1).T, torch.eye(3, dtype=DOUBLE).flatten()[:, None]).solution[:, 0]
    assert_close(shift.vector, best, IDENTITY)
    assert shift.rank == 2
    assert "2 independent maps on 9 cells" in (shift.reason or "")


def test_equal_cells_cannot_be_told_apart() -> None:
    features = torch.rand(5, 1, 1).expand(5, 1, 2).contiguous()
    shift = painted_shift(features, torch.zeros(5), torch.tensor([[0.0, 2.0]]))
    assert shift.rank == 1
    assert_close(shift.residual, 1.0, FLOAT32)
    assert shift.reason is not None


def test_constant_map_gets_a_bump_of_one_logit() -> None:
    target = target_at_cell(torch.full((5, 5), 2.0), 4, 0)
    assert target[4, 0] == 3
    assert float(target.min()) == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: target_at_cell(torch.zeros(2, 2), 2, 0), "must be a cell"),
        (lambda: target_map(torch.zeros(2, 2), "middle"), "top left"),
    ],
)
def test_refused_in_words(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call()
