"""The bounded queue between the two ends of a feed.

It behaves as a Trio memory channel with one sender and one receiver does, and takes and gives events by the list, for
a fraction of what a call for each event costs. Whoever has to wait does so at a memory channel without room: waking,
cancelling and closing remain Trio's.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Channel"]

T = TypeVar("T")


class Channel(Generic[T]):
    """A queue for ``capacity`` items, at least one, and an item more for a receiver that waits."""

    # Who waits: the receiver only while the queue is empty, the sender only while it is full.

    def __init__(self, capacity: int) -> None:
        self.capacity: int = capacity
        self.queue: deque[T] = deque()
        """What waits; for reading only."""
        self._send, self._receive = trio.open_memory_channel[T](0)
        self._may_wait = False  # may the sender be waiting?
        self._is_ended = False

    # The sender's

    def put(self, items: Sequence[T]) -> int:
        """Take as many of ``items`` as there is room for, in order. Returns how many that are."""
        queue = self.queue
        handed = 0
        if not queue and items:
            try:
                self._send.send_nowait(items[0])
            except trio.WouldBlock:
                pass  # nobody waits for it
            else:
                handed = 1
        room = self.capacity - len(queue) + handed
        if len(items) <= room:
            queue.extend(items[1:] if handed else items)
            return len(items)
        queue.extend(items[handed:room])
        return room

    async def send(self, item: T) -> None:
        """Wait for room. Always a checkpoint. Raises :class:`trio.BrokenResourceError` if nobody will receive it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.put((item,)):
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        self._may_wait = True
        try:
            await self._send.send(item)
        finally:
            self._may_wait = False

    def end(self) -> None:
        """Nothing more is sent: the receiver gets what waits, and then :class:`trio.EndOfChannel`."""
        self._is_ended = True
        self._send.close()

    # The receiver's

    async def receive(self) -> T:
        """Wait for an item. Always a checkpoint; cancelling loses no item."""
        if not self.queue:
            return await self._receive.receive()
        await trio.lowlevel.checkpoint_if_cancelled()
        item = self.pop()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return item

    def pop(self) -> T:
        """The next item, of those that wait: there must be one."""
        item = self.queue.popleft()
        if self._may_wait:
            self._relieve()
        return item

    def take(self, items: list[T], limit: int) -> bool:
        """Add what waits to ``items``, up to ``limit`` in all. Returns False if that was the last there will be."""
        queue = self.queue
        while queue and (room := limit - len(items)) > 0:
            if len(queue) <= room:
                items.extend(queue)
                queue.clear()
            else:
                items.extend([queue.popleft() for _ in range(room)])
            if self._may_wait:
                self._relieve()
        return bool(queue) or not self._is_ended

    def clear(self) -> int:
        """Drop what waits. Returns how many that are."""
        if self._may_wait:
            self._relieve()
        count = len(self.queue)
        self.queue.clear()
        return count

    def close(self) -> None:
        """Drop what waits, and receive nothing more."""
        self.queue.clear()
        self._receive.close()
        self._send.close()

    def _relieve(self) -> None:
        """There is room for the item of a sender that waits."""
        with suppress(trio.WouldBlock):  # it has been relieved, and not run since
            self.queue.append(self._receive.receive_nowait())
