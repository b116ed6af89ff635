"""A session that speaks v1: what it lacks is told, and nothing else is different.

v1 has no checksum in snapshots, no trade numbers, no history of trades and candles.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio.events import BookSnapshot, Candle, Cause, ConnectionState, Gap, SpreadUpdate, Trade
from kraken_trio.requests import Book, Candles, Instruments, Spread, Ticker, Trades
from kraken_trio.wire.codec import codec_for
from tests.session.driver import BTC, ETH, NONSENSE, Asked, Client, Market
from tests.wire.frames_v1 import CANDLE, SPREAD, TICKER

if TYPE_CHECKING:
    from kraken_trio.requests import Request

HEARTBEAT = '{"event":"heartbeat"}'
DOGE = "DOGE/USD"
_codec_of_v2, _codec = codec_for("v2"), codec_for("v1")


def answered(asked: Asked, pair: str, **more: Any) -> str:
    """The exchange's answer about one pair: yes, unless ``more`` says otherwise."""
    said = {"event": "subscriptionStatus", "status": f"{asked['event']}d", "channelID": 1, "pair": pair}
    return json.dumps(said | {"reqid": asked["reqid"], "subscription": asked["subscription"]} | more)


class V1Client(Client):
    heartbeat = HEARTBEAT

    def __init__(self, **more: Any) -> None:
        super().__init__(protocol="v1", **more)

    def accept(self) -> list[Asked]:
        asked = self.requests()
        for one in asked:
            self.receive(*(answered(one, pair) for pair in one["pair"]))
        return asked


class V1Market(Market):
    """The exchange's book, told as v1 tells it."""

    def _frame(self, kind: str, bids: Any, asks: Any, *, spoil: int) -> str:
        message: Any = _codec_of_v2.decode(super()._frame(kind, bids, asks, spoil=spoil))
        frame = json.loads(_codec.data(message.events))
        if kind == "snapshot":
            del frame[1]["c"]
        return json.dumps(frame)


def words(asked: list[Asked]) -> list[str]:
    return [" ".join([one["event"], one["subscription"]["name"], *one["pair"]]) for one in asked]


_seconds = itertools.count(1790000001)


def trades(*quantities: str, pair: str = "XBT/USD", second: int | None = None) -> str:
    when = next(_seconds) if second is None else second
    return json.dumps([337, [["100.0", qty, f"{when}.000001", "b", "l", ""] for qty in quantities], "trade", pair])


def told(client: Client, feed: object) -> list[str]:
    """Trades as their quantities, with a mark if they are from before; gaps as their causes."""
    return [
        f"{'before ' if event.snapshot else ''}{event.qty}" if isinstance(event, Trade) else f"Gap {event.cause.value}"
        for event in client.events(feed)
        if isinstance(event, Trade | Gap)
    ]


# Asking


def test_names_are_of_v1_on_the_wire_and_nowhere_else() -> None:
    client = V1Client()
    client.add("feed", Book(BTC, 100), Trades(DOGE), Ticker(ETH))
    asked = client.accept()
    assert words(asked) == ["subscribe book XBT/USD", "subscribe trade XDG/USD", "subscribe ticker ETH/USD"]
    assert asked[0]["subscription"] == {"name": "book", "depth": 100}
    assert client.answers["feed"] == {}
    client.receive(V1Market(BTC, depth=100).snapshot(), trades("1.0", pair="XDG/USD"))
    assert [event.symbol for event in client.events("feed")] == [BTC, DOGE]


def test_one_request_of_many_pairs_is_answered_by_pair() -> None:
    client = V1Client()
    client.add("one", Ticker(BTC))
    client.accept()
    client.add("feed", Trades(BTC), Trades(ETH), Trades("A/B"))
    asked = client.request()
    no = {"status": "error", "errorMessage": "Currency pair not supported A/B"}
    client.receive(answered(asked, "ETH/USD"), answered(asked, "A/B", **no))
    assert "feed" not in client.answers
    client.receive(answered(asked, "XBT/USD"))
    assert client.answers["feed"] == {Trades("A/B"): "Currency pair not supported A/B"}


def test_a_rate_limit_is_waited_for() -> None:
    client = V1Client()
    client.add("feed", Trades(BTC))
    asked = client.request()
    client.receive(answered(asked, "XBT/USD", status="error", errorMessage="Exceeded msg rate"))
    assert client.requests() == []
    client.advance(1.5)
    assert words(client.accept()) == ["subscribe trade XBT/USD"]
    assert client.answers["feed"] == {}


def test_an_unsubscribe_of_the_exchange_is_undone() -> None:
    client = V1Client()
    client.follow("feed", Trades(BTC))
    asked = {"event": "unsubscribe", "reqid": None, "subscription": {"name": "trade"}}
    client.receive(answered(asked, "XBT/USD"))
    assert told(client, "feed") == ["Gap resubscribed"]
    assert words(client.accept()) == ["subscribe trade XBT/USD"]


@pytest.mark.parametrize(
    ("protocol", "asked", "words"),
    [
        ("v2", Spread(BTC), "Ticker('BTC/USD', trigger=\"bbo\")"),
        ("v1", Ticker(BTC, trigger="bbo"), "Spread('BTC/USD')"),
        ("v1", Instruments(), "PUBLIC_V2"),
    ],
)
def test_what_the_protocol_lacks_is_refused_by_the_client(protocol: str, asked: Request, words: str) -> None:
    client = Client(protocol=protocol)
    client.add("feed", asked)
    assert words in client.answers["feed"][asked]
    assert client.outbox == []


# Books


def test_a_book_is_taken_without_a_proof_until_its_first_update() -> None:
    client, market = V1Client(), V1Market()
    client.follow("feed", Book(BTC))
    client.receive(market.snapshot())
    (snapshot,) = client.events("feed")
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot.checksum is None
    assert client.state() is ConnectionState.SUBSCRIBED
    client.receive(market.tick("7.00"))
    assert client.kinds("feed") == ["BookUpdate"]
    client.add("late", Book(BTC))
    (start,) = client.events("late")
    assert isinstance(start, BookSnapshot)
    assert start.checksum == market.checksum
    assert client.count("checksums_verified") == 1


@pytest.mark.parametrize("is_proved", [False, True])
def test_a_wrong_checksum_is_found_from_the_first_update(*, is_proved: bool) -> None:
    client, market = V1Client(), V1Market()
    client.follow("feed", Book(BTC))
    client.receive(market.snapshot())
    if is_proved:
        client.receive(market.tick("7.00"))
    client.events("feed")
    client.receive(market.tick("8.00", spoil=1))
    assert client.kinds("feed") == ["Gap checksum"]
    assert words(client.accept()) == ["unsubscribe book XBT/USD"]
    assert words(client.accept()) == ["subscribe book XBT/USD"]
    client.receive(market.snapshot(), market.tick("9.00"))
    assert client.kinds("feed") == ["BookSnapshot", "BookUpdate"]


def test_an_update_without_a_checksum_is_no_proof() -> None:
    client, market = V1Client(), V1Market()
    client.follow("feed", Book(BTC))
    without = '[1,{"b":[["99.5","2.00","1790000001.000001"]]},"book-10","XBT/USD"]'
    client.receive(market.snapshot(), without)
    assert client.kinds("feed") == ["BookSnapshot", "BookUpdate"]  # it has never had one
    market.tick("2.00")
    client.receive(market.tick("7.00"), without)
    assert client.kinds("feed") == ["BookUpdate", "Gap malformed"]


def test_an_update_without_a_checksum_is_no_proof_after_another_snapshot_either() -> None:
    client, market = V1Client(), V1Market()
    client.follow("feed", Book(BTC))
    without = '[1,{"b":[["99.5","2.00","1790000001.000001"]]},"book-10","XBT/USD"]'
    client.receive(market.snapshot(), market.tick("7.00"), without)
    client.accept()
    client.accept()
    client.events("feed")
    client.receive(market.snapshot(), without)
    assert client.kinds("feed") == ["BookSnapshot", "Gap malformed"]


def test_an_update_of_both_sides_is_judged_as_a_whole() -> None:
    """In between the book is crossed."""
    client, market = V1Client(), V1Market()
    client.follow("feed", Book(BTC))
    update = market.snapshot(), market.update(bids=[("100.5", "1.00")], asks=[("100.5", "0.00")])
    assert len(json.loads(update[1])) == 5
    client.receive(*update)
    assert client.kinds("feed") == ["BookSnapshot", "BookUpdate"]
    assert client.count("crossed") == 0


# Trades


def test_equal_trades_are_two() -> None:
    client = V1Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades("1.0", "1.0", second=1790000000), trades("1.0", second=1790000000))
    assert told(client, "feed") == ["1.0"] * 3
    assert client.count("trades_missed") == 0


def test_every_loss_is_a_gap_and_nothing_is_backfilled() -> None:
    client = V1Client()
    client.follow("feed", Trades(BTC, snapshot=True))
    client.receive(trades("1.0"))
    for quantity in ("2.0", "3.0"):
        client.lose()
        client.reconnect()
        client.accept()
        client.receive(trades(quantity))
    assert told(client, "feed") == ["1.0", "Gap disconnected", "2.0", "Gap disconnected", "3.0"]


def test_a_quiet_symbol_has_a_gap_for_every_loss_and_is_left_alone() -> None:
    client = V1Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades("1.0"))
    for _ in range(2):
        client.lose()
        client.reconnect()
        client.accept()
        client.advance(60, heartbeat=1)
        client.receive(HEARTBEAT)
    assert told(client, "feed") == ["1.0", "Gap disconnected", "Gap disconnected"]
    assert client.requests() == []


def test_a_late_feed_starts_with_what_came_since_the_last_loss() -> None:
    client = V1Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades("1.0"))
    client.lose()
    client.reconnect()
    client.accept()
    client.receive(trades("2.0", "2.5"), trades("3.0"))
    client.add("late", Trades(BTC, snapshot=True))
    client.add("later", Trades(BTC))
    client.receive(trades("4.0"))
    assert told(client, "late") == ["before 2.0", "before 2.5", "before 3.0", "4.0"]
    assert told(client, "later") == ["4.0"]
    assert told(client, "feed") == ["1.0", "Gap disconnected", "2.0", "2.5", "3.0", "4.0"]


@pytest.mark.parametrize("frame", [NONSENSE, trades("9.0")[:-1] + "}", trades("x")], ids=["any", "cut", "number"])
def test_a_late_feed_does_not_start_before_what_could_not_be_read(frame: str) -> None:
    client = V1Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades("1.0"), frame, trades("2.0"))
    assert told(client, "feed") == ["1.0", "Gap malformed", "2.0"]
    client.add("late", Trades(BTC, snapshot=True))
    assert told(client, "late") == ["before 2.0"]


# The others


def test_candles_and_spreads_may_be_silent_but_not_tickers() -> None:
    client = V1Client()
    client.follow("feed", Candles(BTC, 5), Spread(BTC), Ticker(BTC))
    assert client.state() is ConnectionState.SUBSCRIBED
    client.advance(client.settings.snapshot_timeout + 1, heartbeat=1)
    client.receive(HEARTBEAT)
    assert words(client.requests()) == ["unsubscribe ticker XBT/USD"]
    assert client.kinds("feed") == ["Gap resubscribed"]


def test_candles_and_spreads() -> None:
    client = V1Client()
    client.follow("feed", Candles(BTC, 5), Spread(BTC), Ticker(BTC))
    client.receive(TICKER, CANDLE, SPREAD)
    assert client.kinds("feed") == ["TickerUpdate", "Candle", "SpreadUpdate"]
    client.add("late", Spread(BTC), Candles(BTC, 5))
    spread, candle = client.events("late")
    assert isinstance(spread, SpreadUpdate)
    assert isinstance(candle, Candle)
    assert spread.snapshot
    assert candle.snapshot
    client.lose()
    assert client.kinds("feed") == ["Gap disconnected"] * 3


# Protocols


def test_another_protocol_at_the_endpoint_is_final() -> None:
    client = V1Client()
    client.receive('{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]}')
    assert client.drops == [Cause.REFUSED]
    client.lose()
    assert client.effects.end is not None
    assert "speaks Kraken's protocol 'v2', not 'v1'" in str(client.effects.end)


def test_pings_are_answered_by_their_numbers() -> None:
    client = V1Client()
    client.advance(client.settings.ping_after + 0.5)
    (asked,) = client.outbox
    assert asked == {"event": "ping", "reqid": asked["reqid"]}
    client.receive(json.dumps({"event": "pong", "reqid": asked["reqid"]}))
    assert client.session.statistics().ping_seconds is not None
