"""What can go wrong, as values: give them to :func:`~kraken_trio.testing.open_exchange` or ``Exchange.inject``.

Two sorts:

*Immediate* faults happen when they are injected: :class:`Drop`, :class:`Freeze`, :class:`Raw`, :class:`UnknownChannel`,
:class:`SetStatus`, :class:`CrossedBook`.

*Armed* faults wait for their occasion, happen ``times`` times, and are then spent; ``times=None`` means until
``clear_faults()``. If several armed faults of a kind fit one occasion, the one injected first is taken.

Where a fault has a ``symbol``, ``channel`` or ``connection``, None means any (or, for immediate faults, all).
A connection is named by its number: 1 for the first that the exchange accepted, one more for each after it.

``Scheduled(at=2.5, fault=...)`` injects a fault that many seconds after the exchange was opened; a list of these is a
script.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

__all__ = [
    "CorruptChecksum",
    "CorruptLevel",
    "CrossedBook",
    "DelayAcks",
    "DelayConnect",
    "DelaySnapshots",
    "Drop",
    "DropConnect",
    "DropHow",
    "DuplicateAck",
    "Fault",
    "Freeze",
    "HangConnect",
    "IgnoreRequests",
    "LateUpdates",
    "Mute",
    "Raw",
    "RawKind",
    "Refuse",
    "RefuseConnect",
    "SetStatus",
    "Shape",
    "SkipUpdate",
    "StopHeartbeats",
    "UnknownChannel",
    "UnknownField",
    "UpdateBeforeSnapshot",
]


def _times(default: int | None = 1) -> int | None:
    def check(_instance: object, _attribute: attrs.Attribute[int | None], value: int | None) -> None:
        if value is not None and value < 1:
            msg = f"times={value}: at least 1, or None for 'until cleared'"
            raise ValueError(msg)

    return attrs.field(default=default, validator=check)


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
    CLOSE_1013 = "close 1013"
    """Code 1013 (try again later)."""
    EOF = "eof"
    """The TCP stream ends, without a close frame. What was sent before still arrives."""
    RESET = "reset"
    """A TCP reset: what was on the way may be lost."""
    TORN = "torn"
    """Half a frame, then the TCP stream ends."""

    @property
    def code(self) -> int | None:
        """The close code; None where no close frame is sent."""
        return int(self.value[6:]) if self.value.startswith("close") else None


@attrs.frozen(kw_only=True)
class Drop:
    """End connections, now."""

    how: DropHow = DropHow.EOF
    connection: int | None = None


@attrs.frozen(kw_only=True)
class Freeze:
    """Connections stay open, but nothing is written to them or read from them ever again. New ones are well."""

    connection: int | None = None


@attrs.frozen(kw_only=True)
class StopHeartbeats:
    """No heartbeats, until cleared. Data still comes."""

    connection: int | None = None


class RawKind(enum.Enum):
    """What :class:`Raw` bytes are."""

    TEXT = "text"
    """One WebSocket text frame with this payload (which need not be UTF-8)."""
    BINARY = "binary"
    """One WebSocket binary frame."""
    TCP = "tcp"
    """Bytes of the TCP stream, between two frames."""


@attrs.frozen(kw_only=True)
class Raw:
    """Send this, verbatim, now."""

    payload: str | bytes
    kind: RawKind = RawKind.TEXT
    connection: int | None = None


@attrs.frozen(kw_only=True)
class UnknownChannel:
    """Send a well-formed frame of a channel that nobody has heard of."""

    channel: str = "weather"


@attrs.frozen(kw_only=True)
class UnknownField:
    """The next data frame has additional fields, outside and inside of its data."""

    channel: str | None = None
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class SetStatus:
    """The engine's status is now this (``online``, ``maintenance``, ``cancel_only``, ``post_only``, …).

    All connections are told; new ones are told when they connect. The market goes on.
    """

    system: str


@attrs.frozen(kw_only=True)
class SkipUpdate:
    """A visible update of this symbol's book is withheld from its subscribers. The exchange's own book moves on."""

    symbol: str | None = None
    top: bool = True
    """Only one that changes the ten best levels, which the checksum covers: so the next message exposes it
    (unless that undoes the change). False: any."""
    connection: int | None = None
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class CorruptLevel:
    """In the next update with a level among the ten best, one digit of its quantity is wrong. The checksum is right."""

    symbol: str | None = None
    connection: int | None = None
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class CorruptChecksum:
    """The next book message has a wrong checksum."""

    symbol: str | None = None
    connection: int | None = None
    snapshots: bool = False
    """True: only snapshots. False: only updates."""
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class CrossedBook:
    """The best bid is above the best ask.

    ``consistent=True``: that is the exchange's own state. Its checksums are right and every fresh snapshot shows it,
    until ``clear_faults()``; meanwhile only deeper levels of this book move.

    ``consistent=False``: one update says so, with a checksum that fits, but the exchange's book is not crossed; a fresh
    snapshot is well.
    """

    symbol: str
    consistent: bool


class Shape(enum.Enum):
    """The three recorded forms of a refusal."""

    WITH_SYMBOL = "with symbol"
    """An answer per symbol, with the symbol at top level."""
    WITHOUT_SYMBOL = "without symbol"
    """An answer per symbol, which does not say which."""
    BARE = "bare"
    """``{"Error":"..."}`` for the whole request: no method, no req_id, no symbol."""


@attrs.frozen(kw_only=True)
class Refuse:
    """Subscriptions are refused. One occasion is one symbol of a request (one request for ``Shape.BARE``)."""

    error: str = "Exceeded msg rate"
    symbol: str | None = None
    channel: str | None = None
    shape: Shape = Shape.WITH_SYMBOL
    method: str = "subscribe"
    chance: float = 1.0
    """Refuse only this share of the occasions, chosen by the exchange's seed."""
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class RefuseConnect:
    """The WebSocket upgrade is answered with this HTTP status."""

    status: int = 503
    retry_after: float | None = None
    """Seconds, sent as ``Retry-After``."""
    body: str = ""
    """What is sent with it, such as the HTML page of a proxy."""
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class HangConnect:
    """The TCP connection is accepted, and the WebSocket upgrade never answered."""

    times: int | None = _times()


@attrs.frozen(kw_only=True)
class DropConnect:
    """The TCP connection is accepted, and closed when the upgrade is asked for."""

    times: int | None = _times()


@attrs.frozen(kw_only=True)
class DelayConnect:
    """The WebSocket upgrade is answered only so many seconds later."""

    seconds: float
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class Mute:
    """A subscription is acknowledged, and then nothing comes: no snapshot, no updates."""

    symbol: str | None = None
    channel: str | None = None
    existing: bool = False
    """Also silence the matching subscriptions that exist now (which uses up none of ``times``)."""
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class DelayAcks:
    """Subscribe and unsubscribe requests are dealt with only so many seconds later."""

    seconds: float
    times: int | None = _times(None)


@attrs.frozen(kw_only=True)
class DelaySnapshots:
    """Between a subscription's acknowledgement and its snapshot lie so many seconds."""

    seconds: float
    times: int | None = _times(None)


@attrs.frozen(kw_only=True)
class DuplicateAck:
    """An answer to a subscribe or unsubscribe is sent twice."""

    times: int | None = _times()


@attrs.frozen(kw_only=True)
class IgnoreRequests:
    """A request is neither done nor answered."""

    method: str | None = None
    """``subscribe``, ``unsubscribe``, ``ping``; None: any."""
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class LateUpdates:
    """After an unsubscribe was acknowledged, some more updates of its symbol's book come."""

    symbol: str | None = None
    updates: int = 3
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class UpdateBeforeSnapshot:
    """After a book's subscription was acknowledged, an update comes before its snapshot."""

    symbol: str | None = None
    times: int | None = _times()


Fault: TypeAlias = (
    Drop
    | Freeze
    | StopHeartbeats
    | Raw
    | UnknownChannel
    | UnknownField
    | SetStatus
    | SkipUpdate
    | CorruptLevel
    | CorruptChecksum
    | CrossedBook
    | Refuse
    | RefuseConnect
    | HangConnect
    | DropConnect
    | DelayConnect
    | Mute
    | DelayAcks
    | DelaySnapshots
    | DuplicateAck
    | IgnoreRequests
    | LateUpdates
    | UpdateBeforeSnapshot
)
"""Anything that can be injected."""
