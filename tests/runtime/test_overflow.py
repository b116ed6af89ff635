"""What waits for a slow program: the two policies that hold nobody up, against an oracle that sees both sides."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Cause,
    ConnectionState,
    Event,
    Execution,
    Gap,
    InstrumentUpdate,
    StateChange,
    TickerUpdate,
)
from kraken_trio.evidence import ChecksumEvidence
from kraken_trio.runtime.overflow import ConflatingBuffer, DroppingBuffer, Key, key_of
from tests.runtime.world import CUMULATIVE, KEYS, STATES, SYMBOLS, Channel, Program, Step, World, steps

if TYPE_CHECKING:
    from collections.abc import Iterable


def run(
    make: type[ConflatingBuffer | DroppingBuffer], capacity: int, todo: list[Step]
) -> tuple[World, Program, ConflatingBuffer | DroppingBuffer]:
    world = World()
    program = Program(world)
    buffer = make(capacity, CUMULATIVE, world.rebuild)
    play(buffer, program, todo)
    assert len(buffer) == 0
    return world, program, buffer


def play(buffer: ConflatingBuffer | DroppingBuffer, program: Program, todo: list[Step]) -> None:
    """Do all of it; then the program takes what is left."""
    for step in todo:
        if isinstance(step, int):
            for _ in range(min(step, len(buffer))):
                take(buffer, program)
        else:
            channel, symbol, number, lost = step
            buffer.offer(program.world.happen(channel, SYMBOLS[symbol], number, lost=lost))
        assert len(buffer) <= max(buffer._capacity, len(CUMULATIVE) + 1) + KEYS
    while buffer:
        take(buffer, program)


def take(buffer: ConflatingBuffer | DroppingBuffer, program: Program) -> None:
    is_latest = isinstance(buffer, ConflatingBuffer) and not buffer._queue
    event = buffer.pop()
    if is_latest:  # of a key's state, and nothing older
        newest = program.world.newest[key_of(event)]
        assert event.received_ns == newest
    program.take(event)


def data(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Gap | StateChange)]


# Conflating


@given(st.integers(1, 8), steps(*STATES))
@settings(max_examples=300)
def test_conflating_gives_the_latest_state_of_everything(capacity: int, todo: list[Step]) -> None:
    world, program, buffer = run(ConflatingBuffer, capacity, todo)
    program.assert_up_to_date()
    assert len(program.taken) + buffer.conflated == len(world.offered)
    assert buffer.dropped == 0


@given(st.integers(1, 8), steps(*STATES))
def test_while_there_is_room_events_are_as_they_are(extra: int, todo: list[Step]) -> None:
    for make in (ConflatingBuffer, DroppingBuffer):
        world, program, buffer = run(make, len(todo) + extra, todo)
        assert list(map(id, program.taken)) == list(map(id, world.offered))
        assert (buffer.dropped, buffer.conflated) == (0, 0)


@given(st.integers(1, 6), steps(*STATES))
def test_conflating_keeps_one_for_each_key(capacity: int, todo: list[Step]) -> None:
    world, buffer = World(), ConflatingBuffer(capacity, CUMULATIVE, lambda _key: None)
    for step in todo:
        if not isinstance(step, int):
            buffer.offer(world.happen(step[0], SYMBOLS[step[1]], step[2], lost=step[3]))
            assert len(buffer) <= capacity + len({key_of(event) for event in world.offered[capacity:]})


def test_conflating_is_fair_to_each_key() -> None:
    world = World()
    buffer = ConflatingBuffer(1, CUMULATIVE, world.rebuild)
    counts: Counter[str | None] = Counter()
    for number in range(300):
        for _ in range(50):
            buffer.offer(world.happen("ticker", "A/USD", 1, lost=False))
        buffer.offer(world.happen("ticker", "B/USD", 1, lost=False))
        buffer.offer(world.happen("book", "C/USD", 1 + number % 3, lost=False))
        counts[key_of(buffer.pop())[1]] += 1
    assert all(counts[symbol] >= 99 for symbol in SYMBOLS)


def test_a_book_is_conflated_to_a_snapshot_as_of_when_it_is_taken() -> None:
    world = World()
    program = Program(world)
    buffer = ConflatingBuffer(2, CUMULATIVE, world.rebuild)
    for number in (1, 2, 3, 4):
        buffer.offer(world.happen("book", "A/USD", number, lost=False))
    program.take(buffer.pop())
    program.take(buffer.pop())
    buffer.offer(world.happen("book", "A/USD", 3, lost=False))  # there is room; but it must not overtake what waits
    program.take(buffer.pop())
    assert [type(event) for event in program.taken] == [BookSnapshot, BookUpdate, BookSnapshot]
    assert not buffer
    assert buffer.conflated == 2
    buffer.offer(world.happen("book", "A/USD", 2, lost=False))
    assert isinstance(buffer.pop(), BookUpdate)


def test_a_single_pending_event_is_taken_as_it_is() -> None:
    world = World()
    buffer = ConflatingBuffer(1, CUMULATIVE, world.rebuild)
    first, second = (world.happen("book", "A/USD", 1, lost=False) for _ in range(2))
    buffer.offer(first)
    buffer.offer(second)
    assert (buffer.pop(), buffer.pop()) == (first, second)


def test_a_book_that_is_not_verified_when_it_is_taken_comes_as_its_gap_and_later_as_a_snapshot() -> None:
    world = World()
    program = Program(world)
    buffer = ConflatingBuffer(1, CUMULATIVE, world.rebuild)
    for lost in (False, False, True):
        buffer.offer(world.happen("book", "A/USD", 1, lost=lost))
    program.take(buffer.pop())
    gap = buffer.pop()
    assert gap is world.offered[-1]
    program.take(gap)
    buffer.offer(world.happen("book", "A/USD", 1, lost=False))
    program.take(buffer.pop())
    program.assert_up_to_date()


def test_changes_of_state_become_one_from_the_first_to_the_last() -> None:
    for make in (ConflatingBuffer, DroppingBuffer):
        world = World()
        buffer = make(1, CUMULATIVE, world.rebuild)
        changes = [world.happen("state", "", number, lost=False) for number in (0, 1, 2, 3, 1)]
        for change in changes:
            buffer.offer(change)
        taken = [buffer.pop() for _ in range(len(buffer))]
        assert len(taken) == 2
        assert buffer.conflated == 3
        assert buffer.dropped == 0
        one, other = taken
        assert isinstance(one, StateChange)
        assert isinstance(other, StateChange)
        assert (one.previous, other.current) == (ConnectionState.DISCONNECTED, ConnectionState.CONNECTING)
        assert one.current is other.previous


# Dropping

ALL: tuple[Channel, ...] = (*STATES, "trade")


@given(st.integers(1, 40), steps(*ALL))
@settings(max_examples=300)
@example(1, [("book", 0, 1, False)] * 3 + [("book", 1, 1, False)] * 3 + [1, ("book", 0, 2, False), 1])
def test_dropping_tells_of_everything_that_it_drops(capacity: int, todo: list[Step]) -> None:
    world, program, buffer = run(DroppingBuffer, capacity, todo)
    program.assert_up_to_date()
    offered = {id(event) for event in world.offered}
    delivered = [event for event in data(program.taken) if id(event) in offered]
    assert buffer.dropped == len(data(world.offered)) - len(delivered)
    for symbol in SYMBOLS:
        # Here every gap knows its number, and told it: the exchange's own gaps one each.
        mine = [event for event in program.taken if key_of(event) == ("ticker", symbol)]
        told = sum((event.missed or 0) if isinstance(event, Gap) else 1 for event in mine)
        assert told == sum(key_of(event) == ("ticker", symbol) for event in world.offered)


@given(st.integers(1, 40), steps(*ALL))
def test_dropping_keeps_the_order_of_the_exchange_also_between_symbols(capacity: int, todo: list[Step]) -> None:
    world, program, _ = run(DroppingBuffer, capacity, todo)
    offered = {id(event) for event in world.offered}
    latest = 0
    for event in data(program.taken):
        # A snapshot that the client made may be older than its place, if its book has not changed since.
        if id(event) in offered:
            assert event.received_ns > latest
        latest = max(latest, event.received_ns)


@given(st.integers(1, 40), steps(*ALL))
def test_after_its_gap_a_book_comes_as_a_snapshot(capacity: int, todo: list[Step]) -> None:
    _, program, _ = run(DroppingBuffer, capacity, todo)
    for key in CUMULATIVE:
        mine = [event for event in program.taken if key_of(event) == key]
        for before, after in pairwise(mine):
            if isinstance(before, Gap):
                # Two gaps: the exchange's own, after ours.
                assert isinstance(after, Gap | BookSnapshot) or (isinstance(after, InstrumentUpdate) and after.snapshot)


@pytest.mark.parametrize("capacity", [1, 2, 5, 50])
@pytest.mark.parametrize(
    "channels", [("book",), ("trade",), ("instrument",), ("book", "trade", "ticker", "instrument")]
)
def test_a_program_that_is_always_too_slow_still_gets_on(capacity: int, channels: tuple[Channel, ...]) -> None:
    world = World()
    program = Program(world)
    buffer = DroppingBuffer(capacity, CUMULATIVE, world.rebuild)
    for number in range(200):
        for step in range(2 * capacity + len(channels) * len(SYMBOLS)):
            channel, symbol = channels[step % len(channels)], SYMBOLS[step // len(channels) % len(SYMBOLS)]
            buffer.offer(world.happen(channel, symbol, 1 + (step + number) % 4, lost=False))
        program.take(buffer.pop())
    keys = {key_of(event) for event in world.offered}
    runs = [len(list(run)) for is_gap, run in groupby(isinstance(event, Gap) for event in program.taken) if is_gap]
    assert max(runs) <= 2 * len(keys)
    assert len(data(program.taken)) >= len(program.taken) // (2 * len(keys) + 1)
    for key in keys & set(CUMULATIVE):
        assert any(key_of(event) == key for event in data(program.taken))


def test_where_the_oldest_stood_is_a_gap() -> None:
    world = World()
    buffer = DroppingBuffer(3, CUMULATIVE, world.rebuild)
    for symbol in (0, 1, 0, 0, 1, 2):
        buffer.offer(world.happen("trade", SYMBOLS[symbol], 1, lost=False))
    taken = [buffer.pop() for _ in range(len(buffer))]
    one, other = taken[:2]
    assert isinstance(one, Gap)
    assert isinstance(other, Gap)
    assert (one.symbol, one.channel, one.cause, one.missed) == ("A/USD", "trade", Cause.OVERFLOW, 2)
    assert (one.received_ns, one.epoch, one.after_id, one.before_id) == (3, 0, 0, 3)
    assert one.detail == "the feed was full, and 2 of its events were dropped"
    assert (other.symbol, other.missed) == ("B/USD", 1)
    assert taken[2:] == world.offered[3:]
    assert buffer.dropped == 3


def test_the_snapshot_is_made_when_the_gap_is_taken_and_updates_go_on_after_it() -> None:
    world = World()
    program = Program(world)
    buffer = DroppingBuffer(4, CUMULATIVE, world.rebuild)
    for number in range(6):
        buffer.offer(world.happen("book", "A/USD", 1 + number % 4, lost=False))
    buffer.offer(world.happen("ticker", "B/USD", 1, lost=False))
    program.take(buffer.pop())
    for number in range(2):
        buffer.offer(world.happen("book", "A/USD", 1 + number, lost=False))
    while buffer:
        program.take(buffer.pop())
    assert [type(event) for event in program.taken] == [Gap, TickerUpdate, BookSnapshot, BookUpdate, BookUpdate]
    assert isinstance(program.taken[0], Gap)
    assert program.taken[0].missed == 6
    program.assert_up_to_date()


def test_the_exchanges_own_snapshot_is_enough() -> None:
    world = World()
    buffer = DroppingBuffer(3, CUMULATIVE, lambda _key: pytest.fail("nobody needs it"))
    for lost in (False, False, True, False, False):
        buffer.offer(world.happen("book", "A/USD", 1, lost=lost))
    taken = [buffer.pop() for _ in range(len(buffer))]
    assert [type(event) for event in taken] == [Gap, Gap, BookSnapshot, BookUpdate]
    assert taken[1:] == world.offered[2:]


def test_a_dropped_gap_is_told_with_the_numbers_of_both() -> None:
    def gap(missed: int | None, **what: Any) -> Gap:
        gap = Gap(symbol="A/USD", channel="trade", cause=Cause.MISSED, missed=missed, detail="5 to 8")
        return msgspec.structs.replace(gap, **what)

    def told(*events: Event) -> Gap:
        buffer = DroppingBuffer(1, (), lambda _key: None)
        for event in (*events, World().happen("ticker", "B/USD", 1, lost=False)):
            buffer.offer(event)
        first = buffer.pop()
        assert isinstance(first, Gap)
        assert buffer.dropped == sum(not isinstance(event, Gap) for event in events)
        assert buffer.conflated == sum(isinstance(event, Gap) for event in events[1:])
        return first

    trade = World().happen("trade", "A/USD", 1, lost=False)
    alone = gap(4)
    assert told(alone) is alone
    both = told(trade, gap(4), trade)
    assert (both.cause, both.missed) == (Cause.MISSED, 6)
    assert both.detail == "the feed was full, and 2 of its events were dropped, and 1 gaps, the last: 5 to 8"
    assert told(trade, gap(4), gap(None), trade).missed is None
    mismatch = ChecksumEvidence("A/USD", expected=1, computed=2, hashed="12", message="snapshot")
    grave = told(gap(4), gap(1, cause=Cause.CHECKSUM, evidence=mismatch), trade)
    assert (grave.cause, grave.evidence, grave.missed) == (Cause.CHECKSUM, mismatch, 6)
    assert "checksum" in told(trade, gap(None, cause=Cause.CHECKSUM, detail="")).detail
    assert len(told(trade, gap(None, detail="x" * 200)).detail) == 200


@pytest.mark.parametrize("make", [ConflatingBuffer, DroppingBuffer])
@given(capacity=st.integers(1, 8), before=steps(*STATES), after=steps(*STATES))
def test_when_it_is_cleared_it_is_as_new(
    make: type[ConflatingBuffer | DroppingBuffer], capacity: int, before: list[Step], after: list[Step]
) -> None:
    world = World()

    def rebuild(key: Key) -> Event | None:
        return world.rebuild(key)

    buffer = make(capacity, CUMULATIVE, rebuild)
    for step in before:
        if isinstance(step, int):
            for _ in range(min(step, len(buffer))):
                buffer.pop()
        else:
            buffer.offer(world.happen(step[0], SYMBOLS[step[1]], step[2], lost=step[3]))
    buffer.clear()
    assert not buffer
    world = World()
    program = Program(world)
    play(buffer, program, after)
    _, other, _ = run(make, capacity, after)
    assert program.taken == other.taken


def test_the_events_of_an_account_are_of_one_key_whatever_their_symbols() -> None:
    reports = [Execution(order_id="O1", exec_type="new", symbol=symbol) for symbol in ("BTC/USD", "ETH/USD", None)]
    assert {key_of(report) for report in reports} == {("executions", None)}
