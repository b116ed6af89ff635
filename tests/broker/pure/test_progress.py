"""The place after the last event that a program has received."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from kraken_trio.broker.position import Place, Position
from kraken_trio.broker.progress import Delivery, Progress


def events(count: int) -> Any:
    return tuple(range(count))


def test_a_delivery_has_a_place_after_each_event() -> None:
    delivery = Delivery(events(3), 0, 7)
    assert [delivery.place(count) for count in range(1, 5)] == [Place(7, 1), Place(7, 2), Place(8), Place(8)]
    delivery = Delivery(events(3), 0, 7, [0, 4, 5])
    assert [delivery.place(count) for count in range(1, 4)] == [Place(7, 0), Place(7, 4), Place(8)]


def test_it_is_known_when_all_with_which_the_feed_begins_is_received() -> None:
    progress = Progress("s")
    assert progress.position(0, in_order=True) is None
    progress.add(Delivery(events(2)), 0, in_order=True)
    progress.begin({0: Place(5), 1: Place(3)})
    assert progress.has_begun
    assert progress.position(1, in_order=True) is None
    assert progress.position(0, in_order=True) == Position("s", {0: Place(5), 1: Place(3)})
    resumed = Progress("s", {0: Place(9)})
    assert resumed.position(3, in_order=True) == Position("s", {0: Place(9)})


def test_messages_without_events_move_it_when_nothing_waits() -> None:
    progress = Progress("s")
    progress.begin({0: Place(1)})
    progress.add(Delivery((), 0, 4), 0, in_order=True)
    assert progress.position(0, in_order=True) == Position("s", {0: Place(5)})
    progress.add(Delivery(events(1), 0, 5), 0, in_order=True)
    progress.add(Delivery((), 0, 6), 1, in_order=True)
    progress.add(Delivery((), 0, 2), 1, in_order=True)  # read again, after a lost connection
    assert progress.position(1, in_order=True) == Position("s", {0: Place(1)})
    assert progress.position(0, in_order=True) == Position("s", {0: Place(7)})


def test_in_another_log_it_goes_on_from_there() -> None:
    progress = Progress("s")
    progress.begin({0: Place(1), 1: Place(1)})
    progress.add(Delivery(events(2), 0, 90), 0, in_order=True)
    progress.restart(0, Place(5, 0, "new"))
    progress.restart(1, Place(5, 0, "new"))  # nothing came of that: it stays
    assert progress.position(1, in_order=True) == Position("s", {0: Place(90, 1), 1: Place(1)})
    assert progress.position(0, in_order=True) == Position("s", {0: Place(5, 0, "new"), 1: Place(1)})
    progress.add(Delivery(events(1), 0, 6, log="new"), 0, in_order=True)
    assert progress.position(0, in_order=True) == Position("s", {0: Place(7, 0, "new"), 1: Place(1)})
    progress.add(Delivery(events(1), 0, 2, log="newer"), 0, in_order=True)
    assert progress.position(0, in_order=True) == Position("s", {0: Place(3, 0, "newer"), 1: Place(1)})


def test_what_is_read_no_more_is_forgotten() -> None:
    progress = Progress("s", {7: Place(1)})
    progress.begin({0: Place(1), 9: Place(1)})
    progress.add(Delivery(events(1), 0, 5), 0, in_order=True)
    progress.add(Delivery(events(1), 9, 5), 1, in_order=True)
    progress.forget(range(8))
    assert progress.position(1, in_order=True) == Position("s", {0: Place(6), 9: Place(1)})
    progress.forget(range(8))
    assert progress.position(0, in_order=True) == Position("s", {9: Place(6)})


def test_while_events_are_left_out_it_stays() -> None:
    progress = Progress("s")
    progress.begin({0: Place(1)})
    assert progress.position(0, in_order=True) is not None
    progress.add(Delivery(events(2), 0, 1), 0, in_order=True)
    progress.add(Delivery(events(9), 0, 2), 2, in_order=False)
    assert progress.position(3, in_order=False) == Position("s", {0: Place(1)})
    assert not progress._marks
    assert progress.position(0, in_order=False) == Position("s", {0: Place(3)})


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), max_size=20), st.data())
def test_it_is_where_the_program_is_and_remembers_no_more_than_waits(
    deliveries: list[tuple[int, int]], data: st.DataObject
) -> None:
    progress = Progress("s")
    progress.begin({0: Place(0), 1: Place(0)})
    log: list[tuple[int, Place]] = []  # after each event: the partition, and the place
    offsets, received = [0, 0], 0
    for partition, count in deliveries:
        delivery = Delivery(events(count), partition, offsets[partition])
        offsets[partition] += 1
        progress.add(delivery, len(log) - received, in_order=True)
        log += [(partition, delivery.place(number)) for number in range(1, count + 1)]
        received = data.draw(st.integers(received, len(log)))
        places = {0: Place(0), 1: Place(0)} | dict(log[:received])
        found = progress.position(len(log) - received, in_order=True)
        assert found is not None
        if received < len(log):
            assert found.places == places
        else:
            assert found.places == {0: Place(offsets[0]), 1: Place(offsets[1])}
        assert len(progress._marks) <= len(log) - received
