"""Leaving a block, in every way: what comes out is what the program raised, and nothing is left running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.testing.faults import Drop, DropHow, Freeze, RefuseConnect

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from .conftest import InMemoryExchange


class MyError(Exception):
    """The program's own error."""


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


@pytest.fixture(params=["client", "feed"])
def depth(request: pytest.FixtureRequest) -> str:
    """Is the error raised in the client's block, or in a feed's inside it?"""
    return str(request.param)


async def in_blocks(exchange: InMemoryExchange, depth: str, body: Callable[[], object]) -> None:
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        if depth == "client":
            await trio.lowlevel.checkpoint()
            body()
            await trio.sleep_forever()
        async with client.subscribe(kt.Book("BTC/USD")) as feed:
            await feed.receive()
            body()
            await trio.sleep_forever()


@pytest.mark.parametrize("kind", [ValueError, MyError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_the_programs_error_comes_out_as_it_is(
    autojump_clock: MockClock, exchange: InMemoryExchange, depth: str, kind: type[BaseException], cancelled: bool
) -> None:
    before = tasks()
    error = kind("mine")

    def body() -> None:
        if cancelled:
            scope.cancel()
        raise error

    with trio.CancelScope() as scope, pytest.raises(kind) as caught:
        await in_blocks(exchange, depth, body)
    assert caught.value is error
    assert error.__context__ is None
    assert tasks() == before


async def test_a_group_of_the_program_stays_a_group(
    autojump_clock: MockClock, exchange: InMemoryExchange, depth: str
) -> None:
    group = ExceptionGroup("mine", [ValueError("one"), MyError("two")])

    def body() -> None:
        raise group

    with pytest.raises(ExceptionGroup) as caught:
        await in_blocks(exchange, depth, body)
    # Trio itself makes a new group of the same parts when one passes a cancel scope.
    assert caught.value.message == "mine"
    assert caught.value.exceptions == group.exceptions


async def test_cancelling_is_cancelling(autojump_clock: MockClock, exchange: InMemoryExchange, depth: str) -> None:
    before = tasks()
    with trio.CancelScope() as scope:
        await in_blocks(exchange, depth, scope.cancel)
    assert scope.cancelled_caught
    assert tasks() == before


async def test_a_timeout_around_a_block_is_the_programs(
    autojump_clock: MockClock, exchange: InMemoryExchange, depth: str
) -> None:
    with pytest.raises(trio.TooSlowError):
        with trio.fail_after(5):
            await in_blocks(exchange, depth, lambda: None)
    assert not exchange.lines


@pytest.mark.parametrize("how", [DropHow.RESET, DropHow.CLOSE_1001, None])
async def test_the_programs_error_wins_over_a_loss(
    autojump_clock: MockClock, exchange: InMemoryExchange, depth: str, how: DropHow | None
) -> None:
    def body() -> None:
        exchange.inject(Freeze() if how is None else Drop(how=how))
        raise MyError

    with pytest.raises(MyError):
        await in_blocks(exchange, depth, body)
    assert not exchange.lines


async def test_leaving_while_disconnected_ends_at_once(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        exchange.inject(RefuseConnect(status=503, times=None))
        exchange.inject(Drop())
        await client.wait_for(kt.ConnectionState.DISCONNECTED)
        await trio.sleep(100)
        began = trio.current_time()
    assert trio.current_time() == began


async def test_leaving_takes_the_close_timeout_at_most(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    exchange.leave_takes = 1000
    settings = kt.Settings(close_timeout=3)
    async with kt.open_client(exchange.url, settings=settings, transport=exchange.connect):
        began = trio.current_time()
    assert trio.current_time() - began <= 3


async def test_entering_can_be_cancelled(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    exchange.inject(RefuseConnect(status=503, times=None))
    before = tasks()
    settings = kt.Settings(require_first_connection=False)
    async with kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client:
        with trio.move_on_after(60) as scope:
            async with client.subscribe(kt.Book("BTC/USD")):
                pytest.fail("there was nobody to confirm it")
        assert scope.cancelled_caught
        assert not client.statistics().subscriptions
    assert tasks() == before


async def test_after_its_block_a_client_is_closed(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        pass
    assert client.state is kt.ConnectionState.DISCONNECTED
    with pytest.raises(trio.ClosedResourceError):
        async with client.subscribe(kt.Book("BTC/USD")):
            pytest.fail("it was closed")
    with pytest.raises(trio.ClosedResourceError):
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
    assert await client.wait_for(kt.ConnectionState.DISCONNECTED) is kt.ConnectionState.DISCONNECTED


async def test_a_feed_that_is_waited_on_ends_with_the_clients_block(
    autojump_clock: MockClock, exchange: InMemoryExchange, nursery: trio.Nursery
) -> None:
    seen: list[object] = []
    ready = trio.Event()

    async def consume(client: kt.Client) -> None:
        async with client.subscribe(kt.Lifecycle()) as feed:
            ready.set()
            seen.extend([event async for event in feed])
            seen.append("end")

    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        nursery.start_soon(consume, client)
        await ready.wait()
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(seen[-2], kt.StateChange)
    assert seen[-2].cause is kt.Cause.CLOSED
    assert seen[-1] == "end"


async def test_a_feed_after_its_block(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        async with client.subscribe(kt.Book("BTC/USD")) as feed:
            await feed.receive()
            kept = feed.book("BTC/USD")
        for receive in (feed.receive, feed.receive_many):
            with pytest.raises(trio.ClosedResourceError):
                await receive()
        with pytest.raises(kt.BookUnavailable, match="closed"):
            feed.book("BTC/USD")
        with pytest.raises(kt.BookUnavailable, match="closed"):
            assert kept.bids
        await feed.aclose()  # twice does no harm
        assert "closed" in repr(feed)


async def test_one_task_receives_at_a_time(
    autojump_clock: MockClock, exchange: InMemoryExchange, nursery: trio.Nursery
) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Lifecycle()) as feed,
    ):
        assert isinstance(await feed.receive(), kt.StatusUpdate)
        nursery.start_soon(feed.receive)
        await trio.testing.wait_all_tasks_blocked()
        for receive in (feed.receive, feed.receive_many):
            with pytest.raises(trio.BusyResourceError):
                await receive()
        exchange.inject(Drop())
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(await feed.receive(), kt.StateChange)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda c: c.subscribe(), ValueError, "at least one request"),
        (lambda c: c.subscribe("BTC/USD"), TypeError, "not 'BTC/USD'"),
        (lambda c: c.subscribe(kt.Book("BTC/USD"), capacity=0), ValueError, "capacity=0"),
        (lambda c: c.subscribe(kt.Book("BTC/USD"), capacity=1.5), ValueError, "capacity=1.5"),
        (lambda c: c.subscribe(kt.Book("BTC/USD"), capacity=1_000_001), ValueError, "at most 1000000 events"),
        (lambda c: c.subscribe(kt.Book("BTC/USD"), overflow="fail"), TypeError, "overflow='fail'"),
    ],
)
async def test_arguments_that_cannot_be_meant(
    autojump_clock: MockClock,
    exchange: InMemoryExchange,
    call: Callable[[kt.Client], object],
    error: type[Exception],
    says: str,
) -> None:
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        with pytest.raises(error, match=says):
            async with call(client):  # type: ignore[attr-defined]  # wrong on purpose
                pass
        with pytest.raises(ValueError, match="at least one"):
            await client.wait_for()
        async with client.subscribe(kt.Book("BTC/USD")) as feed:
            with pytest.raises(ValueError, match="at least 1"):
                await feed.receive_many(0)
            with pytest.raises(ValueError, match="its books: BTC/USD"):
                feed.book("ETH/USD")
            assert list(feed.books) == ["BTC/USD"]
            assert not feed.books["BTC/USD"].available
            await feed.receive()
            assert feed.books["BTC/USD"] is feed.book("xbt/usd")
        assert exchange.core.requests[-1].data != ""
