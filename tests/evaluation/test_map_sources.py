"""Which maps are the same map: every column equals the map that explaining draws, up to a named positive number."""

from __future__ import annotations

import pytest
import torch
from tolerances import FLOAT32, LIBRARY, assert_close

from bsig.evaluation.columns import columns_of
from bsig.evaluation.map_sources import TableRequest, class_maps, distinct_sources, source_of
from bsig.explain.cams import class_scores_of, head_score
from bsig.explain.methods import CAM_METHODS, TREATMENTS, clamps_weights, signed_map
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

QUICK = [key for key, method in CAM_METHODS.items() if not method.is_slow]


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(2, 1280, 3, 5, generator=torch.Generator().manual_seed(0)).relu()


@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("key", QUICK)
def test_columns_are_the_maps_that_explaining_draws(
    perturbed_model: DualBranch, features: torch.Tensor, key: str, treatment: str
) -> None:
    classes = torch.tensor([[7, 1], [3, 9]])
    columns = columns_of(perturbed_model, [-0.01])
    request = TableRequest(CAM_METHODS[key], treatment, columns)
    for name in ("softmax", "sigmoid", "centred", "delta-0.01", "features", "random-head"):
        source, column = request.source(name), columns[name]
        maps = class_maps(source, features, classes) / (15 if source.per_cell else 1)
        for i in range(2):
            for j in range(2):
                scores = class_scores_of(classes[i, j : j + 1], 1000, centred=name == "centred")
                score = head_score(column.head, features[i : i + 1], scores)
                clamp = clamps_weights(treatment, column.branch)
                expected = signed_map(CAM_METHODS[key], score, clamp_weights=clamp)[0][0]
                scale = float(expected.abs().max())
                assert_close(maps[i, j] / scale, expected / scale, LIBRARY)


def test_a_gated_column_is_its_map_without_the_gate(perturbed_model: DualBranch) -> None:
    request = TableRequest(CAM_METHODS["cam"], "paper", columns_of(perturbed_model))
    assert request.source("softmax*sigmoid") == request.source("softmax")
    assert request.source("sigmoid*sigmoid").clamped
    assert not request.source("softmax*softmax").clamped


def test_a_delta_column_adds_the_same_map_to_every_class(perturbed_model: DualBranch, features: torch.Tensor) -> None:
    classes = torch.tensor([[7, 1], [3, 9]])
    columns = columns_of(perturbed_model, [-0.25])
    shifted, plain = (
        class_maps(source_of(columns[key], CAM_METHODS["cam"], "signed"), features, classes)
        for key in ("delta-0.25", "softmax")
    )
    change = shifted - plain
    assert_close(change[:, 0], -0.25 * features.sum(dim=1), FLOAT32)
    assert_close(change[:, 1], change[:, 0], FLOAT32)


def test_equal_maps_are_kept_once(perturbed_model: DualBranch) -> None:
    """Eight methods in three treatments are CAM (clamped or not), Grad-CAM++, Ablation-CAM (twice) and Eigen-CAM."""
    every = columns_of(perturbed_model, ())
    columns = {key: column for key, column in every.items() if column.fits("grad-cam", "nonnegative")}
    requests = [TableRequest(CAM_METHODS[key], treatment, columns) for key in QUICK for treatment in TREATMENTS]
    heads = len(("softmax", "centred", "sigmoid", "features", "random-head"))
    assert len(distinct_sources(requests)) == (2 * heads - 1) + heads + 2 * heads + 1
    assert len(distinct_sources(requests, ["softmax"])) == 2 + 1 + 2 + 1


def test_score_cam_is_too_slow(perturbed_model: DualBranch) -> None:
    with pytest.raises(InputError, match="too slow"):
        source_of(columns_of(perturbed_model)["softmax"], CAM_METHODS["score-cam"], "signed")


def test_no_picture_gives_no_map(perturbed_model: DualBranch) -> None:
    for key in QUICK:
        source = source_of(columns_of(perturbed_model)["softmax"], CAM_METHODS[key], "signed")
        assert class_maps(source, torch.zeros(0, 1280, 3, 5), torch.zeros(0, 4, dtype=torch.long)).shape == (0, 4, 3, 5)


def test_a_column_with_bias_is_the_explainers_map_with_bias_and_moves_no_place(perturbed_model: DualBranch) -> None:
    features = perturbed_model.features(torch.randn(2, 3, 96, 96))
    classes = torch.tensor([[3, 574], [999, 0]])
    columns = columns_of(perturbed_model)
    cam = CAM_METHODS["cam"]
    for branch in ("softmax", "sigmoid"):
        plain = class_maps(source_of(columns[branch], cam, "signed"), features, classes)
        lifted = class_maps(source_of(columns[f"{branch}+bias"], cam, "signed"), features, classes)
        head = columns[branch].head
        assert_close(lifted - plain, head.last_linear.bias[classes][:, :, None, None].expand_as(plain), FLOAT32)
        logits = head(features).gather(1, classes)
        assert_close(lifted.mean(dim=(2, 3)), logits.detach(), FLOAT32)
    assert "softmax+fitted" not in columns  # nothing was fitted for this model
