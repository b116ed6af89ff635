"""Order books: only verified events are delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kraken_trio.book import OrderBook, core
from kraken_trio.channels.state import Failure, Kept
from kraken_trio.channels.verified import VerifiedState
from kraken_trio.errors import ProtocolError
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.book.core import FramePath
    from kraken_trio.requests import Book
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec

__all__ = ["BookState"]

_NO_CHECKSUM = "a message without a checksum, which this book has had before"
_CROSSED = "the best bid is not below the best ask, and there is no checksum to confirm it"


class BookState(VerifiedState):
    """The verified book.

    A crossed book whose checksum matches is the exchange's own state, because the checksum covers both best levels.
    Without a checksum it is resynced, once per connection.
    """

    __slots__ = ("_crossed_in", "_snapshots_have_checksums", "_was_verified")

    def __init__(self, request: Book, counters: Counters, codec: Codec) -> None:
        self.book: OrderBook = OrderBook(request.depth)
        self._counters = counters
        self._snapshots_have_checksums = codec.snapshots_carry_checksums
        self._was_verified = False
        self._crossed_in: int | None = None
        """The connection on which it was crossed without a checksum."""

    @staticmethod
    def is_delta(event: Any, /) -> bool:
        return type(event) is BookUpdate

    @staticmethod
    def begins(event: Any, /) -> bool:
        return type(event) is BookSnapshot

    @classmethod
    def view(cls, request: Any) -> OrderBook:
        return OrderBook(request.depth)

    @classmethod
    def frame_path(
        cls, codec: Codec, subscriptions: dict[str | None, Any], live: object, counters: Counters
    ) -> FramePath | None:
        return core.table(subscriptions, live, counters) if core.table and codec.has_canonical_books else None

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        # The hot path: nine tenths of all frames are one update each.
        book, counters = self.book, self._counters
        if type(events[0]) is not BookUpdate:
            return self._take_snapshots(events)
        for event in events:
            try:
                book.apply(event)
            except ProtocolError as error:
                return _before(event, events), self._failure(error)
            if event.checksum is not None:  # mutant: crossed with a checksum
                self._was_verified = True
                counters.checksums_verified += 1
            elif self._was_verified:
                return _before(event, events), self._malformed(_NO_CHECKSUM)
            elif book.crossed and self._crossed_in != event.epoch:  # mutant: crossed without a checksum
                return _before(event, events), self._crossed(event.epoch)
            counters.pure_updates += 1
        return events, None

    def _take_snapshots(self, events: Sequence[BookSnapshot]) -> tuple[Sequence[Event], Failure | None]:
        taken: list[Event] = []
        for event in events:
            if event.checksum is None and self._was_verified and self._snapshots_have_checksums:
                return taken, self._malformed(_NO_CHECKSUM)
            try:
                self.book.apply(event)
            except ProtocolError as error:
                return taken, self._failure(error)
            if event.checksum is not None:
                self._was_verified = True
                self._counters.checksums_verified += 1
            elif self.book.crossed and self._crossed_in != event.epoch:
                return taken, self._crossed(event.epoch)
            # The book's own snapshot, not the event: the event may be unsorted, or hold more than the book keeps.
            taken.append(self.book.snapshot())  # mutant: canonical snapshot
        return taken, None

    def _crossed(self, epoch: int) -> Failure:
        self._crossed_in = epoch  # mutant: crossed once
        self._counters.crossed += 1
        return Failure(Cause.CROSSED, _CROSSED)

    @staticmethod
    def _marks_of(book: Any) -> Mapping[str, int]:
        return {"was_verified": int(book.verified), "carried": int(book.carried)}

    def keep(self) -> Kept:
        marks = {"was_verified": int(self._was_verified), "carried": int(self.book.carried)}
        if self._crossed_in is not None:
            marks["crossed_in"] = self._crossed_in
        return self._kept(marks)

    def restore(self, kept: Kept) -> None:
        super().restore(kept)
        self.book.carried = bool(kept.marks.get("carried"))
        self._was_verified = bool(kept.marks.get("was_verified"))
        self._crossed_in = kept.marks.get("crossed_in")

    def reset(self) -> None:
        self._was_verified = self._was_verified or self.book.verified
        super().reset()


def _before(event: Event, events: Sequence[Event]) -> Sequence[Event]:
    """The ``events`` before ``event``."""
    return events[: next(index for index, other in enumerate(events) if other is event)]
