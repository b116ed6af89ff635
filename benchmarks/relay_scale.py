"""``python -m benchmarks.relay_scale``: 1,500 symbols at depth 1000 on one machine, as ``relay --plan`` foretells it.

Shards of ``kraken-trio relay`` (processes, a real nats-server) follow an exchange that sends prepared frames: the books
of one seeded market, under as many names as there are symbols. Measured are the time until all books are verified, at
the start, and after all connections were cut at once; what that takes of Kraken's connect budget; the memory for each
symbol; and the time until a reader of all symbols has verified books. All of it shares the processor.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio
from kraken_trio import Book, BookSnapshot, open_stream
from kraken_trio.broker.sharding import shard_of
from kraken_trio.relay.planning import OUTBOX_BYTES, PROCESS_BYTES, Load, plan
from kraken_trio.relay.sources import SYMBOLS_PER_CONNECTION, parse_channels
from kraken_trio.settings import MAX_CONNECT_BUDGET
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError

from benchmarks.inputs import market_frames
from benchmarks.machine import cpu, drain, free_port, metrics_page, nats_program, rss

if TYPE_CHECKING:
    from collections.abc import Sequence

SYMBOL = b'"BTC/USD"'
UPDATES = 2000
"""How many updates there are of each symbol; then it gets no more."""
STATUS = (
    b'{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2",'
    b'"connection_id":1}]}'
)
HEARTBEAT = b'{"channel":"heartbeat"}'
TIMES = {"time_in": "2026-01-01T00:00:00.000000Z", "time_out": "2026-01-01T00:00:00.000001Z"}
TICK = 0.05
"""Seconds between two writes to a client."""
PATIENCE = 600.0
"""Seconds for anything."""
ASK_AGAIN = 0.1
"""Seconds between two looks at something that tells nothing by itself, as the page of metrics."""


@attrs.define
class Exchange:
    """Sends prepared frames to any number of clients."""

    snapshot: bytes
    updates: Sequence[bytes]
    rate: float
    """Updates a second, of all symbols together."""
    opened: trio.Event = attrs.Factory(trio.Event)
    """Until it is set, who connects gets no answer."""
    connects: int = 0
    streams: set[trio.SocketStream] = attrs.Factory(set)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connects += 1
        self.streams.add(stream)
        try:
            async with stream, trio.open_nursery() as nursery:
                await _Client(self, stream).run(nursery)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, LocalProtocolError):
            pass
        finally:
            self.streams.discard(stream)

    async def cut(self) -> None:
        """Lose all connections at once."""
        for stream in list(self.streams):
            await trio.aclose_forcefully(stream)


class _Client:
    def __init__(self, exchange: Exchange, stream: trio.SocketStream) -> None:
        self._exchange = exchange
        self._stream = stream
        self._wire = WSConnection(ConnectionType.SERVER)
        self._next: dict[str, int] = {}
        self._random = random.Random(7)
        self._sending = trio.Lock()

    async def run(self, nursery: trio.Nursery) -> None:
        while True:
            data = await self._stream.receive_some(65_536)
            self._wire.receive_data(data or None)
            for event in self._wire.events():
                if isinstance(event, Request):
                    await self._exchange.opened.wait()
                    await self._send(AcceptConnection(), TextMessage(STATUS.decode()))
                    nursery.start_soon(self._update)
                    nursery.start_soon(self._beat)
                elif isinstance(event, CloseConnection):
                    await self._send(event.response())
                    return
                elif isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, Message):
                    await self._answer(json.loads(event.data))
            if not data:
                return

    async def _send(self, *events: Any) -> None:
        async with self._sending:
            await self._stream.send_all(b"".join(map(self._wire.send, events)))

    async def _answer(self, asked: dict[str, Any]) -> None:
        method, params = asked["method"], asked.get("params") or {}
        number = {} if asked.get("req_id") is None else {"req_id": asked["req_id"]}
        if method == "ping":
            await self._send(TextMessage(json.dumps({"method": "pong", **number, **TIMES})))
        for symbol in params.get("symbol", ()):
            result = {"channel": "book", "symbol": symbol, "depth": params["depth"], "snapshot": True}
            answer = {"method": method, "result": result, "success": True, **number, **TIMES}
            self._next.pop(symbol, None)
            await self._send(TextMessage(json.dumps(answer)))
            if method == "subscribe":
                await self._send(TextMessage(self._exchange.snapshot.replace(SYMBOL, f'"{symbol}"'.encode()).decode()))
                self._next[symbol] = 0

    async def _update(self) -> None:
        due = 0.0
        while True:
            await trio.sleep(TICK)
            due += self._exchange.rate * TICK / max(1, len(self._exchange.streams))
            frames = []
            symbols = list(self._next)
            for symbol in self._random.choices(symbols, k=int(due)) if symbols else ():
                place = self._next[symbol]
                if place < len(self._exchange.updates):
                    self._next[symbol] = place + 1
                    frames.append(self._exchange.updates[place].replace(SYMBOL, f'"{symbol}"'.encode()))
            due -= int(due)
            await self._send(*(TextMessage(frame.decode()) for frame in frames))

    async def _beat(self) -> None:
        while True:
            await trio.sleep(1)
            await self._send(TextMessage(HEARTBEAT.decode()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay_scale", description=__doc__)
    parser.add_argument("--symbols", type=int, default=1500)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1500.0, help="updates a second, of all symbols together")
    parser.add_argument("--keyframe-every", type=float, default=20.0)
    parser.add_argument("--no-reader", action="store_true")
    trio.run(measure, parser.parse_args())


async def measure(options: argparse.Namespace) -> None:
    lines = Path(market_frames(options.depth, UPDATES).path).read_bytes().splitlines()
    exchange = Exchange(lines[0], lines[1:], options.rate)
    names = [f"C{number}/USD" for number in range(options.symbols)]
    with tempfile.TemporaryDirectory() as folder:
        port = str(free_port())
        (Path(folder) / "symbols").write_text("\n".join(names), encoding="utf-8")
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, exchange.serve, 0, host="127.0.0.1"))
            url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v2"
            broker = [nats_program(), "-js", "-sd", folder, "-a", "127.0.0.1", "-p", port]
            await nursery.start(partial(trio.run_process, broker, stderr=subprocess.DEVNULL, check=False))
            to = f"nats://127.0.0.1:{port}/kraken?max_bytes=4GiB"
            command = [
                *(sys.executable, "-m", "kraken_trio", "relay", "--symbols", f"@{folder}/symbols", "--to", to),
                *("--channel", f"book:{options.depth}", "--shards", str(options.shards), "--url", url),
                *("--metrics-port", "0", "--keyframe-every", str(options.keyframe_every), "--log-format", "json"),
            ]
            process = await nursery.start(partial(trio.run_process, command, stderr=subprocess.PIPE, check=False))
            pids, metrics = await _begun(process.stderr, options.shards)
            nursery.start_soon(drain, process.stderr)
            await _connected(exchange, names, options.shards)
            empty = sum(map(rss, pids)) / len(pids)
            started = trio.current_time()
            used = sum(map(cpu, pids))
            exchange.opened.set()
            await _verified(metrics, options.symbols)
            used = sum(map(cpu, pids)) - used
            print(
                f"all {options.symbols} books verified {trio.current_time() - started:.1f} s after the exchange began "
                f"to answer: {used / options.symbols * 1e3:.1f} ms of their processors' time for each"
            )
            await trio.sleep(2 * options.keyframe_every)  # memory is what it is when key frames of all have been made
            grown = sum(map(rss, pids)) - empty * len(pids)
            print(f"{grown / options.symbols / 1e3:.0f} kB of memory a symbol, in {options.shards} shards")
            connects = exchange.connects
            cut, used = trio.current_time(), sum(map(cpu, pids))
            await exchange.cut()
            await _verified(metrics, options.symbols, anew=True)
            used = sum(map(cpu, pids)) - used
            took, attempts = trio.current_time() - cut, exchange.connects - connects
            print(
                f"all verified again {took:.1f} s after all connections were cut, with {attempts} attempts of "
                f"{MAX_CONNECT_BUDGET}: "
                f"{used / options.symbols * 1e3:.1f} ms for each"
            )
            if not options.no_reader:
                await _read([Book(name, options.depth) for name in names], to)
            channels = parse_channels([f"book:{options.depth}"])
            rates = {"book": options.rate / options.symbols}
            load = Load(
                symbols=options.symbols,
                channels=channels,
                rates=rates,
                shards=options.shards,
                keyframe_every=options.keyframe_every,
            )
            told = plan(load)
            print(
                f"the plan: verified after {told.verified_after:.1f} s, {told.attempts} attempts, "
                f"{(told.shard_memory - PROCESS_BYTES - OUTBOX_BYTES) / told.shard_symbols / 1e3:.0f} kB a symbol"
            )
            process.terminate()
            await process.wait()
            nursery.cancel_scope.cancel()


async def _begun(stream: trio.abc.ReceiveStream, shards: int) -> tuple[list[int], int]:
    """The processes, when all are started, and the port of their metrics."""
    text, port = "", 0
    pids: dict[str, int] = {}
    while len(pids) < shards or not port:
        text += (await stream.receive_some()).decode()
        *lines, text = text.split("\n")
        for line in map(json.loads, lines):
            if line["event"] == "shard_started":
                pids[line["shard"]] = line["pid"]
            found = re.search(r"metrics at http://127.0.0.1:(\d+)/", line["message"])
            port = int(found[1]) if found else port
    return list(pids.values()), port


async def _connected(exchange: Exchange, names: Sequence[str], shards: int) -> None:
    """Wait until all connections wait for an answer: a shard opens all of its own at once."""
    sizes = Counter(shard_of(name, shards) for name in names).values()
    wanted = sum(ceil(size / SYMBOLS_PER_CONNECTION) for size in sizes)
    with trio.fail_after(PATIENCE):
        while exchange.connects < wanted:
            await trio.sleep(ASK_AGAIN)


async def _verified(port: int, symbols: int, *, anew: bool = False) -> None:
    """Wait until so many books are verified; ``anew``: after fewer were."""
    with trio.fail_after(PATIENCE):
        while True:
            page = await metrics_page(port)
            pattern = r'^kraken_trio_books\{.*verified="true".*\} (\S+)$'
            count = sum(float(found[1]) for found in re.finditer(pattern, page, re.MULTILINE))
            anew = anew and count == symbols
            if count == symbols and not anew:
                return
            await trio.sleep(ASK_AGAIN)


async def _read(requests: Sequence[Book], to: str) -> None:
    began, verified = trio.current_time(), set[str]()
    times = []
    async with open_stream(to) as client, client.subscribe(*requests, capacity=100_000) as feed:
        with trio.fail_after(PATIENCE):
            async for event in feed:
                if isinstance(event, BookSnapshot) and event.symbol not in verified:
                    verified.add(event.symbol)
                    times.append(trio.current_time() - began)
                    if len(verified) == len(requests):
                        break
    middle, last = times[len(times) // 2], times[-1]
    print(f"a reader of all of them has half of the books after {middle:.1f} s, and all after {last:.1f} s")


if __name__ == "__main__":
    main()
