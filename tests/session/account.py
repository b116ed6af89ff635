"""An account at the exchange, as simple as can be: orders that are placed, filled and cancelled at given times.

It has everything that happened, so any moment can be looked at: what the stream sent up to then, what a snapshot shows,
and what REST answers, which may be late.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import attrs

from kraken_trio.wire.rest import Answer
from kraken_trio.wire.tree import decode_tree

if TYPE_CHECKING:
    from kraken_trio.wire.rest import Query

START = datetime(2026, 10, 2, 9, tzinfo=UTC)
PAGE = 50
SYMBOL, PAIR = "BTC/USD", "XXBTZUSD"


@attrs.define
class OneOrder:
    """An order, as of some moment."""

    order_id: str
    qty: Decimal
    filled: Decimal = Decimal(0)
    status: str = "new"


@attrs.frozen
class Fill:
    exec_id: str
    order_id: str
    qty: Decimal
    at: float
    number: int


@attrs.frozen
class Report:
    """One message of the stream, without its number."""

    at: float
    rows: tuple[dict[str, Any], ...]


def stamp(at: float) -> str:
    return f"{START + timedelta(seconds=at):%Y-%m-%dT%H:%M:%S.%f}Z"


class Account:
    """Orders and fills of ``seconds``, made from a seed."""

    def __init__(self, fills: int, seconds: float, seed: int = 0) -> None:
        random = Random(seed)
        self.reports: list[Report] = []
        self.fills: list[Fill] = []
        self._placed: list[tuple[float, OneOrder]] = []
        self.ended: list[tuple[float, str, str]] = []
        open_orders: list[OneOrder] = []
        at = 0.0
        while len(self.fills) < fills:
            at += seconds / fills * random.uniform(0.2, 1.2)
            if len(open_orders) < 3 or random.random() < 0.2:
                order = OneOrder(f"O{len(self._placed):05}-AAAAA-BBBBBB", Decimal(random.randrange(1, 6)))
                open_orders.append(order)
                self._place(order, at)
            order = random.choice(open_orders)
            if random.random() < 0.1:
                self._end(order, at, "canceled")
                open_orders.remove(order)
                continue
            self._fill(order, Decimal(1), at)
            if order.filled == order.qty:
                self._end(order, at, "filled")
                open_orders.remove(order)

    def _place(self, order: OneOrder, at: float) -> None:
        self._placed.append((at, order))
        self._tell(
            at,
            {
                "order_id": order.order_id, "symbol": SYMBOL, "side": "buy", "order_type": "limit",
                "order_qty": order.qty, "limit_price": Decimal("60000.0"), "exec_type": "pending_new",
                "order_status": "pending_new", "time_in_force": "GTC", "cum_cost": Decimal(0), "order_userref": 0,
            },
        )  # fmt: skip
        self._tell(at, {"order_id": order.order_id, "order_userref": 0, "exec_type": "new", "order_status": "new"})

    def _fill(self, order: OneOrder, qty: Decimal, at: float) -> None:
        number = len(self.fills)
        fill = Fill(f"T{number:05}-CCCCC-DDDDDD", order.order_id, qty, at, number)
        order.filled += qty
        self.fills.append(fill)
        self._tell(at, self._trade_row(fill) | {"cum_qty": order.filled, "order_status": "partially_filled"})

    def _trade_row(self, fill: Fill) -> dict[str, Any]:
        return {
            "order_id": fill.order_id, "exec_id": fill.exec_id, "exec_type": "trade", "trade_id": fill.number,
            "symbol": SYMBOL, "side": "buy", "order_type": "limit", "last_qty": fill.qty,
            "last_price": Decimal("60000.0"), "cost": fill.qty * 60000, "liquidity_ind": "m",
            "fees": [{"asset": "USD", "qty": Decimal("1.5")}], "timestamp": stamp(fill.at),
        }  # fmt: skip

    def _end(self, order: OneOrder, at: float, status: str) -> None:
        self.ended.append((at, order.order_id, status))
        row = {"order_id": order.order_id, "exec_type": status, "order_status": status, "cum_qty": order.filled}
        self._tell(at, row)

    def _tell(self, at: float, row: dict[str, Any]) -> None:
        self.reports.append(Report(at, ({"timestamp": stamp(at), **row},)))

    # The stream

    def open_orders(self, at: float) -> dict[str, Decimal]:
        """The open orders, and how much of each has been filled."""
        ended = {order_id for when, order_id, _ in self.ended if when <= at}
        return {
            order.order_id: sum((fill.qty for fill in self.fills if fill.order_id == order.order_id and fill.at <= at),
                                Decimal(0))
            for when, order in self._placed
            if when <= at and order.order_id not in ended
        }  # fmt: skip

    def snapshot(self, at: float) -> str:
        orders = {order.order_id: order for _, order in self._placed}
        rows: list[dict[str, Any]] = [
            {
                "order_id": order_id, "symbol": SYMBOL, "side": "buy", "order_type": "limit", "exec_type": "new",
                "order_status": "new", "order_qty": orders[order_id].qty, "cum_qty": filled,
            }
            for order_id, filled in self.open_orders(at).items()
        ]  # fmt: skip
        past = [fill for fill in self.fills if fill.at <= at][-PAGE:]
        rows += [self._trade_row(fill) for fill in reversed(past)]
        return message(rows, 1, kind="snapshot")

    # REST

    def answer(self, query: Query, at: float) -> Answer:
        """What REST answers if it knows what happened until ``at``."""
        params = dict(query.params)
        assert params["consolidate_taker"] == "false"
        if query.name == "TradesHistory":
            since = float(params.get("start", "0")) - START.timestamp()
            known = [fill for fill in reversed(self.fills) if since < fill.at <= at]
            page = known[int(params["ofs"]) :][:PAGE]
            result: Any = {
                "count": len(known),
                "trades": {
                    fill.exec_id: {
                        "ordertxid": fill.order_id, "pair": PAIR, "time": round(START.timestamp() + fill.at, 4),
                        "type": "buy", "ordertype": "limit", "price": "60000.0", "cost": str(fill.qty * 60000),
                        "fee": "1.5", "vol": str(fill.qty), "maker": True, "trade_id": fill.number,
                    }
                    for fill in page
                },
            }  # fmt: skip
        else:
            assert query.name == "QueryOrders"
            ended = {order_id: (when, status) for when, order_id, status in self.ended if when <= at}
            result = {
                order_id: {
                    "status": {"filled": "closed"}.get(ended[order_id][1], ended[order_id][1]),
                    "closetm": round(START.timestamp() + ended[order_id][0], 4),
                    "descr": {"pair": PAIR, "type": "buy", "ordertype": "limit"},
                }
                if order_id in ended
                else {"status": "open", "descr": {"pair": PAIR, "type": "buy"}}
                for order_id in params["txid"].split(",")
                if any(order.order_id == order_id and when <= at for when, order in self._placed)
            }
        return Answer(decode_tree(json.dumps(result)), pairs={PAIR: SYMBOL}, received_ns=1)


def message(rows: list[dict[str, Any]], sequence: int | None, *, kind: str = "update") -> str:
    frame = {"channel": "executions", "type": kind, "data": rows, "sequence": sequence}
    return json.dumps({key: value for key, value in frame.items() if value is not None}, default=_number)


def _number(value: object) -> Any:
    assert isinstance(value, Decimal)
    return float(value) if value % 1 else int(value)
