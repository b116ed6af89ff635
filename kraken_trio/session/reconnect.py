"""Reconnecting and backoff as pure arithmetic: every method is given what happened, and returns seconds to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio.session.timing import growing

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.settings import Settings

__all__ = ["Backoff"]

_BANNED: Final = frozenset({403, 429})
"""HTTP statuses by which Cloudflare says that this address has connected too often."""


class Backoff:
    """How long to wait before the next attempt to connect.

    After a loss the first attempts are quick; later ones wait at least as long as Kraken asks for, and back off
    exponentially. Jitter spreads clients that were disconnected together; it never shortens a slow wait, nor one that
    the exchange asked for.
    """

    def __init__(self, settings: Settings, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._jitter = jitter
        self.failures: int = 0
        """Attempts since the last stable connection."""
        self.refusals: int = 0
        """Those of them that the exchange's front end refused temporarily."""

    def pause_after(self, status: int | None) -> float:
        """The shortest wait after this HTTP status at the upgrade, in seconds; it grows with each refusal.

        Zero for a status that says nothing about when to retry, and for None (there was no HTTP answer).
        """
        settings = self._settings
        if status in _BANNED:
            first = settings.ban_delay
        elif status is not None and 500 <= status < 600:
            first = settings.unavailable_delay
        else:
            return 0.0
        self.refusals += 1
        return growing(first, self.refusals, settings.refused_delay_max)

    def next_delay(self, at_least: float = 0.0) -> float:
        """Seconds until the next attempt: at least ``at_least``, to which jitter is added."""
        settings = self._settings
        self.failures += 1  # mutant: backoff grows
        jitter = self._jitter()
        if self.failures <= settings.quick_retries:
            slowest = growing(settings.quick_delay, self.failures, settings.retry_delay)
            delay = slowest * (0.5 + 0.5 * jitter)
        else:
            nth = self.failures - settings.quick_retries
            delay = growing(settings.retry_delay, nth, settings.retry_delay_max) * (1.0 + 0.25 * jitter)
        return max(delay, at_least * (1.0 + 0.25 * jitter))

    def reset(self) -> None:
        """Reset the backoff after a stable connection."""
        self.failures = self.refusals = 0
