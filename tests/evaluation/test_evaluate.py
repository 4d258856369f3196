"""The whole evaluation on small generated pictures with the real default model, and on bad data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tolerances import FLOAT32, IDENTITY, assert_close

from bsig.evaluation.columns import TRAINED_COLUMNS, delta_key
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import class_match, evaluate
from bsig.evaluation.metrics.catalogue import METRICS, Metric
from bsig.evaluation.output.text import format_table
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages, Sample
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

BOX_FAMILIES = {
    "sign against boxes or mask", "order of places", "localization against boxes", "localization against masks",
    "class-aware precision",
}  # fmt: skip
NAMES = ("tench", "goldfish", "golf ball", "tabby")


def picture(path: Path, seed: int, size: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).resize((size, size)).save(path)
    return path


def is_measured_everywhere(metric: Metric) -> bool:
    """The rest needs masks, or mosaics or faithfulness asked for."""
    return metric.family not in ("grid pointing game", "localization against masks", "faithfulness, judged by softmax")


@pytest.fixture
def images(tmp_path: Path) -> LabelledImages:
    """Six readable pictures (one without a box, one box beyond its picture), one damaged, one of an unknown class."""
    samples = [
        Sample(f"{i}.png", NAMES[i % 4], picture(tmp_path / f"{i}.png", i), ((8.0, 8.0, 40.0, 48.0),)) for i in range(4)
    ]
    samples.append(Sample("bare.png", "tench", picture(tmp_path / "bare.png", 8)))
    samples.append(Sample("far.png", "tench", picture(tmp_path / "far.png", 9), ((80.0, 80.0, 90.0, 90.0),)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    samples.append(Sample("broken.png", "tench", tmp_path / "broken.png"))
    samples.append(Sample("other.png", "no such class", picture(tmp_path / "other.png", 10)))
    return LabelledImages("generated", "val", tuple(samples))


def test_every_number_is_there_and_the_rest_is_said(perturbed_model: DualBranch, images: LabelledImages) -> None:
    steps: list[tuple[int, int]] = []
    results = evaluate(
        perturbed_model,
        images,
        EvaluationConfig(mosaics=0, resamples=20),
        progress=lambda count, total: steps.append((count, total)),
    )
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    counts = results["counts"]
    assert (counts["listed"], counts["used"], counts["unreadable"], counts["of_unmatched_classes"]) == (8, 6, 1, 1)
    assert (counts["with_boxes"], counts["without_boxes_or_mask"]) == (4, 2)
    assert counts["unmatched_classes"] == ["no such class"]
    assert any("broken.png" in sentence for sentence in counts["sentences"])
    assert any("far.png" in sentence for sentence in counts["sentences"])
    assert steps[-1][0] == steps[-1][1] == 7
    (table,) = results["tables"]
    columns = ["softmax", "centred", "sigmoid", delta_key(-0.01), delta_key(-0.02), delta_key(-0.04)]
    assert list(table["columns"])[:6] == columns
    for key, column in table["columns"].items():
        for name, number in column["metrics"].items():
            assert name in METRICS
            assert ("difference" in number) == (key != "softmax")
            assert number["n"] <= (4 if METRICS[name].family in BOX_FAMILIES else 6)
            assert number["value"] is None or number["low"] <= number["high"]
    expected = {name for name, metric in METRICS.items() if is_measured_everywhere(metric)}
    assert set(table["columns"]["softmax"]["metrics"]) == expected
    assert [point["delta"] for point in table["delta_curve"]] == sorted(
        (point["delta"] for point in table["delta_curve"]), reverse=True
    )


def test_equal_branches_differ_in_nothing(default_model: DualBranch, images: LabelledImages) -> None:
    results = evaluate(default_model, images, EvaluationConfig(mosaics=0, resamples=20))
    for number in results["tables"][0]["columns"]["sigmoid"]["metrics"].values():
        difference = number["difference"]
        assert (difference["value"], difference["low"], difference["high"]) == (0, 0, 0)
    assert results["accuracy"]["difference"]["value"] == 0
    assert results["tables"][0]["differ_most"]["sigmoid_better"] == []


@pytest.mark.nightly
def test_the_same_seed_gives_the_same_numbers_whatever_the_batch(
    perturbed_model: DualBranch, images: LabelledImages
) -> None:
    single = evaluate(perturbed_model, images, EvaluationConfig(mosaics=0, resamples=5, batch_size=1))["tables"][0][
        "columns"
    ]["sigmoid"]
    batched = evaluate(perturbed_model, images, EvaluationConfig(mosaics=0, resamples=5))["tables"][0]["columns"][
        "sigmoid"
    ]
    for key, number in single["metrics"].items():
        assert_close(number["value"], batched["metrics"][key]["value"], FLOAT32)


def test_a_class_map_names_the_models_class(default_model: DualBranch) -> None:
    images = LabelledImages("shapes", "val", (Sample("a", "airplane", None), Sample("b", "car", None)))
    match = class_match(default_model, images, {"airplane": "404"})
    assert match.index_of == {"airplane": 404}
    assert match.unmatched == ("car",)


def test_a_model_that_can_be_worked_out_by_hand(colours: DualBranch, squares: LabelledImages) -> None:
    """Own maps are positive on just the left half; absent ones nowhere, save white on colours, colours on white."""
    results = evaluate(colours, squares, EvaluationConfig(mosaics=6, resamples=10))
    softmax = results["tables"][0]["columns"]["softmax"]["metrics"]
    assert results["counts"]["with_mask"] == 4
    for key in ("own_area", "box_iou", "box_precision", "box_recall"):
        assert softmax[key]["value"] == pytest.approx(0.5 if key == "own_area" else 1.0)
    assert softmax["inside_auc"]["value"] == 1.0
    # The left half of the enlarged map runs out over its edge (bicubic), so it is a little wider than the box.
    assert softmax["gt_known"]["value"] == softmax["max_box_acc_70"]["value"] == softmax["top1_loc"]["value"] == 1.0
    assert softmax["pxap"]["value"] > 0.99
    assert softmax["pxap"]["n"] == 4
    full = results["tables"][0]["columns"]["full-box"]["metrics"]
    assert (full["max_box_acc_50"]["value"], full["max_box_acc_70"]["value"]) == (1.0, 0.0)  # IoU 113 / 224
    # Three absent classes each: for a colour white is positive on its half, for white all three colours are.
    assert softmax["absent_area"]["value"] == pytest.approx((6 * 0.5 / 3 + 2 * 0.5) / 8)
    sigmoid = results["tables"][0]["columns"]["sigmoid"]["metrics"]
    assert sigmoid["own_area"]["value"] == pytest.approx(0.5)
    assert sigmoid["absent_area"]["value"] == pytest.approx((6 * 0.5 / 3) / 8)
    assert results["accuracy"]["softmax_top1"]["value"] == 1.0


def test_mosaics_need_four_sure_classes(colours: DualBranch, squares: LabelledImages) -> None:
    three = LabelledImages("squares", "val", squares.samples[:6])
    results = evaluate(colours, three, EvaluationConfig(mosaics=6, resamples=10))
    assert results["counts"]["mosaics"] == 0
    assert "mosaic" not in results["tables"][0]["columns"]["softmax"]["metrics"]
    assert "mosaics" in format_table(results)


def test_pointing_in_mosaics_of_single_colours(colours: DualBranch, squares: LabelledImages) -> None:
    """Red is positive in its own quarter and, as strongly, in white's; the sigmoid branch's red is not."""
    results = evaluate(colours, squares, EvaluationConfig(mosaics=6, resamples=10))
    columns = results["tables"][0]["columns"]
    assert results["counts"]["mosaics"] == 6
    # White: 16.5 a cell in its own quarter and 5.5 in each of three colours'; in the sigmoid branch 7.5 and 2.5.
    assert columns["softmax"]["metrics"]["mosaic"]["value"] == pytest.approx((3 * 0.5 + 0.5) / 4)
    assert columns["sigmoid"]["metrics"]["mosaic"]["value"] == pytest.approx((3 * 1.0 + 0.5) / 4)


def test_faithfulness_is_judged_by_softmax_on_pictures_that_it_gets_right(
    colours: DualBranch, squares: LabelledImages
) -> None:
    results = evaluate(colours, squares, EvaluationConfig(mosaics=0, faithfulness=3, resamples=10))
    softmax, noise = (results["tables"][0]["columns"][key]["metrics"] for key in ("softmax", "random-head"))
    for key in ("insertion_auc", "deletion_auc", "average_drop", "increase_in_confidence"):
        assert softmax[key]["n"] == 3
        assert 0 <= softmax[key]["value"] <= 1
    assert softmax["average_drop"]["value"] < 0.05  # nothing but black is taken away, save at the edge
    assert softmax["deletion_auc"]["value"] <= noise["deletion_auc"]["value"]
    assert "insertion_auc" not in results["tables"][0]["columns"]["full-box"]["metrics"]


def test_the_table_names_every_metric_and_left_out_picture(perturbed_model: DualBranch, images: LabelledImages) -> None:
    text = format_table(evaluate(perturbed_model, images, EvaluationConfig(mosaics=0, resamples=5)))
    for metric in METRICS.values():
        assert metric.title in text or not is_measured_everywhere(metric)
    assert "left out: 1 unreadable" in text
    assert "left out: 1 of classes that the checkpoint lacks" in text
    assert max(len(line) for line in text.splitlines()) < 250


def test_without_boxes_the_rest_is_still_measured(perturbed_model: DualBranch, images: LabelledImages) -> None:
    bare = LabelledImages("bare", "val", tuple(replace(sample, boxes_xyxy=()) for sample in images.samples[:3]))
    results = evaluate(perturbed_model, bare, EvaluationConfig(mosaics=0, resamples=5))
    softmax = results["tables"][0]["columns"]["softmax"]["metrics"]
    assert softmax["box_iou"] == {"value": None, "low": None, "high": None, "n": 0}
    assert softmax["absent_area"]["n"] == 3
    assert results["tables"][0]["differ_most"]["by"] == "own_area - absent_area"
    text = format_table(results)
    assert "No picture has a box or a mask: localization is not measured." in text
    assert "sign against boxes" not in text  # no rows of dashes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"methods": ("no-cam",)}, "method"),
        ({"methods": ("score-cam",)}, "too slow"),
        ({"methods": ()}, "at least one"),
        ({"weights": ("clever",)}, "weights"),
        ({"limit": 0}, "limit"),
    ],
)
def test_wrong_settings_are_refused(
    default_model: DualBranch, images: LabelledImages, arguments: dict, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        evaluate(default_model, images, EvaluationConfig(mosaics=0, resamples=5, **arguments))


def test_nothing_usable_is_refused_with_its_reason(default_model: DualBranch, images: LabelledImages) -> None:
    unknown = LabelledImages("strange", "val", images.samples[-1:])
    with pytest.raises(InputError, match=r"no class 'no such class'"):
        evaluate(default_model, unknown)
    broken = LabelledImages("broken", "val", images.samples[-2:-1])
    with pytest.raises(InputError, match=r"broken\.png"):
        evaluate(default_model, broken)


def test_features_that_are_not_finite_are_left_out(
    colours: DualBranch, squares: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = colours.fast_features

    def damaged(inputs: torch.Tensor) -> torch.Tensor:
        features = honest(inputs).clone()
        features[0] = torch.nan
        return features

    monkeypatch.setattr(colours, "fast_features", damaged)
    results = evaluate(colours, squares, EvaluationConfig(mosaics=0, resamples=5, batch_size=4))
    assert (results["counts"]["used"], results["counts"]["unreadable"]) == (6, 2)
    assert "not finite" in results["counts"]["sentences"][0]
    with pytest.raises(InputError, match="not finite"):
        evaluate(colours, squares, EvaluationConfig(mosaics=0, resamples=5, batch_size=1))


def test_evaluating_changes_no_weight(perturbed_model: DualBranch, images: LabelledImages) -> None:
    before = {key: value.clone() for key, value in perturbed_model.state_dict().items()}
    evaluate(perturbed_model, images, EvaluationConfig(methods=("cam", "grad-cam"), mosaics=0, resamples=5))
    assert all(torch.equal(value, before[key]) for key, value in perturbed_model.state_dict().items())
    assert all(parameter.grad is None for parameter in perturbed_model.parameters())


def test_cam_and_grad_cam_agree_up_to_the_number_of_cells(perturbed_model: DualBranch, images: LabelledImages) -> None:
    cam, grad = evaluate(
        perturbed_model, images, EvaluationConfig(methods=("cam", "grad-cam"), mosaics=0, resamples=5)
    )["tables"]
    for key in ("own_area", "absent_area", "inside_auc", "mass_ratio"):
        for column in ("softmax", "centred", "sigmoid"):
            value, expected = (table["columns"][column]["metrics"][key]["value"] for table in (grad, cam))
            assert_close(value, expected, FLOAT32)


@pytest.mark.nightly
def test_a_slice_of_the_shared_pictures(default_model: DualBranch, shared_data: Path) -> None:
    """The reference figures of 1,000 such pictures (own 0.949, absent 0.494, AUC 0.899), within a slice's noise."""
    images = read_dataset(shared_data / "imagenet20", "val")
    results = evaluate(default_model, images, EvaluationConfig(limit=48, mosaics=4, resamples=200))
    softmax = results["tables"][0]["columns"]["softmax"]["metrics"]
    assert softmax["own_area"]["value"] == pytest.approx(0.949, abs=0.05)
    assert softmax["absent_area"]["value"] == pytest.approx(0.48, abs=0.06)
    assert softmax["inside_auc"]["value"] == pytest.approx(0.899, abs=0.04)
    assert softmax["mosaic"]["value"] == pytest.approx(0.843, abs=0.06)
    delta = results["tables"][0]["columns"]["delta-0.02"]["metrics"]["absent_area"]
    assert delta["difference"]["high"] < 0
    assert_close(delta["difference"]["value"], delta["value"] - softmax["absent_area"]["value"], IDENTITY)


@pytest.mark.nightly
def test_average_drop_over_a_set_is_that_of_single_pictures_and_a_whole_picture_loses_nothing(
    colours: DualBranch, squares: LabelledImages
) -> None:
    """Over all pictures by stored features and batches, and one by one, whole and masked, in the faithfulness pass."""
    over_set, one_by_one = (
        evaluate(colours, squares, EvaluationConfig(mosaics=0, resamples=2, **{name: 8}))
        for name in ("drop_pictures", "faithfulness")
    )
    columns, others = (each["tables"][0]["columns"] for each in (over_set, one_by_one))
    for column in ("softmax", "sigmoid", "features", "random-head"):
        for key in ("average_drop", "increase_in_confidence"):
            assert_close(columns[column]["metrics"][key]["value"], others[column]["metrics"][key]["value"], FLOAT32)


def test_average_drop_is_measured_on_as_many_pictures_as_asked_and_a_whole_picture_loses_nothing(
    colours: DualBranch, squares: LabelledImages
) -> None:
    results = evaluate(colours, squares, EvaluationConfig(mosaics=0, resamples=2, drop_pictures=5))
    columns = results["tables"][0]["columns"]
    assert columns["softmax"]["metrics"]["average_drop"]["n"] == 5
    assert columns["softmax"]["metrics"]["average_drop"]["value"] < 0.05  # nothing but black is taken away
    assert columns["full-box"]["metrics"]["average_drop"]["value"] == 0.0
    assert "average_drop" not in columns["delta-0.01"]["metrics"]
    assert "whole picture, which says nothing, has rank" in format_table(results)


def test_every_row_says_which_question_it_answers_and_what_the_branch_adds(
    colours: DualBranch, squares: LabelledImages
) -> None:
    results = evaluate(colours, squares, EvaluationConfig(mosaics=6, resamples=10))
    questions = {"whether", "where (one object)", "where (several)", "whether and where"}
    assert {metric["question"] for metric in results["metrics"].values()} == questions
    (table,) = results["tables"]
    for key, entry in table["beyond_untrained"].items():
        columns = table["columns"]
        trained, untrained = (columns[entry[side]]["metrics"][key]["value"] for side in ("trained", "untrained"))
        sign = -1 if METRICS[key].better == "lower" else 1
        assert_close(entry["difference"]["value"], sign * (trained - untrained), IDENTITY)
        assert trained == max(
            (columns[name]["metrics"][key]["value"] for name in TRAINED_COLUMNS if name in columns),
            key=lambda value: sign * value,
        )
    assert "Beyond the best untrained reading the trained branch adds" in format_table(results)
    # The data set has all classes of the model, so its siblings are all absent classes.
    assert results["settings"]["siblings_per_image"] == 3
    for column in ("softmax", "sigmoid", "softmax*levelled"):
        metrics = table["columns"][column]["metrics"]
        assert_close(metrics["cell_precision_siblings"]["value"], metrics["cell_precision"]["value"], IDENTITY)
        assert metrics["cell_precision"]["value"] <= metrics["cell_precision_own"]["value"]


@pytest.mark.nightly
def test_readings_that_are_asked_for_are_columns_of_signed_cam_and_change_no_other(
    colours: DualBranch, squares: LabelledImages
) -> None:
    config = EvaluationConfig(weights=("signed", "nonnegative"), mosaics=0, resamples=5)
    plain, further = (
        evaluate(colours, squares, replace(config, readings=keys)) for keys in ((), ("finer", "cell-log-odds"))
    )
    columns = [table["columns"] for table in further["tables"]]
    names = {f"{branch}-{key}" for branch in ("softmax", "sigmoid") for key in ("finer", "cell-log-odds")}
    assert names <= set(columns[0])
    assert not names & set(columns[1])
    for before, after in zip((table["columns"] for table in plain["tables"]), columns, strict=True):
        assert before == {key: column for key, column in after.items() if key not in names}
    assert columns[0]["softmax-finer"]["title"] == "softmax, Finer-CAM"
    assert further["settings"]["readings"] == ["finer", "cell-log-odds"]
