"""``attrs-fields``: the fields of an attrs class or a msgspec struct as a table: names, types, defaults, docstrings.

::

    .. attrs-fields:: kraken_trio.Settings
       :columns: default
       :grouped:

``columns`` says what stands between name and meaning: ``type``, ``default``, both (if nothing is said), or nothing.
``grouped`` makes one table for every comment line between the fields, under that comment as a title. ``skip`` leaves
fields out, ``own`` those that are inherited. Every field can be referred to, as
``kraken_trio.Settings.connect_timeout``.

The docstrings are reStructuredText: in MyST use it inside of ``{eval-rst}``.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import attrs
import msgspec
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.addnodes import pending_xref
from sphinx.domains.python import PythonDomain
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import kraken_trio
import kraken_trio.export
import kraken_trio.testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

__all__ = ["setup"]

CHECKED = {"Checksum": "int", "Timestamp": "datetime"}
"""Types that are checked when an event is decoded, and what they are for a program."""
WIDTHS = {"name": 30, "type": 24, "default": 14, "meaning": 56}


class Field(NamedTuple):
    """What a table says of a field."""

    name: str
    annotation: object
    default: object
    """``attrs.NOTHING`` if there is none."""


def fields_of(cls: type) -> Iterator[Field]:
    """The fields that the constructor of ``cls`` takes."""
    annotations = cls.__annotations__
    if issubclass(cls, msgspec.Struct):
        for info in msgspec.structs.fields(cls):
            default = attrs.NOTHING if info.default is msgspec.NODEFAULT else info.default
            yield Field(info.name, annotations.get(info.name, info.type), default)
    else:
        for attribute in attrs.fields(cls):
            if attribute.init:
                annotation = annotations.get(attribute.name, attribute.type)
                yield Field(attribute.name, annotation, attribute.default)


class AttrsFields(SphinxDirective):
    """See the module."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {
        "columns": str.split,
        "grouped": directives.flag,
        "own": directives.flag,
        "skip": str.split,
    }

    def run(self) -> list[nodes.Node]:
        self.path: str = self.arguments[0]
        self.cls: type = pkgutil.resolve_name(self.path)
        self.env.note_dependency(cast("str", inspect.getsourcefile(self.cls)))
        analyzer = ModuleAnalyzer.for_module(self.cls.__module__)
        self.docs: dict[str, list[str]] = {
            name: lines for (owner, name), lines in analyzer.find_attr_docs().items() if owner == self.cls.__qualname__
        }
        skipped = self.options.get("skip", [])
        fields = [field for field in fields_of(self.cls) if field.name not in skipped]
        if "own" in self.options:
            fields = [field for field in fields if field.name in self.cls.__annotations__]
        if "grouped" not in self.options:
            return [self.table(fields)]
        found: list[nodes.Node] = []
        group_of = dict(groups(self.cls))
        for comment in dict.fromkeys(group_of.values()):
            # "Reconnecting. Kraken: at once a handful of times": a title, and more about it
            title, mark, more = re.fullmatch(r"(.+?)(?:([.?]) (.+))?", comment).groups("")  # type: ignore[union-attr]
            found += self.parse_text_to_nodes(f".. rubric:: {title}{mark.strip('.')}\n\n{more}\n")
            found.append(self.table([field for field in fields if group_of[field.name] == comment]))
        return found

    def table(self, fields: list[Field]) -> nodes.table:
        columns = ["name", *self.options.get("columns", ["type", "default"])]
        if all(field.default is attrs.NOTHING for field in fields):
            columns = [column for column in columns if column != "default"]
        if any(self.docs.get(field.name) for field in fields):
            columns.append("meaning")
        table = nodes.table(classes=["kt-fields", *(["colwidths-given"] if "grouped" in self.options else [])])
        group = nodes.tgroup(cols=len(columns))
        group += [nodes.colspec(colwidth=WIDTHS[column]) for column in columns]
        head = nodes.row()
        head += [nodes.entry("", nodes.paragraph(text=column)) for column in columns]
        body = nodes.tbody()
        for field in fields:
            row = nodes.row()
            row += [nodes.entry("", *getattr(self, f"cell_{column}")(field)) for column in columns]
            body += row
        group += [nodes.thead("", head), body]
        table += group
        return table

    def cell_name(self, field: Field) -> list[nodes.Node]:
        full = f"{self.path}.{field.name}"
        anchor = nodes.target("", "", ids=[full])
        domain = self.env.domains["py"]
        assert isinstance(domain, PythonDomain)
        domain.note_object(full, "attribute", full, location=anchor)
        name = nodes.literal()
        for part in re.split(r"(?<=_)", field.name):
            # In a narrow column a name may be broken here, and only here.
            name += [nodes.raw("", "<wbr>", format="html"), nodes.Text(part)] if name.children else [nodes.Text(part)]
        return [nodes.paragraph("", "", anchor, name)]

    def cell_type(self, field: Field) -> list[nodes.Node]:
        annotation = field.annotation
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        text = re.sub(r"\w+", lambda word: CHECKED.get(word[0], word[0]), text)
        whole = nodes.literal()
        for word in re.split(r"([A-Za-z_]\w*)", text):
            if home := home_of(word):
                whole += pending_xref(
                    "",
                    nodes.Text(word),
                    refdomain="py",
                    reftype="obj",
                    reftarget=f"{home}.{word}",
                    refdoc=self.env.docname,
                    refwarn=True,
                )
            else:
                whole += nodes.Text(word)
        return [nodes.paragraph("", "", whole)]

    def cell_default(self, field: Field) -> list[nodes.Node]:
        if field.default is attrs.NOTHING:
            return [nodes.paragraph()]
        value = field.default
        text = f"{value:_}" if isinstance(value, float | int) and not isinstance(value, bool) else repr(value)
        if type(value).__module__.startswith("kraken_trio") and hasattr(value, "name"):
            text = f"{type(value).__name__}.{value.name}"
        return [nodes.paragraph("", "", nodes.literal(text=text))]

    def cell_meaning(self, field: Field) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(self.docs.get(field.name, [])))


def home_of(word: str) -> str | None:
    """Where a name of ours is documented."""
    for module in (kraken_trio, kraken_trio.export, kraken_trio.testing):
        if word in module.__all__:
            return module.__name__
    return None


def groups(cls: type) -> Iterator[tuple[str, str]]:
    """For every field, the last comment line before it in the class."""
    title = ""
    for line in inspect.getsource(cls).splitlines():
        if match := re.fullmatch(r" {4}# (.+)", line):
            title = match[1]
        elif match := re.match(r" {4}(\w+): ", line):
            yield match[1], title


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("attrs-fields", AttrsFields)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
