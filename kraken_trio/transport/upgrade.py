"""The peer's answer to our WebSocket request, as far as it can refuse us.

The answer is judged here and not by a WebSocket library, because those wait for the whole body of a refusal
(which need not end) and forget its status when the connection ends first.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import trio

from kraken_trio._text import printable
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio._address import Address

__all__ = ["MAX_HEAD_BYTES", "MAX_RETRY_AFTER", "read_acceptance"]

MAX_HEAD_BYTES = 16 * 1024
"""The longest status line with headers that is read; h11 stops there too."""
MAX_BODY_BYTES = 1024
"""How much of a refusal's body is read, for its words."""
BODY_WAIT = 0.5
"""Seconds to wait for that body: the refusal is known without it."""
MAX_RETRY_AFTER = 86_400.0
"""Seconds. A longer ``Retry-After`` is taken for this. How much of it a client obeys is a matter of its settings."""

_START = b"HTTP/1."
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: ([^\r\n]*))?\r?\n")
_HOPELESS = frozenset({400, 401, 404})
_BANNED = frozenset({403, 429})


async def read_acceptance(stream: trio.abc.ReceiveStream, address: Address) -> tuple[bytes, bytes]:
    """Read until the peer has answered. If that is 101, "Switching Protocols": the answer, and what came behind it.

    Everything else is a :class:`~kraken_trio.ConnectError`: another status, what is not HTTP or too long, the end.
    """
    head = bytearray()
    answered = f"{address} answered the WebSocket request with"
    while not (end := _END_OF_HEAD.search(head)):
        if not head.startswith(_START[: len(head)]):
            msg = f"{answered} something that is not HTTP: {_words(head)}"
            raise ConnectError(msg)
        if len(head) > MAX_HEAD_BYTES:
            msg = f"{answered} more than {MAX_HEAD_BYTES} bytes of headers"
            raise ConnectError(msg)
        try:
            chunk = await stream.receive_some(MAX_HEAD_BYTES)
        except trio.BrokenResourceError as exc:
            msg = f"the connection to {address} broke in the WebSocket upgrade: {printable(exc)}"
            raise ConnectError(msg) from exc
        if not chunk:
            msg = f"{address} closed the connection in the WebSocket upgrade, without an answer"
            raise ConnectError(msg)
        head += chunk
    status_line = _STATUS_LINE.match(head)
    if status_line is None:
        msg = f"{answered} something that is not HTTP: {_words(head)}"
        raise ConnectError(msg)
    if status_line[1] == b"101":
        return bytes(head[: end.end()]), bytes(head[end.end() :])
    headers = _headers(bytes(head[status_line.end() : end.end()]))
    body = await _some_body(stream, bytes(head[end.end() :]), headers)
    raise _refusal(address, int(status_line[1]), bytes(status_line[2] or b""), headers, body)


def _headers(block: bytes) -> dict[str, str]:
    """The last of each name counts; lines that are no header are passed over."""
    lines = (line.decode("latin-1").partition(":") for line in block.splitlines())
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}


async def _some_body(stream: trio.abc.ReceiveStream, body: bytes, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "")
    wanted = min(int(length), MAX_BODY_BYTES) if re.fullmatch("[0-9]{1,18}", length) else MAX_BODY_BYTES
    with trio.move_on_after(BODY_WAIT):  # noqa: ASYNC912 (it need not wait when all is there)
        while len(body) < wanted:
            try:
                chunk = await stream.receive_some(MAX_BODY_BYTES)
            except trio.BrokenResourceError:
                break
            if not chunk:
                break
            body += chunk
    return body[:MAX_BODY_BYTES]


def _refusal(address: Address, status: int, phrase: bytes, headers: Mapping[str, str], body: bytes) -> ConnectError:
    message = f"{address} refused the WebSocket connection: HTTP {status}"
    if phrase:
        message += f" {printable(phrase.decode('latin-1'), 60)}"
    retry_after = parse_retry_after(headers)
    if 300 <= status < 400:
        where = printable(headers["location"]) if "location" in headers else "somewhere it does not name"
        return ConnectError(
            f"{message}: it redirects to {where}; redirects are not followed: if you trust that address, use it",
            status=status,
            retry_after=retry_after,
            retryable=False,
        )
    if words := _words(body):
        message += f": {words}"
    if retry_after is not None:
        message += f" (try again in {retry_after:.0f} s)"
    elif status in _BANNED:  # without SNI as well, but we always send it
        message += " (perhaps a ban for too many connection attempts from this address: it lasts about 600 s)"
    return ConnectError(message, status=status, retry_after=retry_after, retryable=status not in _HOPELESS)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """HTTP's ``Retry-After`` in seconds from now, within 0 and :data:`MAX_RETRY_AFTER`; None if absent or unreadable.

    It is a number of seconds, or a date. A date is compared with the answer's own ``Date``, if it has one: that
    needs no right clock on this side.
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


def _words(body: bytes | bytearray) -> str:
    """The readable part of a body, without markup, in one short line."""
    text = re.sub(r"<[^>]*>", " ", body[:MAX_BODY_BYTES].decode("utf-8", "replace"))
    return printable(" ".join(text.split()), 120)
