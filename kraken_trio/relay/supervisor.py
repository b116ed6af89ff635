"""Processes that are kept running: one for each shard.

* A process has a pipe as its standard input, which nothing is written to: it is its lifeline. When the supervisor is
  gone, however, its end is closed, and the process ends. It is the leader of a session of its own, so that Ctrl-C comes
  to the supervisor only, and whatever it has started can be killed with it.
* It says in lines on its standard output that it has begun, that it is ready, and every few seconds that it is alive
  (:mod:`~kraken_trio.relay.lines`). All else that it writes is passed on, line by line, with its name. Of what says
  nothing a warning is logged; then it is killed.
* If it ends, it is started again, or given up (:mod:`~kraken_trio.relay.supervision`). One that was given up harms no
  other one.
* To stop it, its lifeline is closed and SIGTERM is sent; what has not ended after ``stop_timeout`` is killed.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.errors import KrakenTrioError
from kraken_trio.relay.lines import Lines, decode_control
from kraken_trio.relay.log import log
from kraken_trio.relay.supervision import Restart, Restarts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from trio.abc import ReceiveStream

__all__ = ["ALIVE_EVERY", "STOP_TIMEOUT", "Program", "ProgramState", "ProgramStatistics", "Supervisor"]

STOP_TIMEOUT: Final = 15.0
"""Seconds that a process has to end: more than a shard takes to drain its outbox (10 s), and to close."""
READY_TIMEOUT: Final = 60.0
"""Seconds until a process must have begun, which takes one on an idle machine. It does not wait for its peers."""
ALIVE_EVERY: Final = 2.0
"""Seconds between two signs of life."""
SILENT_AFTER: Final = 15.0
"""Seconds without one after which a process seems to hang."""
HANGS_AFTER: Final = 60.0
"""Seconds after which it is killed."""
TOLD_AGAIN: Final = 60.0
"""Seconds between two log lines about a program that was given up."""
_LAST_WORDS: Final = 1.0
"""Seconds for what a process has written before its end. A grandchild may hold the pipe open for longer."""
_READING: Final = 1.0
"""Seconds until what has been written is read, on any machine."""
_CANNOT_START: Final = 127
"""The exit status that stands for a command that cannot be started, as of a shell."""


@attrs.frozen
class Program:
    """What is kept running."""

    name: str
    command: tuple[str, ...]
    again: tuple[str, ...] = ()
    """What its command ends with, besides, when it is started again."""
    env: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    """Its environment; None for that of this process."""


class ProgramState(enum.Enum):
    """How a program is."""

    STARTING = "starting"
    """Its process runs, and has not begun to work."""
    BEGUN = "begun"
    """It works, and is not ready: it waits for its peers."""
    READY = "ready"
    """It does what it is for."""
    WAITING = "waiting"
    """It has ended, and will be started again."""
    GIVEN_UP = "given up"
    STOPPED = "stopped"


@attrs.define(kw_only=True)
class ProgramStatistics:
    """A program, as of now."""

    state: ProgramState = ProgramState.WAITING
    pid: int | None = None
    restarts: int = 0
    exit_status: int | None = None
    """Of its last end: negative for a signal."""
    told: Mapping[str, Any] = attrs.Factory(dict)
    """What it told when it became ready."""


class _Kept:
    def __init__(self, program: Program, restarts: Restarts) -> None:
        self.program = program
        self.restarts = restarts
        self.now = ProgramStatistics()
        self.is_ready = trio.Event()
        self.alive_at = 0.0
        self.has_begun = trio.Event()


class Supervisor:
    """Keeps programs running. ``write`` is given each line that they write, after the names of program and stream."""

    def __init__(
        self,
        programs: Iterable[Program],
        write: Callable[[str, str, bytes], object],
        *,
        restarts: Callable[[], Restarts] = Restarts,
        stop_timeout: float = STOP_TIMEOUT,
        ready_timeout: float = READY_TIMEOUT,
        silent_after: float = SILENT_AFTER,
        hangs_after: float = HANGS_AFTER,
    ) -> None:
        self._kept = {program.name: _Kept(program, restarts()) for program in programs}
        self._write = write
        self._stop_timeout = stop_timeout
        self._ready_timeout = ready_timeout
        self._silent_after = silent_after
        self._hangs_after = hangs_after
        self._is_stopping = False

    def statistics(self) -> Mapping[str, ProgramStatistics]:
        """Each program, by its name."""
        return {name: attrs.evolve(one.now, restarts=one.restarts.count) for name, one in self._kept.items()}

    @property
    def given_up(self) -> Sequence[str]:
        """The names of programs that are not started any more."""
        return [name for name, one in self._kept.items() if one.now.state is ProgramState.GIVEN_UP]

    async def wait_ready(self) -> None:
        """Wait until each program has been ready once, or was given up."""
        for one in self._kept.values():
            await one.is_ready.wait()

    async def run(self) -> None:
        """Keep them running until this is cancelled, and stop them then, within ``stop_timeout`` and about a second.

        Raises :class:`~kraken_trio.KrakenTrioError` when the last one was given up.
        """
        async with open_hidden_nursery() as nursery:
            for one in self._kept.values():
                nursery.start_soon(self._keep, one, nursery.cancel_scope)
        left = ", ".join(f"{name} (exit status {self._kept[name].now.exit_status})" for name in self.given_up)
        if len(self.given_up) == len(self._kept):
            msg = f"every shard was given up: {left}; their log lines say why"
            raise KrakenTrioError(msg)

    async def _keep(self, one: _Kept, all_of_them: trio.CancelScope) -> None:
        while True:
            await self._run(one)
            status = one.now.exit_status
            assert status is not None
            decision = one.restarts.ended(trio.current_time(), status)
            if not isinstance(decision, Restart):
                break
            one.now.state = ProgramState.WAITING
            log(
                "shard_ended",
                f"{one.program.name}: ended ({_words(status)}); started again in {decision.delay:g} s",
                shard=one.program.name,
                pid=one.now.pid,
                exit_status=status,
                retry_in=decision.delay,
            )
            await trio.sleep(decision.delay)
        one.now.state = ProgramState.GIVEN_UP
        one.is_ready.set()
        while True:
            log(
                "shard_given_up",
                f"{one.program.name}: given up: {decision.why} (the last time with {_words(status)})",
                shard=one.program.name,
                exit_status=status,
                detail=decision.why,
            )
            if len(self.given_up) == len(self._kept):
                all_of_them.cancel()
            await trio.sleep(TOLD_AGAIN)

    async def _run(self, one: _Kept) -> None:
        """Run it once, to its end."""
        name = one.program.name
        one.now.told, one.now.pid, one.now.state = {}, None, ProgramState.STARTING
        one.alive_at, one.has_begun = trio.current_time(), trio.Event()
        one.restarts.started(one.alive_at)
        try:
            process = await trio.lowlevel.open_process(
                (*one.program.command, *(one.program.again if one.restarts.count else ())),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=one.program.env,
            )
        except OSError as error:
            self._write(name, "stderr", f"it cannot be started: {error}".encode())
            one.now.exit_status = _CANNOT_START
            await trio.lowlevel.checkpoint()
            return
        # From here to the block is no checkpoint: the process is always waited for.
        one.now.pid = process.pid
        log("shard_started", f"{name}: started, process {process.pid}", shard=name, pid=process.pid)
        readers: list[trio.CancelScope] = []
        async with open_hidden_nursery() as nursery:
            try:
                for stream, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
                    assert pipe is not None
                    readers.append(trio.CancelScope(shield=True))  # they go on while it is being stopped
                    nursery.start_soon(self._read, one, stream, pipe, readers[-1])
                watching = trio.CancelScope()
                nursery.start_soon(self._watch, one, process, watching)
                await process.wait()
            finally:
                if process.returncode is None:
                    with trio.CancelScope(shield=True):
                        await self._stop(one, process)
                one.now.exit_status = process.returncode
                _kill_group(process)  # what it may have left behind
                watching.cancel()
                for reader in readers:
                    reader.deadline = trio.current_time() + _LAST_WORDS
                if process.stdin is not None:
                    with trio.CancelScope(shield=True):
                        await trio.aclose_forcefully(process.stdin)

    async def _read(self, one: _Kept, name: str, pipe: ReceiveStream, scope: trio.CancelScope) -> None:
        """Pass on what it writes."""
        lines, since = Lines(), trio.current_time()
        try:
            with scope:
                async for data in pipe:
                    for line in lines.take(bytes(data)):
                        self._take(one, name, line, since)
            for line in lines.end():
                self._take(one, name, line, since)
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(pipe)

    def _take(self, one: _Kept, stream: str, line: bytes, since: float) -> None:
        told = decode_control(line) if stream == "stdout" else None
        if told is None:
            self._write(one.program.name, stream, line)
            return
        one.alive_at = trio.current_time()
        one.has_begun.set()
        is_running = one.now.state in {ProgramState.STARTING, ProgramState.BEGUN}
        if told.get("begun") and is_running:
            one.now.told, one.now.state = told, ProgramState.BEGUN
        elif told.get("ready") and is_running:
            one.now.told, one.now.state = {**one.now.told, **told}, ProgramState.READY
            seconds = trio.current_time() - since
            one.is_ready.set()
            log(
                "shard_ready",
                f"{one.program.name}: ready after {seconds:.1f} s",
                shard=one.program.name,
                pid=one.now.pid,
                seconds=round(seconds, 3),
            )

    async def _watch(self, one: _Kept, process: trio.Process, scope: trio.CancelScope) -> None:
        """Kill it if it has not begun in time, or hangs."""
        with scope:
            with trio.move_on_after(self._ready_timeout):
                await one.has_begun.wait()
            if not one.has_begun.is_set():
                self._kill(one, process, f"it has not begun within {self._ready_timeout:g} s")
                return
            is_told = False
            while not await self._hangs(one):
                silent = trio.current_time() - one.alive_at
                if silent >= self._silent_after and not is_told:
                    text = f"{one.program.name}: no sign of life for {silent:.0f} s: it seems to hang"
                    log("shard_silent", text, shard=one.program.name, pid=process.pid)
                is_told = silent >= self._silent_after
                await trio.sleep(self._silent_after / 4)
            self._kill(one, process, f"it has hung for {self._hangs_after:g} s")

    async def _hangs(self, one: _Kept) -> bool:
        if trio.current_time() - one.alive_at < self._hangs_after:
            return False
        # If it was this process that was stopped, what the other has said meanwhile is still to be read.
        await trio.sleep(_READING)
        return trio.current_time() - one.alive_at >= self._hangs_after

    async def _stop(self, one: _Kept, process: trio.Process) -> None:
        """End it; called where nothing cancels."""
        began = trio.current_time()
        with trio.move_on_after(self._stop_timeout) as scope:
            if process.stdin is not None:
                await trio.aclose_forcefully(process.stdin)
            if hasattr(os, "killpg"):  # elsewhere this would be a kill
                process.terminate()
            await process.wait()
        if scope.cancelled_caught:
            self._kill(one, process, f"it has not ended within {self._stop_timeout:g} s")
            await process.wait()
        one.now.state = ProgramState.STOPPED
        seconds = trio.current_time() - began
        log(
            "shard_stopped",
            f"{one.program.name}: stopped after {seconds:.1f} s ({_words(process.returncode)})",
            shard=one.program.name,
            pid=process.pid,
            exit_status=process.returncode,
            seconds=round(seconds, 3),
        )

    def _kill(self, one: _Kept, process: trio.Process, why: str) -> None:
        log("shard_killed", f"{one.program.name}: killed: {why}", shard=one.program.name, pid=process.pid, detail=why)
        process.kill()
        _kill_group(process)


def _kill_group(process: trio.Process) -> None:
    """Kill what is left of the process's session."""
    if hasattr(os, "killpg"):
        # It is not there, or all that is in it are zombies (macOS).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _words(status: int | None) -> str:
    """``exit status 1``, ``SIGKILL``."""
    if status is None or status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
