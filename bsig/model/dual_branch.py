"""The dual-branch model: one encoder, a frozen softmax head, a sigmoid head that started as its copy.

    F = encoder(input)                        features, (b, k, h, w)
    softmax branch:  p = softmax(head(F))     decides the class and the reported accuracy; never trained
    sigmoid branch:  q = sigmoid(clone(F))    one yes or no a class; explains

Source: Oh and Noh, "Beyond Softmax: Dual-Branch Sigmoid Architecture for Accurate Class Activation Maps", BMVC 2025,
arXiv 2511.05590, section 3. The head is any `bsig.model.heads.ClassificationHead`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.inputs.images import Preprocessing
from bsig.model.backbones import Classifier
from bsig.model.heads import ClassificationHead

BranchKind = Literal["full", "shift"]


@dataclass(frozen=True)
class FittedShift:
    """The second kind of sigmoid branch: the softmax head plus one vector and one number, shared by all classes.

    `logit_c = (W[c] + vector) . z + b_c + bias`, z what the last linear layer sees (the pooled features of a pool +
    linear head). As a softmax classifier it is the original on every image; as
    a set of sigmoids it says yes or no. It fixes the freedom that softmax leaves open with k + 1 numbers.
    """

    vector: Float[Tensor, " k"]
    bias: Float[Tensor, ""]

    def applied_to(self, head: ClassificationHead) -> ClassificationHead:
        """A copy of the head with the shift added to every class row of its last linear layer."""
        shifted = copy.deepcopy(head)
        with torch.no_grad():
            shifted.last_linear.weight.add_(self.vector)
            shifted.last_linear.bias.add_(self.bias)
        return shifted


class DualBranch(nn.Module):
    """Encoder, frozen softmax head, sigmoid head.

    Explaining never changes it: features are an ordinary forward pass, gradients are taken through a head alone, there
    are no hooks. So one model may serve many threads. `train()` leaves encoder and softmax head in eval mode, BatchNorm
    statistics included; only the sigmoid head has parameters that require gradients.

    Attributes:
        name: what the model is called in lists and file names.
        class_names: one name a class, in the order of the logits.
        class_ids: one stable id a class (a WordNet id for ImageNet), for matching data sets.
        metadata: what `checkpoint.json` says of where all this comes from.
        branch_kind: `full` (the paper's cloned head) or `shift` (softmax head plus a fitted shift).
        options, features_at, grid_hw: of the backbone (`bsig.model.backbones.Classifier`).
    """

    def __init__(
        self,
        classifier: Classifier,
        sigmoid_head: ClassificationHead | None = None,
        *,
        shift: FittedShift | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.name = name or classifier.name
        self.backbone_name = classifier.name
        self.class_names = classifier.class_names
        self.class_ids = classifier.class_ids
        self.preprocessing: Preprocessing = classifier.preprocessing
        self.options = classifier.options
        self.features_at = classifier.features_at
        self.grid_hw = classifier.grid_hw
        self.metadata = metadata or {}
        self.encoder = classifier.encoder
        self.softmax_head = classifier.head
        self.shift = shift
        self.branch_kind: BranchKind = "shift" if shift else "full"
        if sigmoid_head is None:
            sigmoid_head = shift.applied_to(classifier.head) if shift else copy.deepcopy(classifier.head)
        self.sigmoid_head = sigmoid_head
        self.sigmoid_head.requires_grad_(True)
        self._mean_row: tuple[tuple[int, int], Tensor] | None = None
        self.eval()

    @property
    def num_classes(self) -> int:
        """How many classes both branches answer for."""
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.softmax_head.last_linear.weight.device

    @property
    def is_trained(self) -> bool:
        """Whether the sigmoid branch differs from the softmax branch: before any fine-tune it is its clone."""
        softmax, sigmoid = self.softmax_head.state_dict(), self.sigmoid_head.state_dict()
        return any(not torch.equal(value, sigmoid[key]) for key, value in reversed(softmax.items()))

    def classifier(self, **changed: Any) -> Classifier:
        """Encoder and softmax branch by themselves, with some attributes changed."""
        parts: dict[str, Any] = {
            "name": self.backbone_name,
            "encoder": self.encoder,
            "head": self.softmax_head,
            "preprocessing": self.preprocessing,
            "class_names": self.class_names,
            "class_ids": self.class_ids,
            "weights": {},
            "options": self.options,
            "features_at": self.features_at,
            "grid_hw": self.grid_hw,
        }
        return Classifier(**{**parts, **changed})

    def features(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """The encoder's feature map, without gradient; `inputs` are normalised (`bsig.inputs.images.input_tensor`).

        A head that reads tokens without a place (a class token) has them carried along behind the k channels of the
        grid (`bsig.model.heads`); `map_features` leaves them out.
        """
        with torch.no_grad():
            return self.encoder(inputs)

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
        """`mean_c W[c]` of the softmax head, kept: it is of all classes, and that head never changes.

        Worked out again where the weights were written to after all, which a tensor counts.
        """
        weight = self.softmax_head.last_linear.weight.detach()
        written = (weight.data_ptr(), weight._version)
        kept = self._mean_row
        if kept is None or kept[0] != written:
            kept = self._mean_row = (written, weight.mean(dim=0))
        return kept[1]

    def train(self, mode: bool = True) -> DualBranch:
        """Training mode for the sigmoid head alone."""
        super().train(False)
        self.sigmoid_head.train(mode)
        return self
