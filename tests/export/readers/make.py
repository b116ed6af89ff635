"""Exports a story in one format, and says what the reader must find: the book at some moments, and the trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kraken_trio as kt
from kraken_trio.export import export
from tests.export import stories

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make"]

STEPS = 6000
LOOKS = 200
"""Moments at which the books are compared."""


def expected_of(events: list[kt.Event]) -> dict[str, Any]:
    book, looks, trades = kt.OrderBook(10), [], []
    every = max(1, len(events) // LOOKS)
    for number, event in enumerate(events):
        if isinstance(event, kt.Trade):
            trades.append([event.trade_id, str(event.price), str(event.qty), event.side.value, event.received_ns])
        elif isinstance(event, kt.BookSnapshot | kt.BookUpdate | kt.Gap):
            book.apply(event)
        following = events[number + 1].received_ns if number + 1 < len(events) else None
        if (number % every == 0 or isinstance(event, kt.Gap)) and following != event.received_ns:
            sides: list[list[list[str]]] = [[], []]
            if book.available:
                sides = [[[lv.price_text, lv.qty_text] for lv in side] for side in (book.bids, book.asks)]
            looks.append({"time_ns": event.received_ns, "bids": sides[0], "asks": sides[1]})
    return {"looks": looks, "trades": trades}


def make(to: str, out: Path) -> dict[str, Any]:
    """What is expected of the export ``to`` a format in the folder ``out``."""
    pair = kt.Pair(
        symbol="BTC/USD",
        base="BTC",
        quote="USD",
        status="online",
        price_precision=1,
        qty_precision=8,
    )
    events = stories.story(STEPS, step_ns=2 * 10**9)
    first = events[0].received_ns
    reference = kt.InstrumentUpdate(assets=(), pairs=(pair,), snapshot=True, epoch=1, received_ns=first)
    requests = (*stories.REQUESTS, kt.Instruments())
    report = export(stories.source([reference, *events], *requests), out, to=to)
    print(f"{to}: {report.events} events, rows {report.rows}")
    return {**expected_of(events), "files": [str(file.path) for file in report.files], "rows": report.rows}
