"""Each fault does what it says, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio.testing import (
    CorruptChecksum,
    CorruptLevel,
    CrossedBook,
    DelayAcks,
    DelaySnapshots,
    Drop,
    DropConnect,
    DropHow,
    DuplicateAck,
    Freeze,
    HangConnect,
    IgnoreRequests,
    LateUpdates,
    Mute,
    Raw,
    RawKind,
    Recording,
    ReferenceBook,
    Refuse,
    RefuseConnect,
    Scheduled,
    SetStatus,
    Shape,
    SkipUpdate,
    StopHeartbeats,
    UnknownChannel,
    UnknownField,
    UpdateBeforeSnapshot,
)
from kraken_trio.testing.exchange.actions import End, Send, SendRaw, Stall
from tests.testing.venue import Venue, frames, text_of

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def venue() -> Any:
    return Venue()


@pytest.fixture
def book(venue: Venue) -> Any:
    """What connection 1 makes of its book frames; it has subscribed."""
    venue.ask()
    client = ReferenceBook(10)
    assert client.feed(venue.core.journals[0].sent[0])
    return client


# Connections


@pytest.mark.parametrize("how", DropHow)
def test_drop(venue: Venue, how: DropHow) -> None:
    assert venue.inject(Drop(how=how, connection=2)) == [End(2, how)]
    assert venue.inject(Drop(how=how)) == [End(1, how)]
    assert not venue.core.connections
    assert how.code in (None, int(how.value[-4:]) if how.code else None)


def test_freeze(venue: Venue, book: ReferenceBook) -> None:
    assert venue.inject(Freeze(connection=1)) == [Stall(1)]
    assert venue.publish(50) == []
    assert venue.ask() == []
    assert not [action for action in venue.tick(30.0) if action.connection == 1]
    assert venue.core.subscribed() == {2: frozenset()}
    assert venue.inject(Raw(payload="x", connection=1)) == []
    assert venue.ask(connection=2)[0]["success"]


def test_connects_can_be_refused(venue: Venue) -> None:
    refusal = RefuseConnect(status=429, retry_after=5, times=2)
    for fault in (refusal, HangConnect(), DropConnect()):
        venue.inject(fault)
    assert [venue.core.admit() for _ in range(5)] == [refusal, refusal, HangConnect(), DropConnect(), None]
    assert venue.core.refused_connects == 4


def test_stop_heartbeats(venue: Venue, book: ReferenceBook) -> None:
    venue.ask(connection=2)
    venue.inject(StopHeartbeats(connection=1))
    assert {action.connection for action in venue.tick(5.0)} == {2}
    venue.core.clear_faults(5.0)
    assert {action.connection for action in venue.tick(7.0)} == {1, 2}


def test_raw(venue: Venue) -> None:
    assert venue.inject(Raw(payload="{", connection=2)) == [Send(2, "{")]
    for raw in (Raw(payload=b"\xff"), Raw(payload="x", kind=RawKind.BINARY), Raw(payload=b"x", kind=RawKind.TCP)):
        assert venue.inject(raw) == [SendRaw(1, raw), SendRaw(2, raw)]


def test_unknown_channel_and_status(venue: Venue) -> None:
    assert [frame["channel"] for frame in frames(venue.inject(UnknownChannel()))] == ["weather"] * 2
    told = frames(venue.inject(SetStatus(system="maintenance")))
    assert [frame["data"][0]["system"] for frame in told] == ["maintenance"] * 2
    assert frames(venue.core.connect(0.0)[1])[0]["data"][0]["system"] == "maintenance"


# Data


def publish_until(venue: Venue, done: Callable[[list[str]], object]) -> Any:
    """Market events, one by one, until this is true of the frames they sent."""
    for _ in range(500):
        texts = venue.publish()
        if done(texts):
            return texts
    raise AssertionError("it never happened")


def test_skip_update(venue: Venue, book: ReferenceBook) -> None:
    venue.inject(SkipUpdate(symbol="BTC/USD"))
    journal = venue.core.journals[0]
    publish_until(venue, lambda _: journal.withheld)
    (withheld,) = journal.withheld
    sent = list(journal.sent)
    assert all(book.feed(frame) for frame in sent[1 : withheld.position])
    assert withheld.position == len(sent)
    assert withheld.fault == SkipUpdate(symbol="BTC/USD")
    (next_frame,) = publish_until(venue, bool)
    before = ReferenceBook(10, bids=book.bids, asks=book.asks)
    assert not book.feed(next_frame)
    assert before.feed(withheld.text)
    assert before.feed(next_frame)
    assert venue.core.frames_withheld == 1


def test_skip_update_of_one_connection(venue: Venue, book: ReferenceBook) -> None:
    venue.ask(connection=2)
    venue.inject(SkipUpdate(connection=2, top=False))
    publish_until(venue, lambda _: venue.core.frames_withheld)
    assert len(venue.core.journals[1].withheld) == 1
    assert not venue.core.journals[0].withheld


def test_skip_update_waits_for_its_symbol(venue: Venue, book: ReferenceBook) -> None:
    venue.inject(SkipUpdate(symbol="ETH/USD"))
    venue.publish(50)
    assert venue.core.armed.pending() == (SkipUpdate(symbol="ETH/USD"),)


@pytest.mark.parametrize("fault", [CorruptLevel(symbol="BTC/USD"), CorruptChecksum()])
def test_corrupt(venue: Venue, book: ReferenceBook, fault: Any) -> None:
    venue.inject(fault)
    journal = venue.core.journals[0]
    publish_until(venue, lambda _: journal.withheld)
    *good, bad = list(journal.sent)[1:]
    assert all(book.feed(frame) for frame in good)
    truth = ReferenceBook(10, bids=book.bids, asks=book.asks)
    assert not book.feed(bad)
    assert truth.feed(journal.withheld[0].text)
    different = [1 for one, other in zip(bad, journal.withheld[0].text, strict=False) if one != other]
    assert len(bad) - len(journal.withheld[0].text) in (-1, 0, 1)
    assert different


def test_corrupt_snapshot(venue: Venue) -> None:
    venue.inject(CorruptChecksum(snapshots=True))
    _, snapshot = venue.ask()
    assert not ReferenceBook(10).feed(json.dumps(snapshot))
    venue.ask("unsubscribe")
    venue.ask()
    assert ReferenceBook(10).feed(venue.core.journals[0].sent[-1])


def test_consistently_crossed(venue: Venue, book: ReferenceBook) -> None:
    (action,) = venue.inject(CrossedBook(symbol="BTC/USD", consistent=True))
    assert book.feed(text_of(action))
    assert book.crossed
    venue.ask("unsubscribe")
    venue.ask()
    fresh = ReferenceBook(10)
    for text in [venue.core.journals[0].sent[-1], *venue.publish(100)]:
        assert fresh.feed(text)
        assert fresh.crossed
    for action in venue.core.clear_faults(0.0):
        assert fresh.feed(text_of(action))
    assert not fresh.crossed


def test_inconsistently_crossed(venue: Venue, book: ReferenceBook) -> None:
    (action,) = venue.inject(CrossedBook(symbol="BTC/USD", consistent=False))
    assert book.feed(text_of(action))
    assert book.crossed
    venue.ask("unsubscribe")
    venue.ask()
    assert book.feed(venue.core.journals[0].sent[-1])
    assert not book.crossed


def test_crossing_an_unknown_market(venue: Venue) -> None:
    with pytest.raises(ValueError, match="trades BTC/USD, ETH/USD"):
        venue.inject(CrossedBook(symbol="NO/SUCH", consistent=True))


def test_skip_trades(venue: Venue) -> None:
    for connection in (1, 2):
        venue.ask(connection=connection, channel="trade")
    venue.inject(SkipUpdate(channel="trade", connection=1, symbol="BTC/USD"))
    publish_until(venue, lambda _: not venue.core.armed)
    mine, others = (list(venue.core.journals[number].sent) for number in (0, 1))
    (missing,) = venue.core.journals[0].withheld
    assert [*mine, missing.text] == others


def test_unknown_field(venue: Venue, book: ReferenceBook) -> None:
    venue.inject(UnknownField(channel="book"))
    texts = publish_until(venue, bool)
    assert "x_unknown" in texts[0]
    message = json.loads(texts[0])
    assert "x_unknown" in message
    assert "x_unknown" in message["data"][0]
    assert book.feed(texts[0])
    assert "x_unknown" not in publish_until(venue, bool)[0]


# Answers


@pytest.mark.parametrize("shape", Shape)
def test_refuse(venue: Venue, shape: Shape) -> None:
    venue.inject(Refuse(symbol="ETH/USD", shape=shape))
    answers = venue.ask(symbol=["BTC/USD", "ETH/USD"])
    if shape is Shape.BARE:
        assert answers == [{"Error": "Exceeded msg rate"}]
    elif shape is Shape.WHOLE:
        (refused,) = answers
        assert (refused["error"], refused["req_id"], refused["success"]) == ("Exceeded msg rate", 9, False)
        assert not venue.core.subscribed()[1]
    else:
        granted, refused, snapshot = answers
        assert granted["success"]
        assert snapshot["data"][0]["symbol"] == "BTC/USD"
        assert refused["error"] == "Exceeded msg rate" + (" ETH/USD" if shape is Shape.IN_TEXT else "")
        assert refused["req_id"] == 9
        assert refused.get("symbol") == ("ETH/USD" if shape is Shape.WITH_SYMBOL else None)
        in_result = {"channel": "book", "depth": 10, "symbol": "ETH/USD"}
        assert refused.get("result") == (in_result if shape is Shape.IN_RESULT else None)
    assert "channel" not in answers[0]
    assert venue.ask(symbol=["ETH/USD"])[0]["success"]


@pytest.mark.parametrize("shape", [shape for shape in Shape if shape is not Shape.BARE])
def test_refuse_with_a_channel_beside_the_method(venue: Venue, shape: Shape) -> None:
    venue.inject(Refuse(shape=shape, names_channel=True, error="Wait, {symbol}"))
    (refused,) = venue.ask()
    assert (refused["method"], refused["channel"]) == ("subscribe", "book")
    assert refused["error"] == ("Wait, {symbol}" if shape is Shape.WHOLE else "Wait, BTC/USD")


def test_refuse_other_things(venue: Venue) -> None:
    venue.inject(Refuse(error="No", channel="trade", times=None))
    venue.inject(Refuse(error="Not now", method="unsubscribe"))
    assert venue.ask()[0]["success"]
    for _ in range(3):
        assert venue.ask(channel="trade")[0]["error"] == "No"
    assert venue.ask("unsubscribe")[0]["error"] == "Not now"
    assert venue.ask("unsubscribe")[0]["success"]


def test_refuse_some(venue: Venue) -> None:
    venue.inject(Refuse(chance=0.5, times=None))
    answers = [venue.ask(symbol=["BTC/USD"], channel=channel)[0].get("success") for channel in ["trade", "ticker"] * 20]
    assert True in answers
    assert False in answers


@pytest.mark.parametrize("existing", [False, True])
def test_mute(venue: Venue, existing: bool) -> None:
    if existing:
        venue.ask()
    venue.inject(Mute(symbol="BTC/USD", channel="book", existing=existing))
    if not existing:
        assert [answer.get("success") for answer in venue.ask()] == [True]
    assert venue.publish(30) == []
    venue.ask("unsubscribe")
    if existing:
        assert len(venue.ask()) == 1  # the fault itself still waits for a subscription
        venue.ask("unsubscribe")
    assert [answer.get("type") for answer in venue.ask()] == [None, "snapshot"]
    assert venue.publish(30)


def test_delay_acks(venue: Venue) -> None:
    venue.inject(DelayAcks(seconds=2.0, times=1))
    assert venue.ask() == []
    assert frames(venue.core.receive(1, '{"method":"ping"}', 0.0))[0]["method"] == "pong"
    assert [frame.get("type") for frame in frames(venue.tick(2.0))][:2] == [None, "snapshot"]
    venue.inject(DelayAcks(seconds=2.0))
    venue.ask("unsubscribe")
    venue.inject(Drop())
    assert venue.tick(5.0) == []


def test_delay_snapshots(venue: Venue) -> None:
    venue.inject(DelaySnapshots(seconds=0.5))
    assert len(venue.ask()) == 1
    assert venue.publish(20) == []
    assert [frame["type"] for frame in frames(venue.tick(0.6))] == ["snapshot"]
    assert venue.publish(20)


def test_duplicate_ack(venue: Venue) -> None:
    venue.inject(DuplicateAck())
    first, second, snapshot = venue.ask()
    assert first == second
    assert snapshot["type"] == "snapshot"


def test_ignore_requests(venue: Venue) -> None:
    venue.inject(IgnoreRequests(method="subscribe"))
    assert frames(venue.core.receive(1, '{"method":"ping"}', 0.0))
    assert venue.ask() == []
    assert venue.ask()[0]["success"]
    assert [request.method for request in venue.core.requests] == ["ping", "subscribe", "subscribe"]


def test_late_updates(venue: Venue, book: ReferenceBook) -> None:
    venue.inject(LateUpdates(updates=2))
    assert venue.ask("unsubscribe")[0]["success"]
    assert len(venue.publish(60)) == 2
    venue.inject(LateUpdates(updates=2))
    venue.ask(channel="trade")
    venue.ask("unsubscribe", channel="trade")  # not the business of this fault
    assert venue.core.armed.pending() == (LateUpdates(updates=2),)


def test_late_updates_end_with_a_new_subscription_or_the_connection(venue: Venue, book: ReferenceBook) -> None:
    venue.inject(LateUpdates(updates=1000, times=None))
    venue.ask("unsubscribe")
    venue.ask()
    client = ReferenceBook(10)
    assert client.feed(venue.core.journals[0].sent[-1])
    assert all(client.feed(frame) for frame in venue.publish(60))
    venue.ask("unsubscribe")
    venue.inject(Drop())
    assert venue.publish(60) == []


def test_update_before_snapshot(venue: Venue) -> None:
    venue.inject(UpdateBeforeSnapshot(symbol="BTC/USD"))
    assert [answer.get("type") for answer in venue.ask()] == [None, "update", "snapshot"]


# All of them


def test_times_and_clearing(venue: Venue) -> None:
    venue.inject(DuplicateAck(times=2))
    venue.inject(IgnoreRequests(times=None))
    assert len(venue.core.armed.pending()) == 2
    assert venue.ask() == venue.ask() == []
    venue.core.clear_faults(0.0)
    assert len(venue.ask()) == 2
    for bad in (0, -1):
        with pytest.raises(ValueError, match="times"):
            DuplicateAck(times=bad)


def test_faults_are_values() -> None:
    assert SkipUpdate(symbol="BTC/USD") == SkipUpdate(symbol="BTC/USD") != SkipUpdate()
    assert len({Drop(), Drop(), Drop(how=DropHow.RESET)}) == 2


def test_a_script() -> None:
    venue = Venue(
        DuplicateAck(),
        Scheduled(at=2.0, fault=Drop(how=DropHow.RESET)),
        Scheduled(at=1.0, fault=SetStatus(system="cancel_only")),
    )
    assert venue.core.armed.pending() == (DuplicateAck(),)
    assert len(frames(venue.tick(1.5))) == 2
    assert venue.tick(2.5) == [End(1, DropHow.RESET), End(2, DropHow.RESET)]


def test_recordings_have_faults_too() -> None:
    snapshot, update = (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/B","bids":[],"asks":[],"checksum":0}}]}}'
        for kind in ("snapshot", "update")
    )
    venue = Venue(SkipUpdate(), CorruptChecksum(), recording=Recording([snapshot, update, update, update]))
    venue.ask(symbol=["A/B"])
    venue.tick(0.0)
    journal = venue.core.journals[0]
    assert list(journal.sent) == [snapshot, update.replace(":0}", ":1515870810}"), update]
    assert [(withheld.position, withheld.text) for withheld in journal.withheld] == [(1, update), (1, update)]
