"""What happens in a run, a line of JSON each: pictures encoded, epochs with their measures, notes, phases.

The worker adds lines; the page reads them twice a second, and only those that are new.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EVENTS = "events.jsonl"
EVENT_FILES_KEPT = 256


def add_event(folder: Path, kind: str, **details: Any) -> None:
    """Adds one line; a line before it that a crash cut short is ended first, and left out when reading."""
    with (folder / EVENTS).open("a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")
        file.write(
            (json.dumps({"kind": kind, "at": time.time(), **details}, ensure_ascii=False) + "\n").encode("utf-8")
        )


class _EventFiles:
    """Keeps what has been read of runs' event files, of the most recent ones."""

    def __init__(self) -> None:
        # By path: the file's own number, how many bytes have been read, and the events in them.
        self._read: OrderedDict[Path, tuple[int, int, tuple[dict[str, Any], ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, folder: Path) -> tuple[dict[str, Any], ...]:
        """The events of a run whose line is whole."""
        path = folder / EVENTS
        with self._lock:
            number, offset, events = self._read.get(path, (0, 0, ()))
            try:
                with path.open("rb") as file:
                    now = os.fstat(file.fileno())
                    if now.st_ino != number or now.st_size < offset:  # another run of that name
                        number, offset, events = now.st_ino, 0, ()
                    file.seek(offset)
                    new = file.read()
            except OSError:
                self._read.pop(path, None)
                return ()
            whole = new[: new.rfind(b"\n") + 1]
            events += tuple(_events_in(whole.decode("utf-8", errors="replace")))
            self._read[path] = (number, offset + len(whole), events)
            self._read.move_to_end(path)
            while len(self._read) > EVENT_FILES_KEPT:
                self._read.popitem(last=False)
            return events

    def forget(self, folder: Path) -> None:
        """Lets go of a run that is deleted: another may get its name."""
        with self._lock:
            self._read.pop(folder / EVENTS, None)


_FILES = _EventFiles()


def events_of(folder: Path) -> tuple[dict[str, Any], ...]:
    """The events of a run, in order, but for a last line that is not whole yet."""
    return _FILES.of(folder)


def forget_events(folder: Path) -> None:
    """Lets go of the events of a run that is deleted: another may get its name."""
    _FILES.forget(folder)


def _events_in(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            yield event
