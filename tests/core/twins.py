"""The same story twice: with the compiled core, and by the pure code alone. After every call all must be equal.

What is pure runs inside of :func:`purely`.
"""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from kraken_trio.book import OrderBook, core
from kraken_trio.errors import BookUnavailable
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Gap, Level
from kraken_trio.requests import Book, Trades
from kraken_trio.session.steps import Step
from tests.book.levels import wire_level
from tests.core.market import Market, Tape, frame_of, mutated
from tests.session.driver import BTC, ETH, HEARTBEAT, NONSENSE, Client, acks, status, trades

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kraken_trio.requests import Depth
    from kraken_trio.session import Effects

__all__ = ["BookTwins", "SessionTwins", "exact", "look", "play_books", "play_sessions", "purely"]


@contextmanager
def purely() -> Iterator[None]:
    """No new book gets a compiled core, and no new session a frame path."""
    kept = core.load, core.table
    core.load = core.table = None
    try:
        yield
    finally:
        core.load, core.table = kept


# What can be seen


def exact(event: Any) -> tuple[object, ...]:
    """Everything that a program can see of an event: two that are equal in this are the same."""
    levels = (*getattr(event, "bids", ()), *getattr(event, "asks", ()))
    texts = [text for level in levels for text in (level.price_text, level.qty_text)]
    moment = getattr(event, "timestamp", None)
    zone = None if moment is None else (type(moment), id(moment.tzinfo), moment.fold)
    numbers = [type(getattr(event, name, None)) for name in ("checksum", "epoch", "received_ns", "symbol")]
    return type(event), repr(event), hash(event), texts, [*map(type, texts)], zone, numbers


def look(book: OrderBook) -> tuple[object, ...]:
    """Everything that a program can see of a book."""
    seen = (book.depth, book.symbol, book.available, book.verified, book.received_ns, repr(book))
    try:
        taken = book.snapshot()
    except BookUnavailable as error:
        return (*seen, str(error))
    sides = [[(level.price_text, level.qty_text) for level in side] for side in (book.bids, book.asks)]
    best = [level and (level.price_text, level.qty_text) for level in (book.best_bid, book.best_ask)]
    assert best == [side[0] if side else None for side in sides]
    return (*seen, exact(taken), sides, book.crossed, book.spread, book.mid, book.checksum(), book.timestamp)


def _effects(effects: Effects) -> dict[str, object]:
    """What a runtime is told to do; the order of feeds is part of it."""
    seen = msgspec.structs.asdict(effects)
    seen["deliver"] = [(feed, [exact(event) for event in events]) for feed, events in effects.deliver.items()]
    seen["end"] = repr(effects.end)
    seen["records"] = [repr(record) for record in effects.records]
    seen["changes"] = [exact(change) for change in effects.changes]
    return seen


_OURS: Final = ("core", "compiled_updates", "pure_updates")


def _statistics(client: Client) -> dict[str, object]:
    numbers = client.session.statistics()
    assert numbers.compiled_updates == 0 or numbers.core == "compiled"
    names = [field.name for field in attrs.fields(type(numbers)) if field.name not in _OURS]
    seen = {name: getattr(numbers, name) for name in names}
    seen["updates"] = numbers.compiled_updates + numbers.pure_updates
    return seen


# Sessions

SYMBOLS: Final = (BTC, ETH)
_SETTINGS: Final[dict[str, Any]] = {"malformed_limit": 6}


class SessionTwins:
    """Two sessions that get the same calls, and the programs behind their feeds, each with books of its own."""

    def __init__(self) -> None:
        self.fast = Client(**_SETTINGS)
        with purely():
            self.pure = Client(**_SETTINGS)
        self._books: tuple[dict[tuple[object, str, str], OrderBook], dict[tuple[object, str, str], OrderBook]] = (
            {},
            {},
        )
        self.counts: Counter[str] = Counter()

    def call(self, name: str, *arguments: Any) -> None:
        """Call this method of both clients, and compare what comes of it."""
        getattr(self.fast, name)(*arguments)
        with purely():
            getattr(self.pure, name)(*arguments)
        self.compare()

    def compare(self) -> None:
        fast, pure = self.fast, self.pure
        assert _effects(fast.effects) == _effects(pure.effects)
        assert fast.session.deadline == pure.session.deadline
        assert fast.state() == pure.state()
        assert _statistics(fast) == _statistics(pure)
        theirs = {sub.key: sub for sub in pure.session.subscriptions}
        for sub in fast.session.subscriptions:
            twin = theirs.pop(sub.key)
            assert (sub.step, sub.audience) == (twin.step, twin.audience)
            if isinstance(sub.request, Book):
                assert look(sub.state.book) == look(twin.state.book)  # type: ignore[attr-defined]  # it is a BookState
        assert not theirs
        self._follow(fast, self._books[0])
        with purely():
            self._follow(pure, self._books[1])
        assert self._books[0].keys() == self._books[1].keys()
        for key, book in self._books[0].items():
            assert look(book) == look(self._books[1][key])
        fast.seen.clear()
        pure.seen.clear()

    def _follow(self, client: Client, books: dict[tuple[object, str, str], OrderBook]) -> None:
        """What programs do with their events: one has them verified again, one has not."""
        for feed, events in client.seen.items():
            for event in events:
                if isinstance(event, BookSnapshot):
                    for how in ("apply", "follow"):
                        books.setdefault((feed, event.symbol, how), OrderBook(self.depth))
                if isinstance(event, BookSnapshot | BookUpdate):
                    books[feed, event.symbol, "apply"].apply(event)
                    books[feed, event.symbol, "follow"].follow(event)
                elif isinstance(event, Gap):
                    for (other, symbol, _), book in books.items():
                        if other == feed and symbol == event.symbol:
                            book.apply(event)

    # The story

    depth: Depth = 10

    def play(self, tape: Tape, limit: int) -> None:
        depths: tuple[Depth, ...] = (10, 10, 25, 10, 10, 100, 10, 10)
        self.depth = tape.pick(depths)
        self.markets = {symbol: Market(tape, symbol, self.depth) for symbol in SYMBOLS}
        self.add("a", BTC, ETH)
        self.add("b", BTC)
        while not tape.is_over and self.counts["frames"] < limit:
            self._step(tape)
            if not tape.rarely(4):
                self.settle()
        self.settle()
        for symbol in SYMBOLS:
            self.receive([self.markets[symbol].update(tape)])

    def receive(self, frames: Sequence[str | bytes]) -> None:
        self.counts["frames"] += len(frames)
        self.fast.received_ns, self.pure.received_ns = iter(()), iter(())  # type: ignore[assignment]  # not used here
        number = self.counts["batches"] = self.counts["batches"] + 1
        self.call("_call", "receive", frames, number, self.fast.now)
        if self.fast.effects.drop is not None:
            self.call("lose", self.fast.effects.drop)

    def add(self, feed: str, *symbols: str) -> None:
        self.call("add", feed, *(Book(symbol, depth=self.depth) for symbol in symbols))
        self.settle()

    def settle(self) -> None:
        """Connect, answer everything, and send the snapshots that are owed."""
        if not self.fast.session.is_connected:
            self.call("reconnect")
        for _ in range(4):
            asked = self.fast.requests()
            assert asked == self.pure.requests()
            frames = [frame for one in asked for frame in acks(one)]
            if frames:
                self.receive(frames)
            owed = [
                self.markets[sub.key[1]].snapshot()
                for sub in self.fast.session.subscriptions
                if isinstance(sub.request, Book) and sub.step is Step.CONFIRMED and sub.key[1] is not None
            ]
            if owed:
                self.receive(owed)
            if not (frames or owed):
                break

    def _step(self, tape: Tape) -> None:
        market = self.markets[tape.pick((BTC, BTC, ETH))]
        step = tape.below(32)
        if step < 14:
            self.receive([market.update(tape)])
        elif step < 20:
            frames = [tape.pick([*self.markets.values()]).update(tape) for _ in range(1 + tape.below(16))]
            as_bytes: list[str | bytes] = [frame.encode() if tape.rarely(2) else frame for frame in frames]
            self.receive(tuple(as_bytes) if tape.rarely(4) else as_bytes)
        elif step < 26:
            frame = market.update(tape)
            odd = mutated(frame, tape)
            told: str | bytes = odd if tape.rarely(2) else odd.decode("utf-8", "replace")
            others = [market.update(tape) for _ in range(tape.below(3))]
            # The right one follows: where the odd one was taken, it changes nothing.
            self.receive(tape.pick(([told], [frame, told], [told, frame], [told, told, frame])))
            self.receive([frame, *others])
        else:
            self._rarer(tape, market)

    def _rarer(self, tape: Tape, market: Market) -> None:
        match tape.below(10):
            case 0:
                self.receive([market.update(tape).replace('"checksum":', '"checksum":1'), market.update(tape)])
            case 1:
                market.update(tape)  # lost
                self.receive([market.update(tape), market.update(tape)])
            case 2:
                self.add(self._name("c"), *SYMBOLS[: 1 + tape.below(2)])
            case 3:
                feeds = [feed for feed in self.fast.session._subscriptions.feeds if feed not in ("a", "b")]
                if feeds:
                    self.call("remove", tape.pick(feeds))
            case 4:
                if self.fast.session.is_connected:
                    self.call("lose")
                self.receive([market.update(tape)])
            case 5:
                self.fast.now = self.pure.now = self.fast.now + 0.25 * tape.below(40)
                self.call("tick")
                if self.fast.effects.drop is not None:
                    self.call("lose", self.fast.effects.drop)
            case 6:
                self.receive([HEARTBEAT, market.update(tape), trades(1), NONSENSE, market.update(tape)])
            case 7:
                self.receive([market.snapshot(), market.update(tape)])
            case 8:
                changes = frame_of("NO/NE", *market.change(tape), market.checksum())
                self.receive([changes, status("online"), frame_of(market.symbol, [], [], market.checksum())])
            case _:
                self.call("add", self._name("t"), Trades(market.symbol))

    def _name(self, kind: str) -> str:
        self.counts["feeds"] += 1
        return f"{kind}{self.counts['feeds']}"


def play_sessions(data: bytes, limit: int = 400) -> SessionTwins:
    """Play a story of two sessions. Raises :class:`AssertionError` where they differ."""
    twins = SessionTwins()
    twins.play(Tape(data), limit)
    twins.counts["compiled"] = twins.fast.count("compiled_updates")
    twins.counts["pure"] = twins.fast.count("pure_updates")
    return twins


# Books alone


class Text(str):
    """A program's own class of texts."""

    __slots__ = ()


_EVENTS: Final[tuple[Callable[[Any], Any], ...]] = (
    copy.copy,
    copy.deepcopy,
    lambda event: pickle.loads(pickle.dumps(event)),
    lambda event: msgspec.structs.replace(event, bids=list(event.bids), asks=list(event.asks)),
    lambda event: msgspec.structs.replace(event, symbol=Text(event.symbol)),
    lambda event: msgspec.structs.replace(event, checksum=None),
    lambda event: msgspec.structs.replace(event, checksum=-1),
    lambda event: msgspec.structs.replace(event, checksum=2**64 + (event.checksum or 0)),
    lambda event: msgspec.structs.replace(event, checksum=float(event.checksum or 0)),
    lambda event: msgspec.structs.replace(event, checksum=True),
    lambda event: msgspec.structs.replace(event, symbol="C/D"),
    lambda event: msgspec.structs.replace(event, timestamp=None, epoch=2**70, received_ns=-1),
    lambda event: msgspec.structs.replace(event, bids=None),
    lambda event: msgspec.structs.replace(event, asks=({"price": 1, "qty": 1},)),
)
"""What a program may make of an event, its mistakes included."""
_LEVELS: Final[tuple[Callable[[str, str], Level], ...]] = (
    wire_level,
    wire_level,
    Level,
    lambda price, qty: Level(Text(price), qty),
    lambda price, qty: Level(f"+{price}", qty),
    lambda price, qty: Level(f"{price}e0", qty),
    lambda price, qty: Level(f"0{price}", f"0{qty}"),
    lambda price, qty: Level(price, f"{qty}."),
)
_COPIES: Final[tuple[Callable[[OrderBook], OrderBook], ...]] = (
    copy.copy,
    copy.deepcopy,
    lambda book: pickle.loads(pickle.dumps(book)),
)
_READS: Final = ("bids", "asks", "best_bid", "best_ask", "spread", "mid", "crossed", "timestamp", "received_ns")


class BookTwins:
    """Two order books that get the same events."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        depth = tape.pick((10, 1, 2, 5, 9, 11, 25, 40, 1000, 2**31, 2**80))
        self.fast, self.pure = OrderBook(depth), OrderBook(depth)
        self.market = Market(tape, "A/B", depth)
        self.copies: list[tuple[OrderBook, OrderBook]] = []
        self.counts: Counter[str] = Counter()

    def both(self, work: Callable[[OrderBook], object]) -> None:
        """Do it with both. It must give the same, or raise the same."""
        fast = self._outcome(work, self.fast)
        with purely():
            pure = self._outcome(work, self.pure)
        assert fast == pure

    def _outcome(self, work: Callable[[OrderBook], object], book: OrderBook) -> object:
        try:
            return repr(work(book))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is to be the same)
            return type(error), str(error), getattr(error, "evidence", None)

    def event(self, kind: type[BookSnapshot | BookUpdate], bids: Any, asks: Any, made: int, changed: int) -> Any:
        """Made anew for each book: a book may mend what it is given."""
        level = _LEVELS[made] if made < len(_LEVELS) else wire_level
        sides = [tuple(level(*texts) for texts in side) for side in (bids, asks)]
        number = self.counts["events"]
        event = kind(
            symbol="A/B",
            bids=sides[0],
            asks=sides[1],
            checksum=self.market.checksum(),
            timestamp=None,
            epoch=1,
            received_ns=number,
        )
        return _EVENTS[changed](event) if changed < len(_EVENTS) else event

    def tell(self, kind: type[BookSnapshot | BookUpdate], bids: Any, asks: Any, *, odd: bool) -> None:
        tape = self.tape
        self.counts["events"] += 1
        made, changed = (tape.below(16), tape.below(40)) if odd else (99, 99)
        how = "apply" if self.follows == odd else "follow"
        self.counts["compiled"] += self.fast.core is not None
        self.both(lambda book: getattr(book, how)(self.event(kind, bids, asks, made, changed)))

    follows = False

    def play(self) -> None:
        tape = self.tape
        self.tell(BookSnapshot, self.market.bids, self.market.asks, odd=False)
        while not tape.is_over:
            step = tape.below(32)
            if step < 22:
                self.tell(BookUpdate, *self.market.change(tape), odd=step > 18)
            elif step < 24:
                self.follows = not self.follows
            elif step < 26:
                name = tape.pick(_READS)
                self.both(lambda book: getattr(book, name))  # noqa: B023 (called at once)
            else:
                self._rarer(step)
            if not tape.rarely(8):
                assert look(self.fast) == look(self.pure)
            if not self.fast.available and not tape.rarely(3):
                self.tell(BookSnapshot, self.market.bids, self.market.asks, odd=False)
        for fast, pure in self.copies:
            assert look(fast) == look(pure)

    def _rarer(self, step: int) -> None:
        tape, market = self.tape, self.market
        if step == 26:
            symbol, channel = tape.pick(("A/B", None, "C/D")), tape.pick(("book", "trade"))
            gap = Gap(symbol=symbol, cause=Cause.CHECKSUM, channel=channel)
            self.both(lambda book: book.apply(gap))
        elif step == 27:
            self.both(lambda book: book.invalidate("so it is"))
        elif step in (28, 29):
            copied = tape.pick(_COPIES)
            copies = copied(self.fast), copied(self.pure)
            self.copies.append((self.fast, self.pure) if tape.rarely(2) else copies)
            if self.copies[-1] is not copies:
                self.fast, self.pure = copies
        elif step == 30:
            levels = market.bids, market.asks
            if tape.rarely(2):
                levels[0].reverse()
            self.tell(BookSnapshot, *levels, odd=tape.rarely(2))
        else:
            market.change(tape)  # lost


def play_books(data: bytes) -> BookTwins:
    """Play a story of two books. Raises :class:`AssertionError` where they differ."""
    twins = BookTwins(Tape(data))
    twins.play()
    return twins
