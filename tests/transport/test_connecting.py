"""Peers that do not let us in: a ConnectError at once or in time, that names the cause and whether to try again."""

from __future__ import annotations

import math
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kraken_trio.errors import ConnectError
from kraken_trio.transport import Limits, upgrade
from tests.transport.conftest import LIMITS, TRANSPORTS, Peer, Watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from kraken_trio.transport import Connect, Transport
    from kraken_trio.transport.dial import OpenStream
    from tests.transport.conftest import Network, Script

    ConnectOver: TypeAlias = Callable[[OpenStream], Connect]

URL = "ws://exchange.test/v2"
DAY = timedelta(days=1)


async def refused(network: Network, script: Script, *, url: str = URL, **more: Any) -> ConnectError:
    """Visit a peer that does not let us in. It must not take long, and nothing may be left (see ``visit``)."""
    with pytest.raises(ConnectError) as info:
        await network.visit(script, url=url, **more)
    assert str(info.value).isprintable()
    return info.value


def answering(answer: bytes, *, stays: bool = True) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        if stays:
            await peer.gone()

    return script


# -- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("ws://exchange.test/v2", "/v2", "exchange.test"),
        ("ws://exchange.test", "/", "exchange.test"),
        ("ws://exchange.test:8080/a/b?c=d", "/a/b?c=d", "exchange.test:8080"),
        ("ws://[::1]:8080?c", "/?c", "[::1]:8080"),
    ],
)
async def test_request(memory: Network, url: str, target: str, host: str) -> None:
    async def script(peer: Peer) -> None:
        lines = (await peer.request()).splitlines()
        assert lines[0] == f"GET {target} HTTP/1.1"
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        assert headers.pop("sec-websocket-key")
        assert headers == {
            "host": host,
            "upgrade": "websocket",
            "connection": "upgrade",
            "sec-websocket-version": "13",
        }, "no origin, no subprotocol, no compression"

    await refused(memory, script, url=url)


# -- name and TCP -----------------------------------------------------------------------------------------------------


async def test_name_that_does_not_exist(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoNames(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *args: object, **kwargs: object) -> list[tuple[object]]:  # type: ignore[override]  # it never returns
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def getnameinfo(self, *args: object) -> tuple[str, str]:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(NoNames())
    with pytest.raises(ConnectError, match=r"nowhere\.test:443.*could not be looked up.*check its spelling") as info:
        async with connect("wss://nowhere.test/v2", ssl_context=None, limits=Limits()):
            pass
    assert info.value.retryable


async def test_port_where_nobody_listens(connect: Connect) -> None:
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        port = listener.socket.getsockname()[1]
    with pytest.raises(
        ConnectError, match=rf"^cannot connect to 127\.0\.0\.1:{port}: Connection refused; check"
    ) as info:
        async with connect(f"ws://127.0.0.1:{port}", ssl_context=None, limits=Limits()):
            pass
    assert info.value.retryable


async def test_connect_over_the_machines_own_network(loopback: Network, connect: Connect) -> None:
    async def serve() -> None:
        async with await listener.accept() as stream:
            await stream.receive_some()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            nursery.start_soon(serve)
            with pytest.raises(ConnectError, match="closed the connection during the WebSocket handshake"):
                async with connect(
                    f"ws://127.0.0.1:{listener.socket.getsockname()[1]}", ssl_context=None, limits=loopback.limits
                ):
                    pass


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (None, "all attempts failed"),
        (OSError("no number"), "no number"),
        (ValueError("not an OSError"), "not an OSError"),
        (
            ExceptionGroup(
                "", [ConnectionRefusedError(111, "::1"), OSError(113, "x"), ConnectionRefusedError(111, "y")]
            ),
            "Connection refused, No route to host",
        ),
    ],
)
async def test_every_attempt_is_told_once(connect_over: ConnectOver, cause: BaseException | None, said: str) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        raise OSError("all attempts failed") from cause

    with pytest.raises(ConnectError, match=rf"^cannot connect to exchange\.test:80: {said}; check"):
        async with connect_over(open_stream)(URL, ssl_context=None, limits=Limits()):
            pass


async def test_no_answer_to_tcp(connect_over: ConnectOver, autojump_clock: trio.testing.MockClock) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    before = trio.current_time()
    with pytest.raises(ConnectError, match=r"within 10 s \(while looking up the name or connecting by TCP\)") as info:
        async with connect_over(open_stream)(URL, ssl_context=None, limits=Limits()):
            pass
    assert trio.current_time() - before == pytest.approx(10)
    assert info.value.retryable


# -- TLS --------------------------------------------------------------------------------------------------------------


class Authority:
    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.servers: dict[str, ssl.SSLContext] = {}  # those that take long to make

    def server(
        self, *names: str, not_before: datetime | None = None, not_after: datetime | None = None
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names, not_before=not_before, not_after=not_after).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # as the default one, without the machine's authorities
        self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_trusted_certificate_and_sni(network: Network, authority: Authority) -> None:
    names: list[str | None] = []

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("encrypted"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await transport.receive() == ["encrypted"]

    tls = authority.server("exchange.test")
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    await network.visit(script, body, url="wss://exchange.test/v2", ssl_context=authority.client(), tls=tls)
    assert names == ["exchange.test"]


TODAY = datetime.now(tz=UTC)


def self_signed(names: list[str]) -> ssl.SSLContext:
    """A certificate that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), TODAY, TODAY + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with trustme.Blob(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    ).tempfile() as path:
        context.load_cert_chain(path)
    return context


CERTIFICATES: dict[str, tuple[Callable[[Authority], ssl.SSLContext], bool, str, str]] = {
    # how the peer is equipped; do we know its authority; what is wrong; what to do
    "unknown authority": (
        lambda ca: ca.server("exchange.test"),
        False,
        "unable to get local issuer certificate",
        "to trust a private authority, give an ssl_context",
    ),
    "self-signed": (
        lambda _: self_signed(["exchange.test"]),
        True,
        "self-signed certificate",
        "to trust a private authority, give an ssl_context",
    ),
    "wrong name": (
        lambda ca: ca.server("other.test"),
        True,
        "Hostname mismatch, certificate is not valid for 'exchange.test'",
        "check the host name in the URL",
    ),
    "expired": (
        lambda ca: ca.server("exchange.test", not_before=TODAY - 2 * DAY, not_after=TODAY - DAY),
        True,
        "certificate has expired",
        "check this machine's clock",
    ),
    "not yet valid": (
        lambda ca: ca.server("exchange.test", not_before=TODAY + DAY, not_after=TODAY + 2 * DAY),
        True,
        "certificate is not yet valid",
        "check this machine's clock",
    ),
}


@pytest.mark.parametrize("case", CERTIFICATES)
async def test_a_bad_certificate_is_refused_and_what_to_do_is_said(
    network: Network, authority: Authority, case: str
) -> None:
    equip, is_known, wrong, to_do = CERTIFICATES[case]
    context = authority.client() if is_known else None
    tls = authority.servers.get(case) or authority.servers.setdefault(case, equip(authority))
    error = await refused(network, lambda peer: peer.gone(), url="wss://exchange.test/v2", ssl_context=context, tls=tls)
    assert not error.retryable
    assert f"the certificate of exchange.test:443 was refused: {wrong}" in str(error).replace(
        "self signed", "self-signed"
    )
    assert to_do in str(error)


async def test_a_certificate_for_another_address(network: Network, authority: Authority) -> None:
    error = await refused(
        network,
        lambda peer: peer.gone(),
        url="wss://127.0.0.1/v2",
        ssl_context=authority.client(),
        tls=authority.server("127.0.0.2"),
    )
    assert "check the host name in the URL" in str(error)


async def test_a_bad_certificate_of_another_sort_is_refused_as_well(network: Network, authority: Authority) -> None:
    """Such as one that may be used by clients only; or, here, one that a stricter context does not like."""
    context = authority.client()
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF  # and there is no list of revoked ones
    error = await refused(
        network,
        lambda peer: peer.gone(),
        url="wss://exchange.test/v2",
        ssl_context=context,
        tls=authority.server("exchange.test"),
    )
    assert not error.retryable
    assert "unable to get certificate CRL; check the host name, this machine's clock" in str(error)


async def test_tls_to_a_port_that_does_not_speak_it(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    error = await refused(network, script, url="wss://exchange.test/v2")
    assert error.retryable
    assert "no TLS connection to exchange.test:443: " in str(error)
    assert "check that this port speaks TLS" in str(error)


async def test_end_in_the_tls_handshake(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some()

    error = await refused(network, script, url="wss://exchange.test/v2")
    assert error.retryable
    assert "no TLS connection to exchange.test:443" in str(error)


async def test_no_answer_in_the_tls_handshake(network: Network) -> None:
    limits = attrs.evolve(network.limits, connect_timeout=0.2)
    error = await refused(network, lambda peer: peer.gone(), url="wss://exchange.test/v2", limits=limits)
    assert error.retryable
    assert "no connection to exchange.test:443 within 0.2 s (while in the TLS handshake)" in str(error)


def unchecked_name() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


def half_checked_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def unchecked_certificate() -> ssl.SSLContext:
    context = unchecked_name()
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("context", [unchecked_name, unchecked_certificate, half_checked_certificate])
async def test_a_context_that_does_not_verify_is_refused(
    memory: Network, context: Callable[[], ssl.SSLContext]
) -> None:
    with pytest.raises(ValueError, match="does not verify the server"):
        await memory.visit(lambda peer: peer.gone(), url="wss://exchange.test", ssl_context=context())
    assert not memory.opened


async def test_a_context_for_a_connection_without_tls_is_refused(memory: Network) -> None:
    with pytest.raises(ValueError, match="use wss://"):
        await memory.visit(lambda peer: peer.gone(), url=URL, ssl_context=ssl.create_default_context())
    assert not memory.opened


# -- the upgrade ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("so_far", [b"", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"])
async def test_ends_in_the_upgrade(network: Network, so_far: bytes) -> None:
    error = await refused(network, answering(so_far, stays=False))
    assert error.retryable
    assert "exchange.test:80 closed the connection during the WebSocket handshake, before it had answered" in str(error)


async def test_resets_in_the_upgrade(loopback: Network) -> None:
    async def script(peer: Peer) -> None:
        await trio.sleep(0.05)  # what was sent and is never read makes closing a reset

    error = await refused(loopback, script)
    assert error.retryable
    assert "broke during the WebSocket handshake" in str(error)
    assert "reset" in str(error)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_resets_before_the_request(transport: str) -> None:
    """Found by resets of real sockets: trio-websocket then waited for the whole of its ``connect_timeout``."""

    class Broken(trio.abc.SendStream):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError("connection reset")

        async def wait_send_all_might_not_block(self) -> None:
            await trio.lowlevel.checkpoint()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return trio.StapledStream(Broken(), trio.testing.MemoryReceiveStream())

    connect = TRANSPORTS[transport].connect_over(open_stream)
    with trio.fail_after(LIMITS.connect_timeout / 2):
        with pytest.raises(ConnectError, match="broke during the WebSocket handshake: connection reset") as info:
            async with connect(URL, ssl_context=None, limits=LIMITS):
                pytest.fail("nobody is there")
    assert info.value.retryable


@pytest.mark.parametrize("so_far", [b"", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"])
async def test_no_answer_to_the_upgrade(network: Network, so_far: bytes) -> None:
    limits = attrs.evolve(network.limits, connect_timeout=0.2)
    error = await refused(network, answering(so_far), limits=limits)
    assert error.retryable
    assert "within 0.2 s (while in the WebSocket handshake)" in str(error)


async def test_a_peer_that_does_not_read_our_request(connect_over: ConnectOver) -> None:
    ours, _theirs = trio.testing.lockstep_stream_pair()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        return ours

    with pytest.raises(ConnectError, match=r"within 0\.1 s"):
        async with connect_over(open_stream)(URL, ssl_context=None, limits=Limits(connect_timeout=0.1)):
            pass


async def test_cancelled_while_connecting(network: Network) -> None:
    scope = trio.CancelScope(deadline=trio.current_time() + 0.1)
    await network.visit(lambda peer: peer.gone(), scope=scope)
    assert scope.cancelled_caught


async def test_cancelled_just_when_the_peer_has_accepted(connect_over: ConnectOver) -> None:
    """When the WebSocket is there, but not yet its block."""
    ours, theirs = trio.testing.memory_stream_pair()
    reads = 0

    class Cancelling(Watched):
        async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
            nonlocal reads
            reads += 1
            if reads == 2:
                scope.cancel()
            return await super().receive_some(max_bytes)

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return Cancelling(ours)

    async def serve() -> None:
        peer = Peer(theirs)
        await peer.accept()
        await peer.gone()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.fail_after(2), trio.CancelScope() as scope:
            async with connect_over(open_stream)(URL, ssl_context=None, limits=Limits(close_timeout=0.1)):
                await trio.sleep_forever()
        assert scope.cancelled_caught
    assert reads >= 2


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (b"429 Too Many\r\nRetry-After: 7\r\n\r\nslow down", 429, "HTTP 429 Too Many: slow down (try again in 7 s)"),
        (b"200 OK\r\n\r\n<html>hello</html>", 200, "HTTP 200 OK: hello (there is no WebSocket endpoint at /v2: check"),
    ],
)
async def test_a_refusal(network: Network, answer: bytes, status: int, says: str) -> None:
    error = await refused(network, answering(b"HTTP/1.1 " + answer, stays=False))
    assert error.status == status
    assert f"exchange.test:80 refused the WebSocket connection: {says}" in str(error)


async def test_a_refusal_with_an_endless_body_is_a_refusal(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "BODY_WAIT", math.inf)  # its size is bounded without that

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 429 Too Many Requests\r\n\r\n")
        await peer.flood(b"more " * 1000)

    assert (await refused(network, script)).status == 429


async def test_a_refusal_whose_body_is_broken_off(loopback: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(1)  # the rest of the request stays unread: closing is a reset
        await peer.send(b"HTTP/1.1 429 Too Many Requests\r\n\r\nslow")
        await trio.sleep(0.05)

    error = await refused(loopback, script)
    assert error.status == 429
    assert "slow" in str(error)


async def test_what_is_not_http(network: Network) -> None:
    error = await refused(network, answering(b"SSH-2.0-OpenSSH_9.6\r\n"))
    assert "with something that is not HTTP: SSH-2.0-OpenSSH_9.6" in str(error)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            (b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"),
            {"trio-websocket": "Bad accept token", "websockets": "invalid Sec-WebSocket-Accept header"},
        ),
        (
            (b"Upgrade: websocket", b"Upgrade: h2c"),
            {"trio-websocket": "Upgrade: websocket", "websockets": "invalid Upgrade header: h2c"},
        ),
        (
            (b"Connection: Upgrade\r\n", b""),
            {"trio-websocket": "Connection: Upgrade", "websockets": "missing Connection header"},
        ),
        ((b"Connection: Upgrade", b"Connection: \xff"), {"trio-websocket": "", "websockets": "Connection header"}),
        (
            (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: \x1b[2J\r\n\r\n"),
            {"trio-websocket": "", "websockets": "invalid HTTP header value"},
        ),
        (
            (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            {"trio-websocket": "unrecognized extension", "websockets": "no extensions supported"},
        ),
        (
            (b"\r\n\r\n", b"\r\nnot a header\r\n\r\n"),
            {"trio-websocket": "illegal header line", "websockets": "illegal header line"},
        ),
    ],
)
async def test_breaks_the_rules_of_the_upgrade(
    network: Network, change: tuple[bytes, bytes], why: dict[str, str]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(peer.acceptance(await peer.request()).replace(*change))
        await peer.gone()

    error = await refused(network, script)
    assert error.retryable
    assert "exchange.test:80 violated the WebSocket handshake: " in str(error)
    assert why[network.transport] in str(error)


@pytest.mark.parametrize("at_once", [False, True])
async def test_an_acceptance_in_single_bytes_and_with_long_frames_behind_it(network: Network, at_once: bool) -> None:
    long = "x" * 9_999

    async def script(peer: Peer) -> None:
        answer = peer.acceptance(await peer.request()) + peer.text("hello", long, long, long)
        for part in [answer] if at_once else [answer[i : i + 1] for i in range(200)] + [answer[200:]]:
            await peer.send(part)
            await trio.lowlevel.checkpoint()
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await network.take(transport, 4) == ["hello", long, long, long]

    await network.visit(script, body)
