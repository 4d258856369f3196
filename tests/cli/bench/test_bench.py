"""The bench measures by turns, compares like with like, and its tables hold what it measured."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tolerances import FLOAT32, LIBRARY, assert_close

from bsig.cli import main as cli
from bsig.cli.bench import learning, report
from bsig.cli.bench.compare import CLASS, peers, ready_input, whole_networks
from bsig.cli.bench.rounds import Times, alternating, times_of
from bsig.cli.bench.scale import with_random_classes
from bsig.evaluation.metrics.localization import THRESHOLDS, best_ious
from bsig.explain.explainer import Explainer
from bsig.inputs.images import read_image
from bsig.inputs.paths import ROOT
from bsig.model.dual_branch import DualBranch

CAT = ROOT / "assets" / "examples" / "cat.jpg"
SHIPPED = ROOT / "assets" / "docs" / "performance.json"


def test_acts_take_turns_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []
    lines: list[str] = []
    times = alternating({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, lines.append, warm_up=2)
    assert order == ["a", "b"] * 5
    assert {name: seconds.rounds for name, seconds in times.items()} == {"a": 3, "b": 3}


def test_median_and_quartiles_are_those_worked_out_by_hand() -> None:
    times = times_of([4.0, 1.0, 3.0, 2.0, 100.0])
    assert (times.low, times.median, times.high) == (2.0, 3.0, 4.0)
    assert times.milliseconds() == {"median_ms": 3000.0, "quartiles_ms": [2000.0, 4000.0], "rounds": 5}
    assert times_of([2.0]) == Times(2.0, 2.0, 2.0, 1)


def test_the_peers_networks_give_each_branchs_logits(perturbed_model: DualBranch) -> None:
    networks = whole_networks(perturbed_model)
    inputs = ready_input(read_image(CAT), perturbed_model.preprocessing)
    encoded = Explainer(perturbed_model).encode(CAT)
    with torch.no_grad():
        assert_close(networks["softmax"](inputs)[0], encoded.softmax_logits, FLOAT32)
        assert_close(networks["sigmoid"](inputs)[0], encoded.sigmoid_logits, FLOAT32)


def test_grad_cam_is_asked_for_the_same_two_maps(perturbed_model: DualBranch, monkeypatch: pytest.MonkeyPatch) -> None:
    import pytorch_grad_cam

    peer_maps = []
    original = pytorch_grad_cam.GradCAM.__call__
    monkeypatch.setattr(
        pytorch_grad_cam.GradCAM,
        "__call__",
        lambda self, *arguments: peer_maps.append(original(self, *arguments)),
    )
    inputs = partial(ready_input, read_image(CAT), perturbed_model.preprocessing)
    peers(whole_networks(perturbed_model), inputs)["grad-cam grad-cam"]()
    explanation = Explainer(perturbed_model).encode(CAT).explain(CLASS, "grad-cam")
    for peer_map, own_map in zip(peer_maps, (explanation.softmax.map, explanation.sigmoid.map), strict=True):
        clamped = own_map.clip(min=0)
        stretched = cv2.resize((clamped - clamped.min()) / (clamped.max() - clamped.min()), (224, 224))
        assert_close(peer_map[0], (stretched - stretched.min()) / (stretched.max() - stretched.min()), LIBRARY)


def test_the_loop_over_a_thousand_thresholds_finds_the_same_ious() -> None:
    maps = np.random.default_rng(1).normal(size=(3, 7, 7)).astype(np.float32)
    truths = [np.array([[10, 20, 90, 150]])] * 3
    ious = learning.thousand_thresholds(maps, truths)
    assert ious.shape == (3, len(THRESHOLDS))
    np.testing.assert_array_equal(ious, best_ious(maps, truths).all_contours)


def test_a_model_of_many_classes_explains_the_last_one(perturbed_model: DualBranch) -> None:
    wide = with_random_classes(perturbed_model, 5003)
    explanation = Explainer(wide).encode(CAT).explain(5002)
    assert explanation.class_name == "5002"
    assert explanation.softmax.map.shape == (7, 7)


@pytest.mark.nightly
def test_the_command_writes_results_and_page_and_keeps_parts_measured_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    for parts in ("compare", "classes,change,batches"):
        command = ["bench", "--quick", "--rounds", "1", "--parts", parts, "--out", str(out), "--page", str(tmp_path)]
        assert cli.main(command) == 0
    results = json.loads(out.read_text())
    assert {"machine", "compare", "classes", "change", "batches"} <= set(results)
    ratios = results["compare"]["against_bare_forward"]
    assert ratios["bare forward"] == 1.0
    assert set(results["compare"]["peers_against_bsig"]) >= {"grad-cam grad-cam", "grad-cam eigen-cam"}
    assert report.summary_table(results) in capsys.readouterr().out
    text = (tmp_path / "performance.md").read_text()
    assert report.summary_table(results) in text
    assert "![Cost against number of classes" in text
    assert (tmp_path / "performance-classes.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--parts", "compare,colour"], "`--parts` (=compare,colour) must be some of compare, change"),
        (["--rounds", "0"], "`--rounds` (=0) must be from 1 to 1000"),
        (["--table", "no-such.json"], "cannot be read as results of bench"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *arguments]) == 2
    refusal = capsys.readouterr().err
    assert sentence in refusal
    assert refusal.count("\n") == 1


def test_a_file_with_parts_of_another_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.json").write_text('{"machine": {"cores": 2}, "compare": {}}')
    assert cli.main(["bench", "--table", str(tmp_path / "old.json")]) == 2
    assert "the results lack or misspell" in capsys.readouterr().err


@pytest.mark.nightly
def test_the_page_part_divides_an_answer_into_all_of_its_parts(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert cli.main(["bench", "--quick", "--rounds", "1", "--parts", "page", "--out", str(out)]) == 0
    page = json.loads(out.read_text())["page"]
    for kind in ("never seen", "seen before"):
        parts = dict(page[kind]["median_ms"])
        total = parts.pop("total")
        assert abs(sum(parts.values()) - total) < 0.1 * total
    assert page["never seen"]["median_ms"]["encode"] > page["seen before"]["median_ms"]["encode"] == 0.0


@pytest.mark.skipif(not SHIPPED.is_file(), reason="no results of a bench run are committed")
def test_the_readme_holds_what_the_committed_results_say() -> None:
    results = json.loads(SHIPPED.read_text())
    rows_with_an_aim = [row for row in report.summary_rows(results) if row[2]]
    assert rows_with_an_aim
    readme_table = report.markdown_table(("what", "measured", "aim"), rows_with_an_aim)
    assert readme_table in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.nightly
def test_the_performance_page_holds_what_the_committed_results_say() -> None:
    """Nightly, because the page simulates hours of visitors."""
    results = json.loads(SHIPPED.read_text())
    plots = sorted(path.name for path in SHIPPED.parent.glob("performance-*.png"))
    assert sorted(map(report.plot_name, report.PLOTS)) == plots
    assert (SHIPPED.parent / "performance.md").read_text(encoding="utf-8") == report.page(results)
