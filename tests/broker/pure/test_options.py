"""What stands after the ? of a broker's URL."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kraken_trio.broker.options import duration, one_of, parse_options, size, whole

KNOWN = {"max_age": duration, "max_bytes": size, "replicas": whole(5), "storage": one_of("file", "memory")}


def test_each_option_is_read_in_its_unit() -> None:
    query = "max_age=2h&max_bytes=3GiB&replicas=5&storage=memory"
    assert parse_options(query, KNOWN, "") == {
        "max_age": 7200,
        "max_bytes": 3 << 30,
        "replicas": 5,
        "storage": "memory",
    }
    assert parse_options("", KNOWN, "") == {}


@given(st.integers(1, 10**9 - 1), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_times(number: int, unit: tuple[str, int]) -> None:
    assert duration(f"{number}{unit[0]}") == number * unit[1]


@given(st.integers(1, 10**9 - 1), st.sampled_from([("MiB", 20), ("GiB", 30), ("TiB", 40)]))
def test_sizes(number: int, unit: tuple[str, int]) -> None:
    assert size(f"{number}{unit[0]}") == number << unit[1]


@pytest.mark.parametrize(
    "query",
    [
        "max_age=0s", "max_age=1w", "max_age=1", "max_age=٣s", "max_bytes=5", "max_bytes=1MB", "replicas=0",
        "replicas=6", "replicas=x", "storage=tape", "else=1", "max_age=",
    ],
)  # fmt: skip
def test_what_is_none_of_them_is_told_with_an_example(query: str) -> None:
    with pytest.raises(ValueError, match=r"is none of max_age=24h$"):
        parse_options(query, KNOWN, "max_age=24h")


def test_a_query_without_values_is_told_likewise() -> None:
    with pytest.raises(ValueError, match=r"^after the \? stand max_age=24h$"):
        parse_options("max_age", KNOWN, "max_age=24h")
