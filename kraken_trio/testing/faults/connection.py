"""Faults of a connection: refusals, endings, silence, unexpected frames."""

from __future__ import annotations

import enum

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = [
    "DelayConnect",
    "Drop",
    "DropConnect",
    "DropHow",
    "Freeze",
    "HangConnect",
    "Raw",
    "RawKind",
    "RefuseConnect",
    "SetStatus",
    "SpeakV1",
    "StopHeartbeats",
    "StopPushing",
    "StrayError",
    "UnknownChannel",
]

_MAX_CLOSE_REASON = 123
"""The largest reason of a close frame, in bytes."""


def _close_reason(name: str, value: object) -> None:
    checks.text()(name, value)
    if isinstance(value, str) and len(value.encode()) > _MAX_CLOSE_REASON:
        raise checks.wrong_value(name, value, f"at most {_MAX_CLOSE_REASON} bytes")


class DropHow(enum.Enum):
    """How a connection ends."""

    CLOSE_1000 = "close 1000"
    """A WebSocket close frame, code 1000 (normal)."""
    CLOSE_1001 = "close 1001"
    """Code 1001 (going away), as Cloudflare does when it restarts its proxies."""
    CLOSE_1008 = "close 1008"
    """Code 1008 (policy violation)."""
    CLOSE_1011 = "close 1011"
    """Code 1011 (internal error)."""
    CLOSE_1012 = "close 1012"
    """Code 1012 (service restart): connect again."""
    CLOSE_1013 = "close 1013"
    """Code 1013 (try again later)."""
    EOF = "eof"
    """The TCP stream ends without a close frame. What was sent before still arrives."""
    RESET = "reset"
    """A TCP reset: data in transit may be lost."""
    TORN = "torn"
    """Half a frame, then the TCP stream ends."""

    @property
    def code(self) -> int | None:
        """The close code; None where no close frame is sent."""
        return int(self.value[6:]) if self.value.startswith("close") else None


@attrs.frozen(kw_only=True)
class Drop:
    """End connections, now."""

    how: DropHow = attrs.field(default=DropHow.EOF, validator=valid(checks.one_of(*DropHow)))
    reason: str = attrs.field(default="", validator=valid(_close_reason))
    """The reason in the close frame, if one is sent."""
    notice: str | None = attrs.field(default=None, validator=valid(checks.optional(checks.text())))
    """A plain text frame that is sent just before: ``CloudFlare WebSocket proxy restarting``."""
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class Freeze:
    """Connections stay open, but are never read or written again. New ones work."""

    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class StopPushing:
    """Nothing is pushed to connections any more: no data, no heartbeats, no status.

    Requests and pings are still answered. New connections work.
    """

    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class StopHeartbeats:
    """No heartbeats, until cleared. Data is still sent."""

    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class RefuseConnect:
    """The WebSocket upgrade is answered with this HTTP status."""

    status: int = attrs.field(default=503, validator=valid(checks.integer(least=200, most=599)))
    retry_after: float | None = attrs.field(default=None, validator=valid(checks.optional(checks.seconds)))
    """Seconds, sent as ``Retry-After``."""
    body: str = attrs.field(default="", validator=valid(checks.text()))
    """The body, such as the HTML page of a proxy."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class HangConnect:
    """The TCP connection is accepted, but the WebSocket upgrade is never answered."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DropConnect:
    """The TCP connection is accepted, and closed on the upgrade request."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DelayConnect:
    """The WebSocket upgrade is answered after a delay."""

    seconds: float = attrs.field(validator=valid(checks.seconds))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class SpeakV1:
    """A connection to v2 speaks Kraken's older protocol, v1, in which every v2 request is malformed."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class SetStatus:
    """Change the engine's status (``online``, ``maintenance``, ``cancel_only``, ``post_only``, …).

    It is sent to all connections, and to new ones when they connect. The market continues.
    """

    system: str = attrs.field(validator=valid(checks.text("the name of a status")))
    connection_id: bool = attrs.field(default=True, validator=valid(checks.boolean))
    """Whether the frames have the connection's id. (Kraken's had none in one maintenance.)"""


@attrs.frozen(kw_only=True)
class StrayError:
    """Send an error that answers no request: in v1 ``{"event":"error", …}``, in v2 ``{"Error": …}``."""

    error: str = attrs.field(default="Malformed request", validator=valid(checks.text()))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


class RawKind(enum.Enum):
    """How :class:`Raw` bytes are sent."""

    TEXT = "text"
    """One WebSocket text frame with this payload (which need not be UTF-8)."""
    BINARY = "binary"
    """One WebSocket binary frame."""
    TCP = "tcp"
    """Bytes of the TCP stream, between two frames."""


@attrs.frozen(kw_only=True)
class Raw:
    """Send this unchanged, now."""

    payload: str | bytes = attrs.field(validator=valid(checks.instance(str, bytes, wanted="text or bytes")))
    kind: RawKind = attrs.field(default=RawKind.TEXT, validator=valid(checks.one_of(*RawKind)))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class UnknownChannel:
    """Send a well-formed frame of an unknown channel."""

    channel: str = attrs.field(default="weather", validator=valid(checks.text()))
