"""``kraken-trio replay``: in the view, and over a real socket to a client that is not ours."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import kraken_trio as kt
from kraken_trio.cli.app import cli
from kraken_trio.wire import codec_for
from tests.cli.test_serving import BOOK, TRADES, as_sent, ask, market, recorded, recording
from tests.recording.test_importer import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

ROOT = Path(__file__).parents[2]
Served = tuple["subprocess.Popen[str]", str]


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, args)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return recording(tmp_path, market(40), step_ns=SECOND)


# The view


def test_the_view(folder: Path) -> None:
    result = run(folder, "--speed", "max", "--plain")
    assert result.exit_code == 0
    assert "BTC/USD verified: 10 bids, 10 asks" in result.output
    assert "trade   BTC/USD" in result.output
    assert "note    the recording has ended" in result.output
    assert "41 checksums verified, 0 mismatches, 0 gaps, 1 connection" in result.output.splitlines()[-1]


def test_a_part_of_it(folder: Path) -> None:
    result = run(folder, "btc/usd", "--speed", "max", "--plain", "--start", "2026-08-02T04:24:42Z")
    assert result.exit_code == 0
    assert "BTC/USD verified: 10 bids, 10 asks" in result.output
    assert "0 s: 53 events," in result.output  # the trades before as history, and 24 frames


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        pytest.param(["ETH/USD"], 2, "ETH/USD was not recorded; there is: BTC/USD", id="symbol"),
        pytest.param(["--speed", "0"], 2, "0 is no speed: a positive factor such as 10, or max", id="no speed"),
        pytest.param(["--speed", "x"], 2, "x is no speed", id="no number"),
        pytest.param(["--start", "x"], 2, "start='x': no time from 1970", id="no time"),
        pytest.param(["--serve", "x"], 2, "not a usable WebSocket URL", id="no url"),
        pytest.param(["--serve", "wss://127.0.0.1:1"], 2, "only ws://HOST:PORT can be served", id="tls"),
        pytest.param(["--serve", "ws://127.0.0.1:1/x"], 2, "only ws://HOST:PORT can be served", id="path"),
        pytest.param(["BTC/USD", "--serve", "ws://127.0.0.1:0"], 2, "serves everything", id="symbols"),
    ],
)
def test_usage(folder: Path, options: list[str], status: int, problem: str) -> None:
    result = run(folder, *options)
    assert (result.exit_code, problem in " ".join(result.stderr.split())) == (status, True), result.stderr


def test_no_recording(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "holds no recording" in result.stderr


def test_damage_is_told(folder: Path) -> None:
    (segment,) = folder.glob("*.mcap")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    result = run(folder, "--speed", "max", "--plain")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"damaged: {segment.name}, byte ")


# Served


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    """A process that serves the recording as fast as possible, and its URL."""
    command = [sys.executable, "-m", "kraken_trio", "replay", str(folder), "--serve", "ws://127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--speed", "max"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving 2 subscriptions at ws://127.0.0.1:")
        yield process, line.split()[4]
        process.kill()


def test_a_client_that_is_not_ours(served: Served, folder: Path) -> None:
    process, url = served
    codec = codec_for("v2")
    frames: list[str] = []
    with connect(url, compression=None) as client:
        client.send(ask("subscribe", channel="book", symbol=["BTC/USD", "ETH/USD"]))
        client.send(ask("subscribe", channel="trade", symbol=["BTC/USD"], snapshot=True))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                frames.append(str(client.recv()))
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "the recording has ended")
    assert process.wait(10) == 0
    answers = [json.loads(frame) for frame in frames if '"method"' in frame]
    assert [answer.get("error") for answer in answers] == [None, "Currency pair not supported ETH/USD", None]
    for request in (BOOK, TRADES):
        start = f'{{"channel":"{request.channel}"'
        messages = [codec.decode(frame) for frame in frames if frame.startswith(start)]
        events = [event for message in messages for event in message.events]  # type: ignore[union-attr]  # all are data
        assert as_sent(events) == recorded(folder, request)


async def test_our_client_over_a_socket(served: Served, folder: Path) -> None:
    _, url = served
    events = []
    async with kt.open_client(url) as client, client.subscribe(BOOK) as feed:
        async for event in feed:
            if isinstance(event, kt.Gap):
                break
            events.append(event)
    assert as_sent(events) == recorded(folder, BOOK)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
def test_ctrl_c(served: Served) -> None:
    process, url = served
    with connect(url, compression=None) as client:
        client.recv()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == "stopped\n"


def test_a_port_that_is_taken(served: Served, folder: Path) -> None:
    _, url = served
    result = run(folder, "--serve", url)
    assert result.exit_code == 1
    assert "cannot listen at 127.0.0.1, port" in result.stderr
