"""Who may publish for a shard: one owner's side of a lease, by its own monotonic clock only.

::

    STANDBY ── acquired ──▶ OWNER ── too long without a renewal ──▶ LAPSED
       ▲                      │  ▲                                     │
       │                      │  └───────────── renewed ───────────────┤
       └──── fenced ──────────┴──────────────── fenced ────────────────┘

1. A lease holds for ``ttl`` seconds from when its last good renewal was *sent*: it reached the broker after that, so it
   cannot have ended there before. The owner asks :meth:`Lease.may_publish` before everything that it sends.
2. An owner renews each third of that. Without an answer in time it has LAPSED, and sends nothing; but nobody else
   need have become the owner. So it tries to renew first: then it goes on where it was, with the same number.
3. Whoever was away, or stopped, without knowing, finds out by its clock; and if its clock stood still, by the broker,
   which refuses what an earlier owner sends. That is what makes it safe: this clock only saves everybody the noise.
4. A standby asks again each ``retry`` seconds.

5. An owner that has lost the broker asks as soon as it has another connection. A standby then waits for a moment: if
   the broker was away, so was the owner, and what waits with it is worth more than what the standby has.
"""

from __future__ import annotations

import enum
from math import inf
from typing import Final, Generic, TypeVar

__all__ = ["RETRY", "Ask", "Lease", "Standing"]

RETRY: Final = 0.1
"""Seconds after which a standby asks again."""
_RENEWALS: Final = 3
"""How often it is renewed in its time to live: two answers may be missing."""

_F = TypeVar("_F")


class Standing(enum.Enum):
    """What one is to the shard."""

    STANDBY = "standby"
    OWNER = "owner"
    LAPSED = "lapsed"


class Ask(enum.Enum):
    """What to ask the broker for."""

    ACQUIRE = "acquire"
    RENEW = "renew"


class Lease(Generic[_F]):
    """One's own view of a lease of ``ttl`` seconds; the fence is the engine's."""

    def __init__(self, ttl: float, retry: float = RETRY) -> None:
        self._ttl = ttl
        self._retry = retry
        self._until = -inf
        self.fence: _F | None = None
        """The right to publish; None for a standby."""
        self.due: float = -inf
        """When to ask for :attr:`ask`."""

    def standing(self, now: float) -> Standing:
        """What one is to the shard now."""
        if self.fence is None:
            return Standing.STANDBY
        return Standing.OWNER if now < self._until else Standing.LAPSED

    def may_publish(self, now: float) -> bool:
        """Whether anything may be sent now."""
        return self.fence is not None and now < self._until  # mutant: end of a lease

    @property
    def until(self) -> float:
        """When it ends, if it is not renewed; -inf for a standby."""
        return self._until

    @property
    def ask(self) -> Ask:
        """What to ask for next."""
        return Ask.ACQUIRE if self.fence is None else Ask.RENEW

    def acquired(self, fence: _F, sent: float) -> None:
        """It was asked for at ``sent``, and given."""
        self.fence = fence
        self._good(sent)

    def refused(self, now: float) -> None:
        """Somebody else has it."""
        self.due = now + self._retry

    def renewed(self, sent: float) -> None:
        """It was renewed, by what was sent then. An answer that comes after one was fenced is none."""
        if self.fence is not None and sent + self._ttl > self._until:
            self._good(sent)

    def _good(self, sent: float) -> None:
        self._until = sent + self._ttl
        self.due = sent + self._ttl / _RENEWALS

    def connected(self, now: float, patience: float = 0.0) -> None:
        """There is another connection to the broker: an owner asks at once, a standby after ``patience`` seconds."""
        self.due = -inf if self.fence is not None else now + patience

    def fenced(self, now: float) -> None:
        """Somebody else is the owner, or was, or it was given back."""
        self.fence = None
        self._until = -inf
        self.due = now
