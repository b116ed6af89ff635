"""A recording that is served: any client gets what was recorded, or is told that something is missing."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.cli.serving import server as serving
from kraken_trio.cli.serving.desk import Begin, Cease, Desk, Say
from kraken_trio.cli.serving.server import Server
from kraken_trio.testing.exchange.memory import MemoryPeer, connect_in_memory
from tests.cli.recorder import HEARTBEAT, Recorder, ack
from tests.recording.test_importer import SECOND, START_NS, trade, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from trio.testing import MockClock

BOOK, TRADES = kt.Book("BTC/USD"), kt.Trades("BTC/USD", snapshot=True)


def recording(folder: Path, frames: Sequence[str], step_ns: int = 10**8) -> Path:
    kt.import_recording(written(folder / "file", frames, step_ns=step_ns), folder / "log")
    return folder / "log"


def market(updates: int, *, wrong: int | None = None) -> list[str]:
    """A book, and a trade after each of its updates. After a wrong checksum follows a snapshot."""
    book = Recorder()
    frames = [ack(), book.snapshot(), HEARTBEAT]
    for n in range(1, updates + 1):
        frames += [book.update(bids=[(f"{100 + n % 9 / 10:.1f}", f"{n}.00")], wrong=n == wrong), trade(n)]
        if n == wrong:
            frames += [book.update(), book.snapshot()]
    return frames


@asynccontextmanager
async def served(folder: Path, **options: Any) -> AsyncIterator[tuple[Server, Callable[..., Any]]]:
    async with kt.open_replay(folder, paused=True, **options) as client, open_hidden_nursery() as nursery:
        server = Server(client, nursery)
        nursery.start_soon(server.start_clock)
        yield server, partial(kt.open_client, "ws://exchange/v2", transport=partial(connect_in_memory, server))
        nursery.cancel_scope.cancel()


async def received(client: kt.Client, *requests: kt.Request[Any]) -> list[Any]:
    """All events up to the end of the recording: the connection is then closed."""
    events: list[Any] = []
    async with client.subscribe(*requests) as feed:
        async for event in feed:
            if isinstance(event, kt.Gap) and "1001" in event.detail:
                return events
            events.append(event)
    return events


def as_sent(events: Sequence[Any]) -> list[Any]:
    """Without what every client has of its own."""
    return [msgspec.structs.replace(e, epoch=0, received_ns=0) for e in events if not isinstance(e, kt.Gap)]


def recorded(folder: Path, *requests: kt.Request[Any], **times: Any) -> list[Any]:
    with kt.read_events(folder, *requests, **times) as reader:
        return as_sent(list(reader))


async def end_when_played(server: Server) -> None:
    await server.ended.wait()
    await server.say_goodbye()


@pytest.mark.parametrize("speed", [pytest.param(None, id="as fast as possible"), pytest.param(7.0, id="at a speed")])
async def test_our_client_gets_what_was_recorded(
    tmp_path: Path, autojump_clock: MockClock, speed: float | None
) -> None:
    folder = recording(tmp_path, market(3000))
    async with served(folder, speed=speed) as (server, open_client), open_client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_when_played, server)
            events = await received(client, BOOK, TRADES)
        sent = as_sent(events)
        assert [event for event in sent if event.channel == "book"] == recorded(folder, BOOK)
        assert [event for event in sent if event.channel == "trade"] == recorded(folder, TRADES)
        # Both together are in the order of the recording.
        assert [event.channel for event in sent] == ["book", *["book", "trade"] * 3000]
        assert client.statistics().checksums_verified == 3001


async def test_all_channels(tmp_path: Path, autojump_clock: MockClock) -> None:
    ticker = (
        '{"channel":"ticker","type":"snapshot","data":[{"symbol":"BTC/USD","bid":0.10,"bid_qty":0.00000010,"ask":0.20,'
        '"ask_qty":1.0,"last":0.1,"volume":1.0,"vwap":1.0,"low":1.0,"high":1.0,"change":0.0,"change_pct":0.01}]}'
    )
    candle = (
        '{"channel":"ohlc","type":"snapshot","timestamp":"2026-08-02T04:23:42.0Z","data":[{"symbol":"BTC/USD",'
        '"open":1.0,"high":1.0,"low":1.0,"close":1.0,"trades":1,"volume":1.0,"vwap":1.0,'
        '"interval_begin":"2026-08-02T04:20:00.0Z","interval":15,"timestamp":"2026-08-02T04:35:00.0Z"}]}'
    )
    pair = '{"symbol":"BTC/USD","base":"BTC","quote":"USD","status":"online","qty_precision":8,"price_precision":1}'
    asset = '{"id":"USD","status":"enabled","precision":4,"precision_display":2,"margin_rate":0.025000}'
    pairs = f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[{asset}],"pairs":[{pair}]}}}}'
    frames = [ticker, candle, pairs, ticker.replace("snapshot", "update"), candle.replace("snapshot", "update")]
    folder = recording(tmp_path, frames)
    wanted = (kt.Ticker("BTC/USD"), kt.Candles("BTC/USD", 15), kt.Instruments())
    async with served(folder) as (server, open_client), open_client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_when_played, server)
            events = await received(client, *wanted)
    assert as_sent(events) == recorded(folder, *wanted)
    assert len(events) == 5


async def test_a_gap_makes_clients_connect_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(200, wrong=100))
    async with served(folder) as (server, open_client), open_client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_when_played, server)
            events = await received(client, BOOK, TRADES)
        gaps = [event for event in events if isinstance(event, kt.Gap)]
        assert {gap.cause for gap in gaps} == {kt.Cause.DISCONNECTED}
        assert all("1012" in gap.detail and "the recording has a gap here: checksum" in gap.detail for gap in gaps)
        assert client.statistics().connects == 2
        assert client.statistics().checksum_failures == 0
        books = [event for event in as_sent(events) if event.channel == "book"]
        assert books == recorded(folder, BOOK)
        # Nothing was played while nobody was there: no trade is missing.
        assert [event.trade_id for event in events if isinstance(event, kt.Trade)] == list(range(1, 201))


async def test_missing_trades_are_seen_by_the_client_itself(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, [trade(1), trade(2), trade(9)])
    async with served(folder) as (server, open_client), open_client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_when_played, server)
            events = await received(client, TRADES)
    assert [getattr(event, "missed", None) for event in events] == [None, None, 6, None]


async def test_who_comes_later_gets_the_present_state(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(100), step_ns=SECOND)
    async with served(folder, speed=1.0) as (server, open_client), open_client() as first, open_client() as second:
        async with first.subscribe(BOOK), trio.open_nursery() as nursery:
            await trio.sleep(100.6)
            nursery.start_soon(end_when_played, server)
            events = await received(second, BOOK)
    snapshot, *updates = as_sent(events)
    assert isinstance(snapshot, kt.BookSnapshot)
    everything = recorded(folder, BOOK)
    assert updates == everything[-len(updates) :]
    book = kt.OrderBook(10)
    for event in everything[: -len(updates)]:
        book.apply(event)
    assert (snapshot.bids, snapshot.asks, snapshot.checksum) == (book.bids, book.asks, book.checksum())
    assert 40 < len(updates) < 60


async def test_it_can_begin_in_the_middle(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(100), step_ns=SECOND)
    start_ns = START_NS + 120 * SECOND
    async with served(folder, start=start_ns) as (server, open_client), open_client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_when_played, server)
            events = await received(client, BOOK)
    assert as_sent(events) == recorded(folder, BOOK, start=start_ns)


async def test_heartbeats_come_each_real_second(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, [ack(), Recorder().snapshot(), *[HEARTBEAT] * 500], step_ns=SECOND)
    async with served(folder, speed=10.0) as (_, open_client), open_client() as client:
        await trio.sleep(3.5)
        assert client.statistics().heartbeats == 0  # nothing is subscribed
        async with client.subscribe(BOOK):
            await trio.sleep(20.0)
            assert client.statistics().heartbeats == 20
            assert client.statistics().connects == 1


async def test_the_clock_stands_while_nobody_listens(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(100), step_ns=SECOND)
    async with served(folder, speed=1.0) as (server, open_client), open_client() as client:
        await trio.sleep(50)
        assert server.now_ns == 0
        for end in (10, 20):
            async with client.subscribe(BOOK):
                await trio.sleep(10.3)
            await trio.sleep(100)
            assert (server.now_ns - START_NS) // SECOND == end
        assert not server.ended.is_set()


async def test_what_was_not_recorded_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(3))
    async with served(folder) as (_, open_client), open_client() as client:
        for request, words in [
            (kt.Book("ETH/USD"), "Currency pair not supported ETH/USD"),
            (kt.Ticker("BTC/USD"), "Currency pair not supported BTC/USD"),
            (kt.Book("BTC/USD", 25), "Subscription depth not supported"),
            (kt.Instruments(), "Subscription name invalid"),
        ]:
            with pytest.raises(kt.SubscriptionRejected, match=words):
                async with client.subscribe(request):
                    pass


async def test_a_client_that_is_too_slow(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MAX_QUEUE_FRAMES", 20)
    folder = recording(tmp_path, market(100))
    async with served(folder, speed=1000.0) as (server, _):
        peer = MemoryPeer()
        number = server.connected(peer, protocol="v2")
        server.received(number, ask("subscribe", channel="book", symbol=["BTC/USD"]))
        await trio.sleep(5)
        assert peer.lost is not None
        assert peer.lost.code == 1012
        assert "it does not take its frames" in str(peer.lost)
        server.disconnected(number)
    async with served(folder) as (server, _):  # as fast as possible: the replay waits
        monkeypatch.setattr(serving, "QUEUE_FRAMES", 20)
        peer = MemoryPeer()
        number = server.connected(peer, protocol="v2")
        server.received(number, ask("subscribe", channel="book", symbol=["BTC/USD"]))
        server.received(number, ask("subscribe", channel="trade", symbol=["BTC/USD"]))
        frames: list[Any] = []
        while not server.ended.is_set():
            await trio.sleep(1.5)
            assert len(peer.frames) <= 30  # and heartbeats
            frames += peer.frames
            peer.frames.clear()
            server.written()
        assert sum(b'"book"' in frame.encode() for frame in frames) == 101 + 1  # and an answer
        await trio.sleep(0.5)
        server.disconnected(number)


async def test_leaving_while_the_replay_waits(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "QUEUE_FRAMES", 20)
    folder = recording(tmp_path, market(100))
    async with served(folder) as (server, open_client), open_client() as client:
        peer = MemoryPeer()
        number = server.connected(peer, protocol="v2")
        server.received(number, ask("subscribe", channel="book", symbol=["BTC/USD"]))
        async with client.subscribe(BOOK) as feed:
            await trio.sleep(5)
            assert feed.statistics().buffered < 50
            server.disconnected(number)
            await server.ended.wait()


# The dialogue


def ask(method: str, req_id: int | None = 7, **params: Any) -> str:
    message: dict[str, Any] = {"method": method}
    if params:
        message["params"] = params
    if req_id is not None:
        message["req_id"] = req_id
    return json.dumps(message)


def said(orders: Sequence[object]) -> list[dict[str, Any]]:
    return [json.loads(order.text) for order in orders if isinstance(order, Say)]


@pytest.fixture
def desk() -> Desk:
    desk = Desk([BOOK, kt.Book("BTC/USD", 25), kt.Trades("BTC/USD"), kt.Ticker("ETH/USD"), kt.Instruments()])
    first = json.loads(desk.connect(1, "online"))
    assert first["channel"] == "status"
    assert first["data"][0]["system"] == "online"
    return desk


def test_one_answer_for_each_symbol_then_the_data(desk: Desk) -> None:
    assert not desk.has_subscriptions(1)
    orders = desk.receive(1, ask("subscribe", channel="book", symbol=["BTC/USD", "NO/PE", "BTC/USD"]), START_NS)
    assert [(a["success"], a.get("error"), a.get("symbol")) for a in said(orders)] == [
        (True, None, None),
        (False, "Currency pair not supported NO/PE", "NO/PE"),
        (False, "Already subscribed", "BTC/USD"),
    ]
    assert all(answer["req_id"] == 7 for answer in said(orders))
    assert orders[-1] == Begin(("book", "BTC/USD"), BOOK, True)
    assert desk.has_subscriptions(1)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param("nonsense", "Malformed request", id="no json"),
        pytest.param(b"\x00", "Malformed request", id="binary"),
        pytest.param(ask("subscribe", channel="level3", symbol=["BTC/USD"]), "Subscription name invalid", id="private"),
        pytest.param(ask("subscribe", channel="book", symbol=["BTC/USD"], depth=11), "Subscription depth", id="depth"),
        pytest.param(ask("subscribe", channel="book", symbol=["BTC/USD"], depth=100), "Subscription depth", id="other"),
        pytest.param(ask("subscribe", channel="book", symbol=[1]), "Currency pair not in ISO 4217-A3", id="a number"),
        pytest.param(
            ask("subscribe", channel="ohlc", symbol=["BTC/USD"]), "Currency pair not supported", id="a channel"
        ),
        pytest.param(
            ask("subscribe", channel="instrument", include_tokenized_assets=True), "Malformed request", id="a variant"
        ),
        pytest.param(ask("unsubscribe", channel="book", symbol=["BTC/USD"]), "Subscription Not Found", id="nothing"),
        pytest.param(ask("unsubscribe", channel="book", symbol=[2]), "Subscription Not Found", id="nobody"),
    ],
)
def test_refusals(desk: Desk, message: str | bytes, error: str) -> None:
    (answer,) = said(desk.receive(1, message, START_NS))
    assert answer["success"] is False
    assert answer["error"].startswith(error)
    assert not desk.has_subscriptions(1)


def test_one_depth_at_a_time(desk: Desk) -> None:
    desk.receive(1, ask("subscribe", channel="book", symbol=["BTC/USD"]), START_NS)
    (answer,) = said(desk.receive(1, ask("subscribe", channel="book", symbol=["BTC/USD"], depth=25), START_NS))
    assert answer["error"] == "Already subscribed"
    (answer,) = said(desk.receive(1, ask("unsubscribe", channel="book", symbol=["BTC/USD"], depth=25), START_NS))
    assert (answer["error"], answer["method"]) == ("Subscription Not Found", "subscribe")
    ceased, answered = desk.receive(1, ask("unsubscribe", channel="book", symbol=["BTC/USD"]), START_NS)
    assert ceased == Cease(("book", "BTC/USD"))
    assert said([answered])[0]["success"] is True
    (*_, begun) = desk.receive(1, ask("subscribe", channel="book", symbol=["BTC/USD"], depth=25), START_NS)
    assert begun == Begin(("book", "BTC/USD"), kt.Book("BTC/USD", 25), True)


def test_other_channels(desk: Desk) -> None:
    *_, trades = desk.receive(1, ask("subscribe", channel="trade", symbol=["BTC/USD"]), START_NS)
    assert trades == Begin(("trade", "BTC/USD"), TRADES, False)  # as at Kraken, without history by default
    *_, ticker = desk.receive(1, ask("subscribe", channel="ticker", symbol=["ETH/USD"]), START_NS)
    assert ticker == Begin(("ticker", "ETH/USD"), kt.Ticker("ETH/USD"), True)
    *_, pairs = desk.receive(1, ask("subscribe", channel="instrument"), START_NS)
    assert pairs == Begin(("instrument", None), kt.Instruments(), True)


def test_ping(desk: Desk) -> None:
    (answer,) = said(desk.receive(1, ask("ping", req_id=3), START_NS))
    assert (answer["method"], answer["req_id"]) == ("pong", 3)


def test_connections_are_apart_and_end(desk: Desk) -> None:
    desk.connect(2, "online")
    desk.receive(1, ask("subscribe", channel="book", symbol=["BTC/USD"]), START_NS)
    assert not desk.has_subscriptions(2)
    desk.disconnect(1)
    desk.disconnect(1)
    assert not desk.has_subscriptions(1)
    assert desk.receive(1, ask("subscribe", channel="book", symbol=["BTC/USD"]), START_NS) == []


@given(
    st.text() | st.binary() | st.builds(
        ask,
        st.sampled_from(("subscribe", "unsubscribe", "ping", "x")),
        channel=st.sampled_from(("book", "trade", "instrument", "x", 1, None)),
        symbol=st.lists(st.sampled_from(("BTC/USD", "x", None, 2.5, [])), max_size=3) | st.text(max_size=2),
        depth=st.sampled_from((10, 25, "10", None, True)),
        snapshot=st.sampled_from((True, False, None, 1)),
    )
)  # fmt: skip
def test_nothing_that_a_client_sends_is_raised(message: str | bytes) -> None:
    desk = Desk([BOOK, kt.Trades("BTC/USD"), kt.Instruments()])
    desk.connect(1, "online")
    orders = desk.receive(1, message, START_NS)
    assert len(said(orders)) >= 1
    again = desk.receive(1, message, START_NS)
    assert not any(isinstance(order, Begin) for order in again)


async def test_without_a_snapshot(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(5))
    async with served(folder) as (server, _):
        peer = MemoryPeer()
        number = server.connected(peer, protocol="v2")
        server.received(number, ask("subscribe", channel="book", symbol=["BTC/USD"], snapshot=False))
        await server.ended.wait()
        kinds = [json.loads(frame).get("type") for frame in peer.frames]
        assert kinds == ["update", None, *["update"] * 5]  # a status, an answer, and the book's
        server.disconnected(number)


async def test_unsubscribing(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(50), step_ns=SECOND)
    async with served(folder, speed=1.0) as (server, _):
        peer = MemoryPeer()
        number = server.connected(peer, protocol="v2")
        server.received(number, ask("subscribe", channel="book", symbol=["BTC/USD"]))
        server.received(number, ask("subscribe", channel="trade", symbol=["BTC/USD"]))
        await trio.sleep(20.4)
        server.received(number, ask("unsubscribe", channel="book", symbol=["BTC/USD"]))
        await trio.sleep(0.1)
        peer.frames.clear()
        await trio.sleep(20)
        assert {json.loads(frame)["channel"] for frame in peer.frames} == {"trade", "heartbeat"}
        server.disconnected(number)
        await trio.sleep(1)


async def test_a_client_of_the_older_protocol(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(5))
    async with served(folder) as (server, _):
        peer = MemoryPeer()
        number = server.connected(peer, protocol="v1")
        server.received(number, '{"event":"subscribe"}')
        await trio.sleep(1)
        assert [json.loads(frame)["event"] for frame in peer.frames] == ["systemStatus", "error"]
        server.disconnected(number)


async def test_trades_without_numbers_cannot_be_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A recording of v1 has them, and clients of v2 count them."""
    folder = recording(tmp_path, market(5))
    (trade,) = [event for event in kt.read_events(folder, kt.Trades("BTC/USD")) if isinstance(event, kt.Trade)][:1]
    async with served(folder) as (server, _):
        peer = MemoryPeer()
        connection = server.connections[server.connected(peer, protocol="v2")]
        connection.send([trade])
        assert peer.lost is None
        connection.send([msgspec.structs.replace(trade, trade_id=None)])
        assert "whose trades have no numbers" in str(peer.lost)


async def test_too_many_requests(tmp_path: Path, autojump_clock: MockClock) -> None:
    folder = recording(tmp_path, market(5))
    async with served(folder) as (server, _):
        peer = MemoryPeer()
        number = server.connected(peer, protocol="v2")
        for _ in range(1100):
            server.received(number, ask("ping"))
        assert peer.lost is not None
        assert "too many requests" in str(peer.lost)
        server.disconnected(number)
