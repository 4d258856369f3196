"""A sentence for a person is one line without a terminal's codes."""

from __future__ import annotations

import pytest

from bsig.inputs.errors import InputError, StoppedEarly


@pytest.mark.parametrize("kind", [InputError, StoppedEarly])
def test_colours_of_a_terminal_go_whole(kind: type[InputError]) -> None:
    assert str(kind("\x1b[31mno such\x1b[0m file\x1b[1;4;38;5;9m!")) == "no such file!"


def test_brackets_of_the_sentence_stay() -> None:
    assert str(InputError("`box` (=[31m]) must\nbe four numbers.")) == "`box` (=[31m]) must be four numbers."
