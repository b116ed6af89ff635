"""The seam between a client and whatever limits its connection attempts."""

from __future__ import annotations

from typing import Protocol

import attrs

from kraken_trio.settings import CONNECT_WINDOW

__all__ = ["Admission", "Wait", "too_many"]


@attrs.frozen
class Wait:
    """No attempt may be made now."""

    seconds: float
    """How long to wait before asking again; more than 0."""
    why: str
    """For people; printable."""


class Admission(Protocol):
    """Admits connection attempts. One object may serve any number of clients."""

    async def take(self, limit: int, /) -> Wait | None:
        """None: an attempt is to be made now, and counts as made. Otherwise how long to wait, and why.

        ``limit`` is the client's ``Settings.connect_budget``: it gets no attempt while ``limit`` attempts of anybody
        count. Cancelling must be safe; at worst an attempt counts that is not made. It need not be a checkpoint.
        """
        ...


def too_many(limit: int, who: str) -> str:
    """Why to wait, where the limit is reached."""
    return (
        f"{who} have made {limit} connection attempts or more within {CONNECT_WINDOW:g} s (Settings.connect_budget); "
        "keep a client open, it serves any number of subscriptions"
    )
