"""What a key may do."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_trio.auth.permissions import NEEDED, READ_ONLY, TITLES, KeyInfo, lacks, read_key_info, title
from kraken_trio.testing.exchange import rest

DOCUMENTED: dict[str, Any] = {
    "apiKeyName": "my-api-key",
    "apiKey": "4/SDrDBcOOPnm3nPlNfEMMJDeRcIVqPz+QhRxIodyZbI9po/aVRiHsgX",
    "nonce": "1772627060997",
    "nonceWindow": 0,
    "permissions": ["query-funds", "withdraw-funds", "query-open-trades", "modify-trades"],
    "iban": "AA88 N84G WOAK NMOI",
    "ipAllowlist": [],
}


def test_the_documented_answer_is_read_without_the_key() -> None:
    info = read_key_info(DOCUMENTED)
    assert info == KeyInfo(name="my-api-key", permissions=frozenset(DOCUMENTED["permissions"]))
    assert info.beyond_reading == ("modify-trades", "withdraw-funds")
    assert info.warning == (
        'the API key "my-api-key" may do more than read: Create & modify orders, Withdraw funds; this client needs '
        "none of it, so use another key"
    )


@pytest.mark.parametrize("other", [None, [], {}, {"permissions": "query-funds"}, {"permissions": None}])
def test_something_else_is_not_taken_for_it(other: Any) -> None:
    assert read_key_info(other) is None


def test_hostile_values() -> None:
    info = read_key_info({"apiKeyName": "\x1b[2J" * 50, "permissions": [1, None, *map(str, range(200))]})
    assert info is not None
    assert info.name.isprintable()
    assert len(info.name) <= 40
    assert len(info.permissions) == 98


def test_a_key_that_only_reads_needs_no_warning() -> None:
    info = KeyInfo(name="k", permissions=READ_ONLY)
    assert info.warning is None
    assert info.beyond_reading == ()


def test_what_this_version_does_not_know_is_not_taken_for_reading() -> None:
    info = KeyInfo(name="k", permissions=frozenset({"query-funds", "launch-missiles", "add-funds"}))
    assert info.beyond_reading == ("add-funds", "launch-missiles")
    assert info.warning is None
    assert title("launch-missiles\n") == "launch-missiles\\n"


def test_what_a_call_needs() -> None:
    assert lacks("TradesHistory") == 'the permission "Query closed orders & trades"'
    assert lacks("GetWebSocketsToken") == (
        'the permission "WebSocket interface" (also called "Access WebSockets API", and off in a new key)'
    )
    assert lacks("Whatever") == "a permission"
    assert set(NEEDED.values()) <= READ_ONLY <= TITLES.keys()
    assert rest.READ_ONLY <= READ_ONLY
