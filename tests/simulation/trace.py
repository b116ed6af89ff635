"""What has happened in a run, line by line: hashed always, shown when somebody wants to see it."""

from __future__ import annotations

import hashlib
import sys

import trio

import kraken_trio as kt

__all__ = ["Trace"]


class Trace:
    """Lines with their virtual time."""

    def __init__(self, *, show: bool = False) -> None:
        self._hash = hashlib.sha256()
        self._show = show
        self.lines = 0

    def note(self, who: str, what: str) -> None:
        """Somebody did something."""
        line = f"{trio.current_time()!r} {who} {what}\n"
        self._hash.update(line.encode())
        self.lines += 1
        if self._show:
            sys.stdout.write(line)

    def event(self, who: str, event: kt.Event) -> None:
        """A feed has yielded something. The oracle compares what it holds; here it has to be told apart."""
        match event:
            case kt.BookSnapshot() | kt.BookUpdate():
                text = f"{type(event).__name__} {event.symbol} {event.checksum} {event.timestamp}"
            case kt.Level3Snapshot() | kt.Level3Update():
                text = f"{type(event).__name__} {event.symbol} {event.checksum} {event.timestamp_text}"
            case kt.Trade():
                text = f"Trade {event.symbol} {event.trade_id} {event.qty} @ {event.price}"
            case kt.TickerUpdate():
                text = f"Ticker {event.symbol} {event.bid} {event.ask} {event.last}"
            case kt.SpreadUpdate():
                text = f"Spread {event.symbol} {event.bid} {event.ask}"
            case kt.Candle():
                text = f"Candle {event.symbol} {event.interval_begin} {event.close} {event.volume}"
            case kt.InstrumentUpdate():
                text = f"Instruments {len(event.pairs)}"
            case kt.OrdersSnapshot():
                text = f"Orders {[order.order_id for order in event.orders]}"
            case kt.Execution():
                text = f"Execution {event.exec_type} {event.order_id} {event.exec_id} {event.cum_qty} {event.recovered}"
            case kt.BalancesSnapshot():
                text = f"Balances {[(one.asset, one.balance) for one in event.balances]}"
            case kt.BalanceUpdate():
                text = f"Entry {event.ledger_id} {event.asset} {event.amount} {event.balance}"
            case kt.StateChange():
                text = f"State {event.previous.value} -> {event.current.value}: {event.cause.value} ({event.detail})"
            case kt.StatusUpdate():
                text = f"Status {event.system} {event.version} {event.notices}"
            case kt.Gap():
                text = f"Gap {event.channel} {event.symbol} {event.cause.value} {event.missed} ({event.detail})"
        self.note(who, f"{text} epoch={event.epoch} received={event.received_ns}")

    @property
    def digest(self) -> str:
        """Of all lines."""
        return self._hash.hexdigest()
