"""What an audit of a folder finds: every damage that can be seen, and nothing else.

Most tests take a small recording with many faults of the exchange, change one thing in it, and write it again so that
every checksum and index is right: what is found then is found by what the records say.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import pytest
import trio
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

import kraken_trio as kt
from kraken_trio import RecordingError
from kraken_trio._zstd import zstd
from kraken_trio.cli.app import cli
from kraken_trio.recording import findings, format as fmt, scan
from kraken_trio.recording.findings import Kind, Verdict
from kraken_trio.runtime.recorder import in_line
from kraken_trio.storage.auditing import audit_folder, describe_folder
from kraken_trio.storage.lock import FolderLock
from kraken_trio.storage.writer import Job
from kraken_trio.testing import Drop, run_virtual
from tests.altered import (
    Exchange,
    File,
    block_of,
    blocks,
    put_together,
    record_story,
    recorded,
    take_apart,
    with_data,
    with_record,
)
from tests.logs import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kraken_trio.recording.findings import Report
    from kraken_trio.recording.index import SegmentIndex
    from tests.logs import Message

    Files: TypeAlias = list[File]


@attrs.frozen
class Story:
    """A recording for a whole module, and where a test may write another."""

    folder: Path
    files: tuple[File, ...]
    places: tuple[tuple[int, int, int], ...]
    """Of all messages: the file's index, the record's, and the message's."""
    _scratch: Path

    def audit(self, files: Files, *, relink: bool = True) -> Report:
        """Of the recording with these files instead."""
        put_together(files, self._scratch, relink=relink)
        return audit_folder(self._scratch)

    def bytes_of(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("*.mcap"))}

    def audit_bytes(self, files: dict[str, bytes]) -> Report:
        return audit_folder(self.put(files))

    def put(self, files: dict[str, bytes]) -> Path:
        """A folder with these files."""
        for path in self._scratch.glob("*"):
            path.unlink()
        for name, data in files.items():
            (self._scratch / name).write_bytes(data)
        return self._scratch

    def with_messages(self, file: int, place: int, messages: list[Message]) -> Files:
        found = list(self.files)
        found[file] = with_record(found[file], place, messages)
        return found

    def changed(self, what: bytes, change: Callable[[bytes], bytes], *, file: int | None = -1, nth: int = 0) -> Files:
        """With other data in the ``nth`` message of a file (None: of all) with ``what`` in it, and that changes."""
        numbers = range(len(self.files)) if file is None else [file % len(self.files)]
        found = []
        for number, place, at in self.places:
            if number in numbers:
                data = block_of(self.files[number], place)[at][4]
                if what in data and change(data) != data:
                    found.append((number, place, at))
        number, place, at = found[nth]
        block = block_of(self.files[number], place)
        block[at] = with_data(block[at], change(block[at][4]))
        return self.with_messages(number, place, block)

    def replaced(self, what: bytes, by: bytes, *, within: bytes = b"", file: int | None = -1, nth: int = 0) -> Files:
        """With ``by`` in the place of ``what``, once, in such a message."""
        return self.changed(within or what, lambda data: data.replace(what, by, 1), file=file, nth=nth)

    def metadata(self, name: str, change: Callable[[dict[str, str]], dict[str, str] | None], file: int = -1) -> Files:
        """With other values in the last metadata of this name in a file; None: without them."""
        file %= len(self.files)
        records = list(self.files[file].records)
        place = max(at for at, record in enumerate(records) if isinstance(record, tuple) and record[0] == name)
        values = change(dict(records[place][1]))  # type: ignore[arg-type]  # a pair, as it was found by its name
        records[place : place + 1] = [] if values is None else [(name, values)]
        found = list(self.files)
        found[file] = attrs.evolve(found[file], records=records)
        return found

    def segment(self, file: int = -1, **values: str) -> Files:
        """With other values in a file's metadata ``segment``."""
        found = list(self.files)
        found[file] = attrs.evolve(found[file], values={**found[file].values, **values})
        return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    record_story(folder)
    files = tuple(take_apart(folder))
    places = tuple(
        (file, place, number)
        for file, found in enumerate(files)
        for place, block in blocks(found)
        for number in range(len(block))
    )
    return Story(folder, files, places, tmp_path_factory.mktemp("scratch"))


def near(files: Files, file: int) -> Files:
    """That file and its neighbours: what is said of it, and takes less time to audit than all."""
    return files[max(file - 1, 0) : file + 2]


def is_damaged(report: Report) -> bool:
    return report.verdict is Verdict.DAMAGED


def kinds(report: Report) -> set[Kind]:
    return {defect.kind for defect in report.defects}


# What is not damaged


def test_a_recording_has_the_holes_that_it_admits_and_no_defect(story: Story) -> None:
    report = audit_folder(story.folder)
    assert report.defects == []
    assert report.verdict is Verdict.HOLES
    assert [(hole.cause, hole.channel, hole.symbol) for hole in report.holes if hole.cause != "malformed"] == [
        ("checksum", "book", "BTC/USD"),
        ("disconnected", "book", "BTC/USD"),
        ("disconnected", "book", "ETH/USD"),
        ("disconnected", "trade", "BTC/USD"),
        ("disconnected", "ticker", "BTC/USD"),
        ("disconnected", "ohlc", "ETH/USD"),
        ("resubscribed", "ticker", "BTC/USD"),
        ("checksum", "book", "ETH/USD"),
        ("not recorded", None, None),
    ]
    assert [recorder.ended for recorder in report.recorders] == ["stopped", "stopped"]


def test_rows_say_what_was_recorded_of_each_symbol_and_day(story: Story) -> None:
    report = audit_folder(story.folder)
    days = {(row["day"], row["channel"], row["symbol"]): row for row in report.plain("x")["days"]}
    row = days["2026-08-01", "book", "BTC/USD"]
    assert row["request"] == "Book(symbol='BTC/USD', depth=10)"
    assert row["seconds"] == pytest.approx(10, abs=0.5)
    assert row["checksums"]["failed"] == row["resyncs"] == 1
    assert row["checksums"]["verified"] == row["events"] > 50
    assert row["holes"] == {"checksum": 1}
    assert -1 < row["clock_offset_ms"][0] <= row["clock_offset_ms"][1] < 1000
    assert days["2026-08-02", "trade", "BTC/USD"]["checksums"] == {"verified": 0, "failed": 0, "absent": 0}
    assert days["2026-08-02", "book", "ETH/USD"]["hole_seconds"] > 0


def test_deleted_old_files_are_no_damage(story: Story) -> None:
    for first in range(1, len(story.files)):
        report = story.audit(list(story.files[first:]))
        assert report.defects == []
        assert any("older segments have been deleted" in note for note in report.notes)


def test_repacking_changes_nothing(story: Story, tmp_path: Path) -> None:
    """Or the tests below would find what they have not changed."""
    put_together(story.files, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*")} == story.bytes_of()


# One message


ORDERS: dict[str, Callable[[list[Message], int], list[Message]]] = {
    "deleted": lambda block, at: [*block[:at], *block[at + 1 :]],
    "doubled": lambda block, at: [*block[: at + 1], *block[at:]],
    "first": lambda block, at: [block[at], *block[:at], *block[at + 1 :]],
    "last": lambda block, at: [*block[:at], *block[at + 1 :], block[at]],
}


@pytest.mark.parametrize("what", ORDERS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_message_that_is_missing_doubled_or_moved_is_found(story: Story, what: str, data: st.DataObject) -> None:
    file, place, number = data.draw(st.sampled_from(story.places))
    block = block_of(story.files[file], place)
    changed = ORDERS[what](block, number)
    report = story.audit(near(story.with_messages(file, place, changed), file))
    assert is_damaged(report) == (changed != block)


@settings(max_examples=30)
@given(data=st.data())
def test_any_change_of_a_file_that_another_follows_is_found(story: Story, data: st.DataObject) -> None:
    """It is even if the file was written again with all of its checksums: the next one names that of its data."""
    file, place, number = data.draw(st.sampled_from([place for place in story.places if place[0] < 8]))
    block = block_of(story.files[file], place)
    content = block[number][4]
    at = data.draw(st.integers(0, len(content) - 1))
    other = bytes([content[at] ^ data.draw(st.integers(1, 127))])
    block[number] = with_data(block[number], content[:at] + other + content[at + 1 :])
    assert Kind.FILE in kinds(story.audit(near(story.with_messages(file, place, block), file), relink=False))


@settings(max_examples=100)
@given(data=st.data())
def test_any_data_are_survived(story: Story, data: st.DataObject) -> None:
    """A change of the last file is found or not; the audit comes to its end."""
    file, place, number = data.draw(st.sampled_from([place for place in story.places if place[0] == 8]))
    block = block_of(story.files[file], place)
    channel, sequence, wall_ns, clock, content = block[number]
    at = data.draw(st.integers(0, len(content) - 1))
    content = content[:at] + data.draw(st.binary(max_size=3)) + content[at + 1 :]
    block[number] = (data.draw(st.just(channel) | st.integers(0, 10)), sequence, wall_ns, clock, content)
    assert story.audit(near(story.with_messages(file, place, block), file)).messages


def test_times_of_a_message_are_compared(story: Story) -> None:
    """Within its neighbours' they cannot be; see docs/explanation/recordings.md."""
    place, block = blocks(story.files[-1])[2]
    for number in (0, len(block) // 2):
        for seconds in (-100, 100):
            channel, sequence, wall_ns, clock, content = block[number]
            moved = [*block[:number], (channel, sequence, wall_ns + seconds * 10**9, clock, content)]
            report = story.audit(story.with_messages(8, place, [*moved, *block[number + 1 :]]))
            assert Kind.TIME in kinds(report)


# A change of one record, by what it contradicts


CONTRADICTIONS: dict[str, tuple[Kind, Callable[[Story], Files]]] = {
    # Data
    "a level of a book": (Kind.DATA, lambda s: s.changed(b'"channel":"book","type":"update"', digit(b'"qty":'))),
    "a checksum": (Kind.DATA, lambda s: s.changed(b'"channel":"book","type":"update"', digit(b'"checksum":'))),
    "a first book": (Kind.DATA, lambda s: s.changed(b'"channel":"book","type":"snapshot"', digit(b'"qty":'))),
    "a first book that is none": (
        Kind.DECISION,
        lambda s: s.replaced(b'"price"', b'"prise"', within=b'"channel":"book","type":"snapshot"'),
    ),
    "a frame that cannot be read": (
        Kind.DATA,
        lambda s: s.replaced(b'"trade_id"', b'"trade_it"', within=b'"channel":"trade","type":"update"'),
    ),
    "the number of a trade": (
        Kind.DATA,
        lambda s: s.changed(b'"channel":"trade","type":"update"', digit(b'"trade_id":'), nth=3),
    ),
    "a frame that could not be read": (
        Kind.DECISION,
        lambda s: s.changed(b"{nonsense", lambda d: b'{"channel":"heartbeat"}' if d == b"{nonsense" else d, file=None),
    ),
    "data that failed": (
        Kind.DATA,
        lambda s: s.changed(b'"checksum":2971606467', lambda d: d.replace(b"2971606467", b"3323473237"), file=1),
    ),
    "a record in the place of a frame": (
        Kind.RECORD,
        lambda s: s.changed(b'"channel":"heartbeat"', lambda _: b'{"kind":"Stopped"}'),
    ),
    # What the exchange said
    "a confirmation": (Kind.DECISION, lambda s: s.replaced(b'"ETH/USD"', b'"ETH/EUR"', within=b'"method":"subscribe"')),
    "a status": (Kind.DECISION, lambda s: s.replaced(b'"post_only"', b'"limit_only"', within=b"post_only", file=1)),
    "a status that came again": (
        Kind.DECISION,
        lambda s: s.changed(
            b'"channel":"heartbeat"',
            lambda _: (
                b'{"channel":"status","type":"update","data":[{"system":"maintenance","version":"2.0.10",'
                b'"api_version":"v2","connection_id":1}]}'
            ),
        ),
    ),
    "a refusal that was not noticed": (
        Kind.DECISION,
        lambda s: s.changed(
            b'"channel":"heartbeat"', lambda _: b'{"error":"Nonsense","method":"subscribe","success":false,"req_id":7}'
        ),
    ),
    "a word of a proxy": (
        Kind.DECISION,
        lambda s: s.replaced(b"restarting", b"restarted", within=b"CloudFlare WebSocket proxy", file=None),
    ),
    # Decisions
    "a step": (Kind.DECISION, lambda s: s.replaced(b'"step":"subscribing"', b'"step":"live"')),
    "a step of nobody": (Kind.RECORD, lambda s: s.replaced(b'"step":"subscribing"', b'"step":"sleeping"')),
    "why a step was made": (Kind.DECISION, lambda s: s.replaced(b'"because":"sent"', b'"because":"lost"')),
    "whose step it was": (
        Kind.DECISION,
        lambda s: s.replaced(b'"key":["book"', b'"key":["level4"', within=b'"kind":"Stepped"'),
    ),
    "the frame of a step": (Kind.DECISION, lambda s: s.replaced(b'"frame":', b'"frame":1', within=b'"kind":"Stepped"')),
    "what begins": (Kind.DECISION, lambda s: s.replaced(b'"depth":10', b'"depth":25', within=b'"kind":"Begun"')),
    "the state before": (
        Kind.DECISION,
        lambda s: s.replaced(b'"previous":"subscribed"', b'"previous":"connecting"', within=b'"kind":"Changed"'),
    ),
    "the state after": (
        Kind.DECISION,
        lambda s: s.replaced(b'"current":"resyncing"', b'"current":"connecting"', within=b'"kind":"Changed"'),
    ),
    "the time of a change": (Kind.TIME, lambda s: s.changed(b'"kind":"Changed"', digit(b'"received_ns":'))),
    "the connection of a change": (Kind.DECISION, lambda s: s.changed(b'"kind":"Changed"', digit(b'"epoch":'))),
    "whose gap it was": (
        Kind.DECISION,
        lambda s: s.replaced(b'"keys":[["book"', b'"keys":[["trade"', within=b'"kind":"Missed"', file=3),
    ),
    "the symbol of a gap": (
        Kind.DECISION,
        lambda s: s.replaced(b'"symbol":"BTC/USD"', b'"symbol":"BTC/EUR"', within=b'"kind":"Missed"', file=3),
    ),
    "what was reset": (
        Kind.DECISION,
        lambda s: s.replaced(b'"key":["book"', b'"key":["level4"', within=b'"kind":"Reset"', file=3),
    ),
    "what was resynced": (
        Kind.DECISION,
        lambda s: s.replaced(b'"key":["ticker"', b'"key":["level4"', within=b'"kind":"Resynced"', file=5),
    ),
    "an event of another kind": (
        Kind.RECORD,
        lambda s: s.replaced(b'["StateChange"', b'["StatusUpdate"', within=b'"kind":"Changed"'),
    ),
    "a key that nobody knows": (Kind.RECORD, lambda s: s.replaced(b'"because"', b'"becauso"')),
    "a kind that nobody knows": (Kind.RECORD, lambda s: s.replaced(b'"kind":"Stepped"', b'"kind":"Stopper"')),
    "a field more": (Kind.RECORD, lambda s: s.replaced(b'"kind":"Reset",', b'"kind":"Reset","x":1,', file=3)),
    "a warning that nobody gave": (
        Kind.DECISION,
        lambda s: s.replaced(b"deprecated", b"depreciated", within=b'"what":"ExchangeWarned"'),
    ),
    # Inputs
    "an input that nobody knows": (Kind.RECORD, lambda s: s.replaced(b'"what":"Added"', b'"what":"Addled"')),
    "an input of which nothing follows": (
        Kind.DECISION,
        lambda s: s.replaced(b'"what":"Lost"', b'"what":"Held"', within=b'"what":"Lost"', file=3),
    ),
    "an input of which something follows": (
        Kind.DECISION,
        lambda s: s.changed(b'"what":"Ticked"', lambda _: b'{"kind":"Told","what":"Retried"}'),
    ),
    "what was wanted": (
        Kind.DECISION,
        lambda s: s.replaced(b'"depth":10', b'"depth":25', within=b'"what":"Added"'),
    ),
    "the number of a connection": (
        Kind.DECISION,
        lambda s: s.replaced(b'"epoch":2', b'"epoch":7', within=b'"what":"Connected"', file=3),
    ),
    "what was sent": (Kind.DECISION, lambda s: s.replaced(b"ETH/USD", b"ETH/EUR", within=b'"what":"Sent"')),
    # Key frames
    "a book in a key frame": (
        Kind.KEY_FRAME,
        lambda s: s.changed(b'"kind":"KeyFrame","request":["Book"', digit(b'"qty":"'), nth=1),
    ),
    "the step in a key frame": (
        Kind.KEY_FRAME,
        lambda s: s.replaced(b'"step":"live"', b'"step":"confirmed"', within=b'"kind":"KeyFrame"', nth=2),
    ),
    "the request in a key frame": (
        Kind.KEY_FRAME,
        lambda s: s.replaced(b'"depth":10', b'"depth":100', within=b'"kind":"KeyFrame"'),
    ),
    "the symbol of a key frame": (
        Kind.KEY_FRAME,
        lambda s: s.changed(b'"kind":"KeyFrame"', lambda d: d.replace(b"BTC/USD", b"BTC/EUR"), nth=2),
    ),
    "the client's state in a key frame": (
        Kind.KEY_FRAME,
        lambda s: s.replaced(b'"state":"subscribed"', b'"state":"resyncing"', within=b'"kind":"ClientFrame"', nth=1),
    ),
    "the last read in a key frame": (
        Kind.KEY_FRAME,
        lambda s: s.changed(b'"kind":"ClientFrame"', digit(b'"received_ns":'), nth=1),
    ),
    "the status in a key frame": (
        Kind.KEY_FRAME,
        lambda s: s.replaced(b'"system":"post_only"', b'"system":"online"', within=b'"kind":"ClientFrame"', file=3),
    ),
    "a status in a key frame that is none": (
        Kind.RECORD,
        lambda s: s.replaced(b'["StatusUpdate"', b'["StateChange"', within=b'"kind":"ClientFrame"', file=3),
    ),
    "the number of key frames": (
        Kind.KEY_FRAME,
        lambda s: s.changed(b'"kind":"CycleEnded"', digit(b'"number":'), nth=1),
    ),
    "the number of key frames that begin": (
        Kind.KEY_FRAME,
        lambda s: s.changed(b'"kind":"CycleBegun"', lambda _: b'{"kind":"CycleBegun","number":1}', nth=1),
    ),
    "key frames that do not begin": (
        Kind.KEY_FRAME,
        lambda s: s.changed(b'"kind":"CycleBegun"', lambda _: b'{"kind":"CycleEnded","number":1}', nth=1),
    ),
    # Notes
    "the beginning": (Kind.SEQUENCE, lambda s: s.changed(b'"kind":"Started"', lambda _: b'{"kind":"Stopped"}')),
    "an end in the middle": (Kind.SEQUENCE, lambda s: s.changed(b'"kind":"Started"', lambda _: b'{"kind":"Stopped"}')),
    "a beginning in the middle": (
        Kind.SEQUENCE,
        lambda s: s.changed(b'"kind":"Stopped"', lambda _: b'{"kind":"Started"}'),
    ),
    # Metadata
    "what was confirmed": (
        Kind.METADATA,
        lambda s: s.metadata("requests", lambda v: {**v, "confirmed": v["confirmed"].replace("ETH", "XRP")}),
    ),
    "what is wanted": (
        Kind.METADATA,
        lambda s: s.metadata("requests", lambda v: {**v, "wanted": '[["Trades",{"symbol":"XRP/USD"}]]'}),
    ),
    "the connection in the metadata": (
        Kind.METADATA,
        lambda s: s.metadata("requests", lambda v: {**v, "epoch": "7"}),
    ),
    "no metadata": (Kind.METADATA, lambda s: s.metadata("requests", lambda _: None, file=1)),
    "the place of key frames": (
        Kind.METADATA,
        lambda s: s.metadata("keyframes", lambda v: {**v, "sequence": str(int(v["sequence"]) + 1)}),
    ),
    "the time of key frames": (Kind.METADATA, lambda s: s.metadata("keyframes", lambda v: {**v, "end_ns": "1"})),
    "the number of the first connection": (Kind.METADATA, lambda s: s.segment(epoch_base="1")),
    "that number is none": (Kind.METADATA, lambda s: s.segment(epoch_base="x")),
    "that number at the beginning": (Kind.METADATA, lambda s: s.segment(0, epoch_base="3")),
    "a recorder's version": (Kind.METADATA, lambda s: s.segment(3, version="9.9")),
    "a recorder's endpoint": (Kind.METADATA, lambda s: s.segment(3, endpoint="ws://elsewhere")),
    "the last recorder": (Kind.METADATA, lambda s: s.segment(3, previous_recording="x")),
    "the last message": (Kind.SEQUENCE, lambda s: s.segment(3, previous_sequence="1")),
    "the last file": (Kind.SEQUENCE, lambda s: s.segment(3, previous="")),
    "the last message of nothing": (Kind.METADATA, lambda s: s.segment(0, previous_sequence="1")),
    "when a file began": (Kind.TIME, lambda s: s.segment(started_ns="1")),
    "a protocol": (Kind.METADATA, lambda s: s.segment(protocol="v7")),
    "a recorder": (Kind.SEQUENCE, lambda s: s.segment(2, recording="another")),
}


def digit(behind: bytes) -> Callable[[bytes], bytes]:
    """Change the first digit that is not 0 behind something: of its first number."""

    def change(data: bytes) -> bytes:
        if behind not in data:
            return data
        at = data.index(behind) + len(behind)
        while not data[at : at + 1].isdigit() or data[at : at + 1] == b"0":
            at += 1
        return data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :]

    return change


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_what_a_recording_contradicts_is_found(story: Story, what: str) -> None:
    kind, change = CONTRADICTIONS[what]
    files = change(story)
    (changed,) = [at for at, file in enumerate(files) if file != story.files[at]]
    report = story.audit(near(files, changed))
    assert kind in kinds(report), report.defects
    assert is_damaged(report)


INVISIBLE: dict[str, Callable[[Story], Files]] = {
    "a heartbeat": lambda s: s.replaced(b"heartbeat", b"heartbeam"),
    "a value of a ticker": lambda s: s.changed(b'"channel":"ticker","type":"update"', digit(b'"volume":'), nth=-1),
    "a price of a trade": lambda s: s.changed(b'"channel":"trade","type":"update"', digit(b'"price":'), nth=-1),
    "an exchange's time": lambda s: s.replaced(
        b'"timestamp":"2026', b'"timestamp":"2025', within=b'"channel":"book","type":"update"'
    ),
    "a request that was sent": lambda s: s.replaced(b'\\"req_id\\":', b'\\"req_id\\":1', within=b'"what":"Sent"'),
    "a text for people": lambda s: s.replaced(b"the peer ended it", b"the peer closed it", within=b"Missed", file=3),
    "a time within its neighbours'": lambda s: moved(s, 1),
    "where a reader can begin": lambda s: s.metadata("keyframes", lambda _: None),
    "the settings": lambda s: s.segment(settings="{}"),
}
"""What docs/explanation/recordings.md says that nothing contradicts; but only in the last file."""


def moved(story: Story, by_ns: int) -> Files:
    """With another time of a message that is the only one of its time."""
    for place, block in blocks(story.files[-1]):
        for number in range(1, len(block) - 1):
            before, (channel, sequence, wall_ns, clock, content), after = block[number - 1 : number + 2]
            if before[2] < wall_ns < after[2] and channel == after[0] == fmt.TEXT_FIRST:
                new = (channel, sequence, wall_ns + by_ns, clock, content)
                return story.with_messages(8, place, [*block[:number], new, *block[number + 1 :]])
    raise AssertionError


@pytest.mark.parametrize("what", INVISIBLE)
def test_what_nothing_contradicts_is_not_found(story: Story, what: str) -> None:
    assert story.audit(INVISIBLE[what](story)[3:]).defects == []


# Chunks, metadata and files


def test_a_block_that_is_missing_doubled_or_moved_is_found(story: Story) -> None:
    for file, found in enumerate(story.files):
        for place, _ in blocks(found)[:: 3 if file else 1]:
            records = found.records
            for changed in (
                [*records[:place], *records[place + 1 :]],
                [*records[:place], records[place], *records[place:]],
                [records[place], *records[:place], *records[place + 1 :]],
            ):
                is_last = file == len(story.files) - 1 and len(changed) < len(records) and place == blocks(found)[-1][0]
                if changed == records or is_last:
                    continue
                files = list(story.files)
                files[file] = attrs.evolve(found, records=changed)
                assert is_damaged(story.audit(near(unnamed(files), file))), (file, place)


def unnamed(files: Files) -> Files:
    """Without the places of key frames, which may be gone."""
    return [
        attrs.evolve(file, records=[one for one in file.records if not isinstance(one, tuple) or one[0] != "keyframes"])
        for file in files
    ]


@pytest.mark.parametrize("side", [0, 1])
def test_times_of_a_block_that_are_not_those_of_its_messages_are_found(story: Story, side: int) -> None:
    for place, block in blocks(story.files[-1]):
        times = [message[2] for message in block]
        span = [min(times), max(times)]
        span[side] += -1 if side == 0 else 1
        files = list(story.files)
        files[-1] = attrs.evolve(files[-1], header={place: (span[0], span[1])})
        assert Kind.TIME in kinds(story.audit(near(files, 8)))


def test_an_empty_block_is_found(story: Story) -> None:
    files = list(story.files)
    files[-1] = attrs.evolve(files[-1], records=[*files[-1].records, []])
    assert Kind.CHUNK in kinds(story.audit(files))


def test_a_file_that_is_missing_in_the_middle_is_found(story: Story) -> None:
    for missing in range(1, len(story.files) - 1):
        report = story.audit([*story.files[:missing], *story.files[missing + 1 :]])
        assert kinds(report) >= {Kind.FILE, Kind.SEQUENCE}


def test_a_file_that_is_there_twice_is_found(story: Story) -> None:
    files = story.bytes_of()
    name = list(files)[3]
    report = story.audit_bytes({**files, name.replace("T0000", "T0001"): files[name]})
    assert is_damaged(report)


def test_a_file_under_another_ones_name_is_found(story: Story) -> None:
    files = story.bytes_of()
    one, other = list(files)[2], list(files)[4]
    report = story.audit_bytes({**files, one: files[other], other: files[one]})
    assert is_damaged(report)
    assert report.segments == len(files) - 2


def test_a_file_that_is_named_by_another_time_is_found(story: Story) -> None:
    *others, last = story.files
    report = story.audit([*others, attrs.evolve(last, name=last.name.replace("T0000", "T0100"))])
    assert kinds(report) == {Kind.TIME}


@settings(max_examples=100)
@given(data=st.data())
def test_every_byte_of_a_finished_file_counts(story: Story, data: st.DataObject) -> None:
    files = dict(list(story.bytes_of().items())[-3:])
    name = data.draw(st.sampled_from(sorted(files)))
    at = data.draw(st.integers(0, len(files[name]) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = files[name][:at] + bytes([files[name][at] ^ flip]) + files[name][at + 1 :]
    report = story.audit_bytes({**files, name: changed})
    assert is_damaged(report)
    assert report.segments >= len(files) - 1  # the others are audited


@settings(max_examples=30)
@given(data=st.data())
def test_a_cut_file_is_never_complete(story: Story, data: st.DataObject) -> None:
    files = dict(list(story.bytes_of().items())[-3:])
    name = data.draw(st.sampled_from(sorted(files)))
    size = data.draw(st.integers(0, len(files[name]) - 1))
    report = story.audit_bytes({**files, name: files[name][:size]})
    assert report.verdict is not Verdict.COMPLETE
    if name != max(files):
        assert is_damaged(report)


def test_what_a_killed_recorder_leaves_is_a_hole(story: Story) -> None:
    """Without its end, and without its last block: nothing can tell that from a kill."""
    files = story.bytes_of()
    name = max(files)
    last = attrs.evolve(story.files[-1], records=story.files[-1].records[: blocks(story.files[-1])[-1][0]])
    whole = last.pack()
    folder = story.put({**files, name: whole[: _index(whole).end]})
    report = audit_folder(folder)
    assert report.defects == []
    assert report.recorders[-1].ended == "killed"
    assert report.holes[-1].end_ns is None
    assert describe_folder(folder).unfinished == [name]


def _index(data: bytes) -> SegmentIndex:
    return scan.read_index(reader(data), len(data), "x")


# A recording that is being made


def test_a_recording_that_goes_on_is_complete_so_far(tmp_path: Path) -> None:
    reports: list[Report] = []

    async def record() -> None:
        async with trio.open_nursery() as nursery:
            exchange = Exchange()
            nursery.start_soon(exchange.keep_time)
            async with recorded(exchange, tmp_path):
                await trio.sleep(5.5)
                reports.append(audit_folder(tmp_path))
                found = describe_folder(tmp_path)
                assert (found.is_running, found.holder) == (True, f"process {os.getpid()}")
                assert found.unfinished == []
            nursery.cancel_scope.cancel()

    run_virtual(record)
    reports.append(audit_folder(tmp_path))
    assert [report.verdict for report in reports] == [Verdict.COMPLETE] * 2
    assert [report.recorders[0].ended for report in reports] == ["running", "stopped"]
    assert not describe_folder(tmp_path).is_running


def test_a_file_that_is_finished_during_an_audit_is_followed_by_another(tmp_path: Path) -> None:
    """Its recorder goes on, though no file that was there at the beginning has no end."""
    reports: list[Report] = []

    async def record() -> None:
        async with trio.open_nursery() as nursery:
            exchange = Exchange()
            nursery.start_soon(exchange.keep_time)
            async with recorded(exchange, tmp_path, max_segment_bytes=9000):
                await trio.sleep(7)
                first, *_, last = sorted(tmp_path.glob("*.mcap"))
                hidden = last.rename(tmp_path / "hidden")

                def advance(_size: int, _report: Report) -> None:
                    if hidden.exists():
                        hidden.rename(last)

                reports.append(audit_folder(tmp_path, advance))
                assert first != last
            nursery.cancel_scope.cancel()

    run_virtual(record)
    assert [report.recorders[0].ended for report in reports] == ["running"]
    assert reports[0].verdict is Verdict.COMPLETE


def test_what_a_full_disk_cost_is_a_hole(tmp_path: Path) -> None:
    """The exchange goes on meanwhile, and disturbs the client, too."""

    async def full_for_a_while(do: Callable[..., Any], /, *args: object) -> Any:
        if 5 < trio.current_time() < 12 and any(isinstance(arg, Job) for arg in args):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return await in_line(do, *args)

    async def record() -> None:
        async with trio.open_nursery() as nursery:
            exchange = Exchange()
            nursery.start_soon(exchange.keep_time)
            async with recorded(exchange, tmp_path, max_pending_bytes=20_000, work=full_for_a_while) as client:
                await trio.sleep(9)
                exchange.inject(Drop())
                async with client.subscribe(kt.Trades("ETH/USD")):
                    await trio.sleep(12)
            nursery.cancel_scope.cancel()

    run_virtual(record)
    report = audit_folder(tmp_path)
    assert report.defects == []
    (hole,) = [hole for hole in report.holes if hole.channel is None]
    assert "were not recorded: " in hole.detail
    assert "No space left on device" in hole.detail
    assert hole.end_ns is not None
    assert 1 < (hole.end_ns - hole.begin_ns) / 1e9 < 8
    rows = {(row.channel, row.symbol): row for row in report.rows.values() if row.day == 20667}
    assert rows["book", "BTC/USD"].holes["not recorded"] == 1
    assert rows["book", "BTC/USD"].hole_ns >= hole.end_ns - hole.begin_ns


# Other versions


def test_decisions_of_another_version_are_not_judged(story: Story) -> None:
    files = [attrs.evolve(file, values={**file.values, "version": "0.0.9"}) for file in story.files]
    other = attrs.evolve(story, files=tuple(files))
    assert story.audit(files).defects == []
    for what in ("a step of nobody", "a kind that nobody knows", "a field more", "why a step was made"):
        report = other.audit(CONTRADICTIONS[what][1](other))
        assert not {Kind.RECORD, Kind.DECISION} & kinds(report), what
    for what in ("a level of a book", "a first book", "the number of a trade"):
        assert Kind.DATA in kinds(other.audit(CONTRADICTIONS[what][1](other)))


def test_another_format_is_a_defect_of_its_file(story: Story) -> None:
    files = story.bytes_of()
    name = max(files)
    data = files[name].replace(b"\6\0\0\0format\1\0\0\x001", b"\6\0\0\0format\1\0\0\x007", 1)
    start = data.index(b"\7\0\0\0segment")
    end = data.index(b"\5\0\0\0crc32", start)
    crc = zlib.crc32(data[data.index(b"\6\0\0\0format") : end], zlib.crc32(data[start : start + 11]))
    data = data[: end + 13] + f"{crc:08x}".encode() + data[end + 21 :]
    report = story.audit_bytes({**files, name: data})
    assert [defect.file for defect in report.defects] == [name]
    assert "another version" in report.defects[0].text


def test_an_imported_recording_is_complete(captures: Path, tmp_path: Path) -> None:
    files = [str(captures / f"v2_book25_{name}.cbcap") for name in ("ethusd", "xrpusd")]
    assert CliRunner().invoke(cli, ["import", *files, "--out", str(tmp_path / "data")]).exit_code == 0
    report = audit_folder(tmp_path / "data")
    assert (report.verdict, report.defects) == (Verdict.COMPLETE, [])
    assert [row.verified for row in report.rows.values()] == [1129, 1147]


# Bad input


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(None, "No such file or directory", id="missing"),
        pytest.param({}, "holds no recording", id="empty"),
        pytest.param({"notes.txt": b"x"}, "holds no recording", id="something else"),
        pytest.param({"other.mcap": b"x"}, "MCAP files, but none of kraken_trio", id="another program's"),
        pytest.param({"00000001-20260801T235950Z.mcap": b""}, "no recording that can be read", id="zero length"),
    ],
)
@pytest.mark.parametrize("do", [audit_folder, describe_folder])
def test_what_is_no_recording(
    tmp_path: Path, files: dict[str, bytes] | None, words: str, do: Callable[[Path], object]
) -> None:
    folder = tmp_path / "data"
    if files is not None:
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
    with pytest.raises(RecordingError, match=words):
        do(folder)


def test_one_file_can_be_audited(story: Story) -> None:
    report = audit_folder(story.folder / story.files[-1].name)
    assert report.defects == []
    assert report.segments == 1


def test_a_file_of_no_length_is_a_defect_and_the_others_are_audited(story: Story) -> None:
    files = story.bytes_of()
    report = story.audit_bytes({**files, "00000010-20260802T000100Z.mcap": b""})
    assert [(defect.file, defect.kind) for defect in report.defects] == [("00000010-20260802T000100Z.mcap", Kind.FILE)]
    assert report.segments == len(files)


def test_what_was_put_aside_is_a_defect(story: Story) -> None:
    report = story.audit_bytes({**story.bytes_of(), "00000010-20260802T000100Z.mcap.damaged": b"x"})
    assert [defect.kind for defect in report.defects] == [Kind.FILE]


def bombs() -> Iterator[tuple[str, bytes, int]]:
    """Chunks that would fill the memory: name, compressed data, and the size that they claim."""
    yield "claims too much", zstd.compress(b"x" * 1000), 2**40
    yield "expands to more than it claims", zstd.compress(bytes(100_000_000)), 1000
    yield "expands to as much as it claims", zstd.compress(bytes(100_000_000)), 100_000_000


@pytest.mark.parametrize(("data", "claim"), [pytest.param(*bomb[1:], id=bomb[0]) for bomb in bombs()])
def test_a_bomb_is_a_defect_and_the_rest_is_audited(story: Story, data: bytes, claim: int) -> None:
    last = story.files[-1]
    whole = last.pack()
    index = _index(whole)
    bomb = fmt.CHUNK.pack(fmt.OP_CHUNK, fmt.CHUNK.size - 9 + len(data), 1, 1, claim, 0, 4, b"zstd", len(data)) + data
    at = index.chunks[-1].offset
    files = story.bytes_of()
    report = story.audit_bytes({**files, last.name: whole[:at] + bomb + whole[at:]})
    assert is_damaged(report)
    assert report.segments == len(files)


def test_defects_beyond_a_limit_are_counted_only(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_LINES", 2)
    files = [attrs.evolve(file, values={**file.values, "started_ns": "1"}) for file in story.files]
    report = story.audit(files)
    assert (len(report.defects), report.defect_count) == (2, 9)
    assert (len(report.holes), report.hole_count) == (2, 14)


def test_a_lock_that_nobody_holds_is_no_recorder(tmp_path: Path, story: Story) -> None:
    put_together(story.files, tmp_path)
    lock = FolderLock(tmp_path)
    assert describe_folder(tmp_path).is_running
    lock.release()
    assert not describe_folder(tmp_path).is_running


# What is there


def test_an_outline_that_lies_is_not_believed() -> None:
    data = b"x" * 100
    for start, offsets in ((0, 101), (0, 2**40), (2**40, 2**41)):
        footer = fmt.FOOTER.pack(fmt.OP_FOOTER, 20, start, offsets, 0) + fmt.MAGIC
        with pytest.raises(fmt.FormatError):
            scan.read_outline(reader(data + footer), 100 + len(footer))
    table = struct.pack("<BQBQQ", 14, 17, fmt.OP_STATISTICS, 0, 50)
    footer = fmt.FOOTER.pack(fmt.OP_FOOTER, 20, 0, 100, 0) + fmt.MAGIC
    with pytest.raises(fmt.FormatError):
        scan.read_outline(reader(data + table[:-1] + footer), 100 + len(table) - 1 + len(footer))


def test_a_description_needs_no_data(story: Story) -> None:
    found = describe_folder(story.folder)
    report = audit_folder(story.folder)
    assert (found.segments, found.bytes, found.messages) == (report.segments, report.bytes, report.messages)
    assert (found.frames, found.begin_ns, found.end_ns) == (report.frames, report.begin_ns, report.end_ns)
    assert found.is_counted
    assert [str(request) for request in found.requests] == [
        "Book(symbol='BTC/USD', depth=10)",
        "Book(symbol='ETH/USD', depth=25)",
        "Trades(symbol='BTC/USD', snapshot=False)",
        "Ticker(symbol='BTC/USD', trigger='trades')",
        "Candles(symbol='ETH/USD', interval=1)",
        "Trades(symbol='ETH/USD', snapshot=False)",
    ]
    assert (len(found.recorders), found.unfinished, found.damage, found.deleted) == (2, [], [], False)


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_file_can_be_described(story: Story, data: st.DataObject) -> None:
    files = story.bytes_of()
    name = max(files)
    at = data.draw(st.integers(0, len(files[name]) - 1))
    changed = files[name][:at] + data.draw(st.binary(max_size=9)) + files[name][at + data.draw(st.integers(1, 9)) :]
    found = describe_folder(story.put({**files, name: changed}))
    assert found.segments + len(found.damage) >= len(files)
