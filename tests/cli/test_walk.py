"""The demo's judges must be able to say no: honest histories pass, and each way of lying is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from kraken_trio.cli.oracle import Case, judge
from kraken_trio.cli.walk import BookItem, Sent, Sides, TradeItem, item_of, sent_by, walk
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event, Gap, Level, OrderType, Side, Trade
from kraken_trio.requests import Book, Request, Trades
from kraken_trio.testing import ConnectionJournal, SkipUpdate, Withheld

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BTC, ETH = "BTC/USD", "ETH/USD"
REQUESTS: tuple[Request, ...] = (Book(BTC, 10), Book(ETH, 25), Trades(BTC))
START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER, BOOKS, END, SKIP, OTHERS, DROP, REFUSED = range(7)


class Tape:
    """Writes down what the exchange sends, and what an honest feed makes of it."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.history: list[Event] = []
        self.epoch = 1
        self.clock = 0

    def book(
        self, symbol: str, qty: str, *, snapshot: bool = False, withheld: bool = False, lost: bool = False
    ) -> None:
        self.clock += 1
        stamp = START + timedelta(seconds=self.clock)
        bids, asks = (("100.0", qty),), ((("101.0", "5.00"),) if snapshot else ())
        item = BookItem(symbol=symbol, snapshot=snapshot, bids=bids, asks=asks, checksum=self.clock, timestamp=stamp)
        self.sent.append(Sent(item, self.epoch, withheld))
        if not (withheld or lost):
            event = (BookSnapshot if snapshot else BookUpdate)(
                symbol=symbol,
                bids=levels(bids),
                asks=levels(asks),
                checksum=self.clock,
                timestamp=stamp,
                epoch=self.epoch,
            )
            self.history.append(event)

    def trade(self, number: int, *, lost: bool = False, again: bool = False) -> None:
        item = TradeItem(symbol=BTC, trade_id=number, side="buy", price="100.0", qty=f"{number}.00")
        self.sent.append(Sent(item, self.epoch, history=again))
        if not lost:
            self.history.append(
                Trade(
                    symbol=BTC,
                    side=Side.BUY,
                    price=Decimal("100.0"),
                    qty=Decimal(f"{number}.00"),
                    ord_type=OrderType.LIMIT,
                    trade_id=number,
                    timestamp=START,
                    snapshot=again,
                    epoch=self.epoch,
                )
            )

    def gap(self, symbol: str, cause: Cause, channel: str = "book") -> None:
        self.history.append(Gap(symbol=symbol, cause=cause, channel=channel, epoch=self.epoch))


def levels(pairs: Sequence[tuple[str, str]]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(qty)) for price, qty in pairs)


def honest() -> Case:
    tape = Tape()
    tape.book(BTC, "1.00", snapshot=True)  # 0
    tape.book(ETH, "1.00", snapshot=True)  # 1
    tape.trade(1)  # 2
    tape.book(BTC, "2.00")  # 3
    tape.book(BTC, "3.00", withheld=True)
    tape.book(BTC, "3.50", lost=True)  # this one exposes it
    tape.gap(BTC, Cause.CHECKSUM)  # 4
    tape.book(ETH, "2.00")  # 5
    tape.trade(2)  # 6
    tape.book(BTC, "4.00", snapshot=True)  # 7
    tape.book(BTC, "5.00")  # 8
    tape.book(ETH, "3.00", lost=True)
    tape.trade(3, lost=True)
    for symbol, channel in ((BTC, "book"), (ETH, "book"), (BTC, "trade")):
        tape.gap(symbol, Cause.DISCONNECTED, channel)  # 9, 10, 11
    tape.epoch = 2
    tape.trade(2, again=True, lost=True)  # known: not yielded again
    tape.trade(3, again=True)  # 12
    tape.book(BTC, "6.00", snapshot=True)  # 13
    tape.book(ETH, "6.00", snapshot=True)  # 14
    tape.trade(4)  # 15
    tape.book(ETH, "7.00")  # 16
    tape.trade(5)  # 17
    tape.book(ETH, "8.00")  # 18
    ends: dict[str, Sides] = {
        BTC: ((("100.0", "6.00"),), (("101.0", "5.00"),)),
        ETH: ((("100.0", "8.00"),), (("101.0", "5.00"),)),
    }
    return Case(
        requests=REQUESTS,
        history=tape.history,
        sent=tape.sent,
        local=dict(ends),
        remote=dict(ends),
        skipped=BTC,
        dropped=1,
        refusals={Book("NO/PE"): "Currency pair not supported NO/PE"},
    )


def test_an_honest_history_holds() -> None:
    verdicts = judge(honest())
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert verdicts[ORDER].evidence == "15 events; 4 gaps, for 4 missing"
    assert verdicts[OTHERS].evidence == "1 of their events in the time of the resync"


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


def changed(place: int, **changes: Any) -> Callable[[list[Event]], list[Event]]:
    def doctor(history: list[Event]) -> list[Event]:
        event: Any = history[place]
        history[place] = attrs.evolve(event, **changes)
        return history

    return doctor


LIES = {
    "an update is missing": (without(16), ORDER),
    "a trade is missing": (without(15), ORDER),
    "the first snapshot is missing": (without(0), ORDER),
    "the last event is missing": (without(18), ORDER),
    "the last trade is missing": (without(17), ORDER),
    "all of a book is missing after the reconnect": (without(13), ORDER),
    "a snapshot after the reconnect is missing": (without(14), ORDER),
    "an update comes twice": (twice(3), ORDER),
    "a trade comes twice": (twice(6), ORDER),
    "a trade comes again with the history": (twice(6, later=11), ORDER),
    "a trade comes again after the reconnect, as of the new connection": (
        lambda h: [*h[:12], attrs.evolve(h[6], epoch=2), *h[12:]],
        ORDER,
    ),
    "a snapshot comes twice": (twice(7), ORDER),
    "two updates of a book are swapped": (swapped(3, 8), ORDER),
    "two symbols are swapped": (swapped(5, 6), ORDER),
    "an event overtakes another symbol's": (swapped(14, 15), ORDER),
    "a symbol is held up while another is resynced": (swapped(5, 7), ORDER),
    "a digit is changed": (changed(8, bids=levels([("100.0", "5.01")])), ORDER),
    "a trailing zero is lost": (changed(8, bids=levels([("100.0", "5.0")])), ORDER),
    "a trade's side is changed": (changed(6, side=Side.SELL), ORDER),
    "an epoch is wrong": (changed(8, epoch=2), ORDER),
    "something was never asked for": (changed(8, symbol="XRP/USD"), ORDER),
    "the gap of the mismatch is missing": (without(4), ORDER),
    "the gap comes after the snapshot": (swapped(4, 7), ORDER),
    "a disconnect has no gap for a book": (without(10), ORDER),
    "a disconnect has no gap for trades": (without(11), DROP),
    "a mismatch has no snapshot": (without(7), ORDER),
    "the skipped update has no gap, and the drop's is all there is": (without(4), SKIP),
    "another symbol has a gap, too": (
        lambda h: [*h[:5], Gap(symbol=ETH, cause=Cause.RESUBSCRIBED, channel="book", epoch=1), *h[5:]],
        OTHERS,
    ),
    "a book is not verified again after the drop": (without(14, 16, 18), DROP),
    "no gap of the drop": (without(9, 10, 11), DROP),
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


def test_a_client_that_does_not_check_is_found_out() -> None:
    """It swallows the update that was left out, and takes the one that exposes it."""
    case = honest()
    exposing = next(one.item for one in case.sent if isinstance(one.item, BookItem) and one.item.bids[0][1] == "3.50")
    # The quantity that was left out is another one: an update at a price that the next one does not touch.
    elsewhere = (("99.0", "3.00"),)
    sent = [
        attrs.evolve(one, item=attrs.evolve(one.item, bids=elsewhere))
        if one.withheld and isinstance(one.item, BookItem)
        else one
        for one in case.sent
    ]
    assert isinstance(exposing, BookItem)
    event = BookUpdate(
        symbol=BTC,
        bids=levels(exposing.bids),
        asks=(),
        checksum=exposing.checksum,
        timestamp=exposing.timestamp,
        epoch=1,
    )
    history = [*case.history[:4], event, *case.history[4:]]
    assert not judge(attrs.evolve(case, sent=sent, history=history))[BOOKS].held
    # Where the next one undid it, nobody can know, and nothing is wrong.
    unharmed = judge(attrs.evolve(case, history=history))
    assert unharmed[BOOKS].held
    assert "1 withheld and undone by the next" in unharmed[ORDER].evidence


def test_an_update_after_a_gap_is_no_recovery() -> None:
    case = honest()
    history = list(case.history)
    history.insert(8, Gap(symbol=BTC, cause=Cause.MALFORMED, channel="book", epoch=1))
    found = judge(attrs.evolve(case, history=history))[ORDER]
    assert "came after a gap, before a snapshot" in found.evidence


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"local": {BTC: None}}, END),
        ({"local": {}}, END),
        ({"local": {BTC: (((("100.0", "6.00")),), (("101.0", "5.0"),))}}, END),
        ({"local": {BTC: ((("100.0", "6.00"), ("99.0", "1.00")), (("101.0", "5.00"),))}}, END),
        ({"local": {BTC: ((), ())}}, END),
        ({"remote": {}}, END),
        ({"sent": [], "history": []}, SKIP),
        ({"dropped": 0}, DROP),
        ({"refusals": {Book("NO/PE"): None}}, REFUSED),
        ({"refusals": {}}, REFUSED),
    ],
)
def test_other_broken_promises(changes: dict[str, Any], verdict: int) -> None:
    found = judge(attrs.evolve(honest(), **changes))[verdict]
    assert not found.held
    assert found.evidence


def test_many_problems_are_counted() -> None:
    case = honest()
    found = judge(attrs.evolve(case, history=[*case.history, *case.history]))[ORDER]
    assert not found.held
    assert found.evidence.endswith(" more")


def test_what_was_withheld_stands_in_its_place() -> None:
    def frame(qty: str, kind: str = "update") -> str:
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{{"price":1.0,"qty":{qty}}}],'
            '"asks":[],"checksum":7,"timestamp":"2026-01-01T00:00:00.000001Z"}]}'
        )

    journal = ConnectionJournal(1, None)
    journal.sent.extend([frame("1.0", "snapshot"), frame("3.0")])
    journal.withheld.append(Withheld(1, frame("2.0"), SkipUpdate()))
    journal.withheld.append(Withheld(2, frame("4.0"), SkipUpdate()))
    trades = ConnectionJournal(2, None)
    trades.sent.append(
        '{"channel":"trade","type":"snapshot","data":[{"symbol":"BTC/USD","side":"buy","price":1.0,"qty":1e-7,'
        '"ord_type":"limit","trade_id":5,"timestamp":"2026-01-01T00:00:00Z"}]}'
    )
    trades.sent.append('{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}')
    found = sent_by([journal, trades])
    quantities = [one.item.bids[0][1] if isinstance(one.item, BookItem) else one.item.qty for one in found]
    assert quantities == ["1.0", "2.0", "3.0", "4.0", "1e-7"]
    assert [one.withheld for one in found] == [False, True, False, True, False]
    assert [one.history for one in found] == [False, False, False, False, True]
    assert [one.epoch for one in found] == [1, 1, 1, 1, 2]


def test_items_have_the_digits_of_the_wire() -> None:
    event = BookUpdate(symbol=BTC, bids=(Level(Decimal("0.00000010"), Decimal("1.50")),), asks=())
    item = item_of(event)
    assert isinstance(item, BookItem)
    assert item.bids == (("0.00000010", "1.50"),)


def test_a_book_that_was_never_right_is_wrong_after_every_message() -> None:
    case = honest()
    found = walk(REQUESTS, case.history, case.sent)
    assert (found.book_events, found.wrong, found.problems) == (10, [], [])
