"""Bugs that a reader of the actor found: each was reproduced before it was mended."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.testing.faults import CorruptChecksum, Drop, DropHow, IgnoreRequests
from tests.opening import open_at

if TYPE_CHECKING:
    from trio.testing import MockClock

    from .conftest import InMemoryExchange

BTC, ETH = kt.Book("BTC/USD"), kt.Book("ETH/USD")


@pytest.mark.parametrize("damaged", [False, True])
async def test_frames_that_come_while_the_program_leaves_are_nobodys(
    autojump_clock: MockClock, exchange: InMemoryExchange, nursery: trio.Nursery, damaged: bool
) -> None:
    """They went to channels that were closed, or to a session that had ended: an ExceptionGroup came out."""
    ready = trio.Event()

    async def outlive(client: kt.Client) -> None:
        async with client.subscribe(BTC) as feed:
            await feed.receive()
            ready.set()
            async for _ in feed:
                pass

    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        nursery.start_soon(outlive, client)
        await ready.wait()
        await trio.testing.wait_all_tasks_blocked()
        if damaged:
            exchange.inject(CorruptChecksum(symbol="BTC/USD"))
        exchange.publish(50, "BTC/USD")


async def test_first_events_that_overflow_a_failing_feed_do_not_hang_its_subscribe(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    with trio.fail_after(60):
        async with (
            kt.open_client(exchange.url, transport=exchange.connect) as client,
            client.subscribe(BTC, ETH, capacity=10_000) as shared,
        ):
            while not all(book.available for book in shared.books.values()):
                await shared.receive()
            async with client.subscribe(BTC, ETH, capacity=1, overflow=kt.Overflow.FAIL) as feed:
                assert isinstance(await feed.receive(), kt.BookSnapshot)
                with pytest.raises(kt.ConsumerTooSlow):
                    await feed.receive()


async def test_a_feed_that_fails_amid_a_batch_does_not_turn_the_states_round(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Lifecycle()) as lifecycle,
    ):
        async with client.subscribe(BTC, capacity=1, overflow=kt.Overflow.FAIL):
            await client.wait_for(kt.ConnectionState.SUBSCRIBED)
            exchange.inject(CorruptChecksum(symbol="BTC/USD"))
            exchange.publish(20, "BTC/USD")
            await trio.sleep(30)
        state = kt.ConnectionState.SUBSCRIBED
        while lifecycle.statistics().buffered:
            event = await lifecycle.receive()
            if isinstance(event, kt.StateChange):
                assert event.previous is state
                state = event.current
        assert state is client.state is kt.ConnectionState.SUBSCRIBED
        assert not exchange.core.subscribed()[1]


async def test_a_keyboard_interrupt_within_the_actor_comes_out_as_it_is(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    def wall_ns() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with open_at(exchange, wall_ns):
            await trio.sleep_forever()


async def test_a_peer_that_reads_nothing_is_given_up(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    """Its heartbeats kept the connection, and requests gathered for ever."""
    async with kt.open_client(exchange.url, transport=exchange.connect) as client, client.subscribe(BTC) as feed:
        await feed.receive()
        exchange.core.pause()
        exchange.lines[1].deaf = True
        with trio.fail_after(60):
            async with client.subscribe(ETH):  # asked for again, and answered, on the next connection
                assert client.statistics().epoch == 2


async def test_a_refusal_for_good_drops_nothing_that_came_before_it(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.core.pause()
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(BTC, capacity=2) as feed,
    ):
        await feed.receive()
        exchange.publish(40, "BTC/USD")
        exchange.inject(Drop(how=DropHow.CLOSE_1008))
        sent = exchange.core.journals[0].sent_count
        await trio.sleep(1)
        events = []
        with pytest.raises(kt.ConnectError, match="permanently"):
            while True:
                events += await feed.receive_many()
        assert [type(event) for event in events[:-1]] == [kt.BookUpdate] * (sent - 1)
        assert isinstance(events[-1], kt.Gap)
        assert feed.statistics().buffered == 0


async def test_a_full_feed_is_not_read_into_after_a_reconnect(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.trade(rate=5.0)
    settings = kt.Settings(stall_limit=10_000)
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(BTC, capacity=2) as feed,
    ):
        await feed.receive()
        await trio.sleep(60)
        exchange.inject(Drop())
        await trio.sleep(20)  # a loss is found by asking, since nothing is read
        buffered = feed.statistics().buffered
        for _ in range(5):
            exchange.inject(Drop())
            await trio.sleep(200)
        assert feed.statistics().buffered == buffered
        assert client.statistics().connects > 1


async def test_what_is_wrong_with_the_address_is_said_at_once() -> None:
    settings = kt.Settings(require_first_connection=False)
    with pytest.raises(kt.ConnectError, match="ws"):
        async with kt.open_client("http://127.0.0.1", settings=settings):
            pytest.fail("it cannot be meant")
    with pytest.raises(ValueError, match="wss"):
        async with kt.open_client("ws://127.0.0.1", ssl_context=ssl.create_default_context(), settings=settings):
            pytest.fail("it cannot be meant")


async def test_an_unsubscribe_without_answer_is_sent_again(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.trade(rate=1.0)
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        async with client.subscribe(BTC) as feed:
            await feed.receive()
            exchange.inject(IgnoreRequests(method="unsubscribe", times=2))
        assert exchange.core.subscribed()[1]
        await trio.sleep(60)
        assert not exchange.core.subscribed()[1]
        assert client.statistics().losses == 0


async def test_a_first_snapshot_that_fails_its_check_after_an_outage_is_measured(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """Nothing of its batch was delivered, the feed had its gap before: measuring the batch ended the client."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(BTC, overflow=kt.Overflow.DROP_OLDEST),
    ):
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        await trio.sleep(10)
        exchange.inject(CorruptChecksum(symbol="BTC/USD", snapshots=True))
        exchange.inject(Drop())
        await client.wait_for(kt.ConnectionState.DISCONNECTED)
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        assert client.statistics().resyncs == 1
