"""Base for channels of books, of which only verified events are delivered."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from kraken_trio.channels.state import ChannelState, Failure, Kept
from kraken_trio.errors import ChecksumMismatch, ProtocolError
from kraken_trio.events import Cause, Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.book import Level3Book, OrderBook
    from kraken_trio.statistics import Counters

__all__ = ["VerifiedState"]


class VerifiedState(ChannelState):
    """A verified book."""

    __slots__ = ("_counters", "book")

    must_verify = True
    is_cumulative = True
    moves_with_trades = True

    book: OrderBook | Level3Book
    _counters: Counters

    def _failure(self, error: ProtocolError) -> Failure:
        """What the book has refused."""
        if isinstance(error, ChecksumMismatch):
            self._counters.checksum_failures += 1
            return Failure(Cause.CHECKSUM, str(error), error.evidence)
        return self._malformed(str(error))

    def _malformed(self, detail: str) -> Failure:
        self._counters.malformed += 1
        return Failure(Cause.MALFORMED, detail)

    def start(self, request: object) -> Sequence[Event]:
        del request
        return (self.book.snapshot(),) if self.book.available else ()

    def rebuild(self) -> Event | None:
        return self.book.snapshot() if self.book.available else None

    def _kept(self, marks: Mapping[str, int]) -> Kept:
        return Kept((self.book.snapshot(),) if self.book.available else (), marks)

    @classmethod
    def keep_view(cls, view: Any, /) -> Kept:
        return Kept((view.snapshot(),) if view.available else (), cls._marks_of(view))

    @staticmethod
    @abstractmethod
    def _marks_of(book: Any) -> Mapping[str, int]:
        """What else a book knows."""

    def restore(self, kept: Kept) -> None:
        events: Sequence[Any] = kept.events
        for event in events:
            if not self.begins(event):
                msg = f"a {self.book.kind} is kept as a snapshot, not as a {type(event).__name__}"
                raise ProtocolError(msg)
            self.book.apply(event)

    def reset(self) -> None:
        self.book.invalidate("events are missing; its next snapshot has not come yet")  # mutant: old snapshot

    @property
    def last_received_ns(self) -> int:
        return self.book.received_ns

    @property
    def moves_with_prices(self) -> bool:
        return True
