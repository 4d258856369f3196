"""Cached features are the fresh ones bit for bit, and are found again only where nothing that makes them changed."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generated import class_folders, picture

from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.datasets.samples import LabelledImages
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.inputs.images import crop_image
from bsig.inputs.tensors import input_tensor
from bsig.model.backbones import BackboneOptions, classifier_from_timm
from bsig.model.dual_branch import DualBranch
from bsig.model.weights import state_sha256
from bsig.training.config import EncodingConfig, Views
from bsig.training.features import cache as feature_cache
from bsig.training.features import file as feature_file
from bsig.training.features.cache import cache_key, pooled_features
from bsig.training.features.pooled import PooledFeatures

INDEX_OF = {"a": 0, "b": 1}


def equal(first: PooledFeatures, second: PooledFeatures) -> bool:
    return torch.equal(first.pooled, second.pooled) and torch.equal(first.labels, second.labels)


@pytest.mark.parametrize("views", [Views(), Views(3, seed=5)])
def test_cached_features_are_the_fresh_ones_bit_for_bit_and_cost_no_forward_pass(
    model: DualBranch, images: LabelledImages, cache: Path, encodings: list[int], views: Views
) -> None:
    fresh = pooled_features(model, images, INDEX_OF, views, cache_folder=None)
    assert not cache.exists()
    first = pooled_features(model, images, INDEX_OF, views, cache_folder=cache)
    count = len(encodings)
    second = pooled_features(model, images, INDEX_OF, views, cache_folder=cache)
    assert len(encodings) == count
    assert equal(first, fresh)
    assert equal(second, fresh)
    assert second.pooled.shape[:2] == (6, views.count)
    assert second.pooled.dtype == torch.float32
    assert second.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_default_backbones_features_come_back_bit_for_bit_and_are_those_of_explaining(
    default_model: DualBranch, tmp_path: Path, cache: Path
) -> None:
    images = read_dataset(class_folders(tmp_path / "images", {"a": "red"}, count=2))
    fresh = pooled_features(default_model, images, INDEX_OF, cache_folder=cache)
    assert equal(pooled_features(default_model, images, INDEX_OF, cache_folder=cache), fresh)
    crop = crop_image(images.samples[1].open(), default_model.preprocessing)
    direct = default_model.softmax_head.pooled(default_model.features(input_tensor(crop, default_model.preprocessing)))
    torch.testing.assert_close(fresh.pooled[1], direct, rtol=1e-4, atol=1e-5)


def test_the_first_view_is_the_evaluation_crop_whatever_the_number_of_views(
    model: DualBranch, images: LabelledImages
) -> None:
    single = pooled_features(model, images, INDEX_OF, cache_folder=None, encoding=EncodingConfig(1))
    for index, sample in enumerate(images.samples):
        crop = crop_image(sample.open(), model.preprocessing)
        direct = model.softmax_head.pooled(model.features(input_tensor(crop, model.preprocessing)))
        torch.testing.assert_close(single.pooled[index], direct, rtol=1e-5, atol=1e-6)
    three = pooled_features(model, images, INDEX_OF, Views(3), cache_folder=None)
    torch.testing.assert_close(three.pooled[:, :1], single.pooled, rtol=1e-5, atol=1e-6)


def test_samples_of_classes_that_the_model_does_not_have_are_left_out(
    model: DualBranch, images: LabelledImages
) -> None:
    features = pooled_features(model, images, {"b": 7}, cache_folder=None)
    assert features.labels.tolist() == [7, 7, 7]
    assert torch.equal(features.pooled, pooled_features(model, images, INDEX_OF, cache_folder=None).pooled[3:])


def test_progress_counts_every_picture(model: DualBranch, images: LabelledImages) -> None:
    steps: list[tuple[int, int]] = []
    pooled_features(
        model,
        images,
        INDEX_OF,
        encoding=EncodingConfig(4),
        cache_folder=None,
        progress=lambda *step: steps.append(step),
    )
    assert steps == [(4, 6), (6, 6)]


def key_of(model: DualBranch, images: LabelledImages, views: Views | None = None) -> str:
    return cache_key(model, list(images.samples), views or Views())


def test_the_key_is_the_same_for_the_same_things(model: DualBranch, images: LabelledImages) -> None:
    assert key_of(model, images) == key_of(model, read_dataset(images.samples[0].path.parents[1]))


def test_the_key_changes_with_a_single_weight_or_batch_norm_statistic_of_the_encoder(images: LabelledImages) -> None:
    model = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    keys = {key_of(model, images)}
    with torch.no_grad():
        next(model.encoder.parameters())[0, 0, 0, 0] += 1e-4
        keys.add(key_of(model, images))
        next(buffer for name, buffer in model.encoder.named_buffers() if "running_var" in name)[0] += 1e-3
        keys.add(key_of(model, images))
    assert len(keys) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"input_size_hw": (96, 96)}, {"resize_to": 80}, {"mean": (0.1, 0.5, 0.5)}, {"std": (0.1, 0.5, 0.5)},
        {"interpolation": "nearest"}, {"crop_mode": "squash"},
    ],
)  # fmt: skip
def test_the_key_changes_with_each_part_of_the_preprocessing(
    model: DualBranch, images: LabelledImages, changes: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key_of(model, images)
    monkeypatch.setattr(model, "preprocessing", replace(model.preprocessing, **changes))
    assert key_of(model, images) != before


def test_the_key_changes_with_the_views_and_their_seed_only_where_there_is_more_than_one(
    model: DualBranch, images: LabelledImages
) -> None:
    several = [Views(1), Views(2), Views(3), Views(2, seed=1), Views(2, smallest_area=0.5)]
    assert len({key_of(model, images, views) for views in several}) == len(several)
    assert key_of(model, images, Views(1)) == key_of(model, images, Views(1, 0.5, 9))  # the crop draws nothing


@pytest.mark.parametrize("change", ["content", "time", "gone", "more", "order"])
def test_the_key_changes_with_the_files(model: DualBranch, images: LabelledImages, change: str) -> None:
    before, file = key_of(model, images), images.samples[0].path
    if change == "content":
        picture("green", 9, (50, 41)).save(file)
    elif change == "time":
        os.utime(file, ns=(1, 1))
    elif change == "gone":
        file.unlink()
    samples = images.samples[::-1] if change == "order" else images.samples
    if change == "more":
        samples = (*samples, replace(samples[0], key="a/other.png", path=file.with_name("other.png")))
    assert key_of(model, replace(images, samples=samples)) != before


def test_the_key_does_not_change_with_the_heads_or_with_which_index_a_class_has(
    model: DualBranch, images: LabelledImages, cache: Path, encodings: list[int]
) -> None:
    pooled_features(model, images, INDEX_OF, cache_folder=cache)
    other = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    other.encoder, other.preprocessing = model.encoder, model.preprocessing
    assert key_of(other, images) == key_of(model, images)
    count = len(encodings)
    features = pooled_features(model, images, {"a": 5, "b": 2}, cache_folder=cache)
    assert len(encodings) == count
    assert features.labels.tolist() == [5, 5, 5, 2, 2, 2]


def test_a_changed_picture_is_encoded_again(model: DualBranch, images: LabelledImages, cache: Path) -> None:
    before = pooled_features(model, images, INDEX_OF, cache_folder=cache)
    picture("green", 9, (50, 41)).save(images.samples[0].path)
    after = pooled_features(model, images, INDEX_OF, cache_folder=cache)
    assert not torch.equal(after.pooled[0], before.pooled[0])
    torch.testing.assert_close(after.pooled[1:], before.pooled[1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "fewer", "longer", "no list", "bad list"])
def test_damaged_files_are_made_again(model: DualBranch, images: LabelledImages, cache: Path, damage: str) -> None:
    fresh = pooled_features(model, images, INDEX_OF, cache_folder=cache)
    (rows_file,), (notes_file,) = cache.glob("*.npy"), cache.glob("*.json")
    if damage == "cut":
        rows_file.write_bytes(rows_file.read_bytes()[:200])
    elif damage == "empty":
        rows_file.write_bytes(b"")
    elif damage == "other":
        rows_file.write_bytes(b"not an array")
    elif damage == "fewer":
        np.save(rows_file, np.load(rows_file)[:3])
    elif damage == "longer":
        rows_file.write_bytes(rows_file.read_bytes() + b"1234")
    elif damage == "no list":
        notes_file.unlink()
    else:
        notes_file.write_text("{")
    assert equal(pooled_features(model, images, INDEX_OF, cache_folder=cache), fresh)
    assert equal(pooled_features(model, images, INDEX_OF, cache_folder=cache), fresh)
    assert np.load(rows_file).shape[:2] == (6, 1)


def test_unreadable_files_are_left_out_and_listed_also_from_the_cache(
    model: DualBranch, images: LabelledImages, cache: Path
) -> None:
    whole = pooled_features(model, images, INDEX_OF, cache_folder=None)
    bad = [images.samples[index] for index in (1, 3)]
    for sample in bad:
        sample.path.write_bytes(b"not a picture")
    for _ in range(2):
        features = pooled_features(model, images, INDEX_OF, cache_folder=cache)
        assert features.labels.tolist() == [0, 0, 1, 1]
        torch.testing.assert_close(features.pooled, whole.pooled[[0, 2, 4, 5]], rtol=1e-5, atol=1e-6)
        assert len(features.unreadable) == 2
        for sample, sentence in zip(bad, features.unreadable, strict=True):
            assert sample.key in sentence


def test_where_nothing_can_be_read_the_data_set_is_refused_by_name(
    model: DualBranch, images: LabelledImages, cache: Path
) -> None:
    for sample in images.samples:
        sample.path.unlink()
    with pytest.raises(InputError, match="none of the 6 pictures of 'images'"):
        pooled_features(model, images, INDEX_OF, cache_folder=cache)
    with pytest.raises(InputError, match="none of the 0 pictures of 'images'"):
        pooled_features(model, images, {}, cache_folder=None)


def test_runs_that_share_a_cache_folder_give_the_same_features(
    model: DualBranch, images: LabelledImages, cache: Path
) -> None:
    views = Views(2, seed=3)
    fresh = pooled_features(model, images, INDEX_OF, views, cache_folder=None)

    def run(number: int) -> PooledFeatures:
        return pooled_features(model, images, INDEX_OF, views, cache_folder=cache)

    with ThreadPoolExecutor(6) as pool:
        assert all(equal(features, fresh) for features in pool.map(run, range(12)))
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The operating system refuses to let any file of this process grow further: a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("reserved", [True, False])
def test_a_full_disk_is_told_in_one_sentence_and_features_stay_in_memory(
    model: DualBranch, images: LabelledImages, cache: Path, monkeypatch: pytest.MonkeyPatch, reserved: bool
) -> None:
    if not reserved:  # a file system on which the disk turns out to be full in the middle
        monkeypatch.setattr(feature_file, "_reserve", lambda *_: None)
    fresh = pooled_features(model, images, INDEX_OF, cache_folder=None, encoding=EncodingConfig(2))
    notes: list[str] = []
    with no_file_above(128 + 4 * 96 * 3):
        features = pooled_features(
            model, images, INDEX_OF, cache_folder=cache, encoding=EncodingConfig(2), on_note=notes.append
        )
    assert equal(features, fresh)
    (note,) = notes
    assert "File too large" in note
    assert "BSIG_CACHE" in note
    assert "\n" not in note
    assert list(cache.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_told_with_the_remedy(
    model: DualBranch, images: LabelledImages, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    notes: list[str] = []
    features = pooled_features(model, images, INDEX_OF, cache_folder=tmp_path / "file", on_note=notes.append)
    assert equal(features, pooled_features(model, images, INDEX_OF, cache_folder=None))
    assert "BSIG_CACHE" in notes[0]


def test_features_over_the_limit_stay_in_memory_and_the_cache_keeps_what_it_has(
    model: DualBranch, images: LabelledImages, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled_features(model, images, INDEX_OF, cache_folder=cache)
    monkeypatch.setenv("BSIG_CACHE_GB", "0.000001")
    notes: list[str] = []
    pooled_features(model, images, INDEX_OF, Views(2), cache_folder=cache, on_note=notes.append)
    assert "over the limit" in notes[0]
    assert len(list(cache.glob("*.npy"))) == 1


def test_what_neither_cache_nor_memory_holds_is_refused_in_words(
    model: DualBranch, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "available_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"neither the cache nor memory holds.*--no-cache"):
        pooled_features(model, images, INDEX_OF, cache_folder=None)


def test_a_list_of_unreadable_files_that_cannot_be_written_leaves_no_features_that_would_be_found(
    model: DualBranch, images: LabelledImages, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_list(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_file, "write_json", no_list)
    notes: list[str] = []
    features = pooled_features(model, images, INDEX_OF, cache_folder=cache, on_note=notes.append)
    assert "No space left" in notes[0]
    assert list(cache.iterdir()) == []
    assert equal(features, pooled_features(model, images, INDEX_OF, cache_folder=None))


def test_stopping_ends_extraction_at_the_next_batch(model: DualBranch, images: LabelledImages, cache: Path) -> None:
    counts: list[int] = []
    with pytest.raises(StoppedEarly, match="after 4 of 6 pictures were encoded"):
        pooled_features(
            model, images, INDEX_OF, encoding=EncodingConfig(2), cache_folder=cache,
            progress=lambda count, _total: counts.append(count), should_stop=lambda: bool(counts) and counts[-1] == 4,
        )  # fmt: skip
    assert list(cache.iterdir()) == []


@pytest.mark.nightly
def test_the_same_weights_at_another_stride_or_under_another_pooling_have_features_of_their_own(
    images: LabelledImages,
) -> None:
    torch.manual_seed(0)
    plain = classifier_from_timm("resnet18", pretrained=False)
    state = plain.encoder.state_dict()
    keys = {key_of(DualBranch(plain), images)}
    for options in (BackboneOptions("stride16"), BackboneOptions(global_pool="max"), BackboneOptions("layer3")):
        other = classifier_from_timm("resnet18", pretrained=False, options=options)
        if options.feature_stage != "layer3":
            other.encoder.load_state_dict(state)
            assert state_sha256(other.encoder) == state_sha256(plain.encoder)
        keys.add(key_of(DualBranch(other), images))
    assert len(keys) == 4
