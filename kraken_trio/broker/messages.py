"""What is in a message, and its bytes: JSON, or MessagePack.

Events are written as in :mod:`kraken_trio.encoding`, in runs of one class: ``[["BookUpdate", [{…}, {…}]], …]``. Digits
are texts. A message of more than :data:`COMPRESS_FROM` bytes is compressed (zstd), so that large books pass the limits
of brokers. Its first bytes tell its form, and each message has the version of its schema, :data:`VERSION`.

Each event of a key (a channel and a symbol) has a number: the *producer* (a number that grows with each change of the
shard's owner) and, within it, a *sequence* from 0, without holes. What is numbered is what a feed of the producer got,
its gaps included.
"""

from __future__ import annotations

import enum
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import msgspec

from kraken_trio._text import printable
from kraken_trio._zstd import zstd
from kraken_trio.encoding import Named, decode_request, event_class, named, schema as schema_of_events
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kraken_trio.events import Event
    from kraken_trio.requests import Request

__all__ = [
    "COMPRESS_FROM",
    "MAX_MESSAGE_BYTES",
    "VERSION",
    "Batch",
    "Catalog",
    "Form",
    "KeyFrame",
    "LeaseNote",
    "decode_batch",
    "decode_catalog",
    "decode_key_frame",
    "decode_lease",
    "decode_number",
    "encode",
    "schema",
]

VERSION: Final = 1
"""Of the schema. A message of another one is refused, with its number."""
COMPRESS_FROM: Final = 256 * 1024
"""Bytes: larger messages are compressed. Brokers take 1 MiB by default."""
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""What a compressed message may hold at most: a few bytes can stand for gigabytes."""


class Form(enum.Enum):
    """How messages are written."""

    JSON = "json"
    MSGPACK = "msgpack"


class Batch(msgspec.Struct, kw_only=True):
    """Events of one channel and symbol, in order."""

    producer: int
    """Which owner of the shard published it; a later one has a larger number."""
    seq: int
    """The number of the first event."""
    channel: str
    symbol: str | None
    events: Sequence[Any]
    request: Request[Any] | None = None
    """What the producer subscribed to, where it begins; None in later batches."""


class KeyFrame(msgspec.Struct, kw_only=True):
    """The state of one channel and symbol after an event: who has not had the earlier ones begins here."""

    producer: int
    seq: int
    """The number of the last event in it; -1 before the first."""
    channel: str
    symbol: str | None
    request: Request[Any]
    """What the producer subscribed to."""
    events: Sequence[Any]
    """The state, as a client keeps it (:class:`~kraken_trio.channels.Kept`)."""
    marks: Mapping[str, int]
    """What else it keeps."""


class Catalog(msgspec.Struct, kw_only=True):
    """What a shard publishes. It is published again every ``keyframe_every`` seconds."""

    producer: int
    shard: int
    shards: int
    keyframe_every: float
    """Seconds between two key frames of a channel and symbol."""
    requests: tuple[Request[Any], ...]


class LeaseNote(msgspec.Struct, kw_only=True):
    """The first message of an owner: whatever an earlier one still sends is refused after it."""

    shard: int
    holder: str
    """A name for people: host, process, and a random part."""


# What is on the wire. Other languages read this: the schema is made of it.

_Runs: TypeAlias = list[tuple[str, msgspec.Raw]]


class _Batch(msgspec.Struct, kw_only=True):
    v: int = VERSION
    producer: int
    seq: int
    channel: str
    symbol: str | None = None
    events: Any
    request: Named | msgspec.UnsetType = msgspec.UNSET


class _KeyFrame(msgspec.Struct, kw_only=True):
    v: int = VERSION
    producer: int
    seq: int
    channel: str
    symbol: str | None = None
    request: Named
    events: Any
    marks: Any = {}


class _Catalog(msgspec.Struct, kw_only=True):
    v: int = VERSION
    producer: int
    shard: int
    shards: int
    keyframe_every: float
    requests: list[Named]


class _LeaseNote(msgspec.Struct, kw_only=True):
    v: int = VERSION
    shard: int
    holder: str


class _BatchIn(_Batch):
    events: _Runs


class _KeyFrameIn(_KeyFrame):
    events: _Runs
    marks: dict[str, int] = {}


class _Head(msgspec.Struct, kw_only=True):
    """(of a key frame: the rest is passed over)."""

    v: int = VERSION
    producer: int
    seq: int


_MESSAGES: Final[Mapping[type, type[msgspec.Struct]]] = {
    Batch: _Batch,
    KeyFrame: _KeyFrame,
    Catalog: _Catalog,
    LeaseNote: _LeaseNote,
}
_READ: Final = (_BatchIn, _KeyFrameIn, _Catalog, _LeaseNote, _Head)
_W = TypeVar("_W", _BatchIn, _KeyFrameIn, _Catalog, _LeaseNote, _Head)
_ENCODERS: Final[Mapping[Form, Callable[[Any], bytes]]] = {
    Form.JSON: msgspec.json.Encoder().encode,
    Form.MSGPACK: msgspec.msgpack.Encoder().encode,
}
_DECODERS: Final[Mapping[Form, Mapping[type, Callable[[bytes], Any]]]] = {
    Form.JSON: {cls: msgspec.json.Decoder(cls).decode for cls in _READ},
    Form.MSGPACK: {cls: msgspec.msgpack.Decoder(cls).decode for cls in _READ},
}
_LISTS: Final[dict[tuple[Form, str], Callable[[Any], list[Any]]]] = {}
"""What reads a run, by the form and the name of the class; only of classes that there are."""
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def encode(message: Batch | KeyFrame | Catalog | LeaseNote, form: Form = Form.JSON) -> bytes:
    """The bytes of a message."""
    data = _ENCODERS[form](_wire(message))
    return zstd.compress(data, 3) if len(data) >= COMPRESS_FROM else data


def _wire(message: Batch | KeyFrame | Catalog | LeaseNote) -> msgspec.Struct:
    if isinstance(message, Batch):
        return _Batch(
            producer=message.producer,
            seq=message.seq,
            channel=message.channel,
            symbol=message.symbol,
            events=_runs(message.events),
            request=msgspec.UNSET if message.request is None else named(message.request),
        )
    if isinstance(message, KeyFrame):
        return _KeyFrame(
            producer=message.producer,
            seq=message.seq,
            channel=message.channel,
            symbol=message.symbol,
            request=named(message.request),
            events=_runs(message.events),
            marks=dict(message.marks),
        )
    if isinstance(message, Catalog):
        return _Catalog(
            producer=message.producer,
            shard=message.shard,
            shards=message.shards,
            keyframe_every=message.keyframe_every,
            requests=[named(request) for request in message.requests],
        )
    return _LeaseNote(shard=message.shard, holder=message.holder)


def _runs(events: Iterable[Event]) -> list[tuple[str, Any]]:
    return [(cls.__name__, list(run)) for cls, run in groupby(events, type)]


def decode_batch(data: bytes) -> Batch:
    """A batch of events. Raises :class:`~kraken_trio.ProtocolError` if it is none that this version knows."""
    wire, form = _decode(data, _BatchIn)
    return Batch(
        producer=wire.producer,
        seq=wire.seq,
        channel=wire.channel,
        symbol=wire.symbol,
        events=_events(wire.events, form),
        request=None if wire.request is msgspec.UNSET else _request(wire.request),
    )


def decode_key_frame(data: bytes) -> KeyFrame:
    """A key frame. Raises likewise."""
    wire, form = _decode(data, _KeyFrameIn)
    return KeyFrame(
        producer=wire.producer,
        seq=wire.seq,
        channel=wire.channel,
        symbol=wire.symbol,
        request=_request(wire.request),
        events=_events(wire.events, form),
        marks=wire.marks,
    )


def decode_number(data: bytes) -> tuple[int, int]:
    """Producer and sequence of a key frame, without the state in it. Raises likewise."""
    head, _ = _decode(data, _Head)
    return head.producer, head.seq


def decode_catalog(data: bytes) -> Catalog:
    """A shard's catalog. Raises likewise."""
    wire, _ = _decode(data, _Catalog)
    return Catalog(
        producer=wire.producer,
        shard=wire.shard,
        shards=wire.shards,
        keyframe_every=wire.keyframe_every,
        requests=tuple(map(_request, wire.requests)),
    )


def decode_lease(data: bytes) -> LeaseNote:
    """Whose messages follow. Raises likewise."""
    wire, _ = _decode(data, _LeaseNote)
    return LeaseNote(shard=wire.shard, holder=wire.holder)


def _decode(data: bytes, cls: type[_W]) -> tuple[_W, Form]:
    if data.startswith(_ZSTD):
        data = _decompress(data)
    form = Form.JSON if data.startswith(b"{") else Form.MSGPACK
    try:
        found = cast("_W", _DECODERS[form][cls](data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _broken(error) from None
    if found.v != VERSION:
        msg = f"a message of version {found.v}, and this program knows {VERSION}: update the older one"
        raise ProtocolError(msg)
    return found, form


def _events(runs: _Runs, form: Form) -> list[Any]:
    try:
        if len(runs) == 1:
            ((name, run),) = runs
            return (_LISTS.get((form, name)) or _list_of(form, name))(run)
        return list(chain.from_iterable((_LISTS.get((form, name)) or _list_of(form, name))(run) for name, run in runs))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
        raise _broken(error) from None


def _list_of(form: Form, name: str) -> Callable[[Any], list[Any]]:
    cls = event_class(name)
    if cls is None:
        msg = f"{printable(name, 40)} is unknown to this version"
        raise ValueError(msg)
    decoder: Any = msgspec.json.Decoder if form is Form.JSON else msgspec.msgpack.Decoder
    found: Callable[[Any], list[Any]] = decoder(list[cls]).decode  # type: ignore[valid-type]  # (made at run time)
    _LISTS[form, name] = found
    return found


def _request(request: Named) -> Request[Any]:
    return decode_request(msgspec.json.encode(request))


def _decompress(data: bytes) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    try:
        found = decompressor.decompress(data, MAX_MESSAGE_BYTES)
    except zstd.ZstdError as error:
        raise _broken(error) from None
    if not decompressor.eof or decompressor.unused_data:
        msg = "a message that is cut off, or too large, or followed by something else"
        raise ProtocolError(msg)
    return found


def _broken(error: Exception) -> ProtocolError:
    return ProtocolError(f"a message that cannot be read: {printable(error)}")


def schema() -> dict[str, Any]:
    """The JSON Schema of all messages: one definition for each kind of them, and for each event, under ``$defs``."""
    events = schema_of_events()
    definitions: dict[str, Any] = dict(events["$defs"])
    definitions["Events"] = {
        "description": "Events in their order, in runs of one class: its name, and the events.",
        "type": "array",
        "items": {"oneOf": [_run(one) for one in events["oneOf"]]},
    }
    definitions["Request"] = {
        "description": "What was subscribed to: the name of its class, and its parameters.",
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "object"}],
        "minItems": 2,
        "maxItems": 2,
    }
    for cls, wire in _MESSAGES.items():
        definitions[cls.__name__] = _message(cls, wire)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        # A key frame has all fields of a batch: the subject says which one it is.
        "anyOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in _MESSAGES],
        "$defs": definitions,
    }


def _message(cls: type, wire: type) -> dict[str, Any]:
    _, found = msgspec.json.schema_components((wire,), ref_template="#/$defs/{name}")
    properties: dict[str, Any] = found[wire.__name__]["properties"]
    request = {"$ref": "#/$defs/Request"}
    exact = {
        "v": {"const": VERSION},
        "events": {"$ref": "#/$defs/Events"},
        "marks": {"type": "object", "additionalProperties": {"type": "integer"}},
        "request": request,
        "requests": {"type": "array", "items": request},
    }
    return {
        "description": cls.__doc__,
        "type": "object",
        "properties": {name: exact.get(name, shape) for name, shape in properties.items()},
        "required": [one.encode_name for one in msgspec.structs.fields(wire) if one.default is not msgspec.UNSET],
    }


def _run(one: Mapping[str, Any]) -> dict[str, Any]:
    name, event = one["prefixItems"]
    return {**one, "prefixItems": [name, {"type": "array", "items": event, "minItems": 1}]}
