"""Import times are added up by package; ImageNet-1k's times follow from rates by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bsig.cli.bench.imagenet import DeviceRate, imagenet_rows, read_rates
from bsig.cli.bench.report import judged
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
    many = "".join(f"import time: {1000 * number} | 1 | package{number}\n" for number in range(1, SHOWN_PACKAGES + 4))
    assert package_times(many)[-1] == {"package": "3 others", "ms": 6.0, "modules": 3}


def test_extraction_waits_for_whichever_is_slower() -> None:
    rate = DeviceRate("GPU", pictures_a_second=1000.0, cores=4)
    assert rate.extraction_s(8000, devices=2, decode_ms=2.0) == 8000 / 2000  # 4,000 a second could be decoded
    assert rate.extraction_s(8000, devices=2, decode_ms=8.0) == 8000 / 1000


def test_rows_of_imagenet_follow_from_the_rates_and_need_the_parts_they_use() -> None:
    results = {
        "picture": {"rows": [{"megapixels": 0.2, "decode_ms": 2.0}]},
        "finetune": {"epochs_per_second_on_2000_cached_pictures": 5.0},
        "evaluate": {"maps_per_second": 100.0},
    }
    rates = [{"device": "GPU", "pictures_a_second": 1000.0, "cores": 1}]
    one, eight = imagenet_rows(rates, results)
    assert one == {
        "device": "1 x GPU, 1 cores",
        "extraction": "43 min",  # 1,281,167 / 500
        "3 epochs": "6 min",  # 3 * 1,281,167 / 10,000
        "evaluation of 50,000 pictures": "85 min",  # 50,000 / 500 + 500,000 / 100
        "waits for": "decoding",
    }
    assert eight["extraction"] == "5 min"
    assert imagenet_rows(rates, {"picture": results["picture"]}) == []


@pytest.mark.parametrize(
    "content", ["{", '[{"device": "GPU"}]', "[]", '[{"device":"","pictures_a_second":0,"cores":1}]']
)
def test_a_file_that_holds_no_rates_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "rates.json").write_text(content)
    with pytest.raises(InputError, match="`--rates`"):
        read_rates(tmp_path / "rates.json")
    good = [{"device": "GPU", "pictures_a_second": 10, "cores": 2}]
    (tmp_path / "rates.json").write_text(json.dumps(good))
    assert read_rates(tmp_path / "rates.json") == good


def test_a_figure_outside_of_its_aim_says_so() -> None:
    assert (judged("1.2", True, True), judged("1.2", True, False)) == ("1.2", "1.2 (misses its aim)")
