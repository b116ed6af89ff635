"""Losses, silence and slow consumers, on virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.testing.faults import (
    CorruptChecksum,
    Drop,
    DropConnect,
    DropHow,
    Freeze,
    Mute,
    Refuse,
    RefuseConnect,
    StopHeartbeats,
)
from tests.opening import open_at

if TYPE_CHECKING:
    from datetime import datetime

    from trio.testing import MockClock

    from .conftest import InMemoryExchange

D, C, S, R = (
    kt.ConnectionState.DISCONNECTED,
    kt.ConnectionState.CONNECTING,
    kt.ConnectionState.SUBSCRIBED,
    kt.ConnectionState.RESYNCING,
)


async def until(feed: kt.Feed, kind: type[kt.Event]) -> list[kt.Event]:
    with trio.fail_after(3600):
        events = [await feed.receive()]
        while not isinstance(events[-1], kind):
            events.append(await feed.receive())
    return events


async def test_the_whole_lifecycle_as_a_program_sees_it(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Lifecycle()) as lifecycle,
    ):
        assert client.state is S  # nothing is wanted
        async with client.subscribe(kt.Book("BTC/USD")) as feed:
            await until(feed, kt.BookSnapshot)
            await client.wait_for(S)
            exchange.inject(CorruptChecksum(symbol="BTC/USD"))
            await until(feed, kt.Gap)
            await until(feed, kt.BookSnapshot)
            exchange.inject(DropConnect())
            exchange.inject(Drop())
            await until(feed, kt.Gap)
            await until(feed, kt.BookSnapshot)
            await client.wait_for(S)
        changes = []
        statuses = []
        while lifecycle.statistics().buffered:
            event = await lifecycle.receive()
            if isinstance(event, kt.StatusUpdate):
                statuses.append((event.system, event.epoch))
                continue
            assert isinstance(event, kt.StateChange)
            changes.append((event.previous, event.cause, event.current, event.epoch))
    assert statuses == [("online", 1), ("online", 2)]
    assert changes == [
        (S, kt.Cause.SUBSCRIBING, R, 1),
        (R, kt.Cause.SETTLED, S, 1),
        (S, kt.Cause.CHECKSUM, R, 1),
        (R, kt.Cause.SETTLED, S, 1),
        (S, kt.Cause.DISCONNECTED, D, 1),
        (D, kt.Cause.RETRY, C, 1),
        (C, kt.Cause.CONNECT_FAILED, D, 1),
        (D, kt.Cause.RETRY, C, 1),
        (C, kt.Cause.CONNECTED, R, 2),
        (R, kt.Cause.SETTLED, S, 2),
    ]


async def test_silence_is_a_loss(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    settings = kt.Settings(silence_limit=10)
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        exchange.inject(Freeze())
        began = trio.current_time()
        events = await until(feed, kt.Gap)
        gap = events[-1]
        assert isinstance(gap, kt.Gap)
        assert gap.cause is kt.Cause.SILENCE
        assert 9 < trio.current_time() - began < 11
        await until(feed, kt.BookSnapshot)
        assert client.statistics().pings_sent == 1  # it asked before it gave up


async def test_pongs_alone_do_not_keep_a_connection_that_pushes_nothing(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.core.pause()
    exchange.inject(StopHeartbeats())
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        gap = (await until(feed, kt.Gap))[-1]
        assert isinstance(gap, kt.Gap)
        assert gap.cause is kt.Cause.SILENCE
        assert client.statistics().pings_sent >= 1
        assert client.statistics().ping_seconds is not None
        await until(feed, kt.BookSnapshot)
        assert client.statistics().connects == 2


async def test_a_client_that_wants_nothing_stays_connected(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.core.pause()
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        await trio.sleep(600)
        assert client.statistics().connects == 1


async def test_an_exchange_that_accepts_and_drops_is_not_hammered(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.core.pause()
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
    ):
        began = trio.current_time()
        with trio.move_on_after(3600):
            while True:
                await until(feed, kt.BookSnapshot)
                exchange.inject(Drop(how=DropHow.RESET))
        times = [at - began for at in exchange.attempts[1:]]
        gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
        assert all(0.2 <= gap < 2 for gap in gaps[:2])
        assert all(gap >= 5 for gap in gaps[2:])
        assert all(gap <= 60 * 1.25 + 1 for gap in gaps)
        assert max(sum(start <= at < start + 600 for at in times) for start in times) < 120
        assert client.statistics().losses >= len(times)


async def test_after_a_stable_time_a_loss_counts_as_the_first(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.trade(rate=2.0)
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        for _ in range(10):
            await trio.sleep(31)
            exchange.inject(Drop())
            lost = trio.current_time()
            await client.wait_for(C)
            await client.wait_for(S)
            assert trio.current_time() - lost < 1
        assert client.statistics().connects == 11
        snapshots = [e for e in await feed.receive_many(100_000) if isinstance(e, kt.BookSnapshot)]
        assert [snapshot.epoch for snapshot in snapshots] == list(range(1, 12))


async def test_retry_after_is_respected(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    exchange.core.pause()
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
    ):
        exchange.inject(RefuseConnect(status=503, retry_after=77))
        exchange.inject(Drop())
        await until(feed, kt.Gap)
        await client.wait_for(C)
        refused = trio.current_time()
        await client.wait_for(R)
        assert trio.current_time() - refused >= 77


async def test_the_exchange_refuses_for_good(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        async with client.subscribe(kt.Book("BTC/USD")) as feed, client.subscribe(kt.Lifecycle()) as lifecycle:
            await until(feed, kt.BookSnapshot)
            exchange.inject(Drop(how=DropHow.CLOSE_1008))
            events: list[kt.Event] = []
            with pytest.raises(kt.ConnectError, match="permanently") as first:
                while True:
                    events.append(await feed.receive())
            assert isinstance(events[-1], kt.Gap)
            assert events[-1].cause is kt.Cause.REFUSED
            with pytest.raises(kt.ConnectError, match="permanently") as second:
                await feed.receive()
            assert first.value is not second.value
            assert isinstance(await lifecycle.receive(), kt.StatusUpdate)
            change = await lifecycle.receive()
            assert isinstance(change, kt.StateChange)
            assert (change.cause, change.current) == (kt.Cause.REFUSED, D)
            with pytest.raises(kt.ConnectError, match="permanently"):
                await lifecycle.receive()
        with pytest.raises(kt.ConnectError, match="permanently"):
            await client.wait_for(S)
        with pytest.raises(kt.ConnectError, match="permanently"):
            async with client.subscribe(kt.Book("ETH/USD")):
                pytest.fail("nobody is there")
        exchange.core.pause()
        await trio.sleep(3600)
        assert len(exchange.attempts) == 1


async def test_keep_trying_from_the_start_if_asked_to(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    exchange.core.pause()
    exchange.inject(RefuseConnect(status=503, times=5))
    settings = kt.Settings(require_first_connection=False)
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,  # waits for it
    ):
        assert isinstance(await feed.receive(), kt.BookSnapshot)
        assert client.statistics().attempts == 6
    exchange.inject(RefuseConnect(status=503))
    with pytest.raises(kt.ConnectError, match="503"):
        async with kt.open_client(exchange.url, transport=exchange.connect):
            pytest.fail("the first has to succeed")


async def test_somebody_waiting_for_an_answer_hears_of_a_refusal_for_good(
    autojump_clock: MockClock, exchange: InMemoryExchange, nursery: trio.Nursery
) -> None:
    exchange.inject(RefuseConnect(status=503))
    exchange.inject(RefuseConnect(status=401))
    settings = kt.Settings(require_first_connection=False)
    async with kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client:

        async def wait() -> None:
            with pytest.raises(kt.ConnectError, match="401"):
                await client.wait_for(S)

        nursery.start_soon(wait)
        with pytest.raises(kt.ConnectError, match="401"):
            async with client.subscribe(kt.Book("BTC/USD")):
                pytest.fail("nobody is there")


async def test_a_symbol_that_never_gets_its_book_is_parked_and_the_others_go_on(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.trade(rate=5.0)
    exchange.inject(CorruptChecksum(symbol="BTC/USD", snapshots=True, times=None))
    exchange.inject(Mute(symbol="XRP/USD", times=None))
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), kt.Book("XRP/USD"), capacity=1) as bad,
        client.subscribe(kt.Book("ETH/USD")) as good,
    ):
        gaps: list[tuple[str | None, kt.Cause]] = []
        updates = 0

        async def read_good() -> None:
            nonlocal updates
            async for event in good:
                assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
                updates += 1

        async def read_bad() -> None:
            async for event in bad:
                assert isinstance(event, kt.Gap)
                gaps.append((event.symbol, event.cause))
                with pytest.raises(kt.BookUnavailable):
                    bad.book(str(event.symbol))

        async with trio.open_nursery() as readers:
            readers.start_soon(read_good)
            readers.start_soon(read_bad)
            await trio.sleep(300)
            readers.cancel_scope.cancel()
        assert sorted(gaps, key=str) == sorted(
            [
                ("BTC/USD", kt.Cause.CHECKSUM),
                ("BTC/USD", kt.Cause.PARKED),
                ("XRP/USD", kt.Cause.RESUBSCRIBED),
                ("XRP/USD", kt.Cause.PARKED),
            ],
            key=str,
        )
        assert updates > 100
        assert client.state is R  # not all that is wanted is there, and it says so
        states = client.statistics().subscriptions
        assert states[kt.Book("BTC/USD")].state is kt.SubscriptionState.PARKED
        assert states[kt.Book("ETH/USD")].state is kt.SubscriptionState.LIVE
        assert client.statistics().connects == 1
        assert len(exchange.core.requests) < 40
        exchange.core.clear_faults(trio.current_time())
        event = await bad.receive()  # after its rest it is tried again
        assert isinstance(event, kt.BookSnapshot)


async def test_a_subscription_refused_on_replay_is_a_gap(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), kt.Trades("ETH/USD")) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        exchange.inject(Refuse(error="Currency pair not supported BTC/USD", symbol="BTC/USD"))
        exchange.inject(Drop())
        gaps: list[tuple[str | None, kt.Cause]] = []
        while len(gaps) < 3:
            event = (await until(feed, kt.Gap))[-1]
            assert isinstance(event, kt.Gap)
            gaps.append((event.channel, event.cause))
        assert gaps[:2] == [("book", kt.Cause.DISCONNECTED), ("trade", kt.Cause.DISCONNECTED)]
        assert gaps[2] == ("book", kt.Cause.REFUSED)
        await until(feed, kt.Trade)
        assert client.state is R
        exchange.inject(Drop())
        await until(feed, kt.BookSnapshot)  # the next connection asks again


# Slow consumers


async def test_a_slow_consumer_gets_everything_and_is_not_taken_for_a_dead_peer(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    settings = kt.Settings(stall_limit=1000, silence_limit=10)
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=4) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        await trio.sleep(200)  # its channel is full all the time
        assert feed.statistics().buffered > 4
        assert client.statistics().pings_sent >= 30  # the peer hears that we live
        exchange.core.pause()
        theirs = exchange.core.market.symbols["BTC/USD"].book
        received = 0
        with trio.fail_after(10):
            while True:
                ours = feed.book("BTC/USD")
                if all(
                    [(int(level.price.scaleb(1)), int(level.qty.scaleb(8))) for level in mine] == side.top(10)
                    for mine, side in ((ours.bids, theirs.bids), (ours.asks, theirs.asks))
                ):
                    break
                assert isinstance(await feed.receive(), kt.BookUpdate)
                received += 1
        assert received > 100
        statistics = client.statistics()
        assert (statistics.connects, statistics.losses, statistics.gaps) == (1, 0, 0)
        assert feed.statistics().held_seconds > 190
        assert feed.statistics().delivered == received + 1


async def test_subscribing_works_while_a_full_feed_holds_up_reading(
    autojump_clock: MockClock, exchange: InMemoryExchange, nursery: trio.Nursery
) -> None:
    settings = kt.Settings(stall_limit=20)
    async with kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client:
        async with client.subscribe(kt.Book("BTC/USD"), capacity=1) as full:
            await full.receive()
            await trio.sleep(5)
            asked = len(exchange.core.requests)
            with trio.move_on_after(5):
                async with client.subscribe(kt.Book("ETH/USD")):
                    pytest.fail("the answer cannot be heard")
            assert len(exchange.core.requests) == asked + 2  # but it was asked, and taken back


async def test_only_the_consumer_that_holds_up_for_too_long_fails(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    settings = kt.Settings(stall_limit=7)
    async with kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client:
        async with (
            client.subscribe(kt.Book("BTC/USD"), capacity=3) as slow,
            client.subscribe(kt.Book("BTC/USD"), capacity=10_000) as good,
        ):
            await trio.sleep(60)
            events = []
            with pytest.raises(kt.ConsumerTooSlow, match=r"3 events.*7 s"), trio.fail_after(60):
                while True:
                    events.append(await slow.receive())
            assert [type(event) for event in events] == [kt.BookSnapshot, kt.BookUpdate, kt.BookUpdate]
            assert "failed" in repr(slow)
            with pytest.raises(kt.ConsumerTooSlow):
                await slow.receive_many()
            assert slow.statistics().held_seconds == pytest.approx(7)
            received = await good.receive_many(10_000)
            assert not any(isinstance(event, kt.Gap) for event in received)
            assert received[:3] == events
            assert len(received) > 100
            assert client.statistics().feeds == 1


async def test_the_policy_to_fail_fails_at_once(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=3, overflow=kt.Overflow.FAIL) as failing,
        client.subscribe(kt.Book("BTC/USD"), capacity=10_000) as good,
    ):
        await trio.sleep(30)
        with pytest.raises(kt.ConsumerTooSlow, match="its policy is to fail"):
            while True:
                await failing.receive()
        assert failing.statistics().held_seconds == 0
        assert failing.statistics().delivered == 3
        assert len(await good.receive_many(10_000)) > 50
        assert client.statistics().losses == 0


async def test_leaving_a_feed_that_holds_up_reading_lets_the_others_go_on(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    settings = kt.Settings(stall_limit=1000)
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(kt.Book("ETH/USD"), capacity=10_000) as good,
    ):
        async with client.subscribe(kt.Book("BTC/USD"), capacity=1):
            await trio.sleep(50)
        held = good.statistics().buffered
        await trio.sleep(10)
        assert good.statistics().buffered > held + 20


async def test_a_write_that_never_ends_is_a_silent_peer(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        exchange.lines[1].deaf = True
        exchange.inject(Freeze())
        await until(feed, kt.Gap)
        await until(feed, kt.BookSnapshot)
        assert client.statistics().connects == 2


async def test_what_the_last_connection_was_to_be_told_is_not_told_the_next(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    async def hold(request: kt.Book) -> None:
        async with client.subscribe(request, capacity=10_000):
            await trio.sleep_forever()

    with trio.fail_after(60):
        async with (
            kt.open_client(exchange.url, transport=exchange.connect) as client,
            trio.open_nursery() as nursery,
        ):
            exchange.lines[1].deaf = True
            for symbol in ("BTC/USD", "ETH/USD", "XRP/USD"):
                nursery.start_soon(hold, kt.Book(symbol))
                await trio.testing.wait_all_tasks_blocked()  # so each has a frame of its own; the first one is stuck
            exchange.inject(Drop())
            await client.wait_for(D)
            await client.wait_for(S)
            nursery.cancel_scope.cancel()
    subscribes = [request for request in exchange.core.requests if request.method == "subscribe"]
    assert [request.connection for request in subscribes] == [2]
    assert '"BTC/USD","ETH/USD","XRP/USD"' in str(subscribes[0].data)


async def test_when_the_next_attempt_is_due_is_told(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    def wall_ns() -> int:
        return 1_800_000_000 * 10**9 + round(trio.current_time() * 1e9)

    def seconds(moment: datetime) -> float:
        return moment.timestamp() - 1_800_000_000

    async with (
        open_at(exchange, wall_ns) as client,
        client.subscribe(kt.Lifecycle()) as feed,
    ):
        assert client.statistics().next_attempt is None
        exchange.inject(RefuseConnect(status=503, times=2))
        exchange.inject(Drop())
        due: list[float] = []
        async for event in feed:
            if not isinstance(event, kt.StateChange):
                continue
            if event.current is kt.ConnectionState.DISCONNECTED:
                assert event.retry_at is not None
                assert event.retry_at == client.statistics().next_attempt
                due.append(seconds(event.retry_at))
            else:
                assert event.retry_at is None
            if event.cause is kt.Cause.CONNECTED and due:
                break
        assert client.statistics().next_attempt is None
    assert due == pytest.approx(exchange.attempts[1:], abs=1e-5)
    assert len(due) == 3
