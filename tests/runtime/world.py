"""What feeds are tested with: an exchange that knows all that is true, and a program that trusts nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from hypothesis import strategies as st

from kraken_trio.book import OrderBook
from kraken_trio.events import (
    Asset,
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    ConnectionState,
    Event,
    Gap,
    InstrumentUpdate,
    Level,
    OrderType,
    Side,
    StateChange,
    TickerUpdate,
    Trade,
)
from kraken_trio.runtime.overflow import Key, key_of

Channel = Literal["book", "trade", "ticker", "ohlc", "instrument", "state", "unknown"]

SYMBOLS = ("A/USD", "B/USD", "C/USD")
CUMULATIVE: tuple[Key, ...] = (*(("book", symbol) for symbol in SYMBOLS), ("instrument", None))
KEYS = len(CUMULATIVE) + 3 * len(SYMBOLS) + 2
"""Every key that a world may use: three channels more, the client's state, and gaps of nobody knows what."""
STATES: tuple[Channel, ...] = ("book", "ticker", "ohlc", "instrument", "state", "unknown")
"""What can be conflated."""
DAY = datetime(2024, 1, 1, tzinfo=UTC)
ONE = Decimal(1)


class World:
    """The exchange and the client before the buffer: what is offered, and what is true at each moment."""

    def __init__(self) -> None:
        self.now = 0  # counts the events; each bears its number as received_ns
        self.offered: list[Event] = []
        self.newest: dict[Key, int] = {}
        self.books: dict[str, OrderBook] = {symbol: OrderBook(5) for symbol in SYMBOLS}
        self.book_at: dict[int, tuple[Level, ...]] = {}
        self.assets: dict[str, Asset] = {}
        self.assets_last = 0
        self.assets_known = False
        self.assets_at: dict[int, dict[str, Asset]] = {}
        self.trade_ids: Counter[str] = Counter()
        self.state = ConnectionState.DISCONNECTED

    def rebuild(self, key: Key) -> Event | None:
        channel, symbol = key
        if channel == "instrument":
            assets = tuple(self.assets.values())
            return self.instruments(assets, snapshot=True, at=self.assets_last) if self.assets_known else None
        assert symbol is not None
        book = self.books[symbol]
        return book.snapshot() if book.available else None

    def happen(self, channel: Channel, symbol: str, number: int, *, lost: bool) -> Event:
        self.now += 1
        event = self._event(channel, symbol, number, lost=lost)
        self.offered.append(event)
        self.newest[key_of(event)] = self.now
        return event

    def _event(self, channel: Channel, symbol: str, number: int, *, lost: bool) -> Event:
        now = self.now
        if channel == "state":
            previous, self.state = self.state, list(ConnectionState)[number % 4]
            return StateChange(previous=previous, current=self.state, cause=Cause.RETRY, received_ns=now)
        if channel == "unknown":
            return Gap(symbol=None, cause=Cause.MALFORMED, received_ns=now)
        if channel == "book":
            return self._book(symbol, number, lost=lost)
        if channel == "instrument":
            return self._instrument(number, lost=lost)
        if channel == "trade":
            return self._trade(symbol, number, lost=lost)
        if lost:
            return Gap(symbol=symbol, channel=channel, cause=Cause.MALFORMED, missed=1, received_ns=now)
        if channel == "ticker":
            return TickerUpdate(symbol=symbol, bid=ONE, bid_qty=ONE, ask=ONE, ask_qty=ONE, received_ns=now)
        begin = DAY + timedelta(minutes=number)
        return Candle(
            symbol=symbol,
            interval=1,
            interval_begin=begin,
            open=ONE,
            high=ONE,
            low=ONE,
            close=ONE,
            vwap=ONE,
            volume=ONE,
            trades=now,
            received_ns=now,
        )

    def _book(self, symbol: str, number: int, *, lost: bool) -> Event:
        book = self.books[symbol]
        level = Level(Decimal(number), Decimal(self.now % 4))  # zero removes it
        event: BookSnapshot | BookUpdate | Gap
        if lost and book.available:
            event = Gap(symbol=symbol, channel="book", cause=Cause.CHECKSUM, received_ns=self.now)
        elif book.available:
            event = BookUpdate(symbol=symbol, bids=(level,), asks=(), received_ns=self.now)
        else:
            bids = (Level(Decimal(number), ONE),)
            event = BookSnapshot(symbol=symbol, bids=bids, asks=(), received_ns=self.now)
        book.apply(event)
        if book.available:
            self.book_at[self.now] = book.bids
        return event

    def _instrument(self, number: int, *, lost: bool) -> Event:
        if lost and self.assets_known:
            self.assets_known = False
            return Gap(symbol=None, channel="instrument", cause=Cause.MALFORMED, received_ns=self.now)
        asset = Asset(id=str(number), status=str(self.now), precision=0, precision_display=0)
        snapshot = not self.assets_known
        if snapshot:
            self.assets.clear()
        self.assets_known = True
        self.assets[asset.id] = asset
        self.assets_last = self.now
        self.assets_at[self.now] = dict(self.assets)
        return self.instruments((asset,), snapshot=snapshot, at=self.now)

    @staticmethod
    def instruments(assets: tuple[Asset, ...], *, snapshot: bool, at: int) -> InstrumentUpdate:
        return InstrumentUpdate(assets=assets, pairs=(), snapshot=snapshot, received_ns=at)

    def _trade(self, symbol: str, number: int, *, lost: bool) -> Event:
        if lost:
            before = self.trade_ids[symbol]
            self.trade_ids[symbol] += number
            return Gap(
                symbol=symbol,
                channel="trade",
                cause=Cause.MISSED,
                missed=number,
                after_id=before,
                before_id=before + number + 1,
                received_ns=self.now,
            )
        self.trade_ids[symbol] += 1
        return Trade(
            symbol=symbol,
            side=Side.BUY,
            price=ONE,
            qty=ONE,
            ord_type=OrderType.LIMIT,
            trade_id=self.trade_ids[symbol],
            timestamp=DAY,
            received_ns=self.now,
        )


class Program:
    """Takes events, and trusts nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.taken: list[Event] = []
        self.books = {symbol: OrderBook(5) for symbol in SYMBOLS}
        self.assets: dict[str, Asset] | None = None
        self.trade_ids: Counter[str] = Counter()
        self.state = ConnectionState.DISCONNECTED
        self.latest: Counter[Key] = Counter()

    def take(self, event: Event) -> None:
        key = key_of(event)
        is_new = event.received_ns > self.latest[key]
        # A snapshot may be made again of a book that has not changed since, and a gap may stand for what came before.
        assert is_new or isinstance(event, Gap | BookSnapshot | InstrumentUpdate)
        self.latest[key] = max(event.received_ns, self.latest[key])
        self.taken.append(event)
        match event:
            case BookSnapshot() | BookUpdate():
                book = self.books[event.symbol]
                book.follow(event)  # an update to a book that is not there raises
                assert book.bids == self.world.book_at[event.received_ns]
            case InstrumentUpdate():
                assert event.snapshot or self.assets is not None
                self.assets = {} if self.assets is None or event.snapshot else self.assets
                self.assets |= {asset.id: asset for asset in event.assets}
                assert self.assets == self.world.assets_at[event.received_ns]
            case Gap(channel="book", symbol=str() as symbol):
                self.books[symbol].follow(event)
            case Gap(channel="instrument"):
                self.assets = None
            case Gap(channel="trade", symbol=str() as symbol):
                assert event.missed
                assert event.after_id == self.trade_ids[symbol]
                self.trade_ids[symbol] += event.missed
                assert event.before_id == self.trade_ids[symbol] + 1
            case Trade():
                self.trade_ids[event.symbol] += 1
                assert event.trade_id == self.trade_ids[event.symbol]  # nothing is missing that was not told of
            case StateChange():
                assert event.previous is self.state
                self.state = event.current
            case _:
                pass

    def assert_up_to_date(self) -> None:
        """It has all that there is."""
        world = self.world
        for symbol, theirs in world.books.items():
            ours = self.books[symbol]
            assert ours.available == theirs.available
            assert not ours.available or ours.bids == theirs.bids
        assert self.assets == (world.assets if world.assets_known else None)
        assert self.state is world.state
        assert self.trade_ids == world.trade_ids


Step = tuple[Channel, int, int, bool] | int
"""Something happens; or the program takes so many."""


def steps(*channels: Channel) -> st.SearchStrategy[list[Step]]:
    # Few losses: what is long without one is where updates wait.
    lost = st.sampled_from([False] * 7 + [True])
    event = st.tuples(st.sampled_from(channels), st.integers(0, len(SYMBOLS) - 1), st.integers(1, 4), lost)
    burst = st.lists(event, min_size=1, max_size=12)
    taken = st.integers(1, 6).map(lambda number: [number])
    return st.lists(burst | taken, max_size=24).map(lambda parts: [step for part in parts for step in part])
