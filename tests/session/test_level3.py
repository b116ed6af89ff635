"""Level 3 in a session: requested one by one within the budget of snapshots, verified, resubscribed alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio.endpoint import Endpoint
from kraken_trio.events import Cause, Gap, Level3Snapshot, Level3Update
from kraken_trio.requests import Book, Level3
from kraken_trio.session import Session
from kraken_trio.session.timing import SNAPSHOT_POINTS, TokenBucket
from kraken_trio.settings import Settings
from kraken_trio.statistics import SubscriptionState
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.rest import Answer
from tests.session.driver import BTC, BUSY, ETH, Client, Market, ack, data, refusal, words
from tests.session.orders import Orders

if TYPE_CHECKING:
    from tests.session.driver import Asked

LIMITED = "Rate limit for snapshot requests exceeded, when trying to subscribe to {} level3 snapshot"


def lost() -> str:
    """An update of an order that nobody knows."""
    gone = (
        '{"event":"delete","order_id":"ONONE0-NONE0-NONE00","limit_price":1.0,"order_qty":1.0,'
        '"timestamp":"2026-10-01T10:00:00.000000001Z"}'
    )
    entry = f'{{"checksum":0,"symbol":"{BTC}","bids":[{gone}],"asks":[],"timestamp":"2026-10-01T10:00:00.000000001Z"}}'
    return data("level3", "update", [entry])


def level3_ack(asked: Asked) -> str:
    """As Kraken writes it: without the depth, and never with a token."""
    (symbol,) = asked["params"]["symbol"]
    return ack(asked, result={"channel": "level3", "symbol": symbol, "snapshot": True})


def live(*markets: Orders, **settings: Any) -> Client:
    client = Client(**settings)
    client.add("feed", *(Level3(market.symbol) for market in markets))
    for asked in client.requests():
        client.receive(level3_ack(asked))
    client.receive(*(market.snapshot() for market in markets))
    assert client.kinds("feed") == ["Level3Snapshot"] * len(markets)
    return client


def test_each_symbol_is_requested_alone_and_with_the_placeholder_of_the_token() -> None:
    client = Client()
    client.add("feed", Level3(BTC, 100), Level3(ETH, 100))
    asked = client.requests()
    assert [one["params"] for one in asked] == [
        {"channel": "level3", "symbol": [symbol], "depth": 100, "snapshot": True, "token": "<token>"}
        for symbol in (BTC, ETH)
    ]
    assert asked[0]["req_id"] != asked[1]["req_id"]
    client.receive(*map(level3_ack, asked))
    assert client.answers["feed"] == {}
    client.remove("feed")
    assert [(one["method"], one["params"]) for one in client.requests()] == [
        ("unsubscribe", {"channel": "level3", "symbol": [symbol], "depth": 100, "token": "<token>"})
        for symbol in (BTC, ETH)
    ]


def test_a_market_is_delivered_and_a_late_feed_starts_with_its_state() -> None:
    market = Orders()
    client = live(market)
    client.receive(*(market.update() for _ in range(200)))
    events = client.events("feed")
    assert {type(event) for event in events} == {Level3Update}
    kinds = {one.kind.value for event in events for one in (*event.bids, *event.asks)}  # type: ignore[union-attr]  # all are updates
    assert kinds == {"add", "modify", "fill", "cancel", "amend"}
    client.add("late", Level3(BTC))
    (first,) = client.events("late")
    assert isinstance(first, Level3Snapshot)
    shown = [(str(order.price), order.order_id) for order in first.bids]
    assert shown == [(price, name) for price, queue in market.exchange.lines("bids") for name, _ in queue]
    assert first == client.session.rebuild(("level3", BTC))


@pytest.mark.parametrize("bad", ["checksum", "unknown id", "malformed"])
def test_a_failure_resubscribes_its_symbol_alone(bad: str) -> None:
    market, other = Orders(), Orders(ETH)
    client = live(market, other)
    match bad:
        case "checksum":
            frame = market.update(spoil=1)
        case "unknown id":
            frame = lost()
        case _:
            frame = market.update().replace('"bids"', '"bids":7,"bid"', 1)
    client.receive(frame, other.update())
    cause = Cause.MALFORMED if bad == "malformed" else Cause.CHECKSUM
    assert client.kinds("feed") == [f"Gap {cause.value}", "Level3Update"]
    unsubscribe = client.request()
    assert (unsubscribe["method"], unsubscribe["params"]["symbol"]) == ("unsubscribe", [BTC])
    client.receive(market.update(), level3_ack(unsubscribe))
    subscribe = client.request()
    assert words([subscribe]) == [f"subscribe level3 {BTC}"]
    assert client.kinds("feed") == []
    # An update before the snapshot is dropped.
    client.receive(level3_ack(subscribe), market.update(), market.snapshot(), market.update())
    assert client.kinds("feed") == ["Level3Snapshot", "Level3Update"]


def test_the_precision_that_comes_while_nothing_is_subscribed_is_no_first_data() -> None:
    """A quantity with an exponent, a checksum that fails, and REST's answer while the subscription begins again."""
    market = Orders()
    client = live(market)
    small = lost().replace('"delete"', '"add"').replace('"order_qty":1.0', '"order_qty":1e-05')
    client.receive(small)
    (query,) = client.receive(level3_ack(client.request())).queries
    subscribe = client.request()
    client._call("answered", query, Answer({}), client.now)
    assert client.kinds("feed") == ["Gap checksum"]
    client.receive(level3_ack(subscribe), market.snapshot(), market.update())
    assert client.kinds("feed") == ["Level3Snapshot", "Level3Update"]


def test_what_fails_again_and_again_is_parked() -> None:
    market, other = Orders(), Orders(ETH)
    client = live(market, other, attempts=2)
    client.receive(market.update(spoil=1))
    for _ in range(3):
        client.advance(3.0, heartbeat=1.0)
        for asked in client.requests():
            client.receive(level3_ack(asked))
        for asked in client.requests():
            client.receive(level3_ack(asked), market.snapshot(spoil=1))
    for asked in client.requests():
        client.receive(level3_ack(asked))
    states = client.states
    assert states == {Level3(BTC): SubscriptionState.PARKED, Level3(ETH): SubscriptionState.LIVE}
    assert client.kinds("feed") == ["Gap checksum", "Gap parked"]


@pytest.mark.parametrize("waits_for", ["its confirmation", "its snapshot", "another attempt"])
def test_an_answer_of_rest_begins_nothing(waits_for: str) -> None:
    """The precision of the pair was asked for; the answer may come at any time, and a snapshot is still due."""
    market = Orders()
    client = live(market)
    frame = json.loads(market.update(spoil=1))
    small = {"event": "add", "order_id": "OSMALL", "order_qty": 1e-05, "timestamp": "2026-10-01T10:00:00.000000001Z"}
    frame["data"][0]["bids"] = [small | {"limit_price": 10050.5}]
    client.receive(json.dumps(frame, separators=(",", ":")))
    asked = client.receive(level3_ack(client.request())).queries
    assert [query.name for query in asked] == ["AssetPairs"]
    subscribe = client.request()
    if waits_for == "its snapshot":
        client.receive(level3_ack(subscribe))
    elif waits_for == "another attempt":
        client.receive(refusal(BUSY, subscribe, BTC))
    client.session.answered(asked[0], Answer({}), client.now)
    assert client.states == {Level3(BTC): SubscriptionState.RESYNCING}
    if waits_for == "another attempt":
        client.advance(10.0, heartbeat=1.0)
        subscribe = client.request()
    if waits_for != "its snapshot":
        client.receive(level3_ack(subscribe))
    client.receive(market.snapshot(), market.update())
    assert client.kinds("feed") == ["Gap checksum", "Level3Snapshot", "Level3Update"]


# The budget


def test_a_refused_snapshot_is_requested_again_later() -> None:
    client = Client()
    client.add("feed", Level3(BTC), Level3(ETH))
    first, second = client.requests()
    # As Kraken writes it: the symbol is in its text, and no number of the request is said.
    answer = json.loads(refusal(LIMITED.format(ETH)))
    client.receive(json.dumps(answer | {"channel": "level3", "method": "subscribe", "status": "error"}))
    client.receive(level3_ack(first))
    assert client.requests() == []
    assert "feed" not in client.answers
    client.advance(0.9, heartbeat=0.5)
    assert client.requests() == []
    client.advance(0.2, heartbeat=0.5)
    again = client.request()
    assert (again["params"]["symbol"], again["req_id"] > second["req_id"]) == ([ETH], True)
    client.receive(level3_ack(again))
    assert client.answers["feed"] == {}


@pytest.mark.parametrize(("depth", "cost"), [(10, 5), (100, 25), (1000, 100)])
def test_snapshots_are_spread_over_time(depth: Any, cost: int) -> None:
    """No second has more than 200 points, and nothing times out, becomes stale or is refused while it waits."""
    symbols = [f"C{number}/USD" for number in range(200)]
    client = Client(requests_in_flight=10)
    client.add("feed", *(Level3(symbol, depth) for symbol in symbols))
    market = Orders(depth=10)
    asked: list[str] = []
    times: list[float] = []
    while "feed" not in client.answers:
        for one in client.requests():
            (symbol,) = one["params"]["symbol"]
            asked.append(symbol)
            times.append(client.sent_at[one["req_id"]])
            market.symbol = symbol
            client.receive(level3_ack(one), market.snapshot())
        client.advance(0.25, heartbeat=0.25)
        assert times[-1] - times[0] < 1000
    assert asked == symbols
    for index, at in enumerate(times):
        assert sum(cost for other in times[index:] if other - at < 0.999) <= 2 * SNAPSHOT_POINTS
    pace = min(SNAPSHOT_POINTS / cost, client.settings.request_rate)
    assert times[-1] - times[0] == pytest.approx(199 / pace, rel=0.1)
    assert set(client.states.values()) == {SubscriptionState.LIVE}
    assert client.kinds("feed") == ["Level3Snapshot"] * 200
    assert (client.count("resyncs"), client.count("refusals"), client.count("stale"), client.drops) == (0, 0, 0, [])


def test_what_costs_nothing_passes_the_snapshots_that_wait() -> None:
    client = Client()
    client.add("orders", Level3(BTC, 1000), Level3(ETH, 1000))
    client.add("book", Book(BTC))
    assert words(client.requests()) == [f"subscribe level3 {BTC}", f"subscribe book {BTC}"]
    client.remove("orders")
    assert words(client.requests()) == [f"unsubscribe level3 {BTC}"]
    client.advance(2.0)
    assert client.requests() == []


def test_a_resubscribe_takes_from_the_budget_as_well() -> None:
    market = Orders(depth=10)
    client = Client()
    client.add("feed", Level3(BTC, 1000))
    client.receive(level3_ack(client.request()), market.snapshot(), market.update(spoil=1))
    client.receive(level3_ack(client.request()))
    assert client.requests() == []
    client.advance(0.99, heartbeat=0.5)
    assert client.requests() == []
    client.advance(0.02)
    assert words(client.requests()) == [f"subscribe level3 {BTC}"]


def test_clients_may_share_a_budget() -> None:
    shared = TokenBucket(SNAPSHOT_POINTS, SNAPSHOT_POINTS)
    sessions = [
        Session(Settings(), lambda: 0.0, codec_for("v2"), Endpoint("ws://exchange.test"), shared) for _ in range(2)
    ]
    sent: list[list[str]] = []
    for session in sessions:
        session.open(0.0)
        session.connected(0.0)
        sent.append(session.add("feed", [Level3(BTC, 1000)], 0.0).send)
    assert [len(frames) for frames in sent] == [1, 0]
    assert sessions[1].deadline == 1.0
    assert len(sessions[1].tick(1.0).send) == 1
    # Somebody else was faster.
    sessions[0].remove("feed", 2.0)
    sessions[0].add("more", [Level3(ETH, 1000)], 1.5)
    sessions[1].add("more", [Level3(ETH, 1000)], 1.5)
    assert [session.deadline for session in sessions] == [2.0, 2.0]
    assert [len(session.tick(2.0).send) for session in sessions] == [1, 0]
    assert sessions[1].deadline == 3.0


def test_one_symbol_more_than_a_connection_may_have_is_refused_by_the_client() -> None:
    client = Client()
    client.add("feed", *(Level3(f"C{number}/USD") for number in range(200)))
    assert "feed" not in client.answers
    client.add("same", Level3("C7/USD"))
    assert "same" not in client.answers
    client.add("more", Level3(BTC), Level3(ETH))
    text = (
        "Kraken allows 200 symbols of the channel 'level3' per connection, and a client is one connection: open "
        "another client for the rest, or let a relay spread them"
    )
    assert client.answers["more"] == {Level3(BTC): text, Level3(ETH): text}
    client.add("book", Book(BTC))
    assert "book" not in client.answers
    client.remove("feed")
    client.add("again", Level3(BTC))
    assert "again" not in client.answers


def test_other_channels_may_share_a_frame() -> None:
    client = Client()
    client.add("feed", Book(BTC), Book(ETH))
    assert words(client.requests()) == [f"subscribe book {BTC} {ETH}"]


def test_a_lost_connection_begins_again() -> None:
    market = Orders()
    client = live(market)
    client.lose()
    (gap,) = client.events("feed")
    assert isinstance(gap, Gap)
    assert (gap.channel, gap.symbol) == ("level3", BTC)
    client.reconnect()
    client.receive(level3_ack(client.request()), market.snapshot(), market.update())
    assert client.kinds("feed") == ["Level3Snapshot", "Level3Update"]


def test_orders_and_prices_of_a_symbol_are_side_by_side() -> None:
    market, orders = Market(), Orders()
    client = live(orders)
    client.follow_book("book", market)
    client.receive(market.tick("7.0"), orders.update())
    assert (client.kinds("book"), client.kinds("feed")) == (["BookUpdate"], ["Level3Update"])
