"""A WebSocket library, our transport, Trio, or the system, alone: the same frames are received, and only counted."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import Any

import trio

from benchmarks.sides import common


def wanted(task: dict[str, Any]) -> str:
    params = {"channel": "book", "symbol": task["symbols"], "depth": task["depth"], "snapshot": True}
    return json.dumps({"method": "subscribe", "params": params, "req_id": 1})


async def trio_websocket(task: dict[str, Any], arrivals: common.Arrivals) -> None:
    import trio_websocket as library  # noqa: PLC0415 (only the one that is measured)

    async with library.open_websocket_url(task["url"], ssl_context=_context(task)) as ws:
        await ws.send_message(wanted(task))
        # The status, and per symbol the answer and the snapshot.
        for _ in range(1 + 2 * len(task["symbols"])):
            await ws.get_message()
        while True:
            await ws.get_message()
            if arrivals.one():
                arrivals.finish()


async def websockets_trio(task: dict[str, Any], arrivals: common.Arrivals) -> None:
    from websockets.trio.client import connect  # noqa: PLC0415 (only the one that is measured)

    async with connect(task["url"], ssl=_context(task), compression=None) as ws:
        await ws.send(wanted(task))
        for _ in range(1 + 2 * len(task["symbols"])):
            await ws.recv()
        while True:
            await ws.recv()
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


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole frames' payloads, and the rest."""
    found = []
    position = 0
    while len(data) - position >= 4:
        size, start = data[position + 1], position + 2
        if size == 126:
            size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
        elif size == 127:
            if len(data) - position < 10:
                break
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        if start + size > len(data):
            break
        found.append(data[start : start + size])
        position = start + size
    return found, data[position:]


def upgrade(task: dict[str, Any]) -> tuple[str, int, bytes]:
    """Where to connect to, and what to say then."""
    host, _, port = task["url"].partition("://")[2].partition("/")[0].partition(":")
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    request = f"GET /v2 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n{key}\r\n\r\n".encode()
    asked = wanted(task).encode()
    head = bytes([0x81, 0x80 | 126]) + len(asked).to_bytes(2, "big")
    return host, int(port), request + head + bytes(4) + asked


async def floor(task: dict[str, Any], arrivals: common.Arrivals) -> None:
    """A reader and a consumer with a memory channel between them: what Trio itself takes. Frames are only counted."""
    host, port, hello = upgrade(task)
    stream = await trio.open_tcp_stream(host, port)
    await stream.send_all(hello)
    send, receive = trio.open_memory_channel[int](1024)

    async def read() -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some(65536)
        data = data.partition(b"\r\n\r\n")[2]
        skipped = 1 + 2 * len(task["symbols"])
        now = 0
        while True:
            found, data = cut(data)
            for _ in found:
                if skipped:
                    skipped -= 1
                    continue
                try:
                    send.send_nowait(now)
                except trio.WouldBlock:
                    await send.send(now)
            more = await stream.receive_some(65536)
            now = time.time_ns()
            data += more

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        async for read_ns in receive:
            if arrivals.one(read_ns):
                arrivals.finish()


def blocking(task: dict[str, Any], arrivals: common.Arrivals) -> None:
    """No event loop: one thread in a blocking read. What the system takes to wake a process."""
    host, port, hello = upgrade(task)
    sock = socket.create_connection((host, port))
    sock.sendall(hello)
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    found, data = cut(data.partition(b"\r\n\r\n")[2])
    skipped = 1 + 2 * len(task["symbols"]) - len(found)
    while True:
        more = sock.recv(65536)
        now = time.time_ns()
        found, data = cut(data + more)
        for _ in found:
            if skipped:
                skipped -= 1
            elif arrivals.one(now):
                arrivals.finish()


def _context(task: dict[str, Any]) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=task["authority"]) if task.get("authority") else None


def main() -> None:
    task = common.job()
    arrivals = common.Arrivals(task)
    if task["library"] == "blocking":
        blocking(task, arrivals)
    libraries = {"trio-websocket": trio_websocket, "websockets": websockets_trio, "ours": ours, "floor": floor}
    trio.run(libraries[task["library"]], task, arrivals)


main()
