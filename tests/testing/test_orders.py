"""The orders of a market, and what Level 3 shows of them."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from kraken_trio.testing import Market
from kraken_trio.testing.exchange.budget import COSTS
from kraken_trio.testing.exchange.dialects import v2_frames as frames
from kraken_trio.testing.exchange.market import SymbolMarket
from kraken_trio.testing.exchange.orders import text_id
from kraken_trio.testing.exchange.server_book import scaled_text
from kraken_trio.testing.strategies import specs
from tests.testing.level3_reader import SIDES, Level3Reader, read

if TYPE_CHECKING:
    from kraken_trio.testing import MarketSpec

START_NS = 1_785_644_622 * 10**9


class Watched:
    """A market, and a Level 3 client of each depth."""

    def __init__(self, market: SymbolMarket, depths: tuple[int, ...] = tuple(COSTS)) -> None:
        self.market, self.spec = market, market.spec
        market.orders.watch(frozenset(depths))
        self.clients = {
            depth: Level3Reader(depth, self.spec.price_precision, self.spec.qty_precision) for depth in depths
        }
        for depth, client in self.clients.items():
            assert client.feed(self.snapshot(depth)) or depth < 10

    def snapshot(self, depth: int) -> str:
        orders = self.market.orders
        return frames.level3("snapshot", self.spec, orders.snapshot(depth), orders.checksum(), orders.now_ns)

    def take(self, update: Any) -> dict[int, str]:
        """Tell the clients of an update; their checksums must fit, if they hold the ten levels."""
        change, texts = update.orders, {}
        for depth, window in change.windows.items():
            texts[depth] = frames.level3("update", self.spec, window, change.checksum, change.time_ns)
            assert self.clients[depth].feed(texts[depth]) or depth < 10, texts[depth]
        return texts

    def check(self) -> None:
        """Every client has exactly the market's queues, and the price levels of its book."""
        pp, qp = self.spec.price_precision, self.spec.qty_precision
        for depth, client in self.clients.items():
            for name in SIDES:
                side = getattr(self.market.orders, name)
                queues = [
                    (scaled_text(abs(key), pp), [(o.order_id, scaled_text(o.qty, qp)) for o in side.queue(key)])
                    for key in side.levels.keys[:depth]
                ]
                assert [
                    (price, [(o["order_id"], o["order_qty"]) for o in queue]) for price, queue in client.levels(name)
                ] == queues
                assert client.quantities(name) == [
                    (scaled_text(price, pp), Decimal(scaled_text(qty, qp))) for price, qty in side.levels.top(depth)
                ]


@settings(max_examples=40)
@given(specs(), st.integers(0, 2**32), st.integers(1, 60))
def test_level3_shows_the_market_s_queues_at_every_depth(spec: MarketSpec, seed: int, steps: int) -> None:
    market = SymbolMarket(spec, seed, START_NS)
    watched = Watched(market, (2, 10, 1000))
    for number in range(steps):
        watched.take(market.step(START_NS + number * 10**6))
        watched.check()


@pytest.mark.parametrize("symbol", ["BTC/USD", "SHIB/USD", "GST/EUR"])
def test_level3_of_a_long_run(symbol: str) -> None:
    market = Market(seed=5, rate=0, start_ns=START_NS).symbols[symbol]
    watched = Watched(market, (10, 100))
    for number in range(1500):
        watched.take(market.step(START_NS + number * 10**6))
        if number % 50 == 0:
            watched.check()


def test_looking_at_a_market_changes_nothing() -> None:
    seen, unseen = (Market(seed=3, rate=0, start_ns=START_NS).symbols["BTC/USD"] for _ in range(2))
    watched = Watched(seen)
    for _ in range(300):
        one, other = seen.step(START_NS), unseen.step(START_NS)
        watched.take(one)
        assert (one.trades, one.book.checksum) == (other.trades, other.book.checksum)
    assert seen.orders.snapshot(1000) == unseen.orders.snapshot(1000)


def test_level3_shows_all_that_a_client_must_cope_with() -> None:
    market = Market(seed=2, rate=0, start_ns=START_NS).symbols["BTC/USD"]
    watched = Watched(market, (10,))
    seen: Counter[str] = Counter()
    born: dict[str, str] = {}
    previous: dict[str, str] = {}  # ids that the message before has deleted with their own timestamp
    for _ in range(4000):
        text = watched.take(market.step(START_NS)).get(10)
        if text is None:
            continue
        (data,) = read(text)["data"]
        gone: dict[str, str] = {}
        for name in SIDES:
            stamps = [(e["limit_price"], e["timestamp"]) for e in data[name] if e["event"] == "add"]
            for number, (price, at) in enumerate(stamps):
                seen["out of time order"] += any(p == price and later < at for p, later in stamps[number:])
            kinds = [e["event"] for e in data[name]]
            assert kinds == sorted(kinds, key=["delete", "add", "modify"].index)
            assert len({e["order_id"] for e in data[name]}) == len(kinds)
            for e in data[name]:
                order = e["order_id"]
                if e["event"] == "add":
                    seen["amended"] += order in previous and previous[order] != e["limit_price"]
                    born[order] = e["timestamp"]
                elif e["event"] == "modify":
                    seen["modify"] += 1
                elif Decimal(e["order_qty"]) == 0:
                    seen["filled"] += 1
                elif e["timestamp"] == born.get(order):
                    gone[order] = e["limit_price"]
                else:
                    seen["cancelled"] += 1
        for one, other in (("bids", "asks"), ("asks", "bids")):
            filled = any(Decimal(e["order_qty"]) == 0 for e in data[one] if e["event"] == "delete")
            seen["rest of a taker"] += filled and any(e["event"] == "add" for e in data[other])
        previous = gone
    wanted = ("out of time order", "amended", "modify", "filled", "cancelled", "rest of a taker")
    assert all(seen[what] for what in wanted), seen


def test_fills_take_the_first_of_the_queue() -> None:
    market = Market(seed=2, rate=0, start_ns=START_NS).symbols["ETH/USD"]
    filled = 0
    for _ in range(1500):
        before = {
            name: [o.order_id for key in side.levels.keys[:20] for o in side.queue(key)]
            for name, side in (("sell", market.orders.bids), ("buy", market.orders.asks))
        }
        was = {name: [o.qty for o in _front(market, name)] for name in before}
        update = market.step(START_NS)
        if not update.trades:
            continue
        taker = update.trades[0].side
        there = {o.order_id: o.qty for o in _front(market, taker)}
        for place, trade in enumerate(update.trades):
            name = before[taker][place]
            assert there.get(name, 0) == was[taker][place] - trade.qty
            filled += name not in there
            assert name not in there or place == len(update.trades) - 1
    assert filled > 50


def _front(market: SymbolMarket, taker: str) -> Any:
    side = market.orders.asks if taker == "buy" else market.orders.bids
    return [order for key in side.levels.keys[:20] for order in side.queue(key)]


@given(st.sets(st.integers(0, 2**80 - 1), max_size=50))
def test_ids_have_kraken_s_form_and_differ(numbers: set[int]) -> None:
    ids = {text_id("O", number) for number in numbers}
    assert len(ids) == len(numbers)
    assert all(re.fullmatch("O[A-Z2-7]{5}-[A-Z2-7]{5}-[A-Z2-7]{6}", name) for name in ids)


def test_orders_of_different_markets_have_different_ids() -> None:
    names: Counter[str] = Counter()
    for market in Market(seed=1, rate=0, start_ns=START_NS).symbols.values():
        for _ in range(30):
            market.step(START_NS)
        window = market.orders.snapshot(300)
        names.update(event.order_id for event in (*window.bids, *window.asks))
    assert max(names.values()) == 1


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [(1, 5, "1e-05"), (1000, 8, "1e-05"), (85, 6, "8.5e-05"), (1, 8, "1e-08"), (500000, 6, "5e-01")],
)
def test_exponent_text(value: int, precision: int, text: str) -> None:
    assert frames.exponent_text(value, precision) == text
    assert Decimal(text) == Decimal(value).scaleb(-precision)
