"""An app on one's own machine answers to its own names and to its own pages."""

from __future__ import annotations

import socket

import pytest

from bsig.ui.server.hosts import OwnHosts

HERE = "127.0.0.1:7860"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:7860", "127.0.0.1:7860", "[::1]:7860", "10.1.2.3", "192.168.0.7:80", "demo.localhost:7860",
     "LOCALHOST:7860", f"{socket.gethostname()}:7860", "gpu-box.example:7860", None],
)  # fmt: skip
def test_own_names_and_addresses_in_digits_are_taken(host: str | None) -> None:
    assert OwnHosts(["GPU-box.example"]).refusal("GET", host, None) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example:7860",
     "localhost@evil.example", "evillocalhost", "", ":7860", "[::1", "127.0.0.1 evil.example", "0x7f.1"],
)  # fmt: skip
def test_a_name_that_strangers_let_stand_for_this_machine_is_refused(host: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        sentence = OwnHosts(["gpu-box.example"]).refusal(method, host, f"http://{host}")
        assert sentence is not None
        assert "--allow-host" in sentence


@pytest.mark.parametrize(
    ("origin", "is_taken"),
    [
        (f"http://{HERE}", True),
        ("http://localhost:3000", True),
        ("http://[::1]:7860", True),
        (None, True),
        ("null", False),
        ("", False),
        ("https://evil.example", False),
        ("http://93.184.216.34", False),
        (f"http://{HERE}.evil.example", False),
        ("http://demo.localhost.evil.example", False),
        ("http://[", False),
    ],
)
def test_a_page_of_a_stranger_may_send_nothing(origin: str | None, is_taken: bool) -> None:
    assert (OwnHosts().refusal("POST", HERE, origin) is None) is is_taken
    assert OwnHosts().refusal("GET", HERE, origin) is None  # which its page cannot read: gradio allows no other origin
