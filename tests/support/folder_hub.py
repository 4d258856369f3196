"""A stand-in for the Hugging Face Hub's client."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace


class FolderHub:
    """The hub client's calls that are used here, on a folder: one folder a repository and revision."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.patterns: list[list[str]] = []
        self.private: dict[str, bool] = {}

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool, repo_type: str) -> None:
        assert exist_ok
        assert repo_type == "model"
        self.private[repo_id] = private
        (self.root / repo_id / "main").mkdir(parents=True, exist_ok=True)

    def upload_file(self, *, path_or_fileobj: bytes, path_in_repo: str, repo_id: str) -> None:
        (self.root / repo_id / "main" / path_in_repo).write_bytes(path_or_fileobj)

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str]) -> SimpleNamespace:
        for name in allow_patterns:
            shutil.copy(Path(folder_path) / name, self.root / repo_id / "main" / name)
        shutil.copytree(self.root / repo_id / "main", self.root / repo_id / "c0ffee", dirs_exist_ok=True)
        return SimpleNamespace(oid="c0ffee")

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.patterns.append(allow_patterns)
        source = self.root / repo_id / (revision or "main")
        if not source.is_dir():
            raise FileNotFoundError(repo_id)
        target = self.root / "cache" / repo_id / (revision or "main")
        target.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (source / name).is_file():
                shutil.copy(source / name, target / name)
        return str(target)
