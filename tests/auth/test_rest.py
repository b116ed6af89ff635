"""Calls: retries, waits, deadlines, and what is no answer. In memory, on virtual time."""

from __future__ import annotations

import base64
import socket
import ssl
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

import kraken_trio as kt
from kraken_trio._proxy import choose_proxies
from kraken_trio.auth.answers import ErrorKind, RestError
from kraken_trio.auth.nonce import KeyRing
from kraken_trio.auth.over_httpx import MAX_ANSWER_BYTES
from kraken_trio.auth.rest import Rest
from kraken_trio.auth.tokens import Tokens
from kraken_trio.testing.exchange.account_view import BalanceRow
from kraken_trio.testing.exchange.rest import READ_ONLY, ApiKey
from kraken_trio.testing.faults.rest import RestBreak
from tests.auth.world import EPOCH_NS, KEY, OTP, SECRET, URL, World
from tests.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

HTML, ERROR, SLOW = RestBreak.HTML, RestBreak.ERROR, RestBreak.SLOW
DENIED = "EGeneral:Permission denied"


async def failed(world: World, name: str = "BalanceEx", **more: Any) -> RestError:
    with pytest.raises(RestError) as caught:
        await world.rest.call(name, **more)
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


async def test_a_private_call(autojump_clock: MockClock) -> None:
    world = World()
    world.core.account.holdings.append((0, BalanceRow(asset="BTC", balance=Decimal("1.50"))))  # type: ignore[attr-defined]  # this account has them
    assert await world.rest.call("BalanceEx") == {"XXBT": {"balance": "1.50", "hold_trade": "0"}}
    assert world.core.nonces == {KEY: [EPOCH_NS]}


async def test_a_public_call_needs_no_key(autojump_clock: MockClock) -> None:
    world = World()
    rest = world.client(None)
    pairs = await rest.call("AssetPairs", [("pair", "BTC/USD,XETHZUSD")], private=False)
    assert {name: row["pair_decimals"] for name, row in pairs.items()} == {"XXBTZUSD": 1, "XETHZUSD": 2}
    assert (await rest.call("Time", private=False))["unixtime"] == 1_790_000_000
    assert isinstance((await rest.call("AssetPairs", private=False))["XXBTZUSD"]["fees"][0][1], Decimal)
    with pytest.raises(RuntimeError, match=r"^BalanceEx needs credentials$"):
        await rest.call("BalanceEx")
    with pytest.raises(RestError, match=r"AssetPairs failed at api\.kraken\.test: EQuery:Unknown asset pair"):
        await rest.call("AssetPairs", [("pair", "NO/PE")], private=False)


# Nonces


async def test_a_refused_nonce_is_replaced_once_and_silently(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(ERROR)
    assert await world.rest.call("BalanceEx") == {}
    assert world.core.calls == ["BalanceEx", "BalanceEx"]
    assert trio.current_time() == 0


async def test_after_two_refused_nonces_the_error_says_what_may_be_wrong(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(ERROR, times=None)
    error = await failed(world)
    assert error.kind is ErrorKind.NONCE
    assert "is the key kQ7v… used by another program, too, or was it used before by one whose clock was ahead" in str(
        error
    )
    assert world.core.calls == ["BalanceEx", "BalanceEx"]


async def test_a_clock_that_is_set_back_while_it_runs_is_not_noticed(autojump_clock: MockClock) -> None:
    hour = 3600 * 10**9
    world = World(wall_ns=lambda: EPOCH_NS - (hour if trio.current_time() else 0))
    await world.rest.call("BalanceEx")
    await trio.sleep(1)
    await world.rest.call("BalanceEx")
    assert world.core.nonces[KEY] == [EPOCH_NS, EPOCH_NS + 1]


async def test_a_clock_an_hour_back_since_the_key_was_last_used_is_an_error(autojump_clock: MockClock) -> None:
    world = World()
    await world.rest.call("BalanceEx")
    world.wall_ns = lambda: EPOCH_NS - 3600 * 10**9
    world.rest = world.client(kt.Credentials(KEY, SECRET), KeyRing())  # a new process
    assert (await failed(world)).kind is ErrorKind.NONCE


async def test_two_programs_with_one_key_hardly_disturb_each_other(autojump_clock: MockClock) -> None:
    """A program whose calls take long is overtaken by the other, and asks again."""
    world = World(latency=0.3, limit=100.0)
    slow = world.rest
    world.transport = type(world.transport)(world.core)
    quick = world.client(kt.Credentials(KEY, SECRET), KeyRing())
    done: list[str] = []

    async def use(rest: Rest, name: str, pause: float) -> None:
        for _ in range(5):
            await rest.call("BalanceEx")
            done.append(name)
            await trio.sleep(pause)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use, slow, "slow", 0.0)
        nursery.start_soon(use, quick, "quick", 1.0)
    assert sorted(done) == ["quick"] * 5 + ["slow"] * 5
    assert len(world.core.calls) > 10


# What is final


@pytest.mark.parametrize(
    ("world", "match"),
    [
        (
            {"credentials": kt.Credentials("unknown-key-56", SECRET)},
            "EAPI:Invalid key; check that the key unkn… is comp",
        ),
        (
            {"credentials": kt.Credentials(KEY, "AQEB" * 22)},
            "EAPI:Invalid signature; the secret is not that of the key",
        ),
        ({"permissions": READ_ONLY - {"query-funds"}}, 'denied; the key kQ7v… lacks the permission "Query funds", or'),
        ({"otp": OTP, "credentials": kt.Credentials(KEY, SECRET)}, "or it has a second factor and no otp was given"),
        (
            {"otp": OTP, "credentials": kt.Credentials(KEY, SECRET, "999999")},
            "no otp was given, or a wrong one: change",
        ),
    ],
    ids=["key", "secret", "permission", "otp", "wrong otp"],
)
async def test_what_is_wrong_with_the_key_is_final(
    autojump_clock: MockClock, world: dict[str, Any], match: str
) -> None:
    here = World(**world)
    error = await failed(here)
    assert error.kind is ErrorKind.FATAL
    assert match in str(error)
    assert len(here.core.calls) == 1
    assert trio.current_time() == 0


async def test_another_error_is_final_for_the_call(autojump_clock: MockClock) -> None:
    error = await failed(World(), "AddOrder")
    assert (error.kind, str(error)) == (
        ErrorKind.FINAL,
        "AddOrder failed at api.kraken.test: EGeneral:Unknown method",
    )


@pytest.mark.parametrize("broken", ["raises", "returns"])
async def test_a_function_for_the_second_factor_that_fails(autojump_clock: MockClock, broken: str) -> None:
    def otp() -> str:
        if broken == "raises":
            raise LookupError(OTP)
        return 918273645  # type: ignore[return-value]  # wrong on purpose

    world = World(otp=OTP, credentials=kt.Credentials(KEY, SECRET, otp))
    error = await failed(world)
    kind = "LookupError" if broken == "raises" else "TypeError"
    assert str(error) == f"BalanceEx failed at api.kraken.test: the function for the second factor raised {kind}"
    assert world.core.calls == []


# Waiting


async def test_a_rate_limit_is_waited_for(autojump_clock: MockClock) -> None:
    world = World(limit=2.0)
    for _ in range(4):
        await world.rest.call("BalanceEx")
    assert trio.current_time() == pytest.approx(2 * 3.0 + 2 * 0.0, abs=3.1)
    assert len(world.core.calls) > 4


async def test_a_rate_limit_is_waited_for_as_long_as_there_is_time(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(ERROR, text="EAPI:Rate limit exceeded", times=None)
    error = await failed(world, within=10.0)
    assert error.kind is ErrorKind.RATE
    assert error.retry_after == 12.0
    assert trio.current_time() == 3.0 + 6.0
    error = await failed(world)
    assert len(world.core.calls) == 3 + 9
    assert "fewer reconnects" in str(error)


async def test_the_callers_deadline_counts_as_well(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(ERROR, text="EService:Throttled: 1790000030", times=None)
    with trio.fail_after(20):
        error = await failed(world)
    assert trio.current_time() == 0
    assert error.retry_after == 30.0


async def test_a_wait_of_hours_is_left_to_the_caller(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(ERROR, text="EService:Throttled: 1790009999", times=None)
    assert (await failed(world)).retry_after == 9999.0
    assert trio.current_time() == 0


async def test_in_a_lockout_nothing_is_asked(autojump_clock: MockClock) -> None:
    """By no client of the key: asking makes it longer."""
    world = World()
    world.breaks(ERROR, text="EGeneral:Temporary lockout")
    error = await failed(world, within=10.0)
    assert (error.kind, error.retry_after) == (ErrorKind.LOCKOUT, 900.0)
    await trio.sleep(100)
    world.rest = world.client(kt.Credentials(KEY, SECRET))
    error = await failed(world, within=10.0)
    assert (error.kind, error.retry_after) == (ErrorKind.LOCKOUT, 800.0)
    assert world.core.calls == ["BalanceEx"]
    assert await world.client(None).call("Time", private=False)
    assert await world.rest.call("BalanceEx") == {}
    assert trio.current_time() == pytest.approx(900.0)
    assert world.core.calls == ["BalanceEx", "Time", "BalanceEx"]


@pytest.mark.parametrize("how", [HTML, RestBreak.EMPTY, RestBreak.RESET, RestBreak.CUT, SLOW])
async def test_what_the_exchange_could_not_answer_is_asked_again(autojump_clock: MockClock, how: RestBreak) -> None:
    world = World()
    world.breaks(how, times=2)
    assert await world.rest.call("BalanceEx") == {}
    assert world.core.calls == ["BalanceEx"] * 3
    assert trio.current_time() == pytest.approx(1.0 + 2.0 + (20.0 if how is SLOW else 0.0))


async def test_it_is_not_asked_for_ever(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(HTML, times=None)
    error = await failed(world)
    assert (error.kind, error.failure.status) == (ErrorKind.TRANSIENT, 520)
    assert str(error) == (
        "BalanceEx failed at api.kraken.test: HTTP 520: api.kraken.com | 520: Web server is returning an unknown error "
        "Error 520 Ray ID: 8f0e"
    )
    assert world.core.calls == ["BalanceEx"] * 5
    world.core.calls.clear()
    assert (await failed(world, retries=0)).retry_after is None
    assert world.core.calls == ["BalanceEx"]


async def test_a_slow_answer_ends_at_the_deadline(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(SLOW, times=None)
    error = await failed(world, within=3.0)
    assert str(error) == "BalanceEx failed at api.kraken.test: no answer in time"
    assert trio.current_time() == 3.0
    error = await failed(world, retries=0)
    assert str(error) == "BalanceEx failed at api.kraken.test: no answer within 10 s"
    assert trio.current_time() == 13.0


async def test_a_call_that_waits_for_its_turn_ends_at_the_deadline(autojump_clock: MockClock) -> None:
    world = World(request_timeout=100.0)
    world.breaks(SLOW, seconds=50.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.rest.call, "BalanceEx")
        await trio.sleep(1)
        assert "no answer in time" in str(await failed(world, within=3.0))
        assert trio.current_time() == 4.0


async def test_a_call_can_be_cancelled(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(SLOW, times=1)
    with trio.move_on_after(3) as scope:
        await world.rest.call("BalanceEx")
    assert scope.cancelled_caught
    assert await world.rest.call("BalanceEx") == {}


class Endless(httpx.AsyncByteStream):
    """A body of a hundred megabytes, which counts how much of it is read."""

    def __init__(self) -> None:
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.read < 100_000_000:
            await trio.lowlevel.checkpoint()
            self.read += 1_000_000
            yield b" " * 1_000_000


async def test_an_answer_without_end_is_given_up(autojump_clock: MockClock) -> None:
    stream = Endless()

    async def handle(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        return httpx.Response(200, stream=stream)

    world = World()
    world.transport.handle_async_request = handle  # type: ignore[method-assign]  # a double
    error = await failed(world, retries=0)
    assert str(error) == f"BalanceEx failed at api.kraken.test: the answer is longer than {MAX_ANSWER_BYTES} bytes"
    assert MAX_ANSWER_BYTES < stream.read < MAX_ANSWER_BYTES + 2_000_000


async def test_another_site_at_the_address_is_final(autojump_clock: MockClock) -> None:
    world = World()
    world.transport.handle_async_request = _answers(404, b"<h1>not here</h1>")  # type: ignore[method-assign]  # a double
    error = await failed(world)
    assert error.kind is ErrorKind.ADDRESS
    assert str(error).endswith("HTTP 404: not here; is this the address of the exchange's REST interface?")


async def test_what_a_peer_repeats_is_not_shown(autojump_clock: MockClock) -> None:
    world = World()
    world.transport.handle_async_request = _answers(403, f"<p>No access for {KEY}</p>".encode())  # type: ignore[method-assign]  # a double
    assert "HTTP 403: No access for <hidden>" in str(await failed(world, retries=0))
    world.core.set_key(ApiKey(key=KEY, secret=SECRET))
    answer = b'{"error":["EGeneral:Unknown key:%b"]}' % KEY.encode()
    world.transport.handle_async_request = _answers(200, answer)  # type: ignore[method-assign]  # a double
    error = await failed(world, retries=0)
    assert error.failure.errors == ("EGeneral:Unknown key:<hidden>",)


def _answers(status: int, body: bytes) -> Any:
    async def handle(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        return httpx.Response(status, content=body)

    return handle


# The network


@pytest.mark.parametrize(
    ("cause", "kind", "text"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            ErrorKind.TRANSIENT,
            "the name could not be looked up (Name",
        ),
        (ssl.SSLCertVerificationError(1, "self-signed"), ErrorKind.ADDRESS, "the certificate was refused"),
        (
            OSError(111, "Connection refused"),
            ErrorKind.TRANSIENT,
            "cannot connect to api.kraken.test:443: Connection refused; check the address",
        ),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), ErrorKind.TRANSIENT, "no answer: All attempts failed"),
        (None, ErrorKind.TRANSIENT, "no answer: All attempts failed"),
    ],
    ids=["name", "certificate", "refused", "tls", "other"],
)
async def test_what_the_network_says(
    autojump_clock: MockClock, cause: OSError | None, kind: ErrorKind, text: str
) -> None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        cause.verify_message = "self-signed certificate"

    async def handle(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        msg = "All attempts failed"
        raise httpx.ConnectError(msg, request=request) from cause

    world = World()
    world.transport.handle_async_request = handle  # type: ignore[method-assign]  # a double
    error = await failed(world, retries=0)
    assert error.kind is kind
    assert text in str(error)


async def test_an_error_without_words_is_named(autojump_clock: MockClock) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        raise httpx.ReadError("", request=request)

    world = World()
    world.transport.handle_async_request = handle  # type: ignore[method-assign]  # a double
    assert str(await failed(world, retries=0)).endswith("no answer: ReadError")


# The address


@pytest.mark.parametrize(
    "url", [URL, f"{URL}/", f"{URL}:8443", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"]
)
def test_usable_addresses(url: str) -> None:
    assert Rest(url, wall_ns=int).name == url.rstrip("/").partition("//")[2]


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("http://api.kraken.com", "only https:// keeps"),
        ("http://127.0.0.1.example.com", "only https:// keeps"),
        ("ftp://api.kraken.com", "it begins with https://"),
        ("api.kraken.com", "it begins with https://"),
        ("https://", "it begins with https://"),
        ("https://api.kraken.com:99999", "it begins with https://"),
        ("https://user:MARKED@api.kraken.com", "nothing but a host and a port"),
        ("https://api.kraken.com/0", "nothing but a host and a port"),
        ("https://api.kraken.com?a=b", "nothing but a host and a port"),
        ("https://api.kräken.com", "printable ASCII"),
        ("https://api.kraken.com\n", "printable ASCII"),
    ],
)
def test_addresses_that_are_refused(url: str, match: str) -> None:
    with pytest.raises(kt.ConnectError, match=match) as caught:
        Rest(url, wall_ns=int)
    assert not caught.value.retryable
    assert "MARKED" not in str(caught.value)


def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "kraken_trio.auth.over_httpx")
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(kt.ConnectError, match=r"pip install 'kraken-trio\[private\]'") as caught:
        Rest(wall_ns=int)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "retryable", "advice"),
    [
        ("407 {}", False, "it does not accept the user and password of its URL"),
        (
            "403 Forbidden",
            True,
            "its rules forbid that host or port: ask whoever runs it to allow api.exchange.test:443",
        ),
        ("xyz", True, ""),
    ],
    ids=["407", "403", "no status"],
)
async def test_a_proxy_that_refuses(status: str, retryable: bool, advice: str) -> None:
    """A program is told what a WebSocket's tunnel tells. The proxy's words are not shown: they may be the password."""
    password = "password-of-the-proxy"
    pair = base64.b64encode(f"user:{password}".encode()).decode()
    asked: list[bytes] = []

    async def refuse(stream: trio.SocketStream) -> None:
        async with stream:
            asked.append(bytes(await stream.receive_some()))
            await stream.send_all(f"HTTP/1.1 {status.format(pair)}\r\nContent-Length: 0\r\n\r\n".encode())

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, refuse, [listener])
        where = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        rest = Rest(
            "https://api.exchange.test",
            credentials=kt.Credentials(KEY, SECRET),
            wall_ns=lambda: 0,
            proxies=choose_proxies(f"http://user:{password}@{where}", {}),
        )
        with pytest.raises(kt.ConnectError) as info:
            await Tokens(rest).fresh(within=10.0)
        nursery.cancel_scope.cancel()
    assert asked[0].startswith(b"CONNECT api.exchange.test:443 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {pair}".encode() in asked[0]
    assert info.value.retryable is retryable
    assert info.value.proxy_status == (int(status[:3]) if advice else None)
    if advice:
        refusal = f"the proxy http://{where} did not connect to api.exchange.test:443: HTTP {status[:3]}; {advice}"
        assert refusal in str(info.value)
        assert "REST interface" not in str(info.value)
    assert not Secrets(password=password, pair=f"user:{password}").found_in(info.value)
