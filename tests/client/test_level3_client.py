"""Level 3 against the fake exchange: the order of the queues, through whatever goes wrong."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, example, given, settings, strategies as st

import kraken_trio as kt
from kraken_trio.testing import (
    CorruptChecksum,
    DeepSnapshot,
    Drop,
    DropHow,
    EndSubscription,
    ExpireTokens,
    Exponents,
    LateUpdates,
    MarketSpec,
    Mute,
    Refuse,
    ReorderQueue,
    SkipUpdate,
    SwapUpdates,
    UnknownOrder,
    run_virtual,
)
from tests.client.private import BTC, CREDENTIALS, client_of, endpoint_of, exchange_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from kraken_trio.testing import Exchange, Fault
    from kraken_trio.testing.exchange.market import MarketUpdate

TINY = MarketSpec(symbol="PEPE/USD", price_precision=9, qty_precision=5, start_price="0.000010540", levels=30)


def seen(book: kt.Level3Book) -> Any:
    """A client's book, as :meth:`Exchange.orders` has it."""
    return tuple(
        tuple((order.order_id, order.price, order.qty) for queue in side for order in queue.orders)
        for side in (book.bids, book.asks)
    )


def levels(event: kt.BookSnapshot | kt.OrderBook, depth: int) -> Any:
    return tuple(tuple((level.price, level.qty) for level in side[:depth]) for side in (event.bids, event.asks))


class Watched:
    """A feed of one symbol's orders, and the states that the exchange has had."""

    def __init__(self, exchange: Exchange, feed: kt.Feed[Any], symbol: str, depth: int) -> None:
        self.exchange = exchange
        self.feed = feed
        self.symbol, self.depth = symbol, depth
        self.events: list[Any] = []
        self.states: set[Any] = set()
        self.shown: list[Any] = []

    @property
    def book(self) -> kt.Level3Book:
        return self.feed.level3(self.symbol)

    @property
    def is_current(self) -> bool | None:
        """Whether the client's book is the exchange's; None if it cannot be read."""
        try:
            return bool(seen(self.book) == self.truth)
        except kt.BookUnavailable:
            return None

    @property
    def truth(self) -> Any:
        return self.exchange.orders(self.symbol, self.depth)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self.states.add(self.truth)
        async for event in self.feed:
            self.events.append(event)
            if len(self.events) == 1:
                task_status.started()
            if self.is_current is not None:
                self.shown.append(seen(self.book))

    async def publish(self, updates: int = 1) -> None:
        """Let this happen, and everybody hear of it."""
        for _ in range(updates):
            await self.exchange.publish(1, self.symbol)
            self.states.add(self.truth)
        await trio.testing.wait_all_tasks_blocked()

    @property
    def has_shown_only_what_was(self) -> bool:
        """Whether every state of the client's book was one of the exchange's."""
        return self.states.issuperset(self.shown)

    @property
    def gaps(self) -> list[kt.Cause]:
        return [event.cause for event in self.events if isinstance(event, kt.Gap)]


@asynccontextmanager
async def watched(exchange: Exchange, client: kt.Client, symbol: str = BTC, depth: int = 10) -> AsyncIterator[Watched]:
    async with (
        client.subscribe(kt.Level3(symbol, depth=depth), capacity=10_000) as feed,  # type: ignore[arg-type]  # one of the depths
        trio.open_nursery() as nursery,
    ):
        it = Watched(exchange, feed, symbol, depth)
        trader: Any = exchange._core.trader
        publish = trader._publish

        def published(update: MarketUpdate) -> None:
            # One event may be several updates: it triggers a stop order of the account, and so on.
            it.states.add(it.truth)
            publish(update)

        trader._publish = published
        await nursery.start(it.run)
        yield it
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("depth", [10, 100])
async def test_queues_and_levels_after_every_message(depth: int, autojump_clock: MockClock) -> None:
    async with (
        exchange_of(rate=0.0, account_rate=0.0) as exchange,
        client_of(exchange, host="l3") as client,
        kt.open_client(exchange.url_of("public"), transport=exchange.connect) as other,
        other.subscribe(kt.Book(BTC, depth=depth), capacity=10_000) as feed,  # type: ignore[arg-type]  # one of the depths
        watched(exchange, client, depth=depth) as it,
    ):
        for _ in range(400):
            await it.publish()
            while feed.statistics().buffered:
                await feed.receive()
            assert seen(it.book) == it.truth
            assert it.book.verified
            assert levels(it.book.to_levels(), depth) == levels(feed.book(BTC), depth)
        assert not it.gaps
        kinds = {order.kind for event in it.events[1:] for order in (*event.bids, *event.asks)}
        assert kinds >= {kt.OrderEventKind.ADD, kt.OrderEventKind.FILL, kt.OrderEventKind.CANCEL}


async def test_own_orders_have_a_place(autojump_clock: MockClock) -> None:
    async with (
        exchange_of(rate=0.0, account_rate=5.0) as exchange,
        client_of(exchange, host="l3") as client,
        watched(exchange, client, depth=100) as it,
    ):
        await trio.sleep(30)
        exchange.pause()
        await it.publish()
        assert seen(it.book) == it.truth
        own = [order for order in exchange.account.open_now if order.spec.symbol == BTC and order.trigger is None]
        assert own
        for order in own:
            place = it.book.queue(order.order_id)
            assert place is not None
            orders = [*it.truth[0], *it.truth[1]]
            [price] = [price for order_id, price, _ in orders if order_id == order.order_id]
            queue = [(order_id, qty) for order_id, at, qty in orders if at == price]
            ids = [order_id for order_id, _ in queue]
            assert (place.orders_ahead, place.level_orders) == (ids.index(order.order_id), len(ids))
            assert place.qty_ahead == sum(qty for _, qty in queue[: place.orders_ahead])


FAULTS: list[tuple[Fault, bool]] = [
    (SkipUpdate(channel="level3"), True),
    (SwapUpdates(), True),
    (UnknownOrder(), True),
    (DeepSnapshot(), False),
    (ReorderQueue(), False),
    (Exponents(), False),
    (Drop(how=DropHow.RESET), True),
    (EndSubscription(channel="level3"), True),
    (LateUpdates(), False),
    (ExpireTokens(), False),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "is_told"), FAULTS, ids=[type(fault).__name__ for fault, _ in FAULTS])
async def test_a_fault(fault: Fault, is_told: bool, autojump_clock: MockClock) -> None:
    """What it breaks is told and repaired; no state is shown that the exchange has not had."""
    async with (
        exchange_of(rate=0.0, account_rate=0.0) as exchange,
        client_of(exchange, host="l3") as client,
        watched(exchange, client) as it,
    ):
        await it.publish(10)
        exchange.inject(fault)
        for _ in range(20):
            await it.publish()
            await trio.sleep(0.5)
        assert bool(it.gaps) == is_told
        if not is_told:  # it waits for a new snapshot
            exchange.inject(SkipUpdate(channel="level3"))
        for _ in range(40):
            await it.publish()
            await trio.sleep(0.5)
        assert seen(it.book) == it.truth
        assert it.book.verified
        assert it.has_shown_only_what_was
        assert not exchange.faults


async def test_a_stale_token_at_a_resync(autojump_clock: MockClock) -> None:
    async with (
        exchange_of(rate=0.0) as exchange,
        client_of(exchange, host="l3") as client,
        watched(exchange, client) as it,
    ):
        exchange.inject(ExpireTokens())
        exchange.inject(SkipUpdate(channel="level3"))
        for _ in range(20):
            await it.publish()
            await trio.sleep(0.5)
        assert seen(it.book) == it.truth
        assert (exchange.tokens.issued, exchange.connects) == (2, 1)


async def test_exponents_from_the_first_message_on(autojump_clock: MockClock) -> None:
    """The decimals of the pair are asked for, once."""
    async with (
        exchange_of(markets=[TINY], rate=0.0, account_rate=0.0, faults=[Exponents(times=None)]) as exchange,
        client_of(exchange, host="l3") as client,
        watched(exchange, client, TINY.symbol) as it,
    ):
        for _ in range(100):
            await it.publish()
            await trio.sleep(0.2)
        assert exchange.rest.calls.count("AssetPairs") <= 1
        assert seen(it.book) == it.truth


def many(count: int) -> list[MarketSpec]:
    return [
        MarketSpec(symbol=f"A{n}/USD", price_precision=2, qty_precision=3, start_price="100.00", levels=4)
        for n in range(count)
    ]


async def test_200_symbols_are_spread_and_the_201st_is_refused(autojump_clock: MockClock) -> None:
    markets = many(201)
    async with (
        exchange_of(markets=markets, rate=0.0, account_rate=0.0) as exchange,
        client_of(exchange, host="l3") as client,
    ):
        begin = trio.current_time()
        requests = [kt.Level3(spec.symbol, depth=1000) for spec in markets]
        async with client.subscribe(*requests[:200]) as feed:
            books = {(await feed.receive()).symbol for _ in requests[:200]}
            assert len(books) == 200
            assert 90 < trio.current_time() - begin < 300
            # None was asked for twice, so the exchange has refused none.
            assert sum(str(asked.data).count('"A') for asked in exchange.requests if asked.method == "subscribe") == 200
            with pytest.raises(kt.SubscriptionRejected, match=r"allows 200 symbols .* open another client"):
                async with client.subscribe(requests[200]):
                    pytest.fail("it has subscribed")


SCRIPT = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from([fault for fault, _ in FAULTS])
        | st.sampled_from([
            CorruptChecksum(), Mute(channel="level3"), Refuse(error="EService:Unavailable"), DeepSnapshot(levels=9),
            Exponents(times=3),
        ]),
    ),
    max_size=8,
)  # fmt: skip


@given(script=SCRIPT, seed=st.integers(0, 2**16))
@example(script=[(updates, SkipUpdate(channel="level3", top=True)) for updates in (6, 12, 12)], seed=22289)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=15)
def test_whatever_happens(script: list[tuple[int, Fault]], seed: int) -> None:
    """At depth 10, all of which is in the checksum: what is lost below that shows only when it comes up."""

    async def main() -> None:
        async with (
            exchange_of(seed=seed, rate=0.0, account_rate=1.0) as exchange,
            client_of(exchange, host="l3") as client,
            watched(exchange, client) as it,
        ):
            exchange.pause()
            for updates, fault in script:
                exchange.inject(fault)
                await it.publish(updates)
                await trio.sleep(0.4)
            exchange.clear_faults()
            exchange.inject(Drop())  # what was refused for good is asked for on the next connection
            for _ in range(30):
                await it.publish()
                await trio.sleep(5)
            assert seen(it.book) == it.truth
            assert it.book.verified
            assert it.has_shown_only_what_was

    run_virtual(main)


async def test_over_real_sockets() -> None:
    async with (
        exchange_of(rate=0.0, account_rate=0.0) as exchange,
        kt.open_client(endpoint_of(exchange, "l3"), credentials=CREDENTIALS) as client,
        watched(exchange, client, depth=100) as it,
    ):
        with trio.fail_after(20):
            for fault in (None, SkipUpdate(channel="level3"), ExpireTokens(), Drop()):
                if fault is not None:
                    exchange.inject(fault)
                await it.publish(20)
                await exchange.drained()
                while not it.is_current:  # noqa: ASYNC110 (of a book there is no event for that)
                    await trio.sleep(0.05)
