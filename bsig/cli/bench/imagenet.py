"""ImageNet-1k, worked out from measured rates: how long extraction, training and evaluation take on so many GPUs.

    seconds of extraction = pictures / min(GPUs x pictures a second of one, cores x decoded pictures a second of one)
    seconds of training   = epochs x pictures / pictures a second of an epoch on stored features, on this machine's CPU
    seconds of evaluation = as extraction, and pictures x maps / (cores x maps a second of one) for boxes

A GPU's rate comes from a JSON file, `python -m bsig bench --rates FILE`: a list of `{"device": NAME,
"pictures_a_second": RATE, "cores": CORES}`, where so many cores decode for one GPU.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bsig.cli.bench.learning import TRAINED_PICTURES
from bsig.explain.wording import duration
from bsig.inputs.errors import InputError

TRAINING_PICTURES, VALIDATION_PICTURES = 1_281_167, 50_000
EPOCHS = 3
GPUS = (1, 8)
MAPS = 10
"""Maps of a picture that are boxed in an evaluation of one method and treatment, about."""


@dataclass(frozen=True)
class DeviceRate:
    """How many pictures a second one device encodes, in which precision it may be, and how many cores decode for it."""

    device: str
    pictures_a_second: float
    cores: int

    def extraction_s(self, pictures: int, devices: int, decode_ms: float) -> float:
        """Seconds to decode and encode the pictures, whichever of the two is slower."""
        decoded = devices * self.cores * 1000 / decode_ms
        return pictures / min(devices * self.pictures_a_second, decoded)


def read_rates(path: Path) -> list[dict[str, Any]]:
    """The entries of a file of rates, ready for JSON.

    Raises:
        InputError: the file cannot be read, or an entry is not as it must be.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        rates = [DeviceRate(str(e["device"]), float(e["pictures_a_second"]), int(e["cores"])) for e in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"`--rates` (='{path}') must be a JSON list of device, pictures_a_second and cores ({error})."
        ) from error
    if not rates or any(rate.pictures_a_second <= 0 or rate.cores < 1 for rate in rates):
        raise InputError(f"`--rates` (='{path}') must hold rates above 0, and at least one core a device.")
    return [asdict(rate) for rate in rates]


def imagenet_rows(rates: list[dict[str, Any]], results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each device and number of devices, in words; empty where a part that it needs was not measured."""
    if not {"picture", "finetune", "evaluate"} <= set(results):
        return []
    decode_ms = next(row["decode_ms"] for row in results["picture"]["rows"] if row["megapixels"] == 0.2)
    epoch_s = TRAINING_PICTURES / TRAINED_PICTURES / results["finetune"]["epochs_per_second_on_2000_cached_pictures"]
    rows = []
    for rate in (DeviceRate(**entry) for entry in rates):
        for devices in GPUS:
            boxes_s = VALIDATION_PICTURES * MAPS / (results["evaluate"]["maps_per_second"] * devices * rate.cores)
            encode_s = rate.extraction_s(VALIDATION_PICTURES, devices, decode_ms)
            decoding = devices * rate.cores * 1000 / decode_ms < devices * rate.pictures_a_second
            rows.append(
                {
                    "device": f"{devices} x {rate.device}, {devices * rate.cores} cores",
                    "extraction": duration(rate.extraction_s(TRAINING_PICTURES, devices, decode_ms)),
                    f"{EPOCHS} epochs": duration(EPOCHS * epoch_s),
                    "evaluation of 50,000 pictures": duration(encode_s + boxes_s),
                    "waits for": "decoding" if decoding else "the encoder",
                }
            )
    return rows
