"""The WebSocket tokens of the fake exchange: issued by its REST interface, checked by its private connections. Pure."""

from __future__ import annotations

from base64 import b64encode
from random import Random
from typing import Final

import attrs

__all__ = ["TOKEN_LIFETIME", "TokenRegister"]

TOKEN_LIFETIME: Final = 900.0
"""Seconds in which a token must be used."""


@attrs.define
class _Issued:
    key: str
    issued: float
    was_used: bool = False
    connections: set[int] = attrs.Factory(set)


class TokenRegister:
    """All tokens. One that was used lives as long as a connection on which it was used.

    ``strict``: it is dead after that; otherwise it is still good, as some users of the real exchange report.
    ``refusal`` is the text for a token that is not good.
    """

    def __init__(self, *, seed: int = 0, strict: bool = True, refusal: str = "EAPI:Invalid token") -> None:
        self.strict: bool = strict
        self.refusal: str = refusal
        self._random = Random(f"tokens of {seed}")  # noqa: S311 (of a fake exchange)
        self._issued: dict[str, _Issued] = {}

    def issue(self, key: str, now: float) -> str:
        """A new token for a key. Older ones stay as they are."""
        token = b64encode(self._random.randbytes(32)).decode("ascii")
        self._issued[token] = _Issued(key, now)
        return token

    def use(self, token: object, connection: int, now: float) -> str | None:
        """Use a token for a request on a connection: None if it is good, else the refusal."""
        if token is None or token == "":
            return "Token(s) not found"
        found = self._issued.get(token) if isinstance(token, str) else None
        if found is None or not self._is_good(found, now):
            return self.refusal
        found.was_used = True
        found.connections.add(connection)
        return None

    def _is_good(self, token: _Issued, now: float) -> bool:
        if not token.was_used:
            return now - token.issued <= TOKEN_LIFETIME
        return bool(token.connections) or not self.strict

    def key_of(self, token: str) -> str | None:
        """The API key for which a token was issued."""
        found = self._issued.get(token)
        return None if found is None else found.key

    def release(self, connection: int) -> None:
        """A connection has ended, or has no private subscription any more."""
        for token in self._issued.values():
            token.connections.discard(connection)

    def void(self) -> None:
        """Make all tokens bad, as an upgrade of the exchange does. Running subscriptions are not touched."""
        self._issued.clear()
