"""The REST interface of the fake exchange as a transport of httpx: without a socket, on virtual time too.

It needs ``kraken-trio[private]``, and is imported by nothing else of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import trio

from kraken_trio.testing.exchange.rest import RestRequest

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.rest import RestFront, RestResponse

__all__ = ["RestTransport"]

_CHUNK = 64 * 1024


class RestTransport(httpx.AsyncBaseTransport):
    """Passes requests to the interface. ``latency``: seconds on the way there, and again on the way back."""

    def __init__(self, core: RestFront, *, latency: float = 0.0) -> None:
        self._core = core
        self._latency = latency

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, as httpx's transports do."""
        body = await request.aread()
        await trio.sleep(self._latency)
        headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw)
        asked = RestRequest(
            method=request.method, target=request.url.raw_path.decode("ascii"), headers=headers, body=body
        )
        response = self._core.respond(asked, trio.current_time())
        await trio.sleep(response.delay + self._latency)
        if response.sent == -1:
            msg = "the connection was reset"
            raise httpx.ReadError(msg, request=request)
        return httpx.Response(
            response.status, headers={"Content-Type": response.content_type}, stream=_Stream(response)
        )


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: RestResponse) -> None:
        self._is_cut = response.sent is not None
        self._first: bytes | None = response.body[: response.sent]
        self._padding = response.padding

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._is_cut:
            msg = "the connection was reset"
            raise httpx.ReadError(msg)
        if self._padding <= 0:
            raise StopAsyncIteration
        self._padding -= _CHUNK
        return b" " * _CHUNK
