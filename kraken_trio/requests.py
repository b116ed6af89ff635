"""What you subscribe with: frozen values, compared by content, checked when they are made.

A new channel is a class here, a class in :mod:`kraken_trio.events` and a row in :mod:`kraken_trio.wire.v2`.

Every request answers three questions. ``channel``: which channel of the exchange (None: the client answers
itself). ``symbol``: of which market (None: the channel has none). ``variant``: the parameter that Kraken allows
only once per channel and symbol on one connection, and its name, for the message that says so.

What is to be done with what a feed has no room for is a part of what is asked for, too: :class:`Overflow`.
"""

from __future__ import annotations

import enum
import re
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import attrs

from kraken_trio._request import Request
from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Candle,
    InstrumentUpdate,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)

__all__ = [
    "DEPTHS",
    "INTERVALS",
    "TRIGGERS",
    "Book",
    "Candles",
    "Depth",
    "Instruments",
    "Interval",
    "Lifecycle",
    "Overflow",
    "Request",
    "Ticker",
    "Trades",
    "Trigger",
    "canonical_symbol",
]

Depth: TypeAlias = Literal[10, 25, 100, 500, 1000]
Interval: TypeAlias = Literal[1, 5, 15, 30, 60, 240, 1440, 10080, 21600]
Trigger: TypeAlias = Literal["trades", "bbo"]

DEPTHS: Final[tuple[Depth, ...]] = get_args(Depth)
"""The book depths that Kraken offers, in levels per side."""
INTERVALS: Final[tuple[Interval, ...]] = get_args(Interval)
"""The candle intervals that Kraken offers, in minutes."""
TRIGGERS: Final[tuple[Trigger, ...]] = get_args(Trigger)
"""What makes a ticker update: a trade, or any change of the best bid or offer."""

_LEGACY = {"XBT": "BTC", "XDG": "DOGE"}  # the v1 and REST names; v2 rejects them
_SYMBOL = re.compile(r"[A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32}", re.ASCII)
_TOKENISED = re.compile(r"[A-Z0-9.]+x")  # AAPLx/USD: the one place where Kraken's names have a small letter


def canonical_symbol(text: str) -> str:
    """``text`` as Kraken's v2 protocol spells it: upper case, and ``BTC`` and ``DOGE`` for ``XBT`` and ``XDG``.

    Raises :class:`ValueError` unless it looks like ``BASE/QUOTE``.
    """
    if not isinstance(text, str) or not _SYMBOL.fullmatch(text):
        msg = f"{text!r} is no symbol: write BASE/QUOTE, such as 'BTC/USD'"
        raise ValueError(msg)
    parts = (part if _TOKENISED.fullmatch(part) else part.upper() for part in text.split("/"))
    return "/".join(_LEGACY.get(part, part) for part in parts)


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
    """The client stops reading until there is room, so TCP slows the exchange, for all feeds of this client. Nothing
    is lost. A feed that holds it up for longer than ``Settings.stall_limit`` gets
    :class:`~kraken_trio.ConsumerTooSlow`."""
    CONFLATE = "conflate"
    """Nobody waits, and nothing fails: of what there is no room for, the latest state is kept: of each symbol's book,
    ticker and candles, of the reference data, and of the client. A book comes as one
    :class:`~kraken_trio.BookSnapshot`, made when it is received from the client's verified book, without a request to
    the exchange; if that is not verified just then, its :class:`~kraken_trio.Gap` comes, and the snapshot later. The
    events of one symbol and channel stay in order, but those of two may change places. A candle can be passed over
    though it is finished. Refused for :class:`~kraken_trio.Trades`: a trade is no state."""
    DROP_OLDEST = "drop oldest"
    """Nobody waits, and nothing fails: the oldest events are dropped, and where they stood comes, for each channel and
    symbol, one :class:`~kraken_trio.Gap` with ``cause=OVERFLOW``, which says how many. If there was another gap among
    them, it has that one's cause, detail and evidence, and counts what was missing there, too. A book goes on with a
    :class:`~kraken_trio.BookSnapshot` made from the client's verified book, without a request to the exchange, and
    reference data likewise. Changes of the client's state are not dropped, but made one."""
    FAIL = "fail"
    """The feed gets :class:`~kraken_trio.ConsumerTooSlow` at once; no other feed notices."""


@attrs.frozen
class Book(Request[BookSnapshot | BookUpdate]):
    """A symbol's order book: a :class:`~kraken_trio.BookSnapshot`, then a :class:`~kraken_trio.BookUpdate` per change.

    ``depth`` is in levels per side: 10, 25, 100, 500 or 1000. Kraken allows one depth per symbol and connection.
    """

    channel: ClassVar[str | None] = "book"
    symbol: str = _symbol_field()
    depth: Depth = attrs.field(default=10, validator=_one_of("depth", DEPTHS))

    @property
    def variant(self) -> tuple[str, object]:
        return ("depth", self.depth)


@attrs.frozen
class Trades(Request[Trade]):
    """The trades of a symbol, one :class:`~kraken_trio.Trade` each.

    With ``snapshot=True`` the latest trades from before the subscription come first: as many of the last 50 as there
    are without a hole. After a lost connection the missed ones come, as many as the exchange still has: the last 50.
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

    ``trigger`` is ``"trades"``, or ``"bbo"`` for every change of the best bid or offer.
    """

    channel: ClassVar[str | None] = "ticker"
    symbol: str = _symbol_field()
    trigger: Trigger = attrs.field(default="trades", validator=_one_of("trigger", TRIGGERS))

    @property
    def variant(self) -> tuple[str, object]:
        return ("trigger", self.trigger)


@attrs.frozen
class Candles(Request[Candle]):
    """The candles of a symbol: recent history, then a :class:`~kraken_trio.Candle` whenever the current one changes.

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

    With ``include_tokenized_assets=True`` it includes tokenised assets (xStocks, such as ``AAPLx/USD``), and
    :attr:`Asset.multiplier <kraken_trio.Asset.multiplier>` says how many of the underlying one token stands for.
    Without it Kraken leaves them out. One connection has either.
    """

    channel: ClassVar[str | None] = "instrument"
    include_tokenized_assets: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))

    @property
    def variant(self) -> tuple[str, object]:
        return ("include_tokenized_assets", self.include_tokenized_assets)


@attrs.frozen
class Lifecycle(Request[StateChange | StatusUpdate]):
    """How client and exchange are. Nothing is sent to the exchange.

    A :class:`~kraken_trio.StateChange` for every change of the client's own state; and a
    :class:`~kraken_trio.StatusUpdate` for what the exchange says of its engine: first its last word, if there has been
    any, then one per connection and change.
    """
