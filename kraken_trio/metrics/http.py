"""A small HTTP server: one request for each connection, answered in the Trio thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import h11
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["MAX_CONNECTIONS", "REQUEST_SECONDS", "TEXT", "Answer", "HttpServer", "health"]

MAX_CONNECTIONS: Final = 8
"""How many are served at a time; further ones are closed at once."""
REQUEST_SECONDS: Final = 5.0
"""How long a connection may last: it is closed after its first answer."""
TEXT: Final = "text/plain; charset=utf-8"
_MAX_REQUEST_BYTES: Final = 16_384
_MAX_PROBLEMS: Final = 20
_CHUNK: Final = 4096

Answer: TypeAlias = tuple[int, str, bytes]
"""Status, content type and body."""


class HttpServer:
    """Serves GET and HEAD. ``answer`` is given the path and what the client accepts; what it raises is a status 500."""

    def __init__(self, answer: Callable[[bytes, str], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._count = 0

    async def handle(self, stream: trio.SocketStream) -> None:
        """Answer one request of a connection."""
        if self._count >= MAX_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        self._count += 1
        try:
            with trio.move_on_after(REQUEST_SECONDS):
                await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has gone
        finally:
            self._count -= 1
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_REQUEST_BYTES)
        request = None
        try:
            request = await _request(connection, stream)
            if request is None:
                return
            status, kind, body = await self._answered(request)
        except h11.RemoteProtocolError as error:
            status, kind, body = error.error_status_hint, TEXT, b"this is no request of HTTP\n"
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
        if status == 405:
            headers.append(("Allow", "GET, HEAD"))
        data = connection.send(h11.Response(status_code=status, headers=headers)) or b""
        if request is None or request.method != b"HEAD":
            data += connection.send(h11.Data(data=body)) or b""
        data += connection.send(h11.EndOfMessage()) or b""
        await stream.send_all(data)
        await stream.send_eof()
        while await stream.receive_some(_CHUNK):  # what is unread would reset the connection, and the answer with it
            pass

    async def _answered(self, request: h11.Request) -> Answer:
        if request.method not in (b"GET", b"HEAD"):
            return 405, TEXT, b"only GET\n"
        accept = b",".join(value for name, value in request.headers if name == b"accept").decode("latin-1")
        try:
            return await self._answer(request.target.partition(b"?")[0], accept)
        except Exception as error:  # noqa: BLE001 (another collector of the program's registry, or its admission)
            return 500, TEXT, f"the numbers cannot be read: {error!r}\n".encode()


def health(problems: Sequence[str]) -> Answer:
    """The answer of ``/healthz``: a line for each problem, if there are any."""
    if not problems:
        return 200, TEXT, b"ok\n"
    more = [f"and {len(problems) - _MAX_PROBLEMS} more"] if len(problems) > _MAX_PROBLEMS else []
    return 503, TEXT, "".join(f"{line}\n" for line in (*problems[:_MAX_PROBLEMS], *more)).encode()


async def _request(connection: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """The request; None if the peer has gone without one."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        data = await stream.receive_some(_CHUNK)
        connection.receive_data(data)
        if not data and connection.their_state is h11.IDLE:
            return None
