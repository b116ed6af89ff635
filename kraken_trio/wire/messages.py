"""The messages of all protocols: a codec decodes any frame into one of these, or raises ``ProtocolError``.

Every class has ``is_pushed``: whether the exchange sent the frame on its own, as it does all the time while a
subscription is in force. Only pushed frames show that it still serves this connection; an answer to one of our
requests, such as a pong, shows only that somebody reads them.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final, TypeAlias

import attrs
import msgspec

from kraken_trio.events import (
    Balance,
    BalanceUpdate,
    BookSnapshot,
    BookUpdate,
    Candle,
    Execution,
    InstrumentUpdate,
    Level3Snapshot,
    Level3Update,
    SpreadUpdate,
    TickerUpdate,
    Trade,
)

__all__ = [
    "TOKEN",
    "Ack",
    "Data",
    "DataEvent",
    "Empty",
    "Foreign",
    "Heartbeat",
    "MarketEvent",
    "Message",
    "Method",
    "Notice",
    "Numbered",
    "Pong",
    "Refusal",
    "RefusalKind",
    "Status",
    "Terms",
    "Unknown",
]

TOKEN: Final = "<token>"  # noqa: S105 (what stands for one)
"""What stands for the token in the frames of a codec. Only the owner of the socket knows the token: it puts it in when
a frame is sent, and takes it out of what is received. So no frame that is shown, kept or tested has it."""


class Numbered(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message of a private channel, which numbers its messages."""

    symbol: ClassVar[None] = None
    channel: str
    snapshot: bool
    sequence: int | None
    """One more than that of the stream's last message; None if the message had none."""
    rows: tuple[Execution | Balance | BalanceUpdate, ...]
    stream: str = ""
    """Which of :attr:`streams` it is of."""
    streams: tuple[str, ...] = ("",)
    """What the channel consists of on the wire: each numbers its own messages, and has a part of the snapshot."""
    epoch: int = 0
    received_ns: int = 0


MarketEvent: TypeAlias = (
    BookSnapshot
    | BookUpdate
    | Level3Snapshot
    | Level3Update
    | Trade
    | TickerUpdate
    | SpreadUpdate
    | Candle
    | InstrumentUpdate
)
"""An event of the market, which comes from the exchange as it is."""
DataEvent: TypeAlias = MarketEvent | Numbered
"""What comes from the exchange, rather than from the client: events, or what a channel's state makes events of."""


class Method(enum.Enum):
    """The requests that have an answer per symbol."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


class RefusalKind(enum.Enum):
    """How to react to a refusal."""

    RATE_LIMITED = "rate limited"
    """Too many requests: retry later and more slowly."""
    LATER = "later"
    """The exchange cannot do it now: retry later."""
    ALREADY = "already subscribed"
    """The exchange already has this subscription; no snapshot follows."""
    ABSENT = "not subscribed"
    """The exchange does not have this subscription."""
    STALE_TOKEN = "stale token"  # noqa: S105 (a kind of refusal)
    """The token of an authenticated connection is no longer accepted: retry with another one."""
    FINAL = "final"
    """Retrying cannot help."""


@attrs.frozen(kw_only=True)
class Terms:
    """What the exchange demands of a subscription to a channel."""

    is_alone: bool = False
    """Whether it is requested in a frame of its own, because an answer may not name its symbol."""
    cost: int = 0
    """What its snapshot takes from the budget of snapshots, in points; 0 if the exchange does not count it."""
    max_symbols: int | None = None
    """How many symbols of the channel one connection may have; None for any number."""


class Data(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Market data of one channel, in the order of the wire."""

    is_pushed: ClassVar[bool] = True
    channel: str
    events: tuple[DataEvent, ...] = msgspec.field(name="data")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Data):  # the decoder has structs of its own for books
            return NotImplemented
        return (self.channel, self.events) == (other.channel, other.events)

    def __ne__(self, other: object) -> bool:  # a struct has one of its own, which knows nothing of the above
        return not self == other

    def __hash__(self) -> int:
        return hash((self.channel, self.events))

    def __repr__(self) -> str:
        return f"Data({self.channel!r}, {self.events!r})"


@attrs.frozen
class Empty:
    """A snapshot without entries: there is no data yet. It does not name its symbol."""

    is_pushed: ClassVar[bool] = True
    channel: str


@attrs.frozen
class Heartbeat:
    """A sign of life, sent every second while something is subscribed."""

    is_pushed: ClassVar[bool] = True


@attrs.frozen(kw_only=True)
class Status:
    """The exchange's status."""

    is_pushed: ClassVar[bool] = True
    system: str
    """``online``, ``maintenance``, ``cancel_only``, ``post_only``, ``limit_only``, or something new."""
    version: str = ""
    api_version: str = ""
    connection_id: int | None = None
    """Unsigned, 64 bits. During maintenance there may be none."""
    notices: tuple[str, ...] = ()
    """Upcoming maintenance and emergencies, as JSON texts."""


@attrs.frozen(kw_only=True)
class Ack:
    """A confirmation of a request, for one symbol."""

    is_pushed: ClassVar[bool] = False
    method: Method
    channel: str
    symbol: str | None
    req_id: int | None
    depth: int | None = None
    """For books: the depth in the answer, any whole number."""
    interval: int | None = None
    """For candles, likewise."""
    warnings: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Refusal:
    """A refusal of a request: for one symbol, or, if that is None, for an unknown part or all of it."""

    is_pushed: ClassVar[bool] = False
    error: str
    """The exchange's text, printable."""
    kind: RefusalKind
    symbol: str | None = None
    """The symbol of the refusal, if the exchange names one."""
    mentioned: tuple[str, ...] = ()
    """If ``symbol`` is None: the symbols elsewhere in the answer, or in its text, in upper case. They may not be in the
    request; compare without case."""
    channel: str | None = None
    """The channel, which the exchange rarely names."""
    req_id: int | None = None
    method: str | None = None
    """The method, which is unreliable (see docs/reference/protocol.md, errors)."""


@attrs.frozen(kw_only=True)
class Pong:
    """The answer to an application ping."""

    is_pushed: ClassVar[bool] = False
    req_id: int | None
    in_ns: int | None = attrs.field(default=None, eq=False)
    """When the exchange received the ping, by its own clock; None if it does not say it."""
    out_ns: int | None = attrs.field(default=None, eq=False)
    """When it sent this."""


@attrs.frozen(kw_only=True)
class Notice:
    """Plain text, such as ``CloudFlare WebSocket proxy restarting``: the connection may end soon.

    It does not count as pushed: it comes from a proxy, not from the exchange.
    """

    is_pushed: ClassVar[bool] = False
    text: str
    """Printable."""


@attrs.frozen(kw_only=True)
class Foreign:
    """A frame of another of Kraken's protocols: the client is connected to the wrong endpoint."""

    is_pushed: ClassVar[bool] = False
    protocol: str
    """``"v1"``, ``"v2"`` or ``"futures"``."""
    text: str
    """The beginning of the frame, printable."""


@attrs.frozen(kw_only=True)
class Unknown:
    """A well-formed frame that is unknown to this version."""

    what: str
    channel: str | None = None
    """The channel, if it is pushed data of an unknown channel or type; printable."""

    @property
    def is_pushed(self) -> bool:
        return self.channel is not None


Message: TypeAlias = Data | Empty | Heartbeat | Status | Ack | Refusal | Pong | Notice | Foreign | Unknown
