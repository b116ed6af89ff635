"""What the exchange says of its engine: it is followed, shown, and heeded when reconnecting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from kraken_trio.errors import ConnectError
from kraken_trio.events import Cause, StatusUpdate
from kraken_trio.requests import Book, Lifecycle, Ticker
from kraken_trio.statistics import SubscriptionState
from tests.session.driver import BTC, ETH, Client, Market, status, ticker


def told(client: Client, feed: object = "life") -> list[tuple[str, int]]:
    return [(event.system, event.epoch) for event in client.events(feed) if isinstance(event, StatusUpdate)]


def test_the_status_is_unknown_until_it_is_said() -> None:
    client = Client(connect=False)
    assert client.session.system_status is None
    client.follow("life", Lifecycle())
    client.connect()
    assert client.session.system_status is client.session.statistics().system_status is None
    assert told(client) == []
    client.receive(status("online"))
    assert client.session.system_status == client.session.statistics().system_status == "online"
    assert told(client) == [("online", 1)]


def test_a_change_is_an_event_and_a_repetition_is_none() -> None:
    client = Client()
    client.follow("life", Lifecycle())
    client.follow("book", Book(BTC))
    for _ in range(3):
        client.receive(status("online"))
        client.receive(status("maintenance"), status("maintenance"))
    assert told(client) == [("online", 1), ("maintenance", 1)] * 3
    assert client.events("book") == []
    assert client.notes[-1] == "the exchange's status is maintenance"


@pytest.mark.parametrize(
    "news",
    [
        {"version": "2.0.11"},
        {"api_version": "v3"},
        {"upcoming_maintenance": [{"stage": "imminent_5m"}]},
        {"emergency": ["fire"]},
    ],
    ids=str,
)
def test_whatever_changes_is_told(news: dict[str, Any]) -> None:
    client = Client()
    client.follow("life", Lifecycle())
    client.receive(status("online"), status("online", **news), status("online", **news))
    assert told(client) == [("online", 1)] * 2
    assert len(client.notes) == len({*client.notes})  # the log tells of the engine's state only


def test_the_notices_and_all_that_is_said_with_them() -> None:
    client = Client()
    client.follow("life", Lifecycle())
    client.receive(status("online", upcoming_maintenance=[{"stage": "imminent_5m"}], emergency=["no\x1b[2Jgood"]))
    (event,) = client.events("life")
    assert event == StatusUpdate(
        system="online",
        version="2.0.10",
        api_version="v2",
        notices=('{"stage":"imminent_5m"}', '"no\\u001b[2Jgood"'),
        epoch=1,
        received_ns=1,
    )


@given(st.text(), st.recursive(st.text(), st.lists))
def test_whatever_is_said_is_printable_and_bounded(system: str, notice: object) -> None:
    client = Client()
    client.follow("life", Lifecycle())
    client.receive(status(system, version=system * 100, emergency=[notice] * 30))
    (event,) = client.events("life")
    assert isinstance(event, StatusUpdate)
    for text in (event.system, event.version, *event.notices):
        assert text.isprintable()
        assert len(text) <= 500
    assert len(event.notices) <= 16


@pytest.mark.parametrize("data", ["[]", "[{}]", '[{"system":1}]', '"online"', "null"])
def test_a_status_that_says_nothing_changes_nothing(data: str) -> None:
    client = Client()
    client.receive(status("online"), f'{{"channel":"status","type":"update","data":{data}}}')
    assert client.session.system_status == "online"
    assert client.session.statistics().unknown == {"status without system": 1}
    assert client.count("malformed") == 0


# What it means from one connection to the next


def test_the_last_word_holds_until_the_next_connection_has_said_its_own() -> None:
    client = Client()
    client.follow("life", Lifecycle())
    client.receive(status("maintenance"))
    client.lose()
    assert client.session.system_status == "maintenance"
    client.reconnect()
    assert client.session.system_status == "maintenance"
    client.receive(status("cancel_only"))
    assert client.session.system_status == "cancel_only"
    client.lose()
    client.reconnect()
    client.receive(status("cancel_only"))  # the same, but of this connection
    assert told(client) == [("maintenance", 1), ("cancel_only", 2), ("cancel_only", 3)]


def test_a_new_feed_starts_with_the_last_word() -> None:
    client = Client()
    client.follow("early", Lifecycle())
    assert client.events("early") == []
    client.receive(status("online"))
    client.lose()
    client.add("life", Ticker(BTC), Lifecycle())
    assert client.events("life") == []  # it has no answer yet
    client.reconnect()
    client.accept()
    client.receive(ticker(1))
    assert told(client) == [("online", 1)]
    client.add("later", Lifecycle(), Ticker(BTC))
    assert client.kinds("later") == ["StatusUpdate", "TickerUpdate"]
    client.follow("ticker", Ticker(BTC))
    assert client.kinds("ticker") == ["TickerUpdate"]


# What it does, and what it does not


@pytest.mark.parametrize(
    ("system", "first"),
    [("online", 0.5), ("post_only", 0.5), ("limit_only", 0.5), ("maintenance", 6.25), ("cancel_only", 6.25)],
)
def test_while_the_engine_rests_no_attempt_is_quick(system: str, first: float) -> None:
    client = Client(jitter=1.0)
    client.receive(status(system))
    waits = []
    client.lose()
    for _ in range(4):
        waits.append(client.session.reconnect_at - client.now)
        client.retry()
        client.connect_failed(ConnectError("no route"))
    assert waits == pytest.approx([first, max(first, 1.0), 6.25, 12.5])


def test_when_the_engine_is_back_attempts_are_quick_again() -> None:
    client = Client(jitter=1.0)
    client.receive(status("maintenance"))
    client.receive(status("online"))
    client.lose()
    assert client.session.reconnect_at - client.now == pytest.approx(0.5)


def test_the_status_says_nothing_of_the_books() -> None:
    client, good, bad = Client(), Market(BTC), Market(ETH)
    client.follow_book("good", good)
    client.follow_book("bad", bad)
    client.receive(bad.tick("7.00", spoil=1), status("maintenance"), good.tick("7.00"))
    assert client.states == {
        Book(BTC): SubscriptionState.LIVE,
        Book(ETH): SubscriptionState.RESYNCING,
    }
    assert client.kinds("good") == ["BookUpdate"]
    client.receive(status("online"))
    assert client.kinds("bad") == ["Gap checksum"]
    client.lose(Cause.DISCONNECTED)
    client.add("late", Book(BTC))
    assert client.events("late") == []
