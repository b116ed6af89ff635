"""Records become changes of spans: each that begins ends once, and nothing points to what is not there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio import Cause, ConnectionState
from kraken_trio._text import printable
from kraken_trio.evidence import ChecksumEvidence
from kraken_trio.session.records import (
    AttemptDelayed,
    AttemptFailed,
    ClientLeft,
    NoticeReceived,
    Parked,
    PhaseBegun,
    Record,
    RequestRefused,
    Resynced,
    StateChanged,
    StepTaken,
    SubscriptionBegun,
)
from kraken_trio.session.steps import Happening, Step, moves
from kraken_trio.tracing.spans import MAX_LINKS, Begun, Change, Ended, Linked, Noted, Spans
from kraken_trio.wire.messages import RefusalKind

if TYPE_CHECKING:
    from collections.abc import Iterable

OFF, CONNECTING, ON, RESYNCING = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)
BTC, ETH = kt.Book("BTC/USD"), kt.Trades("ETH/USD")


def changed(previous: ConnectionState, current: ConnectionState, cause: Cause, detail: str = "") -> StateChanged:
    change = kt.StateChange(
        previous=previous, current=current, cause=cause, detail=detail, epoch=1, received_ns=0, retry_at=None
    )
    return StateChanged(change=change)


def stepped(request: kt.Request[Any], previous: Step, happening: Happening, current: Step) -> StepTaken:
    return StepTaken(request=request, previous=previous, happening=happening, current=current)


def resynced(request: kt.Request[Any], cause: Cause = Cause.CHECKSUM, **more: Any) -> Resynced:
    return Resynced(request=request, cause=cause, detail="it is wrong", attempt=1, **more)


OPENED = changed(OFF, CONNECTING, Cause.OPENED)
RETRY = changed(OFF, CONNECTING, Cause.RETRY)
CONNECTED = changed(CONNECTING, RESYNCING, Cause.CONNECTED)
SETTLED = changed(RESYNCING, ON, Cause.SETTLED)
LOST = changed(ON, OFF, Cause.SILENCE, "nothing was received")
NOT_CONNECTED = changed(CONNECTING, OFF, Cause.CONNECT_FAILED)
LEFT = ClientLeft()


def sent(request: kt.Request[Any]) -> StepTaken:
    return stepped(request, Step.TO_SUBSCRIBE, Happening.SENT, Step.SUBSCRIBING)


def accepted(request: kt.Request[Any]) -> StepTaken:
    return stepped(request, Step.SUBSCRIBING, Happening.ACCEPTED, Step.CONFIRMED)


def live(request: kt.Request[Any]) -> StepTaken:
    return stepped(request, Step.CONFIRMED, Happening.DATA, Step.LIVE)


def failed(request: kt.Request[Any], previous: Step = Step.LIVE) -> StepTaken:
    return stepped(request, previous, Happening.FAILED, Step.TO_UNSUBSCRIBE)


def told(records: Iterable[Record]) -> list[str]:
    """What becomes of them, one line for each change: the spans by their names, with a number for the second one."""
    spans, names, used = Spans(), {}, Counter[str]()
    lines = []
    for change in spans.take(records):
        if isinstance(change, Begun):
            name = change.name.removeprefix("kraken_trio.")
            used[name] += 1
            names[change.span] = name if used[name] == 1 else f"{name} {used[name]}"
            line = f"{names[change.span]} begins"
            if change.parent is not None:
                line += f", of {names[change.parent]}"
            line += "".join(f", linked to {names[link]}" for link in change.links)
        elif isinstance(change, Linked):
            line = f"{names[change.span]} is linked to {names[change.to]}"
        elif isinstance(change, Noted):
            line = f"{names[change.span]}: {change.name.removeprefix('kraken_trio.')}"
        else:
            line = f"{names[change.span]} ends"
            if "kraken_trio.outcome" in change.attributes:
                line += f": {change.attributes['kraken_trio.outcome']}"
            if change.error is not None:
                line += f" ({change.error})"
        lines.append(line)
    return lines


def test_a_first_connection_and_a_subscribe() -> None:
    assert told(
        [
            OPENED,
            *(PhaseBegun(phase=phase) for phase in ("name", "tcp", "tls", "upgrade")),
            changed(CONNECTING, ON, Cause.CONNECTED),
            SubscriptionBegun(request=BTC),
            changed(ON, RESYNCING, Cause.SUBSCRIBING),
            sent(BTC),
            accepted(BTC),
            live(BTC),
            SETTLED,
            changed(ON, OFF, Cause.CLOSED),
            LEFT,
        ]
    ) == [
        "connect begins",
        "connect.name begins, of connect",
        "connect.name ends",
        "connect.tcp begins, of connect",
        "connect.tcp ends",
        "connect.tls begins, of connect",
        "connect.tls ends",
        "connect.upgrade begins, of connect",
        "connect.upgrade ends",
        "connect ends: connected",
        "subscribe begins",
        "subscribe: confirmed",
        "subscribe ends: verified",
    ]


def test_an_outage_with_two_attempts_and_a_resync() -> None:
    error = kt.ConnectError("refused: HTTP 503", status=503, retry_after=2.0)
    up: list[Record] = [OPENED, CONNECTED, sent(BTC), accepted(BTC), live(BTC), SETTLED]
    assert told(
        [
            *up,
            LOST,
            stepped(BTC, Step.LIVE, Happening.LOST, Step.TO_SUBSCRIBE),
            RETRY,
            PhaseBegun(phase="tcp"),
            PhaseBegun(phase="upgrade"),
            AttemptFailed(error=error),
            NOT_CONNECTED,
            AttemptDelayed(why="the budget is spent"),
            RETRY,
            CONNECTED,
            sent(BTC),
            accepted(BTC),
            resynced(BTC),
            failed(BTC, Step.CONFIRMED),
            stepped(BTC, Step.TO_UNSUBSCRIBE, Happening.SENT, Step.UNSUBSCRIBING),
            stepped(BTC, Step.UNSUBSCRIBING, Happening.LEFT, Step.TO_SUBSCRIBE),
            sent(BTC),
            accepted(BTC),
            live(BTC),
            SETTLED,
        ]
    )[5:] == [
        "outage begins",
        "connect 2 begins, linked to outage",
        "outage is linked to connect 2",
        "connect.tcp begins, of connect 2",
        "connect.tcp ends",
        "connect.upgrade begins, of connect 2",
        "connect.upgrade ends (refused: HTTP 503)",
        "connect 2 ends: failed (refused: HTTP 503)",
        "outage: attempt.delayed",
        "connect 3 begins, linked to outage",
        "outage is linked to connect 3",
        "connect 3 ends: connected",
        "subscribe 2 begins, linked to outage",
        "subscribe 2: confirmed",
        "subscribe 2 ends: checksum (it is wrong)",
        "resync begins, linked to outage",
        "outage is linked to resync",
        "subscribe 3 begins, of resync, linked to outage",
        "subscribe 3: confirmed",
        "subscribe 3 ends: verified",
        "resync ends: verified",
        "outage ends: recovered",
    ]


UP: list[Record] = [OPENED, CONNECTED, SubscriptionBegun(request=BTC), sent(BTC), accepted(BTC)]
UP_LINES = ["connect begins", "connect ends: connected", "subscribe begins", "subscribe: confirmed"]


@pytest.mark.parametrize(
    ("records", "lines"),
    [
        pytest.param(
            [stepped(BTC, Step.CONFIRMED, Happening.NO_DATA, Step.CONFIRMED)],
            ["subscribe ends: no data"],
            id="no first data, and it stays",
        ),
        pytest.param(
            [LOST, stepped(BTC, Step.CONFIRMED, Happening.LOST, Step.TO_SUBSCRIBE), LEFT],
            ["outage begins", "subscribe ends: lost (lost)", "outage ends: closed"],
            id="lost, and left before there is another connection",
        ),
        pytest.param(
            [stepped(BTC, Step.CONFIRMED, Happening.UNWANTED, Step.TO_UNSUBSCRIBE)],
            ["subscribe ends: unwanted"],
            id="nobody wants it any more",
        ),
        pytest.param(
            [
                live(BTC),
                resynced(BTC),
                failed(BTC),
                stepped(BTC, Step.PAUSED, Happening.DROPPED, Step.GONE),
            ],
            ["subscribe ends: verified", "resync begins", "resync ends: unwanted"],
            id="nobody wants it any more, while it is resynced",
        ),
        pytest.param(
            [live(BTC), resynced(BTC), SubscriptionBegun(request=BTC)],
            ["subscribe ends: verified", "resync begins", "resync ends: unwanted"],
            id="it is wanted again before it was unsubscribed",
        ),
        pytest.param(
            [live(BTC), resynced(BTC), resynced(BTC, Cause.CROSSED)],
            [
                "subscribe ends: verified",
                "resync begins",
                "resync 2 begins, linked to resync",
                "resync ends: crossed (it is wrong)",
            ],
            id="a resync fails, too",
        ),
        pytest.param(
            [live(BTC), resynced(BTC), Parked(request=BTC, detail="too often", attempts=5, seconds=900.0)],
            ["subscribe ends: verified", "resync begins", "resync ends: parked (too often)"],
            id="parked",
        ),
        pytest.param(
            [
                live(BTC),
                resynced(BTC),
                sent(BTC),
                RequestRefused(symbol="BTC/USD", text="Currency pair\nnot supported", kind=RefusalKind.FINAL),
                stepped(BTC, Step.SUBSCRIBING, Happening.REFUSED, Step.REFUSED),
            ],
            [
                "subscribe ends: verified",
                "resync begins",
                "subscribe 2 begins, of resync",
                r"subscribe 2 ends: refused (Currency pair\nnot supported)",
                r"resync ends: refused (Currency pair\nnot supported)",
            ],
            id="refused",
        ),
        pytest.param(
            [
                RequestRefused(symbol="ETH/USD", text="that one", kind=RefusalKind.FINAL),
                stepped(BTC, Step.SUBSCRIBING, Happening.REFUSED, Step.REFUSED),
            ],
            ["subscribe ends: refused (refused)"],
            id="a refusal of another one says nothing",
        ),
        pytest.param(
            [
                live(BTC),
                resynced(BTC),
                sent(BTC),
                stepped(BTC, Step.SUBSCRIBING, Happening.NOT_NOW, Step.PAUSED),
                stepped(BTC, Step.PAUSED, Happening.DUE, Step.TO_SUBSCRIBE),
                sent(BTC),
                accepted(BTC),
                live(BTC),
            ],
            [
                "subscribe ends: verified",
                "resync begins",
                "subscribe 2 begins, of resync",
                "subscribe 2 ends: not now (not now)",
                "subscribe 3 begins, of resync",
                "subscribe 3: confirmed",
                "subscribe 3 ends: verified",
                "resync ends: verified",
            ],
            id="a resync takes two requests",
        ),
        pytest.param(
            [stepped(ETH, Step.REFUSED, Happening.ACCEPTED, Step.CONFIRMED), live(ETH), NoticeReceived(text="x"), LEFT],
            ["subscribe ends: closed"],
            id="what had ended is accepted all the same",
        ),
        pytest.param(
            [live(BTC), resynced(BTC), sent(BTC), LEFT, LEFT],
            [
                "subscribe ends: verified",
                "resync begins",
                "subscribe 2 begins, of resync",
                "subscribe 2 ends: closed",
                "resync ends: closed",
            ],
            id="left in the middle",
        ),
        pytest.param(
            [live(BTC), changed(RESYNCING, OFF, Cause.REFUSED, "go away")],
            ["subscribe ends: verified", "outage begins", "outage ends: refused (go away)"],
            id="refused for good",
        ),
        pytest.param(
            [live(BTC), LOST, RETRY, CONNECTED, LOST, RETRY, changed(CONNECTING, ON, Cause.CONNECTED)],
            [
                "subscribe ends: verified",
                "outage begins",
                "connect 2 begins, linked to outage",
                "outage is linked to connect 2",
                "connect 2 ends: connected",
                "outage: lost",
                "connect 3 begins, linked to outage",
                "outage is linked to connect 3",
                "connect 3 ends: connected",
                "outage ends: recovered",
            ],
            id="lost again before all was verified: one outage",
        ),
    ],
)
def test_what_becomes_of_a_subscription(records: list[Record], lines: list[str]) -> None:
    assert told([*UP, *records]) == [*UP_LINES, *lines]


@pytest.mark.parametrize(
    ("records", "lines"),
    [
        pytest.param([LEFT], ["connect ends: closed"], id="left while connecting, without a word"),
        pytest.param([changed(CONNECTING, OFF, Cause.CLOSED), LEFT], ["connect ends: closed"], id="left"),
        pytest.param(
            [RETRY], ["connect ends: closed", "connect 2 begins"], id="another attempt, without the end of the first"
        ),
        pytest.param(
            [PhaseBegun(phase="token"), LEFT],
            ["connect.token begins, of connect", "connect.token ends", "connect ends: closed"],
            id="left in a phase",
        ),
        pytest.param(
            [
                AttemptFailed(error=kt.ConnectError("no")),
                PhaseBegun(phase="tcp"),
                AttemptFailed(error=kt.ConnectError("?")),
            ],
            ["connect ends: failed (no)"],
            id="there is no attempt any more",
        ),
    ],
)
def test_what_becomes_of_an_attempt(records: list[Record], lines: list[str]) -> None:
    assert told([OPENED, *records]) == ["connect begins", *lines]


def test_attributes() -> None:
    evidence = ChecksumEvidence(symbol="BTC/USD", expected=1, computed=2, hashed="", message="")
    records: list[Record] = [
        OPENED,
        AttemptFailed(error=kt.KeyRefused("no", status=None)),
        NOT_CONNECTED,
        RETRY,
        PhaseBegun(phase="proxy"),
        AttemptFailed(error=kt.ConnectError("x\ny", proxy_status=407, retry_after=3.0, retryable=False)),
        NOT_CONNECTED,
        RETRY,
        CONNECTED,
        LOST,
        resynced(BTC, evidence=evidence),
        sent(kt.Instruments()),
        changed(RESYNCING, ON, Cause.SETTLED),
    ]
    changes = Spans().take(records)
    begun = [change.attributes for change in changes if isinstance(change, Begun)]
    ended = [change.attributes for change in changes if isinstance(change, Ended)]
    assert begun == [
        {"kraken_trio.attempt": 1},
        {"kraken_trio.attempt": 2},
        {},
        {"kraken_trio.attempt": 3},
        {"kraken_trio.cause": "silence", "kraken_trio.detail": "nothing was received", "kraken_trio.epoch": 1},
        {
            "kraken_trio.request": "Book(symbol='BTC/USD', depth=10)",
            "kraken_trio.channel": "book",
            "kraken_trio.symbol": "BTC/USD",
            "kraken_trio.cause": "checksum",
            "kraken_trio.detail": "it is wrong",
            "kraken_trio.failures": 1,
            "kraken_trio.checksum.expected": 1,
            "kraken_trio.checksum.computed": 2,
        },
        {"kraken_trio.request": str(kt.Instruments()), "kraken_trio.channel": "instrument"},
    ]
    assert ended == [
        {"kraken_trio.outcome": "failed", "error.type": "KeyRefused", "kraken_trio.retryable": True},
        {},
        {
            "kraken_trio.outcome": "failed",
            "error.type": "407",
            "kraken_trio.retryable": False,
            "http.response.status_code": 407,
            "kraken_trio.retry_after": 3.0,
            "kraken_trio.phase": "proxy",
        },
        {"kraken_trio.outcome": "connected", "kraken_trio.epoch": 1},
        {
            "kraken_trio.outcome": "recovered",
            "kraken_trio.losses": 1,
            "kraken_trio.attempts": 0,
            "kraken_trio.resyncs": 1,
        },
    ]
    assert [change.error for change in changes if isinstance(change, Ended)][1:3] == [r"x\ny", r"x\ny"]


def test_an_error_has_its_type() -> None:
    changes = Spans().take([*UP, stepped(BTC, Step.CONFIRMED, Happening.LOST, Step.TO_SUBSCRIBE)])
    assert changes[-1].attributes == {"kraken_trio.outcome": "lost", "error.type": "lost"}  # type: ignore[union-attr]


def test_a_long_outage_has_a_bounded_number_of_links_and_events() -> None:
    spans = Spans()
    spans.take([OPENED, CONNECTED, SETTLED, LOST])
    changes: list[Change] = []
    for _ in range(MAX_LINKS + 50):
        changes += spans.take(
            [RETRY, AttemptFailed(error=kt.ConnectError("no")), AttemptDelayed(why="x"), resynced(BTC)]
        )
        assert spans.open == 2
    assert sum(isinstance(change, Linked) for change in changes) == MAX_LINKS
    assert sum(isinstance(change, Noted) for change in changes) == MAX_LINKS
    (end,) = [change for change in spans.take([SETTLED]) if isinstance(change, Ended)]
    assert end.attributes["kraken_trio.attempts"] == end.attributes["kraken_trio.resyncs"] == MAX_LINKS + 50


# Anything at all, in any order

SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD")
REQUESTS: list[kt.Request[Any]] = [kind(symbol) for kind in (kt.Book, kt.Trades) for symbol in SYMBOLS]
requests = st.sampled_from(REQUESTS)
texts = st.text(max_size=20)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(changed, *[st.sampled_from(ConnectionState)] * 2, st.sampled_from(Cause), texts.map(printable)),
    st.builds(PhaseBegun, phase=st.sampled_from(["token", "name", "tcp", "proxy", "tls", "upgrade"])),
    st.builds(
        AttemptFailed,
        error=st.builds(kt.ConnectError, texts, status=st.none() | st.just(503), proxy_status=st.none() | st.just(407)),
    ),
    st.builds(AttemptDelayed, why=texts),
    st.builds(
        lambda request, move: stepped(request, move[0], move[1], move[2].step), requests, st.sampled_from([*moves()])
    ),
    st.builds(Resynced, request=requests, cause=st.sampled_from(Cause), detail=texts, attempt=st.integers(0, 5)),
    st.builds(Parked, request=requests, detail=texts, attempts=st.just(5), seconds=st.just(900.0)),
    st.builds(SubscriptionBegun, request=requests),
    st.builds(RequestRefused, symbol=st.none() | st.sampled_from(SYMBOLS), text=texts, kind=st.just(RefusalKind.FINAL)),
    st.just(LEFT),
)


@given(st.lists(st.lists(records, max_size=4)))
def test_each_span_ends_once_and_leads_to_what_is_open(batches: list[list[Record]]) -> None:
    spans = Spans()
    is_open: set[int] = set()
    last = 0
    batches.append([LEFT])
    for batch in batches:
        for change in spans.take(batch):
            if isinstance(change, Begun):
                assert change.span > last
                last = change.span
                leads_to = set(change.links) | ({change.parent} - {None})
                assert leads_to <= is_open
                is_open.add(change.span)
            else:
                assert change.span in is_open
                if isinstance(change, Linked):
                    assert change.to in is_open
                    assert change.to != change.span
                elif isinstance(change, Ended):
                    is_open.remove(change.span)
                    assert change.error is None or change.error.isprintable()
            if not isinstance(change, Linked):
                assert all(str(value).isprintable() for value in change.attributes.values())
        assert len(is_open) == spans.open <= 3 + 2 * len(REQUESTS)
    assert not is_open
