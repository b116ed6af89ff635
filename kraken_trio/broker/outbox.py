"""Messages that were sent, or are to be sent, and that the broker has not acknowledged yet.

Everything goes on from the first of them: after a failure all are sent again, in the same order and with the same ids
("go back N"). The broker, or the reader, drops what it knows by then.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Outbox"]


class _Sized(Protocol):
    @property
    def data(self) -> bytes: ...


_M = TypeVar("_M", bound=_Sized)


class Outbox(Generic[_M]):
    """At most about ``max_messages``, of about ``max_bytes`` together: see :attr:`room` and :attr:`room_bytes`."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._messages: deque[_M] = deque()
        self.bytes: int = 0
        """How many they are, without subjects and ids."""

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def room(self) -> int:
        """How many messages more there should be at most."""
        return max(0, self._max_messages - len(self._messages)) if self.room_bytes else 0

    @property
    def room_bytes(self) -> int:
        """How many bytes more there should be at most."""
        return max(0, self._max_bytes - self.bytes)

    def add(self, messages: Iterable[_M]) -> None:
        """These are to be sent, too. All of them are taken."""
        for message in messages:
            self._messages.append(message)
            self.bytes += len(message.data)

    def window(self) -> Sequence[_M]:
        """What to send now, in this order: the oldest ones, no more than the limit."""
        return list(islice(self._messages, self._max_messages))

    def acked(self, count: int) -> Sequence[_M]:
        """So many of them, the oldest, are stored: they are removed, and returned."""
        removed = [self._messages.popleft() for _ in range(min(count, len(self._messages)))]
        self.bytes -= sum(len(message.data) for message in removed)
        return removed

    def clear(self) -> int:
        """Remove all: somebody else owns the shard. Returns how many there were."""
        count = len(self._messages)
        self._messages.clear()
        self.bytes = 0
        return count
