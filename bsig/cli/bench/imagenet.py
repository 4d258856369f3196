"""ImageNet-1k, worked out from rates that were measured on a GPU: extraction, training and evaluation on one and eight.

    seconds = pictures / (GPUs x pictures a second of one GPU with its cores)

`python -m bsig bench --rates FILE` reads the rates, a JSON object:

    {"device": "NVIDIA H200", "cores": 16,                        cores that decode for one GPU
     "networks": {"efficientnet_lite0": {"encoder": {"float32": 15655, "channels last, float16 autocast": 22294}}},
     "extraction, decoding included": 1041,                       pictures a second, from files to stored features
     "stored features a second in an epoch, 1000 classes": 167612,
     "evaluation of cam, signed": 63.5}                           pictures a second, boxes at all thresholds included
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bsig.explain.wording import duration
from bsig.inputs.errors import InputError

TRAINING_PICTURES, VALIDATION_PICTURES = 1_281_167, 50_000
EPOCHS = 3
GPUS = (1, 8)
NETWORK = "efficientnet_lite0"
EXTRACTION, EPOCH = "extraction, decoding included", "stored features a second in an epoch, 1000 classes"
EVALUATION = "evaluation of cam, signed"


def read_rates(path: Path) -> dict[str, Any]:
    """The rates of a file.

    Raises:
        InputError: the file cannot be read, or lacks a rate above 0.
    """
    try:
        rates = json.loads(path.read_text(encoding="utf-8"))
        imagenet_rows(rates)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(
            f"`--rates` (='{path}') must be a JSON object with device, cores, networks and rates above 0 "
            f"({type(error).__name__}: {error}); see bsig/cli/bench/imagenet.py."
        ) from error
    return rates


def imagenet_rows(rates: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for one GPU and one for eight, each with cores of its own: how long the four pieces of work take."""
    encoder = max(rates["networks"][NETWORK]["encoder"].values())
    return [
        {
            "device": f"{gpus} x {rates['device']}, {gpus * int(rates['cores'])} cores",
            "the encoder alone": duration(TRAINING_PICTURES / (gpus * encoder)),
            "extraction, once": duration(TRAINING_PICTURES / (gpus * rates[EXTRACTION])),
            f"{EPOCHS} epochs on stored features": duration(EPOCHS * TRAINING_PICTURES / (gpus * rates[EPOCH])),
            "evaluation of 50,000 pictures": duration(VALIDATION_PICTURES / (gpus * rates[EVALUATION])),
        }
        for gpus in GPUS
    ]


def waiting_for(rates: Mapping[str, Any]) -> str:
    """What the extraction waits for, in words: the encoder's rate beside that of the whole extraction."""
    encoder = max(rates["networks"][NETWORK]["encoder"].values())
    share = rates[EXTRACTION] / encoder
    if share > 0.5:
        return f"The extraction runs at {share:.0%} of the encoder's own rate: the GPU is what it waits for."
    return (
        f"The extraction runs at {share:.0%} of the encoder's own rate: {rates['cores']} cores decode too few pictures "
        "for one GPU. More cores, or a faster decoder, come before more GPUs."
    )
