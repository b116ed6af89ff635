"""What the exchange answers, and the kinds of its errors."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from kraken_trio.auth.answers import Answered, ErrorKind, Failure, Reply, RestError, classify, is_denied, read_reply

NOW_NS = 1_790_000_000 * 10**9

KINDS = [
    ("EAPI:Invalid token", ErrorKind.STALE),
    ("ESession:Invalid session", ErrorKind.STALE),
    ("ESession:Invalid session:expired", ErrorKind.STALE),
    ("The token has expired", ErrorKind.STALE),
    ("stale token", ErrorKind.STALE),
    ("Token(s) not found", ErrorKind.FINAL),
    ("EAPI:Invalid nonce", ErrorKind.NONCE),
    ("EAPI:Invalid key", ErrorKind.FATAL),
    ("EAPI:Invalid keyring", ErrorKind.FINAL),
    ("EAPI:Invalid signature", ErrorKind.FATAL),
    ("EAuth:Account temporary disabled", ErrorKind.FATAL),
    ("EAuth:Rate limit exceeded", ErrorKind.RATE),
    ("EGeneral:Permission denied", ErrorKind.FATAL),
    ("EAPI:Permission denied", ErrorKind.FATAL),
    ("EAccount:Invalid permissions:XX trading restricted", ErrorKind.FATAL),
    ("EGeneral:Temporary lockout", ErrorKind.LOCKOUT),
    ("EAPI:Rate limit exceeded", ErrorKind.RATE),
    ("EGeneral:Too many requests", ErrorKind.RATE),
    ("EService:Throttled: 1790000030", ErrorKind.RATE),
    ("Exceeded msg rate", ErrorKind.RATE),
    ("EService:Unavailable", ErrorKind.TRANSIENT),
    ("EService:Market in cancel_only mode", ErrorKind.TRANSIENT),
    ("EGeneral:Internal error:abc", ErrorKind.TRANSIENT),
    ("EGeneral:Invalid arguments", ErrorKind.FINAL),
    ("EQuery:Unknown asset pair", ErrorKind.FINAL),
    ("", ErrorKind.FINAL),
]


def reply(tree: object, status: int = 200, retry_after: str = "") -> Reply:
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return Reply(status=status, body=body, retry_after=retry_after)


def failure(answer: Reply) -> Failure:
    found = read_reply(answer, NOW_NS)
    assert isinstance(found, Failure)
    assert found.text.isprintable()
    return found


@pytest.mark.parametrize(("text", "kind"), KINDS, ids=[text for text, _ in KINDS])
def test_the_kind_of_an_error(text: str, kind: ErrorKind) -> None:
    assert classify(text) is classify(f" {text.upper()} ") is kind
    if text[1:2] != "" and kind is not ErrorKind.FINAL and text.startswith("E") and ":" in text:
        assert classify(f"{text}:more") is kind


def test_which_errors_are_about_permissions() -> None:
    denied = {text for text, _ in KINDS if is_denied(text)}
    assert denied == {
        "EGeneral:Permission denied",
        "EAPI:Permission denied",
        "EAccount:Invalid permissions:XX trading restricted",
    }


def test_a_result_keeps_its_digits() -> None:
    found = read_reply(reply(b'{"error":[],"result":{"time":1790000000.1230,"n":3,"x":1e-05}}'), NOW_NS)
    assert found == Answered(result={"time": Decimal("1790000000.1230"), "n": 3, "x": Decimal("1e-05")})
    assert str(found.result["time"]) == "1790000000.1230"


def test_a_result_may_be_empty_or_come_with_a_warning() -> None:
    assert read_reply(reply({"error": [], "result": None}), NOW_NS) == Answered(result=None)
    assert read_reply(reply({"result": {}}), NOW_NS) == Answered(result={})
    assert read_reply(reply({"error": ["WGeneral:Slow"], "result": 1}), NOW_NS) == Answered(result=1)
    assert failure(reply({"error": ["WGeneral:Slow"]})).errors == ("WGeneral:Slow",)


def test_an_error_counts_before_a_result() -> None:
    """Programs that took the result first crashed on a permission that is off by default."""
    found = failure(reply({"error": ["EGeneral:Permission denied"], "result": {"token": "t"}}))
    assert (found.kind, found.errors) == (ErrorKind.FATAL, ("EGeneral:Permission denied",))


def test_the_most_serious_of_several_errors_counts() -> None:
    found = failure(reply({"error": ["EService:Busy", "EAPI:Invalid nonce", "EAPI:Invalid key"]}))
    assert (found.kind, found.text) == (ErrorKind.FATAL, "EService:Busy, EAPI:Invalid nonce, EAPI:Invalid key")
    assert failure(reply({"error": "EAPI:Invalid nonce"})).kind is ErrorKind.NONCE


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (reply(b"", 520), ErrorKind.TRANSIENT, "HTTP 520: an empty answer"),
        (reply(b"  \n"), ErrorKind.TRANSIENT, "HTTP 200: an empty answer"),
        (
            reply(b"<html><title>520: oops</title>\n<h1>Error\x1b[2J</h1></html>", 520),
            ErrorKind.TRANSIENT,
            "HTTP 520: 520: oops Error\\x1b[2J",
        ),
        (reply(b"<html></html>", 503), ErrorKind.TRANSIENT, "HTTP 503: a page without text"),
        (reply(b"\xff\xfe\xfd"), ErrorKind.TRANSIENT, "HTTP 200: ���"),
        (reply(b'{"result":{"token":"MARKED'), ErrorKind.TRANSIENT, "HTTP 200: 26 bytes of JSON that are no answer"),
        (reply([1, 2]), ErrorKind.TRANSIENT, "HTTP 200: 6 bytes of JSON that are no answer"),
        (reply({"message": "no"}, 404), ErrorKind.ADDRESS, "HTTP 404: 17 bytes of JSON that are no answer"),
        (reply({"error": [], "result": {}}, 502), ErrorKind.TRANSIENT, "HTTP 502: 27 bytes of JSON that are no answer"),
        (reply({"error": [], "result": {}}, 204), ErrorKind.TRANSIENT, "HTTP 204: 27 bytes of JSON that are no answer"),
        (reply(b"moved", 301), ErrorKind.ADDRESS, "HTTP 301: moved"),
        (reply(b"no", 405), ErrorKind.ADDRESS, "HTTP 405: no"),
        (reply(b"slow down", 429), ErrorKind.RATE, "HTTP 429: slow down"),
        (reply({"error": []}), ErrorKind.TRANSIENT, "an answer without error and without result"),
        (reply(b"[" * 100_000), ErrorKind.TRANSIENT, "HTTP 200: 100000 bytes of JSON that are no answer"),
    ],
    ids=[
        "empty 520", "blank", "html", "tags only", "no utf-8", "cut", "list", "404", "502", "204", "moved", "405",
        "429", "no result", "deep",
    ],
)  # fmt: skip
def test_what_is_no_answer(answer: Reply, kind: ErrorKind, text: str) -> None:
    found = failure(answer)
    assert (found.kind, found.text, found.errors) == (kind, text, ())
    assert found.status == (None if answer.status == 200 else answer.status)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (reply(b"", 503, "30"), 30.0),
        (reply(b"", 503, "99999999"), 86_400.0),
        (reply(b"", 503, "Fri, 31 Dec 1999 23:59:59 GMT"), None),
        (reply({"error": ["EService:Throttled: 1790000030"]}), 30.0),
        (reply({"error": ["EService:Throttled: 1780000000"]}), None),
        (reply({"error": ["EService:Throttled: soon"]}), None),
        (reply({"error": ["EAPI:Rate limit exceeded"]}, 200, "7"), 7.0),
    ],
)
def test_how_long_to_wait(answer: Reply, seconds: float | None) -> None:
    assert failure(answer).retry_after == seconds


@given(st.binary(max_size=200) | st.builds(lambda tree: json.dumps(tree).encode(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.sampled_from(["error", "result", "x"]), part),
)), st.integers(100, 599))  # fmt: skip
def test_whatever_comes_is_read(body: bytes, status: int) -> None:
    found = read_reply(Reply(status=status, body=body), NOW_NS)
    if isinstance(found, Failure):
        assert found.text.isprintable()
        assert len(found.text) < 12_000
        assert RestError(found, found.text).kind is found.kind
