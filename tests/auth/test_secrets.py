"""No secret comes out, whatever happens: marked ones are looked for in all that can be seen.

Each story runs over httpx, in memory and over real sockets. ``tests/secrets.py`` does the looking.
"""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import pytest
import trio

import kraken_trio as kt
from kraken_trio.auth.answers import RestError
from kraken_trio.auth.nonce import KeyRing
from kraken_trio.auth.rest import Rest
from kraken_trio.auth.tokens import Tokens
from kraken_trio.testing.exchange.rest import READ_ONLY, ApiKey, RestRequest, RestResponse
from kraken_trio.testing.exchange.rest_server import open_rest
from kraken_trio.testing.faults.rest import BreakRest, RestBreak
from tests.auth.world import KEY, OTP, SECRET, World
from tests.secrets import Secrets, forms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock


Seen: TypeAlias = "list[Any]"


def fault(how: RestBreak, **more: Any) -> Callable[[World], None]:
    return lambda world: world.breaks(how, times=None, **more)


def echo(status: int, page: bytes) -> Callable[[World], None]:
    """A peer that repeats what it was sent, key and signature in the headers, otp in the body."""

    def arm(world: World) -> None:
        def respond(request: RestRequest, now: float) -> RestResponse:
            sent = b" ".join(value.encode() for _, value in request.headers) + b" " + request.body
            return RestResponse(status=status, body=page % sent)

        world.core.respond = respond  # type: ignore[method-assign]  # a double

    return arm


def nothing(world: World) -> None:
    """All goes well."""


def without(*permissions: str) -> Callable[[World], None]:
    key = ApiKey(key=KEY, secret=SECRET, otp=OTP, permissions=READ_ONLY - {*permissions})
    return lambda world: world.core.set_key(key)


STORIES: dict[str, Callable[[World], None]] = {
    "success": nothing,
    "no permission": without("create-ws-token", "query-funds"),
    "trader": lambda world: world.core.set_key(
        ApiKey(key=KEY, secret=SECRET, otp=OTP, permissions=READ_ONLY | {"modify-trades"})
    ),
    "unknown key": lambda world: world.core.remove_key(KEY),
    "wrong secret": lambda world: world.core.set_key(ApiKey(key=KEY, secret="AQEB" * 22, otp=OTP)),
    "wrong otp": lambda world: world.core.set_key(ApiKey(key=KEY, secret=SECRET, otp="another one")),
    "nonce": fault(RestBreak.ERROR),
    "rate limit": fault(RestBreak.ERROR, text="EAPI:Rate limit exceeded"),
    "lockout": fault(RestBreak.ERROR, text="EGeneral:Temporary lockout"),
    "unknown error": fault(RestBreak.ERROR, text="EGeneral:Whatever"),
    "html": fault(RestBreak.HTML),
    "empty": fault(RestBreak.EMPTY),
    "no token": fault(RestBreak.NO_RESULT_KEY),
    "slow": fault(RestBreak.SLOW),
    "reset": fault(RestBreak.RESET),
    "cut": fault(RestBreak.CUT),
    "endless": fault(RestBreak.ENDLESS),
    "echo in a page": echo(502, b"<html>you sent %b</html>"),
    "echo as text": echo(200, b"you sent %b"),
    "echo in an error": echo(200, b'{"error":["EGeneral:no %b"]}'),
    "echo as JSON": echo(200, b'{"token":"%b"'),
    "echo as token": echo(200, b'{"error":[],"result":{"token":"\xff%b"}}'),
    "echo at the wrong address": echo(404, b"%b"),
}


async def act(rest: Rest, secrets: Secrets, within: float) -> Seen:
    """Everything that a client does, with what can be seen of it; results are not shown by anybody."""
    seen: Seen = []

    async def attempt(work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await work()
        except (kt.ConnectError, RestError) as error:
            seen.append(error)
        except trio.Cancelled as cancelled:
            seen.append(cancelled)
            raise

    tokens = Tokens(rest)
    token = await attempt(lambda: tokens.fresh(within=within))
    if token is not None:
        secrets.add(token=token.value)
        seen += [token, token.warning, vars(tokens)]
    await attempt(lambda: rest.call("BalanceEx", within=within, retries=0))
    await attempt(lambda: rest.call("AddOrder", [("pair", "XBTUSD")], within=within, retries=0))
    with trio.move_on_after(0.01):
        await attempt(lambda: rest.call("GetApiKeyInfo"))
    seen += [rest, tokens, tokens.key_info, vars(rest), rest.credentials]
    return seen


def watched(world: World) -> Secrets:
    """Secrets, to which the signatures and tokens are added that the exchange sees and issues."""
    secrets = Secrets(key=KEY, secret=SECRET, otp=OTP)
    respond, issue = world.core.respond, world.core.tokens.issue

    def note(request: RestRequest, now: float) -> RestResponse:
        secrets.add(**{f"signature {len(secrets.values)}": request.header("API-Sign")})
        return respond(request, now)

    def issued(now: float) -> str:
        token = issue(now)
        secrets.add(**{f"token {len(secrets.values)}": token})
        return token

    world.core.respond, world.core.tokens.issue = note, issued  # type: ignore[method-assign]  # a double
    return secrets


def prepared(story: str) -> tuple[World, Secrets]:
    world = World(otp=OTP, credentials=kt.Credentials(KEY, SECRET, OTP))
    STORIES[story](world)
    return world, watched(world)


@pytest.mark.parametrize("story", STORIES)
async def test_in_memory(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], story: str
) -> None:
    caplog.set_level(logging.NOTSET)
    world, secrets = prepared(story)
    seen = await act(world.rest, secrets, within=20.0)
    assert len(secrets.values) > 3  # something was signed
    assert secrets.found_in(*seen, *caplog.records, *capfd.readouterr()) == []


@pytest.mark.parametrize("story", [story for story in STORIES if story not in {"slow", "rate limit", "endless"}])
async def test_over_sockets(caplog: pytest.LogCaptureFixture, story: str) -> None:
    """With the logs of httpx and httpcore, at all levels."""
    caplog.set_level(logging.NOTSET)
    world, secrets = prepared(story)
    async with open_rest(world.core) as url:
        rest = Rest(url, credentials=world.rest.credentials, wall_ns=world.wall_ns, keys=KeyRing())
        seen = await act(rest, secrets, within=5.0)
    assert len(secrets.values) > 3  # requests came through
    assert [record for record in caplog.records if record.name.startswith("httpcore")]
    assert secrets.found_in(*seen, *caplog.records) == []


async def test_a_call_that_is_cancelled(autojump_clock: MockClock) -> None:
    """At every moment: before, in, and after the request."""
    for moment in (0.0, 0.5, 1.5, 2.5):
        world = World(otp=OTP, credentials=kt.Credentials(KEY, SECRET, OTP), latency=1.0)
        secrets = watched(world)
        world.core.inject(BreakRest(how=RestBreak.SLOW, seconds=1.0))
        seen: Seen = []
        with trio.move_on_after(moment):
            try:
                await world.tokens.fresh()
            except trio.Cancelled as cancelled:
                seen.append(cancelled)
                raise
        assert len(seen) == 1
        assert secrets.found_in(*seen) == []


# The search itself


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"x{SECRET}y",
        SECRET.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        SECRET.encode().hex(),
        base64.b64decode(SECRET).hex().upper(),
        base64.b64encode(b"API-Key:" + SECRET.encode() + b";more").decode(),
        base64.b64encode(b"k:" + SECRET.encode()).decode(),
        repr(base64.b64decode(SECRET)),
        base64.b64decode(SECRET),
    ],
    ids=["plain", "inside", "quoted", "hex", "hex of bytes", "base64", "base64 at another place", "repr", "bytes"],
)
def test_a_secret_is_found_in_every_form(text: str | bytes) -> None:
    if isinstance(text, str) and text.isupper():
        text = text.lower()
    assert Secrets(secret=SECRET).in_text(text) == {"secret"}


def test_what_is_no_secret_is_not_found() -> None:
    assert Secrets(secret=SECRET, key=KEY).in_text("<Credentials kQ7v…> said nothing of it") == set()
    assert len(forms(SECRET)) > 8


def caught(work: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as found:
        work()
    return found.value


def leaky(where: str) -> None:
    """Raises an exception that shows a secret."""
    if where == "context":
        try:
            raise KeyError(SECRET)
        except KeyError:
            raise ValueError("hidden") from None
    error = ValueError(SECRET if where in {"text", "group"} else "hidden")
    if where == "note":
        error.add_note(SECRET)
    if where == "attribute":
        error.request = {"headers": [("API-Key", SECRET)]}  # type: ignore[attr-defined]  # as httpx does
    raise ExceptionGroup("group", [error]) if where == "group" else error


@pytest.mark.parametrize("where", ["text", "context", "note", "attribute", "group"])
def test_a_secret_is_found_in_an_exception(where: str) -> None:
    assert Secrets(secret=SECRET).found_in(caught(lambda: leaky(where))) != []


def test_a_secret_is_found_in_the_locals_of_our_frames() -> None:
    error = caught(lambda: kt.Credentials.from_env(prefix=SECRET))
    lines = Secrets(s=SECRET).found_in(error)
    assert any("the local prefix of credentials.py:from_env" in line for line in lines)


def test_an_exception_of_httpx_is_found() -> None:
    def work() -> None:
        try:
            raise httpx.ReadError("x", request=httpx.Request("POST", "https://a", headers={"API-Key": KEY}))
        except httpx.ReadError:
            raise ValueError("y") from None

    assert "a ReadError of httpx in the chain of a ValueError" in Secrets(key=KEY).found_in(caught(work))
