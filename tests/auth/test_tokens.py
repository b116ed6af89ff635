"""Tokens: one per connection attempt, and what is said when there is none."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

import kraken_trio as kt
from kraken_trio.auth.tokens import LIFETIME, Token, Tokens
from kraken_trio.testing.exchange.rest import READ_ONLY, ApiKey
from kraken_trio.testing.faults.rest import RestBreak
from tests.auth.world import KEY, OTP, SECRET, World

if TYPE_CHECKING:
    from trio.testing import MockClock

TOKEN, INFO = "GetWebSocketsToken", "GetApiKeyInfo"
ERROR = RestBreak.ERROR
TRADER = READ_ONLY | {"modify-trades", "withdraw-funds"}


def strict() -> kt.Credentials:
    return kt.Credentials(KEY, SECRET, require_read_only=True)


async def refused(world: World, **more: Any) -> kt.ConnectError:
    with pytest.raises(kt.ConnectError) as caught:
        await world.tokens.fresh(**more)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


async def test_a_token_is_good_at_the_exchange(autojump_clock: MockClock) -> None:
    world = World()
    token = await world.tokens.fresh()
    assert world.core.tokens.check(token.value, trio.current_time()) is None
    assert (repr(token), token.warning) == ("<Token>", None)
    assert world.core.calls == [TOKEN, INFO]
    assert world.tokens.key_info is not None
    assert world.tokens.key_info.permissions == READ_ONLY


async def test_a_token_that_was_not_sent_is_kept_for_half_of_its_life(autojump_clock: MockClock) -> None:
    """While TCP or the upgrade fails, no call is made for each attempt: that would use up the rate limit."""
    world = World()
    first = await world.tokens.fresh()
    await trio.sleep(LIFETIME / 2 - 1)
    assert (await world.tokens.fresh()).value == first.value
    await trio.sleep(1)
    second = await world.tokens.fresh()
    assert second.value != first.value
    assert world.core.calls == [TOKEN, INFO, TOKEN]


async def test_a_token_that_was_sent_is_not_given_again(autojump_clock: MockClock) -> None:
    world = World()
    first = await world.tokens.fresh()
    world.tokens.spent()
    assert (await world.tokens.fresh()).value != first.value
    world.tokens.spent()
    world.tokens.spent()


@pytest.mark.parametrize(
    ("expires", "kept"),
    [(100, 50.0), (900, 450.0), (9000, 450.0), (0, 450.0), (-5, 450.0), ("x", 450.0), (True, 450.0), (None, 450.0)],
    ids=str,
)
async def test_the_exchange_may_shorten_its_life(autojump_clock: MockClock, expires: Any, kept: float) -> None:
    class Fixed:
        name, credentials = "here", None

        async def call(self, name: str, **more: Any) -> Any:
            await trio.lowlevel.checkpoint()
            return {"token": "abcdefgh", "expires": expires}

    token = await Tokens(Fixed()).fresh()  # type: ignore[arg-type]  # a double
    assert token.use_before == kept


@pytest.mark.parametrize(
    "result",
    [{"expires": 900}, {"token": ""}, {"token": 5}, {"token": "a\nb"}, {"token": "ä"}, None, [], "token"],
    ids=["none", "empty", "number", "newline", "letter", "null", "list", "text"],
)
async def test_a_result_without_a_token(autojump_clock: MockClock, result: Any) -> None:
    world = World()
    body = json.dumps({"error": [], "result": result})
    world.breaks(RestBreak.NO_RESULT_KEY)
    if "expires" not in (result or ""):
        original = world.core.respond
        world.core.respond = lambda *args: attrs.evolve(original(*args), body=body.encode())  # type: ignore[method-assign]  # a double
    error = await refused(world)
    assert str(error) == "api.kraken.test answered GetWebSocketsToken without a token"
    assert error.retryable


# What the key may do


async def test_a_key_that_may_trade_is_warned_about_once(autojump_clock: MockClock) -> None:
    world = World(permissions=TRADER)
    token = await world.tokens.fresh()
    assert token.warning == (
        'the API key "test key" may do more than read: Create & modify orders, Withdraw funds; this client needs none '
        "of it, so use another key"
    )
    assert (await world.tokens.fresh()).warning is None
    world.tokens.spent()
    assert (await world.tokens.fresh()).warning is None
    assert world.core.calls == [TOKEN, INFO, TOKEN]


async def test_a_key_that_may_trade_is_refused_if_it_must_be_read_only(autojump_clock: MockClock) -> None:
    world = World(permissions=TRADER, credentials=strict())
    for _ in range(2):
        error = await refused(world)
        assert not error.retryable
        assert "the key kQ7v… may do more than read: Create & modify orders, Withdraw funds; change it at" in str(error)
    world.core.set_key(ApiKey(key=KEY, secret=SECRET))
    assert (await world.tokens.fresh()).warning is None


async def test_a_key_that_must_be_read_only_and_cannot_be_checked_is_not_used(autojump_clock: MockClock) -> None:
    world = World(credentials=strict())
    world.breaks(RestBreak.HTML, call=INFO, times=1)
    error = await refused(world, within=10.0)
    assert error.retryable
    assert "does not tell what the key kQ7v… may do: it is not used" in str(error)
    assert (await world.tokens.fresh()).warning is None
    assert world.core.calls == [TOKEN, INFO, TOKEN, INFO]


async def test_without_key_info_it_goes_on(autojump_clock: MockClock) -> None:
    """It is asked again with the next token, unless the exchange does not know the call."""
    world = World(permissions=TRADER)
    world.breaks(RestBreak.SLOW, call=INFO)
    assert (await world.tokens.fresh(within=10.0)).warning is None
    assert trio.current_time() == 3.0
    world.breaks(ERROR, call=INFO, text="EGeneral:Unknown method")
    world.tokens.spent()
    assert (await world.tokens.fresh()).warning is None
    world.tokens.spent()
    assert (await world.tokens.fresh()).warning is None
    assert world.core.calls == [TOKEN, INFO, TOKEN, INFO, TOKEN]


async def test_looking_at_the_key_takes_no_more_than_half_of_the_time(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(RestBreak.SLOW, call=INFO)
    await world.tokens.fresh(within=2.0)
    assert trio.current_time() == 1.0


# Refusals


async def test_a_missing_permission_is_named(autojump_clock: MockClock) -> None:
    world = World(permissions=frozenset({"query-funds"}))
    error = await refused(world)
    assert not error.retryable
    assert str(error) == (
        "api.kraken.test denied a token (EGeneral:Permission denied): the key kQ7v… lacks the permission "
        '"WebSocket interface" (it has: Query funds); change it at https://www.kraken.com/u/security/api, or make '
        "another"
    )
    assert world.core.calls == [TOKEN, INFO]


async def test_a_missing_permission_is_named_without_key_info_too(autojump_clock: MockClock) -> None:
    world = World(permissions=frozenset())
    world.breaks(RestBreak.EMPTY, call=INFO)
    error = await refused(world)
    assert not error.retryable
    assert 'lacks the permission "WebSocket interface" (also called "Access WebSockets API", and off in' in str(error)


async def test_a_denial_in_spite_of_the_permission(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(ERROR, call=TOKEN, text="EAccount:Invalid permissions:XX")
    error = await refused(world)
    assert not error.retryable
    assert "the key kQ7v… has the permission, so it may have a second factor, which needs an otp; or its" in str(error)


@pytest.mark.parametrize(
    ("credentials", "match"),
    [
        (kt.Credentials("unknown-key-56", SECRET), "EAPI:Invalid key; check that the key unkn…"),
        (kt.Credentials(KEY, "AQEB" * 22), "EAPI:Invalid signature; the secret is not that of the key kQ7v…"),
    ],
    ids=["key", "secret"],
)
async def test_wrong_credentials_end_it_after_one_call(
    autojump_clock: MockClock, credentials: kt.Credentials, match: str
) -> None:
    """Nothing else is asked: five wrong keys in a row lock everybody out."""
    world = World(credentials=credentials)
    error = await refused(world)
    assert not error.retryable
    assert match in str(error)
    assert world.core.calls == [TOKEN]


@pytest.mark.parametrize(
    ("text", "calls", "retry_after"),
    [
        ("EAPI:Invalid nonce", 2, None),
        ("EAPI:Rate limit exceeded", 3, 12.0),
        ("EGeneral:Temporary lockout", 1, 900.0),
        ("EService:Unavailable", 1, None),
        ("EGeneral:Invalid arguments", 1, None),
    ],
)
async def test_what_may_pass_can_be_retried(
    autojump_clock: MockClock, text: str, calls: int, retry_after: float | None
) -> None:
    world = World()
    world.breaks(ERROR, text=text, times=None)
    error = await refused(world, within=10.0)
    assert text in str(error)
    assert (error.retryable, error.status, error.retry_after) == (True, None, retry_after)
    assert world.core.calls == [TOKEN] * calls


async def test_the_front_end_is_down(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(RestBreak.HTML)
    error = await refused(world)
    assert (error.retryable, error.status) == (True, 520)
    assert (await world.tokens.fresh()).value


async def test_an_answer_that_does_not_come_in_time(autojump_clock: MockClock) -> None:
    world = World()
    world.breaks(RestBreak.SLOW)
    error = await refused(world, within=4.0)
    assert error.retryable
    assert "GetWebSocketsToken failed at api.kraken.test: no answer in time" in str(error)
    assert trio.current_time() == 4.0


async def test_a_second_factor_by_a_function(autojump_clock: MockClock) -> None:
    world = World(otp=OTP, credentials=kt.Credentials(KEY, SECRET, lambda: OTP))
    assert (await world.tokens.fresh()).value


def test_a_token_shows_nothing() -> None:
    token = Token(base64.b64encode(b"a marked token").decode(), 1.0)
    assert repr(token) == str(token) == f"{token}" == "<Token>"


async def test_a_token_that_expires_before_it_is_used(autojump_clock: MockClock) -> None:
    """The exchange refuses it; told that it is spent, the next one is fresh."""
    world = World()
    token = await world.tokens.fresh()
    await trio.sleep(LIFETIME + 1)
    assert world.core.tokens.check(token.value, trio.current_time()) == "EAPI:Invalid token"
    world.tokens.spent()
    again = await world.tokens.fresh()
    assert world.core.tokens.check(again.value, trio.current_time()) is None
