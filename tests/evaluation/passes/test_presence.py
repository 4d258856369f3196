"""Presence over a whole set: shares above 50 %, the likeliest class's error, and the diagram, against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bsig.evaluation.metrics.intervals import resampling_weights
from bsig.evaluation.passes.presence import SHARES, calibration_measures, presence_arrays
from bsig.model.backbones import classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.model.presence import PresenceCalibration

PRESENT, SIBLINGS = [(3,), (7,), (500, 3)], [3, 7, 500]


@pytest.fixture(scope="module")
def model() -> DualBranch:
    classifier = classifier_from_timm("test_resnet", pretrained=False)
    return DualBranch(classifier, presence=PresenceCalibration(0.05, 0.1, 60))


@pytest.fixture(scope="module")
def features(model: DualBranch) -> torch.Tensor:
    return model.features(torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2)))


def test_each_pictures_numbers_are_those_of_loops_over_its_classes(model: DualBranch, features: torch.Tensor) -> None:
    arrays = presence_arrays(model, features, PRESENT, SIBLINGS)
    logits = model.sigmoid_logits(features).detach().double().numpy()
    for kind, values in (
        ("class_balanced", 1 / (1 + np.exp(-logits))),
        ("calibrated", 1 / (1 + np.exp(-(logits - 0.1) / 0.05))),
    ):
        for i, present in enumerate(PRESENT):
            absent = [values[i, c] > 0.5 for c in range(1000) if c not in present]
            siblings = [values[i, c] > 0.5 for c in SIBLINGS if c not in present]
            likeliest = int(values[i].argmax())
            expected = [
                np.mean(values[i, list(present)] > 0.5),
                np.mean(absent),
                np.mean(siblings),
                values[i].max(),
                likeliest in present,
            ]
            assert arrays[f"presence {kind}"][i] == pytest.approx(np.array(expected, float))
            assert arrays[f"presence bins {kind}"][i, :, 2].sum() == 1000
            assert arrays[f"presence bins {kind}"][i, :, 1].sum() == len(present)
            assert arrays[f"presence bins {kind}"][i, :, 0].sum() == pytest.approx(values[i].sum())


def test_a_model_without_a_calibration_is_measured_as_it_is(model: DualBranch, features: torch.Tensor) -> None:
    uncalibrated = presence_arrays(DualBranch(model.classifier()), features, PRESENT, SIBLINGS)
    assert sorted(uncalibrated) == ["presence bins class_balanced", "presence class_balanced"]


def test_the_measures_of_a_set_by_hand() -> None:
    shares = np.array([[1.0, 0.0, np.nan, 0.9, 1.0], [0.0, 0.5, np.nan, 0.7, 0.0]])
    bins = np.zeros((2, 10, 3))
    bins[0, 9] = (0.9, 1, 1)
    bins[1, 7] = (0.7, 0, 1)
    measures = calibration_measures(shares, bins, resampling_weights(2, 10))
    assert [measures[name]["value"] for name in SHARES] == [0.5, 0.25, None]
    assert measures["expected_calibration_error"] == pytest.approx((0.1 + 0.7) / 2)
    assert measures["reliability"] == [
        {"probability": 0.7, "share": 0.0, "count": 1},
        {"probability": 0.9, "share": 1.0, "count": 1},
    ]
