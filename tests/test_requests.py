"""Requests are values: checked and brought to Kraken's spelling when made, equal when they ask for the same."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import attrs
import msgspec
import pytest
from hypothesis import given, strategies as st

from kraken_trio import (
    Balances,
    Book,
    Candles,
    Executions,
    Instruments,
    Level3,
    Lifecycle,
    Request,
    SubscriptionRejected,
    Ticker,
    Trades,
)
from kraken_trio.requests import DEPTHS, INTERVALS, LEVEL3_DEPTHS, TRIGGERS, canonical_symbol
from kraken_trio.wire.v2.channels import CHANNELS

WITH_SYMBOL: list[type[Any]] = [Book, Level3, Trades, Ticker, Candles]

# Symbols


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("BTC/USD", "BTC/USD"),
        ("btc/usd", "BTC/USD"),
        ("XBT/USD", "BTC/USD"),
        ("xbt/eur", "BTC/EUR"),
        ("ETH/XBT", "ETH/BTC"),
        ("XDG/XBT", "DOGE/BTC"),
        ("xdg/usd", "DOGE/USD"),
        ("XBTX/USD", "XBTX/USD"),
        ("1INCH/USD", "1INCH/USD"),
        ("ETH2.S/ETH", "ETH2.S/ETH"),
        ("AAPLx/USD", "AAPLx/USD"),
        ("BRK.Bx/usd", "BRK.Bx/USD"),
        ("aaplx/usd", "AAPLX/USD"),  # nobody can know which letter was meant to be small
        ("x/y", "X/Y"),
        ("A-B/C", "A-B/C"),
    ],
)
def test_symbols_are_brought_to_the_spelling_of_v2(written: str, meant: str) -> None:
    assert canonical_symbol(written) == meant
    for kind in WITH_SYMBOL:
        assert kind(written) == kind(meant)
        assert hash(kind(written)) == hash(kind(meant))
        assert kind(written).symbol == meant


@given(st.from_regex(r"[A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32}", fullmatch=True))
def test_the_canonical_spelling_is_its_own(text: str) -> None:
    once = canonical_symbol(text)
    assert canonical_symbol(once) == once
    assert canonical_symbol(text.upper()).upper() == once.upper()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "BTC",
        "BTCUSD",
        "BTC/",
        "/USD",
        "BTC/USD/EUR",
        "BTC//USD",
        "BTC USD",
        "BTC/USD\n",
        " BTC/USD",
        "BTC/US D",
        "\N{GREEK CAPITAL LETTER BETA}TC/USD",
        "BTC/USD\x00",
        "A" * 33 + "/USD",
        5,
        None,
        b"BTC/USD",
        ["BTC/USD"],
    ],
)
def test_what_is_no_symbol(bad: Any) -> None:
    for kind in WITH_SYMBOL:
        with pytest.raises(ValueError, match=re.escape("is no symbol: write BASE/QUOTE, such as 'BTC/USD'")):
            kind(bad)


# Parameters


@pytest.mark.parametrize(
    ("kind", "name", "offered"),
    [
        (Book, "depth", DEPTHS),
        (Level3, "depth", LEVEL3_DEPTHS),
        (Candles, "interval", INTERVALS),
        (Ticker, "trigger", TRIGGERS),
    ],
)
def test_parameters_are_those_that_kraken_offers(kind: Any, name: str, offered: tuple[Any, ...]) -> None:
    for value in offered:
        request = kind("BTC/USD", **{name: value})
        assert getattr(request, name) == value
        assert request.variant == (name, value)
    choices = ", ".join(map(str, offered))
    for value in (0, -10, 20, 11, 10.0, True, "10", "TRADES", None, [10], 10**6):
        message = f"{name}={value!r} is not offered by Kraken: choose one of {choices}"
        with pytest.raises(ValueError, match=re.escape(message)):
            kind("BTC/USD", **{name: value})


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    with pytest.raises(TypeError, match="snapshot"):
        Trades("BTC/USD", snapshot=value)
    with pytest.raises(TypeError, match="include_tokenized_assets"):
        Instruments(include_tokenized_assets=value)


def test_defaults() -> None:
    assert Book("BTC/USD") == Book("BTC/USD", depth=10)
    assert Level3("BTC/USD") == Level3("BTC/USD", depth=10)
    assert Trades("BTC/USD") == Trades("BTC/USD", snapshot=False)
    assert Ticker("BTC/USD") == Ticker("BTC/USD", trigger="trades")
    assert Candles("BTC/USD") == Candles("BTC/USD", interval=1)


# Values

DIFFERENT: list[Request] = [
    Book("BTC/USD"),
    Book("ETH/USD"),
    Book("BTC/USD", depth=25),
    Level3("BTC/USD"),
    Level3("BTC/USD", depth=100),
    Trades("BTC/USD"),
    Trades("BTC/USD", snapshot=True),
    Ticker("BTC/USD"),
    Ticker("BTC/USD", trigger="bbo"),
    Candles("BTC/USD"),
    Candles("BTC/USD", interval=5),
    Instruments(),
    Instruments(include_tokenized_assets=True),
    Executions(),
    Executions(history=True),
    Balances(),
    Lifecycle(),
]


def test_requests_are_equal_when_they_ask_for_the_same() -> None:
    assert len(set(DIFFERENT)) == len(DIFFERENT)
    for request in DIFFERENT:
        assert attrs.evolve(request) == request
        assert sum(request == other for other in DIFFERENT) == 1


@pytest.mark.parametrize("request_", DIFFERENT, ids=repr)
def test_requests_are_frozen(request_: Any) -> None:
    with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
        request_.symbol = "ETH/USD"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request_.channel = "trade"


def test_every_request_says_its_channel_symbol_and_variant() -> None:
    said = {type(request): (request.channel, request.symbol, request.variant) for request in reversed(DIFFERENT)}
    assert said == {
        Book: ("book", "BTC/USD", ("depth", 10)),
        Level3: ("level3", "BTC/USD", ("depth", 10)),
        Trades: ("trade", "BTC/USD", None),
        Ticker: ("ticker", "BTC/USD", ("trigger", "trades")),
        Candles: ("ohlc", "BTC/USD", ("interval", 1)),
        Instruments: ("instrument", None, ("include_tokenized_assets", False)),
        Executions: ("executions", None, None),
        Balances: ("balances", None, None),
        Lifecycle: (None, None, None),
    }


# A request of one's own


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    channel: ClassVar[str] = "tick"
    symbol: str
    number: int
    epoch: int = 0
    received_ns: int = 0


@attrs.frozen
class Ticks(Request[Tick]):
    channel: ClassVar[str | None] = "tick"
    symbol: str = attrs.field(converter=canonical_symbol)
    size: int = 1

    @property
    def variant(self) -> tuple[str, object]:
        return ("size", self.size)


def test_a_request_of_ones_own_is_a_request() -> None:
    request: Request = Ticks("xbt/usd", size=2)
    assert (request.channel, request.symbol, request.variant) == ("tick", "BTC/USD", ("size", 2))
    assert request == Ticks("BTC/USD", 2)
    assert request != Ticks("BTC/USD")
    assert {request: 1}[Ticks("BTC/USD", 2)] == 1
    assert request.joined(Ticks("BTC/USD", 2)) == request
    assert isinstance(request, Request)
    assert not isinstance(Tick(symbol="BTC/USD", number=1), Request)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.size = 3  # type: ignore[attr-defined]  # frozen
    error = SubscriptionRejected({request: "no"})
    assert error.reasons == {request: "no"}
    assert str(error) == "Ticks(symbol='BTC/USD', size=2): no"


def test_a_request_that_says_nothing_is_for_no_channel() -> None:
    assert (Request().channel, Request().symbol, Request().variant) == (None, None, None)


@pytest.mark.parametrize(("first", "second"), [(False, False), (False, True), (True, False), (True, True)])
def test_two_wishes_for_trades_are_one_for_their_history(*, first: bool, second: bool) -> None:
    joined = Trades("BTC/USD", snapshot=first).joined(Trades("BTC/USD", snapshot=second))
    assert joined == Trades("BTC/USD", snapshot=first or second)
    assert Executions(history=first).joined(Executions(history=second)) == Executions(history=first or second)


@pytest.mark.parametrize("request_", DIFFERENT, ids=repr)
def test_a_request_joined_with_an_equal_one_is_that(request_: Request) -> None:
    assert request_.joined(request_) == request_


def test_every_channel_has_a_row_in_the_protocol() -> None:
    assert {type(request) for request in DIFFERENT} == {Lifecycle, *(row.request for row in CHANNELS.values())}
