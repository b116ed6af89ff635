"""Every frame of v1 that the fake exchange sends, as text.

Decimal numbers are quoted, and have more decimals than in v2: prices at least five, quantities at least eight. The
checksum of a book is of these digits, so it differs from v2's of the same book.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from kraken_trio.testing.exchange.server_book import scaled_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.testing.exchange.market import SymbolMarket
    from kraken_trio.testing.exchange.market_spec import MarketSpec
    from kraken_trio.testing.exchange.server_book import DepthChange, Levels, ServerSide
    from kraken_trio.testing.exchange.tape import Candle, TradePrint

__all__ = [
    "HEARTBEAT",
    "book",
    "candle",
    "checksum",
    "data",
    "event",
    "seconds",
    "spread",
    "status",
    "ticker",
    "trades",
]

HEARTBEAT: Final = '{"event":"heartbeat"}'
_PRICE_DECIMALS: Final = 5
_QTY_DECIMALS: Final = 8
"""The fewest decimals of a price and a quantity. (Kraken has more where the pair has more.)"""


def event(name: str, **fields: Any) -> str:
    """A frame that is not data; fields that are None are left out."""
    present = {"event": name} | {key: value for key, value in fields.items() if value is not None}
    return json.dumps(dict(sorted(present.items())), separators=(",", ":"))


def status(system: str, connection_id: int | None) -> str:
    """The engine's status, as it is pushed; with or without the connection's id."""
    return event("systemStatus", connectionID=connection_id, status=system, version="1.9.6")


def data(channel_id: int, payload: str, channel_name: str, pair: str) -> str:
    """A frame of data; ``payload`` may be several, with commas between them."""
    return f'[{channel_id},{payload},"{channel_name}","{pair}"]'


def seconds(time_ns: int) -> str:
    """Seconds since 1970, with microseconds, in quotes."""
    whole, rest = divmod(time_ns, 10**9)
    return f'"{whole}.{rest // 1000:06d}"'


def _padding(spec: MarketSpec) -> tuple[int, int]:
    """By how many decimals prices and quantities are longer than in v2."""
    return max(0, _PRICE_DECIMALS - spec.price_precision), max(0, _QTY_DECIMALS - spec.qty_precision)


def _price(value: int, spec: MarketSpec) -> str:
    more = _padding(spec)[0]
    return f'"{scaled_text(value * 10**more, spec.price_precision + more)}"'


def _qty(value: int, spec: MarketSpec) -> str:
    more = _padding(spec)[1]
    return f'"{scaled_text(value * 10**more, spec.qty_precision + more)}"'


def checksum(spec: MarketSpec, bids: Levels, asks: Levels) -> int:
    """The checksum of a book with these ten best levels. A scaled integer's digits are those of the wire."""
    more_price, more_qty = _padding(spec)
    price_unit, qty_unit = 10**more_price, 10**more_qty
    return crc32("".join([f"{price * price_unit}{qty * qty_unit}" for price, qty in (*asks, *bids)]).encode())


def _levels(levels: Levels, side: ServerSide, spec: MarketSpec, time_ns: int, *, update: bool) -> str:
    """A level that a message has not changed is there because it has come back into the window: ``r``."""
    more_price, more_qty = _padding(spec)
    price_unit, qty_unit = 10**more_price, 10**more_qty
    pp, qp = spec.price_precision + more_price, spec.qty_precision + more_qty
    out: list[str] = []
    for price, qty in levels:
        changed = side.time_of(side.sign * price) if qty else None
        again = ',"r"' if update and changed is not None and changed < time_ns else ""
        out.append(
            f'["{scaled_text(price * price_unit, pp)}","{scaled_text(qty * qty_unit, qp)}",'
            f"{seconds(time_ns if changed is None else changed)}{again}]"
        )
    return ",".join(out)


def book(kind: str, market: SymbolMarket, levels: DepthChange, checksum: int | None, time_ns: int) -> str:
    """The payload of a book's snapshot, or the one or two payloads of an update; its checksum is in the last."""
    spec, update = market.spec, kind != "snapshot"
    bids = _levels(levels.bids, market.book.bids, spec, time_ns, update=update)
    asks = _levels(levels.asks, market.book.asks, spec, time_ns, update=update)
    if not update:
        return f'{{"as":[{asks}],"bs":[{bids}]}}'
    sides = [f'"{name}":[{text}]' for name, text in (("a", asks), ("b", bids)) if text]
    if checksum is not None:
        sides[-1] += f',"c":"{checksum}"'
    return ",".join([f"{{{side}}}" for side in sides])


def trades(spec: MarketSpec, prints: Iterable[TradePrint]) -> str:
    """The payload of any number of trades."""
    rows = ",".join(
        f'[{_price(t.price, spec)},{_qty(t.qty, spec)},{seconds(t.time_ns)},"{t.side[0]}","{t.ord_type[0]}",""]'
        for t in prints
    )
    return f"[{rows}]"


def ticker(market: SymbolMarket) -> str:
    """The payload of a ticker. An empty side is written as price 0, quantity 0; "today" is all the time there is."""
    spec, tape = market.spec, market.tape
    bid, ask = market.book.bids.best() or (0, 0), market.book.asks.best() or (0, 0)
    last = tape.latest[-1] if tape.latest else None

    def best(price: int, qty: int) -> str:
        return f"[{_price(price, spec)},{qty // 10**spec.qty_precision},{_qty(qty, spec)}]"

    def twice(text: str) -> str:
        return f"[{text},{text}]"

    return (
        f'{{"a":{best(ask[0], ask[1])},"b":{best(-bid[0], bid[1])},'
        f'"c":[{_price(tape.last, spec)},{_qty(last.qty if last else 0, spec)}],"v":{twice(_qty(tape.volume, spec))},'
        f'"p":{twice(_price(tape.vwap, spec))},"t":{twice(str(tape.count))},"l":{twice(_price(tape.low, spec))},'
        f'"h":{twice(_price(tape.high, spec))},"o":{twice(_price(tape.open, spec))}}}'
    )


def candle(market: SymbolMarket, row: Candle) -> str:
    """The payload of the latest candle: its times are those of its last trade and of its end."""
    spec = market.spec
    prices = ",".join([_price(value, spec) for value in (row.open, row.high, row.low, row.close, row.vwap)])
    changed = seconds(market.tape.latest[-1].time_ns)
    return f"[{changed},{seconds(row.end_ns)},{prices},{_qty(row.volume, spec)},{row.trades}]"


def spread(market: SymbolMarket) -> str:
    """The payload of the best bid and ask. An empty side is written as price 0, quantity 0."""
    spec, bid, ask = market.spec, market.book.bids.best() or (0, 0), market.book.asks.best() or (0, 0)
    return (
        f"[{_price(-bid[0], spec)},{_price(ask[0], spec)},{seconds(market.time_ns)},"
        f"{_qty(bid[1], spec)},{_qty(ask[1], spec)}]"
    )
