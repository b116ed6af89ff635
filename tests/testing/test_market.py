"""The seeded market, and what each depth gets to see of it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from kraken_trio.requests import DEPTHS
from kraken_trio.testing import DEFAULT_MARKETS, Market, MarketSpec, ReferenceBook
from kraken_trio.testing.exchange.dialects import v2_frames as frames
from kraken_trio.testing.exchange.server_book import ASK, BID, DepthChange, ServerBook, scaled_text
from kraken_trio.testing.reference_book import parse_frame
from kraken_trio.testing.strategies import book_histories

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.events import Level
    from kraken_trio.testing.exchange.market import MarketUpdate, SymbolMarket
    from kraken_trio.testing.strategies import BookHistory

START_NS = 1_785_644_622 * 10**9


def snapshot_frame(market: SymbolMarket, depth: Any) -> Any:
    top = DepthChange(tuple(market.book.bids.top(depth)), tuple(market.book.asks.top(depth)))
    return frames.book("snapshot", market.spec, top, market.book.checksum(), market.time_ns)


def server_levels(market: SymbolMarket, depth: Any) -> Any:
    spec = market.spec
    return tuple(
        [
            (scaled_text(price, spec.price_precision), scaled_text(qty, spec.qty_precision))
            for price, qty in side.top(depth)
        ]
        for side in (market.book.bids, market.book.asks)
    )


@pytest.mark.parametrize("seed", range(2))
def test_a_plain_client_always_has_exactly_the_exchanges_top(seed: int) -> None:
    market = Market(seed=seed, rate=0, start_ns=START_NS)
    clients: dict[tuple[str, int], ReferenceBook] = {}
    for symbol, one in market.symbols.items():
        one.book.watch(frozenset(DEPTHS))
        for depth in DEPTHS:
            client = clients[symbol, depth] = ReferenceBook(depth)
            assert client.feed(snapshot_frame(one, depth))
    seen: Counter[Any] = Counter()
    for number in range(250):
        (update,) = market.burst(1, START_NS + number * 10**7)
        one = market.symbols[update.symbol]
        assert not one.book.crossed
        for watched, window in update.book.windows.items():
            client = clients[update.symbol, watched]
            frame = frames.book("update", one.spec, window, update.book.checksum, update.time_ns)
            assert client.feed(frame), f"checksum of {update.symbol} at {watched}: {frame}"
            seen[watched] += 1
        for depth in DEPTHS:
            if depth <= 100 or number % 20 == 0:
                assert clients[update.symbol, depth].same_levels(*server_levels(one, depth)), (update, depth)
    assert min(seen.values()) > 60


@given(
    st.integers(1, 6),
    st.lists(st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=8)),
)
def test_the_window_rules_hold_for_any_sequence_of_changes(depth: Any, messages: Any) -> None:
    book = ServerBook()
    book.watch(frozenset({depth}))
    whole, eager = ReferenceBook(depth), ReferenceBook(depth)
    for message in messages:
        for is_bid, gap, qty in message:
            book.put(BID if is_bid else ASK, 100 - gap if is_bid else 100 + gap, qty)
        window = book.commit().windows.get(depth, DepthChange((), ()))
        bids, asks = ([(str(price), str(qty)) for price, qty in side] for side in (window.bids, window.asks))
        whole.apply(bids=bids, asks=asks)
        for level in bids:  # a client that cuts after every level
            eager.apply(bids=[level])
        for level in asks:
            eager.apply(asks=[level])
        top = [[(str(price), str(qty)) for price, qty in side.top(depth)] for side in (book.bids, book.asks)]
        assert whole.same_levels(*top)
        assert eager.same_levels(*top)
        assert whole.bids == top[0]
        assert whole.asks == top[1]


def test_a_level_pushed_out_and_gone_within_one_message_does_not_come_back() -> None:
    book = ServerBook(asks={10: 1, 20: 2, 30: 3})
    book.watch(frozenset({2}))
    client = ReferenceBook(2, asks=[("10", "1"), ("20", "2")])
    book.put(ASK, 5, 9)  # pushes 20 out
    book.put(ASK, 20, 0)  # outside the window by now
    book.put(ASK, 5, 0)  # 30 comes in
    client.apply(asks=[(str(price), str(qty)) for price, qty in book.commit().windows[2].asks])
    assert client.asks == [("10", "1"), ("30", "3")]


def test_the_entering_level_follows_the_removal() -> None:
    book = ServerBook(bids={10: 1, 9: 2, 8: 3})
    book.watch(frozenset({2}))
    book.put(BID, 10, 0)
    assert book.commit().windows[2] == DepthChange(((10, 0), (8, 3)), ())


def test_nothing_is_said_of_what_is_behind_the_window() -> None:
    book = ServerBook(bids={10: 1, 9: 2, 8: 3})
    book.watch(frozenset({2}))
    book.put(BID, 8, 7)
    change = book.commit()
    assert change.windows == {}
    assert not change.best_changed


def test_the_same_seed_is_the_same_market_and_another_is_not() -> None:
    one, same, other = (Market(seed=seed, rate=100, start_ns=START_NS) for seed in (7, 7, 8))
    assert list(one.step(START_NS + 5 * 10**9)) == list(same.step(START_NS + 5 * 10**9))
    assert one.symbols["BTC/USD"].book.bids.qty == same.symbols["BTC/USD"].book.bids.qty
    assert one.symbols["BTC/USD"].book.bids.qty != other.symbols["BTC/USD"].book.bids.qty


def test_a_symbol_more_does_not_change_the_others() -> None:
    few = Market(DEFAULT_MARKETS[:1], seed=1, start_ns=START_NS)
    many = Market(DEFAULT_MARKETS, seed=1, start_ns=START_NS)
    for _ in range(50):
        assert list(few.burst(1, START_NS, "BTC/USD")) == list(many.burst(1, START_NS, "BTC/USD"))


def test_the_rate_is_about_what_was_asked_for() -> None:
    market = Market(seed=1, rate=200, start_ns=START_NS)
    assert 7_000 < len(list(market.step(START_NS + 50 * 10**9))) < 13_000


def test_trades_take_from_the_book_what_they_print() -> None:
    market = Market(seed=2, rate=0, start_ns=START_NS)
    btc = market.symbols["BTC/USD"]
    trades, last_id = 0, btc.tape.next_id - 1
    for _ in range(500):
        before = {side: dict(side.qty) for side in (btc.book.bids, btc.book.asks)}
        (update,) = market.burst(1, START_NS, "BTC/USD")
        taken: Counter[Any] = Counter()
        for trade in update.trades:
            taken[trade.side, trade.price] += trade.qty
            assert trade.trade_id == last_id + 1
            last_id, trades = trade.trade_id, trades + 1
        for (taker, price), qty in taken.items():
            side, other = (btc.book.asks, btc.book.bids) if taker == "buy" else (btc.book.bids, btc.book.asks)
            key = side.sign * price
            left_over = other.qty.get(-key)  # of a taker that has emptied the level
            assert left_over is None or key not in side.qty
            assert side.qty.get(key, 0) == before[side][key] - qty
    assert trades > 30


def test_a_market_shows_all_that_a_client_must_cope_with() -> None:
    market = Market(seed=3, rate=300, start_ns=START_NS)
    for one in market.symbols.values():
        one.book.watch(frozenset({10}))
    seen: Counter[Any] = Counter()
    instants: Counter[Any] = Counter()
    for update in market.step(START_NS + 60 * 10**9):
        instants[update.symbol, update.time_ns // 10**6] += 1
        for window in update.book.windows.values():
            for side in (window.bids, window.asks):
                seen["same price twice"] += len({price for price, _ in side}) < len(side)
                seen["18 digits"] += any(qty >= 10**17 for _, qty in side)
            seen["both sides"] += bool(window.bids and window.asks)
        thin = market.symbols["GST/EUR"].book
        seen["thin"] += len(thin.bids.keys) < 10
    assert all(seen[what] for what in ("same price twice", "18 digits", "both sides", "thin")), seen
    assert max(instants.values()) >= 12


def test_candles_and_ticker_come_from_the_trades() -> None:
    market = Market(seed=4, rate=0, start_ns=START_NS).symbols["ETH/USD"]
    tape = market.tape
    before = tape.count
    trades = [trade for number in range(300) for trade in market.step(START_NS + number * 10**9).trades]
    assert tape.count == before + len(trades)
    day = tape.candles[1440][-1]
    assert tape.last == trades[-1].price == day.close
    assert day.low <= day.vwap <= day.high
    ticker = parse_frame(frames.ticker("update", market))["data"][0]
    assert ticker["last"] == scaled_text(tape.last, 2)
    assert ticker["bid"] == scaled_text(-market.book.bids.keys[0], 2)
    begins = [candle.begin_ns for candle in tape.candles[1]]
    assert begins == sorted(set(begins))
    assert any(later - earlier > 60 * 10**9 for earlier, later in pairwise(begins))


def test_numbers_have_exactly_the_markets_digits() -> None:
    for market in Market(seed=5, rate=0, start_ns=START_NS).symbols.values():
        spec = market.spec
        for level in parse_frame(snapshot_frame(market, 25))["data"][0]["bids"]:
            for text, precision in ((level["price"], spec.price_precision), (level["qty"], spec.qty_precision)):
                assert len(text.partition(".")[2]) == precision


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [(5, 2, "0.05"), (1234, 8, "0.00001234"), (7, 0, "7"), (100, 2, "1.00"), (-5, 5, "-0.00005"), (0, 3, "0.000")],
)
def test_scaled_text(value: int, precision: int, text: str) -> None:
    assert scaled_text(value, precision) == text


def test_a_start_price_with_too_many_decimals_is_refused() -> None:
    with pytest.raises(ValueError, match="decimals"):
        Market([MarketSpec(symbol="A/B", price_precision=1, qty_precision=1, start_price="1.25")])


def test_crossing_stays_until_it_is_taken_back() -> None:
    market = Market(seed=6, rate=0, start_ns=START_NS).symbols["BTC/USD"]
    market.book.watch(frozenset({10}))
    client = ReferenceBook(10)
    client.feed(snapshot_frame(market, 10))

    def feed(update: MarketUpdate) -> Any:
        window = update.book.windows.get(10)
        return window is None or client.feed(
            frames.book("update", market.spec, window, update.book.checksum, update.time_ns)
        )

    assert feed(market.cross(START_NS))
    for _ in range(200):
        assert client.crossed
        assert feed(market.step(START_NS))
    assert feed(market.uncross(START_NS))
    assert not client.crossed


@given(book_histories())
def test_histories_lead_where_they_say(history: BookHistory) -> None:
    book = ReferenceBook(history.depth)

    def texts(levels: Iterable[Level]) -> list[tuple[str, str]]:
        return [(format(level.price, "f"), format(level.qty, "f")) for level in levels]

    book.load(bids=texts(history.snapshot.bids), asks=texts(history.snapshot.asks))
    assert book.checksum() == history.snapshot.checksum
    for update in history.updates:
        book.apply(bids=texts(update.bids), asks=texts(update.asks))
        assert book.checksum() == update.checksum
        assert not book.crossed
    assert (tuple(book.bids), tuple(book.asks)) == history.final
