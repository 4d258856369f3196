"""Results as CSV: every number once."""

from __future__ import annotations

import csv
import io
from typing import Any

from bsig.evaluation.output.text import CSV_COLUMNS, csv_of


def test_the_csv_holds_every_number_of_the_json(results: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_of(results))))
    assert tuple(rows[0]) == CSV_COLUMNS
    columns = [column for table in results["tables"] for column in table["columns"].values()]
    assert len(rows) == sum(len(column["metrics"]) for column in columns)
    row = next(row for row in rows if (row["method"], row["column"], row["metric"]) == ("cam", "sigmoid", "own_area"))
    number = results["tables"][0]["columns"]["sigmoid"]["metrics"]["own_area"]
    assert float(row["value"]) == number["value"]
    assert float(row["difference_high"]) == number["difference"]["high"]
    assert row["excludes_zero"] in ("True", "False")
