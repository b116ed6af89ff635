"""``kraken-trio watch``: a live view of Kraken, or of anything that speaks its v2 protocol."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TextIO, cast

import click
import trio

from kraken_trio import (
    Book,
    Candles,
    Cause,
    Endpoint,
    Gap,
    KrakenTrioError,
    Lifecycle,
    Overflow,
    SubscriptionRejected,
    SubscriptionState,
    Ticker,
    Trades,
    open_client,
)
from kraken_trio._text import printable
from kraken_trio.cli.formatting import counted
from kraken_trio.cli.running import (
    exposing,
    live_options,
    metrics_option,
    output,
    refusals,
    run_and_exit,
    say_on_stderr,
    variant_options,
)
from kraken_trio.cli.view.board import Board, Kind
from kraken_trio.cli.view.live import display
from kraken_trio.requests import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio import Client, Event, Feed, Request
    from kraken_trio.requests import Depth, Interval

__all__ = ["CHANNELS", "requests_for", "watch", "watch_command"]

CHANNELS: Final = ("book", "trades", "ticker", "candles")
ANSWER_LIMIT: Final = 30.0
"""Seconds within which the exchange must have answered all requests."""
_CAPACITY: Final = 16_384
_BATCH: Final = 1024


@click.command("watch", short_help="Watch symbols live: books, trades, tickers, candles.")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL...")
@click.option(
    "--channel",
    "channels",
    type=click.Choice(CHANNELS),
    multiple=True,
    default=("book", "trades"),
    help="What to watch; may be repeated.  [default: book, trades]",
)
@variant_options
@metrics_option
@live_options
def watch_command(
    symbols: tuple[str, ...],
    channels: tuple[str, ...],
    depth: str,
    interval: str,
    url: str,
    seconds: float | None,
    metrics_port: int | None,
    *,
    plain: bool,
) -> None:
    """Watch SYMBOLs live: order books, trades, tickers, candles.

    Every book that is shown is verified: its checksum was checked after every message. The client reconnects and
    resyncs by itself; what was missed is shown.

    A symbol that the exchange refuses is named, with the exchange's words, and the others are watched.

    Exit status: 0 after --seconds; 1 if the connection cannot be made or no symbol is left to watch; 130 after
    Ctrl-C.

    \b
    Examples:
      kraken-trio watch BTC/USD
      kraken-trio watch BTC/USD ETH/USD --depth 100
      kraken-trio watch BTC/EUR --channel ticker --channel candles --interval 5
      kraken-trio watch BTC/USD --channel trades --plain --seconds 60
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    stream, screen = output(plain=plain)
    try:
        requests = requests_for(
            symbols,
            channels,
            depth=cast("Depth", int(depth)),  # click has checked them
            interval=cast("Interval", int(interval)),
            history=screen,
        )
    except ValueError as error:
        raise click.BadParameter(printable(error), param_hint="SYMBOL") from None
    click.echo(f"connecting to {Endpoint(url).name} (Ctrl-C stops)", err=True)

    async def start() -> int:
        return await watch(requests, url, seconds=seconds, stream=stream, screen=screen, metrics_port=metrics_port)

    run_and_exit(start)


def requests_for(
    symbols: Iterable[str], channels: Iterable[str], *, depth: Depth, interval: Interval, history: bool
) -> list[Request]:
    """The requests of a command line, without duplicates. ``history``: begin with the latest trades.

    Raises :class:`ValueError` for what is not a symbol.
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


async def watch(
    requests: Sequence[Request],
    url: str,
    *,
    seconds: float | None,
    stream: TextIO,
    screen: bool,
    metrics_port: int | None = None,
) -> int:
    """Show ``requests`` until the time is over. Returns the exit status.

    What the exchange refuses is named and left out. Raises :class:`~kraken_trio.SubscriptionRejected` if nothing is
    left, and another :class:`~kraken_trio.KrakenTrioError` when the client cannot begin or go on.
    """
    refused: dict[Request, str] = {}
    async with open_client(url) as client, AsyncExitStack() as stack:
        await stack.enter_async_context(exposing(client, metrics_port, say_on_stderr))
        feed = await _subscribe(stack, client, requests, refused)
        accepted = [request for request in requests if request not in refused]
        symbols = {request.symbol for request in refused}
        title = f"watch, {counted(len(symbols), 'symbol')} refused" if symbols else "watch"
        board = Board(title, url, accepted, limit=seconds)
        for text in refusals(refused):
            board.note(Kind.REFUSED, text)
        started = trio.current_time()

        def refresh() -> None:
            board.sample(client.statistics(), feed, trio.current_time() - started)

        try:
            async with display(board, refresh, stream, screen=screen, tell_trades=True):
                with trio.move_on_after(float("inf") if seconds is None else seconds):
                    while True:
                        events = await feed.receive_many(_BATCH)
                        board.take(events)
                        _note_refusals(events, accepted, client, refused)
        finally:
            stream.write(f"{summary(board, client, feed)}\n")
            stream.writelines(f"refused: {text}\n" for text in refusals(refused))
    return 0


async def _subscribe(
    stack: AsyncExitStack, client: Client, requests: Sequence[Request], refused: dict[Request, str]
) -> Feed:
    """Subscribe to all that the exchange accepts; the rest goes into ``refused``."""
    try:
        with trio.fail_after(ANSWER_LIMIT):
            while True:  # noqa: ASYNC913 (entering waits for the exchange's answer)
                wanted = [request for request in requests if request not in refused]
                # The view must show the present even if this machine is too slow for all events.
                with_trades = any(isinstance(request, Trades) for request in wanted)
                overflow = Overflow.DROP_OLDEST if with_trades else Overflow.CONFLATE
                try:
                    return await stack.enter_async_context(
                        client.subscribe(*wanted, Lifecycle(), capacity=_CAPACITY, overflow=overflow)
                    )
                except SubscriptionRejected as error:
                    refused |= error.reasons
                    if len(refused) >= len(requests):  # mutant: some are left
                        raise SubscriptionRejected(refused) from None
    except trio.TooSlowError:
        msg = f"the exchange has not answered within {ANSWER_LIMIT:g} s; try again later"
        raise KrakenTrioError(msg) from None


def _note_refusals(
    events: Iterable[Event], accepted: Sequence[Request], client: Client, refused: dict[Request, str]
) -> None:
    """Note symbols that are refused on a reconnect. Raises if none is left."""
    gaps = {(e.channel, e.symbol): e.detail for e in events if isinstance(e, Gap) and e.cause is Cause.REFUSED}
    if gaps:
        refused |= {r: gaps[r.channel, r.symbol] for r in accepted if (r.channel, r.symbol) in gaps}
        states = client.statistics().subscriptions
        if all(states.get(request) is SubscriptionState.REFUSED for request in accepted):
            raise SubscriptionRejected(refused)


def summary(board: Board, client: Client, feed: Feed) -> str:
    """A summary in one line."""
    now, taken = client.statistics(), feed.statistics()
    passed_over = taken.dropped + taken.conflated
    return ", ".join(
        (
            f"{board.elapsed:.0f} s: {counted(taken.delivered, 'event')}",
            *([f"{passed_over:,} more skipped to keep up"] if passed_over else []),
            f"{counted(now.checksums_verified, 'checksum')} verified",
            counted(now.checksum_failures, "mismatch", "mismatches"),
            counted(now.gaps, "gap"),
            counted(now.connects, "connection"),
        )
    )
