"""The components of the Compare screen and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.cams import Branch
from bsig.explain.drawing.colours import COLORMAPS, VIEWS
from bsig.explain.drawing.comparison import BRANCHES
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.ui.components.examples import bundled_examples
from bsig.ui.components.fields import Fields
from bsig.ui.components.html import heading
from bsig.ui.components.inputs import Choice, MapImage, PictureInput
from bsig.ui.links.view import SHOWS
from bsig.ui.screens.compare.inputs import BUDGET, CompareInputs
from bsig.ui.screens.compare.words import TITLES, TREATMENT_CHOICES, example_reason, method_label
from bsig.ui.workbench import Workbench

CROP_SIZE = (448, 448)
DOWNLOADS = {
    "download": "Download pictures, maps and numbers",
    "report": "Report (HTML)",
    "card": "Slide (PNG)",
}


@dataclass(frozen=True)
class CompareLayout:
    """Every component of the screen.

    Attributes:
        fields: the controls.
        prepare, downloads: by key of `DOWNLOADS`; the buttons that are seen and the hidden ones that hand files out.
        reason: why the example is there.
        example: key of the bundled picture that is shown; the same file may be two of them.
        ready: counts the answers, so that other screens draw theirs when it changes.
    """

    finding: gr.HTML
    single: gr.Image
    wipe: gr.ImageSlider
    wipe_at: gr.Slider
    maps: gr.Row
    crop: gr.Image
    crop_facts: gr.HTML
    pictures: dict[Branch, gr.Image]
    facts: dict[Branch, gr.HTML]
    scale: gr.HTML
    note: gr.HTML
    prepare: dict[str, gr.Button]
    downloads: dict[str, gr.DownloadButton]
    gallery: gr.Gallery
    fields: Fields[CompareInputs]
    reason: gr.HTML
    example: gr.State
    ready: gr.State

    @property
    def drawn(self) -> list[Any]:
        """Whatever an explanation changes."""
        return [
            self.finding, self.single, self.wipe, self.wipe_at, self.maps, self.crop, self.crop_facts, self.scale,
            self.note, *self.pictures.values(), *self.facts.values(), self.fields.weights, self.fields.view,
            self.fields.budget,
        ]  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """Whatever another picture or checkpoint changes."""
        return [*self.drawn, self.fields.class_name, self.fields.method]


def lay_out_compare(bench: Workbench) -> CompareLayout:
    """The screen's components, laid out and not connected."""
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        with gr.Column(scale=7, min_width=320):
            finding = gr.HTML(elem_id="finding")
            large = _large_pictures()
            maps = _maps()
            scale = gr.HTML(elem_id="scale")
            note = gr.HTML(elem_id="note")
            files = _files()
            gallery = gr.Gallery(
                [(str(example.path), example.title) for example in bundled_examples()],
                label="Examples: one click", columns=7, height="auto", allow_preview=False, object_fit="cover",
                elem_id="examples", elem_classes="bsig-channels", buttons=[], interactive=False,
            )  # fmt: skip
        with gr.Column(scale=3, min_width=300):
            image, reason = _picture()
            question = _question(bench)
            with gr.Accordion("View", open=True):
                view = _view()
    return CompareLayout(
        finding=finding,
        **large,
        **maps,
        scale=scale,
        note=note,
        **files,
        gallery=gallery,
        reason=reason,
        fields=Fields(CompareInputs, image=image, **question, **view),
        example=gr.State(""),
        ready=gr.State(0),
    )


def _large_pictures() -> dict[str, Any]:
    """What stands in place of the maps: the difference, and the wipe with its slider."""
    single = MapImage(
        label="Sigmoid less softmax", format="png", visible=False, elem_classes="bsig-map",
        buttons=["download", "fullscreen"], height=520, interactive=False,
    )  # fmt: skip
    wipe = gr.ImageSlider(
        label="Left: softmax branch. Right: sigmoid branch.", format="png", visible=False, elem_id="wipe",
        buttons=["fullscreen"], interactive=False, max_height=520,
    )  # fmt: skip
    wipe_at = gr.Slider(
        0, 100, 50, step=1, label="Where the line is (%)", visible=False, elem_id="wipe-at",
        info="Arrow keys move it.",
    )  # fmt: skip
    return {"single": single, "wipe": wipe, "wipe_at": wipe_at}


def _maps() -> dict[str, Any]:
    """The crop and the maps of all branches side by side, each above its facts."""
    pictures: dict[Branch, gr.Image] = {}
    facts: dict[Branch, gr.HTML] = {}
    with gr.Row(equal_height=False, elem_classes="bsig-grid") as row:
        with gr.Column(min_width=0):
            gr.HTML(heading("The picture", "as the model saw it"))
            crop = MapImage(
                show_label=False, format="png", interactive=False, buttons=["fullscreen"], elem_id="crop",
                elem_classes="bsig-map",
            )  # fmt: skip
            crop_facts = gr.HTML(elem_id="facts-crop")
        for branch in BRANCHES:
            with gr.Column(min_width=0):
                gr.HTML(heading(*TITLES[branch]))
                pictures[branch] = MapImage(
                    show_label=False, format="png", interactive=False, elem_id=f"map-{branch}",
                    buttons=["download", "fullscreen"], elem_classes="bsig-map",
                )  # fmt: skip
                facts[branch] = gr.HTML(elem_id=f"facts-{branch}")
    return {"maps": row, "crop": crop, "crop_facts": crop_facts, "pictures": pictures, "facts": facts}


def _files() -> dict[str, Any]:
    """The buttons that make files, and hidden ones that hand them out once they are made."""
    with gr.Row():
        prepare = {
            key: gr.Button(title, size="sm", min_width=160, elem_id=f"prepare-{key}")
            for key, title in DOWNLOADS.items()
        }
        downloads = {key: gr.DownloadButton(key, elem_id=key, elem_classes="bsig-offscreen") for key in DOWNLOADS}
    return {"prepare": prepare, "downloads": downloads}


def _picture() -> tuple[gr.Image, gr.HTML]:
    """The picture, the first example at the start, and the reason why it is an example."""
    first = bundled_examples()[0]
    image = PictureInput(
        value=str(first.path), type="filepath", image_mode=None, label="Picture",
        sources=["upload", "clipboard", "webcam"], height=230, elem_id="picture",
    )  # fmt: skip
    return image, gr.HTML(example_reason(first), elem_id="reason")


def _question(bench: Workbench) -> dict[str, Any]:
    """Which class, of which checkpoint, explained in which way."""
    return {
        "class_name": Choice(
            [], label="Class to explain", filterable=True, elem_id="class",
            info="Likeliest of both branches first; type to find any other.",
        ),
        "checkpoint": Choice(
            bench.checkpoint_names(), value=bench.default_checkpoint, label="Checkpoint", elem_id="checkpoint",
            info="The trained model that is asked.",
        ),
        "method": Choice(
            [(method_label(key), key) for key in CAM_METHODS], value="cam", label="CAM variant", elem_id="method",
            info="How the heatmap weighs what the network saw.",
        ),
        "budget": gr.Slider(
            8, 1280, BUDGET, step=8, label="Score-CAM: strongest channels", visible=False, elem_id="budget",
            info="One run of the network each; 64 take some seconds.",
        ),
        "weights": gr.Radio(
            TREATMENT_CHOICES, value="signed", label="Treatment of negative weights", info=TREATMENTS["signed"],
            elem_id="weights",
        ),
    }  # fmt: skip


def _view() -> dict[str, Any]:
    """How the maps are drawn."""
    return {
        "show": gr.Radio(
            [(title, key) for key, title in SHOWS.items()], value="overlay", label="Show", elem_id="show",
        ),
        "view": gr.Radio(
            [("For the class", "positive"), ("For and against", "signed")], value="positive", label="Evidence",
            info=f"{VIEWS['positive']}.", elem_id="view",
        ),
        "bias": gr.Checkbox(
            False, label="With the bias: each cell's own logit", elem_id="bias",
            info="Moves where zero lies and no place. For CAM with signed weights.",
        ),
        "grid": gr.Checkbox(False, label="Grid cells as they are, not interpolated", elem_id="grid"),
        "contour": gr.Checkbox(False, label="Contour and box", elem_id="contour"),
        "threshold": gr.Slider(
            5, 95, 50, step=5, label="… at this % of each map's maximum", elem_id="threshold",
            info="The box holds the largest part above this level.",
        ),
        "opacity": gr.Slider(
            10, 100, 80, step=5, label="Heatmap opacity (%)", elem_id="opacity",
            info="How far the colours cover the photo.",
        ),
        "colormap": gr.Dropdown(
            [(title, key) for key, title in COLORMAPS.items()], value="inferno", label="Colour map",
            info="Diverging maps are used for evidence for and against.", elem_id="colormap",
        ),
        "own_scale": gr.Checkbox(
            False, label="Scale each map on its own (brightness is then not comparable)", elem_id="own-scale",
        ),
    }  # fmt: skip
