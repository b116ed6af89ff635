"""Every frame of v2 that the fake exchange sends, as text. Numbers are written digit by digit, without floats."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kraken_trio.testing.exchange.server_book import scaled_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.testing.exchange.market import SymbolMarket
    from kraken_trio.testing.exchange.market_spec import MarketSpec
    from kraken_trio.testing.exchange.orders import OrderEvent, OrderWindow
    from kraken_trio.testing.exchange.server_book import DepthChange
    from kraken_trio.testing.exchange.tape import Candle, TradePrint

__all__ = [
    "HEARTBEAT",
    "ack",
    "bare_error",
    "book",
    "candles",
    "error",
    "exponent_text",
    "instruments",
    "level3",
    "level3_limit",
    "pong",
    "stamp",
    "stamp_ns",
    "status",
    "ticker",
    "trades",
    "unknown_channel",
]

HEARTBEAT = '{"channel":"heartbeat"}'


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def stamp(time_ns: int) -> str:
    """RFC 3339 with microseconds."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


def stamp_ns(time_ns: int) -> str:
    """RFC 3339 with nanoseconds."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{_second(seconds)}.{rest:09d}Z"


def status(system: str, connection_id: int | None) -> str:
    """The engine's status, as it is pushed; with or without the connection's id."""
    identity = "" if connection_id is None else f'"connection_id":{connection_id},'
    return (
        f'{{"channel":"status","type":"update","data":[{{"version":"2.0.10","system":{json.dumps(system)},'
        f'"api_version":"v2",{identity}"upcoming_maintenance":[],"emergency":[]}}]}}'
    )


def unknown_channel(channel: str) -> str:
    """A well-formed frame of an unknown channel."""
    return f'{{"channel":{json.dumps(channel)},"type":"update","data":[{{"symbol":"BTC/USD"}}]}}'


def _answer(fields: dict[str, Any], req_id: int | None, in_ns: int, out_ns: int) -> str:
    if req_id is not None:
        fields["req_id"] = req_id
    fields["time_in"] = stamp(in_ns)
    fields["time_out"] = stamp(out_ns)
    return json.dumps(fields, separators=(",", ":"))


def ack(method: str, result: dict[str, Any], req_id: int | None, in_ns: int, out_ns: int) -> str:
    """The confirmation of a subscribe or unsubscribe of one symbol."""
    return _answer({"method": method, "result": result, "success": True}, req_id, in_ns, out_ns)


def error(
    text: str,
    *,
    method: str | None,
    symbol: str | None,
    req_id: int | None,
    in_ns: int,
    out_ns: int,
    channel: str | None = None,
    result: dict[str, Any] | None = None,
) -> str:
    """A refusal. ``symbol`` is at top level, and only if the error concerns one symbol."""
    fields: dict[str, Any] = {"error": text}
    if method is not None:
        fields["method"] = method
    if channel is not None:
        fields["channel"] = channel
    if result is not None:
        fields["result"] = result
    fields["success"] = False
    if symbol is not None:
        fields["symbol"] = symbol
    return _answer(fields, req_id, in_ns, out_ns)


def bare_error(text: str) -> str:
    """A refusal without any reference to its request."""
    return json.dumps({"Error": text}, separators=(",", ":"))


def pong(req_id: int | None, in_ns: int, out_ns: int) -> str:
    """The answer to a ping."""
    return _answer({"method": "pong"}, req_id, in_ns, out_ns)


def _levels(levels: Iterable[tuple[int, int]], spec: MarketSpec) -> str:
    pp, qp = spec.price_precision, spec.qty_precision
    return ",".join([f'{{"price":{scaled_text(price, pp)},"qty":{scaled_text(qty, qp)}}}' for price, qty in levels])


def book(kind: str, spec: MarketSpec, levels: DepthChange, checksum: int | None, time_ns: int) -> str:
    """A ``book`` frame; ``kind`` is ``snapshot`` or ``update``."""
    proof = "" if checksum is None else f'"checksum":{checksum},'
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{spec.symbol}",'
        f'"bids":[{_levels(levels.bids, spec)}],"asks":[{_levels(levels.asks, spec)}],'
        f'{proof}"timestamp":"{stamp(time_ns)}"}}]}}'
    )


def _orders(events: Iterable[OrderEvent], spec: MarketSpec, *, named: bool, exponents: bool) -> str:
    pp, qp = spec.price_precision, spec.qty_precision

    def qty(value: int) -> str:
        small = exponents and 0 < value < 10**qp
        return exponent_text(value, qp) if small else scaled_text(value, qp)

    return ",".join(
        [
            "{"
            + (f'"event":"{event}",' if named else "")
            + f'"order_id":"{order_id}","limit_price":{scaled_text(price, pp)},"order_qty":{qty(size)},'
            f'"timestamp":"{stamp_ns(time_ns)}"}}'
            for event, order_id, price, size, time_ns in events
        ]
    )


def exponent_text(value: int, precision: int) -> str:
    """``value`` scaled down by ``10 ** precision``, with an exponent: ``(1, 5)`` gives ``1e-05``."""
    digits = str(value)
    exponent = len(digits) - 1 - precision
    rest = digits[1:].rstrip("0")
    return f"{digits[0]}{'.' if rest else ''}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def level3(
    kind: str, spec: MarketSpec, orders: OrderWindow, checksum: int, time_ns: int, *, exponents: bool = False
) -> str:
    """A ``level3`` frame; ``kind`` is ``snapshot`` or ``update``."""
    bids, asks = (
        _orders(side, spec, named=kind == "update", exponents=exponents) for side in (orders.bids, orders.asks)
    )
    head = f'"checksum":{checksum},"symbol":"{spec.symbol}"'
    if kind == "snapshot":
        head = f'"symbol":"{spec.symbol}","checksum":{checksum}'
    return (
        f'{{"channel":"level3","type":"{kind}","data":[{{{head},'
        f'"bids":[{bids}],"asks":[{asks}],"timestamp":"{stamp_ns(time_ns)}"}}]}}'
    )


def level3_limit(symbol: str, req_id: int | None, in_ns: int, out_ns: int) -> str:
    """The refusal of a snapshot beyond the budget: it has a channel, and the symbol only in its text."""
    text = f"Rate limit for snapshot requests exceeded, when trying to subscribe to {symbol} level3 snapshot"
    fields = {"channel": "level3", "error": text, "method": "subscribe", "status": "error", "success": False}
    return _answer(fields, req_id, in_ns, out_ns)


def trades(kind: str, spec: MarketSpec, prints: Iterable[TradePrint]) -> str:
    """A ``trade`` frame with any number of trades."""
    rows = ",".join(
        f'{{"symbol":"{spec.symbol}","side":"{t.side}","price":{scaled_text(t.price, spec.price_precision)},'
        f'"qty":{scaled_text(t.qty, spec.qty_precision)},"ord_type":"{t.ord_type}","trade_id":{t.trade_id},'
        f'"timestamp":"{stamp(t.time_ns)}"}}'
        for t in prints
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


def ticker(kind: str, market: SymbolMarket) -> str:
    """An empty side is written as price 0, quantity 0."""
    spec, tape = market.spec, market.tape
    bid, ask = market.book.bids.best() or (0, 0), market.book.asks.best() or (0, 0)
    change = tape.last - tape.open
    percent = round(change * 10000 / tape.open) if tape.open else 0

    def price(value: int) -> str:
        return scaled_text(value, spec.price_precision)

    def qty(value: int) -> str:
        return scaled_text(value, spec.qty_precision)

    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{spec.symbol}",'
        f'"bid":{price(-bid[0])},"bid_qty":{qty(bid[1])},"ask":{price(ask[0])},"ask_qty":{qty(ask[1])},'
        f'"last":{price(tape.last)},"volume":{qty(tape.volume)},"vwap":{price(tape.vwap)},'
        f'"low":{price(tape.low)},"high":{price(tape.high)},"change":{price(change)},'
        f'"change_pct":{scaled_text(percent, 2)},"trades":{tape.count},"timestamp":"{stamp(market.time_ns)}"}}]}}'
    )


def candles(kind: str, spec: MarketSpec, rows: Iterable[Candle], time_ns: int) -> str:
    """An ``ohlc`` frame with any number of candles."""

    def price(value: int) -> str:
        return scaled_text(value, spec.price_precision)

    data = ",".join(
        f'{{"symbol":"{spec.symbol}","open":{price(c.open)},"high":{price(c.high)},"low":{price(c.low)},'
        f'"close":{price(c.close)},"trades":{c.trades},"volume":{scaled_text(c.volume, spec.qty_precision)},'
        f'"vwap":{price(c.vwap)},"interval_begin":"{stamp_ns(c.begin_ns)}","interval":{c.interval},'
        f'"timestamp":"{stamp(c.end_ns)}"}}'
        for c in rows
    )
    return f'{{"channel":"ohlc","type":"{kind}","timestamp":"{stamp_ns(time_ns)}","data":[{data}]}}'


_FIAT = frozenset({"USD", "EUR", "JPY", "GBP"})


def _increment(precision: int) -> str:
    """Reference data writes small numbers with an exponent, as Kraken does: ``1e-08``."""
    return scaled_text(1, precision) if precision < 5 else f"1e-{precision:02d}"


def _pair(spec: MarketSpec) -> str:
    margin = (
        '"marginable":true,"margin_initial":0.20,"position_limit_long":300,"position_limit_short":240,'
        if spec.marginable
        else '"marginable":false,'
    )
    return (
        f'{{"symbol":"{spec.symbol}","base":"{spec.base}","quote":"{spec.quote}","status":{json.dumps(spec.status)},'
        f'"qty_precision":{spec.qty_precision},"qty_increment":{_increment(spec.qty_precision)},'
        f'"price_precision":{spec.price_precision},"cost_precision":5,{margin}"has_index":true,"cost_min":0.50,'
        f'"tick_size":{_increment(spec.price_precision)},"price_increment":{_increment(spec.price_precision)},'
        f'"qty_min":{scaled_text(1, min(4, spec.qty_precision))}}}'
    )


def _asset(name: str, multiplier: str | None) -> str:
    is_fiat = name in _FIAT
    tokenized = "" if multiplier is None else f',"multiplier":{multiplier}'
    return (
        f'{{"id":"{name}","status":"enabled","precision":{4 if is_fiat else 10},'
        f'"precision_display":{2 if is_fiat else 5},"borrowable":true,"collateral_value":1.00,'
        f'"margin_rate":0.025000{tokenized}}}'
    )


def instruments(kind: str, specs: Iterable[MarketSpec]) -> str:
    """``data`` is an object here, not a list."""
    specs = list(specs)
    multipliers = {spec.base: spec.multiplier for spec in specs}
    names = sorted({name for spec in specs for name in (spec.base, spec.quote)})
    assets = ",".join(_asset(name, multipliers.get(name)) for name in names)
    pairs = ",".join(_pair(spec) for spec in specs)
    return f'{{"channel":"instrument","type":"{kind}","data":{{"assets":[{assets}],"pairs":[{pairs}]}}}}'
