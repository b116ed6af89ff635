"""The part that a program takes in a consumer group: which buckets of symbols it reads, and what it has done of them.

What follows from the records in the broker is decided by :mod:`kraken_trio.broker.group`; here it is asked and done.
"""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio

from kraken_trio.broker.group import BEAT, GONE_AFTER, Membership, bucket_of
from kraken_trio.broker.position import Start
from kraken_trio.broker.seam import BrokerLost, KeepsRecords
from kraken_trio.errors import SubscriptionRejected
from kraken_trio.runtime.parts import PARTITIONS, Part, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kraken_trio.broker.group import Claim
    from kraken_trio.broker.position import Place
    from kraken_trio.broker.progress import Delivery
    from kraken_trio.broker.reader import Reader
    from kraken_trio.broker.seam import Link
    from kraken_trio.requests import Request

__all__ = ["LEAVING", "Host", "Sharing"]

LEAVING: Final = 1.0
"""Seconds that a member of a group takes to say that it leaves."""
_AT_ONCE: Final = GONE_AFTER / 4
"""Seconds after which no more records are changed before the next beat."""
_ELSEWHERE: Final = "another member of the group reads this from here on"
_LEFT: Final = "this feed takes no part in the group any more: its block, or its client's, has been left"


class Host(Protocol):
    """What reads for the group."""

    @property
    def link(self) -> Link | None:
        """The connection; None while there is none."""
        ...

    @property
    def ended(self) -> Exception | None:
        """Why the client has ended; None while it runs."""
        ...

    @property
    def is_reading(self) -> bool:
        """Whether :meth:`begin_reading` may be called."""
        ...

    @property
    def streams(self) -> Collection[Stream]:
        """The feeds that are open."""
        ...

    @property
    def changed(self) -> trio.Event:
        """Set at the next connection, or the end. Who asks the broker takes it before: it may be set meanwhile."""
        ...

    def make_part(self, requests: Sequence[Request[Any]], start: Start | None) -> Part:
        """A part to be read from ``start``; None: from where the client's feeds begin."""
        ...

    def begin_reading(self, link: Link, stream: Stream, part: Part) -> None: ...

    def offer(self, stream: Stream, delivery: Delivery) -> None:
        """Put events into a feed without waiting for its program."""
        ...

    def note(self, reader: Reader) -> None:
        """Report what a reader found to be missing."""
        ...

    def settle(self) -> None:
        """If all feeds get what is published now, the client has what it wants."""
        ...


class Sharing:
    """What one client does as a member of the group of this name."""

    def __init__(self, host: Host, group: str, jitter: Callable[[], float]) -> None:
        self._host = host
        self._group = group
        self._jitter = jitter
        self._leaving: dict[Stream, None] = {}
        """Feeds that were closed, and have not said so yet."""

    def join(self, stream: Stream, requests: Sequence[Request[Any]]) -> None:
        """Be a member with this feed. Raises :class:`~kraken_trio.SubscriptionRejected` if it is not the only one."""
        if any(other.group is not None for other in self._host.streams):
            why = "a client of a group has one feed of what is published: subscribe to everything in it"
            raise SubscriptionRejected(dict.fromkeys(requests, why))
        member = f"{int(self._jitter() * 2**48):012x}"  # nobody else has it
        stream.group = Membership(self._group, member, [bucket_of(request.symbol) for request in requests])
        stream.is_known = False
        stream.sender.commit_by(partial(self._commit, stream, stream.group))

    async def coordinate(self, link: Link, stream: Stream, group: Membership) -> None:
        """Have the buckets that this member should have, and no others."""
        records = _records_of(link)
        while not stream.sender.is_ended:
            is_done = True
            async with stream.lock:
                if not stream.has_left:
                    is_done = await self._look(link, records, stream, group)
            looked, stream.looked = stream.looked, trio.Event()
            looked.set()
            if is_done:
                stream.is_known = True
                stream.in_force.set()
                self._host.settle()
                await trio.sleep(BEAT)

    async def _look(self, link: Link, records: KeepsRecords, stream: Stream, group: Membership) -> bool:
        """Beat, look at the records of all, and do what follows from them.

        That may be much, and the broker far away: after a while the rest is left for the next look, as others take who
        does not beat for gone. Returns whether nothing is left.
        """
        sent = trio.current_time()
        revision = await records.write(group.name, group.beat(), group.revision)
        known = await records.records(group.prefix)
        if revision is None:  # an answer was lost
            revision = known[group.name].revision if group.name in known else 0
        group.revision = revision
        plan = group.look(known, stream.parts.keys(), trio.current_time())
        for bucket in plan.lost:
            self._part_with(stream, stream.parts.pop(bucket))
        for bucket in plan.leave:
            self._part_with(stream, stream.parts[bucket])
        until = sent + _AT_ONCE
        for claim in plan.free:
            await records.write(group.bucket_name(claim.bucket), group.free(claim.places), claim.revision)
            if trio.current_time() >= until:
                break
        is_done = True
        for number, claim in enumerate(plan.claims, 1):
            await self._claim(link, records, stream, group, claim)
            is_done = number == len(plan.claims)
            if trio.current_time() >= until:
                break
        while await self._hand_over(records, stream, group) and trio.current_time() < until:
            pass
        stream.beat_at = sent
        return is_done

    async def keep_start(self, link: Link, stream: Stream, group: Membership, part: Part) -> None:
        """Before anything is delivered: where it begins, for whoever has to go on before the first commit."""
        async with stream.lock:
            for bucket, other in list(stream.parts.items()):
                if other is part and part.places is None:
                    await self._keep(_records_of(link), stream, group, bucket, part, dict(part.reader.starts))

    async def _claim(self, link: Link, records: KeepsRecords, stream: Stream, group: Membership, claim: Claim) -> None:
        """Take a bucket, and read it from where its last holder was."""
        revision = await records.write(group.bucket_name(claim.bucket), group.held(claim.places), claim.revision)
        if revision is None or not self._host.is_reading or stream.sender.is_ended:
            return
        requests = [
            request
            for request in stream.sender.requests
            if request.channel is not None and bucket_of(request.symbol) == claim.bucket
        ]
        part = self._host.make_part(requests, None if claim.places is None else Start(places=claim.places))
        part.revision, part.places, part.offered = revision, claim.places, 0
        stream.parts[claim.bucket] = part
        self._host.begin_reading(link, stream, part)

    async def _hand_over(self, records: KeepsRecords, stream: Stream, group: Membership) -> bool:
        """Give a bucket away that another should have, of which everything received is committed, if there is one."""
        for bucket, part in list(stream.parts.items()):
            if part.is_leaving and stream.committed >= part.offered:
                await records.write(group.bucket_name(bucket), group.free(part.places), part.revision)
                if stream.parts.get(bucket) is part:
                    del stream.parts[bucket]  # if somebody else has it already, so much the better
                    stream.progress.forget(range(part.base, part.base + PARTITIONS))
                return True
        return False

    async def _commit(self, stream: Stream, group: Membership) -> None:
        """Keep the places after what was received. Raises the end of the feed or the client if they may not be kept."""
        if stream.has_left or stream.sender.is_ended:
            raise self._end_of(stream)
        passed, places = stream.sender.passed, stream.sender.places()
        done: list[tuple[int, Part, dict[int, Place]]] = []
        for bucket, part in stream.parts.items():
            own = range(part.base, part.base + PARTITIONS)
            mine = {number - part.base: place for number, place in places.items() if number in own}
            if mine:
                done.append((bucket, part, mine))
        while True:
            if self._host.ended is not None:
                raise self._end_of(stream)
            changed = self._host.changed
            if (link := self._host.link) is not None:
                try:
                    async with stream.committing:
                        if passed < stream.committed:
                            return  # a later one was first, and has kept later places
                        await self._keep_all(_records_of(link), stream, group, done)
                        stream.committed = passed
                        has_more = True
                        while has_more:
                            async with stream.lock:
                                has_more = await self._hand_over(_records_of(link), stream, group)
                except BrokerLost:
                    pass  # those who read with it find it lost, too
                else:
                    return
            await changed.wait()

    async def _keep_all(
        self,
        records: KeepsRecords,
        stream: Stream,
        group: Membership,
        places: Sequence[tuple[int, Part, Mapping[int, Place]]],
    ) -> None:
        """Keep the places of these buckets. Who has to beat meanwhile comes in between."""
        for bucket, part, mine in places:
            async with stream.lock:
                if stream.has_left and part.places != mine:
                    raise self._end_of(stream)
                await self._keep(records, stream, group, bucket, part, mine)

    def _end_of(self, stream: Stream) -> Exception:
        """Why nothing can be committed any more."""
        error = self._host.ended or stream.sender.error
        return trio.ClosedResourceError(_LEFT) if error is None else copy(error)

    async def _keep(
        self,
        records: KeepsRecords,
        stream: Stream,
        group: Membership,
        bucket: int,
        part: Part,
        places: Mapping[int, Place],
    ) -> None:
        """Keep the places of a bucket in its record, if this member still has it."""
        name = group.bucket_name(bucket)
        if stream.parts.get(bucket) is not part or part.places == places:
            return
        revision = await records.write(name, group.held(places), part.revision)
        if revision is None:  # an answer was lost, or another member has taken it
            record = (await records.records(name)).get(name)
            if record is not None and group.holds(record):
                revision = await records.write(name, group.held(places), record.revision)
        if revision is not None:
            part.revision, part.places = revision, places
        elif stream.parts.get(bucket) is part:  # nobody else has found it out meanwhile
            del stream.parts[bucket]
            self._part_with(stream, part)

    def _part_with(self, stream: Stream, part: Part) -> None:
        """Read nothing more of a bucket: the feed is told, and its books cannot be read any more."""
        part.stop()
        if not part.is_leaving:
            part.is_leaving = True
            for delivery in part.reader.leave(_ELSEWHERE):
                self._host.offer(stream, delivery)
                part.offered = stream.progress.offered
            self._host.note(part.reader)

    async def leave(self) -> None:
        """Before the client's block is left: others need not wait for what this member of a group has."""
        for stream in (*self._host.streams, *self._leaving):
            if stream.group is not None:
                await self._leave(stream, stream.group)

    def leave_soon(self, stream: Stream, nursery: trio.Nursery) -> None:
        """Say it of a feed that was closed."""
        if stream.group is not None:
            self._leaving[stream] = None
            nursery.start_soon(self._leave, stream, stream.group)

    async def _leave(self, stream: Stream, group: Membership) -> None:
        try:
            if (link := self._host.link) is not None:
                with trio.move_on_after(LEAVING, shield=True), suppress(BrokerLost):  # they find out by themselves
                    await self._say_farewell(_records_of(link), stream, group)
        finally:
            self._leaving.pop(stream, None)

    async def _say_farewell(self, records: KeepsRecords, stream: Stream, group: Membership) -> None:
        async with stream.lock:
            if stream.has_left:
                return
            stream.has_left = True
            parts, stream.parts = stream.parts, {}
            for bucket, part in parts.items():
                part.stop()
                await records.write(group.bucket_name(bucket), group.free(part.places), part.revision)
            await records.write(group.name, group.farewell(), group.revision)


def _records_of(link: Link) -> KeepsRecords:
    assert isinstance(link, KeepsRecords)  # who joins has looked
    return link
