"""Typed events and requests to bytes, and back: for key frames of the log, for brokers, for lines of text.

The form is JSON: an array of a name and an object, ``["Trade", {"symbol": "BTC/USD", …}]``. The name is that of the
class, the object has its fields, without those that a class fixes. Numbers with digits (prices, quantities) are texts,
so that their digits stay; times are ISO 8601; an enumeration is its value.

Decoding gives equal values, by ``==`` and by ``repr``. Fields that this version does not know are ignored, so that it
reads what a later one has written; except in books, whose classes know no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, get_args

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.events import BookSnapshot, BookUpdate, Event, Level3Snapshot, Level3Update, hold_texts
from kraken_trio.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    _Reader: TypeAlias = Callable[[bytes | msgspec.Raw], Any]

__all__ = [
    "Named",
    "decode_event",
    "decode_request",
    "encode_event",
    "encode_request",
    "event_class",
    "named",
    "schema",
]

Named: TypeAlias = tuple[str, Any]
"""A value with the name of its class, as it is encoded; inside of other values, too."""

_EVENTS: Final[dict[str, type]] = {cls.__name__: cls for cls in get_args(Event)}
_encode = msgspec.json.Encoder().encode
_split = msgspec.json.Decoder(tuple[str, msgspec.Raw]).decode


_fields = msgspec.json.Decoder(dict[str, Any]).decode


def named(value: Any) -> Named:
    """``value`` with the name of its class."""
    return type(value).__name__, value


def encode_event(event: Any) -> bytes:
    """An event as bytes."""
    return _encode(named(event))


def decode_event(data: bytes | msgspec.Raw) -> Event:
    """The event of :func:`encode_event`. Raises :class:`~kraken_trio.ProtocolError` if it is none."""
    event = _decode(data, _event_reader, "event")
    if isinstance(event, BookSnapshot | BookUpdate | Level3Snapshot | Level3Update):
        hold_texts((*event.bids, *event.asks))  # nobody has looked at the digits yet
    return cast("Event", event)


def encode_request(request: Request[Any]) -> bytes:
    """A request as bytes."""
    return _encode(named(request))


def decode_request(data: bytes | msgspec.Raw) -> Request[Any]:
    """The request of :func:`encode_request`. Raises :class:`~kraken_trio.ProtocolError` if it is none."""
    return cast("Request[Any]", _decode(data, _request_reader, "request"))


def _decode(data: bytes | msgspec.Raw, reader_of: Callable[[str], _Reader | None], what: str) -> Any:
    try:
        name, fields = _split(data)
        decode = reader_of(name)
        if decode is not None:
            return decode(fields)
        problem = f"{printable(name, 40)} is unknown to this version"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
        problem = printable(error)
    msg = f"it is no {what}: {problem}"
    raise ProtocolError(msg)


# Channels of a program's own have classes of their own; they are found by their names.


_event_readers: Final[dict[str, _Reader]] = {}
_request_readers: Final[dict[str, _Reader]] = {}
"""Of names that are known, so that others do not add up."""


def event_class(name: str) -> type | None:
    """The class of events of this name; None if there is none. Raises nothing: a name may come from anywhere."""
    return _EVENTS.get(name) or next((own for own in _all_below(msgspec.Struct) if _is_event(own, name)), None)


def _event_reader(name: str) -> _Reader | None:
    found = _event_readers.get(name)
    if found is None:
        cls = event_class(name)
        if cls is not None:
            found = _event_readers[name] = msgspec.json.Decoder(cls).decode
    return found


def _request_reader(name: str) -> _Reader | None:
    found = _request_readers.get(name)
    if found is None:
        cls = next((cls for cls in _all_below(Request) if _is_request(cls, name)), None)
        if cls is not None:
            found = _request_readers[name] = _reader_of(cls)
    return found


def _reader_of(cls: type[Request[Any]]) -> _Reader:
    names = [field.name for field in attrs.fields(cls) if field.init]

    def read(data: bytes | msgspec.Raw) -> Any:
        fields = _fields(data)
        return cls(**{name: fields[name] for name in names if name in fields})  # which checks the values

    return read


def _is_event(cls: type, name: str) -> bool:
    return cls.__name__ == name and {"epoch", "received_ns"} <= set(getattr(cls, "__struct_fields__", ()))


def _is_request(cls: type, name: str) -> bool:
    # attrs makes a class anew, and that from which it was made may still be there.
    return cls.__name__ == name and "__attrs_attrs__" in vars(cls)


def _all_below(cls: type) -> Iterator[type]:
    below: type
    for below in cls.__subclasses__():
        yield below
        yield from _all_below(below)


def schema() -> dict[str, Any]:
    """The JSON Schema of all events: one definition per name, under ``$defs``."""
    _, definitions = msgspec.json.schema_components(_EVENTS.values(), ref_template="#/$defs/{name}")
    for definition in definitions.values():
        for name, shape in definition.get("properties", {}).items():
            if not shape:  # digits: their type is open in the class, but what is written is a text
                definition["properties"][name] = {"type": "string"}
    one_of = [
        {"type": "array", "prefixItems": [{"const": name}, {"$ref": f"#/$defs/{name}"}], "minItems": 2, "maxItems": 2}
        for name in _EVENTS
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": one_of, "$defs": definitions}
