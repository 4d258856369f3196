"""Sign quadrants, evidence, collapse curve and margin: by hand, against their loops, and over random heads."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_heads import shifted_probabilities
from tolerances import IDENTITY, assert_close
from torch import Tensor

from bsig.explain.diagnostics.logit_shift import class_map, uniform_shift
from bsig.explain.diagnostics.sign_collapse import (
    NO_POSITIVE_CELLS,
    NO_POSITIVE_CHANNELS,
    QUADRANTS,
    branch_probability_curve,
    collapse_curve,
    collapse_margin,
    evidence_by_channels,
    evidence_disagreement,
    evidence_mass,
    evidence_share,
    quadrant_of_channels,
    sign_disagreement,
    sign_quadrants,
    strongest_flipped_channels,
)
from bsig.inputs.errors import InputError
from bsig.model.presence import PresenceCalibration

DOUBLE = torch.float64
CHANNELS, ROWS, COLUMNS = 23, 3, 7
LOOPS = {"cells": reference.positive_evidence_by_cells, "channels": reference.positive_evidence_by_channels}

# 3 channels, 1x2 grid; pool = [0.5, 1, 1].
FEATURES = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[1.0, 1.0]]], dtype=DOUBLE)
SOFTMAX = torch.tensor([2.0, 1.0, -1.0], dtype=DOUBLE)
SIGMOID = torch.tensor([2.0, -2.0, -3.0], dtype=DOUBLE)


def random_weights(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features after a ReLU, softmax and sigmoid weights of one class, excitatory enough to light some cell."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(CHANNELS, ROWS, COLUMNS, generator=draw, dtype=DOUBLE).clamp(min=0)
    softmax, sigmoid = (0.5 + torch.randn(2, CHANNELS, generator=draw, dtype=DOUBLE)).unbind()
    return features, softmax, sigmoid


class TestByHand:
    def test_quadrants(self) -> None:
        softmax, sigmoid = torch.tensor([1.0, -1, 1, -1, 0, 1, 0]), torch.tensor([1.0, -1, -1, 1, 1, 0, 0])
        assert quadrant_of_channels(softmax, sigmoid).tolist() == [0, 1, 2, 3, 4, 4, 4]
        assert sign_disagreement(softmax, sigmoid) == pytest.approx(2 / 7)

    def test_counts_and_evidence(self) -> None:
        # masses: softmax [1, 1, 1] of 3, sigmoid [1, 2, 3] of 6; channel 1 flips.
        assert_close(evidence_mass(FEATURES, SIGMOID), [1.0, 2.0, 3.0], IDENTITY)
        flipped = sign_quadrants(FEATURES, SOFTMAX, SIGMOID)["excitatory to inhibitory"]
        assert (flipped.count, flipped.softmax_evidence, flipped.sigmoid_evidence) == (1, 1.0, 2.0)
        assert (flipped.share, flipped.evidence_share) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
        assert evidence_disagreement(FEATURES, SOFTMAX, SIGMOID) == pytest.approx(1 / 3)
        (strongest,) = strongest_flipped_channels(FEATURES, SOFTMAX, SIGMOID)
        assert (strongest.channel, strongest.softmax_weight, strongest.sigmoid_weight) == (1, 1.0, -2.0)

    def test_split_by_channels_is_not_the_split_by_cells(self) -> None:
        # M = [1, 1]: all cells speak for the class, while channel 2 speaks against it.
        channels = evidence_by_channels(FEATURES, SOFTMAX)
        above, below = reference.evidence_by_cells(class_map(FEATURES, SOFTMAX[None], 0).numpy())
        assert_close(channels.positive, [[2.0, 2.0]], IDENTITY)
        assert_close(channels.negative, [[-1.0, -1.0]], IDENTITY)
        assert_close(above, [[1.0, 1.0]], IDENTITY)
        assert_close(below, [[0.0, 0.0]], IDENTITY)
        assert channels.budget == (2.0, -1.0)

    def test_margins(self) -> None:
        # cells: relu(1 - 2 d) + relu(1 - 3 d) = 1 at d = 1/5. channels: relu(2-d)/2 + relu(1-d) = 1 at d = 2/3.
        assert collapse_margin(FEATURES, SOFTMAX).delta == pytest.approx(1 / 5)
        assert collapse_margin(FEATURES, SOFTMAX, "channels").delta == pytest.approx(2 / 3)

    def test_curve(self) -> None:
        curve = collapse_curve(FEATURES, SOFTMAX, torch.tensor([0.0, 0.2, 0.4, 2.0], dtype=DOUBLE))
        assert_close(curve.cells_left, [1.0, 0.5, 0.1, 0.0], IDENTITY)
        assert_close(curve.channels_left, [1.0, 0.85, 0.7, 0.0], IDENTITY)
        assert curve.positive_area == [1.0, 1.0, 0.5, 0.0]


class TestAgainstLoops:
    features, softmax, sigmoid = random_weights(1)
    softmax[3] = 0.0

    def test_quadrants(self) -> None:
        f, a, b = (x.numpy() for x in (self.features, self.softmax, self.sigmoid))
        names = [reference.sign_quadrant(x, y) for x, y in zip(a, b, strict=True)]
        assert [list(QUADRANTS)[i] for i in quadrant_of_channels(self.softmax, self.sigmoid)] == names
        masses = reference.evidence_mass(f, a), reference.evidence_mass(f, b), reference.evidence_share(f, a, b)
        for name, quadrant in sign_quadrants(self.features, self.softmax, self.sigmoid).items():
            members = [k for k in range(CHANNELS) if names[k] == name]
            assert quadrant.count == len(members)
            assert quadrant.share == len(members) / CHANNELS
            evidence = (quadrant.softmax_evidence, quadrant.sigmoid_evidence, quadrant.evidence_share)
            assert_close(evidence, [sum(mass[members]) for mass in masses], IDENTITY)

    def test_evidence(self) -> None:
        f, a, b = (x.numpy() for x in (self.features, self.softmax, self.sigmoid))
        assert_close(evidence_mass(self.features, self.softmax), reference.evidence_mass(f, a), IDENTITY)
        shares = evidence_share(self.features, self.softmax, self.sigmoid)
        assert_close(shares, reference.evidence_share(f, a, b), IDENTITY)
        split, expected = evidence_by_channels(self.features, self.softmax), reference.evidence_by_channels(f, a)
        assert_close(split.positive, expected[0], IDENTITY)
        assert_close(split.negative, expected[1], IDENTITY)

    def test_strongest_flipped_channels(self) -> None:
        f, a, b = (x.numpy() for x in (self.features, self.softmax, self.sigmoid))
        shares = reference.evidence_share(f, a, b)
        flipped = sorted((k for k in range(CHANNELS) if a[k] * b[k] < 0), key=lambda k: -shares[k])
        strongest = strongest_flipped_channels(self.features, self.softmax, self.sigmoid, 5)
        assert [channel.channel for channel in strongest] == flipped[:5]
        assert_close([channel.evidence_share for channel in strongest], shares[flipped[:5]], IDENTITY)

    def test_curve(self) -> None:
        f, a = self.features.numpy(), self.softmax.numpy()
        deltas = torch.linspace(0, 1, 4, dtype=DOUBLE)
        curve = collapse_curve(self.features, self.softmax, deltas)
        for shares, loop in ((curve.cells_left, LOOPS["cells"]), (curve.channels_left, LOOPS["channels"])):
            assert_close(shares, [loop(f, a, float(d)) / loop(f, a, 0.0) for d in deltas], IDENTITY)
        areas = [reference.positive_area(reference.channel_weighted_map(a - float(d), f)) for d in deltas]
        assert curve.positive_area == areas

    @pytest.mark.parametrize("reading", ["cells", "channels"])
    @pytest.mark.parametrize("seed", range(5))
    def test_margin_by_bisection(self, reading: str, seed: int) -> None:
        features, weights, _ = random_weights(seed)
        expected = reference.collapse_margin(lambda delta: LOOPS[reading](features.numpy(), weights.numpy(), delta))
        assert collapse_margin(features, weights, reading).delta == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("branch", ["softmax", "sigmoid"])
    def test_probability_curve_is_that_of_the_shifted_head(self, branch: str) -> None:
        weight, bias = torch.stack((self.softmax, self.sigmoid)), torch.tensor([0.3, -0.2], dtype=DOUBLE)
        pooled = self.features.mean(dim=(1, 2))[None]
        deltas = torch.tensor([0.0, 0.5, 1.0], dtype=DOUBLE)
        curve = branch_probability_curve(self.features, (pooled @ weight.T + bias)[0], 1, deltas, branch)
        for delta, probability in zip(deltas.tolist(), curve, strict=True):
            probabilities = shifted_probabilities(pooled, weight, bias, uniform_shift(CHANNELS, -delta), branch)[1]
            assert_close(probability, float(probabilities[0, 1]), IDENTITY)

    def test_the_calibrated_curve_is_the_calibration_of_the_shifted_logit(self) -> None:
        presence = PresenceCalibration(temperature=0.5, offset=2.0, pictures=1)
        deltas = torch.tensor([0.0, 0.5, 1.0], dtype=DOUBLE)
        logits, drop = torch.tensor([0.3, 1.2], dtype=DOUBLE), float(self.features.mean(dim=(1, 2)).sum())
        curve = branch_probability_curve(self.features, logits, 1, deltas, "sigmoid", presence)
        expected = [1 / (1 + math.exp(-(1.2 - delta * drop - 2.0) / 0.5)) for delta in deltas.tolist()]
        assert_close(torch.tensor(curve, dtype=DOUBLE), torch.tensor(expected, dtype=DOUBLE), IDENTITY)


class TestIdentities:
    @given(seed=st.integers(0, 10_000))
    def test_for_and_against_add_up_to_the_map_and_to_the_logit(self, seed: int) -> None:
        features, weights, _ = random_weights(seed)
        own = class_map(features, weights[None], 0)
        split = evidence_by_channels(features, weights)
        assert_close(split.positive + split.negative, own, IDENTITY)
        assert float(split.positive.min()) >= 0 >= float(split.negative.max())
        assert_close(sum(split.budget), float(weights @ features.mean(dim=(1, 2))), IDENTITY)
        above, below = reference.evidence_by_cells(own.numpy())
        assert (split.positive.numpy() >= above - 1e-12).all()  # for and against cancel in a cell, never the other way
        assert (split.negative.numpy() <= below + 1e-12).all()

    @given(seed=st.integers(0, 10_000))
    def test_quadrants_are_a_partition(self, seed: int) -> None:
        features, softmax, sigmoid = random_weights(seed)
        quadrants = sign_quadrants(features, softmax, sigmoid)
        assert sum(quadrant.count for quadrant in quadrants.values()) == CHANNELS
        assert sum(quadrant.evidence_share or 0.0 for quadrant in quadrants.values()) == pytest.approx(1)
        flipped = [quadrants["excitatory to inhibitory"], quadrants["inhibitory to excitatory"]]
        assert sum(quadrant.share for quadrant in flipped) == pytest.approx(sign_disagreement(softmax, sigmoid))
        evidence = evidence_disagreement(features, softmax, sigmoid)
        assert sum(quadrant.evidence_share or 0.0 for quadrant in flipped) == pytest.approx(evidence)

    @given(seed=st.integers(0, 10_000), size=st.floats(0.01, 100))
    def test_shares_do_not_depend_on_a_branch_scale(self, seed: int, size: float) -> None:
        features, softmax, sigmoid = random_weights(seed)
        scaled = evidence_share(features, softmax, size * sigmoid)
        assert_close(scaled, evidence_share(features, softmax, sigmoid), IDENTITY)

    @given(seed=st.integers(0, 10_000))
    def test_curve_falls(self, seed: int) -> None:
        features, weights, _ = random_weights(seed)
        curve = collapse_curve(features, weights, torch.linspace(0, 3, 31, dtype=DOUBLE))
        for values in (curve.cells_left, curve.channels_left, curve.positive_area):
            assert values is not None
            assert all(later <= earlier for earlier, later in pairwise(values))

    @given(seed=st.integers(0, 10_000), reading=st.sampled_from(["cells", "channels"]), scale=st.floats(0.1, 10))
    def test_margin_halves_and_grows_with_the_weights(self, seed: int, reading: str, scale: float) -> None:
        features, weights, _ = random_weights(seed)
        margin = collapse_margin(features, weights, reading).delta
        assert margin is not None
        curve = collapse_curve(features, weights, torch.tensor([margin], dtype=DOUBLE))
        shares = curve.cells_left if reading == "cells" else curve.channels_left
        assert shares == [pytest.approx(0.5, abs=1e-9)]
        assert collapse_margin(features, scale * weights, reading).delta == pytest.approx(scale * margin)

    def test_margin_is_the_first_delta_where_features_can_be_negative(self) -> None:
        # cells: relu(1 - d) + relu(-1 + d): gone at 1, back at 2; half at 0.5.
        features = torch.tensor([[[1.0, -1.0]]], dtype=DOUBLE)
        assert collapse_margin(features, torch.ones(1, dtype=DOUBLE)).delta == pytest.approx(0.5)


class TestDegenerate:
    @pytest.mark.parametrize("reading", ["cells", "channels"])
    def test_no_positive_weight_has_no_margin(self, reading: str) -> None:
        sentence = NO_POSITIVE_CELLS if reading == "cells" else NO_POSITIVE_CHANNELS
        for features, weights in ((FEATURES, -SOFTMAX.abs()), (torch.zeros_like(FEATURES), SOFTMAX)):
            margin = collapse_margin(features, weights, reading)
            assert (margin.delta, margin.reason) == (None, sentence)

    def test_margin_that_is_never_reached(self) -> None:
        features = torch.tensor([[[1.0]], [[-1.0]]], dtype=DOUBLE)
        margin = collapse_margin(features, torch.tensor([1.0, 0.0], dtype=DOUBLE))
        assert margin.delta is None
        assert margin.reason is not None

    def test_curve_without_positive_evidence(self) -> None:
        curve = collapse_curve(torch.zeros_like(FEATURES), SOFTMAX, torch.arange(2.0))
        assert (curve.cells_left, curve.channels_left, curve.reason) == (None, None, NO_POSITIVE_CHANNELS)
        hidden = torch.tensor([1.0, 0.0, -9.0], dtype=DOUBLE)  # an excitatory channel, outweighed on every cell
        curve = collapse_curve(FEATURES, hidden, torch.arange(2.0))
        assert curve.channels_left is not None
        assert (curve.cells_left, curve.reason) == (None, NO_POSITIVE_CELLS)

    def test_silent_channels_and_equal_branches_flip_nothing(self) -> None:
        assert strongest_flipped_channels(FEATURES, SOFTMAX, SOFTMAX) == []
        assert strongest_flipped_channels(torch.zeros_like(FEATURES), SOFTMAX, SIGMOID) == []
        quiet = FEATURES.clone()
        quiet[1] = 0.0
        assert strongest_flipped_channels(quiet, SOFTMAX, SIGMOID) == []
        assert sign_disagreement(SOFTMAX, SIGMOID) == pytest.approx(1 / 3)

    def test_branch_without_evidence(self) -> None:
        with pytest.raises(InputError, match="sigmoid branch has no evidence"):
            evidence_disagreement(FEATURES, SOFTMAX, torch.zeros_like(SIGMOID))
        quadrants = sign_quadrants(FEATURES, SOFTMAX, torch.zeros_like(SIGMOID))
        assert quadrants["no sign"].count == 3
        assert all(quadrant.evidence_share is None for quadrant in quadrants.values())

    def test_clamped_weights_are_not_sign_collapse(self) -> None:
        assert sign_disagreement(SOFTMAX, SOFTMAX.clamp(min=0)) == 0
