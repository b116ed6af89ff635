"""Processes are kept running, stopped in time, and none outlives its supervisor: with real ones, as small as can be."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from kraken_trio import KrakenTrioError
from kraken_trio.relay.supervision import Restarts
from kraken_trio.relay.supervisor import Program, ProgramState, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no signals")

READY = """print('{"kraken_trio_relay":{"ready":true,"port":7}}', flush=True)"""
UNTIL_EOF = f"import sys; {READY}; sys.stdin.read()"
"""A well-behaved program: it ends with its lifeline."""
IN_TIME = 60.0
"""Seconds that nothing here takes, on any machine."""


def program(name: str, code: str) -> Program:
    return Program(name, (sys.executable, "-I", "-S", "-c", textwrap.dedent(code)))


class World:
    """Supervised programs, and what they have written."""

    def __init__(self, *programs: Program, **options: Any) -> None:
        self.lines: list[tuple[str, str, bytes]] = []
        self.more = trio.Event()
        options = {"restarts": lambda: Restarts(first=0.001, cap=0.002), **options}
        self.supervisor = Supervisor(programs, self.write, **options)

    def write(self, name: str, stream: str, line: bytes) -> None:
        self.lines.append((name, stream, line))
        self.more.set()
        self.more = trio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(IN_TIME):
            while not condition():
                with trio.move_on_after(0.01):
                    await self.more.wait()

    def now(self, name: str) -> Any:
        return self.supervisor.statistics()[name]


@asynccontextmanager
async def supervised(*programs: Program, **options: Any) -> AsyncIterator[World]:
    world = World(*programs, **options)
    with trio.fail_after(IN_TIME):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.supervisor.run)
            await world.supervisor.wait_ready()
            yield world
            nursery.cancel_scope.cancel()


def is_there(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(pid: int) -> None:
    with trio.fail_after(IN_TIME):
        while is_there(pid):  # noqa: ASYNC110 (it is not ours to wait for)
            await trio.sleep(0.01)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["event_name"] for record in caplog.records if record.name == "kraken_trio.relay"]


async def test_programs_run_until_they_are_stopped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with supervised(program("0/2", UNTIL_EOF), program("1/2", UNTIL_EOF)) as world:
        pids = [now.pid for now in world.supervisor.statistics().values()]
        assert {now.state for now in world.supervisor.statistics().values()} == {ProgramState.READY}
        assert world.now("0/2").told == {"ready": True, "port": 7}
        assert all(pid and os.getsid(pid) == pid for pid in pids), "sessions of their own"
    assert not any(map(is_there, pids))
    assert {now.state for now in world.supervisor.statistics().values()} == {ProgramState.STOPPED}
    assert sorted(events(caplog)) == sorted(2 * ["shard_started", "shard_ready", "shard_stopped"])


async def test_sigterm_lets_a_program_drain_and_its_last_words_are_heard() -> None:
    code = f"""
        import signal, sys, time
        def drain(*_):
            for number in range(3000):
                print(f"drained {{number:050}}", file=sys.stderr)
            sys.exit(0)
        signal.signal(signal.SIGTERM, drain)
        {READY}
        while True: time.sleep(60)
    """
    async with supervised(program("0/1", code)) as world:
        pass
    assert world.now("0/1").exit_status == 0
    assert [line for _, _, line in world.lines] == [b"drained %050d" % number for number in range(3000)]


async def test_who_does_not_end_is_killed_with_all_that_it_has_started(caplog: pytest.LogCaptureFixture) -> None:
    code = f"""
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
        print(child.pid, file=sys.stderr, flush=True)
        {READY}
        time.sleep(600)
    """
    async with supervised(program("0/1", code), stop_timeout=0.05) as world:
        await world.until(lambda: world.lines)
    assert world.now("0/1").exit_status == -signal.SIGKILL
    await until_gone(int(world.lines[0][2]))
    assert "shard_killed" in events(caplog)


async def test_a_program_that_ends_is_started_again_and_others_are_not_touched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with supervised(program("0/2", UNTIL_EOF), program("1/2", UNTIL_EOF)) as world:
        killed, other = world.now("0/2").pid, world.now("1/2").pid
        os.kill(killed, signal.SIGKILL)
        await world.until(lambda: world.now("0/2").restarts == 1 and world.now("0/2").state is ProgramState.READY)
        assert world.now("0/2").pid != killed
        assert (world.now("1/2").pid, world.now("1/2").restarts) == (other, 0)
    (ended,) = [record for record in caplog.records if "ended" in record.getMessage()]
    assert ended.getMessage() == "0/2: ended (SIGKILL); started again in 0.001 s"
    assert (ended.levelname, ended.__dict__["exit_status"]) == ("ERROR", -9)


async def test_what_is_started_again_may_be_called_in_another_way() -> None:
    code = f"import sys; print(sys.argv[1:], file=sys.stderr, flush=True); {READY}; sys.stdin.read()"
    one = program("0/1", code)
    async with supervised(Program(one.name, one.command, ("--again",))) as world:
        await world.until(lambda: world.lines)
        os.kill(world.now("0/1").pid, signal.SIGKILL)
        await world.until(lambda: len(world.lines) == 2)
    assert [line for _, _, line in world.lines] == [b"[]", b"['--again']"]


async def test_a_crash_loop_is_given_up_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    def few() -> Restarts:
        return Restarts(first=0.001, most=3)

    async with supervised(program("0/2", "raise ValueError(7)"), program("1/2", UNTIL_EOF), restarts=few) as world:
        assert world.supervisor.given_up == ["0/2"]
        assert world.now("0/2").restarts == 2
        assert world.now("1/2").state is ProgramState.READY
        (last,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
        assert last.getMessage() == (
            "0/2: given up: it ended 3 times in a row, each time within 60 s (the last time with exit status 1)"
        )
    assert ("0/2", "stderr", b"ValueError: 7") in world.lines


@pytest.mark.parametrize(
    ("one", "status"), [(program("0/1", "import sys; sys.exit(2)"), 2), (Program("0/1", ("/no/such/command",)), 127)]
)
async def test_when_the_last_one_is_given_up_it_is_an_error(one: Program, status: int) -> None:
    world = World(one, restarts=lambda: Restarts(first=0.001, most=2))
    with trio.fail_after(IN_TIME), pytest.raises(KrakenTrioError, match=rf"given up: 0/1 \(exit status {status}\)"):
        await world.supervisor.run()


async def test_who_never_gets_ready_is_killed_and_started_again() -> None:
    code = "import time; time.sleep(600)"
    world = World(program("0/1", code), ready_timeout=0.05, restarts=lambda: Restarts(first=0.001, most=2))
    with trio.fail_after(IN_TIME), pytest.raises(KrakenTrioError, match="exit status -9"):
        await world.supervisor.run()


async def test_who_hangs_is_told_of_and_killed(caplog: pytest.LogCaptureFixture) -> None:
    options = {"silent_after": 0.05, "hangs_after": 0.2}
    async with supervised(program("0/1", UNTIL_EOF), **options) as world:
        await world.until(lambda: world.now("0/1").restarts)
    told = events(caplog)
    assert told.index("shard_silent") < told.index("shard_killed") < told.index("shard_ended")


async def test_who_tells_that_it_is_alive_is_left_alone() -> None:
    code = f"""
        import threading, time
        {READY}
        def live():
            while True:
                print('{{"kraken_trio_relay":{{"alive":true}}}}', flush=True)
                time.sleep(0.05)
        threading.Thread(target=live, daemon=True).start()
        {UNTIL_EOF}
    """
    options = {"silent_after": 20.0, "hangs_after": 30.0}
    async with supervised(program("0/1", code), **options) as world:
        world.supervisor._kept["0/1"].alive_at -= 25.0  # as if nothing had been heard for a while
        await world.until(lambda: trio.current_time() - world.supervisor._kept["0/1"].alive_at < 20)
        assert world.now("0/1").restarts == 0
        assert not world.lines, "that is not for people"


async def test_what_has_begun_is_ready_later() -> None:
    code = """
        import sys
        print('{"kraken_trio_relay":{"begun":true,"port":7}}', flush=True)
        sys.stderr.write("waiting\\n"); sys.stderr.flush()
        sys.stdin.readline()
    """
    world = World(program("0/1", code))
    with trio.fail_after(IN_TIME):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.supervisor.run)
            await world.until(lambda: world.now("0/1").state is ProgramState.BEGUN)
            assert world.now("0/1").told["port"] == 7
            nursery.cancel_scope.cancel()


async def test_no_line_is_too_long() -> None:
    code = f"""
        import sys
        sys.stdout.write("x" * 10_000_000 + chr(10) + "next" + chr(10))
        {READY}
        sys.stdin.read()
    """
    async with supervised(program("0/1", code)) as world:
        assert [len(line) for _, _, line in world.lines] == [64 * 1024 + len(" ... (cut off)"), 4]


async def test_a_program_outlives_no_supervisor_that_is_killed() -> None:
    code = f"""
        import sys, trio
        from kraken_trio.relay.supervisor import Program, Supervisor
        async def main():
            supervisor = Supervisor([Program("0/1", (sys.executable, "-I", "-S", "-c", {UNTIL_EOF!r}))], print)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(supervisor.run)
                await supervisor.wait_ready()
                print(supervisor.statistics()["0/1"].pid, flush=True)
        trio.run(main)
    """
    with trio.fail_after(IN_TIME):
        async with trio.open_nursery() as nursery:
            command = [sys.executable, "-c", textwrap.dedent(code)]
            supervisor = await nursery.start(partial(trio.run_process, command, stdout=subprocess.PIPE, check=False))
            async with supervisor.stdout:
                pid = int(await supervisor.stdout.receive_some())
                assert is_there(pid)
                supervisor.kill()
    await until_gone(pid)
