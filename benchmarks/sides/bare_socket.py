"""A WebSocket library, or our transport, alone: it receives the same frames, and nothing is done with them."""

from __future__ import annotations

import json
import ssl
from typing import Any

import trio

from benchmarks.sides import common


def wanted(task: dict[str, Any]) -> str:
    params = {"channel": "book", "symbol": task["symbols"], "depth": task["depth"], "snapshot": True}
    return json.dumps({"method": "subscribe", "params": params, "req_id": 1})


async def trio_websocket(task: dict[str, Any], arrivals: common.Arrivals) -> None:
    import trio_websocket as library  # noqa: PLC0415 (only the one that is measured)

    async with library.open_websocket_url(task["url"], ssl_context=_context(task)) as socket:
        await socket.send_message(wanted(task))
        # The status, and per symbol the answer and the snapshot.
        for _ in range(1 + 2 * len(task["symbols"])):
            await socket.get_message()
        while True:
            await socket.get_message()
            if arrivals.one():
                arrivals.finish()


async def websockets_trio(task: dict[str, Any], arrivals: common.Arrivals) -> None:
    from websockets.trio.client import connect  # noqa: PLC0415 (only the one that is measured)

    async with connect(task["url"], ssl=_context(task), compression=None) as socket:
        await socket.send(wanted(task))
        for _ in range(1 + 2 * len(task["symbols"])):
            await socket.recv()
        while True:
            await socket.recv()
            if arrivals.one():
                arrivals.finish()


async def ours(task: dict[str, Any], arrivals: common.Arrivals) -> None:
    """Our transport on websockets' core, without a client above it."""
    from kraken_trio import Settings  # noqa: PLC0415 (only the one that is measured)
    from kraken_trio.transport import Limits  # noqa: PLC0415
    from kraken_trio.transport.choice import choose  # noqa: PLC0415

    known = Settings()
    limits = Limits(
        connect_timeout=known.connect_timeout, close_timeout=known.close_timeout, max_frame_bytes=known.max_frame_bytes
    )
    connect = choose("websockets")
    async with connect(task["url"], ssl_context=_context(task), limits=limits) as transport:
        await transport.send(wanted(task))
        first = 1 + 2 * len(task["symbols"])
        count = 0
        while True:
            count += len(await transport.receive())
            if count > first and arrivals.many(count - first - arrivals.count):
                arrivals.finish()


def _context(task: dict[str, Any]) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=task["authority"]) if task.get("authority") else None


def main() -> None:
    task = common.job()
    trio.run(
        {"trio-websocket": trio_websocket, "websockets": websockets_trio, "ours": ours}[task["library"]],
        task,
        common.Arrivals(task),
    )


main()
