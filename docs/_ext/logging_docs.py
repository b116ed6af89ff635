"""The directives ``log-events``, ``relay-log-events``, ``command-log-events``: all lines, as the code makes them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

from docutils import nodes
from docutils.parsers.rst import Directive

from kraken_trio.cli.log import COMMAND_EVENTS
from kraken_trio.relay.log import RELAY_EVENTS
from kraken_trio.telemetry.lines import COMMON, EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from docutils.nodes import Node
    from sphinx.application import Sphinx


Row: TypeAlias = "Sequence[str | tuple[str, ...]]"


def log_events() -> Iterable[Row]:
    """The library's events."""
    for name, kind in EVENTS.items():
        yield (name,), logging.getLevelName(kind.level), kind.fields, kind.meaning


def relay_log_events() -> Iterable[Row]:
    """Those of relays."""
    for name, kind in RELAY_EVENTS.items():
        yield (name,), logging.getLevelName(kind.level), kind.fields, kind.meaning


def common_fields() -> Iterable[Row]:
    """The fields of all lines."""
    for name, meaning in COMMON.items():
        yield (name,), f"{meaning[:1].upper()}{meaning[1:]}."


def command_log_events() -> Iterable[Row]:
    """What commands log besides."""
    for name, (level, meaning) in COMMAND_EVENTS.items():
        yield (name,), logging.getLevelName(level), meaning


def table_of(rows: Callable[[], Iterable[Row]], columns: Mapping[str, int]) -> type[Directive]:
    """A directive for a table with these columns, by their heads and widths, where what is listed is code."""

    class Table(Directive):
        def run(self) -> list[Node]:
            group = nodes.tgroup(cols=len(columns))
            group += [nodes.colspec(colwidth=width) for width in columns.values()]
            head, body = nodes.thead(), nodes.tbody()
            head += _row(columns)
            body += [_row(row) for row in rows()]
            group += [head, body]
            table = nodes.table()
            table += group
            return [table]

    return Table


def _row(cells: Iterable[str | tuple[str, ...]]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        paragraph = nodes.paragraph()
        if isinstance(cell, str):
            paragraph += nodes.Text(cell)
        else:
            for number, name in enumerate(cell):
                paragraph += [nodes.Text(", ")] if number else []
                paragraph += nodes.literal(text=name)
        entry = nodes.entry()
        entry += paragraph
        row += entry
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("log-events", table_of(log_events, {"event": 22, "level": 10, "fields": 40, "what": 60}))
    columns = {"event": 22, "level": 10, "fields": 40, "what": 60}
    app.add_directive("relay-log-events", table_of(relay_log_events, columns))
    app.add_directive("log-common-fields", table_of(common_fields, {"field": 20, "what": 80}))
    app.add_directive("command-log-events", table_of(command_log_events, {"event": 22, "level": 10, "what": 90}))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
