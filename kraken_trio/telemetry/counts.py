"""What happened to a client, counted by its causes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kraken_trio.events import Cause, ConnectionState, StateChange
from kraken_trio.session.records import ConsumerFailed, Record, Resynced, StateChanged
from kraken_trio.statistics import Counted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Counts"]

_CONNECTED = frozenset({ConnectionState.SUBSCRIBED, ConnectionState.RESYNCING})


class Counts:
    """The counts of one client. ``now`` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self._state: ConnectionState | None = None
        self._since = 0.0
        self._seconds: dict[ConnectionState, float] = {}
        self._lost: Cause | None = None
        """Why there is no connection, if there was one."""
        self._failures = 0
        self._losses: Counter[Cause] = Counter()
        self._reconnects: Counter[Cause] = Counter()
        self._resyncs: Counter[Cause] = Counter()
        self._slow_consumers = 0

    def consume(self, records: Iterable[Record], now: float) -> None:
        """Count them, in order."""
        for record in records:
            match record:
                case StateChanged(change=change):
                    self._changed(change, now)
                case Resynced(cause=cause):
                    self._resyncs[cause] += 1
                case ConsumerFailed():
                    self._slow_consumers += 1
                case _:
                    pass

    def _changed(self, change: StateChange, now: float) -> None:
        if self._state is not None:
            self._seconds[self._state] = self._seconds.get(self._state, 0.0) + now - self._since
        self._state, self._since = change.current, now
        if change.current in _CONNECTED:
            if self._lost is not None:
                self._reconnects[self._lost] += 1
                self._lost = None
        elif change.previous in _CONNECTED and change.cause is not Cause.CLOSED:
            self._losses[change.cause] += 1
            self._lost = change.cause
        elif change.cause is Cause.CONNECT_FAILED:
            self._failures += 1

    def counted(self, now: float) -> Counted:
        """All counts, as of now."""
        seconds = dict(self._seconds)
        if self._state is not None:
            seconds[self._state] = seconds.get(self._state, 0.0) + now - self._since
        return Counted(
            state_seconds=seconds,
            connect_failures=self._failures,
            losses_by_cause=dict(self._losses),
            reconnects_by_cause=dict(self._reconnects),
            resyncs_by_cause=dict(self._resyncs),
            slow_consumers=self._slow_consumers,
        )
