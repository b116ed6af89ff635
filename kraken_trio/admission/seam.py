"""The seam between a client and whatever limits its connection attempts."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs

from kraken_trio.settings import CONNECT_WINDOW

__all__ = ["Admission", "Budget", "Wait", "too_many"]


@attrs.frozen
class Wait:
    """No attempt may be made now."""

    seconds: float
    """How long to wait before asking again; more than 0."""
    why: str
    """A human-readable reason; printable."""


class Admission(Protocol):
    """Admits connection attempts. One object may serve any number of clients."""

    async def take(self, limit: int, /) -> Wait | None:
        """Admit an attempt and count it as made (None), or return how long to wait, and why.

        ``limit`` is the client's ``Settings.connect_budget``: no attempt is admitted while ``limit`` attempts of any
        client count. Cancelling must be safe; at worst an attempt counts that is not made. It need not be a checkpoint.
        """
        ...


@runtime_checkable
class Budget(Protocol):
    """An :class:`Admission` that can tell how much is left. Clients show it in their statistics."""

    def left(self, limit: int, /) -> int | None:
        """How many attempts :meth:`Admission.take` would admit now; None if that is not known. It does not wait."""
        ...


def too_many(limit: int, who: str) -> str:
    """The reason to wait when the limit is reached."""
    return (
        f"{who} have made {limit} connection attempts or more within {CONNECT_WINDOW:g} s (Settings.connect_budget); "
        "keep a client open, it serves any number of subscriptions"
    )
