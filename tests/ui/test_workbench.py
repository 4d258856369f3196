"""What is kept, what is made once, and what a choice on the screen may cost: no second run of the backbone."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from in_process import built_demo
from PIL import Image

from bsig import CAM_METHODS, READINGS, TREATMENTS, Explainer, InputError, load_checkpoint
from bsig.explain.explainer import EncodedImage
from bsig.inputs.paths import CHECKPOINTS_FOLDER, EXAMPLES
from bsig.model.backbones import BackboneOptions, Classifier
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch
from bsig.model.engines import fast_encoder
from bsig.ui.components.examples import example_by_key
from bsig.ui.links.view import OWN_SETTING
from bsig.ui.screens.compare.screen import saved_checkpoint
from bsig.ui.screens.evaluate.kept import KeptEvaluations
from bsig.ui.server.limits import Limits
from bsig.ui.server.visitor_space import VisitorSpace, VisitorSpaces
from bsig.ui.workbench import MAX_FILE_BYTES, RecentlyUsed, Workbench

PICTURE = example_by_key("cat").path


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench()


@pytest.fixture
def forwards(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by one entry, the batch size, with every run of the default checkpoint's encoder."""
    batch_sizes: list[int] = []
    network: Any = fast_encoder(bench.model(None).encoder, "torch", torch.zeros(1, 3, 224, 224)).run
    handle = network.register_forward_pre_hook(lambda _, inputs: batch_sizes.append(len(inputs[0])))
    monkeypatch.setattr(bench, "_encodings", RecentlyUsed[EncodedImage](8))
    yield batch_sizes
    handle.remove()


# --- RecentlyUsed -----------------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first() -> None:
    cache: RecentlyUsed[str] = RecentlyUsed(2)
    calls: list[str] = []

    def get(key: str) -> str:
        return cache.get(key, lambda: calls.append(key) or key.upper())

    assert [get("a"), get("b"), get("a"), get("c")] == ["A", "B", "A", "C"]
    assert calls == ["a", "b", "c"]
    assert len(cache) == 2
    get("a")
    assert calls == ["a", "b", "c"]
    get("b")
    assert calls == ["a", "b", "c", "b"]
    assert cache._making == {}  # a lock for each picture ever seen would be kept


def test_what_fails_is_raised_and_not_kept() -> None:
    cache: RecentlyUsed[int] = RecentlyUsed(2)

    def fails() -> int:
        raise InputError("no")

    for _ in range(2):
        with pytest.raises(InputError, match="no"):
            cache.get("key", fails)
    assert len(cache) == 0
    assert cache.get("key", lambda: 7) == 7


def test_many_threads_make_a_value_once_and_do_not_wait_for_other_keys() -> None:
    cache: RecentlyUsed[object] = RecentlyUsed(4)
    start, may_finish, calls = threading.Event(), threading.Event(), []

    def slow() -> object:
        calls.append(1)
        start.set()
        assert may_finish.wait(20)
        return object()

    values: list[object] = []
    threads = [threading.Thread(target=lambda: values.append(cache.get("slow", slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert start.wait(20)
    assert cache.get("other", lambda: 1) == 1
    may_finish.set()
    for thread in threads:
        thread.join(20)
    assert len(values) == 8
    assert len({id(value) for value in values}) == 1
    assert calls == [1]


def test_many_threads_and_few_places_never_mix_up_values() -> None:
    cache: RecentlyUsed[int] = RecentlyUsed(2)
    wrong: list[tuple[int, int]] = []

    def ask(first: int) -> None:
        for step in range(200):
            key = (first + step) % 5
            value = cache.get(key, lambda key=key: key * 10)
            if value != key * 10:
                wrong.append((key, value))

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert len(cache) == 2
    assert cache._making == {}


# --- Workbench --------------------------------------------------------------------------------------------------------


def test_a_picture_is_known_by_its_content(bench: Workbench, forwards: list[int], tmp_path: Path) -> None:
    first = bench.encode(PICTURE, None)
    copy = tmp_path / "another-name.jpg"
    copy.write_bytes(PICTURE.read_bytes())
    assert bench.encode(copy, None) is first
    assert forwards == [1]
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "PNG")
    copy.write_bytes(buffer.getvalue())
    assert bench.encode(copy, None) is not first
    assert forwards == [1, 1]


def test_each_checkpoint_has_its_own_encoding(bench: Workbench) -> None:
    first, second = (bench.encode(PICTURE, name) for name in (None, "birds10-efficientnet_lite0"))
    assert (first.model.num_classes, second.model.num_classes) == (1000, 10)
    assert bench.encode(PICTURE, None) is first


def test_the_encoding_equals_the_librarys(bench: Workbench) -> None:
    encoded = bench.encode(PICTURE, None)
    fresh = Explainer(bench.model(None)).encode(PICTURE)
    assert torch.equal(encoded.features, fresh.features)
    np.testing.assert_array_equal(np.asarray(encoded.crop), np.asarray(fresh.crop))


@pytest.mark.parametrize(
    ("image", "checkpoint", "words"),
    [
        (None, None, "no picture is chosen"),
        ("", None, "no picture is chosen"),
        ("gone.jpg", None, "cannot be read any more"),
        (PICTURE, "no-such-checkpoint", r"`checkpoint` \(='no-such-checkpoint'\) must be one of: .*imagenet1k"),
        (PICTURE, "../imagenet1k-efficientnet_lite0", "must be one of"),
    ],
)
def test_what_cannot_be_encoded_is_refused_in_words(
    bench: Workbench, image: Any, checkpoint: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        bench.encode(image, checkpoint)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(bench: Workbench, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match="the limit is 32 MB"):
        bench.encode(large, None)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_question_about_a_picture_is_answered_once(bench: Workbench, forwards: list[int], tmp_path: Path) -> None:
    questions: list[str] = []

    def answer(question: str, *files: Path) -> str:
        return bench.answer(
            bench.encode(PICTURE, None), question, lambda: (questions.append(question) or question, files)
        )

    for question in ("golf ball", "zebra", "golf ball", "zebra"):
        assert answer(question) == question
    assert questions == ["golf ball", "zebra"]
    other = bench.encode(example_by_key("rocket").path, None)
    assert bench.answer(other, "zebra", lambda: ("another picture's", ())) == "another picture's"
    assert answer("zebra") == "zebra"
    assert len(forwards) == 2


def test_an_answer_goes_with_its_files_and_with_its_picture(
    bench: Workbench, forwards: list[int], tmp_path: Path
) -> None:
    file, calls = tmp_path / "map.png", []

    def answer() -> int:
        def make() -> tuple[int, list[Path]]:
            file.write_text("a map")
            calls.append(len(calls))
            return len(calls), [file]

        return bench.answer(bench.encode(PICTURE, None), "golf ball", make)

    assert (answer(), answer()) == (1, 1)
    file.unlink()
    assert (answer(), answer()) == (2, 2)
    bench._encodings.keep_only(lambda _: False)
    assert answer() == 3
    bench._encodings.keep_only(lambda _: False)
    bench.forget(set())
    assert len(bench._answers) == 0


# --- the screen's handlers --------------------------------------------------------------------------------------------


Ask = Callable[..., Any]


@pytest.fixture
def ask(bench: Workbench) -> Iterator[Ask]:
    """Calls a handler of the Compare screen by its name, with the values of its controls by theirs."""
    with built_demo(bench) as demo:
        # Of several handlers with one name the first is the Compare screen's.
        handlers: dict[str, Any] = {}
        for block in demo.fns.values():
            if block.fn is not None:
                handlers.setdefault(block.fn.__name__, block)
        controls = {part.elem_id: part for part in handlers["on_choice"].inputs}

        def answer_of(name: str, **changes: Any) -> Any:
            values = {
                "picture": str(PICTURE), "checkpoint": None, "class": "Egyptian cat", "method": "cam",
                "weights": "signed", "reading": "", "strength": OWN_SETTING,
                "second-setting": OWN_SETTING, "third-setting": OWN_SETTING, "other-class": None, "more-classes": [],
                "finer-grid": False, "budget": 8, "bias": False, "show": "overlay", "view": "positive", "grid": False,
                "contour": False, "threshold": 50.0, "opacity": 80.0, "colormap": "inferno", "own-scale": False,
            }  # fmt: skip
            assert set(changes) <= set(values) == set(controls)
            return handlers[name].fn({controls[key]: value for key, value in {**values, **changes}.items()})

        yield answer_of


def test_a_choice_is_answered_from_the_stored_features(ask: Ask, forwards: list[int]) -> None:
    wishes: list[dict[str, Any]] = [{"class": name} for name in ("zebra", "golf ball")]
    wishes += [{"method": key} for key, method in CAM_METHODS.items() if not method.is_slow]
    wishes += [{"weights": key} for key in TREATMENTS]
    wishes += [{"show": show} for show in ("overlay", "heatmap", "wipe", "difference")]
    wishes += [{"reading": key} for key in READINGS]
    wishes += [{"other-class": "tabby"}, {"more-classes": ["zebra", "golf ball"]}]
    wishes += [{"view": "signed"}, {"grid": True}, {"contour": True}, {"opacity": 30.0}, {"own-scale": True}]
    ask("on_new_picture")
    assert forwards == [1]
    for wish in wishes:
        ask("on_choice", **wish)
        assert forwards == [1], wish


def test_score_cam_alone_runs_the_network_again_and_only_once_a_budget(ask: Ask, forwards: list[int]) -> None:
    ask("on_choice", method="score-cam")
    once = sum(forwards)
    assert 1 < once <= 1 + 2 * 8 + 1
    ask("on_choice", method="score-cam", **{"class": "zebra", "view": "signed"})
    assert sum(forwards) <= 2 * once


def test_a_choice_leaves_the_method_and_another_picture_sets_class_and_method(ask: Ask) -> None:
    def set_by(answers: dict[Any, Any]) -> set[str]:
        return {part.elem_id for part, update in answers.items() if not isinstance(update, dict) or "value" in update}

    assert not {"method", "class"} & set_by(ask("on_choice"))
    assert {"method", "class", "map-softmax", "finding", "scale"} <= set_by(ask("on_new_picture"))
    nothing = ask("on_new_picture", picture=None)
    assert {"class", "crop", "map-softmax", "map-sigmoid", "map-centred"} <= set_by(nothing)
    assert all(update["value"] is None for update in nothing.values() if "value" in update)
    hidden = {
        part.elem_id for part, update in nothing.items() if isinstance(update, dict) and not update.get("visible", True)
    }
    assert {"contrast-row", "more-1-row", "more-2-row"} <= hidden


def test_a_clone_says_so_and_offers_the_fine_tune_of_it(ask: Ask, bench: Workbench, default_model: DualBranch) -> None:
    def by_id(answers: dict[Any, Any]) -> dict[str, Any]:
        return {part.elem_id: update for part, update in answers.items() if part.elem_id}

    bench.register("a clone", lambda: default_model)
    clone, trained = by_id(ask("on_new_picture", checkpoint="a clone")), by_id(ask("on_new_picture"))
    assert "not fine-tuned: both maps are the same" in clone["finding"]
    assert clone["finetune-this"]["visible"]
    assert not trained["finetune-this"]["visible"]
    assert saved_checkpoint(bench, DEFAULT_CHECKPOINT) == DEFAULT_CHECKPOINT
    with pytest.raises(InputError, match="'a clone'\\) is not saved"):
        saved_checkpoint(bench, "a clone")


def test_a_method_that_allows_only_the_plain_reading_does_not_leave_it_behind(ask: Ask) -> None:
    def reading(**changes: Any) -> str:
        answers = ask("on_method", **changes)
        return next(update["value"] for part, update in answers.items() if part.elem_id == "reading")

    assert reading(method="layer-cam", reading="levelled") == "plain"
    assert reading(method="cam", reading="plain") == "levelled"


def test_each_setting_of_a_reading_has_a_slider_with_the_number_that_is_drawn(ask: Ask) -> None:
    sliders = ("strength", "second-setting", "third-setting")

    def shown(handler: str, **changes: Any) -> list[Any]:
        updates = {part.elem_id: update for part, update in ask(handler, **changes).items() if part.elem_id in sliders}
        return [updates[name]["value"] if updates[name]["visible"] else None for name in sliders]

    assert shown("on_choice", reading="competition") == [0.25, 1.0, 1.0]
    moved = {"strength": 0.5, "second-setting": 0.0, "third-setting": 0.05}
    assert shown("on_choice", reading="competition", **moved) == [0.5, 0.0, 0.05]
    assert shown("on_choice", reading="window", **{"second-setting": 3.0}) == [1.0, 3.0, None]
    assert shown("on_choice", reading="plain", **moved) == [None, None, None]
    assert shown("on_reading", reading="finer", **moved) == [0.6, 3.0, None]


def _answer_texts(answers: dict[Any, Any]) -> tuple[dict[str, str], Any]:
    """What is written, by id, and what asks for finer maps."""
    texts = {part.elem_id: str(update) for part, update in answers.items() if part.elem_id}
    (sharpening,) = (update for part, update in answers.items() if isinstance(part, gr.State))
    return texts, sharpening


def test_maps_are_drawn_on_the_models_own_grid_and_then_on_the_finer_one(
    ask: Ask, bench: Workbench, forwards: list[int]
) -> None:
    def rows(texts: dict[str, str]) -> list[dict[str, Any]]:
        return [row for row in json.loads(re.sub("<.*?>", "", texts["cells"]))["rows"] if row]

    wish: dict[str, Any] = {"class": "golf ball", "finer-grid": True, "more-classes": ["zebra"]}
    first, sharpening = _answer_texts(ask("on_choice", **wish))
    assert sharpening is not None
    assert "The finer maps follow." in first["note"]
    second_sharpening = _answer_texts(ask("on_choice", **wish))[1]
    assert second_sharpening not in (None, sharpening), "each answer in coarse maps asks for finer ones"
    assert forwards == [1]
    bench.encode(PICTURE, None, finer_grid=True)
    second, sharpening = _answer_texts(ask("on_choice", **wish))
    assert sharpening is None
    assert "follow" not in second["note"]
    assert forwards == [1], "the coarse features are not computed again"
    for before, after in zip(rows(first), rows(second), strict=True):
        assert before["name"] == after["name"], "the rows are about the same classes"
        assert np.shape(before["sigmoid"]) == (7, 7)
        assert np.shape(after["softmax"]) == np.shape(after["alone"]) == (14, 14)
    presences = [texts["finding"].split("(")[1].split(")")[0] for texts in (first, second)]
    assert presences[0] == presences[1], "how likely the class is does not change with the grid"
    heads = re.sub("<[^>]+>", "", second["numbers"].split("<tbody")[0])
    assert re.findall(r"\d+ x \d+", heads) == ["7 x 7"] * 2 + ["14 x 14"] * 3
    assert not re.findall(r"\d+ x \d+", first["numbers"])
    assert second["map-softmax"] != first["map-softmax"]
    assert second["why-pairwise"] != first["why-pairwise"]
    own, sharpening = _answer_texts(ask("on_choice", **{**wish, "finer-grid": False}))
    assert sharpening is None
    assert own["map-softmax"] == first["map-softmax"], "a key of its own in every cache"


def test_a_model_without_a_finer_grid_offers_none_and_is_shown_on_its_own(
    ask: Ask, bench: Workbench, default_classifier: Classifier
) -> None:
    fine = replace(default_classifier, options=BackboneOptions("stride16"))
    bench.register("fine already", lambda: DualBranch(fine, name="fine already"))
    answers = ask("on_new_picture", checkpoint="fine already", **{"finer-grid": True})
    assert _answer_texts(answers)[1] is None
    (box,) = (update for part, update in answers.items() if part.elem_id == "finer-grid")
    assert (box["visible"], box["value"]) == (False, False)
    (box,) = (update for part, update in ask("on_new_picture").items() if part.elem_id == "finer-grid")
    assert (box["visible"], box["label"]) == (True, "Finer grid: 14 x 14 cells")


def test_more_classes_share_one_scale_with_the_first_rows(ask: Ask) -> None:
    def ends(answers: dict[Any, Any]) -> list[str]:
        bars = [str(update) for part, update in answers.items() if (part.elem_id or "").endswith("scale")]
        return [re.findall(r"<span>([^<]+)</span>", bar)[4] for bar in bars]

    assert len(set(ends(ask("on_choice", view="signed")))) == 2
    four = ask("on_choice", view="signed", **{"more-classes": ["zebra", "golf ball"]})
    assert len(ends(four)) == 4
    assert len(set(ends(four))) == 1


def test_checkpoints_of_further_folders_and_registered_models_are_selectable(
    tmp_path: Path, default_model: DualBranch
) -> None:
    bench = Workbench(more_folders=[tmp_path])
    before = bench.checkpoint_names()
    save_checkpoint(default_model, tmp_path / "mine")
    assert bench.checkpoint_names() == [*before, "mine"]
    assert bench.model("mine").name == "mine"
    assert bench.model("mine") is bench.model("mine")
    bench.register("in memory", lambda: default_model)
    assert bench.checkpoint_names() == [*before, "mine", "in memory"]
    assert bench.model("in memory") is default_model


def test_every_model_of_a_bench_is_run_by_its_engine(default_model: DualBranch) -> None:
    bench = Workbench(engine="tensorrt")
    bench.register("own", lambda: DualBranch(default_model.classifier()))
    for name in (None, "own"):
        with pytest.raises(InputError, match=r"`engine` \(='tensorrt'\) must be one of torch, onnxruntime"):
            bench.model(name)


def test_a_checkpoint_written_again_under_its_name_is_the_new_one(tmp_path: Path, default_model: DualBranch) -> None:
    bench = Workbench(more_folders=[tmp_path])
    save_checkpoint(default_model, tmp_path / "mine", note="first")
    assert bench.model("mine").metadata["note"] == "first"
    save_checkpoint(default_model, tmp_path / "mine", note="second")
    assert bench.model("mine").metadata["note"] == "second"


def _copy_of_the_default(folder: Path, **changes: Any) -> Path:
    """The same tensors under another description."""
    shutil.copytree(CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT, folder)
    entries = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps({**entries, **changes}))
    return folder


@pytest.mark.parametrize("part", ["class_names", "preprocessing"])
def test_two_checkpoints_of_one_name_and_the_same_tensors_do_not_answer_for_each_other(
    tmp_path: Path, part: str
) -> None:
    """As two visitors may upload them: each sees its own class names, through its own crop."""
    entries = json.loads((CHECKPOINTS_FOLDER / DEFAULT_CHECKPOINT / DESCRIPTION).read_text())
    changes = {
        "class_names": {"class_names": [f"kind {number}" for number in range(1000)], "class_ids": entries["class_ids"]},
        "preprocessing": {"preprocessing": {**entries["preprocessing"], "crop_mode": "squash"}},
    }
    bench = Workbench(limits=Limits.public(), visitor_spaces=VisitorSpaces(Limits.public(), tmp_path / "work"))
    first, second = (bench.visitor_spaces._space_named(name) for name in ("first", "second"))
    for space, entry in ((first, {}), (second, changes[part])):
        space.folder = tmp_path / str(space.number)
        _copy_of_the_default(space.folder / "checkpoints" / "mine", **entry)

    def encoding_in(space: VisitorSpace) -> EncodedImage:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(VisitorSpaces, "current", lambda _: space)
            return bench.encode(PICTURE, "mine")

    for space in (first, second, first):
        encoded = encoding_in(space)
        own = load_checkpoint(space.folder / "checkpoints" / "mine") if space.folder else None
        assert own is not None
        assert encoded.model.class_names == own.class_names
        assert encoded.preprocessing == own.preprocessing
        assert encoding_in(space) is encoded
    assert np.array_equal(encoding_in(first).crop, encoding_in(second).crop) is (part == "class_names")
    bench.visitor_spaces.close()


def test_models_of_one_name_in_two_spaces_are_two_also_when_one_space_has_gone(
    default_model: DualBranch, default_classifier: Classifier
) -> None:
    other = DualBranch(default_classifier, name="other")
    bench = Workbench()
    bench.register("mine", lambda: default_model)
    assert bench.model("mine") is default_model
    bench.visitor_spaces.shared = VisitorSpace(None, KeptEvaluations())
    bench.register("mine", lambda: other)
    assert bench.model("mine") is other


def test_a_model_that_is_registered_while_its_predecessor_is_being_loaded_is_the_one_that_stays(
    default_model: DualBranch, default_classifier: Classifier
) -> None:
    bench, newer = Workbench(), DualBranch(default_classifier, name="newer")

    def slow() -> DualBranch:
        bench.register("mine", lambda: newer)
        return default_model

    bench.register("mine", slow)
    assert bench.model("mine") is default_model  # as it was asked
    assert bench.model("mine") is newer


@pytest.mark.parametrize("name", ["../checkpoints/birds10-efficientnet_lite0", ".", "", "no such", "/", "mine/.."])
def test_a_name_from_outside_never_becomes_a_path(tmp_path: Path, name: str, default_model: DualBranch) -> None:
    save_checkpoint(default_model, tmp_path / "mine")
    bench = Workbench(more_folders=[tmp_path])
    if name:
        with pytest.raises(InputError, match="must be one of"):
            bench.model(name)
    with pytest.raises(InputError, match="must be one of"):
        bench.checkpoint_path(name)


def test_the_finer_grid_is_made_once_and_kept_beside_the_coarse_one() -> None:
    bench = Workbench()
    picture = str(EXAMPLES / "cat.jpg")
    coarse = bench.encode(picture, None)
    assert bench.kept_finer(picture, None) is None
    finer = bench.encode(picture, None, finer_grid=True)
    assert (coarse.grid_hw, finer.grid_hw) == ((7, 7), (14, 14))
    assert finer.coarse is coarse
    assert bench.encode(picture, None) is coarse
    assert bench.encode(picture, None, finer_grid=True) is finer
    assert bench.kept_finer(picture, None) is finer
    assert bench.loaded_names() == [bench.default_checkpoint], "it takes no model's place"
