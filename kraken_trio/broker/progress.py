"""How far a program has received a feed, as a place in the broker's log.

A reader hands out :class:`Delivery` values: events, and the message that they are from. :class:`Progress` keeps them in
mind for as long as their events wait, and says after which of them the program stands.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from kraken_trio.broker.position import Place, Position

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from kraken_trio.events import Event

__all__ = ["Delivery", "Progress"]


class Delivery(msgspec.Struct):
    """What one message gives a feed: all of it, in order."""

    events: Sequence[Event]
    partition: int | None = None
    """Of the message; None: it is from none, as the state with which a feed begins."""
    offset: int = 0
    counts: Sequence[int] | None = None
    """After each event, how many of the message's own events are received with it; None: one with each."""
    log: str = ""
    """Of the message: see :attr:`Place.log`."""

    def place(self, received: int) -> Place:
        """The place after so many of the events."""
        if received >= len(self.events):
            return Place(self.offset + 1, 0, self.log)
        return Place(self.offset, received if self.counts is None else self.counts[received - 1], self.log)


class Progress:
    """The place after the last event that a program has received. It remembers no more deliveries than events wait."""

    def __init__(self, stream: str, given: Mapping[int, Place] | None = None) -> None:
        self._stream = stream
        self._received: dict[int, Place] = dict(given or {})
        self._latest: dict[int, Place] = {}  # by partition, after the last message
        self.offered: int = 0
        """How many events have been added."""
        self._marks: deque[tuple[int, Delivery]] = deque()  # with the number of events before it
        self._is_known = given is not None  # has all with which the feed begins been received?
        self._known_from: int | None = None  # how many events the feed begins with

    @property
    def has_begun(self) -> bool:
        """Whether :meth:`begin` was called."""
        return self._known_from is not None

    def begin(self, starts: Mapping[int, Place]) -> None:
        """All events with which the feed begins have been added: once they are received, it is at ``starts``."""
        for partition, place in starts.items():
            self._received.setdefault(partition, place)
        self._known_from = self.offered

    def add(self, delivery: Delivery, waiting: int, *, in_order: bool) -> None:
        """Before the events of ``delivery`` are put into the feed, in which so many are ``waiting``.

        ``in_order``: the program receives them in their order, and all of them; otherwise nothing is known before none
        is waiting.
        """
        self._advance(waiting, in_order=in_order)
        partition = delivery.partition
        count = len(delivery.events)
        if partition is not None:
            latest = self._latest.get(partition)
            if latest is None or latest.offset <= delivery.offset or latest.log != delivery.log:
                self._latest[partition] = Place(delivery.offset + 1, 0, delivery.log)
            if count and in_order:
                self._marks.append((self.offered, delivery))
        self.offered += count

    def restart(self, partition: int, place: Place) -> None:
        """What comes next in this partition is this: another log may have the place of the one that was read."""
        if partition in self._latest:
            self._latest[partition] = place

    def forget(self, partitions: Container[int]) -> None:
        """Nothing comes of these any more, and all that came was received."""
        for places in (self._received, self._latest):
            for partition in [one for one in places if one in partitions]:
                del places[partition]

    def position(self, waiting: int, *, in_order: bool) -> Position | None:
        """Where the program is, if so many events wait for it; None before it has all with which the feed begins."""
        places = self.places(waiting, in_order=in_order)
        known_from = self._known_from
        if known_from is not None and (in_order or not waiting) and self.offered - waiting >= known_from:
            self._is_known = True
        return Position(self._stream, places) if self._is_known else None

    def places(self, waiting: int, *, in_order: bool) -> dict[int, Place]:
        """The place in each partition."""
        self._advance(waiting, in_order=in_order)
        places = dict(self._received)
        if not waiting:
            places |= self._latest
        return places

    def _advance(self, waiting: int, *, in_order: bool) -> None:
        marks, passed = self._marks, self.offered - waiting
        if not in_order:
            marks.clear()
        while marks:
            before, delivery = marks[0]
            received = passed - before
            if received <= 0:
                break
            assert delivery.partition is not None  # others are not marked
            self._received[delivery.partition] = delivery.place(received)
            if received < len(delivery.events):
                break
            marks.popleft()
