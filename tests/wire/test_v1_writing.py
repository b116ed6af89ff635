"""The frames of v1 that we write: requests, key for key; and events, which decoded again are the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from kraken_trio import (
    Balances,
    Book,
    Candle,
    Candles,
    Executions,
    Instruments,
    InstrumentUpdate,
    OrderType,
    Side,
    Spread,
    SpreadUpdate,
    Ticker,
    TickerUpdate,
    Trade,
    Trades,
)
from kraken_trio.events import BookSnapshot, BookUpdate, Level
from kraken_trio.requests import INTERVALS
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Ack, Data, Method
from tests.wire.frames_v1 import BOTH_SIDES, DATA, SPREAD, SUBSCRIBED, TRADES, UNSUBSCRIBED

if TYPE_CHECKING:
    from kraken_trio import Request
    from kraken_trio.wire.messages import DataEvent

# Requests


@pytest.mark.parametrize(
    ("asked", "pairs", "subscription"),
    [
        ([Book("BTC/USD"), Book("ETH/USD")], ["XBT/USD", "ETH/USD"], {"name": "book", "depth": 10}),
        ([Book("ETH/BTC", depth=1000)], ["ETH/XBT"], {"name": "book", "depth": 1000}),
        ([Trades("DOGE/USD"), Trades("DOGE/BTC", snapshot=True)], ["XDG/USD", "XDG/XBT"], {"name": "trade"}),
        ([Ticker("XBT/USD")], ["XBT/USD"], {"name": "ticker"}),
        ([Candles("A/B", interval=15)], ["A/B"], {"name": "ohlc", "interval": 15}),
        ([Candles("A/B")], ["A/B"], {"name": "ohlc", "interval": 1}),
        ([Spread("BTCX/USD")], ["BTCX/USD"], {"name": "spread"}),
    ],
)
@pytest.mark.parametrize("method", list(Method))
def test_requests(asked: list[Request], pairs: list[str], subscription: dict[str, object], method: Method) -> None:
    assert [json.loads(frame) for frame in codec_for("v1").request(method, asked, 17)] == [
        {"event": method.value, "reqid": 17, "pair": pairs, "subscription": subscription}
    ]


def test_they_are_one_line_each() -> None:
    codec = codec_for("v1")
    assert codec.request(Method.SUBSCRIBE, [Book("BTC/USD"), Book("ETH/USD")], 7) == [
        '{"event":"subscribe","reqid":7,"pair":["XBT/USD","ETH/USD"],"subscription":{"name":"book","depth":10}}'
    ]
    assert codec.ping(42) == '{"event":"ping","reqid":42}'
    assert json.loads(codec.ping(2**64 - 1))["reqid"] == 2**64 - 1


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(
    "asked",
    [Book("BTC/USD", 25), Trades("BTC/USD"), Ticker("BTC/USD"), Candles("DOGE/USD", 15), Spread("A/B")],
    ids=lambda asked: str(asked.channel),
)
def test_confirmations(asked: Request, method: Method) -> None:
    codec = codec_for("v1")
    assert codec.decode(codec.confirmation(method, asked, 17)[0]) == Ack(
        method=method,
        channel=asked.channel or "",
        symbol=asked.symbol,
        req_id=17,
        depth=25 if isinstance(asked, Book) else None,
        interval=15 if isinstance(asked, Candles) else None,
    )


def test_confirmations_are_written_as_kraken_writes_them() -> None:
    codec = codec_for("v1")
    for method, frame in ((Method.SUBSCRIBE, SUBSCRIBED), (Method.UNSUBSCRIBE, UNSUBSCRIBED)):
        written = json.loads(codec.confirmation(method, Book("BTC/USD"), 7)[0])
        assert written | {"channelID": 336} == json.loads(frame)


# What each protocol cannot serve


@pytest.mark.parametrize(
    ("protocol", "asked", "text"),
    [
        ("v2", Spread("BTC/USD"), "Ticker('BTC/USD', trigger=\"bbo\")"),
        ("v1", Ticker("BTC/USD", trigger="bbo"), "Spread('BTC/USD')"),
        ("v1", Instruments(), "open_client(PUBLIC_V2)"),
        ("v1", Balances(), "open_client(PRIVATE_V2)"),
    ],
)
def test_a_request_that_is_of_another_protocol_says_what_to_ask_for(protocol: str, asked: Request, text: str) -> None:
    objection = codec_for(protocol).objection(asked)
    assert objection is not None
    assert text in objection
    assert f"protocol {protocol} " in objection
    assert codec_for("v1" if protocol == "v2" else "v2").objection(asked) is None


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_what_both_have_is_served_by_both(protocol: str) -> None:
    for asked in (Book("A/B"), Trades("A/B"), Ticker("A/B"), Candles("A/B"), Executions()):
        assert codec_for(protocol).objection(asked) is None
        assert asked.channel in codec_for(protocol).channels


# Events

_digits = (
    st.decimals(0, 10**9, places=8, allow_nan=False) | st.decimals(0, 10**20, places=0) | st.just(Decimal("1E-10"))
)
_times = st.integers(1, 4 * 10**15).map(lambda micro: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro))
_symbols = st.sampled_from(["BTC/USD", "ETH/BTC", "DOGE/BTC", "A.B-C/USDT", "AAPLx/USD"])
_counts = st.integers(0, 2**64 - 1)
_levels = st.lists(st.builds(Level, _digits, _digits), max_size=12).map(tuple)


@st.composite
def _books(draw: st.DrawFn) -> list[DataEvent]:
    kind = BookSnapshot if draw(st.booleans()) else BookUpdate
    bids, asks = draw(_levels), draw(_levels)
    when = draw(st.none() | _times) if bids or asks else None
    checksum = draw(st.none() | st.integers(0, 2**32 - 1))
    return [kind(symbol=draw(_symbols), bids=bids, asks=asks, checksum=checksum, timestamp=when)]


def _several(events: st.SearchStrategy[Any]) -> st.SearchStrategy[list[DataEvent]]:
    """Events of one symbol and interval, as a frame has them."""

    def alike(drawn: list[Any], symbol: str, interval: int) -> list[Any]:
        more = {"symbol": symbol} | ({"interval": interval} if isinstance(drawn[0], Candle) else {})
        return [msgspec.structs.replace(event, **more) for event in drawn]

    return st.builds(alike, st.lists(events, min_size=1, max_size=3), _symbols, st.sampled_from(INTERVALS))


_trades = st.builds(
    Trade, symbol=_symbols, side=st.sampled_from(Side), price=_digits, qty=_digits,
    ord_type=st.sampled_from(OrderType), trade_id=st.none(), timestamp=_times,
    snapshot=st.just(False), epoch=st.just(0), received_ns=st.just(0),
)  # fmt: skip
_tickers = st.builds(
    TickerUpdate, symbol=_symbols, bid=_digits, bid_qty=_digits, ask=_digits, ask_qty=_digits,
    last=st.none() | _digits, volume=st.none() | _digits, vwap=st.none() | _digits, low=st.none() | _digits,
    high=st.none() | _digits, change=st.none(), change_pct=st.none(), trades=st.none() | _counts, timestamp=st.none(),
    snapshot=st.just(False), epoch=st.just(0), received_ns=st.just(0),
)  # fmt: skip
_candles = st.builds(
    Candle, symbol=_symbols, interval=st.just(1), interval_begin=_times, open=_digits, high=_digits, low=_digits,
    close=_digits, volume=_digits, vwap=_digits, trades=_counts, snapshot=st.just(False), epoch=st.just(0),
    received_ns=st.just(0),
)  # fmt: skip
_spreads = st.builds(
    SpreadUpdate, symbol=_symbols, bid=_digits, bid_qty=_digits, ask=_digits, ask_qty=_digits, timestamp=_times,
    snapshot=st.just(False), epoch=st.just(0), received_ns=st.just(0),
)  # fmt: skip


@given(_books() | st.one_of(*map(_several, (_trades, _tickers, _candles, _spreads))))
def test_events_written_and_decoded_again_are_the_same(events: list[DataEvent]) -> None:
    codec = codec_for("v1")
    message = codec.decode(codec.data(events))
    assert message == Data(events[0].channel, tuple(events))
    assert not {name for name in codec.unknown if not name.startswith("value trade.")}


@pytest.mark.parametrize("frame", DATA)
def test_data_written_again_are_the_same_digit_for_digit(frame: str) -> None:
    codec = codec_for("v1")
    message = codec.decode(frame)
    assert isinstance(message, Data)
    again = codec.decode(codec.data(message.events))
    assert (again, repr(again)) == (message, repr(message))


@pytest.mark.parametrize("frame", [TRADES, SPREAD], ids=["trade", "spread"])
def test_they_are_written_as_kraken_writes_them(frame: str) -> None:
    codec = codec_for("v1")
    message = codec.decode(frame)
    assert isinstance(message, Data)
    assert json.loads(codec.data(message.events))[1:] == json.loads(frame)[1:]


def test_an_update_of_both_sides_is_written_with_five_elements() -> None:
    codec = codec_for("v1")
    message = codec.decode(BOTH_SIDES)
    assert isinstance(message, Data)
    written = json.loads(codec.data(message.events))
    assert [sorted(part) for part in written[1:-2]] == [["a"], ["b", "c"]]
    assert written[-2:] == ["book-10", "XBT/USD"]


@pytest.mark.parametrize(("levels", "depth"), [(0, 10), (10, 10), (11, 25), (501, 1000), (1001, 1000)])
def test_a_book_is_written_with_the_smallest_depth_that_fits(levels: int, depth: int) -> None:
    asks = (Level("1.0", "1.0"),) * levels
    written = codec_for("v1").data([BookSnapshot(symbol="A/B", bids=(), asks=asks)])
    assert json.loads(written)[-2] == f"book-{depth}"


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([BookUpdate(symbol="A/B", bids=(), asks=())] * 2, "one event of a book"),
        ([BookUpdate(symbol=name, bids=(), asks=()) for name in ("A/B", "A/C")], "one channel, symbol and interval"),
        ([InstrumentUpdate(assets=(), pairs=())], "no frame for InstrumentUpdate"),
    ],
)
def test_what_one_frame_cannot_hold_is_refused(events: list[DataEvent], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        codec_for("v1").data(events)
