"""Where the events come from: a recording, or anything else that has them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from kraken_trio import Book, BookSnapshot, BookUpdate, Gap, OrderBook, read_events, recorded_requests
from kraken_trio.export.times import DAY_NS, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike

    from kraken_trio import Event, Request

__all__ = ["Content", "FolderSource", "MemorySource", "Source", "source_of"]

Content = dict[str, int]
"""What a day is made from: names, and a number that changes when what is behind the name does."""


@runtime_checkable
class Source(Protocol):
    """Recorded events."""

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        """What was recorded."""
        ...

    def events(self, *requests: Request[Any], start: int | None, end: int | None) -> Iterator[Event]:
        """The events of these requests from ``start`` to before ``end`` (nanoseconds), in the order of the recording.

        Every book begins with a :class:`~kraken_trio.BookSnapshot`: at ``start`` with its state as of then.
        """
        ...

    def days(self) -> Mapping[int, Content] | None:
        """The days (counted from 1970-01-01 UTC) of which there may be events, and what each is made from.

        A day whose content is the same as at the last export is not exported again. None: unknown, export everything.
        """
        ...

    def span(self) -> tuple[int, int] | None:
        """About when the first and the last event came, in nanoseconds, if that is known: for showing progress."""
        ...


class MemorySource:
    """Events in memory, in the order in which a feed has yielded them; ``requests`` are those of that feed."""

    def __init__(self, requests: Iterable[Request[Any]], events: Iterable[Event]) -> None:
        self._requests = tuple(dict.fromkeys(requests))
        self._events = list(events)
        books = [request.symbol for request in self._requests if isinstance(request, Book)]
        if len(books) != len(set(books)):
            msg = "events do not say of which depth their book is: give one Book of each symbol"
            raise ValueError(msg)

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        return self._requests

    def events(self, *requests: Request[Any], start: int | None, end: int | None) -> Iterator[Event]:
        wanted = {(request.channel, request.symbol) for request in requests}
        symbols = {request.symbol for request in requests}
        books: dict[str, OrderBook] = {
            request.symbol: OrderBook(request.depth) for request in requests if isinstance(request, Book)
        }
        begun = start is None
        for event in self._events:
            if isinstance(event, Gap):
                if event.symbol not in {None, *symbols} or (
                    event.channel is not None and event.channel not in {channel for channel, _ in wanted}
                ):
                    continue
            elif (event.channel, event.symbol) not in wanted:
                continue
            if not begun and start is not None:
                if event.received_ns < start:
                    if isinstance(event, BookSnapshot | BookUpdate | Gap) and event.symbol in books:
                        books[event.symbol].follow(event)
                    continue
                begun = True
                yield from (book.snapshot() for book in books.values() if book.available)
            if end is not None and event.received_ns >= end:
                return
            yield event

    def days(self) -> Mapping[int, Content] | None:
        return None

    def span(self) -> tuple[int, int] | None:
        times = [event.received_ns for event in self._events]
        return (min(times), max(times)) if times else None


_SEGMENT: Final = re.compile(r"[0-9]{8,}-([0-9]{8}T[0-9]{6}Z)\.mcap", re.ASCII)
"""The name of a recording's file: its number, and when it was begun."""


class FolderSource:
    """A folder that :func:`kraken_trio.record` has written."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self._folder = Path(folder)
        self._requests = recorded_requests(self._folder)

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        return self._requests

    def events(self, *requests: Request[Any], start: int | None, end: int | None) -> Iterator[Event]:
        # From a time on, however early: without one, a reader begins only where all of its requests are in force.
        with read_events(self._folder, *requests, start=start or 0, end=end) as reader:
            yield from reader

    def days(self) -> Mapping[int, Content]:
        """By the names of the files. One may reach into the days until the next one begins."""
        segments = self._segments()
        days: dict[int, Content] = {}
        for index, (begun_ns, path) in enumerate(segments):
            status = path.stat()
            ended_ns = segments[index + 1][0] if index + 1 < len(segments) else status.st_mtime_ns
            for day in range(begun_ns // DAY_NS, max(begun_ns, ended_ns) // DAY_NS + 1):
                days.setdefault(day, {})[path.name] = status.st_size
        return days

    def span(self) -> tuple[int, int] | None:
        segments = self._segments()
        return (segments[0][0], segments[-1][1].stat().st_mtime_ns) if segments else None

    def _segments(self) -> list[tuple[int, Path]]:
        found = []
        for path in sorted(self._folder.iterdir()):
            name = _SEGMENT.fullmatch(path.name)
            if name:
                begun = datetime.strptime(name[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                found.append((nanoseconds(begun), path))
        return found


def source_of(source: str | PathLike[str] | Source) -> Source:
    """``source`` itself, or the recording in the folder of that name."""
    if isinstance(source, Source):
        return source
    return FolderSource(source)
