"""An outbox: what is not acknowledged is sent again, all of it, in order; and it is bounded."""

from __future__ import annotations

import attrs
from hypothesis import given, strategies as st

from kraken_trio.broker.outbox import Outbox


@attrs.frozen
class Message:
    number: int
    data: bytes


sizes = st.lists(st.integers(0, 50), max_size=8)
steps = st.lists(st.tuples(sizes, st.integers(0, 12), st.integers(0, 12)), max_size=20)


@given(steps, st.integers(1, 6), st.integers(1, 100))
def test_all_arrive_in_order_whatever_fails(
    script: list[tuple[list[int], int, int]], most: int, most_bytes: int
) -> None:
    """In each step, some come; of what is sent, some are stored; and of these some are acknowledged."""
    outbox: Outbox[Message] = Outbox(most, most_bytes)
    stored: dict[int, Message] = {}
    number, acked = 0, 0
    for coming, stores, acks in script:
        room, room_bytes = outbox.room, outbox.room_bytes
        assert room == 0 or room_bytes
        for size in coming[:room]:
            outbox.add([Message(number, bytes(size))])
            number += 1
        window = outbox.window()
        assert len(window) <= most
        assert [message.number for message in window] == list(range(acked, acked + len(window)))
        for message in window[:stores]:
            assert message.number <= len(stored)  # no hole
            stored[message.number] = message
        removed = outbox.acked(min(acks, stores))
        assert list(removed) == list(window[: len(removed)])
        acked += len(removed)
        assert outbox.bytes == sum(len(message.data) for message in outbox.window())
        assert len(outbox) == number - acked
    while outbox:
        for message in outbox.window():
            stored[message.number] = message
        acked += len(outbox.acked(len(outbox.window())))
    assert list(stored) == list(range(number))
    assert outbox.bytes == 0


def test_its_room_is_in_messages_and_bytes() -> None:
    outbox: Outbox[Message] = Outbox(3, 100)
    assert (outbox.room, outbox.room_bytes) == (3, 100)
    outbox.add([Message(0, bytes(90))])
    assert (outbox.room, outbox.room_bytes) == (2, 10)
    outbox.add([Message(1, bytes(90))])  # the one that does not fit is taken all the same
    assert (outbox.room, outbox.room_bytes, outbox.bytes) == (0, 0, 180)
    outbox.add([Message(number, b"") for number in (2, 3, 4)])
    assert [message.number for message in outbox.window()] == [0, 1, 2]
    assert len(outbox.acked(10)) == 5
    assert outbox.room == 3


def test_a_new_owner_leaves_nothing() -> None:
    outbox: Outbox[Message] = Outbox(3, 100)
    outbox.add([Message(0, b"a"), Message(1, b"b")])
    assert outbox.clear() == 2
    assert (len(outbox), outbox.bytes, outbox.window()) == (0, 0, [])
