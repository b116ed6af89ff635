"""The formats that are tables: one file per table, symbol and day."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from kraken_trio.export.files import CsvFile, ParquetFile, schema_of
from kraken_trio.export.outputs import Output, Written
from kraken_trio.export.tables import (
    EXCHANGE,
    OPENING,
    BookSnapshots,
    BookUpdates,
    Quotes,
    Rows,
    asset_row,
    candle_row,
    gap_row,
    layout,
    pair_row,
    ticker_row,
    time_or_none,
    trade_row,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kraken_trio import (
        BookSnapshot,
        BookUpdate,
        Candle,
        Gap,
        InstrumentUpdate,
        Level,
        TickerUpdate,
        Trade,
    )
    from kraken_trio.export.files import RowFile
    from kraken_trio.export.options import Options
    from kraken_trio.export.outputs import Day
    from kraken_trio.export.tables import Added, BookRows, Table
    from kraken_trio.export.window import Window

__all__ = ["CsvFormat", "Sheet", "SheetFormat", "Sheets"]

BATCH_ROWS: Final = 2048
"""Rows of Python objects (about 0.5 kB each) before they are given to the file: more gain no speed."""
MAX_HELD_ROWS: Final = 1_000_000
"""Rows that wait for their row groups, in all files together: about 100 MB. Beyond, the largest groups are written."""


class Sheet:
    """A table of one symbol and day that is being written."""

    __slots__ = ("_file", "derived", "path", "rows", "sent", "symbol", "table")

    def __init__(self, path: Path, table: Table, symbol: str | None, file: RowFile) -> None:
        self.path: Path = path
        self.table: Table = table
        self.symbol: str | None = symbol
        self.rows: Rows = Rows(table)
        self.sent: int = 0
        self.derived: int = 0
        self._file = file

    @property
    def held(self) -> int:
        """Rows in memory."""
        return self._file.held + len(self.rows)

    def settle(self) -> int:
        """Give the rows to the file if they are enough; returns by how many more rows wait there now."""
        if len(self.rows) < BATCH_ROWS:
            return 0
        before = self._file.held
        self._file.write(self.rows.take())
        return self._file.held - before

    def flush(self) -> None:
        if len(self.rows):
            self._file.write(self.rows.take())
        self._file.flush()

    def finish(self) -> Written:
        self.flush()
        rows = self._file.finish()
        return Written(
            path=self.path,
            table=self.table.name,
            symbol=self.symbol,
            rows=rows,
            sent={self.table.name: self.sent},
            derived=self.derived,
        )

    def abandon(self) -> None:
        self._file.abandon()


class SheetFormat:
    """How tables become files; this is Parquet."""

    suffix = ".parquet"
    has_empty_rows = True
    """Whether a gap, and a message without levels, are rows of a book."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def table(self, name: str) -> Table:
        return layout(name, self.options.levels)

    def path(self, table: Table, symbol: str | None, day: Day) -> Path:
        """``trades/BTC-USD/2026-11-29.parquet``, which is of no other symbol.

        All columns are in the file. Names such as ``symbol=BTC-USD`` would be taken for columns by some readers, with
        other types and contents.
        """
        folder = Path(table.name)
        if symbol is not None:
            folder /= quote(symbol, safe="").replace("-", "%2D").replace("%2F", "-")
        return folder / f"{day.name}{self.suffix}"

    def open(self, path: Path, table: Table, symbol: str | None, depth: int | None) -> RowFile:
        notes = {"table": table.name, "exchange": EXCHANGE}
        if symbol is not None:
            notes["symbol"] = symbol
        if depth is not None:
            notes["depth"] = str(depth)
        schema = schema_of(table, floats=self.options.floats, decimals=self.options.decimals, metadata=notes)
        return ParquetFile(path, table, {"exchange": EXCHANGE, "symbol": symbol}, schema)

    def book_rows(self, rows: Rows) -> BookRows:
        return BookUpdates(rows)

    def trade_row(self, seq: int, event: Trade) -> tuple[Any, ...]:
        return trade_row(seq, event)

    def derived(self, name: str, rows: Rows) -> Quotes | BookSnapshots:
        """What fills ``quotes`` or ``book_snapshots``."""
        if name == "quotes":
            return Quotes(rows)
        return BookSnapshots(rows, self.options.levels, self.options.interval_ns)


class CsvFormat(SheetFormat):
    """The same tables as gzipped CSV. Times are whole nanoseconds."""

    suffix = ".csv.gz"

    def open(self, path: Path, table: Table, symbol: str | None, depth: int | None) -> RowFile:
        del depth
        return CsvFile(path, table, {"exchange": EXCHANGE, "symbol": symbol})


class Sheets(Output):
    """One day as tables."""

    def __init__(self, folder: Path, day: Day, form: SheetFormat, tables: frozenset[str]) -> None:
        self._folder = folder
        self._day = day
        self._form = form
        self._tables = tables
        self._sheets: dict[tuple[str, str | None], Sheet] = {}
        self._makers: dict[str, tuple[Sheet, BookRows]] = {}
        self._derived: dict[str, dict[str, tuple[Sheet, Quotes | BookSnapshots]]] = {"quotes": {}, "book_snapshots": {}}
        self._held = 0
        self.left_out: Counter[str] = Counter()

    # Books

    def opened(self, local_ns: int, book: Window) -> None:
        self._book(book, lambda maker: maker.opening(local_ns, book))
        self.changed(OPENING, time_or_none(book.timestamp), local_ns, book)

    def replaced(self, seq: int, event: BookSnapshot, before: Window) -> None:
        is_empty = not (event.bids or event.asks)
        self._book(before, lambda maker: maker.snapshot(seq, event, before), is_empty=is_empty)

    def updated(
        self, seq: int, event: BookUpdate, cut_bids: Sequence[Level], cut_asks: Sequence[Level], book: Window
    ) -> None:
        is_empty = not (event.bids or event.asks)
        self._book(book, lambda maker: maker.update(seq, event, cut_bids, cut_asks), is_empty=is_empty)

    def lost(self, seq: int, gap: Gap, before: Window) -> None:
        self._book(before, lambda maker: maker.gap(seq, gap, before), is_empty=True)
        for makers in self._derived.values():
            if before.symbol in makers:
                sheet, maker = makers[before.symbol]
                sheet.derived += maker.gap(seq, gap)
                self._settle(sheet)

    def advance(self, seq: int, until_ns: int, book: Window) -> None:
        found = self._derived["book_snapshots"].get(book.symbol)
        if found is not None:
            sheet, maker = found
            sheet.derived += maker.advance(seq, until_ns, book)
            self._settle(sheet)

    def changed(self, seq: int, time_ns: int | None, local_ns: int, book: Window) -> None:
        for name, makers in self._derived.items():
            if name in self._tables:
                found = makers.get(book.symbol)
                if found is None:
                    sheet = self._sheet(name, book.symbol, book.depth)
                    found = makers[book.symbol] = (sheet, self._form.derived(name, sheet.rows))
                sheet, maker = found
                sheet.derived += maker.look(seq, time_ns, local_ns, book)
                self._settle(sheet)

    def _book(self, book: Window, add: Callable[[BookRows], Added], *, is_empty: bool = False) -> None:
        """Add rows to ``book_updates``."""
        if "book_updates" not in self._tables:
            return
        found = self._makers.get(book.symbol)
        if found is None:
            sheet = self._sheet("book_updates", book.symbol, book.depth)
            found = self._makers[book.symbol] = (sheet, self._form.book_rows(sheet.rows))
        sheet, maker = found
        sent, derived = add(maker)
        sheet.sent += sent
        sheet.derived += derived
        if is_empty and not self._form.has_empty_rows:
            self.left_out["book_updates"] += 1
        self._settle(sheet)

    # The others

    def trade(self, seq: int, event: Trade) -> None:
        self._row("trades", event.symbol, self._form.trade_row(seq, event))

    def ticker(self, seq: int, event: TickerUpdate) -> None:
        self._row("tickers", event.symbol, ticker_row(seq, event))

    def candle(self, seq: int, event: Candle) -> None:
        self._row("candles", event.symbol, candle_row(seq, event))

    def gap(self, seq: int, event: Gap) -> None:
        self._row("gaps", None, gap_row(seq, event))

    def instruments(self, seq: int, event: InstrumentUpdate) -> None:
        common: dict[str, Any] = {
            "received_ns": event.received_ns,
            "epoch": event.epoch,
            "snapshot": event.snapshot,
        }
        for pair in event.pairs:
            self._row("instruments", None, pair_row(seq, pair, **common))
        for asset in event.assets:
            self._row("assets", None, asset_row(seq, asset, **common))

    def _row(self, name: str, symbol: str | None, row: tuple[Any, ...]) -> None:
        if name in self._tables:
            sheet = self._sheet(name, symbol, None)
            sheet.rows.add(row)
            sheet.sent += 1
            self._settle(sheet)

    # Files

    def _sheet(self, name: str, symbol: str | None, depth: int | None) -> Sheet:
        sheet = self._sheets.get((name, symbol))
        if sheet is None:
            table = self._form.table(name)
            path = self._form.path(table, symbol, self._day)
            opened = self._form.open(self._folder / path, table, symbol, depth)
            sheet = self._sheets[name, symbol] = Sheet(path, table, symbol, opened)
        return sheet

    def _settle(self, sheet: Sheet) -> None:
        self._held += sheet.settle()
        while self._held > MAX_HELD_ROWS:
            largest = max(self._sheets.values(), key=lambda one: one.held)
            largest.flush()
            self._held = sum(one.held for one in self._sheets.values())

    def finish(self) -> list[Written]:
        return [sheet.finish() for sheet in self._sheets.values()]

    def abandon(self) -> None:
        for sheet in self._sheets.values():
            sheet.abandon()
