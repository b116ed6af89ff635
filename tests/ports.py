"""Ports for servers of other programs, which have to be told theirs before they listen."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import count
from typing import Final

_FIRST: Final = 15_000
_OF_WORKER: Final = 2_000
"""Tests that run side by side have ports of their own."""
_WORKERS: Final = 8
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_next = count(_FIRST + _OF_WORKER * _worker + os.getpid() % (_OF_WORKER // 2))


def free_ports(number: int) -> list[int]:
    """Ports of the loopback that nobody listens on.

    They stay free, also while a server is killed and started again: no port is given twice, and all are below those
    that the system gives to who asks for any (from 32768 on, with Linux).
    """
    found: list[int] = []
    while len(found) < number:
        port = next(_next)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found
