"""The exchange in Kraken's older protocol: its words, its arrays, its digits, its faults."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kraken_trio.requests import DEPTHS
from kraken_trio.testing import (
    DEFAULT_MARKETS,
    CorruptChecksum,
    CorruptLevel,
    CrossedBook,
    Drop,
    DropHow,
    DuplicateAck,
    EndSubscription,
    ExchangeCore,
    Fault,
    IgnoreRequests,
    Irregularity,
    IrregularSnapshot,
    IrregularUpdate,
    LateUpdates,
    Market,
    MarketSpec,
    Mute,
    OmitChecksum,
    OmitSnapshot,
    Recording,
    ReferenceBook,
    Refuse,
    SetStatus,
    Shape,
    SkipUpdate,
    StopHeartbeats,
    StopPushing,
    StrayError,
    Subscribed,
    UnknownChannel,
    UnknownField,
    UpdateBeforeSnapshot,
    UpdateIrregularity,
)
from kraken_trio.testing.exchange.actions import Send
from kraken_trio.testing.exchange.dialects.v1 import V1
from kraken_trio.testing.exchange.dialects.v2 import V2
from tests.testing.v1 import PlainBook, PlainClient, number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kraken_trio.testing.exchange.actions import Action

START_NS = 1_785_644_622_123_456_000
BOOK: Any = {"name": "book"}


class Talk:
    """A connection of v1 (number 1) and one of v2 (number 2) to the same exchange."""

    def __init__(self, *faults: Any, seed: int = 1, markets: Any = DEFAULT_MARKETS, **settings: Any) -> None:
        market = Market(markets, seed=seed, rate=0, start_ns=START_NS)
        self.core = ExchangeCore(market, now=0.0, epoch_ns=START_NS, faults=faults, **settings)
        self.now = 0.0
        self.client = PlainClient()
        self.v2: dict[str, ReferenceBook] = {}
        self.v2_trades: list[Any] = []
        for protocol in ("v1", "v2"):
            self.take(self.core.connect(0.0, protocol=protocol)[1])

    def take(self, actions: Iterable[Action]) -> list[Action]:
        actions = list(actions)
        for action in actions:
            if isinstance(action, Send) and action.connection == 1:
                self.client.take(action.text)
            elif isinstance(action, Send):
                self.take_v2(action.text)
        return actions

    def take_v2(self, text: str) -> None:
        frame = json.loads(text, parse_float=Decimal)
        if frame.get("channel") == "trade":
            self.v2_trades += frame["data"]
        if frame.get("channel") == "book":
            assert self.v2[frame["data"][0]["symbol"]].feed(text)

    def send(self, message: Any) -> list[Any]:
        """What is told in answer, without data."""
        before = len(self.client.events)
        self.take(self.core.receive(1, message if isinstance(message, str) else json.dumps(message), self.now))
        return self.client.events[before:]

    def ask(self, *pairs: Any, event: str = "subscribe", reqid: Any = None, **subscription: Any) -> list[Any]:
        message = {"event": event, "pair": list(pairs or ("XBT/USD",)), "subscription": subscription or BOOK}
        return self.send(message | ({} if reqid is None else {"reqid": reqid}))

    def ask_v2(self, **params: Any) -> None:
        self.take(self.core.receive(2, json.dumps({"method": "subscribe", "params": params}), self.now))

    def inject(self, fault: Fault) -> list[Action]:
        return self.take(self.core.inject(fault, self.now))

    def publish(self, updates: int = 1, symbol: Any = "BTC/USD") -> None:
        for _ in range(updates):
            self.now += 0.001
            self.take(self.core.publish(1, self.now, symbol))

    def top(self, symbol: str, depth: Any) -> Any:
        """The exchange's own book, as numbers: bids, asks."""
        market = self.core.market.symbols[symbol]
        pp, qp = market.spec.price_precision, market.spec.qty_precision
        return [
            [(Decimal(price).scaleb(-pp), Decimal(qty).scaleb(-qp)) for price, qty in side.top(depth)]
            for side in (market.book.bids, market.book.asks)
        ]


def pair_of(symbol: str) -> str:
    return symbol.replace("BTC", "XBT")


# Status, confirmations, refusals


def test_the_first_frame_is_the_status() -> None:
    (status,) = Talk().client.events
    assert 2**62 <= status.pop("connectionID") < 2**64
    assert status == {"event": "systemStatus", "status": "online", "version": "1.9.6"}


def test_one_answer_per_pair_then_the_data() -> None:
    talk = Talk()
    answers = talk.ask("XBT/USD", "NO/SUCH", "ETH/USD", reqid=7, name="book", depth=25)
    assert answers == [
        {
            "channelID": 336,
            "channelName": "book-25",
            "event": "subscriptionStatus",
            "pair": "XBT/USD",
            "reqid": 7,
            "status": "subscribed",
            "subscription": {"depth": 25, "name": "book"},
        },
        {
            "errorMessage": "Currency pair not supported NO/SUCH",
            "event": "subscriptionStatus",
            "pair": "NO/SUCH",
            "reqid": 7,
            "status": "error",
            "subscription": {"depth": 25, "name": "book"},
        },
        {
            "channelID": 352,
            "channelName": "book-25",
            "event": "subscriptionStatus",
            "pair": "ETH/USD",
            "reqid": 7,
            "status": "subscribed",
            "subscription": {"depth": 25, "name": "book"},
        },
    ]
    assert [(channel, pair, list(payloads[0])) for channel, pair, payloads in talk.client.data] == [
        ("book-25", "XBT/USD", ["as", "bs"]),
        ("book-25", "ETH/USD", ["as", "bs"]),
    ]
    assert talk.core.subscribed()[1] == {Subscribed("book", "BTC/USD", 25), Subscribed("book", "ETH/USD", 25)}


@pytest.mark.parametrize(
    ("subscription", "name", "number", "shown"),
    [
        ({"name": "book"}, "book-10", 336, {"depth": 10, "name": "book"}),
        ({"name": "book", "depth": 1000}, "book-1000", 336, {"depth": 1000, "name": "book"}),
        ({"name": "trade"}, "trade", 337, {"name": "trade"}),
        ({"name": "ticker"}, "ticker", 340, {"name": "ticker"}),
        ({"name": "spread"}, "spread", 341, {"name": "spread"}),
        ({"name": "ohlc"}, "ohlc-1", 343, {"interval": 1, "name": "ohlc"}),
        ({"name": "ohlc", "interval": 5}, "ohlc-5", 343, {"interval": 5, "name": "ohlc"}),
    ],
    ids=str,
)
def test_a_subscription_from_its_begin_to_its_end(subscription: Any, name: str, number: int, shown: Any) -> None:
    talk = Talk()
    status = {"channelID": number, "channelName": name, "event": "subscriptionStatus", "pair": "XBT/USD"}
    status |= {"subscription": shown}
    for _ in range(2):
        assert talk.ask(**subscription) == [status | {"status": "subscribed"}]
        (again,) = talk.ask(reqid=0, **subscription)
        assert (again["errorMessage"], again["status"], again["reqid"]) == ("Already subscribed", "error", 0)
        assert "channelID" not in again
        assert talk.ask(event="unsubscribe", **subscription) == [status | {"status": "unsubscribed"}]
        (absent,) = talk.ask(event="unsubscribe", **subscription)
        assert (absent["errorMessage"], absent["pair"]) == ("Subscription Not Found", "XBT/USD")
    assert talk.core.subscribed()[1] == frozenset()


@pytest.mark.parametrize(
    ("message", "error", "pair"),
    [
        ({"pair": ["BTC/USD"], "subscription": BOOK}, "Currency pair not supported BTC/USD", "BTC/USD"),
        ({"pair": ["TRX/BTC"], "subscription": BOOK}, "Currency pair not supported TRX/BTC", "TRX/BTC"),
        ({"pair": ["xbt/usd"], "subscription": BOOK}, "Currency pair not supported xbt/usd", "xbt/usd"),
        ({"pair": ["XBTUSD"], "subscription": BOOK}, "Currency pair not in ISO 4217-A3 format XBTUSD", "XBTUSD"),
        ({"pair": [7], "subscription": BOOK}, "Currency pair not in ISO 4217-A3 format 7", None),
        ({"pair": "XBT/USD", "subscription": BOOK}, "Pair field must be an array", None),
        ({"pair": [], "subscription": BOOK}, "Pair(s) not found", None),
        ({"subscription": BOOK}, "Pair(s) not found", None),
        ({"pair": ["XBT/USD"]}, "Subscription field must be an object", None),
        ({"pair": ["XBT/USD"], "subscription": "book"}, "Subscription field must be an object", None),
        ({"pair": ["XBT/USD"], "subscription": {"name": "weather"}}, "Subscription name invalid", None),
        ({"pair": ["XBT/USD"], "subscription": {"name": ["book"]}}, "Subscription name invalid", None),
        ({"pair": ["XBT/USD"], "subscription": BOOK | {"x": 1}}, "Subscription object unsupported field", None),
        ({"pair": ["XBT/USD"], "subscription": BOOK | {"depth": 42}}, "Subscription depth not supported", "XBT/USD"),
        (
            {"pair": ["XBT/USD"], "subscription": BOOK | {"depth": "10"}},
            "Subscription book depth must be an integer",
            None,
        ),
        (
            {"pair": ["XBT/USD"], "subscription": {"name": "ohlc", "interval": 2}},
            "Subscription ohlc interval not supported",
            "XBT/USD",
        ),
        (
            {"pair": ["XBT/USD"], "subscription": {"name": "ohlc", "interval": True}},
            "Subscription ohlc interval must be an integer",
            None,
        ),
        ({"subscription": {"name": "ownTrades"}}, "EAPI:Invalid token", None),
        ({"subscription": {"name": "openOrders", "token": "x"}}, "ESession:Invalid session", None),
    ],
    ids=str,
)
def test_refusals_in_kraken_s_words(message: Any, error: str, pair: Any) -> None:
    talk = Talk()
    (answer,) = talk.send({"event": "subscribe", "reqid": 3} | message)
    expected = {"errorMessage": error, "event": "subscriptionStatus", "reqid": 3, "status": "error"}
    assert answer.pop("pair", None) == pair
    subscription = answer.pop("subscription", None)
    assert isinstance(message.get("subscription"), dict) == (subscription is not None)
    assert "token" not in (subscription or {})
    assert answer == expected
    assert talk.core.subscribed()[1] == frozenset()


@pytest.mark.parametrize(
    "data",
    ["", "not json", "[]", "7", "{}", '{"event":"dance"}', '{"event":7}', "[" * 5000, '{"event":"ping","reqid":"x"}',
     '{"event":"ping","reqid":-1}', '{"method":"ping","req_id":3}'],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_what_makes_no_sense_is_an_error_event(data: str) -> None:
    assert Talk().send(data) == [{"errorMessage": "Malformed request", "event": "error"}]


def test_bytes_make_no_sense() -> None:
    talk = Talk()
    talk.take(talk.core.receive(1, b'{"event":"ping"}', 0.0))
    assert talk.client.events[1:] == [{"errorMessage": "Malformed request", "event": "error"}]


def test_a_ping() -> None:
    talk = Talk()
    assert talk.send({"event": "ping", "reqid": 42}) == [{"event": "pong", "reqid": 42}]
    assert talk.send({"event": "ping"}) == [{"event": "pong"}]


def test_heartbeats_while_something_is_subscribed() -> None:
    talk = Talk()
    talk.ask("XBT/USD")
    for second in (1.0, 2.0, 3.0):
        talk.take(talk.core.tick(second))
    assert [event["event"] for event in talk.client.events[2:]] == ["heartbeat"] * 3
    talk.now = 3.5
    talk.ask("XBT/USD", event="unsubscribe", **BOOK)
    talk.take(talk.core.tick(4.0))
    assert talk.client.events[-1]["status"] == "unsubscribed"


def test_depths_and_intervals_of_one_pair_stand_side_by_side() -> None:
    talk = Talk()
    for depth in DEPTHS:
        talk.ask(name="book", depth=depth)
    talk.ask(name="ohlc", interval=5)
    talk.ask(name="ohlc", interval=60)
    assert talk.core.subscribed()[1] == {
        *(Subscribed("book", "BTC/USD", depth) for depth in DEPTHS),
        *(Subscribed("ohlc", "BTC/USD", interval) for interval in (5, 60)),
    }
    talk.ask(event="unsubscribe", name="book", depth=25)
    assert Subscribed("book", "BTC/USD", 25) not in talk.core.subscribed()[1]
    before = talk.client.books["XBT/USD", 25].values()
    talk.publish(200)
    assert talk.client.books["XBT/USD", 25].values() == before
    for depth in set(DEPTHS) - {25}:
        assert talk.client.books["XBT/USD", depth].values() == talk.top("BTC/USD", depth)
    talk.core.disconnect(1)
    assert talk.core.market.symbols["BTC/USD"].book.watched == frozenset()


def test_a_recording_is_not_served() -> None:
    recording = Recording(['{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}'])
    talk = Talk(markets=(), recording=recording)
    (answer,) = talk.ask("XBT/USD", name="trade")
    assert answer["errorMessage"] == "Currency pair not supported XBT/USD"


# Data


ACTIVE = [attrs.evolve(spec, levels=min(spec.levels, 110)) for spec in DEFAULT_MARKETS if spec.weight]


@given(
    seed=st.integers(0, 2**32),
    spec=st.sampled_from(ACTIVE),
    depths=st.sets(st.sampled_from(DEPTHS), min_size=1, max_size=2),
)
def test_books_and_trades_equal_those_of_v2_by_value(seed: int, spec: MarketSpec, depths: set[int]) -> None:
    talk = Talk(seed=seed, markets=(spec,))
    symbol, pair = spec.symbol, pair_of(spec.symbol)
    talk.v2[symbol] = ReferenceBook(max(depths))
    talk.ask_v2(channel="book", symbol=[symbol], depth=max(depths))
    talk.ask_v2(channel="trade", symbol=[symbol])
    for depth in depths:
        talk.ask(pair, name="book", depth=depth)
    talk.ask(pair, name="trade")
    for _ in range(25):
        talk.publish(1, symbol)
        for depth in depths:
            values = talk.client.books[pair, depth].values()
            assert values == talk.top(symbol, depth)
            v2 = talk.v2[symbol].cut(depth)
            assert values == [[(number(p), number(q)) for p, q in side] for side in (v2.bids, v2.asks)]
    books = chain.from_iterable(talk.client.of(f"book-{depth}") for depth in depths)
    updates = [payloads for payloads in books if "as" not in payloads[0]]
    for payloads in updates:
        assert ["c" in payload for payload in payloads] == [False] * (len(payloads) - 1) + [True]
        assert [set(payload) - {"c"} for payload in payloads] in ([{"a"}], [{"b"}], [{"a"}, {"b"}])
    rows = list(chain.from_iterable(chain.from_iterable(talk.client.of("trade"))))
    assert [(Decimal(price), Decimal(qty), side, kind) for price, qty, _, side, kind, _ in rows] == [
        (trade["price"], trade["qty"], trade["side"][0], trade["ord_type"][0]) for trade in talk.v2_trades
    ]


@pytest.mark.parametrize(
    ("symbol", "price", "qty"),
    [("BTC/USD", 5, 8), ("BTC/JPY", 5, 8), ("XRP/USD", 5, 8), ("SHIB/USD", 8, 8), ("TRX/BTC", 10, 8)],
)
def test_prices_have_five_decimals_or_more_and_quantities_eight(symbol: str, price: int, qty: int) -> None:
    talk = Talk()
    talk.ask(pair_of(symbol))
    ((payload,),) = talk.client.of("book-10")
    decimals = {tuple(len(text.partition(".")[2]) for text in level[:3]) for level in payload["as"] + payload["bs"]}
    assert decimals == {(price, qty, 6)}


def test_a_level_that_comes_back_says_so_and_keeps_its_time() -> None:
    talk = Talk()
    talk.ask()
    times: dict[tuple[str, str], str] = {}
    again = 0
    for _ in range(300):
        talk.publish()
    for payloads in talk.client.of("book-10"):
        changes = [(key, level) for payload in payloads for key in payload if key != "c" for level in payload[key]]
        new = max(Decimal(level[2]) for _, level in changes)
        for key, (price, qty, time, *marks) in changes:
            if marks:
                assert marks == ["r"]
                assert Decimal(times.get((key, price), time)) <= Decimal(time) < new
                assert Decimal(qty)
                again += 1
            times[key, price] = time
    assert again > 20


def test_an_update_of_both_sides_has_five_elements() -> None:
    talk = Talk()
    talk.ask()
    talk.publish(200)
    assert {len(payloads) for payloads in talk.client.of("book-10")} == {1, 2}


def test_a_spread_is_the_best_of_the_book() -> None:
    talk = Talk()
    talk.ask(name="spread")
    talk.ask(name="book")
    seen = 0
    for _ in range(100):
        before = len(talk.client.of("spread"))
        talk.publish()
        bids, asks = talk.client.books["XBT/USD", 10].values()
        bid, ask, _, bid_qty, ask_qty = (Decimal(text) for text in talk.client.of("spread")[-1][0])
        assert ((bid, bid_qty), (ask, ask_qty)) == (bids[0], asks[0])
        seen += len(talk.client.of("spread")) - before
    assert 10 < seen < 100


def test_a_ticker() -> None:
    talk = Talk()
    talk.ask(name="ticker")
    talk.publish(100)
    first, *later = talk.client.of("ticker")
    assert later
    (payload,) = later[-1]
    tape, book = talk.core.market.symbols["BTC/USD"].tape, talk.top("BTC/USD", 1)
    assert list(payload) == ["a", "b", "c", "v", "p", "t", "l", "h", "o"]
    assert payload["t"] == [tape.count, tape.count]
    assert Decimal(payload["c"][0]) == Decimal(tape.last).scaleb(-1)
    assert payload["h"][0] == payload["h"][1] == f"{Decimal(tape.high).scaleb(-1):.5f}"
    assert all(type(payload[key][1]) is int and payload[key][1] == int(Decimal(payload[key][2])) for key in "ab")
    assert first != later[-1]
    assert book


def test_an_empty_side_is_zero() -> None:
    spec = MarketSpec(symbol="BTC/USD", price_precision=1, qty_precision=8, start_price="1.0", levels=0, history=0)
    talk = Talk(markets=(spec,))
    for name in ("ticker", "spread", "book", "ohlc"):
        talk.ask(name=name)
    ((ticker,),), ((spread,),), ((book,),) = (talk.client.of(name) for name in ("ticker", "spread", "book-10"))
    assert ticker["a"] == ticker["b"] == ["0.00000", 0, "0.00000000"]
    assert ticker["c"] == ["0.00000", "0.00000000"]
    assert spread[:2] + spread[3:] == ["0.00000", "0.00000", "0.00000000", "0.00000000"]
    assert book == {"as": [], "bs": []}
    assert talk.client.of("ohlc-1") == []


def test_candles_end_when_v2_s_begin_plus_their_interval() -> None:
    talk = Talk()
    talk.ask(name="ohlc", interval=5)
    talk.publish(50)
    rows = [payload for (payload,) in talk.client.of("ohlc-5")]
    assert len(rows) > 1
    tape = talk.core.market.symbols["BTC/USD"].tape
    candle = tape.candles[5][-1]
    changed, end, *prices, volume, count = rows[-1]
    assert Decimal(end) * 10**9 == candle.begin_ns + 5 * 60 * 10**9
    assert Decimal(changed) * 10**9 == tape.latest[-1].time_ns // 1000 * 1000
    assert [Decimal(p).scaleb(1) for p in prices] == [candle.open, candle.high, candle.low, candle.close, candle.vwap]
    assert Decimal(volume).scaleb(8) == candle.volume
    assert count == candle.trades


# Checksums


FIVE = MarketSpec(symbol="A/B", price_precision=5, qty_precision=8, start_price="1")
ONE = MarketSpec(symbol="A/B", price_precision=1, qty_precision=8, start_price="1")


def scaled(levels: Iterable[tuple[str, str]]) -> Any:
    return tuple((int(price.replace(".", "")), int(qty.replace(".", ""))) for price, qty in levels)


def test_kraken_s_worked_example_of_v1() -> None:
    asks = scaled([(f"0.0{price}", "0.00000500") for price in range(5005, 5055, 5)])
    bids = scaled([(f"0.0{price}", "0.00000500") for price in (5000, 4995, 4990, *range(4980, 4945, -5))])
    assert V1(()).checksum(FIVE, bids, asks) == 974947235


def test_kraken_s_worked_example_of_v2() -> None:
    asks = scaled(
        [("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"),
         ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"),
         ("45297.5", "0.09945542"), ("45299.5", "0.18772827")]
    )  # fmt: skip
    bids = scaled(
        [("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"),
         ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"),
         ("45277.3", "1.54602737"), ("45276.6", "0.15445238")]
    )  # fmt: skip
    assert V2().checksum(ONE, bids, asks) == 3310070434
    assert V1(()).checksum(ONE, bids, asks) != 3310070434


def test_fewer_than_ten_levels() -> None:
    asks = scaled([("62710.5", "0.93111634"), ("62710.6", "0.50000000"), ("62711.0", "1.20000000")])
    bids = scaled([("62710.4", "0.01000000"), ("62709.1", "2.00000000")])
    assert V2().checksum(ONE, bids, asks) == 1396696505
    assert V2().checksum(ONE, (), ()) == V1(()).checksum(ONE, (), ()) == 0


def test_v1_s_digits_give_the_checksums_of_real_frames(captures: Path) -> None:
    """The books are scaled to one decimal, as the exchange has them; the sums are of five, as Kraken sends them."""
    vectors = json.loads((captures / "more" / "v1_book_vectors.json").read_text())["vectors"]
    assert len(vectors) == 5
    for vector in vectors:
        book = PlainBook(10)
        if "book_before" in vector:
            before = vector["book_before"]
            book.sides = {"a": dict(before["asks"]), "b": dict(before["bids"])}
        book.take(vector["frame"][1:-2])  # which checks the frame's own
        bids, asks = (
            tuple((int(price.scaleb(1)), int(qty.scaleb(8))) for price, qty in side) for side in book.values()
        )
        assert V1(()).checksum(ONE, bids, asks) == vector["crc"]


# Faults


def sums_hold(talk: Talk, updates: int = 30) -> bool:
    """Whether all checksums of these updates hold."""
    try:
        talk.publish(updates)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("fault", "is_noticed"),
    [
        (CorruptChecksum(symbol="BTC/USD"), True),
        (CorruptLevel(symbol="BTC/USD"), True),
        (SkipUpdate(symbol="BTC/USD"), True),
        (CorruptChecksum(symbol="ETH/USD"), False),
        (CorruptChecksum(symbol="BTC/USD", connection=2), False),
        (CorruptChecksum(symbol="BTC/USD", snapshots=True), False),  # in v1 a snapshot has none
        *((IrregularUpdate(how=how, symbol="BTC/USD"), False) for how in UpdateIrregularity),
    ],
    ids=str,
)
def test_a_wrong_checksum_is_noticed_and_what_is_merely_odd_is_right(fault: Any, is_noticed: bool) -> None:
    talk = Talk(fault)
    talk.ask()
    assert sums_hold(talk) is not is_noticed
    assert bool(talk.core.journals[0].withheld) is is_noticed


def test_a_checksum_is_missing_once() -> None:
    talk = Talk(OmitChecksum(symbol="BTC/USD"))
    talk.ask()
    talk.publish(30)
    _, *updates = talk.client.of("book-10")
    assert ["c" in payloads[-1] for payloads in updates] == [False] + [True] * (len(updates) - 1)
    assert talk.client.books["XBT/USD", 10].values() == talk.top("BTC/USD", 10)


@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize("how", UpdateIrregularity)
def test_odd_updates_give_the_exchange_s_book(how: UpdateIrregularity, protocol: str) -> None:
    talk = Talk(IrregularUpdate(how=how, times=None))
    talk.v2["BTC/USD"] = ReferenceBook(10)
    if protocol == "v1":
        talk.ask()
    else:
        talk.ask_v2(channel="book", symbol=["BTC/USD"], depth=10)
    talk.publish(100)
    journal = talk.core.journals[0 if protocol == "v1" else 1]
    assert journal.sent_count > 20
    if protocol == "v2":
        book = talk.v2["BTC/USD"]
        sides = [[(Decimal(price), Decimal(qty)) for price, qty in side] for side in (book.bids, book.asks)]
        assert sides == talk.top("BTC/USD", 10)
        return
    assert talk.client.books["XBT/USD", 10].values() == talk.top("BTC/USD", 10)
    for payloads in talk.client.of("book-10")[1:]:
        levels = [level for payload in payloads for key in "ab" for level in payload.get(key, ())]
        if how is UpdateIrregularity.BOTH_SIDES:
            assert len(payloads) == 2
        elif how is UpdateIrregularity.REPEATED_PRICE:
            prices = [level[0] for level in levels]
            assert max(map(prices.count, prices)) >= 5
        else:
            assert any(level[3:] == ["r"] for level in levels)


def test_the_first_update_may_have_five_elements() -> None:
    talk = Talk(IrregularUpdate(how=UpdateIrregularity.BOTH_SIDES))
    talk.ask()
    talk.publish(20)
    assert len(talk.client.of("book-10")[1]) == 2
    assert not talk.core.armed


def test_without_a_level_for_it_an_odd_update_waits() -> None:
    spec = MarketSpec(symbol="BTC/USD", price_precision=1, qty_precision=8, start_price="64525.0", levels=0)
    for how, waits in [
        (UpdateIrregularity.BOTH_SIDES, True),
        (UpdateIrregularity.REPUBLISHED, True),
        (UpdateIrregularity.REPEATED_PRICE, False),
    ]:
        talk = Talk(IrregularUpdate(how=how), markets=(spec,))
        talk.ask()
        talk.take(talk.core.move("BTC/USD", "bid", 645250, 10**8, 1.0))
        assert bool(talk.core.armed) is waits
        assert talk.client.books["XBT/USD", 10].values() == talk.top("BTC/USD", 10)


@pytest.mark.parametrize("how", Irregularity)
def test_odd_snapshots_give_the_exchange_s_book(how: Irregularity) -> None:
    talk = Talk(IrregularSnapshot(how=how))
    talk.ask()
    assert not talk.core.armed
    ((payload,),) = talk.client.of("book-10")
    book = PlainBook(10)
    book.take([{"a": payload["as"]}, {"b": payload["bs"]}])
    assert book.values() == talk.top("BTC/USD", 10)


@pytest.mark.parametrize("is_consistent", [False, True])
def test_a_crossed_book(is_consistent: bool) -> None:
    talk = Talk()
    talk.ask()
    talk.inject(CrossedBook(symbol="BTC/USD", consistent=is_consistent))  # and its checksum fits
    bids, asks = talk.client.books["XBT/USD", 10].values()
    assert bids[0][0] > asks[0][0]
    assert sums_hold(talk) is is_consistent


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            Shape.WITH_SYMBOL,
            {
                "errorMessage": "No XBT/USD",
                "event": "subscriptionStatus",
                "pair": "XBT/USD",
                "reqid": 5,
                "status": "error",
                "subscription": {"depth": 10, "name": "book"},
            },
        ),
        (Shape.WITHOUT_SYMBOL, {"errorMessage": "No XBT/USD", "event": "error", "reqid": 5}),
        (Shape.IN_TEXT, {"errorMessage": "No XBT/USD", "event": "error", "reqid": 5}),
        (Shape.WHOLE, {"errorMessage": "No {symbol}", "event": "error", "reqid": 5}),
        (Shape.BARE, {"Error": "No {symbol}"}),
    ],
    ids=str,
)
def test_the_forms_of_a_refusal(shape: Shape, expected: Any) -> None:
    talk = Talk(Refuse(error="No {symbol}", shape=shape))
    assert talk.ask(reqid=5) == [expected]
    assert talk.ask(reqid=5)[0]["status"] == "subscribed"


def test_a_refusal_that_names_its_pair_at_the_end() -> None:
    talk = Talk(Refuse(error="Exceeded msg rate", shape=Shape.IN_TEXT))
    assert talk.ask() == [{"errorMessage": "Exceeded msg rate XBT/USD", "event": "error"}]


def test_an_unsubscribe_can_be_refused() -> None:
    talk = Talk(Refuse(method="unsubscribe"))
    talk.ask()
    (answer,) = talk.ask(event="unsubscribe", **BOOK)
    assert (answer["status"], answer["errorMessage"]) == ("error", "Exceeded msg rate")
    assert talk.core.subscribed()[1]


def test_an_answer_twice_and_none() -> None:
    talk = Talk(DuplicateAck(), IgnoreRequests())
    assert talk.ask() == []
    first, second = talk.ask()
    assert first == second


def test_an_unsubscribe_that_nobody_asked_for() -> None:
    talk = Talk()
    talk.ask(reqid=9, name="ohlc", interval=5)
    talk.inject(EndSubscription())
    assert talk.client.events[-1] == {
        "channelID": 343,
        "channelName": "ohlc-5",
        "event": "subscriptionStatus",
        "pair": "XBT/USD",
        "status": "unsubscribed",
        "subscription": {"interval": 5, "name": "ohlc"},
    }


def test_late_updates() -> None:
    talk = Talk(LateUpdates(updates=2))
    talk.ask()
    talk.ask(event="unsubscribe", **BOOK)
    talk.publish(50)
    assert len(talk.client.of("book-10")) == 3


@pytest.mark.parametrize("name", ["book", "trade", "ticker", "spread", "ohlc"])
def test_a_mute_subscription(name: str) -> None:
    talk = Talk(Mute())
    (status,) = talk.ask(name=name)
    talk.publish(50)
    assert status["status"] == "subscribed"
    assert talk.client.data == []


@pytest.mark.parametrize("fault", [OmitSnapshot(), UpdateBeforeSnapshot()], ids=str)
def test_updates_without_their_snapshot(fault: Fault) -> None:
    talk = Talk(fault)
    actions = talk.core.receive(1, json.dumps({"event": "subscribe", "pair": ["XBT/USD"], "subscription": BOOK}), 0.0)
    actions += talk.core.publish(20, 1.0, "BTC/USD")
    kinds = [list(json.loads(action.text)[1]) for action in actions[1:] if isinstance(action, Send)]
    assert "as" not in kinds[0]
    assert (["as", "bs"] in kinds) is isinstance(fault, UpdateBeforeSnapshot)


def test_silence() -> None:
    talk = Talk()
    talk.ask()
    talk.inject(StopHeartbeats())
    talk.take(talk.core.tick(1.0))
    assert talk.client.events[-1]["event"] == "subscriptionStatus"
    talk.inject(StopPushing(connection=1))
    before = len(talk.client.data)
    talk.publish(20)
    assert len(talk.client.data) == before
    assert talk.send({"event": "ping"}) == [{"event": "pong"}]


def test_what_is_pushed_without_being_asked_for() -> None:
    talk = Talk()
    talk.inject(SetStatus(system="maintenance", connection_id=False))
    assert talk.client.events[-1] == {"event": "systemStatus", "status": "maintenance", "version": "1.9.6"}
    actions = talk.inject(StrayError(error="Malformed request"))
    assert [json.loads(action.text) for action in actions if isinstance(action, Send)] == [
        {"errorMessage": "Malformed request", "event": "error"},
        {"Error": "Malformed request"},
    ]
    talk.inject(StrayError(connection=2))
    assert talk.client.events[-1] == {"errorMessage": "Malformed request", "event": "error"}
    talk.inject(UnknownChannel(channel="weather"))
    assert talk.client.data[-1][:2] == ("weather", "XBT/USD")
    talk.inject(Drop(how=DropHow.EOF, connection=1))
    assert 1 not in talk.core.connections


def test_unknown_fields() -> None:
    talk = Talk(UnknownField(times=None))
    talk.ask()
    talk.ask(name="ticker")
    talk.ask(name="trade")
    talk.publish(50)
    for channel, _, payloads in talk.client.data:
        assert ("x_unknown" in payloads[0]) is (channel != "trade")
    assert talk.client.of("trade")
