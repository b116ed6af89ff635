"""Who has subscribed to what: the exchange's registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kraken_trio.testing.exchange.journal import ConnectionJournal

__all__ = ["Connection", "Subscription", "Subscriptions", "Topic"]

Topic: TypeAlias = "tuple[str, str | None]"
"""Channel and symbol."""


@attrs.define(eq=False, kw_only=True)
class Connection:
    """One client's connection, as the exchange sees it."""

    number: int
    connection_id: int
    last_request: float
    journal: ConnectionJournal
    next_beat: float | None = None
    """When the next heartbeat is due; None before the first subscription."""
    frozen: bool = False
    """Nothing is sent to it or read from it."""
    silent: bool = False
    """Requests are answered, and nothing else is sent."""
    speaks_v1: bool = False
    """It is one of Kraken's older protocol, which this exchange only greets in."""
    subscriptions: dict[Topic, Subscription] = attrs.Factory(dict)


@attrs.define(eq=False, kw_only=True)
class Subscription:
    """One subscription of one connection."""

    connection: Connection
    channel: str
    symbol: str | None
    variant: object
    live: bool = False
    """Has its snapshot gone out? Before that there are no updates."""
    muted: bool = False
    """Nothing is ever sent for it."""
    late: int | None = None
    """It was unsubscribed, and this many updates still come."""

    @property
    def topic(self) -> Topic:
        return (self.channel, self.symbol)


class Subscriptions:
    """All subscriptions, by topic and connection."""

    def __init__(self) -> None:
        self._by_topic: dict[Topic, dict[int, Subscription]] = {}

    def __iter__(self) -> Iterator[Subscription]:
        for group in list(self._by_topic.values()):
            yield from list(group.values())

    def matching(self, channel: str | None, symbol: str | None) -> list[Subscription]:
        """Those of this channel and symbol; None means any."""
        return [s for s in self if channel in (None, s.channel) and symbol in (None, s.symbol)]

    def of_topic(self, topic: Topic) -> list[Subscription]:
        """Those of one topic, by connection number; late ones too."""
        group = self._by_topic.get(topic)
        return list(group.values()) if group else []

    def variants(self, topic: Topic) -> frozenset[int]:
        """The depths (intervals) of one topic that somebody has."""
        return frozenset(s.variant for s in self.of_topic(topic) if isinstance(s.variant, int))

    def find(self, connection: Connection, topic: Topic) -> Subscription | None:
        """The one in force, if there is one."""
        return connection.subscriptions.get(topic)

    def add(self, subscription: Subscription) -> None:
        """It is in force from now on."""
        connection = subscription.connection
        connection.subscriptions[subscription.topic] = subscription
        self._by_topic.setdefault(subscription.topic, {})[connection.number] = subscription

    def remove(self, subscription: Subscription, *, late: int | None = None) -> None:
        """It is not in force any more. With ``late``, so many updates are still sent."""
        connection = subscription.connection
        if connection.subscriptions.get(subscription.topic) is subscription:
            del connection.subscriptions[subscription.topic]
        subscription.late = late
        if late is None:
            self._drop(subscription)

    def _drop(self, subscription: Subscription) -> None:
        group = self._by_topic.get(subscription.topic, {})
        if group.get(subscription.connection.number) is subscription:
            del group[subscription.connection.number]

    def spend_late(self, subscription: Subscription) -> bool:
        """One late update was sent. Returns whether it was the last."""
        assert subscription.late is not None
        subscription.late -= 1
        if subscription.late <= 0:
            self._drop(subscription)
            return True
        return False

    def drop_connection(self, connection: Connection) -> list[Subscription]:
        """Forget everything of this connection; returns what that was."""
        gone = [s for s in self if s.connection is connection]
        for subscription in gone:
            self.remove(subscription)
        return gone
