"""The two private channels of v1, ``openOrders`` and ``ownTrades``, as the one that v2 makes of them: executions.

Both number their messages, each for itself, from a snapshot with the number 1. Rules:

* An order comes as a whole in the snapshot and when it is placed; after that only what has changed comes.
* A fill comes twice: as a trade with an id of its own, and as new totals of its order, which have no status. Only the
  trade is an execution of the type ``trade``; the totals are a ``status``.
* Nothing says which of the two comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kraken_trio._text import printable
from kraken_trio.events import Execution, Fee, Side, Triggers
from kraken_trio.wire.messages import Numbered
from kraken_trio.wire.names import symbol_of
from kraken_trio.wire.tree import check_count, whole_checked
from kraken_trio.wire.v1.numbers import decimal, microseconds, moment
from kraken_trio.wire.v1.payloads import additions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from kraken_trio.wire.messages import DataEvent
    from kraken_trio.wire.v1.payloads import Context

__all__ = ["CHANNEL", "STREAMS", "OpenOrder", "OwnTrade", "new_in_orders", "new_in_trades", "orders", "trades"]

CHANNEL: Final = "executions"
STREAMS: Final = ("openOrders", "ownTrades")
"""The channels on the wire, in the order in which they are requested."""

_MAX_NAME: Final = 100
_FIRST: Final = 1
"""The number of a snapshot."""


class Description(msgspec.Struct, frozen=True):
    """What an order is; only a whole order has it."""

    pair: str
    side: str = msgspec.field(name="type")
    order_type: str = msgspec.field(name="ordertype")
    price: str | None = None
    """The limit, or the trigger's price."""
    price2: str | None = None
    """The limit of an order with a trigger."""
    leverage: Any = None
    close: Any = None
    order: Any = None


class OpenOrder(msgspec.Struct, frozen=True):
    """An order, or what has changed of it."""

    status: str | None = None
    """None for a fill."""
    descr: Description | None = None
    qty: str | None = msgspec.field(name="vol", default=None)
    cum_qty: str | None = msgspec.field(name="vol_exec", default=None)
    cum_cost: str | None = msgspec.field(name="cost", default=None)
    avg_price: str | None = None
    display_qty: str | None = msgspec.field(name="display_volume", default=None)
    display_qty_remain: str | None = msgspec.field(name="display_volume_remain", default=None)
    time_in_force: str | None = msgspec.field(name="timeinforce", default=None)
    flags: str | None = msgspec.field(name="oflags", default=None)
    userref: int | None = None
    cl_ord_id: str | None = None
    parent: str | None = msgspec.field(name="refid", default=None)
    opened: str | None = msgspec.field(name="opentm", default=None)
    updated: str | None = msgspec.field(name="lastupdated", default=None)
    starts: str | None = msgspec.field(name="starttm", default=None)
    expires: str | None = msgspec.field(name="expiretm", default=None)
    cancel_reason: str | None = None
    amend_reason: str | None = None
    amended: Any = None
    # Known, and of no use: the fee's currency is not said; the others are 0, deprecated or about the account.
    fee: Any = None
    limitprice: Any = None
    stopprice: Any = None
    misc: Any = None
    ratecount: Any = None


class OwnTrade(msgspec.Struct, frozen=True):
    """A fill."""

    order_id: str = msgspec.field(name="ordertxid")
    pair: str
    side: str = msgspec.field(name="type")
    price: str
    qty: str = msgspec.field(name="vol")
    time: str
    order_type: str | None = msgspec.field(name="ordertype", default=None)
    cost: str | None = None
    fee: str | None = None
    userref: int | None = None
    cl_ord_id: str | None = None
    # Known, and of no use.
    margin: Any = None
    postxid: Any = None
    posstatus: Any = None


def orders(parts: Sequence[tuple[dict[str, OpenOrder], ...]], context: Context) -> tuple[DataEvent, ...]:
    """One message of ``openOrders``."""
    rows = _rows(parts)
    return _numbered(STREAMS[0], [_order(*row, context) for row in rows], context)


def trades(parts: Sequence[tuple[dict[str, OwnTrade], ...]], context: Context) -> tuple[DataEvent, ...]:
    """One message of ``ownTrades``."""
    rows = _rows(parts)
    return _numbered(STREAMS[1], [_fill(*row, context) for row in rows], context)


def _rows(parts: Sequence[tuple[dict[str, Any], ...]]) -> list[tuple[str, Any]]:
    rows = [row for part in parts for entry in part for row in entry.items()]
    check_count(len(rows))
    return rows


def _numbered(stream: str, rows: Sequence[Execution], context: Context) -> tuple[DataEvent, ...]:
    one = Numbered(
        channel=CHANNEL,
        snapshot=context.sequence == _FIRST,
        sequence=context.sequence,
        rows=tuple(rows),
        stream=stream,
        streams=STREAMS,
        epoch=context.epoch,
        received_ns=context.received_ns,
    )
    return (one,)


_NEW: Final = "new"
_STATUS: Final = {"pending": "pending_new", "open": _NEW, "closed": "filled"}
"""The names of an order's states that are others in v2."""
_LIMITED: Final = frozenset({"limit", "iceberg"})
"""The types of orders whose price is a limit. That of the others with a price is a trigger's."""


def _order(order_id: str, row: OpenOrder, context: Context) -> Execution:
    cum_qty = _number(row.cum_qty)
    status = None if row.status is None else _STATUS.get(row.status, _name(row.status))
    kind = status
    if kind in (None, _NEW) and row.amended in (True, "true") and row.descr is None:
        kind = "amended"
    if status in (None, _NEW) and cum_qty:
        status = "partially_filled"
    told: dict[str, Any] = {
        "order_status": status,
        "order_qty": _number(row.qty),
        "cum_qty": cum_qty,
        "cum_cost": _number(row.cum_cost),
        "avg_price": _number(row.avg_price),
        "display_qty": _number(row.display_qty),
        "display_qty_remain": _number(row.display_qty_remain),
        "time_in_force": _name(row.time_in_force),
        "order_userref": None if row.userref is None else whole_checked(row.userref),
        "cl_ord_id": _name(row.cl_ord_id),
        "ord_ref_id": _name(row.parent),
        "effective_time": _when(row.starts),
        "expire_time": _when(row.expires),
        "amended": True if row.amended in (True, "true") else None,
        "reason": _name(row.cancel_reason or row.amend_reason),
        "timestamp": _when(row.updated or row.opened),
    }
    if row.flags is not None:
        flags = row.flags.split(",")
        told["fee_ccy_pref"] = next((flag for flag in flags if flag in ("fciq", "fcib")), None)
        told["post_only"] = "post" in flags
    if row.descr is not None:
        told |= _description(row.descr, context)
    return _execution(order_id, kind or "status", told, context)


def _description(what: Description, context: Context) -> dict[str, Any]:
    told: dict[str, Any] = {
        "symbol": _symbol(what.pair),
        "side": _side(what.side, context),
        "order_type": _name(what.order_type),
    }
    if what.order_type in _LIMITED:
        told["limit_price"] = _price(what.price)
    elif (price := _price(what.price)) is not None:
        told["triggers"] = Triggers(price=price)
        told["limit_price"] = _price(what.price2)
    return told


def _fill(exec_id: str, row: OwnTrade, context: Context) -> Execution:
    symbol, fee = _symbol(row.pair), _number(row.fee)
    told: dict[str, Any] = {
        "exec_id": _name(exec_id),
        "symbol": symbol,
        "side": _side(row.side, context),
        "order_type": _name(row.order_type),
        # Whether it completes the order, its own report says. Of an order in the past nothing is known.
        "order_status": None if context.sequence == _FIRST else "partially_filled",
        "last_qty": decimal(row.qty),
        "last_price": decimal(row.price),
        "cost": _number(row.cost),
        "fees": None if fee is None else (Fee(asset=symbol.partition("/")[2], qty=fee),),
        "order_userref": None if row.userref is None else whole_checked(row.userref),
        "cl_ord_id": _name(row.cl_ord_id),
        "timestamp": moment(microseconds(row.time)),
    }
    return _execution(row.order_id, "trade", told, context)


def _execution(order_id: str, kind: str, told: dict[str, Any], context: Context) -> Execution:
    known = {name: value for name, value in told.items() if value is not None}
    known |= {"order_id": printable(order_id, _MAX_NAME), "exec_type": kind}
    return Execution(**known, changed=tuple(sorted(known)), epoch=context.epoch, received_ns=context.received_ns)


def _name(text: str | None) -> str | None:
    return None if text is None else printable(text, _MAX_NAME)


def _symbol(pair: str) -> str:
    return printable(symbol_of(pair), _MAX_NAME)


def _side(text: str, context: Context) -> Side:
    side = Side(text)
    if side is Side.UNKNOWN:
        context.unknown("side")
    return side


def _number(text: str | None) -> Decimal | None:
    return None if text is None else decimal(text)


def _price(text: str | None) -> Decimal | None:
    """A price that is a number other than 0, which stands for none; it may also be relative, such as ``+5%``."""
    if text is None or text[:1] in ("+", "#") or text.endswith("%"):
        return None
    return decimal(text) or None


def _when(text: str | None) -> datetime | None:
    return None if text is None else moment(microseconds(text))


# Additions


def new_in_orders(raw: Any) -> Iterator[str]:
    """The additions to orders, and to their descriptions."""
    for entry in raw:
        for row in entry.values():
            yield from additions(OpenOrder, "openOrders", row)
            yield from additions(Description, "openOrders.descr", row.get("descr") or {})


def new_in_trades(raw: Any) -> Iterator[str]:
    """The additions to fills."""
    for entry in raw:
        for row in entry.values():
            yield from additions(OwnTrade, "ownTrades", row)
