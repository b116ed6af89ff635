"""Kraken's older protocol, v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from kraken_trio.testing.exchange.dialects import v1_frames as frames, v1_requests as requests
from kraken_trio.testing.exchange.dialects.asked import symbol_error
from kraken_trio.testing.exchange.dialects.base import Denial, Dialect, Slot
from kraken_trio.testing.faults import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kraken_trio.testing.exchange.dialects.asked import Asked, ChannelRule, Subscribing
    from kraken_trio.testing.exchange.hosts import Host
    from kraken_trio.testing.exchange.market import SymbolMarket
    from kraken_trio.testing.exchange.market_spec import MarketSpec
    from kraken_trio.testing.exchange.server_book import BookChange, DepthChange, Levels
    from kraken_trio.testing.exchange.tape import Candle, TradePrint

__all__ = ["V1"]

_FIRST_ID: Final = 336
_IDS_OF_A_PAIR: Final = 16
_ID: Final = {"book": 0, "trade": 1, "ticker": 4, "spread": 5, "ohlc": 7}
"""A channel's number within its pair's. [Observed; all depths of a book have the same.]"""
_CHECKED_LEVELS: Final = 10
_UNKNOWN_FIELD: Final = '"x_unknown":{"nested":["1",2.50,null]},'


class V1(Dialect):
    """Objects with ``event``, and arrays of data; numbers in quotes, pairs by their older names.

    Different depths of a book (and intervals of candles) of one pair are different subscriptions, which a connection
    may have side by side.
    """

    name: ClassVar[str] = "v1"
    heartbeat: ClassVar[str] = frames.HEARTBEAT
    has_recordings: ClassVar[bool] = False
    has_checksum_in_snapshots: ClassVar[bool] = False
    variant_shape: ClassVar[Shape] = Shape.WITH_SYMBOL

    def __init__(self, symbols: Iterable[str]) -> None:
        """``symbols`` are the markets, which are numbered in this order."""
        self._places: dict[str, int] = {symbol: place for place, symbol in enumerate(symbols)}
        self._latest = {"ticker": self._ticker, "spread": self._spread}

    @property
    def rules(self) -> Mapping[str, ChannelRule]:
        return requests.RULES

    # Requests

    def read_request(self, data: str | bytes) -> Asked:
        return requests.read_request(data)

    def read_subscription(self, asked: Asked, host: Host) -> Subscribing:
        del host  # there is one path
        return requests.read_subscription(asked.params)

    def symbol_error(self, symbol: object, *, known: bool) -> str | None:
        return symbol_error(requests.other_name(symbol) if isinstance(symbol, str) else symbol, known=known)

    def slot(self, channel: str, symbol: str | None, variant: object) -> Slot:
        return (channel, symbol, variant)

    # Answers, and what is pushed without data

    def status(self, system: str, connection_id: int | None) -> str:
        return frames.status(system, connection_id)

    def pong(self, asked: Asked, now_ns: int) -> str:
        del now_ns
        return frames.event("pong", reqid=asked.req_id)

    def granted(self, asked: Asked, wanted: Subscribing, symbol: str | None, now_ns: int) -> str:
        del now_ns
        return self._confirmed("subscribed", asked, wanted.rule.name, symbol or "", wanted.variant)

    def ended(self, asked: Asked | None, channel: str, symbol: str | None, variant: object, now_ns: int) -> str:
        del now_ns
        return self._confirmed("unsubscribed", asked, channel, symbol or "", variant)

    def _confirmed(self, status: str, asked: Asked | None, channel: str, symbol: str, variant: object) -> str:
        return frames.event(
            "subscriptionStatus",
            channelID=self._channel_id(channel, symbol),
            channelName=requests.channel_name(channel, variant),
            pair=requests.other_name(symbol),
            reqid=None if asked is None else asked.req_id,
            status=status,
            subscription=requests.details(channel, variant),
        )

    def refused(self, asked: Asked, denial: Denial, now_ns: int) -> str:
        """A status of the subscription; of a request that is none, and in forms that name no pair, a bare event."""
        del now_ns
        error, pair = denial.error, denial.symbol
        name = requests.other_name(pair) if isinstance(pair, str) else ""
        if denial.shape is Shape.IN_TEXT and "{symbol}" not in error and name:
            error = f"{error} {name}"
        if denial.wanted is not None and denial.shape is not Shape.WHOLE:
            error = error.replace("{symbol}", name)
        if asked.error is not None or denial.shape not in (Shape.WITH_SYMBOL, Shape.IN_RESULT):
            return frames.event("error", errorMessage=error, reqid=asked.req_id)
        wanted = denial.wanted
        return frames.event(
            "subscriptionStatus",
            errorMessage=error,
            pair=name or None,
            reqid=asked.req_id,
            status="error",
            subscription=_echo(asked) if wanted is None else requests.details(wanted.rule.name, wanted.variant),
        )

    def unknown_channel(self, channel: str) -> str:
        return frames.data(9999, '{"x":"1"}', channel, "XBT/USD")

    def stray_error(self, text: str) -> str:
        return frames.event("error", errorMessage=text)

    # Data

    def _channel_id(self, channel: str, symbol: str) -> int:
        return _FIRST_ID + _IDS_OF_A_PAIR * self._places[symbol] + _ID[channel]

    def _data(self, channel: str, symbol: str, payload: str, variant: object = None) -> str:
        name = requests.channel_name(channel, variant)
        return frames.data(self._channel_id(channel, symbol), payload, name, requests.other_name(symbol))

    def checksum(self, spec: MarketSpec, bids: Levels, asks: Levels) -> int:
        return frames.checksum(spec, bids, asks)

    def checksum_after(self, change: BookChange, market: SymbolMarket) -> int:
        del change
        bids, asks = market.book.bids.top(_CHECKED_LEVELS), market.book.asks.top(_CHECKED_LEVELS)
        return frames.checksum(market.spec, tuple(bids), tuple(asks))

    def book(
        self, kind: str, market: SymbolMarket, depth: int, levels: DepthChange, checksum: int | None, time_ns: int
    ) -> str:
        return self._data("book", market.spec.symbol, frames.book(kind, market, levels, checksum, time_ns), depth)

    def trades(self, kind: str, spec: MarketSpec, prints: Iterable[TradePrint]) -> str:
        del kind
        return self._data("trade", spec.symbol, frames.trades(spec, prints))

    @property
    def latest(self) -> Mapping[str, Callable[[str, SymbolMarket], str]]:
        return self._latest

    @property
    def reference(self) -> Mapping[str, Callable[[str, Iterable[MarketSpec]], str]]:
        return {}

    def _ticker(self, _kind: str, market: SymbolMarket) -> str:
        return self._data("ticker", market.spec.symbol, frames.ticker(market))

    def _spread(self, _kind: str, market: SymbolMarket) -> str:
        return self._data("spread", market.spec.symbol, frames.spread(market))

    def candles(self, kind: str, market: SymbolMarket, rows: Sequence[Candle], time_ns: int) -> str:
        """The latest of them: v1 has no more in a frame."""
        del kind, time_ns
        return self._data("ohlc", market.spec.symbol, frames.candle(market, rows[-1]), rows[-1].interval)

    def add_unknown_field(self, text: str) -> str:
        """Only objects have fields: those of a book and of a ticker."""
        return text.replace("{", "{" + _UNKNOWN_FIELD, 1)


def _echo(asked: Asked) -> Any:
    """The ``subscription`` of a request that was not understood, as it came, without its token."""
    there = asked.params.get("subscription")
    return {key: value for key, value in there.items() if key != "token"} if isinstance(there, dict) else None
