"""A byte stream through an HTTP proxy, which is asked for it with CONNECT.

The proxy passes on bytes: TLS is spoken through it with the exchange itself, whose certificate is verified as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
import trio

from kraken_trio.errors import ConnectError
from kraken_trio.transport.dial import OpenStream, connect_tcp, told, untold
from kraken_trio.transport.formatting import describe
from kraken_trio.transport.upgrade import MAX_HEAD_BYTES, parse_retry_after

if TYPE_CHECKING:
    from kraken_trio._proxy import Proxy
    from kraken_trio.transport.seam import Tell

__all__ = ["HOPELESS", "Tunnel", "advice", "first_phase"]

_WANTS_PASSWORD = 407
HOPELESS = frozenset({400, 401, 405, _WANTS_PASSWORD, 501})
"""It does not know the password, or CONNECT; the same request would be refused again."""


class Tunnel:
    """An :data:`~kraken_trio.transport.dial.OpenStream` through ``proxy``, which is reached by ``open_stream``."""

    def __init__(self, proxy: Proxy, open_stream: OpenStream = trio.open_tcp_stream, tell: Tell = untold) -> None:
        self.proxy: Proxy = proxy
        self._open_stream = open_stream
        self._tell = tell

    def telling(self, tell: Tell, /) -> Tunnel:
        """The same, which tells each phase when it begins."""
        return Tunnel(self.proxy, told(self._open_stream, tell), tell)

    def __repr__(self) -> str:
        return f"<Tunnel through {self.proxy}>"

    async def __call__(self, host: str, port: int) -> trio.abc.Stream:
        """Open a stream to ``host:port``. Raises :class:`~kraken_trio.ConnectError`."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        stream = await connect_tcp(self.proxy, self._open_stream, self._tell)
        self._tell("proxy")
        try:
            await self._ask(stream, target)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
            raise
        return stream

    async def _ask(self, stream: trio.abc.Stream, target: str) -> None:
        proxy = self.proxy
        try:
            await stream.send_all(_request(proxy, target))
            status, retry_after = await _read_response(stream, proxy)
        except trio.BrokenResourceError as exc:
            msg = f"the connection to {proxy} broke before it had answered: {describe(exc)}"
            raise ConnectError(msg) from exc
        if not _is_success(status):
            msg = f"{proxy} did not connect to {target}: HTTP {status}; {advice(proxy, target, status)}"
            is_hopeless = status in HOPELESS
            raise ConnectError(msg, proxy_status=status, retry_after=retry_after, retryable=not is_hopeless)


def first_phase(open_stream: OpenStream) -> str:
    """What is done while a stream is being opened in this way, for the message of a timeout."""
    if isinstance(open_stream, Tunnel):
        return f"connecting to {open_stream.proxy}, or waiting for it to connect"
    return "looking up the name or connecting by TCP"


def _request(proxy: Proxy, target: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if (authorization := proxy.authorization()) is not None:
        lines.append(f"Proxy-Authorization: {authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _read_response(stream: trio.abc.Stream, proxy: Proxy) -> tuple[int, float | None]:
    """The status of the proxy's final answer, and its ``Retry-After``.

    Nothing else of what it says gets anywhere, local variables of tracebacks included: it may repeat the password.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    http.send(h11.Request(method="CONNECT", target="-", headers=[("Host", "-")]))  # what it expects an answer to
    http.send(h11.EndOfMessage())
    while not isinstance(event := _next_event(http), h11.Response):
        if event is None:
            msg = f"{proxy} answered with something that is not HTTP: is it an HTTP proxy?"
            raise ConnectError(msg)
        if event is h11.NEED_DATA and not await _feed(http, stream):
            msg = f"{proxy} closed the connection before it had answered"
            raise ConnectError(msg)
    if _is_success(event.status_code) and http.trailing_data[0]:
        msg = f"{proxy} has sent bytes that cannot be the exchange's, which speaks second: is it an HTTP proxy?"
        raise ConnectError(msg)
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
    return event.status_code, parse_retry_after(headers)


def _is_success(status: int) -> bool:
    return 200 <= status < 300


async def _feed(http: h11.Connection, stream: trio.abc.Stream) -> bool:
    """Read once; False at the end."""
    chunk = await stream.receive_some(MAX_HEAD_BYTES)
    http.receive_data(bytes(chunk))
    return bool(chunk)


def _next_event(http: h11.Connection) -> object:
    """h11's next event, or None if the peer violates HTTP: h11's error would repeat its words."""
    try:
        return http.next_event()
    except h11.RemoteProtocolError:
        return None


def advice(proxy: Proxy, target: str, status: int) -> str:
    """What to do when the proxy answers with this status. ``target``: the host and the port that it was asked for."""
    if status == _WANTS_PASSWORD:
        if proxy.has_password:
            return "it does not accept the user and password of its URL (only the scheme Basic is supported)"
        return "it wants a user and a password: give them in its URL, http://USER:PASSWORD@HOST:PORT"
    if status == 403:
        return f"its rules forbid that host or port: ask whoever runs it to allow {target}"
    if status >= 500:
        return "it could not reach the exchange: check its own network and its name lookup"
    return "is it an HTTP proxy that allows CONNECT?"
