"""Executions and balances of an account that trades, against the fake exchange: whatever goes wrong, each fill once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st

import kraken_trio as kt
from kraken_trio.testing import (
    READ_ONLY,
    ApiKey,
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
from tests.client.private import API, BTC, CREDENTIALS, KEY, SECRET, client_of, endpoint_of, exchange_of, followed

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
    SkipSequence(), SkipSequence(channel="balances"), RepeatSequence(), RepeatSequence(channel="balances"),
    RepeatFill(),
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
        assert gap.cause is kt.Cause.UNRECOVERED
        assert "HTTP 520" in gap.detail
        it.check_state()


MOMENTS = st.lists(
    st.tuples(st.floats(0.1, 20), st.sampled_from([*FAULTS, FillBurst(fills=3), FillBurst(fills=55), LagRest()])),
    max_size=8,
)


@given(script=MOMENTS, seed=st.integers(0, 2**16), rate=st.sampled_from([0.5, 3.0]))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=8)
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


# Bad input: an error that says what to do, or a silent recovery


def denied(*permissions: str) -> ApiKey:
    return ApiKey(key=KEY, secret=SECRET, permissions=READ_ONLY - set(permissions))


@pytest.mark.parametrize(
    ("keys", "credentials", "texts"),
    [
        ([API], kt.Credentials(KEY, "AgICAgICAgICAgICAgICAgICAgICAgIC"), ["the secret is not that of the key the-…"]),
        ([], CREDENTIALS, ["EAPI:Invalid key", "check that the key the-… is complete"]),
        (
            [denied("create-ws-token")],
            CREDENTIALS,
            ['the key the-… lacks the permission "', "https://www.kraken.com/u/security/api"],
        ),
        (
            [ApiKey(key=KEY, secret=SECRET, otp="123456")],
            CREDENTIALS,
            ["second factor"],
        ),
        (
            [ApiKey(key=KEY, secret=SECRET, permissions=READ_ONLY | {"modify-trades"})],
            kt.Credentials(KEY, SECRET, require_read_only=True),
            ["require_read_only=True, but the key the-… may do more than read: "],
        ),
    ],
    ids=["wrong secret", "unknown key", "no permission", "no second factor", "a trading key"],
)
async def test_a_key_that_does_not_do(
    keys: list[ApiKey], credentials: kt.Credentials, texts: list[str], autojump_clock: MockClock
) -> None:
    """The first connection fails at once."""
    async with exchange_of(keys=keys) as exchange:
        with pytest.raises(kt.ConnectError) as caught, trio.fail_after(60):
            async with client_of(exchange, credentials=credentials):
                pytest.fail("it has connected")
        assert all(text in str(caught.value) for text in texts), str(caught.value)
        assert not caught.value.retryable
        assert exchange.connects == 0


async def test_a_trading_key_is_warned_about_once(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    key = ApiKey(key=KEY, secret=SECRET, permissions=READ_ONLY | {"modify-trades"})
    async with exchange_of(keys=[key]) as exchange, client_of(exchange) as client, followed(exchange, client) as it:
        await outage(exchange, 1)
        await trio.sleep(60)
        await it.settle()
        it.check()
    assert sum("may do more than read" in text for text in caplog.messages) == 1


async def test_a_key_that_may_not_see_its_history(autojump_clock: MockClock) -> None:
    """What can be told without REST is told; what cannot is a gap that names the permission."""
    async with (
        exchange_of(keys=[denied("query-closed-trades")]) as exchange,
        client_of(exchange) as client,
        followed(exchange, client) as it,
    ):
        await trio.sleep(10)
        await outage(exchange, 10)
        await trio.sleep(60)
        assert not it.missed
        await outage(exchange, 200)
        await trio.sleep(60)
        await it.settle()
        [gap] = it.missed
        assert 'lacks the permission "' in gap.detail
        it.check_state()


async def test_a_clock_that_goes_back_an_hour(autojump_clock: MockClock) -> None:
    back = 0
    async with (
        exchange_of() as exchange,
        client_of(exchange, wall_ns=lambda: exchange.time_ns - back) as client,
        followed(exchange, client) as it,
    ):
        await trio.sleep(10)
        back = 3600 * 10**9
        await outage(exchange, 60)
        await trio.sleep(60)
        await it.settle()
        assert exchange.rest.calls.count("TradesHistory") >= 2
        it.check()


async def test_a_process_whose_clock_is_an_hour_behind_the_last_one_is_told_why(autojump_clock: MockClock) -> None:
    async with exchange_of() as exchange:
        async with client_of(exchange):
            pass
        with pytest.raises(kt.ConnectError, match=r"EAPI:Invalid nonce.*check this machine's clock"):
            async with client_of(exchange, wall_ns=lambda: exchange.time_ns - 3600 * 10**9):
                pytest.fail("it has connected")


async def test_two_processes_with_one_key(autojump_clock: MockClock) -> None:
    """Each keeps the other from a call now and then; both find all that happened."""
    async with (
        exchange_of() as exchange,
        client_of(exchange) as one,
        client_of(exchange, latency=0.2) as other,
        followed(exchange, one) as first,
        followed(exchange, other) as second,
    ):
        await trio.sleep(10)
        for fills in (60, 500):
            await outage(exchange, fills)
            await trio.sleep(60)
        await first.settle()
        first.check()
        second.check()


@pytest.mark.parametrize("refusal", ["EAPI:Invalid token", "ESession:Invalid session"])
async def test_a_token_that_expires_between_rest_and_subscribe(refusal: str, autojump_clock: MockClock) -> None:
    async with exchange_of() as exchange, client_of(exchange) as client:
        exchange.tokens.refusal = refusal
        exchange.inject(ExpireTokens())
        async with followed(exchange, client) as it:
            await trio.sleep(20)
            exchange.inject(ExpireTokens())
            exchange.inject(SkipSequence())  # so that it subscribes again
            await trio.sleep(20)
            await it.settle()
            it.check()
        assert exchange.tokens.issued == 3
        assert exchange.connects == 1


async def test_a_token_that_is_never_good_is_refused_for_good(autojump_clock: MockClock) -> None:
    async with exchange_of() as exchange, client_of(exchange) as client:
        exchange.tokens.lifetime = 0.0
        await trio.sleep(1)
        exchange.inject(ExpireTokens())
        with pytest.raises(kt.SubscriptionRejected, match="EAPI:Invalid token"), trio.fail_after(120):
            async with client.subscribe(kt.Executions()):
                pytest.fail("it has subscribed")


@pytest.mark.parametrize("how", [RestBreak.HTML, RestBreak.EMPTY, RestBreak.NO_RESULT_KEY, RestBreak.ENDLESS])
async def test_rest_that_answers_nonsense(how: RestBreak, autojump_clock: MockClock) -> None:
    """The first connection fails with what came; later ones are tried until it is over."""
    async with exchange_of() as exchange:
        exchange.inject(BreakRest(how=how, call="GetWebSocketsToken", times=None))
        with pytest.raises(kt.ConnectError, match="GetWebSocketsToken") as caught, trio.fail_after(60):
            async with client_of(exchange):
                pytest.fail("it has connected")
        assert caught.value.retryable
        exchange.clear_faults()
        async with client_of(exchange) as client, followed(exchange, client) as it:
            exchange.inject(BreakRest(how=how, times=None))
            await outage(exchange, 3)
            await trio.sleep(60)
            exchange.clear_faults()
            await trio.sleep(60)
            await it.settle()
            it.check()


async def test_over_real_sockets() -> None:
    async with exchange_of(account_rate=20.0, rate=100.0) as exchange:
        async with (
            kt.open_client(endpoint_of(exchange), credentials=CREDENTIALS) as client,
            followed(exchange, client) as it,
        ):
            with trio.fail_after(20):
                await exchange.wait_until(lambda e: len(e.account.fills) > 5)
                exchange.inject(Drop(how=DropHow.RESET))
                exchange.inject(FillBurst(fills=80))
                await exchange.wait_until(lambda e: "QueryOrders" in e.rest.calls)
                exchange.pause()
                exchange.clear_faults()
                while (  # noqa: ASYNC110 (what has come by then is told by nobody)
                    len(it.fills) < len(exchange.account.fills) - it.since
                    or client.state is not kt.ConnectionState.SUBSCRIBED
                ):
                    await trio.sleep(0.05)
                await trio.sleep(0.3)
            it.check()
