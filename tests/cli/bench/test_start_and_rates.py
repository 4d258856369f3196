"""Import times are added up by package; ImageNet-1k's times follow from rates by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bsig.cli.bench.imagenet import imagenet_rows, read_rates, waiting_for
from bsig.cli.bench.report import judged, summary_rows
from bsig.cli.bench.start import SHOWN_PACKAGES, package_times
from bsig.inputs.errors import InputError


def test_import_times_are_summed_by_package_with_rows_for_the_large_parts_of_torch() -> None:
    report = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:      1500 |       1500 |   torch._dynamo.utils\n"
        "import time:       500 |       2000 | torch._dynamo\n"
        "import time:       100 |       2100 | torch\n"
        "import time:       250 |        250 | torch.nn\n"
        "some line of a library\n"
    )
    assert package_times(report) == [
        {"package": "torch._dynamo", "ms": 2.0, "modules": 2},
        {"package": "torch", "ms": 0.3, "modules": 2},
    ]
    lines = "".join(f"import time: {1000 * number} | 1 | package{number}\n" for number in range(1, SHOWN_PACKAGES + 4))
    assert package_times(lines)[-1] == {"package": "3 others", "ms": 6.0, "modules": 3}


RATES = {
    "device": "GPU",
    "cores": 4,
    "networks": {"efficientnet_lite0": {"encoder": {"float32": 5_000, "float16": 20_000}}},
    "extraction, decoding included": 1_000,
    "stored features a second in an epoch, 1000 classes": 50_000,
    "evaluation of cam, signed": 50,
}


def test_hours_of_imagenet_follow_from_the_rates_by_hand() -> None:
    single, eight = imagenet_rows(RATES)
    assert single == {
        "device": "1 x GPU, 4 cores",
        "the encoder alone": "64 s",  # 1,281,167 / 20,000
        "extraction, once": "21 min",  # 1,281,167 / 1,000
        "3 epochs on stored features": "77 s",
        "evaluation of 50,000 pictures": "17 min",
    }
    assert (eight["device"], eight["extraction, once"]) == ("8 x GPU, 32 cores", "3 min")
    assert "at 5% of the encoder's own rate: 4 cores decode too few" in waiting_for(RATES)
    assert "the GPU is what it waits for" in waiting_for({**RATES, "extraction, decoding included": 15_000})


@pytest.mark.parametrize("wrong", [{"device": "GPU"}, [], {**RATES, "evaluation of cam, signed": 0}])
def test_a_file_that_holds_no_rates_is_refused(tmp_path: Path, wrong: object) -> None:
    file = tmp_path / "rates.json"
    file.write_text(json.dumps(wrong))
    with pytest.raises(InputError, match=r"^`--rates` \(='.*rates.json'\) must be a JSON object"):
        read_rates(file)
    file.write_text(json.dumps(RATES))
    assert read_rates(file) == RATES


def test_a_figure_outside_of_its_aim_says_so() -> None:
    assert (judged("1.2", True, True), judged("1.2", True, False)) == ("1.2", "1.2 (misses its aim)")


def test_the_page_has_one_time_to_what_was_drawn_beforehand_and_one_to_the_live_comparison() -> None:
    opening = {"requests": 90, "kilobytes": 1500}
    seconds = {"words on the page": 0.4, "a prepared comparison on the page": 0.5, "first comparison": 7.25}
    (what, figure, aim), _ = summary_rows({"browser": {"seconds": seconds, "rows": [opening]}})
    assert "to one drawn beforehand; to the live page's own" in what
    assert (figure, aim) == ("0.5 s; 7.2 s (misses its aim)", "1 s; 4 s")
    (what, figure, _), _ = summary_rows({"browser": {"seconds": {"words on the page": 0.4, "first comparison": 7.25},
                                                     "rows": [opening]}})  # fmt: skip
    assert (what.split("; ")[1], figure) == ("to words on the page", "7.2 s; 0.4 s"), "results of before"
