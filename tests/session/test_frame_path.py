"""A session with a shorter way for frames: what it does not take goes the general way, in its place.

The table is a stand-in in Python, so this is the same whether the compiled one is built or not.
"""

from __future__ import annotations

from itertools import product

import pytest

from kraken_trio.channels import CHANNELS
from kraken_trio.events import Cause
from kraken_trio.requests import Book, Trades
from kraken_trio.session.records import FrameMalformed
from kraken_trio.statistics import Counters
from kraken_trio.wire.codec import codec_for
from tests.book.stand_in import StandIn, StandInTable, use_stand_ins
from tests.session.driver import BTC, ETH, HEARTBEAT, NONSENSE, Client, Market, trades


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    use_stand_ins(monkeypatch)


def client_of(*markets: Market, limit: int = 100) -> Client:
    client = Client(malformed_limit=limit)
    client.follow("feed", *(Book(market.symbol) for market in markets))
    for market in markets:
        client.receive(market.snapshot())
    client.events("feed")
    return client


def test_books_offer_a_shorter_way_where_the_protocol_has_their_usual_form() -> None:
    codec, counters = codec_for("v2"), Counters()
    paths = {name: state.frame_path(codec, {}, object(), counters) for name, state in CHANNELS.items()}
    assert isinstance(paths.pop("book"), StandInTable)
    assert set(paths.values()) == {None}

    class Other:
        has_canonical_books = False

    assert CHANNELS["book"].frame_path(Other(), {}, object(), counters) is None  # type: ignore[arg-type]  # a double


def test_what_is_taken_is_delivered_and_counted() -> None:
    market = Market()
    client = client_of(market)
    before = client.count("events"), client.count("checksums_verified")
    client.receive(market.tick("1.5"), market.tick("2.5"))
    assert client.kinds("feed") == ["BookUpdate"] * 2
    assert (client.count("compiled_updates"), client.count("pure_updates")) == (2, 0)
    assert (client.count("events"), client.count("checksums_verified")) == (before[0] + 2, before[1] + 2)
    assert not client.effects.rearm


def test_the_order_of_a_batch_is_kept() -> None:
    """Whatever goes which way. Frames are counted once, and records name the place in the batch."""
    for kinds in product("tpn", repeat=4):  # taken, pure, nonsense about something else
        market = Market()
        client = client_of(market)
        client.follow("trades", Trades(ETH))
        frames, expected, frames_before = [], [], client.count("frames")
        for number, kind in enumerate(kinds):
            if kind == "n":
                frames.append('{"channel":"trade","symbol":"ETH/USD"')
            else:
                frame = market.tick(f"{number + 1}.25")
                frames.append(frame if kind == "t" else frame.replace(":", ": ", 1))
                expected.append(f"{number + 1}.25")
        client.records.clear()
        client.receive(*frames)
        assert [event.bids[0].qty_text for event in client.events("feed")] == expected  # type: ignore[union-attr]  # all are updates of a book
        places = [record.frame for record in client.records if isinstance(record, FrameMalformed)]
        assert places == [place for place, kind in enumerate(kinds) if kind == "n"]
        assert client.count("frames") == frames_before + 4
        assert (client.count("compiled_updates"), client.count("pure_updates")) == (kinds.count("t"), kinds.count("p"))


def test_what_is_taken_ends_a_row_of_nonsense() -> None:
    market = Market()
    client = client_of(market, limit=3)
    client.follow("trades", Trades(ETH))
    nonsense = '{"channel":"trade","symbol":"ETH/USD"'
    client.receive(nonsense, nonsense, market.tick("1.5"), nonsense, nonsense)
    client.receive(market.tick("2.5"), nonsense, nonsense)
    assert not client.drops
    assert client.count("compiled_updates") == 2
    client.receive(nonsense)
    assert client.drops == [Cause.PROTOCOL]


def test_what_is_taken_was_pushed() -> None:
    """So the connection is not silent."""
    market = Market()
    client = client_of(market)
    for number in range(20):
        client.now += client.settings.silence_limit / 2
        client.receive(market.tick(f"{number + 1}.5"))
        client.tick()
    assert not client.drops
    assert client.count("compiled_updates") == 20


def test_a_wrong_checksum_resyncs_that_book_alone() -> None:
    market, other = Market(), Market(ETH)
    client = client_of(market, other)
    client.receive(other.tick("1.5"), market.tick("1.5", spoil=1), market.tick("2.5"), other.tick("2.5"))
    assert client.kinds("feed") == ["BookUpdate", "Gap checksum", "BookUpdate"]
    assert client.count("checksum_failures") == 1
    assert (client.count("late"), client.count("compiled_updates")) == (1, 2)
    client.accept()
    client.accept()
    client.receive(market.snapshot(), market.tick("3.5"))
    assert client.kinds("feed") == ["BookSnapshot", "BookUpdate"]
    assert client.count("compiled_updates") == 3


def test_a_book_that_is_not_live_takes_nothing() -> None:
    market = Market()
    client = Client()
    client.add("feed", Book(BTC))
    client.receive(market.tick("1.5"))
    client.accept()
    client.receive(HEARTBEAT, market.tick("2.5"), trades(1), NONSENSE)
    assert client.count("compiled_updates") == 0
    assert client.count("late") == 3 - 1 + 1


def test_stand_ins_are_what_is_used() -> None:
    client = client_of(Market())
    [sub] = client.session.subscriptions
    assert isinstance(sub.state.book.core, StandIn)  # type: ignore[attr-defined]  # a book's state has one
