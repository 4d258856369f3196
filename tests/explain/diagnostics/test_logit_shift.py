"""Shift, shared component, painted maps and areas: by hand, against their loops, and over random heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, IDENTITY, PROBABILITY, assert_close
from torch import Tensor

from bsig.explain.diagnostics.absent_classes import absent_classes, area_at_own_area, class_areas, positive_area
from bsig.explain.diagnostics.logit_shift import (
    all_class_maps,
    channel_shift,
    class_centred_head,
    class_centred_map,
    class_map,
    common_shift,
    delta_curve,
    equivalent_delta,
    logit_shift,
    map_movement,
    probability_change,
    require_channels,
    shared_component,
    shared_energy_share,
    shared_map_share,
    shifted_probabilities,
    uniform_shift,
)
from bsig.explain.diagnostics.painted_shift import TARGETS, painted_shift, target_at_cell, target_map
from bsig.inputs.errors import InputError
from bsig.model.heads import shifted_rows

DOUBLE = torch.float64
CLASSES, CHANNELS, ROWS, COLUMNS = 5, 23, 3, 7

# 2 classes, 3 channels, 1x2 grid: small enough to work out on paper.
FEATURES = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[1.0, 1.0]]], dtype=DOUBLE)
WEIGHT = torch.tensor([[2.0, 1.0, 0.0], [0.0, -1.0, 2.0]], dtype=DOUBLE)
BIAS = torch.tensor([0.5, -0.5], dtype=DOUBLE)


def random_head(seed: int, dtype: torch.dtype = DOUBLE) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features after a ReLU, weight, bias and a shift vector of the weights' own size."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(CHANNELS, ROWS, COLUMNS, generator=draw).clamp(min=0)
    weight, bias, vector = (
        torch.randn(*size, generator=draw) for size in ((CLASSES, CHANNELS), (CLASSES,), (CHANNELS,))
    )
    return features.to(dtype), weight.to(dtype), bias.to(dtype), vector.to(dtype)


class TestByHand:
    def test_shared_component_is_the_mean_row(self) -> None:
        assert_close(shared_component(WEIGHT), [1.0, 0.0, 1.0], IDENTITY)

    def test_energy_share_is_two_times_two_over_ten(self) -> None:
        assert_close(shared_energy_share(WEIGHT), 2 * 2 / 10, IDENTITY)

    def test_map_share(self) -> None:
        # w_bar . F = [2, 1]; M_0 = [2, 2].
        assert_close(shared_map_share(FEATURES, WEIGHT, 0), math.sqrt(5 / 8), IDENTITY)

    def test_centred_map(self) -> None:
        # W[0] - w_bar = [1, 1, -1].
        assert_close(class_centred_map(FEATURES, WEIGHT, 0), [[0.0, 1.0]], IDENTITY)
        assert_close(class_centred_map(FEATURES, WEIGHT, 1), [[0.0, -1.0]], IDENTITY)

    def test_all_maps(self) -> None:
        assert_close(all_class_maps(FEATURES, WEIGHT), [[[2.0, 2.0]], [[2.0, 0.0]]], IDENTITY)

    def test_shift_adds_v_dot_pool_to_every_logit(self) -> None:
        # pool = [0.5, 1, 1]; v = 2 e_1: both logits gain 2.
        pooled, vector = FEATURES.mean(dim=(1, 2))[None], channel_shift(3, 1, 2.0)
        assert_close(logit_shift(pooled, vector), [2.0], IDENTITY)
        sigmoid = shifted_probabilities(pooled, WEIGHT, BIAS, vector, "sigmoid")
        assert_close(sigmoid.before[0], reference.sigmoid(np.array([2.5, 0.5])), IDENTITY)
        assert_close(sigmoid.after[0], reference.sigmoid(np.array([4.5, 2.5])), IDENTITY)
        assert_close(probability_change(pooled, WEIGHT, BIAS, vector), 0.0, IDENTITY)

    def test_smallest_painting(self) -> None:
        # F as cells x k: [1, 0, 1] and [0, 2, 1]; d = [-2, 0]; multipliers of the Gram matrix [[2, 1], [1, 5]].
        painted = painted_shift(FEATURES, WEIGHT[0], torch.tensor([[0.0, 2.0]], dtype=DOUBLE))
        assert_close(painted.vector, [-10 / 9, 4 / 9, -8 / 9], IDENTITY)
        assert painted.rank == 2
        assert painted.reason is None

    def test_movement(self) -> None:
        before = torch.arange(5.0)[None]
        moved = map_movement(before, before.flip(1))
        assert moved.correlation == pytest.approx(-1)
        assert (moved.top_iou, moved.peak_move, moved.reason) == (0.0, 4.0, None)
        kept = map_movement(before, 3 * before - 7)
        assert kept.correlation == pytest.approx(1)
        assert (kept.top_iou, kept.peak_move) == (1.0, 0.0)

    def test_areas(self) -> None:
        assert positive_area(torch.tensor([[1.0, 0.0, -1.0, 2.0]])) == 0.5
        own, others = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[[3.0, 2.9, 0.0, 5.0]]])
        assert area_at_own_area(own, others, 0.5) == 0.5


class TestAgainstLoops:
    features, weight, bias, vector = random_head(1)

    def test_shared_component_and_its_shares(self) -> None:
        f, w = self.features.numpy(), self.weight.numpy()
        assert_close(shared_component(self.weight), reference.shared_component(w), IDENTITY)
        assert_close(shared_energy_share(self.weight), reference.shared_energy_share(w), IDENTITY)
        assert_close(shared_map_share(self.features, self.weight, 2), reference.shared_map_share(f, w, 2), IDENTITY)

    def test_maps(self) -> None:
        f, w = self.features.numpy(), self.weight.numpy()
        everything = np.stack([reference.cam_map(f, w, c) for c in range(CLASSES)])
        assert_close(all_class_maps(self.features, self.weight), everything, IDENTITY)
        assert_close(class_map(self.features, self.weight, 3), everything[3], IDENTITY)
        centred = class_centred_map(self.features, self.weight, 3)
        assert_close(centred, reference.class_centred_map(f, w, 3), IDENTITY)
        assert_close(class_map(self.features, class_centred_head(self.weight), 3), centred, IDENTITY)

    @pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
    def test_shifted_probabilities(self, activation: str) -> None:
        f, w, b, v = (x.numpy() for x in (self.features, self.weight, self.bias, self.vector))
        shifted = shifted_probabilities(
            self.features.mean(dim=(1, 2))[None], self.weight, self.bias, self.vector, activation
        )
        function = getattr(reference, activation)
        assert_close(shifted.before[0], function(reference.pooled_linear_logits(f, w, b)), IDENTITY)
        after = reference.pooled_linear_logits(f, reference.shifted_head(w, v), b)
        assert_close(shifted.after[0], function(after), IDENTITY)
        changes = [abs(x - y) for x, y in zip(shifted.before[0].tolist(), shifted.after[0].tolist(), strict=True)]
        assert shifted.largest_change == max(changes)

    def test_logit_shift_and_equivalent_delta(self) -> None:
        f, v = self.features.numpy(), self.vector.numpy()
        pooled = self.features.mean(dim=(1, 2))[None]
        assert_close(logit_shift(pooled, self.vector)[0], reference.logit_shift(reference.pooled(f), v), IDENTITY)
        assert_close(equivalent_delta(self.features, self.vector), reference.equivalent_delta(f, v), IDENTITY)

    def test_common_shift(self) -> None:
        other = self.weight + self.vector + 0.1 * torch.randn(self.weight.shape, dtype=DOUBLE)
        vector, share = common_shift(self.weight, other)
        expected, expected_share = reference.common_shift(self.weight.numpy(), other.numpy())
        assert_close(vector, expected, IDENTITY)
        assert share is not None
        assert_close(share, expected_share, IDENTITY)

    def test_movement(self) -> None:
        before, after = class_map(self.features, self.weight, 0), class_map(self.features, self.weight, 1)
        moved, (a, b) = map_movement(before, after), (before.numpy(), after.numpy())
        assert moved.correlation is not None
        assert_close(moved.correlation, reference.pearson_correlation(a, b), IDENTITY)
        assert moved.top_iou == reference.top_iou(a, b)
        assert moved.peak_move == reference.peak_move(a, b)

    def test_equal_cells_count_in_reading_order(self) -> None:
        before, after = torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0, 1.0]])
        moved = map_movement(before, after)
        assert moved.top_iou == reference.top_iou(before.numpy(), after.numpy()) == 0
        assert moved.peak_move == reference.peak_move(before.numpy(), after.numpy()) == 1

    def test_painted_shift(self) -> None:
        target = torch.randn(ROWS, COLUMNS, dtype=DOUBLE)
        painted = painted_shift(self.features, self.weight[0], target)
        expected = reference.painted_shift(self.features.numpy(), self.weight[0].numpy(), target.numpy())
        assert_close(painted.vector, expected, IDENTITY._replace(relative=1e-8, absolute=1e-8))  # a Gram matrix's

    def test_target_at_cell(self) -> None:
        own = class_map(self.features, self.weight, 0)
        assert_close(target_at_cell(own, 1, 5, 1.3), reference.bump(own.numpy(), 1, 5, 1.3), IDENTITY)

    @pytest.mark.parametrize("own_area", [0.05, 0.5, 0.7, 1.0])
    def test_areas(self, own_area: float) -> None:
        maps = all_class_maps(self.features, self.weight)
        assert positive_area(maps[0]) == reference.positive_area(maps[0].numpy())
        expected = reference.area_at_own_area(maps[0].numpy(), maps[1:].numpy(), own_area)
        assert_close(area_at_own_area(maps[0], maps[1:], own_area), expected, IDENTITY)

    @pytest.mark.parametrize("centred", [False, True])
    def test_delta_curve_is_each_shifted_head_by_itself(self, centred: bool) -> None:
        deltas = torch.linspace(-1, 1, 5, dtype=DOUBLE)
        curve = delta_curve(self.features, self.weight, self.bias, 2, self.vector, deltas, centred=centred)
        of = class_centred_map if centred else class_map
        pooled, before = self.features.mean(dim=(1, 2))[None], of(self.features, self.weight, 2)
        for i, delta in enumerate(deltas):
            vector = delta * self.vector
            after = of(self.features, shifted_rows(self.weight, vector), 2)
            assert curve.deltas[i] == delta
            expected = map_movement(before, after)
            assert_close(curve.movement[i].correlation, expected.correlation, IDENTITY)
            assert curve.movement[i].top_iou == expected.top_iou
            assert curve.movement[i].peak_move == expected.peak_move
            assert curve.positive_area[i] == positive_area(after)
            for activation in ("softmax", "sigmoid"):
                shifted = shifted_probabilities(pooled, self.weight, self.bias, vector, activation)
                assert_close(getattr(curve, f"{activation}_probability")[i], float(shifted.after[0, 2]), IDENTITY)


class TestInvariances:
    @given(seed=st.integers(0, 10_000), size=st.floats(1e-3, 10))
    def test_no_shift_changes_a_softmax_probability_and_every_shift_a_sigmoid_one(self, seed: int, size: float) -> None:
        features, weight, bias, vector = random_head(seed, torch.float32)
        pooled = features.mean(dim=(1, 2))[None]
        # Logits of up to a hundred here: their rounding, not that of the probability, is what is left.
        rounding = 8 * torch.finfo(torch.float32).eps * max(1.0, size * float(vector.abs() @ pooled[0]))
        assert probability_change(pooled, weight, bias, size * vector) <= max(rounding, PROBABILITY.absolute)
        exact = [x.double() for x in (pooled, weight, bias)]
        assert shifted_probabilities(*exact, size * vector.double(), "sigmoid").largest_change > 1e-9

    @given(seed=st.integers(0, 10_000), size=st.floats(-10, 10))
    def test_class_centred_map_stays_where_it_is(self, seed: int, size: float) -> None:
        features, weight, _, vector = random_head(seed)
        shifted = shifted_rows(weight, size * vector)
        assert_close(class_centred_map(features, shifted, 1), class_centred_map(features, weight, 1), IDENTITY)

    @given(seed=st.integers(0, 10_000), size=st.floats(-10, 10))
    def test_every_map_moves_by_the_same_map(self, seed: int, size: float) -> None:
        features, weight, _, vector = random_head(seed)
        moved = all_class_maps(features, shifted_rows(weight, size * vector)) - all_class_maps(features, weight)
        same = torch.einsum("k,khw->hw", size * vector, features)
        assert_close(moved, same.expand_as(moved), IDENTITY._replace(absolute=1e-10))

    @given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(TARGETS)))
    def test_painted_map_is_the_target(self, seed: int, name: str) -> None:
        features, weight, _, _ = random_head(seed)
        target = target_map(class_map(features, weight, 0), name)
        painted = painted_shift(features, weight[0], target)
        reached = class_map(features, shifted_rows(weight, painted.vector), 0)
        assert painted.reason is None
        assert_close(reached, target, IDENTITY._replace(absolute=1e-8))
        assert painted.residual <= 1e-8

    @given(seed=st.integers(0, 10_000))
    def test_no_smaller_shift_paints_it(self, seed: int) -> None:
        features, weight, _, other = random_head(seed)
        painted = painted_shift(features, weight[0], torch.zeros(ROWS, COLUMNS, dtype=DOUBLE))
        cells = features.flatten(1).T
        unseen = other - torch.linalg.lstsq(cells, (cells @ other)[:, None], driver="gelsd").solution[:, 0]
        assert float((painted.vector + unseen).norm()) >= float(painted.vector.norm())
        assert abs(float(painted.vector @ unseen)) <= 1e-8 * float(painted.vector.norm() * unseen.norm()) + 1e-8

    @given(seed=st.integers(0, 10_000), row=st.integers(0, ROWS - 1), column=st.integers(0, COLUMNS - 1))
    def test_maximum_moves_to_the_clicked_cell(self, seed: int, row: int, column: int) -> None:
        features, weight, _, _ = random_head(seed, torch.float32)
        own = class_map(features, weight, 0)
        painted = painted_shift(features, weight[0], target_at_cell(own, row, column))
        reached = class_map(features, shifted_rows(weight, painted.vector), 0)
        assert divmod(int(reached.argmax()), COLUMNS) == (row, column)
        assert_close(reached.max(), own.max(), FLOAT32)
        assert float(reached.min()) >= float(own.min()) - 1e-3

    @given(seed=st.integers(0, 10_000), size=st.floats(0.01, 10))
    def test_fitted_shift_is_found_again(self, seed: int, size: float) -> None:
        _, weight, _, vector = random_head(seed)
        found, share = common_shift(weight, shifted_rows(weight, size * vector))
        assert_close(found, size * vector, IDENTITY)
        assert share is not None
        assert_close(share, 1.0, IDENTITY)

    def test_uniform_delta_is_its_own_equivalent(self) -> None:
        features = random_head(3)[0]
        assert_close(equivalent_delta(features, uniform_shift(CHANNELS, -0.25)), -0.25, IDENTITY)

    def test_area_at_own_area_ignores_a_constant(self) -> None:
        features, weight, _, _ = random_head(4)
        maps = all_class_maps(features, weight)
        assert area_at_own_area(maps[0] - 3, maps[1:] - 3) == area_at_own_area(maps[0], maps[1:])

    def test_nothing_handed_in_is_changed(self) -> None:
        handed = random_head(5)
        features, weight, bias, vector = (x.clone() for x in handed)
        shifted_probabilities(features.mean(dim=(1, 2))[None], weight, bias, vector)
        delta_curve(features, weight, bias, 0, vector, torch.linspace(0, 1, 3), centred=True)
        painted_shift(features, weight[0], target_map(class_map(features, weight, 0), "background"))
        for now, then in zip((features, weight, bias, vector), handed, strict=True):
            assert torch.equal(now, then)


class TestZero:
    def test_absent_classes_are_absent_seeded_and_distinct(self) -> None:
        absent = absent_classes(1000, [7, 3], count=100)
        assert len(set(absent)) == 100
        assert not {7, 3} & set(absent)
        assert absent == absent_classes(1000, [3, 7], count=100)
        assert absent != absent_classes(1000, [3, 7], count=100, seed=1)
        assert absent_classes(3, [0, 2]) == [1]
        assert absent_classes(1, [0]) == []

    def test_areas_of_each_head(self) -> None:
        features, weight, _, _ = random_head(6)
        heads = {"softmax": weight, "lowered": shifted_rows(weight, uniform_shift(CHANNELS, -0.5))}
        areas = class_areas(features, heads, 0, seen=[0, 1], absent=[2, 4])
        for name, head in heads.items():
            maps = all_class_maps(features, head).numpy()
            assert areas[name].chosen == reference.positive_area(maps[0])
            assert areas[name].seen == reference.positive_area(maps[1])
            assert areas[name].absent == pytest.approx(reference.positive_area(maps[[2, 4]]))
            expected = reference.area_at_own_area(maps[0], maps[[2, 4]], 0.7)
            assert areas[name].absent_at_own_area == pytest.approx(expected)
        assert areas["lowered"].absent < areas["softmax"].absent  # type: ignore[operator]

    def test_none_where_there_are_no_such_classes(self) -> None:
        features, weight, _, _ = random_head(6)
        areas = class_areas(features, {"softmax": weight}, 0, seen=[0])["softmax"]
        assert (areas.seen, areas.absent, areas.absent_at_own_area) == (None, None, None)


class TestDegenerate:
    def test_features_of_zero_cannot_be_painted(self) -> None:
        painted = painted_shift(torch.zeros(3, 2, 2), torch.ones(3), torch.ones(2, 2))
        assert not painted.vector.any()
        assert (painted.rank, painted.residual) == (0, 1.0)
        assert "zero everywhere" in (painted.reason or "")

    def test_zero_map_of_zero_features_is_reached_without_a_shift(self) -> None:
        painted = painted_shift(torch.zeros(3, 2, 2), torch.ones(3), torch.zeros(2, 2))
        assert painted.reason is None

    def test_fewer_channels_than_cells_come_as_close_as_they_can(self) -> None:
        features = torch.rand(2, 3, 3, dtype=DOUBLE)
        painted = painted_shift(features, torch.zeros(2, dtype=DOUBLE), torch.eye(3, dtype=DOUBLE))
        best = torch.linalg.lstsq(features.flatten(1).T, torch.eye(3, dtype=DOUBLE).flatten()[:, None]).solution[:, 0]
        assert_close(painted.vector, best, IDENTITY)
        assert painted.rank == 2
        assert "2 independent maps on 9 cells" in (painted.reason or "")

    def test_equal_cells_cannot_be_told_apart(self) -> None:
        features = torch.rand(5, 1, 1).expand(5, 1, 2).contiguous()
        painted = painted_shift(features, torch.zeros(5), torch.tensor([[0.0, 2.0]]))
        assert painted.rank == 1
        assert_close(painted.residual, 1.0, FLOAT32)
        assert painted.reason is not None

    def test_flat_maps_have_a_sentence_and_no_number(self) -> None:
        flat, map_ = torch.full((2, 3), 4.0), torch.arange(6.0).view(2, 3)
        for before, after, when in ((flat, map_, "before"), (map_, flat, "after"), (map_, 1e-7 * map_, "after")):
            moved = map_movement(before, after)
            assert (moved.correlation, moved.top_iou, moved.peak_move) == (None, None, None)
            assert f"{when} the shift is flat" in (moved.reason or "")

    def test_equal_rows_are_all_shared(self) -> None:
        weight = torch.full((3, 4), 0.1)
        assert shared_energy_share(weight) == pytest.approx(1)
        assert not class_centred_map(torch.rand(4, 2, 2), weight, 0).any()

    def test_one_class_is_all_shared(self) -> None:
        features, weight = torch.rand(4, 2, 2), torch.randn(1, 4)
        assert shared_energy_share(weight) == pytest.approx(1)
        assert shared_map_share(features, weight, 0) == pytest.approx(1)
        assert not class_centred_map(features, weight, 0).any()
        assert probability_change(features.mean(dim=(1, 2))[None], weight, torch.zeros(1), torch.ones(4)) == 0

    def test_equal_heads_have_no_share(self) -> None:
        vector, share = common_shift(WEIGHT, WEIGHT)
        assert not vector.any()
        assert share is None

    def test_constant_map_gets_a_bump_of_one_logit(self) -> None:
        target = target_at_cell(torch.full((5, 5), 2.0), 4, 0)
        assert target[4, 0] == 3
        assert float(target.min()) == pytest.approx(2, abs=1e-3)

    def test_curve_of_zero_features_is_not_a_number_nowhere(self) -> None:
        curve = delta_curve(
            torch.zeros(3, 2, 2), torch.randn(2, 3), torch.zeros(2), 0, torch.ones(3), torch.arange(3.0)
        )
        assert all(moved.correlation is None and moved.reason for moved in curve.movement)
        assert curve.positive_area == [0, 0, 0]
        assert curve.softmax_probability == curve.sigmoid_probability == [0.5] * 3

    @pytest.mark.parametrize(
        ("call", "sentence"),
        [
            (lambda: shared_energy_share(torch.zeros(2, 3)), "all zero"),
            (lambda: shared_map_share(torch.zeros(3, 1, 2), WEIGHT.float(), 0), "zero everywhere"),
            (lambda: class_map(FEATURES, WEIGHT, 2), r"`class_index` \(=2\)"),
            (lambda: class_map(FEATURES, WEIGHT, -1), r"`class_index` \(=-1\)"),
            (lambda: class_centred_map(FEATURES, WEIGHT, 2), r"`class_index` \(=2\)"),
            (lambda: channel_shift(3, 3, 1.0), r"`channel` \(=3\)"),
            (lambda: equivalent_delta(torch.zeros(3, 1, 2), torch.ones(3)), "sum to zero"),
            (lambda: require_channels(WEIGHT, FEATURES[:2]), "2 channels"),
            (lambda: target_at_cell(torch.zeros(2, 2), 2, 0), "must be a cell"),
            (lambda: target_at_cell(torch.zeros(2, 2), 0, 0, 0.0), "must be positive"),
            (lambda: target_map(torch.zeros(2, 2), "middle"), "top left"),
            (lambda: painted_shift(torch.ones(3, 1, 2), torch.ones(3), torch.tensor([[0.0, math.nan]])), "finite"),
            (lambda: area_at_own_area(torch.ones(2, 2), torch.ones(1, 2, 2), 0.0), "above 0"),
            (lambda: area_at_own_area(torch.ones(2, 2), torch.ones(0, 2, 2)), "at least one"),
        ],
    )
    def test_refused_in_words(self, call, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            call()
