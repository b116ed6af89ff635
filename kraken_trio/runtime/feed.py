"""One consumer's bounded channel: events in the order of the exchange, and its own copy of each book.

The actor offers events; what the channel has no room for waits in a backlog: the rest of one batch of frames, and what
a loss, a start or a state adds, because the actor reads nothing more until the backlog is gone
(``Overflow.BACKPRESSURE``) or the feed has failed (``Overflow.FAIL``). With the other policies a
:mod:`buffer <kraken_trio.runtime.overflow>` takes over when the channel is full, until the program has taken all: it
always has room.

A consumer may be many events behind the client. So a feed has order books of its own, which follow the events as
they are *received*: ``feed.book(symbol)`` is the book as of the last received event, not as of now.
"""

from __future__ import annotations

import enum
from collections import deque
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs
import trio

from kraken_trio.book import OrderBook
from kraken_trio.errors import ConsumerTooSlow
from kraken_trio.events import BookSnapshot, BookUpdate, Event, Gap
from kraken_trio.requests import Book, Instruments, Request, canonical_symbol
from kraken_trio.runtime.overflow import Buffer, ConflatingBuffer, DroppingBuffer, Key, Total

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["Feed", "FeedStatistics", "Overflow", "make_feed"]


class Overflow(enum.Enum):
    """What happens when a feed's channel is full."""

    BACKPRESSURE = "backpressure"
    """The client stops reading until there is room, so TCP slows the exchange, for all feeds of this client. Nothing
    is lost. A feed that holds it up for longer than ``Settings.stall_limit`` gets
    :class:`~kraken_trio.ConsumerTooSlow`."""
    CONFLATE = "conflate"
    """Nobody waits, and nothing fails: of what there is no room for, the latest state is kept: of each symbol's book,
    ticker and candles, of the reference data, and of the client. A book comes as one
    :class:`~kraken_trio.BookSnapshot`, made when it is received from the client's verified book, without a request to
    the exchange; if that is not verified just then, its :class:`~kraken_trio.Gap` comes, and the snapshot later. The
    events of one symbol and channel stay in order, but those of two may change places. A candle can be passed over
    though it is finished. Refused for :class:`~kraken_trio.Trades`: a trade is no state."""
    DROP_OLDEST = "drop oldest"
    """Nobody waits, and nothing fails: the oldest events are dropped, and where they stood comes, for each channel and
    symbol, one :class:`~kraken_trio.Gap` with ``cause=OVERFLOW``, which says how many. If there was another gap among
    them, it has that one's cause, detail and evidence, and counts what was missing there, too. A book goes on with a
    :class:`~kraken_trio.BookSnapshot` made from the client's verified book, without a request to the exchange, and
    reference data likewise. Changes of the client's state are not dropped, but made one."""
    FAIL = "fail"
    """The feed gets :class:`~kraken_trio.ConsumerTooSlow` at once; no other feed notices."""


@attrs.frozen(kw_only=True)
class FeedStatistics:
    """A feed's numbers, at one moment."""

    buffered: int
    """Events that wait to be received. They may be more than ``capacity``: by one batch of frames with
    ``BACKPRESSURE``, by one for each channel and symbol with ``CONFLATE``, by two (a gap, and a book's snapshot) with
    ``DROP_OLDEST``."""
    capacity: int
    """What it was opened with."""
    high_water: int
    """The most events that have ever waited."""
    delivered: int
    """Events received by the program."""
    dropped: int
    """Events that the program never gets: dropped by ``DROP_OLDEST`` (its gaps tell of them), or left out at the end by
    :class:`~kraken_trio.ConsumerTooSlow`."""
    conflated: int
    """Events in whose place the program gets a later one, or one made of several: with ``CONFLATE`` any; with
    ``DROP_OLDEST`` gaps and changes of state."""
    held_seconds: float
    """How long this feed has held up reading, all in all, up to now. Only ``BACKPRESSURE`` does."""


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
        self._dropped = 0
        self._conflated = 0
        self._held_seconds = 0.0
        self._held_since: float | None = None  # it holds up reading now
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
        self._require_open()
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
        self._require_open()
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
            dropped=self._dropped,
            conflated=self._conflated,
            held_seconds=self._held_seconds
            + (0.0 if self._held_since is None else trio.current_time() - self._held_since),
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

    def _require_open(self) -> None:
        """Another task may have closed the feed after the event was taken, and before this task went on."""
        if self._is_closed:
            raise trio.ClosedResourceError

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

    def _use(self, total: Total) -> None:
        """Whom to ask for a verified book, or for reference data, as of the last event that was offered."""

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
        self._held_since = started = trio.current_time()
        try:
            while self._backlog:
                await self._send.send(self._backlog[0])
                if self._backlog:  # it may have been closed just now
                    self._backlog.popleft()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has ended; if its program is still there, it takes the backlog itself
        finally:
            self._held_since = None
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
        self._dropped += len(self._backlog)
        self._drop_backlog()
        what = f"the feed's channel ({self._capacity} events) was full, {waited}"
        self._fail(ConsumerTooSlow(f"{what}: read faster (receive_many), or raise capacity"))


class _BufferedFeed(Feed):
    """A feed that always has room: what its channel has none for goes to a buffer, as :class:`Overflow` promises.

    Either the channel or the buffer is in use, the other is empty.
    """

    def __init__(self, requests: Sequence[Request], capacity: int, overflow: Overflow) -> None:
        super().__init__(requests, capacity, overflow)
        self._total: Total = lambda _key: None
        self._buffer: Buffer = _BUFFERS[overflow](
            capacity,
            [(r.channel, r.symbol) for r in self.requests if isinstance(r, Book | Instruments)],
            self._ask,
        )

    async def receive(self) -> Event:
        if self._buffer:
            return (await self.receive_many(1))[0]
        return await super().receive()

    async def receive_many(self, max_events: int = 256) -> list[Event]:
        buffer = self._buffer
        if not buffer or max_events < 1:  # the latter is an error, which is said there
            return await super().receive_many(max_events)
        self._begin()
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self._is_receiving = False
        if not buffer:  # closed just now
            return await super().receive_many(max_events)
        before = len(buffer)
        events = [buffer.pop()]
        while buffer and len(events) < max_events:
            events.append(buffer.pop())
        self._offered += len(buffer) + len(events) - before  # made by the buffer, or dropped to make room for that
        self._delivered += len(events)
        self._count()
        for event in events:
            self._follow(event)
        return events

    def _use(self, total: Total) -> None:
        self._total = total

    def _ask(self, key: Key) -> Event | None:
        return self._total(key)

    def _offer(self, events: Sequence[Event]) -> bool:
        if self._is_ended:
            return True
        buffer = self._buffer
        before = len(buffer)
        waiting = iter(events)
        if not buffer:
            send = self._send.send_nowait
            for event in waiting:
                try:
                    send(event)
                except trio.WouldBlock:
                    before = self._move_to_buffer()
                    buffer.offer(event)
                    break
                self._offered += 1
        for event in waiting:
            buffer.offer(event)
        self._offered += len(buffer) - before
        self._count()
        return True

    def _move_to_buffer(self) -> int:
        """The channel is full: from now on the buffer is used. Returns how many events it has now."""
        receive_nowait = self._receive.receive_nowait
        for _ in range(self._capacity):
            self._buffer.offer(receive_nowait())
        return len(self._buffer)

    def _count(self) -> None:
        self._dropped, self._conflated = self._buffer.dropped, self._buffer.conflated
        self._high_water = max(self._high_water, self._offered - self._delivered)

    def _close(self) -> None:
        self._buffer.clear()
        super()._close()


_BUFFERS: Final[Mapping[Overflow, Callable[[int, Collection[Key], Total], Buffer]]] = {
    Overflow.CONFLATE: ConflatingBuffer,
    Overflow.DROP_OLDEST: DroppingBuffer,
}


def make_feed(requests: Sequence[Request], capacity: int, overflow: Overflow) -> Feed:
    """A feed of the right kind for ``overflow``."""
    return (_BufferedFeed if overflow in _BUFFERS else Feed)(requests, capacity, overflow)
