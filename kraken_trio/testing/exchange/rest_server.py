"""The REST interface of the fake exchange on a loopback socket, with HTTP/1.1."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import h11
import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.testing.exchange.rest import RestRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kraken_trio.testing.exchange.rest import RestFront, RestResponse

__all__ = ["open_rest"]

_CHUNK = 64 * 1024
_MAX_BODY = 1024 * 1024
_PATIENCE = 30.0
"""Seconds for a request to come in whole."""
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, h11.ProtocolError, OSError)


@asynccontextmanager
async def open_rest(
    core: RestFront, *, ssl_context: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve the interface while a block runs. The value is its URL: ``http://127.0.0.1:<port>``.

    ``ssl_context``: serve TLS with this server-side context.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    port = listeners[0].socket.getsockname()[1]

    async def serve(tcp: trio.SocketStream) -> None:
        await _Peer(core, tcp, ssl_context).run()

    async with open_hidden_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)  # noqa: ASYNC113 (they listen already)
        try:
            yield f"{'http' if ssl_context is None else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            nursery.cancel_scope.cancel()


class _Peer:
    """A connection: one request, one response."""

    def __init__(self, core: RestFront, tcp: trio.SocketStream, ssl_context: ssl.SSLContext | None) -> None:
        self._core = core
        self._tcp = tcp
        self._stream: trio.abc.Stream = tcp
        if ssl_context is not None:
            self._stream = trio.SSLStream(tcp, ssl_context, server_side=True, https_compatible=True)
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Serve it to its end. Raises nothing, whatever the peer does."""
        async with self._stream:
            try:
                request = None
                with trio.move_on_after(_PATIENCE):
                    request = await self._read()
                if request is not None:
                    await self._answer(self._core.respond(request, trio.current_time()))
            except _GONE:
                pass

    async def _read(self) -> RestRequest | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:  # noqa: ASYNC913 (it waits where h11 needs data)
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(bytes(await self._stream.receive_some(_CHUNK)))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _MAX_BODY:
                    return None
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return RestRequest(
                    method=head.method.decode("ascii"),
                    target=head.target.decode("ascii"),
                    headers=tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers),
                    body=bytes(body),
                )
            else:
                return None

    async def _answer(self, response: RestResponse) -> None:
        await trio.sleep(response.delay)
        if response.sent == -1:
            self._reset()
            return
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body) + response.padding)),
            ("Connection", "close"),
        ]
        await self._send(h11.Response(status_code=response.status, headers=headers))
        if response.sent is not None:
            await self._send(h11.Data(data=response.body[: response.sent]))
            self._reset()
            return
        await self._send(h11.Data(data=response.body))
        for begin in range(0, response.padding, _CHUNK):
            await self._send(h11.Data(data=b" " * min(_CHUNK, response.padding - begin)))
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        await self._stream.send_all(self._http.send(event) or b"")

    def _reset(self) -> None:
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._tcp.socket.close()
