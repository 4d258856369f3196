"""The page of the paper's tables is what the command prints, and its marks are its numbers'."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from commands import refusal

from bsig.cli.main import main
from bsig.cli.tables import paper_markdown
from bsig.evaluation.output.paper import beside_section, fallen_sentence, overall_sentence, row_title
from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.published.beside import rows_beside
from bsig.evaluation.published.tables import localization_cells
from bsig.inputs.paths import ASSETS, CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT

PAGE = ASSETS / "docs" / "paper.md"


def test_the_page_is_what_the_command_prints() -> None:
    assert paper_markdown(CHECKPOINTS_FOLDER) == PAGE.read_text(encoding="utf-8").rstrip("\n"), (
        "make it again: python -m bsig paper > assets/docs/paper.md"
    )


def test_red_marks_stand_at_the_published_cells_that_fall() -> None:
    page = PAGE.read_text(encoding="utf-8")
    published = page[page.index("## What was published") : page.index("## The same cells")]
    changes = re.findall(r"\((\+|−)([\d.]+)\)( 🔴)?", published)
    assert len(changes) == 32
    drops = {f"{12.13:.2f}", "30.31", "45.09", "8.16"}  # average drop: lower is better
    for sign, size, mark in changes:
        assert bool(mark) == ((sign == "+") if size in drops else (sign == "−")), size
    assert published.count("🔴") == 7


def test_the_sentence_counts_and_names_what_falls() -> None:
    assert fallen_sentence(localization_cells(), "localization").startswith("6 of 24 published cells of localization")
    assert fallen_sentence([], "nothing") == "No published cell of nothing falls."


def test_a_row_of_fewer_pictures_says_how_many() -> None:
    run = next(run for run in read_results(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT) if run["data"] == "imagenet20")
    row = rows_beside(run)[0]
    count = row.measured[0].count
    assert "(" not in row_title([row], {"used": count})
    assert row_title([row], {"used": count + 1}).endswith(f" ({count} pictures)")
    assert row_title([row], {"used": count, "present_classes": count + 1}).endswith(f" ({count} present classes)")


def made_run(clear_gains: dict[str, bool]) -> dict[str, Any]:
    tables = []
    for treatment, is_clear in clear_gains.items():
        change = {"value": 0.1, "low": 0.05 if is_clear else -0.05, "high": 0.2, "n": 7}
        columns = {"softmax": {"metrics": {"pxap": {"value": 0.5}}},
                   "sigmoid": {"metrics": {"pxap": {"value": 0.6, "difference": change}}}}  # fmt: skip
        tables.append({"method": "cam", "weights": treatment, "columns": columns})
    return {"tables": tables}


@pytest.mark.parametrize(
    ("clear_gains", "is_said"),
    [({"paper": True, "signed": False}, True), ({"paper": True, "signed": True}, False),
     ({"paper": False, "signed": False}, False)],
)  # fmt: skip
def test_gains_are_put_down_to_clamping_only_where_no_like_treatment_gains(
    clear_gains: dict[str, bool], is_said: bool
) -> None:
    assert ("Every clear gain needs" in overall_sentence([made_run(clear_gains)])) is is_said


def test_a_file_of_evaluate_is_laid_beside_the_tables(
    tmp_path: Path, results: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = next(run for folder in sorted(CHECKPOINTS_FOLDER.iterdir()) for run in read_results(folder))
    file = tmp_path / "results.json"
    file.write_text(json.dumps(run))
    assert main(["paper", "--results", str(file)]) == 0
    assert beside_section(run) in capsys.readouterr().out
    file.write_text(json.dumps(results))  # no boxes: no cell in common
    assert "no cell that was published" in refusal(capsys, "paper", "--results", file)
    file.write_text("{}")
    assert "is no evaluation" in refusal(capsys, "paper", "--results", file)
    assert "cannot be read" in refusal(capsys, "paper", "--results", tmp_path / "none.json")
