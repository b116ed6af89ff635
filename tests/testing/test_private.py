"""The account of the fake exchange: its orders in the market, the private channels, and the views for REST."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from kraken_trio.testing import DEFAULT_MARKETS, DropHow, ExchangeCore, Market, MarketSpec
from kraken_trio.testing.exchange.account_view import AccountRows
from kraken_trio.testing.exchange.actions import End, Send
from kraken_trio.testing.exchange.trader import MAX_OPEN
from kraken_trio.testing.faults import (
    CrossedBook,
    DropAfterTrade,
    ExpireTokens,
    FillBurst,
    RepeatFill,
    RepeatSequence,
    SkipSequence,
    StrangeReport,
)
from tests.testing.level3_reader import SIDES, Level3Reader

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.account import Account

START_NS = 1_785_644_622 * 10**9
BTC = "BTC/USD"
BUSY = (
    MarketSpec(symbol=BTC, price_precision=1, qty_precision=8, start_price="64525.0", levels=60, typical_qty="0.35"),
    MarketSpec(symbol="GST/EUR", price_precision=3, qty_precision=8, start_price="0.521", levels=5, typical_qty="700"),
)
ENDS = ("filled", "canceled", "expired")


def row(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


class Talk:
    """A client of the private channels."""

    def __init__(self, specs: Any = BUSY, *, seed: int = 1, rate: float = 60.0, **settings: Any) -> None:
        market = Market(specs, seed=seed, rate=rate, start_ns=START_NS)
        settings = {"account_rate": 15.0} | settings
        self.core = ExchangeCore(market, now=0.0, epoch_ns=START_NS, seed=seed, **settings)
        self.account: Account = self.core.account
        self.now = 0.0
        self.connect()

    def connect(self) -> None:
        self.number, _ = self.core.connect(self.now)
        self.got: dict[str, list[Any]] = defaultdict(list)
        """Data frames, by channel."""
        self.ended: list[DropHow] = []
        self.token = self.core.tokens.issue(self.now)

    def take(self, actions: Any) -> list[Any]:
        """Returns the answers to requests."""
        answers = []
        for action in actions:
            if isinstance(action, Send) and action.connection == self.number:
                frame = row(action.text)
                if "type" in frame:
                    self.got[frame["channel"]].append(frame)
                elif "method" in frame:
                    answers.append(frame)
            elif isinstance(action, End):
                self.ended.append(action.how)
        return answers

    def ask(self, channel: str, method: str = "subscribe", **params: Any) -> Any:
        request = {"method": method, "params": {"channel": channel, "token": self.token} | params}
        (answer,) = self.take(self.core.receive(self.number, json.dumps(request), self.now))
        return answer

    def subscribe(self) -> None:
        assert self.ask("executions", snap_trades=True)["success"]
        assert self.ask("balances")["success"]

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.core.deadline) is not None and due <= until:
            self.now = max(self.now, due)
            self.take(self.core.tick(self.now))
        self.now = until

    def inject(self, fault: Any) -> None:
        self.take(self.core.inject(fault, self.now))

    @property
    def reports(self) -> list[Any]:
        return [r for f in self.got["executions"] if f["type"] == "update" for r in f["data"]]

    @property
    def entries(self) -> list[Any]:
        return [r for f in self.got["balances"] if f["type"] == "update" for r in f["data"]]


# The stream


def test_a_subscription_is_confirmed_in_kraken_s_words() -> None:
    talk = Talk()
    result = talk.ask("executions", snap_trades=True)["result"]
    assert result == {
        "channel": "executions",
        "maxratecount": 125,
        "snap_orders": True,
        "snap_trades": True,
        "snapshot": True,
        "warnings": [
            "cancel_reason is deprecated, use reason",
            "stop_price is deprecated, use triggers.price",
            "trigger is deprecated use triggers.reference",
            "triggered_price is deprecated use triggers.last_price",
        ],
    }
    assert talk.ask("balances")["result"] == {"channel": "balances", "snapshot": True}
    assert talk.ask("executions", "unsubscribe")["result"] == {"channel": "executions"}


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"maxratecount": 125}, "Unsupported field: 'maxratecount'"),
        ({"snap_orders": None}, "Malformed request"),
        ({"symbol": [BTC]}, "Unsupported field: 'symbol'"),
        ({"token": None}, "Token(s) not found"),
        ({"token": "x"}, "EAPI:Invalid token"),
    ],
)
def test_refusals(params: dict[str, Any], error: str) -> None:
    assert Talk().ask("executions", **params)["error"] == error


def test_an_account_that_does_nothing_has_empty_snapshots() -> None:
    talk = Talk(account_rate=0.0)
    talk.subscribe()
    talk.run(5)
    assert [(f["type"], f["data"], f["sequence"]) for f in talk.got["executions"]] == [("snapshot", [], 1)]
    (balances,) = talk.got["balances"]
    assert {r["asset"] for r in balances["data"]} == {"BTC", "USD", "GST", "EUR", "KEEP"}
    assert balances["data"][-1]["wallets"] == []


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_the_stream_tells_every_fill_once_and_every_order_s_end(seed: int) -> None:
    talk = Talk(seed=seed)
    talk.subscribe()
    talk.run(20)
    account = talk.account
    for frames in talk.got.values():
        assert [f["sequence"] for f in frames] == list(range(1, len(frames) + 1))
    told = [r for r in talk.reports if r["exec_type"] == "trade"]
    assert [(r["exec_id"], r["order_id"], r["trade_id"], r["last_qty"], r["last_price"], r["cost"]) for r in told] == [
        (f.exec_id, f.order_id, f.trade_id, f.qty, f.price, f.cost) for f in account.fills
    ]
    assert [(r["order_id"], r["exec_type"], r["cum_qty"]) for r in talk.reports if r["exec_type"] in ENDS] == [
        (end.order_id, end.status, end.cum_qty) for end in account.ends
    ]
    cum: dict[str, Decimal] = defaultdict(Decimal)
    for r in talk.reports:
        if r["exec_type"] == "trade":
            cum[r["order_id"]] += r["last_qty"]
            assert r["order_status"] == "partially_filled"
            assert r["cum_qty"] == cum[r["order_id"]]
        elif r["exec_type"] == "filled":
            assert r["cum_qty"] == cum[r["order_id"]] == account.orders[r["order_id"]].state.qty


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_balances_add_up(seed: int) -> None:
    talk = Talk(seed=seed)
    talk.subscribe()
    talk.run(20)
    first = {r["asset"]: r["balance"] for r in talk.got["balances"][0]["data"]}
    now, entries = dict(first), talk.entries
    for entry in entries:
        assert entry["balance"] == now[entry["asset"]] + entry["amount"] - entry["fee"]
        now[entry["asset"]] = entry["balance"]
    assert {asset: now[asset] for asset in talk.account.balance} == talk.account.balance
    pairs = list(zip(entries[::2], entries[1::2], strict=True))
    assert [(one["ref_id"], other["ref_id"]) for one, other in pairs] == [
        (f.exec_id, f.exec_id) for f in talk.account.fills
    ]
    for (base, quote), fill in zip(pairs, talk.account.fills, strict=True):
        assert abs(base["amount"]) == fill.qty
        assert base["amount"] * quote["amount"] <= 0
        assert abs(abs(quote["amount"]) - fill.cost) < Decimal("0.0001")
    assert len({entry["ledger_id"] for entry in entries}) == len(entries)


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_an_order_leaves_the_market_exactly_what_was_filled(seed: int) -> None:
    talk = Talk(seed=seed)
    talk.run(20)
    resting = {
        order.number: order
        for market in talk.core.market.symbols.values()
        for side in (market.orders.bids, market.orders.asks)
        for key in side.levels.keys
        for order in side.queue(key)
        if order.own
    }
    mine = {order.number: order for order in talk.account.open_now if order.trigger is None}
    assert {number: order.left.scaleb(order.spec.qty_precision) for number, order in mine.items()} == {
        number: Decimal(order.qty) for number, order in resting.items()
    }
    for number, order in resting.items():
        assert order.order_id == mine[number].order_id
        assert mine[number].state.price == Decimal(abs(order.key)).scaleb(-mine[number].spec.price_precision)
    assert len(talk.account.open_now) <= MAX_OPEN


def test_all_kinds_of_reports_come_with_their_fields() -> None:
    talk = Talk(seed=4, account_rate=40.0)
    talk.subscribe()
    talk.run(120)
    fields: dict[str, set[frozenset[str]]] = defaultdict(set)
    for r in talk.reports:
        fields[r["exec_type"]].add(frozenset(r))
    assert set(fields) == {"pending_new", "new", "trade", "filled", "canceled", "expired", "amended", "status"}
    common = {"order_id", "order_userref", "order_status", "exec_type", "timestamp"}
    assert fields["new"] == {frozenset(common)}
    (trade,) = fields["trade"]
    assert trade >= {"symbol", "side", "exec_id", "trade_id", "last_qty", "last_price", "cost", "liquidity_ind", "fees"}
    assert not trade & {"order_qty", "limit_price"}
    for kind in ENDS:
        assert all(not names & {"symbol", "side", "exec_id", "order_qty"} for names in fields[kind])
    assert all(names >= {"order_qty", "limit_price", "amended", "reason"} for names in fields["amended"])
    assert all(names >= {"symbol", "side", "order_qty", "order_type"} for names in fields["pending_new"])
    reasons = {r.get("reason") for r in talk.reports if r["exec_type"] in ENDS}
    assert reasons >= {None, "User requested", "Post only order"}
    kinds = {(f.maker, f.order_type) for f in talk.account.fills}
    assert kinds >= {(True, "limit"), (False, "limit"), (False, "market"), (False, "stop-loss")}


def test_only_transitions_to_open_and_closed_if_so_asked() -> None:
    talk = Talk()
    talk.ask("executions", order_status=False)
    talk.run(20)
    kinds = {r["exec_type"] for r in talk.reports}
    assert kinds >= {"new", "trade", "canceled"}
    assert not kinds & {"pending_new", "amended", "status"}


def test_a_snapshot_has_the_open_orders_then_the_last_fills() -> None:
    talk = Talk()
    talk.run(30)
    assert len(talk.account.fills) > 50
    talk.subscribe()
    (snapshot,) = talk.got["executions"]
    orders = [r for r in snapshot["data"] if r["exec_type"] == "new"]
    fills = [r for r in snapshot["data"] if r["exec_type"] == "trade"]
    assert snapshot["data"] == orders + fills
    assert [r["order_id"] for r in orders] == [o.order_id for o in talk.account.open_now]
    assert [r["exec_id"] for r in fills] == [f.exec_id for f in talk.account.fills[:-51:-1]]
    assert not any({"cum_qty", "avg_price", "order_qty"} & r.keys() for r in fills)
    assert {r["order_status"] for r in fills} <= {"filled", "partially_filled"}


@pytest.mark.parametrize(("orders", "trades"), [(True, False), (False, True), (False, False)])
def test_a_snapshot_has_what_was_asked_for(orders: bool, trades: bool) -> None:
    talk = Talk()
    talk.run(10)
    talk.ask("executions", snap_orders=orders, snap_trades=trades)
    kinds = {r["exec_type"] for r in talk.got["executions"][0]["data"]}
    assert kinds == ({"new"} if orders else set()) | ({"trade"} if trades else set())


def test_a_new_subscription_counts_from_1() -> None:
    talk = Talk()
    talk.subscribe()
    talk.run(5)
    talk.ask("executions", "unsubscribe")
    frames = len(talk.got["executions"])
    talk.run(2)
    assert len(talk.got["executions"]) == frames
    talk.ask("executions")
    talk.run(2)
    assert [f["sequence"] for f in talk.got["executions"][frames:]][:3] == [1, 2, 3]


def test_own_orders_are_seen_in_level3() -> None:
    talk = Talk(rate=0.0, account_rate=5.0)
    talk.subscribe()
    talk.ask("level3", symbol=[BTC], depth=100)
    talk.run(30)
    client = Level3Reader(100, 1, 8)
    for frame in talk.got["level3"]:
        assert client.feed(json.dumps(frame, default=str).replace('"limit_price": "', '"limit_price":"'))
    names = {name for side in SIDES for name in client.orders[side]}
    own = [o.order_id for o in talk.account.open_now if o.trigger is None and o.spec.symbol == BTC]
    assert own
    assert set(own) <= names


def test_the_same_seed_is_the_same_account_and_an_idle_one_changes_no_market() -> None:
    one, same = Talk(seed=9), Talk(seed=9)
    for talk in (one, same):
        talk.run(10)
    assert one.account.fills == same.account.fills
    idle, alone = Talk(seed=9, account_rate=0.0), Market(BUSY, seed=9, rate=60.0, start_ns=START_NS)
    idle.run(10)
    list(alone.step(START_NS + 10 * 10**9))
    assert idle.core.market.symbols[BTC].book.bids.qty == alone.symbols[BTC].book.bids.qty


def test_the_default_markets_are_traded_too() -> None:
    talk = Talk(DEFAULT_MARKETS, account_rate=40.0)
    talk.run(20)
    assert len({f.symbol for f in talk.account.fills}) > 3


# Views


def test_rows_of_trades_are_those_of_the_stream() -> None:
    talk = Talk()
    talk.subscribe()
    talk.run(10)
    told = [r for r in talk.reports if r["exec_type"] == "trade"]
    rows = AccountRows(talk.account).trades(START_NS + 10**12)
    assert [(row.trade_id, row.order_id, row.symbol, row.qty, row.price, row.number) for row in rows] == [
        (r["exec_id"], r["order_id"], r["symbol"], r["last_qty"], r["last_price"], r["trade_id"]) for r in told
    ]


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_a_lagging_answer_is_the_one_of_then(seed: int, at: int) -> None:
    early, late = Talk(seed=seed), Talk(seed=seed)
    early.run(at)
    late.run(20)
    moment = START_NS + at * 10**9 - 10**6  # the exchange's clock ticks just after the instant of what is due
    for view in ("orders", "trades", "ledgers", "balances"):
        then, now = (getattr(AccountRows(talk.account), view)(moment) for talk in (early, late))
        assert then == now, view


def test_orders_have_their_ends_and_kinds() -> None:
    talk = Talk()
    talk.run(60)
    rows = {row.order_id: row for row in AccountRows(talk.account).orders(START_NS + 10**12)}
    assert rows.keys() == talk.account.orders.keys()
    named = {"filled": "closed"}
    ends = {end.order_id: (end.time_ns, named.get(end.status, end.status)) for end in talk.account.ends}
    assert {row.order_id: (row.closed_ns, row.status) for row in rows.values() if row.closed_ns is not None} == ends
    assert {row.status for row in rows.values()} >= {"open", "closed", "canceled"}
    assert {row.trigger is None for row in rows.values()} == {row.was_amended for row in rows.values()} == {True, False}


def test_open_orders_hold_funds() -> None:
    talk = Talk(rate=0.0)
    talk.run(10)
    now = START_NS + 10 * 10**9
    held: dict[str, Decimal] = defaultdict(Decimal)
    for order in talk.account.open_now:
        if order.state.price is not None:
            asset = order.spec.base if order.side == "sell" else order.spec.quote
            held[asset] += order.left if order.side == "sell" else order.left * order.state.price
    assert held
    assert {row.asset: row.held for row in AccountRows(talk.account).balances(now) if row.held} == held


# Faults


@pytest.mark.parametrize("channel", ["executions", "balances"])
def test_a_number_is_skipped(channel: str) -> None:
    talk = Talk(faults=[SkipSequence(channel=channel)])
    talk.subscribe()
    talk.run(10)
    numbers = [f["sequence"] for f in talk.got[channel]]
    assert numbers[:2] == [1, 3]
    assert all(later - earlier == 1 for earlier, later in pairwise(numbers[1:]))
    assert talk.core.frames_withheld == 1


@pytest.mark.parametrize("channel", ["executions", "balances"])
def test_a_number_is_repeated(channel: str) -> None:
    talk = Talk(faults=[RepeatSequence(channel=channel)])
    talk.subscribe()
    talk.run(10)
    numbers = [f["sequence"] for f in talk.got[channel]]
    assert numbers == [1, *range(1, len(numbers))]


def test_a_fill_is_in_the_snapshot_and_comes_again() -> None:
    talk = Talk()
    talk.run(10)
    talk.inject(RepeatFill())
    talk.subscribe()
    snapshot, again = talk.got["executions"]
    (report,) = again["data"]
    assert report["exec_id"] == next(r for r in snapshot["data"] if r["exec_type"] == "trade")["exec_id"]
    assert {"cum_qty", "avg_price"} <= report.keys()
    assert again["sequence"] == 2


def test_a_connection_ends_between_the_trade_and_the_end_of_its_order() -> None:
    talk = Talk(faults=[DropAfterTrade(how=DropHow.CLOSE_1001)])
    talk.subscribe()
    talk.run(30)
    assert talk.ended == [DropHow.CLOSE_1001]
    last = talk.reports[-1]
    assert last["exec_type"] == "trade"
    assert last["cum_qty"] == talk.account.orders[last["order_id"]].state.qty
    assert not any(r["exec_type"] == "filled" and r["order_id"] == last["order_id"] for r in talk.reports)
    assert talk.account.is_filled(last["order_id"])


@pytest.mark.parametrize("fills", [0, 1, 50, 51, 500])
def test_a_burst_while_nobody_is_connected(fills: int) -> None:
    talk = Talk(rate=0.0, account_rate=0.0)
    talk.core.disconnect(talk.number)
    talk.inject(FillBurst(fills=fills, symbol=BTC))
    account = talk.account
    assert len(account.fills) == fills
    assert [(end.status, end.cum_qty > 0) for end in account.ends] == [("filled" if fills else "canceled", fills > 0)]
    talk.connect()
    talk.subscribe()
    (snapshot,) = talk.got["executions"]
    assert [r["exec_id"] for r in snapshot["data"]] == [f.exec_id for f in account.latest_fills()]
    assert len(snapshot["data"]) == min(fills, 50)


def test_a_burst_while_connected_is_an_order_s_life() -> None:
    talk = Talk(rate=0.0, account_rate=0.0)
    talk.subscribe()
    talk.inject(FillBurst(fills=3))
    kinds = [r["exec_type"] for r in talk.reports]
    assert kinds == ["pending_new", "new", "trade", "trade", "trade", "filled"]


@pytest.mark.parametrize("seed", range(6))
def test_a_burst_in_a_crossed_book_is_told_too(seed: int) -> None:
    """An order that takes what it crosses has less left for the takers of the burst."""
    talk = Talk(seed=seed)
    talk.subscribe()
    talk.inject(CrossedBook(symbol=BTC, consistent=True))
    talk.run(2)
    for _ in range(8):
        talk.inject(FillBurst(fills=60))
    told = [r["exec_id"] for r in talk.reports if r["exec_type"] == "trade"]
    assert told == [f.exec_id for f in talk.account.fills]


@pytest.mark.parametrize(("exec_type", "extra"), [("canceled", False), ("pondered", True)])
def test_a_report_of_an_order_that_nobody_knows(exec_type: str, extra: bool) -> None:
    talk = Talk(account_rate=0.0)
    talk.subscribe()
    talk.inject(StrangeReport(exec_type=exec_type, extra=extra))
    (report,) = talk.reports
    assert report["exec_type"] == exec_type
    assert report["order_id"] not in talk.account.orders
    assert ("x_unknown" in report) is extra
    assert talk.got["executions"][-1]["sequence"] == 2


def test_expired_tokens_leave_subscriptions_alone() -> None:
    talk = Talk()
    talk.subscribe()
    talk.inject(ExpireTokens())
    talk.run(5)
    assert talk.reports
    assert talk.ask("executions", "unsubscribe")["error"] == "EAPI:Invalid token"
    talk.token = talk.core.tokens.issue(talk.now)
    assert talk.ask("executions", "unsubscribe")["success"]
