"""The tokens of a client: one per connection attempt."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

import trio

from kraken_trio.auth.answers import ErrorKind, RestError, is_denied
from kraken_trio.auth.concealed import Concealed
from kraken_trio.auth.permissions import NEEDED, KeyInfo, read_key_info, title
from kraken_trio.errors import ConnectError, KeyRefused

if TYPE_CHECKING:
    from kraken_trio.auth.rest import Rest

__all__ = ["LIFETIME", "Token", "Tokens"]

LIFETIME: Final = 900.0
"""Seconds in which a token must be used."""
_INFO_PATIENCE: Final = 3.0
"""Seconds to wait for what the key may do: a connection is worth more than a warning."""
_CALL: Final = "GetWebSocketsToken"
_CHANGE: Final = "change it at https://www.kraken.com/u/security/api, or make another"


class Token(Concealed):
    """A token. Only :attr:`value` shows it."""

    __slots__ = ("use_before", "value", "warning")

    value: str
    """For a frame that is sent, and for nothing else."""
    use_before: float
    """Until then (Trio's clock) it can be kept for another attempt to connect: half of its lifetime."""
    warning: str | None
    """A text to be logged: the key may do more than read. Told once per client."""

    def __init__(self, value: str, use_before: float, warning: str | None = None) -> None:
        self._set(value=value, use_before=use_before, warning=warning)


class Tokens:
    """Fetches tokens for a client, and tells what is wrong with its key."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._kept: Token | None = None
        self._is_checked = False
        self.key_info: KeyInfo | None = None
        """What the exchange has told of the key; None as long as it has not."""

    async def fresh(self, *, within: float = inf) -> Token:
        """A token that was not sent yet: the last one, if it is young enough, or a new one.

        Raises :class:`~kraken_trio.ConnectError` if there is none ``within`` this many seconds: ``retryable=False`` if
        the key has to be changed.
        """
        deadline = trio.current_time() + within
        kept = self._kept
        if kept is not None and trio.current_time() < kept.use_before:  # mutant: token kept for a while
            await trio.lowlevel.checkpoint()
            return kept
        self._kept = None
        asked = trio.current_time()
        result, error = await self._ask(_CALL, within)
        if error is not None:
            raise await self._refused(error, deadline)
        token = result.get("token") if isinstance(result, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            token = result = None
            msg = f"{self._rest.name} answered {_CALL} without a token"
            raise ConnectError(msg)
        expires = result.get("expires")
        is_usable = isinstance(expires, int) and not isinstance(expires, bool) and 0 < expires < LIFETIME
        use_before = asked + (expires if is_usable else LIFETIME) / 2
        result = None
        self._kept = Token(token, use_before)
        token = None
        warning = await self._check(deadline)
        return Token(self._kept.value, use_before, warning)

    def spent(self) -> None:
        """The token was sent, or the exchange has refused it: the next connection attempt gets another."""
        self._kept = None

    async def _ask(self, call: str, within: float) -> tuple[Any, RestError | None]:
        try:
            return await self._rest.call(call, within=within, retries=0), None
        except RestError as error:
            return None, error

    async def _check(self, deadline: float) -> str | None:
        """Look at what the key may do, once. Returns a warning, if there is one to give."""
        credentials = self._rest.credentials
        strict = credentials is not None and credentials.require_read_only
        if self._is_checked:
            return None
        left = deadline - trio.current_time()
        info = await self._look(left if strict else min(_INFO_PATIENCE, left / 2))
        if strict and (info is None or info.beyond_reading):  # mutant: only reading
            self._kept = None
            if info is None:
                msg = (
                    f"require_read_only=True, and {self._rest.name} does not tell what the key {self._hint} may do: "
                    "it is not used"
                )
                raise ConnectError(msg)
            what = ", ".join(map(title, info.beyond_reading))
            msg = f"require_read_only=True, but the key {self._hint} may do more than read: {what}; {_CHANGE}"
            raise KeyRefused(msg, retryable=False)
        if info is None:
            return None
        self._is_checked = True
        return info.warning

    async def _look(self, patience: float) -> KeyInfo | None:
        """What the key may do; None if the exchange does not tell it in time."""
        result, error = await self._ask("GetApiKeyInfo", max(patience, 0.0))
        if error is not None and error.kind is ErrorKind.FINAL:
            self._is_checked = True  # it never tells
        info = read_key_info(result)
        if info is not None:
            self.key_info = info
        return info

    async def _refused(self, error: RestError, deadline: float) -> ConnectError:
        """The error to raise: it names the missing permission, if the exchange tells it."""
        text, kind = str(error), error.kind
        if kind is ErrorKind.FATAL and any(map(is_denied, error.failure.errors)):
            info = await self._look(min(_INFO_PATIENCE, (deadline - trio.current_time()) / 2))
            if info is not None:
                text = f"{self._rest.name} denied a token ({error.failure.text}): {self._why_denied(info)}"
        refused = KeyRefused if kind is ErrorKind.FATAL else ConnectError
        return refused(
            text,
            status=error.failure.status,
            retry_after=error.retry_after,
            retryable=kind not in {ErrorKind.FATAL, ErrorKind.ADDRESS},
            proxy_status=error.failure.proxy_status,
        )

    def _why_denied(self, info: KeyInfo) -> str:
        needed = NEEDED[_CALL]
        if needed in info.permissions:
            return (
                f"the key {self._hint} has the permission, so it may have a second factor, which needs an otp; or its "
                "account may not do this"
            )
        has = ", ".join(sorted(map(title, info.permissions))) or "none"
        return f'the key {self._hint} lacks the permission "{title(needed)}" (it has: {has}); {_CHANGE}'

    @property
    def _hint(self) -> str:
        return "" if self._rest.credentials is None else self._rest.credentials.hint
