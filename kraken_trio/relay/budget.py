"""Kraken's limit of connection attempts, shared by machines that have one address: kept in the broker.

The attempts of the last ten minutes are one message (a key frame of a channel of its own), which whoever makes an
attempt replaces. The lease of a shard that nobody publishes, :data:`SHARD`, sees to it that only one does at a time. So
it works with every broker, and no attempt is made without being counted: while the broker does not answer, nobody
connects to Kraken.

Clocks of the machines may be apart by some seconds: an attempt in the future counts as made now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from kraken_trio._text import printable
from kraken_trio.admission import Wait
from kraken_trio.admission.ledger import HostLedger
from kraken_trio.admission.process import PROCESS
from kraken_trio.admission.seam import too_many
from kraken_trio.broker.seam import BrokerLost, Fenced, Start, TooLarge
from kraken_trio.broker.subjects import Kind, Subject
from kraken_trio.errors import ConnectError
from kraken_trio.settings import CONNECT_WINDOW, MAX_CONNECT_BUDGET

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.admission.process import ConnectBudget
    from kraken_trio.broker.seam import Engine, Fence, Link

__all__ = ["SHARD", "BrokerBudget"]

SHARD: Final = 65_535
"""The number of a shard that no relay has."""
_SUBJECT: Final = Subject(SHARD, Kind.KEY, "connects")
_ASK_AGAIN: Final = 0.2
"""Seconds until the next try while another process is counting, which takes it some milliseconds."""
TRY_AGAIN: Final = 5.0
"""Seconds until a broker that does not answer is asked again."""
PATIENCE: Final = 10.0
"""Seconds for a broker to answer."""


@attrs.frozen
class _Ledger:
    """A message to be published."""

    data: bytes
    message_id: str
    subject: Subject = _SUBJECT


class BrokerBudget:
    """An :class:`~kraken_trio.admission.Admission` of at most 120 attempts in any 600 s for all that use this broker.

    ``wall_ns`` is the wall clock; ``holder`` a name for people, of this process alone.
    """

    def __init__(
        self, engine: Engine, holder: str, *, wall_ns: Callable[[], int], process: ConnectBudget = PROCESS
    ) -> None:
        self._engine = engine
        self._holder = holder
        self._wall_ns = wall_ns
        self._process = process
        self._one_at_a_time = trio.Lock()

    async def take(self, limit: int = MAX_CONNECT_BUDGET, /) -> Wait | None:
        """See :meth:`~kraken_trio.admission.Admission.take`. The attempts of this process count as well."""
        return self._process.peek(limit) or await self._take(limit) or self._process.take_nowait(limit)

    async def _take(self, limit: int) -> Wait | None:
        problem = "it does not answer"
        with trio.move_on_after(PATIENCE):  # noqa: ASYNC912 (it waits for the broker)
            try:
                async with self._one_at_a_time, self._engine.connect() as link:
                    fence = await link.acquire(SHARD, self._holder)
                    if fence is None:
                        return Wait(_ASK_AGAIN, "another process is counting its attempt")
                    try:
                        return await self._count(link, fence, limit)
                    finally:
                        with trio.move_on_after(1.0, shield=True):
                            await link.release(fence)
            except (BrokerLost, Fenced, TooLarge, ConnectError) as error:
                problem = str(error)
        return Wait(TRY_AGAIN, printable(f"attempts are counted at {self._engine.name}: {problem}"))

    async def _count(self, link: Link, fence: Fence, limit: int) -> Wait | None:
        now = self._wall_ns()
        ledger = HostLedger(await _newest(link), wall=now, monotonic=now)
        wait = ledger.wait(limit)
        if wait:  # mutant: budget in the broker
            return Wait(wait, too_many(limit, f"the processes that count at {self._engine.name}"))
        ledger.take(limit)
        await link.publish(fence, [_Ledger(ledger.to_bytes(), f"connects.{fence.producer}")])
        return None


async def _newest(link: Link) -> bytes:
    """The attempts that are stored; nothing if they are older than matters."""
    key, data = _SUBJECT.key, b""
    async with link.read({key}, Start(), back=CONNECT_WINDOW) as source:
        partition = source.taken.partition_of.get(key, 0)
        while True:
            for one in await source.receive():
                if one.subject == _SUBJECT:
                    data = one.data
            if partition in source.reached:
                return data
