"""Whatever is given to ``kraken_trio.testing`` is checked: what may not be given is told at once, by its name."""

from __future__ import annotations

import enum
import inspect
import random
import types
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import attrs
import pytest
import trio
from hypothesis import example, given, settings, strategies as st

import kraken_trio.testing
from kraken_trio.testing import (
    ApiKey,
    BlackHole,
    BreakRest,
    Conditions,
    ConnectionJournal,
    CorruptLevel,
    CrossedBook,
    Cut,
    Degrade,
    Delay,
    DelayAcks,
    DelayConnect,
    DelayDial,
    DelaySnapshots,
    Direction,
    Drop,
    ExchangeCore,
    Fault,
    Irregularity,
    IrregularSnapshot,
    IrregularUpdate,
    Link,
    Market,
    MarketSpec,
    Network,
    Outage,
    Raw,
    Recording,
    ReferenceBook,
    ResetLink,
    RestBreak,
    Scheduled,
    SetStatus,
    SkipUpdate,
    Split,
    Throttle,
    Tokens,
    UpdateIrregularity,
    checks,
    open_exchange,
    open_proxy,
    read_frames,
    run_virtual,
    strategies,
)
from kraken_trio.testing.faults import LinkFault, NetworkFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

SPEC = MarketSpec(symbol="BTC/USD", price_precision=1, qty_precision=8, start_price="64525.0", levels=10)
VALUES: dict[type, Any] = {
    ApiKey: ApiKey(key="abcd", secret="AQEB"),
    BreakRest: BreakRest(how=RestBreak.HTML),
    CrossedBook: CrossedBook(symbol="BTC/USD", consistent=True),
    Degrade: Degrade(conditions=Conditions()),
    Delay: Delay(seconds=1),
    DelayAcks: DelayAcks(seconds=1),
    DelayConnect: DelayConnect(seconds=1),
    DelayDial: DelayDial(seconds=1),
    DelaySnapshots: DelaySnapshots(seconds=1),
    IrregularSnapshot: IrregularSnapshot(how=Irregularity.UNSORTED),
    IrregularUpdate: IrregularUpdate(how=UpdateIrregularity.REPUBLISHED),
    MarketSpec: SPEC,
    Outage: Outage(seconds=1),
    Raw: Raw(payload="x"),
    Scheduled: Scheduled(at=1, fault=Drop()),
    SetStatus: SetStatus(system="online"),
    Split: Split(max_bytes=1),
    Throttle: Throttle(bytes_per_second=1),
} | {
    kind: kind()
    for kind in (Conditions, *get_args(Fault), *get_args(LinkFault), *get_args(NetworkFault))
    if all(field.default is not attrs.NOTHING for field in attrs.fields(kind))
}
"""A value of each class that a user makes: of every public one with fields, but for the exchange's own records."""
FIELDS = [
    pytest.param(value, field.name, id=f"{kind.__name__}.{field.name}")
    for kind, value in VALUES.items()
    for field in attrs.fields(kind)
]
SECONDS = (-1, -0.001, nan, inf, "1", None, True)
COUNT = (-1, 1.5, "1", True, nan)
FROM_1 = (0, *COUNT)
TEXT = (5, b"x", None, ["x"])
SYMBOL = ("", "BTC", "BTC/", "/USD", "BTC/USD/EUR", "BTC USD", 'A"/B', "A\n/B", 5, b"BTC/USD", ("BTC/USD",))
BOOLEAN = (0, 1, None, "yes")
BAD: dict[str, tuple[object, ...]] = {
    "at": SECONDS,
    "body": TEXT,
    "buffer_bytes": (*FROM_1, None),
    "call": (5, b"x", ["x"]),
    "bytes_per_second": (0, -1, nan, inf, "1", True),
    "chance": (-0.1, 1.1, nan, "1", None, True),
    "channel": ("books", "", 5, b"book"),
    "conditions": (None, (0, 1), Direction.BOTH, Conditions),
    "connection": FROM_1,
    "connection_id": BOOLEAN,
    "consistent": BOOLEAN,
    "dials": BOOLEAN,
    "direction": ("to client", None, 5),
    "error": TEXT,
    "exec_type": TEXT,
    "existing": BOOLEAN,
    "extra": BOOLEAN,
    "fault": (None, "Drop()", Drop, Cut()),
    "fills": (*COUNT, None),
    "history": (*COUNT, None),
    "how": ("eof", None, 1000, Direction.BOTH),
    "kind": ("text", None, 1),
    "latency": (0.1, (0.1,), (0.1, 0.2, 0.3), (0.2, 0.1), (-1, 1), (0, inf), (nan, nan), ("0", "1"), [0, 1], None),
    "levels": (*COUNT, None, 10**9),
    "link": FROM_1,
    "marginable": BOOLEAN,
    "max_bytes": (*FROM_1, None),
    "method": ("ping!", "", "pong", 5),
    "multiplier": ("0", "-1", "x", "", "1e3", "1_0", 1, 1.5),
    "names_channel": BOOLEAN,
    "notice": (5, b"x"),
    "patience": (0, *SECONDS),
    "key": TEXT,
    "name": TEXT,
    "nonce_window": COUNT,
    "otp": (5, b"x", ["x"]),
    "permissions": ("query-funds", 5, None),
    "secret": TEXT,
    "text": TEXT,
    "payload": (5, None, ["x"], bytearray(b"x")),
    "piece": (5, (5,), (0, 5), (6, 5), (1, 2, 3), (1.5, 2), ("1", "2"), None),
    "price_precision": (*COUNT, None, 19),
    "qty_precision": (*COUNT, None, 19),
    "reason": (*TEXT, "x" * 124, "é" * 62),
    "retry_after": (-1, nan, inf, "1", True),
    "seconds": (-1, nan, inf, "1", True),
    "shape": ("bare", None, 1),
    "snapshots": BOOLEAN,
    "spacing": (*FROM_1, None),
    "start_price": ("0", "-1", "x", "", "1e3", "64525.01", "inf", "nan", 64525, None),
    "status": (None, 5.5, b"x", [], True, nan),
    "symbol": SYMBOL,
    "system": TEXT,
    "times": FROM_1,
    "top": BOOLEAN,
    "typical_qty": ("0", "-1", "x", "", "0.000000001", 1, None),
    "updates": (*FROM_1, None),
    "weight": (-1, nan, inf, "1", None, True),
}
"""What may be given to no field of this name."""
MORE_BAD: dict[str, tuple[object, ...]] = {
    "RefuseConnect.status": (101, 199, 600, "503"),
    "UnknownChannel.channel": (),
    "SkipUpdate.channel": ("ticker",),
    "DelayConnect.seconds": (None,),
    "Outage.seconds": (0, None),
}
FREE = {"UnknownChannel.channel": ("books", "")}
"""What may be given nevertheless."""


def refused(make: Callable[[], object], name: str, value: object) -> None:
    """It is refused, in an error that says the name, the value, and what may be given."""
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    told = str(caught.value)
    assert name in told
    assert repr(value)[:20].strip("'\"[(") in told or name == "fault"
    assert len(told) < 400


@pytest.mark.parametrize(("value", "name"), FIELDS)
def test_what_may_not_be_given_is_refused(value: Any, name: str) -> None:
    where = f"{type(value).__name__}.{name}"
    for bad in (*BAD[name], *MORE_BAD.get(where, ())):
        if bad not in FREE.get(where, ()):
            refused(lambda bad=bad: attrs.evolve(value, **{name: bad}), name, bad)  # type: ignore[misc]  # mypy infers no lambda with a default


class Odd(enum.Enum):
    ODD = "odd"


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3) | st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.sampled_from([Odd.ODD, Direction.BOTH, Drop(), SPEC, object, "BTC/USD", "book", "subscribe", 503, 0.5]),
    st.tuples(st.floats(), st.floats()) | st.tuples(st.integers(), st.integers()),
    st.lists(st.integers(), max_size=2),
)


def is_of(value: object, hint: Any) -> bool:
    """Whether a value is of an annotated type; bool is no number, and a number is finite."""
    if get_origin(hint) in (Union, types.UnionType):
        return any(is_of(value, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(is_of, value, parts))
    if get_origin(hint) is frozenset:
        return isinstance(value, frozenset) and all(is_of(one, *get_args(hint)) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is type(None):
        return value is None
    return isinstance(value, hint)


@pytest.mark.parametrize(("value", "name"), FIELDS)
def test_whatever_is_given_is_of_its_type_or_refused(value: Any, name: str) -> None:
    hint = get_type_hints(type(value))[name]

    @settings(max_examples=15)
    @given(given_value=ANYTHING)
    @example(given_value=getattr(value, name))
    def check(given_value: object) -> None:
        told = ""
        try:
            assert is_of(getattr(attrs.evolve(value, **{name: given_value}), name), hint)
        except (TypeError, ValueError) as error:
            told = str(error)
        assert not told or name in told

    check()


def test_no_public_class_is_left_out() -> None:
    records = {"ExchangeStatistics", "ReceivedRequest", "Withheld"}
    public = {
        name
        for name in kraken_trio.testing.__all__
        if attrs.has(kind := getattr(kraken_trio.testing, name)) and attrs.fields(kind)
    }
    assert {kind.__name__ for kind in VALUES if attrs.fields(kind)} == public - records


# Functions, and classes that are no values


async def opened(manager: Any) -> None:
    async with manager:
        pytest.fail("it was opened")


def run_exchange(**given: Any) -> None:
    manager = open_exchange(**given)
    assert given.keys() <= {"recording", "faults"}, "this can be told before it is entered"
    trio.run(opened, manager)


def run_proxy(**given: Any) -> None:
    open_proxy(**({"url": "ws://127.0.0.1:8000/v2"} | given))
    pytest.fail("this can be told before it is entered")


def core(**given: Any) -> ExchangeCore:
    rest: dict[str, Any] = {"market": Market([SPEC]), "now": 0.0, "epoch_ns": 0}
    return ExchangeCore(**(rest | given))


def link(**given: Any) -> None:
    async def make() -> None:
        await trio.lowlevel.checkpoint()
        rest: dict[str, Any] = {"number": 1, "random": random.Random(1), "conditions": Conditions()}
        Link(**(rest | given))

    trio.run(make)


EPOCH = (-1, 1.5, "1", True, 10**30)
SEED = (1.5, "x", None, True)
MARKETS = (["BTC/USD"], "BTC/USD", SPEC, 5, None, [SPEC, None], [SPEC, SPEC], [attrs.evolve(SPEC, weight=0)])
PORT = (80000, -1, 65536, 1.5, "80", None, True)
HOST = ("", "a b", "a/b", 5, b"x")
KEYS = ("x", 5, None, ["x"], ApiKey(key="abcd", secret="AQEB"))
RATE = (-5, nan, inf, -0.001, "5", None, True, 1e12)
FUNCTIONS: dict[Any, dict[str, tuple[object, ...]]] = {
    run_exchange: {
        "markets": MARKETS,
        "seed": SEED,
        "rate": RATE,
        "recording": (5, [5], 5.5, [None]),
        "replay_rate": (0, -1, nan, inf, "5", True, 5),  # and a good one without a recording
        "faults": ("x", Drop(), 5, None, ["Drop()"], [Drop], [Cut()], [None], [ResetLink()], b"x"),
        "snapshot_delay": (-1, nan, inf, "1", None, True),
        "snapshot_points": (-1, 1.5, "1", None, True),
        "account_rate": RATE,
        "keys": KEYS,
        "ssl_context": ("tls", 5, True),
        "network": ("memory", 5, Network),
        "host": HOST,
        "port": PORT,
        "journal_limit": (-1, 1.5, "1", True),
        "queue_limit": (0, -1, 1.5, "1", True),
        "epoch_ns": EPOCH,
    },
    run_proxy: {
        "url": (5, None, "", "ws://127.0.0.1/v2", "127.0.0.1:80", "ws://127.0.0.1:x/", "ws://127.0.0.1:80000/v2"),
        "seed": SEED,
        "host": (*HOST, None),
        "port": PORT,
    },
    core: {
        "market": (None, [SPEC], Market),
        "now": (None, "0", nan, inf, True),
        "epoch_ns": (*EPOCH, None),
        "seed": SEED,
        "recording": ("x", 5, [""]),
        "replay_rate": (0, -1, nan, inf, "5", True),
        "snapshot_delay": (-1, nan, inf, "1", None, True),
        "snapshot_points": (-1, 1.5, "1", None, True),
        "account_rate": RATE,
        "keys": KEYS,
        "faults": (
            "x",
            Drop(),
            5,
            None,
            ["Drop()"],
            [Drop],
            [Cut()],
            [ResetLink()],
            [Scheduled(at=1, fault=ResetLink())],
        ),
        "journal_limit": (-1, 1.5, "1", True),
        "tokens": ("token", 5, Tokens),
    },
    Market: {"specs": MARKETS, "seed": SEED, "rate": RATE, "start_ns": (*EPOCH, None)},
    Tokens: {
        "seed": SEED,
        "lifetime": (-1, nan, inf, "1", None, True),
        "refusal": TEXT,
        "reusable": BOOLEAN,
    },
    Network: {"seed": SEED, "conditions": (None, "bad", (0, 1), Conditions)},
    link: {"number": (0, -1, 1.5, "1", True), "random": (None, 5, random), "conditions": (None, 5)},
    ReferenceBook: {
        "depth": (0, -1, 1.5, "10", True),
        "bids": ([(1.5, "1")], [("x", "1")], [("1", "")], [("1", 5)], [("-1", "1")], [("1", "1e99999")]),
        "asks": ([("1", "x")], [(None, "1")], [("1", "nan")]),
    },
    ConnectionJournal: {"connection": (0, -1, "1", None), "limit": (-1, "1", 1.5)},
    Recording: {"frames": ("x", b"x", 5, None, [5], [None])},
    read_frames: {"path": (5, None, b"x")},
    run_virtual: {"async_fn": (None, 5, "x"), "seed": SEED},
    strategies.levels: {"price_precision": (-1, 19, 1.5, "1"), "qty_precision": (-1, 19, None)},
    strategies.books: {"depth": (0, -1, 1.5, "10"), "symbol": SYMBOL},
    strategies.book_histories: {"depth": (0, -1, 1.5, "10"), "symbol": SYMBOL, "max_updates": (-1, 1.5, None)},
    strategies.fault_schedules: {"seconds": (-1, nan, inf, "1", None), "max_faults": (-1, 1.5, None)},
    strategies.link_faults: {"seconds": (0, -1, nan, inf, "1", None)},
}
REST: dict[Any, dict[str, Any]] = {
    ConnectionJournal: {"connection": 1, "limit": None},
    run_virtual: {"async_fn": trio.sleep, "seed": 0},
}
"""What is given for the others where there is no default."""
CALLS = [
    pytest.param(function, name, id=f"{function.__name__}-{name}")
    for function, names in FUNCTIONS.items()
    for name in names
]
SAID_OTHERWISE = {
    "specs": "markets",
    "bids": "level",
    "asks": "level",
    "recording": "frames",
    "faults": "network",
    "url": "",
}


@pytest.mark.parametrize(("function", "name"), CALLS)
def test_functions_refuse_it_too(function: Any, name: str) -> None:
    for bad in FUNCTIONS[function][name]:
        with pytest.raises((TypeError, ValueError)) as caught:
            function(**(REST.get(function, {}) | {name: bad}))
        told = str(caught.value)
        assert any(word in told for word in (name, SAID_OTHERWISE.get(name, name), "fault", "market")), (bad, told)
        assert len(told) < 400


def test_no_argument_is_left_out() -> None:
    real: dict[Any, Any] = {run_exchange: open_exchange, run_proxy: open_proxy, core: ExchangeCore, link: Link}
    for function, names in FUNCTIONS.items():
        given = inspect.signature(real.get(function, function)).parameters.items()
        assert names.keys() == {name for name, one in given if one.kind is not one.VAR_POSITIONAL}


@pytest.mark.parametrize("symbol", SYMBOL)
def test_strategies_of_faults_check_their_symbols(symbol: Any) -> None:
    refused(lambda: strategies.faults("BTC/USD", symbol), "symbols", symbol)
    refused(lambda: strategies.fault_schedules(symbol), "symbols", symbol)


# What is asked of what runs


@pytest.mark.parametrize(
    "fault", ["Drop()", None, Drop, Cut(), ResetLink(), Scheduled(at=1, fault=Drop()), SkipUpdate(symbol="NO/SUCH")]
)
async def test_an_exchange_refuses_what_is_no_fault_of_its_own(fault: Any) -> None:
    async with open_exchange(markets=[SPEC], rate=0) as exchange:
        with pytest.raises((TypeError, ValueError)):
            exchange.inject(fault)
        assert exchange.faults == ()


async def test_an_exchange_checks_what_it_is_asked() -> None:
    async with open_exchange(markets=[SPEC], rate=0) as exchange:
        for updates in (-1, 1.5, "5", None, True):
            with pytest.raises((TypeError, ValueError), match="updates="):
                await exchange.publish(updates)  # type: ignore[arg-type]  # wrong on purpose
        for depth in (0, -1, 1.5, "5", True):
            with pytest.raises((TypeError, ValueError), match="depth="):
                exchange.book("BTC/USD", depth)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(TypeError, match="condition="):
            await exchange.wait_until(5)  # type: ignore[arg-type]  # wrong on purpose
        for symbol in ("NO/SUCH", 5):
            with pytest.raises(KeyError):
                exchange.book(symbol)  # type: ignore[arg-type]  # wrong on purpose
            with pytest.raises(KeyError):
                await exchange.publish(1, symbol)  # type: ignore[arg-type]  # wrong on purpose


async def test_an_exchange_without_markets_publishes_nothing() -> None:
    async with open_exchange(markets=[]) as exchange:
        with pytest.raises(ValueError, match="no market"):
            await exchange.publish()


async def test_a_network_and_a_proxy_check_what_they_are_asked(autojump_clock: MockClock) -> None:
    network = Network()
    for fault in ("x", None, Drop(), Cut(), BlackHole, CorruptLevel()):
        with pytest.raises(TypeError, match="fault="):
            network.inject(fault)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(TypeError, match="script"):
            await network.play([fault])  # type: ignore[list-item]  # wrong on purpose
    for script in ("x", None, ResetLink()):
        with pytest.raises(TypeError, match="script="):
            await network.play(script)  # type: ignore[arg-type]  # wrong on purpose
    one = Link(1, random.Random(1), Conditions())
    for seconds in (0, -1, nan, "1", True):
        with pytest.raises((TypeError, ValueError), match="seconds="):
            one.silence(Direction.BOTH, seconds)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match="direction="):
        one.silence("both", 1)  # type: ignore[arg-type]  # wrong on purpose
    for conditions in (None, (0, 1)):
        with pytest.raises(TypeError, match="conditions="):
            one.set_conditions(conditions)  # type: ignore[arg-type]  # wrong on purpose
    for max_bytes in (0, -1):
        with pytest.raises(ValueError, match="max_bytes"):
            await one.client.receive_some(max_bytes)


async def test_a_proxy_refuses_what_is_no_fault_of_its_own() -> None:
    async with open_exchange(rate=0) as exchange, open_proxy(exchange.url) as proxy:
        for fault in ("x", None, Drop(), ResetLink(), Cut):
            with pytest.raises(TypeError, match="fault="):
                proxy.inject(fault)  # type: ignore[arg-type]  # wrong on purpose


# The checks


@pytest.mark.parametrize(
    ("check", "value", "told"),
    [
        (checks.port, 80000, "x=80000: a whole number, from 0 to 65535"),
        (checks.seconds, nan, "x=nan: a number, at least 0"),
        (checks.number(), "5", "x='5': a number, finite, and not str"),
        (checks.number(above=0, most=9), 10, "x=10: a number, more than 0, at most 9"),
        (checks.times, 0, "x=0: a whole number, at least 1; or None"),
        (checks.boolean, 1, "x=1: True or False, and not int"),
        (checks.one_of(1, 2), True, "x=True: one of 1, 2"),
        (checks.one_of("a", "b"), "c", "x='c': one of 'a', 'b'"),
        (checks.text(), "x" * 200, None),
        (checks.count, "y" * 200, f"x='{'y' * 98}…: a whole number, at least 0, and not str"),
        (checks.decimal_text(decimals=2), "0.125", "x='0.125': a positive decimal number with at most 2 decimals, "),
        (checks.decimal_text(decimals=2), "0.12000", None),
        (checks.any_of(checks.port, checks.symbol), "x", "x='x': a symbol like \"BTC/USD\""),
        (checks.any_of(checks.port, checks.symbol), 80, None),
    ],
)
def test_what_is_told(check: Any, value: object, told: str | None) -> None:
    if told is None:
        check("x", value)
    else:
        with pytest.raises((TypeError, ValueError)) as caught:
            check("x", value)
        assert str(caught.value).startswith(told)
