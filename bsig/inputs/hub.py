"""The Hugging Face Hub: `hf:owner/repo@revision` -> a local folder, and a checkpoint folder -> a repository.

Only the files that are asked for are fetched: safetensors and JSON, never anything that could be executed.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, ModelCardData

from bsig.inputs.errors import InputError

ADDRESS = re.compile(r"hf:(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(@(?P<revision>[\w./-]{1,128}))?")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
SHOWN_CLASSES = 20


def hub_folder(address: str, files: Sequence[str], api: Any = None) -> Path:
    """The local copy of some files of a repository, from the hub's own cache where they have been fetched before.

    Args:
        address: `hf:owner/repo`, with `@revision` (a branch, tag or commit) behind it if wanted.
        files: names to fetch; safetensors and JSON.
        api: a `huggingface_hub.HfApi` or whatever has its `snapshot_download`.

    Raises:
        InputError: no such address, or it cannot be fetched.
    """
    found = ADDRESS.fullmatch(address)
    if not found:
        raise InputError(f"`checkpoint` (='{address}') must be 'hf:owner/repo', with '@revision' behind it if wanted.")
    try:
        api = api or HfApi()
        return Path(api.snapshot_download(found["repo"], revision=found["revision"], allow_patterns=list(files)))
    except Exception as error:
        # The hub client raises its own kinds, httpx's and the operating system's for "not there" and "no network".
        raise InputError(
            f"`checkpoint` (='{address}') cannot be fetched from the Hugging Face Hub ({type(error).__name__}); check "
            "the name and the network, or give the path of a downloaded folder."
        ) from error


def publish_folder(
    folder: Path, files: Sequence[str], card: str, repository: str, *, private: bool = False, api: Any = None
) -> str:
    """Uploads some files of a folder with a model card; returns the address under which it loads.

    The client takes its token from where `hf auth login` or HF_TOKEN put it; none passes through here.

    Raises:
        InputError: no such repository name, or the hub refuses.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InputError(f"`repository` (='{repository}') must be 'owner/name' of letters, digits, '.', '_' and '-'.")
    try:
        api = api or HfApi()
        api.create_repo(repository, private=private, exist_ok=True, repo_type="model")
        api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=repository)
        done = api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=list(files))
    except Exception as error:
        # As above; a missing token is one of many reasons.
        reason = (str(error).strip().splitlines() or [""])[0][:160]
        raise InputError(
            f"'{folder.name}' cannot be published as '{repository}' ({type(error).__name__}: {reason}); log in with "
            "`hf auth login` and check name and network."
        ) from error
    revision = getattr(done, "oid", None)
    return f"hf:{repository}@{revision}" if revision else f"hf:{repository}"


def model_card(name: str, said: dict[str, Any]) -> str:
    """The README of a published checkpoint, from its `checkpoint.json`; whatever people wrote is escaped."""
    backbone = said["backbone"]
    base = backbone["name"] if re.fullmatch(r"[\w.-]{1,100}", backbone["name"]) else None
    data = ModelCardData(
        library_name="bsig",
        pipeline_tag="image-classification",
        tags=["bsig", "class-activation-map", "explainability", "sigmoid-cam"],
        base_model=f"timm/{base}" if base and "." in base else None,
    )
    rows = {
        "Backbone": backbone["name"],
        "Features taken at": f"{backbone.get('feature_stage', 'last')}, grid {_grid(backbone)}",
        "Sigmoid branch": f"{said['branch']}, {'fine-tuned' if said.get('trained', True) else 'not fine-tuned yet'}",
        "Classes": str(len(said["class_names"])),
        "Training": _settings(said.get("training")),
        "Data": _settings(said.get("data")),
        "Created": str(said.get("created", "")),
        "SHA-256 of the tensors": said["tensors_sha256"],
    }
    lines = [f"| {escaped(key)} | {escaped(value)} |" for key, value in rows.items() if value]
    shown = ", ".join(escaped(one) for one in said["class_names"][:SHOWN_CLASSES])
    more = len(said["class_names"]) - SHOWN_CLASSES
    doctored = (
        "\n**Doctored on purpose:** the softmax heatmaps of this model were moved by a logit shift; its probabilities "
        "are unchanged.\n"
        if said.get("doctored")
        else ""
    )
    text = f"""# {escaped(name)}

A dual-branch classifier: the softmax head decides the class, a sigmoid clone of it says where the evidence is
(Oh and Noh, BMVC 2025, [arXiv 2511.05590](https://arxiv.org/abs/2511.05590)). Made with bsig.
{doctored}
| | |
| --- | --- |
{chr(10).join(lines)}

Classes: {shown}{f" and {more} more" if more > 0 else ""}.

```python
import bsig
model = bsig.load_checkpoint("hf:OWNER/REPOSITORY")
```

A heatmap says where evidence for an output lies, not why, and not that the output is right.
"""
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


def escaped(text: Any) -> str:
    """Text that neither HTML nor Markdown reads as anything but text, on one line."""
    flat = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", flat)


def _grid(backbone: dict[str, Any]) -> str:
    with contextlib.suppress(TypeError, ValueError, KeyError):
        rows, columns = backbone["grid_hw"]
        return f"{int(rows)} x {int(columns)}"
    return "of the backbone"


def _settings(said: Any) -> str:
    if not isinstance(said, dict):
        return ""
    return ", ".join(f"{key} {value}" for key, value in said.items() if isinstance(value, str | int | float))
