"""Waiting for what nobody tells of: another program's doing, or what is written into a list meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE: Final = 60.0
"""Seconds for what takes one on a machine that has nothing else to do."""


async def until(condition: Callable[[], object], *, within: float = PATIENCE, every: float = 0.02) -> None:
    """Wait until it is true. Raises :class:`trio.TooSlowError` if that takes more seconds than ``within``."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110 (nothing tells when)
            await trio.sleep(every)
