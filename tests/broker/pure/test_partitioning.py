"""Keys are in the partitions in which Kafka's own clients look for them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kraken_trio.broker.partitioning import _murmur2, partition_of

KAFKAS_OWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""From the tests of Kafka's client for Java."""


@pytest.mark.parametrize("key", KAFKAS_OWN)
def test_the_hash_is_that_of_kafkas_client_for_java(key: bytes) -> None:
    assert _murmur2(key) == KAFKAS_OWN[key] % 2**32


@given(st.binary(max_size=40), st.integers(1, 1000))
def test_each_key_has_one_partition(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == partition_of(bytes(bytearray(key)), partitions)
    assert 0 <= partition_of(key, partitions) < partitions


def test_keys_are_spread() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[partition_of(b"SYM%d%%2FUSD" % number, 8)] += 1
    assert min(counts) > 800
