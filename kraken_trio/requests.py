"""The requests to subscribe with: frozen values, compared by content, validated when they are constructed.

A new channel is a class here, an event class in :mod:`kraken_trio.events`, a row in :mod:`kraken_trio.wire.v2` and a
file in :mod:`kraken_trio.channels`.

Every request has a ``channel`` (None: the client answers itself), a ``symbol`` (None: the channel has none) and a
``variant``: the parameter of which Kraken allows only one value per channel and symbol on one connection.

:class:`Overflow` is here, too: what happens to events for which a feed has no room.
"""

from __future__ import annotations

import enum
import re
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import attrs

from kraken_trio._request import Request
from kraken_trio.events import (
    BalancesSnapshot,
    BalanceUpdate,
    BookSnapshot,
    BookUpdate,
    Candle,
    Execution,
    InstrumentUpdate,
    Level3Snapshot,
    Level3Update,
    OrdersSnapshot,
    SpreadUpdate,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)

__all__ = [
    "DEPTHS",
    "INTERVALS",
    "LEGACY_NAMES",
    "LEVEL3_DEPTHS",
    "TRIGGERS",
    "Balances",
    "Book",
    "Candles",
    "Depth",
    "Executions",
    "Instruments",
    "Interval",
    "Level3",
    "Level3Depth",
    "Lifecycle",
    "Overflow",
    "Request",
    "Spread",
    "Ticker",
    "Trades",
    "Trigger",
    "canonical_symbol",
]

Depth: TypeAlias = Literal[10, 25, 100, 500, 1000]
Level3Depth: TypeAlias = Literal[10, 100, 1000]
Interval: TypeAlias = Literal[1, 5, 15, 30, 60, 240, 1440, 10080, 21600]
Trigger: TypeAlias = Literal["trades", "bbo"]

DEPTHS: Final[tuple[Depth, ...]] = get_args(Depth)
"""The book depths that Kraken offers, in levels per side."""
LEVEL3_DEPTHS: Final[tuple[Level3Depth, ...]] = get_args(Level3Depth)
"""The depths of Level 3 that Kraken offers, in prices per side."""
INTERVALS: Final[tuple[Interval, ...]] = get_args(Interval)
"""The candle intervals that Kraken offers, in minutes."""
TRIGGERS: Final[tuple[Trigger, ...]] = get_args(Trigger)
"""What triggers a ticker update: a trade, or any change of the best bid or offer."""

LEGACY_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}
"""Assets by their names in v1 and REST, which v2 rejects."""
_SYMBOL = re.compile(r"[A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32}", re.ASCII)
_TOKENISED = re.compile(r"[A-Z0-9.]+x")  # AAPLx/USD: only here do Kraken's names have a lower-case letter


def canonical_symbol(text: str) -> str:
    """``text`` as Kraken's v2 protocol spells it: upper case, and ``BTC`` and ``DOGE`` for ``XBT`` and ``XDG``.

    Raises :class:`ValueError` unless it looks like ``BASE/QUOTE``.
    """
    if not isinstance(text, str) or not _SYMBOL.fullmatch(text):
        msg = f"{text!r} is no symbol: write BASE/QUOTE, such as 'BTC/USD'"
        raise ValueError(msg)
    parts = (part if _TOKENISED.fullmatch(part) else part.upper() for part in text.split("/"))
    return "/".join(LEGACY_NAMES.get(part, part) for part in parts)


def _one_of(name: str, allowed: tuple[Any, ...]) -> Any:
    def check(_instance: object, _attribute: attrs.Attribute[Any], value: object) -> None:
        if type(value) is not type(allowed[0]) or value not in allowed:
            msg = f"{name}={value!r} is not offered by Kraken: choose one of {', '.join(map(str, allowed))}"
            raise ValueError(msg)

    return check


def _symbol_field() -> Any:
    return attrs.field(converter=canonical_symbol)


class Overflow(enum.Enum):
    """What happens when a feed's channel is full."""

    BACKPRESSURE = "backpressure"
    """The client stops reading until there is room, so that TCP slows down the exchange, for all feeds of this client.
    Nothing is lost. A feed that holds up reading for longer than ``Settings.stall_limit`` gets
    :class:`~kraken_trio.ConsumerTooSlow`."""
    CONFLATE = "conflate"
    """Only the latest state is kept of events that do not fit: per symbol of its book, ticker and candles, of the
    reference data, and of the client. A book is delivered as one :class:`~kraken_trio.BookSnapshot`, made on receipt
    from the client's verified book without a request to the exchange; while that is not verified, its
    :class:`~kraken_trio.Gap` is delivered instead, and the snapshot later. Events of one symbol and channel stay in
    order; events of different ones may be reordered. Finished candles may be skipped. Rejected for
    :class:`~kraken_trio.Trades`, :class:`~kraken_trio.Executions` and :class:`~kraken_trio.Balances`: each of their
    events counts."""
    DROP_OLDEST = "drop oldest"
    """The oldest events are dropped. In their place comes, per channel and symbol, one :class:`~kraken_trio.Gap` with
    ``cause=OVERFLOW`` and their number. If a gap was among them, the new one takes its cause, detail and evidence, and
    includes its count. A book continues with a :class:`~kraken_trio.BookSnapshot` made from the client's verified book
    without a request to the exchange; reference data likewise. State changes of the client are merged, not dropped."""
    FAIL = "fail"
    """The feed gets :class:`~kraken_trio.ConsumerTooSlow` at once; other feeds are not affected."""


@attrs.frozen
class Book(Request[BookSnapshot | BookUpdate]):
    """The order book of a symbol: a :class:`~kraken_trio.BookSnapshot`, then :class:`~kraken_trio.BookUpdate` events.

    ``depth`` is in levels per side: 10, 25, 100, 500 or 1000. Kraken allows one depth per symbol and connection.
    """

    channel: ClassVar[str | None] = "book"
    symbol: str = _symbol_field()
    depth: Depth = attrs.field(default=10, validator=_one_of("depth", DEPTHS))

    @property
    def variant(self) -> tuple[str, object]:
        return ("depth", self.depth)


@attrs.frozen
class Level3(Request[Level3Snapshot | Level3Update]):
    """The single orders of a symbol: a :class:`~kraken_trio.Level3Snapshot`, then :class:`~kraken_trio.Level3Update`.

    ``depth`` is in prices per side: 10, 100 or 1000. Kraken allows one depth per symbol and connection, and 200 symbols
    per connection. It also limits how fast snapshots are requested; the client keeps to that, so the first event of
    many symbols comes later, at depth 1000 one symbol per second.
    """

    channel: ClassVar[str | None] = "level3"
    symbol: str = _symbol_field()
    depth: Level3Depth = attrs.field(default=10, validator=_one_of("depth", LEVEL3_DEPTHS))

    @property
    def variant(self) -> tuple[str, object]:
        return ("depth", self.depth)


@attrs.frozen
class Trades(Request[Trade]):
    """The trades of a symbol, one :class:`~kraken_trio.Trade` each.

    With ``snapshot=True`` the trades before the subscription come first: those of the last 50 that have no hole. After
    a lost connection missed trades are backfilled, as far as the exchange's last 50 reach. Over v1 there is no history:
    only a feed that joins another one starts with earlier trades, those that the client has had, and nothing is
    backfilled.
    """

    channel: ClassVar[str | None] = "trade"
    symbol: str = _symbol_field()
    snapshot: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))

    def joined(self, other: Request[Any]) -> Request[Any]:
        if isinstance(other, Trades) and self.snapshot:
            return attrs.evolve(other, snapshot=True)
        return other


@attrs.frozen
class Ticker(Request[TickerUpdate]):
    """Best prices and 24-hour figures of a symbol: a :class:`~kraken_trio.TickerUpdate` now and on every trigger.

    ``trigger`` is ``"trades"``, or ``"bbo"`` for every change of the best bid or offer, which v1 does not have (there,
    use :class:`Spread`).
    """

    channel: ClassVar[str | None] = "ticker"
    symbol: str = _symbol_field()
    trigger: Trigger = attrs.field(default="trades", validator=_one_of("trigger", TRIGGERS))

    @property
    def variant(self) -> tuple[str, object]:
        return ("trigger", self.trigger)


@attrs.frozen
class Spread(Request[SpreadUpdate]):
    """Best bid and ask of a symbol: a :class:`~kraken_trio.SpreadUpdate` for every change of one of them.

    Only Kraken's v1 protocol has it; over v2, use ``Ticker(symbol, trigger="bbo")``.
    """

    channel: ClassVar[str | None] = "spread"
    symbol: str = _symbol_field()


@attrs.frozen
class Candles(Request[Candle]):
    """The candles of a symbol: recent history, then a :class:`~kraken_trio.Candle` for each change of the current one.

    Over v1 there is no history.
    ``interval`` is in minutes. Kraken allows one interval per symbol and connection.
    """

    channel: ClassVar[str | None] = "ohlc"
    symbol: str = _symbol_field()
    interval: Interval = attrs.field(default=1, validator=_one_of("interval", INTERVALS))

    @property
    def variant(self) -> tuple[str, object]:
        return ("interval", self.interval)


@attrs.frozen
class Instruments(Request[InstrumentUpdate]):
    """Reference data of all assets and symbols: one large :class:`~kraken_trio.InstrumentUpdate`, then the changes.

    With ``include_tokenized_assets=True`` it includes tokenised assets (xStocks, such as ``AAPLx/USD``, see
    :attr:`Asset.multiplier <kraken_trio.Asset.multiplier>`). Kraken allows one of the two per connection.
    """

    channel: ClassVar[str | None] = "instrument"
    include_tokenized_assets: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))

    @property
    def variant(self) -> tuple[str, object]:
        return ("include_tokenized_assets", self.include_tokenized_assets)


@attrs.frozen
class Executions(Request[OrdersSnapshot | Execution]):
    """The account's open orders, an :class:`~kraken_trio.OrdersSnapshot`; then an :class:`~kraken_trio.Execution` each.

    With ``history=True`` the last fills before the subscription come first, up to 50. Each fill is delivered once.
    After a lost connection, those that were missed come with ``recovered=True``, in order, before the next snapshot;
    what cannot be recovered is a :class:`~kraken_trio.Gap` that says from when to when.
    """

    channel: ClassVar[str | None] = "executions"
    history: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))

    def joined(self, other: Request[Any]) -> Request[Any]:
        if isinstance(other, Executions) and self.history:
            return attrs.evolve(other, history=True)
        return other


@attrs.frozen
class Balances(Request[BalancesSnapshot | BalanceUpdate]):
    """The account's balances, a :class:`~kraken_trio.BalancesSnapshot`; then each entry of its ledger.

    An entry is a :class:`~kraken_trio.BalanceUpdate`.
    After a lost connection there is a new snapshot; the entries in between are not delivered.
    """

    channel: ClassVar[str | None] = "balances"


@attrs.frozen
class Lifecycle(Request[StateChange | StatusUpdate]):
    """The states of client and exchange. Nothing is sent to the exchange.

    Yields a :class:`~kraken_trio.StateChange` for every change of the client's state, and a
    :class:`~kraken_trio.StatusUpdate` for the status of the exchange: the latest one first, if there is one, then one
    per connection and change.
    """
