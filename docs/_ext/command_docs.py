"""``command-help``: what ``kraken-trio … --help`` says, asked when the documentation is built.

::

    .. command-help:: verify
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import kraken_trio.cli

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

__all__ = ["setup"]

COLUMNS = 84
"""The width of a page's column, in characters."""


class CommandHelp(SphinxDirective):
    """See the module."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(kraken_trio.cli.__file__)
        arguments = [*(self.arguments[0].split() if self.arguments else ()), "--help"]
        shown = subprocess.run(  # noqa: S603 (our own command, with arguments from our own pages)
            [sys.executable, "-m", "kraken_trio", *arguments],
            env={**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode:
            msg = f"kraken-trio {' '.join(arguments)} failed: {shown.stderr}"
            raise ExtensionError(msg)
        text = shown.stdout.replace("python -m kraken_trio", "kraken-trio").rstrip()
        block = nodes.literal_block(text, text)
        block["language"] = "text"
        return [block]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("command-help", CommandHelp)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
