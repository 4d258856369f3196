"""What all tabs share: loaded models and encoded pictures, each kept while recently used; questions asked of them.

A picture is known by the hash of its bytes, so every handler can pass the file again and the backbone still runs once
for a picture and model, whichever tab or visitor asks. A model is known by the file that describes it, in its folder: a
name, or a hash of its tensors, would mix up two that differ in class names or preprocessing alone.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bsig.explain.explainer import EncodedImage, Explainer
from bsig.inputs.errors import InputError, megabytes
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.listing import checkpoint_path, list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT, DESCRIPTION
from bsig.model.dual_branch import DualBranch
from bsig.model.weights import file_sha256
from bsig.ui.server.limits import Limits
from bsig.ui.server.visitor_space import VisitorSpace, VisitorSpaces

MAX_FILE_BYTES = 32 * 2**20
PICTURES_AT_ONCE = 2
"""How many pictures are decoded at the same time, whichever screens ask: their pixels take the app's peak of memory."""
ANSWERS_EACH = 4
"""How many answers are kept for each encoded picture, on average."""
logger = logging.getLogger(__name__)
Value = TypeVar("Value")


class RecentlyUsed(Generic[Value]):
    """At most `capacity` values by key; the least recently used goes. Each is made once, also under many threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The kept value, or a new one from `make`; what `make` raises is raised, and nothing is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:  # made while this thread waited
                    return self._values[key]
            try:
                value = make()
            except BaseException:
                with self._lock:
                    self._making.pop(key, None)
                raise
            with self._lock:
                # In one step: a thread that came between the two would find neither the value nor its maker's lock.
                self._making.pop(key, None)
                self._values[key] = value
                while len(self._values) > self._capacity:
                    self._values.popitem(last=False)
            return value

    def values(self) -> list[Value]:
        """The values that are kept now."""
        with self._lock:
            return list(self._values.values())

    def keep_only(self, is_kept: Callable[[Value], bool]) -> None:
        """Lets go of every value that is not to be kept."""
        with self._lock:
            for key in [key for key, value in self._values.items() if not is_kept(value)]:
                del self._values[key]

    def peek(self, key: Hashable) -> Value | None:
        """The value if it is there, which then counts as used; None if it is not."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def drop(self, key: Hashable) -> None:
        """Lets the value go, if it is there."""
        with self._lock:
            self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class KeptAnswer(Generic[Value]):
    """An answer about an encoded picture, and the files that it points to."""

    encoded: EncodedImage
    value: Value
    files: Sequence[Path]

    def is_whole(self) -> bool:
        """Whether all files are still there: they go with their visitor, and when they are old."""
        return all(file.is_file() for file in self.files)


class Workbench:
    """Models and encodings of one running app.

    A checkpoint's name is looked up among the models registered in the visitor's space, in `folder`, in `more_folders`,
    then among the space's own checkpoints (where fine-tunes of this app are written). A public bench takes no paths of
    this machine from its visitors, and shows each of them their own space alone.
    """

    def __init__(
        self,
        checkpoint: str = DEFAULT_CHECKPOINT,
        folder: Path = CHECKPOINTS_FOLDER,
        device: str = "cpu",
        *,
        engine: str = "torch",
        more_folders: Sequence[Path] = (),
        limits: Limits | None = None,
        visitor_spaces: VisitorSpaces | None = None,
        is_public: bool = False,
        models: int = 3,
        encodings: int = 64,
    ) -> None:
        self.default_checkpoint = checkpoint
        self.folder = folder
        self.more_folders = tuple(more_folders)
        self.device = device
        self.engine = engine
        if visitor_spaces is None:
            visitor_spaces = VisitorSpaces(limits or (Limits.public() if is_public else Limits.local()))
        self.visitor_spaces, self.limits = visitor_spaces, visitor_spaces.limits
        self._models: RecentlyUsed[DualBranch] = RecentlyUsed(models)
        self._encodings: RecentlyUsed[EncodedImage] = RecentlyUsed(encodings)
        self._answers: RecentlyUsed[KeptAnswer[Any]] = RecentlyUsed(ANSWERS_EACH * encodings)
        self.decoding = threading.BoundedSemaphore(PICTURES_AT_ONCE)

    @property
    def is_public(self) -> bool:
        """Whether strangers may come."""
        return self.limits.is_public

    @property
    def visitor_space(self) -> VisitorSpace:
        """The space of the visitor who is asking."""
        return self.visitor_spaces.current()

    def own_checkpoints(self) -> Path | None:
        """The folder for a visitor's new checkpoints; None for a bench that keeps none."""
        runs = self.visitor_space.runs
        return runs.checkpoints if runs else next(iter(self.more_folders), None)

    def forget(self, uses: set[Hashable]) -> None:
        """Lets models and encodings go that a visitor used, by their keys."""
        for key in uses:
            self._models.drop(key)
            self._encodings.drop(key)
        self._drop_answers()

    def checkpoint_names(self) -> list[str]:
        """The names to choose from: all that can be loaded, and the default if it lies elsewhere."""
        names = [row["name"] for row in self.checkpoint_rows() if not {"error", "needs"} & set(row)]
        names = list(dict.fromkeys([*names, *self.visitor_space.registered]))
        return names if self.default_checkpoint in names else [self.default_checkpoint, *names]

    def saved_names(self) -> list[str]:
        """Those of `checkpoint_names` that lie in a folder: what a fine-tune can start from."""
        return [name for name in self.checkpoint_names() if name not in self.visitor_space.registered]

    def checkpoint_rows(self) -> list[dict[str, Any]]:
        """`list_checkpoints` of all folders; of two with one name the first."""
        rows = [row for folder in self._folders() for row in list_checkpoints(folder)]
        return list({row["name"]: row for row in reversed(rows)}.values())[::-1]

    def loaded_names(self) -> list[str]:
        """Names of the models in memory."""
        return [model.name for model in self._models.values()]

    def register(self, name: str, load: Callable[[], DualBranch]) -> None:
        """Makes a model that is in no folder selectable; a name that is taken is replaced."""
        self.visitor_space.registered[name] = load

    def checkpoint_path(self, name: str) -> Path:
        """The folder of a checkpoint of this app.

        Raises:
            InputError: there is none of that name.
        """
        for folder in self._folders():
            if name in _names_in(folder):
                return folder / name
        if name == self.default_checkpoint:
            return checkpoint_path(name, self.folder)
        raise InputError(f"`checkpoint` (='{name}') must be one of: {', '.join(self.checkpoint_names())}.")

    def _folders(self) -> list[Path]:
        runs = self.visitor_space.runs
        return [self.folder, *self.more_folders, *([runs.checkpoints] if runs else [])]

    def model(self, checkpoint: str | None) -> DualBranch:
        """The loaded model.

        Raises:
            InputError: not one of `checkpoint_names`, or it cannot be loaded.
        """
        name = checkpoint or self.default_checkpoint
        if not isinstance(name, str):  # whatever a stranger's request holds
            raise InputError("`checkpoint` must be a name.")
        space = self.visitor_space
        key: Hashable
        load = space.registered.get(name)
        if load is not None:
            key = (space.number, name, load)
            space.uses.add(key)
            return self._models.get(key, lambda: self._with_engine(load()))
        # The key tells apart a checkpoint that was written again under its name, and those of two visitors. The
        # description holds the hash of the tensors, so it stands for the whole folder.
        path = self.checkpoint_path(name)
        key = (str(path), *file_stamp(path / DESCRIPTION))
        if space.folder and path.is_relative_to(space.folder):
            space.uses.add(key)
        return self._models.get(key, lambda: load_checkpoint(path, self.device, self.folder, self.engine))

    def _with_engine(self, model: DualBranch) -> DualBranch:
        model.engine = self.engine
        return model

    def encode(self, image: str | Path | None, checkpoint: str | None, *, finer_grid: bool = False) -> EncodedImage:
        """The picture's features and logits, from memory where this picture was seen before.

        Args:
            image: path of the picture.
            checkpoint: name of the model; None for the default one.
            finer_grid: maps on `EncodedImage.finer_grid`: one more and longer run of the network.

        Raises:
            InputError: no picture, one that cannot be used, as `model`, or the model has no finer grid.
        """
        key, path, model = self._encoding_key(image, checkpoint)
        digest = key[1]
        encoded = self._encodings.get(key, lambda: self._encoded(path, digest, model))
        return self._encodings.get(_finer_key(key), encoded.finer_grid) if finer_grid else encoded

    def kept_finer(self, image: str | Path | None, checkpoint: str | None) -> EncodedImage | None:
        """The picture on the finer grid if it is in memory; nothing is run.

        Raises:
            InputError: as `encode`.
        """
        key, _, _ = self._encoding_key(image, checkpoint)
        return self._encodings.peek(_finer_key(key))

    def _encoding_key(
        self, image: str | Path | None, checkpoint: str | None
    ) -> tuple[tuple[int, str], Path, DualBranch]:
        """The key of an encoding with what it is made of; encodings of models that have gone are let go."""
        if not image:
            raise InputError("no picture is chosen; upload one or click an example.")
        model = self.model(checkpoint)
        path = Path(image)
        try:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise InputError(
                    f"'{path.name}' has {megabytes(size)}; the limit is {megabytes(MAX_FILE_BYTES)}: make it smaller."
                )
            digest = file_sha256(path)
        except OSError as error:
            raise _unreadable(path) from error
        # The model itself, which its encodings keep alive: class names and preprocessing belong to the answer as well.
        key = (id(model), digest)
        if self.limits.is_public:
            self.visitor_space.uses.update((key, _finer_key(key)))
        # An encoding holds its model: those of models that have gone would keep them in memory.
        alive = {id(each) for each in (model, *self._models.values())}
        self._encodings.keep_only(lambda encoded: id((encoded.coarse or encoded).model) in alive)
        return key, path, model

    def answer(
        self, encoded: EncodedImage, question: Hashable, make: Callable[[], tuple[Value, Sequence[Path]]]
    ) -> Value:
        """The answer to a question about an encoded picture, from memory where the same was asked before.

        Picture and model are known by the encoding, which `encode` gives; the answer goes when that goes.

        Args:
            encoded: the picture.
            question: whatever else the answer depends on.
            make: computes the answer and the files that it points to.
        """
        key = (id(encoded), question)  # nobody else gets the number while the answer holds the encoding
        self._drop_answers()
        entry = self._answers.get(key, lambda: KeptAnswer(encoded, *make()))
        if not entry.is_whole():
            self._answers.drop(key)
            entry = self._answers.get(key, lambda: KeptAnswer(encoded, *make()))
        return entry.value

    def _drop_answers(self) -> None:
        """Lets the answers of encodings go that have gone."""
        encodings = {id(encoded) for encoded in self._encodings.values()}
        self._answers.keep_only(lambda entry: id(entry.encoded) in encodings)

    def _encoded(self, path: Path, digest: str, model: DualBranch) -> EncodedImage:
        """The features of a picture of this content; few at a time, since a large picture takes half a gigabyte."""
        with self.decoding:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise _unreadable(path) from error
            if hashlib.sha256(content).hexdigest() != digest:
                raise InputError(f"'{path.name}' was changed while it was read; choose it again.")
            return Explainer(model).encode(content, keep_source=False)


def file_stamp(file: Path) -> tuple[int, int, int]:
    """The stamp of a file, which changes when another is written under its name: number, size and last change."""
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _finer_key(key: tuple[int, str]) -> Hashable:
    return (*key, "finer")


def _unreadable(path: Path) -> InputError:
    return InputError(f"'{path.name}' cannot be read any more; upload the picture again.")


def _names_in(folder: Path) -> set[str]:
    """Names of the folders that hold a description: a name from outside is compared, never made into a path."""
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if (path / DESCRIPTION).is_file() and not path.name.startswith(".")}
