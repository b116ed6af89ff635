"""How Sphinx builds the documentation: `nox -s docs`, with every warning an error, and without the network."""

from __future__ import annotations

import builtins
import enum
import inspect
import pkgutil
import re
import sys
import types
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import attrs
import msgspec
from sphinx.domains.python import PythonDomain
from sphinx.pycode import ModuleAnalyzer

import kraken_trio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "kraken_trio"
author = "The kraken_trio authors"
project_copyright = "2026, The kraken_trio authors"
release = version = installed_version("kraken-trio")

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "command_docs",
    "export_docs",
    "metrics_docs",
    "logging_docs",
    "fields_docs",
    "lifecycle_docs",
    "relay_docs",
]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = f"kraken_trio {release}"
html_static_path = ["_static"]
html_css_files = ["kraken_trio.css"]
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The reference is written where the code is. Source order is reading order.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# Every reference must lead somewhere: to this documentation, or else to something that exists (see below).
nitpicky = True


WITHOUT_LINK = frozenset(
    [
        "AccountFill",
        "AccountOrder",
        "AccountView",
        "AsyncBaseTransport",
        "Incoming",
        "Kind",
        "LedgerEntry",
        "OrderEnd",
        "Place",
        "Report",
        "RestRequest",
        "RestResponse",
        "RestTransport",
        "SaslMechanism",
        "TradePrint",
        "Tracing",
    ]
)
"""Types in signatures, above all of the fake exchange, that are described with what returns or takes them."""


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> nodes.Node | None:
    """Decide on a reference for which Sphinx has found no target; None leaves it to Sphinx, which then warns.

    Public names are documented as `kraken_trio.Name` or `kraken_trio.testing.Name`, wherever they are defined, and
    annotations name them without a module. What belongs to others, and our own modules, get no link (nothing is
    fetched), but they must exist.
    """
    if node.get("refdomain") != "py":
        return None
    target = node.get("reftarget", "")
    domain = cast("PythonDomain", env.domains["py"])
    for full_name in documented_as(target, domain):
        for _role, found in domain.resolve_any_xref(env, node["refdoc"], app.builder, full_name, node, content):
            return found
    if target.rpartition(".")[2] in WITHOUT_LINK:
        return content
    thing = find(target)
    ours = target.split(".")[0] == "kraken_trio"
    if thing is None or (ours and not isinstance(thing, types.ModuleType)):
        return content if is_alias(target) else None
    return content


def is_alias(name: str) -> bool:
    """Whether it is one of our names for a longer type, or for any type. Annotations use some that are not public."""
    short = name.rpartition(".")[2]
    for module in [module for path, module in sys.modules.items() if path.startswith("kraken_trio")]:
        thing = vars(module).get(short)
        if isinstance(thing, TypeVar | str) or (thing is not None and not isinstance(thing, type) and get_args(thing)):
            return True
    return False


def documented_as(target: str, domain: PythonDomain) -> Iterator[str]:
    """The full names that the reference may mean, out of those that are documented."""
    name = re.fullmatch(r"(?:kraken_trio\.(?:[a-z_0-9]+\.)*)?([A-Za-z]\w*(?:\.\w+)*)", target)
    if name:
        for module in MODULES:
            if f"{module}.{name[1]}" in domain.objects:
                yield f"{module}.{name[1]}"


def find(name: str) -> object | None:
    """What `name` is in Python; a name without a module may be of the standard modules that annotations use."""
    for prefix in ("", *(f"{module}." for module in UNQUALIFIED)):
        try:
            thing: object = pkgutil.resolve_name(prefix + name)
        except (ImportError, AttributeError, ValueError):
            continue
        return thing
    return None


MODULES = (
    "kraken_trio",
    "kraken_trio.export",
    "kraken_trio.metrics",
    "kraken_trio.relay",
    "kraken_trio.tracing",
    "kraken_trio.testing",
    "kraken_trio.transport",
    "kraken_trio.admission",
)

UNQUALIFIED = (
    "builtins",
    "typing",
    "collections.abc",
    "contextlib",
    "datetime",
    "decimal",
    "enum",
    "os",
    "pathlib",
    "attrs",
    "hypothesis.strategies",
    "prometheus_client",
)

MADE_BY_US = (
    "Client",
    "Collector",
    "EventReader",
    "Exchange",
    "Feed",
    "Link",
    "MemoryBrokerView",
    "MemoryStream",
    "Recording",
    "Relay",
    "Replay",
    "ReplayClient",
)
"""Classes that programs get, and do not make."""


def write_signature(
    _app: Sphinx, what: str, name: str, thing: object, _options: object, arguments: str | None, result: str | None
) -> tuple[str | None, str | None] | None:
    """Write a signature as its reader needs it."""
    if what == "class" and isinstance(thing, type):
        if thing is kraken_trio.Level:
            return "(price, qty)", ""
        if issubclass(thing, enum.Enum) or name.rpartition(".")[2] in MADE_BY_US:
            return "", ""
        if (attrs.has(thing) or issubclass(thing, msgspec.Struct)) and arguments:
            return fields_signature(thing), ""
    home = "kraken_trio.testing" if name.startswith("kraken_trio.testing") else "kraken_trio"
    arguments, result = (spelt_out(text, home) if text else text for text in (arguments, result))
    if result:
        result = re.sub(EVENTS, "kraken_trio.Event", result)
        result = re.sub(r"\bf\.(\w)", r"\1", result)  # how the strategies call the faults
    if arguments and result and inspect.isasyncgenfunction(getattr(thing, "__wrapped__", None)):
        # @asynccontextmanager keeps the generator's annotation, which is not what a caller gets.
        result = result.replace("AsyncIterator[", "AbstractAsyncContextManager[")
        arguments = arguments.replace("_DEFAULTS", "Settings()")
    return arguments, result


def spelt_out(signature: str, home: str) -> str:
    """Write types out that are not public, or of which there are two: that of the module ``home`` is meant."""
    for short, long in (
        ("Recording", f"{home}.Recording"),
        ("Time", "datetime | int | str"),
        ("Work", "Callable[..., Awaitable[Any]]"),
    ):
        signature = re.sub(rf"(?<![\w.]){short}\b", long, signature)
    return signature


EVENTS = r" \| ".join(rf"~?(?:[\w.]+\.)?{event.__name__}" for event in get_args(kraken_trio.Event))
"""What Sphinx makes of the name ``Event``."""


def write_bases(_app: Sphinx, name: str, _thing: object, _options: object, bases: list[object]) -> None:
    """Write the bases of a class as its reader needs them."""
    if name == "kraken_trio.Feed":
        bases[:] = [":py:class:`trio.abc.ReceiveChannel`\\ [:py:data:`~kraken_trio.Event`]"]


LONG = 6
"""A class of more fields than this is described by their table alone."""


def fields_signature(cls: type) -> str:
    """Without types, which stand in the table of the fields; with them for requests, which have no table."""
    with_types = cls.__module__ == "kraken_trio.requests"
    defaults = {field.alias: field.default for field in attrs.fields(cls)} if attrs.has(cls) else {}
    parameters = [
        parameter.replace(
            annotation=cls.__annotations__[parameter.name] if with_types else inspect.Parameter.empty,
            # Sphinx, which looks for the default's text, finds that of the code which attrs has generated.
            default=parameter.default
            if parameter.default is inspect.Parameter.empty
            else defaults.get(parameter.name, parameter.default),
        )
        for parameter in inspect.signature(cls).parameters.values()
    ]
    return re.sub(r": '(\w+)'", r": \1", str(inspect.Signature(parameters))) if len(parameters) <= LONG else ""


DATA = {
    "kraken_trio.PUBLIC_V1": "kraken_trio.endpoint",
    "kraken_trio.PUBLIC_V2": "kraken_trio.endpoint",
    "kraken_trio.testing.DEFAULT_MARKETS": "kraken_trio.testing.exchange.market_spec",
}
"""Public data, and the module that defines and describes it."""


def describe_data(_app: Sphinx, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Give public data the docstring that stands beside its definition."""
    if what == "data" and name in DATA:
        lines[:] = ModuleAnalyzer.for_module(DATA[name]).find_attr_docs()["", name.rpartition(".")[2]]


def leave_out_overloads(_app: Sphinx) -> None:
    """Show how ``Client.subscribe`` is called. Its overloads say the same eight times, for type checkers."""
    analyzer = ModuleAnalyzer.for_module("kraken_trio.client")
    analyzer.analyze()
    analyzer.overloads.clear()


class Domain(PythonDomain):
    """Python's, in which the name of a builtin type means just that, and not an attribute that is called so."""

    def find_obj(self, env: Any, modname: Any, classname: Any, name: str, *more: Any) -> list[tuple[str, Any]]:
        return [] if hasattr(builtins, name) else super().find_obj(env, modname, classname, name, *more)


def setup(app: Sphinx) -> None:
    app.add_domain(Domain, override=True)
    app.connect("builder-inited", leave_out_overloads)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-signature", write_signature)
    app.connect("autodoc-process-bases", write_bases)
    app.connect("autodoc-process-docstring", describe_data)
