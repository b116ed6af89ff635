"""The exchange without I/O: its words, its order, its clock."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from kraken_trio.testing import (
    DropHow,
    EndSubscription,
    ExchangeCore,
    Market,
    MarketSpec,
    Recording,
    ReferenceBook,
    Subscribed,
    read_frames,
)
from kraken_trio.testing.exchange.actions import End, Send
from kraken_trio.testing.strategies import frames as any_frames

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kraken_trio.testing.exchange.actions import Action

START_NS = 1_785_644_622 * 10**9


class Talk:
    """One connection to a core, and a clock that is told what time it is."""

    def __init__(self, **settings: Any) -> None:
        recording = settings.get("recording")
        market = Market(
            () if recording else settings.pop("markets", SMALL),
            seed=1,
            rate=settings.pop("rate", 0),
            start_ns=START_NS,
        )
        self.core = ExchangeCore(market, now=100.0, epoch_ns=START_NS, **settings)
        self.now = 100.0
        self.number, actions = self.core.connect(self.now)
        self.first = self.texts(actions)

    def texts(self, actions: Iterable[Action]) -> list[dict[str, Any]]:
        return [json.loads(action.text) for action in actions if isinstance(action, Send)]

    def ask(self, method: str, req_id: int | None = None, **params: Any) -> list[dict[str, Any]]:
        message: dict[str, Any] = {"method": method, "params": params}
        if req_id is not None:
            message["req_id"] = req_id
        return self.texts(self.core.receive(self.number, json.dumps(message), self.now))

    def tick(self, now: float) -> Any:
        """Let time pass, as a shell would."""
        self.now = now
        out = []
        while (deadline := self.core.deadline) is not None and deadline <= now:
            out += self.core.tick(max(deadline, 100.0))
        return out


SMALL = (
    MarketSpec(symbol="BTC/USD", price_precision=1, qty_precision=8, start_price="64525.0", levels=60),
    MarketSpec(symbol="ETH/USD", price_precision=2, qty_precision=8, start_price="1877.30", levels=60),
)


def test_the_first_frame_is_the_status_and_nothing_else() -> None:
    talk = Talk()
    (status,) = talk.first
    assert status["channel"] == "status"
    assert status["data"][0]["system"] == "online"
    assert 2**62 <= status["data"][0]["connection_id"] < 2**64
    assert not [action for action in talk.tick(159.0) if isinstance(action, Send)]


def test_one_answer_per_symbol_then_the_snapshots() -> None:
    answers = Talk().ask("subscribe", 17, channel="book", symbol=["BTC/USD", "NO/SUCH", "ETH/USD"], depth=25)
    assert [answer.get("success") for answer in answers] == [True, False, True, None, None]
    assert {answer["req_id"] for answer in answers[:3]} == {17}
    assert answers[0]["result"] == {"channel": "book", "depth": 25, "snapshot": True, "symbol": "BTC/USD"}
    assert "result" not in answers[1]
    assert answers[1]["error"] == "Currency pair not supported NO/SUCH"
    assert answers[1]["symbol"] == "NO/SUCH"
    assert [answer["data"][0]["symbol"] for answer in answers[3:]] == ["BTC/USD", "ETH/USD"]
    assert all(len(answer["data"][0]["bids"]) == 25 for answer in answers[3:])
    assert answers[0]["time_in"] == "2026-08-02T04:23:42.000000Z" < answers[0]["time_out"]


@pytest.mark.parametrize(
    ("params", "error", "symbol"),
    [
        ({"channel": "book", "symbol": ["BTC/USD"], "depth": 27}, "Subscription depth not supported", None),
        ({"channel": "book", "symbol": ["BTC/USD"], "depth": "10"}, "Subscription depth not supported", None),
        ({"channel": "book", "symbol": ["BTC/USD"], "depth": True}, "Subscription depth not supported", None),
        ({"channel": "book", "symbol": "BTC/USD"}, "Symbol field must be an array", None),
        ({"channel": "book"}, "Symbol(s) not found", None),
        ({"channel": "book", "symbol": []}, "Symbol(s) not found", None),
        ({"channel": "book", "symbol": ["XBT/USD"]}, "Currency pair not supported XBT/USD", "XBT/USD"),
        ({"channel": "book", "symbol": ["btc/usd"]}, "Currency pair not supported btc/usd", "btc/usd"),
        ({"channel": "book", "symbol": ["XBTUSD"]}, "Currency pair not in ISO 4217-A3 format XBTUSD", "XBTUSD"),
        ({"channel": "book", "symbol": [7]}, "Currency pair not in ISO 4217-A3 format 7", None),
        ({"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 2}, "Subscription ohlc interval not supported", None),
        ({"channel": "weather", "symbol": ["BTC/USD"]}, "Subscription name invalid", None),
        ({"channel": None}, "Subscription name invalid", None),
        ({"channel": "status"}, "Symbol(s) not found", None),
        ({"channel": "instrument", "symbol": ["BTC/USD"]}, "Unsupported field: 'symbol'", None),
        ({"channel": "level3", "symbol": ["BTC/USD"]}, "Token(s) not found", None),
        ({"channel": "level3", "symbol": ["BTC/USD"], "token": "x"}, "EAPI:Invalid token", None),
        ({"channel": "book", "symbol": ["BTC/USD"], "snapshot": 1}, "Malformed request", None),
    ],
)
def test_refusals_in_kraken_s_words(params: dict[str, Any], error: Any, symbol: Any) -> None:
    talk = Talk()
    (answer,) = talk.ask("subscribe", 3, **params)
    assert answer["error"] == error
    assert answer["success"] is False
    assert answer["method"] == "subscribe"
    assert answer["req_id"] == 3
    assert answer.get("symbol") == symbol
    assert "result" not in answer
    assert talk.core.subscribed() == {1: frozenset()}


@pytest.mark.parametrize(
    "data",
    ["", "not json", "[]", "7", "null", "{}", b"{}", '{"method":"dance"}', '{"method":7}', "[" * 5000, "1" * 5000,
     '{"method":"subscribe"}', '{"method":"ping","req_id":"x"}', '{"method":"ping","req_id":-1}'],
    ids=repr,
)  # fmt: skip
def test_what_makes_no_sense_is_a_malformed_request(data: Any) -> None:
    talk = Talk()
    (answer,) = talk.texts(talk.core.receive(1, data, talk.now))
    assert answer["error"] == "Malformed request"
    assert answer["success"] is False


@given(any_frames())
def test_no_message_of_a_client_raises(data: Any) -> None:
    talk = Talk()
    talk.core.receive(1, data, talk.now)
    assert talk.core.requests[-1].data == data


def test_ping() -> None:
    talk = Talk()
    (pong,) = talk.texts(talk.core.receive(1, '{"method":"ping","req_id":18446744073709551615}', talk.now))
    assert pong.pop("time_in") < pong.pop("time_out")
    assert pong == {"method": "pong", "req_id": 2**64 - 1}


def test_second_subscriptions_are_refused() -> None:
    talk = Talk()
    talk.ask("subscribe", channel="book", symbol=["BTC/USD"], depth=10)
    talk.ask("subscribe", channel="ohlc", symbol=["BTC/USD"], interval=5)
    seconds: list[tuple[dict[str, Any], str]] = [
        ({"channel": "book", "depth": 10}, "Already subscribed"),
        ({"channel": "book", "depth": 25}, "Already subscribed"),
        ({"channel": "ohlc", "interval": 5}, "Already subscribed"),
        ({"channel": "ohlc", "interval": 15}, "Already subscribed to one ohlc interval on this symbol"),
    ]
    for params, error in seconds:
        (answer,) = talk.ask("subscribe", symbol=["BTC/USD"], **params)
        assert (answer["error"], answer["symbol"]) == (error, "BTC/USD")
    assert talk.core.subscribed() == {1: {Subscribed("book", "BTC/USD", 10), Subscribed("ohlc", "BTC/USD", 5)}}


def test_unsubscribing() -> None:
    talk = Talk()
    talk.ask("subscribe", channel="book", symbol=["BTC/USD"], depth=25)
    (wrong,) = talk.ask("unsubscribe", 4, channel="book", symbol=["BTC/USD"], depth=10)
    assert (wrong["error"], wrong["method"], wrong["req_id"]) == ("Subscription Not Found", "subscribe", 4)
    (done,) = talk.ask("unsubscribe", 5, channel="book", symbol=["BTC/USD"], depth=25)
    assert done["success"] is True
    assert done["method"] == "unsubscribe"
    assert done["result"] == {"channel": "book", "depth": 25, "symbol": "BTC/USD"}
    (again,) = talk.ask("unsubscribe", channel="book", symbol=["BTC/USD"], depth=25)
    assert again["error"] == "Subscription Not Found"
    assert not talk.core.publish(20, talk.now)


def test_a_snapshot_is_skipped_if_unsubscribed_before_it_went_out() -> None:
    talk = Talk(snapshot_delay=0.1)
    kinds = []
    for _ in range(3):
        kinds += talk.ask("subscribe", channel="book", symbol=["BTC/USD"])
        kinds += talk.ask("unsubscribe", channel="book", symbol=["BTC/USD"])
    kinds += talk.ask("subscribe", channel="book", symbol=["BTC/USD"])
    kinds += talk.texts(talk.core.publish(20, talk.now))
    assert [kind["method"] for kind in kinds] == ["subscribe", "unsubscribe"] * 3 + ["subscribe"]
    later = talk.texts(talk.tick(100.2))
    assert [frame["type"] for frame in later] == ["snapshot"]


def test_updates_come_after_the_snapshot_and_not_without_it() -> None:
    talk = Talk()
    frames = talk.ask("subscribe", channel="book", symbol=["BTC/USD"], snapshot=False)
    assert len(frames) == 1
    assert talk.texts(talk.core.publish(20, talk.now, "BTC/USD"))[0]["type"] == "update"


def test_the_other_channels() -> None:
    talk = Talk()
    _, ticker = talk.ask("subscribe", channel="ticker", symbol=["BTC/USD"])
    (acked,) = talk.ask("subscribe", channel="trade", symbol=["BTC/USD"])
    ack, candles = talk.ask("subscribe", channel="ohlc", symbol=["BTC/USD"])
    ack_instrument, instruments = talk.ask("subscribe", channel="instrument")
    assert ticker["type"] == "snapshot"
    assert acked["result"] == {"channel": "trade", "snapshot": False, "symbol": "BTC/USD"}
    assert ack["result"]["warnings"] == ["timestamp is deprecated, use interval_begin"]
    assert candles["data"][0]["interval_begin"].endswith("00.000000000Z")
    assert ack_instrument["result"]["channel"] == "instrument"
    assert {pair["symbol"] for pair in instruments["data"]["pairs"]} == {"BTC/USD", "ETH/USD"}
    assert [pair["price_precision"] for pair in instruments["data"]["pairs"]] == [1, 2]
    frames = talk.texts(talk.core.publish(100, talk.now, "BTC/USD"))
    assert {frame["channel"] for frame in frames} == {"ticker", "trade", "ohlc"}
    trades = [trade for frame in frames if frame["channel"] == "trade" for trade in frame["data"]]
    ids = [trade["trade_id"] for trade in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_trade_snapshot_is_the_last_fifty() -> None:
    _, snapshot = Talk().ask("subscribe", channel="trade", symbol=["BTC/USD"], snapshot=True)
    assert snapshot["type"] == "snapshot"
    assert len(snapshot["data"]) == 50
    times = [trade["timestamp"] for trade in snapshot["data"]]
    assert times == sorted(times)


def test_a_bbo_ticker_follows_the_best_prices() -> None:
    talk = Talk()
    talk.ask("subscribe", channel="ticker", symbol=["BTC/USD"], event_trigger="bbo")
    tops = [(f["data"][0]["bid"], f["data"][0]["bid_qty"], f["data"][0]["ask"], f["data"][0]["ask_qty"])
            for f in talk.texts(talk.core.publish(100, talk.now, "BTC/USD"))]  # fmt: skip
    assert len(tops) > 20
    assert all(one != other for one, other in pairwise(tops))


def test_heartbeats_come_every_second_after_the_first_subscription() -> None:
    talk = Talk()
    talk.tick(110.0)
    talk.ask("subscribe", channel="trade", symbol=["BTC/USD"])
    beats = talk.texts(talk.tick(115.5))
    assert beats == [{"channel": "heartbeat"}] * 5


def test_a_refused_subscription_starts_no_heartbeat_and_an_idle_connection_is_closed() -> None:
    talk = Talk()
    talk.ask("subscribe", channel="trade", symbol=["NO/SUCH"])
    assert talk.tick(159.9) == []
    assert talk.tick(160.0) == [End(1, DropHow.CLOSE_1000)]
    assert talk.core.connections == {}
    assert talk.core.receive(1, "{}", 161.0) == []


def test_a_connection_is_idle_from_when_its_last_subscription_was_ended() -> None:
    talk = Talk()
    talk.ask("subscribe", channel="trade", symbol=["BTC/USD"])
    talk.tick(300.0)
    talk.core.inject(EndSubscription(), 300.0)
    assert not [action for action in talk.tick(359.9) if isinstance(action, End)]
    assert [action for action in talk.tick(360.0) if isinstance(action, End)] == [End(1, DropHow.CLOSE_1000)]


def test_a_request_or_a_subscription_keeps_a_connection() -> None:
    talk = Talk()
    talk.tick(150.0)
    talk.core.receive(1, '{"method":"ping"}', 150.0)
    assert talk.tick(205.0) == []
    talk.ask("subscribe", channel="trade", symbol=["BTC/USD"])
    assert not [action for action in talk.tick(400.0) if isinstance(action, End)]


def test_a_client_sees_the_books_of_two_connections_at_any_depth() -> None:
    talk = Talk(rate=200.0)
    second, _ = talk.core.connect(talk.now)
    books = {1: ReferenceBook(10), second: ReferenceBook(25)}
    actions = []
    for number, depth in ((1, 10), (second, 25)):
        request = {"channel": "book", "symbol": ["BTC/USD"], "depth": depth}
        actions += talk.core.receive(number, json.dumps({"method": "subscribe", "params": request}), talk.now)
    actions += talk.tick(105.0)
    for action in actions:
        if isinstance(action, Send) and '"channel":"book","type"' in action.text:
            assert books[action.connection].feed(action.text)
    market = talk.core.market.symbols["BTC/USD"]
    for book in books.values():
        assert [price for price, _ in book.bids] == [f"{p // 10}.{p % 10}" for p, _ in market.book.bids.top(book.depth)]


def test_equal_inputs_give_equal_frames() -> None:
    def run() -> Any:
        talk = Talk(rate=100.0)
        talk.ask("subscribe", channel="book", symbol=["BTC/USD", "ETH/USD"])
        return talk.first, talk.tick(110.0), talk.core.journals[0].sent

    assert run() == run()


def test_a_paused_market_stands_still() -> None:
    talk = Talk(rate=100.0)
    talk.ask("subscribe", channel="book", symbol=["BTC/USD"])
    talk.core.pause()
    assert all(frame == {"channel": "heartbeat"} for frame in talk.texts(talk.tick(110.0)))
    talk.core.resume(110.0)
    assert 20 < sum(frame["channel"] == "book" for frame in talk.texts(talk.tick(111.0))) < 300


def test_the_journal_can_be_bounded() -> None:
    talk = Talk(journal_limit=3)
    talk.ask("subscribe", channel="book", symbol=["BTC/USD"])
    talk.core.publish(50, talk.now, "BTC/USD")
    journal = talk.core.journals[0]
    assert len(journal.sent) == 3
    assert journal.sent_count > 20
    assert "1:" in repr(journal)


RECORDED = [
    '{"channel":"status","type":"update","data":[{"system":"online"}]}',
    '{"method":"subscribe","result":{"channel":"book","depth":25,"symbol":"A/B"},"success":true}',
    '{"channel":"heartbeat"}',
    '{"channel":"book","type":"snapshot","data":[{"symbol":"A/B","bids":[],"asks":[],"checksum":0}]}',
    '{"channel":"trade","type":"update","data":[{"symbol":"A/B","price":1.0}]}',
    '{"channel":"book","type":"update","data":[{"symbol":"C/D","bids":[],"asks":[],"checksum":0}]}',
    '{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[],"asks":[],"checksum":0}]}',
]


def test_a_recording_is_served_from_its_beginning_to_whom_it_concerns() -> None:
    talk = Talk(recording=Recording.load(RECORDED))
    (depth,) = talk.ask("subscribe", channel="book", symbol=["A/B"], depth=10)
    assert depth["error"] == "Subscription depth not supported"
    (ack,) = talk.ask("subscribe", channel="book", symbol=["A/B"], depth=25)
    assert ack["success"] is True
    assert [action.text for action in talk.tick(100.0)] == [RECORDED[3], RECORDED[6]]
    (unknown,) = talk.ask("subscribe", channel="ticker", symbol=["A/B"])
    assert unknown["error"] == "Currency pair not supported A/B"
    talk.ask("unsubscribe", channel="book", symbol=["A/B"])
    talk.ask("subscribe", channel="book", symbol=["A/B", "C/D"], depth=25)
    assert [action.text for action in talk.tick(100.0)] == [RECORDED[3], RECORDED[5], RECORDED[6]]


def test_a_recording_ends_for_a_subscription_that_ends() -> None:
    talk = Talk(recording=Recording.load(RECORDED), replay_rate=2.0)
    talk.ask("subscribe", channel="book", symbol=["A/B"], depth=25)
    assert len(talk.texts(talk.tick(100.0))) == 1
    talk.ask("unsubscribe", channel="book", symbol=["A/B"])
    assert talk.texts(talk.tick(100.9)) == []


def test_a_recording_has_a_rate() -> None:
    talk = Talk(recording=Recording.load(RECORDED), replay_rate=2.0)
    talk.ask("subscribe", channel="book", symbol=["A/B"], depth=25)
    assert len(talk.texts(talk.tick(100.1))) == 1
    assert len(talk.texts(talk.tick(100.6))) == 1


def test_recordings_are_read_from_files(tmp_path: Path) -> None:
    lines = tmp_path / "frames.jsonl"
    lines.write_text("# a comment\n1700000000.5: " + RECORDED[3] + "\n" + RECORDED[4] + "\n")
    assert [frame.text for frame in Recording.load(lines).frames] == RECORDED[3:5]
    capture = tmp_path / "frames.cbcap"
    capture.write_text(
        "CBCAP1 kraken A/B 1\n" + "".join(f"1 {len(frame)}\n{frame}\n" for frame in RECORDED),
    )
    assert Recording.load(str(capture)).topics == {("book", "A/B"), ("trade", "A/B"), ("book", "C/D")}
    for torn in (capture.read_text()[:-10], capture.read_text() + "nonsense\n"):
        capture.write_text(torn)
        with pytest.raises(ValueError, match=r"frames\.cbcap"):
            Recording.load(capture)


@pytest.mark.parametrize("frames", [RECORDED, ["7", '[1,"x"]', "{", ""]])
def test_all_frames_of_a_cbcap_are_read(tmp_path: Path, frames: list[str]) -> None:
    path = tmp_path / "frames"
    path.write_text("CBCAP1 kraken A/B 1\n" + "".join(f"1 {len(frame)}\n{frame}\n" for frame in frames))
    assert read_frames(path) == frames


@pytest.mark.parametrize("time", ["", "1700000000.5: ", "  1700000000: "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("between", ["", "# a note, für später", '[0,{"as":[]}]', "ws://x <- 1700000000.5: {}", "7"])
def test_the_objects_on_lines_are_read(tmp_path: Path, time: str, end: str, between: str) -> None:
    path = tmp_path / "frames"
    path.write_bytes("".join(f"{between}{end}{time}{frame}{end}" for frame in RECORDED).encode())
    assert read_frames(str(path)) == RECORDED


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"BZh9", "it is compressed (bzip2): decompress it first"),
        (b"\x1f\x8b\x08\x00", "its gzip data are cut off: they should go on after byte 4 of the file"),
        (b"CBCAP1 kraken A/B 1\n1 30\n{}\n", "it is cut off in frame 1 (byte 20)"),
        (b"CBCAP1 kraken A/B 1\n1 2\n{}", "it is cut off in frame 1 (byte 20)"),
        (b"CBCAP1 kraken A/B 1\n1 1\n\xff\n", "frame 1 (byte 24) is no text (UTF-8)"),
        (b"{}\n\x00\xff\n", "frame 2 (line 2, byte 3) is no text (UTF-8)"),
        (b'{}\n1: {"channel":"bo', "frame 2 (line 2, byte 6) is cut off: its line begins with '{'"),
    ],
)
def test_a_damaged_file_is_no_recording(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {words}")):
        read_frames(path)


def test_a_file_that_is_not_there_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_frames(tmp_path / "nowhere")


def test_what_is_no_frame_is_left_out_of_a_recording() -> None:
    assert Recording.load([b"{", "7", '{"channel":"book","data":[]}']).frames == []
