"""Frames in wrappers: cut out as they are, and never out of anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from kraken_trio.wire.wrapper import Wrapped, unwrap

FRAMES = [
    '{"channel":"book","data":[{"bids":[{"price":0.50000000,"qty":1.0E-7}]}],"e":1e999999999}',
    '{"data" : [ ] , "channel":"a","ts":"x"}',
    '[336,{"a":[]},"book-10","XBT/USD"]',
    '{"ts":1,"data":{}}',
    '{"text":"\\",\\"ts\\":1}"}',
    "{}",
]
TIMES = {
    "0": b"0",
    "1785644622.17": b"1785644622.17",
    "-1e5": b"-1e5",
    '"2026"': b"2026",
    '"\\u002b1"': b"+1",
    "null": None,
}
spaces = st.text(" \t", max_size=2)


@given(
    st.sampled_from(FRAMES),
    st.sampled_from(list(TIMES)),
    st.sampled_from([("rx_ns", "frame"), ("ts", "data")]),
    st.booleans(),
    st.booleans(),
    st.lists(spaces, min_size=8, max_size=8),
)
def test_what_was_wrapped_comes_back(
    frame: str, time: str, keys: tuple[str, str], is_text: bool, time_is_first: bool, s: list[str]
) -> None:
    value = json.dumps(frame) if is_text else frame
    fields = [(keys[0], time), (keys[1], value)]
    (a, x), (b, y) = fields if time_is_first else reversed(fields)
    line = f'{{{s[0]}"{a}"{s[1]}:{s[2]}{x}{s[3]},{s[4]}"{b}"{s[5]}:{s[6]}{y}{s[7]}}}'.encode()
    wrapped = unwrap(line)
    assert wrapped is not None
    assert wrapped == Wrapped(frame.encode(), wrapped.start, TIMES[time], keys[0] == "rx_ns")
    assert line[wrapped.start :].startswith(value.encode())
    for end in range(len(line)):
        assert unwrap(line[:end]) is None, "it is cut off"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        *FRAMES[:3],
        '{"ts":1,"frame":{}}',
        '{"rx_ns":1,"data":{}}',
        '{"data":{},"rx_ns":1}',
        '{"ts":1,"data":{},"channel":"book"}',
        '{"ts":1,"channel":"book","data":{}}',
        '{"channel":"book","ts":1,"data":{}}',
        '{"data":{},"channel":"book","ts":1}',
        '{"data":{},"ts":1,"channel":"book"}',
        '{"ts":1,"data":{},"data":{}}',
        '{"data":{},"data":{},"ts":1}',
        '{"ts":1,"data":{"a":x}}',
        '{"ts":1,"data":{"channel":"bo}}',
        '{"ts":1,"data":{}',
        '{"ts":1,"data":5}',
        '{"ts":1,"data":null}',
        '{"ts":1,"data":}',
        '{"ts":1,"data":"{}}',
        '{"ts":1,"data":"\\ud800"}',
        '{"ts":1,"data":"\\x"}',
        '{"ts":"\\x","data":{}}',
        '{"ts":true,"data":{}}',
        '{"ts":{},"data":{}}',
        '{"ts":1}',
        '{"data":{}}',
        # Deeper than any Python follows; from 3.12 on, C code has a limit of its own.
        pytest.param('{"ts":1,"data":' + "[" * 100_000 + "]" * 100_000 + "}", id="nesting"),
        '[{"ts":1,"data":{}}]',
        '{"ts":1,"data":{}} {}',
    ],
)
def test_anything_else_is_no_wrapper(line: str) -> None:
    assert unwrap(line.encode()) is None


@given(st.binary(max_size=60), st.sampled_from([b'{"ts":1,"data":', b'{"data":', b'{"frame":"', b""]))
def test_any_bytes_are_a_wrapper_or_none(line: bytes, start: bytes) -> None:
    wrapped = unwrap(start + line)
    assert wrapped is None or wrapped.start < len(start + line)
