"""The demo: every promise holds, a broken one is noticed, and it can be stopped."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from kraken_trio import Gap, Trade
from kraken_trio.cli import play
from kraken_trio.cli.demo import report
from kraken_trio.testing.exchange.request_handler import RequestHandler
from tests.cli.test_app import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kraken_trio.testing.oracle.verdicts import Sides, Verdict


async def demonstrated(
    monkeypatch: pytest.MonkeyPatch, *, seed: int, screen: bool, snapshot_delay: float = 0.02
) -> tuple[Sequence[Verdict], list[str]]:
    """A demo in less time than a person needs to watch it: its verdicts, and all that it showed."""
    monkeypatch.setattr(play, "SNAPSHOT_DELAY", snapshot_delay)
    monkeypatch.setattr(play, "MARKET_RATE", 400.0)
    monkeypatch.setattr(play, "UNDO_WAIT", 0.2)
    stream = io.StringIO()
    outcome = await play.run_demo(seconds=0.5, seed=seed, stream=stream, screen=screen)
    report(outcome, stream)
    return outcome.verdicts, stream.getvalue().splitlines()


async def test_the_demo_holds_every_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts, lines = await demonstrated(monkeypatch, seed=1, screen=False)
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert lines[-1] == "every promise held"
    assert sum(line.startswith("  held") for line in lines) == 7
    for words in (
        "refused SubscriptionRejected, NOPE/USD: Currency pair not supported NOPE/USD",
        "gap     BTC/USD book (checksum)",
        "book    BTC/USD verified again",
        "(disconnected)",
        "disconnected → connecting (retry)",
    ):
        assert words in "\n".join(lines)


async def test_the_demo_waits_for_snapshots_that_come_after_those_of_the_books(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once what they bring could be sent at its end and not be received: the verdict was that it was missing."""
    begin, case = RequestHandler._begin, play._Play.case
    plays: list[play._Play] = []

    def later(handler: RequestHandler, connection: Any, granted: list[Any], wanted: Any, now: float) -> None:
        begin(handler, connection, granted, wanted, now + 0.05 * (granted[0].channel == "trade"))

    def seen(story: play._Play) -> Any:
        plays.append(story)
        return case(story)

    monkeypatch.setattr(RequestHandler, "_begin", later)
    monkeypatch.setattr(play._Play, "case", seen)
    verdicts, _ = await demonstrated(monkeypatch, seed=1, screen=False, snapshot_delay=0.2)
    assert [verdict for verdict in verdicts if not verdict.held] == []
    of_trades = [type(event) for event in plays[0].history if event.channel == "trade"]
    assert of_trades[-1] is Trade, "and not the gap of the lost connection"


async def test_the_demo_notices_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = play._Play.case

    def doctored(story: play._Play) -> Any:
        story.history = [event for event in story.history if not isinstance(event, Gap)]
        case = honest(story)
        empty: Sides = ((), ())
        return attrs.evolve(case, local=dict.fromkeys(case.local, empty))

    monkeypatch.setattr(play._Play, "case", doctored)
    _, lines = await demonstrated(monkeypatch, seed=2, screen=True)
    assert lines[-1] == "4 of 7 promises broken"
    assert sum(line.startswith("  BROKEN") for line in lines) == 4


def test_the_picture_of_the_demo_stands_alone() -> None:
    picture = (ROOT / "docs" / "_static" / "demo.svg").read_text(encoding="utf-8")
    assert "kraken-trio&#160;demo" in picture or "kraken-trio demo" in picture
    assert set(re.findall(r"https?://[^\"' ]+", picture)) == {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert not re.search(r"@font-face|file:|/home/|/root/|/work/", picture)


# As processes


@pytest.fixture(scope="module")
def demos() -> Iterator[list[subprocess.Popen[str]]]:
    """Two that have begun, on a terminal without Unicode; started together, because that is most of their time."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "kraken_trio", "demo", "--plain", "--seconds", "60"],
                    cwd=ROOT,
                    env={**os.environ, "PYTHONIOENCODING": "ascii"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
def test_ctrl_c_in_the_demo(demos: list[subprocess.Popen[str]]) -> None:
    process = demos[0]
    assert process.stdout is not None
    assert process.stderr is not None
    while "state   resyncing -> subscribed" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    rest, errors_said = process.communicate()
    assert process.returncode == 130
    assert errors_said == "stopped\n"
    assert "promise" not in rest


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is told differently there")
def test_a_reader_that_goes_away(demos: list[subprocess.Popen[str]]) -> None:
    process = demos[1]
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
