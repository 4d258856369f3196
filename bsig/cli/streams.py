"""Output to terminals and pipes that are not UTF-8."""

from __future__ import annotations

import codecs
import io

ESCAPED = "bsig.escaped"


def write_any_letter(stream: object) -> None:
    """Makes the stream write a letter that its encoding lacks by its number, as JSON does, instead of failing.

    So what a command prints stays readable in Latin-1 or ASCII, and JSON stays JSON of the same text.
    """
    codecs.register_error(ESCAPED, _escaped)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
