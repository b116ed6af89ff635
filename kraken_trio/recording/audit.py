"""Checks a recording as a whole: its records in, findings out.

Frames are decoded and verified by the :class:`~kraken_trio.recording.player.Player`, as in a replay. Here everything
else is compared that a recording says more than once:

* messages are numbered, and each segment says what stands before it;
* the times of a chunk are in its header, those of a batch in each of its messages, and in gaps and state changes;
* a subscription's steps, and the client's states, follow the tables of :mod:`kraken_trio.session`; what a frame led to
  stands right before a frame that can lead to it;
* key frames are the state that the messages before them lead to;
* the metadata name what the messages subscribe to, and where the key frames are;
* trades are numbered by the exchange.

What a later or an earlier version of the client decides may follow other tables: then only the data are checked, and
the order of the messages. After anything unreadable nothing is known; checks begin again after the next key frames.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.channels import CHANNELS
from kraken_trio.encoding import decode_event, decode_request, encode_event, encode_request
from kraken_trio.errors import ProtocolError
from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Cause,
    ConnectionState,
    Gap,
    Level3Snapshot,
    Level3Update,
    StateChange,
    StatusUpdate,
)
from kraken_trio.recording import format as fmt, records
from kraken_trio.recording.findings import NS_PER_DAY, Defect, Hole, Kind, Recorder, Report, Row, by_day, iso
from kraken_trio.recording.player import Player
from kraken_trio.session.lifecycle import TRANSITIONS
from kraken_trio.session.steps import MOVES, Happening, Move, Step
from kraken_trio.session.subscription import key_of
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import (
    Ack,
    Data,
    Empty,
    Foreign,
    Heartbeat,
    Method,
    Notice,
    Pong,
    Refusal,
    Status,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.recording.index import ChunkEntry, Damage, MetadataEntry
    from kraken_trio.requests import Request
    from kraken_trio.session.subscription import Key
    from kraken_trio.wire.codec import Codec
    from kraken_trio.wire.messages import Message

__all__ = ["Auditor", "Source"]

_NAME_TIME: Final = re.compile(r"[0-9]+-([0-9]{8}T[0-9]{6})Z\.mcap", re.ASCII)
_OF_A_RECORDER: Final = ("version", "endpoint", "protocol", "settings", "epoch_base")
"""Values of a segment's metadata that are the same in all segments of one recorder's run."""
_OF_CHANNEL: Final[Mapping[int, tuple[type, ...]]] = {
    fmt.INPUTS: (records.Told,),
    fmt.DECISIONS: (records.Decision,),
    fmt.KEYFRAMES: (records.CycleBegun, records.CycleEnded, records.ClientFrame, records.KeyFrame),
    fmt.NOTES: (records.Started, records.Hole, records.Stopped),
}
_FIRST: Final = (fmt.FRAME_FIRST, fmt.TEXT_FIRST)
_CONFIRMED: Final = frozenset({Step.CONFIRMED, Step.LIVE})
_LEAVING: Final = frozenset({Step.TO_UNSUBSCRIBE, Step.UNSUBSCRIBING})
_UNWANTED: Final = frozenset({Happening.UNWANTED, Happening.DROPPED, Happening.LOST_FOR_GOOD})
_STEPS: Final[Mapping[str, Step]] = {step.value: step for step in Step}
_HAPPENINGS: Final[Mapping[str, Happening]] = {happening.value: happening for happening in Happening}
_LEADS_TO: Final[Mapping[str, frozenset[Cause]]] = {
    "Opened": frozenset({Cause.OPENED}),
    "Retried": frozenset({Cause.RETRY}),
    "Connected": frozenset({Cause.CONNECTED}),
    "ConnectFailed": frozenset({Cause.CONNECT_FAILED, Cause.REFUSED}),
    "Lost": frozenset({Cause.DISCONNECTED, Cause.SILENCE, Cause.PROTOCOL, Cause.REFUSED}),
}
"""Inputs, and the causes of the change of state that each of them leads to, always."""
_BOOKS: Final[dict[type[Any], bool]] = {
    BookSnapshot: True,
    BookUpdate: False,
    Level3Snapshot: True,
    Level3Update: False,
}
"""The events of books, and whether they are snapshots."""
_OF_INPUTS: Final = frozenset({Cause.CLOSED}.union(*_LEADS_TO.values()))
_ROUNDING_NS: Final = 1000
"""The monotonic time of a message is known to the microsecond."""
_UNKNOWN_CLOCK: Final = -1
_CLOCK_STEP_NS: Final = 100_000_000
"""A change of the wall clock that is worth a note: time servers slew less at once."""
_WITHOUT_EFFECT: Final = (Heartbeat, Pong, Unknown)
"""Messages of which no decision follows."""
_TOLD_OF: Final[Mapping[str, type]] = {
    "NoticeReceived": Notice,
    "RequestRefused": Refusal,
    "UnmatchedRefusal": Refusal,
    "ExchangeWarned": Ack,
}
"""Decisions that say nothing but that such a message came."""


@attrs.frozen(kw_only=True)
class Source:
    """A segment that is to be audited."""

    name: str
    number: int
    """By its name; 0 if it is not named as segments are."""
    values: Mapping[str, str]
    """Of its metadata record ``segment``."""
    size: int
    """Bytes of the file."""
    is_finished: bool
    counts: Mapping[int, int] | None
    """Messages by channel, as its end says."""
    crc: str
    """The CRC32 of all of its data, as its end says; empty if it has no end."""


@attrs.define(eq=False)
class _Line:
    """A subscription through the whole recording."""

    key: Key
    request: Request[Any] | None = None
    step: Step | None = None
    """None while nothing is known of it, or there is none."""
    since_ns: int | None = None
    """From when on it is covered without a hole."""
    hole: tuple[int, str, str] | None = None
    """One that is open: since when, its cause and details."""
    told: tuple[str, str] | None = None
    """The cause and details of a gap that was announced just now."""
    has_trades: bool = False
    """Whether a trade came since the last hole."""
    row: Row | None = None


@attrs.frozen
class _Cycle:
    """Key frames of everything."""

    number: int
    offset: int
    sequence: int
    begin_ns: int
    keys: frozenset[Key]
    """What had a key frame to come."""


@attrs.frozen
class _Decided:
    """A decision."""

    entry: records.Decision
    value: Any
    """What is encoded in it."""
    moment: tuple[int, int]
    """Both of its times."""


class Auditor:
    """Is given a recording, in the order of its files. ``version`` is that of this package."""

    def __init__(self, version: str) -> None:
        self.report: Report = Report()
        self._version = version
        self._aside: frozenset[int] = frozenset()
        self._lines: dict[Key, _Line] = {}
        # The recorder
        self._values: Mapping[str, str] = {}
        self._recorder: Recorder | None = None
        self._is_strict = False  # was it made by this version?
        self._is_stopped = False  # has it said that it ends?
        self._last_epoch: int | None = None  # as the metadata of the segments say
        self._protocol: str | None = None
        self._player: _Listener
        self._codec: Codec  # another one: it counts what it does not know
        # The segment
        self._source: Source | None = None
        self._counts: dict[int, int] = {}
        self._is_first_chunk = True
        self._has_lost = False  # could something of it not be read?
        self._expected: int | None = None  # the next message's number
        self._offset = 0  # of the chunk
        self._sequence = 0  # of the message
        self._confirmed: set[Request[Any]] = set()  # in this segment
        self._knows_confirmed = False  # all of them?
        self._requests: MetadataEntry | None = None
        self._is_dirty = False  # are they to be compared?
        self._cycles: list[_Cycle] = []
        self._cycle_ends: dict[int, int] = {}
        # The client
        self._is_synced = False  # is everything known?
        self._is_fresh = True  # may a note "started" come?
        self._epoch: int | None = None
        self._received_ns: int | None = None
        self._state: ConnectionState | None = None
        self._wall_ns = 0
        self._clock = _UNKNOWN_CLOCK  # by how much the wall clock is ahead of the monotonic one
        self._batch: tuple[int, tuple[int, int]] | None = None  # the last frame's number, and both times
        self._moment: tuple[int, int] | None = None  # both times of what decisions follow from
        self._due: list[_Decided] = []
        self._awaited: tuple[str, frozenset[Cause]] | None = None  # what an input must lead to
        self._input: str | None = None  # the last one, while its decisions come
        self._added: tuple[Request[Any], ...] = ()  # what was wanted with it
        self._told: list[_Line] = []
        self._to_be_sent: list[Key] = []
        self._has_sent = False  # has this recorder's client sent anything? That of an import sends nothing
        self._cycle: _Cycle | None = None
        self._framed: set[Key] = set()
        self._last_cycle = 0
        self._new_player("v2")

    def _new_player(self, protocol: str) -> None:
        self._protocol = protocol
        self._player = _Listener(codec_for(protocol))
        self._codec = codec_for(protocol)
        self._attached: dict[Key, object] = {}

    # ------------------------------------------------------------------ findings

    def _defect(self, kind: Kind, text: str, *, message: int | None = None, byte: int | None = None) -> None:
        source = self._source
        self.report.add_defect(
            Defect(
                kind=kind,
                file="" if source is None else source.name,
                text=text,
                message=message,
                byte=byte,
                at_ns=self._wall_ns or None,
            )
        )

    def _here(self, kind: Kind, text: str) -> None:
        """At the present message."""
        self._defect(kind, text, message=self._sequence)

    def damaged(self, damage: Damage) -> None:
        """A file cannot be read, or a part of it."""
        self.report.add_defect(Defect(kind=Kind.FILE, file=damage.name, text=damage.text, byte=damage.offset))

    def aside(self, names: Sequence[str], numbers: Sequence[int]) -> None:
        """These files were put aside by a recorder."""
        self._aside = frozenset(numbers)
        for name in names:
            text = "a recorder has put it aside, because it could not be read: what is in it is missing"
            self.report.add_defect(Defect(kind=Kind.FILE, file=name, text=text))

    # ------------------------------------------------------------------ segments

    def begin(self, source: Source) -> None:
        """A segment begins."""
        before, self._source = self._source, source
        values = source.values
        self.report.segments += 1
        self.report.bytes += source.size
        recorder = self._recorder
        goes_on = recorder is not None and recorder.id == values.get("recording", "")
        follows = self._check_predecessor(before, source)
        if goes_on:
            assert before is not None  # its recorder has a segment
            self._check_same_recorder(before, source)
        else:
            started = values.get("started_ns", "")
            self._end_recorder(int(started) if started.isdecimal() else None)
            self._begin_recorder(before, source)
        assert self._recorder is not None
        self._recorder.segments += 1
        if not goes_on or not follows or self._expected is None:
            self._forget("the recording was interrupted here", keeps_state=goes_on)
        self._is_fresh = values.get("previous_recording") != values.get("recording")
        self._expected = 1
        self._counts = {}
        self._is_first_chunk = True
        self._has_lost = False
        self._confirmed = {line.request for line in self._lines.values() if line.step in _CONFIRMED and line.request}
        self._knows_confirmed = self._is_synced
        self._requests = None
        self._is_dirty = True
        self._cycles, self._cycle_ends, self._cycle = [], {}, None

    def _check_predecessor(self, before: Source | None, source: Source) -> bool:
        """Whether the segment says that it follows the one ``before`` it."""
        values = source.values
        said, sequence = values.get("previous", ""), values.get("previous_sequence", "")
        recording = values.get("previous_recording", "")
        if before is None:
            if said:
                self.report.add_note(f"older segments have been deleted: the first one follows {printable(said, 60)}")
            elif source.number > 1 and source.number - 1 not in self._aside:
                self._defect(Kind.METADATA, "it is not the first segment, and does not say which it follows")
            elif sequence not in ("", "0") or recording:
                self._defect(Kind.METADATA, "it says what it follows, but not the name of the file")
            return True
        last = None if self._expected is None else str(self._expected - 1)
        if said != before.name:
            text = f"it says that it follows {printable(said, 60) or 'nothing'}, but before it is {before.name}"
            self._defect(Kind.SEQUENCE, text)
            return False
        if recording != before.values.get("recording", ""):
            text = "it says that it follows a segment of another recorder than the one of the file before it"
            self._defect(Kind.METADATA, text)
        crc = values.get("previous_crc", "")
        # One that could not be healed when this one was begun has no checksum here; nor do those of other versions.
        if crc != before.crc and (crc or (self._is_strict and recording == values.get("recording"))):
            self._defect(Kind.FILE, f"{before.name} was changed since this file was begun: its checksum is another")
        if last is not None and sequence != last:
            text = f"it says that the last message before it is {printable(sequence, 20)}, but that is {last}"
            self._defect(Kind.SEQUENCE, text)
            return False
        return True

    def _check_same_recorder(self, before: Source, source: Source) -> None:
        for name in _OF_A_RECORDER:
            if source.values.get(name) != before.values.get(name):
                self._defect(Kind.METADATA, f"its {name} is another than before, with the same recorder")
        if not before.is_finished:
            self._defect(Kind.FILE, f"{before.name} has no end, but its recorder went on with this file")
        if self._is_stopped:
            self._defect(Kind.SEQUENCE, "its recorder had said that it stopped")

    def _begin_recorder(self, before: Source | None, source: Source) -> None:
        values = source.values
        self._values = values
        base = values.get("epoch_base", "")
        self._is_strict = values.get("version") == self._version
        self._recorder = Recorder.of(values)
        self.report.recorders.append(self._recorder)
        protocol = values.get("protocol", "")
        if protocol != self._protocol:
            try:
                self._new_player(protocol)
            except ValueError as error:
                self._defect(Kind.METADATA, f"it cannot be played: {error}")
        if not base.isdecimal():
            self._defect(Kind.METADATA, "its first connection has no number")
        elif before is None and not values.get("previous") and base != "0":
            self._defect(Kind.METADATA, f"its first connection is number {base}, though nothing stands before it")
        elif before is not None and self._last_epoch is not None and int(base) < self._last_epoch:
            text = f"its connections begin with number {base}, but before it there were {self._last_epoch}"
            self._defect(Kind.METADATA, text)
        self._player.epoch_base = int(base) if base.isdecimal() else 0
        self._is_stopped = self._has_sent = False
        self._last_cycle = 0
        self._clock = _UNKNOWN_CLOCK

    def metadata(self, entry: MetadataEntry) -> None:
        """The next record of a segment is one of metadata."""
        if entry.name == fmt.REQUESTS:
            self._requests = entry
            self._is_dirty = True
            epoch = entry.values.get("epoch", "")
            if epoch.isdecimal():
                self._last_epoch = self._player.epoch_base + int(epoch)
        elif entry.name == fmt.KEYFRAME_CYCLE:
            self._check_cycle(entry)
        elif self._is_strict:
            text = f"metadata of a kind that this version does not write: {printable(entry.name, 40)}"
            self._defect(Kind.METADATA, text, byte=entry.offset)

    def _check_cycle(self, entry: MetadataEntry) -> None:
        said = dict(entry.values)
        for cycle in self._cycles:
            if str(cycle.sequence) == said.get("sequence"):
                found = {
                    "offset": str(cycle.offset),
                    "sequence": str(cycle.sequence),
                    "begin_ns": str(cycle.begin_ns),
                    "end_ns": str(self._cycle_ends[cycle.sequence]),
                }
                if said == found:
                    return
        if not self._has_lost:
            text = "it names a place of key frames, but there are none"
            self._defect(Kind.METADATA, text, byte=entry.offset)

    def lost(self, entry: ChunkEntry, why: str) -> None:
        """The next record of a segment is a chunk that cannot be read."""
        self._wall_ns = entry.start_ns
        self._defect(Kind.CHUNK, why, byte=entry.offset)
        self._has_lost = True
        self._expected = None
        self._forget(f"the recording is damaged here: {why}", keeps_state=True)

    def leave(self) -> None:
        """The segment ends."""
        source = self._source
        assert source is not None  # it has begun
        self._flush()
        if source.counts is not None and not self._has_lost:
            said = {channel: number for channel, number in source.counts.items() if number}
            if said != self._counts:
                self._defect(Kind.METADATA, "its end counts other messages than there are")

    def end(self, *, is_running: bool = False) -> Report:
        """The recording ends here. ``is_running``: another process goes on with it."""
        self._end_recorder(is_running=is_running)
        for line in self._lines.values():
            self._uncover(line)
            if line.hole is not None:
                self._close_hole(line, None)
        return self.report

    def _end_recorder(self, next_ns: int | None = None, *, is_running: bool = False) -> None:
        """Its run is over. ``next_ns`` is when the next one begins."""
        recorder = self._recorder
        if recorder is None:
            return
        recorder.ended = "stopped" if self._is_stopped else "running" if is_running else "killed"
        if recorder.ended == "killed":
            why = "the recorder was killed, or lost its disk: what it had not yet written is missing"
        else:
            why = "the recorder was stopped"
        if next_ns is not None or recorder.ended == "killed":
            self.report.add_hole(
                Hole(
                    cause=Cause.NOT_RECORDED.value,
                    detail=why,
                    channel=None,
                    symbol=None,
                    begin_ns=self._wall_ns,
                    end_ns=next_ns,
                )
            )

    # -------------------------------------------------------------------- chunks

    def chunk(self, entry: ChunkEntry, messages: Sequence[tuple[int, int, int, int, bytes]]) -> None:
        """The next record of a segment is this chunk, with these messages."""
        self._offset = entry.offset
        report, counts = self.report, self._counts
        report.messages += len(messages)
        at, count = 0, len(messages)
        earliest = latest = messages[0][2] if messages else entry.start_ns
        while at < count:
            channel, sequence, wall_ns, offset, data = messages[at]
            self._sequence = sequence
            if sequence != self._expected:
                self._break(sequence, wall_ns)
            if not earliest <= wall_ns <= latest:
                earliest, latest = min(earliest, wall_ns), max(latest, wall_ns)
            if offset != self._clock or wall_ns < self._wall_ns:
                self._check_clocks(wall_ns, offset)
            self._wall_ns = wall_ns
            counts[channel] = counts.get(channel, 0) + 1
            at += 1
            if channel > fmt.TEXT_MORE:
                self._record(channel, data)
            elif self._due:
                self._place(channel, wall_ns)
                self._decided_frame(data)
            else:
                self._place(channel, wall_ns)
                batch = [data]
                while at < count:
                    more, number, wall, clock, data = messages[at]
                    if more in _FIRST or more > fmt.TEXT_MORE or number != sequence + len(batch):
                        break
                    if wall != wall_ns or clock != offset:
                        break
                    counts[more] = counts.get(more, 0) + 1
                    batch.append(data)
                    at += 1
                self._frames(batch)
                sequence += len(batch) - 1
            self._expected = sequence + 1
        self._end_of_chunk(entry, earliest, latest, is_empty=not messages)

    def _check_clocks(self, wall_ns: int, offset: int) -> None:
        """The monotonic clock never goes back; the wall clock may be set."""
        before, self._clock = self._clock, offset
        if before == _UNKNOWN_CLOCK:
            return
        passed = _signed(fmt.monotonic_ns(wall_ns, offset) - fmt.monotonic_ns(self._wall_ns, before))
        if passed < -_ROUNDING_NS:
            self._here(Kind.TIME, "it is earlier than the one before it, by the clock that never goes back")
        step = _signed(offset - before)
        if abs(step) >= _CLOCK_STEP_NS:
            self.report.add_note(f"at {iso(wall_ns)} the clock was set by {step / 1e9:+.3f} s")

    def _end_of_chunk(self, entry: ChunkEntry, earliest: int, latest: int, *, is_empty: bool) -> None:
        self._flush()
        if self._due:
            self._here(Kind.DECISION, "a frame should follow this decision")
            self._due.clear()
            self._forget("a frame is missing", keeps_state=True)
        if (earliest, latest) != (entry.start_ns, entry.end_ns):
            text = (
                f"the block says that it is from {iso(entry.start_ns)} to {iso(entry.end_ns)}, but its messages are "
                f"from {iso(earliest)} to {iso(latest)}"
            )
            self._defect(Kind.TIME, text, byte=entry.offset)
        if is_empty:
            self._defect(Kind.CHUNK, "there is no message in it", byte=entry.offset)
        assert self._source is not None
        assert self._recorder is not None
        if self._recorder.begin_ns is None:
            self._recorder.begin_ns = earliest
        if self._is_first_chunk and self._source.number:
            self._check_start(entry)
        self._recorder.end_ns = latest
        report = self.report
        report.begin_ns = earliest if report.begin_ns is None else min(report.begin_ns, earliest)
        report.end_ns = latest if report.end_ns is None else max(report.end_ns, latest)
        if self._is_dirty and self._is_synced and self._is_strict:
            self._check_requests()
        self._is_first_chunk = False

    def _check_start(self, entry: ChunkEntry) -> None:
        source = self._source
        assert source is not None
        if source.values.get("started_ns") != str(entry.start_ns):
            self._defect(Kind.TIME, f"it says that it began at another time than {iso(entry.start_ns)}")
        match = _NAME_TIME.fullmatch(source.name)
        said = (iso(entry.start_ns) or "")[:19].replace("-", "").replace(":", "")
        if match is not None and match[1] != said:
            self._defect(Kind.TIME, f"it is named by another time than {iso(entry.start_ns)}, when it began")

    def _break(self, sequence: int, wall_ns: int) -> None:
        """A message is not the next one."""
        if self._expected is None:  # something could not be read before it
            return
        expected = self._expected
        if sequence > expected:
            last = f" to {sequence - 1}" if sequence > expected + 1 else ""
            text = f"message {expected}{last} is missing before it"
        else:
            text = f"it is out of order, or doubled: {expected} should be here"
        self._forget(f"the recording is damaged here: {text}", keeps_state=True)
        self._wall_ns = wall_ns
        self._here(Kind.SEQUENCE, text)

    def _check_requests(self) -> None:
        """What the metadata say is subscribed to."""
        self._is_dirty = False
        if self._requests is None:
            self._defect(Kind.METADATA, "nothing says what is subscribed to in this block", byte=self._offset)
            return
        values, byte = self._requests.values, self._requests.offset
        confirmed = set(records.requests_of(values.get("confirmed", "")))
        wanted = set(records.requests_of(values.get("wanted", "")))
        known = {line.request: line.step for line in self._lines.values() if line.step is not None}
        needed = {request for request, step in known.items() if step not in _LEAVING}
        if not (self._confirmed <= confirmed and (confirmed <= self._confirmed or not self._knows_confirmed)):
            self._defect(Kind.METADATA, "it lists other confirmed subscriptions than there are", byte=byte)
        if not needed <= wanted <= known.keys():
            self._defect(Kind.METADATA, "it lists other wanted subscriptions than there are", byte=byte)
        if values.get("epoch") != str(self._epoch):
            self._defect(Kind.METADATA, f"it is of connection {self._epoch}, but says another number", byte=byte)

    # -------------------------------------------------------------------- frames

    def _place(self, channel: int, wall_ns: int) -> None:
        """A frame's place in its batch."""
        moment = (wall_ns, self._clock)
        self._flush()
        if channel in _FIRST:
            self._batch = (0, moment)
            self.report.batches += 1
        elif self._batch is None or self._batch[1] != moment:
            self._here(Kind.TIME, "it says that it came in one read with the frame before it, but at another time")
            self._batch = (0, moment)
        else:
            self._batch = (self._batch[0] + 1, moment)
        self._received_ns = wall_ns
        self._moment = moment

    def _frames(self, batch: list[bytes]) -> None:
        """Frames of one batch without decisions; the first of them has its place."""
        player = self._player
        self.report.frames += len(batch)
        if len(batch) > 1:
            assert self._batch is not None  # it has a place
            self._batch = (self._batch[0] + len(batch) - 1, self._batch[1])
        count = player.disagreement_count
        player.frames(batch, self._wall_ns)
        if player.disagreement_count != count:
            self._disagreed(count)
        if player.others:
            for message in player.others:
                self._check_other(message)
            player.others.clear()
        self._drain()

    def _check_other(self, message: Message) -> None:
        """A frame that is not data led to nothing."""
        if not self._is_strict or not self._is_synced or self._state is ConnectionState.DISCONNECTED:
            return
        if isinstance(message, Unknown):
            self._here(Kind.RECORD, "a record of the log is in the place of a frame")
        elif isinstance(message, Refusal | Notice):
            self._here(Kind.DECISION, f"nothing followed from what the exchange said: {message}")
        elif isinstance(message, Status) and not self._is_known_status(message):
            self._here(Kind.DECISION, "the exchange's status is a new one, and nothing followed from it")

    def _status(self, message: Status) -> StatusUpdate:
        return StatusUpdate(
            system=message.system,
            version=message.version,
            api_version=message.api_version,
            notices=message.notices,
            epoch=self._player.deliveries.epoch,
            received_ns=self._wall_ns,
        )

    def _is_known_status(self, message: Status) -> bool:
        known = self._player.deliveries.status
        return known is not None and known == msgspec.structs.replace(
            self._status(message), received_ns=known.received_ns
        )

    def _disagreed(self, count: int) -> None:
        """The data fail a check, or pass one, and the decisions say otherwise."""
        player = self._player
        new = player.disagreement_count - count
        for text in list(player.disagreements)[-new:]:
            self._here(Kind.DATA, text)
        if not player.by_key:
            self._forget("the recording is damaged here", plays=False)
        for key, line in self._lines.items():
            sub = player.by_key.get(key)
            if line.since_ns is not None and (sub is None or sub.step is Step.PAUSED):
                self._uncover(line)
                self._open_hole(line, "damaged", "the data and the client's decisions disagree")

    def _decided_frame(self, data: bytes) -> None:
        """A frame with the decisions that it led to."""
        player = self._player
        due, self._due = self._due, []
        self.report.frames += 1
        assert self._batch is not None  # it has a place
        index = self._batch[0]
        if any(one.moment != self._moment for one in due):
            self._here(Kind.TIME, "what it led to is of another time")
        if any(one.entry.frame != index for one in due):
            self._here(Kind.DECISION, f"it is frame {index} of its read, but what it led to says another number")
        message: Message | None
        try:
            message = self._codec.decode(data)
        except ProtocolError:
            message = None
        if self._is_strict and self._is_synced:
            self._check_causes(message, due)
        for one in due:
            self._decided(one)
        count = player.disagreement_count
        player.frame(data, self._wall_ns)
        player.others.clear()
        if player.disagreement_count != count:
            self._disagreed(count)
        for one in due:
            if isinstance(one.entry, records.Begun):
                self._attach(key_of(one.value))
        self._drain()

    def _check_causes(self, message: Message | None, due: Sequence[_Decided]) -> None:
        """Whether this frame can have led to these decisions, and must have led to others."""
        kinds = {one.entry.what for one in due if isinstance(one.entry, records.Other)}
        if isinstance(message, _WITHOUT_EFFECT):
            self._here(Kind.DECISION, "something is said to have followed from a frame of which nothing follows")
            return
        reported = [one.value for one in due if isinstance(one.entry, records.Reported)]
        expected = []
        if isinstance(message, Status) and not self._is_known_status(message):
            expected.append(msgspec.structs.replace(self._status(message), epoch=self._epoch or 0))
        if reported != expected:
            self._here(Kind.DECISION, "the exchange's status is not the one that the client reported")
        if (message is None) != ("FrameMalformed" in kinds) and not isinstance(message, Foreign):
            self._here(Kind.DECISION, "a frame cannot be decoded, and the client could; or the other way round")
        if isinstance(message, Notice) and "NoticeReceived" not in kinds:
            self._here(Kind.DECISION, "the client did not notice what a proxy said")
        if isinstance(message, Refusal) and "RequestRefused" not in kinds:
            self._here(Kind.DECISION, "the client did not notice a refusal")
        for one in due:
            entry = one.entry
            if isinstance(entry, records.Other):
                kind = _TOLD_OF.get(entry.what)
                if kind is not None and not (isinstance(message, kind) and _says(message, entry)):
                    self._here(Kind.DECISION, f"{entry.what} does not follow from this frame")
            elif isinstance(entry, records.Stepped) and not _can_lead_to(message, entry):
                self._here(
                    Kind.DECISION, f"{_name(entry.key)}: that it was {entry.because!r} does not follow from this frame"
                )

    def _drain(self) -> None:
        """Count what the frames have yielded."""
        effects, _ = self._player.take()
        deliver: dict[Any, list[Any]] = effects.deliver  # the feeds are named by keys
        day, received_ns = self._wall_ns // NS_PER_DAY, self._wall_ns
        for key, events in deliver.items():
            line = self._lines[key]
            row = line.row
            if row is None or row.day != day:
                row = self._row(line, day)
            earliest, latest = row.earliest_ns, row.latest_ns
            for event in events:
                kind = type(event)
                if kind is Gap:
                    self._missed(line, row, event)
                    continue
                row.events += 1
                if kind in _BOOKS:
                    if event.checksum is None:
                        row.absent += 1
                    else:
                        row.verified += 1
                    if _BOOKS[kind]:
                        continue
                elif key[0] == "trade":
                    line.has_trades = True
                    if event.snapshot:
                        continue
                elif getattr(event, "snapshot", False) or getattr(event, "recovered", False):
                    continue
                time = getattr(event, "timestamp", None)
                if time is not None:
                    offset = received_ns - int(time.timestamp() * 1_000_000) * 1000
                    if earliest is None or offset < earliest:
                        earliest = offset
                    if latest is None or offset > latest:
                        latest = offset
            row.earliest_ns, row.latest_ns = earliest, latest

    def _missed(self, line: _Line, row: Row, gap: Gap) -> None:
        """A gap that the data show themselves; all others are known by the decisions."""
        if gap.cause is not Cause.MISSED and gap.cause is not Cause.UNRECOVERED:
            return
        if gap.missed is None and line.has_trades:
            self._here(Kind.DATA, f"{_name(line.key)}: trade numbers go back on one connection: {gap.detail}")
            return
        row.missing_trades += gap.missed or 0
        self._point_hole(line, gap.cause.value, gap.detail)

    # ---------------------------------------------------------- what is not frames

    def _record(self, channel: int, data: bytes) -> None:
        try:
            entry = records.read(data)
        except ProtocolError as error:
            self._unreadable(str(error))
            return
        if entry is None:
            if self._is_strict:
                self._here(Kind.RECORD, "it is of a kind that this version does not write")
            return
        if not isinstance(entry, _OF_CHANNEL.get(channel, ())):
            self._unreadable(f"a {type(entry).__name__} does not belong into this channel")
            return
        if not isinstance(entry, records.Decision):
            self._flush(is_sent=isinstance(entry, records.Told) and entry.what == "Sent")
            if self._due:
                self._here(Kind.DECISION, "a frame should follow the decision before it")
                self._due.clear()
        if self._is_strict and (records.encode(entry) != data or not _is_exact(entry)):
            self._here(Kind.RECORD, "it is not written as this version writes it")
        try:
            self._apply(entry)
        except (ProtocolError, ValueError, TypeError) as error:
            self._unreadable(str(error))

    def _unreadable(self, why: str) -> None:
        self._here(Kind.RECORD, f"a record cannot be understood: {printable(why)}")
        self._forget("a record cannot be understood", keeps_state=True)

    def _apply(self, entry: records.Entry) -> None:
        player = self._player
        if isinstance(entry, records.Decision):
            decided = _Decided(entry, _value_of(entry), (self._wall_ns, self._clock))
            if entry.frame is None:
                self._check_moment()
                if self._due:
                    self._here(Kind.DECISION, "a frame should follow the decision before it")
                    self._due.clear()
                self._decided(decided)
            else:
                self._due.append(decided)
            player.record(entry)
            if entry.frame is None and isinstance(entry, records.Begun):
                self._attach(key_of(decided.value))
            return
        if isinstance(entry, records.Told) and entry.what == "Sent":
            self._check_moment()
        else:
            self._moment = (self._wall_ns, self._clock) if isinstance(entry, records.Told) else None
        self._batch = None
        if self._is_stopped:
            self._here(Kind.SEQUENCE, "it follows the recorder's end")
        match entry:
            case records.Told():
                self._given(entry)
            case records.CycleBegun():
                self._begin_cycle(entry)
            case records.CycleEnded():
                self._end_cycle(entry)
            case records.ClientFrame():
                self._client_frame(entry)
            case records.KeyFrame():
                self._key_frame(entry)
            case records.Started():
                if not (self._is_fresh and self._sequence == 1):
                    self._here(Kind.SEQUENCE, "a recorder does not begin in the middle")
                self._forget("the recording was interrupted here")
            case records.Hole():
                self._hole(entry)
            case _:
                self._is_stopped = True
        if self._is_fresh and self._sequence == 1 and not isinstance(entry, records.Started):
            self._here(Kind.SEQUENCE, "a recorder's first record should be here")
        player.record(entry)
        if isinstance(entry, records.KeyFrame):
            self._attach(key_of(decode_request(entry.request)))
        else:
            player.take()

    def _check_moment(self) -> None:
        """What follows from something has the times of that."""
        if self._is_strict and self._moment is not None and self._moment != (self._wall_ns, self._clock):
            self._here(Kind.TIME, "it is of another time than what it follows from")

    # Inputs

    def _given(self, entry: records.Told) -> None:
        known = records.input_of(entry, decode_request)
        if entry.what == "Sent":
            self._has_sent = True
            self._to_be_sent = [key for key in self._to_be_sent if not self._codec.mentions(entry.text, *key)]
            return
        if known is None:
            if self._is_strict:
                self._here(Kind.RECORD, "it is an input that this version does not know")
            return
        self._input = entry.what
        self._added = tuple(map(decode_request, entry.requests))
        causes = _LEADS_TO.get(entry.what)
        if causes is not None:
            if entry.what == "Lost":
                causes = frozenset({Cause(entry.cause), Cause.REFUSED})
            self._awaited = (entry.what, causes)
        if entry.what == "Connected":
            if self._epoch is not None and entry.epoch != self._epoch + 1:
                self._here(Kind.DECISION, f"it is connection {entry.epoch}, but the one before was {self._epoch}")
            self._epoch = entry.epoch
            self._is_dirty = True

    def _flush(self, *, is_sent: bool = False) -> None:
        """What belongs together is over; ``is_sent``: but for requests that are sent."""
        if self._told:
            for line in self._told:
                if line.told is not None and line.since_ns is not None:
                    self._point_hole(line, *line.told)
                line.told = None
            self._told.clear()
        if self._awaited is not None:
            if self._is_strict and self._is_synced:
                self._here(Kind.DECISION, f"nothing followed from the input {self._awaited[0]} before it")
            self._awaited = None
        if self._to_be_sent and not is_sent:
            if self._is_strict and self._is_synced and self._has_sent:
                self._here(
                    Kind.DECISION, f"no request for {_name(self._to_be_sent[0])} was sent, as it should have been"
                )
            self._to_be_sent.clear()

    # Decisions

    def _decided(self, decided: _Decided) -> None:
        entry, value = decided.entry, decided.value
        match entry:
            case records.Begun():
                self._begun(value)
                if self._is_strict and self._is_synced and self._input == "Added" and value not in self._added:
                    self._here(Kind.DECISION, f"{value} begins, but was not asked for")
            case records.Stepped():
                self._stepped(entry)
            case records.Reset():
                if self._is_synced and self._line(entry.key).step is None:
                    self._here(Kind.DECISION, f"{_name(entry.key)} is not subscribed to")
            case records.Missed():
                self._gap(entry, value)
            case records.Changed():
                self._changed(entry, value)
            case records.Reported():
                self._check_position(value, "the status")
            case records.Resynced():
                line = self._line(entry.key)
                if self._is_synced and line.step is None:
                    self._here(Kind.DECISION, f"{_name(entry.key)} is not subscribed to")
                row = self._row(line, self._wall_ns // NS_PER_DAY)
                row.resyncs += 1
                if entry.cause == Cause.CHECKSUM.value:
                    row.failed += 1
            case _:
                pass

    def _check_position(self, event: Any, what: str) -> None:
        """Gaps and the like have the connection and the time of the last read."""
        if not self._is_strict:
            return
        if self._epoch is not None and event.epoch != self._epoch:
            self._here(Kind.DECISION, f"{what} is of connection {event.epoch}, but this is {self._epoch}")
        if self._received_ns is not None and event.received_ns != self._received_ns:
            text = f"{what} is of {iso(event.received_ns)}, but the last read was at {iso(self._received_ns)}"
            self._here(Kind.TIME, text)

    def _begun(self, request: Request[Any]) -> None:
        line = self._line(key_of(request))
        if line.step is None:
            line.step = Step.TO_SUBSCRIBE
        elif self._is_strict and line.step not in _LEAVING:
            self._here(Kind.DECISION, f"{_name(line.key)} begins, but is subscribed to already")
        line.request = request
        line.row = None
        self._is_dirty = True

    def _stepped(self, entry: records.Stepped) -> None:
        line = self._line(entry.key)
        step, happening = _STEPS.get(entry.step), _HAPPENINGS.get(entry.because)
        if step is None or happening is None:
            if self._is_strict:
                self._here(Kind.RECORD, "it is a step that this version does not know")
            step = step or Step.PAUSED
        if line.step is None:
            if self._is_synced:
                self._here(Kind.DECISION, f"{_name(line.key)} is not subscribed to")
            return
        if self._is_strict and happening is not None:
            cell = MOVES[line.step, happening]
            if not isinstance(cell, Move) or cell.step is not step:
                text = f"{_name(line.key)} was {line.step.value!r}: {entry.because!r} does not make it {entry.step!r}"
                self._here(Kind.DECISION, text)
        line.step = step
        self._is_dirty = True
        if happening is Happening.SENT:
            self._to_be_sent.append(line.key)
        if step in _CONFIRMED and line.request is not None:
            self._confirmed.add(line.request)
        self._moved(line, happening, entry.because)
        if step is Step.GONE:
            line.step = None

    def _gap(self, entry: records.Missed, gap: Gap) -> None:
        self._check_position(gap, "the gap")
        if self._is_strict and self._is_synced:
            if gap.symbol is not None and entry.keys != ((gap.channel, gap.symbol),):
                self._here(Kind.DECISION, "a gap was announced to other subscriptions than it is about")
            if gap.channel is not None and any(channel != gap.channel for channel, _ in entry.keys):
                self._here(Kind.DECISION, "a gap was announced to another channel than it is about")
        for key in entry.keys:
            line = self._line(key)
            if line.step is None:
                if self._is_synced:
                    self._here(Kind.DECISION, f"{_name(key)} is not subscribed to")
            elif line.hole is not None:
                line.hole = (line.hole[0], gap.cause.value, gap.detail)
            else:
                line.told = (gap.cause.value, gap.detail)
                self._told.append(line)

    def _changed(self, entry: records.Changed, change: StateChange) -> None:
        self._check_position(change, "the change of state")
        if self._is_strict:
            if self._state is not None and change.previous is not self._state:
                text = f"the client was {self._state.value!r}, but is said to have been {change.previous.value!r}"
                self._here(Kind.DECISION, text)
            elif not any(
                cell is change.current and trigger.cause is change.cause and state is change.previous
                for (state, trigger), cell in TRANSITIONS.items()
            ):
                text = f"{change.cause.value!r} does not make a client {change.current.value!r}"
                self._here(Kind.DECISION, text)
            is_of_input = entry.frame is None and change.cause in _OF_INPUTS
            if is_of_input and self._is_synced and not self._may_follow(change.cause):
                self._here(Kind.DECISION, f"no input has led to {change.cause.value!r}")
        if self._awaited is not None and change.cause in self._awaited[1]:
            self._awaited = None
        self._state = change.current

    def _may_follow(self, cause: Cause) -> bool:
        if cause is Cause.CLOSED:
            return self._input == "Closed"
        return self._awaited is not None and cause in self._awaited[1]

    # Key frames

    def _begin_cycle(self, entry: records.CycleBegun) -> None:
        if self._is_strict and entry.number <= self._last_cycle:
            self._here(Kind.KEY_FRAME, f"they are number {entry.number}, after {self._last_cycle}")
        self._last_cycle = entry.number
        keys = frozenset(key for key, line in self._lines.items() if line.step is not None)
        self._cycle = _Cycle(entry.number, self._offset, self._sequence, self._wall_ns, keys)
        self._framed = set()

    def _end_cycle(self, entry: records.CycleEnded) -> None:
        cycle, self._cycle = self._cycle, None
        if cycle is None or cycle.number != entry.number:
            if self._is_synced:
                self._here(Kind.KEY_FRAME, f"they end with number {entry.number}, which did not begin")
            return
        for key in cycle.keys - self._framed:
            if self._lines[key].step is not None:
                self._here(Kind.KEY_FRAME, f"the one of {_name(key)} is missing")
        self._cycles.append(cycle)
        self._cycle_ends[cycle.sequence] = self._wall_ns
        if not self._is_synced:
            self._is_synced = True
            for line in self._lines.values():
                if line.step is None and line.hole is not None:
                    line.hole = None  # nobody wants it any more

    def _client_frame(self, entry: records.ClientFrame) -> None:
        deliveries = self._player.deliveries
        state = ConnectionState(entry.state)
        status = [decode_event(named) for named in entry.status]
        if any(not isinstance(one, StatusUpdate) for one in status) or len(status) > 1:
            msg = "the client's state has another event than a status"
            raise ProtocolError(msg)
        if self._is_synced:
            known = deliveries.status
            base = self._player.epoch_base
            expected = [] if known is None else [msgspec.structs.replace(known, epoch=known.epoch - base)]
            if status != expected:
                self._here(Kind.KEY_FRAME, "the exchange's status is another one here")
        for what, said, found in (
            ("state", state, self._state),
            ("connection", entry.epoch, self._epoch),
            ("time of the last read", entry.received_ns, self._received_ns),
        ):
            if found is not None and said != found:
                self._here(Kind.KEY_FRAME, f"the client's {what} is another one here")
        self._state, self._epoch, self._received_ns = state, entry.epoch, entry.received_ns
        self._is_dirty = True

    def _key_frame(self, entry: records.KeyFrame) -> None:
        request = decode_request(entry.request)
        line = self._line(key_of(request))
        step = _STEPS.get(entry.step)
        name = _name(line.key)
        if self._cycle is None and self._is_synced:
            self._here(Kind.KEY_FRAME, f"the one of {name} stands alone")
        self._framed.add(line.key)
        if step is None or step is Step.GONE:
            if self._is_strict:
                self._here(Kind.RECORD, "it is a step that this version does not know")
            step = Step.PAUSED
        if line.step is None:
            if self._is_synced:
                self._here(Kind.KEY_FRAME, f"{name} is not subscribed to")
            line.request, line.step, line.row = request, step, None
            if step in _CONFIRMED:
                self._confirmed.add(request)
            self._is_dirty = True
            self._moved(line, None, "")
            return
        if line.request != request:
            self._here(Kind.KEY_FRAME, f"{name} is subscribed to as {line.request}, not as {request}")
            return
        if line.step is not step:
            self._here(Kind.KEY_FRAME, f"{name} is {line.step.value!r}, not {entry.step!r}")
        sub = self._player.by_key.get(line.key)
        if sub is None or not self._is_strict or (sub.step is Step.PAUSED and line.step is not Step.PAUSED):
            return  # of another version, or it has been reported
        kept = sub.state.keep()
        base = self._player.epoch_base
        found = [encode_event(msgspec.structs.replace(event, epoch=event.epoch - base)) for event in kept.events]
        marks = {name: mark - base if name == "crossed_in" else mark for name, mark in kept.marks.items()}
        if found != [bytes(event) for event in entry.events] or marks != entry.marks:
            self._here(Kind.KEY_FRAME, f"it is not the state of {name} here")

    # Notes

    def _hole(self, entry: records.Hole) -> None:
        text = f"{entry.batches} batches ({entry.frames} frames) were not recorded: {printable(entry.why)}"
        self.report.add_hole(
            Hole(
                cause=Cause.NOT_RECORDED.value,
                detail=text,
                channel=None,
                symbol=None,
                begin_ns=entry.from_ns,
                end_ns=entry.until_ns,
            )
        )
        if not entry.from_ns <= entry.until_ns == self._wall_ns and self._is_strict:
            self._here(Kind.TIME, "the hole that it tells of does not end here")
        now_ns, self._wall_ns = self._wall_ns, max(0, min(entry.from_ns, self._wall_ns))
        self._forget(text, keeps_state=True, plays=False)
        self._wall_ns = now_ns

    # -------------------------------------------------------- what is known so far

    def _forget(self, why: str, *, keeps_state: bool = False, plays: bool = True) -> None:
        """From here on nothing is known, until key frames tell."""
        if plays:
            self._player.forget(Cause.NOT_RECORDED, why, keeps_state=keeps_state)
            self._player.take()
        for line in self._lines.values():
            if line.since_ns is not None:
                self._uncover(line)
                self._open_hole(line, Cause.NOT_RECORDED.value, why)
            line.step = None
            line.told = None
        self._told.clear()
        self._due.clear()
        self._to_be_sent.clear()
        self._awaited = self._input = self._batch = self._moment = self._cycle = None
        self._epoch = self._received_ns = self._state = None
        self._is_synced = False
        self._knows_confirmed = False

    def _line(self, key: Key) -> _Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key)
        return line

    def _row(self, line: _Line, day: int) -> Row:
        place = (line.key, day)
        row = self.report.rows.get(place)
        if row is None:
            row = self.report.rows[place] = Row(channel=line.key[0], symbol=line.key[1], day=day)
        if line.request is not None:
            row.request = str(line.request)
        line.row = row
        return row

    def _attach(self, key: Key) -> None:
        """Have the player tell what comes of it."""
        player = self._player
        sub = player.by_key.get(key)
        if sub is not None and self._attached.get(key) is not sub:
            player.remove(key)
            player.add(key, [sub.request], at_once=True)
            self._attached[key] = sub
        player.take()  # what a feed begins with has been counted when it came

    def _moved(self, line: _Line, happening: Happening | None, because: str) -> None:
        """It made a step: is it covered now?"""
        state = CHANNELS.get(line.key[0])
        must_verify = state is not None and state.must_verify
        is_covered = line.step is Step.LIVE or (line.step is Step.CONFIRMED and not must_verify)
        if is_covered and line.since_ns is None:
            line.since_ns = self._wall_ns
            if line.hole is not None:
                self._close_hole(line, self._wall_ns)
            line.told = None
        elif not is_covered:
            was_covered = line.since_ns is not None
            self._uncover(line)
            if happening in _UNWANTED:
                line.hole = None
            elif was_covered:
                self._open_hole(line, *(line.told or (because, "")))

    def _uncover(self, line: _Line) -> None:
        begin, line.since_ns = line.since_ns, None
        if begin is not None:
            for day, duration in by_day(begin, self._wall_ns):
                self._row(line, day).covered_ns += duration

    def _open_hole(self, line: _Line, cause: str, detail: str) -> None:
        line.hole = (self._wall_ns, cause, detail)
        line.has_trades = False
        line.told = None

    def _close_hole(self, line: _Line, end_ns: int | None) -> None:
        assert line.hole is not None  # asked only then
        (begin, cause, detail), line.hole = line.hole, None
        self._add_hole(line, cause, detail, begin, end_ns)
        for day, duration in by_day(begin, self._wall_ns):
            self._row(line, day).hole_ns += duration

    def _point_hole(self, line: _Line, cause: str, detail: str) -> None:
        self._add_hole(line, cause, detail, self._wall_ns, self._wall_ns)

    def _add_hole(self, line: _Line, cause: str, detail: str, begin_ns: int, end_ns: int | None) -> None:
        channel, symbol = line.key
        holes = self._row(line, begin_ns // NS_PER_DAY).holes
        holes[cause] = holes.get(cause, 0) + 1
        self.report.add_hole(
            Hole(cause=cause, detail=detail, channel=channel, symbol=symbol, begin_ns=begin_ns, end_ns=end_ns)
        )


class _Listener(Player):
    """A player that keeps what is not data."""

    def __init__(self, codec: Codec) -> None:
        self.others: list[Message] = []
        """Messages of which something may follow."""
        super().__init__(codec)

    def handle(self, frame: str | bytes, message: Message) -> bool:
        """See the base class."""
        if not isinstance(message, _WITHOUT_EFFECT) or (isinstance(message, Unknown) and _is_record(frame)):
            self.others.append(message)
        return super().handle(frame, message)


def _is_exact(entry: records.Entry) -> bool:
    """Whether what is encoded within a record is as this version encodes it. What is no event or request counts, too.

    Those are reported when they are used.
    """
    match entry:
        case records.Begun():
            return _same_requests((entry.request,))
        case records.Told():
            return _same_requests(entry.requests)
        case records.Missed():
            return _same_events((entry.gap,))
        case records.Changed():
            return _same_events((entry.change,))
        case records.Reported():
            return _same_events((entry.status,))
        case records.ClientFrame():
            return _same_events(entry.status)
        case records.KeyFrame():
            return _same_requests((entry.request,)) and _same_events(entry.events)
        case _:
            return True


def _same_requests(encoded: Sequence[records.Named]) -> bool:
    try:
        return all(encode_request(decode_request(one)) == bytes(one) for one in encoded)
    except ProtocolError:
        return True


def _same_events(encoded: Sequence[records.Named]) -> bool:
    try:
        return all(encode_event(decode_event(one)) == bytes(one) for one in encoded)
    except ProtocolError:
        return True


def _value_of(entry: records.Decision) -> Any:
    """What is encoded in a decision. Raises :class:`ProtocolError` if it is not what belongs there."""
    match entry:
        case records.Begun():
            request = decode_request(entry.request)
            if request.channel is None:
                msg = f"{request} is no subscription"
                raise ProtocolError(msg)
            return request
        case records.Missed():
            return _event(entry.gap, Gap)
        case records.Changed():
            return _event(entry.change, StateChange)
        case records.Reported():
            return _event(entry.status, StatusUpdate)
        case records.Resynced():
            return Cause(entry.cause)
        case _:
            return None


def _event(named: records.Named, kind: type) -> Any:
    event = decode_event(named)
    if not isinstance(event, kind):
        msg = f"a {type(event).__name__} is in the place of a {kind.__name__}"
        raise ProtocolError(msg)
    return event


def _says(message: Message | None, entry: records.Other) -> bool:
    """Whether what the client noticed is what the message says."""
    fields = entry.fields
    if isinstance(message, Notice):
        return fields.get("text") == message.text
    if isinstance(message, Refusal):
        return fields.get("text") == message.error and fields.get("symbol", message.symbol) == message.symbol
    return isinstance(message, Ack) and fields.get("text") in message.warnings


def _can_lead_to(message: Message | None, entry: records.Stepped) -> bool:
    """Whether a frame with this message can make a subscription make this step."""
    channel, symbol = entry.key
    of_it = isinstance(message, Data) and message.channel == channel and any(e.symbol == symbol for e in message.events)
    if entry.because == Happening.DATA.value:
        return of_it or (isinstance(message, Empty) and message.channel == channel)
    if entry.because == Happening.ACCEPTED.value:
        is_answer = isinstance(message, Ack) and (message.channel, message.symbol) == (channel, symbol)
        return of_it or (is_answer and isinstance(message, Ack) and message.method is Method.SUBSCRIBE)
    if entry.because == Happening.FAILED.value:
        return of_it or message is None or isinstance(message, Refusal | Foreign)
    return isinstance(message, Ack | Refusal | Data)


def _is_record(frame: str | bytes) -> bool:
    return frame[:9] in ('{"kind":"', b'{"kind":"')


def _signed(difference: int) -> int:
    """A difference of unsigned numbers of 64 bits."""
    return (difference + 2**63) % 2**64 - 2**63


def _name(key: Key) -> str:
    channel, symbol = key
    return printable(channel, 40) if symbol is None else f"{printable(channel, 40)} {printable(symbol, 40)}"
