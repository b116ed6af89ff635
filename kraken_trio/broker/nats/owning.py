"""The producing side: the stream and the bucket, who owns a shard, and messages of the owner only."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.broker.messages import LeaseNote, encode
from kraken_trio.broker.nats.store import (
    EXPECTED,
    OTHER_ON_ITS_WAY,
    WRONG_SEQUENCE,
    Limits,
    last,
    make,
    make_bucket,
    replace,
)
from kraken_trio.broker.nats.wire import ASK_AGAIN, TOO_LARGE, Refusal, Stored, Wire
from kraken_trio.broker.seam import Fence
from kraken_trio.broker.subjects import Kind, Subject
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LEASE_TTL", "Held", "Owning"]

LEASE_TTL: Final = 3.0
"""Seconds without a renewal after which a shard has no owner."""
MOST_ON_THE_WAY: Final = 512
"""Messages that are sent and not acknowledged, to a stream of one replica."""
MOST_IN_BATCH: Final = 1000
"""Messages of an atomic batch: the server's limit."""
LEASE_AGAIN: Final = 60.0
"""Seconds after which an owner writes its lease message again, so that the stream's retention does not reach it."""
DUPLICATES: Final = 30.0
"""Seconds for which the server remembers the ids of messages: longer than a failover of its own takes. Each costs it
memory."""
_NANO: Final = 1_000_000_000

_MSG_ID: Final = "Nats-Msg-Id"
_EXPECTED_OF: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
_OWNER: Final = "Kraken-Owner"
"""Of a lease message: tells our own from another's."""

# The server's numbers of errors.
_REPEATED: Final = 10201


@attrs.define
class Held:
    """What an owner knows of its right to publish: the token of its fence."""

    owner: str
    """A name that nobody else has."""
    note: bytes
    """Its entry in the bucket."""
    revision: int
    """Of that entry."""
    lease: int
    """The sequence of its last lease message."""
    written: float
    """When that was sent, by this machine's clock."""
    holder: str


@attrs.frozen
class _StreamKind:
    """How one may publish."""

    at_once: bool
    """Messages may be sent without waiting for the ones before."""
    atomic: bool
    """Otherwise: those of a window may be sent as a batch."""
    lease_again: float


class Owning:
    """All of it is for the portal's loop. Raises what :class:`Wire` raises."""

    def __init__(self, wire: Wire, stream: str, limits: Limits) -> None:
        self._wire = wire
        self._stream = stream
        self._bucket = f"{stream}-leases"
        self._limits = limits
        self._kind: _StreamKind | None = None
        self._publishing = asyncio.Lock()

    async def acquire(self, shard: int, holder: str) -> Fence | None:
        kind = await self._prepare()
        key = self._key(shard)
        sequence, entry, _ = await last(self._wire, f"KV_{self._bucket}", key)
        if entry:
            return None
        owner = self._wire.unique()
        note = msgspec.json.encode({"holder": holder, "owner": owner})
        if (revision := await replace(self._wire, key, note, sequence)) is None:
            return None
        subject = self._lease(shard)
        before, _, _ = await last(self._wire, self._stream, subject)
        body = encode(LeaseNote(shard=shard, holder=holder))
        lease = await replace(self._wire, subject, body, before, **{_OWNER: owner})
        if lease is None:
            await replace(self._wire, key, b"", revision)
            return None
        now = time.monotonic()
        self._kind = kind
        return Fence(shard, lease, Held(owner, note, revision, lease, now, holder))

    async def renew(self, shard: int, held: Held) -> bool:
        return await self._rewrite(shard, held, held.note)

    async def release(self, shard: int, held: Held) -> None:
        # An empty entry stands for none; the server forgets it after the time of a lease.
        await self._rewrite(shard, held, b"")

    async def _rewrite(self, shard: int, held: Held, note: bytes) -> bool:
        """Write our entry of the bucket anew, if it is still ours."""
        key = self._key(shard)
        revision = await replace(self._wire, key, note, held.revision)
        if revision is None:
            # Of an earlier renewal it may be unknown whether it was stored; or the lease has ended.
            sequence, entry, _ = await last(self._wire, f"KV_{self._bucket}", key)
            if entry not in {held.note, b""} or (not entry and not note):
                return False
            if (revision := await replace(self._wire, key, note, sequence)) is None:
                return False
            if not entry and not await self._is_last(shard, held):
                # Somebody else has had it since.
                await replace(self._wire, key, b"", revision)
                return False
        held.revision = revision
        return True

    async def publish(self, shard: int, held: Held, messages: Sequence[tuple[str, bytes, str]]) -> Stored:
        async with self._publishing:
            kind = await self._know()
            if time.monotonic() - held.written > kind.lease_again and not await self._lease_again(shard, held):
                return Stored(refused=Refusal(WRONG_SEQUENCE, "the lease is another owner's"))
            acked = 0
            while True:
                lease = held.lease
                stored = await self._store(kind, shard, held, messages[acked:])
                stored.acked += acked
                acked = stored.acked
                code = None if stored.refused is None else stored.refused.code
                if code == OTHER_ON_ITS_WAY:
                    # A lease message is being written, to a stream with replicas: in a moment it is known whose.
                    await asyncio.sleep(ASK_AGAIN)
                elif code != WRONG_SEQUENCE or not await self._is_last(shard, held) or held.lease == lease:
                    return stored
                # Otherwise: of a lease message of ours it was unknown whether it was stored.

    async def _store(
        self, kind: _StreamKind, shard: int, held: Held, messages: Sequence[tuple[str, bytes, str]],
    ) -> Stored:  # fmt: skip
        fence = {EXPECTED: str(held.lease), _EXPECTED_OF: self._lease(shard)}
        if kind.at_once:
            window = [(subject, data, {_MSG_ID: name, **fence}) for subject, data, name in messages]
            return await self._wire.store_all(window, in_flight=MOST_ON_THE_WAY)
        acked = 0
        while kind.atomic and len(messages) - acked > 1:
            part = messages[acked : acked + MOST_IN_BATCH]
            window = [(subject, data, {_MSG_ID: name}) for subject, data, name in part]
            window[0][2].update(fence)
            stored = await self._wire.store_batch(window, self._wire.unique())
            acked += stored.acked
            if stored.refused is not None and stored.refused.code in {_REPEATED, TOO_LARGE}:
                break  # one by one, it is seen which
            if stored.acked < len(part):
                stored.acked = acked
                return stored
        window = [(subject, data, {_MSG_ID: name, **fence}) for subject, data, name in messages[acked:]]
        stored = await self._wire.store_all(window, in_flight=1)
        stored.acked += acked
        return stored

    async def _lease_again(self, shard: int, held: Held) -> bool:
        now = time.monotonic()
        body = encode(LeaseNote(shard=shard, holder=held.holder))
        lease = await replace(self._wire, self._lease(shard), body, held.lease, **{_OWNER: held.owner})
        if lease is None:
            return await self._is_last(shard, held)
        held.lease, held.written = lease, now
        return True

    async def _is_last(self, shard: int, held: Held) -> bool:
        """Whether the last lease message is our own. Then its sequence is known: it may be a later one than we know."""
        sequence, _, headers = await last(self._wire, self._stream, self._lease(shard))
        if f"{_OWNER}: {held.owner}\r\n".encode() not in headers:
            return False
        held.lease = sequence
        return True

    def _key(self, shard: int) -> str:
        return f"$KV.{self._bucket}.{shard}"

    def _lease(self, shard: int) -> str:
        return f"{self._stream}.{Subject(shard, Kind.LEASE)}"

    # The stream

    async def _know(self) -> _StreamKind:
        if self._kind is None:
            info = await self._wire.api(f"STREAM.INFO.{self._stream}")
            self._kind = _kind_of(info["config"], self._limits)
        return self._kind

    async def _prepare(self) -> _StreamKind:
        """Make the stream and the bucket, if they are missing; see that they fit."""
        if self._kind is not None:
            return self._kind
        limits = self._limits
        config = await make(
            self._wire,
            self._stream,
            {
                "subjects": [f"{self._stream}.>"],
                "retention": "limits",
                "discard": "old",
                "storage": limits.storage,
                "num_replicas": limits.replicas,
                "max_age": int(limits.max_age * _NANO),
                "max_bytes": limits.max_bytes,
                "duplicate_window": int(min(DUPLICATES, limits.max_age) * _NANO),
                "allow_direct": True,
                "allow_atomic": True,
                # So numbers of owners and positions grow, even if somebody deletes the stream: microseconds, which no
                # stream fills with messages.
                "first_seq": time.time_ns() // 1000,
            },
        )
        if not any(_covers(one, self._stream) for one in config.get("subjects", ())):
            msg = (
                f"the stream {self._stream} is there, but takes other subjects ({printable(config.get('subjects'))}): "
                f"give it {self._stream}.>, or relay to a stream of another name"
            )
            raise ConnectError(msg, retryable=False)
        ttl = int(LEASE_TTL * _NANO)
        bucket = await make_bucket(self._wire, self._bucket, config, max_age=ttl, duplicate_window=ttl)
        if bucket["max_age"] != ttl:
            msg = (
                f"the bucket {self._bucket} keeps its entries {bucket['max_age'] / _NANO:g} s, and leases hold "
                f"{LEASE_TTL:g} s: delete it (nats kv del {self._bucket}), and it is made anew"
            )
            raise ConnectError(msg, retryable=False)
        return _kind_of(config, self._limits)


def _covers(subject: str, stream: str) -> bool:
    return subject in {f"{stream}.>", ">"}


def _kind_of(config: dict[str, Any], limits: Limits) -> _StreamKind:
    age = config.get("max_age", 0) / _NANO
    atomic = bool(config.get("allow_atomic"))
    return _StreamKind(
        at_once=config.get("num_replicas", 1) == 1 and not (atomic and limits.batches == "atomic"),
        atomic=atomic,
        lease_again=min(LEASE_AGAIN, age / 4) if age else LEASE_AGAIN,
    )
