"""The animation of the drag: the softmax map goes round, everything else stands still."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tolerances import FLOAT32, IDENTITY, assert_close

from bsig.explain.diagnostics.map_drag import MapDrag, map_drag
from bsig.explain.drawing.drag_animation import (
    FADE,
    MARGIN,
    REST_MS,
    SIDE,
    SIZE_WH,
    TOP,
    TURN,
    drag_frames,
    drag_gif,
    drag_maps,
)
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation

MOST_BYTES = 2 * 10**6


@pytest.fixture(scope="module")
def explanation(encoded: EncodedImage) -> Explanation:
    return encoded.explain(encoded.predicted_index, "cam")


@pytest.fixture(scope="module")
def drag(encoded: EncodedImage) -> MapDrag:
    return map_drag(encoded, encoded.predicted_index)


def test_the_way_round_starts_and_ends_with_the_models_own_map(drag: MapDrag) -> None:
    maps = drag_maps(drag)
    assert len(maps) == TURN + 1 + 2 * FADE + 1
    assert_close(maps[0], drag.own_map.astype(np.float64), IDENTITY)
    assert_close(maps[FADE + 1], maps[FADE + 1 + TURN], FLOAT32)
    peaks = {divmod(int(frame_map.argmax()), frame_map.shape[1]) for frame_map in maps[FADE + 1 : -FADE]}
    assert {row for row, _ in peaks} == {column for _, column in peaks} == {1, 2, 3, 4, 5}
    for before, after in zip(maps, [*maps[1:], maps[0]], strict=True):  # no jump, also where it begins anew
        assert np.abs(after - before).max() < 0.5 * np.ptp(drag.own_map)


def test_from_frame_to_frame_the_softmax_map_moves_alone(drag: MapDrag, explanation: Explanation) -> None:
    frames = [np.asarray(frame) for frame in drag_frames(drag, explanation)]
    moving = np.zeros(frames[0].shape[:2], bool)
    moving[TOP : TOP + SIDE, MARGIN : MARGIN + SIDE] = True
    for frame in frames[1:]:
        assert (frame[~moving] == frames[0][~moving]).all()
        assert (frame[moving] != frames[0][moving]).any()


def test_the_gif_holds_every_frame_in_less_than_two_megabytes(drag: MapDrag, explanation: Explanation) -> None:
    content = drag_gif(drag, explanation)
    assert len(content) < MOST_BYTES
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.size, picture.n_frames, picture.info["loop"]) == (SIZE_WH, len(drag_maps(drag)), 0)
        assert picture.info["duration"] == REST_MS


@pytest.mark.nightly
def test_the_same_drag_gives_the_same_bytes(drag: MapDrag, explanation: Explanation) -> None:
    assert drag_gif(drag, explanation) == drag_gif(drag, explanation)
