"""Drawn pictures come in one piece; whatever else a path may name is left to gradio."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bsig.ui.components.inputs import png_file
from bsig.ui.server import pictures
from bsig.ui.server.pictures import DrawnPictures

Sent = list[dict[str, Any]]
LEFT = [{"type": "left to gradio"}]


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drawn picture in gradio's folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    return png_file(Image.new("RGB", (40, 30), "red"))


def asked(path: object, method: str = "GET", headers: tuple[tuple[bytes, bytes], ...] = (), root: str = "") -> Sent:
    """What is sent for a file's path."""
    sent: Sent = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        await send(LEFT[0])

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": f"{root}/gradio_api/file={path}", "headers": headers}
    asyncio.run(DrawnPictures(gradio)({**scope, "root_path": root}, None, send))  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
def test_a_drawn_picture_is_sent_whole(drawn: Path, root: str) -> None:
    start, body = asked(drawn, root=root)
    assert start["status"] == 200
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"image/png"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert body == {"type": "http.response.body", "body": drawn.read_bytes()}


def test_everything_else_is_left_to_gradio(drawn: Path) -> None:
    folder = drawn.parents[1]
    upload = folder / drawn.parent.name / "grandma.jpg"
    upload.write_bytes(drawn.read_bytes())
    for path in (
        upload, drawn.parent, folder / ("0" * 64) / "image.png", f"{drawn.parent}/../{drawn.parent.name}/image.png",
        f"{folder}/../{drawn.parent.name}/image.png", f"/elsewhere{drawn}", f"{drawn}/", "", "image.png",
    ):  # fmt: skip
        assert asked(path) == LEFT, path
    assert asked(drawn, "HEAD") == asked(drawn, "POST") == LEFT
    assert asked(drawn, headers=((b"range", b"bytes=0-9"),)) == LEFT


def test_a_link_to_a_file_elsewhere_is_left_to_gradio(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    drawn.unlink()
    drawn.symlink_to(tmp_path / "secret")
    assert asked(drawn) == LEFT


def test_a_file_that_is_larger_than_any_drawing_is_left_to_gradio(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGEST_BYTES", drawn.stat().st_size - 1)
    assert asked(drawn) == LEFT
