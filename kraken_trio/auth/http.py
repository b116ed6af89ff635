"""A request on its way to whatever sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from kraken_trio.auth.answers import Failure, Reply
from kraken_trio.auth.concealed import Concealed

if TYPE_CHECKING:
    import ssl

    import httpx

    from kraken_trio._proxy import Proxy

__all__ = ["HttpRequest", "Send"]


class HttpRequest(Concealed):
    """A request. Its headers and its body hold secrets."""

    __slots__ = ("body", "headers", "method", "url")

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    def __init__(self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self._set(method=method, url=url, headers=headers or {}, body=body)


Send: TypeAlias = Callable[
    [HttpRequest, "httpx.AsyncBaseTransport | None", Callable[[], "ssl.SSLContext"], "Proxy | None"],
    Awaitable[Reply | Failure],
]
"""Sends a request, through this transport if there is one, and otherwise over the network, with this TLS and through
this proxy."""
