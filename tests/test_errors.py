"""Every error can be caught by its family, is safe to print, and carries what is needed to act on it."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from kraken_trio import (
    Book,
    BookUnavailable,
    ChecksumEvidence,
    ChecksumMismatch,
    ConnectError,
    ConsumerTooSlow,
    Instruments,
    KeyRefused,
    KrakenTrioError,
    ProtocolError,
    RecordingError,
    Request,
    SubscriptionRejected,
    Trades,
    errors,
)
from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = "\x1b]0;owned\x07\r\n\u202e\u2028\ud800" + "x" * 100_000


@given(st.text() | st.integers() | st.binary() | st.none(), st.integers(1, 300))
def test_printable(value: object, limit: int) -> None:
    line = printable(value, limit)
    assert line.isprintable()
    assert len(line) <= limit


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=200))
def test_what_is_printable_and_short_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text(min_size=1), st.integers(1, 50))
def test_what_was_cut_says_so(text: str, limit: int) -> None:
    line = printable(text, limit)
    assert line.endswith("…") or len(text) <= limit


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("a\nb\tc\x1b", 200, "a\\nb\\tc\\x1b"),
        ("\u202eabc", 200, "\\u202eabc"),
        ("\ud800", 200, "\\ud800"),
        ("ünï/ćode 🎉", 200, "ünï/ćode 🎉"),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("\n\n", 3, "\\n…"),
        ("", 1, ""),
    ],
)
def test_printable_examples(text: str, limit: int, line: str) -> None:
    assert printable(text, limit) == line


def test_the_tree() -> None:
    assert issubclass(ChecksumMismatch, ProtocolError)
    assert issubclass(KeyRefused, ConnectError)
    families = [ConnectError, SubscriptionRejected, ConsumerTooSlow, BookUnavailable, RecordingError, ProtocolError]
    assert all(family.__mro__[1] is KrakenTrioError for family in families)
    assert KrakenTrioError.__mro__[1] is Exception
    public = set(errors.__all__)
    assert public == {family.__name__ for family in (*families, ChecksumMismatch, KeyRefused, KrakenTrioError)}
    assert all(name in (errors.__doc__ or "") for name in public)


def test_connect_error() -> None:
    plain = ConnectError("no route")
    assert (str(plain), plain.status, plain.retry_after, plain.retryable) == ("no route", None, None, True)
    refused = ConnectError("go away", status=429, retry_after=5.0, retryable=False)
    assert (refused.status, refused.retry_after, refused.retryable) == (429, 5.0, False)


def test_subscription_rejected() -> None:
    reasons: dict[Request, str] = {Book("NOPE/USD"): "Currency pair not supported NOPE/USD", Trades("A/B"): "no"}
    error = SubscriptionRejected(reasons)
    assert error.reasons == reasons
    assert error.reasons is not reasons
    assert str(error) == (
        "Book(symbol='NOPE/USD', depth=10): Currency pair not supported NOPE/USD; "
        "Trades(symbol='A/B', snapshot=False): no"
    )


def test_the_text_of_many_refusals_is_bounded() -> None:
    error = SubscriptionRejected({Book(f"N{number}/USD"): HOSTILE for number in range(5000)})
    assert len(error.reasons) == 5000
    assert str(error).isprintable()
    assert str(error).endswith("; and 4990 more")
    assert len(str(error)) < 3000
    assert "more" not in str(SubscriptionRejected({Book(f"N{number}/USD"): "no" for number in range(10)}))
    assert SubscriptionRejected({Instruments(): HOSTILE}).reasons == {Instruments(): HOSTILE}


def test_checksum_mismatch() -> None:
    evidence = ChecksumEvidence(symbol=HOSTILE, expected=7, computed=8, hashed="123", message=HOSTILE)
    error = ChecksumMismatch(evidence)
    assert error.evidence is evidence
    assert (error.expected, error.computed, error.hashed) == (7, 8, "123")
    assert str(error).isprintable()
    assert len(str(error)) < 250
    assert "the book's checksum is 8, the exchange says 7, after this " in str(error)


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_every_error_can_be_copied_and_sent_to_another_process(
    again: Callable[[KrakenTrioError], KrakenTrioError],
) -> None:
    """Regression: a copy of the two that take more than a message raised TypeError."""
    mismatch = ChecksumMismatch(ChecksumEvidence("BTC/USD", expected=1, computed=2, hashed="12", message="update"))
    rejected = SubscriptionRejected({Book("BTC/USD"): "no"})
    refused = ConnectError("no", status=429, retry_after=7.0, retryable=False)
    for error in (
        mismatch,
        rejected,
        refused,
        ConsumerTooSlow("slow"),
        BookUnavailable("not yet"),
        RecordingError("no"),
    ):
        other = again(error)
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)
