"""Histories as an exchange writes them: never crossed, window by window; and every way to damage one is found.

What "found" can mean. The checksum is taken of a text: the ten best levels of each side, without separators. So:

* A client whose ten best levels give the same text as the exchange's has, for the exchange, the same book, and no
  check can say otherwise. What happens below the tenth level is seen when it moves up.
* Two texts of equal length that differ within 32 bits, as by one digit, always have different CRC32s. Other different
  texts have equal ones once in 2**32.

Hence the rule: a damaged history is refused at the first message after which the text differs from the exchange's,
and not before. The independent model says where that is. Where the damage alone proves that the texts differ (a digit
of a quantity, a message that was lost), the tests ask for the refusal without asking the model.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias
from zlib import crc32

import attrs
import pytest
from hypothesis import assume, event as note, given, settings, strategies as st

from kraken_trio import BookSnapshot, BookUnavailable, BookUpdate, ChecksumMismatch, Level, OrderBook, ProtocolError
from kraken_trio.testing.reference_book import ReferenceBook
from kraken_trio.testing.strategies import book_histories

Texts: TypeAlias = tuple[tuple[str, str], ...]
CHECKED = 10


@attrs.frozen
class Message:
    """One message of the exchange, with the checksum that it has afterwards."""

    bids: Texts
    asks: Texts
    checksum: int
    first: bool = False

    def event(self) -> BookSnapshot | BookUpdate:
        kind = BookSnapshot if self.first else BookUpdate
        return kind(symbol="A/B", bids=_levels(self.bids), asks=_levels(self.asks), checksum=self.checksum)

    def with_side(self, side: str, levels: Texts) -> Message:
        return attrs.evolve(self, bids=levels) if side == "bids" else attrs.evolve(self, asks=levels)

    def tell(self, model: ReferenceBook) -> None:
        (model.load if self.first else model.apply)(bids=self.bids, asks=self.asks)


@attrs.frozen
class History:
    depth: int
    price_precision: int
    qty_precision: int
    messages: tuple[Message, ...]

    def model_after(self, messages: tuple[Message, ...]) -> ReferenceBook:
        model = ReferenceBook(self.depth)
        for message in messages:
            message.tell(model)
        return model


def _levels(texts: Texts) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(qty)) for price, qty in texts)


def _texts(levels: tuple[Level, ...]) -> Texts:
    return tuple((f"{level.price:f}", f"{level.qty:f}") for level in levels)


def _message(event: BookSnapshot | BookUpdate) -> Message:
    assert event.checksum is not None
    first = isinstance(event, BookSnapshot)
    return Message(_texts(event.bids), _texts(event.asks), event.checksum, first=first)


@st.composite
def histories(draw: st.DrawFn, *, min_updates: int = 0, max_updates: int = 6) -> History:
    """A snapshot and updates as an exchange sends them, each with its checksum."""
    told = draw(book_histories(depth=draw(st.sampled_from([10, 10, 25])), symbol="A/B", max_updates=max_updates))
    assume(len(told.updates) >= min_updates)
    messages = (_message(told.snapshot), *map(_message, told.updates))
    return History(told.depth, told.price_precision, told.qty_precision, messages)


def refused_at(history: History, messages: tuple[Message, ...]) -> int | None:
    """The number of the first message after which the client's text is not the exchange's; None: it never happens."""
    model = ReferenceBook(history.depth)
    for number, message in enumerate(messages):
        message.tell(model)
        if model.checksum() != message.checksum:
            return number
    return None


def assert_found(history: History, messages: tuple[Message, ...]) -> int | None:
    """The book refuses this history where the model says, with the evidence, and shows nothing afterwards."""
    expected = refused_at(history, messages)
    book = OrderBook(history.depth)
    for number, message in enumerate(messages):
        event = message.event()
        if number != expected:
            book.apply(event)
            continue
        with pytest.raises(ChecksumMismatch) as caught:
            book.apply(event)
        evidence = caught.value.evidence
        assert evidence.symbol == "A/B"
        assert evidence.message.startswith(
            f"{'snapshot' if message.first else 'update'}: checksum {message.checksum}, "
        )
        assert evidence.expected == message.checksum
        assert evidence.hashed == history.model_after(messages[: number + 1]).hashed()
        assert evidence.computed == crc32(evidence.hashed.encode())
        assert not book.available
        with pytest.raises(BookUnavailable):
            pytest.fail(f"shown: {book.bids}")
        return number
    return None


# Undamaged


@given(histories(max_updates=10))
def test_it_verifies_and_is_never_crossed(history: History) -> None:
    book = OrderBook(history.depth)
    for message in history.messages:
        book.apply(message.event())
        assert not book.crossed
        assert book.spread is None or book.spread > 0
    assert assert_found(history, history.messages) is None


@given(histories(max_updates=10), st.data())
def test_messages_may_be_split_in_any_way(history: History, data: st.DataObject) -> None:
    """Whoever cuts the window after every part of a message has the same book as who cuts it after the whole."""
    whole, parts = OrderBook(history.depth), OrderBook(history.depth)
    for message in history.messages:
        whole.apply(message.event())
        if message.first:
            parts.apply(message.event())
            continue
        bids, asks = list(_levels(message.bids)), list(_levels(message.asks))
        while bids or asks:
            bids_taken = data.draw(st.integers(0, len(bids)))
            asks_taken = data.draw(st.integers(0 if bids_taken or not asks else 1, len(asks)))
            parts.follow(BookUpdate(symbol="A/B", bids=tuple(bids[:bids_taken]), asks=tuple(asks[:asks_taken])))
            del bids[:bids_taken], asks[:asks_taken]
        parts.apply(BookUpdate(symbol="A/B", bids=(), asks=(), checksum=message.checksum))
        assert parts.snapshot() == whole.snapshot()


# A digit


@st.composite
def damaged(draw: st.DrawFn, column: int) -> tuple[History, int, tuple[Message, ...]]:
    """A history, and the same with one digit of one price (column 0) or quantity (1) changed, in message n."""
    history = draw(histories())
    places = [
        (number, side, row)
        for number, message in enumerate(history.messages)
        for side in ("bids", "asks")
        for row in range(len(getattr(message, side)))
    ]
    assume(places)
    number, side, row = draw(st.sampled_from(places))
    levels = list(getattr(history.messages[number], side))
    level = list(levels[row])
    where = draw(st.sampled_from([index for index, digit in enumerate(level[column]) if digit != "."]))
    other = draw(st.sampled_from([digit for digit in "0123456789" if digit != level[column][where]]))
    level[column] = level[column][:where] + other + level[column][where + 1 :]
    levels[row] = (level[0], level[1])
    messages = list(history.messages)
    messages[number] = messages[number].with_side(side, tuple(levels))
    return history, number, tuple(messages)


@given(damaged(column=1))
def test_a_changed_digit_of_a_quantity(case: tuple[History, int, tuple[Message, ...]]) -> None:
    history, number, messages = case
    found = assert_found(history, messages)
    right = history.model_after(history.messages[: number + 1])
    wrong = history.model_after(messages[: number + 1])
    if right.bids[:CHECKED] == wrong.bids[:CHECKED] and right.asks[:CHECKED] == wrong.asks[:CHECKED]:
        note("below the top ten, or overwritten by the same message")
        assert found != number
    elif [price for price, _ in right.bids[:CHECKED] + right.asks[:CHECKED]] == [
        price for price, _ in wrong.bids[:CHECKED] + wrong.asks[:CHECKED]
    ]:
        # No level came or went: the texts differ in one digit, or in length. No model is needed to say so.
        note("in the top ten")
        assert found == number
    else:
        note("in the top ten, and it is or was zero: a level went or came")


@given(damaged(column=0))
def test_a_changed_digit_of_a_price(case: tuple[History, int, tuple[Message, ...]]) -> None:
    history, _, messages = case
    if any(Decimal(price) == 0 for message in messages for price, _ in message.bids + message.asks):
        book = OrderBook(history.depth)
        with pytest.raises(ProtocolError):
            for message in messages:
                book.apply(message.event())
        assert not book.available
    else:
        note("found" if assert_found(history, messages) is not None else "without effect on the top ten")


@given(histories(), st.data())
def test_a_changed_digit_of_any_level_of_the_top_ten(history: History, data: st.DataObject) -> None:
    """Always found: the whole book is sent as one snapshot, one digit of a checked quantity is another one."""
    model = history.model_after(history.messages)
    sides = {"bids": model.bids, "asks": model.asks}
    assume(sides["bids"] or sides["asks"])
    side = data.draw(st.sampled_from([name for name in sides if sides[name]]))
    row = data.draw(st.integers(0, min(CHECKED, len(sides[side])) - 1))
    price, qty = sides[side][row]
    where = data.draw(st.sampled_from([index for index, digit in enumerate(qty) if digit != "."]))
    other = data.draw(st.sampled_from("0123456789"))
    wrong = qty[:where] + other + qty[where + 1 :]
    assume(wrong != qty and Decimal(wrong) != 0)
    sides[side][row] = (price, wrong)
    event = BookSnapshot(
        symbol="A/B",
        bids=_levels(tuple(sides["bids"])),
        asks=_levels(tuple(sides["asks"])),
        checksum=model.checksum(),
    )
    with pytest.raises(ChecksumMismatch):
        OrderBook(history.depth).apply(event)


# A message


@given(histories(min_updates=2), st.data())
def test_a_dropped_message(history: History, data: st.DataObject) -> None:
    lost = data.draw(st.integers(1, len(history.messages) - 1))
    messages = history.messages[:lost] + history.messages[lost + 1 :]
    note("found" if assert_found(history, messages) is not None else "without effect on the top ten, or undone")


@given(histories(min_updates=1))
def test_a_dropped_message_that_changed_the_top_ten_is_found_by_the_next_one_at_once(history: History) -> None:
    """Whatever the next one says, as long as it does not say the same again: here it says nothing but its checksum."""
    last = history.messages[-1]
    assume(last.checksum != history.messages[-2].checksum)
    messages = (*history.messages[:-1], Message((), (), last.checksum))
    assert assert_found(history, messages) == len(messages) - 1


@given(histories(min_updates=2), st.data())
def test_two_swapped_messages(history: History, data: st.DataObject) -> None:
    """Found at the first of them, unless that says all that the second one says about the top ten."""
    first = data.draw(st.integers(1, len(history.messages) - 2))
    messages = list(history.messages)
    messages[first], messages[first + 1] = messages[first + 1], messages[first]
    found = assert_found(history, tuple(messages))
    early = history.model_after((*history.messages[:first], history.messages[first + 1]))
    if early.checksum() != history.messages[first + 1].checksum:
        note("found at the first of them")
        assert found == first


@given(histories(min_updates=2), st.data())
def test_a_message_that_comes_twice_is_found_unless_it_changes_nothing(history: History, data: st.DataObject) -> None:
    again = data.draw(st.integers(1, len(history.messages) - 1))
    at = data.draw(st.integers(again + 1, len(history.messages)))
    assert_found(history, (*history.messages[:at], history.messages[again], *history.messages[at:]))


@given(histories(min_updates=1))
def test_reversed_levels(history: History) -> None:
    """They matter where a price stands twice, with different quantities at the end."""
    messages = tuple(
        attrs.evolve(message, bids=message.bids[::-1], asks=message.asks[::-1]) for message in history.messages
    )
    found = assert_found(history, messages)
    for number, (straight, turned) in enumerate(zip(history.messages, messages, strict=True)):
        if dict(straight.bids) != dict(turned.bids) or dict(straight.asks) != dict(turned.asks):
            assert found is None or found >= number
            return
    assert found is None


def test_reversed_levels_of_a_repeated_price_are_found() -> None:
    model = ReferenceBook(10, bids=[("5.0", "1.0")])
    right = Message((("5.0", "2.0"), ("5.0", "3.0")), (), ReferenceBook(10, bids=[("5.0", "3.0")]).checksum())
    history = History(10, 1, 1, (Message((("5.0", "1.0"),), (), model.checksum(), first=True), right))
    wrong = (history.messages[0], attrs.evolve(right, bids=right.bids[::-1]))
    assert assert_found(history, history.messages) is None
    assert assert_found(history, wrong) == 1


@given(histories(), st.data())
def test_a_swapped_side(history: History, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(history.messages) - 1))
    message = history.messages[number]
    messages = list(history.messages)
    messages[number] = attrs.evolve(message, bids=message.asks, asks=message.bids)
    assert_found(history, tuple(messages))


# Numbers that were abbreviated on the way

_abbreviations = st.sampled_from(["as it is", "without zeros", "exponent"])


def _abbreviated(text: str, how: str) -> str:
    if how == "without zeros" and "." in text:
        return text.rstrip("0").rstrip(".")
    return f"{Decimal(text).normalize():E}" if how == "exponent" else text


def _decimals(text: str) -> int:
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


@settings(max_examples=100)
@given(histories(max_updates=4), st.data())
def test_abbreviated_numbers_verify_and_hide_no_wrong_digit(history: History, data: st.DataObject) -> None:
    """The book pads them to the longest of their kind, so it needs one in the top ten that was left alone."""
    model = history.model_after(history.messages)
    top = [*model.asks[:CHECKED], *model.bids[:CHECKED]]
    assume(top)

    def abbreviated(levels: list[tuple[str, str]]) -> Texts:
        return tuple(
            (_abbreviated(price, data.draw(_abbreviations)), _abbreviated(qty, data.draw(_abbreviations)))
            for price, qty in levels
        )

    asks, bids = abbreviated(model.asks), abbreviated(model.bids)
    shown = [*asks[:CHECKED], *bids[:CHECKED]]
    message = Message(bids, asks, model.checksum(), first=True)
    book = OrderBook(history.depth)
    if (
        max(_decimals(price) for price, _ in shown) == history.price_precision
        and max(_decimals(qty) for _, qty in shown) == history.qty_precision
    ):
        note("one of each kind was left alone")
        book.apply(message.event())
        assert book.checksum() == model.checksum() == book.snapshot().checksum
        OrderBook(history.depth).apply(book.snapshot())
    # Now with a wrong digit in one quantity of the top ten, however it is written.
    side, row = data.draw(
        st.sampled_from(
            [(side, row) for side in ("asks", "bids") for row in range(len(getattr(model, side)[:CHECKED]))]
        ),
    )
    levels = list(asks if side == "asks" else bids)
    _, qty = getattr(model, side)[row]
    where = data.draw(st.sampled_from([index for index, digit in enumerate(qty) if digit != "."]))
    wrong = qty[:where] + data.draw(st.sampled_from("0123456789")) + qty[where + 1 :]
    assume(Decimal(wrong) not in (Decimal(qty), 0))
    levels[row] = (levels[row][0], _abbreviated(wrong, data.draw(_abbreviations)))
    with pytest.raises(ChecksumMismatch):
        book.apply(message.with_side(side, tuple(levels)).event())
    assert not book.available
