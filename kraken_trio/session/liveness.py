"""Whether the peer lives.

Rules:

1. While at least one subscription is confirmed, only what the exchange *pushes* is life: a heartbeat comes every second
   then. An answer to a request of ours proves that somebody answers, not that data would come.
2. While nothing is confirmed no heartbeats come, and any frame is life.
3. While a full feed holds up reading, the peer's frames lie unread in the socket: its silence, and its late answers,
   are then ours. So silence is counted only while we listen, and, by rule 1, only while something is confirmed.
4. Before the peer is given up it is asked: an application ``ping``. The WebSocket itself is asked as well, however much
   comes: a peer may send, and not hear us.

Each deadline is one property; what is due at it is judged by that property alone.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from kraken_trio.session.timing import PausableClock

if TYPE_CHECKING:
    from kraken_trio.settings import Settings

__all__ = ["Liveness"]


class Liveness:
    """What was last heard of the peer, and when it is to be asked or given up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.listening = PausableClock()
        """Runs while we listen: whatever waits for the peer is measured on it."""
        self._exposed = PausableClock()
        """Runs while we listen and something is confirmed: then the exchange has to push."""
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

    # What happens

    def connected(self, now: float) -> None:
        """A new connection: nothing is confirmed on it."""
        self.expose(now, exposed=False)
        self._last_frame = self.listening.at(now)
        self._last_push = self._exposed.at(now)
        self._ping = None
        self._next_keepalive = now + self._settings.keepalive_interval
        self._pong_wanted_from = None

    def expose(self, now: float, *, exposed: bool) -> None:
        """Whether at least one subscription is confirmed. An answer that makes it so is no life by itself."""
        if exposed is not self.is_exposed:
            self.is_exposed = exposed
            self._set_exposed(now)

    def heard(self, now: float, *, pushed: bool) -> bool:
        """Frames came; ``pushed``: the exchange sent one of them by itself. Whether a deadline may be earlier now."""
        self._last_frame = self.listening.at(now)
        if pushed:
            self._last_push = self._exposed.at(now)
        if self._ping is not None and self._ping[1] < now - self._settings.silence_limit:
            self._ping = None  # its answer will not come; others did
            return True
        return False

    def hold(self, now: float) -> None:
        """We do not listen from now on. That holds across a loss, too, until :meth:`resume`."""
        self.listening.hold(now)
        self._set_exposed(now)

    def resume(self, now: float) -> None:
        """We listen again."""
        self.listening.resume(now)
        self._set_exposed(now)
        if self._pong_wanted_from is not None:
            self._pong_wanted_from = now  # it may stand behind all that lies unread

    def _set_exposed(self, now: float) -> None:
        if self.is_exposed and not self.listening.held:
            self._exposed.resume(now)
        else:
            self._exposed.hold(now)

    # The application ping

    @property
    def ping_due(self) -> float:
        """When the peer is to be asked."""
        again = self._last_ping + self._settings.ping_after
        if self.listening.held:
            return again  # nothing can be judged, but the peer hears that we live
        return inf if self._ping is not None else max(again, self._silent_for(self._settings.ping_after))

    def pinged(self, number: int, now: float) -> None:
        """A ping with this number is sent now."""
        self._ping = (number, now)
        self._last_ping = now

    def answered(self, req_id: int | None, now: float) -> None:
        """A pong came."""
        if self._ping is not None and req_id in (None, self._ping[0]):
            self.ping_seconds = now - self._ping[1]
            self._ping = None

    # Silence

    @property
    def silence_due(self) -> float:
        """When the peer is to be given up."""
        return self._silent_for(self._settings.silence_limit)

    def _silent_for(self, seconds: float) -> float:
        if self.is_exposed:
            return self._exposed.when(self._last_push + seconds)
        return self.listening.when(self._last_frame + seconds)

    # The WebSocket's own PING

    @property
    def keepalive_due(self) -> float:
        """When a WebSocket PING is to be sent."""
        return self._next_keepalive if self._pong_wanted_from is None else inf

    def keepalive_sent(self, now: float) -> None:
        """It is sent now."""
        self._pong_wanted_from = now

    def ponged(self, now: float) -> None:
        """It has been answered."""
        self._pong_wanted_from = None
        self._next_keepalive = now + self._settings.keepalive_interval

    @property
    def pong_due(self) -> float:
        """When the peer is to be given up because no PONG came."""
        if self._pong_wanted_from is None or self.listening.held:
            return inf
        return self._pong_wanted_from + self._settings.keepalive_timeout
