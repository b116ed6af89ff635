"""The readers in JavaScript of docs/examples/javascript, beside real brokers: what they print is the book."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import trio

import kraken_trio as kt
from kraken_trio._zstd import zstd
from kraken_trio.broker.choice import engine_for
from kraken_trio.broker.messages import Batch, KeyFrame, encode
from kraken_trio.broker.subjects import Kind, Subject
from kraken_trio.testing import Network, open_exchange, run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from kraken_trio.broker.seam import Fence, Link
    from tests.broker.kafka_server import KafkaServer
    from tests.broker.nats_server import NatsServer

READERS = Path(__file__).parents[2] / "docs" / "examples" / "javascript"
SYMBOL = "BTC/USD"
DEPTH: Final = 100
EVENTS: Final = 120
PATIENCE: Final = 120.0
"""Seconds for a reader that takes two."""
NO_NETWORK = re.compile("ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN")
"""How npm says that it cannot reach a registry."""


@attrs.frozen
class Outgoing:
    subject: Subject
    data: bytes
    message_id: str


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the readers, with what they need."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    folder = tmp_path_factory.mktemp("readers") / "javascript"
    shutil.copytree(READERS, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run([npm, "ci"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and NO_NETWORK.search(done.stderr):
        pytest.skip("npm reaches no registry")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_lock_file_names_no_registry() -> None:
    locked = json.loads((READERS / "package-lock.json").read_text(encoding="utf-8"))
    assert len(locked["packages"]) > 1
    assert all("resolved" not in package for package in locked["packages"].values())


@pytest.fixture(scope="module")
def story() -> Story:
    """Of the updates of a book, as a client gets them."""
    found: list[kt.BookSnapshot | kt.BookUpdate] = []

    async def collect() -> None:
        network = Network()
        async with (
            open_exchange(network=network) as exchange,
            kt.open_client(exchange.url, transport=network.transport()) as client,
            client.subscribe(kt.Book(SYMBOL, depth=DEPTH)) as feed,
        ):
            while len(found) < EVENTS:
                event = await feed.receive()
                assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
                found.append(event)

    run_virtual(collect)
    return Story(found)


def batch(producer: int, seq: int, events: Sequence[Any]) -> Outgoing:
    data = encode(Batch(producer=producer, seq=seq, channel="book", symbol=SYMBOL, events=events))
    return Outgoing(Subject(0, Kind.DATA, "book", SYMBOL), data, f"0.{producer}.book.{SYMBOL}.{seq}")


def key_frame(producer: int, seq: int, state: kt.BookSnapshot, name: str) -> Outgoing:
    frame = KeyFrame(
        producer=producer,
        seq=seq,
        channel="book",
        symbol=SYMBOL,
        request=kt.Book(SYMBOL, depth=DEPTH),
        events=[state],
        marks={},
    )
    return Outgoing(Subject(0, Kind.KEY, "book", SYMBOL), encode(frame), f"0.{producer}.key.book.{SYMBOL}.{seq}.{name}")


def compressed(message: Outgoing) -> Outgoing:
    """As large messages are."""
    return attrs.evolve(message, data=zstd.compress(message.data))


class Story:
    """What is published, and what a reader prints of it: one line for each verified state."""

    def __init__(self, events: Sequence[kt.BookSnapshot | kt.BookUpdate]) -> None:
        self.events = events
        self.book = kt.OrderBook(DEPTH)
        self.states: list[kt.BookSnapshot] = []
        """After each event."""
        for event in self.events:
            self.book.apply(event)
            self.states.append(self.book.snapshot())

    def line(self, producer: int, seq: int, at: int) -> dict[str, Any]:
        state = self.states[at]
        best = {
            side: {"price": level.price_text, "qty": level.qty_text}
            for side, level in (("bid", state.bids[0]), ("ask", state.asks[0]))
        }
        return {"producer": producer, "seq": seq, **best, "checksum": state.checksum}

    def first(self, producer: int, attempt: int) -> Outgoing:
        return key_frame(producer, 0, self.states[0], f"first{attempt}")

    def rest(self, producer: int) -> tuple[list[Outgoing], list[dict[str, Any]]]:
        """Messages after the first event, of this owner and then of the next one, and what is printed."""
        events, later = self.events, producer + 1
        broken = kt.BookUpdate(symbol=SYMBOL, bids=(), asks=(), checksum=1)
        gap = kt.Gap(symbol=SYMBOL, channel="book", cause=kt.Cause.DISCONNECTED)
        messages = [
            batch(producer, 1, events[1:20]),
            batch(producer, 1, events[1:20]),  # repeated
            batch(producer, 10, events[10:30]),  # in part
            key_frame(producer, 29, self.states[29], "idle"),  # of no use: it has the book
            batch(producer, 40, events[40:45]),  # 30 to 39 are missing
            compressed(key_frame(producer, 44, self.states[44], "after")),
            batch(producer, 45, [*events[45:50], broken]),  # fails
            batch(producer, 51, events[50:55]),
            key_frame(producer, 55, self.states[54], "verified"),
            batch(producer, 56, [gap, self.states[60], *events[61:65]]),
            # Another owner
            batch(later, 0, [self.states[64], *events[65:70]]),
            batch(producer, 62, events[70:75]),  # stale
            key_frame(producer, 66, self.states[74], "stale"),
            batch(later, 6, events[70:120]),
        ]
        lines = [
            *(self.line(producer, seq, seq) for seq in range(1, 30)),
            *(self.line(producer, seq, seq) for seq in range(44, 50)),
            *(self.line(producer, seq, seq - 1) for seq in (55,)),
            *(self.line(producer, seq, seq + 3) for seq in range(57, 62)),
            *(self.line(later, seq, seq + 64) for seq in range(56)),
        ]
        return messages, lines


async def reading(process: trio.Process) -> AsyncGenerator[dict[str, Any], None]:
    """What it prints."""
    assert process.stdout is not None
    buffer = b""
    async for chunk in process.stdout:
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


async def check(story: Story, folder: Path, program: str, url: str) -> None:
    """Play the story to a reader, and compare what it prints."""
    engine = engine_for(url)
    seen: list[dict[str, Any]] = []
    async with engine.connect() as link, trio.open_nursery() as nursery:
        fence = None
        while fence is None:
            fence = await link.acquire(0, "test")
        producer = fence.producer
        start = partial(trio.run_process, cwd=folder, stdout=subprocess.PIPE, check=False)
        process = await nursery.start(start, ["node", program, url, SYMBOL])
        with trio.fail_after(PATIENCE):
            async with aclosing(reading(process)) as lines:
                # It begins with what comes after its start: nobody knows when that is.
                has_begun = trio.Event()
                nursery.start_soon(repeat, link, fence, story, has_begun)
                seen.append(await anext(lines))
                has_begun.set()
                messages, wanted = story.rest(producer)
                await link.publish(fence, messages)
                wanted.insert(0, story.line(producer, 0, 0))
                while len(seen) < len(wanted):
                    seen.append(await anext(lines))
        process.terminate()
    assert seen == wanted


async def repeat(link: Link, fence: Fence, story: Story, has_begun: trio.Event) -> None:
    """Publish key frames of the first state, until the reader has one."""
    for attempt in itertools.count():
        if has_begun.is_set():
            return
        await link.renew(fence)
        await link.publish(fence, [story.first(fence.producer, attempt)])
        with trio.move_on_after(0.1):
            await has_begun.wait()


@pytest.mark.brokers
async def test_nats(story: Story, javascript: Path, nats: NatsServer) -> None:
    await check(story, javascript, "nats.js", f"{nats.url}/javascript?max_bytes=64MiB")


@pytest.mark.brokers
async def test_kafka(story: Story, javascript: Path, kafka: KafkaServer) -> None:
    await check(story, javascript, "kafka.js", f"kafka://{kafka.address}/javascript")
