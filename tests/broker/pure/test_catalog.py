"""What is published, by the catalogs of all shards; what the exchange's status is, as all of them tell it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from kraken_trio.broker.catalog import Published, Statuses, published
from kraken_trio.broker.messages import Batch, Catalog, KeyFrame, encode
from kraken_trio.broker.subjects import LIFECYCLE, Kind, Subject
from kraken_trio.events import Cause, ConnectionState, StateChange, StatusUpdate
from kraken_trio.requests import Book, Instruments, Lifecycle, Request, Ticker, Trades

BTC, ETH = "BTC/USD", "ETH/USD"


@attrs.frozen
class Stored:
    subject: Subject
    data: bytes
    time_ns: int


def catalog(*requests: Request[Any], shard: int = 0, at: float = 0.0, every: float = 5.0) -> Stored:
    data = encode(Catalog(producer=1, shard=shard, shards=2, keyframe_every=every, requests=requests))
    return Stored(Subject(shard, Kind.CATALOG), data, int(at * 1e9))


def test_all_shards_together() -> None:
    found = published([catalog(Book(BTC), every=2.0), catalog(Book(ETH), Book(BTC), shard=1, every=9.0)])
    assert found == Published((Book(BTC), Book(ETH)), 9.0)
    assert published([]) == Published()


def test_catalogs_of_shards_that_are_gone_do_not_count() -> None:
    """A minute, or twelve intervals of key frames."""
    new = catalog(Book(BTC), at=1000)
    assert published([new, catalog(Book(ETH), shard=1, at=940)]).requests == (Book(BTC), Book(ETH))
    assert published([new, catalog(Book(ETH), shard=1, at=939)]).requests == (Book(BTC),)
    assert published([new, catalog(Book(ETH), shard=1, at=880, every=10.0)]).requests == (Book(BTC), Book(ETH))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (Book(BTC), None),
        (Trades(BTC, snapshot=True), None),
        (Lifecycle(), None),
        (Book(BTC, depth=25), "it is published as Book(symbol='BTC/USD', depth=10)"),
        (
            Ticker(BTC),
            f"it is not published; there is {Book(BTC)}, {Trades(BTC)} and 1 more",
        ),
        (Book("XRP/USD"), f"it is not published; there is {Book(BTC)}, {Book(ETH)} and 1 more"),
        (
            Instruments(),
            f"it is not published; there is {Book(BTC)}, {Book(ETH)}, {Trades(BTC)}",
        ),
    ],
)
def test_who_is_refused_learns_what_there_is(request_: Request[Any], why: str | None) -> None:
    assert Published((Book(BTC), Trades(BTC), Book(ETH))).refusal(request_) == why


def test_where_nothing_is_published_it_says_so() -> None:
    assert published([]).refusal(Book(BTC)) == (
        "nothing is published here: is a relay running, and is this its stream?"
    )
    assert published([catalog()]).refusal(Book(BTC)) == (
        "a relay was here, but publishes nothing: is it connected to the exchange?"
    )
    broken = Stored(Subject(3, Kind.CATALOG), b"{", 0)
    assert "(the catalog of shard 3 is a message that cannot be read" in str(published([broken]).refusal(Book(BTC)))
    assert "(the catalog of shard 3" in str(published([broken, catalog(Book(ETH))]).refusal(Book(BTC)))


def status(system: str, received_ns: int, *, is_frame: bool = False, **more: Any) -> Stored:
    change = StateChange(
        previous=ConnectionState.CONNECTING, current=ConnectionState.RESYNCING, cause=Cause.CONNECTED, received_ns=1
    )
    events = [change, StatusUpdate(system=system, received_ns=received_ns, **more)]
    common: Any = {"producer": 1, "seq": 0, "channel": LIFECYCLE[0], "symbol": None}
    if is_frame:
        data = encode(KeyFrame(**common, request=Lifecycle(), events=events[1:], marks={}))
    else:
        data = encode(Batch(**common, events=events))
    return Stored(Subject(0, Kind.KEY if is_frame else Kind.DATA, *LIFECYCLE), data, 0)


def test_each_change_of_the_status_once() -> None:
    statuses = Statuses()
    assert statuses.latest is None
    found = statuses.take(
        [
            status("online", 5, is_frame=True),
            status("online", 6, epoch=3),  # of another shard, or another connection
            Stored(Subject(0, Kind.DATA, *LIFECYCLE), b"", 0),
            status("maintenance", 7),
            status("online", 6, is_frame=True),  # older
        ]
    )
    assert [(one.system, one.received_ns) for one in found] == [("online", 5), ("maintenance", 7)]
    assert statuses.latest is found[-1]
    assert statuses.take([status("maintenance", 9, version="2")])
