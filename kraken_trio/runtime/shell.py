"""The seams around what runs a client.

A :class:`Shell` is what a :class:`~kraken_trio.Client` is a facade over: it gets events from somewhere and puts them
into feeds. :mod:`kraken_trio.runtime.actor` gets them from a socket; nothing here depends on that, so replaying a
recording or reading from a broker can be shells as well.

A :class:`Telemetry` is passed to a shell, and receives the session's records: log lines, metrics and traces are made
from them elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kraken_trio.events import ConnectionState, Event
    from kraken_trio.runtime.feed import FeedSender
    from kraken_trio.runtime.overflow import Key
    from kraken_trio.session import Effects
    from kraken_trio.session.inputs import Input
    from kraken_trio.session.records import Record
    from kraken_trio.statistics import ClientStatistics, Counted
    from kraken_trio.wire.rest import Answer, Query

__all__ = ["Account", "Shell", "Tap", "Telemetry"]


class Shell(Protocol):
    """The implementation behind a client."""

    @property
    def name(self) -> str:
        """The source of the events, for messages and logs: printable, without secrets."""
        ...

    @property
    def max_capacity(self) -> int:
        """The largest capacity of a feed (:attr:`Settings.max_capacity <kraken_trio.Settings>`)."""
        ...

    @property
    def state(self) -> ConnectionState:
        """The client's state."""
        ...

    @property
    def system_status(self) -> str | None:
        """The exchange's latest status; None before the first."""
        ...

    def statistics(self) -> ClientStatistics:
        """All numbers, as of now."""
        ...

    async def wait_for(self, states: Collection[ConnectionState]) -> ConnectionState:
        """Wait until one of ``states`` is reached, and return it. Transient states count, too.

        Raises the error that ended the shell, if it has ended.
        """
        ...

    async def attach(self, sender: FeedSender) -> None:
        """Put the events of ``sender.requests`` into ``sender``, until its other end is closed.

        Returns when the requests are in force. Raises :class:`~kraken_trio.SubscriptionRejected` if one of them is
        refused, and the error that ended the shell, if it has ended; the caller then closes the other end.
        """
        ...

    def rebuild(self, key: Key, /) -> Event | None:
        """All events so far of a book (or of the reference data), as one snapshot event.

        None while the state is unknown: its feeds have then received a gap.
        """
        ...


class Account(Protocol):
    """Who may have what an endpoint gives only to a known account: tokens, and REST. Nobody else knows a secret."""

    warning: str | None
    """What the user should know of the key. Whoever tells it sets it to None."""

    async def token(self) -> str:
        """A token for one attempt to connect; one that no connection was made with may come again.

        Raises :class:`~kraken_trio.ConnectError`, which says what to do, without secrets.
        """
        ...

    async def another_token(self) -> str:
        """A token that has not been given before: the last one was not accepted. Raises likewise."""
        ...

    def connected(self) -> None:
        """A connection was made with the last token: it is not for another one."""
        ...

    async def ask(self, query: Query) -> Answer:
        """Ask the REST interface. What may help is tried; never raises."""
        ...


class Tap(Protocol):
    """Sees everything that comes into a client, and all that the client decides, in order; it must not raise."""

    def received(self, frames: Sequence[str | bytes], received_ns: int, now: float, effects: Effects, /) -> None:
        """A batch of frames came, and has had these effects. ``now`` is the monotonic clock, in seconds."""
        ...

    def told(self, happening: Input, wall_ns: int, now: float, effects: Effects, /) -> None:
        """Anything else happened, and has had these effects."""
        ...


class Telemetry(Protocol):
    """A consumer of a session's records."""

    @property
    def left_out(self) -> int:
        """How many log lines were left out because of the rate limit."""
        ...

    def counted(self, now: float, /) -> Counted:
        """What was counted of the records so far."""
        ...

    def consume(self, records: Sequence[Record], now: float) -> None:
        """Take records, in order. ``now`` is a monotonic clock in seconds."""
        ...
