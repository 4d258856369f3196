"""`checkpoint.json` -> the README of a published checkpoint (the hub's model card)."""

from __future__ import annotations

import contextlib
import html
import re
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

SHOWN_CLASSES = 20
DOCTORED = """
**Doctored on purpose:** the softmax heatmaps of this model were moved by a logit shift; its probabilities are \
unchanged.
"""


def model_card(name: str, description: dict[str, Any]) -> str:
    """The README of a published checkpoint, from its `checkpoint.json`; text that people wrote is escaped in it."""
    backbone = description["backbone"]
    base = backbone["name"] if re.fullmatch(r"[\w.-]{1,100}", backbone["name"]) else None
    data = ModelCardData(
        library_name="bsig",
        pipeline_tag="image-classification",
        tags=["bsig", "class-activation-map", "explainability", "sigmoid-cam"],
        base_model=f"timm/{base}" if base and "." in base else None,
    )
    state = "fine-tuned" if description.get("trained", True) else "not fine-tuned yet"
    rows = {
        "Backbone": backbone["name"],
        "Features taken at": f"{backbone.get('feature_stage', 'last')}, grid {_grid(backbone)}",
        "Sigmoid branch": f"{description['branch']}, {state}",
        "Classes": str(len(description["class_names"])),
        "Training": _settings(description.get("training")),
        "Data": _settings(description.get("data")),
        "Created": str(description.get("created", "")),
        "SHA-256 of the tensors": description["tensors_sha256"],
    }
    table = "\n".join(f"| {escaped(key)} | {escaped(value)} |" for key, value in rows.items() if value)
    classes = ", ".join(escaped(class_name) for class_name in description["class_names"][:SHOWN_CLASSES])
    more = len(description["class_names"]) - SHOWN_CLASSES
    doctored = DOCTORED if description.get("doctored") else ""
    text = f"""# {escaped(name)}

A dual-branch classifier: the softmax head decides the class, a sigmoid clone of it says where the evidence is
(Oh and Noh, BMVC 2025, [arXiv 2511.05590](https://arxiv.org/abs/2511.05590)). Made with bsig.
{doctored}
| | |
| --- | --- |
{table}

Classes: {classes}{f" and {more} more" if more > 0 else ""}.

```python
import bsig
model = bsig.load_checkpoint("hf:OWNER/REPOSITORY")
```

A heatmap says where evidence for an output lies, not why, and not that the output is right.
"""
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


def escaped(text: Any) -> str:
    """The text on one line, without markup for HTML and Markdown."""
    flat = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", flat)


def _grid(backbone: dict[str, Any]) -> str:
    with contextlib.suppress(TypeError, ValueError, KeyError):
        rows, columns = backbone["grid_hw"]
        return f"{int(rows)} x {int(columns)}"
    return "of the backbone"


def _settings(settings: Any) -> str:
    if not isinstance(settings, dict):
        return ""
    return ", ".join(f"{key} {value}" for key, value in settings.items() if isinstance(value, str | int | float))
