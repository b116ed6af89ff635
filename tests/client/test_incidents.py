"""What has befallen other clients of Kraken, one by one, on virtual time: the whole client against the exchange's core.

Each test says in its first line which incident it is; tests/test_known_failures.py has the list of all.
"""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS, MarketSpec
from kraken_trio.testing.faults import (
    CorruptChecksum,
    CorruptLevel,
    DelayAcks,
    DelaySnapshots,
    Drop,
    DropConnect,
    DropHow,
    LateUpdates,
    Raw,
    Refuse,
    RefuseConnect,
    SetStatus,
    Shape,
    SkipUpdate,
)
from tests.opening import open_at

if TYPE_CHECKING:
    from trio.testing import MockClock

    from .conftest import InMemoryExchange


def asked(exchange: InMemoryExchange, method: str, *, after: int = 0) -> list[tuple[float, list[str]]]:
    """When the exchange was asked that, and for which symbols."""
    return [
        (request.time, json.loads(request.data)["params"].get("symbol", []))
        for request in exchange.core.requests[after:]
        if request.method == method
    ]


def top_of(exchange: InMemoryExchange, symbol: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    market = exchange.core.market.symbols[symbol]
    return market.book.bids.top(10), market.book.asks.top(10)


def scaled(exchange: InMemoryExchange, book: kt.OrderBook) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    spec = exchange.core.market.symbols[str(book.symbol)].spec

    def side(levels: tuple[kt.Level, ...]) -> list[tuple[int, int]]:
        return [
            (int(level.price.scaleb(spec.price_precision)), int(level.qty.scaleb(spec.qty_precision)))
            for level in levels
        ]

    return side(book.bids), side(book.asks)


async def receive_all(feed: kt.Feed) -> list[kt.Event]:
    """What is there, and comes without any time passing."""
    events: list[kt.Event] = []
    await trio.testing.wait_all_tasks_blocked()
    while feed.statistics().buffered:
        events += await feed.receive_many()
        await trio.testing.wait_all_tasks_blocked()
    return events


async def until(feed: kt.Feed, kind: type[kt.Event], symbol: str | None = None) -> list[kt.Event]:
    events: list[kt.Event] = []
    while not events or not isinstance(events[-1], kind) or symbol not in (None, getattr(events[-1], "symbol", None)):
        events.append(await feed.receive())
    return events


# Thin books and odd precisions


THIN: list[MarketSpec] = [
    attrs.evolve(DEFAULT_MARKETS[-1], symbol=f"{name}/EUR", levels=levels, price_precision=price, qty_precision=qty)
    for name, levels, price, qty in (
        ("LUNA", 2, 8, 8),
        ("GST", 5, 3, 8),
        ("FLOKI", 9, 8, 2),
        ("PEPE", 4, 9, 5),
        ("LUNC", 3, 8, 5),
        ("AUCTION", 7, 3, 8),
    )
]


async def test_books_of_fewer_than_ten_levels_and_of_any_precision(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """Fewer than ten levels, odd precisions: nobody assumes ten, and digits are those of the wire."""
    specs = [attrs.evolve(spec, start_price=f"{Decimal(50) / 10**spec.price_precision:f}") for spec in THIN]
    exchange.trade(specs, rate=60.0)
    requests = [kt.Book(spec.symbol) for spec in specs]
    sizes: set[int] = set()
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(*requests, capacity=100_000) as feed,
    ):
        for _ in range(60):
            await trio.sleep(1)
            for event in await receive_all(feed):
                assert isinstance(event, kt.BookSnapshot | kt.BookUpdate), event
                book = feed.book(event.symbol)
                sizes |= {len(book.bids), len(book.asks)}
        for request in requests:
            assert scaled(exchange, feed.book(request.symbol)) == top_of(exchange, request.symbol)
        statistics = client.statistics()
        assert statistics.checksum_failures == 0
        assert statistics.checksums_verified > 1_000
    assert min(sizes) < 5


async def test_an_illiquid_symbol_that_never_verifies_takes_nobody_down_and_is_not_asked_for_over_and_over(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """One bad pair tore down the shared connection; an illiquid one was resubscribed in a loop."""
    exchange.trade(rate=2.0)
    exchange.inject(CorruptChecksum(symbol="GST/EUR", snapshots=True, times=None))
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("GST/EUR"), capacity=100_000) as bad,
        client.subscribe(kt.Book("BTC/USD"), kt.Book("TRX/BTC"), capacity=100_000) as good,
    ):
        await trio.sleep(600)
        assert all(isinstance(event, kt.BookSnapshot | kt.BookUpdate) for event in await receive_all(good))
        assert {event.cause for event in await receive_all(bad) if isinstance(event, kt.Gap)} == {
            kt.Cause.CHECKSUM,
            kt.Cause.PARKED,
        }
        assert client.statistics().connects == 1
        assert sum("GST/EUR" in symbols for _, symbols in asked(exchange, "subscribe")) <= 6


# Storms


async def test_a_resubscribe_storm_is_one_resubscribe(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    """Resubscribe storm: hundreds of updates a second do not fit; one resubscribe is asked for, on the transition."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        before = len(exchange.core.requests)
        exchange.inject(DelayAcks(seconds=0.5))  # the exchange hears us half a second later
        exchange.inject(CorruptChecksum(symbol="BTC/USD", times=None))
        for _ in range(5):
            exchange.publish(100, "BTC/USD")
            await trio.sleep(0.05)
        exchange.core.clear_faults(trio.current_time())
        assert client.statistics().late >= 350
        await trio.sleep(10)
        events = await receive_all(feed)
        assert [type(event) for event in events if not isinstance(event, kt.BookUpdate)] == [kt.Gap, kt.BookSnapshot]
        assert len(asked(exchange, "unsubscribe", after=before)) == 1
        assert len(asked(exchange, "subscribe", after=before)) == 1
        assert client.statistics().rate_limited == 0
        assert client.state is kt.ConnectionState.SUBSCRIBED


async def test_a_storm_in_a_resync_that_takes_long_is_one_resubscribe(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """Resubscribe storm, and the old stream goes on for a while after the unsubscribe."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        before = len(exchange.core.requests)
        exchange.inject(LateUpdates(symbol="BTC/USD", updates=300))
        exchange.inject(DelaySnapshots(seconds=3.5, times=1))
        exchange.inject(SkipUpdate(symbol="BTC/USD"))
        exchange.publish(300, "BTC/USD")
        await trio.sleep(20)
        events = await receive_all(feed)
        assert sum(isinstance(event, kt.Gap) for event in events) == 1
        assert len(asked(exchange, "subscribe", after=before)) == 1
        assert client.statistics().resyncs == 1
        assert client.state is kt.ConnectionState.SUBSCRIBED


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("chance", [0.4, 1.0])
async def test_a_burst_of_subscribes_after_a_reconnect_is_confirmed_whole(
    autojump_clock: MockClock, exchange: InMemoryExchange, shape: Shape, chance: float
) -> None:
    """Burst of subscribes after a reconnect, partly refused with "Exceeded msg rate": all are confirmed in the end."""
    exchange.trade((attrs.evolve(DEFAULT_MARKETS[-1], symbol=f"A{n}/EUR") for n in range(25)), rate=2.0)
    requests = [kt.Book(f"A{n}/EUR") for n in range(25)]
    settings = kt.Settings(symbols_per_request=1)  # as bad as it can be
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(*requests, capacity=1_000_000) as feed,
    ):
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        before = len(exchange.core.requests)
        exchange.inject(Refuse(error="Exceeded msg rate", shape=shape, chance=chance, times=12))
        exchange.inject(Drop(how=DropHow.RESET))
        await client.wait_for(kt.ConnectionState.DISCONNECTED)
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        states = client.statistics().subscriptions
        assert all(states[request].state is kt.SubscriptionState.LIVE for request in requests)
        assert client.statistics().rate_limited >= 10
        assert client.statistics().connects == 2, "the connection stays"
        times = [at for at, _ in asked(exchange, "subscribe", after=before)]
        for first, last in itertools.combinations(range(len(times)), 2):  # paced, whatever happens
            allowed = settings.request_burst + settings.request_rate * (times[last] - times[first])
            assert last - first + 1 <= allowed + 1e-6
        events = await receive_all(feed)
        assert sum(isinstance(event, kt.Gap) for event in events) == 25
        assert {event.symbol for event in events if isinstance(event, kt.BookSnapshot) and event.epoch == 2} == {
            request.symbol for request in requests
        }


async def test_symbols_share_a_request(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    """Burst of subscribes after a reconnect: what shares a frame cannot exceed a rate."""
    exchange.trade((attrs.evolve(DEFAULT_MARKETS[-1], symbol=f"A{n}/EUR") for n in range(25)), rate=2.0)
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(*(kt.Book(f"A{n}/EUR") for n in range(25)), capacity=100_000),
    ):
        exchange.inject(Drop())
        await client.wait_for(kt.ConnectionState.DISCONNECTED)
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        assert [len(symbols) for _, symbols in asked(exchange, "subscribe")] == [25, 25]


# The engine


async def test_a_maintenance_from_its_announcement_to_its_end(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """Maintenance: status, close, refused connects, cancel_only, post_only, online; thin books at first."""
    seen: list[str | None] = []
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), kt.Book("GST/EUR"), capacity=100_000) as feed,
    ):

        async def system() -> str | None:
            await trio.sleep(2)
            return client.system_status

        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        seen.append(await system())
        exchange.inject(SetStatus(system="maintenance"))
        seen.append(await system())
        await receive_all(feed)
        exchange.inject(RefuseConnect(status=503, times=6))
        down = trio.current_time()
        tried = len(exchange.attempts)
        exchange.inject(Drop(how=DropHow.CLOSE_1001))
        exchange.inject(SetStatus(system="cancel_only"))
        exchange.core.pause()
        await client.wait_for(kt.ConnectionState.DISCONNECTED)
        for symbol in ("BTC/USD", "GST/EUR"):
            with pytest.raises(kt.BookUnavailable):
                await until(feed, kt.Gap, symbol)
                feed.book(symbol)
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        seen.append(await system())
        waits = [later - earlier for earlier, later in itertools.pairwise([down, *exchange.attempts[tried:]])]
        assert len(waits) == 7
        assert all(wait >= 5 for wait in waits), "not faster than every 5 seconds"
        exchange.inject(SetStatus(system="post_only"))
        seen.append(await system())
        exchange.inject(SetStatus(system="online"))
        exchange.core.resume(trio.current_time())
        seen.append(await system())
        for event in await receive_all(feed):
            assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
            assert event.epoch == 2
        for symbol in ("BTC/USD", "GST/EUR"):
            exchange.publish(1, symbol)
        await receive_all(feed)
        for symbol in ("BTC/USD", "GST/EUR"):
            assert scaled(exchange, feed.book(symbol)) == top_of(exchange, symbol)
        assert client.statistics().checksum_failures == 0
    assert seen == ["online", "maintenance", "cancel_only", "post_only", "online"]


async def test_an_invalid_session_is_not_asked_for_in_a_loop(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """Invalid session: looping on the refusal earned "Exceeded msg rate". It is asked once per connection."""
    exchange.trade(rate=1.0)
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        async with client.subscribe(kt.Book("BTC/USD"), kt.Book("ETH/USD"), capacity=100_000) as feed:
            await client.wait_for(kt.ConnectionState.SUBSCRIBED)
            exchange.inject(Refuse(error="ESession:Invalid session", symbol="BTC/USD", times=None))
            before = len(exchange.core.requests)
            exchange.inject(Drop())
            await trio.sleep(600)
            gaps = [event for event in await receive_all(feed) if isinstance(event, kt.Gap)]
            assert [(gap.symbol, gap.cause) for gap in gaps] == [
                ("BTC/USD", kt.Cause.DISCONNECTED),
                ("ETH/USD", kt.Cause.DISCONNECTED),
                ("BTC/USD", kt.Cause.REFUSED),
            ]
            assert "ESession:Invalid session" in gaps[-1].detail
            assert len(asked(exchange, "subscribe", after=before)) == 1
            assert feed.book("ETH/USD").available
        with pytest.raises(kt.SubscriptionRejected, match="ESession:Invalid session"):
            async with client.subscribe(kt.Book("BTC/USD")):
                pytest.fail("it is refused")


async def test_an_exchange_that_restarts_is_one_gap_however_long_it_takes(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """The exchange's process dies and comes back: everything is asked for again, and starts with a fresh book."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), kt.Ticker("ETH/USD"), capacity=100_000) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        exchange.trade(rate=50.0)  # another process, which knows nothing
        exchange.inject(DropConnect(times=4))
        for line in exchange.lines.values():
            line.peer.lose("the connection broke: reset")
        await client.wait_for(kt.ConnectionState.DISCONNECTED)
        began = trio.current_time()
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        assert 10 < trio.current_time() - began < 60
        await trio.sleep(5)
        events = await receive_all(feed)
        gaps = [event for event in events if isinstance(event, kt.Gap)]
        assert [(gap.symbol, gap.channel, gap.cause) for gap in gaps] == [
            ("BTC/USD", "book", kt.Cause.DISCONNECTED),
            ("ETH/USD", "ticker", kt.Cause.DISCONNECTED),
        ]
        exchange.core.pause()
        await receive_all(feed)
        assert scaled(exchange, feed.book("BTC/USD")) == top_of(exchange, "BTC/USD")


async def test_a_clock_on_the_wall_that_jumps_moves_nothing_but_what_it_stamps(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """A clock that is set back a year, or on by one, makes no peer silent and no wait longer."""
    year = 365 * 86_400 * 10**9
    wall = itertools.cycle([year * 50, year * 49, year * 51])
    async with (
        open_at(exchange, lambda: next(wall)) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        await trio.sleep(120)
        events = await receive_all(feed)
        assert len(events) > 100
        assert {type(event) for event in events} == {kt.BookSnapshot, kt.BookUpdate}
        assert {event.received_ns // year for event in events} == {49, 50, 51}
        statistics = client.statistics()
        assert (statistics.losses, statistics.gaps, statistics.resyncs) == (0, 0, 0)


# The hole


@pytest.mark.parametrize("seconds", [0.055, 0.2, 3.5])
async def test_in_the_hole_of_a_resync_the_book_cannot_be_read(
    autojump_clock: MockClock, exchange: InMemoryExchange, seconds: float
) -> None:
    """Resync hole: from the failed check to the new snapshot there is no book, and none is shown as live."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), kt.Book("ETH/USD"), capacity=100_000) as feed,
    ):
        await until(feed, kt.BookSnapshot, "BTC/USD")
        kept = feed.book("BTC/USD")
        exchange.inject(DelaySnapshots(seconds=seconds, times=None))
        exchange.inject(CorruptLevel(symbol="BTC/USD"))
        exchange.publish(20, "BTC/USD")
        await until(feed, kt.Gap, "BTC/USD")
        fell = trio.current_time()
        while True:
            assert client.state is kt.ConnectionState.RESYNCING or feed.statistics().buffered
            event = await feed.receive()
            if event.symbol == "BTC/USD":
                break
            assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
            assert feed.book("ETH/USD").available, "the others go on"
            for read in (lambda: feed.book("BTC/USD"), lambda: kept.best_bid, kept.checksum):
                with pytest.raises(kt.BookUnavailable):
                    read()
        assert isinstance(event, kt.BookSnapshot)
        assert trio.current_time() - fell >= seconds
        assert kept.best_bid is not None
        assert kept.bids == event.bids


@pytest.mark.parametrize("how", ["reconnect", "resubscribe"])
async def test_a_later_snapshot_looks_like_the_first_and_replaces_everything(
    autojump_clock: MockClock, exchange: InMemoryExchange, how: str
) -> None:
    """Nothing marks a snapshot after a reconnect or a resubscribe: whatever the book held before is discarded."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        before = feed.book("BTC/USD").snapshot()
        exchange.inject(Drop() if how == "reconnect" else CorruptChecksum(symbol="BTC/USD"))
        exchange.publish(2_000, "BTC/USD")  # of which we see nothing
        events = await until(feed, kt.BookSnapshot)
        assert sum(isinstance(event, kt.Gap) for event in events) == 1
        snapshot = events[-1]
        assert isinstance(snapshot, kt.BookSnapshot)
        book = feed.book("BTC/USD")
        assert (book.bids, book.asks) == (snapshot.bids, snapshot.asks)
        assert {level.price for level in before.bids} - {level.price for level in book.bids}, "or this proves nothing"
        exchange.core.pause()
        await receive_all(feed)
        assert scaled(exchange, book) == top_of(exchange, "BTC/USD")
        assert client.statistics().checksum_failures == (how == "resubscribe")


# Frames of another shape


async def test_frames_of_v1_are_not_misread(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    """v1 frames with both sides were misread: v1 is not spoken here, so such a frame makes no sense and says so."""
    frame: list[Any] = [
        1234,
        {"a": [["5541.30000", "2.50700000", "1534614248.456738"]]},
        {"b": [["5541.20000", "1.52900000", "1534614248.765567"]], "c": "974942666"},
        "book-10",
        "XBT/USD",
    ]
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        await until(feed, kt.BookSnapshot)
        exchange.inject(Raw(payload=json.dumps(frame)))
        gap = (await until(feed, kt.Gap))[-1]
        assert isinstance(gap, kt.Gap)
        assert gap.cause is kt.Cause.MALFORMED
        assert "'v1'" in gap.detail
        await until(feed, kt.BookUpdate)
        assert feed.book("BTC/USD").available
        assert client.statistics().malformed == 1


# Cancelling


async def test_cancelling_a_receive_loses_nothing(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    """A program that polls with a timeout gets every event, once, in order."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=1000) as polled,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as steady,
    ):
        got: list[kt.Event] = []
        cancelled = 0
        for turn in range(500):
            with trio.move_on_after(0.03) as scope:
                if turn % 2:
                    got.append(await polled.receive())
                else:
                    got += await polled.receive_many(3)
            cancelled += scope.cancelled_caught
        exchange.core.pause()
        got += await receive_all(polled)
        assert cancelled > 50
        assert got == await receive_all(steady)
        assert len(got) > 50
