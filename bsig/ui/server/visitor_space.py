"""A visitor's things: runs, checkpoints, loaded models, evaluations, files. One space for all, or one for each visitor.

    WORK/public/APP/visitors/KEY/runs, checkpoints      KEY: a hash of the visitor's key
    WORK/public/APP/temporary/                          uploads, maps, unpacked zips of this app
    WORK/public/APP/lock                                held while the app lives; folders of dead apps are removed

In a local app everything lies in one space, in the work folder itself, as long as its owner likes. In a public one each
space is a folder of its own. What does not lie in it does not exist for its visitor, so no list and no name has to be
filtered. A space is cleared when its visitor has left or has sent nothing for a while (`bsig.ui.server.limits`).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Hashable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from bsig.inputs.errors import InputError
from bsig.inputs.files import is_locked, locked
from bsig.model.dual_branch import DualBranch
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED
from bsig.ui.components.long_job import LongJob, no_jobs
from bsig.ui.screens.evaluate.kept import KeptEvaluations
from bsig.ui.screens.finetune.uploads import Uploads
from bsig.ui.server.limits import Guesses, Limits
from bsig.ui.server.visitors import current_key

logger = logging.getLogger(__name__)
SWEEP_EVERY_S = 5.0
STARTING_S = 10.0
_NUMBERS = itertools.count()


@dataclass
class VisitorSpace:
    """One visitor's things.

    Attributes:
        folder: holds `runs` and `checkpoints`; None for a bench that keeps none.
        evaluations: the visitor's own data sets, measured.
        registered: models that are in no folder, by name.
        uploads: the zip of pictures that was uploaded last, unpacked.
        jobs: what the visitor's pages wait for, by key.
        uses: keys of models and encodings that the app holds in memory for this visitor.
        files: uploads, and the files of answers that were fetched.
        pages: number of open pages.
        had_page: whether a page was ever open.
        knows_password: whether the password for fine-tuning has come from this visitor.
        last_request: time of the last request, in seconds of the monotonic clock.
        number: no other space has it or gets it.
    """

    folder: Path | None
    evaluations: KeptEvaluations
    registered: dict[str, Callable[[], DualBranch]] = field(default_factory=dict)
    uploads: Uploads = field(default_factory=Uploads)
    jobs: MutableMapping[str, LongJob] = field(default_factory=no_jobs)
    uses: set[Hashable] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)
    pages: int = 0
    had_page: bool = False
    knows_password: bool = False
    last_request: float = field(default_factory=time.monotonic)
    number: int = field(default_factory=lambda: next(_NUMBERS))
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)  # one start at a time, so that counts hold

    @property
    def runs(self) -> RunFolder | None:
        """The folder of the visitor's runs; None for a bench that keeps none."""
        return RunFolder(self.folder) if self.folder else None

    def own_queue(self, queue: RunQueue) -> RunQueue:
        """The app's queue, for this visitor's runs alone."""
        return queue.beside(self.runs) if self.runs else queue

    def models(self) -> int:
        """The number of models and checkpoints that come from no run."""
        if self.runs is None:
            return len(self.registered)
        folder = self.runs.checkpoints
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()
        return len((names | self.registered.keys()) - set(self.runs.names()))


class VisitorSpaces:
    """All visitors' spaces of one app.

    Args:
        limits: whether visitors are kept apart, and for how long.
        work_folder: holds the spaces; None for a bench that keeps nothing.
    """

    def __init__(self, limits: Limits, work_folder: Path | None = None) -> None:
        self.limits = limits
        self._spaces: dict[str, VisitorSpace] = {}
        self._owners: dict[Path, set[str]] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._locks = contextlib.ExitStack()
        self._app_folder: Path | None = None
        self._guesses = Guesses()
        if limits.is_public and work_folder is not None:
            self._app_folder = self._new_app_folder(work_folder / "public")
            work_folder = self._app_folder / "nobody"
        self.shared = VisitorSpace(work_folder, KeptEvaluations(limits.evaluations_kept))

    def current(self) -> VisitorSpace:
        """The space of the visitor whose request is being handled; an empty one where nobody is known to ask."""
        if not self.limits.is_public:
            return self.shared
        key = current_key()
        return self.shared if key is None else self._space_named(hashed(key))

    def check_password(self, attempt: str | None) -> None:
        """Refuses a fine-tune without the right password, and guesses that come too often.

        A visitor who gave the right one before is never held up by others' guesses.

        Raises:
            InputError: as of `Limits.check_password`, or many wrong ones came a moment ago.
        """
        space = self.current()
        if attempt and self.limits.asks_password and not space.knows_password:
            self._guesses.check()
        try:
            self.limits.check_password(attempt)
        except InputError:
            if attempt:
                self._guesses.note_wrong()
            raise
        space.knows_password = True

    def use_own_temporary_folder(self) -> None:
        """Makes this process and its children keep temporary files in one folder that goes with the app."""
        if self._app_folder is None:
            return
        folder = self._app_folder / "temporary"
        folder.mkdir()
        tempfile.tempdir = str(folder)
        os.environ["TMPDIR"] = str(folder)
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")

    # `bsig.ui.server.visitors` calls these when visitors do something.

    def note_request(self, key: str) -> None:
        """Notes that a request came."""
        with self._lock:
            space = self._spaces.get(hashed(key))
            if space:
                space.last_request = time.monotonic()

    def note_page_opened(self, key: str) -> None:
        """Notes that a page was opened."""
        with self._lock:
            space = self._space_named(hashed(key))
            space.pages, space.had_page = space.pages + 1, True

    def note_page_closed(self, key: str) -> None:
        """Notes that a page was closed, or its connection broke."""
        with self._lock:
            space = self._spaces.get(hashed(key))
            if space:
                space.pages = max(0, space.pages - 1)
                space.last_request = time.monotonic()

    def note_file(self, key: str, path: str) -> None:
        """Notes that the visitor uploaded a file, or was handed one: it goes with the last visitor who has it."""
        file = Path(os.path.abspath(path))
        if not file.is_relative_to(Path(tempfile.gettempdir()).absolute()):
            return  # an example that ships
        with self._lock:
            name = hashed(key)
            self._space_named(name).files.add(file)
            self._owners.setdefault(file, set()).add(name)

    # Clearing.

    def start_sweeping(self, queue: RunQueue, forget: Callable[[set[Hashable]], None]) -> None:
        """Clears the spaces of visitors who leave, from now on, in a thread of its own."""

        def sweep_again() -> None:
            while not self._closing.wait(SWEEP_EVERY_S):
                try:
                    self.sweep(queue, forget)
                except Exception:
                    logger.exception("defect while clearing spaces")

        threading.Thread(target=sweep_again, daemon=True, name="clears spaces").start()

    def sweep(self, queue: RunQueue, forget: Callable[[set[Hashable]], None]) -> None:
        """Clears every space whose visitor has left; one whose run still has to end is cleared the next time."""
        with self._lock:
            names = [name for name, space in self._spaces.items() if self._is_left(space)]
        for name in names:
            self._clear(name, queue, forget)

    def close(self) -> None:
        """Clears everything at the end of the app."""
        self._closing.set()
        with self._lock:
            for space in (self.shared, *self._spaces.values()):
                space.evaluations.clear()
                space.uploads.clear()
        if self._app_folder:
            shutil.rmtree(self._app_folder, ignore_errors=True)
        self._locks.close()

    def _is_left(self, space: VisitorSpace) -> bool:
        quiet = time.monotonic() - space.last_request
        kept_s, closed_s = self.limits.kept_seconds, self.limits.closed_seconds
        is_empty = not space.files and not space.uses and not space.registered and not len(space.evaluations)
        has_gone = space.pages == 0 and (space.had_page or (is_empty and not (space.folder and space.folder.exists())))
        return (kept_s is not None and quiet > kept_s) or (closed_s is not None and has_gone and quiet > closed_s)

    def _clear(self, name: str, queue: RunQueue, forget: Callable[[set[Hashable]], None]) -> None:
        space = self._spaces[name]
        own_queue = space.own_queue(queue)
        for run in own_queue.folder.read_all():
            if run.state.standing not in ENDED:
                with contextlib.suppress(InputError):  # it has just ended
                    own_queue.stop(run.name)
        if any(own_queue.position(name) is not None for name in own_queue.folder.names()):
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
            space.last_request = time.monotonic()
            return space

    def _new_app_folder(self, root: Path) -> Path:
        try:
            root.mkdir(parents=True, exist_ok=True)
            # One at a time, so that nobody takes a folder that is not locked yet for a dead app's.
            with locked(root.parent, STARTING_S):
                for other in root.iterdir():
                    if other.is_dir() and not is_locked(other):
                        shutil.rmtree(other, ignore_errors=True)  # of an app that was killed
                folder = root / secrets.token_hex(8)
                folder.mkdir(mode=0o700)
                self._locks.enter_context(locked(folder))
        except OSError as error:
            raise InputError(f"`--work-folder` ('{root.parent}') cannot be used ({error}); choose another.") from error
        return folder


def hashed(key: str) -> str:
    """The name of a visitor's folder: whoever sees it does not know the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]
