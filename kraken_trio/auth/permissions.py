"""What an API key may do, and which permission a call needs. Pure.

The names are those of ``GetApiKeyInfo``, the titles those on Kraken's page for API keys.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.wire.tree import text

__all__ = ["NEEDED", "READ_ONLY", "TITLES", "KeyInfo", "lacks", "read_key_info", "title"]

TITLES: Final = {
    "query-funds": "Query funds",
    "add-funds": "Deposit funds",
    "withdraw-funds": "Withdraw funds",
    "earn-funds": "Earn funds",
    "query-open-trades": "Query open orders & trades",
    "query-closed-trades": "Query closed orders & trades",
    "modify-trades": "Create & modify orders",
    "close-trades": "Cancel & close orders",
    "query-ledger": "Query ledger entries",
    "export-data": "Export data",
    "create-ws-token": "WebSocket interface",
    "add-withdraw-address": "Add withdrawal addresses",
    "update-withdraw-address": "Update withdrawal addresses",
}
READ_ONLY: Final = frozenset({
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "query-ledger",
    "export-data",
    "create-ws-token",
})  # fmt: skip
"""What a key may do that cannot change anything."""
_RISKY: Final = frozenset({
    "modify-trades",
    "close-trades",
    "withdraw-funds",
    "earn-funds",
    "add-withdraw-address",
    "update-withdraw-address",
})  # fmt: skip
NEEDED: Final = {
    "GetWebSocketsToken": "create-ws-token",
    "Balance": "query-funds",
    "BalanceEx": "query-funds",
    "TradeBalance": "query-funds",
    "OpenOrders": "query-open-trades",
    "QueryOrders": "query-open-trades",
    "QueryTrades": "query-open-trades",
    "ClosedOrders": "query-closed-trades",
    "TradesHistory": "query-closed-trades",
    "Ledgers": "query-ledger",
}
"""The permission that a call needs."""
_ALSO_CALLED: Final = {"create-ws-token": ' (also called "Access WebSockets API", and off in a new key)'}


@attrs.frozen(kw_only=True)
class KeyInfo:
    """What ``GetApiKeyInfo`` tells of a key, without the key."""

    name: str
    """The name that its owner gave it, printable."""
    permissions: frozenset[str]

    @property
    def beyond_reading(self) -> tuple[str, ...]:
        """What it may do that changes something, or that this version does not know."""
        return tuple(sorted(self.permissions - READ_ONLY))

    @property
    def warning(self) -> str | None:
        """A text for people if the key may trade or withdraw."""
        risky = sorted(self.permissions & _RISKY)
        if not risky:
            return None
        return (
            f'the API key "{self.name}" may do more than read: {", ".join(map(title, risky))}; this client needs none '
            "of it, so use another key"
        )


def title(permission: str) -> str:
    """A permission as Kraken's page for API keys names it."""
    return TITLES.get(permission, printable(permission, 40))


def lacks(call: str) -> str:
    """What a key lacks for which this call was denied."""
    needed = NEEDED.get(call)
    if needed is None:
        return "a permission"
    return f'the permission "{title(needed)}"{_ALSO_CALLED.get(needed, "")}'


def read_key_info(result: Any) -> KeyInfo | None:
    """The result of ``GetApiKeyInfo``; None for anything else."""
    if not isinstance(result, dict) or not isinstance(result.get("permissions"), list):
        return None
    permissions = frozenset(name for name in result["permissions"][:100] if isinstance(name, str))
    return KeyInfo(name=printable(text(result, "apiKeyName") or "", 40), permissions=permissions)
