"""What a visitor has: runs, checkpoints, loaded models, evaluations, files. One space for all, or one for each.

    WORK/public/APP/visitors/KEY/runs, checkpoints      KEY: a hash of the visitor's key
    WORK/public/APP/temporary/                          uploads, maps, unpacked zips of this app
    WORK/public/APP/lock                                held while the app lives: others of no living app are removed

In a local app everything lies on one space, in the work folder itself, as long as its owner likes. In a public one a
space is a folder of its own: what does not lie on it does not exist for its visitor, so no list and no name has to be
filtered. A space is cleared when its visitor has left or was not seen for a while (`bsig.ui.server.limits`).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path

from bsig.inputs.errors import InputError
from bsig.inputs.files import is_locked, locked
from bsig.model.dual_branch import DualBranch
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED, RunFolder
from bsig.ui.screens.evaluate.kept import KeptEvaluations
from bsig.ui.screens.finetune.uploads import Uploads
from bsig.ui.server.limits import Limits
from bsig.ui.server.visitors import current_key

logger = logging.getLogger(__name__)
SWEEP_EVERY_S = 5.0


@dataclass
class VisitorSpace:
    """One visitor's things.

    Attributes:
        folder: holds `runs` and `checkpoints`; None for a bench that keeps none.
        registered: models that are in no folder, by name.
        uploads: the zip of pictures that was uploaded last, unpacked.
        uses: keys of models and encodings that the app holds in memory for this visitor.
        pages: how many are open.
        had_page: at least one was.
        seen: when the last request came, in seconds of the monotonic clock.
    """

    folder: Path | None
    evaluations: KeptEvaluations
    registered: dict[str, Callable[[], DualBranch]] = field(default_factory=dict)
    uploads: Uploads = field(default_factory=Uploads)
    uses: set[Hashable] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)
    pages: int = 0
    had_page: bool = False
    seen: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)  # one start at a time, so that counts hold

    @property
    def runs(self) -> RunFolder | None:
        """Of this space."""
        return RunFolder(self.folder) if self.folder else None

    def own_queue(self, queue: RunQueue) -> RunQueue:
        """The app's line, for the runs of this space."""
        return queue.beside(self.runs) if self.runs else queue

    def models(self) -> int:
        """How many models and checkpoints lie here that no run made."""
        if self.folder is None:
            return len(self.registered)
        made, kept = set(RunFolder(self.folder).names()), RunFolder(self.folder).checkpoints
        saved = {path.name for path in kept.iterdir() if not path.name.startswith(".")} if kept.is_dir() else set()
        return len((saved | self.registered.keys()) - made)


class VisitorSpaces:
    """All spaces of one app; `current()` is that of the visitor whose event is being handled.

    Args:
        limits: whether visitors are kept apart, and for how long.
        work_folder: where spaces lie; None for a bench that keeps nothing.
    """

    def __init__(self, limits: Limits, work_folder: Path | None = None) -> None:
        self.limits = limits
        self._spaces: dict[str, VisitorSpace] = {}
        self._owners: dict[Path, set[str]] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._held = contextlib.ExitStack()
        self._app_folder: Path | None = None
        if limits.is_public and work_folder is not None:
            self._app_folder = self._new_app_folder(work_folder / "public")
            work_folder = self._app_folder / "nobody"
        self.shared = VisitorSpace(work_folder, KeptEvaluations(limits.evaluations_kept))

    def current(self) -> VisitorSpace:
        """The visitor's space; of nobody, who has nothing, where it is not known who asks."""
        if not self.limits.is_public:
            return self.shared
        key = current_key()
        return self.shared if key is None else self._space_named(hashed(key))

    def use_own_temporary_folder(self) -> None:
        """Makes this process and its children keep temporary files in one folder that goes with the app."""
        if self._app_folder is None:
            return
        folder = self._app_folder / "temporary"
        folder.mkdir()
        tempfile.tempdir = str(folder)
        os.environ["TMPDIR"] = str(folder)
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")

    # What visitors do, as `bsig.ui.server.visitors` sees it.

    def seen(self, key: str) -> None:
        """A request came."""
        with self._lock:
            space = self._spaces.get(hashed(key))
            if space:
                space.seen = time.monotonic()

    def opened(self, key: str) -> None:
        """A page was opened."""
        with self._lock:
            space = self._space_named(hashed(key))
            space.pages, space.had_page = space.pages + 1, True

    def closed(self, key: str) -> None:
        """A page was closed, or its connection broke."""
        with self._lock:
            space = self._spaces.get(hashed(key))
            if space:
                space.pages = max(0, space.pages - 1)
                space.seen = time.monotonic()

    def has_file(self, key: str, path: str) -> None:
        """A file was uploaded by the visitor, or handed to them: it goes with the last who has it."""
        file = Path(os.path.abspath(path))
        if not file.is_relative_to(Path(tempfile.gettempdir()).absolute()):
            return  # an example that ships
        with self._lock:
            name = hashed(key)
            self._space_named(name).files.add(file)
            self._owners.setdefault(file, set()).add(name)

    # Clearing.

    def start_sweeping(self, queue: RunQueue, forget: Callable[[set[Hashable]], None]) -> None:
        """Clears spaces that are left, from now on, in a thread of its own."""

        def sweep_on() -> None:
            while not self._closing.wait(SWEEP_EVERY_S):
                try:
                    self.sweep(queue, forget)
                except Exception:
                    logger.exception("defect while clearing spaces")

        threading.Thread(target=sweep_on, daemon=True, name="clears spaces").start()

    def sweep(self, queue: RunQueue, forget: Callable[[set[Hashable]], None]) -> None:
        """Clears every space whose visitor has left; one whose run still has to end is cleared the next time."""
        with self._lock:
            left = [name for name, space in self._spaces.items() if self._is_left(space)]
        for name in left:
            self._clear(name, queue, forget)

    def close(self) -> None:
        """Ends with the app: nothing stays."""
        self._closing.set()
        with self._lock:
            for space in (self.shared, *self._spaces.values()):
                space.evaluations.clear()
                space.uploads.clear()
        if self._app_folder:
            shutil.rmtree(self._app_folder, ignore_errors=True)
        self._held.close()

    def _is_left(self, space: VisitorSpace) -> bool:
        quiet = time.monotonic() - space.seen
        kept, closed = self.limits.kept_seconds, self.limits.closed_seconds
        is_empty = not space.files and not space.uses and not space.registered and not len(space.evaluations)
        has_gone = space.pages == 0 and (space.had_page or (is_empty and not (space.folder and space.folder.exists())))
        return (kept is not None and quiet > kept) or (closed is not None and has_gone and quiet > closed)

    def _clear(self, name: str, queue: RunQueue, forget: Callable[[set[Hashable]], None]) -> None:
        space = self._spaces[name]
        line = space.own_queue(queue)
        going = [run.name for run in line.folder.read_all() if run.state.standing not in ENDED]
        for run in going:
            with contextlib.suppress(InputError):
                line.stop(run)
        if any(line.position(run) is not None for run in line.folder.names()):
            return
        with self._lock:
            if not self._is_left(space):  # came back meanwhile
                return
            self._spaces.pop(name, None)
            files = [file for file in space.files if self._is_last_owner(name, file)]
        forget(space.uses)
        space.evaluations.clear()
        space.uploads.clear()
        for file in files:
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others' files are in it, or it has gone
                file.parent.rmdir()
        if space.folder:
            shutil.rmtree(space.folder, ignore_errors=True)

    def _is_last_owner(self, name: str, file: Path) -> bool:
        owners = self._owners.get(file, set())
        owners.discard(name)
        if not owners:
            self._owners.pop(file, None)
        return not owners

    def _space_named(self, name: str) -> VisitorSpace:
        with self._lock:
            if name not in self._spaces:
                folder = self._app_folder / "visitors" / name if self._app_folder else None
                self._spaces[name] = VisitorSpace(folder, KeptEvaluations(self.limits.evaluations_kept))
            space = self._spaces[name]
            space.seen = time.monotonic()
            return space

    def _new_app_folder(self, root: Path) -> Path:
        try:
            root.mkdir(parents=True, exist_ok=True)
            for other in root.iterdir():
                if other.is_dir() and not is_locked(other):
                    shutil.rmtree(other, ignore_errors=True)  # of an app that was killed
            folder = root / secrets.token_hex(8)
            folder.mkdir(mode=0o700)
            self._held.enter_context(locked(folder))
        except OSError as error:
            raise InputError(f"`--work-folder` ('{root.parent}') cannot be used ({error}); choose another.") from error
        return folder


def hashed(key: str) -> str:
    """What a visitor's folder is called: who sees the name cannot be the visitor."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]
