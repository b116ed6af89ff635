"""What a feed behind a broker is read with: one part, or in a group one for each bucket of symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from kraken_trio.broker.group import bucket_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.broker.group import Membership
    from kraken_trio.broker.position import Place, Start
    from kraken_trio.broker.progress import Progress
    from kraken_trio.broker.reader import Reader
    from kraken_trio.events import Event
    from kraken_trio.runtime.feed import FeedSender
    from kraken_trio.runtime.overflow import Key

__all__ = ["PARTITIONS", "WHOLE", "Part", "Stream"]

WHOLE: Final = 0
"""The only part of a feed that is not divided."""
PARTITIONS: Final = 1 << 20
"""More than any topic has: each part numbers its own from a multiple of this on."""


@attrs.define(eq=False)
class Part:
    """What is read with a source of its own: a whole feed, or one bucket of a group."""

    reader: Reader
    start: Start
    base: int = 0
    """Added to the partitions, so that those of several parts are told apart."""
    attempts: int = 0
    """How often its source was opened."""
    is_open: bool = False
    """Whether it is being read now."""
    has_begun: bool = False
    """Whether its start has been reached."""
    scope: trio.CancelScope | None = None
    """Of the task that reads it."""
    offered: int = 0
    """How many events the feed had been given with its last one."""
    revision: int = 0
    """(of a bucket) The revision of its record."""
    places: Mapping[int, Place] | None = None
    """(of a bucket) What is in the record."""
    is_leaving: bool = False
    """(of a bucket) Whether another member should have it: nothing more of it is read."""

    @property
    def is_settled(self) -> bool:
        """Whether it gets what is published now, or nothing more."""
        return self.is_leaving or (self.is_open and self.has_begun and not self.reader.silent)

    def stop(self) -> None:
        """Read nothing more."""
        self.is_open = False
        if self.scope is not None:
            self.scope.cancel()


@attrs.define(eq=False)
class Stream:
    """A feed, and what it is read with."""

    sender: FeedSender
    progress: Progress
    since: float
    """When it was opened, by Trio's clock."""
    wants_lifecycle: bool
    parts: dict[int, Part] = attrs.Factory(dict)
    """By bucket; of a feed that is read as a whole, one."""
    group: Membership | None = None
    committed: int = 0
    """(of a group) How many of the events were received before the last commit."""
    beat_at: float = 0.0
    """(of a group) When the last beat that succeeded was sent."""
    looked: trio.Event = attrs.Factory(trio.Event)
    """(of a group) Set after the next look at its records."""
    has_left: bool = False
    """(of a group) Whether it has said that it takes no part any more."""
    lock: trio.Lock = attrs.Factory(trio.Lock)
    """(of a group) For who changes records of its buckets."""
    committing: trio.Lock = attrs.Factory(trio.Lock)
    """(of a group) For who commits."""
    is_known: bool = True
    """(of a group) Whether its buckets are."""
    in_force: trio.Event = attrs.Factory(trio.Event)
    """Set when it has been read for the first time."""
    drained: trio.Event | None = None
    """Set when the program has made room, if some task waits for that."""

    @property
    def is_settled(self) -> bool:
        """Whether it gets what is published now."""
        return self.is_known and all(part.is_settled for part in self.parts.values())

    def part_of(self, symbol: str | None) -> Part | None:
        """What reads this symbol; None if another member does."""
        return self.parts.get(WHOLE if self.group is None else bucket_of(symbol))

    def rebuild(self, key: Key, /) -> Event | None:
        """All events so far of a cumulative key as one."""
        part = self.part_of(key[1])
        return None if part is None else part.reader.rebuild(key)
