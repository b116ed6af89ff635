"""Kraken's v2 protocol: a row per channel, the requests, and the decoder.

Rules of reading (PROTOCOL, section 2):

* A frame with ``method`` answers a request; one with ``channel`` is pushed; one with neither may be the bare
  rate-limit text. The order of keys means nothing.
* Numbers keep the digits of the wire. What is not finite or absurdly long is no number.
* What Kraken adds without notice (channels, fields, enumeration values) is counted in ``Decoder.unknown``, and passes.
* Any bytes give a message or a :class:`~kraken_trio.ProtocolError`, in time linear in their length.

Books are nine tenths of all frames: one that begins the way Kraken writes it, and holds nothing that is not known, is
decoded straight into its event. Everything else is decoded into a tree first, looked at, and converted. Both ways give
equal events. The digits of book levels are checked by the book, which has to read them anyway.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeVar

import attrs
import msgspec

from kraken_trio import requests
from kraken_trio._digits import checked
from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.events import (
    Asset,
    BookSnapshot,
    BookUpdate,
    Candle,
    InstrumentUpdate,
    Level,
    OrderType,
    Pair,
    Side,
    TickerUpdate,
    Trade,
)
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire.foreign import notice, protocol_of
from kraken_trio.wire.messages import (
    Ack,
    Data,
    DataEvent,
    Empty,
    Foreign,
    Heartbeat,
    Message,
    Method,
    Notice,
    Pong,
    Refusal,
    RefusalKind,
    Status,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from kraken_trio.requests import Request

__all__ = ["CHANNELS", "MAX_ENTRIES", "MAX_FRAME_BYTES", "Channel", "Decoder", "ping", "request", "salvage"]

MAX_ENTRIES: Final = 20_000
"""The most entries of one frame, other than books: reference data of all of Kraken has about 1500."""
_MAX_UNKNOWN_NAMES: Final = 256  # a peer chooses them
_MAX_TEXT: Final = 500
_MAX_NAME: Final = 100
_MAX_WHOLE: Final = 2**64 - 1
_MAX_WARNINGS: Final = 16


# ---------------------------------------------------------------------------------------------------------------------
# The channels
# ---------------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Channel:
    """One row: how a channel is asked for, and how its data is read."""

    name: str
    request: type[Request]
    identity: Callable[[Any], dict[str, object]]
    """The parameters beside the symbol that name a subscription: said when subscribing and unsubscribing."""
    extras: Callable[[Any], dict[str, object]]
    """The further parameters of a subscribe."""
    read: Callable[[Any, bool], tuple[DataEvent, ...]]
    """The frame's ``data``, and whether it is a snapshot, to events."""
    fields: frozenset[str]
    """The keys of an entry that are known."""
    book: bool = False
    """Is each symbol a book, which is live only when its snapshot has verified?"""


_E = TypeVar("_E")
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _entries(data: Any, kind: type[_E]) -> tuple[_E, ...]:
    return msgspec.convert(data, tuple[kind, ...])  # type: ignore[valid-type]  # a type made at run time


def _read_book(data: Any, snapshot: bool) -> tuple[DataEvent, ...]:  # noqa: FBT001 (the signature of a row)
    return _entries(_known_of_books(data), BookSnapshot if snapshot else BookUpdate)


def _known_of_books(data: Any) -> Any:
    """The same without what this version does not know: the events refuse that."""
    if not isinstance(data, list):
        return data
    return [
        {
            key: _known_of_levels(value) if key in ("bids", "asks") else value
            for key, value in entry.items()
            if key in _BOOK_FIELDS
        }
        if isinstance(entry, dict)
        else entry
        for entry in data
    ]


def _known_of_levels(levels: Any) -> Any:
    if not isinstance(levels, list):
        return levels
    return [
        {key: value for key, value in level.items() if key in _LEVEL_FIELDS} if isinstance(level, dict) else level
        for level in levels
    ]


def _values_checked(event: _Struct) -> _Struct:
    name = ""
    try:
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if isinstance(value, Decimal):
                checked(value)
            elif type(value) is int:
                _whole_checked(value)
    except ProtocolError as error:
        msg = f"{error} - at `$.{name}`"
        raise ProtocolError(msg) from None
    return event


def _whole_checked(value: int) -> int:
    """Whole numbers have 64 bits at most: sums and differences of them can then be printed, too."""
    if not -_MAX_WHOLE <= value <= _MAX_WHOLE:
        msg = "a whole number of more than 64 bits"
        raise ProtocolError(msg)
    return value


def _check_count(entries: list[Any]) -> None:
    if len(entries) > MAX_ENTRIES:
        msg = f"a frame with {len(entries)} entries: at most {MAX_ENTRIES}"
        raise ProtocolError(msg)


def _reader(kind: type[Any]) -> Callable[[Any, bool], tuple[DataEvent, ...]]:
    def read(data: Any, snapshot: bool) -> tuple[DataEvent, ...]:  # noqa: FBT001 (the signature of a row)
        if isinstance(data, list):
            _check_count(data)
        return tuple(
            _values_checked(msgspec.structs.replace(entry, snapshot=snapshot)) for entry in _entries(data, kind)
        )

    return read


def _read_instruments(data: Any, snapshot: bool) -> tuple[DataEvent, ...]:  # noqa: FBT001 (the signature of a row)
    if not isinstance(data, dict):
        msg = "the data of an instrument frame is an object"
        raise ProtocolError(msg)
    assets, pairs = _structured(data, "assets", Asset), _structured(data, "pairs", Pair)
    return (InstrumentUpdate(assets=assets, pairs=pairs, snapshot=snapshot),)


def _structured(data: Mapping[str, Any], name: str, kind: type[_Struct]) -> tuple[_Struct, ...]:
    """The entries of one list of reference data. The first bad one ends it: a million of them must cost no more."""
    entries = data.get(name)
    if entries is None:
        return ()
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        msg = f"the {name} of an instrument frame are a list of objects"
        raise ProtocolError(msg)
    _check_count(entries)
    structured = []
    for index, entry in enumerate(entries):
        try:
            structured.append(_printable_names(_values_checked(msgspec.convert(entry, kind))))
        except (msgspec.ValidationError, ProtocolError) as error:
            what, _, where = printable(error).partition(" - at `$")  # nothing is there if the whole entry is wrong
            msg = f"{what} - at `{name}[{index}]{where or '`'}"
            raise ProtocolError(msg) from None
    return tuple(structured)


def _printable_names(entry: _Struct) -> _Struct:
    """Names of reference data are for people, too: whatever stands there, a program may print it."""
    changes = {
        name: printable(value, _MAX_NAME)
        for name in entry.__struct_fields__
        if isinstance(value := getattr(entry, name), str) and not (len(value) <= _MAX_NAME and value.isprintable())
    }
    return msgspec.structs.replace(entry, **changes) if changes else entry


_OURS: Final = frozenset({"epoch", "received_ns", "snapshot"})
"""Fields of events that do not come from the exchange."""


def _names(kind: type[msgspec.Struct], *, also: Iterable[str] = ()) -> frozenset[str]:
    return frozenset(set(kind.__struct_encode_fields__) - _OURS | set(also))


_BOOK_FIELDS: Final = _names(BookSnapshot)
_LEVEL_FIELDS: Final = _names(Level)


def _nothing(_request: object) -> dict[str, object]:
    return {}


def _snapshot(_request: object) -> dict[str, object]:
    return {"snapshot": True}


CHANNELS: Final[Mapping[str, Channel]] = {
    row.name: row
    for row in (
        Channel(
            name="book",
            request=requests.Book,
            identity=lambda request: {"depth": request.depth},
            extras=_snapshot,
            read=_read_book,
            fields=_BOOK_FIELDS | {"epoch", "received_ns"},  # they are set after decoding, whatever a frame says
            book=True,
        ),
        Channel(
            name="trade",
            request=requests.Trades,
            identity=_nothing,
            extras=_snapshot,  # whether a program wants it or not: numbering has to begin somewhere
            read=_reader(Trade),
            fields=_names(Trade),
        ),
        Channel(
            name="ticker",
            request=requests.Ticker,
            identity=lambda request: {"event_trigger": request.trigger},
            extras=_snapshot,
            read=_reader(TickerUpdate),
            fields=_names(TickerUpdate),
        ),
        Channel(
            name="ohlc",
            request=requests.Candles,
            identity=lambda request: {"interval": request.interval},
            extras=_snapshot,
            read=_reader(Candle),
            fields=_names(Candle, also=["timestamp"]),  # deprecated, and wrong in the documentation
        ),
        Channel(
            name="instrument",
            request=requests.Instruments,
            identity=lambda request: {"include_tokenized_assets": True} if request.include_tokenized_assets else {},
            extras=_snapshot,
            read=_read_instruments,
            fields=frozenset({"assets", "pairs"}),
        ),
    )
}
"""Every channel that can be subscribed to."""

_ENVELOPES: Final[Mapping[str, frozenset[str]]] = {
    "ohlc": frozenset({"channel", "type", "data", "timestamp"}),
    "": frozenset({"channel", "type", "data"}),
}

# ---------------------------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------------------------


def request(method: Method, asked: Sequence[Request], req_id: int) -> str:
    """One frame that subscribes or unsubscribes ``asked``: the same channel and parameters, differing in the symbol."""
    first = asked[0]
    assert first.channel is not None  # the client answers the others itself
    row = CHANNELS[first.channel]
    params: dict[str, object] = {"channel": row.name}
    if first.symbol is not None:
        params["symbol"] = [one.symbol for one in asked]
    params |= row.identity(first)
    if method is Method.SUBSCRIBE:
        params |= row.extras(first)
    return _text({"method": method.value, "params": params, "req_id": req_id})


def ping(req_id: int) -> str:
    """A frame that asks for a :class:`~kraken_trio.wire.messages.Pong`."""
    return _text({"method": "ping", "req_id": req_id})


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------


class _Updates(Data, frozen=True, gc=False, forbid_unknown_fields=True):
    channel: Literal["book"]
    events: tuple[BookUpdate, ...] = msgspec.field(name="data")
    type: Literal["update"]


class _Snapshots(Data, frozen=True, gc=False, forbid_unknown_fields=True):
    channel: Literal["book"]
    events: tuple[BookSnapshot, ...] = msgspec.field(name="data")
    type: Literal["snapshot"]


_UPDATE_STARTS: Final = '{"channel":"book","type":"update",'
_SNAPSHOT_STARTS: Final = '{"channel":"book","type":"snapshot",'
_UPDATE_STARTS_BYTES: Final = _UPDATE_STARTS.encode()
_SNAPSHOT_STARTS_BYTES: Final = _SNAPSHOT_STARTS.encode()

# Numbers of levels stay the texts that they are on the wire.
_decode_update = msgspec.json.Decoder(_Updates, float_hook=str).decode
_decode_snapshot = msgspec.json.Decoder(_Snapshots, float_hook=str).decode
_decode_tree = msgspec.json.Decoder(float_hook=Decimal).decode
# What a peer's bytes can make msgspec raise. RecursionError: deep nesting; UnicodeDecodeError is a ValueError.
_REFUSED: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)

# The events are frozen, and made by the decoder without these two: this is how they get them.
_set_update_epoch = BookUpdate.epoch.__set__  # type: ignore[attr-defined]  # a slot's descriptor
_set_update_received = BookUpdate.received_ns.__set__  # type: ignore[attr-defined]  # a slot's descriptor
_set_snapshot_epoch = BookSnapshot.epoch.__set__  # type: ignore[attr-defined]
_set_snapshot_received = BookSnapshot.received_ns.__set__  # type: ignore[attr-defined]


class Decoder:
    """Kraken's v2 protocol as a :class:`~kraken_trio.wire.codec.Codec`. It remembers only what it counts."""

    channels: Collection[str] = frozenset(CHANNELS)
    snapshots_carry_checksums: bool = True

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        """How often something was met that this version does not know: ``"channel foo"``, ``"field book.foo"``,
        ``"value trade.side"``. At most 256 names; the rest is ``"more"``."""

    def decode(self, frame: str | bytes, epoch: int = 0, received_ns: int = 0) -> Message:
        """The message of one frame. Raises :class:`~kraken_trio.ProtocolError`, and nothing else."""
        if len(frame) > MAX_FRAME_BYTES:
            msg = f"a frame of {len(frame)} bytes is longer than {MAX_FRAME_BYTES}"
            raise ProtocolError(msg)
        begins: object = None
        try:
            if frame.startswith(_UPDATE_STARTS if type(frame) is str else _UPDATE_STARTS_BYTES):  # type: ignore[arg-type]
                begins = "update"
                updates = _decode_update(frame)
                for update in updates.events:
                    _set_update_epoch(update, epoch)
                    _set_update_received(update, received_ns)
                return updates
            if frame.startswith(_SNAPSHOT_STARTS if type(frame) is str else _SNAPSHOT_STARTS_BYTES):  # type: ignore[arg-type]
                begins = "snapshot"
                snapshots = _decode_snapshot(frame)
                for snapshot in snapshots.events:
                    _set_snapshot_epoch(snapshot, epoch)
                    _set_snapshot_received(snapshot, received_ns)
                return snapshots
        except _REFUSED:
            pass  # it holds something that is not known, or is not right: the other way finds out what
        try:
            tree = _decode_tree(frame)
            if begins is None or (tree["channel"], tree["type"]) == ("book", begins):
                return self._message(tree, epoch, received_ns, frame)
            problem = "a key stands twice"
        except ProtocolError as error:
            problem = str(error)
        except _REFUSED as error:
            text = notice(frame)
            if text is not None:
                return Notice(text=text)
            problem = printable(error)
        msg = f"{problem}; the frame begins {_excerpt(frame)}"
        raise ProtocolError(msg)

    def request(self, method: Method, asked: Sequence[Request], req_id: int) -> str:
        return request(method, asked, req_id)

    def ping(self, req_id: int) -> str:
        return ping(req_id)

    def guess_topic(self, frame: str | bytes) -> tuple[str | None, str | None]:
        return salvage(frame)

    def _message(self, tree: Any, epoch: int, received_ns: int, frame: str | bytes) -> Message:
        if not isinstance(tree, dict):
            return _foreign(tree, frame) or _no_object()
        if "method" in tree:
            return self._answer(tree)
        channel = tree.get("channel")
        if channel == "heartbeat":
            return Heartbeat()
        if channel == "status":
            return self._status(tree)
        if isinstance(channel, str):
            if tree.get("success") is False or ("data" not in tree and _error(tree) is not None):
                return _refusal(tree)  # an answer that forgot its method
            row = CHANNELS.get(channel)
            if row is None:
                return self._unknown(f"channel {printable(channel, 40)}", channel)
            kind = tree.get("type")
            if kind not in ("snapshot", "update"):
                return self._unknown(f"type {printable(channel, 40)}.{printable(kind, 40)}", channel)
            events = row.read(tree.get("data"), kind == "snapshot")
            self._count_unknown_fields(tree, row)
            if kind == "snapshot" and not events:
                return Empty(channel)
            for event in events:
                self._look_at(event)
            return Data(channel, tuple(_stamped(event, epoch, received_ns) for event in events))
        foreign = _foreign(tree, frame)
        if foreign is not None:
            return foreign
        return self._unknown("frame") if _error(tree) is None else _refusal(tree)

    def _answer(self, tree: dict[str, Any]) -> Message:
        method = tree["method"]
        if method == "pong":
            return Pong(req_id=_whole(tree, "req_id"))
        result = tree.get("result")
        if tree.get("success") is True and isinstance(result, dict):
            if method not in ("subscribe", "unsubscribe"):
                return self._unknown(f"method {printable(method, 40)}")
            channel, symbol, warnings = result.get("channel"), result.get("symbol"), result.get("warnings")
            return Ack(
                method=Method(method),
                channel=channel if isinstance(channel, str) else "",
                symbol=symbol if isinstance(symbol, str) else None,
                req_id=_whole(tree, "req_id"),
                depth=_whole(result, "depth"),
                interval=_whole(result, "interval"),
                warnings=_texts(warnings),
            )
        return _refusal(tree)

    def _status(self, tree: dict[str, Any]) -> Message:
        data = tree.get("data")
        entry = data[-1] if isinstance(data, list) and data else data
        if not isinstance(entry, dict) or not isinstance(entry.get("system"), str):
            return self._unknown("status without system", "status")
        notices = [*_items(entry.get("upcoming_maintenance")), *_items(entry.get("emergency"))]
        return Status(
            system=printable(entry["system"], 40),
            version=printable(entry.get("version", ""), 40),
            api_version=printable(entry.get("api_version", ""), 40),
            connection_id=_whole(entry, "connection_id"),
            notices=tuple(printable(_text(notice), _MAX_TEXT) for notice in notices[:_MAX_WARNINGS]),
        )

    # What is not known

    def _unknown(self, what: str, channel: str | None = None) -> Unknown:
        self._count(what)
        return Unknown(what=what, channel=None if channel is None else printable(channel, 40))

    def _count(self, what: str) -> None:
        known = what in self.unknown or len(self.unknown) < _MAX_UNKNOWN_NAMES
        self.unknown[what if known else "more"] += 1

    def _count_unknown_fields(self, tree: dict[str, Any], row: Channel) -> None:
        for key in tree.keys() - _ENVELOPES.get(row.name, _ENVELOPES[""]):
            self._count(f"field {row.name}:{printable(key, 40)}")
        data = tree["data"]
        for entry in data if isinstance(data, list) else [data]:
            for key in entry.keys() - row.fields:
                self._count(f"field {row.name}.{printable(key, 40)}")
            if row.book:
                for level in (*entry["bids"], *entry["asks"]):
                    for key in level.keys() - _LEVEL_FIELDS:
                        self._count(f"field {row.name}.level.{printable(key, 40)}")

    def _look_at(self, event: DataEvent) -> None:
        if isinstance(event, Trade):
            if event.side is Side.UNKNOWN:
                self._count("value trade.side")
            if event.ord_type is OrderType.UNKNOWN:
                self._count("value trade.ord_type")


def _stamped(event: DataEvent, epoch: int, received_ns: int) -> DataEvent:
    return msgspec.structs.replace(event, epoch=epoch, received_ns=received_ns)


def _excerpt(frame: str | bytes, limit: int = 80) -> str:
    start = frame[: limit + 1]
    return printable(start if isinstance(start, str) else start.decode("utf-8", "replace"), limit)


def _foreign(document: Any, frame: str | bytes) -> Foreign | None:
    protocol = protocol_of(document)
    return None if protocol is None else Foreign(protocol=protocol, text=_excerpt(frame, 200))


def _no_object() -> NoReturn:
    msg = "not an object"
    raise ProtocolError(msg)


def _whole(tree: dict[str, Any], key: str) -> int | None:
    value = tree.get(key)
    return value if type(value) is int and abs(value) <= _MAX_WHOLE else None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(printable(text) for text in _items(value)[:_MAX_WARNINGS])


_KINDS: Final = (
    ("Exceeded msg rate", RefusalKind.RATE_LIMITED),
    ("EAPI:Rate limit exceeded", RefusalKind.RATE_LIMITED),
    ("EAuth:Rate limit exceeded", RefusalKind.RATE_LIMITED),
    ("EGeneral:Too many requests", RefusalKind.RATE_LIMITED),
    ("Rate limit for snapshot requests exceeded", RefusalKind.LATER),
    ("EService:", RefusalKind.LATER),
    ("EGeneral:Internal error", RefusalKind.LATER),
    ("EGeneral:Temporary lockout", RefusalKind.LATER),
    ("Already subscribed to one", RefusalKind.FINAL),
    ("Already subscribed", RefusalKind.ALREADY),
    ("Subscription Not Found", RefusalKind.ABSENT),
)
"""How an error text begins, in whatever case, and what it means (docs/reference/protocol.md, errors). That there were
too many requests may stand anywhere in it. Every other text is final."""
_COMPARED: Final = tuple((words.lower(), kind) for words, kind in _KINDS)


def _kind(error: str) -> RefusalKind:
    text = error.lower()
    for words, kind in _COMPARED:
        if text.startswith(words) or (kind is RefusalKind.RATE_LIMITED and words in text):
            return kind
    return RefusalKind.FINAL


def _error(tree: dict[str, Any]) -> str | None:
    """The words of an error, wherever they stand."""
    keys = ("error", "Error", "errorMessage", *(("message",) if tree.get("event") == "error" else ()))
    return next((tree[key] for key in keys if isinstance(tree.get(key), str)), None)


def _refusal(tree: dict[str, Any]) -> Refusal:
    words = _error(tree)
    error = "the exchange gave no reason" if words is None else printable(words.strip(), _MAX_TEXT)
    inside = result if isinstance(result := tree.get("result"), dict) else {}
    symbol, method, channel = tree.get("symbol"), tree.get("method"), tree.get("channel", inside.get("channel"))
    return Refusal(
        error=error,
        kind=_kind(error),
        symbol=symbol if isinstance(symbol, str) else None,
        mentioned=() if isinstance(symbol, str) else _mentioned(error, symbol, inside.get("symbol")),
        channel=channel if isinstance(channel, str) else None,
        req_id=_whole(tree, "req_id"),
        method=method if isinstance(method, str) else None,
    )


_MAX_MENTIONED: Final = 1000
_TOKEN: Final = re.compile(r"[A-Za-z0-9./\-]+", re.ASCII)
_PAIR: Final = re.compile(r"[A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32}", re.ASCII)
_NAMED_LAST: Final = re.compile(
    r"currency pair not (?:supported|in ISO 4217-A3 format)\s+(\S{1,65})\s*", re.ASCII | re.IGNORECASE
)


def _mentioned(error: str, *places: Any) -> tuple[str, ...]:
    """The symbols that an error without a symbol of its own is about: those of its fields, or those of its words.

    A field that holds several of them may only repeat the request; the words, if they name any, name the bad ones.
    """
    fields = [text for place in places for text in _pairs(place)]
    found = fields if len(fields) == 1 else _pairs_in(error) or fields
    return tuple(dict.fromkeys(symbol.upper() for symbol in found))


def _pairs(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in islice(values, _MAX_MENTIONED) if isinstance(text, str) and _PAIR.fullmatch(text)]


def _pairs_in(error: str) -> list[str]:
    named = _NAMED_LAST.fullmatch(error)
    if named:
        return [named[1]]
    tokens = (token.rstrip(".") for token in _TOKEN.findall(error))
    return [token for token in tokens if _PAIR.fullmatch(token)]


_CHANNEL_NAME = re.compile(r'"channel"\s*:\s*"([a-z0-9_]{1,32})"')
_SYMBOL_NAME = re.compile(r'"symbol"\s*:\s*"([A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32})"')
_SALVAGE_BYTES: Final = 4096


def salvage(frame: str | bytes) -> tuple[str | None, str | None]:
    """The channel and symbol that a frame which could not be decoded seems to be about; None for what is not there.

    It guesses, from the frame's beginning, and is right for a frame that was damaged elsewhere.
    """
    start = frame[:_SALVAGE_BYTES]
    text = start if isinstance(start, str) else start.decode("utf-8", "replace")
    channel, symbol = _CHANNEL_NAME.search(text), _SYMBOL_NAME.search(text)
    return (channel[1] if channel else None, symbol[1] if symbol else None)
