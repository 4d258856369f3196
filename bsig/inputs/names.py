"""Names of files, folders and classes: in one Unicode form, in UTF-8, and without the files that systems leave behind.

A Mac writes 'é' as two letters, everything else as one. Both look alike, so every name is compared and kept in the
composed form (NFC, Unicode Standard Annex #15).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from bsig.inputs.errors import InputError

# What file managers, systems, notebooks, storage boxes and version control put beside people's files.
COMPANIONS = frozenset(
    {
        "__macosx", "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
        "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin",
        "system volume information", "lost+found", "__pycache__", "picasa.ini", "zbthumbnail.info", "_vti_cnf",
        "network trash folder", "temporary items", "synofile_thumb",
    }
)  # fmt: skip
# The files that `explain` writes, by which its pictures are known.
COMPARISON, CARD = "comparison.png", "card.png"
NUMBERS, TABLE, SHEET, COPY = "explanation.json", "explanations.csv", "contact-sheet.png", "picture"
MANIFEST = "manifest.json"
OWN_PICTURES = frozenset({COMPARISON, CARD, *(f"{COPY}-{branch}.png" for branch in ("softmax", "sigmoid", "centred"))})
UNDECODED = re.compile("[\ud800-\udfff]")


def is_companion(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or lies beside people's files for some system's own use."""
    return name.startswith((".", "~$")) or name.casefold() in COMPANIONS


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """The name in the composed form and without the difference of capitals and small letters, to compare."""
    return composed(name).casefold()


def check_utf8(names: Iterable[str], place: str) -> None:
    """Refuses names that no JSON, CSV or log can hold, before any work is done.

    Raises:
        InputError: a name has bytes that are not UTF-8, which Python reads as halves of surrogate pairs.
    """
    for name in names:
        if UNDECODED.search(name):
            text = UNDECODED.sub("?", name)[-100:]
            raise InputError(
                f"{place} holds the name '{text}', which is not UTF-8; rename it (convmv -f latin1 -t utf8 does it)."
            )
