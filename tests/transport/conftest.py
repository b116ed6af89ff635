"""A network with a scripted peer on it, and a check that every visit to a peer leaves nothing behind.

The same scripts run over loopback TCP and over streams in memory, and against every transport in ``TRANSPORTS``.
In memory, time is virtual: it passes only when every task waits for it, so waits and timeouts cost nothing.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import pytest
import trio
import trio.testing

from kraken_trio.transport import Connect, Limits, Transport, trio_websocket, websockets
from kraken_trio.transport.tunnel import Tunnel
from tests.transport.frames import CLOSE, TEXT

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

    from kraken_trio._proxy import Proxy
    from kraken_trio.transport.dial import OpenStream

TRANSPORTS: dict[str, ModuleType] = {"websockets": websockets, "trio-websocket": trio_websocket}


LIMITS = Limits(connect_timeout=2.0, close_timeout=0.3, max_frame_bytes=10_000, queue_frames=8)


class Peer:
    """The other end: HTTP and frames by hand, so that it can do everything wrong."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.buffer = bytearray()
        self.accepted = False

    async def _read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            chunk = await self.stream.receive_some()
            if not chunk:
                raise EOFError
            self.buffer += chunk
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    async def request(self) -> str:
        """The client's request, as text."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            chunk = await self.stream.receive_some()
            assert chunk, "the client went away before its request was complete"
            self.buffer += chunk
        return (await self._read(end + 4)).decode("ascii")

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    def acceptance(self, request: str, *more: str) -> bytes:
        self.accepted = True
        key = re.search(r"(?i)^sec-websocket-key: *(\S+)", request, re.MULTILINE)
        assert key
        digest = hashlib.sha1(key[1].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accept = base64.b64encode(digest).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", *more, "", ""]).encode()

    async def accept(self, then: bytes = b"") -> None:
        await self.send(self.acceptance(await self.request()) + then)

    @staticmethod
    def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"", reserved: int = 0) -> bytes:
        """A frame as a server sends it, or a wrong one."""
        head = bytes([(0x80 if fin else 0) | reserved | opcode])
        masked = 0x80 if mask else 0
        if len(payload) < 126:
            head += bytes([masked | len(payload)])
        elif len(payload) < 1 << 16:
            head += bytes([masked | 126]) + struct.pack("!H", len(payload))
        else:
            head += bytes([masked | 127]) + struct.pack("!Q", len(payload))
        return head + mask + payload

    @classmethod
    def text(cls, *texts: str) -> bytes:
        return b"".join(cls.frame(TEXT, text.encode()) for text in texts)

    def close(self, code: int, reason: str = "") -> bytes:
        return self.frame(CLOSE, struct.pack("!H", code) + reason.encode())

    async def next_frame(self) -> tuple[int, bytes]:
        """The client's next frame."""
        first, second = await self._read(2)
        assert first & 0xF0 == 0x80, "one whole frame, no reserved bits"
        assert second & 0x80, "a client masks"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._read(8))
        mask = int.from_bytes((await self._read(4) * (length // 4 + 1))[:length])
        payload = int.from_bytes(await self._read(length))
        return first & 0x0F, (payload ^ mask).to_bytes(length)

    async def flood(self, data: bytes) -> None:
        """Send this again and again, until the client has closed its end."""
        try:
            while True:
                await self.send(data)
                await trio.sleep(0.01)  # virtual time passes only while everybody waits
        except trio.BrokenResourceError:
            pass

    async def gone(self, *, answers_close: bool = True) -> None:
        """Until the client has closed its end. Its CLOSE is answered, so that it need not wait for that."""
        try:
            while self.accepted and answers_close:
                opcode, payload = await self.next_frame()
                if opcode == CLOSE:
                    await self.send(self.frame(CLOSE, payload))
            while await self.stream.receive_some():
                pass
        except (EOFError, trio.BrokenResourceError):
            pass


Script: TypeAlias = Callable[[Peer], Awaitable[None]]
Body: TypeAlias = Callable[[Transport], Awaitable[None]]


class Network:
    """One peer that follows a script, and every stream that was opened to it."""

    limits = LIMITS

    def __init__(self, transport: str, medium: str) -> None:
        self.transport = transport
        self.medium = medium
        self.proxy: Proxy | None = None
        """What the peer is, if it is a proxy."""
        self.opened: list[Watched] = []
        self.left = trio.Event()
        """The last visit's block has been left."""

    def _watch(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        self.opened.append(watched := Watched(stream))
        return watched

    @staticmethod
    async def take(transport: Transport, count: int) -> list[str | bytes]:
        """Receive so many messages, in however many batches."""
        messages: list[str | bytes] = []
        while len(messages) < count:
            batch = await transport.receive()
            assert batch, "at least one"
            messages += batch
        assert len(messages) == count
        return messages

    @asynccontextmanager
    async def serve(self, script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Connect]:
        """Give a ``connect`` of which every URL leads to a peer that follows the script."""

        async def follow(stream: trio.abc.Stream) -> None:
            layer = trio.SSLStream(stream, tls, server_side=True, https_compatible=True) if tls else stream
            try:
                await script(Peer(layer))
            finally:
                await trio.aclose_forcefully(stream)

        async with trio.open_nursery() as nursery:
            if self.medium == "loopback":
                (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
                port: int = listener.socket.getsockname()[1]

                async def one() -> None:
                    async with listener:
                        await follow(await listener.accept())

                nursery.start_soon(one)

                async def open_stream(host: str, _port: int) -> trio.abc.Stream:
                    return self._watch(await trio.open_tcp_stream("127.0.0.1", port))

            else:

                async def open_stream(host: str, _port: int) -> trio.abc.Stream:
                    ours, theirs = trio.testing.memory_stream_pair()
                    nursery.start_soon(follow, theirs)
                    await trio.lowlevel.checkpoint()
                    return self._watch(ours)

            how = open_stream if self.proxy is None else Tunnel(self.proxy, open_stream)
            connect: Connect = TRANSPORTS[self.transport].connect_over(how)
            yield connect
            # The script must come to its end by itself, which is mostly: when the client has closed its stream.
            with trio.fail_after(3):
                while len(nursery.child_tasks) > 0:  # noqa: ASYNC110 (Trio has no event for that)
                    await trio.sleep(0.002)

    async def visit(
        self,
        script: Script,
        body: Body | None = None,
        *,
        url: str = "ws://exchange.test/v2",
        ssl_context: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits = LIMITS,
        scope: trio.CancelScope | None = None,
    ) -> Visit:
        """Connect to the scripted peer, run the body, leave; all of it inside ``scope``.

        What that raised is raised again, when everything that a visit must leave behind has been checked.
        """
        self.left = trio.Event()
        living = trio.lowlevel.current_statistics().tasks_living
        visit = Visit()
        started = trio.current_time()
        with trio.fail_after(limits.connect_timeout + limits.close_timeout + 3):
            async with self.serve(script, tls=tls) as connect:
                try:
                    with scope or trio.CancelScope():
                        async with connect(url, ssl_context=ssl_context, limits=limits) as transport:
                            visit.connected = trio.current_time() - started
                            try:
                                if body is not None:
                                    await body(transport)
                            finally:
                                visit.leaving = -trio.current_time()
                except BaseException as exc:  # noqa: ASYNC103, BLE001 (raised again below)
                    visit.raised = exc
                self.left.set()
                visit.leaving += trio.current_time()
                visit.whole = trio.current_time() - started
        assert all(stream.closed for stream in self.opened)
        assert trio.lowlevel.current_statistics().tasks_living == living
        if visit.connected < math.inf:
            assert visit.leaving < limits.close_timeout + 1
        # It would skip whatever comes after the block, silently: a test too.
        assert not isinstance(visit.raised, trio.Cancelled), "a stray Cancelled"
        if visit.raised is not None:
            raise visit.raised
        return visit


@attrs.define
class Visit:
    """Seconds."""

    connected: float = math.inf
    leaving: float = 0.0
    whole: float = math.inf
    raised: BaseException | None = None


class Watched(trio.abc.Stream):
    """A stream that knows how much was read from it, and whether it was closed."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.bytes_read = 0
        self.closed = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self.stream.receive_some(max_bytes)
        self.bytes_read += len(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self.closed = True
        await self.stream.aclose()


@pytest.fixture(params=TRANSPORTS)
def transport_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def in_virtual_time(main: Callable[[], Awaitable[None]], **options: Any) -> None:
    """As ``trio.run``, for pytest-trio."""
    options["clock"] = options["clock"] or trio.testing.MockClock(autojump_threshold=0)
    trio.run(main, **options)


def of_memory(request: pytest.FixtureRequest, transport: str) -> Network:
    request.node.add_marker(pytest.mark.trio(run=in_virtual_time), append=False)
    return Network(transport, "memory")


@pytest.fixture
def loopback(transport_name: str) -> Network:
    return Network(transport_name, "loopback")


@pytest.fixture
def memory(request: pytest.FixtureRequest, transport_name: str) -> Network:
    return of_memory(request, transport_name)


@pytest.fixture(params=["loopback", "memory"])
def network(request: pytest.FixtureRequest, transport_name: str) -> Network:
    if request.param == "memory":
        return of_memory(request, transport_name)
    return Network(transport_name, "loopback")


@pytest.fixture
def connect(transport_name: str) -> Connect:
    """Over this machine's own network."""
    chosen: Connect = TRANSPORTS[transport_name].connect
    return chosen


@pytest.fixture
def connect_over(transport_name: str) -> Callable[[OpenStream], Connect]:
    chosen: Callable[[OpenStream], Connect] = TRANSPORTS[transport_name].connect_over
    return chosen
