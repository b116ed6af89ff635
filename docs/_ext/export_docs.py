"""``export-tables``: the columns of each table of an export, with their types in Parquet."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from kraken_trio.export import TABLES, tables
from kraken_trio.export.tables import Column, Kind, layout

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

__all__ = ["setup"]

TYPES = {
    Kind.CONSTANT: "text",
    Kind.CATEGORY: "text",
    Kind.TEXT: "text",
    Kind.TIME: "time",
    Kind.NUMBER: "decimal",
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "boolean",
}


class ExportTables(SphinxDirective):
    """See the module."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(inspect.getsourcefile(tables) or "")
        items = [self.item(name) for name in TABLES]
        return [nodes.definition_list("", *items)]

    def item(self, name: str) -> nodes.definition_list_item:
        text = nodes.paragraph()
        columns = layout(name, 1).columns
        for at, column in enumerate(columns):
            text += [nodes.literal(text=column.name), nodes.Text(f" {said(column)}")]
            text += nodes.Text(", " if at + 1 < len(columns) else "")
        return nodes.definition_list_item("", nodes.term("", "", nodes.literal(text=name)), nodes.definition("", text))


def said(column: Column) -> str:
    return TYPES[column.kind]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("export-tables", ExportTables)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
