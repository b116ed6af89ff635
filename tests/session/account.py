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
    from collections.abc import Callable, Sequence

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

    def snapshot(self, at: float) -> list[dict[str, Any]]:
        """What a snapshot shows: the open orders, and the last fills, the newest first."""
        orders = {order.order_id: order for _, order in self._placed}
        rows: list[dict[str, Any]] = [
            {
                "order_id": order_id, "symbol": SYMBOL, "side": "buy", "order_type": "limit", "exec_type": "new",
                "order_status": "new", "order_qty": orders[order_id].qty, "cum_qty": filled,
            }
            for order_id, filled in self.open_orders(at).items()
        ]  # fmt: skip
        past = [fill for fill in self.fills if fill.at <= at][-PAGE:]
        return [*rows, *(self._trade_row(fill) for fill in reversed(past))]

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


# How each protocol tells it


class V2:
    """The stream of v2: one channel."""

    STATUS = '{"channel":"status","type":"update","data":[{"system":"online"}]}'

    def __init__(self) -> None:
        self._sequence = 0

    def accept(self, sent: Sequence[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
        """The exchange answers the latest request, a subscribe, and sends its snapshot."""
        asked = sent[-1]
        assert asked["method"] == "subscribe"
        result = {"channel": "executions", "maxratecount": 125, "snapshot": True}
        ack = {"method": "subscribe", "success": True, "result": result, "req_id": asked["req_id"]}
        self._sequence = 1
        return [json.dumps(ack), message(rows, 1, kind="snapshot")]

    def refuse(self, sent: Sequence[dict[str, Any]], text: str) -> list[str]:
        refusal = {"error": text, "method": "subscribe", "success": False, "req_id": sent[-1]["req_id"]}
        return [json.dumps(refusal)]

    def tell(self, report: Report) -> list[str]:
        self._sequence += 1
        return [message(list(report.rows), self._sequence)]


class V1:
    """Those of v1: two channels, of which nothing says which one is first."""

    STATUS = '{"connectionID":1,"event":"systemStatus","status":"online","version":"1.9.1"}'

    def __init__(self) -> None:
        self._sequences = {"openOrders": 0, "ownTrades": 0}
        self._number = 0

    def accept(self, sent: Sequence[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
        answers = []
        for asked, name in zip(sent[-2:], self._sequences, strict=True):
            assert (asked["event"], asked["subscription"]["name"]) == ("subscribe", name)
            answer = {"event": "subscriptionStatus", "status": "subscribed", "reqid": asked["reqid"]}
            answers.append(json.dumps({**answer, "channelName": name, "subscription": asked["subscription"]}))
        self._sequences = dict.fromkeys(self._sequences, 0)
        orders = self._frame("openOrders", [_v1_order(row) for row in rows if "exec_id" not in row])
        trades = self._frame("ownTrades", [_v1_trade(row) for row in rows if "exec_id" in row])
        self._number += 1
        orders_first = [answers[0], orders, answers[1], trades]
        return (
            orders_first,
            [answers[1], trades, answers[0], orders],
            [*answers, trades, orders],
            [orders, trades, *answers],
        )[self._number % 4]

    def refuse(self, sent: Sequence[dict[str, Any]], text: str) -> list[str]:
        refusal = {"event": "subscriptionStatus", "status": "error", "errorMessage": text}
        return [
            json.dumps({**refusal, "reqid": asked["reqid"], "subscription": asked["subscription"]})
            for asked in sent[-2:]
        ]

    def tell(self, report: Report) -> list[str]:
        """A fill is two messages."""
        frames = []
        for row in report.rows:
            frames.append(self._frame("openOrders", [_v1_order(row)]))
            if "exec_id" in row:
                frames.append(self._frame("ownTrades", [_v1_trade(row)]))
        self._number += 1
        return frames if self._number % 2 else frames[::-1]

    def _frame(self, name: str, rows: list[dict[str, Any]]) -> str:
        self._sequences[name] += 1
        return json.dumps([rows, name, {"sequence": self._sequences[name]}])


SPEECHES: dict[str, Callable[[], V1 | V2]] = {"v1": V1, "v2": V2}
_V1_STATUS = {"pending_new": "pending", "new": "open", "filled": "closed"}


def _v1_order(row: dict[str, Any]) -> dict[str, Any]:
    """What ``openOrders`` says of a row of v2: of a fill, the new totals."""
    told: dict[str, Any] = {"userref": 0}
    if "cum_qty" in row:
        told |= {"vol_exec": str(row["cum_qty"]), "avg_price": "60000.0"}
    if "exec_id" not in row:
        told["status"] = _V1_STATUS.get(row["order_status"], row["order_status"])
    if "order_qty" in row:
        descr = {"pair": "XBT/USD", "type": "buy", "ordertype": "limit", "price": "60000.0", "price2": "0.0"}
        told |= {"vol": str(row["order_qty"]), "descr": descr, "oflags": "fciq"}
    return {row["order_id"]: told}


def _v1_trade(row: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromisoformat(row["timestamp"]) - datetime(1970, 1, 1, tzinfo=UTC)
    since_1970 = at // timedelta(microseconds=1)
    told = {
        "ordertxid": row["order_id"], "pair": "XBT/USD", "type": "buy", "ordertype": "limit", "price": "60000.0",
        "vol": str(row["last_qty"]), "cost": str(row["cost"]), "fee": "1.5", "margin": "0.0",
        "time": f"{since_1970 // 1_000_000}.{since_1970 % 1_000_000:06}",
    }  # fmt: skip
    return {row["exec_id"]: told}
