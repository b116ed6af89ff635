"""The frames of the private channels: ``executions`` and ``balances``, each with its own count of frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kraken_trio.testing.exchange.account import AccountOrder, LedgerEntry, OrderState, Report, asset_digits
from kraken_trio.testing.exchange.dialects.v2_frames import stamp
from kraken_trio.testing.exchange.orders import text_id
from kraken_trio.testing.faults import DropAfterTrade, RepeatFill, RepeatSequence, SkipSequence, StrangeReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from kraken_trio.testing.exchange.account import Account, AccountFill
    from kraken_trio.testing.exchange.state import ExchangeState
    from kraken_trio.testing.exchange.subscriptions import Subscription

__all__ = ["Private"]

_TRANSITIONS = frozenset({"pending_new", "amended", "restated", "status"})
"""What only those get who asked for every status."""


class Private:
    """Makes the frames of the private channels."""

    def __init__(self, state: ExchangeState, account: Account) -> None:
        self._state = state
        self._account = account

    # Snapshots

    def snapshot(self, subscription: Subscription) -> None:
        """The first data of a new subscription."""
        if subscription.channel == "balances":
            self._send(subscription, "snapshot", self._balances())
            return
        account, rows = self._account, []
        fills = account.latest_fills() if subscription.options["snap_trades"] else []
        if subscription.options["snap_orders"]:
            rows += [_row(_open_order(order)) for order in account.open_now]
        rows += [_row(_past_fill(account, fill)) for fill in fills]
        self._send(subscription, "snapshot", rows)
        number = subscription.connection.number
        if fills and self._state.armed.take(RepeatFill, lambda f: f.connection in (None, number)) is not None:
            self._send(subscription, "update", [_row(self._fill_again(fills[0]))])

    def _balances(self) -> list[str]:
        rows = []
        for asset, balance in self._account.balance.items():
            text = f"{balance:.{asset_digits(asset)}f}"
            wallets = f'[{{"type":"spot","id":"main","balance":{text}}}]'
            rows.append(f'{{"asset":"{asset}","asset_class":"currency","balance":{text},"wallets":{wallets}}}')
        rows.append('{"asset":"KEEP","asset_class":"currency","balance":12.0000000000,"wallets":[]}')
        return rows

    def _fill_again(self, fill: AccountFill) -> dict[str, str]:
        order = self._account.orders[fill.order_id]
        state = next(state for _, state in order.history if state.trades and state.trades[-1] == fill.exec_id)
        return _trade(order, state, fill, fill.time_ns)

    # Updates

    def tell(self, happened: Iterable[Report | LedgerEntry]) -> None:
        """Send what has happened to the account to all subscribers."""
        for one in happened:
            channel = "executions" if isinstance(one, Report) else "balances"
            for subscription in self._state.subscriptions.of_topic((channel, None)):
                if subscription.live:
                    self._update(subscription, one)

    def _update(self, subscription: Subscription, one: Report | LedgerEntry) -> None:
        if isinstance(one, LedgerEntry):
            self._send(subscription, "update", [_row(_entry(one))])
            return
        if one.exec_type in _TRANSITIONS and not subscription.options["order_status"]:
            return
        self._send(subscription, "update", [_row(_report(one))])
        state, number = self._state, subscription.connection.number
        if state.armed and one.exec_type == "trade" and one.state.cum_qty == one.state.qty:
            drop = state.armed.take(DropAfterTrade, lambda f: f.connection in (None, number))
            if drop is not None:
                state.end(subscription.connection, drop.how)

    def strange(self, fault: StrangeReport, now_ns: int) -> None:
        """A report of an order that nobody knows."""
        for subscription in self._state.subscriptions.of_topic(("executions", None)):
            if subscription.live and fault.connection in (None, subscription.connection.number):
                row = {
                    "order_id": json.dumps(text_id("O", self._state.random.getrandbits(40))),
                    "exec_type": json.dumps(fault.exec_type),
                    "order_status": json.dumps(fault.exec_type),
                    "timestamp": f'"{stamp(now_ns)}"',
                }
                if fault.extra:
                    row |= {"x_unknown": '{"nested":[1,2.50,null]}', "x_other": "8.5e-05"}
                self._send(subscription, "update", [_row(row)])

    def _send(self, subscription: Subscription, kind: str, rows: list[str]) -> None:
        state, armed, update = self._state, self._state.armed, kind == "update"
        channel, number = subscription.channel, subscription.connection.number

        def fits(fault: SkipSequence | RepeatSequence) -> bool:
            return update and fault.channel == channel and fault.connection in (None, number)

        repeat = armed.take(RepeatSequence, fits) if armed else None
        if repeat is None:
            subscription.sequence += 1
        text = f'{{"channel":"{channel}","type":"{kind}","data":[{",".join(rows)}],"sequence":{subscription.sequence}}}'
        skip = armed.take(SkipSequence, fits) if armed else None
        if skip is not None:
            state.withhold(subscription, text, skip)
        else:
            state.deliver(subscription, text)


# Rows, by name; the values are JSON


def _row(fields: dict[str, str]) -> str:
    return "{" + ",".join([f'"{name}":{value}' for name, value in fields.items()]) + "}"


def _common(order: AccountOrder, state: OrderState, time_ns: int) -> dict[str, str]:
    return {
        "timestamp": f'"{stamp(time_ns)}"',
        "order_status": f'"{state.status}"',
        "order_userref": str(order.userref),
        "order_id": f'"{order.order_id}"',
    }


def _money(order: AccountOrder, amount: Decimal) -> str:
    return f"{amount:.{asset_digits(order.spec.quote) + 1}f}"


def _price(order: AccountOrder, price: Decimal) -> str:
    return f"{price:.{order.spec.price_precision}f}"


def _qty(order: AccountOrder, qty: Decimal) -> str:
    return f"{qty:.{order.spec.qty_precision}f}"


def _sums(order: AccountOrder, state: OrderState) -> dict[str, str]:
    average = state.cum_cost / state.cum_qty if state.cum_qty else state.cum_qty
    return {
        "cum_qty": _qty(order, state.cum_qty),
        "cum_cost": _money(order, state.cum_cost),
        "avg_price": _price(order, average),
        "fee_usd_equiv": _money(order, state.fee),
    }


def _what(order: AccountOrder) -> dict[str, str]:
    return {
        "symbol": f'"{order.spec.symbol}"',
        "side": f'"{order.side}"',
        "order_type": f'"{order.order_type}"',
    }


def _limit(order: AccountOrder, state: OrderState) -> dict[str, str]:
    if state.price is None:
        return {}
    return {"limit_price": _price(order, state.price), "limit_price_type": '"static"'}


def _triggers(order: AccountOrder, state: OrderState) -> dict[str, str]:
    if order.trigger is None:
        return {}
    status = "triggered" if state.triggered else "untriggered"
    price = _price(order, order.trigger)
    return {
        "triggers": f'{{"price":{price},"price_type":"static","reference":"last","status":"{status}"}}',
        "stop_price": price,
        "trigger": '"last"',
    }


def _pending(order: AccountOrder, state: OrderState) -> dict[str, str]:
    fields = {
        "order_qty": _qty(order, state.qty),
        "cum_cost": "0",
        "time_in_force": f'"{order.time_in_force}"',
        **_what(order),
        **_limit(order, state),
        **_triggers(order, state),
        "fee_usd_equiv": "0",
        "fee_ccy_pref": '"fciq"',
    }
    if order.expires_ns is not None:
        fields["expire_time"] = f'"{stamp(order.expires_ns)}"'
    return fields


def _open_order(order: AccountOrder) -> dict[str, str]:
    """An open order in a snapshot."""
    state = order.state
    return {
        **_pending(order, state),
        **_sums(order, state),
        "exec_type": '"new"',
        "amended": "true" if state.amended else "false",
        **_common(order, state, order.opened_ns),
    }


def _trade(order: AccountOrder, state: OrderState, fill: AccountFill, time_ns: int) -> dict[str, str]:
    return {
        **_fill(order, fill),
        **_sums(order, state),
        **_common(order, state, time_ns),
    }


def _fill(order: AccountOrder, fill: AccountFill) -> dict[str, str]:
    return {
        "exec_id": f'"{fill.exec_id}"',
        "exec_type": '"trade"',
        "trade_id": str(fill.trade_id),
        **_what(order),
        "last_qty": _qty(order, fill.qty),
        "last_price": _price(order, fill.price),
        "liquidity_ind": '"m"' if fill.maker else '"t"',
        "cost": _money(order, fill.cost),
        "fees": f'[{{"asset":"{order.spec.quote}","qty":{_money(order, fill.fee)}}}]',
    }


def _past_fill(account: Account, fill: AccountFill) -> dict[str, str]:
    """A fill in a snapshot: without sums."""
    order = account.orders[fill.order_id]
    status = "filled" if account.is_filled(fill.order_id) else "partially_filled"
    return {
        **_fill(order, fill),
        "fee_usd_equiv": _money(order, fill.fee),
        **_common(order, order.state, fill.time_ns),
        "order_status": f'"{status}"',
    }


def _report(report: Report) -> dict[str, str]:
    """The fields that this kind of report has, and no others."""
    order, state, kind = report.order, report.state, report.exec_type
    common = _common(order, state, report.time_ns)
    if report.fill is not None:
        return _trade(order, state, report.fill, report.time_ns)
    fields = {"exec_type": f'"{kind}"'}
    if kind == "pending_new":
        fields |= _pending(order, state)
    elif kind == "amended":
        fields |= {
            "order_qty": _qty(order, state.qty),
            **_limit(order, state),
            "cum_qty": _qty(order, state.cum_qty),
            "amended": "true",
            "reason": json.dumps(state.reason),
        }
    elif kind == "status":
        fields |= {"triggers": _triggers(order, state)["triggers"]}
    elif kind in ("filled", "canceled", "expired"):
        fields |= _sums(order, state)
        if kind != "filled" and state.reason is not None:
            fields |= {"reason": json.dumps(state.reason), "cancel_reason": json.dumps(state.reason)}
    return fields | common


def _entry(entry: LedgerEntry) -> dict[str, str]:
    digits = asset_digits(entry.asset)
    return {
        "ledger_id": f'"{entry.ledger_id}"',
        "ref_id": f'"{entry.ref_id}"',
        "timestamp": f'"{stamp(entry.time_ns)}"',
        "type": f'"{entry.type}"',
        "asset": f'"{entry.asset}"',
        "asset_class": '"currency"',
        "category": '"trade"',
        "wallet_type": '"spot"',
        "wallet_id": '"main"',
        "amount": f"{entry.amount:.{digits}f}",
        "fee": f"{entry.fee:.{digits}f}",
        "balance": f"{entry.balance:.{digits}f}",
    }
