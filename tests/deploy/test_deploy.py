"""What docs/deploy/ has for relays is accepted by those for whom it is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import trio
import yaml

import kraken_trio as kt
from kraken_trio import relay
from kraken_trio.broker.choice import engine_for
from kraken_trio.broker.seam import BrokerLost
from kraken_trio.relay.supervisor import STOP_TIMEOUT
from kraken_trio.testing import open_exchange
from tests.broker.nats_server import find_server
from tests.deploy.containerfile import build
from tests.ports import free_ports

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
DRAIN_SECONDS = signature(relay.publish).parameters["drain_timeout"].default
"""The longest that a shard publishes on after SIGTERM."""
MAX_EXPOSURE = 20
"""Tenths. What systemd calls OK; a unit without any protection has 96."""

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORDS = {"RELAY_PASSWORD": "first", "READER_PASSWORD": "second"}
SECONDS = 60
"""For a server and a relay to begin, which takes a second on a machine with nothing else to do."""


def found(name: str) -> str:
    """An executable; without it, the test is skipped, and says so."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def nats_server() -> str:
    return find_server() or found("nats-server")


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def seconds(unit: Path, name: str) -> float:
    match = re.search(rf"^{name}=(\d+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    return float(match[1])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    # The program is looked for, and not installed there.
    text = unit.read_text(encoding="utf-8").replace("/opt/kraken-trio/bin/kraken-trio", sys.executable)
    copy = tmp_path / unit.name
    copy.write_text(text, encoding="utf-8")
    assert run(found("systemd-analyze"), "verify", copy) == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_the_units_need_few_rights(unit: Path) -> None:
    run(found("systemd-analyze"), "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", unit)


def test_who_stops_a_relay_waits_until_it_has_drained() -> None:
    supervisor, shard = UNITS
    assert seconds(supervisor, "TimeoutStopSec") > DRAIN_SECONDS + STOP_TIMEOUT
    assert seconds(shard, "TimeoutStopSec") > DRAIN_SECONDS
    for pod in pods():
        assert pod["terminationGracePeriodSeconds"] > DRAIN_SECONDS
    relays = [service for service in compose()["services"].values() if "stop_grace_period" in service]
    assert len(relays) == 2
    for service in relays:
        assert float(service["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS + STOP_TIMEOUT


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def pods() -> list[dict[str, Any]]:
    return [document["spec"]["template"]["spec"] for document in documents() if document["kind"] == "StatefulSet"]


def test_kubernetes_takes_the_manifest() -> None:
    kinds = []
    for document in documents():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        kinds.append(document["kind"])
    assert kinds == ["Service", "PodDisruptionBudget", "StatefulSet", "StatefulSet"]


def test_the_numbers_of_shards_are_one_number() -> None:
    sets = [document["spec"] for document in documents() if document["kind"] == "StatefulSet"]
    shards = {
        argument.rpartition("/")[2]
        for pod in pods()
        for argument in pod["containers"][0]["args"]
        if argument.startswith("--shard=")
    }
    assert shards == {str(one["replicas"]) for one in sets}
    assert len(shards) == 1


def test_what_belongs_together_has_the_same_labels() -> None:
    service, budget, *sets = documents()
    for one in sets:
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert service["spec"]["selector"].items() <= labels.items()
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert one["spec"]["serviceName"] == service["metadata"]["name"]
    first, second = (one["spec"]["selector"]["matchLabels"] for one in sets)
    assert first != second, "each set has its own pods"


def test_compose_takes_its_file() -> None:
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


def test_the_nats_server_takes_its_configuration() -> None:
    said = run(nats_server(), "-t", "-c", DEPLOY / "nats-server.conf", env=PASSWORDS)
    assert "is valid" in said


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[str]:
    """A server with that configuration: its URL."""
    monitor, port = free_ports(2)
    text = (DEPLOY / "nats-server.conf").read_text(encoding="utf-8").replace("/var/lib/nats", str(tmp_path / "store"))
    (tmp_path / "nats-server.conf").write_text(text, encoding="utf-8")
    server = subprocess.Popen(
        [nats_server(), "-c", tmp_path / "nats-server.conf", "-p", str(port), "-m", str(monitor)],
        env={**os.environ, **PASSWORDS},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"nats://127.0.0.1:{port}/kraken?max_bytes=64MiB"
    finally:
        server.kill()
        server.wait()


async def test_its_reader_reads_and_does_not_write(configured: str) -> None:
    login, reader = (kt.BrokerLogin(user, PASSWORDS[f"{user.upper()}_PASSWORD"]) for user in ("relay", "reader"))
    book = kt.Book("BTC/USD")
    async with (
        open_exchange() as exchange,
        kt.open_client(exchange.url) as client,
        relay.publish(client, configured, book, login=login, require_broker=False) as publishing,
    ):
        with trio.fail_after(SECONDS):
            while not publishing.statistics().key_frames:  # noqa: ASYNC110 (nothing tells it)
                await trio.sleep(0.05)
            async with kt.open_stream(configured, login=reader) as there, there.subscribe(book) as feed:
                assert isinstance(await feed.receive(), kt.BookSnapshot)
                assert feed.book("BTC/USD").verified
    async with engine_for(configured, reader).connect() as link:
        with pytest.raises((BrokerLost, kt.ConnectError), match="does not allow"):
            await link.acquire(1, "reader")


@pytest.mark.brokers
def test_the_container_is_built_and_runs(tmp_path: Path) -> None:
    found("debootstrap")
    if os.geteuid() != 0:
        pytest.skip("only root can use another root")
    image = build(DEPLOY / "Containerfile", DEPLOY.parents[1], tmp_path)
    assert image.user == "10001"
    assert "compiled core" in image.start("--version")
    assert "Usage: kraken-trio relay" in image.start()
    image.run("python3", "-c", "import confluent_kafka, nats, prometheus_client")
    shutil.rmtree(tmp_path)
