"""Events of hftbacktest: one ``.npz`` per symbol and day, with book and trades.

Rules of the format (its documentation, "Data"): the rows that have ``EXCH_EVENT`` are in the order of the exchange's
time, those that have ``LOCAL_EVENT`` in the order of receiving; a row that cannot be both is there twice. No row is
received before it happened.

* A snapshot is a ``DEPTH_CLEAR_EVENT`` of both sides, then its levels as ``DEPTH_SNAPSHOT_EVENT``. A gap clears the
  book, too: nobody trades on a book that is unknown.
* A book's messages stay in the order in which they came, whatever the exchange's clock says: their ``exch_ts`` never
  goes back. With the same ``exch_ts`` a trade comes before the book, which has already subtracted it.
* If the recorder's clock was behind the exchange's, all ``local_ts`` of the day are moved by the largest difference, as
  hftbacktest's own converters do.
* Trades from before the subscription, or backfilled after a lost connection, are left out.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from kraken_trio import Side
from kraken_trio.export.errors import ExportError
from kraken_trio.export.outputs import Output, Written, rows_of
from kraken_trio.export.tables import time_or_none
from kraken_trio.export.times import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio import BookSnapshot, BookUpdate, Gap, Level, Trade
    from kraken_trio.export.outputs import Day
    from kraken_trio.export.window import Window

try:
    import numpy as np
    import numpy.lib.format as npy
except ImportError as _error:  # pragma: no cover (pandas and polars, with which it is tested, need it)
    _msg = "the format hftbacktest needs NumPy: pip install numpy"
    raise ExportError(_msg) from _error

__all__ = ["EVENT_DTYPE", "HftBacktest"]

EVENT_DTYPE: Final = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)
DEPTH_EVENT: Final = 1
TRADE_EVENT: Final = 2
DEPTH_CLEAR_EVENT: Final = 3
DEPTH_SNAPSHOT_EVENT: Final = 4
EXCH_EVENT: Final = 1 << 31
LOCAL_EVENT: Final = 1 << 30
BUY_EVENT: Final = 1 << 29
SELL_EVENT: Final = 1 << 28
_KIND: Final = 0xFF
"""The bits that say what a row is."""

_SIDES: Final = {Side.BUY: BUY_EVENT, Side.SELL: SELL_EVENT, Side.UNKNOWN: 0}
_UNKNOWN_TIME: Final = -1
BATCH_ROWS: Final = 4096
"""Rows of Python objects before they go to the file."""
_CHUNK_ROWS: Final = 65_536
"""Rows (of 64 bytes) that are put into order at a time."""
_NAME: Final = "data"
"""Of the array in the ``.npz``, as hftbacktest looks for it."""


class HftBacktest(Output):
    """One day's files."""

    def __init__(self, folder: Path, day: Day) -> None:
        self._folder = folder
        self._day = day
        self._feeds: dict[str, _Feed] = {}
        self.left_out: Counter[str] = Counter()

    def opened(self, local_ns: int, book: Window) -> None:
        self._feed(book.symbol).opening(time_or_none(book.timestamp), local_ns, book)

    def replaced(self, seq: int, event: BookSnapshot, before: Window) -> None:
        del seq, before
        times = (_known(time_or_none(event.timestamp)), event.received_ns)
        feed = self._feed(event.symbol)
        feed.book(times, event.bids, event.asks)
        feed.sent["book_updates"] += rows_of(event)
        feed.derived += bool(event.bids or event.asks)  # the row that clears; without levels it is the message's

    def updated(
        self, seq: int, event: BookUpdate, cut_bids: Sequence[Level], cut_asks: Sequence[Level], book: Window
    ) -> None:
        del seq, book
        feed = self._feed(event.symbol)
        times = (_known(time_or_none(event.timestamp)), event.received_ns)
        feed.levels(DEPTH_EVENT, times, event.bids, event.asks)
        feed.removals(times, cut_bids, cut_asks)
        sent = len(event.bids) + len(event.asks)
        feed.sent["book_updates"] += sent
        feed.derived += len(cut_bids) + len(cut_asks)
        self.left_out["book_updates"] += rows_of(event) - sent
        feed.settle()

    def lost(self, seq: int, gap: Gap, before: Window) -> None:
        del seq
        self._feed(before.symbol).clear((_UNKNOWN_TIME, gap.received_ns))
        self._feed(before.symbol).sent["book_updates"] += 1

    def trade(self, seq: int, event: Trade) -> None:
        del seq
        if event.snapshot:
            self.left_out["trades"] += 1
            return
        feed = self._feed(event.symbol)
        kind = TRADE_EVENT | _SIDES[event.side]
        feed.add(kind, (nanoseconds(event.timestamp), event.received_ns), float(event.price), float(event.qty))
        feed.sent["trades"] += 1
        feed.settle()

    def finish(self) -> list[Written]:
        return [feed.finish() for feed in self._feeds.values()]

    def abandon(self) -> None:
        for feed in self._feeds.values():
            feed.close()

    def _feed(self, symbol: str) -> _Feed:
        feed = self._feeds.get(symbol)
        if feed is None:
            path = Path(f"{symbol.replace('/', '-')}_{self._day.name.replace('-', '')}.npz")
            feed = self._feeds[symbol] = _Feed(self._folder, path, symbol)
        return feed


def _known(time_ns: int | None) -> int:
    return _UNKNOWN_TIME if time_ns is None else time_ns


class _Feed:
    """One symbol's rows, gathered in a file, and put into order when the day is over."""

    def __init__(self, folder: Path, path: Path, symbol: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = path
        self._symbol = symbol
        self._raw = (folder / path).with_suffix(".raw")
        self._file: BinaryIO = self._raw.open("wb")
        self._first: list[tuple[Any, ...]] = []
        """What the day begins with, whenever that was noticed."""
        self._rows: list[tuple[Any, ...]] = []
        self._count = 0
        self.sent: Counter[str] = Counter()
        self.derived = 0

    def opening(self, time_ns: int | None, local_ns: int, book: Window) -> None:
        rows, self._rows = self._rows, []
        bids, asks = book.bids.all(), book.asks.all()
        self.book((_known(time_ns), local_ns), bids, asks)
        self._first, self._rows = self._rows, rows
        self.derived += 1 + len(bids) + len(asks)

    def book(self, times: tuple[int, int], bids: Sequence[Level], asks: Sequence[Level]) -> None:
        self.clear(times)
        self.levels(DEPTH_SNAPSHOT_EVENT, times, bids, asks)

    def clear(self, times: tuple[int, int]) -> None:
        self.add(DEPTH_CLEAR_EVENT, times, 0.0, 0.0)

    def levels(self, kind: int, times: tuple[int, int], bids: Sequence[Level], asks: Sequence[Level]) -> None:
        for side, levels in ((BUY_EVENT, bids), (SELL_EVENT, asks)):
            for level in levels:
                self.add(kind | side, times, float(level.price_text), float(level.qty_text))

    def removals(self, times: tuple[int, int], bids: Sequence[Level], asks: Sequence[Level]) -> None:
        for side, levels in ((BUY_EVENT, bids), (SELL_EVENT, asks)):
            for level in levels:
                self.add(DEPTH_EVENT | side, times, float(level.price_text), 0.0)

    def add(self, kind: int, times: tuple[int, int], price: float, qty: float) -> None:
        self._rows.append((kind, *times, price, qty, 0, 0, 0.0))

    def settle(self) -> None:
        """Write rows that are enough."""
        if len(self._rows) >= BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        self._count += len(self._rows)
        np.array(self._rows, EVENT_DTYPE).tofile(self._file)
        self._rows.clear()

    def close(self) -> None:
        self._file.close()

    def finish(self) -> Written:
        self._write()
        self.close()
        if self._first:  # before all others
            self._put_first()
        data = np.memmap(self._raw, EVENT_DTYPE, "r+", shape=(self._count,))
        twice = _in_order(data, self._folder / self._path)
        del data
        self._raw.unlink()
        return Written(
            path=self._path,
            table="events",
            symbol=self._symbol,
            rows=_rows_of(self._folder / self._path),
            sent=dict(self.sent),
            derived=self.derived + twice,
        )

    def _put_first(self) -> None:
        others = self._raw
        self._raw = others.with_suffix(".all")
        self._count += len(self._first)
        with self._raw.open("wb") as file:
            np.array(self._first, EVENT_DTYPE).tofile(file)
            with others.open("rb") as rest:
                while chunk := rest.read(EVENT_DTYPE.itemsize * _CHUNK_ROWS):
                    file.write(chunk)
        others.unlink()


def _in_order(data: Any, path: Path) -> int:
    """Write the rows in both orders; returns how many are there twice.

    Rows that are in the exchange's order where they stand have both flags. The others are received where they stand,
    and have happened at an earlier place.
    """
    local = np.maximum.accumulate(data["local_ts"])
    exch = data["exch_ts"].copy()
    is_trade = (data["ev"] & _KIND) == TRADE_EVENT
    exch[~is_trade] = _never_back(exch[~is_trade], local[~is_trade])
    local += max(0, -int((local - exch).min(initial=0)))
    data["local_ts"], data["exch_ts"] = local, exch
    del local
    key = exch * 2 + ~is_trade
    del exch, is_trade
    latest = np.maximum.accumulate(key)
    late = np.flatnonzero(key < latest)
    late = late[np.argsort(key[late], kind="stable")]
    places = np.searchsorted(latest, key[late], side="right")
    del key, latest
    count = len(data) + len(late)
    order = np.empty(count, np.int64)
    flags = np.full(count, EXCH_EVENT | LOCAL_EVENT, np.uint64)
    stay = np.arange(len(data))
    stay += np.searchsorted(places, stay, side="right")
    order[stay] = np.arange(len(data))
    flags[stay[late]] = LOCAL_EVENT
    moved = places + np.arange(len(late))
    order[moved] = late
    flags[moved] = EXCH_EVENT
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date, so that the same rows make the same file.
        entry = zipfile.ZipInfo(f"{_NAME}.npy", (1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as file:
            header = {"descr": npy.dtype_to_descr(EVENT_DTYPE), "fortran_order": False, "shape": (count,)}
            npy.write_array_header_1_0(file, header)
            for at in range(0, count, _CHUNK_ROWS):
                chunk = data[order[at : at + _CHUNK_ROWS]]
                chunk["ev"] |= flags[at : at + _CHUNK_ROWS]
                file.write(chunk.tobytes())
    return len(late)


def _never_back(exch: Any, local: Any) -> Any:
    """The exchange's times of a book's messages; those that are unknown are of the message before."""
    known = np.flatnonzero(exch != _UNKNOWN_TIME)
    if not len(known):
        return local
    exch[: known[0]] = min(exch[known[0]], local[0])
    return np.maximum.accumulate(exch)


def _rows_of(path: Path) -> int:
    """The rows of a finished file, by its size and its header."""
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(f"{_NAME}.npy").file_size
        with archive.open(f"{_NAME}.npy") as file:
            npy.read_magic(file)
            shape, _, dtype = npy.read_array_header_1_0(file)
            rows = (size - file.tell()) // dtype.itemsize
    return int(rows) if shape == (rows,) else 0
