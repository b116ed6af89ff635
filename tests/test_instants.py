"""Moments with nine digits of a second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from kraken_trio import ProtocolError
from kraken_trio._instants import instant, instant_ns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(-(10**18), 10**19), st.integers(0, 9))
def test_all_digits_count(ns: int, places: int) -> None:
    seconds, rest = divmod(ns, 10**9)
    rest -= rest % 10 ** (9 - places)
    part = f".{rest:09}"[: places + 1] if places else ""
    text = f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}{part}Z".rjust(21 + len(part) - 1, "0")
    assert instant_ns(text) == seconds * 10**9 + rest
    assert instant(text) == EPOCH + timedelta(seconds=seconds, microseconds=rest // 1000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00Z\n",
        "\uff12026-01-01T00:00:00Z",
        7,
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="not a time"):
        instant_ns(text)
