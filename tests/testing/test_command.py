"""``python -m kraken_trio.testing``, as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

import kraken_trio as kt
from kraken_trio.testing.__main__ import COMMANDS, main

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30  # seconds in which anything here is done; only a hang takes so long
COMMAND = [sys.executable, "-m", "kraken_trio.testing"]


def typed(*lines: str, arguments: tuple[str, ...] = ("--rate=0",)) -> list[dict[str, Any]]:
    """What it prints when this is typed."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input="\n".join(lines),  # the last line need not end
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_line_is_answered() -> None:
    lines = [
        "publish 20",
        "publish 20 BTC/USD",
        "pause",
        "  resume  ",
        "book BTC/USD 2",
        "book BTC/USD",
        "statistics",
        "help",
        "",
        "book NOPE/USD",
        "publish 5 NOPE/USD",
        "publish -1",
        "publish many",
        "book BTC/USD 0",
        "x \x1b[2J",
    ]
    first, *answers = typed(*lines, arguments=("--rate=0", "--seed=3"))
    assert first["url"].startswith("ws://127.0.0.1:")
    assert len(answers) == len(lines) - 1  # an empty line asks for nothing
    assert answers[:4] == [{"frames": 0}, {"frames": 0}, {}, {}]
    assert len(answers[4]["bids"]) == len(answers[4]["asks"]) == 2
    assert len(answers[5]["bids"]) > 1000
    assert answers[6]["market_updates"] == 40
    assert answers[7]["commands"] == list(COMMANDS)
    errors = [answer["error"] for answer in answers[8:]]
    for word, told in zip(("NOPE", "NOPE", "updates=-1", "many", "depth=0", "publish N"), errors, strict=True):
        assert word in told
    assert "BTC/USD, ETH/USD" in errors[0]


def test_symbols_are_arguments() -> None:
    lines = ["book SOL/EUR 1", "book XRP/USD 1", "book BTC/USD 1"]
    _, ours, usual, other = typed(*lines, arguments=("--rate=0", "SOL/EUR", "XRP/USD", "SOL/EUR"))
    assert ours["bids"][0][0].partition(".")[0] in ("98", "99")
    assert usual["bids"][0][0].startswith("1.08")
    assert "not traded here, but SOL/EUR, XRP/USD" in other["error"]


@contextmanager
def serving(*arguments: str, **how: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.kill()


def closed_stdin() -> None:
    os.close(0)


@pytest.mark.parametrize(
    "how",
    [{"stdin": subprocess.DEVNULL}, {"preexec_fn": closed_stdin}, {"stdin": subprocess.PIPE}],
    ids=["/dev/null", "closed", "a pipe that ends"],
)
def test_it_serves_without_a_standard_input(how: dict[str, Any]) -> None:
    async def program(url: str) -> None:
        async with kt.open_client(url) as client, client.subscribe(kt.Book("SOL/EUR")) as feed:
            with trio.fail_after(PATIENCE):
                for _ in range(20):
                    await feed.receive()

    with serving("SOL/EUR", "--rate=500", **how) as (process, url):
        if process.stdin is not None:
            process.stdin.close()
            process.stdin = None
        trio.run(program, url)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_can_be_ended_while_something_may_be_typed() -> None:
    with serving("--rate=0", stdin=subprocess.PIPE) as (process, _):
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert process.stderr is not None
        assert process.stderr.read() == ""


# What needs no process


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main([f"--port={port}"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"cannot listen on port {port}: ")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port=80000"], "from 0 to 65535"),
        (["--port=x"], "invalid whole number value: 'x'"),
        (["--rate=-5"], "from 0 to 1e+06"),
        (["--rate=nan"], "from 0 to 1e+06"),
        (["--rate=fast"], "invalid number value: 'fast'"),
        (["--seed=1.5"], "invalid whole number value"),
        (["BTCUSD"], "a symbol like"),
        (["BTC/USD", "x/"], "a symbol like"),
        (["--sed=1.5", "--depth=10"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_its_help_says_what_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for command, what in COMMANDS.items():
        assert f"{command} " in told
        assert what in told
    assert "SYMBOL" in told
    assert "/dev/null" in told
