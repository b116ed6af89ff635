"""What a frame may say. A decoder turns any bytes into one of these, or raises :class:`~kraken_trio.ProtocolError`."""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs
import msgspec

from kraken_trio.events import BookSnapshot, BookUpdate, Candle, InstrumentUpdate, TickerUpdate, Trade

__all__ = [
    "Ack",
    "Data",
    "DataEvent",
    "Empty",
    "Heartbeat",
    "Message",
    "Method",
    "Pong",
    "Refusal",
    "RefusalKind",
    "Status",
    "Unknown",
]

DataEvent: TypeAlias = BookSnapshot | BookUpdate | Trade | TickerUpdate | Candle | InstrumentUpdate
"""An event that comes from the exchange, rather than from the client."""


class Method(enum.Enum):
    """The requests that have an answer per symbol."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


class RefusalKind(enum.Enum):
    """What to do about a refusal."""

    RATE_LIMITED = "rate limited"
    """Too many requests: ask again, later and slower."""
    LATER = "later"
    """The exchange cannot do it now: ask again later."""
    ALREADY = "already subscribed"
    """The exchange thinks that it has this subscription; no snapshot follows."""
    ABSENT = "not subscribed"
    """The exchange thinks that it does not have this subscription."""
    FINAL = "final"
    """Asking again cannot help."""


class Data(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Market data of one channel, in the order of the wire."""

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
    """A snapshot without entries: there is nothing yet. Of which symbol, it does not say."""

    channel: str


@attrs.frozen
class Heartbeat:
    """The connection lives."""


@attrs.frozen(kw_only=True)
class Status:
    """The exchange's own state."""

    system: str
    """``online``, ``maintenance``, ``cancel_only``, ``post_only``, ``limit_only``, or something new."""
    version: str = ""
    api_version: str = ""
    connection_id: int | None = None
    """Unsigned, 64 bits."""
    notices: tuple[str, ...] = ()
    """Upcoming maintenance and emergencies, as they came: JSON texts."""


@attrs.frozen(kw_only=True)
class Ack:
    """A request was accepted, for one symbol."""

    method: Method
    channel: str
    symbol: str | None
    req_id: int | None
    depth: int | None = None
    """Of a book, as the exchange says: any whole number."""
    interval: int | None = None
    """Of candles, likewise."""
    warnings: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Refusal:
    """A request was refused: for one symbol, or, if that is None, for the whole request (or who knows which)."""

    error: str
    kind: RefusalKind
    symbol: str | None = None
    req_id: int | None = None
    method: str | None = None
    """As the exchange says; it is not to be trusted (PROTOCOL, section 3.2)."""


@attrs.frozen(kw_only=True)
class Pong:
    """The answer to an application ping."""

    req_id: int | None


@attrs.frozen(kw_only=True)
class Unknown:
    """A well-formed frame that this version does not know."""

    what: str


Message: TypeAlias = Data | Empty | Heartbeat | Status | Ack | Refusal | Pong | Unknown
