"""Kraken's protocol v2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final
from zlib import crc32

from kraken_trio.testing.exchange.dialects import v2_frames as frames, v2_requests as requests
from kraken_trio.testing.exchange.dialects.asked import symbol_error
from kraken_trio.testing.exchange.dialects.base import WORK_NS, Denial, Dialect, Slot
from kraken_trio.testing.faults import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kraken_trio.testing.exchange.dialects.asked import Asked, ChannelRule, Subscribing
    from kraken_trio.testing.exchange.hosts import Host
    from kraken_trio.testing.exchange.market import SymbolMarket
    from kraken_trio.testing.exchange.market_spec import MarketSpec
    from kraken_trio.testing.exchange.server_book import BookChange, DepthChange, Levels
    from kraken_trio.testing.exchange.tape import Candle, TradePrint

__all__ = ["V2"]

_UNKNOWN_FIELD = '"x_unknown":{"nested":[1,2.50,null]},'
_LATEST: Final = {"ticker": frames.ticker}
_REFERENCE: Final = {"instrument": frames.instruments}


class V2(Dialect):
    """Objects with ``method`` and ``channel``; numbers without quotes."""

    name: ClassVar[str] = "v2"
    heartbeat: ClassVar[str] = frames.HEARTBEAT
    has_recordings: ClassVar[bool] = True
    has_checksum_in_snapshots: ClassVar[bool] = True
    variant_shape: ClassVar[Shape] = Shape.WITHOUT_SYMBOL

    @property
    def rules(self) -> Mapping[str, ChannelRule]:
        return requests.RULES

    # Requests

    def read_request(self, data: str | bytes) -> Asked:
        return requests.read_request(data)

    def read_subscription(self, asked: Asked, host: Host) -> Subscribing:
        return requests.read_subscription(asked.params, host)

    def symbol_error(self, symbol: object, *, known: bool) -> str | None:
        return symbol_error(symbol, known=known)

    def slot(self, channel: str, symbol: str | None, variant: object) -> Slot:
        del variant  # one depth of a book, and one interval of candles
        return (channel, symbol, None)

    # Answers, and what is pushed without data

    def status(self, system: str, connection_id: int | None) -> str:
        return frames.status(system, connection_id)

    def pong(self, asked: Asked, now_ns: int) -> str:
        return frames.pong(asked.req_id, now_ns, now_ns + WORK_NS)

    def granted(self, asked: Asked, wanted: Subscribing, symbol: str | None, now_ns: int) -> str:
        return frames.ack(asked.method or "", wanted.granted(symbol), asked.req_id, now_ns, now_ns + WORK_NS)

    def ended(self, asked: Asked | None, channel: str, symbol: str | None, variant: object, now_ns: int) -> str:
        result = self.rules[channel].ended(symbol, variant)
        req_id = None if asked is None else asked.req_id
        return frames.ack("unsubscribe", result, req_id, now_ns, now_ns + WORK_NS)

    def refused(self, asked: Asked, denial: Denial, now_ns: int) -> str:
        error, shape, wanted = denial.error, denial.shape, denial.wanted
        symbol = denial.symbol if isinstance(denial.symbol, str) else None
        name = symbol or ""
        if shape is Shape.IN_TEXT and "{symbol}" not in error and name:
            error = f"{error} {name}"
        result: dict[str, Any] | None = None
        if shape is Shape.IN_RESULT and wanted is not None:
            result = wanted.rule.ended(name or None, wanted.variant)
        return frames.error(
            error if shape is Shape.WHOLE else error.replace("{symbol}", name),
            # Observed at Kraken: this refusal has the method "subscribe", whatever was requested.
            method="subscribe" if denial.is_absent else asked.method,
            symbol=symbol if shape is Shape.WITH_SYMBOL else None,
            req_id=asked.req_id,
            in_ns=now_ns,
            out_ns=now_ns + WORK_NS,
            channel=wanted.rule.name if wanted is not None and denial.names_channel else None,
            result=result,
        )

    def unknown_channel(self, channel: str) -> str:
        return frames.unknown_channel(channel)

    # Data

    def checksum(self, spec: MarketSpec, bids: Levels, asks: Levels) -> int:
        del spec  # the digits of a scaled integer are those of the wire
        return crc32("".join([f"{price}{qty}" for price, qty in (*asks, *bids)]).encode())

    def checksum_after(self, change: BookChange, market: SymbolMarket) -> int:
        del market
        return change.checksum

    def book(
        self, kind: str, market: SymbolMarket, depth: int, levels: DepthChange, checksum: int | None, time_ns: int
    ) -> str:
        del depth
        return frames.book(kind, market.spec, levels, checksum, time_ns)

    def trades(self, kind: str, spec: MarketSpec, prints: Iterable[TradePrint]) -> str:
        return frames.trades(kind, spec, prints)

    @property
    def latest(self) -> Mapping[str, Callable[[str, SymbolMarket], str]]:
        return _LATEST

    @property
    def reference(self) -> Mapping[str, Callable[[str, Iterable[MarketSpec]], str]]:
        return _REFERENCE

    def candles(self, kind: str, market: SymbolMarket, rows: Sequence[Candle], time_ns: int) -> str:
        return frames.candles(kind, market.spec, rows, time_ns)

    def add_unknown_field(self, text: str) -> str:
        return "{" + _UNKNOWN_FIELD + text[1:].replace('{"symbol":', "{" + _UNKNOWN_FIELD + '"symbol":', 1)
