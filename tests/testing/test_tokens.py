"""The register of WebSocket tokens."""

from __future__ import annotations

from kraken_trio.testing.exchange.tokens import INVALID_SESSION, INVALID_TOKEN, LIFETIME, NO_TOKEN, Tokens


def test_a_new_token_is_good_until_its_lifetime_is_over() -> None:
    tokens = Tokens()
    token = tokens.issue(5.0)
    assert tokens.check(token, 5.0) is None
    assert tokens.check(token, 5.0 + LIFETIME) is None
    assert tokens.check(token, 5.1 + LIFETIME) == INVALID_TOKEN


def test_a_missing_token_and_an_unknown_one_are_told_apart() -> None:
    tokens = Tokens(refusal=INVALID_SESSION)
    assert tokens.check(None, 0.0) == NO_TOKEN
    assert tokens.check("what", 0.0) == tokens.check(7, 0.0) == tokens.check("", 0.0) == INVALID_SESSION


def test_a_used_token_lives_as_long_as_its_last_subscription() -> None:
    tokens = Tokens()
    token = tokens.issue(0.0)
    tokens.hold(token)
    tokens.hold(token)
    tokens.release(token)
    assert tokens.check(token, 10 * LIFETIME) is None
    tokens.release(token)
    assert tokens.check(token, 1.0) == INVALID_TOKEN


def test_a_used_token_may_be_good_again() -> None:
    tokens = Tokens(reusable=True)
    token = tokens.issue(0.0)
    tokens.hold(token)
    tokens.release(token)
    assert tokens.check(token, LIFETIME) is None
    assert tokens.check(token, LIFETIME + 1) == INVALID_TOKEN


def test_revoked_tokens_are_unknown_even_while_used() -> None:
    tokens = Tokens()
    token = tokens.issue(0.0)
    tokens.hold(token)
    tokens.revoke_all()
    tokens.release(token)
    assert tokens.check(token, 0.0) == INVALID_TOKEN


def test_every_token_is_another_and_a_seed_repeats_them() -> None:
    one, same, other = Tokens(1), Tokens(1), Tokens(2)
    issued = [one.issue(0.0) for _ in range(20)]
    assert issued == [same.issue(9.0) for _ in range(20)]
    assert len({*issued, other.issue(0.0)}) == 21
    assert one.issued == 20
