"""A process that lets others go first: it asks for no shard until it has run for a while."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.broker.seam import Engine, Fence, Incoming, Link, Outgoing, Source, Start
    from kraken_trio.broker.subjects import Key

__all__ = ["Patient"]


class Patient:
    """``engine``, but that no shard is acquired within its lease's time from now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._from = trio.current_time() + engine.lease_ttl

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def stream(self) -> str:
        return self._engine.stream

    @property
    def lease_ttl(self) -> float:
        return self._engine.lease_ttl

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        async with self._engine.connect() as link:
            yield _Link(link, self._from)


class _Link:
    def __init__(self, link: Link, acquires_from: float) -> None:
        self._link = link
        self._from = acquires_from

    async def acquire(self, shard: int, holder: str) -> Fence | None:
        if trio.current_time() < self._from:
            await trio.lowlevel.checkpoint()
            return None
        return await self._link.acquire(shard, holder)

    async def renew(self, fence: Fence) -> None:
        await self._link.renew(fence)

    async def release(self, fence: Fence) -> None:
        await self._link.release(fence)

    async def publish(self, fence: Fence, messages: Sequence[Outgoing]) -> None:
        await self._link.publish(fence, messages)

    async def catalogs(self) -> Sequence[Incoming]:
        return await self._link.catalogs()

    def read(self, keys: Collection[Key], start: Start, *, back: float) -> AbstractAsyncContextManager[Source]:
        return self._link.read(keys, start, back=back)
