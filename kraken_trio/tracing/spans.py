"""What of a client's records is a span: which begin, which end, and what leads from one to another.

Pure: records in, changes of spans out. A span is a number here; whoever makes real ones of them keeps those that are
open. Everything in one call happens at the time of that call.

1. Each span that has begun ends once: by what ended it, or when the client's block is left.
2. A parent or a link is a span that is open.
3. At most so many are open: one outage; one attempt, and one phase of it; for each subscription one subscribe, and one
   resync. A span has at most :data:`MAX_LINKS` links and as many events; what is beyond that is counted only.

Texts are escaped here.
"""

from __future__ import annotations

from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio._text import printable
from kraken_trio.events import Cause, ConnectionState, StateChange
from kraken_trio.session.records import (
    AttemptDelayed,
    AttemptFailed,
    ClientLeft,
    Parked,
    PhaseBegun,
    Record,
    RequestRefused,
    Resynced,
    StateChanged,
    StepTaken,
    SubscriptionBegun,
)
from kraken_trio.session.steps import Happening, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kraken_trio.errors import ConnectError
    from kraken_trio.requests import Request

__all__ = ["MAX_LINKS", "Begun", "Change", "Ended", "Linked", "Noted", "Spans", "Value"]

MAX_LINKS: Final = 100
"""How many links, and how many events, a span has at most: OpenTelemetry's own limit is 128 of each."""
_TEXT: Final = 500
"""How many characters of a text are kept."""

Value: TypeAlias = str | int | float | bool


@attrs.frozen
class Begun:
    """A span begins."""

    span: int
    name: str
    attributes: Mapping[str, Value]
    parent: int | None = None
    links: tuple[int, ...] = ()


@attrs.frozen
class Linked:
    """A span gets a link to another one."""

    span: int
    to: int


@attrs.frozen
class Noted:
    """Something happens within a span."""

    span: int
    name: str
    attributes: Mapping[str, Value]


@attrs.frozen
class Ended:
    """A span ends."""

    span: int
    attributes: Mapping[str, Value]
    error: str | None = None
    """What went wrong; None if nothing did."""


Change: TypeAlias = Begun | Linked | Noted | Ended
_Key: TypeAlias = tuple[str | None, str | None]

_CONNECTED: Final = frozenset({ConnectionState.SUBSCRIBED, ConnectionState.RESYNCING})
_GIVEN_UP: Final = frozenset({Happening.UNWANTED, Happening.DROPPED, Happening.LEFT_FOR_GOOD, Happening.LOST_FOR_GOOD})
"""Nobody wants it any more: that is no error."""
_NOTHING_MORE: Final[Mapping[str, Value]] = MappingProxyType({})
_ENDS_RESYNC: Final = frozenset({Happening.REFUSED, Happening.LOST})


@attrs.define
class _Outage:
    span: int
    links: int = 0
    notes: int = 0
    losses: int = 1
    attempts: int = 0
    resyncs: int = 0


class Spans:
    """The spans of one client."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._changes: list[Change] = []
        self._outage: _Outage | None = None
        self._attempt: int | None = None
        self._phase: tuple[int, str] | None = None
        self._attempts: int = 0
        """In a row, without a connection."""
        self._subscribes: dict[_Key, int] = {}
        self._resyncs: dict[_Key, int] = {}
        self._refusal: RequestRefused | None = None
        """The latest."""

    @property
    def open(self) -> int:
        """How many are open."""
        alone = (self._outage, self._attempt, self._phase)
        return len(self._subscribes) + len(self._resyncs) + sum(span is not None for span in alone)

    def take(self, records: Iterable[Record]) -> list[Change]:
        """What follows from these records, in order."""
        for record in records:
            match record:
                case StepTaken():
                    self._stepped(record)
                case Resynced():
                    self._resynced(record)
                case RequestRefused():
                    self._refusal = record
                case Parked(request=request, detail=detail):
                    self._end_of(self._resyncs, request, "parked", printable(detail, _TEXT))
                case SubscriptionBegun(request=request):
                    self._end_of(self._resyncs, request, "unwanted")  # it begins again, with an empty state
                    self._end_of(self._subscribes, request, "unwanted")
                case StateChanged(change=change):
                    self._changed(change)
                case PhaseBegun(phase=phase):
                    self._phase_begun(phase)
                case AttemptFailed(error=error):
                    self._failed(error)
                case AttemptDelayed(why=why):
                    self._note_outage("kraken_trio.attempt.delayed", {"kraken_trio.detail": printable(why, _TEXT)})
                case ClientLeft():
                    self._close()
                case _:
                    pass
        changes, self._changes = self._changes, []
        return changes

    # Any span

    def _begin(
        self, name: str, attributes: Mapping[str, Value], parent: int | None = None, links: tuple[int, ...] = ()
    ) -> int:
        span = next(self._numbers)
        self._changes.append(Begun(span, f"kraken_trio.{name}", attributes, parent, links))
        return span

    def _end(
        self, span: int, outcome: str, error: str | None = None, more: Mapping[str, Value] = _NOTHING_MORE
    ) -> None:
        attributes = {"kraken_trio.outcome": outcome, **more}
        if error is not None:
            attributes["error.type"] = outcome
        self._changes.append(Ended(span, attributes, error))

    def _end_of(self, spans: dict[_Key, int], request: Request[Any], outcome: str, error: str | None = None) -> None:
        span = spans.pop(_key(request), None)
        if span is not None:
            self._end(span, outcome, error)

    # The connection

    def _changed(self, change: StateChange) -> None:
        if change.current is ConnectionState.CONNECTING:
            self._try()
        elif self._attempt is not None:
            if change.current in _CONNECTED:
                self._attempts = 0
                self._end_attempt("connected", {"kraken_trio.epoch": change.epoch})
            else:
                self._end_attempt("closed")
        if change.current is ConnectionState.DISCONNECTED:
            self._disconnected(change)
        elif change.current is ConnectionState.SUBSCRIBED:
            self._end_outage("recovered")

    def _try(self) -> None:
        if self._attempt is not None:
            self._end_attempt("closed")
        self._attempts += 1
        outage = self._outage
        links = () if outage is None else (outage.span,)
        self._attempt = self._begin("connect", {"kraken_trio.attempt": self._attempts}, links=links)
        if outage is not None:
            outage.attempts += 1
            self._link_outage(outage, self._attempt)

    def _phase_begun(self, phase: str) -> None:
        if self._attempt is not None:
            self._end_phase()
            self._phase = self._begin(f"connect.{phase}", {}, self._attempt), phase

    def _end_phase(self, error: str | None = None) -> str | None:
        """The phase that has ended by this, if there was one."""
        if self._phase is None:
            return None
        (span, phase), self._phase = self._phase, None
        self._changes.append(Ended(span, {}, error))
        return phase

    def _failed(self, error: ConnectError) -> None:
        if self._attempt is None:
            return
        text = printable(error, _TEXT)
        status = error.status or error.proxy_status
        attributes: dict[str, Value] = {
            "kraken_trio.outcome": "failed",
            "error.type": type(error).__name__ if status is None else str(status),
            "kraken_trio.retryable": error.retryable,
        }
        if status is not None:
            attributes["http.response.status_code"] = status
        if error.retry_after is not None:
            attributes["kraken_trio.retry_after"] = error.retry_after
        phase = self._end_phase(text)
        if phase is not None:
            attributes["kraken_trio.phase"] = phase
        self._changes.append(Ended(self._attempt, attributes, text))
        self._attempt = None

    def _end_attempt(self, outcome: str, more: Mapping[str, Value] = _NOTHING_MORE) -> None:
        assert self._attempt is not None  # the caller has looked
        self._end_phase()
        self._end(self._attempt, outcome, more=more)
        self._attempt = None

    # The outage

    def _disconnected(self, change: StateChange) -> None:
        lost: dict[str, Value] = {
            "kraken_trio.cause": change.cause.value,
            "kraken_trio.detail": change.detail,
            "kraken_trio.epoch": change.epoch,
        }
        if change.previous in _CONNECTED and change.cause is not Cause.CLOSED:
            if self._outage is None:
                self._outage = _Outage(self._begin("outage", lost))
            else:
                self._outage.losses += 1
                self._note_outage("kraken_trio.lost", lost)
        if change.cause is Cause.REFUSED:  # for good
            self._end_outage("refused", change.detail)

    def _end_outage(self, outcome: str, error: str | None = None) -> None:
        outage, self._outage = self._outage, None
        if outage is not None:
            counts = {
                "kraken_trio.losses": outage.losses,
                "kraken_trio.attempts": outage.attempts,
                "kraken_trio.resyncs": outage.resyncs,
            }
            self._end(outage.span, outcome, error, counts)

    def _link_outage(self, outage: _Outage, to: int) -> None:
        if outage.links < MAX_LINKS:
            outage.links += 1
            self._changes.append(Linked(outage.span, to))

    def _note_outage(self, name: str, attributes: Mapping[str, Value]) -> None:
        if self._outage is not None and self._outage.notes < MAX_LINKS:
            self._outage.notes += 1
            self._changes.append(Noted(self._outage.span, name, attributes))

    # Subscriptions

    def _resynced(self, record: Resynced) -> None:
        key, outage = _key(record.request), self._outage
        detail = printable(record.detail, _TEXT)
        self._end_of(self._subscribes, record.request, record.cause.value, detail)
        before = self._resyncs.get(key)
        attributes: dict[str, Value] = {
            **_names(record.request),
            "kraken_trio.cause": record.cause.value,
            "kraken_trio.detail": detail,
            "kraken_trio.failures": record.attempt,
        }
        if record.evidence is not None:
            attributes["kraken_trio.checksum.expected"] = record.evidence.expected
            attributes["kraken_trio.checksum.computed"] = record.evidence.computed
        links = [] if outage is None else [outage.span]
        if before is not None:
            links.append(before)
        self._resyncs[key] = span = self._begin("resync", attributes, links=tuple(links))
        if before is not None:
            self._end(before, record.cause.value, detail)
        if outage is not None:
            outage.resyncs += 1
            self._link_outage(outage, span)

    def _stepped(self, record: StepTaken) -> None:
        key, happening = _key(record.request), record.happening
        if record.current is Step.SUBSCRIBING and happening is Happening.SENT:
            self._end_of(self._subscribes, record.request, happening.value)
            parent = self._resyncs.get(key)
            links = () if self._outage is None else (self._outage.span,)
            self._subscribes[key] = self._begin("subscribe", _names(record.request), parent, links)
        elif happening is Happening.ACCEPTED:
            if key in self._subscribes:
                self._changes.append(Noted(self._subscribes[key], "kraken_trio.confirmed", {}))
        elif record.current is Step.LIVE:
            self._end_both(record.request, "verified")
        elif happening is Happening.NO_DATA:
            self._end_both(record.request, happening.value)
        elif happening in _GIVEN_UP:
            self._end_both(record.request, "unwanted")
        else:
            outcome, why = happening.value, self._why(record)
            self._end_of(self._subscribes, record.request, outcome, why)
            if happening in _ENDS_RESYNC:
                self._end_of(self._resyncs, record.request, outcome, why)

    def _why(self, record: StepTaken) -> str:
        """The exchange's words, if it was a refusal."""
        refusal, happening = self._refusal, record.happening
        if happening is Happening.REFUSED and refusal is not None and refusal.symbol in {None, record.request.symbol}:
            return printable(refusal.text, _TEXT)
        return happening.value

    def _end_both(self, request: Request[Any], outcome: str) -> None:
        self._end_of(self._subscribes, request, outcome)
        self._end_of(self._resyncs, request, outcome)

    # The end

    def _close(self) -> None:
        """End all that are open: children first."""
        for spans in (self._subscribes, self._resyncs):
            for span in spans.values():
                self._end(span, "closed")
            spans.clear()
        if self._attempt is not None:
            self._end_attempt("closed")
        self._end_outage("closed")


def _key(request: Request[Any]) -> _Key:
    return request.channel, request.symbol


def _names(request: Request[Any]) -> dict[str, Value]:
    """What a subscription is called."""
    names: dict[str, Value] = {
        "kraken_trio.request": printable(request, _TEXT),
        "kraken_trio.channel": str(request.channel),
    }
    if request.symbol is not None:
        names["kraken_trio.symbol"] = request.symbol
    return names
