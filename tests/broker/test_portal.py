"""The portal to asyncio: results, cancellation at every moment, and an end in a bounded time."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.broker.portal import Portal, open_portal, share_portal

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE = 0.2
"""Seconds; each test waits for it at most twice."""


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "portal" in thread.name]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not threads()


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_it_returns_is_returned() -> None:
    async with open_portal() as portal:
        assert await portal.run(double, 21) == 42


async def test_many_at_a_time() -> None:
    async with open_portal(room=3) as portal:
        results: dict[int, int] = {}

        async def one(number: int) -> None:
            results[number] = await portal.run(double, number)

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(one, number)
        assert results == {number: 2 * number for number in range(50)}


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_what_it_raises_is_raised_and_the_loop_goes_on(kind: type[BaseException]) -> None:
    async def fail() -> None:
        raise kind("oh")

    async with open_portal() as portal:
        with pytest.raises(kind, match="oh"):
            await portal.run(fail)
        assert await portal.run(double, 1) == 2


async def test_no_more_than_there_is_room_for_are_at_work() -> None:
    at_work = most = 0

    async def work() -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1

    async with open_portal(room=4) as portal:
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(portal.run, work)
    assert most <= 4


async def test_cancelled_before() -> None:
    begun = False

    async def work() -> None:
        nonlocal begun
        begun = True

    async with open_portal() as portal:
        with trio.CancelScope() as scope:
            scope.cancel()
            await portal.run(work)
        assert scope.cancelled_caught
        assert not begun


async def test_cancelled_while_it_waits_for_its_turn() -> None:
    async with open_portal(room=1, grace=GRACE) as portal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(portal.run, for_ever)
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0.01) as scope:
                await portal.run(for_ever)
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()
        assert await portal.run(double, 1) == 2


async def test_cancelled_during() -> None:
    seen: list[str] = []
    began = threading.Event()

    async def work() -> None:
        began.set()
        try:
            await for_ever()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # noqa: ASYNC102 (it is short)
            seen.append("cleaned up")
            raise

    async with open_portal() as portal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(portal.run, work)
            await trio.to_thread.run_sync(began.wait)
            nursery.cancel_scope.cancel()
        # It has ended when the call has.
        assert seen == ["cleaned up"]
        assert await portal.run(double, 1) == 2


async def test_cancelled_after_it_has_ended_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is there, but the news of it is late."""
    held: list[tuple[Any, ...]] = []
    ended = threading.Event()

    async def work() -> int:
        return 1

    def hold(*news: Any) -> None:
        held.append(news)
        ended.set()

    async with open_portal(grace=GRACE) as portal:
        with monkeypatch.context() as patch:
            patch.setattr(portal, "say", hold)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(portal.run, work)
                await trio.to_thread.run_sync(ended.wait)
                nursery.cancel_scope.cancel()
        for function, *args in held:
            portal.say(function, *args)
        assert await portal.run(double, 1) == 2


async def test_one_that_refuses_to_end_is_left_and_keeps_its_place() -> None:
    release = threading.Event()
    refused = 0

    async def stubborn() -> None:
        nonlocal refused
        while not release.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:  # noqa: ASYNC103 (it is what is tested)
                refused += 1

    async with open_portal(room=2, grace=GRACE) as portal:
        with trio.move_on_after(0.01) as scope:
            await portal.run(stubborn)
        assert scope.cancelled_caught
        assert refused == 1
        with trio.move_on_after(0.01) as scope:
            await portal.run(stubborn)
        with trio.move_on_after(0.01) as scope:
            await portal.run(double, 1)
        assert scope.cancelled_caught, "two places, and both are taken"
        release.set()
        assert await portal.run(double, 1) == 2


async def test_leaving_ends_what_is_at_work() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await for_ever()
        finally:
            ends.append("ended")

    tasks: list[asyncio.Future[None]] = []
    async with open_portal() as portal:
        portal.post(lambda: tasks.append(asyncio.ensure_future(work())))
        await portal.run(double, 1)
    assert ends == ["ended"]


async def test_leaving_takes_a_bounded_time_whatever_is_at_work() -> None:
    """A task that refuses to end, and one that blocks the loop for good."""
    release = threading.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)

    tasks: list[asyncio.Future[None]] = []
    async with open_portal(grace=GRACE) as portal:
        portal.post(lambda: tasks.append(asyncio.ensure_future(stubborn())))
        await portal.run(double, 1)
    assert not threads(), "the loop has ended without it"
    release.set()

    async with open_portal(grace=GRACE) as portal:
        release.clear()
        portal.post(release.wait)
        with trio.move_on_after(0.01) as scope:
            await portal.run(double, 1)
        assert scope.cancelled_caught
    assert all(thread.daemon for thread in threads())
    release.set()
    for thread in threads():
        thread.join()


async def test_after_its_block_it_is_closed() -> None:
    async with open_portal() as portal:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await portal.run(double, 1)
    portal.post(print)
    await portal.aclose()


async def test_a_call_that_is_at_work_when_it_closes_ends() -> None:
    async with trio.open_nursery() as nursery:
        async with open_portal(grace=GRACE) as portal:

            @nursery.start_soon
            async def _call() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await portal.run(for_ever)

            await trio.testing.wait_all_tasks_blocked()


async def test_a_loop_that_something_has_ended() -> None:
    """As SystemExit in a task of a library's own would: nobody waits for ever."""
    async with open_portal(grace=GRACE) as portal:
        with pytest.raises(trio.ClosedResourceError):
            async with open_hidden_nursery() as nursery:
                nursery.start_soon(portal.run, for_ever)
                await trio.testing.wait_all_tasks_blocked()
                portal.post(portal._loop.stop)
        await portal._ended.wait()
        with pytest.raises(trio.ClosedResourceError):
            await portal.run(double, 1)


async def test_it_speaks_to_trio() -> None:
    said: list[int] = []
    heard = trio.Event()

    def hear(number: int) -> None:
        said.append(number)
        assert trio.lowlevel.in_trio_run()
        heard.set()

    async with open_portal() as portal:
        portal.post(portal.say, hear, 5)
        await heard.wait()
    assert said == [5]


def test_what_is_said_after_trios_end_is_not_heard() -> None:
    kept: list[Portal] = []

    async def main() -> None:
        async with open_portal() as portal:
            kept.append(portal)

    trio.run(main)
    kept[0].say(print)


async def test_users_share_one() -> None:
    async with share_portal() as first:
        async with share_portal() as second:
            assert second is first
        assert await first.run(double, 1) == 2
    assert not threads()
    async with share_portal() as third:
        assert third is not first
        assert await third.run(double, 1) == 2


def test_runs_of_trio_share_none() -> None:
    async def main() -> Portal:
        async with share_portal() as portal:
            await portal.run(double, 1)
            return portal

    assert trio.run(main) is not trio.run(main)


def test_an_interrupt_ends_the_call_as_cancelling_does() -> None:
    began = threading.Event()
    ends: list[str] = []

    async def work() -> None:
        began.set()
        try:
            await for_ever()
        finally:
            ends.append("ended")

    async def main() -> None:
        async with open_portal() as portal:
            async with open_hidden_nursery() as nursery:

                @nursery.start_soon
                async def _interrupt() -> None:
                    await trio.to_thread.run_sync(began.wait)
                    signal.raise_signal(signal.SIGINT)

                await portal.run(work)

    # As in a terminal: what was started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trio.run(main)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ends == ["ended"]


async def test_nothing_keeps_what_a_call_raised() -> None:
    class MineError(Exception):
        pass

    async def fail() -> None:
        raise MineError

    async def call() -> weakref.ref[MineError]:
        try:
            await portal.run(fail)
        except MineError as error:
            return weakref.ref(error)
        raise AssertionError

    async with open_portal() as portal:
        found = await call()
        await portal.run(double, 1)
        gc.collect()
        assert found() is None
