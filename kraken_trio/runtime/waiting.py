"""Tasks that wait for a state of a client: :meth:`Client.wait_for <kraken_trio.Client.wait_for>` of every shell."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Collection

    from kraken_trio.events import ConnectionState

__all__ = ["StateWaiters"]


@attrs.define(eq=False)
class _Waiter:
    """A task that waits."""

    states: frozenset[ConnectionState]
    error: Exception | None
    """What it is released with, if none of the states is reached."""
    done: trio.Event = attrs.Factory(trio.Event)
    reached: ConnectionState | None = None


class StateWaiters:
    """Those of one client."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []

    def __bool__(self) -> bool:
        """Whether any task waits."""
        return bool(self._waiters)

    async def wait(
        self, states: Collection[ConnectionState], state: ConnectionState, ended: Exception | None
    ) -> ConnectionState:
        """Wait until one of ``states`` is reached, and return it. ``state`` is the present one.

        Raises a copy of the error of :meth:`end`, or of ``ended``, with which it has ended before.
        """
        waiter = _Waiter(frozenset(states), ended)
        if state in waiter.states:
            waiter.reached = state
        if waiter.reached is not None or ended is not None:
            waiter.done.set()
        self._waiters.append(waiter)
        try:
            await waiter.done.wait()
        finally:
            self._waiters.remove(waiter)
        if waiter.reached is None:
            assert waiter.error is not None  # the reason why it was released
            raise copy(waiter.error)
        return waiter.reached

    def reach(self, state: ConnectionState) -> None:
        """Release those that wait for this state. It may be left again before they run."""
        for waiter in self._waiters:
            if waiter.reached is None and state in waiter.states:
                waiter.reached = state
                waiter.done.set()

    def end(self, error: Exception) -> None:
        """Release all of them: no other state is reached any more."""
        for waiter in self._waiters:
            waiter.error = error
            waiter.done.set()
