"""Shift and shared component: by hand, against their loops, and over random heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_heads import (
    BIAS,
    CHANNELS,
    CLASSES,
    DOUBLE,
    FEATURES,
    WEIGHT,
    class_centred_map,
    class_maps,
    random_head,
    shifted_probabilities,
)
from tolerances import IDENTITY, PROBABILITY, assert_close

from bsig.explain.diagnostics.absent_classes import positive_area
from bsig.explain.diagnostics.logit_shift import (
    channel_shift,
    class_map,
    common_shift,
    delta_curve,
    equivalent_delta,
    map_movement,
    probability_change,
    shared_component,
    shared_energy_share,
    shared_map_share,
    uniform_shift,
)
from bsig.explain.diagnostics.painted_shift import painted_shift, target_map
from bsig.inputs.errors import InputError
from bsig.model.heads import shifted_rows


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
        assert_close(class_maps(FEATURES, WEIGHT), [[[2.0, 2.0]], [[2.0, 0.0]]], IDENTITY)

    def test_shift_adds_v_dot_pool_to_every_logit(self) -> None:
        # pool = [0.5, 1, 1]; v = 2 e_1: both logits gain 2.
        pooled, vector = FEATURES.mean(dim=(1, 2))[None], channel_shift(3, 1, 2.0)
        gained = pooled @ (shifted_rows(WEIGHT, vector) - WEIGHT).T
        assert_close(gained, [[2.0, 2.0]], IDENTITY)
        assert_close(probability_change(pooled, WEIGHT, BIAS, vector), 0.0, IDENTITY)

    def test_movement(self) -> None:
        before = torch.arange(5.0)[None]
        mirror = map_movement(before, before.flip(1))
        assert mirror.correlation == pytest.approx(-1)
        assert (mirror.top_iou, mirror.peak_move, mirror.reason) == (0.0, 4.0, None)
        scaling = map_movement(before, 3 * before - 7)
        assert scaling.correlation == pytest.approx(1)
        assert (scaling.top_iou, scaling.peak_move) == (1.0, 0.0)


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
        assert_close(class_maps(self.features, self.weight), everything, IDENTITY)
        assert_close(class_map(self.features, self.weight, 3), everything[3], IDENTITY)
        centred = class_centred_map(self.features, self.weight, 3)
        assert_close(centred, reference.class_centred_map(f, w, 3), IDENTITY)

    def test_logit_shift_and_equivalent_delta(self) -> None:
        f, v = self.features.numpy(), self.vector.numpy()
        pooled = self.features.mean(dim=(1, 2))[None]
        gained = pooled @ (shifted_rows(self.weight, self.vector) - self.weight).T
        expected = torch.full_like(gained, reference.logit_shift(reference.pooled(f), v))
        assert_close(gained, expected, IDENTITY)
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
        movement, (a, b) = map_movement(before, after), (before.numpy(), after.numpy())
        assert movement.correlation is not None
        assert_close(movement.correlation, reference.pearson_correlation(a, b), IDENTITY)
        assert movement.top_iou == reference.top_iou(a, b)
        assert movement.peak_move == reference.peak_move(a, b)

    def test_equal_cells_count_in_reading_order(self) -> None:
        before, after = torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0, 1.0]])
        movement = map_movement(before, after)
        assert movement.top_iou == reference.top_iou(before.numpy(), after.numpy()) == 0
        assert movement.peak_move == reference.peak_move(before.numpy(), after.numpy()) == 1

    @pytest.mark.parametrize("centred", [False, True])
    def test_delta_curve_is_each_shifted_head_by_itself(self, centred: bool) -> None:
        deltas = torch.linspace(-1, 1, 5, dtype=DOUBLE)
        curve = delta_curve(self.features, self.weight, 2, deltas, centred=centred)
        of = class_centred_map if centred else class_map
        before = of(self.features, self.weight, 2)
        for i, delta in enumerate(deltas):
            after = of(self.features, shifted_rows(self.weight, uniform_shift(CHANNELS, float(delta))), 2)
            assert curve.deltas[i] == delta
            expected = map_movement(before, after)
            assert_close(curve.movement[i].correlation, expected.correlation, IDENTITY)
            assert curve.movement[i].top_iou == expected.top_iou
            assert curve.movement[i].peak_move == expected.peak_move
            assert curve.positive_area[i] == positive_area(after)


class TestInvariances:
    @given(seed=st.integers(0, 10_000), size=st.floats(1e-3, 10))
    def test_no_shift_changes_a_softmax_probability_and_every_shift_a_sigmoid_one(self, seed: int, size: float) -> None:
        features, weight, bias, vector = random_head(seed, torch.float32)
        pooled = features.mean(dim=(1, 2))[None]
        # Logits of up to a hundred here: their rounding, not that of the probability, is what is left.
        rounding = 8 * torch.finfo(torch.float32).eps * max(1.0, size * float(vector.abs() @ pooled[0]))
        assert probability_change(pooled, weight, bias, size * vector) <= max(rounding, PROBABILITY.absolute)
        exact = [x.double() for x in (pooled, weight, bias)]
        before, after = shifted_probabilities(*exact, size * vector.double(), "sigmoid")
        assert float((after - before).abs().max()) > 1e-9

    @given(seed=st.integers(0, 10_000), size=st.floats(0.01, 10))
    def test_fitted_shift_is_found_again(self, seed: int, size: float) -> None:
        _, weight, _, vector = random_head(seed)
        fitted, share = common_shift(weight, shifted_rows(weight, size * vector))
        assert_close(fitted, size * vector, IDENTITY)
        assert share is not None
        assert_close(share, 1.0, IDENTITY)

    def test_uniform_delta_is_its_own_equivalent(self) -> None:
        features = random_head(3)[0]
        assert_close(equivalent_delta(features, uniform_shift(CHANNELS, -0.25)), -0.25, IDENTITY)
        assert equivalent_delta(torch.zeros(3, 1, 2), torch.ones(3)) is None

    def test_nothing_handed_in_is_changed(self) -> None:
        handed = random_head(5)
        features, weight, bias, vector = (x.clone() for x in handed)
        probability_change(features.mean(dim=(1, 2))[None], weight, bias, vector)
        delta_curve(features, weight, 0, torch.linspace(0, 1, 3), centred=True)
        painted_shift(features, weight[0], target_map(class_map(features, weight, 0), "background"))
        for now, then in zip((features, weight, bias, vector), handed, strict=True):
            assert torch.equal(now, then)


class TestDegenerate:
    def test_flat_maps_have_a_sentence_and_no_number(self) -> None:
        flat, map_ = torch.full((2, 3), 4.0), torch.arange(6.0).view(2, 3)
        for before, after, side in ((flat, map_, "before"), (map_, flat, "after"), (map_, 1e-7 * map_, "after")):
            movement = map_movement(before, after)
            assert (movement.correlation, movement.top_iou, movement.peak_move) == (None, None, None)
            assert f"{side} the shift is flat" in (movement.reason or "")

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

    def test_curve_of_zero_features_is_not_a_number_nowhere(self) -> None:
        curve = delta_curve(torch.zeros(3, 2, 2), torch.randn(2, 3), 0, torch.arange(3.0))
        assert all(movement.correlation is None and movement.reason for movement in curve.movement)
        assert curve.positive_area == [0, 0, 0]

    @pytest.mark.parametrize(
        ("call", "sentence"),
        [
            (lambda: shared_energy_share(torch.zeros(2, 3)), "all zero"),
            (lambda: shared_map_share(torch.zeros(3, 1, 2), WEIGHT.float(), 0), "zero everywhere"),
            (lambda: class_map(FEATURES, WEIGHT, 2), r"`class_index` \(=2\)"),
            (lambda: class_map(FEATURES, WEIGHT, -1), r"`class_index` \(=-1\)"),
            (lambda: channel_shift(3, 3, 1.0), r"`channel` \(=3\)"),
        ],
    )
    def test_refused_in_words(self, call, sentence: str) -> None:
        with pytest.raises(InputError, match=sentence):
            call()
