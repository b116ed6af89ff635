"""Consumer groups: which member reads which symbols, and from where on.

The symbols of a subscription are divided into :data:`BUCKETS`. Each has a record in the broker: its holder, and the
place up to which it is done. Each member has one, too, which it changes with every beat. All records are changed by
compare and set, so that of two who want the same only one succeeds:

1. A member is alive while its record changes. By its own clock everybody sees when it has not changed for
   :data:`GONE_AFTER`: clocks need not agree.
2. Of those who are alive, rendezvous hashing says who should have a bucket; nobody has more than one more than another.
3. A bucket is taken by who should have it, if nobody holds it, or its holder is not alive. The new holder goes on at
   the place in the record.
4. Who holds one that another should have reads nothing more of it. When its program has committed all that it has
   received, the record gets that place, and no holder.

So nothing is doubled or lost when members come and go. After a crash the next holder goes on at the last commit.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import msgspec

from kraken_trio.broker.position import Place  # noqa: TC001 (msgspec looks it up)
from kraken_trio.broker.sharding import shard_of
from kraken_trio.broker.subjects import encode_token

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ["BEAT", "BUCKETS", "GONE_AFTER", "Claim", "Membership", "Plan", "bucket_of"]

BUCKETS: Final = 64
"""Symbols move by the bucket: many for any number of members that makes sense, few to look at each second."""
BEAT: Final = 1.0
"""Seconds between two changes of a member's record."""
GONE_AFTER: Final = 5.0
"""Seconds without one after which a member is taken for gone."""
_LEFT: Final = b"left"


class _Bucket(msgspec.Struct, kw_only=True):
    """The record of a bucket."""

    v: int = 1
    holder: str | None
    places: dict[int, Place] | None
    """None: nothing of it was read yet."""


_encode: Final = msgspec.json.Encoder().encode
_decode: Any = msgspec.json.Decoder(_Bucket).decode


class Record(Protocol):
    """What the broker keeps by name."""

    @property
    def value(self) -> bytes: ...
    @property
    def revision(self) -> int: ...


@attrs.frozen
class Claim:
    """A bucket that is to be taken: if its record still has this revision."""

    bucket: int
    revision: int
    places: Mapping[int, Place] | None


@attrs.frozen
class Plan:
    """What a member should do now."""

    claims: tuple[Claim, ...] = ()
    leave: frozenset[int] = frozenset()
    """Others should have these."""
    lost: frozenset[int] = frozenset()
    """Others have these."""
    free: tuple[Claim, ...] = ()
    """The records say that this member holds these, and it does not, and should not."""


def bucket_of(symbol: str | None) -> int:
    """The bucket that a symbol is in."""
    return shard_of(symbol, BUCKETS)


class Membership:
    """One member of a group. ``buckets`` are those of its subscription."""

    def __init__(self, group: str, member: str, buckets: Iterable[int]) -> None:
        self.member: str = member
        self.prefix: str = f"{encode_token(group)}."
        """What the names of the group's records begin with."""
        self.name: str = f"{self.prefix}member.{encode_token(member)}"
        """Of the member's own record."""
        self.revision: int = 0
        """Of that record; 0: there is none yet."""
        self._buckets = sorted(set(buckets))
        self._beats = 0
        self._seen: dict[str, tuple[int, float]] = {}  # by member: a revision, and since when it has been that

    def beat(self) -> bytes:
        """The next value of the member's record."""
        self._beats += 1
        return b"%d" % self._beats

    def farewell(self) -> bytes:
        """Its last value: nobody has to wait for it."""
        return _LEFT

    def bucket_name(self, bucket: int) -> str:
        """The name of a bucket's record."""
        return f"{self.prefix}bucket.{bucket}"

    def held(self, places: Mapping[int, Place] | None) -> bytes:
        """The value of a bucket's record while this member holds it, and has done what is before these places."""
        return _encode(_Bucket(holder=self.member, places=None if places is None else dict(places)))

    def free(self, places: Mapping[int, Place] | None) -> bytes:
        """The same when it holds it no more."""
        return _encode(_Bucket(holder=None, places=None if places is None else dict(places)))

    def holds(self, record: Record) -> bool:
        """Whether a bucket's record says that this member holds it."""
        return _read(record.value)[0] == self.member

    def look(self, records: Mapping[str, Record], owned: Collection[int], now: float) -> Plan:
        """What to do, if this is what the broker has, and these are the buckets that this member holds."""
        alive = self._alive(records, now)
        should_have = _divided(self._buckets, alive)
        claims: list[Claim] = []
        leave: set[int] = set()
        lost: set[int] = set()
        free: list[Claim] = []
        for bucket in self._buckets:
            record = records.get(self.bucket_name(bucket))
            holder, places = (None, None) if record is None else _read(record.value)
            is_wanted = should_have[bucket] == self.member
            if bucket in owned:
                if holder != self.member:
                    lost.add(bucket)
                elif not is_wanted:
                    leave.add(bucket)
            elif holder == self.member or (is_wanted and holder not in alive):
                claim = Claim(bucket, 0 if record is None else record.revision, places)
                (claims if is_wanted else free).append(claim)
        return Plan(tuple(claims), frozenset(leave), frozenset(lost), tuple(free))

    def _alive(self, records: Mapping[str, Record], now: float) -> set[str]:
        prefix = f"{self.prefix}member."
        seen: dict[str, tuple[int, float]] = {}
        for name, record in records.items():
            if name.startswith(prefix) and record.value != _LEFT:
                known = self._seen.get(name)
                is_new = known is None or known[0] != record.revision
                seen[name] = (record.revision, now) if known is None or is_new else known
        self._seen = seen
        alive = {name[len(prefix) :] for name, (_, since) in seen.items() if now - since < GONE_AFTER}
        return alive | {self.member}


def _read(value: bytes) -> tuple[str | None, Mapping[int, Place] | None]:
    try:
        bucket = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
        return None, None  # of another version, or of nobody's
    return bucket.holder, bucket.places


def _divided(buckets: Iterable[int], members: Collection[str]) -> Mapping[int, str]:
    """Who should have each bucket: of those who have room, the one with the largest hash."""
    found: dict[int, str] = {}
    todo = list(buckets)
    least, more = divmod(len(todo), len(members))  # so many members have one more
    counts = dict.fromkeys(members, 0)
    for bucket in todo:
        room = [member for member in members if counts[member] < least + (more > 0)]
        found[bucket] = member = max(room, key=lambda member: _weight(member, bucket))
        counts[member] += 1
        more -= counts[member] > least
    return found


def _weight(member: str, bucket: int) -> tuple[bytes, str]:
    return hashlib.sha256(f"{member}/{bucket}".encode()).digest(), member
