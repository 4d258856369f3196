"""What a checkpoint folder and its files are called."""

from __future__ import annotations

import re

TENSORS, DESCRIPTION, RESULTS = "checkpoint.safetensors", "checkpoint.json", "results.json"
DEFAULT_CHECKPOINT = "imagenet1k-efficientnet_lite0"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
