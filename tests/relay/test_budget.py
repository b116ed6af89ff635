"""The connect budget of machines that have one address, in a broker: never more than the limit, whatever happens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio

from kraken_trio.admission.process import ConnectBudget
from kraken_trio.broker.nats import NatsEngine
from kraken_trio.relay.budget import PATIENCE, SHARD, TRY_AGAIN, BrokerBudget
from kraken_trio.settings import CONNECT_WINDOW
from kraken_trio.testing import MemoryBroker
from tests.broker.nats_server import run_server

if TYPE_CHECKING:
    from trio.testing import MockClock

EPOCH_NS = 1_790_000_000 * 10**9


class World:
    """Processes on several machines, each with its clock."""

    def __init__(self, *, partitions: int = 1) -> None:
        self.broker = MemoryBroker(epoch_ns=EPOCH_NS, partitions=partitions, latency=(0.001, 0.01))
        self.taken: list[float] = []

    def budget(self, name: str, *, ahead: float = 0.0) -> BrokerBudget:
        def wall_ns() -> int:
            return EPOCH_NS + round((trio.current_time() + ahead) * 1e9)

        process = ConnectBudget(trio.current_time)
        return BrokerBudget(self.broker.seen_by(name), name, wall_ns=wall_ns, process=process)

    async def attempts(self, budget: BrokerBudget, count: int, limit: int) -> None:
        """As a client does: ask, wait as long as it is told, ask again."""
        while count:
            wait = await budget.take(limit)
            if wait is None:
                self.taken.append(trio.current_time())
                count -= 1
            else:
                await trio.sleep(wait.seconds)

    def most(self) -> int:
        """The most attempts in any window."""
        return max(sum(began <= at <= began + CONNECT_WINDOW for at in self.taken) for began in self.taken)


@pytest.mark.parametrize("partitions", [1, 4])
async def test_all_together_keep_to_the_limit(partitions: int, autojump_clock: MockClock) -> None:
    world = World(partitions=partitions)
    async with trio.open_nursery() as nursery:
        for number, ahead in enumerate((0.0, 2.0, -2.0)):
            budget = world.budget(f"{number}", ahead=ahead)
            nursery.start_soon(world.attempts, budget, 8, 10)
    assert len(world.taken) == 24
    # A clock that is behind lets an attempt be made by so much too early, as seen from another one.
    begun = sorted(world.taken)
    assert all(later - earlier > CONNECT_WINDOW - 4 for earlier, later in zip(begun, begun[10:], strict=False))
    assert begun[9] < 30, "nobody waits without need"
    assert begun[-1] < 2 * CONNECT_WINDOW + 30


async def test_with_one_clock_the_limit_is_exact(autojump_clock: MockClock) -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        for name in ("a", "b"):
            nursery.start_soon(world.attempts, world.budget(name), 6, 5)
    assert world.most() == 5


async def test_a_wait_says_how_long_and_why(autojump_clock: MockClock) -> None:
    world = World()
    one, other = world.budget("one"), world.budget("other")
    assert await one.take(1) is None
    await trio.sleep(100)
    wait = await other.take(1)
    assert wait is not None
    assert wait.seconds == pytest.approx(500, abs=1)
    assert "count at memory://broker/kraken have made 1 connection attempts" in wait.why
    assert world.broker.owner(SHARD) is None, "the next one need not wait"


async def test_a_process_that_dies_while_it_counts_holds_others_up_for_a_moment(autojump_clock: MockClock) -> None:
    world = World()
    async with world.broker.seen_by("dead").connect() as link:
        assert await link.acquire(SHARD, "dead") is not None
        budget = world.budget("one")
        wait = await budget.take(5)
        assert wait is not None
        assert (wait.seconds, wait.why) == (0.2, "another process is counting its attempt")
        await world.attempts(budget, 1, 5)
        assert world.taken[0] < world.broker.lease_ttl + 1


async def test_without_the_broker_nobody_connects(autojump_clock: MockClock) -> None:
    world = World()
    budget = world.budget("one")
    world.broker.seen_by("one").refuse(100)
    wait = await budget.take(5)
    assert wait is not None
    assert wait.seconds == TRY_AGAIN
    assert wait.why.startswith("attempts are counted at memory://broker/kraken: ")
    world.broker.seen_by("one").heal()
    world.broker.pause(1000)
    began = trio.current_time()
    wait = await budget.take(5)
    assert wait is not None
    assert trio.current_time() - began <= PATIENCE + 1
    world.broker.resume()
    await world.attempts(budget, 1, 5)


async def test_the_process_s_own_budget_counts_as_well(autojump_clock: MockClock) -> None:
    world = World()
    process = ConnectBudget(trio.current_time)
    assert await process.take(1) is None
    wait = await BrokerBudget(world.broker, "x", wall_ns=lambda: EPOCH_NS, process=process).take(1)
    assert wait is not None
    assert "the clients of this process" in wait.why
    assert world.broker.messages() == [], "and the broker is not even asked"


async def test_a_real_broker() -> None:
    with run_server() as server:
        engine = NatsEngine(f"{server.url}/kraken?max_bytes=64MiB")
        clocks = {"wall_ns": time.time_ns, "process": ConnectBudget(trio.current_time)}
        one, other = (BrokerBudget(engine, name, **clocks) for name in ("one", "other"))  # type: ignore[arg-type]  # (by name)
        with trio.fail_after(60):
            assert [await one.take(2), await other.take(2)] == [None, None]
            wait = await one.take(2)
        assert wait is not None
        assert 590 < wait.seconds <= 601
