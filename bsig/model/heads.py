"""Classification heads: everything after the feature map that maps are drawn on, so that it can be cloned.

A head takes features `F[b,k,h,w]` to logits `(b, c)`. Two kinds cover every classifier:

    PooledLinearHead    logit = W . mean_hw F + b       the only kind whose class activation map is exact
    TailHead            whatever a network runs after its feature map, and a last linear layer

A `TailHead` holds the network's own layers (`cutting/cut.py` cuts them out), so VGG's three layers, MobileNetV3's
convolution after the pool, ConvNeXt's norm, a transformer's last block: all are cloned, and trained, as they are.
Tokens without a place in the picture travel as channels behind the k real ones (`cutting/layout.py`).

Adding one vector to every class row, `W' = W + 1 v^T`, is the additive logit shift. Everything that shifts a matrix
calls `shifted_rows`, everything that shifts a head `ClassificationHead.shifted`.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.model.cutting.layout import GridLayout

ABLATED_AT_ONCE = 32
HeadType = TypeVar("HeadType", bound="ClassificationHead")


class ClassificationHead(nn.Module):
    """What maps, shifts, training and checkpoints need of a head.

    Attributes:
        cam_is_exact: whether `mean_hw(W[c] . F) + b_c = logit_c`.
        pools_first: whether the head sees nothing of the features but their mean over the grid.
        maps_balance: whether a gradient map's mean over the grid is zero by construction, as behind a layer norm that
            follows the pool: such a norm does not see the size of its input, so the gradient is orthogonal to it.
    """

    cam_is_exact: bool = False
    pools_first: bool = False
    maps_balance: bool = False
    linear: nn.Linear

    @property
    def last_linear(self) -> nn.Linear:
        """The layer whose rows are the classes, weight (c, n) and bias (c,), to which a logit shift is added."""
        return self.linear

    def map_features(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b k h w"]:
        """The channels that have a place in the picture: what maps are sums over."""
        return features

    def pooled(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b ..."]:
        """What training caches: all that comes before anything trainable."""
        raise NotImplementedError

    def last_inputs(self, pooled: Float[Tensor, "b ..."]) -> Float[Tensor, "b n"]:
        """What the last linear layer sees: a shift `v` of its rows adds `v . last_inputs` to every logit."""
        raise NotImplementedError

    def logits(self, pooled: Float[Tensor, "b ..."]) -> Float[Tensor, "b c"]:
        """The trainable rest: one logit a class."""
        return self.linear(self.last_inputs(pooled))

    def forward(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b c"]:
        """`logits(pooled(features))`."""
        return self.logits(self.pooled(features))

    def map_logits(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b c"]:
        """The logits as maps take their gradient: a number of the whole picture may be held fixed here."""
        return self(features)

    def ablated_logits(
        self, features: Float[Tensor, "b kk h w"], class_scores: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b k"]:
        """`sum_c class_scores[b,c] * logit_c` with channel k zeroed, for each k."""
        raise NotImplementedError

    def shifted(self: HeadType, vector: Float[Tensor, " n"] | float, bias: Float[Tensor, ""] | float = 0.0) -> HeadType:
        """A copy of the head with `vector` added to every class row of its last linear layer, `bias` to every bias.

        `logit'_c = logit_c + vector . last_inputs + bias`, the same number for all classes, which softmax cannot see.
        The vector is (n,) for the n inputs of the last linear layer, or one number for all.
        """
        head = copy.deepcopy(self)
        with torch.no_grad():
            linear = head.last_linear
            linear.weight.copy_(shifted_rows(linear.weight, vector))
            linear.bias.add_(bias)
        return head


def shifted_rows(weight: Float[Tensor, "c n"], vector: Float[Tensor, " n"] | float) -> Float[Tensor, "c n"]:
    """`W + 1 v^T`: the vector added to every row, in the weights' own precision and on their device."""
    return weight + torch.as_tensor(vector, dtype=weight.dtype, device=weight.device)


class PooledLinearHead(ClassificationHead):
    """Global average pool, then one linear layer: `logit_c = W[c] . mean_hw F + b_c`.

    Its class activation map is exact: `mean_hw(W[c] . F) + b_c = logit_c` (Zhou et al. 2016, eq. 2).
    """

    cam_is_exact = True
    pools_first = True

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def pooled(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k"]:
        """The mean of each channel over the grid."""
        return features.mean(dim=(2, 3))

    def last_inputs(self, pooled: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """The pooled features themselves."""
        return pooled

    def ablated_logits(
        self, features: Float[Tensor, "b k h w"], class_scores: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b k"]:
        """The same as running the head k times (tests/explain/test_cams.py): the score less each channel's part."""
        pooled = self.pooled(features)
        score = (class_scores * self.logits(pooled)).sum(dim=1, keepdim=True)
        return score - (class_scores @ self.linear.weight) * pooled


class TailHead(ClassificationHead):
    """What a network runs after its feature map: `logits = linear(body(F))`, cloned as it is.

    Class activation maps are not exact here; gradients go through the whole of it (`bsig.explain.cams`).

    Attributes:
        body: the network's own layers, from its own layout of features to the last linear layer's input.
        linear: the last linear layer. Two heads whose logits are averaged (distilled DeiT) are one linear layer on
            both inputs side by side.
        layout: between features and the network's tensor.
        pools_first: the body sees only the mean over the grid (MobileNetV3, ConvNeXt), so training caches that.
    """

    def __init__(self, body: nn.Module, linear: nn.Linear, layout: GridLayout, *, pools_first: bool) -> None:
        super().__init__()
        self.body = body
        self.linear = linear
        self.layout = layout
        self.pools_first = pools_first
        self.body_is_fixed = not any(True for _ in body.parameters())

    def map_features(self, features: Float[Tensor, "b kk h w"]) -> Float[Tensor, "b k h w"]:
        """The channels that have a place in the picture, without carried tokens."""
        return features[:, : self.layout.channels]

    def pooled(self, features: Float[Tensor, "b k h w"]) -> Float[Tensor, "b ..."]:
        """What comes before anything trainable: the body's output if it has no weights, the mean, or the features."""
        if self.body_is_fixed:
            return self.body(self.layout.native(features))
        return features.mean(dim=(2, 3)) if self.pools_first else features

    def last_inputs(self, pooled: Float[Tensor, "b ..."]) -> Float[Tensor, "b n"]:
        """The body's output."""
        if self.body_is_fixed:
            return pooled
        if self.pools_first:
            pooled = pooled[:, :, None, None]
        return self.body(self.layout.native(pooled))

    def ablated_logits(
        self, features: Float[Tensor, "b kk h w"], class_scores: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b k"]:
        """The head is really run k times."""
        scores = features.new_empty(len(features), self.layout.channels)
        for index, (picture, class_score) in enumerate(zip(features, class_scores, strict=True)):
            for start in range(0, self.layout.channels, ABLATED_AT_ONCE):
                channels = torch.arange(start, min(start + ABLATED_AT_ONCE, self.layout.channels))
                without = picture.repeat(len(channels), 1, 1, 1)
                without[torch.arange(len(channels)), channels] = 0.0
                scores[index, channels] = self(without) @ class_score
        return scores


class Tail(nn.Module):
    """The layers of a timm model after a cut, run as the model runs them; its last linear layer is left out.

    Args:
        model: a copy of the model in which all layers that are not needed pass their input on.
        runs_features: whether part of `forward_features` lies behind the cut.
        blocks: transformer blocks behind the cut, run one by one in place of `forward_features`.
        block_arguments: what each block gets beside the tokens, the same for every picture (rotary positions).
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        runs_features: bool = False,
        blocks: nn.ModuleList | None = None,
        block_arguments: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.blocks = blocks
        self.runs_features = runs_features
        # Tensors are saved with the head, as buffers: some come from trained weights of the encoder.
        self._arguments: list[dict[str, Any]] = []
        for number, arguments in enumerate(block_arguments or []):
            for key, value in arguments.items():
                if isinstance(value, Tensor):
                    self.register_buffer(f"argument_{number}_{key}", value.detach().clone())
            self._arguments.append({k: None if isinstance(value, Tensor) else value for k, value in arguments.items()})

    def forward(self, native: Tensor) -> Float[Tensor, "b k"]:
        """The network's own feature tensor -> the input of the last linear layer."""
        model: Any = self.model
        if self.blocks is not None:
            for number, (block, others) in enumerate(zip(self.blocks, self._arguments, strict=True)):
                arguments = {key: getattr(self, f"argument_{number}_{key}", value) for key, value in others.items()}
                native = block(native, **arguments)
            native = model.norm(native)
        elif self.runs_features:
            native = model.forward_features(native)
        return model.forward_head(native).flatten(1)


def with_classes(head: HeadType, num_classes: int) -> HeadType:
    """A copy of a head for another label set: the same layers, a last linear layer of zeros with `num_classes` rows."""
    result: Any = copy.deepcopy(head)
    old = result.last_linear
    linear = nn.Linear(old.in_features, num_classes, device=old.weight.device, dtype=old.weight.dtype)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    result.linear = linear.requires_grad_(old.weight.requires_grad)
    return result


def head_in_words(head: ClassificationHead) -> str:
    """The layers that come after the features, in words."""
    if head.cam_is_exact:
        return "average pool and one linear layer"
    parameters = sum(parameter.numel() for parameter in head.parameters()) / 1e6
    extent = "the mean over the grid" if head.pools_first else "every cell by itself"
    return f"several layers ({parameters:.1f} million weights) that see {extent}"
