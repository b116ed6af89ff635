"""Showing a board while it changes: a screen that is redrawn several times a second, or plain lines.

Both only read the board. A thread writes the output, one piece at a time; while the terminal blocks (it is slow, or was
stopped with Ctrl-S), nothing is drawn, and the client goes on.
"""

from __future__ import annotations

import io
from collections import Counter
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

import trio
from rich.console import Console
from rich.live import Live

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.cli.formatting import ASCII_FALLBACK, counted
from kraken_trio.cli.output import descriptor, write_all
from kraken_trio.cli.view.board import Kind
from kraken_trio.cli.view.screen import render

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import AsyncIterator, Callable

    from kraken_trio import BalanceUpdate, Execution, Trade
    from kraken_trio.cli.view.board import Board, Entry, Ladder, Quote

__all__ = ["Writer", "display"]

_T = TypeVar("_T")

REDRAW_INTERVAL: Final = 0.125
"""Seconds between two pictures."""
LAST_WRITE_LIMIT: Final = 1.0
"""Timeout of writing the last picture, in seconds."""
STATUS_INTERVAL: Final = 1.0
"""Seconds between two status lines, when there is no screen."""
_PLAIN_SYMBOLS: Final = 6
"""Symbols whose best prices a status line shows."""


@asynccontextmanager
async def display(
    board: Board, refresh: Callable[[], None], stream: TextIO, *, screen: bool, tell_trades: bool = False
) -> AsyncIterator[None]:
    """Show the board while a block runs. ``refresh`` is called before each drawing.

    ``tell_trades``: without a screen, a line for each trade.
    """
    show = _Screen(board, stream) if screen else _Lines(board, tell_trades=tell_trades)
    writer = Writer(stream)
    stop, stopped = trio.Event(), trio.Event()

    async def keep_showing() -> None:
        try:
            while not stop.is_set():
                refresh()
                await writer.write(show.next())
                with trio.move_on_after(REDRAW_INTERVAL):
                    await stop.wait()
        finally:
            stopped.set()

    async with open_hidden_nursery() as nursery:
        nursery.start_soon(keep_showing)
        try:
            yield
        finally:
            stop.set()
            writer.finish()
            with trio.move_on_after(2 * LAST_WRITE_LIMIT, shield=True):
                await stopped.wait()
                refresh()
                await writer.write(show.last(), limit=LAST_WRITE_LIMIT)


class Writer:
    """Writes in a thread, so that a slow terminal holds up only the drawing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"
        self._fd = descriptor(stream)
        self._scope = trio.CancelScope()
        self._is_broken = False

    async def write(self, text: str, *, limit: float = inf) -> None:
        """Wait until it is written. Cancelling does not tear it: only ``limit`` seconds, or :meth:`finish`, end it.

        Raises :class:`OSError` the first time that nobody reads any more; after that it does nothing.
        """
        if self._is_broken or not text:
            return
        self._scope = trio.CancelScope(shield=True, deadline=trio.current_time() + limit)
        with self._scope:
            await trio.to_thread.run_sync(self._write, text, abandon_on_cancel=True)
        if self._scope.cancelled_caught:
            self._is_broken = True  # and the thread may wait for ever

    def finish(self) -> None:
        """Give the current write a little time to complete."""
        self._scope.deadline = trio.current_time() + LAST_WRITE_LIMIT

    def _write(self, text: str) -> None:
        try:
            data = text.encode(self._encoding, ASCII_FALLBACK)
            if self._fd is None:
                self._stream.write(data.decode(self._encoding))
                self._stream.flush()
            else:
                self._stream.flush()
                write_all(self._fd, data)
        except OSError:
            self._is_broken = True
            raise


class _Sink(io.StringIO):
    """A terminal as rich expects it."""

    def __init__(self, like: TextIO) -> None:
        super().__init__()
        self._encoding = like.encoding or "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        return self._encoding

    def isatty(self) -> bool:
        return True

    def take(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class _Screen:
    """Draws pictures on the terminal's alternate screen."""

    def __init__(self, board: Board, stream: TextIO) -> None:
        self._board = board
        self._sink = _Sink(stream)
        self._console = Console(file=self._sink)
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def next(self) -> str:
        width, height = self._console.size
        ascii_only = not self._console.encoding.startswith("utf")
        self._live.update(render(self._board, width, height, ascii_only=ascii_only), refresh=True)
        return self._sink.take()

    def last(self) -> str:
        """Leave the terminal as it was."""
        self._live.stop()
        return self._sink.take()


class _Lines:
    """Writes new entries as text."""

    def __init__(self, board: Board, *, tell_trades: bool) -> None:
        self._board = board
        self._told = 0
        self._told_of: Counter[str] = Counter()
        self._tell_trades = tell_trades
        self._next_status = STATUS_INTERVAL

    def next(self) -> str:
        board = self._board
        lines = [_entry(entry) for entry in board.log if entry.number > self._told]
        left_out = board.entry_count - self._told - len(lines)
        if left_out:
            lines.insert(0, f"{'':8}{Kind.NOTE.value:<8}{counted(left_out, 'line')} left out")
        self._told = board.entry_count
        if self._tell_trades:
            lines += [_trade(trade) for trade in self._new("trade", board.trades, board.trade_count)]
        if (account := board.account) is not None:
            lines += [_fill(fill) for fill in self._new("fill", account.fills, account.fill_count)]
            lines += [_ledger(entry) for entry in self._new("ledger", account.entries, account.entry_count)]
        if board.elapsed >= self._next_status:
            self._next_status = board.elapsed - board.elapsed % STATUS_INTERVAL + STATUS_INTERVAL
            lines.append(_status(board))
        return "".join(f"{line}\n" for line in lines)

    def _new(self, name: str, latest: deque[_T], count: int) -> list[_T]:
        """Those that have not been told yet, as far as they are kept."""
        new = min(count - self._told_of[name], len(latest))
        self._told_of[name] = count
        return list(latest)[len(latest) - new :]

    def last(self) -> str:
        return self.next()


def _entry(entry: Entry) -> str:
    return f"{entry.at:6.1f}  {entry.kind.value:<8}{entry.text}"


def _trade(trade: Trade) -> str:
    what = f"{trade.symbol} {trade.side.value} {trade.qty:f} at {trade.price:f} ({trade.timestamp:%H:%M:%S})"
    return f"{'':8}{'trade':<8}{what}"


def _fill(fill: Execution) -> str:
    qty, price = ("?" if number is None else f"{number:f}" for number in (fill.last_qty, fill.last_price))
    side = "" if fill.side is None else f"{fill.side.value} "
    when = "" if fill.timestamp is None else f" ({fill.timestamp:%H:%M:%S})"
    what = f"{fill.symbol or f'order {fill.order_id}'} {side}{qty} at {price}{when}"
    return printable(f"{'':8}{'fill':<8}{what}{', recovered' if fill.recovered else ''}")


def _ledger(entry: BalanceUpdate) -> str:
    amount = "" if entry.amount is None else f" {entry.amount:+f}"
    return printable(f"{'':8}{'ledger':<8}{entry.asset} {entry.type or 'entry'}{amount}, balance {entry.balance:f}")


def _status(board: Board) -> str:
    parts = [f"{quote.symbol} {_latest(board.ladders.get(quote.symbol), quote)}" for quote in board.quotes.values()]
    if len(parts) > _PLAIN_SYMBOLS:
        parts[_PLAIN_SYMBOLS - 1 :] = [f"+{len(parts) - _PLAIN_SYMBOLS + 1:,} more"]
    if (account := board.account) is not None:
        orders = f"{counted(len(account.orders), 'open order')}, {counted(account.fill_count, 'fill')}"
        parts += [orders] if account.has_orders else []
        parts += [counted(len(account.balances), "asset")] if account.has_balances else []
    parts.append(board.state.value)
    if (now := board.statistics) is not None:
        parts.append(f"{counted(now.events, 'event')}, {now.checksums_verified:,} verified, {counted(now.gaps, 'gap')}")
    return f"{board.elapsed:6.1f}  {'status':<8}{'; '.join(parts)}"


def _latest(ladder: Ladder | None, quote: Quote) -> str:
    """The best prices, or the latest known price."""
    if ladder is not None and not ladder.available:
        return "unavailable"
    if ladder is not None:
        return " / ".join(f"{side[0].price:f}" if side else "none" for side in (ladder.bids, ladder.asks))
    if quote.ticker is not None:
        return f"{quote.ticker.bid:f} / {quote.ticker.ask:f}"
    if quote.candle is not None:
        return f"close {quote.candle.close:f}"
    return f"last {quote.trade.price:f}" if quote.trade is not None else "no data yet"
