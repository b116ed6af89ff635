"""The reading side: where to begin, and the messages from there on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import trio

from kraken_trio.broker.nats.store import NO_MESSAGE
from kraken_trio.broker.nats.wire import NO_STREAM, NoAnswer, Pull, Pulled, Refusal, Wire
from kraken_trio.broker.position import Place, Start, Taken, begin_at
from kraken_trio.broker.seam import BrokerLost, Incoming
from kraken_trio.broker.subjects import Kind, Subject, encode_symbol, encode_token, parse_subject
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from kraken_trio.broker.portal import Portal
    from kraken_trio.broker.subjects import Key

__all__ = ["NatsSource", "NoStreamError", "Reading", "incoming"]

MOST_FILTERS: Final = 500
"""Keys, each with two filters. The server's work to begin a consumer grows with their square: 1,000 filters take 0.1 s,
3,000 a second; with more keys, whole channels are read, and what is not wanted is left out here."""
IDLE: Final = 300.0
"""Seconds after which a consumer that nobody reads is gone."""
_NANO: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NoStreamError(Exception):
    """The stream is not there."""


class Reading:
    """All of it is for the portal's loop. Raises what :class:`Wire` raises, and :class:`NoStreamError`."""

    def __init__(self, wire: Wire, stream: str) -> None:
        self._wire = wire
        self._stream = stream

    async def catalogs(self) -> list[Pulled]:
        return await self._collect(
            {"deliver_policy": "last_per_subject", "filter_subjects": [f"{self._stream}.*.catalog"]}
        )

    async def open(self, source: NatsSource, start: Start, back: float) -> None:
        """Find out where to begin, and begin."""
        info = await self._info()
        state, config = info["state"], info["config"]
        first, last = state["first_seq"], state["last_seq"]
        dropped = first > max(1, config.get("first_seq", 1))
        log = str(_nanoseconds(info["created"]))
        place = None if start.places is None else start.places.get(0)
        expired = False
        if place is not None:
            place, expired = begin_at(place, first, last + 1, log)
        elif start.time_ns is not None and (sequence := await self._sequence_at(start.time_ns)) <= last:
            place = Place(sequence, 0, log)
            expired = dropped and start.time_ns < _nanoseconds(state["first_ts"])
        else:
            place = Place(last + 1, 0, log)
        # Back from the message before it: relays may have stood still for any time until it was stored.
        if place.offset <= first:
            begin = _from_sequence(place.offset)
        elif place.offset <= last:
            begin = _from_time(await self._time_of(place.offset - 1, state) - int(back * _NANO))
        else:
            since = _nanoseconds(state["last_ts"]) - int(back * _NANO)
            begin = _from_time(since)
            if start.places is None:
                begin = await self._from_key_frames(source.keys, since, last + 1) or begin
        source.taken = Taken({0: place}, frozenset({0} if expired else ()))
        await self._consume(
            {**begin, "filter_subjects": _filters(self._stream, source.keys, Kind.DATA, Kind.KEY)},
            source.begin,
            source.wake,
        )

    async def _from_key_frames(self, keys: frozenset[Key], since: int, end: int) -> dict[str, Any] | None:
        """Begin with the oldest of these keys' last key frames, none older than ``since``.

        None if that is not enough: a key has begun since then, and has no key frame yet.
        """
        frames = await self._last(keys, since, Kind.KEY)
        bare = keys - frames.keys()
        if bare and await self._last(bare, since, Kind.DATA):
            return None
        return _from_sequence(min(frames.values(), default=end))

    async def _last(self, keys: frozenset[Key], since: int, kind: Kind) -> dict[Key, int]:
        """The sequences of the oldest among the last messages of this kind, of each shard, not older than ``since``."""
        found = await self._collect(
            {
                "deliver_policy": "last_per_subject",
                "headers_only": True,
                "filter_subjects": _filters(self._stream, keys, kind),
            },
        )
        last: dict[Key, int] = {}
        for text, _, sequence, time_ns, _ in found:
            subject = _subject(self._stream, text)
            if time_ns >= since and subject is not None and subject.key in keys:
                last[subject.key] = min(sequence, last.get(subject.key, sequence))
        return last

    async def _info(self) -> Any:
        try:
            return await self._wire.api(f"STREAM.INFO.{self._stream}")
        except Refusal as error:
            if error.code == NO_STREAM:
                raise NoStreamError from None
            raise

    async def _time_of(self, sequence: int, state: dict[str, Any]) -> int:
        """When a message was stored, in nanoseconds; if it is not there, when the last one was."""
        try:
            found = await self._wire.api(f"STREAM.MSG.GET.{self._stream}", {"seq": sequence})
        except Refusal as error:
            if error.code != NO_MESSAGE:
                raise
            return _nanoseconds(state["last_ts"])
        return _nanoseconds(found["message"]["time"])

    async def _sequence_at(self, time_ns: int) -> int:
        """The sequence of the first message that was stored at this time or later."""
        name, found = await self._begin(_from_time(time_ns))
        await self._wire.api(f"CONSUMER.DELETE.{self._stream}.{name}")
        return int(found["delivered"]["stream_seq"]) + 1

    async def _begin(self, config: dict[str, Any]) -> tuple[str, Any]:
        name = self._wire.unique()
        common = {
            "name": name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(IDLE * _NANO),
        }
        body = {"stream_name": self._stream, "config": {**common, **config}, "action": "create"}
        try:
            return name, await self._wire.api(f"CONSUMER.CREATE.{self._stream}.{name}", body)
        except Refusal as error:
            if error.code == NO_STREAM:
                raise NoStreamError from None
            raise

    async def _consume(
        self, config: dict[str, Any], begin: Callable[[Pull, int], None], wake: Callable[[], None],
    ) -> None:  # fmt: skip
        """Begin to read: ``begin`` is told how many messages are there."""
        name, found = await self._begin(config)
        pull = await self._wire.pull(self._stream, name, wake)
        begin(pull, found.get("num_pending", 0))
        pull.start()

    async def _collect(self, config: dict[str, Any]) -> list[Pulled]:
        """All messages of a consumer that are there now."""
        name, found = await self._begin(config)
        if not found.get("num_pending"):
            await self._wire.api(f"CONSUMER.DELETE.{self._stream}.{name}")
            return []
        news = asyncio.Event()
        pull = await self._wire.pull(self._stream, name, news.set)
        try:
            pull.start()
            collected: list[Pulled] = []
            while not collected or collected[-1][4]:
                await news.wait()
                news.clear()
                while pull.buffer:
                    one = pull.buffer.popleft()
                    pull.took(len(one[1]))
                    collected.append(one)
                if pull.lost is not None:
                    raise NoAnswer(pull.lost)
            return collected
        finally:
            await pull.close()  # noqa: ASYNC102 (of asyncio; each wait in it ends)


def _nanoseconds(text: str) -> int:
    """A time of the server's, which has up to nine digits behind the second."""
    seconds, _, rest = text.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1) * _NANO + int(rest.ljust(9, "0")[:9] or 0)


def _from_time(time_ns: int) -> dict[str, Any]:
    seconds, rest = divmod(max(time_ns, 0), _NANO)
    moment = _EPOCH + timedelta(seconds=seconds)
    return {
        "deliver_policy": "by_start_time",
        "opt_start_time": f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}.{rest:09d}Z",
    }


def _from_sequence(sequence: int) -> dict[str, Any]:
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence}


def _filters(stream: str, keys: Collection[Key], *kinds: Kind) -> list[str]:
    """Which subjects of these kinds the keys have, in all shards; more than those if they are many."""
    names: Iterable[str]
    if len(keys) > MOST_FILTERS:
        names = sorted({f"{encode_token(channel)}.*" for channel, _ in keys})
    else:
        names = sorted({f"{encode_token(channel)}.{encode_symbol(symbol)}" for channel, symbol in keys})
    of_kinds = ["" if kind is Kind.DATA else f".{kind.value}" for kind in kinds]
    return [f"{stream}.*{of_kind}.{name}" for name in names for of_kind in of_kinds]


@lru_cache(maxsize=16384)
def _subject(stream: str, text: str) -> Subject | None:
    """None for what is none of ours."""
    try:
        return parse_subject(text.removeprefix(f"{stream}."))
    except ProtocolError:
        return None


def incoming(stream: str, one: Pulled) -> Incoming | None:
    """The message; None if it is none of ours."""
    text, data, sequence, time_ns, _ = one
    subject = _subject(stream, text)
    return None if subject is None else Incoming(subject, data, 0, sequence, time_ns)


class NatsSource:
    """Messages of some keys. What nats-py receives waits in the buffer of the pull; here it is taken by Trio."""

    def __init__(self, portal: Portal, stream: str, keys: frozenset[Key]) -> None:
        self.keys: Final = keys
        self.taken: Taken = Taken({})
        self.reached: Collection[int] = frozenset()
        self._portal = portal
        self._stream = stream
        self._pull: Pull | None = None
        self._is_told = False
        """Whether Trio will hear that there is something."""
        self._heard = trio.Event()
        self._first = 0
        self._nothing_before = False

    def begin(self, pull: Pull, pending: int) -> None:
        """(in the portal's loop)."""
        self._pull = pull
        self._first = self.taken.starts[0].offset
        self._nothing_before = not pending

    def wake(self) -> None:
        """(in the portal's loop)."""
        if not self._is_told:
            self._is_told = True
            self._portal.say(self._hear)

    async def close(self) -> None:
        """(in the portal's loop)."""
        if self._pull is not None:
            with suppress(NoAnswer, Refusal):  # (it goes by itself)
                await self._pull.close()

    def _hear(self) -> None:
        self._is_told = False
        self._heard.set()

    async def receive(self) -> Sequence[Incoming]:
        await trio.lowlevel.checkpoint()
        pull = self._pull
        assert pull is not None
        while True:
            self._heard = trio.Event()
            messages, size, has_grown = [], 0, False
            if self._nothing_before:
                self._nothing_before = False
                has_grown = self._reach()
            while pull.buffer:
                one = pull.buffer.popleft()
                size += len(one[1])
                if one[2] >= self._first or not one[4]:
                    has_grown |= self._reach()
                message = incoming(self._stream, one)
                if message is not None and message.subject.key in self.keys:
                    messages.append(message)
            if size:
                self._portal.post(pull.took, size)
            if messages or has_grown:
                return messages
            if pull.lost is not None:
                raise BrokerLost(pull.lost)
            await self._heard.wait()

    def _reach(self) -> bool:
        if self.reached:
            return False
        self.reached = frozenset({0})
        return True
