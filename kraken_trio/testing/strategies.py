"""Hypothesis strategies: books and their histories, valid and hostile frames, schedules of faults.

"Valid" means as the exchange would send it: fixed digits, levels in order, the window rules of
:mod:`kraken_trio.testing.exchange.server_book`, checksums by :class:`~kraken_trio.testing.ReferenceBook`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs

try:
    from hypothesis import strategies as st
except ImportError as _error:
    _msg = "kraken_trio.testing.strategies needs Hypothesis: pip install 'kraken-trio[testing]'"
    raise ImportError(_msg) from _error

from kraken_trio.events import BookSnapshot, BookUpdate, Level
from kraken_trio.requests import DEPTHS, INTERVALS
from kraken_trio.testing import checks
from kraken_trio.testing.exchange.dialects import v2_frames as text
from kraken_trio.testing.exchange.market import SymbolMarket
from kraken_trio.testing.exchange.market_spec import MarketSpec
from kraken_trio.testing.exchange.server_book import ASK, BID, DepthChange, ServerBook, scaled_text
from kraken_trio.testing.faults.strategies import conditions, fault_schedules, faults, link_faults
from kraken_trio.testing.older_names import NEWER
from kraken_trio.testing.reference_book import ReferenceBook

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = [
    "BookHistory",
    "book_histories",
    "books",
    "conditions",
    "fault_schedules",
    "faults",
    "frames",
    "hostile_frames",
    "levels",
    "link_faults",
    "precisions",
    "specs",
    "symbols",
    "valid_frames",
]

_PRECISION = checks.integer(least=0, most=18)
_EPOCH = datetime(2026, 8, 2, 4, 23, 42, tzinfo=UTC)
_CODE = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)


def symbols() -> SearchStrategy[str]:
    """Symbols as the v2 protocol spells them: ``BTC/USD``."""
    return st.sampled_from(["BTC/USD", "ETH/USD", "SHIB/USD", "GST/EUR"]) | st.builds(
        lambda base, quote: f"{base}/{quote}",
        _CODE.filter(lambda code: code not in NEWER),
        _CODE.filter(lambda code: code not in NEWER),
    )


def precisions() -> SearchStrategy[tuple[int, int]]:
    """Decimals of a price and of a quantity."""
    return st.tuples(st.integers(0, 10), st.sampled_from([5, 8]) | st.integers(0, 10))


def _prices() -> SearchStrategy[int]:
    """Scaled: few different values, so that they coincide, and occasionally very large ones."""
    return st.integers(1, 60) | st.integers(10**5, 10**5 + 40) | st.integers(1, 10**12)


def _quantities() -> SearchStrategy[int]:
    return st.integers(1, 999) | st.sampled_from([10**8, 25 * 10**7]) | st.integers(1, 10**18 - 1)


def levels(price_precision: int = 1, qty_precision: int = 8) -> SearchStrategy[Level]:
    """A level with a quantity above zero, with exactly these decimals."""
    _PRECISION("price_precision", price_precision)
    _PRECISION("qty_precision", qty_precision)
    return st.builds(lambda price, qty: _level(price, qty, price_precision, qty_precision), _prices(), _quantities())


def books(depth: int = 10, symbol: str | None = None) -> SearchStrategy[BookSnapshot]:
    """Whole books: not crossed, with 0 to ``depth`` levels per side, and the correct checksum."""
    return book_histories(depth=depth, symbol=symbol, max_updates=0).map(lambda history: history.snapshot)


@attrs.frozen(kw_only=True)
class BookHistory:
    """A snapshot and the updates after it, as a client of depth ``depth`` gets them."""

    depth: int
    price_precision: int
    qty_precision: int
    snapshot: BookSnapshot
    updates: tuple[BookUpdate, ...]
    final: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
    """The client's book at the end, by the exchange's own book: bids and asks, best first."""


def book_histories(
    depth: int | None = None, symbol: str | None = None, max_updates: int = 12
) -> SearchStrategy[BookHistory]:
    """Valid histories, of an exchange's book that is deeper than the client's, with all kinds of changes.

    Levels enter and leave the window, a price occurs several times in a message, both sides change at once,
    sides become empty. Never crossed after a message. ``depth`` may be any (small ones find more errors).
    """
    checks.optional(checks.integer(least=1))("depth", depth)
    checks.optional(checks.symbol)("symbol", symbol)
    checks.count("max_updates", max_updates)
    return _book_histories(depth, symbol, max_updates)


@st.composite
def _book_histories(draw: DrawFn, depth: int | None, symbol: str | None, max_updates: int) -> BookHistory:
    depth = draw(st.integers(1, 12)) if depth is None else depth
    pp, qp = draw(precisions())
    name = draw(symbols()) if symbol is None else symbol
    middle = draw(_prices()) + 40
    side = st.dictionaries(st.integers(1, 30), _quantities(), max_size=min(depth + 5, 28))
    book = ServerBook(
        {middle - gap: qty for gap, qty in draw(side).items() if middle - gap > 0},
        {middle + gap: qty for gap, qty in draw(side).items()},
    )
    book.watch(frozenset({depth}))
    client = ReferenceBook(depth)
    clock = _EPOCH
    first = _event(BookSnapshot, name, tuple(book.bids.top(depth)), tuple(book.asks.top(depth)), client, clock, pp, qp)
    updates: list[BookUpdate] = []
    change = st.tuples(st.booleans(), st.integers(1, 30), st.just(0) | _quantities())
    for changes in draw(st.lists(st.lists(change, min_size=1, max_size=8), max_size=max_updates)):
        for is_bid, gap, qty in changes:
            price = middle - gap if is_bid else middle + gap
            book.put(BID if is_bid else ASK, price, qty)
        window = book.commit().windows.get(depth)
        if window is not None:
            clock += timedelta(microseconds=draw(st.integers(1, 10**6)))
            updates.append(_event(BookUpdate, name, window.bids, window.asks, client, clock, pp, qp))
    final = (_texts(book.bids.top(depth), pp, qp), _texts(book.asks.top(depth), pp, qp))
    return BookHistory(
        depth=depth, price_precision=pp, qty_precision=qp, snapshot=first, updates=tuple(updates), final=final
    )


def _texts(rows: Any, pp: int, qp: int) -> tuple[tuple[str, str], ...]:
    return tuple((scaled_text(price, pp), scaled_text(qty, qp)) for price, qty in rows)


def _level(price: int, qty: int, pp: int, qp: int) -> Level:
    return Level(Decimal(scaled_text(price, pp)), Decimal(scaled_text(qty, qp)))


def _event(
    kind: Any, symbol: str, bids: Any, asks: Any, client: ReferenceBook, clock: datetime, pp: int, qp: int
) -> Any:
    client.apply(bids=_texts(bids, pp, qp), asks=_texts(asks, pp, qp))
    return kind(
        symbol=symbol,
        bids=tuple(_level(price, qty, pp, qp) for price, qty in bids),
        asks=tuple(_level(price, qty, pp, qp) for price, qty in asks),
        checksum=client.checksum(),
        timestamp=clock,
        epoch=1,
        received_ns=int(clock.timestamp()) * 10**9,
    )


# Frames


@st.composite
def specs(draw: DrawFn) -> MarketSpec:
    """Small markets of any precision."""
    pp, qp = draw(precisions())
    return MarketSpec(
        symbol=draw(symbols()),
        price_precision=pp,
        qty_precision=qp,
        start_price=scaled_text(draw(st.integers(500, 10**6)), pp),
        typical_qty=scaled_text(draw(st.integers(10, 10**10)), qp),
        levels=draw(st.integers(1, 30)),
        spacing=draw(st.integers(1, 9)),
        history=draw(st.integers(1, 15)),
    )


@st.composite
def valid_frames(draw: DrawFn) -> str:
    """Well-formed v2 frames of every public channel, confirmations, refusals and pongs."""
    spec = draw(specs())
    start_ns = int(_EPOCH.timestamp()) * 10**9
    market = SymbolMarket(spec, draw(st.integers(0, 2**32)), start_ns)
    depth = draw(st.sampled_from(DEPTHS))
    market.book.watch(frozenset({depth}))
    window = DepthChange((), ())
    for _ in range(draw(st.integers(0, 5))):
        window = market.step(start_ns).book.windows.get(depth, window)
    kind = draw(st.sampled_from(["snapshot", "update"]))
    req_id = draw(st.none() | st.integers(0, 2**64 - 1))
    times: Any = {"in_ns": start_ns, "out_ns": start_ns + draw(st.integers(0, 10**9))}
    top = DepthChange(tuple(market.book.bids.top(depth)), tuple(market.book.asks.top(depth)))
    interval = draw(st.sampled_from(INTERVALS))
    choices: list[Any] = [
        lambda: text.HEARTBEAT,
        lambda: text.status(draw(st.sampled_from(["online", "maintenance", "cancel_only"])), draw(_u64())),
        lambda: text.book("snapshot", spec, top, market.book.checksum(), start_ns),
        lambda: text.book("update", spec, window, market.book.checksum(), start_ns),
        lambda: text.trades(kind, spec, list(market.tape.latest)[: draw(st.integers(1, 50))]),
        lambda: text.ticker(kind, market),
        lambda: text.candles(kind, spec, market.tape.candles[interval], start_ns),
        lambda: text.instruments(kind, [spec]),
        lambda: text.pong(req_id, **times),
        lambda: text.ack(
            draw(st.sampled_from(["subscribe", "unsubscribe"])),
            {"channel": "book", "depth": depth, "snapshot": True, "symbol": spec.symbol},
            req_id,
            **times,
        ),
        lambda: text.error(
            draw(st.sampled_from(["Exceeded msg rate", "Already subscribed", "Subscription depth not supported"])),
            method=draw(st.sampled_from([None, "subscribe", "unsubscribe"])),
            symbol=draw(st.sampled_from([None, spec.symbol])),
            req_id=req_id,
            **times,
        ),
        lambda: text.bare_error("Exceeded msg rate"),
    ]
    return str(draw(st.sampled_from(choices))())


def _u64() -> SearchStrategy[int]:
    return st.integers(0, 2**64 - 1)


_WRONG_VALUES = (
    "null", "true", "{}", "[]", '""', '"NaN"', "NaN", "-1", "0", "1e999999999", "1e-999999999", "1.5", "1" * 400,
    '"1_000"', '" 1 "', '"\\u0000"', '"\\ud800"', "[[]]", '{"symbol":null}', '"2026-13-45T99:99:99Z"',
    "18446744073709551616",
)  # fmt: skip


@st.composite
def _mutated(draw: DrawFn) -> str:
    """A valid frame in which something was replaced, removed, duplicated or truncated."""
    frame = draw(valid_frames())
    how = draw(st.sampled_from(["value", "drop", "double", "cut", "splice", "nest"]))
    message: Any = json.loads(frame, parse_float=_Number, parse_int=_Number)
    paths = list(_paths(message))
    if how == "cut" or not paths:
        return frame[: draw(st.integers(0, len(frame)))]
    if how == "splice":
        at = draw(st.integers(0, len(frame)))
        return frame[:at] + draw(st.text(max_size=5)) + frame[at:]
    if how == "nest":
        deep = draw(st.integers(1, 2000))
        return frame[:-1] + ',"x":' + "[" * deep + "]" * deep + "}"
    parent, key = draw(st.sampled_from(paths))
    if how == "value":
        parent[key] = _Number(draw(st.sampled_from(_WRONG_VALUES)))
    elif how == "drop":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(parent[key])
    else:
        parent[f"{key}_"] = parent[key]
    return _dump(message)


class _Number(str):
    """The text of a number, or of any other JSON, to be written unchanged."""

    __slots__ = ()


def _dump(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_dump(item) for item in value) + "]"
    return json.dumps(value)


def _paths(value: Any) -> Any:
    """Every position in it: the container, and the key or index."""
    keys = range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()
    for key in keys:
        yield value, key
        yield from _paths(value[key])


def hostile_frames() -> SearchStrategy[str]:
    """Texts that are not frames, or malformed frames. Some are valid by chance."""
    junk = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    ).map(json.dumps)
    names = st.sampled_from(["book", "trade", "ticker", "ohlc", "instrument", "status", "heartbeat", "weather"])
    shaped = st.builds(lambda name, data: f'{{"channel":"{name}","type":"update","data":{data}}}', names, junk)
    return _mutated() | st.text(max_size=40) | junk | shaped


def frames() -> SearchStrategy[str]:
    """Any frame: valid or hostile."""
    return valid_frames() | hostile_frames()
