"""Class names -> one text embedding a class, by the text tower of a model of pictures and texts.

    t_c = mean over templates of f(template with the name) / |f(template with the name)|

f is the text tower. Radford et al., ICML 2021, arXiv 2103.00020, section 3.1.4, average such an ensemble of prompts in
the embedding space. The tower comes from open_clip, which is no requirement of bsig: only this file needs it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from bsig.inputs.errors import InputError, first_line
from bsig.inputs.files import whole_file
from bsig.model.class_embeddings import ClassEmbeddings

TEMPLATES = ("a photo of a {}.",)
NAMES_AT_ONCE = 16
WRITTEN = (".npz", ".safetensors")


def embedded_classes(
    names: Sequence[str], templates: Sequence[str], encode: Callable[[list[str]], Float[Tensor, "t n"]]
) -> Float[Tensor, "c n"]:
    """The mean over the templates of each name's embeddings at the length 1.

    Args:
        names: the classes.
        templates: texts with `{}` where the name goes.
        encode: texts -> their embeddings, of any length above 0.

    Raises:
        InputError: there is no template, or one has no `{}` or more than one.
    """
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates:
        raise InputError(
            f"`templates` (={wrong[:1] or 'none'}) must be texts with one {{}} where the class name goes, as "
            f"'{TEMPLATES[0]}'."
        )
    rows = []
    with torch.no_grad():
        for start in range(0, len(names), NAMES_AT_ONCE):
            part = names[start : start + NAMES_AT_ONCE]
            texts = [template.replace("{}", name) for name in part for template in templates]
            embedded = functional.normalize(encode(texts).float(), dim=1)
            rows.append(embedded.unflatten(0, (len(part), len(templates))).mean(dim=1))
    return torch.cat(rows)


def open_clip_embeddings(
    names: Sequence[str], text_model: str, pretrained: str | None, templates: Sequence[str] = TEMPLATES
) -> ClassEmbeddings:
    """Embeddings by open_clip, with the logit scale and bias that the model has learned.

    Args:
        names: the classes.
        text_model: open_clip's name of the model, as `ViT-B-16-quickgelu`, or `hf-hub:owner/repo`.
        pretrained: open_clip's tag of the weights, as `openai`, or a file of them; None for a hub address.
        templates: as of `embedded_classes`.

    Raises:
        InputError: open_clip is not installed, does not know the model or its weights, or cannot load them.
    """
    open_clip = _open_clip()
    if pretrained is None and ":" not in text_model:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(text_model)[:8]) or "none: see --text-model"
        raise InputError(f"`pretrained` must name the weights of '{text_model}'; open_clip knows {tags}.")
    try:
        model: Any = open_clip.create_model(text_model, pretrained=pretrained, require_pretrained=True).eval()
        tokenizer = open_clip.get_tokenizer(text_model)
    except Exception as error:  # open_clip, the hub's client and torch each raise their own
        raise InputError(
            f"open_clip cannot load '{text_model}' with the weights '{pretrained}' ({first_line(error)}); "
            "open_clip.list_pretrained() lists names and tags, and weights come over the network once."
        ) from error
    bias = getattr(model, "logit_bias", None)
    weights = Path(pretrained).name if pretrained else ""  # a file's folder is nobody's business
    return ClassEmbeddings(
        embedded_classes(names, templates, lambda texts: model.encode_text(tokenizer(texts))),
        tuple(names),
        math.exp(float(model.logit_scale.detach())),
        None if bias is None else float(bias.detach()),
        f"open_clip's {text_model}",
        made_with={"model": f"{text_model} {weights}".strip(), "templates": json.dumps(list(templates))},
    )


def write_class_embeddings(embeddings: ClassEmbeddings, path: Path) -> Path:
    """The path of a .npz or .safetensors file that `read_class_embeddings` reads, written whole.

    Raises:
        InputError: as `check_suffix`.
        OSError: the disk refuses.
    """
    check_suffix(path)
    numbers = {"logit_scale": embeddings.logit_scale, "logit_bias": embeddings.logit_bias}
    numbers = {name: value for name, value in numbers.items() if value is not None}
    texts = dict(embeddings.made_with or {})
    with whole_file(path) as temporary:
        if path.suffix.lower() == ".npz":
            arrays: dict[str, Any] = {"class_embeddings": embeddings.vectors.cpu().numpy(), **numbers, **texts}
            if embeddings.class_names is not None:
                arrays["class_names"] = np.array(embeddings.class_names)
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
        else:
            if embeddings.class_names is not None:
                texts["class_names"] = json.dumps(embeddings.class_names)
            tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
            matrix = embeddings.vectors.cpu().contiguous()
            save_file({"class_embeddings": matrix, **tensors}, temporary, metadata=texts)
    return path


def check_suffix(path: Path) -> None:
    """Raises `InputError` for a file of another kind than `write_class_embeddings` writes."""
    if path.suffix.lower() not in WRITTEN:
        raise InputError(f"`out` (='{path}') must end in {' or '.join(WRITTEN)}.")


def _open_clip() -> Any:
    try:
        import open_clip  # the one user of an optional package
    except ImportError as error:
        raise InputError(
            "the text tower needs the package open_clip_torch, which bsig does not install: pip install "
            "open_clip_torch; or make the file with any other library (assets/docs/own-models.md)."
        ) from error
    return open_clip
