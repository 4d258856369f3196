"""`python -m bsig embed-classes`: class names as text embeddings, for `new-model --class-embeddings`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bsig.cli.arguments.shared import written_to


def add_embed_classes_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `embed-classes`."""
    parser.add_argument("names", metavar="NAMES", type=Path,
                        help="one name a line, JSON {index: name}, or a folder of class folders")  # fmt: skip
    parser.add_argument("--text-model", required=True, metavar="NAME",
                        help="open_clip's name of the model, as ViT-B-16-SigLIP, or hf-hub:owner/repo")  # fmt: skip
    parser.add_argument("--pretrained", metavar="TAG", help="open_clip's name of its weights, as webli, or a file")
    parser.add_argument("--templates", type=Path, metavar="FILE", help="one text a line with {} for the name")
    parser.add_argument("--out", type=Path, required=True, help=".npz or .safetensors file to write")


def run_embed_classes(options: argparse.Namespace) -> None:
    """Writes the file; prints its path.

    Raises:
        InputError: the names, the model or the templates cannot be used, or open_clip is not installed.
    """
    from bsig.model.class_names import read_class_names, read_lines
    from bsig.model.text_tower import TEMPLATES, check_suffix, open_clip_embeddings, write_class_embeddings

    check_suffix(options.out)
    names = read_class_names(options.names)
    templates = read_lines(options.templates, "--templates") if options.templates else TEMPLATES
    embeddings = open_clip_embeddings(names, options.text_model, options.pretrained, templates)
    with written_to("--out", options.out, "file"):
        options.out.parent.mkdir(parents=True, exist_ok=True)
        print(write_class_embeddings(embeddings, options.out))
