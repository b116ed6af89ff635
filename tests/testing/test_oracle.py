"""The oracle must be able to say no: an honest history passes, and each way of lying is found.

(That a client which is broken on purpose does not get through either is the business of ``tests/simulation``.)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest

from kraken_trio.book import OrderBook
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event, Gap, Level, OrderType, Side, StatusUpdate, Trade
from kraken_trio.requests import Book, Overflow, Request, Trades
from kraken_trio.settings import Settings
from kraken_trio.testing import ConnectionJournal, Drop, OmitChecksum, ReferenceBook, Refuse, SetStatus, SkipUpdate
from kraken_trio.testing.oracle.bounds import CONNECT_LIMIT, Pacing, check_dials
from kraken_trio.testing.oracle.broken import BrokenPromise
from kraken_trio.testing.oracle.causes import Explanations
from kraken_trio.testing.oracle.feed import FeedOracle
from kraken_trio.testing.oracle.sent import Sent
from kraken_trio.testing.oracle.verdicts import Case, Sides, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BTC, ETH = "BTC/USD", "ETH/USD"
DEPTHS = {BTC: 10, ETH: 25}
REQUESTS: tuple[Request, ...] = (Book(BTC, 10), Book(ETH, 25), Trades(BTC))
START = datetime(2026, 1, 1, tzinfo=UTC)
OPENED_NS = int(START.timestamp()) * 10**9
ORDER, BOOKS, END, SKIP, OTHERS, DROP, REFUSED = range(7)


class Tape:
    """Writes down what the exchange sends, and what an honest feed makes of it."""

    def __init__(self) -> None:
        self.journals = [ConnectionJournal(1, None)]
        self.history: list[Event] = []
        self.clock = 0
        self.books = {symbol: ReferenceBook(depth) for symbol, depth in DEPTHS.items()}
        for symbol, book in self.books.items():
            book.load(
                bids=[("100.0", "1.00"), ("99.0", "1.00")], asks=[("101.0", "5.00"), (f"10{len(symbol)}.0", "2.00")]
            )

    @property
    def epoch(self) -> int:
        return len(self.journals)

    def reconnect(self) -> None:
        self.journals.append(ConnectionJournal(self.epoch + 1, None))

    def book(
        self, symbol: str, qty: str = "", price: str = "100.0", *, withheld: bool = False, lost: bool = False
    ) -> None:
        """An update of the quantity at one bid; without one, a snapshot."""
        self.clock += 1
        timestamp = START + timedelta(seconds=self.clock)
        book = self.books[symbol]
        kind: Any = BookUpdate if qty else BookSnapshot
        if qty:
            book.apply(bids=[(price, qty)])
        bids = [(price, qty)] if qty else book.bids
        asks = [] if qty else book.asks
        sides = (",".join(f'{{"price":{p},"qty":{q}}}' for p, q in side) for side in (bids, asks))
        frame = (
            f'{{"channel":"book","type":"{"update" if qty else "snapshot"}","data":[{{"symbol":"{symbol}",'
            f'"bids":[{next(sides)}],"asks":[{next(sides)}],"checksum":{book.checksum()},'
            f'"timestamp":"{timestamp:%Y-%m-%dT%H:%M:%S.%f}Z"}}]}}'
        )
        if withheld:
            self.journals[-1].add_withheld(frame, SkipUpdate())
        else:
            self.journals[-1].add(frame)
        if not (withheld or lost):
            event = kind(
                symbol=symbol,
                bids=levels(bids),
                asks=levels(asks),
                checksum=book.checksum(),
                timestamp=timestamp,
                epoch=self.epoch,
            )
            self.history.append(event)

    def trade(self, *numbers: int, again: bool = False, lost: tuple[int, ...] = ()) -> None:
        """A frame of trades."""
        rows = ",".join(
            f'{{"symbol":"{BTC}","side":"buy","price":100.0,"qty":{number}.00,"ord_type":"limit","trade_id":{number},'
            f'"timestamp":"2026-01-01T00:00:{number:02}.000000Z"}}'
            for number in numbers
        )
        self.journals[-1].add(f'{{"channel":"trade","type":"{"snapshot" if again else "update"}","data":[{rows}]}}')
        for number in numbers:
            if number not in lost:
                self.history.append(
                    Trade(
                        symbol=BTC,
                        side=Side.BUY,
                        price=Decimal("100.0"),
                        qty=Decimal(f"{number}.00"),
                        ord_type=OrderType.LIMIT,
                        trade_id=number,
                        timestamp=START + timedelta(seconds=number),
                        snapshot=again,
                        epoch=self.epoch,
                    )
                )

    def gap(self, symbol: str, cause: Cause, channel: str = "book") -> None:
        self.history.append(Gap(symbol=symbol, cause=cause, channel=channel, epoch=self.epoch))


def levels(pairs: Sequence[tuple[str, str]]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(qty)) for price, qty in pairs)


def honest(withheld_at: str = "99.0") -> Case:
    tape = Tape()
    tape.book(BTC)  # 0
    tape.book(ETH)  # 1
    tape.trade(1)  # 2
    tape.book(BTC, "2.00")  # 3
    tape.book(BTC, "3.00", withheld_at, withheld=True)
    tape.book(BTC, "3.50", lost=True)  # this one exposes it
    tape.gap(BTC, Cause.CHECKSUM)  # 4
    tape.book(ETH, "2.00")  # 5
    tape.trade(2)  # 6
    tape.book(BTC)  # 7
    tape.book(BTC, "5.00")  # 8
    tape.book(ETH, "3.00", lost=True)
    tape.trade(3, lost=(3,))
    for symbol, channel in ((BTC, "book"), (ETH, "book"), (BTC, "trade")):
        tape.gap(symbol, Cause.DISCONNECTED, channel)  # 9, 10, 11
    tape.reconnect()
    tape.trade(2, 3, again=True, lost=(2,))  # 12; the other one is known
    tape.book(BTC)  # 13
    tape.book(ETH)  # 14
    tape.trade(4)  # 15
    tape.book(ETH, "7.00")  # 16
    tape.trade(5)  # 17
    tape.book(ETH, "8.00")  # 18
    ends: dict[str, Sides] = {symbol: (tuple(book.bids), tuple(book.asks)) for symbol, book in tape.books.items()}
    return Case(
        requests=REQUESTS,
        opened_ns=OPENED_NS,
        history=tape.history,
        journals=tape.journals,
        local=dict(ends),
        remote=dict(ends),
        skipped=BTC,
        dropped=1,
        refusals={Book("NO/PE"): "Currency pair not supported NO/PE"},
    )


def test_an_honest_history_holds() -> None:
    verdicts = judge(honest())
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert verdicts[ORDER].evidence == "15 events; 4 gaps, after which it went on 4 times"
    assert verdicts[BOOKS].evidence == "10 messages"
    assert verdicts[OTHERS].evidence == "1 of their events in the time of the resync"


def test_judging_takes_nothing_from_the_journal() -> None:
    case = honest()
    assert judge(case) == judge(case)


def without(*places: int) -> Callable[[list[Event]], list[Event]]:
    return lambda history: [event for place, event in enumerate(history) if place not in places]


def twice(place: int, later: int = 0) -> Callable[[list[Event]], list[Event]]:
    def doctor(history: list[Event]) -> list[Event]:
        at = later or place
        return [*history[: at + 1], history[place], *history[at + 1 :]]

    return doctor


def swapped(place: int, other: int) -> Callable[[list[Event]], list[Event]]:
    def doctor(history: list[Event]) -> list[Event]:
        history[place], history[other] = history[other], history[place]
        return history

    return doctor


def replaced(event: Any, **changes: Any) -> Any:
    return (attrs.evolve if attrs.has(type(event)) else msgspec.structs.replace)(event, **changes)


def changed(place: int, **changes: Any) -> Callable[[list[Event]], list[Event]]:
    def doctor(history: list[Event]) -> list[Event]:
        history[place] = replaced(history[place], **changes)
        return history

    return doctor


LIES = {
    "an update is missing": (without(16), ORDER),
    "a trade is missing": (without(15), ORDER),
    "the first snapshot is missing": (without(0), BOOKS),
    "the last event is missing": (without(18), ORDER),
    "the last trade is missing": (without(17), ORDER),
    "all of a book is missing after the reconnect": (without(13), ORDER),
    "a snapshot after the reconnect is missing": (without(14), BOOKS),
    "an update comes twice": (twice(3), ORDER),
    "a trade comes twice": (twice(6), ORDER),
    "a trade comes again with the history": (twice(6, later=11), ORDER),
    "a trade comes again after the reconnect, as of the new connection": (
        lambda h: [*h[:12], replaced(h[6], epoch=2), *h[12:]],
        ORDER,
    ),
    "a snapshot comes twice": (twice(7), ORDER),
    "two updates of a book are swapped": (swapped(3, 8), ORDER),
    "two symbols are swapped": (swapped(5, 6), ORDER),
    "an event overtakes another symbol's": (swapped(15, 16), ORDER),
    "a symbol is held up while another is resynced": (swapped(5, 7), ORDER),
    "a digit is changed": (changed(8, bids=levels([("100.0", "5.01")])), ORDER),
    "a trailing zero is lost": (changed(8, bids=levels([("100.0", "5.0")])), ORDER),
    "a trade's side is changed": (changed(6, side=Side.SELL), ORDER),
    "an epoch is wrong": (changed(8, epoch=2), ORDER),
    "an epoch never was": (changed(8, epoch=3), ORDER),
    "something was never asked for": (changed(8, symbol="XRP/USD"), ORDER),
    "the gap of the mismatch is missing": (without(4), ORDER),
    "the gap comes after the snapshot": (swapped(4, 7), ORDER),
    "a disconnect has no gap for a book": (without(10), ORDER),
    "a disconnect has no gap for trades": (without(11), DROP),
    "a mismatch has no snapshot": (without(7), BOOKS),
    "the skipped update has no gap, and the drop's is all there is": (without(4), SKIP),
    "another symbol has a gap, too": (
        lambda h: [*h[:5], Gap(symbol=ETH, cause=Cause.RESUBSCRIBED, channel="book", epoch=1), *h[5:]],
        OTHERS,
    ),
    "a book is not verified again after the drop": (without(14, 16, 18), DROP),
    "no gap of the drop": (without(9, 10, 11), DROP),
    "an update comes after a gap": (
        lambda h: [*h[:8], Gap(symbol=BTC, cause=Cause.MALFORMED, channel="book", epoch=1), *h[8:]],
        BOOKS,
    ),
}


@pytest.mark.parametrize(("doctor", "verdict"), LIES.values(), ids=LIES)
def test_a_doctored_history_is_found_out(doctor: Callable[[list[Event]], list[Event]], verdict: int) -> None:
    case = honest()
    lie = attrs.evolve(case, history=doctor(list(case.history)))
    found = judge(lie)[verdict]
    assert not found.held
    assert found.evidence


def test_the_trade_that_a_gap_stands_for_need_not_be_caught_up() -> None:
    case = honest()
    assert judge(attrs.evolve(case, history=without(12)(list(case.history))))[ORDER].held


def exposing(case: Case) -> BookUpdate:
    """The update that was sent after the one that was left out, as a client would yield it that does not check."""
    sent = Sent(case.journals, DEPTHS).connected(1).topic(("book", BTC)).items[2]
    bids, asks, checksum, timestamp = sent.content
    return BookUpdate(
        symbol=BTC,
        bids=levels(bids),
        asks=levels(asks),
        checksum=checksum,
        timestamp=datetime.fromisoformat(timestamp),
        epoch=1,
    )


def test_a_client_that_does_not_check_is_found_out() -> None:
    case = honest()
    history = [*case.history[:4], exposing(case), *case.history[4:]]
    found = judge(attrs.evolve(case, history=history))
    assert not found[BOOKS].held
    assert "does not have the exchange's checksum" in found[BOOKS].evidence
    # Where the next one undid it, nobody can know, and nothing is wrong.
    unharmed = honest(withheld_at="100.0")
    history = [*unharmed.history[:4], exposing(unharmed), *unharmed.history[4:]]
    assert judge(attrs.evolve(unharmed, history=history))[BOOKS].held


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"local": {BTC: None}}, END),
        ({"local": {}}, END),
        ({"local": {BTC: ((("100.0", "5.00"), ("99.0", "3.00")), (("101.0", "5.0"),))}}, END),
        ({"local": {BTC: ((("100.0", "5.00"),), (("101.0", "5.00"),))}}, END),
        ({"local": {BTC: ((), ())}}, END),
        ({"remote": {}}, END),
        ({"journals": [], "history": []}, ORDER),
        ({"journals": [], "history": []}, SKIP),
        ({"dropped": 0}, DROP),
        ({"refusals": {Book("NO/PE"): None}}, REFUSED),
        ({"refusals": {}}, REFUSED),
    ],
)
def test_other_broken_promises(changes: dict[str, Any], verdict: int) -> None:
    found = judge(attrs.evolve(honest(), **changes))[verdict]
    assert not found.held
    assert found.evidence


# A feed's books


def watched(tape: Tape, **options: Any) -> FeedOracle:
    sent = Sent(tape.journals, DEPTHS)
    for journal in tape.journals:
        sent.connected(journal.connection)
    numbers = {number: number for number in sent.connections}
    return FeedOracle("feed", REQUESTS, sent, numbers, opened_ns=OPENED_NS, **options)


def test_the_books_of_a_feed_are_compared_with_the_exchanges() -> None:
    tape = Tape()
    tape.book(BTC)
    tape.book(BTC, "2.00")
    oracle, book = watched(tape), OrderBook(10)
    oracle.check_books({BTC: book})
    for event in tape.history:
        assert isinstance(event, BookSnapshot | BookUpdate)
        oracle.saw(event)
        with pytest.raises(BrokenPromise, match="promise 1"):
            oracle.check_books({BTC: book})
        book.apply(event)
        oracle.check_books({BTC: book})
    oracle.saw(Gap(symbol=BTC, cause=Cause.CHECKSUM, channel="book", epoch=1))
    with pytest.raises(BrokenPromise, match="can be read"):
        oracle.check_books({BTC: book})


def test_a_book_message_without_a_checksum_is_no_proof() -> None:
    tape = Tape()
    tape.book(BTC)
    tape.book(BTC, "2.00")
    text = tape.journals[0].sent[1]
    tape.journals[0].sent[1] = text[: text.index('"checksum"')] + text[text.index('"timestamp"') :]
    oracle = watched(tape)
    first, second = tape.history
    oracle.saw(first)
    with pytest.raises(BrokenPromise, match="has no checksum"):
        oracle.saw(replaced(second, checksum=None))


def test_what_a_conflating_feed_leaves_out_is_not_missing() -> None:
    tape = Tape()
    tape.book(BTC)
    for qty in ("2.00", "3.00", "4.00"):
        tape.book(BTC, qty, lost=True)
    tape.book(BTC)
    first, last = tape.history
    for overflow in Overflow:
        oracle = watched(tape, overflow=overflow)
        oracle.saw(first)
        if overflow is Overflow.CONFLATE:
            oracle.saw(last)
        else:
            with pytest.raises(BrokenPromise, match="a snapshot without a gap"):
                oracle.saw(last)


# Causes and bounds


def explanations() -> Explanations:
    sent = Sent([ConnectionJournal(1, None)], DEPTHS)
    sent.connected(1)
    return Explanations(sent)


def gap(cause: Cause, symbol: str | None = BTC) -> Gap:
    return Gap(symbol=symbol, cause=cause, channel="book", epoch=1)


@pytest.mark.parametrize(
    ("fault", "explained", "unexplained"),
    [
        (SkipUpdate(symbol=BTC), gap(Cause.PARKED), gap(Cause.PARKED, ETH)),
        (OmitChecksum(), gap(Cause.MALFORMED, ETH), gap(Cause.CHECKSUM)),
        (Drop(), gap(Cause.DISCONNECTED, None), gap(Cause.CHECKSUM)),
        (Refuse(symbol=BTC), gap(Cause.REFUSED), gap(Cause.REFUSED, ETH)),
    ],
)
def test_a_gap_needs_a_reason_of_its_own_symbol(fault: Any, explained: Gap, unexplained: Gap) -> None:
    reasons = explanations()
    with pytest.raises(BrokenPromise, match="promise 6"):
        reasons.explain("feed", explained, 0.0)
    reasons.happened(fault)
    reasons.explain("feed", explained, 0.0)
    with pytest.raises(BrokenPromise, match="promise 6"):
        reasons.explain("feed", unexplained, 0.0)


def test_more_mismatches_than_faults_are_too_many() -> None:
    tape = Tape()
    tape.book(BTC)
    tape.book(BTC, "2.00", withheld=True)
    sent = Sent(tape.journals, DEPTHS)
    sent.connected(1)
    reasons = Explanations(sent)
    reasons.happened(SkipUpdate(symbol=BTC))
    reasons.explain("feed", gap(Cause.CHECKSUM), 0.0)
    reasons.explain("another", gap(Cause.CHECKSUM), 0.0)
    with pytest.raises(BrokenPromise, match="nothing was wrong with BTC/USD"):
        reasons.explain("feed", gap(Cause.CHECKSUM), 0.0)


def test_a_status_was_sent() -> None:
    reasons = explanations()
    maintenance = StatusUpdate(system="maintenance", version="2.0.10", epoch=1)
    with pytest.raises(BrokenPromise, match="never said so"):
        reasons.explain_status("feed", maintenance)
    reasons.happened(SetStatus(system="maintenance"))
    reasons.explain_status("feed", maintenance)


def test_requests_and_dials_are_bounded() -> None:
    pacing = Pacing(Settings(request_rate=1.0, request_burst=2))
    for now in (0.0, 0.0, 0.0, 1.0, 2.0):
        pacing.asked('{"method":"subscribe"}', now)
        pacing.asked('{"method":"ping"}', now)
    with pytest.raises(BrokenPromise, match="promise 4"):
        pacing.asked('{"method":"subscribe"}', 2.0)
    check_dials([5.0 * n for n in range(1000)])
    with pytest.raises(BrokenPromise, match="promise 4"):
        check_dials([4.9 * n for n in range(CONNECT_LIMIT + 5)])
