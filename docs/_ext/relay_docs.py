"""What a relay publishes, for readers in other languages: its JSON Schema.

``relay-schema`` is a link to the whole schema, a file that is written beside the page. ``relay-message`` shows the
schema of one kind of message.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from kraken_trio.broker import messages

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

__all__ = ["setup"]

FILE = "relay.schema.json"
ROLE = re.compile(r":[\w:]+:`~?(?:\w+\.)*([^`]+)`")
"""A reference in a docstring; of its target, the last name is shown."""


def schema() -> dict[str, Any]:
    """The schema, whose descriptions are plain text."""
    found: dict[str, Any] = json.loads(json.dumps(messages.schema()))
    for definition in found["$defs"].values():
        if "description" in definition:
            definition["description"] = ROLE.sub(r"\1", definition["description"]).replace("``", "")
    return found


class RelaySchema(SphinxDirective):
    """See the module."""

    def run(self) -> list[nodes.Node]:
        link = nodes.reference("", "", nodes.literal(text=FILE), refuri=FILE, internal=False)
        return [nodes.paragraph("", "", link)]


class RelayMessage(SphinxDirective):
    """See the module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(messages.__file__)
        definition = schema()["$defs"][self.arguments[0]]
        fields = [f"    {json.dumps(name)}: {json.dumps(shape)}" for name, shape in definition["properties"].items()]
        parts = ['  "type": "object"', '  "properties": {\n' + ",\n".join(fields) + "\n  }"]
        text = "{\n" + ",\n".join([*parts, f'  "required": {json.dumps(definition["required"])}']) + "\n}"
        return [nodes.literal_block(text, text, language="json")]


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the schema where the page's link leads."""
    folder = Path(app.outdir) / "reference"
    if error is None and folder.is_dir():
        (folder / FILE).write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("relay-schema", RelaySchema)
    app.add_directive("relay-message", RelayMessage)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
