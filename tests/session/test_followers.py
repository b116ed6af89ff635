"""What is remembered of a channel's data."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import given, strategies as st

from kraken_trio.events import (
    Asset,
    BookSnapshot,
    Candle,
    InstrumentUpdate,
    Level,
    OrderType,
    Pair,
    Side,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from kraken_trio.session import followers
from kraken_trio.session.followers import (
    BookFollower,
    InstrumentFollower,
    LatestFollower,
    TradeFollower,
    follower_of,
)

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
HISTORY = Trades("BTC/USD", snapshot=True)


def trade(number: int, *, history: bool = False, qty: str = "1.0") -> Trade:
    return Trade(
        symbol="BTC/USD",
        side=Side.BUY,
        price=Decimal("100.5"),
        qty=Decimal(qty),
        ord_type=OrderType.LIMIT,
        trade_id=number,
        timestamp=NOON + timedelta(seconds=number),
        snapshot=history,
    )


def news(follower: TradeFollower, *numbers: int, history: bool = False) -> list[tuple[int | None, int]]:
    """How many are missing, None for nobody knows, and the number of the trade."""
    found = follower.news([trade(number, history=history) for number in numbers])
    return [(_missing(after, one.trade_id), one.trade_id) for after, one in found]


def _missing(after: int | None, number: int) -> int | None:
    if after is None:
        return 0
    return None if after >= number else number - after - 1


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Book("BTC/USD"), BookFollower),
        (Trades("BTC/USD"), TradeFollower),
        (Ticker("BTC/USD"), LatestFollower),
        (Candles("BTC/USD"), LatestFollower),
        (Instruments(), InstrumentFollower),
    ],
    ids=str,
)
def test_every_channel_has_a_follower_that_starts_with_nothing(request_: Request, kind: type) -> None:
    follower = follower_of(request_)
    assert type(follower) is kind
    assert list(follower.start(request_)) == []
    follower.reset()
    assert list(follower.start(request_)) == []


def test_every_follower_knows_when_it_was_last_heard_of() -> None:
    heard = []
    for request in (Book("BTC/USD"), Trades("BTC/USD"), Ticker("BTC/USD"), Candles("BTC/USD"), Instruments()):
        follower = follower_of(request)
        heard.append(follower.heard)
        for number in (7, 8):
            match follower:
                case BookFollower():
                    follower.book.apply(BookSnapshot(symbol="BTC/USD", bids=(), asks=(), received_ns=number))
                case TradeFollower():
                    follower.news([attrs.evolve(trade(number), received_ns=number)])
                case InstrumentFollower():
                    follower.see(InstrumentUpdate(assets=(), pairs=(), received_ns=number))
                case LatestFollower():
                    event = ticker(number) if request.channel == "ticker" else candle(1, number)
                    follower.see(attrs.evolve(event, received_ns=number))
            heard.append(follower.heard)
    assert heard == [0, 7, 8] * 5


def test_a_book_starts_with_its_snapshot_until_events_are_missing() -> None:
    follower = BookFollower(Book("BTC/USD", depth=25))
    assert follower.book.depth == 25
    snapshot = BookSnapshot(symbol="BTC/USD", bids=(Level(Decimal("1.0"), Decimal("2.0")),), asks=())
    follower.book.apply(snapshot)
    (first,) = follower.start(Book("BTC/USD", depth=25))
    assert isinstance(first, BookSnapshot)
    assert first.bids == snapshot.bids
    follower.reset()
    assert follower.start(Book("BTC/USD", depth=25)) == ()


# Trades


def test_the_first_trade_of_all_has_nothing_missing_before_it() -> None:
    follower = TradeFollower()
    assert news(follower, 70, 71) == [(0, 70), (0, 71)]


def test_a_repeated_trade_is_no_news() -> None:
    follower = TradeFollower()
    assert news(follower, 1, 1, 2) == [(0, 1), (0, 2)]
    assert news(follower, 1, 2, 3, 2) == [(0, 3)]


def test_a_jump_says_how_many_are_missing() -> None:
    follower = TradeFollower()
    assert news(follower, 1, 4, 5, 15) == [(0, 1), (2, 4), (0, 5), (9, 15)]


def test_history_that_overlaps_brings_only_what_is_new() -> None:
    follower = TradeFollower()
    news(follower, 10, 11, 12)
    assert news(follower, *range(5, 15), history=True) == [(0, 13), (0, 14)]
    assert news(follower, *range(14, 16), history=True) == [(0, 15)]


def test_history_that_does_not_reach_back_leaves_a_hole() -> None:
    follower = TradeFollower()
    news(follower, 10)
    assert news(follower, *range(30, 33), history=True) == [(19, 30), (0, 31), (0, 32)]


def test_history_from_before_we_came_is_no_news() -> None:
    follower = TradeFollower()
    news(follower, 100)
    assert news(follower, *range(51, 101), history=True) == []


@pytest.mark.parametrize("history", [False, True])
def test_a_numbering_that_begins_anew_is_noticed_once(history: bool) -> None:
    follower = TradeFollower()
    news(follower, 100, 101)
    assert news(follower, 1, 2, 3, history=history) == [(None, 1), (0, 2), (0, 3)]
    assert news(follower, 4, 6) == [(0, 4), (1, 6)]


def test_the_same_number_with_another_content_is_another_trade() -> None:
    follower = TradeFollower()
    news(follower, 1, 2)
    assert follower.news([trade(2, qty="7.0")]) == [(2, trade(2, qty="7.0"))]
    assert follower.news([trade(2, qty="7.0"), trade(3)]) == [(None, trade(3))]


def test_a_hole_has_the_numbers_of_both_its_sides() -> None:
    follower = TradeFollower()
    assert follower.news([trade(7), trade(8), trade(12)]) == [(None, trade(7)), (None, trade(8)), (8, trade(12))]


@pytest.mark.parametrize("known", [(95, 96, 97), (70, 71, 100)])
@pytest.mark.parametrize("length", [1, 5, 50])
def test_numbers_that_began_anew_while_we_were_away_are_known_by_their_trades(
    known: tuple[int, ...], length: int
) -> None:
    """Even where the new numbers have come as far as the old ones."""
    follower = TradeFollower()
    news(follower, *known)
    last = known[-1]
    anew = [trade(number, history=True, qty="7.0") for number in range(last, last + length)]
    assert follower.news(anew) == [(last, anew[0])] + [(None, one) for one in anew[1:]]
    assert follower.start(HISTORY) == deque(anew)  # and the old ones are no history of theirs


def test_history_with_a_hole_where_our_last_trade_was_goes_on() -> None:
    follower = TradeFollower()
    news(follower, 10)
    assert news(follower, 8, 9, 11, 12, history=True) == [(0, 11), (0, 12)]


def test_history_that_is_older_than_what_we_know_is_no_news() -> None:
    follower = TradeFollower()
    news(follower, *range(1, 11))
    assert news(follower, 3, 4, 5, history=True) == []


def test_the_memory_of_trades_outlives_a_loss() -> None:
    follower = TradeFollower()
    news(follower, 1, 2)
    follower.reset()
    assert news(follower, 1, 2, 3, history=True) == [(0, 3)]


def test_history_is_for_those_who_ask_for_it() -> None:
    follower = TradeFollower()
    news(follower, *range(100))
    assert list(follower.start(Trades("BTC/USD"))) == []
    first = list(follower.start(HISTORY))
    assert first == [trade(number, history=True) for number in range(50, 100)]


def test_history_begins_after_the_last_hole() -> None:
    follower = TradeFollower()
    news(follower, 1, 2, 9, 10, 11)
    assert list(follower.start(HISTORY)) == [trade(number, history=True) for number in (9, 10, 11)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.booleans()), max_size=12))
def test_whatever_comes_again_every_trade_is_news_once_and_every_hole_is_told(
    batches: list[tuple[int, int, bool]],
) -> None:
    """An exchange that counts up, repeats itself, skips some, and tells history of any length."""
    follower, told = TradeFollower(), [1000]
    news(follower, 1000)
    for skipped, length, history in batches:
        if history:
            numbers = range(told[-1] - skipped, told[-1] + length)
        else:
            numbers = range(told[-1] + 1 + skipped, told[-1] + 1 + skipped + length)
        for missing, number in news(follower, told[-1], *numbers, numbers[-1], history=history):
            assert missing == number - told[-1] - 1
            told.append(number)
        assert told[-1] == numbers[-1]
    assert told == sorted(set(told))


# Ticker and candles


def ticker(last: int) -> TickerUpdate:
    one = Decimal(1)
    return TickerUpdate(symbol="BTC/USD", bid=one, bid_qty=one, ask=one, ask_qty=one, last=Decimal(last))


def candle(minute: int, close: int) -> Candle:
    one = Decimal(1)
    return Candle(
        symbol="BTC/USD",
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
    follower = LatestFollower()
    follower.see(ticker(1))
    follower.see(ticker(2))
    assert follower.start(Ticker("BTC/USD")) == [attrs.evolve(ticker(2), snapshot=True)]
    follower.reset()
    assert follower.start(Ticker("BTC/USD")) == []


def test_candles_start_with_the_latest_of_each_interval_in_order() -> None:
    follower = LatestFollower()
    for minute, close in ((1, 1), (2, 1), (2, 2), (1, 5), (3, 1)):
        follower.see(candle(minute, close))
    assert follower.start(Candles("BTC/USD")) == [
        attrs.evolve(candle(minute, close), snapshot=True) for minute, close in ((1, 5), (2, 2), (3, 1))
    ]


def test_the_oldest_candles_are_forgotten() -> None:
    follower = LatestFollower()
    for minute in range(1005):
        follower.see(candle(minute, 1))
    kept = follower.start(Candles("BTC/USD"))
    assert len(kept) == 1000
    assert kept[0] == attrs.evolve(candle(5, 1), snapshot=True)


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
    follower = InstrumentFollower()
    follower.see(reference(asset("BTC"), asset("USD"), pair("BTC/USD"), snapshot=True))
    follower.see(reference(asset("BTC", "disabled"), pair("ETH/USD")))
    follower.see(reference(pair("BTC/USD", "maintenance")))
    assert follower.start(Instruments()) == (
        reference(
            asset("BTC", "disabled"),
            asset("USD"),
            pair("BTC/USD", "maintenance"),
            pair("ETH/USD"),
            snapshot=True,
        ),
    )


def test_a_snapshot_of_reference_data_replaces_all() -> None:
    follower = InstrumentFollower()
    follower.see(reference(asset("BTC"), pair("BTC/USD")))
    follower.see(reference(asset("ETH"), snapshot=True))
    assert follower.start(Instruments()) == (reference(asset("ETH"), snapshot=True),)


def test_a_peer_cannot_fill_the_memory_with_reference_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "_REFERENCE_KEPT", 2)
    follower = InstrumentFollower()
    follower.see(reference(asset("A"), asset("B"), asset("C"), pair("A/B"), pair("B/C"), pair("C/D")))
    follower.see(reference(asset("B", "disabled"), pair("B/C", "maintenance")))  # what is known can still change
    assert follower.start(Instruments()) == (
        reference(asset("A"), asset("B", "disabled"), pair("A/B"), pair("B/C", "maintenance"), snapshot=True),
    )


def test_reference_data_was_heard_when_its_last_event_was_received() -> None:
    follower = InstrumentFollower()
    assert follower.heard == 0
    follower.see(InstrumentUpdate(assets=(), pairs=(), snapshot=True, received_ns=17))
    assert follower.heard == 17
    follower.reset()
    assert follower.heard == 0
