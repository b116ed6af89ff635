"""Starting the exchange and a side, and taking the time between what the two of them say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from benchmarks.environments import ROOT

if TYPE_CHECKING:
    from benchmarks.inputs import Frames

__all__ = ["Failed", "Latencies", "Side", "Socket", "latency", "memory", "resync", "run_side", "stream"]

_ERROR: Final = re.compile(r"[\w.]*(Error|Exception|Failed)\b")
_SECONDS: Final = 120
"""The longest that one sample may take."""
_MEMORY_SECONDS: Final = 1800
"""The same for millions of messages."""


class Failed(Exception):  # noqa: N818 (named by what happened)
    """A side did not finish."""


@attrs.frozen(kw_only=True)
class Side:
    """A module of ``sides``, run by a Python."""

    python: str
    module: str
    task: dict[str, Any] = attrs.Factory(dict)
    environment: dict[str, str] = attrs.Factory(dict)
    """Variables that it has besides ours."""
    folder: Path = ROOT
    """Where ``kraken_trio`` and ``benchmarks`` are imported from."""


@attrs.frozen(kw_only=True)
class Socket:
    """How the exchange is to be reached."""

    certificate: str | None = None
    """The server's, if TLS is wanted."""
    authority: str | None = None
    piece: int | None = None
    """The most bytes that the exchange writes at once, if it is to write little."""


def run_side(side: Side, *, seconds: float = _SECONDS, **more: Any) -> dict[str, Any]:
    """Run it, and return what it found. Raises :class:`Failed`."""
    task = {**side.task, **more}
    environment = {**os.environ, "PYTHONPATH": str(side.folder), **side.environment}
    if task.get("authority"):
        environment["SSL_CERT_FILE"] = task["authority"]
    command = [side.python, "-m", f"benchmarks.sides.{side.module}", json.dumps(task)]
    try:
        ran = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=seconds, cwd=side.folder, env=environment
        )
    except subprocess.TimeoutExpired:
        msg = f"{side.module} did not finish within {seconds} s"
        raise Failed(msg) from None
    lines = ran.stdout.strip().splitlines()
    if ran.returncode != 0 or not lines or not lines[-1].startswith("{"):
        said = ran.stderr.strip().splitlines() or lines or ["nothing was said"]
        errors = [line for line in said if _ERROR.match(line)]
        msg = f"{side.module} failed: {(errors or said)[-1][:200]}"
        raise Failed(msg)
    found: dict[str, Any] = json.loads(lines[-1])
    return found


class _Exchange:
    """The other process."""

    def __init__(self, socket: Socket, frames: Frames, **job: Any) -> None:
        cores = sorted(os.sched_getaffinity(0))
        work = {
            "frames": frames.path,
            "certificate": socket.certificate,
            "cpu": cores[-1] if len(cores) > 1 else None,
            **job,
        }
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "exchange.py"), json.dumps(work)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._told: list[dict[str, Any]] = []
        assert self._process.stdout is not None
        port = json.loads(self._process.stdout.readline())["port"]
        self.url = f"{'wss' if socket.certificate else 'ws'}://127.0.0.1:{port}/v2"

    def wait_for(self, what: str) -> None:
        """Read what it tells until it has told that."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told.append(json.loads(line))
            if what in self._told[-1]:
                return

    def said(self) -> list[dict[str, Any]]:
        """End it, and return all that it has told."""
        self._process.terminate()
        out, _ = self._process.communicate()
        return [*self._told, *(json.loads(line) for line in out.splitlines())]


def _task(frames: Frames, socket: Socket, url: str, **more: Any) -> dict[str, Any]:
    return {
        "url": url,
        "authority": socket.authority,
        "depth": frames.depth,
        "symbols": _symbols(frames),
        "symbol": frames.symbol,
        "price_decimals": frames.price_decimals,
        **more,
    }


def _symbols(frames: Frames) -> list[str]:
    with Path(frames.path).open(encoding="utf-8") as file:
        return [next(file).split('"symbol":"', 1)[1].split('"', 1)[0] for _ in range(frames.symbols)]


def _update(frames: Frames, number: int) -> str:
    with Path(frames.path).open(encoding="utf-8") as file:
        for _ in range(frames.symbols + number - 1):
            next(file)
        return next(file).strip()


def stream(
    side: Side, frames: Frames, socket: Socket, *, total: int, warmup: int
) -> tuple[float, float, dict[str, Any]]:
    """Microseconds per message from the first byte to the last message in the user's code: by the clock, and of CPU."""
    exchange = _Exchange(socket, frames, mode="stream", total=total, warmup=warmup, piece=socket.piece)
    try:
        found = run_side(
            side,
            **_task(
                frames, socket, exchange.url, total=total, warmup=warmup, work="stream",
                last_update=_update(frames, total), warm_update=_update(frames, warmup),
            ),
        )  # fmt: skip
    finally:
        said = exchange.said()
    started = next(line["start_ns"] for line in said if "start_ns" in line)
    count = total - warmup
    return (found.pop("end_ns") - started) / count / 1000, found.pop("cpu_ns") / count / 1000, found


@attrs.frozen(kw_only=True)
class Latencies:
    """Nanoseconds, one for each message."""

    send: list[int]
    """From when it was sent to when the user's code had it."""
    read: list[int]
    """From when its bytes were read by the client, as far as that tells."""
    late: list[int]
    """From when it was due to when it was sent: what the sender itself was late."""


def latency(side: Side, frames: Frames, socket: Socket, due: list[int]) -> Latencies:
    """Send the first updates, each at its time in ``due``, which are nanoseconds."""
    total = len(due)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "due").write_bytes(array("q", due).tobytes())
        each = str(folder / "arrived")
        exchange = _Exchange(socket, frames, mode="paced", due=str(folder / "due"), sent=str(folder / "sent"))
        try:
            run_side(
                side,
                **_task(
                    frames, socket, exchange.url, total=total, warmup=0, work="stream", each=each,
                    last_update=_update(frames, total), warm_update=_update(frames, 1),
                ),
            )  # fmt: skip
            exchange.wait_for("is_sent")
        finally:
            said = exchange.said()
        sent, arrived, read = (_numbers(folder / file) for file in ("sent", "arrived", "arrived.read"))
    started = next(line["start_ns"] for line in said if "start_ns" in line)
    return Latencies(
        send=[when - started - at for when, at in zip(arrived, sent, strict=True)],
        read=list(read),
        late=[at - wanted for at, wanted in zip(sent, due, strict=True)],
    )


def _numbers(path: Path) -> array[int]:
    return array("q", path.read_bytes())


def memory(side: Side, frames: Frames, socket: Socket, *, at: list[int], traced: bool) -> list[dict[str, int]]:
    """What the process holds after so many messages."""
    exchange = _Exchange(socket, frames, mode="stream", total=at[-1] + 100_000, warmup=1000)
    try:
        found = run_side(
            side, seconds=_MEMORY_SECONDS, **_task(frames, socket, exchange.url, work="memory", at=at, traced=traced)
        )
    finally:
        exchange.said()
    points: list[dict[str, int]] = found["points"]
    return points


def resync(side: Side, frames: Frames, socket: Socket, *, total: int) -> dict[str, Any]:
    """Nanoseconds from the gap to the fresh verified book, with the exchange answering at once."""
    exchange = _Exchange(socket, frames, mode="resync", total=total + 5, before=20)
    try:
        return run_side(side, **_task(frames, socket, exchange.url, work="resync", total=total))
    finally:
        exchange.said()
