"""Refusals: in every recorded shape, what is to be done about them, and which symbols they are about."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kraken_trio import ProtocolError
from kraken_trio.requests import canonical_symbol
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Message, Refusal, RefusalKind

FINAL, LATER, RATE_LIMITED = RefusalKind.FINAL, RefusalKind.LATER, RefusalKind.RATE_LIMITED
STALE_TOKEN = RefusalKind.STALE_TOKEN
NO_REASON = "the exchange gave no reason"


def decode(frame: str) -> Message:
    return codec_for("v2").decode(frame)


def refused(**tree: Any) -> Refusal:
    message = decode(json.dumps(tree))
    assert isinstance(message, Refusal)
    assert not message.is_pushed
    return message


# Shapes


@pytest.mark.parametrize(
    ("frame", "refusal"),
    [
        (
            (
                '{"error":"Currency pair not supported XBT/USDT","method":"subscribe","success":false,'
                '"symbol":"XBT/USDT","time_in":"2026-09-10T17:44:44.609516Z","time_out":"2026-09-10T17:44:44.609555Z"}'
            ),
            Refusal(error="Currency pair not supported XBT/USDT", kind=FINAL, symbol="XBT/USDT", method="subscribe"),
        ),
        (
            '{"error":"Subscription depth not supported","method":"subscribe","req_id":3,"success":false}',
            Refusal(error="Subscription depth not supported", kind=FINAL, req_id=3, method="subscribe"),
        ),
        (
            '{"error":"ESession:Invalid session","method":"subscribe","req_id":42,"status":"error","success":false}',
            Refusal(error="ESession:Invalid session", kind=STALE_TOKEN, req_id=42, method="subscribe"),
        ),
        (  # both a method and a channel: an answer, not data
            (
                '{"channel":"level3","error":"Rate limit for snapshot requests exceeded, when trying to subscribe to '
                'YFI/USD level3 snapshot","method":"subscribe","status":"error","success":false}'
            ),
            Refusal(
                error="Rate limit for snapshot requests exceeded, when trying to subscribe to YFI/USD level3 snapshot",
                kind=LATER,
                mentioned=("YFI/USD",),
                channel="level3",
                method="subscribe",
            ),
        ),
        (
            '{"channel":"book","error":"EService:Busy","success":false,"symbol":"BTC/USD","req_id":7}',
            Refusal(error="EService:Busy", kind=LATER, symbol="BTC/USD", channel="book", req_id=7),
        ),
        (
            '{"channel":"book","error":"EService:Busy"}',
            Refusal(error="EService:Busy", kind=LATER, channel="book"),
        ),
        (  # to subscribe to status
            '{"error":"Symbol(s) not found","success":false,"req_id":4}',
            Refusal(error="Symbol(s) not found", kind=FINAL, req_id=4),
        ),
        (
            (
                '{"error":"Unsupported field: \'params\' for the given msg type: ping","method":"ping","req_id":0,'
                '"success":false}'
            ),
            Refusal(
                error="Unsupported field: 'params' for the given msg type: ping", kind=FINAL, req_id=0, method="ping"
            ),
        ),
        ('{"Error":"Exceeded msg rate"}', Refusal(error="Exceeded msg rate", kind=RATE_LIMITED)),
        ('{"error":"Exceeded msg rate"}', Refusal(error="Exceeded msg rate", kind=RATE_LIMITED)),
        ('{"errorMessage":"Exceeded msg rate"}', Refusal(error="Exceeded msg rate", kind=RATE_LIMITED)),
        ('{"errorMessage":"Malformed request","event":"error"}', Refusal(error="Malformed request", kind=FINAL)),
        ('{"event":"error","message":"Bad request"}', Refusal(error="Bad request", kind=FINAL)),
    ],
)
def test_shapes(frame: str, refusal: Refusal) -> None:
    assert decode(frame) == refusal


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"success": False},
        {"success": "true", "result": {}},
        {"success": 1, "result": {}},
        {"success": None, "result": {}},
        {"result": {}},
        {"success": True},
        {"success": True, "result": []},
        {"success": True, "result": None},
        {"success": False, "error": ["EGeneral"]},
    ],
)
def test_what_does_not_clearly_succeed_is_refused(answer: dict[str, object]) -> None:
    assert refused(method="subscribe", req_id=9, **answer) == Refusal(
        error=NO_REASON, kind=FINAL, req_id=9, method="subscribe"
    )


def test_fields_of_another_type_are_absent() -> None:
    refusal = refused(method=5, success=False, error="no", symbol=7, channel=["book"], req_id="1", result=[])
    assert refusal == Refusal(error="no", kind=FINAL)


def test_the_text_is_printable_and_bounded() -> None:
    refusal = refused(method="subscribe", success=False, error="Exceeded msg rate\x1b[2J\u202e" + "x" * 100_000)
    assert refusal.error.startswith(r"Exceeded msg rate\x1b[2J\u202ex")
    assert refusal.error.isprintable()
    assert len(refusal.error) == 500
    assert refusal.kind is RATE_LIMITED


# What is to be done about it

KINDS = {
    "Already subscribed": RefusalKind.ALREADY,
    "Already subscribed to one ohlc interval on this symbol": FINAL,
    "Subscription Not Found": RefusalKind.ABSENT,
    "Subscription depth not supported": FINAL,
    "Subscription ohlc interval not supported": FINAL,
    "Subscription name invalid": FINAL,
    "Currency pair not supported NOPE/USD": FINAL,
    "Currency pair not in ISO 4217-A3 format XBTUSD": FINAL,
    "Symbol field must be an array": FINAL,
    "Symbol(s) not found": FINAL,
    "Malformed request": FINAL,
    "Unsupported field: 'foo'": FINAL,
    "Unsupported field: 'params' for the given msg type: ping": FINAL,
    "Unsupported event": FINAL,
    "Depth field must be a number_float": FINAL,
    "Token(s) not found": FINAL,
    "Exceeded msg rate": RATE_LIMITED,
    "EAPI:Rate limit exceeded": RATE_LIMITED,
    "EAuth:Rate limit exceeded": RATE_LIMITED,
    "EGeneral:Too many requests": RATE_LIMITED,
    "Rate limit for snapshot requests exceeded, when trying to subscribe to YFI/USD level3 snapshot": LATER,
    "EAPI:Invalid token": STALE_TOKEN,
    "EAPI:Invalid key": FINAL,
    "EAPI:Permission denied": FINAL,
    "ESession:Invalid session": STALE_TOKEN,
    "EGeneral:Permission denied": FINAL,
    "EGeneral:Temporary lockout": LATER,
    "EGeneral:Invalid arguments": FINAL,
    "EGeneral:Internal error": LATER,
    "EGeneral:Internal error:E1": LATER,
    "EAccount:Invalid permissions": FINAL,
    "EService:Unavailable": LATER,
    "EService:Busy": LATER,
    "EService:Market in cancel_only mode": LATER,
    "EService:Market in post_only mode": LATER,
    "EService:Throttled: 1785644622": LATER,
    "": FINAL,
}
EVERYWHERE = [text for text, kind in KINDS.items() if kind is RATE_LIMITED]


@pytest.mark.parametrize(("error", "kind"), KINDS.items())
def test_kinds(error: str, kind: RefusalKind) -> None:
    assert refused(method="subscribe", success=False, error=error).kind is kind


def any_case(text: str, seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice((letter.upper(), letter.lower())) for letter in text)


@given(
    st.sampled_from(list(KINDS)), st.integers(0), st.sampled_from(["", " ", "\n\t"]), st.sampled_from(["", ": more"])
)
def test_the_kind_does_not_hang_on_case_space_or_what_follows(error: str, seed: int, before: str, after: str) -> None:
    expected = RefusalKind.FINAL if not error else KINDS[error]
    assert refused(method="subscribe", success=False, error=before + any_case(error, seed) + after).kind is expected


@given(st.sampled_from(EVERYWHERE), st.integers(0), st.text(max_size=20), st.text(max_size=20))
def test_too_many_requests_may_stand_anywhere(error: str, seed: int, before: str, after: str) -> None:
    assert refused(success=False, error=f"{before}{any_case(error, seed)}{after}", method="x").kind is RATE_LIMITED


@given(st.sampled_from([text for text in KINDS if text]))
def test_other_words_hold_at_the_beginning_only(error: str) -> None:
    expected = RATE_LIMITED if error in EVERYWHERE else FINAL
    assert refused(method="subscribe", success=False, error=f"order refused: {error}").kind is expected


# Which symbols it is about

_part = st.builds("{}{}".format, st.text("ABYZ019.-", max_size=31), st.sampled_from("AZ09"))
symbols = st.builds("{}/{}".format, _part, _part) | st.sampled_from(["AAPLx/USD", "ETH2.S/ETH", "btc/usd", "1INCH/EUR"])
TEXTS = (
    "Currency pair not supported {}",
    "Currency pair not in ISO 4217-A3 format {}",
    "Rate limit for snapshot requests exceeded, when trying to subscribe to {} level3 snapshot",
    "Already subscribed: {}.",
    "EGeneral:Invalid arguments:{}",
    "{} is suspended",
    "the pair ({}) is closed",
    "'{}', depth 10: no",
)


def mentioned(**tree: Any) -> tuple[str, ...]:
    refusal = refused(method="subscribe", success=False, **tree)
    assert refusal.symbol is None
    return refusal.mentioned


@given(symbols, st.sampled_from(TEXTS), st.integers())
def test_a_symbol_in_the_text_is_found(symbol: str, text: str, seed: int) -> None:
    assert mentioned(error=any_case(text, seed).replace("{}", symbol)) == (symbol.upper(),)


@given(symbols, st.sampled_from(["no", NO_REASON, "Subscription depth not supported", "EGeneral:Internal error"]))
def test_a_symbol_in_a_field_is_found(symbol: str, error: str) -> None:
    for place in ({"result": {"symbol": symbol}}, {"result": {"symbol": [symbol]}}, {"symbol": [symbol]}):
        assert mentioned(error=error, **place) == (symbol.upper(),)
    assert mentioned(result={"symbol": symbol}) == (symbol.upper(),)


@given(st.lists(symbols, min_size=2, max_size=5, unique_by=str.upper), st.sampled_from([" ", ", ", ",", "; ", " and "]))
def test_several_symbols_are_found(several: list[str], between: str) -> None:
    expected = tuple(symbol.upper() for symbol in several)
    assert mentioned(error=f"no: {between.join(several)}") == expected
    assert mentioned(error="no", result={"symbol": several}) == expected


@given(st.lists(symbols, min_size=2, max_size=5, unique_by=str.upper))
def test_words_are_more_exact_than_a_list(several: list[str]) -> None:
    text = f"Currency pair not supported {several[1]}"
    assert mentioned(error=text, result={"symbol": several}) == (several[1].upper(),)


@given(symbols, symbols)
def test_a_symbol_of_its_own_is_all_that_counts(symbol: str, other: str) -> None:
    refusal = refused(symbol=symbol, error=f"Currency pair not supported {other}", result={"symbol": other})
    assert (refusal.symbol, refusal.mentioned) == (symbol, ())


def test_a_name_without_a_slash_is_found_where_it_must_stand() -> None:
    assert mentioned(error="Currency pair not in ISO 4217-A3 format XBTUSD") == ("XBTUSD",)
    assert mentioned(error="currency pair NOT supported matic-usd ") == ("MATIC-USD",)


@pytest.mark.parametrize(
    "error",
    [
        *(text for text in KINDS if "/" not in text and "XBTUSD" not in text),
        "see a/b/c",
        "/",
        "a/",
        "/b",
        "x" * 70 + "/USD",
    ],
)
def test_where_there_is_no_symbol_none_is_found(error: str) -> None:
    assert mentioned(error=error) == ()
    assert mentioned(error=error, result={"symbol": error}) == ()


def test_a_flood_of_symbols_is_bounded() -> None:
    assert len(mentioned(error="no", symbol=[f"A{number}/USD" for number in range(100_000)])) == 1000


@given(st.text() | st.lists(st.text()), st.text())
def test_whatever_is_found_is_short_and_printable(field: object, error: str) -> None:
    try:
        message = decode(json.dumps({"method": "subscribe", "error": error, "result": {"symbol": field}}))
    except ProtocolError:  # a lone surrogate
        return
    assert isinstance(message, Refusal)
    assert all(symbol.isprintable() and len(symbol) <= 100 for symbol in message.mentioned)


def test_what_a_program_asks_for_can_be_compared_without_case() -> None:
    for symbol in ("AAPLx/USD", "btc/usd", "xdg/eur"):
        asked = canonical_symbol(symbol)
        assert mentioned(error=f"Currency pair not supported {asked}") == (asked.upper(),)
