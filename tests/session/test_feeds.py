"""Several feeds of one client: shared subscriptions, who is refused, who waits for what."""

from __future__ import annotations

import pytest

from kraken_trio.events import BookSnapshot, Cause, ConnectionState, Gap, InstrumentUpdate, StateChange, TickerUpdate
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Request, Ticker, Trades
from kraken_trio.statistics import SubscriptionState
from tests.session.driver import (
    BTC,
    BUSY,
    ETH,
    SOL,
    UNKNOWN_PAIR,
    Client,
    Market,
    ack,
    acks,
    asset,
    instruments,
    refusal,
    ticker,
    trades,
    words,
)


def test_a_feed_that_joins_what_was_refused_gets_an_answer_of_its_own() -> None:
    client = Client()
    client.follow("old", Ticker(BTC))
    client.lose()
    client.reconnect()
    client.receive(refusal(UNKNOWN_PAIR, client.request(), BTC))
    client.add("new", Ticker(BTC))
    assert "new" not in client.answers
    client.receive(refusal(UNKNOWN_PAIR, client.request(), BTC))
    assert client.answers["new"] == {Ticker(BTC): UNKNOWN_PAIR}
    assert client.states == {Ticker(BTC): SubscriptionState.REFUSED}
    assert "Gap refused" in client.kinds("old")
    assert client.events("new") == []


def test_a_feed_that_joins_what_is_live_starts_with_what_is_known() -> None:
    client, market = Client(), Market()
    client.follow_book("old", market, Ticker(BTC))
    client.receive(market.tick("7.00"), ticker(1), ticker(2))
    client.add("new", Book(BTC), Ticker(BTC))
    assert client.outbox == []
    snapshot, last = client.events("new")
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot.checksum == market.checksum
    assert [str(level.qty) for level in snapshot.bids] == ["1.00", "7.00"]
    assert isinstance(last, TickerUpdate)
    assert last.last == 2
    assert last.snapshot
    client.receive(market.tick("8.00"))
    assert client.kinds("new") == ["BookUpdate"]


def test_a_feed_that_joins_during_an_outage_waits_for_its_end() -> None:
    client, market = Client(), Market()
    client.follow_book("old", market)
    client.lose()
    client.add("new", Book(BTC))
    assert "new" not in client.answers
    client.reconnect()
    client.accept()
    client.receive(market.snapshot())
    assert client.answers["new"] == {}
    assert client.kinds("new") == ["BookSnapshot"]
    assert client.kinds("old") == ["Gap disconnected", "BookSnapshot"]


def test_a_feed_that_joins_what_is_about_to_be_parked_does_not_wait_for_the_end_of_its_rest() -> None:
    client, market = Client(attempts=1), Market()
    client.follow_book("old", market)
    client.receive(market.tick("7.00", spoil=1))
    client.accept()  # unsubscribe
    client.accept()  # subscribe
    client.receive(market.snapshot(spoil=1))
    (leaving,) = client.requests()
    assert client.session.statistics().parked == 1
    client.add("new", Book(BTC))
    client.receive(*acks(leaving))
    client.accept()
    client.receive(market.snapshot())
    assert client.answers["new"] == {}
    assert client.kinds("new") == ["BookSnapshot"]
    assert client.kinds("old")[-1] == "BookSnapshot"
    client.advance(2 * client.settings.park_time, heartbeat=1)
    assert client.requests() == []
    assert client.state() is ConnectionState.SUBSCRIBED


def test_only_what_is_too_much_is_refused() -> None:
    client = Client(max_subscriptions=2)
    client.follow("old", Ticker(BTC))
    client.add("new", Ticker(ETH), Ticker(SOL), Ticker(BTC), Lifecycle())
    assert list(client.answers["new"]) == [Ticker(SOL)]
    assert "max_subscriptions" in client.answers["new"][Ticker(SOL)]
    assert client.requests() == []
    client.follow("other", Ticker(BTC), Ticker(ETH))


def test_a_refused_feed_does_not_wait_for_the_next_connection() -> None:
    client = Client()
    client.add("feed", Ticker(BTC), Trades(ETH))
    client.receive(refusal(UNKNOWN_PAIR, client.requests()[0], BTC))
    assert client.answers == {}  # the other answer is just coming
    client.lose()
    assert client.answers == {"feed": {Ticker(BTC): UNKNOWN_PAIR}}
    assert list(client.session.subscriptions) == []


def test_a_feed_gets_nothing_before_its_answer() -> None:
    """Nobody reads it yet, so what came would fill its channel."""
    client = Client()
    client.add("feed", Lifecycle(), Book(BTC))
    client.lose()
    client.reconnect()
    assert client.events("feed") == []
    client.accept()
    client.receive(Market().snapshot())
    assert client.kinds("feed") == ["BookSnapshot", "StateChange"]


def test_what_an_exchange_says_is_printable_wherever_it_appears() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    (asked,) = client.requests()
    client.receive(refusal("\x1b[2J" + 1000 * "no", asked), refusal("no", None, "\x1b[2J" + 1000 * "X"))
    gaps = [event for event in client.events("feed") if isinstance(event, Gap)]
    for text in (*client.warnings, *(gap.detail for gap in gaps)):
        assert text.isprintable()
        assert len(text) < 300


# One subscription, several feeds


def test_equal_requests_share_the_wire_until_the_last_one_leaves() -> None:
    client = Client()
    client.follow("one", Ticker(BTC))
    client.add("two", Ticker(BTC))
    client.add("three", Ticker(BTC))
    assert client.answers == {"one": {}, "two": {}, "three": {}}
    assert client.requests() == []
    client.receive(ticker(1))
    assert [client.kinds(feed) for feed in ("one", "two", "three")] == [["TickerUpdate"]] * 3
    assert client.count("events") == 3
    client.remove("one")
    client.remove("three")
    assert client.requests() == []
    client.receive(ticker(2))
    assert [client.kinds(feed) for feed in ("one", "two", "three")] == [[], ["TickerUpdate"], []]
    client.remove("two")
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    assert list(client.session.subscriptions) == []


def test_a_feed_that_joins_while_the_answer_is_awaited_is_answered_with_it() -> None:
    client = Client()
    client.add("one", Ticker(BTC))
    client.add("two", Ticker(BTC))
    (asked,) = client.requests()
    assert client.answers == {}
    client.receive(*acks(asked))
    assert client.answers == {"one": {}, "two": {}}


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (Book(BTC, depth=25), Book(BTC, depth=100), "depth=25"),
        (Candles(BTC, interval=5), Candles(BTC, interval=60), "interval=5"),
        (Ticker(BTC, trigger="bbo"), Ticker(BTC), "trigger=bbo"),
    ],
    ids=str,
)
def test_what_the_exchange_allows_once_is_refused_by_the_client(first: Request, second: Request, text: str) -> None:
    client = Client()
    client.follow("one", first)
    client.add("two", Trades(ETH), second)
    reason = client.answers["two"][second]
    assert text in reason
    assert BTC in reason
    assert list(client.answers["two"]) == [second]
    assert client.requests() == []
    client.add("three", first, second)  # and within one feed
    assert list(client.answers["three"]) == [second]
    client.add("four", second, first)
    assert second in client.answers["four"]
    client.remove("one")
    client.accept()
    client.follow("five", second)


def test_a_feed_that_asks_for_the_state_alone_is_answered_at_once() -> None:
    client = Client(connect=False)
    client.add("feed", Lifecycle())
    assert client.answers == {"feed": {}}
    client.connect()
    (change,) = client.events("feed")
    assert isinstance(change, StateChange)
    assert (change.cause, change.current) == (Cause.CONNECTED, ConnectionState.SUBSCRIBED)
    assert client.requests() == []


def test_who_leaves_gets_nothing_any_more() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC), Lifecycle())
    client.follow("other", Ticker(BTC))
    client.remove("feed")
    client.events("feed")
    client.receive(ticker(1))
    client.lose()
    assert client.events("feed") == []
    assert client.kinds("other") == ["TickerUpdate", "Gap disconnected"]


def test_the_rest_of_a_refused_feeds_wishes_stays_for_others() -> None:
    client = Client()
    client.add("bad", Ticker(BTC), Ticker(ETH))
    client.add("good", Ticker(BTC))
    (asked,) = client.requests()
    client.receive(ack(asked, BTC), refusal(UNKNOWN_PAIR, asked, ETH))
    assert client.answers == {"bad": {Ticker(ETH): UNKNOWN_PAIR}, "good": {}}
    client.receive(ticker(1))
    assert client.kinds("good") == ["TickerUpdate"]
    assert client.events("bad") == []
    assert client.requests() == []


# Leaving, and coming back before that is done


def test_who_comes_back_while_it_is_left_waits_for_the_new_subscription() -> None:
    client = Client()
    client.follow("one", Ticker(BTC))
    client.receive(ticker(1))
    client.remove("one")
    client.add("two", Ticker(BTC))
    client.receive(ticker(2))
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    assert "two" not in client.answers
    client.receive(ticker(3))
    assert client.kinds("two") == ["TickerUpdate"]  # it overtook the answer; the first two belong to the past
    assert client.count("late") == 1
    assert client.state() is ConnectionState.SUBSCRIBED


def test_who_comes_back_while_it_is_left_misses_nothing_of_before() -> None:
    client = Client()
    client.follow("one", Trades(BTC))
    client.receive(trades(1, 2))
    client.remove("one")
    client.add("two", Trades(BTC))
    client.accept()
    (asked,) = client.requests()
    client.receive(*acks(asked), trades(8, 9, history=True), trades(10))
    assert client.kinds("two") == ["Trade"]


def test_who_comes_and_goes_while_it_is_left_leaves_nothing_behind() -> None:
    client = Client()
    client.follow("one", Ticker(BTC))
    client.remove("one")
    client.add("two", Ticker(BTC))
    assert client.state() is ConnectionState.RESYNCING
    client.remove("two")
    assert client.state() is ConnectionState.SUBSCRIBED
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    assert client.requests() == []
    assert list(client.session.subscriptions) == []


def test_what_is_not_answered_yet_can_be_left() -> None:
    client = Client()
    client.add("one", Ticker(BTC))
    client.remove("one")
    subscribe, unsubscribe = client.requests()
    client.receive(*acks(subscribe), ticker(1))
    assert client.answers == {}
    assert client.count("late") == 1
    client.receive(*acks(unsubscribe))
    assert list(client.session.subscriptions) == []


def test_a_pause_ends_with_the_wish() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    for attempt in range(2):
        client.receive(market.tick("7.00", spoil=1))
        leaving = client.request()
        if attempt == 0:
            client.receive(*acks(leaving))
            client.accept()
            client.receive(market.snapshot())
    client.remove("feed")  # it was to be left, and to be asked for again after a pause
    client.advance(3, heartbeat=1)
    client.receive(*acks(leaving))
    client.advance(100, heartbeat=1)
    assert client.requests() == []
    assert list(client.session.subscriptions) == []


def test_what_rests_between_two_attempts_can_be_left_and_wanted_again() -> None:
    client = Client()
    client.add("one", Ticker(BTC))
    client.receive(refusal(BUSY, client.request(), BTC))
    client.remove("one")
    client.add("two", Ticker(BTC))
    client.accept()
    client.accept()
    assert client.answers == {"two": {}}
    client.receive(ticker(1))
    client.advance(100, heartbeat=1)
    assert client.requests() == []


def test_what_a_book_amounts_to_is_known_while_it_is_verified() -> None:
    client, market = Client(), Market()
    rebuild = client.session.rebuild
    assert rebuild(("book", BTC)) is None  # nobody wants it
    client.follow_book("feed", market)
    client.receive(market.tick("7.00"))
    now = rebuild(("book", BTC))
    assert isinstance(now, BookSnapshot)
    assert now.bids[-1].qty == 7
    assert now.checksum == market.checksum
    assert rebuild((None, None)) is None
    client.receive(market.tick("8.00", spoil=1))
    assert rebuild(("book", BTC)) is None
    assert client.kinds("feed")[-1] == "Gap checksum"


def test_what_reference_data_amounts_to_is_known_until_some_is_lost() -> None:
    client = Client()
    client.follow("feed", Instruments())
    assert client.session.rebuild(("instrument", None)) is None
    client.receive(instruments([asset("BTC"), asset("ETH")], kind="snapshot"))
    client.receive(instruments([asset("ETH", "disabled")]))
    now = client.session.rebuild(("instrument", None))
    assert isinstance(now, InstrumentUpdate)
    assert now.snapshot
    assert [(one.id, one.status) for one in now.assets] == [("BTC", "enabled"), ("ETH", "disabled")]
    client.lose()
    assert client.session.rebuild(("instrument", None)) is None
