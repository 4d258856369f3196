"""Numbers put on maps: each gated column is the reading, or the equation, that it names; places never move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tolerances import FLOAT32, assert_close

from bsig.evaluation.columns import TRAINED_COLUMNS, UNTRAINED_COLUMNS, columns_of
from bsig.evaluation.config import FURTHER_READINGS
from bsig.evaluation.gates import GATES, Answers, gates_of
from bsig.evaluation.map_sources import TableRequest, class_maps, gated, source_of
from bsig.explain.cams import Branch
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import CAM_METHODS
from bsig.explain.readings import READINGS
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

CLASSES = torch.tensor([[285, 574, 3]])
READING_OF_COLUMN: dict[str, tuple[Branch, str]] = {
    "softmax*levelled": ("softmax", "levelled"), "sigmoid*levelled": ("sigmoid", "levelled"),
    "centred*sigmoid-logit": ("centred", "sigmoid-logit"), "centred*log-odds": ("centred", "log-odds"),
}  # fmt: skip
WINDOW_COLUMNS: dict[str, tuple[Branch, str]] = {
    "window-log-p": ("softmax", "window-log-p"), "softmax-window": ("softmax", "window"),
    "sigmoid-window": ("sigmoid", "window"),
}  # fmt: skip
BRANCHES: tuple[Branch, ...] = ("softmax", "sigmoid")


def column_maps(encoded: EncodedImage, key: str, method: str = "cam") -> np.ndarray:
    """(3, h, w): a column's maps, as an evaluation makes them from its stored arrays."""
    model = encoded.model
    request = TableRequest(CAM_METHODS[method], "signed", columns_of(model, (), FURTHER_READINGS))
    source, answers = request.source(key), Answers(
        model, encoded.softmax_logits[None], encoded.sigmoid_logits[None], CLASSES
    )  # fmt: skip
    arrays = {f"gate {gate.key}": gate.numbers(answers).numpy() for gate in gates_of(model)}
    arrays[f"maps {source.key}"] = class_maps(source, encoded.features, CLASSES).detach().numpy()
    return gated(model, source, request.columns[key].gate, arrays.__getitem__)[0]


@pytest.mark.parametrize("column", READING_OF_COLUMN)
def test_a_level_column_is_its_reading(encoded: EncodedImage, column: str) -> None:
    branch, reading = READING_OF_COLUMN[column]
    for one_map, index in zip(column_maps(encoded, column), CLASSES[0].tolist(), strict=True):
        assert_close(one_map, encoded.explain(index, reading=reading).evidence(branch).map, FLOAT32)


def test_the_spread_that_a_checkpoint_was_given_is_the_columns_too(
    encoded: EncodedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoded.model.metadata, "readings", {"sigmoid-logit": {"a": 0.4}})
    test_a_level_column_is_its_reading(encoded, "centred*sigmoid-logit")


def test_grad_cam_of_a_pool_and_linear_head_is_gated_in_the_unit_of_cam(encoded: EncodedImage) -> None:
    """Its maps are kept as CAM's; a reading of Grad-CAM is theirs over the number of cells."""
    for one_map, index in zip(column_maps(encoded, "softmax*levelled", "grad-cam"), CLASSES[0].tolist(), strict=True):
        expected = encoded.explain(index, "grad-cam", reading="levelled").softmax.map
        assert_close(one_map / 49, expected, FLOAT32)


def test_two_log_p_and_probabilities_by_hand(encoded: EncodedImage) -> None:
    probabilities = encoded.softmax_logits.softmax(0)[CLASSES[0]].numpy()[:, None, None]
    plain = column_maps(encoded, "softmax")
    assert_close(column_maps(encoded, "softmax*log-p"), plain + 2 * np.log(probabilities), FLOAT32)
    assert_close(column_maps(encoded, "softmax*softmax"), plain * probabilities, FLOAT32)


def test_the_competition_column_is_the_reading_without_presence(encoded: EncodedImage) -> None:
    settings = {"mu": 0.25, "presence": 0.0}
    for one_map, index in zip(column_maps(encoded, "competition"), CLASSES[0].tolist(), strict=True):
        expected = encoded.explain(index, reading="competition", reading_settings=settings).softmax.map
        assert_close(one_map, expected, FLOAT32)


@pytest.mark.parametrize("column", WINDOW_COLUMNS)
def test_a_window_column_is_its_reading(encoded: EncodedImage, column: str) -> None:
    branch, reading = WINDOW_COLUMNS[column]
    for one_map, index in zip(column_maps(encoded, column), CLASSES[0].tolist(), strict=True):
        assert_close(one_map, encoded.explain(index, reading=reading).evidence(branch).map, FLOAT32)


@pytest.mark.parametrize("reading", FURTHER_READINGS)
def test_a_further_column_is_its_reading_of_each_branch(encoded: EncodedImage, reading: str) -> None:
    for branch in BRANCHES:
        maps = column_maps(encoded, f"{branch}-{reading}")
        for one_map, index in zip(maps, CLASSES[0].tolist(), strict=True):
            assert_close(one_map, encoded.explain(index, reading=reading).evidence(branch).map, FLOAT32)


def test_every_reading_that_needs_no_second_class_is_a_column(perturbed_model: DualBranch) -> None:
    columns = columns_of(perturbed_model, (), FURTHER_READINGS)
    in_columns = {column.reading.key for column in columns.values() if column.reading}
    in_columns |= {column.gate for column in columns.values() if column.gate}
    wanted = {key for key, reading in READINGS.items() if reading.kind != "plain" and not reading.needs_other_class}
    assert wanted <= in_columns
    assert set(columns_of(perturbed_model, ())) == {key for key in columns if not key.endswith(FURTHER_READINGS)} | {
        "competition"
    }


def test_a_reading_that_is_not_exact_is_no_column(default_model: DualBranch) -> None:
    with pytest.raises(InputError, match=r"`readings` \(='competition'\) cannot be measured .* is not trained"):
        columns_of(default_model, (), ["finer", "competition"])


def test_a_mosaic_keeps_the_window_of_one_picture(perturbed_model: DualBranch) -> None:
    """Four pictures side by side have twice the grid; a window deep in one of them sees that one alone."""
    window = columns_of(perturbed_model, ())["softmax-window"]
    assert window.reading is not None
    assert window.reading.settings["cells"] == 7
    source = source_of(window, CAM_METHODS["cam"], "signed")
    draw = torch.Generator().manual_seed(0)
    channels = perturbed_model.softmax_head.last_linear.in_features
    tile, *others = (torch.rand(1, channels, 7, 7, generator=draw) for _ in range(4))
    mosaic = torch.cat([torch.cat([tile, others[0]], dim=3), torch.cat(others[1:], dim=3)], dim=2)
    alone, together = (class_maps(source, features, CLASSES)[0] for features in (tile, mosaic))
    assert_close(together[:, :4, :4], alone[:, :4, :4], FLOAT32)
    assert (together[:, 4:7, 4:7] - alone[:, 4:, 4:]).abs().min() > 0


def test_a_branch_that_was_never_trained_says_nothing_of_presence(default_model: DualBranch) -> None:
    assert {gate.key for gate in gates_of(default_model)} == set(GATES) - {"presence", "levelled"}
    columns = columns_of(default_model)
    assert not {"softmax*levelled", "softmax-window", "sigmoid-window"} & set(columns)
    assert "window-log-p" in columns
    assert "softmax*log-p" in columns


def test_columns_are_trained_or_untrained_and_fit_where_their_number_has_the_maps_unit(
    perturbed_model: DualBranch,
) -> None:
    columns = columns_of(perturbed_model, readings=FURTHER_READINGS)
    assert not set(TRAINED_COLUMNS) & set(UNTRAINED_COLUMNS)
    assert set(columns) - {"random-head"} <= {*TRAINED_COLUMNS, *UNTRAINED_COLUMNS}
    assert columns["softmax*levelled"].fits("hires-cam", "signed")
    assert not columns["softmax*levelled"].fits("cam", "paper")
    assert not columns["softmax*levelled"].fits("ablation-cam", "signed")
    assert columns["softmax*sigmoid"].fits("ablation-cam", "nonnegative")
    assert columns["competition"].fits("cam", "signed")
    assert not columns["competition"].fits("grad-cam", "signed")
    assert columns["sigmoid-window"].fits("cam", "signed")
    assert not columns["sigmoid-window"].fits("cam", "nonnegative")
