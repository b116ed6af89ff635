"""The queue of a feed: to the tasks at its ends it is a Trio memory channel."""

from __future__ import annotations

from typing import Literal, TypeAlias

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from kraken_trio.runtime.channel import Channel
from kraken_trio.testing import run_virtual

Do: TypeAlias = Literal["put", "send", "receive", "take", "pop", "clear", "end", "close", "cancel", "run"]
STEP = st.tuples(
    st.sampled_from(
        ["put", "put", "send", "receive", "receive", "take", "take", "pop", "clear", "cancel", "run", "run"]
    )
    | st.sampled_from(["end", "close"]),
    st.integers(1, 4),
)


class Ours:
    """What is tested."""

    def __init__(self, capacity: int) -> None:
        self.channel = Channel[int](capacity)
        self.send = self.channel.send
        self.receive = self.channel.receive
        self.put = self.channel.put
        self.end = self.channel.end
        self.close = self.channel.close
        self.clear = self.channel.clear

    def pop(self) -> int | None:
        return self.channel.pop() if self.channel.queue else None

    def take(self, limit: int) -> tuple[list[int], bool]:
        items: list[int] = []
        goes_on = self.channel.take(items, limit)
        return items, goes_on


class Trios:
    """The same by means of a memory channel: an item at a time."""

    def __init__(self, capacity: int) -> None:
        self.sender, self.receiver = trio.open_memory_channel[int](capacity)
        self.send = self.sender.send
        self.receive = self.receiver.receive
        self.end = self.sender.close

    def put(self, items: list[int]) -> int:
        for count, item in enumerate(items):
            try:
                self.sender.send_nowait(item)
            except trio.WouldBlock:
                return count
        return len(items)

    def pop(self) -> int | None:
        return self.receiver.receive_nowait() if self.receiver.statistics().current_buffer_used else None

    def take(self, limit: int) -> tuple[list[int], bool]:
        items: list[int] = []
        try:
            while len(items) < limit:
                items.append(self.receiver.receive_nowait())
        except trio.WouldBlock:
            return items, True
        except trio.EndOfChannel:
            return items, False
        now = self.receiver.statistics()
        return items, bool(now.current_buffer_used or now.open_send_channels)

    def clear(self) -> int:
        return len(self.take(1000)[0])

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()


class Run:
    """What happened at the two ends of one of them. There is one task at each, at most."""

    def __init__(self, channel: Ours | Trios, steps: list[tuple[Do, int]]) -> None:
        self.channel = channel
        self.steps = steps
        self.seen: list[object] = []
        self._number = 0
        self._tasks: dict[str, trio.CancelScope] = {}
        self._is_ended = self._is_closed = False

    async def __call__(self) -> None:
        async with trio.open_nursery() as nursery:
            for do, number in self.steps:
                await self._step(nursery, do, number)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    def _items(self, count: int) -> list[int]:
        self._number += count
        return list(range(self._number - count, self._number))

    async def _step(self, nursery: trio.Nursery, do: Do, number: int) -> None:
        can_send = not (self._is_ended or self._is_closed or "send" in self._tasks)
        can_receive = not (self._is_closed or "receive" in self._tasks)
        match do:
            case "put" if can_send:
                self.seen.append(("put", self.channel.put(self._items(number))))
            case "send" if can_send:
                self._start(nursery, "send", self._items(1)[0])
            case "receive" if can_receive:
                self._start(nursery, "receive", None)
            case "take" if can_receive:
                self.seen.append(("take", self.channel.take(number)))
            case "pop" if can_receive:
                self.seen.append(("pop", self.channel.pop()))
            case "clear" if not self._is_closed:
                self.seen.append(("clear", self.channel.clear()))
            case "end" if can_send:
                self._is_ended = True
                self.channel.end()
            case "close":
                self._is_closed = True
                self.channel.close()
            case "cancel":
                for scope in self._tasks.values():
                    scope.cancel()
            case "run":
                await trio.testing.wait_all_tasks_blocked()
            case _:
                return
        self.seen.append(do)

    def _start(self, nursery: trio.Nursery, what: str, item: int | None) -> None:
        self._tasks[what] = trio.CancelScope()
        nursery.start_soon(self._wait, what, item)

    async def _wait(self, what: str, item: int | None) -> None:
        try:
            with self._tasks[what]:
                if item is None:
                    self.seen.append(("received", await self.channel.receive()))
                else:
                    await self.channel.send(item)
                    self.seen.append(("sent", item))
            if self._tasks[what].cancelled_caught:
                self.seen.append((what, "cancelled"))
        except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.seen.append((what, type(error).__name__))
        finally:
            del self._tasks[what]


@given(st.integers(1, 4), st.lists(STEP, max_size=25), st.integers(0, 3))
def test_it_is_a_memory_channel(capacity: int, steps: list[tuple[Do, int]], seed: int) -> None:
    ours, trios = Run(Ours(capacity), steps), Run(Trios(capacity), steps)
    run_virtual(ours, seed=seed)
    run_virtual(trios, seed=seed)
    assert ours.seen == trios.seen


@pytest.mark.parametrize("waiting", [0, 1])
async def test_both_ends_are_checkpoints(waiting: int) -> None:
    channel = Channel[int](2)
    channel.put(range(waiting))
    with trio.testing.assert_checkpoints():
        await channel.send(7)
    with trio.testing.assert_checkpoints():
        await channel.receive()
