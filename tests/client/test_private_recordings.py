"""Recordings of private and Level 3 clients: they replay as what was delivered, and no secret is in them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st

import kraken_trio as kt
from kraken_trio.runtime.actor import Actor
from kraken_trio.runtime.recorder import in_line
from kraken_trio.testing import Drop, FillBurst, LagRest, SkipSequence, SkipUpdate, run_virtual
from tests.client.private import BTC, ETH, client_of, exchange_of
from tests.client.test_private import FAULTS, outage
from tests.simulation.equality import Notes, compare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from kraken_trio.testing import Fault

PRIVATE: tuple[kt.Request[Any], ...] = (kt.Executions(history=True), kt.Balances())
LEVEL3: tuple[kt.Request[Any], ...] = (kt.Level3(BTC), kt.Level3(ETH, depth=100))


@asynccontextmanager
async def recorded(client: kt.Client, folder: Path, moments: Sequence[float] = ()) -> AsyncIterator[Notes]:
    """Record the client, and note what it delivers; moments are seconds from now."""
    actor = client._shell
    assert isinstance(actor, Actor)
    now = trio.current_time()
    notes = Notes(actor.session, sorted(now + moment for moment in moments))
    async with kt.record(client, folder, keyframe_every=5.0, flush_every=1.0, work=in_line):
        actor.tap(notes)
        yield notes
        actor.untap(notes)


async def drain(feed: kt.Feed[Any], got: list[Any]) -> None:
    while True:
        got.append(await feed.receive())


@given(
    script=st.lists(
        st.tuples(
            st.floats(0.1, 15),
            st.sampled_from([*FAULTS, FillBurst(fills=55), LagRest(), SkipUpdate(channel="level3"), Drop()]),
        ),
        max_size=6,
    ),
    moments=st.lists(st.floats(0.5, 90), max_size=3),
    is_private=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=8)
def test_a_replay_is_what_was_delivered(
    script: list[tuple[float, Fault]],
    moments: list[float],
    is_private: bool,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    requests = PRIVATE if is_private else LEVEL3

    async def main() -> Notes:
        async with (
            exchange_of(seed=seed, rate=4.0) as exchange,
            client_of(exchange, host="auth" if is_private else "l3") as client,
            recorded(client, folder, moments) as notes,
            client.subscribe(*requests, capacity=10_000) as feed,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(drain, feed, [])
            for pause, fault in script:
                await trio.sleep(pause)
                exchange.inject(fault)
            await trio.sleep(100)
            nursery.cancel_scope.cancel()
        return notes

    notes = run_virtual(main)
    assert sum(map(len, notes.delivered.values())) > 10
    assert compare(str(folder), [notes]) == []


@pytest.mark.parametrize("host", ["auth", "l3"])
async def test_a_program_gets_the_same_from_its_recording(host: str, tmp_path: Path, autojump_clock: MockClock) -> None:
    requests = PRIVATE if host == "auth" else LEVEL3
    live: list[Any] = []
    async with exchange_of() as exchange, client_of(exchange, host=host) as client, recorded(client, tmp_path):
        async with client.subscribe(*requests, capacity=10_000) as feed, trio.open_nursery() as nursery:
            nursery.start_soon(drain, feed, live)
            await trio.sleep(20)
            exchange.inject(SkipSequence() if host == "auth" else SkipUpdate(channel="level3"))
            await trio.sleep(5)
            await outage(exchange, 120)
            await trio.sleep(30)
            exchange.pause()
            await trio.sleep(20)
            orders = dict(feed.orders) if host == "auth" else None
            levels = None if host == "auth" else [feed.level3(symbol).snapshot() for symbol in (BTC, ETH)]
            nursery.cancel_scope.cancel()
    replayed: list[Any] = []
    async with kt.open_replay(tmp_path) as client, client.subscribe(*requests, capacity=10_000) as feed:
        while len(replayed) < len(live):
            replayed.append(await feed.receive())
        assert client.replay.damage == ()
        if orders is not None:
            assert dict(feed.orders) == orders
        if levels is not None:
            assert [feed.level3(symbol).snapshot() for symbol in (BTC, ETH)] == levels
    with kt.read_events(tmp_path, *requests) as reader:
        assert list(islice(reader, len(live))) == live
        if levels is not None:
            assert [book.snapshot() for book in reader.level3_books.values()] == levels
    assert len(live) > 50
    assert replayed == live
    assert list(map(repr, replayed)) == list(map(repr, live))
