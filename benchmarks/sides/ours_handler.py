"""Our processing without a socket: decoding, a verified book, the whole session, and a feed with its own book."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import trio
from kraken_trio import Book, OrderBook, Overflow, Settings
from kraken_trio.book import core
from kraken_trio.endpoint import PUBLIC_V2
from kraken_trio.runtime.feed import open_feed
from kraken_trio.session import Session
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Data

from benchmarks.sides import common

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kraken_trio.requests import Depth

SETTINGS = Settings(request_rate=10_000.0, request_burst=5000)
"""Kraken's limits on requests are not what is measured."""
BATCH = 16
"""Frames that the session is given at once, as one socket read brings them."""


def decode() -> Callable[[list[bytes]], object]:
    handle = codec_for("v2").decode

    def run(frames: list[bytes]) -> None:
        for frame in frames:
            handle(frame, epoch=1, received_ns=1)

    return run


def pieces(snapshots: list[bytes], depth: int) -> Callable[[list[bytes]], object]:
    """Decode, apply and verify, with the two public pieces."""
    handle = codec_for("v2").decode
    order_book = OrderBook(depth)
    apply = order_book.apply

    def run(frames: list[bytes]) -> None:
        for frame in frames:
            message = handle(frame, epoch=1, received_ns=1)
            assert isinstance(message, Data)
            for event in message.events:
                apply(event)  # type: ignore[arg-type]  # a book frame has only these

    run(snapshots)
    return run


def frame_path(snapshots: list[bytes], depth: Depth, batch: int) -> tuple[Callable[[list[bytes]], object], Session]:
    """The same in the compiled core: the session's way for usual frames, without the session."""
    _, ours = session(snapshots, depth)
    (take,) = ours._intake._takes

    deliver: dict[Any, list[Any]] = defaultdict(list)

    def run_single(frames: list[bytes]) -> None:
        for frame in frames:
            single = [frame]
            if not take(single, 0, 1, 1, deliver):
                ours.receive(single, 1, 0.0)
            deliver.clear()

    def run(frames: list[bytes]) -> None:
        for start in range(0, len(frames), batch):
            part = frames[start : start + batch]
            index = take(part, 0, 1, 1, deliver)
            deliver.clear()
            if index < len(part):  # an unusual frame, which the pure code takes
                ours.receive(part[index:], 1, 0.0)

    return run_single if batch == 1 else run, ours


def session(
    snapshots: list[bytes], depth: Depth, batch: int = BATCH
) -> tuple[Callable[[list[bytes]], object], Session]:
    """Decode, route, apply, verify, and sort into feeds: all that happens between two socket reads."""
    ours = Session(SETTINGS, lambda: 0.0, codec_for("v2"), PUBLIC_V2)
    ours.open(0.0)
    ours.connected(0.0)
    if snapshots:
        ours.add("feed", [Book(_symbol(frame), depth) for frame in snapshots], 0.0)
    ours.receive(snapshots, 1, 0.0)
    receive = ours.receive

    def run(frames: list[bytes]) -> None:
        for start in range(0, len(frames), batch):
            receive(frames[start : start + batch], 1, 0.0)

    return run, ours


def events_of(frames: list[bytes]) -> list[Any]:
    handle = codec_for("v2").decode
    found: list[Any] = []
    for frame in frames:
        message = handle(frame, epoch=1, received_ns=1)
        assert isinstance(message, Data)
        found += message.events
    return found


def follow(snapshots: list[bytes], depth: int) -> Callable[[list[Any]], object]:
    """What the book of a feed does with each event: it follows, as the client's own book has verified it."""
    handle = OrderBook(depth).follow

    def run(events: list[Any]) -> None:
        for event in events:
            handle(event)

    run(events_of(snapshots))
    return run


async def feed(snapshots: list[bytes], depth: Depth) -> Callable[[list[bytes]], Awaitable[object]]:
    """The session, and a consumer that has received each batch and looked at the best price."""
    _, ours = session([], depth)
    request = Book(_symbol(snapshots[0]), depth)
    sender, consumer = open_feed([request], 1024, Overflow.BACKPRESSURE)
    ours.add(sender, sender.requests, 0.0)
    handle, offer, take = ours.receive, sender.offer, consumer.receive_many

    async def run(frames: list[bytes]) -> None:
        for start in range(0, len(frames), BATCH):
            offer(handle(frames[start : start + BATCH], 1, 0.0).deliver[sender])
            await take()
            best = consumer.book(request.symbol).best_bid
            assert best is not None
            best.price  # noqa: B018 (reading it is the work)

    await run(snapshots)
    return run


def _symbol(snapshot: bytes) -> str:
    return snapshot.split(b'"symbol":"', 1)[1].split(b'"', 1)[0].decode()


def main() -> None:
    task: dict[str, Any] = common.job()
    snapshots, updates = common.load(task["frames"])
    warm = task.get("warm", 0)
    first, updates = updates[:warm], updates[warm:]
    passes = common.Passes(task)
    stage, depth = task["stage"], task["depth"]
    assert task["core"] == core.NAME
    last: list[Session] = []

    def begin() -> Callable[[list[bytes]], object]:
        if stage == "decode":
            return decode()
        if stage == "follow":
            return follow(snapshots, depth)
        if stage == "pieces" or (stage in ("book", "book1") and core.NAME == "pure"):
            return pieces(snapshots, depth)
        batch = 1 if stage.endswith("1") else BATCH
        run, ours = (session if stage.startswith("session") else frame_path)(snapshots, depth, batch)
        last[:] = [ours]
        run(first)
        return run

    if stage == "feed":
        trio.run(passes.run_async, lambda: feed(snapshots, depth), common.chunks(updates))
    elif stage == "follow":
        # So few at a time that they are in the processor's caches, as what has just been decoded is.
        passes.run(begin, [updates[start : start + 64] for start in range(0, len(updates), 64)], events_of)
    else:
        passes.run(begin, common.chunks(updates))
    for ours in last:
        seen = ours.statistics()
        assert seen.checksum_failures == seen.malformed == seen.late == 0
        assert seen.checksums_verified == passes.messages + len(snapshots) + warm
        if core.NAME == "compiled":
            assert seen.pure_updates <= 0.01 * passes.messages
    common.done(samples_ns=passes.samples, messages=passes.messages)


main()
