"""The table takes a frame only if the pure code would make exactly the same of it; otherwise nothing happens.

The changes here are of levels that no checksum covers, so that nothing but the reading is tested.
"""

from __future__ import annotations

import copy
import gc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from kraken_trio.book import OrderBook
from kraken_trio.events import BookUpdate
from tests.book.levels import wire_level
from tests.core.direct import Direct, event_of
from tests.core.market import MOMENTS, NUMBERS, Market, Tape, frame_of, mutated
from tests.core.twins import look, purely

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BTC, ETH = "BTC/USD", "ETH/USD"


LEVELS = (
    [(f"{100 - n}.5", f"{n + 1}.00") for n in range(1, 16)],
    [(f"{100 + n}.5", f"{n + 1}.00") for n in range(15)],
)
"""Bids and asks: the last five of each are covered by no checksum."""


def deep(symbol: str = BTC) -> tuple[str, int]:
    """A snapshot with these levels, and its checksum."""
    market = Market.of(symbol, 25, *LEVELS)
    return market.snapshot(), market.checksum()


SNAPSHOT, CHECKSUM = deep()
OTHER, OTHER_CHECKSUM = deep(ETH)
FRAME = frame_of(BTC, [("87.5", "12.50"), ("60.5", "0.30")], [("114.5", "0")], CHECKSUM)
BYTES = b'0123456789.-+eE"{}[],:\\ \x00\x7f\x80\xffTZn'


def changed_at(frame: bytes, at: int) -> Iterable[bytes]:
    """Every frame that differs in one place."""
    yield frame[:at]
    yield frame[:at] + frame[at + 1 :]
    yield frame[at:]
    for byte in BYTES:
        yield frame[:at] + bytes([byte]) + frame[at + 1 :]
        yield frame[:at] + bytes([byte]) + frame[at:]


def play(frames: Iterable[str | bytes]) -> int:
    direct, taken = Direct(SNAPSHOT, OTHER), 0
    for frame in frames:
        if direct.takes(frame):
            taken += 1
            direct.renew()
    assert direct.are_as_they_were()
    return taken


def test_the_usual_frame_is_taken() -> None:
    assert play([FRAME, FRAME.encode(), frame_of(BTC, [], [], CHECKSUM), frame_of(ETH, [], [], OTHER_CHECKSUM)]) == 4


@pytest.mark.parametrize("part", range(4))
def test_one_byte_is_another(part: int) -> None:
    """In any place: it is missing, it is something else, there is one more; or the frame ends, or begins, there."""
    frame = FRAME.encode()
    places = range(len(frame) * part // 4, len(frame) * (part + 1) // 4)
    taken = play(odd for at in places for odd in changed_at(frame, at))
    assert taken > 0 or part == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_timestamps(moment: str) -> None:
    play([frame_of(BTC, [], [], CHECKSUM, timestamp=moment)])


def test_the_timestamps_that_are_taken() -> None:
    """All of the exchange's own form that there are."""
    usual = [m for m in MOMENTS if len(m) == 27 and m.isascii() and (m[10], m[19], m[26]) == ("T", ".", "Z")]
    right = 0
    for moment in usual:
        with purely():
            try:
                right += event_of(frame_of(BTC, [], [], CHECKSUM, timestamp=moment)).timestamp is not None
            except Exception:  # noqa: BLE001 (which one is the decoder's business)
                continue
    taken = play(frame_of(BTC, [], [], CHECKSUM, timestamp=moment) for moment in MOMENTS)
    assert taken == right >= 9


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers(number: str) -> None:
    play(
        frame
        for text in (frame_of(BTC, [(number, "1")], [], CHECKSUM), frame_of(BTC, [], [("114.5", number)], CHECKSUM))
        for frame in (text, text.encode())
    )


def test_the_numbers_that_are_taken() -> None:
    """Up to nineteen digits, the zero before a point included."""
    for number in ("1", "0.5", "9" * 19, "9" * 9 + "." + "9" * 10, "0." + "0" * 17 + "9", "0", "0.00", "1.00"):
        assert play([frame_of(BTC, [], [("114.5", number)], CHECKSUM)]) == 1, number
    for number in ("9" * 20, "9" * 9 + "." + "9" * 11, "0." + "0" * 18 + "9", str(2**64), "1e1", "-0", "01", "1."):
        assert play([frame_of(BTC, [], [("114.5", number)], CHECKSUM)]) == 0, number


def test_the_prices_that_are_taken() -> None:
    """Those that are whole numbers of 64 bits at the book's scale, which is of one decimal here; others are refused."""
    fits, too_large = str((2**64 - 1) // 10), str((2**64 - 1) // 10 + 1)
    assert play([frame_of(BTC, [], [(fits, "1")], CHECKSUM)]) == 1
    for price in (too_large, "9" * 19, "114.55", "0", "0.0"):
        assert play([frame_of(BTC, [], [(price, "1")], CHECKSUM)]) == 0, price


@pytest.mark.parametrize(
    "checksum",
    [
        *("0", "-1", "00", f"0{CHECKSUM}", f"{CHECKSUM}.0", f"{CHECKSUM}e0", f'"{CHECKSUM}"', "null", "true", "", "-0"),
        *(str(CHECKSUM + 2**32), str(CHECKSUM + 2**64), str(2**32 - 1), str(2**32), "99999999999", "9" * 30),
        *(str(CHECKSUM - 2**32), str(CHECKSUM + 1), f"{CHECKSUM}\x00", f" {CHECKSUM}", f"+{CHECKSUM}"),
    ],
)
def test_checksums(checksum: str) -> None:
    """Nothing but the right one, in its one form."""
    assert play([frame_of(BTC, [], [], checksum), frame_of(BTC, [], [], checksum).encode()]) == 0


def levels(count: int) -> list[tuple[str, str]]:
    return [("114.5", f"{number + 1}.0") for number in range(count)]


def test_how_long_a_message_may_be() -> None:
    """256 levels; with one more it is left to the pure code."""
    assert play([frame_of(BTC, [("60.5", "1")] * 56, levels(200), CHECKSUM)]) == 1
    assert play([frame_of(BTC, [], levels(256), CHECKSUM), frame_of(BTC, [("60.5", "1")] * 256, [], CHECKSUM)]) == 2
    assert play([frame_of(BTC, [], levels(257), CHECKSUM)]) == 0
    assert play([frame_of(BTC, [("60.5", "1")] * 256, levels(1), CHECKSUM)]) == 0


def test_how_many_levels_may_enter_and_leave_at_once() -> None:
    """All of a message's levels enter the window, and as many leave it; a wrong checksum undoes it."""
    bids = [(f"{n}.5", "1") for n in range(1, 84)]
    asks = [(f"{200 + n}.5", "1") for n in range(256 - len(bids))]
    assert play([frame_of(BTC, bids, asks, CHECKSUM)]) == 1
    assert play([frame_of(BTC, [(f"{99}.{n:03}", "1") for n in range(200)], [], 1)]) == 0
    better = [*((f"99.{n % 5 + 6}", f"{n + 1}") for n in range(100)), *((f"{n}.9", "2") for n in range(99))]
    assert play([frame_of(BTC, better, asks, 1)]) == 0


@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("qty", ["0", "7.5"])
def test_which_levels_the_checksum_covers(side: str, qty: str) -> None:
    """A change of the tenth best one is noticed, also if it is new; one of the eleventh is not."""
    for place in range(13):
        for away in ("", "3"):  # the level itself, and a new one before it
            market = Market.of(BTC, 25, *LEVELS)
            price = getattr(market, side)[place][0][:-1] + ("5" if not away else "6" if side == "bids" else "4")
            change = [(price, qty)]
            bids, asks = (change, []) if side == "bids" else ([], change)
            market.apply(bids, asks)
            is_noticed = place < 10 and not (away and qty == "0")
            assert (market.checksum() != CHECKSUM) == is_noticed
            assert play([frame_of(BTC, bids, asks, CHECKSUM)]) == (not is_noticed)
            assert play([frame_of(BTC, bids, asks, market.checksum())]) == 1


def test_a_long_frame_is_left() -> None:
    frame = frame_of(BTC, [], [("114.5", "1." + "0" * 17)] * 256, CHECKSUM)
    assert play([frame, frame.replace('"symbol":"', f'"symbol":"{"x" * 70_000}')]) == 1


def test_symbols() -> None:
    odd = ("", "X/Y", "btc/usd", f"{BTC} ", f"{BTC}\x00", f"{BTC}\\", "BTC\\/USD", "\u0412TC/USD", "x" * 300, "\x7f")
    for symbol in odd:
        assert play([frame_of(symbol, [], [], CHECKSUM), frame_of(symbol, [], [], CHECKSUM).encode()]) == 0


class Text(str):
    __slots__ = ()


class Data(bytes):
    __slots__ = ()


def test_kinds_of_frames() -> None:
    """A text or bytes, and no class that is derived from them."""
    data, direct = FRAME.encode(), Direct(SNAPSHOT)
    odd: list[object] = [Text(FRAME), Data(data), bytearray(data), memoryview(data), None, 5]
    for frame in [*odd, "", b"", "\x00", FRAME.encode("utf-16")]:
        assert direct.take(frame) == 0  # type: ignore[arg-type]  # what it is not meant for


def test_batches_of_any_kind() -> None:
    """A list, a tuple, or another sequence; from any index."""
    frames: list[str | bytes] = [FRAME, b"{", FRAME.encode(), FRAME, "{", FRAME]
    for batch in (frames, tuple(frames), dict.fromkeys(range(6), FRAME).values()):
        direct = Direct(SNAPSHOT)
        expected = 6 if isinstance(batch, type({}.values())) else 1
        assert direct.table.take(batch, 0, 1, 1, direct.deliver) == expected  # type: ignore[arg-type]  # any iterable will do
        assert direct.counters.events == 2 * expected
    direct = Direct(SNAPSHOT)
    ends = [direct.table.take(frames, index, 1, 1, direct.deliver) for index in range(8)]
    assert ends == [1, 1, 4, 4, 4, 6, 6, 7]


# What may go wrong in between


class BrokenError(Exception):
    pass


def test_a_feed_that_cannot_be_delivered_to() -> None:
    """The error comes out. What was taken before it counts; the frame has no effect, and the next call is as usual."""

    class Deliver(dict[object, list[object]]):
        broken = "b"

        def __missing__(self, feed: object) -> list[object]:
            if feed == self.broken:
                raise BrokenError
            made = self[feed] = []
            return made

    direct = Direct(SNAPSHOT, OTHER)
    direct.subscriptions[ETH].audience = ("a",)
    before, deliver = look(direct.books[BTC]), Deliver()
    other = frame_of(ETH, [], [("114.5", "7")], OTHER_CHECKSUM)
    with pytest.raises(BrokenError):
        direct.table.take([other, FRAME, other], 0, 1, 1, deliver)
    assert (len(deliver["a"]), direct.counters.events, direct.counters.compiled_updates) == (1, 1, 1)
    assert look(direct.books[BTC]) == before
    deliver.broken = "nobody"
    assert direct.table.take([other, FRAME, other], 0, 1, 1, deliver) == 3
    assert (len(deliver["a"]), len(deliver["b"])) == (4, 1)
    assert direct.counters.events == 5


def test_subscriptions_that_do_not_take_frames() -> None:
    direct = Direct(SNAPSHOT)
    sub = direct.subscriptions[BTC]
    for name, value in (("step", object()), ("state", type("State", (), {"book": OrderBook(10)}))):
        kept = getattr(sub, name)
        setattr(sub, name, value)
        assert not direct.takes(FRAME)
        setattr(sub, name, kept)
    assert direct.takes(FRAME)


def test_a_core_that_its_book_has_left_is_not_used_again() -> None:
    direct = Direct(SNAPSHOT)
    assert direct.takes(FRAME)
    copy.copy(direct.books[BTC])  # for which it takes back its levels
    assert direct.books[BTC].core is None
    assert not direct.takes(FRAME)
    for _ in range(direct.depth):
        direct.books[BTC].apply(event_of(FRAME))
    assert direct.books[BTC].core is not None
    assert direct.takes(FRAME)


def test_an_audience_is_looked_up_anew_in_each_call() -> None:
    direct = Direct(SNAPSHOT)
    frame = frame_of(BTC, [], [], CHECKSUM)
    assert direct.take(frame, frame) == 2
    direct.subscriptions[BTC].audience = ("c",)
    direct.deliver.clear()
    assert direct.take(frame) == 1
    assert [*direct.deliver] == ["c"]
    direct.subscriptions[BTC].audience = ()
    direct.deliver.clear()
    assert direct.take(frame) == 1
    assert not direct.deliver
    assert direct.counters.events == 5


def in_the_middle(work: Callable[[], object]) -> Callable[[], None]:
    """Has the garbage collector, or what else makes objects, do this in the middle of a call."""

    class Finalized:
        def __del__(self) -> None:
            work()

    def arrange() -> None:
        waste = Finalized()
        waste.me = waste  # type: ignore[attr-defined]  # a cycle

    return arrange


@pytest.mark.parametrize("threshold", range(1, 9))
def test_a_finalizer_that_uses_a_book_in_the_middle(threshold: int) -> None:
    """It runs where an object is made, while the frame's levels are already read. They are not to be overwritten."""
    first, second = Direct(SNAPSHOT), Direct(OTHER)
    update = BookUpdate(
        symbol=ETH, bids=(wire_level("0.5", "7" * 15),) * 9, asks=(wire_level("999.5", "1"),), checksum=OTHER_CHECKSUM
    )
    book, seen = second.books[ETH], []
    frame = frame_of(ETH, [], [("114.5", "9")], OTHER_CHECKSUM)

    def work() -> None:
        book.apply(update)
        seen.append(second.take(frame))

    gc.collect()
    gc.disable()
    in_the_middle(work)()
    kept = gc.get_threshold()
    gc.set_threshold(threshold, 1000, 1000)
    try:
        gc.enable()
        assert first.takes(FRAME) or threshold > 4
    finally:
        gc.set_threshold(*kept)
    gc.collect()
    assert len(seen) == 1
    with purely():
        pure = OrderBook(25)
        pure.apply(event_of(OTHER))
        pure.apply(update)
        if seen == [1]:
            pure.apply(event_of(frame))
    assert book.bids == pure.bids
    assert book.asks == pure.asks


@pytest.mark.parametrize("threshold", range(1, 9))
def test_a_finalizer_that_uses_the_same_table_in_the_middle(threshold: int) -> None:
    """Nobody does this; it ends well all the same."""
    direct, taken = Direct(SNAPSHOT), []
    gc.collect()
    gc.disable()
    in_the_middle(lambda: taken.append(direct.take(FRAME)))()
    kept = gc.get_threshold()
    gc.set_threshold(threshold, 1000, 1000)
    try:
        gc.enable()
        taken.append(direct.take(FRAME, FRAME))
    finally:
        gc.set_threshold(*kept)
    gc.collect()
    assert sorted(taken) == [1, 2]
    assert {feed: len(events) for feed, events in direct.deliver.items()} == {"a": 3, "b": 3}
    assert direct.counters.events == 6


def test_an_audience_that_uses_a_book_in_the_middle() -> None:
    """As another thread may, which Python runs while this one looks up who gets the event."""
    direct, other = Direct(SNAPSHOT), Direct(OTHER)
    frame, sub, inner = frame_of(ETH, [], [("114.5", "9")], OTHER_CHECKSUM), direct.subscriptions[BTC], []

    class Sub:
        step, state, kept = sub.step, sub.state, None

        @property
        def audience(self) -> tuple[str, ...]:
            inner.append(other.take(frame))
            return ("a", "b")

    direct.subscriptions[BTC] = Sub()
    assert direct.takes(FRAME)
    assert inner == [1, 1]  # undisturbed as well; and once more by this test's own look


# Anything


@given(st.binary(min_size=60, max_size=300))
@settings(max_examples=60)
def test_frames_that_are_nearly_right(data: bytes) -> None:
    tape = Tape(data)
    market = Market(tape, BTC, 25)
    direct = Direct(market.snapshot(), OTHER)
    if direct.books[BTC].core is None:
        return
    frame = market.update(tape)
    while not tape.is_over:
        if direct.takes(mutated(frame, tape)):
            direct.renew()
            if direct.books[BTC].core is None:
                return
