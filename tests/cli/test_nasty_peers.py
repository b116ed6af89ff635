"""Whatever a peer or a recording says, the command line prints it as text: no control, no markup, no second line."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from rich.console import Console

from kraken_trio import Book, Cause, ConnectionState, Gap, StateChange, StatusUpdate, Trades
from kraken_trio.cli.app import cli
from kraken_trio.cli.running import refusals
from kraken_trio.cli.view.screen import render
from kraken_trio.testing import Refuse
from tests.cli.boards import board_of
from tests.cli.recorder import Recorder, ack, cbcap, lines
from tests.cli.test_watch import watching_with
from tests.nasty import NASTY, texts
from tests.session.test_peers_texts import TREES, poisoned

if TYPE_CHECKING:
    from pathlib import Path

MARKUP = "[bold red]x[/]"


def check_output(output: str) -> None:
    for line in output.split("\n"):
        assert line.isprintable(), ascii(line)


@given(texts)
def test_a_refusal_in_an_error_line(text: str) -> None:
    assert all(line.isprintable() for line in refusals({Book("BTC/USD"): text, Trades("BTC/USD"): text}))


@pytest.mark.parametrize("text", [NASTY[0], NASTY[3], MARKUP])
def test_a_refusal_as_watch_tells_it(text: str) -> None:
    status, output = watching_with(Refuse(error=text, times=None))
    assert status == 1
    assert output.count("\n") == 1
    check_output(output)


@given(texts)
@example(MARKUP)
def test_on_the_screen_and_in_the_log(text: str) -> None:
    change = StateChange(
        previous=ConnectionState.SUBSCRIBED,
        current=ConnectionState.DISCONNECTED,
        cause=Cause.DISCONNECTED,
        detail=text,
    )
    board = board_of(Book("BTC/USD"), Trades("BTC/USD"))
    board.take([Gap(symbol="BTC/USD", channel="book", cause=Cause.MALFORMED, detail=text), change])
    board.take([StatusUpdate(system=text, notices=(text,))])
    assert all(entry.text.isprintable() for entry in board.log)
    console = Console(width=120, height=24, record=True, file=io.StringIO(), force_terminal=True)
    console.print(render(board, 120, 24, ascii_only=False), height=24)
    drawn = console.export_text()
    check_output(drawn)
    assert text != MARKUP or drawn.count(MARKUP) >= 2


def run_verify(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "recording"
    path.write_bytes(data)
    result = CliRunner().invoke(cli, ["verify", str(path)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.output


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("form", [lines, cbcap])
def test_a_text_anywhere_in_a_recording(tmp_path: Path, form: type, text: str) -> None:
    recorder = Recorder("BTC/USD")
    frames = [ack(), recorder.snapshot(), recorder.update(bids=[("100.5", "3.00")], wrong=1)]
    for tree in TREES:
        frames += [json.dumps(other) for other in poisoned(tree, text)]
    line = " ".join(text.split("\n"))
    frames += [line, f'{{"channel":"book","data":[{line}']
    check_output(run_verify(tmp_path, form(frames)))


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_text_in_the_frame_of_a_recording(tmp_path: Path, text: str) -> None:
    for data in (
        f"CBCAP1 {text}\n",
        f"CBCAP1 kraken BTC/USD 1\n{text} 5\n",
        f"CBCAP1 kraken BTC/USD 1\n1 {text}\n",
        f"1785644622.17: {text}\n",
        text,
    ):
        check_output(run_verify(tmp_path, data.encode()))
