"""What a published row takes: the arithmetic by hand, and commands that the command line and the networks accept."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from bsig.cli.main import _parser
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import table_requests
from bsig.evaluation.map_sources import distinct_sources
from bsig.evaluation.published.costs import (
    MapCounts,
    PublishedRow,
    Rates,
    decoding_ms,
    map_counts,
    measured_rates,
    published_rows,
)
from bsig.evaluation.published.tables import NETWORKS, published_cells
from bsig.inputs.paths import ASSETS
from bsig.model.dual_branch import DualBranch
from bsig.model.published.networks import PublishedNetwork

RATES = Rates(100.0, "a GPU", 4, pictures_a_second=100.0, passes_a_second={"vgg16": 500.0, "resnet50": 50.0})


def test_seconds_by_hand() -> None:
    boxes = PublishedRow("VGG-16", "cam", "ILSVRC")
    assert boxes.box_seconds(RATES, MapCounts(15, 9)) == 50_000 * 15 / 100
    assert boxes.encoder_seconds(RATES) == 50_000 / 100
    assert boxes.seconds(RATES, MapCounts(15, 9)) == 7_500 + 500
    slower_than_decoding = PublishedRow("ResNet-50", "cam", "ILSVRC")
    assert slower_than_decoding.encoder_seconds(RATES) == 50_000 / 50
    drop = PublishedRow("VGG-16", "cam", "CUB")
    assert drop.drop_seconds(RATES, MapCounts(15, 9)) == 5_794 * 9 / 500
    assert boxes.drop_seconds(RATES, MapCounts(15, 9)) == 0


def test_the_rates_are_those_of_the_performance_page() -> None:
    figures = json.loads((ASSETS / "docs" / "performance.json").read_text(encoding="utf-8"))
    gpu = figures["rates"]
    rates = measured_rates()
    assert rates.maps_a_second == figures["evaluate"]["maps_per_second"]
    assert rates.pictures_a_second == gpu["extraction, decoding included"]
    assert rates.passes_a_second["resnet50"] == gpu["networks"]["resnet50"]["encoder"]["float32"]
    assert set(NETWORKS.values()) <= set(rates.passes_a_second)
    assert decoding_ms() in [row["decode_ms"] for row in figures["picture"]["rows"]]


def test_there_is_a_row_for_every_published_cell_and_no_other() -> None:
    rows = {(row.network, row.method, row.data) for row in published_rows()}
    assert rows == {(cell.network, cell.method, cell.data) for cell in published_cells()}
    assert Counter(row.name for row in published_rows()).most_common(1)[0][1] == 1


@pytest.mark.parametrize("row", published_rows(), ids=lambda row: row.name)
def test_commands_are_understood(row: PublishedRow) -> None:
    words = row.command().split()[3:]
    options = _parser(words).parse_args(words)
    config = EvaluationConfig.from_arguments(options)
    assert (config.methods, config.weights) == ((row.method,), ("paper", "signed", "nonnegative"))
    assert config.drop_pictures == (row.pictures if row.data in ("CUB", "CARS") else 0)
    assert config.faithfulness == 0
    words = ["import-checkpoint", "FILE", *row.import_options().split(), "--out", row.name]
    arguments = _parser(words).parse_args(words)
    PublishedNetwork(
        arguments.architecture, arguments.method, arguments.large_feature_map
    )  # refuses what is not defined


def test_maps_are_counted_as_the_evaluation_makes_them(perturbed_model: DualBranch) -> None:
    """Softmax, centred, sigmoid, random head: each signed and clamped; features.

    For boxes the random map beside; as masks also the signed maps of both branches, levelled.
    """
    assert map_counts("grad-cam") == MapCounts(boxed=10, masking=11)
    config = EvaluationConfig(methods=("cam",), weights=("paper", "signed", "nonnegative"))
    sources = distinct_sources(table_requests(perturbed_model, config)).values()
    assert map_counts("cam").boxed == 1 + sum(source.is_localized for source in sources)
