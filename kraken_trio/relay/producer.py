"""One shard's producer: what clients receive goes to a broker, as long as this process is the shard's owner.

::

    async with kt.open_client() as client:
        async with publish(client, "nats://host:4222", kt.Book("BTC/USD"), kt.Trades("BTC/USD")) as relay:
            ...

Its tasks: :mod:`~kraken_trio.relay.intake` receives from the clients, with one for each feed, and gives to the
:mod:`~kraken_trio.broker.publisher`; :mod:`~kraken_trio.relay.sending` sends from there to the broker.

A process that is not the owner does all of this, but sends nothing: it is a standby, and takes over when the owner's
lease has ended. An owner that was stopped, or lost the broker, sends nothing after its lease has ended, by its own
clock; and the broker refuses whatever an earlier owner sends.
"""

from __future__ import annotations

import os
import platform
import secrets
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.broker.choice import engine_for
from kraken_trio.broker.lease import Standing
from kraken_trio.broker.messages import Form
from kraken_trio.broker.publisher import Publisher
from kraken_trio.relay.intake import Backpressure, Intake
from kraken_trio.relay.sending import Sender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kraken_trio.broker.login import BrokerLogin, BrokerTls
    from kraken_trio.broker.seam import Engine
    from kraken_trio.client import Client
    from kraken_trio.requests import Request

__all__ = ["Backpressure", "Relay", "RelayStatistics", "new_holder", "open_relay", "publish"]


@attrs.frozen
class RelayStatistics:
    """All numbers of a relay."""

    shard: int
    shards: int
    standing: Standing
    """Whether this process is the shard's owner."""
    producer: int | None
    """Its number as the owner; None for a standby."""
    is_connected: bool
    """Whether there is a connection to the broker."""
    requests: int
    """How many there are: what is published, each of a channel and symbol."""
    events: int
    """Events that the broker has stored."""
    messages: int
    """Messages that it has stored, with key frames and catalogs."""
    bytes: int
    """Their bytes, after compression."""
    key_frames: int
    """Key frames that were made."""
    waiting_events: int
    """Events that wait to be sent."""
    unacked_messages: int
    """Messages that were sent, or are about to be, and are not acknowledged."""
    unacked_bytes: int
    takeovers: int
    """How often this process became the owner."""
    fenced: int
    """How often another one took over from it."""
    connects: int
    """Connections to the broker."""
    conflated: int
    """Events that were dropped because the outbox was full."""
    held_seconds: float
    """For how long nothing was received because the outbox was full."""
    too_large: int
    """Messages that the broker did not take because of their size."""

    @property
    def is_owner(self) -> bool:
        """Whether this process is the owner, and its lease has not ended."""
        return self.standing is Standing.OWNER


class Relay:
    """A shard's producer. Created by :func:`open_relay` and :func:`publish`."""

    def __init__(
        self,
        engine: Engine,
        publisher: Publisher,
        *,
        policy: Backpressure,
        holder: str,
    ) -> None:
        """(not to be called by programs)."""
        self._engine = engine
        self._publisher = publisher
        self._sender = Sender(engine, publisher, holder=holder, fail=self._fail)
        self._intake = Intake(publisher, self._sender, policy=policy, fail=self._fail)
        self.block: trio.CancelScope = trio.CancelScope()
        """What is cancelled when it fails."""
        self.failure: Exception | None = None
        """What ended it, if something did."""

    @property
    def is_owner(self) -> bool:
        """Whether this process is the shard's owner now."""
        return self._sender.is_owner

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        """What is published, or would be by the owner."""
        return self._publisher.requests

    def statistics(self) -> RelayStatistics:
        """All numbers, as of now."""
        now = trio.current_time()
        publisher, sender = self._publisher, self._sender
        fence, counts = sender.lease.fence, sender.counts
        return RelayStatistics(
            shard=publisher.shard,
            shards=publisher.shards,
            standing=sender.lease.standing(now),
            producer=None if fence is None else fence.producer,
            is_connected=sender.is_connected,
            requests=len(publisher.requests),
            events=counts.events,
            messages=counts.messages,
            bytes=counts.bytes,
            key_frames=publisher.counts.key_frames,
            waiting_events=publisher.waiting,
            unacked_messages=len(sender.outbox),
            unacked_bytes=sender.outbox.bytes,
            takeovers=counts.takeovers,
            fenced=counts.fenced,
            connects=counts.connects,
            conflated=publisher.counts.conflated,
            held_seconds=self._intake.held_seconds(now),
            too_large=counts.too_large,
        )

    async def wait_owner(self) -> None:
        """Wait until this process is the shard's owner."""
        await trio.lowlevel.checkpoint()
        while not self.is_owner:
            await self._sender.wait_passed()

    async def wait_placed(self) -> None:
        """Wait until the broker has said what this process is to the shard: the owner, or a standby of another one."""
        await trio.lowlevel.checkpoint()
        while not self._sender.is_placed:
            await self._sender.wait_passed()

    async def add(self, client: Client, *requests: Request[Any]) -> None:
        """Subscribe to these, with one feed of ``client``, and publish them: also while it runs.

        Returns when the exchange has confirmed them. Raises :class:`~kraken_trio.SubscriptionRejected` if any is
        refused, and :class:`ValueError` for what is not published: of a channel and symbol only one request can be; and
        nothing of an account. Then none of them is in force.

        What was dropped before, of a feed that is still there, is published again without another subscription. What
        another client receives is this one's from then on, after a :class:`~kraken_trio.Gap` (cause ``CLOSED``). When
        the block of a client is left, what another one receives as well goes on with the events of that one, likewise
        after a gap. What no other one receives (a reader gets a :class:`~kraken_trio.Gap`, cause ``CLOSED``) can be
        added again with another client, and goes on.
        """
        await self._intake.add(client, *requests)

    def drop(self, *requests: Request[Any]) -> None:
        """Publish these no more: readers get a :class:`~kraken_trio.Gap` (cause ``CLOSED``), after what waits.

        Their feed goes on, and what it receives of them is left out.
        """
        self._intake.drop(*requests)

    def __repr__(self) -> str:
        standing = self._sender.lease.standing(trio.current_time())
        return f"<Relay of shard {self._publisher.name} to {self._engine.name}: {standing.value}>"

    def _fail(self, error: Exception) -> None:
        """Have the block end with this error."""
        if self.failure is None:
            self.failure = error
            self.block.cancel()

    async def run(
        self, *, require_broker: bool, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run, until the scope that it starts with is cancelled, and nothing else is.

        Raises :class:`~kraken_trio.ConnectError` before that, if there is no broker, but has to be one.
        """
        with trio.CancelScope() as scope:
            async with open_hidden_nursery() as sending, open_hidden_nursery() as receiving:
                self._intake.begin(receiving)
                if require_broker:
                    await sending.start(self._sender.serve)
                else:
                    sending.start_soon(self._sender.serve)
                task_status.started(scope)
                await trio.lowlevel.checkpoint_if_cancelled()  # it was not to be started any more
                # What ends the block from outside must not end this before everything is sent.
                scope.shield = True
                await trio.sleep_forever()

    async def drain(self, seconds: float) -> None:
        """Receive nothing more; send what there is, for so long at most, and give the lease back."""
        self._intake.end()
        await self._sender.drain(seconds)


def new_holder() -> str:
    """A name for people, of this process alone."""
    return f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"


def _check(
    shard: int,
    shards: int,
    policy: Backpressure,
    form: Form,
    keyframe_every: float,
    capacity: int,
    drain_timeout: float,
) -> None:
    """Refuse what could not be meant, before anything is opened."""
    if not 0 <= shard < shards:
        msg = f"shard={shard} of shards={shards}: shards are numbered from 0"
        raise ValueError(msg)
    for name, value, kind in (("policy", policy, Backpressure), ("form", form, Form)):
        if not isinstance(value, kind):
            msg = f"{name}={value!r}: one of {', '.join(map(str, kind))}"
            raise TypeError(msg)
    if not 0 < keyframe_every < inf:
        msg = f"keyframe_every={keyframe_every!r}: a positive number of seconds"
        raise ValueError(msg)
    if not 0 <= drain_timeout < inf:
        msg = f"drain_timeout={drain_timeout!r}: a number of seconds, not negative"
        raise ValueError(msg)
    if capacity < 1:
        msg = f"capacity={capacity!r}: a number of events, at least 1"
        raise ValueError(msg)


@asynccontextmanager
async def open_relay(
    to: Engine | str,
    *,
    shard: int = 0,
    shards: int = 1,
    policy: Backpressure = Backpressure.CONFLATE,
    form: Form = Form.JSON,
    keyframe_every: float = 5.0,
    capacity: int = 50_000,
    drain_timeout: float = 10.0,
    holder: str | None = None,
    require_broker: bool = True,
    login: BrokerLogin | None = None,
    tls: BrokerTls | None = None,
) -> AsyncIterator[Relay]:
    """Publish one shard's events to a broker while a block runs, as long as this process is its owner.

    What is published is said with :meth:`Relay.add`. ``to`` is the broker's URL (``nats://host:4222/stream``), or an
    engine; ``login`` and ``tls`` are for a URL. Several processes may do this for one shard: one of them is the owner,
    the others are standbys with books of their own, and the first to notice takes over when the owner's lease has
    ended.

    Entering makes the first connection to the broker, and raises :class:`~kraken_trio.ConnectError` if that fails; with
    ``require_broker=False`` it keeps trying, unless another attempt is of no use. Later losses are recovered in the
    background: publishing goes on where it stopped. A feed's failure (:class:`~kraken_trio.ConnectError` if the
    exchange refuses its client for good, :class:`~kraken_trio.ConsumerTooSlow`) ends the block, and is raised.

    ``policy`` says what happens if the broker is too slow and ``capacity`` events wait. ``keyframe_every`` is the time
    in seconds between two key frames of a channel and symbol: what a reader that comes later waits at most. ``holder``
    is a name for people, another one for each process. ``form`` is how messages are written.

    Leaving stops receiving, sends what there is, for up to ``drain_timeout`` seconds, and gives the lease back, so that
    a standby takes over at once.

    Raises :class:`ValueError` and :class:`TypeError` for arguments that mean nothing, before anything is opened.
    """
    _check(shard, shards, policy, form, keyframe_every, capacity, drain_timeout)
    engine = engine_for(to, login, tls)
    publisher = Publisher(shard, shards, keyframe_every=keyframe_every, form=form, capacity=capacity)
    relay = Relay(engine, publisher, policy=policy, holder=holder or new_holder())
    async with open_hidden_nursery() as nursery:
        running = await nursery.start(partial(relay.run, require_broker=require_broker))
        try:
            with relay.block:
                yield relay
        finally:
            with trio.CancelScope(shield=True):
                await relay.drain(drain_timeout)
            running.cancel()
        if relay.failure is not None:
            raise relay.failure


@asynccontextmanager
async def publish(
    client: Client,
    to: Engine | str,
    *requests: Request[Any],
    shard: int = 0,
    shards: int = 1,
    policy: Backpressure = Backpressure.CONFLATE,
    form: Form = Form.JSON,
    keyframe_every: float = 5.0,
    capacity: int = 50_000,
    drain_timeout: float = 10.0,
    holder: str | None = None,
    require_broker: bool = True,
    login: BrokerLogin | None = None,
    tls: BrokerTls | None = None,
) -> AsyncIterator[Relay]:
    """Publish what these requests of a client yield, while a block runs: :func:`open_relay`, and :meth:`Relay.add`."""
    async with open_relay(
        to,
        shard=shard,
        shards=shards,
        policy=policy,
        form=form,
        keyframe_every=keyframe_every,
        capacity=capacity,
        drain_timeout=drain_timeout,
        holder=holder,
        require_broker=require_broker,
        login=login,
        tls=tls,
    ) as relay:
        await relay.add(client, *requests)
        yield relay
