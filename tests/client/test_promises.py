"""What a user may rely on, over a real loopback socket, against the fake exchange."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trio
import trustme

import kraken_trio as kt
from kraken_trio.testing import open_exchange
from kraken_trio.testing.faults import (
    CorruptChecksum,
    CorruptLevel,
    Drop,
    DropHow,
    Freeze,
    HangConnect,
    Raw,
    Refuse,
    RefuseConnect,
    SkipUpdate,
    StopHeartbeats,
)

if TYPE_CHECKING:
    from kraken_trio.testing import Exchange

QUICK = kt.Settings(quick_delay=0.01, attempt_delay=0.01)
PATIENCE = 30  # seconds in which anything here is done; only a hang takes so long


def side(levels: tuple[kt.Level, ...]) -> list[tuple[str, str]]:
    return [(format(level.price, "f"), format(level.qty, "f")) for level in levels]


def assert_equal_books(book: kt.OrderBook, exchange: Exchange, symbol: str) -> None:
    theirs = exchange.book(symbol, book.depth)
    assert side(book.bids) == list(theirs.bids)
    assert side(book.asks) == list(theirs.asks)
    assert book.checksum() == theirs.checksum()


async def receive_until_equal(feed: kt.Feed, exchange: Exchange, symbol: str) -> list[kt.Event]:
    """Receive until the local book is the exchange's, which does not move any more."""
    events: list[kt.Event] = []
    while True:
        try:
            book = feed.book(symbol)
        except kt.BookUnavailable:
            pass
        else:
            theirs = exchange.book(symbol, book.depth)
            if side(book.bids) == list(theirs.bids) and side(book.asks) == list(theirs.asks):
                return events
        events.append(await feed.receive())


async def test_the_ten_lines_of_the_readme() -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange(rate=500) as exchange, kt.open_client(exchange.url) as client:
            async with client.subscribe(kt.Book("BTC/USD", depth=25), kt.Trades("BTC/USD")) as feed:
                kinds: set[type] = set()
                async for event in feed:
                    kinds.add(type(event))
                    assert event.epoch == 1
                    assert event.received_ns > 0
                    match event:
                        case kt.BookSnapshot() | kt.BookUpdate():
                            book = feed.book("BTC/USD")
                            assert book.best_bid is not None
                            assert book.best_ask is not None
                            assert book.best_bid.price < book.best_ask.price
                        case kt.Trade(price=price, qty=qty):
                            assert price > 0
                            assert qty > 0
                        case _:
                            pytest.fail(f"not wanted: {event}")
                    if kinds >= {kt.BookSnapshot, kt.BookUpdate, kt.Trade}:
                        break
                assert client.state is kt.ConnectionState.SUBSCRIBED


async def test_twenty_thousand_updates_are_twenty_thousand_events_in_order() -> None:
    count = 20_000
    with trio.fail_after(4 * PATIENCE):
        async with open_exchange(rate=0, seed=3) as exchange, kt.open_client(exchange.url) as client:
            async with client.subscribe(kt.Book("BTC/USD", depth=100), capacity=64) as feed:
                assert isinstance(await feed.receive(), kt.BookSnapshot)
                journal = exchange.journal[0]
                while journal.sent_count <= count:
                    await exchange.publish(1000, "BTC/USD")
                frames = [frame.encode() for frame in list(journal.sent)[1:]]
                events: list[kt.Event] = []
                while len(events) < len(frames):
                    events += await feed.receive_many()
                assert len(events) >= count
                assert all(type(event) is kt.BookUpdate for event in events)
                for event, frame in zip(events, frames, strict=True):
                    assert isinstance(event, kt.BookUpdate)
                    assert b'"checksum":%d,' % (event.checksum or 0) in frame
                    assert event.timestamp is not None
                    assert event.timestamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode() in frame
                assert_equal_books(feed.book("BTC/USD"), exchange, "BTC/USD")
            statistics = client.statistics()
            assert statistics.checksums_verified == len(frames) + 1
            assert statistics.gaps == statistics.checksum_failures == statistics.late == 0


@pytest.mark.parametrize("name", ["ethusd", "xrpusd"])
@pytest.mark.parametrize("capacity", [1, 1024])
async def test_a_recording_arrives_whole_and_verified(captures, name: str, capacity: int) -> None:  # type: ignore[no-untyped-def]  # untyped fixtures
    from kraken_trio.testing.exchange.recording import Recording

    path = captures / f"v2_book25_{name}.cbcap"
    frames = [frame for frame in Recording.load(path).frames if frame.channel == "book"]
    symbol = frames[0].symbol
    assert symbol is not None
    with trio.fail_after(PATIENCE):
        async with open_exchange(recording=path) as exchange, kt.open_client(exchange.url) as client:
            async with client.subscribe(kt.Book(symbol, depth=25), capacity=capacity) as feed:
                events = [await feed.receive() for _ in frames]
                assert client.statistics().checksums_verified == len(frames) == {"ethusd": 1129, "xrpusd": 1147}[name]
                assert client.statistics().gaps == 0
    assert [type(event) for event in events] == [kt.BookSnapshot] + [kt.BookUpdate] * (len(frames) - 1)
    for event, frame in zip(events, frames, strict=True):
        assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
        assert f'"checksum":{event.checksum},' in frame.text
        for level in event.bids + event.asks:
            assert f'{{"price":{level.price:f},"qty":{level.qty:f}}}' in frame.text


@pytest.mark.parametrize("how", [how for how in DropHow if how is not DropHow.CLOSE_1008])
async def test_after_a_drop_comes_a_gap_then_a_snapshot(how: DropHow) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_exchange(rate=300) as exchange,
            kt.open_client(exchange.url, settings=QUICK) as client,
            client.subscribe(kt.Book("BTC/USD"), kt.Book("ETH/USD", depth=100)) as feed,
        ):
            for symbol in ("BTC/USD", "ETH/USD"):
                while True:
                    event = await feed.receive()
                    if isinstance(event, kt.BookSnapshot) and event.symbol == symbol:
                        break
            exchange.inject(Drop(how=how))
            gaps: dict[str | None, kt.Gap] = {}
            snapshots: dict[str, kt.BookSnapshot] = {}
            while len(snapshots) < 2:
                event = await feed.receive()
                match event:
                    case kt.Gap():
                        assert event.cause is kt.Cause.DISCONNECTED
                        assert event.epoch == 1
                        assert event.symbol not in gaps
                        gaps[event.symbol] = event
                        with pytest.raises(kt.BookUnavailable):
                            feed.book(str(event.symbol))
                    case kt.BookSnapshot(symbol=fresh) if gaps:
                        assert event.epoch == 2
                        assert fresh in gaps
                        snapshots[fresh] = event
                        assert feed.book(fresh).bids == event.bids
                    case kt.BookUpdate(symbol=updated):
                        assert updated not in gaps or updated in snapshots
                    case _:
                        assert isinstance(event, kt.BookSnapshot)
                        assert not gaps
            exchange.pause()
            for symbol in ("BTC/USD", "ETH/USD"):
                await receive_until_equal(feed, exchange, symbol)
            assert client.state is kt.ConnectionState.SUBSCRIBED


@pytest.mark.parametrize("fault", [SkipUpdate, CorruptLevel, CorruptChecksum])
async def test_a_damaged_update_is_a_gap_and_a_fresh_book_and_nobody_else_notices(
    fault: type[SkipUpdate | CorruptLevel | CorruptChecksum],
) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_exchange(rate=400, snapshot_delay=0.05) as exchange,
            kt.open_client(exchange.url, settings=QUICK) as client,
            client.subscribe(kt.Book("BTC/USD"), kt.Book("ETH/USD"), kt.Lifecycle()) as feed,
        ):
            while len({e.symbol for e in [await feed.receive()] if isinstance(e, kt.BookUpdate)}) < 1:
                pass
            exchange.inject(fault(symbol="BTC/USD"))
            others = 0
            gap: kt.Gap | None = None
            causes: list[kt.Cause] = []
            while True:
                event = await feed.receive()
                match event:
                    case kt.StateChange(cause=cause):
                        causes.append(cause)
                    case kt.Gap():
                        assert event.symbol == "BTC/USD"
                        assert event.cause is kt.Cause.CHECKSUM
                        assert gap is None
                        gap = event
                        evidence = event.evidence
                        assert evidence is not None
                        assert evidence.expected != evidence.computed
                        assert evidence.hashed.isdigit()
                        assert evidence.symbol == "BTC/USD"
                    case kt.BookUpdate(symbol="ETH/USD") if gap:
                        others += 1
                        with pytest.raises(kt.BookUnavailable):
                            feed.book("BTC/USD")
                        assert feed.book("ETH/USD").best_bid
                    case kt.BookSnapshot() if gap:
                        assert event.symbol == "BTC/USD"
                        break
                    case kt.BookUpdate(symbol="BTC/USD"):
                        assert gap is None
                    case _:
                        assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
            assert others > 0
            assert kt.Cause.CHECKSUM in causes
            exchange.pause()
            await receive_until_equal(feed, exchange, "BTC/USD")
            await receive_until_equal(feed, exchange, "ETH/USD")
            assert client.statistics().last_mismatch is not None
            assert client.statistics().resyncs == 1
            assert client.statistics().connects == 1


async def test_a_second_feed_shares_the_wire_and_starts_with_the_local_book() -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange(rate=0) as exchange, kt.open_client(exchange.url) as client:
            async with client.subscribe(kt.Book("BTC/USD")) as one:
                await one.receive()
                await exchange.publish(200, "BTC/USD")
                await receive_until_equal(one, exchange, "BTC/USD")
                asked = len(exchange.requests)
                async with client.subscribe(kt.Book("XBT/USD")) as two:
                    snapshot = await two.receive()
                    assert isinstance(snapshot, kt.BookSnapshot)
                    assert_equal_books(two.book("BTC/USD"), exchange, "BTC/USD")
                    assert len(exchange.requests) == asked
                    await exchange.publish(200, "BTC/USD")
                    assert await receive_until_equal(one, exchange, "BTC/USD")
                    assert await receive_until_equal(two, exchange, "BTC/USD")
                await exchange.publish(50, "BTC/USD")
                await receive_until_equal(one, exchange, "BTC/USD")
                assert len(exchange.requests) == asked  # the first still wants it
            await exchange.wait_until(lambda e: not any(e.subscriptions.values()))
            assert client.state is kt.ConnectionState.SUBSCRIBED


async def test_every_channel() -> None:
    requests = (
        kt.Book("SHIB/USD", depth=10),
        kt.Trades("BTC/USD", snapshot=True),
        kt.Ticker("ETH/USD", trigger="bbo"),
        kt.Candles("BTC/USD", interval=5),
        kt.Instruments(),
        kt.Lifecycle(),
    )
    data = {kt.BookSnapshot, kt.BookUpdate, kt.Trade, kt.TickerUpdate, kt.Candle, kt.InstrumentUpdate}
    wanted = data | {kt.StateChange, kt.StatusUpdate}
    with trio.fail_after(PATIENCE):
        async with (
            open_exchange(rate=1000) as exchange,
            kt.open_client(exchange.url) as client,
            client.subscribe(*requests) as feed,
        ):
            seen: set[type] = set()
            while seen != wanted:
                event = await feed.receive()
                assert not isinstance(event, kt.Gap)
                seen.add(type(event))
            statistics = client.statistics()
            assert not statistics.unknown
            assert set(statistics.subscriptions) == set(requests[:-1])


# Refusals


async def test_an_unknown_symbol_is_refused_and_the_others_are_not_subscribed() -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
            with pytest.raises(kt.SubscriptionRejected, match="Currency pair not supported NOPE/USD") as caught:
                async with client.subscribe(kt.Book("BTC/USD"), kt.Book("NOPE/USD")):
                    pytest.fail("it is refused")
            assert set(caught.value.reasons) == {kt.Book("NOPE/USD")}
            await exchange.wait_until(lambda e: not any(e.subscriptions.values()))
            async with client.subscribe(kt.Book("BTC/USD")) as feed:
                assert isinstance(await feed.receive(), kt.BookSnapshot)


async def test_a_second_depth_is_refused_by_the_client() -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
            async with client.subscribe(kt.Book("BTC/USD", depth=25)):
                asked = len(exchange.requests)
                with pytest.raises(kt.SubscriptionRejected, match="depth=25"):
                    async with client.subscribe(kt.Book("BTC/USD", depth=100)):
                        pytest.fail("it is refused")
                assert len(exchange.requests) == asked
            async with client.subscribe(kt.Book("BTC/USD", depth=100)) as feed:
                assert isinstance(await feed.receive(), kt.BookSnapshot)


async def test_a_wrong_depth_is_a_value_error_that_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match="10, 25, 100, 500, 1000"):
        kt.Book("BTC/USD", depth=20)  # type: ignore[arg-type]  # that is what is tested


async def test_a_rate_limited_subscribe_is_retried() -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_exchange(faults=[Refuse(error="Exceeded msg rate", symbol="ETH/USD")]) as exchange,
            kt.open_client(exchange.url) as client,
            client.subscribe(kt.Book("BTC/USD"), kt.Book("ETH/USD")) as feed,
        ):
            while not (isinstance(event := await feed.receive(), kt.BookSnapshot) and event.symbol == "ETH/USD"):
                pass
            assert client.statistics().rate_limited == 1


# Connecting


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ws://127.0.0.1:1/v2", "127.0.0.1:1"),
        ("http://ws.kraken.com/v2", "ws"),
        ("ws.kraken.com/v2", "ws"),
        ("wss://", "host"),
        ("ws://no-such-host.invalid/v2", "no-such-host.invalid"),
    ],
)
async def test_a_wrong_url(url: str, says: str) -> None:
    with trio.fail_after(PATIENCE), pytest.raises(kt.ConnectError, match=says):
        async with kt.open_client(url):
            pytest.fail("there is nobody")


async def test_an_exchange_that_says_429() -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange(faults=[RefuseConnect(status=429, retry_after=7)]) as exchange:
            with pytest.raises(kt.ConnectError, match="429") as caught:
                async with kt.open_client(exchange.url):
                    pytest.fail("it is refused")
            assert caught.value.status == 429
            assert caught.value.retry_after == 7


async def test_an_exchange_that_never_answers() -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange(faults=[HangConnect()]) as exchange:
            with pytest.raises(kt.ConnectError, match=r"0\.2 s"):
                async with kt.open_client(exchange.url, settings=kt.Settings(connect_timeout=0.2)):
                    pytest.fail("there is no answer")


async def test_certificates() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    with trio.fail_after(PATIENCE):
        async with open_exchange(ssl_context=server) as exchange:
            with pytest.raises(kt.ConnectError, match=r"(?i)certificate"):
                async with kt.open_client(exchange.url):
                    pytest.fail("nobody trusts it")
            trusting = ssl.create_default_context()
            authority.configure_trust(trusting)
            async with (
                kt.open_client(exchange.url, ssl_context=trusting) as client,
                client.subscribe(kt.Book("BTC/USD")) as feed,
            ):
                assert isinstance(await feed.receive(), kt.BookSnapshot)


# Leaving


@pytest.mark.parametrize(
    "fault",
    [Freeze(), StopHeartbeats(), Drop(how=DropHow.RESET), Drop(how=DropHow.TORN), Raw(payload="{" * 100)],
    ids=["freeze", "no heartbeats", "reset", "torn", "raw"],
)
async def test_leaving_ends_whatever_the_peer_does(fault: Freeze | StopHeartbeats | Drop | Raw) -> None:
    settings = kt.Settings(close_timeout=0.3)
    with trio.fail_after(PATIENCE):
        async with open_exchange(rate=1000) as exchange:
            async with kt.open_client(exchange.url, settings=settings) as client:
                async with client.subscribe(kt.Book("BTC/USD"), capacity=1) as feed:
                    await feed.receive()
                    exchange.inject(fault)
                    await trio.lowlevel.checkpoint()
                leaving = trio.current_time()
            assert trio.current_time() - leaving < settings.close_timeout + 1


async def test_a_malformed_frame_hurts_only_itself() -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_exchange(rate=0) as exchange,
            kt.open_client(exchange.url) as client,
            client.subscribe(kt.Book("BTC/USD"), kt.Book("ETH/USD")) as feed,
        ):
            await receive_until_equal(feed, exchange, "BTC/USD")
            await receive_until_equal(feed, exchange, "ETH/USD")
            exchange.inject(Raw(payload='{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{'))
            exchange.inject(Raw(payload="\x1b[2J not json"))
            await exchange.publish(100)
            events: list[kt.Event] = []
            while sum(isinstance(event, kt.Gap) for event in events) < 2 or not any(
                isinstance(event, kt.BookSnapshot) for event in events
            ):
                events.append(await feed.receive())
            gaps = [event for event in events if isinstance(event, kt.Gap)]
            assert [(gap.symbol, gap.cause) for gap in gaps] == [
                ("BTC/USD", kt.Cause.MALFORMED),
                (None, kt.Cause.MALFORMED),
            ]
            assert all(gap.detail.isprintable() for gap in gaps)
            await receive_until_equal(feed, exchange, "BTC/USD")
            await receive_until_equal(feed, exchange, "ETH/USD")
            assert client.statistics().connects == 1
