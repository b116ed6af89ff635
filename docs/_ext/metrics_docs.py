"""The directive ``metrics-table``: all metrics, as the code makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import attrs
from docutils import nodes
from docutils.parsers.rst import Directive

import kraken_trio as kt
from kraken_trio.metrics.families import families
from kraken_trio.metrics.relays import relay_families
from kraken_trio.relay import RelayStatistics, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docutils.nodes import Node
    from prometheus_client.core import Metric
    from sphinx.application import Sphinx


Row: TypeAlias = tuple[str, str, str, str]


def example() -> kt.ClientStatistics:
    """A client that has one of everything."""
    zeros: dict[str, Any] = {
        field.name: 0 for field in attrs.fields(kt.ClientStatistics) if field.default is attrs.NOTHING
    }
    book = kt.Book("BTC/USD")
    return kt.ClientStatistics(
        **zeros
        | {
            "state": kt.ConnectionState.SUBSCRIBED,
            "core": "compiled",
            "ping_seconds": 0.0,
            "clock_offset": 0.0,
            "connect_budget_left": 120,
            "subscriptions": {book: kt.SubscriptionStatistics(state=kt.SubscriptionState.LIVE, age=1.0, data_age=1.0)},
            "messages": {"book": 1},
            "message_bytes": {"book": 1},
        }
    )


def of_clients() -> tuple[list[Row], Iterable[Metric]]:
    up = ("kraken_trio_up", "gauge", "", "1 if the client's numbers could be read; 0 if its event loop is busy.")
    return [up], families({"x": example()}, 10)


def of_relays() -> tuple[list[Row], Iterable[Metric]]:
    zeros: dict[str, Any] = {field.name: 0 for field in attrs.fields(RelayStatistics)}
    now = RelayStatistics(**zeros | {"standing": Standing.OWNER, "is_connected": True})
    of_shards: list[Row] = [
        ("kraken_trio_shard_up", "gauge", "", "1 if the process of the shard runs, and tells its numbers."),
        ("kraken_trio_shard_restarts_total", "counter", "", "How often its process was started again."),
    ]
    return of_shards, relay_families(now)


class MetricsTable(Directive):
    """A row per metric: its name, type, labels, and what it is. With the argument ``relays``, those of relays."""

    optional_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[Node]:
        rows, found = of_relays() if self.arguments else of_clients()
        for family in found:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"client", "le"}
            rows.append((name, family.type, ", ".join(sorted(labels)), family.documentation))
        group = nodes.tgroup(cols=4)
        group += [nodes.colspec(colwidth=width) for width in (40, 10, 15, 60)]
        head, body = nodes.thead(), nodes.tbody()
        head += _row(("metric", "type", "labels", "what"))
        body += [_row(row, is_code=True) for row in sorted(rows)]
        group += [head, body]
        table = nodes.table()
        table += group
        return [table]


def _row(texts: tuple[str, ...], *, is_code: bool = False) -> nodes.row:
    row = nodes.row()
    for column, text in enumerate(texts):
        entry, paragraph = nodes.entry(), nodes.paragraph()
        paragraph += nodes.literal(text=text) if is_code and column == 0 else nodes.Text(text)
        entry += paragraph
        row += entry
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("metrics-table", MetricsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
