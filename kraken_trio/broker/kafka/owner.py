"""The producer of a shard's owner: transactional, so that who becomes the owner after it fences it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import trio
from confluent_kafka import KafkaError, KafkaException, Producer

from kraken_trio.broker.kafka.client import ANSWER_WITHIN, CLOSED, Watch
from kraken_trio.broker.kafka.errors import error_of, words
from kraken_trio.broker.seam import BrokerLost, Fenced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Message

    from kraken_trio.broker.kafka.client import Setup

COMMIT_EVERY: Final = 20.0
"""Seconds. Compaction does not pass the beginning of an open transaction, and who reads ``read_committed`` waits."""
TRANSACTION_TIMEOUT: Final = 60.0
"""Seconds after which Kafka aborts a transaction of an owner that is gone: it would be open forever."""
_FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
_OTHER: Final = "another relay is the owner of this shard now"
_WAITING: Final = 0.001
"""Seconds between two looks for acknowledgements, while some are awaited."""


Headers: TypeAlias = "list[tuple[str, str | bytes | None]]"


@attrs.frozen
class Outbound:
    """A message, as Kafka has it."""

    topic: str
    partition: int
    key: str
    data: bytes
    headers: Headers


class _Sent:
    """What has been heard of records that were sent."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.first_offset = -1
        self.error: KafkaError | None = None
        self._stored = bytearray(count)

    def tell(self, index: int, error: KafkaError | None, message: Message) -> None:
        """(called by librdkafka, for each once)."""
        self.left -= 1
        if error is not None:
            self.error = self.error or error
            return
        self._stored[index] = True
        if index == 0:
            self.first_offset = message.offset() or 0

    @property
    def acked(self) -> int:
        """How many, from the first, are stored."""
        found = self._stored.find(0)
        return len(self._stored) if found < 0 else found


class _Ended:
    """In the place of a producer that is closed."""

    def __getattr__(self, _: str) -> Any:
        raise BrokerLost(CLOSED)


class Owner:
    """A producer with the transactional id of a shard. Use :meth:`begin` first; once failed it is of no more use."""

    def __init__(self, setup: Setup, shard: int, max_message_bytes: int) -> None:
        self.number = -1
        """The producer's number, once it is known."""
        self._setup = setup
        self._watch = Watch()
        self._lock = trio.Lock()
        self._failed: str | None = None
        self._is_fenced = False
        self._began_at = 0.0
        self._producer: Any
        try:
            self._producer = Producer(
                setup.config(
                    self._watch,
                    transactional_id=f"{setup.address.topic}.{shard}",
                    transaction_timeout_ms=int(TRANSACTION_TIMEOUT * 1000),
                    # It never drops one of several: we give all of them up, and begin again at the first.
                    message_timeout_ms=0,
                    message_max_bytes=max_message_bytes,
                    linger_ms=0,
                    compression_type="lz4",
                )
            )
        except KafkaException as error:
            raise BrokerLost(words(error)) from None

    async def begin(self) -> None:
        """Fence the owner before us: from now on Kafka takes nothing from it. Raises :class:`BrokerLost`."""
        async with self._lock:
            await self._setup.in_thread(self._fence_others)
            self._began_at = trio.current_time()

    def _fence_others(self) -> None:
        producer = self._producer
        # First a connection: without one the next call would sleep before it looks again.
        producer.list_topics(timeout=ANSWER_WITHIN)
        producer.init_transactions(ANSWER_WITHIN)
        producer.begin_transaction()

    @property
    def is_usable(self) -> bool:
        """Whether it is the owner's, as far as is known."""
        return self.number >= 0 and self._failed is None

    def _check(self) -> None:
        if self._is_fenced:
            raise Fenced(_OTHER)
        if self._failed is not None:
            raise BrokerLost(self._failed)

    async def send(self, records: Sequence[Outbound]) -> int:
        """Store these, in this order within each partition; the first one's offset. Raises with how many are stored."""
        async with self._lock:
            self._check()
            sent = _Sent(len(records))
            try:
                await self._send(records, sent)
            except KafkaException as error:
                raise self._failure(error_of(error), sent) from None
            except BrokerLost as error:
                self._failed = str(error)
                raise
        return sent.first_offset

    async def _send(self, records: Sequence[Outbound], sent: _Sent) -> None:
        producer = self._producer
        for index, record in enumerate(records):
            while True:
                try:
                    producer.produce(
                        record.topic,
                        record.data,
                        record.key,
                        record.partition,
                        on_delivery=partial(sent.tell, index),
                        headers=record.headers,
                    )
                    break
                except BufferError:
                    await self._wait(sent, sent.left)
                except KafkaException as error:
                    if error_of(error).code() == KafkaError._FATAL:
                        producer.poll(0)  # raises what happened: that another one has fenced us, if it has
                    raise
        await self._wait(sent, 1)

    async def _wait(self, sent: _Sent, fewer_than: int) -> None:
        """Until so few are not acknowledged."""
        deadline, left = trio.current_time() + ANSWER_WITHIN, sent.left
        while True:
            self._producer.poll(0)
            if sent.error is not None:
                raise KafkaException(sent.error)
            if sent.left < fewer_than:
                return
            self._watch.check(sent.acked)
            now = trio.current_time()
            if sent.left < left:
                deadline, left = now + ANSWER_WITHIN, sent.left
            elif now > deadline:
                msg = f"no message was acknowledged for {ANSWER_WITHIN:g} s"
                raise BrokerLost(msg, sent.acked)
            await trio.sleep(_WAITING)

    def _failure(self, error: KafkaError, sent: _Sent) -> BrokerLost | Fenced:
        self._failed = words(error)
        if error.code() in _FENCED:
            self._is_fenced = True
            return Fenced(_OTHER, sent.acked)
        return BrokerLost(self._failed, sent.acked)

    async def commit(self, *, now: bool = False) -> None:
        """Commit what was sent, if it is time, and go on. Raises :class:`Fenced`, :class:`BrokerLost`."""
        if not now and trio.current_time() - self._began_at < COMMIT_EVERY:
            return
        async with self._lock:
            self._check()
            self._failed = "it is not known whether the last transaction was committed"
            error = await self._setup.in_thread(self._commit)
            if error is not None:
                raise self._failure(error, _Sent(0))
            self._failed = None
            self._began_at = trio.current_time()

    def _commit(self) -> KafkaError | None:
        producer = self._producer
        try:
            producer.commit_transaction(ANSWER_WITHIN)
            producer.begin_transaction()
        except KafkaException as error:
            return error_of(error)
        return None

    def end(self) -> Callable[[], object]:
        """Use it no more, and drop what is not acknowledged. What is to be called then, by some thread, to close it."""
        self._failed = self._failed or CLOSED
        left = [self._producer]
        self._producer = _Ended()

        def close() -> None:
            left[0].purge()
            # Not its close(): that would abort, and wait for it. What is open ends with the next owner.
            left.clear()

        return close
