"""The state of the account's balances."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kraken_trio.channels import Kept
from kraken_trio.channels.balances import REMEMBERED, Balances, BalanceState
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Balance, BalancesSnapshot, BalanceUpdate, Cause, Event, Gap, Wallet
from kraken_trio.statistics import Counters
from kraken_trio.wire.messages import Numbered


def snapshot(*balances: Balance, sequence: int | None = 1) -> Numbered:
    return Numbered(channel="balances", snapshot=True, sequence=sequence, rows=balances, epoch=1, received_ns=7)


def update(*entries: BalanceUpdate, sequence: int | None) -> Numbered:
    return Numbered(channel="balances", snapshot=False, sequence=sequence, rows=entries, epoch=1, received_ns=8)


def entry(number: int, balance: int = 1, asset: str = "BTC", wallet: str | None = "main") -> BalanceUpdate:
    kind = None if wallet is None else "spot"
    return BalanceUpdate(
        asset=asset, balance=Decimal(balance), ledger_id=f"L{number}", wallet_type=kind, wallet_id=wallet
    )


BTC = Balance(
    asset="BTC",
    balance=Decimal(3),
    wallets=(
        Wallet(type="spot", id="main", balance=Decimal(1)),
        Wallet(type="earn", id="bonded", balance=Decimal(2)),
    ),
)


def new() -> BalanceState:
    return BalanceState(None, Counters(), None)


def take(state: BalanceState, *messages: Numbered) -> list[Event]:
    passed: list[Event] = []
    for message in messages:
        events, failure = state.take([message])
        assert failure is None
        passed += events
    return passed


def test_a_snapshot_then_entries_each_once() -> None:
    state = new()
    first, second, *rest = take(
        state, snapshot(BTC), update(entry(1), entry(1), sequence=2), update(entry(1), sequence=3)
    )
    assert first == BalancesSnapshot(balances=(BTC,), epoch=1, received_ns=7)
    assert (second, rest) == (entry(1), [])
    assert state.last_received_ns == 8


def test_a_view_follows_wallets_and_totals() -> None:
    state, view = new(), Balances()
    for event in take(
        state, snapshot(BTC), update(entry(1, 5), entry(2, 6, wallet=None), entry(3, 7, "ETH"), sequence=2)
    ):
        view.follow(event)
    view.follow(Gap(symbol=None, cause=Cause.DISCONNECTED, channel="balances"))
    view.invalidate("closed")
    assert view.balances == {
        "BTC": Balance(
            asset="BTC",
            balance=Decimal(6),
            wallets=(
                Wallet(type="earn", id="bonded", balance=Decimal(2)),
                Wallet(type="spot", id="main", balance=Decimal(5)),
            ),
        ),
        "ETH": Balance(asset="ETH", balance=Decimal(7), wallets=(Wallet(type="spot", id="main", balance=Decimal(7)),)),
    }
    assert state.start(None) == (BalancesSnapshot(balances=(*view.balances.values(),), epoch=1, received_ns=8),)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_number_that_is_not_the_next_one_is_a_failure(number: int) -> None:
    state = new()
    take(state, snapshot(BTC), update(entry(1), sequence=2))
    events, failure = state.take([update(entry(2), sequence=number)])
    assert events == ()
    assert failure is not None
    assert (failure.cause, failure.detail) == (Cause.MISSED, f"message {number} of the balances came after message 2")
    state.reset()
    _, failure = state.take([update(entry(2), sequence=3)])
    assert failure is not None
    assert failure.detail == "message 3 of the balances came before their snapshot"


def test_an_account_without_anything_and_messages_without_numbers() -> None:
    state = new()
    assert state.start(None) == ()
    assert state.keep() == Kept()
    assert take(state, update(entry(1), sequence=1), update(entry(2), sequence=None)) == [entry(1), entry(2)]
    assert take(state, update(msgless(), msgless(), sequence=2)) == [msgless(), msgless()]


def msgless() -> BalanceUpdate:
    """An entry without an id is always a new one."""
    return BalanceUpdate(asset="BTC", balance=Decimal(1))


def test_entries_are_remembered_up_to_a_bound() -> None:
    state = new()
    take(state, snapshot(), update(*(entry(number) for number in range(REMEMBERED + 1)), sequence=2))
    assert len(state.keep().events) == REMEMBERED + 1
    assert take(state, update(entry(0), entry(5), sequence=3)) == [entry(0)]


def test_what_is_kept_is_all_that_is_known() -> None:
    state, other = new(), new()
    take(state, snapshot(BTC), update(entry(1), sequence=2))
    other.restore(state.keep())
    assert other.keep() == state.keep()
    assert take(other, update(entry(1), entry(2), sequence=3)) == [entry(2)]
    state.reset()
    again = new()
    again.restore(state.keep())
    assert again.keep() == state.keep()
    with pytest.raises(ProtocolError, match="not as a Gap"):
        new().restore(Kept((Gap(symbol=None, cause=Cause.MISSED),)))
