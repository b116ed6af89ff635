"""An account in the live view: its orders, fills and balances; and how old what is shown is."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio.testing
from hypothesis import given, settings, strategies as st

from kraken_trio import (
    Balance,
    Balances,
    BalancesSnapshot,
    BalanceUpdate,
    Book,
    Cause,
    Execution,
    Executions,
    Fee,
    Gap,
    Order,
    OrdersSnapshot,
    Request,
    Side,
    Trades,
    Triggers,
    Wallet,
)
from kraken_trio.cli.view.account import order_text
from kraken_trio.cli.view.live import display
from kraken_trio.cli.view.screen import plan
from tests.cli.boards import NOW, board_of, filled, sample, snapshot
from tests.cli.numbers import numbers, says
from tests.cli.test_screen import drawn

if TYPE_CHECKING:
    from kraken_trio.cli.view.board import Board

NOW_NS = int(NOW.timestamp()) * 10**9
ALL: tuple[Request, ...] = (Executions(), Balances())


def order(name: str = "O1", **fields: Any) -> Order:
    usual: dict[str, Any] = {
        "symbol": "BTC/USD",
        "side": Side.BUY,
        "order_type": "limit",
        "order_status": "new",
        "order_qty": Decimal("0.15000000"),
        "cum_qty": Decimal("0.00000000"),
        "limit_price": Decimal("60990.0"),
    }
    return Order(order_id=name, **{**usual, **fields})


def report(exec_type: str, name: str = "O1", **fields: Any) -> Execution:
    known = {field: getattr(order(), field) for field in ("symbol", "side", "order_qty", "limit_price", "order_type")}
    return Execution(order_id=name, exec_type=exec_type, **{**known, "timestamp": NOW, "received_ns": NOW_NS, **fields})


def fill(name: str = "T1", **fields: Any) -> Execution:
    usual: dict[str, Any] = {
        "last_qty": Decimal("0.05000000"),
        "last_price": Decimal("60990.5"),
        "order_status": "partially_filled",
        "fees": (Fee(asset="USD", qty=Decimal("9.75840")),),
    }
    return report("trade", exec_id=name, **{**usual, **fields})


def orders(*some: Order) -> OrdersSnapshot:
    return OrdersSnapshot(orders=some, received_ns=NOW_NS)


def balances(*some: Balance) -> BalancesSnapshot:
    return BalancesSnapshot(balances=some)


def balance(asset: str, amount: str, **wallets: str) -> Balance:
    parts = (Wallet(type=kind, id="main", balance=Decimal(part)) for kind, part in wallets.items())
    return Balance(asset=asset, balance=Decimal(amount), wallets=tuple(parts))


def board_after(*events: Any, requests: tuple[Request, ...] = ALL, elapsed: float = 1.0) -> Board:
    board = board_of(*requests)
    board.take(events)
    sample(board, elapsed=elapsed, account=[event for event in events if not isinstance(event, Gap)])
    return board


def table(lines: list[str], title: str) -> list[list[str]]:
    """The words of the panel with this title, line by line."""
    (top,) = (n for n, line in enumerate(lines) if f"─ {title}" in line)
    begin = lines[top].index(f"─ {title}") - 1
    end = lines[top].index("╮", begin)
    found: list[list[str]] = []
    for line in lines[top + 1 :]:
        if line[begin] == "╰":
            return found
        found.append(line[begin + 1 : end].split())
    raise AssertionError(title)


# Orders


def test_open_orders_stand_as_in_a_book_by_symbol() -> None:
    board = board_after(
        orders(
            order("O1", symbol="ETH/USD"),
            order("O2", limit_price=Decimal("60000.0")),
            order("O3", limit_price=Decimal("60100.0"), order_status="partially_filled", cum_qty=Decimal("0.10")),
            order("O4", side=Side.SELL, limit_price=Decimal("61000.0")),
        )
    )
    names, *rows = table(drawn(board, 100), "open orders: 4")
    assert names == ["symbol", "side", "qty", "filled", "price", "status", "age", "type"]
    assert rows[:3] == [
        ["BTC/USD", "sell", "0.15000000", "0.00000000", "61000.0", "new", "00:00+", "limit"],
        ["BTC/USD", "buy", "0.15000000", "0.10", "60100.0", "part", "filled", "00:00+", "limit"],
        ["BTC/USD", "buy", "0.15000000", "0.00000000", "60000.0", "new", "00:00+", "limit"],
    ]
    assert rows[3][0] == "ETH/USD"


def test_an_order_has_an_age_or_at_least_one() -> None:
    minute = timedelta(minutes=1)
    board = board_after(
        orders(order("O1"), order("O2", effective_time=NOW - minute)),
        report("new", "O3", timestamp=NOW - minute * 2),
        report("new", "O4", timestamp=NOW + minute),  # another clock
        report("amended", "O5"),
        elapsed=5,
    )
    assert board.account is not None
    ages = {one.order.order_id: (one.age, one.is_older) for one in board.account.orders}
    assert ages == {"O1": (4, True), "O2": (64, False), "O3": (124, False), "O4": (4, False), "O5": (4, True)}
    # A later report changes nothing; an order that is gone is forgotten; one that nobody announced is shown.
    later: list[Any] = [orders(order("O1"), order("O6")), report("restated", "O1", timestamp=NOW)]
    board.take(later[1:])
    sample(board, elapsed=9, account=later)
    ages = {one.order.order_id: (one.age, one.is_older) for one in board.account.orders}
    assert ages == {"O1": (8, True), "O6": (0, True)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "buy 0.15000000 at 60990.0"),
        ({"side": Side.SELL, "limit_price": None, "order_type": "market"}, "sell 0.15000000 at market"),
        ({"limit_price": None, "stop_price": Decimal("7.5"), "order_type": "stop-loss"}, "buy 0.15000000 at 7.5"),
        ({"limit_price": Decimal("0.0"), "triggers": Triggers(price=Decimal(8))}, "buy 0.15000000 at 8"),
        ({"limit_price": None, "order_type": "iceberg"}, "buy 0.15000000"),
        ({"limit_price_type": "pct", "limit_price": Decimal("1.5")}, "buy 0.15000000 at 1.5 pct"),
        ({"order_qty": None, "cash_order_qty": Decimal("100.00")}, "buy 100.00 USD at 60990.0"),
        ({"order_qty": None, "side": None}, ""),
    ],
)
def test_an_order_in_words(fields: dict[str, Any], words: str) -> None:
    assert order_text(order(**fields)) == f"BTC/USD {words}".strip()
    assert order_text(order("OX", symbol=None, **fields)).startswith("order OX")
    text = " ".join(" ".join(row) for row in table(drawn(board_after(orders(order(**fields))), 120), "open orders: 1"))
    for word in words.replace("at ", "").split():
        assert word in text


def test_how_an_order_ended_is_in_the_log() -> None:
    board = board_after(
        orders(order()),
        report("canceled", reason="User requested"),
        report("expired", "O2", recovered=True),
        report("filled", "O3"),
        report("amended", "O4"),
        orders(),
    )
    assert [entry.text for entry in board.log] == [
        "executions: 1 open order",
        "BTC/USD buy 0.15000000 at 60990.0: canceled (User requested)",
        "BTC/USD buy 0.15000000 at 60990.0: expired, recovered",
    ]


# Fills


def test_the_last_fills_are_shown_and_recovered_ones_marked() -> None:
    odd = fill("T3", symbol=None, side=None, last_price=None, last_qty=None, timestamp=None, fees=())
    board = board_after(orders(), fill(recovered=True), fill("T2", side=Side.SELL), odd)
    rows = table(drawn(board, 120), "fills, R: recovered")
    assert rows[:3] == [
        ["·", "·", "·"],
        ["BTC/USD", "60990.5", "▼", "0.05000000", "04:23:42", "9.75840", "USD"],
        ["BTC/USD", "60990.5", "▲", "0.05000000", "R", "04:23:42", "9.75840", "USD"],
    ]
    assert "R: recovered" not in "\n".join(drawn(board_after(fill())))


# Balances


def test_balances_have_their_wallets() -> None:
    known = balances(
        balance("BABYDOGE", "0.00000000"),
        balance("USD", "120034.12", spot="120034.12"),
        balance("BTC", "1.60000000", spot="1.50000000", earn="0.10000000"),
    )
    entry = BalanceUpdate(asset="USD", balance=Decimal("7.5"), wallet_type="spot", wallet_id="main")
    lines = drawn(board_after(known, entry), 120, 40)
    rows = [
        ["asset", "balance", "wallet"],
        ["BTC", "1.60000000"],
        ["1.50000000", "spot/main"],
        ["0.10000000", "earn/main"],
        ["USD", "7.5", "spot/main"],
        ["BABYDOGE", "0.00000000"],
    ]
    assert table(lines, "balances: 3")[:6] == rows
    # In less room
    few = [rows[0], ["BTC", "1.60000000", "mixed"], ["USD", "7.5", "spot"], rows[-1]]
    assert table(drawn(board_after(known, entry)), "balances: 3")[:4] == few
    alone = drawn(board_after(known, requests=(Balances(),)))
    assert "open orders" not in "\n".join(alone)
    assert table(alone, "balances: 3")[1] == ["BTC", "1.60000000"]


# How current it is


def test_what_is_missing_is_marked_up_to_the_next_snapshot() -> None:
    board = board_after()
    assert [table(drawn(board), name)[0] for name in ("open orders", "balances")] == [["none", "yet"]] * 2
    events: list[Any] = [orders(order()), balances(balance("BTC", "1.0"))]
    lost = [Gap(symbol=None, cause=Cause.DISCONNECTED, channel=name) for name in ("executions", "balances", "book")]
    board = board_after(*events, *lost)
    text = "\n".join(drawn(board, 100))
    assert "open orders: 1 (outdated)" in text
    assert "balances: 1 (outdated)" in text
    board.take(events)
    assert "outdated" not in "\n".join(drawn(board, 100))
    board.take(events)
    assert [entry.text for entry in board.log] == [
        "executions: 1 open order",
        "balances: 1 asset",
        "executions, balances, book (disconnected)",
        "executions: 1 open order",
        "balances: 1 asset",
    ]


# Lines


async def test_lines_tell_of_the_account() -> None:
    stream = io.StringIO()
    board = board_of(*ALL)
    events: list[Any] = [
        orders(order()),
        fill(recovered=True),
        fill("T2", symbol=None, side=None, last_price=None, timestamp=None),
        BalanceUpdate(asset="BTC", balance=Decimal("1.5"), amount=Decimal("-0.5"), type="trade"),
        BalanceUpdate(asset="\x1b", balance=Decimal("1.5")),
    ]
    async with display(board, lambda: sample(board, elapsed=1.5, account=events), stream, screen=False):
        board.take(events)
        await trio.testing.wait_all_tasks_blocked()
    assert stream.getvalue() == (
        "   1.0  account executions: 1 open order\n"
        "        fill    BTC/USD buy 0.05000000 at 60990.5 (04:23:42), recovered\n"
        "        fill    order O1 0.05000000 at ?\n"
        "        ledger  BTC trade -0.5, balance 1.5\n"
        "        ledger  \\x1b entry, balance 1.5\n"
        "   1.5  status  1 open order, 2 fills; 2 assets; disconnected; 0 events, 0 verified, 0 gaps\n"
    )


# At any size


AMOUNTS = st.builds(lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 10**13), st.integers(0, 12))
REQUESTS = st.sampled_from([ALL, ALL[:1], ALL[1:], (*ALL, Book("BTC/USD"), Trades("BTC/USD"))])


@settings(max_examples=50)  # each draws a whole screen
@given(
    st.integers(20, 140),
    st.integers(6, 50),
    REQUESTS,
    st.lists(AMOUNTS, min_size=9, max_size=9),
    st.integers(0, 40),
    st.booleans(),
)
def test_every_number_is_true_and_every_line_filled(
    width: int, height: int, requests: tuple[Request, ...], amounts: list[Decimal], count: int, ascii_only: bool
) -> None:
    price, qty, done, paid, fee, whole, one, other, rest = amounts
    events: list[Any] = [
        orders(*(order(f"O{n}", limit_price=price, order_qty=qty, cum_qty=done) for n in range(count))),
        *(fill(f"T{n}", last_price=paid, last_qty=rest, limit_price=price, order_qty=qty, cum_qty=done,
               fees=(Fee(asset="USD", qty=fee),)) for n in range(count)),
        balances(*(balance(f"{'ABCD'[n % 4]}{'EFGH'[n // 4 % 4]}", f"{whole}", spot=f"{one}", earn=f"{other}")
                   for n in range(min(count, 16)))),
    ]  # fmt: skip
    board = board_of(*requests)
    before = plan(board, width, height)
    board.take(events)
    sample(board, *([filled(snapshot())] if len(requests) > 2 else []), account=events)
    assert plan(board, width, height) == before
    lines = drawn(board, width, height, ascii_only=ascii_only)
    assert len(lines) == height
    assert {len(line) for line in lines} == {width}
    if len(requests) > 2 or ascii_only or width < 40 or height < 20:
        return  # what a book shows is looked at elsewhere
    truths = {*amounts, Decimal(count), Decimal(min(count, 16)), Decimal(0), Decimal(1)}
    text = "\n".join(line for line in lines if "│" in line or "╭" in line)
    for structure in (r"\d\d:\d\d(:\d\d|\+)?", r"\+[\d,]+ (more|columns?)", r"log, [\d,]+ earlier"):
        text = re.sub(structure, " ", text)
    for number in numbers(text):
        assert says(number, truths), number
    if board.account is not None and board.account.has_orders and count:
        rows = table(lines, f"open orders: {count}")
        shown = [row for row in rows if row and row[0] == "BTC/USD"]
        hidden = [int(row[0].removeprefix("+")) for row in rows if row and row[-1] == "more"]
        assert len(shown) + sum(hidden) == count
