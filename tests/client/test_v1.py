"""The same program over v1: an exchange of few lines speaks it, and the feed has what it has over v2."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from click.testing import CliRunner

import kraken_trio as kt
from kraken_trio.cli.audit import audit
from kraken_trio.runtime.recorder import in_line
from kraken_trio.testing import ReferenceBook

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio.testing import MockClock

    from kraken_trio.transport import Limits

STATUS = '{"connectionID":8628615390848610000,"event":"systemStatus","status":"online","version":"1.9.6"}'
WHEN = 1790000001


class V1Exchange:
    """Confirms whatever is asked for, and says what a test has it say."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.sequences: dict[str, int] = {}
        self.kept: dict[str, list[Any]] = {"openOrders": [], "ownTrades": []}
        """What a snapshot of an account has."""
        self.book = ReferenceBook(None)
        self._change({"b": [["100.00000", "1.00000000"]], "a": [["101.00000", "2.00000000"]]})

    @asynccontextmanager
    async def connect(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AsyncIterator[V1Exchange]:
        assert url in (kt.PUBLIC_V1.url, kt.PRIVATE_V1.url)
        self._said, self._saying = trio.Event(), [STATUS]
        self._lost = False
        yield self

    async def receive(self) -> list[str | bytes]:
        await self._said.wait() if not (self._saying or self._lost) else await trio.lowlevel.checkpoint()
        self._said = trio.Event()
        if self._lost and not self._saying:
            raise kt.transport.ConnectionLost("gone")
        said, self._saying = self._saying, []
        return list(said)

    async def send(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        asked = json.loads(text)
        if asked["event"] == "ping":
            self.say(json.dumps({"event": "pong", "reqid": asked["reqid"]}))
            return
        self.asked.append(asked)
        answer = {key: asked[key] for key in ("reqid", "subscription")} | {"event": "subscriptionStatus"}
        if "pair" not in asked:
            name = asked["subscription"]["name"]
            self.sequences[name] = 0
            self.say(json.dumps(answer | {"channelName": name, "status": f"{asked['event']}d"}))
            if asked["event"] == "subscribe":
                self.account(name, *self.kept[name])
        for pair in asked.get("pair", ()):
            self.say(json.dumps(answer | {"pair": pair, "status": f"{asked['event']}d"}))
            if asked["event"] == "subscribe" and asked["subscription"]["name"] == "book":
                rows = {key: [[*level, f"{WHEN}.000001"] for level in side] for key, side in self._sides()}
                self.say(json.dumps([336, rows, "book-10", pair]))

    def _sides(self) -> list[tuple[str, Any]]:
        return [("as", self.book.asks), ("bs", self.book.bids)]

    def say(self, frame: str) -> None:
        self._saying.append(frame)
        self._said.set()

    def lose(self) -> None:
        self._lost = True
        self._said.set()

    def _change(self, part: dict[str, list[list[str]]]) -> None:
        levels = {key: [(price, qty) for price, qty, *_ in rows] for key, rows in part.items()}
        self.book.apply(bids=levels.get("b", []), asks=levels.get("a", []))

    def update(self, *parts: dict[str, list[list[str]]], spoil: int = 0) -> None:
        for part in parts:
            self._change(part)
        told: list[dict[str, Any]] = [
            {key: [[*row[:2], f"{WHEN}.000002", *row[2:]] for row in rows] for key, rows in part.items()}
            for part in parts
        ]
        told[-1]["c"] = str(self.book.checksum() ^ spoil)
        self.say(json.dumps([336, *told, "book-10", "XBT/USD"]))

    def trade(self, qty: str) -> None:
        self.say(json.dumps([337, [["100.00000", qty, f"{WHEN}.000003", "s", "m", ""]], "trade", "XBT/USD"]))

    def account(self, name: str, *rows: Any) -> None:
        self.sequences[name] += 1
        self.say(json.dumps([rows, name, {"sequence": self.sequences[name]}]))

    def fill(self, number: int, second: int) -> None:
        """It is told, and kept for the next snapshot."""
        fill = {
            "ordertxid": "O1", "pair": "XBT/USD", "type": "buy", "ordertype": "limit", "price": "100.0", "vol": "1.0",
            "cost": "100.0", "fee": "0.1", "time": f"{WHEN + second}.000001",
        }  # fmt: skip
        self.kept["ownTrades"].insert(0, {f"T{number}": fill})
        if not self._lost:
            self.account("ownTrades", {f"T{number}": fill})
            self.account("openOrders", {"O1": {"vol_exec": f"{number}.0", "userref": 0}})


@pytest.fixture
def exchange() -> V1Exchange:
    return V1Exchange()


async def kinds(feed: kt.Feed, count: int) -> list[str]:
    events = [await feed.receive() for _ in range(count)]
    return [f"Gap {event.cause.value}" if isinstance(event, kt.Gap) else type(event).__name__ for event in events]


async def test_a_feed_of_v1_has_verified_books_and_a_gap_for_every_loss(
    autojump_clock: MockClock, exchange: V1Exchange
) -> None:
    async with (
        kt.open_client(kt.PUBLIC_V1, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), kt.Trades("BTC/USD")) as feed,
    ):
        with trio.fail_after(60):
            assert exchange.asked[0]["pair"] == ["XBT/USD"]
            assert await kinds(feed, 1) == ["BookSnapshot"]
            book = feed.book("BTC/USD")
            assert (book.available, book.verified) == (True, False)
            exchange.update({"b": [["100.50000", "3.00000000", "r"]]})
            exchange.trade("0.50000000")
            assert await kinds(feed, 2) == ["BookUpdate", "Trade"]
            assert book.verified
            assert str(book.spread) == "0.50000"
            exchange.update({"a": [["101.00000", "0.00000000"], ["102.00000", "1.0"]]}, {"b": [["101.00000", "1.0"]]})
            assert await kinds(feed, 1) == ["BookUpdate"]
            assert book.best_bid == kt.Level("101.00000", "1.0")
            exchange.update({"b": [["99.00000", "3.0"]]}, spoil=1)
            assert await kinds(feed, 2) == ["Gap checksum", "BookSnapshot"]
            exchange.lose()
            assert sorted(await kinds(feed, 3)) == ["BookSnapshot", "Gap disconnected", "Gap disconnected"]
            exchange.trade("0.50000000")  # the same as before, for all that v1 tells
            assert await kinds(feed, 1) == ["Trade"]
            assert client.statistics().unknown == {}


async def test_what_v1_lacks_is_refused_before_anything_is_asked(
    autojump_clock: MockClock, exchange: V1Exchange
) -> None:
    async with kt.open_client(kt.PUBLIC_V1, transport=exchange.connect) as client:
        for asked in (kt.Instruments(), kt.Ticker("BTC/USD", trigger="bbo")):
            with pytest.raises(kt.SubscriptionRejected, match="Kraken's protocol v1"):
                async with client.subscribe(asked):
                    pytest.fail("it was accepted")
    assert exchange.asked == []


async def test_a_recording_of_v1_is_replayed(autojump_clock: MockClock, exchange: V1Exchange, tmp_path: Path) -> None:
    requests: list[kt.Request] = [kt.Book("BTC/USD"), kt.Trades("BTC/USD", snapshot=True), kt.Spread("BTC/USD")]
    live: list[kt.Event] = []
    async with (
        kt.open_client(kt.PUBLIC_V1, transport=exchange.connect) as client,
        kt.record(client, tmp_path / "log", work=in_line),  # a thread has no place in virtual time
        client.subscribe(*requests) as feed,
    ):
        exchange.update({"b": [["100.50000", "3.00000000"]]})
        for quantity in ("1.0", "1.0"):
            exchange.trade(quantity)
        exchange.say('[341,["100.5","101.0","1790000001.0","3.0","2.0"],"spread","XBT/USD"]')
        live += [await feed.receive() for _ in range(5)]
        exchange.lose()
        live += [await feed.receive() for _ in range(4)]
        exchange.update({"b": [["99.50000", "3.00000000"]]})
        exchange.trade("2.0")
        live += [await feed.receive() for _ in range(2)]
    assert {type(event).__name__ for event in live} == {
        "BookSnapshot",
        "BookUpdate",
        "Trade",
        "SpreadUpdate",
        "Gap",
    }
    async with kt.open_replay(tmp_path / "log") as client, client.subscribe(*requests) as feed:
        replayed = [await feed.receive() for _ in live]
    assert replayed == live
    assert "\nundamaged; " in CliRunner().invoke(audit, [str(tmp_path / "log")]).output
    read = [event for event in kt.read_events(tmp_path / "log", *requests) if not isinstance(event, kt.Gap)]
    assert [event for event in live if not isinstance(event, kt.Gap)] == read


async def test_own_orders_of_v1_are_recorded_and_replayed(
    autojump_clock: MockClock, exchange: V1Exchange, tmp_path: Path
) -> None:
    descr = {"pair": "XBT/USD", "type": "buy", "ordertype": "limit", "price": "100.0", "price2": "0"}
    exchange.kept["openOrders"] = [{"O1": {"status": "open", "vol": "9.0", "vol_exec": "0.0", "descr": descr}}]
    endpoint = kt.Endpoint(kt.PRIVATE_V1.url, "v1", serves=kt.PRIVATE_V1.serves)  # without a token
    live: list[kt.Event] = []
    async with (
        kt.open_client(endpoint, transport=exchange.connect) as client,
        kt.record(client, tmp_path / "log", work=in_line, keyframe_every=1.0),
        client.subscribe(kt.Executions(history=True)) as feed,
    ):
        assert [asked["subscription"]["name"] for asked in exchange.asked] == ["openOrders", "ownTrades"]
        exchange.fill(1, 1)
        live += [await feed.receive() for _ in range(3)]
        await trio.sleep(1.5)
        exchange.lose()
        exchange.fill(2, 2)
        live += [await feed.receive() for _ in range(3)]
        exchange.fill(3, 3)
        live += [await feed.receive() for _ in range(2)]
    fills = [event for event in live if isinstance(event, kt.Execution) and event.exec_type == "trade"]
    assert [(fill.exec_id, fill.recovered) for fill in fills] == [("T1", False), ("T2", True), ("T3", False)]
    async with kt.open_replay(tmp_path / "log") as client, client.subscribe(kt.Executions(history=True)) as feed:
        assert [await feed.receive() for _ in live] == live
    result = CliRunner().invoke(audit, [str(tmp_path / "log")])
    assert "\nundamaged; " in result.output, result.output
