"""The dual-branch model: one encoder, a frozen softmax head, a sigmoid head that started as its copy.

    F = encoder(input)                        features, (b, k, h, w)
    softmax branch:  p = softmax(head(F))     decides the class and the reported accuracy; never trained
    sigmoid branch:  q = sigmoid(clone(F))    one yes or no a class; explains

Source: Oh and Noh, "Beyond Softmax: Dual-Branch Sigmoid Architecture for Accurate Class Activation Maps", BMVC 2025,
arXiv 2511.05590, section 3. The head is any `bsig.model.heads.ClassificationHead`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.inputs.counts import counted_classes
from bsig.inputs.datasets.classes import first_names
from bsig.inputs.errors import InputError
from bsig.inputs.images import Preprocessing
from bsig.inputs.names import composed, folded
from bsig.inputs.numbers import plain, plain_float, plain_int
from bsig.model.backbones import Classifier
from bsig.model.checkpoints.names import BranchKind
from bsig.model.class_hints import near_class_names
from bsig.model.engines import check_engine, fast_features
from bsig.model.from_module import classifier_from_module
from bsig.model.heads import ClassificationHead
from bsig.model.model_settings import ModelSettings, triple
from bsig.model.presence import PresenceCalibration


@dataclass(frozen=True)
class FittedShift:
    """The second kind of sigmoid branch: the softmax head plus one vector and one number, shared by all classes.

    `logit_c = (W[c] + vector) . z + b_c + bias`, where z, (n,), is what the last linear layer sees (the pooled features
    of a pool + linear head). As a softmax classifier it is the original on every picture; as a set of sigmoids it says
    yes or no. It fixes with n + 1 numbers the freedom that softmax leaves open.
    """

    vector: Float[Tensor, " k"]
    bias: Float[Tensor, ""]


class DualBranch(nn.Module):
    """Encoder, frozen softmax head, sigmoid head.

    Explaining never changes it: features are an ordinary forward pass, gradients are taken through a head alone, there
    are no hooks. So one model may serve many threads. `train()` leaves encoder and softmax head in eval mode, BatchNorm
    statistics included; only the sigmoid head has parameters that require gradients.

    Attributes:
        name: of the model in lists and file names.
        metadata: the entries of `checkpoint.json`: where all this comes from.
        branch_kind: `full` (the paper's cloned head) or `shift` (softmax head plus a fitted shift).
        presence: the sigmoid branch's logits as calibrated probabilities; None where they were never calibrated.
        class_names, class_ids, options, features_at, grid_hw, notes: as of `bsig.model.backbones.Classifier`.
    """

    def __init__(
        self,
        classifier: Classifier,
        sigmoid_head: ClassificationHead | None = None,
        *,
        shift: FittedShift | None = None,
        presence: PresenceCalibration | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._classifier = classifier
        self.name = name or classifier.name
        self.backbone_name = classifier.name
        self.class_names = classifier.class_names
        self.class_ids = classifier.class_ids
        self.preprocessing: Preprocessing = classifier.preprocessing
        self.options = classifier.options
        self.features_at = classifier.features_at
        self.grid_hw = classifier.grid_hw
        self.notes = classifier.notes
        self._engine = classifier.engine
        self.metadata = metadata or {}
        self.encoder = classifier.encoder
        self.softmax_head = classifier.head
        self.shift = shift
        self.presence = presence
        self.branch_kind: BranchKind = "shift" if shift else "full"
        if sigmoid_head is None and shift:
            sigmoid_head = classifier.head.shifted(shift.vector, shift.bias)
        self.sigmoid_head = (sigmoid_head or copy.deepcopy(classifier.head)).requires_grad_(True)
        self._mean_row: tuple[tuple[int, int], Tensor] | None = None
        self.eval()

    def __repr__(self) -> str:
        grid = "" if self.grid_hw is None else "{} x {} cells, ".format(*self.grid_hw)
        return (
            f"DualBranch('{self.name}', {self.num_classes} classes, {self.backbone_name}, {grid}{self.branch_kind} "
            f"branch, {self.training_state})"
        )

    @classmethod
    def from_model(
        cls,
        module: nn.Module,
        class_names: Sequence[str] | None = None,
        input_size: SupportsIndex | Sequence[SupportsIndex] | None = None,
        *,
        mean: SupportsFloat | Sequence[SupportsFloat] | None = None,
        std: SupportsFloat | Sequence[SupportsFloat] | None = None,
        interpolation: str | None = None,
        crop_mode: str | None = None,
        name: str | None = None,
    ) -> DualBranch:
        """The dual-branch model of a classifier in memory, timm's or any other; its sigmoid branch is a clone.

        The module is copied, as float32 on the CPU, and not changed. `model.notes` say what was not given and taken
        from timm or as usual.

        Args:
            module: takes pictures (b, 3, H, W) and gives logits (b, c) of a last linear layer.
            class_names: in the order of the logits; None for ImageNet's where they fit, else numbers.
            input_size: the side in pixels, or rows and columns.
            mean, std: three numbers, or one for all, for pixels from 0 to 1; NumPy's and torch's will do.
            interpolation, crop_mode: as of `bsig.inputs.images.Preprocessing`.
            name: in lists and file names.

        Raises:
            InputError: the module cannot be cut in two exactly, or a setting breaks its rule.
        """
        settings = ModelSettings(
            class_names=tuple(map(str, class_names)) if class_names is not None else None,
            input_size_hw=None if input_size is None else _size_hw(input_size),
            mean=triple("mean", mean) if mean is not None else None,
            std=triple("std", std) if std is not None else None,
            interpolation=interpolation,
            crop_mode=crop_mode,
        )
        classifier = classifier_from_module(module, settings)
        return cls(classifier, name=name or classifier.name.replace("/", "-"))

    @classmethod
    def from_class_embeddings(
        cls,
        backbone: str,
        embeddings: Any,
        class_names: Sequence[str] | None = None,
        *,
        weights: Path | str | None = None,
        logit_scale: SupportsFloat | None = None,
        logit_bias: SupportsFloat | None = None,
        device: str = "cpu",
    ) -> DualBranch:
        """A zero-shot model: an image tower of timm, and a text embedding a class (`bsig.model.zero_shot`).

        Softmax branch `logit_scale * cos`, sigmoid branch `logit_scale * cos + logit_bias`. `model.notes` say what was
        taken for a scale or bias that is not given.

        Args:
            backbone: timm's name of the tower, as `vit_base_patch16_siglip_224.webli`.
            embeddings: a file (`bsig.model.class_embeddings`), or a matrix (classes, width), an array or a tensor.
            class_names: in the order of the rows; None for those of the file, else numbers.
            weights: a file of the tower's weights; None for the published ones.
            logit_scale, logit_bias: None for those of the file; without any, CLIP's 100 and no bias.
            device: as of `chosen_device`.

        Raises:
            InputError: embeddings and tower do not fit, or as `bsig.model.new_model.new_model`.
        """
        from bsig.model.class_embeddings import class_embeddings_of
        from bsig.model.new_model import new_model  # which makes objects of this class

        names = tuple(map(str, class_names)) if class_names is not None else None
        scale = None if logit_scale is None else plain_float("logit_scale", logit_scale)
        bias = None if logit_bias is None else plain_float("logit_bias", logit_bias)
        of_file = class_embeddings_of(embeddings).with_settings(names, scale, bias)
        return new_model(backbone, weights, device=device, class_embeddings=of_file)

    @property
    def num_classes(self) -> int:
        """How many classes both branches answer for."""
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return self.softmax_head.last_linear.weight.device

    @property
    def engine(self) -> str:
        """How `fast_features` runs the encoder: `torch` (BatchNorm folded), or `onnxruntime`.

        Raises:
            InputError: on setting one that is unknown, not installed, or does not run on the model's device.
        """
        return self._engine

    @engine.setter
    def engine(self, name: str) -> None:
        check_engine(name, self.device)
        self._engine = name

    @property
    def is_trained(self) -> bool:
        """Whether the sigmoid branch differs from the softmax branch: before any fine-tune it is its clone."""
        sigmoid = self.sigmoid_head.state_dict()
        return any(
            not torch.equal(value, sigmoid[key]) for key, value in reversed(self.softmax_head.state_dict().items())
        )

    @property
    def is_zero_shot(self) -> bool:
        """Whether both branches are made of class embeddings, with a scale and a bias (`bsig.model.zero_shot`)."""
        return bool(self.metadata.get("zero_shot"))

    @property
    def training_state(self) -> str:
        """How the sigmoid branch came about, in words."""
        if not self.is_trained:
            return "not fine-tuned yet"
        return "zero-shot" if self.is_zero_shot else "fine-tuned"

    def classifier(self, **changes: Any) -> Classifier:
        """Encoder and softmax branch by themselves, with some attributes of the `Classifier` changed."""
        own = {"encoder": self.encoder, "preprocessing": self.preprocessing, "engine": self.engine}
        return replace(self._classifier, **{**own, **changes})

    def features(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """The encoder's feature map, without gradient; `inputs` are normalised (`bsig.inputs.images.input_tensor`).

        A head that reads tokens without a place (a class token) has them carried along behind the k channels of the
        grid (`bsig.model.heads`); `map_features` leaves them out.
        """
        with torch.no_grad():
            return self.encoder(inputs)

    def fast_features(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """`features`, each within 1e-4 of the largest (rounding: some 1e-6), as `engine` computes them sooner.

        Explaining and evaluating take these; training takes `features` (`bsig.model.engines`).
        """
        return fast_features(self.encoder, self.engine, inputs)

    def map_features(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b k h w"]:
        """The channels of features that maps are sums over."""
        return self.softmax_head.map_features(features)

    def softmax_logits(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c"]:
        """Logits of the pretrained head; `softmax` over the classes gives the prediction."""
        return self.softmax_head(features)

    def sigmoid_logits(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c"]:
        """Logits of the fine-tuned clone; a `sigmoid` of each gives that class's yes or no."""
        return self.sigmoid_head(features)

    def mean_softmax_row(self) -> Float[Tensor, " k"]:
        """`mean_c W[c]` of the softmax head, the same for all classes.

        It is computed once, and again if the weights have been written to after all (a tensor counts that).
        """
        weight = self.softmax_head.last_linear.weight.detach()
        state = (weight.data_ptr(), weight._version)
        mean_row = self._mean_row
        if mean_row is None or mean_row[0] != state:
            mean_row = self._mean_row = (state, weight.mean(dim=0))
        return mean_row[1]

    def class_index(self, name_or_index: SupportsIndex | str) -> int:
        """The index of a class, given as its index, name or id (as text or number), in upper or lower case.

        Raises:
            InputError: no such class, with the nearest names; or several, with their indices.
        """
        if isinstance(name_or_index, str):
            text = name_or_index.strip()
            if (index := self._labelled(text)) is not None:
                return index
            if not re.fullmatch(r"-?[0-9]{1,9}", text):
                near = near_class_names(text, self.class_names, self.class_ids)
                names = f"nearest are {', '.join(near)}" if near else f"first are {first_names(self.class_names)}"
                raise InputError(
                    f"`class` (='{name_or_index}') is not among the classes of checkpoint '{self.name}'; the {names}."
                )
        index = int(name_or_index) if isinstance(name_or_index, str) else plain_int("class_index", name_or_index)
        if not 0 <= index < self.num_classes:
            raise InputError(
                f"`class_index` (={index}) must be from 0 to {self.num_classes - 1}: "
                f"checkpoint '{self.name}' has {counted_classes(self.num_classes)}."
            )
        return index

    def _labelled(self, text: str) -> int | None:
        """The index of the class of that name or id."""
        # First as it is written: 'Cardigan' is a dog, 'cardigan' a jacket.
        for spelling in (str, composed, folded):
            key = spelling(text)
            for labels in (self.class_names, self.class_ids):
                indices = [index for index, label in enumerate(labels) if spelling(label) == key]
                if len(indices) > 1:
                    classes = ", ".join(f"{index} ({labels[index]})" for index in indices[:5])
                    raise InputError(
                        f"`class` (='{text}') is the name of {len(indices)} classes of checkpoint '{self.name}', "
                        f"{classes}{', ...' if len(indices) > 5 else ''}; give the index."
                    )
                if indices:
                    return indices[0]
        return None

    def train(self, mode: bool = True) -> DualBranch:
        """Training mode for the sigmoid head alone."""
        super().train(False)
        self.sigmoid_head.train(mode)
        return self


def _size_hw(input_size: Any) -> tuple[int, int]:
    """Rows and columns of a side in pixels, or of rows and columns."""
    sides = plain(input_size)
    sides = [sides, sides] if isinstance(sides, int | float) else list(sides)
    if len(sides) != 2:
        raise InputError(f"`input_size` (={input_size}) must be a side in pixels, or rows and columns.")
    return plain_int("input_size", sides[0]), plain_int("input_size", sides[1])
