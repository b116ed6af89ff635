"""Requests in flight: sent to the exchange, and not answered yet for all of their symbols.

An answer is matched by the request's number. Where it has none, it is for the oldest request that it fits. Every flight
has a deadline, on the listening clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from kraken_trio.session.timing import Timers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kraken_trio.session.subscription import Key
    from kraken_trio.session.timing import ListeningClock
    from kraken_trio.wire.messages import Method

__all__ = ["Flight", "Flights"]


@attrs.define
class Flight:
    """A request that was sent, and the symbols whose answer is awaited."""

    method: Method
    keys: dict[Key, None]
    throttled: bool = False
    """The exchange complained about the rate, and did not say of which request."""


class Flights:
    """All of them, by their numbers, the oldest first."""

    def __init__(self, clock: ListeningClock) -> None:
        self._clock = clock
        self._flights: dict[int, Flight] = {}
        self._patience: Timers[int] = Timers()  # on the listening clock

    def __len__(self) -> int:
        return len(self._flights)

    def __getitem__(self, number: int) -> Flight:
        return self._flights[number]

    def take_off(self, number: int, flight: Flight, now: float, patience: float) -> None:
        """It is sent now, and waited for so many seconds."""
        self._flights[number] = flight
        self._patience.set(number, self._clock.at(now) + patience)

    def find(self, req_id: int | None, symbol: str | None, channel: str | None, method: Method | None) -> int | None:
        """The number of the request that is answered; without a number in the answer, the oldest that fits."""
        if req_id is not None:
            return req_id if req_id in self._flights else None
        if symbol is None and channel is None:
            return None  # that fits anything
        for number, flight in self._flights.items():
            if method in (None, flight.method) and any(
                _same(key[1], symbol) and channel in (None, key[0]) for key in flight.keys
            ):
                return number
        return None

    def land(self, number: int, symbol: str | None) -> Key | None:
        """The awaited key with this symbol, which is not awaited any more."""
        flight = self._flights[number]
        key = next((key for key in flight.keys if _same(key[1], symbol)), None)
        if key is not None:
            del flight.keys[key]
            if not flight.keys:
                self.forget(number)
        return key

    def forget(self, number: int) -> None:
        """Nothing of it is awaited any more."""
        del self._flights[number]
        self._patience.clear(number)

    def clear(self) -> None:
        """The connection is lost, and with it all answers."""
        self._flights.clear()
        self._patience.clear_all()

    def doubt_all(self, now: float, pause: float) -> None:
        """One of them was refused, and there is no saying which: after ``pause`` those without an answer are it."""
        soon = self._clock.at(now) + pause
        for number, flight in self._flights.items():
            flight.throttled = True
            self._patience.set(number, min(soon, self._patience.get(number) or soon))

    def earliest(self) -> float:
        """When the first of them is overdue, on the listening clock."""
        return self._patience.earliest()

    def overdue(self, now: float) -> Iterator[tuple[int, Flight]]:
        """Take those that were waited for long enough."""
        for number in self._patience.pop_due(lambda reading: self._clock.when(reading) <= now):
            yield number, self._flights.pop(number)


def _same(ours: str | None, theirs: str | None) -> bool:
    return ours == theirs or (ours is not None and theirs is not None and ours.upper() == theirs.upper())
