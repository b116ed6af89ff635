"""The channels of the v2 protocol, one row each: how it is requested, and how its data becomes events.

A new channel is a row in :data:`CHANNELS`. No other module of the protocol depends on the name of a channel, except for
those that are not subscribed to (``status``, ``heartbeat``).

Entries are decoded into a tree and then converted to the channel's event class; unknown fields are counted. The digits
of book levels are checked by the book, which has to read them anyway.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar, cast

import attrs
import msgspec

from kraken_trio import requests
from kraken_trio._digits import checked, number_text
from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.events import (
    Asset,
    Balance,
    BalanceUpdate,
    BookSnapshot,
    BookUpdate,
    Candle,
    Execution,
    InstrumentUpdate,
    Level,
    Level3Snapshot,
    Level3Update,
    OrderEvent,
    OrderType,
    Pair,
    RestingOrder,
    Side,
    TickerUpdate,
    Trade,
)
from kraken_trio.wire.messages import Data, DataEvent, Terms
from kraken_trio.wire.tree import check_count, whole_checked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from kraken_trio.requests import Request

__all__ = ["CHANNELS", "Channel", "FastPath", "Ours", "fast_path", "fields_of", "reader"]

_MAX_NAME: Final = 100


class Ours(TypedDict):
    """Fields that the client sets in all events of a frame; they are never taken from the frame."""

    snapshot: bool
    epoch: int
    received_ns: int


@attrs.frozen(kw_only=True)
class FastPath:
    """Decodes a frame directly into events, if it begins as the exchange writes it."""

    channel: str
    kind: str
    """``snapshot`` or ``update``."""
    starts: str
    """The beginning of such a frame."""
    read: Callable[[str | bytes], Data]
    """The message, with events that lack ``epoch`` and ``received_ns``. Raises if the frame has unknown contents."""


def fast_path(channel: str, kind: str, event: type[msgspec.Struct]) -> FastPath:
    """The fast path for frames of ``channel`` with events of this class, whose numbers stay texts."""
    frame = msgspec.defstruct(
        f"_{event.__name__}Frame",
        [
            ("channel", Literal[channel]),
            ("events", tuple[event, ...], msgspec.field(name="data")),  # type: ignore[valid-type]  # a type made at run time
            ("type", Literal[kind]),
        ],
        bases=(Data,),
        frozen=True,
        gc=False,
        eq=False,  # Data has its own
        forbid_unknown_fields=True,
    )
    return FastPath(
        channel=channel,
        kind=kind,
        starts=f'{{"channel":"{channel}","type":"{kind}",',
        read=msgspec.json.Decoder(cast("type[Data]", frame), float_hook=str).decode,
    )


def _nothing(_request: object) -> dict[str, object]:
    return {}


def _snapshot(_request: object) -> dict[str, object]:
    return {"snapshot": True}


def _instruments(request: requests.Instruments) -> dict[str, object]:
    params: dict[str, object] = {"snapshot": True}
    if request.include_tokenized_assets:  # mutant: tokenized assets
        params["include_tokenized_assets"] = True
    return params


_NO_TERMS: Final = Terms()
_LEVEL3_TERMS: Final = {
    depth: Terms(is_alone=True, cost=cost, max_symbols=200) for depth, cost in ((10, 5), (100, 25), (1000, 100))
}


def _no_terms(_request: object) -> Terms:
    return _NO_TERMS


def _none(_event: object) -> Iterable[str]:
    return ()


@attrs.frozen(kw_only=True)
class Channel:
    """One row: how a channel is requested, and how its data is decoded."""

    name: str
    request: type[Request]
    identity: Callable[[Any], dict[str, object]] = _nothing
    """The parameters besides the symbol that identify a subscription: sent when subscribing and unsubscribing."""
    extras: Callable[[Any], dict[str, object]] = _snapshot
    """The further parameters of a subscribe."""
    read: Callable[[Any, Ours], tuple[Any, ...]]
    """The frame's ``data`` to events. Raises ``ProtocolError``, or what :mod:`msgspec` raises."""
    envelope: frozenset[str] = frozenset({"channel", "type", "data"})
    """The known keys of a frame."""
    fields: frozenset[str]
    """The known keys of an entry."""
    parts: Mapping[str, frozenset[str]] = {}
    """The known keys of the elements of an entry's lists."""
    unknown_values: Callable[[Any], Iterable[str]] = _none
    """The fields of an event whose values are unknown to this version."""
    fast: tuple[FastPath, ...] = ()
    """Fast paths, the most frequent first."""
    terms: Callable[[Any], Terms] = _no_terms
    """What the exchange demands of a subscription."""
    needs_token: bool = False
    """Whether requests have the token of the connection."""
    is_numbered: bool = False
    """Whether its messages have a ``sequence``: they are decoded into one :class:`~.messages.Numbered` each."""


_E = TypeVar("_E")
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def _entries(data: Any, kind: type[_E]) -> tuple[_E, ...]:
    return msgspec.convert(data, tuple[kind, ...])  # type: ignore[valid-type]  # a type made at run time


def _book_reader(
    snapshot: type[DataEvent],
    update: type[DataEvent],
    of_snapshot: type[msgspec.Struct],
    of_update: type[msgspec.Struct],
) -> Callable[[Any, Ours], tuple[DataEvent, ...]]:
    """A reader for books of these events, and of these elements of their sides."""

    def read(data: Any, ours: Ours) -> tuple[DataEvent, ...]:
        kind, element = (snapshot, of_snapshot) if ours["snapshot"] else (update, of_update)
        known = _known_of_books(data, fields_of(kind), fields_of(element), ours["epoch"], ours["received_ns"])
        return _entries(known, kind)

    return read


def _known_of_books(data: Any, fields: Collection[str], element: Collection[str], epoch: int, received_ns: int) -> Any:
    """The same without unknown fields, which the events would reject."""
    if not isinstance(data, list):
        return data
    return [
        {
            key: _known_of_side(value, element) if key in ("bids", "asks") else value
            for key, value in entry.items()
            if key in fields
        }
        | {"epoch": epoch, "received_ns": received_ns}
        if isinstance(entry, dict)
        else entry
        for entry in data
    ]


def _known_of_side(elements: Any, fields: Collection[str]) -> Any:
    if not isinstance(elements, list):
        return elements
    return [
        {key: _as_text(value) for key, value in element.items() if key in fields}
        if isinstance(element, dict)
        else element
        for element in elements
    ]


def _as_text(value: Any) -> Any:
    """The text of a number, as the fast path leaves it in a level; the book rejects what is not a number."""
    return number_text(value) if isinstance(value, Decimal) else value


def _values_checked(event: _Struct) -> _Struct:
    name = ""
    try:
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if isinstance(value, Decimal):
                checked(value)
            elif type(value) is int:
                whole_checked(value)
    except ProtocolError as error:
        msg = f"{error} - at `$.{name}`"
        raise ProtocolError(msg) from None
    return event


def reader(kind: type[Any]) -> Callable[[Any, Ours], tuple[DataEvent, ...]]:
    """A reader for a list of entries with the fields of this class of events."""

    def read(data: Any, ours: Ours) -> tuple[DataEvent, ...]:
        if isinstance(data, list):
            check_count(len(data))
            data = [{**entry, **ours} if isinstance(entry, dict) else entry for entry in data]
        return tuple(_values_checked(event) for event in _entries(data, kind))

    return read


def _read_instruments(data: Any, ours: Ours) -> tuple[DataEvent, ...]:
    if not isinstance(data, dict):
        msg = "the data of an instrument frame is an object"
        raise ProtocolError(msg)
    assets, pairs = _structured(data, "assets", Asset), _structured(data, "pairs", Pair)
    return (InstrumentUpdate(assets=assets, pairs=pairs, **ours),)


def _structured(data: Mapping[str, Any], name: str, kind: type[_Struct]) -> tuple[_Struct, ...]:
    """The entries of one list of reference data. The first invalid one ends it, which bounds the cost."""
    entries = data.get(name)
    if entries is None:
        return ()
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        msg = f"the {name} of an instrument frame are a list of objects"
        raise ProtocolError(msg)
    check_count(len(entries))
    structured = []
    for index, entry in enumerate(entries):
        try:
            structured.append(_printable_names(_values_checked(msgspec.convert(entry, kind))))
        except (msgspec.ValidationError, ProtocolError) as error:
            what, _, where = printable(error).partition(" - at `$")  # empty if the whole entry is invalid
            msg = f"{what} - at `{name}[{index}]{where or '`'}"
            raise ProtocolError(msg) from None
    return tuple(structured)


def _printable_names(entry: _Struct) -> _Struct:
    """Escape the names of reference data, which a program may print."""
    changes = {
        name: printable(value, _MAX_NAME)
        for name in entry.__struct_fields__
        if isinstance(value := getattr(entry, name), str) and not (len(value) <= _MAX_NAME and value.isprintable())
    }
    return msgspec.structs.replace(entry, **changes) if changes else entry


_OURS: Final = frozenset({"epoch", "received_ns", "snapshot"})
"""Fields of events that are not sent by the exchange."""


def fields_of(kind: type[msgspec.Struct], *, also: Iterable[str] = ()) -> frozenset[str]:
    """The known keys of an entry that becomes such an event, including those that are not used."""
    return frozenset(set(kind.__struct_encode_fields__) - _OURS | set(also))


_NUMBERED: Final = frozenset({"channel", "type", "data", "sequence"})
_BOOK_FIELDS: Final = fields_of(BookSnapshot)
_LEVEL_FIELDS: Final = fields_of(Level)
_ORDER_FIELDS: Final = fields_of(OrderEvent)


_EXECUTION_FIELDS: Final = fields_of(Execution) - {"changed", "recovered"}
_DEPRECATED: Final = ("cancel_reason", "trigger", "triggered_price")  # they are in reason and triggers, too


def _read_executions(data: Any, ours: Ours) -> tuple[Execution, ...]:
    reports = []
    for entry in _objects(data):
        known = {key: value for key, value in entry.items() if key in _EXECUTION_FIELDS and value is not None}
        report = msgspec.convert({**known, **ours, "snapshot": False, "changed": sorted(known)}, Execution)
        reports.append(_printable_names(_parts_checked(_values_checked(report))))
    return tuple(reports)


def _parts_checked(report: Execution) -> Execution:
    for part in (*report.fees, report.triggers, report.contingent):
        if part is not None:
            _values_checked(part)
    return report


_BALANCE_FIELDS: Final = fields_of(BalanceUpdate)


def _read_balances(data: Any, ours: Ours) -> tuple[Balance | BalanceUpdate, ...]:
    rows: list[Balance | BalanceUpdate] = []
    for entry in _objects(data):
        if ours["snapshot"]:
            balance = _values_checked(msgspec.convert(entry, Balance))
            for wallet in balance.wallets:
                _values_checked(wallet)
            rows.append(_printable_names(balance))
        else:
            known = {key: value for key, value in entry.items() if key in _BALANCE_FIELDS}
            ours_of_it = {"epoch": ours["epoch"], "received_ns": ours["received_ns"]}
            rows.append(_printable_names(_values_checked(msgspec.convert({**known, **ours_of_it}, BalanceUpdate))))
    return tuple(rows)


def _objects(data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        msg = "the data of a private channel are a list of objects"
        raise ProtocolError(msg)
    check_count(len(data))
    return data


def _executions(_request: object) -> dict[str, object]:
    # Always the orders and the fills: what happened while there was no connection is found by them.
    return {"snap_orders": True, "snap_trades": True, "order_status": True}


def _unknown_side(report: Execution) -> Iterable[str]:
    if report.side is Side.UNKNOWN:
        yield "side"


def _unknown_values(trade: Trade) -> Iterable[str]:
    if trade.side is Side.UNKNOWN:
        yield "side"
    if trade.ord_type is OrderType.UNKNOWN:
        yield "ord_type"


_read_any_trades: Final = reader(Trade)


def _read_trades(data: Any, ours: Ours) -> tuple[DataEvent, ...]:
    trades = _read_any_trades(data, ours)
    if any(trade.trade_id is None for trade in cast("tuple[Trade, ...]", trades)):
        msg = "a trade without a number - at `$.trade_id`"
        raise ProtocolError(msg)
    return trades


CHANNELS: Final[dict[str, Channel]] = {
    row.name: row
    for row in (
        Channel(
            name="book",
            request=requests.Book,
            identity=lambda request: {"depth": request.depth},
            read=_book_reader(BookSnapshot, BookUpdate, Level, Level),
            fields=_BOOK_FIELDS | {"epoch", "received_ns"},  # they are set after decoding, whatever the frame has
            parts={"bids": _LEVEL_FIELDS, "asks": _LEVEL_FIELDS},
            fast=(fast_path("book", "update", BookUpdate), fast_path("book", "snapshot", BookSnapshot)),
        ),
        Channel(
            name="level3",
            request=requests.Level3,
            identity=lambda request: {"depth": request.depth},
            needs_token=True,
            terms=lambda request: _LEVEL3_TERMS[request.depth],
            read=_book_reader(Level3Snapshot, Level3Update, RestingOrder, OrderEvent),
            fields=fields_of(Level3Snapshot) | {"epoch", "received_ns"},
            parts={"bids": _ORDER_FIELDS, "asks": _ORDER_FIELDS},
            fast=(fast_path("level3", "update", Level3Update), fast_path("level3", "snapshot", Level3Snapshot)),
        ),
        Channel(
            name="trade",
            request=requests.Trades,
            # Always requested, so that the trade numbers have a starting point.
            extras=_snapshot,  # mutant: history of trades
            read=_read_trades,
            fields=fields_of(Trade),
            unknown_values=_unknown_values,
        ),
        Channel(
            name="ticker",
            request=requests.Ticker,
            identity=lambda request: {"event_trigger": request.trigger},
            read=reader(TickerUpdate),
            fields=fields_of(TickerUpdate),
        ),
        Channel(
            name="ohlc",
            request=requests.Candles,
            identity=lambda request: {"interval": request.interval},
            read=reader(Candle),
            envelope=frozenset({"channel", "type", "data", "timestamp"}),
            fields=fields_of(Candle, also=["timestamp"]),  # deprecated, and wrong in the documentation
        ),
        Channel(
            name="instrument",
            request=requests.Instruments,
            extras=_instruments,
            read=_read_instruments,
            fields=frozenset({"assets", "pairs"}),
        ),
        Channel(
            name="executions",
            request=requests.Executions,
            extras=_executions,
            read=_read_executions,
            envelope=_NUMBERED,
            fields=_EXECUTION_FIELDS.union(_DEPRECATED),
            unknown_values=_unknown_side,
            needs_token=True,
            is_numbered=True,
        ),
        Channel(
            name="balances",
            request=requests.Balances,
            read=_read_balances,
            envelope=_NUMBERED,
            fields=fields_of(BalanceUpdate, also=fields_of(Balance)),
            needs_token=True,
            is_numbered=True,
        ),
    )
}
"""Every channel that can be subscribed to."""
