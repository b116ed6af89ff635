"""Who lets others go first gets a shard that nobody has, a little later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from kraken_trio.broker.seam import Start
from kraken_trio.relay.standby import Patient
from kraken_trio.testing import MemoryBroker

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_a_patient_engine_gets_a_shard_later_and_is_like_any_other_then(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=3.0)
    engine = Patient(broker.seen_by("standby"))
    assert (engine.name, engine.stream, engine.lease_ttl) == (broker.name, "kraken", 3.0)
    async with engine.connect() as link:
        assert await link.acquire(0, "standby") is None
        await trio.sleep(2.9)
        assert await link.acquire(0, "standby") is None
        await trio.sleep(0.2)
        fence = await link.acquire(0, "standby")
        assert fence is not None
        await link.renew(fence)
        await link.publish(fence, [])
        assert await link.catalogs() == []
        async with link.read({("book", "BTC/USD")}, Start(), back=1.0) as source:
            assert set(source.taken.starts) == {0}
        await link.release(fence)
        assert broker.owner(0) is None


async def test_whoever_comes_at_the_same_time_goes_first(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    patient = Patient(broker.seen_by("standby"))
    async with patient.connect() as later, broker.seen_by("other").connect() as other:
        assert await later.acquire(0, "standby") is None
        assert await other.acquire(0, "other") is not None
        await trio.sleep(10)  # whose lease ends meanwhile
        assert await later.acquire(0, "standby") is not None
