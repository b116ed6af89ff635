"""The seam between the walk over the events and the formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kraken_trio import (
        BookSnapshot,
        BookUpdate,
        Candle,
        Gap,
        InstrumentUpdate,
        Level,
        Pair,
        TickerUpdate,
        Trade,
    )
    from kraken_trio.export.window import Window

__all__ = ["Day", "Output", "Written", "rows_of"]


def rows_of(event: BookSnapshot | BookUpdate) -> int:
    """The rows that a message of a book has: one a level, and at least one."""
    return len(event.bids) + len(event.asks) or 1


@attrs.frozen
class Day:
    """What of a UTC day is exported."""

    name: str
    """``2026-11-29``."""
    start_ns: int
    """The later one of its beginning and the export's."""
    pairs: Mapping[str, Pair] = attrs.field(factory=dict, repr=False)
    """The reference data that is known when it begins, by symbol."""


@attrs.frozen(kw_only=True)
class Written:
    """A file that is whole, and what is in it."""

    path: Path
    """Relative to the export's folder; the file itself still has a temporary name."""
    table: str
    symbol: str | None
    rows: int
    """As counted in the finished file."""
    sent: Mapping[str, int]
    """Rows that events have brought, by what the walk counts."""
    derived: int
    """Rows that no event brought: books at the beginning of a day, levels that left the window, …"""


class Output(ABC):
    """What one format makes of one day. Where nothing else is said, an event that it has no use for is ignored.

    The calls for a book come in this order: ``advance`` with the book as it was, then what has happened, then
    ``changed`` with the book as it is.
    """

    left_out: Mapping[str, int]
    """By table: rows' worth of events that the format cannot hold, and the walk counts."""

    @abstractmethod
    def trade(self, seq: int, event: Trade) -> None: ...

    @abstractmethod
    def opened(self, local_ns: int, book: Window) -> None:
        """The day begins with this book, which earlier events have made."""

    @abstractmethod
    def replaced(self, seq: int, event: BookSnapshot, before: Window) -> None:
        """``event`` replaces the book ``before``."""

    @abstractmethod
    def updated(
        self, seq: int, event: BookUpdate, cut_bids: Sequence[Level], cut_asks: Sequence[Level], book: Window
    ) -> None:
        """``event`` has changed the book, and these levels have left it."""

    @abstractmethod
    def lost(self, seq: int, gap: Gap, before: Window) -> None:
        """The book cannot be read any more."""

    def advance(self, seq: int, until_ns: int, book: Window) -> None:
        """The book has not changed until now."""
        del seq, until_ns, book

    def changed(self, seq: int, time_ns: int | None, local_ns: int, book: Window) -> None:
        """The book is now this one."""
        del seq, time_ns, local_ns, book

    def ticker(self, seq: int, event: TickerUpdate) -> None:
        del seq, event

    def candle(self, seq: int, event: Candle) -> None:
        del seq, event

    def gap(self, seq: int, event: Gap) -> None:
        """A gap, of whatever channel."""
        del seq, event

    def instruments(self, seq: int, event: InstrumentUpdate) -> None:
        del seq, event

    def refer(self, event: InstrumentUpdate) -> None:
        """Reference data have changed. Unlike ``instruments``, this is called in all passes over a recording."""
        del event

    @abstractmethod
    def finish(self) -> list[Written]:
        """Make all files whole, and count what is in them."""

    @abstractmethod
    def abandon(self) -> None:
        """Close all files, whole or not."""
