"""The formats of others: tardis' files by its documentation, hftbacktest's by its rules of order.

The real hftbacktest and NautilusTrader open exports in ``nox -s export-readers``.
"""

from __future__ import annotations

import csv
import gzip
import re
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings

import kraken_trio as kt
from kraken_trio.export import ExportError, export, hftbacktest as hft
from kraken_trio.export.times import nanoseconds
from tests.export import stories

if TYPE_CHECKING:
    from collections.abc import Iterator

# https://docs.tardis.dev/downloadable-csv-files: names of the files by its client's default, and columns, in order.
TARDIS_NAME = re.compile(r"kraken_(incremental_book_L2|trades|quotes|book_snapshot_5)_\d{4}-\d\d-\d\d_BTC-USD\.csv\.gz")
TARDIS = {
    "incremental_book_L2": "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
    "trades": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "quotes": "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
    "book_snapshot_5": "exchange,symbol,timestamp,local_timestamp,"
    + ",".join(f"asks[{rank}].price,asks[{rank}].amount,bids[{rank}].price,bids[{rank}].amount" for rank in range(5)),
}


def tardis(folder: Path, source: Any, *tables: str) -> dict[str, list[dict[str, str]]]:
    """The rows by kind of file."""
    found: dict[str, list[dict[str, str]]] = {}
    report = export(source, folder, to="tardis", tables=tables, levels=5)
    for file in report.files:
        name = TARDIS_NAME.fullmatch(file.path.name)
        assert name
        with gzip.open(folder / file.path, "rt", encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text)
            assert ",".join(reader.fieldnames or ()) == TARDIS[name[1]]
            rows = list(reader)
        assert len(rows) == file.rows
        for row in rows:
            assert (row["exchange"], row["symbol"]) == ("kraken", "BTC/USD")
            assert all(len(row[time]) == 16 for time in ("timestamp", "local_timestamp"))  # microseconds
        found.setdefault(name[1], []).extend(rows)
    return found


def books_by_tardis_rules(rows: list[dict[str, str]]) -> Iterator[tuple[int, dict[str, dict[Decimal, Decimal]]]]:
    """The book after the last row with each ``local_timestamp``.

    "If the last update was not a snapshot and the current one is, the existing order book state must be discarded";
    "an amount of 0 removes the level"; "rows with the same local_timestamp are one message".
    """
    sides: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "ask": {}}
    was_snapshot = False
    for at, row in enumerate(rows):
        is_snapshot = row["is_snapshot"] == "true"
        if is_snapshot and not was_snapshot:
            sides = {"bid": {}, "ask": {}}
        was_snapshot = is_snapshot
        if Decimal(row["amount"]):
            sides[row["side"]][Decimal(row["price"])] = Decimal(row["amount"])
        else:
            sides[row["side"]].pop(Decimal(row["price"]), None)
        if at + 1 == len(rows) or rows[at + 1]["local_timestamp"] != row["local_timestamp"]:
            yield int(row["local_timestamp"]), {side: dict(levels) for side, levels in sides.items()}


@settings(max_examples=40)
@given(stories.recordings())
def test_tardis_books_are_the_books(recorded: tuple[int, list[kt.Event]]) -> None:
    depth, events = recorded
    source = stories.in_memory(recorded)
    with tempfile.TemporaryDirectory() as folder:
        rows = tardis(Path(folder), source, "book_updates")["incremental_book_L2"]
    books = [(event.received_ns // 1000, sides) for event, sides in stories.books(events, depth)]
    empty: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "ask": {}}
    got, expected = dict(books_by_tardis_rules(rows)), dict(books)
    for time, sides in got.items():
        # At midnight a file begins with the book that the last message has left.
        before = [after for at, after in books if at <= time]
        assert sides == expected.get(time, before[-1])
    for time, sides in expected.items():
        # A message without rows has changed nothing.
        assert sides == ([after for at, after in got.items() if at <= time] or [empty])[-1]


def test_tardis_trades_and_quotes(tmp_path: Path) -> None:
    events = stories.story()
    found = tardis(tmp_path, stories.source(events), "trades", "quotes", "book_snapshots")
    trades = [event for event in events if isinstance(event, kt.Trade)]
    assert [
        (row["id"], row["side"], row["price"], row["amount"], int(row["timestamp"]), int(row["local_timestamp"]))
        for row in found["trades"]
    ] == [
        (
            *(str(trade.trade_id), trade.side.value, str(trade.price), str(trade.qty)),
            *(nanoseconds(trade.timestamp) // 1000, trade.received_ns // 1000),
        )
        for trade in trades
    ]
    # Its snapshots are of every change, here of five levels: those of the first one are the quotes.
    quotes = {(row["local_timestamp"], row["ask_price"], row["bid_amount"]) for row in found["quotes"]}
    tops = {(row["local_timestamp"], row["asks[0].price"], row["bids[0].amount"]) for row in found["book_snapshot_5"]}
    assert quotes <= tops


def test_trades_of_v1_have_no_id(tmp_path: Path) -> None:
    events: list[kt.Event] = [
        msgspec.structs.replace(event, trade_id=None) for event in stories.story() if isinstance(event, kt.Trade)
    ]
    assert {row["id"] for row in tardis(tmp_path, stories.source(events), "trades")["trades"]} == {""}


def test_tardis_says_what_it_leaves_out(tmp_path: Path) -> None:
    events = stories.story()
    gaps = sum(isinstance(event, kt.Gap) and event.channel == "book" for event in events)
    assert gaps
    assert export(stories.source(events), tmp_path, to="tardis").left_out == {"book_updates": gaps}


# hftbacktest


def arrays(folder: Path, source: Any) -> list[Any]:
    report = export(source, folder, to="hftbacktest")
    found = []
    for file in report.files:
        with np.load(folder / file.path) as archive:
            found.append(archive["data"])
        assert len(found[-1]) == file.rows
        assert found[-1].dtype == hft.EVENT_DTYPE
    return found


@settings(max_examples=60)
@given(stories.recordings())
def test_both_orders_of_hftbacktest(recorded: tuple[int, list[kt.Event]]) -> None:
    """What is received is the events in their order; what happened is the same rows, in the order of their times."""
    depth, events = recorded
    with tempfile.TemporaryDirectory() as folder:
        days = arrays(Path(folder), stories.in_memory(recorded))
    trades, books = [], []
    for data in days:
        local = data[data["ev"] & hft.LOCAL_EVENT > 0]
        exch = data[data["ev"] & hft.EXCH_EVENT > 0]
        assert (np.diff(local["local_ts"]) >= 0).all()
        assert (np.diff(exch["exch_ts"]) >= 0).all()
        assert (data["local_ts"] >= data["exch_ts"]).all()
        assert ((data["ev"] & (hft.LOCAL_EVENT | hft.EXCH_EVENT)) > 0).all()
        mask = np.uint64(0xFFFFFFFF ^ (hft.LOCAL_EVENT | hft.EXCH_EVENT))
        rows = [sorted((int(row["ev"] & mask), *row.tolist()[1:]) for row in side) for side in (local, exch)]
        assert rows[0] == rows[1]
        kinds = local["ev"] & np.uint64(0xFF)
        trades += [(row["px"], row["qty"]) for row in local[kinds == hft.TRADE_EVENT]]
        books.append(local[kinds != hft.TRADE_EVENT])
    assert trades == [
        (float(event.price), float(event.qty)) for event in events if isinstance(event, kt.Trade) and not event.snapshot
    ]
    sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    for row in (row for day in books for row in day):
        kind = int(row["ev"]) & 0xFF
        if kind == hft.DEPTH_CLEAR_EVENT:
            sides = {"bid": {}, "ask": {}}
            continue
        side = sides["bid" if int(row["ev"]) & hft.BUY_EVENT else "ask"]
        if row["qty"]:
            side[row["px"]] = row["qty"]
        else:
            side.pop(row["px"], None)
    *_, (_, last) = stories.books(events, depth)
    assert sides == {side: {float(price): float(qty) for price, qty in levels.items()} for side, levels in last.items()}


def test_backfilled_trades_are_left_out(tmp_path: Path) -> None:
    market = stories.Market()
    market.snapshot()
    market.trade(snapshot=True)
    market.trade()
    report = export(stories.source(market.events), tmp_path, to="hftbacktest")
    assert report.left_out == {"trades": 1}


def test_a_clock_that_is_behind_the_exchange(tmp_path: Path) -> None:
    """Nothing is received before it happened: all receive times of the day move by the largest difference."""
    market = stories.Market()
    market.play(50, outages=False)
    early = [stories.replaced(event, received_ns=event.received_ns - 3 * 10**9) for event in market.events]
    (moved,), (right,) = (arrays(tmp_path / str(at), stories.source(e)) for at, e in enumerate((early, market.events)))
    shift = set((moved["local_ts"] - right["local_ts"]).tolist())
    assert len(shift) == 1
    assert (moved["local_ts"] - moved["exch_ts"]).min() == 0


# NautilusTrader


def test_nautilus_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the format nautilus needs NautilusTrader: pip install nautilus_trader"):
        export(stories.source(stories.story(20)), tmp_path, to="nautilus")
