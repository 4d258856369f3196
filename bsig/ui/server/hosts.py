"""The names of an app on one's own machine; a request for any other name, or from another's page, is refused.

A stranger's page, open in the same browser, can reach the app in two ways. It can send it a form or a file, which the
browser lets any page do; then the request's `Origin` is the stranger's. Or the stranger lets the name of the page stand
for 127.0.0.1 from then on (DNS rebinding): the browser takes the app for a part of the page and lets the page read the
answers; then the `Host` is the stranger's name. An address in digits cannot be rebound.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

ONLY_READ = frozenset({"GET", "HEAD"})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OwnHosts:
    """The names of this machine, and further ones that its owner allows (a proxy's, say)."""

    def __init__(self, more: Collection[str] = ()) -> None:
        name = socket.gethostname().lower()
        self._names = frozenset({*LOOPBACK, name, f"{name}.local", *(host.lower() for host in more)})

    def refusal(self, method: str, host: str | None, origin: str | None) -> str | None:
        """Why a request is refused, in a sentence; None for one that is taken.

        Args:
            method: of HTTP.
            host: the `Host` header, with or without a port; None where there is none, as no browser sends it.
            origin: the `Origin` header; None where there is none.
        """
        if host is not None and not self._is_own(_name_in(f"//{host}")):
            return (
                f"this app is not asked for by the name '{host[:80]}'; use 'localhost', or start it with "
                "`--allow-host NAME`."
            )
        if origin is None or method in ONLY_READ:
            return None
        if origin.partition("://")[2] == host or _name_in(origin) in self._names:
            return None
        return f"a page of '{origin[:80]}' may not use this app; open the app itself, or use `--allow-host NAME`."

    def _is_own(self, name: str | None) -> bool:
        return name is not None and (name in self._names or name.endswith(".localhost") or _is_address(name))


def _name_in(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        return parts.hostname if parts.port is None or parts.port else None  # reading a wrong port raises
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
