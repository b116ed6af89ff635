"""A real Prometheus server scrapes a client in trouble: what we give to those who run it does what it says.

It is looked for in ``$KRAKEN_TRIO_PROMETHEUS`` (a folder with ``prometheus`` and ``promtool``), then on the path;
Debian's package is ``prometheus``. Without it these tests are skipped.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
import trio

import kraken_trio as kt
from kraken_trio.admission import ConnectBudget
from kraken_trio.client import open_with
from kraken_trio.metrics import serve
from kraken_trio.testing import CorruptChecksum, Drop, open_exchange
from kraken_trio.transport.choice import choose
from tests.metrics.scraping import fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")
DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
ALERTS = (DEPLOY / "alerts.yml").read_text("utf-8")
DASHBOARD = json.loads((DEPLOY / "dashboard.json").read_text("utf-8"))
RULES: dict[str, str] = dict(re.findall(r"- alert: (\w+)\n\s+expr: (.*)\n", ALERTS))
PANELS: list[str] = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
PATIENCE = 30.0
"""Seconds for Prometheus to see something: it needs less than one, on a machine that is not too busy."""


def found(program: str) -> str:
    path = shutil.which(program, path=os.environ.get("KRAKEN_TRIO_PROMETHEUS")) or shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not here: install Debian's package prometheus, or set KRAKEN_TRIO_PROMETHEUS")
    return path


class Prometheus:
    """Its HTTP API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, **parameters: str) -> Any:
        answer = await self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def query(self, expression: str) -> list[Any]:
        return list((await self.get("query", query=expression))["result"])

    async def wait_for_data(self, expression: str) -> None:
        """Until the query returns anything."""
        with trio.move_on_after(PATIENCE):
            while not await self.query(expression):  # noqa: ASYNC110 (a server is asked)
                await trio.sleep(0.1)
            return
        pytest.fail(f"no data within {PATIENCE:g} s: {expression}")

    async def wait_for_alerts(self, *names: str) -> None:
        """Until all of these fire."""
        firing: set[str] = set()
        with trio.move_on_after(PATIENCE):
            while not firing >= set(names):
                await trio.sleep(0.1)
                alerts = (await self.get("alerts"))["alerts"]
                firing = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
            return
        pytest.fail(f"within {PATIENCE:g} s these have not fired: {set(names) - firing}")

    async def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in (await self.get("alerts"))["alerts"]}


@asynccontextmanager
async def prometheus(folder: Path, target: int) -> AsyncIterator[Prometheus]:
    """A server that scrapes this port five times a second, and whose alerts fire without delay: minutes are seconds."""
    program = found("prometheus")
    (folder / "alerts.yml").write_text(re.sub(r"\n +for: \w+", "", ALERTS).replace("[5m]", "[5s]"), "utf-8")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}\n"
        "rule_files: [alerts.yml]\n"
        "scrape_configs:\n"
        "  - job_name: kraken_trio\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n",
        "utf-8",
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
            trio.open_nursery() as nursery,
        ):
            process = await nursery.start(partial(trio.run_process, command, stdout=log, stderr=log, check=False))
            with trio.fail_after(PATIENCE):
                while not await _is_ready(client):
                    assert process.poll() is None, (folder / "log").read_text("utf-8")
                    await trio.sleep(0.1)
            yield Prometheus(client)
            nursery.cancel_scope.cancel()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/-/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def on_full_disk(do: Callable[..., T], /, *args: Any) -> T:
    """Work of a recorder: no block can be written."""
    await trio.lowlevel.checkpoint()
    if do.__name__ == "write":
        raise OSError(errno.ENOSPC, "No space left on device")
    return do(*args)


def filled(expression: str) -> str:
    """A panel's, with what Grafana puts in; and without what is to be seen in trouble only."""
    for name, text in (("$instance", ".*"), ("$client", ".*"), ("$__rate_interval", "5m")):
        expression = expression.replace(name, text)
    return expression


def without_threshold(expression: str) -> str:
    """What an alert compares."""
    compared, _, threshold = expression.rpartition(" > " if " > " in expression else " < ")
    assert re.fullmatch(r"[0-9.]+", threshold)
    return compared


def test_rules_and_configuration_are_accepted(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    done = subprocess.run(
        [found("promtool"), "check", "config", tmp_path / "deploy" / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_every_alert_and_panel_says_what_it_is_for() -> None:
    assert ALERTS.count("summary:") == ALERTS.count("action:") == ALERTS.count("severity:") == len(RULES)
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert all(panel["title"] and panel["targets"] for panel in panels)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


async def test_a_client_in_trouble_is_seen_by_prometheus(tmp_path: Path) -> None:
    found("prometheus")
    ahead_ns = 0
    settings = kt.Settings(connect_budget=2, ping_after=0.02, stall_limit=600.0)
    async with (
        open_exchange(rate=20) as exchange,
        open_with(
            exchange.url,
            settings=settings,
            ssl_context=None,
            connect=choose("auto"),
            wall_ns=lambda: time.time_ns() + ahead_ns,
            jitter=lambda: 0.0,
            admission=ConnectBudget(time.monotonic),
        ) as client,
        trio.open_nursery() as nursery,
    ):
        serving = trio.CancelScope()

        async def serve_for_a_while(*, task_status: trio.TaskStatus[int]) -> None:  # noqa: ASYNC128 (serve calls it)
            with serving:
                await serve(client, 0, task_status=task_status)

        port = await nursery.start(serve_for_a_while)

        async def follow(*requests: kt.Request, task_status: trio.TaskStatus[None]) -> None:
            async with client.subscribe(*requests) as feed:
                task_status.started()
                async for _ in feed:
                    pass

        await nursery.start(follow, kt.Book("BTC/USD"), kt.Trades("ETH/USD"), kt.Book("ETH/USD"))
        async with prometheus(tmp_path, port) as server:
            # All is well.
            await server.wait_for_data('kraken_trio_books{verified="true"} == 2')
            await server.wait_for_data("kraken_trio_ping_round_trip_seconds > 0")
            assert await server.firing() <= {"KrakenTrioConnectBudgetLow"}
            done = await trio.run_process(
                [found("promtool"), "check", "metrics"],
                stdin=(await fetch(port))[1].encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

            # A drop, after which the budget is spent.
            exchange.inject(Drop())
            await server.wait_for_alerts("KrakenTrioConnectionLost", "KrakenTrioConnectBudgetSpent")
            await server.wait_for_data('kraken_trio_reconnects_total{cause="disconnected"} == 1')

            # A book that fails its checksum.
            exchange.inject(CorruptChecksum(symbol="BTC/USD"))
            await server.wait_for_alerts("KrakenTrioChecksumFailures")

            # A recording whose disk is full, until it has to leave out frames.
            async with kt.record(client, tmp_path / "data", work=on_full_disk, flush_every=0.05, max_pending_bytes=1):
                await server.wait_for_alerts("KrakenTrioRecordingFailing", "KrakenTrioRecordingIncomplete")
                assert "cannot be written: No space left on device" in (await fetch(port, "/healthz"))[1]

                # A slow consumer: one that drops, then one that holds up reading, so that books are stale.
                async with client.subscribe(kt.Book("BTC/USD"), capacity=5, overflow=kt.Overflow.DROP_OLDEST):
                    await server.wait_for_alerts("KrakenTrioEventsLost")
                async with client.subscribe(kt.Book("BTC/USD"), capacity=5):
                    await server.wait_for_alerts("KrakenTrioConsumerSlow", "KrakenTrioReadingHeldUp")
                    ahead_ns = 10 * 60 * 10**9
                    await server.wait_for_alerts("KrakenTrioBookStale", "KrakenTrioRecordingLate")

            for expression in RULES.values():
                assert await server.query(without_threshold(expression)), f"no data: {expression}"
            for panel in PANELS:
                # What is shown in trouble only has data without its condition.
                expression = re.sub(r" (==|<) 1$", "", filled(panel))
                assert await server.query(expression), f"no data: {panel}"

            # A program that has ended.
            serving.cancel()
            await server.wait_for_alerts("KrakenTrioDown")
        nursery.cancel_scope.cancel()
