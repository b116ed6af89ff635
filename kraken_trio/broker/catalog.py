"""What is published, by the catalogs of all shards; and the exchange's status, which each of them tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from kraken_trio._text import printable
from kraken_trio.broker.messages import Catalog, decode_batch, decode_catalog, decode_key_frame
from kraken_trio.broker.subjects import Kind
from kraken_trio.errors import ProtocolError
from kraken_trio.events import StatusUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.broker.subjects import Subject
    from kraken_trio.requests import Request

__all__ = ["Published", "Statuses", "published"]

_FRESH_FOR: Final = 60.0
"""Seconds. Catalogs that are older than the newest one by more than this, and by more than :data:`_FRESH_FRAMES` times
their interval, are of shards that are gone: there were more of them once."""
_FRESH_FRAMES: Final = 12
_SHOWN: Final = 20
"""How many requests are named to whom asked for something else."""
_KEYFRAME_EVERY: Final = 5.0
"""Seconds, if nothing is published."""


class Stored(Protocol):
    """What has to be known of a message here."""

    @property
    def subject(self) -> Subject: ...
    @property
    def data(self) -> bytes: ...
    @property
    def time_ns(self) -> int: ...


@attrs.frozen
class Published:
    """What is published."""

    requests: tuple[Request[Any], ...] = ()
    keyframe_every: float = _KEYFRAME_EVERY
    """The longest of all shards, in seconds."""
    problem: str = ""
    """Why a catalog could not be read, if one could not."""
    has_relay: bool = attrs.field(default=False, eq=False)
    """Whether a relay has told what it publishes, though it be nothing."""

    def refusal(self, request: Request[Any]) -> str | None:
        """Why this cannot be had, and what can; None if it can, or if the client answers it itself."""
        if request.channel is None:
            return None
        same_key = [one for one in self.requests if (one.channel, one.symbol) == (request.channel, request.symbol)]
        if any(one.variant == request.variant for one in same_key):
            return None
        if not self.requests and self.has_relay:
            return f"a relay was here, but publishes nothing{_because(self.problem)}: is it connected to the exchange?"
        if not self.requests:
            return f"nothing is published here{_because(self.problem)}: is a relay running, and is this its stream?"
        if same_key:
            return f"it is published as {', '.join(map(str, same_key))}"
        near = [one for one in self.requests if request.symbol is not None and one.symbol == request.symbol]
        near = near or [one for one in self.requests if one.channel == request.channel] or list(self.requests)
        shown = ", ".join(sorted(map(str, near))[:_SHOWN])
        more = len(self.requests) - min(len(near), _SHOWN)
        return f"it is not published{_because(self.problem)}; there is {shown}" + (f" and {more} more" if more else "")


def _because(problem: str) -> str:
    return f" ({problem})" if problem else ""


def published(catalogs: Iterable[Stored]) -> Published:
    """What is published, by the newest catalog of each shard."""
    problem = ""
    found: list[tuple[int, Catalog]] = []
    for message in catalogs:
        try:
            found.append((message.time_ns, decode_catalog(message.data)))
        except ProtocolError as error:
            problem = f"the catalog of shard {message.subject.shard} is {printable(error)}"
    newest_ns = max((time_ns for time_ns, _ in found), default=0)
    fresh = [
        catalog
        for time_ns, catalog in found
        if (newest_ns - time_ns) / 1e9 <= max(_FRESH_FOR, _FRESH_FRAMES * catalog.keyframe_every)
    ]
    requests = dict.fromkeys(request for catalog in fresh for request in catalog.requests)
    return Published(
        requests=tuple(requests),
        keyframe_every=max((catalog.keyframe_every for catalog in fresh), default=_KEYFRAME_EVERY),
        problem=problem,
        has_relay=bool(fresh),
    )


class Statuses:
    """The exchange's status, as all producers tell it: each change of it once."""

    def __init__(self) -> None:
        self.latest: StatusUpdate | None = None
        """None before the first."""

    def take(self, messages: Iterable[Stored]) -> Sequence[StatusUpdate]:
        """Messages about :data:`~kraken_trio.broker.subjects.LIFECYCLE`. Returns what is new."""
        found: list[StatusUpdate] = []
        for message in messages:
            decode = decode_batch if message.subject.kind is Kind.DATA else decode_key_frame
            try:
                events = decode(message.data).events
            except ProtocolError:
                continue  # the next key frame says it
            for event in events:
                if isinstance(event, StatusUpdate):
                    found += self._take(event)
        return found

    def _take(self, status: StatusUpdate) -> Sequence[StatusUpdate]:
        known = self.latest
        if known is not None and status.received_ns < known.received_ns:
            return ()  # of a producer that is late, or of a key frame
        self.latest = status
        return () if known is not None and _said(status) == _said(known) else (status,)


def _said(status: StatusUpdate) -> tuple[object, ...]:
    """What a status says, whoever received it and when."""
    return status.system, status.version, status.api_version, status.notices
