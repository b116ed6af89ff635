"""The book of single orders: worked vectors, a slow model, an exchange's market, and what cannot be read."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from kraken_trio import (
    BookSnapshot,
    BookUnavailable,
    Cause,
    ChecksumMismatch,
    Gap,
    Level,
    Level3Book,
    Level3Snapshot,
    Level3Update,
    OrderBook,
    OrderEvent,
    OrderEventKind,
    ProtocolError,
    QueuePosition,
    RestingOrder,
)
from kraken_trio.book.level3 import MAX_EVENTS, OrderUnknown, PrecisionUnknown
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data
from tests.book.order_model import Exchange, Ledger, LostError, Told

if TYPE_CHECKING:
    from pathlib import Path

SYMBOL = "DOT/USD"
T = "2026-10-01T10:00:00.00000000{}Z"


def order(name: str, price: str, qty: str, at: int = 1) -> RestingOrder:
    return RestingOrder(name, price, qty, T.format(at))


def told(kind: str, name: str, price: str, qty: str, at: int = 1) -> OrderEvent:
    return OrderEvent(OrderEventKind(kind), name, price, qty, T.format(at))


def snapshot(bids: list[RestingOrder] = [], asks: list[RestingOrder] = [], **more: Any) -> Level3Snapshot:  # noqa: B006 (never changed)
    return Level3Snapshot(symbol=SYMBOL, bids=tuple(bids), asks=tuple(asks), **more)


def update(bids: list[OrderEvent] = [], asks: list[OrderEvent] = [], **more: Any) -> Level3Update:  # noqa: B006 (never changed)
    return Level3Update(symbol=SYMBOL, bids=tuple(bids), asks=tuple(asks), **more)


def lines(book: Level3Book, side: str) -> list[tuple[str, list[str]]]:
    return [(str(queue.price), [order.order_id for order in queue.orders]) for queue in getattr(book, side)]


def only(frame: str) -> Any:
    message = codec_for("v2").decode(frame)
    assert isinstance(message, Data)
    (event,) = message.events
    return event


# Worked vectors


def frames(*entries: str) -> list[str]:
    return [
        f'{{"channel":"level3","type":"{"update" if index else "snapshot"}","data":[{entry}]}}'
        for index, entry in enumerate(entries)
    ]


def one(name: str, price: str, qty: str, time: str, event: str = "") -> str:
    what = f'"event":"{event}",' if event else ""
    return f'{{{what}"order_id":"{name}","limit_price":{price},"order_qty":{qty},"timestamp":"2026-10-01T{time}Z"}}'


def entry(checksum: int, time: str, bids: list[str], asks: list[str]) -> str:
    sides = f'"bids":[{",".join(bids)}],"asks":[{",".join(asks)}]'
    return f'{{"checksum":{checksum},"symbol":"DOT/USD",{sides},"timestamp":"2026-10-01T{time}Z"}}'


A1, A2, A3 = "OAAAA1-TRIO1-BIDS01", "OAAAA2-TRIO1-BIDS02", "OAAAA3-TRIO1-BIDS03"
B1, B2 = "OBBBB1-TRIO1-ASKS01", "OBBBB2-TRIO1-ASKS02"
C1, C2, C3 = "OCCCC1-TRIO1-BIDS04", "OCCCC2-TRIO1-BIDS05", "OCCCC3-TRIO1-BIDS06"
SERIES = frames(
    entry(
        797812075,
        "10:00:02.000000001",
        [
            one(A1, "6.1200", "10.00000000", "10:00:00.000000001"),
            one(A2, "6.1200", "2.50000000", "10:00:01.000000001"),
            one(A3, "6.1100", "0.00500000", "09:00:00.000000001"),
        ],
        [
            one(B1, "6.1300", "1.00000000", "09:59:59.000000001"),
            one(B2, "6.1400", "0.75000000", "09:59:58.000000001"),
        ],
    ),
    entry(  # the rest of a taker
        1424420790,
        "10:00:03.000000013",
        [one(C1, "6.1300", "4.00000000", "10:00:03.000000001", "add")],
        [one(B1, "6.1300", "0.00000000", "10:00:03.000000013", "delete")],
    ),
    entry(
        2247782881,
        "10:00:03.000000029",
        [one(C1, "6.1300", "3.50000000", "10:00:03.000000001", "modify")],
        [],
    ),
    entry(  # two adds, to be sorted
        156876916,
        "10:00:04.000000009",
        [
            one(C3, "6.1200", "7.00000000", "10:00:04.000000009", "add"),
            one(C2, "6.1200", "6.00000000", "10:00:04.000000002", "add"),
        ],
        [],
    ),
    entry(  # an exponent
        2606366706,
        "10:00:05.000000001",
        [one(A3, "6.1100", "1e-07", "09:00:00.000000001", "modify")],
        [],
    ),
    entry(  # a known id
        1240379271,
        "10:00:06.000000001",
        [one(A1, "6.1200", "8.00000000", "10:00:06.000000001", "add")],
        [],
    ),
    entry(  # no asks
        951837664,
        "10:00:07.000000001",
        [],
        [one(B2, "6.1400", "0.75000000", "10:00:07.000000001", "delete")],
    ),
)


@pytest.mark.parametrize("precision", [None, (4, 8)], ids=["guessed", "known"])
def test_a_worked_series(precision: tuple[int, int] | None) -> None:
    book = Level3Book(10)
    if precision is not None:
        book.set_precision(*precision)
    for frame in SERIES:
        event = only(frame)
        book.apply(event)
        assert book.verified
        assert book.checksum() == event.checksum
    assert lines(book, "bids") == [("6.1300", [C1]), ("6.1200", [A2, C2, C3, A1]), ("6.1100", [A3])]
    assert book.asks == ()
    assert book.order(A3) == RestingOrder(A3, "6.1100", "0.00000010", "2026-10-01T09:00:00.000000001Z")
    assert book.queue(C3) == QueuePosition(2, Decimal("8.50000000"), Decimal("23.50000000"), 4)
    assert (book.queue(B2), book.order(B2)) == (None, None)
    assert book.precision == precision
    assert book.guessed is (precision is None)


def test_the_vectors_of_the_documentation(captures: Path) -> None:
    (series,) = json.loads((captures / "more" / "level3_vectors.json").read_text())
    (first,) = (captures / "level3_docs_example.jsonl").read_text().splitlines()
    book = Level3Book(series["depth"])
    book.apply(only(first))
    assert book.checksum() == series["snapshot_crc"] == 1063832831
    for step in series["steps"]:
        book.apply(only(step["frame"]))
        assert book.checksum() == step["crc"]
        for side, expected in step["levels"].items():
            assert lines(book, side) == [(price, ids) for price, ids in expected]


# Any stream, against a slow model

NAMES = st.integers(0, 9).map(lambda number: f"O{number}")
TOLD = st.builds(
    lambda kind, name, price, qty, time: (kind, name, f"{price}.0", f"{qty}.00000000", T.format(time)),
    st.sampled_from(["add", "add", "add", "modify", "delete", "delete"]),
    NAMES,
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 3),
)
SIDES = st.lists(TOLD, max_size=4, unique_by=lambda event: event[1])


def typed(events: list[Told]) -> list[OrderEvent]:
    return [OrderEvent(OrderEventKind(kind), *rest) for kind, *rest in events]


def add(name: str, price: str) -> Told:
    return "add", name, price, "1.00000000", T.format(1)


@given(st.integers(1, 4), st.lists(st.tuples(SIDES, SIDES), max_size=30))
@example(1, [([add("O0", "1.0"), add("O1", "2.0")], [add("O1", "1.0")])])  # what it left is cut after the message
def test_any_messages_do_what_the_rules_say(depth: int, messages: list[tuple[list[Told], list[Told]]]) -> None:
    book, ledger = Level3Book(depth), Ledger(depth)
    book.apply(snapshot(checksum=0))
    for bids, asks in messages:
        try:
            ledger.apply(bids, asks)
        except LostError:
            with pytest.raises(OrderUnknown, match="which is not in the book: a message was lost"):
                book.apply(update(typed(bids), typed(asks), checksum=0))
            assert not book.available
            return
        book.apply(update(typed(bids), typed(asks), checksum=ledger.checksum))
        for side in ("bids", "asks"):
            expected = ledger.lines(side)
            shown = getattr(book, side)
            assert [
                (str(queue.price), [(order.order_id, order.qty_text) for order in queue.orders]) for queue in shown
            ] == expected
        assert len(book) == len(ledger.bids) + len(ledger.asks)
        assert book.best_bid == next(iter(book.bids), None)
        assert book.best_ask == next(iter(book.asks), None)


def placed(exchange: Exchange) -> Level3Snapshot:
    bids, asks = exchange.snapshot()
    sides = ([RestingOrder(*one) for one in side] for side in (bids, asks))
    return snapshot(*sides, checksum=exchange.checksum)


@given(st.sampled_from([1, 2, 5, 10, 12, 25]), st.integers(0, 2**32), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_market_is_followed_order_by_order(depth: int, seed: int, exponents: bool) -> None:
    exchange = Exchange(depth, seed, exponents=exponents)
    book, follower, prices = Level3Book(depth), Level3Book(depth), OrderBook(depth)
    book.set_precision(1, 8)
    follower.set_precision(1, 8)
    first = placed(exchange)
    book.apply(first)
    follower.follow(book.snapshot())
    for _ in range(25):
        for message, checksum in exchange.step():
            event = update(typed(message["bids"]), typed(message["asks"]), checksum=checksum)
            book.apply(event)  # which verifies it
            follower.follow(event)
        for side in ("bids", "asks"):
            expected = exchange.lines(side)
            shown = getattr(book, side)
            assert [(str(queue.price), [(order.order_id, order.qty) for order in queue.orders]) for queue in shown] == [
                (price, [(name, Decimal(qty)) for name, qty in queue]) for price, queue in expected
            ]
        assert (follower.bids, follower.asks) == (book.bids, book.asks)
        # By prices, it is the order book of the same moment.
        levels = {
            side: tuple(
                Level(price, f"{sum(Decimal(qty) for _, qty in queue):.8f}") for price, queue in exchange.lines(side)
            )
            for side in ("bids", "asks")
        }
        prices.apply(BookSnapshot(symbol=SYMBOL, bids=levels["bids"], asks=levels["asks"]))
        assert (book.to_levels().bids, book.to_levels().asks) == (prices.bids, prices.asks)
        assert book.to_levels(2).bids == prices.bids[:2]
        assert book.crossed is prices.crossed is False
        # Queues are exact.
        for queue in book.bids:
            ahead = Decimal(0)
            for index, resting in enumerate(queue.orders):
                position = book.queue(resting.order_id)
                assert position == QueuePosition(index, ahead, queue.qty, len(queue.orders))
                ahead += resting.qty
    again = Level3Book(depth)
    again.set_precision(1, 8)
    again.apply(book.snapshot())
    assert (again.bids, again.asks, again.checksum()) == (book.bids, book.asks, book.checksum())


@pytest.mark.parametrize("depth", [100, 1000])
def test_a_deep_market_is_followed(depth: int) -> None:
    exchange = Exchange(depth, depth)
    book = Level3Book(depth)
    book.apply(placed(exchange))
    for _ in range(12):
        for message, checksum in exchange.step():
            book.apply(update(typed(message["bids"]), typed(message["asks"]), checksum=checksum))
    for side in ("bids", "asks"):
        ids = [[name for name, _ in queue] for _, queue in exchange.lines(side)]
        assert [ids for _, ids in lines(book, side)] == ids


# Single rules


def test_a_strangers_cancel_behind_us_changes_nothing_ahead() -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.0", "1.5"), order("B", "1.0", "2.0"), order("C", "1.0", "4.0")]))
    before = book.queue("B")
    book.apply(update([told("delete", "C", "1.0", "4.0", 2)]))
    assert before == QueuePosition(1, Decimal("1.5"), Decimal("7.5"), 3)
    assert book.queue("B") == QueuePosition(1, Decimal("1.5"), Decimal("3.5"), 2)


def test_a_snapshot_may_be_deeper_than_the_book_and_out_of_order() -> None:
    book = Level3Book(1)
    book.apply(snapshot([order("A", "1.0", "1.0"), order("B", "2.0", "1.0"), order("C", "1.0", "1.0")]))
    assert lines(book, "bids") == [("2.0", ["B"])]
    assert (book.order("A"), len(book)) == (None, 1)


def test_times_of_different_lengths_are_compared_as_times() -> None:
    late, early = "2026-10-01T10:00:00.5Z", "2026-10-01T10:00:00.49Z"
    book = Level3Book(1)
    book.apply(snapshot())
    adds = [OrderEvent(OrderEventKind.ADD, name, "1.0", "1.0", at) for name, at in (("B", late), ("A", early))]
    book.apply(update(adds))
    assert lines(book, "bids") == [("1.0", ["A", "B"])]


def test_an_id_that_changes_sides_is_on_one_of_them() -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.0", "1.0")]))
    book.apply(update(asks=[told("add", "A", "3.0", "1.0", 2)]))
    assert (lines(book, "bids"), lines(book, "asks"), len(book)) == ([], [("3.0", ["A"])], 1)


@pytest.mark.parametrize("kind", ["modify", "delete", "fill", "cancel", "amend"])
@pytest.mark.parametrize("side", ["bids", "asks"])
def test_an_order_that_is_not_there_is_a_lost_message(kind: str, side: str) -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.0", "1.0")]))
    name = "A" if side == "asks" else "B"
    with pytest.raises(OrderUnknown, match=rf"DOT/USD: {kind} of the order {name}, which is not in the book"):
        book.apply(update(**{side: [told(kind, name, "1.0", "1.0")]}))
    with pytest.raises(BookUnavailable, match="it failed a check"):
        book.best_bid  # noqa: B018 (reading it is what raises)


@pytest.mark.parametrize("kind", ["delete", "fill", "cancel", "amend"])
def test_whatever_the_reason_an_order_is_gone(kind: str) -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.0", "1.0")]))
    book.apply(update([told(kind, "A", "7.0", "0.0")]))
    assert len(book) == 0


def test_a_modify_with_another_price_moves_the_order() -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.0", "1.0"), order("B", "2.0", "1.0")]))
    book.apply(update([told("modify", "A", "2.0", "1.0", 2)]))
    assert lines(book, "bids") == [("2.0", ["B", "A"])]


def test_prices_with_more_decimals_than_before_are_sorted_among_the_others() -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.5", "1.0")], [order("B", "2", "1.0")]))
    book.apply(update([told("add", "C", "1.55", "1.0")], [told("add", "D", "2.05", "1.0")]))
    book.apply(update([told("modify", "A", "1.50", "2.0")]))
    assert lines(book, "bids") == [("1.55", ["C"]), ("1.50", ["A"])]
    assert lines(book, "asks") == [("2", ["B"]), ("2.05", ["D"])]
    assert not book.crossed
    book.apply(update([told("add", "E", "2.00", "1.0")]))
    assert book.crossed


# Exponents


def test_a_price_with_an_exponent_is_hashed_with_all_digits() -> None:
    plain, short = Level3Book(10), Level3Book(10)
    rest = [order("B", "0.00000300", "1.00000000")]
    plain.apply(snapshot([order("A", "0.00001000", "0.00002000"), *rest]))
    short.apply(snapshot([order("A", "1e-05", "2E-5"), *rest]))
    assert short.guessed
    assert short.checksum() == plain.checksum()
    assert short.bids == plain.bids
    short.apply(update([told("add", "C", "1E-5", "1e-8")]))
    plain.apply(update([told("add", "C", "0.00001000", "0.00000001")]))
    assert short.checksum() == plain.checksum()
    assert [str(queue.qty) for queue in short.bids] == [str(queue.qty) for queue in plain.bids]


def test_large_numbers_with_exponents() -> None:
    book, plain = Level3Book(10), Level3Book(10)
    book.set_precision(1, 8)
    book.apply(snapshot([order("A", "1e+05", "1e+2")]))
    plain.apply(snapshot([order("A", "100000.0", "100.00000000")]))
    assert book.checksum() == plain.checksum()


def test_exponents_alone_say_nothing_of_the_precision() -> None:
    book = Level3Book(10)
    book.apply(snapshot())
    with pytest.raises(PrecisionUnknown, match="DOT/USD: numbers with exponents only, and the symbol's precision is"):
        book.apply(update([told("add", "A", "1.0", "1e-05")]))
    assert not book.available
    book.set_precision(1, 8)
    assert book.precision == (1, 8)
    book.apply(snapshot([order("A", "1.0", "1e-05")]))
    plain = Level3Book(10)
    plain.apply(snapshot([order("A", "1.0", "0.00001000")]))
    assert book.checksum() == plain.checksum()


def test_what_is_gone_does_not_tell_the_precision() -> None:
    book = Level3Book(10)
    book.set_precision(1, 8)
    book.apply(snapshot([order("A", "1.0", "1e-05")]))
    other = copy.copy(book)
    other._precision = None
    with pytest.raises(PrecisionUnknown):
        other.apply(update([told("delete", "A", "1.0", "0"), told("add", "B", "1.0", "1e-05")]))


# Numbers that are none


def test_integers_are_numbers() -> None:
    event = only(frames(entry(0, "10:00:00", [one("A", "5", "2", "10:00:00")], []))[0].replace('"checksum":0,', ""))
    book = Level3Book(10)
    book.apply(event)
    assert book.to_levels().bids == (Level("5", "2"),)
    change = only(frames("", entry(0, "10:00:00", [one("A", "5", "1", "10:00:00", "modify")], []))[1])
    book.apply(msgspec.structs.replace(change, checksum=None))
    book.apply(update([told("modify", "A", "5.0", "3")]))
    assert book.to_levels().bids == (Level("5.0", "3"),)


@pytest.mark.parametrize("bad", ["x", "-1.0", "NaN", "1e999999999", "", "1_0", "1" * 60])
@pytest.mark.parametrize("part", ["limit_price", "order_qty"])
@pytest.mark.parametrize("kind", ["add", "modify", "delete", "snapshot"])
def test_a_number_that_is_none_is_refused(bad: str, part: str, kind: str) -> None:
    price, qty = (bad, "1.0") if part == "limit_price" else ("1.0", bad)
    book = Level3Book(10)
    book.set_precision(1, 8)
    book.apply(snapshot([order("A", "1.0", "1.0"), order("C", "2.0", "1.0")]))
    event: Any
    if kind == "snapshot":
        event = snapshot([order("B", price, qty)])
    else:
        event = update([told(kind, "B" if kind == "add" else "A", price, qty)])
    with pytest.raises(ProtocolError, match="not a price"):
        book.apply(event)
    assert not book.available


@pytest.mark.parametrize("bad", ["null", "true", "[]", "{}"])
def test_what_is_no_number_at_all_is_refused(bad: str) -> None:
    book = Level3Book(10)
    book.apply(snapshot())
    frame = frames("", entry(0, "10:00:00", [one("A", "1.0", bad, "10:00:00", "add")], []))[1]
    with pytest.raises(ProtocolError, match="not a price or quantity"):
        book.apply(only(frame))


@pytest.mark.parametrize("zero", ["0", "0.0", "0.00000000", "0e-8"])
@pytest.mark.parametrize("kind", ["add", "modify", "snapshot"])
def test_an_order_in_the_book_has_a_quantity(zero: str, kind: str) -> None:
    book = Level3Book(10)
    book.set_precision(1, 8)
    book.apply(snapshot([order("A", "1.0", "1.0")]))
    event: Any = snapshot([order("A", "1.0", zero)]) if kind == "snapshot" else update([told(kind, "A", "1.0", zero)])
    with pytest.raises(ProtocolError, match="the order A is in the book without a quantity"):
        book.apply(event)


def test_an_order_is_once_in_a_snapshot() -> None:
    with pytest.raises(ProtocolError, match="DOT/USD: the order A is twice in a snapshot"):
        Level3Book(10).apply(snapshot([order("A", "1.0", "1.0")], [order("A", "2.0", "1.0")]))


def test_a_message_of_too_many_events_is_refused() -> None:
    book = Level3Book(10)
    book.apply(snapshot())
    events = [told("add", f"O{number}", "1.0", "1.0") for number in range(MAX_EVENTS + 1)]
    with pytest.raises(ProtocolError, match="a message with 10001 events of one side: at most 10000"):
        book.apply(update(events))


def test_a_programs_own_mistake_is_not_the_exchanges() -> None:
    book = Level3Book(10)
    book.apply(snapshot())
    with pytest.raises(TypeError, match="follows Level3Snapshot, Level3Update and Gap, not BookSnapshot"):
        book.apply(BookSnapshot(symbol=SYMBOL, bids=(), asks=()))  # type: ignore[arg-type]  # wrong on purpose
    assert book.available
    with pytest.raises(AttributeError):
        book.apply(Level3Update(symbol=SYMBOL, bids=(7,), asks=()))  # type: ignore[arg-type]  # wrong on purpose
    assert not book.available
    with pytest.raises(ValueError, match="depth=0: a book has a whole number of prices"):
        Level3Book(0)


# Checksums


def test_a_failed_checksum_has_evidence() -> None:
    book = Level3Book(10)
    names = [f"O{number}" for number in range(14)]
    with pytest.raises(ChecksumMismatch) as caught:
        book.apply(snapshot([order(name, "1.5", "0.20") for name in names], checksum=7))
    evidence = caught.value.evidence
    assert (evidence.expected, evidence.hashed) == (7, "1520" * 14)
    assert evidence.message.startswith("snapshot: checksum 7, no timestamp; bids O0 1.5:0.20 2026-10-01T10:00:00.")
    assert evidence.message.endswith(" and 2 more; asks none")
    assert not book.available
    book.apply(snapshot())
    with pytest.raises(ChecksumMismatch) as caught:
        book.apply(update([told("add", "A", "1.5", "0.20")], checksum=7, timestamp_text=T.format(1)))
    assert f"update: checksum 7, {T.format(1)}; bids add A 1.5:0.20 {T.format(1)}; asks none" in str(
        caught.value.evidence.message
    )


def test_a_message_without_a_checksum_is_no_proof() -> None:
    book = Level3Book(10)
    book.apply(snapshot())
    book.apply(update())
    assert (book.available, book.verified) == (True, False)
    assert book.snapshot().checksum is None
    book.apply(update(checksum=0))
    assert (book.verified, book.snapshot().checksum) == (True, 0)
    with pytest.raises(ProtocolError, match="a message without a checksum, though an earlier one had it"):
        book.apply(update())
    assert (book.available, book.verified) == (False, False)


# Availability


def test_what_cannot_be_read_says_why() -> None:
    book = Level3Book(10)
    assert repr(book) == "<Level3Book ? depth=10 unavailable: it has had no snapshot yet>"
    for read in (
        lambda: book.bids,
        lambda: book.asks,
        lambda: book.best_bid,
        lambda: book.best_ask,
        lambda: book.crossed,
        lambda: book.timestamp_ns,
        lambda: book.order("A"),
        lambda: book.queue("A"),
        lambda: len(book),
        book.to_levels,
        book.checksum,
        book.snapshot,
        lambda: book.apply(update()),
    ):
        with pytest.raises(BookUnavailable, match="the Level 3 book cannot be read: it has had no snapshot yet"):
            read()
    assert (book.received_ns, bool(book)) == (0, True)
    book.apply(snapshot([order("A", "1.0", "1.0")], received_ns=7, timestamp_text=T.format(3)))
    assert (book.received_ns, book.timestamp_ns) == (7, 1790848800_000_000_003)
    assert repr(book) == "<Level3Book DOT/USD depth=10 1 orders, 1.0 @ 1.0 / none>"
    book.invalidate("of a test")
    with pytest.raises(BookUnavailable, match="the Level 3 book of DOT/USD cannot be read: of a test"):
        book.best_ask  # noqa: B018 (reading it is what raises)


@pytest.mark.parametrize(
    ("gap", "readable"),
    [
        pytest.param(Gap(symbol=SYMBOL, channel="level3", cause=Cause.SILENCE), False, id="its"),
        pytest.param(Gap(symbol=SYMBOL, channel=None, cause=Cause.SILENCE), False, id="of-the-symbol"),
        pytest.param(Gap(symbol=None, channel="level3", cause=Cause.SILENCE), True, id="unknown-symbol"),
        pytest.param(Gap(symbol=SYMBOL, channel="book", cause=Cause.SILENCE), True, id="of-another-channel"),
    ],
)
def test_after_its_gap_a_book_waits_for_a_snapshot(gap: Gap, *, readable: bool) -> None:
    book = Level3Book(10)
    book.apply(snapshot())
    book.follow(gap)
    assert book.available is readable
    book.apply(snapshot())
    assert book.timestamp_ns is None


def test_another_symbol_changes_nothing() -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.0", "1.0")]))
    with pytest.raises(ValueError, match="this is the book of DOT/USD, not of BTC/USD"):
        book.apply(msgspec.structs.replace(update(), symbol="BTC/USD"))
    assert len(book) == 1


def test_a_copy_is_a_book_of_its_own() -> None:
    book = Level3Book(10)
    book.apply(snapshot([order("A", "1.0", "1.0")], [order("B", "2.0", "1.0")]))
    for other in (copy.copy(book), copy.deepcopy(book)):
        other.apply(update([told("add", "C", "1.0", "1.0", 2)], [told("delete", "B", "2.0", "1.0", 2)]))
        assert (len(other), lines(other, "bids"), lines(other, "asks")) == (2, [("1.0", ["A", "C"])], [])
    assert (len(book), lines(book, "bids"), lines(book, "asks")) == (2, [("1.0", ["A"])], [("2.0", ["B"])])
