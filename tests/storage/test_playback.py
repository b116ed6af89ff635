"""Playing a folder: what cannot be read is a hole, and it goes on behind it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import kraken_trio as kt
from kraken_trio.recording import format as fmt
from kraken_trio.recording.records import CycleBegun, Hole, encode
from kraken_trio.storage.playback import Playback
from tests.day import BOOK, ETH, SECOND, START_NS, TRADES
from tests.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Message = tuple[int, int, int, int, bytes]


def played(folder: Path) -> tuple[list[kt.Event], list[str]]:
    """All that feeds of everything get, and what was damaged."""
    events: list[kt.Event] = []
    with Playback(folder) as playback:
        player = playback.player
        player.add("feed", [BOOK, TRADES, ETH, kt.Lifecycle()])
        while playback.ahead() is not None:
            playback.play()
            effects, _ = player.take()
            events += effects.deliver.get("feed", [])
        return events, [*map(str, playback.damage), *player.disagreements]


@pytest.fixture(scope="module")
def whole(recorded_day: Path) -> list[kt.Event]:
    events, damage = played(recorded_day)
    assert damage == []
    return events


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.mcap"))


def repacked(segment: Path, change: Callable[[list[Message]], list[Message]]) -> None:
    """Change the messages of a finished segment, and nothing that would tell: all checksums are right."""
    with Playback(segment) as playback:
        (old,) = playback.folder.segments
        chunks = [old.read(entry) for entry in old.index.chunks]
        metadata = [(entry.name, dict(entry.values)) for entry in old.index.metadata]
        log = Log.new(dict(old.values))
    messages = change([message for chunk in chunks for message in chunk])
    for name, values in metadata:
        if name == fmt.REQUESTS:
            log.say(name, **values)
    for at in range(0, len(messages), 50):
        log.add(messages[at : at + 50])
    segment.write_bytes(log.whole)


@pytest.fixture
def folder(recorded_day: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(recorded_day, copy)
    return copy


def is_part(events: Sequence[kt.Event], whole: Sequence[kt.Event]) -> bool:
    """Nothing but gaps, and states anew, that was not there: no wrong data."""
    return all(
        event in whole or isinstance(event, kt.Gap | kt.StateChange | kt.BookSnapshot | kt.StatusUpdate)
        for event in events
    )


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_byte_may_be_wrong(data: st.DataObject, recorded_day: Path, tmp_path: Path, whole: list[kt.Event]) -> None:
    """It is told, or it changes nothing."""
    folder = tmp_path / "bytes"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(recorded_day, folder)
    path = folder / data.draw(st.sampled_from(names(folder)))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    events, damage = played(folder)
    assert is_part(events, whole)
    if not damage:
        assert events == whole


def test_a_segment_is_missing(folder: Path, whole: list[kt.Event]) -> None:
    (folder / names(folder)[1]).unlink()
    events, damage = played(folder)
    assert any("segment 2 is missing" in line for line in damage)
    assert is_part(events, whole)
    assert any(isinstance(event, kt.Gap) and event.cause is kt.Cause.NOT_RECORDED for event in events)


def test_a_segment_goes_away_while_it_is_played(folder: Path) -> None:
    with Playback(folder) as playback:
        (folder / names(folder)[1]).unlink()
        while playback.ahead() is not None:
            playback.play()
        assert playback.damage[0].name == names_of(playback)[1]
        playback.seek(START_NS + 45 * SECOND)
        assert playback.ahead() is not None
        assert playback.refusal(BOOK) is None


def names_of(playback: Playback) -> list[str]:
    return [segment.name for segment in playback.folder.segments]


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("how", ["deleted", "doubled", "swapped"])
def test_a_message_is_deleted_doubled_or_swapped(folder: Path, how: str, number: int, whole: list[kt.Event]) -> None:
    def change(messages: list[Message]) -> list[Message]:
        middle = len(messages) // 2
        one, other = messages[middle], messages[middle + 1]
        new = {"deleted": [other], "doubled": [one, one, other], "swapped": [other, one]}[how]
        return [*messages[:middle], *new, *messages[middle + 2 :]]

    repacked(folder / names(folder)[number], change)
    events, damage = played(folder)
    assert any("should follow, but it is" in line for line in damage)
    assert is_part(events, whole)


def changed_message(channel: int, data: bytes) -> Callable[[list[Message]], list[Message]]:
    def change(messages: list[Message]) -> list[Message]:
        at = next(number for number, message in enumerate(messages) if number > 20 and message[0] == channel)
        _, sequence, wall_ns, mono_ns, _ = messages[at]
        messages[at] = (channel, sequence, wall_ns, mono_ns, data)
        return messages

    return change


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "cannot be understood"),
        (b'{"kind":"Begun","request":["Book",{"symbol":17}]}', "a record cannot be understood"),
        (b'{"kind":"Begun","request":["Nothing",{}]}', "a record cannot be understood"),
    ],
)
def test_a_record_that_cannot_be_understood_is_damage(folder: Path, data: bytes, words: str) -> None:
    repacked(folder / names(folder)[0], changed_message(fmt.DECISIONS, data))
    _, damage = played(folder)
    assert any(words in line for line in damage)


@pytest.mark.parametrize("data", [b'{"kind":"Novelty","what":[1]}', encode(CycleBegun(number=77))])
def test_a_record_of_an_unknown_kind_is_skipped(folder: Path, data: bytes, whole: list[kt.Event]) -> None:
    repacked(folder / names(folder)[0], _inserted(data))
    assert played(folder) == (whole, [])


def _inserted(data: bytes) -> Callable[[list[Message]], list[Message]]:
    def change(messages: list[Message]) -> list[Message]:
        """In the place of the first key frame's beginning, which says nothing else."""
        at = next(number for number, message in enumerate(messages) if b'"CycleBegun"' in message[4])
        channel, sequence, wall_ns, mono_ns, _ = messages[at]
        messages[at] = (channel, sequence, wall_ns, mono_ns, data)
        return messages

    return change


def test_a_hole_that_the_log_admits_is_a_gap(folder: Path) -> None:
    hole = Hole(from_ns=1, until_ns=2, batches=3, frames=7, why="the disk was full")
    repacked(folder / names(folder)[0], _inserted_late(encode(hole)))
    events, damage = played(folder)
    assert damage == []
    gaps = [event for event in events if isinstance(event, kt.Gap) and "7 frames" in event.detail]
    assert {(gap.cause, gap.channel, gap.symbol) for gap in gaps} == {
        (kt.Cause.NOT_RECORDED, "book", "BTC/USD"),
        (kt.Cause.NOT_RECORDED, "book", "ETH/USD"),
        (kt.Cause.NOT_RECORDED, "trade", "BTC/USD"),
    }


def _inserted_late(data: bytes) -> Callable[[list[Message]], list[Message]]:
    def change(messages: list[Message]) -> list[Message]:
        at = [number for number, message in enumerate(messages) if b'"CycleEnded"' in message[4]][-1]
        channel, sequence, wall_ns, mono_ns, _ = messages[at]
        messages[at] = (channel, sequence, wall_ns, mono_ns, data)
        return messages

    return change


def test_several_protocols_in_one_folder(folder: Path) -> None:
    path = folder / names(folder)[0]
    with Playback(path) as playback:
        values = dict(playback.folder.segments[0].values)
    path.write_bytes(Log.new({**values, "protocol": "v9"}).whole)
    with pytest.raises(kt.RecordingError, match=r"recordings of several protocols \(v2, v9\): put each into a folder"):
        Playback(folder)
    with pytest.raises(kt.RecordingError, match=r"cannot be read: .*v9"):
        Playback(path)


def test_an_index_that_says_nonsense_is_no_harm(tmp_path: Path) -> None:
    log = Log.new({"epoch_base": "x", "number": "1", "started_ns": "-"})
    log.say(fmt.REQUESTS, confirmed="[")
    log.say(fmt.KEYFRAME_CYCLE, offset="x", end_ns="y")
    log.add([(fmt.NOTES, 1, START_NS, 0, b'{"kind":"Started"}')])
    path = tmp_path / "00000001-20270301T120000Z.mcap"
    path.write_bytes(log.whole)
    with Playback(tmp_path) as playback:
        assert playback.requests() == ()
        assert playback.refusal(BOOK) == "it was not recorded; there is: nothing"
        playback.seek(START_NS + SECOND)
        assert playback.ahead() is None
        playback.play()  # there is nothing
        assert playback.damage == []


def test_very_many_requests_are_not_all_listed(tmp_path: Path) -> None:
    log = Log.new({"number": "1"})
    wanted = ",".join(f'["Book",{{"symbol":"A{number}/USD"}}]' for number in range(30))
    log.say(fmt.REQUESTS, confirmed=f"[{wanted}]")
    (tmp_path / "00000001-20270301T120000Z.mcap").write_bytes(log.whole)
    with Playback(tmp_path) as playback:
        assert len(playback.requests()) == 30
        assert str(playback.refusal(BOOK)).endswith(", and 10 more")
