"""The allow-list: what the page and its clients need is open, whatever else gradio serves is closed, now and later."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from in_process import loops_closed

from bsig.ui.server.routes import OPEN_ROUTES, is_open

API = "/gradio_api"


def routes_of(router: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route; FastAPI keeps an included router as one entry."""
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router)
        else:
            yield from ((method, route.path) for method in getattr(route, "methods", None) or ())


@pytest.fixture(scope="module")
def gradio_routes() -> set[tuple[str, str]]:
    """Method and path of every route of gradio's server, with a word in place of each parameter."""
    with warnings.catch_warnings(), loops_closed():
        warnings.simplefilter("ignore")
        with gr.Blocks() as demo:
            gr.Button()
        app = App.create_app(demo)
    return {(method, re.sub(r"\{[^}]*\}", "x", path)) for method, path in routes_of(app)}


def test_every_open_route_is_one_of_gradios(gradio_routes: set[tuple[str, str]]) -> None:
    for route in OPEN_ROUTES:
        if "/health" in route.pattern:  # bsig's own
            continue
        for method in route.methods.split():
            assert any(route.allows(method, path) for own_method, path in gradio_routes if own_method == method), (
                f"gradio has no route {method} {route.pattern} any more ({route.reason}); find what took its place"
            )


def test_the_routes_of_gradio_that_are_open_are_these(gradio_routes: set[tuple[str, str]]) -> None:
    routes = {f"{method} {path.rstrip('/') or '/'}" for method, path in gradio_routes if is_open(method, path)}
    assert routes == {
        "GET /", "HEAD /", "GET /config", "GET /static/x", "GET /assets/x", "GET /svelte/x", "GET /theme.css",
        "GET /favicon.ico", "GET /robots.txt", "GET /manifest.json", "GET /pwa_icon", "GET /pwa_icon/x",
        f"GET {API}/theme.css", f"GET {API}/info", f"POST {API}/queue/join", f"GET {API}/queue/data",
        f"POST {API}/call/x", f"GET {API}/call/x/x", f"POST {API}/call/v2/x", f"GET {API}/call/v2/x/x",
        f"POST {API}/run/x", f"POST {API}/api/x", f"POST {API}/cancel", f"POST {API}/reset", f"GET {API}/heartbeat/x",
        f"GET {API}/app_id", f"GET {API}/startup-events", f"POST {API}/upload", f"GET {API}/upload_progress",
        f"GET {API}/file=x", f"HEAD {API}/file=x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("HEAD", "/"), ("GET", "/health"), ("HEAD", "/health"), ("GET", "/config/"),
        ("GET", "/assets/index-1a2b.js"), ("POST", f"{API}/call/compare"), ("GET", f"{API}/call/compare/0f3a"),
        ("GET", f"{API}/file=/srv/gradio/0f/image.png"), ("OPTIONS", f"{API}/queue/join"),
    ],
)  # fmt: skip
def test_what_the_page_and_its_clients_ask_for_is_open(method: str, path: str) -> None:
    assert is_open(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{API}/file=http://127.0.0.1/"), ("GET", f"{API}/file=HTTPS://127.0.0.1/"),
        ("GET", f"{API}/file=file:///etc/passwd"), ("GET", f"{API}/file="), ("GET", f"{API}/file/etc/passwd"),
        ("POST", f"{API}/file=/srv/x.png"), ("GET", f"{API}/proxy=https://huggingface.co/"),
        ("GET", f"{API}/proxy=https://huggingface.co/assets/x"), ("GET", f"/x{API}/info"),
        ("GET", f"{API}/info/../runs"), ("GET", f"{API}/call/compare"), ("DELETE", "/"),
        ("PUT", "/config"), ("TRACE", "/"), ("GET", "/openapi.json"),
        ("GET", "/CONFIG"), ("GET", "/config\n"), ("GET", "/docs"), ("OPTIONS", f"{API}/component_server"),
    ],
)  # fmt: skip
def test_what_nobody_needs_is_closed(method: str, path: str) -> None:
    assert not is_open(method, path)
