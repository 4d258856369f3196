"""Numbers for a reading as text, `lambda=2,cells=5`: on the command line and in the web API. Imports no torch."""

from __future__ import annotations

from bsig.inputs.errors import InputError


def reading_settings_from(text: str | None) -> dict[str, float]:
    """The settings that the text gives, by their keys; none for an empty text.

    Raises:
        InputError: a part is no `key=number`, or a key comes twice.
    """
    settings: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        key, _, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            raise InputError(
                f"`reading_settings` (='{part[:60]}') must be a setting and its number, such as 'lambda=2'; put commas "
                "between several."
            ) from None
        if key in settings:
            raise InputError(f"`reading_settings` (='{key[:60]}') must give each setting once; leave one out.")
        settings[key] = value
    return settings
