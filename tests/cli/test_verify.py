"""``kraken-trio verify``: what it counts, what it finds, and what it says."""

from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from rich.console import Console

from kraken_trio._zstd import zstd
from kraken_trio.cli.app import cli
from kraken_trio.cli.verify import verify_files
from tests.book.test_level3 import SERIES, entry, frames as frames_of, one
from tests.cli.recorder import ASKS, BIDS, HEARTBEAT, Recorder, ack, cbcap, lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


def run(*args: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["verify", *map(str, args)], input=stdin)


def verified(tmp_path: Path, data: bytes, *options: str) -> tuple[int, str]:
    path = tmp_path / "recording"
    path.write_bytes(data)
    result = run(path, *options)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def good_frames(symbol: str = "BTC/USD") -> list[str]:
    recorder = Recorder(symbol)
    return [
        recorder.snapshot(),
        HEARTBEAT,
        recorder.update(bids=[("100.5", "3.00")]),
        recorder.update(bids=[("100.5", "0.00")], asks=[("100.9", "1.00"), ("100.9", "2.00")]),
    ]


@pytest.mark.parametrize("form", [lines, cbcap])
def test_a_good_recording(tmp_path: Path, form: type) -> None:
    status, output = verified(tmp_path, form([ack(), *good_frames()]))
    assert status == 0
    assert "BTC/USD  depth 10, 3 of 3 checksums verified" in output
    assert output.endswith("\n3 of 3 checksums verified\n")


def test_the_real_recordings(captures: Path) -> None:
    result = run(captures / "v2_book25_ethusd.cbcap", captures / "v2_book25_xrpusd.cbcap")
    assert "ETH/USD  depth 25, 1129 of 1129 checksums verified" in result.output
    assert "XRP/USD  depth 25, 1147 of 1147 checksums verified" in result.output
    assert result.output.endswith("2276 of 2276 checksums verified in 2 files\n")
    assert result.exit_code == 0


def test_the_real_recording_of_v1(captures: Path, tmp_path: Path) -> None:
    recorded = captures / "v1_book1000_ten_pairs.txt"
    result = run(recorded)
    assert "BTC/CHF    depth 1000, 289 of 289 checksums verified" in result.output
    assert "ADA/BTC    depth 1000, 347 of 347 checksums verified" in result.output
    assert result.output.endswith("4269 of 4269 checksums verified\n")
    assert result.exit_code == 0
    # In a wrapper, without the answers to the subscriptions, and with a wrong checksum in the last update of a book
    frames = [line.partition(": ")[2] for line in recorded.read_text().splitlines() if ": [" in line]
    place = max(place for place, frame in enumerate(frames) if '"XBT/CHF"' in frame)
    frames[place] = re.sub('"c":"[0-9]+"', '"c":"1"', frames[place])
    status, output = verified(tmp_path, lines(f'{{"ts":1618678132.8,"data":{frame}}}' for frame in frames))
    assert status == 1
    assert "BTC/CHF    depth 1000 (inferred), 288 of 289 checksums verified, 1 wrong" in output
    assert "; 1 failure in" in output


@pytest.mark.parametrize(
    "damaged",
    [
        '[336,{"a":[["27130.20000","0.0123"',
        '"c":"2366297588"},"book-10","XBT/USD"]',
        '{"event":"heartb',
        '[336,{"a":[["1.0",1.0,"1.0"]]},"book-10","XBT/USD"]',
    ],
)
def test_a_damaged_frame_of_v1_is_one(tmp_path: Path, damaged: str) -> None:
    status, output = verified(tmp_path, lines(['{"event":"heartbeat"}', *["so be it"] * 12, *[damaged] * 2]))
    assert status == 1
    assert "15 frames" in output
    assert "cannot be decoded" in output


def test_single_orders_are_verified_as_books_are(tmp_path: Path) -> None:
    ack_level3 = (
        '{"method":"subscribe","success":true,"result":{"channel":"level3","symbol":"DOT/USD","depth":100,'
        '"snapshot":true},"req_id":1}'
    )
    status, output = verified(tmp_path, lines([ack(), ack_level3, *good_frames("DOT/USD"), *SERIES]))
    assert status == 0
    assert output.splitlines()[1:3] == [
        "  DOT/USD         depth 10 (inferred), 3 of 3 checksums verified",
        f"  DOT/USD level3  depth 100, {len(SERIES)} of {len(SERIES)} checksums verified",
    ]
    # Prices count, not orders; and the answer may come after the snapshot
    orders = [one(f"O{n}", "6.1200", "1.0", f"10:00:00.{n:09}") for n in range(11)]
    for frames, depth in (([], "10 (inferred)"), ([ack_level3], "100")):
        status, output = verified(tmp_path, lines([*frames_of(entry(1, "10:00:00.0", orders, [])), *frames]))
        assert f"DOT/USD level3  depth {depth}, 0 of 1 checksums verified, 1 wrong" in output


def test_a_lost_message_of_single_orders_is_found(tmp_path: Path) -> None:
    status, output = verified(tmp_path, lines([SERIES[0], *SERIES[2:]]))
    assert status == 1
    assert f"1 of {len(SERIES) - 1} checksums verified, {len(SERIES) - 3} could not be checked" in output
    assert "OCCCC1-TRIO1-BIDS04" in output
    status, output = verified(tmp_path, lines(SERIES[1:]))
    assert "an update before the first snapshot, which cannot be checked" in output
    assert f"0 of {len(SERIES) - 1} checksums verified" in output


def test_the_worked_vectors_of_level3(captures: Path, tmp_path: Path) -> None:
    (series,) = json.loads((captures / "more" / "level3_vectors.json").read_text())
    snapshot = (captures / "level3_docs_example.jsonl").read_text().rstrip()
    frames = [snapshot, *(step["frame"] for step in series["steps"])]
    status, output = verified(tmp_path, lines(frames))
    assert status == 0
    assert "BTC/USD level3  depth 10 (inferred), 10 of 10 checksums verified" in output


def test_every_changed_digit_of_a_real_quantity_is_found(captures: Path, tmp_path: Path) -> None:
    data = (captures / "v2_book25_ethusd.cbcap").read_bytes()
    at = data.index(b'"qty":') + len(b'"qty":')  # of the best bid
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    status, output = verified(tmp_path, changed)
    assert status == 1
    assert "0 of 1129 checksums verified, 1 wrong, 1128 could not be checked" in output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v1_trade_ten_pairs.txt", "no checksum of a book in 49 frames (30 heartbeats, 11 control frames, 8 trade)"),
        ("v1_ticker_ten_pairs.txt", "no checksum of a book in 60 frames (31 heartbeats, 18 ticker, 11 control frames)"),
        ("v2_control_and_other_channels.jsonl", "an update before the first snapshot, which cannot be checked"),
        ("v2_instrument_snapshot_2024.json", "it is no recording of Kraken's protocols"),
    ],
)
def test_other_recordings_are_no_success(captures: Path, name: str, words: str) -> None:
    result = run(captures / name)
    assert result.exit_code == 1
    assert words in result.output


def test_a_mismatch_is_told_with_its_evidence_and_the_rest_is_checked(tmp_path: Path) -> None:
    recorder = Recorder()
    frames = [
        recorder.snapshot(),
        recorder.update(bids=[("100.5", "3.00")]),
        recorder.update(bids=[("100.6", "4.00")], wrong=1),
    ]
    expected, hashed = recorder.book.checksum() ^ 1, recorder.book.hashed()
    frames += [recorder.update(asks=[("100.9", "1.00")]), recorder.snapshot(), recorder.update(bids=[("99.5", "1.00")])]
    data = cbcap([ack(), *frames])
    status, output = verified(tmp_path, data)
    assert status == 1
    assert "4 of 6 checksums verified, 1 wrong, 1 could not be checked" in output
    where = f"frame 4 (byte {data.index(frames[2].encode())})"
    assert f"FAILED {where}: BTC/USD: the book's checksum is {expected ^ 1}, the exchange says {expected}" in output
    assert f"checksum of the exchange: {expected}" in output
    assert f"checksum of the book:     {expected ^ 1}" in output
    assert hashed in output
    assert output.endswith(f"4 of 6 checksums verified; 1 failure in {tmp_path}/recording, {where}\n")


def test_a_lost_update_is_found_by_the_next(tmp_path: Path) -> None:
    frames = [Recorder().snapshot()]
    recorder = Recorder()
    recorder.snapshot()
    recorder.update(bids=[("100.5", "3.00")])
    frames.append(recorder.update(asks=[("100.9", "3.00")]))
    assert verified(tmp_path, lines(frames))[0] == 1


@pytest.mark.parametrize("form", [lines, cbcap])
def test_a_malformed_frame_fails_and_the_rest_is_checked(tmp_path: Path, form: type) -> None:
    status, output = verified(
        tmp_path, form([*good_frames(), '{"channel":"book","type":"update","data":7}', "\x1b[31m{"])
    )
    assert status == 1
    assert "3 of 3 checksums verified" in output
    assert "frame 5 (" in output
    assert "frame 6 (" in output
    assert "cannot be decoded" in output
    assert "\x1b" not in output
    assert "2 failures, the first in" in output


def test_a_level_that_is_no_number_fails(tmp_path: Path) -> None:
    book = '{"symbol":"BTC/USD","bids":[{"price":0,"qty":1}],"asks":[],"checksum":1}'
    frame = f'{{"channel":"book","type":"snapshot","data":[{book}]}}'
    status, output = verified(tmp_path, lines([*good_frames(), frame]))
    assert status == 1
    assert "3 of 4 checksums verified" in output


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"\n\n", "there is no frame in it"),
        (lines([HEARTBEAT]), "there is nothing to verify: no checksum of a book in 1 frame (1 heartbeats)"),
        (cbcap(good_frames())[:-30], "it is cut off in frame 4"),
        (cbcap([])[:-1] + b"\n1 -7\n", "should begin with '<unix ns> <byte length>'"),
        (cbcap([])[:-1] + b"\n1 88888888888888888888\n", "no frame is longer than"),
        (
            b"\x00\xff" * 3_000,
            "it is no recording of Kraken's protocols: no frame in its 1 line; it begins with '\\x00",
        ),
        (
            b"x\n" * 3_000,
            "it is no recording of Kraken's protocols: no frame in its first 1,000 lines; it begins with 'x'",
        ),
        (cbcap(["x"] * 3_000), "it is no recording of Kraken's protocols: no frame in its first 1,000 frames"),
        (gzip.compress(lines(good_frames()), mtime=0)[:-9], "its gzip data are cut off"),
        (zstd.compress(lines(good_frames()))[:-9], "its zstd data are cut off"),
        (b"\x89MCAP0\r\n", "it is an MCAP file: kraken-trio audit FOLDER checks those of kraken-trio"),
        (b"{" * (9 * 1024 * 1024), "longer than any frame"),
        (b'{"event":"heartbeat"}\n', "there is nothing to verify: no checksum of a book in 1 frame (1 heartbeats)"),
        (b'[336,{"a":[]},"book-10","XBT/USD"]\n', "there is nothing to verify: no checksum of a book in 1 frame"),
        (b'{"event":"heartbeat"}\n{"channel":"heartbeat"}\n', "goes on with v2: put them into files of their own"),
        (b'{"channel":"heartbeat"}\n{"event":"heartbeat"}\n', "goes on with frames of Kraken's older protocol, v1"),
    ],
)
def test_a_bad_file_is_told_in_words(tmp_path: Path, data: bytes, words: str) -> None:
    status, output = verified(tmp_path, data)
    assert status == 1
    assert words in output
    assert len(output) < 2_000


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize(
    "wrap",
    [
        "{}",
        "2026-11-29T02:54:37.123456Z {}",
        "2026-11-29T02:54:37+01:00\t{}",
        '{{"rx_ns":1785644622178672600,"frame":{}}}',
        '{{"ts":"2026-11-29T02:54:37Z","data":{}}}',
    ],
)
def test_recordings_of_other_programs(tmp_path: Path, compress: Callable[[bytes], bytes], wrap: str) -> None:
    status, output = verified(tmp_path, compress(lines(map(wrap.format, [ack(), *good_frames()]))))
    assert status == 0
    assert "5 frames" in output
    assert "BTC/USD  depth 10, 3 of 3 checksums verified" in output


def test_the_real_recordings_compressed(captures: Path, tmp_path: Path) -> None:
    data = (captures / "v2_book25_ethusd.cbcap").read_bytes()
    for compressed in (gzip.compress(data, mtime=0), zstd.compress(data)):
        status, output = verified(tmp_path, compressed)
        assert (status, "1129 of 1129 checksums verified" in output) == (0, True)


# What is no recording


PAGE = "<!DOCTYPE html>\n<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n<hr>nginx\n</body>\n</html>\n"
CODE = 'import kraken_trio\n\n\ndef f(x):\n    """Doc."""\n    return {"channel": x}\n' + "print(1)\n" * 12
LOG = "2026-11-29T02:54:37.1Z INFO connected to wss://ws.kraken.com/v2\n2026-11-29T02:54:38.1Z ERROR: reset {by peer}\n"
NOTES = '# Notes\n\nA heartbeat:\n\n    {"channel":"heartbeat"}\n\n' + "It comes *each* second, [they say](x).\n" * 12


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        "Connected to the exchange\n" * 3,
        "time,price,qty\n" + "1785644622,100.5,3\n" * 30,
        "1\n2\n3\n",
        PAGE,
        CODE,
        LOG * 10,
        NOTES,
        "[\n" + '  {"price": 1, "qty": 2},\n' * 15 + "]\n",
        '{"level":"info"}\n# and so on\n' * 8,
        "# v1\n" + "# of v1\n" * 12 + '[336,{"a":[]},"book-10","XBT/USD"]\n',
    ],
)
def test_a_text_that_is_no_recording_says_so_in_one_line(tmp_path: Path, text: str) -> None:
    for data in (
        text.encode(),
        text.rstrip().encode(),
        text.replace("\n", "\r\n").encode(),
        gzip.compress(text.encode(), mtime=0),
    ):
        status, output = verified(tmp_path, data)
        assert status == 1
        assert output.startswith(f"{tmp_path}/recording: FAILED it is ")
        assert output.count("\n") == 1


def test_this_project_is_no_recording(tmp_path: Path) -> None:
    for path in (Path(__file__), Path(__file__).parent / "recorder.py", *Path(__file__).parents[2].glob("*.md")):
        _, output = verified(tmp_path, path.read_bytes())
        assert "FAILED it is no recording" in output
        assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (good_frames()[0][:-1], "frame 1 (line 1, byte 0): it cannot be decoded"),
        (good_frames()[0][:30], "frame 1 (line 1, byte 0): it cannot be decoded"),
        ('{"chan', "frame 1 (line 1, byte 0): it cannot be decoded"),
        (good_frames()[0][60:], "frame 1 (line 1, byte 0): it cannot be decoded"),
        ("\n".join(frame[:80] for frame in good_frames() * 500), "… and 1,490 more failures"),
        ("\n".join([*["Traceback:"] * 999, *good_frames()]), "3 of 3 checksums verified"),
        ("\n".join([*["Traceback:"] * 30, HEARTBEAT, HEARTBEAT, HEARTBEAT, HEARTBEAT]), "… and 20 more failures"),
        ("\n".join([HEARTBEAT, *["Traceback:"] * 30]), "… and 20 more failures"),
        ("\n".join([*["\x00:"] * 30, HEARTBEAT]), "… and 20 more failures"),
    ],
)
def test_a_damaged_recording_is_one(tmp_path: Path, damaged: str, words: str) -> None:
    status, output = verified(tmp_path, damaged.encode())
    assert status == 1
    assert words in output
    assert "it is no recording" not in output


def test_of_several_files_each_has_its_line(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(lines(good_frames()))
    bad.write_text(NOTES)
    output = run(bad, good).output.splitlines()
    assert output[0] == (
        f"{bad}: FAILED it is no recording of Kraken's protocols: only 1 of its 15 lines may be of it; "
        "it begins with '# Notes'"
    )
    assert output[1:] == [
        f"{good}: 4 frames",
        "  BTC/USD  depth 10 (inferred), 3 of 3 checksums verified",
        f"3 of 3 checksums verified in 2 files; 1 failure in {bad}",
    ]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("data", "data"), ("a b", "'a b'")],
)
def test_a_folder_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, quoted: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("a b").mkdir()
    result = run("-", name)
    assert result.exit_code == 2
    assert result.output == (
        f"Error: {name} is a folder: kraken-trio audit {quoted} checks one that kraken-trio has recorded; of others, "
        f"name the files in it, such as {quoted}/*.jsonl\n"
    )


def test_what_came_before_the_damage_is_reported(tmp_path: Path) -> None:
    status, output = verified(tmp_path, cbcap(good_frames())[:-1])
    assert status == 1
    assert "2 of 2 checksums verified" in output


def test_many_failures_are_counted_not_told(tmp_path: Path) -> None:
    status, output = verified(tmp_path, lines([*good_frames(), *["nonsense"] * 500]))
    assert status == 1
    assert "… and 489 more failures" in output
    assert output.count("cannot be decoded") == 11


def test_updates_before_any_snapshot_are_no_success(tmp_path: Path) -> None:
    status, output = verified(tmp_path, lines([*good_frames()[2:], *good_frames("ETH/USD")]))
    assert status == 1
    assert "frame 1 (line 1, byte 0): BTC/USD: an update before the first snapshot" in output
    assert "ETH/USD  depth 10 (inferred), 3 of 3" in output


def test_several_symbols_and_connections_in_one_file(tmp_path: Path) -> None:
    one, other = good_frames("BTC/USD"), good_frames("ETH/USD")
    mixed = [frame for pair in zip(one, other, strict=True) for frame in pair]
    status, output = verified(tmp_path, lines([*mixed, *mixed]))
    assert status == 0
    assert "BTC/USD  depth 10 (inferred), 6 of 6" in output
    assert "ETH/USD  depth 10 (inferred), 6 of 6" in output


# The depth


def deep_frames(depth: int, levels: int) -> list[str]:
    """A book in which a level is pushed out of the window, and its price is quoted again."""
    bids = [(f"{1000 - n}.0", "1.50") for n in range(levels)]
    recorder = Recorder(depth=depth)
    frames = [recorder.snapshot(bids, ASKS), recorder.update(bids=[("1001.0", "1.00")])]
    # Ten levels go; a book that has forgotten what it should still have is found out.
    frames.append(recorder.update(bids=[(f"{1001 - n}.0", "0.00") for n in range(10)]))
    return frames


def test_the_depth_of_the_answer_counts(tmp_path: Path) -> None:
    status, output = verified(tmp_path, lines([ack(depth=25), *deep_frames(25, 10)]))
    assert (status, "depth 25, 3 of 3" in output) == (0, True)


def test_an_answer_may_come_after_the_snapshot(tmp_path: Path) -> None:
    first, *rest = deep_frames(25, 10)
    status, output = verified(tmp_path, lines([first, ack(depth=25), *rest]))
    assert (status, "depth 25, 3 of 3" in output) == (0, True)


def test_without_an_answer_the_depth_is_the_one_that_was_said(tmp_path: Path) -> None:
    status, output = verified(tmp_path, lines(deep_frames(25, 10)), "--depth", "25")
    assert (status, "depth 25, 3 of 3" in output) == (0, True)


def test_a_wrong_guess_of_the_depth_tells_the_way_out(tmp_path: Path) -> None:
    status, output = verified(tmp_path, lines(deep_frames(25, 10)))
    assert status == 1
    assert "the depth 10 was inferred from the snapshot: if it was another, say --depth" in output


def test_the_depth_is_inferred_from_the_snapshot(tmp_path: Path) -> None:
    status, output = verified(tmp_path, lines(deep_frames(25, 20)))
    assert (status, "depth 25 (inferred), 3 of 3" in output) == (0, True)


@pytest.mark.parametrize("depth", [0, -10, 7, 10**30, "25", None, [1]])
def test_an_answer_with_another_depth_is_ignored(tmp_path: Path, depth: int) -> None:
    status, output = verified(tmp_path, lines([ack(depth=depth), *good_frames()]))
    assert (status, "depth 10 (inferred), 3 of 3" in output) == (0, True)


def test_a_crossed_book_of_the_exchange_is_mentioned(tmp_path: Path) -> None:
    recorder = Recorder()
    frames = [recorder.snapshot(BIDS, ASKS), recorder.update(bids=[("102.5", "1.00")])]
    status, output = verified(tmp_path, lines(frames))
    assert status == 0
    assert "the exchange's own book was crossed after 1 message" in output


# Around it


def test_the_standard_input() -> None:
    result = run("-", stdin=lines(good_frames()))
    assert result.exit_code == 0
    assert "standard input: 4 frames" in result.output


def test_one_bad_file_of_several_is_enough(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(lines(good_frames()))
    bad.write_bytes(b"")
    result = run(bad, good)
    assert result.exit_code == 1
    assert "3 of 3 checksums verified" in result.output


@pytest.mark.parametrize("args", [[], ["/nowhere/at/all"], ["/"], ["--depth", "20", "x"]])
def test_what_is_no_file_is_a_usage_error(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "Error: " in result.output


def test_a_symbol_cannot_paint_the_terminal(tmp_path: Path) -> None:
    symbol = "[bold]\\u001b[2J\\u202e" + "x" * 300
    status, output = verified(tmp_path, lines(good_frames(symbol)))
    assert status == 0
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "[bold]" in output
    assert max(map(len, output.splitlines())) < 200


def test_the_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(lines(good_frames()))
    out, err = io.StringIO(), io.StringIO()
    terminal = Console(file=err, force_terminal=True, width=100)
    assert verify_files([str(path)], depth=None, out=Console(file=out), err=terminal)
    assert "recording" in err.getvalue()
    assert "verified" in err.getvalue()
    assert "\x1b" not in out.getvalue()


def test_many_symbols_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kraken_trio.cli.verification.MAX_SYMBOLS", 3)
    frames = [frame for n in range(5) for frame in good_frames(f"A{n}/USD")]
    status, output = verified(tmp_path, lines(frames))
    assert status == 1
    assert "there are more than 3" in output
