"""What an order book promises, example by example: worked checksums, availability, refusals, reading."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_UP, Context, Decimal, Inexact, localcontext
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from kraken_trio import (
    BookSnapshot,
    BookUnavailable,
    BookUpdate,
    Cause,
    ChecksumEvidence,
    ChecksumMismatch,
    Gap,
    Level,
    OrderBook,
    OrderType,
    ProtocolError,
    Side,
    Trade,
)
from kraken_trio.book import CHECKED_LEVELS, book as book_module
from tests.book.levels import wire_level

if TYPE_CHECKING:
    from collections.abc import Callable

READS: dict[str, Callable[[OrderBook], object]] = {
    "bids": lambda book: book.bids,
    "asks": lambda book: book.asks,
    "best_bid": lambda book: book.best_bid,
    "best_ask": lambda book: book.best_ask,
    "spread": lambda book: book.spread,
    "mid": lambda book: book.mid,
    "crossed": lambda book: book.crossed,
    "timestamp": lambda book: book.timestamp,
    "checksum()": lambda book: book.checksum(),
    "snapshot()": lambda book: book.snapshot(),
}
"""Every way to read a book's state."""


def levels(text: str) -> tuple[Level, ...]:
    """``"1.5x2 1.4x3"``: prices and quantities."""
    pairs = (part.split("x") for part in text.split())
    return tuple(Level(Decimal(price), Decimal(qty)) for price, qty in pairs)


def snapshot(bids: str = "", asks: str = "", checksum: int | None = None, symbol: str = "BTC/USD") -> BookSnapshot:
    return BookSnapshot(symbol=symbol, bids=levels(bids), asks=levels(asks), checksum=checksum)


def update(bids: str = "", asks: str = "", checksum: int | None = None, symbol: str = "BTC/USD") -> BookUpdate:
    return BookUpdate(symbol=symbol, bids=levels(bids), asks=levels(asks), checksum=checksum)


def loaded(bids: str = "", asks: str = "", depth: int = 10) -> OrderBook:
    book = OrderBook(depth)
    book.apply(snapshot(bids, asks))
    return book


def assert_unavailable(book: OrderBook, why: str) -> None:
    assert not book.available
    for name, read in READS.items():
        with pytest.raises(BookUnavailable, match=f"cannot be read: {why}"):
            pytest.fail(f"{name} gave {read(book)!r}")
    assert "unavailable" in repr(book)


# Worked examples of the protocol's documentation

V2_ASKS = (
    "45285.2x0.00100000 45286.4x1.54571953 45286.6x1.54571109 45289.6x1.54560911 45290.2x0.15890660 "
    "45291.8x1.54553491 45294.7x0.04454749 45296.1x0.35380000 45297.5x0.09945542 45299.5x0.18772827"
)
V2_BIDS = (
    "45283.5x0.10000000 45283.4x1.54582015 45282.1x0.10000000 45281.0x0.10000000 45280.3x1.54592586 "
    "45279.0x0.07990000 45277.6x0.03310103 45277.5x0.30000000 45277.3x1.54602737 45276.6x0.15445238"
)
THIN_ASKS = "62710.5x0.93111634 62710.6x0.50000000 62711.0x1.20000000"
THIN_BIDS = "62710.4x0.01000000 62709.1x2.00000000"
V1_ASKS = " ".join(f"0.05{ticks:03}x0.00000500" for ticks in range(5, 55, 5))
V1_BIDS = " ".join(f"0.0{ticks}x0.00000500" for ticks in (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950))


@pytest.mark.parametrize(
    ("bids", "asks", "checksum"),
    [
        (V2_BIDS, V2_ASKS, 3310070434),
        (THIN_BIDS, THIN_ASKS, 1396696505),
        (V1_BIDS, V1_ASKS, 974947235),
        ("", "", 0),
    ],
)
def test_worked_checksums(bids: str, asks: str, checksum: int) -> None:
    book = OrderBook(10)
    book.apply(snapshot(bids, asks, checksum))
    assert book.checksum() == checksum
    assert (book.bids, book.asks) == (levels(bids), levels(asks))
    with pytest.raises(ChecksumMismatch):
        book.apply(snapshot(bids, asks, checksum ^ 1))


def test_the_string_that_is_hashed() -> None:
    book = OrderBook(10)
    with pytest.raises(ChecksumMismatch) as caught:
        book.apply(snapshot(THIN_BIDS, THIN_ASKS, 1))
    assert caught.value.hashed == "62710593111634627106500000006271101200000006271041000000627091200000000"


def test_only_ten_levels_a_side_are_checked() -> None:
    book = OrderBook(25)
    asks, bids = f"{V2_ASKS} 45299.6x7.00000000", f"{V2_BIDS} 45276.5x7.00000000"
    book.apply(snapshot(bids, asks, 3310070434))
    book.apply(update("45276.5x8.00000000", "45299.7x9.00000000", 3310070434))
    assert len(book.bids) == CHECKED_LEVELS + 1
    assert len(book.asks) == CHECKED_LEVELS + 2
    # The eleventh moves up, and is checked.
    with pytest.raises(ChecksumMismatch):
        book.apply(update(asks="45285.2x0.00000000", checksum=3310070434))


# The rules of an update


def test_the_last_of_a_repeated_price_holds() -> None:
    book = loaded(asks="27130.2x1.0")
    book.apply(update(asks="27130.2x5.0 27130.2x0.0 27130.2x2.0 27131.0x1.0 27131.0x0.0"))
    assert book.asks == levels("27130.2x2.0")


def test_the_last_of_a_repeated_price_holds_in_a_snapshot_too() -> None:
    assert loaded("5x1 5x2 4x1 4x0 3x0").bids == levels("5x2")


def test_removing_what_is_not_there_changes_nothing() -> None:
    book = loaded("5x1", "7x1")
    before = book.checksum()
    book.apply(update("4x0 6x0", "8x0 6x0 100x0", before))
    assert (book.bids, book.asks) == (levels("5x1"), levels("7x1"))


def test_a_side_that_is_not_mentioned_is_unchanged() -> None:
    book = loaded("5x1", "7x1")
    bids = book.bids
    book.apply(update(asks="8x1"))
    assert book.bids is bids
    assert book.asks == levels("7x1 8x1")


def test_what_is_pushed_out_of_the_window_is_forgotten() -> None:
    book = loaded("5x1 4x1", "6x1 7x1", depth=2)
    book.apply(update("5.5x1", "5.7x1"))
    assert (book.bids, book.asks) == (levels("5.5x1 5x1"), levels("5.7x1 6x1"))
    book.apply(update("5.5x0", "5.7x0"))
    assert (book.bids, book.asks) == (levels("5x1"), levels("6x1"))


def test_the_window_is_cut_after_the_whole_message() -> None:
    book = loaded("5x1 4x1", depth=2)
    book.apply(update("6x1 6x0"))
    assert book.bids == levels("5x1 4x1")


def test_a_snapshot_is_cut_too_and_need_not_be_sorted() -> None:
    book = loaded("3x1 5x1 4x1", "9x1 7x1 8x1", depth=2)
    assert (book.bids, book.asks) == (levels("5x1 4x1"), levels("7x1 8x1"))


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_a_book_of_less_than_ten_levels_checks_those(depth: int) -> None:
    prices = list(range(100, 100 + depth))
    book = loaded(asks=" ".join(f"{price}x1" for price in prices), depth=depth)
    book.checksum()
    expected = crc32("".join(f"{price}1" for price in [99, *prices[:-1]]).encode())
    book.apply(update(asks="99x1", checksum=expected))
    assert book.checksum() == expected


def test_a_snapshot_replaces_everything() -> None:
    book = loaded("5x1", "7x1")
    book.apply(snapshot("3x1"))
    assert (book.bids, book.asks) == (levels("3x1"), ())


def test_prices_of_any_number_of_decimals_are_ordered_by_value() -> None:
    book = loaded("5x1 5.25x1 5.1x1 5.125x1", "6.5x1 6.25x1 6x1")
    book.apply(update("5.0625x1 5.2500x0", "6.03125x1"))
    assert [str(level.price) for level in book.bids] == ["5.125", "5.1", "5.0625", "5"]
    assert [str(level.price) for level in book.asks] == ["6", "6.03125", "6.25", "6.5"]
    book.apply(snapshot("5x1"))
    book.apply(update("50x1"))
    assert book.best_bid == Level(Decimal(50), Decimal(1))


def test_a_giant_update_is_not_inserted_level_by_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each insert at the front shifts all others: a frame of eight megabytes would take minutes."""
    expected = loaded("7.5x1 3x9", depth=1000)
    giant = levels("2500.25x0 1.5x1 7.50x0 " + " ".join(f"{price}x{price % 7}" for price in range(1, 2500)))
    for level in giant:
        expected.apply(BookUpdate(symbol="BTC/USD", bids=(level,), asks=()))
    monkeypatch.setattr(book_module, "bisect_left", None)
    book = loaded("7.5x1 3x9", depth=1000)
    book.apply(BookUpdate(symbol="BTC/USD", bids=giant, asks=(), checksum=expected.checksum()))
    assert book.bids == expected.bids
    assert len(book.bids) == 1000
    assert book.checksum() == expected.checksum()


@pytest.mark.parametrize("sides", [("many", ""), ("", "many")])
def test_the_levels_of_a_message_are_bounded(sides: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that sends more than any book has, or than was asked for, cannot fill the memory."""
    limit = 2_000
    monkeypatch.setattr("kraken_trio.book.book.MAX_LEVELS", limit)
    most = " ".join(f"{price}x1" for price in range(1, limit + 1))
    for text, is_taken in ((most, True), (f"{most} {limit + 1}x1", False)):
        bids, asks = (text if side == "many" else "" for side in sides)
        for apply in (OrderBook.apply, OrderBook.follow):
            for event in (snapshot(bids, asks), update(bids, asks)):
                book = loaded(depth=10)
                if is_taken:
                    apply(book, event)
                    assert len(book.bids + book.asks) == 10
                else:
                    with pytest.raises(ProtocolError, match=f"with {limit + 1} levels of one side: at most {limit}"):
                        apply(book, event)
                    assert not book.available


# Crossed books


@pytest.mark.parametrize(
    ("bids", "asks", "crossed"),
    [
        ("5x1", "6x1", False),
        ("5.9x1", "6x1", False),
        ("6x1", "6x1", True),
        ("6.0x1", "6.00x1", True),
        ("7x1", "6x1", True),
        ("", "6x1", False),
        ("6x1", "", False),
        ("", "", False),
    ],
)
def test_crossed(bids: str, asks: str, crossed: bool) -> None:
    book = loaded(bids, asks)
    assert book.crossed is crossed
    assert ("crossed" in repr(book)) is crossed


def test_a_crossed_book_has_a_spread_that_says_so() -> None:
    book = loaded("7x1", "6x1")
    assert book.spread == -1
    assert book.mid == Decimal("6.5")


# Availability


def test_a_new_book_cannot_be_read() -> None:
    book = OrderBook(10)
    assert book.symbol is None
    assert_unavailable(book, "it has had no snapshot yet")
    assert repr(book) == "<OrderBook ? depth=10 unavailable: it has had no snapshot yet>"


def test_an_update_before_the_snapshot_is_refused() -> None:
    book = OrderBook(10)
    with pytest.raises(BookUnavailable, match=r"^the book cannot be read: it has had no snapshot yet$"):
        book.apply(update("5x1"))
    assert_unavailable(book, "it has had no snapshot yet")
    assert book.symbol is None


@pytest.mark.parametrize("good", [snapshot("5x1", "7x1"), snapshot("5x1", "7x1", crc32(b"7151"))])
def test_after_a_failed_check_only_a_verified_snapshot_helps(good: BookSnapshot) -> None:
    book = loaded("5x1", "7x1")
    wrong = update("5x2", checksum=crc32(b"7153"))
    with pytest.raises(ChecksumMismatch) as caught:
        book.apply(wrong)
    assert caught.value.evidence == ChecksumEvidence(
        symbol="BTC/USD",
        expected=crc32(b"7153"),
        computed=crc32(b"7152"),
        hashed="7152",
        message=f"update: checksum {crc32(b'7153')}, no timestamp; bids 5:2; asks none",
    )
    assert caught.value.expected == crc32(b"7153")
    assert caught.value.computed == crc32(b"7152")
    assert caught.value.hashed == "7152"
    assert str(caught.value) == (
        f"BTC/USD: the book's checksum is {crc32(b'7152')}, the exchange says {crc32(b'7153')}, after this "
        f"update: checksum {crc32(b'7153')}, no timestamp; bids 5:2; asks none"
    )
    why = "it failed a check, and its next snapshot has not come yet"
    assert_unavailable(book, why)
    for right in (update("5x3", checksum=crc32(b"7153")), update("5x3")):
        with pytest.raises(BookUnavailable, match=r"^the book of BTC/USD cannot be read: it failed a check"):
            book.apply(right)
    assert_unavailable(book, why)
    with pytest.raises(ChecksumMismatch, match="after this snapshot: "):
        book.apply(snapshot("5x1", "7x1", 7))
    assert_unavailable(book, why)
    book.apply(good)
    assert book.available
    assert book.bids == levels("5x1")


# Verified, or taken as it is

RIGHT = snapshot("5x1", "7x1", crc32(b"7151"))
BARE = snapshot("5x1", "7x1")


def test_a_book_is_verified_once_a_checksum_has_matched() -> None:
    book = OrderBook(10)
    assert not book.verified
    book.apply(BARE)
    assert book.available
    assert not book.verified
    book.apply(update("5x2"))
    assert not book.verified
    book.apply(update("5x3", checksum=crc32(b"7153")))
    assert book.verified
    book.invalidate("a test")
    assert not book.verified
    book.apply(RIGHT)
    assert book.verified


def test_where_no_snapshot_ever_had_a_checksum_each_one_begins_anew() -> None:
    book = OrderBook(10)
    for _ in range(2):
        book.apply(BARE)
        assert not book.verified
        book.apply(update("5x2"))
        book.apply(update(checksum=crc32(b"7152")))
        assert book.verified


@pytest.mark.parametrize(
    "before", [(RIGHT,), (BARE, update(checksum=crc32(b"7151"))), (RIGHT, update("4x0", checksum=crc32(b"7151")))]
)
def test_an_update_without_a_checksum_cannot_hide_a_loss(before: tuple[BookSnapshot | BookUpdate, ...]) -> None:
    """Regression: it was taken, so that after an update that was lost a wrong book could be read."""
    book = OrderBook(10)
    for event in before:
        book.apply(event)
    with pytest.raises(ProtocolError, match=r"^BTC/USD: an update without a checksum, though one has come") as caught:
        book.apply(update("4x1"))
    assert type(caught.value) is ProtocolError
    assert_unavailable(book, "it failed a check")
    assert not book.verified
    book.apply(RIGHT)
    assert book.bids == levels("5x1")


def test_a_snapshot_without_a_checksum_is_refused_where_an_earlier_one_had_it() -> None:
    book = OrderBook(10)
    book.apply(BARE)
    book.apply(RIGHT)
    for _ in range(2):
        with pytest.raises(
            ProtocolError, match=r"^BTC/USD: a snapshot without a checksum, though an earlier one had it$"
        ):
            book.apply(BARE)
        assert_unavailable(book, "it failed a check")
    book.apply(RIGHT)
    assert book.verified


def test_a_book_that_follows_is_verified_if_the_other_was() -> None:
    book = OrderBook(10)
    book.follow(BARE)
    assert not book.verified
    book.follow(update("5x2", checksum=123))
    assert book.verified
    book.follow(update("5x1"))
    assert book.verified
    book.follow(BARE)
    assert not book.verified
    assert book.snapshot().checksum is None
    book.follow(RIGHT)
    assert book.verified
    assert book.snapshot().checksum == RIGHT.checksum


def test_a_book_may_stop_to_follow_and_verify_by_itself() -> None:
    book = OrderBook(10)
    book.follow(RIGHT)
    book.follow(update("5x2 4x1", "7x0 8x1", checksum=crc32(b"815241")))
    book.apply(update("5x3", checksum=crc32(b"815341")))
    book.follow(update("4x2", checksum=crc32(b"815342")))
    assert book.checksum() == crc32(b"815342")
    book.apply(update("4x0", checksum=crc32(b"8153")))
    with pytest.raises(ChecksumMismatch) as caught:
        book.apply(update("4x1", checksum=7))
    assert caught.value.hashed == "815341"


@pytest.mark.parametrize("verb", [OrderBook.apply, OrderBook.follow])
@pytest.mark.parametrize(
    "other",
    [
        Gap(symbol=None, cause=Cause.MALFORMED),
        Gap(symbol=None, channel="book", cause=Cause.MALFORMED),
        Gap(symbol="BTC/USD", channel="trade", cause=Cause.MISSED),
        Gap(symbol="ETH/USD", channel="trade", cause=Cause.MISSED),
    ],
)
def test_a_gap_of_something_else_changes_nothing(verb: Any, other: Gap) -> None:
    """Regression: no snapshot follows such a gap, so a user's book stayed unreadable."""
    book = loaded("5x1")
    verb(book, other)
    assert book.available
    book.apply(update("5x2"))


@pytest.mark.parametrize("channel", ["book", None])
def test_a_gap_makes_the_book_unavailable(channel: str | None) -> None:
    book = loaded("5x1")
    book.apply(Gap(symbol="BTC/USD", channel=channel, cause=Cause.SILENCE))
    assert_unavailable(book, r"events are missing \(silence\); its next snapshot has not come yet")
    with pytest.raises(BookUnavailable):
        book.apply(update("5x1"))
    book.follow(snapshot("5x1"))
    assert book.available


def test_a_gap_before_anything_else() -> None:
    book = OrderBook(10)
    book.apply(Gap(symbol="BTC/USD", cause=Cause.DISCONNECTED))
    assert_unavailable(book, r"events are missing \(disconnected\)")
    book.apply(snapshot("5x1", symbol="ETH/USD"))
    assert book.symbol == "ETH/USD"


def test_it_can_be_made_unavailable_by_hand() -> None:
    book = loaded("5x1")
    book.invalidate("the moon is full")
    assert_unavailable(book, "the moon is full")


@pytest.mark.parametrize("verb", [OrderBook.apply, OrderBook.follow])
@pytest.mark.parametrize(
    "other",
    [snapshot("5x1", symbol="ETH/USD"), update("5x2", symbol="ETH/USD"), Gap(symbol="ETH/USD", cause=Cause.CHECKSUM)],
)
def test_another_symbol_is_a_mistake_and_changes_nothing(verb: Any, other: Any) -> None:
    book = loaded("5x1")
    with pytest.raises(ValueError, match="this is the book of BTC/USD, not of ETH/USD"):
        verb(book, other)
    assert book.available
    assert book.bids == levels("5x1")


def test_another_event_is_a_mistake_and_changes_nothing() -> None:
    trade: Any = Trade(
        symbol="BTC/USD",
        side=Side.BUY,
        price=Decimal(1),
        qty=Decimal(1),
        ord_type=OrderType.LIMIT,
        trade_id=1,
        timestamp=datetime.now(UTC),
    )
    book = loaded("5x1")
    with pytest.raises(TypeError, match="BookSnapshot, BookUpdate and Gap, not Trade"):
        book.apply(trade)
    assert book.available


def test_a_hostile_symbol_is_safe_to_print() -> None:
    """Whoever uses the book alone may feed it what a peer has sent."""
    symbol = "\x1b[31m" + "x" * 100_000
    book = OrderBook(10)
    book.apply(snapshot(symbol=symbol))
    texts = [repr(book)]
    with pytest.raises(ValueError, match="not of ETH/USD") as mistaken:
        book.apply(snapshot(symbol="ETH/USD"))
    with pytest.raises(ChecksumMismatch) as mismatched:
        book.apply(update(symbol=symbol, checksum=1))
    with pytest.raises(BookUnavailable) as unreadable:
        book.checksum()
    texts += [str(caught.value) for caught in (mistaken, mismatched, unreadable)]
    for text in [*texts, repr(book)]:
        assert text.isprintable()
        assert len(text) < 200


@pytest.mark.parametrize("depth", [0, -1, True, 10.0, "10", None])
def test_a_depth_is_a_whole_number(depth: Any) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        OrderBook(depth)


# Following a book that was verified elsewhere


def test_follow_does_not_verify() -> None:
    book = OrderBook(10)
    book.follow(snapshot("5x1", "7x1", 1))
    book.follow(update("5x2", checksum=2))
    assert book.bids == levels("5x2")


def test_a_follower_has_the_checksum_of_the_book_that_it_follows() -> None:
    """Also where the numbers were abbreviated on the way, and the digits alone would give another one."""
    events = (
        snapshot("5x1.5", "7.25x1", crc32(b"7251050015")),
        update("5x2.5", checksum=crc32(b"7251050025")),
        update("4x0", checksum=crc32(b"7251050025")),
    )
    first, second = OrderBook(10), OrderBook(10)
    for event in events:
        first.apply(event)
        second.follow(event)
        assert second.checksum() == first.checksum()
        assert second.snapshot() == first.snapshot()
        OrderBook(10).apply(second.snapshot())


# Numbers that are none

NO_NUMBERS = ["NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "-1", "1e999999999", "1e-999999999", "9" * 41, "1e40"]


@pytest.mark.parametrize("number", [*NO_NUMBERS, "0", "0.00", "-0", "0e999999999"])
@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("kind", [BookSnapshot, BookUpdate])
def test_what_is_no_price_is_refused(kind: type[Any], side: str, number: str) -> None:
    bad = (*levels("5x1"), Level(Decimal(number), Decimal(1)))
    refused(kind(**{"symbol": "BTC/USD", "bids": (), "asks": (), side: bad}), "not a price")


@pytest.mark.parametrize("number", [*NO_NUMBERS, "0e999999999", "0e-999999999"])
@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("kind", [BookSnapshot, BookUpdate])
def test_what_is_no_quantity_is_refused(kind: type[Any], side: str, number: str) -> None:
    bad = (*levels("5x1"), Level(Decimal(5), Decimal(number)))
    refused(kind(**{"symbol": "BTC/USD", "bids": (), "asks": (), side: bad}), "not a price or quantity")


def refused(event: Any, says: str) -> None:
    for verb in (OrderBook.apply, OrderBook.follow):
        book = loaded("4x1", "7x1")
        with pytest.raises(ProtocolError, match=says) as caught:
            verb(book, event)
        assert type(caught.value) is ProtocolError
        assert len(str(caught.value)) < 100
        assert_unavailable(book, "it failed a check")
        book.apply(snapshot("5x1"))
        assert book.bids == levels("5x1")


def test_a_zero_quantity_may_be_written_in_any_way() -> None:
    book = loaded("5x1 4x1 3x1 2x1")
    book.apply(update("5x0.00000000 4x0e5 3x-0 2x0E-40"))
    assert book.bids == ()


# Numbers that were abbreviated on the way


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ("5x1.5", "7.25x1"),
        ("5e0x15e-1", "7.25x1e0"),
        ("0.5e1x0.15e1", "725e-2x1"),
        ("5.00x1.5", "7.25x1.0"),
    ],
)
def test_abbreviated_numbers_verify(bids: str, asks: str) -> None:
    expected = crc32(b"7251050015")
    book = OrderBook(10)
    book.apply(snapshot(bids, asks, expected))
    assert book.checksum() == expected
    book.apply(update("1x0", checksum=expected))
    assert book.snapshot().checksum == expected
    book.apply(book.snapshot())


# Reading


def test_reading() -> None:
    when = datetime(2026, 7, 19, 17, 54, 39, tzinfo=UTC)
    book = OrderBook(2)
    book.apply(
        BookSnapshot(
            symbol="BTC/USD", timestamp=when, epoch=3, received_ns=17, bids=levels("5.10x1 5x2"), asks=levels("6.0x3")
        ),
    )
    assert book.symbol == "BTC/USD"
    assert book.depth == 2
    assert book.best_bid == Level(Decimal("5.10"), Decimal(1))
    assert book.best_ask == Level(Decimal("6.0"), Decimal(3))
    assert str(book.spread) == "0.90"
    assert book.mid == Decimal("5.55")
    assert book.timestamp == when
    assert repr(book) == "<OrderBook BTC/USD depth=2 1 @ 5.10 / 3 @ 6.0>"
    assert book.snapshot() == BookSnapshot(
        symbol="BTC/USD",
        bids=levels("5.10x1 5x2"),
        asks=levels("6.0x3"),
        checksum=None,
        timestamp=when,
        epoch=3,
        received_ns=17,
    )
    assert book.checksum() == crc32(b"603510152")


def test_the_snapshot_is_of_the_last_message() -> None:
    book = loaded("5x1")
    book.apply(BookUpdate(symbol="BTC/USD", bids=(), asks=(), epoch=7, received_ns=8))
    assert (book.snapshot().epoch, book.snapshot().received_ns, book.timestamp) == (7, 8, None)


@pytest.mark.parametrize(
    ("bids", "asks", "text"),
    [("", "", "none / none"), ("5x1", "", "1 @ 5 / none"), ("", "7x2", "none / 2 @ 7")],
)
def test_an_empty_side(bids: str, asks: str, text: str) -> None:
    book = loaded(bids, asks)
    assert (book.spread, book.mid) == (None, None)
    assert (book.best_bid is None) is (not bids)
    assert (book.best_ask is None) is (not asks)
    assert repr(book) == f"<OrderBook BTC/USD depth=10 {text}>"


def test_what_was_read_does_not_change_afterwards() -> None:
    book = loaded("5x1", "7x1")
    bids, asks = book.bids, book.asks
    assert book.bids is bids
    book.apply(update("5x2 4x1", "6x1"))
    assert (bids, asks) == (levels("5x1"), levels("7x1"))
    assert (book.bids, book.asks) == (levels("5x2 4x1"), levels("6x1 7x1"))


def test_the_context_of_the_program_does_not_matter() -> None:
    """A program may compute with three digits; its books are exact all the same."""
    bids, asks = "45283.5x0.10000000 0.0000001x1e-8", "1" + "0" * 39 + "x123456789.123456789"
    exact = loaded(bids, asks)
    with localcontext(Context(prec=3, rounding=ROUND_UP, Emax=3, Emin=-3, capitals=0, traps=[Inexact])):
        book = loaded(bids, asks)
        book.apply(update("45283.5x0.10000000"))
        reads = [read(book) for read in READS.values()]
        expected = [read(exact) for read in READS.values()]
        assert len(repr(book)) == len(repr(exact))
    assert reads == expected
    assert book.spread == Decimal("999999999999999999999999999999999954716.5")


def test_spread_and_mid_are_exact_for_the_most_different_prices() -> None:
    book = loaded("1e-40x1", "1e39x1")
    assert str(book.spread) == "9" * 39 + "." + "9" * 40
    assert str(book.mid) == "5" + "0" * 38 + "." + "0" * 40 + "5"


@pytest.mark.parametrize("verb", ["apply", "follow"])
@pytest.mark.parametrize("kind", [BookSnapshot, BookUpdate])
def test_what_is_not_a_level_is_the_programs_own_error(verb: str, kind: Any) -> None:
    book = OrderBook(10)
    book.apply(BookSnapshot(symbol="BTC/USD", bids=(), asks=()))
    with pytest.raises(AttributeError, match="price_text"):
        getattr(book, verb)(kind(symbol="BTC/USD", bids=("no level",), asks=()))


def test_an_update_cannot_be_followed_by_a_book_without_a_snapshot() -> None:
    with pytest.raises(BookUnavailable):
        OrderBook(10).follow(BookUpdate(symbol="BTC/USD", bids=(), asks=()))


def test_a_whole_number_of_too_many_digits_fails_the_book() -> None:
    """A decoder leaves whole numbers in levels as they are, however long."""
    book = OrderBook(10)
    with pytest.raises(ProtocolError, match="too many digits"):
        book.apply(BookSnapshot(symbol="A/B", bids=(wire_level("1" * 41, "1"),), asks=()))
    assert not book.available
