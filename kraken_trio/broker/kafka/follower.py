"""A topic of which one partition is read by whoever wants to know: from its beginning, to what its end is now."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, cast

import trio
from confluent_kafka import KafkaException, TopicPartition

from kraken_trio.broker.kafka.asking import progress, watermarks
from kraken_trio.broker.kafka.client import ANSWER_WITHIN, BATCH, CLOSED, POLL_EVERY, Watch
from kraken_trio.broker.kafka.errors import words
from kraken_trio.broker.seam import BrokerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import Consumer, Message

    from kraken_trio.broker.kafka.client import Asker, Setup

PARTITION: Final = 0
"""All in one order."""


class Follower(ABC):
    """What is in a topic, as far as it has been read."""

    def __init__(self, setup: Setup, topic: str, asker: Asker) -> None:
        self._setup = setup
        self._topic = topic
        self._asker = asker
        self._consumer: Consumer | None = None
        self._next: int | None = None
        self._lock = trio.Lock()
        self._is_ended = False

    @abstractmethod
    def _read(self, message: Message, offset: int) -> None:
        """Take a message."""

    @abstractmethod
    def _clear(self) -> None:
        """Forget all messages."""

    async def catch_up(self) -> bool:
        """Read all that is there now. Returns whether the topic exists. Raises :class:`BrokerLost`."""
        partition = TopicPartition(self._topic, PARTITION)
        async with self._lock:
            found = await self._setup.in_thread(self._asker.call, watermarks, partition)
            if found is None:
                return False
            if self._is_ended:
                raise BrokerLost(CLOSED)
            if self._consumer is None:
                self._consumer = self._setup.consumer(Watch())
            low, high = found
            if self._next is None or not low <= self._next <= high:
                # The first time; or somebody has deleted it, and what we know with it.
                self._clear()
                self._next = low
                partition.offset = low
                self._consumer.assign([partition])
            deadline = trio.current_time() + ANSWER_WITHIN
            while self._next < high:
                if self._take():
                    deadline = trio.current_time() + ANSWER_WITHIN
                elif trio.current_time() > deadline:
                    msg = f"{partition.topic}: no answer for {ANSWER_WITHIN:g} s"
                    raise BrokerLost(msg)
                await trio.sleep(POLL_EVERY)
        return True

    def look(self) -> None:
        """Read what has come, without asking the broker."""
        if self._next is not None and not self._lock.locked():
            while self._take() == BATCH:
                pass

    def end(self) -> list[Callable[[], object]]:
        """Use it no more. What is to be called then, by some thread, to close it."""
        self._is_ended = True
        return [] if self._consumer is None else [self._consumer.close]

    def _take(self) -> int:
        """Take some of what has come; how many they were."""
        if self._is_ended:
            raise BrokerLost(CLOSED)
        try:
            assert self._consumer is not None
            messages = self._consumer.consume(BATCH, 0)
        except KafkaException as raised:
            raise BrokerLost(words(raised)) from None
        for message in messages:
            found = progress(message)
            if found is not None:
                _, offset, is_end = found
                # The end is beyond the marks of transactions, which are no messages.
                self._next = offset if is_end else offset + 1
                if not is_end:
                    self._read(message, offset)
        return len(messages)


def headers_of(message: Message) -> Mapping[str, bytes]:
    """The headers; of a name that stands twice, one."""
    return dict(cast("list[tuple[str, bytes]]", message.headers() or ()))
