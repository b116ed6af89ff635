"""Makes the logs of the corpus: ``python -m tests.corpus.make NAME…`` (all without names), in the format of today.

A log in the corpus is never made again once a version that writes it has been released: later versions must read what
earlier ones have written. After a change of the format, make another one, under another name.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio

import kraken_trio as kt
from kraken_trio.encoding import encode_event
from kraken_trio.recording import records
from kraken_trio.recording.importer import Importer
from kraken_trio.recording.packer import Packer
from kraken_trio.runtime.recorder import in_line
from kraken_trio.storage.reading import open_folder
from kraken_trio.storage.writer import Job, LogWriter
from kraken_trio.testing import CorruptChecksum, Drop, MarketSpec, SkipUpdate, open_exchange, run_virtual
from tests.opening import open_at

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parent
DIGESTS = CORPUS / "digests.json"
START_NS = 1_800_000_000 * 10**9
MARKETS = [
    MarketSpec(symbol="BTC/USD", price_precision=1, qty_precision=8, start_price="60000.0", levels=10),
    MarketSpec(symbol="ETH/USD", price_precision=2, qty_precision=8, start_price="3000.00", levels=10),
]
REQUESTS = (
    kt.Book("BTC/USD"),
    kt.Book("ETH/USD", 25),
    kt.Trades("BTC/USD", snapshot=True),
    kt.Ticker("BTC/USD", trigger="bbo"),
    kt.Candles("ETH/USD", 5),
    kt.Instruments(),
)


def client(folder: Path) -> None:
    """All channels, with a lost connection, a wrong checksum, and missing trades."""
    run_virtual(_client, folder, 0, REQUESTS, 100.0, 1_000_000)


def runs(folder: Path) -> None:
    """Two runs of a recorder, each with several segments. The last one was killed while it wrote a block."""
    for run in range(2):
        run_virtual(_client, folder, run, REQUESTS[:1], 3.0, 2000, seed=run)
    last = max(folder.glob("*.mcap"))
    with open_folder(last) as recorded:
        block = recorded.segments[0].index.chunks[-1]
    last.write_bytes(last.read_bytes()[: block.offset + block.length // 2])


async def _client(
    folder: Path,
    run: int,
    requests: tuple[kt.Request[Any], ...],
    flush_every: float,
    max_segment_bytes: int,
) -> None:
    begin_ns = START_NS + run * 3600 * 10**9

    def wall_ns() -> int:
        return begin_ns + int(trio.current_time() * 1e9)

    async with (
        open_exchange(markets=MARKETS, seed=run, rate=1, epoch_ns=begin_ns) as exchange,
        open_at(exchange, wall_ns) as client,
        kt.record(
            client,
            folder,
            *requests,
            flush_every=flush_every,
            keyframe_every=10.0,
            max_segment_bytes=max_segment_bytes,
            work=in_line,
        ),
        client.subscribe(kt.Lifecycle()),
    ):
        await trio.sleep(3.3)
        exchange.inject(CorruptChecksum(symbol="BTC/USD"))
        exchange.inject(SkipUpdate(channel="trade", symbol="BTC/USD"))
        await trio.sleep(3.3)
        exchange.inject(Drop())
        await trio.sleep(2.3)


def kinds(folder: Path) -> None:
    """Everything that a log may say, by hand: what is rare, what is unknown, and a hole."""
    packer = Packer()
    importer = Importer(packer, {("trade", "BTC/USD"): kt.Trades("BTC/USD", snapshot=True)})
    writer = LogWriter(folder, library="kraken_trio corpus", level=3, keep_ns=None, keep_bytes=None)
    writer.open()
    writer.begin({"recording": "by hand", "epoch_base": "0", "version": "0", "endpoint": "", "protocol": "v2"})
    at = START_NS
    importer.begin(at)
    for number in range(1, 4):
        importer.take(0, _trade(number), at := at + 10**9)
    packer.note(
        records.Hole(from_ns=at, until_ns=at + 1, batches=3, frames=9, why="the disk was full"), at, importer.now
    )
    packer.key(records.CycleBegun(number=1), at, importer.now)
    packer.key(records.ClientFrame(state="subscribed", epoch=1, received_ns=at), at, importer.now)
    event = kt.Trade.__name__
    assert event == "Trade"
    sub = importer.session.subscription(("trade", "BTC/USD"))
    assert sub is not None
    packer.key(records.key_frame(sub.request, sub.step.value, sub.state.keep()), at, importer.now)
    packer.key(records.CycleEnded(number=1), at, importer.now)
    unknown: Any = records.Other(what="SomethingNew", fields={"of": ["a", "later", {"version": 1}]})
    packer._add(6, records.encode(unknown).replace(b'"Other"', b'"Unheard"'), at, 0)
    importer.take(0, b'{"channel":"unheard of","type":"update","data":[]}', at := at + 10**9)
    importer.take(0, b"not JSON", at := at + 10**9)
    for number in (4, 5, 9):
        importer.take(0, _trade(number), at := at + 10**9)
    importer.end()
    requests = {"wanted": "[]", "confirmed": records.named_requests(tuple(importer.confirmed)), "epoch": "1"}
    writer.write(Job(block=packer.take(), requests=requests, begins_segment=True, now_ns=at))
    writer.finish()
    writer.close()


def _trade(number: int) -> bytes:
    return (
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":60000.1,"qty":0.00010000,'
        f'"ord_type":"limit","trade_id":{number},"timestamp":"2027-01-15T08:00:00.123456Z"}}]}}'
    ).encode()


LOGS: dict[str, Callable[[Path], None]] = {"1-client": client, "1-runs": runs, "1-kinds": kinds}
"""By their names, each of which begins with the number of its format."""


ADDED: dict[str, tuple[str, ...]] = {"StateChange": ("retry_at",)}
"""Fields that later versions have added: an event of an earlier one has their defaults."""


def _as_it_was(event: kt.Event) -> bytes:
    """An event as the version that recorded it would have written it."""
    name, fields = json.loads(encode_event(event))
    added = ADDED.get(name, ())
    if not added:
        return encode_event(event)
    return msgspec.json.encode((name, {key: value for key, value in fields.items() if key not in added or value}))


def digest(folder: Path) -> dict[str, Any]:
    """Of all that was recorded, and of the client's own events: how many there are, and what they are."""
    found: dict[str, Any] = {}
    for request in (*kt.recorded_requests(folder), kt.Lifecycle()):
        events = hashlib.sha256()
        count = 0
        with kt.read_events(folder, request) as reader:
            for event in reader:
                events.update(_as_it_was(event) + b"\n")
                count += 1
            damage = reader.damage
        found[str(request)] = {"events": count, "sha256": events.hexdigest(), "damage": list(damage)}
    return found


def main(names: list[str]) -> None:
    digests = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    for name in names or LOGS:
        folder = CORPUS / name
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
        LOGS[name](folder)
        for path in folder.glob(".recorder.*"):
            path.unlink()
        digests[name] = digest(folder)
    DIGESTS.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
