"""A reading's slider takes the value that the page still holds; the reading's own rule refuses one that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from bsig.inputs.errors import InputError
from bsig.ui.components.inputs import ReadingSlider
from bsig.ui.links.view import OWN_SETTING


@pytest.mark.parametrize("value", [OWN_SETTING, 0, 3.5, 99])
def test_a_value_from_before_the_range_changed_is_taken_as_it_came(value: float) -> None:
    assert ReadingSlider(0, 16, 1).preprocess(value) == value


@pytest.mark.parametrize("value", ["1", None, True, [1]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="must be a number; move its slider"):
        ReadingSlider(0, 16, 1).preprocess(value)
