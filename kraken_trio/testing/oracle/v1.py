"""The data frames of Kraken's older protocol, in the form in which :mod:`kraken_trio.testing.oracle.sent` keeps them.

An array: a number, one or more payloads, the channel's name (with a number of its own), and the pair.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.testing.older_names import newer_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["read_v1"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIDES: Final = {"b": "buy", "s": "sell"}
_ORDER_TYPES: Final = {"l": "limit", "m": "market"}


def read_v1(frame: Any) -> tuple[str, str, list[tuple[bool, Any]]]:
    """The channel, the symbol, and of each event whether it is a snapshot, and what it says."""
    _, *payloads, name, pair = frame
    channel, _, number = name.partition("-")
    symbol = newer_symbol(pair)
    if channel == "book":
        return channel, symbol, [_book(payloads)]
    return channel, symbol, [(False, content) for content in _CONTENT[channel](payloads, number)]


def _time(text: str) -> timedelta:
    seconds, _, rest = text.partition(".")
    return timedelta(seconds=int(seconds), microseconds=int(f"{rest:0<6}"[:6]))


def _stamp(text: str) -> str:
    return f"{_EPOCH + _time(text):%Y-%m-%dT%H:%M:%S.%f}Z"


def _book(payloads: Any) -> tuple[bool, Any]:
    is_snapshot = "as" in payloads[0] or "bs" in payloads[0]
    names = ("bs", "as") if is_snapshot else ("b", "a")
    bids, asks = ([row for part in payloads for row in part.get(name, ())] for name in names)
    checksum = next((int(part["c"]) for part in payloads if "c" in part), None)
    latest = max((row[2] for row in (*bids, *asks)), key=_time, default=None)
    sides = (tuple([(row[0], row[1]) for row in side]) for side in (bids, asks))
    return is_snapshot, (*sides, checksum, "-" if latest is None else _stamp(latest))


def _trades(payloads: Any, _: str) -> Iterator[Any]:
    for rows in payloads:
        for price, qty, time, side, kind, *_misc in rows:
            yield (_SIDES[side], price, qty, _ORDER_TYPES[kind], "None", _stamp(time))


def _tickers(payloads: Any, _: str) -> Iterator[Any]:
    for part in payloads:
        figures = (part["c"][0], *(part[name][1] for name in ("v", "p", "l", "h")))
        best = (part["b"][0], part["b"][2], part["a"][0], part["a"][2])
        yield (*best, *figures, "-", "-", part["t"][1], "-")


def _candles(payloads: Any, interval: str) -> Iterator[Any]:
    for _, end, opened, high, low, close, vwap, volume, trades in payloads:
        begin = _EPOCH + _time(end) - timedelta(minutes=int(interval))
        text = f"{begin:%Y-%m-%dT%H:%M:%S}.{begin.microsecond * 1000:09d}Z"
        yield (text, opened, high, low, close, volume, vwap, trades)


def _spreads(payloads: Any, _: str) -> Iterator[Any]:
    for bid, ask, time, bid_qty, ask_qty in payloads:
        yield (bid, bid_qty, ask, ask_qty, _stamp(time))


_CONTENT: Final[dict[str, Callable[[Any, str], Iterator[Any]]]] = {
    "trade": _trades,
    "ticker": _tickers,
    "ohlc": _candles,
    "spread": _spreads,
}
