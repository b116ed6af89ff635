"""A real collector of OpenTelemetry gets a client's spans over OTLP.

It is looked for in ``$KRAKEN_TRIO_OTELCOL`` (a folder with ``otelcol`` or ``otelcol-contrib``), then on the path;
``otelcol.yaml`` beside this file says how to build one. Without it this test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import kraken_trio as kt
from kraken_trio.testing import CorruptChecksum, Drop, RefuseConnect, open_exchange
from kraken_trio.tracing import OpenTelemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE = 30.0
"""Seconds for the collector to start, and to write: it needs less than one, on a machine that is not too busy."""
QUICK = kt.Settings(quick_delay=0.01, unavailable_delay=0.2, retry_delay=0.2)

CONFIGURATION = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{file: {{path: "{path}", flush_interval: 100ms}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}
"""


def found() -> str:
    for name in ("otelcol", "otelcol-contrib"):
        path = shutil.which(name, path=os.environ.get("KRAKEN_TRIO_OTELCOL")) or shutil.which(name)
        if path is not None:
            return path
    pytest.skip("there is no otelcol: tests/tracing/otelcol.yaml says how to build it; then set KRAKEN_TRIO_OTELCOL")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def collecting(program: str, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """A collector: where it takes traces, and the file that it writes them to."""
    port, path, log = free_port(), folder / "traces.json", folder / "log"
    (folder / "config.yaml").write_text(CONFIGURATION.format(port=port, path=path), "utf-8")
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            [program, f"--config=file:{folder / 'config.yaml'}"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        with trio.move_on_after(PATIENCE) as scope:
            while process.returncode is None:
                try:
                    async with await trio.open_tcp_stream("127.0.0.1", port):
                        break
                except OSError:
                    await trio.sleep(0.05)
        if scope.cancelled_caught or process.returncode is not None:
            pytest.fail(f"the collector does not start: {log.read_text('utf-8')}")
        yield f"http://127.0.0.1:{port}/v1/traces", path
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


def spans_in(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text("utf-8").splitlines() if path.exists() else ()
    return [
        span
        for line in lines
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        if scope["scope"]["name"] == "kraken_trio"
        for span in scope["spans"]
    ]


def values(span: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}


async def test_a_collector_gets_the_spans_of_an_incident(tmp_path: Path) -> None:
    program = found()
    async with collecting(program, tmp_path) as (endpoint, path):
        provider = TracerProvider(resource=Resource.create({"service.name": "a test"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        async with (
            open_exchange() as exchange,
            kt.open_client(exchange.url, settings=QUICK, tracing=OpenTelemetry(provider)) as client,
            client.subscribe(kt.Book("BTC/USD"), overflow=kt.Overflow.DROP_OLDEST),
        ):
            await client.wait_for(kt.ConnectionState.SUBSCRIBED)
            exchange.inject(CorruptChecksum(symbol="BTC/USD", snapshots=True))
            exchange.inject(RefuseConnect(status=503))
            exchange.inject(Drop())
            await client.wait_for(kt.ConnectionState.DISCONNECTED)
            await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        await trio.to_thread.run_sync(provider.shutdown)
        spans: list[dict[str, Any]] = []
        with trio.fail_after(PATIENCE):
            while "kraken_trio.outage" not in {span["name"] for span in spans}:
                await trio.sleep(0.05)
                spans = spans_in(path)
    by_id = {span["spanId"]: span for span in spans}
    (outage,) = [span for span in spans if span["name"] == "kraken_trio.outage"]
    linked = [by_id[link["spanId"]]["name"] for link in outage["links"]]
    assert linked == ["kraken_trio.connect", "kraken_trio.connect", "kraken_trio.resync"]
    refused = by_id[outage["links"][0]["spanId"]]
    assert refused["status"]["code"] == 2
    assert values(refused)["error.type"] == "503"
    assert values(outage)["kraken_trio.cause"] == "disconnected"
    for span in spans:
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        if span.get("parentSpanId"):
            parent = by_id[span["parentSpanId"]]
            assert int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
            assert int(span["endTimeUnixNano"]) <= int(parent["endTimeUnixNano"])
