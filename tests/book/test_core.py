"""How a book uses a core: when it gets one, when it leaves it, what that costs; and which core there is.

The core is a stand-in in Python, so this is the same whether the compiled one is built or not.
"""

from __future__ import annotations

import copy
import importlib.util
import pickle
import sys
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pytest

from kraken_trio import (
    BookSnapshot,
    BookUnavailable,
    BookUpdate,
    Cause,
    ChecksumMismatch,
    Gap,
    Level,
    OrderBook,
    _compiled,
)
from kraken_trio.book import core
from kraken_trio.testing.reference_book import ReferenceBook
from tests.book.stand_in import StandIn, StandInTable, use_stand_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEPTH = 10
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
Texts: TypeAlias = "Sequence[tuple[str, str]]"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    return use_stand_ins(monkeypatch)


class Market:
    """Makes the events of one book."""

    def __init__(self) -> None:
        self.model = ReferenceBook(DEPTH, bids=[("9.0", "1"), ("8.0", "2")], asks=[("10.0", "3"), ("11.0", "4")])
        self.number = 0

    def _event(self, kind: Any, bids: Texts, asks: Texts, **changes: Any) -> Any:
        self.number += 1
        fields: dict[str, Any] = {
            "symbol": "A/B",
            "bids": tuple(Level(*texts) for texts in bids),
            "asks": tuple(Level(*texts) for texts in asks),
            "checksum": self.model.checksum(),
            "timestamp": NOON.replace(microsecond=self.number),
            "epoch": 3,
            "received_ns": self.number,
        }
        return kind(**fields | changes)

    def snapshot(self, **changes: Any) -> BookSnapshot:
        event: BookSnapshot = self._event(BookSnapshot, self.model.bids, self.model.asks, **changes)
        return event

    def update(self, bids: Texts = (), asks: Texts = (), **changes: Any) -> BookUpdate:
        self.model.apply(bids=bids, asks=asks)
        event: BookUpdate = self._event(BookUpdate, bids, asks, **changes)
        return event

    def tick(self, **changes: Any) -> BookUpdate:
        return self.update([("8.0", f"{self.number + 1}.5")], **changes)

    def odd(self) -> BookUpdate:
        """One that a core does not take."""
        event = self.tick()
        odd: BookUpdate = msgspec.structs.replace(event, bids=list(event.bids), timestamp=None)
        return odd


def live(market: Market) -> OrderBook:
    book = OrderBook(DEPTH)
    book.apply(market.snapshot())
    return book


def texts(levels: tuple[Level, ...]) -> Texts:
    return [(level.price_text, level.qty_text) for level in levels]


def is_right(book: OrderBook, market: Market) -> bool:
    """Whether all that can be read is what the market says."""
    snapshot, model = book.snapshot(), market.model
    assert (texts(book.bids), texts(book.asks)) == (model.bids, model.asks)
    assert (snapshot.bids, snapshot.asks) == (book.bids, book.asks)
    assert book.checksum() == snapshot.checksum == model.checksum()
    assert (book.received_ns, snapshot.epoch) == (market.number, 3)
    assert book.timestamp == snapshot.timestamp
    assert book.best_bid == (book.bids[0] if book.bids else None)
    assert book.best_ask == (book.asks[0] if book.asks else None)
    assert book.crossed is model.crossed
    return book.verified and book.available


def test_a_verified_book_gets_a_core(stand_in: type[StandIn]) -> None:
    market = Market()
    book = live(market)
    assert isinstance(book.core, stand_in)
    assert book.bids is book.core.bids
    assert is_right(book, market)
    book.apply(market.tick())
    assert isinstance(book.core, stand_in)
    assert is_right(book, market)
    book.follow(market.tick())
    assert is_right(book, market)
    book.apply(market.update([("9.0", "0"), ("8.0", "0")]))
    assert book.best_bid is None
    assert is_right(book, market)
    assert stand_in.loads == 1


def test_without_a_core_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "load", None)
    market = Market()
    book = live(market)
    for _ in range(2 * DEPTH):
        book.apply(market.tick())
    assert book.core is None
    assert is_right(book, market)


@pytest.mark.parametrize("how", ["apply", "follow"])
def test_an_odd_update_is_taken_by_the_pure_code(stand_in: type[StandIn], how: str) -> None:
    """The book gets its core back after as many updates as it has levels a side."""
    market = Market()
    book = live(market)
    getattr(book, how)(market.odd())
    assert book.core is None
    assert book.timestamp is None
    assert is_right(book, market)
    for number in range(DEPTH - 1):  # with the odd one
        assert book.core is None, number
        getattr(book, how)(market.tick())
        assert is_right(book, market)
    assert book.core is not None
    assert stand_in.loads == 2


def test_a_snapshot_brings_the_core_back_at_once(stand_in: type[StandIn]) -> None:
    market = Market()
    book = live(market)
    book.apply(market.odd())
    book.apply(market.snapshot())
    assert isinstance(book.core, stand_in)
    assert is_right(book, market)


@pytest.mark.parametrize("how", ["apply", "follow"])
def test_a_peer_that_alternates_odd_updates_cannot_make_it_a_cost(stand_in: type[StandIn], how: str) -> None:
    """Per update, no more than a few levels are moved, whatever comes."""
    market, book = Market(), OrderBook(DEPTH)
    leave = OrderBook._leave_core
    left: list[object] = []
    rounds = 20 * DEPTH
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OrderBook, "_leave_core", lambda self: left.append(leave(self)))
        book.apply(market.snapshot())
        for number in range(rounds):
            getattr(book, how)(market.odd() if number % 2 else market.tick())
    assert stand_in.loads <= rounds / DEPTH + 1
    assert len(left) <= rounds / DEPTH + 1
    assert stand_in.loaded_levels <= 4 * (rounds + DEPTH)
    assert is_right(book, market)


def test_a_core_that_does_not_take_the_book_is_tried_rarely(stand_in: type[StandIn]) -> None:
    stand_in.takes_books = False
    market = Market()
    book = live(market)
    for _ in range(5 * DEPTH):
        book.apply(market.tick())
    assert book.core is None
    assert stand_in.loads == 6
    assert is_right(book, market)


def test_a_crossed_book_is_not_promoted(stand_in: type[StandIn]) -> None:
    """Nor does a core take what crosses its book. Once it is not crossed any more, it is as any other."""
    market = Market()
    book = live(market)
    book.apply(market.update([("10.0", "5")]))
    assert book.core is None
    assert book.crossed
    assert repr(book).endswith("crossed>")
    for _ in range(3 * DEPTH):
        book.apply(market.tick())
        assert book.core is None
    assert stand_in.loads == 1
    book.apply(market.snapshot())
    assert book.core is None
    book.apply(market.update([("10.0", "0")]))
    for _ in range(DEPTH):
        book.apply(market.tick())
    assert book.core is not None
    assert is_right(book, market)


def test_what_is_not_verified_is_not_promoted(stand_in: type[StandIn]) -> None:
    market = Market()
    book = OrderBook(DEPTH)
    book.apply(market.snapshot(checksum=None))
    for _ in range(3 * DEPTH):
        book.apply(market.tick(checksum=None))
    assert book.core is None
    assert stand_in.loads == 0
    for _ in range(DEPTH):
        book.apply(market.tick())
    assert book.core is not None
    assert is_right(book, market)


def test_a_wrong_checksum_is_found_by_the_pure_code(stand_in: type[StandIn]) -> None:
    market = Market()
    book = live(market)
    wrong = market.tick(checksum=1)
    with pytest.raises(ChecksumMismatch) as caught:
        book.apply(wrong)
    assert caught.value.evidence is not None
    assert caught.value.evidence.computed == market.model.checksum()
    assert book.core is None
    assert not book.available
    assert (book.received_ns, book.verified) == (market.number - 1, False)
    with pytest.raises(BookUnavailable):
        book.apply(market.tick())
    book.apply(market.snapshot())
    assert isinstance(book.core, stand_in)


ENDS: dict[str, Callable[[OrderBook], object]] = {
    "invalidated": lambda book: book.invalidate("so it is"),
    "applied": lambda book: book.apply(Gap(symbol="A/B", cause=Cause.CHECKSUM, channel="book")),
    "followed": lambda book: book.follow(Gap(symbol="A/B", cause=Cause.CHECKSUM, channel="book")),
}
COPIES: dict[str, Callable[[OrderBook], OrderBook]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda book: pickle.loads(pickle.dumps(book)),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_gap_ends_the_core(stand_in: type[StandIn], end: Callable[[OrderBook], object]) -> None:
    market = Market()
    book = live(market)
    book.apply(market.tick())
    end(book)
    assert book.core is None
    assert not book.available
    assert book.received_ns == market.number
    with pytest.raises(BookUnavailable):
        _ = book.bids
    with pytest.raises(BookUnavailable):
        book.apply(market.tick())
    book.apply(market.snapshot())
    assert isinstance(book.core, stand_in)
    assert is_right(book, market)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("is_odd", [False, True])
def test_a_copy_is_a_book_of_its_own(
    stand_in: type[StandIn], copied: Callable[[OrderBook], OrderBook], is_odd: bool
) -> None:
    """It begins without a core, and keeps its levels when the book that was copied gives its own to one."""
    market = Market()
    book = live(market)
    if is_odd:
        book.follow(market.odd())
    then, copies = copy.deepcopy(market), copied(book)
    assert copies.core is None
    for _ in range(DEPTH + 1):
        book.apply(market.tick())
    assert isinstance(book.core, stand_in)
    assert is_right(book, market)
    assert is_right(copies, then)
    for _ in range(DEPTH + 1):
        copies.apply(then.tick())
    assert copies.core is not None
    assert is_right(copies, then)
    assert is_right(book, market)


# Which one there is


def fresh(name: str) -> Any:
    """The module, imported anew."""
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    spec = importlib.util.spec_from_file_location(name, found.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Built(ModuleType):
    """What a compiler has left."""

    Core = StandIn
    Table = StandInTable


def imported(monkeypatch: pytest.MonkeyPatch, built: ModuleType | None, pure: str | None) -> Any:
    """Which core there is, where this is what was built, and the environment says this."""
    monkeypatch.setitem(sys.modules, "kraken_trio.book._core", built)
    if pure is None:
        monkeypatch.delenv("KRAKEN_TRIO_PURE", raising=False)
    else:
        monkeypatch.setenv("KRAKEN_TRIO_PURE", pure)
    monkeypatch.setattr(_compiled, "compiled", fresh("kraken_trio._compiled").compiled)
    return fresh("kraken_trio.book.core")


@pytest.mark.parametrize("pure", [None, "", "0"])
def test_the_compiled_core_is_used_where_it_is_built(monkeypatch: pytest.MonkeyPatch, pure: str | None) -> None:
    module = imported(monkeypatch, Built(""), pure)
    assert (module.NAME, module.load, module.table) == ("compiled", StandIn.load, StandInTable)


@pytest.mark.parametrize(("is_built", "pure"), [(False, None), (False, "1"), (True, "1"), (True, "yes")])
def test_otherwise_the_pure_code_runs_alone(monkeypatch: pytest.MonkeyPatch, is_built: bool, pure: str | None) -> None:
    module = imported(monkeypatch, Built("") if is_built else None, pure)
    assert (module.NAME, module.load, module.table) == ("pure", None, None)
