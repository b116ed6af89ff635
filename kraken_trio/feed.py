"""One consumer's bounded channel: events in the order of the exchange, and its own copy of each book.

The actor offers events; what the channel has no room for waits in a backlog: the rest of one batch of frames, and what
a loss, a start or a state adds, because the actor reads nothing more until the backlog is gone
(``Overflow.BACKPRESSURE``) or the feed has failed (``Overflow.FAIL``).

A consumer may be many events behind the client. So a feed has order books of its own, which follow the events as
they are *received*: ``feed.book(symbol)`` is the book as of the last received event, not as of now.
"""

from __future__ import annotations

import enum
from collections import deque
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs
import trio

from kraken_trio.book import OrderBook
from kraken_trio.errors import ConsumerTooSlow
from kraken_trio.events import BookSnapshot, BookUpdate, Event, Gap
from kraken_trio.requests import Book, Request, canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Feed", "FeedStatistics", "Overflow"]


class Overflow(enum.Enum):
    """What happens when a feed's channel is full."""

    BACKPRESSURE = "backpressure"
    """The client stops reading until there is room, so TCP slows the exchange, for all feeds of this client. Nothing
    is lost. A feed that holds it up for longer than ``Settings.stall_limit`` gets
    :class:`~kraken_trio.ConsumerTooSlow`."""
    FAIL = "fail"
    """The feed gets :class:`~kraken_trio.ConsumerTooSlow` at once; no other feed notices."""


@attrs.frozen(kw_only=True)
class FeedStatistics:
    """A feed's numbers, at one moment."""

    buffered: int
    """Events that wait to be received."""
    capacity: int
    """What it was opened with."""
    high_water: int
    """The most events that have ever waited."""
    delivered: int
    """Events received by the program."""
    held_seconds: float
    """How long this feed has held up reading, all in all."""


class Feed(trio.abc.ReceiveChannel[Event]):
    """The events of one ``subscribe``, in the order in which the exchange sent them.

    ``async for event in feed`` ends when the client's block is left. After a failure
    (:class:`~kraken_trio.ConsumerTooSlow`, or :class:`~kraken_trio.ConnectError` when the exchange refuses us for good)
    the events before it are still yielded; then it is raised, by this and every later call.

    One task receives at a time, so that ``book`` is exact; a second one gets :class:`trio.BusyResourceError`.
    """

    def __init__(self, requests: Sequence[Request], capacity: int, overflow: Overflow) -> None:
        """(not to be called by programs: ``Client.subscribe`` makes feeds)."""
        self.requests: tuple[Request, ...] = tuple(requests)
        """What it was opened with."""
        self.overflow: Overflow = overflow
        """What happens when it is full."""
        self._capacity = capacity
        self._send, self._receive = trio.open_memory_channel[Event](capacity)
        self._backlog: deque[Event] = deque()
        self._books = {r.symbol: OrderBook(r.depth) for r in self.requests if isinstance(r, Book)}
        self._error: Exception | None = None
        self._is_closed = False
        self._is_ended = False  # nothing more is offered
        self._is_receiving = False
        self._offered = 0
        self._delivered = 0
        self._high_water = 0
        self._held_seconds = 0.0
        self._on_close: Callable[[], None] = lambda: None

    # The program's side

    async def receive(self) -> Event:
        """Wait for the next event. Cancelling loses none.

        Raises :class:`trio.EndOfChannel` after the client's block was left, :class:`trio.ClosedResourceError` after
        this feed's, and the failure that ended the feed, if one did.
        """
        self._begin()
        try:
            event = await self._receive.receive()
        except trio.EndOfChannel:
            await trio.lowlevel.checkpoint()
            event = self._rest()
        finally:
            self._is_receiving = False
        self._delivered += 1
        self._follow(event)
        return event

    async def receive_many(self, max_events: int = 256) -> list[Event]:
        """Wait for the next event, and take up to ``max_events`` that are there: at least one, in order.

        Several times faster than :meth:`receive` when events come in bursts; ``book`` is then as of the last of them.
        Raises as :meth:`receive` does. Cancelling loses none.
        """
        if max_events < 1:
            msg = f"max_events={max_events}: at least 1"
            raise ValueError(msg)
        self._begin()
        try:
            events = [await self._receive.receive()]
        except trio.EndOfChannel:
            await trio.lowlevel.checkpoint()
            events = [self._rest()]
        finally:
            self._is_receiving = False
        receive_nowait = self._receive.receive_nowait
        try:
            while len(events) < max_events:
                events.append(receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        self._delivered += len(events)
        books = self._books
        for event in events:
            if type(event) is BookUpdate:
                books[event.symbol].follow(event)
            else:
                self._follow(event)
        return events

    async def aclose(self) -> None:
        """Stop: nothing more is wanted, events that wait are dropped. Leaving the ``subscribe`` block does it, too."""
        self._close()
        await trio.lowlevel.checkpoint()

    def book(self, symbol: str) -> OrderBook:
        """The verified book of ``symbol``, as of the last event that was received from this feed.

        It is the same object each time, and changes when the next event is received: take what you need of it
        before you wait. Raises :class:`~kraken_trio.BookUnavailable` before its first snapshot, and from a
        :class:`~kraken_trio.Gap` to the next one; reading an object that you kept does so too.
        :class:`ValueError` if this feed has no such book.
        """
        book = self._books.get(symbol) or self._books.get(canonical_symbol(symbol))
        if book is None:
            books = ", ".join(str(known) for known in self._books) or "none"
            msg = f"this feed was not opened with a Book({symbol!r}); its books: {books}"
            raise ValueError(msg)
        if not book.available:
            book.best_bid  # noqa: B018 (it raises, and says why)
        return book

    @property
    def books(self) -> Mapping[str, OrderBook]:
        """All books of this feed by symbol, those that cannot be read now as well: see ``OrderBook.available``."""
        return MappingProxyType(self._books)

    def statistics(self) -> FeedStatistics:
        """All numbers, as of now."""
        return FeedStatistics(
            buffered=self._buffered,
            capacity=self._capacity,
            high_water=self._high_water,
            delivered=self._delivered,
            held_seconds=self._held_seconds,
        )

    def __repr__(self) -> str:
        wanted = ", ".join(map(str, self.requests))
        ended = " closed" if self._is_closed else f" failed: {self._error}" if self._error else ""
        return f"<Feed of {wanted}: {self._buffered}/{self._capacity} buffered{ended}>"

    def _begin(self) -> None:
        if self._is_receiving:
            msg = "another task is receiving from this feed"
            raise trio.BusyResourceError(msg)
        self._is_receiving = True

    def _rest(self) -> Event:
        """After the end: what the channel had no room for. Then raise why nothing more comes."""
        if self._backlog:
            return self._backlog.popleft()
        raise copy(self._error) or trio.EndOfChannel() from None  # a copy: each raise gets a traceback of its own

    def _follow(self, event: Event) -> None:
        if isinstance(event, BookUpdate | BookSnapshot):
            self._books[event.symbol].follow(event)
        elif isinstance(event, Gap) and event.channel == "book" and event.symbol is not None:
            self._books[event.symbol].follow(event)  # which makes it unavailable; no other gap does

    @property
    def _buffered(self) -> int:
        return self._offered - self._delivered

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = self._is_ended = True
            self._drop_backlog()
            self._offered = self._delivered
            self._receive.close()
            self._send.close()
            for book in self._books.values():
                book.invalidate("its feed is closed")
            self._on_close()

    # The actor's side

    def _offer(self, events: Sequence[Event]) -> bool:
        """Take ``events``, in order. False if some of them had to go to the backlog."""
        if self._is_ended:
            return True
        self._offered += len(events)
        self._high_water = max(self._high_water, self._offered - self._delivered)
        if self._backlog:
            self._backlog.extend(events)
            return False
        send = self._send.send_nowait
        waiting = iter(events)
        for event in waiting:
            try:
                send(event)
            except trio.WouldBlock:
                self._backlog.append(event)
                self._backlog.extend(waiting)
                return False
        return True

    async def _drain(self) -> None:  # noqa: ASYNC910 (it is called when there is a backlog)
        """Wait until the backlog is in the channel, or the feed has ended."""
        started = trio.current_time()
        try:
            while self._backlog:
                await self._send.send(self._backlog[0])
                if self._backlog:  # it may have been closed just now
                    self._backlog.popleft()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has ended; if its program is still there, it takes the backlog itself
        finally:
            self._held_seconds += trio.current_time() - started

    def _fail(self, error: Exception | None) -> None:
        """Nothing more comes: after what is here, ``error``, or the end."""
        if not self._is_ended:
            self._is_ended = True
            self._error = error
            self._send.close()

    def _drop_backlog(self) -> None:
        self._offered -= len(self._backlog)
        self._backlog.clear()

    def _fail_too_slow(self, limit: float | None) -> None:
        waited = "and its policy is to fail" if limit is None else f"and held up reading for more than {limit:g} s"
        self._drop_backlog()
        what = f"the feed's channel ({self._capacity} events) was full, {waited}"
        self._fail(ConsumerTooSlow(f"{what}: read faster (receive_many), or raise capacity"))
