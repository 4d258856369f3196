"""All tabs in one page."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from bsig.explain.methods import TREATMENTS
from bsig.inputs.paths import ASSETS
from bsig.inputs.version import __version__
from bsig.training.runs.queue import RunQueue
from bsig.ui.api import add_finetune_endpoints
from bsig.ui.components.handlers import in_words
from bsig.ui.components.html import glossary
from bsig.ui.components.inputs import MapImage, PictureInput
from bsig.ui.components.theme import THEME, page_script, style_sheet
from bsig.ui.links.bar import Screens, build_link_bar, connect_links
from bsig.ui.screens.compare.screen import build_compare, compare
from bsig.ui.screens.evaluate.own_pictures import evaluate_answer
from bsig.ui.screens.evaluate.screen import build_evaluate
from bsig.ui.screens.finetune.screen import build_finetune
from bsig.ui.screens.logit_shift.screen import build_logit_shift, shift_answer
from bsig.ui.screens.models import build_models, connect_finetune
from bsig.ui.screens.sign_collapse import build_sign_collapse, sign_collapse_answer
from bsig.ui.screens.tour import build_tour
from bsig.ui.server.guard import health_of, server_arguments
from bsig.ui.server.limits import Limits
from bsig.ui.server.log import LoggedBlocks
from bsig.ui.server.visitors import KEPT_IN_PAGE_JS, VisitorMiddleware
from bsig.ui.workbench import Workbench

CACHE_CHECKED_EVERY_S, CACHE_KEPT_S = 3600, 3600


def build_demo(bench: Workbench, queue: RunQueue) -> gr.Blocks:
    """The whole page, not yet launched."""
    title = "bsig: can I trust this heatmap?"
    with LoggedBlocks(title=title, analytics_enabled=False, delete_cache=cache_times(bench.limits)) as demo:
        gr.HTML(
            '<a class="bsig-skip" href="#tabs">Skip to the screens</a>'
            "<h1>bsig: can I trust this heatmap?</h1><p>Softmax decides the class. The sigmoid branch says where the "
            "evidence is, and where there is none.</p>",
            elem_id="bsig-title",
        )
        bar = build_link_bar()
        with gr.Tabs(elem_id="tabs") as tabs:
            with _tab("Compare", "compare"):
                compare_screen = build_compare(bench)
            with _tab("Logit shift", "logit-shift") as tab:
                shift = build_logit_shift(bench, compare_screen, tab)
            with _tab("Sign collapse", "sign-collapse") as tab:
                zoom = build_sign_collapse(bench, compare_screen, tab)
            with _tab("Evaluate", "evaluate") as tab:
                evaluate = build_evaluate(bench, compare_screen, tab)
            with _tab("Fine-tune", "finetune") as tab:
                finetune = build_finetune(bench, queue, compare_screen, tab, demo)
            with _tab("Models", "models"):
                models = build_models(bench, compare_screen)
            with _tab("Guided tour", "tour") as tab:
                tour = build_tour(bench, tab)
        connect_finetune(models, bench, finetune.start, tabs)
        screens = Screens(
            tabs,
            compare_screen,
            shift,
            zoom,
            evaluate,
            finetune.run,
            tour,
            lambda: bench.visitor_space.own_queue(queue).folder.names(),
        )
        connect_links(demo, bench, bar, screens)
        _add_endpoints(bench)
        add_finetune_endpoints(bench, queue)
        gr.HTML(glossary())
        gr.HTML(
            f'<p class="bsig-note">bsig {__version__}. Method: Oh and Noh, BMVC 2025, arXiv 2511.05590. '
            f"{html.escape(bench.limits.privacy())}</p>",
            elem_id="privacy",
        )
    demo.health = health_of(demo, bench, queue)
    if bench.is_public:
        bench.visitor_spaces.start_sweeping(queue, bench.forget)
    demo.queue(max_size=64, default_concurrency_limit=2)
    return demo


def _tab(title: str, key: str) -> gr.Tab:
    """A tab that a link and the page's script know by its key."""
    return gr.Tab(title, id=key, elem_id=f"bsig-tab-{key}")


def cache_times(limits: Limits) -> tuple[int, int]:
    """How often Gradio looks for old uploads and maps, and how old they get, in seconds."""
    if limits.kept_seconds is None:
        return CACHE_CHECKED_EVERY_S, CACHE_KEPT_S
    return max(1, round(limits.kept_seconds / 60)), max(1, round(limits.kept_seconds))


def launch_arguments(bench: Workbench | None = None) -> dict[str, Any]:
    """What `Blocks.launch` needs beside host and port: the look, the limits, what may be read, who is asking."""
    limits = bench.limits if bench else Limits.local()
    server = server_arguments(limits.upload_bytes)
    if bench and bench.is_public:
        server["app_kwargs"]["middleware"].append(Middleware(VisitorMiddleware, visits=bench.visitor_spaces))
    return {
        "theme": THEME,
        "css": style_sheet(),
        "allowed_paths": [str(ASSETS)],
        "head": page_script() + (KEPT_IN_PAGE_JS if limits.is_public else ""),
        "ssr_mode": False,  # another server in between would see requests before they have a visitor
        "footer_links": ["api", "settings"],
        "show_error": True,
        **server,
    }


def _add_endpoints(bench: Workbench) -> None:
    """The web API: `/compare` and `/checkpoints`, on components that are not shown."""
    with gr.Row(visible=False):
        image = PictureInput(type="filepath", image_mode=None, label="image")
        checkpoint = gr.Textbox(label="checkpoint", value=bench.default_checkpoint)
        class_name = gr.Textbox(label="class", value="")
        method = gr.Textbox(label="method", value="")  # empty: the model's own, CAM wherever it is exact
        weights = gr.Textbox(label="weights", value=next(iter(TREATMENTS)))
        pictures = [MapImage(format="png", label=name) for name in ("softmax", "sigmoid", "centred")]
        numbers = gr.JSON(label="explanation")
        rows = gr.JSON(label="checkpoints")
        delta = gr.Number(label="delta", value=0.0)
        target = gr.Textbox(label="target", value="")
        moved = gr.JSON(label="shift")
        shift = gr.Button("logit shift")
        collapsed, collapse = gr.JSON(label="sign collapse"), gr.Button("sign collapse")
        ask, listing = gr.Button("compare"), gr.Button("checkpoints")
        data = gr.Textbox(label="data", value="shipped")
        zip_file = gr.File(label="zip", file_types=[".zip"])
        methods = gr.Textbox(label="methods", value="cam")
        limit = gr.Number(label="limit", value=200)
        measured, measure = gr.JSON(label="evaluation"), gr.Button("evaluate")

    @in_words
    def answer(image: str, checkpoint: str, class_name: str, method: str, weights: str) -> Any:
        return compare(bench, image, checkpoint, class_name, method, weights)

    ask.click(
        answer, [image, checkpoint, class_name, method, weights], [*pictures, numbers], api_name="compare",
        concurrency_limit=2,
    )  # fmt: skip

    @in_words
    def shifted(image: str, checkpoint: str, class_name: str, delta: float, target: str) -> Any:
        return shift_answer(bench, image, checkpoint, class_name, delta, target or None)

    shift.click(shifted, [image, checkpoint, class_name, delta, target], moved, api_name="logit_shift")

    @in_words
    def signs(image: str, checkpoint: str, class_name: str, method: str) -> Any:
        return sign_collapse_answer(bench, image, checkpoint, class_name, method)

    collapse.click(signs, [image, checkpoint, class_name, method], collapsed, api_name="sign_collapse")

    @in_words
    def evaluated(
        checkpoint: str, data: str, zip_file: str | None, methods: str, weights: str, limit: int | float | None
    ) -> Any:
        return evaluate_answer(bench, checkpoint, data, zip_file, methods, weights, limit)

    measure.click(
        evaluated, [checkpoint, data, zip_file, methods, weights, limit], measured, api_name="evaluate",
        concurrency_limit=1, concurrency_id="evaluate-own",
    )  # fmt: skip

    @in_words
    def listed() -> list[dict[str, Any]]:
        return bench.checkpoint_rows()

    listing.click(listed, None, rows, api_name="checkpoints")
