"""Level 3 on the wire: frames in, by the short way and by the general one, and out again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kraken_trio import Level3, Level3Snapshot, Level3Update, OrderEvent, OrderEventKind, ProtocolError, RestingOrder
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Ack, Data, Method, Refusal, RefusalKind, Terms

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

T = "2026-10-01T10:00:00.000000001Z"
ORDER = f'"order_id":"O1","limit_price":6.1200,"order_qty":1e-05,"timestamp":"{T}"'


def frame(kind: str, orders: str, *, first: str = "", more: str = "") -> str:
    entry = f'{{{first}"checksum":7,"symbol":"DOT/USD","bids":[{orders}],"asks":[],"timestamp":"{T}"}}'
    return f'{{"channel":"level3","type":"{kind}","data":[{entry}]{more}}}'


SNAPSHOT = frame("snapshot", f"{{{ORDER}}}")
UPDATE = frame("update", f'{{"event":"add",{ORDER}}}')


def read(text: str) -> Any:
    message = codec_for("v2").decode(text, 3, 17)
    assert isinstance(message, Data)
    (event,) = message.events
    return event


def test_the_digits_of_the_wire_are_kept() -> None:
    event = read(UPDATE)
    assert event == Level3Update(
        symbol="DOT/USD",
        bids=(OrderEvent(OrderEventKind.ADD, "O1", "6.1200", "0.00001", T),),
        asks=(),
        checksum=7,
        timestamp_text=T,
        epoch=3,
        received_ns=17,
    )
    (one,) = event.bids
    assert (one.price_text, one.qty_text, str(one.price), str(one.qty)) == ("6.1200", "1e-05", "6.1200", "0.00001")
    assert (one.timestamp_ns, event.timestamp_ns) == (1790848800_000_000_001,) * 2
    assert one.timestamp == event.timestamp
    assert read(SNAPSHOT).bids == (RestingOrder("O1", "6.1200", "0.00001", T),)
    assert Level3Snapshot(symbol="DOT/USD", bids=(), asks=()).timestamp is None
    assert Level3Update(symbol="DOT/USD", bids=(), asks=()).timestamp_ns is None


@pytest.mark.parametrize("known", [SNAPSHOT, UPDATE], ids=["snapshot", "update"])
def test_what_is_new_is_counted_and_hurts_nobody(known: str) -> None:
    codec = codec_for("v2")
    text = known.replace('"order_id"', '"flag":true,"order_id"').replace('"checksum"', '"more":[1],"checksum"')
    assert codec.decode(text.replace('"data"', '"new":1,"data"'), 3, 17) == codec.decode(known, 3, 17)
    assert codec.unknown == {"field level3:new": 1, "field level3.more": 1, "field level3.bids.flag": 1}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param('"add"', '"replace"', id="unknown-event"),
        pytest.param('"event":"add",', "", id="no-event"),
        pytest.param('"O1"', '""', id="empty-id"),
        pytest.param('"O1"', '"' + "x" * 65 + '"', id="long-id"),
        pytest.param('"O1"', "7", id="no-id"),
        pytest.param(f'"{T}"}}', '"yesterday"}', id="no-time"),
        pytest.param('"order_qty":1e-05,', "", id="no-quantity"),
        pytest.param('"checksum":7', '"checksum":-1', id="checksum"),
    ],
)
def test_what_makes_no_sense_is_malformed(right: str, wrong: str) -> None:
    assert right in UPDATE
    with pytest.raises(ProtocolError, match="the frame begins"):
        read(UPDATE.replace(right, wrong, 1))


@pytest.mark.parametrize("text", [SNAPSHOT, UPDATE], ids=["snapshot", "update"])
def test_an_event_is_a_frame_again(text: str) -> None:
    event = read(text)
    assert read(codec_for("v2").data([event])) == event
    bare = type(event)(symbol="DOT/USD", bids=(), asks=(), epoch=3, received_ns=17)
    assert read(codec_for("v2").data([bare])) == bare


def test_why_an_order_is_gone_is_not_on_the_wire() -> None:
    for kind in OrderEventKind:
        event = Level3Update(symbol="DOT/USD", bids=(), asks=(OrderEvent(kind, "O1", "1.0", "0.0", T),))
        written = kind if kind in {OrderEventKind.ADD, OrderEventKind.MODIFY} else OrderEventKind.DELETE
        assert read(codec_for("v2").data([event])).asks[0].kind is written


def test_recorded_frames(captures: Path) -> None:
    codec = codec_for("v2")
    lines = (captures / "more" / "v2_level3_frames.jsonl").read_text().splitlines()
    ack, snapshot, update = (codec.decode(line) for line in lines)
    assert ack == Ack(method=Method.SUBSCRIBE, channel="level3", symbol="BTC/USD", req_id=99)
    assert isinstance(snapshot, Data)
    assert isinstance(update, Data)
    assert isinstance(snapshot.events[0], Level3Snapshot)
    assert isinstance(update.events[0], Level3Update)
    assert update.events[0].timestamp_ns == snapshot.events[0].timestamp_ns
    assert not codec.unknown


def test_a_refused_snapshot_names_its_symbol_in_its_text() -> None:
    text = "Rate limit for snapshot requests exceeded, when trying to subscribe to DOT/USD level3 snapshot"
    answer = {"channel": "level3", "error": text, "method": "subscribe", "status": "error", "success": False}
    assert codec_for("v2").decode(json.dumps(answer)) == Refusal(
        error=text, kind=RefusalKind.LATER, mentioned=("DOT/USD",), channel="level3", method="subscribe"
    )


def test_what_kraken_demands() -> None:
    codec = codec_for("v2")
    assert [codec.terms(Level3("DOT/USD", depth)) for depth in (10, 100, 1000)] == [
        Terms(is_alone=True, cost=cost, max_symbols=200) for cost in (5, 25, 100)
    ]


def test_who_plays_the_exchange_confirms_without_a_token() -> None:
    answer = json.loads(codec_for("v2").confirmation(Method.SUBSCRIBE, Level3("DOT/USD"), 7)[0])
    assert answer["result"] == {"channel": "level3", "depth": 10, "symbol": "DOT/USD"}
