"""No word of a peer comes out of a transport unescaped: not in errors or their tracebacks, not in any library's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from kraken_trio.errors import ConnectError
from kraken_trio.transport import ConnectionLost
from tests.nasty import NASTY, check

if TYPE_CHECKING:
    from kraken_trio.transport import Transport
    from tests.transport.conftest import Network, Peer

PLACES = {
    "the phrase": "HTTP/1.1 503 {}\r\n\r\n",
    "the place of a redirect": "HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n",
    "the time to wait": "HTTP/1.1 429 Too Many\r\nRetry-After: {}\r\n\r\n",
    "a header's name": "HTTP/1.1 503 No\r\n{}: x\r\n\r\n",
    "a body": "HTTP/1.1 503 No\r\n\r\n<html>{}</html>",
    "what is not HTTP": "{}",
    "what is almost HTTP": "HTTP/1.1 {}\r\n\r\n",
    "an accepted header": "HTTP/1.1 101 Switching\r\nUpgrade: {}\r\nConnection: Upgrade\r\n\r\n",
    "an accepted header's name": "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{}: x\r\n\r\n",
    "the accepted extensions": (
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: {}\r\n\r\n"
    ),
    "the accepted protocol": (
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {}\r\n\r\n"
    ),
}


@pytest.mark.parametrize("place", PLACES)
async def test_in_the_handshake(memory: Network, place: str, caplog: pytest.LogCaptureFixture) -> None:
    text = ""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        accept = peer.acceptance(request).decode().partition("Accept: ")[2].strip()
        await peer.send(PLACES[place].replace("{accept}", accept).replace("{}", text).encode())

    for text in NASTY:  # noqa: B007 (the script sends it)
        with caplog.at_level(logging.DEBUG), pytest.raises(ConnectError) as caught:
            await memory.visit(script)
        check(caught.value)
        assert len(str(caught.value)) < 500
    check_log(caplog)


async def test_in_a_close(memory: Network, caplog: pytest.LogCaptureFixture) -> None:
    text = ""

    async def script(peer: Peer) -> None:
        reason = text.encode()[:120].decode(errors="ignore")
        await peer.accept(peer.text(text) + peer.frame(9, text.encode()[:100]) + peer.close(4001, reason))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await memory.take(transport, 1) == [text]
        with pytest.raises(ConnectionLost) as caught:
            await transport.receive()
        check(caught.value)
        assert "4001" in caught.value.reason

    with caplog.at_level(logging.DEBUG):
        for text in NASTY:  # noqa: B007 (the script sends it)
            await memory.visit(script, body)
    check_log(caplog)


@pytest.mark.parametrize(
    "frame",
    [b"\x81\x06\x1b[2J\xff\xfe", b"\xc1\x04\x1b[2J", b"\x88\x06\x03\xec\x1b[2J", b"\x83\x04\x1b[2J", b"\x1b[2J" * 10],
    ids=range(5),
)
async def test_in_what_breaks_the_protocol(memory: Network, frame: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(frame)
        await peer.gone()

    async def body(transport: Transport) -> None:
        with pytest.raises(ConnectionLost) as caught:
            await transport.receive()
        check(caught.value)

    with caplog.at_level(logging.DEBUG):
        await memory.visit(script, body)
    check_log(caplog)


def test_an_error_in_a_librarys_log_is_one_line_too(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("kraken_trio.websockets", "trio-websocket"):
        try:
            raise ValueError("from the peer: \x1b[2J\r\n")
        except ValueError:
            logging.getLogger(name).exception("parser failed", stack_info=True)
        assert caplog.records[-1].getMessage() == r"parser failed: ValueError('from the peer: \x1b[2J\r\n')"
        logging.getLogger(name).error("without %s", "one", exc_info=(None, None, None))
        assert caplog.records[-1].getMessage() == "without one"
    check_log(caplog)


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    for record in caplog.records:
        if not record.name.startswith("hypothesis"):
            assert logging.Formatter("%(name)s %(message)s").format(record).isprintable()
