"""A client of the fake exchange's private hosts, on virtual time, and what its feed tells."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import trio

import kraken_trio as kt
from kraken_trio.admission.default import default_admission
from kraken_trio.auth.account import RestAccount
from kraken_trio.auth.nonce import KeyRing
from kraken_trio.auth.rest import Rest
from kraken_trio.client import open_with
from kraken_trio.testing import ApiKey, MarketSpec, open_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.session.timing import Budget
    from kraken_trio.telemetry.fan_out import Tracing
    from kraken_trio.testing import Exchange
    from kraken_trio.transport import Connect

KEY, SECRET = "the-key-of-a-test", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
API = ApiKey(key=KEY, secret=SECRET)
CREDENTIALS = kt.Credentials(KEY, SECRET)
EPOCH_NS = 1_790_000_000 * 10**9
BTC, ETH = "BTC/USD", "ETH/USD"
MARKETS = (
    MarketSpec(symbol=BTC, price_precision=1, qty_precision=8, start_price="64525.0", levels=40),
    MarketSpec(symbol=ETH, price_precision=2, qty_precision=8, start_price="1800.00", levels=40),
)
CHANNELS = {"auth": ("executions", "balances"), "l3": ("level3",)}


def exchange_of(**more: Any) -> AbstractAsyncContextManager[Exchange]:
    """An exchange with a key, whose account does something every second."""
    given: dict[str, Any] = {
        "markets": MARKETS, "seed": 7, "rate": 6.0, "account_rate": 1.0, "keys": [API], "epoch_ns": EPOCH_NS,
    }  # fmt: skip
    return open_exchange(**(given | more))


def endpoint_of(exchange: Exchange, host: str = "auth") -> kt.Endpoint:
    return kt.Endpoint(exchange.url_of(host), serves=CHANNELS[host], needs_token=True, rest=exchange.rest_url)


def client_of(
    exchange: Exchange,
    *,
    host: str = "auth",
    credentials: kt.Credentials = CREDENTIALS,
    settings: kt.Settings | None = None,
    keys: KeyRing | None = None,
    wall_ns: Callable[[], int] | None = None,
    latency: float = 0.05,
    connect: Connect | None = None,
    snapshots: Budget | None = None,
    tracing: Tracing | None = None,
) -> AbstractAsyncContextManager[kt.Client]:
    """A client in memory. Each has a process of its own, unless ``keys`` are shared."""
    endpoint = endpoint_of(exchange, host)
    now = (lambda: exchange.time_ns) if wall_ns is None else wall_ns
    rest = Rest(
        endpoint.rest,
        credentials=credentials,
        wall_ns=now,
        transport=exchange.rest_transport(latency=latency),
        keys=KeyRing() if keys is None else keys,
    )
    return open_with(
        endpoint,
        settings=settings or kt.Settings(),
        ssl_context=None,
        connect=connect or exchange.connect,
        wall_ns=now,
        jitter=lambda: 0.5,
        admission=default_admission(endpoint.url, None),
        account=RestAccount(rest),
        snapshots=snapshots,
        consumers=() if tracing is None else (tracing.follow(endpoint, now),),
    )


class Followed:
    """What a feed with ``Executions()`` and ``Balances()`` has told."""

    def __init__(self, exchange: Exchange, feed: kt.Feed[Any]) -> None:
        self.exchange = exchange
        self.feed = feed
        self.events: list[Any] = []
        self.since = len(exchange.account.fills)
        """Fills that there were before the subscription."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async for event in self.feed:
            self.events.append(event)
            if isinstance(event, kt.OrdersSnapshot | kt.BalancesSnapshot):
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def fills(self) -> list[kt.Execution]:
        return [event for event in self.of(kt.Execution) if event.exec_id is not None and not event.snapshot]

    @property
    def missed(self) -> list[kt.Gap]:
        """The gaps that say what could not be recovered."""
        return [gap for gap in self.of(kt.Gap) if gap.detail.startswith("fills between")]

    async def settle(self, seconds: float = 240.0) -> None:
        """Nothing happens any more, and all that is being found out is found out."""
        self.exchange.pause()
        self.exchange.clear_faults()
        await trio.sleep(seconds)

    def check(self) -> None:
        """Every fill once, in order, and as it was; orders and balances as they are."""
        account = self.exchange.account
        wanted = account.fills[self.since :]
        assert [fill.exec_id for fill in self.fills] == [fill.exec_id for fill in wanted]
        assert not self.missed
        for told, fill in zip(self.fills, wanted, strict=True):
            assert (told.order_id, told.symbol, told.side, told.last_qty, told.last_price, told.trade_id) == (
                fill.order_id, fill.symbol, fill.side, fill.qty, fill.price, fill.trade_id,
            )  # fmt: skip
        self.check_state()

    def check_state(self) -> None:
        account = self.exchange.account
        orders = {order.order_id: order.cum_qty or Decimal(0) for order in self.feed.orders.values()}
        assert orders == {order.order_id: order.state.cum_qty for order in account.open_now}
        balances = {asset: balance.balance for asset, balance in self.feed.balances.items()}
        assert balances == account.balance | {"KEEP": Decimal(12)}


@asynccontextmanager
async def followed(exchange: Exchange, client: kt.Client, **more: Any) -> AsyncIterator[Followed]:
    """A subscription to everything of the account, which is followed while the block runs."""
    async with (
        client.subscribe(kt.Executions(**more), kt.Balances(), capacity=10_000) as feed,
        trio.open_nursery() as nursery,
    ):
        follower = Followed(exchange, feed)
        await nursery.start(follower.run)
        await trio.sleep(1)
        yield follower
        nursery.cancel_scope.cancel()
