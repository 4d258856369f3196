"""A heatmap that follows the pointer: drawn in the browser from the numbers of a `MapDrag`, which are sent once.

    drag_html(drag, crop, limit, elem_id="shift-drag", still=…)     canvas, probabilities, numbers as JSON
    painted_html(painted, "shift-drag")                             the map it shows until it is dragged

`static/page.js` draws: no step asks the server. Where the heatmap came to rest is answered by a `page_question` to the
button that the block presses then.
"""

from __future__ import annotations

import base64
import io
import json
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from bsig.explain.diagnostics.map_drag import MapDrag
from bsig.explain.diagnostics.painted_shift import bump_width
from bsig.explain.drawing.colours import colormap_of
from bsig.explain.drawing.comparison import PICTURE_SIZE, Drawing
from bsig.explain.drawing.heatmaps import greyed, overlay_table
from bsig.ui.components.html import Html, element, heading, joined, number, scale_bar, table

PHOTO_QUALITY = 90
"""Of the JPEG under the heatmap: a fifth of the PNG's bytes, and no eye sees the difference below the colours."""
PROBABILITY_TITLES = {"softmax": "Softmax probability", "sigmoid": "Sigmoid probability"}
CALIBRATED_TITLE = "Probability that it is there"
TITLES = {"softmax": "Softmax heatmap", "sigmoid": "Sigmoid heatmap"}


def drag_html(
    drag: MapDrag,
    crop: Image.Image,
    limit: float,
    *,
    elem_id: str,
    text: str,
    still: tuple[str, str, Float[np.ndarray, "h w"]] | None = None,
    press: str = "",
) -> Html:
    """The map to drag, one that stays beside it, and the probabilities before and now.

    Args:
        drag: the map and what moves it.
        crop: what the model saw.
        limit: where the colour scale ends, in logits.
        elem_id: of the component that holds this.
        text: the line below the title.
        still: title, text and values of a map that no drag moves.
        press: the id of a button that is pressed when the heatmap comes to rest.
    """
    title = TITLES[drag.branch]
    label = f"{title} of '{drag.class_name}': drag it, or move it with the arrow keys"
    hint = element("span", "Drag me", class_="bsig-drag-hint", aria_hidden="true")
    canvas = _canvas(f"{title} of '{drag.class_name}'")
    handle = element("div", canvas, hint, class_="bsig-drag-map", role="group", tabindex="0", aria_label=label)
    parts = [element("div", heading(title, text), handle)]
    if still:
        parts.append(element("div", heading(*still[:2]), _canvas(still[0], class_="bsig-drag-still")))
    parts.append(_numbers(drag))
    parts.append(element("div", scale_bar(limit, Drawing(), "cam"), class_="bsig-drag-scale"))
    content = _content(drag, crop, limit, None if still is None else still[2])
    data = Html(f'<script type="application/json">{_json(content)}</script>')
    kind = "bsig-drag bsig-drag-three" if still else "bsig-drag"
    return element("div", *parts, data, class_=kind, data_for=elem_id, data_press=press)


def painted_html(map_: Float[np.ndarray, "h w"], elem_id: str) -> Html:
    """The map that the block of this id shows, as a script element that the page reads."""
    data = Html(f'<script type="application/json">{_json(map_.ravel().tolist())}</script>')
    return element("div", data, class_="bsig-drag-painted", data_for=elem_id)


def _canvas(label: str, **attributes: Any) -> Html:
    width, height = PICTURE_SIZE
    return element("canvas", width=width, height=height, role="img", aria_label=label, **attributes)


def _numbers(drag: MapDrag) -> Html:
    """The probabilities, each with a bar that shows today's value."""
    title = CALIBRATED_TITLE if drag.is_calibrated else PROBABILITY_TITLES[drag.branch]
    shares = drag.probabilities(drag.own_map.astype(np.float64))
    bar = element("i")
    rows = [
        (name, number(_percent(share)), number(joined(element("span", _percent(share)), bar), class_="number bsig-now"))
        for name, share in zip(drag.class_names, shares.tolist(), strict=True)
    ]
    numbers = table([title, number("before"), number("now")], rows, kind="bsig-numbers")
    return element(
        "div", numbers, element("p", class_="bsig-drag-change"), element("p", class_="bsig-sr", role="status")
    )


def _percent(share: float) -> str:
    """A share in percent, with the decimals of `page.js`."""
    return f"{100 * share:.2f} %"


def _content(drag: MapDrag, crop: Image.Image, limit: float, still: np.ndarray | None) -> dict[str, Any]:
    paint, keep = overlay_table("positive", colormap_of("positive"), Drawing().heatmap_opacity)
    return {
        "branch": drag.branch,
        "grid": drag.own_map.shape,
        "own": drag.own_map.ravel().tolist(),
        "basis": None if drag.basis is None else _base64(drag.basis.astype("<f4").tobytes()),  # as text it is megabytes
        "width": bump_width(*drag.own_map.shape),
        "limit": limit,
        "logits": drag.logits.tolist(),
        "others": drag.other_logits,
        "offset": drag.offset,
        "temperature": drag.temperature,
        "still": None if still is None else still.ravel().tolist(),
        "photo": _photo(crop.tobytes(), crop.size),
        "paint": paint.ravel().tolist(),
        "keep": keep[:, 0].tolist(),
    }


@lru_cache(maxsize=8)
def _photo(pixels: bytes, size_wh: tuple[int, int]) -> str:
    """The greyed crop at the size of the drawings, as a data address."""
    crop = Image.frombytes("RGB", size_wh, pixels)
    file = io.BytesIO()
    greyed(crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC)).save(file, "JPEG", quality=PHOTO_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + _base64(file.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _json(content: Any) -> str:
    """JSON that no class name can end early."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
