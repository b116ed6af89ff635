"""One writer per folder: between real processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from kraken_trio.errors import RecordingError
from kraken_trio.storage import lock
from kraken_trio.storage.segments import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLDER = textwrap.dedent("""
    import sys
    from kraken_trio.storage.segments import Folder
    with Folder(sys.argv[1]) as folder:
        print("held", flush=True)
        sys.stdin.read()
""")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which writes the folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_refused(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    for _ in range(2):
        with pytest.raises(RecordingError, match=f"is being recorded by process {holder.pid}"):
            Folder(tmp_path)
    holder.communicate("")
    with Folder(tmp_path):
        pass


def test_the_lock_is_free_when_its_holder_is_killed(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    with Folder(tmp_path):
        pass


def test_a_second_writer_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with Folder(tmp_path), pytest.raises(RecordingError, match="is being recorded"):
        Folder(tmp_path)
    with Folder(tmp_path):
        pass


def test_any_thread_may_release_it(tmp_path: Path) -> None:
    folders: list[Folder] = []
    thread = threading.Thread(target=lambda: folders.append(Folder(tmp_path)))
    thread.start()
    thread.join()
    folders[0].close()
    with Folder(tmp_path):
        pass


@pytest.mark.parametrize("text", [None, "", "nonsense", "9" * 5000])
def test_the_process_is_named_if_it_is_known(tmp_path: Path, text: str | None) -> None:
    with Folder(tmp_path):
        pid = tmp_path / lock.PID_NAME
        pid.unlink() if text is None else pid.write_text(text)
        with pytest.raises(
            RecordingError, match=r"is being recorded by (another process|process 99999999999999999999):"
        ):
            Folder(tmp_path)


def test_a_disk_without_room_for_the_pid_can_be_locked(tmp_path: Path) -> None:
    (tmp_path / lock.PID_NAME).mkdir()
    with Folder(tmp_path), pytest.raises(RecordingError, match="another process"):
        Folder(tmp_path)
