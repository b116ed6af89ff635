"""Brokers that several tests share: each test has a stream or a topic of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.broker.kafka_mock import KafkaMock, kafka_mock
from tests.broker.kafka_server import KafkaMissing, KafkaServer, kafka_server
from tests.broker.nats_server import NatsServer, run_cluster, run_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    """A server of NATS. Who kills it starts it again."""
    with run_server() as server:
        yield server


@pytest.fixture(scope="session")
def nats_cluster() -> Iterator[Sequence[NatsServer]]:
    """Three of them. Who kills one starts it again."""
    with run_cluster() as servers:
        yield servers


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """A real Kafka. Who kills it starts it again."""
    try:
        running = kafka_server()
        server = running.__enter__()
    except KafkaMissing as error:
        pytest.skip(str(error))
    try:
        yield server
    finally:
        running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def mock_kafka() -> Iterator[KafkaMock]:
    """The mock of librdkafka."""
    with kafka_mock() as mock:
        yield mock
