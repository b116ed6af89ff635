"""Packing: whatever comes, in whatever order, stands in the block as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kraken_trio.events import Cause
from kraken_trio.recording import format as fmt, records as log
from kraken_trio.recording.format import (
    DECISIONS,
    FRAME_FIRST,
    FRAME_MORE,
    INPUTS,
    KEYFRAMES,
    NOTES,
    TEXT_FIRST,
    TEXT_MORE,
)
from kraken_trio.recording.packer import Block, Packer, redacted
from kraken_trio.requests import Book
from kraken_trio.session import Effects, inputs, records
from tests.recording import entries

WALL = 1_800_000_000_000_000_000
NOW = 5000.25


def messages(block: Block) -> list[tuple[int, int, int, int, bytes]]:
    """What is in a block, which says of itself what is true."""
    found = fmt.messages(b"".join(block.parts))
    assert block.size == sum(map(len, block.parts))
    assert [message[1] for message in found] == list(range(block.first, block.last + 1))
    walls = [message[2] for message in found]
    assert (block.start_ns, block.end_ns) == (min(walls, default=0), max(walls, default=0))
    frames = [message[0] for message in found if message[0] <= TEXT_MORE]
    assert block.frames == len(frames)
    assert block.batches == sum(channel in (FRAME_FIRST, TEXT_FIRST) for channel in frames)
    return found


def kinds(block: Block) -> list[str | bytes]:
    """The data of each frame, and the kind of each other record."""
    return [m[4] if m[0] <= TEXT_MORE else json.loads(m[4])["kind"] for m in messages(block)]


frames = st.lists(st.binary(max_size=40) | st.text(st.characters(codec="utf-8"), max_size=40), min_size=1, max_size=5)
clocks = st.tuples(st.integers(0, 2**62), st.floats(0, 1e9))


@given(st.lists(st.tuples(frames, clocks), max_size=6), st.integers(1, 6))
def test_frames_stand_as_they_came(batches: list[tuple[list[str | bytes], tuple[int, float]]], every: int) -> None:
    packer = Packer()
    assert packer.start_ns is None
    blocks = []
    for number, (batch, (wall_ns, now)) in enumerate(batches, 1):
        packer.received(batch, wall_ns, now, Effects())
        assert packer.start_ns is not None
        if number % every == 0:
            blocks.append(packer.take())
            assert (len(packer), packer.size) == (0, 0)
    size = packer.size
    blocks.append(packer.take())
    assert size == blocks[-1].size
    found = [message for block in blocks for message in messages(block)]
    assert [message[1] for message in found] == list(range(1, len(found) + 1))
    expected = []
    for batch, (wall_ns, _) in batches:
        for index, frame in enumerate(batch):
            if isinstance(frame, str):
                expected.append((TEXT_MORE if index else TEXT_FIRST, wall_ns, frame.encode()))
            else:
                expected.append((FRAME_MORE if index else FRAME_FIRST, wall_ns, frame))
    assert [(channel, wall_ns, data) for channel, _, wall_ns, _, data in found] == expected


@given(clocks)
def test_the_monotonic_clock_is_known_to_the_microsecond(clock: tuple[int, float]) -> None:
    wall_ns, now = clock
    offset = fmt.clock_offset(wall_ns, now)
    assert 0 <= offset < 2**64
    assert 0 <= fmt.monotonic_ns(wall_ns, offset) - int(now * 1e9) < 1000


def test_the_offset_of_the_clocks_changes_only_with_them() -> None:
    assert fmt.clock_offset(WALL, NOW) == fmt.clock_offset(WALL + 10**9, NOW + 1) == WALL - 5000 * 10**9 - 25 * 10**7
    assert fmt.clock_offset(WALL + 2 * 10**9, NOW + 1) == fmt.clock_offset(WALL, NOW) + 10**9  # the clock was set


def effects(*happened: Any, send: tuple[str, ...] = ()) -> Effects:
    found = Effects(send=list(send))
    found.records.extend(happened)
    found.places.extend(range(len(happened)))
    return found


def malformed(frame: int | None) -> records.FrameMalformed:
    return records.FrameMalformed(detail="bad", frame=frame)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ((0,), ["Other", b"a", b"b", b"c"]),
        ((2,), [b"a", b"b", "Other", b"c"]),
        ((0, 0, 1, None), ["Other", "Other", b"a", "Other", b"b", b"c", "Other"]),
        ((None,), [b"a", b"b", b"c", "Other"]),
        ((1, 7), [b"a", "Other", b"b", b"c", "Other"]),
    ],
    ids=str,
)
def test_a_decision_stands_before_its_frame(at: tuple[int | None, ...], expected: list[str | bytes]) -> None:
    packer = Packer()
    packer.received(["a", b"b", "c"], WALL, NOW, effects(*map(malformed, at), send=("sent",)))
    block = packer.take()
    assert kinds(block) == [*expected, "Told"]
    found = messages(block)
    assert [message[0] for message in found if message[0] <= TEXT_MORE] == [TEXT_FIRST, FRAME_MORE, TEXT_MORE]
    decisions = [json.loads(message[4]) for message in found if message[0] == DECISIONS]
    assert [entry.get("frame") for entry in decisions] == list(at)
    assert [entry.get("taken", 0) for entry in decisions] == list(range(len(at)))


def test_a_batch_of_bytes_with_a_decision_begins_with_bytes() -> None:
    packer = Packer()
    packer.received([b"a"], WALL, NOW, effects(malformed(0)))
    assert [message[0] for message in messages(packer.take())] == [DECISIONS, FRAME_FIRST]


@given(st.lists(st.tuples(entries.told, st.lists(entries.decided, max_size=3), clocks), max_size=6))
def test_other_inputs_stand_before_what_follows_from_them(
    story: list[tuple[Any, list[Any], tuple[int, float]]],
) -> None:
    packer = Packer()
    for happening, decided, (wall_ns, now) in story:
        packer.told(happening, 1, wall_ns, now, effects(*decided, send=('{"token":"secret"}',)))
    expected: list[tuple[int, str]] = []
    for happening, decided, _ in story:
        expected.append((INPUTS, type(happening).__name__))
        expected += [(DECISIONS, type(log.decision_of(record, 0)).__name__) for record in decided]
        expected.append((INPUTS, "Sent"))
    found = [(m[0], json.loads(m[4])) for m in messages(packer.take())]
    assert [(c, entry["what"] if c == INPUTS else entry["kind"]) for c, entry in found] == expected
    assert all("secret" not in str(entry) for _, entry in found)


def test_feeds_have_numbers_while_they_are_there() -> None:
    packer, first, second = Packer(), object(), object()
    for happening in (
        inputs.Added(first, (Book("BTC/USD"),)),
        inputs.Added(second, ()),
        inputs.Removed(first),
        inputs.Added(first, ()),  # another feed, perhaps at the same place in memory
        inputs.Removed(second),
    ):
        packer.told(happening, 1, WALL, NOW, Effects())
    found = [json.loads(message[4])["feed"] for message in messages(packer.take())]
    assert found == [1, 2, 1, 3, 2]


def test_notes_and_key_frames_have_channels_of_their_own() -> None:
    packer = Packer()
    packer.note(log.Started(), WALL + 5, NOW)
    packer.key(log.CycleBegun(number=1), WALL, NOW)  # the clock was set back
    packer.key(log.CycleEnded(number=1), WALL + 9, NOW)
    block = packer.take()
    assert [(m[0], json.loads(m[4])["kind"]) for m in messages(block)] == [
        (NOTES, "Started"),
        (KEYFRAMES, "CycleBegun"),
        (KEYFRAMES, "CycleEnded"),
    ]
    assert (block.start_ns, block.end_ns) == (WALL, WALL + 9)


def test_a_new_segment_counts_from_one() -> None:
    packer = Packer()
    packer.received([b"a", b"b"], WALL, NOW, Effects())
    assert len(packer) == 2
    packer.take()
    packer.received([b"c"], WALL, NOW, Effects())
    assert packer.take().first == 3
    packer.restart()
    packer.received([b"d"], WALL, NOW, Effects())
    block = packer.take()
    assert (block.first, block.last) == (1, 1)


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.sampled_from(["", " "]))
def test_a_token_is_never_written(token: str, space: str) -> None:
    secret = json.dumps(f"secret{token}")
    frame = f'{{"method":"subscribe","params":{{"token"{space}:{space}{secret},"channel":"executions"}}}}'
    assert json.loads(redacted(frame)) == {"method": "subscribe", "params": {"token": "…", "channel": "executions"}}


def test_a_frame_without_a_token_is_written_as_it_is() -> None:
    frame = '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"]}}'
    assert redacted(frame) == frame


def test_a_cause_is_a_word() -> None:
    packer = Packer()
    packer.told(inputs.Lost(Cause.DISCONNECTED, "gone", 1006), 3, WALL, NOW, Effects())
    (message,) = messages(packer.take())
    assert json.loads(message[4]) == {
        "kind": "Told",
        "what": "Lost",
        "cause": "disconnected",
        "text": "gone",
        "code": 1006,
    }
