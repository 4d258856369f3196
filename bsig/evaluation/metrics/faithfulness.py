"""Does the model need what a map marks? Pixels taken away and given back in the map's order, the probability watched.

    deletion    from the picture to its mean colour, strongest pixels first; area under the probability, lower is better
    insertion   from the blurred picture to the picture, strongest first; area under the probability, higher is better
    drop        `max(p - p_masked, 0) / p` where the picture is multiplied by the map; lower is better
    road        what is lost without the strongest pixels against without the weakest (`road.py`); higher is better
    increase    whether `p_masked > p`; higher is better

Petsiuk et al., "RISE", BMVC 2018, arXiv 1806.07421 (deletion, insertion); Chattopadhay et al., "Grad-CAM++", WACV 2018,
arXiv 1710.11063, section 5.1 (drop, increase). Maps of both branches are scored with the same `probability`, the frozen
softmax branch's: a branch must not be its own judge. Order needs no zero, so insertion and deletion take the signed
map; the product takes `relu(map)` over its maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bsig.evaluation.metrics.road import road
from bsig.inputs.errors import InputError

Probability = Callable[[Tensor], Tensor]
STEPS = 16
BLUR_PIXELS, BLUR_SIGMA = 11, 5.0


class Faithfulness(NamedTuple):
    """One map's scores by metric (`METRICS`), each from 0 to 1, `road` from -0.5 to 0.5; a gain is no negative drop."""

    deletion_auc: float
    insertion_auc: float
    road: float
    average_drop: float
    increase_in_confidence: float


def faithfulness(
    probability: Probability, inputs: Float[Tensor, "3 H W"], one_map: Float[Tensor, "h w"]
) -> Faithfulness:
    """All scores of one map.

    `probability` turns normalised pictures (b, 3, H, W) into the frozen softmax probability (b,) of the map's class.
    Zero in `inputs`, one such picture, is the mean colour. `one_map` is signed, at any resolution.

    Raises:
        InputError: the map is not finite.
    """
    if not torch.isfinite(one_map).all():
        raise InputError("`one_map` must hold finite numbers; a map with NaN has no order of places.")
    ranks = pixel_ranks(enlarged(one_map, (inputs.shape[1], inputs.shape[2])))
    masks = first_pixels(ranks, STEPS)[:, None]
    deleted = probability(torch.where(masks, 0.0, inputs))
    inserted = probability(torch.where(masks, inputs, blurred(inputs)))
    changes = drop_and_increase(probability, inputs, one_map)
    return Faithfulness(area_under(deleted), area_under(inserted), road(probability, inputs, ranks), *changes)


def enlarged(one_map: Float[Tensor, "h w"], size_hw: tuple[int, int]) -> Float[Tensor, "H W"]:
    """The map at the picture's size, bilinear."""
    return F.interpolate(one_map[None, None], size=size_hw, mode="bilinear", align_corners=False)[0, 0]


def pixel_ranks(pixels: Float[Tensor, "H W"]) -> Int[Tensor, "H W"]:
    """0 for the pixel with the largest value, 1 for the next; equal ones in reading order."""
    order = pixels.flatten().argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    return ranks.view(pixels.shape)


def first_pixels(ranks: Int[Tensor, "H W"], steps: int) -> Bool[Tensor, "s H W"]:
    """`steps + 1` masks: none of the pixels, the first part of them, ..., all of them."""
    counts = torch.arange(steps + 1, device=ranks.device) * ranks.numel() // steps
    return ranks < counts[:, None, None]


def blurred(inputs: Float[Tensor, "3 H W"]) -> Float[Tensor, "3 H W"]:
    """The picture out of focus: a Gaussian of 5 pixels, as in RISE."""
    from torchvision.transforms.functional import gaussian_blur

    return gaussian_blur(inputs, [BLUR_PIXELS, BLUR_PIXELS], [BLUR_SIGMA, BLUR_SIGMA])


def area_under(curve: Float[Tensor, " s"]) -> float:
    """Area under equally spaced points from 0 to 1, by trapezoids: the mean with both ends counting half."""
    return float(((curve[1:] + curve[:-1]) / 2).mean())


def drop_and_increase(
    probability: Probability, inputs: Float[Tensor, "3 H W"], one_map: Float[Tensor, "h w"]
) -> tuple[float, float]:
    """Share of the probability that is lost when the picture is multiplied by `relu(map) / max`, and 1 if it grows.

    A map without positive evidence leaves the mean colour alone.
    """
    masked = masked_by(inputs[None], one_map[None])[0]
    both = probability(torch.stack([inputs, masked])).double()
    drop, increase = drops_and_increases(both[:1], both[1:])[0].tolist()
    return drop, increase


def masked_by(inputs: Float[Tensor, "b 3 H W"], maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b 3 H W"]:
    """Each picture times its own `relu(map) / max`: the whole of it under a constant positive map."""
    size = (inputs.shape[2], inputs.shape[3])
    weight = F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False).clamp(min=0)
    largest = weight.amax(dim=(1, 2, 3), keepdim=True)
    return inputs * weight / torch.where(largest > 0, largest, 1.0)


def drops_and_increases(whole: Float[Tensor, " b"], masked: Float[Tensor, " b"]) -> Float[Tensor, "b 2"]:
    """`max(p - p_masked, 0) / p` and whether `p_masked > p`, of each picture; no drop where `p` is zero."""
    drop = torch.where(whole > 0, (whole - masked).clamp(min=0) / torch.where(whole > 0, whole, 1.0), 0.0)
    return torch.stack([drop, (masked > whole).to(drop)], dim=1)
