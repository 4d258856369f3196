"""Every term of the field that a screen or a report uses, in one plain sentence each.

`TERMS[key].names` are the spellings that are looked for in headings, so that one dictionary explains them everywhere:
on the page (`bsig.ui.components.html`), in its glossary and in the report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Term:
    """A term of the field: its spellings, the first of which is its title, and what it means to a newcomer."""

    names: tuple[str, ...]
    meaning: str

    @property
    def title(self) -> str:
        """The term's heading in the glossary."""
        return self.names[0]


TERMS: dict[str, Term] = {
    "cam": Term(("CAM", "CAM variant", "CAM variants", "class activation map", "heatmap"),
                "Class activation map: a heatmap that shows which "
                "places of a picture speak for a class. Its variants differ in how they weigh what the network "
                "saw."),
    "logit": Term(("logit", "logits"), "The network's raw score of a class, before it is turned into a probability; it "
                  "has no upper or lower end, and only for the sigmoid branch does zero mean something."),
    "softmax": Term(("softmax branch", "softmax"), "The classifier as it was published. It turns the scores of all "
                    "classes into probabilities that add up to 100 %, so it compares classes and leaves open where "
                    "zero lies."),
    "sigmoid": Term(("sigmoid branch", "sigmoid"), "A copy of the classifier's last layer, trained to answer yes or no "
                    "for each class by itself; its zero is fixed by labels."),
    "centred": Term(("class-centred", "class-centring"), "The softmax map less the mean of the maps of all classes: "
                    "what is left tells this class from the others, and no logit shift can move it."),
    "treatment": Term(("treatment", "treatments", "negative weights", "signed", "non-negative"), "What is done with "
                      "what speaks against a class: keep its sign, or set it to zero before the map is summed. Compare "
                      "maps of one treatment only."),
    "positive_area": Term(("positive area", "mosaic, positive area"), "The share of the picture whose places speak for "
                          "the class, that is, the map's cells above zero."),
    "mass": Term(("evidence mass", "positive evidence", "positive evidence left"), "How much speaks for the class in "
                 "all: the map's values above zero, summed or averaged over the picture."),
    "absent": Term(("absent class", "absent classes", "absent area"), "A class that is not in the picture. A map that "
                   "can be trusted claims little for it."),
    "own": Term(("own class",), "A class that really is in the picture."),
    "at_own": Term(("at own 70 %", "at own 50 %", "at equal area", "own map covers 70 %"), "Measured at the level at "
                   "which the map of what is there covers that much of the picture, so that no threshold and no "
                   "shift can buy the result."),
    "shift": Term(("logit shift", "shift", "fitted shift", "shifted"), "One vector added to every class's weights. "
                  "Softmax probabilities stay exactly as they were, while heatmaps move anywhere."),
    "delta": Term(("delta",), "The simplest logit shift: one number added to (or taken from) every weight of every "
                  "class."),
    "shared": Term(("shared component", "shared map", "shared by all classes"), "What the weights of all classes have "
                   "in common. Softmax cannot see it, so nothing in training settles it."),
    "collapse": Term(("sign collapse",), "When channels that spoke for a class speak against it after a shift, and "
                     "the heatmap disappears although the prediction stays."),
    "margin": Term(("collapse margin", "lose the heatmap"), "The smallest number that, taken from every weight, "
                   "removes half of the heatmap's positive evidence: the smaller, the more fragile the heatmap."),
    "channel": Term(("channel", "channels", "strongest channels"), "One of the patterns that the network looks for; it "
                    "says where in the picture it found it."),
    "quadrant": Term(("for in both", "against in both", "for → against", "against → for"), "Whether a channel speaks "
                     "for or against the class in the softmax branch (first) and in the sigmoid branch (second)."),
    "evidence": Term(("evidence", "for the class", "against the class", "speaks for"), "How much a "
                     "place or a channel adds to the class's score (for it) or takes from it (against it)."),
    "bias": Term(("bias",), "A constant that is added to a class's score whatever the picture shows. Drawn into a map, "
                 "it moves where zero lies, but not which places are strongest."),
    "grid": Term(("grid", "cell", "cells"), "The network sees a picture as a coarse grid, often 7 by "
                 "7 cells; finer detail in a heatmap is interpolation."),
    "finer_grid": Term(("finer grid",), "Twice as many rows and columns of cells, from the same network, whose last "
                       "part is run on the grid of the part before. Probabilities stay those of the usual grid."),
    "auc": Term(("AUC", "AUC inside against outside", "AUC inside / outside"), "Area under the curve: how often what "
                "should score high (a place inside the object) scores above what should not (a place outside it), "
                "over all thresholds; 1 is perfect, 0.5 is chance."),
    "iou": Term(("IoU",), "Intersection over union: how well two areas overlap; 1 is the same area, 0 none in common."),
    "precision": Term(("precision",), "Which share of what the map marks lies on the object."),
    "recall": Term(("recall",), "Which share of the object the map marks."),
    "gt_known": Term(("GT-known Loc", "GT-known"), "Share of pictures whose object the map's box meets (IoU at least "
                     "0.5) when the right class is given (ground truth known)."),
    "top1": Term(("top-1", "top-1 accuracy", "Right class first"), "Share of pictures whose likeliest class is the "
                 "right one."),
    "top1_loc": Term(("Top-1 Loc",), "GT-known Loc where, besides, softmax must find the right class likeliest."),
    "max_box": Term(("MaxBoxAccV2", "MaxBoxAcc"), "Share of pictures whose object the map's box meets, at the best "
                    "threshold, averaged over three strictnesses (IoU 0.3, 0.5, 0.7)."),
    "pxap": Term(("PxAP",), "Pixel average precision: how well the map's order of pixels separates object from "
                 "background, over all thresholds."),
    "mosaic": Term(("mosaic", "grid pointing game"), "Four pictures put together into one: a map that knows its class "
                   "keeps to the quarter that shows it."),
    "deletion": Term(("deletion", "insertion", "average drop", "ROAD", "increase"), "Tests of faithfulness: places are "
                     "hidden or shown in the order of the map, and the probability should fall or rise early. ROAD "
                     "hides them so that the network sees no edges."),
    "interval": Term(("confidence interval", "interval", "95 %"), "The range in which the number would lie in 95 of "
                     "100 repetitions with other pictures; one that excludes zero is no accident of this set."),
    "bootstrap": Term(("bootstrap", "paired bootstrap"), "The pictures are drawn again and again at random, some "
                      "twice, some not at all, to see how much a number depends on which ones happened to be there."),
    "threshold": Term(("threshold",), "The level above which a place of the map counts as marked."),
    "peak": Term(("maximum",), "The place where the map is strongest."),
    "correlation": Term(("correlation",), "How alike two maps are: 1 the same up to brightness and contrast, 0 "
                        "unrelated, −1 opposite."),
    "gated": Term(("Gated",), "A baseline: the softmax map times the sigmoid probability."),
    "untrained": Term(("Untrained",), "A baseline without training: one number taken from every softmax weight."),
    "random": Term(("Random head",), "A baseline whose weights are drawn at random: what the network's features alone "
                   "would show."),
    "blind": Term(("Best without looking", "without looking"), "The best of maps that never saw the picture: all "
                  "of it, a box or a blob in its middle, noise."),
    "epoch": Term(("epoch", "epochs"), "One pass of training over all pictures."),
    "rate": Term(("learning rate",), "How far each step of training moves the weights; too small learns slowly, too "
                 "large not at all."),
    "loss": Term(("loss",), "How wrong the branch still is on the pictures it learns from; training makes it smaller."),
    "accuracy": Term(("accuracy",), "Share of pictures whose likeliest class is the right one."),
    "seed": Term(("seed",), "The number that all chance is drawn from: the same seed gives the same result."),
    "schedule": Term(("schedule",), "How the learning rate changes while training: constant, or falling to zero along "
                     "a cosine curve."),
    "views": Term(("views",), "How many differently cut versions of each picture are trained on."),
    "initialisation": Term(("initialisation", "clone", "still the clone"), "What the branch is before its first step: "
                           "a copy (clone) of the softmax head, or zeros."),
    "held_out": Term(("held out",), "Pictures kept aside, never trained on, so that a result on them is no memory."),
    "batch": Term(("batch size", "batch"), "How many pictures one step of training looks at."),
    "damp": Term(("damp", "damping"), "Takes part of what training changed back where a class is "
                 "likely, so that the places of what is there keep their order."),
    "weight_decay": Term(("weight decay",), "Pulls weights towards zero while training."),
    "positive_weight": Term(("weight of the right class",), "How much more one right class counts "
                            "than one wrong one; there are many wrong ones for each right one."),
    "probe": Term(("probe", "probe picture"), "One picture whose map is drawn again after every epoch."),
    "checkpoint": Term(("checkpoint",), "A trained model as a folder: its weights, its classes and how it was made."),
    "backbone": Term(("backbone", "encoder"), "The part of the network that looks at the picture and finds patterns; "
                     "both branches share it, and it is never trained here."),
    "head": Term(("head", "heads"), "The last layers, which turn the patterns into scores of classes."),
    "timm": Term(("timm", "timm classifier"), "A public library of pretrained picture classifiers."),
    "weights": Term(("weights", "weight"), "The numbers that a network has learned: how much each pattern counts for "
                    "each class."),
    "features": Term(("features", "Features taken at", "feature map"), "What the backbone found, place by place; maps "
                     "are weighted sums of it."),
    "energy": Term(("energy",), "The sum of squares of the weights: how much of them a part makes up."),
    "probability": Term(("probability", "probabilities"), "How sure a branch is of a class, from 0 to 100 %. Softmax's "
                        "add up to 100 % over all classes, the sigmoid branch's need not."),
    "presence": Term(("presence", "calibrated", "calibration"), "How likely a class is in the picture: the sigmoid "
                     "branch's answer, corrected so that of all classes that get 70 %, about 70 in 100 are there."),
    "reading": Term(("reading", "readings", "reading of the maps"), "What is made of a map afterwards, from the same "
                    "features: moved to another level, for example, or compared with other classes."),
    "levelled": Term(("levelled", "levelled by presence"), "Moved down as a whole by how unlikely the class is in the "
                     "picture. The places keep their order; the map of a class that is not there sinks below zero."),
    "clip": Term(("CLIP", "SigLIP", "zero-shot"), "Networks that were trained on pictures with their captions. A "
                 "class is asked for by its words; no head is trained for it."),
    "embedding": Term(("embedding", "embeddings", "class embeddings"), "A list of numbers that stands for a picture or "
                      "for the words of a class. Those of a picture and of its class point the same way."),
    "window": Term(("levelled in a window", "in a window"), "Moved down place by place, by how unlikely the class is "
                   "in the cells around each place."),
    "log_odds": Term(("log-odds",), "A probability on a scale without ends: zero is 50 %, more is above it."),
    "rank": Term(("rank",), "The place of a class among all classes; the likeliest is first."),
    "fine_tuned": Term(("fine-tuned", "fine-tune", "fine-tuning"), "Trained a little further, from where the published "
                       "training ended; here that is the sigmoid branch alone."),
    "pretrained": Term(("pretrained",), "Trained before, by others, on many pictures; used here as it is."),
    "interpolated": Term(("interpolated", "interpolation", "bilinear"), "Filled in between the middles of the cells, "
                         "so that a map looks smooth; it knows nothing that the cells do not."),
    "doctored": Term(("doctored",), "Changed on purpose: the same predictions, another heatmap."),
    "gradient": Term(("gradient", "gradients"), "How a class's score would change if the network had seen a little "
                     "more of a pattern at a place."),
    "contour": Term(("contour", "contour and box"), "The line around what lies above a threshold, and the smallest "
                    "upright rectangle around that."),
    "range": Term(("range",), "From the map's lowest value to its highest."),
    "safetensors": Term(("safetensors",), "A file format for weights that holds numbers alone and can run nothing."),
    "imagenet": Term(("ImageNet",), "The usual collection of photographs of 1,000 kinds of things."),
    "score_cam": Term(("Score-CAM",), "A CAM variant that runs the network once a channel to see what each is worth; "
                      "slow."),
}  # fmt: skip


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    return {name.casefold(): key for key, term in TERMS.items() for name in term.names}


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_spellings(), key=len, reverse=True)
    return re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, longest_first)) + r")(?![\w-])", re.IGNORECASE)


def terms_in(text: str) -> list[tuple[int, int, str]]:
    """(start, end, key) of each term's first place in a text, from left to right; the longest spelling counts."""
    places: list[tuple[int, int, str]] = []
    for match in _pattern().finditer(text):
        key = _spellings()[match.group(1).casefold()]
        if key not in [earlier for _, _, earlier in places]:
            places.append((match.start(1), match.end(1), key))
    return places
