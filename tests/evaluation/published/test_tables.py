"""The published tables: what stands in them and what of it falls, counted from the numbers."""

from __future__ import annotations

import pytest

from bsig.evaluation.metrics.catalogue import METRICS
from bsig.evaluation.published.tables import (
    DATASETS,
    NETWORKS,
    PublishedCell,
    faithfulness_cells,
    fallen,
    localization_cells,
    published_cells,
)
from bsig.explain.methods import CAM_METHODS
from bsig.model.published.networks import ARCHITECTURES


def test_six_cells_of_localization_fall_all_of_grad_cam_on_two_networks() -> None:
    groups = fallen(localization_cells())
    assert set(groups) == {("grad-cam", "ResNet-50"), ("grad-cam", "Inception-v3")}
    assert [cell.change for cells in groups.values() for cell in cells] == [-0.82, -1.69, -0.32, -0.85, -1.17, -1.48]


def test_a_drop_that_rises_falls() -> None:
    """Average drop is better when lower: of the four published ones VGG-16 on Cars gets worse."""
    ((group, cells),) = fallen(faithfulness_cells()).items()
    assert group == ("cam", "VGG-16")
    assert [(cell.data, cell.metric, cell.change) for cell in cells] == [("CARS", "average_drop", 12.13)]


@pytest.mark.parametrize(
    ("metric", "softmax", "sigmoid", "falls"),
    [("gt_known", 50.0, 49.9, True), ("gt_known", 50.0, 50.0, False), ("average_drop", 50.0, 49.9, False),
     ("average_drop", 50.0, 50.1, True)],
)  # fmt: skip
def test_worse_follows_the_better_direction(metric: str, softmax: float, sigmoid: float, falls: bool) -> None:
    assert PublishedCell("VGG-16", "cam", "ILSVRC", metric, softmax, sigmoid).falls is falls


def test_every_cell_is_of_a_known_network_method_data_set_and_metric() -> None:
    cells = published_cells()
    assert len(cells) == len({(cell.network, cell.method, cell.data, cell.metric) for cell in cells}) == 32
    assert set(NETWORKS.values()) == set(ARCHITECTURES)
    for cell in cells:
        assert cell.network in NETWORKS
        assert cell.method in CAM_METHODS
        assert cell.data in DATASETS
        assert cell.metric in METRICS
        assert 0 < cell.softmax < 100
        assert 0 < cell.sigmoid < 100
