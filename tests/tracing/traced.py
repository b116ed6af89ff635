"""What OpenTelemetry's SDK has got of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kraken_trio.tracing import OpenTelemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan


@attrs.frozen
class Traced:
    """A ``tracing``, and its spans."""

    exporter: InMemorySpanExporter = attrs.Factory(InMemorySpanExporter)
    provider: TracerProvider = attrs.Factory(TracerProvider)

    def __attrs_post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def tracing(self) -> OpenTelemetry:
        return OpenTelemetry(self.provider)

    def all(self, name: str) -> list[ReadableSpan]:
        """Those of this name that have ended, in the order in which they began."""
        found = [span for span in self.exporter.get_finished_spans() if span.name == f"kraken_trio.{name}"]
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.all(name)
        return span

    @property
    def names(self) -> list[str]:
        """All, as they ended."""
        return [span.name.removeprefix("kraken_trio.") for span in self.exporter.get_finished_spans()]


def says(span: ReadableSpan) -> Mapping[str, object]:
    """Its attributes, without the beginning that ours have in common."""
    assert span.attributes is not None
    return {name.removeprefix("kraken_trio."): value for name, value in span.attributes.items()}


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def links(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def number(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def failed(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR
