"""The framed parts of a screen that show an account: orders, fills, balances. Pure functions of its contents."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Final

from rich.layout import Layout
from rich.text import Text

from kraken_trio._text import printable
from kraken_trio.cli.formatting import clock, counted
from kraken_trio.cli.view.account import price_text, qty_text
from kraken_trio.cli.view.columns import Column, columns, first_fit
from kraken_trio.cli.view.panels import DIM, SIDE_SIGNS, framed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.panel import Panel

    from kraken_trio import Balance, Execution, Order
    from kraken_trio.cli.view.account import Account, OpenOrder
    from kraken_trio.cli.view.columns import Cell

__all__ = ["account_layout", "balances_panel", "fills_panel", "orders_panel"]

_BESIDE_WIDTH: Final = 76
"""From this width on, balances stand beside the fills, not below them."""
_BALANCES_WIDTH: Final = 30
"""The narrowest useful ones beside fills, which need the rest of 80 columns."""
_LEAST_HEIGHT: Final = 3
_QTY_WIDTH: Final = 12
_QTY_LEAST: Final = 9
_RECOVERED: Final = "R"
_OUTDATED: Final = " (outdated)"
"""Events are missing: it is as it was before."""


def account_layout(account: Account, width: int, height: int) -> Layout:
    """Orders on top; below them the last fills, and balances."""
    whole = Layout(size=height)
    if not account.has_orders:
        whole.update(balances_panel(account, width, height))
        return whole
    is_beside = width >= _BESIDE_WIDTH
    parts = 3 if account.has_balances and not is_beside else 2
    for_orders = max(-(-height // parts), _LEAST_HEIGHT)
    orders = Layout(orders_panel(account, width, for_orders), size=for_orders)
    rest = max(height - for_orders, 0)
    if not account.has_balances:
        whole.split_column(orders, Layout(fills_panel(account, width, rest), size=rest))
    elif is_beside:
        for_balances = max(width * 3 // 8, _BALANCES_WIDTH)
        for_fills = width - for_balances
        below = Layout(size=rest)
        below.split_row(
            Layout(fills_panel(account, for_fills, rest), size=for_fills),
            Layout(balances_panel(account, for_balances, rest), size=for_balances),
        )
        whole.split_column(orders, below)
    else:
        for_fills = max(rest // 2, _LEAST_HEIGHT)
        whole.split_column(
            orders,
            Layout(fills_panel(account, width, for_fills), size=for_fills),
            Layout(balances_panel(account, width, rest - for_fills), size=max(rest - for_fills, 0)),
        )
    return whole


def orders_panel(account: Account, width: int, height: int) -> Panel:
    """A line for each open order; those without room are counted."""
    names = ("symbol", "side", "qty", "filled", "price", "status", "age", "type")
    rows = [_order(one) for one in account.orders]
    title = _title(account, "executions", "open orders", len(rows))
    return _table(title, names, rows, width, height, left=("symbol", "side", "status", "type"))


def _order(one: OpenOrder) -> list[Cell]:
    order = one.order
    style = _side(order)[1]
    status = (order.order_status or "").replace("partially_filled", "part filled").replace("_", " ")
    return [
        (_text(order.symbol), ""),
        ("" if order.side is None else order.side.value, style),
        (qty_text(order), ""),
        ("" if order.cum_qty is None else order.cum_qty, "" if order.cum_qty else DIM),
        (price_text(order), style),
        (_text(status), DIM),
        (f"{clock(one.age)}{'+' if one.is_older else ''}", DIM),
        (_text(order.order_type), DIM),
    ]


def fills_panel(account: Account, width: int, height: int) -> Panel:
    """The last fills, the latest first."""
    latest = list(islice(reversed(account.fills), max(height - 2, 0)))
    title = "fills, R: recovered" if any(fill.recovered for fill in latest) else "fills"
    names = ("symbol", "price", "", "qty", "", "time", "fee")
    rows = [_fill(fill) for fill in latest]
    return _table(title, names, rows, width, height, left=("symbol",), with_names=False, is_cut=True)


def _fill(fill: Execution) -> list[Cell]:
    sign, style = _side(fill)
    fees = "" if len(fill.fees) != 1 else f"{fill.fees[0].qty:f} {fill.fees[0].asset}"
    return [
        (_text(fill.symbol), ""),
        ("·" if fill.last_price is None else fill.last_price, style),
        (sign, style),
        ("·" if fill.last_qty is None else fill.last_qty, ""),
        (_RECOVERED if fill.recovered else "", "bold yellow"),
        ("" if fill.timestamp is None else f"{fill.timestamp:%H:%M:%S}", DIM),
        (_text(fees), DIM),
    ]


def balances_panel(account: Account, width: int, height: int) -> Panel:
    """A line for each asset, and one for each of its wallets if it has several and there is room for all."""
    inner = width - 4
    lines = [line for balance in account.balances for line in _balance(balance)]
    if len(lines) + 3 > height:
        lines = [line for balance in account.balances for line in _balance(balance, is_short=True)]
    assets, wholes, wallets, kinds = (
        max(len(name), *(len(line[index]) for line in lines), 0)
        for name, index in (("asset", 0), ("balance", 1), ("wallet", 2), ("wallet", 3))
    )
    # Whole numbers first, then whole names of wallets.
    fits = assets + wholes + wallets + 2 <= inner
    rows: list[list[Cell]] = [
        [(asset, style), (Decimal(amount), style), (wallet if fits else kind, DIM)]
        for asset, amount, wallet, kind, style in lines
    ]
    title = _title(account, "balances", "balances", len(account.balances))
    widest = wholes if fits else max(inner - assets - kinds - 2, _QTY_WIDTH)
    names = ("asset", "balance", "wallet")
    return _table(title, names, rows, width, height, left=("asset", "wallet"), widest=widest)


def _balance(balance: Balance, *, is_short: bool = False) -> list[tuple[str, str, str, str, str]]:
    """Its asset, its amount, its wallet in two ways, its style; and, unless it is to be short, those of its wallets."""
    wallets = [(f"{one.balance:f}", _text(f"{one.type}/{one.id}"), _text(one.type)) for one in balance.wallets]
    several = ("mixed", "mixed") if is_short else ("", "")
    first = ("", "") if not wallets else wallets[0][1:] if len(wallets) == 1 else several
    whole = (_text(balance.asset), f"{balance.balance:f}", *first, "" if balance.balance else DIM)
    return [whole] if len(wallets) < 2 or is_short else [whole, *(("", *wallet, DIM) for wallet in wallets)]


def _title(account: Account, channel: str, name: str, count: int) -> str:
    if channel in account.outdated:
        return f"{name}: {count:,}{_OUTDATED}"
    return f"{name}: {count:,}" if channel in account.known or count else name


def _columns(names: Sequence[str], rows: Sequence[Sequence[Cell]], left: Sequence[str], widest: int) -> list[Column]:
    found = []
    for index, name in enumerate(names):
        sizes = [_size(row[index]) for row in rows]
        size = max(len(name), *sizes) if any(sizes) else 0
        is_quantity = name != "price" and any(not isinstance(row[index][0], str) for row in rows)
        if is_quantity:
            size = min(size, max(widest, len(name)))
        least = min(size, _QTY_LEAST) if is_quantity else None
        found.append(Column(name, size, least, "<" if name in left else ">"))
    return found


def _size(cell: Cell) -> int:
    return len(cell[0]) if isinstance(cell[0], str) else len(f"{cell[0]:f}")


def _table(
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    width: int,
    height: int,
    *,
    left: Sequence[str],
    widest: int = _QTY_WIDTH,
    with_names: bool = True,
    is_cut: bool = False,
) -> Panel:
    """Rows in a frame. Those without room are counted, unless they were cut before.

    ``widest``: of quantities. Longer ones get a unit.
    """
    inner = width - 4
    look = {"style": "yellow", "title_style": "bold yellow"} if title.endswith(_OUTDATED) else {}
    if not rows:
        return framed(first_fit(width - 6, title, title.removesuffix(_OUTDATED)), [Text("none yet", DIM)], **look)
    room = max(height - 2, 0)
    with_names = with_names and room > min(len(rows), 2)
    room -= with_names
    shown = rows if len(rows) <= room or is_cut else rows[: max(room - 1, 0)]
    header: list[Sequence[Cell]] = [[(name, DIM) for name in names]] if with_names else []
    lines, left_out = columns(_columns(names, rows, left, widest), [*header, *shown], inner)
    if hidden := len(rows) - len(shown):
        lines.append(Text(first_fit(inner, f"+{hidden:,} more", f"+{hidden}"), "bold"))
    more = f", +{counted(left_out, 'column')}" if left_out else ""
    short = title.removesuffix(_OUTDATED)
    return framed(first_fit(width - 6, title + more, short + more, short), lines, **look)


def _side(order: Order) -> tuple[str, str]:
    return ("·", "") if order.side is None else SIDE_SIGNS.get(order.side, ("·", ""))


def _text(text: str | None) -> str:
    return printable(text or "")
