"""A table and its books without a session: one frame at a time, beside what the pure code makes of it."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.book import OrderBook, core
from kraken_trio.events import BookUpdate
from kraken_trio.statistics import Counters
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Data
from tests.core.twins import exact, look, purely

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.book.core import FramePath

__all__ = ["LIVE", "Direct", "event_of"]

LIVE: Final = object()
_CODEC: Final = codec_for("v2")
EPOCH, RECEIVED = 7, 1_785_644_622_178_672_600


def event_of(frame: str | bytes) -> Any:
    """The event that the pure code makes of a frame with one."""
    message = _CODEC.decode(frame, EPOCH, RECEIVED)
    assert isinstance(message, Data)
    [event] = message.events
    return event


class Direct:
    """The live books of these snapshots, and a table for them. The events of each go to two feeds."""

    def __init__(self, *snapshots: str, depth: int = 25, audience: Sequence[object] = ("a", "b")) -> None:
        self.depth = depth
        self._counters = Counters()
        self.subscriptions: dict[str | None, Any] = {}
        self._snapshots: dict[str | None, str] = {}
        self.deliver: dict[Any, list[Any]] = defaultdict(list)
        for snapshot in snapshots:
            book = self.book_of(snapshot)
            state = SimpleNamespace(book=book)
            self._snapshots[book.symbol] = snapshot
            self.subscriptions[book.symbol] = SimpleNamespace(step=LIVE, audience=audience, state=state, kept=None)
        assert core.table is not None
        self.table: FramePath = core.table(self.subscriptions, LIVE, self._counters)

    def book_of(self, snapshot: str) -> OrderBook:
        book = OrderBook(self.depth)
        book.apply(event_of(snapshot))
        return book

    @property
    def counters(self) -> Counters:
        self.table.count()
        return self._counters

    @property
    def books(self) -> Mapping[str | None, OrderBook]:
        return {symbol: sub.state.book for symbol, sub in self.subscriptions.items()}

    def take(self, *frames: str | bytes, index: int = 0) -> int:
        return self.table.take(frames, index, EPOCH, RECEIVED, self.deliver)

    def takes(self, frame: str | bytes) -> bool:
        """Whether the table takes it. If so, all is as if the pure code had.

        Otherwise it is as if nothing had come; what that means for the books is seen when they are looked at the next
        time: here, if one takes a frame, or by :meth:`are_as_they_were`.
        """
        cores = [book.core for book in self.books.values()]
        counted = self.counters.compiled_updates
        self.deliver.clear()
        if not self.take(frame):
            assert cores == [book.core for book in self.books.values()]
            assert self.counters.compiled_updates == counted
            assert not any(self.deliver.values())
            return False
        assert self.counters.compiled_updates == counted + 1
        with purely():
            event, pure = event_of(frame), OrderBook(self.depth)
            pure.apply(event_of(self._snapshots[event.symbol]))
            pure.apply(event)
        assert type(event) is BookUpdate
        assert {feed: [*map(exact, events)] for feed, events in self.deliver.items()} == {
            feed: [exact(event)] for feed in self.subscriptions[event.symbol].audience
        }
        assert look(self.books[event.symbol]) == look(pure)
        return True

    def renew(self) -> None:
        """All books as they were in the beginning."""
        for symbol, snapshot in self._snapshots.items():
            sub = self.subscriptions[symbol]
            sub.state, sub.kept = SimpleNamespace(book=self.book_of(snapshot)), None

    def are_as_they_were(self) -> bool:
        """Whether all books are as they were in the beginning."""
        return all(look(self.books[symbol]) == look(self.book_of(text)) for symbol, text in self._snapshots.items())
