"""What the checks say of any values, and how that is printed."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, strategies as st

from kraken_trio.cli.doctor import checks, formats
from kraken_trio.cli.doctor.checks import Growth
from kraken_trio.cli.doctor.findings import Finding, Level, Limit, verdict
from kraken_trio.recording.records import encode

BAD = (Level.WARNING, Level.FAILED)
figures = st.floats(0, 1e9) | st.integers(0, 10**15)
texts = st.text(min_size=1, max_size=30) | st.sampled_from(["a; b", "x (y)", "a|b", 'q"\\\n', "\x1b[2J"])


# -- how bad a figure is ----------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans())
@example(2.0, 1.0, 1.0, False)
@example(1.0, 1.0, 1.0, False)
def test_a_figure_is_good_up_to_its_limit(value: float, warns: float, more: float, lower: bool) -> None:
    fails = warns - more if lower else warns + more

    def beyond(limit: float) -> bool:
        return value < limit if lower else value > limit

    expected = Level.FAILED if beyond(fails) else Level.WARNING if beyond(warns) else Level.OK
    assert Limit(warns, fails, lower).judge(value) is expected


@pytest.mark.parametrize("lower", [False, True])
def test_what_is_no_number_is_bad(lower: bool) -> None:
    assert Limit(1, 1, lower).judge(math.nan) is Level.FAILED


@given(st.lists(st.sampled_from(Level)))
def test_the_verdict_is_the_worst_of_what_was_checked(levels: list[Level]) -> None:
    found = verdict([Finding(check="x", level=level, says="") for level in levels])
    assert found is not Level.SKIPPED
    assert found.status == max((level.status for level in levels if level is not Level.SKIPPED), default=0)


# -- the checks -------------------------------------------------------------------------------------------------------

maybe_text = st.none() | texts
growths = st.builds(Growth, a_day=st.floats(0, 1e15), over=figures, deletes=st.booleans(), is_guess=st.booleans())
CHECKS: dict[str, st.SearchStrategy[Finding]] = {
    "core": st.builds(checks.core, st.sampled_from(["compiled", "pure"]), can_compile=st.booleans()),
    "transport": st.builds(checks.transport, st.just("websockets"), maybe_text),
    "budget": st.builds(checks.budget, st.none() | st.integers(0, 120), st.floats(0, 600), maybe_text),
    "files": st.builds(checks.files, st.none() | st.integers(0, 10**7)),
    "folder": st.builds(checks.folder, maybe_text, exists=st.booleans(), is_writable=st.booleans()),
    "disk": st.builds(checks.disk, st.integers(0, 10**15)),
    "inodes": st.builds(checks.inodes, st.none() | st.integers(0, 10**9)),
    "recorder": st.builds(checks.recorder, maybe_text, st.none() | figures),
    "segments": st.builds(
        checks.segments,
        st.integers(0, 5000),
        st.lists(texts, max_size=9),
        st.lists(texts, max_size=9),
        looked_at=st.none() | st.integers(1, 1000),
        error=maybe_text,
    ),
    "proxy": st.builds(checks.proxy, st.none() | st.just("through it"), maybe_text),
    "name": st.builds(checks.name, texts, figures, st.integers(0, 9), st.integers(0, 9), maybe_text),
    "tcp": st.builds(checks.tcp, figures, proxied=st.booleans()),
    "tls": st.builds(checks.tls, figures, texts),
    "certificate": st.builds(checks.certificate, st.floats(-1e9, 1e9)),
    "upgrade": st.builds(checks.upgrade, figures),
    "refusal": st.builds(checks.refusal, st.none() | st.integers(200, 599), st.none() | st.floats(0, 86_400)),
    "http-clock": st.builds(checks.http_clock, st.none() | st.floats(-1e10, 1e10)),
    "engine": st.builds(checks.engine, maybe_text),
    "round-trip": st.builds(checks.round_trip, st.lists(figures, max_size=10), maybe_text),
    "clock": st.builds(checks.clock, st.lists(st.floats(-1e10, 1e10), max_size=10)),
    "subscribe": st.builds(checks.subscribe, st.none() | figures),
    "heartbeats": st.builds(
        lambda runs: checks.heartbeats([(sorted(times), max(times, default=0) + more) for times, more in runs]),
        st.lists(st.tuples(st.lists(st.floats(0, 100), max_size=9), st.floats(0, 10)), max_size=3),
    ),
    "connection": st.builds(checks.connection, figures, st.integers(0, 3), st.just("") | texts),
    "book": st.builds(
        checks.book,
        texts,
        st.integers(0, 99),
        st.integers(0, 9),
        is_up=st.booleans(),
        refused=maybe_text,
    ),
    "trades": st.builds(checks.trades, texts, st.integers(0, 99), st.integers(0, 9)),
    "room": st.builds(checks.room, st.integers(0, 10**15), st.none() | growths),
}


def test_every_check_is_here() -> None:
    assert tuple(CHECKS) == checks.CHECKS


@pytest.mark.parametrize("check", CHECKS)
@given(data=st.data())
def test_a_finding_is_a_line_with_a_figure_its_limit_and_a_cure_if_it_is_bad(check: str, data: st.DataObject) -> None:
    finding = data.draw(CHECKS[check])
    assert finding.check == check
    assert finding.says
    assert finding.says.isprintable()
    assert len(finding.says) < 600
    assert bool(finding.cure) == (finding.level in BAD)
    if finding.limit is not None:
        assert finding.value is not None
        judged = finding.limit.judge(finding.value)
        assert finding.level is judged or (check == "round-trip" and finding.level is Level.WARNING)
    if finding.level is Level.SKIPPED:
        assert finding.value is None


GOOD = {
    "core": checks.core("compiled", can_compile=True),
    "pure core where none can be compiled": checks.core("pure", can_compile=False),
    "transport": checks.transport("websockets", None),
    "budget": checks.budget(90, 0, None),
    "files": checks.files(1024),
    "folder": checks.folder(None),
    "a folder that will be made": checks.folder(None, exists=False),
    "disk": checks.disk(10**11),
    "inodes": checks.inodes(10**6),
    "recorder": checks.recorder("process 7", 0.3),
    "no recorder": checks.recorder(None, None),
    "no recorder for days": checks.recorder(None, 1e6),
    "a new recorder": checks.recorder("process 7", None),
    "segments": checks.segments(9, [], []),
    "more segments than are looked at": checks.segments(5000, [], [], looked_at=1000),
    "no segments": checks.segments(0, [], []),
    "proxy": checks.proxy(None, None),
    "a proxy": checks.proxy("through the proxy http://proxy.test:80", None),
    "name": checks.name("ws.kraken.com", 0.01, 2, 0, None),
    "name, by v6 only": checks.name("ws.kraken.com", 0.01, 0, 2, None),
    "tcp": checks.tcp(0.05, proxied=False),
    "tls": checks.tls(0.1, "TLSv1.3"),
    "certificate": checks.certificate(30 * 86_400),
    "upgrade": checks.upgrade(0.1),
    "refusal": checks.refusal(None, None),
    "http-clock": checks.http_clock(-0.9),
    "engine": checks.engine("online"),
    "round-trip": checks.round_trip([0.02] * 10),
    "clock": checks.clock([-0.05, 0.01, 5.0]),
    "subscribe": checks.subscribe(0.3),
    "heartbeats": checks.heartbeats([([1.0, 2.0, 3.1], 4.0)]),
    "heartbeats around a reconnect": checks.heartbeats([([1.0, 2.0], 3.0), ([], 4.0), ([9.0], 9.5)]),
    "connection": checks.connection(3.5, 0, ""),
    "book": checks.book("BTC/USD", 50, 0, is_up=True, refused=None),
    "a quiet book": checks.book("BTC/USD", 1, 0, is_up=True, refused=None),
    "trades": checks.trades("BTC/USD", 9, 0),
    "no trades": checks.trades("BTC/USD", 0, 0),
    "room": checks.room(10**9, Growth(a_day=1e8, over=5e5)),
    "room that old files make": checks.room(10**9, Growth(a_day=1e9, over=5e5, deletes=True)),
}
"""What is usual."""
WARNED = {
    "core": checks.core("pure", can_compile=True),
    "transport": checks.transport("trio-websocket", "no module"),
    "budget": checks.budget(91, 0, None),
    "files": checks.files(255),
    "disk": checks.disk(4 * 10**9),
    "inodes": checks.inodes(999),
    "recorder": checks.recorder("process 7", 121.0),
    "segments": checks.segments(9, ["00000009-20260802T000024Z.mcap"], []),
    "name": checks.name("ws.kraken.com", 1.0, 2, 0, None),
    "tcp": checks.tcp(1.0, proxied=False),
    "tls": checks.tls(2.0, "TLSv1.3"),
    "certificate": checks.certificate(6 * 86_400),
    "upgrade": checks.upgrade(2.0),
    "http-clock": checks.http_clock(-5.0),
    "engine": checks.engine("maintenance"),
    "a slow round-trip": checks.round_trip([0.7] * 10),
    "an unanswered ping": checks.round_trip([0.02] * 9),
    "clock": checks.clock([0.3]),
    "subscribe": checks.subscribe(4.0),
    "a connection that was lost between pings": checks.round_trip([0.02] * 9, "EOF"),
    "heartbeats": checks.heartbeats([([1.0, 4.0], 5.0)]),
    "room": checks.room(10**9, Growth(a_day=2e8, over=4.0, is_guess=True)),
}
FAILED = {
    "budget": checks.budget(120, 30.0, None),
    "budget file": checks.budget(None, 0, "it is no regular file"),
    "files": checks.files(32),
    "folder": checks.folder("x is a file"),
    "a folder of somebody else": checks.folder(None, is_writable=False),
    "a folder that cannot be made": checks.folder(None, exists=False, is_writable=False),
    "disk": checks.disk(10**8),
    "inodes": checks.inodes(9),
    "recorder": checks.recorder("process 7", 901.0),
    "segments": checks.segments(9, ["x"], ["y, byte 0: it does not begin as an MCAP file does"]),
    "unreadable segments": checks.segments(0, [], [], error="they cannot be read"),
    "proxy": checks.proxy(None, "HTTPS_PROXY is not a usable proxy: x; write it so"),
    "name": checks.name("ws.kraken.com", 0.1, 0, 0, "Name or service not known"),
    "no address": checks.name("ws.kraken.com", 0.1, 0, 0, None),
    "tcp": checks.tcp(4.0, proxied=True),
    "certificate": checks.certificate(-1),
    "a ban": checks.refusal(429, None),
    "a block": checks.refusal(403, None),
    "an exchange that is down": checks.refusal(503, None),
    "a wrong URL": checks.refusal(404, None),
    "http-clock": checks.http_clock(20.0),
    "engine": checks.engine(None),
    "round-trip": checks.round_trip([]),
    "clock": checks.clock([-90.0]),
    "subscribe": checks.subscribe(None),
    "no heartbeat": checks.heartbeats([([], 9.0)]),
    "heartbeats that end": checks.heartbeats([([1.0, 2.0], 9.0)]),
    "a refused symbol": checks.book("NO/PE", 0, 0, is_up=False, refused="Currency pair not supported"),
    "connection": checks.connection(3.5, 1, "EOF"),
    "wrong checksums": checks.book("BTC/USD", 40, 1, is_up=True, refused=None),
    "no book": checks.book("BTC/USD", 0, 0, is_up=False, refused=None),
    "a book that was lost": checks.book("BTC/USD", 40, 0, is_up=False, refused=None),
    "trades": checks.trades("BTC/USD", 9, 1),
    "room": checks.room(10**8, Growth(a_day=2e8, over=9e4)),
}


@pytest.mark.parametrize("what", GOOD)
def test_what_is_good(what: str) -> None:
    assert GOOD[what].level is Level.OK


@pytest.mark.parametrize("what", WARNED)
def test_what_is_warned_of(what: str) -> None:
    assert WARNED[what].level is Level.WARNING


@pytest.mark.parametrize("what", FAILED)
def test_what_fails(what: str) -> None:
    assert FAILED[what].level is Level.FAILED


def test_a_cure_speaks_of_a_figure_only_where_there_is_one() -> None:
    assert "the figure is high" in WARNED["a slow round-trip"].cure
    assert "the figure is high" not in FAILED["round-trip"].cure


@pytest.mark.parametrize(
    ("finding", "says"),
    [
        (GOOD["segments"], "9 files, whole"),
        (GOOD["more segments than are looked at"], "the newest 1,000 of 5,000 files are whole"),
        (WARNED["segments"], "1 file without an end: 00000009-20260802T000024Z.mcap"),
        (FAILED["segments"], "1 file damaged or missing: y, byte 0: it does not begin as an MCAP file does"),
        (GOOD["recorder"], "process 7 records into it, last 300 ms ago"),
        (GOOD["room"], "full in 10 days, at 100.0 MB a day, measured over 6 days of this recording"),
        (WARNED["room"], "full in 5 days, at 200.0 MB a day, guessed from 4.0 s of these symbols"),
        (
            GOOD["room that old files make"],
            "older files are deleted; 24 h more are free, at 1.0 GB a day, measured over 6 days of this recording",
        ),
        (FAILED["connection"], "lost once in 3.5 s: EOF"),
        (checks.connection(3.5, 2, ""), "lost 2 times in 3.5 s"),
        (FAILED["wrong checksums"], "1 checksum wrong, 40 right"),
        (checks.tcp(0.05, proxied=True, family="IPv6"), "connected through the proxy over IPv6 in 50 ms"),
        (
            WARNED["a connection that was lost between pings"],
            "20 ms median of 9 pings (20 ms to 20 ms); then the connection was lost: EOF",
        ),
    ],
)
def test_what_is_said(finding: Finding, says: str) -> None:
    assert finding.says == says


@pytest.mark.parametrize("growth", [None, Growth(a_day=0.0, over=5.0, is_guess=True)])
def test_how_long_a_disk_lasts_is_not_told_from_nothing(growth: Growth | None) -> None:
    assert checks.room(10**9, growth).level is Level.SKIPPED


@pytest.mark.parametrize(
    ("passed", "secure", "check"),
    [
        ([], True, "tcp"),
        (["tcp"], True, "tls"),
        (["tcp", "tls"], True, "upgrade"),
        (["tcp"], False, "upgrade"),
        (["tcp", "tls", "upgrade"], True, "upgrade"),
    ],
)
def test_the_phase_that_failed(passed: list[str], secure: bool, check: str) -> None:
    finding = checks.not_connected(passed, "it broke; mend it", secure=secure)
    assert (finding.check, finding.level, finding.says, finding.cure) == (check, Level.FAILED, "it broke", "mend it")


@pytest.mark.parametrize(
    ("error", "says", "cure"),
    [
        ("x refused: HTTP 404 (there is none: check the URL)", "x refused: HTTP 404", "there is none: check the URL"),
        ("x refused: HTTP 500", "x refused: HTTP 500", "check the address, the network, and any firewall"),
    ],
)
def test_the_cure_of_an_error_of_the_upgrade(error: str, says: str, cure: str) -> None:
    finding = checks.not_connected(["tcp"], error, secure=False)
    assert finding.says == says
    assert finding.cure.startswith(cure)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.0123, "12 ms"),
        (-0.5, "-500 ms"),
        (3.21, "3.2 s"),
        (86_400, "24 h"),
        (6.1e5, "7 days"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert checks.seconds(value) == text


# -- the formats ------------------------------------------------------------------------------------------------------

any_findings = st.lists(st.sampled_from([*CHECKS.values()]).flatmap(lambda strategy: strategy), max_size=8)
SOME = [GOOD["tcp"], WARNED["disk"], FAILED["trades"], checks.skipped("engine", "an earlier check failed")]


def printed(findings: list[Finding]) -> list[str]:
    lines = formats.Lines()
    return [*(line for finding in findings for line in lines.take(finding)), *lines.end()]


def test_lines_for_people() -> None:
    assert printed(SOME) == [
        "ok      tcp                  connected in 50 ms [warns above 500 ms, fails above 3.0 s]",
        "WARNING disk                 4.0 GB free [warns below 5.0 GB, fails below 500.0 MB]",
        "          cure: delete old recordings, or have record do it (--keep-bytes), or use another disk",
        "FAILED  trades BTC/USD       1 hole in 9 trades",
        "          cure: try again; if it stays, the connection loses messages: look for a proxy that opens TLS",
        "skipped engine               an earlier check failed",
    ]


def test_what_was_skipped_for_the_same_reason_shares_a_line() -> None:
    found = [
        checks.skipped("tls", "nothing is encrypted"),
        checks.skipped("certificate", "nothing is encrypted"),
        checks.skipped("http-clock", "there was no HTTP Date"),
        GOOD["tcp"],
        checks.skipped("engine", "an earlier check failed"),
    ]
    assert printed(found) == [
        "skipped tls, certificate:    nothing is encrypted",
        "skipped http-clock           there was no HTTP Date",
        "ok      tcp                  connected in 50 ms [warns above 500 ms, fails above 3.0 s]",
        "skipped engine               an earlier check failed",
    ]


@given(any_findings)
def test_no_finding_is_left_out(findings: list[Finding]) -> None:
    text = "\n".join(printed(findings))
    assert all(finding.name in text and finding.says in text for finding in findings)


def test_summaries() -> None:
    assert formats.summary(SOME) == "trades BTC/USD failed (3 checks)"
    assert formats.summary(SOME[:2]) == "disk could be better (2 checks)"
    assert formats.summary(SOME[:1]) == "all 1 check passed"


class Check(msgspec.Struct, forbid_unknown_fields=True):
    check: str
    subject: str
    level: str
    says: str
    value: float | None
    unit: str
    warns: float | None
    fails: float | None
    lower_is_worse: bool
    cure: str


class Report(msgspec.Struct, forbid_unknown_fields=True):
    """The schema of ``--format json``."""

    verdict: str
    status: int
    summary: str
    url: str
    version: str
    seconds: float
    checks: list[Check]


@given(any_findings)
def test_json(findings: list[Finding]) -> None:
    text = encode(formats.plain(findings, url="wss://x", version="1", took=1.23456))
    report = msgspec.json.decode(text, type=Report)
    assert report.status == verdict(findings).status
    assert report.seconds == 1.235
    for check, finding in zip(report.checks, findings, strict=True):
        assert (check.check, check.level, check.value) == (finding.check, finding.level.value, finding.value)


PERFDATA = re.compile(r"'[^'=]+'=-?[0-9.]+(s|B)?;[-0-9.e+]*:?;[-0-9.e+]*:?")


@given(any_findings)
@example(SOME)
@example([GOOD["connection"]])
def test_nagios(findings: list[Finding]) -> None:
    """One line; what is behind the only ``|`` is performance data."""
    line = formats.nagios(findings)
    text, bar, data = line.partition(" | ")
    assert line.isprintable()
    assert "|" not in text
    assert re.match("KRAKEN (OK|WARNING|CRITICAL) - ", text)
    assert ["OK", "WARNING", "CRITICAL"].index(text.split()[1]) == verdict(findings).status
    found = re.findall(r"'[^']*'=\S+", data)
    assert len(found) == sum(finding.value is not None for finding in findings)
    assert bool(found) == bool(bar)
    assert all(map(PERFDATA.fullmatch, found))


def test_nagios_literally() -> None:
    assert formats.nagios(SOME) == (
        "KRAKEN CRITICAL - trades BTC/USD failed (3 checks); trades BTC/USD: 1 hole in 9 trades | "
        "'tcp'=0.050000s;0.5;3 'disk'=4000000000.000000B;5000000000:;500000000:"
    )


SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? ([-+0-9.e]+|NaN|[+-]Inf)'
)


def samples(text: str) -> dict[str, list[tuple[str, float]]]:
    """By metric: labels and value. Fails for what Prometheus would not read."""
    typed: dict[str, list[tuple[str, float]]] = {}
    assert text.endswith("\n")
    helped = ""
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            helped = line.split()[2]
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {helped} gauge"
            assert helped not in typed
            typed[helped] = []
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == helped
            typed[helped].append((match[2] or "", float(match[3])))
    return typed


@given(any_findings)
@example(SOME)
def test_prometheus(findings: list[Finding]) -> None:
    text = formats.prometheus(findings, now=1.5e9, took=2.5)
    found = samples(text)
    assert [value for _, value in found["kraken_trio_doctor_check_status"]] == [f.level.status for f in findings]
    assert [value for _, value in found["kraken_trio_doctor_check_value"]] == [
        f.value for f in findings if f.value is not None
    ]
    assert found["kraken_trio_doctor_status"] == [("", verdict(findings).status)]
    assert found["kraken_trio_doctor_duration_seconds"] == [("", 2.5)]
    assert found["kraken_trio_doctor_timestamp_seconds"] == [("", 1.5e9)]


@given(any_findings)
def test_prometheus_own_parser_reads_it(findings: list[Finding]) -> None:
    parser: Any = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(formats.prometheus(findings, now=1.5e9, took=2.5)))
    assert len(families) == 5
