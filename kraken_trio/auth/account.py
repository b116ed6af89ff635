"""What a client has of an account: tokens for its connections, and answers of the REST interface."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio

from kraken_trio._text import printable
from kraken_trio.auth.answers import RestError
from kraken_trio.auth.tokens import Tokens
from kraken_trio.errors import ProtocolError
from kraken_trio.wire.rest import Answer, named_pairs, pair_names

if TYPE_CHECKING:
    from kraken_trio.auth.rest import Rest
    from kraken_trio.wire.rest import Query

__all__ = ["RestAccount"]

_MAX_TEXT: Final = 500
_PATIENCE: Final = 90.0
"""Seconds in which a question must be answered, its repetitions included."""


class RestAccount:
    """Over REST, with the credentials of ``rest``; without them it only asks public questions.

    A :class:`kraken_trio.runtime.shell.Account`.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._tokens = Tokens(rest)
        self._symbols: dict[str, str] = {}
        self.warning: str | None = None
        """What the user should know of the key; taken by who tells it."""

    async def token(self) -> str:
        """A token for one attempt to connect. Raises :class:`~kraken_trio.ConnectError`."""
        token = await self._tokens.fresh()
        self.warning = token.warning or self.warning
        return token.value

    async def another_token(self) -> str:
        """One that has not been given before. Raises :class:`~kraken_trio.ConnectError`."""
        self._tokens.spent()
        return await self.token()

    def connected(self) -> None:
        """A connection was made with the last token."""
        self._tokens.spent()

    async def ask(self, query: Query) -> Answer:
        """Ask, and give the symbols of the pairs that the answer names."""
        limit = trio.current_time() + _PATIENCE
        try:
            result = await self._call(query.name, query.params, limit, private=query.private)
            pairs = await self._pairs(named_pairs(result), limit) if query.private else {}
        except (RestError, ProtocolError) as error:
            return Answer(error=printable(error, _MAX_TEXT))
        return Answer(result, pairs=pairs)

    async def _call(self, name: str, params: tuple[tuple[str, str], ...], limit: float, *, private: bool) -> Any:
        return await self._rest.call(name, params, private=private, within=limit - trio.current_time())

    async def _pairs(self, names: set[str], limit: float) -> dict[str, str]:
        """The symbols of these pairs; those that are not known yet are asked for."""
        new = sorted(names - self._symbols.keys())
        if new:
            params = (("pair", ",".join(new)),)
            with suppress(RestError):  # a fill without its symbol is better than none
                self._symbols |= pair_names(await self._call("AssetPairs", params, limit, private=False))
        return {name: self._symbols[name] for name in sorted(names & self._symbols.keys())}
