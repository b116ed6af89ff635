"""What all clients of librdkafka share here: their settings, their limits, and errors in words."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import attrs
import trio
from confluent_kafka import Consumer, KafkaError, KafkaException

from kraken_trio.broker.kafka.errors import HOPELESS, LOST, TELLING, error_of, loss, words
from kraken_trio.broker.login import SaslMechanism
from kraken_trio.broker.seam import BrokerLost
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.broker.kafka.address import Address
    from kraken_trio.broker.login import BrokerLogin, BrokerTls

T = TypeVar("T")
P = ParamSpec("P")

CLOSED: Final = "this link is closed"

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
_THREADS: Final = 8
"""For calls that block: metadata, transactions, closing. Each is over after the seconds above."""


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
        if error.code() in LOST:
            self.lost = self.telling()

    def telling(self) -> KafkaError | None:
        """The error that says best what is wrong."""
        for code in TELLING:
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
    raise ConnectError(msg, retryable=error.code() not in HOPELESS)
