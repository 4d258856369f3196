"""Encode a picture once, ask many times: one backbone forward, then maps of both branches for any class and method.

    explainer = Explainer(model)
    encoded = explainer.encode(picture)                      # the only run of the backbone
    explanation = encoded.explain("golf ball", "cam")        # from the stored features, milliseconds
    explanation.softmax.map, explanation.sigmoid.map         # signed, in logits, at grid resolution
    for encoded in explainer.encode_many(paths): ...         # thousands of pictures, in batches

Three evidences stand side by side: the softmax branch, the sigmoid branch, and the class-centred softmax map
`(W[c] - mean_c W) . F`, which no additive logit shift can move (bsig.explain.diagnostics.logit_shift).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from bsig.explain.cams import (
    Branch,
    Score,
    channel_masks,
    class_scores_of,
    eigen_cam_map,
    head_score,
    strongest_channels,
)
from bsig.explain.explanation import Evidence, Explanation
from bsig.explain.methods import CamMethod, cam_method, clamps_weights, default_method, signed_map
from bsig.explain.readings import (
    Reading,
    ReadingInputs,
    cell_logits_of,
    dissimilar,
    log_presence,
    presence_note,
    reading_of,
    settings_of,
    why_not_reading,
)
from bsig.explain.timing import part
from bsig.inputs.arrays import OpenFile, PictureSource, file_content, opened_image
from bsig.inputs.decoding import decoded_ahead, decoding_threads
from bsig.inputs.errors import InputError
from bsig.inputs.images import CropMode, Preprocessing, crop_box_xyxy, crop_image
from bsig.inputs.names import check_utf8
from bsig.inputs.numbers import plain_int
from bsig.inputs.tensors import input_batch, input_tensor
from bsig.model.dual_branch import DualBranch
from bsig.model.finer_grid import finer_grid
from bsig.model.heads import ClassificationHead

Progress = Callable[[int, int], None]
SCORE_CAM_BATCH = 16
ENCODE_BATCH = 16


class Explainer:
    """Encodes pictures with one model. Safe for many threads: the model is only read."""

    def __init__(self, model: DualBranch) -> None:
        self.model = model

    def __repr__(self) -> str:
        return f"Explainer({self.model!r})"

    def encode(
        self,
        image: PictureSource,
        crop_mode: CropMode | None = None,
        *,
        name: str | None = None,
        keep_source: bool = True,
    ) -> EncodedImage:
        """The picture's features and both branches' logits: the one run of the backbone.

        Args:
            image: a PIL picture, a path, a file's bytes, an open file, an array (H, W, 3) or a tensor (3, H, W):
                `bsig.inputs.arrays.opened_image`.
            crop_mode: `center` or `squash` in place of the checkpoint's own.
            name: the picture's name in messages and files; by default its file's.
            keep_source: remember where the picture came from, for drawings over the whole of it.

        Raises:
            InputError: the picture cannot be used, or the features are not finite.
        """
        preprocessing = self._preprocessing(crop_mode)
        with part("decode"):
            picture = _Picture.opened(image, preprocessing, name, keep_source)
        return self._encoded([picture], preprocessing)[0]

    def encode_many(
        self,
        images: Iterable[PictureSource],
        crop_mode: CropMode | None = None,
        *,
        batch_size: SupportsIndex = ENCODE_BATCH,
        name_of: Callable[[PictureSource], str | None] | None = None,
        on_refusal: Callable[[PictureSource, InputError], None] | None = None,
    ) -> Iterator[EncodedImage]:
        """One `EncodedImage` a picture, in their order, encoded in batches while threads decode the next ones.

        No more than two batches of pictures are in memory at a time, and one of features. A batch's features are those
        of its pictures alone up to the rounding of the convolutions, about 1e-6 of their range.

        Args:
            images, crop_mode: as for `encode`.
            batch_size: pictures that the backbone sees together.
            name_of: gives each picture's name in messages and files; by default its file's.
            on_refusal: called with a picture that cannot be used, and why; it is left out. Without it, the first such
                picture ends the loop.

        Raises:
            InputError: as `encode`; a batch of less than one picture.
        """
        size = plain_int("batch_size", batch_size)
        if size < 1:
            raise InputError(f"`batch_size` (={size}) must be at least 1.")
        preprocessing = self._preprocessing(crop_mode)
        open_image = partial(_opened_or_problem, preprocessing=preprocessing, name_of=name_of)
        for batch in decoded_ahead(images, open_image, size, decoding_threads(), batches_ahead=1):
            pictures = []
            for source, picture in batch:
                if isinstance(picture, _Picture):
                    pictures.append(picture)
                elif on_refusal is None:
                    raise picture
                else:
                    on_refusal(source, picture)
            if pictures:
                yield from self._encoded(pictures, preprocessing)

    def _preprocessing(self, crop_mode: CropMode | None) -> Preprocessing:
        if crop_mode is None:
            return self.model.preprocessing
        if crop_mode not in ("center", "squash"):
            raise InputError(f"`crop_mode` (='{crop_mode}') must be 'center' or 'squash'.")
        return replace(self.model.preprocessing, crop_mode=crop_mode)

    def _encoded(self, pictures: list[_Picture], preprocessing: Preprocessing) -> list[EncodedImage]:
        """One run of the backbone for all pictures, whose crops have one size."""
        with part("encode"):
            inputs = input_batch([picture.crop for picture in pictures], preprocessing).to(self.model.device)
            features = _finite_features(self.model, inputs)
        with torch.no_grad():
            softmax, sigmoid = self.model.softmax_logits(features), self.model.sigmoid_logits(features)
        on_grid = self.model.map_features(features)
        carried = features[:, on_grid.shape[1] :] if on_grid.shape[1] < features.shape[1] else None
        return [
            EncodedImage(
                self.model, picture.crop, preprocessing, _row(on_grid, index), _row(softmax, index)[0],
                _row(sigmoid, index)[0], None if carried is None else _row(carried, index),
                picture_name=picture.name, picture_size_wh=picture.size_wh, source=picture.source,
            )
            for index, picture in enumerate(pictures)
        ]  # fmt: skip


def _finite_features(model: DualBranch, inputs: Tensor) -> Tensor:
    features = model.fast_features(inputs)
    if not torch.isfinite(features).all():
        raise InputError(
            f"checkpoint '{model.name}' gives features that are not finite numbers; its weights are damaged."
        )
    return features


def _row(batch: Tensor, index: int) -> Tensor:
    """One entry of a batch as a batch of one; a copy of one of several, since a view would keep them all in memory."""
    return batch if len(batch) == 1 else batch[index : index + 1].clone()


@dataclass(frozen=True)
class _Picture:
    """A picture that is ready to be encoded."""

    name: str
    size_wh: tuple[int, int]
    crop: Image.Image
    source: PictureSource | None

    @classmethod
    def opened(
        cls, source: PictureSource, preprocessing: Preprocessing, name: str | None = None, keep_source: bool = True
    ) -> _Picture:
        """The picture, decoded and cropped; raises `InputError` where it cannot be used."""
        if isinstance(source, OpenFile):
            name = name or Path(str(getattr(source, "name", "picture"))).name
            source = file_content(source, f"'{name}'")  # which can be read once
        picture = opened_image(source, f"'{name}'" if name else None)
        file = Path(source).name if isinstance(source, str | Path) else "picture"
        check_utf8([name or file], "`image`")
        return cls(name or file, picture.size, crop_image(picture, preprocessing), source if keep_source else None)


def _opened_or_problem(
    source: PictureSource, preprocessing: Preprocessing, name_of: Callable[[PictureSource], str | None] | None
) -> _Picture | InputError:
    try:
        return _Picture.opened(source, preprocessing, name_of(source) if name_of else None)
    except InputError as error:
        return error


@dataclass(frozen=True, repr=False)
class EncodedImage:
    """A picture's features with both branches' logits; every question after that is answered from these.

    Attributes:
        crop: the RGB pixels that the model saw.
        preprocessing: how the crop was cut and becomes an input.
        features: (1, k, h, w), the channels that maps are sums over.
        softmax_logits, sigmoid_logits: (c,).
        carried: (1, n, h, w), channels without a place that the heads read too (`bsig.model.heads`); None for most.
        picture_name: its file's name, or "picture".
        picture_size_wh: of the whole picture, upright; None where only the crop was given.
        source: what `encode` was given, for `picture`; None where it was not to be kept.
        coarse: of a picture on the finer grid: the same on the model's own, which gives its logits; None for others.
    """

    model: DualBranch
    crop: Image.Image
    preprocessing: Preprocessing
    features: Tensor
    softmax_logits: Tensor
    sigmoid_logits: Tensor
    carried: Tensor | None = None
    picture_name: str = "picture"
    picture_size_wh: tuple[int, int] | None = None
    source: PictureSource | None = None
    coarse: EncodedImage | None = None
    _masked: dict[int | None, dict[str, Tensor]] = field(default_factory=dict, repr=False)
    _masking: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _cell_logits: dict[Branch, Tensor] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        grid = " x ".join(str(side) for side in self.features.shape[2:])
        predicted = self.model.class_names[self.predicted_index]
        return f"EncodedImage('{self.picture_name}', {grid} cells, '{self.model.name}', predicted '{predicted}')"

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of the maps."""
        rows, columns = self.features.shape[2:]
        return rows, columns

    @part("encode")
    def finer_grid(self) -> EncodedImage:
        """The picture on a grid of twice as many rows and columns, from the same weights (`bsig.model.finer_grid`).

        Maps come from the finer features. What is said of the picture as a whole stays as it is: logits, prediction,
        probabilities and presence are those of the model's own grid, on which it was trained and calibrated. One more
        run of the network, 2.5 times as long as the first.

        Raises:
            InputError: the model has no finer grid; the reason is in the message.
        """
        if self.coarse is not None:
            return self
        model = finer_grid(self.model)
        inputs = input_tensor(self.crop, self.preprocessing).to(self.features.device)
        return replace(
            self, model=model, features=_finite_features(model, inputs), coarse=self, _masked={},
            _masking=threading.Lock(), _cell_logits={},
        )  # fmt: skip

    def grid_logits(self, branch: Branch) -> Float[Tensor, " c"]:
        """(c,) the logits of the branch's head on `features`: on the finer grid others than the picture's own."""
        with torch.no_grad():
            logits = self._head(branch)(self.head_features)[0]
        return logits - logits.mean() if branch == "centred" else logits

    @property
    def crop_box_xyxy(self) -> tuple[float, float, float, float]:
        """Where the crop lies in the whole picture, in its pixels: left, top, right, bottom."""
        return crop_box_xyxy(self.picture_size_wh or self.crop.size, self.preprocessing)

    def picture(self) -> Image.Image:
        """The whole picture, upright RGB, opened once more.

        Raises:
            InputError: its source was not kept, cannot be read any more, or has changed since it was encoded.
        """
        if self.source is None:
            raise InputError(
                f"the source of '{self.picture_name}' was not kept; encode it with `keep_source=True` to draw over the "
                "whole picture."
            )
        picture = opened_image(self.source, f"'{self.picture_name}'")
        if crop_image(picture, self.preprocessing).tobytes() != self.crop.tobytes():
            raise InputError(f"'{self.picture_name}' has changed since it was encoded; encode it again.")
        return picture

    @property
    def head_features(self) -> Tensor:
        """(1, k + n, h, w): all channels that the heads read, as `DualBranch.features` returns them."""
        return self.features if self.carried is None else torch.cat((self.features, self.carried), dim=1)

    @property
    def predicted_index(self) -> int:
        """The softmax branch's class: it alone decides."""
        return int(self.softmax_logits.argmax())

    def class_or_predicted(self, class_name: str | None) -> int:
        """The index of the class; the prediction's for no name, and where the model has no such class.

        Another checkpoint has other classes, and a screen may ask before Compare offers those.
        """
        try:
            return self.model.class_index(class_name) if class_name else self.predicted_index
        except InputError:
            return self.predicted_index

    def top_classes(self, branch: Literal["softmax", "sigmoid"] = "softmax", count: SupportsIndex = 5) -> list[int]:
        """The branch's `count` likeliest classes, likeliest first."""
        logits = self.softmax_logits if branch == "softmax" else self.sigmoid_logits
        return logits.topk(min(plain_int("count", count), len(logits))).indices.tolist()

    def probabilities(self) -> tuple[Tensor, Tensor]:
        """(c,) softmax over the classes and (c,) sigmoid of each."""
        return self.softmax_logits.softmax(dim=0), self.sigmoid_logits.sigmoid()

    def calibrated_probabilities(self) -> Tensor | None:
        """(c,) how likely each class is in the picture (`bsig.model.presence`); None for a branch never calibrated."""
        presence = self.model.presence
        return presence.probability(self.sigmoid_logits) if presence else None

    def rank(self, branch: Branch, class_index: int) -> int:
        """The place of a class in the branch's order, 1 for the likeliest; equal logits share the better place."""
        # Class-centring takes the same number from every class's logit: the order is the softmax branch's.
        logits = self.sigmoid_logits if branch == "sigmoid" else self.softmax_logits
        return 1 + int((logits > logits[class_index]).sum())

    @part("maps")
    def explain(
        self,
        class_index: SupportsIndex | str | None = None,
        method: str | None = None,
        weights: str = "signed",
        *,
        with_bias: bool = False,
        score_cam_channels: SupportsIndex | None = None,
        progress: Progress | None = None,
        reading: str = "plain",
        reading_settings: Mapping[str, Any] | None = None,
        other_class: SupportsIndex | str | None = None,
        softmax_reading: str | None = None,
    ) -> Explanation:
        """Softmax, sigmoid and class-centred evidence for one class.

        Args:
            class_index: a number, a class name or id; None for the softmax branch's prediction.
            method: a key of `CAM_METHODS`; None for the model's own (`default_method`): `cam` wherever it is exact.
            weights: a key of `TREATMENTS`: what is done with negative channel weights.
            with_bias: add each branch's bias of the class to every cell: the logit that the cell would have alone, so
                that the map's mean is the branch's logit. It moves where zero lies and no place. CAM, signed, alone.
            score_cam_channels: Score-CAM's budget: only the strongest so many channels; None for all.
            progress: called with (done, total) channels while Score-CAM runs the network.
            reading: a key of `READINGS`: what the maps are turned into.
            reading_settings: numbers for the reading by their keys; those left out are the checkpoint's own.
            other_class: for the reading `pairwise`: the class B of "why A and not B".
            softmax_reading: another reading for softmax's own two maps, `plain` for example; None for the same one.

        Raises:
            InputError: unknown class, method, treatment or reading; a method or a reading that this head does not
                allow; a bias where the map and the bias do not make the logit.
        """
        variant = cam_method(default_method(self.model.softmax_head) if method is None else method)
        clamps_weights(weights, "softmax")  # refuses an unknown treatment before anything is computed
        index = self.predicted_index if class_index is None else self.model.class_index(class_index)
        if with_bias and not can_add_bias(self.model, variant.key, weights):
            raise InputError(
                f"`with_bias` needs the method 'cam' (=`{variant.key}`), signed weights (=`{weights}`) and a head of "
                "average pool and one linear layer: only there map and bias make the logit; leave it out."
            )
        question = self._question(index, variant, weights, with_bias, reading, reading_settings, other_class)
        budget = None if score_cam_channels is None else plain_int("score_cam_channels", score_cam_channels)
        masked = self._masked_logits(budget, progress) if variant.is_slow else None
        same = None if variant.weights else eigen_cam_map(self.features)  # of every class and branch
        of_softmax = question
        if softmax_reading is not None and softmax_reading != reading:
            of_softmax = self._question(index, variant, weights, with_bias, softmax_reading, None, None)
        sigmoid = self._evidence(question, "sigmoid", masked, same)
        softmax, centred = (self._evidence(of_softmax, branch, masked, same) for branch in ("softmax", "centred"))
        return self._explanation(question, softmax, sigmoid, centred)

    def _explanation(self, question: _Question, softmax: Evidence, sigmoid: Evidence, centred: Evidence) -> Explanation:
        """The three maps with what was asked, and of which picture and model."""
        names = self.model.class_names
        return Explanation(
            class_index=question.index,
            class_name=names[question.index],
            method=question.variant.key,
            weights=question.weights,
            softmax=softmax,
            sigmoid=sigmoid,
            centred=centred,
            predicted_index=self.predicted_index,
            predicted_name=names[self.predicted_index],
            crop=self.crop,
            checkpoint=self.model.name,
            with_bias=question.with_bias,
            reading=question.reading.key,
            reading_settings=question.settings,
            reading_note=self._reading_note(question),
            other_index=question.other,
            other_name=None if question.other is None else names[question.other],
            num_classes=self.model.num_classes,
            encoded=self,
        )

    def _question(
        self,
        index: int,
        variant: CamMethod,
        weights: str,
        with_bias: bool,
        reading: str,
        values: Mapping[str, Any] | None,
        other_class: SupportsIndex | str | None,
    ) -> _Question:
        """The question, with all settings of its reading.

        Raises:
            InputError: the reading is unknown or not exact here, or its settings, second class or bias do not fit it.
        """
        entry, settings = reading_of(reading), settings_of(self.model, reading, values)
        reason = why_not_reading(self.model, reading, variant.key, weights)
        if reason:
            raise InputError(f"`reading` (='{reading}') cannot be used here: {reason}")
        if with_bias and not entry.takes_bias:
            raise InputError(
                f"`with_bias` does not go with the reading '{reading}', which sets its own zero; leave it out."
            )
        if other_class is not None and not entry.needs_other_class:
            raise InputError(
                f"`other_class` (='{other_class}') does not go with the reading '{reading}'; use 'pairwise'."
            )
        other = None if other_class is None else self.model.class_index(other_class)
        if entry.needs_other_class and (other is None or other == index):
            name = self.model.class_names[index]
            raise InputError(
                f"`other_class` (='{other_class}') must name a class other than '{name}' for the reading '{reading}'."
            )
        return _Question(index, variant, weights, with_bias, entry, settings, other)

    def _reading_note(self, question: _Question) -> str:
        """What to know of the presence that the reading rests on; empty where it is calibrated for just this."""
        if not question.asks_presence:
            return ""
        if self.coarse is None or question.reading.key != "window" or self.model.presence is None:
            return presence_note(self.model)
        return "The probability of a window was calibrated on {} x {} cells.".format(*self.coarse.grid_hw)

    def _evidence(
        self, question: _Question, branch: Branch, masked: dict[str, Tensor] | None, same: Tensor | None
    ) -> Evidence:
        """One branch's evidence; `same` is the map of a method that knows neither class nor branch."""
        score = self.score(branch, question.index, masked)
        clamped = clamps_weights(question.weights, branch)
        grid, row = (same, None) if same is not None else signed_map(question.variant, score, clamp_weights=clamped)
        level = 0.0
        if question.reading.kind != "plain":
            plain, inputs = grid, self._reading_inputs(question, branch, grid)
            grid = question.reading.read(inputs)[:, 0]
            level = float(grid.mean() - plain.mean()) if question.reading.keeps_order else 0.0
        bias = self.bias(branch, question.index) if question.with_bias else 0.0
        softmax, sigmoid = self.probabilities()
        calibrated = self.calibrated_probabilities() if branch == "sigmoid" else None
        return Evidence(
            map=_array(grid[0]) + np.float32(bias),
            logit=self._logit(branch, question.index),
            probability=float((sigmoid if branch == "sigmoid" else softmax)[question.index]),
            channel_weights=_array(row[0]) if row is not None and question.reading.keeps_weights else None,
            calibrated_probability=None if calibrated is None else float(calibrated[question.index]),
            rank=self.rank(branch, question.index),
            reading=question.reading.key,
            level=level,
        )

    def _reading_inputs(self, question: _Question, branch: Branch, grid: Tensor) -> ReadingInputs:
        """What a reading may ask of a branch, from the stored features."""
        device = self.features.device
        index = torch.tensor([[question.index]], device=device)
        other = None if question.other is None else torch.tensor([[question.other]], device=device)
        cells = 1 if question.variant.key == "cam" else grid.shape[1] * grid.shape[2]
        return ReadingInputs(
            branch,
            grid[:, None],
            index,
            self.softmax_logits[None],
            self.sigmoid_logits[None],
            cells,
            cell_logits=self.cell_logits,
            score_maps=partial(self._score_maps, question.variant, branch, cells),
            log_presence=partial(log_presence, self.model),
            rivals=partial(dissimilar, self.model.softmax_head.last_linear.weight.detach(), index),
            settings=question.settings,
            other=other,
        )

    def cell_logits(self, branch: Branch) -> Float[Tensor, "1 c h w"]:
        """The branch's logit of each class in each cell alone, with bias; kept. Average pool + linear heads alone."""
        if branch not in self._cell_logits:
            logits = cell_logits_of(self._head(branch), self.features)
            self._cell_logits[branch] = logits - logits.mean(dim=1, keepdim=True) if branch == "centred" else logits
        return self._cell_logits[branch]

    def _score_maps(
        self, variant: CamMethod, branch: Branch, cells: int, scores: Float[Tensor, "1 1 c"], with_bias: bool
    ) -> Float[Tensor, "1 1 h w"]:
        """The map of a combination of the branch's logits, with its bias where the head is average pool + linear."""
        head, scores = self._head(branch), scores[:, 0]
        rows = self._combined_rows(branch, scores) if head.cam_is_exact else None
        if branch == "centred":
            scores = scores - scores.mean(dim=1, keepdim=True)
        grid, _ = signed_map(variant, head_score(head, self.head_features, scores, rows=rows))
        if with_bias and head.cam_is_exact:
            grid = grid + float(scores[0] @ head.last_linear.bias.detach()) / cells
        return grid[:, None]

    def bias(self, branch: Branch, class_index: int) -> float:
        """The branch's bias of the class, in logits; for the class-centred evidence less the mean over all classes."""
        biases = self._head(branch).last_linear.bias.detach()
        return float(biases[class_index] - biases.mean() if branch == "centred" else biases[class_index])

    def score(self, branch: Branch, class_index: int, masked: dict[str, Tensor] | None = None) -> Score:
        """The score that a branch's map explains, with its gradient through the head."""
        head, is_centred = self._head(branch), branch == "centred"
        index = torch.tensor([class_index], device=self.features.device)
        class_scores = class_scores_of(index, self.model.num_classes, centred=is_centred)
        rows = None
        if head.cam_is_exact:  # `onehot(c) @ W` without reading all of `W`
            rows = head.last_linear.weight.detach()[class_index : class_index + 1]
            rows = rows - self.model.mean_softmax_row() if is_centred else rows
        logits = None if masked is None else masked["sigmoid" if branch == "sigmoid" else "softmax"]
        return head_score(head, self.head_features, class_scores, logits, rows)

    def _logit(self, branch: Branch, class_index: int) -> float:
        """The picture's logit of the class; for the class-centred evidence less the mean over all classes."""
        logits = self.sigmoid_logits if branch == "sigmoid" else self.softmax_logits
        return float(logits[class_index] - logits.mean() if branch == "centred" else logits[class_index])

    def _head(self, branch: Branch) -> ClassificationHead:
        return self.model.sigmoid_head if branch == "sigmoid" else self.model.softmax_head

    def _masked_logits(self, budget: int | None, progress: Progress | None) -> dict[str, Tensor]:
        """Both branches' logits of the input masked by each channel, (1, k, c); -inf where a channel is left out.

        Kept, because classes and branches share these runs of the network; its features, (k, k, h, w), would be too
        large to keep.
        """
        if budget is not None and budget < 1:
            raise InputError(f"`score_cam_channels` (={budget}) must be at least 1.")
        with self._masking:
            if budget not in self._masked:
                self._masked[budget] = self._run_masked(budget, progress)
            return self._masked[budget]

    def _run_masked(self, budget: int | None, progress: Progress | None) -> dict[str, Tensor]:
        inputs = input_tensor(self.crop, self.preprocessing).to(self.features.device)
        channels = strongest_channels(self.features[0], budget)
        shape = (1, self.features.shape[1], self.model.num_classes)
        logits = {branch: self.features.new_full(shape, -torch.inf) for branch in ("softmax", "sigmoid")}
        for start in range(0, len(channels), SCORE_CAM_BATCH):
            batch = channels[start : start + SCORE_CAM_BATCH]
            masks = channel_masks(self.features[0, batch], self.preprocessing.input_size_hw)
            features = self.model.fast_features(inputs * masks[:, None])
            with torch.no_grad():
                logits["softmax"][0, batch] = self.model.softmax_logits(features)
                logits["sigmoid"][0, batch] = self.model.sigmoid_logits(features)
            if progress:
                progress(min(start + SCORE_CAM_BATCH, len(channels)), len(channels))
        return logits

    def _combined_rows(self, branch: Branch, scores: Float[Tensor, "1 c"]) -> Float[Tensor, "1 k"]:
        """`scores @ W` of a branch; of all of `W` only the rows that count are read."""
        weight = self._head(branch).last_linear.weight.detach()
        (channels,) = scores[0].nonzero(as_tuple=True)
        rows = scores @ weight if len(channels) == len(weight) else scores[:, channels] @ weight[channels]
        return rows - scores.sum() * self.model.mean_softmax_row() if branch == "centred" else rows


@dataclass(frozen=True)
class _Question:
    """A question to every branch: class, method, treatment, reading with its settings, second class."""

    index: int
    variant: CamMethod
    weights: str
    with_bias: bool
    reading: Reading
    settings: dict[str, float]
    other: int | None

    @property
    def asks_presence(self) -> bool:
        """Whether the answer rests on `q`."""
        return self.reading.needs_presence and self.settings.get("presence", 1.0) > 0


def can_add_bias(model: DualBranch, method: str, weights: str) -> bool:
    """Whether the bias may be added to a map: whether `mean_hw map + bias = logit` holds."""
    return method == "cam" and weights == "signed" and model.softmax_head.cam_is_exact


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
