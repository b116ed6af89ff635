"""The seam between a session and the channels: what is remembered of one subscription's data.

A :class:`ChannelState` checks what comes, merges it, finds holes, starts a feed that comes later, and tells what is to
be expected. The session knows channels through this class only: it never asks which channel it has before it.

What is true of a whole channel are class attributes and static methods, so that whoever has only an event can ask them,
by ``CHANNELS[event.channel]``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.events import Cause, Event
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec

__all__ = ["ChannelState", "Failure", "View"]


@attrs.frozen
class Failure:
    """Why the data of a subscription cannot be trusted any more: it has to be subscribed anew."""

    cause: Cause
    detail: str
    """For people; printable."""
    evidence: ChecksumEvidence | None = None


class View(Protocol):
    """A consumer's own copy of what a channel's events amount to, as of the last event that was received."""

    def follow(self, event: Any, /) -> None:
        """Take the next event of its symbol, or the gap in its place. The event has been checked already."""
        ...

    def invalidate(self, why: str) -> None:
        """Let it not be read until its next snapshot."""
        ...


class ChannelState(ABC):
    """What is remembered of one subscription. Made with the request that is wanted."""

    __slots__ = ()

    # What is true of the channel

    must_verify: ClassVar[bool] = False
    """A subscription is as wanted only when its data has passed a check; elsewhere the exchange's yes is enough."""
    is_cumulative: ClassVar[bool] = False
    """What a program has is the sum of all events, so no update can be left out."""
    has_history: ClassVar[bool] = False
    """Its snapshots are history, of which each feed gets as much as it asked for."""
    can_conflate: ClassVar[bool] = True
    """The latest event can stand for those before it."""
    moves_with_trades: ClassVar[bool] = False
    """Every trade of the symbol makes an event here."""
    tells_of_trades: ClassVar[bool] = False
    """An event here means that the symbol has traded (but see :attr:`moves_with_prices`)."""

    @staticmethod
    def is_delta(event: Any, /) -> bool:
        """Whether ``event`` makes sense only with all that was before it."""
        del event
        return False

    @staticmethod
    def neighbours(event: Any, /) -> tuple[int | None, int | None]:
        """The numbers before and after ``event``, where the exchange numbers its events one by one."""
        del event
        return None, None

    @staticmethod
    def begins(event: Any, /) -> bool:
        """Whether ``event`` may be the first data of a subscription."""
        del event
        return True

    @classmethod
    def view(cls, request: Request[Any]) -> View | None:
        """A copy for one consumer, where the channel offers one."""
        del request
        return None

    # What is remembered

    @abstractmethod
    def __init__(self, request: Request[Any], counters: Counters, codec: Codec) -> None: ...

    @abstractmethod
    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        """The next events of this subscription, all of one frame: check them, and remember them.

        Returns what its feeds get, which may have gaps in it, and why the rest cannot be trusted, if that is so. Where
        all is as it came, the very sequence ``events`` is returned.
        """

    @abstractmethod
    def start(self, request: Request[Any]) -> Sequence[Event]:
        """What a feed that asks for ``request`` now gets first."""

    def rebuild(self) -> Event | None:
        """(cumulative) All events so far as one; None while that is not known."""
        return None

    @abstractmethod
    def reset(self) -> None:
        """Events were missed: what is remembered is not the present any more."""

    @property
    @abstractmethod
    def last_received_ns(self) -> int:
        """When the last event was received; 0 before the first."""

    # What is to be expected

    @property
    def owes_data(self) -> bool:
        """Whether data must follow the exchange's yes."""
        return True

    @property
    def moves_with_prices(self) -> bool:
        """Whether a change of the best prices makes an event here, without a trade as well."""
        return False

    @property
    def trade_count(self) -> int:
        """A number that grows by one with each trade; 0 where trades are not numbered."""
        return 0
