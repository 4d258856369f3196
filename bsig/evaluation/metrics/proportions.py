"""The interval of a share that was counted: so many hits of so many tries.

    low, high = wilson_interval(5, 6)        0.44, 0.97

    centre = (p + z^2 / 2n) / (1 + z^2 / n),   half = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927. Unlike the normal interval it
never leaves [0, 1], and it has a width for 0 and for n hits.
"""

from __future__ import annotations

import math

from bsig.inputs.errors import InputError

Z95 = 1.959963984540054
"""97.5 % of a standard normal distribution lie below."""


def wilson_interval(hits: int, tries: int, z: float = Z95) -> tuple[float, float]:
    """Lower and upper end of the interval of `hits / tries`, each from 0 to 1; 95 % unless `z` says otherwise.

    Raises:
        InputError: no try, or more hits than tries.
    """
    if tries < 1 or not 0 <= hits <= tries:
        raise InputError(f"`hits` of `tries` (={hits} of {tries}) must be from 0 to all of at least one try.")
    share, spread = hits / tries, z * z / tries
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / tries + spread / (4 * tries))
    return max(0.0, centre - half), min(1.0, centre + half)
