"""Where a mutant is applied: at a comment in the package, ``# mutant: NAME``.

It stands at the end of the line on which the statement begins that it is about, or on a line of its own above it.
In a statement of several lines it may mark a part: what begins on its line. Several names are separated by commas.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mutants.operators import Operator

__all__ = ["Place", "find_places"]

_SIGN: Final = "# mutant:"
_MARKER: Final = re.compile(r"# mutant: ([a-z0-9]+(?:,? [a-z0-9]+)*)$")
_NO_CODE: Final = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


@attrs.frozen
class Place:
    """A marker, and the node that it marks."""

    marker: str
    path: Path
    source: str = attrs.field(repr=False)
    node: ast.AST = attrs.field(repr=False)
    parent: ast.AST | None = attrs.field(repr=False)

    def mutated(self, operator: Operator) -> str:
        """The source with this node mutated, and all the rest of it as it was."""
        node, text = operator.edit(self.node, self.parent)
        start, stop = _span(node, self.source)
        return f"{self.source[:start]}{text}{self.source[stop:]}"


def find_places(package: Path) -> Iterator[Place]:
    """All markers in the modules of a package."""
    for path in sorted(package.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if _SIGN in source:
            yield from _places(path, source)


def _places(path: Path, source: str) -> Iterator[Place]:
    tree = ast.parse(source)
    markers, code = _read(path, source)
    for line, names in markers:
        marked = next((one for one in code if one >= line), 0)
        node, parent = _node_on(tree, marked)
        if node is None:
            msg = f"{path}, line {line}: the marker {', '.join(names)} marks nothing"
            raise ValueError(msg)
        yield from (Place(name, path, source, node, parent) for name in names)


def _read(path: Path, source: str) -> tuple[list[tuple[int, list[str]]], list[int]]:
    """The lines with markers, and the lines with code."""
    markers, code = [], {0}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type not in _NO_CODE:
            code.update(range(line, token.end[0] + 1))
        elif token.type == tokenize.COMMENT and _SIGN in token.string:
            marker = _MARKER.search(token.string)
            if marker is None:
                msg = f"{path}, line {line}: a marker reads '# mutant: a name, another name'"
                raise ValueError(msg)
            markers.append((line, marker[1].split(", ")))
    return markers, sorted(code)


def _node_on(tree: ast.AST, line: int) -> tuple[ast.AST | None, ast.AST | None]:
    """The outermost node that begins first on this line; if none does, the innermost statement that goes on there."""
    begins: tuple[int, ast.AST, ast.AST] | None = None
    goes_on: tuple[ast.AST | None, ast.AST | None] = (None, None)
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            where: ast.AST = child.pattern if isinstance(child, ast.match_case) else child
            first, last = getattr(where, "lineno", 0), getattr(where, "end_lineno", 0)
            if first == line and (begins is None or where.col_offset < begins[0]):  # type: ignore[attr-defined]  # a node with a lineno has it, too
                begins = (where.col_offset, child, parent)  # type: ignore[attr-defined]  # a node with a lineno has it, too
            if isinstance(child, ast.stmt) and first <= line <= last:
                goes_on = child, parent
    if begins is None:
        return goes_on
    _, node, parent = begins
    if isinstance(parent, ast.Dict) and node in parent.keys:  # an entry: what is said about the key
        return parent.values[parent.keys.index(node)], parent
    return node, parent


def _span(node: ast.AST, source: str) -> tuple[int, int]:
    """Where a node stands. The tree counts in bytes of a line."""
    lines = source.split("\n")

    def offset(line: int, column: int) -> int:
        return sum(len(before) + 1 for before in lines[: line - 1]) + len(lines[line - 1].encode()[:column].decode())

    assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
