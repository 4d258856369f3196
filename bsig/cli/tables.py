"""Tables of README and docs as Markdown: `python -m bsig results`, `paper`, `diagnostics` and `heads`.

`head_table` builds one small network of each family of heads with random weights, takes it apart and lists which CAM
variants it allows, where its features are taken and on which grid.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bsig.cli.arguments.shared import written_to
from bsig.evaluation.frontier import frontiers
from bsig.evaluation.output.frontier_svg import frontier_file, frontier_svg
from bsig.evaluation.output.markdown import results_markdown
from bsig.evaluation.output.paper import beside_section, paper_page, recam_section
from bsig.evaluation.output.shipped import read_results
from bsig.evaluation.published.costs import decoding_ms, map_counts, measured_rates
from bsig.explain.diagnostics.catalogue import DIAGNOSTICS
from bsig.explain.methods import CAM_METHODS, default_method, methods_of
from bsig.inputs.errors import InputError
from bsig.inputs.files import write_whole
from bsig.model.backbones import BackboneOptions, classifier_from_timm
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.names import RESULTS
from bsig.model.cutting.cut import LAST

# Family -> (the network that is built, its pooling, further timm names).
FAMILIES: dict[str, tuple[str, str | None, str]] = {
    "average pool and one linear layer": ("resnet18", None, "resnet50, efficientnet_b0, densenet121, regnety_016"),
    "the same on channels-last features": (
        "swin_tiny_patch4_window7_224", None, "swin_base_patch4_window7_224, swinv2_cr_tiny_224",
    ),
    "maximum pool": ("resnet18", "max", "resnet50"),
    "average and maximum pool": ("resnet18", "avgmax", "resnet50 (avgmax, catavgmax)"),
    "convolution behind the pool": ("mobilenetv3_small_050", None, "mobilenetv3_large_100, mobilenetv4_conv_small"),
    "norm (and MLP) behind the pool": ("convnext_atto", None, "convnext_tiny, convnextv2_nano, davit_tiny"),
    "three layers on the grid": ("vgg11", None, "vgg16, vgg16_bn, vgg19"),
    "class token": ("vit_tiny_patch16_224", None, "vit_base_patch16_224, deit_small_patch16_224, convit_small"),
    "class token, distilled": ("deit_tiny_distilled_patch16_224", None, "deit_base_distilled_patch16_224"),
    "class attention": ("xcit_nano_12_p16_224", None, "xcit_small_12_p16_224, cait_xxs24_224, cait_s24_224"),
    "average of tokens": ("vit_tiny_patch16_224", "avg", "vit_medium_patch16_reg4_gap_256, beit_base_patch16_224"),
    "attention pooling": ("test_vit3", None, "vit_base_patch16_siglip_224 with a classifier"),
}  # fmt: skip


def run_results(options: argparse.Namespace) -> None:
    """Prints the results that ship with the checkpoints, or draws their frontiers into a folder."""
    folders = _measured_folders(options.checkpoints)
    if options.frontier is None:
        print(results_markdown(folders))
        return
    for run, frontier in frontiers([run for folder in folders for run in read_results(folder)]):
        file = options.frontier / frontier_file(run)
        with written_to("--frontier", options.frontier, "folder"):
            options.frontier.mkdir(parents=True, exist_ok=True)
            write_whole(file, frontier_svg(frontier, f"{run['checkpoint']} on {run['data']} ({run['split']})"))
        print(file)


def _measured_folders(checkpoints: Path) -> list[Path]:
    """The checkpoint folders that results ship with."""
    folders = [checkpoints / row["name"] for row in list_checkpoints(checkpoints) if "error" not in row]
    return [folder for folder in folders if (folder / RESULTS).is_file()]


def run_paper(options: argparse.Namespace) -> None:
    """Prints the page of the paper's tables, or the comparison with one file of results.

    Raises:
        InputError: the file cannot be read, or holds no cell that was published.
    """
    if options.results is None:
        print(paper_markdown(options.checkpoints))
        return
    results = _evaluation_in(options.results)
    sections = [beside_section(results), recam_section(results)]
    if not any(sections):
        raise InputError(
            f"`--results` (='{options.results}') holds no cell that was published; evaluate with --methods "
            "cam,grad-cam --weights paper,signed on pictures with boxes or masks."
        )
    print("\n\n".join(filter(None, sections)))


def paper_markdown(checkpoints: Path) -> str:
    """The page of the paper's tables, with all results that ship with these checkpoints."""
    runs = [run for folder in _measured_folders(checkpoints) for run in read_results(folder)]
    maps = {method: map_counts(method) for method in ("cam", "grad-cam")}
    return paper_page(runs, measured_rates(), maps, decoding_ms()).rstrip("\n")


def _evaluation_in(file: Path) -> Mapping[str, Any]:
    """The results that `evaluate --out` wrote.

    Raises:
        InputError: there is no such file, or it is no such JSON.
    """
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"`--results` (='{file}') cannot be read ({error}); give a file of evaluate --out.") from error
    if not isinstance(results, dict) or not {"tables", "counts", "checkpoint", "data", "split"} <= set(results):
        raise InputError(f"`--results` (='{file}') is no evaluation; give a file of evaluate --out.")
    return results


def run_diagnostics(_options: argparse.Namespace) -> None:
    """Prints the table of all diagnostics."""
    print(diagnostics_table())


def run_heads(_options: argparse.Namespace) -> None:
    """Prints the table of head families."""
    print(head_table())


def diagnostics_table() -> str:
    """All diagnostics with unit, direction of better and meaning: the README's table."""
    rows = [f"| {row.title} | {row.unit} | {row.better or ''} | {row.meaning} |" for row in DIAGNOSTICS.values()]
    return "\n".join(["| number | unit | better | meaning |", "| --- | --- | --- | --- |", *rows])


def head_table() -> str:
    """The families of heads as a Markdown table, each measured on a network with random weights; takes some seconds."""
    lines = [
        "| head | CAM exact | default | methods | features taken at | grid | networks |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for family, (name, pool, examples) in FAMILIES.items():
        classifier = classifier_from_timm(name, pretrained=False, options=BackboneOptions(global_pool=pool))
        head, (rows, columns) = classifier.head, classifier.grid_hw or (0, 0)
        cells = (
            family,
            "yes" if head.cam_is_exact else "no",
            f"`{default_method(head)}`",
            _methods(methods_of(head)),
            "the last feature map" if classifier.features_at == LAST else f"`{classifier.features_at}`",
            f"{rows} x {columns}",
            f"{name if pool is None else f'{name} ({pool})'}, {examples}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _methods(keys: Collection[str]) -> str:
    left_out = [f"`{key}`" for key in CAM_METHODS if key not in keys]
    return f"all but {', '.join(left_out)}" if left_out else "all"
