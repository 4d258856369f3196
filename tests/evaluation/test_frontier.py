"""The frontier: points and lines by hand, equal places together, and the shipped pictures true to the results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bsig.cli.main import main
from bsig.evaluation.frontier import (
    REACH,
    FrontierLine,
    frontier_of,
    frontier_sentence,
    frontiers,
    height_of_line,
)
from bsig.evaluation.output.frontier_svg import description, frontier_file
from bsig.evaluation.output.shipped import read_results
from bsig.inputs.paths import ASSETS, CHECKPOINTS_FOLDER

BIRDS = "birds10-efficientnet_lite0"
SHIPPED = [pair for folder in sorted(CHECKPOINTS_FOLDER.iterdir()) for pair in frontiers(read_results(folder))]


def made_table(places: dict[str, tuple[float, float]], curve: list[tuple[float, float, float]]) -> dict[str, Any]:
    columns = {
        key: {"title": f"title of {key}", "metrics": {"inside_auc": {"value": x}, "mosaic_quarter": {"value": y}}}
        for key, (x, y) in places.items()
    }
    points = [{"delta": delta, "inside_auc": x, "mosaic_quarter": y} for delta, x, y in curve]
    return {"columns": columns, "delta_curve": points}


def test_points_and_lines_by_hand() -> None:
    places = {
        "softmax": (0.90, 0.6), "softmax*sigmoid": (0.90, 0.6), "sigmoid": (0.88, 0.7), "delta-0.01": (0.87, 0.68),
        "random-head": (0.5, 0.25), "competition-0.5": (0.86, 0.74), "competition-0.25": (0.88, 0.71),
    }  # fmt: skip
    frontier = frontier_of(made_table(places, [(-0.01, 0.87, 0.68), (0.0, 0.90, 0.6), (-0.9, 0.3, 0.5)]))
    assert frontier is not None
    assert [point.keys for point in frontier.points] == [
        ("softmax", "softmax*sigmoid"), ("sigmoid",), ("competition-0.5",), ("competition-0.25",)
    ]  # fmt: skip
    assert [point.keys for point in frontier.outside] == [("random-head",)]
    assert frontier.lines == (
        FrontierLine("delta", ((-0.01, 0.87, 0.68), (0.0, 0.90, 0.6))),
        FrontierLine("competition", ((-0.5, 0.86, 0.74), (-0.25, 0.88, 0.71))),
    )
    assert "reaches 0.700 on mosaics, the untrained line 0.653: the branch lies 0.047 above it" in frontier_sentence(
        frontier
    )


@pytest.mark.parametrize(("x", "height"), [(0.5, 1.0), (0.75, 0.5), (1.0, 0.0), (0.25, 2.0), (0.2, None), (1.1, None)])
def test_the_height_of_a_line_is_straight_between_points_and_none_beside(x: float, height: float | None) -> None:
    line = FrontierLine("delta", ((0.0, 1.0, 0.0), (1.0, 0.5, 1.0), (2.0, 0.25, 2.0)))
    assert height_of_line(line, x) == height


def test_without_mosaics_or_boxes_there_is_no_frontier() -> None:
    table = made_table({"softmax": (0.9, 0.6), "sigmoid": (0.9, 0.6)}, [])
    assert frontier_of(table) is not None
    del table["columns"]["sigmoid"]["metrics"]["mosaic_quarter"]
    assert frontier_of(table) is None
    table["columns"]["sigmoid"]["metrics"]["mosaic_quarter"] = {"value": None}
    assert frontier_of(table) is None


@pytest.mark.parametrize(("run", "frontier"), SHIPPED, ids=lambda part: part["data"] if isinstance(part, dict) else "")
def test_every_column_is_a_point_or_on_the_untrained_line(run: dict[str, Any], frontier: Any) -> None:
    columns = next(table for table in run["tables"] if (table["method"], table["weights"]) == ("cam", "signed"))[
        "columns"
    ]
    scored = {key for key, column in columns.items() if {"inside_auc", "mosaic_quarter"} <= set(column["metrics"])}
    keys = [key for point in (*frontier.points, *frontier.outside) for key in point.keys]
    assert len(keys) == len(set(keys))
    assert scored - set(keys) == {key for key in scored if key.startswith("delta")}
    best = max(point.x for point in frontier.points)
    assert all(x >= best - REACH for line in frontier.lines for _, x, _ in line.points)


@pytest.mark.parametrize(("run", "frontier"), SHIPPED, ids=lambda part: part["data"] if isinstance(part, dict) else "")
def test_the_pictures_of_the_docs_hold_the_results(run: dict[str, Any], frontier: Any) -> None:
    tree = ElementTree.parse(ASSETS / "docs" / frontier_file(run))
    descriptions = [element.text for element in tree.iter("{http://purl.org/dc/elements/1.1/}description")]
    assert descriptions == [description(frontier)], "draw it again: python -m bsig results --frontier assets/docs"


def test_the_command_draws_a_picture_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(CHECKPOINTS_FOLDER / BIRDS, tmp_path / "checkpoints" / BIRDS)
    figures = tmp_path / "figures"
    assert main(["results", "--checkpoints", str(tmp_path / "checkpoints"), "--frontier", str(figures)]) == 0
    (file,) = figures.iterdir()
    assert capsys.readouterr().out == f"{file}\n"
    shipped = next(run for run, _ in SHIPPED if run["checkpoint"] == BIRDS)
    assert file.name == frontier_file(shipped)
