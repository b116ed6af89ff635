"""What a mutant does to the node that its marker marks (``markers.py``): syntax only, without a name of the code.

An operator looks at the *head* of the node: a simple statement or an expression as a whole; of a compound statement
what stands before its body. Where it looks for something in there, it takes the outermost one, and of those the first.
Whatever it returns is a node of the tree and the text that takes its place; the rest of the file stays as it is.
An operator that finds nothing raises :class:`DoesNotApply`.
"""

from __future__ import annotations

import ast
import copy
from abc import ABC, abstractmethod
from collections import deque
from string import Template
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Always",
    "Becomes",
    "Boundary",
    "DoesNotApply",
    "Drop",
    "DropNow",
    "Edit",
    "Negate",
    "Never",
    "Operator",
    "Plus",
    "Put",
    "Reverse",
    "SkipFirst",
    "Swap",
    "Without",
]

Edit: TypeAlias = tuple[ast.AST, str]
"""A node, and what is written in its place."""

_N = TypeVar("_N", bound=ast.AST)
_LATER: Final = ("body", "handlers", "orelse", "finalbody", "cases")
"""The fields of a compound statement that are no part of its head."""
_TYPES: Final = ("annotation", "returns", "type_params")


class DoesNotApply(Exception):  # noqa: N818 (named by what happened)
    """The operator has nothing to do at this node."""


class Operator(ABC):
    """A way to break a statement."""

    @abstractmethod
    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        """What to write in place of what. ``parent`` is what ``node`` is a part of."""


# What operators look at


def _head(node: ast.AST) -> Iterator[ast.AST]:
    """The node and the expressions of its head, the outermost first."""
    queue = deque([node])
    while queue:
        here = queue.popleft()
        yield here
        if isinstance(here, ast.JoinedStr):
            continue  # before Python 3.12, nodes in there do not know where they stand
        is_expression = isinstance(here, ast.expr)
        for field, value in ast.iter_fields(here):
            if field in _TYPES or (field in _LATER and not is_expression):
                continue
            queue.extend(part for part in (value if isinstance(value, list) else [value]) if isinstance(part, ast.AST))


def _first(node: ast.AST, what: str, wanted: Callable[[ast.AST], _N | None]) -> _N:
    for part in _head(node):
        found = wanted(part)
        if found is not None:
            return found
    msg = f"there is no {what} in: {_shown(node)}"
    raise DoesNotApply(msg)


def _shown(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0]


def _value(node: ast.AST) -> ast.expr:
    """What a simple statement, a keyword argument or an expression is about."""
    if isinstance(node, ast.expr):
        return node
    value = getattr(node, "value", None)
    if isinstance(value, ast.expr):
        return value
    msg = f"there is no value in: {_shown(node)}"
    raise DoesNotApply(msg)


def _condition(node: ast.AST) -> ast.expr:
    """The test of the node, which is that of ``if``, ``while``, ``assert`` or ``case``.

    Else that of a conditional expression or a comprehension in the node; else the node's value.
    """
    if isinstance(node, ast.If | ast.While | ast.Assert):
        return node.test
    if isinstance(node, ast.match_case) and node.guard is not None:
        return node.guard
    for part in _head(node):
        if isinstance(part, ast.IfExp):
            return part.test
        if isinstance(part, ast.comprehension) and part.ifs:
            return part.ifs[0]
    return _value(node)


def _several(part: ast.AST) -> ast.AST | None:
    """``and``, ``or``, or a literal of several elements."""
    if isinstance(part, ast.BoolOp | ast.Set) or (isinstance(part, ast.Tuple | ast.List) and _is_read(part)):
        return part
    return None


def _is_read(part: ast.Tuple | ast.List) -> bool:
    return isinstance(part.ctx, ast.Load)


def _sequence(part: ast.AST) -> list[ast.expr]:
    """Elements, operands or arguments."""
    match part:
        case ast.BoolOp(values=elements):
            return elements
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements) | ast.Call(args=elements):
            return elements
        case _:
            return []


# The operators


@attrs.frozen
class Drop(Operator):
    """A statement is not executed; an element, an entry, an operand or an argument is not there."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        if isinstance(node, ast.stmt):
            return node, "pass"
        less = copy.copy(parent)
        match less:
            case ast.BoolOp(op, values):
                values = [value for value in values if value is not node]
                less = ast.BoolOp(op, values) if len(values) > 1 else values[0]
            case ast.Tuple() | ast.List() | ast.Set():
                less.elts = [element for element in less.elts if element is not node]
            case ast.Dict():
                entries = zip(less.keys, less.values, strict=True)
                kept = [entry for entry in entries if entry[1] is not node]
                less.keys, less.values = [key for key, _ in kept], [value for _, value in kept]
            case ast.Call():
                less.args = [argument for argument in less.args if argument is not node]
                less.keywords = [keyword for keyword in less.keywords if keyword is not node]
            case _:
                pass
        if parent is None or less is None or ast.dump(less) == ast.dump(parent):
            msg = f"this is no statement, and no part of anything: {_shown(node)}"
            raise DoesNotApply(msg)
        return parent, ast.unparse(less)


@attrs.frozen
class DropNow(Operator):
    """A simple statement is left out every ``nth`` time."""

    nth: int

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        if not isinstance(node, ast.stmt) or hasattr(node, "body"):
            msg = f"this is no simple statement: {_shown(node)}"
            raise DoesNotApply(msg)
        turns = "globals().setdefault('_turns', __import__('itertools').count(1))"
        return node, f"if next({turns}) % {self.nth}: {ast.unparse(node)}"


@attrs.frozen
class Always(Operator):
    """The condition holds, whatever is the case."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        return _condition(node), "True"


@attrs.frozen
class Never(Operator):
    """The condition does not hold, whatever is the case."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        return _condition(node), "False"


@attrs.frozen
class Negate(Operator):
    """The condition is turned round."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        condition = _condition(node)
        return condition, f"(not ({ast.unparse(condition)}))"


@attrs.frozen
class Boundary(Operator):
    """``<`` becomes ``<=``, ``>`` becomes ``>=``, and the other way round."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        others: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE}
        others[ast.GtE] = ast.Gt

        def ordering(part: ast.AST) -> ast.Compare | None:
            return part if isinstance(part, ast.Compare) and any(type(op) in others for op in part.ops) else None

        comparison = _first(node, "comparison by size", ordering)
        index = next(index for index, op in enumerate(comparison.ops) if type(op) in others)
        ops = [*comparison.ops]
        ops[index] = others[type(ops[index])]()
        return comparison, f"({ast.unparse(ast.Compare(comparison.left, ops, comparison.comparators))})"


@attrs.frozen
class Plus(Operator):
    """A number is ``more`` than it was."""

    more: int

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        def number(part: ast.AST) -> ast.Constant | None:
            return part if isinstance(part, ast.Constant) and type(part.value) in {int, float} else None

        constant = _first(node, "number", number)
        assert isinstance(constant.value, int | float)
        return constant, f"({constant.value + self.more})"


@attrs.frozen
class Without(Operator):
    """An operand of ``and`` or ``or``, or an element of a tuple, list or set, is not there."""

    index: int

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        several = _first(node, "and, or, tuple, list or set", _several)
        elements = _sequence(several)
        if not -len(elements) <= self.index < len(elements):
            msg = f"there are only {len(elements)} operands in: {_shown(several)}"
            raise DoesNotApply(msg)
        return Drop().edit(elements[self.index], several)


@attrs.frozen
class Put(Operator):
    """An element of a tuple, list or set is something else: ``text``."""

    index: int
    text: str

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        elements = _sequence(_first(node, "tuple, list or set", _several))
        if not -len(elements) <= self.index < len(elements):
            msg = f"there are only {len(elements)} elements in: {_shown(node)}"
            raise DoesNotApply(msg)
        return elements[self.index], self.text


@attrs.frozen
class Swap(Operator):
    """The first two arguments of a call, or elements of a tuple or list, change places."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        def pair(part: ast.AST) -> ast.AST | None:
            is_one = isinstance(part, ast.Call) or (isinstance(part, ast.Tuple | ast.List) and _is_read(part))
            return part if is_one and len(_sequence(part)) >= 2 else None

        found = _first(node, "call or tuple of two", pair)
        swapped = copy.deepcopy(found)
        elements = _sequence(swapped)
        elements[0], elements[1] = elements[1], elements[0]
        return found, ast.unparse(swapped)


def _iterated(node: ast.AST) -> ast.expr:
    def loop(part: ast.AST) -> ast.expr | None:
        return part.iter if isinstance(part, ast.For | ast.comprehension) else None

    return _first(node, "loop or comprehension", loop)


@attrs.frozen
class Reverse(Operator):
    """A loop takes the last one first."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        iterated = _iterated(node)
        return iterated, f"reversed([*{ast.unparse(iterated)}])"


@attrs.frozen
class SkipFirst(Operator):
    """A loop does not take the first one."""

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        iterated = _iterated(node)
        return iterated, f"[*{ast.unparse(iterated)}][1:]"


@attrs.frozen
class Becomes(Operator):
    """Something else is written in place of a simple statement or an expression.

    Of a keyword argument and of an entry it is the value. ``text`` may name parts of what was there: ``$target`` (what
    is assigned to), ``$value`` (what is assigned, returned, raised, evaluated), and where that is a call,
    ``$function``, ``$receiver`` (whose method it is) and ``$argument`` (the first).
    """

    text: str

    def edit(self, node: ast.AST, parent: ast.AST | None) -> Edit:
        if hasattr(node, "body") and not isinstance(node, ast.expr):
            msg = f"this is no simple statement: {_shown(node)}"
            raise DoesNotApply(msg)
        parts = {name: ast.unparse(_part(node, name)) for name in Template(self.text).get_identifiers()}
        text = Template(self.text).substitute(parts)
        if isinstance(node, ast.keyword):
            return node.value, text
        return node, text.replace("\n", "\n" + " " * getattr(node, "col_offset", 0))


def _part(node: ast.AST, name: str) -> ast.expr:
    found: ast.expr | None = None
    value = node.exc if isinstance(node, ast.Raise) and node.exc is not None else _value(node)
    match name, value:
        case "value", _:
            found = value
        case "target", _:
            found = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        case "function", ast.Call():
            found = value.func
        case "receiver", ast.Call(func=ast.Attribute(value=receiver)):
            found = receiver
        case "argument", ast.Call(args=[argument, *_]):
            found = argument
        case _:
            pass
    if found is None:
        msg = f"there is no {name} in: {_shown(node)}"
        raise DoesNotApply(msg)
    return found
