"""The response to the WebSocket request: an upgrade, or a ConnectError that says what came instead."""

from __future__ import annotations

import math
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, strategies as st

from kraken_trio._address import parse_address
from kraken_trio.errors import ConnectError
from kraken_trio.transport import upgrade
from tests.transport.frames import cut

if TYPE_CHECKING:
    from trio.testing import MockClock

ADDRESS = parse_address("ws://exchange.test/v2")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Response(trio.abc.ReceiveStream):
    """These chunks, and then silence, the end, or a reset."""

    def __init__(self, *chunks: bytes, then: str = "silence") -> None:
        self.chunks = [chunk for chunk in chunks if chunk]
        self.then = then

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.chunks:
            chunk = self.chunks.pop(0)
            if max_bytes is not None and len(chunk) > max_bytes:
                self.chunks.insert(0, chunk[max_bytes:])
            return chunk[:max_bytes]
        if self.then == "silence":
            await trio.sleep_forever()
        if self.then == "reset":
            raise trio.BrokenResourceError
        return b""

    async def aclose(self) -> None:
        raise AssertionError("it is the caller's")


async def refusal(response: Response) -> ConnectError:
    with pytest.raises(ConnectError) as info:
        await upgrade.read_acceptance(response, ADDRESS)
    assert str(info.value).startswith(("exchange.test:80 ", "the connection to exchange.test:80 "))
    assert str(info.value).isprintable()
    assert len(str(info.value)) < 400
    return info.value


# -- an upgrade -------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=40), st.lists(st.integers(0, 200), max_size=8))
async def test_what_comes_behind_the_head_is_kept(behind_it: bytes, places: list[int]) -> None:
    response = Response(*cut(SWITCHING + behind_it, places))
    head, came = await upgrade.read_acceptance(response, ADDRESS)
    assert head == SWITCHING
    assert behind_it == came + b"".join(response.chunks)


async def test_more_behind_the_head_than_a_head_may_have() -> None:
    behind_it = b"x" * upgrade.MAX_HEAD_BYTES
    response = Response(SWITCHING + behind_it)
    head, came = await upgrade.read_acceptance(response, ADDRESS)
    assert head == SWITCHING
    assert behind_it == came + b"".join(response.chunks)


# -- a refusal --------------------------------------------------------------------------------------------------------

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
        ("404 Not Found", b"", (404, None, False), "HTTP 404 Not Found (there is no WebSocket endpoint at /v2: check"),
        ("200 OK", b"hello", (200, None, True), "HTTP 200 OK: hello (there is no WebSocket endpoint at /v2: check"),
        ("200 OK\r\nContent-Type: text/html", HTML, (200, None, True), "Maintenance \\x1b[2J (there is no WebSocket"),
        ("100 Continue", b"", (100, None, True), "HTTP 100"),
        ("301 Moved\r\nlocation:  wss://x.test/é", b"", (301, None, False), "redirects to wss://x.test/é; "),
        ("308 Moved", b"", (308, None, False), "redirects to an address that it does not name"),
        ("500 \x1b[2J", b"", (500, None, True), "HTTP 500 \\x1b[2J"),
        # What h11 rejects, but for its status.
        ("500 \x00\x1b[2J", b"", (500, None, True), "HTTP 500 \\x00\\x1b[2J (a malformed HTTP response: "),
        ("500 Oh\r\nnot a header", b"", (500, None, True), "HTTP 500 Oh (a malformed HTTP response: illegal header"),
        ("302 Found\r\nLocation: wss://x\r\n: y", b"", (302, None, False), "redirects to an address that it does not"),
    ],
)
@pytest.mark.parametrize("length", ["known", "unknown", "wrong"])
async def test_refusals(
    autojump_clock: MockClock,
    head: str,
    body: bytes,
    expected: tuple[int, float | None, bool],
    says: str,
    length: str,
) -> None:
    lengths = {
        "known": f"\r\nContent-Length: {len(body)}",
        "unknown": "",
        "wrong": "\r\nContent-Length: 99999999999999",
    }
    answer = f"HTTP/1.1 {head}{lengths[length]}\r\n\r\n".encode("latin-1") + body
    error = await refusal(Response(answer, then="end" if length == "unknown" else "silence"))
    assert (error.status, error.retry_after, error.retryable) == expected
    assert says in str(error)
    assert str(error).startswith("exchange.test:80 refused the WebSocket connection: HTTP ")
    assert length == "wrong" or trio.current_time() == 0, "it does not wait for more than there is"


async def test_a_chunked_body_is_quoted_without_its_framing() -> None:
    answer = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    assert str(await refusal(Response(answer))).endswith("HTTP 503 No: hello world")


@pytest.mark.parametrize("then", ["end", "reset"])
async def test_a_body_that_is_broken_off(then: str) -> None:
    error = await refusal(Response(b"HTTP/1.1 429 No\r\nContent-Length: 999\r\n\r\nslow", then=then))
    assert error.status == 429
    assert "slow" in str(error)


async def test_of_an_endless_body_little_is_read() -> None:
    response = Response(b"HTTP/1.1 429 Too Many Requests\r\n\r\n", *[b"more " * 200] * 100)
    error = await refusal(response)
    assert error.status == 429
    assert len(response.chunks) > 95


# -- anything else ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\r\n\r\n",
        b"HTTP/2 101\r\n\r\n",
        b"HTTP/1.1 hello\r\n\r\n",
        b"HTTP/1.1 1010 x\r\n\r\n",
        b"HTTP/1.1 099 x\r\n\r\n",
        b"HTTP/1.1  200 x\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"<" * 10_000,
    ],
)
async def test_what_is_not_http(garbage: bytes) -> None:
    error = await refusal(Response(garbage))
    assert (error.status, error.retryable) == (None, True)
    assert "with something that is not HTTP: " in str(error)


async def test_headers_without_end() -> None:
    response = Response(b"HTTP/1.1 101 Switching Protocols\r\n", *[b"X: " + b"x" * 1000 + b"\r\n"] * 1000)
    assert "more than 16384 bytes of headers" in str(await refusal(response))
    assert len(response.chunks) > 980


@pytest.mark.parametrize("so_far", [b"", SWITCHING[:50]])
async def test_the_stream_ends_or_breaks(so_far: bytes) -> None:
    error = await refusal(Response(so_far, then="end"))
    assert "closed the connection during the WebSocket handshake, before it had answered" in str(error)
    error = await refusal(Response(so_far, then="reset"))
    assert str(error).endswith("broke during the WebSocket handshake: BrokenResourceError")


async def test_an_upgrade_that_is_malformed() -> None:
    error = await refusal(Response(SWITCHING[:-2] + b"not a header\r\n\r\n"))
    assert (error.status, error.retryable) == (None, True)
    assert "violated the WebSocket handshake: illegal header line" in str(error)


lines = st.one_of(
    st.sampled_from([b"HTTP/1.1 101 x", b"HTTP/1.1 200", b"HTTP/1.0 503 No", b"Retry-After: 7", b"Content-Length: 3"]),
    st.sampled_from([b"", b"Transfer-Encoding: chunked", b"3", b"abc", b"0", b" folded", b"X:", b": x"]),
    st.binary(max_size=12),
)


@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(lines, max_size=8).map(b"\r\n".join),
        st.lists(lines, max_size=8).map(lambda more: b"\r\n".join([b"HTTP/1.1 503 No", *more, b"", b""])),
    ),
    st.lists(st.integers(0, 100), max_size=8),
)
async def test_any_bytes_are_an_upgrade_or_a_connect_error_however_they_are_cut(data: bytes, places: list[int]) -> None:
    async def outcome(*chunks: bytes) -> object:
        response = Response(*chunks, then="end")
        try:
            head, behind_it = await upgrade.read_acceptance(response, ADDRESS)
        except ConnectError as error:
            return str(error), error.status, error.retry_after, error.retryable
        assert data == head + behind_it + b"".join(response.chunks)
        return head

    whole, pieces = await outcome(data), await outcome(*cut(data, places))
    assert str(whole).isprintable()
    if "not HTTP" in str(whole):  # of which more or less may be quoted
        assert "not HTTP" in str(pieces)
    else:
        assert pieces == whole


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
