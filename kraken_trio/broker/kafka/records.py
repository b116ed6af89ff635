"""Records that are replaced by compare and set: in the topic ``NAME.groups``, whose partition 0 orders all attempts.

Kafka cannot compare. So each attempt is stored, with the revision that it expects to replace, and all readers come to
the same result: the first one in the log that expects the revision which is current there has won. Its own offset + 1
is the new revision.

Each attempt has a key of its own, ``NAME/RANDOM``: compaction, which leaves the last message of each key, must not
leave the last attempt in place of the one that has won. What has lost or was replaced is removed by who wins next,
those that lost first: without the one that was replaced, nothing would tell any more that they had lost.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import trio
from confluent_kafka import KafkaException, Producer

from kraken_trio.broker.kafka.client import ANSWER_WITHIN, CLOSED, POLL_EVERY, Watch
from kraken_trio.broker.kafka.errors import words
from kraken_trio.broker.kafka.follower import PARTITION, Follower, headers_of
from kraken_trio.broker.seam import BrokerLost, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError, Message

    from kraken_trio.broker.kafka.client import Asker, Setup

_EXPECTED: Final = "expected"
"""The header with the revision that is to be replaced."""
_REMOVED_AT_ONCE: Final = 64
"""Messages."""


@attrs.frozen
class _Attempt:
    key: str
    expected: int
    record: Record


@attrs.frozen
class Judged:
    """The attempts for one name: those that have won, one after the other, and the rest."""

    won: list[_Attempt]
    lost: list[_Attempt]

    @property
    def useless(self) -> list[_Attempt]:
        """What may be removed, in this order."""
        return [*self.lost, *self.won[:-1]]


def judge(attempts: list[_Attempt]) -> Judged:
    """Who has won. What the first one expects may not be there any more: then it has won once."""
    judged = Judged([], [])
    for attempt in attempts:
        is_right = not judged.won or attempt.expected == judged.won[-1].record.revision
        (judged.won if is_right else judged.lost).append(attempt)
    return judged


class Records(Follower):
    """The records. Raises :class:`BrokerLost`."""

    def __init__(self, setup: Setup, asker: Asker) -> None:
        super().__init__(setup, setup.address.groups, asker)
        self._attempts: dict[str, list[_Attempt]] = {}
        self._producer: Producer | None = None
        self._watch = Watch()

    def _clear(self) -> None:
        self._attempts.clear()

    def _read(self, message: Message, offset: int) -> None:
        key, value = message.key(), message.value()
        if key is None:
            return
        text = key.decode("ascii", "replace")
        attempts = self._attempts.setdefault(text.rpartition("/")[0], [])
        if value is None:
            attempts[:] = [attempt for attempt in attempts if attempt.key != text]
            return
        try:
            expected = int(headers_of(message)[_EXPECTED])
        except (KeyError, TypeError, ValueError):
            return
        attempts.append(_Attempt(text, expected, Record(value, offset + 1)))

    def find(self, prefix: str) -> dict[str, Record]:
        """Those whose names begin with this, as far as is known."""
        return {
            name: judge(attempts).won[-1].record
            for name, attempts in self._attempts.items()
            if name.startswith(prefix) and attempts
        }

    async def write(self, name: str, value: bytes, revision: int) -> int | None:
        """As for any link. The topic has to be there."""
        await self.catch_up()
        known = judge(self._attempts.get(name, [])).won
        if (known[-1].record.revision if known else 0) != revision:
            return None
        key = f"{name}/{secrets.token_hex(8)}"
        await self._send(key, value, revision)
        await self.catch_up()
        judged = judge(self._attempts.get(name, []))
        mine = next((attempt.record.revision for attempt in judged.won if attempt.key == key), None)
        if mine is not None:
            self._remove(judged)
        return mine

    async def _send(self, key: str, value: bytes, expected: int) -> None:
        """Store an attempt."""
        if self._is_ended:
            raise BrokerLost(CLOSED)
        if self._producer is None:
            self._producer = Producer(
                self._setup.config(
                    self._watch,
                    enable_idempotence=True,
                    message_timeout_ms=int(ANSWER_WITHIN * 1000),
                    linger_ms=0,
                )
            )
        told: list[KafkaError | None] = []

        def tell(error: KafkaError | None, _: Message) -> None:
            told.append(error)

        try:
            headers: list[tuple[str, str | bytes | None]] = [(_EXPECTED, b"%d" % expected)]
            producer = self._producer
            producer.produce(self._topic, value, key, PARTITION, on_delivery=tell, headers=headers)
            while not told:
                await trio.sleep(POLL_EVERY)
                producer.poll(0)
                self._watch.check()
        except KafkaException as error:
            raise BrokerLost(words(error)) from None
        if told[0] is not None:
            raise BrokerLost(words(told[0]))

    def _remove(self, judged: Judged) -> None:
        """Have compaction remove what is of no more use. If it is not stored, who wins next does it."""
        producer = self._producer
        if producer is None:
            return
        with suppress(KafkaException, BufferError):
            for attempt in judged.useless[:_REMOVED_AT_ONCE]:
                producer.produce(self._topic, None, attempt.key, PARTITION)

    def end(self) -> list[Callable[[], object]]:
        """As of any follower."""
        producer, self._producer = self._producer, None
        return [*super().end(), *([] if producer is None else [partial(producer.flush, 1.0)])]
