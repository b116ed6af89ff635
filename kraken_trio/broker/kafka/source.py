"""Messages of some keys, from a place on, and what comes before it that is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from kraken_trio.broker.kafka.asking import count_partitions, progress, watermarks
from kraken_trio.broker.kafka.client import ANSWER_WITHIN, BATCH, POLL_EVERY, Watch
from kraken_trio.broker.kafka.control import SUBJECT, subject_of
from kraken_trio.broker.kafka.errors import words
from kraken_trio.broker.kafka.follower import headers_of
from kraken_trio.broker.kafka.topics import topic_id
from kraken_trio.broker.partitioning import partition_of
from kraken_trio.broker.position import Place, begin_at
from kraken_trio.broker.seam import BrokerLost, Incoming, Taken
from kraken_trio.broker.subjects import Kind, encode_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from confluent_kafka import Message

    from kraken_trio.broker.kafka.client import Setup
    from kraken_trio.broker.seam import Start
    from kraken_trio.broker.subjects import Key, Subject

_PREFETCH_KBYTES: Final = 16 * 1024
"""How much librdkafka reads ahead of a slow program."""
_LOOK_BACK: Final = 16
"""Offsets before a place, among which a message is looked for; if there is none (markers only), so many times more."""
_STEP: Final = 0.1
"""Seconds."""
_SHORT_WAIT_MS: Final = 10
"""For a consumer that both reads and asks."""
_MS: Final = 1_000_000
"""Nanoseconds."""
_SUBJECTS: Final = 65_536
"""How many subjects are remembered: their number has a limit only as far as their publishers have one."""


class KafkaSource:
    """:class:`~kraken_trio.broker.seam.Source`: of all messages of the keys' partitions, those of the keys."""

    def __init__(
        self, consumer: Consumer, watch: Watch, keys: Collection[Key], taken: Taken, begins: Mapping[int, int]
    ) -> None:
        self.taken: Taken = taken
        self.reached: set[int] = {
            partition for partition, begin in begins.items() if begin >= taken.starts[partition].begun
        }
        self._consumer = consumer
        self._watch = watch
        self._keys = frozenset(keys)
        self._subjects: dict[bytes, Subject | None] = {}
        self._has_told = False
        self._lost: str | None = None
        self.on_loss: Callable[[BrokerLost], None] = lambda _: None
        """Told when it finds the connection lost."""

    def end(self) -> Callable[[], object]:
        """Use it no more. What is to be called then, by some thread, to close it."""
        self._lost = "this source is closed"
        return self._consumer.close

    async def receive(self) -> Sequence[Incoming]:
        """As for any source."""
        await trio.lowlevel.checkpoint()
        while True:
            reached = len(self.reached)
            try:
                found = self._take()
            except BrokerLost as error:
                self._lost = str(error)
                self.on_loss(error)
                raise
            # What has been reached from the beginning is told by the first return.
            if found or len(self.reached) > reached or (self.reached and not self._has_told):
                self._has_told = True
                return found
            await trio.sleep(POLL_EVERY)

    def _take(self) -> list[Incoming]:
        """What has come."""
        if self._lost is not None:
            raise BrokerLost(self._lost)
        try:
            messages = self._consumer.consume(BATCH, 0)
        except KafkaException as raised:
            raise BrokerLost(words(raised)) from None
        found = []
        for message in messages:
            at = progress(message)
            if at is None:
                continue
            partition, offset, is_end = at
            if not is_end:
                incoming = self._incoming(message, partition, offset)
                if incoming is not None:
                    found.append(incoming)
                offset += 1
            if partition not in self.reached and offset >= self.taken.starts[partition].begun:
                self.reached.add(partition)
        if not messages:
            self._watch.check()
        return found

    def _incoming(self, message: Message, partition: int, offset: int) -> Incoming | None:
        headers, data = headers_of(message), message.value()
        name = headers.get(SUBJECT)
        if name is None or data is None:
            return None
        try:
            subject = self._subjects[name]
        except KeyError:
            subject = subject_of(headers)
            if subject is not None and (subject.kind not in {Kind.DATA, Kind.KEY} or subject.key not in self._keys):
                subject = None
            if len(self._subjects) >= _SUBJECTS:
                self._subjects.clear()
            self._subjects[name] = subject
        if subject is None:
            return None
        return Incoming(subject, data, partition, offset, message.timestamp()[1] * _MS)


def open_source(setup: Setup, keys: Collection[Key], start: Start, back: float) -> KafkaSource:
    """A consumer that has been assigned what is to be read. Blocks; raises :class:`KafkaException`, BrokerLost."""
    asker = setup.consumer(Watch(), wait_ms=_SHORT_WAIT_MS)
    try:
        taken, begins = _plan(asker, setup, keys, start, int(back * 1000))
    finally:
        asker.close()
    watch = Watch()
    consumer = setup.consumer(watch, prefetch_kbytes=_PREFETCH_KBYTES)
    consumer.assign(_at(setup.address.topic, begins))
    return KafkaSource(consumer, watch, keys, taken, begins)


def _at(topic: str, offsets: Mapping[int, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]


def _plan(
    consumer: Consumer, setup: Setup, keys: Collection[Key], start: Start, back_ms: int
) -> tuple[Taken, dict[int, int]]:
    """Where the source begins, and from where it has to read."""
    topic = setup.address.topic
    count = count_partitions(consumer, topic)
    if not count:
        msg = f"there is no topic {topic} yet: a relay that publishes to it makes it"
        raise BrokerLost(msg)
    log = topic_id(setup, topic)
    partition_of_key = {key: partition_of(record_key(key[1]).encode(), count) for key in keys}
    lows, highs = {}, {}
    for partition in sorted(set(partition_of_key.values())):
        found = watermarks(consumer, TopicPartition(topic, partition))
        if found is None:
            msg = f"the partition {partition} of topic {topic} is not there"
            raise BrokerLost(msg)
        lows[partition], highs[partition] = found
    starts = {partition: Place(high, 0, log) for partition, high in highs.items()}
    expired = set()
    if start.time_ns is not None:
        since = -(-start.time_ns // _MS)  # rounded up: stored at or after it
        for partition, offset in _offsets_at(consumer, topic, dict.fromkeys(highs, since)).items():
            if offset is not None:
                starts[partition] = Place(offset, 0, log)
                if offset == lows[partition] > 0:
                    expired.add(partition)
    elif start.places is not None:
        for partition in highs.keys() & start.places.keys():
            place = start.places[partition]
            starts[partition], is_expired = begin_at(place, lows[partition], highs[partition], log)
            if is_expired:
                expired.add(partition)
    begins = {partition: place.offset for partition, place in starts.items()}
    times = _times_before(consumer, topic, begins, lows)
    since_offsets = _offsets_at(consumer, topic, {partition: max(at - back_ms, 0) for partition, at in times.items()})
    for partition, place in starts.items():
        offset = since_offsets.get(partition)
        # There is a message at that time or later. Who finds none knows no times: the mock of librdkafka.
        begins[partition] = min(place.offset, lows[partition] if offset is None else offset)
    return Taken(starts, frozenset(expired), partition_of_key), begins


def record_key(symbol: str | None) -> str:
    """The key of a record: what has the same is in the same partition."""
    return encode_symbol(symbol)


def _offsets_at(consumer: Consumer, topic: str, times: Mapping[int, int]) -> dict[int, int | None]:
    """The first offset in each partition whose message was stored at this time (ms) or later; None if there is none."""
    if not times:
        return {}
    found: dict[int, int | None] = {}
    for one in consumer.offsets_for_times(_at(topic, times), ANSWER_WITHIN):
        if one.error is not None:
            raise KafkaException(one.error)
        found[one.partition] = None if one.offset == OFFSET_END else one.offset
    return found


def _times_before(
    consumer: Consumer, topic: str, offsets: Mapping[int, int], lows: Mapping[int, int]
) -> dict[int, int]:
    """When the last message before each of these offsets was stored (ms); missing where there is none."""
    found: dict[int, int] = {}
    span = _LOOK_BACK
    wanted = {partition for partition, offset in offsets.items() if offset > lows[partition]}
    while wanted:
        first = {partition: max(lows[partition], offsets[partition] - span) for partition in wanted}
        consumer.assign(_at(topic, first))
        patience = int(ANSWER_WITHIN / _STEP)
        reading = set(wanted)
        while reading:
            message = consumer.poll(_STEP)
            if message is None:
                patience -= 1
                if not patience:
                    msg = f"{topic}: no answer for {ANSWER_WITHIN:g} s"
                    raise BrokerLost(msg)
                continue
            at = progress(message)
            if at is None:
                continue
            partition, offset, is_end = at
            if not is_end and offset < offsets[partition]:
                found[partition] = message.timestamp()[1]
                offset += 1
            if offset >= offsets[partition]:
                reading.discard(partition)
        wanted = {partition for partition in wanted - found.keys() if first[partition] > lows[partition]}
        span *= _LOOK_BACK
    return found
