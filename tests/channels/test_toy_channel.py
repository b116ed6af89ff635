"""A channel is added in four places: a request, an event, a row in wire/, a state in channels/. Nothing else changes.

Here a channel that Kraken does not have, which tells the mood of a market, is added in just those places, and a client
and a feed carry it like any other: subscribed, started late, replayed, conflated, announced by gaps.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

import attrs
import msgspec
import pytest
import trio

import kraken_trio as kt
from kraken_trio.channels import CHANNELS
from kraken_trio.channels.latest import LatestState
from kraken_trio.runtime.feed import open_feed
from kraken_trio.wire.v2 import channels as rows
from tests.session.driver import BTC, ETH, Client, Market, ack, data

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from kraken_trio.transport import Limits


# 1. requests.py


@attrs.frozen
class Mood(kt.Request["MoodUpdate"]):
    """The mood of a market."""

    channel: ClassVar[str] = "mood"
    symbol: str = attrs.field()
    scale: int = 10

    @property
    def variant(self) -> tuple[str, object]:
        return ("scale", self.scale)


# 2. events.py


class MoodUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """How a market feels."""

    channel: ClassVar[str] = "mood"
    symbol: str
    mood: str
    snapshot: bool = False
    epoch: int = 0
    received_ns: int = 0


# 4. channels/ (3., the row, is in the fixture)


class MoodState(LatestState):
    """The latest mood."""

    __slots__ = ()

    moves_with_trades = False
    tells_of_trades = False


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    row = rows.Channel(
        name="mood",
        request=Mood,
        identity=lambda request: {"scale": request.scale},
        read=rows.reader(MoodUpdate),
        fields=rows.fields_of(MoodUpdate),
    )
    monkeypatch.setitem(rows.CHANNELS, "mood", row)
    monkeypatch.setitem(CHANNELS, "mood", MoodState)


def mood(what: str, symbol: str = BTC, *, kind: str = "update") -> str:
    return data("mood", kind, [f'{{"symbol":"{symbol}","mood":"{what}"}}'])


def moods(client: Client, feed: object) -> list[object]:
    return [event.mood if isinstance(event, MoodUpdate) else event for event in client.events(feed)]


def test_it_is_subscribed_delivered_and_started_late_like_any_other() -> None:
    client, market = Client(), Market()
    client.follow_book("both", market, Mood(BTC))
    client.events("both")
    (asked,) = [one for name, args, _, effects in client.calls if effects for one in effects.send if "mood" in one]
    assert '"scale":10' in asked
    client.receive(mood("calm", kind="snapshot"), market.tick("7.0"), mood("merry"))
    assert client.session.statistics().subscriptions[Mood(BTC)].state is kt.SubscriptionState.LIVE
    seen = client.events("both")
    assert [type(event).__name__ for event in seen] == ["MoodUpdate", "BookUpdate", "MoodUpdate"]
    assert isinstance(seen[2], MoodUpdate)
    assert (seen[2].epoch, seen[2].received_ns > 0) == (1, True)
    client.add("late", Mood(BTC))
    (first,) = client.events("late")
    assert isinstance(first, MoodUpdate)
    assert (first.mood, first.snapshot) == ("merry", True)


def test_it_is_replayed_refused_and_announced_like_any_other() -> None:
    client = Client()
    client.follow("feed", Mood(BTC), Mood(ETH))
    client.receive(mood("calm"), mood("sad", ETH))
    client.events("feed")
    client.lose()
    gaps = [event for event in client.events("feed") if isinstance(event, kt.Gap)]
    assert [(gap.channel, gap.symbol, gap.cause) for gap in gaps] == [
        ("mood", BTC, kt.Cause.DISCONNECTED),
        ("mood", ETH, kt.Cause.DISCONNECTED),
    ]
    client.reconnect()
    client.accept()
    client.receive(mood("merry"), mood("glad", ETH))
    assert moods(client, "feed") == ["merry", "glad"]
    client.add("other", Mood(BTC, scale=5))
    assert "scale=10" in next(iter(client.answers["other"].values()))


@pytest.mark.parametrize("overflow", [kt.Overflow.CONFLATE, kt.Overflow.DROP_OLDEST])
async def test_a_slow_consumer_of_it_is_served_like_any_other(overflow: kt.Overflow) -> None:
    sender, feed = open_feed((Mood(BTC),), 2, overflow, lambda _key: None)
    async with feed:
        sender.offer([MoodUpdate(symbol=BTC, mood=str(n)) for n in range(100)])  # type: ignore[misc]  # not ours
        events = [await feed.receive() for _ in range(feed.statistics().buffered)]
    assert isinstance(events[-1], MoodUpdate)
    assert events[-1].mood == "99"
    assert len(events) <= 4
    if overflow is kt.Overflow.DROP_OLDEST:
        assert any(isinstance(event, kt.Gap) and event.channel == "mood" for event in events)


class Played:
    """A connection whose other side says yes to everything, and tells one mood."""

    def __init__(self) -> None:
        self._say, self._hear = trio.open_memory_channel[str](10)

    async def receive(self) -> list[str | bytes]:
        return [await self._hear.receive()]

    async def send(self, frame: str) -> None:
        for asked in [json.loads(frame)]:
            for symbol in asked["params"]["symbol"]:
                self._say.send_nowait(ack(asked, symbol))
                self._say.send_nowait(mood("calm", symbol, kind="snapshot"))
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def played(url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Played]:
    await trio.lowlevel.checkpoint()
    yield Played()


async def test_a_program_subscribes_to_it_like_to_any_other() -> None:
    """Through the client itself, over a connection that is played here."""
    async with kt.open_client("ws://localhost", transport=played) as client, client.subscribe(Mood(BTC)) as feed:
        event = await feed.receive()
        assert isinstance(event, MoodUpdate)
        assert event.mood == "calm"
