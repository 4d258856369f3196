"""What is raised where a network cannot be cut in two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bsig.inputs.errors import InputError


class CutError(InputError):
    """The network cannot be taken apart in this way; the text is a reason that completes the caller's sentence."""


@contextmanager
def errors_as_refusals() -> Iterator[None]:
    """Turns whatever a network raises when it is run in parts into a `CutError`: it cannot be run in parts.

    Raises:
        CutError: with the kind and the first line of the network's own error.
    """
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise CutError(f"its parts cannot be run alone ({type(error).__name__}: {reason[:120]})") from error
