"""What is read from answers of REST."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kraken_trio import ProtocolError, Side
from kraken_trio.events import Execution, Fee
from kraken_trio.wire.rest import MAX_ROWS, ended_orders, fills, named_pairs, pair_names, precisions
from kraken_trio.wire.tree import decode_tree

PAIRS = {
    "XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8},
    "XDGEUR": {"altname": "XDGEUR", "wsname": "XDG/EUR", "pair_decimals": 7, "lot_decimals": 8},
    "ODD": {"altname": 5, "pair_decimals": "1"},
    "OLD": 7,
}
TRADE = {
    "ordertxid": "O1", "pair": "XXBTZUSD", "time": 1790000150.1234, "type": "sell", "ordertype": "limit",
    "price": "60000.0", "cost": "600.00000", "fee": "1.50000", "vol": "0.01000000", "maker": False, "trade_id": 9,
}  # fmt: skip
NAMES = {"XXBTZUSD": "BTC/USD"}


def tree(value: Any) -> Any:
    return decode_tree(json.dumps(value))


def test_names_and_precisions_of_pairs() -> None:
    assert pair_names(PAIRS) == {
        "XXBTZUSD": "BTC/USD", "XBTUSD": "BTC/USD", "XBT/USD": "BTC/USD", "XDGEUR": "DOGE/EUR", "XDG/EUR": "DOGE/EUR",
    }  # fmt: skip
    assert precisions(PAIRS) == {"BTC/USD": (1, 8), "DOGE/EUR": (7, 8)}
    assert pair_names({"ETHXBT": {"wsname": "ETH/XBT"}})["ETHXBT"] == "ETH/BTC"


def test_a_trade() -> None:
    (fill,) = fills(tree({"count": 1, "trades": {"T1": TRADE}}), NAMES)
    assert fill == Execution(
        exec_type="trade",
        order_id="O1",
        symbol="BTC/USD",
        side=Side.SELL,
        order_type="limit",
        exec_id="T1",
        trade_id=9,
        last_qty=Decimal("0.01000000"),
        last_price=Decimal("60000.0"),
        cost=Decimal("600.00000"),
        liquidity_ind="t",
        fees=(Fee(asset="USD", qty=Decimal("1.50000")),),
        timestamp=datetime(2026, 9, 21, 14, 15, 50, 123400, tzinfo=UTC),
        recovered=True,
    )
    assert fills(tree({"T1": {**TRADE, "maker": True}}), NAMES)[0].liquidity_ind == "m"


def test_a_trade_of_which_little_is_known() -> None:
    assert fills({"T1": {"ordertxid": "O1", "pair": "NEW", "fee": 1, "time": -5}}, NAMES) == [
        Execution(exec_type="trade", order_id="O1", exec_id="T1", recovered=True)
    ]
    assert fills({"T1": {"ordertxid": "O1", "maker": 1, "vol": True, "type": 5}}, {})[0].symbol is None
    with pytest.raises(ProtocolError, match="without its order: T1"):
        fills({"T1": {}}, NAMES)


def test_how_orders_ended() -> None:
    row = {
        "status": "closed", "closetm": 1790000150.5, "vol": "2.0", "vol_exec": "2.0", "cost": "4.0", "price": "2.0",
        "reason": None, "cl_ord_id": "mine", "descr": {"pair": "XXBTZUSD", "type": "buy", "ordertype": "market"},
    }  # fmt: skip
    ends = ended_orders(tree({"O1": row, "O2": {**row, "status": "open"}, "O3": {"status": "expired"}}), NAMES)
    assert ends["O2"] is None
    end, bare = ends["O1"], ends["O3"]
    assert end is not None
    assert bare is not None
    assert (end.exec_type, end.order_status, end.symbol, end.side) == ("filled", "filled", "BTC/USD", Side.BUY)
    assert (end.cum_qty, end.cum_cost, end.avg_price, end.cl_ord_id) == (
        Decimal("2.0"), Decimal("4.0"), Decimal("2.0"), "mine",
    )  # fmt: skip
    assert (end.timestamp, end.exec_id) == (datetime(2026, 9, 21, 14, 15, 50, 500000, tzinfo=UTC), None)
    assert (bare.order_status, bare.symbol) == ("expired", None)


def test_the_pairs_that_an_answer_names() -> None:
    assert named_pairs({"trades": {"T1": TRADE, "T2": {**TRADE, "pair": 5}}}) == {"XXBTZUSD"}
    assert named_pairs({"O1": {"descr": {"pair": "XDGEUR"}}, "O2": {"descr": None}}) == {"XDGEUR"}


@pytest.mark.parametrize("answer", [None, [], "text", {key: {} for key in map(str, range(MAX_ROWS + 1))}], ids=type)
def test_an_answer_of_another_form_is_refused(answer: Any) -> None:
    for read in (lambda result: fills(result, {}), lambda result: ended_orders(result, {}), pair_names, named_pairs):
        with pytest.raises(ProtocolError):
            read(answer)


KEYS = [*TRADE, "status", "descr", "wsname"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["1e999999999", "NaN", "1.5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@given(answer=st.dictionaries(st.text(max_size=3), json_values, max_size=4))
def test_any_answer_is_read_or_refused(answer: dict[str, Any]) -> None:
    for read in (lambda result: fills(result, {}), lambda result: ended_orders(result, {}), pair_names, precisions):
        with contextlib.suppress(ProtocolError):
            read(answer)
