"""``kraken-trio watch``: a live view of Kraken, or of anything that speaks its v2 protocol."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TextIO

import trio

from kraken_trio.cli.board import Board
from kraken_trio.cli.live import display
from kraken_trio.cli.words import counted
from kraken_trio.client import open_client
from kraken_trio.errors import KrakenTrioError
from kraken_trio.requests import Book, Candles, Lifecycle, Overflow, Ticker, Trades, canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.client import Client
    from kraken_trio.requests import Request
    from kraken_trio.runtime.feed import Feed

__all__ = ["CHANNELS", "requests_for", "watch"]

CHANNELS: Final = ("book", "trades", "ticker", "candles")
ANSWER_LIMIT: Final = 30.0
"""Seconds within which the exchange must have answered all that was asked."""
_CAPACITY: Final = 16_384
_BATCH: Final = 1024


def requests_for(
    symbols: Iterable[str], channels: Iterable[str], *, depth: int, interval: int, history: bool
) -> list[Request]:
    """What to subscribe with; nothing twice. ``history``: begin with the latest trades.

    Raises :class:`ValueError` for what is no symbol.
    """
    wanted: dict[Request, None] = {}
    for symbol in dict.fromkeys(map(canonical_symbol, symbols)):
        for channel in channels:
            if channel == "book":
                wanted[Book(symbol, depth)] = None
            elif channel == "trades":
                wanted[Trades(symbol, snapshot=history)] = None
            elif channel == "ticker":
                wanted[Ticker(symbol)] = None
            else:
                wanted[Candles(symbol, interval)] = None
    return list(wanted)


async def watch(requests: Sequence[Request], url: str, *, seconds: float | None, stream: TextIO, screen: bool) -> int:
    """Show ``requests`` until the time is over. Returns the exit status.

    Raises :class:`~kraken_trio.KrakenTrioError` when it cannot begin, or cannot go on.
    """
    board = Board("watch", url, requests, limit=seconds)
    # Whoever looks wants what is now: if this machine is too slow for everything, the view must not fall behind.
    with_trades = any(isinstance(request, Trades) for request in requests)
    overflow = Overflow.DROP_OLDEST if with_trades else Overflow.CONFLATE
    async with open_client(url) as client, AsyncExitStack() as stack:
        try:
            with trio.fail_after(ANSWER_LIMIT):
                feed = await stack.enter_async_context(
                    client.subscribe(*requests, Lifecycle(), capacity=_CAPACITY, overflow=overflow)
                )
        except trio.TooSlowError:
            msg = f"the exchange has not answered within {ANSWER_LIMIT:g} s; try again later"
            raise KrakenTrioError(msg) from None
        started = trio.current_time()

        def refresh() -> None:
            board.sample(client.statistics(), feed, trio.current_time() - started)

        try:
            async with display(board, refresh, stream, screen=screen, tell_trades=True):
                with trio.move_on_after(float("inf") if seconds is None else seconds):
                    while True:
                        board.take(await feed.receive_many(_BATCH))
        finally:
            stream.write(f"{summary(board, client, feed)}\n")
    return 0


def summary(board: Board, client: Client, feed: Feed) -> str:
    """One line about how it went."""
    now, taken = client.statistics(), feed.statistics()
    passed_over = taken.dropped + taken.conflated
    return ", ".join(
        (
            f"{board.elapsed:.0f} s: {counted(taken.delivered, 'event')}",
            *([f"{passed_over:,} more passed over, to keep up"] if passed_over else []),
            f"{counted(now.checksums_verified, 'checksum')} verified",
            counted(now.checksum_failures, "mismatch", "mismatches"),
            counted(now.gaps, "gap"),
            counted(now.connects, "connection"),
        )
    )
