"""The events that a feed yields: frozen values, compared by content.

Each is a frozen :class:`msgspec.Struct`: use :func:`msgspec.structs.replace` and :func:`msgspec.structs.asdict`.

Every event has

``channel``, ``symbol``
    the exchange's channel and the market; None where there is none;
``epoch``
    the number of the connection it came over: 1 for a client's first, plus one for every reconnect;
``received_ns``
    when its bytes were read from the socket: nanoseconds since 1970-01-01 UTC, by this machine's clock.

Prices and quantities are :class:`~decimal.Decimal` with the digits that came over the wire, trailing zeros
included. ``timestamp`` is the exchange's clock (UTC): it may be missing, and it is no sequence number.

Optional fields are ``None`` when Kraken did not send them.
"""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias

import msgspec

from kraken_trio._digits import number, number_text
from kraken_trio._instants import instant, instant_ns
from kraken_trio.errors import ProtocolError
from kraken_trio.evidence import ChecksumEvidence

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Asset",
    "Balance",
    "BalanceUpdate",
    "BalancesSnapshot",
    "BookSnapshot",
    "BookUpdate",
    "Candle",
    "Cause",
    "ConnectionState",
    "Contingent",
    "Event",
    "Execution",
    "Fee",
    "Gap",
    "InstrumentUpdate",
    "Level",
    "Level3Snapshot",
    "Level3Update",
    "Order",
    "OrderEvent",
    "OrderEventKind",
    "OrderType",
    "OrdersSnapshot",
    "Pair",
    "RestingOrder",
    "Side",
    "SpreadUpdate",
    "StateChange",
    "StatusUpdate",
    "TickerUpdate",
    "Trade",
    "Triggers",
    "Wallet",
]


class ConnectionState(enum.Enum):
    """The state of a client. The transitions are one table: :mod:`kraken_trio.session.lifecycle`."""

    DISCONNECTED = "disconnected"
    """No connection, and no attempt under way: the client waits before its next attempt, or has ended."""
    CONNECTING = "connecting"
    """An attempt is under way."""
    SUBSCRIBED = "subscribed"
    """Connected; everything wanted is confirmed, and every book is verified."""
    RESYNCING = "resyncing"
    """Connected; something wanted is not yet confirmed, or not yet verified."""


class Cause(enum.Enum):
    """Why a state changed, or why events are missing."""

    OPENED = "opened"
    """The client was opened."""
    CONNECTED = "connected"
    """The connection is up."""
    SUBSCRIBING = "subscribing"
    """A program subscribed to something more."""
    SETTLED = "settled"
    """Everything wanted is confirmed, and every book is verified."""
    RETRY = "retry"
    """The wait before the next attempt is over."""
    CONNECT_FAILED = "connect failed"
    """An attempt to connect failed."""
    DISCONNECTED = "disconnected"
    """The peer or the network ended the connection."""
    SILENCE = "silence"
    """The exchange pushed no frame for ``Settings.silence_limit`` while the client was reading and a subscription was
    confirmed (without one, any frame counts); or a WebSocket PING was not answered for
    ``Settings.keepalive_timeout``. Behind a broker: nothing of a channel and symbol came from its relay, not even key
    frames."""
    PROTOCOL = "protocol"
    """Too many malformed frames in a row: the connection was dropped."""
    CLOSED = "closed"
    """The program left the client's block. Behind a broker: the relay's program did, or has stopped publishing this."""
    REFUSED = "refused"
    """The exchange refused it permanently: a subscription that is replayed, or, for the client, any connection."""
    CHECKSUM = "checksum"
    """A book failed its checksum, or was told of an order that it does not have."""
    CROSSED = "crossed"
    """A book's best bid was not below its best ask, and no checksum confirmed that."""
    MALFORMED = "malformed"
    """A frame could not be decoded, or a book message lacked the checksum that it must have."""
    RESUBSCRIBED = "resubscribed"
    """A subscription got no data, was stale, or was ended by the exchange, and is resubscribed."""
    PARKED = "parked"
    """A subscription failed too often in a row; it is requested again after ``Settings.park_time``."""
    OVERFLOW = "overflow"
    """The consumer was too slow, and its feed's policy dropped events."""
    MISSED = "missed"
    """The exchange's numbers (of trades, or of the messages of a private channel) show that some are missing."""
    UNRECOVERED = "unrecovered"
    """Fills of the account during an outage could not be found out; the gap's ``detail`` says from when to when."""
    NOT_RECORDED = "not recorded"
    """A recording does not cover this time."""
    SOUGHT = "sought"
    """The reader of a recording was moved to another time."""
    FAILOVER = "failover"
    """Another producer took over behind a broker; events in between may be missing. In a group also: another member
    reads this from here on."""
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


class _LevelType(msgspec.StructMeta):
    """Makes levels from Decimals for programs. Decoders, which make nearly all levels, do not call this."""

    if TYPE_CHECKING:
        """Type checkers use ``Level.__init__``."""
    else:

        def __call__(self, price: str | Decimal, qty: str | Decimal) -> Any:
            return super().__call__(number_text(price), number_text(qty))


class Level(msgspec.Struct, frozen=True, gc=False, eq=False, forbid_unknown_fields=True, metaclass=_LevelType):
    """One price level of a book: ``Level(price, qty)``, from texts or :class:`~decimal.Decimal`.

    It holds the digits of the wire; ``price`` and ``qty`` are converted to :class:`~decimal.Decimal` when they are
    read. (In a level that no book has verified, this may raise :class:`~kraken_trio.ProtocolError`.)
    """

    if TYPE_CHECKING:
        price_text: str
        """The price's digits, as received."""
        qty_text: str
        """The quantity's digits, as received."""

        def __init__(self, price: str | Decimal, qty: str | Decimal, /) -> None: ...
    else:
        # Any: a JSON number is decoded into its text by the decoder's float_hook, which is for untyped numbers only.
        price_text: Any = msgspec.field(name="price")
        qty_text: Any = msgspec.field(name="qty")

    @property
    def price(self) -> Decimal:
        """In the quote currency."""
        return number(self.price_text)

    @property
    def qty(self) -> Decimal:
        """The total visible quantity at this price, in the base currency. In an update, zero removes the level."""
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


def hold_texts(levels: Iterable[Level | RestingOrder | OrderEvent]) -> bool:
    """Convert integers, which a decoder may leave in levels and orders, to texts. Returns whether there were any.

    They are not checked when they are decoded, which would take longer than decoding them: this is called when a value
    turns out not to be a text. Raises :class:`~kraken_trio.ProtocolError` for a value that is not a number.
    """
    found = False
    for level in levels:
        for name in ("price_text", "qty_text"):
            value = getattr(level, name)
            if type(value) is not str:
                try:
                    msgspec.structs.force_setattr(level, name, number_text(value))
                except (TypeError, ValueError) as error:
                    raise ProtocolError(str(error)) from None
                found = True
    return found


Checksum: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
"""32 bits, unsigned."""
Timestamp: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]  # mutant: time zone
"""With a time zone: subtracting a naive one from an aware one raises TypeError."""


class BookSnapshot(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A whole, verified book: it replaces any earlier state of this symbol, and is exactly what the book holds."""

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
    """A verified change of a book: after it, the book has the checksum that the exchange sent.

    The levels are in the order of their changes, not in price order; the same price may occur more than once, and the
    last one counts. An empty side is unchanged.
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


# Level 3


class OrderEventKind(enum.StrEnum):
    """What happened to an order, as far as the exchange tells."""

    ADD = "add"
    """It is in the book now, as the last of its price: it is new, it was amended, or its price came back into the
    window. Its timestamp is when it got its present price, so it is old if the order has only come back."""
    MODIFY = "modify"
    """It has another quantity, and keeps its place: a part of it was filled, or its owner made it smaller. The exchange
    does not say which."""
    FILL = "fill"
    """It is gone: its last part was filled."""
    CANCEL = "cancel"
    """It is gone: it was cancelled."""
    AMEND = "amend"
    """It is gone, for the moment: its owner gave it another price. It is added again, with the same id, by a later
    event (usually the next one); then it is the last of its new price."""
    DELETE = "delete"
    """It is gone, and why is unknown: the exchange's event fits none of the others. Also what a
    :class:`~kraken_trio.Level3Book` is given by a program that reads frames without a client, which would tell the
    others apart."""


class _Resting(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What an order and an event of an order have in common."""

    if TYPE_CHECKING:
        order_id: str
        price_text: str
        qty_text: str
        timestamp_text: str

    @property
    def price(self) -> Decimal:
        """In the quote currency."""
        return number(self.price_text)

    @property
    def qty(self) -> Decimal:
        """The visible quantity, in the base currency."""
        return number(self.qty_text)

    @property
    def timestamp(self) -> datetime:
        """:attr:`timestamp_text` to the microsecond."""
        return instant(self.timestamp_text)

    @property
    def timestamp_ns(self) -> int:
        """:attr:`timestamp_text` in nanoseconds since 1970-01-01 UTC."""
        return instant_ns(self.timestamp_text)

    def _compared(self) -> tuple[object, ...]:
        return (self.order_id, self.price, self.qty, self.timestamp_text)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._compared() == other._compared()

    def __ne__(self, other: object) -> bool:  # a struct has one of its own, which knows nothing of the above
        return not self == other

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        name = type(self).__name__
        try:
            return f"{name}({', '.join(repr(part) for part in self._compared())})"
        except ProtocolError as error:
            return f"<{name}: {error}>"


class _OrderType(msgspec.StructMeta):
    """Makes orders from Decimals for programs. Decoders, which make nearly all orders, do not call this."""

    if TYPE_CHECKING:
        """Type checkers use ``__init__``."""
    else:

        def __call__(self, *parts: Any) -> Any:
            *first, price, qty, timestamp = parts
            return super().__call__(*first, number_text(price), number_text(qty), timestamp)


OrderId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""As the exchange wrote it."""
_InstantText: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$", max_length=30)
]


class RestingOrder(_Resting, frozen=True, gc=False, eq=False, forbid_unknown_fields=True, metaclass=_OrderType):
    """A resting order: ``RestingOrder(order_id, price, qty, timestamp)``; price and quantity from texts or Decimals.

    It holds the digits of the wire, as a :class:`Level` does. The timestamp is a text, because it has nine digits of a
    second: ``2024-01-08T12:26:39.526146327Z``. It is when the order got its present price.
    """

    order_id: OrderId
    """The exchange's id, as it came. An account's own orders have the same ids in their reports."""
    if TYPE_CHECKING:
        price_text: str
        """The price's digits, as received."""
        qty_text: str
        """The quantity's digits, as received."""
        timestamp_text: str
        """The exchange's time, as received, with nine digits of a second."""

        def __init__(self, order_id: str, price: str | Decimal, qty: str | Decimal, timestamp: str, /) -> None: ...
    else:
        price_text: Any = msgspec.field(name="limit_price")
        qty_text: Any = msgspec.field(name="order_qty")
        timestamp_text: _InstantText = msgspec.field(name="timestamp")


class OrderEvent(_Resting, frozen=True, gc=False, eq=False, forbid_unknown_fields=True, metaclass=_OrderType):
    """What happened to one order: ``OrderEvent(kind, order_id, price, qty, timestamp)``.

    ``qty`` is what is visible of the order after an ``ADD`` or a ``MODIFY``. Of an order that is gone it is what was
    left: 0 if it was filled. ``timestamp`` is that of the order (see :class:`RestingOrder`), or, if it was filled or
    cancelled, when that happened.
    """

    if TYPE_CHECKING:
        kind: OrderEventKind
        """What happened."""
        order_id: str
        """The exchange's id, as it came."""
        price_text: str
        """The price's digits, as received."""
        qty_text: str
        """The quantity's digits, as received."""
        timestamp_text: str
        """The exchange's time, as received, with nine digits of a second."""

        def __init__(
            self,
            kind: OrderEventKind,
            order_id: str,
            price: str | Decimal,
            qty: str | Decimal,
            timestamp: str,
            /,
        ) -> None: ...
    else:
        kind: OrderEventKind = msgspec.field(name="event")
        order_id: OrderId
        price_text: Any = msgspec.field(name="limit_price")
        qty_text: Any = msgspec.field(name="order_qty")
        timestamp_text: _InstantText = msgspec.field(name="timestamp")

    def _compared(self) -> tuple[object, ...]:
        return (self.kind, *super()._compared())


class _Told(msgspec.Struct, frozen=True, gc=False):
    """What a snapshot and an update of Level 3 have in common."""

    if TYPE_CHECKING:
        timestamp_text: str | None

    @property
    def timestamp(self) -> datetime | None:
        """:attr:`timestamp_text` to the microsecond."""
        return None if self.timestamp_text is None else instant(self.timestamp_text)

    @property
    def timestamp_ns(self) -> int | None:
        """:attr:`timestamp_text` in nanoseconds since 1970-01-01 UTC."""
        return None if self.timestamp_text is None else instant_ns(self.timestamp_text)


class Level3Snapshot(_Told, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """All orders of a verified book: it replaces any earlier state of this symbol.

    The orders of one price stand together, in the order in which they will be filled.
    """

    channel: ClassVar[str] = "level3"
    symbol: str
    bids: tuple[RestingOrder, ...]
    """Best (highest) price first; at most ``depth`` prices of the request."""
    asks: tuple[RestingOrder, ...]
    """Best (lowest) price first; at most ``depth`` prices of the request."""
    checksum: Checksum | None = None
    """The exchange's CRC32 of all orders of the ten best prices of each side (32 bits, unsigned)."""
    timestamp_text: _InstantText | None = msgspec.field(default=None, name="timestamp")
    """The exchange's time, as received, with nine digits of a second. It orders nothing: it may go back."""
    epoch: int = 0
    received_ns: int = 0


class Level3Update(_Told, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A verified change of the orders of a book: after it, the book has the checksum that the exchange sent.

    The events are as the exchange listed them; several orders that are added to one price queue by their timestamps,
    which a :class:`~kraken_trio.Level3Book` does. A price that leaves the window takes its orders with it, without an
    event. An empty side is unchanged.
    """

    channel: ClassVar[str] = "level3"
    symbol: str
    bids: tuple[OrderEvent, ...]
    """What happened to bids; empty if nothing did."""
    asks: tuple[OrderEvent, ...]
    """What happened to asks; empty if nothing did."""
    checksum: Checksum | None = None
    """The exchange's CRC32 of the book after this update."""
    timestamp_text: _InstantText | None = msgspec.field(default=None, name="timestamp")
    """The exchange's time, as received, with nine digits of a second. It orders nothing: it may go back."""
    epoch: int = 0
    received_ns: int = 0


class Trade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One trade. Where the protocol numbers trades, ``trade_id`` increases by one per trade of a symbol."""

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
    trade_id: int | None
    """The exchange's number, per symbol. None over Kraken's v1 protocol, which has none: there, trades that are missing
    are known only from the :class:`Gap` of what lost them."""
    timestamp: Timestamp
    snapshot: bool = False
    """True for a trade from before the subscription (``Trades(snapshot=True)``), or backfilled after a reconnect."""
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
    """The last trade's price; meaningful only if there was a trade within 24 hours."""
    volume: Decimal | None = None
    """Traded within 24 hours, in the base currency."""
    vwap: Decimal | None = None
    """The volume-weighted average price of the last 24 hours."""
    low: Decimal | None = None
    """The lowest price of the last 24 hours."""
    high: Decimal | None = None
    """The highest price of the last 24 hours."""
    change: Decimal | None = None
    """The price change within 24 hours, in the quote currency."""
    change_pct: Decimal | None = None
    """The same in percent points: 1.5 means 1.5 %."""
    trades: int | None = None
    """The number of trades within 24 hours."""
    timestamp: Timestamp | None = None
    snapshot: bool = False
    """True for the state at the time of the subscription."""
    epoch: int = 0
    received_ns: int = 0


class SpreadUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The best bid and the best ask, whenever one of them changes. Only Kraken's v1 protocol has it."""

    channel: ClassVar[str] = "spread"
    symbol: str
    bid: Decimal
    """The best bid's price, in the quote currency."""
    bid_qty: Decimal
    """In the base currency."""
    ask: Decimal
    """The best ask's price, in the quote currency."""
    ask_qty: Decimal
    """In the base currency."""
    timestamp: Timestamp
    snapshot: bool = False
    """True for what came before a feed subscribed."""
    epoch: int = 0
    received_ns: int = 0


class Candle(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The current state of one candle; a later event with the same ``interval_begin`` replaces it.

    A finished candle is not marked: it is final when one with a later ``interval_begin`` arrives, or its interval is
    over. Intervals without trades are absent.
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
    """The number of trades in the interval so far."""
    snapshot: bool = False
    """True for a candle of the history with which a subscription starts."""
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
    """Whether it can be borrowed for margin."""
    collateral_value: Decimal | None = None
    """The fraction of its value that counts as collateral: 0 to 1."""
    margin_rate: Decimal | None = None
    """The interest rate for borrowing it; only if it is borrowable."""
    multiplier: Decimal | None = None
    """Of a tokenised asset: units of the underlying per token."""


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
    """Whether there is an index price, for triggers."""
    marginable: bool | None = None
    """Whether it can be traded on margin. The following fields are present only then."""
    margin_initial: Decimal | None = None
    """The initial margin, as a fraction of the position."""
    position_limit_long: Decimal | None = None
    position_limit_short: Decimal | None = None


class InstrumentUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Reference data: everything (``snapshot=True``), or what has changed."""

    channel: ClassVar[str] = "instrument"
    symbol: ClassVar[None] = None
    assets: tuple[Asset, ...]
    pairs: tuple[Pair, ...]
    snapshot: bool = False
    epoch: int = 0
    received_ns: int = 0


class Fee(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A fee that was charged for one fill."""

    asset: str
    qty: Decimal
    """In that asset."""


class Triggers(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What makes an order of a triggered type active."""

    reference: str | None = None
    """``last`` or ``index``."""
    price: Decimal | None = None
    price_type: str | None = None
    """``static``, ``pct`` or ``quote``."""
    actual_price: Decimal | None = None
    """The price of the reference when it was triggered."""
    peak_price: Decimal | None = None
    """(trailing) The best price of the reference so far."""
    last_price: Decimal | None = None
    """The last price of the reference."""
    status: str | None = None
    """``triggered`` or ``untriggered``."""
    timestamp: Timestamp | None = None


class Contingent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The order that is placed when this one is filled."""

    order_type: str | None = None
    limit_price: Decimal | None = None
    limit_price_type: str | None = None
    trigger_price: Decimal | None = None
    trigger_price_type: str | None = None


class Order(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An order of the account, as its reports so far have told it. What none has told is None.

    Kraken adds values of the texts without notice.
    """

    order_id: str
    symbol: str | None = None
    side: Side | None = None
    """The order's own."""
    order_type: str | None = None
    """``limit``, ``market``, ``iceberg``, ``stop-loss``, ``stop-loss-limit``, ``take-profit``, …"""
    order_status: str | None = None
    """``pending_new``, ``new``, ``partially_filled``, ``filled``, ``canceled``, ``expired``; ``unknown`` for one that
    ended while the client was not connected, where nothing says how."""
    order_qty: Decimal | None = None
    """In the base currency."""
    cash_order_qty: Decimal | None = None
    """In the quote currency, for orders of an amount of money."""
    limit_price: Decimal | None = None
    limit_price_type: str | None = None
    stop_price: Decimal | None = None
    """Deprecated by Kraken: see :attr:`triggers`."""
    time_in_force: str | None = None
    """``GTC``, ``GTD``, ``IOC``, …"""
    cl_ord_id: str | None = None
    """The id that the program which placed the order gave it."""
    order_userref: int | None = None
    """Likewise a number."""
    cum_qty: Decimal | None = None
    """Filled so far."""
    cum_cost: Decimal | None = None
    """Paid or received so far, in the quote currency."""
    avg_price: Decimal | None = None
    """Of all fills so far."""
    fee_usd_equiv: Decimal | None = None
    fee_ccy_pref: str | None = None
    """``fciq`` for the quote currency, ``fcib`` for the base currency."""
    display_qty: Decimal | None = None
    """(iceberg) The visible quantity."""
    display_qty_remain: Decimal | None = None
    effective_time: Timestamp | None = None
    expire_time: Timestamp | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    margin: bool | None = None
    margin_borrow: bool | None = None
    no_mpp: bool | None = None
    amended: bool | None = None
    liquidated: bool | None = None
    position_status: str | None = None
    triggers: Triggers | None = None
    contingent: Contingent | None = None
    ord_ref_id: str | None = None
    ext_ord_id: str | None = None
    sender_sub_id: str | None = None
    user: str | None = None


class Execution(Order, frozen=True, gc=False, kw_only=True):
    """A report about one order: what happened, and the order as it is after that.

    The exchange sends most fields only once. So what a report lacks comes from the reports before it, and
    :attr:`changed` says which fields came with this one. A fill (``exec_type == "trade"``) has an :attr:`exec_id`; each
    is delivered once. The fill that completes an order says ``partially_filled``; a second report, ``filled``, without
    a fill of its own, says that it is complete.
    """

    channel: ClassVar[str] = "executions"
    exec_type: str
    """``pending_new``, ``new``, ``trade``, ``filled``, ``canceled``, ``expired``, ``amended``, ``restated``,
    ``status``, ``iceberg_refill``, ``rejected``, or something new. ``unknown``: see
    :attr:`Order.order_status <kraken_trio.Order.order_status>`."""
    exec_id: str | None = None
    """(fill) Identifies it."""
    ext_exec_id: str | None = None
    trade_id: int | None = None
    """(fill) The exchange's number of the trade, per symbol."""
    last_qty: Decimal | None = None
    """(fill) In the base currency."""
    last_price: Decimal | None = None
    """(fill) In the quote currency."""
    cost: Decimal | None = None
    """(fill) In the quote currency."""
    liquidity_ind: str | None = None
    """(fill) ``m`` for maker, ``t`` for taker."""
    fees: tuple[Fee, ...] = ()
    """(fill)"""
    reason: str | None = None
    """Why it was cancelled, amended or rejected."""
    timestamp: Timestamp | None = None
    changed: tuple[str, ...] = ()
    """The names of the fields that came with this report, sorted."""
    snapshot: bool = False
    """True for a fill from before the subscription (``Executions(history=True)``)."""
    recovered: bool = False
    """True for what happened while the client was not connected, or while messages were missing."""
    epoch: int = 0
    received_ns: int = 0


class OrdersSnapshot(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """All open orders of the account: it replaces what was known of them."""

    channel: ClassVar[str] = "executions"
    symbol: ClassVar[None] = None
    orders: tuple[Order, ...]
    epoch: int = 0
    received_ns: int = 0


class Wallet(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an account has of one asset in one place."""

    type: str
    """``spot``, ``earn``, …"""
    id: str
    """``main``, ``flexible``, ``bonded``, …"""
    balance: Decimal


class Balance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an account has of one asset. What open orders hold is included: the exchange does not push that."""

    asset: str
    balance: Decimal
    """As the exchange reported it last: in a snapshot over all wallets, after an entry as :class:`BalanceUpdate`
    says."""
    wallets: tuple[Wallet, ...] = ()
    """They need not add up to :attr:`balance`."""
    asset_class: str | None = None


class BalancesSnapshot(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """All balances of the account: it replaces what was known of them."""

    channel: ClassVar[str] = "balances"
    symbol: ClassVar[None] = None
    balances: tuple[Balance, ...]
    epoch: int = 0
    received_ns: int = 0


class BalanceUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One entry of the account's ledger, and the balance after it. Each is delivered once."""

    channel: ClassVar[str] = "balances"
    symbol: ClassVar[None] = None
    asset: str
    balance: Decimal
    """After the entry. Whether of the wallet or of the asset as a whole, Kraken does not say."""
    amount: Decimal | None = None
    """Negative for what left."""
    fee: Decimal | None = None
    ledger_id: str | None = None
    """Identifies the entry."""
    ref_id: str | None = None
    """What caused it; a trade has two entries with the same."""
    type: str | None = None
    """``trade``, ``deposit``, ``withdrawal``, ``transfer``, ``reward``, …"""
    subtype: str | None = None
    category: str | None = None
    wallet_type: str | None = None
    wallet_id: str | None = None
    asset_class: str | None = None
    user: str | None = None
    timestamp: Timestamp | None = None
    epoch: int = 0
    received_ns: int = 0


class StateChange(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A change of the client's state. Yielded to :class:`~kraken_trio.Lifecycle` subscriptions.

    ``previous`` is the ``current`` of the event before. A full feed may merge several changes into one (see
    :class:`~kraken_trio.Overflow`): from before the first to after the last, so both may be equal.
    """

    channel: ClassVar[None] = None
    symbol: ClassVar[None] = None
    previous: ConnectionState
    current: ConnectionState
    cause: Cause
    detail: str = ""
    """A human-readable description of the cause."""
    epoch: int = 0
    received_ns: int = 0
    retry_at: datetime | None = None
    """When the next attempt to connect is due (UTC, by this machine's clock), or later if the connect budget is spent;
    None if none is due."""


class StatusUpdate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The exchange's status of its engine. Yielded to :class:`~kraken_trio.Lifecycle` subscriptions.

    It comes first on every connection, and whenever it changes. It does not affect the data: a book that can be read
    is verified, whatever the status.
    """

    channel: ClassVar[None] = None
    symbol: ClassVar[None] = None
    system: str
    """``online``; ``maintenance``: no trading, no cancelling; ``cancel_only``, ``post_only``: no matching;
    ``limit_only``; or something new."""
    version: str = ""
    """The version of the exchange's service."""
    api_version: str = ""
    """``v2``; v1 does not say it."""
    notices: tuple[str, ...] = ()
    """Upcoming maintenance and emergencies, each as the exchange's JSON text, escaped: at most 16, of at most 500
    characters each."""
    epoch: int = 0
    received_ns: int = 0


class Gap(msgspec.Struct, frozen=True, gc=False, kw_only=True, eq=False):
    """Events are missing here, or may be: it stands exactly where they would have stood.

    After a gap with ``channel="book"`` and a symbol, the next event of that book is a :class:`BookSnapshot`, and the
    book cannot be read until then; likewise ``channel="level3"`` and a :class:`Level3Snapshot`. If the symbol or the
    channel is unknown, books stay readable: if one of them lost a message, its next checksum fails.
    """

    symbol: str | None
    """None if it is unknown, or the channel has no symbols."""
    cause: Cause
    channel: str | None = None
    """The channel (``book``, ``trade``, …); None if it is unknown."""
    detail: str = ""
    """A human-readable description of the cause."""
    missed: int | None = None
    """The number of missing events, if known; always known for ``Cause.OVERFLOW``."""
    after_id: int | None = None
    """For ``Cause.MISSED``, and for dropped trades: the ``trade_id`` of the last trade before the hole, if trades have
    one."""
    before_id: int | None = None
    """Likewise the ``trade_id`` of the first trade after the hole (which may itself be dropped, and in another gap).
    ``missed`` is their difference minus one. If ``before_id`` is not the larger one, the exchange restarted its
    numbering, and ``missed`` is None. One of the two ids is None where the hole includes a gap without numbers, such as
    a lost connection."""
    evidence: ChecksumEvidence | None = None
    """For ``Cause.CHECKSUM``: both checksums, the string that was hashed, and the message. Not part of comparisons."""
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

    def __ne__(self, other: object) -> bool:  # a struct has its own, which does not use __eq__
        return not self == other

    def __hash__(self) -> int:
        return hash(self._compared())


Event: TypeAlias = (
    BookSnapshot
    | BookUpdate
    | Level3Snapshot
    | Level3Update
    | Trade
    | TickerUpdate
    | SpreadUpdate
    | Candle
    | InstrumentUpdate
    | OrdersSnapshot
    | Execution
    | BalancesSnapshot
    | BalanceUpdate
    | StateChange
    | StatusUpdate
    | Gap
)
"""Any event that a feed may yield."""
