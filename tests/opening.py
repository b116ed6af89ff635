"""A client in memory whose wall clock a test sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import kraken_trio as kt
from kraken_trio.admission.default import EXEMPT
from kraken_trio.client import open_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.transport import Connect


class _Exchange(Protocol):
    @property
    def url(self) -> str: ...

    @property
    def connect(self) -> Connect: ...


def open_at(exchange: _Exchange, wall_ns: Callable[[], int]) -> AbstractAsyncContextManager[kt.Client]:
    """A client with the usual settings."""
    return open_with(
        exchange.url,
        settings=kt.Settings(),
        ssl_context=None,
        connect=exchange.connect,
        wall_ns=wall_ns,
        jitter=lambda: 0.5,
        admission=EXEMPT,
    )
