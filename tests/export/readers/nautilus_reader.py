"""Opens exports into FOLDER with NautilusTrader, and compares its books and trades with the events.

One is a catalog; the other one are tardis' files, for which NautilusTrader has a loader.

``python -m tests.export.readers.nautilus_reader FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nautilus_trader.adapters.tardis.loaders import TardisCSVDataLoader
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import OrderBookDeltas
from nautilus_trader.model.enums import BookType, RecordFlag
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from tests.export.readers.make import make

INSTRUMENT = InstrumentId.from_str("BTC/USD.KRAKEN")


def main() -> None:
    read_catalog(Path(sys.argv[1], "catalog"))
    read_tardis(Path(sys.argv[1], "tardis"))


def read_catalog(folder: Path) -> None:
    expected = make("nautilus", folder)
    catalog = ParquetDataCatalog(str(folder))
    (pair,) = catalog.instruments()
    assert (pair.id, pair.price_precision, pair.size_precision) == (INSTRUMENT, 1, 8), pair
    deltas = catalog.order_book_deltas(instrument_ids=[INSTRUMENT.value])
    assert len(deltas) == expected["rows"]["order_book_deltas"]
    books = compare(deltas, expected["looks"])
    trades = catalog.trade_ticks(instrument_ids=[INSTRUMENT.value])
    compare_trades(trades, expected["trades"])
    quotes = catalog.quote_ticks(instrument_ids=[INSTRUMENT.value])
    assert len(quotes) == expected["rows"]["quote_tick"]
    print(
        f"nautilus: {len(deltas)} deltas, {books} books are equal; {len(trades)} trades; "
        f"{len(quotes)} quotes; {pair.id}"
    )


def read_tardis(folder: Path) -> None:
    expected = make("tardis", folder)
    loader = TardisCSVDataLoader(price_precision=1, size_precision=8, instrument_id=INSTRUMENT)
    found: dict[str, list[Any]] = {"incremental_book_L2": [], "trades": [], "quotes": []}
    for name in sorted(expected["files"]):
        kind = name.removeprefix("kraken_").rsplit("_", 2)[0]
        load = {"incremental_book_L2": loader.load_deltas, "trades": loader.load_trades, "quotes": loader.load_quotes}
        found[kind] += load[kind](folder / name)
    books = compare(found["incremental_book_L2"], expected["looks"])
    compare_trades(found["trades"], expected["trades"])
    print(
        f"nautilus' loader of tardis files: {len(found['incremental_book_L2'])} deltas, {books} books are equal; "
        f"{len(found['trades'])} trades; {len(found['quotes'])} quotes"
    )


def compare(deltas: list[Any], looks: list[dict[str, Any]]) -> int:
    book, at = OrderBook(INSTRUMENT, BookType.L2_MBP), 0
    message: list[Any] = []
    for look in looks:
        while at < len(deltas) and deltas[at].ts_init <= look["time_ns"]:
            message.append(deltas[at])
            if deltas[at].flags & RecordFlag.F_LAST:
                book.apply_deltas(OrderBookDeltas(INSTRUMENT, message))
                message = []
            at += 1
        assert not message
        for name, levels in (("bids", book.bids()), ("asks", book.asks())):
            got = [(str(level.price), f"{level.size():.8f}") for level in levels]
            wanted = [(price, qty) for price, qty in look[name]]
            assert got == wanted, (look["time_ns"], name, got, wanted)
    return len(looks)


def compare_trades(trades: list[Any], wanted: list[list[Any]]) -> None:
    assert len(trades) == len(wanted)
    for trade, (number, price, qty, side, received_ns) in zip(trades, wanted, strict=True):
        assert (trade.trade_id.value, str(trade.price), str(trade.size)) == (str(number), price, qty)
        assert (trade.aggressor_side.name == "BUYER") == (side == "buy")
        assert trade.ts_init // 1000 == received_ns // 1000  # tardis has microseconds


if __name__ == "__main__":
    main()
