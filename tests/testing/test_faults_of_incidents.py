"""What Kraken was seen to do, or other clients were hurt by: each such fault does what it says, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kraken_trio.testing import (
    CrossedBook,
    Drop,
    DropHow,
    EndSubscription,
    Irregularity,
    IrregularSnapshot,
    MarketSpec,
    OmitChecksum,
    OmitSnapshot,
    Recording,
    ReferenceBook,
    SetStatus,
    SpeakV1,
    StopPushing,
)
from kraken_trio.testing.exchange.actions import End, Send
from tests.testing.venue import MARKETS, Venue, frames, text_of

THIN = MarketSpec(symbol="GST/EUR", price_precision=3, qty_precision=8, start_price="0.021", levels=3, history=0)


@pytest.fixture
def venue() -> Venue:
    return Venue()


def book_of(venue: Venue, connection: int = 1) -> ReferenceBook:
    """What a client has made of all that it was sent."""
    book = ReferenceBook(10)
    for frame in venue.core.journals[connection - 1].sent:
        if json.loads(frame)["channel"] == "book":
            book.feed(frame)
    return book


# Connections


def test_a_connection_answers_and_pushes_nothing(venue: Venue) -> None:
    for connection in (1, 2):
        venue.ask(connection=connection)
    assert venue.inject(StopPushing(connection=1)) == []
    ping = json.dumps({"method": "ping", "req_id": 3})
    assert frames(venue.core.receive(1, ping, 0.0))[0]["method"] == "pong"
    assert [answer["success"] for answer in venue.ask(channel="trade", symbol=["ETH/USD"])] == [True]
    actions = [*venue.core.publish(50, 0.0, "BTC/USD"), *venue.tick(20.0), *venue.inject(SetStatus(system="post_only"))]
    assert {action.connection for action in actions} == {2}
    venue.core.clear_faults(20.0)
    assert not [action for action in venue.tick(22.0) if action.connection == 1]  # it stays as it is
    number, _ = venue.core.connect(22.0)
    assert [answer["method"] for answer in venue.ask(connection=number)[:1]] == ["subscribe"]
    assert len(venue.core.journals[number - 1].sent) == 1


def test_a_notice_stands_before_the_end(venue: Venue) -> None:
    words = "CloudFlare WebSocket proxy restarting"
    actions = venue.inject(Drop(how=DropHow.CLOSE_1001, notice=words, reason=words, connection=2))
    assert actions == [Send(2, words), End(2, DropHow.CLOSE_1001, words)]


def test_a_status_without_the_id_of_the_connection(venue: Venue) -> None:
    (first, _) = frames(venue.inject(SetStatus(system="maintenance", connection_id=False)))
    assert first["data"][0]["system"] == "maintenance"
    assert "connection_id" not in first["data"][0]
    _, actions = venue.core.connect(0.0)
    assert "connection_id" not in frames(actions)[0]["data"][0]
    assert "connection_id" in frames(venue.inject(SetStatus(system="online")))[0]["data"][0]


def test_the_older_protocol_answers(venue: Venue) -> None:
    venue.inject(SpeakV1())
    number, (greeting,) = venue.core.connect(0.0)
    assert json.loads(text_of(greeting))["event"] == "systemStatus"
    for _ in range(2):
        assert venue.ask(connection=number) == [{"errorMessage": "Malformed request", "event": "error"}]
    _, (status,) = venue.core.connect(0.0)
    assert json.loads(text_of(status))["channel"] == "status"


# Subscriptions


@pytest.mark.parametrize(
    ("fault", "ended"),
    [
        (EndSubscription(), {(1, "book"), (1, "trade"), (2, "book")}),
        (EndSubscription(channel="book"), {(1, "book"), (2, "book")}),
        (EndSubscription(symbol="BTC/USD", connection=1), {(1, "book")}),
        (EndSubscription(symbol="ETH/USD", channel="book"), set()),
    ],
)
def test_an_unsubscribe_that_nobody_asked_for(venue: Venue, fault: Any, ended: set[Any]) -> None:
    for connection in (1, 2):
        venue.ask(connection=connection)
    venue.ask(channel="trade", symbol=["ETH/USD"])
    there = {(number, one.channel) for number, topics in venue.core.subscribed().items() for one in topics}
    actions = venue.inject(fault)
    answers = [(action.connection, json.loads(text_of(action))) for action in actions]
    assert {(connection, answer["result"]["channel"]) for connection, answer in answers} == ended
    for _, answer in answers:
        assert (answer["method"], answer["success"]) == ("unsubscribe", True)
        assert "req_id" not in answer
    left = {(number, one.channel) for number, topics in venue.core.subscribed().items() for one in topics}
    assert left == there - ended
    if (1, "book") in ended:
        assert {action.connection for action in venue.core.publish(50, 0.0, "BTC/USD")} <= {2}
        assert venue.ask()[0]["success"]


@pytest.mark.parametrize("channel", ["book", "trade", "ticker", "ohlc"])
def test_no_snapshot(venue: Venue, channel: str) -> None:
    venue.inject(OmitSnapshot(channel=channel))
    assert [answer.get("success") for answer in venue.ask(channel=channel, snapshot=True)] == [True]
    updates = [json.loads(text) for text in venue.publish(100)]
    assert {(frame["channel"], frame["type"]) for frame in updates} == {(channel, "update")}
    venue.ask("unsubscribe", channel=channel)
    assert len(venue.ask(channel=channel, snapshot=True)) == 2


def test_candles_of_a_pair_that_hardly_trades_have_no_snapshot() -> None:
    venue = Venue(markets=(*MARKETS, THIN))
    assert len(venue.ask(channel="ohlc", symbol=["GST/EUR"])) == 1
    assert len(venue.ask(channel="ohlc", symbol=["BTC/USD"])) == 2


def test_tokenised_assets_are_shown_to_who_asks_for_them() -> None:
    share = MarketSpec(
        symbol="AAPLx/USD", price_precision=2, qty_precision=8, start_price="231.17", levels=5, multiplier="1.0000"
    )
    venue = Venue(markets=(*MARKETS, share))
    _, plain = venue.ask(channel="instrument", symbol=None)
    ack, whole = venue.ask(channel="instrument", symbol=None, connection=2, include_tokenized_assets=True)
    assert set(ack["result"]) == {"channel", "snapshot", "warnings"}
    assert [pair["symbol"] for pair in plain["data"]["pairs"]] == ["BTC/USD", "ETH/USD"]
    assert [pair["symbol"] for pair in whole["data"]["pairs"]] == ["BTC/USD", "ETH/USD", "AAPLx/USD"]
    assert {asset["id"]: asset.get("multiplier") for asset in whole["data"]["assets"]} == {
        "AAPLx": 1.0,
        "BTC": None,
        "ETH": None,
        "USD": None,
    }
    (refused,) = venue.ask(channel="instrument", symbol=None, include_tokenized_assets=True)
    assert refused["error"] == "Already subscribed"
    (refused,) = venue.ask(channel="instrument", symbol=None, include_tokenized_assets="yes")
    assert refused["error"] == "Malformed request"


# Books


@pytest.mark.parametrize("how", Irregularity)
def test_a_snapshot_that_is_right_and_odd(venue: Venue, how: Irregularity) -> None:
    venue.inject(IrregularSnapshot(how=how, symbol="BTC/USD"))
    venue.ask(symbol=["ETH/USD"])
    assert venue.core.armed
    _, odd = venue.ask()
    assert not venue.core.armed
    data = odd["data"][0]
    prices = [level["price"] for level in data["asks"]]
    assert (prices != sorted(prices)) is (how is Irregularity.UNSORTED)
    assert (len(prices) > 10) is (how is not Irregularity.UNSORTED)
    assert (0 in [level["qty"] for level in data["asks"]]) is (how is Irregularity.ZERO_QUANTITY)
    assert (len(set(prices)) < len(prices)) is (how is Irregularity.REPEATED_PRICE)
    book = ReferenceBook(10)
    assert book.feed(venue.core.journals[0].sent[-1])
    venue.ask(connection=2)
    assert book == book_of(venue, 2)
    for text in venue.publish(100):
        if json.loads(text)["data"][0]["symbol"] == "BTC/USD":
            assert book.feed(text)


def test_a_book_without_the_levels_for_it_waits_for_another() -> None:
    venue = Venue(markets=(*MARKETS, THIN))
    venue.inject(IrregularSnapshot(how=Irregularity.EXTRA_LEVELS))
    venue.ask(symbol=["GST/EUR"])
    assert venue.core.armed
    venue.ask(symbol=["BTC/USD"])
    assert not venue.core.armed


@pytest.mark.parametrize("snapshots", [False, True])
def test_no_checksum(venue: Venue, snapshots: bool) -> None:
    venue.inject(OmitChecksum(symbol="BTC/USD", snapshots=snapshots))
    venue.ask()
    venue.publish(50)
    frames = [json.loads(text) for text in venue.core.journals[0].sent]
    without = [frame["type"] for frame in frames if "checksum" not in frame["data"][0]]
    assert without == ["snapshot" if snapshots else "update"]
    (withheld,) = venue.core.journals[0].withheld
    assert "checksum" in withheld.text
    book = ReferenceBook(10)
    assert all(book.feed(text) for text in venue.core.journals[0].sent)  # what there is, is right


def test_a_phantom_without_a_checksum(venue: Venue) -> None:
    venue.ask()
    venue.inject(OmitChecksum())
    (phantom,) = frames(venue.inject(CrossedBook(symbol="BTC/USD", consistent=False)))
    assert "checksum" not in phantom["data"][0]
    assert book_of(venue).crossed


@pytest.mark.parametrize("last", [False, True])
def test_no_checksum_in_a_recording(last: bool) -> None:
    proof = ',"checksum":5}' if last else ',"checksum":5,"timestamp":"2026-08-02T04:23:42.000000Z"}'
    text = '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[]' + proof + "]}"
    venue = Venue(OmitChecksum(), recording=Recording([text]))
    venue.ask()
    venue.tick(1.0)
    (sent,) = venue.core.journals[0].sent
    assert json.loads(sent)["data"][0].keys() == {"symbol", "bids", "asks"} | (set() if last else {"timestamp"})
