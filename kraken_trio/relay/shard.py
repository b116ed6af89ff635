"""One shard: its clients, as many as its symbols need, and what they subscribe to while it runs.

What is received is given to the relay, which publishes it (:mod:`~kraken_trio.relay.producer`). A connection has up to
:data:`~kraken_trio.relay.sources.SYMBOLS_PER_CONNECTION` symbols; Level 3 has connections of its own. With ``all``, the
first connection follows the exchange's reference data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.errors import KrakenTrioError, SubscriptionRejected
from kraken_trio.events import InstrumentUpdate
from kraken_trio.relay.log import log
from kraken_trio.relay.sources import Connections, Listing
from kraken_trio.requests import Instruments
from kraken_trio.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.client import Client
    from kraken_trio.relay.sources import Sources
    from kraken_trio.requests import Request

__all__ = ["RETRY_REFUSED", "SETTINGS", "Publishes", "Shard"]

RETRY_REFUSED: Final = 900.0
"""Seconds until a request that the exchange refused is tried again: as long as a client parks a subscription."""
SETTINGS: Final = Settings(require_first_connection=False, stall_limit=1e9)
"""Of a shard's clients. They try to connect for as long as it takes, and a broker that takes nothing may hold up
reading as long as it likes: the outbox's policy says what happens then, and no feed is ended."""
_TOLD: Final = 20
"""How many symbols or requests a log line has."""


class Publishes(Protocol):
    """What publishes events: a relay."""

    async def add(self, client: Client, *requests: Request[Any]) -> None:
        """Subscribe to these with one feed, and publish them from now on.

        Raises :class:`~kraken_trio.SubscriptionRejected` if any is refused; then none is in force.
        """
        ...

    def drop(self, *requests: Request[Any]) -> None:
        """Publish these no more."""
        ...


class _Kind:
    """Connections of one kind: to the public endpoint, or to that of Level 3."""

    def __init__(self, open_one: Callable[[], AbstractAsyncContextManager[Client]], *, level3: bool) -> None:
        self.open = open_one
        self.is_level3 = level3
        self.connections = Connections()
        self.tasks: list[_Connection] = []


class _Connection:
    def __init__(self, kind: _Kind) -> None:
        self.kind = kind
        self.client: Client | None = None
        self.joining: list[Request[Any]] = []
        self._more = trio.Event()

    def join(self, requests: Iterable[Request[Any]]) -> None:
        self.joining += requests
        self._more.set()

    def leave(self, requests: Iterable[Request[Any]]) -> None:
        gone = set(requests)
        self.joining = [request for request in self.joining if request not in gone]

    async def next(self) -> list[Request[Any]]:
        """What is to be subscribed to now."""
        while not self.joining:
            self._more = trio.Event()
            await self._more.wait()
        joining, self.joining = self.joining, []
        return joining


class Shard:
    """A shard that publishes its sources with ``relay``.

    ``open_public`` and ``open_level3`` make a client of the kind; the latter is not called if there is no Level 3.
    """

    def __init__(
        self,
        sources: Sources,
        relay: Publishes,
        open_public: Callable[[], AbstractAsyncContextManager[Client]],
        open_level3: Callable[[], AbstractAsyncContextManager[Client]],
    ) -> None:
        self._sources = sources
        self._relay = relay
        self._public = _Kind(open_public, level3=False)
        self._level3 = _Kind(open_level3, level3=True)
        self._nursery: trio.Nursery | None = None
        self._wanted: set[Request[Any]] = set()
        self._refused: set[Request[Any]] = set()
        self._confirmed: set[Request[Any]] = set()
        self._is_follower_there = False
        self._is_listed = not sources.follows

    @property
    def clients(self) -> Sequence[Client]:
        """The clients that there are now."""
        tasks = (*self._public.tasks, *self._level3.tasks)
        return [one.client for one in tasks if one.client is not None]

    @property
    def requests(self) -> frozenset[Request[Any]]:
        """What it wants to publish now."""
        return frozenset(self._wanted)

    @property
    def refused(self) -> frozenset[Request[Any]]:
        """What the exchange has refused of that; it is tried again from time to time."""
        return frozenset(self._refused)

    @property
    def is_confirmed(self) -> bool:
        """Whether the exchange has answered all of them."""
        return self._nursery is not None and self._is_listed and self._wanted <= self._confirmed | self._refused

    async def run(self) -> None:
        """Publish until cancelled.

        Raises :class:`~kraken_trio.ConnectError` if the exchange refuses a client for good, and
        :class:`~kraken_trio.KrakenTrioError` if the exchange refuses all that was named.
        """
        async with open_hidden_nursery() as nursery:
            self._nursery = nursery
            if self._sources.follows:
                self._first(self._public)  # which is there even if all symbols are those of other shards
            self._join(self._public, self._sources.without_symbols())
            if self._sources.symbols is not None:
                self._add(self._sources.own(self._sources.symbols))
            await trio.sleep_forever()

    def _first(self, kind: _Kind) -> _Connection:
        return kind.tasks[0] if kind.tasks else self._open(kind)

    def _open(self, kind: _Kind) -> _Connection:
        assert self._nursery is not None
        one = _Connection(kind)
        kind.tasks.append(one)
        self._nursery.start_soon(self._connection, one)
        return one

    def _join(self, kind: _Kind, requests: Sequence[Request[Any]]) -> None:
        if requests:
            self._wanted.update(requests)
            self._first(kind).join(requests)

    def _add(self, symbols: Sequence[str]) -> None:
        for kind in (self._public, self._level3):
            if not any(self._sources.requests(symbol, level3=kind.is_level3) for symbol in symbols[:1]):
                continue
            for number, some in kind.connections.add(symbols).items():
                requests = self._requests(kind, some)
                self._wanted.update(requests)
                while len(kind.tasks) <= number:
                    self._open(kind)
                kind.tasks[number].join(requests)

    def _drop(self, symbols: Sequence[str]) -> None:
        for kind in (self._public, self._level3):
            requests = self._requests(kind, symbols)
            self._wanted.difference_update(requests)
            self._refused.difference_update(requests)
            self._confirmed.difference_update(requests)
            for one in kind.tasks:
                one.leave(requests)
            if requests:
                self._relay.drop(*requests)

    def _requests(self, kind: _Kind, symbols: Iterable[str]) -> list[Request[Any]]:
        return [one for symbol in symbols for one in self._sources.requests(symbol, level3=kind.is_level3)]

    # Tasks

    async def _connection(self, one: _Connection) -> None:
        """Keep a client, and subscribe to what joins."""
        is_follower = self._sources.follows and not one.kind.is_level3 and not self._is_follower_there
        self._is_follower_there = self._is_follower_there or is_follower
        async with one.kind.open() as client:
            one.client = client
            async with open_hidden_nursery() as nursery:
                if is_follower:
                    nursery.start_soon(self._follow, client)
                while True:
                    await self._subscribe(one, client, await one.next(), nursery)

    async def _subscribe(
        self, one: _Connection, client: Client, requests: Sequence[Request[Any]], nursery: trio.Nursery
    ) -> None:
        """Have these published. What the exchange refuses is left out, and tried again later."""
        refused: dict[Request[Any], str] = {}
        while wanted := [request for request in requests if request in self._wanted and request not in refused]:
            try:
                await self._relay.add(client, *wanted)
            except SubscriptionRejected as error:
                refused |= error.reasons
            else:
                self._confirmed.update(wanted)
                gone = [request for request in wanted if request not in self._wanted]
                if gone:
                    self._relay.drop(*gone)
                break
        self._refused.difference_update(requests)
        if refused:
            self._refused.update(refused)
            self._tell_refused(refused)
            nursery.start_soon(self._retry, one, list(refused))

    def _tell_refused(self, refused: dict[Request[Any], str]) -> None:
        detail = "; ".join(sorted({printable(text) for text in refused.values()})[:_TOLD])
        names = [printable(request) for request in refused][:_TOLD]
        first = next(iter(refused))
        of = f" of {first.symbol}" if first.symbol is not None else ""
        log(
            "symbols_refused",
            f"the exchange refuses {len(refused)} of {len(self._wanted)} requests, as {first.channel}{of}: {detail}",
            requests=names,
            detail=detail,
        )
        if not self._sources.follows and self._wanted <= self._refused:
            msg = f"the exchange refuses everything that this shard was to publish: {detail}"
            raise KrakenTrioError(msg)

    async def _retry(self, one: _Connection, requests: Sequence[Request[Any]]) -> None:
        await trio.sleep(RETRY_REFUSED)
        one.join(requests)

    async def _follow(self, client: Client) -> None:
        """Follow what the exchange lists."""
        listing = Listing()
        async with client.subscribe(Instruments()) as feed:
            async for event in feed:
                if isinstance(event, InstrumentUpdate):  # after a gap comes a snapshot, which says it all
                    change = listing.take(event)
                    joined, left = self._sources.own(change.joined), self._sources.own(change.left)
                    if joined or left:
                        log(
                            "symbols_changed",
                            f"{len(joined)} symbols join, {len(left)} leave",
                            joined=joined[:_TOLD],
                            left=left[:_TOLD],
                        )
                    self._drop(left)
                    self._add(joined)
                    self._is_listed = True
