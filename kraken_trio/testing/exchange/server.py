"""The fake exchange on a real loopback WebSocket.

:func:`open_exchange` listens; :class:`~kraken_trio.testing.exchange.core.ExchangeCore` decides; this file and
:mod:`kraken_trio.testing.exchange.peer` only move bytes.
"""

from __future__ import annotations

import ssl
import time
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, get_args

import attrs
import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.testing import checks
from kraken_trio.testing.exchange.core import ExchangeCore, check_keys
from kraken_trio.testing.exchange.market import MAX_RATE, Market, check_markets
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS, MarketSpec
from kraken_trio.testing.exchange.memory import connect_in_memory
from kraken_trio.testing.exchange.recording import Recording
from kraken_trio.testing.exchange.rest_server import open_rest
from kraken_trio.testing.exchange.server_book import scaled_text
from kraken_trio.testing.exchange.shell import Shell
from kraken_trio.testing.exchange.state import SNAPSHOT_POINTS
from kraken_trio.testing.faults import Fault, LinkFault, Scheduled
from kraken_trio.testing.network.network import Network
from kraken_trio.testing.reference_book import ReferenceBook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from kraken_trio.testing.exchange.account import Account
    from kraken_trio.testing.exchange.journal import ConnectionJournal, ReceivedRequest, Subscribed
    from kraken_trio.testing.exchange.rest import ApiKey, RestCore
    from kraken_trio.testing.exchange.rest_memory import RestTransport
    from kraken_trio.testing.exchange.tokens import Tokens
    from kraken_trio.transport import Limits, Transport

__all__ = ["Exchange", "ExchangeStatistics", "open_exchange"]

_PUBLISH_CHUNK = 64
_USUAL_PORTS = {"ws": 80, "wss": 443}
_A_MARKET = checks.instance(MarketSpec, wanted="MarketSpec(...)")
_A_FAULT = checks.instance(
    *get_args(Fault),
    *get_args(LinkFault),
    Scheduled,
    wanted="a fault of the exchange or of its network, or Scheduled(...)",
)


@attrs.frozen(kw_only=True)
class ExchangeStatistics:
    """Counters of an exchange."""

    connects: int
    """WebSocket connections accepted so far."""
    refused_connects: int
    """Upgrades refused by a fault."""
    connections: int
    """Open connections now."""
    requests: int
    frames_sent: int
    """All text frames queued for connections."""
    frames_withheld: int
    """Data frames that a fault withheld or altered."""
    frames_queued: int
    """Frames that wait for slow clients now."""
    market_updates: int


class Exchange:
    """A running fake exchange, from :func:`open_exchange`. To be used from its Trio run.

    It behaves as Kraken's public endpoints do, v2 at :attr:`url` and v1 at :attr:`v1_url`, both of the same market: a
    status first; one answer per symbol; snapshots, then updates; a heartbeat every second from the first subscription
    on; an idle connection is closed after a minute. As Kraken, it never drops frames for a slow client, but queues
    them. A recording is served in v2 only.
    """

    def __init__(self, shell: Shell, url: str, rest_url: str) -> None:
        core = shell.core
        self.url: str = url
        """The URL for clients: ``ws://127.0.0.1:<port>/v2``. It serves every channel of v2; ``/v2/public``,
        ``/v2/auth`` and ``/v2/l3`` serve those of Kraken's hosts.
        """
        self.v1_url: str = url.removesuffix("/v2")
        """The URL for clients of Kraken's older protocol, v1."""
        self.rest_url: str = rest_url
        """The URL of the REST interface: ``http://127.0.0.1:<port>``. On a network in memory nobody listens there: see
        :meth:`rest_transport`.
        """
        self.requests: list[ReceivedRequest] = core.requests
        """Every message that any client sent, oldest first."""
        self.journal: list[ConnectionJournal] = core.journals
        """The data frames of every connection, sent and withheld: ``journal[0]`` is the first connection's."""
        self.account: Account = core.account
        """Of which the private channels tell: its orders, fills and ledger."""
        self.tokens: Tokens = core.tokens
        """The register of WebSocket tokens. Its times are those of Trio's clock."""
        self.rest: RestCore = core.rest
        """The REST interface: its keys, and the calls that it got."""
        self._shell = shell
        self._core = core

    # Reading

    @property
    def connects(self) -> int:
        """The number of WebSocket connections so far."""
        return len(self.journal)

    @property
    def connections(self) -> int:
        """The number of open connections, without frozen ones."""
        return sum(not connection.frozen for connection in self._core.connections.values())

    @property
    def subscriptions(self) -> dict[int, frozenset[Subscribed]]:
        """The subscriptions of every open connection: ``(channel, symbol, depth or interval or trigger)``."""
        return self._core.subscribed()

    @property
    def symbols(self) -> tuple[str, ...]:
        """The markets; of a recording, its symbols."""
        return self._core.symbols

    @property
    def time_ns(self) -> int:
        """The exchange's clock, the source of all its timestamps: nanoseconds since 1970."""
        return self._core.wall_ns(trio.current_time())

    def book(self, symbol: str, depth: int | None = None) -> ReferenceBook:
        """A copy of the exchange's own book, whole or its best ``depth`` levels.

        Raises :class:`KeyError` for an unknown symbol, and for every symbol while a recording is served.
        """
        checks.optional(checks.integer(least=1))("depth", depth)
        market = self._core.market.symbols[symbol]
        pp, qp = market.spec.price_precision, market.spec.qty_precision
        bids, asks = (
            [(scaled_text(price, pp), scaled_text(qty, qp)) for price, qty in side.top(depth)]
            for side in (market.book.bids, market.book.asks)
        )
        return ReferenceBook(depth, bids=bids, asks=asks)

    def orders(self, symbol: str, depth: int | None = None) -> tuple[tuple[tuple[str, Decimal, Decimal], ...], ...]:
        """The exchange's own orders, bids and asks, whole or those of the best ``depth`` prices.

        Each is an id, a price and a quantity: the best price first, and those of one price in the order of their queue.
        Otherwise as :meth:`book`.
        """
        checks.optional(checks.integer(least=1))("depth", depth)
        market = self._core.market.symbols[symbol]
        window, pp, qp = market.orders.snapshot(depth), market.spec.price_precision, market.spec.qty_precision
        return tuple(
            tuple((one.order_id, Decimal(one.price).scaleb(-pp), Decimal(one.qty).scaleb(-qp)) for one in side)
            for side in (window.bids, window.asks)
        )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The armed faults that still wait for their occasion."""
        return (*self._core.armed.pending(), *self._core.rest.armed.pending())

    def statistics(self) -> ExchangeStatistics:
        """The counters, now."""
        core = self._core
        return ExchangeStatistics(
            connects=self.connects,
            refused_connects=core.refused_connects,
            connections=self.connections,
            requests=len(core.requests),
            frames_sent=core.frames_sent,
            frames_withheld=core.frames_withheld,
            frames_queued=sum(peer.queued for peer in self._shell.peers.values()),
            market_updates=core.market_updates,
        )

    def __repr__(self) -> str:
        return f"<Exchange {self.url} connections={self.connections} symbols={len(self.symbols)}>"

    # Changing

    def inject(self, fault: Fault) -> None:
        """Inject a fault: it happens now, or is armed (see :mod:`kraken_trio.testing.faults`).

        Raises :class:`ValueError` for a fault of a symbol that is not traded here, where that can be known.
        """
        self._shell.do(self._core.inject(fault, trio.current_time()))

    def clear_faults(self) -> None:
        """Disarm all faults. What has happened stays: a frozen connection stays frozen."""
        self._shell.do(self._core.clear_faults(trio.current_time()))

    def pause(self) -> None:
        """Pause the markets. Heartbeats continue."""
        self._core.pause()

    def resume(self) -> None:
        """Resume the markets."""
        self._core.resume(trio.current_time())
        self._shell.do([])

    async def publish(self, updates: int = 1, symbol: str | None = None) -> int:
        """Make market events, of one symbol or of all, as fast as possible. Returns the number of frames sent.

        They are queued for every subscriber. This does not wait for clients (see :meth:`drained`), only
        lets other tasks run in between. Not every event is visible at every depth.
        """
        checks.count("updates", updates)
        sent = 0
        while updates > 0:
            actions = self._core.publish(min(updates, _PUBLISH_CHUNK), trio.current_time(), symbol)
            sent += len(actions)  # and not what else was sent meanwhile, such as heartbeats
            self._shell.do(actions)
            updates -= _PUBLISH_CHUNK
            await trio.lowlevel.checkpoint()
        return sent

    def issue_token(self) -> str:
        """A new WebSocket token, as REST would give: for ``level3``, ``executions`` and ``balances``."""
        return self.tokens.issue(trio.current_time())

    # Connecting

    def url_of(self, host: str) -> str:
        """The URL that serves only the channels of one of Kraken's hosts: ``public``, ``auth`` or ``l3``."""
        checks.one_of("public", "auth", "l3")("host", host)
        return f"{self.url}/{host}"

    def rest_transport(self, *, latency: float = 0.0) -> RestTransport:
        """The REST interface without a socket, for httpx, in virtual time too: an :class:`httpx.AsyncBaseTransport`.

        ``latency``: seconds on the way there, and again on the way back. It needs ``kraken-trio[private]``.
        """
        from kraken_trio.testing.exchange.rest_memory import RestTransport  # noqa: PLC0415 (httpx is of an extra)

        checks.seconds("latency", latency)
        return RestTransport(self._shell, latency=latency)

    def connect(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]:
        """Connect a client without a socket: ``open_client(exchange.url, transport=exchange.connect)``.

        Frames are passed directly, so it is fast, and can be used with virtual time
        (:func:`~kraken_trio.testing.run_virtual`, or :class:`trio.testing.MockClock`).
        """
        return connect_in_memory(self._shell, url, ssl_context=ssl_context, limits=limits)

    # Waiting

    async def wait_until(self, condition: Callable[[Exchange], object]) -> None:
        """Wait until ``condition`` is true; it is evaluated whenever something has happened in the exchange.

        For tests, instead of sleeping: ``await exchange.wait_until(lambda e: e.connections == 0)``.
        """
        checks.function("condition", condition)
        await trio.lowlevel.checkpoint()
        while not condition(self):
            await self._shell.wait_activity()

    async def drained(self) -> None:
        """Wait until all frames of open connections were written to the network."""
        await self.wait_until(lambda exchange: not exchange.statistics().frames_queued)


def open_exchange(
    *,
    markets: Iterable[MarketSpec] = DEFAULT_MARKETS,
    seed: int = 0,
    rate: float = 100.0,
    recording: str | Path | Iterable[str | bytes] | None = None,
    replay_rate: float | None = None,
    faults: Iterable[Fault | LinkFault | Scheduled] = (),
    snapshot_delay: float = 0.0,
    snapshot_points: int = SNAPSHOT_POINTS,
    account_rate: float = 0.0,
    keys: Iterable[ApiKey] = (),
    ssl_context: ssl.SSLContext | None = None,
    network: Network | None = None,
    host: str | None = None,
    port: int = 0,
    journal_limit: int | None = None,
    queue_limit: int | None = None,
    epoch_ns: int | None = None,
) -> AbstractAsyncContextManager[Exchange]:
    """A fake Kraken on loopback sockets, while a block runs.

    ``async with open_exchange() as exchange: ... open_client(exchange.url) ...``

    Leaving the block closes every socket at once. Exceptions of the body
    are raised unchanged.

    ``markets``, ``seed``, ``rate``
        The symbols; the seed (same seed, same market); and market events per second over all symbols, on average (0:
        only those of :meth:`Exchange.publish`).
    ``recording``, ``replay_rate``
        Serve these frames instead (see :class:`kraken_trio.testing.Recording`): every subscribe request gets the
        recorded data frames of its symbols, in order and from the beginning, at ``replay_rate`` frames per second, or
        as fast as the client takes them. Symbols, depths and intervals are those of the recording.
    ``faults``
        Injected from the start; a ``Scheduled(at=..., fault=...)`` at its time. Those of
        ``network`` may be among them.
    ``snapshot_delay``
        Seconds between a subscription's answer and its snapshot. Kraken takes 0.014 to 0.23.
    ``snapshot_points``
        The budget for snapshots of Level 3, per second and connection: one costs 5, 25 or 100 by its depth.
    ``account_rate``
        How often per second, on average, the exchange's account places, amends or cancels an order. The market fills
        them; ``executions`` and ``balances`` tell of them.
    ``keys``
        The API keys that the REST interface at :attr:`Exchange.rest_url` knows; all are of the same account.
    ``ssl_context``
        Serve TLS (``wss://``, ``https://``) with this server-side context.
    ``network``
        Listen there instead of on a real socket: see :class:`~kraken_trio.testing.Network`.
    ``host``, ``port``
        Where to listen: by default on the loopback interface at a free port; in a network in memory at ``localhost``
        and the default port.
    ``journal_limit``
        Data frames kept per connection in :attr:`Exchange.journal`; None keeps all, 0 none.
    ``queue_limit``
        Reset a connection for which more frames wait than this. None: they queue without limit, as at Kraken.
    ``epoch_ns``
        The wall-clock time of the start, in nanoseconds since 1970; None: this machine's. All timestamps follow from
        it and from Trio's clock.
    """
    checks.optional(checks.epoch_ns)("epoch_ns", epoch_ns)
    checks.optional(checks.instance(ssl.SSLContext, wanted="an ssl.SSLContext"))("ssl_context", ssl_context)
    checks.optional(checks.instance(Network, wanted="a Network"))("network", network)
    checks.optional(checks.text("the name or address of a host", pattern=checks.HOST))("host", host)
    checks.port("port", port)
    checks.optional(checks.integer(least=1))("queue_limit", queue_limit)
    markets = checks.items("markets", markets, _A_MARKET, "markets in a list: [MarketSpec(...)]")
    here, elsewhere = _apart(checks.items("faults", faults, _A_FAULT, "faults in a list: [Drop()]"))
    if elsewhere and network is None:
        msg = f"{elsewhere[0]} needs a network of memory: open_exchange(network=Network(), ...)"
        raise ValueError(msg)
    if replay_rate is not None and recording is None:
        msg = f"replay_rate={replay_rate!r} is of a recording, and there is none"
        raise ValueError(msg)
    check_markets(markets, seed, rate)
    checks.seconds("snapshot_delay", snapshot_delay)
    checks.integer(least=0)("snapshot_points", snapshot_points)
    checks.number(least=0, most=MAX_RATE)("account_rate", account_rate)
    keys = check_keys(keys)
    checks.optional(checks.number(above=0))("replay_rate", replay_rate)
    checks.optional(checks.count)("journal_limit", journal_limit)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Exchange]:
        start_ns = time.time_ns() if epoch_ns is None else epoch_ns
        recorded = None if recording is None else Recording.load(recording)
        core = ExchangeCore(
            Market(markets if recorded is None else (), seed=seed, rate=rate, start_ns=start_ns),
            now=trio.current_time(),
            epoch_ns=start_ns,
            seed=seed,
            recording=recorded,
            replay_rate=replay_rate,
            snapshot_delay=snapshot_delay,
            faults=here,
            journal_limit=journal_limit,
            snapshot_points=snapshot_points,
            account_rate=account_rate,
            keys=keys,
        )
        shell = Shell(core, ssl_context, queue_limit)
        async with _listening(shell, network, host, port, elsewhere) as (url, rest_url):
            yield Exchange(shell, url, rest_url)

    return opened()


@asynccontextmanager
async def _listening(
    shell: Shell, network: Network | None, host: str | None, port: int, script: list[LinkFault | Scheduled]
) -> AsyncIterator[tuple[str, str]]:
    """Serve clients while the block runs. The value is the URLs for them: of the WebSocket, and of REST."""
    scheme = "ws" if shell.ssl_context is None else "wss"
    if network is None:
        listeners = await trio.open_tcp_listeners(port, host=host or "127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
    else:
        await trio.lowlevel.checkpoint()
    host = host or ("127.0.0.1" if network is None else "localhost")
    async with open_hidden_nursery() as nursery:
        if network is None:
            # The sockets listen already, so there is no need to wait for this.
            nursery.start_soon(trio.serve_listeners, shell.serve, listeners)  # noqa: ASYNC113 (they listen already)
        else:
            await nursery.start(network.listen, host, port or _USUAL_PORTS[scheme], shell.serve, nursery)
            for item in script:
                if not isinstance(item, Scheduled):
                    network.inject(item)  # before anybody dials
            nursery.start_soon(network.play, [item for item in script if isinstance(item, Scheduled)])
        nursery.start_soon(shell.keep_time)
        name = f"[{host}]" if ":" in host else host
        url = f"{scheme}://{name}{f':{port}' if port else ''}/v2"
        try:
            if network is None:
                async with open_rest(shell, ssl_context=shell.ssl_context, host=host) as rest_url:
                    yield url, rest_url
            else:
                yield url, f"http://{name}"
        finally:
            nursery.cancel_scope.cancel()


def _apart(
    script: Iterable[Fault | LinkFault | Scheduled],
) -> tuple[list[Fault | Scheduled], list[LinkFault | Scheduled]]:
    """The exchange's faults, and the network's."""
    here: list[Fault | Scheduled] = []
    elsewhere: list[LinkFault | Scheduled] = []
    for item in script:
        if isinstance(item, Scheduled):
            (elsewhere if isinstance(item.fault, LinkFault) else here).append(item)
        elif isinstance(item, LinkFault):
            elsewhere.append(item)
        else:
            here.append(item)
    return here, elsewhere
