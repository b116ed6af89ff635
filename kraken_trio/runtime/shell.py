"""The seams around what runs a client: who uses it, and who is told what it does.

A :class:`Shell` drives something that has events, and puts them into feeds. The one that there is owns a socket
(:mod:`kraken_trio.runtime.actor`). Nothing here knows of sockets: what plays a recording, or reads from a broker, is a
shell as well, and the same :class:`~kraken_trio.Client` is the facade of each.

A :class:`Telemetry` is given to a shell, and is told as values what happens: log lines, metrics and traces are made of
them elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kraken_trio.events import ConnectionState, Event
    from kraken_trio.runtime.feed import FeedSender
    from kraken_trio.runtime.overflow import Key
    from kraken_trio.session.records import Record
    from kraken_trio.statistics import ClientStatistics

__all__ = ["Shell", "Telemetry"]


class Shell(Protocol):
    """What a client is a facade over."""

    @property
    def name(self) -> str:
        """Where the events come from, for messages and logs: printable, and without anything secret."""
        ...

    @property
    def max_capacity(self) -> int:
        """The largest capacity of a feed (:attr:`Settings.max_capacity <kraken_trio.Settings>`)."""
        ...

    @property
    def state(self) -> ConnectionState:
        """The state now."""
        ...

    @property
    def system_status(self) -> str | None:
        """The exchange's last word about its engine; None before the first."""
        ...

    def statistics(self) -> ClientStatistics:
        """All numbers, as of now."""
        ...

    async def wait_for(self, states: Collection[ConnectionState]) -> ConnectionState:
        """Wait until one of ``states`` is reached, and return it. One that is only passed through counts.

        Raises what ended the shell, if it has ended before.
        """
        ...

    async def attach(self, sender: FeedSender) -> None:
        """Put the events of ``sender.requests`` into ``sender``, until its other end is closed.

        Returns when the requests are in force. Raises :class:`~kraken_trio.SubscriptionRejected` if one of them is
        refused, and what ended the shell, if it has ended before; whoever called closes the other end then.
        """
        ...

    def rebuild(self, key: Key, /) -> Event | None:
        """All events of a book (or of the reference data) that were put into feeds so far, as one that starts anew.

        None while that is not known: then its feeds have got a gap.
        """
        ...


class Telemetry(Protocol):
    """What is told what a session does."""

    @property
    def left_out(self) -> int:
        """How many log lines were left out, because there would have been too many."""
        ...

    def consume(self, records: Sequence[Record], now: float) -> None:
        """Take what has happened, in order. ``now`` is the time that the session was told, in seconds."""
        ...
