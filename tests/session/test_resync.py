"""A book that failed a check is left and asked for again: alone, step by step, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kraken_trio.book import OrderBook
from kraken_trio.events import BookSnapshot, Cause, ConnectionState, Gap
from kraken_trio.evidence import ChecksumEvidence
from kraken_trio.requests import Book
from kraken_trio.statistics import SubscriptionState
from tests.session.driver import (
    ABSENT,
    ALREADY,
    BTC,
    BUSY,
    ETH,
    NONSENSE,
    RATE_LIMIT,
    UNKNOWN_PAIR,
    Client,
    Market,
    acks,
    books,
    refusal,
    words,
)

UNSUBSCRIBE, SUBSCRIBE = ["unsubscribe book BTC/USD"], ["subscribe book BTC/USD"]
CROSSING = [("101.5", "1.00")]
"""A bid above the best ask."""


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def client(market: Market) -> Client:
    client = Client()
    client.follow_book("feed", market)
    client.changes.clear()
    return client


def state_of(client: Client) -> SubscriptionState:
    return client.states[Book(BTC)]


def test_the_steps_of_a_resync(client: Client, market: Market) -> None:
    assert state_of(client) is SubscriptionState.LIVE
    client.receive(market.tick("7.00", spoil=1), market.tick("8.00"))
    (gap,) = client.events("feed")
    assert isinstance(gap, Gap)
    assert (gap.symbol, gap.channel, gap.cause, gap.epoch, gap.received_ns) == (BTC, "book", Cause.CHECKSUM, 1, 3)
    assert isinstance(gap.evidence, ChecksumEvidence)
    assert gap.evidence.expected == gap.evidence.computed ^ 1
    assert client.session.statistics().last_mismatch is gap.evidence
    assert (client.changes[-1].cause, client.changes[-1].current) == (Cause.CHECKSUM, ConnectionState.RESYNCING)
    assert state_of(client) is SubscriptionState.RESYNCING

    (leaving,) = client.requests()
    assert leaving["params"] == {"channel": "book", "symbol": [BTC], "depth": 10}
    client.receive(market.tick("9.00"), market.snapshot(), *acks(leaving))  # the old stream's last words

    (asking,) = client.requests()
    assert words([asking]) == SUBSCRIBE
    assert state_of(client) is SubscriptionState.RESYNCING
    client.receive(market.tick("9.50"), *acks(asking), market.tick("9.60"))
    assert client.events("feed") == []
    assert client.count("late") == 5
    assert state_of(client) is SubscriptionState.RESYNCING

    client.receive(market.snapshot(), market.tick("9.70"))
    assert client.kinds("feed") == ["BookSnapshot", "BookUpdate"]
    assert state_of(client) is SubscriptionState.LIVE
    assert client.state() is ConnectionState.SUBSCRIBED
    assert client.changes[-1].cause is Cause.SETTLED
    assert client.count("resyncs") == client.count("checksum_failures") == client.count("gaps") == 1
    assert client.count("checksums_verified") == 3
    assert "resync, checksum" in client.warnings[-2]
    assert "everything is verified again" in client.warnings[-1]


def test_others_go_on_undisturbed(client: Client, market: Market) -> None:
    other = Market(ETH)
    client.follow_book("other", other)
    client.follow("both", Book(ETH), Book(BTC))
    client.events("both")
    client.receive(market.tick("7.00", spoil=1), other.tick("7.00"))
    client.receive(other.tick("8.00"))
    client.accept()
    client.receive(other.tick("9.00"))
    client.accept()
    client.receive(other.tick("9.50"), market.snapshot(), other.tick("9.60"))
    assert client.kinds("other") == ["BookUpdate"] * 5
    assert client.kinds("feed") == ["Gap checksum", "BookSnapshot"]
    assert client.kinds("both") == ["Gap checksum"] + ["BookUpdate"] * 4 + ["BookSnapshot", "BookUpdate"]


def test_one_resync_at_a_time(client: Client, market: Market) -> None:
    client.receive(*(market.tick(f"{n}.00", spoil=1) for n in range(1, 9)))
    assert words(client.requests()) == UNSUBSCRIBE
    assert client.kinds("feed") == ["Gap checksum"]
    assert client.count("resyncs") == 1


@pytest.mark.parametrize("error", [RATE_LIMIT, BUSY, ABSENT, UNKNOWN_PAIR])
def test_a_resync_gets_over_a_refused_unsubscribe(client: Client, market: Market, error: str) -> None:
    client.receive(market.tick("7.00", spoil=1))
    client.receive(refusal(error, client.request(), BTC))
    for _ in range(4):
        client.advance(1.1)
        client.accept()
    client.receive(market.snapshot())
    assert client.state() is ConnectionState.SUBSCRIBED


@pytest.mark.parametrize("error", [RATE_LIMIT, BUSY, ALREADY])
def test_a_resync_gets_over_a_refused_subscribe(client: Client, market: Market, error: str) -> None:
    client.receive(market.tick("7.00", spoil=1))
    client.accept()
    client.receive(refusal(error, client.request(), BTC))
    for _ in range(4):
        client.advance(1.1)
        client.accept()
    client.receive(market.snapshot())
    assert client.kinds("feed") == ["Gap checksum", "BookSnapshot"]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_each_resync_has_its_own_pauses_for_rate_limits(client: Client, market: Market) -> None:
    for _ in range(3):
        client.advance(31, heartbeat=1)
        client.receive(market.tick("7.00", spoil=1))
        client.accept()
        client.receive(refusal(RATE_LIMIT, client.request(), BTC))
        client.advance(1.1)
        client.accept()
        client.receive(market.snapshot())
        assert client.state() is ConnectionState.SUBSCRIBED


def test_a_symbol_that_vanishes_meanwhile_is_told(client: Client, market: Market) -> None:
    client.receive(market.tick("7.00", spoil=1))
    client.accept()
    client.receive(refusal(UNKNOWN_PAIR, client.request(), BTC))
    assert client.kinds("feed") == ["Gap checksum", "Gap refused"]
    assert state_of(client) is SubscriptionState.REFUSED


def test_every_step_has_a_deadline(client: Client, market: Market) -> None:
    client.receive(market.tick("7.00", spoil=1))
    said = []
    for _ in range(3):
        said += words(client.requests())
        client.advance(11.2, heartbeat=1)  # no answer to the unsubscribe, none to the subscribe
    assert said == UNSUBSCRIBE + SUBSCRIBE + SUBSCRIBE
    client.accept()
    client.advance(10.1, heartbeat=1)  # a yes, but no snapshot
    assert words(client.accept()) == UNSUBSCRIBE
    assert client.kinds("feed") == ["Gap checksum"]
    client.advance(3, heartbeat=1)
    client.accept()
    client.receive(market.snapshot())
    assert client.kinds("feed") == ["BookSnapshot"]


def test_a_first_snapshot_that_never_comes_is_asked_for_again(market: Market) -> None:
    client = Client()
    client.follow("feed", Book(BTC))
    client.advance(9.9, heartbeat=1)
    assert client.requests() == []
    client.advance(0.2)
    assert words(client.requests()) == UNSUBSCRIBE
    assert client.kinds("feed") == ["Gap resubscribed"]
    assert client.count("resyncs") == 1


def test_a_snapshot_that_came_is_not_waited_for(client: Client) -> None:
    client.advance(100, heartbeat=1)
    assert client.requests() == []


def fail_until_parked(client: Client, market: Market) -> list[float]:
    """Spoil every snapshot. Returns the pauses between an unsubscribe's yes and the next subscribe."""
    client.receive(market.tick("7.00", spoil=1))
    pauses: list[float] = []
    while client.count("parked") == 0:
        assert len(pauses) <= client.settings.attempts, "it is never given up"
        client.accept()
        left_at = client.now
        while not client.outbox:
            client.advance(0.25, heartbeat=0.25)
        pauses.append(client.now - left_at)
        client.accept()
        client.receive(market.snapshot(spoil=1))
    return pauses


def test_attempts_come_slower_and_slower_and_then_it_is_parked(market: Market) -> None:
    client = Client(attempts=5, attempt_delay=0.5, attempt_delay_max=3.0, park_time=600.0)
    client.follow_book("feed", market)
    assert fail_until_parked(client, market) == pytest.approx([0, 0.5, 1, 2, 3])
    assert client.kinds("feed") == ["Gap checksum", "Gap parked"]
    assert words(client.accept()) == UNSUBSCRIBE
    assert state_of(client) is SubscriptionState.PARKED
    assert client.state() is ConnectionState.RESYNCING
    client.advance(599, heartbeat=1)
    assert client.requests() == []
    client.advance(2, heartbeat=1)
    assert words(client.accept()) == SUBSCRIBE
    client.receive(market.snapshot())
    assert client.kinds("feed") == ["BookSnapshot"]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_a_book_that_fails_again_after_a_short_life_has_fewer_attempts_left(market: Market) -> None:
    client = Client(attempts=2, stable_after=30)
    client.follow_book("feed", market)
    for _ in range(2):
        client.receive(market.tick("7.00", spoil=1))
        client.accept()
        client.advance(1, heartbeat=1)
        client.accept()
        client.receive(market.snapshot())
    client.advance(29, heartbeat=1)
    client.receive(market.tick("7.00", spoil=1))
    assert client.count("parked") == 1


def test_a_book_that_fails_after_a_long_life_has_all_attempts(market: Market) -> None:
    client = Client(attempts=1, stable_after=30)
    client.follow_book("feed", market)
    for _ in range(5):
        client.advance(30, heartbeat=1)
        client.receive(market.tick("7.00", spoil=1))
        client.accept()
        client.accept()
        client.receive(market.snapshot())
    assert client.count("parked") == 0
    assert client.state() is ConnectionState.SUBSCRIBED


def test_time_goes_on_from_the_first_snapshot_not_from_a_later_one(market: Market) -> None:
    client = Client(attempts=1, stable_after=30)
    client.follow_book("feed", market)
    client.receive(market.tick("7.00", spoil=1))
    client.accept()
    client.accept()
    client.receive(market.snapshot())
    client.advance(20, heartbeat=1)
    client.receive(market.snapshot())  # unasked for
    client.advance(20, heartbeat=1)
    client.receive(market.tick("7.00", spoil=1))
    assert client.count("parked") == 0
    assert client.kinds("feed") == ["Gap checksum", "BookSnapshot", "BookSnapshot", "Gap checksum"]


def test_a_long_pause_may_be_over_before_the_unsubscribe_is_answered(market: Market) -> None:
    client = Client(attempts=1, park_time=5)
    client.follow_book("feed", market)
    client.receive(market.tick("7.00", spoil=1))
    client.accept()
    client.accept()
    client.receive(market.snapshot(spoil=1))
    client.advance(6, heartbeat=1)  # parked, and the rest is over
    assert words(client.accept()) == UNSUBSCRIBE
    assert words(client.accept()) == SUBSCRIBE


# Crossed


def test_a_crossed_book_with_a_right_checksum_is_the_exchanges_own_state(client: Client, market: Market) -> None:
    """However often: the checksum covers both best levels, so no lost message can have crossed it."""
    book = OrderBook(10)
    for _ in range(20):
        client.receive(market.update(bids=CROSSING), market.snapshot(), market.update(bids=[("101.5", "0")]))
        for event, is_crossed in zip(books(client.events("feed")), (True, True, False), strict=True):
            book.apply(event) if book.available or isinstance(event, BookSnapshot) else None
            assert not book.available or book.crossed is is_crossed
    assert client.count("resyncs") == client.count("crossed") == client.count("parked") == 0
    assert client.state() is ConnectionState.SUBSCRIBED
    # A latecomer sees the same.
    client.receive(market.update(bids=CROSSING))
    client.add("late", Book(BTC))
    (first,) = books(client.events("late"))
    book.apply(first)
    assert book.crossed


def test_without_a_checksum_a_crossed_book_is_resynced_once_per_connection(market: Market) -> None:
    client = Client()
    client.follow("feed", Book(BTC))
    client.receive(unchecked(market.snapshot()), unchecked(market.update(bids=CROSSING)))
    assert client.kinds("feed") == ["BookSnapshot", "Gap crossed"]
    assert Cause.CROSSED not in {change.cause for change in client.changes}  # nothing had been in force
    (sub,) = client.session.subscriptions
    assert sub.state.start(Book(BTC)) == ()
    client.accept()
    client.accept()
    client.receive(unchecked(market.snapshot()), unchecked(market.tick("7.00")))
    assert client.kinds("feed") == ["BookSnapshot", "BookUpdate"]
    assert client.count("crossed") == client.count("resyncs") == 1
    client.lose()
    client.reconnect()
    client.accept()
    client.receive(unchecked(market.snapshot()))
    assert client.count("crossed") == client.count("resyncs") == 2
    assert words(client.requests()) == UNSUBSCRIBE


# Messages without a checksum


def unchecked(frame: str) -> str:
    return frame[: frame.index(',"checksum"')] + "}]}"


def test_an_update_without_a_checksum_is_no_proof_for_a_book_that_had_one(client: Client, market: Market) -> None:
    client.receive(unchecked(market.tick("7.00")))
    assert client.kinds("feed") == ["Gap malformed"]
    assert words(client.accept()) == UNSUBSCRIBE
    client.accept()
    client.receive(unchecked(market.snapshot()))  # nor is a snapshot
    assert client.kinds("feed") == []
    assert state_of(client) is SubscriptionState.RESYNCING
    assert words(client.accept()) == UNSUBSCRIBE


def test_where_no_checksum_ever_came_messages_are_taken(market: Market) -> None:
    client = Client()
    client.follow("feed", Book(BTC))
    client.receive(unchecked(market.snapshot()), unchecked(market.tick("7.00")))
    assert client.kinds("feed") == ["BookSnapshot", "BookUpdate"]
    assert client.count("checksums_verified") == 0
    client.receive(market.tick("8.00"))
    assert client.count("checksums_verified") == 1


# Losses and races


def test_a_loss_in_a_resync_is_no_second_gap(client: Client, market: Market) -> None:
    client.receive(market.tick("7.00", spoil=1))
    client.lose()
    client.reconnect()
    assert words(client.accept()) == SUBSCRIBE
    client.receive(market.snapshot())
    assert client.kinds("feed") == ["Gap checksum", "BookSnapshot"]


def test_a_loss_makes_all_attempts_new(market: Market) -> None:
    client = Client(attempts=1)
    client.follow_book("feed", market)
    client.receive(market.tick("7.00", spoil=1))
    client.lose()
    client.reconnect()
    client.accept()
    client.receive(market.snapshot(spoil=1))
    assert client.count("parked") == 0
    assert words(client.requests()) == UNSUBSCRIBE


def test_another_depth_while_the_old_one_is_left(client: Client, market: Market) -> None:
    client.remove("feed")
    (leaving,) = client.requests()
    assert leaving["params"]["depth"] == 10
    client.add("deep", Book(BTC, depth=25))
    client.receive(market.tick("7.00"), *acks(leaving))
    (asking,) = client.requests()
    assert asking["params"]["depth"] == 25
    client.receive(*acks(asking), market.snapshot())
    assert client.kinds("deep") == ["BookSnapshot"]


STEPS = st.lists(
    st.sampled_from(["in", "out", "answer", "refuse", "snapshot", "spoil", "wait", "lose", "nonsense", "limit"]),
    max_size=30,
)


@given(STEPS)
def test_whoever_leaves_and_comes_back_whenever_gets_a_good_book_in_the_end(steps: list[str]) -> None:
    client, market = Client(attempts=3), Market()
    feed, wanted = 0, False
    for step in steps:
        match step:
            case "in" if not wanted:
                feed, wanted = feed + 1, True
                client.add(feed, Book(BTC, depth=(10, 25)[feed % 2]))
            case "out" if wanted:
                wanted = False
                client.remove(feed)
            case "answer" if client.outbox:
                client.receive(*acks(client.outbox.pop(0)))
            case "refuse" if client.outbox:
                client.receive(refusal(BUSY, client.outbox.pop(0), BTC))
            case "limit":
                client.receive('{"Error":"Exceeded msg rate"}')
                client.outbox.clear()
            case "snapshot":
                client.receive(market.snapshot())
            case "spoil":
                client.receive(market.tick("7.00", spoil=1))
            case "nonsense":
                client.receive(NONSENSE)
            case "wait":
                client.advance(4, heartbeat=1)
            case "lose":
                client.lose()
                client.reconnect()
            case _:
                pass
        wanted = wanted and feed not in {one for one, reasons in client.answers.items() if reasons}
    if not wanted:
        feed += 1
        client.add(feed, Book(BTC, depth=(10, 25)[feed % 2]))
    for _ in range(1000):  # from now on the exchange behaves
        for asked in client.requests():
            client.receive(*acks(asked))
            if asked["method"] == "subscribe":
                client.receive(market.snapshot())
        if client.state() is ConnectionState.SUBSCRIBED and client.session.flushed:
            break
        client.advance(1, heartbeat=1)
    (sub,) = client.session.subscriptions
    assert sub.status is SubscriptionState.LIVE
    mine = books(client.events(feed))
    book = OrderBook(25)
    for event in mine:
        if isinstance(event, BookSnapshot) or book.available:
            book.apply(event)
    assert book.checksum() == market.checksum
