"""The seam between a session and the channels: the state of one subscription's data.

A :class:`ChannelState` verifies incoming events, merges them, detects missing ones, gives a feed that joins later its
first events, and says what data is to be expected. The session uses channels through this class only; it never depends
on which channel it is.

Properties of a whole channel are class attributes and static methods, so they are available by
``CHANNELS[event.channel]`` to code that has only an event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kraken_trio.book.core import FramePath
    from kraken_trio.events import Cause, Event
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec
    from kraken_trio.wire.rest import Answer, Query

__all__ = ["ChannelState", "Failure", "Kept", "View"]


@attrs.frozen
class Failure:
    """Why the data of a subscription cannot be trusted: it has to be resubscribed."""

    cause: Cause
    detail: str
    """For people; printable."""
    evidence: ChecksumEvidence | None = None


@attrs.frozen
class Kept:
    """All that must be known of a state to continue from it: of a recording's key frames."""

    events: tuple[Event, ...] = ()
    """The data, as events."""
    marks: Mapping[str, int] = attrs.Factory(dict)
    """What else there is, by names of the channel's own."""


class View(Protocol):
    """A consumer's own copy of a channel's cumulative state, as of the last event that was received."""

    def follow(self, event: Any, /) -> None:
        """Apply the next event of its symbol, or the gap in its place. The event has been verified already."""
        ...

    def follow_all(self, events: Sequence[Any], latest: Callable[[], Event | None], /) -> None:
        """The same for several, at least one. ``latest`` returns the state after the last of them, if it is known."""
        ...

    def invalidate(self, why: str) -> None:
        """Make it unreadable until its next snapshot."""
        ...


class ChannelState(ABC):
    """The state of one subscription's data, constructed with the wanted request."""

    __slots__ = ()

    # Properties of the channel

    must_verify: ClassVar[bool] = False
    """Whether a subscription is settled only when its first data has verified; otherwise the confirmation is enough."""
    is_cumulative: ClassVar[bool] = False
    """Whether a program's state is the sum of all events, so that no update can be left out."""
    has_history: ClassVar[bool] = False
    """Whether its snapshots are history, of which each feed gets as much as it asked for."""
    can_conflate: ClassVar[bool] = True
    """Whether the latest event can replace the earlier ones."""
    moves_with_trades: ClassVar[bool] = False
    """Whether every trade of the symbol causes an event here."""
    tells_of_trades: ClassVar[bool] = False
    """Whether an event here means that the symbol has traded (but see :attr:`moves_with_prices`)."""
    has_symbols: ClassVar[bool] = True
    """Whether it is subscribed to by symbol; if not, its events may have symbols all the same."""
    asks: ClassVar[bool] = False
    """Whether a state may have :meth:`queries`."""

    @staticmethod
    def is_delta(event: Any, /) -> bool:
        """Whether ``event`` can be used only together with all earlier ones."""
        del event
        return False

    @staticmethod
    def neighbours(event: Any, /) -> tuple[int | None, int | None]:
        """The sequence numbers before and after ``event``, where the exchange numbers its events."""
        del event
        return None, None

    @staticmethod
    def how_to_recover(first: Any, last: Any, /) -> str:
        """Where the events from ``first`` to ``last``, which a full feed has dropped, can be got; empty if nowhere."""
        del first, last
        return ""

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

    @classmethod
    def keep_view(cls, view: Any, /) -> Kept:
        """What a new state needs to continue from where such a view is; without events while its state is unknown."""
        del view
        return Kept()

    @classmethod
    def frame_path(
        cls, codec: Codec, subscriptions: dict[str | None, Any], live: object, counters: Counters
    ) -> FramePath | None:
        """A shorter way for the usual frames, where the channel offers one.

        It takes frames of those ``subscriptions`` (by symbol) whose ``step`` is ``live``, for their ``audience``; each
        has a place, ``kept``, for what the path finds out about it, which is emptied with a new ``state``.
        """
        del codec, subscriptions, live, counters
        return None

    # The state

    @abstractmethod
    def __init__(self, request: Request[Any], counters: Counters, codec: Codec) -> None: ...

    @abstractmethod
    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        """Verify and store the next events of this subscription, all from one frame.

        Returns what is delivered to its feeds, which may include gaps, and a :class:`Failure` if the rest cannot be
        trusted. If nothing was changed, the identical sequence ``events`` is returned.
        """

    def holds(self, events: Sequence[Any]) -> bool:
        """Whether ``events`` are a part of the first data, which waits for the rest; :meth:`take` then has all of it.

        It is asked before the first data are taken; what is held counts neither as data nor as the exchange's answer.
        """
        del events
        return False

    @abstractmethod
    def start(self, request: Request[Any]) -> Sequence[Event]:
        """The first events for a feed that asks for ``request`` now."""

    def rebuild(self) -> Event | None:
        """(cumulative) All events so far as one event; None while the state is unknown."""
        return None

    @abstractmethod
    def keep(self) -> Kept:
        """What a new state of the same request needs to continue from here: see :meth:`restore`."""

    def restore(self, kept: Kept) -> None:
        """Continue from where another state was: called once, before anything else.

        Raises :class:`~kraken_trio.ProtocolError` if that is no state of this channel.
        """
        if kept.events:
            self.take(kept.events)

    @abstractmethod
    def reset(self) -> None:
        """Events were missed: the stored state is out of date."""

    @property
    @abstractmethod
    def last_received_ns(self) -> int:
        """When the last event was received; 0 before the first."""

    # Questions to REST

    def queries(self) -> Sequence[Query]:
        """What it needs to know now. It is asked, and each question is answered once: see :meth:`answer`."""
        return ()

    def answer(self, query: Query, answer: Answer) -> tuple[Sequence[Event], Failure | None]:
        """Take the answer to one of :meth:`queries`. Returns what :meth:`take` does."""
        del query, answer
        return (), None

    # Expected data

    @property
    def owes_data(self) -> bool:
        """Whether data must follow the exchange's confirmation."""
        return True  # mutant: owed data

    @property
    def moves_with_prices(self) -> bool:
        """Whether a change of the best prices causes an event here even without a trade."""
        return False

    @property
    def trade_count(self) -> int:
        """A number that grows by one with each trade; 0 where trades are not numbered."""
        return 0
