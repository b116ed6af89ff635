"""A nursery inside a context manager that the user of the context manager never sees.

A context manager made of a plain nursery turns a ``ValueError`` of its body into an ``ExceptionGroup``, because any
exception that leaves a nursery is wrapped. :func:`open_hidden_nursery` unwraps it, as recommended in Trio's manual
("Designing for multiple errors"):

* only the top level of the group is unwrapped: a group that the body raised is raised with its contents (as a copy,
  which Trio makes of any group that leaves a cancelled scope);
* ``KeyboardInterrupt`` and ``SystemExit`` take precedence;
* ``Cancelled`` is dropped beside anything else, because it is only how the other tasks stopped; so is a group that
  consists of ``Cancelled``, which is how a background task with a nursery of its own stops;
* if one exception remains, that object is raised, with the ``__context__`` it had;
* if more than one remains, a background task raised in addition to the body. Background tasks are written not to do
  that (they turn errors into state), so it is a bug here, and raised as a ``RuntimeError`` ``from`` the group.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["open_hidden_nursery"]


@asynccontextmanager
async def open_hidden_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery whose block raises what its body raised, never an ``ExceptionGroup`` of its own.

    Leaving the block waits for the tasks, as with every nursery: cancel ``nursery.cancel_scope`` first if they do not
    end by themselves. For use inside other context managers; a user must not get the nursery.
    """
    try:
        # Explicitly strict, so that the nursery's own group is caught below whatever was passed to trio.run().
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        _raise_the_one(group)


def _raise_the_one(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    real = [exc for exc in group.exceptions if not _is_cancellation(exc)]
    if len(real) > 1:
        for exc in real:
            if isinstance(exc, (KeyboardInterrupt, SystemExit)):
                # A new object, because the group, its cause, contains the old one.
                raise type(exc)(*exc.args) from group
        msg = "kraken_trio: a background task failed in addition to the body of its block"
        raise RuntimeError(msg) from group
    the_one = real[0] if real else group.exceptions[0]
    context = the_one.__context__
    try:
        raise the_one
    finally:
        # Raising it while the group is being handled sets the group as its context; this runs after that.
        the_one.__context__ = context
        del the_one, real, context, group  # no cycle: traceback -> frame -> exception


def _is_cancellation(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return all(_is_cancellation(part) for part in exc.exceptions)
    return isinstance(exc, trio.Cancelled)
