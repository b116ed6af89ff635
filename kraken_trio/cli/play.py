"""The demo itself: a fake exchange, a client, three faults, and a verdict.

The market is simulated (see :class:`kraken_trio.testing.Market`), the socket is real. Everything that the
exchange sent and the feed yielded is kept, and compared at the end by :mod:`kraken_trio.testing.oracle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TextIO

import attrs
import trio

from kraken_trio import (
    Book,
    BookSnapshot,
    BookUnavailable,
    Cause,
    ConnectionState,
    Gap,
    Instruments,
    Lifecycle,
    SubscriptionRejected,
    Trades,
    open_client,
)
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.cli.view.board import Board, Kind
from kraken_trio.cli.view.live import display
from kraken_trio.testing import DEFAULT_MARKETS, Drop, DropHow, SkipUpdate, open_exchange
from kraken_trio.testing.oracle.verdicts import Case, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kraken_trio import Client, ClientStatistics, Event, Feed, Level, Request
    from kraken_trio.testing import Exchange
    from kraken_trio.testing.oracle.verdicts import Sides, Verdict

__all__ = ["Outcome", "run_demo"]

BOOKS: Final = (Book("BTC/USD", 10), Book("ETH/USD", 25), Book("XRP/USD", 100))
REQUESTS: Final[tuple[Request, ...]] = (*BOOKS, *(Trades(book.symbol) for book in BOOKS))
SKIPPED: Final = BOOKS[0].symbol
"""Its depth is 10, so that the checksum covers the whole book and detects every loss."""
NO_SYMBOL: Final = Book("NOPE/USD")

MARKET_RATE: Final = 90.0
"""Market events per second."""
SNAPSHOT_DELAY: Final = 0.2
"""Seconds that the exchange takes for a snapshot: long enough for a resync to be visible."""
WHEN: Final = {"refuse": 0.2, "skip": 0.4, "drop": 0.65}
"""The times of the faults, as fractions of the duration."""
UNDO_WAIT: Final = 0.75
"""Seconds within which a skipped update is detected, unless the next one made up for it."""
MEANWHILE: Final = 20
"""Market events of another symbol during the resync."""
SKIP_ATTEMPTS: Final = 12
RECOVERY_LIMIT: Final = 15.0
"""Seconds that any recovery may take."""


@attrs.frozen
class Outcome:
    """The result of a demo."""

    board: Board
    """The last state of the view."""
    statistics: ClientStatistics
    verdicts: Sequence[Verdict]
    """One for each promise."""

    @property
    def held(self) -> bool:
        """Whether every promise held."""
        return all(verdict.held for verdict in self.verdicts)


async def run_demo(*, seconds: float, seed: int, stream: TextIO, screen: bool) -> Outcome:
    """Run the demo."""
    markets = [spec for spec in DEFAULT_MARKETS if spec.symbol in {book.symbol for book in BOOKS}]
    async with (
        open_exchange(markets=markets, seed=seed, rate=MARKET_RATE, snapshot_delay=SNAPSHOT_DELAY) as exchange,
        open_client(exchange.url) as client,
        client.subscribe(*REQUESTS, Lifecycle(), capacity=16_384) as feed,
    ):
        board = Board(f"demo, seed {seed}", exchange.url, REQUESTS, limit=seconds)
        play = _Play(exchange, client, feed, board, seconds, exchange.time_ns)
        async with display(board, play.refresh, stream, screen=screen), open_hidden_nursery() as nursery:
            nursery.start_soon(play.consume)
            await play.faults()
            await play.settle()
            nursery.cancel_scope.cancel()
        return Outcome(board, client.statistics(), judge(play.case()))


@attrs.define
class _Play:
    """The course of a demo, and its history."""

    exchange: Exchange
    client: Client
    feed: Feed
    board: Board
    seconds: float
    opened_ns: int
    """When the feed was opened, by the exchange's clock."""
    history: list[Event] = attrs.Factory(list)
    refusals: dict[Request, str | None] = attrs.Factory(dict)
    dropped: int = 0
    started: float = attrs.field(factory=trio.current_time)
    more: trio.Event = attrs.Factory(trio.Event)

    def refresh(self) -> None:
        self.board.sample(self.client.statistics(), self.feed, trio.current_time() - self.started)

    def note(self, kind: Kind, text: str) -> None:
        self.board.elapsed = trio.current_time() - self.started
        self.board.note(kind, text)

    async def consume(self) -> None:
        """Receive events, as a user's program does."""
        while True:
            events = await self.feed.receive_many(1024)
            self.history += events
            self.board.elapsed = trio.current_time() - self.started
            self.board.take(events)
            self.more.set()
            self.more = trio.Event()

    async def until(self, condition: Callable[[], bool], limit: float) -> bool:
        """Wait until ``condition`` is true, for at most ``limit`` seconds. Returns whether it is."""
        with trio.move_on_after(limit):
            await trio.lowlevel.checkpoint()
            while not condition():
                await self.more.wait()
        return condition()

    # The faults

    async def faults(self) -> None:
        for do, share in ((self.refuse, WHEN["refuse"]), (self.skip, WHEN["skip"]), (self.drop, WHEN["drop"])):
            await trio.sleep_until(self.started + share * self.seconds)
            await do()
        await trio.sleep_until(self.started + self.seconds)

    async def refuse(self) -> None:
        """Subscribe to a symbol that the exchange does not list."""
        self.note(Kind.FAULT, f"subscribing to {NO_SYMBOL.symbol}, which this exchange does not list")
        self.refusals[NO_SYMBOL] = None
        try:
            with trio.move_on_after(RECOVERY_LIMIT):
                async with self.client.subscribe(NO_SYMBOL):
                    pass
        except SubscriptionRejected as error:
            self.refusals[NO_SYMBOL] = text = printable(error.reasons[NO_SYMBOL])
            self.note(Kind.REFUSED, f"SubscriptionRejected, {NO_SYMBOL.symbol}: {text}")

    async def skip(self) -> None:
        """Skip an update; repeat that if the next one makes up for it."""
        start = len(self.history)

        def noticed() -> bool:
            return any(isinstance(event, Gap) and event.cause is Cause.CHECKSUM for event in self.history[start:])

        for attempt in range(SKIP_ATTEMPTS):
            if not self.exchange.faults:
                text = f"the exchange leaves out an update of {SKIPPED}"
                self.note(Kind.FAULT, f"{text} again: the next one made up for it" if attempt else text)
                self.exchange.inject(SkipUpdate(symbol=SKIPPED))
            if await self.until(noticed, UNDO_WAIT):
                break
        self.exchange.clear_faults()
        await self.exchange.publish(MEANWHILE, BOOKS[1].symbol)
        await self.until(lambda: self.verified({SKIPPED}, start), RECOVERY_LIMIT)

    async def drop(self) -> None:
        """Reset the connection."""
        start = len(self.history)
        self.dropped = self.client.statistics().epoch
        self.note(Kind.FAULT, "the exchange resets the connection")
        self.exchange.inject(Drop(how=DropHow.RESET))
        await self.until(lambda: self.verified({book.symbol for book in BOOKS}, start), RECOVERY_LIMIT)

    def verified(self, symbols: set[str], start: int) -> bool:
        """Whether all these books have had a snapshot since ``start``."""
        return symbols <= {event.symbol for event in self.history[start:] if isinstance(event, BookSnapshot)}

    # The end

    async def settle(self) -> None:
        """Pause the market, and wait until everything that was sent has been received."""
        self.exchange.pause()
        self.note(Kind.NOTE, "the market is paused; comparing everything")
        with trio.move_on_after(RECOVERY_LIMIT):
            await self.client.wait_for(ConnectionState.SUBSCRIBED)
            await self.exchange.drained()
            # Frames arrive in order, and so do snapshots, which come a while after what confirms them: with this one
            # the client has read everything before it.
            async with self.client.subscribe(Instruments()) as feed:
                await feed.receive()
            while self.feed.statistics().buffered:
                await self.more.wait()
            for _ in range(3):  # the consumer processes what it has received in its next turn
                await trio.lowlevel.checkpoint()

    def case(self) -> Case:
        """The evidence for the verdicts."""
        local: dict[str, Sides | None] = {}
        remote: dict[str, Sides] = {}
        for wanted in BOOKS:
            theirs = self.exchange.book(wanted.symbol, wanted.depth)
            remote[wanted.symbol] = (tuple(theirs.bids), tuple(theirs.asks))
            try:
                ours = self.feed.book(wanted.symbol)
                local[wanted.symbol] = (_texts(ours.bids), _texts(ours.asks))
            except BookUnavailable:
                local[wanted.symbol] = None
        return Case(
            requests=REQUESTS,
            history=self.history,
            opened_ns=self.opened_ns,
            journals=self.exchange.journal,
            local=local,
            remote=remote,
            skipped=SKIPPED,
            dropped=self.dropped,
            refusals=self.refusals,
        )


def _texts(levels: Sequence[Level]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{level.price:f}", f"{level.qty:f}") for level in levels)
