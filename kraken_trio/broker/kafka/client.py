"""What all clients of librdkafka share here: their settings, their limits, and errors in words."""

from __future__ import annotations

import re
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import attrs
import trio
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from kraken_trio._text import printable
from kraken_trio.broker.login import SaslMechanism
from kraken_trio.broker.seam import BrokerLost
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import Message

    from kraken_trio.broker.login import BrokerLogin, BrokerTls

T = TypeVar("T")
P = ParamSpec("P")

CLOSED: Final = "this link is closed"

PORT: Final = 9092
"""Of brokers whose address has none."""
STREAM: Final = "kraken"
"""The topic of a URL without a path."""
CONNECT_WITHIN: Final = 10.0
"""Seconds for the first answer of a broker."""
ANSWER_WITHIN: Final = 5.0
"""Seconds without any answer, after which the broker is taken for lost."""
CLOSE_WITHIN: Final = 3.0
"""Seconds for a client to be closed; then it goes on closing by itself."""
POLL_EVERY: Final = 0.002
"""Seconds between two looks at what has come. A look takes a microsecond, a turn of the loop some thirty."""
BATCH: Final = 32
"""How many messages are taken in one go: Python's objects of one take some ten microseconds."""
_STEP: Final = 0.5
"""Seconds: so soon it is noticed that nothing will come."""
_PAUSE: Final = 0.1
"""Seconds before something is asked again."""
_THREADS: Final = 8
"""For calls that block: metadata, transactions, closing. Each is over after the seconds above."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,240}", re.ASCII)
"""Kafka allows 249, and we append to it."""
_INTERNAL = re.compile(
    r"^(?:\S+/(?:bootstrap|\d+): )+|\w+://\S+/bootstrap: |"
    r"Connect to ipv[46]#\S+ failed: | \(after \d+ms in state \w+[^)]*\)"
)
"""What librdkafka puts around an error, for those who know its inside."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_IS_IT_RUNNING: Final = (
    "is a broker there, with a listener of this kind, TLS or not? does this machine reach its advertised.listeners?"
)
_ADVICE: Final[Mapping[int, str]] = {
    KafkaError._ALL_BROKERS_DOWN: _IS_IT_RUNNING,
    KafkaError._TRANSPORT: _IS_IT_RUNNING,
    KafkaError._TIMED_OUT: _IS_IT_RUNNING,
    KafkaError._RESOLVE: "no such host: see the URL, and advertised.listeners of the broker",
    KafkaError._SSL: "TLS does not work: see tls=BrokerTls(ca=…), and whether this listener speaks TLS",
    KafkaError._AUTHENTICATION: "see the user, the password and the mechanism of login=BrokerLogin(…)",
    KafkaError.SASL_AUTHENTICATION_FAILED: "see the user, the password and the mechanism of login=BrokerLogin(…)",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (
        "allow this user Describe and Read on both topics, and for a relay Write (and Create, if they do not exist)"
    ),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "allow this user Create and IdempotentWrite on the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        "allow this user Describe and Write on the transactional ids that begin with the topic's name"
    ),
    KafkaError.INVALID_REPLICATION_FACTOR: "there are fewer brokers than default.replication.factor says",
    KafkaError.NOT_ENOUGH_REPLICAS: "fewer replicas are in sync than min.insync.replicas says",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "the topic does not exist: a relay that publishes to it makes it",
}
_HOPELESS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})
"""Trying again does not help."""
_LOST: Final = _HOPELESS | {KafkaError._ALL_BROKERS_DOWN}
"""Of what librdkafka tells while it goes on trying: what we do not wait for."""
_MISCONFIGURED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.POLICY_VIOLATION,
    }
)
"""Likewise, of what a broker answers."""
_NO_TOPIC: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC}
)
_PASSING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""While brokers start, or lead in turn."""
_TELLING: Final = (
    *_HOPELESS,
    KafkaError._RESOLVE,
    KafkaError._TRANSPORT,
)
"""Of several errors, these say best what is wrong."""


def words(error: KafkaError | KafkaException) -> str:
    """What happened, for people, and what to do about it."""
    found = error_of(error)
    advice = _ADVICE.get(found.code())
    if found.code() == KafkaError._ALL_BROKERS_DOWN:
        # It would tell how many of how many, and count what it knows under two names twice.
        return f"no broker can be reached ({advice})"
    text = printable(_INTERNAL.sub("", found.str()) or found.name(), 300)
    return f"{text} ({advice})" if advice else text


def error_of(error: KafkaError | KafkaException) -> KafkaError:
    """Exceptions of librdkafka carry an error."""
    if isinstance(error, KafkaException):
        found = error.args[0]
        return found if isinstance(found, KafkaError) else KafkaError(KafkaError._FAIL, str(error))
    return error


class MisconfiguredError(BrokerLost):
    """Trying again does not help: somebody has to do something."""


def loss(error: KafkaException, before: str = "") -> BrokerLost:
    """What is raised for an error of a broker."""
    cls = MisconfiguredError if error_of(error).code() in _MISCONFIGURED else BrokerLost
    return cls(f"{before}{words(error)}")


@attrs.frozen
class Address:
    """What a URL says."""

    servers: tuple[str, ...]
    topic: str

    @property
    def where(self) -> str:
        """The brokers, for people."""
        return ",".join(self.servers)

    @property
    def control(self) -> str:
        """The topic of leases and catalogs."""
        return f"{self.topic}.control"

    @property
    def groups(self) -> str:
        """The topic of records of consumer groups."""
        return f"{self.topic}.groups"

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return all(server.rpartition(":")[0].strip("[]") in _LOOPBACK for server in self.servers)

    def __str__(self) -> str:
        return f"kafka://{self.where}/{self.topic}"

    @classmethod
    def parse(cls, url: str) -> tuple[Address, str]:
        """Of ``kafka://host[:port][,host[:port]…][/topic][?query]``, with what is in the query.

        Raises :class:`ValueError`, without showing secrets.
        """
        if "@" in url:
            msg = "a URL is shown in logs: give user and password as login=BrokerLogin(user, password)"
            raise ValueError(msg)
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme != "kafka" or not parts.netloc or parts.fragment:
            msg = f"not a URL of Kafka: write kafka://host:{PORT}/{STREAM} (several: kafka://host1:{PORT},host2:{PORT})"
            raise ValueError(msg)
        topic = parts.path.strip("/") or STREAM
        if _TOPIC.fullmatch(topic) is None or topic in {".", ".."}:
            msg = f"{printable(topic, 60)} cannot be a topic of Kafka: letters, digits, and . _ - (at most 240)"
            raise ValueError(msg)
        return cls(tuple(map(_server, parts.netloc.split(","))), topic), parts.query


def _server(text: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        msg = f"{printable(text, 60)} is no address of a broker: write host:{PORT}"
        raise ValueError(msg)
    return f"[{host}]:{port or PORT}" if ":" in host else f"{host}:{port or PORT}"


@attrs.frozen
class Setup:
    """What all clients of an engine are made with."""

    address: Address
    login: BrokerLogin | None = None
    tls: BrokerTls | None = None
    wait_ms: int = 500
    """How long the broker waits for messages before it answers that there are none."""
    limiter: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(_THREADS))

    def config(self, watch: Watch, **more: Any) -> dict[str, Any]:
        """Settings of one client; in the names of ``more``, ``_`` stands for a dot."""
        return {
            "bootstrap.servers": self.address.where,
            "client.id": "kraken_trio",
            # It would write to stderr. What matters is told as an error.
            "log_level": 0,
            "logger": _Silent(),
            "error_cb": watch.tell,
            "socket.timeout.ms": int(ANSWER_WITHIN * 1000),
            "socket.connection.setup.timeout.ms": int(ANSWER_WITHIN * 1000),
            "socket.keepalive.enable": True,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            **_security(self.login, self.tls),
            **{name.replace("_", "."): value for name, value in more.items()},
        }

    def consumer(self, watch: Watch, *, prefetch_kbytes: int = 1024, wait_ms: int | None = None) -> Consumer:
        """A consumer that reads what it is assigned, remembers nothing, and stays within these bytes.

        ``wait_ms``: so long the broker waits for messages, if there are none, and answers nothing else meanwhile: who
        reads and asks needs two consumers.
        """
        return Consumer(
            self.config(
                watch,
                # It wants one; nothing is ever written there.
                group_id="kraken_trio",
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                enable_partition_eof=True,
                auto_offset_reset="error",
                isolation_level="read_uncommitted",
                # A program may be slow: nobody waits for this consumer.
                max_poll_interval_ms=86_400_000,
                queued_min_messages=1000,
                queued_max_messages_kbytes=prefetch_kbytes,
                fetch_wait_max_ms=self.wait_ms if wait_ms is None else wait_ms,
                fetch_max_bytes=8 * 1024 * 1024,
            )
        )

    async def in_thread(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run what blocks for a bounded time. Raises :class:`BrokerLost` for what librdkafka raises.

        Cancelled, it goes on to its end, and what it returns is dropped.
        """
        try:
            return await trio.to_thread.run_sync(
                partial(call, *args, **kwargs), abandon_on_cancel=True, limiter=self.limiter
            )
        except KafkaException as error:
            raise loss(error) from None

    async def close(self, *closings: Callable[[], object]) -> None:
        """Close clients by these functions, also if we are cancelled: within a bounded time, or behind our back."""

        def close_all() -> None:
            for close in closings:
                close()

        with trio.move_on_after(CLOSE_WITHIN, shield=True):
            await trio.to_thread.run_sync(close_all, abandon_on_cancel=True, limiter=self.limiter)


class _Silent:
    """A logger that logs nothing: fatal errors would be written whatever the level is."""

    def log(self, *_: object) -> None:
        """(called by librdkafka)."""


class Asker:
    """A consumer that reads nothing: for calls that block, in threads, one at a time.

    librdkafka's clients must not be closed while a thread uses them; a thread that nobody waits for any more does.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._lock = threading.Lock()
        self._is_closed = False

    def call(self, function: Callable[Concatenate[Consumer, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function with the consumer. Blocks."""
        with self._lock:
            if self._is_closed:
                raise BrokerLost(CLOSED)
            return function(self._consumer, *args, **kwargs)

    def close(self) -> None:
        """Close it, when it is not in use. Blocks."""
        with self._lock:
            self._is_closed = True
            self._consumer.close()


class Watch:
    """What librdkafka tells about its connections. It does so while its client is polled, in that thread."""

    def __init__(self) -> None:
        self.errors: list[KafkaError] = []
        self.lost: KafkaError | None = None
        """It goes on trying; we do not wait for it."""

    def tell(self, error: KafkaError) -> None:
        """(called by librdkafka)."""
        del self.errors[:-8]
        self.errors.append(error)
        if error.code() in _LOST:
            self.lost = self.telling()

    def telling(self) -> KafkaError | None:
        """The error that says best what is wrong."""
        for code in _TELLING:
            for error in self.errors:
                if error.code() == code:
                    return error
        return self.errors[-1] if self.errors else None

    def check(self, acked: int = 0) -> None:
        """Raise :class:`BrokerLost` if there is no connection."""
        if self.lost is not None:
            raise BrokerLost(words(self.lost), acked)


def check(address: Address, login: BrokerLogin | None, tls: BrokerTls | None) -> None:
    """Raise :class:`ValueError` for what Kafka has not."""
    if tls is not None and tls.context is not None:
        msg = "Kafka's client takes files, no context: BrokerTls(ca=…, cert=…, key=…)"
        raise ValueError(msg)
    if login is not None:
        if login.user is None:
            msg = f"Kafka knows users and passwords, and {login!r} is none: BrokerLogin(user, password)"
            raise ValueError(msg)
        if login.mechanism is SaslMechanism.PLAIN and tls is None and not address.is_local:
            msg = "with PLAIN the password itself would be sent, readable to all: give tls=BrokerTls(), too"
            raise ValueError(msg)


def _security(login: BrokerLogin | None, tls: BrokerTls | None) -> dict[str, Any]:
    """Settings of librdkafka."""
    protocol = ("SASL_" if login is not None else "") + ("SSL" if tls is not None else "PLAINTEXT")
    found: dict[str, Any] = {"security.protocol": protocol}
    if tls is not None:
        files = {"ca": tls.ca, "certificate": tls.cert, "key": tls.key or tls.cert}
        found |= {f"ssl.{name}.location": str(path) for name, path in files.items() if path is not None}
    if login is not None:
        found |= {
            "sasl.mechanism": login.mechanism.value,
            "sasl.username": login.user,
            "sasl.password": login.password(),
        }
    return found


def connect(setup: Setup) -> Asker:
    """A consumer that has reached a broker. Blocks; raises :class:`~kraken_trio.ConnectError`."""
    if setup.tls is not None:
        setup.tls.make_context()  # which says what is wrong with its files; librdkafka does not
    watch = Watch()
    error: KafkaError | None = None
    try:
        consumer = setup.consumer(watch)
    except KafkaException as raised:
        msg = f"Kafka at {setup.address.where}: {words(raised)}"
        raise ConnectError(msg, retryable=False) from None
    tries = int(CONNECT_WITHIN / _STEP)
    for _ in range(tries):
        try:
            consumer.list_topics(timeout=_STEP)
        except KafkaException as raised:
            error = error_of(raised)
        else:
            return Asker(consumer)
        # Only now it tells what was wrong.
        consumer.poll(0)
        if watch.lost is not None:
            break
    consumer.close()
    error = watch.telling() or error
    assert error is not None
    msg = f"Kafka at {setup.address.where}: {words(error)}"
    raise ConnectError(msg, retryable=error.code() not in _HOPELESS) from None


def progress(message: Message) -> tuple[int, int, bool] | None:
    """Partition and offset of a message, and whether it is the end of the partition for now; None if it says nothing.

    Raises :class:`BrokerLost` for an error.
    """
    error, partition, offset = message.error(), message.partition(), message.offset()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            # It looks for the coordinator of a group, although it is in none.
            return None
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            msg = "the messages that come next are no longer stored: they expired before they were read"
            raise BrokerLost(msg)
        raise BrokerLost(words(error))
    assert partition is not None
    assert offset is not None
    return partition, offset, error is not None


def watermarks(consumer: Consumer, partition: TopicPartition) -> tuple[int, int] | None:
    """The first offset that is stored, and the next one; None if there is no such topic.

    Blocks, also while a partition has no leader for a moment. Raises :class:`KafkaException`.
    """
    patience = int(ANSWER_WITHIN / _PAUSE)
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=ANSWER_WITHIN)
        except KafkaException as error:
            code, patience = error_of(error).code(), patience - 1
            if code in _NO_TOPIC:
                return None
            if code not in _PASSING or not patience:
                raise
        consumer.poll(_PAUSE)


def count_partitions(consumer: Consumer, topic: str) -> int:
    """How many partitions a topic has; 0 if there is none of this name. Blocks; raises :class:`KafkaException`."""
    found = consumer.list_topics(topic, ANSWER_WITHIN).topics[topic]
    if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise KafkaException(found.error)
    return len(found.partitions)
