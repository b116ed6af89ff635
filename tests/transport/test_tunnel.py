"""Connections through an HTTP proxy: what it is asked, and a ConnectError for everything that it may answer."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
import trustme
from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio._proxy import Proxy, parse_proxy
from kraken_trio.errors import ConnectError
from kraken_trio.testing import open_exchange
from kraken_trio.transport import Limits, Transport
from kraken_trio.transport.tunnel import Tunnel
from tests.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from kraken_trio.transport.choice import TransportName
    from tests.transport.conftest import Network, Peer

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
PASSWORD = "correct horse battery"
WITH_PASSWORD = f"http://user:{PASSWORD.replace(' ', '%20')}@proxy.test:3128"
SECRETS = Secrets(password=PASSWORD, pair=f"user:{PASSWORD}")


@pytest.fixture
def proxied(network: Network) -> Network:
    network.proxy = parse_proxy(WITH_PASSWORD)
    return network


async def refused(network: Network, script: Callable[[Peer], Awaitable[None]], **options: Any) -> ConnectError:
    with pytest.raises(ConnectError) as info:
        await network.visit(script, **options)
    assert str(info.value).isprintable()
    assert len(str(info.value)) < 400
    assert not SECRETS.found_in(info.value)
    return info.value


def answering(answer: bytes) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    return script


# -- a tunnel ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("ws://exchange.test/v2?secret", "exchange.test:80"),
        ("ws://exchange.test:8080/v2", "exchange.test:8080"),
        ("ws://[2001:db8::1]/v2", "[2001:db8::1]:80"),
    ],
)
@pytest.mark.parametrize(
    "answer", [ESTABLISHED, b"HTTP/1.0 204 \r\nVia: 1.1 x\r\n\r\n", b"HTTP/1.1 100 x\r\n\r\n" + ESTABLISHED]
)
async def test_what_a_proxy_is_asked_and_what_goes_through(
    proxied: Network, url: str, target: str, answer: bytes
) -> None:
    asked: list[str] = []

    async def script(peer: Peer) -> None:
        asked.append(await peer.request())
        for byte in answer:
            await peer.send(bytes([byte]))
        await peer.accept(peer.text("through"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await transport.receive() == ["through"]

    await proxied.visit(script, body, url=url)
    authorization = "Basic dXNlcjpjb3JyZWN0IGhvcnNlIGJhdHRlcnk="
    assert asked == [f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {authorization}\r\n\r\n"]


async def test_no_authorization_without_a_user(network: Network) -> None:
    network.proxy = Proxy(host="proxy.test", port=3128)
    asked: list[str] = []

    async def script(peer: Peer) -> None:
        asked.append(await peer.request())
        await peer.send(ESTABLISHED)
        await peer.accept()
        await peer.gone()

    await network.visit(script)
    assert asked == ["CONNECT exchange.test:80 HTTP/1.1\r\nHost: exchange.test:80\r\n\r\n"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("name", ["exchange.test", "proxy.test"])
async def test_tls_is_spoken_with_the_exchange_whose_certificate_is_verified(
    proxied: Network, authority: trustme.CA, name: str
) -> None:
    """With the proxy's own certificate, it could read everything."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)

    async def script(peer: Peer) -> None:
        assert (await peer.request()).startswith("CONNECT exchange.test:443 HTTP/1.1\r\n")
        await peer.send(ESTABLISHED)
        peer.stream = trio.SSLStream(peer.stream, server, server_side=True, https_compatible=True)
        if name == "exchange.test":
            await peer.accept(peer.text("encrypted"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await transport.receive() == ["encrypted"]

    if name == "exchange.test":
        await proxied.visit(script, body, url="wss://exchange.test/v2", ssl_context=client)
    else:
        error = await refused(proxied, script, url="wss://exchange.test/v2", ssl_context=client)
        assert "the certificate of exchange.test:443 was refused: Hostname mismatch" in str(error)


# -- a refusal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "to_do", "retryable"),
    [
        (400, "is it an HTTP proxy that allows CONNECT?", False),
        (403, "ask whoever runs it to allow exchange.test:80", True),
        (405, "is it an HTTP proxy that allows CONNECT?", False),
        (407, "it does not accept the user and password of its URL", False),
        (301, "is it an HTTP proxy that allows CONNECT?", True),
        (429, "is it an HTTP proxy that allows CONNECT?", True),
        (501, "check its own network", False),
        (502, "check its own network and its name lookup", True),
        (504, "check its own network and its name lookup", True),
    ],
)
async def test_a_refusal_has_its_status_and_says_what_to_do(
    proxied: Network, status: int, to_do: str, retryable: bool
) -> None:
    error = await refused(proxied, answering(b"HTTP/1.1 %d \x1b[2J \r\nContent-Length: 0\r\n\r\n" % status))
    assert f"the proxy http://proxy.test:3128 did not connect to exchange.test:80: HTTP {status}; " in str(error)
    assert to_do in str(error)
    assert (error.proxy_status, error.retryable, error.retry_after) == (status, retryable, None)
    assert error.status is None  # it is not the exchange's, by which bans are known


async def test_a_proxy_that_wants_a_password_and_is_given_none(network: Network) -> None:
    network.proxy = Proxy(host="proxy.test", port=3128)
    error = await refused(network, answering(b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n"))
    assert "it wants a user and a password: give them in its URL" in str(error)


async def test_a_proxy_that_says_when_to_try_again(proxied: Network) -> None:
    error = await refused(proxied, answering(b"HTTP/1.1 503 x\r\nRetry-After: 17\r\n\r\n"))
    assert error.retry_after == 17


async def test_a_proxy_that_repeats_the_password(proxied: Network) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        said = request.partition("Basic ")[2].strip()
        await peer.send(f"HTTP/1.1 407 {said}\r\nX: {said}\r\n\r\n{PASSWORD}".encode())
        await peer.gone()

    await refused(proxied, script)  # which looks for it everywhere


async def test_a_proxy_that_breaks_the_protocol_with_the_password(proxied: Network) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(request.encode())  # an echo
        await peer.gone()

    error = await refused(proxied, script)
    assert "is it an HTTP proxy?" in str(error)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (b"\x05\x00 a SOCKS proxy\r\n\r\n", "something that is not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "something that is not HTTP"),
        (b"HTTP/1.1 200 x\r\nX: " + b"x" * 20_000, "something that is not HTTP"),
        (ESTABLISHED + b"early", "bytes that cannot be the exchange's"),
    ],
    ids=["socks", "status", "endless", "early"],
)
async def test_an_answer_that_is_none(proxied: Network, answer: bytes, wrong: str) -> None:
    error = await refused(proxied, answering(answer))
    assert error.retryable
    assert wrong in str(error)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 Connec"])
async def test_the_end_before_an_answer(proxied: Network, begun: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(begun)

    error = await refused(proxied, script)
    assert error.retryable
    assert "the proxy http://proxy.test:3128" in str(error)


@given(st.binary(max_size=60), st.booleans())
async def test_any_answer_is_a_tunnel_or_a_connect_error(said: bytes, is_http: bool) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        assert (host, port) == ("proxy.test", 3128)
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(b"HTTP/1.1 " + said if is_http else said)
        await theirs.send_eof()
        return ours

    try:
        await Tunnel(parse_proxy(WITH_PASSWORD), open_stream)("exchange.test", 80)
    except ConnectError as error:
        raised = error
    else:
        return
    assert str(raised).isprintable()
    assert not SECRETS.found_in(raised)


async def test_silence_is_limited(memory: Network) -> None:
    memory.proxy = Proxy(host="proxy.test", port=3128)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    limits = attrs.evolve(memory.limits, connect_timeout=0.2)
    error = await refused(memory, script, limits=limits)
    assert "while connecting to the proxy http://proxy.test:3128, or waiting for it to connect" in str(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name could not be looked up"),
        (ConnectionRefusedError(111, "x"), "Connection refused"),
    ],
    ids=["name", "port"],
)
async def test_a_proxy_that_cannot_be_reached_is_to_blame(
    connect_over: Callable[..., Any], error: OSError, said: str
) -> None:
    async def open_stream(_host: str, _port: int) -> trio.abc.Stream:
        raise error

    tunnel = Tunnel(parse_proxy(WITH_PASSWORD), open_stream)
    assert repr(tunnel) == "<Tunnel through the proxy http://proxy.test:3128>"
    with pytest.raises(ConnectError, match=rf"^cannot connect to the proxy http://proxy\.test:3128: {said}"):
        async with connect_over(tunnel)("ws://exchange.test", ssl_context=None, limits=Limits()):
            pass


# -- a client ---------------------------------------------------------------------------------------------------------


async def test_a_transport_of_ones_own_takes_no_proxy() -> None:
    async with open_exchange() as exchange:
        with pytest.raises(TypeError, match=r"a proxy or a transport of your own, not both"):
            async with kt.open_client(exchange.url, transport=exchange.connect, proxy="http://proxy.test"):
                pass


async def test_a_bad_proxy_of_a_client_is_not_shown() -> None:
    with pytest.raises(ConnectError, match=r"^proxy is not a usable proxy: only HTTP") as info:
        async with kt.open_client("ws://127.0.0.1:1", proxy=f"socks5://user:{PASSWORD.replace(' ', '%20')}@proxy.test"):
            pass
    assert not info.value.retryable
    assert not SECRETS.found_in(info.value)


TINYPROXY = shutil.which("tinyproxy", path="/usr/bin:/usr/sbin:/usr/local/bin")


@pytest.fixture
def tinyproxy(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start Debian's tinyproxy with these lines of configuration; gives its ``host:port``."""
    if TINYPROXY is None:
        pytest.skip("tinyproxy is not installed (apt-get install tinyproxy)")
    started: list[subprocess.Popen[bytes]] = []

    def start(lines: str) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = tmp_path / "tinyproxy.conf"
        config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nAllow 127.0.0.1\n{lines}\n")
        assert TINYPROXY is not None
        process = subprocess.Popen([TINYPROXY, "-d", "-c", str(config)], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        while (line := process.stdout.readline()) and b"Accepting connections" not in line:
            pass
        assert line, "tinyproxy has ended"
        return f"127.0.0.1:{port}"

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.parametrize("transport", ["websockets", "trio-websocket"])
async def test_a_client_through_a_real_proxy(tinyproxy: Callable[[str], str], transport: TransportName) -> None:
    where = tinyproxy("BasicAuth user secret-of-tinyproxy")
    async with open_exchange() as exchange:
        proxy = f"http://user:secret-of-tinyproxy@{where}"
        async with (
            kt.open_client(exchange.url, transport=transport, proxy=proxy) as client,
            client.subscribe(kt.Book("BTC/USD")) as feed,
        ):
            assert isinstance(await feed.receive(), kt.BookSnapshot)
            assert feed.book("BTC/USD").verified
        with pytest.raises(ConnectError, match="it wants a user and a password") as info:
            async with kt.open_client(exchange.url, transport=transport, proxy=f"http://{where}"):
                pass
        assert info.value.proxy_status == 407
        with pytest.raises(ConnectError, match=r"HTTP 40[17]; ") as info:
            async with kt.open_client(exchange.url, transport=transport, proxy=f"http://user:wrong-secret@{where}"):
                pass
        assert not info.value.retryable


async def test_a_real_proxy_that_may_not_use_this_port(tinyproxy: Callable[[str], str]) -> None:
    where = tinyproxy("ConnectPort 443")
    async with open_exchange() as exchange:
        with pytest.raises(ConnectError, match=r"HTTP 403; its rules forbid that host or port"):
            async with kt.open_client(exchange.url, proxy=f"http://{where}"):
                pass
