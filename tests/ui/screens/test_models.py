"""The Models screen without a browser: what is loaded, how it is told, and what a public app refuses."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import timm
import torch
from checkpoint_folders import without_weights_of
from image_towers import SIGLIP, SMALL, TOWERS, tower, weights_file
from in_process import loops_closed
from own_weights import told_apart_by_brightness
from safetensors.torch import save_file

from bsig.cli.arguments.models import add_new_model_arguments
from bsig.inputs.errors import InputError
from bsig.model.backbones import DEFAULT_BACKBONE
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.class_embeddings import ClassEmbeddings
from bsig.model.text_tower import write_class_embeddings
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.compare.answers import compare_answer
from bsig.ui.screens.compare.words import method_choices
from bsig.ui.screens.models.facts import facts_html, models_html, trials_html
from bsig.ui.screens.models.request import LABELS, ModelRequest, in_labels
from bsig.ui.screens.models.screen import _model_fields, finetune_start, load_model
from bsig.ui.server.limits import pretrained_names
from bsig.ui.workbench import Workbench

PICTURE = str(bundled_examples()[0].path)
NETWORKS = ["test_resnet", "test_convnext", "test_vit", "test_vit2", "test_vit3", "mobilenetv3_small_050"]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(more_folders=[tmp_path / "made"], models=2)


def weights_of(name: str, folder: Path, classes: int = 5) -> str:
    torch.manual_seed(1)
    network = timm.create_model(name, num_classes=classes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / f"{name}.safetensors")
    return str(folder / f"{name}.safetensors")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.nightly
def test_a_model_of_each_head_family_is_loaded_and_compared_with_its_own_method(
    name: str, bench: Workbench, tmp_path: Path
) -> None:
    model = load_model(bench, ModelRequest(name, weights_of(name, tmp_path)))
    assert model.name in bench.checkpoint_names()
    *pictures, answer = compare_answer(bench, PICTURE, model.name, None, "", "signed")
    assert len(pictures) == 3
    assert answer["grid_hw"] == list(model.grid_hw or ())
    keys = [key for _, key in method_choices(model)]
    assert answer["method"] in keys
    assert ("cam" in keys) == model.softmax_head.cam_is_exact == (answer["method"] == "cam")
    assert answer["softmax"]["map"] == answer["sigmoid"]["map"], "the branch is still the clone"
    facts = facts_html(model)
    assert "not fine-tuned yet" in facts
    assert ("CAM needs average pooling" in facts) == (not model.softmax_head.cam_is_exact)
    assert f'{model.name}</td><td data-name="Backbone">loaded here' in models_html(bench)


def test_cam_asked_for_by_name_is_refused_in_one_sentence_where_it_is_not_exact(
    bench: Workbench, tmp_path: Path
) -> None:
    model = load_model(bench, ModelRequest("test_convnext", weights_of("test_convnext", tmp_path)))
    with pytest.raises(InputError, match="average pool and one linear layer"):
        compare_answer(bench, PICTURE, model.name, None, "cam", "signed")


def test_a_model_that_left_memory_is_made_again(bench: Workbench, tmp_path: Path) -> None:
    file = weights_of("test_resnet", tmp_path)
    first = load_model(bench, ModelRequest("test_resnet", file))
    for name in ("imagenet1k-efficientnet_lite0", "birds10-efficientnet_lite0"):
        bench.model(name)
    second = bench.model(first.name)
    assert second is not first
    assert torch.equal(second.softmax_head.last_linear.weight, first.softmax_head.last_linear.weight)


def test_a_checkpoint_whose_weights_are_not_installed_is_no_choice_and_its_row_says_what_to_install(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "birds10-efficientnet_lite0" in bench.checkpoint_names()
    of_others = [
        row["name"]
        for row in list_checkpoints()
        if not {"error", "needs"} & set(row) and row["backbone"] != DEFAULT_BACKBONE
    ]
    command = without_weights_of(DEFAULT_BACKBONE, monkeypatch)
    assert bench.checkpoint_names() == [bench.default_checkpoint, *of_others]
    assert f"{DEFAULT_BACKBONE}, not installed: {command}" in str(models_html(bench))


def test_a_public_app_reads_no_files_of_its_machine(tmp_path: Path) -> None:
    public = Workbench(is_public=True)
    with pytest.raises(InputError, match="public"):
        load_model(public, ModelRequest("test_resnet", weights_of("test_resnet", tmp_path)))


def test_a_fine_tune_starts_from_a_name_or_from_a_saved_checkpoint(bench: Workbench, tmp_path: Path) -> None:
    assert finetune_start(bench, ModelRequest("resnet50.a1_in1k", None, "last: …")) == "timm: resnet50.a1_in1k"
    name = finetune_start(bench, ModelRequest("test_vit", weights_of("test_vit", tmp_path)))
    assert (tmp_path / "made" / name / "checkpoint.json").is_file()
    assert bench.checkpoint_path(name).is_dir()
    with pytest.raises(InputError, match="no folder for new checkpoints"):
        finetune_start(Workbench(), ModelRequest(DEFAULT_BACKBONE, None, "stride16, 14 x 14 cells: the same weights"))


def test_a_saved_model_is_kept_and_another_of_its_name_is_refused(bench: Workbench, tmp_path: Path) -> None:
    request = ModelRequest("test_resnet", weights_of("test_resnet", tmp_path))
    name = finetune_start(bench, request)
    folder = tmp_path / "made" / name
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}
    assert finetune_start(bench, request) == name, "the same model again needs no second folder"
    (tmp_path / "other").mkdir()
    other = ModelRequest("test_resnet", weights_of("test_resnet", tmp_path / "other", classes=6))
    with pytest.raises(InputError, match="holds a checkpoint; rename that folder"):
        finetune_start(bench, other)
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()} == before
    later = Workbench(more_folders=[tmp_path / "made"], models=2)
    assert load_model(later, other).name == f"{name}-2"


def test_class_embeddings_make_a_zero_shot_model_and_are_refused_in_a_public_app(
    bench: Workbench, tmp_path: Path
) -> None:
    embeddings = ClassEmbeddings(torch.eye(TOWERS[SIGLIP])[:3], ("ant", "bee", "cat"), 117.25, -12.5)
    request = ModelRequest(
        SIGLIP,
        str(weights_file(tower(SIGLIP), tmp_path)),
        model_kwargs=" ".join(f"{name}={value}" for name, value in SMALL.items()),
        class_embeddings=str(write_class_embeddings(embeddings, tmp_path / "classes.safetensors")),
    )
    model = load_model(bench, request)
    facts = facts_html(model)
    for words in (
        "117.25 times the cosine",
        "117.2 x cosine of picture and class, -12.5 in the sigmoid branch",
        "zero-shot",
        "both maps are the same",
        "adds the bias -12.5",
    ):
        assert words in facts
    *_, answer = compare_answer(bench, PICTURE, model.name, "bee", "", "signed")
    assert "A bias is all that the sigmoid branch adds" in answer["finding"]
    assert finetune_start(bench, request) == model.name
    assert "full, zero-shot" in models_html(bench)
    with pytest.raises(InputError, match="a public app reads no files"):
        load_model(Workbench(is_public=True), ModelRequest(SIGLIP, class_embeddings="classes.npz"))


def test_nothing_typed_is_refused(bench: Workbench) -> None:
    empty: Any = None
    for name in (empty, " "):
        with pytest.raises(InputError, match="empty"):
            load_model(bench, ModelRequest(name, None))


def test_the_installed_backbone_comes_first_and_timms_names_follow() -> None:
    names = pretrained_names()
    assert names[0] == DEFAULT_BACKBONE
    assert "resnet50.a1_in1k" in names
    assert len(names) > 1000


def test_class_names_and_preprocessing_are_taken_as_typed_and_shown(bench: Workbench, tmp_path: Path) -> None:
    file = weights_of("test_resnet", tmp_path)
    plain = load_model(bench, ModelRequest("test_resnet", file))
    request_ = ModelRequest(
        "test_resnet", file, class_names="a\nb\nc\nd\ne", input_size="96x128", mean="0.5", std="0.5"
    )
    model = load_model(bench, request_)
    assert model.name != plain.name, "answers are kept by name"
    assert model.class_names == ("a", "b", "c", "d", "e")
    assert (model.preprocessing.input_size_hw, model.preprocessing.mean) == ((96, 128), (0.5, 0.5, 0.5))
    facts = facts_html(model)
    assert "input 96 x 128, mean 0.5, std 0.5" in facts
    assert "Top classes of cat.jpg" in facts
    with pytest.raises(InputError, match="one number or three"):
        load_model(bench, ModelRequest("test_resnet", file, mean="grey"))


def test_a_public_app_reads_no_names_from_its_machine_and_takes_no_network_options(tmp_path: Path) -> None:
    public = Workbench(is_public=True)
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match="holds 1 name, the network has 1000"):
        load_model(public, ModelRequest(DEFAULT_BACKBONE, class_names=str(tmp_path / "names.txt")))
    with pytest.raises(InputError, match="must be left out here"):
        load_model(public, ModelRequest(DEFAULT_BACKBONE, model_kwargs="pad_type=same"))


# What `new-model` takes, the screen takes.


def test_every_option_of_the_command_has_a_field_by_whose_label_messages_call_it(bench: Workbench) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_new_model_arguments(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    assert set(LABELS) == options - {"--out", "--overwrite", "--device"}, "the page has its own folder and device"
    with loops_closed(), gr.Blocks():
        model_fields = _model_fields(bench)
    labels = {field.label for field in model_fields}
    assert set(LABELS.values()) == labels - {"Backbone"}
    assert in_labels("give --input-size, as 384") == "give 'Input size', as 384"


def test_one_output_is_a_sigmoid_where_the_box_is_ticked_and_the_refusal_names_the_box(
    bench: Workbench, tmp_path: Path
) -> None:
    file = weights_of("test_resnet", tmp_path, classes=1)
    with pytest.raises(InputError, match="'The one output is a sigmoid' makes it two classes, absent and present"):
        load_model(bench, ModelRequest("test_resnet", file))
    model = load_model(bench, ModelRequest("test_resnet", file, sigmoid_output=True))
    assert model.class_names == ("absent", "present")


def test_crop_pooling_and_channels_are_taken_as_chosen(bench: Workbench, tmp_path: Path) -> None:
    file = weights_of("test_resnet", tmp_path)
    request = ModelRequest("test_resnet", file, input_size="96", crop_pct="0.75", global_pool="max", in_chans="3")
    model = load_model(bench, request)
    assert (model.preprocessing.resize_to, model.options.global_pool) == (128, "max")
    with pytest.raises(InputError, match=r"`in_chans` \(=1\) does not fit"):
        load_model(bench, replace(request, in_chans="1"))
    with pytest.raises(InputError, match=r"`crop_pct` \(='most'\) must be a number"):
        load_model(bench, replace(request, crop_pct="most"))
    with pytest.raises(InputError, match="`global_pool` must be left out here"):
        load_model(Workbench(is_public=True), ModelRequest(DEFAULT_BACKBONE, global_pool="max"))


@pytest.mark.parametrize("is_zip", [False, True])
def test_labelled_pictures_say_which_mean_is_right(
    is_zip: bool, bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsig.inputs.zips.CACHE_FOLDER", tmp_path / "cache")
    file, folder = told_apart_by_brightness(tmp_path)
    data = shutil.make_archive(str(tmp_path / "labelled"), "zip", folder) if is_zip else str(folder)
    request = ModelRequest("test_resnet", str(file), class_names=data, mean="0.1", std="0.5", pictures=data)
    model = load_model(bench, request)
    assert model.class_names == ("ant", "bee", "cat")
    text = str(trials_html(bench, request, model))
    assert "How many of 9 labelled pictures are right" in text
    assert "More are right with Mean 0.5, Standard deviation 0.5: choose that" in text
    assert "--" not in text + facts_html(model)
    elsewhere = trials_html(bench, replace(request, pictures=str(tmp_path / "nowhere")), model)
    assert "must be a folder of pictures" in elsewhere
    with pytest.raises(InputError, match="a public app reads no files"):
        request.labelled(Workbench(is_public=True))
