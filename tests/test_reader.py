"""Reading what was recorded, without a loop."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import kraken_trio as kt
from tests.day import BOOK, ETH, START_NS, STATE, TRADES

if TYPE_CHECKING:
    from pathlib import Path

ALL = (BOOK, TRADES, STATE, ETH)


@pytest.fixture(scope="module")
def events(recorded_day: Path) -> list[kt.Event]:
    with kt.read_events(recorded_day, *ALL) as reader:
        found = list(reader)
        assert reader.damage == ()
    return found


def of_data(events: list[kt.Event]) -> list[kt.Event]:
    return [event for event in events if event.channel is not None]


def test_everything_is_there(events: list[kt.Event]) -> None:
    kinds = {type(event) for event in events}
    assert {kt.BookSnapshot, kt.BookUpdate, kt.Trade, kt.Gap, kt.StateChange, kt.StatusUpdate} <= kinds
    assert [event.epoch for event in events] == sorted(event.epoch for event in events)
    assert {event.epoch for event in events} >= {1, 2, 3}
    causes = {event.cause for event in events if isinstance(event, kt.Gap)}
    assert causes == {kt.Cause.CHECKSUM, kt.Cause.DISCONNECTED, kt.Cause.NOT_RECORDED}


def test_where_the_recording_was_interrupted_the_state_is_disconnected_and_each_subscription_has_a_gap(
    events: list[kt.Event],
) -> None:
    (at,) = (
        number
        for number, event in enumerate(events)
        if isinstance(event, kt.StateChange)
        and event.cause is kt.Cause.NOT_RECORDED
        and event.current is kt.ConnectionState.DISCONNECTED
    )
    before = [event for event in events[:at] if isinstance(event, kt.Gap) and event.cause is kt.Cause.NOT_RECORDED]
    assert {(gap.channel, gap.symbol) for gap in before} == {
        ("book", "BTC/USD"),
        ("trade", "BTC/USD"),
        ("book", "ETH/USD"),
    }
    assert len(before) == 3  # each once
    after = events[at + 1]
    assert isinstance(after, kt.StateChange)
    assert after.received_ns >= START_NS + 39 * 10**9


def test_every_part_of_the_time_is_what_the_whole_has_there(recorded_day: Path, events: list[kt.Event]) -> None:
    """After the state as of the beginning: from key frames, in any segment."""
    data = of_data(events)
    for seconds in (0.3, 1.99, 2.0, 3.9, 5.999, 6.2, 8.5, 20.0, 41.0, 44.4, 49.0, 60.0):
        start = START_NS + int(seconds * 10**9)
        end = start + 3 * 10**9
        with kt.read_events(recorded_day, BOOK, TRADES, ETH, start=start, end=end) as reader:
            found = list(reader)
        expected = [
            event
            for event in data
            if start <= event.received_ns < end
            and not (isinstance(event, kt.Gap) and event.cause is kt.Cause.NOT_RECORDED)
        ]
        assert [event for event in found if event in expected] == expected
        extra = [event for event in found if event not in expected]
        assert all(isinstance(event, kt.BookSnapshot | kt.Gap) for event in extra), (seconds, extra)


def test_books_are_as_of_the_last_event(recorded_day: Path) -> None:
    with kt.read_events(recorded_day, BOOK, TRADES) as reader:
        with pytest.raises(kt.BookUnavailable):
            reader.book("BTC/USD")
        assert not reader.books["BTC/USD"].available
        with pytest.raises(ValueError, match=r"not opened with a Book\('ETH/USD'\); its books: BTC/USD"):
            reader.book("ETH/USD")
        updates = 0
        own = kt.OrderBook(10)
        for event in reader:
            if event.channel == "book":
                own.follow(event)
                if isinstance(event, kt.Gap):
                    with pytest.raises(kt.BookUnavailable):
                        reader.book("BTC/USD")
                else:
                    updates += 1
                    assert reader.book("btc/usd").snapshot() == own.snapshot()
        assert updates > 50
    with pytest.raises(kt.BookUnavailable, match="its reader is closed"):
        reader.book("BTC/USD")
    assert list(reader) == []


def test_a_time_may_be_written_in_several_ways(recorded_day: Path) -> None:
    found = []
    for start in (START_NS + 2 * 10**9, datetime(2027, 3, 1, 12, 0, 2, tzinfo=UTC), "2027-03-01T12:00:02Z"):
        with kt.read_events(recorded_day, TRADES, start=start, end="2027-03-01 12:00:05") as reader:
            found.append(list(reader))
    assert found[0] == found[1] == found[2] != []


def test_any_thread_can_read(recorded_day: Path, events: list[kt.Event]) -> None:
    found: list[list[kt.Event]] = []
    threads = [
        threading.Thread(target=lambda: found.append(list(kt.read_events(recorded_day, *ALL)))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [events, events]


def test_what_there_is(recorded_day: Path) -> None:
    assert set(kt.recorded_requests(recorded_day)) == {BOOK, kt.Trades("BTC/USD"), ETH}
    with kt.read_events(recorded_day, BOOK) as reader:
        assert repr(reader) == f"<EventReader of {recorded_day}: {BOOK}>"


def test_what_was_not_recorded_is_refused_with_what_there_is(recorded_day: Path) -> None:
    with pytest.raises(kt.RecordingError, match=r"it was not recorded; there is: .*ETH/USD"):
        kt.read_events(recorded_day, kt.Candles("BTC/USD", interval=5))
    with pytest.raises(kt.RecordingError, match=r"it was not recorded; there is: Book\(symbol='BTC/USD', depth=10\)$"):
        kt.read_events(recorded_day, kt.Book("BTC/USD", depth=500))


def test_wrong_arguments(recorded_day: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs at least one request"):
        kt.read_events(recorded_day)
    with pytest.raises(TypeError, match="takes requests such as"):
        kt.read_events(recorded_day, "BTC/USD")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match="start='noon': no time"):
        kt.read_events(recorded_day, BOOK, start="noon")
    with pytest.raises(kt.RecordingError, match="holds no recording"):
        kt.read_events(tmp_path, BOOK)
    with pytest.raises(kt.RecordingError, match="cannot be read: No such file"):
        kt.recorded_requests(tmp_path / "nothing")
