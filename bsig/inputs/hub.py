"""The Hugging Face Hub: `hf:owner/repo@revision` -> a local folder, and a checkpoint folder -> a repository.

Only the files that are asked for are fetched: safetensors and JSON, never anything that could be executed.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from bsig.inputs.errors import InputError, first_line

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
ADDRESS = re.compile(rf"hf:(?P<repo>{REPOSITORY.pattern})(@(?P<revision>[\w./-]{{1,128}}))?")


def hub_folder(address: str, files: Sequence[str]) -> Path:
    """The local copy of some files of a repository, from the hub's own cache where they have been fetched before.

    The address is `hf:owner/repo`, perhaps with `@revision` (a branch, tag or commit).

    Raises:
        InputError: the address is none, or the hub does not give the files.
    """
    parts = ADDRESS.fullmatch(address)
    if not parts:
        raise InputError(f"`checkpoint` (='{address}') must be 'hf:owner/repo', with '@revision' behind it if wanted.")
    try:
        return Path(HfApi().snapshot_download(parts["repo"], revision=parts["revision"], allow_patterns=list(files)))
    except Exception as error:
        # The hub client raises its own kinds, httpx's and the operating system's for "not there" and "no network".
        raise InputError(
            f"`checkpoint` (='{address}') cannot be fetched from the Hugging Face Hub ({type(error).__name__}); check "
            "the name and the network, or give the path of a downloaded folder."
        ) from error


def hub_has_address() -> bool:
    """Whether the name of the hub's host can be resolved; behind a proxy, which resolves names itself, always."""
    try:
        return bool(getproxies() or socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443))
    except OSError:
        return False


def cached_hub_file(repository: str, names: Sequence[str]) -> Path:
    """The first of these files of `owner/repo@revision` that the hub's cache holds; the network is not asked.

    Raises:
        LocalEntryNotFoundError: the cache holds none of them.
    """
    repo, _, revision = repository.partition("@")
    for name in names:
        with contextlib.suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(repo, name, revision=revision or None, local_files_only=True))
    raise LocalEntryNotFoundError(f"the cache holds none of {', '.join(names)} of '{repository}'.")


def publish_folder(folder: Path, files: Sequence[str], card: str, repository: str, *, private: bool = False) -> str:
    """The address under which the folder loads, once some of its files and a model card are uploaded.

    The client takes its token from where `hf auth login` or HF_TOKEN put it; none passes through here.

    Raises:
        InputError: the repository's name is none, or the hub refuses.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InputError(f"`repository` (='{repository}') must be 'owner/name' of letters, digits, '.', '_' and '-'.")
    try:
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True, repo_type="model")
        api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=repository)
        commit = api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=list(files))
    except Exception as error:
        # A missing token is one of many reasons.
        raise InputError(
            f"'{folder.name}' cannot be published as '{repository}' ({type(error).__name__}: {first_line(error)}); "
            "log in with `hf auth login` and check name and network."
        ) from error
    revision = getattr(commit, "oid", None)
    return f"hf:{repository}@{revision}" if revision else f"hf:{repository}"
