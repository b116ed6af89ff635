"""What is outside of the program: the network, the clocks, the disk, the limits of the process."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import sysconfig
import time
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from kraken_trio.book.core import NAME as CORE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from kraken_trio.transport.dial import OpenStream

__all__ = ["Machine"]

T = TypeVar("T")


async def _addresses(host: str, port: int) -> list[Any]:
    return await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _in_thread(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def _open_files() -> int | None:
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def _free_inodes(path: Path) -> int | None:
    if not hasattr(os, "statvfs"):  # on Windows
        return None
    found = os.statvfs(path)
    return found.f_favail if found.f_files else None  # some file systems make them as they are needed


@attrs.frozen(kw_only=True)
class Machine:
    """The machine that is examined. Tests replace parts of it."""

    open_stream: OpenStream = trio.open_tcp_stream
    addresses: Callable[[str, int], Awaitable[Sequence[Any]]] = _addresses
    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = _in_thread
    free_bytes: Callable[[Path], int] = _free_bytes
    free_inodes: Callable[[Path], int | None] = _free_inodes
    open_files: Callable[[], int | None] = _open_files
    environ: Mapping[str, str] = os.environ
    core: str = CORE
    can_compile: bool = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
