"""A client's spans, as OpenTelemetry's SDK gets them: on virtual time, and over real sockets."""

from __future__ import annotations

import itertools
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trustme
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

import kraken_trio as kt
from kraken_trio.admission.default import EXEMPT
from kraken_trio.client import open_with
from kraken_trio.testing import (
    Conditions,
    CorruptChecksum,
    Drop,
    Mute,
    Network,
    RefuseConnect,
    open_exchange,
    run_virtual,
)
from kraken_trio.tracing import OpenTelemetry
from tests.secrets import Secrets
from tests.tracing.traced import Traced, failed, links, number, says, seconds

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

EPOCH_NS = 1_700_000_000_000_000_000
LATENCY = 0.05
BTC, ETH = kt.Book("BTC/USD"), kt.Trades("ETH/USD")
STEADY = Conditions(latency=(LATENCY, LATENCY))


def wall_ns() -> int:
    return EPOCH_NS + round(trio.current_time() * 1e9)


@asynccontextmanager
async def traced_client(
    traced: Traced, network: Network, url: str, settings: kt.Settings | None = None
) -> AsyncIterator[kt.Client]:
    """A client whose wall clock is virtual, too."""
    async with open_with(
        url,
        settings=settings or kt.Settings(),
        ssl_context=None,
        connect=network.transport(),
        wall_ns=wall_ns,
        jitter=lambda: 0.5,
        admission=EXEMPT,
        consumers=(traced.tracing.follow(kt.Endpoint(url), wall_ns),),
    ) as client:
        yield client


async def incident(traced: Traced) -> None:
    """A client connects, is dropped, is refused once, gets a corrupt book, and has everything again."""
    network = Network(conditions=STEADY)
    async with (
        open_exchange(network=network, rate=50.0, epoch_ns=EPOCH_NS) as exchange,
        traced_client(traced, network, exchange.url) as client,
        client.subscribe(BTC, kt.Trades("ETH/USD", snapshot=True), overflow=kt.Overflow.DROP_OLDEST),
    ):
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        await trio.sleep(10)
        exchange.inject(Drop())
        exchange.inject(RefuseConnect(status=503, retry_after=4.0))
        await client.wait_for(kt.ConnectionState.DISCONNECTED)
        exchange.inject(CorruptChecksum(symbol="BTC/USD", snapshots=True))
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        await trio.sleep(10)


@pytest.fixture(scope="module")
def story() -> Traced:
    traced = Traced()
    run_virtual(incident, traced)
    return traced


def test_an_attempt_has_its_phases(story: Traced) -> None:
    first, refused, again = story.all("connect")
    tcp, *_ = story.all("connect.tcp")
    upgrade, *_ = story.all("connect.upgrade")
    for phase in (tcp, upgrade):
        assert phase.parent is not None
        assert phase.parent.span_id == number(first)
        assert phase.kind is SpanKind.INTERNAL
    assert tcp.start_time == first.start_time
    assert tcp.end_time == upgrade.start_time
    assert upgrade.end_time == first.end_time
    assert seconds(tcp) == seconds(upgrade) == pytest.approx(2 * LATENCY)
    assert first.parent is None
    assert first.kind is SpanKind.CLIENT
    assert says(first) == {
        "endpoint": "ws://localhost/v2",
        "server.address": "localhost",
        "server.port": 80,
        "network.protocol.name": "websocket",
        "attempt": 1,
        "outcome": "connected",
        "epoch": 1,
    }
    said = {**says(first), "outcome": "failed", "error.type": "503", "http.response.status_code": 503}
    del said["epoch"]
    assert says(refused) == {**said, "retry_after": 4.0, "retryable": True, "phase": "upgrade"}
    assert failed(refused)
    assert "HTTP 503" in str(refused.status.description)
    assert says(again)["attempt"] == 2
    assert not failed(again)
    assert first.instrumentation_scope is not None
    assert first.instrumentation_scope.name == "kraken_trio"


def test_an_outage_is_linked_to_its_attempts_and_resyncs(story: Traced) -> None:
    outage, resync = story.one("outage"), story.one("resync")
    _, refused, again = story.all("connect")
    assert links(outage) == {number(refused), number(again), number(resync)}
    assert links(refused) == links(again) == links(resync) == {number(outage)}
    attributes = says(outage)
    assert attributes["cause"] == "disconnected"
    assert (attributes["losses"], attributes["attempts"], attributes["resyncs"]) == (1, 2, 1)
    assert attributes["outcome"] == "recovered"
    assert not failed(outage)
    assert outage.end_time == resync.end_time
    assert seconds(outage) > 4  # what the exchange had asked for


def test_a_resync_has_its_subscribe(story: Traced) -> None:
    resync = story.one("resync")
    assert says(resync)["cause"] == "checksum"
    assert says(resync)["checksum.expected"] != says(resync)["checksum.computed"]
    (child,) = [span for span in story.all("subscribe") if span.parent is not None]
    assert child.parent is not None
    assert child.parent.span_id == number(resync)
    assert child.end_time == resync.end_time
    assert says(child)["symbol"] == "BTC/USD"
    assert [event.name for event in child.events] == ["kraken_trio.confirmed"]


def test_each_subscribe_ends_with_its_first_verified_data(story: Traced) -> None:
    subscribes = [(says(span)["channel"], says(span)["outcome"], failed(span)) for span in story.all("subscribe")]
    assert subscribes == [
        ("book", "verified", False),
        ("trade", "verified", False),
        ("book", "checksum", True),
        ("trade", "verified", False),
        ("book", "verified", False),
    ]


def test_the_same_happens_again_at_the_same_times(story: Traced) -> None:
    again = Traced()
    run_virtual(incident, again)

    def said(traced: Traced) -> list[Any]:
        spans = traced.exporter.get_finished_spans()
        return [(span.name, span.start_time, span.end_time, says(span), span.status.description) for span in spans]

    assert said(again) == said(story)
    assert all((span.start_time or 0) >= EPOCH_NS for span in story.exporter.get_finished_spans())


def test_what_is_open_ends_when_the_block_is_left() -> None:
    traced = Traced()

    async def main() -> None:
        network = Network()
        async with open_exchange(network=network, rate=0) as exchange, trio.open_nursery() as nursery:
            exchange.inject(Mute(symbol="BTC/USD"))
            async with traced_client(traced, network, exchange.url) as client:

                async def subscribe() -> None:
                    async with client.subscribe(BTC):
                        await trio.sleep_forever()

                nursery.start_soon(subscribe)
                await trio.sleep(1)
                assert traced.names == ["connect.tcp", "connect.upgrade", "connect"]
            assert [says(span)["outcome"] for span in traced.all("subscribe")] == ["closed"]
            nursery.cancel_scope.cancel()

    run_virtual(main)
    assert not failed(traced.one("subscribe"))


def test_a_first_attempt_that_fails_is_a_span() -> None:
    traced = Traced()

    async def main() -> None:
        network = Network()
        async with traced_client(traced, network, "ws://nobody/v2"):
            pytest.fail("nobody is there")

    with pytest.raises(kt.ConnectError):
        run_virtual(main)
    assert traced.names == ["connect.tcp", "connect"]
    assert says(traced.one("connect"))["error.type"] == "ConnectError"
    assert failed(traced.one("connect.tcp"))


def test_spans_are_no_children_of_the_programs_own() -> None:
    traced = Traced()

    async def main() -> None:
        network = Network()
        with trace.get_tracer("program", tracer_provider=traced.provider).start_as_current_span("its own"):
            async with open_exchange(network=network) as exchange, traced_client(traced, network, exchange.url):
                pass

    run_virtual(main)
    assert traced.one("connect").parent is None


def test_an_address_that_only_the_programs_transport_understands() -> None:
    traced = Traced()
    follow = traced.tracing.follow(kt.Endpoint("unix:/tmp/x"), wall_ns)
    assert follow._of_clients == {"kraken_trio.endpoint": "unix:/tmp/x"}


class Broken(SpanProcessor):
    """A processor of a program that fails, always or when a span ends."""

    def __init__(self, *, at_start: bool) -> None:
        self.at_start = at_start
        self.calls = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.calls += 1
        if self.at_start:
            raise RuntimeError("no room for it")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("it cannot be sent")


@pytest.mark.parametrize("at_start", [True, False])
def test_a_processor_that_fails_does_no_harm(at_start: bool, caplog: pytest.LogCaptureFixture) -> None:
    processor = Broken(at_start=at_start)
    traced = Traced()
    traced.provider.add_span_processor(processor)
    with caplog.at_level(logging.WARNING, "kraken_trio"):
        run_virtual(incident, traced)
    assert processor.calls > 10
    why = "no room for it" if at_start else "it cannot be sent"
    said = f"ws://localhost/v2: tracing: RuntimeError('{why}') (no more is said of this)"
    assert [record.message for record in caplog.records if "tracing" in record.message] == [said]


def test_what_is_sampled_out_costs_no_memory() -> None:
    traced = Traced(provider=TracerProvider(sampler=ALWAYS_OFF))
    run_virtual(incident, traced)
    assert traced.names == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    import ssl

    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("transport", ["websockets", "trio-websocket"])
async def test_all_phases_over_real_sockets(transport: Any, authority: trustme.CA) -> None:
    traced = Traced()
    server, context = tls(authority)
    async with open_exchange(ssl_context=server) as exchange:
        url = exchange.url.replace("127.0.0.1", "localhost")
        async with (
            kt.open_client(url, ssl_context=context, transport=transport, tracing=traced.tracing) as client,
            client.subscribe(BTC) as feed,
        ):
            await feed.receive()
    assert traced.names == [
        "connect.name",
        "connect.tcp",
        "connect.tls",
        "connect.upgrade",
        "connect",
        "subscribe",
    ]
    phases = [traced.one(f"connect.{phase}") for phase in ("name", "tcp", "tls", "upgrade")]
    attempt = traced.one("connect")
    assert phases[0].start_time == attempt.start_time or seconds(attempt) >= sum(map(seconds, phases))
    for phase, following in itertools.pairwise(phases):
        assert phase.end_time == following.start_time
    assert phases[-1].end_time == attempt.end_time


async def test_a_refused_certificate_is_an_error_of_its_phase(authority: trustme.CA) -> None:
    traced = Traced()
    server, _ = tls(authority)
    async with open_exchange(ssl_context=server) as exchange:
        with pytest.raises(kt.ConnectError, match="certificate"):
            async with kt.open_client(exchange.url, tracing=traced.tracing):
                pytest.fail("it is not trusted")
    assert traced.names == ["connect.name", "connect.tcp", "connect.tls", "connect"]
    assert failed(traced.one("connect.tls"))
    assert not failed(traced.one("connect.tcp"))
    assert says(traced.one("connect"))["phase"] == "tls"


async def test_without_a_provider_the_global_one_takes_the_spans() -> None:
    async with (
        open_exchange() as exchange,
        kt.open_client(exchange.url, tracing=OpenTelemetry()) as client,
    ):
        assert client.state is kt.ConnectionState.SUBSCRIBED


@pytest.mark.parametrize("has_proxy", [True, False])
async def test_who_refuses_the_connection_is_seen_and_no_password(has_proxy: bool) -> None:
    traced, secrets = Traced(), Secrets(password="correct horse battery", query="a-token-in-the-query")
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:

        async def refuse() -> None:
            async with await listener.accept() as stream:
                await stream.receive_some()
                await stream.send_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await stream.receive_some()

        nursery.start_soon(refuse)
        here = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        proxy = f"http://user:correct%20horse%20battery@{here}" if has_proxy else None
        url = "ws://exchange.test/v2?a-token-in-the-query" if has_proxy else f"ws://{here}/v2?a-token-in-the-query"
        with pytest.raises(kt.ConnectError, match="HTTP 403"):
            async with kt.open_client(url, proxy=proxy, tracing=traced.tracing):
                pytest.fail("it is refused")
    last = "proxy" if has_proxy else "upgrade"
    assert traced.names == ["connect.name", "connect.tcp", f"connect.{last}", "connect"]
    attempt = traced.one("connect")
    assert says(attempt)["phase"] == last
    assert says(attempt)["error.type"] == "403"
    assert secrets.found_in(*(span.to_json() for span in traced.exporter.get_finished_spans())) == []
