"""A `results.json` that is not what it must be is refused in one sentence that names the file and the place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bsig.evaluation.output.results_file import parsed_results
from bsig.evaluation.output.shipped import compact, read_results, results_text
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, RESULTS


@pytest.fixture(scope="module")
def good(results: dict[str, Any]) -> dict[str, Any]:
    return json.loads(results_text([compact(results)], results["metrics"], "a test"))


def test_what_is_written_passes_as_it_is(good: dict[str, Any]) -> None:
    assert parsed_results(json.dumps(good).encode(), "it") == good


def test_unknown_entries_are_kept(good: dict[str, Any]) -> None:
    later = copy.deepcopy(good)
    later["later"] = later["runs"][0]["later"] = later["runs"][0]["tables"][0]["later"] = [1]
    assert parsed_results(json.dumps(later).encode(), "it") == later


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "cannot be read (no JSON)"), ("[]", "cannot be read"), ('{"format_version": 1}', "cannot be read"),
     ('{"format_version": 99}', "newer"), ("[" * 100_000, "cannot be read (no JSON)"), ("\xff", "cannot be read"),
     ('{"format_version": 1, "runs": [{"tables": 3}], "metrics": {}}', "cannot be read (at `runs.0.")],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / RESULTS).write_text(text, encoding="latin-1")
    with pytest.raises(InputError) as error:
        read_results(tmp_path)
    sentence = str(error.value)
    assert sentence.startswith(f"checkpoint '{tmp_path.name}': {RESULTS}")
    assert words in sentence
    assert sentence.endswith(".")


def _number(run: dict[str, Any], value: Any) -> None:
    run["tables"][0]["columns"]["softmax"]["metrics"]["own_area"][0] = value


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no data": lambda run: run.pop("data"),
    "counts of text": lambda run: run["counts"].update(used="6"),
    "a number of text": lambda run: _number(run, "0.5"),
    "a number that is none": lambda run: _number(run, float("nan")),
    "a number that is a truth": lambda run: _number(run, True),
    "three numbers": lambda run: run["tables"][0]["columns"]["softmax"]["metrics"].update(own_area=[1, 2, 3]),
    "a twin that is not there": lambda run: run["tables"][-1].update(like={"method": "no", "weights": "no",
                                                                           "mass_factor": 1.0}),
    "a table without columns": lambda run: run["tables"][0].pop("columns"),
    "a picture without a class": lambda run: run["tables"][0]["by_class"][0].pop("class"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_part_that_is_missing_or_of_another_kind_is_refused(
    change: str, good: dict[str, Any], tmp_path: Path
) -> None:
    broken = copy.deepcopy(good)
    CHANGES[change](broken["runs"][0])
    (tmp_path / RESULTS).write_text(json.dumps(broken))
    with pytest.raises(InputError, match=rf"{RESULTS} cannot be read \(.*\); copy it again or make it again"):
        read_results(tmp_path)


def test_the_shipped_file_passes_as_it_is() -> None:
    content = (CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT / RESULTS).read_bytes()
    assert parsed_results(content, "it") == json.loads(content)
