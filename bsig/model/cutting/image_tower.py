"""An image tower, half of a model of pictures and texts such as CLIP or SigLIP, cut in two at its last feature map.

    parts = cut_image_tower(tower, example)       parts.head(parts.encoder(x)) = e / |e|, the tower's embedding e(x)
    with_class_rows(parts.head, weight)           logit_c = weight[c] . e / |e|

The length `|e|` depends on the whole picture, so a cosine is not linear in the features. For one picture it is a number
though, the same for every class and every cell. So gradients that draw maps hold it fixed (`EmbeddingHead.map_logits`),
and where the embedding is an average pool and a projection, the encoder projects every cell and divides by it:

    F_hat[n,h,w] = (sum_k P[n,k] F[k,h,w] + p_n) / |e|        mean_hw F_hat = e / |e|

Then the head is an average pool and one linear layer, and its class activation map is exact for the cosine's logit.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bsig.model.cutting.cut import LAST, Parts, cut_network, maps_balance, same
from bsig.model.cutting.encoders import TimmEncoder
from bsig.model.cutting.layout import CutError
from bsig.model.heads import ClassificationHead, HeadType, PooledLinearHead, TailHead

SHORTEST = 1e-12  # as in `torch.nn.functional.normalize`


class EmbeddingEncoder(TimmEncoder):
    """An encoder whose cells lie in the embedding space, divided by the length of their picture's embedding.

    Attributes:
        projection: the tower's last layer; None where its embedding is the pooled features themselves.
    """

    def __init__(self, encoder: TimmEncoder, projection: nn.Linear | None) -> None:
        super().__init__(encoder, encoder.layout)
        self.projection = projection

    def embedded_cells(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n h w"]:
        """The features in the embedding space, whose mean over the grid is the embedding e."""
        features = self.model(inputs)
        if self.projection is None:
            return features
        return functional.conv2d(features, self.projection.weight[:, :, None, None], self.projection.bias)

    def forward(self, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b n h w"]:
        """The features `F_hat`, whose mean over the grid has the length 1."""
        cells = self.embedded_cells(inputs)
        length = cells.mean(dim=(2, 3)).norm(dim=1).clamp(min=SHORTEST)
        return cells / length[:, None, None, None]


class EmbeddingBody(nn.Module):
    """The rest of a tower behind its features: native features -> the embedding at the length 1."""

    def __init__(self, tail: nn.Module, projection: nn.Linear | None) -> None:
        super().__init__()
        self.tail = tail
        self.projection = projection

    def embedding(self, native: Tensor) -> Float[Tensor, "b n"]:
        """The embedding e, with the length that the tower gives it."""
        outputs = self.tail(native)
        return outputs if self.projection is None else self.projection(outputs)

    def forward(self, native: Tensor) -> Float[Tensor, "b n"]:
        """`e / |e|`."""
        return functional.normalize(self.embedding(native), dim=1, eps=SHORTEST)


class EmbeddingHead(TailHead):
    """`logit_c = W[c] . e / |e| + b_c`, with the embedding e of a tower that reads its tokens in no linear way."""

    body: EmbeddingBody

    def map_logits(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b c"]:
        """The logits, with `|e|` as a number: a map is that of `W[c] . e`, in units of the logit.

        Through the length, every gradient would be orthogonal to e: its maps would show how the direction of e turns,
        and those of a tower that is linear in its features would sum to zero.
        """
        embedding = self.body.embedding(self.layout.native(features))
        length = embedding.detach().norm(dim=1, keepdim=True).clamp(min=SHORTEST)
        return self.linear(embedding / length)


def cut_image_tower(model: Any, example: Float[Tensor, "1 3 H W"], at: str = LAST) -> Parts:
    """Encoder and head of a tower; the head's classes are the dimensions of the embedding, at the length 1.

    The parts hold the tower's own layers; it must not be used afterwards.

    Raises:
        InputError: there is no layer `at`.
        CutError: as `cut_network`; or the parts do not give the embedding of the whole.
    """
    model.eval().requires_grad_(False)
    has_projection = model.num_classes > 0
    if not has_projection:
        _add_identity(model, example)
    with torch.no_grad():
        expected = functional.normalize(model(example).double(), dim=1).float()
    parts = cut_network(model, example, at)
    projection = parts.head.last_linear if has_projection else None
    head: ClassificationHead
    if parts.head.cam_is_exact:
        encoder: Any = EmbeddingEncoder(parts.encoder, projection)
        head = PooledLinearHead(nn.Linear(expected.shape[1], 1))
    elif isinstance(parts.head, TailHead):
        encoder, own = parts.encoder, parts.head
        body = EmbeddingBody(own.body, projection)
        head = EmbeddingHead(body, nn.Linear(expected.shape[1], 1), own.layout, pools_first=own.pools_first)
    else:
        raise CutError("its embedding is read in a way that is not known here")
    head = with_class_rows(head, torch.eye(expected.shape[1])).eval().requires_grad_(False)
    with torch.no_grad():
        features = encoder(example)
        if not same(head(features), expected):
            raise CutError("its parts do not give the embedding of the whole")
    head.maps_balance = head.pools_first and not head.cam_is_exact and maps_balance(head, features)
    return replace(parts, encoder=encoder, head=head)


def with_class_rows(head: HeadType, weight: Float[Tensor, "c n"]) -> HeadType:
    """A copy of the head whose last linear layer has these rows and no bias."""
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        nn.init.zeros_(linear.bias)
    result: Any = copy.deepcopy(head)
    device = head.last_linear.weight.device
    result.linear = linear.to(device).requires_grad_(head.last_linear.weight.requires_grad)
    return result


def _add_identity(model: Any, example: Tensor) -> None:
    """Gives a tower without a projection a last linear layer that passes its input on, behind which it can be cut."""
    with torch.no_grad():
        width = model.forward_head(model.forward_features(example)).shape[1]
        model.reset_classifier(width)
        model.requires_grad_(False).eval()
        linear = model.get_classifier()
        if not isinstance(linear, nn.Linear) or linear.in_features != width:
            raise CutError("its embedding is not what a last linear layer would read")
        linear.weight.copy_(torch.eye(width))
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
