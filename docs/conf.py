"""How Sphinx builds the documentation: `nox -s docs`, with every warning an error, and without the network."""

from __future__ import annotations

import pkgutil
import re
import types
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

import kraken_trio

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "kraken_trio"
author = "The kraken_trio authors"
project_copyright = "2026, The kraken_trio authors"
release = version = installed_version("kraken-trio")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"kraken_trio {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The reference is written where the code is. Source order is reading order.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# Every reference must lead somewhere: to this documentation, or else to something that exists (see below).
nitpicky = True


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> nodes.Node | None:
    """Decide on a reference for which Sphinx has found no target; None leaves it to Sphinx, which then warns.

    Public names are documented as `kraken_trio.Name`, wherever they are defined. What belongs to others, and our own
    modules, get no link (nothing is fetched), but they must exist.
    """
    if node.get("refdomain") != "py":
        return None
    target = node.get("reftarget", "")
    public = re.fullmatch(r"(?:kraken_trio\.(?:[a-z_0-9]+\.)*)?([A-Za-z]\w*)((?:\.\w+)*)", target)
    if public and public[1] in kraken_trio.__all__:
        full_name = f"kraken_trio.{public[1]}{public[2]}"
        domain = env.domains["py"]
        for _role, found in domain.resolve_any_xref(env, node["refdoc"], app.builder, full_name, node, content):
            return found
        return None
    thing = find(target)
    ours = target.split(".")[0] == "kraken_trio"
    if thing is None or (ours and not isinstance(thing, types.ModuleType)):
        return None
    return content


def find(name: str) -> object | None:
    """What `name` is in Python; a name without a module may be of the standard modules that annotations use."""
    for prefix in ("", *(f"{module}." for module in UNQUALIFIED)):
        try:
            thing: object = pkgutil.resolve_name(prefix + name)
        except (ImportError, AttributeError, ValueError):
            continue
        return thing
    return None


UNQUALIFIED = ("builtins", "typing", "collections.abc", "contextlib", "datetime", "decimal", "enum", "pathlib", "attrs")


def setup(app: Sphinx) -> None:
    app.connect("missing-reference", resolve)
