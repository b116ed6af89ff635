"""A key (a channel and a symbol) of a feed, and what a :mod:`~kraken_trio.broker.reader` knows of it.

What a message is to the key follows from both of their numbers: :class:`Relation`.
"""

from __future__ import annotations

import enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from kraken_trio._text import printable
from kraken_trio.broker.states import new_state
from kraken_trio.channels import CHANNELS, Kept
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.broker.messages import Batch, KeyFrame
    from kraken_trio.channels import ChannelState
    from kraken_trio.events import Event
    from kraken_trio.requests import Request
    from kraken_trio.statistics import Counters

__all__ = ["Relation", "TrackedKey"]

_symbol: Final = attrgetter("symbol")
_snapshot: Final = attrgetter("snapshot")


class Relation(enum.Enum):
    """What the numbers of a message are to those of its key."""

    FIRST = "nothing of the key was known before"
    STALE = "of a producer that was replaced"
    LATER = "of a producer that was not known before"
    BEHIND = "all of it is known"
    LEVEL = "what comes next (a key frame: what is known)"
    AHEAD = "what is before it is missing"


class TrackedKey:
    """A key, and what is known of it."""

    def __init__(self, request: Request[Any], counters: Counters) -> None:
        assert request.channel is not None  # the client answers that one itself
        self.request: Request[Any] = request
        self.channel: str = request.channel
        self.symbol: str | None = request.symbol
        self.cls: type[ChannelState] = CHANNELS[request.channel]
        self.is_cumulative: bool = self.cls.is_cumulative
        self._counters = counters
        self._has_numbers = True
        self.state: ChannelState = self.new_state()
        self.producer: int = -1
        """The latest that was heard of; -1 before the first."""
        self.expected: int = 0
        """The number of its next event."""
        self.is_whole: bool = False
        """Whether the state is known, or nothing has to be known of it."""
        self.is_heard: bool = False
        """Whether the start has been reached: from here on the feed gets what comes."""
        self.is_told: bool = True
        """Whether the feed knows that something may be missing here: it has not begun, or the last event was a gap."""
        self.announced: Gap | None = None
        """The last event, if that was a gap of the producer."""
        self.damage: str = ""
        """What was wrong with the last message, if it could not be read."""
        self.is_first: bool = False
        """(of a channel with history) Whether the first producer's history is coming."""
        self.had: Any = None
        """(of a channel with history) The newest event, while a later producer may tell what is older."""
        self.is_resumed: bool = False
        """Whether what was received before is to be left out, as far as it can be known."""
        self.has_news: bool = False
        """Whether anything of it that is of use came since :meth:`Reader.listen` looked last."""
        self.is_abandoned: bool = False
        """Whether the latest producer has been silent for so long that an earlier one may take its place."""
        self.silent_for: float = 0.0
        """For how many seconds nothing has come, while something could."""
        self.is_silent: bool = False
        """Whether the feed knows that nothing comes."""
        self.refusal: str = ""
        """What is published in the place of what was asked for, if it is so: nothing is taken of it."""
        self.has_begun: bool = False
        """Whether the feed has had anything of it."""
        self.last: Event | None = None
        """The latest event, for when and where something is missing."""

    def new_state(self) -> ChannelState:
        return new_state(self.cls, self.request, self._counters, numbers_trades=self._has_numbers)

    def restored(self, frame: KeyFrame) -> ChannelState:
        """The state in a key frame. Raises if there is none."""
        self.check(frame.events)
        if Gap in map(type, frame.events):
            msg = f"a key frame of {self} with a gap"
            raise ProtocolError(msg)
        if frame.events:
            self.fit(frame.events[0])
        state = self.new_state()
        state.restore(Kept(tuple(frame.events), frame.marks))
        return state

    def objection(self, published: Request[Any]) -> str:
        """Why what is published is of no use for what was asked for; empty if it is of use."""
        if (published.channel, published.symbol, published.variant) == (
            self.channel,
            self.symbol,
            self.request.variant,
        ):
            return ""
        return f"{published} is published now, and not {self.request}"

    def fit(self, event: Any) -> None:
        """Have a state for a protocol that numbers trades, or does not, as this event shows."""
        if self.cls.has_history and self._is_numbered(event) is not self._has_numbers:
            self._has_numbers = not self._has_numbers
            self.state = self.new_state()

    def _is_numbered(self, event: Any) -> bool:
        return self.cls.neighbours(event) != (None, None)

    def was_had(self, event: Any) -> bool:
        """Whether the feed has had this event of a later producer, or cannot get it any more."""
        had = self.had
        return bool(event.timestamp < had.timestamp or (event.timestamp == had.timestamp and not self._has_numbers))

    def check(self, events: Sequence[Any]) -> bool:
        """Whether the state can take all of these at once. Raises if one of them is not of this key."""
        classes = set(map(type, events))
        for cls in classes:
            if cls is not Gap and getattr(cls, "channel", None) != self.channel:
                break
        else:
            if not self.cls.has_symbols or set(map(_symbol, events)) <= {self.symbol}:
                return len(classes) == 1 and Gap not in classes and (not self.cls.has_history or self._is_plain(events))
        msg = f"a message of {self} with events of something else"
        raise ProtocolError(msg)

    def _is_plain(self, events: Sequence[Any]) -> bool:
        """(of a channel with history) Whether they are all history, or none is, and all are numbered as before."""
        return len(set(map(_snapshot, events))) == 1 and {self._has_numbers} == set(map(self._is_numbered, events))

    def lose(self) -> None:
        """Events are missing."""
        self.state.reset()
        if self.is_cumulative:
            self.is_whole = False

    def of_batch(self, batch: Batch) -> Relation:
        """The relation of a batch."""
        known = self._of_producer(batch.producer)
        if known is not None:
            return known
        if batch.seq > self.expected:
            return Relation.AHEAD
        return Relation.BEHIND if batch.seq + len(batch.events) <= self.expected else Relation.LEVEL

    def of_frame(self, producer: int, seq: int) -> Relation:
        """The relation of a key frame."""
        known = self._of_producer(producer)
        if known is not None:
            return known
        after = seq + 1
        return (
            Relation.LEVEL if after == self.expected else Relation.AHEAD if after > self.expected else Relation.BEHIND
        )

    def _of_producer(self, producer: int) -> Relation | None:
        if producer == self.producer:
            return None
        if self.producer < 0:
            return Relation.FIRST
        return Relation.STALE if producer < self.producer and not self.is_abandoned else Relation.LATER

    def hear(self) -> None:
        """Something of use came."""
        self.has_news = True
        self.is_abandoned = False

    def __str__(self) -> str:
        return self.channel if self.symbol is None else f"{self.channel} {printable(self.symbol, 40)}"
