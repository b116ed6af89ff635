"""Frames and bytes by channel; gaps by cause."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio.session import Session
from kraken_trio.testing import DEFAULT_MARKETS, ExchangeCore, Market
from kraken_trio.testing.exchange.actions import Send
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    from collections.abc import Iterable


def told() -> list[str]:
    """What an exchange says about one symbol's books and trades, from the answers on."""
    core = ExchangeCore(Market(DEFAULT_MARKETS[:1], seed=3, rate=0), now=0.0, epoch_ns=0, journal_limit=1)
    number, actions = core.connect(0.0)
    for params in ({"channel": "book", "depth": 10}, {"channel": "trade"}):
        request = {"method": "subscribe", "params": {**params, "symbol": ["BTC/USD"], "snapshot": True}}
        actions += core.receive(number, json.dumps(request), 0.0)
    for step in range(100):
        actions += core.publish(1, step / 1000, "BTC/USD")
    return [action.text for action in actions if isinstance(action, Send)]


FRAMES = told()
MALFORMED = '{"channel":"book","type":"update","data":5}'


def channel_of(frame: str) -> str:
    if frame == MALFORMED:
        return "malformed"
    channel = json.loads(frame).get("channel")
    return channel if channel in ("book", "trade") else "control"


def opened() -> Session:
    session = Session(kt.Settings(malformed_limit=1000), lambda: 0.0, codec_for("v2"), kt.PUBLIC_V2)
    session.open(0.0)
    session.connected(0.0)
    session.add("feed", [kt.Book("BTC/USD"), kt.Trades("BTC/USD")], 0.0)
    return session


@given(
    st.lists(st.integers(1, 40), min_size=1),
    st.sets(st.integers(10, len(FRAMES))),
    st.booleans(),
    st.lists(st.integers(0, 20), max_size=2),
)
def test_every_frame_is_counted_once_by_its_channel(
    sizes: list[int], bad: Iterable[int], as_bytes: bool, looked_at: list[int]
) -> None:
    frames = list(FRAMES)
    for at in sorted(bad, reverse=True):
        frames.insert(at, MALFORMED)
    session, begin, batch = opened(), 0, 0
    while begin < len(frames):
        size = sizes[batch % len(sizes)]
        some = frames[begin : begin + size]
        session.receive([frame.encode() for frame in some] if as_bytes else some, 1, 0.0)
        begin, batch = begin + size, batch + 1
        if batch in looked_at:
            session.statistics()  # changes nothing
    now = session.statistics()
    channels = [channel_of(frame) for frame in frames]
    assert now.messages == {channel: channels.count(channel) for channel in set(channels)}
    assert now.message_bytes == {
        channel: sum(len(frame) for frame in frames if channel_of(frame) == channel) for channel in set(channels)
    }
    assert sum(now.messages.values()) == now.frames


def test_gaps_are_counted_by_cause_as_often_as_they_are_delivered() -> None:
    session = opened()
    session.add("other", [kt.Book("BTC/USD")], 0.0)
    session.receive(FRAMES, 1, 0.0)
    session.disconnected(kt.Cause.SILENCE, "", 1.0)
    session.retry(2.0)
    session.connected(2.0)
    session.disconnected(kt.Cause.DISCONNECTED, "", 3.0)
    now = session.statistics()
    assert sum(now.gaps_by_cause.values()) == now.gaps
    assert now.gaps_by_cause[kt.Cause.SILENCE] >= 2
