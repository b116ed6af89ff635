"""Frames of v1: what each becomes, and how what cannot be read fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio import Candle, OrderBook, OrderType, ProtocolError, Side, SpreadUpdate, TickerUpdate, Trade
from kraken_trio.events import BookSnapshot, BookUpdate, Level
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import (
    Ack,
    Data,
    Foreign,
    Heartbeat,
    Message,
    Method,
    Notice,
    Pong,
    Refusal,
    RefusalKind,
    Status,
    Unknown,
)
from kraken_trio.wire.tree import MAX_ENTRIES
from tests.wire.frames import FRAMES as FRAMES_OF_V2, RATE_LIMIT as RATE_LIMIT_OF_V2
from tests.wire.frames_v1 import (
    BOTH_SIDES,
    CANDLE,
    DATA,
    ERROR,
    FRAMES,
    HEARTBEAT,
    OWN_TRADES,
    PENDING,
    PONG,
    RATE_LIMIT,
    REFUSED,
    SNAPSHOT,
    SPREAD,
    STATUS,
    SUBSCRIBED,
    TICKER,
    TRADES,
    UNSUBSCRIBED,
    UPDATE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def decode(frame: str | bytes) -> Message:
    """The message, which is the same for text and bytes, and with or without a fast path."""
    codec = codec_for("v1")
    message = codec.decode(frame)
    text = frame if isinstance(frame, str) else frame.decode()
    for other in (text, text.encode(), f" {text}"):
        assert repr(codec_for("v1").decode(other)) == repr(message)
    return message


def counted(frame: str) -> Mapping[str, int]:
    codec = codec_for("v1")
    codec.decode(frame)
    return dict(codec.unknown)


def problem(frame: str) -> str:
    texts = []
    for written in (frame, f" {frame}", frame.encode()):
        with pytest.raises(ProtocolError) as caught:
            codec_for("v1").decode(written)
        texts.append(str(caught.value).partition("; the frame begins")[0])
    assert len(set(texts)) == 1
    return texts[0]


def at(year: int, month: int, day: int, hour: int, minute: int, second: int, micro: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


# Data


def test_a_snapshot_of_a_book() -> None:
    assert decode(SNAPSHOT) == Data(
        "book",
        (
            BookSnapshot(
                symbol="BTC/USD",
                bids=(Level("27119.90000", "12.94109952"), Level("27119.30000", "0.00368622")),
                asks=(Level("27120.00000", "4.28732553"),),
                timestamp=at(2023, 8, 30, 17, 8, 49, 1234),
            ),
        ),
    )


def test_an_empty_book() -> None:
    message = decode('[6304,{"as":[],"bs":[]},"book-25","PERP/EUR"]')
    assert message == Data("book", (BookSnapshot(symbol="PERP/EUR", bids=(), asks=()),))


def test_an_update_of_one_side_keeps_the_digits_and_the_order_of_the_wire() -> None:
    message = decode(UPDATE)
    assert message == Data(
        "book",
        (
            BookUpdate(
                symbol="BTC/USD",
                bids=(Level("27117.40000", "0.00000000"), Level("27116.80000", "0.14741986")),
                asks=(),
                checksum=3139033408,
                timestamp=at(2023, 8, 30, 17, 8, 50, 886651),
            ),
        ),
    )
    assert isinstance(message, Data)
    event: Any = message.events[0]
    assert event.bids[1].price_text == "27116.80000"


def test_an_update_of_both_sides_is_one_event() -> None:
    """Between its parts the book is crossed: bid 27136 against asks that are not removed yet."""
    assert decode(BOTH_SIDES) == Data(
        "book",
        (
            BookUpdate(
                symbol="BTC/USD",
                bids=(Level("27136.00000", "4.25513312"),),
                asks=(Level("27130.20000", "0.00028228"), Level("27130.20000", "0.00000000")),
                checksum=2366297588,
                timestamp=at(2023, 8, 30, 17, 11, 19, 753121),
            ),
        ),
    )


@pytest.mark.parametrize(
    "frame",
    [
        BOTH_SIDES.replace("]]},{", "]],"),
        BOTH_SIDES.replace('{"a"', '{},{"a"'),
        BOTH_SIDES.replace('"]]},{"b"', '"]],"b":[]},{"b"'),
    ],
    ids=["one object", "three objects", "an empty side"],
)
def test_the_parts_of_an_update_may_come_in_any_number_of_objects(frame: str) -> None:
    assert decode(frame) == decode(BOTH_SIDES)
    assert not counted(frame)


def test_the_parts_of_a_snapshot_may_come_in_two_objects() -> None:
    assert decode(SNAPSHOT.replace('"]],"bs"', '"]]},{"bs"')) == decode(SNAPSHOT)


@pytest.mark.parametrize("more", ["", ',"c":"0"'])
def test_an_update_of_nothing(more: str) -> None:
    checksum = 0 if more else None
    update = BookUpdate(symbol="BTC/USD", bids=(), asks=(), checksum=checksum)
    assert decode(f'[336,{{"a":[]{more}}},"book-10","XBT/USD"]') == Data("book", (update,))


def test_an_update_without_a_checksum() -> None:
    message = decode(UPDATE.replace(',"c":"3139033408"', ""))
    assert isinstance(message, Data)
    event = message.events[0]
    assert isinstance(event, BookUpdate)
    assert event.checksum is None


def test_levels_without_a_time() -> None:
    message = decode(UPDATE.replace("1693415330.886651", "0").replace("1693415325.036931", "0.000000"))
    assert isinstance(message, Data)
    event: Any = message.events[0]
    assert event.timestamp is None


def test_trades_have_no_numbers() -> None:
    first, second = (
        Trade(
            symbol="DOGE/BTC",
            side=side,
            price=Decimal(price),
            qty=Decimal(qty),
            ord_type=kind,
            trade_id=None,
            timestamp=at(2026, 9, 21, 14, 13, 21, micro),
        )
        for side, price, qty, kind, micro in (
            (Side.BUY, "60000.00000", "0.01000000", OrderType.LIMIT, 1),
            (Side.SELL, "60000.10000", "0.02000000", OrderType.MARKET, 2),
        )
    )
    assert decode(TRADES) == Data("trade", (first, second))
    assert repr(decode(TRADES)) == repr(Data("trade", (first, second)))  # the digits, too
    assert decode('[337,[],"trade","XBT/USD"]') == Data("trade", ())


def test_a_ticker_has_the_figures_of_24_hours_and_no_time() -> None:
    assert decode(TICKER) == Data(
        "ticker",
        (
            TickerUpdate(
                symbol="BTC/USD",
                bid=Decimal("29938.50000"),
                bid_qty=Decimal("0.08410000"),
                ask=Decimal("29938.60000"),
                ask_qty=Decimal("12.41074632"),
                last=Decimal("29938.60000"),
                volume=Decimal("5243.60824494"),
                vwap=Decimal("30272.79057"),
                low=Decimal("29328.60000"),
                high=Decimal("31869.30000"),
                trades=30832,
            ),
        ),
    )
    bare = decode('[340,{"a":["2.0",12,"1.0"],"b":["1.0",0,"3.0"]},"ticker","XBT/USD"]')
    one, two, three = map(Decimal, ("1.0", "2.0", "3.0"))
    assert bare == Data("ticker", (TickerUpdate(symbol="BTC/USD", bid=one, bid_qty=three, ask=two, ask_qty=one),))


def test_a_candle_begins_its_interval_before_its_end() -> None:
    assert decode(CANDLE) == Data(
        "ohlc",
        (
            Candle(
                symbol="BTC/USD",
                interval=5,
                interval_begin=at(2023, 1, 31, 23, 56, 0),
                open=Decimal("23135.00000"),
                high=Decimal("23135.40000"),
                low=Decimal("23134.00000"),
                close=Decimal("23135.30000"),
                vwap=Decimal("23135.13297"),
                volume=Decimal("0.39012812"),
                trades=7,
            ),
        ),
    )


def test_a_spread() -> None:
    assert decode(SPREAD) == Data(
        "spread",
        (
            SpreadUpdate(
                symbol="BTC/USD",
                bid=Decimal("31760.00000"),
                bid_qty=Decimal("0.02167307"),
                ask=Decimal("31760.10000"),
                ask_qty=Decimal("6.46761464"),
                timestamp=at(2022, 5, 31, 21, 19, 36, 197239),
            ),
        ),
    )


@pytest.mark.parametrize("frame", [TRADES, TICKER, CANDLE, SPREAD], ids=["trade", "ticker", "ohlc", "spread"])
def test_several_payloads_are_several_events(frame: str) -> None:
    once = decode(frame)
    assert isinstance(once, Data)
    end = frame.rindex(",", 0, frame.rindex(","))
    payload = frame[frame.index(",") : end]
    assert decode(frame[:end] + payload + frame[end:]) == Data(once.channel, once.events * 2)


@pytest.mark.parametrize("frame", DATA)
def test_the_client_marks_events(frame: str) -> None:
    for written in (frame, f" {frame}"):
        message = codec_for("v1").decode(written, epoch=3, received_ns=17)
        assert isinstance(message, Data)
        assert message.is_pushed
        assert {(event.epoch, event.received_ns) for event in message.events} == {(3, 17)}


# What fits no row


@pytest.mark.parametrize(
    ("frame", "what", "channel"),
    [
        ('[336,{"a":[]},"depth","XBT/USD"]', "channel depth", "depth"),
        ('[336,{"a":[]},"book","XBT/USD"]', "channel book", "book"),
        ('[336,{"a":[]},"book-","XBT/USD"]', "channel book-", "book-"),
        ('[336,{"a":[]},"book-0","XBT/USD"]', "channel book-0", "book-0"),
        ('[336,{"a":[]},"book-1234567","XBT/USD"]', "channel book-1234567", "book-1234567"),
        ('[336,{"a":[]},"book-\u0661","XBT/USD"]', "channel book-\u0661", "book-\u0661"),
        ('[336,[],"trade-10","XBT/USD"]', "channel trade-10", "trade-10"),
        ('[336,[],"\\u001b[2J","XBT/USD"]', "channel \\x1b[2J", "\\x1b[2J"),
        ("[]", "array []", None),
        ('[17470,"hb"]', "array [number, text]", None),
        ('["336",{},"book-10","XBT/USD"]', "array [text, object, text, text]", None),
        ('[true,{},"book-10","XBT/USD"]', "array [constant, object, text, text]", None),
        ('[336,{},5,"XBT/USD"]', "array [number, object, number, text]", None),
        ('[336,{},"book-10",null]', "array [number, object, text, constant]", None),
        ('[[],"openOrders",{}]', "array [array, text, object]", None),
        ('[5,"openOrders",{"sequence":1}]', "array [number, text, object]", None),
        ("[1,2,3,4,5,6,7,8,9]", f"array [{', '.join(['number'] * 8)}, ...]", None),
        ('[[],"allOrders",{"sequence":1}]', "channel allOrders", "allOrders"),
    ],
)
def test_what_has_no_row_is_unknown_and_counted(frame: str, what: str, channel: str | None) -> None:
    message = decode(frame)
    assert message == Unknown(what=what, channel=channel)
    assert message.is_pushed is (channel is not None)
    assert counted(frame) == {what: 1}


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (SNAPSHOT.replace('{"as"', '{"new":5,"as"'), "field book.new"),
        (UPDATE.replace('{"b"', '{"new":5,"b"'), "field book.new"),
        (UPDATE.replace('"r"', '"r",5'), "field book.b[4]"),
        (UPDATE.replace('"r"', '"x"'), "value book.flag"),
        (SNAPSHOT.replace('935623"', '935623","x"'), "value book.flag"),
        (TRADES.replace('"l",""', '"l","",100320028'), "field trade[6]"),
        (TICKER.replace('{"a"', '{"new":5,"a"'), "field ticker.new"),
        (CANDLE.replace(",7]", ",7,8]"), "field ohlc[9]"),
        (SPREAD.replace('464"', '464",5'), "field spread[5]"),
    ],
)
def test_additions_are_accepted_and_counted(frame: str, name: str) -> None:
    plain = {"book": (SNAPSHOT, UPDATE), "trad": (TRADES,), "tick": (TICKER,), "ohlc": (CANDLE,), "spre": (SPREAD,)}
    assert decode(frame) in [decode(one) for one in plain[name.partition(" ")[2][:4]]]
    assert counted(frame) == {name: 1}


def test_unknown_sides_and_types_of_trades_are_counted() -> None:
    frame = TRADES.replace('"b","l"', '"x","y"')
    message = decode(frame)
    assert isinstance(message, Data)
    trade = message.events[0]
    assert isinstance(trade, Trade)
    assert (trade.side, trade.ord_type) == (Side.UNKNOWN, OrderType.UNKNOWN)
    assert counted(frame) == {"value trade.side": 1, "value trade.ord_type": 1}


# What fits a row, and is not of its type


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ('[336,"book-10","XBT/USD"]', "an array of book without a payload"),
        ('[336,[],"book-10","XBT/USD"]', "Expected `object`, got `array` - at `$[1]`"),
        ('[336,{},"trade","XBT/USD"]', "Expected `array`, got `object` - at `$[1]`"),
        ('[336,{"b":5},"book-10","XBT/USD"]', "Expected `array`, got `int` - at `$[1].b`"),
        (BOTH_SIDES.replace('"4.25513312"', "4.25513312"), "Expected `str`, got `decimal` - at `$[2].b[0][1]`"),
        (UPDATE.replace('"3139033408"', "3139033408"), "Expected `str | null`, got `int` - at `$[1].c`"),
        (UPDATE.replace("3139033408", "4294967296"), "a number of 32 bits, in decimal digits - at `$.c`"),
        (UPDATE.replace("3139033408", "-1"), "a number of 32 bits"),
        (UPDATE.replace("3139033408", "\u0663"), "a number of 32 bits"),
        (UPDATE.replace("3139033408", "0" * 11), "a number of 32 bits"),
        (UPDATE.replace("1693415330.886651", "yesterday"), "not a time in seconds since 1970: yesterday"),
        (UPDATE.replace("1693415330.886651", "\u0661693415330.886651"), "not a time"),
        (UPDATE.replace("1693415330.886651", "169341533012.886651"), "not a time"),
        (UPDATE.replace("1693415330.886651", ".886651"), "not a time"),
        (UPDATE.replace("1693415330.886651", "-1.886651"), "not a time"),
        (BOTH_SIDES.replace(']]},{"b"', ']],"c":"1"},{"b"'), "a checksum before the last part of a book"),
        (SNAPSHOT.replace('"bs"', '"b"'), "a snapshot and an update of a book in one frame"),
        (BOTH_SIDES.replace('"b"', '"bs"'), "a snapshot and an update of a book in one frame"),
        (TRADES.replace(',"b","l",""', ""), "Expected `array` of at least length 6, got 3 - at `$[1][0]`"),
        (TRADES.replace("60000.00000", "60 000"), "not a number: 60 000"),
        (TRADES.replace("60000.00000", "NaN"), "not a number: NaN"),
        (TRADES.replace("60000.00000", "1e99"), "not a price or quantity: 1E+99"),
        (TICKER.replace("30832", '"30832"'), "Expected `int`, got `str` - at `$[1].t[1]`"),
        (TICKER.replace("30832", str(2**64)), "a whole number of more than 64 bits"),
        (TICKER.replace('"b":["29938.50000",0,"0.08410000"],', ""), "Object missing required field `b` - at `$[1]`"),
        (CANDLE.replace(",7]", "]"), "Expected `array` of at least length 9, got 8 - at `$[1]`"),
        (CANDLE.replace(",7]", f",{2**64}]"), "a whole number of more than 64 bits"),
        (SPREAD.replace('"0.02167307"', "null"), "Expected `str`, got `null` - at `$[1][3]`"),
        ("5", "neither an object nor an array"),
        ("null", "neither an object nor an array"),
        ("{", "Input data was truncated"),
        (UPDATE[:-1], "Input data was truncated"),
    ],
)
def test_what_is_malformed_says_where(frame: str, text: str) -> None:
    assert text in problem(frame)


@pytest.mark.parametrize("frame", [TRADES, TICKER, CANDLE, SPREAD], ids=["trade", "ticker", "ohlc", "spread"])
def test_a_frame_of_too_many_entries(frame: str) -> None:
    first, end = frame.index(",") + 1, frame.rindex(",", 0, frame.rindex(","))
    payload = frame[first:end]
    if frame is TRADES:
        payload = f"[{','.join([payload[1:-1]] * (MAX_ENTRIES // 2 + 1))}]"
        assert "at most 20000" in problem(frame[:first] + payload + frame[end:])
    else:
        assert "at most 20000" in problem(frame[:first] + ",".join([payload] * (MAX_ENTRIES + 1)) + frame[end:])


# Control


def test_control_frames() -> None:
    assert decode(HEARTBEAT) == Heartbeat()
    assert decode(PONG) == Pong(req_id=42)
    assert decode('{"event":"pong"}') == Pong(req_id=None)
    assert decode(STATUS) == Status(
        system="online",
        version="1.9.1",
        connection_id=13688620010177543517,
        notices=('{"event_id":101}', '"none"'),
    )
    assert decode('{"event":"systemStatus","status":"maintenance"}') == Status(system="maintenance")


def test_confirmations() -> None:
    ack = Ack(method=Method.SUBSCRIBE, channel="book", symbol="BTC/USD", req_id=7, depth=10)
    assert decode(SUBSCRIBED) == ack
    assert decode(UNSUBSCRIBED) == Ack(method=Method.UNSUBSCRIBE, channel="book", symbol="BTC/USD", req_id=7, depth=10)
    assert decode(
        '{"channelID":343,"channelName":"ohlc-5","event":"subscriptionStatus","pair":"XDG/EUR","status":"subscribed",'
        '"subscription":{"interval":5,"name":"ohlc"}}'
    ) == Ack(method=Method.SUBSCRIBE, channel="ohlc", symbol="DOGE/EUR", req_id=None, interval=5)
    # What may be missing
    assert decode('{"event":"subscriptionStatus","status":"subscribed","channelName":"book-10"}') == Ack(
        method=Method.SUBSCRIBE, channel="book", symbol=None, req_id=None
    )
    assert decode('{"event":"subscriptionStatus","status":"subscribed","subscription":5}') == Ack(
        method=Method.SUBSCRIBE, channel="", symbol=None, req_id=None
    )


@pytest.mark.parametrize(
    ("frame", "refusal"),
    [
        (
            REFUSED,
            Refusal(
                error="Subscription depth not supported",
                kind=RefusalKind.FINAL,
                symbol="BTC/USD",
                channel="book",
                req_id=7,
            ),
        ),
        (ERROR, Refusal(error="Malformed request", kind=RefusalKind.FINAL, req_id=42)),
        (RATE_LIMIT, Refusal(error="Exceeded msg rate", kind=RefusalKind.RATE_LIMITED)),
        (
            '{"event":"error","errorMessage":"Exceeded msg rate","reqid":42}',
            Refusal(error="Exceeded msg rate", kind=RefusalKind.RATE_LIMITED, req_id=42),
        ),
        (
            REFUSED.replace("Subscription depth not supported", "Exceeded msg rate"),
            Refusal(
                error="Exceeded msg rate", kind=RefusalKind.RATE_LIMITED, symbol="BTC/USD", channel="book", req_id=7
            ),
        ),
        (
            '{"event":"error","errorMessage":"Currency pair not supported XBT/FOO","reqid":42}',
            Refusal(
                error="Currency pair not supported XBT/FOO", kind=RefusalKind.FINAL, mentioned=("BTC/FOO",), req_id=42
            ),
        ),
        (
            '{"event":"error","errorMessage":"Pair(s) not found","pair":["XDG/USD"]}',
            Refusal(error="Pair(s) not found", kind=RefusalKind.FINAL, mentioned=("DOGE/USD",)),
        ),
        (
            '{"event":"error","message":"Already subscribed"}',
            Refusal(error="Already subscribed", kind=RefusalKind.ALREADY),
        ),
        ('{"event":"error"}', Refusal(error="the exchange gave no reason", kind=RefusalKind.FINAL)),
        (
            '{"event":"subscriptionStatus","status":"error","channelName":"trade","pair":"XBT/USD"}',
            Refusal(error="the exchange gave no reason", kind=RefusalKind.FINAL, symbol="BTC/USD", channel="trade"),
        ),
    ],
)
def test_refusals(frame: str, refusal: Refusal) -> None:
    assert decode(frame) == refusal


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        ("{}", "frame"),
        ('{"event":5}', "event 5"),
        ('{"event":"ping","reqid":42}', "event ping"),
        ('{"event":"addOrderStatus","status":"ok"}', "event addOrderStatus"),
        ('{"event":"systemStatus","status":5}', "systemStatus without status"),
        ('{"event":"subscriptionStatus","status":"ok"}', "value subscriptionStatus.status ok"),
        ('{"event":"subscriptionStatus","status":[]}', "value subscriptionStatus.status []"),
    ],
)
def test_unknown_objects(frame: str, what: str) -> None:
    message = decode(frame)
    assert isinstance(message, Unknown)
    assert message.what == what
    assert counted(frame) == {what: 1}


# Other protocols


@pytest.mark.parametrize("frame", [frame for frame in FRAMES_OF_V2 if frame != RATE_LIMIT_OF_V2])
def test_v2_is_recognised(frame: str) -> None:
    message = codec_for("v1").decode(frame)
    assert isinstance(message, Foreign)
    assert message.protocol == "v2"
    assert not message.is_pushed
    assert len(message.text) <= 200


def test_futures_and_plain_text_are_recognised() -> None:
    futures = '{"event":"info","version":1}'
    assert codec_for("v1").decode(futures) == Foreign(protocol="futures", text=futures)
    assert decode("CloudFlare WebSocket proxy restarting") == Notice(text="CloudFlare WebSocket proxy restarting")


@pytest.mark.parametrize("frame", FRAMES)
def test_no_frame_of_ours_is_another_protocols(frame: str) -> None:
    assert not isinstance(decode(frame), Foreign | Unknown)
    assert not counted(frame)


# Salvage


@pytest.mark.parametrize(
    ("frame", "about"),
    [
        (UPDATE.replace('"27117.40000"', "27117,4"), ("book", "BTC/USD")),
        (UPDATE.replace('"27117.40000"', "27117,4").encode(), ("book", "BTC/USD")),
        ("[" + "x" * 10_000 + ' , "trade" , "XDG/EUR" ] ', ("trade", "DOGE/EUR")),
        (CANDLE.replace("7]", "x]"), ("ohlc", "BTC/USD")),
        (UPDATE[:60], (None, None)),
        (SUBSCRIBED.replace("10", "1,0"), ("book", "BTC/USD")),
        (SUBSCRIBED[:70], ("book", None)),
        (PENDING.replace('"close":null', '"close":nil'), ("executions", None)),
        (OWN_TRADES.replace('"cost"', "cost").replace("[[", "[ [").encode(), ("executions", None)),
        ('{"channelName":"openOrders","event":x', ("executions", None)),
        ("", (None, None)),
        (b"\xff\xfe", (None, None)),
    ],
)
def test_salvage(frame: str | bytes, about: tuple[str | None, str | None]) -> None:
    assert codec_for("v1").guess_topic(frame) == about


# Real frames, and worked examples


def test_the_example_of_the_checksum_guide() -> None:
    """Kraken's own: ten levels a side, all of the same quantity."""
    asks = range(5005, 5055, 5)
    bids = (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)
    sides = {
        key: [[f"0.0{ticks}", "0.00000500", "1582905487.684110"] for ticks in side]
        for key, side in (("as", asks), ("bs", bids))
    }
    message = codec_for("v1").decode(json.dumps([0, sides, "book-10", "XBT/USD"]))
    assert isinstance(message, Data)
    (event,) = message.events
    assert isinstance(event, BookSnapshot)
    book = OrderBook(10)
    book.apply(event)
    assert (book.available, book.verified, book.checksum()) == (True, False, 974947235)


def test_recorded_books(captures: Path) -> None:
    """Among them a level that is republished, and an update of both sides with a price four times."""
    codec, checked = codec_for("v1"), 0
    vectors = json.loads((captures / "more" / "v1_book_vectors.json").read_text())
    for vector in vectors["vectors"]:
        message = codec.decode(json.dumps(vector["frame"]))
        assert isinstance(message, Data)
        (event,) = message.events
        assert isinstance(event, BookSnapshot | BookUpdate)
        book = OrderBook(vectors["depth"])
        if isinstance(event, BookUpdate):
            before = vector["book_before"]
            bids, asks = (tuple(Level(*level) for level in before[side]) for side in ("bids", "asks"))
            book.apply(BookSnapshot(symbol="BTC/USD", bids=bids, asks=asks))
        book.apply(event)
        assert book.checksum() == int(vector["crc"])
        assert book.verified is (event.checksum is not None)
        checked += 1
    assert checked == 5
    assert not codec.unknown


def test_recorded_frames(captures: Path) -> None:
    codec = codec_for("v1")
    for line in (captures / "more" / "v1_public_frames.jsonl").read_text().splitlines():
        if '"ping"' not in line:  # of the client
            assert not isinstance(codec.decode(line), Unknown | Foreign), line
    assert not codec.unknown
