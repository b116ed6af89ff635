"""Our processing without a socket: the decoder; that and an order book; the whole session; that and a feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from kraken_trio import Book, OrderBook, Overflow, Settings
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


def book(snapshots: list[bytes], depth: int) -> Callable[[list[bytes]], object]:
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


def session(snapshots: list[bytes], depth: Depth) -> tuple[Callable[[list[bytes]], object], Session]:
    """Decode, route, apply, verify, and sort into feeds: all that happens between two socket reads."""
    ours = Session(SETTINGS, lambda: 0.0, codec_for("v2"), PUBLIC_V2)
    ours.open(0.0)
    ours.connected(0.0)
    if snapshots:
        ours.add("feed", [Book(_symbol(frame), depth) for frame in snapshots], 0.0)
    ours.receive(snapshots, 1, 0.0)
    receive = ours.receive

    def run(frames: list[bytes]) -> None:
        for start in range(0, len(frames), BATCH):
            receive(frames[start : start + BATCH], 1, 0.0)

    return run, ours


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
    passes = common.Passes(task)
    stage = task["stage"]
    last: list[Session] = []

    def begin() -> Callable[[list[bytes]], object]:
        if stage == "decode":
            return decode()
        if stage == "book":
            return book(snapshots, task["depth"])
        run, ours = session(snapshots, task["depth"])
        last[:] = [ours]
        return run

    if stage == "feed":
        trio.run(passes.run_async, lambda: feed(snapshots, task["depth"]), common.chunks(updates))
    else:
        passes.run(begin, common.chunks(updates))
    for ours in last:
        seen = ours.statistics()
        assert seen.checksum_failures == seen.malformed == seen.late == 0
        assert seen.checksums_verified == passes.messages + len(snapshots)
    common.done(samples_ns=passes.samples, messages=passes.messages)


main()
