"""The frames of v1's private channels: they are the reports that v2 makes of the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio import Executions, ProtocolError, Side
from kraken_trio.events import Execution, Fee, Triggers
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import TOKEN, Ack, Data, Foreign, Method, Numbered, Refusal, RefusalKind, Unknown
from tests.wire.frames_v1 import CHANGES, ORDERS, OWN_TRADES, PENDING

if TYPE_CHECKING:
    from pathlib import Path

WHEN = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)  # 1790000000


def numbered(frame: str) -> Numbered:
    message = codec_for("v1").decode(frame, epoch=3, received_ns=17)
    assert isinstance(message, Data)
    (one,) = message.events
    assert isinstance(one, Numbered)
    assert (one.channel, one.epoch, one.received_ns) == (message.channel, 3, 17) == ("executions", 3, 17)
    assert one.streams == ("openOrders", "ownTrades")
    return one


def reports(frame: str) -> list[Execution]:
    rows = [row for row in numbered(frame).rows if isinstance(row, Execution)]
    assert all((row.epoch, row.received_ns, row.recovered, row.snapshot) == (3, 17, False, False) for row in rows)
    return rows


def order(**fields: Any) -> Execution:
    (report,) = reports(json.dumps([[{"O1": fields}], "openOrders", {"sequence": 5}]))
    return report


def described(kind: str, price: str | None, price2: str | None = None) -> Execution:
    prices = {"price": price, "price2": price2}
    return order(status="open", descr={"pair": "XBT/USD", "type": "buy", "ordertype": kind, **prices})


# Requests, and their answers


def test_a_request_is_two() -> None:
    codec = codec_for("v1")
    both = [json.loads(frame) for frame in codec.request(Method.SUBSCRIBE, [Executions()], 7)]
    assert both == [
        {"event": "subscribe", "reqid": 7, "subscription": {"name": "openOrders", "token": TOKEN}},
        {"event": "subscribe", "reqid": 7, "subscription": {
            "name": "ownTrades", "snapshot": True, "consolidate_taker": False, "token": TOKEN,
        }},
    ]  # fmt: skip
    both = [json.loads(frame) for frame in codec.request(Method.UNSUBSCRIBE, [Executions()], 8)]
    assert both == [
        {"event": "unsubscribe", "reqid": 8, "subscription": {"name": name, "token": TOKEN}}
        for name in ("openOrders", "ownTrades")
    ]


def test_what_a_frame_mentions() -> None:
    codec = codec_for("v1")
    for frame in codec.request(Method.SUBSCRIBE, [Executions()], 7):
        assert codec.mentions(frame, "executions", None)
        assert not codec.mentions(frame, "book", None)
        assert not codec.mentions(frame, "balances", None)


@pytest.mark.parametrize("method", list(Method))
def test_each_is_confirmed(method: Method) -> None:
    codec = codec_for("v1")
    frames = codec.confirmation(method, Executions(), 7)
    assert [json.loads(frame)["channelName"] for frame in frames] == ["openOrders", "ownTrades"]
    for frame in frames:
        assert "pair" not in frame
        assert codec.decode(frame) == Ack(method=method, channel="executions", symbol=None, req_id=7)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ESession:Invalid session", RefusalKind.STALE_TOKEN),
        ("EAPI:Invalid token", RefusalKind.STALE_TOKEN),
        ("EGeneral:Permission denied", RefusalKind.FINAL),
        ("EService:Unavailable", RefusalKind.LATER),
        ("Exceeded msg rate", RefusalKind.RATE_LIMITED),
        ("Already subscribed", RefusalKind.ALREADY),
    ],
)
def test_refusals(text: str, kind: RefusalKind) -> None:
    refused = {"errorMessage": text, "event": "subscriptionStatus", "reqid": 63, "status": "error"}
    message = codec_for("v1").decode(json.dumps(refused | {"subscription": {"name": "ownTrades"}}))
    assert message == Refusal(error=text, kind=kind, channel="executions", req_id=63)


# Orders


def test_numbers() -> None:
    said = [(one.stream, one.sequence, one.snapshot) for one in map(numbered, (ORDERS, PENDING, CHANGES, OWN_TRADES))]
    assert said == [
        ("openOrders", 1, True), ("openOrders", 2, False), ("openOrders", 3, False), ("ownTrades", 2, False),
    ]  # fmt: skip
    for unclear in ("null", '"1"', "1.0", "true"):
        one = numbered(ORDERS.replace("1}", f"{unclear}}}"))
        assert (one.sequence, one.snapshot) == (None, False)


def test_a_whole_order() -> None:
    (report,) = reports(PENDING)
    assert report == Execution(
        order_id="O1", exec_type="pending_new", order_status="pending_new", symbol="BTC/USD", side=Side.SELL,
        order_type="limit", order_qty=Decimal("4.00000000"), limit_price=Decimal("6.1200"), cum_qty=Decimal("0E-8"),
        cum_cost=Decimal("0.0000"), avg_price=Decimal("0.0000"), time_in_force="GTC", order_userref=7,
        fee_ccy_pref="fciq", post_only=True, timestamp=WHEN + timedelta(seconds=100, microseconds=1),
        changed=(
            "avg_price", "cum_cost", "cum_qty", "exec_type", "fee_ccy_pref", "limit_price", "order_id", "order_qty",
            "order_status", "order_type", "order_userref", "post_only", "side", "symbol", "time_in_force", "timestamp",
        ),
        epoch=3, received_ns=17,
    )  # fmt: skip
    assert str(report.order_qty) == "4.00000000"


def test_what_has_changed_of_orders() -> None:
    filled, canceled = reports(CHANGES)
    assert (filled.exec_type, filled.order_status, str(filled.cum_qty)) == ("status", "partially_filled", "1.50000000")
    assert filled.changed == (
        "avg_price", "cum_cost", "cum_qty", "exec_type", "order_id", "order_status", "order_userref",
    )  # fmt: skip
    assert (canceled.exec_type, canceled.order_status, canceled.reason) == ("canceled", "canceled", "User requested")
    assert canceled.timestamp == WHEN + timedelta(seconds=200, microseconds=1)
    assert (canceled.symbol, canceled.cum_qty) == (None, None)


@pytest.mark.parametrize(
    ("fields", "kind", "status"),
    [
        ({"status": "pending"}, "pending_new", "pending_new"),
        ({"status": "open"}, "new", "new"),
        ({"status": "open", "vol_exec": "0.00"}, "new", "new"),
        ({"status": "open", "vol_exec": "0.10"}, "new", "partially_filled"),
        ({"vol_exec": "0.10"}, "status", "partially_filled"),
        ({}, "status", None),
        ({"status": "closed", "vol_exec": "0.10"}, "filled", "filled"),
        ({"status": "canceled", "vol_exec": "0.10"}, "canceled", "canceled"),
        ({"status": "expired"}, "expired", "expired"),
        ({"status": "teleported\n"}, "teleported\\n", "teleported\\n"),
        ({"amended": True, "vol": "2.0", "amend_reason": "User requested"}, "amended", None),
        ({"amended": "true", "status": "open"}, "amended", "new"),
        ({"amended": True, "status": "canceled"}, "canceled", "canceled"),
        ({"amended": False, "status": "open"}, "new", "new"),
    ],
)
def test_states(fields: dict[str, Any], kind: str, status: str | None) -> None:
    report = order(**fields)
    assert (report.exec_type, report.order_status) == (kind, status)
    assert report.amended is (True if fields.get("amended") else None)
    assert report.reason == fields.get("amend_reason")


def test_prices() -> None:
    limit = described("limit", "100.5", "0.0")
    assert (limit.limit_price, limit.triggers) == (Decimal("100.5"), None)
    stop = described("stop-loss", "100.5", "0.0")
    assert (stop.limit_price, stop.triggers) == (None, Triggers(price=Decimal("100.5")))
    both = described("take-profit-limit", "100.5", "99.0")
    assert (both.limit_price, both.triggers) == (Decimal("99.0"), Triggers(price=Decimal("100.5")))
    for none in ("0.0", None, "+5.0", "-5.0%", "#1"):
        report = described("trailing-stop", none)
        assert (report.limit_price, report.triggers) == (None, None)
    with pytest.raises(ProtocolError, match="not a number"):
        described("limit", "much")


def test_times_and_flags() -> None:
    report = order(status="open", starttm="1790000001.5", expiretm="1790000002", opentm="1790000000", oflags="viqc")
    assert (report.effective_time, report.expire_time) == (WHEN + timedelta(seconds=1.5), WHEN + timedelta(seconds=2))
    assert (report.timestamp, report.fee_ccy_pref, report.post_only) == (WHEN, None, False)
    latest = order(status="open", opentm="1790000000", lastupdated="1790000009", oflags="fcib")
    assert (latest.timestamp, latest.fee_ccy_pref) == (WHEN + timedelta(seconds=9), "fcib")


def test_the_rest_of_an_order() -> None:
    report = order(cl_ord_id="mine", refid="O0", userref=-5, display_volume="1.0", display_volume_remain="0.5")
    assert (report.cl_ord_id, report.ord_ref_id, report.order_userref) == ("mine", "O0", -5)
    assert (report.display_qty, report.display_qty_remain) == (Decimal("1.0"), Decimal("0.5"))


# Fills


def test_a_fill() -> None:
    (fill,) = reports(OWN_TRADES)
    assert fill == Execution(
        order_id="O1", exec_type="trade", exec_id="T1", order_status="partially_filled", symbol="BTC/USD",
        side=Side.SELL, order_type="limit", last_qty=Decimal("1.50000000"), last_price=Decimal("6.1200"),
        cost=Decimal("9.1800"), fees=(Fee(asset="USD", qty=Decimal("0.0147")),),
        timestamp=WHEN + timedelta(seconds=150, microseconds=1),
        changed=(
            "cost", "exec_id", "exec_type", "fees", "last_price", "last_qty", "order_id", "order_status", "order_type",
            "side", "symbol", "timestamp",
        ),
        epoch=3, received_ns=17,
    )  # fmt: skip


def test_nothing_is_known_of_the_order_of_a_fill_of_the_past() -> None:
    (fill,) = reports(OWN_TRADES.replace('"sequence":2', '"sequence":1'))
    assert fill.order_status is None


def test_a_fill_may_have_less() -> None:
    row = {"ordertxid": "O1", "pair": "ETH/XBT", "type": "buy", "price": "0.05", "vol": "1", "time": "1790000000"}
    (fill,) = reports(json.dumps([[{"T1": row | {"userref": 5, "cl_ord_id": "x"}}], "ownTrades", {"sequence": 4}]))
    assert (fill.symbol, fill.fees, fill.cost, fill.order_type) == ("ETH/BTC", (), None, None)
    assert (fill.order_userref, fill.cl_ord_id) == (5, "x")


# What does not fit


def test_what_is_new_is_counted_and_accepted() -> None:
    codec = codec_for("v1")
    descr = {"pair": "A/B", "type": "both", "ordertype": "limit", "colour": "red"}
    codec.decode(json.dumps([[{"O1": {"descr": descr, "speed": 1}}], "openOrders", {"sequence": 2}]))
    codec.decode(OWN_TRADES.replace('"margin"', '"new":1,"margin"').replace('"sell"', '"?"'))
    assert dict(codec.unknown) == {
        "field openOrders.speed": 1, "field openOrders.descr.colour": 1, "value openOrders.side": 1,
        "field ownTrades.new": 1, "value ownTrades.side": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "where"),
    [
        ('[[5],"openOrders",{"sequence":1}]', "`$[0][0]`"),
        ('[[{"O1":{"status":5}}],"openOrders",{"sequence":1}]', "`$[0][0][...].status`"),
        ('[[{"T1":{}}],"ownTrades",{"sequence":1}]', "ordertxid"),
        (OWN_TRADES.replace('"6.1200"', '"much"'), "not a number: much"),
        (OWN_TRADES.replace('"1790000150.000001"', '"now"'), "not a time"),
        (PENDING.replace('"userref":7', '"userref":99999999999999999999'), "64 bits"),
        (ORDERS.replace("[]", "[" + ",".join(['{"O1":{}}'] * 20_001) + "]"), "20001"),
    ],
    ids=["row", "type", "missing", "number", "time", "whole number", "too many"],
)
def test_what_does_not_fit_is_malformed(frame: str, where: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        codec_for("v1").decode(frame)
    assert where in str(raised.value)


def test_recorded_frames(captures: Path) -> None:
    codec = codec_for("v1")
    found = []
    for line in (captures / "more" / "v1_private_frames.jsonl").read_text().splitlines():
        message = codec.decode(line)
        assert not isinstance(message, Unknown | Foreign), line
        if isinstance(message, Data):
            found += [report.exec_type for report in message.events[0].rows]  # type: ignore[union-attr]  # Numbered
    assert {"new", "pending_new", "canceled", "expired", "status", "trade"} == set(found)
    assert not codec.unknown
