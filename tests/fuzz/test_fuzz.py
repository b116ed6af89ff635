"""Any bytes into the decoder, any frames and calls into a session, any file into ``verify``; and what each costs.

The promises are in ``survival.py``. What ``nox -s fuzz`` finds comes here, as an example.
"""

from __future__ import annotations

import gzip
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, strategies as st

from kraken_trio._zstd import zstd
from kraken_trio.book.row import amounts, price_rows
from kraken_trio.errors import ProtocolError
from kraken_trio.requests import Book
from kraken_trio.testing import strategies as ours
from kraken_trio.wire import Codec, codec_for
from tests.cli.recorder import Recorder, ack, cbcap, lines
from tests.fuzz.corpus import SEEDS, exchange_frames
from tests.fuzz.survival import (
    CALLS,
    ERRORS,
    REQUEST_NUMBER,
    SEPARATOR,
    SYMBOLS,
    TARGETS,
    WISHES,
    session,
    verified,
    verify,
    wire,
    wire_v1,
)
from tests.session.driver import Client, Market, candle, status, ticker, trades

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

SEEDED = [(target, index) for target, seeds in SEEDS.items() for index in range(len(seeds()))]


@pytest.mark.parametrize("target", TARGETS)
def test_a_search_begins_with_what_is_right(target: str) -> None:
    for seed in SEEDS[target]():
        TARGETS[target](seed)


# The decoder


@given(ours.frames().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary())
@example(b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":"x","qty":1}],"asks":[]}]}')
def test_any_bytes_into_the_decoder(data: bytes) -> None:
    wire(data)


@given(st.sampled_from(SEEDS["wire_v1"]()), st.integers(0, 2000), st.integers(0, 6), st.binary(max_size=6))
@example(b'[[],"openOrders",{"sequence":1}]', 0, 0, b"")
def test_a_damaged_frame_of_v1_into_the_decoder(frame: bytes, start: int, length: int, piece: bytes) -> None:
    at = start % len(frame)
    wire_v1(frame[:at] + piece + frame[at + length :])


# Sessions

_SYMBOL = re.compile(r'"symbol":"[^"]*"')


def _about_us(frame: str, symbol: str) -> str:
    return _SYMBOL.sub(f'"symbol":"{symbol}"', frame)


def _plain(text: str) -> bytes:
    """As a line of a script."""
    return text.encode("utf-8", "replace").replace(b"\n", b" ")


def _answers() -> SearchStrategy[str]:
    """Answers that may have been given, and some that may not."""
    return st.builds(
        '{{"method":"{}","req_id":{},"success":{},"error":{},"symbol":{},'
        '"result":{{"channel":"{}","symbol":{},"depth":10,"warnings":["{}"]}}}}'.format,
        st.sampled_from(["subscribe", "unsubscribe", "pong", "ping", ""]),
        st.sampled_from([REQUEST_NUMBER.decode(), "1", "2", "3", "null", "-1", "1e9", "18446744073709551616"]),
        st.sampled_from(["true", "false", "null", '"true"']),
        st.sampled_from(["null", *(f'"{error}"' for error in ERRORS if error.isprintable())]),
        st.sampled_from(["null", *(f'"{symbol}"' for symbol in SYMBOLS), '"btc/usd"', "5"]),
        st.sampled_from(["book", "trade", "ticker", "ohlc", "instrument", "", "status"]),
        st.sampled_from(["null", *(f'"{symbol}"' for symbol in SYMBOLS)]),
        st.text("abc\\u0000é", max_size=5).map(lambda text: text.replace("\\", "")),
    )


def _frames() -> SearchStrategy[str]:
    symbols = st.sampled_from(SYMBOLS)
    numbers = st.integers(0, 6)
    return (
        st.builds(_about_us, ours.frames(), symbols)
        | _answers()
        | st.builds(
            lambda first, count, symbol: trades(*range(first, first + count), symbol=symbol), numbers, numbers, symbols
        )
        | st.builds(ticker, numbers, symbols)
        | st.builds(candle, numbers, numbers, symbols)
        | st.builds(status, st.sampled_from(["online", "maintenance", "cancel_only", "\\u001b[2J"]))
        | st.sampled_from(exchange_frames()).filter(lambda frame: len(frame) < 2000)
    )


def _calls() -> SearchStrategy[bytes]:
    batch = st.lists(_frames().map(_plain), min_size=1, max_size=3).map(SEPARATOR.join)
    number = st.integers(0, 130).map(lambda value: str(value).encode())
    wishes = (
        st.lists(st.integers(0, len(WISHES) - 1), min_size=1, max_size=3).map(bytes).filter(lambda text: 10 not in text)
    )
    likely = st.sampled_from([b"y", b"y", b"s0", b"s1", b"s2", b"c0", b"w8", b"W80"])
    return (
        st.builds(bytes.__add__, st.just(b"r"), batch)
        | st.builds(bytes.__add__, st.sampled_from([letter.encode() for letter in CALLS if letter not in "ra"]), number)
        | st.builds(bytes.__add__, st.just(b"a"), wishes)
        | likely
    )


@given(st.lists(_calls(), max_size=30).map(b"\n".join))
@example(b"a\x00\ny\ns0\nl12")  # a policy violation ends it
@example(
    b'a\x00\x03\x04\nr{"method":"subscribe","req_id":%q,"success":false,"error":"Already subscribed","symbol":null,'
    b'"result":{"channel":"book","symbol":null,"depth":10,"warnings":[""]}}\ny'
)  # a confirmation of what is to be left
@example(b"a\x00\nl0\nc2\nc4\nc5\nc3\nh\nc0\ny")
def test_any_frames_and_calls_into_a_session(script: bytes) -> None:
    session(script)


@given(st.binary(max_size=200))
def test_any_script_at_all(script: bytes) -> None:
    session(script)


# Recordings


STARTS = (
    b'{"ts":1,"data":',
    b'{"frame":',
    b"2026-11-29T02:54:37Z ",
    b"1785644622.5\t",
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
)


def _recording() -> bytes:
    recorder = Recorder()
    return cbcap([ack(), recorder.snapshot(), recorder.update(bids=[("100.5", "3.00")]), recorder.update(wrong=1)])


@given(
    st.binary(max_size=300)
    | st.lists(ours.frames(), max_size=3).map(lambda frames: lines(frame.replace("\ud800", "") for frame in frames))
    | st.lists(ours.frames(), max_size=3).map(lambda frames: cbcap(frame.replace("\ud800", "") for frame in frames))
    | st.builds(bytes.__add__, st.sampled_from(STARTS), st.binary(max_size=60))
)
@example(b"CBCAP1 kraken BTC/USD 1\n1 0\n\n")
@example(b"CBCAP1 kraken BTC/USD 1\n1 00000000000000000001\n{\n")
def test_any_file_into_verify(data: bytes) -> None:
    verify(data)


@given(st.data())
def test_a_damaged_recording_into_verify(data: st.DataObject) -> None:
    recording = bytearray(_recording())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(recording)))
        end = data.draw(st.integers(start, min(len(recording), start + 6)))
        recording[start:end] = data.draw(st.binary(max_size=4))
    verify(bytes(recording))
    for damaged in (bytearray(gzip.compress(_recording(), mtime=0)), bytearray(zstd.compress(_recording()))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + 1] = data.draw(st.binary(max_size=2))
        verify(bytes(damaged))


# What it costs: counted, not timed


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C."""
    count = 0

    def see(_frame: object, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


CALLS_FIXED = 500
CALLS_PER_BYTE = 2
"""Of a frame: whatever stands in it, it costs no more than this to read it, and to say what is wrong with it."""


@given(ours.frames())
def test_what_a_frame_costs(frame: str) -> None:
    def decode(codec: Codec) -> None:
        with suppress(ProtocolError):
            codec.decode(frame)

    decode(codec_for("v2"))  # what is made once in a process, such as the code that makes pairs, is of no frame
    fresh = codec_for("v2")
    assert calls(lambda: decode(fresh)) <= CALLS_FIXED + CALLS_PER_BYTE * len(frame)


def _many(frame: str, entry: str, count: int) -> str:
    return frame % ",".join(entry.replace("#", str(number + 1)) for number in range(count))


_LEVEL = '{"price":#.5,"qty":1.0}'
GROWING = {
    "book": ('{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[%s],"asks":[]}]}', _LEVEL),
    "update": ('{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","asks":[%s],"bids":[]}]}', _LEVEL),
    "books": (
        '{"channel":"book","type":"update","data":[%s]}',
        '{"symbol":"BTC/USD","bids":[],"asks":[{"price":#.5,"qty":2.0}],"timestamp":"2026-05-14T15:06:09.020392Z"}',
    ),
    "keys": (ticker(1).replace("}]}", ",%s}]}"), '"key#":#'),
    "candles": (
        '{"channel":"ohlc","type":"snapshot","data":[%s]}',
        candle(1)[len('{"channel":"ohlc","type":"update","data":[') : -2].replace('"trades":1', '"trades":#'),
    ),
    "trades": (
        '{"channel":"trade","type":"update","data":[%s]}',
        trades(7)[len('{"channel":"trade","type":"update","data":[') : -2].replace('"trade_id":7', '"trade_id":#'),
    ),
    "old trades": (
        '{"channel":"trade","type":"snapshot","data":[%s]}',
        trades(7)[len('{"channel":"trade","type":"update","data":[') : -2].replace('"qty":0.10', '"qty":#'),
    ),
    "assets": (
        '{"channel":"instrument","type":"snapshot","data":{"pairs":[],"assets":[%s]}}',
        '{"id":"A#","status":"enabled","precision":8,"precision_display":4}',
    ),
    "notices": ('{"channel":"status","type":"update","data":[{"system":"online","emergency":[%s]}]}', '"#"'),
    "warnings": ('{"method":"subscribe","success":true,"result":{"channel":"book","warnings":[%s]}}', '"w#"'),
    "nonsense": ('{"channel":"book","symbol":"BTC/USD","data":[%s', "[]"),
}


@pytest.mark.parametrize("shape", GROWING)
def test_twice_as_much_costs_twice_as_much(shape: str) -> None:
    """Of whatever a frame may have many."""
    costs = []
    for count in (300, 600):
        client, market = Client(), Market()
        client.follow("feed", Book(market.symbol), *(wish for wish in WISHES if wish.channel not in (None, "book")))
        snapshot = market.snapshot()
        client.receive(snapshot[: snapshot.index(',"checksum"')] + "}]}")  # as are the books of the frames below
        frame = _many(*GROWING[shape], count)
        price_rows.clear()  # what tests before this one have left there would make the shorter frame cheaper
        amounts.clear()
        costs.append(calls(lambda: client.session.receive([frame], 1, client.now)))  # noqa: B023 (called at once)
        assert (client.count("malformed") > 0) == (shape == "nonsense"), "it is not what is meant here"
    assert costs[1] <= 2.1 * costs[0] + 100


def _wrapped(frames: list[str]) -> bytes:
    return zstd.compress(lines(f'{{"ts":"2026-11-29T02:54:37Z","data":{frame}}}' for frame in frames))


@pytest.mark.parametrize("form", [lines, cbcap, _wrapped])
def test_twice_as_long_a_recording_costs_twice_as_much(form: Callable[[list[str]], bytes]) -> None:
    recorder = Recorder()
    frames = [
        recorder.snapshot(),
        *(recorder.update(bids=[("100.5", f"{n + 1}.00")]) for n in range(150)),
        *["{"] * 150,
    ]
    costs = [calls(lambda: verified([form(frames * times)])) for times in (1, 2)]  # noqa: B023 (called at once)
    assert costs[1] <= 2.1 * costs[0]
