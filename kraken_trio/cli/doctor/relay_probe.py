"""The measuring of a relay: one connection that reads, then a client of the stream. Changes nothing, publishes nothing.

It ends within :data:`TIME_LIMIT`, whatever the broker does.
"""

from __future__ import annotations

from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from kraken_trio import Book, BookSnapshot, ConnectError, KrakenTrioError, SubscriptionRejected
from kraken_trio._text import printable
from kraken_trio.broker.messages import Catalog, decode_batch, decode_catalog
from kraken_trio.broker.seam import BrokerLost, Start
from kraken_trio.broker.subjects import Kind
from kraken_trio.cli.brokers import for_command_line
from kraken_trio.cli.doctor import relay_checks as checks
from kraken_trio.cli.doctor.checks import failed, skipped
from kraken_trio.cli.doctor.relay_checks import ShardSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio import Client
    from kraken_trio.broker.seam import Engine, Incoming, Link
    from kraken_trio.broker.subjects import Key
    from kraken_trio.cli.doctor.findings import Finding
    from kraken_trio.requests import Request

__all__ = ["TIME_LIMIT", "RelayPlan", "examine_relay"]

TIME_LIMIT: Final = 28.0
"""Seconds for everything, as of the doctor of an exchange."""
_CONNECT: Final = 6.0
_LISTEN: Final = 3.0
"""Seconds for which live messages are looked at, after the stored ones."""
_LISTEN_MOST: Final = 11.0
"""Seconds for which it waits for a shard that says nothing: of the usual key frames, two must come within that."""
_HISTORY: Final = 4.0
"""Seconds for the stored ones."""
_BOOK: Final = 7.0
_MORE: Final = 1.0
"""Seconds for which a verified book is followed."""
_KEYS: Final = 3
"""How many symbols of each shard are looked at."""


@attrs.frozen(kw_only=True)
class RelayPlan:
    """What is examined."""

    engine: Engine
    open_reader: Callable[[], AbstractAsyncContextManager[Client]]
    """Opens a client of the stream."""
    wall_ns: Callable[[], int]
    symbols: Sequence[str] = ()
    """Whose books are read; none for one that is published."""


async def examine_relay(plan: RelayPlan, tell: Callable[[Finding], None]) -> None:
    """Make all checks, and tell each finding as soon as it is known. What was not reached is skipped."""
    told: set[str] = set()

    def note(finding: Finding) -> None:
        told.add(finding.check)
        tell(finding)

    with trio.move_on_after(TIME_LIMIT) as scope:  # noqa: ASYNC912 (it waits for the broker)
        try:
            await _Doctor(plan, note).run()
        except (ConnectError, BrokerLost) as error:
            says, cure = checks.split(for_command_line(str(error)))
            note(failed(next(check for check in checks.RELAY_CHECKS if check not in told), says, cure))
    left = [check for check in checks.RELAY_CHECKS if check not in told]
    if scope.cancelled_caught and left:
        says = f"there was no time left for it within {TIME_LIMIT:g} s"
        tell(failed(left.pop(0), says, "what comes before it takes too long: look at these figures"))
    for check in left:
        tell(skipped(check, "an earlier check failed"))


@attrs.define
class _Heard:
    """What came from the shards."""

    frames: dict[Key, int] = attrs.Factory(dict)
    """When the newest key frame of each key was stored."""
    shards: set[int] = attrs.Factory(set)
    """Who has published anything meanwhile."""
    ahead: list[float] = attrs.Factory(list)
    """This clock less the broker's, and the way, of what came just after it was stored."""
    lags: list[float] = attrs.Factory(list)
    seconds: float = 0.0
    """For how long it was listened."""

    def take(self, one: Incoming, now_ns: int | None) -> None:
        """``now_ns``: it came now, and was not stored before."""
        if one.subject.kind is Kind.KEY:
            self.frames[one.subject.key] = max(one.time_ns, self.frames.get(one.subject.key, 0))
        if now_ns is not None:
            self.shards.add(one.subject.shard)
            self.ahead.append((now_ns - one.time_ns) / 1e9)
            self.lags += _lag(one)


class _Doctor:
    def __init__(self, plan: RelayPlan, note: Callable[[Finding], None]) -> None:
        self._plan = plan
        self._note = note
        self._heard = _Heard()
        self._times: dict[int, int] = {}
        """When the newest catalog of each shard was stored."""
        self._owned: set[int] = set()
        """The shards that somebody publishes."""
        self._present: set[int] = set()
        """These, and those that should be published: not what is left of another number of shards."""

    async def run(self) -> None:
        engine, began = self._plan.engine, trio.current_time()
        catalogs: list[Catalog] = []
        with trio.move_on_after(_CONNECT) as limit:
            async with engine.connect() as link:
                limit.deadline = float("inf")
                self._note(checks.broker(engine.name, trio.current_time() - began))
                catalogs = await self._catalogs(link)
                if catalogs:
                    await self._read(link, catalogs)
        if limit.cancelled_caught:
            says = f"no answer within {_CONNECT:g} s; check the address, the network, and any firewall on the way"
            self._note(checks.broker(engine.name, None, says))
        elif catalogs:
            await self._books(catalogs)

    async def _catalogs(self, link: Link) -> list[Catalog]:
        found = [(decode_catalog(one.data), one.time_ns) for one in await link.catalogs()]
        self._note(checks.stream(self._plan.engine.stream, len(found)))
        self._times = {catalog.shard: time_ns for catalog, time_ns in found}
        return [catalog for catalog, _ in found]

    def _age(self, time_ns: int) -> float:
        """How long ago the broker stored this: by its clock, if anything came that it had just stored, else ours."""
        ahead = min(self._heard.ahead, default=0.0)
        return max(0.0, (self._plan.wall_ns() - time_ns) / 1e9 - ahead)

    async def _read(self, link: Link, catalogs: Sequence[Catalog]) -> None:
        """Look at stored key frames, and at what comes: until every shard has been heard, if that is to be expected."""
        keys = {catalog.shard: _sample(catalog) for catalog in catalogs}
        heard = self._heard
        wanted = {key for some in keys.values() for key in some}
        if wanted:
            every = max(catalog.keyframe_every for catalog in catalogs)
            with trio.move_on_after(_HISTORY) as limit:
                async with link.read(wanted, Start(), back=12 * every) as source:
                    began: float | None = None
                    while True:
                        for one in await source.receive():
                            heard.take(one, None if began is None else self._plan.wall_ns())
                        if began is None and len(source.reached) >= len(source.taken.starts):
                            began = trio.current_time()
                            limit.deadline = began + min(_LISTEN_MOST, max(_LISTEN, checks.SILENCE * every + 0.5))
                        if began is not None and heard.shards.issuperset(shard for shard, some in keys.items() if some):
                            limit.deadline = min(limit.deadline, began + _LISTEN)
            heard.seconds = 0.0 if began is None else trio.current_time() - began
        for incoming in await link.catalogs():
            shard = decode_catalog(incoming.data).shard
            if incoming.time_ns > self._times.get(shard, 0):
                heard.shards.add(shard)
            self._times[shard] = incoming.time_ns
        self._tell(catalogs, keys)
        self._note(checks.clock(min(heard.ahead, default=None)))
        self._note(checks.lag(median(heard.lags) if heard.lags else None))

    def _tell(self, catalogs: Sequence[Catalog], keys: Mapping[int, Sequence[Key]]) -> None:
        heard = self._heard
        seen = [
            ShardSeen(
                shard=one.shard,
                shards=one.shards,
                producer=one.producer,
                age=self._age(self._times[one.shard]),
                every=one.keyframe_every,
                requests=len(one.requests),
                silent=None if one.shard in heard.shards else heard.seconds,
            )
            for one in sorted(catalogs, key=lambda catalog: catalog.shard)
        ]
        self._note(checks.shards(seen))
        there = checks.present(seen)
        for shard in there:
            self._note(checks.catalog(shard))
        ttl = self._plan.engine.lease_ttl
        self._present = {shard.shard for shard in there}
        self._owned = {shard.shard for shard in there if checks.is_owned(shard, ttl)}
        for finding in checks.owners(there, ttl):
            self._note(finding)
        for shard in there:
            ages = {
                "/".join(filter(None, key)): self._age(heard.frames[key]) if key in heard.frames else None
                for key in keys[shard.shard]
            }
            self._note(checks.keyframes(shard, ages, is_owned=shard.shard in self._owned))

    async def _books(self, catalogs: Sequence[Catalog]) -> None:
        """Read books as a program does."""
        catalogs = [catalog for catalog in catalogs if catalog.shard in self._present]
        if not any(catalog.requests for catalog in catalogs):
            self._note(skipped("relay-book", "nothing is published: see relay-shards above"))
            return
        published: dict[str, tuple[Book, Catalog]] = {}
        for catalog in sorted(catalogs, key=lambda catalog: catalog.shard not in self._owned):
            for request in catalog.requests:
                if isinstance(request, Book):
                    published.setdefault(request.symbol, (request, catalog))
        symbols = list(self._plan.symbols) or list(islice(published, 1))
        if not symbols:
            self._note(skipped("relay-book", "no books are published"))
        for symbol in symbols:
            if symbol not in published:
                problem = "its book is not published; name it in --symbols, and book in --channel, of the relay"
                self._note(checks.reader(symbol, 1.0, None, 0, problem))
                continue
            request, catalog = published[symbol]
            if catalog.shard in self._owned:
                self._note(await self._book(symbol, request, catalog.keyframe_every))
            else:
                # A reader would get the last that was published, however old, and would not know it for a while.
                name = f"{catalog.shard}/{catalog.shards}"
                self._note(skipped("relay-book", f"nobody publishes its shard, {name}: see relay-owner above", symbol))

    async def _book(self, symbol: str, request: Book, every: float) -> Finding:
        began, took, verified = trio.current_time(), None, 0
        problem: str | None = None
        try:
            with trio.move_on_after(_BOOK) as limit:
                async with self._plan.open_reader() as client, client.subscribe(request) as feed:
                    async for event in feed:
                        if took is None and isinstance(event, BookSnapshot):
                            took = trio.current_time() - began
                            limit.deadline = min(limit.deadline, trio.current_time() + _MORE)
                        verified = client.statistics().checksums_verified
        except SubscriptionRejected as error:
            problem = "; ".join(printable(text) for text in error.reasons.values())
        except KrakenTrioError as error:
            problem = for_command_line(str(error))
        return checks.reader(symbol, every, took, verified, problem)


def _sample(catalog: Catalog) -> list[Key]:
    """A few keys of a shard: books, if there are any."""
    requests: list[Request[Any]] = sorted(catalog.requests, key=lambda request: not isinstance(request, Book))
    return [(request.channel, request.symbol) for request in requests[:_KEYS] if request.channel is not None]


def _lag(one: Incoming) -> list[float]:
    """How long after the receipt of its last event it was stored."""
    if one.subject.kind is not Kind.DATA:
        return []
    try:
        last = decode_batch(one.data).events[-1]
    except (KrakenTrioError, IndexError):
        return []
    received_ns = getattr(last, "received_ns", 0)
    return [(one.time_ns - received_ns) / 1e9] if received_ns else []
