"""What a runtime tells a session, as values: all but the frames. So it can be recorded, and told again.

``now`` is a monotonic clock in seconds, as for every call of a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from kraken_trio.session.deliveries import Effects

if TYPE_CHECKING:
    from collections.abc import Hashable

    from kraken_trio.errors import ConnectError
    from kraken_trio.events import Cause
    from kraken_trio.requests import Request
    from kraken_trio.session.session import Session
    from kraken_trio.wire.rest import Answer, Query

__all__ = [
    "Added",
    "Answered",
    "Authorised",
    "BudgetSpent",
    "Closed",
    "ConnectFailed",
    "Connected",
    "Held",
    "Input",
    "Lost",
    "Opened",
    "Ponged",
    "Removed",
    "Resumed",
    "Retried",
    "Ticked",
]


@attrs.frozen
class Opened:
    """The client is opened; the first attempt to connect is made."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.open(now)


@attrs.frozen
class Retried:
    """Another attempt to connect is made."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.retry(now)


@attrs.frozen
class BudgetSpent:
    """The attempt that is due has to wait for the connect budget."""

    why: str

    def tell(self, session: Session, now: float) -> Effects:
        return session.budget_spent(self.why, now)


@attrs.frozen
class Connected:
    """The attempt succeeded."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.connected(now)


@attrs.frozen
class ConnectFailed:
    """The attempt failed."""

    error: ConnectError
    wall_ns: int | None = attrs.field(default=None, eq=False)
    """When, by the wall clock."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.connect_failed(self.error, now, wall_ns=self.wall_ns)


@attrs.frozen
class Lost:
    """The connection is lost."""

    cause: Cause
    detail: str
    code: int | None
    """The peer's close code, if there was one."""
    wall_ns: int | None = attrs.field(default=None, eq=False)
    """When, by the wall clock."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.disconnected(self.cause, self.detail, now, code=self.code, wall_ns=self.wall_ns)


@attrs.frozen
class Added:
    """A feed wants these."""

    feed: Hashable
    requests: tuple[Request[Any], ...]

    def tell(self, session: Session, now: float) -> Effects:
        return session.add(self.feed, self.requests, now)


@attrs.frozen
class Answered:
    """A question to the exchange's REST interface has been answered."""

    query: Query
    answer: Answer

    def tell(self, session: Session, now: float) -> Effects:
        return session.answered(self.query, self.answer, now)


@attrs.frozen
class Authorised:
    """There is another token for this connection."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.authorised(now)


@attrs.frozen
class Removed:
    """A feed is gone."""

    feed: Hashable

    def tell(self, session: Session, now: float) -> Effects:
        return session.remove(self.feed, now)


@attrs.frozen
class Ticked:
    """The session's deadline has come."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.tick(now)


@attrs.frozen
class Held:
    """A full feed holds up reading."""

    def tell(self, session: Session, now: float) -> Effects:
        session.hold(now)
        return Effects()


@attrs.frozen
class Resumed:
    """Reading continues."""

    def tell(self, session: Session, now: float) -> Effects:
        session.resume(now)
        return Effects()


@attrs.frozen
class Ponged:
    """The PONG to a WebSocket PING came."""

    def tell(self, session: Session, now: float) -> Effects:
        session.ponged(now)
        return Effects()


@attrs.frozen
class Closed:
    """The program leaves the client's block."""

    def tell(self, session: Session, now: float) -> Effects:
        return session.close(now)


Input: TypeAlias = (
    Opened
    | Retried
    | BudgetSpent
    | Connected
    | ConnectFailed
    | Lost
    | Added
    | Answered
    | Authorised
    | Removed
    | Ticked
    | Held
    | Resumed
    | Ponged
    | Closed
)
