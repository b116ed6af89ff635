"""Records of consumer groups: the bucket ``STREAM-groups``, made when the first one is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.broker.nats.store import Limits, last, make_bucket, replace
from kraken_trio.broker.nats.wire import NO_STREAM, Refusal
from kraken_trio.broker.seam import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.broker.nats.wire import Wire

__all__ = ["Records"]

_AT_ONCE: Final = 64
"""Records that are asked for at a time."""


class Records:
    """All of it is for the portal's loop. Raises what :class:`Wire` raises."""

    def __init__(self, wire: Wire, stream: str, limits: Limits) -> None:
        self._wire = wire
        self._of: Final = stream
        self._bucket: Final = f"{stream}-groups"
        self._limits: Final = limits
        self._is_there = False

    async def read(self, prefix: str) -> Mapping[str, Record]:
        """All answers are of the server that leads the bucket: what was written is seen."""
        start = f"$KV.{self._bucket}."
        question = {"subjects_filter": f"{start}{prefix.rpartition('.')[0]}.>" if "." in prefix else f"{start}>"}
        try:
            info: Any = await self._wire.api(f"STREAM.INFO.KV_{self._bucket}", question)
        except Refusal as error:
            if error.code == NO_STREAM:
                return {}
            raise
        names = sorted(
            name
            for subject in info["state"].get("subjects") or ()
            if (name := subject.removeprefix(start)).startswith(prefix)
        )
        found: dict[str, Record] = {}
        for first in range(0, len(names), _AT_ONCE):
            part = names[first : first + _AT_ONCE]
            answers = await asyncio.gather(*(last(self._wire, f"KV_{self._bucket}", start + name) for name in part))
            found.update(
                {
                    name: Record(value, revision)
                    for name, (revision, value, _) in zip(part, answers, strict=True)
                    if revision
                },
            )
        return found

    async def write(self, name: str, value: bytes, revision: int) -> int | None:
        if not self._is_there:
            await self._make()
            self._is_there = True
        return await replace(self._wire, f"$KV.{self._bucket}.{name}", value, revision)

    async def _make(self) -> None:
        """Where the stream is, and as often."""
        config: Any = {"storage": self._limits.storage, "num_replicas": self._limits.replicas}
        try:
            config = (await self._wire.api(f"STREAM.INFO.{self._of}"))["config"]
        except Refusal as error:
            if error.code != NO_STREAM:
                raise
        await make_bucket(self._wire, self._bucket, config)
