"""The Batch screen: up to 200 pictures at once, the largest disagreement first, each to open in Compare.

Pictures of a zip are unpacked into the visitor's own files, where Compare finds them; the page and the table are made
by `bsig.explain.output.contact_page`.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bsig.explain.explainer import Explainer
from bsig.explain.output.contact_page import ContactPage
from bsig.explain.readings import comparison_readings
from bsig.explain.wording import whole_percent
from bsig.inputs.counts import counted, none_of
from bsig.inputs.errors import InputError
from bsig.inputs.images import header_problem
from bsig.inputs.names import TABLE
from bsig.inputs.picture_files import PictureFile, files_below
from bsig.inputs.zips import extract_zip
from bsig.model.dual_branch import DualBranch
from bsig.ui.components import html
from bsig.ui.components.downloads import new_download_folder
from bsig.ui.components.fields import Answers, Fields, InputValues
from bsig.ui.components.handlers import PRIVATE, in_words
from bsig.ui.components.inputs import OPEN_COMPARE_JS
from bsig.ui.components.long_job import JobParts, LongJob, connect_job
from bsig.ui.screens.compare.screen import CompareScreen
from bsig.ui.workbench import MAX_FILE_BYTES, Workbench

MOST_PICTURES = 200
PAGE = "contact-sheet.html"


@dataclass(frozen=True)
class BatchInputs:
    """The pictures, the checkpoint and the class of a batch.

    Attributes:
        files: paths of uploaded pictures and zips.
        checkpoint: of Compare.
        class_name: the class of every map; empty for each picture's predicted one.
    """

    files: Sequence[str] | None
    checkpoint: str | None
    class_name: str | None


@dataclass(frozen=True)
class BatchPicture:
    """A picture of the contact sheet, as Compare opens it."""

    path: str
    checkpoint: str | None
    class_name: str


@dataclass(frozen=True)
class BatchResult:
    """The contact sheet.

    Attributes:
        page: the sheet itself.
        pictures: in the order of the sheet.
        left_out: a sentence for each picture that could not be used.
    """

    page: ContactPage
    pictures: tuple[BatchPicture, ...]
    left_out: tuple[str, ...]

    @property
    def finding(self) -> str:
        """One sentence about all pictures, and one about those left out."""
        rows = self.page.table.rows()
        worst = rows[0]
        share = worst["disagreement"]
        words = f"The branches disagree most on {worst['picture']}: {whole_percent(share)} of places."
        if share < 0.005:
            words = f"The branches disagree on less than 1 % of places{'' if len(rows) == 1 else ' in each'}."
        words = f"{counted(len(rows), 'picture')}. {words}"
        return f"{words} {len(self.left_out)} could not be used." if self.left_out else words


@dataclass(frozen=True)
class BatchScreen:
    """The parts of the screen.

    Attributes:
        job: starts and cancels the work, and says how far it is and what came out.
    """

    job: JobParts
    sheet_pictures: gr.State
    gallery: gr.Gallery
    left_out: gr.HTML
    page: gr.DownloadButton
    table: gr.DownloadButton

    def outputs(self) -> list[Any]:
        """Every part that the contact sheet fills, but the words of the job."""
        return [self.sheet_pictures, self.gallery, self.left_out, self.page, self.table]


def build_batch(bench: Workbench, compare: CompareScreen) -> None:
    """Lays out the tab and connects it."""
    gr.HTML(html.heading(
        "A heatmap for every picture",
        f"Drop up to {MOST_PICTURES} pictures or a zip: both branches' maps of each, the largest disagreement first. "
        "Click a row of maps to open its picture in Compare.",
    ))  # fmt: skip
    with gr.Row(equal_height=False, elem_classes="bsig-main"):
        files = gr.File(
            file_count="multiple", file_types=["image", ".zip"], label="Pictures, or a zip", height=150,
            elem_id="batch-files", scale=2, min_width=260,
        )  # fmt: skip
        with gr.Column(scale=1, min_width=260):
            class_name = gr.Textbox(
                label="Class", placeholder="the predicted class of each picture", max_lines=1, elem_id="batch-class",
                info="Empty: what the model predicts. Or one class for all pictures, there or not.",
            )  # fmt: skip
            with gr.Row():
                start = gr.Button("Explain all", variant="primary", elem_id="batch-start")
                cancel = gr.Button("Cancel", elem_id="batch-cancel")
    screen = _laid_out(start, cancel)
    fields = Fields(BatchInputs, files=files, checkpoint=compare.checkpoint, class_name=class_name)
    _connect(screen, fields, bench, compare)


def _laid_out(start: gr.Button, cancel: gr.Button) -> BatchScreen:
    status = gr.HTML(elem_id="batch-status")
    gallery = gr.Gallery(
        label="Contact sheet", show_label=False, columns=3, height="auto", object_fit="contain", format="jpeg",
        elem_id="batch-sheet", elem_classes=["bsig-channels", "bsig-strips"], interactive=False, allow_preview=False,
        buttons=[],
    )  # fmt: skip
    left_out = gr.HTML(elem_id="batch-left-out")
    with gr.Row():
        page = gr.DownloadButton("Download as HTML", visible=False, elem_id="batch-html")
        table = gr.DownloadButton("Download as CSV", visible=False, elem_id="batch-csv")
    return BatchScreen(JobParts(start, cancel, status, gr.State(None)), gr.State(None), gallery, left_out, page, table)


def _connect(screen: BatchScreen, fields: Fields[BatchInputs], bench: Workbench, compare: CompareScreen) -> None:
    def work(values: InputValues, job: LongJob) -> Answers:
        return sheet_answers(screen, explained_batch(bench, fields.read(values), new_download_folder(), job))

    @in_words
    def on_picture(event: gr.SelectData, values: InputValues) -> Answers:
        pictures: Sequence[BatchPicture] = values[screen.sheet_pictures] or ()
        if not isinstance(event.index, int) or not 0 <= event.index < len(pictures):
            raise InputError("this picture is no longer kept; explain all again.")
        picture = pictures[event.index]
        names = list(bench.model(picture.checkpoint).class_names)
        return {
            compare.image: picture.path,
            compare.checkpoint: picture.checkpoint,
            compare.class_name: gr.Dropdown(choices=names, value=picture.class_name),
            # The words of an example must not stay beside another picture.
            compare.layout.reason: "",
            compare.layout.example: "",
        }

    connect_job(
        bench, screen.job, work, fields.components, screen.outputs(), "batch", functools.partial(no_sheet, screen)
    )
    layout = compare.layout
    outputs = [compare.image, compare.checkpoint, compare.class_name, layout.reason, layout.example]
    opening = screen.gallery.select(on_picture, {screen.sheet_pictures}, outputs, **PRIVATE)
    compare.redraw(opening)
    opening.success(None, None, None, js=OPEN_COMPARE_JS)


def no_sheet(screen: BatchScreen) -> Answers:
    """What the parts show while a batch goes on: nothing old."""
    return {
        screen.sheet_pictures: None,
        screen.gallery: gr.update(value=[]),
        screen.left_out: "",
        screen.page: gr.update(visible=False),
        screen.table: gr.update(visible=False),
    }


def sheet_answers(screen: BatchScreen, result: BatchResult) -> Answers:
    """The contact sheet with its files."""
    folder = new_download_folder()
    (folder / PAGE).write_text(result.page.html(result.left_out), encoding="utf-8")
    (folder / TABLE).write_text(result.page.table.csv_text(), encoding="utf-8")
    return {
        screen.job.progress: html.finding(result.finding),
        screen.sheet_pictures: result.pictures,
        screen.gallery: gr.update(value=[(entry.picture(), entry.caption) for entry in result.page.entries()]),
        screen.left_out: html.bullets(list(result.left_out), most=10),
        screen.page: gr.update(value=str(folder / PAGE), visible=True),
        screen.table: gr.update(value=str(folder / TABLE), visible=True),
    }


def explained_batch(bench: Workbench, inputs: BatchInputs, folder: Path, job: LongJob) -> BatchResult:
    """The contact sheet of what was uploaded.

    Args:
        bench: models and limits.
        inputs: what is explained.
        folder: where zips are unpacked; it stays, because Compare opens the pictures from there, and goes where there
            is no sheet.
        job: is told how far the work is.

    Raises:
        InputError: no picture, too many, a zip that is refused, an unknown class, or no picture that can be used.
        StoppedEarly: the visitor has cancelled it.
        VisitorLeftError: the visitor has closed the page.
    """
    try:
        model = bench.model(inputs.checkpoint)
        name = (inputs.class_name or "").strip()
        class_index = model.class_index(name) if name else None
        pictures = uploaded_pictures(bench, inputs.files or (), folder)
        return _explained(bench, model, class_index, inputs.checkpoint, pictures, job)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _explained(
    bench: Workbench, model: DualBranch, class_index: int | None, checkpoint: str | None,
    pictures: Sequence[PictureFile], job: LongJob,
) -> BatchResult:  # fmt: skip
    explainer, page = Explainer(model), ContactPage()
    usable: list[BatchPicture] = []
    left_out: list[str] = []
    words = f"Explaining {counted(len(pictures), 'picture')}"
    for count, picture in enumerate(pictures):
        job.note(words, count, len(pictures))
        try:
            _check_size(picture)
            with bench.decoding:
                encoded = explainer.encode(picture.path, name=picture.name, keep_source=False)
        except InputError as error:
            left_out.append(f"{picture.name}: {error}")
            continue
        explanation = encoded.explain(class_index, **comparison_readings(model, None, "signed"))
        page.add(explanation, picture.name)
        usable.append(BatchPicture(str(picture.path), checkpoint, explanation.class_name))
    if not usable:
        raise InputError(f"{none_of(len(pictures), 'picture')} could be used; {left_out[0]}")
    return BatchResult(page, tuple(usable[entry.number] for entry in page.entries()), tuple(left_out))


def uploaded_pictures(bench: Workbench, files: Sequence[str], folder: Path) -> list[PictureFile]:
    """The pictures of an upload, those of its zips unpacked into the folder.

    Raises:
        InputError: there is none, or there are too many; a zip is refused.
    """
    pictures: list[PictureFile] = []
    for number, file in enumerate(files):
        path = Path(file)
        if path.suffix.lower() == ".zip":
            root = extract_zip(path, folder / str(number), bench.limits.zip_limits)
            pictures += files_below(root).pictures
        else:
            pictures.append(PictureFile(path, path.name, ""))
    if not pictures:
        raise InputError("no picture is chosen; drop pictures, or a zip that holds some.")
    if len(pictures) > MOST_PICTURES:
        raise InputError(
            f"`pictures` (={len(pictures)}) must be at most {MOST_PICTURES} here; drop fewer, or use "
            "`python -m bsig explain FOLDER --out DIR`."
        )
    return pictures


def _check_size(picture: PictureFile) -> None:
    if picture.path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(f"the file is larger than {MAX_FILE_BYTES >> 20} MB; make it smaller.")
    if problem := header_problem(picture.path, "the file"):
        raise InputError(problem)
