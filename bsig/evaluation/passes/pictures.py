"""One pass over labelled pictures: each is read and encoded once, and leaves its maps and its ground truth behind.

A part of a few pictures leaves arrays: signed maps at grid resolution, which thresholds localize it, pixel counts
against its mask. Features and pixels are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bsig.evaluation.gates import Answers, gates_of
from bsig.evaluation.map_sources import class_maps
from bsig.evaluation.passes.annotated_pictures import Picture, annotated_picture, squashed
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


def picture_part(work: Work, samples: Sequence[tuple[int, Sample, tuple[int, ...]]]) -> dict[str, Array]:
    """All arrays of a few pictures (position, sample, present classes), each encoded once.

    Unusable ones are only noted.

    Rows are pictures. `maps KEY` (n, 1 + a + s, h, w) and `gate KEY` (n, 1 + a + s) have the own class first, then
    absent ones, then siblings; `places KEY` has a row a picture with boxes, `pixels KEY` one a picture with a mask.
    """
    notes, preprocessing = Notes(), squashed(work.model)
    pictures = [
        picture
        for at, sample, present in samples
        if (picture := annotated_picture(sample, at, present, preprocessing, notes))
    ]
    if pictures:
        inputs = input_batch([picture.crop for picture in pictures], preprocessing)
    else:  # for the grid's size: an empty part has its arrays too
        inputs = torch.zeros(1, 3, *preprocessing.input_size_hw)
    features = work.model.fast_features(inputs.to(work.model.device))[: len(pictures)]
    classes = _asked_classes(work, pictures)
    arrays = class_arrays(work, features, classes)
    present = [picture.present for picture in pictures]
    arrays |= {"label": classes[:, 0], **branch_answers(work.model, features, present)}
    if work.drop_sources:
        positions = np.array([picture.position for picture in pictures], np.int64)
        arrays |= drop_arrays(work, inputs[: len(pictures)].to(features), features, positions, arrays)
    arrays |= presence_arrays(work.model, features, present, sorted(set(work.labels.values())))
    is_finite = torch.isfinite(features).flatten(1).all(dim=1).cpu().numpy()
    for key in work.sources:
        is_finite &= np.isfinite(arrays[f"maps {key}"]).all(axis=(1, 2, 3))
    for i in np.flatnonzero(~is_finite):
        notes.unreadable.append(f"'{pictures[i].key}' gives maps that are not finite numbers; left out.")
    arrays = {key: array[is_finite] for key, array in arrays.items()}
    pictures = [pictures[i] for i in np.flatnonzero(is_finite)]
    own = {key: arrays[f"maps {key}"][:, 0] for key, source in work.sources.items() if source.is_localized}
    arrays |= _ground_truth(pictures, (features.shape[2], features.shape[3]))
    # JSON as bytes, since a part holds arrays alone.
    arrays["notes"] = np.frombuffer(json.dumps([notes.unreadable, notes.regions]).encode(), np.uint8)
    return arrays | localization_arrays(pictures, own, work.config.seed)


def notes_of(stored: Sequence[UInt8[Array, " _"]]) -> Notes:
    """The notes of several parts, one after the other."""
    notes = Notes()
    for content in stored:
        unreadable, regions = json.loads(content.tobytes())
        notes.unreadable += unreadable
        notes.regions += regions
    return notes


def _asked_classes(work: Work, pictures: Sequence[Picture]) -> Int[Array, "n m"]:
    """Each picture's own class and, behind it, the absent ones and the siblings.

    The absent ones are the same whatever else is in the data set.
    """
    pools = ((work.absent_pool, work.absent_count), (work.sibling_pool, work.sibling_count))
    rows = [
        [
            picture.label,
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
    return np.array(rows, np.int64).reshape(len(rows), 1 + work.absent_count + work.sibling_count)


def _ground_truth(pictures: Sequence[Picture], grid_hw: tuple[int, int]) -> dict[str, Array]:
    return {
        "position": np.array([picture.position for picture in pictures], np.int64),
        "coverage": np.array([picture.coverage(grid_hw) for picture in pictures]).reshape(-1, *grid_hw),
        "boxed": np.array([bool(picture.boxes_xyxy) for picture in pictures], bool),
        "masked": np.array([picture.mask is not None for picture in pictures], bool),
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

    `is_alone` is 1 where the picture has one class.
    """
    softmax_logits, sigmoid_logits = branch_logits(model, features)
    softmax, sigmoid = softmax_logits.softmax(dim=1).cpu().numpy(), sigmoid_logits.cpu().numpy()
    return {
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
