"""NautilusTrader: its Kraken spot WebSocket client (Rust), from the socket to a callback that keeps an order book.

It delivers deltas without verifying Kraken's checksum (which it does for level 3 books only). What the callback does is
what its data client does first, and what its data engine does with an order book: no message bus, no cache.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from nautilus_trader.core import nautilus_pyo3 as rust
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import OrderBookDelta, OrderBookDeltas, capsule_to_data
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId

from benchmarks.sides import common


def instrument() -> Any:
    base, quote = common.SYMBOL.split("/")
    return rust.CurrencyPair(
        instrument_id=rust.InstrumentId.from_str(f"{common.SYMBOL}.KRAKEN"),
        raw_symbol=rust.Symbol(common.SYMBOL),
        base_currency=rust.Currency.from_str(base),
        quote_currency=rust.Currency.from_str(quote),
        price_precision=common.PRICE_DECIMALS,
        size_precision=common.QTY_DECIMALS,
        price_increment=rust.Price.from_str(common.tick()),
        size_increment=rust.Quantity.from_str("0.00000001"),
        ts_event=0,
        ts_init=0,
    )


async def main() -> None:
    task = common.job()
    arrivals = common.Arrivals(task)
    book = OrderBook(InstrumentId.from_str(f"{common.SYMBOL}.KRAKEN"), BookType.L2_MBP)
    snapshots = 1
    kinds: dict[str, int] = {}

    def callback(message: object) -> None:
        nonlocal snapshots
        if not rust.is_pycapsule(message):
            return
        data = capsule_to_data(message)
        if type(data) is OrderBookDeltas:
            book.apply_deltas(data)
            book.best_bid_price()
        elif type(data) is OrderBookDelta:
            book.apply_delta(data)
            book.best_bid_price()
        else:
            return
        kinds[type(data).__name__] = kinds.get(type(data).__name__, 0) + 1
        if snapshots:
            snapshots -= 1
        elif arrivals.one():
            arrivals.finish(kinds=kinds)

    pair = instrument()
    client = rust.KrakenSpotWebSocketClient(base_url=task["url"], heartbeat_secs=30)
    client.cache_instrument(pair)
    await client.connect(asyncio.get_running_loop(), [pair], callback)
    await client.wait_until_active(timeout_secs=10.0)
    await client.subscribe_book(pair.id, task["depth"])
    await asyncio.sleep(600)


uvloop.run(main())
