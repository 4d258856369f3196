"""Drawn pictures come in one piece and the page compressed; whatever else is asked for is left to gradio."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bsig.ui.components.inputs import png_file
from bsig.ui.server import sending
from bsig.ui.server.sending import CompressedPage, DrawnPictures

Sent = list[dict[str, Any]]
LEFT = [{"type": "left to gradio"}]


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drawn picture in gradio's folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    return png_file(Image.new("RGB", (40, 30), "red"))


def messages_of(
    path: object, method: str = "GET", headers: tuple[tuple[bytes, bytes], ...] = (), root: str = ""
) -> Sent:
    """What is sent for a file's path."""
    messages: Sent = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        await send(LEFT[0])

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": f"{root}/gradio_api/file={path}", "headers": headers}
    asyncio.run(DrawnPictures(gradio)({**scope, "root_path": root}, None, send))  # type: ignore[arg-type]
    return messages


@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
def test_a_drawn_picture_is_sent_whole(drawing: Path, root: str) -> None:
    start, body = messages_of(drawing, root=root)
    assert start["status"] == 200
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"image/png"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert body == {"type": "http.response.body", "body": drawing.read_bytes()}


def test_everything_else_is_left_to_gradio(drawing: Path) -> None:
    folder = drawing.parents[1]
    upload = folder / drawing.parent.name / "grandma.jpg"
    upload.write_bytes(drawing.read_bytes())
    for path in (
        upload, drawing.parent, folder / ("0" * 64) / "image.png",
        f"{drawing.parent}/../{drawing.parent.name}/image.png", f"{folder}/../{drawing.parent.name}/image.png",
        f"/elsewhere{drawing}", f"{drawing}/", "", "image.png",
    ):  # fmt: skip
        assert messages_of(path) == LEFT, path
    assert messages_of(drawing, "HEAD") == messages_of(drawing, "POST") == LEFT
    assert messages_of(drawing, headers=((b"range", b"bytes=0-9"),)) == LEFT


def test_a_link_to_a_file_elsewhere_is_left_to_gradio(drawing: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    drawing.unlink()
    drawing.symlink_to(tmp_path / "secret")
    assert messages_of(drawing) == LEFT


def test_a_file_that_is_larger_than_any_drawing_is_left_to_gradio(
    drawing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LARGEST_BYTES", drawing.stat().st_size - 1)
    assert messages_of(drawing) == LEFT


# --- the page ---------------------------------------------------------------------------------------------------------

TEXT = b"the same again and again " * 4000


def page_answer(path: str, accepted: bytes, method: str = "GET") -> tuple[dict[bytes, bytes], bytes]:
    """Headers and body of an answer that comes in two parts."""
    messages: Sent = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", str(len(TEXT)).encode()), (b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": TEXT[:9], "more_body": True})
        await send({"type": "http.response.body", "body": TEXT[9:]})

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"accept-encoding", accepted)]}
    asyncio.run(CompressedPage(gradio)(scope, None, send))  # type: ignore[arg-type]
    return dict(messages[0]["headers"]), b"".join(message["body"] for message in messages[1:])


@pytest.mark.parametrize("path", ["/", "/config"])
def test_the_page_and_its_description_are_compressed(path: str) -> None:
    headers, body = page_answer(path, b"gzip, deflate, br")
    assert len(body) < len(TEXT) / 20
    assert gzip.decompress(body) == TEXT
    assert headers[b"content-encoding"] == b"gzip"
    assert headers[b"content-length"] == str(len(body)).encode()
    assert headers[b"content-type"] == b"text/html"


@pytest.mark.parametrize(
    ("path", "accepted", "method"),
    [("/", b"identity", "GET"), ("/", b"gzip", "HEAD"), ("/gradio_api/queue/data", b"gzip", "GET")],
)
def test_what_is_not_the_page_or_not_wanted_compressed_is_as_it_was(path: str, accepted: bytes, method: str) -> None:
    headers, body = page_answer(path, accepted, method)
    assert body == TEXT
    assert b"content-encoding" not in headers
