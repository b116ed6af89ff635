"""The records of a log that are not frames: what else a client was given, what it decided, its state, and notes.

Each is a JSON object with its ``kind``. Kinds are open: a reader skips one that it does not know, and fields that it
does not know; a field that a later version adds has a default, so that this version's logs stay readable.

Events and requests within records are those of :mod:`kraken_trio.encoding`.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.encoding import decode_event, decode_request, encode_event, encode_request
from kraken_trio.errors import ConnectError, ProtocolError
from kraken_trio.events import Cause
from kraken_trio.session import inputs, records
from kraken_trio.wire.rest import Answer, Query
from kraken_trio.wire.tree import REFUSED, decode_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from kraken_trio.channels import Kept
    from kraken_trio.events import Event
    from kraken_trio.requests import Request

__all__ = [
    "Begun",
    "Changed",
    "ClientFrame",
    "CycleBegun",
    "CycleEnded",
    "Decision",
    "Entry",
    "Hole",
    "KeyFrame",
    "Missed",
    "Other",
    "Question",
    "Reported",
    "Reset",
    "Resynced",
    "Started",
    "Stepped",
    "Stopped",
    "Told",
    "answered",
    "decision_of",
    "encode",
    "event_of",
    "input_of",
    "key_frame",
    "named_requests",
    "read",
    "requests_of",
    "told_of",
]

Key: TypeAlias = tuple[str, str | None]
Named: TypeAlias = msgspec.Raw
"""An event or a request, encoded."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True, omit_defaults=True):
    """The base of all records."""


# What the client decided


class Decision(_Record, frozen=True, kw_only=True):
    """One decision. If a frame led to it, it stands right before that frame."""

    frame: int | None = None
    """The index of that frame in its batch."""
    taken: int = 0
    """How many runs of events of one symbol had been taken from that frame before."""


class Begun(Decision, frozen=True, kw_only=True):
    """A subscription begins, with an empty state."""

    request: Named


class Stepped(Decision, frozen=True, kw_only=True):
    """A subscription made a step."""

    key: Key
    step: str
    because: str


class Reset(Decision, frozen=True, kw_only=True):
    """What was known of a subscription's data is out of date."""

    key: Key


class Missed(Decision, frozen=True, kw_only=True):
    """A gap was announced to the feeds of these subscriptions."""

    gap: Named
    keys: tuple[Key, ...]


class Changed(Decision, frozen=True, kw_only=True):
    """The client's state changed."""

    change: Named


class Reported(Decision, frozen=True, kw_only=True):
    """The exchange reported a new status."""

    status: Named


class Resynced(Decision, frozen=True, kw_only=True):
    """A subscription failed, or was stale, and is resubscribed."""

    key: Key
    cause: str
    detail: str = ""
    attempt: int = 0


class Other(Decision, frozen=True, kw_only=True):
    """What the client found worth a line in its log, and nothing follows from it here."""

    what: str
    fields: dict[str, Any] = {}


# What the client was given


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to the exchange's REST interface, and its answer."""

    name: str
    params: tuple[tuple[str, str], ...] = ()
    private: bool = True
    after: float = 0.0
    number: int = 0
    result: msgspec.Raw = msgspec.Raw(b"null")
    pairs: dict[str, str] = {}
    error: str | None = None
    received_ns: int = 0


class Told(_Record, frozen=True, kw_only=True):
    """An input other than frames."""

    what: str
    """Which: the name of a class in :mod:`kraken_trio.session.inputs`, or ``Sent`` for a frame that was sent."""
    epoch: int = 0
    """(connected) The number of the connection."""
    feed: int | None = None
    """(added, removed) A number for the feed."""
    requests: tuple[Named, ...] = ()
    text: str = ""
    """A detail, an error, or the frame that was sent, without its token."""
    cause: str | None = None
    code: int | None = None
    """The close code of a lost connection; the HTTP status of a refused one."""
    retry_after: float | None = None
    retryable: bool = True
    query: Question | None = None
    """(answered) What was asked, and what the answer was."""


# The client's state, from which a reader can begin


class CycleBegun(_Record, frozen=True, kw_only=True):
    """Key frames of everything begin here."""

    number: int


class CycleEnded(_Record, frozen=True, kw_only=True):
    """All key frames of a cycle have been written."""

    number: int


class ClientFrame(_Record, frozen=True, kw_only=True):
    """The client's own state."""

    state: str
    epoch: int
    received_ns: int = 0
    """When the last batch was received."""
    status: tuple[Named, ...] = ()
    """The exchange's last status, if there was one."""


class KeyFrame(_Record, frozen=True, kw_only=True):
    """All that is known of one subscription."""

    request: Named
    step: str
    events: tuple[Named, ...] = ()
    marks: dict[str, int] = {}


# Notes of the recorder


class Started(_Record, frozen=True, kw_only=True):
    """A recorder begins: nothing before it is known to continue here."""


class Hole(_Record, frozen=True, kw_only=True):
    """Batches are missing here: they could not be written."""

    from_ns: int
    until_ns: int
    batches: int
    frames: int
    why: str


class Stopped(_Record, frozen=True, kw_only=True):
    """The recorder ended as it was told to."""


Entry: TypeAlias = (
    Begun
    | Stepped
    | Reset
    | Missed
    | Changed
    | Reported
    | Resynced
    | Other
    | Told
    | CycleBegun
    | CycleEnded
    | ClientFrame
    | KeyFrame
    | Started
    | Hole
    | Stopped
)
encode: Final[Callable[[Any], bytes]] = msgspec.json.Encoder().encode
"""A record as bytes."""
_decode: Final[Callable[[bytes], Entry]] = msgspec.json.Decoder(Entry).decode
_kind = msgspec.json.Decoder(msgspec.defstruct("_Kind", [("kind", str)])).decode
_decode_list: Final[Callable[[str], list[Named]]] = msgspec.json.Decoder(list[Named]).decode
_KINDS: Final = frozenset(cls.__name__ for cls in Entry.__args__)


def read(data: bytes) -> Entry | None:
    """A record; None if its kind is unknown to this version. Raises :class:`~kraken_trio.ProtocolError`."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            if _kind(data).kind not in _KINDS:  # type: ignore[attr-defined]  # made at run time
                return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        msg = f"it is no record: {printable(error)}"
        raise ProtocolError(msg) from None


def event_of(named: Named, epoch_base: int = 0) -> Any:
    """The event within a record, with this added to its epoch."""
    event = decode_event(named)
    return msgspec.structs.replace(event, epoch=event.epoch + epoch_base) if epoch_base else event


# From the session's values


def _event(event: Event) -> Named:
    return msgspec.Raw(encode_event(event))


def _request(request: Request[Any]) -> Named:
    return msgspec.Raw(encode_request(request))


def _key(request: Request[Any]) -> Key:
    assert request.channel is not None  # subscriptions are of the exchange's channels
    return request.channel, request.symbol


def decision_of(record: records.Record, taken: int) -> Decision:
    """A session's record, and its place in the frame, as a decision of the log."""
    frame: int | None = getattr(record, "frame", None)
    match record:
        case records.SubscriptionBegun(request=request):
            return Begun(request=_request(request), frame=frame, taken=taken)
        case records.StepTaken(request=request, current=step, happening=happening):
            return Stepped(key=_key(request), step=step.value, because=happening.value, frame=frame, taken=taken)
        case records.StateReset(request=request):
            return Reset(key=_key(request), frame=frame, taken=taken)
        case records.GapAnnounced(gap=gap, keys=keys):
            return Missed(gap=_event(gap), keys=keys, frame=frame, taken=taken)
        case records.StateChanged(change=change):
            return Changed(change=_event(change), frame=frame, taken=taken)
        case records.ExchangeStatus(status=status):
            return Reported(status=_event(status), frame=frame, taken=taken)
        case records.Resynced(request=request, cause=cause, detail=detail, attempt=attempt):
            return Resynced(
                key=_key(request), cause=cause.value, detail=detail, attempt=attempt, frame=frame, taken=taken
            )
        case _:
            fields = {
                field.name: _plain(getattr(record, field.name))
                for field in attrs.fields(type(record))
                if field.name != "frame"
            }
            return Other(what=type(record).__name__, fields=fields, frame=frame, taken=taken)


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return _request(value)
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def _unicode(text: str) -> str:
    """Without the halves of characters that a path of a damaged name, or an error about it, has in Python."""
    return text.encode("utf-8", "backslashreplace").decode()


@singledispatch
def _told(happening: inputs.Input, _number: Callable[[Hashable], int], _epoch: int) -> Told:
    return Told(what=type(happening).__name__)


@_told.register
def _(happening: inputs.BudgetSpent, _number: object, _epoch: int) -> Told:
    return Told(what="BudgetSpent", text=_unicode(happening.why))


@_told.register
def _(_happening: inputs.Connected, _number: object, epoch: int) -> Told:
    return Told(what="Connected", epoch=epoch)


@_told.register
def _(happening: inputs.ConnectFailed, _number: object, _epoch: int) -> Told:
    error = happening.error
    return Told(
        what="ConnectFailed",
        text=_unicode(str(error)),
        code=error.status,
        retry_after=error.retry_after,
        retryable=error.retryable,
    )


@_told.register
def _(happening: inputs.Lost, _number: object, _epoch: int) -> Told:
    return Told(what="Lost", cause=happening.cause.value, text=happening.detail, code=happening.code)


@_told.register
def _(happening: inputs.Added, number: Any, _epoch: int) -> Told:
    requests = tuple(map(_request, happening.requests))
    return Told(what="Added", feed=number(happening.feed), requests=requests)


@_told.register
def _(happening: inputs.Answered, _number: object, _epoch: int) -> Told:
    query, answer = happening.query, happening.answer
    question = Question(
        name=query.name,
        params=query.params,
        private=query.private,
        after=query.after,
        number=query.number,
        result=msgspec.Raw(encode(answer.result)),
        pairs=dict(answer.pairs),
        error=None if answer.error is None else _unicode(answer.error),
        received_ns=answer.received_ns,
    )
    return Told(what="Answered", query=question)


@_told.register
def _(happening: inputs.Removed, number: Any, _epoch: int) -> Told:
    return Told(what="Removed", feed=number(happening.feed))


def told_of(happening: inputs.Input, number: Callable[[Hashable], int], epoch: int) -> Told:
    """An input as a record. ``number`` gives a feed its number; ``epoch`` is that after the input."""
    return _told(happening, number, epoch)


_PLAIN: Final[Mapping[str, inputs.Input]] = {
    cls.__name__: cls()
    for cls in (
        inputs.Opened,
        inputs.Retried,
        inputs.Connected,
        inputs.Ticked,
        inputs.Held,
        inputs.Resumed,
        inputs.Authorised,
        inputs.Ponged,
        inputs.Closed,
    )
}


def input_of(told: Told, request_of: Callable[[Named], Request[Any]]) -> inputs.Input | None:
    """The input that a record was made from; None if a session has no such input. Feeds are their numbers."""
    match told.what:
        case "BudgetSpent":
            return inputs.BudgetSpent(told.text)
        case "ConnectFailed":
            error = ConnectError(told.text, status=told.code, retry_after=told.retry_after, retryable=told.retryable)
            return inputs.ConnectFailed(error)
        case "Lost":
            return inputs.Lost(Cause(told.cause), told.text, told.code)
        case "Added":
            return inputs.Added(told.feed, tuple(map(request_of, told.requests)))
        case "Removed":
            return inputs.Removed(told.feed)
        case "Answered" if told.query is not None:
            return answered(told.query)
        case what:
            return _PLAIN.get(what)


def answered(question: Question) -> inputs.Answered:
    """The input that a question was made from. Raises :class:`~kraken_trio.ProtocolError`."""
    try:
        result = decode_tree(bytes(question.result))
    except REFUSED as error:
        msg = f"an answer of REST that is no JSON: {printable(error)}"
        raise ProtocolError(msg) from None
    query = Query(
        question.name, question.params, private=question.private, after=question.after, number=question.number
    )
    answer = Answer(result, pairs=question.pairs, error=question.error, received_ns=question.received_ns)
    return inputs.Answered(query, answer)


def key_frame(request: Request[Any], step: str, kept: Kept) -> KeyFrame:
    """The key frame of one subscription."""
    return KeyFrame(
        request=_request(request), step=step, events=tuple(map(_event, kept.events)), marks=dict(kept.marks)
    )


def named_requests(requests: Sequence[Request[Any]]) -> str:
    """A list of requests as text, for the index of a segment."""
    return encode([_request(request) for request in requests]).decode()


def requests_of(text: str) -> Iterator[Request[Any]]:
    """The requests in such a list, without those of a later version. A text that is no list has none."""
    try:
        encoded = _decode_list(text)
    except (msgspec.MsgspecError, RecursionError):
        return
    for one in encoded:
        try:
            yield decode_request(one)
        except ProtocolError:
            continue
