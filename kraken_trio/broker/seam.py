"""What an engine does: the seam between the protocol and one kind of broker.

An :class:`Engine` makes connections, a :class:`Link` is one. A link that fails is of no more use: each of its methods
raises :class:`BrokerLost` from then on, and a new one is made by who wants one. Engines do not reconnect, reorder or
repeat anything by themselves; that is decided by :mod:`~kraken_trio.broker.outbox` and by the readers.

All of it is for Trio. Cancelling any call is safe: it may only be unknown whether what was asked of the broker has
happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

from kraken_trio.broker.position import Place, Start, Taken
from kraken_trio.errors import KrakenTrioError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.broker.subjects import Key, Subject

__all__ = [
    "BrokerLost",
    "Engine",
    "Fence",
    "Fenced",
    "Incoming",
    "KeepsRecords",
    "Link",
    "Outgoing",
    "Place",
    "Record",
    "Source",
    "Start",
    "Taken",
    "TooLarge",
]


class BrokerLost(KrakenTrioError):  # noqa: N818 (named by what happened)
    """The connection to the broker is lost, or the broker does not answer. A new one may work.

    ``acked`` (of :meth:`Link.publish`): how many messages, from the first, are surely stored; more may be.
    """

    def __init__(self, detail: str, acked: int = 0) -> None:
        super().__init__(detail)
        self.acked: int = acked


class Fenced(KrakenTrioError):  # noqa: N818 (likewise)
    """Somebody else owns the shard now: nothing more will be stored for this owner.

    ``acked``: as of :class:`BrokerLost`. What is stored beyond that stands before the first message of the new owner.
    """

    def __init__(self, detail: str, acked: int = 0) -> None:
        super().__init__(detail)
        self.acked: int = acked


class TooLarge(KrakenTrioError):  # noqa: N818 (likewise)
    """The broker takes no message of this size, however often it is sent. It is the one after the ``acked`` first."""

    def __init__(self, detail: str, acked: int = 0) -> None:
        super().__init__(detail)
        self.acked: int = acked


@attrs.frozen
class Fence:
    """The right to publish for a shard, until another owner has it."""

    shard: int
    producer: int
    """This owner's number: larger than that of every owner before, of any shard."""
    token: object = attrs.field(default=None, repr=False)
    """The engine's own."""


@attrs.frozen
class Record:
    """A small value that the broker keeps by name: of consumer groups."""

    value: bytes
    revision: int
    """Above 0; it grows with each change of the record."""


class Outgoing(Protocol):
    """A message to be published."""

    @property
    def subject(self) -> Subject: ...
    @property
    def data(self) -> bytes: ...
    @property
    def message_id(self) -> str:
        """The same for the same message, whenever and however often it is sent: a broker may drop repeats by it."""
        ...


@attrs.frozen
class Incoming:
    """A message of the broker."""

    subject: Subject
    data: bytes
    partition: int
    """0 where a stream has no partitions."""
    offset: int
    time_ns: int
    """When the broker stored it, by its own clock."""


class Source(Protocol):
    """Messages of the broker, in order within each partition."""

    @property
    def taken(self) -> Taken: ...

    @property
    def reached(self) -> Collection[int]:
        """The partitions of which all that was stored before :attr:`Taken.starts` has been received.

        So has the message in the middle of which one begins, if it is of these keys. Then the state as of the start is
        known, even if nothing is stored after it for a long time.
        """
        ...

    async def receive(self) -> Sequence[Incoming]:
        """Wait for the next messages, or until :attr:`reached` has grown: then there may be none.

        Cancelling loses none. Raises :class:`BrokerLost`.
        """
        ...


class Link(Protocol):
    """A connection to a broker."""

    # Producing

    async def acquire(self, shard: int, holder: str) -> Fence | None:
        """Become the owner of a shard, if it has none: None if it has (try again in a moment).

        From its return on no earlier owner can publish another message. ``holder`` is a name for people, and of one
        process. Raises :class:`BrokerLost`, and :class:`~kraken_trio.ConnectError` (not retryable) if somebody has to
        change something at the broker before.
        """
        ...

    async def renew(self, fence: Fence) -> None:
        """Stay the owner for :attr:`Engine.lease_ttl` from now. Raises :class:`Fenced`, :class:`BrokerLost`.

        If the lease has ended, and nobody else has had the shard since, it is given again, if the engine can.
        """
        ...

    async def release(self, fence: Fence) -> None:
        """Be the owner no more, so that another one need not wait. Never raises for a lost lease."""
        ...

    async def publish(self, fence: Fence, messages: Sequence[Outgoing]) -> None:
        """Store these messages, in this order, and return when all are stored.

        Raises :class:`Fenced`, :class:`BrokerLost` or :class:`TooLarge`, with how many are surely stored. What is sent
        again after that with equal ids is stored once, or repeated in the stream: readers drop repeats by their
        numbers.
        """
        ...

    # Reading

    async def catalogs(self) -> Sequence[Incoming]:
        """The newest catalog of each shard."""
        ...

    def read(self, keys: Collection[Key], start: Start, *, back: float) -> AbstractAsyncContextManager[Source]:
        """Data and key frames of these keys, from ``start`` on, and as much before as is needed to find their state.

        ``back`` (seconds) is how far back the last key frame of each key is at most. A link may have any number of
        sources at a time; one that is not read from holds up no other.
        """
        ...


@runtime_checkable
class KeepsRecords(Protocol):
    """A link that keeps records, too: of consumer groups."""

    async def records(self, prefix: str) -> Mapping[str, Record]:
        """Those whose names begin with this, as of now. Names are tokens of subjects with points between."""
        ...

    async def write(self, name: str, value: bytes, revision: int) -> int | None:
        """Replace a record, if its revision is this one; 0: make it, if there is none.

        Returns its new revision; None if it was another one, and nothing has changed.
        """
        ...


class Engine(Protocol):
    """One kind of broker, at one address."""

    @property
    def name(self) -> str:
        """Printable, without secrets: ``nats://host:4222/kraken``."""
        ...

    @property
    def stream(self) -> str:
        """The name of the stream or topic: positions of another one do not fit."""
        ...

    @property
    def lease_ttl(self) -> float:
        """For how many seconds a lease holds from the moment at which its renewal was *sent*."""
        ...

    def connect(self) -> AbstractAsyncContextManager[Link]:
        """Connect; closes the connection when the block is left, within a bounded time.

        Raises :class:`~kraken_trio.ConnectError`, which says what to do.
        """
        ...
