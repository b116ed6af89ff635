"""A WebSocket client that shows every byte's fate: which close code, which end, which HTTP answer.

trio-websocket hides or mishandles most of these (see the transport's tests), so it is used here only where all is well.
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from kraken_trio.testing import Exchange


class Gone(Exception):  # noqa: N818 (named by what happened)
    """The connection has ended: how, and with which close code."""

    def __init__(self, how: str, code: int | None = None) -> None:
        super().__init__(how, code)
        self.how = how
        self.code = code


class Rejected(Exception):  # noqa: N818 (named by what happened)
    def __init__(self, event: Any) -> None:
        super().__init__(event.status_code)
        self.status = event.status_code
        self.headers = dict(event.headers)


class Client:
    """Reads only when asked to: whoever does not ask is a slow client."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.events: deque[Any] = deque()
        self.parts: list[Any] = []

    async def upgrade(self, path: str = "/v2") -> None:
        await self.stream.send_all(self.ws.send(Request(host="127.0.0.1", target=path)))
        event = await self.event()
        if isinstance(event, RejectConnection):
            assert isinstance(await self.event(), RejectData)
            raise Rejected(event)
        assert isinstance(event, AcceptConnection)

    async def event(self) -> Any:
        while not self.events:
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError as error:
                raise Gone("reset" if isinstance(error.__cause__, ConnectionResetError) else "eof") from error
            if not data:
                raise Gone("eof")
            try:
                self.ws.receive_data(bytes(data))
                self.events.extend(self.ws.events())
            except RemoteProtocolError as error:
                raise Gone("nonsense") from error
        return self.events.popleft()

    async def receive(self) -> Any:
        """The next message, whole."""
        while True:
            event = await self.event()
            if isinstance(event, CloseConnection):
                if self.ws.state is ConnectionState.REMOTE_CLOSING:
                    await self.stream.send_all(self.ws.send(event.response()))
                raise Gone("close", event.code)
            if isinstance(event, Pong):
                return event
            assert isinstance(event, (TextMessage, BytesMessage))
            self.parts.append(event.data)
            if event.message_finished:
                whole = self.parts[0][:0].join(self.parts)
                self.parts.clear()
                return whole

    async def receive_data(self, channel: str = "book") -> Any:
        """The next frame of a channel."""
        while True:
            text = await self.receive()
            if json.loads(text).get("channel") == channel:
                return text

    async def send(self, event: Any) -> None:
        """A text, or any event of wsproto."""
        await self.stream.send_all(self.ws.send(TextMessage(event) if isinstance(event, str) else event))

    async def subscribe(self, channel: str = "book", symbol: Any = ("BTC/USD",), **params: Any) -> None:
        params |= {"channel": channel, "symbol": list(symbol)}
        await self.send(json.dumps({"method": "subscribe", "params": params}))


def port_of(exchange: Exchange) -> int:
    return int(exchange.url.split(":")[2].partition("/")[0])


@asynccontextmanager
async def connect(
    exchange: Exchange, ssl_context: ssl.SSLContext | None = None, path: str = "/v2"
) -> AsyncIterator[Client]:
    """A client after its upgrade. Raises :class:`Rejected`."""
    tcp = await trio.open_tcp_stream("127.0.0.1", port_of(exchange))
    try:
        stream: trio.abc.Stream = tcp
        if ssl_context is not None:
            stream = trio.SSLStream(tcp, ssl_context, server_hostname="127.0.0.1", https_compatible=True)
        client = Client(stream)
        await client.upgrade(path)
        yield client
    finally:
        tcp.socket.close()


@pytest.fixture(name="connect")
def connect_fixture() -> Any:
    return connect


@pytest.fixture
def gone() -> type[Gone]:
    return Gone


@pytest.fixture
def rejected() -> type[Rejected]:
    return Rejected
