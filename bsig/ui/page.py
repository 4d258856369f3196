"""The page: a head, a screen a tab, a foot; and what its launch needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from bsig.inputs.paths import ASSETS
from bsig.inputs.version import __version__
from bsig.training.runs.queue import RunQueue
from bsig.ui.api import add_endpoints
from bsig.ui.components.html import element, glossary, joined, note
from bsig.ui.components.theme import THEME, page_script, style_sheet
from bsig.ui.links.bar import Screens, build_link_bar, connect_links
from bsig.ui.screens.batch import build_batch
from bsig.ui.screens.compare.screen import build_compare
from bsig.ui.screens.compare.screen import connect_finetune as connect_compare_finetune
from bsig.ui.screens.doctor import build_doctor
from bsig.ui.screens.evaluate.screen import build_evaluate
from bsig.ui.screens.finetune.screen import build_finetune
from bsig.ui.screens.logit_shift.screen import build_logit_shift
from bsig.ui.screens.models.screen import build_models, connect_finetune
from bsig.ui.screens.quiz import build_quiz
from bsig.ui.screens.sign_collapse import build_sign_collapse
from bsig.ui.screens.tour import build_tour
from bsig.ui.server.gradio_internals import WITHOUT_ASKING_ITSELF, take_fair_turns, without_idle_applications
from bsig.ui.server.guard import health_of, server_arguments
from bsig.ui.server.hosts import OwnHosts
from bsig.ui.server.limits import Limits
from bsig.ui.server.log import LoggedBlocks
from bsig.ui.server.opening import overlay, prepared_comparison
from bsig.ui.server.sending import CompressedPage, DrawnPictures
from bsig.ui.server.visitors import VisitorMiddleware, key_script
from bsig.ui.workbench import Workbench

MOST_WAITING, MOST_WAITING_EACH = 64, 24
CACHE_CHECKED_EVERY_S, CACHE_KEPT_S = 3600, 3600


TITLE = "bsig: can I trust this heatmap?"


@without_idle_applications()
def build_demo(bench: Workbench, queue: RunQueue) -> LoggedBlocks:
    """The whole page, not yet launched."""
    with LoggedBlocks(title=TITLE, analytics_enabled=False, delete_cache=cache_times(bench.limits)) as demo:
        _head()
        bar = build_link_bar()
        screens = _screens(bench, queue, demo)
        demo.answer_opening = connect_links(demo, bench, bar, screens)
        add_endpoints(bench, queue)
        _foot(bench)
    demo.health = health_of(demo, bench, queue)
    if bench.is_public:
        bench.visitor_spaces.start_sweeping(queue, bench.forget)
    demo.queue(max_size=MOST_WAITING, default_concurrency_limit=2)
    if bench.is_public:
        take_fair_turns(demo, MOST_WAITING_EACH)
        demo.tells_folders = False
    return demo


def _head() -> None:
    """The title, and the link that skips it."""
    skip = element("a", "Skip to the screens", class_="bsig-skip", href="#tabs")
    words = "Softmax decides the class. The sigmoid branch says where the evidence is, and where there is none."
    gr.HTML(joined(skip, element("h1", TITLE), element("p", words)), elem_id="bsig-title")


def _screens(bench: Workbench, queue: RunQueue, demo: gr.Blocks) -> Screens:
    """Every screen in its tab, connected to Compare."""
    with gr.Tabs(elem_id="tabs") as tabs:
        with _tab("Compare", "compare"):
            compare = build_compare(bench)
        with _tab("Logit shift", "logit-shift") as tab:
            shift = build_logit_shift(bench, compare, tab)
        with _tab("Sign collapse", "sign-collapse") as tab:
            zoom = build_sign_collapse(bench, compare, tab)
        with _tab("Blank map", "doctor") as tab:
            build_doctor(bench, compare, tab)
        with _tab("Batch", "batch"):
            build_batch(bench, compare)
        with _tab("Evaluate", "evaluate") as tab:
            evaluate = build_evaluate(bench, compare, tab)
        with _tab("Fine-tune", "finetune") as tab:
            finetune = build_finetune(bench, queue, compare, tab, demo)
        with _tab("Models", "models") as tab:
            models = build_models(bench, compare, tab)
        with _tab("Guided tour", "tour") as tab:
            tour = build_tour(bench, compare, tab)
        with _tab("Blind quiz", "quiz"):
            build_quiz(bench)
    connect_finetune(models, bench, finetune.start, tabs)
    connect_compare_finetune(compare, finetune.start, tabs)
    return Screens(
        tabs=tabs,
        compare=compare,
        shift=shift,
        zoom=zoom,
        evaluate=evaluate,
        run=finetune.run,
        tour=tour,
        run_names=lambda: bench.visitor_space.own_queue(queue).folder.names(),
    )


def _tab(title: str, key: str) -> gr.Tab:
    """A tab that a link and the page's script know by its key."""
    return gr.Tab(title, id=key, elem_id=f"bsig-tab-{key}")


def _foot(bench: Workbench) -> None:
    """The glossary, the version, and what becomes of a visitor's pictures."""
    gr.HTML(glossary())
    words = f"bsig {__version__}. Method: Oh and Noh, BMVC 2025, arXiv 2511.05590. {bench.limits.privacy()}"
    gr.HTML(note(words), elem_id="privacy")


def cache_times(limits: Limits) -> tuple[int, int]:
    """How often Gradio looks for old uploads and maps, and how old they get, in seconds."""
    if limits.kept_seconds is None:
        return CACHE_CHECKED_EVERY_S, CACHE_KEPT_S
    return max(1, round(limits.kept_seconds / 60)), max(1, round(limits.kept_seconds))


def launch_arguments(bench: Workbench | None = None, hosts: Collection[str] = ()) -> dict[str, Any]:
    """What `Blocks.launch` needs beside host and port: the look, the limits, what may be read, who is asking.

    `hosts` are further names under which a local app may be asked for.
    """
    limits = bench.limits if bench else Limits.local()
    server = server_arguments(limits.upload_bytes, hosts=None if limits.is_public else OwnHosts(hosts))
    if bench and bench.is_public:
        server["app_kwargs"]["middleware"].append(Middleware(VisitorMiddleware, visits=bench.visitor_spaces))

    def opening_overlay() -> str:
        """Asked for every opening: the checkpoint may have been written anew since the app started."""
        return overlay(prepared_comparison(bench.default_checkpoint, bench.folder)) if bench else ""

    server["app_kwargs"]["middleware"] += [  # inside the guards
        Middleware(CompressedPage, overlay=opening_overlay),
        Middleware(DrawnPictures),
    ]
    return {
        "theme": THEME,
        "css": style_sheet(),
        "allowed_paths": [str(ASSETS)],
        "head": page_script() + (key_script() if limits.is_public else ""),
        "ssr_mode": False,  # another server in between would see requests before they have a visitor
        "footer_links": ["api", "settings"],
        "show_error": True,
        **WITHOUT_ASKING_ITSELF,
        **server,
    }
