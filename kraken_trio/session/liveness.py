"""Detection of dead connections.

Rules:

1. While at least one subscription is confirmed, only frames that the exchange *pushes* count as life: it then sends a
   heartbeat every second. Answers to our requests show that somebody answers, not that data would come.
2. While nothing is confirmed there are no heartbeats, and any frame counts.
3. While a full feed holds up reading, frames wait unread in the socket, so missing frames and late answers prove
   nothing. Silence is counted only while we listen, and, by rule 1, only while something is confirmed.
4. Before the connection is dropped, an application ``ping`` is sent. WebSocket PINGs are sent in any case: they detect
   a peer that sends but no longer receives.

Each deadline is one property, which is also the only condition for what is done then.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from kraken_trio.session.timing import PausableClock

if TYPE_CHECKING:
    from kraken_trio.settings import Settings

__all__ = ["Liveness"]


class Liveness:
    """When the last frames came, and when a ping or a drop is due."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.listening: PausableClock = PausableClock()
        """Runs while we listen: all waits for the peer are measured on it."""
        self._exposed = PausableClock()
        """Runs while we listen and something is confirmed, so that the exchange has to push."""
        self._exposed.hold(0.0)
        self.is_exposed: bool = False
        """Whether at least one subscription is confirmed, so that the exchange has to push."""
        self._last_frame: float = 0.0  # on the listening clock
        self._last_push: float = 0.0  # on the exposed clock
        self._ping: tuple[int, float] | None = None  # the awaited one, and when it was sent
        self._last_ping: float = -inf
        self.ping_seconds: float | None = None
        """How long the last application ping took."""
        self._next_keepalive: float = inf
        self._pong_wanted_from: float | None = None  # since when its absence counts

    # Events

    def connected(self, now: float) -> None:
        """Start with a new connection, on which nothing is confirmed."""
        self.expose(now, exposed=False)
        self._last_frame = self.listening.at(now)
        self._last_push = self._exposed.at(now)
        self._ping = None
        self._next_keepalive = now + self._settings.keepalive_interval
        self._pong_wanted_from = None

    def expose(self, now: float, *, exposed: bool) -> None:
        """Set whether at least one subscription is confirmed. The confirmation itself does not count as life."""
        if exposed is not self.is_exposed:
            self.is_exposed = exposed
            self._set_exposed(now)

    def received(self, now: float, *, pushed: bool) -> bool:
        """Note that frames were received, and whether one of them was ``pushed`` rather than an answer.

        Returns whether a deadline may be earlier now.
        """
        self._last_frame = self.listening.at(now)
        if pushed:
            self._last_push = self._exposed.at(now)
        if self._ping is not None and self._ping[1] < now - self._settings.silence_limit:
            self._ping = None  # its pong will not come, though other frames did
            return True
        return False

    def hold(self, now: float) -> None:
        """Stop listening, until :meth:`resume`, even across a lost connection."""
        self.listening.hold(now)
        self._set_exposed(now)

    def resume(self, now: float) -> None:
        """Listen again."""
        self.listening.resume(now)
        self._set_exposed(now)
        if self._pong_wanted_from is not None:
            # mutant: unread pong
            self._pong_wanted_from = now  # the PONG may be behind frames that are still unread

    def _set_exposed(self, now: float) -> None:
        if self.is_exposed and not self.listening.held:  # mutant: exposed
            self._exposed.resume(now)
        else:
            self._exposed.hold(now)

    # The application ping

    @property
    def ping_due(self) -> float:
        """When an application ping is due."""
        again = self._last_ping + self._settings.ping_after
        if self.listening.held:
            return again  # we cannot judge the peer, but keep the connection alive for it
        return inf if self._ping is not None else max(again, self._silent_for(self._settings.ping_after))

    def pinged(self, number: int, now: float) -> None:
        """Note that a ping with this ``req_id`` is sent now."""
        self._ping = (number, now)
        self._last_ping = now

    def answered(self, req_id: int | None, now: float) -> None:
        """Note a pong."""
        if self._ping is not None and req_id in (None, self._ping[0]):  # mutant: pong
            self.ping_seconds = now - self._ping[1]
            self._ping = None

    # Silence

    @property
    def silence_due(self) -> float:
        """When the connection is dropped because of silence."""
        return self._silent_for(self._settings.silence_limit)

    def _silent_for(self, seconds: float) -> float:
        if self.is_exposed:
            return self._exposed.when(self._last_push + seconds)
        return self.listening.when(self._last_frame + seconds)

    # The WebSocket's own PING

    @property
    def keepalive_due(self) -> float:
        """When a WebSocket PING is due."""
        return self._next_keepalive if self._pong_wanted_from is None else inf

    def keepalive_sent(self, now: float) -> None:
        """Note that a PING is sent now."""
        self._pong_wanted_from = now

    def ponged(self, now: float) -> None:
        """Note its PONG."""
        self._pong_wanted_from = None
        self._next_keepalive = now + self._settings.keepalive_interval

    @property
    def pong_due(self) -> float:
        """When the connection is dropped because the PONG is missing."""
        if self._pong_wanted_from is None or self.listening.held:
            return inf
        return self._pong_wanted_from + self._settings.keepalive_timeout
