"""Nonces: never twice, never backwards, and in the order in which the exchange sees them."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from kraken_trio.auth import Credentials
from kraken_trio.auth.nonce import LOCKOUT_SECONDS, KeyRing, KeyState
from tests.auth.world import EPOCH_NS, KEY, SECRET, World

if TYPE_CHECKING:
    from collections.abc import Callable


@given(st.lists(st.integers(0, 2**62)))
def test_nonces_grow_whatever_the_clock_does(clock: list[int]) -> None:
    state = KeyState()
    nonces = [state.next_nonce(now) for now in clock]
    assert all(later > earlier for earlier, later in pairwise(nonces))
    assert all(nonce >= now for nonce, now in zip(nonces, clock, strict=True))


def test_one_key_has_one_state() -> None:
    keys = KeyRing()
    one, other = Credentials(KEY, SECRET), Credentials("other", SECRET)
    assert keys.state(one.fingerprint) is keys.state(Credentials(KEY, SECRET, "otp").fingerprint)
    assert keys.state(one.fingerprint) is not keys.state(other.fingerprint)
    assert KeyRing().state(one.fingerprint) is not keys.state(one.fingerprint)


@given(
    calls=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.001, 0.5])), min_size=2, max_size=12),
    latencies=st.lists(st.sampled_from([0.0, 0.01, 2.0]), min_size=3, max_size=3),
    clock=st.sampled_from(["runs", "stands", "is set back"]),
    cancelled=st.sets(st.integers(0, 11), max_size=3),
)
def test_parallel_calls_never_reuse_or_reorder_nonces(
    calls: list[tuple[int, float]], latencies: list[float], clock: str, cancelled: set[int]
) -> None:
    """Several clients of one key, whose requests take different times on the way; some calls are given up."""
    errors: list[str] = []

    async def story() -> None:
        back: Callable[[float], int] = {
            "runs": lambda now: round(now * 1e9),
            "stands": lambda now: 0,
            "is set back": lambda now: -round(now * 1e12),
        }[clock]
        world = World(limit=1000.0, wall_ns=lambda: EPOCH_NS + back(trio.current_time()))
        clients = []
        for latency in latencies:
            world.transport = type(world.transport)(world.core, latency=latency)
            clients.append(world.client(Credentials(KEY, SECRET)))

        async def call(number: int, client: int, delay: float) -> None:
            await trio.sleep(delay)
            with trio.move_on_after(1.0 if number in cancelled else 1000.0):
                await clients[client].call("BalanceEx")

        async with trio.open_nursery() as nursery:
            for number, (client, delay) in enumerate(calls):
                nursery.start_soon(call, number, client, delay)
        nonces = world.core.nonces.get(KEY, [])
        errors.extend(["the order"] * (nonces != sorted(set(nonces))))
        # None was refused, and so none was asked again.
        errors.extend(["the number"] * (len(nonces) != len(world.core.calls)))

    trio.run(story, clock=MockClock(autojump_threshold=0))
    assert errors == []


async def test_a_turn_is_given_in_the_order_of_asking(autojump_clock: MockClock) -> None:
    state, order = KeyState(), []

    async def take(number: int) -> None:
        await trio.sleep(number / 10)
        async with state.turn():
            order.append(number)
            await trio.sleep(10)

    async with trio.open_nursery() as nursery:
        for number in (2, 0, 3, 1):
            nursery.start_soon(take, number)
    assert order == [0, 1, 2, 3]


async def test_a_turn_ends_when_it_is_cancelled(autojump_clock: MockClock) -> None:
    state = KeyState()
    with trio.move_on_after(1):
        async with state.turn():
            await trio.sleep_forever()
    with trio.fail_after(1):
        async with state.turn():
            pass


def test_threads_take_turns() -> None:
    """Each thread has a Trio run of its own. What they do in a turn is not interrupted by the others."""
    state = KeyState()
    inside = 0
    seen: list[int] = []
    nonces: list[int] = []

    async def story() -> None:
        nonlocal inside
        for _ in range(20):
            async with state.turn():
                inside += 1
                nonces.append(state.next_nonce(0))
                await trio.lowlevel.checkpoint()
                seen.append(inside)
                inside -= 1

    threads = [threading.Thread(target=trio.run, args=(story,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 60
    assert nonces == list(range(1, 61))


@pytest.mark.parametrize(("later", "left"), [(0, 900.0), (100, 800.0), (900, 0.0), (2000, 0.0), (-3600, 0.0)])
def test_a_lockout_ends(later: int, left: float) -> None:
    """Also when the clock is set back, so that nobody waits for hours."""
    state = KeyState()
    assert state.locked_for(EPOCH_NS) == 0
    state.lock_out(EPOCH_NS)
    assert state.locked_for(EPOCH_NS + later * 10**9) == left <= LOCKOUT_SECONDS
