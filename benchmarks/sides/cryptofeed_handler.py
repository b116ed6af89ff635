"""cryptofeed: its Kraken message handler, with checksum validation, and a callback that does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvloop
from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges.kraken import Kraken
from cryptofeed.symbols import Symbol, Symbols

from benchmarks.sides import common

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def know_symbol() -> str:
    """Say which symbols there are, in place of asking the exchange's REST service."""
    symbol = Symbol(*common.SYMBOL.split("/"))
    Symbols.set(Kraken.id, {symbol.normalized: common.SYMBOL}, {"instrument_type": {symbol.normalized: symbol.type}})
    return str(symbol.normalized)


def make_feed(depth: int, callback: Callable[..., Awaitable[None]]) -> Any:
    return Kraken(
        symbols=[know_symbol()],
        channels=[L2_BOOK],
        callbacks={L2_BOOK: callback},
        checksum_validation=True,
        max_depth=depth,
    )


async def main() -> None:
    task = common.job()
    snapshots, updates = common.load(task["frames"])
    passes = common.Passes(task)
    seen = 0

    async def callback(_book: object, _timestamp: float) -> None:
        nonlocal seen
        seen += 1

    async def begin() -> Callable[[list[str]], Awaitable[object]]:
        feed = make_feed(task["depth"], callback)
        feed._ensure_symbol_mapping()
        handler = feed.message_handler

        async def run(frames: list[str]) -> None:
            for frame in frames:
                await handler(frame, None, 1.0)

        await run([frame.decode() for frame in snapshots])
        return run

    await passes.run_async(begin, common.chunks([frame.decode() for frame in updates]))
    assert seen
    common.done(samples_ns=passes.samples, messages=passes.messages)


if __name__ == "__main__":
    uvloop.run(main())
