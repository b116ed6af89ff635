"""cryptofeed: its feed, on its event loop (uvloop), from the socket to a callback that reads the best bid."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from cryptofeed.connection import WebsocketEndpoint
from cryptofeed.exchanges.kraken import Kraken

from benchmarks.sides import common
from benchmarks.sides.cryptofeed_handler import make_feed


async def main() -> None:
    task = common.job()
    arrivals = common.Arrivals(task)
    snapshots = 1

    async def callback(book: object, _timestamp: float) -> None:
        nonlocal snapshots
        book.book.bids.index(0)  # type: ignore[attr-defined]
        if snapshots:
            snapshots -= 1
        elif arrivals.one():
            arrivals.finish()

    Kraken.websocket_endpoints = [WebsocketEndpoint("wss" + task["url"].removeprefix("wss").removeprefix("ws"))]
    feed = make_feed(task["depth"], callback)
    connect = feed.connect

    def connect_there() -> list[Any]:
        """Its own connections, at our address: it insists on wss until they are made."""
        made = connect()
        for connection, _, _ in made:
            connection.address = task["url"]
        return list(made)

    feed.connect = connect_there
    await feed.run(asyncio.Event())


uvloop.run(main())
