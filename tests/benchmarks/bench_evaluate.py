"""How many maps a second are localized at all 1,001 thresholds, beside the loop that everyone writes first.

    python tests/benchmarks/bench_evaluate.py [--maps 40] [--out results.json]

Both find the same boxes and IoUs. The loop thresholds, searches contours and compares boxes a thousand times a map, as
the public evaluation code does; `bsig.localization` does it once for each grey level that occurs. One core: numbers are
of this process's CPU time.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bsig.localization import THRESHOLDS, best_ious, box_ious, score_map


def thousand_thresholds(maps: np.ndarray, truths: list[np.ndarray]) -> np.ndarray:
    """The best IoU of each map at each threshold, (n, 1001), threshold by threshold."""
    found = np.zeros((len(maps), len(THRESHOLDS)))
    for i, (one, truth) in enumerate(zip(maps, truths, strict=True)):
        grey = (score_map(one) * 255).astype(np.uint8)
        for at, threshold in enumerate(THRESHOLDS):
            _, above = cv2.threshold(grey, int(threshold * grey.max()), 255, cv2.THRESH_BINARY)
            contours, _ = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            boxes = [(0, 0, 0, 0)]
            if contours:
                rectangles = [cv2.boundingRect(contour) for contour in contours]
                boxes = [(x, y, min(x + w, 223), min(y + h, 223)) for x, y, w, h in rectangles]
            found[i, at] = box_ious(np.array(boxes), truth).max()
    return found


def seconds(call: Callable[[], object]) -> float:
    """CPU time of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> int:
    """Prints and writes maps a second of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=40)
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    maps = random.normal(size=(chosen.maps, 7, 7)).astype(np.float32)
    truths = [np.array([[20, 30, 150, 180]])] * len(maps)
    expected = thousand_thresholds(maps[:4], truths[:4])
    assert np.array_equal(best_ious(maps[:4], truths[:4]).all_contours, expected), "the two disagree"
    best_ious(maps[:2], truths[:2])
    ours = len(maps) / min(seconds(lambda: best_ious(maps, truths)) for _ in range(3))
    few = max(len(maps) // 4, 1)
    loop = few / seconds(lambda: thousand_thresholds(maps[:few], truths[:few]))
    said = {
        "maps_per_second": round(ours, 1),
        "loop_maps_per_second": round(loop, 1),
        "ratio": round(ours / loop, 2),
        "thresholds": len(THRESHOLDS),
        "size": 224,
        "machine": platform.processor() or platform.machine(),
    }
    print(json.dumps(said, indent=1))
    if chosen.out:
        chosen.out.write_text(json.dumps(said, indent=1) + "\n")
    return 0 if ours >= 20 else 1


if __name__ == "__main__":
    sys.exit(main())
