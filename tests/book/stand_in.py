"""A core and a table in Python, which keep the contract of the compiled ones: slow, and everywhere the same.

With these, what uses a core is tested where none is built. They take what is usual: updates with tuples of levels and
a checksum, in frames that begin as the exchange writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kraken_trio.book import OrderBook, core
from kraken_trio.errors import ProtocolError
from kraken_trio.events import BookSnapshot, BookUpdate
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Data

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from datetime import datetime

    import pytest

    from kraken_trio.events import Gap, Level

__all__ = ["StandIn", "StandInTable", "use_stand_ins"]

STARTS = '{"channel":"book","type":"update","data":[{"symbol":"'


class StandIn:
    """A :class:`~kraken_trio.book.core.Core`: the book as one event."""

    loads = 0
    loaded_levels = 0
    takes_books = True

    def __init__(self, state: BookSnapshot, depth: int) -> None:
        self._state = state
        self._depth = depth

    @classmethod
    def load(
        cls,
        symbol: str,
        depth: int,
        bids: tuple[Level, ...],
        asks: tuple[Level, ...],
        checksum: int | None,
        timestamp: datetime | None,
        epoch: int,
        received_ns: int,
    ) -> StandIn | None:
        cls.loads += 1
        cls.loaded_levels += len(bids) + len(asks)
        state = BookSnapshot(
            symbol=symbol,
            bids=bids,
            asks=asks,
            checksum=checksum,
            timestamp=timestamp,
            epoch=epoch,
            received_ns=received_ns,
        )
        held = cls(state, depth)
        try:
            book = held._book()
        except ProtocolError:
            return None
        return held if cls.takes_books and checksum is not None and not book.crossed else None

    def _book(self) -> OrderBook:
        load, core.load = core.load, None
        try:
            book = OrderBook(self._depth)
            book.apply(self._state)
        finally:
            core.load = load
        return book

    @property
    def bids(self) -> tuple[Level, ...]:
        return self._state.bids

    @property
    def asks(self) -> tuple[Level, ...]:
        return self._state.asks

    @property
    def best_bid(self) -> Level | None:
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        return self.asks[0] if self.asks else None

    @property
    def checksum(self) -> int:
        assert self._state.checksum is not None
        return self._state.checksum

    @property
    def timestamp(self) -> datetime | None:
        return self._state.timestamp

    @property
    def epoch(self) -> int:
        return self._state.epoch

    @property
    def received_ns(self) -> int:
        return self._state.received_ns

    def leave(self) -> None:
        self.is_left = True

    def apply(self, event: BookSnapshot | BookUpdate | Gap) -> bool:
        return self._take(event, "apply")

    def follow(self, event: BookSnapshot | BookUpdate | Gap) -> bool:
        return self._take(event, "follow")

    def _take(self, event: BookSnapshot | BookUpdate | Gap, how: str) -> bool:
        if type(event) is not BookUpdate or event.checksum is None or type(event.bids) is not tuple:
            return False
        book = self._book()
        try:
            getattr(book, how)(event)
        except (ProtocolError, ValueError):
            return False
        if book.crossed:
            return False
        self._state = book.snapshot()
        return True


class StandInTable:
    """A :class:`~kraken_trio.book.core.FramePath`."""

    def __init__(self, subscriptions: dict[str | None, Any], live: object, counters: Any) -> None:
        self._subscriptions = subscriptions
        self._live = live
        self._counters = counters
        self._decode = codec_for("v2").decode

        self._taken = (0, 0)

    def count(self) -> tuple[int, int]:
        taken, self._taken = self._taken, (0, 0)
        return taken

    def take(
        self,
        frames: Sequence[str | bytes],
        index: int,
        epoch: int,
        received_ns: int,
        deliver: dict[Hashable, list[Any]],
    ) -> int:
        for at in range(index, len(frames)):
            frame = frames[at]
            if not isinstance(frame, str) or not frame.startswith(STARTS):
                return at
            try:
                message = self._decode(frame, epoch, received_ns)
            except ProtocolError:
                return at
            assert isinstance(message, Data)
            [event] = message.events
            sub = self._subscriptions.get(event.symbol)
            if sub is None or sub.step is not self._live or sub.state.book.core is None:
                return at
            if not sub.state.book.core.apply(event):
                return at
            for feed in sub.audience:
                deliver[feed].append(event)
            self._counters.events += len(sub.audience)
            self._counters.checksums_verified += 1
            self._counters.compiled_updates += 1
            self._taken = (self._taken[0] + 1, self._taken[1] + len(frame))
        return len(frames)


def use_stand_ins(patch: pytest.MonkeyPatch) -> type[StandIn]:
    """Use them until the end of the test. Returns the class that counts its loads."""

    class Counted(StandIn):
        pass

    patch.setattr(core, "load", Counted.load)
    patch.setattr(core, "table", StandInTable)
    return Counted
