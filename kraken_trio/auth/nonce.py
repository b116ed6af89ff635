"""One source of nonces per API key, and one call at a time.

The exchange accepts only growing nonces of a key. Two calls at once could overtake each other on the way, so the next
one is made, signed and sent when the last one is answered: for all clients of the process, in any thread.
"""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["LOCKOUT_SECONDS", "PROCESS", "KeyRing", "KeyState"]

LOCKOUT_SECONDS: Final = 900.0
"""How long the exchange ignores a key after ``EGeneral:Temporary lockout``, about."""
_POLL: Final = 0.005
"""Seconds between two looks at whether another thread is done."""

_LOCKS: trio.lowlevel.RunVar[dict[KeyState, trio.Lock]] = trio.lowlevel.RunVar("kraken_trio: locks of API keys")


class KeyState:
    """What all users of a key in this process share."""

    def __init__(self) -> None:
        self._last = 0
        self._locked_out_ns: int | None = None
        self._across = threading.Lock()

    def next_nonce(self, wall_ns: int) -> int:
        """A nonce: nanoseconds of the wall clock, or one more than the last if the clock stands or was set back.

        To be called within :meth:`turn`.
        """
        self._last = max(wall_ns, self._last + 1)  # mutant: clock set back
        return self._last

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the right to call, which ends with the block. First come, first served, but between threads."""
        async with self._lock():
            while not self._across.acquire(blocking=False):  # noqa: ASYNC110 (another thread has it)
                await trio.sleep(_POLL)
            try:
                yield
            finally:
                self._across.release()

    def _lock(self) -> trio.Lock:
        """The lock within this Trio run."""
        try:
            locks = _LOCKS.get()
        except LookupError:
            locks = {}
            _LOCKS.set(locks)
        return locks.setdefault(self, trio.Lock())

    def lock_out(self, wall_ns: int) -> None:
        """The exchange has said that it ignores the key for a while."""
        self._locked_out_ns = wall_ns

    def locked_for(self, wall_ns: int) -> float:
        """Seconds until it may be asked again; 0 if it may be now, or if the clock was set back meanwhile."""
        if self._locked_out_ns is None or wall_ns < self._locked_out_ns:
            return 0.0
        return max(LOCKOUT_SECONDS - (wall_ns - self._locked_out_ns) / 1e9, 0.0)


class KeyRing:
    """The states of all keys, by their fingerprints. Safe to use from several threads."""

    def __init__(self) -> None:
        self._states: dict[bytes, KeyState] = {}

    def state(self, fingerprint: bytes) -> KeyState:
        """The one state of a key."""
        return self._states.setdefault(fingerprint, KeyState())


PROCESS: Final = KeyRing()
"""The keys of this process."""
