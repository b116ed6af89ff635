"""A small HTTP server for Prometheus and for whoever asks whether a client is well. It has no thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import h11
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from kraken_trio import Client
from kraken_trio.metrics.collector import MAX_SERIES, Collector, register
from kraken_trio.metrics.health import problems

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_CONNECTIONS", "REQUEST_SECONDS", "serve"]

MAX_CONNECTIONS: Final = 8
"""How many are served at a time; further ones are closed at once."""
REQUEST_SECONDS: Final = 5.0
"""How long a connection may last: it is closed after its first answer."""
_MAX_REQUEST_BYTES: Final = 16_384
_MAX_PROBLEMS: Final = 20
_CHUNK: Final = 4096
_TEXT: Final = "text/plain; charset=utf-8"


async def serve(
    clients: Client | Iterable[Client],
    port: int,
    *,
    host: str = "127.0.0.1",
    registry: CollectorRegistry | None = None,
    max_series: int = MAX_SERIES,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the numbers of these clients over HTTP, until cancelled: ``await nursery.start(serve, client, 9464)``.

    * ``/metrics``: all numbers, for Prometheus;
    * ``/healthz``: 200 while every client is connected, everything that it wants is confirmed, every book verified, and
      every recording can be written; else 503, and a line for each thing that is wrong.

    ``nursery.start`` returns the port; with port 0, a free one is taken. ``registry`` is one of yours, whose other
    numbers are served as well; ``max_series`` is as for :func:`register`.

    It is answered in the Trio thread. At most 8 connections are served at a time, each for at most 5 s. There is no
    encryption and no password: whoever can connect to ``host`` sees the numbers, but no data and no secrets.

    Raises :class:`OSError` if the port cannot be used, and :class:`ValueError` as :func:`register` does.
    """
    several = (clients,) if isinstance(clients, Client) else tuple(clients)
    registry = CollectorRegistry() if registry is None else registry
    with register(*several, registry=registry, max_series=max_series) as collector:
        listeners = await trio.open_tcp_listeners(port, host=host)
        server = _Server(registry, collector)
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(server.handle, listeners)


class _Server:
    def __init__(self, registry: CollectorRegistry, collector: Collector) -> None:
        self._registry = registry
        self._collector = collector
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
            status, kind, body = self._answered(request)
        except h11.RemoteProtocolError as error:
            status, kind, body = error.error_status_hint, _TEXT, b"this is no request of HTTP\n"
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

    def _answered(self, request: h11.Request) -> tuple[int, str, bytes]:
        try:
            return self._answer(request)
        except Exception as error:  # noqa: BLE001 (another collector of the program's registry, or its admission)
            return 500, _TEXT, f"the numbers cannot be read: {error!r}\n".encode()

    def _answer(self, request: h11.Request) -> tuple[int, str, bytes]:
        if request.method not in (b"GET", b"HEAD"):
            return 405, _TEXT, b"only GET\n"
        path = request.target.partition(b"?")[0]
        if path == b"/metrics":
            accept = b",".join(value for name, value in request.headers if name == b"accept").decode("latin-1")
            encode, kind = choose_encoder(accept)
            return 200, kind, encode(self._registry)
        if path == b"/healthz":
            found = [line for name, now in self._collector.statistics().items() for line in problems(name, now)]
            if not found:
                return 200, _TEXT, b"ok\n"
            more = [f"and {len(found) - _MAX_PROBLEMS} more"] if len(found) > _MAX_PROBLEMS else []
            return 503, _TEXT, "".join(f"{line}\n" for line in (*found[:_MAX_PROBLEMS], *more)).encode()
        return 404, _TEXT, b"there are /metrics and /healthz\n"


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
