"""What follows from each subscription's step, and from whether it is wanted.

:meth:`Derived.reconcile` recomputes it whenever one of the two has changed; nothing else changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio.session.steps import Step
from kraken_trio.session.timing import Timers
from kraken_trio.wire.messages import Method

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kraken_trio.session.subscription import Key, Subscription
    from kraken_trio.session.timing import PausableClock

__all__ = ["METHODS", "Derived"]

METHODS: Final[Mapping[Step, Method]] = {
    Step.TO_SUBSCRIBE: Method.SUBSCRIBE,
    Step.TO_UNSUBSCRIBE: Method.UNSUBSCRIBE,
}
"""The request that is due at a step."""


class Derived:
    """Which subscriptions are to be requested, are confirmed, are not as wanted, or wait for something."""

    def __init__(self, listening: PausableClock) -> None:
        self._listening = listening
        self.is_online: bool = False
        """Whether there is a connection."""
        self.to_send: dict[Key, None] = {}
        """Those for which a request is to be sent, in order."""
        self.unsettled: set[Key] = set()
        """Those that are not as wanted."""
        self.confirmed: set[Key] = set()
        """Those that the exchange has confirmed on this connection."""
        self._data_deadlines: Timers[Key] = Timers()  # on the listening clock
        self._pauses: Timers[Key] = Timers()

    def reconcile(self, sub: Subscription) -> None:
        """Recompute everything that follows from the step of ``sub``, and from whether it is wanted."""
        key, step = sub.key, sub.step
        if self.is_online and step in METHODS:
            self.to_send.setdefault(key)
        else:
            self.to_send.pop(key, None)
        _place(self.unsettled, key, there=bool(sub.wanted_by) and not sub.settled)
        _place(self.confirmed, key, there=sub.is_confirmed)
        _set(self._data_deadlines, key, sub.data_due if step is Step.CONFIRMED else None)
        _set(self._pauses, key, sub.resume_at if step is Step.PAUSED or step is Step.PARKED else None)

    @property
    def due(self) -> float:
        """When :meth:`pop_without_data` or :meth:`pop_rested` yields something."""
        return min(self._listening.when(self._data_deadlines.earliest()), self._pauses.earliest())

    def pop_without_data(self, now: float) -> Iterator[Key]:
        """Those whose first data is overdue."""
        return self._data_deadlines.pop_due(lambda reading: self._listening.when(reading) <= now)

    def pop_rested(self, now: float) -> Iterator[Key]:
        """Those whose pause is over."""
        return self._pauses.pop_due(lambda at: at <= now)


def _place(keys: set[Key], key: Key, *, there: bool) -> None:
    if there:
        keys.add(key)
    else:
        keys.discard(key)


def _set(timers: Timers[Key], key: Key, at: float | None) -> None:
    if at is None:
        timers.clear(key)
    elif timers.get(key) != at:
        timers.set(key, at)
