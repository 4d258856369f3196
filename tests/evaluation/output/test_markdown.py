"""What README and docs quote is what `results.json` holds, to the last digit."""

from __future__ import annotations

import shlex

import pytest

from bsig.cli.main import _parser
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.output.markdown import main_table, results_markdown, section
from bsig.evaluation.output.shipped import read_results, table_of
from bsig.inputs.paths import CHECKPOINTS_FOLDER, ROOT
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT


def test_the_page_holds_what_the_command_prints() -> None:
    folders = sorted(path for path in CHECKPOINTS_FOLDER.iterdir() if path.is_dir())
    assert results_markdown(folders) in (ROOT / "assets" / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_readme_quotes_the_default_checkpoints_main_table() -> None:
    run = next(each for each in read_results(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT) if each["data"] == "imagenet20")
    assert main_table(run) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_pages_range_of_the_published_comparison_is_that_of_the_files() -> None:
    gains = [
        table["columns"]["sigmoid"]["metrics"]["inside_auc"]["difference"]["value"]
        for path in CHECKPOINTS_FOLDER.iterdir()
        for run in read_results(path)
        for table in run["tables"]
        if (table["method"], table["weights"]) == ("cam", "paper")
    ]
    page = (ROOT / "assets" / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"(`paper`, {min(gains):+.3f} to {max(gains):+.3f})" in page


def test_a_run_without_average_drop_says_so_with_a_command_that_is_understood() -> None:
    for path in CHECKPOINTS_FOLDER.iterdir():
        for run in read_results(path):
            text = section(run)
            is_measured = "average_drop" in table_of(run, "cam", "signed")["columns"]["softmax"]["metrics"]
            assert is_measured == ("| average drop ↓ |" in text) == ("were not measured here" not in text)
            if not is_measured:
                words = shlex.split(text.split("`python -m bsig ")[1].split("`")[0])
                config = EvaluationConfig.from_arguments(_parser(words).parse_args(words))
                assert config.drop_pictures == run["counts"]["used"]
                assert config.class_map == run["settings"]["class_map"]


@pytest.mark.parametrize("name", [path.name for path in CHECKPOINTS_FOLDER.iterdir() if path.is_dir()])
def test_a_tables_cells_are_the_files_numbers(name: str) -> None:
    for run in read_results(CHECKPOINTS_FOLDER / name):
        columns = next(table for table in run["tables"] if (table["method"], table["weights"]) == ("cam", "signed"))[
            "columns"
        ]
        rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in main_table(run).splitlines()[2:]}
        question, softmax, sigmoid, difference, *_ = rows["positive area, absent class ↓"]
        assert question.strip() == "whether"
        number = columns["sigmoid"]["metrics"]["absent_area"]
        assert float(softmax) == pytest.approx(columns["softmax"]["metrics"]["absent_area"]["value"], abs=5.1e-4)
        assert float(sigmoid) == pytest.approx(number["value"], abs=5.1e-4)
        low, high = (float(text) for text in difference.split("[")[1].rstrip("] ").split(","))
        assert (low, high) == pytest.approx((number["difference"]["low"], number["difference"]["high"]), abs=5.1e-4)
