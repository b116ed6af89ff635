"""Lines of processes: whole however they come, bounded, and with a name."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from kraken_trio.relay.lines import Lines, decode_control, encode_control, named_json, named_text


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(st.binary(), st.lists(st.integers(0)), st.integers(1, 50))
def test_lines_are_the_same_however_they_come(data: bytes, cuts: list[int], limit: int) -> None:
    whole, parts = Lines(limit), Lines(limit)
    expected = [*whole.take(data), *whole.end()]
    assert [*(line for part in chunked(data, cuts) for line in parts.take(part)), *parts.end()] == expected
    assert all(b"\n" not in line for line in expected)
    for line, original in zip(expected, [one for one in data.split(b"\n") if one[:limit].strip()], strict=False):
        is_cut = len(original) > limit
        assert line.endswith(b" ... (cut off)") is is_cut or not is_cut
        assert original.startswith(line.removesuffix(b" ... (cut off)"))


def test_a_line_that_never_ends_takes_no_memory() -> None:
    lines = Lines(10)
    for _ in range(1000):
        assert lines.take(b"x" * 1000) == []
    assert lines.take(b"\nnext\n") == [b"xxxxxxxxxx ... (cut off)", b"next"]


def test_a_line_of_a_log_gets_a_name() -> None:
    line = named_json(b'{"time":"now","event":"connected","message":"x"}', "2/8")
    assert line is not None
    assert line.endswith(b"\n")
    assert json.loads(line) == {"time": "now", "event": "connected", "message": "x", "shard": "2/8"}
    assert named_text(b"INFO connected", "2/8") == b"[2/8] INFO connected\n"


@pytest.mark.parametrize("line", [b"Traceback (most recent call last):", b'{"a":1}', b'{"event":"x"', b"[]", b"\xff"])
def test_what_is_no_line_of_a_json_log(line: bytes) -> None:
    assert named_json(line, "0/1") is None


@given(st.binary())
def test_a_named_text_is_one_printable_line(data: bytes) -> None:
    assert named_text(data, "0/1").decode()[:-1].isprintable()


def test_what_a_process_tells_its_supervisor() -> None:
    line = encode_control(ready=True, metrics_port=9464).removesuffix(b"\n")
    assert decode_control(line) == {"ready": True, "metrics_port": 9464}
    for other in (b"ready", b'{"kraken_trio_relay":', b'{"kraken_trio_relay":1}'):
        assert decode_control(other) is None
