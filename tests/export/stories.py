"""Recorded events to export: of a small market over days, with outages; and of the real recordings."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from hypothesis import strategies as st

import kraken_trio as kt
from kraken_trio.export import MemorySource
from kraken_trio.testing import ReferenceBook
from kraken_trio.testing.strategies import book_histories
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kraken_trio.export.source import Content

DAY = 86_400 * 10**9
START = int(datetime(2026, 11, 29, 22, tzinfo=UTC).timestamp()) * 10**9
"""Two hours before midnight."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(time_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_ns // 1000)


@attrs.define
class Market:
    """One symbol's book and trades, as a client records them: a step is a message."""

    symbol: str = "BTC/USD"
    depth: int = 10
    seed: int = 1
    now: int = START
    epoch: int = 1
    step_ns: int = 10**9
    book: ReferenceBook = attrs.field(init=False)
    random: random.Random = attrs.field(init=False)
    trade_id: int = 100
    middle: int = 50_000_0
    events: list[kt.Event] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.book = ReferenceBook(self.depth)

    def snapshot(self) -> None:
        self.book = ReferenceBook(self.depth)
        bids = [(self._price(-1 - rank), self._qty()) for rank in range(self.depth)]
        asks = [(self._price(1 + rank), self._qty()) for rank in range(self.depth)]
        self._message(kt.BookSnapshot, bids, asks)

    def update(self) -> None:
        self.middle += self.random.choice((-1, 0, 0, 0, 1))
        bids: list[tuple[int, str]] = []
        asks: list[tuple[int, str]] = []
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            gap = self.random.randint(1, self.depth + 2)
            qty = self.random.choice(("0.00000000", self._qty(), self._qty()))
            (bids if self.random.random() < 0.5 else asks).append((gap, qty))
        self._message(
            kt.BookUpdate,
            [(self._price(-gap), qty) for gap, qty in bids] + self._stale(bids_too=True),
            [(self._price(gap), qty) for gap, qty in asks] + self._stale(bids_too=False),
        )

    def _stale(self, *, bids_too: bool) -> list[tuple[str, str]]:
        """Removals of what the middle has overtaken, so that the book is never crossed."""
        levels = self.book.bids if bids_too else self.book.asks
        middle = Decimal(self.middle) / 10
        return [
            (price, "0.00000000")
            for price, _ in levels
            if (Decimal(price) >= middle if bids_too else Decimal(price) <= middle)
        ]

    def trade(self, *, snapshot: bool = False) -> None:
        self.trade_id += 1
        self.now += self.step_ns // 3
        self.events.append(
            kt.Trade(
                symbol=self.symbol,
                side=self.random.choice((kt.Side.BUY, kt.Side.SELL)),
                price=Decimal(self._price(self.random.choice((-1, 1)))),
                qty=Decimal(self._qty()),
                ord_type=kt.OrderType.LIMIT,
                trade_id=self.trade_id,
                timestamp=moment(self.now - 3_000_000),
                snapshot=snapshot,
                epoch=self.epoch,
                received_ns=self.now,
            )
        )

    def outage(self, cause: kt.Cause = kt.Cause.DISCONNECTED, *, seconds: float = 5) -> None:
        """The connection is lost, and comes back."""
        self.now += self.step_ns
        for channel in ("book", "trade"):
            self.events.append(
                kt.Gap(
                    symbol=self.symbol,
                    cause=cause,
                    channel=channel,
                    detail='the peer said, "bye"\n',
                    epoch=self.epoch,
                    received_ns=self.now,
                )
            )
        self.now += round(seconds * 10**9)
        self.epoch += 1
        self.snapshot()

    def play(self, steps: int, *, outages: bool = True) -> None:
        if not self.events:
            self.snapshot()
        for _ in range(steps):
            choice = self.random.random()
            if choice < 0.01 and outages:
                self.outage()
            elif choice < 0.2:
                self.trade()
            else:
                self.update()

    def _price(self, gap: int) -> str:
        return f"{Decimal(self.middle + gap) / 10:.1f}"

    def _qty(self) -> str:
        return f"{Decimal(self.random.randint(1, 10**9)) / 10**8:.8f}"

    def _message(self, kind: Any, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        self.now += self.step_ns
        if kind is kt.BookUpdate and not (bids or asks):
            return
        self.book.apply(bids=bids, asks=asks)
        self.events.append(
            kind(
                symbol=self.symbol,
                bids=tuple(kt.Level(*level) for level in bids),
                asks=tuple(kt.Level(*level) for level in asks),
                checksum=self.book.checksum(),
                timestamp=moment(self.now - 5_000_000),
                epoch=self.epoch,
                received_ns=self.now,
            )
        )


REQUESTS = (kt.Book("BTC/USD"), kt.Trades("BTC/USD"))


def story(steps: int = 400, *, seed: int = 1, step_ns: int = 30 * 10**9, outages: bool = True) -> list[kt.Event]:
    """Some hours around midnight."""
    market = Market(seed=seed, step_ns=step_ns)
    market.play(steps, outages=outages)
    return market.events


def merged(*markets: list[kt.Event]) -> list[kt.Event]:
    return sorted((event for events in markets for event in events), key=lambda event: event.received_ns)


def source(events: list[kt.Event], *requests: kt.Request[Any]) -> MemorySource:
    return MemorySource(requests or REQUESTS, events)


class DailySource(MemorySource):
    """Like a folder: it knows which days there are, and what they are made from."""

    def __init__(self, requests: Any, events: list[kt.Event]) -> None:
        super().__init__(requests, events)
        self.reads: list[tuple[int | None, int | None]] = []
        self.contents: dict[int, Content] = {}
        for event in events:
            content = self.contents.setdefault(event.received_ns // DAY, {"00000001": 0})
            content["00000001"] += 1
        self.fail_at: int | None = None

    def events(self, *requests: Any, start: int | None, end: int | None) -> Iterator[kt.Event]:
        self.reads.append((start, end))
        for number, event in enumerate(super().events(*requests, start=start, end=end)):
            if number == self.fail_at:
                raise Interrupted
            yield event

    def days(self) -> dict[int, Content]:
        return self.contents


class Interrupted(Exception):  # noqa: N818 (named by what happened)
    pass


def of_capture(path: Path) -> list[kt.Event]:
    """The events of a .cbcap: a line with time and length before each frame."""
    codec = codec_for("v2")
    events: list[Any] = []
    with path.open("rb") as file:
        file.readline()
        while header := file.readline():
            received_ns, length = map(int, header.split())
            frame = file.read(length)
            file.read(1)
            message = codec.decode(frame, epoch=1, received_ns=received_ns)
            if isinstance(message, Data):
                events += message.events
    return events


def replaced(event: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(event, **changes)


# Any recording


STEPS = st.sampled_from([0, 1, 10**6, 10**9, 3600 * 10**9, 20 * 3600 * 10**9])
"""Between two events, in nanoseconds: often over midnight."""


@st.composite
def recordings(draw: st.DrawFn) -> tuple[int, list[kt.Event]]:
    """A book's depth, and its events: histories with gaps between them, and trades."""
    depth = draw(st.integers(1, 8))
    now, epoch, number = START, 1, 0
    events: list[kt.Event] = []
    for _ in range(draw(st.integers(1, 3))):
        history = draw(book_histories(depth=depth, symbol="BTC/USD", max_updates=8))
        found: list[Any] = [history.snapshot, *history.updates]
        for event in found:
            now += draw(STEPS)
            events.append(replaced(event, received_ns=now, epoch=epoch))
            if draw(st.booleans()):
                number += 1
                events.append(
                    kt.Trade(
                        symbol="BTC/USD",
                        side=draw(st.sampled_from(kt.Side)),
                        price=draw(NUMBERS),
                        qty=draw(NUMBERS),
                        ord_type=kt.OrderType.MARKET,
                        trade_id=number,
                        timestamp=moment(now - draw(st.integers(-(10**9), 10**9))),
                        epoch=epoch,
                        received_ns=now,
                    )
                )
        if draw(st.booleans()):
            now += draw(STEPS)
            cause = draw(st.sampled_from([kt.Cause.DISCONNECTED, kt.Cause.CHECKSUM, kt.Cause.NOT_RECORDED]))
            channel = draw(st.sampled_from(["book", "trade", None]))
            events.append(kt.Gap(symbol="BTC/USD", cause=cause, channel=channel, epoch=epoch, received_ns=now))
        epoch += 1
    return depth, events


NUMBERS = st.builds(lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 10**18), st.integers(0, 10))
"""As exact as the tables hold by default."""


def in_memory(recorded: tuple[int, list[kt.Event]]) -> MemorySource:
    depth, events = recorded
    book = kt.Book("BTC/USD")
    object.__setattr__(book, "depth", depth)  # small books find more errors; Kraken has none of this depth
    return MemorySource((book, kt.Trades("BTC/USD")), events)


def rebuilt(rows: list[dict[str, Any]], *, number: Any = Decimal) -> Iterator[tuple[int, dict[str, dict[Any, Any]]]]:
    """The books that somebody has who applies the rows of ``book_updates``, after each message: ``seq``, the sides.

    Nothing is cut, and nothing known but what the documentation of the table says.
    """
    sides: dict[str, dict[Any, Any]] = {"bid": {}, "ask": {}}
    before = None
    for row in rows:
        if row["gap"] is not None or (row["is_snapshot"] and row["seq"] != before):
            sides = {"bid": {}, "ask": {}}
        before = row["seq"]
        if row["side"] is not None:
            if row["amount"]:
                sides[row["side"]][number(row["price"])] = number(row["amount"])
            else:
                sides[row["side"]].pop(number(row["price"]), None)
        if row["last_in_message"]:
            yield row["seq"], {side: dict(levels) for side, levels in sides.items()}


def books(events: list[kt.Event], depth: int) -> Iterator[tuple[kt.Event, dict[str, dict[Decimal, Decimal]]]]:
    """The books by :class:`~kraken_trio.OrderBook`, after each event of the book; empty while it cannot be read."""
    book = kt.OrderBook(depth)
    for event in events:
        if isinstance(event, kt.BookSnapshot | kt.BookUpdate) or (
            isinstance(event, kt.Gap) and event.channel in {None, "book"}
        ):
            book.apply(event)
            yield event, sides_of(book)


def sides_of(book: kt.OrderBook) -> dict[str, dict[Decimal, Decimal]]:
    if not book.available:
        return {"bid": {}, "ask": {}}
    return {
        "bid": {level.price: level.qty for level in book.bids},
        "ask": {level.price: level.qty for level in book.asks},
    }
