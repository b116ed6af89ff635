"""Recordings of single orders by other programs, imported: verified, and replayed as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kraken_trio import Level3, Level3Snapshot, Level3Update, import_recording, read_events
from tests.book.test_level3 import SERIES

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = (
    '{"method":"subscribe","success":true,"result":{"channel":"level3","symbol":"DOT/USD","depth":100,'
    '"snapshot":true},"req_id":1}'
)


def written(path: Path, frames: list[str]) -> Path:
    path.write_text("".join(f"{1785644622 + n}: {frame}\n" for n, frame in enumerate(frames)))
    return path


@pytest.mark.parametrize(("before", "depth"), [([], 10), ([ANSWER], 100)])
def test_single_orders_are_imported(tmp_path: Path, before: list[str], depth: int) -> None:
    frames = written(tmp_path / "f", [*before, *SERIES])
    report = import_recording(frames, tmp_path / "log")
    (request,) = report.requests
    assert isinstance(request, Level3)
    assert (request.symbol, request.depth) == ("DOT/USD", depth)
    assert (report.checksums_verified, report.checksum_failures, report.gaps) == (len(SERIES), 0, 0)
    with read_events(tmp_path / "log", request) as events:
        assert [type(event) for event in events] == [Level3Snapshot, *[Level3Update] * (len(SERIES) - 1)]


def test_a_message_that_is_missing_is_a_gap(tmp_path: Path) -> None:
    frames = written(tmp_path / "f", [SERIES[0], *SERIES[2:], *SERIES])
    report = import_recording(frames, tmp_path / "log")
    assert (report.checksums_verified, report.checksum_failures, report.gaps) == (1 + len(SERIES), 1, 1)


def test_many_symbols_wait_for_no_budget(tmp_path: Path) -> None:
    frames = [frame.replace("DOT/USD", f"A{n}/USD") for n in range(60) for frame in SERIES]
    report = import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    assert report.checksums_verified == len(frames)


def test_a_book_that_fits_no_depth_cannot_be_wanted(tmp_path: Path) -> None:
    orders = ",".join(
        f'{{"order_id":"O{n}","limit_price":{n}.5,"order_qty":1.0,"timestamp":"2026-10-01T10:00:00Z"}}'
        for n in range(1001)
    )
    entry = f'{{"checksum":1,"symbol":"DOT/USD","bids":[{orders}],"asks":[],"timestamp":"2026-10-01T10:00:00Z"}}'
    frame = f'{{"channel":"level3","type":"snapshot","data":[{entry}]}}'
    report = import_recording(written(tmp_path / "f", [frame]), tmp_path / "log")
    assert (report.requests, report.ignored) == ((), 1)
