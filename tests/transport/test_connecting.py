"""Peers that do not let us in: a ConnectError at once or in time, that names the cause and whether to try again."""

from __future__ import annotations

import math
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
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

    ConnectingWith: TypeAlias = Callable[[OpenStream], Connect]

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
        async def getaddrinfo(self, *args: object, **kwargs: object) -> list[tuple[object]]:  # type: ignore[override]
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
            with pytest.raises(ConnectError, match="closed the connection in the WebSocket upgrade"):
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
async def test_every_attempt_is_told_once(
    connecting_with: ConnectingWith, cause: BaseException | None, said: str
) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        raise OSError("all attempts failed") from cause

    with pytest.raises(ConnectError, match=rf"^cannot connect to exchange\.test:80: {said}; check"):
        async with connecting_with(open_stream)(URL, ssl_context=None, limits=Limits()):
            pass


async def test_no_answer_to_tcp(connecting_with: ConnectingWith, autojump_clock: trio.testing.MockClock) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    before = trio.current_time()
    with pytest.raises(ConnectError, match=r"within 10 s \(while looking up the name, or connecting by TCP\)") as info:
        async with connecting_with(open_stream)(URL, ssl_context=None, limits=Limits()):
            pass
    assert trio.current_time() - before == pytest.approx(10)
    assert info.value.retryable


# -- TLS --------------------------------------------------------------------------------------------------------------


class Authority:
    def __init__(self) -> None:
        self.ca = trustme.CA()

    def server(
        self, *names: str, not_before: datetime | None = None, not_after: datetime | None = None
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names, not_before=not_before, not_after=not_after).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
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
    error = await refused(
        network, lambda peer: peer.gone(), url="wss://exchange.test/v2", ssl_context=context, tls=equip(authority)
    )
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
    assert "no connection to exchange.test:443 within 0.2 s (while in TLS's handshake)" in str(error)


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
    assert "exchange.test:80 closed the connection in the WebSocket upgrade, without an answer" in str(error)


async def test_resets_in_the_upgrade(loopback: Network) -> None:
    async def script(peer: Peer) -> None:
        await trio.sleep(0.05)  # what was sent and is never read makes closing a reset

    error = await refused(loopback, script)
    assert error.retryable
    assert "broke in the WebSocket upgrade" in str(error)
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

    connect = TRANSPORTS[transport].connecting_with(open_stream)
    with trio.fail_after(LIMITS.connect_timeout / 2):
        with pytest.raises(ConnectError, match="broke in the WebSocket upgrade: connection reset") as info:
            async with connect(URL, ssl_context=None, limits=LIMITS):
                pytest.fail("nobody is there")  # pragma: no cover
    assert info.value.retryable


@pytest.mark.parametrize("so_far", [b"", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web"])
async def test_no_answer_to_the_upgrade(network: Network, so_far: bytes) -> None:
    limits = attrs.evolve(network.limits, connect_timeout=0.2)
    error = await refused(network, answering(so_far), limits=limits)
    assert error.retryable
    assert "within 0.2 s (while waiting for the answer to the WebSocket request)" in str(error)


async def test_a_peer_that_does_not_read_our_request(connecting_with: ConnectingWith) -> None:
    ours, _theirs = trio.testing.lockstep_stream_pair()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        return ours

    with pytest.raises(ConnectError, match=r"within 0\.1 s"):
        async with connecting_with(open_stream)(URL, ssl_context=None, limits=Limits(connect_timeout=0.1)):
            pass


async def test_cancelled_while_connecting(network: Network) -> None:
    scope = trio.CancelScope(deadline=trio.current_time() + 0.1)
    await network.visit(lambda peer: peer.gone(), scope=scope)
    assert scope.cancelled_caught


async def test_cancelled_just_when_the_peer_has_accepted(connecting_with: ConnectingWith) -> None:
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
            async with connecting_with(open_stream)(URL, ssl_context=None, limits=Limits(close_timeout=0.1)):
                await trio.sleep_forever()
        assert scope.cancelled_caught
    assert reads >= 2


HTML = b"<html><head><title>503 Service\r\n Unavailable</title></head><body>Maintenance \x1b[2J</body></html>"


@pytest.mark.parametrize(
    ("head", "body", "expected", "says"),
    [
        ("429 Too Many Requests\r\nRetry-After: 7", b"slow down", (429, 7.0, True), "HTTP 429 Too Many Requests: slow"),
        ("429 Too Many Requests", b"", (429, None, True), "HTTP 429 Too Many Requests (perhaps a ban for too many"),
        (
            "403 Forbidden",
            b"error code: 1015",
            (403, None, True),
            "1015 (perhaps a ban for too many connection attempts",
        ),
        ("403 Forbidden\r\nRetry-After: 600", b"", (403, 600.0, True), "(try again in 600 s)"),
        ("503 Service Unavailable", HTML, (503, None, True), "503 Service Unavailable Maintenance \\x1b[2J"),
        ("502", b"", (502, None, True), "HTTP 502"),
        ("400 Bad Request", b"", (400, None, False), "HTTP 400 Bad Request"),
        ("401 Unauthorized", b"", (401, None, False), "HTTP 401"),
        ("404 Not Found", b"", (404, None, False), "HTTP 404"),
        ("200 OK", b"hello", (200, None, True), "HTTP 200 OK: hello"),
        ("100 Continue", b"", (100, None, True), "HTTP 100"),
        ("301 Moved\r\nlocation:  wss://x.test/\x1b", b"", (301, None, False), "redirects to wss://x.test/\\x1b; "),
        ("308 Moved", b"", (308, None, False), "redirects to somewhere it does not name"),
        ("500 \x1b[2J", b"", (500, None, True), "HTTP 500 \\x1b[2J"),
        ("500 Oh\r\nnot a header", b"", (500, None, True), "HTTP 500 Oh"),
    ],
)
@pytest.mark.parametrize("length", ["known", "unknown", "wrong"])
async def test_http_refusals(
    network: Network,
    head: str,
    body: bytes,
    expected: tuple[int, float | None, bool],
    says: str,
    length: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upgrade, "BODY_WAIT", 0.05 if length == "wrong" else math.inf)
    lengths = {
        "known": f"\r\nContent-Length: {len(body)}",
        "unknown": "",
        "wrong": "\r\nContent-Length: 99999999999999",
    }
    answer = f"HTTP/1.1 {head}{lengths[length]}\r\n\r\n".encode("latin-1") + body
    error = await refused(network, answering(answer, stays=length != "unknown"))
    assert (error.status, error.retry_after, error.retryable) == expected
    assert says in str(error)
    assert str(error).startswith("exchange.test:80 refused the WebSocket connection: HTTP ")


async def test_a_refusal_with_an_endless_body_is_a_refusal(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "BODY_WAIT", math.inf)  # its size is bounded without that

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 429 Too Many Requests\r\n\r\n")
        try:
            while True:
                await peer.send(b"more " * 1000)
        except trio.BrokenResourceError:
            pass

    error = await refused(network, script)
    assert error.status == 429
    assert len(str(error)) < 300


async def test_a_refusal_whose_body_is_broken_off(loopback: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.receive_some(1)  # the rest of the request stays unread: closing is a reset
        await peer.send(b"HTTP/1.1 429 Too Many Requests\r\n\r\nslow")
        await trio.sleep(0.05)

    error = await refused(loopback, script)
    assert error.status == 429
    assert "slow" in str(error)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\r\n\r\n",
        b"HTTP/2 101\r\n\r\n",
        b"HTTP/1.1 hello\r\n\r\n",
        b"HTTP/1.1 1010 x\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"<" * 10_000,
    ],
)
async def test_garbage_instead_of_http(network: Network, garbage: bytes) -> None:
    error = await refused(network, answering(garbage))
    assert error.retryable
    assert "with something that is not HTTP: " in str(error)
    assert len(str(error)) < 300


async def test_headers_without_end(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")
        try:
            while True:
                await peer.send(b"X: " + b"x" * 1000 + b"\r\n")
        except trio.BrokenResourceError:
            pass

    error = await refused(network, script)
    assert "more than 16384 bytes of headers" in str(error)


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
            {"trio-websocket": "illegal header line", "websockets": "invalid HTTP header line"},
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
    assert "exchange.test:80 broke the rules of the WebSocket upgrade: " in str(error)
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


# -- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", "", 0.0),
        ("120", "", 120.0),
        ("99999", "", upgrade.MAX_RETRY_AFTER),
        ("9" * 9999, "", upgrade.MAX_RETRY_AFTER),
        ("-1", "", None),
        ("1.5", "", None),
        ("soon", "", None),
        ("٣", "", None),
        ("", "", None),
        ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", "Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:30 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "unreadable", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", "", upgrade.MAX_RETRY_AFTER),
        ("Wed, 99 Oct 2015 07:28:00 GMT", "", None),
    ],
)
def test_retry_after(value: str, date: str, seconds: float | None) -> None:
    assert upgrade.parse_retry_after({"retry-after": value, "date": date}) == seconds


def test_retry_after_by_our_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    assert upgrade.parse_retry_after({"retry-after": formatdate(1_000_030, usegmt=True)}) == 30.0
    assert upgrade.parse_retry_after({}) is None
    assert math.isfinite(upgrade.MAX_RETRY_AFTER)
