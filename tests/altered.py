"""Recordings that are made for tests, taken apart, changed, and written again: with every checksum and index right."""

from __future__ import annotations

import shutil
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import attrs
import trio

import kraken_trio as kt
from kraken_trio.recording import format as fmt, scan
from kraken_trio.runtime.recorder import in_line
from kraken_trio.storage.reading import open_folder
from kraken_trio.testing import CorruptLevel, Drop, EndSubscription, Market, Raw, SetStatus, SkipUpdate, run_virtual
from kraken_trio.testing.exchange.core import ExchangeCore
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS
from kraken_trio.testing.exchange.shell import Shell
from tests.client.conftest import InMemoryExchange
from tests.logs import Message, packed, reader
from tests.opening import open_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from kraken_trio.recording.index import SegmentIndex
    from kraken_trio.runtime.recorder import Work
    from kraken_trio.testing import MarketSpec

EPOCH_NS = 1_785_628_790_000_000_000
"""A few seconds before midnight (UTC)."""
STORY = (
    (6, SetStatus(system="post_only")),
    (8, CorruptLevel(symbol="BTC/USD")),
    (12, Raw(payload="{nonsense")),
    (15, Drop(notice="CloudFlare WebSocket proxy restarting")),
    (22, EndSubscription(channel="ticker", symbol="BTC/USD")),
    (25, SkipUpdate(symbol="ETH/USD", top=True)),
)
"""What happens while it is recorded, and when."""


class Exchange(InMemoryExchange):
    """Whose clock is right."""

    def trade(self, specs: Iterable[MarketSpec] = DEFAULT_MARKETS, *, rate: float = 20.0) -> Shell:
        market = Market(tuple(specs), seed=8, rate=rate, start_ns=EPOCH_NS)
        core = ExchangeCore(market, now=trio.current_time(), epoch_ns=EPOCH_NS, seed=7)
        self.shell = Shell(core, None, None)
        return self.shell


@asynccontextmanager
async def recorded(
    exchange: InMemoryExchange,
    folder: Path,
    *,
    max_segment_bytes: int = 256 * 1024 * 1024,
    max_pending_bytes: int = 64 * 1024 * 1024,
    work: Work = in_line,
) -> AsyncIterator[kt.Client]:
    """A client on virtual time that is recorded."""
    opening = open_at(exchange, lambda: EPOCH_NS + round(trio.current_time() * 1e9))
    async with (
        opening as client,
        kt.record(
            client,
            folder,
            kt.Book("BTC/USD", 10),
            kt.Book("ETH/USD", 25),
            kt.Trades("BTC/USD"),
            kt.Ticker("BTC/USD"),
            kt.Candles("ETH/USD"),
            keyframe_every=5,
            max_segment_bytes=max_segment_bytes,
            max_pending_bytes=max_pending_bytes,
            work=work,
        ),
    ):
        yield client


def record_story(folder: Path) -> None:
    """Two runs of a recorder, with many faults, over midnight: some six hundred messages in a few segments."""
    run_virtual(_tell_story, folder, seed=3)


async def _tell_story(folder: Path) -> None:
    async with trio.open_nursery() as nursery:
        exchange = Exchange()
        nursery.start_soon(exchange.keep_time)
        async with recorded(exchange, folder, max_segment_bytes=9000) as client:
            for at, fault in STORY:
                await trio.sleep_until(at)
                exchange.inject(fault)
            async with client.subscribe(kt.Trades("ETH/USD"), kt.Lifecycle()):
                await trio.sleep(4)
            await trio.sleep(2)
        await trio.sleep(3)
        async with recorded(exchange, folder):
            await trio.sleep(9)
        nursery.cancel_scope.cancel()


Block: TypeAlias = "list[Message]"
Said: TypeAlias = "tuple[str, dict[str, str]]"


@attrs.define
class File:
    """A segment, taken apart."""

    name: str
    values: dict[str, str]
    records: list[Block | Said]
    """Chunks and metadata, in order."""
    header: dict[int, tuple[int, int]] = attrs.Factory(dict)
    """Times that the header of a chunk says, where they are not those of its messages, by its index in ``records``."""

    def pack(self) -> bytes:
        """As a recorder would have written it: with every checksum and index right."""
        offsets: dict[str, str] = {}
        while True:  # offsets have as many digits as they have: until nothing moves
            data, index = self._pack(offsets)
            found = {f"#{number}": str(entry.offset) for number, entry in enumerate(index.chunks)}
            if found == offsets:
                return data + fmt.end(index)
            offsets = found

    def _pack(self, offsets: Mapping[str, str]) -> tuple[bytes, SegmentIndex]:
        values = {key: value for key, value in self.values.items() if key != "format"}
        data = fmt.begin(f"kraken_trio {values.get('version')}", values)
        index = attrs.evolve(scan.read_head(reader(data)), end=len(data), counts={})
        assert index.counts is not None
        for place, record in enumerate(self.records):
            if isinstance(record, tuple):
                name, said = record
                new = fmt.metadata(name, {key: offsets.get(value, value) for key, value in said.items()})
                index.metadata.append(fmt.read_metadata(new, len(data)))
            else:
                times = [message[2] for message in record] or [0]
                start, end = self.header.get(place, (min(times), max(times)))
                new, entry = fmt.chunk(packed(record), start, end)
                index.chunks.append(attrs.evolve(entry, offset=len(data)))
                for message in record:
                    index.counts[message[0]] = index.counts.get(message[0], 0) + 1
            data += new
            index.end = len(data)
        index.data_crc = zlib.crc32(data)
        return data, index


def take_apart(folder: Path) -> list[File]:
    """The segments of a folder. What names the offset of a chunk names its number instead, with a ``#``."""
    files = []
    with open_folder(folder) as opened:
        for segment in opened.segments:
            index = segment.index
            numbers = {str(entry.offset): f"#{number}" for number, entry in enumerate(index.chunks)}
            records: list[tuple[int, Block | Said]] = [(entry.offset, segment.read(entry)) for entry in index.chunks]
            for entry in index.metadata:
                said = dict(entry.values)
                if "offset" in said:
                    said["offset"] = numbers[said["offset"]]
                records.append((entry.offset, (entry.name, said)))
            records.sort(key=lambda record: record[0])
            files.append(File(segment.name, dict(segment.values), [record for _, record in records]))
    return files


def put_together(files: Iterable[File], folder: Path, *, relink: bool = True) -> None:
    """Write segments, with offsets in the place of numbers; ``relink``: each with the checksum of the one before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    crc = None
    for original in files:
        file = original
        if relink and crc is not None and file.values.get("previous_crc"):
            file = attrs.evolve(file, values={**file.values, "previous_crc": crc})
        data = file.pack()
        (folder / file.name).write_bytes(data)
        crc = f"{scan.read_index(reader(data), len(data), file.name).data_crc:08x}"


def blocks(file: File) -> list[tuple[int, Block]]:
    """The chunks of a segment, with their places in its records."""
    return [(place, record) for place, record in enumerate(file.records) if isinstance(record, list)]


def block_of(file: File, place: int) -> Block:
    """The chunk in this place, as a new list."""
    record = file.records[place]
    assert isinstance(record, list)
    return list(record)


def with_data(message: Message, data: bytes) -> Message:
    """The message with other data."""
    return (*message[:4], data)


def with_record(file: File, place: int, record: Block | Said) -> File:
    """The segment with another record in this place."""
    return attrs.evolve(file, records=[*file.records[:place], record, *file.records[place + 1 :]])
