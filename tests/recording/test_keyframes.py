"""Key frames: the state of a session, as records, from which a reader can begin."""

from __future__ import annotations

import json

from kraken_trio.encoding import decode_request
from kraken_trio.events import BookSnapshot, Level, StatusUpdate
from kraken_trio.recording import records as log
from kraken_trio.recording.keyframes import client_frame, frame_of, keys_of
from kraken_trio.requests import Book
from tests.session.driver import BTC, Client, Market

STATUS = json.dumps({"channel": "status", "type": "update", "data": [{"system": "online", "version": "2.0.10"}]})


def test_a_client_s_own_state_is_a_record() -> None:
    client = Client()
    frame = client_frame(client.session)
    assert frame == log.ClientFrame(state=client.state().value, epoch=1)
    client.receive(STATUS)
    frame = client_frame(client.session)
    assert frame.received_ns == 1
    (status,) = map(log.event_of, frame.status)
    assert isinstance(status, StatusUpdate)
    assert status.system == "online"
    assert log.read(log.encode(frame)) == frame


def test_a_subscription_s_state_is_what_a_late_feed_begins_with() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    client.receive(market.update(bids=[("100.1", "2.50")]))
    assert keys_of(client.session) == [("book", BTC)]
    frame = frame_of(client.session, ("book", BTC))
    assert frame is not None
    assert decode_request(frame.request) == Book(BTC)
    assert frame.step == "live"
    (snapshot,) = map(log.event_of, frame.events)
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot == client.session.rebuild(("book", BTC))
    assert snapshot.bids[0] == Level("100.1", "2.50")


def test_a_subscription_that_is_gone_has_no_key_frame() -> None:
    client = Client()
    assert keys_of(client.session) == []
    assert frame_of(client.session, ("book", BTC)) is None
