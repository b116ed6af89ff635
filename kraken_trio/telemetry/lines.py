"""What is logged of a record: the name of the event, its level, its text, and its fields.

Names and fields are stable: programs search for them. The texts are for people, and may change. Every text of a peer is
escaped here, in texts and fields alike: one record is one line.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, assert_never

import attrs

from kraken_trio._text import printable
from kraken_trio.events import Cause, ConnectionState, StateChange
from kraken_trio.session.records import (
    AttemptDelayed,
    AttemptFailed,
    ClientLeft,
    ConsumerFailed,
    ExchangeStatus,
    ExchangeWarned,
    FrameMalformed,
    GapAnnounced,
    KeyWarned,
    NoticeReceived,
    Parked,
    PhaseBegun,
    Record,
    RecordingDamaged,
    RecordingFailed,
    RecordingResumed,
    RequestRefused,
    Resynced,
    SegmentHealed,
    StateChanged,
    StateReset,
    StayedWithoutData,
    StepTaken,
    SubscriptionBegun,
    UnmatchedRefusal,
    UploadFailed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kraken_trio.requests import Request
    from kraken_trio.telemetry.trouble import Toll

__all__ = ["COMMON", "EVENTS", "EventKind", "Line", "line_of"]

_SYMBOL: Final = 40
"""How many characters of a peer's symbol are shown."""
_LONG: Final = 500
"""How many characters of longer texts are shown; of others as many as :func:`printable` leaves."""
_TOLD: Final = 5
"""How many symbols a text names."""
_LISTED: Final = 20
"""How many symbols, or requests, a field holds."""


@attrs.frozen
class EventKind:
    """What is promised of the log lines of one event."""

    level: int
    fields: tuple[str, ...]
    meaning: str
    """For the documentation."""
    is_of_connection: bool = False
    """Whether it tells of the connection as a whole: no flood of other lines may hide that."""


COMMON: Final[Mapping[str, str]] = {
    "event_name": "the name of the event",
    "client": "the client: its URL, without a password",
    "left_out": "how many lines Settings.log_rate has left out just before this one; mostly 0",
}
"""Fields of every line, with what they mean."""

_REQUEST: Final = ("request", "channel", "symbol")
_TOLL: Final = ("cause", "outage_seconds", "attempts", "gaps", "symbols", "symbol_count", "resyncs")

EVENTS: Final[Mapping[str, EventKind]] = {
    "connected": EventKind(logging.INFO, ("epoch",), "The first connection is up."),
    "connect_failed": EventKind(
        logging.WARNING,
        ("detail", "attempts", "retry_at"),
        "An attempt to connect failed, the first one or the nth in a row.",
        is_of_connection=True,
    ),
    "connection_lost": EventKind(
        logging.WARNING,
        ("cause", "detail", "epoch", "retry_at"),
        "The connection is lost, and will be made anew.",
        is_of_connection=True,
    ),
    "connection_refused": EventKind(
        logging.WARNING,
        ("detail", "epoch"),
        "The exchange refuses any connection for good: the client has ended.",
        is_of_connection=True,
    ),
    "reconnected": EventKind(
        logging.WARNING,
        ("epoch", *_TOLL),
        "The connection is up again, or up at last; what was missed until now, and how long it took.",
        is_of_connection=True,
    ),
    "recovered": EventKind(
        logging.WARNING,
        ("epoch", *_TOLL),
        "Everything wanted is in force and verified again, after a lost connection or a resync; what was missed since "
        "that began, and how long it took.",
        is_of_connection=True,
    ),
    "state_changed": EventKind(
        logging.INFO, ("previous", "current", "cause", "detail", "epoch"), "Any other change of the client's state."
    ),
    "attempt_delayed": EventKind(logging.WARNING, ("detail",), "An attempt has to wait for the connect budget."),
    "exchange_status": EventKind(logging.INFO, ("status",), "The exchange's engine has a new status."),
    "exchange_warned": EventKind(logging.INFO, ("detail",), "The exchange accepted a request with a warning."),
    "notice_received": EventKind(
        logging.WARNING, ("detail",), "A frame of plain text, as proxies send before they close."
    ),
    "frame_malformed": EventKind(logging.WARNING, ("detail",), "A frame could not be decoded."),
    "request_refused": EventKind(
        logging.WARNING,
        ("symbol", "detail", "kind"),
        "The exchange refused a request, for one symbol or for all in it.",
    ),
    "refusal_unmatched": EventKind(logging.WARNING, ("detail",), "A refusal matches no request."),
    "resync": EventKind(
        logging.WARNING,
        (*_REQUEST, "cause", "detail", "attempts", "expected", "computed"),
        "A subscription cannot be trusted, or is stale, and is resubscribed; for a failed check both checksums.",
    ),
    "no_data": EventKind(
        logging.WARNING, _REQUEST, "A subscription got no first data, even after it was resubscribed."
    ),
    "parked": EventKind(
        logging.WARNING,
        (*_REQUEST, "detail", "attempts", "park_seconds"),
        "A subscription failed too often in a row, and rests for a while.",
    ),
    "consumer_too_slow": EventKind(
        logging.WARNING, ("requests", "detail"), "A feed was ended, because its consumer was too slow."
    ),
    "key_warned": EventKind(logging.WARNING, ("detail",), "The API key may do more than it should."),
    "recording_failed": EventKind(logging.WARNING, ("detail",), "A recording is interrupted, or cannot be written."),
    "recording_resumed": EventKind(logging.WARNING, ("batches",), "It goes on; so many batches of frames are missing."),
    "recording_damaged": EventKind(logging.WARNING, ("detail",), "A recording that is being replayed is damaged."),
    "segment_healed": EventKind(
        logging.WARNING, ("file", "detail"), "A file that a killed recorder has left got its end, or could not."
    ),
    "upload_failed": EventKind(logging.WARNING, ("file", "detail"), "on_segment failed for a file of a recording."),
}
"""All events that are logged, by their names."""


@attrs.frozen
class Line:
    """One log line, printable."""

    event: str
    """A key of :data:`EVENTS`."""
    text: str
    fields: Mapping[str, Any]
    """As :data:`EVENTS` says: texts, numbers, None, and lists of texts."""

    @property
    def level(self) -> int:
        """The level of the event."""
        return EVENTS[self.event].level


def line_of(record: Record, toll: Toll | None = None, attempts: int = 0) -> Line | None:
    """What is logged of a record; None if it is not logged.

    ``toll`` is what :class:`~kraken_trio.telemetry.trouble.Trouble` says of the record, and ``attempts`` its count.
    """
    match record:
        case StateChanged(change=change):
            return _of_change(change, toll, attempts)
        case ExchangeStatus(status=status, is_new_system=is_new):
            system = printable(status.system)
            return Line("exchange_status", f"the exchange's status is {system}", {"status": system}) if is_new else None
        case AttemptDelayed(why=why):
            return _detailed("attempt_delayed", "", why)
        case FrameMalformed(detail=detail):
            return _detailed("frame_malformed", "a frame could not be decoded: ", detail)
        case NoticeReceived(text=text):
            return _detailed("notice_received", "notice from the exchange or a proxy: ", text, 200)
        case ExchangeWarned(text=text):
            return _detailed("exchange_warned", "the exchange warns: ", text, 200)
        case KeyWarned(text=text):
            return _detailed("key_warned", "", text)
        case RequestRefused(symbol=symbol, text=text, kind=kind):
            name = None if symbol is None else printable(symbol, _SYMBOL)
            what = "a request" if name is None else name
            return _detailed(
                "request_refused", f"the exchange refused {what}: ", text, 200, symbol=name, kind=kind.value
            )
        case UnmatchedRefusal(text=text):
            return _detailed("refusal_unmatched", "a refusal that matches no request: ", text, 200)
        case Resynced(request=request, cause=cause, detail=detail, attempt=attempt, evidence=evidence):
            return _detailed(
                "resync",
                f"{request}: resync, {cause.value}: ",
                detail,
                200,
                **_request(request),
                cause=cause.value,
                attempts=attempt,
                expected=None if evidence is None else evidence.expected,
                computed=None if evidence is None else evidence.computed,
            )
        case StayedWithoutData(request=request):
            text = f"{request}: no data, even after it was resubscribed; it stays subscribed"
            return Line("no_data", text, _request(request))
        case Parked(request=request, detail=detail, attempts=failed, seconds=seconds):
            rest = f"after {failed} attempts; next attempt in {seconds:g} s"
            detail = printable(detail)
            fields = {**_request(request), "detail": detail, "attempts": failed, "park_seconds": seconds}
            return Line("parked", f"{request}: parked: {detail} ({rest})", fields)
        case ConsumerFailed(requests=requests, detail=detail):
            names = [printable(request) for request in requests[:_LISTED]]
            whose = printable(", ".join(map(str, requests)))
            return _detailed("consumer_too_slow", f"the feed of {whose}: ", detail, 200, requests=names)
        case RecordingFailed(detail=detail):
            return _detailed("recording_failed", "recording: ", detail)
        case RecordingDamaged(detail=detail):
            return _detailed("recording_damaged", "the recording is damaged: ", detail)
        case RecordingResumed(batches=batches):
            missing = f"; {batches} batches of frames are missing" if batches else ""
            return Line("recording_resumed", f"recording: it goes on{missing}", {"batches": batches})
        case SegmentHealed(name=name, detail=detail):
            file = printable(name)
            return _detailed("segment_healed", f"recording: {file}: ", detail, file=file)
        case UploadFailed(path=path, detail=detail):
            file = printable(path, _LONG)
            return _detailed("upload_failed", f"recording: on_segment({file}): ", detail, file=file)
        case StepTaken() | SubscriptionBegun() | StateReset() | GapAnnounced():
            return None
        case PhaseBegun() | AttemptFailed() | ClientLeft():
            return None  # the changes of state say it
        case _:
            assert_never(record)


def _detailed(event: str, begin: str, detail: str, limit: int = _LONG, **fields: Any) -> Line:
    """A line that ends with a text from elsewhere, which is its field ``detail``, too."""
    detail = printable(detail, limit)
    return Line(event, f"{begin}{detail}", {**fields, "detail": detail})


def _request(request: Request[Any]) -> dict[str, str | None]:
    return {"request": printable(request), "channel": request.channel, "symbol": request.symbol}


def _of_change(change: StateChange, toll: Toll | None, attempts: int) -> Line:
    cause, detail, epoch = change.cause, change.detail, change.epoch
    why = f"{cause.value}: {detail}" if detail else cause.value
    retry_at = None if change.retry_at is None else f"{change.retry_at.isoformat(timespec='milliseconds')[:-6]}Z"
    if toll is not None:
        return _of_toll(change, toll)
    if cause is Cause.CONNECTED:
        return Line("connected", "connected", {"epoch": epoch})
    if cause is Cause.CONNECT_FAILED:
        which = f", attempt {attempts}" if attempts > 1 else ""
        return Line(
            "connect_failed",
            f"cannot connect{which}: {detail}",
            {"detail": detail, "attempts": attempts, "retry_at": retry_at},
        )
    if cause is Cause.REFUSED:
        text = f"the exchange refuses the connection for good: {detail}"
        return Line("connection_refused", text, {"detail": detail, "epoch": epoch})
    if change.current is ConnectionState.DISCONNECTED and cause is not Cause.CLOSED:
        fields = {"cause": cause.value, "detail": detail, "epoch": epoch, "retry_at": retry_at}
        return Line("connection_lost", f"the connection is lost ({why})", fields)
    return Line(
        "state_changed",
        f"{change.previous.value} → {change.current.value} ({why})",
        {
            "previous": change.previous.value,
            "current": change.current.value,
            "cause": cause.value,
            "detail": detail,
            "epoch": epoch,
        },
    )


def _of_toll(change: StateChange, toll: Toll) -> Line:
    is_connection = change.cause is Cause.CONNECTED
    after = f"after {toll.seconds:.1f} s" if toll.seconds >= 1 else f"after {1000 * toll.seconds:.0f} ms"
    if is_connection:
        text = f"connected again {after}, {_counted(toll.attempts, 'attempt')}"
    else:
        text = f"everything is verified again {after}"
    symbols = [printable(symbol, _SYMBOL) for symbol in toll.symbols[:_LISTED]]
    missed = [
        *([_counted(toll.gaps, "gap") + _named(symbols, len(toll.symbols))] if toll.gaps else []),
        *([_counted(toll.resyncs, "resync")] if toll.resyncs else []),
    ]
    fields = {
        "epoch": change.epoch,
        "cause": toll.cause.value,
        "outage_seconds": round(toll.seconds, 3),
        "attempts": toll.attempts,
        "gaps": toll.gaps,
        "symbols": symbols,
        "symbol_count": len(toll.symbols),
        "resyncs": toll.resyncs,
    }
    return Line("reconnected" if is_connection else "recovered", f"{text}; {', '.join(missed) or 'no gaps'}", fields)


def _named(symbols: Iterable[str], count: int) -> str:
    told = list(symbols)[:_TOLD]
    more = f" and {count - len(told)} more" if count > len(told) else ""
    return f" ({', '.join(told)}{more})" if told else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
