"""What the exchange pushes: every public channel, and what this version does not know of them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import msgspec
import pytest

from kraken_trio import (
    BookSnapshot,
    BookUpdate,
    Candle,
    Level,
    OrderType,
    ProtocolError,
    Request,
    Side,
    TickerUpdate,
    Trade,
)
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Ack, Data, Empty, Heartbeat, Message, Method, Refusal, Status, Unknown
from kraken_trio.wire.v2.channels import CHANNELS, Channel, fast_path, fields_of, reader
from tests.wire.frames import BOOK_SNAPSHOT, BOOK_UPDATE, CANDLE, LISTS, TICKER, TRADE

if TYPE_CHECKING:
    from pathlib import Path


class ToyEvent(msgspec.Struct, frozen=True):
    channel: ClassVar[str] = "toy"
    symbol: str
    height: Decimal
    snapshot: bool = False
    epoch: int = 0
    received_ns: int = 0


@attrs.frozen
class Toy(Request[ToyEvent]):
    channel: ClassVar[str] = "toy"
    symbol: str
    size: int = 2


def decoded(frame: str | bytes) -> tuple[Message, dict[str, int]]:
    decoder = codec_for("v2")
    message = decoder.decode(frame, epoch=4, received_ns=1_700_000_000_000_000_000)
    return message, dict(decoder.unknown)


def events(frame: str | bytes) -> tuple[Any, ...]:
    message, unknown = decoded(frame)
    assert isinstance(message, Data)
    assert not unknown
    found: tuple[Any, ...] = message.events
    for event in found:
        assert (event.epoch, event.received_ns) == (4, 1_700_000_000_000_000_000)
    return tuple(msgspec.structs.replace(event, epoch=0, received_ns=0) for event in found)


# Each channel


def test_book_snapshot() -> None:
    assert events(BOOK_SNAPSHOT) == (
        BookSnapshot(
            symbol="BTC/USD",
            bids=(
                Level(Decimal("64525.0"), Decimal("0.53807066")),
                Level(Decimal("64524.2"), Decimal("0.03095975")),
            ),
            asks=(Level(Decimal("64525.1"), Decimal("0.01077490")),),
            checksum=2175437505,
            timestamp=datetime(2026, 7, 19, 17, 54, 39, 753424, tzinfo=UTC),
        ),
    )


def test_book_snapshots_of_2023_had_no_timestamp() -> None:
    (event,) = events(BOOK_SNAPSHOT.replace(',"timestamp":"2026-07-19T17:54:39.753424Z"', ""))
    assert event.timestamp is None


def test_book_update() -> None:
    assert events(BOOK_UPDATE) == (
        BookUpdate(
            symbol="BTC/USD",
            bids=(),
            asks=(Level(Decimal("64525.3"), Decimal(0)), Level(Decimal("64532.8"), Decimal("1.23479983"))),
            checksum=2175437505,
            timestamp=datetime(2026, 7, 19, 17, 54, 39, 784623, tzinfo=UTC),
        ),
    )


def test_trade() -> None:
    assert events(TRADE) == (
        Trade(
            symbol="BTC/USD",
            side=Side.BUY,
            price=Decimal("81011.5"),
            qty=Decimal("0.00123440"),
            ord_type=OrderType.LIMIT,
            trade_id=100320028,
            timestamp=datetime(2026, 5, 14, 15, 6, 9, 20392, tzinfo=UTC),
        ),
    )


def test_trades_come_in_batches_and_a_snapshot_may_hold_two_symbols() -> None:
    tree = json.loads(TRADE)
    tree["type"] = "snapshot"
    tree["data"] *= 3
    tree["data"][1] = {**tree["data"][1], "symbol": "ETH/USD", "side": "sell", "ord_type": "market"}
    first, second, third = events(json.dumps(tree))
    assert first == third
    assert first.snapshot
    assert (second.symbol, second.side, second.ord_type) == ("ETH/USD", Side.SELL, OrderType.MARKET)


def test_a_tiny_quantity_may_be_written_in_scientific_notation() -> None:
    (event,) = events(TRADE.replace("0.00123440", "5.1e-05"))
    assert event.qty == Decimal("0.000051")


def test_ticker() -> None:
    assert events(TICKER) == (
        TickerUpdate(
            symbol="USDT/USD",
            bid=Decimal("0.99980"),
            bid_qty=Decimal("44620.68691883"),
            ask=Decimal("0.99981"),
            ask_qty=Decimal("1087605.70466858"),
            last=Decimal("0.99981"),
            volume=Decimal("270638277.50461281"),
            vwap=Decimal("0.99983"),
            low=Decimal("0.99959"),
            high=Decimal("1.00000"),
            change=Decimal("0.00005"),
            change_pct=Decimal("0.01"),
            trades=38144,
            timestamp=datetime(2026, 9, 24, 3, 54, 18, 54886, tzinfo=UTC),
            snapshot=True,
        ),
    )


@pytest.mark.parametrize(
    "name",
    ["last", "volume", "vwap", "low", "high", "change", "change_pct", "trades", "timestamp"],
)
def test_what_older_captures_of_the_ticker_lack_is_none(name: str) -> None:
    tree = json.loads(TICKER, parse_float=str)
    del tree["data"][0][name]
    (event,) = events(json.dumps(tree))
    assert getattr(event, name) is None


def test_numbers_may_be_texts() -> None:
    # Kraken's older documentation called some of them strings.
    assert events(json.dumps(json.loads(TICKER, parse_float=str))) == events(TICKER)


def test_candle() -> None:
    assert events(CANDLE) == (
        Candle(
            symbol="BTC/USDT",
            interval=1,
            interval_begin=datetime(2026, 9, 10, 17, 35, tzinfo=UTC),
            open=Decimal("77499.9"),
            high=Decimal("77509.2"),
            low=Decimal("77467.5"),
            close=Decimal("77509.20"),
            volume=Decimal("0.58051276"),
            vwap=Decimal("77482.2"),
            trades=15,
        ),
    )


def test_heartbeat() -> None:
    assert decoded('{"channel":"heartbeat"}') == (Heartbeat(), {})


# How it is written


@pytest.mark.parametrize("frame", LISTS)
def test_the_order_of_keys_is_free(frame: str) -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return [reversed_keys(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(reversed_keys(json.loads(frame, parse_float=str)))
    assert events(text) == events(frame)


@pytest.mark.parametrize("frame", LISTS)
def test_text_and_bytes_are_the_same(frame: str) -> None:
    assert events(frame) == events(frame.encode())


@pytest.mark.parametrize("frame", LISTS)
def test_the_digits_of_the_wire_survive(frame: str) -> None:
    def numbers(value: Any) -> list[str]:
        if isinstance(value, Decimal):
            return [f"{value:f}"]
        if isinstance(value, Level):
            return numbers([value.price, value.qty])
        if isinstance(value, msgspec.Struct):
            return numbers([getattr(value, name) for name in value.__struct_fields__])
        return [text for item in value for text in numbers(item)] if isinstance(value, list | tuple) else []

    on_the_wire: list[str] = []
    json.loads(frame, parse_float=on_the_wire.append)
    assert sorted(numbers(events(frame))) == sorted(on_the_wire)


@pytest.mark.parametrize("number", ["1e999999999", "1e41", "1e-41", "9" * 41, '"NaN"', '"sNaN"', '"-Infinity"'])
def test_an_absurd_number_is_none(number: str) -> None:
    for frame, digits in ((TRADE, "0.00123440"), (TICKER, "44620.68691883"), (CANDLE, "0.58051276")):
        with pytest.raises(ProtocolError, match="not a price or quantity"):
            decoded(frame.replace(digits, number))


@pytest.mark.parametrize("frame", LISTS)
def test_a_timestamp_has_a_time_zone(frame: str) -> None:
    with pytest.raises(ProtocolError, match=r"time ?zone"):
        decoded(frame.replace('Z"', '"'))


@pytest.mark.parametrize("frame", LISTS)
def test_a_missing_field_is_refused(frame: str) -> None:
    with pytest.raises(ProtocolError, match="missing required field `symbol`"):
        decoded(frame.replace('"symbol"', '"name"'))


@pytest.mark.parametrize("data", ["null", "5", "{}", '"abc"', "[5]", "[[]]", "[null]"])
def test_data_is_a_list_of_objects(data: str) -> None:
    for channel, kind in product(["book", "trade", "ticker", "ohlc"], ["snapshot", "update"]):
        with pytest.raises(ProtocolError, match="Expected"):
            decoded(f'{{"channel":"{channel}","type":"{kind}","data":{data}}}')


@pytest.mark.parametrize("channel", ["book", "trade", "ticker", "ohlc"])
def test_data_may_be_empty(channel: str) -> None:
    assert events(f'{{"channel":"{channel}","type":"update","data":[]}}') == ()


def test_a_snapshot_of_a_book_has_a_checksum_of_32_bits_too() -> None:
    with pytest.raises(ProtocolError, match="4294967295"):
        decoded(BOOK_SNAPSHOT.replace("2175437505", "4294967296"))


# What is not known


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        ('{"channel":"futures"}', "channel futures"),
        ('{"channel":"level4","type":"update","data":[]}', "channel level4"),
        ('{"channel":"book","type":"delta","data":[]}', "type book.delta"),
        ('{"channel":"trade","data":[]}', "type trade.None"),
        ('{"channel":"ticker","type":["update"]}', "type ticker.['update']"),
        ('{"channel":5,"type":"update"}', "frame"),
        ('{"channel":null}', "frame"),
        ("{}", "frame"),
        ('{"Error":5}', "frame"),
        ('{"method":"add_order","success":true,"result":{}}', "method add_order"),
        ('{"method":["ping"],"success":true,"result":{}}', "method ['ping']"),
        ('{"channel":"status","type":"update"}', "status without system"),
        ('{"channel":"status","type":"update","data":[]}', "status without system"),
        ('{"channel":"status","type":"update","data":[5]}', "status without system"),
        ('{"channel":"status","type":"update","data":[{"version":"2.0.10"}]}', "status without system"),
        ('{"channel":"status","type":"update","data":[{"system":5}]}', "status without system"),
    ],
)
def test_what_is_not_known_is_counted_and_passes(frame: str, what: str) -> None:
    message, unknown = decoded(frame)
    assert isinstance(message, Unknown)
    assert (message.what, unknown) == (what, {what: 1})
    channel = json.loads(frame).get("channel")
    assert message.channel == (channel if isinstance(channel, str) else None)
    assert message.is_pushed == isinstance(channel, str)


@pytest.mark.parametrize("frame", LISTS)
def test_unknown_fields_are_counted_and_pass(frame: str) -> None:
    more = frame.replace('{"symbol"', '{"new":{"a":[1.5]},"symbol"').replace(',"data"', ',"sequence":7,"data"')
    message, unknown = decoded(more)
    channel = json.loads(frame)["channel"]
    assert unknown == {f"field {channel}.new": 1, f"field {channel}:sequence": 1}
    assert message == decoded(frame)[0]


def test_the_timestamps_of_candles_are_known_and_unused() -> None:
    _, unknown = decoded(CANDLE)
    assert not unknown


def test_a_timestamp_beside_the_data_is_known_of_candles_only() -> None:
    _, unknown = decoded(TRADE.replace(',"data"', ',"timestamp":"2026-09-10T17:35:52.114514810Z","data"'))
    assert unknown == {"field trade:timestamp": 1}


def test_unknown_values_are_counted_and_pass() -> None:
    message, unknown = decoded(TRADE.replace('"buy"', '"auction"').replace('"limit"', '"iceberg"'))
    assert isinstance(message, Data)
    event = message.events[0]
    assert isinstance(event, Trade)
    assert (event.side, event.ord_type) == (Side.UNKNOWN, OrderType.UNKNOWN)
    assert unknown == {"value trade.side": 1, "value trade.ord_type": 1}


@pytest.mark.parametrize("value", ["5", "null", "[]", "true"])
def test_a_side_is_a_text(value: str) -> None:
    with pytest.raises(ProtocolError, match="side"):
        decoded(TRADE.replace('"buy"', value))


def test_names_of_the_unknown_are_bounded_in_number() -> None:
    decoder = codec_for("v2")
    for number in range(1000):
        decoder.decode(f'{{"channel":"c{number}"}}')
    decoder.decode('{"channel":"c0"}')
    assert len(decoder.unknown) == 256 + 1
    assert decoder.unknown["channel c0"] == 2
    assert decoder.unknown["more"] == 1000 - 256
    assert sum(decoder.unknown.values()) == 1001


def test_names_of_the_unknown_are_printable_and_short() -> None:
    decoder = codec_for("v2")
    name = "\x1b[31m\u202e" + "x" * 10_000
    for tree in (
        {"channel": name},
        {"channel": "book", "type": name},
        {"channel": "book", "type": "update", "data": [], name: 1},
        {"channel": "instrument", "type": "update", "data": {name: 1}},
        {"method": name, "success": True, "result": {}},
    ):
        decoder.decode(json.dumps(tree))
    assert len(decoder.unknown) == 5
    for what in decoder.unknown:
        assert what.isprintable()
        assert len(what) < 100


# The rows


def test_every_row_is_found_by_its_name() -> None:
    assert {name: row.name for name, row in CHANNELS.items()} == {name: name for name in CHANNELS}
    assert {row.request.channel for row in CHANNELS.values()} == set(CHANNELS)


def test_a_toy_channel_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fast path or without; nothing else is told of it."""
    row = Channel(
        name="toy",
        request=Toy,
        read=reader(ToyEvent),
        fields=fields_of(ToyEvent),
        identity=lambda toy: {"size": toy.size},
    )
    data = '"data":[{"symbol":"BTC/USD","height":1.50}]'
    for fast in ((), (fast_path("toy", "update", ToyEvent),)):
        monkeypatch.setitem(CHANNELS, "toy", attrs.evolve(row, fast=fast))
        codec = codec_for("v2")
        assert "toy" in codec.channels
        for kind in ("snapshot", "update"):
            message = codec.decode(f'{{"channel":"toy","type":"{kind}",{data}}}', 3, 17)
            assert message == Data("toy", (ToyEvent("BTC/USD", Decimal("1.50"), kind == "snapshot", 3, 17),))  # type: ignore[arg-type]  # a toy is no event of ours
        assert codec.decode('{"channel":"toy","type":"snapshot","data":[]}') == Empty("toy")
        assert codec.decode(f'{{"channel":"toy","type":"update",{data},"new":1}}').is_pushed
        assert codec.unknown == {"field toy:new": 1}
        (text,) = codec.request(Method.SUBSCRIBE, [Toy("BTC/USD")], 7)
        assert json.loads(text)["params"] == {"channel": "toy", "symbol": ["BTC/USD"], "size": 2, "snapshot": True}


# Recordings


def test_recorded_frames_of_all_channels(captures: Path) -> None:
    decoder = codec_for("v2")
    lines = (captures / "v2_control_and_other_channels.jsonl").read_text().splitlines()
    messages = [decoder.decode(line) for line in lines]
    assert [Data if isinstance(message, Data) else type(message) for message in messages] == [
        Status,
        Ack,
        Data,
        Data,
        Refusal,
        Status,
        Ack,
        Refusal,
        Data,
        Refusal,
        Refusal,
        Data,
        Heartbeat,
    ]
    assert not decoder.unknown


def test_data_is_compared_by_content_however_it_was_decoded() -> None:
    fast, slow = codec_for("v2").decode(BOOK_UPDATE), codec_for("v2").decode(" " + BOOK_UPDATE)
    assert type(fast) is not type(slow)
    assert fast == slow
    assert (fast != slow) is False
    assert fast.__eq__(BOOK_UPDATE) is NotImplemented


def test_data_may_be_a_key() -> None:
    assert len({codec_for("v2").decode(BOOK_UPDATE), codec_for("v2").decode(" " + BOOK_UPDATE)}) == 1


@pytest.mark.parametrize("frame", [TRADE, TICKER, CANDLE])
def test_whole_numbers_have_64_bits(frame: str) -> None:
    """A difference of two giants could not even be printed."""
    name = next(name for name in ("trade_id", "interval", "trades") if f'"{name}":' in frame)
    for giant in ("9" * 30, "-" + "9" * 30, "9" * 4000):
        with pytest.raises(ProtocolError):
            decoded(re.sub(rf'"{name}":\d+', f'"{name}":{giant}', frame))
