"""The engine for Kafka, with a real one: what the mock has not. `nox -s brokers` runs these."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trustme
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # (it exports them without saying so)
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

import kraken_trio as kt
from kraken_trio.broker.kafka import KafkaEngine, owner as owner_module
from kraken_trio.broker.login import BrokerLogin, BrokerTls, SaslMechanism
from kraken_trio.broker.position import Place
from kraken_trio.broker.seam import BrokerLost, Fenced, Start, TooLarge
from tests.broker.kafka_messages import (
    BTC,
    ETH,
    PATIENCE,
    catalog,
    data,
    in_the_end,
    key_frame,
    new_name,
    own,
    own_over_a_link,
    receive,
    receive_all,
    texts,
)
from tests.broker.kafka_server import KafkaServer, kafka_cluster, kafka_server
from tests.ports import free_ports
from tests.secrets import Secrets
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from kraken_trio.broker.seam import Fence, Incoming, Link
    from tests.broker.kafka_messages import Message

pytestmark = pytest.mark.brokers

PASSWORD = "sword+fish/9"


@pytest.fixture
def engine(kafka: KafkaServer) -> KafkaEngine:
    return KafkaEngine(f"kafka://{kafka.address}/{new_name()}")


async def publish_all(engine: KafkaEngine, fence: Fence, batches: Iterable[Sequence[Message]]) -> None:
    """As a producer does it: after a loss all that is not acknowledged is sent again, over a new link."""
    left = deque(batches)
    while left:
        with suppress(kt.ConnectError):
            async with engine.connect() as link:
                while left:
                    try:
                        await link.publish(fence, left[0])
                    except BrokerLost as error:
                        left[0] = left[0][error.acked :]
                        break
                    left.popleft()
                    await trio.sleep(0.01)


async def stored(engine: KafkaEngine, *keys: Any) -> list[str]:
    """All that is stored of these keys."""
    async with engine.connect() as link, link.read(keys or [BTC], Start(time_ns=0), back=0) as source:
        found = await receive_all(source)
        async with link.read(keys or [BTC], Start(), back=1e6) as whole:
            found = await receive_all(whole)
    return texts(found)


async def test_topics_are_made_as_they_should_be(engine: KafkaEngine, kafka: KafkaServer) -> None:
    engine = KafkaEngine(f"{engine.name}?partitions=5&replicas=1&max_age=2h&max_bytes=5GiB")
    async with engine.connect() as link:
        assert await link.catalogs() == []
        await own(link)
    admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    topics = admin.list_topics(timeout=PATIENCE).topics
    assert len(topics[engine.stream].partitions) == 5
    assert len(topics[f"{engine.stream}.control"].partitions) == 1
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in (engine.stream, f"{engine.stream}.control")]
    settings, control = (one.result() for one in admin.describe_configs(resources).values())
    assert settings["cleanup.policy"].value == "delete"
    assert settings["retention.ms"].value == "7200000"
    assert settings["retention.bytes"].value == str(1 << 30)
    assert control["cleanup.policy"].value == "compact"


async def test_topics_that_cannot_be_made_are_no_reason_to_try_again(engine: KafkaEngine) -> None:
    engine = KafkaEngine(f"{engine.name}?replicas=2")
    async with engine.connect() as link:
        with pytest.raises(kt.ConnectError, match=r"cannot be made: .*fewer brokers") as caught:
            await link.acquire(0, "a")
    assert not caught.value.retryable


async def test_numbers_of_owners_grow_also_when_the_topics_are_deleted(engine: KafkaEngine, kafka: KafkaServer) -> None:
    async with engine.connect() as link:
        first = await own(link, 0)
        second = await own(link, 1)
        await link.renew(first)
        third = await own(link, 2)
    assert first.producer < second.producer < third.producer < 2**53, "JavaScript reads it"
    admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    for future in admin.delete_topics([engine.stream, f"{engine.stream}.control"]).values():
        await trio.to_thread.run_sync(future.result)
    fourth = await in_the_end(partial(own_over_a_link, engine))
    assert third.producer < fourth.producer


async def test_topics_that_exist_are_taken_as_they_are(engine: KafkaEngine, kafka: KafkaServer) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    made = admin.create_topics([NewTopic(engine.stream, 3, config={"max.message.bytes": "5000"})])
    await trio.to_thread.run_sync(made[engine.stream].result)
    async with engine.connect() as link:
        fence = await own(link)
        with pytest.raises(TooLarge, match=r"max\.message\.bytes of the topic allows 3976") as caught:
            await link.publish(fence, data(BTC, "a", "x" * 4000))
        assert caught.value.acked == 1
        await link.publish(fence, data(BTC, "x" * 3900))
    assert len(await stored(engine)) == 2


async def test_an_earlier_owner_cannot_publish_however_much_it_has_on_its_way(engine: KafkaEngine) -> None:
    async with engine.connect() as link, engine.connect() as standby, trio.open_nursery() as nursery:
        fence = await own(link, holder="a")
        await link.publish(fence, data(BTC, "a"))
        later = await own(standby, holder="b")
        await standby.publish(later, data(BTC, "b"))
        for key in (BTC, ETH):  # a partition that it had used, and another
            with pytest.raises(Fenced) as caught:
                await link.publish(fence, data(key, *map(str, range(500))))
            assert caught.value.acked == 0
        with pytest.raises(Fenced):
            await link.renew(fence)
        await link.release(fence)
        with pytest.raises(Fenced):
            await link.publish(fence, data(BTC, "still"))
        # A new link of it can neither.
        async with engine.connect() as another:
            with pytest.raises(Fenced):
                await another.publish(fence, data(BTC, "still"))
            await another.release(fence)
        await standby.publish(later, data(BTC, "c"))
        nursery.cancel_scope.cancel()
    assert await stored(engine, BTC, ETH) == ["a", "b", "c"]


async def test_messages_on_their_way_while_another_takes_over(engine: KafkaEngine) -> None:
    """What was acknowledged stands before the new owner's lease; what was not may, too; nothing stands after it."""
    acked: list[str] = []

    async def flood(link: Link, fence: Fence) -> None:
        number = 0
        with pytest.raises(Fenced) as caught:
            while True:
                batch = [str(number + one) for one in range(100)]
                await link.publish(fence, data(BTC, *batch))
                acked.extend(batch)
                number += 100
        acked.extend(batch[: caught.value.acked])

    async with engine.connect() as link, engine.connect() as standby:
        fence = await own(link, holder="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, link, fence)
            later = await own(standby, holder="b")
            await standby.publish(later, data(BTC, "new"))
    found = await stored(engine)
    assert found.index("new") == len(found) - 1
    assert found[:-1] == [str(number) for number in range(len(found) - 1)]
    assert found[: len(acked)] == acked
    assert len(acked) > 100


async def test_a_standby_takes_over_when_the_lease_has_ended_and_not_before(engine: KafkaEngine) -> None:
    async with engine.connect() as link, engine.connect() as standby:
        fence = await own(link, holder="a")
        await link.publish(fence, data(BTC, "a"))
        assert await standby.acquire(0, "b") is None
        await link.renew(fence)
        began = trio.current_time()
        await own(standby, holder="b")
        took = trio.current_time() - began
    # How much later is a figure for the benchmarks: under a second, on a machine that is not busy.
    assert took >= engine.lease_ttl


async def test_transactions_are_committed_now_and_then(engine: KafkaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_module, "COMMIT_EVERY", 0.0)
    async with engine.connect() as link:
        fence = await own(link)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(link.renew, fence)
                await link.publish(fence, data(BTC, *(f"{number}.{one}" for one in range(10))))
        await link.release(fence)
        async with link.read([BTC], Start(), back=1e6) as source:
            found = await receive_all(source)
    assert texts(found) == [f"{number}.{one}" for number in range(20) for one in range(10)]
    # Who reads committed messages only sees all of them, too.
    consumer = Consumer(
        {
            "bootstrap.servers": engine._setup.address.servers[0],
            "group.id": "x",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(engine.stream, found[0].partition, 0)])
    seen = []
    while (message := consumer.poll(PATIENCE)) is not None and message.error() is None:
        seen.append(message.value())
    consumer.close()
    assert seen == [one.data for one in found]


async def test_starts_in_time(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        times = []
        for text in "abc":
            await link.publish(fence, [key_frame(BTC, text.upper()), *data(BTC, text)])
            async with link.read([BTC], Start(), back=0) as source:
                times.append((await receive_all(source))[-1].time_ns)
            await trio.sleep(0.05)
        for wanted, time_ns in zip(["abc", "bc", "c"], times, strict=True):
            async with link.read([BTC], Start(time_ns=time_ns), back=0.02) as source:
                (start,) = source.taken.starts.values()
                found = await receive(source, 2 * len(wanted) - 1)
                # A key frame and the event after it may have been stored in one millisecond.
                late = [one for one in found if one.offset >= start.offset]
                assert sorted(set("".join(texts(late)).lower())) == sorted(wanted)
                assert all(one.time_ns >= time_ns for one in late)
                assert source.taken.expired == frozenset()
        async with link.read([BTC], Start(time_ns=times[-1] + 10**12), back=0.02) as source:
            assert texts(await receive_all(source)) == ["C", "c"]
        # So far back as it says, and no farther.
        async with link.read([BTC], Start(), back=0.06) as source:
            assert "a" not in texts(await receive_all(source))


async def test_what_retention_has_dropped_is_told(engine: KafkaEngine, kafka: KafkaServer) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        await link.publish(fence, data(BTC, "a", "b", "c"))
        async with link.read([BTC], Start(), back=0) as source:
            last = (await receive_all(source))[-1]
        async with link.read([BTC], Start(places={last.partition: Place(0)}), back=0) as source:
            assert source.taken.expired == frozenset()
            admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
            dropped = admin.delete_records([TopicPartition(engine.stream, last.partition, last.offset)])
            for one in dropped.values():
                await trio.to_thread.run_sync(one.result)
        for start in (Start(places={last.partition: Place(last.offset - 1, 5)}), Start(time_ns=0)):
            async with link.read([BTC], start, back=5) as source:
                assert source.taken.expired == {last.partition}
                start_of = source.taken.starts[last.partition]
                assert (start_of.offset, start_of.index) == (last.offset, 0)
                assert texts(await receive(source, 1)) == ["c"]
        async with link.read([BTC], Start(places={last.partition: Place(last.offset)}), back=5) as source:
            assert source.taken.expired == frozenset()
            # While somebody reads slowly, and cannot have had all of it: what is compressed little is much.
            await link.publish(fence, data(BTC, *(secrets.token_hex(50_000) for _ in range(400))))
            for one in admin.delete_records([TopicPartition(engine.stream, last.partition, -1)]).values():
                await trio.to_thread.run_sync(one.result)
            with trio.fail_after(PATIENCE), pytest.raises(BrokerLost, match="expired before they were read"):
                while True:
                    await source.receive()


async def test_killed_broker_loses_nothing_doubles_nothing_reorders_nothing() -> None:
    """Of what was acknowledged; what was not is sent again, and may stand twice, in order."""
    numbers = [str(number) for number in range(3000)]
    batches = [data(BTC, *numbers[at : at + 50]) for at in range(0, len(numbers), 50)]
    with kafka_server() as server:
        engine = KafkaEngine(f"kafka://{server.address}/killed", lease_ttl=1000)
        async with engine.connect() as link:
            fence = await own(link)
            async with link.read([BTC], Start(), back=0) as source:
                await receive_all(source)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(publish_all, engine, fence, batches)
                    seen = await receive(source, 500)
                    await trio.to_thread.run_sync(server.kill)
                    with trio.fail_after(PATIENCE), pytest.raises(BrokerLost):
                        while True:
                            seen += await source.receive()
                    await trio.to_thread.run_sync(server.start)
        found = await stored(engine)
        # Repeats are of the end of what was there.
        news = [text for at, text in enumerate(found) if text not in found[:at]]
        assert news == numbers
        assert texts(seen) == found[: len(seen)]
        after = Place(seen[-1].offset + 1)
        async with (
            engine.connect() as link,
            link.read([BTC], Start(places={seen[-1].partition: after}), back=0) as source,
        ):
            later: list[str] = []
            while len(later) < len(found) - len(seen):
                later += texts(one for one in await receive(source, 1) if one.offset >= after.offset)
            assert later == found[len(seen) :]


async def read_on(engine: KafkaEngine, count: int, task_status: trio.TaskStatus[list[Incoming]]) -> None:
    """Read BTC until so many different messages have come, over as many links as that takes."""
    found: list[Incoming] = []
    known: set[str] = set()
    start = Start()
    while len(known) < count:
        with suppress(kt.ConnectError, BrokerLost):
            async with engine.connect() as link, link.read([BTC], start, back=0) as source:
                if start.places is None:
                    start = Start(places=source.taken.starts)
                    task_status.started(found)
                while len(known) < count:
                    for one in await source.receive():
                        # A source may begin with what is before its start.
                        if one.offset >= source.taken.starts[one.partition].offset:
                            found.append(one)
                            known.update(texts([one]))
                            start = Start(places={**source.taken.starts, one.partition: Place(one.offset + 1)})


def has_come(messages: Sequence[Incoming], count: int) -> bool:
    return len(messages) >= count


async def test_a_cluster_whose_nodes_are_killed_in_turn_loses_nothing_doubles_nothing_reorders_nothing() -> None:
    """With each, partitions have another leader for a while, and so have transactions."""
    numbers = [str(number) for number in range(4000)]
    batches = [data(BTC, *numbers[at : at + 20]) for at in range(0, len(numbers), 20)]
    with kafka_cluster() as servers:
        addresses = ",".join(server.address for server in servers)
        engine = KafkaEngine(f"kafka://{addresses}/cluster", lease_ttl=1000)
        async with engine.connect() as link:
            fence = await own(link)
        with trio.fail_after(4 * PATIENCE):
            async with trio.open_nursery() as nursery:
                seen = await nursery.start(read_on, engine, len(numbers))
                nursery.start_soon(publish_all, engine, fence, batches)
                for number, server in enumerate(servers, 1):
                    await until(partial(has_come, seen, number * 500), within=4 * PATIENCE)
                    await trio.to_thread.run_sync(server.kill)
                    await trio.to_thread.run_sync(server.start)
        found = await stored(engine)
    news = [text for at, text in enumerate(found) if text not in found[:at]]
    assert news == numbers
    assert texts(seen) == found[: len(seen)]


async def test_broker_that_is_stopped_is_lost_and_comes_back() -> None:
    with kafka_server() as server:
        engine = KafkaEngine(f"kafka://{server.address}/stopped", lease_ttl=1000)
        async with engine.connect() as link:
            fence = await own(link)
            await link.publish(fence, data(BTC, "a"))
            async with link.read([BTC], Start(), back=0) as source:
                await receive_all(source)
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    with trio.fail_after(PATIENCE), pytest.raises(BrokerLost, match="acknowledged") as caught:
                        await link.publish(fence, data(BTC, "b"))
                    assert caught.value.acked == 0
                    with trio.fail_after(PATIENCE), pytest.raises(BrokerLost, match="no broker can be reached"):
                        await source.receive()
                    with trio.fail_after(PATIENCE), pytest.raises(kt.ConnectError):
                        async with engine.connect():
                            pass
                finally:
                    os.kill(server.pid, signal.SIGCONT)
            with pytest.raises(BrokerLost):
                await link.renew(fence)
        await publish_all(engine, fence, [data(BTC, "b")])
        found = await stored(engine)
        assert (found[0], {*found[1:]}) == ("a", {"b"})


async def test_the_control_topic_is_read_to_its_end_before_a_lease_is_taken(engine: KafkaEngine) -> None:
    """A standby that was stopped has heard nothing for long: that is no reason to take over."""
    async with engine.connect() as link, engine.connect() as standby:
        fence = await own(link, holder="a")
        assert await standby.acquire(0, "b") is None
        for _ in range(4):
            time.sleep(engine.lease_ttl / 3)  # noqa: ASYNC251 (all of this process stands still)
            await link.renew(fence)
        assert await standby.acquire(0, "b") is None
        await link.publish(fence, [catalog("mine")])


def as_kafka_reads_it(cert: trustme.LeafCert) -> bytes:
    """It wants the key in PKCS#8."""
    key = load_pem_private_key(cert.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + b"".join(blob.bytes() for blob in cert.cert_chain_pems)


def secured(folder: Path, authority: trustme.CA, more: Mapping[str, str]) -> dict[str, str]:
    """Settings of a listener with TLS and users."""
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "server.pem").write_bytes(as_kafka_reads_it(authority.issue_cert("127.0.0.1")))
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    users = " ".join(f'user_{name}="{PASSWORD}"' for name in ("relay", "reader", "nobody"))
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "sasl.enabled.mechanisms": ",".join(one.value for one in SaslMechanism),
        "plain.sasl.jaas.config": f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};",
        "scram-sha-256.sasl.jaas.config": scram,
        "scram-sha-512.sasl.jaas.config": scram,
        **more,
    }
    return {f"listener.name.client.{name}".replace(".", "_"): value for name, value in settings.items()}


async def test_rights_that_are_needed_and_what_is_told_without_them(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = {
        "authorizer_class_name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super_users": "User:ANONYMOUS",
        **secured(tmp_path, trustme.CA(), {}),
    }

    def allow(user: str, kind: ResourceType, prefix: str, *operations: AclOperation) -> list[AclBinding]:
        return [
            AclBinding(kind, prefix, ResourcePatternType.PREFIXED, f"User:{user}", "*", one, AclPermissionType.ALLOW)
            for one in operations
        ]

    def engine(user: str) -> KafkaEngine:
        login = BrokerLogin(user, PASSWORD, mechanism=SaslMechanism.PLAIN)
        return KafkaEngine(f"kafka://127.0.0.1:{port}", login=login, tls=BrokerTls(ca=tmp_path / "ca.pem"))

    see = (AclOperation.DESCRIBE, AclOperation.READ)
    with kafka_server(secure_port=port, **settings) as server:
        admin = AdminClient({"bootstrap.servers": server.address, "log_level": 0})
        rights = [
            *allow("relay", ResourceType.TOPIC, "kraken", *see, AclOperation.WRITE, AclOperation.CREATE),
            *allow("relay", ResourceType.TRANSACTIONAL_ID, "kraken.", AclOperation.DESCRIBE, AclOperation.WRITE),
            *allow("reader", ResourceType.TOPIC, "kraken", *see),
        ]
        for future in admin.create_acls(rights).values():
            await trio.to_thread.run_sync(future.result)
        await in_the_end(partial(own_over_a_link, engine("relay")))
        async with engine("relay").connect() as link, engine("reader").connect() as reader:
            fence = await own(link)
            await link.publish(fence, [*data(BTC, "a"), catalog("c")])
            await link.renew(fence)
            assert texts(await reader.catalogs()) == ["c"]
            async with reader.read([BTC], Start(), back=0) as source:
                assert texts(await receive_all(source)) == ["a"]
            with pytest.raises(kt.ConnectError, match="Describe and Write on the transactional ids") as caught:
                await reader.acquire(1, "b")
            assert not caught.value.retryable
        async with engine("nobody").connect() as link:
            with pytest.raises(BrokerLost, match="allow this user Describe and Read"):
                await link.catalogs()
        async with engine("nobody").connect() as link:
            with pytest.raises(BrokerLost, match="allow this user Describe and Read"):
                async with link.read([BTC], Start(), back=0):
                    pass
        async with engine("nobody").connect() as link:
            with pytest.raises(kt.ConnectError, match="allow this user Describe and Read"):
                await link.acquire(0, "a")


@pytest.mark.parametrize("mechanism", SaslMechanism)
async def test_logins_and_certificates(tmp_path: Path, mechanism: SaslMechanism) -> None:
    authority = trustme.CA()
    theirs = authority.issue_cert("relay")
    theirs.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    (port,) = free_ports(1)
    settings = secured(
        tmp_path,
        authority,
        {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(tmp_path / "ca.pem"),
            "ssl.client.auth": "required",
        },
    )
    with kafka_server(secure_port=port, **settings) as server:
        admin = AdminClient({"bootstrap.servers": server.address, "log_level": 0})
        if mechanism is not SaslMechanism.PLAIN:
            kind = {"256": ScramMechanism.SCRAM_SHA_256, "512": ScramMechanism.SCRAM_SHA_512}[mechanism.value[-3:]]
            user = UserScramCredentialUpsertion("relay", ScramCredentialInfo(kind, 4096), PASSWORD.encode())
            for future in admin.alter_user_scram_credentials([user]).values():
                await trio.to_thread.run_sync(partial(future.result, PATIENCE))
        url = f"kafka://127.0.0.1:{port}"
        right = BrokerTls(ca=tmp_path / "ca.pem", cert=tmp_path / "client.pem")
        engine = KafkaEngine(url, login=BrokerLogin("relay", PASSWORD, mechanism=mechanism), tls=right)
        await in_the_end(partial(own_over_a_link, engine))
        async with engine.connect() as link:
            fence = await own(link)
            await link.publish(fence, data(BTC, "a"))
            async with link.read([BTC], Start(), back=0) as source:
                assert texts(await receive_all(source)) == ["a"]
        wrong = KafkaEngine(url, login=BrokerLogin("relay", PASSWORD + "!", mechanism=mechanism), tls=right)
        untrusting = KafkaEngine(url, login=BrokerLogin("relay", PASSWORD, mechanism=mechanism), tls=BrokerTls())
        for engine, told in ((wrong, "user, the password and the mechanism"), (untrusting, r"BrokerTls\(ca=…\)")):
            with trio.fail_after(PATIENCE), pytest.raises(kt.ConnectError, match=told) as caught:
                async with engine.connect():
                    pass
            assert not caught.value.retryable
            assert Secrets(password=PASSWORD).found_in(caught.value, engine) == []


async def test_calls_may_be_cancelled_at_any_time(engine: KafkaEngine) -> None:
    async with engine.connect() as link:
        fence = await own(link)
        for step in range(40):
            with trio.move_on_after(step / 2000):
                async with engine.connect() as other:
                    with trio.move_on_after(step / 4000):
                        await other.publish(fence, data(BTC, "?"))
                    async with other.read([BTC], Start(), back=0) as source:
                        await receive(source, 10_000)
        # The last one may have fenced the others: what counts is that the number is still the owner's.
    async with engine.connect() as link:
        await link.publish(fence, data(BTC, "!"))
    assert (await stored(engine))[-1] == "!"


def test_without_kafka_the_tests_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.broker import kafka_server as module

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(module.KafkaMissing, match="there is no java"):
        module.files()
    monkeypatch.undo()
    monkeypatch.setenv("KRAKEN_TRIO_KAFKA", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name == "mvn" else "/usr/bin/java")
    with pytest.raises(module.KafkaMissing, match="there is no mvn"):
        module.files()
