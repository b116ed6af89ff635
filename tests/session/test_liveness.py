"""A heartbeat proves the connection; whether a subscription lives is judged by what it does."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from kraken_trio.channels import CHANNELS
from kraken_trio.events import Cause, ConnectionState, Gap
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from kraken_trio.session.staleness import StalenessMonitor
from kraken_trio.session.steps import Step
from kraken_trio.session.subscription import Subscription
from kraken_trio.settings import Settings
from kraken_trio.statistics import Counters, SubscriptionState
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Data
from tests.session.driver import (
    BTC,
    ETH,
    HEARTBEAT,
    SOL,
    Client,
    Market,
    ack,
    acks,
    asset,
    candle,
    data,
    instruments,
    pong,
    ticker,
    trades,
    words,
)

BEAT = 1.0
"""Seconds between the heartbeats of a connection that lives."""


def causes(client: Client, feed: object = "feed") -> list[Cause]:
    return [event.cause for event in client.events(feed) if isinstance(event, Gap)]


# Confirmed, and the first data never comes


FIRST: list[tuple[Request, str]] = [
    (Book(BTC), Market().snapshot()),
    (Ticker(BTC), ticker(1, kind="snapshot")),
    (Candles(BTC), candle(1, kind="snapshot")),
    (Instruments(), instruments([asset("BTC")], kind="snapshot")),
]


@pytest.mark.parametrize(("request_", "first"), FIRST, ids=[str(request) for request, _ in FIRST])
def test_what_is_confirmed_and_then_silent_is_subscribed_anew(request_: Request, first: str) -> None:
    client = Client()
    client.follow("feed", request_)
    client.advance(9.9, heartbeat=BEAT)
    assert client.requests() == []
    client.advance(0.2, heartbeat=BEAT)
    assert client.state() is ConnectionState.RESYNCING
    (gap,) = client.events("feed")
    assert isinstance(gap, Gap)
    assert (gap.cause, gap.channel, gap.symbol) == (Cause.RESUBSCRIBED, request_.channel, request_.symbol)
    assert "first data" in gap.detail
    assert client.count("resyncs") == 1
    assert [asked["method"] for asked in client.accept()] == ["unsubscribe"]
    assert [asked["method"] for asked in client.accept()] == ["subscribe"]
    client.receive(first)
    assert client.state() is ConnectionState.SUBSCRIBED
    assert len(client.events("feed")) == 1
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []


def test_that_it_must_be_made_anew_is_why_the_state_changes() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.advance(11, heartbeat=BEAT)
    change = client.changes[-1]
    assert (change.current, change.cause, change.detail) == (ConnectionState.RESYNCING, Cause.RESUBSCRIBED, BTC)


def test_a_book_that_stays_silent_is_parked_with_one_gap_more_and_tried_again_after_a_rest() -> None:
    client, market = Client(), Market()
    client.follow("feed", Book(BTC))
    client.follow("other", Ticker(ETH))
    client.receive(ticker(1, ETH))
    asked: list[str] = []
    for _ in range(100):
        if not client.count("parked"):
            client.advance(1, heartbeat=BEAT)
            asked += words(client.accept())
    assert client.count("parked") == 1
    assert causes(client) == [Cause.RESUBSCRIBED, Cause.PARKED]
    assert asked.count("subscribe book BTC/USD") == client.settings.attempts
    assert client.states[Book(BTC)] is SubscriptionState.PARKED
    client.advance(1, heartbeat=BEAT)
    client.accept()
    client.advance(client.settings.park_time - 5, heartbeat=BEAT)
    assert client.requests() == []
    client.advance(5, heartbeat=BEAT)
    assert words(client.accept()) == ["subscribe book BTC/USD"]
    client.receive(market.snapshot())
    assert client.states[Book(BTC)] is SubscriptionState.LIVE
    assert client.kinds("other") == ["TickerUpdate"]


QUIET: list[tuple[Request, str]] = [
    (Ticker(BTC), ticker(1)),
    (Candles(BTC), candle(1)),
    (Instruments(), instruments([asset("BTC")], kind="snapshot")),
]


@pytest.mark.parametrize(("request_", "first"), QUIET, ids=[str(request) for request, _ in QUIET])
def test_anything_else_that_stays_silent_is_renewed_once_and_then_stays(request_: Request, first: str) -> None:
    """The candles of a pair that hardly trades: nothing would be gained by leaving them."""
    client = Client()
    client.follow("feed", request_)
    asked: list[str] = []
    for _ in range(300):
        client.advance(1, heartbeat=BEAT)
        asked += [one["method"] for one in client.accept()]
    assert asked == ["unsubscribe", "subscribe"]
    assert client.drops == []
    gaps = [event for event in client.events("feed") if isinstance(event, Gap)]
    assert [gap.cause for gap in gaps] == [Cause.RESUBSCRIBED, Cause.RESUBSCRIBED]
    assert "stays subscribed" in gaps[1].detail
    assert client.count("parked") == 0
    assert client.state() is ConnectionState.SUBSCRIBED
    assert client.states[request_] is SubscriptionState.CONFIRMED
    client.receive(first)
    assert len(client.events("feed")) == 1
    assert client.states[request_] is SubscriptionState.LIVE


def test_a_gap_is_told_once_however_often_it_is_tried() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    client.events("feed")
    client.lose()
    client.reconnect()
    for _ in range(60):
        client.advance(1, heartbeat=BEAT)
        client.accept()
    assert causes(client) == [Cause.DISCONNECTED]


def test_while_we_do_not_listen_nothing_is_missed() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.hold()
    client.advance(100)
    client.resume()
    client.advance(9, heartbeat=BEAT)
    assert client.requests() == []


def test_trades_of_a_symbol_that_never_had_any_are_not_waited_for() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.advance(3600, heartbeat=BEAT)
    client.lose()
    client.reconnect()
    client.accept()
    client.advance(3600, heartbeat=BEAT)
    assert client.requests() == []
    assert causes(client) == [Cause.DISCONNECTED]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_trades_of_a_symbol_that_had_some_are_waited_for() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades(1))
    client.lose()
    client.reconnect()
    client.accept()
    client.advance(11, heartbeat=BEAT)
    assert words(client.accept()) == ["unsubscribe trade BTC/USD"]
    client.accept()
    client.receive(trades(1, 2, history=True))
    assert client.kinds("feed") == ["Trade", "Gap disconnected", "Trade"]


# There is nothing yet: that is an answer, too


def empty(channel: str) -> str:
    return data(channel, "snapshot", [])


def test_an_empty_snapshot_is_waited_for_no_longer() -> None:
    client = Client()
    client.follow("feed", Candles(BTC))
    client.receive(empty("ohlc"))
    assert client.states[Candles(BTC)] is SubscriptionState.LIVE
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []
    assert client.events("feed") == []
    client.receive(candle(1))
    assert client.kinds("feed") == ["Candle"]


def test_an_empty_snapshot_of_trades_after_an_outage() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades(7))
    client.lose()
    client.reconnect()
    client.accept()
    client.receive(empty("trade"))
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []
    client.receive(trades(1))  # the exchange lost its memory
    assert client.kinds("feed") == ["Trade", "Gap disconnected", "Gap missed", "Trade"]


def test_an_empty_snapshot_that_was_taken_for_another_ones_sets_itself_right() -> None:
    client = Client()
    client.follow("feed", Candles(BTC), Candles(ETH), Candles(SOL))
    client.receive(empty("ohlc"))  # it was that of ETH
    client.receive(candle(1), candle(1, symbol=SOL))
    client.advance(11, heartbeat=BEAT)
    assert words(client.accept()) == ["unsubscribe ohlc ETH/USD"]
    assert words(client.accept()) == ["subscribe ohlc ETH/USD"]
    client.receive(empty("ohlc"))
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []
    assert client.kinds("feed") == ["Candle", "Candle", "Gap resubscribed"]


@pytest.mark.parametrize("channel", ["book", "ticker", "trade", "ohlc", "status"])
def test_an_empty_snapshot_that_nobody_waits_for_changes_nothing(channel: str) -> None:
    client = Client()
    client.follow("feed", Book(BTC), Trades(BTC))
    client.receive(empty(channel), data(channel, "update", []))
    client.receive(f'{{"type":"snapshot","data":[],"channel":"{channel}"}}')
    assert client.states == {
        Book(BTC): SubscriptionState.CONFIRMED,
        Trades(BTC): SubscriptionState.CONFIRMED,
    }
    assert client.count("malformed") == 0


# Lively, and standing still: what its neighbours tell


class Street:
    """One symbol, whose subscriptions are heard of or not, as the test wants."""

    def __init__(self, *requests: Request, stale_trades: int = 10) -> None:
        self.client = Client(stale_trades=stale_trades)
        self.market = Market()
        self.count = self.trades = 0
        self.requests = requests
        self.client.follow("feed", *requests)
        self.heard(*requests)
        self.client.events("feed")

    def heard(self, *requests: Request) -> None:
        """Each of these moves."""
        for request in requests:
            self.count += 1
            if isinstance(request, Book):
                fresh = self.state(request) is not SubscriptionState.LIVE
                self.client.receive(self.market.snapshot() if fresh else self.market.tick(f"{self.count}.00"))
            elif isinstance(request, Trades):
                self.trades += 1
                self.client.receive(trades(self.trades))
            elif isinstance(request, Ticker):
                self.client.receive(ticker(self.count))
            else:
                assert isinstance(request, Candles)
                self.client.receive(candle(1, self.count))

    def state(self, request: Request) -> SubscriptionState:
        return self.client.states[request]

    def go_on(self, seconds: int, *telling: Request) -> list[str]:
        """So many seconds, in each of which these move. What is asked is answered, with data. Returns what it was."""
        asked = []
        for _ in range(seconds):
            self.heard(*(request for request in telling if self.state(request) is SubscriptionState.LIVE))
            self.client.advance(1, heartbeat=BEAT)
            for frame in self.client.accept():
                asked += words([frame])
                if frame["method"] == "subscribe":
                    self.heard(*(one for one in self.requests if one.channel == frame["params"]["channel"]))
        return asked


BOOK, TRADES, TICKER, PRICES, CANDLES = Book(BTC), Trades(BTC), Ticker(BTC), Ticker(BTC, trigger="bbo"), Candles(BTC)


@pytest.mark.parametrize(
    ("still", "telling"),
    [
        (BOOK, TRADES),
        (BOOK, TICKER),
        (BOOK, PRICES),
        (BOOK, CANDLES),
        (TICKER, TRADES),
        (TICKER, CANDLES),
        (PRICES, TRADES),
        (CANDLES, TRADES),
        (CANDLES, TICKER),
        (TRADES, TICKER),
        (TRADES, CANDLES),
    ],
    ids=str,
)
def test_what_stands_still_while_its_symbol_trades_is_subscribed_anew(still: Request, telling: Request) -> None:
    street = Street(still, telling, stale_trades=5)
    client = street.client
    assert street.go_on(29, telling) == []
    assert street.go_on(12, telling) == [f"unsubscribe {still.channel} BTC/USD", f"subscribe {still.channel} BTC/USD"]
    gaps = [event for event in client.events("feed") if isinstance(event, Gap)]
    assert [(gap.cause, gap.channel, gap.symbol) for gap in gaps] == [(Cause.RESUBSCRIBED, still.channel, BTC)]
    assert re.search("no data for 3[0-9] s, during which at least [0-9]+ trades", gaps[0].detail)
    assert client.count("stale") == client.count("resyncs") == 1
    causes = [change.cause for change in client.changes]
    assert causes[-2:] == [Cause.RESUBSCRIBED, Cause.SETTLED]
    assert any("no data for" in line for line in client.warnings)


@pytest.mark.parametrize(
    ("still", "telling"),
    [
        (TRADES, PRICES),  # the best prices move without a trade
        (CANDLES, PRICES),
        (TRADES, BOOK),  # so does a book
        (TICKER, BOOK),
        (CANDLES, BOOK),
        (BOOK, Trades(ETH)),  # another symbol's trades say nothing
    ],
    ids=str,
)
def test_who_tells_of_no_trades_makes_nobody_suspect(still: Request, telling: Request) -> None:
    street = Street(still, telling)
    assert street.go_on(3600, telling) == []
    assert street.client.count("stale") == 0


@pytest.mark.parametrize("trades_in_all", [0, 1, 9])
def test_a_quiet_market_is_never_suspected(trades_in_all: int) -> None:
    street = Street(BOOK, TRADES, TICKER, CANDLES)
    for _ in range(trades_in_all):
        street.heard(TRADES)
        assert street.go_on(60) == []
    assert street.go_on(3600) == []


def test_a_burst_of_trades_alone_makes_nobody_suspect() -> None:
    street = Street(BOOK, TRADES)
    for _ in range(100):
        street.heard(TRADES)
    assert street.go_on(24) == []
    street.heard(BOOK)
    assert street.go_on(3600) == []


def test_trades_that_were_told_before_are_no_evidence() -> None:
    """Those from before a subscription came, or from before it moved."""
    street = Street(TRADES, TICKER)
    street.go_on(61, TRADES, TICKER)
    for _ in range(30):
        street.heard(TRADES)
    street.client.follow("late", BOOK)
    street.requests = (BOOK, TRADES, TICKER)
    street.heard(BOOK, TICKER)
    assert street.go_on(3600) == []


def test_the_number_of_the_first_trade_is_no_count_of_trades() -> None:
    """It looked as if millions had gone by, and its book was made anew."""
    client = Client()
    client.follow("feed", BOOK, TRADES)
    client.receive(Market().snapshot())
    client.advance(120, heartbeat=BEAT)
    client.receive(trades(97_468_928))
    client.requests()
    client.advance(3600, heartbeat=BEAT)
    assert client.requests() == []
    assert client.count("stale") == 0


def test_who_comes_late_is_watched_as_well() -> None:
    street = Street(TRADES)
    street.go_on(600, TRADES)
    street.client.follow("late", BOOK)
    street.requests = (BOOK, TRADES)
    street.heard(BOOK)
    assert street.go_on(42, TRADES) == ["unsubscribe book BTC/USD", "subscribe book BTC/USD"]


@pytest.mark.parametrize("every", [1, 29])
def test_what_moves_now_and_then_is_not_suspected(every: int) -> None:
    street = Street(BOOK, TRADES, TICKER, CANDLES)
    for _ in range(400 // every):
        street.heard(BOOK, TICKER, CANDLES)
        assert street.go_on(every, TRADES) == []


def test_trades_that_never_came_are_suspected_too() -> None:
    """Of a new symbol there may be none; but the ticker tells of some."""
    client = Client()
    client.follow("feed", Trades(BTC), Ticker(BTC))
    for second in range(80):
        client.receive(ticker(second))
        client.advance(1, heartbeat=BEAT)
        if client.outbox:
            break
    assert words(client.accept()) == ["unsubscribe trade BTC/USD"]
    assert words(client.accept()) == ["subscribe trade BTC/USD"]
    client.receive(trades(1, 2, history=True))
    assert client.states[Trades(BTC)] is SubscriptionState.LIVE


def test_what_does_not_help_is_done_ever_more_rarely() -> None:
    street = Street(BOOK, TRADES)
    at = [second for second in range(3600) if "subscribe book BTC/USD" in street.go_on(1, TRADES)]
    waits = [later - earlier for earlier, later in zip([0, *at], at, strict=False)]
    limits = [30, 60, 120, 240, 480] + [900] * (len(waits) - 5)
    assert len(waits) == 7
    for wait, limit in zip(waits, limits, strict=True):
        assert limit - 1 <= wait <= limit + 12
    assert street.client.count("parked") == 0  # it may be right: it is never given up, nor taken away


def test_once_it_has_moved_by_itself_it_is_watched_as_before() -> None:
    street = Street(BOOK, TRADES)
    for _ in range(5):
        assert street.go_on(42, TRADES)
        street.go_on(10)
        street.heard(BOOK)


def test_a_slow_answer_is_no_movement() -> None:
    """Nor is the snapshot that comes with it."""
    client = Client(stale_after=12)
    market = Market()
    client.follow("feed", BOOK, TRADES)
    client.receive(market.snapshot())
    asked = []
    for second in range(600):
        client.receive(trades(second))
        client.advance(1, heartbeat=BEAT)
        if second % 7 == 0:
            if client.states[BOOK] is not SubscriptionState.LIVE:
                client.receive(
                    market.snapshot()
                )  # it is of the subscription that was accepted 7 s ago, if there is one
            asked += words(client.accept())
    assert asked.count("subscribe book BTC/USD") <= 6


@pytest.mark.parametrize("at", [Step.UNSUBSCRIBING, Step.TO_SUBSCRIBE, Step.SUBSCRIBING, Step.CONFIRMED])
def test_nothing_is_a_movement_while_it_is_subscribed_again(at: Step) -> None:
    """What was remembered is forgotten then, and is there again later: both look as if something had come."""
    codec = codec_for("v2")
    still, telling = (
        Subscription(request, CHANNELS[request.channel or ""](request, Counters(), codec))
        for request in (TICKER, TRADES)
    )
    channels: dict[str, dict[str | None, Subscription]] = {
        "book": {},
        "trade": {BTC: telling},
        "ticker": {BTC: still},
        "ohlc": {},
    }
    monitor, reading = StalenessMonitor(Settings()), 0.0
    found: list[Subscription] = []

    def hear(sub: Subscription, frame: str) -> None:
        message = codec.decode(frame, received_ns=int(reading) + 1)
        assert isinstance(message, Data)
        sub.state.take(message.events)

    def scan() -> None:
        nonlocal reading
        reading += 5
        hear(telling, trades(*range(10 * int(reading), 10 * int(reading) + 10)))
        found.extend(sub for sub, _ in monitor.scan(channels, reading))

    hear(still, ticker(1))
    still.step = telling.step = Step.LIVE
    while not found:
        scan()
    still.step = at
    still.data_due = 1.0
    still.state.reset()
    scan()
    hear(still, ticker(2))
    still.step = Step.LIVE
    still.data_due = None
    scan()
    since = reading
    while len(found) == 1:
        scan()
    assert found == [still, still]
    assert reading - since == 60
    assert len(monitor) == 2
    channels["ticker"].clear()
    scan()
    assert len(monitor) == 1  # what is gone is forgotten


def test_a_new_connection_is_no_movement() -> None:
    street = Street(BOOK, TRADES)
    client = street.client
    street.go_on(42, TRADES)
    assert client.count("stale") == 1
    client.lose()
    client.reconnect()
    client.accept()
    street.heard(BOOK, TRADES)
    street.go_on(50, TRADES)
    assert client.count("stale") == 1
    street.go_on(30, TRADES)
    assert client.count("stale") == 2


def test_what_cannot_be_heard_is_not_suspected() -> None:
    street = Street(BOOK, TRADES)
    client = street.client
    for _ in range(20):
        street.heard(TRADES)
        client.hold()
        client.advance(100)
        client.resume()
    assert client.count("stale") == 0


@pytest.mark.parametrize("requests", [(BOOK, Trades(ETH)), (BOOK, Book(ETH)), (TRADES,), (Instruments(), BOOK)])
def test_nothing_is_done_while_nothing_can_be_compared(requests: tuple[Request, ...]) -> None:
    client = Client(keepalive_interval=1e6)
    client.follow("feed", *requests)
    client.receive(Market().snapshot(), Market(ETH).snapshot(), trades(1), instruments([asset("BTC")], kind="snapshot"))
    client.advance(6, heartbeat=BEAT)
    calls = len(client.calls)
    client.advance(600, heartbeat=BEAT)
    assert {name for name, *_ in client.calls[calls:]} == {"receive"}


def test_many_at_once_share_their_requests() -> None:
    symbols = [f"A{number}/USD" for number in range(60)]  # they are looked at in one go
    client = Client()
    markets = [Market(symbol) for symbol in symbols]
    client.follow("feed", *map(Book, symbols), *map(Trades, symbols))
    client.receive(*(market.snapshot() for market in markets))
    for second in range(42):
        client.receive(*(trades(second, symbol=symbol) for symbol in symbols))
        client.advance(1, heartbeat=BEAT)
    assert [len(asked["params"]["symbol"]) for asked in client.requests()] == [50, 10]


def test_very_many_are_looked_at_a_part_at_a_time() -> None:
    symbols = [f"A{number}/USD" for number in range(200)]
    client = Client(answer_timeout=100)
    markets = [Market(symbol) for symbol in symbols]
    client.follow("feed", *map(Book, symbols), *map(Trades, symbols))
    client.receive(*(market.snapshot() for market in markets))
    found: list[str] = []
    parts: list[int] = []
    for second in range(50):
        client.receive(*(trades(second, symbol=symbol) for symbol in symbols))
        client.advance(1, heartbeat=BEAT)
        unsubscribed = [symbol for asked in client.requests() for symbol in asked["params"]["symbol"]]
        found += unsubscribed
        parts += [len(unsubscribed)] if unsubscribed else []
    assert sorted(found) == sorted(symbols)
    assert parts == [64, 64, 64, 8]
    client.remove("feed")  # what was being looked at is not there any more
    for _ in range(30):
        client.accept()
        client.advance(1, heartbeat=BEAT)
    assert client.count("stale") == 200


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 4, 7, 13]), st.integers(0, 6), st.sampled_from([False] * 6 + [True])),
        max_size=60,
    )
)
def test_only_time_and_trades_together_make_a_book_suspect(story: list[tuple[int, int, bool]]) -> None:
    street = Street(BOOK, TRADES)
    client, market = street.client, street.market
    moved, told, standstills = client.now, 0, 0
    for seconds, trade_count, moves in story:
        for _ in range(trade_count):
            street.heard(TRADES)
        told += trade_count
        if moves:
            street.heard(BOOK)
            moved, told = client.now, 0
        client.advance(seconds, heartbeat=BEAT)
        if client.accept():
            standstills += 1
            assert client.count("stale") == standstills
            assert told >= client.settings.stale_trades
            assert client.now - moved >= client.settings.stale_after
            client.accept()
            client.receive(market.snapshot())
            moved, told = client.now, 0
    found_after = client.settings.stale_after * 2 ** (standstills + 1)  # with a third's delay, and some to spare
    assert told < client.settings.stale_trades or client.now - moved < found_after, "it was not found"


# The WebSocket itself


def test_the_websocket_is_asked_now_and_then_whatever_comes() -> None:
    client = Client()
    start = client.now
    for _ in range(100):
        client.advance(1, heartbeat=0.1)
    assert client.keepalives == pytest.approx([start + 15 * n for n in range(1, 7)])
    assert client.count("keepalives_sent") == 6
    assert client.drops == []


def test_a_websocket_that_does_not_answer_is_given_up_however_much_it_sends() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.is_ponged = False
    for second in range(34):
        client.receive(ticker(second))
        client.advance(1, heartbeat=BEAT)
    assert (len(client.keepalives), client.drops) == (1, [])
    client.advance(2, heartbeat=BEAT)
    assert client.drops == [Cause.SILENCE]
    assert client.effects.drop_detail == "a WebSocket PING was not answered for 20 s"


def test_a_late_pong_is_good_enough() -> None:
    client = Client()
    client.is_ponged = False
    for _ in range(10):
        client.advance(34, heartbeat=BEAT)
        client.pong()
    assert client.drops == []
    assert len(client.keepalives) == 10


def test_a_pong_that_lies_unread_is_waited_for() -> None:
    client = Client()
    client.is_ponged = False
    client.advance(16, heartbeat=BEAT)
    for _ in range(20):
        client.hold()
        client.advance(100)
        client.resume()
        client.advance(19, heartbeat=BEAT)
    assert client.drops == []
    client.advance(2, heartbeat=BEAT)
    assert client.drops == [Cause.SILENCE]


def test_while_we_do_not_listen_the_websocket_is_asked_and_not_judged() -> None:
    client = Client()
    client.is_ponged = False
    client.hold()
    client.advance(1000)
    assert len(client.keepalives) == 1
    assert client.drops == []
    client.resume()
    client.pong()
    client.advance(14, heartbeat=BEAT)
    assert len(client.keepalives) == 1


def test_a_new_connection_owes_no_pong() -> None:
    client = Client()
    client.is_ponged = False
    client.advance(30, heartbeat=BEAT)
    client.lose()
    client.reconnect()
    client.advance(14, heartbeat=BEAT)
    assert client.drops == []
    client.advance(20, heartbeat=BEAT)
    assert client.drops == []
    client.advance(2, heartbeat=BEAT)
    assert client.drops == [Cause.SILENCE]


def test_silence_is_found_before_the_missing_pong() -> None:
    client = Client(keepalive_interval=1, keepalive_timeout=9)
    client.is_ponged = False
    client.advance(30)
    assert client.drops == [Cause.SILENCE]
    assert "nothing was received for 10 s" in client.effects.drop_detail


# What is life, and what is not


def late_status(system: str = "online") -> str:
    return data("status", "update", [f'{{"system":"{system}","version":"2","api_version":"v2"}}'])


def test_a_peer_that_only_answers_is_given_up_while_something_is_confirmed() -> None:
    """It answers pings and requests, and pushes nothing: no heartbeat, no data."""
    client = Client()
    client.follow_book("feed", Market())
    start = client.now
    for second in range(30):
        if client.drops:
            break
        if second % 3 == 0:
            client.add(second, Ticker(f"X{second}/USD"))
        for ping in [one for one in client.outbox if one["method"] == "ping"]:
            client.receive(pong(ping))
        for asked in client.requests():
            client.receive(*acks(asked))
        client.advance(1)
    assert client.drops == [Cause.SILENCE]
    assert client.count("pings_sent") >= 1
    assert client.count("requests_sent") > 3
    assert client.now - start == pytest.approx(11, abs=1.01)
    assert client.effects.drop_detail == "the exchange pushed nothing for 10 s"


def test_while_nothing_is_confirmed_any_frame_is_life() -> None:
    """Kraken sends no heartbeats then: a client without subscriptions never reconnects."""
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    client.accept()
    for _ in range(1000):
        client.advance(1)
        for ping in [one for one in client.outbox if one["method"] == "ping"]:
            client.receive(pong(ping))
        client.outbox.clear()
    assert client.drops == []
    assert client.count("pings_sent") == pytest.approx(200, abs=40)


def test_pings_go_on_at_their_interval_while_only_pongs_come() -> None:
    client = Client(silence_limit=100)
    client.follow_book("feed", Market())
    for _ in range(50):
        client.advance(1)
        for ping in [one for one in client.outbox if one["method"] == "ping"]:
            client.receive(pong(ping))
        client.outbox.clear()
    assert client.count("pings_sent") == pytest.approx(9, abs=1)


ACTS = st.sampled_from(["heartbeat", "status", "ticker", "pong", "nonsense", "add", "leave", "hold", "resume"])


@given(st.lists(st.tuples(ACTS, st.sampled_from([0.0, 0.3, 1.8, 3.0, 6.6])), max_size=40))  # no sum is 10.0
@example([("add", 0.3), ("heartbeat", 3.0), ("pong", 0.3), ("pong", 6.6), ("pong", 0.3)])
def test_silence_is_the_time_without_a_push_while_we_listen_and_something_is_confirmed(
    story: list[tuple[str, float]],
) -> None:
    client = Client(snapshot_timeout=1e6)  # no first data is not what is meant here
    exposed = any_frame = 0.0
    feeds = itertools.count()
    is_held = False
    for act, seconds in story:
        is_confirmed = bool(client.states)
        if act in ("hold", "resume"):
            getattr(client, act)()
            is_held = act == "hold"
        elif is_held:
            continue
        elif act == "add":
            client.add(next(feeds), Ticker(BTC))
            any_frame = 0.0 if client.accept() else any_frame
        elif act == "leave":
            for feed in list(client.answers):
                client.remove(feed)
            any_frame = 0.0 if client.accept() else any_frame
        else:
            client.receive(
                {"heartbeat": HEARTBEAT, "status": late_status(), "ticker": ticker(1), "pong": pong(), "nonsense": "{"}[
                    act
                ]
            )
            any_frame = 0.0
            exposed = 0.0 if act in ("heartbeat", "status", "ticker") else exposed
        is_confirmed = bool(client.states)
        client.advance(seconds)
        if not is_held:
            any_frame += seconds
            exposed += seconds if is_confirmed else 0.0
        if (exposed if is_confirmed else any_frame) >= 10.0 and not is_held:
            assert client.drops == [Cause.SILENCE]
            return
        assert client.drops == []


# The exchange ends a subscription by itself


def unasked(symbol: str = BTC, **changes: Any) -> str:
    result = {"channel": "book", "depth": 10, "symbol": symbol}
    return json.dumps({"method": "unsubscribe", "result": result, "success": True} | changes)


@pytest.mark.parametrize("changes", [{}, {"req_id": 4711}, {"req_id": None}])
def test_an_unsubscribe_that_nobody_asked_for_is_a_loss(changes: dict[str, Any]) -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    client.receive(unasked(**changes))
    (gap,) = client.events("feed")
    assert isinstance(gap, Gap)
    assert (gap.cause, gap.channel, gap.symbol) == (Cause.RESUBSCRIBED, "book", BTC)
    assert client.session.rebuild(("book", BTC)) is None
    assert client.state() is ConnectionState.RESYNCING
    assert words(client.accept()) == ["subscribe book BTC/USD"]
    client.receive(market.snapshot())
    assert client.kinds("feed") == ["BookSnapshot"]
    assert client.count("unmatched_answers") == 0


def test_an_exchange_that_does_it_over_and_over_is_asked_ever_more_rarely() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    asked: list[str] = []
    for _ in range(600):
        client.receive(unasked())
        asked += words(client.accept())
        client.receive(market.snapshot())
        client.advance(1, heartbeat=BEAT)
    assert client.count("parked") == 1
    assert asked.count("subscribe book BTC/USD") == client.settings.attempts


def test_an_old_confirmation_does_not_bring_back_what_the_exchange_ended() -> None:
    """Regression: nor raise, where it was parked."""
    client, market = Client(), Market()
    client.add("feed", Book(BTC))
    ended = 0
    while client.count("parked") == 0:
        for asked in client.requests():
            client.receive(ack(asked, BTC), market.snapshot())
            client.receive(unasked(), ack(asked, BTC))
            ended += 1
            assert client.state() is ConnectionState.RESYNCING
            assert client.count("unmatched_answers") == ended
        client.advance(1, heartbeat=BEAT)
    assert ended == client.settings.attempts + 1


@pytest.mark.parametrize(
    "frame",
    [
        unasked(ETH),
        unasked(result={"channel": "book", "depth": 25, "symbol": BTC}),
        unasked(result={"channel": "ticker", "symbol": BTC}),
        unasked(result={"channel": "book", "depth": 10}),
        unasked(req_id=1),
    ],
    ids=["another symbol", "another depth", "another channel", "no symbol", "a late answer"],
)
def test_what_may_be_another_ones_unsubscribe_is_ignored(frame: str) -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    client.receive(frame, market.tick("7.00"))
    assert client.kinds("feed") == ["BookUpdate"]
    assert client.requests() == []
    assert client.count("unmatched_answers") == 1
