"""A real Apache Kafka for tests: one node, or a cluster, in a temporary folder, on free ports of this machine.

Java 17 or later runs it. Its files are fetched once, by Maven (``mvn``, set up as this machine has it), into
``$KRAKEN_TRIO_KAFKA``, or else ``$XDG_CACHE_HOME/kraken_trio/kafka`` (``~/.cache``); each is compared with its digest
in ``kafka_server.sha256``. Where there is no Java, or nothing can be fetched, the tests are skipped, and say so.

``python -m tests.broker.kafka_server`` runs one until Ctrl-C; ``--pin`` writes the digests anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock

from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE: Final = Path(__file__).parent
POM: Final = HERE / "kafka_server.pom.xml"
DIGESTS: Final = HERE / "kafka_server.sha256"
OLDEST_JAVA: Final = 17
CLUSTER: Final = "kraken-trio-testsAAAAA"
"""Any: 16 bytes in base64."""
FETCHING: Final = 600.0
"""Seconds for some fifty files of 44 MB in all, through a slow proxy."""
STARTING: Final = 120.0
"""Seconds: it takes three on a machine with nothing else to do."""
STOPPING: Final = 30.0

SMALL: Final = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Java's options: little memory, and a quick start."""
PROPERTIES: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    # One node has one replica.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Less of everything: its defaults are for many disks and gigabytes.
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    # A broker that was killed may register again as soon as it is back.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "2000",
    "group.initial.rebalance.delay.ms": "0",
}
LOGGING: Final = """
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class KafkaMissing(Exception):  # noqa: N818 (it says what is missing)
    """There can be no Kafka here; the text says why."""


def cache() -> Path:
    """The folder of the files that are fetched."""
    own = os.environ.get("KRAKEN_TRIO_KAFKA")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kraken_trio/kafka"


def java() -> str:
    """The program, if it is there and not too old."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin" if home else None)
    if path is None:
        msg = f"there is no java here: install a JRE (Debian: openjdk-17-jre-headless), {OLDEST_JAVA} or later"
        raise KafkaMissing(msg)
    told = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < OLDEST_JAVA:
        msg = f"this Kafka needs Java {OLDEST_JAVA} or later, and {path} says: {told.strip()}"
        raise KafkaMissing(msg)
    return path


def files() -> Path:
    """The folder with Kafka's files and an empty log, which are fetched if they are not there."""
    program, folder = java(), cache()
    # Another version, or other settings: another folder.
    made_of = hashlib.sha256(DIGESTS.read_bytes() + POM.read_bytes() + repr((PROPERTIES, CLUSTER)).encode())
    done = folder / made_of.hexdigest()[:16]
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not done.exists():
                new = Path(tempfile.mkdtemp(dir=folder))
                try:
                    fetch(new / "jars")
                    check(new / "jars")
                    format_empty(program, new)
                    new.rename(done)
                finally:
                    shutil.rmtree(new, ignore_errors=True)
    return done


def fetch(into: Path) -> None:
    """Have Maven copy all that the POM names, and what that needs."""
    maven = shutil.which("mvn")
    if maven is None:
        msg = f"Kafka's files are not in {cache()}, and there is no mvn to fetch them (Debian: maven)"
        raise KafkaMissing(msg)
    copy = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
    with tempfile.TemporaryDirectory() as scratch:  # it leaves files beside its POM
        pom = shutil.copy(POM, Path(scratch, "pom.xml"))
        command = [maven, "-B", "-q", "-f", pom, copy, "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCHING)
        except subprocess.TimeoutExpired:
            msg = f"Kafka's files could not be fetched: Maven took more than {FETCHING:g} s"
            raise KafkaMissing(msg) from None
    if ran.returncode:
        msg = f"Kafka's files could not be fetched by Maven: {(ran.stdout + ran.stderr).strip()[-1000:]}"
        raise KafkaMissing(msg)


def digests(folder: Path) -> str:
    """A line for each file, as of ``sha256sum``."""
    return "".join(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(folder.iterdir()))


def check(folder: Path) -> None:
    """Refuse files that are not those which were pinned."""
    wrong = set(digests(folder).splitlines()) ^ set(DIGESTS.read_text("ascii").splitlines())
    if wrong:
        msg = f"what was fetched is not what {DIGESTS.name} has; lines of one only: {sorted(wrong)}"
        raise RuntimeError(msg)


def run_java(program: str, folder: Path, main: str, *arguments: str) -> list[str]:
    """The command of one of Kafka's programs."""
    logging = folder / "log4j2.properties"
    return [program, *SMALL, f"-Dlog4j2.configurationFile={logging}", "-cp", f"{folder}/jars/*", main, *arguments]


def listening(broker: int, controllers: Sequence[int], number: int = 1, secure: int | None = None) -> dict[str, str]:
    """The settings of a node of this number, which listens on these ports; each node is a controller, too."""
    ours = f"PLAINTEXT://127.0.0.1:{broker}" + (f",CLIENT://127.0.0.1:{secure}" if secure else "")
    return {
        "node.id": str(number),
        "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, 1)),
        "listeners": f"{ours},CONTROLLER://127.0.0.1:{controllers[number - 1]}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL",
    }


def write_properties(path: Path, log: Path, more: Mapping[str, str]) -> None:
    """The settings of a node."""
    properties = {**PROPERTIES, "log.dirs": str(log), **more}
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), "utf-8")


def format_empty(program: str, folder: Path) -> None:
    """Make the log of a new cluster. It is copied for each server: making it takes two seconds."""
    (folder / "log4j2.properties").write_text(LOGGING, "ascii")
    settings = folder / "format.properties"
    write_properties(settings, folder / "empty", listening(9092, [9093]))
    command = run_java(program, folder, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(settings))
    subprocess.run(command, check=True, capture_output=True)


class KafkaServer:
    """One node. Killed and started again, it has the same ports and what was stored."""

    def __init__(self, folder: Path, port: int, settings: Mapping[str, str]) -> None:
        self._java, self._files, self._folder = java(), files(), folder
        self.port = port
        self._settings = folder / "server.properties"
        write_properties(self._settings, folder / "log", settings)
        shutil.copytree(self._files / "empty", folder / "log")
        about = folder / "log" / "meta.properties"
        lines = [
            line for line in about.read_text("ascii").splitlines() if not line.startswith(("node.id", "directory."))
        ]
        about.write_text("\n".join([*lines, f"node.id={settings['node.id']}", ""]), "ascii")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """To be stopped and continued, or killed."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return when it answers. Blocks for some seconds."""
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        """Start it."""
        with (self._folder / "out.txt").open("ab") as out:
            command = run_java(self._java, self._files, "kafka.Kafka", str(self._settings))
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self._folder
            )

    def wait_until_it_answers(self) -> None:
        """Blocks until it takes connections."""
        assert self._process is not None
        deadline = time.monotonic() + STARTING
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                told = (self._folder / "out.txt").read_text("utf-8", "replace")
                msg = f"Kafka does not start: {told[-3000:]}"
                raise RuntimeError(msg)
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether it takes connections: it does not before it is ready, after a kill, too."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """As by ``kill -9``."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As its administrator does it."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


@contextmanager
def kafka_server(*, secure_port: int | None = None, **more: str) -> Iterator[KafkaServer]:
    """Start one; it is killed at the end. Raises :class:`KafkaMissing`.

    ``secure_port``: there it listens, too, with TLS and logins; the listener's name is CLIENT. ``more``: settings, with
    ``_`` for each dot.
    """
    port, controller = free_ports(2)
    settings = {**listening(port, [controller], secure=secure_port), **dotted(more)}
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        server = KafkaServer(Path(folder), port, settings)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def kafka_cluster(size: int = 3, **more: str) -> Iterator[Sequence[KafkaServer]]:
    """Start several nodes of one cluster, with as many replicas of everything: one less must have what was stored."""
    ports = free_ports(2 * size)
    replicas, in_sync = str(size), str(size - 1)
    common = {
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "replica.lag.time.max.ms": "2000",
        **dotted(more),
    }
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        servers = []
        for number, port in enumerate(ports[:size], 1):
            own = Path(folder) / str(number)
            own.mkdir()
            servers.append(KafkaServer(own, port, {**listening(port, ports[size:], number), **common}))
        try:
            for server in servers:
                server.launch()
            for server in servers:
                server.wait_until_it_answers()
            yield servers
        finally:
            for server in servers:
                server.kill()


def dotted(settings: Mapping[str, str]) -> dict[str, str]:
    """Names of settings, in which ``_`` stands for a dot."""
    return {name.replace("_", "."): value for name, value in settings.items()}


def main(*arguments: str) -> None:
    if arguments == ("--pin",):
        with tempfile.TemporaryDirectory() as folder:
            fetch(Path(folder))
            DIGESTS.write_text(digests(Path(folder)), "ascii")
        return
    # SIGTERM, too, is to end the server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with kafka_server() as server:
        print(f"kafka://{server.address} (process {server.pid}; Ctrl-C ends it)", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main(*sys.argv[1:])
