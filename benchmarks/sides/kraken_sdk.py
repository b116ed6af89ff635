"""python-kraken-sdk: its order book client, as handler and from the socket, with a callback that reads the best bid."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from kraken.spot import Market, SpotOrderBookClient
from kraken.spot.websocket import SpotWSClientBase

from benchmarks.sides import common

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FAILURES: list[str] = []


class Client(SpotOrderBookClient):  # type: ignore[misc]  # the library has no types
    """It resubscribes after a failed checksum; here that is noted instead."""

    async def remove_book(self, pairs: list[str]) -> None:
        FAILURES.extend(pairs)


def know_symbol() -> None:
    """Say the decimals, in place of asking the exchange's REST service."""
    info = {common.SYMBOL: {"pair_decimals": common.PRICE_DECIMALS, "lot_decimals": common.QTY_DECIMALS}}
    Market.get_asset_pairs = lambda _self, pair: {pair: info[pair]}


async def handler(task: dict[str, Any]) -> None:
    snapshots, updates = common.load(task["frames"])
    passes = common.Passes(task)

    async def callback(pair: str, message: object) -> None:
        """Do nothing."""

    async def begin() -> Callable[[list[bytes]], Awaitable[object]]:
        client = Client(depth=task["depth"], callback=callback)

        async def run(frames: list[bytes]) -> None:
            for frame in frames:
                await client.on_message(json.loads(frame))

        await run(snapshots)
        return run

    # It may take milliseconds per frame.
    work = [updates[start : start + 20] for start in range(0, len(updates), 20)]
    await passes.run_async(begin, work)
    common.done(samples_ns=passes.samples, messages=passes.messages, checksum_failures=len(FAILURES))


async def socket(task: dict[str, Any]) -> None:
    arrivals = common.Arrivals(task)
    snapshots = 1
    SpotWSClientBase.WS_URL = task["url"].removesuffix("/v2")

    async def callback(pair: str, message: object) -> None:  # noqa: ARG001 (it is called by these names)
        nonlocal snapshots
        next(iter(client.get(pair)["bid"]))
        if snapshots:
            snapshots -= 1
        elif arrivals.one():
            arrivals.finish(checksum_failures=len(FAILURES))

    client = Client(depth=task["depth"], callback=callback)
    await client.start()
    await client.add_book(pairs=[common.SYMBOL])
    await asyncio.sleep(600)


async def main() -> None:
    task = common.job()
    know_symbol()
    await (socket if task.get("url") else handler)(task)


asyncio.run(main())
