"""The arguments of `checkpoints`, `new-model`, `import-checkpoint` and `publish`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.arguments.shared import add_checkpoints_folder_argument, add_device_argument

# RESAMPLING, ACTIVATIONS, and ARCHITECTURES and METHODS of the published code, which cannot be imported yet;
# tests/cli/test_models.py holds them together.
INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
ACTIVATIONS = ("elu", "gelu", "hardswish", "leaky_relu", "none", "relu", "sigmoid", "silu", "tanh")
ARCHITECTURES = ("resnet50", "vgg16", "inception_v3")
PUBLISHED_METHODS = ("cam", "gradcam")


def add_checkpoints_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `checkpoints`."""
    add_checkpoints_folder_argument(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def add_new_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `new-model`."""
    parser.add_argument("backbone", metavar="NAME", help="timm name, or hf:owner/repo of a timm model")
    parser.add_argument("--weights", type=Path, default=None, help=".safetensors or .pth (default: published)")
    _add_weights_key_argument(parser)
    parser.add_argument("--class-embeddings", type=Path, metavar="FILE",
                        help="zero-shot: NAME is an image tower, the file holds a text embedding a class")  # fmt: skip
    parser.add_argument("--logit-scale", type=float, metavar="X", help="zero-shot: factor before the cosine")
    parser.add_argument("--logit-bias", type=float, metavar="X", help="zero-shot: what the sigmoid branch adds")
    parser.add_argument("--feature-stage", default="last", help="last, stride16, stride8, or a layer's name")
    parser.add_argument("--global-pool", default=None, help="another pooling: avg, max, avgmax, catavgmax")
    _add_settings_arguments(parser)
    parser.add_argument("--model-kwargs", nargs="+", default=[], metavar="KEY=VALUE",
                        help="settings of timm's network, e.g. pad_type=same bn_eps=1e-3")  # fmt: skip
    _add_in_chans_argument(parser)
    parser.add_argument("--head-activation", choices=ACTIVATIONS, help="of a replaced classifier")
    parser.add_argument("--sigmoid-output", action="store_true",
                        help="the one output is a sigmoid's logit: two classes, absent and present")  # fmt: skip
    _add_pictures_argument(parser)
    add_device_argument(parser)
    _add_out_argument(parser)


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `import-checkpoint`."""
    parser.add_argument("file", metavar="FILE", type=Path, help=".pth.tar file")
    parser.add_argument("--architecture", required=True, choices=ARCHITECTURES)
    parser.add_argument("--method", required=True, choices=PUBLISHED_METHODS)
    parser.add_argument("--large-feature-map", action="store_true", help="the network with a 28 x 28 grid")
    _add_weights_key_argument(parser)
    _add_settings_arguments(parser)
    _add_in_chans_argument(parser)
    _add_pictures_argument(parser)
    _add_out_argument(parser)


def add_publish_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `publish`."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="name or folder")
    parser.add_argument("repository", metavar="OWNER/REPO")
    parser.add_argument("--private", action="store_true", help="make the repository private")
    add_checkpoints_folder_argument(parser)


def _add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds class names and preprocessing."""
    parser.add_argument("--class-names", type=Path, metavar="PATH",
                        help="one name a line, JSON {index: name}, or a folder or zip of class folders")  # fmt: skip
    parser.add_argument("--input-size", metavar="SIZE", help="pixels: 160, or rows x columns as 160x224")
    parser.add_argument("--mean", type=float, nargs="+", metavar="X", help="pixels from 0 to 1; one number or R G B")
    parser.add_argument("--std", type=float, nargs="+", metavar="X", help="one number or R G B")
    parser.add_argument("--interpolation", choices=INTERPOLATIONS)
    parser.add_argument("--crop-mode", choices=("center", "squash"))
    parser.add_argument("--crop-pct", type=float, help="share of the shorter side that a centre crop keeps")


def _add_weights_key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights-key", metavar="KEY", help="which set of weights of the file, where it holds several")


def _add_in_chans_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--in-chans", type=int, help="input channels that the file must have: 1 (grey) or 3")


def _add_pictures_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", metavar="DATA", type=Path,
                        help="labelled pictures or a zip: prints top-1 with this and other preprocessings")  # fmt: skip


def _add_out_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the checkpoint that `--out` holds")
