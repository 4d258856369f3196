"""One pass over labelled pictures: each is read and encoded once, and leaves its maps and its ground truth behind.

A part of a few pictures leaves arrays: signed maps at grid resolution, which thresholds localize it, pixel counts
against its mask. Features and pixels are dropped. Maps have a row for each class that is in a picture, answers of the
branches a row a picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bsig.evaluation.gates import Answers, gates_of
from bsig.evaluation.map_sources import class_maps
from bsig.evaluation.passes.annotated_pictures import Picture, PresentClass, annotated_picture, squashed
from bsig.evaluation.passes.faithfulness import drop_arrays
from bsig.evaluation.passes.localization import localization_arrays
from bsig.evaluation.passes.presence import presence_arrays
from bsig.evaluation.passes.regions import Notes
from bsig.evaluation.passes.work import Work
from bsig.explain.diagnostics.absent_classes import absent_classes
from bsig.inputs.datasets.samples import Sample
from bsig.inputs.tensors import input_batch
from bsig.model.dual_branch import DualBranch

Array = np.ndarray


def picture_part(work: Work, samples: Sequence[tuple[int, Sample]]) -> dict[str, Array]:
    """All arrays of a few pictures (position, sample), each encoded once. Unusable ones are only noted.

    A row a picture: `picture_position`, those of `branch_answers` and `presence_arrays`. A row for each present class,
    picture by picture: `position`, `label`, `is_likeliest` (softmax gives the class the most), `coverage`; `maps KEY`
    (n, 1 + a + s, h, w) and `gate KEY` (n, 1 + a + s) have that class first, then the picture's absent ones, then
    siblings. `places KEY` has a row for each of them with boxes, `pixels KEY` one for each with a mask.
    """
    notes, preprocessing = Notes(), squashed(work.model)
    pictures = [
        picture
        for at, sample in samples
        if (picture := annotated_picture(sample, at, work.present(sample), preprocessing, notes))
    ]
    if pictures:
        inputs = input_batch([picture.crop for picture in pictures], preprocessing)
    else:  # for the grid's size: an empty part has its arrays too
        inputs = torch.zeros(1, 3, *preprocessing.input_size_hw)
    features = work.model.fast_features(inputs.to(work.model.device))[: len(pictures)]
    most = max((len(picture.classes) for picture in pictures), default=1)
    class_rows = class_arrays(work, features, _asked_classes(work, pictures, most))
    present = [picture.present for picture in pictures]
    picture_rows = branch_answers(work.model, features, present)
    picture_rows |= presence_arrays(work.model, features, present, sorted(set(work.labels.values())))
    picture_rows["picture_position"] = np.array([picture.position for picture in pictures], np.int64)
    rows, arrays = _rows_of_present_classes(pictures, class_rows, most)
    arrays["label"] = np.array([label for labels in present for label in labels], np.int64)
    arrays["is_likeliest"] = (picture_rows["likeliest"][rows] == arrays["label"]).astype(np.float64)
    if work.drop_sources:
        positions = picture_rows["picture_position"][rows]
        arrays |= drop_arrays(work, inputs[: len(pictures)].to(features), features, rows, positions, arrays)
    is_finite = torch.isfinite(features).flatten(1).all(dim=1).cpu().numpy()
    for key in work.sources:
        is_finite &= np.isfinite(class_rows[f"maps {key}"]).all(axis=(1, 2, 3))
    for i in np.flatnonzero(~is_finite):
        notes.unreadable.append(f"'{pictures[i].key}' gives maps that are not finite numbers; left out.")
    picture_rows = {key: array[is_finite] for key, array in picture_rows.items()}
    arrays = {key: array[is_finite[rows]] for key, array in arrays.items()}
    classes = [present for i in np.flatnonzero(is_finite) for present in pictures[i].classes]
    own = {key: arrays[f"maps {key}"][:, 0] for key, source in work.sources.items() if source.is_localized}
    arrays |= picture_rows | _ground_truth(classes, (features.shape[2], features.shape[3]))
    # JSON as bytes, since a part holds arrays alone.
    arrays["notes"] = np.frombuffer(json.dumps([notes.unreadable, notes.regions]).encode(), np.uint8)
    return arrays | localization_arrays(classes, own, work.config.seed)


def notes_of(contents: Sequence[UInt8[Array, " _"]]) -> Notes:
    """The notes of several parts, one after the other."""
    notes = Notes()
    for content in contents:
        unreadable, regions = json.loads(content.tobytes())
        notes.unreadable += unreadable
        notes.regions += regions
    return notes


def _asked_classes(work: Work, pictures: Sequence[Picture], most: int) -> Int[Array, "n m"]:
    """Each picture's `most` present classes (the first again where it has fewer), absent ones and siblings.

    The absent ones are the same whatever else is in the data set.
    """
    pools = ((work.absent_pool, work.absent_count), (work.sibling_pool, work.sibling_count))
    rows = [
        [
            *picture.present,
            *[picture.present[0]] * (most - len(picture.present)),
            *(
                index
                for pool, count in pools
                for index in absent_classes(
                    pool, picture.present, count, seed=work.config.seed, position=picture.position
                )
            ),
        ]
        for picture in pictures
    ]
    return np.array(rows, np.int64).reshape(len(rows), most + work.absent_count + work.sibling_count)


def _rows_of_present_classes(
    pictures: Sequence[Picture], class_rows: Mapping[str, Array], most: int
) -> tuple[Int[Array, " n"], dict[str, Array]]:
    """The picture of each present class; and arrays of all asked classes with a row for each present one.

    A row keeps its own class and the classes behind the `most` present ones.
    """
    counts = [len(picture.classes) for picture in pictures]
    rows = np.repeat(np.arange(len(pictures)), counts)
    own = np.array([i for count in counts for i in range(count)], np.int64)
    width = next(iter(class_rows.values())).shape[1]
    columns = np.column_stack([own, np.tile(np.arange(most, width), (len(rows), 1))])
    return rows, {key: array[rows[:, None], columns] for key, array in class_rows.items()}


def _ground_truth(classes: Sequence[PresentClass], grid_hw: tuple[int, int]) -> dict[str, Array]:
    return {
        "position": np.array([present.position for present in classes], np.int64),
        "coverage": np.array([present.coverage(grid_hw) for present in classes]).reshape(-1, *grid_hw),
        "boxed": np.array([bool(present.boxes_xyxy) for present in classes], bool),
        "masked": np.array([present.mask is not None for present in classes], bool),
    }


def class_arrays(work: Work, features: Float[Tensor, "b k h w"], class_index: Int[Array, "b m"]) -> dict[str, Array]:
    """Each source's maps of `m` classes, `maps KEY` (b, m, h, w), and the numbers of their gates, `gate KEY` (b, m)."""
    classes = torch.from_numpy(class_index).to(features.device)
    arrays = {
        f"maps {key}": np.ascontiguousarray(class_maps(source, features, classes).detach().float().cpu().numpy())
        for key, source in work.sources.items()
    }
    answers = Answers(work.model, *branch_logits(work.model, features), classes)
    for gate in gates_of(work.model):
        arrays[f"gate {gate.key}"] = gate.numbers(answers).float().cpu().numpy()
    return arrays


def branch_answers(
    model: DualBranch, features: Float[Tensor, "b k h w"], present: Sequence[Sequence[int]]
) -> dict[str, Array]:
    """Whether each branch's likeliest class is in the picture (1 or 0), and softmax's confidence in its own.

    `likeliest` is softmax's likeliest class; `is_alone` is 1 where the picture has one class.
    """
    softmax_logits, sigmoid_logits = branch_logits(model, features)
    softmax, sigmoid = softmax_logits.softmax(dim=1).cpu().numpy(), sigmoid_logits.cpu().numpy()
    return {
        "likeliest": softmax.argmax(axis=1).astype(np.int64),
        "softmax_top1": _is_present(softmax.argmax(axis=1), present),
        "sigmoid_top1": _is_present(sigmoid.argmax(axis=1), present),
        "is_alone": np.array([len(classes) == 1 for classes in present], bool),
        "confidence": softmax.max(axis=1).astype(np.float64),
    }


def _is_present(answers: Int[Array, " b"], present: Sequence[Sequence[int]]) -> Float[Array, " b"]:
    return np.array([answer in classes for answer, classes in zip(answers.tolist(), present, strict=True)], np.float64)


@torch.no_grad()
def branch_logits(
    model: DualBranch, features: Float[Tensor, "b k h w"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """The softmax branch's and the sigmoid branch's logits of all classes."""
    return model.softmax_logits(features), model.sigmoid_logits(features)
