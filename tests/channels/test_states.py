"""What is remembered of a channel's data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, strategies as st

from kraken_trio.book import OrderBook
from kraken_trio.channels import CHANNELS, ChannelState, Kept, instruments
from kraken_trio.errors import ProtocolError
from kraken_trio.events import (
    Asset,
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    Event,
    Gap,
    InstrumentUpdate,
    Level,
    Level3Snapshot,
    OrderType,
    Pair,
    RestingOrder,
    Side,
    SpreadUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Book, Candles, Instruments, Level3, Request, Spread, Ticker, Trades
from kraken_trio.statistics import Counters
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BTC = "BTC/USD"
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
HISTORY = Trades(BTC, snapshot=True)


def trade(number: int, *, history: bool = False, qty: str = "1.0") -> Trade:
    return Trade(
        symbol=BTC,
        side=Side.BUY,
        price=Decimal("100.5"),
        qty=Decimal(qty),
        ord_type=OrderType.LIMIT,
        trade_id=number,
        timestamp=NOON + timedelta(seconds=number),
        snapshot=history,
    )


CODEC = codec_for("v2")


def state_of(request: Request, counters: Counters | None = None) -> ChannelState:
    return CHANNELS[request.channel or ""](request, counters or Counters(), CODEC)


def take(state: ChannelState, *events: Event) -> list[Event]:
    """What passes, when all is well."""
    passed, failure = state.take(events)
    assert failure is None
    return list(passed)


def trade_state(*numbers: int) -> ChannelState:
    state = state_of(Trades(BTC))
    for number in numbers:
        take(state, trade(number))
    return state


def taken(state: ChannelState, *numbers: int, history: bool = False) -> list[tuple[int | None, int]]:
    """How many are missing, None for nobody knows, and the number of the trade."""
    return told(take(state, *(trade(number, history=history) for number in numbers)))


def told(passed: list[Event]) -> list[tuple[int | None, int]]:
    found: list[tuple[int | None, int]] = []
    missing: int | None = 0
    for event in passed:
        if isinstance(event, Gap):
            missing = event.missed
        else:
            assert isinstance(event, Trade)
            assert event.trade_id is not None
            found.append((missing, event.trade_id))
            missing = 0
    return found


def an_event(channel: str, number: int) -> Event:
    one = Decimal(1)
    events: dict[str, Event] = {
        "book": BookSnapshot(symbol=BTC, bids=(Level("1.0", "1.0"),), asks=(), received_ns=number),
        "level3": Level3Snapshot(
            symbol=BTC,
            bids=(RestingOrder("O1", "1.0", "1.0", "2026-05-14T12:00:00.000000001Z"),),
            asks=(),
            checksum=2906427990,
            received_ns=number,
        ),
        "trade": msgspec.structs.replace(trade(number), received_ns=number),
        "ticker": msgspec.structs.replace(ticker(number), received_ns=number),
        "spread": SpreadUpdate(
            symbol=BTC, bid=one, bid_qty=one, ask=one, ask_qty=one, timestamp=NOON, received_ns=number
        ),
        "ohlc": msgspec.structs.replace(candle(1, number), received_ns=number),
        "instrument": InstrumentUpdate(assets=(), pairs=(), snapshot=True, received_ns=number),
    }
    return events[channel]


ALL = [Book(BTC), Level3(BTC), HISTORY, Ticker(BTC), Spread(BTC), Candles(BTC), Instruments()]


@pytest.mark.parametrize("request_", ALL, ids=str)
def test_every_channel_has_a_state_that_starts_with_nothing(request_: Request) -> None:
    state = state_of(request_)
    for _ in range(2):
        assert list(state.start(request_)) == []
        assert state.rebuild() is None
        assert state.last_received_ns == 0
        state.reset()


@pytest.mark.parametrize("request_", ALL, ids=str)
def test_every_state_starts_a_late_feed_with_what_it_took_until_it_is_reset(request_: Request) -> None:
    state = state_of(request_)
    for number in (7, 8):
        event = an_event(request_.channel or "", number)
        assert state.begins(event)
        assert take(state, event) == [event]
        assert state.last_received_ns == number
        assert state.start(request_)[-1].received_ns == number
        assert (state.rebuild() is not None) == state.is_cumulative
    state.reset()
    assert (list(state.start(request_)) == []) == (not state.has_history)
    assert state.rebuild() is None


def test_what_is_true_of_each_channel() -> None:
    """The seam that overflow policies, the session and the staleness monitor ask."""
    names = (
        "must_verify", "is_cumulative", "has_history", "can_conflate", "moves_with_trades", "tells_of_trades",
        "has_symbols", "asks",
    )  # fmt: skip
    assert {channel: [name for name in names if getattr(kind, name)] for channel, kind in CHANNELS.items()} == {
        "book": ["must_verify", "is_cumulative", "can_conflate", "moves_with_trades", "has_symbols"],
        "level3": ["must_verify", "is_cumulative", "can_conflate", "moves_with_trades", "has_symbols", "asks"],
        "trade": ["has_history", "moves_with_trades", "tells_of_trades", "has_symbols"],
        "ticker": ["can_conflate", "moves_with_trades", "tells_of_trades", "has_symbols"],
        "spread": ["can_conflate", "moves_with_trades", "has_symbols"],
        "ohlc": ["can_conflate", "moves_with_trades", "tells_of_trades", "has_symbols"],
        "instrument": ["is_cumulative", "can_conflate", "has_symbols"],
        "executions": ["is_cumulative", "has_history", "asks"],
        "balances": ["is_cumulative"],
    }
    assert [state_of(request).moves_with_prices for request in (*ALL, Ticker(BTC, trigger="bbo"))] == [
        True, True, False, False, True, False, False, True,
    ]  # fmt: skip
    assert CHANNELS["trade"].neighbours(trade(7)) == (6, 8)
    assert CHANNELS["ticker"].neighbours(ticker(7)) == (None, None)
    update = BookUpdate(symbol=BTC, bids=(), asks=())
    assert CHANNELS["book"].is_delta(update)
    assert not CHANNELS["book"].begins(update)
    assert not CHANNELS["book"].is_delta(an_event("book", 1))
    assert CHANNELS["instrument"].is_delta(reference(asset("BTC")))
    assert not CHANNELS["instrument"].is_delta(reference(asset("BTC"), snapshot=True))
    assert not CHANNELS["ticker"].is_delta(ticker(1))
    assert isinstance(CHANNELS["book"].view(Book(BTC, depth=25)), OrderBook)
    assert CHANNELS["ticker"].view(Ticker(BTC)) is None
    assert [trade_state().trade_count, trade_state(7).trade_count] == [0, 7]
    assert [trade_state().owes_data, trade_state(7).owes_data, state_of(Ticker(BTC)).owes_data] == [False, True, True]


# Books


def snapshot(bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]], **more: Any) -> BookSnapshot:
    sides = [tuple(Level(*level) for level in levels) for levels in (bids, asks)]
    return BookSnapshot(symbol=BTC, bids=sides[0], asks=sides[1], **more)


def update(bids: Sequence[tuple[str, str]] = (), asks: Sequence[tuple[str, str]] = (), **more: Any) -> BookUpdate:
    sides = [tuple(Level(*level) for level in levels) for levels in (bids, asks)]
    return BookUpdate(symbol=BTC, bids=sides[0], asks=sides[1], **more)


def crc(bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> int:
    digits = [text.replace(".", "").lstrip("0") for level in (*asks[:10], *bids[:10]) for text in level]
    return crc32("".join(digits).encode())


@given(st.permutations(range(1, 15)), st.integers(0, 3), st.integers(0, 3))
def test_a_snapshot_event_is_what_the_book_holds_however_it_was_sent(
    order: list[int], zeros: int, depth_too_many: int
) -> None:
    """Sorted, without zeros, and not deeper than was asked for; its checksum is right."""
    levels = [(f"{number}.5", "1.0") for number in range(1, 11 + depth_too_many)]
    sent = [levels[n % len(levels)] for n in order] + levels + [(f"{90 + n}.0", "0.0") for n in range(zeros)]
    asks = [(f"{100 + number}.5", "1.0") for number in range(10)]
    best_first = sorted(levels, key=lambda level: -float(level[0]))[:10]
    counters = Counters()
    state = state_of(Book(BTC), counters)
    (event,) = take(state, snapshot(sent, asks[::-1], checksum=crc(best_first, asks), epoch=3, received_ns=9))
    assert event == snapshot(best_first, asks, checksum=crc(best_first, asks), epoch=3, received_ns=9)
    assert counters.checksums_verified == 1
    assert state.start(Book(BTC)) == (event,) == (state.rebuild(),)


def test_what_passed_before_a_failure_passes() -> None:
    counters = Counters()
    state = state_of(Book(BTC), counters)
    take(state, snapshot([("1.0", "1.0")], [("2.0", "1.0")]))
    good, bad = update([("1.0", "3.0")]), update([("1.0", "4.0")], checksum=1)
    passed, failure = state.take((good, bad, good))
    assert [event is good for event in passed] == [True]
    assert failure is not None
    assert failure.cause is Cause.CHECKSUM
    assert failure.evidence is not None
    assert failure.evidence.expected == 1
    assert counters.checksum_failures == 1
    assert state.start(Book(BTC)) == ()


CROSSED = ([("5.0", "1.0")], [("4.0", "1.0")])


def test_a_crossed_book_with_a_right_checksum_is_the_exchanges_own_state() -> None:
    counters = Counters()
    state = state_of(Book(BTC), counters)
    take(state, snapshot(*CROSSED, checksum=crc(*CROSSED), epoch=1))
    take(state, update([("5.5", "1.0")], checksum=crc([("5.5", "1.0"), *CROSSED[0]], CROSSED[1]), epoch=1))
    assert counters.crossed == 0
    assert counters.checksums_verified == 2


@pytest.mark.parametrize("crossing", [snapshot(*CROSSED, epoch=1), update([("9.0", "1.0")], epoch=1)])
def test_a_crossed_book_without_a_checksum_is_doubted_once_per_connection(crossing: Event) -> None:
    counters = Counters()
    state = state_of(Book(BTC), counters)
    if isinstance(crossing, BookUpdate):
        take(state, snapshot([("1.0", "1.0")], [("2.0", "1.0")], epoch=1))
    passed, failure = state.take((crossing,))
    assert list(passed) == []
    assert failure is not None
    assert failure.cause is Cause.CROSSED
    state.reset()
    take(state, snapshot(*CROSSED, epoch=1))
    take(state, update([("6.0", "1.0")], epoch=1))
    assert counters.crossed == 1
    state.reset()
    _, failure = state.take((snapshot(*CROSSED, epoch=2),))
    assert failure is not None
    assert counters.crossed == 2


def test_a_snapshot_without_a_checksum_is_malformed_once_a_book_has_been_verified() -> None:
    """Where snapshots have checksums at all. Before that it is taken, and not verified."""
    good = ([("1.0", "1.0")], [("2.0", "1.0")])
    state = state_of(Book(BTC))
    take(state, snapshot(*good))
    take(state, update(checksum=crc(*good)))
    state.reset()
    passed, failure = state.take((snapshot(*good),))
    assert list(passed) == []
    assert failure is not None
    assert failure.cause is Cause.MALFORMED


def test_an_update_without_a_checksum_is_malformed_once_its_snapshot_had_one() -> None:
    good = ([("1.0", "1.0")], [("2.0", "1.0")])
    state = state_of(Book(BTC))
    take(state, snapshot(*good, checksum=crc(*good)))
    _, failure = state.take((update([("1.0", "2.0")]),))
    assert failure is not None
    assert failure.cause is Cause.MALFORMED


# Trades


def test_the_first_trade_of_all_has_nothing_missing_before_it() -> None:
    state = trade_state()
    assert taken(state, 70, 71) == [(0, 70), (0, 71)]


def test_a_repeated_trade_is_no_news() -> None:
    state = trade_state()
    assert taken(state, 1, 1, 2) == [(0, 1), (0, 2)]
    assert taken(state, 1, 2, 3, 2) == [(0, 3)]


def test_a_jump_says_how_many_are_missing() -> None:
    state = trade_state()
    assert taken(state, 1, 4, 5, 15) == [(0, 1), (2, 4), (0, 5), (9, 15)]


def test_history_that_overlaps_brings_only_what_is_new() -> None:
    state = trade_state()
    taken(state, 10, 11, 12)
    assert taken(state, *range(5, 15), history=True) == [(0, 13), (0, 14)]
    assert taken(state, *range(14, 16), history=True) == [(0, 15)]


def test_history_that_does_not_reach_back_leaves_a_hole() -> None:
    state = trade_state()
    taken(state, 10)
    assert taken(state, *range(30, 33), history=True) == [(19, 30), (0, 31), (0, 32)]


def test_history_from_before_we_came_is_no_news() -> None:
    state = trade_state()
    taken(state, 100)
    assert taken(state, *range(51, 101), history=True) == []


@pytest.mark.parametrize("history", [False, True])
def test_a_numbering_that_begins_anew_is_noticed_once(history: bool) -> None:
    state = trade_state()
    taken(state, 100, 101)
    assert taken(state, 1, 2, 3, history=history) == [(None, 1), (0, 2), (0, 3)]
    assert taken(state, 4, 6) == [(0, 4), (1, 6)]


def test_the_same_number_with_another_content_is_another_trade() -> None:
    state = trade_state()
    taken(state, 1, 2)
    gap, other = take(state, trade(2, qty="7.0"))
    assert isinstance(gap, Gap)
    assert (gap.missed, gap.after_id, gap.before_id) == (None, 2, 2)
    assert other == trade(2, qty="7.0")
    assert take(state, trade(2, qty="7.0"), trade(3)) == [trade(3)]


def test_a_hole_is_a_gap_with_the_numbers_of_both_its_sides() -> None:
    counters = Counters()
    state = state_of(Trades(BTC), counters)
    last = msgspec.structs.replace(trade(12), epoch=3, received_ns=9)
    passed = take(state, trade(7), trade(8), last)
    hole = Gap(
        symbol=BTC,
        cause=Cause.MISSED,
        channel="trade",
        detail="trades 9 to 11 are missing",
        missed=3,
        after_id=8,
        before_id=12,
        epoch=3,
        received_ns=9,
    )
    assert passed == [trade(7), trade(8), hole, last]
    assert counters.trades_missed == 3


@pytest.mark.parametrize("known", [(95, 96, 97), (70, 71, 100)])
@pytest.mark.parametrize("length", [1, 5, 50])
def test_numbers_that_began_anew_while_we_were_away_are_known_by_their_trades(
    known: tuple[int, ...], length: int
) -> None:
    """Even where the new numbers have come as far as the old ones."""
    state = trade_state(*known)
    last = known[-1]
    anew = [trade(number, history=True, qty="7.0") for number in range(last, last + length)]
    gap, *passed = take(state, *anew)
    assert isinstance(gap, Gap)
    assert (gap.missed, gap.after_id, gap.before_id) == (None, last, last)
    assert passed == anew
    assert list(state.start(HISTORY)) == anew  # and the old ones are no history of theirs


def test_history_with_a_hole_where_our_last_trade_was_goes_on() -> None:
    state = trade_state()
    taken(state, 10)
    assert taken(state, 8, 9, 11, 12, history=True) == [(0, 11), (0, 12)]


def test_history_that_is_older_than_what_we_know_is_no_news() -> None:
    state = trade_state()
    taken(state, *range(1, 11))
    assert taken(state, 3, 4, 5, history=True) == []


def test_the_memory_of_trades_outlives_a_loss() -> None:
    state = trade_state()
    taken(state, 1, 2)
    state.reset()
    assert taken(state, 1, 2, 3, history=True) == [(0, 3)]


def test_history_is_for_those_who_ask_for_it() -> None:
    state = trade_state()
    taken(state, *range(100))
    assert list(state.start(Trades(BTC))) == []
    first = list(state.start(HISTORY))
    assert first == [trade(number, history=True) for number in range(50, 100)]


def test_history_begins_after_the_last_hole() -> None:
    state = trade_state()
    taken(state, 1, 2, 9, 10, 11)
    assert list(state.start(HISTORY)) == [trade(number, history=True) for number in (9, 10, 11)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.booleans()), max_size=12))
def test_whatever_comes_again_every_trade_is_news_once_and_every_hole_is_told(
    batches: list[tuple[int, int, bool]],
) -> None:
    """An exchange that counts up, repeats itself, skips some, and tells history of any length."""
    state, numbered = trade_state(), [1000]
    taken(state, 1000)
    for skipped, length, history in batches:
        if history:
            numbers = range(numbered[-1] - skipped, numbered[-1] + length)
        else:
            numbers = range(numbered[-1] + 1 + skipped, numbered[-1] + 1 + skipped + length)
        for missing, number in taken(state, numbered[-1], *numbers, numbers[-1], history=history):
            assert missing == number - numbered[-1] - 1
            numbered.append(number)
        assert numbered[-1] == numbers[-1]
    assert numbered == sorted(set(numbered))


# Trades without numbers


def unnumbered(second: int) -> Trade:
    return msgspec.structs.replace(trade(second), trade_id=None)


def v1_state_of(request: Request) -> ChannelState:
    return CHANNELS[request.channel or ""](request, Counters(), codec_for("v1"))


def test_trades_without_numbers_are_all_news_and_none_is_known_to_be_missing() -> None:
    state, trades = v1_state_of(HISTORY), [unnumbered(1), unnumbered(1), unnumbered(9), unnumbered(3)]
    assert take(state, *trades) == trades
    assert take(state, trades[0]) == trades[:1]
    assert CHANNELS["trade"].neighbours(trades[0]) == (None, None)
    assert state.trade_count == 0
    assert not state.owes_data


def test_history_of_trades_without_numbers_begins_after_the_last_loss() -> None:
    state = v1_state_of(HISTORY)
    for second in range(60):
        take(state, unnumbered(second))
    assert list(state.start(Trades(BTC))) == []
    kept = [msgspec.structs.replace(unnumbered(second), snapshot=True) for second in range(10, 60)]
    assert list(state.start(HISTORY)) == kept
    state.reset()
    assert list(state.start(HISTORY)) == []
    assert state.last_received_ns == 0
    take(state, unnumbered(60))
    assert len(list(state.start(HISTORY))) == 1


@pytest.mark.parametrize(("state_for", "event"), [(v1_state_of, trade(7)), (state_of, unnumbered(7))])
def test_kept_trades_are_of_the_protocol(state_for: Callable[[Request], ChannelState], event: Trade) -> None:
    state = state_for(HISTORY)
    with pytest.raises(ProtocolError, match=r"trades of this protocol have (no )?numbers, unlike a kept one"):
        state.restore(Kept((event,)))


def test_what_a_state_of_v1_keeps_another_one_continues_from() -> None:
    one, other = v1_state_of(HISTORY), v1_state_of(HISTORY)
    take(one, unnumbered(1), unnumbered(1), unnumbered(2))
    other.restore(one.keep())
    assert list(other.start(HISTORY)) == list(one.start(HISTORY))
    assert take(other, unnumbered(2)) == [unnumbered(2)]


def test_what_the_exchange_owes_after_a_confirmation() -> None:
    """Its present state, and history, where the protocol has them."""
    requests = [Book(BTC), Ticker(BTC), Candles(BTC), Spread(BTC)]
    assert [v1_state_of(request).owes_data for request in requests] == [True, True, False, False]
    assert [state_of(request).owes_data for request in requests[:3]] == [True, True, True]


# Ticker and candles


def ticker(last: int) -> TickerUpdate:
    one = Decimal(1)
    return TickerUpdate(symbol=BTC, bid=one, bid_qty=one, ask=one, ask_qty=one, last=Decimal(last))


def candle(minute: int, close: int) -> Candle:
    one = Decimal(1)
    return Candle(
        symbol=BTC,
        interval=1,
        interval_begin=NOON + timedelta(minutes=minute),
        open=one,
        high=one,
        low=one,
        close=Decimal(close),
        volume=one,
        vwap=one,
        trades=1,
    )


def test_a_ticker_starts_with_the_latest_as_a_snapshot() -> None:
    state = state_of(Ticker(BTC))
    take(state, ticker(1))
    take(state, ticker(2))
    assert state.start(Ticker(BTC)) == [msgspec.structs.replace(ticker(2), snapshot=True)]
    state.reset()
    assert state.start(Ticker(BTC)) == []


def test_candles_start_with_the_latest_of_each_interval_in_order() -> None:
    state = state_of(Candles(BTC))
    for minute, close in ((1, 1), (2, 1), (2, 2), (1, 5), (3, 1)):
        take(state, candle(minute, close))
    assert state.start(Candles(BTC)) == [
        msgspec.structs.replace(candle(minute, close), snapshot=True) for minute, close in ((1, 5), (2, 2), (3, 1))
    ]


def test_the_oldest_candles_are_forgotten() -> None:
    state = state_of(Candles(BTC))
    for minute in range(1005):
        take(state, candle(minute, 1))
    kept = state.start(Candles(BTC))
    assert len(kept) == 1000
    assert kept[0] == msgspec.structs.replace(candle(5, 1), snapshot=True)


# Reference data


def asset(name: str, status: str = "enabled") -> Asset:
    return Asset(id=name, status=status, precision=8, precision_display=4)


def pair(symbol: str, status: str = "online") -> Pair:
    base, quote = symbol.split("/")
    return Pair(symbol=symbol, base=base, quote=quote, status=status, price_precision=1, qty_precision=8)


def reference(*entries: Asset | Pair, snapshot: bool = False) -> InstrumentUpdate:
    return InstrumentUpdate(
        assets=tuple(entry for entry in entries if isinstance(entry, Asset)),
        pairs=tuple(entry for entry in entries if isinstance(entry, Pair)),
        snapshot=snapshot,
    )


def test_reference_data_is_merged() -> None:
    state = state_of(Instruments())
    take(state, reference(asset("BTC"), asset("USD"), pair(BTC), snapshot=True))
    take(state, reference(asset("BTC", "disabled"), pair("ETH/USD")))
    take(state, reference(pair(BTC, "maintenance")))
    assert state.start(Instruments()) == (
        reference(
            asset("BTC", "disabled"),
            asset("USD"),
            pair(BTC, "maintenance"),
            pair("ETH/USD"),
            snapshot=True,
        ),
    )


def test_a_snapshot_of_reference_data_replaces_all() -> None:
    state = state_of(Instruments())
    take(state, reference(asset("BTC"), pair(BTC)))
    take(state, reference(asset("ETH"), snapshot=True))
    assert state.start(Instruments()) == (reference(asset("ETH"), snapshot=True),)


def test_a_peer_cannot_fill_the_memory_with_reference_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "_KEPT", 2)
    state = state_of(Instruments())
    take(state, reference(asset("A"), asset("B"), asset("C"), pair("A/B"), pair("B/C"), pair("C/D")))
    take(state, reference(asset("B", "disabled"), pair("B/C", "maintenance")))  # what is known can still change
    assert state.start(Instruments()) == (
        reference(asset("A"), asset("B", "disabled"), pair("A/B"), pair("B/C", "maintenance"), snapshot=True),
    )


def kept_by(state: ChannelState, request: Request) -> ChannelState:
    """Another state, restored from what the first one keeps."""
    other = state_of(request)
    other.restore(state.keep())
    return other


def test_a_restored_book_goes_on_as_the_book_would_have() -> None:
    """It remembers that it was verified, and what it was doubted for on which connection."""
    state = state_of(Book(BTC))
    take(state, snapshot([("1.0", "1.0")], [("2.0", "1.0")], epoch=1))
    _, failure = state.take((update([("9.0", "1.0")], epoch=1),))
    assert failure is not None
    state.reset()
    assert kept_by(state, Book(BTC)).start(Book(BTC)) == ()
    take(state, snapshot(*CROSSED, epoch=1))
    other = kept_by(state, Book(BTC))
    assert other.start(Book(BTC)) == state.start(Book(BTC))
    for one in (state, other):
        assert take(one, update([("6.0", "1.0")], epoch=1)) != []  # doubted once on this connection


def test_restored_trades_go_on_without_a_gap() -> None:
    state = trade_state(1, 2, 3)
    other = kept_by(state, Trades(BTC))
    assert list(other.start(HISTORY)) == list(state.start(HISTORY))
    assert take(other, trade(4)) == [trade(4)]


@pytest.mark.parametrize(("request_", "event"), [(Book(BTC), trade(1)), (Trades(BTC), update([("1.0", "1.0")]))])
def test_a_state_is_not_restored_from_the_data_of_another_channel(request_: Request, event: Event) -> None:
    with pytest.raises(ProtocolError, match="kept as"):
        state_of(request_).restore(Kept((event,)))
