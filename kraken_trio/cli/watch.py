"""``kraken-trio watch``: a live view of Kraken, or of anything that speaks its protocols."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Final, TextIO

import click
import trio

from kraken_trio import (
    Balances,
    Cause,
    Endpoint,
    Executions,
    Gap,
    KrakenTrioError,
    Lifecycle,
    Overflow,
    SubscriptionRejected,
    Trades,
    open_client,
)
from kraken_trio.cli.formatting import counted
from kraken_trio.cli.log import say
from kraken_trio.cli.running import (
    exposing,
    live_options,
    metrics_option,
    output,
    refusals,
    run_and_exit,
)
from kraken_trio.cli.view.board import Board, Kind
from kraken_trio.cli.view.live import display
from kraken_trio.cli.wanted import CHANNELS, are_refused, wanted_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio import Client, ClientStatistics, Credentials, Event, Feed, Request
    from kraken_trio.cli.wanted import Wanted

__all__ = ["overflow_for", "show", "summary", "watch", "watch_command"]

ANSWER_LIMIT: Final = 30.0
"""Seconds within which the exchange must have answered all requests."""
_CAPACITY: Final = 16_384
_BATCH: Final = 1024


@click.command("watch", short_help="Watch symbols live, or your own orders and balances.")
@wanted_options("watch", *CHANNELS)
@metrics_option
@live_options
def watch_command(wanted: Wanted, seconds: float | None, metrics_port: int | None, *, plain: bool) -> None:
    """Watch SYMBOLs live: order books, trades, tickers, candles; or, with an API key, single orders or an account.

    Every book that is shown is verified: its checksum was checked after every message (with v1, from its first update
    on). The client reconnects and resyncs by itself; what was missed is shown.

    A symbol that the exchange refuses is named, with the exchange's words, and the others are watched.

    Exit status: 0 after --seconds; 1 if the connection cannot be made or no symbol is left to watch; 130 after
    Ctrl-C.

    \b
    Examples:
      kraken-trio watch BTC/USD
      kraken-trio watch BTC/USD ETH/USD --depth 100
      kraken-trio watch BTC/EUR --channel ticker --channel candles --interval 5
      kraken-trio watch BTC/USD --channel trades --plain --seconds 60
      kraken-trio watch --level3 BTC/USD
      kraken-trio watch --executions --balances --key-file ~/.kraken-key
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    stream, screen = output(plain=plain)
    requests = wanted.requests(history=screen)
    credentials = wanted.credentials()
    say(f"connecting to {wanted.endpoint.name} (Ctrl-C stops)")

    async def start() -> int:
        return await watch(
            requests,
            wanted.endpoint,
            credentials=credentials,
            seconds=seconds,
            stream=stream,
            screen=screen,
            metrics_port=metrics_port,
        )

    run_and_exit(start)


async def watch(
    requests: Sequence[Request],
    endpoint: Endpoint | str,
    *,
    credentials: Credentials | None = None,
    seconds: float | None,
    stream: TextIO,
    screen: bool,
    metrics_port: int | None = None,
) -> int:
    """Show ``requests`` until the time is over. Returns the exit status.

    What the exchange refuses is named and left out. Raises :class:`~kraken_trio.SubscriptionRejected` if nothing is
    left, and another :class:`~kraken_trio.KrakenTrioError` when the client cannot begin or go on.
    """
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    opened = open_client(endpoint, credentials=credentials)
    return await show(
        opened, requests, "watch", url, seconds=seconds, stream=stream, screen=screen, metrics_port=metrics_port
    )


async def show(
    opened: AbstractAsyncContextManager[Client],
    requests: Sequence[Request],
    title: str,
    source: str,
    *,
    seconds: float | None,
    stream: TextIO,
    screen: bool,
    metrics_port: int | None = None,
    peer: str = "the exchange",
    in_words: Callable[[str], str] = str,
) -> int:
    """:func:`watch` with any client. ``source`` is what it gets its events from, and ``peer`` what that is called.

    ``in_words`` makes of a refusal's text what is shown.
    """
    refused: dict[Request, str] = {}
    async with AsyncExitStack() as stack:
        with _warnings() as warnings:  # of a key that may do more than read
            client = await stack.enter_async_context(opened)
        await stack.enter_async_context(exposing(client, metrics_port, say))
        feed = await _subscribe(stack, client, requests, refused, peer, in_words)
        accepted = [request for request in requests if request not in refused]
        symbols = {request.symbol for request in refused}
        title = f"{title}, {counted(len(symbols), 'symbol')} refused" if symbols else title
        board = Board(title, source, accepted, limit=seconds)
        for text in warnings:
            board.note(Kind.NOTE, text)
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
                        _note_refusals(events, accepted, client, refused, in_words)
        finally:
            stream.write(f"{summary(board, client, feed)}\n")
            stream.writelines(f"refused: {text}\n" for text in refusals(refused))
    return 0


class _Warnings(logging.Handler):
    """Keeps what the client warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the client warns of in the block."""
    handler, logger = _Warnings(), logging.getLogger("kraken_trio")
    logger.addHandler(handler)
    try:
        yield handler.texts
    finally:
        logger.removeHandler(handler)


async def _subscribe(
    stack: AsyncExitStack,
    client: Client,
    requests: Sequence[Request],
    refused: dict[Request, str],
    peer: str,
    in_words: Callable[[str], str],
) -> Feed:
    """Subscribe to all that the peer accepts; the rest goes into ``refused``."""
    try:
        with trio.fail_after(ANSWER_LIMIT):
            while True:  # noqa: ASYNC913 (entering waits for the exchange's answer)
                wanted = [request for request in requests if request not in refused]
                try:
                    return await stack.enter_async_context(
                        client.subscribe(*wanted, Lifecycle(), capacity=_CAPACITY, overflow=overflow_for(wanted))
                    )
                except SubscriptionRejected as error:
                    refused |= {request: in_words(text) for request, text in error.reasons.items()}
                    if len(refused) >= len(requests):  # mutant: some are left
                        raise SubscriptionRejected(refused) from None
    except trio.TooSlowError:
        msg = f"{peer} has not answered within {ANSWER_LIMIT:g} s; try again later"
        raise KrakenTrioError(msg) from None


def overflow_for(requests: Iterable[Request]) -> Overflow:
    """What lets a view show the present even if this machine is too slow for all events."""
    each_counts = any(isinstance(request, Trades | Executions | Balances) for request in requests)
    return Overflow.DROP_OLDEST if each_counts else Overflow.CONFLATE


def _note_refusals(
    events: Iterable[Event],
    accepted: Sequence[Request],
    client: Client,
    refused: dict[Request, str],
    in_words: Callable[[str], str],
) -> None:
    """Note symbols that are refused on a reconnect. Raises if none is left."""
    gaps = {(e.channel, e.symbol): e.detail for e in events if isinstance(e, Gap) and e.cause is Cause.REFUSED}
    if gaps:
        refused |= {r: in_words(gaps[r.channel, r.symbol]) for r in accepted if (r.channel, r.symbol) in gaps}
        if are_refused(client, accepted):
            raise SubscriptionRejected(refused)


def _proofs(board: Board, now: ClientStatistics) -> list[str]:
    """What was checked; for an account, what was filled."""
    if board.account is not None and not board.ladders:
        fills = f"{counted(board.account.fill_count, 'fill')}, {now.fills_recovered:,} recovered"
        return [fills] if board.account.has_orders else []
    return [
        f"{counted(now.checksums_verified, 'checksum')} verified",
        counted(now.checksum_failures, "mismatch", "mismatches"),
    ]


def summary(board: Board, client: Client, feed: Feed) -> str:
    """A summary in one line."""
    now, taken = client.statistics(), feed.statistics()
    passed_over = taken.dropped + taken.conflated
    return ", ".join(
        (
            f"{board.elapsed:.0f} s: {counted(taken.delivered, 'event')}",
            *([f"{passed_over:,} more skipped to keep up"] if passed_over else []),
            *_proofs(board, now),
            counted(now.gaps, "gap"),
            counted(now.connects, "connection"),
        )
    )
