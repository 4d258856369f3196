"""A collapse report as pictures: the channels that change sign, and what speaks for and against the class.

Each picture comes with words for those who cannot see it.
"""

from __future__ import annotations

from PIL import Image

from bsig.explain.cams import TRAINED, TrainedBranch
from bsig.explain.diagnostics.collapse_report import CollapseReport
from bsig.explain.drawing.comparison import BRANCHES, PICTURE_SIZE
from bsig.explain.drawing.heatmaps import overlay, shared_limit
from bsig.explain.wording import number_text, signed

THUMBNAIL_SIZE = (192, 192)
SIDES = {"for": "for the class", "against": "against the class"}


def channel_thumbnails(report: CollapseReport) -> list[tuple[Image.Image, str]]:
    """The feature maps of the strongest channels that change sign, over the picture, each on its own scale.

    The words are the channel's weight in both branches and its share of the evidence.
    """
    crop = report.explanation.crop.resize(THUMBNAIL_SIZE, Image.Resampling.BICUBIC)
    thumbnails = []
    for flipped in report.flipped:
        feature_map = report.features[flipped.channel].float().cpu().numpy()
        limit = shared_limit(feature_map)
        softmax, sigmoid = (signed(value, 4) for value in (flipped.softmax_weight, flipped.sigmoid_weight))
        share = f"{100 * flipped.evidence_share:.2f} %"
        text = f"Channel {flipped.channel}\n{softmax}\n→ {sigmoid}\n{share}"
        thumbnails.append((overlay(crop, feature_map, limit) if limit else crop, text))
    return thumbnails


def split_limit(report: CollapseReport) -> float:
    """The end of the one scale of all pictures of `split_pictures`, in the map's unit."""
    maps = [each.cpu().numpy() for split in report.splits.values() for each in (split.positive, split.negative)]
    return shared_limit(*maps, view="signed")


def split_pictures(report: CollapseReport) -> dict[tuple[TrainedBranch, str], tuple[Image.Image, str]]:
    """The evidence for and against the class, by branch and side, with its description."""
    limit, name = split_limit(report), report.explanation.class_name
    crop = report.explanation.crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC)
    pictures = {}
    for branch in TRAINED:
        split = report.splits[branch]
        for side, values, mean in zip(SIDES, (split.positive, split.negative), split.budget, strict=True):
            picture = overlay(crop, values.float().cpu().numpy(), limit, view="signed")
            text = f"{BRANCHES[branch]}: what speaks {side} {name}, mean {number_text(mean)}."
            pictures[branch, side] = (picture, text)
    return pictures
