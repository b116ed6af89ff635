"""What a trouble has cost a client: from a lost connection, or a broken book, until everything is verified again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio.events import Cause, ConnectionState, StateChange
from kraken_trio.session.records import GapAnnounced, Record, Resynced, StateChanged

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MOST_SYMBOLS", "Toll", "Trouble"]

MOST_SYMBOLS: Final = 10_000
"""More symbols than that, in one trouble, are not remembered."""
_CONNECTED: Final = frozenset({ConnectionState.SUBSCRIBED, ConnectionState.RESYNCING})
_OVER: Final = frozenset({Cause.CLOSED, Cause.REFUSED})
_HARMLESS: Final = Cause.SUBSCRIBING
"""Something is not in force yet, because a program has just asked for it."""


@attrs.frozen(kw_only=True)
class Toll:
    """What a trouble has cost until now."""

    cause: Cause
    """What began it."""
    seconds: float
    attempts: int
    """Attempts to connect."""
    gaps: int
    """Gaps that were announced, counted once for each subscription."""
    symbols: tuple[str, ...]
    """Those with gaps."""
    resyncs: int


class Trouble:
    """Follows the records of one client. ``now`` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self.attempts: int = 0
        """Attempts to connect since there was a connection."""
        self._is_settled = False
        self._cause: Cause | None = None
        """What began the trouble; None if there is none."""
        self._since = 0.0
        self._lost_at: float | None = None
        """Since when there is no connection: since it was lost, or since the first attempt failed."""
        self._attempts = self._gaps = self._resyncs = 0
        self._symbols: dict[str, None] = {}

    def take(self, record: Record, now: float) -> Toll | None:
        """Take a record. Returns what was lost if it says that the connection is up, or everything verified, again."""
        match record:
            case StateChanged(change=change):
                return self._changed(change, now)
            case Resynced(cause=cause):
                self._begin(cause, now)
                self._resyncs += 1
            case GapAnnounced(gap=gap, keys=keys):
                self._begin(gap.cause, now)
                self._gaps += len(keys)
                self._note(symbol for _, symbol in keys)
            case _:
                pass
        return None

    def end_batch(self) -> None:
        """All records of a moment were taken. Gaps that left everything in force are no trouble."""
        if self._is_settled:
            self._forget()

    def _changed(self, change: StateChange, now: float) -> Toll | None:
        current, cause = change.current, change.cause
        self._is_settled = current is ConnectionState.SUBSCRIBED
        toll = None
        if current is ConnectionState.CONNECTING:
            self.attempts += 1
            self._attempts += 1
        elif cause in _OVER:
            self._forget()
        elif current is ConnectionState.DISCONNECTED:
            self._begin(cause, now)
            self._lost_at = now if self._lost_at is None else self._lost_at
        elif change.previous not in _CONNECTED:
            if self._lost_at is not None:
                toll = self._toll(self._lost_at, self.attempts, now)
            self._lost_at, self.attempts = None, 0
        elif self._is_settled:
            toll = self._toll(self._since, self._attempts, now)
        elif cause is not _HARMLESS:
            self._begin(cause, now)
        if self._is_settled:  # mutant: trouble over
            self._forget()
        return toll

    def _begin(self, cause: Cause, now: float) -> None:
        if self._cause is None:
            self._cause, self._since = cause, now
            # The first attempt has failed before this begins.
            self._attempts = self.attempts

    def _note(self, symbols: Iterable[str | None]) -> None:
        for symbol in symbols:
            if symbol is not None and len(self._symbols) < MOST_SYMBOLS:
                self._symbols[symbol] = None

    def _toll(self, since: float, attempts: int, now: float) -> Toll | None:
        if self._cause is None:
            return None
        return Toll(
            cause=self._cause,
            seconds=now - since,
            attempts=attempts,
            gaps=self._gaps,
            symbols=tuple(self._symbols),
            resyncs=self._resyncs,
        )

    def _forget(self) -> None:
        self._cause, self._lost_at = None, None
        self._attempts = self._gaps = self._resyncs = 0
        self._symbols = {}
