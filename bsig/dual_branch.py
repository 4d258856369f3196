"""The dual-branch model: one encoder, a frozen softmax head, a sigmoid head that started as its copy.

    F = encoder(input)                        features, (b, k, h, w)
    softmax branch:  p = softmax(head(F))     decides the class and the reported accuracy; never trained
    sigmoid branch:  q = sigmoid(clone(F))    one yes or no a class; explains

Source: Oh and Noh, "Beyond Softmax: Dual-Branch Sigmoid Architecture for Accurate Class Activation Maps", BMVC 2025,
arXiv 2511.05590, section 3. The head is any module with the members named in `bsig.backbones.PooledLinearHead`.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.backbones import Classifier, PooledLinearHead
from bsig.images import Preprocessing

BranchKind = Literal["full", "shift"]


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
    """

    def __init__(
        self,
        classifier: Classifier,
        sigmoid_head: PooledLinearHead | None = None,
        *,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.name = name or classifier.name
        self.backbone_name = classifier.name
        self.class_names = classifier.class_names
        self.class_ids = classifier.class_ids
        self.preprocessing: Preprocessing = classifier.preprocessing
        self.metadata = metadata or {}
        self.encoder = classifier.encoder
        self.softmax_head = classifier.head
        self.sigmoid_head = sigmoid_head or copy.deepcopy(classifier.head)
        self.sigmoid_head.requires_grad_(True)
        self.eval()

    @property
    def num_classes(self) -> int:
        """How many classes both branches answer for."""
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.softmax_head.last_linear.weight.device

    def features(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """The encoder's last feature map, without gradient; `inputs` are normalised (`bsig.images.input_tensor`)."""
        with torch.no_grad():
            return self.encoder(inputs)

    def softmax_logits(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c"]:
        """Logits of the pretrained head; `softmax` over the classes gives the prediction."""
        return self.softmax_head(features)

    def sigmoid_logits(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c"]:
        """Logits of the fine-tuned clone; a `sigmoid` of each gives that class's yes or no."""
        return self.sigmoid_head(features)

    def train(self, mode: bool = True) -> DualBranch:
        """Training mode for the sigmoid head alone."""
        super().train(False)
        self.sigmoid_head.train(mode)
        return self
