"""A portal to asyncio: one thread with an event loop, for libraries that know asyncio only.

:meth:`Portal.run` awaits a coroutine function there, :meth:`Portal.post` calls a function there,
:meth:`Portal.say` calls one back in Trio. It is

* *bounded*: at most ``room`` coroutines are at work, those included that were cancelled and have not ended yet; who
  wants one more waits for its turn;
* *cancel-safe*: cancelling :meth:`Portal.run` cancels the coroutine, and waits for its end, but not longer than
  ``grace``: a coroutine that refuses to end is left to itself, and keeps its place;
* *ended in a bounded time*: leaving the block cancels what is left, waits at most twice ``grace``, and leaves behind
  nothing but a daemon thread if something blocks it for good.

The loop has no executor of its own: what would need one (a name that is looked up) is to be done in Trio.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

__all__ = ["GRACE", "ROOM", "Portal", "open_portal", "share_portal"]

GRACE: Final = 1.0
"""Seconds for a cancelled coroutine to end. Libraries that close a connection properly need a round trip."""
ROOM: Final = 256
"""Coroutines at a time: a few for each connection of a program."""

_T = TypeVar("_T")


class _Call(Generic[_T]):
    """A coroutine function on its way through the portal."""

    __slots__ = ("args", "done", "error", "function", "task", "value")

    def __init__(self, function: Callable[..., Coroutine[Any, Any, _T]], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args
        self.task: asyncio.Task[None] | None = None
        self.done = trio.Event()
        self.value: _T | None = None
        self.error: BaseException | None = asyncio.CancelledError()
        """That of a coroutine that was cancelled before it began, or has not ended when the portal did."""

    async def work(self) -> None:
        # Nothing is raised here: asyncio would log it, or end the loop (SystemExit).
        try:
            self.value = await self.function(*self.args)
            self.error = None
        except BaseException as error:  # noqa: ASYNC103, BLE001 (run() raises it, in Trio; here asyncio would log it)
            self.error = error

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Portal:
    """See the module. Made by :func:`open_portal` and :func:`share_portal`, for one run of Trio."""

    def __init__(self, room: int, grace: float) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._room = trio.Semaphore(room)
        self._grace = grace
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._calls: set[_Call[Any]] = set()
        self._ended = trio.Event()
        self._thread = threading.Thread(target=self._body, name="kraken_trio portal", daemon=True)
        self._thread.start()

    @trio.lowlevel.enable_ki_protection
    async def run(self, function: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """Await ``function(*args)`` in the portal's loop: what it returns is returned, what it raises is raised.

        Raises :class:`trio.ClosedResourceError` if the portal is closed before it ends.
        """
        await self._room.acquire()
        call = _Call(function, args)
        self._calls.add(call)
        if not self._post(self._start, call):
            self._end(call)
        try:
            await call.done.wait()
        except BaseException:  # (Cancelled, KeyboardInterrupt)
            self._post(call.cancel)
            with trio.move_on_after(self._grace, shield=True):
                await call.done.wait()
            raise
        try:
            if call.error is None:
                return cast("_T", call.value)
            if isinstance(call.error, asyncio.CancelledError):
                raise trio.ClosedResourceError
            raise call.error
        finally:
            del call  # an exception that refers to itself by its traceback lives until the next collection

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Call ``function(*args)`` in the portal's loop, soon, without waiting; not at all if it is closed."""
        self._post(function, *args)

    def say(self, function: Callable[..., object], *args: Any) -> None:
        """(in the portal's loop) Call ``function(*args)`` in Trio, soon; not at all if Trio's run has ended."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function, *args)

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Cancel what is at work there, and end the thread. Takes at most twice ``grace``, and cannot be cancelled."""
        if not self._closing:
            self._post(self._loop.stop)
            self._closing = True
        with trio.move_on_after(2 * self._grace, shield=True):
            await self._ended.wait()
            self._thread.join()  # it has nothing left to do
        await trio.lowlevel.checkpoint()

    def _post(self, function: Callable[..., object], *args: Any) -> bool:
        if self._closing:
            return False
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # something has ended the loop: SystemExit in a task of the library's own
            return False
        return True

    def _start(self, call: _Call[Any]) -> None:
        call.task = self._loop.create_task(call.work())
        call.task.add_done_callback(lambda _task: self.say(self._end, call))

    def _end(self, call: _Call[Any]) -> None:
        if call in self._calls:
            self._calls.remove(call)
            self._room.release()
            call.done.set()

    def _end_all(self) -> None:
        for call in tuple(self._calls):
            self._end(call)
        self._ended.set()

    def _body(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            try:
                self._loop.run_until_complete(self._drain())
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            finally:
                self._loop.close()
                self.say(self._end_all)

    async def _drain(self) -> None:
        """Cancel all tasks, and wait for them, but not for ever."""
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace)


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_portal(*, room: int = ROOM, grace: float = GRACE) -> AsyncIterator[Portal]:
    """A portal of one's own."""
    portal = Portal(room, grace)
    try:
        yield portal
    finally:
        await portal.aclose()


class _Shared:
    """The portal that all users of one Trio run share, while there are any."""

    def __init__(self) -> None:
        self.portal = Portal(ROOM, GRACE)
        self.users = 0


_shared: Final[trio.lowlevel.RunVar[_Shared | None]] = trio.lowlevel.RunVar("kraken_trio portal", default=None)


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def share_portal() -> AsyncIterator[Portal]:
    """The portal of this run of Trio: the first user starts it, the last one ends it."""
    shared = _shared.get()
    if shared is None:
        shared = _Shared()
        _shared.set(shared)
    shared.users += 1
    try:
        yield shared.portal
    finally:
        shared.users -= 1
        if not shared.users:
            _shared.set(None)
            await shared.portal.aclose()
