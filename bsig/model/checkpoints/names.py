"""What a checkpoint folder, its files and the words in them are called."""

from __future__ import annotations

import re
from typing import Literal

TENSORS, DESCRIPTION, RESULTS = "checkpoint.safetensors", "checkpoint.json", "results.json"
BranchKind = Literal["full", "shift"]
LAST = "last"
"""The feature stage of most models: the last feature map on which places matter."""
DEFAULT_BACKBONE = "tf_efficientnet_lite0"
DEFAULT_CHECKPOINT = "imagenet1k-efficientnet_lite0"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
