"""Serves a recording instead of a market: each subscribe request gets its data from the beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.broadcaster import Broadcaster
    from kraken_trio.testing.exchange.state import ExchangeState
    from kraken_trio.testing.exchange.subscriptions import Connection, Subscription, Topic

__all__ = ["Replay"]

CHUNK: Final = 256
"""Frames that are sent at once when no rate is set."""


@attrs.define(eq=False)
class _Player:
    """The recording as served to one subscribe request."""

    connection: int
    topics: dict[Topic, Subscription]
    """The subscriptions that are still served."""
    due: float
    position: int = 0


class Replay:
    """All active players."""

    def __init__(self, state: ExchangeState, broadcaster: Broadcaster, rate: float | None) -> None:
        self._state = state
        self._broadcaster = broadcaster
        self._rate = rate
        self._players: list[_Player] = []

    @property
    def due(self) -> float | None:
        """When the next frame is due."""
        return min((player.due for player in self._players), default=None)

    def play(self, connection: Connection, subscriptions: list[Subscription], now: float) -> None:
        """Start the recording for what one request subscribed to."""
        wanted = {subscription.topic: subscription for subscription in subscriptions}
        self._players.append(_Player(connection.number, wanted, now))

    def tick(self, now: float) -> None:
        """Send what is due."""
        for player in list(self._players):
            if player.due <= now and not self._go_on(player, now):
                self._players.remove(player)

    def _go_on(self, player: _Player, now: float) -> bool:
        """Send the next frames. Returns whether there are more."""
        state = self._state
        connection = state.connections.get(player.connection)
        if connection is None or connection.frozen or state.recording is None:
            return False
        recorded = state.recording.frames
        for _ in range(CHUNK if self._rate is None else 1):
            while player.position < len(recorded):
                frame = recorded[player.position]
                topic = (frame.channel, frame.symbol)
                player.position += 1
                if topic in player.topics:
                    break
            else:
                return False
            subscription = player.topics[topic]
            if not state.subscriptions.is_in_force(subscription):
                del player.topics[topic]  # unsubscribed; a new subscription has its own player
                continue
            self._broadcaster.publish_recorded(subscription, frame.text)
        player.due = now if self._rate is None else max(player.due + 1 / self._rate, now)
        return True
