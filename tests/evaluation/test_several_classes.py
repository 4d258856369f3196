"""Pictures with several classes: each present class is measured with its own boxes or mask; intervals draw pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reference import interval_over_pictures
from tolerances import IDENTITY, assert_close

from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.evaluation.metrics.intervals import resampling_weights
from bsig.evaluation.output.text import format_table
from bsig.evaluation.output.words import counts_text, result_title
from bsig.inputs.datasets.samples import ClassRegions, LabelledImages, Sample
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0)}
LEFT, RIGHT = (0.0, 0.0, 48.0, 48.0), (48.0, 0.0, 96.0, 48.0)
CONFIG = EvaluationConfig(mosaics=0, resamples=40)
OWN_CLASS_METRICS = ("own_area", "own_mass", "box_iou", "inside_auc", "gt_known", "max_box_acc_v2", "pxap")


def halves(path: Path, left: str, right: str) -> Path:
    pixels = np.zeros((48, 96, 3), np.uint8)
    pixels[:, :48], pixels[:, 48:] = COLOURS[left], COLOURS[right]
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    """Red beside green (a mask), blue beside white, and red alone."""
    tmp_path = tmp_path_factory.mktemp("halves")
    mask = np.zeros((48, 96), np.uint8)
    mask[:, 48:] = 1
    Image.fromarray(mask).save(tmp_path / "right.png")
    samples = (
        Sample("a", "red", halves(tmp_path / "a.png", "red", "green"), (LEFT,), further_classes=("green",),
               further_regions=(ClassRegions("green", masks=(tmp_path / "right.png",)),)),
        Sample("b", "blue", halves(tmp_path / "b.png", "blue", "white"), (LEFT,), further_classes=("white",),
               further_regions=(ClassRegions("white", (RIGHT,)),)),
        Sample("c", "red", halves(tmp_path / "c.png", "red", "black"), (LEFT,)),
    )  # fmt: skip
    return LabelledImages("halves", "val", samples)


@pytest.fixture(scope="module")
def results(colours: DualBranch, images: LabelledImages) -> dict[str, Any]:
    """All pictures, in two treatments. Shared: never change it."""
    return evaluate(colours, images, replace(CONFIG, weights=("signed", "paper"), faithfulness=3, drop_pictures=3))


def softmax_values(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return results["tables"][0]["columns"]["softmax"]["metrics"]


def test_every_present_class_counts_once_with_its_own_boxes_or_mask(results: dict[str, Any]) -> None:
    """Maps by hand: 9 r, 9 g, 9 b, and 5.5 (r + g + b) for white."""
    counts, values = results["counts"], softmax_values(results)
    assert (counts["used"], counts["present_classes"], counts["with_boxes"], counts["with_mask"]) == (3, 5, 4, 1)
    assert counts["without_boxes_or_mask"] == 0
    own_areas, ious, aucs = [0.5, 0.5, 1, 1, 0.5], [1, 1, 0.5, 0.5, 1], [1, 1, 0.5, 1, 1]
    for key, expected in (("own_area", own_areas), ("box_iou", ious), ("inside_auc", aucs)):
        assert values[key]["n"] == 5
        assert values[key]["value"] == pytest.approx(np.mean(expected))
    assert (values["gt_known"]["n"], values["pxap"]["n"]) == (4, 1)
    assert values["pxap"]["value"] > 0.99
    by_class = {row["class"]: (row["n"], row["softmax"]["own_area"]) for row in results["tables"][0]["by_class"]}
    assert by_class == {"red": (2, 0.5), "green": (1, 0.5), "blue": (1, 1.0), "white": (1, 1.0)}
    rows = {(row["key"], row["class"]) for row in results["tables"][0]["differ_most"]["sigmoid_better"]}
    assert rows <= {("a", "red"), ("a", "green"), ("b", "blue"), ("b", "white"), ("c", "red")}


def test_absent_classes_are_those_that_the_picture_lacks(colours: DualBranch, images: LabelledImages) -> None:
    """Of four classes two are absent: blue (0) and white (1) in the first, red and green (0.5 each) in the second."""
    results = evaluate(colours, replace(images, samples=images.samples[:2]), CONFIG)
    assert results["settings"]["absent_per_image"] == 2
    assert softmax_values(results)["absent_area"] == {"value": 0.5, "low": 0.5, "high": 0.5, "n": 4}


def test_answers_of_a_branch_are_counted_a_picture(results: dict[str, Any]) -> None:
    """White is likeliest in the first picture (5.5 against 4.5), where it is not; in the second, where it is."""
    assert (results["accuracy"]["softmax_top1"]["value"], results["accuracy"]["softmax_top1"]["n"]) == (2 / 3, 3)
    for row in ("present_above_half", "absent_above_half"):
        assert results["calibration"]["class_balanced"][row]["n"] == 3
    values = softmax_values(results)
    assert values["insertion_auc"]["n"] == 2  # white in the second picture, red in the third
    assert values["average_drop"]["n"] == 5
    top1_loc, gt_known = values["top1_loc"]["value"], values["gt_known"]["value"]
    assert 0 <= gt_known - top1_loc <= 1 / 4  # one of the four boxes lies in the first picture


def test_intervals_draw_pictures_with_all_of_their_classes(results: dict[str, Any]) -> None:
    values, draws = softmax_values(results), resampling_weights(3, 40, CONFIG.seed)
    low, high = interval_over_pictures([[0.5, 0.5], [1.0, 1.0], [0.5]], draws[1:].tolist())
    assert_close([values["own_area"]["low"], values["own_area"]["high"]], [low, high], IDENTITY)


def test_scores_of_present_classes_are_those_of_pictures_listed_once_a_class(
    results: dict[str, Any], colours: DualBranch, images: LabelledImages
) -> None:
    """What is absent differs, as a list with one class a picture says less of it; the rest is the same."""
    alone = [
        replace(sample.of_class(name), key=f"{sample.key} {name}", further_classes=(), further_regions=())
        for sample in images.samples
        for name in sample.class_names
    ]
    together = results["tables"][0]["columns"]
    separate = evaluate(colours, replace(images, samples=tuple(alone)), CONFIG)["tables"][0]["columns"]
    for column in ("softmax", "sigmoid", "centred", "full-box"):
        for key in OWN_CLASS_METRICS:
            if key in separate[column]["metrics"]:
                first, second = (columns[column]["metrics"][key] for columns in (together, separate))
                assert (first["n"], first["value"]) == (second["n"], pytest.approx(second["value"], rel=1e-12))


def test_two_names_of_one_class_of_the_model_are_one_present_class(colours: DualBranch, images: LabelledImages) -> None:
    both = replace(
        images.samples[0], further_classes=("crimson",), further_regions=(ClassRegions("crimson", (RIGHT,)),)
    )
    data = replace(images, samples=(both, images.samples[1]))
    results = evaluate(colours, data, replace(CONFIG, class_map={"crimson": "red"}))
    assert results["counts"]["present_classes"] == 3
    assert results["tables"][0]["by_class"][0]["softmax"]["own_area"] == 0.5
    assert softmax_values(results)["box_iou"]["value"] == pytest.approx(np.mean([0.5, 0.5, 0.5]))


def test_a_class_that_the_checkpoint_lacks_takes_its_boxes_with_it(colours: DualBranch, images: LabelledImages) -> None:
    stranger = replace(images.samples[0], class_name="unicorn")
    results = evaluate(colours, replace(images, samples=(stranger,)), CONFIG)
    assert (results["counts"]["used"], results["counts"]["with_boxes"], results["counts"]["with_mask"]) == (1, 0, 1)
    assert [row["class"] for row in results["tables"][0]["by_class"]] == ["green"]


def test_a_picture_that_cannot_be_read_is_one_picture_less(
    colours: DualBranch, images: LabelledImages, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = replace(images.samples[0], path=tmp_path / "broken.png")
    counts = evaluate(colours, replace(images, samples=(broken, *images.samples[1:])), CONFIG)["counts"]
    assert (counts["used"], counts["present_classes"], counts["unreadable"]) == (2, 3, 1)


@pytest.mark.nightly
def test_parts_in_batches_of_one_give_the_same_numbers(colours: DualBranch, images: LabelledImages) -> None:
    whole, parts = (
        softmax_values(evaluate(colours, images, replace(CONFIG, batch_size=size, drop_pictures=2))) for size in (8, 1)
    )
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        assert parts[key] == pytest.approx(value, rel=1e-6, nan_ok=True), key


def test_every_head_says_how_many_classes_are_present(results: dict[str, Any]) -> None:
    assert counts_text(results["counts"]) == "3 pictures, 5 present classes"
    assert result_title(results) == "halves (val): 3 pictures, 5 present classes, masks"
    text = format_table(results)
    assert "3 of 3 pictures, 5 present classes, 4 with boxes, 1 with a mask" in text
    assert text.count("(3 pictures, 5 present classes)") == 2  # one a table
    assert "intervals draw pictures with all of their classes" in text


def test_all_classes_present_in_one_picture_leaves_none_to_ask_for(colours: DualBranch, images: LabelledImages) -> None:
    everything = replace(images.samples[0], further_classes=("green", "blue", "white"))
    with pytest.raises(InputError, match="none of them is absent"):
        evaluate(colours, replace(images, samples=(everything,)), CONFIG)


def test_pictures_of_one_class_come_out_as_before_several_were_measured(
    colours: DualBranch, squares: LabelledImages
) -> None:
    """`one_class.json` was written by the code that measured the first class alone; there it was equal bit by bit."""
    before = json.loads((Path(__file__).parent / "one_class.json").read_text(encoding="utf-8"))
    config = EvaluationConfig(mosaics=4, faithfulness=1, drop_pictures=3, resamples=5)
    results = evaluate(colours, squares, config)
    assert "present_classes" not in results["counts"]
    assert "present classes" not in format_table(results)
    assert results["counts"] == before["counts"]
    for table, expected in zip(results["tables"], before["tables"], strict=True):
        for column, metrics in expected.items():
            for key, numbers in metrics.items():
                estimate = table["columns"][column]["metrics"][key]
                flat = [estimate[name] for name in ("value", "low", "high", "n")]
                assert flat == pytest.approx(numbers, rel=1e-6, abs=1e-9), (column, key)
