"""The frames of v2's private channels."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio import Balances, Executions, ProtocolError, Side
from kraken_trio.events import Balance, BalanceUpdate, Execution, Fee, Triggers, Wallet
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import TOKEN, Ack, Data, Method, Numbered

if TYPE_CHECKING:
    from pathlib import Path


def numbered(frame: str) -> Numbered:
    message = codec_for("v2").decode(frame, epoch=3, received_ns=17)
    assert isinstance(message, Data)
    (one,) = message.events
    assert isinstance(one, Numbered)
    assert (one.channel, one.epoch, one.received_ns) == (message.channel, 3, 17)
    return one


def executions(*rows: dict[str, Any], kind: str = "update", sequence: Any = 2) -> str:
    return json.dumps({"channel": "executions", "type": kind, "data": rows, "sequence": sequence})


def test_requests_have_what_stands_for_the_token() -> None:
    codec = codec_for("v2")
    subscribe = json.loads(codec.request(Method.SUBSCRIBE, [Executions()], 1)[0])
    assert subscribe["params"] == {
        "channel": "executions", "snap_orders": True, "snap_trades": True, "order_status": True, "token": TOKEN,
    }  # fmt: skip
    assert json.loads(codec.request(Method.SUBSCRIBE, [Balances()], 2)[0])["params"] == {
        "channel": "balances", "snapshot": True, "token": TOKEN,
    }  # fmt: skip
    assert json.loads(codec.request(Method.UNSUBSCRIBE, [Balances()], 3)[0])["params"] == {
        "channel": "balances", "token": TOKEN,
    }  # fmt: skip


def test_a_fill() -> None:
    frame = (
        '{"channel":"executions","type":"update","data":[{"order_id":"O1","exec_id":"T1","exec_type":"trade",'
        '"trade_id":9,"symbol":"BTC/USD","side":"sell","last_qty":8.528e-05,"last_price":60990.0,"cost":0,'
        '"liquidity_ind":"m","timestamp":"2026-10-02T08:03:00.000001Z","cancel_reason":"x","cl_ord_id":null,'
        '"fees":[{"asset":"USD","qty":4.87920}],"triggers":{"price":2400.00,"reference":"last"}}],"sequence":5}'
    )
    one = numbered(frame)
    assert (one.snapshot, one.sequence) == (False, 5)
    (fill,) = one.rows
    assert isinstance(fill, Execution)
    assert (fill.symbol, fill.side, fill.exec_id, fill.trade_id) == ("BTC/USD", Side.SELL, "T1", 9)
    assert (str(fill.last_price), fill.last_qty, fill.cost) == ("60990.0", Decimal("0.00008528"), Decimal(0))
    assert fill.fees == (Fee(asset="USD", qty=Decimal("4.87920")),)
    assert fill.triggers == Triggers(price=Decimal("2400.00"), reference="last")
    assert fill.changed == (
        "cost", "exec_id", "exec_type", "fees", "last_price", "last_qty", "liquidity_ind", "order_id", "side", "symbol",
        "timestamp", "trade_id", "triggers",
    )  # fmt: skip
    assert (fill.cl_ord_id, fill.recovered, fill.snapshot, fill.epoch) == (None, False, False, 3)


def test_what_is_new_is_counted_and_accepted() -> None:
    codec = codec_for("v2")
    row = {"order_id": "O1", "exec_type": "teleported", "side": "both", "colour": "red", "recovered": True, "epoch": 9}
    message = codec.decode(executions(row))
    assert isinstance(message, Data)
    (report,) = message.events[0].rows  # type: ignore[union-attr]  # it is Numbered
    assert isinstance(report, Execution)
    assert (report.exec_type, report.side, report.recovered, report.epoch) == ("teleported", Side.UNKNOWN, False, 0)
    assert set(codec.unknown) == {
        "field executions.colour", "field executions.recovered", "field executions.epoch", "value executions.side",
    }  # fmt: skip


def test_an_empty_snapshot_is_one_as_well() -> None:
    one = numbered(executions(kind="snapshot", sequence=1))
    assert (one.snapshot, one.sequence, one.rows) == (True, 1, ())


@pytest.mark.parametrize("sequence", [None, "7", 1.5, 2**64], ids=["none", "text", "fraction", "too long"])
def test_a_number_that_is_none_is_no_number(sequence: Any) -> None:
    assert numbered(executions(sequence=sequence)).sequence is None


def test_balances() -> None:
    snapshot = numbered(
        '{"channel":"balances","type":"snapshot","data":[{"asset":"BTC","asset_class":"currency","balance":1.2500000000,'
        '"wallets":[{"type":"spot","id":"main","balance":1.0000000000}]}],"sequence":1}'
    )
    wallet = Wallet(type="spot", id="main", balance=Decimal("1.0000000000"))
    assert snapshot.rows == (
        Balance(asset="BTC", asset_class="currency", balance=Decimal("1.2500000000"), wallets=(wallet,)),
    )
    update = numbered(
        '{"channel":"balances","data":[{"ledger_id":"L1","ref_id":"T1","timestamp":"2026-10-02T08:03:00.000131Z",'
        '"type":"trade","asset":"BTC","asset_class":"currency","category":"trade","wallet_type":"spot",'
        '"wallet_id":"main","amount":-0.0500000000,"fee":0.0000000000,"balance":0.9500000000}],"type":"update",'
        '"sequence":2}'
    )
    (entry,) = update.rows
    assert isinstance(entry, BalanceUpdate)
    assert (entry.asset, str(entry.amount), str(entry.balance)) == ("BTC", "-0.0500000000", "0.9500000000")
    assert (entry.wallet_type, entry.wallet_id, entry.ref_id, entry.epoch) == ("spot", "main", "T1", 3)


LONG = "1" * 60


@pytest.mark.parametrize(
    "frame",
    [
        '{"channel":"executions","type":"update"}',
        '{"channel":"executions","type":"update","data":{}}',
        '{"channel":"executions","type":"update","data":[5]}',
        '{"channel":"executions","type":"update","data":[{"order_id":"O1"}]}',
        '{"channel":"executions","type":"update","data":[{"exec_type":"new"}]}',
        f'{{"channel":"executions","type":"update","data":[{{"order_id":"O1","exec_type":"new","cum_qty":{LONG}.5}}]}}',
        (
            f'{{"channel":"executions","type":"update","data":[{{"order_id":"O1","exec_type":"trade",'
            f'"fees":[{{"asset":"USD","qty":{LONG}.5}}]}}]}}'
        ),
        (
            f'{{"channel":"balances","type":"snapshot","data":[{{"asset":"A","balance":1,'
            f'"wallets":[{{"type":"a","id":"b","balance":{LONG}.5}}]}}]}}'
        ),
        '{"channel":"balances","type":"update","data":[{"asset":"A"}]}',
    ],
    ids=["no data", "object", "number", "no type", "no order", "long", "long fee", "long wallet", "no balance"],
)
def test_what_is_none_is_malformed(frame: str) -> None:
    with pytest.raises(ProtocolError):
        codec_for("v2").decode(frame)


def test_recorded_frames_are_written_again_as_they_were(captures: Path) -> None:
    codec = codec_for("v2")
    found = 0
    for line in (captures / "more" / "v2_private_frames.jsonl").read_text().splitlines():
        message = codec.decode(line)
        if isinstance(message, Ack):
            continue
        assert isinstance(message, Data), line
        found += 1
        assert codec.decode(codec.data(message.events)) == message
    assert found >= 8
    assert not codec.unknown
