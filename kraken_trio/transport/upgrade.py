"""The peer's response to the WebSocket request: an upgrade, or a refusal that is reported.

h11 parses it. It is not left to the WebSocket libraries, because they wait for the whole body of a refusal (which need
not end) and forget its status when the connection ends first.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import h11
import trio

from kraken_trio._text import printable
from kraken_trio.errors import ConnectError
from kraken_trio.transport.formatting import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio._address import Address

__all__ = ["MAX_HEAD_BYTES", "MAX_RETRY_AFTER", "read_acceptance"]

MAX_HEAD_BYTES = 16 * 1024
"""The longest status line with headers that is read."""
MAX_BODY_BYTES = 1024
"""How much of a refusal's body is read, to quote it."""
BODY_WAIT = 0.5
"""Seconds to wait for that body: the refusal is known without it."""
MAX_RETRY_AFTER = 86_400.0
"""Seconds. A longer ``Retry-After`` is taken for this. How much of it a client obeys is a matter of its settings."""

_HTTP_1 = b"HTTP/1."
_SWITCHING_PROTOCOLS = 101
_HOPELESS = frozenset({400, 401, 404})
_BANNED = frozenset({403, 429})


async def read_acceptance(stream: trio.abc.ReceiveStream, address: Address) -> tuple[bytes, bytes]:
    """Read the response. If it is 101 Switching Protocols, return its head, and what has come behind it.

    Anything else is a :class:`~kraken_trio.ConnectError`: another status, a response that is too long or not HTTP, the
    end of the stream.
    """
    http = _response_parser()
    received = bytearray()
    try:
        while (event := http.next_event()) is h11.NEED_DATA:
            received += (chunk := await _read(stream, address))
            if not received.startswith(_HTTP_1[: len(received)]):  # at once: such a peer need not send a blank line
                raise _not_http(address, received)
            http.receive_data(bytes(chunk))
    except h11.RemoteProtocolError as exc:
        raise _malformed(address, received, exc) from None  # a traceback would repeat the peer's text unescaped
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    if event.status_code == _SWITCHING_PROTOCOLS:
        behind_it, _ = http.trailing_data
        return bytes(received[: len(received) - len(behind_it)]), behind_it
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
    body = await _some_body(http, stream) if isinstance(event, h11.Response) else b""
    raise _refusal(address, event.status_code, printable(event.reason.decode("latin-1"), 60), headers, body)


def _response_parser() -> h11.Connection:
    """A parser that expects the response to a WebSocket request (which the WebSocket library writes)."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    headers = [("Host", "-"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
    http.send(h11.Request(method="GET", target="/", headers=headers))
    http.send(h11.EndOfMessage())
    return http


async def _read(stream: trio.abc.ReceiveStream, address: Address) -> bytes | bytearray:
    try:
        chunk = await stream.receive_some(MAX_HEAD_BYTES)
    except trio.BrokenResourceError as exc:
        msg = f"the connection to {address} broke during the WebSocket handshake: {describe(exc)}"
        raise ConnectError(msg) from exc
    if not chunk:
        msg = f"{address} closed the connection during the WebSocket handshake, before it had answered"
        raise ConnectError(msg)
    return chunk


async def _some_body(http: h11.Connection, stream: trio.abc.ReceiveStream) -> bytes:
    """The beginning of the body, as much as is needed and comes in time."""
    body = bytearray()
    with trio.move_on_after(BODY_WAIT):  # noqa: ASYNC912 (it need not wait when all is there)
        while len(body) < MAX_BODY_BYTES:
            try:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    http.receive_data(bytes(await stream.receive_some(MAX_BODY_BYTES)))
                    continue
            except (h11.RemoteProtocolError, trio.BrokenResourceError):
                break
            if not isinstance(event, h11.Data):
                break
            body += event.data
    return bytes(body[:MAX_BODY_BYTES])


def _not_http(address: Address, received: bytearray) -> ConnectError:
    return ConnectError(f"{address} answered the WebSocket request with something that is not HTTP: {_text(received)}")


def _malformed(address: Address, received: bytearray, error: h11.RemoteProtocolError) -> ConnectError:
    """The error for a response that h11 rejects. Its status counts all the same, if that much is readable."""
    if error.error_status_hint == 431:
        msg = f"{address} answered the WebSocket request with more than {MAX_HEAD_BYTES} bytes of headers"
        return ConnectError(msg)
    status_line = received.split(b"\n", 1)[0].rstrip(b"\r")
    version_and_status = b" ".join(status_line.split(b" ", 2)[:2])
    http = _response_parser()
    http.receive_data(version_and_status + b"\r\n\r\n")
    try:
        event = http.next_event()
    except h11.RemoteProtocolError:
        return _not_http(address, received)
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    if event.status_code == _SWITCHING_PROTOCOLS:
        return ConnectError(f"{address} violated the WebSocket handshake: {describe(error)}")
    violation = str(error).partition(":")[0]
    phrase = f"{_text(status_line[len(version_and_status) :])} (a malformed HTTP response: {printable(violation)})"
    return _refusal(address, event.status_code, phrase.lstrip(), {}, b"")


def _refusal(address: Address, status: int, phrase: str, headers: Mapping[str, str], body: bytes) -> ConnectError:
    message = f"{address} refused the WebSocket connection: HTTP {status}"
    if phrase:
        message += f" {phrase}"
    retry_after = parse_retry_after(headers)
    if 300 <= status < 400:
        where = printable(headers["location"]) if "location" in headers else "an address that it does not name"
        return ConnectError(
            f"{message}: it redirects to {where}; redirects are not followed: if you trust that address, use it",
            status=status,
            retry_after=retry_after,
            retryable=False,
        )
    if text := _text(body):
        message += f": {text}"
    if retry_after is not None:
        message += f" (try again in {retry_after:.0f} s)"
    elif status in _BANNED:  # without SNI as well, but we always send it
        message += " (perhaps a ban for too many connection attempts from this address: it lasts about 600 s)"
    elif 200 <= status < 300 or status == 404:
        message += f" (there is no WebSocket endpoint at {printable(address.target, 60)}: check the URL)"
    return ConnectError(message, status=status, retry_after=retry_after, retryable=status not in _HOPELESS)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """HTTP's ``Retry-After`` in seconds from now, within 0 and :data:`MAX_RETRY_AFTER`; None if absent or unreadable.

    It is a number of seconds, or a date. A date is compared with the response's own ``Date``, if it has one: that
    works even if the clock on this side is wrong.
    """
    value = headers.get("retry-after", "")
    if re.fullmatch("[0-9]+", value):
        return min(float(value), MAX_RETRY_AFTER)
    then = _timestamp(value)
    if then is None:
        return None
    now = _timestamp(headers.get("date", ""))
    return min(max(then - (time.time() if now is None else now), 0.0), MAX_RETRY_AFTER)


def _timestamp(http_date: str) -> float | None:
    try:
        when = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _text(body: bytes | bytearray) -> str:
    """The readable part of a body, without markup, in one short line."""
    text = re.sub(r"<[^>]*>", " ", body[:MAX_BODY_BYTES].decode("utf-8", "replace"))
    return printable(" ".join(text.split()), 120)
