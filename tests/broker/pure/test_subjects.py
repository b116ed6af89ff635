"""Subjects: written and read back exactly; no token has what is special to a broker."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, strategies as st

import kraken_trio as kt
from kraken_trio.broker.subjects import Kind, Subject, decode_token, encode_symbol, encode_token, parse_subject

texts = st.text(min_size=1) | st.sampled_from(
    ["BTC/USD", "AAPLx/USD", "USDT.M/EUR", "_", "key", "%2F", "a b\t*>", "ü€"]
)
shards = st.integers(0, 10**6)
subjects = st.builds(Subject, shards, st.sampled_from([Kind.DATA, Kind.KEY]), texts, st.none() | texts) | st.builds(
    Subject, shards, st.sampled_from([Kind.CATALOG, Kind.LEASE])
)
SAFE = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+", re.ASCII)


@given(subjects)
@example(Subject(3, Kind.DATA, "key", "BTC/USD"))
@example(Subject(3, Kind.DATA, "catalog", None))
@example(Subject(3, Kind.KEY, "key", "key"))
def test_subjects_come_back(subject: Subject) -> None:
    text = str(subject)
    assert parse_subject(text) == subject
    assert all(SAFE.fullmatch(token) for token in text.split("."))
    if subject.kind in (Kind.DATA, Kind.KEY):
        assert subject.key == (subject.channel, subject.symbol)


@given(subjects, subjects)
def test_different_subjects_have_different_texts(one: Subject, other: Subject) -> None:
    assert (str(one) == str(other)) is (one == other)


def test_they_read_as_the_documentation_says() -> None:
    assert str(Subject(3, Kind.DATA, "book", "BTC/USD")) == "3.book.BTC%2FUSD"
    assert str(Subject(3, Kind.KEY, "book", "BTC/USD")) == "3.key.book.BTC%2FUSD"
    assert str(Subject(3, Kind.DATA, "instrument", None)) == "3.instrument._"
    assert str(Subject(3, Kind.CATALOG)) == "3.catalog"
    assert str(Subject(3, Kind.LEASE)) == "3.lease"
    assert encode_symbol("USDT.M/EUR") == "USDT%2EM%2FEUR"
    assert encode_token("_") == "%5F"


@given(st.text() | st.from_regex(r"[0-9]{1,3}(\.[a-z%0-9A-F_]{1,8}){1,4}", fullmatch=True))
@example("")
@example("٣.catalog")
@example("03.catalog")
@example("3.book")
@example("3.book.%2f")
@example("3.book.%41")
@example("3.book.%FF")
@example("3.book..")
@example("3.key.book.a.b")
@example("3.other.book.a")
@example("-1.book.a")
@example("9" * 5000 + ".lease")
def test_any_text_is_a_subject_or_an_error(text: str) -> None:
    try:
        found = parse_subject(text)
    except kt.ProtocolError as refused:
        error = refused
    else:
        assert str(found) == text
        return
    assert str(error).isprintable()


@given(st.text())
def test_a_token_is_that_of_one_text(text: str) -> None:
    assume(text)
    assert decode_token(encode_token(text)) == text
    try:
        found = decode_token(text)
    except kt.ProtocolError:
        return
    assert encode_token(found) == text


@given(texts)
@example("".join(map(chr, range(256))))
@example("\ud800")
def test_a_token_is_percent_encoded(text: str) -> None:
    assume(text != "_")
    quoted = quote(text.encode("utf-8", "surrogatepass"), safe="")
    assert encode_token(text) == quoted.replace(".", "%2E").replace("~", "%7E")


def test_an_empty_name_is_no_token() -> None:
    with pytest.raises(ValueError, match="an empty name"):
        encode_token("")
