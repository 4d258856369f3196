"""The one exception that means "what was handed in cannot be used".

Its text is a sentence for a person: name (=value), rule, remedy. It is raised where the cause is known and turned into
a message once, at the border (`gr.Error` in the app, stderr and exit code 2 on the command line). Anything else that is
raised is a defect of this project.
"""

from __future__ import annotations

import errno
import re

# Line breaks, control letters, marks that turn the direction of what follows, halves of surrogate pairs: names from
# outside hold them, and a message that quotes such a name must stay one line that can be shown and logged anywhere.
# The colours that a terminal is asked for go whole: their escape alone would leave "[31m" behind.
TERMINAL_COLOURS = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]")
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")

# The folders of an absolute path, of this system or of Windows: in quotes with blanks, elsewhere up to a blank.
_FOLDERS = re.compile(
    r"(?<=')(?:[A-Za-z]:)?[/\\][^'\n]*[/\\](?=[^'/\\]+')"
    r"|(?<![\w.:/\\-])(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"<>|:;,()]+)+[/\\](?=[^/\\\s'\"])"
)


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})


class InputError(ValueError):
    """Something the caller handed in breaks a rule that the message states, with its remedy; always one line."""

    def __init__(self, sentence: str) -> None:
        super().__init__(UNPRINTABLE.sub(" ", TERMINAL_COLOURS.sub("", sentence)))


class StoppedEarly(InputError):  # noqa: N818  nothing went wrong
    """The caller asked to stop before there was anything to keep."""


def disk_sentence(error: BaseException | None) -> str | None:
    """What a person can do about a disk that is full or may not be written; None where that is not the cause."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    if error is None:
        return None
    if "temporary directory" in str(error):  # tempfile has looked everywhere
        return "no temporary folder can be written; free space, or set TMPDIR to a folder that can be written."
    if error.errno in FULL:
        return f"the disk is full ({error.strerror}); free space and try again."
    if error.errno in UNWRITABLE:
        place = f"'{error.filename}'" if error.filename else "a file"
        return f"{place} cannot be read or written ({error.strerror}); change its rights or choose another place."
    return None


def megabytes(size: int) -> str:
    """A number of bytes as messages word it: '1,234 MB', of 2^20 bytes each."""
    return f"{size / 2**20:,.0f} MB"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, as a message quotes it: at most 160 characters."""
    return (str(error).strip().splitlines() or ["no reason given"])[0][:160]


def without_folders(text: str) -> str:
    """The text with absolute paths cut down to their last part: what a stranger may know of this machine's files."""
    return _FOLDERS.sub("", text)
