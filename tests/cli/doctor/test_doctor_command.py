"""``kraken-trio doctor``: its arguments, what it prints in each format, and its exit status."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from kraken_trio.cli.doctor import checks, command, formats
from kraken_trio.cli.doctor.findings import Finding, Level
from tests.cli.test_app import invoke

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kraken_trio.cli.doctor.probe import Plan

GOOD = checks.tcp(0.05, proxied=False)
WARNED = checks.engine("maintenance")
FAILED = checks.trades("BTC/USD", 9, 1)


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Plan]]:
    """Have the checks say this; gives the plans that were examined."""

    def say(*findings: Finding) -> list[Plan]:
        plans: list[Plan] = []

        async def examine(plan: Plan, tell: Callable[[Finding], None]) -> None:
            plans.append(plan)
            for finding in findings:
                tell(finding)

        monkeypatch.setattr(command, "examine", examine)
        return plans

    return say


@pytest.mark.parametrize("style", formats.FORMATS)
@pytest.mark.parametrize(
    ("findings", "status", "word"),
    [([GOOD], 0, "ok"), ([GOOD, WARNED], 1, "warning"), ([WARNED, FAILED, GOOD], 2, "failed")],
    ids=["ok", "warning", "failed"],
)
def test_every_format_ends_with_the_same_status(
    examined: Callable[..., list[Plan]], style: str, findings: list[Finding], status: int, word: str
) -> None:
    examined(*findings)
    result = invoke("doctor", "--format", style)
    assert result.exit_code == status
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    if style == "text":
        assert lines[-1] == f"{word.upper()}: {formats.summary(findings)}"
        assert lines[0] == formats.Lines().take(findings[0])[0]
    elif style == "json":
        (line,) = lines
        assert json.loads(line)["status"] == status
    elif style == "nagios":
        (line,) = lines
        assert line == formats.nagios(findings)
    else:
        assert f"kraken_trio_doctor_status {status}" in lines
        assert result.stdout.endswith("\n")
        assert not result.stdout.endswith("\n\n")


def test_what_is_examined(examined: Callable[..., list[Plan]]) -> None:
    plans = examined(GOOD)
    invoke("doctor")
    invoke("doctor", "xbt/usd", "BTC/USD", "eth/usd", "--url", "ws://x", "--proxy", "http://u:secret@p")
    invoke("doctor", "--budget-file", "b", "--folder", "f")
    plain, full, files = plans
    assert (plain.url, plain.symbols, plain.proxy) == ("wss://ws.kraken.com/v2", ("BTC/USD",), "auto")
    assert (full.url, full.symbols, full.proxy) == ("ws://x", ("BTC/USD", "ETH/USD"), "http://u:secret@p")
    assert "secret" not in repr(full)
    assert (files.budget_file, files.folder) == ("b", "f")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a b"], "SYMBOL"),
        (["--url", "http://x"], "it must begin with wss://"),
        (["--format", "xml"], "'xml' is not one of"),
    ],
)
def test_usage_errors(arguments: list[str], said: str) -> None:
    result = invoke("doctor", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    """With everything real."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = invoke("doctor", "--format", "json", "--url", f"ws://127.0.0.1:{port}", "--folder", str(tmp_path))
    found = {check["check"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 2
    assert found["name"]["level"] == found["folder"]["level"] == Level.OK.value
    assert found["disk"]["value"] > 0
    assert found["segments"]["says"] == "there is no recording yet"
    assert not list(tmp_path.iterdir())
    assert found["tcp"]["level"] == Level.FAILED.value
    assert "Connection refused" in found["tcp"]["says"]
