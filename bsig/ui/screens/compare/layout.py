"""The components of the Compare screen and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from bsig.explain.cams import TRAINED, Branch
from bsig.explain.drawing.colours import COLORMAPS, VIEWS
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.ui.components.examples import bundled_examples
from bsig.ui.components.fields import Fields
from bsig.ui.components.html import heading
from bsig.ui.components.inputs import Choice, MapImage, PictureInput, ReadingSlider
from bsig.ui.links.view import OWN_SETTING, SETTINGS, SHOWS
from bsig.ui.screens.compare.inputs import BUDGET, MOST_MORE, CompareInputs
from bsig.ui.screens.compare.words import LOADING, TITLES, TREATMENT_CHOICES, example_reason, method_label
from bsig.ui.workbench import Workbench

CROP_SIZE = (448, 448)
DOWNLOADS = {
    "download": "Download pictures, maps and numbers",
    "report": "Report (HTML)",
    "card": "Slide (PNG)",
}


@dataclass(frozen=True)
class MapRow:
    """One class in both branches: the verdict, two maps, and for the asked class the class-centred one further down.

    Attributes:
        box: around all of it.
        verdict: what the two maps say of the class.
        head: the title of the sigmoid branch's map, which names its reading.
        pictures: by branch.
        scale: the colour bar of its maps.
    """

    box: gr.Column
    verdict: gr.HTML
    head: gr.HTML
    pictures: dict[Branch, gr.Image]
    scale: gr.HTML

    @property
    def components(self) -> list[Any]:
        """All of them."""
        return [self.box, self.verdict, self.head, self.scale, *self.pictures.values()]


@dataclass(frozen=True)
class WhyRow:
    """Why the class and not another one: a sentence, and three maps of the softmax branch.

    Attributes:
        words: what the maps show.
        pictures: of the class, of the other class, and of their difference.
    """

    words: gr.HTML
    pictures: tuple[gr.Image, ...]

    @property
    def components(self) -> list[Any]:
        """All of them."""
        return [self.words, *self.pictures]


@dataclass(frozen=True)
class HistoryControls:
    """The way back to earlier views.

    Attributes:
        row: around both controls.
        undo: leads one view back.
        earlier: leads to any of the views before.
        views: all views of this visit, the one that is shown last.
        entry: not seen: the view that is shown, for the browser's own history, as JSON.
        press: not seen: which press of Back or Forward, counted by the page, was answered last. It is a component and
            no state, so that an event sends it together with the controls that the answer has set.
    """

    row: gr.Row
    undo: gr.Button
    earlier: gr.Dropdown
    views: gr.State
    entry: gr.Textbox
    press: gr.Textbox

    @property
    def components(self) -> list[Any]:
        """The parts that a new view changes."""
        return [self.row, self.earlier, self.views]


@dataclass(frozen=True)
class CompareLayout:
    """Every component of the screen.

    Attributes:
        fields: the controls.
        class_row: the class that is asked for.
        contrast: a class that is not there beside one that is, or the other way round.
        more: further classes that were added.
        finetune: opens Fine-tune for a model whose sigmoid branch is still the clone.
        why: the class against another one.
        numbers: of both classes, one table.
        cells: what the page's script knows of every cell.
        prepare, downloads: by key of `DOWNLOADS`; the buttons that are seen and the hidden ones that hand files out.
        reason: why the example is there.
        example: key of the bundled picture that is shown; the same file may be two of them.
        ready: counts the answers, so that other screens draw theirs when it changes.
        history: the views before this one.
        sharpening: another value whenever maps are drawn that finer ones are to follow; None where none are.
        finer_count: counts the pictures that have been encoded on the finer grid since.
    """

    class_row: MapRow
    contrast: MapRow
    more: tuple[MapRow, ...]
    finetune: gr.Button
    why: WhyRow
    numbers: gr.HTML
    cells: gr.HTML
    single: gr.Image
    wipe: gr.ImageSlider
    wipe_at: gr.Slider
    maps: gr.Row
    crop: gr.Image
    note: gr.HTML
    prepare: dict[str, gr.Button]
    downloads: dict[str, gr.DownloadButton]
    gallery: gr.Gallery
    fields: Fields[CompareInputs]
    reason: gr.HTML
    example: gr.State
    ready: gr.State
    history: HistoryControls
    sharpening: gr.State
    finer_count: gr.State

    @property
    def setting_sliders(self) -> list[gr.Slider]:
        """The sliders of the reading's settings, in their order."""
        return [getattr(self.fields, name) for name in SETTINGS]

    @property
    def answer_parts(self) -> list[Any]:
        """The parts that an explanation changes."""
        return [
            *(part for row in (self.class_row, self.contrast, *self.more) for part in row.components),
            *self.why.components, self.finetune, self.numbers, self.cells, self.single, self.wipe, self.wipe_at,
            self.maps, self.crop, self.note, self.fields.weights, self.fields.view, self.fields.budget,
            self.fields.reading, *self.setting_sliders, self.sharpening,
        ]  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """The parts that another picture or checkpoint changes."""
        fields = self.fields
        return [
            *self.answer_parts,
            fields.class_name,
            fields.method,
            fields.other_class,
            fields.more_classes,
            fields.finer_grid,
        ]


def lay_out_compare(bench: Workbench) -> CompareLayout:
    """The screen's components, laid out and not connected: what is asked on the left, what is answered on the right."""
    gallery = _examples()
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        with gr.Column(scale=3, min_width=280, elem_id="question"):
            image, class_name, reason = _picture()
            history = _history()
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                settings = _settings(bench)
            with gr.Accordion("View", open=False, elem_id="view-settings"):
                view = _view()
        with gr.Column(scale=8, min_width=320, elem_id="answer"):
            with gr.Column(elem_classes="bsig-class-row") as box:
                verdict = gr.HTML(LOADING, elem_id="finding")
                finetune = gr.Button(
                    "Fine-tune the sigmoid branch", variant="primary", size="sm", visible=False, elem_id="finetune-this"
                )
                large = _large_pictures()
                with gr.Row(equal_height=False, elem_classes="bsig-grid", elem_id="maps") as maps:
                    head, pictures = _two_maps("map")
                scale = gr.HTML(elem_id="scale")
            contrast = _further_row("contrast")
            more = tuple(_further_row(f"more-{number}") for number in range(1, MOST_MORE + 1))
            more_classes = _more_classes()
            numbers, cells = gr.HTML(elem_id="numbers"), gr.HTML(elem_id="cells", elem_classes="bsig-offscreen")
            with gr.Accordion("Why this class and not another?", open=False, elem_id="why"):
                other_class, why = _why()
            with gr.Accordion(
                "What no shift can move, and the picture as the model saw it", open=False, elem_id="unmoved"
            ):
                crop, pictures["centred"] = _centred()
            note = gr.HTML(elem_id="note")
            files = _files()
    return CompareLayout(
        why=why,
        class_row=MapRow(box, verdict, head, pictures, scale),
        contrast=contrast,
        more=more,
        finetune=finetune,
        numbers=numbers,
        cells=cells,
        **large,
        maps=maps,
        crop=crop,
        note=note,
        **files,
        gallery=gallery,
        reason=reason,
        fields=Fields(
            CompareInputs, image=image, class_name=class_name, other_class=other_class, more_classes=more_classes,
            **settings, **view,
        ),
        example=gr.State(""),
        ready=gr.State(0),
        history=history,
        sharpening=gr.State(None),
        finer_count=gr.State(0),
    )  # fmt: skip


def _examples() -> gr.Gallery:
    """The bundled pictures as a strip above everything."""
    return gr.Gallery(
        [(str(example.path), example.title) for example in bundled_examples()],
        label="Examples: one click", show_label=False, columns=len(bundled_examples()), height="auto",
        allow_preview=False, object_fit="cover", elem_id="examples", buttons=[], interactive=False,
    )  # fmt: skip


def _two_maps(prefix: str, *, with_lines: bool = True) -> tuple[gr.HTML, dict[Branch, gr.Image]]:
    """The softmax and the sigmoid map side by side, each below its name and, once on the screen, what it is.

    Also the title of the sigmoid's map.
    """
    pictures: dict[Branch, gr.Image] = {}
    for branch in TRAINED:
        with gr.Column(min_width=0):
            head = gr.HTML(heading(*TITLES[branch] if with_lines else TITLES[branch][:1]))
            pictures[branch] = _map_image(f"{prefix}-{branch}")
    return head, pictures


def _further_row(prefix: str) -> MapRow:
    """A row of maps below the first one, hidden until there is a class for it."""
    with gr.Column(visible=False, elem_classes="bsig-class-row", elem_id=f"{prefix}-row") as box:
        verdict = gr.HTML(elem_id=f"{prefix}-finding")
        with gr.Row(equal_height=False, elem_classes="bsig-grid"):
            head, pictures = _two_maps(prefix, with_lines=False)
        return MapRow(box, verdict, head, pictures, gr.HTML(elem_id=f"{prefix}-scale"))


def _more_classes() -> gr.Dropdown:
    """The classes of further rows."""
    return Choice(
        [], label="More classes", multiselect=True, max_choices=MOST_MORE, filterable=True, value=[],
        elem_id="more-classes", info=f"Up to {MOST_MORE} more rows, then all on one scale.",
    )  # fmt: skip


def _history() -> HistoryControls:
    """One step back, and the views before this one; hidden until there is one."""
    with gr.Row(visible=False, elem_id="history", equal_height=True) as row:
        undo = gr.Button("Undo", size="sm", min_width=64, scale=0, elem_id="undo")
        earlier = Choice([], show_label=False, container=False, filterable=False, label="Earlier views",
                         min_width=120, elem_id="earlier")  # fmt: skip
    return HistoryControls(row, undo, earlier, gr.State([]), gr.Textbox(visible=False), gr.Textbox(visible=False))


def _map_image(element_id: str, *, is_named: bool = False) -> MapImage:
    """A map; `is_named` shows its label above it."""
    return MapImage(
        show_label=is_named, format="png", interactive=False, elem_id=element_id, buttons=["download", "fullscreen"],
        elem_classes="bsig-map",
    )  # fmt: skip


def _why() -> tuple[gr.Dropdown, WhyRow]:
    """The other class, and the maps of the class, of the other, and of what sets them apart."""
    other_class = Choice([], label="The other class", filterable=True, elem_id="other-class",
                         info="The runner-up, unless you choose another.")  # fmt: skip
    words = gr.HTML(elem_id="why-words")
    with gr.Row(equal_height=False, elem_classes="bsig-three"):
        pictures = tuple(_map_image(f"why-{part}", is_named=True) for part in ("class", "other", "pairwise"))
    return other_class, WhyRow(words, pictures)


def _centred() -> tuple[gr.Image, gr.Image]:
    """The crop, and the class-centred map, which is the same for every shift."""
    with gr.Row(equal_height=False, elem_classes="bsig-grid"):
        with gr.Column(min_width=0):
            gr.HTML(heading("The picture", "as the model saw it"))
            crop = _map_image("crop")
        with gr.Column(min_width=0):
            gr.HTML(heading(*TITLES["centred"]))
            return crop, _map_image("map-centred")


def _large_pictures() -> dict[str, Any]:
    """The pictures in place of the maps: the difference, and the wipe with its slider."""
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


def _files() -> dict[str, Any]:
    """The buttons that make files, and hidden ones that hand them out once they are made."""
    with gr.Row():
        prepare = {
            key: gr.Button(title, size="sm", min_width=160, elem_id=f"prepare-{key}")
            for key, title in DOWNLOADS.items()
        }
        downloads = {key: gr.DownloadButton(key, elem_id=key, elem_classes="bsig-offscreen") for key in DOWNLOADS}
    return {"prepare": prepare, "downloads": downloads}


def _picture() -> tuple[gr.Image, gr.Dropdown, gr.HTML]:
    """The picture, the first example at the start; the class that is asked for; why the picture is an example."""
    first = bundled_examples()[0]
    image = PictureInput(
        value=str(first.path), type="filepath", image_mode=None, label="Picture",
        sources=["upload", "clipboard", "webcam"], height=200, elem_id="picture",
    )  # fmt: skip
    class_name = Choice([], label="Is this in the picture?", filterable=True, elem_id="class",
                        info="Choose a class, or type to find one.")  # fmt: skip
    return image, class_name, gr.HTML(example_reason(first), elem_id="reason")


def _settings(bench: Workbench) -> dict[str, Any]:
    """The controls of the checkpoint and of how its maps are made."""
    return {
        "checkpoint": Choice(
            bench.checkpoint_names(), value=bench.default_checkpoint, label="Checkpoint", elem_id="checkpoint",
            info="The trained model that is asked.",
        ),
        "method": Choice(
            [(method_label(key), key) for key in CAM_METHODS], value="cam", label="CAM variant", elem_id="method",
            info="How the heatmap weighs what the network saw.",
        ),
        "reading": Choice(
            [], label="Reading of the maps", elem_id="reading", filterable=False,
            info="What is made of the map afterwards, from the same features.",
        ),
        "finer_grid": gr.Checkbox(
            False, label="Finer grid", elem_id="finer-grid",
            info="Twice as many rows and columns, in 2.5 times the time. Probabilities stay as they are.",
        ),
        **{
            name: ReadingSlider(
                OWN_SETTING, 16, OWN_SETTING, step=0.05, label="Strength", visible=False,
                elem_id=name.replace("_", "-"), info="It starts with the checkpoint's own value." if at == 0 else None,
            )
            for at, name in enumerate(SETTINGS)
        },
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
            [("For and against", "signed"), ("For the class", "positive")], value="signed", label="Evidence",
            info=f"{VIEWS['signed']}.", elem_id="view",
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
