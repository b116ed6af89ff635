"""The exchange's subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from kraken_trio.testing.exchange.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kraken_trio.testing.exchange.budget import SnapshotBudget
    from kraken_trio.testing.exchange.dialects.base import Dialect, Slot
    from kraken_trio.testing.exchange.journal import ConnectionJournal

__all__ = ["Connection", "Subscription", "Subscriptions", "Topic"]

Topic: TypeAlias = "tuple[str, str | None]"
"""Channel and symbol."""


@attrs.define(eq=False, kw_only=True)
class Connection:
    """One client's connection."""

    number: int
    connection_id: int
    dialect: Dialect
    """The protocol that it speaks."""
    idle_since: float
    """When its last request came, or a subscription of its was ended."""
    journal: ConnectionJournal
    next_beat: float | None = None
    """When the next heartbeat is due; None before the first subscription."""
    frozen: bool = False
    """Whether nothing is sent to it or read from it."""
    silent: bool = False
    """Whether requests are answered, but nothing else is sent."""
    host: Host = Host.ALL
    budget: SnapshotBudget | None = None
    """For snapshots of Level 3; None before the first."""
    subscriptions: dict[Slot, Subscription] = attrs.Factory(dict)


@attrs.define(eq=False, kw_only=True)
class Subscription:
    """One subscription of one connection."""

    connection: Connection
    channel: str
    symbol: str | None
    variant: object
    live: bool = False
    """Whether its snapshot has been sent. Before that there are no updates."""
    muted: bool = False
    """Whether nothing is ever sent for it."""
    late: int | None = None
    """The number of updates still to be sent after it was unsubscribed."""
    token: str | None = None
    """The one it was made with."""
    options: Mapping[str, bool] = attrs.Factory(dict)
    sequence: int = 0
    """The number of its latest frame, in a private channel."""

    @property
    def topic(self) -> Topic:
        return (self.channel, self.symbol)

    @property
    def slot(self) -> Slot:
        """What its connection can have only once."""
        return self.connection.dialect.slot(self.channel, self.symbol, self.variant)


class Subscriptions:
    """All subscriptions, by topic and connection."""

    def __init__(self) -> None:
        self._by_topic: dict[Topic, dict[tuple[int, Slot], Subscription]] = {}

    def __iter__(self) -> Iterator[Subscription]:
        for group in list(self._by_topic.values()):
            yield from list(group.values())

    def matching(self, channel: str | None, symbol: str | None) -> list[Subscription]:
        """Those of this channel and symbol; None means any."""
        return [s for s in self if channel in (None, s.channel) and symbol in (None, s.symbol)]

    def of_topic(self, topic: Topic) -> list[Subscription]:
        """Those of one topic, by connection number, including late ones."""
        group = self._by_topic.get(topic)
        return list(group.values()) if group else []

    def variants(self, topic: Topic) -> frozenset[int]:
        """The subscribed depths (intervals) of one topic."""
        return frozenset(s.variant for s in self.of_topic(topic) if isinstance(s.variant, int))

    def find(self, connection: Connection, slot: Slot) -> Subscription | None:
        """The one in force, if there is one."""
        return connection.subscriptions.get(slot)

    def is_in_force(self, subscription: Subscription) -> bool:
        """Whether it has not been ended, or replaced."""
        return self.find(subscription.connection, subscription.slot) is subscription

    def add(self, subscription: Subscription) -> None:
        """Put it in force."""
        connection = subscription.connection
        connection.subscriptions[subscription.slot] = subscription
        self._by_topic.setdefault(subscription.topic, {})[connection.number, subscription.slot] = subscription

    def remove(self, subscription: Subscription, *, late: int | None = None) -> None:
        """End it. ``late`` is the number of updates that are still sent."""
        connection = subscription.connection
        if self.is_in_force(subscription):
            del connection.subscriptions[subscription.slot]
        subscription.late = late
        if late is None:
            self._drop(subscription)

    def _drop(self, subscription: Subscription) -> None:
        group = self._by_topic.get(subscription.topic, {})
        key = (subscription.connection.number, subscription.slot)
        if group.get(key) is subscription:
            del group[key]

    def spend_late(self, subscription: Subscription) -> bool:
        """One late update was sent. Returns whether it was the last."""
        assert subscription.late is not None
        subscription.late -= 1
        if subscription.late <= 0:
            self._drop(subscription)
            return True
        return False

    def drop_connection(self, connection: Connection) -> list[Subscription]:
        """Remove and return everything of this connection."""
        gone = [s for s in self if s.connection is connection]
        for subscription in gone:
            self.remove(subscription)
        return gone
