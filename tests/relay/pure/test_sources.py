"""What a relay is asked for; who of its shards has what; over which connections; what the exchange lists."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from kraken_trio import Book, Candles, Instruments, InstrumentUpdate, Level3, Pair, Ticker, Trades
from kraken_trio.relay.sources import (
    SYMBOLS_PER_CONNECTION,
    Change,
    Channel,
    Connections,
    Listing,
    Sources,
    parse_channels,
    parse_symbols,
)

symbols = st.builds("{}/{}".format, st.text("ABCDEFG", min_size=1, max_size=3), st.sampled_from(["USD", "EUR"]))
CHANNELS = parse_channels(["book:100,trades", "level3", "instruments"])


# What is asked for


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("book", Book("A/B", 10)),
        ("book:1000", Book("A/B", 1000)),
        ("trades", Trades("A/B", snapshot=True)),
        ("trade", Trades("A/B", snapshot=True)),
        ("ticker", Ticker("A/B")),
        ("ticker:bbo", Ticker("A/B", "bbo")),
        ("candles", Candles("A/B", 1)),
        ("ohlc:60", Candles("A/B", 60)),
        ("level3:100", Level3("A/B", 100)),
        ("instrument", Instruments()),
    ],
)
def test_a_channel_is_a_request(text: str, request_: object) -> None:
    (channel,) = parse_channels([text])
    assert channel.request("A/B") == request_
    assert parse_channels([str(channel)]) == (channel,)


def test_channels_are_named_in_one_option_or_in_several() -> None:
    assert parse_channels(["book:10,trades"]) == parse_channels(["book", " trades ,trades"])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["books"], "'books' is no channel: there are book, trades"),
        ([""], "is no channel"),
        ([], "needs a channel"),
        (["book:11"], "'book:11' is not offered by Kraken: there is book:10, book:25"),
        (["trades:5"], "there is trades alone"),
        (["book:10", "book:25"], "book:10 and book:25: a relay publishes one of them"),
        (["bo\x1b[31mok"], r"'bo\?\[31mok' is no channel|is no channel"),
    ],
)
def test_what_is_no_channel(texts: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        parse_channels(texts)
    assert str(raised.value).isprintable()


@given(st.lists(symbols, min_size=1))
def test_symbols_come_from_an_option_or_from_a_file(names: list[str]) -> None:
    lines = ["# ours", *(f"{name.lower()}  # why" for name in names), ""]
    assert parse_symbols([",".join(names)]) == parse_symbols(lines) == frozenset(names)


def test_all_symbols() -> None:
    assert parse_symbols(["all"]) is None
    for texts, words in ((["all,BTC/USD"], "stands alone"), ([""], "needs a symbol"), (["BTC"], "is no symbol")):
        with pytest.raises(ValueError, match=words):
            parse_symbols(texts)


# Who has what


@given(st.frozensets(symbols), st.integers(1, 5))
def test_each_request_is_of_one_shard(names: frozenset[str], shards: int) -> None:
    all_of_them = [Sources(names, CHANNELS, shard, shards) for shard in range(shards)]
    had = [symbol for one in all_of_them for symbol in one.own(names)]
    assert sorted(had) == sorted(names)
    assert [request for one in all_of_them for request in one.without_symbols()] == [Instruments()]


def test_level_3_has_connections_and_a_key_of_its_own() -> None:
    both = Sources(None, CHANNELS)
    assert both.requests("A/B", level3=False) == [Book("A/B", 100), Trades("A/B", snapshot=True)]
    assert both.requests("A/B", level3=True) == [Level3("A/B", 10)]
    assert (both.follows, both.needs_key) == (True, True)
    few = Sources(frozenset({"A/B"}), (Channel("trades"),))
    assert (few.follows, few.needs_key, few.without_symbols()) == (False, False, [])


# What the exchange lists


def update(statuses: dict[str, str], *, snapshot: bool) -> InstrumentUpdate:
    pairs = tuple(
        Pair(symbol=symbol, base="A", quote="B", status=status, price_precision=1, qty_precision=8)
        for symbol, status in statuses.items()
    )
    return InstrumentUpdate(assets=(), pairs=pairs, snapshot=snapshot)


statuses = st.dictionaries(symbols, st.sampled_from(["online", "delisted", "maintenance", "work_in_progress"]))


@given(st.lists(st.tuples(statuses, st.booleans()), max_size=8))
def test_changes_add_up_to_what_is_listed(updates: list[tuple[dict[str, str], bool]]) -> None:
    listing, followed = Listing(), frozenset[str]()
    listed: dict[str, str] = {}
    for named, snapshot in updates:
        change = listing.take(update(named, snapshot=snapshot))
        assert not change.joined & followed
        assert change.left <= followed
        followed = (followed | change.joined) - change.left
        listed = named if snapshot else listed | named
    there = {symbol for symbol, status in listed.items() if status in {"online", "maintenance"}}
    assert followed == listing.symbols == there


def test_nothing_has_changed() -> None:
    listing = Listing()
    listing.take(update({"A/B": "online"}, snapshot=True))
    assert listing.take(update({"A/B": "post_only"}, snapshot=False)) == Change()


# Over which connections


@given(st.lists(st.frozensets(symbols), max_size=8), st.integers(1, 4))
def test_connections_keep_to_their_limit(steps: list[frozenset[str]], limit: int) -> None:
    connections, places = Connections(limit), dict[str, int]()
    for some in steps:
        placed = connections.add(some)
        assert sorted(symbol for names in placed.values() for symbol in names) == sorted(some)
        for number, names in placed.items():
            for symbol in names:
                assert places.setdefault(symbol, number) == number, "a symbol stays where it is"
        counts = Counter(places.values())
        assert all(count <= limit for count in counts.values())
        assert counts.keys() == set(range(-(-len(places) // limit))), "no more than are needed"


def test_symbols_are_spread_evenly() -> None:
    placed = Connections().add([f"C{number}/USD" for number in range(2 * SYMBOLS_PER_CONNECTION + 1)])
    assert sorted(map(len, placed.values())) == [133, 134, 134]
