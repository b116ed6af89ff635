"""Changes of spans become spans of OpenTelemetry."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from kraken_trio._address import parse_address
from kraken_trio._text import printable
from kraken_trio._version import version
from kraken_trio.errors import ConnectError
from kraken_trio.tracing.spans import Begun, Ended, Noted, Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kraken_trio.endpoint import Endpoint
    from kraken_trio.session.records import Record
    from kraken_trio.tracing.spans import Change, Value

__all__ = ["OpenTelemetry"]

_CLIENT_SPANS: Final = frozenset({"kraken_trio.connect", "kraken_trio.subscribe"})
"""What asks the exchange for something."""

_log = logging.getLogger("kraken_trio")


class OpenTelemetry:
    """Makes spans of what happens to clients: give it to :func:`~kraken_trio.open_client` as ``tracing``.

    ``tracer_provider`` takes the spans; without one it is OpenTelemetry's global one. One object may be given to
    several clients.

    ====================== ============================================================================================
    span                   from, and to
    ====================== ============================================================================================
    kraken_trio.connect    an attempt to connect begins; there is a connection. Its children are its phases:
                           ``kraken_trio.connect.token``, ``.name``, ``.tcp``, ``.proxy``, ``.tls``, ``.upgrade``
    kraken_trio.subscribe  a request is sent for a subscription; its first data has passed every check
    kraken_trio.resync     a subscription cannot be trusted, or is stale; it has verified data again
    kraken_trio.outage     the connection is lost; everything wanted is confirmed, and every book verified
    ====================== ============================================================================================

    Each is a trace of its own, but for the phases, and for the subscribes of a resync, which are its children. Links
    lead from an outage to its attempts and resyncs, and from each attempt, subscribe and resync in an outage to that.

    A span has the status ERROR if it did not come to what is said here, and then ``error.type``. What is open when the
    client's block is left ends there.

    The spans are made in the client's tasks, and in none of its hot paths: nothing is done while data flows. What a
    processor of the SDK does is done there, too, so give it one that batches. One that raises is logged, once.
    """

    def __init__(self, tracer_provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("kraken_trio", version(), tracer_provider)

    def follow(self, endpoint: Endpoint, wall_ns: Callable[[], int], /) -> _Followed:
        """(called by :func:`~kraken_trio.open_client`)."""
        return _Followed(self._tracer, endpoint, wall_ns)


class _Followed:
    """A client whose records become spans."""

    def __init__(self, tracer: trace.Tracer, endpoint: Endpoint, wall_ns: Callable[[], int]) -> None:
        self._tracer = tracer
        self._name = endpoint.name
        self._wall_ns = wall_ns
        self._spans = Spans()
        self._open: dict[int, trace.Span] = {}
        self._read_at, self._read_ns = 0.0, 0
        """When the wall clock was read, and what it said. All times of spans that are open together are counted from
        there, by the client's own clock: nobody sets that."""
        self._of_all: dict[str, Value] = {"kraken_trio.endpoint": endpoint.name}
        self._of_clients = self._of_all | _server(endpoint)
        self._has_failed = False

    def consume(self, records: Sequence[Record], now: float) -> None:
        for change in self._spans.take(records):
            if not self._open:
                self._read_at, self._read_ns = now, self._wall_ns()
            try:
                self._follow(change, self._read_ns + round((now - self._read_at) * 1e9))
            except Exception as exc:  # noqa: BLE001 (the program's own SDK and exporters: the client goes on)
                if not self._has_failed:
                    self._has_failed = True
                    _log.warning("%s: tracing: %s (no more is said of this)", self._name, printable(repr(exc)))

    def _follow(self, change: Change, at_ns: int) -> None:
        known = self._open.get(change.span)
        if isinstance(change, Begun):
            self._begin(change, at_ns)
        elif known is None:
            return  # it could not be made
        elif isinstance(change, Ended):
            del self._open[change.span]
            known.set_attributes(change.attributes)
            if change.error is not None:
                known.set_status(Status(StatusCode.ERROR, change.error))
            known.end(at_ns)
        elif isinstance(change, Noted):
            known.add_event(change.name, change.attributes, at_ns)
        else:
            for link in self._links(change.to):
                known.add_link(link.context)

    def _begin(self, change: Begun, at_ns: int) -> None:
        # Never a child of what happens to be current: a client's tasks have inherited that from whoever opened it.
        context = Context()
        if change.parent is not None and change.parent in self._open:
            context = trace.set_span_in_context(self._open[change.parent], context)
        is_client = change.name in _CLIENT_SPANS
        self._open[change.span] = self._tracer.start_span(
            change.name,
            context,
            SpanKind.CLIENT if is_client else SpanKind.INTERNAL,
            {**(self._of_clients if is_client else self._of_all), **change.attributes},
            self._links(*change.links),
            at_ns,
        )

    def _links(self, *spans: int) -> list[Link]:
        return [Link(self._open[span].get_span_context()) for span in spans if span in self._open]


def _server(endpoint: Endpoint) -> dict[str, Value]:
    try:
        address = parse_address(endpoint.url)
    except ConnectError:  # a program's own transport may understand it
        return {}
    return {"server.address": address.host, "server.port": address.port, "network.protocol.name": "websocket"}
