"""WebSocket tokens, as the exchange keeps them: issued by its REST side, checked by its channels."""

from __future__ import annotations

import base64
from random import Random

import attrs

from kraken_trio.testing import checks

__all__ = ["INVALID_SESSION", "INVALID_TOKEN", "LIFETIME", "NO_TOKEN", "Tokens"]

LIFETIME = 900.0
"""Seconds in which a new token must be used for the first time."""
NO_TOKEN = "Token(s) not found"  # noqa: S105 (an answer, not a token)
"""The answer to a request without a token."""
INVALID_TOKEN = "EAPI:Invalid token"  # noqa: S105 (an answer, not a token)
"""The answer to a token that is unknown, expired or revoked."""
INVALID_SESSION = "ESession:Invalid session"
"""What Kraken sometimes answers instead."""


@attrs.define
class _Token:
    issued: float
    used: bool = False
    uses: int = 0
    """The number of subscriptions made with it that are in force."""


class Tokens:
    """The register of all tokens. Pure: times are arguments, in seconds of any monotonic clock.

    A token is valid for ``lifetime`` seconds. Once used, it stays valid while a subscription made with it is in
    force; afterwards it is dead, or good again for its lifetime if ``reusable``.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        lifetime: float = LIFETIME,
        refusal: str = INVALID_TOKEN,
        reusable: bool = False,
    ) -> None:
        checks.seed("seed", seed)
        checks.seconds("lifetime", lifetime)
        checks.text("an answer")("refusal", refusal)
        checks.boolean("reusable", reusable)
        self.lifetime: float = lifetime
        self.refusal: str = refusal
        """The answer to an invalid token: :data:`INVALID_TOKEN` or :data:`INVALID_SESSION`."""
        self.reusable: bool = reusable
        self.issued: int = 0
        """The number of tokens so far."""
        self._random = Random(f"{seed}/tokens")  # noqa: S311 (the same seed gives the same tokens)
        self._tokens: dict[str, _Token] = {}

    def issue(self, now: float) -> str:
        """A new token."""
        text = base64.b64encode(self._random.randbytes(32)).decode()
        self._tokens[text] = _Token(now)
        self.issued += 1
        return text

    def check(self, token: object, now: float) -> str | None:
        """Why a request with this token is refused; None if it is not. A missing token is None."""
        if token is None:
            return NO_TOKEN
        known = self._tokens.get(token) if isinstance(token, str) else None
        return None if known is not None and self._is_valid(known, now) else self.refusal

    def _is_valid(self, token: _Token, now: float) -> bool:
        if token.uses:
            return True
        return (self.reusable or not token.used) and now - token.issued <= self.lifetime

    def hold(self, token: str) -> None:
        """A subscription was made with this token."""
        known = self._tokens[token]
        known.used = True
        known.uses += 1

    def release(self, token: str) -> None:
        """A subscription that was made with this token has ended."""
        known = self._tokens.get(token)
        if known is not None:  # it may have been revoked meanwhile
            known.uses -= 1

    def revoke_all(self) -> None:
        """Make every token invalid; subscriptions in force go on."""
        self._tokens.clear()
