"""``read_events``: what was recorded, as an iterator, without an event loop: for scripts, threads and notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic

from kraken_trio.book import Level3Book, OrderBook
from kraken_trio.errors import RecordingError
from kraken_trio.recording.times import moment_ns
from kraken_trio.requests import Request
from kraken_trio.runtime.feed import books_among, find_book, views_for
from kraken_trio.storage.playback import Playback

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Mapping
    from types import TracebackType
    from typing import Self

    from typing_extensions import TypeVar

    from kraken_trio.events import Event
    from kraken_trio.recording.times import Time
else:
    from typing import TypeVar

__all__ = ["EventReader", "read_events", "recorded_requests"]

if TYPE_CHECKING:
    E_co = TypeVar("E_co", covariant=True, default=Event)
else:  # defaults of type variables come with Python 3.13
    E_co = TypeVar("E_co", covariant=True)


class EventReader(Iterator[E_co], Generic[E_co]):
    """The events of a recording, in order. Created by :func:`read_events`.

    Its file is closed at the end, and by :meth:`close`; it is a context manager, for what is not read to the end.

    For one thread at a time.
    """

    def __init__(self, playback: Playback, requests: tuple[Request[Any], ...], *, start_ns: int | None) -> None:
        """(not to be called by programs)."""
        self.requests: tuple[Request[Any], ...] = requests
        """What is read."""
        self._playback = playback
        self._views = views_for(requests)
        self._books = books_among(self._views, OrderBook)
        self._level3_books = books_among(self._views, Level3Book)
        self._events = self._read(start_ns)
        self._next = self._events.__next__

    def _read(self, start_ns: int | None) -> Generator[E_co, None, None]:
        playback, views = self._playback, self._views
        player, ahead, play = playback.player, playback.ahead, playback.play
        if start_ns is not None:
            playback.seek(start_ns)
            player.take()
        player.add(self, self.requests, at_once=True)
        deliveries = player.deliveries
        is_over = False
        while True:
            if deliveries.effects.deliver:
                effects, _ = player.take()
                events: list[Any] = effects.deliver[self]
                for event in events:
                    of_channel = views.get(event.channel)
                    if of_channel is not None:
                        view = of_channel.get(event.symbol)
                        if view is not None:
                            view.follow(event)
                    yield event
            if is_over:
                playback.close()
                return
            if ahead() is None:
                is_over = True
                player.end()
            else:
                play()

    def __next__(self) -> E_co:
        """The next event. Raises :class:`StopIteration` at the end."""
        return self._next()

    def __iter__(self) -> Self:
        return self

    def book(self, symbol: str) -> OrderBook:
        """The verified book of ``symbol``, as of the last event; as :meth:`Feed.book <kraken_trio.Feed.book>`."""
        return find_book(self._books, symbol, "reader")

    def level3(self, symbol: str) -> Level3Book:
        """The verified orders of ``symbol``, as of the last event; as :meth:`Feed.level3 <kraken_trio.Feed.level3>`."""
        return find_book(self._level3_books, symbol, "reader", "Level3")

    @property
    def books(self) -> Mapping[str, OrderBook]:
        """All books by symbol, including those that are unavailable: see ``OrderBook.available``."""
        return MappingProxyType(self._books)

    @property
    def level3_books(self) -> Mapping[str, Level3Book]:
        """The same of single orders: see ``Level3Book.available``."""
        return MappingProxyType(self._level3_books)

    @property
    def damage(self) -> tuple[str, ...]:
        """What was found to be damaged so far, in words: the events there are missing, after a gap."""
        return (*map(str, self._playback.damage), *self._playback.player.disagreements)

    def close(self) -> None:
        """Close the files; there are no more events. Leaving a ``with`` block does the same."""
        self._events.close()
        self._playback.close()
        for of_channel in self._views.values():
            for view in of_channel.values():
                view.invalidate("its reader is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EventReader of {self._playback.name}: {', '.join(map(str, self.requests))}>"


def read_events(
    folder: str | os.PathLike[str],
    *requests: Request[Any],
    start: Time | None = None,
    end: Time | None = None,
) -> EventReader[Any]:
    """The events of ``requests`` in a recording, from ``start`` to before ``end``, in the order in which they came.

    They are what a feed of a client would have got, opened when the recording begins, or at ``start``: then it begins
    with the state as of that moment, for a book with a :class:`~kraken_trio.BookSnapshot`. Books are verified while
    they are read, and at hand: :meth:`EventReader.book`. Wherever something is missing, there is a
    :class:`~kraken_trio.Gap`.

    A time is an aware :class:`~datetime.datetime`, a whole number of nanoseconds since 1970, or text in ISO 8601. It
    is compared with the time of receipt.

    It needs no event loop, and holds one block of the recording at a time in memory. Raises
    :class:`~kraken_trio.RecordingError` if there is no recording, or one of ``requests`` was not recorded, and
    :class:`ValueError` for a time that is none.
    """
    if not requests:
        msg = "read_events needs at least one request, such as Book('BTC/USD'); recorded_requests tells what there is"
        raise ValueError(msg)
    for request in requests:
        if not isinstance(request, Request):
            msg = f"read_events takes requests such as Book('BTC/USD'), not {request!r}"
            raise TypeError(msg)
    start_ns = None if start is None else moment_ns(start, "start")
    end_ns = None if end is None else moment_ns(end, "end")
    playback = Playback(folder, end_ns=end_ns)
    for request in requests:
        why = playback.refusal(request)
        if why is not None:
            playback.close()
            msg = f"{playback.name}: {request}: {why}"
            raise RecordingError(msg)
    return EventReader(playback, requests, start_ns=start_ns)


def recorded_requests(folder: str | os.PathLike[str]) -> tuple[Request[Any], ...]:
    """What was recorded, in the order in which it came: only the index is read.

    Raises :class:`~kraken_trio.RecordingError` if there is no recording.
    """
    with Playback(folder) as playback:
        return playback.requests()
