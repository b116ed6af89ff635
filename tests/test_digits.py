"""The digits that the checksum wants, and what is taken for a number at all."""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal, localcontext

import pytest
from hypothesis import given, strategies as st

from kraken_trio import ProtocolError
from kraken_trio._digits import MAX_DIGITS, checked, wire_digits

plain_numbers = st.from_regex(r"(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?", fullmatch=True)
"""Whatever Kraken may write for a price or quantity: without sign and exponent."""


@given(plain_numbers)
def test_the_digits_are_those_of_the_text(text: str) -> None:
    digits, decimals = wire_digits(Decimal(text))
    assert digits.lstrip("0") == text.replace(".", "").lstrip("0")
    assert decimals == len(text.partition(".")[2])


@pytest.mark.parametrize(
    ("text", "digits", "decimals"),
    [
        ("0.00100000", "000100000", 8),
        ("63388.0", "633880", 1),
        ("1.50", "150", 2),
        ("150", "150", 0),
        ("0.00000010", "10", 8),  # Decimal writes this one as 1.0E-7
        ("1.0E-7", "10", 8),
        ("0.00000000", "0", 8),
        ("5e2", "500", 0),
        ("1.25e1", "125", 1),
        ("0", "0", 0),
        ("0." + "1" * 40, "1" * 40, 40),
        ("1e39", "1" + "0" * 39, 0),
        ("1e-40", "1", 40),
    ],
)
def test_examples(text: str, digits: str, decimals: int) -> None:
    assert wire_digits(Decimal(text)) == (digits, decimals)


@given(plain_numbers)
def test_the_context_of_the_caller_does_not_matter(text: str) -> None:
    value = Decimal(text)
    expected = wire_digits(value)
    with localcontext(Context(prec=1, rounding=ROUND_UP, Emax=1, Emin=-1, capitals=0)):
        assert wire_digits(value) == expected
        assert checked(value) is value


@pytest.mark.parametrize("text", ["-1", "-0.5", "-1e-7", "-0"])
def test_a_negative_number_is_no_price_or_quantity(text: str) -> None:
    with pytest.raises(ProtocolError, match=f"not a price or quantity: {Decimal(text)}"):
        wire_digits(Decimal(text))


@pytest.mark.parametrize("text", ["-1", "-0.5", "-1e-7", "0", "0E-40", "1e39", "9" * MAX_DIGITS])
def test_other_numbers_may_be_negative(text: str) -> None:
    value = Decimal(text)
    assert checked(value) is value


HOSTILE = [
    "NaN",
    "-NaN",
    "sNaN",
    "NaN" + "1" * 1000,
    "Infinity",
    "-Infinity",
    "1e999999999",
    "-1e999999999",
    "1e-999999999",
    "0e999999999",
    "0e-999999999",
    "1e40",
    "1e-41",
    "9" * 41,
    "0." + "1" * 41,
    "1." + "0" * 40,
    "1.23456789012345678901234567890123456789e-10",
    "9" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:20]} ({len(text)})")
def test_what_is_not_finite_or_too_long_is_no_number(text: str) -> None:
    for check in (checked, wire_digits):
        with pytest.raises(ProtocolError, match="not a price or quantity") as caught:
            check(Decimal(text))
        assert len(str(caught.value)) < 100


@given(
    st.decimals(allow_nan=True, allow_infinity=True)
    | st.from_regex(r"-?[0-9]{1,60}E-?[0-9]{1,2}", fullmatch=True).map(Decimal)
)
def test_what_is_taken_is_small(value: Decimal) -> None:
    try:
        assert checked(value) is value
    except ProtocolError:
        return
    written = re.fullmatch(r"-?([0-9]+)(?:\.([0-9]+))?", f"{value:f}")
    assert written
    assert len(value.as_tuple().digits) <= MAX_DIGITS
    assert len(written[1]) <= MAX_DIGITS
    assert len(written[2] or "") <= MAX_DIGITS


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_every_number_has_digits_or_is_refused(value: Decimal) -> None:
    try:
        digits, decimals = wire_digits(value)
    except ProtocolError:
        return
    assert len(digits) <= MAX_DIGITS + 1
    assert Decimal(f"{digits}E-{decimals}") == value
