"""Requests that were sent to the exchange and are not yet answered for all of their symbols.

An answer is matched by its ``req_id``. Without one, it is matched to the oldest request that it fits. Every request has
a deadline, on the clock that runs while we listen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from kraken_trio.session.timing import Timers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kraken_trio.session.subscription import Key
    from kraken_trio.session.timing import PausableClock
    from kraken_trio.wire.messages import Method, Refusal

__all__ = ["PendingRequest", "PendingRequests"]


@attrs.define
class PendingRequest:
    """A request that was sent, and the symbols that are not yet answered."""

    method: Method
    keys: dict[Key, None]
    answers: int = 1
    """How many answers of each symbol are still to come."""
    refusal: Refusal | None = None
    """The first of them that was a refusal."""
    throttled: bool = False
    """Whether a rate-limit refusal came that did not name its request."""

    @property
    def is_several(self) -> bool:
        """Whether its next answer is one of several: it says nothing without the others."""
        return self.answers > 1 or self.refusal is not None

    def key_of(self, symbol: str | None) -> Key | None:
        """The unanswered key with this symbol."""
        return next((key for key in self.keys if _same(key[1], symbol)), None)


class PendingRequests:
    """All pending requests by ``req_id``, the oldest first."""

    def __init__(self, listening: PausableClock) -> None:
        self._listening = listening
        self._pending: dict[int, PendingRequest] = {}
        self._deadlines: Timers[int] = Timers()  # on the listening clock

    def __len__(self) -> int:
        return len(self._pending)

    def __getitem__(self, number: int) -> PendingRequest:
        return self._pending[number]

    def add(self, number: int, request: PendingRequest, now: float, timeout: float) -> None:
        """Add a request that is sent now; its answer is overdue after ``timeout`` seconds."""
        self._pending[number] = request
        self._deadlines.set(number, self._listening.at(now) + timeout)  # mutant: answer timeout

    def find(self, req_id: int | None, symbol: str | None, channel: str | None, method: Method | None) -> int | None:
        """The ``req_id`` of the request that is answered; without one in the answer, the oldest that fits."""
        if req_id is not None:  # mutant: number of an answer
            return req_id if req_id in self._pending else None
        if symbol is None and channel is None:
            return None  # such an answer fits any request
        for number, request in self._pending.items():
            if method in (None, request.method) and any(
                _same(key[1], symbol) and channel in (None, key[0]) for key in request.keys
            ):
                return number
        return None

    def resolve(self, number: int, symbol: str | None) -> Key | None:
        """Remove and return the unanswered key with this symbol."""
        request = self._pending[number]
        key = request.key_of(symbol)
        if key is not None:
            del request.keys[key]
            if not request.keys:
                self.forget(number)
        return key

    def forget(self, number: int) -> None:
        """Remove a request."""
        del self._pending[number]
        self._deadlines.clear(number)

    def clear(self) -> None:
        """Remove all: the connection is lost."""
        self._pending.clear()
        self._deadlines.clear_all()

    def doubt_all(self, now: float, pause: float) -> None:
        """One of them hit the rate limit, and the answer does not name it: those unanswered after ``pause`` count."""
        soon = self._listening.at(now) + pause
        for number, request in self._pending.items():
            request.throttled = True
            self._deadlines.set(number, min(soon, self._deadlines.get(number) or soon))

    @property
    def due(self) -> float:
        """When the first of them is overdue; never while the clock is stopped."""
        return self._listening.when(self._deadlines.earliest())

    def overdue(self, now: float) -> Iterator[tuple[int, PendingRequest]]:
        """Remove and yield those that are overdue."""
        for number in self._deadlines.pop_due(lambda reading: self._listening.when(reading) <= now):
            yield number, self._pending.pop(number)


def _same(ours: str | None, theirs: str | None) -> bool:
    return ours == theirs or (ours is not None and theirs is not None and ours.upper() == theirs.upper())
