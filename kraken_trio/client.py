"""``open_client`` and ``Client.subscribe``: the two context managers that a program uses."""

from __future__ import annotations

import os
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, overload

import trio

from kraken_trio._address import parse_address
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._proxy import choose_proxies
from kraken_trio._request import AnyEvent
from kraken_trio.admission.default import default_admission
from kraken_trio.admission.process import SNAPSHOTS
from kraken_trio.auth import Credentials
from kraken_trio.auth.account import RestAccount
from kraken_trio.auth.rest import Rest
from kraken_trio.channels import CHANNELS
from kraken_trio.endpoint import PUBLIC_V2, Endpoint
from kraken_trio.events import Event, Gap
from kraken_trio.requests import Overflow, Request
from kraken_trio.runtime.actor import Actor
from kraken_trio.runtime.feed import Feed, open_feed
from kraken_trio.session import Session
from kraken_trio.settings import Settings
from kraken_trio.telemetry.fan_out import FanOut
from kraken_trio.transport.choice import TransportName, choose
from kraken_trio.transport.dial import check_tls
from kraken_trio.transport.lookup import TcpByName
from kraken_trio.transport.tunnel import Tunnel
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio._proxy import Proxies, Proxy
    from kraken_trio.admission import Admission
    from kraken_trio.events import ConnectionState
    from kraken_trio.runtime.shell import Account, Shell
    from kraken_trio.session.timing import Budget
    from kraken_trio.statistics import ClientStatistics
    from kraken_trio.telemetry.fan_out import Consumer, Tracing
    from kraken_trio.transport import Connect
    from kraken_trio.transport.dial import OpenStream

__all__ = ["Client", "open_client"]


class _StructEvent(AnyEvent, Protocol):
    """What every class of events has, and :class:`AnyEvent` itself has not.

    So where a type checker knows of a request no more than that it yields :class:`AnyEvent`, or of several that this is
    all they have in common, the last overload of ``subscribe`` holds: any event.
    """

    __struct_fields__: ClassVar[tuple[str, ...]]


A = TypeVar("A", bound=_StructEvent)
B = TypeVar("B", bound=_StructEvent)
C = TypeVar("C", bound=_StructEvent)
D = TypeVar("D", bound=_StructEvent)
E = TypeVar("E", bound=_StructEvent)
Known = TypeVar("Known", bound=Event)
Own = TypeVar("Own", bound=_StructEvent)


class Client:
    """A connection to the exchange that is kept up, and the subscriptions on it. Created by :func:`open_client`."""

    def __init__(self, shell: Shell) -> None:
        """(not to be called by programs)."""
        self._shell = shell

    @property
    def name(self) -> str:
        """What it gets its events from, for messages and labels: printable, without secrets."""
        return self._shell.name

    @property
    def state(self) -> ConnectionState:
        """The client's state."""
        return self._shell.state

    @property
    def system_status(self) -> str | None:
        """The exchange's latest status: ``online``, ``maintenance``, ``cancel_only``, …; None before the first.

        Every connection begins with a status. Between connections this is the status of the last one;
        :class:`~kraken_trio.StatusUpdate` events include the connection's number. While it is ``maintenance`` or
        ``cancel_only``, an attempt to reconnect waits at least ``Settings.retry_delay``.
        """
        return self._shell.system_status

    def statistics(self) -> ClientStatistics:
        """All numbers, as of now."""
        return self._shell.statistics()

    async def wait_for(self, *states: ConnectionState) -> ConnectionState:
        """Wait until the client is in one of ``states``, and return that one. Transient states count, too.

        Raises :class:`~kraken_trio.ConnectError` if the exchange refuses the client permanently, and
        :class:`trio.ClosedResourceError` if the client's block is left.
        """
        if not states:
            msg = "wait_for needs at least one ConnectionState"
            raise ValueError(msg)
        return await self._shell.wait_for(states)

    # What comes from the feed is what its requests yield, and gaps. For one to five requests, and for any number that
    # yield the same, the type says so; else it is any event.

    @overload
    def subscribe(  # pyright: ignore[reportOverlappingOverload]  # the last one is for what is not known any closer
        self, request: Request[A], /, *, capacity: int = ..., overflow: Overflow = ...
    ) -> AbstractAsyncContextManager[Feed[A | Gap]]: ...
    @overload
    def subscribe(
        self, request: Request[A], second: Request[B], /, *, capacity: int = ..., overflow: Overflow = ...
    ) -> AbstractAsyncContextManager[Feed[A | B | Gap]]: ...
    @overload
    def subscribe(
        self,
        request: Request[A],
        second: Request[B],
        third: Request[C],
        /,
        *,
        capacity: int = ...,
        overflow: Overflow = ...,
    ) -> AbstractAsyncContextManager[Feed[A | B | C | Gap]]: ...
    @overload
    def subscribe(
        self,
        request: Request[A],
        second: Request[B],
        third: Request[C],
        fourth: Request[D],
        /,
        *,
        capacity: int = ...,
        overflow: Overflow = ...,
    ) -> AbstractAsyncContextManager[Feed[A | B | C | D | Gap]]: ...
    @overload
    def subscribe(
        self,
        request: Request[A],
        second: Request[B],
        third: Request[C],
        fourth: Request[D],
        fifth: Request[E],
        /,
        *,
        capacity: int = ...,
        overflow: Overflow = ...,
    ) -> AbstractAsyncContextManager[Feed[A | B | C | D | E | Gap]]: ...
    @overload
    def subscribe(
        self, *requests: Request[Known], capacity: int = ..., overflow: Overflow = ...
    ) -> AbstractAsyncContextManager[Feed[Known | Gap]]: ...
    @overload
    def subscribe(
        self, *requests: Request[Own], capacity: int = ..., overflow: Overflow = ...
    ) -> AbstractAsyncContextManager[Feed[Own | Gap]]: ...
    @overload
    def subscribe(
        self, *requests: Request[Any], capacity: int = ..., overflow: Overflow = ...
    ) -> AbstractAsyncContextManager[Feed[Event]]: ...
    @asynccontextmanager
    async def subscribe(
        self, *requests: Request[Any], capacity: int = 1024, overflow: Overflow = Overflow.BACKPRESSURE
    ) -> AsyncIterator[Feed[Any]]:
        """Subscribe to ``requests`` while a block runs; their events come from the :class:`Feed`.

        Entering waits for the exchange's answer to each request, without a timeout of its own (use
        :func:`trio.fail_after`), and raises :class:`~kraken_trio.SubscriptionRejected` if any is refused; then none is
        in force. After that they are replayed on every reconnect until the block is left.

        A request that another feed of this client already has shares its subscription on the wire, and starts with the
        present state: for a book, a :class:`~kraken_trio.BookSnapshot` of the verified local book.

        ``capacity`` is the number of events that may wait for the program, from 1 to ``Settings.max_capacity``;
        ``overflow`` is what happens beyond that. ``Overflow.CONFLATE`` with :class:`~kraken_trio.Trades` is a
        :class:`ValueError`. With ``Overflow.BACKPRESSURE``, one task must not alternate between two feeds: waiting for
        one while the other is full is a deadlock. Subscribe to everything in one feed, or use a task per feed.

        Raises :class:`~kraken_trio.ConnectError` if the exchange refuses the client permanently, and
        :class:`trio.ClosedResourceError` after the client's block was left.
        """
        shell = self._shell
        _check(requests, capacity, overflow, shell.max_capacity)
        sender, feed = open_feed(requests, capacity, overflow, shell.rebuild)
        try:
            await shell.attach(sender)
            yield feed
        finally:
            feed.close()

    def __repr__(self) -> str:
        now = self.statistics()
        return f"<Client of {self._shell.name}: {now.state.value}, epoch {now.epoch}, {len(now.subscriptions)} wanted>"


def _check(requests: tuple[Request[Any], ...], capacity: int, overflow: Overflow, max_capacity: int) -> None:
    if not requests:
        msg = "subscribe needs at least one request, such as Book('BTC/USD')"
        raise ValueError(msg)
    for request in requests:
        if not isinstance(request, Request):
            msg = f"subscribe takes requests such as Book('BTC/USD'), not {request!r}"
            raise TypeError(msg)
    if type(capacity) is not int or capacity < 1:
        msg = f"capacity={capacity!r}: a whole number of events, at least 1"
        raise ValueError(msg)
    if capacity > max_capacity:
        msg = f"capacity={capacity}: at most {max_capacity} events (Settings.max_capacity)"
        raise ValueError(msg)
    if not isinstance(overflow, Overflow):
        msg = f"overflow={overflow!r}: one of {', '.join(map(str, Overflow))}"
        raise TypeError(msg)
    if overflow is Overflow.CONFLATE:
        for request in requests:
            channel = None if request.channel is None else CHANNELS.get(request.channel)
            if channel is not None and not channel.can_conflate:
                msg = (
                    f"{request} cannot be conflated: Overflow.CONFLATE keeps the latest state, and each of its events "
                    f"counts; give it a subscribe of its own, with Overflow.DROP_OLDEST or Overflow.BACKPRESSURE"
                )
                raise ValueError(msg)


def _as_endpoint(endpoint: Endpoint | str) -> Endpoint:
    if isinstance(endpoint, Endpoint):
        return endpoint
    if isinstance(endpoint, str):
        return Endpoint(endpoint)
    msg = f"a client is opened for an Endpoint or a URL, not {endpoint!r}"
    raise TypeError(msg)


def _account(
    endpoint: Endpoint, credentials: Credentials | None, ssl_context: ssl.SSLContext | None, proxies: Proxies
) -> RestAccount | None:
    if credentials is None:
        if endpoint.needs_token:
            msg = f"{endpoint} needs an API key: pass credentials=Credentials.from_env(), or the like"
            raise ValueError(msg)
        return None
    if not isinstance(credentials, Credentials):
        msg = f"credentials are Credentials(key, secret), not a {type(credentials).__name__}"
        raise TypeError(msg)
    rest = Rest(endpoint.rest, credentials=credentials, wall_ns=time.time_ns, ssl_context=ssl_context, proxies=proxies)
    return RestAccount(rest)


def _opener(proxy: Proxy | None, *, is_traced: bool) -> OpenStream | None:
    """How byte streams are opened; None: as the transport does it by itself. A trace shows the lookup of the name."""
    own: OpenStream | None = TcpByName() if is_traced else None
    if proxy is None:
        return own
    return Tunnel(proxy) if own is None else Tunnel(proxy, own)


_DEFAULTS = Settings()


@asynccontextmanager
async def open_client(
    endpoint: Endpoint | str = PUBLIC_V2,
    *,
    settings: Settings = _DEFAULTS,
    credentials: Credentials | None = None,
    ssl_context: ssl.SSLContext | None = None,
    transport: TransportName | Connect = "auto",
    proxy: str | None = "auto",
    admission: Admission | None = None,
    budget_file: str | os.PathLike[str] | None = None,
    tracing: Tracing | None = None,
) -> AsyncIterator[Client]:
    """Connect to the exchange while a block runs, and stay connected.

    ``endpoint`` is where to connect; a ``str`` is a URL at which Kraken's protocol v2 is spoken.

    Entering makes the first connection, and raises :class:`~kraken_trio.ConnectError` if that fails (unless
    ``settings.require_first_connection`` is False). Lost connections are recovered in the background, and announced in
    feeds by a :class:`~kraken_trio.Gap`.

    Leaving always ends, within about ``settings.close_timeout``, whatever the peer does; nothing is left running.
    Exceptions of the body are raised unchanged.

    ``credentials`` are an API key, which the endpoints of an account need (:data:`~kraken_trio.PRIVATE_V2`,
    :data:`~kraken_trio.LEVEL3_V2`): with it, tokens are got from ``endpoint.rest``, one for each attempt to connect. If
    the exchange does not accept the key, :class:`~kraken_trio.ConnectError` says what is missing. You are warned of a
    key that may do more than read.

    ``ssl_context`` replaces Python's default for ``wss``; it must verify certificates and host names.
    ``transport`` is how a WebSocket is opened: ``"websockets"``, the fast one, which ``"auto"`` stands for;
    ``"trio-websocket"``; or a :class:`kraken_trio.transport.Connect` of your own.

    ``proxy`` is the URL of an HTTP proxy to connect through: ``http://host:port`` or ``http://user:password@host:port``,
    which is never shown. ``"auto"`` is what the environment says: ``HTTPS_PROXY`` (for ``wss``, and not for this
    machine), unless ``NO_PROXY`` names the host. None connects directly. Tokens are fetched in the same way. A
    ``Connect`` of your own opens its connections itself: a URL for it is a :class:`TypeError`.

    All clients of the process together make at most 120 connection attempts in any 600 s
    (``settings.connect_budget`` lowers that). If the first attempt would have to wait longer than
    ``settings.connect_timeout``, :class:`~kraken_trio.ConnectError` is raised, with the time to wait. With
    ``budget_file``, all processes of this host that name the same file share the budget as well; the file is created if
    necessary, and while it cannot be used, nobody connects. Loopback addresses are exempt unless ``budget_file`` is
    given. ``admission`` replaces all of this: see :class:`kraken_trio.admission.Admission`.

    ``tracing`` makes spans of what happens to the client: :class:`kraken_trio.tracing.OpenTelemetry`.
    """
    endpoint = _as_endpoint(endpoint)
    given, proxy = [proxy], None  # tracebacks show local variables, and it may contain a password
    is_url = given[0] not in {None, "auto"}
    proxies = choose_proxies(given.pop(), os.environ)
    account = _account(endpoint, credentials, ssl_context, proxies)
    if admission is not None and budget_file is not None:
        msg = "open_client takes an admission or a budget_file, not both"
        raise TypeError(msg)
    through = None
    if isinstance(transport, str):
        # Invalid arguments raise here, whatever the settings.
        address = parse_address(endpoint.url)
        check_tls(address, ssl_context)
        through = proxies(address)
    elif is_url:
        msg = "open_client takes a proxy or a transport of your own, not both: that one opens its connections itself"
        raise TypeError(msg)
    async with open_with(
        endpoint,
        settings=settings,
        ssl_context=ssl_context,
        connect=choose(transport, _opener(through, is_traced=tracing is not None)),
        wall_ns=time.time_ns,
        jitter=random.random,
        admission=default_admission(endpoint.url, budget_file) if admission is None else admission,
        account=account,
        snapshots=None if credentials is None else SNAPSHOTS.budget_of(credentials.fingerprint, trio.current_time()),
        consumers=() if tracing is None else (tracing.follow(endpoint, time.time_ns),),
    ) as client:
        yield client


@asynccontextmanager
async def open_with(
    endpoint: Endpoint | str,
    *,
    settings: Settings,
    ssl_context: ssl.SSLContext | None,
    connect: Connect,
    wall_ns: Callable[[], int],
    jitter: Callable[[], float],
    admission: Admission,
    account: Account | None = None,
    snapshots: Budget | None = None,
    consumers: Sequence[Consumer] = (),
) -> AsyncIterator[Client]:
    """:func:`open_client` with all sources of nondeterminism as parameters."""
    endpoint = _as_endpoint(endpoint)
    session = Session(settings, jitter, codec_for(endpoint.protocol), endpoint, snapshots=snapshots)
    actor = Actor(
        endpoint,
        session=session,
        settings=settings,
        connect=connect,
        ssl_context=ssl_context,
        wall_ns=wall_ns,
        admission=admission,
        telemetry=FanOut(endpoint.name, settings, *consumers),
        account=account,
    )
    try:
        async with open_hidden_nursery() as nursery:
            await nursery.start(actor.run, nursery)
            try:
                yield Client(actor)
            finally:
                actor.close()
                nursery.cancel_scope.cancel()
    finally:
        actor.left()
