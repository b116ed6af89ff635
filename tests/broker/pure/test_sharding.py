"""Symbols are spread over shards evenly, and few move when their number changes."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from kraken_trio.broker.sharding import shard_of

SYMBOLS = [f"COIN{number}/{quote}" for number in range(500) for quote in ("USD", "EUR", "USDT")]
symbols = st.one_of(st.none(), st.text(min_size=1, max_size=20))


@given(symbols, st.integers(1, 40))
def test_with_a_shard_more_a_symbol_stays_or_goes_to_the_new_one(symbol: str | None, shards: int) -> None:
    before, after = shard_of(symbol, shards), shard_of(symbol, shards + 1)
    assert 0 <= before < shards
    assert after in (before, shards)


@given(symbols, st.integers(1, 40))
def test_it_is_the_largest_of_the_numbers_that_are_documented(symbol: str | None, shards: int) -> None:
    texts = [f"{shard}/{symbol or ''}".encode() for shard in range(shards)]
    numbers = [int.from_bytes(hashlib.sha256(text).digest()[:8], "big") for text in texts]
    assert shard_of(symbol, shards) == numbers.index(max(numbers))


@pytest.mark.parametrize("shards", [2, 3, 4, 8, 16])
def test_shards_have_about_as_many_symbols_each(shards: int) -> None:
    counts = Counter(shard_of(symbol, shards) for symbol in SYMBOLS)
    even = len(SYMBOLS) / shards
    # Four standard deviations of a fair choice.
    assert all(abs(counts[shard] - even) < 4 * (even * (1 - 1 / shards)) ** 0.5 for shard in range(shards))


def test_what_other_languages_must_find() -> None:
    found = {symbol: [shard_of(symbol, shards) for shards in (1, 2, 4, 8)] for symbol in ("BTC/USD", "ETH/USD", None)}
    assert found == {"BTC/USD": [0, 1, 3, 3], "ETH/USD": [0, 1, 3, 4], None: [0, 0, 3, 6]}


def test_there_is_a_shard() -> None:
    with pytest.raises(ValueError, match="at least one"):
        shard_of("BTC/USD", 0)
