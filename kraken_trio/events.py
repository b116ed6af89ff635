"""What a feed yields: frozen values, compared by content.

Each is a frozen :class:`msgspec.Struct`: ``msgspec.structs`` has ``replace`` and ``asdict`` for them.

Every event has

``channel``, ``symbol``
    what it is about: the channel of the exchange, and the market; None where there is none;
``epoch``
    the number of the connection it came over: 1 for a client's first, one more after every reconnect;
``received_ns``
    when its bytes were read from the socket: nanoseconds since 1970-01-01 UTC, by this machine's clock.

Prices and quantities are :class:`~decimal.Decimal` with the digits that came over the wire, trailing zeros
included. ``timestamp`` is the exchange's clock (UTC): it may be missing, and it is no sequence number.

Fields that Kraken does not always send are ``None`` when it did not.
"""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias

import msgspec

from kraken_trio._digits import number, number_text
from kraken_trio.errors import ProtocolError
from kraken_trio.evidence import ChecksumEvidence

__all__ = [
    "Asset",
    "BookSnapshot",
    "BookUpdate",
    "Candle",
    "Cause",
    "ConnectionState",
    "Event",
    "Gap",
    "InstrumentUpdate",
    "Level",
    "OrderType",
    "Pair",
    "Side",
    "StateChange",
    "StatusUpdate",
    "TickerUpdate",
    "Trade",
]


class ConnectionState(enum.Enum):
    """Where a client stands. The transitions are one table: :mod:`kraken_trio.session.lifecycle`."""

    DISCONNECTED = "disconnected"
    """No connection, and none is being made right now: the client waits before its next attempt, or has ended."""
    CONNECTING = "connecting"
    """An attempt is under way."""
    SUBSCRIBED = "subscribed"
    """Connected; all that is wanted is confirmed and every book is verified."""
    RESYNCING = "resyncing"
    """Connected; something wanted is not yet confirmed, or not yet verified again."""


class Cause(enum.Enum):
    """Why a state changed, or why events are missing."""

    OPENED = "opened"
    """The client was opened."""
    CONNECTED = "connected"
    """The connection is up."""
    SUBSCRIBING = "subscribing"
    """A program asked for something more."""
    SETTLED = "settled"
    """All that is wanted is confirmed, and every book verified."""
    RETRY = "retry"
    """The wait before the next attempt is over."""
    CONNECT_FAILED = "connect failed"
    """An attempt to connect failed."""
    DISCONNECTED = "disconnected"
    """The peer or the network ended the connection."""
    SILENCE = "silence"
    """Nothing at all was heard for ``Settings.silence_limit`` while we listened, or no answer to a WebSocket PING for
    ``Settings.keepalive_timeout``."""
    PROTOCOL = "protocol"
    """Too much of what came made no sense, so the connection was given up."""
    CLOSED = "closed"
    """The program left the client's block."""
    REFUSED = "refused"
    """The exchange will not have it: a subscription that it refused on replay, or, for the client, any connection."""
    CHECKSUM = "checksum"
    """A book failed its checksum."""
    CROSSED = "crossed"
    """A book's best bid was not below its best ask."""
    MALFORMED = "malformed"
    """A frame could not be understood."""
    RESUBSCRIBED = "resubscribed"
    """A subscription did not do what it promised (no answer, no snapshot), and was made anew."""
    PARKED = "parked"
    """A subscription failed too often in a row and was put aside; it is tried again after ``Settings.park_time``."""
    OVERFLOW = "overflow"
    """The consumer was too slow, and its feed's policy dropped events."""
    MISSED = "missed"
    """The exchange's own numbering says that messages are missing."""
    NOT_RECORDED = "not recorded"
    """A recording has nothing of this time."""
    SOUGHT = "sought"
    """The reader of a recording was moved to another time."""
    FAILOVER = "failover"
    """Another producer took over behind a broker, and nobody knows what came between."""
    EXPIRED = "expired"
    """A broker or a recording no longer keeps events of that age."""


class Side(enum.StrEnum):
    """The taker's side of a trade."""

    BUY = "buy"
    SELL = "sell"
    UNKNOWN = "unknown"
    """A value that this version does not know (counted in the client's statistics)."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls("unknown")


class OrderType(enum.StrEnum):
    """The taker's order type."""

    LIMIT = "limit"
    MARKET = "market"
    UNKNOWN = "unknown"
    """A value that this version does not know (counted in the client's statistics)."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls("unknown")


class Level(msgspec.Struct, frozen=True, gc=False, eq=False, forbid_unknown_fields=True):
    """One price of one side of a book: ``Level(price, qty)``, of texts or :class:`~decimal.Decimal`.

    It holds the digits of the wire; the :class:`~decimal.Decimal` is made from them when it is read. (In a level
    that no book has checked they may be no number: reading it then raises :class:`~kraken_trio.ProtocolError`.)
    """

    if TYPE_CHECKING:
        price_text: str
        """The price's digits, as they came over the wire."""
        qty_text: str
        """The quantity's digits, as they came over the wire."""

        def __init__(self, price: str | Decimal, qty: str | Decimal, /) -> None: ...
    else:
        # Any: a JSON number is decoded into its text by the decoder's float_hook, which is for untyped numbers only.
        price_text: Any = msgspec.field(name="price")
        qty_text: Any = msgspec.field(name="qty")

    def __post_init__(self) -> None:
        """Hold texts only, whoever makes the level: a program, or a decoder that met an integer."""
        if self.price_text.__class__ is not str or self.qty_text.__class__ is not str:
            msgspec.structs.force_setattr(self, "price_text", number_text(self.price_text))
            msgspec.structs.force_setattr(self, "qty_text", number_text(self.qty_text))

    @property
    def price(self) -> Decimal:
        """In the quote currency."""
        return number(self.price_text)

    @property
    def qty(self) -> Decimal:
        """The whole visible quantity at this price, in the base currency. In an update, zero removes the price."""
        return number(self.qty_text)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Level:
            return NotImplemented
        return (self.price_text == other.price_text and self.qty_text == other.qty_text) or (
            self.price == other.price and self.qty == other.qty
        )

    def __ne__(self, other: object) -> bool:  # a struct has one of its own, which knows nothing of the above
        return not self == other

    def __hash__(self) -> int:
        return hash((self.price, self.qty))

    def __repr__(self) -> str:
        try:
            return f"Level(price={self.price!r}, qty={self.qty!r})"
        except ProtocolError as error:
            return f"<Level: {error}>"

    def __str__(self) -> str:
        return f"{self.qty} @ {self.price}"


Checksum: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
"""32 bits, unsigned."""
Timestamp: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""With its time zone: a naive one would raise TypeError in the first program that subtracts it from the time of day."""


class BookSnapshot(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A whole, verified book. Whatever you held of this symbol before is obsolete."""

    channel: ClassVar[str] = "book"
    symbol: str
    bids: tuple[Level, ...]
    """Best (highest) first; at most ``depth`` of the request."""
    asks: tuple[Level, ...]
    """Best (lowest) first; at most ``depth`` of the request."""
    checksum: Checksum | None = None
    """The exchange's CRC32 of the ten best levels of each side (32 bits, unsigned)."""
    timestamp: Timestamp | None = None
    epoch: int = 0
    received_ns: int = 0


class BookUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A change of a book, verified: after it the book had the exchange's checksum.

    The levels stand in the order in which they happened, not in price order; the same price may occur
    more than once, and the last one holds. An empty side is unchanged.
    """

    channel: ClassVar[str] = "book"
    symbol: str
    bids: tuple[Level, ...]
    """The changed bids, in the order of their changes; empty if none changed."""
    asks: tuple[Level, ...]
    """The changed asks, in the order of their changes; empty if none changed."""
    checksum: Checksum | None = None
    """The exchange's CRC32 of the book after this update."""
    timestamp: Timestamp | None = None
    epoch: int = 0
    received_ns: int = 0


class Trade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One trade. ``trade_id`` counts up by one per symbol."""

    channel: ClassVar[str] = "trade"
    symbol: str
    side: Side
    """The taker's: ``BUY`` lifted an ask, ``SELL`` hit a bid."""
    price: Decimal
    """In the quote currency."""
    qty: Decimal
    """In the base currency."""
    ord_type: OrderType
    """The taker's."""
    trade_id: int
    """The exchange's number of it, per symbol."""
    timestamp: Timestamp
    snapshot: bool = False
    """True for a trade from before the subscription (``Trades(snapshot=True)``), or one caught up after a reconnect."""
    epoch: int = 0
    received_ns: int = 0


class TickerUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Best prices, and the last 24 hours."""

    channel: ClassVar[str] = "ticker"
    symbol: str
    bid: Decimal
    """The best bid's price, in the quote currency, as are all prices here."""
    bid_qty: Decimal
    """In the base currency."""
    ask: Decimal
    """The best ask's price."""
    ask_qty: Decimal
    """In the base currency."""
    last: Decimal | None = None
    """The last trade's price; sure to mean something only if there was a trade within 24 hours."""
    volume: Decimal | None = None
    """Traded within 24 hours, in the base currency."""
    vwap: Decimal | None = None
    """The volume-weighted average price of the last 24 hours."""
    low: Decimal | None = None
    """The lowest price of the last 24 hours."""
    high: Decimal | None = None
    """The highest price of the last 24 hours."""
    change: Decimal | None = None
    """Of the price within 24 hours, in the quote currency."""
    change_pct: Decimal | None = None
    """The same in percent points: 1.5 means 1.5 %."""
    trades: int | None = None
    """How many trades there were within 24 hours."""
    timestamp: Timestamp | None = None
    snapshot: bool = False
    """True for the state at the time of the subscription."""
    epoch: int = 0
    received_ns: int = 0


class Candle(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One candle as of now; ``interval_begin`` is its identity, and a later event with the same one replaces it.

    There is no mark for a finished candle: it is final when one with a later ``interval_begin`` arrives, or its
    time is over. Intervals without trades are absent.
    """

    channel: ClassVar[str] = "ohlc"
    symbol: str
    interval: int
    """Minutes."""
    interval_begin: Timestamp
    open: Decimal
    """The first trade's price, in the quote currency, as are all prices here."""
    high: Decimal
    low: Decimal
    close: Decimal
    """The price of the latest trade in the interval so far."""
    volume: Decimal
    """Traded in the interval so far, in the base currency."""
    vwap: Decimal
    """The volume-weighted average price of the interval so far."""
    trades: int
    """How many there were in the interval so far."""
    snapshot: bool = False
    """True for a candle from the history that a subscription starts with."""
    epoch: int = 0
    received_ns: int = 0


class Asset(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Reference data of one currency or asset."""

    id: str
    status: str
    """``enabled``, ``depositonly``, ``withdrawalonly``, ``disabled``, …; Kraken adds values without notice."""
    precision: int
    """Decimals in the exchange's ledger."""
    precision_display: int
    """Decimals that are usually shown."""
    borrowable: bool | None = None
    """Can it be borrowed for margin?"""
    collateral_value: Decimal | None = None
    """The part of its value that counts as collateral: 0 to 1."""
    margin_rate: Decimal | None = None
    """The interest for borrowing it; only for what is borrowable."""
    multiplier: Decimal | None = None
    """Of a tokenised asset: how many of the underlying one token stands for."""


class Pair(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Reference data of one symbol."""

    symbol: str
    base: str
    quote: str
    status: str
    """``online``, ``cancel_only``, ``post_only``, ``limit_only``, ``reduce_only``, ``maintenance``, …"""
    price_precision: int
    """Decimals of a price."""
    qty_precision: int
    """Decimals of a quantity."""
    cost_precision: int | None = None
    """Decimals of a cost, which is price times quantity."""
    price_increment: Decimal | None = None
    """The smallest step of a price."""
    qty_increment: Decimal | None = None
    """The smallest step of a quantity."""
    qty_min: Decimal | None = None
    """The smallest order, in the base currency."""
    cost_min: Decimal | None = None
    """The smallest order, in the quote currency."""
    has_index: bool | None = None
    """Is there an index price, for triggers?"""
    marginable: bool | None = None
    """Can it be traded on margin? Only then are there the following."""
    margin_initial: Decimal | None = None
    """The part of a position that must be put up at first."""
    position_limit_long: Decimal | None = None
    position_limit_short: Decimal | None = None


class InstrumentUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Reference data: everything (``snapshot``), or what has changed."""

    channel: ClassVar[str] = "instrument"
    symbol: ClassVar[None] = None
    assets: tuple[Asset, ...]
    pairs: tuple[Pair, ...]
    snapshot: bool = False
    epoch: int = 0
    received_ns: int = 0


class StateChange(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The client went from one state to another. Yielded to :class:`~kraken_trio.Lifecycle` subscriptions.

    Each one's ``previous`` is the ``current`` of the one before. Where a full feed has made several changes one
    (see :class:`~kraken_trio.Overflow`), it is from before the first to after the last, and may be there and back.
    """

    channel: ClassVar[None] = None
    symbol: ClassVar[None] = None
    previous: ConnectionState
    current: ConnectionState
    cause: Cause
    detail: str = ""
    """More about the cause, for people."""
    epoch: int = 0
    received_ns: int = 0


class StatusUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the exchange says of its engine. Yielded to :class:`~kraken_trio.Lifecycle` subscriptions.

    It comes once per connection, which says it first of all, and whenever any of it changes. It says nothing of the
    data: a book that can be read is verified, whatever the status.
    """

    channel: ClassVar[None] = None
    symbol: ClassVar[None] = None
    system: str
    """``online``; ``maintenance``: no trading, no cancelling; ``cancel_only``, ``post_only``: no matching;
    ``limit_only``; or something new."""
    version: str = ""
    """Of the exchange's service."""
    api_version: str = ""
    """``v2``."""
    notices: tuple[str, ...] = ()
    """Upcoming maintenance and emergencies, each as the exchange's JSON text, made printable: at most 16 of at most 500
    characters."""
    epoch: int = 0
    received_ns: int = 0


class Gap(msgspec.Struct, frozen=True, gc=False, kw_only=True, eq=False):
    """Here events are missing, or may be. It stands exactly where they would have stood.

    After a gap with ``channel="book"`` and a symbol, nothing of that book comes before its next :class:`BookSnapshot`,
    and the book cannot be read until then. Where the symbol or the channel is not known, books stay readable: if one
    of them was meant, its next checksum will tell.
    """

    symbol: str | None
    """None when it is not known, or the channel has no symbols."""
    cause: Cause
    channel: str | None = None
    """The channel (``book``, ``trade``, …); None when it is not known."""
    detail: str = ""
    """More about the cause, for people."""
    missed: int | None = None
    """How many events are missing, where that is known; for ``Cause.OVERFLOW`` always."""
    after_id: int | None = None
    """For ``Cause.MISSED``, and where trades were dropped: the ``trade_id`` of the last trade before the hole."""
    before_id: int | None = None
    """Likewise the ``trade_id`` of the first trade after the hole: the next one that comes, unless that was dropped as
    well, and another gap tells of it. So ``missed`` is their difference minus one; and None where ``before_id`` is not
    the larger one: there the exchange began to number its trades anew, and nobody knows how many are missing. One of
    the two ids is None where a gap without numbers, such as a lost connection, is a part of the hole."""
    evidence: ChecksumEvidence | None = None
    """For ``Cause.CHECKSUM``: both checksums, the string that was hashed, and the message. It is more about the cause,
    and does not count when gaps are compared."""
    epoch: int = 0
    received_ns: int = 0

    def _compared(self) -> tuple[object, ...]:
        return (
            self.symbol,
            self.cause,
            self.channel,
            self.detail,
            self.missed,
            self.after_id,
            self.before_id,
            self.epoch,
            self.received_ns,
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not Gap:
            return NotImplemented
        return self._compared() == other._compared()

    def __ne__(self, other: object) -> bool:  # a struct has one of its own, which knows nothing of the above
        return not self == other

    def __hash__(self) -> int:
        return hash(self._compared())


Event: TypeAlias = (
    BookSnapshot | BookUpdate | Trade | TickerUpdate | Candle | InstrumentUpdate | StateChange | StatusUpdate | Gap
)
"""Anything that a feed may yield."""
