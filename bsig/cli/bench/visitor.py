"""A visitor over plain HTTP, as a browser speaks with the app: upload, ask, read the stream, fetch the pictures.

Not `gradio_client`: it looks for news every 50 ms, which would be most of what is measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from bsig.inputs.errors import InputError

ANSWERS_WITHIN_S = 60.0


class Visitor:
    """One visitor of the app at `url`, who keeps the connection."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=ANSWERS_WITHIN_S)

    def compare(
        self, picture: Path, checkpoint: str, class_name: str = "golf ball", method: str = "cam"
    ) -> tuple[list[bytes], dict[str, Any]]:
        """The three maps as PNG files and all numbers.

        Raises:
            InputError: the app refused, or gave no answer.
        """
        said = self._ask("compare", self._uploaded(picture), checkpoint, class_name, method, "signed")
        files = [self._http.get(f"/gradio_api/file={one['path']}").content for one in said[:3]]
        return files, said[3]

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def _uploaded(self, picture: Path) -> dict[str, Any]:
        with picture.open("rb") as file:
            answer = self._http.post("/gradio_api/upload", files={"files": (picture.name, file)})
        return {"path": answer.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}

    def _ask(self, endpoint: str, *values: Any) -> Any:
        answer = self._http.post(f"/gradio_api/call/{endpoint}", json={"data": values}).raise_for_status()
        event, kind = answer.json()["event_id"], ""
        with self._http.stream("GET", f"/gradio_api/call/{endpoint}/{event}") as stream:
            for line in stream.iter_lines():
                name, _, rest = line.partition(": ")
                if name == "event":
                    kind = rest
                elif name == "data" and kind == "complete":
                    return json.loads(rest)
                elif name == "data" and kind == "error":
                    raise InputError(f"/{endpoint} of the app must answer, but said: {rest}")
        raise InputError(f"/{endpoint} of the app must answer, but its stream ended without one.")
