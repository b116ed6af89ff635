"""What a trouble has cost: from its beginning until everything is verified again, whatever comes in between."""

from __future__ import annotations

import attrs
from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio import Cause, ConnectionState
from kraken_trio.session.lifecycle import edges
from kraken_trio.session.records import ExchangeWarned, GapAnnounced, Resynced, StateChanged
from kraken_trio.telemetry import trouble as module
from kraken_trio.telemetry.trouble import Toll, Trouble

OFF, CONNECTING, ON, RESYNCING = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)
BTC, ETH = ("book", "BTC/USD"), ("book", "ETH/USD")
ACCOUNT = ("executions", None)


def changed(previous: ConnectionState, current: ConnectionState, cause: Cause) -> StateChanged:
    return StateChanged(change=kt.StateChange(previous=previous, current=current, cause=cause))


def gap(*keys: tuple[str, str | None], cause: Cause = Cause.DISCONNECTED) -> GapAnnounced:
    return GapAnnounced(gap=kt.Gap(symbol=None, cause=cause), keys=keys)


def resync(symbol: str) -> Resynced:
    return Resynced(request=kt.Book(symbol), cause=Cause.CHECKSUM, detail="", attempt=1)


def toll(cause: Cause, seconds: float, attempts: int, gaps: int, symbols: tuple[str, ...], resyncs: int) -> Toll:
    return Toll(cause=cause, seconds=seconds, attempts=attempts, gaps=gaps, symbols=symbols, resyncs=resyncs)


OPENED = changed(OFF, CONNECTING, Cause.OPENED)
RETRY = changed(OFF, CONNECTING, Cause.RETRY)
FAILED = changed(CONNECTING, OFF, Cause.CONNECT_FAILED)
CONNECTED = changed(CONNECTING, RESYNCING, Cause.CONNECTED)
SETTLED = changed(RESYNCING, ON, Cause.SETTLED)
LOST = changed(ON, OFF, Cause.SILENCE)


def up() -> Trouble:
    """Of a client that is connected, and has everything that it wants."""
    trouble = Trouble()
    for record in (OPENED, CONNECTED, SETTLED):
        assert trouble.take(record, 0.0) is None
    trouble.end_batch()
    return trouble


def test_an_outage() -> None:
    trouble = up()
    assert trouble.take(LOST, 10.0) is None
    assert trouble.take(gap(BTC, ETH, ACCOUNT), 10.0) is None
    trouble.end_batch()
    assert trouble.take(RETRY, 11.0) is None
    assert trouble.take(FAILED, 12.0) is None
    assert trouble.attempts == 1
    assert trouble.take(RETRY, 14.0) is None
    assert trouble.take(CONNECTED, 15.0) == toll(Cause.SILENCE, 5.0, 2, 3, ("BTC/USD", "ETH/USD"), 0)
    trouble.end_batch()
    assert trouble.attempts == 0
    assert trouble.take(resync("BTC/USD"), 15.5) is None
    assert trouble.take(gap(BTC), 15.5) is None
    assert trouble.take(SETTLED, 16.0) == toll(Cause.SILENCE, 6.0, 2, 4, ("BTC/USD", "ETH/USD"), 1)
    # Nothing of it is left.
    assert trouble.take(changed(ON, RESYNCING, Cause.SUBSCRIBING), 20.0) is None
    assert trouble.take(SETTLED, 21.0) is None


def test_an_outage_without_anything_wanted_ends_when_the_connection_is_up() -> None:
    trouble = up()
    trouble.take(LOST, 10.0)
    trouble.take(RETRY, 10.0)
    back = changed(CONNECTING, ON, Cause.CONNECTED)
    assert trouble.take(back, 11.0) == toll(Cause.SILENCE, 1.0, 1, 0, (), 0)
    trouble.end_batch()
    assert trouble.take(changed(ON, RESYNCING, Cause.SUBSCRIBING), 20.0) is None
    assert trouble.take(SETTLED, 21.0) is None


def test_a_connection_that_is_lost_before_all_is_verified_is_the_same_trouble() -> None:
    trouble = up()
    first = (LOST, RETRY, CONNECTED, changed(RESYNCING, OFF, Cause.DISCONNECTED), RETRY)
    for now, record in enumerate(first, 10):
        trouble.take(record, now)
    again = trouble.take(CONNECTED, 15.0)
    assert again is not None
    assert (again.seconds, again.attempts) == (2.0, 1)  # since it was lost again
    in_all = trouble.take(SETTLED, 16.0)
    assert in_all is not None
    assert (in_all.cause, in_all.seconds, in_all.attempts) == (Cause.SILENCE, 6.0, 2)


def test_attempts_that_fail_before_there_was_any_connection_are_an_outage() -> None:
    trouble = Trouble()
    for now, record in enumerate((OPENED, FAILED, RETRY, FAILED, RETRY)):
        assert trouble.take(record, now) is None
    assert trouble.take(CONNECTED, 5.0) == toll(Cause.CONNECT_FAILED, 4.0, 3, 0, (), 0)


def test_a_resync() -> None:
    trouble = up()
    trouble.take(gap(BTC, cause=Cause.CHECKSUM), 10.0)  # before the state changes, at the same moment
    trouble.take(resync("BTC/USD"), 10.0)
    trouble.take(changed(ON, RESYNCING, Cause.CHECKSUM), 10.0)
    trouble.end_batch()
    assert trouble.take(SETTLED, 10.5) == toll(Cause.CHECKSUM, 0.5, 0, 1, ("BTC/USD",), 1)


def test_what_is_stale_is_a_trouble_even_without_a_gap() -> None:
    trouble = up()
    trouble.take(changed(ON, RESYNCING, Cause.RESUBSCRIBED), 10.0)
    assert trouble.take(SETTLED, 12.0) == toll(Cause.RESUBSCRIBED, 2.0, 0, 0, (), 0)


def test_a_gap_that_leaves_everything_in_force_is_no_trouble() -> None:
    trouble = up()
    trouble.take(gap(("trade", "BTC/USD"), cause=Cause.MALFORMED), 10.0)
    trouble.end_batch()
    trouble.take(LOST, 1000.0)
    trouble.take(RETRY, 1000.0)
    assert trouble.take(CONNECTED, 1001.0) == toll(Cause.SILENCE, 1.0, 1, 0, (), 0)


def test_leaving_ends_it() -> None:
    for end in (Cause.CLOSED, Cause.REFUSED):
        trouble = up()
        trouble.take(LOST, 10.0)
        trouble.take(RETRY, 10.0)
        assert trouble.take(changed(CONNECTING, OFF, end), 11.0) is None
        trouble.take(RETRY, 12.0)
        assert trouble.take(CONNECTED, 13.0) is None


def test_other_records_cost_nothing() -> None:
    trouble = up()
    assert trouble.take(ExchangeWarned(text=""), 1.0) is None
    trouble.take(LOST, 2.0)
    trouble.take(RETRY, 2.0)
    assert trouble.take(CONNECTED, 3.0) == toll(Cause.SILENCE, 1.0, 1, 0, (), 0)


def test_no_trouble_takes_memory_without_end() -> None:
    trouble = up()
    trouble.take(LOST, 10.0)
    trouble.take(gap(*(("book", f"S{number}/USD") for number in range(module.MOST_SYMBOLS + 5))), 10.0)
    trouble.take(RETRY, 11.0)
    cost = trouble.take(CONNECTED, 12.0)
    assert cost is not None
    assert (cost.gaps, len(cost.symbols)) == (module.MOST_SYMBOLS + 5, module.MOST_SYMBOLS)


MOVES = {state: [(cause, to) for start, cause, to in edges() if start is state] for state in ConnectionState}


@given(st.data())
def test_whatever_happens_each_loss_is_followed_by_one_end(data: st.DataObject) -> None:
    """Along any path of the lifecycle's table: told is each connection after a loss, and then that all is verified."""
    trouble, state, now = Trouble(), OFF, 0.0
    is_lost = is_troubled = False
    for _ in range(data.draw(st.integers(0, 30))):
        cause, to = data.draw(st.sampled_from(MOVES[state]))
        now += 1.0
        cost = trouble.take(changed(state, to, cause), now)
        trouble.end_batch()
        if cause in (Cause.CLOSED, Cause.REFUSED):
            is_lost = is_troubled = False
        elif to is OFF:
            is_lost = is_troubled = True
        elif state is ON and to is RESYNCING and cause is not Cause.SUBSCRIBING:
            is_troubled = True
        is_end = is_lost if cause is Cause.CONNECTED else cause is Cause.SETTLED and is_troubled
        assert (cost is not None) == is_end
        assert cost is None or cost == attrs.evolve(cost, gaps=0, symbols=(), resyncs=0)
        if cause is Cause.CONNECTED:
            is_lost = False
        if to is ON:
            is_troubled = False
        state = to
