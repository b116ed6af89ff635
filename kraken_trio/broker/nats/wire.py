"""One connection to a NATS server, in the loop of a :mod:`~kraken_trio.broker.portal`: what nats-py does, and what not.

nats-py connects, encrypts, logs in, and reads the protocol. Around its traps:

* it does not reconnect, because its buffers would be sent before what is repeated, in the wrong order;
* answers come to an inbox of our own: some of its own waits never end when the answer is an error, or when the
  connection is lost. Here each ends: with the answer, with the connection, or after :data:`PATIENCE`;
* messages are pulled, never more than there is room for: it drops what a slow reader leaves;
* whoever wants TLS never logs in over a connection that a server, or somebody before it, has left in the clear.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import msgspec
import nats.errors
from nats.aio.client import Client, RawCredentials

from kraken_trio._text import printable
from kraken_trio.errors import KrakenTrioError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nats.aio.msg import Msg

    from kraken_trio.broker.login import BrokerLogin

__all__ = [
    "ASK_AGAIN",
    "NO_STREAM",
    "PATIENCE",
    "TOO_LARGE",
    "Forbidden",
    "NoAnswer",
    "Pull",
    "Pulled",
    "Refusal",
    "Stored",
    "Unheard",
    "Wire",
]

PATIENCE: Final = 5.0
"""Seconds for an answer, and for each step of connecting. A cluster that elects a leader takes about as long."""
ASK_AGAIN: Final = 0.05
"""Seconds."""
ASK_TIMES: Final = 5
"""Within :data:`PATIENCE`."""
PING_EVERY: Final = 2
"""Seconds. A server that does not answer three of them is lost."""
CLOSING: Final = 0.5
"""Seconds for a connection to be closed properly; then it is cut."""
BATCH: Final = 512
"""Messages of a source that are asked for and not yet taken: its buffer."""
BUFFER: Final = 16 * 1024 * 1024
"""Bytes of them, from which on nothing is asked for."""
EXPIRES: Final = 30.0
"""Seconds that a question for messages stands, if there are none."""
HEARTBEAT: Final = 2.0
"""Seconds between two signs of life of a consumer that waits."""
_MISSING: Final = 3
"""So many of them may be missing, one after the other; then the consumer is taken for gone."""
_HEADERS: Final = 4096
"""Bytes, more than our headers take."""
_BATCH_HEADERS: Final = 256
"""Bytes, more than the headers of an atomic batch take."""
# The server's numbers of errors.
NO_STREAM: Final = 10059
_UNAVAILABLE: Final = 10008
TOO_LARGE: Final = 10054
_NANO: Final = 1_000_000_000

Headers: TypeAlias = "dict[str, str]"
Answered: TypeAlias = "tuple[bytes, Mapping[str, str]]"
"""Data and headers."""
Answer: TypeAlias = "Callable[[bytes, Mapping[str, str]], None]"


class NoAnswer(KrakenTrioError):  # noqa: N818 (named by what happened)
    """The connection is lost, or the server does not answer."""


class Unheard(NoAnswer):
    """Nobody hears it: there is no JetStream, no leader at the moment, or no such stream."""


class Forbidden(NoAnswer):
    """The user may not ask this."""


class Refusal(KrakenTrioError):  # noqa: N818 (likewise)
    """JetStream says no."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{printable(text)} ({code})")
        self.code: Final = code


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Error | None = None


@attrs.define
class Stored:
    """What became of a window: how many are stored, from the first, and why no more."""

    acked: int = 0
    refused: Refusal | None = None
    lost: str | None = None
    too_large: int | None = None
    """The size of the message after them."""


_ack: Final = msgspec.json.Decoder(_Ack).decode


def _sequence(data: bytes, headers: Mapping[str, str]) -> int:
    """The sequence of an acknowledgement. Raises :class:`Refusal`, :class:`NoAnswer`."""
    if headers.get("Status") == "503":
        msg = "no JetStream answers: it has no leader at the moment, or there is no such stream"
        raise Unheard(msg)
    try:
        ack = _ack(data)
    except msgspec.MsgspecError:
        msg = f"an answer that is none of JetStream's: {printable(data, 80)}"
        raise NoAnswer(msg) from None
    if ack.error is not None:
        raise Refusal(ack.error.err_code, ack.error.description)
    return ack.seq


class _Client(Client):
    """nats-py's, which logs in over TLS only if it was told to."""

    wants_tls = False

    def _connect_command(self) -> bytes:
        if self.wants_tls and not self._server_info.get("tls_required"):
            msg = "the server does not encrypt"
            raise ssl.SSLError(msg)
        return super()._connect_command()


class Wire:
    """One connection. All of it is for the portal's loop."""

    def __init__(self) -> None:
        self.lost: str | None = None
        """Why it is of no more use, if it is."""
        self._client = _Client()
        self._inbox = ""
        self._count = 0
        self._waiting: dict[int, tuple[str, Answer]] = {}
        self._pulls: set[Pull] = set()
        self._sending = asyncio.Lock()
        self._errors: list[Exception] = []

    # Connecting

    async def open(
        self,
        host: str,
        port: int,
        *,
        hostname: str,
        name: str,
        tls: ssl.SSLContext | None,
        login: BrokerLogin | None,
    ) -> Exception | None:
        """Connect to an IP address. What nats-py raises is returned, and nothing is left of the connection."""
        options: dict[str, Any] = {}
        if tls is not None:
            self._client.wants_tls = True
            options["tls"] = tls
        if login is not None:
            if login.user is not None:
                options.update(user=login.user, password=login.password())
            elif (token := login.token()) is not None:
                options["token"] = token
            elif (seed := login.seed()) is not None:
                options["nkeys_seed_str"] = seed
            elif (creds := login.creds()) is not None:
                options["user_credentials"] = RawCredentials(creds)
        try:
            await self._client.connect(
                f"nats://[{host}]:{port}" if ":" in host else f"nats://{host}:{port}",
                name=name,
                tls_hostname=hostname,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=PATIENCE,  # type: ignore[arg-type]  # (it may be a float)
                ping_interval=PING_EVERY,
                flush_timeout=PATIENCE,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                **options,
            )
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        except asyncio.CancelledError:
            await self.close()
            raise
        except Exception as error:  # noqa: BLE001 (whatever goes wrong in it: who connects is told)
            await self.close()
            # What says that no server is left says nothing of why.
            return self._errors[-1] if isinstance(error, nats.errors.NoServersError) and self._errors else error
        return None

    async def close(self) -> None:
        """Close it, properly if that is possible at once."""
        self.fail("it is closed")
        try:
            with suppress(Exception, asyncio.CancelledError):  # the other side need not take part in this
                await asyncio.wait_for(self._client.close(), CLOSING)
        finally:
            writer = getattr(self._client._transport, "_io_writer", None)  # noqa: SLF001 (it has no way to cut it)
            if writer is not None:
                writer.transport.abort()

    @property
    def max_payload(self) -> int:
        """Bytes of a message and its headers that the server takes."""
        return self._client.max_payload

    @property
    def version(self) -> tuple[int, int]:
        """Of the server."""
        found = self._client.connected_server_version
        return found.major, found.minor

    @property
    def wants_certificate(self) -> bool:
        """Whether the server said that it wants one of ours."""
        return bool(self._client._server_info.get("tls_verify"))  # noqa: SLF001 (nobody else can be asked)

    def unique(self) -> str:
        """A name that nobody else has."""
        return self._client.new_inbox().rpartition(".")[2]

    # Asking

    async def ask(self, subject: str, body: bytes, headers: Headers | None = None, *, times: int = 1) -> Answered:
        """Send a message, and wait for its answer. It is sent so often until there is one."""
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()

        def answer(data: bytes, headers: Mapping[str, str]) -> None:
            if not future.done():
                future.set_result((data, headers))

        numbers: list[int] = []
        try:
            while len(numbers) < times and not future.done():
                numbers.append(await self._send(subject, body, headers, answer))
                await asyncio.wait({future}, timeout=PATIENCE / times)
        finally:
            for number in numbers:
                self._waiting.pop(number, None)
        if future.done():
            data, found = future.result()
            if (text := found.get(_LOST)) is not None:
                raise (Forbidden if text.startswith(_FORBIDDEN) else NoAnswer)(text)
            return data, found
        msg = f"no answer within {PATIENCE:g} s to {printable(subject)}"
        raise NoAnswer(msg)

    async def api(self, what: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask JetStream: ``STREAM.INFO.kraken``. Raises :class:`Refusal`, :class:`NoAnswer`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        question = b"" if body is None else msgspec.json.encode(body)
        while True:
            try:
                return await self._api(what, question)
            except Refusal as error:
                if error.code != _UNAVAILABLE or loop.time() > end:
                    raise
            await asyncio.sleep(ASK_AGAIN)

    async def _api(self, what: str, question: bytes) -> Any:
        # Asking again changes nothing; and a cluster that has no leader at the moment hears no questions.
        data, headers = await self.ask(f"$JS.API.{what}", question, times=ASK_TIMES)
        if headers.get("Status") == "503":
            msg = "no JetStream answers"
            raise Unheard(msg)
        try:
            found = msgspec.json.decode(data)
        except msgspec.MsgspecError:
            msg = f"an answer that is none of JetStream's: {printable(data, 80)}"
            raise NoAnswer(msg) from None
        if (error := found.get("error")) is not None:
            raise Refusal(error.get("err_code", 0), error.get("description", ""))
        return found

    async def store(self, subject: str, body: bytes, headers: Headers) -> int:
        """Store one message, and return its sequence. Raises :class:`Refusal`, :class:`NoAnswer`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while True:
            data, found = await self.ask(subject, body, headers)
            # Nobody has heard it: of a stream that was just made, other servers of the cluster hear a moment later.
            if found.get("Status") != "503" or loop.time() > end:
                return _sequence(data, found)
            await asyncio.sleep(ASK_AGAIN)

    async def store_all(self, messages: Sequence[tuple[str, bytes, Headers]], *, in_flight: int) -> Stored:
        """Store these, in this order. After the first that is not stored, no more are sent."""
        async with self._sending:
            return await self._store_all(messages, in_flight)

    async def store_batch(self, messages: Sequence[tuple[str, bytes, Headers]], batch: str) -> Stored:
        """Store all of these, or none (an atomic batch)."""
        async with self._sending:
            return await self._store_batch(messages, batch)

    async def _store_all(self, messages: Sequence[tuple[str, bytes, Headers]], in_flight: int) -> Stored:
        window = _Window(len(messages))
        numbers: list[int] = []
        too_large: int | None = None
        try:
            for index, (subject, data, headers) in enumerate(messages):
                if len(data) + _HEADERS > self.max_payload and (size := _size(data, headers)) > self.max_payload:
                    too_large = size
                    break
                numbers.append(await self._send(subject, data, headers, window.answer_of(index)))
                _leave_if_cancelled()
                if window.failed is not None:
                    break
                if index + 1 - window.answered >= in_flight and not await window.wait(index + 2 - in_flight):
                    break
            await window.wait(len(numbers))
        except NoAnswer as error:
            return Stored(window.acked, lost=str(error))
        finally:
            for number in numbers:
                self._waiting.pop(number, None)
        acked = window.acked
        # An answer may have come too late, when no more were sent: that of the last one does not mean that of all.
        if acked == len(messages) or (too_large is not None and acked == len(numbers)):
            return Stored(acked, too_large=too_large)
        failure = window.failures.get(acked)
        if isinstance(failure, Refusal):
            return Stored(acked, refused=failure)
        return Stored(acked, lost=str(failure) if failure else f"messages are not acknowledged within {PATIENCE:g} s")

    async def _store_batch(self, messages: Sequence[tuple[str, bytes, Headers]], batch: str) -> Stored:
        if any(_size(data, headers) + _BATCH_HEADERS > self.max_payload for _, data, headers in messages):
            return Stored(refused=Refusal(TOO_LARGE, "a message is too large"))
        try:
            for index, (subject, data, headers) in enumerate(messages[:-1]):
                of_batch = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index + 1)}
                await self._send(subject, data, {**headers, **of_batch}, None)
                _leave_if_cancelled()
            subject, data, headers = messages[-1]
            last = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(len(messages)), "Nats-Batch-Commit": "1"}
            await self.store(subject, data, {**headers, **last})
        except Refusal as error:
            return Stored(refused=error)
        except NoAnswer as error:
            return Stored(lost=str(error))
        return Stored(len(messages))

    async def _send(self, subject: str, data: bytes, headers: Headers | None, answer: Answer | None) -> int:
        if self.lost is not None:
            raise NoAnswer(self.lost)
        self._count += 1
        number = self._count
        if answer is not None:
            self._waiting[number] = subject, answer
        try:
            await self._client.publish(
                subject,
                data,
                reply="" if answer is None else f"{self._inbox}.{number}",
                headers=headers or None,
            )
        except (nats.errors.Error, OSError) as error:
            self._waiting.pop(number, None)
            self.fail(_said(error))
            raise NoAnswer(self.lost) from None
        return number

    # What nats-py calls

    async def _on_answer(self, message: Msg) -> None:
        waits = self._waiting.pop(int(message.subject.rpartition(".")[2]), None)
        if waits is not None:
            waits[1](message.data, message.headers or {})

    async def _on_error(self, error: Exception) -> None:
        text = _said(error)
        self._errors = [*self._errors[-3:], error]
        if "permissions violation" in text.lower():
            # What it was that may not be sent stands in the text, in small letters.
            for number, (subject, answer) in tuple(self._waiting.items()):
                if f'"{subject.lower()}"' in text:
                    self._waiting.pop(number, None)
                    answer(b"", {_LOST: f"{_FORBIDDEN}{text}"})
            if "subscription" in text:
                self.fail(f"{_FORBIDDEN}{text}")
        elif isinstance(error, nats.errors.SlowConsumerError | nats.errors.FlushTimeoutError):
            self.fail(text)

    async def _on_closed(self) -> None:
        error = self._client.last_error
        self.fail("the server has closed the connection" if error is None else _said(error))

    def fail(self, why: str) -> None:
        """It is of no more use."""
        if self.lost is not None:
            return
        self.lost = why
        waiting, self._waiting = self._waiting, {}
        for _, answer in waiting.values():
            answer(b"", {_LOST: why})
        for pull in tuple(self._pulls):
            pull.fail(why)

    # Reading

    async def pull(self, stream: str, consumer: str, news: Callable[[], None]) -> Pull:
        """Read a pull consumer."""
        pull = Pull(self, stream, consumer, self._client.new_inbox(), news)
        self._pulls.add(pull)
        pull.subscription = await self._client.subscribe(f"{pull.inbox}.*", cb=pull.take)
        return pull

    async def request_more(self, pull: Pull, number: int, count: int) -> None:
        """(of a pull)."""
        body = {
            "batch": count,
            "expires": int(EXPIRES * _NANO),
            "idle_heartbeat": int(HEARTBEAT * _NANO),
            "max_bytes": max(BUFFER // 2, 2 * self.max_payload),
        }
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{pull.stream}.{pull.consumer}",
            msgspec.json.encode(body),
            reply=f"{pull.inbox}.{number}",
        )

    def forget(self, pull: Pull) -> None:
        """(of a pull)."""
        self._pulls.discard(pull)


_FORBIDDEN: Final = "the server does not allow it: "
_LOST: Final = "Lost"
"""A header of our own, in the place of an answer."""


class _Window:
    """Messages on their way, and what became of each."""

    def __init__(self, size: int) -> None:
        self._good = bytearray(size)
        self.acked = 0
        """From the first, without a hole."""
        self.answered = 0
        self.failures: dict[int, Exception] = {}
        self._news = asyncio.Event()

    @property
    def failed(self) -> Exception | None:
        return next(iter(self.failures.values()), None)

    def answer_of(self, index: int) -> Answer:
        def answer(data: bytes, headers: Mapping[str, str]) -> None:
            self.answered += 1
            if (text := headers.get(_LOST)) is not None:
                self.failures[index] = NoAnswer(text)
            else:
                try:
                    _sequence(data, headers)
                except (Refusal, NoAnswer) as error:
                    self.failures[index] = error
                else:
                    self._good[index] = 1
                    while self.acked < len(self._good) and self._good[self.acked]:
                        self.acked += 1
            self._news.set()

        return answer

    async def wait(self, count: int) -> bool:
        """Until so many are answered; False if there is no more answer for too long, or one was refused."""
        while self.answered < count:
            self._news.clear()
            try:
                async with asyncio.timeout(PATIENCE):  # (wait_for would begin a task)
                    await self._news.wait()
            except TimeoutError:
                return False
        return not self.failures


def _leave_if_cancelled() -> None:
    """nats-py swallows cancellation where it waits for a full buffer."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _size(data: bytes, headers: Headers) -> int:
    return len(data) + len("NATS/1.0\r\n\r\n") + sum(len(name) + len(value) + 4 for name, value in headers.items())


def _said(error: Exception) -> str:
    if isinstance(error, nats.errors.UnexpectedEOF):
        return "the server has closed the connection"
    if isinstance(error, nats.errors.StaleConnectionError):
        return "pings are not answered"
    return printable(str(error).removeprefix("nats: ") or type(error).__name__)


Pulled: TypeAlias = "tuple[str, bytes, int, int, int]"
"""Subject, data, sequence, nanoseconds, and how many are left behind it."""


class Pull:
    """A pull consumer: its messages in :attr:`buffer`, from which Trio takes them."""

    def __init__(self, wire: Wire, stream: str, consumer: str, inbox: str, news: Callable[[], None]) -> None:
        self.stream: Final = stream
        self.consumer: Final = consumer
        self.inbox: Final = inbox
        self.buffer: Final[deque[Pulled]] = deque()
        self.lost: str | None = None
        self.subscription: Any = None
        self._wire = wire
        self._news = news
        self._expected = 1
        self._asked: dict[int, int] = {}
        """Messages that are still to come, by the number of the question."""
        self._number = 0
        self._received = self._taken = 0
        self._wanted = asyncio.Event()
        self._heard = 0
        """How many messages, and signs of life."""
        self._until = asyncio.get_running_loop().time() + PATIENCE
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._ask())

    async def close(self) -> None:
        """Stop, and tell the server that the consumer is not needed any more."""
        self._wire.forget(self)
        self.fail("it is closed")
        if self._task is not None:
            self._task.cancel()
        if self._wire.lost is None:
            await self.subscription.unsubscribe()
            await self._wire.api(f"CONSUMER.DELETE.{self.stream}.{self.consumer}")

    def fail(self, why: str) -> None:
        if self.lost is None:
            self.lost = why
            self._wanted.set()
            self._news()

    def took(self, size: int) -> None:
        """Trio has taken so many bytes out of the buffer."""
        self._taken += size
        self._wanted.set()

    async def take(self, message: Msg) -> None:
        """(of nats-py) A message of the consumer, or a sign of life."""
        self._heard += 1
        if message.subject.startswith(self.inbox):
            self._status(int(message.subject.rpartition(".")[2]), message.headers or {})
            return
        # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<its number>.<time>.<pending>; or with the domain and the
        # account before the stream, and a random token behind.
        tokens = message.reply.split(".")
        at = 2 if len(tokens) == 9 else 4
        sequence, number, time_ns, pending = map(int, tokens[at + 3 : at + 7])
        if number != self._expected:
            self.fail(f"message {self._expected} of the consumer is missing")
            return
        self._expected += 1
        oldest = next(iter(self._asked), None)
        if oldest is not None:
            self._asked[oldest] -= 1
            if not self._asked[oldest]:
                del self._asked[oldest]
        self._received += len(message.data)
        self.buffer.append((message.subject, message.data, sequence, time_ns, pending))
        if sum(self._asked.values()) <= BATCH // 2:
            self._wanted.set()
        self._news()

    def _status(self, number: int, headers: Mapping[str, str]) -> None:
        status, text = headers.get("Status"), headers.get("Description", "")
        if status == "100":
            return
        # It ends the question: it has stood for its time, or has brought as many bytes as it may.
        if status in {"404", "408"} or (status == "409" and ("Bytes" in text or "Batch Completed" in text)):
            self._asked.pop(number, None)
            self._wanted.set()
            self._news()
        elif status == "503" and self._expected == 1 and asyncio.get_running_loop().time() < self._until:
            # It was just made: other servers of the cluster hear of it a moment later.
            self._asked.pop(number, None)
            asyncio.get_running_loop().call_later(ASK_AGAIN, self._wanted.set)
        else:
            why = "it is not there" if status == "503" else printable(text or status)
            self.fail(f"the consumer has ended: {why}")

    async def _ask(self) -> None:
        """Ask for more whenever there is room, and see that the consumer lives."""
        missing = 0
        while self.lost is None:
            room = BATCH - sum(self._asked.values()) - len(self.buffer)
            if room >= BATCH // 2 and self._received - self._taken < BUFFER:
                self._number += 1
                self._asked[self._number] = room
                try:
                    await self._wire.request_more(self, self._number, room)
                except (nats.errors.Error, OSError) as error:
                    self.fail(_said(error))
                    return
            self._wanted.clear()
            heard, is_late = self._heard, False
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._wanted.wait()
            except TimeoutError:
                is_late = True
            # They are counted: a program that stood still may have them in the socket.
            missing = missing + is_late if self._asked and self._heard == heard else 0
            if missing >= _MISSING:
                self.fail("the consumer gives no sign of life")
