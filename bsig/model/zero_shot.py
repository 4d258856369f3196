"""A classifier without training: an image tower and one text embedding a class (CLIP, SigLIP).

    softmax branch:  logit_c = scale * cos(e, t_c)              Radford et al., ICML 2021, arXiv 2103.00020, fig. 3
    sigmoid branch:  logit_c = scale * cos(e, t_c) + bias       Zhai et al., ICCV 2023, arXiv 2303.15343, algorithm 1

with e the embedding of the picture and t_c that of the class. The rows of the head are `scale * t_c / |t_c|`; what they
are multiplied by is `e / |e|` (`cutting/image_tower.py`). Both branches have the same rows, so they draw the same maps:
the bias moves the sigmoid's probability, and the map where it is drawn with the bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from bsig.inputs.counts import counted_classes
from bsig.inputs.errors import InputError
from bsig.model.backbones import BackboneOptions, Classifier, timm_network
from bsig.model.class_embeddings import ClassEmbeddings
from bsig.model.cutting.image_tower import with_class_rows
from bsig.model.heads import ClassificationHead

CLIP_SCALE = 100.0
"""The factor of OpenAI's models and of most others of CLIP: their training clips it there."""
# Published towers from which timm took the layer that made the embedding.
WITHOUT_POOL = {"siglip_gap": ("siglip_gap", "siglip"), "_clip_gap": ("_clip_gap", "_clip")}


@dataclass(frozen=True)
class ZeroShotHeads:
    """A tower with its classes.

    Attributes:
        classifier: encoder, and the softmax branch `scale * cos`.
        sigmoid_head: the same with the bias; None where no bias is known.
        description: scale, bias and where the embeddings come from, for `checkpoint.json`.
    """

    classifier: Classifier
    sigmoid_head: ClassificationHead | None
    description: dict[str, Any]


def tower_options(backbone: str, options: BackboneOptions, *, is_published: bool) -> BackboneOptions:
    """The options under which `take_apart` cuts the network as an image tower.

    Raises:
        InputError: timm does not know the name, or its published weights lack the layer that makes the embedding.
    """
    for part, (without, with_layer) in WITHOUT_POOL.items():
        if is_published and part in backbone:
            raise InputError(
                f"`backbone` (='{backbone}') is published without the layer that makes the image embedding, so its "
                f"features are not those of the class embeddings; use '{backbone.replace(without, with_layer)}'."
            )
    with torch.device("meta"):
        network = timm_network(backbone, pretrained=False, options=options)
    return replace(options, projection_rows=network.num_classes)


def zero_shot_heads(tower: Classifier, embeddings: ClassEmbeddings) -> ZeroShotHeads:
    """The tower with a row a class in both heads, and notes that say which scale and bias were taken.

    Raises:
        InputError: the embeddings are of another width than the tower's, or a SigLIP tower's scale or bias is unknown.
    """
    width = tower.head.last_linear.in_features
    classes, columns = embeddings.vectors.shape
    if columns != width:
        hint = ": it looks transposed, a column a class" if classes == width else ""
        raise InputError(
            f"`class_embeddings` ({embeddings.source}) is {classes} x {columns}, '{tower.name}' has embeddings of "
            f"width {width}{hint}; embed the names with the text tower of this very model, a row a class."
        )
    if "siglip" in tower.name and (embeddings.logit_scale is None or embeddings.logit_bias is None):
        raise InputError(
            f"'{tower.name}' has learned its own logit scale and bias, which {embeddings.source} does not hold; give "
            "--logit-scale and --logit-bias (exp(logit_scale) and logit_bias of the published model)."
        )
    scale = CLIP_SCALE if embeddings.logit_scale is None else embeddings.logit_scale
    weight = scale * functional.normalize(embeddings.vectors.double(), dim=1)
    head = with_class_rows(tower.head, weight.float())
    names = embeddings.class_names or tuple(str(index) for index in range(classes))
    notes = (*tower.notes, *_notes(tower, embeddings, scale))
    classifier = replace(tower, head=head, class_names=names, class_ids=names, notes=notes)
    bias = embeddings.logit_bias
    description = {
        "logit_scale": scale,
        "logit_bias": bias,
        "class_embeddings": {"source": embeddings.source.strip("'"), "sha256": embeddings.sha256,
                             **(embeddings.made_with or {})},
    }  # fmt: skip
    return ZeroShotHeads(classifier, None if bias is None else head.shifted(0.0, bias), description)


def _notes(tower: Classifier, embeddings: ClassEmbeddings, scale: float) -> tuple[str, ...]:
    """Sentences on the source of scale and bias, and on the limits of such a model."""
    classes, bias = len(embeddings.vectors), embeddings.logit_bias
    assumed = "" if embeddings.logit_scale else " (CLIP's; none is given: --logit-scale changes it)"
    of_bias = (
        "No logit bias is given, and CLIP learns none: without one the sigmoid probability is near 1 for every class; "
        "--logit-bias sets one, a fine-tune learns one."
        if bias is None
        else f"The sigmoid branch adds the bias {bias:g}; its maps are those of softmax."
    )
    of_length = (
        "Every cell is projected into the embedding space and divided by the length of the picture's embedding."
        if tower.head.cam_is_exact
        else "Gradients hold the length of the picture's embedding fixed."
    )
    return (
        f"Zero-shot: logits are {scale:g}{assumed} times the cosine of a picture's embedding and that of each of "
        f"{counted_classes(classes)} from {embeddings.source}.",
        of_bias,
        of_length,
        *filter(None, [activation_note(tower.name)]),
    )


def activation_note(name: str) -> str:
    """Where timm has the same published weights for the network with the activation that they were trained with."""
    import timm

    twin = name.replace("_clip_", "_clip_quickgelu_")
    if twin == name or not timm.is_model_pretrained(twin):
        return ""
    return f"These weights were trained with quick GELU, this network has GELU: '{twin}' gives the original's numbers."
