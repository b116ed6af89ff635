"""The CSV files of tardis.dev: names, columns and conventions of its "downloadable CSV files".

Times are microseconds. A book's file begins with a snapshot; rows of one message have one ``local_timestamp``; an
amount of 0 removes a level; when a row is of a snapshot and the one before was not, all earlier levels are void.

It knows no gaps. After a gap the book is unknown: its levels are removed, so that nobody goes on with stale ones. Gaps
are counted as left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.export.files import CsvFile
from kraken_trio.export.sheets import SheetFormat
from kraken_trio.export.tables import (
    EXCHANGE,
    BookSnapshots,
    Column,
    Kind,
    Quotes,
    Table,
    time_or_none,
)
from kraken_trio.export.times import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio import BookSnapshot, BookUpdate, Gap, Level, Trade
    from kraken_trio.export.files import RowFile
    from kraken_trio.export.outputs import Day
    from kraken_trio.export.tables import Added, BookRows, Rows
    from kraken_trio.export.window import Window

__all__ = ["TardisFormat"]

_HEAD: Final = (
    Column("exchange", Kind.CONSTANT),
    Column("symbol", Kind.CONSTANT),
    Column("timestamp", Kind.INTEGER),
    Column("local_timestamp", Kind.INTEGER),
)


def _numbers(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.NUMBER) for name in names)


_COLUMNS: Final = {
    "trades": (*_HEAD, Column("id", Kind.INTEGER), Column("side", Kind.CATEGORY), *_numbers("price", "amount")),
    "book_updates": (
        *_HEAD,
        Column("is_snapshot", Kind.BOOLEAN),
        Column("side", Kind.CATEGORY),
        *_numbers("price", "amount"),
    ),
    "quotes": (*_HEAD, *_numbers("ask_amount", "ask_price", "bid_price", "bid_amount")),
}


class TardisFormat(SheetFormat):
    """Files named as tardis' own client names those that it has downloaded."""

    suffix = ".csv.gz"
    has_empty_rows = False

    def table(self, name: str) -> Table:
        if name == "book_snapshots":
            ranks = [
                f"{side}[{rank}].{what}"
                for rank in range(self.options.levels)
                for side in ("asks", "bids")
                for what in ("price", "amount")
            ]
            return Table(name, (*_HEAD, *_numbers(*ranks)))
        return Table(name, _COLUMNS[name])

    def path(self, table: Table, symbol: str | None, day: Day) -> Path:
        """``kraken_incremental_book_L2_2026-11-29_BTC-USD.csv.gz``."""
        assert symbol is not None
        kind = {"book_updates": "incremental_book_L2", "book_snapshots": f"book_snapshot_{self.options.levels}"}.get(
            table.name, table.name
        )
        return Path(f"{EXCHANGE}_{kind}_{day.name}_{symbol.replace('/', '-').upper()}{self.suffix}")

    def open(self, path: Path, table: Table, symbol: str | None, depth: int | None) -> RowFile:
        del depth
        assert symbol is not None
        return CsvFile(path, table, {"exchange": EXCHANGE, "symbol": symbol.upper()})

    def book_rows(self, rows: Rows) -> BookRows:
        return _IncrementalBook(rows)

    def trade_row(self, seq: int, event: Trade) -> tuple[Any, ...]:
        del seq
        time_ns, local_ns = nanoseconds(event.timestamp), event.received_ns
        return (
            time_ns // 1000, local_ns // 1000, event.trade_id, event.side.value, str(event.price), str(event.qty),
        )  # fmt: skip

    def derived(self, name: str, rows: Rows) -> Quotes | BookSnapshots:
        if name == "quotes":
            return _TardisQuotes(rows)
        return _TardisSnapshots(rows, self.options.levels, self.options.interval_ns)


def _times(time_ns: int | None, local_ns: int) -> tuple[int, int]:
    """In microseconds; a missing time of the exchange is that of receiving."""
    return (local_ns if time_ns is None else time_ns) // 1000, local_ns // 1000


class _IncrementalBook:
    """Fills ``incremental_book_L2``."""

    __slots__ = ("_in_snapshot", "_rows")

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._in_snapshot = False
        """Whether the last row is of a snapshot: then the next one's would only be added to it."""

    def opening(self, local_ns: int, book: Window) -> Added:
        times = _times(time_or_none(book.timestamp), local_ns)
        return 0, self._book(times, book.bids.all(), book.asks.all())

    def snapshot(self, seq: int, event: BookSnapshot, before: Window) -> Added:
        del seq
        times, removed = _times(time_or_none(event.timestamp), event.received_ns), 0
        if self._in_snapshot or not (event.bids or event.asks):
            removed = self._remove(times, before)
        return self._book(times, event.bids, event.asks), removed

    def update(self, seq: int, event: BookUpdate, cut_bids: Sequence[Level], cut_asks: Sequence[Level]) -> Added:
        del seq
        times = _times(time_or_none(event.timestamp), event.received_ns)
        sent = [*_pairs("bid", event.bids), *_pairs("ask", event.asks)]
        cut = [*_removals("bid", cut_bids), *_removals("ask", cut_asks)]
        for side, price, amount in (*sent, *cut):
            self._rows.add((*times, False, side, price, amount))
            self._in_snapshot = False
        return len(sent), len(cut)

    def gap(self, seq: int, gap: Gap, before: Window) -> Added:
        del seq
        return 0, self._remove(_times(None, gap.received_ns), before)

    def _book(self, times: tuple[int, int], bids: Sequence[Level], asks: Sequence[Level]) -> int:
        for side, price, amount in (*_pairs("bid", bids), *_pairs("ask", asks)):
            self._rows.add((*times, True, side, price, amount))
            self._in_snapshot = True
        return len(bids) + len(asks)

    def _remove(self, times: tuple[int, int], book: Window) -> int:
        removals = [*_removals("bid", book.bids.all()), *_removals("ask", book.asks.all())]
        for side, price, amount in removals:
            self._rows.add((*times, False, side, price, amount))
            self._in_snapshot = False
        return len(removals)


def _pairs(side: str, levels: Iterable[Level]) -> list[tuple[str, str, str]]:
    return [(side, level.price_text, level.qty_text) for level in levels]


def _removals(side: str, levels: Iterable[Level]) -> list[tuple[str, str, str]]:
    return [(side, level.price_text, "0") for level in levels]


class _TardisQuotes(Quotes):
    __slots__ = ()

    def _add(self, seq: int, time_ns: int | None, local_ns: int, epoch: int, values: Sequence[str | None]) -> None:
        del seq, epoch
        self._rows.add((*_times(time_ns, local_ns), *values))


class _TardisSnapshots(BookSnapshots):
    __slots__ = ()
    _sides = ("asks", "bids")

    def _put(self, seq: int, time_ns: int | None, local_ns: int, epoch: int, values: Sequence[str | None]) -> None:
        del seq, epoch
        self._rows.add((*_times(time_ns, local_ns), *values))
