"""The walk over the events: which day they belong to, what they do to the books, and how many rows they must give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, Protocol

from kraken_trio import (
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    Gap,
    InstrumentUpdate,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.export.errors import ExportError
from kraken_trio.export.outputs import Day, rows_of
from kraken_trio.export.tables import OPENING, time_or_none
from kraken_trio.export.times import DAY_NS, date_of, shown
from kraken_trio.export.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kraken_trio import Event, Pair
    from kraken_trio.export.outputs import Output, Written

__all__ = ["DayCount", "Days", "check", "walk"]

_UNSEEN: Final = frozenset({Cause.NOT_RECORDED, Cause.EXPIRED, Cause.SOUGHT, Cause.FAILOVER})
"""Gaps before which nobody was watching: what the book was until then is unknown, too."""
_REPORT_EVERY: Final = 5000
"""Events between two calls of the progress callback: some hundredths of a second."""


class DayCount:
    """What has gone into one day."""

    __slots__ = ("events", "expected")

    def __init__(self) -> None:
        self.events: int = 0
        self.expected: Counter[str] = Counter()
        """Rows that the events must give, by table."""


class Days(Protocol):
    """Where the days go."""

    def begin(self, number: int, day: Day) -> Output:
        """A new day, counted from 1970."""
        ...

    def end(self, number: int, output: Output, count: DayCount) -> None:
        """It is over."""
        ...

    def report(self, events: int, now_ns: int) -> None:
        """So many more events have been read."""
        ...


def walk(
    events: Iterable[Event],
    days: Days,
    *,
    depths: Mapping[str, int],
    symbols: frozenset[str | None],
    start_ns: int | None,
    end_ns: int | None,
    first_day: int = 0,
) -> None:
    """Give the events of these ``symbols`` to the days that they belong to.

    A day is one of UTC, of the receive time. It never goes back: events that a clock which was set back has stamped
    with the day before stay in the order in which they came. None among ``symbols`` is for what has no symbol, and for
    all gaps. Events before ``start_ns`` only make the books; other events before ``first_day`` are given to that day.
    """
    _Walk(days, depths, symbols, start_ns, end_ns, first_day).run(events)


def check(date: str, tables: Iterable[str], written: Iterable[Written], output: Output, count: DayCount) -> None:
    """Rows out are events in. Raises :class:`ExportError` if they are not."""
    sent: Counter[str] = Counter()
    for file in written:
        sent.update(file.sent)
        given = sum(file.sent.values()) + file.derived
        if file.rows != given:
            msg = f"{file.path}: {given} rows were written, but {file.rows} are in it: {date} was not exported"
            raise ExportError(msg)
    for table in tables:
        expected = count.expected[table] - output.left_out.get(table, 0)
        if sent[table] != expected:
            msg = (
                f"{date}: the events give {expected} rows of {table}, but {sent[table]} were written: this day was "
                f"not exported"
            )
            raise ExportError(msg)


def _is_unseen(event: Event) -> bool:
    """Whether nobody was watching before this event."""
    return isinstance(event, Gap) and event.cause in _UNSEEN


class _Walk:
    def __init__(
        self,
        days: Days,
        depths: Mapping[str, int],
        symbols: frozenset[str | None],
        start_ns: int | None,
        end_ns: int | None,
        first_day: int,
    ) -> None:
        self._days = days
        self._first_day = first_day
        self._pairs: dict[str, Pair] = {}
        self._symbols = symbols
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._windows = {symbol: Window(symbol, depth) for symbol, depth in depths.items() if symbol in symbols}
        self._unopened: dict[str, Window] = {}
        """Books that this day begins with, and that no event has touched yet."""
        self._output: Output | None = None
        self._count = DayCount()
        self._day = 0
        self._day_start_ns = 0
        self._seq = 0
        self._now_ns = 0
        """The latest receive time of this day."""
        self._opening_ns = 0

    def run(self, events: Iterable[Event]) -> None:
        try:
            self._walk(events)
        except BaseException:
            if self._output is not None:
                self._output.abandon()
            raise
        finally:
            if isinstance(events, Generator):  # its files, now: it may not have come to its end
                events.close()

    def _walk(self, events: Iterable[Event]) -> None:
        handlers: dict[type, Callable[..., None]] = {
            BookUpdate: self._update,
            BookSnapshot: self._snapshot,
            Trade: self._trade,
            TickerUpdate: self._ticker,
            Candle: self._candle,
            Gap: self._gap,
            InstrumentUpdate: self._instruments,
        }
        start_ns, end_ns, unreported = self._start_ns, self._end_ns, 0
        for event in events:
            received_ns = event.received_ns
            if start_ns is not None and received_ns < start_ns and self._output is None:
                self._warm_up(event)
                continue
            if end_ns is not None and received_ns >= end_ns:
                break
            if self._output is None or received_ns >= self._day_start_ns + DAY_NS:
                self._turn(event)
            self._seq += 1
            handler = handlers.get(type(event))
            if handler is not None:
                assert self._output is not None
                handler(event, self._output)
            elif not isinstance(event, StateChange | StatusUpdate):  # these are of the client, and of no table
                msg = f"{type(event).__name__} events cannot be exported: the source has events that were not asked for"
                raise ExportError(msg)
            self._now_ns = max(self._now_ns, received_ns)
            unreported += 1
            if unreported == _REPORT_EVERY:
                self._days.report(unreported, self._now_ns)
                unreported = 0
        self._finish()
        self._days.report(unreported, self._now_ns)

    def _warm_up(self, event: Event) -> None:
        """Only what the first day begins with is of interest."""
        if isinstance(event, InstrumentUpdate):
            self._pairs.update((pair.symbol, pair) for pair in event.pairs)
        window = None if event.symbol is None else self._windows.get(event.symbol)
        if window is None:
            return
        if isinstance(event, BookSnapshot):
            window.load(event)
        elif isinstance(event, BookUpdate):
            if window.available:  # else its snapshot was before what was read
                window.apply(event)
        elif isinstance(event, Gap) and event.channel in {None, "book"}:
            window.drop()

    # Days

    def _turn(self, event: Event) -> None:
        """A day begins with this event."""
        if self._output is not None and not _is_unseen(event):  # what was known stayed so until midnight
            self._now_ns = self._day_start_ns + DAY_NS - 1
        self._finish()
        self._day = max(event.received_ns // DAY_NS, self._first_day)
        self._day_start_ns = self._day * DAY_NS
        start_ns = max(self._day_start_ns, self._start_ns or 0)
        self._output = self._days.begin(self._day, Day(str(date_of(self._day)), start_ns, dict(self._pairs)))
        self._count = DayCount()
        self._seq = OPENING
        self._now_ns = start_ns
        self._opening_ns = start_ns
        self._unopened = {symbol: window for symbol, window in self._windows.items() if window.available}

    def _finish(self) -> None:
        output, self._output = self._output, None
        if output is None:
            return
        try:
            for window in list(self._unopened.values()):
                self._open(window, output)
            for window in self._windows.values():
                if window.available:
                    output.advance(self._seq, self._now_ns + 1, window)
            self._days.end(self._day, output, self._count)
        except BaseException:
            output.abandon()
            raise

    def _open(self, window: Window, output: Output) -> None:
        """The day begins with this book."""
        if self._unopened and self._unopened.pop(window.symbol, None) is not None:
            output.opened(self._opening_ns, window)

    # Events

    def _snapshot(self, event: BookSnapshot, output: Output) -> None:
        window = self._window(event)
        if window is not None:
            self._open(window, output)
            self._count.events += 1
            self._count.expected["book_updates"] += rows_of(event)
            output.advance(self._seq, event.received_ns, window)
            output.replaced(self._seq, event, window)
            window.load(event)
            output.changed(self._seq, time_or_none(event.timestamp), event.received_ns, window)

    def _update(self, event: BookUpdate, output: Output) -> None:
        window = self._window(event)
        if window is not None:
            if not window.available:
                msg = (
                    f"{event.symbol}: at {shown(event.received_ns)} the book was updated, but there is no snapshot "
                    f"before: the source is not what a feed yields"
                )
                raise ExportError(msg)
            self._open(window, output)
            self._count.events += 1
            self._count.expected["book_updates"] += rows_of(event)
            output.advance(self._seq, event.received_ns, window)
            cut_bids, cut_asks = window.apply(event)
            output.updated(self._seq, event, cut_bids, cut_asks, window)
            output.changed(self._seq, time_or_none(event.timestamp), event.received_ns, window)

    def _window(self, event: BookSnapshot | BookUpdate) -> Window | None:
        window = self._windows.get(event.symbol)
        if window is None and event.symbol in self._symbols:
            msg = f"{event.symbol}: events of a book that was not asked for"
            raise ExportError(msg)
        return window

    def _gap(self, event: Gap, output: Output) -> None:
        if None in self._symbols:
            self._count.events += 1
            self._count.expected["gaps"] += 1
            output.gap(self._seq, event)
        window = None if event.symbol is None else self._windows.get(event.symbol)
        if window is None or event.channel not in {None, "book"}:
            return
        unseen = _is_unseen(event)
        if unseen:
            self._unopened.pop(window.symbol, None)
        else:
            self._open(window, output)
        self._count.expected["book_updates"] += 1
        output.advance(self._seq, self._now_ns + 1 if unseen else event.received_ns, window)
        output.lost(self._seq, event, window)
        window.drop()

    def _trade(self, event: Trade, output: Output) -> None:
        if event.symbol in self._symbols:
            self._one("trades")
            output.trade(self._seq, event)

    def _ticker(self, event: TickerUpdate, output: Output) -> None:
        if event.symbol in self._symbols:
            self._one("tickers")
            output.ticker(self._seq, event)

    def _candle(self, event: Candle, output: Output) -> None:
        if event.symbol in self._symbols:
            self._one("candles")
            output.candle(self._seq, event)

    def _instruments(self, event: InstrumentUpdate, output: Output) -> None:
        self._pairs.update((pair.symbol, pair) for pair in event.pairs)
        output.refer(event)
        if None in self._symbols:
            self._count.events += 1
            self._count.expected["instruments"] += len(event.pairs)
            self._count.expected["assets"] += len(event.assets)
            output.instruments(self._seq, event)

    def _one(self, table: str) -> None:
        self._count.events += 1
        self._count.expected[table] += 1
