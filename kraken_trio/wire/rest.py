"""Questions to the exchange's REST interface, and what is read from the answers. Pure: nobody here sends anything.

A :class:`Query` is a value: whoever decides that something must be known returns it, the runtime asks, and the
:class:`Answer` comes back as an input. So a recording holds both, and a replay needs no REST.

Rules (docs/reference/protocol.md, REST): an answer may be older than what the stream has told; a page has 50 rows,
the newest first; any field may be missing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio._digits import number
from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Execution, Fee, Side
from kraken_trio.wire.names import symbol_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "PAGE",
    "Answer",
    "Query",
    "ended_orders",
    "fills",
    "named_pairs",
    "pair_names",
    "precisions",
]

PAGE: Final = 50
"""The rows of a page of history."""
MAX_ROWS: Final = 20_000
"""The most entries that are read from one answer."""
_MAX_NAME: Final = 100


@attrs.frozen
class Query:
    """A question to the REST interface. Two equal ones are one question."""

    name: str
    """The call: ``TradesHistory``, ``QueryOrders``, ``AssetPairs``."""
    params: tuple[tuple[str, str], ...] = ()
    private: bool = True
    """Whether it is about an account, and must be signed."""
    after: float = 0.0
    """How many seconds to wait before it is asked."""
    number: int = 0
    """Tells apart questions that are asked again."""


@attrs.frozen
class Answer:
    """What came of a :class:`Query`."""

    result: Any = None
    """The ``result`` of the answer, as a tree: dicts, lists, and scalars; numbers with a point are Decimals, or texts
    with the same digits."""
    pairs: Mapping[str, str] = attrs.Factory(dict)
    """The symbols of the pairs that the result names, by REST's names for them."""
    error: str | None = None
    """Why there is none, printable: everything has been tried that may help."""
    received_ns: int = 0
    """When it was received."""


def precisions(result: Any) -> dict[str, tuple[int, int]]:
    """(AssetPairs) The decimals of prices and quantities, by symbol as v2 spells it."""
    found: dict[str, tuple[int, int]] = {}
    for row in result.values() if isinstance(result, dict) else ():
        if isinstance(row, dict):
            name, price, qty = row.get("wsname"), row.get("pair_decimals"), row.get("lot_decimals")
            if isinstance(name, str) and type(price) is int and type(qty) is int:
                found[symbol_of(printable(name, _MAX_NAME))] = (price, qty)
    return found


def pair_names(result: Any) -> dict[str, str]:
    """(AssetPairs) Symbols as v2 spells them, by each of the names that REST has for them."""
    found: dict[str, str] = {}
    for key, row in _rows(result).items():
        name = row.get("wsname")
        if isinstance(name, str):
            symbol = symbol_of(printable(name, _MAX_NAME))
            for other in (key, row.get("altname"), name):
                if isinstance(other, str):
                    found[other] = symbol
    return found


def fills(result: Any, names: Mapping[str, str]) -> list[Execution]:
    """(TradesHistory, QueryTrades) The fills of an answer, in its order. ``names`` is :func:`pair_names`."""
    trades = result.get("trades", result) if isinstance(result, dict) else None
    return [_fill(exec_id, row, names) for exec_id, row in _rows(trades).items()]


def _fill(exec_id: str, row: Mapping[str, Any], names: Mapping[str, str]) -> Execution:
    order_id = row.get("ordertxid")
    if not isinstance(order_id, str):
        msg = f"a trade of REST without its order: {printable(exec_id, _MAX_NAME)}"
        raise ProtocolError(msg)
    pair = row.get("pair")
    fee = _decimal(row, "fee")
    symbol = None if not isinstance(pair, str) else names.get(pair)
    maker = row.get("maker")
    trade_id = row.get("trade_id")
    return Execution(
        exec_type="trade",
        order_id=order_id,
        symbol=symbol,
        side=_side(row),
        order_type=_text(row, "ordertype"),
        exec_id=exec_id,
        trade_id=trade_id if type(trade_id) is int else None,
        last_qty=_decimal(row, "vol"),
        last_price=_decimal(row, "price"),
        cost=_decimal(row, "cost"),
        liquidity_ind=None if not isinstance(maker, bool) else "m" if maker else "t",
        fees=() if fee is None or symbol is None else (Fee(asset=symbol.partition("/")[2], qty=fee),),
        timestamp=_time(row, "time"),
        recovered=True,
    )


_ENDS: Final = {"closed": "filled", "canceled": "canceled", "expired": "expired"}
"""How REST calls the ends of an order, and how the stream does."""


def ended_orders(result: Any, names: Mapping[str, str]) -> dict[str, Execution | None]:
    """(QueryOrders) The reports of the orders' ends, by order; None for an order that REST does not know as ended."""
    found: dict[str, Execution | None] = {}
    for order_id, row in _rows(result).items():
        end = _ENDS.get(_text(row, "status") or "")
        descr = row.get("descr")
        what: Mapping[str, Any] = descr if isinstance(descr, dict) else {}
        pair = what.get("pair")
        found[order_id] = (
            None
            if end is None
            else Execution(
                exec_type=end,
                order_id=order_id,
                order_status=end,
                symbol=names.get(pair) if isinstance(pair, str) else None,
                side=_side(what),
                order_type=_text(what, "ordertype"),
                order_qty=_decimal(row, "vol"),
                cum_qty=_decimal(row, "vol_exec"),
                cum_cost=_decimal(row, "cost"),
                avg_price=_decimal(row, "price"),
                cl_ord_id=_text(row, "cl_ord_id"),
                reason=_text(row, "reason"),
                timestamp=_time(row, "closetm"),
                recovered=True,
            )
        )
    return found


def named_pairs(result: Any) -> set[str]:
    """(TradesHistory, QueryOrders) REST's names of the pairs in an answer."""
    trades = result.get("trades", result) if isinstance(result, dict) else None
    names: set[str] = set()
    for row in _rows(trades).values():
        descr = row.get("descr")
        pair = descr.get("pair") if isinstance(descr, dict) else row.get("pair")
        if isinstance(pair, str):
            names.add(pair)
    return names


def _rows(result: Any) -> dict[str, dict[str, Any]]:
    """The rows of an answer by their keys. Raises :class:`~kraken_trio.ProtocolError`."""
    if not isinstance(result, dict) or len(result) > MAX_ROWS:
        msg = "an answer of REST that is no object, or too large"
        raise ProtocolError(msg)
    return {key: row for key, row in result.items() if isinstance(key, str) and isinstance(row, dict)}


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    return printable(value, _MAX_NAME) if isinstance(value, str) else None


def _decimal(row: Mapping[str, Any], key: str) -> Decimal | None:
    value = row.get(key)
    if value is None or isinstance(value, bool):
        return None
    return number(str(value) if isinstance(value, Decimal) else value)


def _side(row: Mapping[str, Any]) -> Side | None:
    value = row.get("type")
    return Side(value) if isinstance(value, str) else None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SECONDS: Final = 2**33


def _time(row: Mapping[str, Any], key: str) -> datetime | None:
    """A time in seconds, with a point, to microseconds."""
    seconds = _decimal(row, key)
    if seconds is None or not 0 <= seconds < _MAX_SECONDS:
        return None
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
