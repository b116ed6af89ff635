"""Records a client: packs what passes by, and hands it to a writer in another thread, a block at a time.

The recorder is a :class:`~kraken_trio.runtime.shell.Tap`: it is told of each batch of frames and of each other input,
with what the session decided, and packs them at once, which takes about a microsecond a frame. Everything else
(compressing, checksums, the disk) happens in the writer's thread. Between the two is a bounded queue of blocks.

When the disk cannot keep up, or cannot be written at all, the recording falls behind, by ``max_pending_bytes`` at most.
Then, with ``DROP_OLDEST``, whole batches are left out; as soon as there is room again, a note says how many, and key
frames follow, so that a reader can go on. With ``BACKPRESSURE``, the client does not read meanwhile. Feeds never
notice.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import attrs
import trio

from kraken_trio._text import printable
from kraken_trio.errors import RecordingError
from kraken_trio.recording.keyframes import client_frame, frame_of, keys_of
from kraken_trio.recording.packer import Packer
from kraken_trio.recording.records import CycleBegun, CycleEnded, Hole, Started, Stopped, named_requests
from kraken_trio.requests import Overflow
from kraken_trio.session.records import RecordingFailed, RecordingResumed, StepTaken, UploadFailed
from kraken_trio.session.steps import Step
from kraken_trio.statistics import RecordingStatistics
from kraken_trio.storage.writer import Cycle, Job, SegmentGone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from kraken_trio.requests import Request
    from kraken_trio.runtime.actor import Actor
    from kraken_trio.session import Effects
    from kraken_trio.session.inputs import Input
    from kraken_trio.storage.writer import LogWriter

__all__ = ["Options", "Recorder", "Work", "in_line", "in_thread"]

T = TypeVar("T")

BLOCK_BYTES: Final = 256 * 1024
"""A block is written when it has so many bytes: larger ones hardly compress better, and hold up the loop for longer."""
SLICE_SECONDS: Final = 0.001
"""Key frames are packed for so long at a time; a book of depth 1000 takes about a millisecond."""
SLICE_PAUSE: Final = 0.01
"""Between two slices."""
RETRY_SECONDS: Final = 1.0
"""After a failed write."""
CYCLE_MESSAGES: Final = 100_000
"""Key frames are written after so many messages, too: a reader that begins in the middle reads no more than these."""
_CONFIRMED: Final = frozenset({Step.CONFIRMED, Step.LIVE})


_NS_PER_DAY: Final = 86_400 * 10**9
_MAX_SEQUENCE: Final = 2**31
"""Of a segment, in which messages are numbered by 32 bits."""


class Work(Protocol):
    """How the writer is run: a seam, because a thread beside a virtual clock would let hours pass."""

    async def __call__(self, do: Callable[..., T], /, *args: Any) -> T:
        """Call it, and return what it returns."""
        ...


def in_thread() -> Work:
    """In a thread of its own, which is left alone if the disk does not answer."""
    limiter = trio.CapacityLimiter(1)

    async def work(do: Callable[..., T], /, *args: Any) -> T:
        return await trio.to_thread.run_sync(do, *args, limiter=limiter, abandon_on_cancel=True)

    return work


async def in_line(do: Callable[..., T], /, *args: Any) -> T:
    """In the loop itself: for virtual time."""
    await trio.lowlevel.checkpoint()
    return do(*args)


@attrs.define
class _Hole:
    """What could not be recorded so far."""

    since_ns: int
    why: str
    batches: int = 0
    frames: int = 0


@attrs.frozen(kw_only=True)
class Options:
    """How a client is recorded."""

    overflow: Overflow
    keyframe_every: float
    flush_every: float
    max_segment_bytes: int
    max_pending_bytes: int
    close_timeout: float


class Recorder:
    """One client's recorder."""

    def __init__(
        self,
        actor: Actor,
        writer: LogWriter,
        options: Options,
        work: Work,
        on_segment: Callable[[Path], Awaitable[object]] | None,
        healed: Iterable[Path] = (),
    ) -> None:
        self._actor = actor
        self._session = actor.session
        self._writer = writer
        self._options = options
        self._work = work
        self._on_segment = on_segment
        self._packer = Packer()
        # What waits to be written
        self._queue: deque[tuple[Job, int]] = deque()  # each with the number of its segment
        self._pending_bytes = 0
        self._filled = trio.Event()
        self._is_full = self._is_holding = False  # with backpressure: is there no room, and does the client wait?
        self._closing = trio.Event()
        self._drained = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._writing = trio.CancelScope(shield=True)
        self._hole: _Hole | None = None
        self._failure: str | None = None
        # The segment
        self._segment = 0  # its number, from 1, in this recording
        self._has_blocks = False
        self._disk_bytes = 0
        self._earlier_bytes = 0  # of the segments before
        self._day = 0
        self._is_gone = False  # can it not be written any more?
        self._is_whole = False  # has it a whole cycle of key frames?
        self._is_last = False  # does it hold as much as readers accept?
        self._confirmed: dict[Request[Any], None] = {}
        self._requests: tuple[str, str, int] | None = None  # as they were written last
        self._is_dirty = True  # may they have changed?
        # Key frames
        self._cycle_number = 0
        self._cycle_wanted = trio.Event()
        self._cycles: list[Cycle] = []
        self._last_cycle = 0  # the sequence number at its end
        # For others
        self._uploads: deque[Path] = deque()
        self._uploads_filled = trio.Event()
        self._is_last_finished = False
        self._uploaded = trio.Event()
        self._uploading = trio.CancelScope(shield=True)
        self._finished(healed)
        self._last_ns = 0
        self._batches = self._frames = self._written = self._dropped_batches = self._dropped_frames = 0

    # The tap

    def received(self, frames: Sequence[str | bytes], received_ns: int, now: float, effects: Effects) -> None:
        self._last_ns = received_ns
        if self._hole is not None and not self._may_go_on(received_ns, now):
            self._hole.batches += 1
            self._hole.frames += len(frames)
            self._note_steps(effects)
            self._dropped_batches += 1
            self._dropped_frames += len(frames)
            return
        self._packer.received(frames, received_ns, now, effects)
        self._batches += 1
        self._frames += len(frames)
        if effects.records:
            self._note_steps(effects)
        if self._packer.size >= BLOCK_BYTES:
            self._cut(received_ns)

    def told(self, happening: Input, wall_ns: int, now: float, effects: Effects) -> None:
        self._last_ns = wall_ns
        self._is_dirty = True
        self._note_steps(effects)
        if self._hole is not None and not self._may_go_on(wall_ns, now):
            return
        self._packer.told(happening, self._session.epoch, wall_ns, now, effects)
        if self._packer.size >= BLOCK_BYTES:
            self._cut(wall_ns)

    def _note_steps(self, effects: Effects) -> None:
        for record in effects.records:
            if isinstance(record, StepTaken):
                self._is_dirty = True
                if record.current in _CONFIRMED:
                    self._confirmed[record.request] = None

    # Blocks

    def _cut(self, wall_ns: int) -> None:
        """Hand over what has been packed. After it, perhaps, a new segment begins."""
        if not len(self._packer):
            return
        if self._packer.sequence - self._last_cycle >= CYCLE_MESSAGES:
            self._cycle_wanted.set()
        block = self._packer.take()
        job = Job(
            block=block,
            requests=self._changed_requests(),
            cycles=tuple(self._cycles),
            begins_segment=not self._has_blocks,
            now_ns=wall_ns,
        )
        self._has_blocks = True
        self._cycles.clear()
        self._queue.append((job, self._segment))
        self._pending_bytes += block.size
        self._filled.set()
        is_over = wall_ns // _NS_PER_DAY > self._day or self._disk_bytes >= self._options.max_segment_bytes
        # A segment whose key frames are not whole would be of little use, and so would be the next.
        if (is_over and self._is_whole) or self._is_last or self._packer.sequence >= _MAX_SEQUENCE:
            self._begin_segment(wall_ns)
        # One block that is on its way is not too much, however small the limit is.
        is_behind = self._pending_bytes > self._options.max_pending_bytes and len(self._queue) > 1
        if is_behind and not self._closing.is_set():
            self._fall_behind(wall_ns)

    def _begin_segment(self, wall_ns: int) -> None:
        self._packer.restart()
        self._segment += 1
        self._has_blocks = self._is_gone = self._is_whole = self._is_last = False
        self._earlier_bytes += self._disk_bytes
        self._disk_bytes = 0
        self._day = wall_ns // _NS_PER_DAY
        self._confirmed = {sub.request: None for sub in self._session.subscriptions if sub.is_confirmed}
        self._requests = None
        self._is_dirty = True
        self._want_cycle()

    def _changed_requests(self) -> Mapping[str, str] | None:
        if not self._is_dirty:
            return None
        self._is_dirty = False
        wanted = named_requests([sub.request for sub in self._session.subscriptions if sub.wanted_by])
        requests = (wanted, named_requests(tuple(self._confirmed)), self._session.epoch)
        if requests == self._requests:
            return None
        self._requests = requests
        return {"wanted": requests[0], "confirmed": requests[1], "epoch": str(requests[2])}

    # When there is no room

    def _fall_behind(self, wall_ns: int) -> None:
        if self._options.overflow is Overflow.BACKPRESSURE:
            if not self._is_full and self._nursery is not None:
                self._is_full = True
                self._nursery.start_soon(self._hold)  # not now: the actor is not done with what led here
        elif self._hole is None:
            size = self._pending_bytes
            self._hole = _Hole(wall_ns, self._failure or f"the disk did not keep up: {size:,} bytes were waiting")
            self._actor.report(RecordingFailed(detail=f"batches are left out: {self._hole.why}"))

    async def _hold(self) -> None:
        if self._is_full and not self._is_holding:
            self._is_holding = True
            self._actor.hold(self)

    def _release(self) -> None:
        self._is_full = False
        if self._is_holding:
            self._is_holding = False
            self._actor.release(self)
            self._cycle_wanted.set()  # none was begun meanwhile

    def _may_go_on(self, wall_ns: int, now: float) -> bool:
        """Whether there is room again. If so, the log goes on."""
        if self._failure is not None or self._pending_bytes > self._options.max_pending_bytes // 2:
            return False
        self._go_on(wall_ns, now)
        return True

    def _go_on(self, wall_ns: int, now: float) -> None:
        """Say in the log what is missing, and go on with key frames."""
        hole = self._hole
        assert hole is not None
        self._hole = None
        if self._is_gone:
            self._begin_segment(wall_ns)
        note = Hole(from_ns=hole.since_ns, until_ns=wall_ns, batches=hole.batches, frames=hole.frames, why=hole.why)
        self._packer.note(note, wall_ns, now)
        self._actor.report(RecordingResumed(batches=hole.batches))
        self._want_cycle()

    def _want_cycle(self) -> None:
        """Key frames, anew: one that is under way would be of no use."""
        self._cycle_number += 1
        self._cycles.clear()
        self._last_cycle = self._packer.sequence
        self._cycle_wanted.set()

    # Tasks

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Record until cancelled; :meth:`finish` it before."""
        now, wall_ns = trio.current_time(), self._actor.now_ns()
        self._last_ns = wall_ns
        self._begin_segment(wall_ns)
        self._packer.note(Started(), wall_ns, now)
        self._actor.tap(self)
        async with trio.open_nursery() as self._nursery:
            nursery = self._nursery
            nursery.start_soon(self._flush)
            nursery.start_soon(self._write)
            if self._on_segment is not None:
                nursery.start_soon(self._upload, self._on_segment)
            await nursery.start(self._key_frames)
            task_status.started()

    async def _flush(self) -> None:
        while True:
            await trio.sleep(self._options.flush_every)
            self._cut(self._actor.now_ns())

    async def _key_frames(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Key frames of everything, in slices, again and again. The first slice is part of the start."""
        is_started = False

        def tell_started() -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                task_status.started()

        while True:
            self._cycle_wanted = trio.Event()
            if self._hole is None and not self._is_full:
                await self._cycle(tell_started)
            tell_started()
            with trio.move_on_after(self._options.keyframe_every):
                await self._cycle_wanted.wait()

    async def _cycle(self, before_pause: Callable[[], None]) -> None:
        packer, session = self._packer, self._session
        self._cycle_number += 1
        number = self._cycle_number
        begin, begin_ns = trio.current_time(), self._actor.now_ns()
        packer.key(CycleBegun(number=number), begin_ns, begin)
        first = packer.sequence
        packer.key(client_frame(session), begin_ns, begin)
        until = begin + SLICE_SECONDS
        for key in keys_of(session):
            if trio.current_time() >= until:
                before_pause()
                await trio.sleep(SLICE_PAUSE)
                if number != self._cycle_number or self._hole is not None:
                    return
                until = trio.current_time() + SLICE_SECONDS
            frame = frame_of(session, key)
            if frame is not None:
                packer.key(frame, self._actor.now_ns(), trio.current_time())
                if packer.size >= BLOCK_BYTES:
                    self._cut(self._actor.now_ns())
                    if number != self._cycle_number or self._hole is not None:
                        return
        now_ns = self._actor.now_ns()
        packer.key(CycleEnded(number=number), now_ns, trio.current_time())
        self._cycles.append(Cycle(first, packer.sequence, begin_ns, now_ns))
        self._is_whole = True
        self._last_cycle = packer.sequence

    async def _write(self) -> None:
        """Write the blocks that wait, one after the other; one that fails, again and again.

        Not cancelled by what cancels the client: :meth:`finish` waits for it.
        """
        with self._writing:
            while True:
                while self._queue:
                    is_last_attempt = self._closing.is_set()
                    await self._write_first(*self._queue[0])
                    if is_last_attempt and self._failure is not None:
                        break
                if self._closing.is_set():
                    break
                self._filled = trio.Event()
                await self._filled.wait()
        self._drained.set()

    async def _write_first(self, job: Job, segment: int) -> None:
        try:
            written = await self._work(self._writer.write, job)
        except SegmentGone as error:
            self._fail(error)
            self._give_up_queue()
        except (OSError, RecordingError) as error:
            self._fail(error)
            await self._pause()
        except Exception as error:  # noqa: BLE001 (a fault of ours, or no memory: the client goes on)
            self._fail(error)
            self._give_up_queue()
            await self._pause()
        else:
            self._queue.popleft()
            self._pending_bytes -= job.block.size
            self._written += job.block.size
            if segment == self._segment:
                self._disk_bytes, self._is_last = written.size, written.is_full
            else:  # it grew after it was counted
                self._earlier_bytes += written.added
            if self._failure is not None:
                self._failure = None
                if self._hole is None:  # else it is told how much is missing, in a moment
                    self._actor.report(RecordingResumed(batches=0))
            if self._pending_bytes <= self._options.max_pending_bytes // 2:
                self._release()
            self._finished(written.finished)

    async def _pause(self) -> None:
        """Before the next attempt."""
        with trio.move_on_after(RETRY_SECONDS):
            await self._closing.wait()

    def _fail(self, error: Exception) -> None:
        text = printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        if self._failure is None:
            self._actor.report(RecordingFailed(detail=f"it cannot be written: {text}; it is tried again"))
        self._failure = text

    def _give_up_queue(self) -> None:
        """What waits was to follow what has been deleted: it is left out, and a new segment begins."""
        blocks = [job.block for job, _ in self._queue]
        if len(self._packer):
            blocks.append(self._packer.take())
        self._queue.clear()
        self._pending_bytes = 0
        self._is_gone = True
        why, self._failure = self._failure or "", None
        since_ns = min(block.start_ns for block in blocks)
        if self._hole is None:
            self._hole = _Hole(since_ns, why)
        self._hole.since_ns = min(self._hole.since_ns, since_ns)
        batches, frames = sum(block.batches for block in blocks), sum(block.frames for block in blocks)
        self._hole.batches += batches
        self._hole.frames += frames
        self._dropped_batches += batches
        self._dropped_frames += frames
        self._release()

    def _finished(self, paths: Iterable[Path]) -> None:
        if self._on_segment is not None:
            self._uploads += paths
            self._uploads_filled.set()

    async def _upload(self, on_segment: Callable[[Path], Awaitable[object]]) -> None:
        """Call it for each finished segment, until the last. As writing, it goes on until :meth:`finish` ends it."""
        with self._uploading:
            while True:
                while self._uploads:
                    await self._upload_one(on_segment, self._uploads[0])
                    self._uploads.popleft()
                if self._is_last_finished:
                    break
                self._uploads_filled = trio.Event()
                await self._uploads_filled.wait()
        self._uploaded.set()

    async def _upload_one(self, on_segment: Callable[[Path], Awaitable[object]], path: Path) -> None:
        try:
            await on_segment(path)
        except Exception as error:  # noqa: BLE001 (it is the program's; recording goes on, and it is told)
            self._actor.report(UploadFailed(path=str(path), detail=f"{type(error).__name__}: {error}"))

    # The end

    async def finish(self) -> None:
        """Write what waits, within the time limit, and end the last segment."""
        self._actor.untap(self)
        self._closing.set()
        self._cycle_number += 1  # no more key frames
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()  # all tasks but those that write, and call the program
        self._release()
        is_closed = False
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._options.close_timeout):
            is_said = self._say_stopped()
            self._filled.set()
            await self._drained.wait()
            if not is_said:  # there was no room for it, but now there may be
                self._say_stopped()
            while self._queue and self._failure is None:
                await self._write_first(*self._queue[0])
            try:
                self._finished(await self._work(self._writer.finish))
            except OSError as error:
                self._fail(error)
            await self._work(self._writer.close)
            is_closed = True
            if self._on_segment is not None:
                self._is_last_finished = True
                self._uploads_filled.set()
                await self._uploaded.wait()
        self._writing.cancel()
        self._uploading.cancel()
        if not is_closed:
            self._writer.abandon()
        if self._queue or self._hole is not None or not is_closed:
            lost = sum(job.block.batches for job, _ in self._queue) + (self._hole.batches if self._hole else 0)
            why = self._failure or "the disk did not answer in time"
            self._actor.report(RecordingFailed(detail=f"its end is missing, with {lost} batches of frames: {why}"))
        if self._on_segment is not None:
            for path in self._uploads:
                self._actor.report(UploadFailed(path=str(path), detail="there was no time for it"))

    def _say_stopped(self) -> bool:
        """Whether the log could be given its last note."""
        now, wall_ns = trio.current_time(), self._actor.now_ns()
        if self._hole is not None:
            if self._failure is not None:
                return False
            self._go_on(wall_ns, now)
        self._packer.note(Stopped(), wall_ns, now)
        self._cut(wall_ns)
        return True

    def statistics(self) -> RecordingStatistics:
        """All numbers, as of now."""
        oldest = self._queue[0][0].block.start_ns if self._queue else self._packer.start_ns
        return RecordingStatistics(
            batches=self._batches,
            frames=self._frames,
            written_bytes=self._written,
            disk_bytes=self._earlier_bytes + self._disk_bytes,
            pending_bytes=self._pending_bytes + self._packer.size,
            lag=0.0 if oldest is None else max(0.0, (self._actor.now_ns() - oldest) / 1e9),
            dropped_batches=self._dropped_batches,
            dropped_frames=self._dropped_frames,
            segments=self._segment,
            failure=self._failure,
        )
