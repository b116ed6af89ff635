"""What our session allocates per book update: handed to the user, kept, and in between. Counted, not timed."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import islice
from typing import Any

from kraken_trio import Book, Settings
from kraken_trio.endpoint import PUBLIC_V2
from kraken_trio.session import Session
from kraken_trio.wire.codec import codec_for

from benchmarks.sides import common

BATCH = 16
WARM = 2000


def main() -> None:
    task: dict[str, Any] = common.job()
    snapshots, updates = common.load(task["frames"])
    tracemalloc.start()  # from the beginning, so that a level that is replaced was counted when it came
    session = Session(Settings(), lambda: 0.0, codec_for("v2"), PUBLIC_V2)
    session.open(0.0)
    session.connected(0.0)
    session.add("feed", [Book(common.SYMBOL, task["depth"])], 0.0)
    session.receive(snapshots, 1, 0.0)
    batches = iter([updates[start : start + BATCH] for start in range(0, len(updates) - BATCH, BATCH)])
    rounds = task["messages"] // BATCH
    messages = rounds * BATCH

    def warm() -> None:
        for batch in islice(batches, WARM // BATCH):
            session.receive(batch, 1, 0.0)

    warm()
    gc.collect()
    collections = [0]

    def count(phase: str, _info: object) -> None:
        collections[0] += phase == "start"

    gc.callbacks.append(count)
    for batch in islice(batches, rounds):
        session.receive(batch, 1, 0.0)
    gc.callbacks.remove(count)

    gc.collect()
    held: list[Any] = [None] * (messages + 8)
    before, blocks_before = tracemalloc.get_traced_memory()[0], _traces()
    at = peak = 0
    for batch in islice(batches, rounds):
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        events = session.receive(batch, 1, 0.0).deliver["feed"]
        peak = max(peak, tracemalloc.get_traced_memory()[1] - start)
        held[at : at + len(events)] = events
        at += len(events)
        del events
    handed, blocks_handed = tracemalloc.get_traced_memory()[0] - before, _traces() - blocks_before
    held.clear()
    gc.collect()
    kept, blocks_kept = tracemalloc.get_traced_memory()[0] - before, _traces() - blocks_before
    assert at == messages
    assert session.statistics().checksum_failures == 0
    common.done(
        messages=messages,
        handed_bytes=handed / messages,
        handed_blocks=blocks_handed / messages,
        kept_bytes=kept / messages,
        kept_blocks=blocks_kept / messages,
        peak_batch_bytes=peak,
        collections_per_1000=collections[0] * 1000 / messages,
    )


def _traces() -> int:
    return len(tracemalloc.take_snapshot().traces)


main()
