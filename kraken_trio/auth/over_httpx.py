"""Requests over httpx.

What httpx raises stops here, and no error and no local variable holds one of its requests: these have the key and the
signature in their headers. Each request has a connection of its own, because calls are rare; so nothing is open between
them.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final, cast

import httpx
import trio

from kraken_trio._text import printable
from kraken_trio._version import version
from kraken_trio.auth.answers import ErrorKind, Failure, Reply
from kraken_trio.transport.dial import unreachable
from kraken_trio.transport.tunnel import HOPELESS, advice

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio._proxy import Proxy
    from kraken_trio.auth.http import HttpRequest

__all__ = ["MAX_ANSWER_BYTES", "send"]

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
"""The longest answer that is read. All pairs of the exchange take less than 2 MB."""


async def send(
    request: HttpRequest,
    transport: httpx.AsyncBaseTransport | None,
    tls: Callable[[], ssl.SSLContext],
    proxy: Proxy | None = None,
) -> Reply | Failure:
    """Send a request and read the response. Raises nothing of httpx."""
    try:
        async with transport or _network(tls(), proxy) as opened:
            response = await opened.handle_async_request(_request(request))
            try:
                return await _read(response)
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.StreamError, OSError, trio.BrokenResourceError) as error:
        url = httpx.URL(request.url)
        return _describe(error, proxy, f"{url.host}:{url.port or 443}")


def _network(tls: ssl.SSLContext, proxy: Proxy | None) -> httpx.AsyncBaseTransport:
    """Without what the environment says: no other proxies, no .netrc. It follows no redirects."""
    through = None
    if proxy is not None:
        authorization = proxy.authorization()
        headers = {} if authorization is None else {"Proxy-Authorization": authorization}
        through = httpx.Proxy(proxy.url, headers=headers)
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits, proxy=through)


def _request(request: HttpRequest) -> httpx.Request:
    headers = {
        "User-Agent": f"kraken-trio/{version()}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # so that the size on the wire is the size in memory
        "Connection": "close",
        **request.headers,
    }
    if not request.body:
        return httpx.Request(request.method, request.url, headers=headers)
    # With a stream of our own, httpx adds neither of these.
    headers |= {"Host": httpx.URL(request.url).netloc.decode("ascii"), "Content-Length": str(len(request.body))}
    return httpx.Request(request.method, request.url, headers=headers, stream=_Body(request.body))


class _Body(httpx.AsyncByteStream):
    """A body. No generator: one that is not used up, because sending was cancelled, is a warning of Trio's."""

    def __init__(self, data: bytes) -> None:
        self._parts = [data]

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


async def _read(response: httpx.Response) -> Reply | Failure:
    """Read a response, up to the limit."""
    body, chunk = bytearray(), b""
    try:
        with trio.CancelScope() as scope:  # noqa: ASYNC912 (all of it may be there)
            async for chunk in cast("httpx.AsyncByteStream", response.stream):  # as it is on the wire
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:  # mutant: endless answer
                    scope.cancel()  # takes effect where it waits for more, so that all generators end in order
    except BaseException:
        body.clear()  # a traceback shows local variables, and this may be a token
        chunk = b""
        raise
    if len(body) > MAX_ANSWER_BYTES:
        return Failure(kind=ErrorKind.TRANSIENT, text=f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return Reply(status=response.status_code, body=bytes(body), retry_after=response.headers.get("Retry-After", ""))


def _describe(error: BaseException, proxy: Proxy | None, target: str) -> Failure:
    """Why there was no response. ``target``: the host and the port."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 10:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            text = (
                f"the certificate was refused: {printable(link.verify_message)}; check this machine's clock, its root "
                "certificates, and any proxy on the way"
            )
            return Failure(kind=ErrorKind.ADDRESS, text=text)
        if isinstance(link, httpx.ProxyError):
            return _refused(proxy, target, str(link)[:3])  # the rest is the proxy's text
        if isinstance(link, socket.gaierror):
            text = f"the name could not be looked up ({printable(link.strerror)}); is this machine online?"
            return Failure(kind=ErrorKind.TRANSIENT, text=text)
    if isinstance(error, httpx.ConnectError):
        for link in chain:
            if isinstance(link, OSError) and not isinstance(link, ssl.SSLError):
                return Failure(kind=ErrorKind.TRANSIENT, text=unreachable(proxy or target, link))
    said = next((text for link in chain if (text := str(link))), type(error).__name__)
    return Failure(kind=ErrorKind.TRANSIENT, text=f"no answer: {printable(said)}")


def _refused(proxy: Proxy | None, target: str, status: str) -> Failure:
    """What a proxy's answer means, as for a tunnel of the WebSocket."""
    if proxy is None or not (status.isascii() and status.isdigit()):
        return Failure(kind=ErrorKind.TRANSIENT, text=f"{proxy} did not connect to {target}: HTTP error")
    number = int(status)
    return Failure(
        kind=ErrorKind.ADDRESS if number in HOPELESS else ErrorKind.TRANSIENT,
        text=f"{proxy} did not connect to {target}: HTTP {number}; {advice(proxy, target, number)}",
        proxy_status=number,
    )
