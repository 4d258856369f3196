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
# Of the runs that were read last: the first line of the event file, how many of its bytes were read, and their events.
# The first line holds the moment at which it was written. The file's number would not tell it from the event file of
# another run of that name: the system gives the number of a file that was deleted to the next one.
_READ: OrderedDict[Path, tuple[bytes, int, tuple[dict[str, Any], ...]]] = OrderedDict()
_LOCK = threading.Lock()


def add_event(folder: Path, kind: str, **details: Any) -> None:
    """Adds one line; a line before it that a crash cut short is ended first, and left out when reading."""
    with (folder / EVENTS).open("a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")
        event = {"kind": kind, "at": time.time(), **details}
        file.write(f"{json.dumps(event, ensure_ascii=False)}\n".encode())


def events_of(folder: Path) -> tuple[dict[str, Any], ...]:
    """Returns the events of a run, in order, but for a last line that is not whole yet; no line is read twice."""
    path = folder / EVENTS
    with _LOCK:
        first, offset, events = _READ.get(path, (b"", 0, ()))
        try:
            with path.open("rb") as file:
                line = file.readline()
                if line != first or os.fstat(file.fileno()).st_size < offset:  # another run of that name
                    first, offset, events = line, 0, ()
                file.seek(offset)
                new = file.read()
        except OSError:
            _READ.pop(path, None)
            return ()
        whole = new[: new.rfind(b"\n") + 1]
        events += tuple(_events_in(whole.decode("utf-8", errors="replace")))
        _READ[path] = (first, offset + len(whole), events)
        _READ.move_to_end(path)
        while len(_READ) > EVENT_FILES_KEPT:
            _READ.popitem(last=False)
        return events


def forget_events(folder: Path) -> None:
    """Lets go of the events of a run that is deleted: another may get its name."""
    with _LOCK:
        _READ.pop(folder / EVENTS, None)


def _events_in(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            yield event
