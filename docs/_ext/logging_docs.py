"""The directives ``log-events`` and ``command-log-events``: all log lines, as the code makes them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive

from kraken_trio.cli.log import COMMAND_EVENTS
from kraken_trio.telemetry.lines import COMMON, EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from docutils.nodes import Node
    from sphinx.application import Sphinx


class Table(Directive):
    """A table whose first column, and whatever is listed, is code."""

    option_spec: ClassVar[dict[str, Any]] = {}
    heads: ClassVar[tuple[str, ...]]
    widths: ClassVar[tuple[int, ...]]

    def rows(self) -> Iterable[Sequence[str | tuple[str, ...]]]:
        raise NotImplementedError

    def run(self) -> list[Node]:
        group = nodes.tgroup(cols=len(self.heads))
        group += [nodes.colspec(colwidth=width) for width in self.widths]
        head, body = nodes.thead(), nodes.tbody()
        head += _row(self.heads)
        body += [_row(row) for row in self.rows()]
        group += [head, body]
        table = nodes.table()
        table += group
        return [table]


class LogEvents(Table):
    """The library's events."""

    heads = ("event", "level", "fields", "what")
    widths = (22, 10, 40, 60)

    def rows(self) -> Iterable[Sequence[str | tuple[str, ...]]]:
        for name, kind in EVENTS.items():
            yield (name,), logging.getLevelName(kind.level), kind.fields, kind.meaning


class CommonFields(Table):
    """The fields of all lines."""

    heads = ("field", "what")
    widths = (20, 80)

    def rows(self) -> Iterable[Sequence[str | tuple[str, ...]]]:
        for name, meaning in COMMON.items():
            yield (name,), f"{meaning[:1].upper()}{meaning[1:]}."


class CommandLogEvents(Table):
    """What commands log besides."""

    heads = ("event", "level", "what")
    widths = (22, 10, 90)

    def rows(self) -> Iterable[Sequence[str | tuple[str, ...]]]:
        for name, (level, meaning) in COMMAND_EVENTS.items():
            yield (name,), logging.getLevelName(level), meaning


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
    app.add_directive("log-events", LogEvents)
    app.add_directive("log-common-fields", CommonFields)
    app.add_directive("command-log-events", CommandLogEvents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
