"""`python tests/browser/draw_drag.py`: writes assets/drag.gif, the animation of the README, from a bundled picture.

The Logit shift screen's "Animation for a slide" gives the same of any picture and class. No browser is needed.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import bsig  # noqa: E402
from bsig.explain.diagnostics.map_drag import map_drag  # noqa: E402
from bsig.explain.drawing.drag_animation import drag_gif  # noqa: E402

PICTURE = ROOT / "assets" / "examples" / "coffee.jpg"
CHECKPOINT = "imagenet1k-efficientnet_lite0"


def main() -> int:
    """Draws the predicted class's heatmap going round."""
    encoded = bsig.Explainer(bsig.load_checkpoint(CHECKPOINT)).encode(PICTURE)
    index = encoded.predicted_index
    content = drag_gif(map_drag(encoded, index), encoded.explain(index, "cam"))
    (ROOT / "assets" / "drag.gif").write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
