"""Executions and balances of an account that trades, against the fake exchange: whatever goes wrong, each fill once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st

import kraken_trio as kt
from kraken_trio.testing import (
    BreakRest,
    Drop,
    DropAfterTrade,
    DropConnect,
    DropHow,
    ExpireTokens,
    FillBurst,
    Freeze,
    LagRest,
    RepeatFill,
    RepeatSequence,
    RestBreak,
    SkipSequence,
    StrangeReport,
    run_virtual,
)
from tests.client.private import BTC, client_of, exchange_of, followed

if TYPE_CHECKING:
    from trio.testing import MockClock

    from kraken_trio.testing import Exchange, Fault


async def outage(exchange: Exchange, fills: int) -> None:
    """The connection is lost; while there is none, this happens, and a little more."""
    exchange.inject(DropConnect(times=2))
    exchange.inject(Drop(how=DropHow.RESET))
    await trio.sleep(0.1)
    assert exchange.connections == 0
    exchange.inject(FillBurst(fills=fills, symbol=BTC))
    await trio.sleep(3)


async def test_the_account_is_followed(autojump_clock: MockClock) -> None:
    async with exchange_of() as exchange, client_of(exchange) as client, followed(exchange, client) as it:
        await trio.sleep(120)
        await it.settle()
        assert len(it.fills) > 20
        assert not it.of(kt.Gap)
        it.check()


@pytest.mark.parametrize("lag", [0, 60])
@pytest.mark.parametrize("fills", [0, 1, 50, 51, 500])
async def test_fills_of_an_outage(fills: int, lag: int, autojump_clock: MockClock) -> None:
    async with exchange_of() as exchange, client_of(exchange) as client, followed(exchange, client) as it:
        await trio.sleep(20)
        exchange.inject(LagRest(seconds=lag))
        before = len(exchange.account.fills)
        await outage(exchange, fills)
        await trio.sleep(60)
        exchange.pause()
        await trio.sleep(240)
        assert len(exchange.account.fills) >= before + fills
        assert sum(fill.recovered for fill in it.fills) >= fills
        assert client.statistics().fills_recovered == sum(fill.recovered for fill in it.fills)
        it.check()


FAULTS: list[Fault] = [
    SkipSequence(), SkipSequence(channel="balances"), RepeatSequence(), RepeatSequence(channel="balances"), RepeatFill(),
    DropAfterTrade(), DropAfterTrade(how=DropHow.CLOSE_1001), ExpireTokens(), StrangeReport(), Freeze(),
    StrangeReport(exec_type="vanished", extra=True), Drop(how=DropHow.CLOSE_1012),
    BreakRest(how=RestBreak.HTML), BreakRest(how=RestBreak.RESET, times=2),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_each_fill_once_through(fault: Fault, autojump_clock: MockClock) -> None:
    async with exchange_of() as exchange, client_of(exchange) as client, followed(exchange, client) as it:
        await trio.sleep(20)
        exchange.inject(fault)
        await trio.sleep(30)
        await outage(exchange, 60)
        await trio.sleep(60)
        await it.settle()
        it.check()


async def test_rest_that_is_down_is_a_gap_that_says_so(autojump_clock: MockClock) -> None:
    async with exchange_of() as exchange, client_of(exchange) as client, followed(exchange, client) as it:
        await trio.sleep(20)
        await outage(exchange, 500)
        exchange.inject(BreakRest(how=RestBreak.HTML, call="TradesHistory", times=None))
        before = exchange.account.fills[len(it.fills) + it.since - 1]
        await trio.sleep(300)
        exchange.pause()
        await trio.sleep(300)
        [gap] = it.missed
        told = [fill.exec_id for fill in it.fills]
        wanted = [fill.exec_id for fill in exchange.account.fills[it.since :]]
        lost = [exec_id for exec_id in wanted if exec_id not in told]
        assert told == [exec_id for exec_id in wanted if exec_id in told]
        assert len(lost) >= 400
        place = wanted.index(lost[0])
        assert lost == wanted[place : place + len(lost)]
        assert before.exec_id == wanted[place - 1]
        assert gap.cause is kt.Cause.MISSED
        assert "HTTP 520" in gap.detail
        it.check_state()


MOMENTS = st.lists(
    st.tuples(st.floats(0.1, 20), st.sampled_from([*FAULTS, FillBurst(fills=3), FillBurst(fills=55), LagRest()])),
    max_size=8,
)


@given(script=MOMENTS, seed=st.integers(0, 2**16), rate=st.sampled_from([0.5, 3.0]))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=15)
def test_each_fill_once_whatever_happens(script: list[tuple[float, Fault]], seed: int, rate: float) -> None:
    async def main() -> None:
        async with (
            exchange_of(seed=seed, rate=5.0, account_rate=rate) as exchange,
            client_of(exchange) as client,
            followed(exchange, client) as it,
        ):
            for pause, fault in script:
                await trio.sleep(pause)
                exchange.inject(fault)
            await trio.sleep(100)
            exchange.inject(Drop())  # so that an order of a strange report is not open any more
            await it.settle()
            it.check()

    run_virtual(main)
