"""What an owner's producer takes for stored, whatever librdkafka tells of each message, and when."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given, strategies as st
from trio.testing import MockClock

from kraken_trio.broker.kafka import owner
from kraken_trio.broker.kafka.address import Address
from kraken_trio.broker.kafka.client import Setup
from kraken_trio.broker.seam import BrokerLost, Fenced

LATE = "after it was given up"


class Stored:
    def offset(self) -> int:
        return 7


class FakeProducer:
    """It tells of its messages in any order, one with each poll."""

    def __init__(self, fates: list[tuple[Any, int]]) -> None:
        self.fates = fates
        self.told: list[Any] = []
        self.polls: list[int] = []

    def produce(self, *_: object, on_delivery: Any, headers: object) -> None:
        del headers
        self.told.append(on_delivery)

    def poll(self, _seconds: float) -> None:
        order = sorted(range(len(self.fates)), key=lambda index: self.fates[index][1])
        on_time = [index for index in order if self.fates[index][0] is not LATE]
        if len(self.polls) < len(on_time):
            self.polls.append(on_time[len(self.polls)])
            self.told[self.polls[-1]](self.fates[self.polls[-1]][0], Stored())

    def tell_late(self) -> None:
        for index, (fate, _) in enumerate(self.fates):
            if fate is LATE:
                self.told[index](None, Stored())


ERROR = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)


class BrokenProducer:
    """It has had a fatal error since it was polled last: what it takes now is refused with that word only."""

    def __init__(self, code: int) -> None:
        self.code = code

    def produce(self, *_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL))

    def poll(self, _seconds: float) -> None:
        raise KafkaException(KafkaError(self.code, fatal=True))


def owner_with(producer: Any) -> owner.Owner:
    one = owner.Owner(Setup(Address.parse("kafka://127.0.0.1:1/kraken")[0]), 0, 1000)
    one._producer = producer
    return one


@pytest.mark.parametrize(
    ("code", "error"), [(KafkaError.PRODUCER_FENCED, Fenced), (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, BrokerLost)]
)
async def test_who_was_fenced_between_two_messages_is_told_that(code: int, error: type[Exception]) -> None:
    """Once it was told of a lost broker, and tried again."""
    one = owner_with(BrokenProducer(code))
    for _ in range(2):
        with pytest.raises(error):
            await one.send([owner.Outbound("kraken", 0, "key", b"data", [])])


@given(st.lists(st.tuples(st.sampled_from([None, None, None, ERROR, LATE]), st.integers(0, 9)), min_size=1, max_size=6))
def test_nothing_is_taken_for_stored_that_is_not(fates: list[tuple[Any, int]]) -> None:
    producer = FakeProducer(fates)
    stored = next((index for index, (fate, _) in enumerate(fates) if fate is not None), len(fates))

    async def send() -> int:
        one = owner_with(producer)
        records = [owner.Outbound("kraken", 0, "key", b"data", []) for _ in fates]
        try:
            return await one.send(records)
        finally:
            producer.tell_late()
            with pytest.raises(BrokerLost) if stored < len(fates) else trio.CancelScope():
                await one.send([])  # noqa: ASYNC102 (it only looks at what was told)

    if stored == len(fates):
        assert trio.run(send, clock=MockClock(autojump_threshold=0)) == 7
    else:
        with pytest.raises(BrokerLost) as caught:
            trio.run(send, clock=MockClock(autojump_threshold=0))
        assert caught.value.acked <= stored
