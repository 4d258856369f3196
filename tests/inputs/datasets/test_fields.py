"""A field of an index is read as it stands."""

from __future__ import annotations

from bsig.inputs.datasets.fields import boxes_xyxy


def test_boxes_are_read_as_they_stand() -> None:
    assert boxes_xyxy(" 0 0 0 0 ; 1.5 2 3 4;", "here") == ((0, 0, 0, 0), (1.5, 2, 3, 4))
    assert boxes_xyxy("", "here") == ()
