"""``kraken-trio record``: what it records, what it says meanwhile, and how it ends."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import click
import pytest
import trio

from kraken_trio import Book, Instruments, KrakenTrioError, Overflow, SubscriptionRejected, Trades
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.cli import record
from kraken_trio.cli.record import Options, Size, sized
from kraken_trio.cli.running import refusals
from kraken_trio.runtime import recorder
from kraken_trio.runtime.recorder import Recorder
from kraken_trio.storage.segments import Folder
from kraken_trio.testing import Drop, IgnoreRequests, Refuse, RefuseConnect, open_exchange
from tests.cli.test_app import ROOT, invoke
from tests.recorded import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kraken_trio.statistics import RecordingStatistics
    from kraken_trio.testing import Exchange

BTC, NOPE = Book("BTC/USD"), Book("NOPE/USD")


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines come before anybody has waited for them."""
    monkeypatch.setattr(record, "REFRESH_INTERVAL", 0.01)
    monkeypatch.setattr(record, "STATUS_INTERVAL", 0.05)
    monkeypatch.setattr(record, "CHECK_INTERVAL", 0.05)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def recording(
    exchange: Exchange,
    folder: Path,
    *requests: Any,
    until: str = "",
    meanwhile: Callable[[], object] = lambda: None,
    screen: bool = False,
    **options: Any,
) -> str:
    """What it says until it says that."""
    stream = io.StringIO()
    seconds = None if until else 0.2
    with trio.fail_after(60):
        async with open_hidden_nursery() as nursery:

            async def look() -> None:
                while "recording " not in stream.getvalue():  # noqa: ASYNC110 (a screen tells nobody when it changes)
                    await trio.sleep(0.01)
                meanwhile()
                while until not in stream.getvalue():  # noqa: ASYNC110 (a thread writes the stream)
                    await trio.sleep(0.01)  # a thread writes the stream
                nursery.cancel_scope.cancel()

            if until:
                nursery.start_soon(look)
            status = await record.run(
                requests or (BTC,),
                exchange.url,
                str(folder),
                Options(**options),
                seconds=seconds,
                stream=stream,
                screen=screen,
            )
            assert status == 0
            assert not until
    return stream.getvalue()


def said(text: str) -> list[str]:
    """The lines, without their times."""
    return [line.partition(" ")[2] for line in text.splitlines()]


def summary(text: str) -> str:
    (line,) = (line for line in said(text) if line.startswith("recorded "))
    return line


async def test_it_records(data: Path) -> None:
    async with open_exchange(rate=500) as exchange:
        text = await recording(exchange, data, BTC, Trades("BTC/USD"))
    log = read(data)
    assert len(log.batches()) > 3
    assert log.files[0].finished
    first, *lines = said(text)
    assert first == f"connecting to {exchange.url} (Ctrl-C stops)"
    assert f"recording 2 subscriptions into {data}" in lines
    assert re.fullmatch(r"recorded [0-9]+ frames into 1 file, [0-9.]+ k?B", summary(text))


async def test_it_says_how_it_goes(data: Path) -> None:
    async with open_exchange(rate=500) as exchange:
        text = await recording(exchange, data, until=", lag ")
    (line, *_) = (line for line in text.splitlines() if ", lag " in line)
    assert " 00:00, subscribed, " in line
    assert "/s), " in line
    assert " in 1 file, " in line
    assert "\x1b" not in text


async def test_on_a_terminal_one_line_replaces_the_other(data: Path) -> None:
    async with open_exchange(rate=500) as exchange:
        text = await recording(exchange, data, until=", lag ", screen=True)
    *_, status, last = text.split("\r\x1b[K")
    assert ", lag " in status.splitlines()[-1]
    assert not status.endswith("\n")
    assert summary(last)
    assert last.endswith("\n")


async def test_the_log_of_the_client_is_shown(data: Path) -> None:
    async with open_exchange(rate=500) as exchange:
        meanwhile = partial(exchange.inject, Drop())
        text = await recording(exchange, data, until="warning: ", meanwhile=meanwhile)
    assert "the connection is lost (disconnected" in text
    assert " info: " in text


async def test_a_disk_that_fails_is_shown(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "RETRY_SECONDS", 0.01)

    def fail(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def break_it() -> None:
        monkeypatch.setattr("kraken_trio.storage.segments.SegmentFile.append_chunk", fail)

    async with open_exchange(rate=500) as exchange:
        text = await recording(
            exchange, data, until="CANNOT WRITE: Operation not permitted", meanwhile=break_it, flush_every=0.02
        )
    assert "warning: " in text
    assert "recording: it cannot be written: Operation not permitted; it is tried again\n" in text
    assert summary(text).endswith("; Operation not permitted")


async def test_what_is_left_out_is_counted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = Recorder.statistics

    def statistics(self: Recorder) -> RecordingStatistics:
        return attrs.evolve(numbers(self), dropped_frames=1234)

    monkeypatch.setattr(Recorder, "statistics", statistics)
    async with open_exchange(rate=500) as exchange:
        text = await recording(exchange, data, until=", 1,234 frames missing")
    assert summary(text).endswith("; 1,234 frames are missing")


async def test_a_refused_symbol_is_named_and_the_others_are_recorded(data: Path) -> None:
    async with open_exchange(rate=500) as exchange:
        text = await recording(exchange, data, BTC, NOPE, until="recording 1 subscription into")
    assert " refused: NOPE/USD (book): Currency pair not supported NOPE/USD\n" in text
    assert any('"BTC/USD"' in values["confirmed"] for values in read(data).files[-1].said("requests"))


async def test_when_nothing_is_left_it_ends(data: Path) -> None:
    async with open_exchange(rate=0) as exchange:
        with pytest.raises(SubscriptionRejected) as caught:
            await recording(exchange, data, NOPE)
    assert refusals(caught.value.reasons) == ["NOPE/USD (book): Currency pair not supported NOPE/USD"]


async def test_when_nothing_is_left_after_a_reconnect_it_ends(data: Path) -> None:
    async with open_exchange(rate=0) as exchange:

        def break_it() -> None:
            exchange.inject(Refuse(error="delisted", symbol="BTC/USD", times=None))
            exchange.inject(Drop())

        with pytest.raises(KrakenTrioError, match="the exchange refuses everything that was to be recorded"):
            await recording(exchange, data, until="never said", meanwhile=break_it)
    assert read(data).files[-1].finished


async def test_an_exchange_without_an_answer_is_given_up(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "ANSWER_LIMIT", 0.2)
    async with open_exchange(rate=0, faults=[IgnoreRequests(times=None)]) as exchange:
        with pytest.raises(KrakenTrioError, match=r"has not answered within 0\.2 s"):
            await recording(exchange, data, until="never said")


async def test_output_that_nobody_reads_does_not_end_it(data: Path) -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    async with open_exchange(rate=500) as exchange:
        status = await record.run([BTC], exchange.url, str(data), Options(), seconds=0.3, stream=Broken(), screen=False)
    assert status == 0
    assert read(data).batches()


# The command line


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("256MB", 256_000_000), ("4GiB", 4 << 30), ("1.5 kb", 1500), ("2TIB", 2 << 40), ("10B", 10)],
)
def test_sizes(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size
    assert Size().convert(size, None, None) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "256 megs", "1e9", "MB", "0.1", "\x1b[2J"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no size: write a number of bytes, such as 256MB or 4GiB"):
        Size().convert(text, None, None)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (256_000_000, "256.0 MB"), (5e9, "5.0 GB"), (5e15, "5,000.0 TB")],
)
def test_sizes_are_shown(size: float, text: str) -> None:
    assert sized(size) == text


def test_the_options_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    async def run(*args: Any, **named: Any) -> int:
        await trio.lowlevel.checkpoint()
        calls.append((*args, named["seconds"]))
        return 0

    monkeypatch.setattr(record, "run", run)
    args = "BTC/USD --out data --channel book --channel instruments --depth 25 --flush-every 2 --keyframe-every 30"
    more = "--max-segment-bytes 1GB --keep-days 30 --keep-bytes 500GB --backpressure --url ws://127.0.0.1:9 --seconds 3"
    assert invoke("record", *args.split(), *more.split()).exit_code == 0
    assert invoke("record", "BTC/USD", "--out", "data").exit_code == 0
    (requests, endpoint, folder, options, seconds), (plain, _, _, defaults, _) = calls
    assert requests == [Book("BTC/USD", 25), Instruments()]
    assert (endpoint.url, folder, seconds) == ("ws://127.0.0.1:9", "data", 3)
    assert options == Options(
        flush_every=2,
        keyframe_every=30,
        max_segment_bytes=10**9,
        keep_days=30,
        keep_bytes=500 * 10**9,
        overflow=Overflow.BACKPRESSURE,
    )
    assert plain == [Book("BTC/USD", 10), Trades("BTC/USD", snapshot=True)]
    assert defaults == Options()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["BTC/USD"], "Missing option '--out'"),
        (["--out", "data"], "Missing argument 'SYMBOL...'"),
        (["BTCUSD", "--out", "data"], "write BASE/QUOTE, such as 'BTC/USD'"),
        (["BTC/USD", "--out", "data", "--keep-bytes", "much"], "'much' is no size"),
        (["BTC/USD", "--out", "data", "--flush-every", "0"], "not a duration"),
    ],
)
def test_a_usage_error_of_record(args: list[str], words: str) -> None:
    result = invoke("record", *args)
    assert result.exit_code == 2
    assert words in result.output


def test_the_help_of_record_has_examples() -> None:
    result = invoke("record", "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert max(map(len, result.output.splitlines())) <= 100


async def test_a_folder_that_is_being_recorded_is_one_line(data: Path) -> None:
    async with open_exchange(rate=0) as exchange:
        with Folder(data):
            result = await trio.to_thread.run_sync(
                partial(
                    subprocess.run,
                    [sys.executable, "-m", "kraken_trio", "record", "BTC/USD", "--out", data, "--url", exchange.url],
                    capture_output=True,
                    text=True,
                    cwd=ROOT,
                    check=False,
                )
            )
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {data} is being recorded by process {os.getpid()}: record into another folder, or stop that one\n"
    )


def test_a_connection_that_cannot_be_made_is_one_line(data: Path) -> None:
    result = invoke("record", "BTC/USD", "--out", str(data), "--url", "ws://127.0.0.1:1/v2")
    assert result.exit_code == 1
    assert "cannot connect to 127.0.0.1:1" in result.stderr
    assert not data.exists()


async def test_a_refused_connection_is_an_error(data: Path) -> None:
    async with open_exchange(faults=[RefuseConnect(status=429, retry_after=30)]) as exchange:
        with pytest.raises(KrakenTrioError, match="HTTP 429"):
            await recording(exchange, data)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_leaves_a_whole_recording(data: Path, number: int, status: int) -> None:
    async with open_exchange(rate=500) as exchange:
        command = [sys.executable, "-m", "kraken_trio", "record", "BTC/USD", "--out", str(data), "--url", exchange.url]
        process = await trio.lowlevel.open_process(
            [*command, "--flush-every", "0.05"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with trio.fail_after(60):
            while not (data.exists() and any(path.stat().st_size > 3000 for path in data.glob("*.mcap"))):  # noqa: ASYNC110 (another process makes it)
                await trio.sleep(0.02)  # another process makes it
            process.send_signal(number)
            assert await process.wait() == status
    log = read(data)
    assert log.files[0].finished
    assert log.messages[-1].entry["kind"] == "Stopped"
