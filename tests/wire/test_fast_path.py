"""Book updates, written as Kraken writes them, take a way of their own. It must give what the other way gives."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from kraken_trio import BookSnapshot, BookUpdate, OrderBook, ProtocolError
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data, Message

if TYPE_CHECKING:
    from pathlib import Path

LEVEL = '{"price":64525.30,"qty":0.10000000}'
ENTRY = (
    f'{{"symbol":"BTC/USD","bids":[],"asks":[{LEVEL}],"checksum":2175437505,"timestamp":"2026-07-19T17:54:39.784623Z"}}'
)


def frame(entry: str = ENTRY) -> str:
    return f'{{"channel":"book","type":"update","data":[{entry}]}}'


def outcome(text: str | bytes) -> tuple[Message | str, dict[str, int]]:
    """What comes of a frame: the message and what was counted, or that it was refused."""
    decoder = codec_for("v2")
    try:
        message = decoder.decode(text, epoch=3, received_ns=17)
    except ProtocolError:
        return "refused", {}
    return message, dict(decoder.unknown)


def slowed(text: str) -> str:
    """The same document, but not as Kraken writes it."""
    return text.replace("{", "{ ", 1)


def assert_same(text: str) -> None:
    # By repr: digit for digit, and NaN (which only the book refuses) equals itself.
    assert repr(outcome(text)) == repr(outcome(slowed(text))) == repr(outcome(text.encode()))


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        ENTRY.replace('"checksum":2175437505,', ""),
        ENTRY.replace(',"timestamp":"2026-07-19T17:54:39.784623Z"', ""),
        ENTRY.replace(',"timestamp":"2026-07-19T17:54:39.784623Z"', ',"timestamp":null'),
        ENTRY.replace("2175437505", "null"),
        ENTRY.replace('"symbol"', '"symbol" '),
        ENTRY.replace("BTC/USD", 'BTC\\":/USD'),
        ENTRY.replace('"asks"', '"\\u0061sks"'),
        f"{ENTRY},{ENTRY}",
        "",
    ],
)
def test_both_ways_give_the_same(entry: str) -> None:
    message, unknown = outcome(frame(entry))
    assert isinstance(message, Data)
    assert not unknown
    assert_same(frame(entry))


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY[:-1] + ',"new":1}',
        # As many keys as a whole entry has: an optional one is missing, an unknown one is there.
        ENTRY.replace(',"timestamp":"2026-07-19T17:54:39.784623Z"', ',"new":1'),
        ENTRY.replace('"checksum":2175437505,', '"new":1,'),
        ENTRY[:-1] + ',"new":{"a":[1e5,{"b":null}]}}',
    ],
)
def test_unknown_fields_are_counted_and_pass(entry: str) -> None:
    message, unknown = outcome(frame(entry))
    assert isinstance(message, Data)
    assert unknown == {"field book.new": 1}
    assert_same(frame(entry))


def test_unknown_fields_of_the_envelope_are_counted_and_pass() -> None:
    text = frame()[:-1] + ',"sequence":5}'
    message, unknown = outcome(text)
    assert isinstance(message, Data)
    assert unknown == {"field book:sequence": 1}
    assert_same(text)


def test_unknown_fields_of_a_level_pass() -> None:
    text = frame(ENTRY.replace("0.10000000}", '0.10000000,"orders":3}'))
    assert isinstance(outcome(text)[0], Data)
    assert_same(text)


def test_the_frame_cannot_set_what_the_client_knows() -> None:
    text = frame(ENTRY[:-1] + ',"epoch":99,"received_ns":99}')
    message, _ = outcome(text)
    assert isinstance(message, Data)
    (event,) = message.events
    assert (event.epoch, event.received_ns) == (3, 17)
    assert_same(text)


@pytest.mark.parametrize("twice", ['"channel":"trade"', '"type":"snapshot"', '"channel":5', '"type":null'])
def test_a_key_that_stands_twice_cannot_change_what_it_is(twice: str) -> None:
    message, _ = outcome(frame()[:-1] + f",{twice}}}")
    assert message == "refused"


def test_the_last_of_a_key_that_stands_twice_holds() -> None:
    text = frame(ENTRY[:-1] + ',"checksum":7}')
    message, _ = outcome(text)
    assert isinstance(message, Data)
    event = message.events[0]
    assert isinstance(event, BookUpdate)
    assert event.checksum == 7
    assert_same(text)


@pytest.mark.parametrize("checksum", ["-1", "4294967296", "1.5", '"1"', "1e3", "true", "[]"])
def test_a_checksum_has_32_bits(checksum: str) -> None:
    text = frame(ENTRY.replace("2175437505", checksum))
    assert outcome(text)[0] == "refused"
    assert_same(text)


def test_a_timestamp_has_a_time_zone() -> None:
    text = frame(ENTRY.replace("623Z", "623"))
    assert outcome(text)[0] == "refused"
    assert_same(text)


@pytest.mark.parametrize("checksum", [0, 0xFFFF_FFFF])
def test_every_checksum_of_32_bits_is_taken(checksum: int) -> None:
    text = frame(ENTRY.replace("2175437505", str(checksum)))
    message, _ = outcome(text)
    assert isinstance(message, Data)
    (event,) = message.events
    assert isinstance(event, BookUpdate)
    assert event.checksum == checksum
    assert_same(text)


def test_the_order_of_keys_is_free() -> None:
    message, _ = outcome(frame())
    reordered = json.loads(ENTRY, parse_float=str)
    text = json.dumps(
        {
            "data": [dict(reversed(reordered.items()))],
            "type": "update",
            "channel": "book",
        }
    )
    assert outcome(text)[0] == message


# A valid update in which a few things are replaced, and the keys stand in any order. No key stands twice: where the
# first of two values is impossible, the fast way refuses the frame, and the other one takes the second.

_values = (
    st.sampled_from(["null", "true", "[]", "{}", '""', '"NaN"', '"1.50"', "-1", "1e999999999", "-0.0", "9" * 400])
    | st.builds("{}.{}".format, st.integers(0, 10**17), st.integers(0, 10**10))
    | st.builds("{}e{}".format, st.integers(0, 10**17), st.integers(-400, 400))
    | st.integers(-1, 2**33).map(str)
)
_others = st.sampled_from(['"2026-07-19T17:54:39.784623"', '"yesterday"', '"a\\":b"', "", f"[{LEVEL},{LEVEL}]", "[{}]"])
_edits = st.dictionaries(
    st.sampled_from(["price", "qty", "new of level"]), _values | st.just(""), max_size=2
) | st.dictionaries(
    st.sampled_from(["symbol", "bids", "asks", "checksum", "timestamp", "new", "epoch"]), _values | _others, max_size=3
)


def _written(fields: dict[str, str], shuffle: random.Random) -> str:
    pairs = [f'"{name.split()[0]}":{value}' for name, value in fields.items() if value]
    shuffle.shuffle(pairs)
    return "{" + ",".join(pairs) + "}"


def _entry(edits: dict[str, str], seed: int) -> str:
    shuffle = random.Random(seed)
    level = {"price": "64525.30", "qty": "0.10000000"}
    level |= {name: value for name, value in edits.items() if name in (*level, "new of level")}
    fields = {"symbol": '"BTC/USD"', "bids": f"[{_written(level, shuffle)},{LEVEL}]", "asks": "[]", "checksum": "5"}
    fields |= {"timestamp": '"2026-07-19T17:54:39.784623Z"'}
    return _written(fields | {name: value for name, value in edits.items() if name not in level}, shuffle)


@given(st.lists(st.builds(_entry, _edits, st.integers(0, 2**16)), max_size=2))
def test_both_ways_agree_on_anything(entries: list[str]) -> None:
    assert_same(frame(",".join(entries)))


def test_both_ways_agree_on_the_recordings(captures: Path) -> None:
    seen = 0
    for name in ("v2_book25_ethusd.cbcap", "v2_book25_xrpusd.cbcap"):
        for line in (captures / name).read_text().splitlines():
            if line.startswith('{"channel":"book","type":"update"'):
                seen += 1
                assert_same(line)
    assert seen == 1128 + 1146


def test_trailing_zeros_survive() -> None:
    message, _ = outcome(frame())
    assert isinstance(message, Data)
    event: Any = message.events[0]
    (level,) = event.asks
    assert (str(level.price), str(level.qty)) == ("64525.30", "0.10000000")


# Where a pair's precision is zero, numbers are integers. The decoder leaves them as they are, the first book does not.

_prices = st.integers(1, 10**12)
_quantities = st.integers(0, 10**6)
_quoted = st.integers(0, 2**12)


def _books_frame(kind: str, bids: list[tuple[int, int]], asks: list[tuple[int, int]], quoted: int) -> str:
    bits = itertools.cycle(f"{quoted:b}")

    def side(levels: list[tuple[int, int]]) -> str:
        written = [[f'"{n}"' if next(bits) == "1" else str(n) for n in level] for level in levels]
        return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in written)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/B","bids":[{side(bids)}],"asks":[{side(asks)}]}}]}}'
    )


_sides = st.lists(st.tuples(_prices, _quantities), max_size=5)


@given(st.lists(st.tuples(_sides, _sides), min_size=1, max_size=4), _quoted)
def test_an_integer_is_the_same_as_its_text(messages: list[tuple[Any, Any]], quoted: int) -> None:
    books, codec = [OrderBook(3), OrderBook(3)], codec_for("v2")
    followers = [OrderBook(3), OrderBook(3)]
    for number, (bids, asks) in enumerate(messages):
        texts = []
        for book, follower, bits in zip(books, followers, (quoted, 1), strict=True):
            message = codec.decode(_books_frame("update" if number else "snapshot", bids, asks, bits))
            assert isinstance(message, Data)
            (event,) = message.events
            assert isinstance(event, BookSnapshot | BookUpdate)
            copy = msgspec.json.decode(msgspec.json.encode(event), type=type(event))
            book.apply(event)
            texts.append([(level.price_text, level.qty_text) for level in (*event.bids, *event.asks)])
            follower.follow(copy)
            assert (follower.bids, follower.asks) == (book.bids, book.asks)
        assert texts[0] == texts[1]
        assert all(type(text) is str for pair in texts[0] for text in pair)
        assert (books[0].bids, books[0].asks, books[0].checksum()) == (
            books[1].bids,
            books[1].asks,
            books[1].checksum(),
        )
