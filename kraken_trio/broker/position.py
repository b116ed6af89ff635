"""Where a reader is: for each partition of the broker's log, the next message, and how much of it has been received.

A program stores a :class:`Position` beside what it made of the events, and continues from it:
``open_stream(…, start=position)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.broker.subjects import Key

__all__ = ["Place", "Position", "Start", "Taken", "begin_at"]


class Place(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A place in one partition: that message is the next, from this event of it on."""

    offset: int
    """Of the message: the sequence of NATS's stream, the offset of a partition of Kafka."""
    index: int = 0
    """How many of its events have been received."""
    log: str = ""
    """Which stream or topic it is a place of, for another one of the same name may be made later: of NATS, when it was
    made; of Kafka, its topic id. Empty: not known."""

    @property
    def begun(self) -> int:
        """Messages before this offset have been received, at least in part."""
        return self.offset + bool(self.index)


class _Text(msgspec.Struct, kw_only=True):
    v: int = 1
    stream: str
    places: dict[int, Place]


@attrs.frozen
class Position:
    """The place after the last received event, in every partition. As text (``str``) it can be stored anywhere."""

    stream: str
    """The name of the stream (NATS) or the topic (Kafka)."""
    places: Mapping[int, Place]
    """By partition; NATS has one, 0."""

    def __str__(self) -> str:
        return msgspec.json.encode(_Text(stream=self.stream, places=dict(sorted(self.places.items())))).decode()

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position of this text. Raises :class:`~kraken_trio.ProtocolError` if it is none."""
        try:
            found = _decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as error:
            msg = f"this is no position of a feed: {printable(error)}"
            raise ProtocolError(msg) from None
        if found.v != 1 or any(place.offset < 0 or place.index < 0 for place in found.places.values()):
            msg = "this is no position of a feed that this version knows"
            raise ProtocolError(msg)
        return cls(found.stream, found.places)


@attrs.frozen
class Start:
    """Where reading begins: at most one is given. None of both: at what is stored next."""

    time_ns: int | None = None
    """The first message that was stored at or after this time."""
    places: Mapping[int, Place] | None = None
    """By partition; one that is missing here begins with what is stored next."""


def begin_at(place: Place, low: int, high: int, log: str) -> tuple[Place, bool]:
    """Where reading begins for who wants to go on at ``place``, and whether something before that is missing.

    In this ``log`` are the messages from ``low`` to before ``high``.
    """
    if place.log and log and place.log != log:
        return Place(low, 0, log), True
    if low <= place.offset and place.begun <= high:
        return Place(place.offset, place.index, log), False
    # One that is not there yet is of a log of before, too.
    return Place(low if place.offset < low else high, 0, log), True


@attrs.frozen
class Taken:
    """Where a source really begins, by partition."""

    starts: Mapping[int, Place]
    """From here on everything is to be delivered; what comes before is to find the state as of here."""
    expired: frozenset[int] = frozenset()
    """Partitions in which messages from the wanted place on are no longer stored; or whose log is another one of the
    same name: then it is read from its beginning, or, if only the missing place tells, from what is stored next."""
    partition_of: Mapping[Key, int] = attrs.Factory(dict)
    """The partition of each key, where there is more than one; otherwise 0."""


_decode: Any = msgspec.json.Decoder(_Text).decode
