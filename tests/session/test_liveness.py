"""A heartbeat proves the connection; whether a subscription lives is judged by what it does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from kraken_trio.events import Cause, ConnectionState, Gap, TickerUpdate, Trade
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from kraken_trio.session.followers import LatestFollower, TradeFollower
from kraken_trio.session.subscription import Step, Subscription, SubscriptionState
from kraken_trio.session.watch import Watch
from kraken_trio.settings import Settings
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data
from tests.session.driver import (
    BTC,
    ETH,
    SOL,
    Client,
    Market,
    asset,
    candle,
    data,
    instruments,
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


def test_what_stays_silent_is_parked_with_one_gap_more_and_tried_again_after_a_rest() -> None:
    client = Client()
    client.follow("feed", Candles(BTC))
    client.follow("other", Ticker(ETH))
    client.receive(ticker(1, ETH))
    asked: list[str] = []
    for _ in range(100):
        if not client.count("parked"):
            client.advance(1, heartbeat=BEAT)
            asked += words(client.accept())
    assert client.count("parked") == 1
    assert causes(client) == [Cause.RESUBSCRIBED, Cause.PARKED]
    assert asked.count("subscribe ohlc BTC/USD") == client.settings.attempts
    assert client.session.statistics().subscriptions[Candles(BTC)] is SubscriptionState.PARKED
    client.advance(1, heartbeat=BEAT)
    client.accept()
    client.advance(client.settings.park_time - 5, heartbeat=BEAT)
    assert client.requests() == []
    client.advance(5, heartbeat=BEAT)
    assert words(client.accept()) == ["subscribe ohlc BTC/USD"]
    client.receive(candle(1))
    assert client.session.statistics().subscriptions[Candles(BTC)] is SubscriptionState.LIVE
    assert client.kinds("other") == ["TickerUpdate"]


def test_a_gap_is_told_once_however_often_it_is_tried() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.receive(ticker(1))
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
    assert client.session.statistics().subscriptions[Candles(BTC)] is SubscriptionState.LIVE
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
    assert client.session.statistics().subscriptions == {
        Book(BTC): SubscriptionState.CONFIRMED,
        Trades(BTC): SubscriptionState.CONFIRMED,
    }
    assert client.count("malformed") == 0


# Lively, and standing still: what its neighbours tell


class Street:
    """One symbol, whose subscriptions are heard of or not, as the test wants."""

    def __init__(self, *requests: Request, standstill_trades: int = 10) -> None:
        self.client = Client(standstill_trades=standstill_trades)
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
        return self.client.session.statistics().subscriptions[request]

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
    street = Street(still, telling, standstill_trades=5)
    client = street.client
    assert street.go_on(29, telling) == []
    assert street.go_on(12, telling) == [f"unsubscribe {still.channel} BTC/USD", f"subscribe {still.channel} BTC/USD"]
    gaps = [event for event in client.events("feed") if isinstance(event, Gap)]
    assert [(gap.cause, gap.channel, gap.symbol) for gap in gaps] == [(Cause.RESUBSCRIBED, still.channel, BTC)]
    assert re.search("stood still for 3[0-9] s, and [0-9]+ trades", gaps[0].detail)
    assert client.count("standstills") == client.count("resyncs") == 1
    causes = [change.cause for change in client.changes]
    assert causes[-2:] == [Cause.RESUBSCRIBED, Cause.SETTLED]
    assert any("stood still" in line for line in client.warnings)


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
    assert street.client.count("standstills") == 0


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
    assert client.count("standstills") == 0


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
    for _ in range(3600 // every):
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
    assert client.session.statistics().subscriptions[Trades(BTC)] is SubscriptionState.LIVE


def test_what_does_not_help_is_done_ever_more_rarely() -> None:
    street = Street(BOOK, TRADES)
    at = [second for second in range(6 * 3600) if "subscribe book BTC/USD" in street.go_on(1, TRADES)]
    waits = [later - earlier for earlier, later in zip([0, *at], at, strict=False)]
    limits = [30, 60, 120, 240, 480] + [900] * (len(waits) - 5)
    assert len(waits) > 10
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
    client = Client(standstill_after=12)
    market = Market()
    client.follow("feed", BOOK, TRADES)
    client.receive(market.snapshot())
    asked = []
    for second in range(600):
        client.receive(trades(second))
        client.advance(1, heartbeat=BEAT)
        if second % 7 == 0:
            if client.session.statistics().subscriptions[BOOK] is not SubscriptionState.LIVE:
                client.receive(
                    market.snapshot()
                )  # it is of the subscription that was accepted 7 s ago, if there is one
            asked += words(client.accept())
    assert asked.count("subscribe book BTC/USD") <= 6


@pytest.mark.parametrize("at", [Step.LEAVING, Step.WAITING, Step.ASKED, Step.CONFIRMED])
def test_nothing_is_a_movement_while_it_is_made_anew(at: Step) -> None:
    """What was remembered is forgotten then, and is there again later: both look as if something had come."""
    still, telling = Subscription(TICKER), Subscription(TRADES)
    channels: dict[str, dict[str | None, Subscription]] = {
        "book": {},
        "trade": {BTC: telling},
        "ticker": {BTC: still},
        "ohlc": {},
    }
    watch, reading = Watch(Settings()), 0.0
    found: list[Subscription] = []

    def hear(sub: Subscription, frame: str) -> None:
        message = codec_for("v2").decode(frame, received_ns=int(reading) + 1)
        assert isinstance(message, Data)
        for event in message.events:
            if isinstance(sub.follower, LatestFollower):
                assert isinstance(event, TickerUpdate)
                sub.follower.see(event)
            else:
                assert isinstance(event, Trade)
                assert isinstance(sub.follower, TradeFollower)
                sub.follower.news([event])

    def sweep() -> None:
        nonlocal reading
        reading += 5
        hear(telling, trades(*range(10 * int(reading), 10 * int(reading) + 10)))
        found.extend(sub for sub, _ in watch.sweep(channels, reading))

    hear(still, ticker(1))
    still.step = telling.step = Step.LIVE
    while not found:
        sweep()
    still.step = at
    still.follower.reset()
    sweep()
    hear(still, ticker(2))
    still.step = Step.LIVE
    sweep()
    since = reading
    while len(found) == 1:
        sweep()
    assert found == [still, still]
    assert reading - since == 60
    assert len(watch) == 2
    channels["ticker"].clear()
    sweep()
    assert len(watch) == 1  # what is gone is forgotten


def test_a_new_connection_is_no_movement() -> None:
    street = Street(BOOK, TRADES)
    client = street.client
    street.go_on(42, TRADES)
    assert client.count("standstills") == 1
    client.lose()
    client.reconnect()
    client.accept()
    street.heard(BOOK, TRADES)
    street.go_on(50, TRADES)
    assert client.count("standstills") == 1
    street.go_on(30, TRADES)
    assert client.count("standstills") == 2


def test_what_cannot_be_heard_is_not_suspected() -> None:
    street = Street(BOOK, TRADES)
    client = street.client
    for _ in range(20):
        street.heard(TRADES)
        client.hold()
        client.advance(100)
        client.resume()
    assert client.count("standstills") == 0


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
    assert client.count("standstills") == 200


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
            assert client.count("standstills") == standstills
            assert told >= client.settings.standstill_trades
            assert client.now - moved >= client.settings.standstill_after
            client.accept()
            client.receive(market.snapshot())
            moved, told = client.now, 0
    found_after = client.settings.standstill_after * 2 ** (standstills + 1)  # with a third's delay, and some to spare
    assert told < client.settings.standstill_trades or client.now - moved < found_after, "it was not found"


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
    assert "nothing was heard for 10 s" in client.effects.drop_detail
