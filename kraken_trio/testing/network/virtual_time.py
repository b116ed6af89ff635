"""Virtual time: programs that wait for hours run in seconds, and deterministically."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import trio

from kraken_trio.testing import checks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["run_virtual"]

_T = TypeVar("_T")


def run_virtual(async_fn: Callable[..., Awaitable[_T]], *args: object, seed: int = 0) -> _T:
    """:func:`trio.run` on a clock that jumps to the next deadline whenever all tasks wait, from 0 seconds on.

    The order in which tasks take turns follows from ``seed``, and so does Python's global :mod:`random` (its state is
    put back afterwards), from which clients take their jitter. So the same program with the same seed does the same.
    It must not touch a real socket or thread, whose answers come in real time:
    use a :class:`~kraken_trio.testing.Network`.

    (The events' ``received_ns`` is still this machine's time.)
    """
    checks.function("async_fn", async_fn)
    checks.seed("seed", seed)
    from trio.testing import MockClock  # noqa: PLC0415 (it imports pytest where that is installed: 0.2 s)

    with _seeded(seed):
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Trio has no public way to order its tasks; this is the one that is made for Hypothesis and pytest-trio.
    scheduler = trio._core._run  # noqa: SLF001 (see above)
    before = (scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate(), random.getstate())  # noqa: SLF001 (see above)
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
    scheduler._r.seed(f"{seed}/tasks")  # noqa: SLF001 (see above)
    random.seed(f"{seed}/random")
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]  # noqa: SLF001
        scheduler._r.setstate(before[1])  # noqa: SLF001 (see above)
        random.setstate(before[2])
