"""The engine for Kafka on librdkafka's mock: quick, and in the default run. The rest is asked of a real one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from confluent_kafka import Producer

import kraken_trio as kt
from kraken_trio.broker.kafka import KafkaEngine, source, topics
from kraken_trio.broker.kafka.client import CONNECT_WITHIN
from kraken_trio.broker.login import BrokerLogin, BrokerTls, SaslMechanism
from kraken_trio.broker.partitioning import partition_of
from kraken_trio.broker.position import Place
from kraken_trio.broker.seam import BrokerLost, Fence, Fenced, Start, TooLarge
from kraken_trio.broker.subjects import encode_symbol
from tests.broker.kafka_messages import (
    BTC,
    ETH,
    PATIENCE,
    TRADES,
    catalog,
    data,
    key_frame,
    new_name,
    own,
    receive,
    receive_all,
    texts,
)
from tests.broker.kafka_mock import PARTITIONS
from tests.ports import free_ports
from tests.secrets import Secrets

if TYPE_CHECKING:
    from tests.broker.kafka_mock import KafkaMock

PASSWORD = "sword/fish 1"


@pytest.fixture(autouse=True)
def not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the mock has not, it lets us wait for."""
    monkeypatch.setattr(topics, "message_limit", lambda *_: 1_000_000)
    monkeypatch.setattr(source, "topic_id", lambda *_: "")


@pytest.fixture
def engine(mock_kafka: KafkaMock) -> KafkaEngine:
    return made(mock_kafka)


def made(mock: KafkaMock, *, lease_ttl: float = 0.3) -> KafkaEngine:
    topic = new_name()
    mock.make(topic)
    engine = KafkaEngine(f"kafka://{mock.address}/{topic}", lease_ttl=lease_ttl)
    # Unlike a real one, it does not answer as soon as there is something.
    engine._setup = attrs.evolve(engine._setup, wait_ms=5)
    return engine


async def test_what_is_published_is_read_in_order(engine: KafkaEngine) -> None:
    numbers = [str(number) for number in range(200)]
    async with engine.connect() as link:
        fence = await own(link)
        async with link.read([BTC, TRADES], Start(), back=5) as source:
            assert await receive_all(source) == []
            await link.publish(fence, [*data(BTC, *numbers), *data(ETH, "not asked for"), *data(TRADES, *numbers)])
            found = await receive(source, 400)
    for key in (BTC, TRADES):
        assert texts(one for one in found if one.subject.key == key) == numbers
    # Both keys have the same symbol: the same partition.
    assert len({one.partition for one in found}) == 1
    assert source.taken.partition_of[BTC] == found[0].partition


async def test_a_source_begins_with_what_is_needed_to_know_the_state(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        await link.publish(fence, [*data(BTC, "a", "b"), key_frame(BTC, "frame"), *data(BTC, "c")])
        async with link.read([BTC, ETH], Start(), back=5) as source:
            assert texts(await receive_all(source)) == ["a", "b", "frame", "c"]
            await link.publish(fence, data(BTC, "d"))
            (last,) = await receive(source, 1)
    assert last.offset >= source.taken.starts[last.partition].offset


async def test_a_place_is_continued_from(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        await link.publish(fence, data(BTC, "a", "b", "c"))
        async with link.read([BTC], Start(), back=5) as source:
            found = await receive_all(source)
        at = found[1]
        places = {at.partition: Place(at.offset + 1, 3)}
        async with link.read([BTC], Start(places=places), back=5) as source:
            assert source.taken.starts == places
            assert texts(await receive(source, 3)) == ["a", "b", "c"]
            assert source.reached == {at.partition}


async def test_a_place_beyond_the_end_is_of_another_topic(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        await link.publish(fence, data(BTC, "a"))
        partition = partition_of(encode_symbol("BTC/USD").encode(), PARTITIONS)
        async with link.read([BTC], Start(places={partition: Place(1000)}), back=5) as source:
            assert source.taken.expired == {partition}
            await link.publish(fence, data(BTC, "b"))
            assert texts(await receive(source, 2)) == ["a", "b"]
            assert source.taken.starts[partition].offset > 0


async def test_keys_are_where_librdkafka_would_put_them(engine: KafkaEngine, mock_kafka: KafkaMock) -> None:
    partitions: dict[bytes, int | None] = {}
    producer = Producer({"bootstrap.servers": mock_kafka.address, "partitioner": "murmur2", "log_level": 0})
    for key in [*(f"{number:o}" for number in range(50)), "BTC%2FUSD", "_", "%E2%82%AC"]:
        producer.produce(
            engine.stream, b"", key, on_delivery=lambda _, m: partitions.update({m.key() or b"": m.partition()})
        )
    assert producer.flush(PATIENCE) == 0
    assert partitions == {key: partition_of(key, PARTITIONS) for key in partitions}


async def test_catalogs_are_the_newest_of_each_shard(engine: KafkaEngine) -> None:
    async with engine.connect() as link, engine.connect() as reader:
        assert await reader.catalogs() == []
        first, second = await own(link, 1), await own(link, 2)
        await link.publish(first, [catalog("old", 1), catalog("new", 1)])
        await link.publish(second, [catalog("two", 2)])
        found = await reader.catalogs()
        assert sorted((one.subject.shard, one.data) for one in found) == [(1, b"new"), (2, b"two")]
        await link.publish(first, [catalog("newer", 1)])
        assert b"newer" in {one.data for one in await reader.catalogs()}


async def test_a_lease_that_is_renewed_is_nobody_elses(engine: KafkaEngine) -> None:
    async with engine.connect() as link, engine.connect() as standby:
        fence = await own(link, holder="a")
        for _ in range(20):
            await link.renew(fence)
            assert await standby.acquire(0, "b") is None
            await trio.sleep(engine.lease_ttl / 10)
        await link.release(fence)
        later = await own(standby, holder="b")
        assert later.producer > fence.producer
        # The mock fences nobody; what stands in the control topic is enough for a new link.
        async with engine.connect() as other:
            with pytest.raises(Fenced):
                await other.publish(fence, data(BTC, "too late"))


async def test_a_lease_that_is_not_renewed_is_taken_over(engine: KafkaEngine) -> None:
    async with engine.connect() as link, engine.connect() as standby:
        first = await own(link, holder="a")
        second = await own(standby, holder="b")
        assert second.producer > first.producer


async def test_the_owner_goes_on_over_another_link(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        await link.publish(fence, data(BTC, "a"))
    async with engine.connect() as link:
        await link.publish(fence, data(BTC, "b"))
        await link.renew(fence)
        async with link.read([BTC], Start(), back=5) as source:
            assert texts(await receive_all(source)) == ["a", "b"]
    with pytest.raises(BrokerLost, match="closed"):
        await link.publish(fence, data(BTC, "c"))


async def test_an_owner_that_lost_its_link_need_not_wait_for_its_own_lease(mock_kafka: KafkaMock) -> None:
    engine = made(mock_kafka, lease_ttl=1e6)
    async with engine.connect() as link:
        first = await own(link, holder="a")
        assert await link.acquire(0, "a") is None
    async with engine.connect() as link:
        assert await link.acquire(0, "b") is None
        again = await link.acquire(0, "a")
        assert again is not None
        assert again.producer > first.producer


async def test_a_message_that_is_too_large_is_told_and_those_before_it_are_stored(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        with pytest.raises(TooLarge, match=r"max\.message\.bytes") as caught:
            await link.publish(fence, data(BTC, "a", "b", "x" * 9_000_000, "c"))
        assert caught.value.acked == 2
        await link.publish(fence, data(BTC, "c"))
        async with link.read([BTC], Start(), back=5) as source:
            assert texts(await receive_all(source)) == ["a", "b", "c"]


async def test_calls_may_be_cancelled(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        for delay in (0, 0.001, 0.003):
            with trio.move_on_after(delay):
                await link.publish(fence, data(BTC, "a", "b"))
            with trio.move_on_after(delay):
                await link.renew(fence)
            with trio.move_on_after(delay):
                await link.catalogs()
            with trio.move_on_after(delay):
                async with link.read([BTC], Start(), back=5) as source:
                    await receive(source, 1000)
        await link.publish(fence, data(BTC, "last"))
        async with link.read([BTC], Start(), back=5) as source:
            found = texts(await receive_all(source))
    assert found[-1] == "last"
    # Of each that was given up, all or nothing, or a beginning: in order.
    assert "".join(found[:-1]).replace("ab", "").replace("a", "") == ""


async def test_a_source_that_is_not_read_from_holds_up_no_other(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        async with (
            link.read([BTC], Start(), back=5) as slow,
            link.read([BTC], Start(), back=5) as quick,
        ):
            await receive_all(slow)
            await receive_all(quick)
            for number in range(100):
                await link.publish(fence, data(BTC, str(number)))
                assert texts(await receive(quick, 1)) == [str(number)]
            assert len(await receive(slow, 100)) == 100
        with pytest.raises(BrokerLost, match="closed"):
            await quick.receive()


async def test_foreign_messages_are_passed_over(engine: KafkaEngine, mock_kafka: KafkaMock) -> None:
    producer = Producer({"bootstrap.servers": mock_kafka.address, "log_level": 0})
    partition = partition_of(encode_symbol("BTC/USD").encode(), PARTITIONS)
    subjects: list[str | bytes | None] = [b"nonsense", None, "0.book.ETH", b"\xff"]
    for headers in ([], *([("subject", subject)] for subject in subjects)):
        producer.produce(engine.stream, b"?", "?", partition, headers=headers)
        producer.produce(f"{engine.stream}.control", b"?", "?", 0, headers=headers)
    producer.produce(f"{engine.stream}.control", b"?", "0.lease", 0, headers=[("subject", b"0.lease")])
    producer.produce(f"{engine.stream}.control", None, "0.lease", 0, headers=[("subject", b"0.lease")])
    assert producer.flush(PATIENCE) == 0
    async with engine.connect() as link:
        assert await link.catalogs() == []
        fence = await own(link)
        await link.publish(fence, data(BTC, "ours"))
        async with link.read([BTC], Start(), back=5) as source:
            assert texts(await receive_all(source)) == ["ours"]


async def test_a_topic_that_nobody_has_made_is_told(mock_kafka: KafkaMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "ANSWER_WITHIN", 0.3)
    engine = KafkaEngine(f"kafka://{mock_kafka.address}/{new_name()}")
    async with engine.connect() as link:
        assert await link.catalogs() == []
        with pytest.raises(BrokerLost, match="a relay that publishes to it makes it"):
            async with link.read([BTC], Start(), back=5):
                pass
        with pytest.raises(BrokerLost, match="cannot be made"):
            await link.acquire(0, "a")
        with pytest.raises(BrokerLost, match="cannot be made"):
            await link.renew(Fence(0, 1))


async def test_nobody_there(engine: KafkaEngine) -> None:
    (port,) = free_ports(1)
    engine = KafkaEngine(f"kafka://127.0.0.1:{port}")
    with trio.fail_after(PATIENCE), pytest.raises(kt.ConnectError, match=r"is a broker there") as caught:
        async with engine.connect():
            pass
    assert caught.value.retryable
    assert str(caught.value).startswith(f"Kafka at 127.0.0.1:{port}: Connection refused (")


async def test_silence(engine: KafkaEngine) -> None:
    """Who takes connections and says nothing is no broker."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener:
        engine = KafkaEngine(f"kafka://127.0.0.1:{listener.socket.getsockname()[1]}")
        with trio.move_on_after(CONNECT_WITHIN / 20) as scope:
            async with engine.connect():
                pass
        assert scope.cancelled_caught


@pytest.mark.parametrize("greeting", [b'INFO {"server_id":"N"}\r\n', b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_another_protocol_is_told(greeting: bytes) -> None:
    """As at the port of NATS. Once the advice was to raise the limit of messages."""

    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(greeting)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, greet, 0, host="127.0.0.1"))
        engine = KafkaEngine(f"kafka://127.0.0.1:{listener.socket.getsockname()[1]}")
        with trio.fail_after(PATIENCE), pytest.raises(kt.ConnectError, match="does not speak Kafka") as caught:
            async with engine.connect():
                pass
        assert "max.bytes" not in str(caught.value)
        nursery.cancel_scope.cancel()


async def test_a_listener_without_tls_is_told(mock_kafka: KafkaMock) -> None:
    engine = KafkaEngine(f"kafka://{mock_kafka.address}", tls=BrokerTls())
    with trio.fail_after(PATIENCE), pytest.raises(kt.ConnectError, match=r"BrokerTls|with a listener of this kind"):
        async with engine.connect():
            pass


async def test_a_listener_without_logins_is_told(mock_kafka: KafkaMock) -> None:
    engine = KafkaEngine(f"kafka://{mock_kafka.address}", login=BrokerLogin("relay", PASSWORD))
    with trio.fail_after(PATIENCE), pytest.raises(kt.ConnectError) as caught:
        async with engine.connect():
            pass
    assert Secrets(password=PASSWORD).found_in(caught.value, engine) == []


async def test_a_file_that_is_not_there_is_told(mock_kafka: KafkaMock) -> None:
    engine = KafkaEngine(f"kafka://{mock_kafka.address}", tls=BrokerTls(ca="/nowhere/ca.pem"))
    with pytest.raises(kt.ConnectError, match=r"/nowhere/ca\.pem") as caught:
        async with engine.connect():
            pass
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("url", "name", "stream"),
    [
        ("kafka://host", "kafka://host:9092/kraken", "kraken"),
        ("kafka://host:1/", "kafka://host:1/kraken", "kraken"),
        ("kafka://host?replicas=3&max_age=2d", "kafka://host:9092/kraken", "kraken"),
        ("kafka://a,b:2,[::1]:3/x.y-z_1", "kafka://a:9092,b:2,[::1]:3/x.y-z_1", "x.y-z_1"),
    ],
)
def test_urls(url: str, name: str, stream: str) -> None:
    engine = KafkaEngine(url)
    assert (engine.name, engine.stream, repr(engine)) == (name, stream, f"<KafkaEngine {name}>")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nats://host", "write kafka://host"),
        ("kafka://", "write kafka://host"),
        ("kafka:///x", "write kafka://host"),
        ("kafka://host/x?y", "after the \\? stand partitions=8"),
        ("kafka://host/x?y=1", "y=1 is none of partitions=8"),
        ("kafka://host/x?partitions=0", "partitions=0 is none of"),
        ("kafka://host/x?max_age=1w", "max_age=1w is none of"),
        ("kafka://host/x?max_bytes=1MB", "max_bytes=1MB is none of"),
        ("kafka://host/x#y", "write kafka://host"),
        (f"kafka://u:{PASSWORD}@host", "login=BrokerLogin"),
        ("kafka://host/a b", "cannot be a topic"),
        ("kafka://host/a/b", "cannot be a topic"),
        ("kafka://host/..", "cannot be a topic"),
        ("kafka://host/" + "x" * 241, "cannot be a topic"),
        ("kafka://host,", "no address of a broker"),
        ("kafka://host:port", "no address of a broker"),
        ("kafka://[::1", "write kafka://host"),
    ],
)
def test_urls_that_are_none(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        KafkaEngine(url)
    assert Secrets(password=PASSWORD).in_text(str(caught.value)) == set()


def test_logins_that_kafka_has_not() -> None:
    with pytest.raises(ValueError, match="BrokerLogin\\(user, password\\)"):
        KafkaEngine("kafka://host", login=BrokerLogin(token="t"))
    plain = BrokerLogin("u", PASSWORD, mechanism=SaslMechanism.PLAIN)
    with pytest.raises(ValueError, match="readable to all"):
        KafkaEngine("kafka://localhost,host", login=plain)
    for engine in (
        KafkaEngine("kafka://localhost", login=plain),
        KafkaEngine("kafka://host", login=plain, tls=BrokerTls()),
    ):
        assert Secrets(password=PASSWORD).found_in(engine) == []
