"""Numbers are whole, or shortened with their unit, or left out; and every mark has an ASCII one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given, strategies as st

from kraken_trio.cli.formatting import ASCII_FALLBACK, ascii_text, clock, counted, listed, shortened
from tests.cli.numbers import numbers, says

decimals = st.decimals(min_value=-(10**20), max_value=10**20, places=10) | st.sampled_from(["5.4E-7", "1E+15"]).map(
    Decimal
)


@given(decimals | st.integers(0, 10**15), st.integers(1, 30))
@example(Decimal("101010101010101010.10101011"), 7)
@example(Decimal("999999.99"), 6)
@example(Decimal("999500.5"), 4)
@example(999_999, 4)
def test_a_number_is_whole_or_has_a_unit_or_is_left_out(value: Decimal | int, width: int) -> None:
    text = shortened(value, width)
    assert len(text) <= width
    whole = f"{value:,}" if isinstance(value, int) else f"{value:f}"
    if text and text != whole:
        assert len(whole) > width
        assert numbers(text) == [text]
        assert says(text, [Decimal(value)])
        assert text[-1] in "kMBT"


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (Decimal("11634.5"), 7, "11634.5"),
        (Decimal("11634.5"), 6, "11.63k"),
        (Decimal("11634.5"), 5, "11.6k"),
        (Decimal("11634.5"), 3, "12k"),
        (Decimal("11634.5"), 2, ""),
        (11_634, 6, "11,634"),
        (11_634, 5, "11.6k"),
        (Decimal("5.4E-7"), 10, "0.00000054"),
        (Decimal("5.4E-7"), 9, ""),
        (Decimal("0.01000000"), 10, "0.01000000"),
        (Decimal("123.45678912"), 11, ""),
        (Decimal("999999.99"), 5, "1.00M"),
        (Decimal("999499.5"), 4, "999k"),
        (Decimal("-11634.5"), 6, "-11.6k"),
        (Decimal(10**15), 8, "1000.00T"),
        (Decimal(10**30), 12, ""),
    ],
)
def test_shortened(value: Decimal | int, width: int, text: str) -> None:
    assert shortened(value, width) == text


def test_counts_and_times() -> None:
    assert (clock(0), clock(65.9), clock(3600)) == ("00:00", "01:05", "1:00:00")
    assert (counted(1, "gap"), counted(2_000, "gap"), counted(0, "box", "boxes")) == ("1 gap", "2,000 gaps", "0 boxes")


def test_what_is_not_listed_is_counted() -> None:
    assert listed(["a"]) == "a"
    assert listed(list("abc"), 3) == "a, b, c"
    assert listed(list("abcd"), 3) == "a, b, +2 more"


def test_marks_that_differ_differ_in_ascii() -> None:
    assert [ascii_text(mark) for mark in "▲▼·●→…"] == ["^", "v", "-", "*", "->", "..."]
    assert ascii_text("日本 é") == "?? ?"


@pytest.mark.parametrize(
    ("encoding", "written"), [("ascii", b"^ ? ->"), ("latin-1", b"^ \xe9 ->"), ("utf-8", "▲ é →".encode())]
)
def test_an_encoder_falls_back_where_it_must(encoding: str, written: bytes) -> None:
    assert "▲ é →".encode(encoding, ASCII_FALLBACK) == written


def test_the_fallback_is_for_encoders_only() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", ASCII_FALLBACK)
