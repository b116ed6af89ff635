"""``open_stream``: what relays publish through a broker, as a client: programs for the exchange run on it unchanged."""

from __future__ import annotations

import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.broker.choice import engine_for
from kraken_trio.broker.position import Position, Start
from kraken_trio.client import Client
from kraken_trio.errors import ProtocolError
from kraken_trio.recording.times import moment_ns
from kraken_trio.runtime.sharing import LEAVING
from kraken_trio.runtime.streamer import Streamer
from kraken_trio.settings import Settings
from kraken_trio.telemetry.fan_out import FanOut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kraken_trio.broker.login import BrokerLogin, BrokerTls
    from kraken_trio.broker.seam import Engine
    from kraken_trio.recording.times import Time

__all__ = ["open_stream"]

_DEFAULTS = Settings()


@asynccontextmanager
async def open_stream(
    url: str | Engine,
    *,
    start: Time | Position | None = None,
    group: str | None = None,
    login: BrokerLogin | None = None,
    tls: BrokerTls | None = None,
    settings: Settings = _DEFAULTS,
) -> AsyncIterator[Client]:
    """Read what relays publish, as a client, while a block runs.

    ``url`` is the broker: ``nats://host:4222/stream`` or ``tls://…`` (JetStream), ``kafka://host:9092/topic``. The
    stream is ``kraken`` if none is named. (For tests, a :class:`~kraken_trio.testing.MemoryBroker`.)

    Feeds get what those of the producer's client got: per symbol and channel the same events, in the same order, with
    the same epochs, times of receipt and gaps. Books are verified again. ``subscribe`` raises
    :class:`~kraken_trio.SubscriptionRejected` for what is not published, with what there is. A feed begins with the
    present state, of a book a snapshot, within one interval of key frames; the producer need not know of it.

    What is lost on the way is a :class:`~kraken_trio.Gap`: ``FAILOVER`` where another producer took over, ``MISSED``
    where messages are missing, ``EXPIRED`` where the broker does not store any more what should come next, ``SILENCE``
    where nothing comes from the relay for three intervals of key frames (and at least 10 s), ``CHECKSUM`` where a book
    fails its check here. After it, books go on with a snapshot.

    ``start`` is where each feed begins: a time (of the broker's clock; as of :func:`~kraken_trio.open_replay`), or a
    position that a program has stored (:attr:`Feed.position <kraken_trio.Feed.position>`), as it is or as text. From
    there on nothing is missing and nothing comes twice: trades go on with the next one; a book comes first as it was
    then. A position in another stream is a :class:`ValueError`.

    :attr:`Client.state <kraken_trio.Client.state>` is that of the connection to the broker. If it is lost, the client
    connects again, and feeds go on where they were. Entering makes the first connection, and raises
    :class:`~kraken_trio.ConnectError` if that fails, unless ``settings.require_first_connection`` is False. Of the
    other ``settings``, ``stall_limit``, ``max_feeds``, ``max_capacity`` and ``log_…`` count. A feed that its program
    does not read holds up only itself.

    ``group`` is the name of a group of programs that share the symbols of one subscription: each of them subscribes to
    the same, in one feed, and gets a part; which one changes when members come and go. A program says with
    :meth:`Feed.commit <kraken_trio.Feed.commit>` what it has done; another member, or the program when it is started
    again, goes on there. So nothing is lost, and nothing comes twice but what was not committed by a program that was
    killed. Symbols that go to another member are told by a gap, ``FAILOVER``. ``start`` counts for symbols of which
    nothing was committed yet.

    ``login`` is who we are to the broker, ``tls`` how the connection is encrypted.
    """
    engine = engine_for(url, login, tls)
    async with open_stream_with(
        engine, start=start, group=group, settings=settings, wall_ns=time.time_ns, jitter=random.random
    ) as client:
        yield client


@asynccontextmanager
async def open_stream_with(
    engine: Engine,
    *,
    start: Time | Position | None = None,
    group: str | None = None,
    settings: Settings = _DEFAULTS,
    wall_ns: Callable[[], int],
    jitter: Callable[[], float],
) -> AsyncIterator[Client]:
    """:func:`open_stream` with all sources of nondeterminism as parameters."""
    if group is not None and (type(group) is not str or not group):
        msg = f"group={group!r}: the name of a group, not empty"
        raise ValueError(msg)
    streamer = Streamer(
        engine,
        start=_start(start, engine.stream),
        settings=settings,
        telemetry=FanOut(engine.name, settings),
        wall_ns=wall_ns,
        jitter=jitter,
        group=group,
    )
    try:
        async with open_hidden_nursery() as nursery:
            await nursery.start(streamer.run, nursery)
            try:
                yield Client(streamer)
            finally:
                with trio.move_on_after(LEAVING, shield=True):
                    await streamer.leave()
                streamer.close()
                nursery.cancel_scope.cancel()
    finally:
        streamer.left()


def _start(start: Time | Position | None, stream: str) -> Start:
    if start is None:
        return Start()
    if isinstance(start, str) and start.lstrip().startswith("{"):
        try:
            start = Position.parse(start)
        except ProtocolError as error:
            msg = f"start: {error}"
            raise ValueError(msg) from None
    if not isinstance(start, Position):
        return Start(time_ns=moment_ns(start, "start"))
    if start.stream != stream:
        msg = f"start is a position in the stream {start.stream!r}, and this is {stream!r}"
        raise ValueError(msg)
    return Start(places=start.places)
