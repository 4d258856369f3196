"""One explanation as a single HTML file: pictures, numbers, plots, settings, method, limits, citation.

    html = report_html(encoded, explanation, Drawing(), "cat.jpg")

It fetches nothing: pictures and plots are in the file, there is no script, and its own policy (`default-src 'none'`)
forbids the browser to fetch anything. Whatever a visitor or a checkpoint names (file, class, checkpoint) is escaped by
the template. Prints on A4 without a figure cut in two.
"""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from bsig.explain.cams import TRAINED
from bsig.explain.diagnostics.catalogue import diagnose
from bsig.explain.diagnostics.collapse_report import CollapseReport, collapse_report, fragility
from bsig.explain.diagnostics.collapse_report import finding as collapse_finding
from bsig.explain.diagnostics.shift_survey import delta_curves
from bsig.explain.drawing.colours import VIEWS, colormap_of, css_variables
from bsig.explain.drawing.comparison import (
    BRANCHES,
    PICTURE_SIZE,
    Drawing,
    alt_text,
    branch_pictures,
    branch_title,
    shared_limit_of,
)
from bsig.explain.drawing.panels import color_bar
from bsig.explain.drawing.png import png_bytes
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import TREATMENTS, cam_method, why_not_cam
from bsig.explain.report.glossary import TERMS
from bsig.explain.report.plots import area_svg, budget_svg, channels_svg, collapse_svg, movement_svg
from bsig.explain.verdict import finding
from bsig.explain.wording import (
    area_text,
    change_text,
    grid_text,
    number_text,
    percent,
    quantity,
    reading_text,
    signed,
    whole_percent,
)  # fmt: skip
from bsig.inputs.version import __version__
from bsig.model.versions import library_versions

BIBTEX = """@inproceedings{oh2025beyond,
  title     = {Beyond Softmax: Dual-Branch Sigmoid Architecture for Accurate Class Activation Maps},
  author    = {Oh and Noh},
  booktitle = {British Machine Vision Conference (BMVC)},
  year      = {2025},
  note      = {arXiv:2511.05590}
}"""
LIMITS = (
    "A heatmap says where evidence for an output lies, not why, and not that the output is right.",
    "The softmax branch's zero is a convention: a logit shift moves its map and no probability. Read its positive area "
    "with the class-centred map, which no shift moves.",
    "The two branches' maps are in one unit and on one scale, but the branches were trained with different losses: "
    "compare places and zero rather than heights.",
    "The model saw the crop that is shown here and nothing else of the picture.",
)
METHOD_WORDS = (
    "A classifier's backbone turns the picture into a coarse grid of features. Two heads read it. The softmax head is "
    "the published one and decides the class. The sigmoid head is a clone of it, trained to answer yes or no for each "
    "class; backbone and softmax head stay frozen, so no prediction changes.",
    "A class activation map is a weighted sum of the features: positive where a place speaks for the class, negative "
    "where it speaks against it. It is drawn as it is, without rectifying or stretching: zero is neutral, and all "
    "maps share one scale.",
    "Adding one vector to the weights of every class leaves every softmax probability as it was, and moves every "
    "softmax map. The sigmoid branch has no such freedom.",
)
SHIFT_WORDS = (
    "One number, added to every weight of every class. No softmax probability changes along these lines, so nothing in "
    "the training of the softmax head says which place on them is the right one; labels say it for the sigmoid branch."
)
GLOSSARY = ("cam", "logit", "softmax", "sigmoid", "centred", "treatment", "positive_area", "shift", "delta", "shared",
            "collapse", "margin", "channel", "evidence", "grid", "absent", "at_own", "iou", "correlation",
            "energy")  # fmt: skip


def report_html(encoded: EncodedImage, explanation: Explanation, drawing: Drawing, picture: str) -> str:
    """The whole report as one page of HTML; `picture` is the name of the picture's file."""
    unit = cam_method(explanation.method).unit
    report = collapse_report(encoded, explanation.class_index, explanation.method)
    has_scale = not drawing.own_scale and shared_limit_of(explanation, drawing) > 0
    return _template().render(
        light=css_variables(dark=False),
        dark=css_variables(dark=True),
        name=explanation.class_name,
        finding=finding(explanation),
        pictures=_pictures(encoded, explanation, drawing),
        scale=[_png(_scale(explanation, drawing, width)) for width in (1200, 420)] if has_scale else None,
        scale_words=_scale_words(explanation, drawing),
        branches=_branch_rows(explanation),
        top=_top_rows(encoded),
        plots=_plots(report),
        shifted=_shift_plots(encoded, explanation),
        shift_words=SHIFT_WORDS,
        collapse=(collapse_finding(report), fragility(report), report.note),
        diagnostics=[_diagnostic(row, unit) for row in diagnose(encoded, explanation).values()],
        settings=_settings(encoded, explanation, drawing, picture),
        method=METHOD_WORDS,
        limits=[*LIMITS, *filter(None, [why_not_cam(encoded.model.softmax_head)])],
        terms=[(TERMS[key].title, TERMS[key].meaning) for key in GLOSSARY],
        bibtex=BIBTEX,
        version=__version__,
        made=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    text = resources.files("bsig.explain.report").joinpath("template.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        text
    )


def _pictures(encoded: EncodedImage, explanation: Explanation, drawing: Drawing) -> list[dict[str, str]]:
    crop = encoded.crop.resize(PICTURE_SIZE, Image.Resampling.BICUBIC)
    predicted = f"predicted: {explanation.predicted_name}"
    pictures = [{"title": "What the model saw", "src": _png(crop), "words": predicted,
                 "alt": f"The picture as the model saw it; {predicted}"}]  # fmt: skip
    for branch, picture in branch_pictures(explanation, drawing).items():
        words = f"evidence for it on {area_text(explanation.evidence(branch))} of the picture"
        alt = alt_text(explanation, branch)
        pictures.append({"title": branch_title(explanation, branch), "src": _png(picture), "words": words, "alt": alt})
    return pictures


def _scale(explanation: Explanation, drawing: Drawing, width: int) -> Image.Image:
    limit, unit = shared_limit_of(explanation, drawing), cam_method(explanation.method).unit
    return color_bar(limit, view=drawing.view, colormap=drawing.colormap, unit=unit, width=width)


def _scale_words(explanation: Explanation, drawing: Drawing) -> str:
    if drawing.own_scale:
        return "Each map is drawn on its own scale: brightness cannot be compared between them."
    if shared_limit_of(explanation, drawing) == 0:
        return "There is no colour scale: no map has anything to colour."
    limit = number_text(shared_limit_of(explanation, drawing))
    low = f"from −{limit.lstrip('+')}" if drawing.view == "signed" else "from 0"
    return f"All maps share one scale, {low} to {limit} {cam_method(explanation.method).unit}."


def _branch_rows(explanation: Explanation) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for branch, evidence in explanation.evidences.items():
        ends = f"{number_text(float(evidence.map.min()))} to {number_text(float(evidence.map.max()))}"
        probability, logit = percent(evidence.probability), signed(evidence.logit, 2)
        if evidence.calibrated_probability is not None:
            probability = f"{percent(evidence.calibrated_probability)} (class-balanced: {probability})"
        rows.append((branch_title(explanation, branch), probability, logit, area_text(evidence), ends))
    return rows


def _top_rows(encoded: EncodedImage) -> list[tuple[str, str, str]]:
    softmax, presence = encoded.probabilities()[0], encoded.calibrated_probabilities()
    top = dict.fromkeys([*encoded.top_classes("softmax"), *encoded.top_classes("sigmoid")])
    names = encoded.model.class_names
    return [
        (names[index], percent(float(softmax[index])),
         "not calibrated" if presence is None else percent(float(presence[index])))
        for index in top
    ]  # fmt: skip


def _plots(report: CollapseReport) -> list[dict[str, str]]:
    unit = cam_method(report.explanation.method).unit
    budgets = {branch: report.splits[branch].budget for branch in TRAINED}
    sums = ", ".join(f"{branch}: {number_text(above)} for, {number_text(below)} against" for branch, (above, below) in
                     budgets.items())  # fmt: skip
    plots = [
        ("Every channel's weight in both branches", channels_svg(report), collapse_finding(report)),
        ("What speaks for the class, and what against it", budget_svg(budgets, unit), sums),
    ]
    for branch in TRAINED:
        margin = report.margins[branch]["cells"].delta
        half = "never half gone" if margin is None else f"half gone at {number_text(margin, signed=False)}"
        plots.append((f"How much it takes to lose the heatmap: {BRANCHES[branch].lower()}",
                      collapse_svg(report, branch), half))  # fmt: skip
    return _figures(plots)


def _shift_plots(encoded: EncodedImage, explanation: Explanation) -> list[dict[str, str]]:
    """The two plots over delta; none for a head that is not average pool and one linear layer.

    They are of CAM, whatever the method: its weights are the head's, so a shift of the head moves them as it says.
    """
    if not encoded.model.softmax_head.cam_is_exact:
        return []
    curves = delta_curves(encoded, explanation.class_index)
    areas, movement = curves["softmax"].positive_area, curves["softmax"].movement
    ends = f"from delta {number_text(curves['softmax'].deltas[0])} to {number_text(curves['softmax'].deltas[-1])}"
    change = change_text(whole_percent(areas[0]), whole_percent(areas[-1]))
    area = f"softmax {change} {ends}; class-centred stays at its value"
    lowest = min((step.correlation for step in movement if step.correlation is not None), default=None)
    verb = "stays at" if lowest is not None and f"{lowest:.2f}" == "1.00" else "falls to"
    order = "softmax is flat" if lowest is None else f"softmax {verb} {lowest:.2f} {ends}; class-centred stays at 1"
    return _figures([("What is left of the order of places (CAM)", movement_svg(curves), order),
                     ("Share of the picture that speaks for the class (CAM)", area_svg(curves), area)])  # fmt: skip


def _figures(plots: list[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Title, SVG and words of each plot, as the template reads them."""
    return [{"title": title, "src": _svg_source(svg), "alt": f"{title}: {words}"} for title, svg, words in plots]


def _diagnostic(row: dict[str, Any], unit: str) -> dict[str, str]:
    value = quantity(row["value"], row["unit"].replace("as the map", unit))
    return {"title": row["title"], "value": value, "better": row["better"] or "", "words": row["reason"] or
            row["meaning"]}  # fmt: skip


def _settings(encoded: EncodedImage, explanation: Explanation, drawing: Drawing, picture: str) -> list[tuple[str, str]]:
    method, preprocessing = cam_method(explanation.method), encoded.preprocessing
    versions = {"bsig": __version__, **library_versions()}
    look = {"view": VIEWS[drawing.view], "colour map": colormap_of(drawing.view, drawing.colormap),
             "opacity": whole_percent(drawing.heatmap_opacity) if drawing.overlay else "heatmap alone",
             "cells": "bilinear between cells" if drawing.smooth else "as they are",
             "contour and box": "none" if drawing.threshold_share is None
             else f"at {whole_percent(drawing.threshold_share)} of each map's maximum"}  # fmt: skip
    return [
        ("Picture", picture),
        ("Crop that the model saw", f"{encoded.crop.width} x {encoded.crop.height} pixels, {preprocessing.crop_mode}"),
        ("Class explained", f"{explanation.class_name} (number {explanation.class_index})"),
        ("Method", f"{method.title}. {method.note}"),
        ("Treatment of negative weights", f"{explanation.weights}: {TREATMENTS[explanation.weights]}"),
        ("Reading of the maps", reading_text(explanation)),
        ("Bias", "included in each map" if explanation.with_bias else "not included"),
        ("Grid", grid_text(explanation)),
        ("Drawn as", "; ".join(f"{key}: {value}" for key, value in look.items())),
        ("Checkpoint", explanation.checkpoint),
        ("Checkpoint's SHA-256", encoded.model.metadata.get("tensors_sha256") or "none: the model is not from a file"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]


def _png(picture: Image.Image) -> str:
    return f"data:image/png;base64,{base64.b64encode(png_bytes(picture)).decode()}"


def _svg_source(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
