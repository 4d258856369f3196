"""The routes of gradio's server that visitors may use, each with its reason. Every other one answers 404.

Gradio has many more: they fetch addresses that a visitor names, copy a session's values into a link, keep a connection
busy for developers, take recordings, run a component's functions, write code. A route that a new version adds is closed
until it stands here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

API = "/gradio_api"
UPLOAD_PATH = f"{API}/upload"
ASKED_BY_BROWSERS = frozenset({"OPTIONS"})  # before a page of another site asks; gradio answers whether it may


@dataclass(frozen=True)
class OpenRoute:
    """A route that visitors may use.

    Attributes:
        methods: of HTTP, separated by blanks.
        pattern: of the whole path, a slash at its end apart.
        reason: who needs it and what for.
    """

    methods: str
    pattern: str
    reason: str

    def allows(self, method: str, path: str) -> bool:
        """Whether the route is the request's."""
        is_method = method in self.methods.split() or method in ASKED_BY_BROWSERS
        return is_method and re.fullmatch(rf"{self.pattern}/?", path, re.DOTALL) is not None


OPEN_ROUTES = (
    # The page.
    OpenRoute("GET HEAD", "/", "the page"),
    OpenRoute("GET HEAD", "/health", "whether the app lives and how busy it is"),
    OpenRoute("GET", "/config", "the page's components and handlers, for the page and gradio_client"),
    OpenRoute("GET", "/(static|assets|svelte)/.+", "the page's code, fonts and pictures, as gradio ships them"),
    OpenRoute("GET", f"({API})?/theme\\.css", "the page's colours"),
    OpenRoute("GET", "/(favicon\\.ico|robots\\.txt|manifest\\.json|pwa_icon(/\\w+)?)", "what browsers ask for"),
    # Questions and answers, of the page and of gradio_client.
    OpenRoute("GET", f"{API}/info", "the web API's endpoints, for gradio_client and the page's API screen"),
    OpenRoute("POST", f"{API}/queue/join", "a question of the page or of gradio_client"),
    OpenRoute("GET", f"{API}/queue/data", "the stream of the answers"),
    OpenRoute("POST", f"{API}/call/(v2/)?[^/]+", "a question in two plain requests, as the API screen shows it"),
    OpenRoute("GET", f"{API}/call/(v2/)?[^/]+/\\w+", "its answer"),
    OpenRoute("POST", f"{API}/(run|api)/[^/]+", "a question that does not wait in the queue"),
    OpenRoute("POST", f"{API}/(cancel|reset)", "the visitor waits for an answer no more"),
    OpenRoute("GET", f"{API}/heartbeat/[^/]+", "open as long as the page is, which says when a visitor has gone"),
    OpenRoute("GET", f"{API}/app_id", "whether the app was started anew since the page was opened"),
    OpenRoute("GET", f"{API}/startup-events", "gradio asks it of itself when it starts"),
    # Files.
    OpenRoute("POST", UPLOAD_PATH, "a visitor's picture or zip"),
    OpenRoute("GET", f"{API}/upload_progress", "how much of it has come"),
    OpenRoute(
        "GET HEAD", f"{API}/file=(?!\\w+:).+", "a picture of an answer or an example; no address, which is fetched"
    ),
)


def is_open(method: str, path: str) -> bool:
    """Whether visitors may use a route; the path is decoded and without the prefix of a proxy."""
    return any(route.allows(method, path) for route in OPEN_ROUTES)
