"""ccxt.pro: its Kraken class, as handler and from the socket. It verifies no checksum: it has that turned off.

From the socket, its user code gets the newest book whenever it comes to wait, not each update: the run is over when it
has seen the book of the last update.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ccxt.pro
import uvloop

from benchmarks.sides import common

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def make() -> Any:
    exchange = ccxt.pro.kraken({"enableRateLimit": False})
    base, quote = common.SYMBOL.split("/")
    market = exchange.safe_market_structure(
        {
            "id": base + quote,
            "symbol": common.SYMBOL,
            "base": base,
            "quote": quote,
            "baseId": base,
            "quoteId": quote,
            "type": "spot",
            "spot": True,
            "active": True,
            "info": {"wsname": common.SYMBOL},
        }
    )
    exchange.set_markets([market])
    return exchange


async def handler(task: dict[str, Any]) -> None:
    snapshots, updates = common.load(task["frames"])
    passes = common.Passes(task)
    exchange = make()

    async def begin() -> Callable[[list[str]], Awaitable[object]]:
        client = exchange.client("ws://127.0.0.1/")
        client.subscriptions[f"orderbook:{common.SYMBOL}"] = {"limit": task["depth"]}
        client.subscriptions[exchange.get_message_hash("orderbook", None, common.SYMBOL)] = {"limit": task["depth"]}
        handle = client.handle_text_or_binary_message

        async def run(frames: list[str]) -> None:
            for frame in frames:
                handle(frame)

        await run([frame.decode() for frame in snapshots])
        return run

    await passes.run_async(begin, common.chunks([frame.decode() for frame in updates]))
    book = exchange.orderbooks[common.SYMBOL]
    assert book["bids"][0][0] < book["asks"][0][0]
    common.done(samples_ns=passes.samples, messages=passes.messages)


async def socket(task: dict[str, Any]) -> None:
    arrivals = common.Arrivals(task)
    exchange = make()
    exchange.cafile = task.get("authority") or exchange.cafile
    exchange.urls["api"]["ws"]["publicV2"] = task["url"]
    last = json.loads(task["last_update"])["data"][0]["timestamp"]
    warm = json.loads(task["warm_update"])["data"][0]["timestamp"]
    seen = 0
    while True:
        book = await exchange.watch_order_book(common.SYMBOL, task["depth"])
        book["bids"][0]
        seen += 1
        when = book["datetime"]
        if when == warm and arrivals.count < task["warmup"]:
            arrivals.many(task["warmup"])
        elif when == last:
            arrivals.count = task["total"]
            arrivals.finish(wakeups=seen)


async def main() -> None:
    task = common.job()
    await (socket if task.get("url") else handler)(task)


uvloop.run(main())
