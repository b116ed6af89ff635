"""The state of a view as one object: events and samples change it, :mod:`.screen` draws it.

Nothing here waits or prints. Everything is bounded: a board of a week is as large as one of a minute.
"""

from __future__ import annotations

import enum
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio import (
    BalancesSnapshot,
    Book,
    BookSnapshot,
    BookUnavailable,
    Candle,
    ConnectionState,
    Endpoint,
    Gap,
    Level3,
    Level3Snapshot,
    OrdersSnapshot,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio._text import printable
from kraken_trio.cli.formatting import counted, listed
from kraken_trio.cli.view.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio import ClientStatistics, Event, Feed, Level, OrderQueue, Request

__all__ = ["Board", "Entry", "Kind", "Ladder", "Quote"]

_TRADES_KEPT: Final = 200
_ENTRIES_KEPT: Final = 500
_RATE_SECONDS: Final = 2.0
"""The time over which the rate of events is measured."""


class Kind(enum.Enum):
    """The kind of a log entry: its first word on the screen."""

    STATE = "state"
    GAP = "gap"
    BOOK = "book"
    ORDER = "order"
    """An order of the account has ended."""
    ACCOUNT = "account"
    FAULT = "fault"
    """Something that the demo does to its own exchange."""
    REFUSED = "refused"
    NOTE = "note"


@attrs.frozen
class Entry:
    """One line of the log. The text is printable."""

    number: int
    """Counted from 1."""
    at: float
    """Seconds since the start."""
    kind: Kind
    text: str


@attrs.define
class Ladder:
    """One book, of prices or of single orders, as of the last sample."""

    symbol: str
    depth: int
    has_queues: bool = False
    """Whether each price has its orders."""
    bids: tuple[Level | OrderQueue, ...] = ()
    asks: tuple[Level | OrderQueue, ...] = ()
    available: bool = False
    crossed: bool = False
    missing: str = "waiting for its first snapshot"
    """Why it is not available."""
    price_width: int = 1
    """The width of the longest price so far, so that columns do not jump."""
    qty_width: int = 1

    def look(self, feed: Feed) -> None:
        """Update it from the feed."""
        try:
            book = feed.level3(self.symbol) if self.has_queues else feed.book(self.symbol)
            self.bids, self.asks, self.crossed = book.bids, book.asks, book.crossed
        except BookUnavailable:
            self.available = False
            return
        self.available = True
        for level in (*self.bids[:20], *self.asks[:20]):
            self.price_width = max(self.price_width, len(f"{level.price:f}"))
            self.qty_width = max(self.qty_width, len(f"{level.qty:f}"))


@attrs.define
class Quote:
    """The latest ticker, candle and trade of a symbol."""

    symbol: str
    ticker: TickerUpdate | None = None
    candle: Candle | None = None
    trade: Trade | None = None


class Board:
    """The state of a view."""

    def __init__(self, title: str, where: str, requests: Sequence[Request], *, limit: float | None = None) -> None:
        self.title = title
        self.where: str = Endpoint(where).name
        """The address without its query, which may contain a secret."""
        self.limit = limit
        """Seconds after which it ends by itself."""
        self.elapsed: float = 0.0
        self.channels: frozenset[str | None] = frozenset(request.channel for request in requests)
        self.ladders: dict[str, Ladder] = {
            request.symbol: Ladder(request.symbol, request.depth, isinstance(request, Level3))
            for request in requests
            if isinstance(request, Book | Level3)
        }
        self.quotes: dict[str, Quote] = {r.symbol: Quote(r.symbol) for r in requests if r.symbol is not None}
        has_orders, has_balances = ("executions" in self.channels), ("balances" in self.channels)
        self.account: Account | None = (
            Account(has_orders=has_orders, has_balances=has_balances) if has_orders or has_balances else None
        )
        """None if nothing of an account was requested."""
        self.trades: deque[Trade] = deque(maxlen=_TRADES_KEPT)
        """The latest last."""
        self.trade_count: int = 0
        self.log: deque[Entry] = deque(maxlen=_ENTRIES_KEPT)
        self.entry_count: int = 0
        self.statistics: ClientStatistics | None = None
        self.buffered: int = 0
        """Events that wait in the feed."""
        self._resyncing: set[str] = set()
        self._known: set[str] = set()
        self._samples: deque[tuple[float, int]] = deque(maxlen=100)

    @property
    def state(self) -> ConnectionState:
        """The client's statistics, as of the last sample."""
        return self.statistics.state if self.statistics is not None else ConnectionState.CONNECTING

    @property
    def rate(self) -> float:
        """Events per second, lately."""
        if len(self._samples) < 2:
            return 0.0
        (before, few), (now, many) = self._samples[0], self._samples[-1]
        return (many - few) / (now - before) if now > before else 0.0

    def note(self, kind: Kind, text: str) -> None:
        """Add an entry to the log."""
        self.entry_count += 1
        self.log.append(Entry(self.entry_count, self.elapsed, kind, printable(text, 300)))

    def sample(self, statistics: ClientStatistics, feed: Feed, elapsed: float) -> None:
        """Sample the client and the books."""
        self.statistics = statistics
        self.elapsed = elapsed
        self.buffered = feed.statistics().buffered
        for ladder in self.ladders.values():
            ladder.look(feed)
        if self.account is not None:
            self.account.look(feed, elapsed)
        self._samples.append((elapsed, statistics.events))
        while len(self._samples) > 2 and self._samples[1][0] <= elapsed - _RATE_SECONDS:
            self._samples.popleft()

    def take(self, events: Iterable[Event]) -> None:
        """Take events from the feed. Consecutive gaps with one cause become one entry."""
        for cause, group in groupby(events, key=lambda event: event.cause if isinstance(event, Gap) else None):
            if cause is None:
                for event in group:
                    self._take(event)
            else:
                self._gaps([event for event in group if isinstance(event, Gap)])

    def _take(self, event: Event) -> None:
        if self.account is not None:
            self._account(self.account, event)
        if isinstance(event, BookSnapshot | Level3Snapshot):
            self._snapshot(event)
        elif isinstance(event, Trade):
            self.trade_count += 1
            self.trades.append(event)
            self._quote(event.symbol).trade = event
        elif isinstance(event, TickerUpdate):
            self._quote(event.symbol).ticker = event
        elif isinstance(event, Candle):
            candle = self._quote(event.symbol).candle
            if candle is None or event.interval_begin >= candle.interval_begin:
                self._quote(event.symbol).candle = event
        elif isinstance(event, StateChange):
            cause = "" if event.cause.value == event.current.value else event.cause.value
            why = ": ".join(filter(None, (cause, event.detail)))
            self.note(Kind.STATE, f"{event.previous.value} → {event.current.value}{f' ({why})' if why else ''}")
        elif isinstance(event, StatusUpdate):
            notices = "".join(f"; {notice}" for notice in event.notices)
            self.note(Kind.STATE, f"the exchange is {event.system}{notices}")

    def _account(self, account: Account, event: Event) -> None:
        ended = account.take(event, self.elapsed)
        if ended is not None:
            self.note(Kind.ORDER, ended)
        if isinstance(event, OrdersSnapshot):
            self._whole(account, event.channel, counted(len(event.orders), "open order"))
        elif isinstance(event, BalancesSnapshot):
            self._whole(account, event.channel, counted(len(event.balances), "asset"))

    def _whole(self, account: Account, channel: str, what: str) -> None:
        """A snapshot. The first one, and the first one after a gap, are told."""
        if channel not in account.known or channel in account.outdated:
            self.note(Kind.ACCOUNT, f"{channel}: {what}")
        account.known.add(channel)
        account.outdated.discard(channel)

    def _snapshot(self, event: BookSnapshot | Level3Snapshot) -> None:
        again = " again" if event.symbol in self._known else ""
        if again and event.symbol not in self._resyncing:
            return  # we were slow, and its updates came as one snapshot
        self._resyncing.discard(event.symbol)
        self._known.add(event.symbol)
        sizes = f"{counted(len(event.bids), 'bid')}, {counted(len(event.asks), 'ask')}"
        if event.checksum is None:  # as in every snapshot of v1
            text = f"{event.symbol} received{again}: {sizes}, without a checksum: its first update is to verify it"
        else:
            text = f"{event.symbol} verified{again}: {sizes}, checksum {event.checksum}"
        self.note(Kind.BOOK, text)

    def _gaps(self, gaps: Sequence[Gap]) -> None:
        names = _names([(gap.symbol or "", gap.channel or "") for gap in gaps])
        first = gaps[0]
        missed = sum(gap.missed or 0 for gap in gaps)
        count = f", {missed:,} missed" if missed else ""
        known = bool(self.log) and first.detail in self.log[-1].text  # the lost connection is already the last entry
        detail = "" if known else first.detail
        if first.evidence is not None:
            detail = f"computed {first.evidence.computed}, the exchange sent {first.evidence.expected}"
        self.note(Kind.GAP, f"{names} ({first.cause.value}{count}){f': {detail}' if detail else ''}")
        for gap in gaps:
            if gap.channel in {"book", "level3"} and gap.symbol in self.ladders:
                self._resyncing.add(gap.symbol)
                self.ladders[gap.symbol].missing = f"no verified state ({gap.cause.value})"
            elif gap.channel in {"executions", "balances"} and self.account is not None:
                self.account.outdated.add(gap.channel)

    def _quote(self, symbol: str) -> Quote:
        return self.quotes.get(symbol) or Quote(symbol)


def _names(gaps: Sequence[tuple[str, str]]) -> str:
    """``BTC/USD, ETH/USD book, trade`` if each of the symbols has a gap in each of the channels."""
    symbols, channels = (list(dict.fromkeys(names)) for names in zip(*gaps, strict=True))
    if len(set(gaps)) == len(symbols) * len(channels):
        return f"{listed(symbols)} {listed(channels)}".strip() or "everything"
    return listed([" ".join(filter(None, gap)) or "everything" for gap in gaps])
