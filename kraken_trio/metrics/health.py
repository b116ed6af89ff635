"""Is everything that a client wants there, and verified, and can what is recorded be written? Pure code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio import Book, ConnectionState, Level3, SubscriptionState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kraken_trio import ClientStatistics, Request

__all__ = ["BOOKS", "is_good", "problems"]

BOOKS: Final = (Book, Level3)
"""Requests whose data are verified by checksums."""

_CONNECTED: Final = frozenset({ConnectionState.SUBSCRIBED, ConnectionState.RESYNCING})


def is_good(request: Request, state: SubscriptionState) -> bool:
    """Whether the subscription is as wanted: a book is verified, anything else confirmed."""
    return state is SubscriptionState.LIVE or (state is SubscriptionState.CONFIRMED and not isinstance(request, BOOKS))


def problems(name: str, statistics: ClientStatistics) -> Iterator[str]:
    """What is not well with the client of this name, a line each."""
    for folder, recording in statistics.recordings.items():
        if recording.failure is not None:
            yield f"{name}: the recording into {folder!r} cannot be written: {recording.failure}"
    if statistics.state not in _CONNECTED:
        due = statistics.next_attempt
        when = "" if due is None else f"; the next attempt is due at {due:%Y-%m-%dT%H:%M:%SZ}"
        yield f"{name}: not connected ({statistics.state.value}){when}"
        return
    for request, now in statistics.subscriptions.items():
        if not is_good(request, now.state):
            yield f"{name}: {request}: {now.state.value}"
