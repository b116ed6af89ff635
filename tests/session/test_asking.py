"""Asking the exchange: frames, pacing, answers of every kind, and no answer at all."""

from __future__ import annotations

import pytest

from kraken_trio.endpoint import Endpoint
from kraken_trio.events import Cause, ConnectionState, Gap
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from kraken_trio.session import Session
from kraken_trio.settings import Settings
from kraken_trio.statistics import SubscriptionState
from kraken_trio.wire.codec import codec_for
from tests.session.driver import (
    ABSENT,
    ALREADY,
    BARE_RATE_LIMIT,
    BTC,
    BUSY,
    ETH,
    HEARTBEAT,
    RATE_LIMIT,
    SOL,
    UNKNOWN_PAIR,
    Client,
    Market,
    ack,
    acks,
    refusal,
    ticker,
    trades,
    words,
)

# No answer


def test_what_is_left_because_another_symbol_was_not_answered_is_not_judged_any_more() -> None:
    """A late tick finds two things due, and what it does about the first ends the second."""
    client = Client()
    client.add("feed", Book(BTC), Ticker(ETH), Ticker(SOL))
    book, tickers = client.requests()
    client.now += 0.1
    client.receive(*acks(book), refusal(UNKNOWN_PAIR, tickers, SOL))
    client.now += client.settings.answer_timeout + 1
    client.receive(HEARTBEAT)
    client.tick()
    assert client.answers == {"feed": {Ticker(SOL): UNKNOWN_PAIR}}
    assert client.count("resyncs") == 0


def test_an_answer_that_never_came_is_not_missed_by_the_next_request() -> None:
    client = Client()
    client.add("first", Ticker(BTC))
    client.requests()  # and there is no answer
    client.advance(5)
    client.remove("first")
    client.add("second", Ticker(BTC))
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    (again,) = client.requests()
    client.advance(5.5, heartbeat=1)  # the first request's time is over, the second one's is not
    client.receive(ack(again, BTC))
    assert client.answers["second"] == {}
    assert client.requests() == []


def test_an_answer_that_comes_late_is_not_taken_for_the_next_one() -> None:
    client = Client()
    client.add("first", Ticker(BTC))
    first = client.request()
    client.remove("first")
    client.add("second", Ticker(BTC))
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    second = client.request()
    client.receive(ack(first, BTC))
    assert "second" not in client.answers
    client.receive(refusal(UNKNOWN_PAIR, second, BTC))
    assert client.answers["second"] == {Ticker(BTC): UNKNOWN_PAIR}


@pytest.mark.parametrize("seconds", [10, 10.5])  # paused, and asked again
def test_what_was_asked_without_an_answer_is_left_too(seconds: float) -> None:
    """The exchange may be slow, and take it up when nobody wants it any more."""
    client = Client()
    client.add("feed", Ticker(BTC))
    client.advance(seconds, heartbeat=1)
    client.remove("feed")
    assert words(client.requests())[-1] == "unsubscribe ticker BTC/USD"


def test_what_the_exchange_finally_refused_is_not_left() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    client.receive(refusal(UNKNOWN_PAIR, client.request(), BTC))
    client.remove("feed")
    assert client.requests() == []
    assert list(client.session.subscriptions) == []


# Answers without a number


def test_an_answer_without_a_number_belongs_to_the_oldest_request_that_fits() -> None:
    client = Client()
    requests: list[Request] = [Book(BTC), Ticker(BTC), Ticker(ETH), Instruments()]
    for request in requests:
        client.add(request, request)
    _, btc, eth, reference = client.requests()
    client.receive(ack(eth, ETH, req_id=None))
    assert client.answers == {Ticker(ETH): {}}
    client.receive(ack(btc, BTC, req_id=None))
    client.receive(ack(reference, req_id=None))
    assert list(client.answers) == [Ticker(ETH), Ticker(BTC), Instruments()]
    client.receive(refusal(UNKNOWN_PAIR, None, BTC))
    assert client.answers[Book(BTC)] == {Book(BTC): UNKNOWN_PAIR}
    assert client.count("unmatched_answers") == 0


def test_an_answer_without_a_number_that_fits_nothing_is_counted() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    (asked,) = client.requests()
    client.receive(ack(asked, ETH, req_id=None), ack(asked, BTC, method="unsubscribe", req_id=None))
    client.receive(ack(asked, req_id=None), refusal(UNKNOWN_PAIR), refusal(UNKNOWN_PAIR, None, SOL))
    assert client.answers == {}
    assert client.count("unmatched_answers") == 5


def test_a_refusal_with_the_number_of_something_else_puts_no_request_in_doubt() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    (asked,) = client.requests()
    client.receive(refusal(RATE_LIMIT, asked | {"req_id": 4711, "method": "ping"}))
    client.advance(2)
    client.receive(*acks(asked))
    assert client.answers == {"feed": {}}
    assert client.count("unmatched_answers") == 1
    assert client.count("rate_limited") == 1


# Leaving


@pytest.mark.parametrize("error", [BUSY, RATE_LIMIT])
def test_leaving_is_asked_again_until_it_is_done(error: str) -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    for _ in range(3):
        client.receive(refusal(error, client.request(), BTC))
        assert not client.session.flushed
        client.advance(0.9)
        assert client.requests() == []
        client.advance(0.2)
    client.accept()
    assert list(client.session.subscriptions) == []
    assert client.session.flushed


@pytest.mark.parametrize("error", [ABSENT, UNKNOWN_PAIR])
def test_what_the_exchange_does_not_have_is_left(error: str) -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    client.receive(refusal(error, client.request() | {"method": "subscribe"}, BTC))
    assert list(client.session.subscriptions) == []


# Requests


def test_what_is_asked_in_one_go_shares_a_frame_per_kind() -> None:
    client = Client()
    client.add(
        "feed",
        Book(BTC),
        Trades(BTC),
        Book(ETH),
        Book(SOL, depth=25),
        Ticker(BTC, trigger="bbo"),
        Ticker(ETH),
        Candles(BTC, interval=5),
        Trades(ETH, snapshot=True),
        Trades(SOL),
        Instruments(),
    )
    assert [asked["params"] for asked in client.requests()] == [
        {"channel": "book", "symbol": [BTC, ETH], "depth": 10, "snapshot": True},
        {"channel": "trade", "symbol": [BTC, ETH, SOL], "snapshot": True},
        {"channel": "book", "symbol": [SOL], "depth": 25, "snapshot": True},
        {"channel": "ticker", "symbol": [BTC], "event_trigger": "bbo", "snapshot": True},
        {"channel": "ticker", "symbol": [ETH], "event_trigger": "trades", "snapshot": True},
        {"channel": "ohlc", "symbol": [BTC], "interval": 5, "snapshot": True},
        {"channel": "instrument", "snapshot": True},
    ]


def test_a_frame_has_so_many_symbols_at_most() -> None:
    client = Client(symbols_per_request=50)
    symbols = [f"A{number}/USD" for number in range(120)]
    client.add("feed", *map(Ticker, symbols))
    frames = [asked["params"]["symbol"] for asked in client.accept()]
    assert [len(frame) for frame in frames] == [50, 50, 20]
    assert [symbol for frame in frames for symbol in frame] == symbols
    assert client.answers == {"feed": {}}
    assert client.state() is ConnectionState.SUBSCRIBED
    client.remove("feed")
    assert [len(asked["params"]["symbol"]) for asked in client.requests()] == [50, 50, 20]


def test_requests_are_paced() -> None:
    client = Client(symbols_per_request=1, request_burst=3, request_rate=2.0)
    client.add("feed", *(Ticker(f"A{number}/USD") for number in range(6)))
    assert len(client.requests()) == 3
    assert client.session.deadline == pytest.approx(client.now + 0.5)
    assert not client.session.flushed
    client.advance(0.6)
    assert len(client.requests()) == 1
    client.advance(5)
    assert len(client.requests()) == 2


def test_what_is_not_wanted_any_more_before_it_was_asked_for_is_never_asked_for() -> None:
    client = Client(request_burst=1, request_rate=1.0)
    client.add("one", Ticker(BTC))
    client.add("two", Trades(BTC))
    client.add("three", Book(BTC))
    client.remove("two")
    client.advance(5, heartbeat=1)
    assert words(client.requests()) == ["subscribe ticker BTC/USD", "subscribe book BTC/USD"]


def test_unsubscribing_names_what_was_asked_for() -> None:
    client = Client()
    client.follow("feed", Book(BTC, depth=25), Candles(ETH, interval=60), Instruments())
    client.follow("trades", Trades(SOL, snapshot=True), Trades(BTC))
    client.remove("trades")
    client.remove("feed")
    assert [asked["params"] for asked in client.requests()] == [
        {"channel": "trade", "symbol": [SOL, BTC]},
        {"channel": "book", "symbol": [BTC], "depth": 25},
        {"channel": "ohlc", "symbol": [ETH], "interval": 60},
        {"channel": "instrument"},
    ]


def test_nothing_is_asked_without_a_connection() -> None:
    client = Client(connect=False)
    client.add("feed", Ticker(BTC))
    assert client.requests() == []
    client.remove("feed")
    client.add("feed", Ticker(ETH))
    client.connect()
    assert words(client.requests()) == ["subscribe ticker ETH/USD"]


# Answers


def test_each_symbol_has_its_own_answer() -> None:
    client = Client()
    for symbol in (BTC, ETH, SOL):
        client.add(symbol, Ticker(symbol))
    client.lose()
    client.reconnect()
    (asked,) = client.requests()  # all three in one frame
    assert asked["params"]["symbol"] == [BTC, ETH, SOL]
    client.receive(ack(asked, ETH))
    assert client.answers == {ETH: {}}
    assert not client.session.flushed
    client.receive(refusal(UNKNOWN_PAIR, asked, SOL))
    assert client.answers == {ETH: {}, SOL: {Ticker(SOL): UNKNOWN_PAIR}}
    client.receive(ack(asked, BTC))
    assert client.answers[BTC] == {}
    assert client.session.flushed
    assert client.state() is ConnectionState.SUBSCRIBED


def test_an_answer_may_spell_the_symbol_in_its_own_way() -> None:
    client = Client()
    client.add("feed", Ticker("AAPLx/USD"), Ticker(BTC))
    (asked,) = client.requests()
    client.receive(ack(asked, "AAPLX/USD"), ack(asked, "btc/usd"))
    assert client.answers == {"feed": {}}


@pytest.mark.parametrize("changes", [{}, {"req_id": 4711}, {"req_id": None}, {"result": {"channel": "ticker"}}])
def test_answers_to_nothing_are_counted_and_ignored(changes: dict[str, object]) -> None:
    client = Client()
    client.follow("feed", Ticker(BTC), Ticker(ETH))
    client.add("other", Ticker(SOL))
    (asked,) = client.requests()
    client.receive(ack(asked, BTC, **changes))
    assert client.answers == {"feed": {}}
    assert client.count("unmatched_answers") == 1
    client.receive(ack(asked, SOL), ack(asked, SOL))  # and one that comes twice
    assert client.answers["other"] == {}
    assert client.count("unmatched_answers") == 2


def test_what_the_exchange_warns_of_is_kept_once() -> None:
    client = Client()
    client.add("feed", Ticker(BTC), Ticker(ETH))
    (asked,) = client.requests()
    result = {"channel": "ticker", "warnings": ["depth is deprecated", "\x1b[2J"]}
    client.receive(*(ack(asked, result=result | {"symbol": symbol}) for symbol in (BTC, ETH)))
    warnings = client.session.statistics().warnings
    assert warnings == ("depth is deprecated", r"\x1b[2J")
    assert [note for note in client.notes if "warns" in note] == [f"the exchange warns: {text}" for text in warnings]
    many = [f"warning {number}" for number in range(10)]
    for number in range(10):
        client.receive(ack(asked, result={"channel": "ticker", "warnings": [f"{text} of {number}" for text in many]}))
    assert len(client.session.statistics().warnings) == 64


# Refusals


def test_a_final_refusal_is_the_subscribes_error() -> None:
    client = Client()
    client.follow("other", Ticker(BTC))
    client.add("feed", Ticker(ETH), Book(SOL), Trades(SOL), Trades(BTC))
    assert client.state() is ConnectionState.RESYNCING
    ticker_, book, trade_ = client.requests()
    client.receive(refusal("no", ticker_, ETH), *acks(book))
    assert client.answers == {"other": {}}  # two more answers are coming
    client.receive(refusal("never", trade_, SOL), ack(trade_, BTC))
    assert client.answers["feed"] == {Ticker(ETH): "no", Trades(SOL): "never"}
    assert client.events("feed") == []
    assert words(client.accept()) == ["unsubscribe book SOL/USD", "unsubscribe trade BTC/USD"]
    assert [sub.key for sub in client.session.subscriptions] == [("ticker", BTC)]
    assert client.state() is ConnectionState.SUBSCRIBED
    assert client.count("refusals") == 2
    assert client.count("feeds") == 1


def test_an_error_without_a_symbol_is_about_the_whole_request() -> None:
    client = Client()
    client.add("feed", Book(BTC), Book(ETH), Book(SOL))
    (asked,) = client.requests()
    client.receive(ack(asked, ETH), refusal("Subscription depth not supported", asked))
    reason = "Subscription depth not supported"
    assert client.answers == {}
    (alone,) = client.requests()
    assert words([alone]) == ["subscribe book BTC/USD"]
    client.receive(refusal(reason, alone))
    assert client.answers == {"feed": {Book(BTC): reason, Book(SOL): reason}}
    assert words(client.requests()) == ["unsubscribe book ETH/USD"]


def test_a_refusal_for_a_symbol_that_was_not_asked_for_is_unmatched() -> None:
    client = Client()
    client.add("feed", Book(BTC))
    client.receive(refusal(UNKNOWN_PAIR, client.request(), ETH))
    assert client.answers == {}
    assert client.count("unmatched_answers") == 1
    assert client.count("refusals") == 0


def test_what_is_refused_on_replay_is_a_gap_and_asked_again_on_the_next_connection() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC), Ticker(ETH))
    client.lose()
    client.reconnect()
    (asked,) = client.requests()
    client.receive(ack(asked, BTC), refusal("delisted", asked, ETH))
    gaps = [event for event in client.events("feed") if isinstance(event, Gap)]
    assert [(gap.symbol, gap.cause, gap.epoch) for gap in gaps] == [
        (BTC, Cause.DISCONNECTED, 1),
        (ETH, Cause.DISCONNECTED, 1),
        (ETH, Cause.REFUSED, 2),
    ]
    assert gaps[-1].detail == "delisted"
    assert client.states == {
        Ticker(BTC): SubscriptionState.RESYNCING,  # it has been confirmed, and has no data yet
        Ticker(ETH): SubscriptionState.REFUSED,
    }
    client.receive(ticker(1))
    assert client.kinds("feed") == ["TickerUpdate"]
    assert client.state() is ConnectionState.RESYNCING  # not all that is wanted is there
    client.advance(3600, heartbeat=1)
    assert client.requests() == []
    client.lose()
    assert client.kinds("feed") == ["Gap disconnected"]  # the other one is missing already
    client.reconnect()
    client.accept()
    assert client.state() is ConnectionState.SUBSCRIBED


def test_what_is_refused_on_replay_stays_so_until_the_feed_leaves() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    client.receive(refusal("delisted", client.request()))
    client.remove("feed")
    assert list(client.session.subscriptions) == []
    assert client.state() is ConnectionState.SUBSCRIBED


def test_rate_limited_symbols_are_asked_again_and_the_others_stay() -> None:
    client = Client()
    client.add("feed", Ticker(BTC), Ticker(ETH), Ticker(SOL))
    (asked,) = client.requests()
    client.receive(ack(asked, BTC), refusal(RATE_LIMIT, asked, ETH), refusal(RATE_LIMIT, asked, SOL))
    client.advance(0.9)
    assert client.requests() == []
    client.advance(0.2)
    (again,) = client.requests()
    assert again["params"]["symbol"] == [ETH, SOL]
    assert again["req_id"] != asked["req_id"]
    client.receive(*acks(again))
    assert client.answers == {"feed": {}}
    assert client.count("rate_limited") == 2
    assert client.states[Ticker(ETH)] is SubscriptionState.CONFIRMED


def test_a_rate_limit_for_a_whole_request_is_one_for_each_symbol() -> None:
    client = Client()
    client.add("feed", Ticker(BTC), Ticker(ETH))
    client.receive(refusal(RATE_LIMIT, client.request()))
    client.advance(1.1)
    (again,) = client.requests()
    assert again["params"]["symbol"] == [BTC, ETH]


def test_a_bare_rate_limit_is_about_what_is_not_answered_soon() -> None:
    client = Client()
    client.add("feed", Ticker(BTC), Trades(BTC))
    first, second = client.requests()
    client.receive(BARE_RATE_LIMIT)
    client.add("later", Candles(BTC))
    assert client.requests() == []  # nothing at all is sent for a while
    client.receive(*acks(second))
    client.advance(1.1)
    assert words(client.requests()) == ["subscribe ohlc BTC/USD"]
    client.advance(1)
    (again,) = client.requests()
    assert again["params"] == first["params"]
    client.receive(*acks(again))
    assert client.answers["feed"] == {}
    assert client.count("parked") == client.count("refusals") == 0


def test_a_bare_rate_limit_may_have_been_about_leaving() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    (first,) = client.requests()
    client.receive(BARE_RATE_LIMIT)
    client.advance(2.1)
    (again,) = client.requests()
    assert again["params"] == first["params"]
    client.receive(*acks(again))
    assert list(client.session.subscriptions) == []


def test_a_bare_rate_limit_makes_no_wait_longer() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    client.advance(9.5, heartbeat=1)
    client.receive(BARE_RATE_LIMIT)  # the answer's time is over in half a second anyway
    client.requests()
    client.advance(0.6)
    client.receive(BARE_RATE_LIMIT)  # nothing is in flight
    client.advance(1.5, heartbeat=1)
    assert words(client.requests()) == ["subscribe ticker BTC/USD"]


def pauses_after(client: Client, error: str, times: int) -> list[float]:
    """How long the client waits after each refusal before it asks again."""
    pauses = []
    for _ in range(times):
        client.receive(refusal(error, client.request(), BTC))
        refused_at = client.now
        while not client.outbox:
            client.advance(0.25)
            client.receive(HEARTBEAT)
        pauses.append(client.now - refused_at)
    return pauses


def test_rate_limits_in_a_row_make_longer_pauses_and_park_nothing() -> None:
    client = Client(attempt_delay_max=4.0)
    client.add("feed", Ticker(BTC))
    assert pauses_after(client, RATE_LIMIT, 8) == pytest.approx([1, 2, 4, 4, 4, 4, 4, 4])
    client.accept()
    assert client.answers == {"feed": {}}
    client.lose()
    client.reconnect()
    assert pauses_after(client, RATE_LIMIT, 2) == pytest.approx([1, 2])


def test_a_busy_exchange_is_asked_again_with_longer_pauses_and_then_parked() -> None:
    client = Client(attempts=4, attempt_delay=0.5, attempt_delay_max=1.5)
    client.add("feed", Ticker(BTC))
    assert pauses_after(client, BUSY, 4) == pytest.approx([0.5, 1, 1.5, 1.5])
    client.receive(refusal(BUSY, client.request(), BTC))
    reason = client.answers["feed"][Ticker(BTC)]
    assert BUSY in reason
    assert "parked after 5 attempts" in reason
    assert client.count("parked") == 1
    assert client.count("rate_limited") == 0


def test_already_subscribed_is_of_no_use_because_no_snapshot_follows() -> None:
    """Regression: for all but books it was a plain yes, and a snapshot that was thrown away before was missed."""
    client, market = Client(), Market()
    client.add("feed", Ticker(BTC), Book(BTC))
    for asked in client.requests():
        client.receive(refusal(ALREADY, asked, BTC))
    client.receive(market.snapshot())  # it belongs to the past
    assert sorted(words(client.accept())) == ["unsubscribe book BTC/USD", "unsubscribe ticker BTC/USD"]
    assert client.answers == {}
    assert sorted(words(client.accept())) == ["subscribe book BTC/USD", "subscribe ticker BTC/USD"]
    assert client.answers == {"feed": {}}
    client.receive(market.snapshot())
    assert client.kinds("feed") == ["BookSnapshot"]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_a_confirmation_after_already_subscribed_changes_nothing() -> None:
    """Regression: it raised while the unsubscribe waited to be sent."""
    client = Client()
    client.add("feed", Ticker(BTC))
    asked = client.request()
    client.receive(refusal(ALREADY, asked, BTC), ack(asked, BTC))
    assert client.count("unmatched_answers") == 1
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    assert words(client.accept()) == ["subscribe ticker BTC/USD"]
    assert client.answers == {"feed": {}}


@pytest.mark.parametrize("req_id", [0, 4711, None])
def test_a_confirmation_of_nothing_changes_nothing(req_id: int | None) -> None:
    """Regression: 0 stood for "no request of ours"."""
    client = Client()
    client.add("feed", Ticker(BTC))
    asked = client.request()
    client.receive(refusal(ALREADY, asked, BTC), ack(asked, BTC, req_id=req_id))
    assert client.count("unmatched_answers") == 1
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    client.accept()
    assert client.answers == {"feed": {}}


def test_not_subscribed_is_no_answer_to_a_subscribe() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    client.receive(refusal(ABSENT, client.request(), BTC))
    assert client.answers == {"feed": {Ticker(BTC): ABSENT}}


# No answer, again


def test_what_is_not_answered_is_asked_again_and_then_parked() -> None:
    client = Client(attempts=2, attempt_delay=1.0, answer_timeout=10, park_time=500)
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    client.kinds("feed")
    start = client.now
    asked_at = []
    while client.count("parked") == 0:
        for asked in client.requests():
            assert asked["method"] == "subscribe"
            asked_at.append(client.now - start)
        client.advance(0.5, heartbeat=0.25)
    assert asked_at == pytest.approx([0, 11, 23], abs=0.6)
    assert client.kinds("feed") == ["Gap parked"]
    assert client.states == {Ticker(BTC): SubscriptionState.RESYNCING}
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    assert client.states == {Ticker(BTC): SubscriptionState.PARKED}
    assert client.state() is ConnectionState.RESYNCING
    client.advance(501, heartbeat=1)
    assert words(client.accept()) == ["subscribe ticker BTC/USD"]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_a_parked_subscription_has_one_more_try_after_its_rest() -> None:
    client = Client(attempts=1, park_time=50)
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    for _ in range(2):
        client.receive(refusal(BUSY, client.request()))
        client.advance(1, heartbeat=1)
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    for rest in (1, 2):
        client.advance(51, heartbeat=1)
        client.receive(refusal(BUSY, client.request()))
        assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
        assert client.count("parked") == 1 + rest


def test_a_parked_subscription_is_asked_for_at_once_on_a_new_connection_and_by_a_new_feed() -> None:
    client = Client(attempts=1)
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    for _ in range(2):
        client.receive(refusal(BUSY, client.request()))
        client.advance(1, heartbeat=1)
    client.accept()
    assert client.states == {Ticker(BTC): SubscriptionState.PARKED}
    client.add("new", Ticker(BTC))
    client.receive(refusal(BUSY, client.request()))
    client.advance(1, heartbeat=1)
    client.receive(refusal(BUSY, client.request()))
    client.accept()
    assert BUSY in client.answers["new"][Ticker(BTC)]
    client.lose()
    client.reconnect()
    assert words(client.accept()) == ["subscribe ticker BTC/USD"]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_leaving_that_is_not_answered_is_tried_again_but_not_for_ever() -> None:
    """Regression: it was taken as done, and the exchange went on sending until the connection ended."""
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    client.receive(ticker(1))
    assert client.count("late") == 1
    client.advance(10.1, heartbeat=1)
    assert len(list(client.session.subscriptions)) == 1
    client.advance(60, heartbeat=1)
    assert list(client.session.subscriptions) == []
    assert words(client.requests()) == ["unsubscribe ticker BTC/USD"] * client.settings.attempts


def test_leaving_that_is_put_off_is_tried_again_but_not_for_ever() -> None:
    """Regression: it was tried once a second, without end."""
    client, market = Client(), Market()
    client.follow_book("feed", market)
    client.remove("feed")
    for _ in range(client.settings.attempts):
        (asked,) = client.requests()
        client.receive(refusal(BUSY, asked, market.symbol))
        client.advance(1.1, heartbeat=1)
    assert client.requests() == []
    assert list(client.session.subscriptions) == []


def test_answers_are_not_missed_while_nobody_listens() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    (asked,) = client.requests()
    client.hold()
    client.advance(100)
    client.resume()
    client.advance(9, heartbeat=1)
    client.receive(*acks(asked))
    assert client.answers == {"feed": {}}
    assert client.requests() == []


def test_a_refusal_on_many_feeds_is_each_feeds_own() -> None:
    client = Client()
    client.add("one", Ticker(BTC))
    client.add("two", Ticker(BTC), Trades(BTC))
    ticker_, trade_ = client.requests()
    client.receive(refusal(UNKNOWN_PAIR, ticker_, BTC))
    assert client.answers == {"one": {Ticker(BTC): UNKNOWN_PAIR}}
    client.receive(*acks(trade_))
    assert client.answers["two"] == {Ticker(BTC): UNKNOWN_PAIR}
    assert client.states == {}


def test_a_refused_feed_waits_for_no_pause() -> None:
    """Not for a second rate-limited symbol, nor for one that is left to be asked again."""
    client = Client()
    client.add("feed", Ticker(BTC), Ticker(ETH))
    (asked,) = client.requests()
    client.receive(refusal(UNKNOWN_PAIR, asked, BTC))
    client.receive(refusal(RATE_LIMIT, asked, ETH))
    assert client.answers == {"feed": {Ticker(BTC): UNKNOWN_PAIR}}


@pytest.mark.parametrize("history_first", [False, True])
def test_a_feed_may_ask_for_the_same_twice(history_first: bool) -> None:
    client = Client()
    client.add("feed", Trades(BTC, snapshot=history_first), Trades(BTC, snapshot=not history_first), Trades(BTC))
    (asked,) = client.requests()
    assert asked["params"] == {"channel": "trade", "symbol": [BTC], "snapshot": True}
    client.receive(*acks(asked), trades(1, 2, history=True))
    assert client.kinds("feed") == ["Trade", "Trade"]
    client.remove("feed")
    assert words(client.accept()) == ["unsubscribe trade BTC/USD"]


def test_removing_who_is_not_there_does_nothing() -> None:
    client = Client()
    client.remove("nobody")
    assert client.requests() == []


def test_what_an_endpoint_does_not_serve_is_refused_by_the_client() -> None:
    endpoint = Endpoint("ws://exchange.test", serves=("book", "trade"))
    session = Session(Settings(), lambda: 0.0, codec_for("v2"), endpoint)
    session.open(0.0)
    ((feed, reasons),) = session.add("feed", [Book(BTC), Ticker(BTC)], 0.0).answers
    assert feed == "feed"
    assert reasons == {Ticker(BTC): "this endpoint has no channel 'ticker'; it has book, trade"}
